/*
 * Copyright (C) the apigw authors
 */


/*
 * Token buckets: processes that race for them, or are killed, get exactly the
 * limit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include "ngx_apigw_atomic.h"


/* In a race every change may come late, so that others come in between. */

static ngx_uint_t  racing;
static uint64_t random64(void);


static ngx_uint_t
late_cas(volatile ngx_apigw_pair_t *pair, ngx_apigw_pair_t *expect,
    ngx_apigw_pair_t set)
{
    if (racing && random64() >> 61 == 0) {
        sched_yield();
    }

    return ngx_apigw_pair_cas(pair, expect, set);
}


#define ngx_apigw_pair_cas  late_cas

#include "ngx_apigw_rate.c"
#include "ngx_apigw_bucket.c"
#include "bucket.h"


#define PROCESSES  4


typedef struct {
    volatile uint64_t  round;
    volatile uint64_t  ready;
    volatile uint64_t  now;
    volatile uint64_t  stop;
    volatile uint64_t  admitted[64];
    volatile uint64_t  calls[PROCESSES];
    volatile uint64_t  won[16384];
} board_t;


typedef void (*racer_pt)(ngx_apigw_buckets_t *buckets, board_t *board,
    uint64_t me);


static void race(ngx_apigw_buckets_t *buckets, board_t *board,
    racer_pt racer);
static board_t *board_create(void);
static void test_race_insert(void);
static void test_race_pressure(void);
static void test_race_churn(void);
static void test_race_all(void);
static void test_race_killed(void);


int
main(void)
{
    test_race_insert();
    test_race_pressure();
    test_race_churn();
    test_race_all();
    test_race_killed();

    printf("1..%u\n", (unsigned) tests);

    return 0;
}


static board_t *
board_create(void)
{
    board_t  *board;

    board = mmap(NULL, sizeof(board_t), PROT_READ|PROT_WRITE,
                 MAP_SHARED|MAP_ANONYMOUS, -1, 0);

    if (board == MAP_FAILED) {
        printf("Bail out! mmap() failed\n");
        exit(1);
    }

    return board;
}


static void
race(ngx_apigw_buckets_t *buckets, board_t *board, racer_pt racer)
{
    int       status;
    pid_t     pid[PROCESSES];
    uint64_t  i, bad;

    fflush(stdout);

    for (i = 0; i < PROCESSES; i++) {
        pid[i] = fork();

        if (pid[i] == -1) {
            printf("Bail out! fork() failed\n");
            exit(1);
        }

        if (pid[i] == 0) {
            seed += i * 0x9e3779b97f4a7c15ULL;
            racing = 1;
            racer(buckets, board, i);
            _exit(0);
        }
    }

    bad = 0;

    for (i = 0; i < PROCESSES; i++) {
        (void) waitpid(pid[i], &status, 0);
        bad += (status != 0);
    }

    if (bad) {
        ok(0, "a process of a race died");
    }
}


/* all start a round together; the first sets the time of it */

static void
barrier(board_t *board, uint64_t me, uint64_t round, uint64_t now)
{
    if (__atomic_add_fetch(&board->ready, 1, __ATOMIC_SEQ_CST)
        == PROCESSES * round)
    {
        board->now = now;
        __atomic_store_n(&board->round, round, __ATOMIC_SEQ_CST);
        return;
    }

    while (__atomic_load_n(&board->round, __ATOMIC_SEQ_CST) < round) {
        sched_yield();
    }
}


#define INSERT_ROUNDS  20000
#define INSERT_LIMIT   3


/*
 * Every round all processes charge the same new key, in sets that are full of
 * used-up cells of former rounds.
 */

static void
race_insert(ngx_apigw_buckets_t *buckets, board_t *board, uint64_t me)
{
    uint64_t            round, n, got;
    ngx_apigw_limit_t   limit;
    ngx_apigw_charge_t  charge;

    limit_of(&limit, "1r/s", INSERT_LIMIT);

    for (round = 1; round <= INSERT_ROUNDS; round++) {

        barrier(board, me, round, round * 10000);

        charge_set(&charge, buckets, &limit, round, 1);

        got = 0;

        for (n = 0; n < INSERT_LIMIT + 1; n++) {
            got += ngx_apigw_bucket_take(&charge, board->now);
        }

        (void) __atomic_add_fetch(&board->admitted[0], got, __ATOMIC_SEQ_CST);

        if (got > 0 && got < INSERT_LIMIT) {
            board->calls[me]++;
        }
    }
}


