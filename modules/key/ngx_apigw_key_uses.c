/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_uses.h"


#define NGX_APIGW_KEY_USES_MAX  0xffffffff

#define ngx_apigw_key_uses_count(value)  ((uint32_t) (value))
#define ngx_apigw_key_uses_last(value)   ((uint32_t) ((value) >> 32))


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

    return ngx_apigw_hash_new_key(&uses->secret);
}


void
ngx_apigw_key_uses_hash(ngx_apigw_key_uses_t *uses, ngx_apigw_hash_t *hash,
    ngx_str_t *id)
{
    ngx_apigw_hash(hash, &uses->secret, id->data, id->len);

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
        if (ngx_apigw_key_uses_count_in(&uses->slots[i], hash->h[0], now)
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
    ngx_apigw_pair_t  expect, set;

    expect = ngx_apigw_pair_get(&use->pair);
    set.tag = tag;

    while (expect.tag == tag) {

        if (ngx_apigw_key_uses_count(expect.value) == NGX_APIGW_KEY_USES_MAX) {
            return NGX_OK;
        }

        set.value = (uint64_t) now << 32
                    | (ngx_apigw_key_uses_count(expect.value) + 1);

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

        if (ngx_apigw_key_uses_count(pair.value) != 0
            || !ngx_apigw_pair_cas(&use->pair, &pair, none))
        {
            continue;
        }

        /* nobody counts here now */

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
    ngx_uint_t        n;
    ngx_apigw_pair_t  pair;

    n = uses->sets * NGX_APIGW_KEY_USES_WAYS;

    for ( /* void */ ; *pos < n; (*pos)++) {

        pair = ngx_apigw_pair_get(&uses->slots[*pos].pair);

        if (pair.tag && ngx_apigw_key_uses_count(pair.value)) {
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
        || ngx_apigw_key_uses_count(pair.value) == 0
        || use->len == 0 || use->len > NGX_APIGW_KEY_ID_MAX)
    {
        return NGX_DECLINED;
    }

    copy->tag = pair.tag;
    copy->last = ngx_apigw_key_uses_last(pair.value);
    copy->count = ngx_apigw_key_uses_count(pair.value);
    copy->slot = slot;
    copy->id.len = use->len;
    copy->id.data = copy->data;

    ngx_memcpy(copy->data, use->id, use->len);

    return NGX_OK;
}


void
ngx_apigw_key_uses_flushed(ngx_apigw_key_uses_t *uses,
    ngx_apigw_key_use_copy_t *copy)
{
    ngx_apigw_pair_t      expect, set;
    ngx_apigw_key_use_t  *use;

    use = &uses->slots[copy->slot];
    expect = ngx_apigw_pair_get(&use->pair);

    do {
        if (expect.tag != copy->tag
            || ngx_apigw_key_uses_count(expect.value) < copy->count)
        {
            return;
        }

        set.tag = expect.tag;
        set.value = expect.value - copy->count;

    } while (!ngx_apigw_pair_cas(&use->pair, &expect, set));
}
