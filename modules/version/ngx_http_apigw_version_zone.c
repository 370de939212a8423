/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_backed.h"
#include "ngx_apigw_tally.h"
#include "ngx_http_apigw_version.h"


/*
 * The zone: who calls which version, counted when a request is over.
 *
 * Shared memory holds a header and the table of ngx_apigw_tally.h, made when
 * the zone is and freed with it; the slab allocator is not used after that.
 * The slab mutex, which nginx's master releases when its holder dies, guards
 * inserting, evicting and marking as written; the work under it is bounded by
 * the 16 slots of two sets.
 *
 * Workers never touch the store.  Survives reload: all of it, if name and size
 * of the zone are unchanged.  Survives restart and kill -9 of everything: what
 * was flushed.  The helper flushes every interval, a worker and the master
 * when they exit.
 */


#define NGX_HTTP_APIGW_VERSION_LAYOUT     0x0000000200000002ULL

#define NGX_HTTP_APIGW_VERSION_FLUSH_MIN  100
#define NGX_HTTP_APIGW_VERSION_FLUSH_MAX  60000
#define NGX_HTTP_APIGW_VERSION_RETENTION  (400 * 86400)
#define NGX_HTTP_APIGW_VERSION_REAP       60
#define NGX_HTTP_APIGW_VERSION_LAST       1000


typedef struct {
    ngx_apigw_backed_shared_t      backed;
    void                          *table;
    uint32_t                       sets;
    ngx_apigw_hash_key_t           key;       /* of callers */

    ngx_atomic_t                   lives;

    ngx_atomic_t                   counted;
    ngx_atomic_t                   lost;
    ngx_atomic_t                   unnamed;
    ngx_atomic_t                   evicted;
    ngx_atomic_t                   flushed;
    ngx_atomic_t                   entries;
    ngx_atomic_t                   used;
} ngx_http_apigw_version_shctx_t;


struct ngx_http_apigw_version_zone_s {
    ngx_apigw_backed_t             backed;
    ngx_http_apigw_version_shctx_t  *sh;
    ngx_apigw_tally_table_t        table;

    ngx_int_t                      by;        /* variable or NGX_ERROR */
    time_t                         retention;

    ngx_http_apigw_version_main_conf_t  *conf;

    /* private to a process */

    ngx_apigw_tally_flush_t        flush;
    time_t                         reaped;
    unsigned                       described:1;
    unsigned                       last:1;
};


