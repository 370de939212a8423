/*
 * Copyright (C) the apigw authors
 */


/*
 * Token buckets: rates are read exactly, a bucket equals an oracle of rational
 * numbers, a full table loses what matters least.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>

#include "ngx_apigw_rate.c"
#include "ngx_apigw_bucket.c"
#include "bucket.h"


#define DAY  86400000ULL


/* an exact bucket: what is missing, in parts of which a token has rate.msec */

typedef struct {
    unsigned __int128  missing;
    uint64_t           last;
} oracle_t;


static void test_parse(void);
static void test_lower(void);
static void test_limit(void);
static void test_oracle(void);
static void test_drift(void);
static void test_aws(void);
static void test_delay(void);
static void test_convert(void);
static void test_alternate(void);
static void test_give_back(void);
static void test_take_all(void);
static void test_full(void);
static void test_create(void);
static void test_clock(void);
static void test_hash(void);


int
main(void)
{
    test_parse();
    test_lower();
    test_limit();
    test_oracle();
    test_drift();
    test_aws();
    test_delay();
    test_convert();
    test_give_back();
    test_take_all();
    test_full();
    test_create();
    test_clock();
    test_hash();

    printf("1..%u\n", (unsigned) tests);

    return 0;
}


static void
test_parse(void)
{
    char              name[128];
    ngx_uint_t        i;
    ngx_apigw_rate_t  rate;

    static const struct {
        const char  *text;
        uint64_t     tokens;
        uint64_t     msec;
    } good[] = {
        { "1r/s", 1, 1000 },
        { "5r/s", 1, 200 },
        { "90r/m", 3, 2000 },
        { "1000r/h", 1, 3600 },
        { "10000r/d", 1, 8640 },
        { "1r/d", 1, DAY },
        { "0.5r/s", 1, 2000 },
        { "2.50r/s", 1, 400 },
        { "0.001r/d", 1, 1000 * DAY },
        { "0.333333r/s", 333333, 1000000000 },
        { "999999r/s", 999999, 1000 },
        { "1000000r/s", 1000, 1 },
        { "60000000r/m", 1000, 1 },
        { "86400000000r/d", 1000, 1 },
        { "007r/s", 7, 1000 },
        { "unlimited", 0, 0 }
    };

    static const char *bad[] = {
        "", "r/s", "0r/s", "0.0r/s", "5", "5r", "5r/", "5r/x", "5/s", "-5r/s",
        "+5r/s", " 5r/s", "5r/s ", "5 r/s", "5R/s", ".5r/s", "5.r/s",
        "1.2.3r/s", "1e3r/s", "0x5r/s", "1000001r/s", "1000000.1r/s",
        "0.0009r/d", "1.1234567r/s", "99999999999999999999r/s", "Unlimited",
        "unlimited ", "unlimite", "5r/sr/s", "5r/ss"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(name, sizeof(name), "rate \"%s\"", good[i].text);
        ok(parse(&rate, good[i].text)
           && rate.tokens == good[i].tokens && rate.msec == good[i].msec,
           name);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(name, sizeof(name), "no rate \"%s\"", bad[i]);
        ok(!parse(&rate, bad[i]), name);
    }
}


/* a numerator of more than 24 bits is lowered, and hardly */

static void
test_lower(void)
{
    char                text[64];
    uint64_t            n, worse, higher, wide;
    ngx_uint_t          i;
    ngx_apigw_rate_t    rate;
    unsigned __int128   given, got;

    worse = higher = wide = 0;

    for (i = 0; i < 100000; i++) {
        n = random64() % 86400000000ULL + 1;
        snprintf(text, sizeof(text), "%lur/d", (unsigned long) n);

        if (!parse(&rate, text)) {
            worse++;
            continue;
        }

        if (rate.tokens > 1 << 24) {
            wide++;
        }

        given = (unsigned __int128) n * rate.msec;
        got = (unsigned __int128) rate.tokens * DAY;

        if (got > given) {
            higher++;

        } else if ((given - got) * 10000000 > given) {
            worse++;
        }
    }

    ok(wide == 0, "every rate fits a cell");
    ok(higher == 0, "no rate is raised");
    ok(worse == 0, "no rate is lowered by more than one in ten million");

    ok(parse(&rate, "999999.999999r/s") && rate.tokens <= 1 << 24
       && rate.tokens * 1000001ULL > rate.msec * 1000000000ULL
       && rate.tokens < rate.msec * 1000,
       "many digits at the upper end");

    ok(parse(&rate, "1000000r/s") && rate.tokens == 1000, "the upper end");
}


