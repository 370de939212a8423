/*
 * Copyright (C) the apigw authors
 */


/*
 * The tables of the usage module in front of a real store: processes that
 * charge, evict, load and flush at once and are killed; failures of the store
 * at every call; instances that die.  What was admitted is never more than
 * the limit, and all of it is in the store, once.  However requests that are
 * charged an estimate and then what they cost follow one another, the ledger
 * has as many units beyond a limit as there are in the end.
 *
 * "counter --make DIR" makes a store with a ledger of days long past,
 * "counter --damage DIR" damages two of its records.
 */


#include "counter.h"


static void
worker(unsigned seed, int rounds)
{
    int                 i, n, consumer;
    ngx_apigw_store_t  *store;

    store = open_store();

    for (i = 0; i < rounds; i++) {
        consumer = rand_r(&seed) % CONSUMERS;

        n = charge(store, consumer, LIMIT);

        if (n == 1) {
            (void) __sync_fetch_and_add(&shared->admitted[consumer], 1);

        } else if (n == 0) {
            (void) __sync_fetch_and_add(&shared->refused[consumer], 1);

        } else {
            (void) __sync_fetch_and_add(&shared->full, 1);
            usleep(200);
        }

        if (enter(store, consumer) == 1) {
            (void) __sync_fetch_and_add(&shared->entered[consumer], 1);
        }
    }

    _exit(0);
}


static void
flusher(void)
{
    ngx_apigw_store_t  *store;

    store = open_store();

    for ( ;; ) {
        (void) flush_all(store);
        usleep(300);
    }
}


static pid_t
spawn(void (*body)(void))
{
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        body();
        _exit(0);
    }

    return pid;
}


static void
test_processes(int kill_workers)
{
    int                      i, w, good, lost, ledger_good, killed;
    pid_t                    pids[WORKERS], helper;
    int64_t                  value;
    unsigned                 seed;
    uint64_t                 evictions, in_memory;
    ngx_apigw_store_t       *store;
    ngx_apigw_ledger_row_t   row;

    start();

    seed = 1;
    killed = 0;
    helper = spawn(flusher);

    for (i = 0; i < WORKERS; i++) {
        fflush(stdout);
        pids[i] = fork();

        if (pids[i] == 0) {
            worker(i + 1, 6000);
        }
    }

    for (i = 0; i < 40; i++) {
        usleep(15000);

        kill(helper, SIGKILL);
        waitpid(helper, NULL, 0);
        helper = spawn(flusher);

        if (kill_workers && i % 3 == 0) {
            w = rand_r(&seed) % WORKERS;

            if (kill(pids[w], SIGKILL) == 0) {
                waitpid(pids[w], NULL, 0);
                killed++;
                pids[w] = fork();

                if (pids[w] == 0) {
                    worker(1000 + i, 6000);
                }
            }
        }
    }

    for (i = 0; i < WORKERS; i++) {
        waitpid(pids[i], NULL, 0);
    }

    kill(helper, SIGKILL);
    waitpid(helper, NULL, 0);

    store = open_store();
    (void) flush_all(store);

    good = 1;
    lost = 0;
    ledger_good = 1;
    evictions = 0;
    in_memory = 0;

    for (i = 0; i < SETS && i < NGX_APIGW_COUNTER_EVICTIONS; i++) {
        evictions += table.evictions[i];
    }

    for (i = 0; i < CONSUMERS; i++) {
        value = stored(store, i, &row);

        in_memory += shared->admitted[i];

        /* a killed worker may have charged and not said so */

        if (value > LIMIT || shared->admitted[i] > LIMIT
            || (int64_t) shared->admitted[i] > value
            || value - shared->admitted[i] > killed)
        {
            printf("# consumer %d: admitted %u, stored %ld\n", i,
                   shared->admitted[i], (long) value);
            good = 0;
        }

        lost += value - shared->admitted[i];

        if (row.n[NGX_APIGW_LEDGER_REQUESTS] < shared->entered[i]
            || row.n[NGX_APIGW_LEDGER_REQUESTS] - shared->entered[i]
               > (uint64_t) killed
            || row.n[NGX_APIGW_LEDGER_OUT] < 1000 * (uint64_t)
                                             shared->entered[i]
            || (killed == 0 && row.n[NGX_APIGW_LEDGER_OUT]
                               != 1000 * (uint64_t) shared->entered[i])
            || (killed == 0 && row.n[NGX_APIGW_LEDGER_TIME]
                               != 3 * (uint64_t) shared->entered[i]))
        {
            printf("# consumer %d: entered %u, ledger %lu, bytes %lu\n", i,
                   shared->entered[i],
                   (unsigned long) row.n[NGX_APIGW_LEDGER_REQUESTS],
                   (unsigned long) row.n[NGX_APIGW_LEDGER_OUT]);
            ledger_good = 0;
        }
    }

    check(good, kill_workers ? "killed workers: no counter beyond its limit"
                             : "killed helpers: every counter is exact");
    check(ledger_good, kill_workers ? "killed workers: no entry is lost"
                                    : "killed helpers: every entry is exact");
    check(lost <= killed, "what was not told is of the killed");
    check(evictions > 100, "counters were evicted and came back");

    printf("# %lu admitted, %u without room, %lu evictions, %d killed\n",
           (unsigned long) in_memory, shared->full,
           (unsigned long) evictions, killed);

    ngx_apigw_store_close(store);
}


