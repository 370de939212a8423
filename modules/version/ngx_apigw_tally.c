/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_tally.h"


/*
 * In shared memory: an array of pairs and one of what names them.  The work
 * under the zone's mutex is bounded by the 16 slots of two sets.
 */


#define NGX_APIGW_TALLY_DIGEST  (2 * sizeof(ngx_apigw_hash_t))


static ngx_uint_t ngx_apigw_tally_find(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id);
static ngx_uint_t ngx_apigw_tally_find_in(ngx_apigw_tally_table_t *table,
    uint32_t set, uint64_t tag);
static ngx_uint_t ngx_apigw_tally_make_room(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id, ngx_uint_t *evicted);
static ngx_int_t ngx_apigw_tally_swap(ngx_apigw_tally_table_t *table,
    ngx_uint_t slot, const ngx_apigw_pair_t *old, uint64_t tag,
    uint64_t value);
static u_char ngx_apigw_tally_caller(u_char *p, const ngx_str_t *caller);
static uint32_t ngx_apigw_tally_check(const ngx_apigw_tally_info_t *info);


size_t
ngx_apigw_tally_size(uint32_t sets)
{
    return (size_t) sets * NGX_APIGW_TALLY_WAYS
           * (sizeof(ngx_apigw_pair_t) + sizeof(ngx_apigw_tally_info_t));
}


uint32_t
ngx_apigw_tally_sets(size_t size)
{
    size_t  n;

    n = size / ngx_apigw_tally_size(1);

    return (uint32_t) ngx_min(n, 0xffffffff);
}


void
ngx_apigw_tally_map(ngx_apigw_tally_table_t *table, void *memory,
    uint32_t sets, ngx_atomic_t *lives)
{
    table->pairs = memory;
    table->infos = (ngx_apigw_tally_info_t *)
                   ((u_char *) memory + (size_t) sets * NGX_APIGW_TALLY_WAYS
                                        * sizeof(ngx_apigw_pair_t));
    table->lives = lives;
    table->sets = sets;
}


void
ngx_apigw_tally_name(ngx_apigw_tally_info_t *info, uint32_t day,
    const ngx_str_t *api, const ngx_str_t *version, ngx_uint_t source,
    const ngx_str_t *caller)
{
    u_char  *p;

    ngx_memzero(info, sizeof(ngx_apigw_tally_info_t));

    info->day = day;
    info->source = (u_char) source;

    info->api = (u_char) ngx_min(api->len, NGX_APIGW_TALLY_LABEL);
    p = ngx_cpymem(info->names, api->data, info->api);

    if (version) {
        info->version = (u_char) ngx_min(version->len, NGX_APIGW_TALLY_LABEL);
        p = ngx_cpymem(p, version->data, info->version);
    }

    if (caller) {
        info->caller = ngx_apigw_tally_caller(p, caller);
    }
}


/* A shortened name is as long as nothing else: it is marked by that. */

static u_char
ngx_apigw_tally_caller(u_char *p, const ngx_str_t *caller)
{
    size_t                i;
    u_char               *byte;
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key;

    static const u_char  hex[] = "0123456789abcdef";

    if (caller->len < NGX_APIGW_TALLY_CALLER) {
        ngx_memcpy(p, caller->data, caller->len);
        return (u_char) caller->len;
    }

    p = ngx_cpymem(p, caller->data,
                   NGX_APIGW_TALLY_CALLER - 1 - NGX_APIGW_TALLY_DIGEST);
    *p++ = '~';

    /* the same name on every machine and after every start */

    key.k[0] = 0;
    key.k[1] = 0;

    ngx_apigw_hash(&hash, &key, caller->data, caller->len);

    byte = (u_char *) &hash;

    for (i = 0; i < sizeof(ngx_apigw_hash_t); i++) {
        *p++ = hex[byte[i] >> 4];
        *p++ = hex[byte[i] & 15];
    }

    return NGX_APIGW_TALLY_CALLER;
}


static ngx_uint_t
ngx_apigw_tally_find(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id)
{
    ngx_uint_t  slot;

    slot = ngx_apigw_tally_find_in(table, id->sets[0], id->tag);

    if (slot == NGX_APIGW_TALLY_NONE) {
        slot = ngx_apigw_tally_find_in(table, id->sets[1], id->tag);
    }

    return slot;
}


static ngx_uint_t
ngx_apigw_tally_find_in(ngx_apigw_tally_table_t *table, uint32_t set,
    uint64_t tag)
{
    ngx_uint_t  slot, last;

    slot = (ngx_uint_t) set * NGX_APIGW_TALLY_WAYS;
    last = slot + NGX_APIGW_TALLY_WAYS;

    for ( /* void */ ; slot < last; slot++) {
        if (__atomic_load_n(&table->pairs[slot].tag, __ATOMIC_ACQUIRE)
            == tag)
        {
            return slot;
        }
    }

    return NGX_APIGW_TALLY_NONE;
}


ngx_int_t
ngx_apigw_tally_count(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id, uint32_t second)
{
    uint64_t          calls, last;
    ngx_uint_t        slot;
    ngx_apigw_pair_t  pair, set;

    slot = ngx_apigw_tally_find(table, id);

    if (slot == NGX_APIGW_TALLY_NONE) {
        return NGX_DECLINED;
    }

    pair = ngx_apigw_pair_get(&table->pairs[slot]);

    do {
        if (pair.tag != id->tag) {
            return NGX_DECLINED;
        }

        calls = pair.value & NGX_APIGW_TALLY_CALLS;
        last = (pair.value & ~NGX_APIGW_TALLY_DIRTY) >> NGX_APIGW_TALLY_SHIFT;

        calls += (calls != NGX_APIGW_TALLY_CALLS);
        last = ngx_max(last, second);

        set.tag = pair.tag;
        set.value = NGX_APIGW_TALLY_DIRTY | last << NGX_APIGW_TALLY_SHIFT
                    | calls;

    } while (!ngx_apigw_pair_cas(&table->pairs[slot], &pair, set));

    return NGX_OK;
}


