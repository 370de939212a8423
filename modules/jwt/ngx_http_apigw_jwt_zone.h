/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_JWT_ZONE_H_INCLUDED_
#define _NGX_HTTP_APIGW_JWT_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_fetch.h"
#include "ngx_apigw_helper.h"
#include "ngx_apigw_jwt_store.h"
#include "ngx_apigw_token_cache.h"
#include "ngx_apigw_zone.h"


/*
 * auth_jwt_zone: counters, the cache of verified tokens, the key sets of the
 * issuers, and the store, where key sets outlive a restart and revocations
 * are.  ngx_http_apigw_jwt_zone.c tells what lives where and who guards it.
 */


#define NGX_HTTP_APIGW_JWT_ISSUERS_MAX  64      /* in a zone */


/* What a request was found to be; counted, and kept in the cache. */

typedef enum {
    NGX_HTTP_APIGW_JWT_OK = 0,
    NGX_HTTP_APIGW_JWT_MISSING,         /* no token */
    NGX_HTTP_APIGW_JWT_MALFORMED,       /* not a JWS, bad header or claims */
    NGX_HTTP_APIGW_JWT_ALGORITHM,       /* unknown or not allowed */
    NGX_HTTP_APIGW_JWT_ISSUER,          /* of none of the issuers */
    NGX_HTTP_APIGW_JWT_KEY,             /* signed by a key not known (yet) */
    NGX_HTTP_APIGW_JWT_SIGNATURE,
    NGX_HTTP_APIGW_JWT_EXPIRED,         /* exp, or max_age */
    NGX_HTTP_APIGW_JWT_EARLY,           /* nbf, or iat in the future */
    NGX_HTTP_APIGW_JWT_TYPE,            /* wrong typ */
    NGX_HTTP_APIGW_JWT_AUDIENCE,
    NGX_HTTP_APIGW_JWT_SCOPE,           /* 403 */
    NGX_HTTP_APIGW_JWT_CLAIM,           /* auth_jwt_require* */
    NGX_HTTP_APIGW_JWT_REVOKED,
    NGX_HTTP_APIGW_JWT_UNAVAILABLE,     /* no keys, or the store cannot be
                                           read: ours, not the client's */
    NGX_HTTP_APIGW_JWT_VERDICTS
} ngx_http_apigw_jwt_verdict_e;


/*
 * The first values of every cached token, which are looked up among the
 * revocations at each hit; those of the configuration follow.
 */

typedef enum {
    NGX_HTTP_APIGW_JWT_VALUE_JTI = 0,
    NGX_HTTP_APIGW_JWT_VALUE_SUB,
    NGX_HTTP_APIGW_JWT_VALUE_KID,
    NGX_HTTP_APIGW_JWT_VALUES           /* of the caller's from here on */
} ngx_http_apigw_jwt_value_e;


/* The key set of an issuer, in shared memory; see the .c file. */

typedef struct {
    u_char                       id[NGX_APIGW_JWT_ISSUER_ID];
    ngx_atomic_t                 used;         /* the slot is taken */
    ngx_atomic_t                 seen;         /* by a helper, at that time */
    ngx_atomic_t                 generation;   /* of the set, 0: no set */
    ngx_atomic_t                 fetched;      /* when it was confirmed */
    ngx_atomic_t                 expires;      /* when to be fetched again */
    ngx_atomic_t                 attempted;    /* when it was last tried */
    ngx_atomic_t                 failures;     /* in a row */
    ngx_atomic_t                 wanted;       /* an unknown kid was seen */
    ngx_atomic_t                 worker;       /* pid that fetches, 0: none */
    ngx_atomic_t                 log_stale;
    ngx_atomic_t                 log_broken;
    u_char                      *text;         /* under the zone's mutex */
    size_t                       len;
    size_t                       size;         /* allocated */
} ngx_http_apigw_jwt_keyset_t;


typedef struct {
    ngx_atomic_t                 verdicts[NGX_HTTP_APIGW_JWT_VERDICTS];
    ngx_atomic_t                 hits;         /* of the cache */
    ngx_atomic_t                 misses;
    ngx_atomic_t                 stored;       /* as the cache has them */
    ngx_atomic_t                 evicted;
    ngx_atomic_t                 oversized;
    ngx_atomic_t                 fetches;      /* key sets fetched */
    ngx_atomic_t                 fetch_errors;
    ngx_atomic_t                 unknown_kids; /* that asked for a fetch */
    ngx_atomic_t                 store_failed; /* when it was logged */
    ngx_atomic_t                 known;        /* the store had data */
    ngx_atomic_t                 opened;       /* times, by any process */
    ngx_atomic_t                 no_room;
    ngx_atomic_t                 generation;   /* the last one given out */
    ngx_apigw_helper_guard_t     guard;
    ngx_apigw_hash_key_t         secret;
    ngx_apigw_token_cache_t     *cache;
    ngx_http_apigw_jwt_keyset_t  keysets[NGX_HTTP_APIGW_JWT_ISSUERS_MAX];
} ngx_http_apigw_jwt_shared_t;


/*
 * Which state of which file was looked at, as one number: the version alone
 * may be that of another file as well.
 */

typedef struct {
    uint64_t                     device;       /* of the data file */
    uint64_t                     inode;
    uint64_t                     opened;       /* by any process of the zone */
    uint64_t                     version;
    uint64_t                     revision;     /* of all these, not 0 */
} ngx_http_apigw_jwt_state_t;