/* The n-th call of the store fails, for every n; then it works again. */

static void
test_faults(int late)
{
    int                      i, k, n, good, failed;
    uint32_t                 admitted[8], entered[8];
    ngx_apigw_store_t       *store;
    ngx_apigw_ledger_row_t   row;

    good = 1;
    failed = 0;
    fail_late = late;

    for (n = 1; n < 120 && good; n++) {
        empty_store();
        start();

        memset(admitted, 0, sizeof(admitted));
        memset(entered, 0, sizeof(entered));

        store = open_store();

        calls = 0;
        fail_at = n;

        for (k = 0; k < 4; k++) {
            for (i = 0; i < 8; i++) {
                admitted[i] += charge(store, i, 3) == 1;
                entered[i] += enter(store, i) == 1;
            }

            failed += flush_all(store) != 0;
        }

        fail_at = 0;

        good = flush_all(store) == 0;

        for (i = 0; i < 8; i++) {

            if (stored(store, i, &row) != (int64_t) admitted[i]
                || admitted[i] > 3
                || row.n[NGX_APIGW_LEDGER_REQUESTS] != entered[i]
                || row.n[NGX_APIGW_LEDGER_OUT] != 1000 * (uint64_t) entered[i])
            {
                printf("# call %d, consumer %d: %u and %u, stored %ld and "
                       "%lu\n", n, i, admitted[i], entered[i],
                       (long) stored(store, i, &row),
                       (unsigned long) row.n[0]);
                good = 0;
            }
        }

        ngx_apigw_store_close(store);
        close(instance.fd);
    }

    check(good, late ? "every commit may succeed and be reported as failed"
                     : "every call of the store may fail");
    check(failed > 10, "and did");
}


/* Restarts: parts of the dead become one, values stay. */

