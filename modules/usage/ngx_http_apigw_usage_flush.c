/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/*
 * How counters and entries go to the store: by the helper every interval, by
 * a worker and the master when they exit.  Each call does one step of the
 * work; see ngx_apigw_helper.h.
 */


#define NGX_HTTP_APIGW_USAGE_TIDY       60
#define NGX_HTTP_APIGW_USAGE_LAST       1000
#define NGX_HTTP_APIGW_USAGE_WATCH      500
#define NGX_HTTP_APIGW_USAGE_SLICE      50

#define NGX_HTTP_APIGW_USAGE_FLUSH      0       /* phases */
#define NGX_HTTP_APIGW_USAGE_LEDGER     1
#define NGX_HTTP_APIGW_USAGE_REFRESH    2
#define NGX_HTTP_APIGW_USAGE_REST       3


static void ngx_http_apigw_usage_watch(ngx_event_t *ev);
static void ngx_http_apigw_usage_exit_zone(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log, ngx_msec_t start);
static int ngx_http_apigw_usage_step(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log, ngx_uint_t last);
static int ngx_http_apigw_usage_flush_ledger(ngx_http_apigw_usage_zone_t *ctx);
static void ngx_http_apigw_usage_refresh(void *data, ngx_uint_t slot,
    uint64_t tag, int64_t others, int64_t grant);
static int ngx_http_apigw_usage_tidy(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log);


ngx_array_t *
ngx_http_apigw_usage_helpers(ngx_cycle_t *cycle)
{
    ngx_http_apigw_usage_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_apigw_usage_module);

    return mcf ? &mcf->helpers : NULL;
}


ngx_int_t
ngx_http_apigw_usage_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                    i;
    ngx_array_t                  *list;
    ngx_apigw_helper_t          **helper;
    ngx_http_apigw_usage_zone_t  *ctx;

    list = ngx_http_apigw_usage_helpers(cycle);

    if (list && ngx_process == NGX_PROCESS_WORKER) {
        helper = list->elts;

        for (i = 0; i < list->nelts; i++) {
            ctx = helper[i]->data;

            ctx->watch.handler = ngx_http_apigw_usage_watch;
            ctx->watch.data = ctx;
            ctx->watch.log = cycle->log;
            ctx->watch.cancelable = 1;

            ngx_add_timer(&ctx->watch, NGX_HTTP_APIGW_USAGE_WATCH);
        }
    }

    return ngx_apigw_helper_init_process(cycle, ngx_http_apigw_usage_helpers);
}


/*
 * A worker that exits may take hours, with a long download, and go on counting
 * in a zone that a reload has resized or removed, which no helper knows.
 */

static void
ngx_http_apigw_usage_watch(ngx_event_t *ev)
{
    ngx_int_t                     rc;
    ngx_msec_t                    start;
    ngx_atomic_uint_t             runs;
    ngx_apigw_helper_guard_t     *guard;
    ngx_http_apigw_usage_zone_t  *ctx;

    ctx = ev->data;
    guard = &ctx->backed.shared->guard;

    rc = NGX_OK;
    runs = guard->runs + guard->errors;

    if (ngx_exiting && runs == ctx->runs) {
        start = ngx_current_msec;

        do {
            rc = ngx_http_apigw_usage_run(&ctx->backed.helper, ev->log, 1);

            ngx_time_update();

        } while (rc == NGX_AGAIN
                 && ngx_current_msec - start < NGX_HTTP_APIGW_USAGE_SLICE);

        if (rc != NGX_AGAIN) {
            ctx->last = 0;
        }
    }

    ctx->runs = runs;

    ngx_add_timer(ev, rc == NGX_AGAIN ? 1 : ctx->backed.helper.interval
                                            + NGX_HTTP_APIGW_USAGE_WATCH);
}


void
ngx_http_apigw_usage_exit_master(ngx_cycle_t *cycle)
{
    ngx_apigw_helper_exit_master(cycle, ngx_http_apigw_usage_helpers);
}


/*
 * A worker whose zone was resized or removed by a reload is the last one to
 * have it, see above.  Nobody else is kept out, as writing twice is harmless.
 * What waits for room in this process gets it when the rest is written.
 */

