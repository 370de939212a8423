/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_reap.h"


static int ngx_apigw_reap_look(ngx_apigw_store_t *store,
    ngx_apigw_reap_t *reap);
static int ngx_apigw_reap_write(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);


int
ngx_apigw_reap(ngx_apigw_store_t *store, ngx_apigw_reap_t *reap)
{
    int  rc;

    reap->deleted = 0;
    reap->damaged = 0;

    rc = ngx_apigw_reap_look(store, reap);

    if (rc == 0) {
        rc = ngx_apigw_store_write(store, ngx_apigw_reap_write, reap);
    }

    if (rc == MDB_NOTFOUND || rc == NGX_APIGW_STORE_EEMPTY) {
        return 0;
    }

    if (rc == 0 && reap->deleted == reap->most) {
        return EAGAIN;
    }

    return rc;
}


/* MDB_NOTFOUND if there is nothing to delete: a writer waits for others. */

static int
ngx_apigw_reap_look(ngx_apigw_store_t *store, ngx_apigw_reap_t *reap)
{
    int          rc;
    MDB_txn     *txn;
    MDB_val      key, value;
    MDB_cursor  *cursor;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc != 0) {
        return rc;
    }

    rc = mdb_cursor_open(txn, ngx_apigw_store_db(store, reap->db), &cursor);

    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);

        if (rc == 0
            && reap->judge(&key, reap->time) == NGX_APIGW_REAP_KEEP)
        {
            rc = MDB_NOTFOUND;
        }

        mdb_cursor_close(cursor);
    }

    ngx_apigw_store_read_end(store);

    return rc;
}


static int
ngx_apigw_reap_write(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_reap_t *reap = data;

    int                rc;
    MDB_val            key, value;
    MDB_cursor        *cursor;
    ngx_apigw_reap_e   verdict;

    /* it may be run again, see ngx_apigw_store_write() */

    reap->deleted = 0;
    reap->damaged = 0;

    rc = mdb_cursor_open(txn, ngx_apigw_store_db(store, reap->db), &cursor);

    if (rc != 0) {
        return rc;
    }

    while (reap->deleted < reap->most) {

        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);

        if (rc != 0) {
            break;
        }

        verdict = reap->judge(&key, reap->time);

        if (verdict == NGX_APIGW_REAP_KEEP) {
            break;
        }

        if (verdict == NGX_APIGW_REAP_DAMAGED) {

            rc = reap->aside(store, txn, reap->db, &key);

            if (rc != 0) {
                break;
            }

            reap->damaged++;

        } else if (reap->tell) {

            rc = reap->tell(txn, &key);

            if (rc != 0) {
                break;
            }
        }

        rc = mdb_cursor_del(cursor, 0);

        if (rc != 0) {
            break;
        }

        reap->deleted++;
    }

    mdb_cursor_close(cursor);

    return rc == MDB_NOTFOUND ? 0 : rc;
}