static void
test_limit(void)
{
    ngx_apigw_rate_t   rate;
    ngx_apigw_limit_t  limit;

    limit_of(&limit, "5r/s", 0);
    ok(limit.burst == 1, "least burst of 5r/s is 1");

    limit_of(&limit, "1000r/s", 0);
    ok(limit.burst == 1, "least burst of 1000r/s is 1");

    limit_of(&limit, "1001r/s", 0);
    ok(limit.burst == 2, "least burst of 1001r/s is 2");

    limit_of(&limit, "1000000r/s", 0);
    ok(limit.burst == 1000, "least burst of 1000000r/s is 1000");

    (void) parse(&rate, "1r/d");
    ok(ngx_apigw_limit_init(&limit, &rate, 3650) == NGX_OK,
       "ten years' burst");
    ok(ngx_apigw_limit_init(&limit, &rate, 3651) == NGX_ERROR,
       "no burst of more than ten years");
    ok(ngx_apigw_limit_init(&limit, &rate, (uint64_t) -1) == NGX_ERROR,
       "no endless burst");

    (void) parse(&rate, "unlimited");
    ok(ngx_apigw_limit_init(&limit, &rate, 1) == NGX_ERROR,
       "\"unlimited\" is no limit to prepare");
}


/*
 * Random keys, costs, rates and times against exact rational numbers: the
 * decision and every figure derived from it.
 */

static ngx_uint_t
oracle_agrees(ngx_apigw_buckets_t *buckets, ngx_apigw_limit_t *limit,
    uint64_t key, oracle_t *oracle, uint64_t cost, uint64_t now)
{
    uint64_t            n, p, delay, excess;
    ngx_uint_t          admit;
    unsigned __int128   back, size, ahead;
    ngx_apigw_charge_t  charge;

    n = limit->rate.tokens;
    p = limit->rate.msec;

    back = (unsigned __int128) (now - oracle->last) * n;
    oracle->missing -= ngx_min(back, oracle->missing);
    oracle->last = now;

    size = (unsigned __int128) limit->burst * p;
    admit = oracle->missing + (unsigned __int128) cost * p <= size;

    ahead = oracle->missing;

    charge_set(&charge, buckets, limit, key, cost);

    if (ngx_apigw_bucket_look(&charge, now) != admit
        || ngx_apigw_bucket_reset(&charge) != (oracle->missing + n - 1) / n
        || ngx_apigw_bucket_remaining(&charge)
           != (size - oracle->missing) / p)
    {
        return 0;
    }

    if (admit) {
        oracle->missing += (unsigned __int128) cost * p;
    }

    if (ngx_apigw_bucket_take(&charge, now) != admit
        || charge.now != now
        || ngx_apigw_bucket_reset(&charge) != (oracle->missing + n - 1) / n
        || ngx_apigw_bucket_remaining(&charge)
           != (size - oracle->missing) / p)
    {
        return 0;
    }

    if (!admit) {
        return ngx_apigw_bucket_wait(&charge)
               == (cost > limit->burst
                   ? NGX_APIGW_BUCKET_NEVER
                   : (oracle->missing + (unsigned __int128) cost * p - size
                      + n - 1) / n);
    }

    excess = random64() % (limit->burst + 1);
    delay = 0;

    if (ahead > (unsigned __int128) excess * p && cost) {
        delay = (ahead - (unsigned __int128) excess * p + n - 1) / n;
    }

    return ngx_apigw_bucket_wait(&charge) == 0
           && ngx_apigw_bucket_delay(&charge, excess) == delay;
}


