/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_bucket.h"


/*
 * The table lies in shared memory and consists of sets of eight cells.  A key
 * has two sets to choose from, by one half of its hash; the other half is its
 * tag.  A cell is a pair of words that only a 128-bit compare-and-swap
 * changes:
 *
 *     tag of the key (44 bits), rate (20 bits) | moment the bucket is full
 *
 * What guards it: nothing but that instruction.  There is no lock, so a killed
 * process leaves none, and every change is whole.
 *
 * Who frees: nobody.  A cell whose moment has passed says nothing and is taken
 * by the next key that needs one; zeroes are such a cell.  Without one, the
 * cell whose moment is the nearest goes, and is counted.
 *
 * A key must not get two cells.  To insert it, a process reserves a cell (its
 * rate is 0), then looks at the other fifteen, frees what others
 * reserved for the same key, gives up if the key is there, and only then makes
 * its own reservation a bucket, if it still is one: of two processes at least
 * one sees the other's.  (Purcell and Harris, "Non-blocking hashtables with
 * open addressing", have the proof.)  A reservation holds for a millisecond,
 * then it is a cell whose moment has passed.
 *
 * Time is the same for all: the latest that any process has seen.  So a bucket
 * that was full for the one who took its cell is full for everybody else.
 *
 * All of it survives a reload, nothing a restart.  The worst case of a charge
 * is two looks at two sets, again for each time another process was faster.
 */


#define NGX_APIGW_BUCKETS_MAGIC    0x31746b6377677061ULL

#define NGX_APIGW_BUCKET_SET       8
#define NGX_APIGW_BUCKET_CELLS     (2 * NGX_APIGW_BUCKET_SET)
#define NGX_APIGW_BUCKET_ROOMY     3
#define NGX_APIGW_BUCKET_PATIENCE  64
#define NGX_APIGW_BUCKET_GRAIN     1024

#define NGX_APIGW_RATE_MASK        ((1ULL << NGX_APIGW_RATE_CODE) - 1)

#define NGX_APIGW_SKEW_MAX         (600 * 1000)
#define NGX_APIGW_SAMPLE           (65536 / NGX_APIGW_BUCKET_SET)


#define ngx_apigw_bucket_same(a, b)                                           \
    ((((a) ^ (b)) & ~NGX_APIGW_RATE_MASK) == 0)

#define ngx_apigw_bucket_reserved(tag)                                        \
    (((tag) & NGX_APIGW_RATE_MASK) == 0)


typedef volatile ngx_apigw_pair_t  ngx_apigw_cell_t;


struct ngx_apigw_buckets_s {
    uint64_t                   magic;
    uint64_t                   size;
    uint64_t                   sets;
    ngx_apigw_hash_key_t       key;
    u_char                     pad1[24];

    /* changes every millisecond */

    volatile uint64_t          clock;
    u_char                     pad2[56];

    /* change when a key is inserted */

    volatile uint64_t          serial;
    volatile uint64_t          evicted;
    u_char                     pad3[48];

    ngx_apigw_pair_t           cells[];
};


/* where a key may be */

typedef struct {
    ngx_apigw_cell_t          *set[2];
    uint64_t                   home;
    uint64_t                   tag;
} ngx_apigw_place_t;


static uint64_t ngx_apigw_bucket_convert(const ngx_apigw_limit_t *limit,
    ngx_apigw_pair_t cell, uint64_t now);

static uint64_t ngx_apigw_buckets_now(ngx_apigw_buckets_t *buckets,
    uint64_t now);
static ngx_uint_t ngx_apigw_bucket_take_slow(ngx_apigw_charge_t *charge,
    ngx_msec_t now);
static ngx_apigw_cell_t *ngx_apigw_bucket_find(ngx_apigw_place_t *place);
static ngx_int_t ngx_apigw_bucket_insert(ngx_apigw_charge_t *charge,
    ngx_apigw_place_t *place, ngx_uint_t patient);
static ngx_int_t ngx_apigw_bucket_reserve(ngx_apigw_charge_t *charge,
    ngx_apigw_place_t *place, ngx_apigw_pair_t *reserve);
static ngx_int_t ngx_apigw_bucket_alone(ngx_apigw_place_t *place,
    ngx_uint_t mine, ngx_uint_t patient);


