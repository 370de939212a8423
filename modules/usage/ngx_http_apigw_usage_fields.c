/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/*
 * The fields of a response that tell a client how much is left.  Most of what
 * is written are numbers, so they are written here and not by ngx_sprintf().
 */


/* more than ";q=" and ";w=" with two numbers, and a comma */

#define NGX_HTTP_APIGW_USAGE_ITEM  (2 * NGX_INT64_LEN + 8)


static ngx_int_t ngx_http_apigw_usage_draft(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval);
static size_t ngx_http_apigw_usage_draft_room(
    ngx_http_apigw_usage_eval_t *eval);
static ngx_uint_t ngx_http_apigw_usage_draft_plan(u_char **policy,
    u_char **state, ngx_http_apigw_usage_eval_t *eval, ngx_uint_t api);
static ngx_http_apigw_usage_text_t *ngx_http_apigw_usage_text(
    ngx_http_apigw_usage_eval_t *eval, const ngx_apigw_plan_t *plan,
    ngx_http_apigw_usage_quota_t *quotas);
static u_char *ngx_http_apigw_usage_text_write(u_char *p,
    const ngx_apigw_plan_t *plan, ngx_http_apigw_usage_quota_t *quotas,
    ngx_uint_t rate, ngx_uint_t shown);
static ngx_uint_t ngx_http_apigw_usage_is_shown(
    ngx_http_apigw_usage_quota_t *q);
static u_char *ngx_http_apigw_usage_rate_state(u_char *p,
    const ngx_apigw_plan_t *plan, ngx_apigw_charge_t *charge);
static u_char *ngx_http_apigw_usage_quota_state(u_char *p,
    ngx_http_apigw_usage_quota_t *q);
static u_char *ngx_http_apigw_usage_digits(u_char *p, uint64_t n);
static ngx_int_t ngx_http_apigw_usage_legacy(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval);
static ngx_int_t ngx_http_apigw_usage_legacy_rate(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval);


/* What is left within the limit, after this request. */

uint64_t
ngx_http_apigw_usage_left(ngx_http_apigw_usage_quota_t *q)
{
    uint64_t  used, nominal;

    nominal = ngx_http_apigw_usage_nominal(q);
    used = q->value + q->units;

    return nominal > used ? nominal - used : 0;
}


time_t
ngx_http_apigw_usage_seconds(ngx_http_apigw_usage_quota_t *q)
{
    return ngx_max((time_t) q->span.end - ngx_time(), 0);
}


/* Seconds until a rate admits what it refused, -1 if that is never. */

time_t
ngx_http_apigw_usage_rate_wait(ngx_apigw_charge_t *charge)
{
    uint64_t  wait;

    wait = ngx_apigw_bucket_wait(charge);

    if (wait == NGX_APIGW_BUCKET_NEVER) {
        return -1;
    }

    return ngx_max((time_t) ((wait + 999) / 1000), 1);
}


ngx_int_t
ngx_http_apigw_usage_headers(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx)
{
    ngx_http_apigw_usage_eval_t  *eval;

    eval = &ctx->eval;

    if (eval->plan == NULL || (eval->nrates == 0 && eval->nquotas == 0)) {
        return NGX_OK;
    }

    return ctx->conf->headers == NGX_HTTP_APIGW_USAGE_DRAFT
           ? ngx_http_apigw_usage_draft(r, eval)
           : ngx_http_apigw_usage_legacy(r, eval);
}


/*
 * draft-ietf-httpapi-ratelimit-headers: an item for each rate and limited
 * quota whose state is known, those of the plan before those of the API.
 */

