/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_cache.h"


/* most records fit, so that the memory of one does for another */

#define NGX_APIGW_KEY_CACHE_ROOM   128


static int ngx_apigw_key_cache_find(ngx_apigw_key_cache_t *cache,
    const ngx_str_t *key, uint64_t *version, ngx_apigw_key_entry_t **entry);
static int ngx_apigw_key_cache_read(ngx_apigw_key_cache_t *cache,
    const u_char *digest, ngx_apigw_key_entry_t **entry);
static void ngx_apigw_key_cache_forget(ngx_apigw_key_cache_t *cache);
static ngx_apigw_key_place_t *ngx_apigw_key_cache_place(
    ngx_apigw_key_cache_t *cache, ngx_apigw_key_place_t *set,
    uint64_t version);
static int ngx_apigw_key_entry_create(ngx_apigw_key_cache_t *cache,
    ngx_apigw_key_found_t *found, ngx_apigw_key_entry_t **entry);


int
ngx_apigw_key_cache_open(ngx_apigw_key_cache_t **cp, const char *directory)
{
    int                     rc;
    ngx_apigw_key_cache_t  *cache;

    cache = calloc(1, sizeof(ngx_apigw_key_cache_t));
    if (cache == NULL) {
        return ENOMEM;
    }

    rc = ngx_apigw_store_open(&cache->store, directory,
                              &ngx_apigw_key_store_kind);

    if (rc != 0) {
        free(cache);
        return rc;
    }

    cache->opened = ngx_apigw_store_opened(cache->store);

    if (ngx_apigw_hash_new_key(&cache->secret) != NGX_OK) {
        rc = errno;
        goto failed;
    }

    if (ngx_apigw_key_hasher_init(&cache->hasher) != NGX_OK) {
        rc = ENOMEM;
        goto failed;
    }

    *cp = cache;

    return 0;

failed:

    ngx_apigw_store_close(cache->store);
    free(cache);

    return rc;
}


void
ngx_apigw_key_cache_close(ngx_apigw_key_cache_t *cache)
{
    ngx_apigw_key_cache_forget(cache);
    free(cache->spare);
    ngx_apigw_key_hasher_free(&cache->hasher);
    ngx_apigw_store_close(cache->store);

    OPENSSL_cleanse(&cache->secret, sizeof(ngx_apigw_hash_key_t));

    free(cache);
}


/* What was found in another file, under the same numbers perhaps. */

static void
ngx_apigw_key_cache_forget(ngx_apigw_key_cache_t *cache)
{
    ngx_uint_t              i, n;
    ngx_apigw_key_place_t  *place;

    for (i = 0; i < NGX_APIGW_KEY_CACHE_SETS; i++) {
        for (n = 0; n < NGX_APIGW_KEY_CACHE_WAYS; n++) {

            place = &cache->place[i][n];

            if (place->entry) {
                ngx_apigw_key_entry_release(place->entry);
                place->entry = NULL;
                place->version = 0;
            }
        }
    }

    cache->version = 0;
}


int
ngx_apigw_key_cache_check(ngx_apigw_key_cache_t *cache)
{
    return ngx_apigw_store_check(cache->store);
}


int
ngx_apigw_key_cache_get(ngx_apigw_key_cache_t *cache, const ngx_str_t *key,
    const ngx_str_t *prefix, ngx_apigw_key_entry_t **entry)
{
    int                     rc;
    uint64_t                version;
    ngx_uint_t              n, opened;
    ngx_apigw_hash_t        hash;
    ngx_apigw_key_place_t  *set, *place;

    version = ngx_apigw_store_version(cache->store);
    opened = ngx_apigw_store_opened(cache->store);

    if (version < cache->version || opened != cache->opened) {

        /*
         * never by a writer: an older file was copied over it, or another
         * file was opened, even if nothing could be read of it yet
         */

        ngx_apigw_key_cache_forget(cache);

        cache->opened = opened;
    }

    cache->version = version;

    ngx_apigw_hash(&hash, &cache->secret, key->data, key->len);

    set = cache->place[hash.h[0] % NGX_APIGW_KEY_CACHE_SETS];

    for (n = 0; n < NGX_APIGW_KEY_CACHE_WAYS; n++) {
        place = &set[n];

        if (((place->hash.h[0] ^ hash.h[0]) | (place->hash.h[1] ^ hash.h[1])
             | (place->version ^ version)) == 0
            && place->entry)
        {
            place->entry->refs++;
            *entry = place->entry;
            return 0;
        }
    }

    if (ngx_apigw_key_check(key->data, key->len, prefix->data, prefix->len)
        != NGX_OK)
    {
        return NGX_APIGW_KEY_CACHE_EMALFORMED;
    }

    rc = ngx_apigw_key_cache_find(cache, key, &version, entry);
    if (rc != 0) {
        return rc;
    }

    place = ngx_apigw_key_cache_place(cache, set, version);

    if (place->entry && place->entry->refs == 1 && cache->spare == NULL) {
        cache->spare = place->entry;

    } else if (place->entry) {
        ngx_apigw_key_entry_release(place->entry);
    }

    (*entry)->refs++;

    place->hash = hash;
    place->version = version;
    place->entry = *entry;

    return 0;
}


