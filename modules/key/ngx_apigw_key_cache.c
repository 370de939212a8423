/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>

#include "ngx_apigw_key_cache.h"
#include "ngx_apigw_key_tree.h"


#define NGX_APIGW_KEY_CACHE_MAP    ((size_t) 16 * 1024 * 1024)
#define NGX_APIGW_KEY_CACHE_TRIES  20

/* most records fit, so that the memory of one does for another */

#define NGX_APIGW_KEY_CACHE_ROOM   128


static int ngx_apigw_key_cache_probe(const char *directory);
static int ngx_apigw_key_cache_find(ngx_apigw_key_cache_t *cache,
    const ngx_str_t *key, uint64_t *version, ngx_apigw_key_entry_t **entry);
static int ngx_apigw_key_cache_read(ngx_apigw_key_cache_t *cache,
    MDB_txn *txn, const u_char *digest, ngx_apigw_key_entry_t **entry);
static int ngx_apigw_key_cache_tree(ngx_apigw_key_cache_t *cache,
    MDB_txn *txn, ngx_apigw_key_tree_t *tree);
static int ngx_apigw_key_cache_map(ngx_apigw_key_cache_t *cache, int fd);
static void ngx_apigw_key_cache_unmap(ngx_apigw_key_cache_t *cache);
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

    rc = ngx_apigw_key_cache_probe(directory);

    if (rc == 0) {
        rc = ngx_apigw_store_open(&cache->store, directory,
                                  &ngx_apigw_key_store_kind);
    }

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


/* What LMDB reads when it opens the store, before it does. */

static int
ngx_apigw_key_cache_probe(const char *directory)
{
    int                    fd, n, rc;
    char                   name[NGX_MAX_PATH];
    void                  *map;
    struct stat            sb;
    ngx_apigw_key_tree_t   tree;

    n = snprintf(name, sizeof(name), "%s/data.mdb", directory);

    if (n < 0 || n >= (int) sizeof(name)) {
        return ENAMETOOLONG;
    }

    fd = open(name, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {

        /* a new store, or an error to be found again */

        return 0;
    }

    rc = 0;

    if (fstat(fd, &sb) == 0 && sb.st_size > 0) {

        map = mmap(NULL, sb.st_size, PROT_READ, MAP_SHARED, fd, 0);

        if (map == MAP_FAILED) {
            rc = errno;

        } else {
            rc = ngx_apigw_key_tree_init(&tree, map, sb.st_size);

            if (rc == 0) {
                rc = ngx_apigw_key_tree_probe(&tree,
                                              &ngx_apigw_key_store_kind);
            }

            (void) munmap(map, sb.st_size);
        }
    }

    (void) close(fd);

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

    ngx_apigw_key_cache_unmap(cache);

    cache->size = 0;
    cache->rooted = 0;
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
    MDB_txn    *txn;
    ngx_uint_t  i, holds;

    if (ngx_apigw_key_digest(&cache->hasher, digest, key->data, key->len)
        != NGX_OK)
    {
        return ENOMEM;
    }

    rc = NGX_APIGW_STORE_EMOVED;

    for (i = 0; i < NGX_APIGW_KEY_CACHE_TRIES; i++) {

        rc = ngx_apigw_store_read(cache->store, &txn);

        if (rc != 0) {
            break;
        }

        *version = mdb_txn_id(txn);

        rc = ngx_apigw_key_cache_read(cache, txn, digest, entry);

        if (rc == MDB_NOTFOUND && ngx_apigw_store_whole(cache->store) != 0) {
            rc = NGX_APIGW_STORE_ESHORT;
        }

        holds = ngx_apigw_store_read_holds(cache->store);

        ngx_apigw_store_read_end(cache->store);

        if (rc != EAGAIN && holds) {
            break;
        }

        if (rc == 0) {
            ngx_apigw_key_entry_release(*entry);
        }

        /* others were too fast */

        rc = NGX_APIGW_STORE_EMOVED;
    }

    explicit_bzero(digest, sizeof(digest));

    /* no key was ever written */

    return (rc == NGX_APIGW_STORE_EEMPTY) ? MDB_NOTFOUND : rc;
}


static int
ngx_apigw_key_cache_read(ngx_apigw_key_cache_t *cache, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_entry_t **entry)
{
    int                    rc;
    uint64_t               version;
    ngx_str_t              value;
    ngx_apigw_key_tree_t   tree;
    ngx_apigw_key_found_t  found;

    version = mdb_txn_id(txn);

    rc = ngx_apigw_key_cache_tree(cache, txn, &tree);

    if (rc == 0 && cache->rooted != version) {
        rc = ngx_apigw_key_tree_open(&tree, version, NGX_APIGW_KEY_STORE_KEYS,
                                     &cache->root);
        cache->rooted = (rc == 0) ? version : 0;
    }

    if (rc == 0) {
        rc = ngx_apigw_key_tree_get(&tree, cache->root, digest,
                                    NGX_APIGW_KEY_DIGEST, &value);
    }

    if (rc != 0) {
        return rc;
    }

    ngx_apigw_key_store_unseal(digest, &value, &found);

    return ngx_apigw_key_entry_create(cache, &found, entry);
}


/*
 * The file as far as it is there.  LMDB never makes it smaller; who did that
 * took pages away.
 */

static int
ngx_apigw_key_cache_tree(ngx_apigw_key_cache_t *cache, MDB_txn *txn,
    ngx_apigw_key_tree_t *tree)
{
    int                rc;
    ngx_uint_t         opened;
    struct stat        sb;
    mdb_filehandle_t   fd;

    opened = ngx_apigw_store_opened(cache->store);

    if (opened != cache->opened) {
        ngx_apigw_key_cache_forget(cache);
        cache->opened = opened;
    }

    rc = mdb_env_get_fd(mdb_txn_env(txn), &fd);
    if (rc != 0) {
        return rc;
    }

    if (fstat(fd, &sb) == -1) {
        return errno;
    }

    if (sb.st_size < cache->size) {
        return NGX_APIGW_STORE_ESHORT;
    }

    cache->size = sb.st_size;

    if ((size_t) sb.st_size > cache->mapped) {
        rc = ngx_apigw_key_cache_map(cache, fd);
        if (rc != 0) {
            return rc;
        }
    }

    return ngx_apigw_key_tree_init(tree, cache->map, sb.st_size);
}


/* More than there is of the file, so that it is not done at every change. */

static int
ngx_apigw_key_cache_map(ngx_apigw_key_cache_t *cache, int fd)
{
    size_t  size;

    ngx_apigw_key_cache_unmap(cache);

    size = NGX_APIGW_KEY_CACHE_MAP;

    while (size < (size_t) cache->size) {
        size *= 2;
    }

    cache->map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (cache->map == MAP_FAILED) {
        cache->map = NULL;
        return errno;
    }

    /* as LMDB does: keys are found anywhere */

    (void) madvise(cache->map, size, MADV_RANDOM);

    cache->mapped = size;

    return 0;
}


static void
ngx_apigw_key_cache_unmap(ngx_apigw_key_cache_t *cache)
{
    if (cache->map) {
        (void) munmap(cache->map, cache->mapped);
    }

    cache->map = NULL;
    cache->mapped = 0;
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
