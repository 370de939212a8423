/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_ledger.h"


/*
 * In shared memory as the table of the counters is: an array of first pairs,
 * an array of all the rest, and numbers that count evictions.  The work under
 * the zone's mutex is bounded by 16 entries of 13 numbers.
 */


static ngx_uint_t ngx_apigw_ledger_find_in(ngx_apigw_ledger_table_t *table,
    uint32_t set, uint64_t tag);
static ngx_uint_t ngx_apigw_ledger_find_left(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id);
static ngx_int_t ngx_apigw_ledger_mend(ngx_apigw_ledger_table_t *table,
    ngx_uint_t slot, uint64_t tag, const ngx_apigw_ledger_row_t *own);
static ngx_uint_t ngx_apigw_ledger_make_room(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id, ngx_uint_t *evicted);
static ngx_int_t ngx_apigw_ledger_evict(ngx_apigw_ledger_table_t *table,
    ngx_uint_t slot, uint64_t tag);
static ngx_int_t ngx_apigw_ledger_swap(ngx_apigw_ledger_table_t *table,
    ngx_uint_t slot, ngx_uint_t field, uint64_t old_tag, uint64_t old_value,
    uint64_t tag, uint64_t value);


#define NGX_APIGW_LEDGER_SET                                                  \
    (NGX_APIGW_LEDGER_WAYS * (sizeof(ngx_apigw_pair_t)                        \
                              + sizeof(ngx_apigw_ledger_entry_t)))


const char  *ngx_apigw_ledger_fields[NGX_APIGW_LEDGER_FIELDS] = {
    "requests", "status_1xx", "status_2xx", "status_3xx", "status_4xx",
    "status_5xx", "refused_rate", "refused_quota", "units_included",
    "units_overage", "bytes_in", "bytes_out", "time_ms"
};


size_t
ngx_apigw_ledger_size(uint32_t sets)
{
    return ngx_apigw_counter_space(sets, NGX_APIGW_LEDGER_SET);
}


uint32_t
ngx_apigw_ledger_sets(size_t size)
{
    return ngx_apigw_counter_fit(size, NGX_APIGW_LEDGER_SET);
}


void
ngx_apigw_ledger_map(ngx_apigw_ledger_table_t *table, void *memory,
    uint32_t sets)
{
    size_t  slots;

    slots = (size_t) sets * NGX_APIGW_LEDGER_WAYS;

    table->pairs = memory;
    table->entries = (ngx_apigw_ledger_entry_t *)
                     ((u_char *) memory + slots * sizeof(ngx_apigw_pair_t));
    table->evictions = (ngx_atomic_t *) (table->entries + slots);
    table->sets = sets;
}


ngx_uint_t
ngx_apigw_ledger_find(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id)
{
    ngx_uint_t  slot;

    slot = ngx_apigw_ledger_find_in(table, id->sets[0], id->tag);

    if (slot == NGX_APIGW_COUNTER_NONE) {
        slot = ngx_apigw_ledger_find_in(table, id->sets[1], id->tag);
    }

    return slot;
}


static ngx_uint_t
ngx_apigw_ledger_find_in(ngx_apigw_ledger_table_t *table, uint32_t set,
    uint64_t tag)
{
    ngx_uint_t  slot, last;

    slot = (ngx_uint_t) set * NGX_APIGW_LEDGER_WAYS;
    last = slot + NGX_APIGW_LEDGER_WAYS;

    for ( /* void */ ; slot < last; slot++) {
        if (__atomic_load_n(&table->pairs[slot].tag, __ATOMIC_ACQUIRE)
            == tag)
        {
            return slot;
        }
    }

    return NGX_APIGW_COUNTER_NONE;
}