static int
ngx_apigw_key_cache_find(ngx_apigw_key_cache_t *cache, const ngx_str_t *key,
    uint64_t *version, ngx_apigw_key_entry_t **entry)
{
    int         rc;
    u_char      digest[NGX_APIGW_KEY_DIGEST];
    ngx_uint_t  i;

    if (ngx_apigw_key_digest(&cache->hasher, digest, key->data, key->len)
        != NGX_OK)
    {
        return ENOMEM;
    }

    rc = EAGAIN;

    for (i = 0; i < NGX_APIGW_STORE_LOOKS && rc == EAGAIN; i++) {

        rc = ngx_apigw_store_look(cache->store, version);

        if (rc != 0) {
            continue;
        }

        rc = ngx_apigw_key_cache_read(cache, digest, entry);

        if (ngx_apigw_store_look_end(cache->store) == 0) {
            continue;
        }

        if (rc == 0) {
            ngx_apigw_key_entry_release(*entry);
        }

        rc = EAGAIN;
    }

    explicit_bzero(digest, sizeof(digest));

    switch (rc) {

    case EAGAIN:

        /* others were too fast */

        return NGX_APIGW_STORE_EMOVED;

    case NGX_APIGW_STORE_EEMPTY:

        /* no key was ever written */

        return MDB_NOTFOUND;

    default:
        return rc;
    }
}


static int
ngx_apigw_key_cache_read(ngx_apigw_key_cache_t *cache, const u_char *digest,
    ngx_apigw_key_entry_t **entry)
{
    int                    rc;
    ngx_uint_t             opened;
    ngx_str_t              value;
    ngx_apigw_key_found_t  found;

    opened = ngx_apigw_store_opened(cache->store);

    if (opened != cache->opened) {
        ngx_apigw_key_cache_forget(cache);
        cache->opened = opened;
    }

    rc = ngx_apigw_store_get(cache->store, NGX_APIGW_KEY_STORE_KEYS, digest,
                             NGX_APIGW_KEY_DIGEST, &value);
    if (rc != 0) {
        return rc;
    }

    ngx_apigw_key_store_unseal(digest, &value, &found);

    return ngx_apigw_key_entry_create(cache, &found, entry);
}


static ngx_apigw_key_place_t *
ngx_apigw_key_cache_place(ngx_apigw_key_cache_t *cache,
    ngx_apigw_key_place_t *set, uint64_t version)
{
    ngx_uint_t  n;

    for (n = 0; n < NGX_APIGW_KEY_CACHE_WAYS; n++) {
        if (set[n].version != version) {
            return &set[n];
        }
    }

    return &set[cache->turn++ % NGX_APIGW_KEY_CACHE_WAYS];
}


static int
ngx_apigw_key_entry_create(ngx_apigw_key_cache_t *cache,
    ngx_apigw_key_found_t *found, ngx_apigw_key_entry_t **ep)
{
    int                     rc;
    size_t                  room;
    u_char                 *p;
    ngx_apigw_key_entry_t  *entry;

    /* the entry outlives the transaction: decode a copy */

    entry = cache->spare;

    if (entry && entry->room >= found->encoded.len) {
        cache->spare = NULL;

    } else {
        room = ngx_max(found->encoded.len, NGX_APIGW_KEY_CACHE_ROOM);

        entry = malloc(sizeof(ngx_apigw_key_entry_t) + room);
        if (entry == NULL) {
            return ENOMEM;
        }

        entry->room = room;
    }

    p = (u_char *) entry + sizeof(ngx_apigw_key_entry_t);
    ngx_memcpy(p, found->encoded.data, found->encoded.len);

    found->encoded.data = p;

    rc = ngx_apigw_key_store_record(found, &entry->record);
    if (rc != 0) {
        free(entry);
        return rc;
    }

    entry->refs = 1;
    entry->slot = 0;
    entry->hash.h[0] = 0;
    entry->hash.h[1] = 0;

    *ep = entry;

    return 0;
}


const char *
ngx_apigw_key_cache_strerror(int rc)
{
    switch (rc) {

    case NGX_APIGW_KEY_CACHE_EMALFORMED:
        return "this cannot be a key";

    default:
        return ngx_apigw_key_store_strerror(rc);
    }
}


void
ngx_apigw_key_entry_release(ngx_apigw_key_entry_t *entry)
{
    if (--entry->refs == 0) {
        free(entry);
    }
}
