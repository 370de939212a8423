/*
 * Copyright (C) the apigw authors
 */


/*
 * The store of keys, the cache in front of it, and the table of uses.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <pthread.h>
#include <sys/wait.h>

#include "ngx_apigw_key.c"
#include "ngx_apigw_key_list.c"
#include "ngx_apigw_key_record.c"
#include "ngx_apigw_key_store.c"
#include "ngx_apigw_key_cache.c"
#include "ngx_apigw_key_uses.c"
#include "ngx_apigw_key_flush.c"
#include "../common/ngx_apigw_store.c"
#include "../common/ngx_apigw_store_file.c"
#include "../common/ngx_apigw_store_view.c"
#include "../common/ngx_apigw_tree.c"


#define THREADS  4
#define ROUNDS   50000


typedef struct {
    const char              *verb;
    const char              *key;
    const char              *id;
    const char              *consumer;
    time_t                   expires;
} change_t;


static ngx_uint_t            number;
static ngx_apigw_key_uses_t  uses;
static ngx_str_t             prefix = ngx_string("ak_");


static void
ok(ngx_uint_t right, const char *name)
{
    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
    fflush(stdout);
}


static ngx_str_t
text(const char *s)
{
    ngx_str_t  str;

    str.data = (u_char *) s;
    str.len = strlen(s);

    return str;
}


static int
change(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                      rc;
    u_char                   digest[NGX_APIGW_KEY_DIGEST];
    change_t                *ch = data;
    ngx_str_t                id;
    ngx_apigw_key_hasher_t   hasher;
    ngx_apigw_key_record_t   rec;

    id = text(ch->id);

    if (strcmp(ch->verb, "delete") == 0) {
        return ngx_apigw_key_store_delete(store, txn, &id);
    }

    ngx_apigw_key_record_init(&rec);
    rec.id = id;
    rec.consumer = text(ch->consumer);
    rec.expires = ch->expires;

    if (strcmp(ch->verb, "replace") == 0 && ch->key == NULL) {
        return ngx_apigw_key_store_replace(store, txn, NULL, &rec);
    }

    (void) ngx_apigw_key_hasher_init(&hasher);
    (void) ngx_apigw_key_digest(&hasher, digest, (u_char *) ch->key,
                                strlen(ch->key));
    ngx_apigw_key_hasher_free(&hasher);

    rc = (strcmp(ch->verb, "put") == 0)
         ? ngx_apigw_key_store_put(store, txn, digest, &rec)
         : ngx_apigw_key_store_replace(store, txn, digest, &rec);

    return rc;
}


static int
run(ngx_apigw_store_t *store, const char *verb, const char *key,
    const char *id, const char *consumer)
{
    change_t  ch = { verb, key, id, consumer, 0 };

    return ngx_apigw_store_write(store, change, &ch);
}


static int
gather(void *data, ngx_apigw_key_found_t *found)
{
    char                    *p = data;
    ngx_apigw_key_record_t   rec;

    if (ngx_apigw_key_store_record(found, &rec) != 0) {
        return 1;
    }

    strncat(p, (char *) rec.id.data, rec.id.len);
    strcat(p, " ");

    return 0;
}


static const char *
list(ngx_apigw_store_t *store, const char *consumer, const char *after)
{
    int           rc;
    MDB_txn      *txn;
    ngx_str_t     c, a;

    static char   ids[512];

    ids[0] = '\0';

    if (ngx_apigw_store_read(store, &txn) != 0) {
        return "unreadable";
    }

    c = text(consumer ? consumer : "");
    a = text(after ? after : "");

    rc = ngx_apigw_key_store_each(store, txn, consumer ? &c : NULL,
                                  after ? &a : NULL, gather, ids);
    ngx_apigw_store_read_end(store);

    return (rc == 0) ? ids : "failed";
}


static void
test_store(ngx_apigw_store_t *store)
{
    size_t                 n;
    MDB_txn               *txn;
    ngx_str_t              id;
    ngx_apigw_key_found_t  found;

    ok(run(store, "put", "key-1", "b", "joe") == 0
       && run(store, "put", "key-2", "a", "joe") == 0
       && run(store, "put", "key-3", "c", "jo") == 0, "put");
    ok(run(store, "put", "key-4", "a", "joe") == MDB_KEYEXIST, "the same id");
    ok(run(store, "put", "key-1", "d", "joe") == MDB_KEYEXIST, "the same key");
    ok(run(store, "put", "key-5", "", "joe") == EINVAL
       && run(store, "put", "key-5", "x y", "joe") == EINVAL
       && run(store, "put", "key-5", "x", " joe") == EINVAL, "not valid");

    ok(strcmp(list(store, NULL, NULL), "a b c ") == 0, "all");
    ok(strcmp(list(store, NULL, "a"), "b c ") == 0, "all after one");
    ok(strcmp(list(store, NULL, "aa"), "b c ") == 0, "all after none");
    ok(strcmp(list(store, "joe", NULL), "a b ") == 0, "of a consumer");
    ok(strcmp(list(store, "jo", NULL), "c ") == 0, "of another");
    ok(strcmp(list(store, "j", NULL), "") == 0, "of nobody");
    ok(strcmp(list(store, "joe", "a"), "b ") == 0, "of a consumer after one");

    ok(run(store, "replace", NULL, "a", "jo") == 0
       && strcmp(list(store, "joe", NULL), "b ") == 0
       && strcmp(list(store, "jo", NULL), "a c ") == 0, "another consumer");
    ok(run(store, "replace", "key-6", "a", "jo") == 0, "another key");
    ok(run(store, "put", "key-2", "d", "joe") == 0, "the old one is free");
    ok(run(store, "replace", "key-1", "a", "jo") == MDB_KEYEXIST,
       "a key of another");
    ok(run(store, "replace", NULL, "none", "jo") == MDB_NOTFOUND
       && run(store, "delete", NULL, "none", NULL) == MDB_NOTFOUND,
       "no such id");

    ok(run(store, "delete", NULL, "c", NULL) == 0
       && strcmp(list(store, NULL, NULL), "a b d ") == 0
       && strcmp(list(store, "jo", NULL), "a ") == 0, "deleted");

    id = text("a");
    n = 0;
    ok(ngx_apigw_store_read(store, &txn) == 0
       && ngx_apigw_key_store_count(store, txn, &n) == 0 && n == 3
       && ngx_apigw_key_store_get_id(store, txn, &id, &found) == 0, "count");
    ngx_apigw_store_read_end(store);
}


/* A record that nobody can read, as by a later version or a fault. */

