/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_helper.h"
#include "ngx_http_apigw_version.h"


typedef enum {
    NGX_HTTP_APIGW_VERSION_V_NAME = 0,
    NGX_HTTP_APIGW_VERSION_V_VERSION,
    NGX_HTTP_APIGW_VERSION_V_UPSTREAM,
    NGX_HTTP_APIGW_VERSION_V_SOURCE,
    NGX_HTTP_APIGW_VERSION_V_STATUS,
    NGX_HTTP_APIGW_VERSION_V_PATH
} ngx_http_apigw_version_variable_e;


static ngx_int_t ngx_http_apigw_version_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_version_rewrite(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_uint_t ngx_http_apigw_version_literal(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_version_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_version_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_apigw_version_explain(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_version_add_fields(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_inline ngx_int_t ngx_http_apigw_version_link(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_str_t *value);
static ngx_inline u_char *ngx_http_apigw_version_target(
    ngx_http_apigw_version_ctx_t *ctx, u_char *p);
static ngx_inline ngx_table_elt_t *ngx_http_apigw_version_push(
    ngx_list_t *headers);
static ngx_inline ngx_int_t ngx_http_apigw_version_add(ngx_list_t *headers,
    ngx_str_t *name, ngx_str_t *value);
static void ngx_http_apigw_version_hide(ngx_http_request_t *r,
    ngx_http_apigw_version_t *version);
static ngx_int_t ngx_http_apigw_version_get_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_version_escape_path(ngx_http_request_t *r,
    ngx_http_variable_value_t *v);
static ngx_str_t *ngx_http_apigw_version_text(
    ngx_http_apigw_version_ctx_t *ctx, uintptr_t data);
static ngx_int_t ngx_http_apigw_version_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_version_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_version_filter_init(ngx_conf_t *cf);
static void *ngx_http_apigw_version_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_apigw_version_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_version_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);


static ngx_command_t  ngx_http_apigw_version_commands[] = {

    { ngx_string("api"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apigw_version_api,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("version"),
      NGX_HTTP_APIGW_VERSION_API_CONF|NGX_CONF_2MORE,
      ngx_http_apigw_version_version,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("select"),
      NGX_HTTP_APIGW_VERSION_API_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_version_select,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("fallback"),
      NGX_HTTP_APIGW_VERSION_API_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_version_fallback,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("base"),
      NGX_HTTP_APIGW_VERSION_API_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_version_base,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("strip"),
      NGX_HTTP_APIGW_VERSION_API_CONF|NGX_CONF_FLAG,
      ngx_http_apigw_version_strip,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("version_header"),
      NGX_HTTP_APIGW_VERSION_API_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_version_field,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("brownout"),
      NGX_HTTP_APIGW_VERSION_API_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_version_brownout,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_version_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_version_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_publish"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_version_publish,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_catalog"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_apigw_version_catalog,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apigw_version_module_ctx = {
    ngx_http_apigw_version_add_variables,  /* preconfiguration */
    ngx_http_apigw_version_init,           /* postconfiguration */

    ngx_http_apigw_version_create_main_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apigw_version_create_loc_conf,  /* create location configuration */
    ngx_http_apigw_version_merge_loc_conf  /* merge location configuration */
};


ngx_module_t  ngx_http_apigw_version_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_version_module_ctx,    /* module context */
    ngx_http_apigw_version_commands,       /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_apigw_version_init_process,   /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_apigw_version_exit_process,   /* exit process */
    ngx_http_apigw_version_exit_master,    /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_module_t  ngx_http_apigw_version_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apigw_version_filter_init,    /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


#pragma GCC visibility push(hidden)

ngx_module_t  ngx_http_apigw_version_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_version_filter_module_ctx,  /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};

#pragma GCC visibility pop


/*
 * A subrequest shares the values with its main request, but may have decided
 * for itself; and the location that publishes the API may be yet to come.
 */

static ngx_http_variable_t  ngx_http_apigw_version_vars[] = {

    { ngx_string("api_name"), NULL, ngx_http_apigw_version_get_variable,
      NGX_HTTP_APIGW_VERSION_V_NAME,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_version"), NULL, ngx_http_apigw_version_get_variable,
      NGX_HTTP_APIGW_VERSION_V_VERSION,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_upstream"), NULL, ngx_http_apigw_version_get_variable,
      NGX_HTTP_APIGW_VERSION_V_UPSTREAM,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_version_source"), NULL,
      ngx_http_apigw_version_get_variable,
      NGX_HTTP_APIGW_VERSION_V_SOURCE,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_version_status"), NULL,
      ngx_http_apigw_version_get_variable,
      NGX_HTTP_APIGW_VERSION_V_STATUS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_path"), NULL, ngx_http_apigw_version_get_variable,
      NGX_HTTP_APIGW_VERSION_V_PATH,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_apigw_version_vary = ngx_string("Vary");


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_apigw_version_handler(ngx_http_request_t *r)
{
    ngx_http_apigw_version_ctx_t       *ctx;
    ngx_http_apigw_version_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_version_module);

    ctx = ngx_http_apigw_version_own(r);

    if (lcf->publish == NULL) {

        if (ctx && !ctx->applied) {

            /* what a variable wanted to know in the server */

            ngx_http_apigw_version_forget(r);
        }

        return NGX_DECLINED;
    }

    if (ctx == NULL
        || ctx->publish->api != lcf->publish->api
        || (!ctx->applied
            && (ctx->publish != lcf->publish
                || ctx->seen.data != r->uri.data
                || ctx->args.data != r->args.data)))
    {
        /*
         * A decision that a variable wanted early holds if nothing has
         * rewritten the URI since and the API lies below the same base.
         */

        ctx = ngx_http_apigw_version_enter(r, ctx, lcf->publish);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    /* after an internal redirect the first decision holds, or a parent's */

    if (ctx->applied) {
        return NGX_DECLINED;
    }

    ctx->applied = 1;

    if (ctx->problem) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "api \"%V\": %V", &ctx->publish->api->name,
                      &ctx->problem->detail);

        return ngx_http_apigw_refuse(r, ctx->problem);
    }

    return ngx_http_apigw_version_rewrite(r, ctx);
}


/*
 * What the upstream will see.  The location stays the same, as after a
 * "rewrite ... break".
 */

static ngx_int_t
ngx_http_apigw_version_rewrite(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    u_char                        *p;
    size_t                         skip;
    ngx_str_t                      uri, *base, *path, *prefix;
    ngx_http_apigw_version_api_t  *api;

    api = ctx->publish->api;

    if (!api->rewrites) {

        if (!ngx_http_apigw_version_literal(r, ctx)) {
            r->valid_unparsed_uri = 0;
        }

        return NGX_DECLINED;
    }

    path = &ctx->seen;

    if (api->strip) {

        if (ngx_http_apigw_version_path(r, ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        path = &ctx->path;
    }

    uri = *path;

    if (ctx->version->has_uri) {

        base = &ctx->publish->base;
        prefix = &ctx->version->uri;
        skip = base->len;

        if (path->len >= skip
            && ngx_memcmp(path->data, base->data, skip) == 0
            && (path->len == skip || path->data[skip] == '/'))
        {
            uri.len = prefix->len + path->len - skip;

            uri.data = ngx_pnalloc(r->pool, uri.len + 1);
            if (uri.data == NULL) {
                return NGX_HTTP_INTERNAL_SERVER_ERROR;
            }

            p = ngx_cpymem(uri.data, prefix->data, prefix->len);
            ngx_memcpy(p, path->data + skip, path->len - skip);

            if (uri.len == 0) {
                *p = '/';
                uri.len = 1;
            }
        }
    }

    if (uri.data == r->uri.data && uri.len == r->uri.len) {

        if (!ngx_http_apigw_version_literal(r, ctx)) {
            r->valid_unparsed_uri = 0;
        }

        return NGX_DECLINED;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "api version: uri \"%V\"", &uri);

    r->uri = uri;
    r->valid_unparsed_uri = 0;
    r->valid_location = 0;

    if (ctx->version->has_uri
        || ctx->segment.data + ctx->segment.len
           == ctx->seen.data + ctx->seen.len)
    {
        /* else the last segment is what it was */

        ngx_http_set_exten(r);
    }

    return NGX_DECLINED;
}


/*
 * Whether the path is what the client wrote, but for escapes, up to the end of
 * the place where the version is or could have been.  If not, a back end that
 * reads it in another way could find another version, in "/v1/%2e%2e/v2/x".
 */

static ngx_uint_t
ngx_http_apigw_version_literal(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    size_t                            n, len;
    u_char                            ch, *p, *last;
    ngx_str_t                         segment;
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source;

    if (!r->valid_unparsed_uri || !(r->complex_uri || r->quoted_uri)) {
        return 1;
    }

    source = ctx->publish->api->sources.elts;
    len = 0;

    for (i = 0; i < ctx->publish->api->sources.nelts; i++) {

        if (source[i].type != NGX_HTTP_APIGW_VERSION_PATH
            && source[i].type != NGX_HTTP_APIGW_VERSION_PACKAGE)
        {
            continue;
        }

        /* a package is in the first segment */

        n = ngx_apigw_path_segment(&r->uri, &ctx->publish->base,
                                   ngx_max(source[i].position, 1), &segment)
            == NGX_OK
            ? (size_t) (segment.data + segment.len - r->uri.data)
            : r->uri.len;

        len = ngx_max(len, n);
    }

    if (len == 0) {
        return 1;
    }

    p = r->unparsed_uri.data;
    last = p + r->unparsed_uri.len;

    for (i = 0; i < len; i++) {

        if (p == last) {
            return 0;
        }

        ch = *p++;

        if (ch == '%' && last - p >= 2) {
            ch = (u_char) ngx_hextoi(p, 2);
            p += 2;
        }

        if (ch != r->uri.data[i]) {
            return 0;
        }
    }

    if (p == last || *p == '?') {
        return 1;
    }

    /* a segment ends here; at the end of all there is none to be left out */

    return r->uri.len > len
           && (*p == '/' || ngx_strncasecmp(p, (u_char *) "%2f", 3) == 0);
}


static ngx_int_t
ngx_http_apigw_version_header_filter(ngx_http_request_t *r)
{
    ngx_http_apigw_version_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_version_module);

    if (ctx == NULL || !ctx->applied) {

        /* there is no API, or no more than a variable wanted it */

        return ngx_http_next_header_filter(r);
    }

    if (r->err_status == NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_http_apigw_version_explain(r, ctx);
    }

    if (ngx_http_apigw_version_add_fields(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->problem
        && ngx_http_apigw_problem_header(r, ctx->problem) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/*
 * The mistake that nginx -t cannot see: a scheme twice or not at all.  What
 * nginx says of it, "invalid port in upstream", does not help.  An upstream
 * whose name could not be used has no configuration yet.
 */

static void
ngx_http_apigw_version_explain(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    if (r->upstream == NULL
        || r->upstream->conf
        || ctx->version == NULL
        || ctx->problem)
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "api \"%V\": is $api_upstream, which is \"%V\", used as "
                  "\"%s\"?", &ctx->publish->api->name,
                  &ctx->version->upstream,
                  ctx->version->scheme ? "proxy_pass $api_upstream"
                                       : "proxy_pass http://$api_upstream");
}


static ngx_int_t
ngx_http_apigw_version_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_apigw_version_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_version_module);

    if (ctx && ctx->problem) {
        in = ngx_http_apigw_problem_body(r, ctx->problem, in);

        if (in == NGX_CHAIN_ERROR) {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_body_filter(r, in);
}


/* All values but that of a link to a successor are those of versions. */

static ngx_int_t
ngx_http_apigw_version_add_fields(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    ngx_uint_t                 i, n;
    ngx_list_t                *headers;
    ngx_list_part_t           *last;
    ngx_table_elt_t           *h;
    ngx_http_apigw_version_t  *version;

    version = ctx->version;
    headers = &r->headers_out.headers;

    if (ctx->vary->len
        && ngx_http_apigw_version_add(headers, &ngx_http_apigw_version_vary,
                                      ctx->vary)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (version == NULL) {
        return NGX_OK;
    }

    if (ctx->rehearsal
        && ngx_http_apigw_version_add(headers, &ngx_http_apigw_version_vary,
                                      &ctx->rehearsal->vary)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->upstream) {
        ngx_http_apigw_version_hide(r, version);
    }

    n = version->nfields;

    if (n == 0) {
        return NGX_OK;
    }

    last = headers->last;

    if (headers->nalloc - last->nelts >= n) {

        /* a copy: other filters may hide or change what they find */

        h = (ngx_table_elt_t *) last->elts + last->nelts;
        last->nelts += n;

        ngx_memcpy(h, version->fields, n * sizeof(ngx_table_elt_t));
        h += n - 1;

    } else {

        i = 0;

        do {
            h = ngx_list_push(headers);
            if (h == NULL) {
                return NGX_ERROR;
            }

            *h = version->fields[i];

        } while (++i < n);
    }

    return version->successor ? ngx_http_apigw_version_link(r, ctx, &h->value)
                              : NGX_OK;
}


/* The value of a Link with the successor. */

static ngx_inline ngx_int_t
ngx_http_apigw_version_link(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, ngx_str_t *value)
{
    u_char     *p, *target;
    size_t      room;
    ngx_str_t  *head;

    static const u_char  tail[] = ">; rel=\"successor-version\"";

    head = &ctx->version->link_head;
    room = head->len + sizeof(tail) - 1;

    p = ngx_pnalloc(r->pool, room + ctx->seen.len
                             + ctx->version->successor->label.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;

    target = ngx_http_apigw_version_target(ctx, p + head->len);

    if (target == NULL) {
        p = ngx_pnalloc(r->pool,
                        room + ngx_http_apigw_version_successor_len(r, ctx));
        if (p == NULL) {
            return NGX_ERROR;
        }

        value->data = p;

        target = ngx_http_apigw_version_successor(r, ctx, p + head->len);
    }

    /* mostly no more than "<" */

    if (head->len == 1) {
        *value->data = '<';

    } else {
        ngx_memcpy(value->data, head->data, head->len);
    }

    p = ngx_cpymem(target, tail, sizeof(tail) - 1);

    value->len = p - value->data;

    return NGX_OK;
}


/*
 * ngx_http_apigw_version_successor(), in short for what is usual: a path
 * without special characters, with another segment in the place of the
 * version's, or as it is if no URI can carry a version.  NULL if it is not so.
 */

static ngx_inline u_char *
ngx_http_apigw_version_target(ngx_http_apigw_version_ctx_t *ctx, u_char *p)
{
    u_char                        *segment;
    size_t                         i, rest;
    ngx_str_t                     *uri, *label;
    ngx_http_apigw_version_api_t  *api;

    uri = &ctx->seen;
    api = ctx->publish->api;

    if (ctx->args.len
        || uri->len < 2
        || uri->data[1] == '/'
        || (ctx->segment.len ? !api->by_path : api->linked)
        || !ngx_apigw_path_copy(p, uri->data, uri->len))
    {
        return NULL;
    }

    if (ctx->segment.len == 0) {
        return p + uri->len;
    }

    label = &ctx->version->successor->label;
    segment = p + (ctx->segment.data - uri->data);
    p += uri->len;

    if (label->len != ctx->segment.len) {
        rest = p - segment - ctx->segment.len;
        p = segment + label->len;

        p = ngx_cpymem(p, ctx->segment.data + ctx->segment.len, rest);
    }

    for (i = 0; i < label->len; i++) {
        segment[i] = label->data[i];
    }

    return p;
}


/* ngx_list_push() without a call as long as there is room. */

static ngx_inline ngx_table_elt_t *
ngx_http_apigw_version_push(ngx_list_t *headers)
{
    ngx_list_part_t  *last;

    last = headers->last;

    if (last->nelts == headers->nalloc) {
        return ngx_list_push(headers);
    }

    return (ngx_table_elt_t *) last->elts + last->nelts++;
}


static ngx_inline ngx_int_t
ngx_http_apigw_version_add(ngx_list_t *headers, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_http_apigw_version_push(headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_http_apigw_header_single(h);
    h->key = *name;
    h->value = *value;
    h->lowcase_key = NULL;

    return NGX_OK;
}


/* What the back end says of its own version gives way to the gateway's. */

static void
ngx_http_apigw_version_hide(ngx_http_request_t *r,
    ngx_http_apigw_version_t *version)
{
    ngx_str_t        *name;
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0
                || !(ngx_http_apigw_version_letter(&h[i].key)
                     & version->letters))
            {
                continue;
            }

            for (n = 0; n < version->nown; n++) {
                name = &version->fields[n].key;

                if (h[i].key.len == name->len
                    && ngx_strncasecmp(h[i].key.data, name->data, name->len)
                       == 0)
                {
                    h[i].hash = 0;
                }
            }
        }
    }
}


static ngx_int_t
ngx_http_apigw_version_get_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                          *text;
    ngx_http_apigw_version_ctx_t       *ctx;
    ngx_http_core_main_conf_t          *cmcf;
    ngx_http_apigw_version_loc_conf_t  *lcf;

    ctx = ngx_http_apigw_version_own(r);

    if (ctx == NULL || !ctx->applied) {
        lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_version_module);
        cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

        if (lcf->publish == NULL) {

            /* a decision that was wanted early holds where one publishes */

            ctx = ngx_http_apigw_version_inherited(r->parent);

        } else if (ctx == NULL && r->uri.len) {

            /*
             * A subrequest that is past the handler has no decision of its
             * own: it is a copy of its parent, as of slice.
             */

            if (r == r->main
                || (ngx_uint_t) r->phase_handler
                   < cmcf->phase_engine.location_rewrite_index)
            {
                ctx = ngx_http_apigw_version_enter(r, NULL, lcf->publish);
                if (ctx == NULL) {
                    return NGX_ERROR;
                }

            } else {
                ctx = ngx_http_apigw_version_inherited(r->parent);
            }
        }
    }

    if (ctx
        && data == NGX_HTTP_APIGW_VERSION_V_PATH
        && !ctx->deciding
        && ngx_http_apigw_version_path(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    text = ctx ? ngx_http_apigw_version_text(ctx, data) : NULL;

    if (text == NULL || text->len == 0) {
        v->valid = 0;
        v->not_found = 1;

        return NGX_OK;
    }

    ngx_http_apigw_variable_set(v, text);

    return data == NGX_HTTP_APIGW_VERSION_V_PATH
           ? ngx_http_apigw_version_escape_path(r, v) : NGX_OK;
}


/*
 * As nginx escapes a URI for an upstream: in a key of a cache the "?" of a
 * name is not that of a query, and in a proxy_pass with variables, which takes
 * everything as it is, nothing ends the line.
 */

static ngx_int_t
ngx_http_apigw_version_escape_path(ngx_http_request_t *r,
    ngx_http_variable_value_t *v)
{
    u_char     *p;
    uintptr_t   n;

    n = ngx_escape_uri(NULL, v->data, v->len, NGX_ESCAPE_URI);

    if (n == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, v->len + 2 * n);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_escape_uri(p, v->data, v->len, NGX_ESCAPE_URI);

    v->data = p;
    v->len += 2 * n;

    return NGX_OK;
}


static ngx_str_t *
ngx_http_apigw_version_text(ngx_http_apigw_version_ctx_t *ctx, uintptr_t data)
{
    if (ctx->deciding) {
        return NULL;
    }

    switch (data) {

    case NGX_HTTP_APIGW_VERSION_V_NAME:
        return &ctx->publish->api->name;

    case NGX_HTTP_APIGW_VERSION_V_PATH:
        return &ctx->path;

    case NGX_HTTP_APIGW_VERSION_V_SOURCE:
        return (ngx_str_t *) &ngx_apigw_sources[ctx->source];
    }

    if (ctx->version == NULL) {
        return NULL;
    }

    switch (data) {

    case NGX_HTTP_APIGW_VERSION_V_VERSION:
        return &ctx->version->label;

    case NGX_HTTP_APIGW_VERSION_V_STATUS:
        return ngx_http_apigw_version_status(ctx->version, ngx_time());

    default: /* NGX_HTTP_APIGW_VERSION_V_UPSTREAM */

        /* what was refused reaches no upstream, not even from error_page */

        return ctx->problem ? NULL : &ctx->version->upstream;
    }
}


static ngx_int_t
ngx_http_apigw_version_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_apigw_version_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static void *
ngx_http_apigw_version_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_version_main_conf_t  *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_version_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&amcf->apis, cf->pool, 4,
                       sizeof(ngx_http_apigw_version_api_t *))
        != NGX_OK
        || ngx_array_init(&amcf->publish, cf->pool, 4,
                          sizeof(ngx_http_apigw_version_publish_t *))
           != NGX_OK
        || ngx_array_init(&amcf->locations, cf->pool, 4,
                          sizeof(ngx_http_apigw_version_location_t))
           != NGX_OK
        || ngx_array_init(&amcf->helpers, cf->pool, 1,
                          sizeof(ngx_apigw_helper_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return amcf;
}


static void *
ngx_http_apigw_version_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_version_loc_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_version_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->publish = NGX_CONF_UNSET_PTR;

    return lcf;
}


static char *
ngx_http_apigw_version_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apigw_version_loc_conf_t *prev = parent;
    ngx_http_apigw_version_loc_conf_t *conf = child;

    ngx_http_apigw_version_location_t   *location;
    ngx_http_apigw_version_main_conf_t  *amcf;

    ngx_conf_merge_ptr_value(conf->publish, prev->publish, NULL);

    if (conf->publish) {
        ngx_http_apigw_version_warn(cf, conf->publish->api);

        amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_version_module);

        location = ngx_array_push(&amcf->locations);
        if (location == NULL) {
            return NGX_CONF_ERROR;
        }

        location->publish = conf->publish;
        location->clcf = ngx_http_conf_get_module_loc_conf(cf,
                                                       ngx_http_core_module);
    }

    return ngx_http_apigw_version_catalog_merge(cf, prev, conf);
}


static ngx_int_t
ngx_http_apigw_version_init(ngx_conf_t *cf)
{
    ngx_uint_t                           i;
    ngx_http_apigw_version_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_version_module);

    if (ngx_http_apigw_version_check(cf, amcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (amcf->publish.nelts == 0) {
        return NGX_OK;
    }

    for (i = 0; i < NGX_HTTP_APIGW_VERSION_VARS; i++) {
        amcf->index[i] = ngx_http_get_variable_index(cf,
                                       &ngx_http_apigw_version_vars[i].name);

        if (amcf->index[i] == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_filter_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                 *h;
    ngx_http_core_main_conf_t           *cmcf;
    ngx_http_apigw_version_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_version_module);

    if (amcf->publish.nelts == 0) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_version_handler;

    if (amcf->zone) {
        h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = ngx_http_apigw_version_log_handler;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apigw_version_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apigw_version_body_filter;

    return NGX_OK;
}