ngx_int_t
ngx_apigw_ledger_add(ngx_apigw_ledger_table_t *table, ngx_uint_t slot,
    uint64_t tag, ngx_apigw_ledger_row_t *row)
{
    ngx_uint_t                  i;
    ngx_apigw_pair_t            pair, set;
    volatile ngx_apigw_pair_t  *counter, *rest;

    counter = &table->pairs[slot];
    rest = table->entries[slot].pairs;

    for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++, counter = rest++) {

        if (row->n[i] == 0) {
            continue;
        }

        pair = ngx_apigw_pair_get(counter);

        do {
            if (pair.tag != tag) {
                return NGX_AGAIN;
            }

            set.tag = tag;
            set.value = ((pair.value & NGX_APIGW_COUNTER_VALUE) + row->n[i])
                        | NGX_APIGW_COUNTER_DIRTY;

        } while (!ngx_apigw_pair_cas(counter, &pair, set));

        row->n[i] = 0;
    }

    return NGX_OK;
}


void
ngx_apigw_ledger_load_begin(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id, ngx_apigw_counter_load_t *load)
{
    load->evictions[0] = ngx_apigw_counter_evictions(table, id->sets[0]);
    load->evictions[1] = ngx_apigw_counter_evictions(table, id->sets[1]);

    ngx_memory_barrier();
}


ngx_int_t
ngx_apigw_ledger_insert(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_load_t *load,
    const ngx_apigw_ledger_row_t *own, ngx_apigw_ledger_info_t *info,
    ngx_uint_t *slot, ngx_uint_t *evicted)
{
    ngx_uint_t  n;

    *evicted = 0;

    /* see ngx_apigw_counter_insert() */

    if (load->evictions[0] != ngx_apigw_counter_evictions(table, id->sets[0])
        || load->evictions[1]
           != ngx_apigw_counter_evictions(table, id->sets[1]))
    {
        return NGX_AGAIN;
    }

    n = ngx_apigw_ledger_find(table, id);

    if (n == NGX_APIGW_COUNTER_NONE) {
        n = ngx_apigw_ledger_find_left(table, id);
    }

    if (n == NGX_APIGW_COUNTER_NONE) {
        n = ngx_apigw_ledger_make_room(table, id, evicted);

        if (n == NGX_APIGW_COUNTER_NONE) {
            return NGX_DECLINED;
        }

        info->tag = id->tag;
        info->check = ngx_apigw_ledger_check(info);

        table->entries[n].info = *info;
    }

    *slot = n;

    /* the first number comes last: it is what the entry is found by */

    return ngx_apigw_ledger_mend(table, n, id->tag, own);
}


/* An entry without its first number: just evicted, or only halfway. */

static ngx_uint_t
ngx_apigw_ledger_find_left(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id)
{
    ngx_uint_t  i, slot;

    for (i = 0; i < 2 * NGX_APIGW_LEDGER_WAYS; i++) {
        slot = id->sets[i / NGX_APIGW_LEDGER_WAYS]
               * (ngx_uint_t) NGX_APIGW_LEDGER_WAYS
               + i % NGX_APIGW_LEDGER_WAYS;

        if (table->pairs[slot].tag == 0
            && table->entries[slot].info.tag == id->tag
            && table->entries[slot].info.check
               == ngx_apigw_ledger_check(&table->entries[slot].info))
        {
            return slot;
        }
    }

    return NGX_APIGW_COUNTER_NONE;
}


/* Puts what was read in the place of every number that is not there. */