static void
test_instances(void)
{
    int                        i;
    char                       command[512];
    u_char                     key[NGX_APIGW_USAGE_KEY_MAX];
    MDB_txn                   *txn;
    MDB_val                    k, v;
    uint32_t                   parts;
    ngx_apigw_store_t         *store;
    ngx_apigw_ledger_row_t     row;
    ngx_apigw_counter_info_t   info;
    ngx_apigw_usage_record_t   record;
    ngx_apigw_window_span_t    span = { 0, NGX_APIGW_WINDOW_NEVER };

    static const ngx_str_t  name = { 10, (u_char *) "consumer-1" };

    empty_store();

    parts = 0;

    for (i = 0; i < 20; i++) {
        start();
        store = open_store();
        (void) charge(store, 1, 1000);
        (void) flush_all(store);

        if (i == 19) {
            ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0,
                                   &info);
            k.mv_data = key;
            k.mv_size = ngx_apigw_usage_key(key, &info, 0);

            if (ngx_apigw_store_read(store, &txn) == 0) {
                if (mdb_get(txn, ngx_apigw_store_db(store, 0), &k, &v) == 0
                    && ngx_apigw_usage_decode(&record, &v) == 0)
                {
                    parts = record.head.parts;
                }

                ngx_apigw_store_read_end(store);
            }

            check(stored(store, 1, &row) == 20, "20 restarts: the value");
            check(parts == 2, "20 restarts: two parts");
        }

        ngx_apigw_store_close(store);

        if (i != 19) {
            close(instance.fd);
        }
    }

    /* a living instance keeps its part, whoever writes beside it */

    i = instance.fd;
    start();
    store = open_store();
    (void) charge(store, 1, 1000);
    (void) flush_all(store);

    if (ngx_apigw_store_read(store, &txn) == 0) {
        if (mdb_get(txn, ngx_apigw_store_db(store, 0), &k, &v) == 0
            && ngx_apigw_usage_decode(&record, &v) == 0)
        {
            parts = record.head.parts;
        }

        ngx_apigw_store_read_end(store);
    }

    check(parts == 3, "an instance alive keeps its part");
    check(stored(store, 1, &row) == 21, "and the value is the sum");

    ngx_apigw_store_close(store);

    snprintf(command, sizeof(command), "test 2 = $(ls %s/instance.* | wc -l)",
             directory);

    check(ngx_apigw_instance_sweep(directory) == 0 && system(command) == 0,
          "files of the dead are removed, those of the living are not");

    close(i);
}


/* Replaces a value by something that is none. */

static int
damage_write(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    char                       text[32];
    u_char                     key[NGX_APIGW_LEDGER_MAX];
    MDB_val                    k, v;
    ngx_str_t                  name;
    ngx_apigw_hash_t           hash;
    ngx_apigw_ledger_info_t    info;
    ngx_apigw_counter_info_t   cinfo;
    ngx_apigw_window_span_t    span = { 0, NGX_APIGW_WINDOW_NEVER };

    v.mv_data = "broken";
    v.mv_size = 6;
    k.mv_data = key;

    name_of(1, text, &name, &hash);

    ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &cinfo);
    k.mv_size = ngx_apigw_usage_key(key, &cinfo, 0);

    if (mdb_put(txn, ngx_apigw_store_db(store, 0), &k, &v, 0) != 0) {
        return 1;
    }

    memset(&info, 0, sizeof(info));
    info.day = 20000;
    info.lens[0] = name.len;
    memcpy(info.names, name.data, name.len);
    k.mv_size = ngx_apigw_ledger_key(key, &info);

    return mdb_put(txn, ngx_apigw_store_db(store, 1), &k, &v, 0);
}


/* A record that is damaged, and one with too many instances, stop no other. */

