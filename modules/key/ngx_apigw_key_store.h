/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_STORE_H_INCLUDED_
#define _NGX_APIGW_KEY_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_hash.h"
#include "ngx_apigw_key.h"
#include "ngx_apigw_key_record.h"
#include "ngx_apigw_store.h"


/*
 * The keys of a zone, one LMDB environment:
 *
 *     keys       digest -> record, seal
 *     ids        id -> digest
 *     consumers  consumer, zero byte, id -> digest
 *
 * and, in the directory "used" inside it, another environment for what
 * changes all the time, so that the number of the last transaction of the
 * first one tells whether any key has changed:
 *
 *     used       id -> ngx_apigw_key_used_t
 *                zero byte, name of a zone -> the last batch of it
 *
 * The seal, 8 bytes, is a hash of the record under a part of the digest: a
 * record that was damaged on the disk, or has come to stand under another
 * key, is no record.
 *
 * Uses nothing of nginx but its types.  All functions return what those of
 * ngx_apigw_store.h do; besides, MDB_NOTFOUND if there is no such key,
 * MDB_KEYEXIST if there is one already, and EINVAL if a record fails its
 * check, or the ones below.
 */


#define NGX_APIGW_KEY_STORE_EBROKEN  (-31101)   /* contradicts itself */
#define NGX_APIGW_KEY_STORE_ELATER   (-31102)   /* record of a later version */

/* the number of "keys" among the databases */

#define NGX_APIGW_KEY_STORE_KEYS     0

#define NGX_APIGW_KEY_STORE_USED     "used"


/* All numbers little-endian, as on every machine we run on. */

typedef struct {
    uint64_t             first;     /* seconds since the epoch */
    uint64_t             last;
    uint64_t             count;
} ngx_apigw_key_used_t;


typedef struct {
    const u_char        *digest;    /* NGX_APIGW_KEY_DIGEST bytes */
    ngx_str_t            encoded;   /* empty if the seal is broken */
} ngx_apigw_key_found_t;


/* A value other than 0 ends the walk and is returned by it. */

typedef int (*ngx_apigw_key_each_pt)(void *data,
    ngx_apigw_key_found_t *found);

typedef int (*ngx_apigw_key_used_each_pt)(void *data, ngx_str_t *id,
    ngx_apigw_key_used_t *used);


#pragma GCC visibility push(hidden)


extern const ngx_apigw_store_kind_t  ngx_apigw_key_store_kind;
extern const ngx_apigw_store_kind_t  ngx_apigw_key_used_kind;


/* What is found stays valid until the transaction ends or writes. */

int ngx_apigw_key_store_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_found_t *found);
int ngx_apigw_key_store_get_id(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, ngx_apigw_key_found_t *found);


/* What _get() does with a value of "keys" that was found otherwise. */

void ngx_apigw_key_store_unseal(const u_char *digest, const ngx_str_t *value,
    ngx_apigw_key_found_t *found);


/*
 * Decodes what was found; the result points into it.
 * NGX_APIGW_KEY_STORE_EBROKEN or NGX_APIGW_KEY_STORE_ELATER if it cannot.
 */

int ngx_apigw_key_store_record(ngx_apigw_key_found_t *found,
    ngx_apigw_key_record_t *rec);


/*
 * To be called in the body of ngx_apigw_store_write().  _put() adds a new
 * key, _replace() gives the key with the record's id another record, and
 * another digest if that is not NULL, _delete() removes the key.  The record
 * must not point into this transaction's pages.
 */

int ngx_apigw_key_store_put(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_record_t *rec);
int ngx_apigw_key_store_replace(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_record_t *rec);
int ngx_apigw_key_store_delete(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id);


/*
 * Calls each() for the keys in the order of their ids, after the id "after"
 * if that is not NULL; of one consumer only if that is not NULL.  each() must
 * not change the store.
 */

int ngx_apigw_key_store_each(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *consumer, const ngx_str_t *after,
    ngx_apigw_key_each_pt each, void *data);

int ngx_apigw_key_store_count(ngx_apigw_store_t *store, MDB_txn *txn,
    size_t *n);


/*
 * The last use, in the store of the other kind.  _get() of an id that was
 * never used returns MDB_NOTFOUND; _add() adds "count" uses, the last one at
 * "last".
 */

int ngx_apigw_key_used_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, ngx_apigw_key_used_t *used);
int ngx_apigw_key_used_add(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, uint64_t last, uint64_t count);
int ngx_apigw_key_used_delete(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id);
int ngx_apigw_key_used_each(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_key_used_each_pt each, void *data);


/*
 * A mark tells which batch of uses of a zone is in the store: _mark() belongs
 * into the transaction that writes the batch, whose number is 1 or larger.
 * _marked() returns MDB_NOTFOUND if nothing of the zone was written.
 */

int ngx_apigw_key_used_mark(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_hash_key_t *name, uint64_t number, uint64_t now);
int ngx_apigw_key_used_marked(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_hash_key_t *name, uint64_t *number);


/* A text for every code above and those of ngx_apigw_store.h. */

const char *ngx_apigw_key_store_strerror(int rc);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_STORE_H_INCLUDED_ */
