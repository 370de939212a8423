/*
 * Copyright (C) the apigw authors
 */


/*
 * A zone and its store.
 *
 * In the shared memory of a zone lie the counters; the cache of verified
 * tokens, which takes three quarters of the pages; and a slot for each issuer
 * with the text of its key set, which the helper writes and every worker
 * copies out and parses once a generation.  The zone's slab mutex, which
 * nginx's master releases when its holder dies, guards writing to the cache
 * (whoever finds it taken goes without) and the slots' texts; the most that is
 * done under it is to copy one key set.  A text that was being written when
 * its writer died has the length 0, and is fetched again.
 *
 * All of that is freed with the zone and survives a reload.  What survives a
 * restart and kill -9 of everything is in the store: revocations, which only
 * the command line writes, and the last good key set of each issuer.  Each
 * worker opens the store for itself and reads it without a lock.
 *
 * That the store had data is noted in the zone: if it is empty then, it was
 * lost, and what it revoked is not known.  Nothing is written to it by nginx
 * before somebody else has.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt_issuer.h"
#include "ngx_http_apigw_jwt_zone.h"


#define NGX_HTTP_APIGW_JWT_ZONE_PAGES  32
#define NGX_HTTP_APIGW_JWT_BUSY        20      /* milliseconds */
#define NGX_HTTP_APIGW_JWT_WATCH       200
#define NGX_HTTP_APIGW_JWT_IDLE        10000
#define NGX_HTTP_APIGW_JWT_TIDY        60      /* seconds */
#define NGX_HTTP_APIGW_JWT_REAP        256


static uint64_t ngx_http_apigw_jwt_now(void);
static int ngx_http_apigw_jwt_ask(ngx_http_apigw_jwt_zone_t *zone,
    const ngx_str_t *values, uint64_t *version, uint64_t *revocations,
    ngx_int_t *found);
static int ngx_http_apigw_jwt_look_up(ngx_apigw_store_t *store,
    const ngx_str_t *values, ngx_int_t *found);
static uint64_t ngx_http_apigw_jwt_revision(ngx_http_apigw_jwt_zone_t *zone,
    uint64_t version);
static int ngx_http_apigw_jwt_zone_open(ngx_http_apigw_jwt_zone_t *zone,
    char *directory);
static int ngx_http_apigw_jwt_zone_look(ngx_http_apigw_jwt_zone_t *zone,
    uint64_t *version);
static void ngx_http_apigw_jwt_zone_file(ngx_http_apigw_jwt_zone_t *zone);
static void ngx_http_apigw_jwt_zone_close(ngx_http_apigw_jwt_zone_t *zone);
static ngx_int_t ngx_http_apigw_jwt_zone_collect(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);
static ngx_int_t ngx_http_apigw_jwt_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_apigw_jwt_init_cache(
    ngx_http_apigw_jwt_zone_t *zone);
static void ngx_http_apigw_jwt_cleanup_zone(void *data);
static ngx_int_t ngx_http_apigw_jwt_help(ngx_apigw_helper_t *helper,
    ngx_log_t *log, ngx_uint_t last);
static ngx_int_t ngx_http_apigw_jwt_tidy(ngx_http_apigw_jwt_zone_t *zone,
    ngx_log_t *log);
static ngx_array_t *ngx_http_apigw_jwt_helpers(ngx_cycle_t *cycle);
static ngx_http_apigw_jwt_zone_t *ngx_http_apigw_jwt_zone_add(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones, ngx_str_t *name, ssize_t size);


