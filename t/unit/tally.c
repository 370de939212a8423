/*
 * Copyright (C) the apigw authors
 */


/*
 * The tally of versions in front of a real store: processes that count, evict
 * and flush at once and are killed; failures of the store at every call;
 * instances that die.  Every call is in the store once.
 *
 * "tally --make DIR" makes a store of days that are over.  APIGW_LONG=1 makes
 * the race longer.
 */


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
#include "../../modules/version/ngx_apigw_tally.c"
#include "../../modules/version/ngx_apigw_tally_store.c"

#undef mdb_put
#undef mdb_get
#undef mdb_txn_begin
#undef mdb_txn_commit

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>


#define SETS     3
#define CALLERS  120
#define WORKERS  3
#define DAY      20000


typedef struct {
    pthread_mutex_t      mutex;
    ngx_atomic_t         lives;
    uint32_t             counted[CALLERS];
    uint32_t             full;
    u_char               table[1] __attribute__((aligned(64)));
} shared_t;


static char                      directory[256] = "/tmp/apigw-tally-XXXXXX";
static unsigned                  tests, failed;
static long                      calls, fail_at;
static int                       fail_late;
static shared_t                 *shared;
static ngx_apigw_tally_table_t   table;
static ngx_apigw_instance_t      instance;
static ngx_apigw_tally_note_t    notes[NGX_APIGW_TALLY_BATCH];
static ngx_apigw_tally_flush_t   flush;
static ngx_apigw_hash_key_t      key = {{ 1, 2 }};
static ngx_str_t                 api = ngx_string("orders");
static ngx_str_t                 v1 = ngx_string("v1");


static int
faulty(void)
{
    return fail_at && ++calls == fail_at;
}


static int
fault_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *k, MDB_val *data,
    unsigned int flags)
{
    return faulty() ? ENOSPC : mdb_put(txn, dbi, k, data, flags);
}


static int
fault_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *k, MDB_val *data)
{
    return faulty() ? EIO : mdb_get(txn, dbi, k, data);
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
    printf("%s %u - %s\n", good ? "ok" : "not ok", ++tests, what);
    fflush(stdout);

    failed += !good;
}


static void
lock(void)
{
    if (pthread_mutex_lock(&shared->mutex) == EOWNERDEAD) {
        pthread_mutex_consistent(&shared->mutex);
    }
}


/* A fresh table and a new instance, as a start of nginx makes them. */

static void
start(void)
{
    size_t               size;
    pthread_mutexattr_t  attr;

    size = sizeof(shared_t) + ngx_apigw_tally_size(SETS) + 64;

    shared = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                  -1, 0);

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->mutex, &attr);

    ngx_apigw_tally_map(&table, shared->table, SETS, &shared->lives);

    if (ngx_apigw_instance_create(&instance, directory) != 0) {
        perror("instance");
        exit(1);
    }
}


static ngx_apigw_store_t *
open_store(void)
{
    int                 rc;
    ngx_apigw_store_t  *store;

    rc = ngx_apigw_store_open(&store, directory, &ngx_apigw_tally_kind);

    if (rc != 0) {
        fprintf(stderr, "open: %s\n", ngx_apigw_store_strerror(rc));
        exit(1);
    }

    return store;
}


static void
name_of(int caller, uint32_t day, ngx_apigw_tally_id_t *id,
    ngx_apigw_tally_info_t *info)
{
    char              text[32];
    ngx_str_t         name;
    ngx_apigw_hash_t  hash;

    name.data = (u_char *) text;
    name.len = sprintf(text, "caller-%d", caller);

    ngx_apigw_hash(&hash, &key, name.data, name.len);
    ngx_apigw_tally_place(&table, id, &key, day, 1, &hash);
    ngx_apigw_tally_name(info, day, &api, &v1, 1, &name);
}


/* A call as a worker counts it: 1, or 0 if there is no room. */

static int
count_call(int caller, uint32_t day, uint32_t second)
{
    ngx_int_t               rc;
    ngx_uint_t              evicted;
    ngx_apigw_tally_id_t    id;
    ngx_apigw_tally_info_t  info;

    name_of(caller, day, &id, &info);

    if (ngx_apigw_tally_count(&table, &id, second) == NGX_OK) {
        return 1;
    }

    lock();
    rc = ngx_apigw_tally_insert(&table, &id, &info, second, &evicted);
    pthread_mutex_unlock(&shared->mutex);

    return rc == NGX_OK;
}


