/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_version.h"


static ngx_http_apigw_version_t *ngx_http_apigw_version_nearest(
    ngx_http_apigw_version_api_t *api, ngx_str_t *asked);
static ngx_int_t ngx_http_apigw_version_unnamed(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_version_canary(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_version_brown_out(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, time_t now);
static ngx_int_t ngx_http_apigw_version_caller(ngx_http_request_t *r,
    ngx_int_t by, ngx_str_t *caller);


ngx_int_t
ngx_http_apigw_version_fall_back(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    ngx_http_apigw_version_api_t  *api;

    api = ctx->publish->api;

    if (ctx->asked.len == 0) {

        if (api->current == NULL
            || api->fallback == NGX_HTTP_APIGW_VERSION_REJECT)
        {
            return ngx_http_apigw_version_missing(r, ctx);
        }

        return ngx_http_apigw_version_unnamed(r, ctx);
    }

    switch (api->fallback) {

    case NGX_HTTP_APIGW_VERSION_TO_DEFAULT:
        return ngx_http_apigw_version_unnamed(r, ctx);

    case NGX_HTTP_APIGW_VERSION_TO_NEAREST:
        ctx->version = ngx_http_apigw_version_nearest(api, &ctx->asked);

        if (ctx->version) {
            ctx->source = NGX_HTTP_APIGW_VERSION_NEAREST;
            return NGX_OK;
        }
    }

    return ngx_http_apigw_version_unknown(r, ctx);
}


/*
 * The highest version not above the asked one that is generally available and
 * has not ended; if all of them have, the highest: it tells its successor.
 */

static ngx_http_apigw_version_t *
ngx_http_apigw_version_nearest(ngx_http_apigw_version_api_t *api,
    ngx_str_t *asked)
{
    time_t                      now;
    ngx_uint_t                  i, shape;
    ngx_apigw_number_t          number;
    ngx_http_apigw_version_t   *nearest, *ended, **best, **version;

    shape = ngx_apigw_label_number(asked->data, asked->len, &number);

    if (shape == NGX_APIGW_SHAPE_NONE
        || (shape == NGX_APIGW_SHAPE_DATE)
           != (api->shapes == NGX_APIGW_SHAPE_DATE))
    {
        return NULL;
    }

    now = ngx_time();
    nearest = NULL;
    ended = NULL;
    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (version[i]->preview
            || version[i]->canary
            || version[i]->since > now
            || ngx_apigw_number_cmp(&version[i]->number, &number) > 0)
        {
            continue;
        }

        best = (version[i]->sunset && version[i]->sunset <= now)
               ? &ended : &nearest;

        if (*best == NULL
            || ngx_apigw_number_cmp(&version[i]->number, &(*best)->number) > 0)
        {
            *best = version[i];
        }
    }

    return nearest ? nearest : ended;
}


/* A request that leaves the choice to us: the default or a canary. */

static ngx_int_t
ngx_http_apigw_version_unnamed(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    ngx_http_apigw_version_api_t  *api;

    api = ctx->publish->api;

    ctx->version = api->current;
    ctx->source = NGX_HTTP_APIGW_VERSION_DEFAULT;
    ctx->vary = &api->vary;

    if (!api->has_canary) {
        return NGX_OK;
    }

    return ngx_http_apigw_version_canary(r, ctx);
}


/*
 * Each canary has a hash of its own and takes its share of those that no
 * earlier canary took, so a share that grows takes nobody out of its canary.
 */

static ngx_int_t
ngx_http_apigw_version_canary(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    ngx_str_t                        caller;
    ngx_uint_t                       i;
    ngx_http_apigw_version_t       **version;
    ngx_http_apigw_version_api_t    *api;
    ngx_http_apigw_version_find_t    asked;

    api = ctx->publish->api;
    asked.found = 0;
    asked.version = NULL;

    if (api->optin.lowcase.len) {
        (void) ngx_http_apigw_version_find_header(r, ctx, &api->optin,
                                                  &asked);
    }

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (!version[i]->canary
            || version[i]->since > ngx_time()
            || (version[i]->sunset && version[i]->sunset <= ngx_time())
            || (ctx->zero
                && ngx_http_apigw_version_unwanted(r, ctx, version[i])))
        {
            continue;
        }

        if (version[i]->optin && asked.found) {

            if (asked.version != version[i]) {
                continue;
            }

        } else {

            if (ngx_http_apigw_version_caller(r, version[i]->by, &caller)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (caller.len == 0
                || ngx_apigw_share_place(&version[i]->salt, caller.data,
                                         caller.len)
                   >= version[i]->limit)
            {
                continue;
            }
        }

        ctx->version = version[i];
        ctx->source = NGX_HTTP_APIGW_VERSION_CANARY;
        break;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_version_retire(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    time_t                     now;
    ngx_http_apigw_version_t  *version;

    version = ctx->version;
    now = ngx_time();

    if (now >= version->sunset) {
        return ngx_http_apigw_version_retired(r, ctx);
    }

    if (version->brownout && now >= version->brownout->from) {
        return ngx_http_apigw_version_brown_out(r, ctx, now);
    }

    return NGX_OK;
}


/* The share grows from the given one to 100 % at the sunset. */

static ngx_int_t
ngx_http_apigw_version_brown_out(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, time_t now)
{
    time_t                              left;
    uint64_t                            limit;
    ngx_str_t                           caller;
    ngx_http_apigw_version_t           *version;
    ngx_http_variable_value_t          *vv;
    ngx_http_apigw_version_brownout_t  *brownout;

    version = ctx->version;
    brownout = version->brownout;

    /*
     * When the service is there again for this caller: the share only grows,
     * so without a pause that is never before the sunset.
     */

    if (brownout->vary.len) {
        ctx->rehearsal = brownout;
    }

    left = version->sunset - now;

    if (brownout->minutes < 60) {
        left = ngx_min(left, (time_t) brownout->minutes * 60 - now % 3600);

        if (left <= 0) {
            return NGX_OK;
        }
    }

    if (brownout->exempt != NGX_ERROR) {
        vv = ngx_http_get_flushed_variable(r, brownout->exempt);

        if (vv == NULL) {
            return NGX_ERROR;
        }

        if (!vv->not_found
            && vv->len
            && !(vv->len == 1 && vv->data[0] == '0'))
        {
            return NGX_OK;
        }
    }

    if (ngx_http_apigw_version_caller(r, brownout->by, &caller) != NGX_OK) {
        return NGX_ERROR;
    }

    /* who does not say who he is, is nevertheless one of many */

    if (caller.len == 0) {
        caller = r->connection->addr_text;
    }

    limit = brownout->share
            + (uint64_t) (NGX_APIGW_SHARE_ALL - brownout->share)
              * (uint64_t) (now - brownout->from)
              / (uint64_t) (version->sunset - brownout->from);

    limit = (limit << 32) / NGX_APIGW_SHARE_ALL;

    if (ngx_apigw_share_place(&version->salt, caller.data, caller.len)
        >= limit)
    {
        return NGX_OK;
    }

    return ngx_http_apigw_version_browned(r, ctx, left);
}


static ngx_int_t
ngx_http_apigw_version_caller(ngx_http_request_t *r, ngx_int_t by,
    ngx_str_t *caller)
{
    ngx_http_variable_value_t  *vv;

    if (by == NGX_ERROR) {
        *caller = r->connection->addr_text;
        return NGX_OK;
    }

    vv = ngx_http_get_flushed_variable(r, by);

    if (vv == NULL) {
        return NGX_ERROR;
    }

    caller->len = vv->not_found ? 0 : vv->len;
    caller->data = vv->data;

    return NGX_OK;
}
