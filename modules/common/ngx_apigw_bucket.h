/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_BUCKET_H_INCLUDED_
#define _NGX_APIGW_BUCKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_atomic.h"
#include "ngx_apigw_hash.h"
#include "ngx_apigw_rate.h"


/*
 * Token buckets for any number of keys in a block of shared memory.
 *
 * A bucket holds up to "burst" tokens and fills at a rate.  What is kept of it
 * is the moment at which it is full again (the theoretical arrival time of
 * the generic cell rate algorithm), so a full bucket need not be kept at all.
 *
 * Uses nothing of nginx but its types and macros.
 */


#define NGX_APIGW_BUCKET_NEVER  ((uint64_t) -1)


typedef struct ngx_apigw_buckets_s  ngx_apigw_buckets_t;


/* counted in the table, in shared memory */

typedef struct {
    uint64_t                   evicted;      /* buckets lost before full */
    uint64_t                   used;         /* buckets not full, estimate */
    uint64_t                   cells;        /* room for that many */
} ngx_apigw_buckets_stat_t;


/*
 * One charge to one bucket: the caller sets the first four, the functions
 * below the others.
 */

typedef struct {
    ngx_apigw_buckets_t       *buckets;
    const ngx_apigw_limit_t   *limit;        /* not unlimited */
    ngx_apigw_hash_t           hash;         /* of the key */
    uint64_t                   cost;         /* tokens; 0 only looks */

    uint64_t                   now;          /* moment of the decision */
    uint64_t                   full;         /* bucket full, after it */
    unsigned                   admitted:1;
    unsigned                   charged:1;
    unsigned                   evicted:1;    /* another bucket was lost */
} ngx_apigw_charge_t;


#pragma GCC visibility push(hidden)


/*
 * Makes a table in a block of zeroed shared memory, aligned to 64 bytes, and
 * draws its hash key.  NULL if the block is too small (below 4096 bytes) or,
 * with errno set, if there are no random bytes.
 */

ngx_apigw_buckets_t *ngx_apigw_buckets_create(void *block, size_t size);


/* Whether a block left by another process holds a table of this layout. */

ngx_uint_t ngx_apigw_buckets_valid(const void *block, size_t size);


const ngx_apigw_hash_key_t *ngx_apigw_buckets_key(
    const ngx_apigw_buckets_t *buckets);


/*
 * Converts all buckets to a limit: as many tokens are missing from each as
 * before, but not more than the burst.  Without a limit each keeps its own
 * rate, only the burst is applied.  For a reload that changed a limit; a
 * bucket whose rate differs from that of a charge is converted in passing as
 * well.  Work grows with the table.
 */

void ngx_apigw_buckets_convert(ngx_apigw_buckets_t *buckets,
    const ngx_apigw_limit_t *limit, uint64_t burst, ngx_msec_t now);


/* Work is bounded: beyond 65536 cells "used" is extrapolated. */

void ngx_apigw_buckets_stat(ngx_apigw_buckets_t *buckets, ngx_msec_t now,
    ngx_apigw_buckets_stat_t *stat);


/*
 * Takes the cost from the bucket if it holds as much; returns whether it did
 * (charge->admitted).  "now" is ngx_current_msec.  A cost of more than the
 * burst is never admitted.
 */

ngx_uint_t ngx_apigw_bucket_take(ngx_apigw_charge_t *charge, ngx_msec_t now);


/* The same without taking: tells whether the bucket holds as much now. */

ngx_uint_t ngx_apigw_bucket_look(ngx_apigw_charge_t *charge, ngx_msec_t now);


/*
 * Puts back what was taken by a charge, as far as it would still be missing;
 * does nothing for a charge that took nothing.
 */

void ngx_apigw_bucket_give_back(ngx_apigw_charge_t *charge, ngx_msec_t now);


/*
 * Takes from all or from none.  Looks at all first; what was taken from some
 * is put back if another process was faster at a later one.  Returns whether
 * all were admitted; the "admitted" of each tells who refused.
 */

ngx_uint_t ngx_apigw_bucket_take_all(ngx_apigw_charge_t *charges,
    ngx_uint_t n, ngx_msec_t now);


/*
 * What a decision means, all exact: the tokens left in the bucket; the
 * milliseconds, rounded up, until the bucket is full and until the cost of a
 * refused charge would be admitted (NGX_APIGW_BUCKET_NEVER, or 0 if admitted);
 * and how long an admitted charge has to wait for all but "excess" of the
 * tokens that were taken before it to come back, as limit_req's delay.
 */

uint64_t ngx_apigw_bucket_remaining(const ngx_apigw_charge_t *charge);
uint64_t ngx_apigw_bucket_reset(const ngx_apigw_charge_t *charge);
uint64_t ngx_apigw_bucket_wait(const ngx_apigw_charge_t *charge);
uint64_t ngx_apigw_bucket_delay(const ngx_apigw_charge_t *charge,
    uint64_t excess);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_BUCKET_H_INCLUDED_ */