static ngx_inline ngx_apigw_cell_t *
ngx_apigw_place_cell(ngx_apigw_place_t *place, ngx_uint_t n)
{
    return place->set[n / NGX_APIGW_BUCKET_SET]
           + (place->home + n) % NGX_APIGW_BUCKET_SET;
}


static ngx_inline uint64_t
ngx_apigw_moment_add(const ngx_apigw_limit_t *limit, uint64_t moment,
    uint64_t span)
{
    uint64_t  units;

    units = (moment & NGX_APIGW_MSEC_MASK) + (span & NGX_APIGW_MSEC_MASK);

    moment += span;

    if (units >= limit->modulus) {
        moment += NGX_APIGW_MSEC_ONE - limit->modulus;
    }

    return moment;
}


static ngx_inline uint64_t
ngx_apigw_moment_sub(const ngx_apigw_limit_t *limit, uint64_t moment,
    uint64_t span)
{
    uint64_t  diff;

    diff = moment - span;

    if ((moment & NGX_APIGW_MSEC_MASK) < (span & NGX_APIGW_MSEC_MASK)) {
        diff -= NGX_APIGW_MSEC_ONE - limit->modulus;
    }

    return diff;
}


/* milliseconds of a span, rounded up */

static ngx_inline uint64_t
ngx_apigw_span_msec(uint64_t span)
{
    return (span + NGX_APIGW_MSEC_MASK) >> NGX_APIGW_MSEC_SHIFT;
}


/* Both words of one state, without a write to the cell. */

static ngx_inline ngx_apigw_pair_t
ngx_apigw_cell_read(ngx_apigw_cell_t *cell)
{
    ngx_apigw_pair_t  got;

    do {
        got = ngx_apigw_pair_get(cell);
    } while (__atomic_load_n(&cell->tag, __ATOMIC_ACQUIRE) != got.tag);

    return got;
}


static ngx_inline void
ngx_apigw_bucket_locate(ngx_apigw_charge_t *charge, ngx_apigw_place_t *place)
{
    uint64_t              first, second, sets;
    ngx_apigw_buckets_t  *buckets;

    buckets = charge->buckets;
    sets = buckets->sets;

    first = ((charge->hash.h[0] >> 32) * sets) >> 32;
    second = ((charge->hash.h[0] & 0xffffffff) * sets) >> 32;

    if (second == first) {
        second = first ? first - 1 : 1;
    }

    place->set[0] = buckets->cells + first * NGX_APIGW_BUCKET_SET;
    place->set[1] = buckets->cells + second * NGX_APIGW_BUCKET_SET;
    place->home = charge->hash.h[1] % NGX_APIGW_BUCKET_SET;
    place->tag = (charge->hash.h[1] & ~NGX_APIGW_RATE_MASK)
                 | charge->limit->code;
}


/*
 * Sets what becomes of a bucket that is full at the moment "full" when the
 * cost is taken from it, or leaves it as it is if it does not hold as much.
 */

static ngx_inline ngx_uint_t
ngx_apigw_bucket_decide(ngx_apigw_charge_t *charge, uint64_t full)
{
    uint64_t                  now, end, moment;
    const ngx_apigw_limit_t  *limit;

    limit = charge->limit;
    now = ngx_apigw_moment(charge->now);
    end = now + limit->depth;

    if (full < now) {
        full = now;
    }

    charge->full = full;
    charge->admitted = 0;

    if (charge->cost == 1) {
        moment = ngx_apigw_moment_add(limit, full, limit->interval);

    } else {
        if (charge->cost > limit->burst) {
            return 0;
        }

        if (charge->cost == 0) {
            charge->admitted = 1;
            return 1;
        }

        moment = ngx_apigw_moment_add(limit, full,
                                    ngx_apigw_limit_span(limit, charge->cost));
    }

    if (moment > end) {
        return 0;
    }

    charge->full = moment;
    charge->admitted = 1;

    return 1;
}


/*
 * When a bucket kept at another rate is full at the limit's: as many tokens
 * are missing, but not more than the burst.  The code knows a rate to one in
 * 16384 only; both rates are taken from their codes, so that a key whose rate
 * goes to and fro comes back to the same.  What is next to nothing above a
 * whole number of tokens is that number.
 */

