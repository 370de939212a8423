/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_counter.h"


/*
 * In shared memory, made once with the zone and never freed: an array of
 * pairs, an array of what belongs to them, numbers that count evictions (for
 * some sets each, so that a counter takes 128 bytes and no more), and a version
 * of the store.  Survives reload with the zone; after a restart counters come
 * back from the store one by one.
 *
 * The work under the mutex is bounded by the 16 ways of two sets.
 */


static ngx_uint_t ngx_apigw_counter_make_room(ngx_apigw_counter_table_t *table,
    const ngx_apigw_counter_id_t *id, int64_t now, ngx_uint_t *evicted);
static ngx_uint_t ngx_apigw_counter_rank(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot, int64_t now);
static ngx_int_t ngx_apigw_counter_evict(ngx_apigw_counter_table_t *table,
    ngx_uint_t slot);
static uint32_t ngx_apigw_counter_check(uint64_t tag,
    ngx_apigw_counter_info_t *info);
static ngx_apigw_pair_t ngx_apigw_counter_snapshot(
    volatile ngx_apigw_pair_t *pair);


#define NGX_APIGW_COUNTER_SET                                                 \
    (NGX_APIGW_COUNTER_WAYS * (sizeof(ngx_apigw_pair_t)                       \
                               + sizeof(ngx_apigw_counter_info_t)))

#define NGX_APIGW_COUNTER_FREE     0
#define NGX_APIGW_COUNTER_EXPIRED  1
#define NGX_APIGW_COUNTER_CLEAN    2
#define NGX_APIGW_COUNTER_IN_USE   3


size_t
ngx_apigw_counter_size(uint32_t sets)
{
    return ngx_apigw_counter_space(sets, NGX_APIGW_COUNTER_SET)
           + sizeof(ngx_atomic_t);
}


uint32_t
ngx_apigw_counter_sets(size_t size)
{
    if (size < sizeof(ngx_atomic_t)) {
        return 0;
    }

    return ngx_apigw_counter_fit(size - sizeof(ngx_atomic_t),
                                 NGX_APIGW_COUNTER_SET);
}


void
ngx_apigw_counter_map(ngx_apigw_counter_table_t *table, void *memory,
    uint32_t sets)
{
    size_t  slots;

    slots = (size_t) sets * NGX_APIGW_COUNTER_WAYS;

    table->pairs = memory;
    table->infos = (ngx_apigw_counter_info_t *)
                   ((u_char *) memory + slots * sizeof(ngx_apigw_pair_t));
    table->evictions = (ngx_atomic_t *) (table->infos + slots);
    table->refreshed = table->evictions
                       + ngx_min(sets, NGX_APIGW_COUNTER_EVICTIONS);
    table->sets = sets;
}


