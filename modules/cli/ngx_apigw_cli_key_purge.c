/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_key.h"


#define NGX_APIGW_CLI_PURGE_BATCH  1000


typedef struct {
    ngx_apigw_cli_key_t       *key;
    u_char                     ids[NGX_APIGW_CLI_PURGE_BATCH]
                                  [NGX_APIGW_KEY_ID_MAX];
    ngx_str_t                  list[NGX_APIGW_CLI_PURGE_BATCH];
    ngx_uint_t                 n;
    ngx_uint_t                 done;
    u_char                     after_id[NGX_APIGW_KEY_ID_MAX];
    ngx_str_t                  after;
    time_t                     before;
    ngx_uint_t                 more;      /* than a batch */
    ngx_uint_t                 failed;    /* to print, which is told */
} ngx_apigw_cli_purge_t;


static int ngx_apigw_cli_key_purge_find(ngx_apigw_cli_purge_t *pg);
static int ngx_apigw_cli_key_purge_batch(ngx_apigw_cli_purge_t *pg,
    ngx_uint_t *total);
static int ngx_apigw_cli_key_purge_print(ngx_apigw_cli_purge_t *pg);
static int ngx_apigw_cli_key_purge_each(void *data,
    ngx_apigw_key_found_t *found);
static int ngx_apigw_cli_key_purge_body(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);


/* In batches: nobody waits long for the writer's lock. */

int
ngx_apigw_cli_key_purge(ngx_apigw_cli_t *cli)
{
    int                     rc;
    ngx_uint_t              total;
    ngx_apigw_cli_key_t     key;
    ngx_apigw_cli_purge_t  *pg;

    rc = ngx_apigw_cli_key_open(cli, &key, 1);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    pg = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_purge_t));
    ngx_memzero(pg, sizeof(ngx_apigw_cli_purge_t));

    pg->key = &key;
    pg->before = cli->now - key.conf->expired_for;
    pg->after.data = pg->after_id;
    total = 0;

    do {
        rc = ngx_apigw_cli_key_purge_find(pg);

        if (rc == 0 && pg->n) {
            rc = key.conf->dry_run ? ngx_apigw_cli_key_purge_print(pg)
                                   : ngx_apigw_cli_key_purge_batch(pg, &total);
        }

    } while (rc == 0 && pg->more);

    if (rc != 0 && !pg->failed) {
        rc = ngx_apigw_cli_key_failed(&key, NULL, rc);
    }

    if (!key.conf->dry_run) {
        ngx_apigw_cli_note("removed %d key%s", (int) total,
                           total == 1 ? "" : "s");
    }

    free(pg);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


static int
ngx_apigw_cli_key_purge_find(ngx_apigw_cli_purge_t *pg)
{
    int       rc;
    MDB_txn  *txn;

    pg->n = 0;
    pg->more = 0;

    rc = ngx_apigw_store_read(pg->key->store, &txn);

    if (rc == NGX_APIGW_STORE_EEMPTY) {
        return 0;
    }

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_key_store_each(pg->key->store, txn, NULL,
                                  pg->after.len ? &pg->after : NULL,
                                  ngx_apigw_cli_key_purge_each, pg);
    ngx_apigw_store_read_end(pg->key->store);

    if (rc == EAGAIN) {
        pg->more = 1;
        return 0;
    }

    return rc;
}


static int
ngx_apigw_cli_key_purge_batch(ngx_apigw_cli_purge_t *pg, ngx_uint_t *total)
{
    int  rc;

    rc = ngx_apigw_cli_key_write(pg->key, ngx_apigw_cli_key_purge_body, pg);

    if (rc == 0) {
        *total += pg->done;
        ngx_apigw_cli_key_forget(pg->key, pg->list, pg->n);
    }

    return rc;
}


static int
ngx_apigw_cli_key_purge_print(ngx_apigw_cli_purge_t *pg)
{
    ngx_uint_t           i;
    ngx_apigw_cli_buf_t  b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    for (i = 0; i < pg->n; i++) {
        ngx_apigw_cli_buf_add(&b, pg->list[i].data, pg->list[i].len);
        ngx_apigw_cli_buf_literal(&b, "\n");
    }

    pg->failed = ngx_apigw_cli_flush(&b) != NGX_OK;

    ngx_apigw_cli_buf_free(&b);

    return pg->failed ? NGX_APIGW_CLI_FAILED : 0;
}


static int
ngx_apigw_cli_key_purge_each(void *data, ngx_apigw_key_found_t *found)
{
    ngx_apigw_cli_purge_t *pg = data;

    ngx_str_t               *id;
    ngx_apigw_key_record_t   rec;

    if (pg->n == NGX_APIGW_CLI_PURGE_BATCH) {
        return EAGAIN;
    }

    /* what cannot be read is not for us to remove */

    if (ngx_apigw_key_store_record(found, &rec) != 0) {
        return 0;
    }

    ngx_memcpy(pg->after_id, rec.id.data, rec.id.len);
    pg->after.len = rec.id.len;

    if (rec.expires == 0 || rec.expires > pg->before) {
        return 0;
    }

    id = &pg->list[pg->n];
    id->data = pg->ids[pg->n];
    id->len = rec.id.len;
    ngx_memcpy(id->data, rec.id.data, rec.id.len);

    pg->n++;

    return 0;
}


/* Somebody may have renewed a key meanwhile. */

static int
ngx_apigw_cli_key_purge_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_cli_purge_t *pg = data;

    int                      rc;
    ngx_uint_t               i;
    ngx_apigw_key_found_t    found;
    ngx_apigw_key_record_t   rec;

    pg->done = 0;

    rc = ngx_apigw_cli_audit_begin(&pg->key->audit, txn);

    for (i = 0; i < pg->n && rc == 0; i++) {

        rc = ngx_apigw_key_store_get_id(store, txn, &pg->list[i], &found);

        if (rc == 0) {
            rc = ngx_apigw_key_store_record(&found, &rec);
        }

        if (rc == MDB_NOTFOUND) {
            rc = 0;
            continue;
        }

        if (rc == 0 && rec.expires && rec.expires <= pg->before) {
            rc = ngx_apigw_cli_key_delete(pg->key, store, txn, "purge",
                                          &pg->list[i]);
            pg->done++;
        }
    }

    return ngx_apigw_cli_audit_end(&pg->key->audit, rc);
}