void
ngx_http_apigw_usage_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t            i;
    ngx_msec_t            start;
    ngx_array_t          *list;
    ngx_apigw_helper_t  **helper;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    list = ngx_http_apigw_usage_helpers(cycle);

    if (list == NULL) {
        return;
    }

    helper = list->elts;

    ngx_time_update();
    start = ngx_current_msec;

    for (i = 0; i < list->nelts; i++) {
        ngx_http_apigw_usage_exit_zone(helper[i]->data, cycle->log, start);
    }
}


static void
ngx_http_apigw_usage_exit_zone(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log, ngx_msec_t start)
{
    ngx_int_t   rc;
    ngx_uint_t  late;

    ctx->last = 0;

    do {
        late = ngx_http_apigw_usage_late_run(ctx, log);

        rc = ngx_http_apigw_usage_run(&ctx->backed.helper, log, 1);

        if (rc == NGX_OK && late) {
            ctx->last = 0;
            rc = NGX_AGAIN;
        }

        ngx_time_update();

    } while (rc == NGX_AGAIN
             && ngx_current_msec - start < NGX_HTTP_APIGW_USAGE_LAST);

    ctx->last = 0;

    ngx_http_apigw_usage_late_lost(ctx, log);
}


/* Nobody writes what is dirty now. */

void
ngx_http_apigw_usage_unwritten(ngx_apigw_helper_t *helper,
    ngx_log_t *log)
{
    ngx_uint_t                    i, n, counters, entries;
    ngx_http_apigw_usage_zone_t  *ctx;

    ctx = helper->data;

    counters = 0;
    entries = 0;

    n = (ngx_uint_t) ctx->table.sets * NGX_APIGW_COUNTER_WAYS;

    for (i = 0; i < n; i++) {
        counters += ctx->table.pairs[i].tag != 0
                    && (ctx->table.pairs[i].value & NGX_APIGW_COUNTER_DIRTY);
    }

    n = (ngx_uint_t) ctx->ledger.sets * NGX_APIGW_LEDGER_WAYS;

    for (i = 0; i < n; i++) {
        entries += ngx_apigw_ledger_unwritten(&ctx->ledger, i);
    }

    if (counters || entries) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "api_usage_zone \"%V\" ends: the latest of %ui counters "
                      "and %ui ledger entries is lost, the store \"%V\" could "
                      "not be written", &ctx->backed.zone.name, counters,
                      entries, &helper->directory);
    }
}


ngx_int_t
ngx_http_apigw_usage_run(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last)
{
    int                           rc;
    ngx_apigw_usage_flush_t      *flush;
    ngx_apigw_ledger_flush_t     *lflush;
    ngx_http_apigw_usage_zone_t  *ctx;

    ctx = helper->data;
    flush = &ctx->flush;
    lflush = &ctx->lflush;

    if (ngx_apigw_backed_open(&ctx->backed, log) != NGX_OK) {
        return NGX_ERROR;
    }

    if (flush->notes == NULL) {
        flush->notes = ngx_alloc(NGX_APIGW_USAGE_BATCH
                                 * sizeof(ngx_apigw_usage_note_t), log);
        if (flush->notes == NULL) {
            return NGX_ERROR;
        }
    }

    if (lflush->notes == NULL) {
        lflush->notes = ngx_alloc(NGX_APIGW_LEDGER_BATCH
                                  * sizeof(ngx_apigw_ledger_note_t), log);
        if (lflush->notes == NULL) {
            return NGX_ERROR;
        }
    }

    flush->store = ctx->backed.store;
    flush->directory = (char *) ctx->backed.helper.directory.data;
    flush->instance = ctx->backed.shared->instance;
    flush->table = &ctx->table;

    lflush->store = flush->store;
    lflush->directory = flush->directory;
    lflush->instance = flush->instance;
    lflush->table = &ctx->ledger;
    lflush->dead = &flush->dead;

    if (last && !ctx->last) {

        /* whatever this process was at, now all of the table counts */

        ctx->last = 1;
        ctx->phase = NGX_HTTP_APIGW_USAGE_FLUSH;
        flush->cursor = 0;
        lflush->cursor = 0;
    }

    rc = ngx_http_apigw_usage_step(ctx, log, last);

    ngx_apigw_backed_damaged(&ctx->backed, log,
                             flush->damaged + lflush->damaged);

    flush->damaged = 0;
    lflush->damaged = 0;

    if (rc == 0 || rc == EAGAIN) {
        return rc == 0 ? NGX_OK : NGX_AGAIN;
    }

    ctx->phase = NGX_HTTP_APIGW_USAGE_FLUSH;
    flush->cursor = 0;
    lflush->cursor = 0;

    ngx_apigw_backed_error(&ctx->backed, log, "written", rc);

    return NGX_ERROR;
}


