/*
 * Copyright (C) the apigw authors
 */


/*
 * Keys are looked up while the pages that they are on are used again: between
 * two steps of a look-up anything may happen to the store.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/wait.h>

#include "ngx_apigw_key.c"
#include "ngx_apigw_key_list.c"
#include "ngx_apigw_key_record.c"
#include "ngx_apigw_key_store.c"

static void disturb(void);

#define ngx_apigw_store_get(store, n, key, len, value)                        \
    (disturb(), ngx_apigw_store_get(store, n, key, len, value))

#include "ngx_apigw_key_cache.c"

#undef ngx_apigw_store_get

#include "../common/ngx_apigw_store.c"
#include "../common/ngx_apigw_store_file.c"
#include "../common/ngx_apigw_store_view.c"
#include "../common/ngx_apigw_tree.c"


typedef struct {
    const char              *verb;
    const char              *key;
    const char              *id;
    const char              *consumer;
    time_t                   expires;
} change_t;


static ngx_uint_t  number;
static ngx_str_t   prefix = ngx_string("ak_");


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
get(ngx_apigw_key_cache_t *cache, const char *key, ngx_apigw_key_entry_t **ep)
{
    ngx_str_t  str;

    str = text(key);

    return ngx_apigw_key_cache_get(cache, &str, &prefix, ep);
}


/*
 * A store that is mounted read-only and written to elsewhere: a reader has no
 * place to announce itself, its pages are used again.
 */

static const char  *disturbed;      /* the directory, to write to */
static ngx_uint_t   disturbances;


static void
disturb(void)
{
    int                 status;
    char                id[16];
    ngx_uint_t          i;
    ngx_apigw_store_t  *store;

    if (disturbances == 0) {
        return;
    }

    disturbances--;

    if (fork() == 0) {

        if (ngx_apigw_store_open(&store, disturbed, &ngx_apigw_key_store_kind)
            != 0)
        {
            _exit(1);
        }

        (void) mdb_env_set_flags(store->env, MDB_NOSYNC, 1);

        for (i = 0; i < 8; i++) {
            snprintf(id, sizeof(id), "moving-%lu", (u_long) i);
            (void) run(store, "delete", NULL, id, NULL);

            if (run(store, "put", "sixteen-letters-m", "m", "m") != 0
                || run(store, "delete", NULL, "m", NULL) != 0)
            {
                _exit(2);
            }
        }

        _exit(0);
    }

    (void) wait(&status);

    if (status != 0) {
        ok(0, "another process writes");
    }
}


static ngx_int_t
is_of(ngx_apigw_key_cache_t *cache, const char *key, const char *id)
{
    ngx_int_t               same;
    ngx_apigw_key_entry_t  *entry;

    if (get(cache, key, &entry) != 0) {
        return 0;
    }

    same = entry->record.id.len == strlen(id)
           && ngx_memcmp(entry->record.id.data, id, strlen(id)) == 0;

    ngx_apigw_key_entry_release(entry);

    return same;
}


/* The last state is read without a reader that keeps its pages. */

static void
test_moving(void)
{
    char                    dir[] = "/tmp/apigw-unit.XXXXXX", key[32],
                            command[64];
    ngx_uint_t              i, bad, pinned;
    ngx_apigw_store_t      *store;
    ngx_apigw_key_entry_t  *entry;
    ngx_apigw_key_cache_t  *cache;

    bad = mkdtemp(dir) == NULL
          || ngx_apigw_key_cache_open(&cache, dir) != 0;

    if (bad) {
        ok(0, "a cache");
        return;
    }

    store = cache->store;
    (void) mdb_env_set_flags(store->env, MDB_NOSYNC, 1);
    disturbed = dir;
    pinned = 0;

    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "sixteen-letters-%lu", (u_long) i);
        bad += run(store, "put", key, key + 12, "joe") != 0;
    }

    for (i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "sixteen-letters-%lu", (u_long) i);

        disturbances = i % 2;
        bad += !is_of(cache, key, key + 12);
        bad += get(cache, "sixteen-letters-none", &entry) != MDB_NOTFOUND;
        pinned += store->pinned;

        disturbances = i % 2;
        bad += get(cache, "sixteen-letters-none", &entry) != MDB_NOTFOUND;
        pinned += !store->pinned && i % 2;

        (void) get(cache, "sixteen-letters-none", &entry);
    }

    ok(bad == 0, "pages used again without a reader: read again");
    ok(pinned == 0, "with one, that time alone");

    ngx_apigw_key_cache_close(cache);

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ok(system(command) == 0, "removed");
}


static void
test_read_only(void)
{
    char                    dir[] = "/tmp/apigw-unit.XXXXXX", mounted[64],
                            key[32], id[32], command[512];
    ngx_uint_t              i, bad;
    ngx_apigw_store_t      *store;
    ngx_apigw_key_entry_t  *entry;
    ngx_apigw_key_cache_t  *cache;

    if (mkdtemp(dir) == NULL) {
        ok(0, "a directory");
        return;
    }

    snprintf(mounted, sizeof(mounted), "%s/mounted", dir);
    snprintf(command, sizeof(command), "mkdir %s %s/k && "
             "mount --bind %s/k %s 2>/dev/null && "
             "mount -o remount,bind,ro %s 2>/dev/null",
             mounted, dir, dir, mounted, mounted);

    if (system(command) != 0) {
        ok(1, "# SKIP cannot mount");
        goto clean;
    }

    snprintf(id, sizeof(id), "%s/k", dir);
    disturbed = id;

    bad = ngx_apigw_store_open(&store, disturbed, &ngx_apigw_key_store_kind)
          != 0;
    (void) mdb_env_set_flags(store->env, MDB_NOSYNC, 1);

    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "sixteen-letters-%lu", (u_long) i);
        bad += run(store, "put", key, key + 12, "joe") != 0;
    }

    ngx_apigw_store_close(store);

    ok(bad == 0 && ngx_apigw_key_cache_open(&cache, mounted) == 0
       && ngx_apigw_store_read_only(cache->store),
       "read-only here, written to elsewhere");

    for (i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "sixteen-letters-%lu", (u_long) i);

        disturbances = i % 4;
        bad += !is_of(cache, key, key + 12);
        disturbances = i % 4;
        bad += get(cache, "sixteen-letters-none", &entry) != MDB_NOTFOUND;
    }

    ok(bad == 0, "pages used again under a reader: read again");

    disturbances = NGX_APIGW_STORE_LOOKS;
    ok(get(cache, "sixteen-letters-9", &entry) == NGX_APIGW_STORE_EMOVED
       && disturbances == 0, "and again: given up");
    ok(is_of(cache, "sixteen-letters-9", "ers-9"), "and found in the end");

    ngx_apigw_key_cache_close(cache);

    snprintf(command, sizeof(command), "umount %s", mounted);
    ok(system(command) == 0, "unmounted");

clean:

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ok(system(command) == 0, "removed");
}


int
main(void)
{
    test_moving();
    test_read_only();

    printf("1..%lu\n", (u_long) number);

    return 0;
}
