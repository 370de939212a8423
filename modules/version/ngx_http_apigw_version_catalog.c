/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_date.h"
#include "ngx_http_apigw_version.h"


/*
 * The catalogue of RFC 9727 in the JSON of RFC 9264: one object for the list
 * of versions, one for each version with what is known of it.  The dates are
 * target attributes of the items.
 */

#define NGX_HTTP_APIGW_CATALOG_TYPE                                           \
    "application/linkset+json; "                                              \
    "profile=\"https://www.rfc-editor.org/info/rfc9727\""


typedef struct {
    u_char                            *pos;     /* NULL: only measure */
    size_t                             len;
    ngx_uint_t                         n;       /* of list elements */
    ngx_str_t                          port;    /* of the client's URI */
    ngx_str_t                          anchor;  /* the path of that, escaped */
} ngx_http_apigw_catalog_t;


static ngx_int_t ngx_http_apigw_version_catalog_handler(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_catalog_anchor(ngx_http_request_t *r,
    ngx_http_apigw_catalog_t *c);
static void ngx_http_apigw_catalog_render(ngx_http_request_t *r,
    ngx_http_apigw_catalog_t *c);
static void ngx_http_apigw_catalog_item(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version);
static void ngx_http_apigw_catalog_links(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version);
static ngx_uint_t ngx_http_apigw_catalog_carried(
    ngx_http_apigw_version_api_t *api);
static void ngx_http_apigw_catalog_href(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version);
static void ngx_http_apigw_catalog_template(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version);
static void ngx_http_apigw_catalog_date(ngx_http_apigw_catalog_t *c,
    const char *name, time_t date);
static void ngx_http_apigw_catalog_put(ngx_http_apigw_catalog_t *c,
    const u_char *data, size_t len);
static void ngx_http_apigw_catalog_path(ngx_http_apigw_catalog_t *c,
    ngx_str_t *path);

#define ngx_http_apigw_catalog_text(c, text)                                  \
    ngx_http_apigw_catalog_put(c, (u_char *) text, sizeof(text) - 1)
#define ngx_http_apigw_catalog_str(c, str)                                    \
    ngx_http_apigw_catalog_put(c, (str)->data, (str)->len)


char *
ngx_http_apigw_version_catalog(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_loc_conf_t *lcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (lcf->catalog) {
        return "is duplicate";
    }

    if (clcf->handler) {
        return "conflicts with another directive that answers here";
    }

    lcf->catalog = 1;
    clcf->handler = ngx_http_apigw_version_catalog_handler;

    /* it is of no version: that an API is published above means others */

    if (lcf->publish == NGX_CONF_UNSET_PTR) {
        lcf->publish = NULL;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_version_catalog_merge(ngx_conf_t *cf,
    ngx_http_apigw_version_loc_conf_t *prev,
    ngx_http_apigw_version_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->catalog
        && clcf->handler != ngx_http_apigw_version_catalog_handler)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"api_catalog\" conflicts with another directive that "
                      "answers in location \"%V\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (prev->catalog && clcf->noname && clcf->handler == NULL) {

        /* an "if" in the location */

        conf->catalog = 1;
        conf->publish = prev->publish;
        clcf->handler = ngx_http_apigw_version_catalog_handler;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_version_catalog_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_str_t                  link;
    ngx_buf_t                 *b;
    ngx_chain_t                out;
    ngx_http_apigw_catalog_t   c;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&c, sizeof(ngx_http_apigw_catalog_t));

    if (ngx_http_apigw_catalog_anchor(r, &c) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_apigw_version_port(r, &c.port);

    ngx_http_apigw_catalog_render(r, &c);

    b = ngx_create_temp_buf(r->pool, c.len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    c.pos = b->pos;
    c.len = 0;
    c.n = 0;

    ngx_http_apigw_catalog_render(r, &c);

    b->last = b->pos + c.len;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = c.len;

    ngx_str_set(&r->headers_out.content_type, NGX_HTTP_APIGW_CATALOG_TYPE);
    r->headers_out.content_type_len = sizeof("application/linkset+json") - 1;
    r->headers_out.content_type_lowcase = NULL;

    link.len = sizeof("<>; rel=\"api-catalog\"") - 1 + c.anchor.len;
    link.data = ngx_pnalloc(r->pool, link.len);
    if (link.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_sprintf(link.data, "<%V>; rel=\"api-catalog\"", &c.anchor);

    if (ngx_http_apigw_add_header(r, "Link", &link) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/*
 * The catalogue is where the client found it: it need not be the well-known
 * URI that shows it (RFC 9727, 2), and that one may have been rewritten.
 */

static ngx_int_t
ngx_http_apigw_catalog_anchor(ngx_http_request_t *r,
    ngx_http_apigw_catalog_t *c)
{
    u_char     *p;
    ngx_str_t   path;

    path = r->unparsed_uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');

    if (p) {
        path.len = p - path.data;
    }

    if (r != r->main
        || path.len == 0
        || !ngx_apigw_path_plain(path.data, path.len))
    {
        path = r->uri;
    }

    while (path.len > 1 && path.data[1] == '/') {

        /* "//" would be read as the name of a host */

        path.data++;
        path.len--;
    }

    c->anchor.data = ngx_pnalloc(r->pool, 3 * path.len);
    if (c->anchor.data == NULL) {
        return NGX_ERROR;
    }

    c->anchor.len = ngx_http_apigw_version_escape(c->anchor.data, path.data,
                                                  path.len)
                    - c->anchor.data;

    return NGX_OK;
}


static void
ngx_http_apigw_catalog_render(ngx_http_request_t *r,
    ngx_http_apigw_catalog_t *c)
{
    ngx_uint_t                            i, k;
    ngx_http_core_srv_conf_t             *cscf;
    ngx_http_apigw_version_t            **version;
    ngx_http_apigw_version_publish_t    **publish;
    ngx_http_apigw_version_main_conf_t   *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_version_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    publish = amcf->publish.elts;

    ngx_http_apigw_catalog_text(c, "{\"linkset\":[{\"anchor\":\"");
    ngx_http_apigw_catalog_str(c, &c->anchor);
    ngx_http_apigw_catalog_text(c, "\",\"item\":[");

    for (i = 0; i < amcf->publish.nelts; i++) {

        if (publish[i]->cscf != cscf || publish[i]->again) {
            continue;
        }

        version = publish[i]->api->versions.elts;

        for (k = 0; k < publish[i]->api->versions.nelts; k++) {
            ngx_http_apigw_catalog_item(c, publish[i], version[k]);
        }
    }

    ngx_http_apigw_catalog_text(c, "]}");

    for (i = 0; i < amcf->publish.nelts; i++) {

        if (publish[i]->cscf != cscf || publish[i]->again) {
            continue;
        }

        version = publish[i]->api->versions.elts;

        for (k = 0; k < publish[i]->api->versions.nelts; k++) {
            ngx_http_apigw_catalog_links(c, publish[i], version[k]);
        }
    }

    ngx_http_apigw_catalog_text(c, "]}\n");
}


static void
ngx_http_apigw_catalog_item(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version)
{
    if (c->n++) {
        ngx_http_apigw_catalog_text(c, ",");
    }

    ngx_http_apigw_catalog_text(c, "{\"href\":\"");
    ngx_http_apigw_catalog_href(c, publish, version);
    ngx_http_apigw_catalog_text(c, "\",\"title\":\"");
    ngx_http_apigw_catalog_str(c, &publish->api->name);
    ngx_http_apigw_catalog_text(c, " ");
    ngx_http_apigw_catalog_str(c, &version->label);
    ngx_http_apigw_catalog_text(c, "\",\"api\":[\"");
    ngx_http_apigw_catalog_str(c, &publish->api->name);
    ngx_http_apigw_catalog_text(c, "\"],\"version\":[\"");
    ngx_http_apigw_catalog_str(c, &version->label);
    ngx_http_apigw_catalog_text(c, "\"],\"status\":[\"");
    ngx_http_apigw_catalog_str(c,
                          ngx_http_apigw_version_status(version, ngx_time()));
    ngx_http_apigw_catalog_text(c, "\"]");

    ngx_http_apigw_catalog_template(c, publish, version);
    ngx_http_apigw_catalog_date(c, "since", version->since);
    ngx_http_apigw_catalog_date(c, "deprecation", version->deprecated);
    ngx_http_apigw_catalog_date(c, "sunset", version->sunset);

    if (version->successor) {
        ngx_http_apigw_catalog_text(c, ",\"successor\":[\"");
        ngx_http_apigw_catalog_str(c, &version->successor->label);
        ngx_http_apigw_catalog_text(c, "\"]");
    }

    ngx_http_apigw_catalog_text(c, "}");
}


/* The context object of a version, if there are links to put into it. */

static void
ngx_http_apigw_catalog_links(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version)
{
    if (version->link.len == 0
        && (version->successor == NULL
            || !ngx_http_apigw_catalog_carried(publish->api)))
    {
        return;
    }

    ngx_http_apigw_catalog_text(c, ",{\"anchor\":\"");
    ngx_http_apigw_catalog_href(c, publish, version);
    ngx_http_apigw_catalog_text(c, "\"");

    if (version->link.len) {
        ngx_http_apigw_catalog_text(c, ",\"service-doc\":[{\"href\":\"");
        ngx_http_apigw_catalog_str(c, &version->link);
        ngx_http_apigw_catalog_text(c, "\"}]");
    }

    if (version->link.len && version->deprecated) {
        ngx_http_apigw_catalog_text(c, ",\"deprecation\":[{\"href\":\"");
        ngx_http_apigw_catalog_str(c, &version->link);
        ngx_http_apigw_catalog_text(c, "\"}]");
    }

    if (version->link.len && version->sunset) {
        ngx_http_apigw_catalog_text(c, ",\"sunset\":[{\"href\":\"");
        ngx_http_apigw_catalog_str(c, &version->link);
        ngx_http_apigw_catalog_text(c, "\"}]");
    }

    /* what no URI can tell has no link: it would point to itself */

    if (version->successor && ngx_http_apigw_catalog_carried(publish->api)) {
        ngx_http_apigw_catalog_text(c,
                                    ",\"successor-version\":[{\"href\":\"");
        ngx_http_apigw_catalog_href(c, publish, version->successor);
        ngx_http_apigw_catalog_text(c, "\"}]");
    }

    ngx_http_apigw_catalog_text(c, "}");
}


/* Whether where a version begins is another place for each of them. */

static ngx_uint_t
ngx_http_apigw_catalog_carried(ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source;

    source = api->sources.elts;

    for (i = 0; i < api->sources.nelts; i++) {

        if ((source[i].type == NGX_HTTP_APIGW_VERSION_PATH
             && source[i].position == 1)
            || source[i].type == NGX_HTTP_APIGW_VERSION_QUERY
            || source[i].type == NGX_HTTP_APIGW_VERSION_HOST)
        {
            return 1;
        }
    }

    return 0;
}


/* Where a version begins, by the first place that a URI can carry. */

static void
ngx_http_apigw_catalog_href(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version)
{
    size_t                            n;
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source;

    source = publish->api->sources.elts;

    for (i = 0; i < publish->api->sources.nelts; i++) {

        if (source[i].type == NGX_HTTP_APIGW_VERSION_PATH
            && source[i].position == 1)
        {
            ngx_http_apigw_catalog_path(c, &publish->base);
            ngx_http_apigw_catalog_text(c, "/");
            ngx_http_apigw_catalog_str(c, &version->label);
            ngx_http_apigw_catalog_text(c, "/");
            return;
        }

        if (source[i].type == NGX_HTTP_APIGW_VERSION_QUERY) {
            ngx_http_apigw_catalog_path(c, &publish->base);
            ngx_http_apigw_catalog_text(c, "/?");
            ngx_http_apigw_catalog_str(c, &source[i].name);
            ngx_http_apigw_catalog_text(c, "=");
            ngx_http_apigw_catalog_str(c, &version->label);
            return;
        }

        if (source[i].type == NGX_HTTP_APIGW_VERSION_HOST) {
            n = ngx_strlchr(source[i].name.data,
                            source[i].name.data + source[i].name.len, '*')
                - source[i].name.data;

            ngx_http_apigw_catalog_text(c, "//");
            ngx_http_apigw_catalog_put(c, source[i].name.data, n);
            ngx_http_apigw_catalog_str(c, &version->label);
            ngx_http_apigw_catalog_put(c, source[i].name.data + n + 1,
                                       source[i].name.len - n - 1);
            ngx_http_apigw_catalog_str(c, &c->port);
            break;
        }
    }

    ngx_http_apigw_catalog_path(c, &publish->base);
    ngx_http_apigw_catalog_text(c, "/");
}


/*
 * A version that comes behind other segments, or in a package, has no place
 * where it begins: a URI template (RFC 6570) tells how its URIs look.
 */

static void
ngx_http_apigw_catalog_template(ngx_http_apigw_catalog_t *c,
    ngx_http_apigw_version_publish_t *publish,
    ngx_http_apigw_version_t *version)
{
    u_char                            text[NGX_INT_T_LEN];
    ngx_uint_t                        i, n;
    ngx_http_apigw_version_source_t  *source;

    source = publish->api->sources.elts;

    for (i = 0; i < publish->api->sources.nelts; i++) {

        if (source[i].type == NGX_HTTP_APIGW_VERSION_PACKAGE) {
            ngx_http_apigw_catalog_text(c, ",\"uri-template\":[\"");
            ngx_http_apigw_catalog_path(c, &publish->base);
            ngx_http_apigw_catalog_text(c, "/{+package}");
            ngx_http_apigw_catalog_str(c, &version->label);
            ngx_http_apigw_catalog_text(c, ".{+rest}\"]");
            return;
        }

        if (source[i].type != NGX_HTTP_APIGW_VERSION_PATH
            || source[i].position == 1)
        {
            continue;
        }

        ngx_http_apigw_catalog_text(c, ",\"uri-template\":[\"");
        ngx_http_apigw_catalog_path(c, &publish->base);

        for (n = 1; n < source[i].position; n++) {
            ngx_http_apigw_catalog_text(c, "/{segment");
            ngx_http_apigw_catalog_put(c, text,
                                       ngx_sprintf(text, "%ui", n) - text);
            ngx_http_apigw_catalog_text(c, "}");
        }

        ngx_http_apigw_catalog_text(c, "/");
        ngx_http_apigw_catalog_str(c, &version->label);
        ngx_http_apigw_catalog_text(c, "/{+rest}\"]");
        return;
    }
}


static void
ngx_http_apigw_catalog_date(ngx_http_apigw_catalog_t *c, const char *name,
    time_t date)
{
    u_char  text[NGX_APIGW_DATE_ISO_LEN];

    if (date == 0) {
        return;
    }

    ngx_http_apigw_catalog_text(c, ",\"");
    ngx_http_apigw_catalog_put(c, (u_char *) name, ngx_strlen(name));
    ngx_http_apigw_catalog_text(c, "\":[\"");

    (void) ngx_apigw_date_iso(text, date);

    ngx_http_apigw_catalog_put(c, text, NGX_APIGW_DATE_ISO_LEN);
    ngx_http_apigw_catalog_text(c, "\"]");
}


static void
ngx_http_apigw_catalog_put(ngx_http_apigw_catalog_t *c, const u_char *data,
    size_t len)
{
    if (c->pos) {
        c->pos = ngx_cpymem(c->pos, data, len);
    }

    c->len += len;
}


static void
ngx_http_apigw_catalog_path(ngx_http_apigw_catalog_t *c, ngx_str_t *path)
{
    u_char  *p;

    if (c->pos == NULL) {
        c->len += 3 * path->len;
        return;
    }

    p = ngx_http_apigw_version_escape(c->pos, path->data, path->len);

    c->len += p - c->pos;
    c->pos = p;
}