static ngx_int_t ngx_http_apigw_version_zone_by(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_version_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_apigw_version_new_zone(
    ngx_http_apigw_version_zone_t *ctx, ngx_log_t *log);
static void ngx_http_apigw_version_cleanup(void *data);
static ngx_int_t ngx_http_apigw_version_collect(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);

static ngx_uint_t ngx_http_apigw_version_tally(
    ngx_http_apigw_version_zone_t *ctx, ngx_http_apigw_version_call_t *call,
    ngx_str_t *caller);
static ngx_int_t ngx_http_apigw_version_insert(
    ngx_http_apigw_version_zone_t *ctx, ngx_apigw_tally_id_t *id,
    ngx_apigw_tally_info_t *info, uint32_t second);

static ngx_array_t *ngx_http_apigw_version_helpers(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_apigw_version_run(ngx_apigw_helper_t *helper,
    ngx_log_t *log, ngx_uint_t last);
static void ngx_http_apigw_version_left(ngx_apigw_helper_t *helper,
    ngx_log_t *log);
static int ngx_http_apigw_version_step(ngx_http_apigw_version_zone_t *ctx,
    ngx_uint_t last);
static void ngx_http_apigw_version_written(void *data,
    const ngx_apigw_tally_note_t *note);
static int ngx_http_apigw_version_describe(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static int ngx_http_apigw_version_tidy(ngx_http_apigw_version_zone_t *ctx);


#define ngx_http_apigw_version_metric(name, help, type)                       \
    { #name, help, type, offsetof(ngx_http_apigw_version_shctx_t, name) }


static const ngx_apigw_metric_t  ngx_http_apigw_version_metrics[] = {

    ngx_http_apigw_version_metric(counted,
        "Calls counted.", NGX_APIGW_COUNTER),

    ngx_http_apigw_version_metric(lost,
        "Calls not counted since the zone was full.", NGX_APIGW_COUNTER),

    ngx_http_apigw_version_metric(unnamed,
        "Calls counted without their caller since the zone was full.",
        NGX_APIGW_COUNTER),

    ngx_http_apigw_version_metric(evicted,
        "Entries removed from memory for others.", NGX_APIGW_COUNTER),

    ngx_http_apigw_version_metric(flushed,
        "Entries written to the store.", NGX_APIGW_COUNTER),

    { "store_errors", "Failed operations of the store.", NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_version_shctx_t, backed.store_errors) },

    ngx_http_apigw_version_metric(entries,
        "Entries that fit into memory.", NGX_APIGW_GAUGE),

    ngx_http_apigw_version_metric(used,
        "Entries in memory at the last flush.", NGX_APIGW_GAUGE),

    ngx_apigw_metric_end
};


#define ngx_http_apigw_version_offset(field)                                  \
    offsetof(ngx_http_apigw_version_zone_t, field)


static const ngx_apigw_word_t  ngx_http_apigw_version_zone_words[] = {

    { ngx_string("zone="), ngx_apigw_word_zone,
      ngx_http_apigw_version_offset(backed.declared), 0, 0, 1 },

    { ngx_string("store="), ngx_apigw_word_text,
      ngx_http_apigw_version_offset(backed.helper.directory), 1, 0, 1 },

    { ngx_string("by="), ngx_http_apigw_version_zone_by,
      ngx_http_apigw_version_offset(by), 0, 0, 0 },

    { ngx_string("flush="), ngx_apigw_word_msec,
      ngx_http_apigw_version_offset(backed.helper.interval),
      NGX_HTTP_APIGW_VERSION_FLUSH_MIN, NGX_HTTP_APIGW_VERSION_FLUSH_MAX, 0 },

    { ngx_string("retention="), ngx_apigw_word_sec,
      ngx_http_apigw_version_offset(retention),
      NGX_APIGW_TALLY_DAY, NGX_MAX_INT32_VALUE, 0 },

    ngx_apigw_word_end
};


static const ngx_apigw_backed_type_t  ngx_http_apigw_version_zone_type = {
    ngx_string("version"),
    "api_version_zone",
    &ngx_http_apigw_version_module,
    ngx_http_apigw_version_zone_words,
    NGX_HTTP_APIGW_VERSION_LAYOUT,
    sizeof(ngx_http_apigw_version_shctx_t),
    &ngx_apigw_tally_kind,
    ngx_http_apigw_version_run,
    ngx_http_apigw_version_left,
    ngx_http_apigw_version_init_zone,
    ngx_http_apigw_version_collect,
    ngx_http_apigw_version_cleanup
};


char *
ngx_http_apigw_version_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    ngx_http_apigw_version_zone_t  *ctx;

    if (amcf->zone) {
        return "is duplicate";
    }

    ctx = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_version_zone_t));
    if (ctx == NULL) {
        return NGX_CONF_ERROR;
    }

    ctx->by = NGX_ERROR;
    ctx->retention = NGX_HTTP_APIGW_VERSION_RETENTION;
    ctx->conf = amcf;

    if (ngx_apigw_backed_add(cf, &ctx->backed,
                             &ngx_http_apigw_version_zone_type, &amcf->helpers)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    amcf->zone = ctx;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_version_zone_by(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_version_zone_t *ctx = base;

    return ngx_http_apigw_version_variable(cf, value, &ctx->by);
}


static ngx_int_t
ngx_http_apigw_version_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_apigw_version_zone_t  *octx = data;

    ngx_int_t                       rc;
    ngx_http_apigw_version_zone_t  *ctx;

    ctx = shm_zone->data;

    rc = ngx_apigw_backed_init(shm_zone, octx ? &octx->backed : NULL);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ctx->sh = (ngx_http_apigw_version_shctx_t *) ctx->backed.shared;

    if (rc == NGX_DECLINED
        && ngx_http_apigw_version_new_zone(ctx, shm_zone->shm.log) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_apigw_tally_map(&ctx->table, ctx->sh->table, ctx->sh->sets,
                        &ctx->sh->lives);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_new_zone(ngx_http_apigw_version_zone_t *ctx,
    ngx_log_t *log)
{
    uint32_t                         sets;
    ngx_slab_pool_t                 *shpool;
    ngx_http_apigw_version_shctx_t  *sh;

    sh = ctx->sh;
    shpool = ctx->backed.shpool;

    sets = ngx_apigw_tally_sets(shpool->pfree * ngx_pagesize);

    sh->table = ngx_slab_calloc(shpool, ngx_apigw_tally_size(sets));
    sh->sets = sets;
    sh->entries = (ngx_atomic_uint_t) sets * NGX_APIGW_TALLY_WAYS;

    if (sets == 0 || sh->table == NULL) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "api_version_zone \"%V\" is too small",
                      &ctx->backed.zone.name);
        return NGX_ERROR;
    }

    if (ngx_apigw_hash_new_key(&sh->key) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "api_version_zone \"%V\": no random bytes",
                      &ctx->backed.zone.name);
        return NGX_ERROR;
    }

    return ngx_apigw_backed_made(&ctx->backed, log);
}


