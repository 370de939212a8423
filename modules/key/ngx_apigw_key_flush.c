/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_flush.h"


typedef struct {
    ngx_apigw_key_uses_t        *uses;
    ngx_apigw_key_use_copy_t    *copies;
    ngx_uint_t                   n;
    time_t                       now;
} ngx_apigw_key_flush_t;


static int ngx_apigw_key_flush_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);


int
ngx_apigw_key_flush(ngx_apigw_store_t *store, ngx_apigw_key_uses_t *uses,
    ngx_apigw_key_use_copy_t *copies, ngx_uint_t n, time_t now)
{
    int                    rc;
    ngx_apigw_key_flush_t  flush;

    ngx_apigw_key_uses_begin(uses, copies, n);

    flush.uses = uses;
    flush.copies = copies;
    flush.n = n;
    flush.now = now;

    rc = ngx_apigw_store_write(store, ngx_apigw_key_flush_body, &flush);

    /* a commit that fails may be in the store all the same */

    if (rc == 0) {
        ngx_apigw_key_uses_end(uses, 1);
    }

    return rc;
}


static int
ngx_apigw_key_flush_body(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_key_flush_t *flush = data;

    int                        rc;
    ngx_uint_t                 i;
    ngx_apigw_key_use_copy_t  *copy;

    for (i = 0; i < flush->n; i++) {

        copy = &flush->copies[i];

        rc = ngx_apigw_key_used_add(store, txn, &copy->id, copy->last,
                                    copy->count);
        if (rc != 0) {
            return rc;
        }
    }

    return ngx_apigw_key_used_mark(store, txn, &flush->uses->name,
                                   flush->uses->batch, flush->now);
}


int
ngx_apigw_key_flush_recover(ngx_apigw_store_t *store,
    ngx_apigw_key_uses_t *uses)
{
    int        rc;
    MDB_txn   *txn;
    uint64_t   number;

    number = 0;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc == 0) {
        rc = ngx_apigw_key_used_marked(store, txn, &uses->name, &number);

        ngx_apigw_store_read_end(store);
    }

    if (rc != 0 && rc != MDB_NOTFOUND && rc != NGX_APIGW_STORE_EEMPTY) {
        return rc;
    }

    ngx_apigw_key_uses_end(uses, rc == 0 && number == uses->batch);

    return 0;
}
