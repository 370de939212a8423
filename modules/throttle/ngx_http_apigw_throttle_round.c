/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_throttle.h"


/* What is decided about a request in one phase, a round. */


static ngx_int_t ngx_http_apigw_throttle_collect(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_http_apigw_throttle_ctx_t **ctxp,
    ngx_http_apigw_throttle_round_t **roundp);
static void ngx_http_apigw_throttle_charge(ngx_apigw_charge_t *charge,
    ngx_http_apigw_throttle_use_t *use, const ngx_apigw_limit_t *limit,
    ngx_str_t *key);
static ngx_int_t ngx_http_apigw_throttle_room(ngx_http_request_t *r,
    ngx_http_apigw_throttle_round_t *round, ngx_uint_t n);
static ngx_uint_t ngx_http_apigw_throttle_done(
    ngx_http_apigw_throttle_ctx_t *ctx, ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_http_apigw_throttle_cost(ngx_http_request_t *r,
    ngx_http_apigw_throttle_use_t *use, uint64_t *cost);
static ngx_int_t ngx_http_apigw_throttle_reject(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_ctx_t *ctx,
    ngx_http_apigw_throttle_round_t *round);
static uint64_t ngx_http_apigw_throttle_pass(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx,
    ngx_http_apigw_throttle_round_t *round, ngx_uint_t log_level);
static void ngx_http_apigw_throttle_full(ngx_http_request_t *r,
    ngx_http_apigw_throttle_round_t *round);
static ngx_int_t ngx_http_apigw_throttle_wait(ngx_http_request_t *r,
    ngx_msec_t delay);
static void ngx_http_apigw_throttle_resume(ngx_http_request_t *r);


/* A context with room for a round of n charges. */

static ngx_inline ngx_http_apigw_throttle_ctx_t *
ngx_http_apigw_throttle_create_ctx(ngx_http_request_t *r, ngx_uint_t n)
{
    ngx_http_apigw_throttle_ctx_t    *ctx;
    ngx_http_apigw_throttle_round_t  *round;

    ctx = ngx_http_apigw_alloc_ctx(r, &ngx_http_apigw_throttle_module,
                                   sizeof(ngx_http_apigw_throttle_ctx_t)
                                   + n * (sizeof(ngx_apigw_charge_t)
                                          + sizeof(void *)));
    if (ctx == NULL) {
        return NULL;
    }

    /* the others are written before they are read */

    ngx_memzero(ctx, sizeof(ngx_http_apigw_throttle_ctx_t));

    round = &ctx->rounds[0];

    round->charges = (ngx_apigw_charge_t *) (ctx + 1);
    round->uses = (ngx_http_apigw_throttle_use_t **) &round->charges[n];

    return ctx;
}


/* One zone, all constant, nothing charged before: nearly every request. */

ngx_int_t
ngx_http_apigw_throttle_plain(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_use_t *use, ngx_uint_t phase)
{
    ngx_str_t                         key;
    ngx_apigw_charge_t               *charge;
    ngx_http_apigw_throttle_ctx_t    *ctx;
    ngx_http_apigw_throttle_zone_t   *zone;
    ngx_http_apigw_throttle_round_t  *round;

    zone = use->shm_zone->data;

    if (ngx_http_apigw_text(r, &zone->key, &key) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (key.len == 0) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apigw_throttle_create_ctx(r, 1);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->headers = tlcf->headers;
    ctx->phases = phase;
    ctx->status = NGX_HTTP_APIGW_THROTTLE_PASSED;
    ctx->nrounds = 1;

    round = &ctx->rounds[0];

    round->uses[0] = use;
    round->n = 1;
    round->counted = 1;

    charge = round->charges;

    ngx_http_apigw_throttle_charge(charge, use, &use->limit, &key);

    if (!ngx_apigw_bucket_take(charge, ngx_current_msec)) {
        return ngx_http_apigw_throttle_reject(r, tlcf, ctx, round);
    }

    (void) ngx_atomic_fetch_add(&ngx_http_apigw_throttle_counts(zone)->passed,
                                1);

    if (charge->evicted) {
        ngx_http_apigw_throttle_full(r, round);
    }

    return NGX_DECLINED;
}


/* Any number of zones; ctx is NULL if this is the first round. */

ngx_int_t
ngx_http_apigw_throttle_round(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_http_apigw_throttle_ctx_t *ctx,
    ngx_uint_t phase)
{
    uint64_t                          delay;
    ngx_http_apigw_throttle_round_t  *round;

    if (ngx_http_apigw_throttle_collect(r, tlcf, list, &ctx, &round)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx == NULL) {
        return NGX_DECLINED;
    }

    ctx->phases |= phase;
    ctx->status = ngx_max(ctx->status, NGX_HTTP_APIGW_THROTTLE_PASSED);

    if (round == NULL) {
        return NGX_DECLINED;
    }

    ctx->nrounds++;

    if (round->counted
        && !ngx_apigw_bucket_take_all(round->charges, round->counted,
                                      ngx_current_msec))
    {
        round->n = round->counted;

        return ngx_http_apigw_throttle_reject(r, tlcf, ctx, round);
    }

    delay = ngx_http_apigw_throttle_pass(r, ctx, round, tlcf->log_level);

    if (delay) {
        return ngx_http_apigw_throttle_wait(r, delay);
    }

    return NGX_DECLINED;
}


/*
 * Prepares the charges of a phase.  *ctx stays NULL if the request has no key
 * at all, *round if nothing is to be charged.
 */

static ngx_int_t
ngx_http_apigw_throttle_collect(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_http_apigw_throttle_ctx_t **ctxp,
    ngx_http_apigw_throttle_round_t **roundp)
{
    ngx_str_t                         key;
    ngx_uint_t                        i, fresh;
    ngx_apigw_charge_t               *charge;
    const ngx_apigw_limit_t          *limit;
    ngx_http_apigw_throttle_ctx_t    *ctx;
    ngx_http_apigw_throttle_use_t    *use;
    ngx_http_apigw_throttle_zone_t   *zone;
    ngx_http_apigw_throttle_round_t  *round;

    ctx = *ctxp;
    fresh = 0;
    round = NULL;

    for (i = 0; i < list->n; i++) {
        use = list->uses[i];
        zone = use->shm_zone->data;

        if (ngx_http_apigw_text(r, &zone->key, &key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (key.len == 0) {
            continue;
        }

        limit = &use->limit;

        if (zone->variable
            && ngx_http_apigw_throttle_limit(r, use, &limit) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ctx == NULL) {
            ctx = ngx_http_apigw_throttle_create_ctx(r, list->n);
            if (ctx == NULL) {
                return NGX_ERROR;
            }

            ctx->headers = tlcf->headers;
            fresh = 1;
        }

        if (limit == NULL || ngx_http_apigw_throttle_done(ctx, use->shm_zone))
        {
            continue;
        }

        if (round == NULL) {
            round = &ctx->rounds[ctx->nrounds];

            round->n = 0;
            round->counted = 0;

            if (!fresh
                && ngx_http_apigw_throttle_room(r, round, list->n) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        charge = &round->charges[round->n];

        ngx_http_apigw_throttle_charge(charge, use, limit, &key);

        if (use->cost_value
            && ngx_http_apigw_throttle_cost(r, use, &charge->cost) != NGX_OK)
        {
            return NGX_ERROR;
        }

        round->uses[round->n++] = use;

        if (!use->dry_run) {
            round->counted = round->n;
        }
    }

    *ctxp = ctx;
    *roundp = round;

    return NGX_OK;
}


static void
ngx_http_apigw_throttle_charge(ngx_apigw_charge_t *charge,
    ngx_http_apigw_throttle_use_t *use, const ngx_apigw_limit_t *limit,
    ngx_str_t *key)
{
    ngx_http_apigw_throttle_zone_t  *zone;

    zone = use->shm_zone->data;

    charge->buckets = zone->sh->buckets;
    charge->limit = limit;
    charge->cost = use->cost;

    ngx_apigw_hash_half(&charge->hash, zone->hash_key, key->data, key->len);
}


static ngx_int_t
ngx_http_apigw_throttle_room(ngx_http_request_t *r,
    ngx_http_apigw_throttle_round_t *round, ngx_uint_t n)
{
    round->charges = ngx_palloc(r->pool, n * (sizeof(ngx_apigw_charge_t)
                                              + sizeof(void *)));
    if (round->charges == NULL) {
        return NGX_ERROR;
    }

    round->uses = (ngx_http_apigw_throttle_use_t **) &round->charges[n];

    return NGX_OK;
}


/*
 * Whether the zone was charged in the other phase: of another location, from
 * which the request was redirected here.
 */

static ngx_uint_t
ngx_http_apigw_throttle_done(ngx_http_apigw_throttle_ctx_t *ctx,
    ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t                        i;
    ngx_http_apigw_throttle_round_t  *round;

    if (ctx->nrounds == 0) {
        return 0;
    }

    round = &ctx->rounds[0];

    for (i = 0; i < round->n; i++) {
        if (round->uses[i]->shm_zone == shm_zone) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_apigw_throttle_cost(ngx_http_request_t *r,
    ngx_http_apigw_throttle_use_t *use, uint64_t *cost)
{
    ngx_int_t                        n;
    ngx_str_t                        text;
    ngx_http_apigw_throttle_zone_t  *zone;

    if (ngx_http_complex_value(r, use->cost_value, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    n = ngx_atoi(text.data, text.len);

    if (n != NGX_ERROR) {
        *cost = n;
        return NGX_OK;
    }

    *cost = 1;

    zone = use->shm_zone->data;

    if (text.len && ngx_apigw_log_due(&zone->sh->log_cost)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "invalid cost \"%V\" for api_throttle_zone \"%V\", "
                      "1 is used", &text, &use->name);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_reject(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_ctx_t *ctx, ngx_http_apigw_throttle_round_t *round)
{
    u_char                          *p;
    size_t                           len;
    uint64_t                         wait, longest;
    ngx_uint_t                       i;
    ngx_http_apigw_problem_t        *pr;
    ngx_http_apigw_throttle_zone_t  *zone;

    longest = 0;
    len = sizeof("\"violated-policies\":[]") - 1;

    for (i = 0; i < round->n; i++) {
        len += round->uses[i]->name.len + sizeof("\"\",") - 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pr = ngx_pcalloc(r->pool, sizeof(ngx_http_apigw_problem_t));
    if (pr == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pr->members.data = p;
    p = ngx_cpymem(p, "\"violated-policies\":[",
                   sizeof("\"violated-policies\":[") - 1);

    for (i = 0; i < round->n; i++) {

        if (round->charges[i].admitted) {
            continue;
        }

        zone = round->uses[i]->shm_zone->data;

        (void) ngx_atomic_fetch_add(
                          &ngx_http_apigw_throttle_counts(zone)->rejected, 1);

        wait = ngx_apigw_bucket_wait(&round->charges[i]);
        longest = ngx_max(longest, wait);

        *p++ = '"';
        p = ngx_cpymem(p, round->uses[i]->name.data, round->uses[i]->name.len);
        *p++ = '"';
        *p++ = ',';

        ngx_log_error(tlcf->log_level, r->connection->log, 0,
                      "throttling request by zone \"%V\"",
                      &round->uses[i]->name);
    }

    p[-1] = ']';
    pr->members.len = p - pr->members.data;

    ctx->status = NGX_HTTP_APIGW_THROTTLE_REJECTED;
    ctx->problem = pr;

    pr->status = tlcf->status;
    ngx_str_set(&pr->type,
             "https://iana.org/assignments/http-problem-types#quota-exceeded");
    ngx_str_set(&pr->title, "Too Many Requests");

    if (longest == NGX_APIGW_BUCKET_NEVER) {
        ngx_str_set(&pr->detail,
                    "The request costs more than the limit ever allows.");
        pr->retry_after = 0;

    } else {
        pr->retry_after = (longest + 999) / 1000;
    }

    return ngx_http_apigw_refuse(r, pr);
}


/*
 * Charges what is in a dry run, counts, and returns how many milliseconds the
 * request has to wait.
 */

static uint64_t
ngx_http_apigw_throttle_pass(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx, ngx_http_apigw_throttle_round_t *round,
    ngx_uint_t log_level)
{
    uint64_t                           delay, longest;
    ngx_uint_t                         i, status, evicted;
    ngx_atomic_t                      *count;
    ngx_apigw_charge_t                *charge;
    ngx_http_apigw_throttle_use_t     *use;
    ngx_http_apigw_throttle_counts_t  *counts;

    longest = 0;
    evicted = 0;

    for (i = 0; i < round->n; i++) {
        use = round->uses[i];
        charge = &round->charges[i];
        counts = ngx_http_apigw_throttle_counts(use->shm_zone->data);

        count = &counts->passed;
        status = NGX_HTTP_APIGW_THROTTLE_PASSED;
        delay = 0;

        if (use->dry_run
            && !ngx_apigw_bucket_take(charge, ngx_current_msec))
        {
            count = &counts->rejected_dry_run;
            status = NGX_HTTP_APIGW_THROTTLE_REJECTED_DRY_RUN;

            ngx_log_error(log_level, r->connection->log, 0,
                          "throttling request by zone \"%V\", dry run",
                          &use->name);

        } else if (use->delay != NGX_ERROR) {
            delay = ngx_apigw_bucket_delay(charge, use->delay);
        }

        if (delay && use->dry_run) {
            status = NGX_HTTP_APIGW_THROTTLE_DELAYED_DRY_RUN;

        } else if (delay) {
            count = &counts->delayed;
            status = NGX_HTTP_APIGW_THROTTLE_DELAYED;
            longest = ngx_max(longest, delay);
        }

        (void) ngx_atomic_fetch_add(count, 1);

        ctx->status = ngx_max(ctx->status, status);
        evicted |= charge->evicted;
    }

    if (evicted) {
        ngx_http_apigw_throttle_full(r, round);
    }

    return longest;
}


static void
ngx_http_apigw_throttle_full(ngx_http_request_t *r,
    ngx_http_apigw_throttle_round_t *round)
{
    ngx_uint_t                       i;
    ngx_http_apigw_throttle_zone_t  *zone;

    for (i = 0; i < round->n; i++) {
        zone = round->uses[i]->shm_zone->data;

        if (round->charges[i].evicted
            && ngx_apigw_log_due(&zone->sh->log_full))
        {
            ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                          "api_throttle_zone \"%V\" is full, keys are "
                          "forgotten too early", &round->uses[i]->name);
        }
    }
}


/* as limit_req: a timer of the connection, which goes when the client goes */

static ngx_int_t
ngx_http_apigw_throttle_wait(ngx_http_request_t *r, ngx_msec_t delay)
{
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "api_throttle delay: %M", delay);

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_apigw_throttle_resume;

    r->connection->write->delayed = 1;
    ngx_add_timer(r->connection->write, delay);

    return NGX_AGAIN;
}


static void
ngx_http_apigw_throttle_resume(ngx_http_request_t *r)
{
    ngx_event_t  *wev;

    wev = r->connection->write;

    if (wev->delayed) {

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;
    }

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}
