/*
 * Copyright (C) the apigw authors
 */


/*
 * The key sets of issuers.
 *
 * The helper fetches a set, parses it to see that it is one, and puts its text
 * into the issuer's slot of the zone, with a generation that is new in the
 * zone, and into the store.  A worker that sees another generation than its
 * own copies the text under the zone's mutex and parses it without.  A worker
 * that finds no set at all looks into the store once a second, so that after a
 * restart the first request need not wait for the helper.
 *
 * A slot belongs to an address, not to the name of a block.  It survives
 * reloads; one that no configuration has used for an hour may be given to
 * another issuer, so whoever uses a slot compares its id.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt_issuer.h"


#define NGX_HTTP_APIGW_JWT_FETCH_WAIT    100    /* milliseconds */
#define NGX_HTTP_APIGW_JWT_SLOT_IDLE     3600   /* seconds */
#define NGX_HTTP_APIGW_JWT_BACKOFF_MAX   600
#define NGX_HTTP_APIGW_JWT_PERIOD_MIN    60


static time_t ngx_http_apigw_jwt_issuer_end(
    ngx_http_apigw_jwt_issuer_t *issuer);
static time_t ngx_http_apigw_jwt_issuer_expires(
    ngx_http_apigw_jwt_issuer_t *issuer);
static ngx_http_apigw_jwt_keyset_t *ngx_http_apigw_jwt_keyset(
    ngx_http_apigw_jwt_issuer_t *issuer);
static ngx_http_apigw_jwt_keyset_t *ngx_http_apigw_jwt_keyset_slot(
    ngx_http_apigw_jwt_zone_t *zone, const u_char *id);
static ngx_uint_t ngx_http_apigw_jwt_keyset_is(
    const ngx_http_apigw_jwt_keyset_t *keyset, const u_char *id);
static void ngx_http_apigw_jwt_keyset_load(
    ngx_http_apigw_jwt_issuer_t *issuer, ngx_log_t *log);
static int ngx_http_apigw_jwt_keyset_read(ngx_http_apigw_jwt_issuer_t *issuer,
    ngx_apigw_store_t *store, ngx_apigw_jwt_saved_t *saved, u_char **text);
static ngx_int_t ngx_http_apigw_jwt_keyset_set(
    ngx_http_apigw_jwt_issuer_t *issuer, const ngx_apigw_jwt_saved_t *set,
    ngx_uint_t only_new, ngx_log_t *log);
static ngx_int_t ngx_http_apigw_jwt_keyset_write(
    ngx_http_apigw_jwt_zone_t *zone, ngx_http_apigw_jwt_keyset_t *keyset,
    const ngx_str_t *text);
static u_char *ngx_http_apigw_jwt_keyset_copy(
    ngx_http_apigw_jwt_issuer_t *issuer, size_t *len, uint64_t *generation);
static void ngx_http_apigw_jwt_issuer_parse(
    ngx_http_apigw_jwt_issuer_t *issuer, ngx_log_t *log);

static ngx_uint_t ngx_http_apigw_jwt_issuer_due(
    ngx_http_apigw_jwt_issuer_t *issuer);
static ngx_uint_t ngx_http_apigw_jwt_issuer_fetched_elsewhere(
    ngx_http_apigw_jwt_keyset_t *keyset);
static ngx_int_t ngx_http_apigw_jwt_issuer_start(
    ngx_http_apigw_jwt_issuer_t *issuer);
static ngx_int_t ngx_http_apigw_jwt_issuer_finish(
    ngx_http_apigw_jwt_issuer_t *issuer, ngx_log_t *log);
static ngx_int_t ngx_http_apigw_jwt_issuer_take(
    ngx_http_apigw_jwt_issuer_t *issuer, ngx_apigw_fetch_result_t *result,
    ngx_log_t *log);
static ngx_int_t ngx_http_apigw_jwt_issuer_save(
    ngx_http_apigw_jwt_issuer_t *issuer, const ngx_apigw_jwt_saved_t *set,
    ngx_log_t *log);