static void
test_oracle(void)
{
    char                  text[64];
    uint64_t              now, bad, key, cost, step, span;
    ngx_uint_t            i, n;
    oracle_t              oracle[8];
    ngx_apigw_limit_t     limit;
    ngx_apigw_buckets_t  *buckets;

    static const struct {
        char      unit;
        uint64_t  max;
    } unit[] = {
        { 's', 1000000 },
        { 'm', 60000000 },
        { 'h', 3600000000ULL },
        { 'd', 86400000000ULL }
    };

    bad = 0;

    for (i = 0; i < 4000; i++) {
        now = DAY;
        n = random64() % 4;

        /* small and large rates alike */

        step = (random64() % unit[n].max) >> (random64() % 36);

        snprintf(text, sizeof(text), "%lu%s%c",
                 (unsigned long) ngx_max(step, 1),
                 random64() % 4 || step >= unit[n].max - 1 ? "r/" : ".37r/",
                 unit[n].unit);

        limit_of(&limit, text, 0);

        if (random64() % 4) {
            limit_of(&limit, text, limit.burst + random64() % 300);
        }

        buckets = table(8192);
        memset(oracle, 0, sizeof(oracle));

        span = (limit.depth >> 24) + 1;

        for (n = 0; n < 200; n++) {

            switch (random64() % 6) {
            case 0:
                now += random64() % (2 * span);
                break;
            case 1:
                now += random64() % ((limit.interval >> 24) + 2);
                break;
            case 2:
                now++;
                break;
            }

            key = random64() % 8;
            cost = random64() % 3 ? 1 : random64() % (limit.burst + 2);

            if (oracle[key].last == 0) {
                oracle[key].last = now;
            }

            if (!oracle_agrees(buckets, &limit, key, &oracle[key], cost, now))
            {
                if (bad++ == 0) {
                    printf("# first: %s burst %lu cost %lu\n", text,
                           (unsigned long) limit.burst, (unsigned long) cost);
                }
            }
        }

        munmap(buckets, 8192);
    }

    ok(bad == 0, "800,000 random charges as the oracle has them");
}


/* what a greedy client gets over a long time: burst + rate * time, exactly */

static void
test_drift(void)
{
    char                  name[128];
    uint64_t              now, start, got, end;
    ngx_uint_t            i;
    ngx_apigw_limit_t     limit;
    unsigned __int128     expected;
    ngx_apigw_buckets_t  *buckets;

    static const struct {
        const char  *rate;
        uint64_t     burst;
        uint64_t     step;
    } t[] = {
        { "1r/d", 2, 86400000 / 7 },
        { "1r/d", 3, 3600000 },
        { "7r/m", 3, 311 },
        { "90r/m", 10, 127 },
        { "0.37r/s", 2, 777 },
        { "3r/s", 2, 1 },
        { "999r/s", 5, 1 },
        { "10007r/h", 12, 13 },
        { "999999r/s", 1001, 1 },
        { "999983r/s", 5000, 2 },
        { "1000000r/s", 1000, 1 },
        { "59999999r/m", 1001, 1 }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        limit_of(&limit, t[i].rate, t[i].burst);
        buckets = table(4096);

        start = now = 1234567;
        end = start + t[i].step * 3000;
        got = 0;

        for ( /* void */ ; now <= end; now += t[i].step) {
            while (take(buckets, &limit, 1, 1, now)) {
                got++;
            }
        }

        now -= t[i].step;

        expected = (unsigned __int128) (now - start) * limit.rate.tokens
                   / limit.rate.msec;
        expected += t[i].burst;

        snprintf(name, sizeof(name), "%s burst=%lu over %lu s: %lu requests",
                 t[i].rate, (unsigned long) t[i].burst,
                 (unsigned long) (now - start) / 1000, (unsigned long) got);
        ok(got == expected, name);

        munmap(buckets, 4096);
    }
}


/* the vectors of AWS's guide: 10,000 a second, a bucket of 5,000 */

static void
test_aws(void)
{
    uint64_t              got;
    ngx_apigw_limit_t     limit;
    ngx_apigw_buckets_t  *buckets;

    limit_of(&limit, "10000r/s", 5000);

    buckets = table(4096);
    ok(take_many(buckets, &limit, 1, 10000, 1000, 2000) == 10000,
       "10,000 spread over a second: all");

    buckets = table(4096);
    ok(take_many(buckets, &limit, 1, 10000, 1000, 1001) == 5000,
       "10,000 in the first millisecond: 5,000");

    buckets = table(4096);
    got = take_many(buckets, &limit, 1, 5000, 1000, 1001);
    got += take_many(buckets, &limit, 1, 5000, 1001, 2000);
    ok(got == 10000, "5,000 at once, 5,000 over the rest: all");

    buckets = table(4096);
    got = take_many(buckets, &limit, 1, 5000, 1000, 1001);
    got += take_many(buckets, &limit, 1, 5000, 1100, 1101);
    ok(got == 6000, "5,000 at once, 5,000 in millisecond 101: 6,000");

    buckets = table(4096);
    got = take_many(buckets, &limit, 1, 5000, 1000, 1001);
    got += take_many(buckets, &limit, 1, 1000, 1100, 1101);
    got += take_many(buckets, &limit, 1, 4000, 1101, 2000);
    ok(got == 10000, "5,000, 1,000 in millisecond 101, 4,000 later: all");
}