static void
test_records(void)
{
    int                       i, rc;
    MDB_stat                  stat;
    MDB_txn                  *txn;
    ngx_apigw_store_t        *store;
    ngx_apigw_ledger_row_t    row;

    empty_store();
    start();
    store = open_store();

    for (i = 1; i < 4; i++) {
        (void) charge(store, i, 1000);
        (void) enter(store, i);
    }

    (void) flush_all(store);
    check(ngx_apigw_store_write(store, damage_write, NULL) == 0,
          "two records are damaged");
    check(stored(store, 1, &row) == -1, "and cannot be read");

    for (i = 1; i < 4; i++) {
        (void) charge(store, i, 1000);
        (void) enter(store, i);
    }

    check(flush_all(store) == 0, "damaged records: the flush succeeds");

    for (i = 1; i < 4; i++) {
        check(stored(store, i, &row) == 2 && row.n[0] == 2,
              i == 1 ? "the damaged ones are new" : "others are written");
    }

    stat.ms_entries = 0;

    if (ngx_apigw_store_read(store, &txn) == 0) {
        (void) mdb_stat(txn, ngx_apigw_store_db(store, 3), &stat);
        ngx_apigw_store_read_end(store);
    }

    check(stat.ms_entries == 2, "what they were is kept");

    /* who reads a damaged record begins anew */

    (void) ngx_apigw_store_write(store, damage_write, NULL);
    ngx_apigw_store_close(store);
    close(instance.fd);
    start();
    store = open_store();

    (void) charge(store, 2, 1000);
    check(flush_all(store) == 0 && stored(store, 2, &row) == 3,
          "the next instance writes others");

    /* every instance stays alive */

    for (i = 0, rc = 0; i < NGX_APIGW_USAGE_PARTS && rc == 0; i++) {
        ngx_apigw_store_close(store);
        start();
        store = open_store();

        (void) charge(store, 4, 100000);
        (void) enter(store, 4);
        (void) charge(store, 5, 100000);
        (void) enter(store, 5);

        if (i >= NGX_APIGW_USAGE_PARTS - 2) {
            (void) charge(store, 6, 100000);
            (void) enter(store, 6);
        }

        rc = flush_all(store);
    }

    check(rc == 0, "too many instances: the flush succeeds");
    check(stored(store, 4, &row) == NGX_APIGW_USAGE_PARTS - 1,
          "their counters have as many as fit");
    check(stored(store, 6, &row) == 2 && row.n[0] == 2, "others are written");

    ngx_apigw_store_close(store);
}


#define PAYERS   40
#define NOMINAL  280
#define FLIGHTS  6


/* One that is charged, and not settled. */

typedef struct {
    int       consumer;
    int64_t   units;
    int64_t   over;
} flight_t;


/* The slot of a counter, which is waited for. */

static ngx_uint_t
counter_slot(ngx_apigw_store_t *store, int consumer, uint64_t *tag)
{
    char                       text[32];
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

    *tag = id.tag;

    while ((slot = ngx_apigw_counter_find(&table, &id))
           == NGX_APIGW_COUNTER_NONE)
    {
        ngx_apigw_plan_counter(&plan, &plan.quotas[0], &span, &name, 0, &info);
        ngx_apigw_counter_load_begin(&table, &id, &load);

        rc = NGX_DECLINED;

        if (ngx_apigw_usage_load(store, shared->instance, &info, &load) == 0) {
            lock();
            rc = ngx_apigw_counter_insert(&table, &id, &load, &info, 1, &slot,
                                          &evicted);
            pthread_mutex_unlock(&shared->mutex);
        }

        if (rc == NGX_DECLINED) {
            usleep(200);
        }
    }

    return slot;
}


/* The entry of a consumer and a key, which is a worker's. */

static void
payer_info(int consumer, int key, ngx_apigw_ledger_info_t *info,
    ngx_apigw_counter_id_t *id)
{
    char              text[32];
    ngx_str_t         name;
    ngx_apigw_hash_t  hash;

    name_of(consumer, text, &name, &hash);

    ngx_apigw_counter_place_in(ledger.sets, &hash,
                               ngx_apigw_counter_mix(key + 1), id);

    memset(info, 0, sizeof(ngx_apigw_ledger_info_t));
    info->day = 20000;
    info->lens[NGX_APIGW_LEDGER_CONSUMER] = name.len;
    info->lens[NGX_APIGW_LEDGER_KEY] = 1;
    memcpy(info->names, name.data, name.len);
    info->names[name.len] = 'a' + key;
}