static void ngx_http_apigw_jwt_issuer_failed(
    ngx_http_apigw_jwt_issuer_t *issuer, const char *why, ngx_log_t *log);


ngx_http_apigw_jwt_issuer_t *
ngx_http_apigw_jwt_issuer_get(ngx_http_apigw_jwt_zones_t *zones,
    const ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    issuer = zones->issuers.elts;

    for (i = 0; i < zones->issuers.nelts; i++) {

        if (issuer[i]->name.len == name->len
            && ngx_memcmp(issuer[i]->name.data, name->data, name->len) == 0)
        {
            return issuer[i];
        }
    }

    return NULL;
}


ngx_http_apigw_jwt_issuer_t *
ngx_http_apigw_jwt_issuer_find(const ngx_array_t *issuers,
    const ngx_str_t *iss)
{
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    issuer = issuers->elts;

    for (i = 0; i < issuers->nelts; i++) {

        if (issuer[i]->url.len == iss->len
            && ngx_memcmp(issuer[i]->url.data, iss->data, iss->len) == 0)
        {
            return issuer[i];
        }
    }

    return NULL;
}


uint64_t
ngx_http_apigw_jwt_issuer_generation(ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_http_apigw_jwt_keyset_t  *keyset;

    keyset = ngx_http_apigw_jwt_keyset(issuer);

    if (keyset == NULL) {
        return 0;
    }

    if (keyset->generation == 0 || keyset->len == 0) {
        ngx_http_apigw_jwt_keyset_load(issuer, ngx_cycle->log);
    }

    return ngx_time() < ngx_http_apigw_jwt_issuer_end(issuer)
           ? keyset->generation : 0;
}


ngx_apigw_jwks_t *
ngx_http_apigw_jwt_issuer_keys(ngx_http_apigw_jwt_issuer_t *issuer,
    ngx_log_t *log)
{
    uint64_t                      generation;
    ngx_http_apigw_jwt_keyset_t  *keyset;

    generation = ngx_http_apigw_jwt_issuer_generation(issuer);
    keyset = issuer->keyset;

    if (keyset == NULL && ngx_apigw_log_due(&issuer->zone->sh->no_room)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth_jwt_zone \"%V\" has no room for one more issuer, "
                      "\"%V\"", &issuer->zone->zone.name, &issuer->name);
    }

    if (generation == 0) {

        if (keyset && ngx_apigw_log_due(&keyset->log_stale)) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "auth_jwt_issuer \"%V\": there are no keys%s",
                          &issuer->name, keyset->generation
                          ? " that are not older than \"stale\" allows" : "");
        }

        return NULL;
    }

    if (generation != issuer->generation) {
        ngx_http_apigw_jwt_issuer_parse(issuer, log);
    }

    return issuer->keys;
}


/* When the set may be used no longer. */

static time_t
ngx_http_apigw_jwt_issuer_end(ngx_http_apigw_jwt_issuer_t *issuer)
{
    return ngx_http_apigw_jwt_issuer_expires(issuer) + issuer->stale;
}


/*
 * When the set should be a new one.  It may have been fetched when "refresh"
 * was longer, or when the clock was ahead.
 */

static time_t
ngx_http_apigw_jwt_issuer_expires(ngx_http_apigw_jwt_issuer_t *issuer)
{
    time_t  now, fetched, expires;

    now = ngx_time();
    fetched = (time_t) issuer->keyset->fetched;
    expires = (time_t) issuer->keyset->expires;

    if (fetched > now) {
        return ngx_min(expires, now);
    }

    return ngx_min(expires, fetched + issuer->refresh);
}