static void
test_delay(void)
{
    uint64_t              got[5];
    ngx_uint_t            i;
    ngx_apigw_limit_t     limit;
    ngx_apigw_charge_t    charge;
    ngx_apigw_buckets_t  *buckets;

    limit_of(&limit, "3r/s", 4);
    buckets = table(4096);

    for (i = 0; i < 5; i++) {
        charge_set(&charge, buckets, &limit, 1, 1);
        (void) ngx_apigw_bucket_take(&charge, 5000);
        got[i] = ngx_apigw_bucket_delay(&charge, 1);
    }

    ok(got[0] == 0 && got[1] == 0, "no delay for the first and one more");
    ok(got[2] == 334 && got[3] == 667, "then one interval each");
    ok(got[4] == 0, "none for what is refused");
}


static void
test_convert(void)
{
    uint64_t              i, n, bad, used;
    ngx_apigw_pair_t      cell;
    ngx_apigw_limit_t     slow, fast, limit;
    ngx_apigw_charge_t    charge;
    ngx_apigw_buckets_t  *buckets;

    static const char *rates[] = {
        "0.001r/d", "1r/d", "7r/d", "1r/h", "10007r/h", "90r/m", "1r/s",
        "50r/s", "3333r/s", "999999r/s", "1000000r/s"
    };

    limit_of(&slow, "1r/m", 10);
    limit_of(&fast, "10r/s", 10);

    buckets = table(8192);

    /* in passing: 6 of 10 are missing, whatever the rate */

    for (i = 0; i < 6; i++) {
        (void) take(buckets, &slow, 1, 1, 1000);
    }

    charge_set(&charge, buckets, &fast, 1, 0);
    (void) ngx_apigw_bucket_take(&charge, 1000);
    ok(ngx_apigw_bucket_remaining(&charge) == 4
       && ngx_apigw_bucket_reset(&charge) == 600,
       "a raised rate leaves the tokens");

    ok(take(buckets, &fast, 1, 4, 1000) && !take(buckets, &fast, 1, 1, 1000)
       && !take(buckets, &fast, 1, 1, 1099)
       && take(buckets, &fast, 1, 1, 1100),
       "and fills the bucket faster from then on");

    ok(!take(buckets, &slow, 1, 1, 1100) && !take(buckets, &slow, 1, 1, 60000)
       && take(buckets, &slow, 1, 1, 61100 + 60),
       "a lowered rate leaves the tokens and fills it slower");

    /* a table of them at once */

    for (i = 100; i < 200; i++) {
        for (n = 0; n < i % 11; n++) {
            (void) take(buckets, &fast, i, 1, 100000);
        }
    }

    limit_of(&limit, "1r/h", 5);
    ngx_apigw_buckets_convert(buckets, &limit, 0, 100000);

    bad = 0;
    used = 0;

    for (i = 100; i < 200; i++) {
        charge_set(&charge, buckets, &limit, i, 1);
        n = ngx_min(i % 11, 5);
        used += (n != 0);

        (void) ngx_apigw_bucket_look(&charge, 101000);

        /* at 10r/s all would be full by now */

        if (n == 0) {
            bad += (ngx_apigw_bucket_remaining(&charge) != 5);

        } else if (charge.admitted != (n < 5)
            || ngx_apigw_bucket_reset(&charge)
               < n * (3600000 - 3600000 / 16384) - 1000
            || ngx_apigw_bucket_reset(&charge)
               > n * (3600000 + 3600000 / 16384 + 1) - 1000)
        {
            bad++;
        }
    }

    ok(bad == 0 && used == 91, "a table is converted to a slower rate");

    ngx_apigw_buckets_convert(buckets, NULL, 2, 101000);

    bad = 0;

    for (i = 100; i < 200; i++) {
        charge_set(&charge, buckets, &limit, i, 1);
        (void) ngx_apigw_bucket_look(&charge, 101000);

        if (ngx_apigw_bucket_reset(&charge) > 2 * 3600000) {
            bad++;
        }
    }

    ok(bad == 0, "what is owed beyond a lowered burst is let off");

    /* the rate in a cell is exact to one in 16384, and never 0 */

    bad = 0;

    for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        limit_of(&limit, rates[i], 0);

        cell.tag = limit.code;

        if (limit.code == 0 || limit.code > NGX_APIGW_RATE_MASK
            || ngx_apigw_interval_decode(cell.tag)
               > ngx_apigw_interval_fixed(&limit)
            || ngx_apigw_interval_fixed(&limit)
               - ngx_apigw_interval_decode(cell.tag)
               > ngx_apigw_interval_fixed(&limit) >> 14)
        {
            bad++;
        }
    }

    ok(bad == 0, "every rate has a code");
    munmap(buckets, 8192);

    test_alternate();
}