ngx_int_t
ngx_apigw_tally_insert(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id, ngx_apigw_tally_info_t *info,
    uint32_t second, ngx_uint_t *evicted)
{
    ngx_uint_t        slot;
    ngx_apigw_pair_t  none;

    *evicted = 0;

    /* somebody may have been faster; nobody evicts it now */

    if (ngx_apigw_tally_count(table, id, second) == NGX_OK) {
        return NGX_OK;
    }

    slot = ngx_apigw_tally_make_room(table, id, evicted);

    if (slot == NGX_APIGW_TALLY_NONE) {
        return NGX_DECLINED;
    }

    info->tag = id->tag;
    info->life = ngx_atomic_fetch_add(table->lives, 1) + 1;
    info->check = ngx_apigw_tally_check(info);

    table->infos[slot] = *info;

    none.tag = 0;
    none.value = 0;

    return ngx_apigw_tally_swap(table, slot, &none, id->tag,
                                NGX_APIGW_TALLY_DIRTY
                                | (uint64_t) second << NGX_APIGW_TALLY_SHIFT
                                | 1);
}


/* A free slot, else that of a clean entry, in turn. */

static ngx_uint_t
ngx_apigw_tally_make_room(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id, ngx_uint_t *evicted)
{
    ngx_uint_t        i, slot, turn;
    ngx_apigw_pair_t  pair;

    for (i = 0; i < 2 * NGX_APIGW_TALLY_WAYS; i++) {
        slot = id->sets[i / NGX_APIGW_TALLY_WAYS]
               * (ngx_uint_t) NGX_APIGW_TALLY_WAYS + i % NGX_APIGW_TALLY_WAYS;

        if (table->pairs[slot].tag == 0) {
            return slot;
        }
    }

    turn = *table->lives;

    for (i = 0; i < 2 * NGX_APIGW_TALLY_WAYS; i++) {
        slot = id->sets[i / NGX_APIGW_TALLY_WAYS]
               * (ngx_uint_t) NGX_APIGW_TALLY_WAYS
               + (i + turn) % NGX_APIGW_TALLY_WAYS;

        pair = ngx_apigw_pair_get(&table->pairs[slot]);

        if (!(pair.value & NGX_APIGW_TALLY_DIRTY)
            && ngx_apigw_tally_swap(table, slot, &pair, 0, 0) == NGX_OK)
        {
            *evicted = 1;
            return slot;
        }
    }

    return NGX_APIGW_TALLY_NONE;
}


ngx_int_t
ngx_apigw_tally_dirty(ngx_apigw_tally_table_t *table, ngx_uint_t slot,
    ngx_apigw_tally_note_t *note, ngx_apigw_tally_info_t *info)
{
    ngx_apigw_pair_t           pair;
    volatile ngx_apigw_pair_t  *counter;

    counter = &table->pairs[slot];

    if (!(counter->value & NGX_APIGW_TALLY_DIRTY)) {
        return NGX_DECLINED;
    }

    *info = table->infos[slot];

    if (info->check != ngx_apigw_tally_check(info)) {
        return NGX_DECLINED;
    }

    ngx_memory_barrier();

    /* a swap for itself: both words as of one instant */

    do {
        pair = ngx_apigw_pair_get(counter);

    } while (!ngx_apigw_pair_cas(counter, &pair, pair));

    /*
     * The same life before and after: the value is of that life.  A name is
     * written only while there is no tag.
     */

    if (pair.tag != info->tag
        || table->infos[slot].life != info->life
        || !(pair.value & NGX_APIGW_TALLY_DIRTY))
    {
        return NGX_DECLINED;
    }

    note->slot = slot;
    note->life = info->life;
    note->tag = pair.tag;
    note->value = pair.value;

    return NGX_OK;
}


void
ngx_apigw_tally_written(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_note_t *note)
{
    ngx_apigw_pair_t  old;

    /* a later life of the same entry may have come to the same value */

    if (table->infos[note->slot].life != note->life) {
        return;
    }

    old.tag = note->tag;
    old.value = note->value;

    (void) ngx_apigw_tally_swap(table, note->slot, &old, note->tag,
                                note->value & ~NGX_APIGW_TALLY_DIRTY);
}


static ngx_int_t
ngx_apigw_tally_swap(ngx_apigw_tally_table_t *table, ngx_uint_t slot,
    const ngx_apigw_pair_t *old, uint64_t tag, uint64_t value)
{
    ngx_apigw_pair_t  expect, set;

    expect = *old;

    set.tag = tag;
    set.value = value;

    return ngx_apigw_pair_cas(&table->pairs[slot], &expect, set)
           ? NGX_OK : NGX_DECLINED;
}


/* A sum over what names the entry. */

static uint32_t
ngx_apigw_tally_check(const ngx_apigw_tally_info_t *info)
{
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key;

    key.k[0] = info->tag ^ info->day;
    key.k[1] = info->life;

    ngx_apigw_hash(&hash, &key, &info->api,
                   sizeof(ngx_apigw_tally_info_t)
                   - offsetof(ngx_apigw_tally_info_t, api));

    return (uint32_t) hash.h[0];
}