static void
mark(void *data, const ngx_apigw_tally_note_t *note)
{
    lock();
    ngx_apigw_tally_written(&table, note);
    pthread_mutex_unlock(&shared->mutex);
}


static int
flush_all(ngx_apigw_store_t *store)
{
    int  rc;

    flush.store = store;
    flush.directory = directory;
    flush.instance = instance.id;
    flush.table = &table;
    flush.notes = notes;
    flush.cursor = 0;

    do {
        rc = ngx_apigw_tally_flush(&flush, mark, NULL);
    } while (rc == EAGAIN);

    return rc;
}


typedef struct {
    int       caller;
    uint64_t  calls;
    uint32_t  last;
    unsigned  records;
} sum_t;


static int
sum(void *data, const ngx_apigw_tally_info_t *info, uint64_t n, uint32_t last)
{
    sum_t *s = data;

    char    text[32];
    size_t  len;

    len = sprintf(text, "caller-%d", s->caller);

    if (s->caller < 0
        || (info->caller == len
            && memcmp(info->names + info->api + info->version, text, len)
               == 0))
    {
        s->calls += n;
        s->last = ngx_max(s->last, last);
        s->records++;
    }

    return 0;
}


/* What the store has of a caller, -1: of all. */

static sum_t
stored(ngx_apigw_store_t *store, int caller)
{
    sum_t  s = { caller, 0, 0, 0 };

    if (ngx_apigw_tally_walk(store, 0, 0xffffffff, sum, &s) != 0) {
        s.calls = (uint64_t) -1;
    }

    return s;
}


static void
test_names(void)
{
    char                    text[200];
    u_char                  name[NGX_APIGW_TALLY_KEY_MAX];
    MDB_val                 value;
    ngx_str_t               caller, label;
    ngx_apigw_tally_info_t  info, other, back;

    memset(text, 'x', sizeof(text));

    caller.data = (u_char *) text;
    caller.len = NGX_APIGW_TALLY_CALLER - 1;

    ngx_apigw_tally_name(&info, DAY, &api, &v1, 0x81, &caller);
    check(info.caller == caller.len
          && memcmp(info.names + 8, text, caller.len) == 0,
          "a caller that fits is kept");

    caller.len = NGX_APIGW_TALLY_CALLER;
    ngx_apigw_tally_name(&info, DAY, &api, &v1, 0x81, &caller);
    check(info.caller == NGX_APIGW_TALLY_CALLER
          && memcmp(info.names + 8, text, caller.len) != 0,
          "one that does not is shortened");

    caller.len = sizeof(text);
    ngx_apigw_tally_name(&other, DAY, &api, &v1, 0x81, &caller);
    check(other.caller == NGX_APIGW_TALLY_CALLER
          && memcmp(info.names, other.names, sizeof(info.names)) != 0,
          "and differs from others that begin alike");

    label.data = (u_char *) text;
    label.len = NGX_APIGW_TALLY_LABEL;
    ngx_apigw_tally_name(&info, DAY, &label, &label, 0x81, &caller);
    check(info.api + info.version + info.caller == NGX_APIGW_TALLY_NAME,
          "the longest of all three");

    value.mv_data = name;
    value.mv_size = ngx_apigw_tally_key(name, &info);
    check(value.mv_size <= NGX_APIGW_TALLY_KEY_MAX
          && ngx_apigw_tally_key_decode(&back, &value) == NGX_OK
          && memcmp(&back, &info, sizeof(info)) == 0, "key and back");

    value.mv_size--;
    check(ngx_apigw_tally_key_decode(&back, &value) == NGX_ERROR,
          "a key that is cut");
    value.mv_size = 3;
    check(ngx_apigw_tally_key_decode(&back, &value) == NGX_ERROR,
          "a key that is no key");
    name[5] = name[6] = name[7] = 0xff;
    value.mv_size = 8 + 3 * 0xff;
    check(ngx_apigw_tally_key_decode(&back, &value) == NGX_ERROR,
          "a key whose lengths are too much");
}