static void
ngx_http_apigw_version_cleanup(void *data)
{
    ngx_http_apigw_version_zone_t  *ctx = data;

    if (ctx->flush.notes) {
        ngx_free(ctx->flush.notes);
        ctx->flush.notes = NULL;
    }

    ngx_apigw_backed_cleanup(&ctx->backed);
}


static ngx_int_t
ngx_http_apigw_version_collect(ngx_apigw_zone_t *zone, ngx_apigw_emit_pt emit,
    void *data)
{
    ngx_http_apigw_version_zone_t  *ctx;

    ctx = (ngx_http_apigw_version_zone_t *) zone;

    return ngx_apigw_zone_emit(zone, ngx_http_apigw_version_metrics, ctx->sh,
                               emit, data);
}


ngx_int_t
ngx_http_apigw_version_log_handler(ngx_http_request_t *r)
{
    ngx_str_t                            caller, *name;
    ngx_http_variable_value_t           *vv;
    ngx_http_apigw_version_ctx_t        *vctx;
    ngx_http_apigw_version_call_t        call;
    ngx_http_apigw_version_zone_t       *ctx;
    ngx_http_apigw_version_main_conf_t  *amcf;

    if (r != r->main) {
        return NGX_OK;
    }

    vctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_version_module);

    if (vctx == NULL || !vctx->applied || vctx->counted) {
        return NGX_OK;
    }

    vctx->counted = 1;

    if (vctx->refused.api) {
        call = vctx->refused;

    } else {
        ngx_http_apigw_version_call(vctx, &call);
    }

    amcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_version_module);
    ctx = amcf->zone;
    name = NULL;

    if (ctx->by != NGX_ERROR && call.version && call.version->ends) {
        vv = ngx_http_get_indexed_variable(r, ctx->by);

        if (vv && !vv->not_found && vv->len) {
            caller.len = vv->len;
            caller.data = vv->data;
            name = &caller;
        }
    }

    if (ngx_http_apigw_version_tally(ctx, &call, name)) {
        (void) ngx_atomic_fetch_add(&ctx->sh->counted, 1);
        return NGX_OK;
    }

    (void) ngx_atomic_fetch_add(&ctx->sh->lost, 1);

    return NGX_OK;
}


void
ngx_http_apigw_version_call(ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_call_t *call)
{
    call->api = ctx->publish->api;
    call->version = ctx->version;
    call->source = ctx->source
                   | (ctx->problem ? NGX_APIGW_TALLY_REFUSED : 0);
}


/* Returns whether the call could be counted, with or without its caller. */

static ngx_uint_t
ngx_http_apigw_version_tally(ngx_http_apigw_version_zone_t *ctx,
    ngx_http_apigw_version_call_t *call, ngx_str_t *caller)
{
    time_t                    now;
    uint32_t                  day, second;
    ngx_apigw_hash_t          hash, *hp;
    ngx_apigw_hash_key_t     *salt;
    ngx_apigw_tally_id_t      id;
    ngx_apigw_tally_info_t    info;

    now = ngx_time();
    day = (uint32_t) (now / NGX_APIGW_TALLY_DAY);
    second = (uint32_t) (now % NGX_APIGW_TALLY_DAY);

    salt = call->version ? &call->version->salt : &call->api->salt;
    hp = NULL;

    if (caller) {
        ngx_apigw_hash(&hash, &ctx->sh->key, caller->data, caller->len);
        hp = &hash;
    }

    for ( ;; ) {

        ngx_apigw_tally_place(&ctx->table, &id, salt, day, call->source, hp);

        if (ngx_apigw_tally_count(&ctx->table, &id, second) == NGX_OK) {
            break;
        }

        ngx_apigw_tally_name(&info, day, &call->api->name,
                             call->version ? &call->version->label : NULL,
                             call->source, hp ? caller : NULL);

        if (ngx_http_apigw_version_insert(ctx, &id, &info, second) == NGX_OK) {
            break;
        }

        if (hp == NULL) {
            return 0;
        }

        /* at least that somebody called */

        hp = NULL;
    }

    if (caller && hp == NULL) {
        (void) ngx_atomic_fetch_add(&ctx->sh->unnamed, 1);
    }

    return 1;
}


