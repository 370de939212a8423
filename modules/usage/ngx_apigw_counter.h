/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_COUNTER_H_INCLUDED_
#define _NGX_APIGW_COUNTER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_atomic.h"
#include "ngx_apigw_hash.h"


/*
 * The quota counters of a zone: a table in shared memory, a write-back cache
 * in front of the store.
 *
 * A counter is a pair {tag, own}: tag is a keyed hash of its name, own what
 * this instance has counted, with the bit NGX_APIGW_COUNTER_DIRTY until the
 * store has that very number.  A pair changes by compare-and-swap only:
 *
 *     charge    {tag, own}        ->  {tag, own + cost, dirty}
 *     flushed   {tag, own, dirty} ->  {tag, own}
 *     evict     {tag, own}        ->  {0, 0}
 *     insert    {0, 0}            ->  {tag, own}
 *
 * so a charge cannot land in another counter, a charge that comes after the
 * flush leaves the counter dirty, and an eviction cannot lose a charge.
 *
 * A counter may lie in any way of two sets.  Inserting and evicting, and
 * changing "others", is done under the zone's mutex; whoever is killed there
 * leaves a free or a complete slot, as the pair is written last.
 *
 * The value of a counter is own + others, where others is what the store has
 * from other instances (earlier runs, the other master of a binary upgrade).
 * "refreshed" is the version of the store that all "others" are at least as
 * new as: it is set before a pass that brings them up to date, and what was
 * read before that is not inserted any more.
 *
 * Uses nothing of nginx but its types and inline functions.
 */


#define NGX_APIGW_COUNTER_WAYS    8
#define NGX_APIGW_COUNTER_NAME    72

/* Numbers of evictions, each for many sets; a power of two. */

#define NGX_APIGW_COUNTER_EVICTIONS  4096

#define ngx_apigw_counter_evictions(table, set)                               \
    ((table)->evictions[(set) & (NGX_APIGW_COUNTER_EVICTIONS - 1)])

#define NGX_APIGW_COUNTER_DIRTY   0x8000000000000000ULL
#define NGX_APIGW_COUNTER_VALUE   0x7fffffffffffffffULL

#define NGX_APIGW_COUNTER_MAX     ((uint64_t) 1 << 60)  /* of cost and limit */


/* What is beside a pair; with it a counter takes 128 bytes. */

typedef struct {
    ngx_atomic_t                 others;   /* signed: may be below zero */
    ngx_atomic_t                 grant;    /* signed: added to the limit */
    ngx_atomic_t                 limit;    /* as last seen, for reports */
    uint32_t                     start;    /* of the window */
    uint32_t                     end;
    uint32_t                     check;    /* of all below and the tag */
    u_char                       kind;     /* of the window */
    u_char                       family;   /* length in name */
    u_char                       consumer; /* length in name */
    u_char                       flags;
    u_char                       name[NGX_APIGW_COUNTER_NAME];
} ngx_apigw_counter_info_t;


#define NGX_APIGW_COUNTER_DIGEST  0x01    /* the consumer's name is shortened */
#define NGX_APIGW_COUNTER_SHADOW  0x02    /* of api_usage_shadow */


/* A view of the table; the arrays lie in shared memory. */

typedef struct {
    volatile ngx_apigw_pair_t   *pairs;
    ngx_apigw_counter_info_t    *infos;
    ngx_atomic_t                *evictions;
    ngx_atomic_t                *refreshed;
    uint32_t                     sets;
} ngx_apigw_counter_table_t;


/* Where a counter is looked for. */

typedef struct {
    uint64_t                     tag;
    uint32_t                     sets[2];
} ngx_apigw_counter_id_t;


/* What a process read before it asks to insert. */

typedef struct {
    ngx_atomic_uint_t            evictions[2];
    uint64_t                     version;    /* of the store, as read */
    uint64_t                     own;
    int64_t                      others;
    int64_t                      grant;
} ngx_apigw_counter_load_t;


#define NGX_APIGW_COUNTER_NONE    ((ngx_uint_t) -1)


#pragma GCC visibility push(hidden)


/* The size of a table with so many sets, and how many fit into a size. */

size_t ngx_apigw_counter_size(uint32_t sets);
uint32_t ngx_apigw_counter_sets(size_t size);

/* Lays a view over zeroed or used memory, aligned to 16 bytes. */

void ngx_apigw_counter_map(ngx_apigw_counter_table_t *table, void *memory,
    uint32_t sets);


/*
 * Adds cost if the value stays within limit + grant; value is what was
 * counted before, total the limit with the grant.  NGX_OK, NGX_DECLINED, or
 * NGX_AGAIN if the slot is not this counter's any more.
 */

