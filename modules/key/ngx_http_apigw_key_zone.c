/*
 * Copyright (C) the apigw authors
 */


/*
 * A zone and its store.
 *
 * In the shared memory of a zone lie the counters, what the helper has to
 * know about its predecessor, and the table of uses (ngx_apigw_key_uses.h),
 * which takes all the room that there is.  It is freed with the zone, survives
 * a reload, and starts empty after a restart.
 *
 * The keys themselves are in the store only.  Each worker opens it for itself
 * at its first look-up, since LMDB must not be carried over a fork, and reads
 * it without a lock, so kill -9 of any process leaves nothing half done; the
 * slot of a killed reader is freed by the helper.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_key.h"


#define NGX_HTTP_APIGW_KEY_FLUSH      10000
#define NGX_HTTP_APIGW_KEY_FLUSH_MAX  3600000
#define NGX_HTTP_APIGW_KEY_SWEEP      10


typedef struct {
    ngx_uint_t                   n;
    ngx_apigw_key_use_copy_t     copies[NGX_APIGW_KEY_USES_BATCH];
} ngx_http_apigw_key_batch_t;


static void ngx_http_apigw_key_count_use(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone, ngx_apigw_key_entry_t *entry);
static ngx_int_t ngx_http_apigw_key_collect(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);
static ngx_int_t ngx_http_apigw_key_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_apigw_key_init_uses(ngx_http_apigw_key_zone_t *zone);
static void ngx_http_apigw_key_cleanup_zone(void *data);
static ngx_int_t ngx_http_apigw_key_help(ngx_apigw_helper_t *helper,
    ngx_log_t *log, ngx_uint_t last);
static void ngx_http_apigw_key_sweep(ngx_http_apigw_key_zone_t *zone);
static ngx_int_t ngx_http_apigw_key_flush(ngx_http_apigw_key_zone_t *zone,
    ngx_log_t *log, ngx_http_apigw_key_batch_t *batch);
static void ngx_http_apigw_key_end_flush(ngx_http_apigw_key_zone_t *zone);
static void ngx_http_apigw_key_fill_batch(ngx_http_apigw_key_zone_t *zone,
    ngx_http_apigw_key_batch_t *batch);
static int ngx_http_apigw_key_open_used(ngx_http_apigw_key_zone_t *zone);
static ngx_int_t ngx_http_apigw_key_zone_prefix(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static char *ngx_http_apigw_key_add_zone(ngx_conf_t *cf,
    ngx_http_apigw_key_main_conf_t *kmcf, ngx_http_apigw_key_zone_t *zone);


#define ngx_http_apigw_key_metric(name, verdict, help)                        \
    { name, help, NGX_APIGW_COUNTER,                                          \
      offsetof(ngx_http_apigw_key_shared_t,                                   \
               verdicts[NGX_HTTP_APIGW_KEY_##verdict]) }


static const ngx_apigw_metric_t  ngx_http_apigw_key_metrics[] = {
    ngx_http_apigw_key_metric("accepted", OK,
                              "Requests with a valid key."),
    ngx_http_apigw_key_metric("missing", MISSING,
                              "Requests without a key."),
    ngx_http_apigw_key_metric("malformed", MALFORMED,
                              "Requests with what cannot be a key."),
    ngx_http_apigw_key_metric("conflict", CONFLICT,
                              "Requests with two different keys."),
    ngx_http_apigw_key_metric("unknown", UNKNOWN,
                              "Requests with an unknown key."),
    ngx_http_apigw_key_metric("decoy", DECOY,
                              "Requests with a decoy key."),
    ngx_http_apigw_key_metric("disabled", DISABLED,
                              "Requests with a disabled key."),
    ngx_http_apigw_key_metric("early", EARLY,
                              "Requests with a key that is not valid yet."),
    ngx_http_apigw_key_metric("expired", EXPIRED,
                              "Requests with an expired key."),
    ngx_http_apigw_key_metric("address", ADDRESS,
                              "Requests from an address not allowed."),
    ngx_http_apigw_key_metric("scope", SCOPE,
                              "Requests with a key that lacks a scope."),
    ngx_http_apigw_key_metric("unavailable", UNAVAILABLE,
                              "Requests refused as keys could not be read."),
    { "uncounted", "Uses of keys that had no place in the zone.",
      NGX_APIGW_COUNTER, offsetof(ngx_http_apigw_key_shared_t, uncounted) },

    { "flushes", "Times that the uses of keys were written to the store.",
      NGX_APIGW_COUNTER, offsetof(ngx_http_apigw_key_shared_t, guard.runs) },

    { "flush_errors", "Times that they could not be written.",
      NGX_APIGW_COUNTER, offsetof(ngx_http_apigw_key_shared_t, guard.errors) },

    ngx_apigw_metric_end
};


#define ngx_http_apigw_key_zone_offset(field)                                 \
    offsetof(ngx_http_apigw_key_zone_t, field)


static const ngx_apigw_word_t  ngx_http_apigw_key_zone_words[] = {

    { ngx_string("zone="), ngx_apigw_word_zone,
      ngx_http_apigw_key_zone_offset(declared), 0, 0, 1 },

    { ngx_string("store="), ngx_apigw_word_text,
      ngx_http_apigw_key_zone_offset(helper.directory), 1, 0, 1 },

    { ngx_string("prefix="), ngx_http_apigw_key_zone_prefix,
      ngx_http_apigw_key_zone_offset(prefix), 0, 0, 0 },

    { ngx_string("flush="), ngx_apigw_word_msec,
      ngx_http_apigw_key_zone_offset(helper.interval),
      1, NGX_HTTP_APIGW_KEY_FLUSH_MAX, 0 },

    ngx_apigw_word_end
};


/* Opens the store if need be; looks once a second whether it is still it. */

