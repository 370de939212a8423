/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/*
 * The ledger's side of a request.  Its entry is found, or brought into memory,
 * when the request is decided about, since it can still be refused then; all
 * numbers are added when it is over.
 */


#define NGX_HTTP_APIGW_USAGE_ATTEMPTS  8
#define NGX_HTTP_APIGW_USAGE_DAY       86400
#define NGX_HTTP_APIGW_USAGE_TEXT      192

#define NGX_HTTP_APIGW_USAGE_UNITS_MAX  1000000000000ULL


static uint64_t ngx_http_apigw_usage_hash_names(
    ngx_http_apigw_usage_ctx_t *ctx);
static void ngx_http_apigw_usage_name_entry(ngx_http_apigw_usage_ctx_t *ctx,
    ngx_apigw_ledger_info_t *info);
static u_char *ngx_http_apigw_usage_name(u_char *p, u_char *len, size_t room,
    const ngx_str_t *name);
static uint64_t ngx_http_apigw_usage_actual(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_uint_t status);
static ngx_uint_t ngx_http_apigw_usage_is_refunded(
    ngx_http_apigw_usage_loc_conf_t *lcf, ngx_uint_t status);
static void ngx_http_apigw_usage_row(ngx_http_request_t *r,
    ngx_apigw_ledger_row_t *row, ngx_uint_t status);
static void ngx_http_apigw_usage_write(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_apigw_ledger_row_t *row);


/* Finds the entry of a request. */

ngx_int_t
ngx_http_apigw_usage_enter(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    uint64_t                  names;
    ngx_apigw_ledger_info_t   info;

    ctx->day = (uint32_t) (ngx_time() / NGX_HTTP_APIGW_USAGE_DAY);

    names = ctx->eval.plan->entry;

    if (ctx->conf->usage->names) {
        names += ngx_http_apigw_usage_hash_names(ctx);
    }

    ngx_apigw_counter_place_in(ctx->zone->ledger.sets, &ctx->hash,
                               ngx_apigw_counter_salt(names, ctx->day),
                               &ctx->entry);

    ctx->slot = ngx_apigw_ledger_find(&ctx->zone->ledger, &ctx->entry);

    if (ctx->slot != NGX_APIGW_COUNTER_NONE) {
        return NGX_OK;
    }

    ngx_http_apigw_usage_name_entry(ctx, &info);

    return ngx_http_apigw_usage_entry(ctx->zone, &ctx->entry, &info, 0,
                                      r->connection->log, &ctx->slot);
}


/* Of key, API and version: different names have different entries. */

static uint64_t
ngx_http_apigw_usage_hash_names(ngx_http_apigw_usage_ctx_t *ctx)
{
    u_char            *p;
    u_char             text[NGX_HTTP_APIGW_USAGE_TEXT];
    size_t             len;
    ngx_uint_t         i;
    ngx_apigw_hash_t   hash;

    len = ctx->names[0].len + ctx->names[1].len + ctx->names[2].len;

    if (len == 0) {
        return 0;
    }

    p = text + 3;

    for (i = 0; i < 3; i++) {

        if (len > NGX_HTTP_APIGW_USAGE_TEXT - 3) {
            text[i] = 0;
            p = ngx_http_apigw_usage_name(p, &text[i], NGX_APIGW_LEDGER_PART,
                                          &ctx->names[i]);
            continue;
        }

        text[i] = (u_char) ctx->names[i].len;

        if (ctx->names[i].len) {
            p = ngx_cpymem(p, ctx->names[i].data, ctx->names[i].len);
        }
    }

    ngx_apigw_hash_half(&hash, &ctx->zone->sh->key, text, p - text);

    return hash.h[0];
}


static void
ngx_http_apigw_usage_name_entry(ngx_http_apigw_usage_ctx_t *ctx,
    ngx_apigw_ledger_info_t *info)
{
    u_char           *p;
    ngx_uint_t        i;
    const ngx_str_t  *names[NGX_APIGW_LEDGER_NAMES];

    ngx_memzero(info, sizeof(ngx_apigw_ledger_info_t));

    info->day = ctx->day;

    names[NGX_APIGW_LEDGER_CONSUMER] = &ctx->consumer;
    names[NGX_APIGW_LEDGER_KEY] = &ctx->names[0];
    names[NGX_APIGW_LEDGER_PLAN] = &ctx->eval.plan->name;
    names[NGX_APIGW_LEDGER_API] = &ctx->names[1];
    names[NGX_APIGW_LEDGER_VER] = &ctx->names[2];

    p = info->names;

    for (i = 0; i < NGX_APIGW_LEDGER_NAMES; i++) {
        p = ngx_http_apigw_usage_name(p, &info->lens[i],
                                      ngx_apigw_ledger_room(i), names[i]);
    }
}


static u_char *
ngx_http_apigw_usage_name(u_char *p, u_char *len, size_t room,
    const ngx_str_t *name)
{
    /* a variable without a value has no address */

    if (name->len == 0) {
        return p;
    }

    *len = (u_char) ngx_apigw_plan_shorten(p, room, name);

    return p + *len;
}