ngx_int_t ngx_apigw_counter_charge(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot, uint64_t tag, uint64_t cost, uint64_t limit,
    uint64_t *value, uint64_t *total);

/*
 * Adds units without regard to the limit, or takes them back if there are less
 * than 0; before and after are what was counted.  NGX_OK or NGX_AGAIN.
 */

ngx_int_t ngx_apigw_counter_change(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot, uint64_t tag, int64_t units, uint64_t *before,
    uint64_t *after);


/* To be called before the counter is read from the store. */

void ngx_apigw_counter_load_begin(ngx_apigw_counter_table_t *table,
    const ngx_apigw_counter_id_t *id, ngx_apigw_counter_load_t *load);

/*
 * Puts a counter that was read from the store into the table, in place of one
 * that is clean if need be; the caller holds the mutex.  Returns
 *
 *     NGX_OK        it is in *slot (perhaps somebody else's work)
 *     NGX_AGAIN     what was read is or may be stale, read again
 *     NGX_DECLINED  both sets are full of dirty counters
 */

ngx_int_t ngx_apigw_counter_insert(ngx_apigw_counter_table_t *table,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_load_t *load,
    ngx_apigw_counter_info_t *info, int64_t now, ngx_uint_t *slot,
    ngx_uint_t *evicted);


/*
 * Nothing read from a version before this one is inserted from now on.  The
 * caller holds the mutex.
 */

void ngx_apigw_counter_refreshed(ngx_apigw_counter_table_t *table,
    uint64_t version);


/*
 * For the flush.  _dirty() copies a dirty counter: NGX_OK, or NGX_DECLINED if
 * the slot is clean, free or just changing.  _flushed() marks it clean unless
 * it was charged meanwhile.
 */

ngx_int_t ngx_apigw_counter_dirty(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot, ngx_apigw_pair_t *pair, ngx_apigw_counter_info_t *info);
void ngx_apigw_counter_flushed(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot, const ngx_apigw_pair_t *pair);

/* The same for any counter, clean or dirty. */

ngx_int_t ngx_apigw_counter_copy(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot, ngx_apigw_pair_t *pair, ngx_apigw_counter_info_t *info);


#pragma GCC visibility pop


/* For tables of sets of so many bytes: the whole size, and sets in a size. */

static ngx_inline size_t
ngx_apigw_counter_space(uint32_t sets, size_t set)
{
    return (size_t) sets * set
           + ngx_min(sets, NGX_APIGW_COUNTER_EVICTIONS) * sizeof(ngx_atomic_t);
}


static ngx_inline uint32_t
ngx_apigw_counter_fit(size_t size, size_t set)
{
    size_t  n;

    n = size / (set + sizeof(ngx_atomic_t));

    if (n > NGX_APIGW_COUNTER_EVICTIONS) {
        n = (size - NGX_APIGW_COUNTER_EVICTIONS * sizeof(ngx_atomic_t)) / set;
    }

    return (uint32_t) ngx_min(n, 0xffffffff);
}


/* A bijection of 64-bit numbers that leaves no bit where it was. */

static ngx_inline uint64_t
ngx_apigw_counter_mix(uint64_t n)
{
    n ^= n >> 33;
    n *= 0xff51afd7ed558ccdULL;
    n ^= n >> 33;
    n *= 0xc4ceb9fe1a85ec53ULL;
    n ^= n >> 33;

    return n;
}


/*
 * The slot of a counter or NGX_APIGW_COUNTER_NONE.  Without a lock: it may be
 * evicted at any time, which the compare-and-swaps find out.
 */

static ngx_inline ngx_uint_t
ngx_apigw_counter_find(ngx_apigw_counter_table_t *table,
    const ngx_apigw_counter_id_t *id)
{
    ngx_uint_t  i, slot, last;

    for (i = 0; i < 2; i++) {
        slot = (ngx_uint_t) id->sets[i] * NGX_APIGW_COUNTER_WAYS;
        last = slot + NGX_APIGW_COUNTER_WAYS;

        for ( /* void */ ; slot < last; slot++) {
            if (__atomic_load_n(&table->pairs[slot].tag, __ATOMIC_ACQUIRE)
                == id->tag)
            {
                return slot;
            }
        }
    }

    return NGX_APIGW_COUNTER_NONE;
}


/*
 * What this instance has, at least as much as makes the value 0: who is given
 * back what he was charged before a reset has nothing good for that.
 */

static ngx_inline uint64_t
ngx_apigw_counter_own(const ngx_apigw_counter_info_t *info, uint64_t own)
{
    int64_t  used;

    used = (int64_t) own + (int64_t) info->others;

    return used < 0 ? own - (uint64_t) used : own;
}