/*
 * A key whose rate changes at each request, and that is asked for every
 * millisecond: what is owed neither grows nor shrinks by the conversions.
 */

static void
test_alternate(void)
{
    uint64_t              now, admitted, bad;
    ngx_uint_t            i;
    ngx_apigw_limit_t     fast, slow;
    ngx_apigw_buckets_t  *buckets;

    static const uint64_t  bursts[] = { 10, 100, 1000, 16000, 64000 };

    bad = 0;

    for (i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++) {
        buckets = table(8192);

        limit_of(&fast, "10r/s", bursts[i]);
        limit_of(&slow, "9r/s", bursts[i]);

        (void) take(buckets, &fast, 1, bursts[i], 1000);

        admitted = 0;

        for (now = 1001; now <= 61000; now++) {
            admitted += take(buckets, (now & 1) ? &fast : &slow, 1, 1, now);
        }

        /* between 9 and 10 a second for a minute */

        if (admitted < 540 || admitted > 600) {
            printf("# burst %llu: %llu\n", (unsigned long long) bursts[i],
                   (unsigned long long) admitted);
            bad++;
        }

        munmap(buckets, 8192);
    }

    ok(bad == 0, "a rate that goes to and fro admits what it says");
}


static void
test_give_back(void)
{
    uint64_t              i, bad, now, cost, mine;
    ngx_apigw_limit_t     limit;
    ngx_apigw_charge_t    charge, other, a, b;
    ngx_apigw_buckets_t  *buckets;

    limit_of(&limit, "3r/s", 5);
    buckets = table(4096);

    charge_set(&charge, buckets, &limit, 1, 3);
    (void) ngx_apigw_bucket_take(&charge, 1000);
    ngx_apigw_bucket_give_back(&charge, 1000);
    ok(charge.charged == 0 && ngx_apigw_bucket_remaining(&charge) == 5
       && take_many(buckets, &limit, 1, 9, 1000, 1001) == 5,
       "what is given back is there again");

    ngx_apigw_bucket_give_back(&charge, 1000);
    ok(!take(buckets, &limit, 1, 1, 1000), "only once");

    charge_set(&charge, buckets, &limit, 2, 6);
    (void) ngx_apigw_bucket_take(&charge, 1000);
    ngx_apigw_bucket_give_back(&charge, 1000);
    ok(take_many(buckets, &limit, 2, 9, 1000, 1001) == 5,
       "nothing for what was refused");

    /* never better off than if the charge had not been */

    bad = 0;
    now = 1000000;

    for (i = 0; i < 20000; i++) {
        cost = random64() % 3 + 1;
        mine = random64() % 3 + 1;

        charge_set(&charge, buckets, &limit, 10, mine);
        (void) ngx_apigw_bucket_take(&charge, now);
        now += random64() % 1500;

        charge_set(&other, buckets, &limit, 10, cost);
        (void) ngx_apigw_bucket_take(&other, now);

        charge_set(&b, buckets, &limit, 11, cost);
        b.limit = &limit;
        if (other.admitted) {
            (void) ngx_apigw_bucket_take(&b, now);
        }

        now += random64() % 500;
        ngx_apigw_bucket_give_back(&charge, now);

        charge_set(&a, buckets, &limit, 10, 0);
        charge_set(&b, buckets, &limit, 11, 0);
        (void) ngx_apigw_bucket_take(&a, now);
        (void) ngx_apigw_bucket_take(&b, now);

        if (a.full < b.full) {
            bad++;
        }

        now += 3000;
    }

    ok(bad == 0, "never more than had not been taken");
    munmap(buckets, 4096);
}