static void
enter_row(ngx_apigw_store_t *store, int consumer, int key,
    ngx_apigw_ledger_row_t *row)
{
    ngx_uint_t                 slot, evicted;
    ngx_apigw_ledger_row_t     own;
    ngx_apigw_counter_id_t     id;
    ngx_apigw_ledger_info_t    info;
    ngx_apigw_counter_load_t   load;

    payer_info(consumer, key, &info, &id);

    slot = ngx_apigw_ledger_find(&ledger, &id);

    while (slot == NGX_APIGW_COUNTER_NONE
           || ngx_apigw_ledger_add(&ledger, slot, id.tag, row) != NGX_OK)
    {
        ngx_apigw_ledger_load_begin(&ledger, &id, &load);

        slot = NGX_APIGW_COUNTER_NONE;

        if (ngx_apigw_ledger_load(store, shared->instance, &info, &own) == 0) {
            lock();

            if (ngx_apigw_ledger_insert(&ledger, &id, &load, &own, &info,
                                        &slot, &evicted)
                != NGX_OK)
            {
                slot = NGX_APIGW_COUNTER_NONE;
            }

            pthread_mutex_unlock(&shared->mutex);
        }

        if (slot == NGX_APIGW_COUNTER_NONE) {
            usleep(200);
        }
    }
}


static void
take_off(ngx_apigw_store_t *store, flight_t *flight, unsigned *seed)
{
    uint64_t    tag, value, total;
    ngx_uint_t  slot;

    flight->consumer = rand_r(seed) % PAYERS;
    flight->units = rand_r(seed) % 20;

    do {
        slot = counter_slot(store, flight->consumer, &tag);

    } while (ngx_apigw_counter_charge(&table, slot, tag, flight->units,
                                      NGX_APIGW_PLAN_OPEN, &value, &total)
             != NGX_OK);

    flight->over = ngx_apigw_counter_beyond(NOMINAL, value,
                                            value + flight->units);
}


static void
land(ngx_apigw_store_t *store, flight_t *flight, int key, unsigned *seed)
{
    int64_t                  units;
    uint64_t                 tag, before, after;
    ngx_uint_t               slot;
    ngx_apigw_ledger_row_t   row;

    units = rand_r(seed) % 3 ? rand_r(seed) % 20 : 0;

    do {
        slot = counter_slot(store, flight->consumer, &tag);

    } while (ngx_apigw_counter_change(&table, slot, tag, units - flight->units,
                                      &before, &after)
             != NGX_OK);

    flight->over += ngx_apigw_counter_beyond(NOMINAL, before, after);

    memset(&row, 0, sizeof(row));
    row.n[NGX_APIGW_LEDGER_REQUESTS] = 1;
    row.n[NGX_APIGW_LEDGER_INCLUDED] = units - flight->over;
    row.n[NGX_APIGW_LEDGER_OVERAGE] = flight->over;

    enter_row(store, flight->consumer, key, &row);
}


static void
payer(int key, unsigned seed, int rounds)
{
    int                 n;
    flight_t            flights[FLIGHTS];
    ngx_apigw_store_t  *store;

    store = open_store();

    for (n = 0; n < FLIGHTS; n++) {
        take_off(store, &flights[n], &seed);
    }

    while (rounds--) {
        n = rand_r(&seed) % FLIGHTS;
        land(store, &flights[n], key, &seed);
        take_off(store, &flights[n], &seed);
    }

    for (n = 0; n < FLIGHTS; n++) {
        land(store, &flights[n], key, &seed);
    }

    _exit(0);
}


static void
payers(unsigned seed)
{
    int                 i, w;
    pid_t               pids[WORKERS], helper;
    ngx_apigw_store_t  *store;

    start();
    helper = spawn(flusher);
    fflush(stdout);

    for (w = 0; w < WORKERS; w++) {
        pids[w] = fork();

        if (pids[w] == 0) {
            payer(w, seed + w, 300);
        }
    }

    for (i = 0, w = 0; w < WORKERS; i++) {
        usleep(5000);

        if (waitpid(pids[w], NULL, WNOHANG) == pids[w]) {
            w++;
        }

        /* not for ever: a helper that is killed early writes nothing */

        if (i % 8 == 0 && i < 80) {
            kill(helper, SIGKILL);
            waitpid(helper, NULL, 0);
            helper = spawn(flusher);
        }
    }

    kill(helper, SIGKILL);
    waitpid(helper, NULL, 0);

    store = open_store();
    (void) flush_all(store);
    ngx_apigw_store_close(store);
    close(instance.fd);
}