static uint64_t
ngx_apigw_bucket_convert(const ngx_apigw_limit_t *limit, ngx_apigw_pair_t cell,
    uint64_t now)
{
    uint64_t           rest, units, before, after;
    unsigned __int128  span, over;

    now = ngx_apigw_moment(now);

    if (cell.value <= now) {
        return now;
    }

    before = ngx_apigw_interval_decode(cell.tag & NGX_APIGW_RATE_MASK);
    after = ngx_apigw_interval_decode(limit->code);

    span = cell.value - now;
    span = (span * after + before - 1) / before;

    over = span % ngx_apigw_interval_fixed(limit);

    if (over <= span >> NGX_APIGW_RATE_BITS
        && over <= after / NGX_APIGW_BUCKET_GRAIN)
    {
        span -= over;
    }

    /* not for what the codes do not know, it would be forgiven each time */

    if (span > limit->depth + (limit->depth >> (NGX_APIGW_RATE_BITS - 1))) {
        return now + limit->depth;
    }

    /* from 2^-24 of a millisecond to units */

    rest = (uint64_t) span & NGX_APIGW_MSEC_MASK;
    units = (rest * limit->modulus + NGX_APIGW_MSEC_MASK)
            >> NGX_APIGW_MSEC_SHIFT;

    return ngx_apigw_moment_add(limit, now + (uint64_t) span - rest, units);
}


ngx_apigw_buckets_t *
ngx_apigw_buckets_create(void *block, size_t size)
{
    ngx_apigw_buckets_t  *buckets;

    if (size < 4096) {
        errno = 0;
        return NULL;
    }

    buckets = block;

    if (ngx_apigw_hash_new_key(&buckets->key) != NGX_OK) {
        return NULL;
    }

    buckets->sets = (size - sizeof(ngx_apigw_buckets_t))
                    / (NGX_APIGW_BUCKET_SET * sizeof(ngx_apigw_pair_t));
    buckets->size = size;
    buckets->magic = NGX_APIGW_BUCKETS_MAGIC;

    return buckets;
}


ngx_uint_t
ngx_apigw_buckets_valid(const void *block, size_t size)
{
    const ngx_apigw_buckets_t  *buckets;

    buckets = block;

    return size >= 4096
           && buckets->magic == NGX_APIGW_BUCKETS_MAGIC
           && buckets->size == size
           && buckets->sets == (size - sizeof(ngx_apigw_buckets_t))
                               / (NGX_APIGW_BUCKET_SET
                                  * sizeof(ngx_apigw_pair_t));
}


const ngx_apigw_hash_key_t *
ngx_apigw_buckets_key(const ngx_apigw_buckets_t *buckets)
{
    return &buckets->key;
}


void
ngx_apigw_buckets_convert(ngx_apigw_buckets_t *buckets,
    const ngx_apigw_limit_t *limit, uint64_t burst, ngx_msec_t msec)
{
    uint64_t           i, now, depth;
    ngx_apigw_pair_t   got, set;
    ngx_apigw_cell_t  *cell;
    unsigned __int128  span;

    now = ngx_apigw_buckets_now(buckets, msec);

    for (i = 0; i < buckets->sets * NGX_APIGW_BUCKET_SET; i++) {
        cell = &buckets->cells[i];
        got = ngx_apigw_cell_read(cell);

        do {
            if (got.value <= ngx_apigw_moment(now)
                || ngx_apigw_bucket_reserved(got.tag))
            {
                break;
            }

            set = got;

            if (limit && (got.tag & NGX_APIGW_RATE_MASK) != limit->code) {
                set.tag = (got.tag & ~NGX_APIGW_RATE_MASK) | limit->code;
                set.value = ngx_apigw_bucket_convert(limit, got, now);
            }

            if (limit) {
                depth = limit->depth;

            } else {
                span = ngx_apigw_interval_decode(got.tag
                                                 & NGX_APIGW_RATE_MASK);
                span *= burst;
                depth = ngx_min(span, ngx_apigw_moment(NGX_APIGW_DEPTH_MAX));
            }

            if (set.value > ngx_apigw_moment(now) + depth) {
                set.value = ngx_apigw_moment(now) + depth;
            }

            if (set.tag == got.tag && set.value == got.value) {
                break;
            }

        } while (!ngx_apigw_pair_cas(cell, &got, set));
    }
}


