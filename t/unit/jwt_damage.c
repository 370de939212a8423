/*
 * Copyright (C) the apigw authors
 */


/*
 * Revocations in damaged files: who looks for one comes to an end without a
 * signal, and what is revoked is found, or is an error, and never taken for
 * not revoked; with records that are sealed, and those of older versions.
 *
 * APIGW_LONG=1 damages more files.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <signal.h>
#include <sys/wait.h>

#include "ngx_apigw_jwt_store.c"
#include "../common/ngx_apigw_store.c"
#include "../common/ngx_apigw_store_file.c"
#include "../common/ngx_apigw_store_view.c"
#include "../common/ngx_apigw_tree.c"


#define VALUES  3000
#define LOOKS   300
#define PAGE    4096
#define TEXT    400


enum { PAGES = 0, BYTES, FEW, ZEROES, ALL, KINDS };


typedef struct {
    long                found;
    long                unknown;    /* and are not there */
    long                errors;
    long                missed;     /* and are there */
    long                wrong;      /* another record */
} result_t;


static ngx_uint_t  number;
static char        dir[] = "/tmp/apigw-unit.XXXXXX";


static void
ok(ngx_uint_t right, const char *name)
{
    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
    fflush(stdout);
}


/* The even ones are revoked.  Some are too long for a key of LMDB. */

static ngx_apigw_jwt_by_e
make_value(ngx_uint_t i, ngx_str_t *value, u_char *buf)
{
    value->data = buf;
    value->len = sprintf((char *) buf, "%08lx-value-%lu",
                         (u_long) (i * 2654435761U & 0xffffffff), (u_long) i);

    if (i % 20 < 2) {
        memset(buf + value->len, 'x', TEXT - value->len);
        value->len = TEXT;
    }

    return i % 6 < 4 ? NGX_APIGW_JWT_BY_JTI : NGX_APIGW_JWT_BY_SUB;
}


static int
put_all(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                          rc;
    u_char                       buf[TEXT + 64];
    MDB_val                      val;
    ngx_uint_t                   i, *old = data;
    ngx_apigw_jwt_key_t          key;
    ngx_apigw_jwt_revocation_t   revocation;

    rc = 0;
    revocation.made = 1;
    revocation.until = 0;

    for (i = 0; i < VALUES && rc == 0; i += 2) {
        revocation.by = make_value(i, &revocation.value, buf);

        if (!*old) {
            rc = ngx_apigw_jwt_store_put(store, txn, &revocation);
            continue;
        }

        /* as versions without seals have written them */

        (void) ngx_apigw_jwt_store_key(&key, revocation.by,
                                       &revocation.value);

        memmove(buf + sizeof(ngx_apigw_jwt_head_t), buf,
                revocation.value.len);
        memcpy(buf, &revocation.made, sizeof(uint64_t));
        memcpy(buf + sizeof(uint64_t), &revocation.until, sizeof(uint64_t));

        val.mv_data = buf;
        val.mv_size = sizeof(ngx_apigw_jwt_head_t) + revocation.value.len;

        rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                     &key.val, &val, 0);
    }

    return rc;
}


static void
overwrite(const char *name, ngx_uint_t kind, ngx_uint_t seed)
{
    int          fd;
    long         pages, at, page, n;
    u_char       buf[PAGE];
    ngx_uint_t   i;
    struct stat  sb;

    fd = open(name, O_RDWR);

    if (fd == -1 || fstat(fd, &sb) == -1) {
        _exit(2);
    }

    srandom(seed);
    pages = sb.st_size / PAGE;

    if (kind == BYTES || kind == FEW) {
        n = (kind == FEW) ? 40 : 1500;

        while (n--) {
            at = 2 * PAGE + random() % (sb.st_size - 2 * PAGE);

            (void) !pread(fd, buf, 1, at);
            buf[0] ^= (u_char) (1 << random() % 8);
            (void) !pwrite(fd, buf, 1, at);
        }

        (void) close(fd);
        return;
    }

    n = (kind == ALL) ? pages - 2 : 10;

    for (page = 0; page < n; page++) {
        for (i = 0; i < PAGE; i++) {
            buf[i] = (kind == ZEROES) ? 0 : (u_char) random();
        }

        at = (kind == ALL) ? page + 2 : 2 + random() % (pages - 2);
        (void) !pwrite(fd, buf, PAGE, at * PAGE);
    }

    (void) close(fd);
}


static void
look(ngx_apigw_store_t *store, ngx_uint_t i, result_t *result)
{
    int                          rc;
    u_char                       buf[TEXT + 64];
    uint64_t                     version;
    ngx_str_t                    value;
    ngx_apigw_jwt_by_e           by;
    ngx_apigw_jwt_revocation_t   revocation;

    by = make_value(i, &value, buf);

    rc = ngx_apigw_store_look(store, &version);

    if (rc == 0) {
        rc = ngx_apigw_jwt_store_find(store, by, &value, &revocation);

        if (rc == 0) {
            result->wrong += i % 2 || revocation.until || revocation.made != 1
                             || revocation.value.len != value.len
                             || memcmp(revocation.value.data, value.data,
                                       value.len);
        }

        if (ngx_apigw_store_look_end(store) != 0) {
            rc = EAGAIN;
        }
    }

    switch (rc) {

    case 0:
        result->found++;
        break;

    case NGX_APIGW_STORE_EEMPTY:
    case MDB_NOTFOUND:
        if (i % 2) {
            result->unknown++;

        } else {
            result->missed++;
        }

        break;

    default:
        result->errors++;
    }
}