static ngx_int_t
ngx_http_apigw_version_insert(ngx_http_apigw_version_zone_t *ctx,
    ngx_apigw_tally_id_t *id, ngx_apigw_tally_info_t *info, uint32_t second)
{
    ngx_int_t   rc;
    ngx_uint_t  evicted;

    ngx_shmtx_lock(&ctx->backed.shpool->mutex);

    rc = ngx_apigw_tally_insert(&ctx->table, id, info, second, &evicted);

    ngx_shmtx_unlock(&ctx->backed.shpool->mutex);

    if (evicted) {
        (void) ngx_atomic_fetch_add(&ctx->sh->evicted, 1);
    }

    if (rc != NGX_OK) {
        ngx_apigw_backed_full(&ctx->backed, ngx_cycle->log, "entries");
    }

    return rc;
}


static ngx_array_t *
ngx_http_apigw_version_helpers(ngx_cycle_t *cycle)
{
    ngx_http_apigw_version_main_conf_t  *amcf;

    amcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_apigw_version_module);

    return amcf ? &amcf->helpers : NULL;
}


ngx_int_t
ngx_http_apigw_version_init_process(ngx_cycle_t *cycle)
{
    return ngx_apigw_helper_init_process(cycle,
                                         ngx_http_apigw_version_helpers);
}


void
ngx_http_apigw_version_exit_master(ngx_cycle_t *cycle)
{
    ngx_apigw_helper_exit_master(cycle, ngx_http_apigw_version_helpers);
}


/*
 * A worker whose zone was resized or removed by a reload is the last one to
 * have it: the new helper knows nothing of it.  Nobody else is kept out, as
 * writing twice is harmless.
 */

void
ngx_http_apigw_version_exit_process(ngx_cycle_t *cycle)
{
    ngx_int_t             rc;
    ngx_msec_t            start;
    ngx_array_t          *list;
    ngx_apigw_helper_t  **helper;

    if (ngx_process != NGX_PROCESS_WORKER) {
        return;
    }

    list = ngx_http_apigw_version_helpers(cycle);

    if (list == NULL || list->nelts == 0) {
        return;
    }

    helper = list->elts;

    ngx_time_update();
    start = ngx_current_msec;

    do {
        rc = ngx_http_apigw_version_run(helper[0], cycle->log, 1);

        ngx_time_update();

    } while (rc == NGX_AGAIN
             && ngx_current_msec - start < NGX_HTTP_APIGW_VERSION_LAST);
}


/* Nobody writes what is dirty now. */

static void
ngx_http_apigw_version_left(ngx_apigw_helper_t *helper, ngx_log_t *log)
{
    ngx_uint_t                      i, n, entries;
    ngx_http_apigw_version_zone_t  *ctx;

    ctx = helper->data;

    entries = 0;
    n = (ngx_uint_t) ctx->table.sets * NGX_APIGW_TALLY_WAYS;

    for (i = 0; i < n; i++) {
        entries += ctx->table.pairs[i].tag != 0
                   && (ctx->table.pairs[i].value & NGX_APIGW_TALLY_DIRTY);
    }

    if (entries) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "api_version_zone \"%V\" ends: the latest calls of %ui "
                      "entries are lost, the store \"%V\" could not be "
                      "written", &ctx->backed.zone.name, entries,
                      &helper->directory);
    }
}