static int
ngx_http_apigw_usage_step(ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log,
    ngx_uint_t last)
{
    int                       rc;
    ngx_apigw_usage_flush_t  *flush;

    flush = &ctx->flush;

    switch (ctx->phase) {

    case NGX_HTTP_APIGW_USAGE_FLUSH:
        flush->written = 0;

        rc = ngx_apigw_usage_flush(flush);

        (void) ngx_atomic_fetch_add(&ctx->sh->flushed, flush->written);

        if (rc != 0) {
            return rc;
        }

        ctx->sh->used = flush->used;
        ctx->sh->dirty = flush->dirty;

        break;

    case NGX_HTTP_APIGW_USAGE_LEDGER:
        rc = ngx_http_apigw_usage_flush_ledger(ctx);

        if (rc != 0) {
            return rc;
        }

        if (last) {
            return 0;
        }

        break;

    case NGX_HTTP_APIGW_USAGE_REFRESH:
        rc = ngx_apigw_usage_refresh(flush, ngx_http_apigw_usage_refresh, ctx);

        if (rc != 0) {
            return rc;
        }

        break;

    default: /* NGX_HTTP_APIGW_USAGE_REST */
        rc = ngx_http_apigw_usage_tidy(ctx, log);

        if (rc == 0) {
            ctx->phase = NGX_HTTP_APIGW_USAGE_FLUSH;
        }

        return rc;
    }

    ctx->phase++;

    return EAGAIN;
}


static int
ngx_http_apigw_usage_flush_ledger(ngx_http_apigw_usage_zone_t *ctx)
{
    int                        rc;
    ngx_apigw_usage_flush_t   *flush;
    ngx_apigw_ledger_flush_t  *lflush;

    flush = &ctx->flush;
    lflush = &ctx->lflush;

    lflush->written = 0;

    rc = ngx_apigw_ledger_flush(lflush);

    (void) ngx_atomic_fetch_add(&ctx->sh->flushed, lflush->written);

    /* a transaction that has changed nothing of what "others" are */

    if (lflush->written && lflush->committed == flush->seen + 1) {
        flush->seen = lflush->committed;
    }

    return rc;
}


static void
ngx_http_apigw_usage_refresh(void *data, ngx_uint_t slot, uint64_t tag,
    int64_t others, int64_t grant)
{
    ngx_http_apigw_usage_zone_t *ctx = data;

    ngx_apigw_counter_info_t  *info;

    ngx_shmtx_lock(&ctx->backed.shpool->mutex);

    if (slot == NGX_APIGW_COUNTER_NONE) {
        ngx_apigw_counter_refreshed(&ctx->table, tag);

    } else if (ctx->table.pairs[slot].tag == tag) {
        info = &ctx->table.infos[slot];

        info->others = (ngx_atomic_uint_t) others;
        info->grant = (ngx_atomic_uint_t) grant;
    }

    ngx_shmtx_unlock(&ctx->backed.shpool->mutex);
}


/* What need not be done at every flush. */

static int
ngx_http_apigw_usage_tidy(ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log)
{
    int      rc;
    time_t   now;
    int64_t  step;

    now = ngx_time();

    if (now >= ctx->tidied && now < ctx->tidied + NGX_HTTP_APIGW_USAGE_TIDY) {
        return 0;
    }

    step = ngx_apigw_usage_clock(&ctx->sh->clock, now, ngx_current_msec);

    if (step) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "api_usage_zone \"%V\": the clock was set by %L "
                      "seconds, nothing is deleted for a day",
                      &ctx->backed.zone.name, step);
    }

    if (ngx_apigw_usage_clock_steady(&ctx->sh->clock)
        && now > ctx->retention)
    {
        rc = ngx_apigw_usage_reap(&ctx->flush, now - ctx->retention);

        if (rc == 0) {
            rc = ngx_apigw_ledger_reap(&ctx->lflush,
                                  (uint32_t) ((now - ctx->retention) / 86400));
        }

        if (rc != 0) {
            return rc;
        }
    }

    ctx->tidied = now;

    ngx_apigw_backed_sweep(&ctx->backed, now);

    return 0;
}
