/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_uses.h"


#define ngx_apigw_key_uses_count(value)  ((uint32_t) (value))
#define ngx_apigw_key_uses_last(value)   ((uint32_t) ((value) >> 32))

#define ngx_apigw_key_uses_tag(use)                                           \
    __atomic_load_n(&(use)->pair.tag, __ATOMIC_RELAXED)

#define ngx_apigw_key_uses_flushed(use)                                       \
    __atomic_load_n(&(use)->flushed, __ATOMIC_RELAXED)

/* how many are to be flushed */

#define ngx_apigw_key_uses_new(use, value)                                    \
    (ngx_apigw_key_uses_count(value) - ngx_apigw_key_uses_flushed(use))


static ngx_int_t ngx_apigw_key_uses_count_in(ngx_apigw_key_use_t *use,
    uint64_t tag, time_t now);
static void ngx_apigw_key_uses_set(ngx_apigw_key_use_t *use, uint64_t tag,
    uint64_t value);


ngx_int_t
ngx_apigw_key_uses_init(ngx_apigw_key_uses_t *uses, void *memory, size_t size)
{
    size_t      set;
    ngx_uint_t  n;

    set = NGX_APIGW_KEY_USES_WAYS * sizeof(ngx_apigw_key_use_t);

    if (size < set) {
        return NGX_ERROR;
    }

    for (n = 1; n * 2 * set <= size; n *= 2) { /* void */ }

    uses->sets = n;
    uses->slots = memory;

    if (ngx_apigw_hash_new_key(&uses->name) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_apigw_hash_new_key(&uses->secret);
}


void
ngx_apigw_key_uses_hash(ngx_apigw_key_uses_t *uses, ngx_apigw_hash_t *hash,
    ngx_str_t *id)
{
    ngx_apigw_hash_half(hash, &uses->secret, id->data, id->len);

    /* a tag is never zero */

    hash->h[0] |= 1;
}


ngx_int_t
ngx_apigw_key_uses_add(ngx_apigw_key_uses_t *uses, ngx_apigw_hash_t *hash,
    ngx_uint_t *slot, time_t now)
{
    ngx_uint_t  i, n;

    if (ngx_apigw_key_uses_count_in(&uses->slots[*slot], hash->h[0], now)
        == NGX_OK)
    {
        return NGX_OK;
    }

    n = (hash->h[1] & (uses->sets - 1)) * NGX_APIGW_KEY_USES_WAYS;

    for (i = n; i < n + NGX_APIGW_KEY_USES_WAYS; i++) {
        if (ngx_apigw_key_uses_tag(&uses->slots[i]) == hash->h[0]
            && ngx_apigw_key_uses_count_in(&uses->slots[i], hash->h[0], now)
               == NGX_OK)
        {
            *slot = i;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_apigw_key_uses_count_in(ngx_apigw_key_use_t *use, uint64_t tag, time_t now)
{
    uint32_t          count;
    ngx_apigw_pair_t  expect, set;

    if (ngx_apigw_key_uses_tag(use) != tag) {
        return NGX_DECLINED;
    }

    expect = ngx_apigw_pair_get(&use->pair);
    set.tag = tag;

    while (expect.tag == tag) {

        count = ngx_apigw_key_uses_count(expect.value) + 1;

        if (count == ngx_apigw_key_uses_flushed(use)) {

            /* all of 32 bits wait to be flushed */

            return NGX_OK;
        }

        set.value = (uint64_t) now << 32 | count;

        if (ngx_apigw_pair_cas(&use->pair, &expect, set)) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_apigw_key_uses_insert(ngx_apigw_key_uses_t *uses, ngx_apigw_hash_t *hash,
    ngx_str_t *id, ngx_uint_t *slot, time_t now)
{
    ngx_uint_t            i, n;
    ngx_apigw_pair_t      pair, none;
    ngx_apigw_key_use_t  *use;

    /* another worker may have been faster */

    if (ngx_apigw_key_uses_add(uses, hash, slot, now) == NGX_OK) {
        return NGX_OK;
    }

    none.tag = 0;
    none.value = 0;

    n = (hash->h[1] & (uses->sets - 1)) * NGX_APIGW_KEY_USES_WAYS;

    for (i = n; i < n + NGX_APIGW_KEY_USES_WAYS; i++) {

        use = &uses->slots[i];
        pair = ngx_apigw_pair_get(&use->pair);

        if ((pair.tag && ngx_apigw_key_uses_new(use, pair.value))
            || !ngx_apigw_pair_cas(&use->pair, &pair, none))
        {
            continue;
        }

        /* nobody counts here now */

        use->flushed = 0;
        use->len = (u_char) id->len;
        ngx_memcpy(use->id, id->data, id->len);

        ngx_apigw_key_uses_set(use, hash->h[0], (uint64_t) now << 32 | 1);

        *slot = i;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


static void
ngx_apigw_key_uses_set(ngx_apigw_key_use_t *use, uint64_t tag, uint64_t value)
{
    ngx_apigw_pair_t  expect, set;

    expect = ngx_apigw_pair_get(&use->pair);

    set.tag = tag;
    set.value = value;

    while (!ngx_apigw_pair_cas(&use->pair, &expect, set)) { /* void */ }
}


ngx_uint_t
ngx_apigw_key_uses_next(ngx_apigw_key_uses_t *uses, ngx_uint_t *pos)
{
    ngx_uint_t            n;
    ngx_apigw_pair_t      pair;
    ngx_apigw_key_use_t  *use;

    n = uses->sets * NGX_APIGW_KEY_USES_WAYS;

    for ( /* void */ ; *pos < n; (*pos)++) {

        use = &uses->slots[*pos];
        pair = ngx_apigw_pair_get(&use->pair);

        if (pair.tag && ngx_apigw_key_uses_new(use, pair.value)) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_apigw_key_uses_copy(ngx_apigw_key_uses_t *uses, ngx_uint_t slot,
    ngx_apigw_key_use_copy_t *copy)
{
    ngx_apigw_pair_t      pair;
    ngx_apigw_key_use_t  *use;

    use = &uses->slots[slot];
    pair = ngx_apigw_pair_get(&use->pair);

    if (pair.tag == 0
        || ngx_apigw_key_uses_new(use, pair.value) == 0
        || use->len == 0 || use->len > NGX_APIGW_KEY_ID_MAX)
    {
        return NGX_DECLINED;
    }

    copy->tag = pair.tag;
    copy->last = ngx_apigw_key_uses_last(pair.value);
    copy->count = ngx_apigw_key_uses_new(use, pair.value);
    copy->flushed = ngx_apigw_key_uses_count(pair.value);
    copy->slot = slot;
    copy->id.len = use->len;
    copy->id.data = copy->data;

    ngx_memcpy(copy->data, use->id, use->len);

    return NGX_OK;
}


void
ngx_apigw_key_uses_begin(ngx_apigw_key_uses_t *uses,
    ngx_apigw_key_use_copy_t *copies, ngx_uint_t n)
{
    ngx_uint_t                 i;
    ngx_apigw_key_use_note_t  *note;

    for (i = 0; i < n; i++) {
        note = &uses->notes[i];

        note->tag = copies[i].tag;
        note->slot = (uint32_t) copies[i].slot;
        note->flushed = copies[i].flushed;
    }

    uses->batch++;

    /* whoever finds a number of notes finds the notes */

    __atomic_store_n(&uses->pending, n, __ATOMIC_RELEASE);
}


void
ngx_apigw_key_uses_end(ngx_apigw_key_uses_t *uses, ngx_uint_t committed)
{
    ngx_uint_t                 i, n;
    ngx_apigw_pair_t           pair;
    ngx_apigw_key_use_t       *use;
    ngx_apigw_key_use_note_t  *note;

    n = committed ? ngx_min(uses->pending, NGX_APIGW_KEY_USES_BATCH) : 0;

    for (i = 0; i < n; i++) {
        note = &uses->notes[i];

        if (note->slot >= uses->sets * NGX_APIGW_KEY_USES_WAYS) {
            continue;
        }

        use = &uses->slots[note->slot];
        pair = ngx_apigw_pair_get(&use->pair);

        /* done before, and the slot may be another key's meanwhile */

        if (pair.tag == note->tag
            && ngx_apigw_key_uses_count(pair.value) - note->flushed
               <= ngx_apigw_key_uses_new(use, pair.value))
        {
            __atomic_store_n(&use->flushed, note->flushed, __ATOMIC_RELEASE);
        }
    }

    __atomic_store_n(&uses->pending, 0, __ATOMIC_RELEASE);
}