typedef struct {
    ngx_apigw_zone_t             zone;
    ngx_http_apigw_jwt_shared_t  *sh;
    ngx_slab_pool_t             *shpool;
    ngx_apigw_helper_t           helper;       /* and the store's directory,
                                                  empty without a store */
    ngx_array_t                  issuers;  /* ngx_http_apigw_jwt_issuer_t * */
    uint64_t                     epoch;        /* of this configuration */

    /* private to a process */

    ngx_apigw_store_t           *store;
    ngx_uint_t                   opened;       /* as ngx_apigw_store_opened(),
                                                  0: not seen */
    time_t                       checked;      /* when the store was */
    time_t                       tidied;       /* when it was */
    uint64_t                     version;      /* of the store, when it had */
    uint64_t                     revocations;  /* so many revocations */
    ngx_http_apigw_jwt_state_t   state;
    ngx_apigw_fetcher_t         *fetcher;      /* while something is fetched */
    unsigned                     failed:1;
} ngx_http_apigw_jwt_zone_t;


/*
 * The part of the module's main configuration that is kept here.  It is the
 * first member of that configuration.
 */

typedef struct {
    ngx_array_t                  zones;    /* ngx_http_apigw_jwt_zone_t * */
    ngx_array_t                  issuers;  /* ngx_http_apigw_jwt_issuer_t * */
    ngx_array_t                  helpers;  /* ngx_apigw_helper_t * */
} ngx_http_apigw_jwt_zones_t;


#pragma GCC visibility push(hidden)


/*
 * Configuration.  _zones_create() is for create_main_conf; _zones_init() for
 * init_main_conf, which runs after the blocks of http{} were read and before
 * they are merged; _zone() is the setter of auth_jwt_zone (main conf offset,
 * TAKE12).  _zone_get() finds a zone by name for merge, NULL if there is none.
 */

ngx_int_t ngx_http_apigw_jwt_zones_create(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones);
ngx_int_t ngx_http_apigw_jwt_zones_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones);
char *ngx_http_apigw_jwt_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_http_apigw_jwt_zone_t *ngx_http_apigw_jwt_zone_get(
    ngx_http_apigw_jwt_zones_t *zones, const ngx_str_t *name);


/*
 * To be called from the module's functions of the same names; nothing is left
 * to be done in exit_master.
 */

ngx_int_t ngx_http_apigw_jwt_zones_init_module(ngx_cycle_t *cycle);
ngx_int_t ngx_http_apigw_jwt_zones_init_process(ngx_cycle_t *cycle);


/* Counts a verdict; zone may be NULL. */

void ngx_http_apigw_jwt_zone_count(ngx_http_apigw_jwt_zone_t *zone,
    ngx_http_apigw_jwt_verdict_e verdict);


/*
 * A number for a text, the same in all workers of the zone: a generation for
 * keys that come from files, a policy.
 */

uint64_t ngx_http_apigw_jwt_zone_digest(ngx_http_apigw_jwt_zone_t *zone,
    const u_char *data, size_t len);


/*
 * The cache.  The caller sets id->policy and id->generation (of all the keys
 * that the token might be verified with).
 *
 * _cache_get() completes the id, for _cache_put() too.  NGX_OK if the token is
 * known, its verdict in entry->verdict: NGX_HTTP_APIGW_JWT_OK after its
 * revocations were looked up again, else why it is refused; NGX_DECLINED if it
 * has to be verified.
 *
 * _cache_put(): for NGX_HTTP_APIGW_JWT_OK the caller fills in from, until,
 * revision (of _revoked()) and data, with the values above first; refusals
 * need nothing but the verdict.  Verdicts that depend on what is fetched or
 * read (KEY, UNAVAILABLE, REVOKED) are not kept.
 */

ngx_int_t ngx_http_apigw_jwt_cache_get(ngx_http_apigw_jwt_zone_t *zone,
    ngx_log_t *log, const ngx_str_t *token, ngx_apigw_token_id_t *id,
    ngx_apigw_token_entry_t *entry);
void ngx_http_apigw_jwt_cache_put(ngx_http_apigw_jwt_zone_t *zone,
    const ngx_apigw_token_id_t *id, ngx_apigw_token_entry_t *entry);


/*
 * Whether a token is revoked by one of its values, each of which may be
 * absent: NGX_OK if not, NGX_DECLINED if it is, NGX_ERROR if the store cannot
 * be read (it is logged; refuse with NGX_HTTP_APIGW_JWT_UNAVAILABLE).
 * *revision says which state of the store was looked at.  zone may be NULL.
 */

ngx_int_t ngx_http_apigw_jwt_revoked(ngx_http_apigw_jwt_zone_t *zone,
    ngx_log_t *log, const ngx_str_t values[NGX_HTTP_APIGW_JWT_VALUES],
    uint64_t *revision);


/*
 * The store as this process has it open; NULL if it cannot be opened, which
 * is logged, or if the zone has none.  _store_error() logs, and closes it.
 */

ngx_apigw_store_t *ngx_http_apigw_jwt_zone_store(
    ngx_http_apigw_jwt_zone_t *zone, ngx_log_t *log);
void ngx_http_apigw_jwt_zone_store_error(ngx_http_apigw_jwt_zone_t *zone,
    ngx_log_t *log, const char *what, int rc);


#pragma GCC visibility pop


extern ngx_module_t  ngx_http_apigw_jwt_module;


#endif /* _NGX_HTTP_APIGW_JWT_ZONE_H_INCLUDED_ */
