/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_RATE_H_INCLUDED_
#define _NGX_APIGW_RATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Rates, and limits made of a rate and a burst, in exact arithmetic.
 *
 * A moment is a number of milliseconds in the upper 40 bits and a fraction of
 * one in the lower 24.  The fraction counts in units of which the rate has a
 * whole number to the token and to the millisecond: nothing is ever rounded,
 * so nothing drifts.  For that the numerator of a rate, as tokens a millisecond
 * in lowest terms, must not have more than 24 bits; no whole number a second
 * has.  Other rates are lowered, by less than one in ten million, when they are
 * read.
 *
 * Uses nothing of nginx but its types and macros.
 */


#define NGX_APIGW_RATE_MAX    1000000      /* per second */
#define NGX_APIGW_RATE_CODE   20           /* bits of limit->code */
#define NGX_APIGW_RATE_BITS   14           /* that many are digits */
#define NGX_APIGW_DEPTH_MAX   (3650 * 86400000ULL)

#define NGX_APIGW_MSEC_SHIFT  24
#define NGX_APIGW_MSEC_ONE    (1ULL << NGX_APIGW_MSEC_SHIFT)
#define NGX_APIGW_MSEC_MASK   (NGX_APIGW_MSEC_ONE - 1)


/* "tokens" in each "msec", in lowest terms; msec of 0: unlimited */

typedef struct {
    uint64_t                   tokens;
    uint64_t                   msec;
} ngx_apigw_rate_t;


#define ngx_apigw_rate_unlimited(rate)  ((rate)->msec == 0)


/* a rate and a burst, prepared for use; of one process, not shared */

typedef struct {
    ngx_apigw_rate_t           rate;
    uint64_t                   burst;
    uint64_t                   interval;     /* span of one token */
    uint64_t                   depth;        /* span of the whole burst */
    uint32_t                   scale;        /* units to a rate.tokens-th */
    uint32_t                   modulus;      /* units to a millisecond */
    uint32_t                   code;         /* the rate, in 20 bits */
} ngx_apigw_limit_t;


static ngx_inline uint64_t
ngx_apigw_moment(uint64_t msec)
{
    return msec << NGX_APIGW_MSEC_SHIFT;
}


#pragma GCC visibility push(hidden)


/*
 * Reads "5r/s", "90r/m", "1000r/h", "10000r/d", "0.5r/s" (up to six decimal
 * places) or "unlimited".  NGX_ERROR for anything else, for more than
 * NGX_APIGW_RATE_MAX a second and less than one in a thousand days.
 */

ngx_int_t ngx_apigw_rate_parse(ngx_apigw_rate_t *rate, const ngx_str_t *text);


/*
 * Prepares a limit.  A burst of 0 means the smallest that lets the rate be
 * reached with a clock of milliseconds: what comes in one, at least 1.
 * NGX_ERROR if the rate is unlimited or such a bucket takes more than ten
 * years to fill.
 */

ngx_int_t ngx_apigw_limit_init(ngx_apigw_limit_t *limit,
    const ngx_apigw_rate_t *rate, uint64_t burst);


/* How long so many tokens take, which must not be more than the burst. */

uint64_t ngx_apigw_limit_span(const ngx_apigw_limit_t *limit, uint64_t tokens);


/* The interval between two tokens, in 2^-24 of a millisecond. */

uint64_t ngx_apigw_interval_fixed(const ngx_apigw_limit_t *limit);


/* The same as far as it is known from a code: rounded down. */

uint64_t ngx_apigw_interval_decode(uint64_t code);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_RATE_H_INCLUDED_ */
