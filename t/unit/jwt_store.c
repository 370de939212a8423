/*
 * Copyright (C) the apigw authors
 */


/* The store of tokens: revocations of any length, and key sets. */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_jwt_store.c"
#include "../common/ngx_apigw_store.c"
#include "../common/ngx_apigw_store_file.c"
#include "../common/ngx_apigw_store_view.c"
#include "../common/ngx_apigw_tree.c"


typedef struct {
    ngx_apigw_jwt_revocation_t  *list;
    ngx_uint_t                   n;
    ngx_uint_t                   found;
} walk_t;


static int put(ngx_apigw_store_t *store, MDB_txn *txn, void *data);
static int put_damaged(ngx_apigw_store_t *store, MDB_txn *txn, void *data);
static int remove_all(ngx_apigw_store_t *store, MDB_txn *txn, void *data);
static int each(void *data, const ngx_apigw_jwt_revocation_t *revocation);
static ngx_uint_t found(ngx_apigw_store_t *store, ngx_apigw_jwt_by_e by,
    const ngx_str_t *value);
static void test_empty(ngx_apigw_store_t *store);
static void test_revocations(ngx_apigw_store_t *store);
static void test_reap(ngx_apigw_store_t *store);
static void test_damage(ngx_apigw_store_t *store);
static void test_sets(ngx_apigw_store_t *store);


static ngx_uint_t                  tests;
static u_char                      text[2048];
static ngx_apigw_jwt_revocation_t  list[NGX_APIGW_JWT_REVOCATION_MAX];


static void
ok(ngx_uint_t good, const char *name)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", (unsigned) ++tests, name);
}


int
main(void)
{
    int                 rc;
    char                dir[] = "/tmp/apigw-unit.XXXXXX", command[64];
    ngx_uint_t          i;
    ngx_apigw_store_t  *store;

    for (i = 0; i < sizeof(text); i++) {
        text[i] = 'a' + i % 26;
    }

    if (mkdtemp(dir) == NULL
        || ngx_apigw_store_open(&store, dir, &ngx_apigw_jwt_store_kind) != 0)
    {
        printf("Bail out! no store\n");
        return 1;
    }

    test_empty(store);
    test_revocations(store);
    test_reap(store);
    test_damage(store);
    test_sets(store);

    ngx_apigw_store_close(store);

    (void) snprintf(command, sizeof(command), "rm -r %s", dir);
    rc = system(command);

    printf("1..%u\n", (unsigned) tests);

    return rc != 0;
}


