/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/*
 * A plan applied to a request: rates first, then quotas; a request that one of
 * them refuses takes from none.  All are looked at before anything is taken,
 * so what is given back after a lost race is rare and nobody else is refused
 * because of it.
 */


#define NGX_HTTP_APIGW_USAGE_RETRIES  8


static void ngx_http_apigw_usage_exceeded(ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_quota_t *q);
static void ngx_http_apigw_usage_place(ngx_http_apigw_usage_eval_t *eval,
    const ngx_apigw_plan_t *plan, time_t now);
static ngx_inline uint64_t ngx_http_apigw_usage_window(
    ngx_http_apigw_usage_zone_t *zone, ngx_http_apigw_usage_quota_t *q,
    time_t now);
static ngx_uint_t ngx_http_apigw_usage_look_rates(
    ngx_http_apigw_usage_eval_t *eval);
static ngx_inline ngx_int_t ngx_http_apigw_usage_look_now(
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q);
static ngx_int_t ngx_http_apigw_usage_look(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q);
static ngx_int_t ngx_http_apigw_usage_take(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q);
static ngx_uint_t ngx_http_apigw_usage_take_all(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval);
static ngx_inline ngx_uint_t ngx_http_apigw_usage_near(
    ngx_http_apigw_usage_quota_t *q);
static void ngx_http_apigw_usage_taken(ngx_http_apigw_usage_eval_t *eval);
static void ngx_http_apigw_usage_change(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q,
    uint64_t units, uint64_t *before, uint64_t *after);
static void ngx_http_apigw_usage_thresholds(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q,
    uint64_t value, uint64_t used);


void
ngx_http_apigw_usage_evaluate(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval)
{
    time_t                         now;
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_http_apigw_usage_quota_t  *q;

    now = ngx_time();

    ngx_http_apigw_usage_place(eval, eval->plan, now);

    if (eval->api) {
        ngx_http_apigw_usage_place(eval, eval->api, now);
    }

    for (i = 0; i < eval->nquotas; i++) {
        q = &eval->quotas[i];

        rc = ngx_http_apigw_usage_look_now(eval, q);

        if (rc == NGX_AGAIN) {
            rc = ngx_http_apigw_usage_look(r, eval, q);
        }

        if (rc == NGX_OK) {
            eval->looked = i + 1;

        } else if (rc == NGX_DECLINED) {
            eval->looked = i + 1;
            ngx_http_apigw_usage_exceeded(eval, q);

        } else if (eval->zone->on_full == NGX_HTTP_APIGW_USAGE_REFUSE) {
            eval->result = NGX_HTTP_APIGW_USAGE_REJECTED_STORE;
            break;
        }
    }

    if (eval->refused || eval->result) {

        if (!ngx_http_apigw_usage_look_rates(eval)) {
            eval->result = NGX_HTTP_APIGW_USAGE_REJECTED_RATE;

        } else if (eval->refused) {
            eval->result = NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA;
        }

        return;
    }

    if (eval->nrates
        && !ngx_apigw_bucket_take_all(eval->rates, eval->nrates,
                                      ngx_current_msec))
    {
        eval->result = NGX_HTTP_APIGW_USAGE_REJECTED_RATE;
        return;
    }

    eval->result = ngx_http_apigw_usage_take_all(r, eval);
}


void
ngx_http_apigw_usage_observe(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    eval->cost = 0;
    eval->nrates = 0;
    eval->nquotas = 0;
    eval->looked = 0;

    ngx_http_apigw_usage_place(eval, eval->plan, ngx_time());

    if (eval->api) {
        ngx_http_apigw_usage_place(eval, eval->api, ngx_time());
    }

    for (i = 0; i < eval->nquotas; i++) {
        rc = ngx_http_apigw_usage_look(r, eval, &eval->quotas[i]);

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            break;
        }

        eval->looked = i + 1;
    }

    eval->nrates = 0;
}


/* Who waits for the one with the longest wait has waited for all. */

static void
ngx_http_apigw_usage_exceeded(ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_quota_t *q)
{
    time_t  wait, longest;

    q->exceeded = 1;

    if (eval->refused) {
        wait = ngx_http_apigw_usage_wait(eval, q);
        longest = ngx_http_apigw_usage_wait(eval, eval->refused);

        if (longest == -1 || (wait != -1 && wait <= longest)) {
            return;
        }
    }

    eval->refused = q;
}