static int
payer_row(ngx_apigw_store_t *store, int consumer, int key,
    ngx_apigw_ledger_row_t *row)
{
    int                         rc;
    u_char                      name[NGX_APIGW_LEDGER_MAX];
    MDB_txn                    *txn;
    MDB_val                     k, v;
    ngx_apigw_counter_id_t      id;
    ngx_apigw_ledger_info_t     info;
    ngx_apigw_ledger_record_t   record;

    payer_info(consumer, key, &info, &id);

    k.mv_data = name;
    k.mv_size = ngx_apigw_ledger_key(name, &info);

    memset(row, 0, sizeof(ngx_apigw_ledger_row_t));

    if (ngx_apigw_store_read(store, &txn) != 0) {
        return 1;
    }

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_LEDGER), &k,
                 &v);

    if (rc == 0) {
        rc = ngx_apigw_ledger_decode(&record, &v);
    }

    if (rc == 0) {
        ngx_apigw_ledger_sum(&record, row);
    }

    ngx_apigw_store_read_end(store);

    return rc == MDB_NOTFOUND ? 0 : rc;
}


/*
 * Estimates too high and too low, some given back, by three keys, over a
 * restart: what one was charged beyond the limit because of another comes off
 * when that one is settled, under whatever key.
 */

static void
test_overage(void)
{
    int                      i, w, good, beyond, within, below;
    int64_t                  total, over, included, value;
    ngx_apigw_store_t       *store;
    ngx_apigw_ledger_row_t   row, any;

    empty_store();

    payers(10);
    payers(20);

    store = open_store();

    good = 1;
    beyond = within = below = 0;

    for (i = 0; i < PAYERS; i++) {
        total = stored(store, i, &any);
        over = included = 0;

        for (w = 0; w < WORKERS; w++) {
            good &= payer_row(store, i, w, &row) == 0;

            value = (int64_t) row.n[NGX_APIGW_LEDGER_OVERAGE];
            over += value;
            included += (int64_t) row.n[NGX_APIGW_LEDGER_INCLUDED];
            below += value < 0;
        }

        if (over != ngx_max(total - NOMINAL, 0) || over + included != total) {
            printf("# consumer %d: %ld units, %ld included, %ld beyond\n", i,
                   (long) total, (long) included, (long) over);
            good = 0;
        }

        beyond += over > 0;
        within += over == 0;
    }

    check(good, "overage: as much as there is beyond the limit in the end");
    check(beyond > 2 && within > 2, "overage: some are beyond it, some not");
    printf("# %d beyond, %d within, %d entries below 0\n", beyond, within,
           below);

    ngx_apigw_store_close(store);
}


/* What wraps around in memory is below 0 in the store. */

static void
test_signed(void)
{
    ngx_apigw_store_t       *store;
    ngx_apigw_ledger_row_t   row;

    empty_store();
    start();
    store = open_store();

    memset(&row, 0, sizeof(row));
    row.n[NGX_APIGW_LEDGER_INCLUDED] = 30;
    row.n[NGX_APIGW_LEDGER_OVERAGE] = -30;
    enter_row(store, 1, 0, &row);

    (void) flush_all(store);
    check(payer_row(store, 1, 0, &row) == 0
          && (int64_t) row.n[NGX_APIGW_LEDGER_OVERAGE] == -30
          && row.n[NGX_APIGW_LEDGER_INCLUDED] == 30, "signed: below 0");

    /* read from the store, with a part of the dead */

    ngx_apigw_store_close(store);
    close(instance.fd);
    start();
    store = open_store();

    memset(&row, 0, sizeof(row));
    row.n[NGX_APIGW_LEDGER_OVERAGE] = 20;
    enter_row(store, 1, 0, &row);
    (void) flush_all(store);

    memset((void *) ledger.pairs, 0, SETS * NGX_APIGW_LEDGER_WAYS
                                     * sizeof(ngx_apigw_pair_t));
    memset(ledger.entries, 0, SETS * NGX_APIGW_LEDGER_WAYS
                              * sizeof(ngx_apigw_ledger_entry_t));

    row.n[NGX_APIGW_LEDGER_OVERAGE] = -25;
    enter_row(store, 1, 0, &row);
    row.n[NGX_APIGW_LEDGER_OVERAGE] = 40;
    enter_row(store, 1, 0, &row);
    (void) flush_all(store);

    check(payer_row(store, 1, 0, &row) == 0
          && row.n[NGX_APIGW_LEDGER_OVERAGE] == 5
          && row.n[NGX_APIGW_LEDGER_INCLUDED] == 30,
          "signed: through 0, evicted, over a restart");

    ngx_apigw_store_close(store);
    close(instance.fd);
}


