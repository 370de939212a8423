/*
 * Copyright (C) the apigw authors
 */


/*
 * How long the look-up of a key takes tells nothing about it: a child does
 * look-ups, and is traced instruction by instruction.  What is counted is the
 * same for all keys that nobody has, however near to one that somebody has,
 * and for all that are known; the latter need their record besides.
 *
 * "key_timing N" does it with N keys, APIGW_LONG=1 with more look-ups.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sched.h>
#include <sys/ptrace.h>
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


#define CASES   100
#define KINDS   4
#define RECORD  2500      /* what a record may cost */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED  1
#elif defined(__has_feature)
#define SANITIZED  __has_feature(address_sanitizer)
#else
#define SANITIZED  0
#endif


enum { KNOWN = 0, UNKNOWN, NEAR, REFUSED };


typedef struct {
    long                least;
    long                most;
    long                sum;
} count_t;


static ngx_uint_t  number;
static ngx_uint_t  keys = 1000;
static ngx_uint_t  cases = 6;
static ngx_str_t   prefix = ngx_string("ak_");


static void
ok(ngx_uint_t right, const char *name)
{
    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
    fflush(stdout);
}


/* The key number i, always the same. */

static size_t
make_key(u_char *buf, ngx_uint_t i)
{
    u_char      random[NGX_APIGW_KEY_RANDOM];
    uint64_t    n;
    ngx_uint_t  k;

    n = (i + 1) * 0x9e3779b97f4a7c15ULL;

    for (k = 0; k < sizeof(random); k++) {
        n = n * 6364136223846793005ULL + 1442695040888963407ULL;
        random[k] = (u_char) (n >> 56);
    }

    return ngx_apigw_key_make(buf, prefix.data, prefix.len, random) - buf;
}


/* One of the kind; of KNOWN and REFUSED another one each time. */

static size_t
case_key(u_char *buf, ngx_uint_t kind, ngx_uint_t i)
{
    size_t  len;

    switch (kind) {

    case KNOWN:
        return make_key(buf, 2 * i);

    case REFUSED:
        return make_key(buf, 2 * i + 1);

    case NEAR:

        /* another last character of the random part, and the right sum */

        len = make_key(buf, 2 * (i + CASES));
        buf[prefix.len + NGX_APIGW_KEY_BODY - 1] ^= 1;
        (void) ngx_apigw_key_sum(buf + prefix.len + NGX_APIGW_KEY_BODY,
                                 buf + prefix.len);
        return len;

    default: /* UNKNOWN */
        return make_key(buf, 1000000 + i);
    }
}


static int
fill(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int                     rc;
    char                    id[32];
    u_char                  key[100], digest[NGX_APIGW_KEY_DIGEST];
    size_t                  len;
    ngx_uint_t              i;
    ngx_apigw_key_hasher_t  hasher;
    ngx_apigw_key_record_t  rec;

    rc = 0;
    (void) ngx_apigw_key_hasher_init(&hasher);

    for (i = 0; i < keys && rc == 0; i++) {
        len = make_key(key, i);
        (void) ngx_apigw_key_digest(&hasher, digest, key, len);

        ngx_apigw_key_record_init(&rec);
        rec.id.data = (u_char *) id;
        rec.id.len = snprintf(id, sizeof(id), "id-%08lu", (u_long) i);
        rec.consumer = rec.id;
        rec.enabled = !(i & 1);

        rc = ngx_apigw_key_store_put(store, txn, digest, &rec);
    }

    ngx_apigw_key_hasher_free(&hasher);

    return rc;
}


/* The child: each look-up is between two stops. */

