/*
 * Copyright (C) the apigw authors
 */


/*
 * The usage module's store: counters of windows that share an end, what other
 * instances write while a counter is read, what is deleted and what is not, and
 * what is not written since the file is damaged.
 */


#include "counter.h"


static void
refresh(void *data, ngx_uint_t slot, uint64_t tag, int64_t others,
    int64_t grant)
{
    lock();

    if (slot == NGX_APIGW_COUNTER_NONE) {
        ngx_apigw_counter_refreshed(&table, tag);

    } else if (table.pairs[slot].tag == tag) {
        table.infos[slot].others = others;
        table.infos[slot].grant = grant;
    }

    pthread_mutex_unlock(&shared->mutex);
}


static int
refresh_all(ngx_apigw_store_t *store)
{
    int                       rc;
    ngx_apigw_usage_flush_t   f;

    memset(&f, 0, sizeof(f));

    f.store = store;
    f.instance = shared->instance;
    f.table = &table;

    while ((rc = ngx_apigw_usage_refresh(&f, refresh, NULL)) == EAGAIN) {
        /* void */
    }

    return rc;
}


/*
 * A worker reads a counter, another instance writes it, the pass that brings
 * all "others" up to date comes and goes, and only then the worker inserts.
 */

static void
test_stale(void)
{
    char                       text[32], data[sizeof(directory) + 20];
    void                      *mine;
    ngx_int_t                  rc;
    ngx_str_t                  name;
    ngx_uint_t                 slot, evicted;
    struct stat                sb;
    ngx_apigw_hash_t           hash;
    ngx_apigw_store_t         *store;
    ngx_apigw_ledger_row_t     row;
    ngx_apigw_counter_id_t     id;
    ngx_apigw_counter_info_t   info;
    ngx_apigw_counter_load_t   load;
    ngx_apigw_window_span_t    span = { 0, NGX_APIGW_WINDOW_NEVER };

    empty_store();
    start();
    store = open_store();

    name_of(1, text, &name, &hash);
    ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &info);

    (void) charge(store, 2, 1000);
    (void) flush_all(store);

    ngx_apigw_counter_place(&table, &hash, plan.quotas[0].salt, &id);
    ngx_apigw_counter_load_begin(&table, &id, &load);
    check(ngx_apigw_usage_load(store, shared->instance, &info, &load) == 0
          && load.version > 0, "a worker reads a counter");

    mine = shared;
    start();
    (void) charge(store, 1, 1000);
    (void) flush_all(store);
    shared = mine;
    map_tables();

    check(refresh_all(store) == 0, "another one writes it, all are refreshed");

    lock();
    rc = ngx_apigw_counter_insert(&table, &id, &load, &info, 1, &slot,
                                  &evicted);
    pthread_mutex_unlock(&shared->mutex);

    check(rc == NGX_AGAIN, "what was read before is not inserted");

    ngx_apigw_counter_load_begin(&table, &id, &load);
    (void) ngx_apigw_usage_load(store, shared->instance, &info, &load);

    lock();
    rc = ngx_apigw_counter_insert(&table, &id, &load, &info, 1, &slot,
                                  &evicted);
    pthread_mutex_unlock(&shared->mutex);

    check(rc == NGX_OK && load.others == 1
          && (int64_t) table.infos[slot].others == 1,
          "what is read again is");
    check(stored(store, 1, &row) == 1, "and the store has it once");

    /* as if there had been a store that was further */

    ngx_apigw_counter_refreshed(&table, load.version + 1000);

    name_of(3, text, &name, &hash);
    ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &info);
    ngx_apigw_counter_place(&table, &hash, plan.quotas[0].salt, &id);
    ngx_apigw_counter_load_begin(&table, &id, &load);
    (void) ngx_apigw_usage_load(store, shared->instance, &info, &load);

    check(ngx_apigw_counter_insert(&table, &id, &load, &info, 1, &slot,
                                   &evicted) == NGX_AGAIN
          && refresh_all(store) == 0
          && ngx_apigw_counter_insert(&table, &id, &load, &info, 1, &slot,
                                      &evicted) == NGX_OK,
          "nor is it refused because of another file");

    /* what was used is not to be looked for in a part of a file */

    snprintf(data, sizeof(data), "%s/data.mdb", directory);

    check(stat(data, &sb) == 0 && truncate(data, sb.st_size - 1) == 0
          && ngx_apigw_usage_load(store, shared->instance, &info, &load)
             == NGX_APIGW_STORE_ESHORT, "a store cut short is none");

    ngx_apigw_store_close(store);
}


