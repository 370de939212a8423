/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_rate.h"


#define NGX_APIGW_RATE_DIGITS   14

#define NGX_APIGW_INTERVAL_MAX  (1000 * 86400000ULL)


static void ngx_apigw_rate_reduce(ngx_apigw_rate_t *rate);
static void ngx_apigw_rate_lower(ngx_apigw_rate_t *rate);
static uint32_t ngx_apigw_interval_encode(const ngx_apigw_limit_t *limit);


ngx_int_t
ngx_apigw_rate_parse(ngx_apigw_rate_t *rate, const ngx_str_t *text)
{
    u_char      *p, *last;
    uint64_t     tokens, msec, places;
    ngx_uint_t   digits, point;

    if (text->len == sizeof("unlimited") - 1
        && ngx_memcmp(text->data, "unlimited", text->len) == 0)
    {
        rate->tokens = 0;
        rate->msec = 0;

        return NGX_OK;
    }

    if (text->len < sizeof("1r/s") - 1) {
        return NGX_ERROR;
    }

    p = text->data;
    last = p + text->len - (sizeof("r/s") - 1);

    if (last[0] != 'r' || last[1] != '/') {
        return NGX_ERROR;
    }

    switch (last[2]) {
    case 's':
        msec = 1000;
        break;
    case 'm':
        msec = 60 * 1000;
        break;
    case 'h':
        msec = 3600 * 1000;
        break;
    case 'd':
        msec = 86400 * 1000;
        break;
    default:
        return NGX_ERROR;
    }

    tokens = 0;
    places = 1;
    digits = 0;
    point = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '.' && digits && !point) {
            point = 1;
            continue;
        }

        if (*p < '0' || *p > '9' || ++digits > NGX_APIGW_RATE_DIGITS) {
            return NGX_ERROR;
        }

        tokens = tokens * 10 + (*p - '0');

        if (point) {
            places *= 10;
        }
    }

    if (tokens == 0 || places > 1000000 || last[-1] == '.') {
        return NGX_ERROR;
    }

    msec *= places;

    if (tokens > msec * (NGX_APIGW_RATE_MAX / 1000)
        || (msec - 1) / tokens >= NGX_APIGW_INTERVAL_MAX)
    {
        return NGX_ERROR;
    }

    rate->tokens = tokens;
    rate->msec = msec;

    ngx_apigw_rate_reduce(rate);

    if (rate->tokens > NGX_APIGW_MSEC_ONE) {
        ngx_apigw_rate_lower(rate);
    }

    return NGX_OK;
}


static void
ngx_apigw_rate_reduce(ngx_apigw_rate_t *rate)
{
    uint64_t  a, b, rest;

    a = rate->tokens;
    b = rate->msec;

    while (b) {
        rest = a % b;
        a = b;
        b = rest;
    }

    rate->tokens /= a;
    rate->msec /= a;
}


/*
 * Replaces a rate whose numerator does not fit a cell by the nearest smaller
 * one whose does, going down the Stern-Brocot tree: a/b <= rate < c/d.
 */

static void
ngx_apigw_rate_lower(ngx_apigw_rate_t *rate)
{
    uint64_t           a, b, c, d, k, max;
    unsigned __int128  under, over;

    a = 0;
    b = 1;
    c = 1;
    d = 0;

    for ( ;; ) {
        under = (unsigned __int128) rate->tokens * b
                - (unsigned __int128) rate->msec * a;
        over = (unsigned __int128) rate->msec * c
               - (unsigned __int128) rate->tokens * d;

        k = under / over;
        max = (NGX_APIGW_MSEC_ONE - a) / c;

        if (k > max) {
            k = max;
        }

        a += k * c;
        b += k * d;

        under -= k * over;

        if (under == 0 || a + c > NGX_APIGW_MSEC_ONE) {
            break;
        }

        k = (over - 1) / under;

        if (a) {
            max = (NGX_APIGW_MSEC_ONE - c) / a;

            if (k > max) {
                k = max;
            }
        }

        if (k == 0) {
            break;
        }

        c += k * a;
        d += k * b;
    }

    rate->tokens = a;
    rate->msec = b;
}


ngx_int_t
ngx_apigw_limit_init(ngx_apigw_limit_t *limit, const ngx_apigw_rate_t *rate,
    uint64_t burst)
{
    if (ngx_apigw_rate_unlimited(rate)) {
        return NGX_ERROR;
    }

    if (burst == 0) {
        burst = (rate->tokens + rate->msec - 1) / rate->msec;
    }

    if (burst > NGX_APIGW_DEPTH_MAX * rate->tokens / rate->msec) {
        return NGX_ERROR;
    }

    limit->rate = *rate;
    limit->burst = burst;
    limit->scale = NGX_APIGW_MSEC_ONE / rate->tokens;
    limit->modulus = limit->scale * rate->tokens;
    limit->interval = ngx_apigw_limit_span(limit, 1);
    limit->depth = ngx_apigw_limit_span(limit, burst);
    limit->code = ngx_apigw_interval_encode(limit);

    return NGX_OK;
}


/*
 * Cannot overflow for what is not more than the burst: the numerator has 24
 * bits at most, the quotient 39.
 */

uint64_t
ngx_apigw_limit_span(const ngx_apigw_limit_t *limit, uint64_t tokens)
{
    uint64_t  n;

    n = tokens * limit->rate.msec;

    return ngx_apigw_moment(n / limit->rate.tokens)
           + n % limit->rate.tokens * limit->scale;
}


/*
 * The rate that a bucket is kept at, as the interval between two tokens: 14
 * bits behind a leading 1, and how far they are shifted.  Never 0, since the
 * shortest interval has 15 bits.  Rounded down, so that what is owed is never
 * less after a conversion.
 */

static uint32_t
ngx_apigw_interval_encode(const ngx_apigw_limit_t *limit)
{
    uint64_t    n;
    ngx_uint_t  shift;

    n = ngx_apigw_interval_fixed(limit);

    for (shift = 0; n >> shift >= 2 << NGX_APIGW_RATE_BITS; shift++) {
        /* void */
    }

    return shift << NGX_APIGW_RATE_BITS
           | ((n >> shift) & ((1 << NGX_APIGW_RATE_BITS) - 1));
}


uint64_t
ngx_apigw_interval_decode(uint64_t code)
{
    uint64_t  digits;

    digits = 1 << NGX_APIGW_RATE_BITS;
    digits |= code & (digits - 1);

    return digits << (code >> NGX_APIGW_RATE_BITS);
}


uint64_t
ngx_apigw_interval_fixed(const ngx_apigw_limit_t *limit)
{
    const ngx_apigw_rate_t  *rate;

    rate = &limit->rate;

    return ngx_apigw_moment(rate->msec / rate->tokens)
           + ngx_apigw_moment(rate->msec % rate->tokens) / rate->tokens;
}
