/*
 * Copyright (C) the apigw authors
 */


/*
 * The tables of the usage module in front of a real store whose calls can be
 * made to fail, for counter.c and usage_store.c.
 */


#ifndef _COUNTER_H_INCLUDED_
#define _COUNTER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <lmdb.h>


static int fault_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data,
    unsigned int flags);
static int fault_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data);
static int fault_begin(MDB_env *env, MDB_txn *parent, unsigned int flags,
    MDB_txn **txn);
static int fault_commit(MDB_txn *txn);

#define mdb_put        fault_put
#define mdb_get        fault_get
#define mdb_txn_begin  fault_begin
#define mdb_txn_commit fault_commit

#include "../../modules/common/ngx_apigw_instance.c"
#include "../../modules/common/ngx_apigw_reap.c"
#include "../../modules/common/ngx_apigw_store.c"
#include "../../modules/common/ngx_apigw_store_file.c"
#include "../../modules/common/ngx_apigw_store_view.c"
#include "../../modules/common/ngx_apigw_tree.c"
#include "../../modules/common/ngx_apigw_window.c"
#include "../../modules/usage/ngx_apigw_counter.c"
#include "../../modules/usage/ngx_apigw_ledger.c"
#include "../../modules/usage/ngx_apigw_ledger_store.c"
#include "../../modules/usage/ngx_apigw_plan.c"
#include "../../modules/usage/ngx_apigw_usage_store.c"

#undef mdb_put
#undef mdb_get
#undef mdb_txn_begin
#undef mdb_txn_commit

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>


#define SETS       3
#define CONSUMERS  120
#define LIMIT      25
#define WORKERS    3


static char      directory[256] = "/tmp/apigw-counter-XXXXXX";
static unsigned  count;
static long      calls, fail_at;
static int       fail_late;


typedef struct {
    pthread_mutex_t  mutex;
    uint64_t         instance;
    uint32_t         admitted[CONSUMERS];
    uint32_t         entered[CONSUMERS];
    uint32_t         refused[CONSUMERS];
    uint32_t         full;
    uint32_t         charges;
    u_char           tables[1] __attribute__((aligned(64)));
} shared_t;


static shared_t                  *shared;
static ngx_apigw_counter_table_t  table;
static ngx_apigw_ledger_table_t   ledger;
static ngx_apigw_instance_t       instance;
static ngx_apigw_plan_t           plan;
static ngx_apigw_hash_key_t       hash_key = {{ 1, 2 }};


static int
faulty(void)
{
    return fail_at && ++calls == fail_at;
}


static int
fault_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data,
    unsigned int flags)
{
    return faulty() ? ENOSPC : mdb_put(txn, dbi, key, data, flags);
}


static int
fault_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    return faulty() ? EIO : mdb_get(txn, dbi, key, data);
}


static int
fault_begin(MDB_env *env, MDB_txn *parent, unsigned int flags, MDB_txn **txn)
{
    return faulty() ? ENOMEM : mdb_txn_begin(env, parent, flags, txn);
}


/* A commit fails, or succeeds and is reported as failed. */

static int
fault_commit(MDB_txn *txn)
{
    int  rc;

    if (!faulty()) {
        return mdb_txn_commit(txn);
    }

    if (fail_late) {
        rc = mdb_txn_commit(txn);
        return rc ? rc : EIO;
    }

    mdb_txn_abort(txn);

    return ENOSPC;
}


static void
check(int good, const char *what)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", ++count, what);
    fflush(stdout);
}


static void
lock(void)
{
    if (pthread_mutex_lock(&shared->mutex) == EOWNERDEAD) {
        pthread_mutex_consistent(&shared->mutex);
    }
}


static void
map_tables(void)
{
    ngx_apigw_counter_map(&table, shared->tables, SETS);
    ngx_apigw_ledger_map(&ledger,
                         ngx_align_ptr(shared->tables
                                       + ngx_apigw_counter_size(SETS), 64),
                         SETS);
}


/* Fresh tables and a new instance, as a start of nginx makes them. */