/* A worker that has the store open, or opens it, when it is damaged. */

static void
serve(const char *name, ngx_uint_t kind, ngx_uint_t seed, int out)
{
    int                 rc;
    result_t            result;
    uint64_t            version;
    ngx_uint_t          i;
    ngx_apigw_store_t  *store;

    (void) alarm(20);
    ngx_memzero(&result, sizeof(result_t));

    if (seed % 2) {
        overwrite(name, kind, seed);
    }

    rc = ngx_apigw_store_open(&store, dir, &ngx_apigw_jwt_store_kind);

    if (rc == 0 && seed % 2 == 0) {

        if (ngx_apigw_store_look(store, &version) == 0) {
            (void) ngx_apigw_store_look_end(store);
        }

        overwrite(name, kind, seed);
    }

    for (i = 0; i < LOOKS; i++) {

        if (rc == 0) {
            look(store, random() % VALUES, &result);

        } else {
            result.errors++;
        }
    }

    _exit(write(out, &result, sizeof(result_t)) != sizeof(result_t));
}


static ngx_uint_t
run(ngx_uint_t kind, ngx_uint_t seed, const char *restore, const char *name,
    result_t *sum)
{
    int       fds[2], status;
    pid_t     pid;
    result_t  result;

    if (system(restore) != 0 || pipe(fds) == -1) {
        return 1;
    }

    pid = fork();

    if (pid == 0) {
        serve(name, kind, seed, fds[1]);
    }

    (void) close(fds[1]);

    if (waitpid(pid, &status, 0) != pid || status != 0
        || read(fds[0], &result, sizeof(result_t)) != sizeof(result_t))
    {
        printf("# kind %lu, seed %lu: status %d\n", (u_long) kind,
               (u_long) seed, status);
        (void) close(fds[0]);
        return 1;
    }

    (void) close(fds[0]);

    sum->found += result.found;
    sum->unknown += result.unknown;
    sum->errors += result.errors;
    sum->missed += result.missed;
    sum->wrong += result.wrong;

    return 0;
}


static void
test_damage(ngx_uint_t old)
{
    char                name[64], restore[256];
    ngx_uint_t          kind, seed, seeds, died, bad;
    result_t            sum[KINDS], all;
    ngx_apigw_store_t  *store;

    snprintf(name, sizeof(name), "%s/data.mdb", dir);
    snprintf(restore, sizeof(restore),
             "rm -rf %s && mkdir %s", dir, dir);

    if (system(restore) != 0
        || ngx_apigw_store_open(&store, dir, &ngx_apigw_jwt_store_kind) != 0
        || ngx_apigw_store_write(store, put_all, &old) != 0)
    {
        ok(0, "a store");
        return;
    }

    ngx_memzero(&all, sizeof(result_t));

    for (kind = 0; kind < VALUES; kind++) {
        look(store, kind, &all);
    }

    ok(all.found == VALUES / 2 && all.unknown == VALUES / 2,
       old ? "an older store: all is found" : "all is found");

    ngx_apigw_store_close(store);

    snprintf(restore, sizeof(restore), "cp %s %s.copy", name, dir);
    bad = system(restore) != 0;

    snprintf(restore, sizeof(restore), "rm -f %s/lock.mdb && cp %s.copy %s",
             dir, dir, name);

    seeds = getenv("APIGW_LONG") ? 1000 : 8;
    died = 0;

    ngx_memzero(sum, sizeof(sum));
    ngx_memzero(&all, sizeof(result_t));

    for (seed = 1; seed <= seeds; seed++) {
        for (kind = 0; kind < KINDS; kind++) {
            died += run(kind, seed, restore, name, &sum[kind]);
        }
    }

    for (kind = 0; kind < KINDS; kind++) {
        printf("# damage %lu: %ld found, %ld unknown, %ld errors, %ld missed, "
               "%ld wrong\n", (u_long) kind, sum[kind].found,
               sum[kind].unknown, sum[kind].errors, sum[kind].missed,
               sum[kind].wrong);

        all.missed += sum[kind].missed;
        all.wrong += sum[kind].wrong;
    }

    ok(bad == 0 && died == 0, "nobody dies, all come to an end");
    ok(all.missed == 0, "what is revoked is never taken for not revoked");

    /* without a seal nobody knows what a time was */

    ok(old || all.wrong == 0, "and never another record");
    ok(sum[FEW].found > 0 && sum[FEW].unknown > 0 && sum[FEW].errors > 0
       && sum[PAGES].found > 0 && sum[PAGES].errors > 0,
       "what is left is found");
    ok(sum[ALL].errors == (long) (LOOKS * seeds),
       "garbage: nothing but errors");
}


int
main(void)
{
    char  rm[128];

    if (mkdtemp(dir) == NULL) {
        printf("Bail out! no directory\n");
        return 1;
    }

    test_damage(0);
    test_damage(1);

    snprintf(rm, sizeof(rm), "rm -rf %s %s.copy", dir, dir);
    ok(system(rm) == 0, "removed");

    printf("1..%lu\n", (u_long) number);

    return 0;
}
