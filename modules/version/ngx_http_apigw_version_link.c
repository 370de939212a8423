/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_version.h"


/*
 * The URI of a resource in the successor of its version.  Every place of the
 * URI that names the version names the successor there, so that they do not
 * disagree; if none does, the first place of the API that a URI can carry is
 * put in.  What is no place stays as it is: path, query and port.
 */


static ngx_http_apigw_version_source_t *ngx_http_apigw_version_link_source(
    ngx_http_apigw_version_ctx_t *ctx, size_t *place);
static ngx_int_t ngx_http_apigw_version_end(ngx_http_apigw_version_ctx_t *ctx,
    ngx_uint_t position, size_t *place);
static u_char *ngx_http_apigw_version_link_host(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, ngx_str_t *pattern, u_char *p);
static u_char *ngx_http_apigw_version_link_path(
    ngx_http_apigw_version_ctx_t *ctx, u_char *p);
static u_char *ngx_http_apigw_version_link_query(
    ngx_http_apigw_version_ctx_t *ctx, u_char *p);
static ngx_uint_t ngx_http_apigw_version_link_named(
    ngx_http_apigw_version_api_t *api, const u_char *p, const u_char *last,
    const u_char **value);


/*
 * What may stand in a URI, and cannot end the URI-Reference of a Link field or
 * a string of JSON: unreserved characters, sub-delims, ":", "@" and "/".  A
 * byte each, since every answer of a deprecated version looks here.
 */

static const u_char  ngx_http_apigw_version_plain[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,     /*  !"#$%&'()*+,-./ */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0,     /* 0123456789:;<=>? */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,     /* @ABCDEFGHIJKLMNO */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1,     /* PQRSTUVWXYZ[\]^_ */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,     /* `abcdefghijklmno */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0      /* pqrstuvwxyz{|}~ */
};


/* A query has its own escapes, and may have a "?". */

#define ngx_http_apigw_version_in_query(ch)                                   \
    (ngx_http_apigw_version_plain[ch] || (ch) == '%' || (ch) == '?')


size_t
ngx_http_apigw_version_successor_len(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    ngx_http_apigw_version_api_t  *api;

    api = ctx->publish->api;

    /* a parameter of each source of the query, and the others once */

    return sizeof("//:65535/./?&=") - 1
           + 3 * (ctx->seen.len + ctx->args.len + api->longest)
           + (api->sources.nelts + 3) * ctx->version->successor->label.len
           + (ctx->host.len ? r->headers_in.server.len : 0);
}


u_char *
ngx_http_apigw_version_successor(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, u_char *p)
{
    size_t                            place;
    ngx_str_t                        *uri, *label, *pattern;
    ngx_http_apigw_version_source_t  *source;

    uri = &ctx->seen;
    label = &ctx->version->successor->label;

    source = ngx_http_apigw_version_link_source(ctx, &place);

    pattern = (source && source->type == NGX_HTTP_APIGW_VERSION_HOST)
              ? &source->name : NULL;

    if (pattern || ctx->host.len) {
        p = ngx_http_apigw_version_link_host(r, ctx, pattern, p);

    } else if (uri->len > 1 && uri->data[1] == '/') {

        /* what starts with "//" would be read as the name of a host */

        *p++ = '/';
        *p++ = '.';
    }

    if (source && source->type == NGX_HTTP_APIGW_VERSION_PATH) {
        p = ngx_http_apigw_version_escape(p, uri->data, place);
        *p++ = '/';
        p = ngx_cpymem(p, label->data, label->len);
        p = ngx_http_apigw_version_escape(p, uri->data + place,
                                          uri->len - place);

    } else {
        p = ngx_http_apigw_version_link_path(ctx, p);
    }

    if (ctx->args.len) {
        *p++ = '?';
        p = ngx_http_apigw_version_link_query(ctx, p);
    }

    if (source && source->type == NGX_HTTP_APIGW_VERSION_QUERY) {
        *p++ = ctx->args.len ? '&' : '?';
        p = ngx_http_apigw_version_escape(p, source->name.data,
                                          source->name.len);
        *p++ = '=';
        p = ngx_cpymem(p, label->data, label->len);
    }

    return p;
}