static int
look_up(const char *dir)
{
    int                     rc;
    u_char                  buf[100];
    ngx_str_t               key;
    ngx_uint_t              i, kind;
    ngx_apigw_key_cache_t  *cache;
    ngx_apigw_key_entry_t  *entry;

    if (ngx_apigw_key_cache_open(&cache, dir) != 0
        || ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
    {
        return 2;
    }

    key.data = buf;

    for (i = 0; i < cases; i++) {
        for (kind = 0; kind < KINDS; kind++) {

            key.len = case_key(buf, kind, i);

            (void) raise(SIGSTOP);

            rc = ngx_apigw_key_cache_get(cache, &key, &prefix, &entry);

            (void) raise(SIGSTOP);

            if (rc != (kind == KNOWN || kind == REFUSED ? 0 : MDB_NOTFOUND)) {
                return 3;
            }

            if (rc == 0) {
                ngx_apigw_key_entry_release(entry);
            }
        }
    }

    return 0;
}


/* From one stop to the next one; -1 if the child ended. */

static long
steps(pid_t pid)
{
    int   status;
    long  n;

    for (n = 0; /* void */ ; n++) {

        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == -1
            || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        {
            return -1;
        }

        if (WSTOPSIG(status) == SIGSTOP) {
            return n;
        }
    }
}


static int
go_on(pid_t pid)
{
    int  status;

    if (ptrace(PTRACE_CONT, pid, NULL, NULL) == -1
        || waitpid(pid, &status, 0) != pid)
    {
        return -1;
    }

    return status;
}


static int
count(const char *dir, count_t *counts)
{
    int         status;
    long        n;
    pid_t       pid;
    count_t    *c;
    ngx_uint_t  i, kind;

    pid = fork();

    if (pid == 0) {
        _exit(look_up(dir));
    }

    for (i = 0; i < cases; i++) {
        for (kind = 0; kind < KINDS; kind++) {

            if (i == 0 && kind == 0) {
                if (waitpid(pid, &status, 0) != pid) {
                    return -1;
                }

            } else {
                status = go_on(pid);
            }

            if (!WIFSTOPPED(status)) {
                return status;
            }

            /* what is done but once, such as resolving symbols, passes */

            n = i ? steps(pid) : !WIFSTOPPED(go_on(pid));

            if (n < 0) {
                return -1;
            }

            c = &counts[kind];

            if (i) {
                c->least = c->least ? ngx_min(c->least, n) : n;
                c->most = ngx_max(c->most, n);
                c->sum += n;
            }
        }
    }

    return go_on(pid);
}


static ngx_uint_t
within(long a, long b, long most)
{
    return a - b <= most && b - a <= most;
}


int
main(int argc, char **argv)
{
    int                 rc;
    char                dir[] = "/tmp/apigw-unit.XXXXXX", rm[128];
    cpu_set_t           cpu;
    long                mean[KINDS];
    count_t             counts[KINDS];
    ngx_uint_t          i;
    ngx_apigw_store_t  *store;

    if (SANITIZED) {
        printf("1..0 # SKIP not under a sanitizer\n");
        return 0;
    }

    if (argc > 1) {
        keys = ngx_max(atoi(argv[1]), 2 * 2 * CASES);
    }

    if (getenv("APIGW_LONG")) {
        cases = CASES;
    }

    /* one after the other they need but one processor, and are faster so */

    CPU_ZERO(&cpu);
    CPU_SET(sched_getcpu(), &cpu);
    (void) sched_setaffinity(0, sizeof(cpu), &cpu);

    if (mkdtemp(dir) == NULL
        || ngx_apigw_store_open(&store, dir, &ngx_apigw_key_store_kind) != 0
        || ngx_apigw_store_write(store, fill, NULL) != 0)
    {
        printf("Bail out! no store\n");
        return 1;
    }

    ngx_apigw_store_close(store);
    ngx_memzero(counts, sizeof(counts));

    rc = count(dir, counts);

    snprintf(rm, sizeof(rm), "rm -rf %s", dir);

    if (system(rm) != 0) {
        printf("# %s is left\n", dir);
    }

    if (rc != 0) {
        printf("1..0 # SKIP cannot trace a process: %d\n", rc);
        return WIFEXITED(rc) && WEXITSTATUS(rc) == 3;
    }

    for (i = 0; i < KINDS; i++) {
        mean[i] = counts[i].sum / (long) (cases - 1);

        printf("# %s: %ld instructions, %ld to %ld\n",
               i == KNOWN ? "known" : i == UNKNOWN ? "unknown"
               : i == NEAR ? "nearly known" : "known and refused",
               mean[i], counts[i].least, counts[i].most);
    }

    /* where a digest lies in its page and in which one, tells nothing */

    ok(within(mean[NEAR], mean[UNKNOWN], mean[UNKNOWN] / 20),
       "a key that is nearly right is as unknown as any other");
    ok(within(mean[REFUSED], mean[KNOWN], mean[KNOWN] / 20),
       "a key that will be refused is as known as any other");
    ok(counts[UNKNOWN].most - counts[UNKNOWN].least < mean[UNKNOWN] / 4
       && counts[KNOWN].most - counts[KNOWN].least < mean[KNOWN] / 4,
       "no key takes much longer than others");
    ok(mean[KNOWN] - mean[UNKNOWN] > 0
       && mean[KNOWN] - mean[UNKNOWN] < RECORD,
       "a known key takes its record longer");

    printf("1..%lu\n", (u_long) number);

    return 0;
}