static int
damage(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                    rc;
    u_char                 digest[NGX_APIGW_KEY_DIGEST];
    MDB_val                key, val;
    ngx_str_t              id;
    ngx_apigw_key_found_t  found;

    id = text("a");

    rc = ngx_apigw_key_store_get_id(store, txn, &id, &found);
    if (rc != 0) {
        return rc;
    }

    memcpy(digest, found.digest, sizeof(digest));

    key.mv_size = sizeof(digest);
    key.mv_data = digest;
    val.mv_size = strlen(data);
    val.mv_data = data;

    return mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS), &key,
                   &val, 0);
}


static int
get(ngx_apigw_key_cache_t *cache, const char *key, ngx_apigw_key_entry_t **ep)
{
    ngx_str_t  str;

    str = text(key);

    return ngx_apigw_key_cache_get(cache, &str, &prefix, ep);
}


static void
test_cache(ngx_apigw_store_t *store, const char *dir)
{
    int                     status;
    char                    name[512];
    ngx_uint_t              i, bad;
    ngx_apigw_key_cache_t  *cache;
    ngx_apigw_key_entry_t  *one, *two;

    ok(run(store, "put", "sixteen-letters-1", "k1", "joe") == 0, "a key");
    ok(ngx_apigw_key_cache_open(&cache, dir) == 0, "cache");
    ok(get(cache, "sixteen-letters-1", &one) == 0
       && ngx_memcmp(one->record.id.data, "k1", 2) == 0, "found");
    ok(get(cache, "sixteen-letters-1", &two) == 0 && one == two
       && one->refs == 3, "found in the cache");
    ok(get(cache, "sixteen-letters-2", &two) == MDB_NOTFOUND, "unknown");
    ok(get(cache, "short", &two) == NGX_APIGW_KEY_CACHE_EMALFORMED
       && get(cache, "ak_abcdefghijklmnop", &two)
          == NGX_APIGW_KEY_CACHE_EMALFORMED, "malformed");

    ok(run(store, "delete", NULL, "k1", NULL) == 0
       && get(cache, "sixteen-letters-1", &two) == MDB_NOTFOUND,
       "deleted: not found the next time");
    ok(ngx_memcmp(one->record.consumer.data, "joe", 3) == 0,
       "who still uses the record has it");
    ngx_apigw_key_entry_release(one);
    ngx_apigw_key_entry_release(one);

    bad = 0;

    for (i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "letters-and-number-%lu", (u_long) i);
        bad += i < 1500 && run(store, "put", name, name + 8, "many") != 0;
        bad += get(cache, name, &one) != (i < 1500 ? 0 : MDB_NOTFOUND);

        if (i < 1500) {
            bad += ngx_memcmp(one->record.id.data, name + 8,
                              one->record.id.len) != 0;
            ngx_apigw_key_entry_release(one);
        }
    }

    for (i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "letters-and-number-%lu",
                 (u_long) (i * 7 % 1500));
        bad += get(cache, name, &one) != 0
               || ngx_memcmp(one->record.id.data, name + 8,
                             one->record.id.len) != 0;
        ngx_apigw_key_entry_release(one);
    }

    ok(bad == 0, "more keys than places");

    /* another process changes the store */

    (void) get(cache, "letters-and-number-7", &one);

    if (fork() == 0) {
        ngx_apigw_store_t  *other;

        _exit(ngx_apigw_store_open(&other, dir, &ngx_apigw_key_store_kind) != 0
              || run(other, "delete", NULL, "and-number-7", NULL) != 0);
    }

    (void) wait(&status);
    ok(status == 0 && get(cache, "letters-and-number-7", &two) == MDB_NOTFOUND,
       "deleted by another process");
    ngx_apigw_key_entry_release(one);

    ok(run(store, "put", "sixteen-letters-3", "a2", "joe") == 0
       && ngx_apigw_store_write(store, damage, "\1garbage") == 0
       && strcmp(list(store, NULL, NULL), "failed") == 0, "damaged record");
    ok(get(cache, "sixteen-letters-3", &two) == 0, "others are found");
    ngx_apigw_key_entry_release(two);
    ok(run(store, "delete", NULL, "a", NULL) == 0, "it can be deleted");

    ok(ngx_apigw_key_cache_check(cache) == 0, "check");
    snprintf(name, sizeof(name), "%s/data.mdb", dir);
    ok(truncate(name, 20000) == 0
       && ngx_apigw_key_cache_check(cache) == NGX_APIGW_STORE_ESHORT,
       "cut short");
    ok(truncate(name, 4000) == 0
       && ngx_apigw_key_cache_check(cache) == NGX_APIGW_STORE_ESHORT,
       "cut to less than its head");
    ok(unlink(name) == 0
       && ngx_apigw_key_cache_check(cache) == ENOENT, "gone");

    ngx_apigw_key_cache_close(cache);
}


