/*
 * Copyright (C) the apigw authors
 */


/*
 * Our reader of LMDB's trees: finds what LMDB finds, in stores of every size,
 * while others write; and where the file is damaged it finds an error, or
 * nothing, or what was written, and never another record, a signal or no end.
 *
 * APIGW_LONG=1 damages more files.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <signal.h>
#include <sys/wait.h>

#include "ngx_apigw_key.c"
#include "ngx_apigw_key_list.c"
#include "ngx_apigw_key_record.c"
#include "ngx_apigw_key_store.c"
#include "ngx_apigw_key_cache.c"
#include "../common/ngx_apigw_store.c"
#include "../common/ngx_apigw_store_file.c"
#include "../common/ngx_apigw_store_view.c"
#include "../common/ngx_apigw_tree.c"


#define KEYS   4000
#define LOOKS  400
#define PAGE   4096


typedef struct {
    ngx_uint_t          from;
    ngx_uint_t          to;
    ngx_uint_t          large;      /* every so many one is on own pages */
} range_t;


typedef struct {
    long                found;
    long                unknown;
    long                errors;
    long                wrong;
} result_t;


enum { PAGES = 0, BYTES, ZEROES, ALL, KINDS };


static ngx_uint_t  number;
static ngx_str_t   prefix = ngx_string("ak_");
static char        dir[] = "/tmp/apigw-unit.XXXXXX";


static void
ok(ngx_uint_t right, const char *name)
{
    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
    fflush(stdout);
}


static size_t
make_key(u_char *buf, ngx_uint_t i)
{
    return sprintf((char *) buf, "elsewhere-key-%08lu", (u_long) i);
}


static int
put(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                      rc;
    u_char                   key[64], digest[NGX_APIGW_KEY_DIGEST];
    range_t                 *range = data;
    ngx_uint_t               i;
    ngx_apigw_key_hasher_t   hasher;
    ngx_apigw_key_record_t   rec;

    static u_char  text[1000], labels[NGX_APIGW_KEY_LABELS_MAX];
    ngx_str_t      name = ngx_string("l"), value;

    memset(text, 'd', sizeof(text));
    (void) ngx_apigw_key_hasher_init(&hasher);
    rc = 0;

    for (i = range->from; i < range->to && rc == 0; i++) {

        ngx_apigw_key_record_init(&rec);
        (void) ngx_apigw_key_digest(&hasher, digest, key, make_key(key, i));

        rec.id.data = key;
        rec.id.len = make_key(key, i);
        rec.consumer = rec.id;

        if (range->large && i % range->large == 0) {
            rec.description.data = text;
            rec.description.len = sizeof(text);
            rec.labels.data = labels;

            value.data = text;
            value.len = 250;

            for (name.len = 1; name.len < 4; name.len++) {
                name.data = (u_char *) "lll";
                (void) ngx_apigw_key_label_set(&rec.labels, &name, &value);
            }
        }

        rc = ngx_apigw_key_store_put(store, txn, digest, &rec);
    }

    ngx_apigw_key_hasher_free(&hasher);

    return rc;
}


static int
remove_some(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int          rc;
    u_char       key[64];
    range_t     *range = data;
    ngx_str_t    id;
    ngx_uint_t   i;

    rc = 0;
    id.data = key;

    for (i = range->from; i < range->to && rc == 0; i += 3) {
        id.len = make_key(key, i);
        rc = ngx_apigw_key_store_delete(store, txn, &id);
    }

    return rc;
}


/* Looks for keys 0 to n - 1 by both ways; how many differ. */