ngx_apigw_key_cache_t *
ngx_http_apigw_key_get_cache(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone)
{
    int     rc;
    char   *directory;
    time_t  now;

    now = ngx_time();

    if (zone->checked == now) {
        return zone->cache;
    }

    zone->checked = now;
    directory = (char *) zone->helper.directory.data;

    if (zone->cache) {
        rc = ngx_apigw_key_cache_check(zone->cache);

        if (rc == 0) {
            return zone->cache;
        }

        ngx_apigw_key_cache_close(zone->cache);
        zone->cache = NULL;
    }

    rc = ngx_apigw_key_cache_open(&zone->cache, directory);

    if (rc != 0) {
        zone->cache = NULL;
        ngx_http_apigw_key_store_error(r, zone, rc);
        return NULL;
    }

    if (zone->failed) {
        zone->failed = 0;

        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                      "the store of keys \"%V\" is readable again",
                      &zone->helper.directory);
    }

    return zone->cache;
}


void
ngx_http_apigw_key_store_error(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone, int rc)
{
    zone->failed = 1;

    if (ngx_apigw_log_due(&zone->sh->read_failed)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "cannot read the store of keys \"%V\": %s",
                      &zone->helper.directory,
                      ngx_apigw_key_cache_strerror(rc));
    }

    if (zone->cache == NULL
        || rc == NGX_APIGW_KEY_STORE_EBROKEN
        || rc == NGX_APIGW_KEY_STORE_ELATER
        || rc == MDB_CORRUPTED)
    {
        return;
    }

    /* begin anew in the next second */

    ngx_apigw_key_cache_close(zone->cache);
    zone->cache = NULL;
}


void
ngx_http_apigw_key_count(ngx_http_request_t *r, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_verdict_e verdict)
{
    if (ctx->counted) {
        return;
    }

    ctx->counted = 1;

    (void) ngx_atomic_fetch_add(&ctx->zone->sh->verdicts[verdict], 1);

    if (verdict == NGX_HTTP_APIGW_KEY_OK) {
        ngx_http_apigw_key_count_use(r, ctx->zone, ctx->entry);
    }
}


static void
ngx_http_apigw_key_count_use(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone, ngx_apigw_key_entry_t *entry)
{
    time_t                 now;
    ngx_int_t              rc;
    ngx_apigw_key_uses_t  *uses;

    now = ngx_time();
    uses = &zone->sh->uses;

    if (entry->hash.h[0] == 0) {
        ngx_apigw_key_uses_hash(uses, &entry->hash, &entry->record.id);
    }

    if (ngx_apigw_key_uses_add(uses, &entry->hash, &entry->slot, now)
        == NGX_OK)
    {
        return;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    rc = ngx_apigw_key_uses_insert(uses, &entry->hash, &entry->record.id,
                                   &entry->slot, now);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc != NGX_OK) {
        (void) ngx_atomic_fetch_add(&zone->sh->uncounted, 1);
    }
}


static ngx_int_t
ngx_http_apigw_key_collect(ngx_apigw_zone_t *zone, ngx_apigw_emit_pt emit,
    void *data)
{
    ngx_http_apigw_key_zone_t  *kz = (ngx_http_apigw_key_zone_t *) zone;

    return ngx_apigw_zone_emit(zone, ngx_http_apigw_key_metrics, kz->sh, emit,
                               data);
}