static int
put(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    walk_t *walk = data;

    int         rc;
    ngx_uint_t  i;

    for (i = 0; i < walk->n; i++) {
        rc = ngx_apigw_jwt_store_put(store, txn, &walk->list[i]);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


static int
remove_all(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    return mdb_drop(txn, ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                    0);
}


static int
each(void *data, const ngx_apigw_jwt_revocation_t *revocation)
{
    walk_t *walk = data;

    ngx_apigw_jwt_revocation_t  *one;

    /* their lengths tell them apart */

    one = &walk->list[revocation->value.len - 1];

    if (one->by == revocation->by
        && one->value.len == revocation->value.len
        && memcmp(one->value.data, revocation->value.data, one->value.len)
           == 0
        && one->until == revocation->until
        && one->made == revocation->made)
    {
        walk->found++;
    }

    return 0;
}


static ngx_uint_t
found(ngx_apigw_store_t *store, ngx_apigw_jwt_by_e by, const ngx_str_t *value)
{
    int                          rc, look;
    MDB_txn                     *txn;
    uint64_t                     version;
    ngx_apigw_jwt_revocation_t   revocation;

    if (ngx_apigw_store_read(store, &txn) != 0) {
        return 0;
    }

    rc = ngx_apigw_jwt_store_get(store, txn, by, value, &revocation);

    ngx_apigw_store_read_end(store);

    if (ngx_apigw_store_look(store, &version) != 0) {
        return 0;
    }

    look = ngx_apigw_jwt_store_find(store, by, value, &revocation);

    /* by both ways the same */

    if (look != rc) {
        printf("# %d is not %d\n", look, rc);
        ok(0, "found by both ways");
    }

    rc = rc == 0 && revocation.by == by && revocation.value.len == value->len
         && memcmp(revocation.value.data, value->data, value->len) == 0;

    (void) ngx_apigw_store_look_end(store);

    return rc;
}


static void
test_empty(ngx_apigw_store_t *store)
{
    MDB_txn     *txn;
    ngx_uint_t   n;

    n = 1;

    ok(ngx_apigw_store_read(store, &txn) == NGX_APIGW_STORE_EEMPTY
       && ngx_apigw_store_version(store) == 0,
       "a new store is empty, of version 0");

    ok(ngx_apigw_jwt_store_reap(store, 100, 10, &n) == 0 && n == 0
       && ngx_apigw_store_version(store) == 0,
       "nothing to reap in it");
}


static void
test_revocations(ngx_apigw_store_t *store)
{
    walk_t                       walk;
    MDB_txn                     *txn;
    uint64_t                     count;
    ngx_str_t                    value;
    ngx_uint_t                   i, bad;
    ngx_apigw_jwt_revocation_t   one;

    static const ngx_apigw_jwt_by_e  by[] = {
        NGX_APIGW_JWT_BY_JTI, NGX_APIGW_JWT_BY_SUB, NGX_APIGW_JWT_BY_KID
    };

    for (i = 0; i < NGX_APIGW_JWT_REVOCATION_MAX; i++) {
        list[i].by = by[i % 3];
        list[i].value.data = text;
        list[i].value.len = i + 1;
        list[i].made = i;
        list[i].until = i % 2 ? i + 1000000 : 0;
    }

    walk.list = list;
    walk.n = NGX_APIGW_JWT_REVOCATION_MAX;
    walk.found = 0;

    ok(ngx_apigw_store_write(store, put, &walk) == 0, "values of all lengths");

    bad = 0;

    for (i = 0; i < walk.n; i++) {
        bad += !found(store, list[i].by, &list[i].value);
        bad += found(store, by[(i + 1) % 3], &list[i].value);

        value = list[i].value;
        value.data++;
        bad += found(store, list[i].by, &value);
    }

    ok(bad == 0, "each is found, by its claim and by no other value");

    count = 0;

    if (ngx_apigw_store_look(store, &count) == 0) {
        count = ngx_apigw_jwt_store_count(store);
        (void) ngx_apigw_store_look_end(store);
    }

    (void) ngx_apigw_store_read(store, &txn);

    ok(count == walk.n
       && ngx_apigw_jwt_store_each(store, txn, each, &walk) == 0
       && walk.found == walk.n,
       "all are listed as they were put");

    ngx_apigw_store_read_end(store);

    one = list[0];
    one.value.len = 0;
    walk.list = &one;
    walk.n = 1;

    ok(ngx_apigw_store_write(store, put, &walk) == EINVAL
       && (one.value.len = NGX_APIGW_JWT_REVOCATION_MAX + 1,
           ngx_apigw_store_write(store, put, &walk) == EINVAL)
       && !found(store, one.by, &one.value),
       "no empty value, no longer one");

    ok(ngx_apigw_store_write(store, remove_all, NULL) == 0
       && !found(store, list[0].by, &list[0].value), "removed");
}


static void
test_reap(ngx_apigw_store_t *store)
{
    walk_t      walk;
    uint64_t    before;
    ngx_uint_t  i, n, sum, left, bad;

    /* until 1 to 1000, every tenth for ever */

    for (i = 0; i < 1000; i++) {
        list[i].by = NGX_APIGW_JWT_BY_JTI;
        list[i].value.data = text + i % 26;
        list[i].value.len = 1 + i;
        list[i].made = 0;
        list[i].until = i % 10 ? i + 1 : 0;
    }

    walk.list = list;
    walk.n = 1000;

    (void) ngx_apigw_store_write(store, put, &walk);

    sum = 0;
    bad = 0;

    do {
        bad += ngx_apigw_jwt_store_reap(store, 500, 64, &n) != 0 || n > 64;
        sum += n;
    } while (n == 64);

    ok(bad == 0 && sum == 450, "what is over is reaped, some at a time");

    left = 0;
    bad = 0;

    for (i = 0; i < 1000; i++) {

        if (!found(store, list[i].by, &list[i].value)) {
            bad += list[i].until == 0 || list[i].until > 500;
            continue;
        }

        left++;
        bad += list[i].until && list[i].until <= 500;
    }

    ok(bad == 0 && left == 550, "and nothing else");

    before = ngx_apigw_store_version(store);

    ok(ngx_apigw_jwt_store_reap(store, 500, 64, &n) == 0 && n == 0
       && ngx_apigw_store_version(store) == before,
       "without need nothing is written");

    (void) ngx_apigw_store_write(store, remove_all, NULL);
}


static int
put_damaged(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    u_char   record[20];
    MDB_val  key, val;

    ngx_memzero(record, sizeof(record));

    key.mv_data = (void *) "jdamaged";
    key.mv_size = 8;
    val.mv_data = record;
    val.mv_size = *(size_t *) data;

    return mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                   &key, &val, 0);
}


static void
test_damage(ngx_apigw_store_t *store)
{
    int                          rc;
    size_t                       size;
    MDB_txn                     *txn;
    ngx_str_t                    value;
    ngx_uint_t                   n, bad;
    ngx_apigw_jwt_revocation_t   revocation;

    ngx_str_set(&value, "damaged");
    bad = 0;

    for (size = 0; size <= 16; size += 4) {

        (void) ngx_apigw_store_write(store, put_damaged, &size);
        (void) ngx_apigw_store_read(store, &txn);

        rc = ngx_apigw_jwt_store_get(store, txn, NGX_APIGW_JWT_BY_JTI, &value,
                                     &revocation);

        bad += rc != NGX_APIGW_JWT_STORE_EBROKEN;

        ngx_apigw_store_read_end(store);

        bad += ngx_apigw_jwt_store_reap(store, 1000, 10, &n) != 0 || n != 0;
    }

    ok(bad == 0, "a short record is an error, neither revoked nor not");

    (void) ngx_apigw_store_write(store, remove_all, NULL);
}


static void
test_sets(ngx_apigw_store_t *store)
{
    int                     rc;
    size_t                  len;
    u_char                  id[NGX_APIGW_JWT_ISSUER_ID], *large;
    uint64_t                version;
    ngx_uint_t              bad;
    ngx_apigw_jwt_saved_t   saved, got;

    ngx_memset(id, 7, sizeof(id));

    len = 1024 * 1024;
    large = malloc(len);
    ngx_memset(large, 'k', len);

    bad = 0;

    for (saved.text.len = 1; saved.text.len <= len; saved.text.len *= 16) {

        saved.text.data = large;
        saved.fetched = saved.text.len;
        saved.expires = saved.text.len + 1;

        bad += ngx_apigw_jwt_store_save(store, id, &saved) != 0;

        (void) ngx_apigw_store_look(store, &version);

        rc = ngx_apigw_jwt_store_load(store, id, &got);

        bad += rc != 0 || got.fetched != saved.fetched
               || got.expires != saved.expires
               || got.text.len != saved.text.len
               || memcmp(got.text.data, large, got.text.len) != 0;

        bad += ngx_apigw_store_look_end(store) != 0;
    }

    ok(bad == 0, "key sets of up to a megabyte come back");

    id[15]++;

    (void) ngx_apigw_store_look(store, &version);

    ok(ngx_apigw_jwt_store_load(store, id, &got) == MDB_NOTFOUND,
       "not those of another issuer");

    (void) ngx_apigw_store_look_end(store);

    free(large);
}