void
ngx_apigw_buckets_stat(ngx_apigw_buckets_t *buckets, ngx_msec_t msec,
    ngx_apigw_buckets_stat_t *stat)
{
    uint64_t           i, n, now, used, sample;
    ngx_apigw_pair_t   got;
    ngx_apigw_cell_t  *set;

    now = ngx_apigw_moment(ngx_apigw_buckets_now(buckets, msec));

    sample = ngx_min(buckets->sets, NGX_APIGW_SAMPLE);
    used = 0;

    for (i = 0; i < sample; i++) {
        set = buckets->cells
              + i * buckets->sets / sample * NGX_APIGW_BUCKET_SET;

        for (n = 0; n < NGX_APIGW_BUCKET_SET; n++) {
            got = ngx_apigw_pair_get(set + n);

            if (got.value > now && !ngx_apigw_bucket_reserved(got.tag)) {
                used++;
            }
        }
    }

    stat->evicted = buckets->evicted;
    stat->used = sample ? used * buckets->sets / sample : 0;
    stat->cells = buckets->sets * NGX_APIGW_BUCKET_SET;
}


/*
 * Nearly always a key is at its first place and alone there, and takes one
 * token.
 */

ngx_uint_t
ngx_apigw_bucket_take(ngx_apigw_charge_t *charge, ngx_msec_t now)
{
    uint64_t              set, tag;
    ngx_apigw_pair_t      got, new;
    ngx_apigw_cell_t     *cell;
    ngx_apigw_buckets_t  *buckets;

    buckets = charge->buckets;
    set = ((charge->hash.h[0] >> 32) * buckets->sets) >> 32;
    tag = (charge->hash.h[1] & ~NGX_APIGW_RATE_MASK) | charge->limit->code;

    charge->charged = 0;
    charge->evicted = 0;
    charge->now = ngx_apigw_buckets_now(buckets, now);

    cell = buckets->cells + set * NGX_APIGW_BUCKET_SET
           + charge->hash.h[1] % NGX_APIGW_BUCKET_SET;
    got = ngx_apigw_cell_read(cell);

    if (got.tag != tag || charge->cost != 1) {
        return ngx_apigw_bucket_take_slow(charge, now);
    }

    if (!ngx_apigw_bucket_decide(charge, got.value)) {
        return 0;
    }

    new.tag = tag;
    new.value = charge->full;

    if (!ngx_apigw_pair_cas(cell, &got, new)) {
        return ngx_apigw_bucket_take_slow(charge, now);
    }

    charge->charged = 1;

    return 1;
}


static ngx_uint_t
ngx_apigw_bucket_take_slow(ngx_apigw_charge_t *charge, ngx_msec_t now)
{
    ngx_uint_t          tries;
    ngx_apigw_pair_t    got, set;
    ngx_apigw_cell_t   *cell;
    ngx_apigw_place_t   place;

    ngx_apigw_bucket_locate(charge, &place);

    for (tries = 0; /* void */ ; tries++) {

        charge->now = ngx_apigw_buckets_now(charge->buckets, now);

        cell = ngx_apigw_bucket_find(&place);

        if (cell == NULL) {
            if (!ngx_apigw_bucket_decide(charge, 0) || charge->cost == 0) {
                return charge->admitted;
            }

            if (ngx_apigw_bucket_insert(charge, &place,
                                        tries < NGX_APIGW_BUCKET_PATIENCE)
                == NGX_OK)
            {
                return 1;
            }

            continue;
        }

        got = ngx_apigw_cell_read(cell);

        set.tag = place.tag;

        if (got.tag != place.tag) {

            if (!ngx_apigw_bucket_same(got.tag, place.tag)
                || ngx_apigw_bucket_reserved(got.tag))
            {
                continue;
            }

            /* even if it is refused: the rate changes now */

            set.value = ngx_apigw_bucket_convert(charge->limit, got,
                                                 charge->now);

            if (!ngx_apigw_pair_cas(cell, &got, set)) {
                continue;
            }

            got = set;
        }

        if (!ngx_apigw_bucket_decide(charge, got.value) || charge->cost == 0) {
            return charge->admitted;
        }

        set.value = charge->full;

        if (ngx_apigw_pair_cas(cell, &got, set)) {
            charge->charged = 1;
            return 1;
        }
    }
}


