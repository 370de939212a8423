/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/*
 * The zone: what lies in shared memory, and how counters come from the store;
 * how they go back is in ngx_http_apigw_usage_flush.c.
 *
 * Shared memory holds a header, the buckets of the rates, the table of quota
 * counters and that of the ledger, all made when the zone is and freed with
 * it; the slab allocator is not used after that.  The slab mutex, which
 * nginx's master releases when its holder dies, guards inserting, evicting and
 * refreshing; the work under it is bounded by the 16 slots of two sets.
 *
 * Survives reload: all of it, if name and size of the zone are unchanged.
 * Survives restart and kill -9 of everything: what was flushed.  The helper
 * flushes every interval, a worker and the master when they exit.
 */


#define NGX_HTTP_APIGW_USAGE_LAYOUT     0x0000000100000008ULL

#define NGX_HTTP_APIGW_USAGE_FLUSH_MIN  100
#define NGX_HTTP_APIGW_USAGE_FLUSH_MAX  60000
#define NGX_HTTP_APIGW_USAGE_RETENTION  (400 * 86400)
#define NGX_HTTP_APIGW_USAGE_TRIES      32


static ngx_int_t ngx_http_apigw_usage_zone_on_full(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_usage_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_apigw_usage_new_zone(
    ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log);
static void ngx_http_apigw_usage_cleanup(void *data);
static ngx_int_t ngx_http_apigw_usage_collect(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);

static ngx_int_t ngx_http_apigw_usage_insert(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_load_t *load,
    ngx_apigw_counter_info_t *info, ngx_uint_t *slot);


static ngx_conf_enum_t  ngx_http_apigw_usage_on_full[] = {
    { ngx_string("admit"), NGX_HTTP_APIGW_USAGE_ADMIT },
    { ngx_string("refuse"), NGX_HTTP_APIGW_USAGE_REFUSE },
    { ngx_null_string, 0 }
};


#define ngx_http_apigw_usage_metric(name, help, type)                         \
    { #name, help, type, offsetof(ngx_http_apigw_usage_shctx_t, name) }


static const ngx_apigw_metric_t  ngx_http_apigw_usage_metrics[] = {

    ngx_http_apigw_usage_metric(admitted,
        "Requests admitted and counted.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(uncounted,
        "Requests admitted without being counted.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(refused_rate,
        "Requests refused by the rate of a plan.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(refused_quota,
        "Requests refused by a quota.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(refused_plan,
        "Requests refused for an unknown plan.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(refused_consumer,
        "Requests refused without a consumer.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(refused_store,
        "Requests refused because they could not be counted.",
        NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(shadow_passed,
        "Requests that the shadow plan would admit.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(shadow_rate,
        "Requests that the shadow plan's rate would refuse.",
        NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(shadow_quota,
        "Requests that the shadow plan's quota would refuse.",
        NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(shadow_plan,
        "Requests whose shadow plan is unknown.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(loaded,
        "Counters read from the store.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(evicted,
        "Counters removed from memory for others.", NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(flushed,
        "Counters written to the store.", NGX_APIGW_COUNTER),

    { "store_errors", "Failed operations of the store.", NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_usage_shctx_t, backed.store_errors) },

    ngx_http_apigw_usage_metric(ledger_late,
        "Times that the end of a request had to wait for room.",
        NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(ledger_lost,
        "Requests that could not be entered into the ledger.",
        NGX_APIGW_COUNTER),

    ngx_http_apigw_usage_metric(entries,
        "Ledger entries that fit into memory.", NGX_APIGW_GAUGE),

    ngx_http_apigw_usage_metric(counters,
        "Counters that fit into memory.", NGX_APIGW_GAUGE),

    ngx_http_apigw_usage_metric(used,
        "Counters in memory at the last flush.", NGX_APIGW_GAUGE),

    ngx_http_apigw_usage_metric(dirty,
        "Counters that the last flush had to write.", NGX_APIGW_GAUGE),

    { "flushes", "Times that memory was written to the store.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_usage_shctx_t, backed.guard.runs) },

    { "flush_errors", "Times that it could not be written.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_usage_shctx_t, backed.guard.errors) },

    ngx_apigw_metric_end
};


#define ngx_http_apigw_usage_offset(field)                                    \
    offsetof(ngx_http_apigw_usage_zone_t, field)


static const ngx_apigw_word_t  ngx_http_apigw_usage_zone_words[] = {

    { ngx_string("zone="), ngx_apigw_word_zone,
      ngx_http_apigw_usage_offset(backed.declared), 0, 0, 1 },

    { ngx_string("store="), ngx_apigw_word_text,
      ngx_http_apigw_usage_offset(backed.helper.directory), 1, 0, 1 },

    { ngx_string("flush="), ngx_apigw_word_msec,
      ngx_http_apigw_usage_offset(backed.helper.interval),
      NGX_HTTP_APIGW_USAGE_FLUSH_MIN, NGX_HTTP_APIGW_USAGE_FLUSH_MAX, 0 },

    { ngx_string("retention="), ngx_apigw_word_sec,
      ngx_http_apigw_usage_offset(retention),
      86400, (ngx_int_t) NGX_APIGW_WINDOW_NEVER, 0 },

    { ngx_string("on_full="), ngx_http_apigw_usage_zone_on_full,
      ngx_http_apigw_usage_offset(on_full), 0, 0, 0 },

    ngx_apigw_word_end
};


static const ngx_apigw_backed_type_t  ngx_http_apigw_usage_zone_type = {
    ngx_string("usage"),
    "api_usage_zone",
    &ngx_http_apigw_usage_module,
    ngx_http_apigw_usage_zone_words,
    NGX_HTTP_APIGW_USAGE_LAYOUT,
    sizeof(ngx_http_apigw_usage_shctx_t),
    &ngx_apigw_usage_kind,
    ngx_http_apigw_usage_run,
    ngx_http_apigw_usage_unwritten,
    ngx_http_apigw_usage_init_zone,
    ngx_http_apigw_usage_collect,
    ngx_http_apigw_usage_cleanup
};


char *
ngx_http_apigw_usage_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    ngx_http_apigw_usage_zone_t  *ctx, **zp;

    ctx = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_zone_t));
    if (ctx == NULL) {
        return NGX_CONF_ERROR;
    }

    ctx->retention = NGX_HTTP_APIGW_USAGE_RETENTION;
    ctx->on_full = NGX_HTTP_APIGW_USAGE_REFUSE;

    ngx_http_apigw_usage_late_init(ctx);

    if (ngx_apigw_backed_add(cf, &ctx->backed, &ngx_http_apigw_usage_zone_type,
                             &mcf->helpers)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    zp = ngx_array_push(&mcf->zones);
    if (zp == NULL) {
        return NGX_CONF_ERROR;
    }

    *zp = ctx;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_usage_zone_on_full(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_usage_zone_t *ctx = base;

    ngx_uint_t  i;

    for (i = 0; ngx_http_apigw_usage_on_full[i].name.len; i++) {

        if (ngx_strcmp(ngx_http_apigw_usage_on_full[i].name.data, value->data)
            == 0)
        {
            ctx->on_full = ngx_http_apigw_usage_on_full[i].value;
            return NGX_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"on_full=%V\", it must be admit or "
                       "refuse", value);
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_apigw_usage_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_apigw_usage_zone_t  *octx = data;

    ngx_int_t                     rc;
    ngx_http_apigw_usage_zone_t  *ctx;

    ctx = shm_zone->data;

    rc = ngx_apigw_backed_init(shm_zone, octx ? &octx->backed : NULL);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ctx->sh = (ngx_http_apigw_usage_shctx_t *) ctx->backed.shared;

    if (rc == NGX_DECLINED
        && ngx_http_apigw_usage_new_zone(ctx, shm_zone->shm.log) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->buckets = ctx->sh->buckets;
    ngx_apigw_counter_map(&ctx->table, ctx->sh->table, ctx->sh->sets);
    ngx_apigw_ledger_map(&ctx->ledger, ctx->sh->ledger, ctx->sh->ledger_sets);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_new_zone(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log)
{
    size_t                         size, room;
    uint32_t                       sets, ledger_sets;
    ngx_slab_pool_t               *shpool;
    ngx_http_apigw_usage_shctx_t  *sh;

    sh = ctx->sh;
    shpool = ctx->backed.shpool;

    room = shpool->pfree * ngx_pagesize;

    /* in whole pages: a caller needs a bucket, an entry, some counters */

    size = ngx_align(room / 16, ngx_pagesize);

    sh->buckets = ngx_slab_calloc(shpool, size);
    sh->buckets_size = size;

    ledger_sets = ngx_apigw_ledger_sets(room / 16 * 9);

    sh->ledger = ngx_slab_calloc(shpool, ngx_apigw_ledger_size(ledger_sets));
    sh->ledger_sets = ledger_sets;
    sh->entries = (ngx_atomic_uint_t) ledger_sets * NGX_APIGW_LEDGER_WAYS;

    room = shpool->pfree * ngx_pagesize;
    sets = ngx_apigw_counter_sets(room);

    sh->table = ngx_slab_calloc(shpool, ngx_apigw_counter_size(sets));
    sh->sets = sets;
    sh->counters = (ngx_atomic_uint_t) sets * NGX_APIGW_COUNTER_WAYS;

    if (sh->buckets == NULL || sh->table == NULL || sh->ledger == NULL
        || sets == 0 || ledger_sets == 0)
    {
        return NGX_ERROR;
    }

    if (ngx_apigw_buckets_create(sh->buckets, size) == NULL
        || ngx_apigw_hash_new_key(&sh->key) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "api_usage_zone \"%V\" cannot be initialized",
                      &ctx->backed.zone.name);
        return NGX_ERROR;
    }

    return ngx_apigw_backed_made(&ctx->backed, log);
}


static void
ngx_http_apigw_usage_cleanup(void *data)
{
    ngx_http_apigw_usage_zone_t  *ctx = data;

    ngx_http_apigw_usage_late_stop(ctx);

    if (ctx->flush.notes) {
        ngx_free(ctx->flush.notes);
        ctx->flush.notes = NULL;
    }

    if (ctx->lflush.notes) {
        ngx_free(ctx->lflush.notes);
        ctx->lflush.notes = NULL;
    }

    ngx_apigw_backed_cleanup(&ctx->backed);
}


static ngx_int_t
ngx_http_apigw_usage_collect(ngx_apigw_zone_t *zone, ngx_apigw_emit_pt emit,
    void *data)
{
    ngx_http_apigw_usage_zone_t  *ctx;

    ctx = (ngx_http_apigw_usage_zone_t *) zone;

    return ngx_apigw_zone_emit(zone, ngx_http_apigw_usage_metrics, ctx->sh,
                               emit, data);
}


ngx_int_t
ngx_http_apigw_usage_slot(ngx_http_apigw_usage_zone_t *ctx,
    ngx_http_apigw_usage_quota_t *q, const ngx_str_t *consumer,
    ngx_uint_t shadow, ngx_log_t *log)
{
    ngx_apigw_counter_info_t  info;

    q->slot = ngx_apigw_counter_find(&ctx->table, &q->id);

    if (q->slot != NGX_APIGW_COUNTER_NONE) {
        return NGX_OK;
    }

    ngx_apigw_plan_counter(q->plan, q->quota, &q->span, consumer, shadow,
                           &info);

    return ngx_http_apigw_usage_counter(ctx, &q->id, &info, log, &q->slot);
}


ngx_int_t
ngx_http_apigw_usage_counter(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, ngx_apigw_counter_info_t *info,
    ngx_log_t *log, ngx_uint_t *slot)
{
    int                        rc;
    ngx_int_t                  inserted;
    ngx_uint_t                 n;
    ngx_apigw_counter_load_t   load;

    *slot = NGX_APIGW_COUNTER_NONE;

    if (ngx_apigw_backed_open(&ctx->backed, log) != NGX_OK) {
        return NGX_ERROR;
    }

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_TRIES; n++) {

        ngx_apigw_counter_load_begin(&ctx->table, id, &load);

        rc = ngx_apigw_usage_load(ctx->backed.store,
                                  ctx->backed.shared->instance, info, &load);

        if (rc == NGX_APIGW_USAGE_EDAMAGED) {
            ngx_apigw_backed_damaged(&ctx->backed, log, 1);

        } else if (rc != 0) {
            ngx_apigw_backed_error(&ctx->backed, log, "read", rc);
            return NGX_ERROR;
        }

        inserted = ngx_http_apigw_usage_insert(ctx, id, &load, info, slot);

        if (inserted == NGX_OK) {
            (void) ngx_atomic_fetch_add(&ctx->sh->loaded, 1);
            return NGX_OK;
        }

        if (inserted == NGX_DECLINED) {
            break;
        }
    }

    *slot = NGX_APIGW_COUNTER_NONE;

    ngx_apigw_backed_full(&ctx->backed, log, "counters");

    return NGX_BUSY;
}


static ngx_int_t
ngx_http_apigw_usage_insert(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_load_t *load,
    ngx_apigw_counter_info_t *info, ngx_uint_t *slot)
{
    ngx_int_t   rc;
    ngx_uint_t  evicted;

    ngx_shmtx_lock(&ctx->backed.shpool->mutex);

    rc = ngx_apigw_counter_insert(&ctx->table, id, load, info, ngx_time(),
                                  slot, &evicted);

    ngx_shmtx_unlock(&ctx->backed.shpool->mutex);

    if (evicted) {
        (void) ngx_atomic_fetch_add(&ctx->sh->evicted, 1);
    }

    return rc;
}


ngx_int_t
ngx_http_apigw_usage_entry(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, ngx_apigw_ledger_info_t *info,
    ngx_uint_t again, ngx_log_t *log, ngx_uint_t *slot)
{
    int                        rc;
    ngx_int_t                  inserted;
    ngx_uint_t                 n, evicted;
    ngx_apigw_ledger_row_t     own;
    ngx_apigw_counter_load_t   load;

    *slot = again ? NGX_APIGW_COUNTER_NONE
                  : ngx_apigw_ledger_find(&ctx->ledger, id);

    if (*slot != NGX_APIGW_COUNTER_NONE) {
        return NGX_OK;
    }

    if (ngx_apigw_backed_open(&ctx->backed, log) != NGX_OK) {
        return NGX_ERROR;
    }

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_TRIES; n++) {

        ngx_apigw_ledger_load_begin(&ctx->ledger, id, &load);

        rc = ngx_apigw_ledger_load(ctx->backed.store,
                                   ctx->backed.shared->instance, info, &own);

        if (rc == NGX_APIGW_USAGE_EDAMAGED) {
            ngx_apigw_backed_damaged(&ctx->backed, log, 1);

        } else if (rc != 0) {
            ngx_apigw_backed_error(&ctx->backed, log, "read", rc);
            return NGX_ERROR;
        }

        ngx_shmtx_lock(&ctx->backed.shpool->mutex);

        inserted = ngx_apigw_ledger_insert(&ctx->ledger, id, &load, &own, info,
                                           slot, &evicted);

        ngx_shmtx_unlock(&ctx->backed.shpool->mutex);

        (void) ngx_atomic_fetch_add(&ctx->sh->evicted, evicted);

        if (inserted == NGX_OK) {
            (void) ngx_atomic_fetch_add(&ctx->sh->loaded, 1);
            return NGX_OK;
        }

        if (inserted == NGX_DECLINED) {
            break;
        }
    }

    *slot = NGX_APIGW_COUNTER_NONE;

    ngx_apigw_backed_full(&ctx->backed, log, "counters");

    return NGX_BUSY;
}