static void
start(void)
{
    size_t               size;
    pthread_mutexattr_t  attr;

    size = sizeof(shared_t) + ngx_apigw_counter_size(SETS)
           + ngx_apigw_ledger_size(SETS) + 256;

    shared = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                  -1, 0);

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->mutex, &attr);

    map_tables();

    if (ngx_apigw_instance_create(&instance, directory) != 0) {
        perror("instance");
        exit(1);
    }

    shared->instance = instance.id;
}


static void
name_of(int consumer, char *text, ngx_str_t *name, ngx_apigw_hash_t *hash)
{
    name->len = sprintf(text, "consumer-%d", consumer);
    name->data = (u_char *) text;

    ngx_apigw_hash(hash, &hash_key, name->data, name->len);
}


static ngx_apigw_store_t *
open_store(void)
{
    int                 rc;
    ngx_apigw_store_t  *store;

    rc = ngx_apigw_store_open(&store, directory, &ngx_apigw_usage_kind);

    if (rc != 0) {
        fprintf(stderr, "open: %s\n", ngx_apigw_store_strerror(rc));
        exit(1);
    }

    return store;
}


/* A charge as a worker makes it: 1 admitted, 0 refused, -1 no room. */

static int
charge(ngx_apigw_store_t *store, int consumer, uint64_t limit)
{
    char                       text[32];
    uint64_t                   value, total, seen;
    ngx_int_t                  rc;
    ngx_str_t                  name;
    ngx_uint_t                 slot, evicted;
    ngx_apigw_hash_t           hash;
    ngx_apigw_counter_id_t     id;
    ngx_apigw_counter_info_t   info;
    ngx_apigw_counter_load_t   load;
    ngx_apigw_window_span_t    span = { 0, NGX_APIGW_WINDOW_NEVER };

    name_of(consumer, text, &name, &hash);

    ngx_apigw_counter_place(&table, &hash, plan.quotas[0].salt, &id);

    for ( ;; ) {
        slot = ngx_apigw_counter_find(&table, &id);

        if (slot != NGX_APIGW_COUNTER_NONE) {
            rc = ngx_apigw_counter_peek(&table, slot, id.tag, 1, limit,
                                        &value, &total, &seen);

            /* others charge, write and evict it now and then in between */

            if (++shared->charges % 16 == 0) {
                usleep(50);
            }

            if (rc == NGX_OK) {
                rc = ngx_apigw_counter_charge_seen(&table, slot, id.tag, seen,
                                                   1, limit, &value, &total);
            }

            if (rc == NGX_AGAIN) {
                rc = ngx_apigw_counter_charge(&table, slot, id.tag, 1, limit,
                                              &value, &total);
            }

            if (rc == NGX_OK) {
                return 1;
            }

            if (rc == NGX_DECLINED) {
                return 0;
            }

            continue;
        }

        ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &info);
        ngx_apigw_counter_load_begin(&table, &id, &load);

        if (ngx_apigw_usage_load(store, shared->instance, &info, &load) != 0) {
            return -1;
        }

        lock();

        rc = ngx_apigw_counter_insert(&table, &id, &load, &info, 1, &slot,
                                      &evicted);

        pthread_mutex_unlock(&shared->mutex);

        if (rc == NGX_DECLINED) {
            return -1;
        }
    }
}


static int
enter(ngx_apigw_store_t *store, int consumer)
{
    char                       text[32];
    ngx_int_t                  rc;
    ngx_str_t                  name;
    ngx_uint_t                 slot, evicted;
    ngx_apigw_hash_t           hash;
    ngx_apigw_ledger_row_t     row, own;
    ngx_apigw_counter_id_t     id;
    ngx_apigw_ledger_info_t    info;
    ngx_apigw_counter_load_t   load;

    name_of(consumer, text, &name, &hash);

    ngx_apigw_counter_place_in(ledger.sets, &hash, 7, &id);

    memset(&row, 0, sizeof(row));
    row.n[NGX_APIGW_LEDGER_REQUESTS] = 1;
    row.n[NGX_APIGW_LEDGER_2XX] = 1;
    row.n[NGX_APIGW_LEDGER_OUT] = 1000;
    row.n[NGX_APIGW_LEDGER_TIME] = 3;

    memset(&info, 0, sizeof(info));
    info.day = 20000;
    info.lens[0] = name.len;
    memcpy(info.names, name.data, name.len);

    slot = ngx_apigw_ledger_find(&ledger, &id);

    for ( ;; ) {
        if (slot != NGX_APIGW_COUNTER_NONE
            && ngx_apigw_ledger_add(&ledger, slot, id.tag, &row) == NGX_OK)
        {
            return 1;
        }

        ngx_apigw_ledger_load_begin(&ledger, &id, &load);

        if (ngx_apigw_ledger_load(store, shared->instance, &info, &own) != 0) {
            return -1;
        }

        lock();
        rc = ngx_apigw_ledger_insert(&ledger, &id, &load, &own, &info, &slot,
                                     &evicted);
        pthread_mutex_unlock(&shared->mutex);

        if (rc == NGX_DECLINED) {

            if (row.n[NGX_APIGW_LEDGER_REQUESTS] == 0) {
                usleep(500);
                slot = NGX_APIGW_COUNTER_NONE;
                continue;
            }

            return -1;
        }

        if (rc == NGX_AGAIN) {
            slot = NGX_APIGW_COUNTER_NONE;
        }
    }
}


