/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_request.h"
#include "ngx_http_apigw_usage.h"


#define NGX_HTTP_APIGW_USAGE_PROBLEM                                          \
    "https://iana.org/assignments/http-problem-types#quota-exceeded"

#define NGX_HTTP_APIGW_USAGE_RETRIES  8


/* Text with variables; most often it is one variable and nothing else. */

typedef struct {
    ngx_int_t                     index;    /* NGX_ERROR: see complex */
    ngx_http_complex_value_t      complex;
} ngx_http_apigw_usage_value_t;


typedef struct {
    ngx_shm_zone_t               *shm_zone;
    ngx_http_apigw_usage_value_t  plan;
    ngx_http_apigw_usage_value_t  consumer;
} ngx_http_apigw_usage_t;


typedef struct {
    ngx_http_apigw_usage_t       *usage;
} ngx_http_apigw_usage_loc_conf_t;


/* One quota of a request. */

typedef struct {
    ngx_apigw_quota_t            *quota;
    ngx_apigw_window_span_t       span;
    ngx_apigw_counter_id_t        id;
    ngx_uint_t                    slot;
    uint64_t                      value;    /* without this request */
    uint64_t                      total;    /* the limit, with grants */
    unsigned                      charged:1;
} ngx_http_apigw_usage_quota_t;


typedef struct {
    ngx_http_apigw_problem_t      problem;
    ngx_uint_t                    status;   /* of $api_usage_status, from 1 */

    ngx_http_apigw_usage_zone_t  *zone;
    ngx_apigw_plan_t             *plan;
    ngx_str_t                     consumer;
    ngx_apigw_hash_t              hash;
    uint64_t                      cost;

    ngx_apigw_charge_t            charge;
    ngx_uint_t                    nquotas;
    ngx_uint_t                    looked;   /* quotas whose value is known */
    ngx_http_apigw_usage_quota_t  quotas[NGX_APIGW_PLAN_QUOTAS];
    ngx_http_apigw_usage_quota_t *refused;  /* the one that refused */
} ngx_http_apigw_usage_ctx_t;


static ngx_int_t ngx_http_apigw_usage_value(ngx_http_request_t *r,
    ngx_http_apigw_usage_value_t *value, ngx_str_t *s);