ngx_int_t
ngx_http_apigw_usage_log_handler(ngx_http_request_t *r)
{
    uint64_t                      units;
    ngx_uint_t                    status;
    ngx_apigw_ledger_row_t        row;
    ngx_http_apigw_usage_ctx_t   *ctx;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    if (ctx == NULL || ctx->logged || ctx->eval.plan == NULL) {
        return NGX_OK;
    }

    ctx->logged = 1;

    ngx_memzero(&row, sizeof(ngx_apigw_ledger_row_t));

    switch (ctx->status) {

    case NGX_HTTP_APIGW_USAGE_REJECTED_RATE:
        row.n[NGX_APIGW_LEDGER_RATE] = 1;
        units = 0;
        break;

    case NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA:
        row.n[NGX_APIGW_LEDGER_QUOTA] = 1;
        units = 0;
        break;

    case NGX_HTTP_APIGW_USAGE_PASSED:
    case NGX_HTTP_APIGW_USAGE_PASSED_UNCOUNTED:

        status = r->err_status ? r->err_status : r->headers_out.status;

        units = ngx_http_apigw_usage_actual(r, ctx, status);

        if (units != ctx->eval.cost) {
            ngx_http_apigw_usage_settle(r, &ctx->eval, units);

            if (ctx->shadow) {
                ngx_http_apigw_usage_settle(r, ctx->shadow, units);
            }
        }

        ngx_http_apigw_usage_row(r, &row, status);
        break;

    default:
        return NGX_OK;
    }

    row.n[NGX_APIGW_LEDGER_INCLUDED] = units - (uint64_t) ctx->eval.over;
    row.n[NGX_APIGW_LEDGER_OVERAGE] = (uint64_t) ctx->eval.over;

    ngx_http_apigw_usage_write(r, ctx, &row);

    return NGX_OK;
}


/* What the request costs, now that its answer is known. */

static uint64_t
ngx_http_apigw_usage_actual(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_uint_t status)
{
    ngx_str_t                         text;
    ngx_http_apigw_usage_value_t     *cost;
    ngx_http_apigw_usage_loc_conf_t  *lcf;

    lcf = ctx->conf;

    if (ngx_http_apigw_usage_is_refunded(lcf, status)) {
        return 0;
    }

    cost = &lcf->usage->values[NGX_HTTP_APIGW_USAGE_V_COST];

    if (lcf->when == NULL
        || lcf->when->on == NGX_HTTP_APIGW_USAGE_ON_REQUEST
        || !cost->given
        || ngx_http_apigw_usage_value(r, cost, &text) != NGX_OK)
    {
        return ctx->eval.cost;
    }

    return ngx_http_apigw_usage_units(&text, ctx->eval.cost);
}


static ngx_uint_t
ngx_http_apigw_usage_is_refunded(ngx_http_apigw_usage_loc_conf_t *lcf,
    ngx_uint_t status)
{
    ngx_uint_t  i, *code;

    if (lcf->refund == NULL) {
        return 0;
    }

    code = lcf->refund->elts;

    for (i = 0; i < lcf->refund->nelts; i++) {
        if (code[i] == status || code[i] == status / 100) {
            return 1;
        }
    }

    return 0;
}


/* A number of units; whole, what follows a point is dropped. */

uint64_t
ngx_http_apigw_usage_units(ngx_str_t *text, uint64_t unknown)
{
    size_t    i;
    uint64_t  n;

    n = 0;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            break;
        }

        n = n * 10 + (text->data[i] - '0');

        if (n > NGX_HTTP_APIGW_USAGE_UNITS_MAX) {
            return unknown;
        }
    }

    if (i == 0 || (i != text->len && text->data[i] != '.')) {
        return unknown;
    }

    return n;
}


static void
ngx_http_apigw_usage_row(ngx_http_request_t *r, ngx_apigw_ledger_row_t *row,
    ngx_uint_t status)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    row->n[NGX_APIGW_LEDGER_REQUESTS] = 1;

    if (status >= 100 && status < 600) {
        row->n[NGX_APIGW_LEDGER_1XX + status / 100 - 1] = 1;
    }

    row->n[NGX_APIGW_LEDGER_IN] = (uint64_t) r->request_length;
    row->n[NGX_APIGW_LEDGER_OUT] = (uint64_t) r->connection->sent;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + ((ngx_msec_int_t) tp->msec
                              - (ngx_msec_int_t) r->start_msec));

    row->n[NGX_APIGW_LEDGER_TIME] = (uint64_t) ngx_max(ms, 0);
}


static void
ngx_http_apigw_usage_write(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_apigw_ledger_row_t *row)
{
    ngx_uint_t                n;
    ngx_apigw_ledger_info_t   info;

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_ATTEMPTS; n++) {

        if (ctx->slot != NGX_APIGW_COUNTER_NONE
            && ngx_apigw_ledger_add(&ctx->zone->ledger, ctx->slot,
                                    ctx->entry.tag, row)
               == NGX_OK)
        {
            return;
        }

        /* evicted since, or not in memory because the zone was full */

        if (n == 0) {
            ngx_http_apigw_usage_name_entry(ctx, &info);
        }

        if (ngx_http_apigw_usage_entry(ctx->zone, &ctx->entry, &info, 1,
                                       r->connection->log, &ctx->slot)
            != NGX_OK)
        {
            break;
        }
    }

    /* all that could be replaced waits for the store */

    ngx_http_apigw_usage_late_row(ctx->zone, &ctx->entry, &info, row,
                                  !ctx->outside);
}