/* A counter as an older apigw has written it, by kind and window. */

static int
window_used(ngx_apigw_store_t *store, uint32_t begin, uint32_t end,
    int64_t *used)
{
    int                        rc;
    char                       text[32];
    ngx_str_t                  name;
    ngx_apigw_hash_t           hash;
    ngx_apigw_counter_info_t   info;
    ngx_apigw_counter_load_t   load;
    ngx_apigw_window_span_t    span;

    span.start = begin;
    span.end = end;

    name_of(1, text, &name, &hash);
    ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &info);

    rc = ngx_apigw_usage_load(store, shared->instance, &info, &load);

    *used = (int64_t) load.own + load.others;

    return rc;
}


static int
window_charge(ngx_apigw_store_t *store, uint32_t begin, uint32_t end, int n)
{
    char                       text[32];
    uint64_t                   value, total;
    ngx_str_t                  name;
    ngx_uint_t                 slot, evicted;
    ngx_apigw_hash_t           hash;
    ngx_apigw_counter_id_t     id;
    ngx_apigw_counter_info_t   info;
    ngx_apigw_counter_load_t   load;
    ngx_apigw_window_span_t    span;

    span.start = begin;
    span.end = end;

    name_of(1, text, &name, &hash);

    ngx_apigw_counter_place(&table, &hash,
                ngx_apigw_counter_salt(plan.quotas[0].salt,
                                       ngx_apigw_counter_window(begin, end)),
                &id);
    slot = ngx_apigw_counter_find(&table, &id);

    if (slot == NGX_APIGW_COUNTER_NONE) {
        ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &info);
        ngx_apigw_counter_load_begin(&table, &id, &load);

        if (ngx_apigw_usage_load(store, shared->instance, &info, &load) != 0) {
            return -1;
        }

        if (ngx_apigw_counter_insert(&table, &id, &load, &info, 1, &slot,
                                     &evicted)
            != NGX_OK)
        {
            return -1;
        }
    }

    while (n--) {
        if (ngx_apigw_counter_charge(&table, slot, id.tag, 1, 1000, &value,
                                     &total)
            != NGX_OK)
        {
            return -1;
        }
    }

    return 0;
}


/*
 * Windows that share one end, as after a change of an anchor from 30 to 31 in
 * February, are counted apart, in memory and in the store.
 */

static void
test_windows(void)
{
    int                 i, good;
    int64_t             used;
    ngx_apigw_store_t  *store;

    static const struct {
        uint32_t  start, end;
        int       n;
    } windows[] = {
        { 1769731200, 1772236800, 3 },      /* 30 January to 28 February */
        { 1769817600, 1772236800, 5 },      /* 31 January to 28 February */
        { 1772236800, 1774828800, 7 },      /* 28 February to 30 March */
        { 1772236800, 1774915200, 11 }      /* 28 February to 31 March */
    };

    empty_store();
    start();
    store = open_store();

    for (i = 0, good = 1; i < 4; i++) {
        good &= window_charge(store, windows[i].start, windows[i].end,
                              windows[i].n) == 0;
    }

    good &= flush_all(store) == 0;
    check(good, "windows that share an end are charged and written");

    /* the next instance writes them, too */

    ngx_apigw_store_close(store);
    close(instance.fd);
    start();
    store = open_store();

    for (i = 3; i >= 0; i--) {
        good &= window_charge(store, windows[i].start, windows[i].end, 1) == 0;
    }

    good &= flush_all(store) == 0;

    for (i = 0; i < 4; i++) {
        good &= window_used(store, windows[i].start, windows[i].end, &used)
                == 0;

        if (used != windows[i].n + 1) {
            printf("# window %d: %ld\n", i, (long) used);
            good = 0;
        }
    }

    check(good, "and have counts of their own over a restart");

    ngx_apigw_store_close(store);
    close(instance.fd);
}


typedef struct {
    ngx_uint_t   db;
    const void  *key;
    size_t       len;
} name_t;