static ngx_int_t
ngx_http_apigw_version_run(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last)
{
    int                             rc;
    ngx_apigw_tally_flush_t        *flush;
    ngx_http_apigw_version_zone_t  *ctx;

    ctx = helper->data;
    flush = &ctx->flush;

    if (ngx_apigw_backed_open(&ctx->backed, log) != NGX_OK) {
        return NGX_ERROR;
    }

    if (flush->notes == NULL) {
        flush->notes = ngx_alloc(NGX_APIGW_TALLY_BATCH
                                 * sizeof(ngx_apigw_tally_note_t), log);
        if (flush->notes == NULL) {
            return NGX_ERROR;
        }
    }

    flush->store = ctx->backed.store;
    flush->directory = (char *) ctx->backed.helper.directory.data;
    flush->instance = ctx->backed.shared->instance;
    flush->table = &ctx->table;

    if (last && !ctx->last) {

        /* whatever this process was at, now all of the table counts */

        ctx->last = 1;
        flush->cursor = 0;
    }

    rc = ngx_http_apigw_version_step(ctx, last);

    (void) ngx_atomic_fetch_add(&ctx->sh->flushed, flush->written);
    flush->written = 0;

    ngx_apigw_backed_damaged(&ctx->backed, log, flush->damaged);
    flush->damaged = 0;

    if (rc == 0 || rc == EAGAIN) {
        return rc == 0 ? NGX_OK : NGX_AGAIN;
    }

    flush->cursor = 0;

    ngx_apigw_backed_error(&ctx->backed, log, "written", rc);

    return NGX_ERROR;
}


static int
ngx_http_apigw_version_step(ngx_http_apigw_version_zone_t *ctx,
    ngx_uint_t last)
{
    int  rc;

    if (!ctx->described && !last) {

        rc = ngx_apigw_store_write(ctx->backed.store,
                                   ngx_http_apigw_version_describe, ctx);

        if (rc != 0) {
            return rc;
        }

        ctx->described = 1;
    }

    rc = ngx_apigw_tally_flush(&ctx->flush, ngx_http_apigw_version_written,
                               ctx);

    if (rc != 0) {
        return rc;
    }

    ctx->sh->used = ctx->flush.used;

    return last ? 0 : ngx_http_apigw_version_tidy(ctx);
}


static void
ngx_http_apigw_version_written(void *data, const ngx_apigw_tally_note_t *note)
{
    ngx_http_apigw_version_zone_t *ctx = data;

    ngx_shmtx_lock(&ctx->backed.shpool->mutex);

    ngx_apigw_tally_written(&ctx->table, note);

    ngx_shmtx_unlock(&ctx->backed.shpool->mutex);
}


/* Which versions there are and when they end, for reports. */

static int
ngx_http_apigw_version_describe(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_http_apigw_version_zone_t *ctx = data;

    int                              rc;
    ngx_str_t                       *next;
    ngx_uint_t                       i, n;
    ngx_http_apigw_version_t       **version;
    ngx_apigw_tally_version_t        v;
    ngx_http_apigw_version_api_t   **api;

    rc = mdb_drop(txn, ngx_apigw_store_db(store, NGX_APIGW_TALLY_DB_VERSIONS),
                  0);

    api = ctx->conf->apis.elts;

    for (i = 0; rc == 0 && i < ctx->conf->apis.nelts; i++) {

        version = api[i]->versions.elts;

        for (n = 0; rc == 0 && n < api[i]->versions.nelts; n++) {

            ngx_memzero(&v, sizeof(ngx_apigw_tally_version_t));

            v.format = NGX_APIGW_TALLY_FORMAT;
            v.since = version[n]->since;
            v.deprecated = version[n]->deprecated;
            v.sunset = version[n]->sunset;

            if (version[n]->successor) {
                next = &version[n]->successor->label;

                v.successor = (uint32_t) next->len;
                ngx_memcpy(v.name, next->data, next->len);
            }

            rc = ngx_apigw_tally_put_version(store, txn, &api[i]->name,
                                             &version[n]->label, &v);
        }
    }

    return rc;
}


/* What need not be done at every flush. */

static int
ngx_http_apigw_version_tidy(ngx_http_apigw_version_zone_t *ctx)
{
    int     rc;
    time_t  now;

    now = ngx_time();

    if (now >= ctx->reaped && now < ctx->reaped + NGX_HTTP_APIGW_VERSION_REAP)
    {
        return 0;
    }

    if (now > ctx->retention) {
        rc = ngx_apigw_tally_reap(ctx->backed.store,
                                  (uint32_t) ((now - ctx->retention)
                                              / NGX_APIGW_TALLY_DAY));
        if (rc != 0) {
            return rc;
        }
    }

    ctx->reaped = now;

    ngx_apigw_backed_sweep(&ctx->backed, now);

    return 0;
}