/*
 * A number with the tag of another entry, whose description is gone: nobody
 * can write it, and the slot is free.
 */

static void
test_foreign(void)
{
    ngx_uint_t                  slot;
    ngx_apigw_store_t          *store;
    ngx_apigw_ledger_row_t      row;
    volatile ngx_apigw_pair_t  *pair;

    empty_store();
    start();
    store = open_store();

    for (slot = 0; slot < SETS * NGX_APIGW_LEDGER_WAYS; slot++) {
        pair = ngx_apigw_ledger_pair(&ledger, slot, NGX_APIGW_LEDGER_RATE);
        pair->tag = 4711;
        pair->value = 1 | NGX_APIGW_COUNTER_DIRTY;
    }

    check(enter(store, 1) == 1, "foreign: there is room");
    check(flush_all(store) == 0 && stored(store, 1, &row) == 0
          && row.n[NGX_APIGW_LEDGER_REQUESTS] == 1
          && row.n[NGX_APIGW_LEDGER_RATE] == 0, "foreign: and it is not ours");

    ngx_apigw_store_close(store);
    close(instance.fd);
}


/* Units given back that a reset has taken off already are nobody's. */

static void
test_reset(void)
{
    char                     text[32];
    uint64_t                 before, after;
    ngx_str_t                name;
    ngx_uint_t               i, n, slot;
    ngx_apigw_hash_t         hash;
    ngx_apigw_store_t       *store;
    ngx_apigw_counter_id_t   id;

    for (i = 0; i < 2; i++) {
        empty_store();
        start();
        store = open_store();

        for (n = 0; n < 20; n++) {
            (void) charge(store, 1, LIMIT);
        }

        name_of(1, text, &name, &hash);
        ngx_apigw_counter_place(&table, &hash, plan.quotas[0].salt, &id);
        slot = ngx_apigw_counter_find(&table, &id);

        table.infos[slot].others = (ngx_atomic_uint_t) -20;

        (void) ngx_apigw_counter_change(&table, slot, id.tag, -15, &before,
                                        &after);

        check(before == 0 && after == 0, "reset: nothing to give back");

        n = 0;

        if (i == 1) {
            n = 5;
            (void) ngx_apigw_counter_change(&table, slot, id.tag, n, &before,
                                            &after);

            check(before == 0 && after == n, "reset: what is added counts");
        }

        while (n <= 2 * LIMIT && charge(store, 1, LIMIT) == 1) {
            n++;
        }

        check(n == LIMIT, "reset: and the limit holds");

        ngx_apigw_store_close(store);
        close(instance.fd);
    }
}