static ngx_uint_t
differ(ngx_apigw_store_t *store, ngx_uint_t n)
{
    int                     one, two;
    u_char                  key[64], digest[NGX_APIGW_KEY_DIGEST];
    MDB_txn                *txn;
    MDB_val                 k, v;
    uint64_t                version;
    ngx_str_t               value;
    ngx_uint_t              i, bad;
    ngx_apigw_tree_t        tree;
    ngx_apigw_tree_item_t   near[2];
    ngx_apigw_tree_root_t   root;
    ngx_apigw_key_hasher_t  hasher;

    if (ngx_apigw_store_look(store, &version) != 0
        || ngx_apigw_store_look_end(store) != 0
        || ngx_apigw_store_read(store, &txn) != 0)
    {
        return 1;
    }

    (void) ngx_apigw_key_hasher_init(&hasher);

    tree = store->view.tree;

    bad = version != mdb_txn_id(txn)
          || ngx_apigw_tree_open(&tree, mdb_txn_id(txn), "keys", &root)
             != 0
          || ngx_apigw_tree_open(&tree, mdb_txn_id(txn), "kezs", &root)
             != MDB_NOTFOUND
          || ngx_apigw_tree_open(&tree, mdb_txn_id(txn) - 2, "keys", &root)
             != EAGAIN
          || ngx_apigw_tree_open(&tree, mdb_txn_id(txn), "keys", &root)
             != 0;

    for (i = 0; i < n; i++) {
        (void) ngx_apigw_key_digest(&hasher, digest, key, make_key(key, i));

        k.mv_size = sizeof(digest);
        k.mv_data = digest;

        one = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS),
                      &k, &v);
        two = ngx_apigw_tree_get(&tree, &root, digest, sizeof(digest),
                                     &value);

        bad += two == MDB_NOTFOUND
               && ngx_apigw_tree_near(&tree, &root, digest, sizeof(digest),
                                      near)
                  != 0;

        bad += one != two
               || (one == 0 && (v.mv_size != value.len
                                || memcmp(v.mv_data, value.data, value.len)));
    }

    ngx_apigw_key_hasher_free(&hasher);
    ngx_apigw_store_read_end(store);

    return bad;
}


static void
test_equal(void)
{
    range_t                 range;
    ngx_uint_t              n, bad;
    ngx_apigw_store_t      *store;
    ngx_apigw_key_cache_t  *cache;
    ngx_apigw_key_entry_t  *entry;
    ngx_str_t               key = ngx_string("elsewhere-key-00000000");

    ok(ngx_apigw_key_cache_open(&cache, dir) == 0
       && ngx_apigw_key_cache_get(cache, &key, &prefix, &entry)
          == MDB_NOTFOUND, "an empty store");
    store = cache->store;

    bad = 0;
    range.large = 17;

    /* of one key, of one page, and so on */

    for (n = 0; n < KEYS; n = range.to) {
        range.from = n;
        range.to = ngx_min(n + 1 + n / 2, KEYS);
        bad += ngx_apigw_store_write(store, put, &range) != 0;
        bad += differ(store, range.to + 50);
    }

    ok(bad == 0, "finds what LMDB finds");

    range.from = 100;
    range.to = KEYS / 2;
    ok(ngx_apigw_store_write(store, remove_some, &range) == 0
       && differ(store, KEYS) == 0, "and not what was removed");
    ok(store->view.mapped >= (size_t) store->view.size,
       "all of it is mapped");

    ngx_apigw_key_cache_close(cache);
}


static void
overwrite(const char *name, ngx_uint_t kind, ngx_uint_t seed)
{
    int          fd;
    long         pages, at, page;
    u_char       buf[PAGE];
    ngx_uint_t   i, n;
    struct stat  sb;

    fd = open(name, O_RDWR);

    if (fd == -1 || fstat(fd, &sb) == -1) {
        _exit(2);
    }

    srandom(seed);
    pages = sb.st_size / PAGE;

    if (kind == BYTES) {
        for (i = 0; i < 1500; i++) {
            at = 2 * PAGE + random() % (sb.st_size - 2 * PAGE);
            buf[0] = (u_char) random();
            (void) !pwrite(fd, buf, 1, at);
        }

        (void) close(fd);
        return;
    }

    n = (kind == ALL) ? pages - 2 : 20;

    for (page = 0; page < (long) n; page++) {
        for (i = 0; i < PAGE; i++) {
            buf[i] = (kind == ZEROES) ? 0 : (u_char) random();
        }

        at = (kind == ALL) ? page + 2 : 2 + random() % (pages - 2);
        (void) !pwrite(fd, buf, PAGE, at * PAGE);
    }

    (void) close(fd);
}