static void
test_take_all(void)
{
    ngx_apigw_limit_t     wide, narrow;
    ngx_apigw_charge_t    charges[3];
    ngx_apigw_buckets_t  *buckets;

    limit_of(&wide, "1r/s", 10);
    limit_of(&narrow, "1r/m", 2);

    buckets = table(4096);

    charge_set(&charges[0], buckets, &wide, 1, 4);
    charge_set(&charges[1], buckets, &narrow, 2, 2);
    charge_set(&charges[2], buckets, &wide, 3, 1);

    ok(ngx_apigw_bucket_take_all(charges, 3, 1000)
       && ngx_apigw_bucket_remaining(&charges[0]) == 6
       && ngx_apigw_bucket_remaining(&charges[1]) == 0
       && ngx_apigw_bucket_remaining(&charges[2]) == 9,
       "all are charged");

    ok(!ngx_apigw_bucket_take_all(charges, 3, 1000)
       && charges[0].admitted && !charges[1].admitted && charges[2].admitted
       && ngx_apigw_bucket_wait(&charges[1]) == 120000,
       "one refuses, and which");

    ok(ngx_apigw_bucket_remaining(&charges[0]) == 6
       && take_many(buckets, &wide, 1, 9, 1000, 1001) == 6
       && take_many(buckets, &wide, 3, 19, 1000, 1001) == 9,
       "then none is charged");

    munmap(buckets, 4096);
}


/* a full table: free cells first, then the nearest; all are counted */

static void
test_full(void)
{
    char                      name[128];
    uint64_t                  i, n, kept, keys, best, now;
    ngx_apigw_limit_t         limit, soon;
    ngx_apigw_charge_t        charge;
    ngx_apigw_buckets_t      *buckets;
    ngx_apigw_buckets_stat_t  stat;

    limit_of(&limit, "1r/d", 1);
    limit_of(&soon, "1r/h", 1);

    /* how many keys a table of 1 MB takes without a loss, and bytes a key */

    best = 0;

    for (n = 50; n <= 95; n += 5) {
        buckets = table(1024 * 1024);
        ngx_apigw_buckets_stat(buckets, 1000, &stat);
        keys = stat.cells * n / 100;

        for (i = 0; i < keys; i++) {
            (void) take(buckets, &limit, i, 1, 1000);
        }

        ngx_apigw_buckets_stat(buckets, 1000, &stat);
        printf("# 1 MB with %lu live keys, %.1f bytes a key: %lu lost\n",
               (unsigned long) keys, 1048576.0 / keys,
               (unsigned long) stat.evicted);

        if (stat.evicted == 0) {
            best = keys;
        }

        if (stat.used != keys - stat.evicted) {
            ok(0, "keys in use");
        }

        munmap(buckets, 1024 * 1024);
    }

    snprintf(name, sizeof(name), "1 MB takes %lu live keys without a loss",
             (unsigned long) best);
    ok(best >= 1048576 / 40, name);

    /* a hundred times too many: the newest are there, the rest was counted */

    buckets = table(4096);
    ngx_apigw_buckets_stat(buckets, 1000, &stat);
    ok(stat.cells == 232 || stat.cells == 240, "cells of 4096 bytes");
    ok(stat.used == 0 && stat.evicted == 0, "nothing in use");

    n = 100 * stat.cells;

    for (i = 0; i < n; i++) {
        if (!take(buckets, &limit, i, 1, 1000 + i)) {
            break;
        }
    }

    ngx_apigw_buckets_stat(buckets, 1000 + n, &stat);
    ok(i == n, "no key is refused for lack of room");
    ok(stat.used == stat.cells && stat.evicted == n - stat.cells,
       "what was lost is counted");

    kept = 0;

    for (i = 0; i < n; i++) {
        charge_set(&charge, buckets, &limit, i, 1);
        kept += !ngx_apigw_bucket_look(&charge, 1000 + n);
    }

    ok(kept == stat.cells, "the others are limited still");

    /* keys that fill up sooner lose against those that stay */

    buckets = table(65536);
    now = 1000;

    for (i = 0; i < 1500; i++) {
        (void) take(buckets, &limit, i, 1, now);
    }

    for (i = 10000; i < 60000; i++) {
        (void) take(buckets, &soon, i, 1, now);
    }

    kept = 0;

    for (i = 0; i < 1500; i++) {
        charge_set(&charge, buckets, &limit, i, 1);
        kept += !ngx_apigw_bucket_look(&charge, now);
    }

    ok(kept == 1500, "the bucket that is the next to be full goes first");

    /* full buckets are no loss */

    buckets = table(4096);

    for (i = 0, now = 1000; i < 100000; i++) {
        (void) take(buckets, &soon, i, 1, now);
        now += 3600000 / 64;
    }

    ngx_apigw_buckets_stat(buckets, now, &stat);
    ok(stat.evicted == 0 && stat.used <= 64,
       "100,000 keys in 240 cells, 64 at a time: nothing is lost");

    munmap(buckets, 4096);
}