static ngx_int_t
ngx_http_apigw_key_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_apigw_key_zone_t  *zone, *ozone;

    zone = shm_zone->data;
    ozone = data;

    if (ozone) {

        if (ngx_apigw_helper_keep(&zone->helper, &ozone->helper,
                                  "auth_api_key_zone", &shm_zone->shm.name,
                                  shm_zone->shm.log)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        zone->sh = ozone->sh;
        zone->shpool = ozone->shpool;

        return NGX_OK;
    }

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;
        zone->helper.guard = &zone->sh->guard;

        return NGX_OK;
    }

    if (ngx_apigw_zone_log_ctx(shm_zone, "auth_api_key_zone") != NGX_OK) {
        return NGX_ERROR;
    }

    zone->sh = ngx_slab_calloc(zone->shpool,
                               sizeof(ngx_http_apigw_key_shared_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;
    zone->helper.guard = &zone->sh->guard;

    if (ngx_http_apigw_key_init_uses(zone) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                      "auth_api_key_zone \"%V\" cannot be initialized",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* All the pages that are left. */

static ngx_int_t
ngx_http_apigw_key_init_uses(ngx_http_apigw_key_zone_t *zone)
{
    void    *memory;
    size_t   size;

    size = zone->shpool->pfree * ngx_pagesize;

    memory = ngx_slab_calloc(zone->shpool, size);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    return ngx_apigw_key_uses_init(&zone->sh->uses, memory, size);
}


/* The end of a worker, or of a cycle with "master_process off". */

static void
ngx_http_apigw_key_cleanup_zone(void *data)
{
    ngx_http_apigw_key_zone_t  *zone = data;

    if (zone->cache) {
        ngx_apigw_key_cache_close(zone->cache);
        zone->cache = NULL;
    }
}


/*
 * Writes what keys were used since the last time, a batch at a step, and
 * frees the slots of killed readers, so that the store does not fill up.
 */

static ngx_int_t
ngx_http_apigw_key_help(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last)
{
    ngx_uint_t                   pos;
    ngx_http_apigw_key_zone_t   *zone;
    ngx_http_apigw_key_batch_t   batch;

    zone = helper->data;

    if (!last && ngx_time() - zone->swept >= NGX_HTTP_APIGW_KEY_SWEEP) {
        zone->swept = ngx_time();
        ngx_http_apigw_key_sweep(zone);
    }

    batch.n = 0;
    pos = zone->pos;

    /* a store that nothing is to be written to is not made */

    if ((zone->sh->uses.pending
         || ngx_apigw_key_uses_next(&zone->sh->uses, &pos))
        && ngx_http_apigw_key_flush(zone, log, &batch) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (batch.n == NGX_APIGW_KEY_USES_BATCH) {
        return NGX_AGAIN;
    }

    ngx_http_apigw_key_end_flush(zone);

    return NGX_OK;
}


/* What is wrong with the store the workers tell. */

static void
ngx_http_apigw_key_sweep(ngx_http_apigw_key_zone_t *zone)
{
    ngx_apigw_key_cache_t  *cache;

    if (ngx_apigw_key_cache_open(&cache, (char *) zone->helper.directory.data)
        == 0)
    {
        (void) ngx_apigw_store_check_readers(cache->store);

        ngx_apigw_key_cache_close(cache);
    }
}


static ngx_int_t
ngx_http_apigw_key_flush(ngx_http_apigw_key_zone_t *zone, ngx_log_t *log,
    ngx_http_apigw_key_batch_t *batch)
{
    int  rc;

    rc = ngx_http_apigw_key_open_used(zone);

    if (rc == 0 && zone->sh->uses.pending) {
        rc = ngx_apigw_key_flush_recover(zone->used, &zone->sh->uses);
    }

    if (rc == 0) {
        ngx_http_apigw_key_fill_batch(zone, batch);

        if (batch->n) {
            rc = ngx_apigw_key_flush(zone->used, &zone->sh->uses,
                                     batch->copies, batch->n, ngx_time());
        }
    }

    if (rc == 0) {
        return NGX_OK;
    }

    if (ngx_apigw_log_due(&zone->sh->write_failed)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "cannot write the uses of keys to "
                      "\"%V/" NGX_APIGW_KEY_STORE_USED "\": %s",
                      &zone->helper.directory,
                      ngx_apigw_key_store_strerror(rc));
    }

    ngx_http_apigw_key_end_flush(zone);

    return NGX_ERROR;
}


static void
ngx_http_apigw_key_end_flush(ngx_http_apigw_key_zone_t *zone)
{
    zone->pos = 0;

    if (zone->used) {
        ngx_apigw_store_close(zone->used);
        zone->used = NULL;
    }
}


static void
ngx_http_apigw_key_fill_batch(ngx_http_apigw_key_zone_t *zone,
    ngx_http_apigw_key_batch_t *batch)
{
    ngx_apigw_key_uses_t  *uses;

    uses = &zone->sh->uses;

    for (batch->n = 0; batch->n < NGX_APIGW_KEY_USES_BATCH; zone->pos++) {

        if (!ngx_apigw_key_uses_next(uses, &zone->pos)) {
            return;
        }

        ngx_shmtx_lock(&zone->shpool->mutex);

        if (ngx_apigw_key_uses_copy(uses, zone->pos, &batch->copies[batch->n])
            == NGX_OK)
        {
            batch->n++;
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }
}


/* Root leaves the directory to the owner of the one it is in. */

static int
ngx_http_apigw_key_open_used(ngx_http_apigw_key_zone_t *zone)
{
    int           rc;
    u_char       *p;
    struct stat   sb;
    u_char        name[NGX_MAX_PATH];

    if (zone->used) {
        return 0;
    }

    p = ngx_snprintf(name, NGX_MAX_PATH - 1, "%V/" NGX_APIGW_KEY_STORE_USED,
                     &zone->helper.directory);
    *p = '\0';

    if (mkdir((char *) name, 0700) == -1) {

        if (errno != EEXIST) {
            return errno;
        }

    } else if (geteuid() == 0
               && (stat((char *) zone->helper.directory.data, &sb) == -1
                   || chown((char *) name, sb.st_uid, sb.st_gid) == -1))
    {
        return errno;
    }

    rc = ngx_apigw_store_open(&zone->used, (char *) name,
                              &ngx_apigw_key_used_kind);
    if (rc != 0) {
        zone->used = NULL;
        return rc;
    }

    ngx_apigw_store_hurry(zone->used);

    return 0;
}


char *
ngx_http_apigw_key_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_main_conf_t  *kmcf = conf;

    ngx_http_apigw_key_zone_t  *zone;

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_key_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_str_set(&zone->prefix, NGX_APIGW_KEY_PREFIX);
    zone->helper.interval = NGX_HTTP_APIGW_KEY_FLUSH;

    if (ngx_apigw_words(cf, 1, ngx_http_apigw_key_zone_words, zone)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_apigw_key_add_zone(cf, kmcf, zone);
}


static ngx_int_t
ngx_http_apigw_key_zone_prefix(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_key_zone_t *zone = base;

    if (ngx_apigw_key_check_prefix(value->data, value->len) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"prefix=%V\", a prefix has 2 "
                           "to 16 of letters, digits, \"-\" and \"_\", and "
                           "ends in \"-\" or \"_\"", value);
        return NGX_ERROR;
    }

    zone->prefix = *value;

    return NGX_OK;
}


static char *
ngx_http_apigw_key_add_zone(ngx_conf_t *cf,
    ngx_http_apigw_key_main_conf_t *kmcf, ngx_http_apigw_key_zone_t *zone)
{
    ngx_str_t            *name;
    ngx_shm_zone_t       *shm_zone;
    ngx_apigw_helper_t  **helper;
    ngx_pool_cleanup_t   *cln;

    name = &zone->declared.name;

    shm_zone = ngx_shared_memory_add(cf, name, zone->declared.size,
                                     &ngx_http_apigw_key_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate zone \"%V\"", name);
        return NGX_CONF_ERROR;
    }

    ngx_apigw_zone_init(&zone->zone, "key", name,
                        ngx_http_apigw_key_collect);

    ngx_str_set(&zone->helper.name, "key");
    zone->helper.run = ngx_http_apigw_key_help;
    zone->helper.data = zone;

    if (ngx_apigw_helper_add(cf, &zone->helper) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    helper = ngx_array_push(&kmcf->helpers);
    if (helper == NULL) {
        return NGX_CONF_ERROR;
    }

    *helper = &zone->helper;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_apigw_key_cleanup_zone;
    cln->data = zone;

    shm_zone->init = ngx_http_apigw_key_init_zone;
    shm_zone->data = zone;

    return NGX_CONF_OK;
}
