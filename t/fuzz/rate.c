/*
 * Copyright (C) the apigw authors
 */


/*
 * Rates, for libFuzzer: a text is a rate or is none, and one that was read is
 * within the bounds, is what an exact reading gives or hardly less, and makes
 * limits whose buckets behave.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>

#include "ngx_apigw_rate.c"
#include "ngx_apigw_bucket.c"


#define must(condition)  if (!(condition)) __builtin_trap()

#define TABLE  4096

/* a moment has 40 bits of milliseconds: 34 years, and the depth is in them */
#define LATEST  ((1ULL << 40) - 2 * NGX_APIGW_DEPTH_MAX)


static void fuzz_value(ngx_str_t *text, ngx_apigw_rate_t *rate);
static void fuzz_limit(ngx_apigw_rate_t *rate, const uint8_t *data);
static void fuzz_bucket(ngx_apigw_limit_t *limit, const uint8_t *data);


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t          rc;
    ngx_str_t          text;
    ngx_apigw_rate_t   rate;

    if (size < 8) {
        return 0;
    }

    /* a copy of the exact size, so that a byte too far is noticed */

    text.len = size - 8;
    text.data = malloc(text.len ? text.len : 1);
    must(text.data != NULL);

    memcpy(text.data, data + 8, text.len);

    rc = ngx_apigw_rate_parse(&rate, &text);
    must(rc == NGX_OK || rc == NGX_ERROR);

    if (rc == NGX_OK) {
        fuzz_value(&text, &rate);
        fuzz_limit(&rate, data);
    }

    free(text.data);

    return 0;
}


/* the same by decimal arithmetic of our own */

static void
fuzz_value(ngx_str_t *text, ngx_apigw_rate_t *rate)
{
    u_char             *p, *last;
    uint64_t            places, msec;
    unsigned __int128   digits, given, got;

    if (ngx_apigw_rate_unlimited(rate)) {
        must(text->len == 9 && memcmp(text->data, "unlimited", 9) == 0);
        return;
    }

    must(text->len >= 4);

    last = text->data + text->len - 3;
    must(last[0] == 'r' && last[1] == '/');

    switch (last[2]) {
    case 's': msec = 1000; break;
    case 'm': msec = 60000; break;
    case 'h': msec = 3600000; break;
    default: must(last[2] == 'd'); msec = 86400000;
    }

    digits = 0;
    places = 0;

    for (p = text->data; p < last; p++) {

        if (*p == '.') {
            must(places == 0 && p != text->data);
            places = 1;
            continue;
        }

        must(*p >= '0' && *p <= '9');

        digits = digits * 10 + (*p - '0');
        places *= 10;
    }

    places = places ? places : 1;
    must(digits > 0 && places <= 1000000);

    must(rate->tokens > 0 && rate->tokens <= NGX_APIGW_MSEC_ONE);
    must(rate->tokens <= rate->msec * (NGX_APIGW_RATE_MAX / 1000));
    must(rate->msec <= rate->tokens * NGX_APIGW_INTERVAL_MAX);

    /* digits / (places * msec), never more, less by a ten-millionth at most */

    given = digits * rate->msec;
    got = (unsigned __int128) rate->tokens * places * msec;

    must(got <= given);
    must((given - got) * 10000000 <= given);
}


static void
fuzz_limit(ngx_apigw_rate_t *rate, const uint8_t *data)
{
    uint64_t           burst;
    ngx_apigw_limit_t  limit;

    memcpy(&burst, data, sizeof(uint32_t));
    burst = (burst & 0xffffffff) >> data[4] % 32;

    if (ngx_apigw_limit_init(&limit, rate, burst) != NGX_OK) {
        return;
    }

    must(!ngx_apigw_rate_unlimited(rate));
    must(limit.burst >= 1 && (burst == 0 || limit.burst == burst));
    must(limit.interval > 0 && limit.interval <= limit.depth);
    must(limit.depth >> NGX_APIGW_MSEC_SHIFT <= NGX_APIGW_DEPTH_MAX);
    must(limit.code > 0 && limit.code < 1 << NGX_APIGW_RATE_CODE);
    must(limit.modulus <= NGX_APIGW_MSEC_ONE);
    must(ngx_apigw_limit_span(&limit, limit.burst) == limit.depth);
    must(ngx_apigw_interval_decode(limit.code)
         <= ngx_apigw_interval_fixed(&limit));

    fuzz_bucket(&limit, data);
}


/* one bucket through takes of all sizes at all times */

static void
fuzz_bucket(ngx_apigw_limit_t *limit, const uint8_t *data)
{
    uint64_t             now, left, wait;
    ngx_uint_t           i;
    ngx_apigw_charge_t   charge;

    static u_char        block[TABLE] __attribute__((aligned(64)));

    memset(block, 0, TABLE);

    charge.buckets = ngx_apigw_buckets_create(block, TABLE);
    must(charge.buckets != NULL);

    charge.limit = limit;
    charge.hash.h[0] = data[5] * 0x0101010101010101ULL;
    charge.hash.h[1] = data[6] * 0x0101010101010101ULL;

    now = 1000;
    left = limit->burst;

    for (i = 0; i < 8 && now < LATEST; i++) {
        charge.cost = data[i] % 3 ? data[i] % 3
                                  : limit->burst * data[i] / 128;

        if (ngx_apigw_bucket_take(&charge, now)) {
            must(charge.cost <= limit->burst);
            must(ngx_apigw_bucket_remaining(&charge) + charge.cost
                 <= limit->burst);
            must(ngx_apigw_bucket_wait(&charge) == 0);

        } else {
            must(charge.cost > left);

            wait = ngx_apigw_bucket_wait(&charge);

            if (charge.cost > limit->burst) {
                must(wait == NGX_APIGW_BUCKET_NEVER);

            } else {

                /* not a millisecond before, and then for sure */

                must(wait > 0);
                must(!ngx_apigw_bucket_take(&charge, now + wait - 1));
                must(ngx_apigw_bucket_take(&charge, now + wait));
                now += wait;
            }
        }

        must(ngx_apigw_bucket_remaining(&charge) <= limit->burst);
        must(ngx_apigw_bucket_reset(&charge)
             <= (limit->depth >> NGX_APIGW_MSEC_SHIFT) + 1);

        left = ngx_apigw_bucket_remaining(&charge);
    }
}