static void *
use(void *data)
{
    char               id[16];
    ngx_str_t          str;
    ngx_uint_t         i, slot;
    pthread_mutex_t   *mutex = data;
    ngx_apigw_hash_t   hash;

    slot = 0;

    for (i = 0; i < ROUNDS; i++) {
        str.data = (u_char *) id;
        str.len = snprintf(id, sizeof(id), "id-%lu", (u_long) (i % 20));

        ngx_apigw_key_uses_hash(&uses, &hash, &str);

        if (ngx_apigw_key_uses_add(&uses, &hash, &slot, 1000 + i) != NGX_OK) {
            pthread_mutex_lock(mutex);
            (void) ngx_apigw_key_uses_insert(&uses, &hash, &str, &slot,
                                             1000 + i);
            pthread_mutex_unlock(mutex);
        }
    }

    return NULL;
}


/* Counted by several at once while another one flushes: not one is lost. */

static void
test_uses(void)
{
    ngx_uint_t                i, n, pos, total, found, round, bad;
    pthread_t                 thread[THREADS];
    pthread_mutex_t           mutex;
    ngx_apigw_key_use_copy_t  copy;

    static u_char  memory[64 * 1024] __attribute__((aligned(16)));

    ok(ngx_apigw_key_uses_init(&uses, memory, 100) == NGX_ERROR, "no room");
    ok(ngx_apigw_key_uses_init(&uses, memory, sizeof(memory)) == NGX_OK
       && uses.sets == 64, "table");

    pthread_mutex_init(&mutex, NULL);

    for (i = 0; i < THREADS; i++) {
        pthread_create(&thread[i], NULL, use, &mutex);
    }

    total = 0;
    bad = 0;

    for (round = 0; round < 2000; round++) {

        if (round == 1999) {
            for (i = 0; i < THREADS; i++) {
                pthread_join(thread[i], NULL);
            }
        }

        for (pos = 0; ngx_apigw_key_uses_next(&uses, &pos); pos++) {

            pthread_mutex_lock(&mutex);

            if (ngx_apigw_key_uses_copy(&uses, pos, &copy) == NGX_OK) {
                total += copy.count;
                bad += ngx_memcmp(copy.data, "id-", 3) != 0
                       || copy.last < 1000;
            }

            pthread_mutex_unlock(&mutex);

            ngx_apigw_key_uses_begin(&uses, &copy, 1);
            ngx_apigw_key_uses_end(&uses, 1);
        }
    }

    ok(total == THREADS * ROUNDS && bad == 0, "not one use is lost");

    found = 0;
    n = uses.sets * NGX_APIGW_KEY_USES_WAYS;

    for (i = 0; i < n; i++) {
        found += uses.slots[i].pair.tag != 0;
    }

    ok(found == 20, "every id has one slot");
}


