/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/*
 * What a request adds when it is over may find no room: its entry or counter
 * was written and evicted since it was admitted, and all that could be replaced
 * now waits for the store.  It is kept in the worker's own memory then, summed
 * up by entry and counter, until there is room: tried again from a timer and
 * when the worker exits.
 *
 * No more can be needed than requests are under way when the zone gets full,
 * since nothing is evicted after that.  What was admitted without room
 * ("on_full=admit") is kept as well, up to a number.
 */


#define NGX_HTTP_APIGW_USAGE_LATE_MOST   16384
#define NGX_HTTP_APIGW_USAGE_LATE_BATCH  512
#define NGX_HTTP_APIGW_USAGE_LATE_RETRY  100


typedef struct {
    ngx_rbtree_node_t            node;      /* its key is the tag */
    ngx_queue_t                  queue;
    ngx_apigw_counter_id_t       id;
    ngx_uint_t                   row;       /* or units */

    union {
        struct {
            ngx_apigw_ledger_info_t   info;
            ngx_apigw_ledger_row_t    row;
        } entry;

        struct {
            ngx_apigw_counter_info_t  info;
            int64_t                   units;
        } counter;
    } u;
} ngx_http_apigw_usage_late_t;


static ngx_http_apigw_usage_late_t *ngx_http_apigw_usage_late_find(
    ngx_http_apigw_usage_zone_t *ctx, uint64_t tag, ngx_uint_t row);
static ngx_http_apigw_usage_late_t *ngx_http_apigw_usage_late_new(
    ngx_http_apigw_usage_zone_t *ctx, const ngx_apigw_counter_id_t *id,
    ngx_uint_t row);
static void ngx_http_apigw_usage_late_free(ngx_http_apigw_usage_zone_t *ctx,
    ngx_http_apigw_usage_late_t *late);
static void ngx_http_apigw_usage_late_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_apigw_usage_late_try(
    ngx_http_apigw_usage_zone_t *ctx, ngx_http_apigw_usage_late_t *late,
    ngx_log_t *log);
static ngx_int_t ngx_http_apigw_usage_late_change(
    ngx_http_apigw_usage_zone_t *ctx, ngx_http_apigw_usage_late_t *late,
    ngx_log_t *log);
static ngx_uint_t ngx_http_apigw_usage_late_requests(
    const ngx_apigw_ledger_row_t *row);


void
ngx_http_apigw_usage_late_init(ngx_http_apigw_usage_zone_t *ctx)
{
    ngx_rbtree_init(&ctx->late, &ctx->sentinel, ngx_rbtree_insert_value);
    ngx_queue_init(&ctx->queue);

    ctx->event.handler = ngx_http_apigw_usage_late_handler;
    ctx->event.data = ctx;
    ctx->event.cancelable = 1;
}


void
ngx_http_apigw_usage_late_row(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_row_t *row, ngx_uint_t needed)
{
    ngx_uint_t                    i;
    ngx_http_apigw_usage_late_t  *late;

    late = ngx_http_apigw_usage_late_find(ctx, id->tag, 1);

    if (late == NULL
        && (needed || ctx->nlate < NGX_HTTP_APIGW_USAGE_LATE_MOST))
    {
        late = ngx_http_apigw_usage_late_new(ctx, id, 1);

        if (late) {
            late->u.entry.info = *info;
        }
    }

    if (late == NULL) {
        (void) ngx_atomic_fetch_add(&ctx->sh->ledger_lost,
                                 ngx_http_apigw_usage_late_requests(row));
        return;
    }

    for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++) {
        late->u.entry.row.n[i] += row->n[i];
    }
}


void
ngx_http_apigw_usage_late_units(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_info_t *info,
    int64_t units)
{
    ngx_http_apigw_usage_late_t  *late;

    late = ngx_http_apigw_usage_late_find(ctx, id->tag, 0);

    if (late == NULL) {
        late = ngx_http_apigw_usage_late_new(ctx, id, 0);

        if (late == NULL) {
            return;
        }

        late->u.counter.info = *info;
    }

    late->u.counter.units += units;
}


static ngx_http_apigw_usage_late_t *
ngx_http_apigw_usage_late_find(ngx_http_apigw_usage_zone_t *ctx, uint64_t tag,
    ngx_uint_t row)
{
    ngx_rbtree_node_t            *node;
    ngx_http_apigw_usage_late_t  *late;

    node = ctx->late.root;

    while (node != &ctx->sentinel) {
        late = (ngx_http_apigw_usage_late_t *) node;

        if (node->key == (ngx_rbtree_key_t) tag && late->row == row) {
            return late;
        }

        node = (ngx_rbtree_key_t) tag < node->key ? node->left : node->right;
    }

    return NULL;
}


static ngx_http_apigw_usage_late_t *
ngx_http_apigw_usage_late_new(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, ngx_uint_t row)
{
    ngx_http_apigw_usage_late_t  *late;

    late = ngx_calloc(sizeof(ngx_http_apigw_usage_late_t), ngx_cycle->log);
    if (late == NULL) {
        return NULL;
    }

    late->id = *id;
    late->row = row;
    late->node.key = (ngx_rbtree_key_t) id->tag;

    ngx_rbtree_insert(&ctx->late, &late->node);
    ngx_queue_insert_tail(&ctx->queue, &late->queue);
    ctx->nlate++;

    (void) ngx_atomic_fetch_add(&ctx->sh->ledger_late, 1);

    if (!ctx->event.timer_set) {
        ctx->event.log = ngx_cycle->log;
        ngx_add_timer(&ctx->event, NGX_HTTP_APIGW_USAGE_LATE_RETRY);
    }

    return late;
}