static void
test_create(void)
{
    static u_char         block[8192] __attribute__((aligned(64)));
    static u_char         other[8192] __attribute__((aligned(64)));
    ngx_apigw_buckets_t  *buckets;

    static ngx_apigw_hash_key_t  none;

    ok(ngx_apigw_buckets_create(block, 4095) == NULL,
       "4095 bytes are too few");
    ok(!ngx_apigw_buckets_valid(block, sizeof(block)), "zeroes are no table");

    buckets = ngx_apigw_buckets_create(block, sizeof(block));
    ok(buckets && ngx_apigw_buckets_valid(block, sizeof(block)), "a table");
    ok(!ngx_apigw_buckets_valid(block, sizeof(block) / 2),
       "no table of another size");

    /* nobody can know where a key is, nor learn it from another table */

    ok(ngx_apigw_buckets_create(other, sizeof(other)) != NULL
       && memcmp(ngx_apigw_buckets_key(buckets), &none, sizeof(none)) != 0
       && memcmp(ngx_apigw_buckets_key(buckets),
                 ngx_apigw_buckets_key((ngx_apigw_buckets_t *) other),
                 sizeof(none)) != 0,
       "each table has a secret of its own");

    ((u_char *) buckets)[0] ^= 1;
    ok(!ngx_apigw_buckets_valid(block, sizeof(block)),
       "no table of another layout");
}


/* a process that is late never sees a bucket fuller than the others do */

static void
test_clock(void)
{
    ngx_apigw_limit_t     limit;
    ngx_apigw_charge_t    charge;
    ngx_apigw_buckets_t  *buckets;

    limit_of(&limit, "10r/s", 1);
    buckets = table(4096);

    (void) take(buckets, &limit, 1, 1, 5000);
    (void) take(buckets, &limit, 2, 1, 5100);

    charge_set(&charge, buckets, &limit, 1, 1);
    ok(ngx_apigw_bucket_take(&charge, 5050) && charge.now == 5100,
       "the latest time holds for all");

    ok(!take(buckets, &limit, 1, 1, 5199) && take(buckets, &limit, 1, 1, 5200),
       "and for what follows");

    charge_set(&charge, buckets, &limit, 3, 1);
    buckets->clock = 1ULL << 39;
    ok(ngx_apigw_bucket_take(&charge, 6000) && charge.now == 6000,
       "a time far ahead is not believed");

    munmap(buckets, 4096);
}


/* the cheaper hash of keys: its first half is the whole one's */

static void
test_hash(void)
{
    u_char                data[64];
    ngx_uint_t            i, bad;
    ngx_apigw_hash_t      whole, half;
    ngx_apigw_hash_key_t  key;

    bad = (ngx_apigw_hash_new_key(&key) != NGX_OK);

    for (i = 0; i < sizeof(data); i++) {
        data[i] = (u_char) random64();

        ngx_apigw_hash(&whole, &key, data, i);
        ngx_apigw_hash_half(&half, &key, data, i);

        bad += (whole.h[0] != half.h[0] || half.h[1] == whole.h[1]);
    }

    ok(bad == 0, "the hash of a key");
}