static void
test_full(void)
{
    char              id[16];
    ngx_str_t         str;
    ngx_uint_t        i, slot, full, pos;
    ngx_apigw_hash_t  hash;

    static u_char  memory[2048] __attribute__((aligned(16)));

    ngx_apigw_key_use_copy_t  copy;

    (void) ngx_apigw_key_uses_init(&uses, memory, sizeof(memory));

    slot = 0;
    full = 0;

    for (i = 0; i < 100; i++) {
        str.data = (u_char *) id;
        str.len = snprintf(id, sizeof(id), "id-%lu", (u_long) i);
        ngx_apigw_key_uses_hash(&uses, &hash, &str);
        full += ngx_apigw_key_uses_insert(&uses, &hash, &str, &slot, 1)
                != NGX_OK;
    }

    ok(full == 100 - uses.sets * NGX_APIGW_KEY_USES_WAYS, "full");

    pos = 0;
    (void) ngx_apigw_key_uses_next(&uses, &pos);
    (void) ngx_apigw_key_uses_copy(&uses, pos, &copy);
    ngx_apigw_key_uses_begin(&uses, &copy, 1);
    ngx_apigw_key_uses_end(&uses, 1);

    full = 0;

    for (i = 200; i < 300; i++) {
        str.data = (u_char *) id;
        str.len = snprintf(id, sizeof(id), "id-%lu", (u_long) i);
        ngx_apigw_key_uses_hash(&uses, &hash, &str);
        full += ngx_apigw_key_uses_insert(&uses, &hash, &str, &slot, 1)
                == NGX_OK;
    }

    ok(full == 1, "a slot that was flushed is given to another");
}


static int
add(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int        rc;
    ngx_str_t  id;

    id = text("a");

    rc = ngx_apigw_key_used_add(store, txn, &id, 100, 5);

    return rc ? rc : ngx_apigw_key_used_add(store, txn, &id, 50, 2);
}


