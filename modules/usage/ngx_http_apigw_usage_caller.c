/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/* Who calls, and on which plan, as the variables of a request have it. */


static ngx_apigw_plan_t *ngx_http_apigw_usage_plan_named(
    ngx_http_request_t *r, ngx_str_t *name);
static ngx_apigw_plan_t *ngx_http_apigw_usage_overridden(
    ngx_http_request_t *r, ngx_http_apigw_usage_ctx_t *ctx,
    ngx_apigw_plan_t *plan);
static void ngx_http_apigw_usage_override_rate(ngx_apigw_plan_t *plan,
    ngx_str_t *text, ngx_str_t *bad);
static ngx_int_t ngx_http_apigw_usage_override_burst(ngx_apigw_limit_t *limit,
    const ngx_apigw_rate_t *rate, ngx_str_t *text);
static void ngx_http_apigw_usage_invalid(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_str_t *bad);


/*
 * Who calls and on which plan; ctx->status is set if the request has to be
 * refused for it.
 */

ngx_int_t
ngx_http_apigw_usage_identify(ngx_http_request_t *r,
    ngx_http_apigw_usage_loc_conf_t *lcf, ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_uint_t                         i;
    ngx_apigw_plan_t                  *plan;
    ngx_http_apigw_usage_value_t      *values;

    values = lcf->usage->values;

    ctx->conf = lcf;
    ctx->zone = lcf->usage->shm_zone->data;

    if (ngx_http_apigw_usage_value(r, &values[NGX_HTTP_APIGW_USAGE_V_CONSUMER],
                                   &ctx->consumer)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->consumer.len == 0) {
        ctx->status = NGX_HTTP_APIGW_USAGE_REJECTED_CONSUMER;
        return NGX_OK;
    }

    plan = lcf->usage->plan;

    if (plan == NULL) {

        if (ngx_http_apigw_usage_value(r, &values[NGX_HTTP_APIGW_USAGE_V_PLAN],
                                       &ctx->plan)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        plan = ngx_http_apigw_usage_plan_named(r, &ctx->plan);
    }

    if (plan == NULL) {
        ctx->status = NGX_HTTP_APIGW_USAGE_REJECTED_PLAN;
        return NGX_OK;
    }

    for (i = 0; lcf->usage->names && i < 3; i++) {
        if (values[NGX_HTTP_APIGW_USAGE_V_KEY + i].given
            && ngx_http_apigw_usage_value(r,
                                     &values[NGX_HTTP_APIGW_USAGE_V_KEY + i],
                                     &ctx->names[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (lcf->usage->own) {
        plan = ngx_http_apigw_usage_overridden(r, ctx, plan);

        if (plan == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_apigw_hash_half(&ctx->hash, &ctx->zone->sh->key, ctx->consumer.data,
                        ctx->consumer.len);

    return ngx_http_apigw_usage_set_plan(r, ctx, &ctx->eval, plan);
}


/* The plan of this name or the default one. */

static ngx_apigw_plan_t *
ngx_http_apigw_usage_plan_named(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_apigw_plan_t                  *plan;
    ngx_http_apigw_usage_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_usage_module);

    plan = ngx_apigw_plans_find(&mcf->plans, name);

    if (plan == NULL && mcf->unknown.len) {
        plan = ngx_apigw_plans_find(&mcf->plans, &mcf->unknown);
    }

    return plan;
}


ngx_int_t
ngx_http_apigw_usage_set_plan(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_http_apigw_usage_eval_t *eval,
    const ngx_apigw_plan_t *plan)
{
    ngx_uint_t  n;

    eval->zone = ctx->zone;
    eval->plan = plan;
    eval->consumer = &ctx->consumer;
    eval->hash = &ctx->hash;

    n = plan->nquotas;

    if (plan->apis && ctx->names[1].len) {
        eval->api = ngx_apigw_plan_api(plan, &ctx->names[1]);

        if (eval->api) {
            n += eval->api->nquotas;
        }
    }

    if (n == 0) {
        return NGX_OK;
    }

    eval->quotas = ngx_palloc(r->pool,
                              n * sizeof(ngx_http_apigw_usage_quota_t));

    return eval->quotas ? NGX_OK : NGX_ERROR;
}


/* The plan with the limits that the consumer has of its own. */

static ngx_apigw_plan_t *
ngx_http_apigw_usage_overridden(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_apigw_plan_t *plan)
{
    ngx_str_t                      text[3], bad[3];
    ngx_uint_t                     i, given;
    ngx_apigw_plan_t              *own;
    ngx_http_apigw_usage_value_t  *value;

    given = 0;
    value = &ctx->conf->usage->values[NGX_HTTP_APIGW_USAGE_V_RATE];

    for (i = 0; i < 3; i++) {
        ngx_str_null(&text[i]);
        ngx_str_null(&bad[i]);

        if (!value[i].given) {
            continue;
        }

        if (ngx_http_apigw_usage_value(r, &value[i], &text[i]) != NGX_OK) {
            return NULL;
        }

        given += text[i].len;
    }

    if (given == 0) {
        return plan;
    }

    own = ngx_palloc(r->pool, sizeof(ngx_apigw_plan_t));
    if (own == NULL) {
        return NULL;
    }

    *own = *plan;
    own->index = 0;

    if (text[0].len || text[1].len) {
        ngx_http_apigw_usage_override_rate(own, text, bad);
    }

    (void) ngx_apigw_plan_override(own, &text[2], &bad[2]);

    if (bad[0].data || bad[1].data || bad[2].data) {
        ngx_http_apigw_usage_invalid(r, ctx, bad);
    }

    return own;
}


/* Rate and burst; what is invalid goes to "bad" and is as in the plan. */

static void
ngx_http_apigw_usage_override_rate(ngx_apigw_plan_t *plan, ngx_str_t *text,
    ngx_str_t *bad)
{
    uint64_t           burst;
    ngx_apigw_rate_t   rate;
    ngx_apigw_limit_t  limit;

    rate = plan->limit.rate;
    burst = plan->limit.interval ? plan->limit.burst : 0;

    if (text[0].len) {
        if (ngx_apigw_rate_parse(&rate, &text[0]) == NGX_OK) {
            plan->rate = text[0];
            plan->own = 1;

        } else {
            rate = plan->limit.rate;
            bad[0] = text[0];
        }
    }

    ngx_memzero(&limit, sizeof(ngx_apigw_limit_t));

    limit.rate = rate;

    if (ngx_apigw_rate_unlimited(&rate)) {
        plan->limit = limit;
        return;
    }

    if (text[1].len) {
        if (ngx_http_apigw_usage_override_burst(&limit, &rate, &text[1])
            == NGX_OK)
        {
            plan->limit = limit;
            return;
        }

        bad[1] = text[1];
    }

    /* the plan's burst, unless that is not enough for the rate or too much */

    if (burst * rate.msec < rate.tokens
        || ngx_apigw_limit_init(&limit, &rate, burst) != NGX_OK)
    {
        (void) ngx_apigw_limit_init(&limit, &rate, 0);
    }

    plan->limit = limit;
}


static ngx_int_t
ngx_http_apigw_usage_override_burst(ngx_apigw_limit_t *limit,
    const ngx_apigw_rate_t *rate, ngx_str_t *text)
{
    ngx_int_t  n;

    n = ngx_atoi(text->data, text->len);

    return n > 0 ? ngx_apigw_limit_init(limit, rate, n) : NGX_ERROR;
}


static void
ngx_http_apigw_usage_invalid(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_str_t *bad)
{
    ngx_uint_t  i;

    static const char  *names[] = { "rate", "burst", "quota" };

    if (!ngx_apigw_log_due(&ctx->zone->sh->log_value)) {
        return;
    }

    for (i = 0; i < 3; i++) {
        if (bad[i].data) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "usage: invalid %s \"%V\" of consumer \"%V\", "
                          "that of the plan applies",
                          names[i], &bad[i], &ctx->consumer);
        }
    }
}


/*
 * Whether error_page brought the request here after it was turned away, by a
 * status alone: from a location without api_usage, or in the REWRITE phase,
 * where other statuses, a 404 or a 418 say, are a way to come here.
 */

ngx_uint_t
ngx_http_apigw_usage_refused(ngx_http_request_t *r)
{
    switch (r->err_status) {

    case NGX_HTTP_BAD_REQUEST:
    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_REQUEST_TIME_OUT:
    case 410: /* of an API's version */
    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
    case NGX_HTTP_REQUEST_URI_TOO_LARGE:
    case NGX_HTTP_TOO_MANY_REQUESTS:
    case NGX_HTTP_REQUEST_HEADER_TOO_LARGE:
    case NGX_HTTPS_CERT_ERROR:
    case NGX_HTTPS_NO_CERT:
    case NGX_HTTP_TO_HTTPS:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return 1;

    default:
        return 0;
    }
}


ngx_int_t
ngx_http_apigw_usage_value(ngx_http_request_t *r,
    ngx_http_apigw_usage_value_t *value, ngx_str_t *s)
{
    return ngx_http_apigw_text(r, &value->text, s);
}


/* Whether a variable of it is known when the answer is, and not before. */

ngx_uint_t
ngx_http_apigw_usage_late(ngx_str_t *text)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    static ngx_str_t  names[] = {
        ngx_string("upstream_"), ngx_string("sent_http_"),
        ngx_string("sent_trailer_"), ngx_string("bytes_sent"),
        ngx_string("body_bytes_sent"), ngx_string("status"),
        ngx_string("request_time"), ngx_null_string
    };

    last = text->data + text->len;

    for (p = text->data; p < last; p++) {

        if (*p != '$') {
            continue;
        }

        p += (p + 1 < last && p[1] == '{') ? 2 : 1;

        for (i = 0; names[i].len; i++) {
            if ((size_t) (last - p) >= names[i].len
                && ngx_strncasecmp(p, names[i].data, names[i].len) == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


char *
ngx_http_apigw_usage_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_apigw_usage_value_t *value)
{
    ngx_http_apigw_text_t             **vp;
    ngx_http_apigw_usage_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_usage_module);

    vp = ngx_array_push(&mcf->values);
    if (vp == NULL) {
        return NGX_CONF_ERROR;
    }

    *vp = &value->text;
    value->given = 1;

    return ngx_http_apigw_text_compile(cf, text, &value->text) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_apigw_usage_init_values(ngx_conf_t *cf)
{
    ngx_uint_t                          i;
    ngx_http_apigw_text_t             **vp;
    ngx_http_apigw_usage_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_usage_module);

    vp = mcf->values.elts;

    for (i = 0; i < mcf->values.nelts; i++) {
        if (ngx_http_apigw_text_init(cf, vp[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_usage_literal(ngx_conf_t *cf, ngx_uint_t n, ngx_str_t *text,
    ngx_apigw_plan_t **plan)
{
    ngx_str_t                         *args, bad;
    ngx_apigw_plan_t                  *own;
    ngx_apigw_rate_t                   rate;
    ngx_http_apigw_usage_named_t      *named;
    ngx_http_apigw_usage_main_conf_t  *mcf;

    if (ngx_http_script_variables_count(text)) {
        return NGX_OK;
    }

    switch (n) {

    case NGX_HTTP_APIGW_USAGE_V_PLAN:
    case NGX_HTTP_APIGW_USAGE_V_API:
        mcf = ngx_http_conf_get_module_main_conf(cf,
                                                 ngx_http_apigw_usage_module);

        named = ngx_array_push(n == NGX_HTTP_APIGW_USAGE_V_PLAN ? &mcf->named
                                                                : &mcf->apis);
        if (named == NULL) {
            return NGX_ERROR;
        }

        args = cf->args->elts;

        named->name = *text;
        named->directive = args[0];
        named->plan = plan;
        named->file = cf->conf_file->file.name.data;
        named->line = cf->conf_file->line;

        return NGX_OK;

    case NGX_HTTP_APIGW_USAGE_V_RATE:
        return ngx_apigw_rate_parse(&rate, text);

    case NGX_HTTP_APIGW_USAGE_V_BURST:
        return ngx_atoi(text->data, text->len) > 0 ? NGX_OK : NGX_ERROR;

    case NGX_HTTP_APIGW_USAGE_V_QUOTA:
        own = ngx_pcalloc(cf->temp_pool, sizeof(ngx_apigw_plan_t));
        if (own == NULL) {
            return NGX_ERROR;
        }

        own->family = *text;

        return ngx_apigw_plan_override(own, text, &bad);

    case NGX_HTTP_APIGW_USAGE_V_COST:
        return ngx_http_apigw_usage_units(text, (uint64_t) -1)
               == (uint64_t) -1 ? NGX_ERROR : NGX_OK;

    default:
        return NGX_OK;
    }
}
