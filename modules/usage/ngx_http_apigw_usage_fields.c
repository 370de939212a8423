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


/* What a response tells of a plan. */

typedef struct {
    const ngx_apigw_plan_t        *plan;
    ngx_http_apigw_usage_quota_t  *quotas;
    ngx_apigw_charge_t            *charge;    /* to its rate */
    ngx_uint_t                     shown;     /* a bit for each quota */
    unsigned                       rate:1;
    unsigned                       complete:1;
} ngx_http_apigw_usage_items_t;


static ngx_int_t ngx_http_apigw_usage_draft(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval);
static size_t ngx_http_apigw_usage_draft_room(
    ngx_http_apigw_usage_eval_t *eval);
static void ngx_http_apigw_usage_items(ngx_http_apigw_usage_items_t *items,
    ngx_http_apigw_usage_eval_t *eval, ngx_uint_t api);
static u_char *ngx_http_apigw_usage_policies(u_char *p,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_items_t *items);
static u_char *ngx_http_apigw_usage_states(u_char *p,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_items_t *items);
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
    ngx_http_apigw_usage_zone_t *zone, ngx_http_apigw_usage_quota_t *q);
static ngx_inline u_char *ngx_http_apigw_usage_state_name(u_char *p,
    const ngx_apigw_plan_t *plan, ngx_uint_t kind);
static u_char *ngx_http_apigw_usage_seconds_text(u_char *p, time_t seconds);
static ngx_inline u_char *ngx_http_apigw_usage_window_text(u_char *p,
    ngx_http_apigw_usage_zone_t *zone, ngx_http_apigw_usage_quota_t *q);
static u_char *ngx_http_apigw_usage_number(u_char *p, uint64_t n);
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
 * quota whose state is known, those of the plan before those of the API.  The
 * states are written from the last one to the first.
 */

static ngx_int_t
ngx_http_apigw_usage_draft(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval)
{
    u_char                        *p, *s, *last;
    size_t                         room;
    ngx_str_t                      policies, states;
    ngx_http_apigw_usage_items_t   items[NGX_HTTP_APIGW_USAGE_LIMITS];

    room = ngx_http_apigw_usage_draft_room(eval);

    p = ngx_pnalloc(r->pool, 2 * room);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = p + 2 * room;

    policies.data = p;

    ngx_http_apigw_usage_items(&items[0], eval, 0);
    p = ngx_http_apigw_usage_policies(p, eval, &items[0]);

    s = last;

    if (eval->api) {
        ngx_http_apigw_usage_items(&items[1], eval, 1);
        p = ngx_http_apigw_usage_policies(p, eval, &items[1]);
        s = ngx_http_apigw_usage_states(s, eval, &items[1]);
    }

    s = ngx_http_apigw_usage_states(s, eval, &items[0]);

    if (s == last) {
        return NGX_OK;
    }

    /* each item has brought its ", " */

    policies.len = p - policies.data - 2;

    states.data = s;
    states.len = last - s - 2;

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

    return room + NGX_APIGW_PLAN_SLACK;
}


/* What is told of a plan, or of what it has for the API. */

static void
ngx_http_apigw_usage_items(ngx_http_apigw_usage_items_t *items,
    ngx_http_apigw_usage_eval_t *eval, ngx_uint_t api)
{
    ngx_uint_t                     i, known;
    const ngx_apigw_plan_t        *plan;
    ngx_http_apigw_usage_quota_t  *quotas;

    plan = eval->plan;
    quotas = eval->quotas;
    known = eval->looked;

    items->charge = &eval->rates[0];

    if (api) {
        quotas += plan->nquotas;
        known -= ngx_min(known, plan->nquotas);
        items->charge += (plan->limit.interval != 0);
        plan = eval->api;
    }

    known = ngx_min(known, plan->nquotas);

    items->plan = plan;
    items->quotas = quotas;

    /* the rate was not asked if a quota or the store has refused */

    items->rate = plan->limit.interval
                  && eval->result != NGX_HTTP_APIGW_USAGE_REJECTED_STORE
                  && eval->result != NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA;

    items->complete = known == plan->nquotas
                      && items->rate == (plan->limit.interval != 0);

    items->shown = 0;

    for (i = 0; i < plan->nquotas; i++) {
        if ((i < known || &quotas[i] == eval->refused)
            && ngx_http_apigw_usage_is_shown(&quotas[i]))
        {
            items->shown |= (ngx_uint_t) 1 << i;
        }
    }
}


static u_char *
ngx_http_apigw_usage_policies(u_char *p, ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_items_t *items)
{
    ngx_http_apigw_usage_text_t  *text;

    if (items->plan->index == 0 || !items->complete) {
        return ngx_http_apigw_usage_text_write(p, items->plan, items->quotas,
                                               items->rate, items->shown);
    }

    text = ngx_http_apigw_usage_text(eval, items->plan, items->quotas);

    return ngx_cpymem(p, text->data, text->len);
}