static void
test_used(const char *dir)
{
    MDB_txn               *txn;
    ngx_str_t              id;
    ngx_apigw_store_t     *store;
    ngx_apigw_key_used_t   used;

    id = text("a");
    txn = NULL;

    ok(ngx_apigw_store_open(&store, dir, &ngx_apigw_key_used_kind) == 0
       && ngx_apigw_store_write(store, add, NULL) == 0
       && ngx_apigw_store_read(store, &txn) == 0
       && ngx_apigw_key_used_get(store, txn, &id, &used) == 0, "used");
    ok(used.first == 100 && used.last == 100 && used.count == 7,
       "the last use is the latest");

    id = text("b");
    ok(ngx_apigw_key_used_get(store, txn, &id, &used) == MDB_NOTFOUND,
       "never used");
    ngx_apigw_store_read_end(store);
    ngx_apigw_store_close(store);
}


/* A store whose "used" has the uses of the ids 0 to BATCH_IDS - 1. */

#define BATCH_IDS  40


typedef struct {
    ngx_uint_t                die;      /* where; 0: nowhere */
    ngx_uint_t                n;
    ngx_apigw_key_use_copy_t  copies[NGX_APIGW_KEY_USES_BATCH];
} batch_t;


enum { LIVE = 0, BEFORE, BEGUN, FAILED, COMMITTED, HALF_ENDED, ENDS };


static int
add_and_fail(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    (void) ngx_apigw_key_flush_body(store, txn, data);

    return ENOSPC;
}


/* One flush by a helper that dies at b->die. */

static void
flush(ngx_apigw_store_t *store, batch_t *b)
{
    ngx_uint_t             pos, half;
    ngx_apigw_key_flush_t  f;

    if (uses.pending && ngx_apigw_key_flush_recover(store, &uses) != 0) {
        return;
    }

    b->n = 0;

    for (pos = 0; ngx_apigw_key_uses_next(&uses, &pos)
                  && b->n < NGX_APIGW_KEY_USES_BATCH; pos++)
    {
        b->n += ngx_apigw_key_uses_copy(&uses, pos, &b->copies[b->n])
                == NGX_OK;
    }

    if (b->die == LIVE) {
        (void) ngx_apigw_key_flush(store, &uses, b->copies, b->n, 1000);
        return;
    }

    f.uses = &uses;
    f.copies = b->copies;
    f.n = b->n;
    f.now = 1000;

    if (b->die >= BEGUN) {
        ngx_apigw_key_uses_begin(&uses, b->copies, b->n);
    }

    if (b->die == FAILED) {
        (void) ngx_apigw_store_write(store, add_and_fail, &f);
    }

    if (b->die >= COMMITTED) {
        (void) ngx_apigw_store_write(store, ngx_apigw_key_flush_body, &f);
    }

    if (b->die == HALF_ENDED) {

        /* the first half of it, as if it had ended */

        half = uses.pending;
        uses.pending = half / 2;
        ngx_apigw_key_uses_end(&uses, 1);
        uses.pending = half;
    }
}