/* Whether cost fits into the limit; see ngx_apigw_counter_charge(). */

static ngx_inline ngx_int_t
ngx_apigw_counter_within(const ngx_apigw_counter_info_t *info, uint64_t own,
    uint64_t cost, uint64_t limit, uint64_t *value, uint64_t *total)
{
    int64_t  used, most;

    used = (int64_t) own + (int64_t) info->others;
    most = (int64_t) limit;

    if (limit < NGX_APIGW_COUNTER_MAX) {
        most += (int64_t) info->grant;
    }

    *value = used > 0 ? (uint64_t) used : 0;
    *total = most > 0 ? (uint64_t) most : 0;

    return *value + cost <= *total ? NGX_OK : NGX_DECLINED;
}


/*
 * A charge without the charging: NGX_OK means that cost would fit now; seen is
 * what ngx_apigw_counter_charge_seen() wants.
 */

static ngx_inline ngx_int_t
ngx_apigw_counter_peek(ngx_apigw_counter_table_t *table, ngx_uint_t slot,
    uint64_t tag, uint64_t cost, uint64_t limit, uint64_t *value,
    uint64_t *total, uint64_t *seen)
{
    ngx_int_t         rc;
    ngx_apigw_pair_t  pair;

    pair = ngx_apigw_pair_get(&table->pairs[slot]);
    *seen = pair.value;

    rc = ngx_apigw_counter_within(&table->infos[slot],
                                  pair.value & NGX_APIGW_COUNTER_VALUE,
                                  cost, limit, value, total);

    if (pair.tag != tag
        || __atomic_load_n(&table->pairs[slot].tag, __ATOMIC_ACQUIRE) != tag)
    {
        return NGX_AGAIN;
    }

    return rc;
}


/*
 * Charges a counter that has not changed since it was looked at and had room
 * for the cost; NGX_AGAIN if it has, see ngx_apigw_counter_charge().
 */

static ngx_inline ngx_int_t
ngx_apigw_counter_charge_seen(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot, uint64_t tag, uint64_t seen, uint64_t cost,
    uint64_t limit, uint64_t *value, uint64_t *total)
{
    uint64_t          own, before, after;
    ngx_apigw_pair_t  expect, set;

    own = ngx_apigw_counter_own(&table->infos[slot],
                                seen & NGX_APIGW_COUNTER_VALUE);

    expect.tag = tag;
    expect.value = seen;

    set.tag = tag;
    set.value = (own + cost) | NGX_APIGW_COUNTER_DIRTY;

    if (!ngx_apigw_pair_cas(&table->pairs[slot], &expect, set)) {
        return NGX_AGAIN;
    }

    if (ngx_apigw_counter_within(&table->infos[slot], own, cost, limit, value,
                                 total)
        == NGX_OK)
    {
        return NGX_OK;
    }

    return ngx_apigw_counter_change(table, slot, tag, -(int64_t) cost,
                                    &before, &after)
           == NGX_OK ? NGX_DECLINED : NGX_AGAIN;
}


/*
 * What a change of a counter adds to the units beyond a limit; less than 0 if
 * it takes of them.  So the sum over all changes is what is beyond in the end.
 */

static ngx_inline int64_t
ngx_apigw_counter_beyond(uint64_t limit, uint64_t before, uint64_t after)
{
    return (int64_t) (ngx_max(after, limit) - ngx_max(before, limit));
}


/* A number for a window: both its ends, as windows may share one of them. */

#define ngx_apigw_counter_window(start, end)                                  \
    ((uint64_t) (start) + ((uint64_t) (end) << 32))


/* A number for the plan's family, the kind of the window, and the window. */

#define ngx_apigw_counter_salt(family, window)                                \
    ngx_apigw_counter_mix((family) + (window))


/*
 * The place of a counter: the keyed hash of the consumer's name, which nobody
 * can foresee, shifted by the salt.
 */

static ngx_inline void
ngx_apigw_counter_place_in(uint32_t sets, const ngx_apigw_hash_t *consumer,
    uint64_t salt, ngx_apigw_counter_id_t *id)
{
    uint64_t  place;

    id->tag = consumer->h[0] ^ salt;
    id->tag += (id->tag == 0);

    place = consumer->h[1] + salt;

    id->sets[0] = (uint32_t) (((place & 0xffffffff) * sets) >> 32);
    id->sets[1] = (uint32_t) (((place >> 32) * sets) >> 32);
}


#define ngx_apigw_counter_place(table, consumer, salt, id)                    \
    ngx_apigw_counter_place_in((table)->sets, consumer, salt, id)


#endif /* _NGX_APIGW_COUNTER_H_INCLUDED_ */