/* The life of an entry, step by step. */

static void
test_lives(ngx_apigw_store_t *store)
{
    sum_t                    s;
    ngx_uint_t               i, slot, evicted;
    ngx_apigw_tally_id_t     id;
    ngx_apigw_tally_info_t   info;
    ngx_apigw_tally_note_t   note, none;

    start();
    name_of(0, DAY, &id, &info);

    check(ngx_apigw_tally_count(&table, &id, 5) == NGX_DECLINED,
          "an entry that is not there");

    count_call(0, DAY, 500);
    count_call(0, DAY, 700);
    count_call(0, DAY, 600);
    slot = ngx_apigw_tally_find(&table, &id);

    check(ngx_apigw_tally_dirty(&table, slot, &note, &info) == NGX_OK
          && (note.value & NGX_APIGW_TALLY_CALLS) == 3,
          "three calls, not written yet");

    check(flush_all(store) == 0, "flush");
    s = stored(store, 0);
    check(s.calls == 3 && s.last == 700, "three calls and the latest second");
    check(ngx_apigw_tally_dirty(&table, slot, &none, &info) == NGX_DECLINED,
          "the entry is clean");

    /* others take all the slots of its sets */

    for (i = 1; ngx_apigw_tally_find(&table, &id) != NGX_APIGW_TALLY_NONE; i++)
    {
        count_call(i % CALLERS, DAY, 1);
        flush_all(store);
    }

    check(i < 1000, "it was evicted for others");
    count_call(0, DAY, 100);

    name_of(0, DAY, &id, &info);
    slot = ngx_apigw_tally_find(&table, &id);

    /* a note of the life before, of the very same value */

    note.slot = slot;
    note.value = table.pairs[slot].value;
    mark(NULL, &note);
    check(ngx_apigw_tally_dirty(&table, slot, &none, &info) == NGX_OK,
          "what was written of an earlier life does not make it clean");

    flush_all(store);
    s = stored(store, 0);
    check(s.calls == 4 && s.last == 700, "both lives are counted, once");

    flush_all(store);
    check(stored(store, 0).calls == 4, "and no more by another flush");

    count_call(0, DAY, 200);
    table.pairs[slot].value |= NGX_APIGW_TALLY_CALLS;
    count_call(0, DAY, 200);
    check(ngx_apigw_tally_dirty(&table, slot, &note, &info) == NGX_OK
          && (note.value & NGX_APIGW_TALLY_CALLS) == NGX_APIGW_TALLY_CALLS
          && ((note.value & ~NGX_APIGW_TALLY_DIRTY) >> NGX_APIGW_TALLY_SHIFT)
             == 200,
          "the number of calls does not run over");

    table.infos[slot].names[0] ^= 1;
    check(ngx_apigw_tally_dirty(&table, slot, &note, &info) == NGX_DECLINED,
          "a damaged name is not written");
    table.infos[slot].names[0] ^= 1;
    flush_all(store);

    /* all dirty: no room */

    for (i = 0, evicted = 0; i < 500; i++) {
        evicted += !count_call(i, DAY + 1, 1);
    }

    check(evicted > 500 - SETS * NGX_APIGW_TALLY_WAYS - 1, "a full table");
    flush_all(store);
    check(count_call(499, DAY + 2, 1) == 1, "room after the flush");
    flush_all(store);
}


/* Processes at once, some of them killed. */

static void
work(int seed)
{
    int  caller;

    srand(seed);

    for ( ;; ) {
        caller = rand() % CALLERS;

        if (count_call(caller, DAY + 10, rand() % NGX_APIGW_TALLY_DAY)) {
            __atomic_fetch_add(&shared->counted[caller], 1, __ATOMIC_SEQ_CST);

        } else {
            __atomic_fetch_add(&shared->full, 1, __ATOMIC_SEQ_CST);
        }
    }
}


static void
write_all(void)
{
    ngx_apigw_store_t  *store;

    store = open_store();

    for ( ;; ) {
        (void) flush_all(store);
        usleep(500);
    }
}


static pid_t
spawn(int kind, int seed)
{
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        kind ? write_all() : work(seed);
        _exit(0);
    }

    return pid;
}


