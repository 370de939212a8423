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


#define NGX_HTTP_APIGW_USAGE_LAYOUT     0x0000000100000006ULL

#define NGX_HTTP_APIGW_USAGE_FLUSH_MIN  100
#define NGX_HTTP_APIGW_USAGE_FLUSH_MAX  60000
#define NGX_HTTP_APIGW_USAGE_RETENTION  (400 * 86400)
#define NGX_HTTP_APIGW_USAGE_TRIES      32


static char *ngx_http_apigw_usage_zone_parameter(ngx_conf_t *cf,
    ngx_http_apigw_usage_zone_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_usage_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_apigw_usage_keep_zone(
    ngx_http_apigw_usage_zone_t *ctx, ngx_http_apigw_usage_zone_t *octx,
    ngx_log_t *log);
static ngx_int_t ngx_http_apigw_usage_new_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_apigw_usage_zone_t *ctx);
static ngx_int_t ngx_http_apigw_usage_new_instance(
    ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log);
static void ngx_http_apigw_usage_cleanup(void *data);
static ngx_int_t ngx_http_apigw_usage_collect(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);

static void ngx_http_apigw_usage_full(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log);
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

    ngx_http_apigw_usage_metric(store_errors,
        "Failed operations of the store.", NGX_APIGW_COUNTER),

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
      NGX_APIGW_COUNTER, offsetof(ngx_http_apigw_usage_shctx_t, guard.runs) },

    { "flush_errors", "Times that it could not be written.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_usage_shctx_t, guard.errors) },

    ngx_apigw_metric_end
};