/*
 * The source to put in, NULL if the URI names the version already or there is
 * none that a URI can carry.  For a path also where it comes.
 */

static ngx_http_apigw_version_source_t *
ngx_http_apigw_version_link_source(ngx_http_apigw_version_ctx_t *ctx,
    size_t *place)
{
    ngx_str_t                         segment;
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source;

    *place = 0;

    if (ctx->segment.len || ctx->component.len || ctx->host.len
        || ctx->in_query)
    {
        return NULL;
    }

    source = ctx->publish->api->sources.elts;

    for (i = 0; i < ctx->publish->api->sources.nelts; i++) {

        switch (source[i].type) {

        case NGX_HTTP_APIGW_VERSION_PATH:

            if (ngx_apigw_path_segment(&ctx->seen, &ctx->publish->base,
                                       source[i].position, &segment)
                == NGX_OK)
            {
                *place = segment.data - 1 - ctx->seen.data;
                return &source[i];
            }

            if (ngx_http_apigw_version_end(ctx, source[i].position, place)
                == NGX_OK)
            {
                return &source[i];
            }

            break;

        case NGX_HTTP_APIGW_VERSION_QUERY:
        case NGX_HTTP_APIGW_VERSION_HOST:
            return &source[i];

        default:
            break;
        }
    }

    return NULL;
}


/* A path that ends where the version would be: "/orders", "/orders/". */

static ngx_int_t
ngx_http_apigw_version_end(ngx_http_apigw_version_ctx_t *ctx,
    ngx_uint_t position, size_t *place)
{
    size_t     end;
    ngx_str_t  segment, *base, *path;

    base = &ctx->publish->base;
    path = &ctx->seen;

    if (position == 1) {

        if (path->len < base->len
            || ngx_memcmp(path->data, base->data, base->len) != 0)
        {
            return NGX_DECLINED;
        }

        end = base->len;

    } else {

        if (ngx_apigw_path_segment(path, base, position - 1, &segment)
            != NGX_OK)
        {
            return NGX_DECLINED;
        }

        end = segment.data + segment.len - path->data;
    }

    if (end != path->len
        && (end + 1 != path->len || path->data[end] != '/'))
    {
        return NGX_DECLINED;
    }

    *place = end;

    return NGX_OK;
}


/* The host as it was asked for, or that of a pattern, and its port. */

static u_char *
ngx_http_apigw_version_link_host(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, ngx_str_t *pattern, u_char *p)
{
    size_t      before, after;
    ngx_str_t  *label, *host, port;

    label = &ctx->version->successor->label;

    if (pattern) {
        host = pattern;
        before = ngx_strlchr(host->data, host->data + host->len, '*')
                 - host->data;
        after = before + 1;

    } else {
        host = &r->headers_in.server;
        before = ctx->host.data - host->data;
        after = before + ctx->host.len;
    }

    *p++ = '/';
    *p++ = '/';
    p = ngx_cpymem(p, host->data, before);
    p = ngx_cpymem(p, label->data, label->len);
    p = ngx_cpymem(p, host->data + after, host->len - after);

    ngx_http_apigw_version_port(r, &port);

    return ngx_cpymem(p, port.data, port.len);
}


void
ngx_http_apigw_version_port(ngx_http_request_t *r, ngx_str_t *port)
{
    u_char     *p, *last;
    ngx_str_t  *server, *host;

    ngx_str_set(port, "");

    if (r->headers_in.host == NULL) {
        return;
    }

    /* nginx has checked that it is a host with nothing but a port behind */

    server = &r->headers_in.server;
    host = &r->headers_in.host->value;
    last = host->data + host->len;
    p = last;

    while (p > host->data && p[-1] >= '0' && p[-1] <= '9') {
        p--;
    }

    if (p > host->data
        && p < last
        && last - p <= 5
        && p[-1] == ':'
        && host->len > server->len
        && ngx_strncasecmp(host->data, server->data, server->len) == 0)
    {
        port->data = p - 1;
        port->len = last - port->data;
    }
}


/* The path with the successor in the place of the version. */

