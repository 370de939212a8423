/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/* What a client and a log see of a decision. */


#define NGX_HTTP_APIGW_USAGE_PROBLEM                                          \
    "https://iana.org/assignments/http-problem-types#quota-exceeded"

#define NGX_HTTP_APIGW_USAGE_LIMIT      0
#define NGX_HTTP_APIGW_USAGE_USED       1
#define NGX_HTTP_APIGW_USAGE_REMAINING  2
#define NGX_HTTP_APIGW_USAGE_RESET      3

#define NGX_HTTP_APIGW_USAGE_PLAN       0
#define NGX_HTTP_APIGW_USAGE_CONSUMER   1


static ngx_int_t ngx_http_apigw_usage_refuse_rate(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_usage_refuse_quota(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
static void ngx_http_apigw_usage_log_refusal(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, const ngx_apigw_plan_t *plan,
    const ngx_str_t *per);
static ngx_int_t ngx_http_apigw_usage_detail(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, const ngx_apigw_plan_t *plan,
    ngx_uint_t own, const char *what, const ngx_str_t *limit);
static ngx_int_t ngx_http_apigw_usage_violated(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, const ngx_apigw_plan_t **rate);
static void ngx_http_apigw_usage_refuse_caller(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);

static ngx_int_t ngx_http_apigw_usage_name_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_usage_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_usage_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

static ngx_int_t ngx_http_apigw_usage_self_handler(ngx_http_request_t *r);
static u_char *ngx_http_apigw_usage_self_quota(u_char *p,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q);


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


static ngx_http_variable_t  ngx_http_apigw_usage_vars[] = {

    { ngx_string("api_plan"), NULL, ngx_http_apigw_usage_name_variable,
      NGX_HTTP_APIGW_USAGE_PLAN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_consumer"), NULL, ngx_http_apigw_usage_name_variable,
      NGX_HTTP_APIGW_USAGE_CONSUMER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_usage_status"), NULL,
      ngx_http_apigw_usage_status_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_usage_shadow_status"), NULL,
      ngx_http_apigw_usage_status_variable, 1, NGX_HTTP_VAR_NOCACHEABLE, 0 },

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


ngx_int_t
ngx_http_apigw_usage_refuse(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_uint_t status)
{
    ngx_int_t                      rc;
    ngx_http_apigw_problem_t      *pr;
    ngx_http_apigw_usage_shctx_t  *sh;

    ctx->status = status;

    pr = &ctx->problem;
    sh = ctx->zone->sh;

    rc = NGX_OK;

    switch (status) {

    case NGX_HTTP_APIGW_USAGE_REJECTED_RATE:
        (void) ngx_atomic_fetch_add(&sh->refused_rate, 1);
        rc = ngx_http_apigw_usage_refuse_rate(r, ctx);
        break;

    case NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA:
        (void) ngx_atomic_fetch_add(&sh->refused_quota, 1);
        rc = ngx_http_apigw_usage_refuse_quota(r, ctx);
        break;

    case NGX_HTTP_APIGW_USAGE_REJECTED_PLAN:
    case NGX_HTTP_APIGW_USAGE_REJECTED_CONSUMER:
        ngx_http_apigw_usage_refuse_caller(r, ctx);
        break;

    default: /* NGX_HTTP_APIGW_USAGE_REJECTED_STORE */

        /* the cause is in the log already */

        (void) ngx_atomic_fetch_add(&sh->refused_store, 1);

        pr->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_str_set(&pr->title, "Service Unavailable");
        ngx_str_set(&pr->detail, "The request cannot be counted now.");
        pr->retry_after = 1 + ctx->zone->backed.helper.interval / 1000;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_apigw_refuse(r, pr);
}


static ngx_int_t
ngx_http_apigw_usage_refuse_rate(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    const ngx_apigw_plan_t    *plan;
    ngx_http_apigw_problem_t  *pr;

    pr = &ctx->problem;

    pr->status = ctx->conf->status;
    ngx_str_set(&pr->type, NGX_HTTP_APIGW_USAGE_PROBLEM);
    ngx_str_set(&pr->title, "Too Many Requests");

    if (ngx_http_apigw_usage_violated(r, ctx, &plan) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_apigw_usage_detail(r, ctx, plan, plan->own, "rate",
                                    &plan->rate)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_apigw_usage_log_refusal(r, ctx, plan, NULL);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_refuse_quota(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    u_char                         text[2 * NGX_INT64_LEN + 48], *p;
    uint64_t                       nominal;
    ngx_str_t                      limit;
    const ngx_str_t               *name;
    const ngx_apigw_plan_t        *plan;
    ngx_http_apigw_problem_t      *pr;
    ngx_http_apigw_usage_eval_t   *eval;
    ngx_http_apigw_usage_quota_t  *q;

    eval = &ctx->eval;
    pr = &ctx->problem;
    q = eval->refused;
    name = &q->quota->name;

    pr->status = ctx->conf->status;
    ngx_str_set(&pr->type, NGX_HTTP_APIGW_USAGE_PROBLEM);
    ngx_str_set(&pr->title, "Quota Exceeded");

    if (ngx_http_apigw_usage_violated(r, ctx, &plan) != NGX_OK) {
        return NGX_ERROR;
    }

    nominal = ngx_http_apigw_usage_nominal(q);

    limit.data = text;
    p = ngx_sprintf(text, "%uL per %V", nominal, name);

    if (q->total > nominal) {
        p = ngx_sprintf(p, " and an overage of %uL", q->total - nominal);
    }

    limit.len = p - text;

    if (ngx_http_apigw_usage_detail(r, ctx, q->plan, q->quota->own, "quota",
                                    &limit)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_apigw_usage_log_refusal(r, ctx, q->plan, name);

    return NGX_OK;
}


static void
ngx_http_apigw_usage_log_refusal(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, const ngx_apigw_plan_t *plan,
    const ngx_str_t *per)
{
    ngx_str_t                     none;
    ngx_http_apigw_usage_eval_t  *eval;

    if (r->connection->log->log_level < NGX_LOG_INFO) {
        return;
    }

    eval = &ctx->eval;

    ngx_str_null(&none);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "usage: %s%V of plan \"%V\"%s%V%s exceeded by \"%V\"",
                  per ? "quota per " : "rate", per ? per : &none,
                  &eval->plan->name,
                  plan == eval->api ? " for the API \"" : "",
                  plan == eval->api ? &plan->name : &none,
                  plan == eval->api ? "\"" : "", &ctx->consumer);
}


/* Whose limit it is: the caller's own, or that of the plan or of an API. */

static ngx_int_t
ngx_http_apigw_usage_detail(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, const ngx_apigw_plan_t *plan,
    ngx_uint_t own, const char *what, const ngx_str_t *limit)
{
    u_char           *p;
    ngx_str_t        *detail;
    const ngx_str_t  *name;

    detail = &ctx->problem.detail;
    name = &ctx->eval.plan->name;

    p = ngx_pnalloc(r->pool,
                    sizeof("Plan \"\" allows  for the API \"\".")
                    + name->len + limit->len + plan->name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    detail->data = p;

    if (own) {
        p = ngx_sprintf(p, "The caller's own %s is %V.", what, limit);

    } else if (plan == ctx->eval.api) {
        p = ngx_sprintf(p, "Plan \"%V\" allows %V for the API \"%V\".", name,
                        limit, &plan->name);

    } else {
        p = ngx_sprintf(p, "Plan \"%V\" allows %V.", name, limit);
    }

    detail->len = p - detail->data;

    return NGX_OK;
}


/*
 * All policies that refuse, the longest wait for one of them, and the rate
 * that has to be waited for longest.
 */

static ngx_int_t
ngx_http_apigw_usage_violated(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, const ngx_apigw_plan_t **rate)
{
    u_char                        *p, *start;
    time_t                         wait, longest;
    ngx_uint_t                     i, never;
    ngx_http_apigw_usage_eval_t   *eval;
    ngx_http_apigw_usage_quota_t  *q;

    eval = &ctx->eval;

    p = ngx_pnalloc(r->pool, sizeof("\"violated-policies\":[]")
                             + (eval->nrates + eval->nquotas)
                               * (sizeof("\"lifetime\":,")
                                  + NGX_APIGW_PLAN_FAMILY));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->problem.members.data = p;
    p = ngx_cpymem(p, "\"violated-policies\":[",
                   sizeof("\"violated-policies\":[") - 1);
    start = p;

    longest = 0;
    never = 0;
    *rate = eval->plan;

    for (i = 0; i < eval->nrates; i++) {

        if (eval->rates[i].admitted) {
            continue;
        }

        wait = ngx_http_apigw_usage_rate_wait(&eval->rates[i]);

        if (wait == -1 || (wait >= longest && !never)) {
            *rate = eval->limits[i];
        }

        never |= (wait == -1);
        longest = ngx_max(longest, wait);

        if (p != start) {
            *p++ = ',';
        }

        p = ngx_http_apigw_usage_policy(p, eval->limits[i],
                                        NGX_APIGW_PLAN_RATE);
    }

    for (i = 0; i < eval->nquotas; i++) {
        q = &eval->quotas[i];

        if (!q->exceeded) {
            continue;
        }

        wait = ngx_http_apigw_usage_wait(eval, q);

        never |= (wait == -1);
        longest = ngx_max(longest, wait);

        if (p != start) {
            *p++ = ',';
        }

        p = ngx_http_apigw_usage_policy(p, q->plan, q->quota->window.kind);
    }

    *p++ = ']';

    ctx->problem.members.len = p - ctx->problem.members.data;
    ctx->problem.retry_after = never ? 0 : longest;

    return NGX_OK;
}


static void
ngx_http_apigw_usage_refuse_caller(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_http_apigw_usage_shctx_t  *sh;

    sh = ctx->zone->sh;

    ctx->problem.status = NGX_HTTP_FORBIDDEN;
    ngx_str_set(&ctx->problem.title, "Forbidden");

    if (ctx->status == NGX_HTTP_APIGW_USAGE_REJECTED_PLAN) {
        ngx_str_set(&ctx->problem.detail, "The caller has no valid plan.");

        (void) ngx_atomic_fetch_add(&sh->refused_plan, 1);

        if (ngx_apigw_log_due(&sh->log_plan)) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "usage: unknown plan \"%V\" of consumer \"%V\"",
                          &ctx->plan, &ctx->consumer);
        }

        return;
    }

    ngx_str_set(&ctx->problem.detail, "The caller is not known.");

    (void) ngx_atomic_fetch_add(&sh->refused_consumer, 1);

    if (ngx_apigw_log_due(&sh->log_consumer)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "usage: empty consumer, the request is refused");
    }
}


ngx_int_t
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
    ngx_str_t                    text;
    ngx_http_apigw_usage_ctx_t  *ctx;

    ngx_str_null(&text);

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    if (ctx) {
        if (data == NGX_HTTP_APIGW_USAGE_CONSUMER) {
            text = ctx->consumer;

        } else if (ctx->eval.plan) {
            text = ctx->eval.plan->name;
        }
    }

    ngx_http_apigw_variable_set(v, &text);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_uint_t                   status;
    ngx_http_apigw_usage_ctx_t  *ctx;

    status = 0;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    if (ctx) {
        if (data == 0) {
            status = ctx->status;

        } else if (ctx->shadow) {
            status = ctx->shadow->result;
        }
    }

    ngx_http_apigw_variable_set(v, &ngx_http_apigw_usage_statuses[status]);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t                       n;
    ngx_str_t                      text;
    ngx_http_apigw_usage_ctx_t    *ctx;
    ngx_http_apigw_usage_quota_t  *q;

    ngx_str_null(&text);

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    q = ctx ? ngx_http_apigw_usage_nearest(&ctx->eval) : NULL;

    if (q == NULL
        || (data == NGX_HTTP_APIGW_USAGE_RESET
            && q->quota->window.kind == NGX_APIGW_WINDOW_LIFETIME))
    {
        ngx_http_apigw_variable_set(v, &text);
        return NGX_OK;
    }

    switch (data) {

    case NGX_HTTP_APIGW_USAGE_LIMIT:
        n = ngx_http_apigw_usage_nominal(q);
        break;

    case NGX_HTTP_APIGW_USAGE_USED:
        n = q->value + q->units;
        break;

    case NGX_HTTP_APIGW_USAGE_REMAINING:
        n = ngx_http_apigw_usage_left(q);
        break;

    default: /* NGX_HTTP_APIGW_USAGE_RESET */
        n = (uint64_t) ngx_http_apigw_usage_seconds(q);
    }

    text.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "%uL", n) - text.data;

    ngx_http_apigw_variable_set(v, &text);

    return NGX_OK;
}


char *
ngx_http_apigw_usage_self(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_apigw_usage_loc_conf_t  *lcf = conf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_apigw_usage_self_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_apigw_usage_self_handler;
    lcf->self = 1;
    lcf->self_file = cf->conf_file->file.name.data;
    lcf->self_line = cf->conf_file->line;

    return NGX_CONF_OK;
}


/* The caller's own usage; what it asks for is looked at and not charged. */

static ngx_int_t
ngx_http_apigw_usage_self_handler(ngx_http_request_t *r)
{
    u_char                        *p, *start;
    size_t                         len;
    ngx_int_t                      rc;
    ngx_buf_t                     *b;
    ngx_uint_t                     i;
    ngx_chain_t                    out;
    ngx_http_apigw_usage_ctx_t    *ctx;
    ngx_http_apigw_usage_eval_t   *eval;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_usage_module);

    if (ctx == NULL || ctx->eval.plan == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    eval = &ctx->eval;

    ngx_http_apigw_usage_observe(r, eval);

    if (eval->looked < eval->nquotas) {
        return ngx_http_apigw_usage_refuse(r, ctx,
                                        NGX_HTTP_APIGW_USAGE_REJECTED_STORE);
    }

    len = sizeof("{\"consumer\":\"\",\"plan\":\"\",\"quotas\":[]}\n")
          + ctx->consumer.len + eval->plan->name.len
          + ngx_escape_json(NULL, ctx->consumer.data, ctx->consumer.len)
          + eval->nquotas * (sizeof("{\"api\":\"\",\"per\":\"\",\"limit\":,"
                                    "\"used\":,\"remaining\":,\"reset\":},")
                             + NGX_APIGW_PLAN_FAMILY + 16
                             + 4 * NGX_INT64_LEN);

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = ngx_cpymem(b->last, "{\"consumer\":\"",
                   sizeof("{\"consumer\":\"") - 1);
    start = p;
    p = (u_char *) ngx_escape_json(p, ctx->consumer.data, ctx->consumer.len);
    ngx_http_apigw_make_utf8(start, p);
    p = ngx_sprintf(p, "\",\"plan\":\"%V\",\"quotas\":[", &eval->plan->name);

    start = p;

    for (i = 0; i < eval->looked; i++) {

        if (eval->quotas[i].quota->mode == NGX_APIGW_PLAN_SHADOW) {
            continue;
        }

        if (p != start) {
            *p++ = ',';
        }

        p = ngx_http_apigw_usage_self_quota(p, eval, &eval->quotas[i]);
    }

    b->last = ngx_cpymem(p, "]}\n", 3);
    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static u_char *
ngx_http_apigw_usage_self_quota(u_char *p, ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_quota_t *q)
{
    *p++ = '{';

    if (q->plan == eval->api) {
        p = ngx_sprintf(p, "\"api\":\"%V\",", &q->plan->name);
    }

    p = ngx_sprintf(p, "\"per\":\"%V\",\"used\":%uL", &q->quota->name,
                    q->value);

    if (q->quota->limit != NGX_APIGW_PLAN_UNLIMITED) {
        p = ngx_sprintf(p, ",\"limit\":%uL,\"remaining\":%uL",
                        ngx_http_apigw_usage_nominal(q),
                        ngx_http_apigw_usage_left(q));
    }

    if (q->quota->window.kind != NGX_APIGW_WINDOW_LIFETIME) {
        p = ngx_sprintf(p, ",\"reset\":%T", ngx_http_apigw_usage_seconds(q));
    }

    *p++ = '}';

    return p;
}