static void
test_race(void)
{
    long                total, kept, off;
    pid_t               pid[WORKERS + 2];
    unsigned            i, n, rounds, kills;
    ngx_apigw_store_t  *store;

    rounds = getenv("APIGW_LONG") ? 300 : 25;
    kills = 0;

    start();

    for (i = 0; i < WORKERS + 2; i++) {
        pid[i] = spawn(i >= WORKERS, i);
    }

    srand(getpid());

    for (n = 0; n < rounds; n++) {
        usleep(20000);
        i = rand() % (WORKERS + 2);
        kills += (i < WORKERS);
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
        pid[i] = spawn(i >= WORKERS, n + 100);
    }

    for (i = 0; i < WORKERS + 2; i++) {
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
    }

    store = open_store();
    ngx_apigw_store_check_readers(store);
    check(flush_all(store) == 0, "race: the last flush");

    total = off = 0;

    for (i = 0; i < CALLERS; i++) {
        kept = (long) stored(store, i).calls;
        total += shared->counted[i];

        /* of test_lives, on other days */

        if (kept < (long) shared->counted[i]) {
            off++;
        }
    }

    check(total > 1000, "race: there was something to count");
    printf("# %ld calls, %u without room, %u kills\n", total, shared->full,
           kills);
    check(off == 0, "race: nothing that was counted is lost");
    ngx_apigw_store_close(store);
}


static int
day_sum(void *data, const ngx_apigw_tally_info_t *info, uint64_t n,
    uint32_t last)
{
    *(uint64_t *) data += n;

    return 0;
}


static void
test_race_exact(void)
{
    uint64_t            in_store, counted;
    unsigned            i;
    ngx_apigw_store_t  *store;

    store = open_store();
    in_store = counted = 0;

    ngx_apigw_tally_walk(store, DAY + 10, DAY + 10, day_sum, &in_store);

    for (i = 0; i < CALLERS; i++) {
        counted += shared->counted[i];
    }

    /* who is killed has counted one call that he could not tell of */

    check(in_store >= counted && in_store <= counted + 400,
          "race: nothing is counted twice");
    printf("# %llu of %llu\n", (unsigned long long) in_store,
           (unsigned long long) counted);
    ngx_apigw_store_close(store);
}


/* Each call of the store fails once. */

static void
test_faults(ngx_apigw_store_t *store)
{
    long      n, bad;
    unsigned  i, expected;

    start();
    bad = 0;
    expected = 0;

    for (fail_late = 0; fail_late < 2; fail_late++) {
        for (n = 1; n < 40; n++) {

            for (i = 0; i < 12; i++) {
                expected += count_call(1000 + i, DAY + 20, n);
            }

            calls = 0;
            fail_at = n;
            (void) flush_all(store);
            fail_at = 0;
            bad += (flush_all(store) != 0);
        }
    }

    for (i = 0; i < 12; i++) {
        expected -= stored(store, 1000 + i).calls;
    }

    check(bad == 0, "faults: the next flush succeeds");
    check(expected == 0, "faults: every call is in the store once");
}


static int
damage(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    u_char                    name[NGX_APIGW_TALLY_KEY_MAX];
    MDB_val                   k, value;
    ngx_apigw_tally_id_t      id;
    ngx_apigw_tally_info_t    info;

    name_of(2000, DAY + 21, &id, &info);

    k.mv_data = name;
    k.mv_size = ngx_apigw_tally_key(name, &info);
    value.mv_data = "damaged";
    value.mv_size = 7;

    return mdb_put(txn, ngx_apigw_store_db(store, 0), &k, &value, 0);
}