char *
ngx_http_apigw_usage_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    char                          *rv;
    ssize_t                        size;
    ngx_str_t                     *value, name, s;
    ngx_uint_t                     i;
    ngx_shm_zone_t                *shm_zone;
    ngx_pool_cleanup_t            *cln;
    ngx_apigw_helper_t           **hp;
    ngx_http_apigw_usage_zone_t   *ctx, **zp;

    value = cf->args->elts;
    size = 0;
    ngx_str_null(&name);

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    ctx = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_zone_t));

    if (ctx == NULL || cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_apigw_usage_cleanup;
    cln->data = ctx;

    ctx->helper.interval = NGX_CONF_UNSET_MSEC;
    ctx->retention = NGX_CONF_UNSET;
    ctx->on_full = NGX_CONF_UNSET_UINT;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {

            if (name.len) {
                goto duplicate;
            }

            s.data = value[i].data + 5;
            s.len = value[i].len - 5;

            if (ngx_apigw_zone_parse(cf, &s, &name, &size) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        rv = ngx_http_apigw_usage_zone_parameter(cf, ctx, &value[i]);

        if (rv == NGX_CONF_ERROR) {
            return rv;
        }

        if (rv != NGX_CONF_OK) {
            goto duplicate;
        }
    }

    if (name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (ctx->helper.directory.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"store\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_msec_value(ctx->helper.interval, 1000);
    ngx_conf_init_value(ctx->retention, NGX_HTTP_APIGW_USAGE_RETENTION);
    ngx_conf_init_uint_value(ctx->on_full, NGX_HTTP_APIGW_USAGE_REFUSE);

    shm_zone = ngx_shared_memory_add(cf, &name, size,
                                     &ngx_http_apigw_usage_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already bound to store \"%V\"",
                           &name, &((ngx_http_apigw_usage_zone_t *)
                                    shm_zone->data)->helper.directory);
        return NGX_CONF_ERROR;
    }

    ngx_str_set(&ctx->helper.name, "usage");
    ctx->helper.run = ngx_http_apigw_usage_run;
    ctx->helper.data = ctx;

    ngx_http_apigw_usage_late_init(ctx);

    if (ngx_apigw_helper_add(cf, &ctx->helper) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_apigw_zone_init(&ctx->zone, "usage", &shm_zone->shm.name,
                        ngx_http_apigw_usage_collect);

    shm_zone->init = ngx_http_apigw_usage_init_zone;
    shm_zone->data = ctx;

    zp = ngx_array_push(&mcf->zones);
    hp = ngx_array_push(&mcf->helpers);

    if (zp == NULL || hp == NULL) {
        return NGX_CONF_ERROR;
    }

    *zp = ctx;
    *hp = &ctx->helper;

    return NGX_CONF_OK;

duplicate:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "duplicate parameter \"%V\"", &value[i]);
    return NGX_CONF_ERROR;
}


/* Any parameter but "zone="; returns "" for one that was there before. */

static char *
ngx_http_apigw_usage_zone_parameter(ngx_conf_t *cf,
    ngx_http_apigw_usage_zone_t *ctx, ngx_str_t *value)
{
    ngx_int_t   n;
    ngx_str_t   s;
    ngx_uint_t  i;

    if (ngx_strncmp(value->data, "store=", 6) == 0) {

        if (ctx->helper.directory.len) {
            return "";
        }

        ctx->helper.directory.data = value->data + 6;
        ctx->helper.directory.len = value->len - 6;

        if (ctx->helper.directory.len == 0) {
            goto invalid;
        }

        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "flush=", 6) == 0) {

        if (ctx->helper.interval != NGX_CONF_UNSET_MSEC) {
            return "";
        }

        s.data = value->data + 6;
        s.len = value->len - 6;

        n = ngx_parse_time(&s, 0);

        if (n < NGX_HTTP_APIGW_USAGE_FLUSH_MIN
            || n > NGX_HTTP_APIGW_USAGE_FLUSH_MAX)
        {
            goto invalid;
        }

        ctx->helper.interval = (ngx_msec_t) n;

        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "retention=", 10) == 0) {

        if (ctx->retention != NGX_CONF_UNSET) {
            return "";
        }

        s.data = value->data + 10;
        s.len = value->len - 10;

        n = ngx_parse_time(&s, 1);

        if (n < 86400 || n > (ngx_int_t) NGX_APIGW_WINDOW_NEVER) {
            goto invalid;
        }

        ctx->retention = n;

        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "on_full=", 8) == 0) {

        if (ctx->on_full != NGX_CONF_UNSET_UINT) {
            return "";
        }

        for (i = 0; ngx_http_apigw_usage_on_full[i].name.len; i++) {

            if (ngx_strcmp(ngx_http_apigw_usage_on_full[i].name.data,
                           value->data + 8)
                == 0)
            {
                ctx->on_full = ngx_http_apigw_usage_on_full[i].value;
                return NGX_CONF_OK;
            }
        }
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", value);
    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_apigw_usage_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_apigw_usage_zone_t  *octx = data;

    ngx_http_apigw_usage_zone_t  *ctx;

    ctx = shm_zone->data;

    if (octx) {
        return ngx_http_apigw_usage_keep_zone(ctx, octx, shm_zone->shm.log);
    }

    ctx->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        ctx->sh = ctx->shpool->data;

        if (ctx->sh == NULL || ctx->sh->layout != NGX_HTTP_APIGW_USAGE_LAYOUT)
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "api_usage_zone \"%V\" has another layout, stop "
                          "nginx and start it again", &shm_zone->shm.name);
            return NGX_ERROR;
        }

    } else if (ngx_http_apigw_usage_new_zone(shm_zone, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->buckets = ctx->sh->buckets;
    ctx->helper.guard = &ctx->sh->guard;
    ngx_apigw_counter_map(&ctx->table, ctx->sh->table, ctx->sh->sets);
    ngx_apigw_ledger_map(&ctx->ledger, ctx->sh->ledger, ctx->sh->ledger_sets);

    return NGX_OK;
}


/* On live data, and the reload may still fail: nothing is changed there. */

static ngx_int_t
ngx_http_apigw_usage_keep_zone(ngx_http_apigw_usage_zone_t *ctx,
    ngx_http_apigw_usage_zone_t *octx, ngx_log_t *log)
{
    if (ctx->helper.directory.len != octx->helper.directory.len
        || ngx_memcmp(ctx->helper.directory.data, octx->helper.directory.data,
                      octx->helper.directory.len)
           != 0)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "api_usage_zone \"%V\" uses the store \"%V\" while "
                      "previously it used \"%V\"; give the zone another name "
                      "as well", &ctx->zone.name, &ctx->helper.directory,
                      &octx->helper.directory);
        return NGX_ERROR;
    }

    ctx->sh = octx->sh;
    ctx->shpool = octx->shpool;
    ctx->buckets = octx->buckets;
    ctx->table = octx->table;
    ctx->ledger = octx->ledger;
    ctx->helper.guard = &ctx->sh->guard;

    ctx->instance = octx->instance;

    if (ctx->instance) {
        ctx->instance->refs++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_new_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_apigw_usage_zone_t *ctx)
{
    size_t                         size, room;
    uint32_t                       sets, ledger_sets;
    ngx_http_apigw_usage_shctx_t  *sh;

    sh = ngx_slab_calloc(ctx->shpool, sizeof(ngx_http_apigw_usage_shctx_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    room = ctx->shpool->pfree * ngx_pagesize;

    /* in whole pages: an eighth for the buckets, half for the ledger */

    size = ngx_align(room / 8, ngx_pagesize);

    sh->buckets = ngx_slab_calloc(ctx->shpool, size);
    sh->buckets_size = size;

    ledger_sets = ngx_apigw_ledger_sets(room / 2);

    sh->ledger = ngx_slab_calloc(ctx->shpool,
                                 ngx_apigw_ledger_size(ledger_sets));
    sh->ledger_sets = ledger_sets;
    sh->entries = (ngx_atomic_uint_t) ledger_sets * NGX_APIGW_LEDGER_WAYS;

    room = ctx->shpool->pfree * ngx_pagesize;
    sets = ngx_apigw_counter_sets(room);

    sh->table = ngx_slab_calloc(ctx->shpool, ngx_apigw_counter_size(sets));
    sh->sets = sets;

    if (sh->buckets == NULL || sh->table == NULL || sh->ledger == NULL
        || sets == 0 || ledger_sets == 0)
    {
        return NGX_ERROR;
    }

    if (ngx_apigw_buckets_create(sh->buckets, size) == NULL
        || ngx_apigw_hash_new_key(&sh->key) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                      "api_usage_zone \"%V\" cannot be initialized",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    sh->counters = (ngx_atomic_uint_t) sets * NGX_APIGW_COUNTER_WAYS;

    if (ngx_http_apigw_usage_new_instance(ctx, shm_zone->shm.log) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->instance) {
        sh->instance = ctx->instance->id;
    }

    sh->layout = NGX_HTTP_APIGW_USAGE_LAYOUT;

    ctx->shpool->log_nomem = 0;
    ctx->shpool->data = sh;
    ctx->sh = sh;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_usage_new_instance(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log)
{
    int  rc;

    if (ngx_test_config) {
        return NGX_OK;
    }

    ctx->instance = ngx_alloc(sizeof(ngx_apigw_instance_t), log);
    if (ctx->instance == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_apigw_instance_create(ctx->instance,
                                   (char *) ctx->helper.directory.data);

    if (rc != 0) {
        ngx_free(ctx->instance);
        ctx->instance = NULL;

        ngx_log_error(NGX_LOG_EMERG, log, rc,
                      "cannot create a file in the store \"%V\"",
                      &ctx->helper.directory);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* When a cycle ends; the processes that go on have the file open as well. */

static void
ngx_http_apigw_usage_cleanup(void *data)
{
    ngx_http_apigw_usage_zone_t  *ctx = data;

    ngx_http_apigw_usage_late_stop(ctx);

    if (ctx->store && ctx->store_pid == ngx_pid) {
        ngx_apigw_store_close(ctx->store);
        ctx->store = NULL;
    }

    if (ctx->flush.notes) {
        ngx_free(ctx->flush.notes);
        ctx->flush.notes = NULL;
    }

    if (ctx->lflush.notes) {
        ngx_free(ctx->lflush.notes);
        ctx->lflush.notes = NULL;
    }

    if (ctx->instance && --ctx->instance->refs == 0) {
        (void) close(ctx->instance->fd);
        ngx_free(ctx->instance);
    }
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


/* The store as this process has it open, which is done at the first use. */

ngx_int_t
ngx_http_apigw_usage_open(ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log)
{
    int  rc;

    if (ctx->store && ctx->store_pid == ngx_pid) {
        return NGX_OK;
    }

    ctx->store = NULL;

    rc = ngx_apigw_store_open(&ctx->store,
                              (char *) ctx->helper.directory.data,
                              &ngx_apigw_usage_kind);

    if (rc != 0) {
        ctx->store = NULL;
        ngx_http_apigw_usage_store_error(ctx, log, "opened", rc);
        return NGX_ERROR;
    }

    ctx->store_pid = ngx_pid;

    return NGX_OK;
}


void
ngx_http_apigw_usage_store_error(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log, const char *what, int rc)
{
    (void) ngx_atomic_fetch_add(&ctx->sh->store_errors, 1);

    if (ngx_apigw_log_due(&ctx->sh->log_store)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "api_usage_zone \"%V\": the store \"%V\" cannot be %s: "
                      "%s", &ctx->zone.name, &ctx->helper.directory, what,
                      ngx_apigw_store_strerror(rc));
    }
}


/* One record; the others are as they should be. */

void
ngx_http_apigw_usage_damaged(ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log,
    ngx_uint_t n)
{
    if (n == 0) {
        return;
    }

    (void) ngx_atomic_fetch_add(&ctx->sh->store_errors, n);

    if (ngx_apigw_log_due(&ctx->sh->log_store)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "api_usage_zone \"%V\": the store \"%V\" has damaged or "
                      "overlong records", &ctx->zone.name,
                      &ctx->helper.directory);
    }
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

    if (ngx_http_apigw_usage_open(ctx, log) != NGX_OK) {
        return NGX_ERROR;
    }

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_TRIES; n++) {

        ngx_apigw_counter_load_begin(&ctx->table, id, &load);

        rc = ngx_apigw_usage_load(ctx->store, ctx->sh->instance, info, &load);

        if (rc == NGX_APIGW_USAGE_EDAMAGED) {
            ngx_http_apigw_usage_damaged(ctx, log, 1);

        } else if (rc != 0) {
            ngx_http_apigw_usage_store_error(ctx, log, "read", rc);
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

    ngx_http_apigw_usage_full(ctx, log);

    return NGX_BUSY;
}


static void
ngx_http_apigw_usage_full(ngx_http_apigw_usage_zone_t *ctx, ngx_log_t *log)
{
    if (ngx_apigw_log_due(&ctx->sh->log_full)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "api_usage_zone \"%V\" has no room: its counters wait "
                      "for the store", &ctx->zone.name);
    }
}


static ngx_int_t
ngx_http_apigw_usage_insert(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_load_t *load,
    ngx_apigw_counter_info_t *info, ngx_uint_t *slot)
{
    ngx_int_t   rc;
    ngx_uint_t  evicted;

    ngx_shmtx_lock(&ctx->shpool->mutex);

    rc = ngx_apigw_counter_insert(&ctx->table, id, load, info, ngx_time(),
                                  slot, &evicted);

    ngx_shmtx_unlock(&ctx->shpool->mutex);

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

    if (ngx_http_apigw_usage_open(ctx, log) != NGX_OK) {
        return NGX_ERROR;
    }

    for (n = 0; n < NGX_HTTP_APIGW_USAGE_TRIES; n++) {

        ngx_apigw_ledger_load_begin(&ctx->ledger, id, &load);

        rc = ngx_apigw_ledger_load(ctx->store, ctx->sh->instance, info, &own);

        if (rc == NGX_APIGW_USAGE_EDAMAGED) {
            ngx_http_apigw_usage_damaged(ctx, log, 1);

        } else if (rc != 0) {
            ngx_http_apigw_usage_store_error(ctx, log, "read", rc);
            return NGX_ERROR;
        }

        ngx_shmtx_lock(&ctx->shpool->mutex);

        inserted = ngx_apigw_ledger_insert(&ctx->ledger, id, &load, &own, info,
                                           slot, &evicted);

        ngx_shmtx_unlock(&ctx->shpool->mutex);

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

    ngx_http_apigw_usage_full(ctx, log);

    return NGX_BUSY;
}