static void
test_race_insert(void)
{
    board_t              *board;
    ngx_apigw_buckets_t  *buckets;

    buckets = table(4096);
    board = board_create();

    race(buckets, board, race_insert);

    printf("# %lu rounds were won by more than one\n",
           (unsigned long) (board->calls[0] + board->calls[1] + board->calls[2]
                            + board->calls[3]) / 2);

    ok(board->admitted[0] == INSERT_ROUNDS * INSERT_LIMIT,
       "20,000 new keys raced for by four processes: the limit each");
    ok(buckets->evicted == 0, "nothing was lost");
}


#define PRESSURE_ROUNDS  3000
#define PRESSURE_KEYS    4
#define PRESSURE_LIMIT   40


/*
 * All keys of this race share their two sets.  Four of them last, each process
 * adds others that are used up a millisecond later: 4 + 4 * 2 at a time.
 */

static void
race_pressure(ngx_apigw_buckets_t *buckets, board_t *board, uint64_t me)
{
    uint64_t            round, n, last;
    ngx_apigw_limit_t   limit, brief;
    ngx_apigw_charge_t  charge;

    limit_of(&limit, "1r/d", PRESSURE_LIMIT);
    limit_of(&brief, "1000r/s", 1);

    charge.buckets = buckets;
    charge.cost = 1;

    for (round = 1; round <= PRESSURE_ROUNDS; round++) {

        barrier(board, me, round, 1000 + round);

        for (n = 0; n < 6; n++) {
            last = random64() % 3;

            charge.hash.h[0] = 0x10000000f0000000ULL;

            if (last) {
                charge.limit = &limit;
                charge.hash.h[1] = (random64() % PRESSURE_KEYS + 1) << 40;

                /* not before the sets have been under pressure for a while */

                if (board->now < 2000) {
                    continue;
                }

            } else {
                charge.limit = &brief;
                charge.hash.h[1] = (round * 8 + me * 2 + n % 2) << 20 | n;
            }

            if (ngx_apigw_bucket_take(&charge, board->now) && last) {
                (void) __atomic_add_fetch(&board->admitted[charge.hash.h[1]
                                                           >> 40],
                                          1, __ATOMIC_SEQ_CST);
            }
        }
    }
}


static void
test_race_pressure(void)
{
    uint64_t              i, bad;
    board_t              *board;
    ngx_apigw_buckets_t  *buckets;

    buckets = table(4096);
    board = board_create();

    race(buckets, board, race_pressure);

    bad = 0;

    for (i = 1; i <= PRESSURE_KEYS; i++) {
        bad += (board->admitted[i] != PRESSURE_LIMIT);
    }

    printf("# admitted: %lu %lu %lu %lu, lost: %lu\n",
           (unsigned long) board->admitted[1],
           (unsigned long) board->admitted[2],
           (unsigned long) board->admitted[3],
           (unsigned long) board->admitted[4],
           (unsigned long) buckets->evicted);

    ok(bad == 0, "two sets with sixteen cells, fought for: the limit each");
    ok(buckets->evicted == 0, "nothing was lost");
}


#define CHURN_CALLS  150000
#define CHURN_SPAN   40


/*
 * Time passes while others are in the middle of something: each period has a
 * key that may be admitted once in it, the other keys are used up at once.
 */

static void
race_churn(ngx_apigw_buckets_t *buckets, board_t *board, uint64_t me)
{
    uint64_t            n, now, period;
    ngx_apigw_limit_t   limit, brief;
    ngx_apigw_charge_t  charge;

    limit_of(&limit, "20r/s", 1);
    limit_of(&brief, "1000r/s", 1);

    charge.buckets = buckets;
    charge.cost = 1;
    charge.hash.h[0] = 0x10000000f0000000ULL;

    for (n = 0; n < CHURN_CALLS; n++) {

        now = random64() % 4 ? board->now
                             : __atomic_add_fetch(&board->now, 1,
                                                  __ATOMIC_SEQ_CST);
        period = now / CHURN_SPAN;

        if (random64() % 2) {
            charge.limit = &brief;
            charge.hash.h[1] = random64() | 1ULL << 63;

            (void) ngx_apigw_bucket_take(&charge, now);

            continue;
        }

        charge.limit = &limit;
        charge.hash.h[1] = (period + 1) << 24;

        /* late ones do not count */

        if (ngx_apigw_bucket_take(&charge, now)
            && charge.now / CHURN_SPAN == period
            && __atomic_add_fetch(&board->won[period], 1, __ATOMIC_SEQ_CST)
               != 1)
        {
            (void) __atomic_add_fetch(&board->admitted[0], 1,
                                      __ATOMIC_SEQ_CST);
        }
    }
}


