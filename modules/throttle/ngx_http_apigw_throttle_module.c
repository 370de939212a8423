/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_throttle.h"


#define NGX_HTTP_APIGW_THROTTLE_EARLY  1
#define NGX_HTTP_APIGW_THROTTLE_LATE   2


static ngx_int_t ngx_http_apigw_throttle_early_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_throttle_late_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_throttle_handler(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_uint_t phase);
static ngx_int_t ngx_http_apigw_throttle_plain(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_use_t *use, ngx_uint_t phase);
static ngx_http_apigw_throttle_ctx_t *ngx_http_apigw_throttle_create_ctx(
    ngx_http_request_t *r, ngx_uint_t n);
static ngx_uint_t ngx_http_apigw_throttle_refused(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_throttle_collect(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_http_apigw_throttle_ctx_t **ctxp,
    ngx_http_apigw_throttle_round_t **roundp);
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

static ngx_int_t ngx_http_apigw_throttle_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_throttle_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);

static void *ngx_http_apigw_throttle_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_apigw_throttle_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_throttle_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static void ngx_http_apigw_throttle_list_init(
    ngx_http_apigw_throttle_list_t *list);
static ngx_int_t ngx_http_apigw_throttle_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_throttle_filter_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_throttle_init_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_http_apigw_throttle_log_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_apigw_throttle_header_kinds[] = {
    { ngx_string("draft"), NGX_HTTP_APIGW_THROTTLE_DRAFT },
    { ngx_string("legacy"), NGX_HTTP_APIGW_THROTTLE_LEGACY },
    { ngx_string("off"), NGX_HTTP_APIGW_THROTTLE_OFF },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_http_apigw_throttle_status_bounds = {
    ngx_conf_check_num_bounds, 400, 599
};


static ngx_command_t  ngx_http_apigw_throttle_commands[] = {

    { ngx_string("api_throttle_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_apigw_throttle_zone,
      0,
      0,
      NULL },

    { ngx_string("api_throttle"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_throttle,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_throttle_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_throttle_loc_conf_t, status),
      &ngx_http_apigw_throttle_status_bounds },

    { ngx_string("api_throttle_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_throttle_loc_conf_t, log_level),
      &ngx_http_apigw_throttle_log_levels },

    { ngx_string("api_throttle_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_throttle_loc_conf_t, headers),
      &ngx_http_apigw_throttle_header_kinds },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apigw_throttle_module_ctx = {
    ngx_http_apigw_throttle_add_variables, /* preconfiguration */
    ngx_http_apigw_throttle_init,          /* postconfiguration */

    ngx_http_apigw_throttle_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apigw_throttle_create_loc_conf, /* create location configuration */
    ngx_http_apigw_throttle_merge_loc_conf /* merge location configuration */
};


ngx_module_t  ngx_http_apigw_throttle_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_throttle_module_ctx,   /* module context */
    ngx_http_apigw_throttle_commands,      /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_apigw_throttle_init_process,  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_module_t  ngx_http_apigw_throttle_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apigw_throttle_filter_init,   /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


#pragma GCC visibility push(hidden)


ngx_module_t  ngx_http_apigw_throttle_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_throttle_filter_module_ctx, /* module context */
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


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_apigw_throttle_early_handler(ngx_http_request_t *r)
{
    ngx_http_apigw_throttle_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_throttle_module);

    if (tlcf->early == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    return ngx_http_apigw_throttle_handler(r, tlcf, tlcf->early,
                                           NGX_HTTP_APIGW_THROTTLE_EARLY);
}


static ngx_int_t
ngx_http_apigw_throttle_late_handler(ngx_http_request_t *r)
{
    ngx_http_apigw_throttle_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_throttle_module);

    if (tlcf->late == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    return ngx_http_apigw_throttle_handler(r, tlcf, tlcf->late,
                                           NGX_HTTP_APIGW_THROTTLE_LATE);
}


static ngx_int_t
ngx_http_apigw_throttle_handler(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_uint_t phase)
{
    uint64_t                          delay;
    ngx_http_apigw_throttle_ctx_t    *ctx;
    ngx_http_apigw_throttle_round_t  *round;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_throttle_module);

    if ((ctx && (ctx->phases & phase))
        || ngx_http_apigw_throttle_refused(r, ctx))
    {
        return NGX_DECLINED;
    }

    if (list->plain && ctx == NULL) {
        return ngx_http_apigw_throttle_plain(r, tlcf, list->uses[0], phase);
    }

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
 * Whether this is the page of error_page for a request that was refused: what
 * is refused is charged nowhere.
 */

static ngx_uint_t
ngx_http_apigw_throttle_refused(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx)
{
    if (ctx && ctx->problem.status) {
        return 1;
    }

    switch (r->err_status) {

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_TOO_MANY_REQUESTS:
        return 1;

    default:
        return 0;
    }
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

        if (ngx_http_apigw_throttle_text(r, &zone->key, &key) != NGX_OK) {
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

        charge->buckets = zone->sh->buckets;
        charge->limit = limit;
        charge->cost = use->cost;

        if (use->cost_value
            && ngx_http_apigw_throttle_cost(r, use, &charge->cost) != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_apigw_hash_half(&charge->hash, zone->hash_key, key.data, key.len);

        round->uses[round->n++] = use;

        if (!use->dry_run) {
            round->counted = round->n;
        }
    }

    *ctxp = ctx;
    *roundp = round;

    return NGX_OK;
}


/* One zone, all constant, nothing charged before: nearly every request. */

static ngx_int_t
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

    if (ngx_http_apigw_throttle_text(r, &zone->key, &key) != NGX_OK) {
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

    charge->buckets = zone->sh->buckets;
    charge->limit = &use->limit;
    charge->cost = use->cost;

    ngx_apigw_hash_half(&charge->hash, zone->hash_key, key.data, key.len);

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


/* A context with room for a round of n charges. */

static ngx_http_apigw_throttle_ctx_t *
ngx_http_apigw_throttle_create_ctx(ngx_http_request_t *r, ngx_uint_t n)
{
    ngx_http_apigw_throttle_ctx_t    *ctx;
    ngx_http_apigw_throttle_round_t  *round;

    ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_throttle_module,
                                    sizeof(ngx_http_apigw_throttle_ctx_t)
                                    + n * (sizeof(ngx_apigw_charge_t)
                                           + sizeof(void *)));
    if (ctx == NULL) {
        return NULL;
    }

    round = &ctx->rounds[0];

    round->charges = (ngx_apigw_charge_t *) (ctx + 1);
    round->uses = (ngx_http_apigw_throttle_use_t **) &round->charges[n];

    return ctx;
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

    pr = &ctx->problem;

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


static ngx_int_t
ngx_http_apigw_throttle_header_filter(ngx_http_request_t *r)
{
    ngx_http_apigw_throttle_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_throttle_module);

    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx->headers != NGX_HTTP_APIGW_THROTTLE_OFF
        && ngx_http_apigw_throttle_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->problem.status
        && ngx_http_apigw_problem_header(r, &ctx->problem) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_apigw_throttle_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_apigw_throttle_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_apigw_throttle_module);

    if (ctx && ctx->problem.active) {
        in = ngx_http_apigw_problem_body(r, &ctx->problem, in);

        if (in == NGX_CHAIN_ERROR) {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_body_filter(r, in);
}


static void *
ngx_http_apigw_throttle_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_throttle_main_conf_t  *tmcf;

    tmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_throttle_main_conf_t));
    if (tmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&tmcf->uses, cf->pool, 8,
                       sizeof(ngx_http_apigw_throttle_use_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return tmcf;
}


static void *
ngx_http_apigw_throttle_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_throttle_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_throttle_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->early = NULL;
     *     conf->late = NULL;
     *     conf->off = 0;
     */

    conf->status = NGX_CONF_UNSET_UINT;
    conf->log_level = NGX_CONF_UNSET_UINT;
    conf->headers = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_apigw_throttle_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apigw_throttle_loc_conf_t *prev = parent;
    ngx_http_apigw_throttle_loc_conf_t *conf = child;

    if (conf->early == NULL && conf->late == NULL && !conf->off) {
        conf->off = prev->off;
        conf->early = prev->early;
        conf->late = prev->late;
    }

    ngx_http_apigw_throttle_list_init(conf->early);
    ngx_http_apigw_throttle_list_init(conf->late);

    ngx_conf_merge_uint_value(conf->status, prev->status,
                              NGX_HTTP_TOO_MANY_REQUESTS);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level, NGX_LOG_INFO);
    ngx_conf_merge_uint_value(conf->headers, prev->headers,
                              NGX_HTTP_APIGW_THROTTLE_DRAFT);

    return NGX_CONF_OK;
}


static void
ngx_http_apigw_throttle_list_init(ngx_http_apigw_throttle_list_t *list)
{
    ngx_http_apigw_throttle_use_t   *use;
    ngx_http_apigw_throttle_zone_t  *zone;

    if (list == NULL || list->n != 1) {
        return;
    }

    use = list->uses[0];
    zone = use->shm_zone->data;

    list->plain = zone
                  && zone->variable == NULL
                  && use->cost_value == NULL
                  && use->delay == NGX_ERROR
                  && !use->dry_run;
}


static ngx_int_t
ngx_http_apigw_throttle_init(ngx_conf_t *cf)
{
    ngx_uint_t                             i;
    ngx_http_handler_pt                   *h;
    ngx_http_core_main_conf_t             *cmcf;
    ngx_http_apigw_throttle_use_t        **uses;
    ngx_http_apigw_throttle_main_conf_t   *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_throttle_module);
    uses = tmcf->uses.elts;

    for (i = 0; i < tmcf->uses.nelts; i++) {
        if (ngx_http_apigw_throttle_use_init(cf, uses[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!tmcf->early) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_throttle_early_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_filter_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                  *h;
    ngx_http_core_main_conf_t            *cmcf;
    ngx_http_apigw_throttle_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_throttle_module);

    if (tmcf->uses.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apigw_throttle_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apigw_throttle_body_filter;

    if (!tmcf->late) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_throttle_late_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                             i;
    ngx_http_apigw_throttle_use_t        **uses;
    ngx_http_apigw_throttle_main_conf_t   *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_apigw_throttle_module);
    if (tmcf == NULL) {
        return NGX_OK;
    }

    uses = tmcf->uses.elts;

    for (i = 0; i < tmcf->uses.nelts; i++) {
        ngx_http_apigw_throttle_apply(uses[i]->shm_zone);
    }

    return NGX_OK;
}