static void
ngx_http_apigw_usage_late_free(ngx_http_apigw_usage_zone_t *ctx,
    ngx_http_apigw_usage_late_t *late)
{
    ngx_rbtree_delete(&ctx->late, &late->node);
    ngx_queue_remove(&late->queue);
    ctx->nlate--;

    ngx_free(late);
}


static void
ngx_http_apigw_usage_late_handler(ngx_event_t *ev)
{
    if (ngx_http_apigw_usage_late_run(ev->data, ev->log)) {
        ngx_add_timer(ev, NGX_HTTP_APIGW_USAGE_LATE_RETRY);
    }
}


ngx_uint_t
ngx_http_apigw_usage_late_run(ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log)
{
    ngx_uint_t                    n;
    ngx_queue_t                  *q;
    ngx_http_apigw_usage_late_t  *late;

    for (n = ngx_min(ctx->nlate, NGX_HTTP_APIGW_USAGE_LATE_BATCH); n; n--) {

        q = ngx_queue_head(&ctx->queue);
        late = ngx_queue_data(q, ngx_http_apigw_usage_late_t, queue);

        if (ngx_http_apigw_usage_late_try(ctx, late, log) == NGX_OK) {
            ngx_http_apigw_usage_late_free(ctx, late);
            continue;
        }

        /* others may have room elsewhere in the table */

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ctx->queue, q);
    }

    return ctx->nlate;
}


/* What was added is taken off, so nothing is added twice. */

static ngx_int_t
ngx_http_apigw_usage_late_try(ngx_http_apigw_usage_zone_t *ctx,
    ngx_http_apigw_usage_late_t *late, ngx_log_t *log)
{
    ngx_uint_t  slot;

    if (!late->row) {
        return ngx_http_apigw_usage_late_change(ctx, late, log);
    }

    if (ngx_http_apigw_usage_entry(ctx, &late->id, &late->u.entry.info, 1, log,
                                   &slot)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_apigw_ledger_add(&ctx->ledger, slot, late->id.tag,
                                &late->u.entry.row);
}


static ngx_int_t
ngx_http_apigw_usage_late_change(ngx_http_apigw_usage_zone_t *ctx,
    ngx_http_apigw_usage_late_t *late, ngx_log_t *log)
{
    uint64_t    before, after;
    ngx_uint_t  slot;

    slot = ngx_apigw_counter_find(&ctx->table, &late->id);

    if (slot == NGX_APIGW_COUNTER_NONE
        && ngx_http_apigw_usage_counter(ctx, &late->id, &late->u.counter.info,
                                        log, &slot)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_apigw_counter_change(&ctx->table, slot, late->id.tag,
                                    late->u.counter.units, &before, &after);
}


void
ngx_http_apigw_usage_late_lost(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log)
{
    int64_t                       units;
    ngx_uint_t                    requests;
    ngx_queue_t                  *q;
    ngx_http_apigw_usage_late_t  *late;

    requests = 0;
    units = 0;

    for (q = ngx_queue_head(&ctx->queue);
         q != ngx_queue_sentinel(&ctx->queue);
         q = ngx_queue_next(q))
    {
        late = ngx_queue_data(q, ngx_http_apigw_usage_late_t, queue);

        if (late->row) {
            requests += ngx_http_apigw_usage_late_requests(
                                                       &late->u.entry.row);
        } else {
            units += ngx_abs(late->u.counter.units);
        }
    }

    if (requests || units) {
        (void) ngx_atomic_fetch_add(&ctx->sh->ledger_lost, requests);

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "api_usage_zone \"%V\" is full: %ui requests are lost "
                      "from the ledger, and %L units not settled",
                      &ctx->backed.zone.name, requests, units);
    }

    ngx_http_apigw_usage_late_stop(ctx);
}


static ngx_uint_t
ngx_http_apigw_usage_late_requests(const ngx_apigw_ledger_row_t *row)
{
    return (ngx_uint_t) (row->n[NGX_APIGW_LEDGER_REQUESTS]
                         + row->n[NGX_APIGW_LEDGER_RATE]
                         + row->n[NGX_APIGW_LEDGER_QUOTA]);
}


/* Also when a cycle ends: the zone may be gone by then. */

void
ngx_http_apigw_usage_late_stop(ngx_http_apigw_usage_zone_t *ctx)
{
    ngx_queue_t                  *q;
    ngx_http_apigw_usage_late_t  *late;

    if (ctx->event.timer_set) {
        ngx_del_timer(&ctx->event);
    }

    while (ctx->nlate) {
        q = ngx_queue_head(&ctx->queue);
        late = ngx_queue_data(q, ngx_http_apigw_usage_late_t, queue);

        ngx_http_apigw_usage_late_free(ctx, late);
    }
}