time_t
ngx_http_apigw_jwt_issuer_unknown(ngx_http_apigw_jwt_issuer_t *issuer)
{
    time_t                        now, next;
    ngx_http_apigw_jwt_keyset_t  *keyset;

    keyset = ngx_http_apigw_jwt_keyset(issuer);

    if (keyset == NULL) {
        return issuer->cooldown;
    }

    /* not written at every request of a storm */

    if (keyset->wanted == 0) {
        keyset->wanted = 1;
        (void) ngx_atomic_fetch_add(&issuer->zone->sh->unknown_kids, 1);
    }

    now = ngx_time();
    next = (time_t) keyset->attempted + issuer->cooldown;

    if (keyset->worker || next < now || next - now > issuer->cooldown) {
        return 1;
    }

    return next - now + 1;
}


/* The slot of an issuer, which this process looks for once. */

static ngx_http_apigw_jwt_keyset_t *
ngx_http_apigw_jwt_keyset(ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_http_apigw_jwt_zone_t  *zone;

    if (issuer->keyset
        && ngx_http_apigw_jwt_keyset_is(issuer->keyset, issuer->id))
    {
        return issuer->keyset;
    }

    zone = issuer->zone;

    ngx_shmtx_lock(&zone->shpool->mutex);

    issuer->keyset = ngx_http_apigw_jwt_keyset_slot(zone, issuer->id);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return issuer->keyset;
}


static ngx_http_apigw_jwt_keyset_t *
ngx_http_apigw_jwt_keyset_slot(ngx_http_apigw_jwt_zone_t *zone,
    const u_char *id)
{
    time_t                        now;
    ngx_uint_t                    i;
    ngx_http_apigw_jwt_keyset_t  *keyset, *found;

    now = ngx_time();
    found = NULL;

    for (i = 0; i < NGX_HTTP_APIGW_JWT_ISSUERS_MAX; i++) {

        keyset = &zone->sh->keysets[i];

        if (ngx_http_apigw_jwt_keyset_is(keyset, id)) {
            return keyset;
        }

        if (found && !found->used) {
            continue;
        }

        if (!keyset->used
            || (time_t) keyset->seen + NGX_HTTP_APIGW_JWT_SLOT_IDLE < now)
        {
            found = keyset;
        }
    }

    if (found == NULL) {
        return NULL;
    }

    found->used = 0;
    ngx_memory_barrier();

    if (found->text) {
        ngx_slab_free_locked(zone->shpool, found->text);
    }

    ngx_memzero(found, sizeof(ngx_http_apigw_jwt_keyset_t));

    ngx_memcpy(found->id, id, NGX_APIGW_JWT_ISSUER_ID);
    found->seen = now;

    ngx_memory_barrier();
    found->used = 1;

    return found;
}


static ngx_uint_t
ngx_http_apigw_jwt_keyset_is(const ngx_http_apigw_jwt_keyset_t *keyset,
    const u_char *id)
{
    return keyset->used
           && ngx_memcmp(keyset->id, id, NGX_APIGW_JWT_ISSUER_ID) == 0;
}


/* What was fetched before a restart. */

static void
ngx_http_apigw_jwt_keyset_load(ngx_http_apigw_jwt_issuer_t *issuer,
    ngx_log_t *log)
{
    int                     rc;
    u_char                 *text;
    ngx_uint_t              i;
    ngx_apigw_store_t      *store;
    ngx_apigw_jwt_saved_t   saved;

    if (issuer->loaded == ngx_time()) {
        return;
    }

    issuer->loaded = ngx_time();

    store = ngx_http_apigw_jwt_zone_store(issuer->zone, log);

    if (store == NULL) {
        return;
    }

    rc = EAGAIN;
    text = NULL;

    for (i = 0; i < NGX_APIGW_STORE_LOOKS && rc == EAGAIN; i++) {
        rc = ngx_http_apigw_jwt_keyset_read(issuer, store, &saved, &text);
    }

    if (text) {
        (void) ngx_http_apigw_jwt_keyset_set(issuer, &saved, 1, log);
        free(text);

    } else if (rc != 0
               && rc != EAGAIN
               && rc != MDB_NOTFOUND
               && rc != NGX_APIGW_STORE_EEMPTY)
    {
        ngx_http_apigw_jwt_zone_store_error(issuer->zone, log, "read", rc);
    }
}