time_t
ngx_http_apigw_usage_wait(ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_quota_t *q)
{
    if (q->quota->window.kind == NGX_APIGW_WINDOW_LIFETIME
        || eval->cost > q->quota->ceiling)
    {
        return -1;
    }

    return ngx_max((time_t) q->span.end - ngx_time(), 1);
}


/* Names the windows of this instant and where their counters may be. */

static void
ngx_http_apigw_usage_place(ngx_http_apigw_usage_eval_t *eval,
    const ngx_apigw_plan_t *plan, time_t now)
{
    uint64_t                       salt, window;
    ngx_uint_t                     i;
    ngx_apigw_charge_t            *charge;
    ngx_http_apigw_usage_quota_t  *q;

    /* the counters of a shadow are others */

    salt = eval->shadow ? 0x9e3779b97f4a7c15ULL : 0;

    if (plan->limit.interval) {
        eval->limits[eval->nrates] = plan;
        charge = &eval->rates[eval->nrates++];

        charge->buckets = eval->zone->buckets;
        charge->limit = &plan->limit;
        charge->cost = 1;

        charge->hash.h[0] = eval->hash->h[0] ^ (plan->salt + salt);
        charge->hash.h[1] = eval->hash->h[1] + (plan->salt + salt);
    }

    for (i = 0; i < plan->nquotas; i++) {
        q = &eval->quotas[eval->nquotas++];

        q->quota = &plan->quotas[i];
        q->plan = plan;
        q->slot = NGX_APIGW_COUNTER_NONE;
        q->value = 0;
        q->total = 0;
        q->units = 0;
        q->charged = 0;
        q->exceeded = 0;

        window = ngx_http_apigw_usage_window(eval->zone, q, now);

        ngx_apigw_counter_place(&eval->zone->table, eval->hash, window + salt,
                                &q->id);
    }
}


/* Sets the window, and returns its salt.  The calendar is asked once in it. */

static ngx_inline uint64_t
ngx_http_apigw_usage_window(ngx_http_apigw_usage_zone_t *zone,
    ngx_http_apigw_usage_quota_t *q, time_t now)
{
    const ngx_apigw_quota_t      *quota;
    ngx_http_apigw_usage_span_t  *known, other;

    quota = q->quota;

    /* index 0 is of quotas that no plan has */

    if (quota->index) {
        known = &zone->spans[quota->index];

    } else {
        ngx_memzero(&other, sizeof(ngx_http_apigw_usage_span_t));
        known = &other;
    }

    if (now < known->span.start || now >= known->span.end) {
        ngx_apigw_window_at(&quota->window, now, &known->span);

        known->salt = ngx_apigw_counter_salt(quota->salt,
                          ngx_apigw_counter_window(known->span.start,
                                                   known->span.end));
    }

    q->span = known->span;

    return known->salt;
}


static ngx_uint_t
ngx_http_apigw_usage_look_rates(ngx_http_apigw_usage_eval_t *eval)
{
    ngx_uint_t  i, admitted;

    admitted = 1;

    for (i = 0; i < eval->nrates; i++) {
        admitted &= ngx_apigw_bucket_look(&eval->rates[i], ngx_current_msec);
    }

    return admitted;
}


/* NGX_OK, NGX_DECLINED if the cost does not fit, NGX_AGAIN if not in memory. */

static ngx_inline ngx_int_t
ngx_http_apigw_usage_look_now(ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_quota_t *q)
{
    ngx_uint_t                  slot;
    ngx_apigw_counter_info_t   *info;
    ngx_apigw_counter_table_t  *table;

    table = &eval->zone->table;

    slot = ngx_apigw_counter_find(table, &q->id);
    q->slot = slot;

    if (slot == NGX_APIGW_COUNTER_NONE) {
        return NGX_AGAIN;
    }

    info = &table->infos[slot];

    /* the configuration has changed; only reports use it from there */

    if (info->limit != q->quota->limit) {
        info->limit = q->quota->limit;
    }

    return ngx_apigw_counter_peek(table, slot, q->id.tag, eval->cost,
                                  q->quota->ceiling, &q->value, &q->total,
                                  &q->seen);
}


/* The same, NGX_BUSY or NGX_ERROR if it cannot be brought into memory. */