static void
test_batches(const char *dir)
{
    char                      id[16];
    batch_t                  *b;
    MDB_txn                  *txn;
    uint64_t                  expect[BATCH_IDS];
    ngx_str_t                 str;
    ngx_uint_t                i, k, slot, round, bad, lost;
    ngx_apigw_hash_t          hash;
    ngx_apigw_store_t        *store;
    ngx_apigw_key_used_t      used;

    /* room for a few ids only, so that slots change their owners */

    static u_char  memory[4096] __attribute__((aligned(16)));

    b = calloc(1, sizeof(batch_t));
    ngx_memzero(expect, sizeof(expect));
    srandom(1);

    ok(ngx_apigw_key_uses_init(&uses, memory, sizeof(memory)) == NGX_OK
       && ngx_apigw_store_open(&store, dir, &ngx_apigw_key_used_kind) == 0,
       "a table and its store");

    lost = 0;

    for (round = 0; round < 600; round++) {

        for (k = random() % 20; k; k--) {
            i = random() % BATCH_IDS;

            str.data = (u_char *) id;
            str.len = snprintf(id, sizeof(id), "batch-%lu", (u_long) i);
            slot = 0;

            ngx_apigw_key_uses_hash(&uses, &hash, &str);

            if (ngx_apigw_key_uses_insert(&uses, &hash, &str, &slot, 1000)
                == NGX_OK)
            {
                expect[i]++;

            } else {
                lost++;
            }
        }

        b->die = random() % ENDS;
        flush(store, b);
    }

    b->die = LIVE;
    flush(store, b);
    flush(store, b);

    ok(uses.pending == 0 && lost > 10, "slots had several owners");

    bad = ngx_apigw_store_read(store, &txn) != 0;

    for (i = 0; i < BATCH_IDS; i++) {
        str.data = (u_char *) id;
        str.len = snprintf(id, sizeof(id), "batch-%lu", (u_long) i);

        bad += ngx_apigw_key_used_get(store, txn, &str, &used) != 0
               || used.count != expect[i];
    }

    ngx_apigw_store_read_end(store);
    ok(bad == 0, "helpers that die anywhere: each use is counted once");

    /* counts that wrap around */

    str = text("wraps");
    slot = 0;
    ngx_apigw_key_uses_hash(&uses, &hash, &str);
    (void) ngx_apigw_key_uses_insert(&uses, &hash, &str, &slot, 1000);
    flush(store, b);

    uses.slots[slot].pair.value = (uint64_t) 1000 << 32 | 0xfffffffe;
    uses.slots[slot].flushed = 0xfffffffe;

    for (i = 0; i < 5; i++) {
        (void) ngx_apigw_key_uses_add(&uses, &hash, &slot, 1000);
    }

    flush(store, b);

    ok(ngx_apigw_store_read(store, &txn) == 0
       && ngx_apigw_key_used_get(store, txn, &str, &used) == 0
       && used.count == 6, "a count that wraps around");
    ngx_apigw_store_read_end(store);

    uses.slots[slot].flushed = ngx_apigw_key_uses_count(
                                   uses.slots[slot].pair.value) + 1;
    ok(ngx_apigw_key_uses_add(&uses, &hash, &slot, 1000) == NGX_OK
       && ngx_apigw_key_uses_new(&uses.slots[slot],
                                 uses.slots[slot].pair.value) == 0xffffffff,
       "a full count stays full");

    /* what a crash may leave in shared memory */

    uses.pending = 100000;
    uses.notes[0].slot = 0xffffffff;
    ngx_apigw_key_uses_end(&uses, 1);
    ok(uses.pending == 0, "garbage for a batch");

    ngx_apigw_store_close(store);
    free(b);
}


static int
forget_marks(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                   rc;
    uint64_t              i;
    ngx_apigw_hash_key_t  name;

    rc = 0;

    for (i = 1; i <= 50 && rc == 0; i++) {
        name.k[0] = i * 0x9e3779b97f4a7c15;
        name.k[1] = i;
        rc = ngx_apigw_key_used_mark(store, txn, &name, 2, i * 1000);
    }

    name.k[0] = 7;

    return rc ? rc : ngx_apigw_key_used_mark(store, txn, &name, 1,
                                             86400 + 30500);
}


/* Each start of nginx leaves a mark, which goes in the end. */

static void
test_marks(const char *dir)
{
    MDB_txn               *txn;
    uint64_t               i, number, left;
    ngx_apigw_store_t     *store;
    ngx_apigw_hash_key_t   name;

    ok(ngx_apigw_store_open(&store, dir, &ngx_apigw_key_used_kind) == 0
       && ngx_apigw_store_write(store, forget_marks, NULL) == 0
       && ngx_apigw_store_read(store, &txn) == 0, "marks");

    left = 0;

    for (i = 1; i <= 50; i++) {
        name.k[0] = i * 0x9e3779b97f4a7c15;
        name.k[1] = i;
        left += ngx_apigw_key_used_marked(store, txn, &name, &number) == 0
                && number == 2;
    }

    ok(left == 20, "old ones are forgotten");
    ngx_apigw_store_read_end(store);
    ngx_apigw_store_close(store);
}