static int
flush_all(ngx_apigw_store_t *store)
{
    int                        rc;
    ngx_apigw_usage_flush_t    f;
    ngx_apigw_ledger_flush_t   lf;

    static ngx_apigw_usage_note_t   notes[NGX_APIGW_USAGE_BATCH];
    static ngx_apigw_ledger_note_t  lnotes[NGX_APIGW_LEDGER_BATCH];

    memset(&f, 0, sizeof(f));
    memset(&lf, 0, sizeof(lf));

    f.store = lf.store = store;
    f.directory = lf.directory = directory;
    f.instance = lf.instance = shared->instance;
    f.table = &table;
    f.notes = notes;
    lf.table = &ledger;
    lf.notes = lnotes;
    lf.dead = &f.dead;

    while ((rc = ngx_apigw_usage_flush(&f)) == EAGAIN) { /* void */ }

    if (rc == 0) {
        while ((rc = ngx_apigw_ledger_flush(&lf)) == EAGAIN) { /* void */ }
    }

    return rc;
}


/* What the store has of a consumer, over all instances. */

static int64_t
stored(ngx_apigw_store_t *store, int consumer, ngx_apigw_ledger_row_t *row)
{
    char                        text[32];
    u_char                      key[NGX_APIGW_LEDGER_MAX];
    MDB_txn                    *txn;
    MDB_val                     k, v;
    ngx_str_t                   name;
    ngx_apigw_hash_t            hash;
    ngx_apigw_ledger_info_t     info;
    ngx_apigw_counter_info_t    cinfo;
    ngx_apigw_counter_load_t    load;
    ngx_apigw_ledger_record_t   record;
    ngx_apigw_window_span_t     span = { 0, NGX_APIGW_WINDOW_NEVER };

    name_of(consumer, text, &name, &hash);

    ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &cinfo);

    if (ngx_apigw_usage_load(store, 0, &cinfo, &load) != 0) {
        return -1;
    }

    memset(row, 0, sizeof(ngx_apigw_ledger_row_t));
    memset(&info, 0, sizeof(info));
    info.day = 20000;
    info.lens[0] = name.len;
    memcpy(info.names, name.data, name.len);

    k.mv_data = key;
    k.mv_size = ngx_apigw_ledger_key(key, &info);

    if (ngx_apigw_store_read(store, &txn) == 0) {
        if (mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_LEDGER),
                    &k, &v)
            == 0
            && ngx_apigw_ledger_decode(&record, &v) == 0)
        {
            ngx_apigw_ledger_sum(&record, row);
        }

        ngx_apigw_store_read_end(store);
    }

    return (int64_t) load.own + load.others;
}


static void
empty_store(void)
{
    char  command[512];

    snprintf(command, sizeof(command), "rm -f %s/*", directory);

    if (system(command) != 0) {
        exit(1);
    }
}


static void
make_plan(void)
{
    plan.name.data = (u_char *) "plan";
    plan.name.len = 4;
    plan.family = plan.name;
    plan.nquotas = 1;
    plan.quotas[0].window.kind = NGX_APIGW_WINDOW_LIFETIME;
    ngx_apigw_plan_limit(&plan.quotas[0], LIMIT);
    ngx_apigw_plan_salts(&plan);
}


#endif /* _COUNTER_H_INCLUDED_ */