static ngx_int_t
ngx_apigw_ledger_mend(ngx_apigw_ledger_table_t *table, ngx_uint_t slot,
    uint64_t tag, const ngx_apigw_ledger_row_t *own)
{
    ngx_uint_t                  i;
    ngx_apigw_pair_t            pair, set;
    volatile ngx_apigw_pair_t  *counter;

    i = NGX_APIGW_LEDGER_FIELDS;

    while (i--) {
        counter = ngx_apigw_ledger_pair(table, slot, i);

        if (counter->tag == tag) {
            continue;
        }

        pair = ngx_apigw_pair_get(counter);

        set.tag = tag;
        set.value = own->n[i] & NGX_APIGW_COUNTER_VALUE;

        if (!ngx_apigw_pair_cas(counter, &pair, set)) {
            return NGX_AGAIN;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_apigw_ledger_make_room(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id, ngx_uint_t *evicted)
{
    uint64_t    tag;
    ngx_uint_t  i, k, n, slot, turn, room[2], place[2];

    turn = ngx_apigw_counter_evictions(table, id->sets[0]);

    room[0] = 0;
    room[1] = 0;

    for (i = 0; i < 2 * NGX_APIGW_LEDGER_WAYS; i++) {
        k = i / NGX_APIGW_LEDGER_WAYS;
        slot = id->sets[k] * (ngx_uint_t) NGX_APIGW_LEDGER_WAYS
               + i % NGX_APIGW_LEDGER_WAYS;

        /* the first one, so that it is found soon */

        if (table->pairs[slot].tag == 0
            && !ngx_apigw_ledger_unwritten(table, slot)
            && room[k]++ == 0)
        {
            place[k] = slot;
        }
    }

    /* the emptier set: so they fill evenly, and both are hardly ever full */

    if (room[0] || room[1]) {
        return place[room[1] > room[0]];
    }

    for (i = 0; i < 2 * NGX_APIGW_LEDGER_WAYS; i++) {
        n = (i + turn) % NGX_APIGW_LEDGER_WAYS;
        slot = id->sets[i / NGX_APIGW_LEDGER_WAYS]
               * (ngx_uint_t) NGX_APIGW_LEDGER_WAYS + n;

        tag = table->pairs[slot].tag;

        if (tag && ngx_apigw_ledger_evict(table, slot, tag) == NGX_OK) {
            *evicted = 1;
            return slot;
        }
    }

    return NGX_APIGW_COUNTER_NONE;
}


ngx_uint_t
ngx_apigw_ledger_unwritten(ngx_apigw_ledger_table_t *table, ngx_uint_t slot)
{
    uint64_t                    tag;
    ngx_uint_t                  i;
    volatile ngx_apigw_pair_t  *counter;

    tag = table->entries[slot].info.tag;

    for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++) {
        counter = ngx_apigw_ledger_pair(table, slot, i);

        if ((counter->value & NGX_APIGW_COUNTER_DIRTY)
            && counter->tag == tag)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * The first number goes first, so nobody finds the entry any more; whoever has
 * found it before cannot add to a number that is gone.  If one of them turns
 * out to be dirty, those that were removed are put back.
 */

static ngx_int_t
ngx_apigw_ledger_evict(ngx_apigw_ledger_table_t *table, ngx_uint_t slot,
    uint64_t tag)
{
    ngx_uint_t              i, set, gone;
    ngx_apigw_pair_t        pair;
    ngx_apigw_ledger_row_t  row;

    if (ngx_apigw_ledger_unwritten(table, slot)) {
        return NGX_DECLINED;
    }

    set = slot / NGX_APIGW_LEDGER_WAYS;

    (void) ngx_atomic_fetch_add(&ngx_apigw_counter_evictions(table, set), 1);

    gone = 0;

    for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++) {
        pair = ngx_apigw_pair_get(ngx_apigw_ledger_pair(table, slot, i));

        if (pair.tag != tag) {
            continue;
        }

        row.n[i] = pair.value;

        if ((pair.value & NGX_APIGW_COUNTER_DIRTY)
            || ngx_apigw_ledger_swap(table, slot, i, tag, row.n[i], 0, 0)
               != NGX_OK)
        {
            break;
        }

        gone |= (ngx_uint_t) 1 << i;
    }

    if (i == NGX_APIGW_LEDGER_FIELDS) {
        return NGX_OK;
    }

    while (i--) {
        if (gone & ((ngx_uint_t) 1 << i)) {
            (void) ngx_apigw_ledger_swap(table, slot, i, 0, 0, tag, row.n[i]);
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_apigw_ledger_swap(ngx_apigw_ledger_table_t *table, ngx_uint_t slot,
    ngx_uint_t field, uint64_t old_tag, uint64_t old_value, uint64_t tag,
    uint64_t value)
{
    ngx_apigw_pair_t  expect, set;

    expect.tag = old_tag;
    expect.value = old_value;

    set.tag = tag;
    set.value = value;

    return ngx_apigw_pair_cas(ngx_apigw_ledger_pair(table, slot, field),
                              &expect, set)
           ? NGX_OK : NGX_DECLINED;
}