static u_char *
slurp(const char *name, size_t *len)
{
    FILE         *file;
    u_char       *data;
    struct stat   sb;

    data = NULL;
    file = fopen(name, "r");

    if (file && fstat(fileno(file), &sb) == 0) {
        data = malloc(sb.st_size);
        *len = fread(data, 1, sb.st_size, file);
    }

    if (file) {
        (void) fclose(file);
    }

    return data;
}


/* Whether nobody reads the byte at an offset of the file. */

static ngx_uint_t
unseen(int fd, size_t at, u_char byte, const char *dir)
{
    int                     rc;
    u_char                  other;
    ngx_apigw_key_cache_t  *cache;
    ngx_apigw_key_entry_t  *entry;

    other = byte ^ 1;

    if (pwrite(fd, &other, 1, at) != 1
        || ngx_apigw_key_cache_open(&cache, dir) != 0)
    {
        return 1;
    }

    rc = get(cache, "sixteen-letters-b", &entry);

    if (rc == 0) {
        ngx_apigw_key_entry_release(entry);
    }

    ngx_apigw_key_cache_close(cache);

    return pwrite(fd, &byte, 1, at) != 1 || rc == 0;
}


/* Each bit of a record on the disk: found, and others are not concerned. */

static void
test_bits(ngx_apigw_store_t *store, const char *dir)
{
    int                     fd, rc;
    char                    name[512];
    u_char                 *data, *p, byte;
    size_t                  len, at, end;
    ngx_uint_t              bit, flips, found, bad;
    ngx_apigw_key_cache_t  *cache;
    ngx_apigw_key_entry_t  *entry;

    ok(run(store, "put", "sixteen-letters-b", "bits", "consumer-of-bits") == 0
       && run(store, "put", "sixteen-letters-c", "other", "another") == 0,
       "two keys");

    snprintf(name, sizeof(name), "%s/data.mdb", dir);
    data = slurp(name, &len);
    fd = open(name, O_RDWR);
    flips = 0;
    found = 0;
    bad = 0;

    /*
     * the record: version, then the fields of id and consumer; its seal; of
     * several copies the one that is in use
     */

    at = 0;

    while (data
           && (p = memmem(data + at, len - at,
                          "\1\1\0\4bits\2\0\20consumer-of-bits", 27)))
    {
        at = p - data;

        if (!unseen(fd, at, data[at], dir)) {
            break;
        }

        at++;
    }

    for (end = at + 27 + 8; at < end; at++) {
        for (bit = 0; bit < 8; bit++) {

            byte = data[at] ^ (1 << bit);
            bad += pwrite(fd, &byte, 1, at) != 1;
            flips++;

            if (ngx_apigw_key_cache_open(&cache, dir) != 0) {
                bad++;
                continue;
            }

            rc = get(cache, "sixteen-letters-b", &entry);
            found += (rc == NGX_APIGW_KEY_STORE_EBROKEN);

            if (rc == 0) {
                ngx_apigw_key_entry_release(entry);
            }

            bad += get(cache, "sixteen-letters-c", &entry) != 0;
            ngx_apigw_key_entry_release(entry);
            ngx_apigw_key_cache_close(cache);

            bad += pwrite(fd, &data[at], 1, at) != 1;
        }
    }

    (void) close(fd);
    free(data);

    ok(flips == 35 * 8 && found == flips && bad == 0,
       "no bit of a record changes unnoticed");
    ok(ngx_apigw_key_cache_open(&cache, dir) == 0
       && get(cache, "sixteen-letters-b", &entry) == 0, "and back");
    ngx_apigw_key_entry_release(entry);
    ngx_apigw_key_cache_close(cache);

    ok(run(store, "delete", NULL, "bits", NULL) == 0
       && run(store, "delete", NULL, "other", NULL) == 0, "deleted");
}


/* The whole record of one key under the digest of another one. */

