/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_date.h"
#include "ngx_http_apigw_version.h"


static ngx_int_t ngx_http_apigw_version_problem(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, ngx_uint_t status, u_char *title,
    size_t len);
static ngx_int_t ngx_http_apigw_version_list(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_version_dates(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_http_apigw_version_source_t *ngx_http_apigw_version_link_source(
    ngx_http_apigw_version_ctx_t *ctx, size_t *place);
static ngx_int_t ngx_http_apigw_version_end(ngx_http_apigw_version_ctx_t *ctx,
    ngx_uint_t position, size_t *place);


static ngx_str_t  ngx_http_apigw_version_states[] = {
    ngx_string("current"),
    ngx_string("preview"),
    ngx_string("canary"),
    ngx_string("deprecated"),
    ngx_string("sunset")
};


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


#define ngx_http_apigw_version_refuse(r, ctx, status, title)                  \
    ngx_http_apigw_version_problem(r, ctx, status, (u_char *) title,          \
                                   sizeof(title) - 1)


static ngx_int_t
ngx_http_apigw_version_problem(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, ngx_uint_t status, u_char *title,
    size_t len)
{
    ctx->problem = ngx_pcalloc(r->pool, sizeof(ngx_http_apigw_problem_t));
    if (ctx->problem == NULL) {
        return NGX_ERROR;
    }

    ctx->problem->status = status;
    ctx->problem->title.data = title;
    ctx->problem->title.len = len;

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_version_missing(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    if (ngx_http_apigw_version_refuse(r, ctx, NGX_HTTP_BAD_REQUEST,
                                      "Bad Request")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&ctx->problem->detail, "The request names no version.");

    return ngx_http_apigw_version_list(r, ctx);
}


ngx_int_t
ngx_http_apigw_version_unknown(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    u_char  *p;

    if (ngx_http_apigw_version_refuse(r, ctx, NGX_HTTP_NOT_FOUND,
                                      "Not Found")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&ctx->problem->detail, "There is no such version.");

    if (ngx_apigw_label_valid(ctx->asked.data, ctx->asked.len)) {

        p = ngx_pnalloc(r->pool, sizeof("There is no version \"\".") - 1
                                 + ctx->asked.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ctx->problem->detail.data = p;
        ctx->problem->detail.len = ngx_sprintf(p, "There is no version \"%V\".",
                                              &ctx->asked)
                                  - p;
    }

    return ngx_http_apigw_version_list(r, ctx);
}


ngx_int_t
ngx_http_apigw_version_conflict(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    if (ngx_http_apigw_version_refuse(r, ctx, NGX_HTTP_BAD_REQUEST,
                                      "Bad Request")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&ctx->problem->detail,
                "The request names versions that disagree.");

    return ngx_http_apigw_version_list(r, ctx);
}


ngx_int_t
ngx_http_apigw_version_retired(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    u_char                    *p;
    ngx_http_apigw_version_t  *version;

    version = ctx->version;

    p = ngx_pnalloc(r->pool, sizeof("Version \"\" was retired on .") - 1
                             + version->label.len
                             + NGX_APIGW_DATE_HTTP_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_apigw_version_refuse(r, ctx, 410,
                                      "Gone")
        != NGX_OK)
    {
        return NGX_ERROR;
    }


    ctx->problem->detail.data = p;
    ctx->problem->detail.len = ngx_sprintf(p,
                                          "Version \"%V\" was retired on %V.",
                                          &version->label,
                                          &version->sunset_field)
                              - p;

    return ngx_http_apigw_version_dates(r, ctx);
}


ngx_int_t
ngx_http_apigw_version_browned(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, time_t retry_after)
{
    u_char                    *p;
    ngx_http_apigw_version_t  *version;

    version = ctx->version;

    p = ngx_pnalloc(r->pool, sizeof("Version \"\" will be retired on , "
                                    "this is a rehearsal.") - 1
                             + version->label.len
                             + NGX_APIGW_DATE_HTTP_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_apigw_version_refuse(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                      "Service Unavailable")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->problem->retry_after = retry_after;

    ctx->problem->detail.data = p;
    ctx->problem->detail.len = ngx_sprintf(p, "Version \"%V\" will be retired "
                                             "on %V, this is a rehearsal.",
                                          &version->label,
                                          &version->sunset_field)
                              - p;

    return ngx_http_apigw_version_dates(r, ctx);
}


/* Members of a problem that is solved by naming another version. */

static ngx_int_t
ngx_http_apigw_version_list(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    size_t                         len;
    u_char                        *p;
    ngx_uint_t                     i, n;
    ngx_http_apigw_version_t     **version;
    ngx_http_apigw_version_api_t  *api;

    api = ctx->publish->api;

    len = sizeof("\"api\":\"\",\"versions\":[]") - 1 + api->name.len;

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {
        len += sizeof(",\"\"") - 1 + version[i]->label.len;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->problem->members.data = p;

    p = ngx_sprintf(p, "\"api\":\"%V\",\"versions\":[", &api->name);

    for (i = 0, n = 0; i < api->versions.nelts; i++) {

        if (version[i]->sunset && version[i]->sunset <= ngx_time()) {
            continue;
        }

        p = ngx_sprintf(p, "%s\"%V\"", n++ ? "," : "", &version[i]->label);
    }

    *p++ = ']';

    ctx->problem->members.len = p - ctx->problem->members.data;

    return NGX_OK;
}


/* Members of a problem that is solved by moving to the successor. */

static ngx_int_t
ngx_http_apigw_version_dates(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    size_t                         len;
    u_char                        *p;
    ngx_http_apigw_version_t      *version, *next;
    ngx_http_apigw_version_api_t  *api;

    api = ctx->publish->api;
    version = ctx->version;
    next = version->successor;

    len = sizeof("\"api\":\"\",\"version\":\"\",\"sunset\":\"\"") - 1
          + api->name.len + version->label.len + NGX_APIGW_DATE_ISO_LEN;

    if (next) {
        len += sizeof(",\"successor\":\"\",\"successor_uri\":\"\"") - 1
               + next->label.len
               + ngx_http_apigw_version_successor_len(ctx);
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->problem->members.data = p;

    p = ngx_sprintf(p, "\"api\":\"%V\",\"version\":\"%V\",\"sunset\":\"",
                    &api->name, &version->label);
    p = ngx_apigw_date_iso(p, version->sunset);
    *p++ = '"';

    if (next) {
        p = ngx_sprintf(p, ",\"successor\":\"%V\",\"successor_uri\":\"",
                        &next->label);
        p = ngx_http_apigw_version_successor(ctx, p);
        *p++ = '"';
    }

    ctx->problem->members.len = p - ctx->problem->members.data;

    return NGX_OK;
}


ngx_str_t *
ngx_http_apigw_version_status(ngx_http_apigw_version_t *version, time_t now)
{
    ngx_uint_t  state;

    if (version->sunset && now >= version->sunset) {
        state = 4;

    } else if (version->deprecated && now >= version->deprecated) {
        state = 3;

    } else if (version->canary) {
        state = 2;

    } else if (version->preview || now < version->since) {
        state = 1;

    } else {
        state = 0;
    }

    return &ngx_http_apigw_version_states[state];
}


size_t
ngx_http_apigw_version_successor_len(ngx_http_apigw_version_ctx_t *ctx)
{
    return sizeof("/./?=") - 1 + 3 * ctx->seen.len
           + ctx->version->successor->label.len
           + 3 * ctx->publish->api->longest;
}


u_char *
ngx_http_apigw_version_successor(ngx_http_apigw_version_ctx_t *ctx, u_char *p)
{
    size_t                            place, rest;
    ngx_str_t                        *label, *uri, *name;
    ngx_http_apigw_version_source_t  *source;

    label = &ctx->version->successor->label;
    uri = &ctx->seen;

    source = ngx_http_apigw_version_link_source(ctx, &place);
    name = source ? &source->name : NULL;

    if (source && source->type == NGX_HTTP_APIGW_VERSION_HOST) {
        place = ngx_strlchr(name->data, name->data + name->len, '*')
                - name->data;

        *p++ = '/';
        *p++ = '/';
        p = ngx_cpymem(p, name->data, place);
        p = ngx_cpymem(p, label->data, label->len);
        p = ngx_cpymem(p, name->data + place + 1, name->len - place - 1);

        return ngx_http_apigw_version_escape(p, ctx->path.data, ctx->path.len);
    }

    if (uri->len > 1 && uri->data[1] == '/') {

        /* what starts with "//" would be read as the name of a host */

        *p++ = '/';
        *p++ = '.';
    }

    if (source && source->type == NGX_HTTP_APIGW_VERSION_PATH) {
        rest = place + (ctx->segment.len ? ctx->segment.len + 1 : 0);

        p = ngx_http_apigw_version_escape(p, uri->data, place);
        *p++ = '/';
        p = ngx_cpymem(p, label->data, label->len);

        return ngx_http_apigw_version_escape(p, uri->data + rest,
                                             uri->len - rest);
    }

    p = ngx_http_apigw_version_escape(p, ctx->path.data, ctx->path.len);

    if (source) {
        *p++ = '?';
        p = ngx_http_apigw_version_escape(p, name->data, name->len);
        *p++ = '=';
        p = ngx_cpymem(p, label->data, label->len);
    }

    return p;
}


/*
 * The source that a URI can carry: the one that decided, else the first of
 * the API; NULL if there is none.  For a path also the place of the version.
 */

static ngx_http_apigw_version_source_t *
ngx_http_apigw_version_link_source(ngx_http_apigw_version_ctx_t *ctx,
    size_t *place)
{
    ngx_str_t                         segment;
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source, *found;

    source = ctx->publish->api->sources.elts;
    found = NULL;
    *place = 0;

    for (i = 0; i < ctx->publish->api->sources.nelts; i++) {

        switch (source[i].type) {

        case NGX_HTTP_APIGW_VERSION_PATH:

            if (ctx->segment.len) {
                *place = ctx->segment.data - 1 - ctx->seen.data;

            } else if (ngx_apigw_path_segment(&ctx->seen,
                                              &ctx->publish->base,
                                              source[i].position, &segment)
                       == NGX_OK)
            {
                *place = segment.data - 1 - ctx->seen.data;

            } else if (ngx_http_apigw_version_end(ctx, source[i].position,
                                                  place)
                       != NGX_OK)
            {
                continue;
            }

            break;

        case NGX_HTTP_APIGW_VERSION_QUERY:
        case NGX_HTTP_APIGW_VERSION_HOST:
            break;

        default:
            continue;
        }

        if (source[i].type == ctx->source) {
            return &source[i];
        }

        if (found == NULL) {
            found = &source[i];
        }
    }

    return found;
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