static void
test_damage(ngx_apigw_store_t *store)
{
    MDB_val                   value;
    ngx_apigw_tally_record_t  record, back;

    start();
    count_call(2000, DAY + 21, 1);
    count_call(2001, DAY + 21, 1);
    flush_all(store);

    check(ngx_apigw_store_write(store, damage, NULL) == 0, "damage a record");
    check(stored(store, 2001).calls == 1 && stored(store, 2000).calls == 0,
          "damage: it is passed over");

    flush.damaged = 0;
    count_call(2000, DAY + 21, 2);
    count_call(2001, DAY + 21, 2);
    check(flush_all(store) == 0 && flush.damaged == 1, "damage: flush goes on");
    check(stored(store, 2000).calls == 2 && stored(store, 2001).calls == 2,
          "damage: what is in memory is written");

    memset(&record, 0, sizeof(record));
    record.head.format = NGX_APIGW_TALLY_FORMAT;
    record.head.parts = 1;
    value.mv_data = &record;
    value.mv_size = sizeof(record.head) + sizeof(record.part[0]);

    check(ngx_apigw_tally_decode(&back, &value) == 0, "decode");
    value.mv_size--;
    check(ngx_apigw_tally_decode(&back, &value) != 0, "decode: cut");
    value.mv_size = 3;
    check(ngx_apigw_tally_decode(&back, &value) != 0, "decode: no head");
    value.mv_size = sizeof(record);
    record.head.parts = NGX_APIGW_TALLY_PARTS + 1;
    check(ngx_apigw_tally_decode(&back, &value) != 0, "decode: many parts");
    record.head.parts = NGX_APIGW_TALLY_PARTS;
    record.head.last = NGX_APIGW_TALLY_DAY;
    check(ngx_apigw_tally_decode(&back, &value) != 0, "decode: no such second");
    record.head.last--;
    check(ngx_apigw_tally_decode(&back, &value) == 0, "decode: all parts");
    record.head.format++;
    check(ngx_apigw_tally_decode(&back, &value) != 0, "decode: other format");
}


static int
parts_of(void *data, const ngx_apigw_tally_info_t *info, uint64_t n,
    uint32_t last)
{
    return 0;
}


/* Instances: the dead become one part, the living have their own. */

static void
test_instances(ngx_apigw_store_t *store)
{
    int                   rc;
    unsigned              i;
    ngx_apigw_instance_t  kept[NGX_APIGW_TALLY_PARTS + 4];

    for (i = 0; i < 100; i++) {
        start();
        count_call(3000, DAY + 22, i);
        rc = flush_all(store);
        close(instance.fd);
    }

    check(rc == 0 && stored(store, 3000).calls == 100,
          "a hundred instances that died");
    check(ngx_apigw_tally_walk(store, DAY + 22, DAY + 22, parts_of, NULL) == 0,
          "their record is read");

    flush.damaged = 0;

    for (i = 0; i < NGX_APIGW_TALLY_PARTS + 4; i++) {
        start();
        kept[i] = instance;
        count_call(3001, DAY + 22, i);
        count_call(4000 + i, DAY + 22, i);
        rc = flush_all(store);
    }

    check(rc == 0 && flush.damaged > 0, "too many instances: they are told");
    check(stored(store, 3001).calls == NGX_APIGW_TALLY_PARTS - 1,
          "too many instances: as many as fit are counted");
    check(stored(store, 4000 + i - 1).calls == 1,
          "too many instances: other records are written");

    for (i = 0; i < NGX_APIGW_TALLY_PARTS + 4; i++) {
        close(kept[i].fd);
    }

    flush.damaged = 0;
    check(flush_all(store) == 0 && stored(store, 3001).calls
          == NGX_APIGW_TALLY_PARTS,
          "when they have died the last one is counted, too");

    check(ngx_apigw_instance_sweep(directory) == 0, "sweep");
}


typedef struct {
    unsigned  n;
    char      text[256];
} list_t;


static int
list(void *data, const ngx_str_t *a, const ngx_str_t *label,
    const ngx_apigw_tally_version_t *v)
{
    list_t *l = data;

    l->n += sprintf(l->text + l->n, "%.*s/%.*s %d %.*s;", (int) a->len,
                    a->data, (int) label->len, label->data, (int) v->sunset,
                    (int) v->successor, v->name);

    return 0;
}


static int
describe(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                        rc;
    ngx_str_t                  v2 = ngx_string("v2");
    ngx_apigw_tally_version_t  v;

    memset(&v, 0, sizeof(v));

    v.format = NGX_APIGW_TALLY_FORMAT;
    rc = ngx_apigw_tally_put_version(store, txn, &api, &v2, &v);

    v.deprecated = 86400;
    v.sunset = 4070908800;
    v.successor = 2;
    memcpy(v.name, "v2", 2);

    return rc ? rc : ngx_apigw_tally_put_version(store, txn, &api, &v1, &v);
}