/* A copy, as the pages may have to come from the disk: not under the mutex. */

static int
ngx_http_apigw_jwt_keyset_read(ngx_http_apigw_jwt_issuer_t *issuer,
    ngx_apigw_store_t *store, ngx_apigw_jwt_saved_t *saved, u_char **text)
{
    int       rc;
    uint64_t  version;

    rc = ngx_apigw_store_look(store, &version);

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_jwt_store_load(store, issuer->id, saved);

    if (rc == 0) {
        *text = malloc(saved->text.len);

        if (*text) {
            ngx_memcpy(*text, saved->text.data, saved->text.len);
            saved->text.data = *text;
        }
    }

    if (ngx_apigw_store_look_end(store) != 0) {
        free(*text);
        *text = NULL;
        rc = EAGAIN;
    }

    return rc;
}


/*
 * Returns NGX_OK if the set is a new one, NGX_DECLINED if it is the old one
 * confirmed, NGX_ERROR if there is no room for it.
 */

static ngx_int_t
ngx_http_apigw_jwt_keyset_set(ngx_http_apigw_jwt_issuer_t *issuer,
    const ngx_apigw_jwt_saved_t *set, ngx_uint_t only_new, ngx_log_t *log)
{
    ngx_int_t                     rc;
    const ngx_str_t              *text;
    ngx_http_apigw_jwt_zone_t    *zone;
    ngx_http_apigw_jwt_keyset_t  *keyset;

    zone = issuer->zone;
    keyset = ngx_http_apigw_jwt_keyset(issuer);

    if (keyset == NULL) {
        return NGX_ERROR;
    }

    text = &set->text;
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (!ngx_http_apigw_jwt_keyset_is(keyset, issuer->id)) {
        rc = NGX_ERROR;

    } else if (keyset->generation == 0
               || keyset->len != text->len
               || (!only_new
                   && ngx_memcmp(keyset->text, text->data, text->len) != 0))
    {
        if (!only_new || keyset->generation == 0 || keyset->len == 0) {
            rc = ngx_http_apigw_jwt_keyset_write(zone, keyset, text);
        }
    }

    if (rc == NGX_OK || (rc == NGX_DECLINED && !only_new)) {
        keyset->fetched = set->fetched;
        keyset->expires = set->expires;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc == NGX_ERROR && ngx_apigw_log_due(&zone->sh->no_room)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth_jwt_zone \"%V\" has no room for the %uz bytes of "
                      "keys of auth_jwt_issuer \"%V\"",
                      &zone->zone.name, text->len, &issuer->name);
    }

    return rc;
}


/* Under the mutex; the old text stays if there is no room for the new one. */

static ngx_int_t
ngx_http_apigw_jwt_keyset_write(ngx_http_apigw_jwt_zone_t *zone,
    ngx_http_apigw_jwt_keyset_t *keyset, const ngx_str_t *text)
{
    u_char  *p, *old;

    if (text->len > keyset->size) {

        p = ngx_slab_alloc_locked(zone->shpool, text->len);

        if (p == NULL) {
            return NGX_ERROR;
        }

        old = keyset->text;

        keyset->len = 0;
        keyset->size = 0;
        ngx_memory_barrier();

        keyset->text = p;
        keyset->size = text->len;

        if (old) {
            ngx_slab_free_locked(zone->shpool, old);
        }
    }

    keyset->len = 0;
    ngx_memory_barrier();

    ngx_memcpy(keyset->text, text->data, text->len);

    keyset->generation = ++zone->sh->generation;
    ngx_memory_barrier();

    keyset->len = text->len;

    return NGX_OK;
}


/* Returns memory of malloc() or NULL. */