static ngx_int_t
ngx_http_apigw_usage_look(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_RETRIES; n++) {

        rc = ngx_http_apigw_usage_slot(eval->zone, q, eval->consumer,
                                       eval->shadow, r->connection->log);
        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_http_apigw_usage_look_now(eval, q);

        if (rc != NGX_AGAIN) {
            return rc;
        }
    }

    return NGX_BUSY;
}


static ngx_int_t
ngx_http_apigw_usage_take(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    if (q->slot == NGX_APIGW_COUNTER_NONE) {
        return NGX_BUSY;
    }

    /* most often nobody has charged it since it was looked at */

    rc = ngx_apigw_counter_charge_seen(&eval->zone->table, q->slot, q->id.tag,
                                       q->seen, eval->cost, q->quota->ceiling,
                                       &q->value, &q->total);
    if (rc != NGX_AGAIN) {
        return rc;
    }

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_RETRIES; n++) {

        rc = ngx_apigw_counter_charge(&eval->zone->table, q->slot, q->id.tag,
                                      eval->cost, q->quota->ceiling,
                                      &q->value, &q->total);
        if (rc != NGX_AGAIN) {
            return rc;
        }

        /* evicted since it was looked at */

        rc = ngx_http_apigw_usage_slot(eval->zone, q, eval->consumer,
                                       eval->shadow, r->connection->log);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_BUSY;
}


static ngx_uint_t
ngx_http_apigw_usage_take_all(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, n, result, near;
    ngx_http_apigw_usage_quota_t  *q;

    result = NGX_HTTP_APIGW_USAGE_PASSED;
    near = 0;

    for (i = 0; i < eval->nquotas; i++) {
        q = &eval->quotas[i];

        rc = ngx_http_apigw_usage_take(r, eval, q);

        if (rc == NGX_OK) {
            q->charged = 1;
            q->units = eval->cost;
            near |= ngx_http_apigw_usage_near(q);
            continue;
        }

        if (rc == NGX_DECLINED) {
            ngx_http_apigw_usage_exceeded(eval, q);
            result = NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA;
            goto rollback;
        }

        if (eval->zone->on_full == NGX_HTTP_APIGW_USAGE_REFUSE) {
            result = NGX_HTTP_APIGW_USAGE_REJECTED_STORE;
            goto rollback;
        }

        result = NGX_HTTP_APIGW_USAGE_PASSED_UNCOUNTED;
    }

    if (near && !eval->shadow) {
        ngx_http_apigw_usage_taken(eval);

        for (i = 0; i < eval->nquotas; i++) {
            q = &eval->quotas[i];

            if (q->charged) {
                ngx_http_apigw_usage_thresholds(r, eval, q, q->value,
                                                q->value + q->units);
            }
        }
    }

    return result;

rollback:

    for (n = 0; n < eval->nrates; n++) {
        ngx_apigw_bucket_give_back(&eval->rates[n], ngx_current_msec);
    }

    ngx_http_apigw_usage_taken(eval);
    ngx_http_apigw_usage_settle(r, eval, 0);

    return result;
}


/* Nearly always there is nothing to tell, and nothing beyond the limit. */

static ngx_inline ngx_uint_t
ngx_http_apigw_usage_near(ngx_http_apigw_usage_quota_t *q)
{
    return (q->value + q->units) * 5 >= ngx_http_apigw_usage_nominal(q) * 4;
}


/*
 * Units beyond the limit.  Of several quotas the one with most of them counts,
 * for what was charged as for what is changed in the end.
 */

static void
ngx_http_apigw_usage_taken(ngx_http_apigw_usage_eval_t *eval)
{
    int64_t                        over;
    ngx_uint_t                     i;
    ngx_http_apigw_usage_quota_t  *q;

    for (i = 0; i < eval->nquotas; i++) {
        q = &eval->quotas[i];

        if (!q->charged || q->quota->mode == NGX_APIGW_PLAN_SHADOW) {
            continue;
        }

        over = ngx_apigw_counter_beyond(ngx_http_apigw_usage_nominal(q),
                                        q->value, q->value + q->units);

        eval->over = ngx_max(eval->over, over);
    }
}


/* Sets what a request was charged for a quota. */