static u_char *
ngx_http_apigw_usage_states(u_char *p, ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_items_t *items)
{
    ngx_uint_t  i;

    for (i = items->plan->nquotas; i--; /* void */ ) {
        if (items->shown & ((ngx_uint_t) 1 << i)) {
            p = ngx_http_apigw_usage_quota_state(p, eval->zone,
                                                 &items->quotas[i]);
        }
    }

    return items->rate ? ngx_http_apigw_usage_rate_state(p, items->plan,
                                                         items->charge)
                       : p;
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

        p = ngx_sprintf(p, "%V;q=%uL;w=%uL, ",
                        &plan->policies[NGX_APIGW_PLAN_RATE], limit->burst,
                        (limit->burst * limit->rate.msec / limit->rate.tokens
                         + 999) / 1000);
    }

    for (i = 0; i < plan->nquotas; i++) {
        q = &quotas[i];

        if (!(shown & ((ngx_uint_t) 1 << i))
            || !ngx_http_apigw_usage_is_shown(q))
        {
            continue;
        }

        p = ngx_sprintf(p, "%V;q=%uL", &plan->policies[q->quota->window.kind],
                        ngx_http_apigw_usage_nominal(q));

        if (q->quota->window.kind != NGX_APIGW_WINDOW_LIFETIME) {
            p = ngx_sprintf(p, ";w=%L", q->span.end - q->span.start);
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


/* The states are written from their ends to the front. */

static u_char *
ngx_http_apigw_usage_rate_state(u_char *p, const ngx_apigw_plan_t *plan,
    ngx_apigw_charge_t *charge)
{
    time_t  wait;

    /* what is refused is admitted then, as Retry-After has it */

    wait = charge->admitted
           ? (time_t) ((ngx_apigw_bucket_reset(charge) + 999) / 1000)
           : ngx_http_apigw_usage_rate_wait(charge);

    *--p = ' ';
    *--p = ',';

    if (wait != -1) {
        p = ngx_http_apigw_usage_seconds_text(p, wait);
    }

    p = ngx_http_apigw_usage_number(p, ngx_apigw_bucket_remaining(charge));

    return ngx_http_apigw_usage_state_name(p, plan, NGX_APIGW_PLAN_RATE);
}


static u_char *
ngx_http_apigw_usage_quota_state(u_char *p, ngx_http_apigw_usage_zone_t *zone,
    ngx_http_apigw_usage_quota_t *q)
{
    time_t  wait;

    *--p = ' ';
    *--p = ',';

    if (q->quota->window.kind == NGX_APIGW_WINDOW_LIFETIME) {

        /* never over */

    } else if (q->exceeded || q->quota->index == 0) {
        wait = ngx_max(ngx_http_apigw_usage_seconds(q), q->exceeded);
        p = ngx_http_apigw_usage_seconds_text(p, wait);

    } else {
        p = ngx_http_apigw_usage_window_text(p, zone, q);
    }

    p = ngx_http_apigw_usage_number(p, ngx_http_apigw_usage_left(q));

    return ngx_http_apigw_usage_state_name(p, q->plan, q->quota->window.kind);
}


/* Two words are copied whatever the length: there is room before p. */

static ngx_inline u_char *
ngx_http_apigw_usage_state_name(u_char *p, const ngx_apigw_plan_t *plan,
    ngx_uint_t kind)
{
    size_t            len;
    const ngx_str_t  *name;

    name = &plan->policies[kind];
    len = name->len + NGX_APIGW_PLAN_SUFFIX;

    if (len <= NGX_APIGW_PLAN_SLACK) {
        ngx_memcpy(p - NGX_APIGW_PLAN_SLACK,
                   name->data + len - NGX_APIGW_PLAN_SLACK,
                   NGX_APIGW_PLAN_SLACK);

    } else {
        ngx_memcpy(p - len, name->data, len);
    }

    return p - len;
}


static u_char *
ngx_http_apigw_usage_seconds_text(u_char *p, time_t seconds)
{
    p = ngx_http_apigw_usage_number(p, (uint64_t) seconds);

    *--p = '=';
    *--p = 't';
    *--p = ';';

    return p;
}


/* How long a window still lasts is the same for a second, and for everyone. */

static ngx_inline u_char *
ngx_http_apigw_usage_window_text(u_char *p, ngx_http_apigw_usage_zone_t *zone,
    ngx_http_apigw_usage_quota_t *q)
{
    u_char                       *start, *last;
    ngx_http_apigw_usage_span_t  *known;

    known = &zone->spans[q->quota->index];

    if (known->told != ngx_time() || known->told_end != q->span.end) {
        last = known->text + NGX_HTTP_APIGW_USAGE_SPAN;
        start = ngx_http_apigw_usage_seconds_text(last,
                                              ngx_http_apigw_usage_seconds(q));
        known->told = ngx_time();
        known->told_end = q->span.end;
        known->len = last - start;
    }

    ngx_memcpy(p - NGX_HTTP_APIGW_USAGE_SPAN, known->text,
               NGX_HTTP_APIGW_USAGE_SPAN);

    return p - known->len;
}


/* Writes from the end to the front, two digits at a time. */

static u_char *
ngx_http_apigw_usage_number(u_char *p, uint64_t n)
{
    uint64_t  rest;

    static const u_char  pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";

    while (n >= 100) {
        rest = n;
        n /= 100;
        rest -= n * 100;

        p -= 2;
        ngx_memcpy(p, &pairs[rest * 2], 2);
    }

    if (n >= 10) {
        p -= 2;
        ngx_memcpy(p, &pairs[n * 2], 2);

    } else {
        *--p = (u_char) ('0' + n);
    }

    return p;
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