static ngx_int_t
ngx_http_apigw_usage_draft(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval)
{
    u_char      *p, *s;
    size_t       room;
    ngx_str_t    policies, states;
    ngx_uint_t   n;

    room = ngx_http_apigw_usage_draft_room(eval);

    p = ngx_pnalloc(r->pool, 2 * room);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s = p + room;

    policies.data = p;
    states.data = s;

    n = ngx_http_apigw_usage_draft_plan(&p, &s, eval, 0);

    if (eval->api) {
        n += ngx_http_apigw_usage_draft_plan(&p, &s, eval, 1);
    }

    if (n == 0) {
        return NGX_OK;
    }

    /* each item has brought its ", " */

    policies.len = p - policies.data - 2;
    states.len = s - states.data - 2;

    if (ngx_http_apigw_add_header(r, "RateLimit-Policy", &policies)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apigw_add_header(r, "RateLimit", &states);
}


static size_t
ngx_http_apigw_usage_draft_room(ngx_http_apigw_usage_eval_t *eval)
{
    size_t  room;

    room = (eval->nrates + eval->nquotas)
           * (NGX_HTTP_APIGW_USAGE_ITEM + sizeof("\"lifetime\", ") - 1);

    if (eval->api) {
        room += (1 + eval->api->nquotas) * (eval->api->name.len + 1);
    }

    return room;
}


/* Writes the items of a plan or what it has for the API; returns how many. */

static ngx_uint_t
ngx_http_apigw_usage_draft_plan(u_char **policy, u_char **state,
    ngx_http_apigw_usage_eval_t *eval, ngx_uint_t api)
{
    u_char                        *s;
    ngx_uint_t                     i, n, rate, known, shown;
    const ngx_apigw_plan_t        *plan;
    ngx_http_apigw_usage_text_t   *text;
    ngx_http_apigw_usage_quota_t  *quotas;

    plan = api ? eval->api : eval->plan;
    quotas = eval->quotas;
    known = eval->looked;

    if (api) {
        quotas += eval->plan->nquotas;
        known -= ngx_min(known, eval->plan->nquotas);
    }

    known = ngx_min(known, plan->nquotas);

    /* the rate was not asked if a quota or the store has refused */

    rate = plan->limit.interval
           && eval->result != NGX_HTTP_APIGW_USAGE_REJECTED_STORE
           && eval->result != NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA;

    shown = 0;

    for (i = 0; i < plan->nquotas; i++) {
        if ((i < known || &quotas[i] == eval->refused)
            && ngx_http_apigw_usage_is_shown(&quotas[i]))
        {
            shown |= (ngx_uint_t) 1 << i;
        }
    }

    text = NULL;

    if (plan->index && known == plan->nquotas
        && rate == (plan->limit.interval != 0))
    {
        text = ngx_http_apigw_usage_text(eval, plan, quotas);
    }

    *policy = text ? ngx_cpymem(*policy, text->data, text->len)
                   : ngx_http_apigw_usage_text_write(*policy, plan, quotas,
                                                     rate, shown);
    s = *state;
    n = 0;

    if (rate) {
        s = ngx_http_apigw_usage_rate_state(s, plan,
                        &eval->rates[api && eval->plan->limit.interval]);
        n++;
    }

    for (i = 0; i < plan->nquotas; i++) {
        if (shown & ((ngx_uint_t) 1 << i)) {
            s = ngx_http_apigw_usage_quota_state(s, &quotas[i]);
            n++;
        }
    }

    *state = s;

    return n;
}


/*
 * The policies of a plan as they were written for the request before; written
 * anew when a window or a limit (with what was granted) is another one.
 */

static ngx_http_apigw_usage_text_t *
ngx_http_apigw_usage_text(ngx_http_apigw_usage_eval_t *eval,
    const ngx_apigw_plan_t *plan, ngx_http_apigw_usage_quota_t *quotas)
{
    ngx_uint_t                    i, same;
    ngx_http_apigw_usage_text_t  *text;

    text = &eval->zone->texts[plan->index];
    same = (text->len != 0);

    for (i = 0; i < plan->nquotas; i++) {

        if (text->total[i] != quotas[i].total
            || text->span[i].start != quotas[i].span.start
            || text->span[i].end != quotas[i].span.end)
        {
            text->total[i] = quotas[i].total;
            text->span[i] = quotas[i].span;
            same = 0;
        }
    }

    if (!same) {
        text->len = ngx_http_apigw_usage_text_write(text->data, plan, quotas,
                        plan->limit.interval != 0, (ngx_uint_t) -1)
                    - text->data;
    }

    return text;
}


static u_char *
ngx_http_apigw_usage_text_write(u_char *p, const ngx_apigw_plan_t *plan,
    ngx_http_apigw_usage_quota_t *quotas, ngx_uint_t rate, ngx_uint_t shown)
{
    ngx_uint_t                     i;
    const ngx_apigw_limit_t       *limit;
    ngx_http_apigw_usage_quota_t  *q;

    if (rate) {
        limit = &plan->limit;

        p = ngx_http_apigw_usage_policy(p, plan, NGX_APIGW_PLAN_RATE);
        p = ngx_cpymem(p, ";q=", 3);
        p = ngx_http_apigw_usage_digits(p, limit->burst);
        p = ngx_cpymem(p, ";w=", 3);
        p = ngx_http_apigw_usage_digits(p,
                   (limit->burst * limit->rate.msec / limit->rate.tokens
                    + 999) / 1000);
        p = ngx_cpymem(p, ", ", 2);
    }

    for (i = 0; i < plan->nquotas; i++) {
        q = &quotas[i];

        if (!(shown & ((ngx_uint_t) 1 << i))
            || !ngx_http_apigw_usage_is_shown(q))
        {
            continue;
        }

        p = ngx_http_apigw_usage_policy(p, plan, q->quota->window.kind);
        p = ngx_cpymem(p, ";q=", 3);
        p = ngx_http_apigw_usage_digits(p, ngx_http_apigw_usage_nominal(q));

        if (q->quota->window.kind != NGX_APIGW_WINDOW_LIFETIME) {
            p = ngx_cpymem(p, ";w=", 3);
            p = ngx_http_apigw_usage_digits(p, q->span.end - q->span.start);
        }

        p = ngx_cpymem(p, ", ", 2);
    }

    return p;
}


static ngx_uint_t
ngx_http_apigw_usage_is_shown(ngx_http_apigw_usage_quota_t *q)
{
    return q->quota->limit != NGX_APIGW_PLAN_UNLIMITED
           && q->quota->mode != NGX_APIGW_PLAN_SHADOW;
}


u_char *
ngx_http_apigw_usage_policy(u_char *p, const ngx_apigw_plan_t *plan,
    ngx_uint_t kind)
{
    return ngx_cpymem(p, plan->policies[kind].data, plan->policies[kind].len);
}


static u_char *
ngx_http_apigw_usage_rate_state(u_char *p, const ngx_apigw_plan_t *plan,
    ngx_apigw_charge_t *charge)
{
    time_t  wait;

    /* what is refused is admitted then, as Retry-After has it */

    wait = charge->admitted
           ? (time_t) ((ngx_apigw_bucket_reset(charge) + 999) / 1000)
           : ngx_http_apigw_usage_rate_wait(charge);

    p = ngx_http_apigw_usage_policy(p, plan, NGX_APIGW_PLAN_RATE);
    p = ngx_cpymem(p, ";r=", 3);
    p = ngx_http_apigw_usage_digits(p, ngx_apigw_bucket_remaining(charge));

    if (wait != -1) {
        p = ngx_cpymem(p, ";t=", 3);
        p = ngx_http_apigw_usage_digits(p, (uint64_t) wait);
    }

    return ngx_cpymem(p, ", ", 2);
}


static u_char *
ngx_http_apigw_usage_quota_state(u_char *p, ngx_http_apigw_usage_quota_t *q)
{
    time_t  wait;

    p = ngx_http_apigw_usage_policy(p, q->plan, q->quota->window.kind);
    p = ngx_cpymem(p, ";r=", 3);
    p = ngx_http_apigw_usage_digits(p, ngx_http_apigw_usage_left(q));

    if (q->quota->window.kind != NGX_APIGW_WINDOW_LIFETIME) {
        wait = ngx_http_apigw_usage_seconds(q);

        if (q->exceeded) {
            wait = ngx_max(wait, 1);
        }

        p = ngx_cpymem(p, ";t=", 3);
        p = ngx_http_apigw_usage_digits(p, (uint64_t) wait);
    }

    return ngx_cpymem(p, ", ", 2);
}


/* Two digits at a time, from the last one. */

static u_char *
ngx_http_apigw_usage_digits(u_char *p, uint64_t n)
{
    u_char    *last;
    uint64_t   bound;

    static const u_char  pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";

    if (n >= 10000000000000000000ULL) {
        return ngx_sprintf(p, "%uL", n);
    }

    for (p++, bound = 10; n >= bound; p++) {
        bound *= 10;
    }

    last = p;

    while (n >= 100) {
        p -= 2;
        ngx_memcpy(p, &pairs[n % 100 * 2], 2);
        n /= 100;
    }

    if (n >= 10) {
        ngx_memcpy(p - 2, &pairs[n * 2], 2);

    } else {
        p[-1] = (u_char) ('0' + n);
    }

    return last;
}


static ngx_int_t
ngx_http_apigw_usage_legacy(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval)
{
    time_t                         reset;
    ngx_http_apigw_usage_quota_t  *q;

    q = ngx_http_apigw_usage_nearest(eval);

    if (q == NULL || eval->result == NGX_HTTP_APIGW_USAGE_REJECTED_RATE) {
        return ngx_http_apigw_usage_legacy_rate(r, eval);
    }

    reset = (q->quota->window.kind == NGX_APIGW_WINDOW_LIFETIME)
            ? -1 : ngx_http_apigw_usage_seconds(q);

    return ngx_http_apigw_limit_fields(r, ngx_http_apigw_usage_nominal(q),
                                       ngx_http_apigw_usage_left(q), reset);
}


/* Those of a rate: of the one that refused, or that has the least left. */

static ngx_int_t
ngx_http_apigw_usage_legacy_rate(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval)
{
    time_t               wait;
    uint64_t             left, least;
    ngx_uint_t           i;
    ngx_apigw_charge_t  *charge;

    if (eval->nrates == 0
        || eval->result == NGX_HTTP_APIGW_USAGE_REJECTED_STORE)
    {
        return NGX_OK;
    }

    charge = &eval->rates[0];
    least = ngx_apigw_bucket_remaining(charge);

    for (i = 1; i < eval->nrates; i++) {
        left = ngx_apigw_bucket_remaining(&eval->rates[i]);

        if ((charge->admitted && !eval->rates[i].admitted) || left < least) {
            charge = &eval->rates[i];
            least = left;
        }
    }

    wait = charge->admitted
           ? (time_t) ((ngx_apigw_bucket_reset(charge) + 999) / 1000)
           : ngx_http_apigw_usage_rate_wait(charge);

    return ngx_http_apigw_limit_fields(r, charge->limit->burst, least, wait);
}