static u_char *
ngx_http_apigw_jwt_keyset_copy(ngx_http_apigw_jwt_issuer_t *issuer,
    size_t *len, uint64_t *generation)
{
    u_char                       *copy;
    ngx_http_apigw_jwt_zone_t    *zone;
    ngx_http_apigw_jwt_keyset_t  *keyset;

    zone = issuer->zone;
    keyset = issuer->keyset;

    copy = malloc(NGX_APIGW_FETCH_SIZE_MAX);

    if (copy == NULL) {
        return NULL;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    *generation = keyset->generation;
    *len = keyset->len;

    if (!ngx_http_apigw_jwt_keyset_is(keyset, issuer->id)
        || *len > keyset->size
        || *len > NGX_APIGW_FETCH_SIZE_MAX)
    {
        *len = 0;
    }

    if (*len) {
        ngx_memcpy(copy, keyset->text, *len);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (*len == 0) {
        free(copy);
        return NULL;
    }

    return copy;
}


static void
ngx_http_apigw_jwt_issuer_parse(ngx_http_apigw_jwt_issuer_t *issuer,
    ngx_log_t *log)
{
    char               error[NGX_APIGW_JWKS_ERROR];
    size_t             len;
    u_char            *text;
    uint64_t           generation;
    ngx_apigw_jwks_t  *keys;

    text = ngx_http_apigw_jwt_keyset_copy(issuer, &len, &generation);

    if (text == NULL) {

        /* being replaced; what this process has is good for a while */

        return;
    }

    keys = ngx_apigw_jwks_parse(text, len, NGX_APIGW_JWKS_JSON, 0, error);

    free(text);

    if (keys == NULL
        && ngx_apigw_log_due(&issuer->keyset->log_broken))
    {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth_jwt_issuer \"%V\": its keys cannot be used: %s",
                      &issuer->name, error);
    }

    /* also without keys: not to be tried at every request */

    ngx_apigw_jwks_free(issuer->keys);

    issuer->keys = keys;
    issuer->generation = generation;
}


/* NGX_AGAIN while something is fetched. */

ngx_int_t
ngx_http_apigw_jwt_issuers_step(ngx_http_apigw_jwt_zone_t *zone,
    ngx_log_t *log)
{
    ngx_int_t                      rc, result;
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_issuer_t  **issuer;
    ngx_http_apigw_jwt_keyset_t   *keyset;

    result = NGX_OK;
    issuer = zone->issuers.elts;

    if (zone->fetcher) {
        ngx_apigw_fetch_poll(zone->fetcher,
                             ngx_process == NGX_PROCESS_SINGLE
                             ? 0 : NGX_HTTP_APIGW_JWT_FETCH_WAIT);
    }

    for (i = 0; i < zone->issuers.nelts; i++) {

        keyset = ngx_http_apigw_jwt_keyset(issuer[i]);

        if (keyset == NULL) {
            continue;
        }

        keyset->seen = ngx_time();

        if (keyset->generation == 0) {
            ngx_http_apigw_jwt_keyset_load(issuer[i], log);
        }

        if (issuer[i]->fetch) {
            rc = ngx_http_apigw_jwt_issuer_finish(issuer[i], log);

        } else if (issuer[i]->twin == NULL
                   && ngx_http_apigw_jwt_issuer_due(issuer[i]))
        {
            rc = ngx_http_apigw_jwt_issuer_start(issuer[i]);

        } else {
            continue;
        }

        if (rc == NGX_AGAIN || result == NGX_OK) {
            result = rc;
        }
    }

    if (zone->fetcher && result != NGX_AGAIN) {
        ngx_apigw_fetcher_free(zone->fetcher);
        zone->fetcher = NULL;
    }

    return result;
}


/*
 * An unknown key, or no keys at all, may ask for a fetch once a cooldown; a
 * set that is just getting old is tried again later and later.  It is fetched
 * anew before it expires, when nine tenths of its time are over.
 */

static ngx_uint_t
ngx_http_apigw_jwt_issuer_due(ngx_http_apigw_jwt_issuer_t *issuer)
{
    time_t                        now, wait, due, longest;
    ngx_uint_t                    n;
    ngx_http_apigw_jwt_keyset_t  *keyset;

    keyset = issuer->keyset;
    now = ngx_time();

    if (ngx_http_apigw_jwt_issuer_fetched_elsewhere(keyset)) {
        return 0;
    }

    wait = issuer->cooldown;

    if (keyset->wanted || keyset->generation == 0 || keyset->len == 0) {
        due = 0;

    } else {
        due = ngx_http_apigw_jwt_issuer_expires(issuer);

        if (due > (time_t) keyset->fetched) {
            due -= (due - (time_t) keyset->fetched) / 10;
        }

        longest = ngx_max(issuer->cooldown, NGX_HTTP_APIGW_JWT_BACKOFF_MAX);

        for (n = 1; n < keyset->failures && wait < longest; n++) {
            wait *= 2;
        }

        wait = ngx_min(wait, longest);
    }

    if (now < due) {
        return 0;
    }

    /* an attempt that is to come: the clock was set back */

    return keyset->attempted == 0
           || (time_t) keyset->attempted > now
           || now >= (time_t) keyset->attempted + wait;
}


/* By a helper that is still there; one that is gone has tried nothing. */

static ngx_uint_t
ngx_http_apigw_jwt_issuer_fetched_elsewhere(
    ngx_http_apigw_jwt_keyset_t *keyset)
{
    ngx_atomic_uint_t  worker;

    worker = keyset->worker;

    if (worker == 0) {
        return 0;
    }

    if ((ngx_pid_t) worker != ngx_pid
        && (kill((ngx_pid_t) worker, 0) == 0 || ngx_errno != ESRCH))
    {
        return 1;
    }

    if (ngx_atomic_cmp_set(&keyset->worker, worker, 0)) {
        keyset->attempted = 0;
    }

    return 0;
}


static ngx_int_t
ngx_http_apigw_jwt_issuer_start(ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_apigw_fetch_conf_t        conf;
    ngx_http_apigw_jwt_zone_t    *zone;
    ngx_http_apigw_jwt_keyset_t  *keyset;

    zone = issuer->zone;
    keyset = issuer->keyset;

    if (!ngx_atomic_cmp_set(&keyset->worker, 0, ngx_pid)) {
        return NGX_OK;
    }

    keyset->attempted = ngx_time();
    keyset->wanted = 0;

    if (zone->fetcher == NULL) {
        zone->fetcher = ngx_apigw_fetcher_create();
    }

    if (zone->fetcher) {
        conf.issuer = (char *) issuer->url.data;
        conf.jwks = (char *) issuer->jwks.data;
        conf.ca = (char *) issuer->ca.data;
        conf.proxy = (char *) issuer->proxy.data;
        conf.timeout = (ngx_msec_t) issuer->timeout * 1000;

        issuer->fetch = ngx_apigw_fetch_start(zone->fetcher, &conf);
    }

    if (issuer->fetch == NULL) {
        keyset->worker = 0;
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_apigw_jwt_issuer_finish(ngx_http_apigw_jwt_issuer_t *issuer,
    ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_apigw_fetch_result_t  *result;

    rc = ngx_apigw_fetch_done(issuer->fetch, &result);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_apigw_jwt_issuer_take(issuer, result, log);

    } else {
        ngx_http_apigw_jwt_issuer_failed(issuer, result->error, log);
    }

    ngx_apigw_fetch_free(issuer->fetch);

    issuer->fetch = NULL;
    issuer->keyset->worker = 0;

    return rc;
}


static ngx_int_t
ngx_http_apigw_jwt_issuer_take(ngx_http_apigw_jwt_issuer_t *issuer,
    ngx_apigw_fetch_result_t *result, ngx_log_t *log)
{
    char                    error[NGX_APIGW_JWKS_ERROR];
    time_t                  now, period, least;
    ngx_int_t               rc;
    ngx_apigw_jwks_t       *keys;
    ngx_apigw_jwt_saved_t   set;

    keys = ngx_apigw_jwks_parse(result->data, result->len,
                                NGX_APIGW_JWKS_JSON, 0, error);

    if (keys == NULL) {
        ngx_http_apigw_jwt_issuer_failed(issuer, error, log);
        return NGX_ERROR;
    }

    now = ngx_time();
    period = issuer->refresh;
    least = ngx_max(issuer->cooldown, NGX_HTTP_APIGW_JWT_PERIOD_MIN);

    if (result->max_age >= 0 && result->max_age < period) {
        period = ngx_min(period, ngx_max(result->max_age, least));
    }

    set.fetched = now;
    set.expires = now + period;
    set.text.data = result->data;
    set.text.len = result->len;

    rc = ngx_http_apigw_jwt_keyset_set(issuer, &set, 0, log);

    if (rc == NGX_ERROR) {
        ngx_apigw_jwks_free(keys);
        (void) ngx_atomic_fetch_add(&issuer->keyset->failures, 1);
        (void) ngx_atomic_fetch_add(&issuer->zone->sh->fetch_errors, 1);
        return NGX_ERROR;
    }

    /* who has asked meanwhile may find it now */

    issuer->keyset->wanted = 0;
    issuer->keyset->failures = 0;

    (void) ngx_atomic_fetch_add(&issuer->zone->sh->fetches, 1);

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "auth_jwt_issuer \"%V\": %ui keys were fetched",
                      &issuer->name, keys->nkeys);

        if (keys->warning[0]) {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "auth_jwt_issuer \"%V\": %ui keys are not used: %s",
                          &issuer->name, keys->bad, keys->warning);
        }
    }

    ngx_apigw_jwks_free(keys);

    return ngx_http_apigw_jwt_issuer_save(issuer, &set, log);
}