static int
make_past(const char *where)
{
    int                        rc;
    char                       text[32];
    ngx_uint_t                 day;
    ngx_apigw_store_t         *store;
    ngx_apigw_ledger_row_t     row, own;
    ngx_apigw_ledger_info_t    info;
    ngx_apigw_counter_id_t     id;
    ngx_apigw_counter_load_t   load;
    ngx_apigw_hash_t           hash;
    ngx_str_t                  name;
    ngx_uint_t                 slot, evicted;

    strncpy(directory, where, sizeof(directory) - 1);
    start();
    store = open_store();

    /* five days ago, three days ago, and the day before yesterday */

    for (day = 5; day >= 2; day--) {

        if (day == 4) {
            continue;
        }

        name_of(1, text, &name, &hash);
        memset(&info, 0, sizeof(info));
        memset(&own, 0, sizeof(own));
        memset(&row, 0, sizeof(row));
        info.day = time(NULL) / 86400 - day;
        info.lens[0] = name.len;
        memcpy(info.names, name.data, name.len);
        row.n[0] = day;
        ngx_apigw_counter_place_in(ledger.sets, &hash,
                                   ngx_apigw_counter_salt(7, info.day), &id);
        ngx_apigw_ledger_load_begin(&ledger, &id, &load);

        if (ngx_apigw_ledger_insert(&ledger, &id, &load, &own, &info, &slot,
                                    &evicted) != NGX_OK
            || ngx_apigw_ledger_add(&ledger, slot, id.tag, &row) != NGX_OK)
        {
            return 1;
        }
    }

    rc = flush_all(store);
    ngx_apigw_store_close(store);

    return rc != 0;
}


/* A value and a name, three days ago. */

static int
damage_day(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                       rc;
    u_char                    key[NGX_APIGW_LEDGER_MAX];
    MDB_val                   k, v;
    ngx_apigw_ledger_info_t   info;

    memset(&info, 0, sizeof(info));
    info.day = time(NULL) / 86400 - 3;
    info.lens[0] = 6;
    memcpy(info.names, "broken", 6);

    k.mv_data = key;
    k.mv_size = ngx_apigw_ledger_key(key, &info);
    v.mv_data = "value";
    v.mv_size = 5;

    rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_LEDGER), &k,
                 &v, 0);

    if (rc == 0) {
        k.mv_size--;
        rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_LEDGER),
                     &k, &v, 0);
    }

    return rc;
}


static int
damage_past(const char *where)
{
    int                 rc;
    ngx_apigw_store_t  *store;

    strncpy(directory, where, sizeof(directory) - 1);
    store = open_store();

    rc = ngx_apigw_store_write(store, damage_day, NULL);

    ngx_apigw_store_close(store);

    return rc != 0;
}


/* Tables fill the room they are given, and a counter takes 128 bytes. */

static void
test_space(void)
{
    int       good;
    size_t    room;
    uint32_t  sets, entries;

    good = 1;

    for (room = 0; room < 64 << 20; room += room / 7 + 997) {
        sets = ngx_apigw_counter_sets(room);
        entries = ngx_apigw_ledger_sets(room);

        if ((sets && ngx_apigw_counter_size(sets) > room)
            || ngx_apigw_counter_size(sets + 1) <= room
            || ngx_apigw_ledger_size(entries) > room
            || ngx_apigw_ledger_size(entries + 1) <= room)
        {
            printf("# %lu bytes: %u sets, %u of entries\n",
                   (unsigned long) room, sets, entries);
            good = 0;
        }
    }

    check(good, "tables fit, and no larger ones would");

    room = ngx_apigw_counter_size(1 << 20) - ngx_apigw_counter_size(1 << 19);
    check(room >> 19 == 128 * NGX_APIGW_COUNTER_WAYS,
          "a counter takes 128 bytes");

    room = ngx_apigw_ledger_size(1 << 20) - ngx_apigw_ledger_size(1 << 19);
    check(room >> 19 == 432 * NGX_APIGW_LEDGER_WAYS,
          "an entry of the ledger takes 432 bytes");
}


int
main(int argc, char **argv)
{
    make_plan();

    if (argc == 3 && strcmp(argv[1], "--make") == 0) {
        return make_past(argv[2]);
    }

    if (argc == 3 && strcmp(argv[1], "--damage") == 0) {
        return damage_past(argv[2]);
    }

    if (mkdtemp(directory) == NULL) {
        perror("mkdtemp");
        return 1;
    }

    test_processes(0);
    empty_store();
    test_processes(1);
    test_faults(0);
    test_faults(1);
    test_instances();
    test_records();
    test_overage();
    test_signed();
    test_foreign();
    test_reset();
    test_space();

    empty_store();
    (void) rmdir(directory);

    printf("1..%u\n", count);

    return 0;
}