static void
test_versions(ngx_apigw_store_t *store)
{
    u_char                      name[140];
    MDB_val                     k, value;
    unsigned                    i, good, bad;
    ngx_str_t                   a, label;
    ngx_apigw_tally_version_t   v, back;
    list_t                      l = { 0, "" };

    bad = 0;

    check(ngx_apigw_store_write(store, describe, NULL) == 0
          && ngx_apigw_tally_walk_versions(store, list, &l) == 0
          && strcmp(l.text, "orders/v1 -224058496 v2;orders/v2 0 ;") == 0,
          "what is configured");

    memset(&v, 0, sizeof(v));
    v.format = NGX_APIGW_TALLY_FORMAT;

    memset(name, 'x', sizeof(name));
    k.mv_data = name;
    value.mv_data = &v;
    value.mv_size = sizeof(v);

    for (i = 0; i < 256; i++) {
        for (k.mv_size = 0; k.mv_size < sizeof(name); k.mv_size++) {
            name[0] = i;
            good = k.mv_size && i <= 64 && i < k.mv_size
                   && k.mv_size - 1 - i <= 64;

            bad += good != (ngx_apigw_tally_version_decode(&a, &label, &back,
                                                           &k, &value)
                            == NGX_OK);
        }
    }

    check(bad == 0, "keys of versions with lengths that cannot be");

    name[0] = 6;
    k.mv_size = 9;
    v.successor = 65;
    check(ngx_apigw_tally_version_decode(&a, &label, &back, &k, &value)
          == NGX_ERROR, "a successor that is too long");
    v.successor = 0;
    v.format++;
    check(ngx_apigw_tally_version_decode(&a, &label, &back, &k, &value)
          == NGX_ERROR, "a version of another format");
    v.format--;
    value.mv_size--;
    check(ngx_apigw_tally_version_decode(&a, &label, &back, &k, &value)
          == NGX_ERROR, "a version that is cut");
}


static void
test_reap(ngx_apigw_store_t *store)
{
    int       rc;
    unsigned  before, steps;

    before = stored(store, -1).records;
    steps = 0;

    do {
        rc = ngx_apigw_tally_reap(store, DAY + 21);
        steps++;
    } while (rc == EAGAIN && steps < 100);

    check(rc == 0 && before > stored(store, -1).records, "old days are gone");
    check(stored(store, 0).records == 0, "all of them");
    check(stored(store, 2000).calls == 2, "later days are not");
    check(ngx_apigw_tally_reap(store, DAY + 21) == 0, "nothing more to do");
}


/* Calls of three days, the last one yesterday. */

static int
make_past(const char *where)
{
    int                 rc;
    uint32_t            day;
    unsigned            i, n;
    ngx_apigw_store_t  *store;

    strncpy(directory, where, sizeof(directory) - 1);
    start();
    store = open_store();
    day = time(NULL) / NGX_APIGW_TALLY_DAY;

    for (n = 1; n <= 3; n++) {
        for (i = 0; i < 10 * n; i++) {
            count_call(i % 4, day - n, 3600 * n + i);
        }
    }

    rc = flush_all(store);

    if (rc == 0) {
        rc = ngx_apigw_store_write(store, describe, NULL);
    }

    ngx_apigw_store_close(store);

    return rc != 0;
}


int
main(int argc, char **argv)
{
    char                command[300];
    ngx_apigw_store_t  *store;

    if (argc == 3 && strcmp(argv[1], "--make") == 0) {
        return make_past(argv[2]);
    }

    if (mkdtemp(directory) == NULL) {
        perror("mkdtemp");
        return 1;
    }

    test_names();

    store = open_store();
    test_lives(store);
    ngx_apigw_store_close(store);

    test_race();
    test_race_exact();

    store = open_store();
    test_faults(store);
    test_damage(store);
    test_instances(store);
    test_versions(store);
    test_reap(store);
    ngx_apigw_store_close(store);

    printf("1..%u\n", tests);

    snprintf(command, sizeof(command), "rm -rf %s", directory);

    return system(command) != 0 || failed != 0;
}