static void
test_race_churn(void)
{
    uint64_t              i, n;
    board_t              *board;
    ngx_apigw_buckets_t  *buckets;

    buckets = table(4096);
    board = board_create();

    race(buckets, board, race_churn);

    for (n = 0, i = 0; i < board->now / CHURN_SPAN; i++) {
        n += (board->won[i] != 0);
    }

    printf("# %lu keys, %lu evicted\n", (unsigned long) n,
           (unsigned long) buckets->evicted);

    ok(n > 1000, "keys while others are used up");
    ok(board->admitted[0] == 0, "none is admitted twice");
}


#define ALL_CALLS  100000


/* two buckets each, in both orders, at the edge of what they hold */

static void
race_all(ngx_apigw_buckets_t *buckets, board_t *board, uint64_t me)
{
    uint64_t            n, a, b;
    ngx_apigw_limit_t   limit;
    ngx_apigw_charge_t  charges[2];

    limit_of(&limit, "1r/d", 500);

    for (n = 0; n < ALL_CALLS; n++) {
        a = random64() % 16;
        b = (a + 1 + random64() % 15) % 16;

        charge_set(&charges[0], buckets, &limit, a, 1);
        charge_set(&charges[1], buckets, &limit, b, 1);

        if (ngx_apigw_bucket_take_all(charges, 2, 1000)) {
            (void) __atomic_add_fetch(&board->admitted[a], 1,
                                      __ATOMIC_SEQ_CST);
            (void) __atomic_add_fetch(&board->admitted[b], 1,
                                      __ATOMIC_SEQ_CST);
        }
    }
}


static void
test_race_all(void)
{
    uint64_t              i, bad;
    board_t              *board;
    ngx_apigw_limit_t     limit;
    ngx_apigw_charge_t    charge;
    ngx_apigw_buckets_t  *buckets;

    buckets = table(4096);
    board = board_create();

    race(buckets, board, race_all);

    bad = 0;
    limit_of(&limit, "1r/d", 500);

    for (i = 0; i < 16; i++) {
        charge_set(&charge, buckets, &limit, i, 0);
        (void) ngx_apigw_bucket_take(&charge, 1000);

        bad += (board->admitted[i] + ngx_apigw_bucket_remaining(&charge)
                != 500);
    }

    ok(bad == 0, "pairs of buckets: what is missing is what was admitted");
}


/* until it is killed */

static void
race_killed(ngx_apigw_buckets_t *buckets, board_t *board, uint64_t me)
{
    uint64_t            key;
    ngx_apigw_limit_t   limit, brief;
    ngx_apigw_charge_t  charge;

    limit_of(&limit, "1r/d", 1000);
    limit_of(&brief, "1000r/s", 1);

    charge.buckets = buckets;
    charge.cost = 1;
    charge.hash.h[0] = 0x10000000f0000000ULL;

    for ( ;; ) {
        key = random64();

        if (key % 8) {
            charge.limit = &brief;
            charge.hash.h[1] = key | 1ULL << 63;

        } else {
            charge.limit = &limit;
            charge.hash.h[1] = 1ULL << 40;
        }

        if (ngx_apigw_bucket_take(&charge, board->now)
            && charge.limit == &limit)
        {
            (void) __atomic_add_fetch(&board->admitted[0], 1,
                                      __ATOMIC_SEQ_CST);
        }
    }
}


static void
test_race_killed(void)
{
    int                   status;
    pid_t                 pid;
    uint64_t              i, n, lost;
    board_t              *board;
    ngx_apigw_limit_t     limit;
    ngx_apigw_charge_t    charge;
    ngx_apigw_buckets_t  *buckets;

    buckets = table(4096);
    board = board_create();
    board->now = 1000;

    limit_of(&limit, "1r/d", 1000);

    /* killed anywhere, also between a reservation and a bucket */

    for (i = 0; i < 300; i++) {
        fflush(stdout);
        pid = fork();

        if (pid == 0) {
            seed += i * 0x9e3779b97f4a7c15ULL;
            racing = 1;
            race_killed(buckets, board, 0);
        }

        usleep(200 + random64() % 1500);
        board->now++;

        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, &status, 0);
    }

    board->now += 10;

    charge.buckets = buckets;
    charge.limit = &limit;
    charge.cost = 1;
    charge.hash.h[0] = 0x10000000f0000000ULL;

    /* the key lost its bucket now and then, as the sets overflow */

    lost = buckets->evicted;
    n = board->admitted[0];

    /* who was killed may have been admitted without having said so */

    ok(n >= 1000 - 300 && n <= 1000 * (lost + 1) + 1,
       "300 killed processes: the limit still holds");

    for (i = 0; i < 32; i++) {
        charge.hash.h[1] = (i + 77) << 40;

        if (take_many(buckets, &limit, i, 1, board->now, board->now + 1) != 1
            || !ngx_apigw_bucket_take(&charge, board->now))
        {
            break;
        }
    }

    ok(i == 32, "and nothing is left reserved");
}
