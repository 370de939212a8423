/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_TOKEN_CACHE_H_INCLUDED_
#define _NGX_APIGW_TOKEN_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_hash.h"


/*
 * Tokens that were verified a moment ago, in a block of shared memory.
 *
 * A token is known by a keyed 128-bit hash of its whole text, never by the
 * text itself; under it are kept the verdict, the time in which it holds and
 * the values of the claims that the configuration uses, as bytes of the
 * caller's.  An entry holds for one policy (what was checked) and one
 * generation (with which keys).
 *
 * A set is a ring of 8 KB: new entries take the place of the oldest ones of
 * their set.  What guards it is the set's sequence number: a reader copies an
 * entry out and believes it only if the number is the same as before, and
 * even.  One process at a time may write, so the caller of _put() holds the
 * zone's mutex, which nginx's master releases when its holder dies; the set
 * that was being written then stays unreadable until the next writer comes,
 * who empties it.  Nothing that is read is trusted: lengths and places are
 * checked against the set.
 *
 * Refusals are kept apart, for a second at most, so that bad tokens cannot
 * drive out good ones.
 *
 * Work is bounded by one set.  Uses nothing of nginx but its types and macros.
 */


#define NGX_APIGW_TOKEN_DATA_MAX     4032
#define NGX_APIGW_TOKEN_VALUES_MAX   64
#define NGX_APIGW_TOKEN_REFUSED_MAX  1000   /* milliseconds */
#define NGX_APIGW_TOKEN_CACHE_MIN    16384  /* bytes of memory */


typedef struct ngx_apigw_token_cache_s  ngx_apigw_token_cache_t;


typedef struct {
    ngx_apigw_hash_t     hash;        /* of the token, by _hash() */
    uint64_t             policy;      /* what was checked; of the caller's */
    uint64_t             generation;  /* of the keys it was checked with */
} ngx_apigw_token_id_t;


/* Times are milliseconds since 1970. */

typedef struct {
    uint64_t             from;        /* holds from here ("nbf") ... */
    uint64_t             until;       /* ... until before this ("exp") */
    uint64_t             revision;    /* of the caller's */
    uint32_t             verdict;     /* 0: accepted; else up to 255 */
    uint32_t             len;         /* of data */
    u_char               data[NGX_APIGW_TOKEN_DATA_MAX];
} ngx_apigw_token_entry_t;


typedef struct {
    uint64_t             sets;
    uint64_t             stored;      /* entries ever put */
    uint64_t             evicted;     /* of them lost while they held */
    uint64_t             oversized;   /* put, but larger than DATA_MAX */
} ngx_apigw_token_stat_t;


#pragma GCC visibility push(hidden)


/*
 * Makes an empty cache in a block of zeroed shared memory, aligned to 64
 * bytes, and draws its hash key.  NULL if the block is too small or, with
 * errno set, if there are no random bytes.
 */

ngx_apigw_token_cache_t *ngx_apigw_token_cache_create(void *block,
    size_t size);


/* Fills id->hash. */

void ngx_apigw_token_cache_hash(const ngx_apigw_token_cache_t *cache,
    ngx_apigw_token_id_t *id, const ngx_str_t *token);


/*
 * Looks up what is known of a token: NGX_OK, with the entry filled in (of
 * data only the first len bytes), or NGX_DECLINED.  Refusals are found as
 * well, with nothing but their verdict.  Takes no lock, waits for nobody.
 */

ngx_int_t ngx_apigw_token_cache_get(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry);


/*
 * Keeps an accepted token (verdict 0), in place of what is known of it; one
 * process at a time.  NGX_DECLINED if it is too large, or over.
 */

ngx_int_t ngx_apigw_token_cache_put(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now,
    const ngx_apigw_token_entry_t *entry);


/* Keeps a refusal for a second; without a lock. */

void ngx_apigw_token_cache_refuse(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now, ngx_uint_t verdict);


void ngx_apigw_token_cache_stat(const ngx_apigw_token_cache_t *cache,
    ngx_apigw_token_stat_t *stat);


/*
 * Values as data of an entry and back.  A value whose data is NULL ("there is
 * no such claim") stays so.  _pack() returns NGX_DECLINED if they do not fit;
 * _unpack() takes a copy of data, into which the values will point, and
 * returns NGX_ERROR unless these are exactly n values.  _peek() takes the
 * first n of them.
 */

ngx_int_t ngx_apigw_token_pack(ngx_apigw_token_entry_t *entry,
    const ngx_str_t *values, ngx_uint_t n);
ngx_int_t ngx_apigw_token_unpack(u_char *data, size_t len, ngx_str_t *values,
    ngx_uint_t n);
ngx_int_t ngx_apigw_token_peek(u_char *data, size_t len, ngx_str_t *values,
    ngx_uint_t n);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_TOKEN_CACHE_H_INCLUDED_ */