ngx_uint_t
ngx_apigw_bucket_look(ngx_apigw_charge_t *charge, ngx_msec_t now)
{
    uint64_t            full, cost;
    ngx_apigw_pair_t    got;
    ngx_apigw_cell_t   *cell;
    ngx_apigw_place_t   place;

    ngx_apigw_bucket_locate(charge, &place);

    charge->charged = 0;
    charge->evicted = 0;
    charge->now = ngx_apigw_buckets_now(charge->buckets, now);

    full = 0;
    cell = ngx_apigw_bucket_find(&place);

    if (cell) {
        got = ngx_apigw_cell_read(cell);

        if (got.tag == place.tag) {
            full = got.value;

        } else if (ngx_apigw_bucket_same(got.tag, place.tag)
                   && !ngx_apigw_bucket_reserved(got.tag))
        {
            full = ngx_apigw_bucket_convert(charge->limit, got, charge->now);
        }
    }

    if (ngx_apigw_bucket_decide(charge, full)) {

        /* nothing is taken: show the bucket as it is */

        cost = charge->cost;
        charge->cost = 0;

        (void) ngx_apigw_bucket_decide(charge, full);

        charge->cost = cost;
    }

    return charge->admitted;
}


void
ngx_apigw_bucket_give_back(ngx_apigw_charge_t *charge, ngx_msec_t msec)
{
    uint64_t            now, span, cost;
    ngx_apigw_pair_t    got, set;
    ngx_apigw_cell_t   *cell;
    ngx_apigw_place_t   place;

    if (!charge->charged) {
        return;
    }

    charge->charged = 0;

    now = ngx_apigw_buckets_now(charge->buckets, msec);

    if (charge->full <= ngx_apigw_moment(now)) {
        return;
    }

    /* what has come back by itself by now is not put back once more */

    span = charge->full - ngx_apigw_moment(now);
    cost = ngx_apigw_limit_span(charge->limit, charge->cost);

    if (span > cost) {
        span = cost;
    }

    ngx_apigw_bucket_locate(charge, &place);

    for ( ;; ) {
        cell = ngx_apigw_bucket_find(&place);

        if (cell == NULL) {
            return;
        }

        got = ngx_apigw_cell_read(cell);

        set.tag = place.tag;
        set.value = got.value;

        if (got.tag != place.tag) {

            if (!ngx_apigw_bucket_same(got.tag, place.tag)
                || ngx_apigw_bucket_reserved(got.tag))
            {
                continue;
            }

            set.value = ngx_apigw_bucket_convert(charge->limit, got, now);
        }

        if (set.value <= ngx_apigw_moment(now)) {
            return;
        }

        set.value = ngx_apigw_moment_sub(charge->limit, set.value, span);

        if (ngx_apigw_pair_cas(cell, &got, set)) {
            charge->now = now;
            charge->full = ngx_max(set.value, ngx_apigw_moment(now));
            return;
        }
    }
}


ngx_uint_t
ngx_apigw_bucket_take_all(ngx_apigw_charge_t *charges, ngx_uint_t n,
    ngx_msec_t now)
{
    ngx_uint_t  i, admitted;

    if (n == 1) {
        return ngx_apigw_bucket_take(charges, now);
    }

    admitted = 1;

    for (i = 0; i < n; i++) {
        admitted &= ngx_apigw_bucket_look(&charges[i], now);
    }

    if (!admitted) {
        return 0;
    }

    for (i = 0; i < n; i++) {

        if (!ngx_apigw_bucket_take(&charges[i], now)) {

            while (i--) {
                ngx_apigw_bucket_give_back(&charges[i], now);
            }

            return 0;
        }
    }

    return 1;
}