static ngx_int_t ngx_http_apigw_usage_decide(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static ngx_uint_t ngx_http_apigw_usage_rate(ngx_http_apigw_usage_ctx_t *ctx,
    ngx_uint_t take);
static void ngx_http_apigw_usage_place(ngx_http_apigw_usage_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_usage_quota(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_http_apigw_usage_quota_t *q,
    ngx_uint_t charge);
static ngx_int_t ngx_http_apigw_usage_charge(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static void ngx_http_apigw_usage_rollback(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static ngx_http_apigw_usage_quota_t *ngx_http_apigw_usage_nearest(
    ngx_http_apigw_usage_ctx_t *ctx);

static ngx_int_t ngx_http_apigw_usage_refuse_rate(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_usage_refuse_quota(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_http_apigw_usage_quota_t *q);
static ngx_int_t ngx_http_apigw_usage_refuse_plan(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_str_t *name);
static ngx_int_t ngx_http_apigw_usage_refuse_consumer(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_usage_refuse_store(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);

static ngx_int_t ngx_http_apigw_usage_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_usage_name_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_usage_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_usage_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

static void *ngx_http_apigw_usage_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_usage_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_apigw_usage_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_usage_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_apigw_usage(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_usage_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_apigw_usage_value_t *value);
static ngx_int_t ngx_http_apigw_usage_init(ngx_conf_t *cf);

static ngx_int_t ngx_http_apigw_usage_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_usage_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_usage_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


#define NGX_HTTP_APIGW_USAGE_PASSED             1
#define NGX_HTTP_APIGW_USAGE_PASSED_UNCOUNTED   2
#define NGX_HTTP_APIGW_USAGE_REJECTED_RATE      3
#define NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA     4
#define NGX_HTTP_APIGW_USAGE_REJECTED_PLAN      5
#define NGX_HTTP_APIGW_USAGE_REJECTED_CONSUMER  6
#define NGX_HTTP_APIGW_USAGE_REJECTED_STORE     7


static ngx_str_t  ngx_http_apigw_usage_statuses[] = {
    ngx_null_string,
    ngx_string("PASSED"),
    ngx_string("PASSED_UNCOUNTED"),
    ngx_string("REJECTED_RATE"),
    ngx_string("REJECTED_QUOTA"),
    ngx_string("REJECTED_PLAN"),
    ngx_string("REJECTED_CONSUMER"),
    ngx_string("REJECTED_STORE")
};


static ngx_command_t  ngx_http_apigw_usage_commands[] = {

    { ngx_string("api_usage_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_usage_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_plan"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apigw_usage_plan,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("rate"),
      NGX_HTTP_APIGW_PLAN_CONF|NGX_CONF_TAKE12,
      ngx_http_apigw_usage_plan_rate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("quota"),
      NGX_HTTP_APIGW_PLAN_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_usage_plan_quota,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("family"),
      NGX_HTTP_APIGW_PLAN_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_usage_plan_family,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_usage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_usage,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apigw_usage_module_ctx = {
    ngx_http_apigw_usage_add_variables,    /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_apigw_usage_create_main_conf, /* create main configuration */
    ngx_http_apigw_usage_init_main_conf,   /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apigw_usage_create_loc_conf,  /* create location configuration */
    ngx_http_apigw_usage_merge_loc_conf    /* merge location configuration */
};


ngx_module_t  ngx_http_apigw_usage_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_usage_module_ctx,      /* module context */
    ngx_http_apigw_usage_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_apigw_usage_init_process,     /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_apigw_usage_exit_process,     /* exit process */
    ngx_http_apigw_usage_exit_master,      /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_module_t  ngx_http_apigw_usage_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apigw_usage_init,             /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


#pragma GCC visibility push(hidden)

extern ngx_module_t  ngx_http_apigw_usage_filter_module;

ngx_module_t  ngx_http_apigw_usage_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_usage_filter_module_ctx,  /* module context */
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


#define NGX_HTTP_APIGW_USAGE_LIMIT      0
#define NGX_HTTP_APIGW_USAGE_USED       1
#define NGX_HTTP_APIGW_USAGE_REMAINING  2
#define NGX_HTTP_APIGW_USAGE_RESET      3


static ngx_http_variable_t  ngx_http_apigw_usage_vars[] = {

    { ngx_string("api_plan"), NULL, ngx_http_apigw_usage_name_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_consumer"), NULL, ngx_http_apigw_usage_name_variable,
      1, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_usage_status"), NULL,
      ngx_http_apigw_usage_status_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_quota_limit"), NULL,
      ngx_http_apigw_usage_number_variable, NGX_HTTP_APIGW_USAGE_LIMIT,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_quota_used"), NULL,
      ngx_http_apigw_usage_number_variable, NGX_HTTP_APIGW_USAGE_USED,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_quota_remaining"), NULL,
      ngx_http_apigw_usage_number_variable, NGX_HTTP_APIGW_USAGE_REMAINING,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_quota_reset"), NULL,
      ngx_http_apigw_usage_number_variable, NGX_HTTP_APIGW_USAGE_RESET,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_apigw_usage_handler(ngx_http_request_t *r)
{
    ngx_str_t                         name;
    ngx_http_apigw_usage_t           *usage;
    ngx_http_apigw_usage_ctx_t       *ctx;
    ngx_http_apigw_usage_loc_conf_t  *lcf;
    ngx_http_apigw_usage_main_conf_t *mcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_usage_module);
    usage = lcf->usage;

    if (usage == NULL) {
        return NGX_DECLINED;
    }

    /* a request is decided about once, and the page of an error is none */

    if (r->err_status >= NGX_HTTP_BAD_REQUEST
        || ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module))
    {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_usage_module,
                                    sizeof(ngx_http_apigw_usage_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->zone = usage->shm_zone->data;
    ctx->cost = 1;

    if (ngx_http_apigw_usage_value(r, &usage->consumer, &ctx->consumer)
        != NGX_OK
        || ngx_http_apigw_usage_value(r, &usage->plan, &name) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->consumer.len == 0) {
        return ngx_http_apigw_usage_refuse_consumer(r, ctx);
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_usage_module);

    ctx->plan = ngx_apigw_plans_find(&mcf->plans, &name);

    if (ctx->plan == NULL) {
        return ngx_http_apigw_usage_refuse_plan(r, ctx, &name);
    }

    return ngx_http_apigw_usage_decide(r, ctx);
}


static ngx_int_t
ngx_http_apigw_usage_value(ngx_http_request_t *r,
    ngx_http_apigw_usage_value_t *value, ngx_str_t *s)
{
    ngx_http_variable_value_t  *vv;

    if (value->index == NGX_ERROR) {
        return ngx_http_complex_value(r, &value->complex, s);
    }

    vv = ngx_http_get_flushed_variable(r, value->index);

    if (vv == NULL || vv->not_found) {
        s->len = 0;
        s->data = (u_char *) "";
        return NGX_OK;
    }

    s->len = vv->len;
    s->data = vv->data;

    return NGX_OK;
}


/*
 * The rate first, then the quotas; a request that one of them refuses takes
 * from none.  All are looked at before anything is taken, so what is given
 * back after a lost race is rare and nobody else is refused because of it.
 */

static ngx_int_t
ngx_http_apigw_usage_decide(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_http_apigw_usage_quota_t  *q;

    ngx_apigw_hash(&ctx->hash, &ctx->zone->sh->key, ctx->consumer.data,
                   ctx->consumer.len);

    ngx_http_apigw_usage_place(ctx);

    for (i = 0; i < ctx->nquotas; i++) {
        q = &ctx->quotas[i];

        rc = ngx_http_apigw_usage_quota(r, ctx, q, 0);

        if (rc == NGX_OK) {
            ctx->looked = i + 1;
            continue;
        }

        if (!ngx_http_apigw_usage_rate(ctx, 0)) {
            return ngx_http_apigw_usage_refuse_rate(r, ctx);
        }

        if (rc == NGX_DECLINED) {
            return ngx_http_apigw_usage_refuse_quota(r, ctx, q);
        }

        if (ctx->zone->on_full == NGX_HTTP_APIGW_USAGE_REFUSE) {
            return ngx_http_apigw_usage_refuse_store(r, ctx);
        }
    }

    if (!ngx_http_apigw_usage_rate(ctx, 1)) {
        return ngx_http_apigw_usage_refuse_rate(r, ctx);
    }

    return ngx_http_apigw_usage_charge(r, ctx);
}


static ngx_uint_t
ngx_http_apigw_usage_rate(ngx_http_apigw_usage_ctx_t *ctx, ngx_uint_t take)
{
    ngx_apigw_plan_t    *plan;
    ngx_apigw_charge_t  *charge;

    plan = ctx->plan;

    if (plan->limit.interval == 0) {
        return 1;
    }

    charge = &ctx->charge;

    charge->buckets = ctx->zone->buckets;
    charge->limit = &plan->limit;
    charge->cost = 1;

    charge->hash.h[0] = ngx_apigw_counter_mix(ctx->hash.h[0] ^ plan->salt);
    charge->hash.h[1] = ngx_apigw_counter_mix(ctx->hash.h[1] + plan->salt);

    return take ? ngx_apigw_bucket_take(charge, ngx_current_msec)
                : ngx_apigw_bucket_look(charge, ngx_current_msec);
}


/* Names the windows of this instant and where their counters may be. */

static void
ngx_http_apigw_usage_place(ngx_http_apigw_usage_ctx_t *ctx)
{
    time_t                         now;
    ngx_uint_t                     i;
    ngx_apigw_plan_t              *plan;
    ngx_http_apigw_usage_quota_t  *q;

    plan = ctx->plan;
    now = ngx_time();

    for (i = 0; i < plan->nquotas; i++) {
        q = &ctx->quotas[i];

        q->quota = &plan->quotas[i];

        ngx_apigw_window_at(&q->quota->window, now, &q->span);

        ngx_apigw_counter_place(&ctx->zone->table, &ctx->hash, q->quota->salt,
                                q->span.start, &q->id);
    }

    ctx->nquotas = plan->nquotas;
}


/*
 * Looks at a quota or charges it.  NGX_OK, NGX_DECLINED if the cost does not
 * fit, NGX_BUSY or NGX_ERROR if it cannot be counted.
 */

static ngx_int_t
ngx_http_apigw_usage_quota(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_http_apigw_usage_quota_t *q,
    ngx_uint_t charge)
{
    ngx_int_t                     rc;
    ngx_uint_t                    n;
    ngx_http_apigw_usage_zone_t  *zone;

    zone = ctx->zone;

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_RETRIES; n++) {

        if (!charge || n) {
            rc = ngx_http_apigw_usage_slot(zone, ctx->plan, q->quota, &q->span,
                                           &ctx->consumer, &q->id,
                                           r->connection->log, &q->slot);
            if (rc != NGX_OK) {
                q->slot = NGX_APIGW_COUNTER_NONE;
                return rc;
            }
        }

        if (charge) {

            if (q->slot == NGX_APIGW_COUNTER_NONE) {
                return NGX_BUSY;
            }

            rc = ngx_apigw_counter_charge(&zone->table, q->slot, q->id.tag,
                                          ctx->cost, q->quota->limit,
                                          &q->value, &q->total);

        } else {
            rc = ngx_apigw_counter_peek(&zone->table, q->slot, q->id.tag,
                                        ctx->cost, q->quota->limit,
                                        &q->value, &q->total);
        }

        if (rc != NGX_AGAIN) {
            return rc;
        }
    }

    return NGX_BUSY;
}


static ngx_int_t
ngx_http_apigw_usage_charge(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, uncounted;
    ngx_http_apigw_usage_quota_t  *q;

    uncounted = 0;

    for (i = 0; i < ctx->nquotas; i++) {
        q = &ctx->quotas[i];

        rc = ngx_http_apigw_usage_quota(r, ctx, q, 1);

        if (rc == NGX_OK) {
            q->charged = 1;
            continue;
        }

        if (rc != NGX_DECLINED
            && ctx->zone->on_full == NGX_HTTP_APIGW_USAGE_ADMIT)
        {
            uncounted = 1;
            continue;
        }

        ngx_http_apigw_usage_rollback(r, ctx);

        return rc == NGX_DECLINED
               ? ngx_http_apigw_usage_refuse_quota(r, ctx, q)
               : ngx_http_apigw_usage_refuse_store(r, ctx);
    }

    if (uncounted) {
        ctx->status = NGX_HTTP_APIGW_USAGE_PASSED_UNCOUNTED;
        (void) ngx_atomic_fetch_add(&ctx->zone->sh->uncounted, 1);

    } else {
        ctx->status = NGX_HTTP_APIGW_USAGE_PASSED;
        (void) ngx_atomic_fetch_add(&ctx->zone->sh->admitted, 1);
    }

    return NGX_DECLINED;
}


static void
ngx_http_apigw_usage_rollback(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_uint_t                     i, n;
    ngx_http_apigw_usage_quota_t  *q;

    if (ctx->charge.charged) {
        ngx_apigw_bucket_give_back(&ctx->charge, ngx_current_msec);
    }

    for (i = 0; i < ctx->nquotas; i++) {
        q = &ctx->quotas[i];

        for (n = 0; q->charged && n < NGX_HTTP_APIGW_USAGE_RETRIES; n++) {

            if (ngx_apigw_counter_refund(&ctx->zone->table, q->slot,
                                         q->id.tag, ctx->cost)
                == NGX_OK)
            {
                q->charged = 0;
                break;
            }

            /* flushed and evicted since it was charged */

            if (ngx_http_apigw_usage_slot(ctx->zone, ctx->plan, q->quota,
                                          &q->span, &ctx->consumer, &q->id,
                                          r->connection->log, &q->slot)
                != NGX_OK)
            {
                break;
            }
        }
    }
}


static ngx_int_t
ngx_http_apigw_usage_refuse_rate(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    u_char                    *p;
    uint64_t                   wait;
    ngx_http_apigw_problem_t  *pr;

    (void) ngx_atomic_fetch_add(&ctx->zone->sh->refused_rate, 1);

    ctx->status = NGX_HTTP_APIGW_USAGE_REJECTED_RATE;

    pr = &ctx->problem;

    pr->status = NGX_HTTP_TOO_MANY_REQUESTS;
    ngx_str_set(&pr->type, NGX_HTTP_APIGW_USAGE_PROBLEM);
    ngx_str_set(&pr->title, "Too Many Requests");
    ngx_str_set(&pr->members, "\"violated-policies\":[\"rate\"]");

    wait = ngx_apigw_bucket_wait(&ctx->charge);

    if (wait != NGX_APIGW_BUCKET_NEVER) {
        pr->retry_after = (time_t) ((wait + 999) / 1000);
    }

    p = ngx_pnalloc(r->pool, sizeof("Plan \"\" allows .") + ctx->plan->name.len
                             + ctx->plan->rate.len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pr->detail.data = p;
    pr->detail.len = ngx_sprintf(p, "Plan \"%V\" allows %V.", &ctx->plan->name,
                                 &ctx->plan->rate)
                     - p;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "usage: rate of plan \"%V\" exceeded by \"%V\"",
                  &ctx->plan->name, &ctx->consumer);

    return ngx_http_apigw_refuse(r, pr);
}


static ngx_int_t
ngx_http_apigw_usage_refuse_quota(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_http_apigw_usage_quota_t *q)
{
    u_char                    *p;
    ngx_str_t                 *name;
    ngx_http_apigw_problem_t  *pr;

    (void) ngx_atomic_fetch_add(&ctx->zone->sh->refused_quota, 1);

    ctx->status = NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA;

    ctx->refused = q;

    pr = &ctx->problem;
    name = &q->quota->name;

    pr->status = NGX_HTTP_TOO_MANY_REQUESTS;
    ngx_str_set(&pr->type, NGX_HTTP_APIGW_USAGE_PROBLEM);
    ngx_str_set(&pr->title, "Quota Exceeded");

    if (q->quota->window.kind != NGX_APIGW_WINDOW_LIFETIME) {
        pr->retry_after = ngx_max((time_t) q->span.end - ngx_time(), 1);
    }

    p = ngx_pnalloc(r->pool,
                    sizeof("\"violated-policies\":[\"\"]") + name->len
                    + sizeof("Plan \"\" allows  per .") + ctx->plan->name.len
                    + NGX_INT64_LEN + name->len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pr->members.data = p;
    p = ngx_sprintf(p, "\"violated-policies\":[\"%V\"]", name);
    pr->members.len = p - pr->members.data;

    pr->detail.data = p;
    p = ngx_sprintf(p, "Plan \"%V\" allows %uL per %V.", &ctx->plan->name,
                    q->total, name);
    pr->detail.len = p - pr->detail.data;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "usage: quota per %V of plan \"%V\" exceeded by \"%V\"",
                  name, &ctx->plan->name, &ctx->consumer);

    return ngx_http_apigw_refuse(r, pr);
}


static ngx_int_t
ngx_http_apigw_usage_refuse_plan(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_str_t *name)
{
    (void) ngx_atomic_fetch_add(&ctx->zone->sh->refused_plan, 1);

    ctx->status = NGX_HTTP_APIGW_USAGE_REJECTED_PLAN;

    if (ngx_apigw_log_due(&ctx->zone->sh->log_plan)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "usage: unknown plan \"%V\" of consumer \"%V\"",
                      name, &ctx->consumer);
    }

    ctx->problem.status = NGX_HTTP_FORBIDDEN;
    ngx_str_set(&ctx->problem.title, "Forbidden");
    ngx_str_set(&ctx->problem.detail, "The caller has no valid plan.");

    return ngx_http_apigw_refuse(r, &ctx->problem);
}


static ngx_int_t
ngx_http_apigw_usage_refuse_consumer(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    (void) ngx_atomic_fetch_add(&ctx->zone->sh->refused_consumer, 1);

    ctx->status = NGX_HTTP_APIGW_USAGE_REJECTED_CONSUMER;

    if (ngx_apigw_log_due(&ctx->zone->sh->log_consumer)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "usage: empty consumer, the request is refused");
    }

    ctx->problem.status = NGX_HTTP_FORBIDDEN;
    ngx_str_set(&ctx->problem.title, "Forbidden");
    ngx_str_set(&ctx->problem.detail, "The caller is not known.");

    return ngx_http_apigw_refuse(r, &ctx->problem);
}


/* The cause is in the log already. */

static ngx_int_t
ngx_http_apigw_usage_refuse_store(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    (void) ngx_atomic_fetch_add(&ctx->zone->sh->refused_store, 1);

    ctx->status = NGX_HTTP_APIGW_USAGE_REJECTED_STORE;

    ctx->problem.status = NGX_HTTP_SERVICE_UNAVAILABLE;
    ngx_str_set(&ctx->problem.title, "Service Unavailable");
    ngx_str_set(&ctx->problem.detail, "The request cannot be counted now.");
    ctx->problem.retry_after = 1 + ctx->zone->helper.interval / 1000;

    return ngx_http_apigw_refuse(r, &ctx->problem);
}


static ngx_int_t
ngx_http_apigw_usage_header_filter(ngx_http_request_t *r)
{
    ngx_http_apigw_usage_ctx_t  *ctx;

    if (r == r->main) {
        ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

        if (ctx && ctx->problem.status
            && ngx_http_apigw_problem_header(r, &ctx->problem) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_apigw_usage_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_apigw_usage_ctx_t  *ctx;

    if (in && r == r->main) {
        ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

        if (ctx && ctx->problem.status) {
            in = ngx_http_apigw_problem_body(r, &ctx->problem, in);

            if (in == NGX_CHAIN_ERROR) {
                return NGX_ERROR;
            }
        }
    }

    return ngx_http_next_body_filter(r, in);
}


static ngx_int_t
ngx_http_apigw_usage_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_apigw_usage_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_name_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                    none;
    ngx_http_apigw_usage_ctx_t  *ctx;

    ngx_str_null(&none);

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    if (ctx == NULL || (data == 0 && ctx->plan == NULL)) {
        ngx_http_apigw_variable_set(v, &none);
        return NGX_OK;
    }

    ngx_http_apigw_variable_set(v, data ? &ctx->consumer : &ctx->plan->name);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_apigw_usage_ctx_t  *ctx;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    ngx_http_apigw_variable_set(v,
                     &ngx_http_apigw_usage_statuses[ctx ? ctx->status : 0]);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t                       n, used;
    ngx_str_t                      text;
    ngx_http_apigw_usage_ctx_t    *ctx;
    ngx_http_apigw_usage_quota_t  *q;

    ngx_str_null(&text);

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    q = ctx ? ngx_http_apigw_usage_nearest(ctx) : NULL;

    if (q == NULL) {
        ngx_http_apigw_variable_set(v, &text);
        return NGX_OK;
    }

    used = q->value + (q->charged ? ctx->cost : 0);

    switch (data) {

    case NGX_HTTP_APIGW_USAGE_LIMIT:
        n = q->total;
        break;

    case NGX_HTTP_APIGW_USAGE_USED:
        n = used;
        break;

    case NGX_HTTP_APIGW_USAGE_REMAINING:
        n = q->total > used ? q->total - used : 0;
        break;

    default: /* NGX_HTTP_APIGW_USAGE_RESET */

        if (q->quota->window.kind == NGX_APIGW_WINDOW_LIFETIME) {
            ngx_http_apigw_variable_set(v, &text);
            return NGX_OK;
        }

        n = (uint64_t) ngx_max((time_t) q->span.end - ngx_time(), 0);
    }

    text.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "%uL", n) - text.data;

    ngx_http_apigw_variable_set(v, &text);

    return NGX_OK;
}


/*
 * The quota that refused, or the limited one that has the least left, of
 * equals the one that ends later.
 */

static ngx_http_apigw_usage_quota_t *
ngx_http_apigw_usage_nearest(ngx_http_apigw_usage_ctx_t *ctx)
{
    int64_t                        left, least;
    ngx_uint_t                     i;
    ngx_http_apigw_usage_quota_t  *q, *nearest;

    if (ctx->refused) {
        return ctx->refused;
    }

    nearest = NULL;
    least = 0;

    for (i = 0; i < ctx->looked; i++) {
        q = &ctx->quotas[i];

        if (q->quota->limit == NGX_APIGW_PLAN_UNLIMITED) {
            continue;
        }

        left = (int64_t) (q->total - q->value);

        if (nearest == NULL
            || left < least
            || (left == least && q->span.end > nearest->span.end))
        {
            nearest = q;
            least = left;
        }
    }

    return nearest;
}


static void *
ngx_http_apigw_usage_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_usage_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->zones, cf->pool, 1,
                       sizeof(ngx_http_apigw_usage_zone_t *))
        != NGX_OK
        || ngx_array_init(&mcf->helpers, cf->pool, 1,
                          sizeof(ngx_apigw_helper_t *))
           != NGX_OK
        || ngx_array_init(&mcf->list, cf->pool, 4, sizeof(ngx_apigw_plan_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


static char *
ngx_http_apigw_usage_init_main_conf(ngx_conf_t *cf, void *conf)
{
    return ngx_http_apigw_usage_init_plans(cf, conf);
}


static void *
ngx_http_apigw_usage_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_usage_loc_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->usage = NGX_CONF_UNSET_PTR;

    return lcf;
}


static char *
ngx_http_apigw_usage_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_apigw_usage_loc_conf_t *prev = parent;
    ngx_http_apigw_usage_loc_conf_t *conf = child;

    ngx_conf_merge_ptr_value(conf->usage, prev->usage, NULL);

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_usage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_loc_conf_t *lcf = conf;

    char                    *rv;
    ngx_str_t               *value, zone, plan, consumer, *s;
    ngx_uint_t               i;
    ngx_http_apigw_usage_t  *usage;

    if (lcf->usage != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        lcf->usage = NULL;
        return NGX_CONF_OK;
    }

    ngx_str_null(&zone);
    ngx_str_null(&plan);
    ngx_str_null(&consumer);

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {
            s = &zone;

        } else if (ngx_strncmp(value[i].data, "plan=", 5) == 0) {
            s = &plan;

        } else if (ngx_strncmp(value[i].data, "consumer=", 9) == 0) {
            s = &consumer;

        } else {
            goto invalid;
        }

        if (s->len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        s->data = (u_char *) ngx_strchr(value[i].data, '=') + 1;
        s->len = value[i].data + value[i].len - s->data;

        if (s->len == 0) {
            goto invalid;
        }
    }

    if (zone.len == 0 || plan.len == 0 || consumer.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"%s\" parameter", &cmd->name,
                           zone.len == 0 ? "zone"
                           : plan.len == 0 ? "plan" : "consumer");
        return NGX_CONF_ERROR;
    }

    usage = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_t));
    if (usage == NULL) {
        return NGX_CONF_ERROR;
    }

    usage->shm_zone = ngx_shared_memory_add(cf, &zone, 0,
                                            &ngx_http_apigw_usage_module);
    if (usage->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_apigw_usage_compile(cf, &plan, &usage->plan);

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_apigw_usage_compile(cf, &consumer, &usage->consumer);
    }

    lcf->usage = usage;

    return rv;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", &value[i]);
    return NGX_CONF_ERROR;
}


static char *
ngx_http_apigw_usage_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_apigw_usage_value_t *value)
{
    size_t                             i;
    u_char                             c;
    ngx_str_t                          name;
    ngx_http_compile_complex_value_t   ccv;

    value->index = NGX_ERROR;

    for (i = 1; i < text->len; i++) {
        c = ngx_tolower(text->data[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) {
            break;
        }
    }

    /* "$1" is not a variable with an index */

    if (text->data[0] == '$' && i == text->len && i > 1
        && (text->data[1] < '0' || text->data[1] > '9'))
    {
        name.data = text->data + 1;
        name.len = text->len - 1;

        value->index = ngx_http_get_variable_index(cf, &name);

        return value->index == NGX_ERROR ? NGX_CONF_ERROR : NGX_CONF_OK;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = &value->complex;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_CONF_OK
                                                          : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_apigw_usage_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_usage_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apigw_usage_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apigw_usage_body_filter;

    return NGX_OK;
}
