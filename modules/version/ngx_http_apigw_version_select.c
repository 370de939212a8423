/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_accept.h"
#include "ngx_http_apigw_version.h"


/* How a text may name a version. */

typedef enum {
    NGX_HTTP_APIGW_VERSION_EXACT = 0,       /* a label, or something like it */
    NGX_HTTP_APIGW_VERSION_LOOSE,           /* the same in any case */
    NGX_HTTP_APIGW_VERSION_NAMED            /* whatever it is, it names one */
} ngx_http_apigw_version_how_e;


/* How "select" says one; parse returns NGX_DECLINED for what is none. */

typedef struct {
    const char                       *name;
    ngx_http_apigw_version_source_e   type;
    ngx_int_t                       (*parse)(ngx_conf_t *cf,
                                     ngx_http_apigw_version_source_t *source);
} ngx_http_apigw_version_place_t;


static char *ngx_http_apigw_version_source(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_str_t *value);
static char *ngx_http_apigw_version_source_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_version_place_path(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_place_header(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_place_accept(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_place_query(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_place_host(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_place_variable(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_find_path(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);
static ngx_int_t ngx_http_apigw_version_find_package(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);
static ngx_int_t ngx_http_apigw_version_find_accept(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);
static void ngx_http_apigw_version_accepted(ngx_http_apigw_version_api_t *api,
    ngx_apigw_accept_t *accept, ngx_http_apigw_version_find_t *find);
static ngx_inline ngx_uint_t ngx_http_apigw_version_decided(
    const u_char *p, const u_char *last,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_find_query(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);
static ngx_int_t ngx_http_apigw_version_find_host(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);
static ngx_int_t ngx_http_apigw_version_find_variable(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);
static ngx_inline ngx_http_apigw_version_t *ngx_http_apigw_version_exact(
    ngx_http_apigw_version_api_t *api, ngx_str_t *text);
static void ngx_http_apigw_version_name(ngx_http_apigw_version_api_t *api,
    ngx_str_t *text, ngx_http_apigw_version_how_e how,
    ngx_http_apigw_version_find_t *find);
static ngx_inline ngx_table_elt_t *ngx_http_apigw_version_header(
    ngx_http_apigw_version_source_t *source, ngx_list_part_t **part,
    ngx_uint_t *i);


static const ngx_http_apigw_version_place_t
    ngx_http_apigw_version_places[] =
{
    { "path=", NGX_HTTP_APIGW_VERSION_PATH,
      ngx_http_apigw_version_place_path },
    { "path", NGX_HTTP_APIGW_VERSION_PATH, NULL },
    { "package", NGX_HTTP_APIGW_VERSION_PACKAGE, NULL },
    { "header=", NGX_HTTP_APIGW_VERSION_HEADER,
      ngx_http_apigw_version_place_header },
    { "accept=", NGX_HTTP_APIGW_VERSION_ACCEPT,
      ngx_http_apigw_version_place_accept },
    { "query=", NGX_HTTP_APIGW_VERSION_QUERY,
      ngx_http_apigw_version_place_query },
    { "host=", NGX_HTTP_APIGW_VERSION_HOST,
      ngx_http_apigw_version_place_host },
    { "$", NGX_HTTP_APIGW_VERSION_VARIABLE,
      ngx_http_apigw_version_place_variable },
    { NULL, NGX_HTTP_APIGW_VERSION_NONE, NULL }
};


char *
ngx_http_apigw_version_select(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    char                          *rv;
    ngx_str_t                     *value;
    ngx_uint_t                     i, conflict;
    ngx_http_apigw_version_api_t  *api;

    api = amcf->api;

    if (api->sources.nelts) {
        return "is duplicate";
    }

    value = cf->args->elts;

    conflict = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "on_conflict=first") == 0
            || ngx_strcmp(value[i].data, "on_conflict=reject") == 0)
        {
            if (conflict++) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate parameter \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }

            api->first = (value[i].len == sizeof("on_conflict=first") - 1);
            continue;
        }

        rv = ngx_http_apigw_version_source(cf, api, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (api->sources.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must name a place of the version",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_version_source(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_str_t *value)
{
    char                             *rv;
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source, *other;

    if (api->sources.nelts == NGX_HTTP_APIGW_VERSION_SOURCES) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "too many places");
        return NGX_CONF_ERROR;
    }

    source = ngx_array_push(&api->sources);
    if (source == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(source, sizeof(ngx_http_apigw_version_source_t));

    rv = ngx_http_apigw_version_source_name(cf, source, value);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    other = api->sources.elts;

    for (i = 0; i < api->sources.nelts - 1; i++) {

        if (other[i].type == source->type
            && other[i].index == source->index
            && other[i].name.len == source->name.len
            && (source->type == NGX_HTTP_APIGW_VERSION_QUERY
                ? ngx_strncmp(other[i].name.data, source->name.data,
                              source->name.len)
                : ngx_strncasecmp(other[i].name.data, source->name.data,
                                  source->name.len))
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate \"%V\"",
                               value);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_version_source_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source, ngx_str_t *value)
{
    ngx_int_t                              rc;
    const ngx_http_apigw_version_place_t  *place;

    for (place = ngx_http_apigw_version_places; place->name; place++) {

        if (!ngx_http_apigw_version_is(value, place->name, &source->name)
            || (source->name.len && !place->parse))
        {
            continue;
        }

        source->type = place->type;
        source->position = (place->type == NGX_HTTP_APIGW_VERSION_PATH);

        rc = place->parse ? place->parse(cf, source) : NGX_OK;

        if (rc == NGX_DECLINED) {
            break;
        }

        return rc == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       value);
    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_apigw_version_place_path(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    ngx_int_t  n;

    n = ngx_atoi(source->name.data, source->name.len);

    if (n < 1 || n > 32) {
        return NGX_DECLINED;
    }

    source->position = n;
    source->name.len = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_place_header(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    ngx_str_t  *name;

    name = &source->name;

    if (!ngx_apigw_label_valid(name->data, name->len)
        || ngx_strlchr(name->data, name->data + name->len, '.'))
    {
        return NGX_DECLINED;
    }

    return ngx_http_apigw_version_header_name(cf, source);
}


static ngx_int_t
ngx_http_apigw_version_place_accept(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    u_char  *p, *last;

    last = source->name.data + source->name.len;
    p = ngx_strlchr(source->name.data, last, '/');

    if (p == NULL
        || !ngx_apigw_label_valid(source->name.data, p - source->name.data)
        || !ngx_apigw_label_valid(p + 1, last - (p + 1)))
    {
        return NGX_DECLINED;
    }

    /* the name of the field, for ngx_http_apigw_version_header() */

    ngx_str_set(&source->lowcase, "accept");
    source->hash = ngx_hash_key(source->lowcase.data, source->lowcase.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_place_query(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    return ngx_apigw_label_valid(source->name.data, source->name.len)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_apigw_version_place_host(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    u_char      *p;
    ngx_str_t   *name;
    ngx_uint_t   stars;

    name = &source->name;
    stars = 0;

    for (p = name->data; p < name->data + name->len; p++) {
        *p = ngx_tolower(*p);
        stars += (*p == '*');

        if (*p != '*' && *p != '-' && *p != '.'
            && (*p < '0' || *p > '9') && (*p < 'a' || *p > 'z'))
        {
            return NGX_DECLINED;
        }
    }

    return (stars == 1 && name->len > 1) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_apigw_version_place_variable(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    ngx_str_t  value;

    if (source->name.len == 0) {
        return NGX_DECLINED;
    }

    /* the index tells one from another */

    value.data = source->name.data - 1;
    value.len = source->name.len + 1;

    source->name.len = 0;

    return ngx_http_apigw_version_variable(cf, &value, &source->index);
}


ngx_int_t
ngx_http_apigw_version_header_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    source->file = cf->conf_file->file.name.data;
    source->line = cf->conf_file->line;

    source->lowcase.len = source->name.len;
    source->lowcase.data = ngx_pnalloc(cf->pool, source->name.len);
    if (source->lowcase.data == NULL) {
        return NGX_ERROR;
    }

    source->hash = ngx_hash_strlow(source->lowcase.data, source->name.data,
                                   source->name.len);

    return NGX_OK;
}


void
ngx_http_apigw_version_warn(ngx_conf_t *cf, ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source;

    source = api->sources.elts;

    for (i = 0; i < api->sources.nelts; i++) {

        if (source[i].type == NGX_HTTP_APIGW_VERSION_HEADER
            && source[i].line
            && ngx_http_apigw_header_warn(cf, &source[i].name, "select",
                                          source[i].file, source[i].line))
        {
            source[i].line = 0;
        }
    }

    source = &api->optin;

    if (source->line
        && ngx_http_apigw_header_warn(cf, &source->name, "canary_optin",
                                      source->file, source->line))
    {
        source->line = 0;
    }
}


/*
 * Decides which version a request is for.  What is refused is found in
 * ctx->problem; NGX_ERROR is for no memory only.
 */

ngx_int_t
ngx_http_apigw_version_decide(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_publish_t *publish)
{
    ngx_uint_t                        conflict;
    ngx_http_apigw_version_t         *version;
    ngx_http_apigw_version_api_t     *api;
    ngx_http_apigw_version_find_t     find;
    ngx_http_apigw_version_source_t  *source, *last, *first;

    api = publish->api;

    ctx->publish = publish;
    ctx->seen = r->uri;
    ctx->args = r->args;
    ctx->path.len = 0;
    ctx->vary = &api->vary;

    conflict = 0;
    version = NULL;
    first = NULL;

    source = api->sources.elts;
    last = source + api->sources.nelts;

    for ( /* void */ ; source != last; source++) {

        find.version = NULL;
        find.found = 0;
        find.clash = 0;

        if (source->find(r, ctx, source, &find) != NGX_OK) {
            return NGX_ERROR;
        }

        if (!find.found) {
            continue;
        }

        conflict |= find.clash;

        if (first) {
            conflict |= (find.version != version);
            continue;
        }

        first = source;
        version = find.version;

        if (version == NULL) {
            ctx->asked = find.text;
        }
    }

    if (first) {
        ctx->vary = &first->vary;
    }

    if (conflict && !api->first) {
        return ngx_http_apigw_version_conflict(r, ctx);
    }

    if (first) {
        ctx->source = first->type;
    }

    if (version) {
        ctx->version = version;

    } else if (ngx_http_apigw_version_fall_back(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->zero
        && ctx->version
        && !(first && api->first)
        && ngx_http_apigw_version_unwanted(r, ctx, ctx->version))
    {
        return ngx_http_apigw_version_unacceptable(r, ctx);
    }

    if (ctx->version
        && ctx->version->acts
        && ctx->version->acts <= ngx_time())
    {
        return ngx_http_apigw_version_retire(r, ctx);
    }

    return NGX_OK;
}


ngx_http_apigw_version_find_pt
ngx_http_apigw_version_finder(ngx_http_apigw_version_source_e type)
{
    switch (type) {

    case NGX_HTTP_APIGW_VERSION_PATH:
        return ngx_http_apigw_version_find_path;

    case NGX_HTTP_APIGW_VERSION_PACKAGE:
        return ngx_http_apigw_version_find_package;

    case NGX_HTTP_APIGW_VERSION_HEADER:
        return ngx_http_apigw_version_find_header;

    case NGX_HTTP_APIGW_VERSION_ACCEPT:
        return ngx_http_apigw_version_find_accept;

    case NGX_HTTP_APIGW_VERSION_QUERY:
        return ngx_http_apigw_version_find_query;

    case NGX_HTTP_APIGW_VERSION_HOST:
        return ngx_http_apigw_version_find_host;

    default: /* NGX_HTTP_APIGW_VERSION_VARIABLE */
        return ngx_http_apigw_version_find_variable;
    }
}


static ngx_int_t
ngx_http_apigw_version_find_path(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find)
{
    u_char     *p;
    ngx_str_t   segment, name;

    if (ngx_apigw_path_segment(&ctx->seen, &ctx->publish->base,
                               source->position, &segment)
        != NGX_OK)
    {
        return NGX_OK;
    }

    find->version = ngx_http_apigw_version_exact(ctx->publish->api, &segment);

    if (find->version) {
        find->found = 1;

    } else {
        ngx_http_apigw_version_name(ctx->publish->api, &segment,
                                    NGX_HTTP_APIGW_VERSION_EXACT, find);
    }

    if (!find->found) {
        p = memchr(segment.data, ';', segment.len);

        if (p) {

            /* some back ends read "v1;a=b" as "v1" (RFC 3986, 3.3) */

            name.data = segment.data;
            name.len = p - name.data;

            ngx_http_apigw_version_name(ctx->publish->api, &name,
                                        NGX_HTTP_APIGW_VERSION_EXACT, find);

            find->version = NULL;
            find->text = segment;
        }
    }

    if (find->found) {
        ctx->segment = segment;
    }

    return NGX_OK;
}


/* gRPC: the package is a part of the service's name, "/acme.v1.Orders/Get" */

static ngx_int_t
ngx_http_apigw_version_find_package(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find)
{
    ngx_str_t  segment, text;

    if (ngx_apigw_path_segment(&ctx->seen, &ctx->publish->base, 1, &segment)
        != NGX_OK)
    {
        return NGX_OK;
    }

    text.len = 0;

    while (!find->found && ngx_apigw_dotted_next(&segment, &text) == NGX_OK) {

        /* the name of the service itself is not a version */

        if (text.data + text.len == segment.data + segment.len) {
            return NGX_OK;
        }

        ngx_http_apigw_version_name(ctx->publish->api, &text,
                                    NGX_HTTP_APIGW_VERSION_EXACT, find);
    }

    if (find->found) {
        ctx->component = text;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_version_find_header(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find)
{
    ngx_uint_t                      i;
    ngx_list_part_t                *part;
    ngx_table_elt_t                *h;
    ngx_http_apigw_version_find_t   again;

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_http_apigw_version_header(source, &part, &i)) != NULL) {

        if (!find->found) {
            ngx_http_apigw_version_name(ctx->publish->api, &h->value,
                                        NGX_HTTP_APIGW_VERSION_NAMED, find);
            continue;
        }

        again.found = 0;
        again.version = NULL;

        ngx_http_apigw_version_name(ctx->publish->api, &h->value,
                                    NGX_HTTP_APIGW_VERSION_NAMED, &again);

        if (again.found && again.version != find->version) {
            find->clash = 1;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_find_accept(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find)
{
    ngx_str_t                       text;
    ngx_uint_t                      i, best, plain;
    const u_char                   *p, *last, *next;
    ngx_list_part_t                *part;
    ngx_table_elt_t                *h;
    ngx_apigw_accept_t              accept;
    ngx_http_apigw_version_find_t   each;

    best = 0;
    plain = 0;

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_http_apigw_version_header(source, &part, &i)) != NULL) {

        p = h->value.data;
        last = p + h->value.len;

        if (best == 0) {
            next = ngx_apigw_accept_first(p, last, &source->name, &text);

            each.version = next ? ngx_http_apigw_version_exact(
                                                  ctx->publish->api, &text)
                                : NULL;

            if (each.version) {
                best = 1000;
                find->found = 1;
                find->version = each.version;
                find->text = text;

                if (ngx_http_apigw_version_decided(next, last, source)) {
                    continue;
                }

                p = next;
            }
        }

        /* what is shorter than the type does not name it */

        while ((size_t) (last - p) >= source->name.len
               && ngx_apigw_accept_next(&p, last, &source->name, &accept)
                  == NGX_OK)
        {
            if (accept.quality == 0) {
                ctx->zero |= (accept.version.len != 0);
                continue;
            }

            if (accept.version.len == 0) {
                plain = ngx_max(plain, accept.quality);
                continue;
            }

            ngx_http_apigw_version_accepted(ctx->publish->api, &accept, &each);

            if (!each.found) {
                continue;
            }

            find->clash |= accept.twice;

            /* a version that exists is better than any that does not */

            if (each.version == NULL) {
                if (!find->found) {
                    find->found = 1;
                    find->text = each.text;
                }

                continue;
            }

            if (accept.quality > best) {
                best = accept.quality;
                find->found = 1;
                find->version = each.version;
                find->text = each.text;
            }

            if (best == 1000
                && ngx_http_apigw_version_decided(p, last, source))
            {
                break;
            }
        }
    }

    if (plain > best) {

        /* the type without a version is preferred, or else acceptable */

        find->found = 0;
        find->version = NULL;
    }

    return NGX_OK;
}


/* The version of an element. */

static void
ngx_http_apigw_version_accepted(ngx_http_apigw_version_api_t *api,
    ngx_apigw_accept_t *accept, ngx_http_apigw_version_find_t *find)
{
    find->found = 0;
    find->version = NULL;

    ngx_http_apigw_version_name(api, &accept->version,
                                accept->dotted ? NGX_HTTP_APIGW_VERSION_LOOSE
                                               : NGX_HTTP_APIGW_VERSION_NAMED,
                                find);
}


/*
 * Whether nothing behind the greatest weight matters: what is shorter than the
 * type does not name it, and what has no "version" in it cannot contradict
 * itself.
 */

static ngx_inline ngx_uint_t
ngx_http_apigw_version_decided(const u_char *p, const u_char *last,
    ngx_http_apigw_version_source_t *source)
{
    return (size_t) (last - p) < source->name.len
           || (memchr(p, 'v', last - p) == NULL
               && memchr(p, 'V', last - p) == NULL);
}


/* Whether a version has the weight 0 and no other one (RFC 9110, 12.4.2). */

ngx_uint_t
ngx_http_apigw_version_unwanted(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, ngx_http_apigw_version_t *version)
{
    ngx_uint_t                        i, n, zero;
    const u_char                     *p, *last;
    ngx_list_part_t                  *part;
    ngx_table_elt_t                  *h;
    ngx_apigw_accept_t                accept;
    ngx_http_apigw_version_find_t     each;
    ngx_http_apigw_version_source_t  *source;

    source = ctx->publish->api->sources.elts;
    zero = 0;

    for (n = 0; n < ctx->publish->api->sources.nelts; n++) {

        if (source[n].type != NGX_HTTP_APIGW_VERSION_ACCEPT) {
            continue;
        }

        part = &r->headers_in.headers.part;
        i = 0;

        while ((h = ngx_http_apigw_version_header(&source[n], &part, &i))
               != NULL)
        {
            p = h->value.data;
            last = p + h->value.len;

            while (ngx_apigw_accept_next(&p, last, &source[n].name, &accept)
                   == NGX_OK)
            {
                ngx_http_apigw_version_accepted(ctx->publish->api, &accept,
                                                &each);

                if (each.version != version) {
                    continue;
                }

                if (accept.quality) {
                    return 0;
                }

                zero = 1;
            }
        }
    }

    return zero;
}


static ngx_int_t
ngx_http_apigw_version_find_query(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find)
{
    u_char     buf[NGX_APIGW_LABEL_LEN + 1];
    ngx_int_t  rc;
    ngx_str_t  text;

    if (r->args.len == 0) {
        return NGX_OK;
    }

    rc = ngx_apigw_query_value(&r->args, &source->name, buf, &text);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    ngx_http_apigw_version_name(ctx->publish->api, &text,
                                NGX_HTTP_APIGW_VERSION_NAMED, find);

    find->clash = (rc == NGX_ABORT);
    ctx->in_query = 1;

    if (find->version == NULL) {
        find->text.data = ngx_pstrdup(r->pool, &text);
        if (find->text.data == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_find_host(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find)
{
    ngx_str_t  text;

    if (ngx_apigw_host_value(&r->headers_in.server, &source->name, &text)
        == NGX_OK)
    {
        ngx_http_apigw_version_name(ctx->publish->api, &text,
                                    NGX_HTTP_APIGW_VERSION_LOOSE, find);
    }

    if (find->found) {
        ctx->host = text;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_find_variable(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find)
{
    ngx_str_t                   text;
    ngx_http_variable_value_t  *vv;

    vv = ngx_http_get_flushed_variable(r, source->index);

    if (vv == NULL) {
        return NGX_ERROR;
    }

    if (vv->not_found || vv->len == 0) {
        return NGX_OK;
    }

    text.data = vv->data;
    text.len = vv->len;

    ngx_http_apigw_version_name(ctx->publish->api, &text,
                                NGX_HTTP_APIGW_VERSION_NAMED, find);

    return NGX_OK;
}


/* The version of a label, from its last byte on: labels begin alike. */

static ngx_inline ngx_http_apigw_version_t *
ngx_http_apigw_version_exact(ngx_http_apigw_version_api_t *api,
    ngx_str_t *text)
{
    size_t                      n;
    ngx_str_t                  *label;
    ngx_http_apigw_version_t  **version, **last;

    version = api->versions.elts;
    last = version + api->versions.nelts;

    for ( /* void */ ; version != last; version++) {
        label = &(*version)->label;
        n = text->len;

        if (label->len != n) {
            continue;
        }

        while (n && label->data[n - 1] == text->data[n - 1]) {
            n--;
        }

        if (n == 0) {
            return *version;
        }
    }

    return NULL;
}


static void
ngx_http_apigw_version_name(ngx_http_apigw_version_api_t *api,
    ngx_str_t *text, ngx_http_apigw_version_how_e how,
    ngx_http_apigw_version_find_t *find)
{
    ngx_uint_t                  i;
    ngx_apigw_number_t          number;
    ngx_http_apigw_version_t  **version;

    if (text->len == 0) {
        return;
    }

    find->text = *text;

    find->version = ngx_http_apigw_version_exact(api, text);

    if (find->version) {
        find->found = 1;
        return;
    }

    version = api->versions.elts;

    if (how == NGX_HTTP_APIGW_VERSION_LOOSE) {

        for (i = 0; i < api->versions.nelts; i++) {

            if (version[i]->label.len == text->len
                && ngx_strncasecmp(version[i]->label.data, text->data,
                                   text->len)
                   == 0)
            {
                find->found = 1;
                find->version = version[i];
                return;
            }
        }

    } else if (how == NGX_HTTP_APIGW_VERSION_NAMED) {

        find->found = 1;

        for (i = 0; i < api->versions.nelts; i++) {

            if (ngx_apigw_label_named(&version[i]->label, text->data,
                                      text->len))
            {
                find->version = version[i];
                return;
            }
        }

        return;
    }

    /* "v9" among v1 and v2 is an unknown version, "items" is none */

    if (ngx_apigw_label_number(text->data, text->len, &number) & api->shapes) {
        find->found = 1;
    }
}


/* Returns the next line of the source's header, from part and i on. */

static ngx_inline ngx_table_elt_t *
ngx_http_apigw_version_header(ngx_http_apigw_version_source_t *source,
    ngx_list_part_t **part, ngx_uint_t *i)
{
    ngx_uint_t        n;
    ngx_table_elt_t  *h;

    n = *i;

    for ( ;; ) {

        h = (*part)->elts;

        for ( /* void */ ; n < (*part)->nelts; n++) {

            if (h[n].hash == source->hash
                && h[n].key.len == source->lowcase.len
                && ngx_memcmp(h[n].lowcase_key, source->lowcase.data,
                              source->lowcase.len)
                   == 0)
            {
                *i = n + 1;
                return &h[n];
            }
        }

        if ((*part)->next == NULL) {
            *i = n;
            return NULL;
        }

        *part = (*part)->next;
        n = 0;
    }
}


ngx_int_t
ngx_http_apigw_version_path(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    u_char  *p, *cut, *rest, *last;
    size_t   len;

    if (ctx->path.len) {
        return NGX_OK;
    }

    if (ctx->segment.len == 0) {
        ctx->path = ctx->seen;
        return NGX_OK;
    }

    cut = ctx->segment.data - 1;
    rest = ctx->segment.data + ctx->segment.len;
    last = ctx->seen.data + ctx->seen.len;

    len = ctx->seen.len - ctx->segment.len - 1;

    if (len == 0) {
        ngx_str_set(&ctx->path, "/");
        return NGX_OK;
    }

    if (cut == ctx->seen.data) {
        ctx->path.len = len;
        ctx->path.data = rest;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->path.len = len;
    ctx->path.data = p;

    p = ngx_cpymem(p, ctx->seen.data, cut - ctx->seen.data);
    ngx_memcpy(p, rest, last - rest);

    return NGX_OK;
}
