/*
 * Copyright (C) the apigw authors
 */


/*
 * The cache of verified tokens: what processes read while others write, or
 * are killed, is whole and theirs.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>
#include <sys/wait.h>


/* In a race any word may come late, so that others come in between. */

static void late_copy(void *dst, const void *src, size_t len);


#undef ngx_memcpy
#define ngx_memcpy  late_copy

#include "ngx_apigw_token_cache.c"


#define NOW      1700000000000ULL
#define READERS  3
#define TOKENS   64


/* The mutex of nginx's zones: freed by the parent when its holder is dead. */

typedef struct {
    volatile uint64_t  lock;
    volatile uint64_t  stop;
    volatile uint64_t  gets;
    volatile uint64_t  hits;
    volatile uint64_t  torn;
    volatile uint64_t  puts;
} board_t;


static void test_race(ngx_uint_t kill_writers, const char *name);
static void reader(ngx_apigw_token_cache_t *cache, board_t *board,
    uint64_t seed);
static void writer(ngx_apigw_token_cache_t *cache, board_t *board,
    uint64_t seed);
static void token_id(ngx_apigw_token_cache_t *cache, ngx_apigw_token_id_t *id,
    uint64_t n);
static uint64_t random64(uint64_t *seed);
static void *shared(size_t size);


static ngx_uint_t               tests;
static ngx_apigw_token_entry_t  entry;


static void
ok(ngx_uint_t good, const char *name)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", (unsigned) ++tests, name);
    fflush(stdout);
}


int
main(void)
{
    test_race(0, "readers and two writers");
    test_race(1, "the same while writers are killed");

    printf("1..%u\n", (unsigned) tests);

    return 0;
}


static void
test_race(ngx_uint_t kill_writers, const char *name)
{
    pid_t                     readers[READERS], writers[2];
    board_t                  *board;
    ngx_uint_t                i, n, rounds;
    ngx_apigw_token_cache_t  *cache;

    board = shared(sizeof(board_t));
    cache = ngx_apigw_token_cache_create(shared(NGX_APIGW_TOKEN_CACHE_MIN),
                                         NGX_APIGW_TOKEN_CACHE_MIN);

    for (i = 0; i < READERS; i++) {
        readers[i] = fork();

        if (readers[i] == 0) {
            reader(cache, board, i + 1);
            _exit(0);
        }
    }

    writers[0] = writers[1] = -1;
    rounds = getenv("APIGW_LONG") ? 20000 : 60;

    for (n = 0;
         n < rounds
         || ((board->hits < 500 || board->puts < 500) && n < 10000);
         n++)
    {

        for (i = 0; i < 2; i++) {

            if (writers[i] != -1) {
                continue;
            }

            writers[i] = fork();

            if (writers[i] == 0) {
                writer(cache, board, n * 2 + i + 1);
                _exit(0);
            }
        }

        (void) usleep(1000);

        if (kill_writers) {
            i = n % 2;

            (void) kill(writers[i], SIGKILL);
            (void) waitpid(writers[i], NULL, 0);

            /* as ngx_shmtx_force_unlock() */

            (void) __sync_bool_compare_and_swap(&board->lock, writers[i], 0);

            writers[i] = -1;
        }
    }

    board->stop = 1;

    for (i = 0; i < 2; i++) {
        if (writers[i] != -1) {
            (void) waitpid(writers[i], NULL, 0);
        }
    }

    for (i = 0; i < READERS; i++) {
        (void) waitpid(readers[i], NULL, 0);
    }

    printf("# %s: %llu gets, %llu hits, %llu puts, %llu torn\n", name,
           (unsigned long long) board->gets, (unsigned long long) board->hits,
           (unsigned long long) board->puts, (unsigned long long) board->torn);

    ok(board->torn == 0, name);
    ok(board->hits >= 500 && board->puts >= 500, "tokens were found");
}


/* What is stored of a token is made of its number and of one more. */

static void
reader(ngx_apigw_token_cache_t *cache, board_t *board, uint64_t seed)
{
    uint32_t              i;
    uint64_t              n;
    ngx_uint_t            bad;
    ngx_apigw_token_id_t  id;

    while (!board->stop) {

        n = random64(&seed) % TOKENS;
        token_id(cache, &id, n);

        (void) __atomic_add_fetch(&board->gets, 1, __ATOMIC_RELAXED);

        if (ngx_apigw_token_cache_get(cache, &id, NOW, &entry) != NGX_OK) {
            continue;
        }

        (void) __atomic_add_fetch(&board->hits, 1, __ATOMIC_RELAXED);

        bad = entry.len != entry.revision % 1500
              || entry.until != NOW + 1 + entry.revision
              || entry.verdict != 0;

        for (i = 0; i < entry.len && !bad; i++) {
            bad = entry.data[i] != (u_char) (n * 7 + entry.revision);
        }

        if (bad) {
            (void) __atomic_add_fetch(&board->torn, 1, __ATOMIC_RELAXED);
        }
    }
}


static void
writer(ngx_apigw_token_cache_t *cache, board_t *board, uint64_t seed)
{
    uint64_t              n, free;
    ngx_apigw_token_id_t  id;

    while (!board->stop) {

        n = random64(&seed) % TOKENS;
        token_id(cache, &id, n);

        entry.revision = random64(&seed) % 100000;
        entry.from = 0;
        entry.until = NOW + 1 + entry.revision;
        entry.verdict = 0;
        entry.len = entry.revision % 1500;

        ngx_memset(entry.data, (u_char) (n * 7 + entry.revision), entry.len);

        free = 0;

        if (!__atomic_compare_exchange_n(&board->lock, &free, getpid(), 0,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        {
            sched_yield();
            continue;
        }

        (void) ngx_apigw_token_cache_put(cache, &id, NOW, &entry);
        (void) __atomic_add_fetch(&board->puts, 1, __ATOMIC_RELAXED);

        __atomic_store_n(&board->lock, 0, __ATOMIC_SEQ_CST);
    }
}


static void
token_id(ngx_apigw_token_cache_t *cache, ngx_apigw_token_id_t *id, uint64_t n)
{
    char       name[32];
    ngx_str_t  token;

    token.data = (u_char *) name;
    token.len = snprintf(name, sizeof(name), "token %u", (unsigned) n);

    id->policy = 1;
    id->generation = 1;

    ngx_apigw_token_cache_hash(cache, id, &token);
}


static uint64_t
random64(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15ULL;

    return (*seed ^ *seed >> 29) * 0xbf58476d1ce4e5b9ULL >> 20;
}


static void
late_copy(void *dst, const void *src, size_t len)
{
    static uint64_t  seed;

    memcpy(dst, src, len);

    if (random64(&seed) % 8192 == 0) {
        sched_yield();
    }
}


static void *
shared(size_t size)
{
    void  *p;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);

    if (p == MAP_FAILED) {
        printf("Bail out! mmap() failed\n");
        exit(1);
    }

    return p;
}