static int
name_write(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    name_t  *name = data;

    MDB_val  k, v;

    k.mv_data = (void *) name->key;
    k.mv_size = name->len;
    v.mv_data = "value";
    v.mv_size = 5;

    return mdb_put(txn, ngx_apigw_store_db(store, name->db), &k, &v, 0);
}


static long
records(ngx_apigw_store_t *store, ngx_uint_t db)
{
    MDB_txn   *txn;
    MDB_stat   stat;

    stat.ms_entries = 0;

    if (ngx_apigw_store_read(store, &txn) == 0) {
        (void) mdb_stat(txn, ngx_apigw_store_db(store, db), &stat);
        ngx_apigw_store_read_end(store);
    }

    return (long) stat.ms_entries;
}


/* What nobody can read is kept when its days are deleted. */

static uint32_t
kept(ngx_apigw_store_t *store)
{
    int        rc;
    MDB_txn   *txn;
    uint32_t   day;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc == 0) {
        rc = ngx_apigw_ledger_kept(txn, &day);
        ngx_apigw_store_read_end(store);
    }

    return rc == 0 ? day : (uint32_t) -1;
}


static void
test_reap(void)
{
    int                        i, rc;
    u_char                     names[6][511];
    ngx_apigw_store_t         *store;
    ngx_apigw_usage_flush_t    f;
    ngx_apigw_ledger_flush_t   lf;

    static const name_t  bad[] = {
        { NGX_APIGW_USAGE_LEDGER, "\0", 1 },
        { NGX_APIGW_USAGE_LEDGER, "\0\0\1\0xxxxxxxxxx", 14 },
        { NGX_APIGW_USAGE_LEDGER, NULL, 511 },
        { NGX_APIGW_USAGE_LEDGER, NULL, 511 },
        { NGX_APIGW_USAGE_COUNTERS, "\0\0", 2 },
        { NGX_APIGW_USAGE_COUNTERS, NULL, 300 }
    };

    empty_store();
    start();
    store = open_store();

    (void) charge(store, 1, 1000);
    (void) enter(store, 1);
    (void) window_charge(store, 1000, 2000, 1);
    (void) flush_all(store);

    for (i = 0, rc = 0; i < 6 && rc == 0; i++) {
        name_t  name = bad[i];

        if (name.key == NULL) {
            memset(names[i], 'x', sizeof(names[i]));
            memset(names[i], 0, 8);
            names[i][bad[i].len - 1] = 'a' + i;
            name.key = names[i];
        }

        rc = ngx_apigw_store_write(store, name_write, &name);
    }

    check(rc == 0 && records(store, NGX_APIGW_USAGE_LEDGER) == 5
          && records(store, NGX_APIGW_USAGE_COUNTERS) == 4,
          "records with names that are none");

    memset(&f, 0, sizeof(f));
    memset(&lf, 0, sizeof(lf));
    f.store = lf.store = store;

    while ((rc = ngx_apigw_usage_reap(&f, 3000)) == EAGAIN) { /* void */ }
    check(rc == 0 && f.damaged == 2, "counters of the past are deleted");

    while ((rc = ngx_apigw_ledger_reap(&lf, 20000)) == EAGAIN) { /* void */ }
    check(rc == 0 && lf.damaged == 4, "days of the past are deleted");

    check(records(store, NGX_APIGW_USAGE_LEDGER) == 1
          && records(store, NGX_APIGW_USAGE_COUNTERS) == 1,
          "what is not over is there");
    check(records(store, NGX_APIGW_USAGE_DAMAGED) == 6,
          "and what could not be read is kept");
    check(kept(store) == 0, "no day has lost anything that counts");

    while ((rc = ngx_apigw_ledger_reap(&lf, 20001)) == EAGAIN) { /* void */ }
    check(rc == 0 && records(store, NGX_APIGW_USAGE_LEDGER) == 0,
          "a day later that is deleted, too");
    check(kept(store) == 20001, "and the store tells of which days it is not "
          "all there is");

    ngx_apigw_store_close(store);
    close(instance.fd);
}


/* A clock that was set deletes nothing. */