uint64_t
ngx_apigw_bucket_remaining(const ngx_apigw_charge_t *charge)
{
    uint64_t                  end, span, units;
    const ngx_apigw_limit_t  *limit;

    limit = charge->limit;
    end = ngx_apigw_moment(charge->now) + limit->depth;

    if (charge->full >= end) {
        return 0;
    }

    span = ngx_apigw_moment_sub(limit, end, charge->full);

    units = (span >> NGX_APIGW_MSEC_SHIFT) * limit->rate.tokens
            + (span & NGX_APIGW_MSEC_MASK) / limit->scale;

    return units / limit->rate.msec;
}


uint64_t
ngx_apigw_bucket_reset(const ngx_apigw_charge_t *charge)
{
    return ngx_apigw_span_msec(charge->full - ngx_apigw_moment(charge->now));
}


uint64_t
ngx_apigw_bucket_wait(const ngx_apigw_charge_t *charge)
{
    uint64_t                  moment;
    const ngx_apigw_limit_t  *limit;

    if (charge->admitted) {
        return 0;
    }

    limit = charge->limit;

    if (charge->cost > limit->burst) {
        return NGX_APIGW_BUCKET_NEVER;
    }

    moment = ngx_apigw_moment_add(limit, charge->full,
                                  ngx_apigw_limit_span(limit, charge->cost));
    moment = ngx_apigw_moment_sub(limit, moment, limit->depth);

    return ngx_apigw_span_msec(moment - ngx_apigw_moment(charge->now));
}


uint64_t
ngx_apigw_bucket_delay(const ngx_apigw_charge_t *charge, uint64_t excess)
{
    uint64_t                  moment, start;
    const ngx_apigw_limit_t  *limit;

    limit = charge->limit;

    if (!charge->charged || excess >= limit->burst) {
        return 0;
    }

    moment = ngx_apigw_moment_sub(limit, charge->full,
                                  ngx_apigw_limit_span(limit, charge->cost));
    start = ngx_apigw_moment_add(limit, ngx_apigw_moment(charge->now),
                                 ngx_apigw_limit_span(limit, excess));

    if (moment <= start) {
        return 0;
    }

    return ngx_apigw_span_msec(ngx_apigw_moment_sub(limit, moment, start));
}


/*
 * The latest time that any process has seen.  One that is minutes ahead of
 * this process' own is not a time.
 */