ngx_int_t
ngx_apigw_counter_charge(ngx_apigw_counter_table_t *table, ngx_uint_t slot,
    uint64_t tag, uint64_t cost, uint64_t limit, uint64_t *value,
    uint64_t *total)
{
    uint64_t                     own, before, after;
    ngx_apigw_pair_t             pair, set;
    ngx_apigw_counter_info_t    *info;
    volatile ngx_apigw_pair_t   *counter;

    counter = &table->pairs[slot];
    info = &table->infos[slot];

    pair = ngx_apigw_pair_get(counter);

    do {
        if (pair.tag != tag) {
            return NGX_AGAIN;
        }

        own = ngx_apigw_counter_own(info,
                                    pair.value & NGX_APIGW_COUNTER_VALUE);

        if (ngx_apigw_counter_within(info, own, cost, limit, value, total)
            != NGX_OK)
        {
            return NGX_DECLINED;
        }

        set.tag = tag;
        set.value = (own + cost) | NGX_APIGW_COUNTER_DIRTY;

    } while (!ngx_apigw_pair_cas(counter, &pair, set));

    /*
     * "others" may have been that of another counter if the slot was evicted
     * and taken back in between; now the slot is dirty and stays
     */

    if (ngx_apigw_counter_within(info, own, cost, limit, value, total)
        != NGX_OK)
    {
        return ngx_apigw_counter_change(table, slot, tag, -(int64_t) cost,
                                        &before, &after)
               == NGX_OK ? NGX_DECLINED : NGX_AGAIN;
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_counter_change(ngx_apigw_counter_table_t *table, ngx_uint_t slot,
    uint64_t tag, int64_t units, uint64_t *before, uint64_t *after)
{
    uint64_t                    own, total;
    ngx_apigw_pair_t            pair, set;
    ngx_apigw_counter_info_t   *info;
    volatile ngx_apigw_pair_t  *counter;

    counter = &table->pairs[slot];
    info = &table->infos[slot];

    pair = ngx_apigw_pair_get(counter);

    do {
        if (pair.tag != tag) {
            return NGX_AGAIN;
        }

        own = pair.value & NGX_APIGW_COUNTER_VALUE;

        if (units > 0) {
            own = ngx_apigw_counter_own(info, own);
        }

        set.tag = tag;
        set.value = ngx_max((int64_t) own + units, 0)
                    | NGX_APIGW_COUNTER_DIRTY;

    } while (!ngx_apigw_pair_cas(counter, &pair, set));

    /* it is dirty and stays, so "others" are its own */

    (void) ngx_apigw_counter_within(info, own, 0, 0, before, &total);
    (void) ngx_apigw_counter_within(info,
                                    set.value & NGX_APIGW_COUNTER_VALUE,
                                    0, 0, after, &total);

    return NGX_OK;
}


void
ngx_apigw_counter_load_begin(ngx_apigw_counter_table_t *table,
    const ngx_apigw_counter_id_t *id, ngx_apigw_counter_load_t *load)
{
    load->evictions[0] = ngx_apigw_counter_evictions(table, id->sets[0]);
    load->evictions[1] = ngx_apigw_counter_evictions(table, id->sets[1]);

    ngx_memory_barrier();
}


ngx_int_t
ngx_apigw_counter_insert(ngx_apigw_counter_table_t *table,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_load_t *load,
    ngx_apigw_counter_info_t *info, int64_t now, ngx_uint_t *slot,
    ngx_uint_t *evicted)
{
    ngx_uint_t                 n;
    ngx_apigw_pair_t           expect, set;
    ngx_apigw_counter_info_t  *to;

    *evicted = 0;

    n = ngx_apigw_counter_find(table, id);

    if (n != NGX_APIGW_COUNTER_NONE) {
        *slot = n;
        return NGX_OK;
    }

    /*
     * Somebody may have inserted, charged, flushed and evicted this very
     * counter since the store was read.
     */

    if (load->evictions[0] != ngx_apigw_counter_evictions(table, id->sets[0])
        || load->evictions[1]
           != ngx_apigw_counter_evictions(table, id->sets[1]))
    {
        return NGX_AGAIN;
    }

    /* the pass that would have brought its "others" up to date is under way */

    if (load->version < *table->refreshed) {
        return NGX_AGAIN;
    }

    n = ngx_apigw_counter_make_room(table, id, now, evicted);

    if (n == NGX_APIGW_COUNTER_NONE) {
        return NGX_DECLINED;
    }

    /* the slot is free: nobody looks at what is beside the pair */

    to = &table->infos[n];

    info->check = ngx_apigw_counter_check(id->tag, info);

    to->others = (ngx_atomic_uint_t) load->others;
    to->grant = (ngx_atomic_uint_t) load->grant;
    to->limit = info->limit;
    to->start = info->start;
    to->end = info->end;
    to->kind = info->kind;
    to->family = info->family;
    to->consumer = info->consumer;
    to->flags = info->flags;
    ngx_memcpy(to->name, info->name, NGX_APIGW_COUNTER_NAME);
    to->check = info->check;

    expect.tag = 0;
    expect.value = 0;

    set.tag = id->tag;
    set.value = load->own & NGX_APIGW_COUNTER_VALUE;

    if (!ngx_apigw_pair_cas(&table->pairs[n], &expect, set)) {
        return NGX_AGAIN;
    }

    *slot = n;

    return NGX_OK;
}


/*
 * Returns a free slot: the best of both sets, emptied if need be.  Counters
 * that nobody has charged since they were flushed go before ones in use
 * because the latter are dirty.
 */

static ngx_uint_t
ngx_apigw_counter_make_room(ngx_apigw_counter_table_t *table,
    const ngx_apigw_counter_id_t *id, int64_t now, ngx_uint_t *evicted)
{
    ngx_uint_t  i, k, n, slot, rank, best, best_rank, turn, tries;
    ngx_uint_t  room[2], place[2];

    for (tries = 0; tries < NGX_APIGW_COUNTER_WAYS; tries++) {

        best = NGX_APIGW_COUNTER_NONE;
        best_rank = NGX_APIGW_COUNTER_IN_USE;

        room[0] = 0;
        room[1] = 0;

        /* begin elsewhere each time, so that victims take turns */

        turn = ngx_apigw_counter_evictions(table, id->sets[0]);

        for (i = 0; i < 2 * NGX_APIGW_COUNTER_WAYS; i++) {
            k = i / NGX_APIGW_COUNTER_WAYS;
            n = (i + turn) % NGX_APIGW_COUNTER_WAYS;
            slot = id->sets[k] * (ngx_uint_t) NGX_APIGW_COUNTER_WAYS + n;

            rank = ngx_apigw_counter_rank(table, slot, now);

            /* the first one, so that it is found soon */

            if (rank == NGX_APIGW_COUNTER_FREE && room[k]++ == 0) {
                place[k] = slot;
            }

            if (rank < best_rank) {
                best = slot;
                best_rank = rank;
            }
        }

        if (best_rank == NGX_APIGW_COUNTER_IN_USE) {
            return NGX_APIGW_COUNTER_NONE;
        }

        /* the emptier set: so they fill evenly, and hardly ever are full */

        if (best_rank == NGX_APIGW_COUNTER_FREE) {
            return place[room[1] > room[0]];
        }

        if (ngx_apigw_counter_evict(table, best) == NGX_OK) {
            *evicted = 1;
            return best;
        }

        /* it was charged meanwhile */
    }

    return NGX_APIGW_COUNTER_NONE;
}


static ngx_uint_t
ngx_apigw_counter_rank(ngx_apigw_counter_table_t *table, ngx_uint_t slot,
    int64_t now)
{
    ngx_apigw_pair_t  pair;

    pair = ngx_apigw_pair_get(&table->pairs[slot]);

    if (pair.tag == 0) {
        return NGX_APIGW_COUNTER_FREE;
    }

    if (pair.value & NGX_APIGW_COUNTER_DIRTY) {
        return NGX_APIGW_COUNTER_IN_USE;
    }

    return (int64_t) table->infos[slot].end <= now ? NGX_APIGW_COUNTER_EXPIRED
                                                   : NGX_APIGW_COUNTER_CLEAN;
}


static ngx_int_t
ngx_apigw_counter_evict(ngx_apigw_counter_table_t *table, ngx_uint_t slot)
{
    ngx_uint_t        set;
    ngx_apigw_pair_t  pair, none;

    pair = ngx_apigw_counter_snapshot(&table->pairs[slot]);

    if (pair.value & NGX_APIGW_COUNTER_DIRTY) {
        return NGX_DECLINED;
    }

    none.tag = 0;
    none.value = 0;

    /* first the number, then the deed: a crash in between costs a reread */

    set = slot / NGX_APIGW_COUNTER_WAYS;

    (void) ngx_atomic_fetch_add(&ngx_apigw_counter_evictions(table, set), 1);

    return ngx_apigw_pair_cas(&table->pairs[slot], &pair, none)
           ? NGX_OK : NGX_DECLINED;
}


void
ngx_apigw_counter_refreshed(ngx_apigw_counter_table_t *table, uint64_t version)
{
    /* it goes back if an older file was put in place of the store's */

    *table->refreshed = (ngx_atomic_uint_t) version;
}


ngx_int_t
ngx_apigw_counter_dirty(ngx_apigw_counter_table_t *table, ngx_uint_t slot,
    ngx_apigw_pair_t *pair, ngx_apigw_counter_info_t *info)
{
    if (!(table->pairs[slot].value & NGX_APIGW_COUNTER_DIRTY)) {
        return NGX_DECLINED;
    }

    if (ngx_apigw_counter_copy(table, slot, pair, info) != NGX_OK) {
        return NGX_DECLINED;
    }

    return (pair->value & NGX_APIGW_COUNTER_DIRTY) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_apigw_counter_copy(ngx_apigw_counter_table_t *table, ngx_uint_t slot,
    ngx_apigw_pair_t *pair, ngx_apigw_counter_info_t *info)
{
    if (table->pairs[slot].tag == 0) {
        return NGX_DECLINED;
    }

    *pair = ngx_apigw_counter_snapshot(&table->pairs[slot]);

    if (pair->tag == 0) {
        return NGX_DECLINED;
    }

    ngx_memcpy(info, &table->infos[slot], sizeof(ngx_apigw_counter_info_t));

    /* not a counter's, or those of two counters: it is just changing */

    if (info->check != ngx_apigw_counter_check(pair->tag, info)
        || (size_t) info->family + info->consumer > NGX_APIGW_COUNTER_NAME)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_apigw_counter_flushed(ngx_apigw_counter_table_t *table, ngx_uint_t slot,
    const ngx_apigw_pair_t *pair)
{
    ngx_apigw_pair_t  expect, set;

    expect = *pair;
    set.tag = pair->tag;
    set.value = pair->value & NGX_APIGW_COUNTER_VALUE;

    (void) ngx_apigw_pair_cas(&table->pairs[slot], &expect, set);
}


/* A sum over what names the counter, that also depends on the tag. */

static uint32_t
ngx_apigw_counter_check(uint64_t tag, ngx_apigw_counter_info_t *info)
{
    size_t                i;
    uint64_t              sum;
    ngx_apigw_hash_key_t  key;
    ngx_apigw_hash_t      hash;

    sum = tag;

    for (i = 0; i < 2; i++) {
        key.k[i] = sum;
        sum = ngx_apigw_counter_mix(sum + ((uint64_t) info->start << 32)
                                    + info->end + i);
    }

    ngx_apigw_hash(&hash, &key, &info->kind,
                   sizeof(ngx_apigw_counter_info_t)
                   - offsetof(ngx_apigw_counter_info_t, kind));

    return (uint32_t) (hash.h[0] ^ sum);
}


/* Both words as of one instant: a swap of the pair for itself. */

static ngx_apigw_pair_t
ngx_apigw_counter_snapshot(volatile ngx_apigw_pair_t *pair)
{
    ngx_apigw_pair_t  got;

    do {
        got = ngx_apigw_pair_get(pair);

    } while (!ngx_apigw_pair_cas(pair, &got, got));

    return got;
}