#define ngx_http_apigw_jwt_verdict(name, verdict, help)                       \
    { name, help, NGX_APIGW_COUNTER,                                          \
      offsetof(ngx_http_apigw_jwt_shared_t,                                   \
               verdicts[NGX_HTTP_APIGW_JWT_##verdict]) }

#define ngx_http_apigw_jwt_counter(name, field, help)                         \
    { name, help, NGX_APIGW_COUNTER,                                          \
      offsetof(ngx_http_apigw_jwt_shared_t, field) }


static const ngx_apigw_metric_t  ngx_http_apigw_jwt_metrics[] = {
    ngx_http_apigw_jwt_verdict("accepted", OK,
                               "Requests with a valid token."),
    ngx_http_apigw_jwt_verdict("missing", MISSING,
                               "Requests without a token."),
    ngx_http_apigw_jwt_verdict("malformed", MALFORMED,
                               "Requests with what is not a signed token."),
    ngx_http_apigw_jwt_verdict("algorithm", ALGORITHM,
                               "Tokens of an algorithm not allowed."),
    ngx_http_apigw_jwt_verdict("issuer", ISSUER,
                               "Tokens of an unknown issuer."),
    ngx_http_apigw_jwt_verdict("key_unknown", KEY,
                               "Tokens signed by an unknown key."),
    ngx_http_apigw_jwt_verdict("signature", SIGNATURE,
                               "Tokens with a wrong signature."),
    ngx_http_apigw_jwt_verdict("expired", EXPIRED,
                               "Tokens that are over."),
    ngx_http_apigw_jwt_verdict("early", EARLY,
                               "Tokens that are not valid yet."),
    ngx_http_apigw_jwt_verdict("type", TYPE,
                               "Tokens of another type."),
    ngx_http_apigw_jwt_verdict("audience", AUDIENCE,
                               "Tokens for another audience."),
    ngx_http_apigw_jwt_verdict("scope", SCOPE,
                               "Tokens that lack a scope."),
    ngx_http_apigw_jwt_verdict("claim", CLAIM,
                               "Tokens that lack what is required."),
    ngx_http_apigw_jwt_verdict("revoked", REVOKED,
                               "Revoked tokens."),
    ngx_http_apigw_jwt_verdict("unavailable", UNAVAILABLE,
                               "Requests refused as keys or revocations "
                               "could not be read."),
    ngx_http_apigw_jwt_counter("cache_hits", hits,
                               "Tokens that had been verified before."),
    ngx_http_apigw_jwt_counter("cache_misses", misses,
                               "Tokens that had not."),
    ngx_http_apigw_jwt_counter("cache_stored", stored,
                               "Tokens that were kept in the cache."),
    ngx_http_apigw_jwt_counter("cache_evicted", evicted,
                               "Valid tokens that had to leave it."),
    ngx_http_apigw_jwt_counter("cache_oversized", oversized,
                               "Tokens whose claims were too large for it."),
    ngx_http_apigw_jwt_counter("fetches", fetches,
                               "Key sets that were fetched."),
    ngx_http_apigw_jwt_counter("fetch_errors", fetch_errors,
                               "Key sets that could not be fetched."),
    ngx_http_apigw_jwt_counter("fetch_requests", unknown_kids,
                               "Times that an unknown key asked for a fetch."),
    ngx_http_apigw_jwt_counter("helper_runs", guard.runs,
                               "Times that the helper has worked."),
    ngx_http_apigw_jwt_counter("helper_errors", guard.errors,
                               "Times that it has failed."),

    ngx_apigw_metric_end
};


void
ngx_http_apigw_jwt_zone_count(ngx_http_apigw_jwt_zone_t *zone,
    ngx_http_apigw_jwt_verdict_e verdict)
{
    if (zone) {
        (void) ngx_atomic_fetch_add(&zone->sh->verdicts[verdict], 1);
    }
}


uint64_t
ngx_http_apigw_jwt_zone_digest(ngx_http_apigw_jwt_zone_t *zone,
    const u_char *data, size_t len)
{
    ngx_apigw_hash_t  hash;

    ngx_apigw_hash(&hash, &zone->sh->secret, data, len);

    return hash.h[0];
}


static uint64_t
ngx_http_apigw_jwt_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


ngx_int_t
ngx_http_apigw_jwt_cache_get(ngx_http_apigw_jwt_zone_t *zone, ngx_log_t *log,
    const ngx_str_t *token, ngx_apigw_token_id_t *id,
    ngx_apigw_token_entry_t *entry)
{
    uint64_t   revision;
    ngx_int_t  rc;
    ngx_str_t  values[NGX_HTTP_APIGW_JWT_VALUES];

    /* what another configuration has found is not for this one */

    id->policy ^= zone->epoch;

    ngx_apigw_token_cache_hash(zone->sh->cache, id, token);

    rc = ngx_apigw_token_cache_get(zone->sh->cache, id,
                                   ngx_http_apigw_jwt_now(), entry);

    if (rc != NGX_OK) {
        (void) ngx_atomic_fetch_add(&zone->sh->misses, 1);
        return NGX_DECLINED;
    }

    (void) ngx_atomic_fetch_add(&zone->sh->hits, 1);

    if (entry->verdict != NGX_HTTP_APIGW_JWT_OK
        || zone->helper.directory.len == 0)
    {
        return NGX_OK;
    }

    /* the store is looked at once a second, before it is asked */

    if (zone->checked == ngx_time()
        && zone->store
        && entry->revision
           == ngx_http_apigw_jwt_revision(zone,
                                       ngx_apigw_store_version(zone->store)))
    {
        return NGX_OK;
    }

    if (ngx_apigw_token_peek(entry->data, entry->len, values,
                             NGX_HTTP_APIGW_JWT_VALUES)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    rc = ngx_http_apigw_jwt_revoked(zone, log, values, &revision);

    if (rc == NGX_OK) {

        if (entry->revision != revision) {
            entry->revision = revision;
            ngx_http_apigw_jwt_cache_put(zone, id, entry);
        }

    } else {
        entry->verdict = rc == NGX_DECLINED ? NGX_HTTP_APIGW_JWT_REVOKED
                                            : NGX_HTTP_APIGW_JWT_UNAVAILABLE;
    }

    return NGX_OK;
}


void
ngx_http_apigw_jwt_cache_put(ngx_http_apigw_jwt_zone_t *zone,
    const ngx_apigw_token_id_t *id, ngx_apigw_token_entry_t *entry)
{
    uint64_t  now;

    now = ngx_http_apigw_jwt_now();

    switch (entry->verdict) {

    case NGX_HTTP_APIGW_JWT_OK:

        /* no request waits for another one: the next one is kept */

        if (ngx_shmtx_trylock(&zone->shpool->mutex)) {
            (void) ngx_apigw_token_cache_put(zone->sh->cache, id, now, entry);
            ngx_shmtx_unlock(&zone->shpool->mutex);
        }

        return;

    case NGX_HTTP_APIGW_JWT_KEY:
    case NGX_HTTP_APIGW_JWT_REVOKED:
    case NGX_HTTP_APIGW_JWT_UNAVAILABLE:
        return;

    default:
        ngx_apigw_token_cache_refuse(zone->sh->cache, id, now,
                                     entry->verdict);
    }
}


/*
 * A version of the store that had no revocations is remembered; without any
 * a token costs nothing but a look at the version.
 */

ngx_int_t
ngx_http_apigw_jwt_revoked(ngx_http_apigw_jwt_zone_t *zone, ngx_log_t *log,
    const ngx_str_t values[NGX_HTTP_APIGW_JWT_VALUES], uint64_t *revision)
{
    int                 rc;
    uint64_t            n, version;
    ngx_int_t           found;
    ngx_uint_t          i;
    ngx_apigw_store_t  *store;

    *revision = 0;

    if (zone == NULL || zone->helper.directory.len == 0) {
        return NGX_OK;
    }

    store = ngx_http_apigw_jwt_zone_store(zone, log);

    if (store == NULL) {
        return NGX_ERROR;
    }

    if (zone->revocations == 0
        && zone->version == ngx_apigw_store_version(store))
    {
        *revision = ngx_http_apigw_jwt_revision(zone, zone->version);
        return NGX_OK;
    }

    rc = EAGAIN;
    n = 0;
    version = 0;
    found = NGX_OK;

    for (i = 0; i < NGX_APIGW_STORE_LOOKS && rc == EAGAIN; i++) {
        rc = ngx_http_apigw_jwt_ask(zone, values, &version, &n, &found);
    }

    if (rc == NGX_APIGW_STORE_EEMPTY) {
        zone->revocations = 0;
        zone->version = 0;

        return NGX_OK;
    }

    if (rc != 0) {
        ngx_http_apigw_jwt_zone_store_error(zone, log, "read",
                                            rc == EAGAIN
                                            ? NGX_APIGW_STORE_EMOVED : rc);
        return NGX_ERROR;
    }

    *revision = ngx_http_apigw_jwt_revision(zone, version);

    zone->version = version;
    zone->revocations = n;

    return found;
}


/* What is found is believed if the store still is what it was. */

static int
ngx_http_apigw_jwt_ask(ngx_http_apigw_jwt_zone_t *zone,
    const ngx_str_t *values, uint64_t *version, uint64_t *revocations,
    ngx_int_t *found)
{
    int  rc;

    rc = ngx_http_apigw_jwt_zone_look(zone, version);

    if (rc != 0) {
        return rc;
    }

    *found = NGX_OK;
    *revocations = ngx_apigw_jwt_store_count(zone->store);

    if (*revocations) {
        rc = ngx_http_apigw_jwt_look_up(zone->store, values, found);
    }

    /* in a file that was cut short there may seem to be nothing */

    if (*found != NGX_DECLINED && ngx_apigw_store_whole(zone->store) != 0) {
        rc = NGX_APIGW_STORE_ESHORT;
    }

    return (ngx_apigw_store_look_end(zone->store) == 0) ? rc : EAGAIN;
}


static int
ngx_http_apigw_jwt_look_up(ngx_apigw_store_t *store, const ngx_str_t *values,
    ngx_int_t *found)
{
    int                          rc;
    ngx_uint_t                   i;
    ngx_apigw_jwt_revocation_t   revocation;

    static const ngx_apigw_jwt_by_e  by[NGX_HTTP_APIGW_JWT_VALUES] = {
        NGX_APIGW_JWT_BY_JTI,
        NGX_APIGW_JWT_BY_SUB,
        NGX_APIGW_JWT_BY_KID
    };

    for (i = 0; i < NGX_HTTP_APIGW_JWT_VALUES; i++) {

        if (values[i].len == 0) {
            continue;
        }

        rc = ngx_apigw_jwt_store_find(store, by[i], &values[i], &revocation);

        if (rc == MDB_NOTFOUND) {
            continue;
        }

        if (rc != 0) {
            return rc;
        }

        if (revocation.until == 0
            || (uint64_t) ngx_time() < revocation.until)
        {
            *found = NGX_DECLINED;
            break;
        }
    }

    return 0;
}


/*
 * What one process has found in a file says nothing of another file, nor of
 * one that had to be opened again, by whichever process.
 */

static uint64_t
ngx_http_apigw_jwt_revision(ngx_http_apigw_jwt_zone_t *zone, uint64_t version)
{
    uint64_t                     opened;
    ngx_apigw_hash_t             hash;
    ngx_http_apigw_jwt_state_t  *state;

    ngx_http_apigw_jwt_zone_file(zone);

    state = &zone->state;
    opened = zone->sh->opened;

    if (state->revision && state->opened == opened
        && state->version == version)
    {
        return state->revision;
    }

    state->opened = opened;
    state->version = version;

    ngx_apigw_hash(&hash, &zone->sh->secret, (u_char *) state,
                   offsetof(ngx_http_apigw_jwt_state_t, revision));

    state->revision = hash.h[0] ? hash.h[0] : 1;

    return state->revision;
}


ngx_apigw_store_t *
ngx_http_apigw_jwt_zone_store(ngx_http_apigw_jwt_zone_t *zone, ngx_log_t *log)
{
    int        rc;
    char      *directory;
    uint64_t   version;

    if (zone->helper.directory.len == 0) {
        return NULL;
    }

    if (zone->checked == ngx_time()) {

        if (zone->store) {
            ngx_http_apigw_jwt_zone_file(zone);
        }

        return zone->store;
    }

    zone->checked = ngx_time();
    directory = (char *) zone->helper.directory.data;

    if (zone->store && ngx_apigw_store_check(zone->store) != 0) {

        /* it was replaced: what is open now is nobody's any more */

        ngx_http_apigw_jwt_zone_close(zone);
    }

    if (zone->store == NULL) {
        rc = ngx_http_apigw_jwt_zone_open(zone, directory);

        if (rc != 0) {
            ngx_http_apigw_jwt_zone_store_error(zone, log, "opened", rc);
            return NULL;
        }
    }

    rc = ngx_http_apigw_jwt_zone_look(zone, &version);

    if (rc == 0) {
        (void) ngx_apigw_store_look_end(zone->store);

    } else if (rc != NGX_APIGW_STORE_EEMPTY && rc != EAGAIN) {
        ngx_http_apigw_jwt_zone_store_error(zone, log, "read", rc);
        return NULL;
    }

    if (zone->failed) {
        zone->failed = 0;

        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "auth_jwt_zone \"%V\": the store \"%V\" is readable "
                      "again", &zone->zone.name, &zone->helper.directory);
    }

    return zone->store;
}


static int
ngx_http_apigw_jwt_zone_open(ngx_http_apigw_jwt_zone_t *zone, char *directory)
{
    int  rc;

    rc = ngx_apigw_store_open(&zone->store, directory,
                              &ngx_apigw_jwt_store_kind);

    if (rc != 0) {
        zone->store = NULL;
        return rc;
    }

    ngx_apigw_store_hurry(zone->store);
    ngx_http_apigw_jwt_zone_file(zone);

    return 0;
}


/* Nothing is known of a file that was opened since. */

static void
ngx_http_apigw_jwt_zone_file(ngx_http_apigw_jwt_zone_t *zone)
{
    dev_t       device;
    ino_t       inode;
    ngx_uint_t  opened;

    opened = ngx_apigw_store_opened(zone->store);

    if (opened == zone->opened) {
        return;
    }

    ngx_apigw_store_file(zone->store, &device, &inode);

    zone->opened = opened;
    zone->revocations = 1;
    zone->state.device = device;
    zone->state.inode = inode;
    zone->state.revision = 0;

    (void) ngx_atomic_fetch_add(&zone->sh->opened, 1);
}


/* A store may be empty as long as it has never had data. */

static int
ngx_http_apigw_jwt_zone_look(ngx_http_apigw_jwt_zone_t *zone,
    uint64_t *version)
{
    int  rc;

    rc = ngx_apigw_store_look(zone->store, version);

    ngx_http_apigw_jwt_zone_file(zone);

    if (rc == 0 && !zone->sh->known) {
        zone->sh->known = 1;
    }

    if (rc == NGX_APIGW_STORE_EEMPTY && zone->sh->known) {
        rc = NGX_APIGW_JWT_STORE_ELOST;
    }

    return rc;
}


void
ngx_http_apigw_jwt_zone_store_error(ngx_http_apigw_jwt_zone_t *zone,
    ngx_log_t *log, const char *what, int rc)
{
    zone->failed = 1;

    if (ngx_apigw_log_due(&zone->sh->store_failed)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth_jwt_zone \"%V\": the store \"%V\" cannot be %s: "
                      "%s", &zone->zone.name, &zone->helper.directory, what,
                      ngx_apigw_jwt_store_strerror(rc));
    }

    /* begin anew in the next second */

    ngx_http_apigw_jwt_zone_close(zone);
}


static void
ngx_http_apigw_jwt_zone_close(ngx_http_apigw_jwt_zone_t *zone)
{
    if (zone->store) {
        ngx_apigw_store_close(zone->store);
        zone->store = NULL;
        zone->opened = 0;
    }
}


static ngx_int_t
ngx_http_apigw_jwt_zone_collect(ngx_apigw_zone_t *zone, ngx_apigw_emit_pt emit,
    void *data)
{
    ngx_apigw_token_stat_t        stat;
    ngx_http_apigw_jwt_shared_t  *sh;

    sh = ((ngx_http_apigw_jwt_zone_t *) zone)->sh;

    ngx_apigw_token_cache_stat(sh->cache, &stat);

    sh->stored = stat.stored;
    sh->evicted = stat.evicted;
    sh->oversized = stat.oversized;

    return ngx_apigw_zone_emit(zone, ngx_http_apigw_jwt_metrics, sh, emit,
                               data);
}


static ngx_int_t
ngx_http_apigw_jwt_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_apigw_jwt_zone_t  *zone, *ozone;

    zone = shm_zone->data;
    ozone = data;

    if (ozone) {

        if (ngx_apigw_helper_keep(&zone->helper, &ozone->helper,
                                  "auth_jwt_zone", &shm_zone->shm.name,
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

    if (ngx_apigw_zone_log_ctx(shm_zone, "auth_jwt_zone") != NGX_OK) {
        return NGX_ERROR;
    }

    zone->sh = ngx_slab_calloc(zone->shpool,
                               sizeof(ngx_http_apigw_jwt_shared_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    if (ngx_apigw_hash_new_key(&zone->sh->secret) != NGX_OK
        || ngx_http_apigw_jwt_init_cache(zone) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                      "auth_jwt_zone \"%V\" cannot be initialized",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    /* a key set without room is reported with its issuer */

    zone->shpool->log_nomem = 0;
    zone->shpool->data = zone->sh;
    zone->helper.guard = &zone->sh->guard;

    return NGX_OK;
}


/* The rest is for key sets. */

static ngx_int_t
ngx_http_apigw_jwt_init_cache(ngx_http_apigw_jwt_zone_t *zone)
{
    void    *memory;
    size_t   size;

    size = zone->shpool->pfree * 3 / 4 * ngx_pagesize;

    memory = ngx_slab_calloc(zone->shpool, size);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    zone->sh->cache = ngx_apigw_token_cache_create(memory, size);

    return zone->sh->cache ? NGX_OK : NGX_ERROR;
}


/* The end of a worker, or of a cycle with "master_process off". */

static void
ngx_http_apigw_jwt_cleanup_zone(void *data)
{
    ngx_http_apigw_jwt_zone_t  *zone = data;

    ngx_http_apigw_jwt_issuers_cleanup(zone);
    ngx_http_apigw_jwt_zone_close(zone);
}


/*
 * All is saved as soon as it is known, so nothing is left for the last time.
 * While something is fetched the helper comes back soon; in a process that
 * serves requests as well it does not wait for the network at all.
 */

static ngx_int_t
ngx_http_apigw_jwt_help(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last)
{
    ngx_int_t                   rc;
    ngx_http_apigw_jwt_zone_t  *zone;

    zone = helper->data;

    if (last) {
        return NGX_OK;
    }

    rc = ngx_http_apigw_jwt_issuers_step(zone, log);

    if (rc == NGX_AGAIN) {
        helper->interval = NGX_HTTP_APIGW_JWT_BUSY;
        return NGX_OK;
    }

    helper->interval = zone->issuers.nelts ? NGX_HTTP_APIGW_JWT_WATCH
                                           : NGX_HTTP_APIGW_JWT_IDLE;

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_apigw_jwt_tidy(zone, log);
}


static ngx_int_t
ngx_http_apigw_jwt_tidy(ngx_http_apigw_jwt_zone_t *zone, ngx_log_t *log)
{
    int                 rc;
    time_t              now;
    ngx_uint_t          n;
    ngx_apigw_store_t  *store;

    now = ngx_time();

    if (zone->helper.directory.len == 0
        || (now >= zone->tidied
            && now < zone->tidied + NGX_HTTP_APIGW_JWT_TIDY))
    {
        return NGX_OK;
    }

    store = ngx_http_apigw_jwt_zone_store(zone, log);

    if (store == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_apigw_store_check_readers(store);

    rc = ngx_apigw_jwt_store_reap(store, now, NGX_HTTP_APIGW_JWT_REAP, &n);

    if (rc != 0) {
        ngx_http_apigw_jwt_zone_store_error(zone, log, "written", rc);
        return NGX_ERROR;
    }

    if (n == NGX_HTTP_APIGW_JWT_REAP) {
        return NGX_AGAIN;
    }

    zone->tidied = now;

    return NGX_OK;
}


static ngx_array_t *
ngx_http_apigw_jwt_helpers(ngx_cycle_t *cycle)
{
    ngx_http_apigw_jwt_zones_t  *zones;

    zones = ngx_http_cycle_get_module_main_conf(cycle,
                                                ngx_http_apigw_jwt_module);

    return zones ? &zones->helpers : NULL;
}


ngx_int_t
ngx_http_apigw_jwt_zones_init_module(ngx_cycle_t *cycle)
{
    return ngx_apigw_helper_init_module(cycle, ngx_http_apigw_jwt_helpers);
}


ngx_int_t
ngx_http_apigw_jwt_zones_init_process(ngx_cycle_t *cycle)
{
    return ngx_apigw_helper_init_process(cycle, ngx_http_apigw_jwt_helpers);
}


ngx_int_t
ngx_http_apigw_jwt_zones_create(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones)
{
    if (ngx_array_init(&zones->zones, cf->pool, 1,
                       sizeof(ngx_http_apigw_jwt_zone_t *))
        != NGX_OK
        || ngx_array_init(&zones->issuers, cf->pool, 2,
                          sizeof(ngx_http_apigw_jwt_issuer_t *))
           != NGX_OK
        || ngx_array_init(&zones->helpers, cf->pool, 1,
                          sizeof(ngx_apigw_helper_t *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_jwt_zones_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones)
{
    return ngx_http_apigw_jwt_issuers_init(cf, zones);
}


ngx_http_apigw_jwt_zone_t *
ngx_http_apigw_jwt_zone_get(ngx_http_apigw_jwt_zones_t *zones,
    const ngx_str_t *name)
{
    ngx_uint_t                   i;
    ngx_http_apigw_jwt_zone_t  **zone;

    zone = zones->zones.elts;

    for (i = 0; i < zones->zones.nelts; i++) {

        if (zone[i]->zone.name.len == name->len
            && ngx_memcmp(zone[i]->zone.name.data, name->data, name->len) == 0)
        {
            return zone[i];
        }
    }

    return NULL;
}


char *
ngx_http_apigw_jwt_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_zones_t  *zones = conf;

    ssize_t                     size;
    ngx_str_t                  *value, name, store, s;
    ngx_uint_t                  i;
    ngx_apigw_helper_t        **helper;
    ngx_http_apigw_jwt_zone_t  *zone;

    value = cf->args->elts;

    size = 0;
    ngx_str_null(&name);
    ngx_str_null(&store);

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0 && name.len == 0) {

            s.data = value[i].data + 5;
            s.len = value[i].len - 5;

            if (ngx_apigw_zone_parse(cf, &s, &name, &size) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            if (size < (ssize_t) (NGX_HTTP_APIGW_JWT_ZONE_PAGES
                                  * ngx_pagesize))
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "zone \"%V\" is too small, the least is "
                                   "%uzk", &s, NGX_HTTP_APIGW_JWT_ZONE_PAGES
                                               * ngx_pagesize / 1024);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "store=", 6) == 0
            && value[i].len > 6 && store.len == 0)
        {
            store.data = value[i].data + 6;
            store.len = value[i].len - 6;

            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    zone = ngx_http_apigw_jwt_zone_add(cf, zones, &name, size);
    helper = ngx_array_push(&zones->helpers);

    if (zone == NULL || helper == NULL) {
        return NGX_CONF_ERROR;
    }

    *helper = &zone->helper;

    ngx_str_set(&zone->helper.name, "jwt");
    zone->helper.directory = store;
    zone->helper.interval = NGX_HTTP_APIGW_JWT_IDLE;
    zone->helper.run = ngx_http_apigw_jwt_help;
    zone->helper.data = zone;

    if (ngx_apigw_helper_add(cf, &zone->helper) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_http_apigw_jwt_zone_t *
ngx_http_apigw_jwt_zone_add(ngx_conf_t *cf, ngx_http_apigw_jwt_zones_t *zones,
    ngx_str_t *name, ssize_t size)
{
    ngx_shm_zone_t              *shm_zone;
    ngx_pool_cleanup_t          *cln;
    ngx_apigw_hash_key_t         random;
    ngx_http_apigw_jwt_zone_t   *zone, **zp;

    shm_zone = ngx_shared_memory_add(cf, name, size,
                                     &ngx_http_apigw_jwt_module);
    if (shm_zone == NULL) {
        return NULL;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate zone \"%V\"",
                           name);
        return NULL;
    }

    if (ngx_apigw_hash_new_key(&random) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "getrandom() failed");
        return NULL;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_zone_t));
    zp = ngx_array_push(&zones->zones);
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (zone == NULL
        || zp == NULL
        || cln == NULL
        || ngx_array_init(&zone->issuers, cf->pool, 2,
                          sizeof(ngx_http_apigw_jwt_issuer_t *))
           != NGX_OK)
    {
        return NULL;
    }

    *zp = zone;

    ngx_apigw_zone_init(&zone->zone, "jwt", name,
                        ngx_http_apigw_jwt_zone_collect);

    zone->epoch = random.k[0];

    cln->handler = ngx_http_apigw_jwt_cleanup_zone;
    cln->data = zone;

    shm_zone->init = ngx_http_apigw_jwt_init_zone;
    shm_zone->data = zone;

    return zone;
}