static void
test_clock(void)
{
    int                       i, good;
    int64_t                   wall;
    uint64_t                  msec;
    ngx_apigw_usage_clock_t   clock;

    memset(&clock, 0, sizeof(clock));

    wall = 1800000000;
    msec = 5000;
    good = 1;

    /* every minute, slewed by half a second each time */

    for (i = 0; i < 1440; i++, wall += 60, msec += 59500) {
        good &= ngx_apigw_usage_clock(&clock, wall, msec) == 0;
        good &= !ngx_apigw_usage_clock_steady(&clock);
    }

    for (i = 0; i < 20; i++, wall += 60, msec += 59500) {
        good &= ngx_apigw_usage_clock(&clock, wall, msec) == 0;
    }

    good &= ngx_apigw_usage_clock_steady(&clock);
    check(good, "clock: steady after a day, not before");

    wall += 70 * 365 * 86400LL;
    good = ngx_apigw_usage_clock(&clock, wall, msec) > 69 * 365 * 86400LL;
    good &= !ngx_apigw_usage_clock_steady(&clock);
    check(good, "clock: not after it was set forwards");

    msec += 86400000;
    wall += 86400;
    good = ngx_apigw_usage_clock(&clock, wall, msec) == 0;
    good &= ngx_apigw_usage_clock_steady(&clock);
    check(good, "clock: steady again after another day");

    wall -= 3600;
    good = ngx_apigw_usage_clock(&clock, wall, msec) == -3600;
    good &= !ngx_apigw_usage_clock_steady(&clock);
    check(good, "clock: nor after it was set back");
}


/* Gives values of consumer-1 a length that no page has; returns how many. */

static int
damage_length(void)
{
    int         n, i, off;
    char        name[300];
    FILE       *file;
    u_char      page[4096];
    uint16_t    flags, lower, offset, len;

    static const char  key[] = "consumer-1";

    n = 0;
    snprintf(name, sizeof(name), "%s/data.mdb", directory);
    file = fopen(name, "r+");

    for (off = 0; fread(page, sizeof(page), 1, file) == 1; off++) {
        memcpy(&flags, page + 10, 2);
        memcpy(&lower, page + 12, 2);

        if (!(flags & 2) || (flags & 4) || lower < 16 || lower > 4096) {
            continue;
        }

        for (i = 16; i < lower; i += 2) {
            memcpy(&offset, page + i, 2);
            memcpy(&len, page + offset + 6, 2);

            if (memmem(page + offset + 8, len, key, sizeof(key) - 1)) {
                page[offset + 2] = 0xff;
                page[offset + 3] = 0x0f;
                n++;
            }
        }

        fseek(file, (long) off * 4096, SEEK_SET);
        fwrite(page, sizeof(page), 1, file);
        fseek(file, (long) (off + 1) * 4096, SEEK_SET);
    }

    fclose(file);

    return n;
}


/* Where a page is damaged nothing is written, and nobody dies of it. */

static void
test_page(void)
{
    int                 n, kept, status;
    pid_t               pid;
    ngx_apigw_store_t  *store;

    empty_store();
    start();
    store = open_store();

    for (n = 0; n < 10; n++) {
        (void) charge(store, n, LIMIT);
        (void) enter(store, n);
    }

    check(flush_all(store) == 0, "page: written");

    for (n = 0; n < 10; n++) {
        (void) charge(store, n, LIMIT);
        (void) enter(store, n);
    }

    check(damage_length() > 1, "page: damaged");

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        _exit(flush_all(store) != 0);
    }

    check(waitpid(pid, &status, 0) == pid && status == 0,
          "page: the rest goes on");
    kept = 0;

    for (n = 0; n < SETS * NGX_APIGW_COUNTER_WAYS; n++) {
        kept += (table.pairs[n].value & NGX_APIGW_COUNTER_DIRTY) != 0;
    }

    check(kept > 0, "page: what cannot be written is kept");

    ngx_apigw_store_close(store);
    close(instance.fd);
}


int
main(void)
{
    make_plan();

    if (mkdtemp(directory) == NULL) {
        perror("mkdtemp");
        return 1;
    }

    test_stale();
    test_windows();
    test_reap();
    test_clock();
    test_page();

    empty_store();
    (void) rmdir(directory);

    printf("1..%u\n", count);

    return 0;
}
