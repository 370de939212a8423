/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_CACHE_H_INCLUDED_
#define _NGX_APIGW_KEY_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_hash.h"
#include "ngx_apigw_key_store.h"


/*
 * The way from a presented key to its record, private to one process.
 *
 * What lives in it: the opened store, and the records of the last keys that
 * were found, each under a keyed hash of the presented text; neither a key
 * nor its digest is kept.  A record found is valid for the one version of the
 * store in which it was found, so the first request after any change reads
 * the store again.
 *
 * Memory is bounded by the number of places, whatever the number of keys.  A
 * record that is in use is counted, leaves its place when another comes and
 * is freed with its last use.
 */


#define NGX_APIGW_KEY_CACHE_SETS  256
#define NGX_APIGW_KEY_CACHE_WAYS  4

#define NGX_APIGW_KEY_CACHE_EMALFORMED  (-31201)  /* cannot be a key */


typedef struct {
    ngx_uint_t               refs;
    size_t                   room;      /* behind this structure */
    ngx_apigw_hash_t         hash;      /* of the id, keyed by the owner */
    ngx_uint_t               slot;      /* the owner's */
    ngx_apigw_key_record_t   record;    /* points behind this structure */
} ngx_apigw_key_entry_t;


typedef struct {
    ngx_apigw_hash_t         hash;      /* of the presented key */
    uint64_t                 version;   /* 0: nothing here */
    ngx_apigw_key_entry_t   *entry;
} ngx_apigw_key_place_t;


typedef struct {
    ngx_apigw_store_t       *store;
    ngx_apigw_key_hasher_t   hasher;
    ngx_apigw_hash_key_t     secret;
    ngx_uint_t               turn;
    ngx_apigw_key_entry_t   *spare;     /* that nobody uses */
    ngx_uint_t               opened;    /* of the store, with what is here */
    uint64_t                 version;   /* seen last */
    ngx_apigw_key_place_t    place[NGX_APIGW_KEY_CACHE_SETS]
                                  [NGX_APIGW_KEY_CACHE_WAYS];
} ngx_apigw_key_cache_t;


#pragma GCC visibility push(hidden)


/* Returns what ngx_apigw_store_open() does. */

int ngx_apigw_key_cache_open(ngx_apigw_key_cache_t **cache,
    const char *directory);
void ngx_apigw_key_cache_close(ngx_apigw_key_cache_t *cache);


/*
 * To be called about once a second: returns 0, or why the opened store can
 * be used no longer and has to be opened again: it was removed, replaced or
 * cut short.
 */

int ngx_apigw_key_cache_check(ngx_apigw_key_cache_t *cache);


/*
 * Finds a presented key.  Returns 0 and an entry to be released, MDB_NOTFOUND
 * if nobody has this key, NGX_APIGW_KEY_CACHE_EMALFORMED if nobody can have
 * it, or what is wrong with the store.
 */

int ngx_apigw_key_cache_get(ngx_apigw_key_cache_t *cache,
    const ngx_str_t *key, const ngx_str_t *prefix,
    ngx_apigw_key_entry_t **entry);

void ngx_apigw_key_entry_release(ngx_apigw_key_entry_t *entry);


const char *ngx_apigw_key_cache_strerror(int rc);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_CACHE_H_INCLUDED_ */