static int
swap(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                     rc;
    u_char                  digest[NGX_APIGW_KEY_DIGEST], buf[200];
    MDB_val                 key, val;
    ngx_apigw_key_hasher_t  hasher;

    (void) ngx_apigw_key_hasher_init(&hasher);
    (void) ngx_apigw_key_digest(&hasher, digest, (u_char *) "sixteen-letters-d",
                                17);

    key.mv_size = sizeof(digest);
    key.mv_data = digest;

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS), &key,
                 &val);

    if (rc == 0 && val.mv_size <= sizeof(buf)) {
        memcpy(buf, val.mv_data, val.mv_size);
        val.mv_data = buf;

        (void) ngx_apigw_key_digest(&hasher, digest,
                                    (u_char *) "sixteen-letters-e", 17);

        rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS),
                     &key, &val, 0);
    }

    ngx_apigw_key_hasher_free(&hasher);

    return rc;
}


/* The id of one key leads to another one. */

static int
mislead(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int      rc;
    u_char   digest[NGX_APIGW_KEY_DIGEST];
    MDB_val  key, val;

    key.mv_data = "e1";
    key.mv_size = 2;

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_IDS), &key,
                 &val);

    if (rc == 0) {
        memcpy(digest, val.mv_data, sizeof(digest));
        val.mv_data = digest;
        key.mv_data = "d1";

        rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_IDS),
                     &key, &val, 0);
    }

    return rc;
}


static void
test_mislead(ngx_apigw_store_t *store)
{
    ok(run(store, "put", "sixteen-letters-d", "d1", "joe") == 0
       && run(store, "put", "sixteen-letters-e", "e1", "ann") == 0
       && ngx_apigw_store_write(store, mislead, NULL) == 0,
       "an id leads to another key");
    ok(run(store, "delete", NULL, "d1", NULL) == NGX_APIGW_KEY_STORE_EBROKEN,
       "it is not removed in place of the right one");
    ok(run(store, "delete", NULL, "e1", NULL) == 0, "removed by its own id");
}


static void
test_swap(ngx_apigw_store_t *store, const char *dir)
{
    ngx_apigw_key_entry_t  *entry;
    ngx_apigw_key_cache_t  *cache = NULL;

    ok(run(store, "put", "sixteen-letters-d", "d1", "joe") == 0
       && run(store, "put", "sixteen-letters-e", "e1", "ann") == 0,
       "two more");
    ok(ngx_apigw_store_write(store, swap, NULL) == 0
       && ngx_apigw_key_cache_open(&cache, dir) == 0, "a record is misplaced");
    ok(get(cache, "sixteen-letters-d", &entry) == 0, "its own key has it");
    ngx_apigw_key_entry_release(entry);
    ok(get(cache, "sixteen-letters-e", &entry) == NGX_APIGW_KEY_STORE_EBROKEN,
       "and no other");
    ngx_apigw_key_cache_close(cache);

    ok(run(store, "delete", NULL, "d1", NULL) == 0
       && run(store, "delete", NULL, "e1", NULL) == 0, "deleted");
}


int
main(void)
{
    char                dir[] = "/tmp/apigw-unit.XXXXXX", used[64], rm[128];
    ngx_apigw_store_t  *store;

    if (mkdtemp(dir) == NULL
        || ngx_apigw_store_open(&store, dir, &ngx_apigw_key_store_kind) != 0)
    {
        printf("Bail out! no store\n");
        return 1;
    }

    /* nothing here depends on what a disk does */

    (void) mdb_env_set_flags(store->env, MDB_NOSYNC, 1);

    snprintf(used, sizeof(used), "%s/" NGX_APIGW_KEY_STORE_USED, dir);
    (void) mkdir(used, 0700);

    test_store(store);
    test_used(used);
    test_uses();
    test_full();
    test_batches(used);
    test_marks(used);
    test_bits(store, dir);
    test_swap(store, dir);
    test_mislead(store);
    test_cache(store, dir);

    ngx_apigw_store_close(store);


    snprintf(rm, sizeof(rm), "rm -rf %s", dir);
    ok(system(rm) == 0, "clean");

    printf("1..%lu\n", (u_long) number);

    return 0;
}
