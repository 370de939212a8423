/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


static ngx_int_t ngx_http_apigw_usage_decide(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_usage_cost(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_usage_shadow(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);

static void *ngx_http_apigw_usage_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_usage_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_apigw_usage_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_usage_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_apigw_usage(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_apigw_usage_word_value(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_usage_word_on(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_usage_word_estimate(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_usage_set_value(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_uint_t n, ngx_str_t *text,
    ngx_http_apigw_usage_value_t *value, ngx_apigw_plan_t **plan);
static ngx_int_t ngx_http_apigw_usage_note_cost(ngx_conf_t *cf,
    ngx_http_apigw_usage_t *usage, ngx_str_t *text);
static char *ngx_http_apigw_usage_ride(ngx_conf_t *cf,
    ngx_http_apigw_usage_loc_conf_t *lcf, ngx_uint_t n);
static char *ngx_http_apigw_usage_shadow_plan(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_apigw_usage_when(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_usage_refund(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void ngx_http_apigw_usage_check(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf);
static ngx_int_t ngx_http_apigw_usage_init(ngx_conf_t *cf);

static ngx_int_t ngx_http_apigw_usage_begin(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_usage_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_usage_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_usage_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_conf_enum_t  ngx_http_apigw_usage_header_modes[] = {
    { ngx_string("draft"), NGX_HTTP_APIGW_USAGE_DRAFT },
    { ngx_string("legacy"), NGX_HTTP_APIGW_USAGE_LEGACY },
    { ngx_string("off"), NGX_HTTP_APIGW_USAGE_OFF },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_http_apigw_usage_status_bounds = {
    ngx_conf_check_num_bounds, 400, 599
};


#define ngx_http_apigw_usage_value_word(name, n, needed)                       \
    { ngx_string(name), ngx_http_apigw_usage_word_value,                      \
      offsetof(ngx_http_apigw_usage_t, values[n]), n, 0, needed }


static const ngx_apigw_word_t  ngx_http_apigw_usage_words[] = {

    { ngx_string("zone="), ngx_apigw_word_text,
      offsetof(ngx_http_apigw_usage_t, zone), 1, 0, 1 },

    ngx_http_apigw_usage_value_word("plan=", NGX_HTTP_APIGW_USAGE_V_PLAN, 1),
    ngx_http_apigw_usage_value_word("consumer=",
                                    NGX_HTTP_APIGW_USAGE_V_CONSUMER, 1),
    ngx_http_apigw_usage_value_word("key=", NGX_HTTP_APIGW_USAGE_V_KEY, 0),
    ngx_http_apigw_usage_value_word("api=", NGX_HTTP_APIGW_USAGE_V_API, 0),
    ngx_http_apigw_usage_value_word("version=",
                                    NGX_HTTP_APIGW_USAGE_V_VERSION, 0),
    ngx_http_apigw_usage_value_word("rate=", NGX_HTTP_APIGW_USAGE_V_RATE, 0),
    ngx_http_apigw_usage_value_word("burst=", NGX_HTTP_APIGW_USAGE_V_BURST, 0),
    ngx_http_apigw_usage_value_word("quota=", NGX_HTTP_APIGW_USAGE_V_QUOTA, 0),
    ngx_http_apigw_usage_value_word("cost=", NGX_HTTP_APIGW_USAGE_V_COST, 0),

    ngx_apigw_word_end
};


static const ngx_apigw_word_t  ngx_http_apigw_usage_when_words[] = {

    { ngx_string("on="), ngx_http_apigw_usage_word_on,
      offsetof(ngx_http_apigw_usage_when_t, on), 0, 0, 1 },

    { ngx_string("estimate="), ngx_http_apigw_usage_word_estimate,
      offsetof(ngx_http_apigw_usage_when_t, estimate), 0, 0, 0 },

    ngx_apigw_word_end
};


static ngx_command_t  ngx_http_apigw_usage_commands[] = {

    { ngx_string("api_usage_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_usage_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_plan"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE12,
      ngx_http_apigw_usage_plan,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("rate"),
      NGX_HTTP_APIGW_PLAN_CONF|NGX_HTTP_APIGW_PLAN_API_CONF|NGX_CONF_TAKE12,
      ngx_http_apigw_usage_plan_rate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("quota"),
      NGX_HTTP_APIGW_PLAN_CONF|NGX_HTTP_APIGW_PLAN_API_CONF|NGX_CONF_1MORE,
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

    { ngx_string("api"),
      NGX_HTTP_APIGW_PLAN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apigw_usage_plan_api,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_usage_default_plan"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_usage_default_plan,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_apigw_usage_main_conf_t, unknown),
      NULL },

    { ngx_string("api_usage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_usage,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_usage_shadow"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_usage_shadow_plan,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_usage_charge"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_apigw_usage_when,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_usage_refund"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_usage_refund,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_usage_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_usage_loc_conf_t, headers),
      &ngx_http_apigw_usage_header_modes },

    { ngx_string("api_usage_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_usage_loc_conf_t, status),
      &ngx_http_apigw_usage_status_bounds },

    { ngx_string("api_usage_self"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_apigw_usage_self,
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


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/*
 * Before PREACCESS and ACCESS can refuse the request: if error_page brings it
 * back here with a status of theirs, whatever that is, it serves the page of a
 * refusal, which is not charged.
 */

static ngx_int_t
ngx_http_apigw_usage_begin(ngx_http_request_t *r)
{
    ngx_http_apigw_usage_ctx_t       *ctx;
    ngx_http_apigw_usage_loc_conf_t  *lcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_usage_module);

    if (lcf->usage == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    if (ctx) {
        ctx->decided |= (r->err_status >= NGX_HTTP_SPECIAL_RESPONSE);
        return NGX_DECLINED;
    }

    ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_usage_module,
                                    sizeof(ngx_http_apigw_usage_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->decided = ngx_http_apigw_usage_refused(r);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_apigw_usage_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_apigw_usage_ctx_t       *ctx;
    ngx_http_apigw_usage_loc_conf_t  *lcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_usage_module);

    if (lcf->usage == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    /* a request is decided about once, and the page of a refusal is none */

    if (ctx == NULL || ctx->decided) {
        return NGX_DECLINED;
    }

    ctx->decided = 1;

    rc = ngx_http_apigw_usage_identify(r, lcf, ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->status) {
        return ngx_http_apigw_usage_refuse(r, ctx, ctx->status);
    }

    if (lcf->self) {

        /* the content handler looks, nothing is charged */

        return NGX_DECLINED;
    }

    return ngx_http_apigw_usage_decide(r, ctx);
}


static ngx_int_t
ngx_http_apigw_usage_decide(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_apigw_usage_eval_t  *eval;

    eval = &ctx->eval;

    if (ngx_http_apigw_usage_cost(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->conf->shadow
        && ngx_http_apigw_usage_shadow(r, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_apigw_usage_enter(r, ctx);

    ctx->outside = (rc != NGX_OK);

    if (ctx->outside && ctx->zone->on_full == NGX_HTTP_APIGW_USAGE_REFUSE) {
        return ngx_http_apigw_usage_refuse(r, ctx,
                                        NGX_HTTP_APIGW_USAGE_REJECTED_STORE);
    }

    ngx_http_apigw_usage_evaluate(r, eval);

    ctx->status = eval->result;

    if (eval->result == NGX_HTTP_APIGW_USAGE_PASSED) {
        (void) ngx_atomic_fetch_add(&ctx->zone->sh->admitted, 1);
        return NGX_DECLINED;
    }

    if (eval->result == NGX_HTTP_APIGW_USAGE_PASSED_UNCOUNTED) {
        (void) ngx_atomic_fetch_add(&ctx->zone->sh->uncounted, 1);
        return NGX_DECLINED;
    }

    return ngx_http_apigw_usage_refuse(r, ctx, eval->result);
}


/* What is charged now; with "on=response" that is an estimate. */

static ngx_int_t
ngx_http_apigw_usage_cost(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_str_t                      text;
    ngx_http_apigw_usage_value_t  *cost;
    ngx_http_apigw_usage_when_t   *when;

    ctx->eval.cost = 1;

    when = ctx->conf->when;

    if (when && when->on == NGX_HTTP_APIGW_USAGE_ON_RESPONSE) {
        cost = &when->estimate;

    } else {
        cost = &ctx->conf->usage->values[NGX_HTTP_APIGW_USAGE_V_COST];
    }

    if (!cost->given) {
        return NGX_OK;
    }

    if (ngx_http_apigw_usage_value(r, cost, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->eval.cost = ngx_http_apigw_usage_units(&text, 1);

    return NGX_OK;
}


/* The same request under another plan, with counters of its own. */

static ngx_int_t
ngx_http_apigw_usage_shadow(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_str_t                          name;
    ngx_atomic_t                      *counter;
    ngx_apigw_plan_t                  *plan;
    ngx_http_apigw_usage_eval_t       *eval;
    ngx_http_apigw_usage_main_conf_t  *mcf;

    if (ngx_http_apigw_usage_value(r, ctx->conf->shadow, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    eval = ngx_pcalloc(r->pool, sizeof(ngx_http_apigw_usage_eval_t));
    if (eval == NULL) {
        return NGX_ERROR;
    }

    ctx->shadow = eval;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_usage_module);

    plan = ngx_apigw_plans_find(&mcf->plans, &name);

    if (plan == NULL) {
        eval->result = NGX_HTTP_APIGW_USAGE_REJECTED_PLAN;
        (void) ngx_atomic_fetch_add(&ctx->zone->sh->shadow_plan, 1);
        return NGX_OK;
    }

    eval->cost = ctx->eval.cost;
    eval->shadow = 1;

    if (ngx_http_apigw_usage_set_plan(r, ctx, eval, plan) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_apigw_usage_evaluate(r, eval);

    switch (eval->result) {

    case NGX_HTTP_APIGW_USAGE_REJECTED_RATE:
        counter = &ctx->zone->sh->shadow_rate;
        break;

    case NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA:
        counter = &ctx->zone->sh->shadow_quota;
        break;

    default:
        counter = &ctx->zone->sh->shadow_passed;
    }

    (void) ngx_atomic_fetch_add(counter, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_header_filter(ngx_http_request_t *r)
{
    ngx_http_apigw_usage_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    if (ctx == NULL || ctx->conf == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx->problem.status
        && ngx_http_apigw_problem_header(r, &ctx->problem) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->conf->headers != NGX_HTTP_APIGW_USAGE_OFF
        && ngx_http_apigw_usage_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
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
           != NGX_OK
        || ngx_array_init(&mcf->tzs, cf->pool, 1,
                          sizeof(ngx_http_apigw_usage_tz_t *))
           != NGX_OK
        || ngx_array_init(&mcf->named, cf->pool, 4,
                          sizeof(ngx_http_apigw_usage_named_t))
           != NGX_OK
        || ngx_array_init(&mcf->apis, cf->pool, 4,
                          sizeof(ngx_http_apigw_usage_named_t))
           != NGX_OK
        || ngx_array_init(&mcf->costs, cf->pool, 4,
                          sizeof(ngx_http_apigw_usage_t *))
           != NGX_OK
        || ngx_array_init(&mcf->riders, cf->pool, 4,
                          sizeof(ngx_http_apigw_usage_rider_t *))
           != NGX_OK
        || ngx_array_init(&mcf->values, cf->pool, 8,
                          sizeof(ngx_http_apigw_text_t *))
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
    ngx_uint_t                        i;
    ngx_http_apigw_usage_loc_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    for (i = 0; i < NGX_HTTP_APIGW_USAGE_RIDERS; i++) {
        lcf->riders[i] = NGX_CONF_UNSET_PTR;
    }

    lcf->usage = NGX_CONF_UNSET_PTR;
    lcf->shadow = NGX_CONF_UNSET_PTR;
    lcf->when = NGX_CONF_UNSET_PTR;
    lcf->refund = NGX_CONF_UNSET_PTR;
    lcf->headers = NGX_CONF_UNSET_UINT;
    lcf->status = NGX_CONF_UNSET;

    return lcf;
}


static char *
ngx_http_apigw_usage_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_apigw_usage_loc_conf_t *prev = parent;
    ngx_http_apigw_usage_loc_conf_t *conf = child;

    ngx_uint_t  i;

    ngx_conf_merge_ptr_value(conf->usage, prev->usage, NULL);
    ngx_conf_merge_ptr_value(conf->shadow, prev->shadow, NULL);
    ngx_conf_merge_ptr_value(conf->when, prev->when, NULL);
    ngx_conf_merge_ptr_value(conf->refund, prev->refund, NULL);

    ngx_conf_merge_uint_value(conf->headers, prev->headers,
                              NGX_HTTP_APIGW_USAGE_DRAFT);

    ngx_conf_merge_value(conf->status, prev->status,
                         NGX_HTTP_TOO_MANY_REQUESTS);

    if (conf->self && conf->usage == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"api_usage_self\" without \"api_usage\" has nobody "
                      "to tell about in %s:%ui", conf->self_file,
                      conf->self_line);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < NGX_HTTP_APIGW_USAGE_RIDERS; i++) {
        ngx_conf_merge_ptr_value(conf->riders[i], prev->riders[i], NULL);

        if (conf->riders[i] && conf->usage) {
            conf->riders[i]->used = 1;
        }
    }

    if (conf->usage && conf->when
        && conf->when->on == NGX_HTTP_APIGW_USAGE_ON_RESPONSE)
    {
        conf->usage->settled = 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_usage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_loc_conf_t *lcf = conf;

    ngx_str_t                         *value;
    ngx_http_apigw_usage_t            *usage;
    ngx_http_apigw_usage_value_t      *v;
    ngx_http_apigw_usage_main_conf_t  *mcf;

    if (lcf->usage != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        lcf->usage = NULL;
        return NGX_CONF_OK;
    }

    usage = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_t));
    if (usage == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_apigw_words(cf, 1, ngx_http_apigw_usage_words, usage) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_usage_module);

    usage->shm_zone = ngx_apigw_zone_use(cf, &mcf->uses, &usage->zone,
                                         &ngx_http_apigw_usage_module);
    if (usage->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    v = usage->values;

    usage->names = v[NGX_HTTP_APIGW_USAGE_V_KEY].given
                   || v[NGX_HTTP_APIGW_USAGE_V_API].given
                   || v[NGX_HTTP_APIGW_USAGE_V_VERSION].given;

    usage->own = v[NGX_HTTP_APIGW_USAGE_V_RATE].given
                 || v[NGX_HTTP_APIGW_USAGE_V_BURST].given
                 || v[NGX_HTTP_APIGW_USAGE_V_QUOTA].given;

    lcf->usage = usage;

    return NGX_CONF_OK;
}


/* Which of the values it is the table tells by "least". */

static ngx_int_t
ngx_http_apigw_usage_word_value(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_usage_t *usage = base;

    if (ngx_http_apigw_usage_set_value(cf, word, word->least, value,
                                       &usage->values[word->least],
                                       &usage->plan)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return word->least == NGX_HTTP_APIGW_USAGE_V_COST
           ? ngx_http_apigw_usage_note_cost(cf, usage, value) : NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_word_estimate(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base)
{
    ngx_http_apigw_usage_when_t *when = base;

    return ngx_http_apigw_usage_set_value(cf, word,
                                          NGX_HTTP_APIGW_USAGE_V_COST, value,
                                          &when->estimate, NULL);
}


static ngx_int_t
ngx_http_apigw_usage_set_value(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_uint_t n, ngx_str_t *text, ngx_http_apigw_usage_value_t *value,
    ngx_apigw_plan_t **plan)
{
    if (text->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &word->name);
        return NGX_ERROR;
    }

    if (ngx_http_apigw_usage_literal(cf, n, text, plan) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value in parameter \"%V%V\"",
                           &word->name, text);
        return NGX_ERROR;
    }

    return ngx_http_apigw_usage_compile(cf, text, value) == NGX_CONF_OK
           ? NGX_OK : NGX_ERROR;
}


/* A cost of the answer needs to be looked up when that is known. */

static ngx_int_t
ngx_http_apigw_usage_note_cost(ngx_conf_t *cf, ngx_http_apigw_usage_t *usage,
    ngx_str_t *text)
{
    ngx_http_apigw_usage_t            **up;
    ngx_http_apigw_usage_main_conf_t   *mcf;

    if (!ngx_http_apigw_usage_late(text)) {
        return NGX_OK;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_usage_module);

    up = ngx_array_push(&mcf->costs);
    if (up == NULL) {
        return NGX_ERROR;
    }

    usage->file = cf->conf_file->file.name.data;
    usage->line = cf->conf_file->line;

    *up = usage;

    return NGX_OK;
}


/* Keeps where it stands, to tell if it has no effect. */

static char *
ngx_http_apigw_usage_ride(ngx_conf_t *cf,
    ngx_http_apigw_usage_loc_conf_t *lcf, ngx_uint_t n)
{
    ngx_str_t                          *value;
    ngx_http_apigw_usage_rider_t       *rider, **rp;
    ngx_http_apigw_usage_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_usage_module);

    rp = ngx_array_push(&mcf->riders);
    rider = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_rider_t));

    if (rp == NULL || rider == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    rider->directive = value[0];
    rider->file = cf->conf_file->file.name.data;
    rider->line = cf->conf_file->line;

    *rp = rider;
    lcf->riders[n] = rider;

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_usage_shadow_plan(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_usage_loc_conf_t *lcf = conf;

    ngx_str_t  *value, s;

    if (lcf->shadow != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->shadow = NULL;
        lcf->riders[NGX_HTTP_APIGW_USAGE_SHADOW] = NULL;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[1].data, "plan=", 5) != 0 || value[1].len == 5) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    s.data = value[1].data + 5;
    s.len = value[1].len - 5;

    lcf->shadow = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_value_t));

    if (lcf->shadow == NULL
        || ngx_http_apigw_usage_literal(cf, NGX_HTTP_APIGW_USAGE_V_PLAN, &s,
                                        NULL)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_usage_compile(cf, &s, lcf->shadow) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_apigw_usage_ride(cf, lcf, NGX_HTTP_APIGW_USAGE_SHADOW);
}


static char *
ngx_http_apigw_usage_when(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_loc_conf_t *lcf = conf;

    ngx_http_apigw_usage_when_t  *when;

    if (lcf->when != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    when = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_when_t));
    if (when == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_apigw_words(cf, 1, ngx_http_apigw_usage_when_words, when)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (when->estimate.given && when->on == NGX_HTTP_APIGW_USAGE_ON_REQUEST) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"estimate\" needs \"on=response\"");
        return NGX_CONF_ERROR;
    }

    lcf->when = when;

    if (when->on == NGX_HTTP_APIGW_USAGE_ON_REQUEST) {
        lcf->riders[NGX_HTTP_APIGW_USAGE_CHARGE] = NULL;
        return NGX_CONF_OK;
    }

    return ngx_http_apigw_usage_ride(cf, lcf, NGX_HTTP_APIGW_USAGE_CHARGE);
}


static ngx_int_t
ngx_http_apigw_usage_word_on(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_usage_when_t *when = base;

    if (ngx_strcmp(value->data, "request") == 0) {
        when->on = NGX_HTTP_APIGW_USAGE_ON_REQUEST;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "response") == 0) {
        when->on = NGX_HTTP_APIGW_USAGE_ON_RESPONSE;
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"on=%V\", it must be request or "
                       "response", value);
    return NGX_ERROR;
}


static char *
ngx_http_apigw_usage_refund(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_loc_conf_t *lcf = conf;

    ngx_int_t    n;
    ngx_str_t   *value;
    ngx_uint_t   i, *code;

    if (lcf->refund != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        lcf->refund = NULL;
        lcf->riders[NGX_HTTP_APIGW_USAGE_REFUND] = NULL;
        return NGX_CONF_OK;
    }

    lcf->refund = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                   sizeof(ngx_uint_t));
    if (lcf->refund == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 3 && value[i].data[1] == 'x'
            && value[i].data[2] == 'x')
        {
            n = ngx_atoi(value[i].data, 1);
            n = n >= 1 && n <= 5 ? n : NGX_ERROR;

        } else {
            n = ngx_atoi(value[i].data, value[i].len);
            n = n >= 100 && n <= 599 ? n : NGX_ERROR;
        }

        if (n == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid status \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        code = ngx_array_push(lcf->refund);
        if (code == NULL) {
            return NGX_CONF_ERROR;
        }

        *code = n;
    }

    return ngx_http_apigw_usage_ride(cf, lcf, NGX_HTTP_APIGW_USAGE_REFUND);
}


/* What may be written and cannot do what it says. */

static void
ngx_http_apigw_usage_check(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf)
{
    ngx_uint_t                      i;
    ngx_http_apigw_usage_t        **usage;
    ngx_http_apigw_usage_rider_t  **rider;

    ngx_http_apigw_usage_check_apis(cf, mcf);

    usage = mcf->costs.elts;

    for (i = 0; i < mcf->costs.nelts; i++) {
        if (!usage[i]->settled) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"cost\" is known with the answer, and without "
                          "\"api_usage_charge on=response\" looked up "
                          "before: it is 1 in %s:%ui", usage[i]->file,
                          usage[i]->line);
        }
    }

    rider = mcf->riders.elts;

    for (i = 0; i < mcf->riders.nelts; i++) {
        if (!rider[i]->used) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"%V\" has no effect without \"api_usage\" "
                          "in %s:%ui", &rider[i]->directive, rider[i]->file,
                          rider[i]->line);
        }
    }
}


static ngx_int_t
ngx_http_apigw_usage_init(ngx_conf_t *cf)
{
    ngx_uint_t                         i;
    ngx_array_t                       *handlers;
    ngx_http_handler_pt               *h;
    ngx_http_core_main_conf_t         *cmcf;
    ngx_http_apigw_usage_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_usage_module);

    if (ngx_apigw_zone_check_uses(cf, &mcf->uses, "api_usage_zone")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_apigw_usage_check(cf, mcf);

    if (mcf->zones.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_http_apigw_usage_init_values(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_usage_begin;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_usage_handler;

    /* before access_log, which may write our variables */

    handlers = &cmcf->phases[NGX_HTTP_LOG_PHASE].handlers;

    if (ngx_array_push(handlers) == NULL) {
        return NGX_ERROR;
    }

    h = handlers->elts;

    for (i = handlers->nelts - 1; i; i--) {
        h[i] = h[i - 1];
    }

    h[0] = ngx_http_apigw_usage_log_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apigw_usage_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apigw_usage_body_filter;

    return NGX_OK;
}
