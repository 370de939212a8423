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


static ngx_str_t  ngx_http_apigw_version_states[] = {
    ngx_string("current"),
    ngx_string("preview"),
    ngx_string("canary"),
    ngx_string("deprecated"),
    ngx_string("sunset")
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


/* RFC 9110, 12.5.1; what would have been chosen has no part in the answer. */

ngx_int_t
ngx_http_apigw_version_unacceptable(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    u_char                    *p;
    ngx_http_apigw_version_t  *version;

    version = ctx->version;
    ctx->version = NULL;

    if (ngx_http_apigw_version_refuse(r, ctx, 406, "Not Acceptable")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, sizeof("Version \"\" is not accepted.") - 1
                             + version->label.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->problem->detail.data = p;
    ctx->problem->detail.len = ngx_sprintf(p,
                                          "Version \"%V\" is not accepted.",
                                          &version->label)
                              - p;

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
               + ngx_http_apigw_version_successor_len(r, ctx);
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
        p = ngx_http_apigw_version_successor(r, ctx, p);
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

    } else if (version->preview || now < version->since) {
        state = 1;

    } else if (version->canary) {
        state = 2;

    } else {
        state = 0;
    }

    return &ngx_http_apigw_version_states[state];
}