static uint64_t
ngx_apigw_buckets_now(ngx_apigw_buckets_t *buckets, uint64_t now)
{
    uint64_t  clock;

    clock = __atomic_load_n(&buckets->clock, __ATOMIC_ACQUIRE);

    while (clock != now) {

        if (clock > now && clock - now < NGX_APIGW_SKEW_MAX) {
            return clock;
        }

        if (__atomic_compare_exchange_n(&buckets->clock, &clock, now, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        {
            break;
        }
    }

    return now;
}


/* Returns the cell of a key, NULL if it has none. */

static ngx_apigw_cell_t *
ngx_apigw_bucket_find(ngx_apigw_place_t *place)
{
    uint64_t           tag;
    ngx_uint_t         n;
    ngx_apigw_cell_t  *cell;

    for (n = 0; n < NGX_APIGW_BUCKET_CELLS; n++) {
        cell = ngx_apigw_place_cell(place, n);
        tag = __atomic_load_n(&cell->tag, __ATOMIC_ACQUIRE);

        if (tag == place->tag) {
            return cell;
        }

        if (ngx_apigw_bucket_same(tag, place->tag)
            && !ngx_apigw_bucket_reserved(tag))
        {
            return cell;
        }
    }

    return NULL;
}


/*
 * Inserts a key that was not there, charged.  Returns NGX_AGAIN if another
 * process may have inserted it, or was faster in some other way.
 */

static ngx_int_t
ngx_apigw_bucket_insert(ngx_apigw_charge_t *charge, ngx_apigw_place_t *place,
    ngx_uint_t patient)
{
    ngx_int_t          mine;
    ngx_apigw_pair_t   reserve, got, set;
    ngx_apigw_cell_t  *cell;

    mine = ngx_apigw_bucket_reserve(charge, place, &reserve);

    if (mine == NGX_DECLINED) {
        return NGX_AGAIN;
    }

    cell = ngx_apigw_place_cell(place, mine);
    got = reserve;

    if (ngx_apigw_bucket_alone(place, mine, patient) != NGX_OK) {
        set.tag = 0;
        set.value = 0;

        (void) ngx_apigw_pair_cas(cell, &got, set);

        ngx_cpu_pause();

        return NGX_AGAIN;
    }

    /* not before anybody's time who took the cell of a full bucket */

    charge->now = ngx_apigw_buckets_now(charge->buckets, charge->now);

    (void) ngx_apigw_bucket_decide(charge, 0);

    set.tag = place->tag;
    set.value = charge->full;

    if (!ngx_apigw_pair_cas(cell, &got, set)) {
        return NGX_AGAIN;
    }

    charge->charged = 1;

    return NGX_OK;
}


/*
 * Reserves a cell and returns its number: a free one in the first set while
 * there is plenty, else in the set that has more, else the bucket that is the
 * next to be full in both, but not what another process is about to fill.
 */

static ngx_int_t
ngx_apigw_bucket_reserve(ngx_apigw_charge_t *charge, ngx_apigw_place_t *place,
    ngx_apigw_pair_t *reserve)
{
    uint64_t              now, key, least;
    ngx_uint_t            n, set, roomy, chosen, nearest, free[2], oldest[2];
    ngx_apigw_pair_t      got, found[NGX_APIGW_BUCKET_CELLS];
    ngx_apigw_buckets_t  *buckets;

    buckets = charge->buckets;
    now = ngx_apigw_moment(charge->now);

    least = (uint64_t) -1;
    nearest = 0;
    free[0] = free[1] = 0;
    oldest[0] = oldest[1] = 0;

    for (n = 0; n < NGX_APIGW_BUCKET_CELLS; n++) {
        set = n / NGX_APIGW_BUCKET_SET;

        if (n == NGX_APIGW_BUCKET_SET && free[0] >= NGX_APIGW_BUCKET_ROOMY) {
            break;
        }

        got = ngx_apigw_pair_get(ngx_apigw_place_cell(place, n));
        found[n] = got;

        if (got.value <= now) {

            /* the oldest, so that keys that come back find their cells */

            if (free[set]++ == 0 || got.value < found[oldest[set]].value) {
                oldest[set] = n;
            }

            continue;
        }

        key = ngx_apigw_bucket_reserved(got.tag) ? (uint64_t) -2 : got.value;

        if (key < least) {
            least = key;
            nearest = n;
        }
    }

    roomy = free[1] > free[0];
    chosen = free[roomy] ? oldest[roomy] : nearest;
    got = found[chosen];

    reserve->tag = place->tag & ~NGX_APIGW_RATE_MASK;
    reserve->value = now
                     | (__atomic_add_fetch(&buckets->serial, 1,
                                           __ATOMIC_ACQ_REL)
                        & NGX_APIGW_MSEC_MASK);

    if (!ngx_apigw_pair_cas(ngx_apigw_place_cell(place, chosen), &got,
                            *reserve))
    {
        return NGX_DECLINED;
    }

    if (got.value > now && !ngx_apigw_bucket_reserved(got.tag)) {
        (void) __atomic_add_fetch(&buckets->evicted, 1, __ATOMIC_RELAXED);
        charge->evicted = 1;
    }

    return chosen;
}


/*
 * Makes sure that nobody else has or gets a bucket for the key.  Of two who
 * insert at once the one that comes first in the key's order of cells should
 * win; a patient process leaves it to the other.
 */

static ngx_int_t
ngx_apigw_bucket_alone(ngx_apigw_place_t *place, ngx_uint_t mine,
    ngx_uint_t patient)
{
    ngx_uint_t         n;
    ngx_apigw_pair_t   got, none;
    ngx_apigw_cell_t  *cell;

    none.tag = 0;
    none.value = 0;

    for (n = 0; n < NGX_APIGW_BUCKET_CELLS; n++) {

        if (n == mine) {
            continue;
        }

        cell = ngx_apigw_place_cell(place, n);
        got = ngx_apigw_cell_read(cell);

        while (ngx_apigw_bucket_same(got.tag, place->tag)) {

            if (!ngx_apigw_bucket_reserved(got.tag)) {
                return NGX_AGAIN;
            }

            if (n < mine && patient) {
                return NGX_AGAIN;
            }

            if (ngx_apigw_pair_cas(cell, &got, none)) {
                break;
            }
        }
    }

    return NGX_OK;
}
