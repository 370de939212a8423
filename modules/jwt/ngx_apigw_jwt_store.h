/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_JWT_STORE_H_INCLUDED_
#define _NGX_APIGW_JWT_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_store.h"


/*
 * What auth_jwt_zone keeps in its store: revocations, which the command line
 * writes and the workers read, and the last good key set of each issuer,
 * which the helper writes and a restarted nginx reads.
 *
 * Uses nothing of nginx but its types and macros.
 */


#define NGX_APIGW_JWT_ISSUER_ID          16
#define NGX_APIGW_JWT_REVOCATION_MAX     1024   /* bytes of a value */

#define NGX_APIGW_JWT_STORE_EBROKEN      (-31301)
#define NGX_APIGW_JWT_STORE_ELOST        (-31302)  /* empty, but was not */


/* By what a token is revoked: the first byte of its key in the store. */

typedef enum {
    NGX_APIGW_JWT_BY_JTI = 'j',
    NGX_APIGW_JWT_BY_KID = 'k',
    NGX_APIGW_JWT_BY_SUB = 's'
} ngx_apigw_jwt_by_e;


typedef struct {
    ngx_apigw_jwt_by_e       by;
    ngx_str_t                value;
    uint64_t                 made;      /* seconds */
    uint64_t                 until;     /* the first second that it is over,
                                           0: never */
} ngx_apigw_jwt_revocation_t;


typedef struct {
    uint64_t                 fetched;   /* seconds */
    uint64_t                 expires;
    ngx_str_t                text;
} ngx_apigw_jwt_saved_t;


typedef int (*ngx_apigw_jwt_revocation_pt)(void *data,
    const ngx_apigw_jwt_revocation_t *revocation);


#pragma GCC visibility push(hidden)


extern const ngx_apigw_store_kind_t  ngx_apigw_jwt_store_kind;


/*
 * All return 0, MDB_NOTFOUND, or what is wrong with the store.  What is found
 * is valid until the end of the transaction.  A value may have up to
 * NGX_APIGW_JWT_REVOCATION_MAX bytes; a longer one is EINVAL and revoked by
 * nobody.
 */

int ngx_apigw_jwt_store_get(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_by_e by, const ngx_str_t *value,
    ngx_apigw_jwt_revocation_t *revocation);
int ngx_apigw_jwt_store_put(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_jwt_revocation_t *revocation);
int ngx_apigw_jwt_store_delete(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_by_e by, const ngx_str_t *value);


/*
 * What the others do, for who serves requests: between ngx_apigw_store_look()
 * and _look_end().  What is found lies in the file.  A revocation that is
 * damaged is never none: _find() looks at its neighbours if there seems to be
 * none.
 */

int ngx_apigw_jwt_store_find(ngx_apigw_store_t *store, ngx_apigw_jwt_by_e by,
    const ngx_str_t *value, ngx_apigw_jwt_revocation_t *revocation);
uint64_t ngx_apigw_jwt_store_count(ngx_apigw_store_t *store);

/* the key set of an issuer */

int ngx_apigw_jwt_store_load(ngx_apigw_store_t *store,
    const u_char id[NGX_APIGW_JWT_ISSUER_ID], ngx_apigw_jwt_saved_t *saved);


/* Ends with what each() returns if that is not 0. */

int ngx_apigw_jwt_store_each(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_revocation_pt each, void *data);


/*
 * Deletes up to max revocations that are over by now, in a transaction of its
 * own, if there are any; *n says how many.
 */

int ngx_apigw_jwt_store_reap(ngx_apigw_store_t *store, uint64_t now,
    ngx_uint_t max, ngx_uint_t *n);


int ngx_apigw_jwt_store_save(ngx_apigw_store_t *store,
    const u_char id[NGX_APIGW_JWT_ISSUER_ID],
    const ngx_apigw_jwt_saved_t *saved);


const char *ngx_apigw_jwt_store_strerror(int rc);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_JWT_STORE_H_INCLUDED_ */