/* That it cannot be saved does not make the set a bad one. */

static ngx_int_t
ngx_http_apigw_jwt_issuer_save(ngx_http_apigw_jwt_issuer_t *issuer,
    const ngx_apigw_jwt_saved_t *set, ngx_log_t *log)
{
    int                 rc;
    ngx_apigw_store_t  *store;

    if (issuer->zone->helper.directory.len == 0) {
        return NGX_OK;
    }

    store = ngx_http_apigw_jwt_zone_store(issuer->zone, log);

    if (store == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_apigw_jwt_store_save(store, issuer->id, set);

    if (rc != 0) {
        ngx_http_apigw_jwt_zone_store_error(issuer->zone, log, "written", rc);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_apigw_jwt_issuer_failed(ngx_http_apigw_jwt_issuer_t *issuer,
    const char *why, ngx_log_t *log)
{
    time_t                        left;
    ngx_http_apigw_jwt_keyset_t  *keyset;

    keyset = issuer->keyset;

    (void) ngx_atomic_fetch_add(&keyset->failures, 1);
    (void) ngx_atomic_fetch_add(&issuer->zone->sh->fetch_errors, 1);

    left = ngx_http_apigw_jwt_issuer_end(issuer) - ngx_time();

    if (keyset->generation == 0 || left <= 0) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "auth_jwt_issuer \"%V\": cannot fetch its keys: %s; "
                      "there are none", &issuer->name, why);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "auth_jwt_issuer \"%V\": cannot fetch its keys: %s; "
                  "the last ones may be used for %T s", &issuer->name, why,
                  left);
}


void
ngx_http_apigw_jwt_issuers_cleanup(ngx_http_apigw_jwt_zone_t *zone)
{
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    issuer = zone->issuers.elts;

    for (i = 0; i < zone->issuers.nelts; i++) {

        if (issuer[i]->fetch) {
            ngx_apigw_fetch_free(issuer[i]->fetch);
            issuer[i]->fetch = NULL;
        }

        ngx_apigw_jwks_free(issuer[i]->keys);

        issuer[i]->keys = NULL;
        issuer[i]->generation = 0;
    }

    if (zone->fetcher) {
        ngx_apigw_fetcher_free(zone->fetcher);
        zone->fetcher = NULL;
    }
}