static u_char *
ngx_http_apigw_version_link_path(ngx_http_apigw_version_ctx_t *ctx, u_char *p)
{
    u_char      *from;
    ngx_str_t   *label;
    ngx_uint_t   i;

    /* a package is the first segment, the version's one behind it */

    ngx_str_t  *named[] = { &ctx->component, &ctx->segment };

    label = &ctx->version->successor->label;
    from = ctx->seen.data;

    /* but where both are: of "/v1.0/x" only the segment is taken */

    i = (ctx->segment.len && ctx->segment.data <= ctx->component.data) ? 1 : 0;

    for ( /* void */ ; i < 2; i++) {

        if (named[i]->len == 0) {
            continue;
        }

        p = ngx_http_apigw_version_escape(p, from, named[i]->data - from);
        p = ngx_cpymem(p, label->data, label->len);
        from = named[i]->data + named[i]->len;
    }

    return ngx_http_apigw_version_escape(p, from,
                                       ctx->seen.data + ctx->seen.len - from);
}


/* The query; of parameters that name the version the first one is left. */

static u_char *
ngx_http_apigw_version_link_query(ngx_http_apigw_version_ctx_t *ctx,
    u_char *p)
{
    u_char                         ch;
    ngx_str_t                     *label;
    ngx_uint_t                     n, seen;
    const u_char                  *from, *last, *next, *end;
    ngx_http_apigw_version_api_t  *api;

    static const u_char  hex[] = "0123456789ABCDEF";

    api = ctx->publish->api;
    label = &ctx->version->successor->label;

    from = ctx->args.data;
    last = from + ctx->args.len;
    seen = 0;

    for ( ;; ) {
        next = memchr(from, '&', last - from);

        if (next == NULL) {
            next = last;
        }

        end = next;
        n = ctx->in_query
            ? ngx_http_apigw_version_link_named(api, from, next, &end) : 0;

        if (n && (seen & ((ngx_uint_t) 1 << n))) {
            end = from;

            /* and the "&" before it */

            p--;

        } else {
            for ( /* void */ ; from != end; from++) {
                ch = *from;

                if (ngx_http_apigw_version_in_query(ch)) {
                    *p++ = ch;
                    continue;
                }

                *p++ = '%';
                *p++ = hex[ch >> 4];
                *p++ = hex[ch & 0xf];
            }

            if (n) {
                p = ngx_cpymem(p, label->data, label->len);
                seen |= (ngx_uint_t) 1 << n;
            }
        }

        if (next == last) {
            return p;
        }

        *p++ = '&';
        from = next + 1;
    }
}


/*
 * Which of the sources, from 1 on, a parameter of the query is, 0 if it is
 * none or is empty.  Sets *value to where its value begins.
 */

static ngx_uint_t
ngx_http_apigw_version_link_named(ngx_http_apigw_version_api_t *api,
    const u_char *p, const u_char *last, const u_char **value)
{
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source;

    source = api->sources.elts;

    for (i = 0; i < api->sources.nelts; i++) {

        if (source[i].type == NGX_HTTP_APIGW_VERSION_QUERY
            && ngx_apigw_query_named(p, last, &source[i].name, value))
        {
            return i + 1;
        }
    }

    return 0;
}


u_char *
ngx_http_apigw_version_escape(u_char *p, const u_char *src, size_t len)
{
    u_char         ch;
    size_t         i;
    const u_char  *last;

    static const u_char  hex[] = "0123456789ABCDEF";

    /* four at a time, the last four perhaps once more */

    if (len >= 4) {

        for (i = 0; /* void */ ; i += 4) {

            if (i > len - 4) {
                i = len - 4;
            }

            if (!(ngx_http_apigw_version_plain[src[i]]
                  & ngx_http_apigw_version_plain[src[i + 1]]
                  & ngx_http_apigw_version_plain[src[i + 2]]
                  & ngx_http_apigw_version_plain[src[i + 3]]))
            {
                break;
            }

            ngx_memcpy(p + i, src + i, 4);

            if (i == len - 4) {
                return p + len;
            }
        }
    }

    for (last = src + len; src != last; src++) {
        ch = *src;

        if (ngx_http_apigw_version_plain[ch]) {
            *p++ = ch;
            continue;
        }

        *p++ = '%';
        *p++ = hex[ch >> 4];
        *p++ = hex[ch & 0xf];
    }

    return p;
}
