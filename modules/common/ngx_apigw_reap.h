/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_REAP_H_INCLUDED_
#define _NGX_APIGW_REAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_store.h"


/*
 * Deletes what has expired from a database whose keys begin with a time: from
 * the first key to the first that has not expired, a bounded number of records
 * in a transaction.  Uses nothing of nginx but its types.
 */


typedef enum {
    NGX_APIGW_REAP_KEEP = 0,
    NGX_APIGW_REAP_EXPIRED,
    NGX_APIGW_REAP_DAMAGED           /* expired, and is no key of ours */
} ngx_apigw_reap_e;


/* Judges a key; "time" is what the caller counts in, days for instance. */

typedef ngx_apigw_reap_e (*ngx_apigw_reap_judge_pt)(const MDB_val *key,
    uint64_t time);


/* Keeps the record of a damaged key elsewhere; 0 or an error of the store. */

typedef int (*ngx_apigw_reap_aside_pt)(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_uint_t db, MDB_val *key);


/* Before what has expired is deleted, in that transaction; 0 or an error. */

typedef int (*ngx_apigw_reap_tell_pt)(MDB_txn *txn, const MDB_val *key);


typedef struct {
    ngx_uint_t                db;        /* index in the store's kind */
    ngx_uint_t                most;      /* records in a transaction */
    uint64_t                  time;
    ngx_apigw_reap_judge_pt   judge;
    ngx_apigw_reap_aside_pt   aside;     /* unused if none is DAMAGED */
    ngx_apigw_reap_tell_pt    tell;      /* of what is EXPIRED; may be NULL */

    ngx_uint_t                deleted;   /* set by ngx_apigw_reap() */
    ngx_uint_t                damaged;   /* of them */
} ngx_apigw_reap_t;


#pragma GCC visibility push(hidden)


/*
 * Returns 0 if all is deleted, EAGAIN if there may be more to delete, or an
 * error of the store.  Where nothing has expired nothing is written.
 */

int ngx_apigw_reap(ngx_apigw_store_t *store, ngx_apigw_reap_t *reap);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_REAP_H_INCLUDED_ */
