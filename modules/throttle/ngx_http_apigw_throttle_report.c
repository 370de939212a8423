/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_throttle.h"


static ngx_int_t ngx_http_apigw_throttle_draft_headers(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx);
static u_char *ngx_http_apigw_throttle_policies(u_char *p,
    ngx_http_apigw_throttle_ctx_t *ctx);
static u_char *ngx_http_apigw_throttle_states(u_char *p,
    ngx_http_apigw_throttle_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_throttle_legacy_headers(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_throttle_number_text(ngx_http_request_t *r,
    uint64_t number, ngx_str_t *text);
static u_char *ngx_http_apigw_throttle_number(u_char *p, uint64_t number);
static const ngx_apigw_charge_t *ngx_http_apigw_throttle_tightest(
    ngx_http_apigw_throttle_ctx_t *ctx, ngx_uint_t dry_run);
static uint64_t ngx_http_apigw_throttle_seconds(
    const ngx_apigw_charge_t *charge);
static ngx_int_t ngx_http_apigw_throttle_status_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_throttle_number_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_apigw_throttle_variables[] = {

    { ngx_string("api_throttle_status"), NULL,
      ngx_http_apigw_throttle_status_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_throttle_limit"), NULL,
      ngx_http_apigw_throttle_number_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_throttle_remaining"), NULL,
      ngx_http_apigw_throttle_number_variable, 1,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_throttle_reset"), NULL,
      ngx_http_apigw_throttle_number_variable, 2,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_apigw_throttle_statuses[] = {
    ngx_null_string,
    ngx_string("PASSED"),
    ngx_string("DELAYED_DRY_RUN"),
    ngx_string("REJECTED_DRY_RUN"),
    ngx_string("DELAYED"),
    ngx_string("REJECTED")
};


ngx_int_t
ngx_http_apigw_throttle_headers(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx)
{
    switch (ctx->headers) {

    case NGX_HTTP_APIGW_THROTTLE_DRAFT:
        return ngx_http_apigw_throttle_draft_headers(r, ctx);

    case NGX_HTTP_APIGW_THROTTLE_LEGACY:
        return ngx_http_apigw_throttle_legacy_headers(r, ctx);

    default:
        return NGX_OK;
    }
}


/* the fields of draft-ietf-httpapi-ratelimit-headers, an item for each zone */

static ngx_int_t
ngx_http_apigw_throttle_draft_headers(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx)
{
    u_char                           *p;
    size_t                            len;
    ngx_str_t                         policies, states;
    ngx_uint_t                        i, n, items;
    ngx_http_apigw_throttle_use_t    *use;
    ngx_http_apigw_throttle_round_t  *round;

    len = 0;
    items = 0;
    use = NULL;

    for (n = 0; n < ctx->nrounds; n++) {
        round = &ctx->rounds[n];

        for (i = 0; i < round->counted; i++) {
            use = round->uses[i];
            len += use->name.len + NGX_HTTP_APIGW_THROTTLE_POLICY_LEN
                   + use->prefix.len + sizeof(";t=, , ") - 1
                   + 2 * NGX_INT64_LEN;
            items++;
        }
    }

    if (items == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    states.data = ngx_http_apigw_throttle_states(p + len, ctx);
    states.len = p + len - states.data;

    if (items == 1 && use->policy.len) {
        policies = use->policy;

    } else {
        policies.data = p;
        p = ngx_http_apigw_throttle_policies(p, ctx);
        policies.len = p - policies.data;
    }

    if (ngx_http_apigw_add_header(r, "RateLimit-Policy", &policies) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_apigw_add_header(r, "RateLimit", &states);
}


static u_char *
ngx_http_apigw_throttle_policies(u_char *p, ngx_http_apigw_throttle_ctx_t *ctx)
{
    u_char                           *start;
    ngx_uint_t                        i, n;
    ngx_http_apigw_throttle_use_t    *use;
    ngx_http_apigw_throttle_round_t  *round;

    start = p;

    for (n = 0; n < ctx->nrounds; n++) {
        round = &ctx->rounds[n];

        for (i = 0; i < round->counted; i++) {
            use = round->uses[i];

            if (p != start) {
                *p++ = ',';
                *p++ = ' ';
            }

            if (use->policy.len) {
                p = ngx_cpymem(p, use->policy.data, use->policy.len);

            } else {
                p = ngx_http_apigw_throttle_policy(p, &use->name,
                                                   round->charges[i].limit);
            }
        }
    }

    return p;
}


/* Writes from the end to the front; returns where it begins. */

static u_char *
ngx_http_apigw_throttle_states(u_char *p, ngx_http_apigw_throttle_ctx_t *ctx)
{
    u_char                           *last;
    ngx_str_t                        *prefix;
    ngx_uint_t                        i, n;
    ngx_apigw_charge_t               *charge;
    ngx_http_apigw_throttle_round_t  *round;

    last = p;

    for (n = ctx->nrounds; n--; /* void */ ) {
        round = &ctx->rounds[n];

        for (i = round->counted; i--; /* void */ ) {
            charge = &round->charges[i];

            if (p != last) {
                *--p = ' ';
                *--p = ',';
            }

            p = ngx_http_apigw_throttle_number(p,
                                      ngx_http_apigw_throttle_seconds(charge));
            *--p = '=';
            *--p = 't';
            *--p = ';';

            p = ngx_http_apigw_throttle_number(p,
                                           ngx_apigw_bucket_remaining(charge));

            prefix = &round->uses[i]->prefix;
            p -= prefix->len;
            ngx_memcpy(p, prefix->data, prefix->len);
        }
    }

    return p;
}


static ngx_int_t
ngx_http_apigw_throttle_legacy_headers(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx)
{
    const ngx_apigw_charge_t  *charge;

    charge = ngx_http_apigw_throttle_tightest(ctx, 0);

    if (charge == NULL) {
        return NGX_OK;
    }

    return ngx_http_apigw_limit_fields(r, charge->limit->burst,
                            ngx_apigw_bucket_remaining(charge),
                            (time_t) ngx_http_apigw_throttle_seconds(charge));
}


static ngx_int_t
ngx_http_apigw_throttle_number_text(ngx_http_request_t *r, uint64_t number,
    ngx_str_t *text)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p += NGX_INT64_LEN;

    text->data = ngx_http_apigw_throttle_number(p, number);
    text->len = p - text->data;

    return NGX_OK;
}


/* Writes from the end to the front; returns where it begins. */

static u_char *
ngx_http_apigw_throttle_number(u_char *p, uint64_t number)
{
    do {
        *--p = (u_char) ('0' + number % 10);
        number /= 10;
    } while (number);

    return p;
}


/*
 * The zone that refused for the longest time, else the one with the fewest
 * tokens left; one in a dry run only if asked for and there is no other.
 */

static const ngx_apigw_charge_t *
ngx_http_apigw_throttle_tightest(ngx_http_apigw_throttle_ctx_t *ctx,
    ngx_uint_t dry_run)
{
    uint64_t                          wait, remaining, longest, least;
    ngx_uint_t                        i, n, last;
    ngx_apigw_charge_t               *charge, *found;
    ngx_http_apigw_throttle_round_t  *round;

    found = NULL;
    longest = 0;
    least = 0;

    for (n = 0; n < ctx->nrounds; n++) {
        round = &ctx->rounds[n];
        last = dry_run ? round->n : round->counted;

        for (i = dry_run ? round->counted : 0; i < last; i++) {
            charge = &round->charges[i];

            wait = ngx_apigw_bucket_wait(charge);
            remaining = ngx_apigw_bucket_remaining(charge);

            if (found == NULL || wait > longest
                || (wait == longest && remaining < least))
            {
                found = charge;
                longest = wait;
                least = remaining;
            }
        }
    }

    return found;
}


/* of a refused request as its Retry-After, else until the bucket is full */

static uint64_t
ngx_http_apigw_throttle_seconds(const ngx_apigw_charge_t *charge)
{
    uint64_t  msec;

    msec = charge->admitted ? 0 : ngx_apigw_bucket_wait(charge);

    if (msec == 0 || msec == NGX_APIGW_BUCKET_NEVER) {
        msec = ngx_apigw_bucket_reset(charge);
    }

    return (msec + 999) / 1000;
}


ngx_int_t
ngx_http_apigw_throttle_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_apigw_throttle_variables; v->name.len; v++) {
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
ngx_http_apigw_throttle_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_apigw_throttle_ctx_t  *ctx;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_throttle_module);

    ngx_http_apigw_variable_set(v,
               &ngx_http_apigw_throttle_statuses[ctx ? ctx->status : 0]);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t                        number;
    ngx_str_t                       value;
    const ngx_apigw_charge_t       *charge;
    ngx_http_apigw_throttle_ctx_t  *ctx;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_throttle_module);
    charge = NULL;

    if (ctx) {
        charge = ngx_http_apigw_throttle_tightest(ctx, 0);

        if (charge == NULL) {
            charge = ngx_http_apigw_throttle_tightest(ctx, 1);
        }
    }

    if (charge == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (data) {

    case 0:
        number = charge->limit->burst;
        break;

    case 1:
        number = ngx_apigw_bucket_remaining(charge);
        break;

    default:
        number = ngx_http_apigw_throttle_seconds(charge);
    }

    if (ngx_http_apigw_throttle_number_text(r, number, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_apigw_variable_set(v, &value);

    return NGX_OK;
}