static void
ngx_http_apigw_usage_change(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q,
    uint64_t units, uint64_t *before, uint64_t *after)
{
    int64_t                    more;
    ngx_uint_t                 n;
    ngx_apigw_counter_info_t   info;

    more = (int64_t) (units - q->units);

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_RETRIES; n++) {

        if (ngx_apigw_counter_change(&eval->zone->table, q->slot, q->id.tag,
                                     more, before, after)
            == NGX_OK)
        {
            goto done;
        }

        /* written and evicted since it was charged */

        if (ngx_http_apigw_usage_slot(eval->zone, q, eval->consumer,
                                      eval->shadow, r->connection->log)
            != NGX_OK)
        {
            break;
        }
    }

    ngx_apigw_plan_counter(q->plan, q->quota, &q->span, eval->consumer,
                           eval->shadow, &info);

    ngx_http_apigw_usage_late_units(eval->zone, &q->id, &info, more);

    /* the counter as it was charged, as nobody knows what it has then */

    *before = q->value + q->units;
    *after = q->value + units;

done:

    q->units = units;
    q->charged = (units != 0);
}


void
ngx_http_apigw_usage_settle(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, uint64_t units)
{
    int64_t                        over, added, taken;
    uint64_t                       before, after;
    ngx_uint_t                     i;
    ngx_http_apigw_usage_quota_t  *q;

    added = 0;
    taken = 0;

    for (i = 0; i < eval->nquotas; i++) {
        q = &eval->quotas[i];

        if (!q->charged || q->units == units) {
            continue;
        }

        ngx_http_apigw_usage_change(r, eval, q, units, &before, &after);

        if (eval->shadow) {
            continue;
        }

        if (q->quota->mode != NGX_APIGW_PLAN_SHADOW) {
            over = ngx_apigw_counter_beyond(ngx_http_apigw_usage_nominal(q),
                                            before, after);
            added = ngx_max(added, over);
            taken = ngx_min(taken, over);
        }

        if (after > before) {
            ngx_http_apigw_usage_thresholds(r, eval, q, before, after);
        }
    }

    eval->over += added + taken;
}


/*
 * The charge that takes a consumer over 80 % or to 100 % of a quota; there is
 * exactly one, as charges of a counter come one after the other.
 */

static void
ngx_http_apigw_usage_thresholds(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, ngx_http_apigw_usage_quota_t *q,
    uint64_t value, uint64_t used)
{
    uint64_t    nominal, at;
    ngx_str_t   consumer;
    ngx_uint_t  percent;

    if (q->quota->limit == NGX_APIGW_PLAN_UNLIMITED) {
        return;
    }

    nominal = ngx_http_apigw_usage_nominal(q);

    at = nominal - nominal / 5;

    if (used < at) {
        return;
    }

    if (value < nominal && used >= nominal) {
        percent = 100;

    } else if (value < at) {
        percent = 80;

    } else {
        return;
    }

    /* programs read this line, and a consumer may choose his name */

    consumer.len = eval->consumer->len
                   + ngx_escape_json(NULL, eval->consumer->data,
                                     eval->consumer->len);

    consumer.data = ngx_pnalloc(r->pool, consumer.len);
    if (consumer.data == NULL) {
        return;
    }

    (void) ngx_escape_json(consumer.data, eval->consumer->data,
                           eval->consumer->len);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "usage: threshold=%ui%% consumer=\"%V\" plan=\"%V\" "
                  "quota=%V used=%uL limit=%uL end=%L",
                  percent, &consumer, &eval->plan->name, &q->quota->name,
                  used, nominal, q->span.end);
}


ngx_http_apigw_usage_quota_t *
ngx_http_apigw_usage_nearest(ngx_http_apigw_usage_eval_t *eval)
{
    int64_t                        left, least;
    ngx_uint_t                     i;
    ngx_http_apigw_usage_quota_t  *q, *nearest;

    if (eval->refused) {
        return eval->refused;
    }

    nearest = NULL;
    least = 0;

    for (i = 0; i < eval->looked; i++) {
        q = &eval->quotas[i];

        if (q->quota->limit == NGX_APIGW_PLAN_UNLIMITED
            || q->quota->mode == NGX_APIGW_PLAN_SHADOW)
        {
            continue;
        }

        left = (int64_t) (ngx_http_apigw_usage_nominal(q) - q->value);

        /* of equals the one that ends later */

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