/* A worker that serves from a damaged file; one second is without end. */

static void
serve(const char *name, ngx_uint_t kind, ngx_uint_t seed, int out)
{
    int                     rc;
    u_char                  buf[64];
    result_t                result;
    ngx_str_t               key;
    ngx_uint_t              i;
    ngx_apigw_key_cache_t  *cache;
    ngx_apigw_key_entry_t  *entry;

    (void) alarm(20);

    overwrite(name, kind, seed);
    ngx_memzero(&result, sizeof(result_t));
    key.data = buf;

    if (ngx_apigw_key_cache_open(&cache, dir) != 0) {
        result.errors = LOOKS;

    } else {
        for (i = 0; i < LOOKS; i++) {
            key.len = make_key(buf, random() % KEYS);

            rc = ngx_apigw_key_cache_get(cache, &key, &prefix, &entry);

            if (rc == 0) {
                result.found++;
                result.wrong += entry->record.id.len != key.len
                                || memcmp(entry->record.id.data, buf, key.len);
                ngx_apigw_key_entry_release(entry);

            } else if (rc == MDB_NOTFOUND) {
                result.unknown++;

            } else {
                result.errors++;
            }
        }
    }

    _exit(write(out, &result, sizeof(result_t)) != sizeof(result_t));
}


static void
test_damage(void)
{
    int          fds[2], status;
    char         name[64], copy[64], command[256];
    long         died;
    pid_t        pid;
    result_t     result, sum[KINDS];
    ngx_uint_t   kind, seed, seeds;

    seeds = getenv("APIGW_LONG") ? 500 : 12;
    died = 0;
    ngx_memzero(sum, sizeof(sum));

    snprintf(name, sizeof(name), "%s/data.mdb", dir);
    snprintf(copy, sizeof(copy), "%s/copy", dir);
    snprintf(command, sizeof(command), "cp %s %s", name, copy);

    if (system(command) != 0 || pipe(fds) == -1) {
        ok(0, "a copy");
        return;
    }

    snprintf(command, sizeof(command), "cp %s %s", copy, name);

    for (seed = 1; seed <= seeds; seed++) {
        for (kind = 0; kind < KINDS; kind++) {

            if (system(command) != 0) {
                died++;
                continue;
            }

            pid = fork();

            if (pid == 0) {
                serve(name, kind, seed, fds[1]);
            }

            if (waitpid(pid, &status, 0) != pid || status != 0
                || read(fds[0], &result, sizeof(result_t)) != sizeof(result_t))
            {
                printf("# kind %lu, seed %lu: status %d\n", (u_long) kind,
                       (u_long) seed, status);
                died++;
                continue;
            }

            sum[kind].found += result.found;
            sum[kind].unknown += result.unknown;
            sum[kind].errors += result.errors;
            sum[kind].wrong += result.wrong;
        }
    }

    for (kind = 0; kind < KINDS; kind++) {
        printf("# damage %lu: %ld found, %ld unknown, %ld errors\n",
               (u_long) kind, sum[kind].found, sum[kind].unknown,
               sum[kind].errors);
    }

    ok(died == 0, "damaged files: nobody dies, all come to an end");
    ok(sum[PAGES].wrong + sum[BYTES].wrong + sum[ZEROES].wrong
       + sum[ALL].wrong == 0, "damaged files: never another record");
    ok(sum[PAGES].found > 0 && sum[BYTES].found > 0 && sum[PAGES].errors > 0
       && sum[BYTES].errors > 0, "damaged files: what is left is found");
    ok(sum[ALL].errors == (long) (LOOKS * seeds),
       "garbage: nothing but errors");
}


int
main(void)
{
    char  rm[64];

    if (mkdtemp(dir) == NULL) {
        printf("Bail out! no directory\n");
        return 1;
    }

    test_equal();
    test_damage();

    snprintf(rm, sizeof(rm), "rm -rf %s", dir);
    ok(system(rm) == 0, "clean");

    printf("1..%lu\n", (u_long) number);

    return 0;
}
