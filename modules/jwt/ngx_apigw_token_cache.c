/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_atomic.h"
#include "ngx_apigw_token_cache.h"
#include "ngx_apigw_token_hash.h"


#define NGX_APIGW_TOKEN_CELL      64
#define NGX_APIGW_TOKEN_WORDS     8      /* in a cell */
#define NGX_APIGW_TOKEN_CELLS     121
#define NGX_APIGW_TOKEN_PLACES    48
#define NGX_APIGW_TOKEN_TRIES     4
#define NGX_APIGW_TOKEN_REFUSALS  32     /* one byte in so many is theirs */

#define NGX_APIGW_TOKEN_NONE      0xffff /* the length of no value */


/*
 * An entry is a run of cells: a head, which is the first of them, and the
 * data.  A place is a word that tells where an entry is: 32 bits of its hash,
 * its first cell and the number of its cells; 0 is a free place.
 */

typedef struct {
    uint64_t             sequence;       /* odd: it is being written */
    uint64_t             next;           /* cell of the ring */
    uint64_t             reserved[6];
    uint64_t             places[NGX_APIGW_TOKEN_PLACES];
    uint64_t             cells[NGX_APIGW_TOKEN_CELLS][NGX_APIGW_TOKEN_WORDS];
} ngx_apigw_token_set_t;


enum {
    NGX_APIGW_TOKEN_HASH0 = 0,           /* words of the head */
    NGX_APIGW_TOKEN_HASH1,
    NGX_APIGW_TOKEN_POLICY,
    NGX_APIGW_TOKEN_GENERATION,
    NGX_APIGW_TOKEN_FROM,
    NGX_APIGW_TOKEN_UNTIL,
    NGX_APIGW_TOKEN_REVISION,
    NGX_APIGW_TOKEN_LEN
};


struct ngx_apigw_token_cache_s {
    ngx_apigw_token_hash_key_t   key;
    uint64_t                     sets;
    uint64_t                     refusals;   /* a power of two */
    ngx_apigw_token_set_t       *set;
    ngx_apigw_pair_t            *refusal;    /* tag, until << 8 | verdict */
    uint64_t                     stored;
    uint64_t                     evicted;
    uint64_t                     oversized;
};


typedef char  ngx_apigw_token_set_is_8k
    [sizeof(ngx_apigw_token_set_t) == 8192 ? 1 : -1];


static ngx_apigw_token_set_t *ngx_apigw_token_set(
    const ngx_apigw_token_cache_t *cache, const ngx_apigw_token_id_t *id,
    uint32_t *tag);
static ngx_int_t ngx_apigw_token_read(const ngx_apigw_token_set_t *set,
    uint32_t tag, const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry);
static ngx_int_t ngx_apigw_token_copy(const ngx_apigw_token_set_t *set,
    uint64_t place, const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry);
static ngx_int_t ngx_apigw_token_refused(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry);
static ngx_apigw_pair_t *ngx_apigw_token_refusal(
    const ngx_apigw_token_cache_t *cache, const ngx_apigw_token_id_t *id,
    uint64_t *tag);
static uint64_t ngx_apigw_token_mix(uint64_t policy, uint64_t generation);
static ngx_uint_t ngx_apigw_token_make_room(ngx_apigw_token_set_t *set,
    uint64_t first, uint64_t n, uint32_t tag, uint64_t now);
static uint64_t *ngx_apigw_token_free_place(ngx_apigw_token_set_t *set,
    uint32_t tag, uint64_t now, ngx_uint_t *evicted);
static ngx_uint_t ngx_apigw_token_holds(const ngx_apigw_token_set_t *set,
    uint64_t place, uint64_t now);
static void ngx_apigw_token_write(ngx_apigw_token_set_t *set, uint64_t first,
    const ngx_apigw_token_id_t *id, const ngx_apigw_token_entry_t *entry);
static u_char *ngx_apigw_token_values(u_char *data, size_t len,
    ngx_str_t *values, ngx_uint_t n);


#define ngx_apigw_token_load(p)      __atomic_load_n(p, __ATOMIC_RELAXED)
#define ngx_apigw_token_store(p, v)  __atomic_store_n(p, v, __ATOMIC_RELAXED)

#define ngx_apigw_token_place(tag, first, n)                                  \
    ((uint64_t) (tag) << 32 | (first) << 16 | (n))

#define ngx_apigw_token_place_tag(place)    ((uint32_t) ((place) >> 32))
#define ngx_apigw_token_place_first(place)  ((place) >> 16 & 0xffff)
#define ngx_apigw_token_place_cells(place)  ((place) & 0xffff)


ngx_apigw_token_cache_t *
ngx_apigw_token_cache_create(void *block, size_t size)
{
    u_char                   *p;
    size_t                    pairs;
    ngx_apigw_token_cache_t  *cache;

    if (size < NGX_APIGW_TOKEN_CACHE_MIN) {
        return NULL;
    }

    cache = block;

    for (pairs = 1;
         pairs * 2 * sizeof(ngx_apigw_pair_t)
         <= size / NGX_APIGW_TOKEN_REFUSALS;
         pairs *= 2)
    {
        /* void */
    }

    p = (u_char *) block + ngx_align(sizeof(ngx_apigw_token_cache_t),
                                     NGX_APIGW_TOKEN_CELL);
    cache->refusal = (ngx_apigw_pair_t *) p;
    cache->refusals = pairs;

    p += ngx_align(pairs * sizeof(ngx_apigw_pair_t), NGX_APIGW_TOKEN_CELL);
    size -= p - (u_char *) block;

    cache->set = (ngx_apigw_token_set_t *) p;
    cache->sets = size / sizeof(ngx_apigw_token_set_t);

    if (ngx_apigw_token_hash_new_key(&cache->key) != NGX_OK) {
        return NULL;
    }

    return cache;
}


void
ngx_apigw_token_cache_hash(const ngx_apigw_token_cache_t *cache,
    ngx_apigw_token_id_t *id, const ngx_str_t *token)
{
    ngx_apigw_token_hash(&id->hash, &cache->key, token->data, token->len);
}


ngx_int_t
ngx_apigw_token_cache_get(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry)
{
    uint32_t                tag;
    uint64_t                sequence;
    ngx_int_t               rc;
    ngx_uint_t              tries;
    ngx_apigw_token_set_t  *set;

    set = ngx_apigw_token_set(cache, id, &tag);

    for (tries = 0; tries < NGX_APIGW_TOKEN_TRIES; tries++) {

        sequence = __atomic_load_n(&set->sequence, __ATOMIC_ACQUIRE);

        if (sequence & 1) {
            ngx_cpu_pause();
            continue;
        }

        rc = ngx_apigw_token_read(set, tag, id, now, entry);

        __atomic_thread_fence(__ATOMIC_ACQUIRE);

        if (ngx_apigw_token_load(&set->sequence) != sequence) {
            continue;
        }

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        break;
    }

    return ngx_apigw_token_refused(cache, id, now, entry);
}


/* The same token under two policies may lie in two sets. */

static ngx_apigw_token_set_t *
ngx_apigw_token_set(const ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint32_t *tag)
{
    uint64_t  mix;

    mix = ngx_apigw_token_mix(id->policy, 0);

    *tag = (uint32_t) ((id->hash.h[1] ^ mix) >> 32);

    return &cache->set[(((id->hash.h[0] ^ mix) >> 32) * cache->sets) >> 32];
}


static uint64_t
ngx_apigw_token_mix(uint64_t policy, uint64_t generation)
{
    return (policy ^ generation * 0xff51afd7ed558ccdULL)
           * 0x9e3779b97f4a7c15ULL;
}


/* Nearly always an entry is at the first place that is looked at. */

static ngx_int_t
ngx_apigw_token_read(const ngx_apigw_token_set_t *set, uint32_t tag,
    const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry)
{
    uint64_t    place;
    ngx_uint_t  i, n;

    n = tag % NGX_APIGW_TOKEN_PLACES;

    for (i = 0; i < NGX_APIGW_TOKEN_PLACES; i++) {

        place = ngx_apigw_token_load(&set->places[n]);

        if (ngx_apigw_token_place_tag(place) == tag
            && ngx_apigw_token_copy(set, place, id, now, entry) == NGX_OK)
        {
            return NGX_OK;
        }

        if (++n == NGX_APIGW_TOKEN_PLACES) {
            n = 0;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_apigw_token_copy(const ngx_apigw_token_set_t *set, uint64_t place,
    const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry)
{
    uint64_t         len, word, first, n;
    ngx_uint_t       i;
    const uint64_t  *head;

    first = ngx_apigw_token_place_first(place);
    n = ngx_apigw_token_place_cells(place);

    if (n == 0 || first + n > NGX_APIGW_TOKEN_CELLS) {
        return NGX_DECLINED;
    }

    head = set->cells[first];

    len = ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_LEN]);

    if (ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_HASH0]) != id->hash.h[0]
        || ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_HASH1]) != id->hash.h[1]
        || ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_POLICY]) != id->policy
        || ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_GENERATION])
           != id->generation
        || len > NGX_APIGW_TOKEN_DATA_MAX
        || len > (n - 1) * NGX_APIGW_TOKEN_CELL)
    {
        return NGX_DECLINED;
    }

    entry->from = ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_FROM]);
    entry->until = ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_UNTIL]);
    entry->revision = ngx_apigw_token_load(&head[NGX_APIGW_TOKEN_REVISION]);
    entry->verdict = 0;
    entry->len = (uint32_t) len;

    if (now < entry->from || now >= entry->until) {
        return NGX_DECLINED;
    }

    /* data of an entry is a multiple of words */

    head += NGX_APIGW_TOKEN_WORDS;
    n = (len + sizeof(uint64_t) - 1) / sizeof(uint64_t);

    for (i = 0; i < n; i++) {
        word = ngx_apigw_token_load(&head[i]);
        ngx_memcpy(&entry->data[i * sizeof(uint64_t)], &word,
                   sizeof(uint64_t));
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_token_refused(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now,
    ngx_apigw_token_entry_t *entry)
{
    uint64_t           tag, until;
    ngx_apigw_pair_t   got;
    ngx_apigw_pair_t  *refusal;

    refusal = ngx_apigw_token_refusal(cache, id, &tag);

    got = ngx_apigw_pair_get(refusal);

    /* the words were read one after the other */

    if (got.tag != tag
        || __atomic_load_n(&refusal->tag, __ATOMIC_ACQUIRE) != tag)
    {
        return NGX_DECLINED;
    }

    until = got.value >> 8;

    if (now >= until || until - now > NGX_APIGW_TOKEN_REFUSED_MAX) {
        return NGX_DECLINED;
    }

    entry->from = 0;
    entry->until = until;
    entry->revision = 0;
    entry->verdict = got.value & 0xff;
    entry->len = 0;

    return NGX_OK;
}


static ngx_apigw_pair_t *
ngx_apigw_token_refusal(const ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t *tag)
{
    /* never 0, which is in a free pair */

    *tag = (id->hash.h[1] ^ ngx_apigw_token_mix(id->policy, id->generation))
           | 1;

    return &cache->refusal[id->hash.h[0] & (cache->refusals - 1)];
}


void
ngx_apigw_token_cache_refuse(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now, ngx_uint_t verdict)
{
    uint64_t           tag;
    ngx_apigw_pair_t   expect, set;
    ngx_apigw_pair_t  *refusal;

    refusal = ngx_apigw_token_refusal(cache, id, &tag);

    set.tag = tag;
    set.value = (now + NGX_APIGW_TOKEN_REFUSED_MAX) << 8 | (verdict & 0xff);

    /* who is later wins, and one of them will do */

    expect = ngx_apigw_pair_get(refusal);

    (void) ngx_apigw_pair_cas(refusal, &expect, set);
}


ngx_int_t
ngx_apigw_token_cache_put(ngx_apigw_token_cache_t *cache,
    const ngx_apigw_token_id_t *id, uint64_t now,
    const ngx_apigw_token_entry_t *entry)
{
    uint32_t                tag;
    uint64_t                sequence, first, n, *place;
    ngx_uint_t              evicted;
    ngx_apigw_token_set_t  *set;

    if (entry->len > NGX_APIGW_TOKEN_DATA_MAX) {
        (void) __atomic_add_fetch(&cache->oversized, 1, __ATOMIC_RELAXED);
        return NGX_DECLINED;
    }

    if (entry->verdict != 0 || now >= entry->until) {
        return NGX_DECLINED;
    }

    set = ngx_apigw_token_set(cache, id, &tag);

    sequence = ngx_apigw_token_load(&set->sequence);

    if (sequence & 1) {

        /* who was writing here is dead */

        ngx_memzero(set->places, sizeof(set->places));

    } else {
        ngx_apigw_token_store(&set->sequence, ++sequence);
    }

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    n = 1 + (entry->len + NGX_APIGW_TOKEN_CELL - 1) / NGX_APIGW_TOKEN_CELL;
    first = set->next;

    if (first > NGX_APIGW_TOKEN_CELLS || first + n > NGX_APIGW_TOKEN_CELLS) {
        first = 0;
    }

    evicted = ngx_apigw_token_make_room(set, first, n, tag, now);
    place = ngx_apigw_token_free_place(set, tag, now, &evicted);

    ngx_apigw_token_write(set, first, id, entry);
    ngx_apigw_token_store(place, ngx_apigw_token_place(tag, first, n));

    set->next = first + n;

    __atomic_store_n(&set->sequence, sequence + 1, __ATOMIC_RELEASE);

    (void) __atomic_add_fetch(&cache->stored, 1, __ATOMIC_RELAXED);
    (void) __atomic_add_fetch(&cache->evicted, evicted, __ATOMIC_RELAXED);

    return NGX_OK;
}


/*
 * Drops the entries in the cells that will be written, and what is known of
 * the token by now.  Returns how many of the others were lost.
 */

static ngx_uint_t
ngx_apigw_token_make_room(ngx_apigw_token_set_t *set, uint64_t first,
    uint64_t n, uint32_t tag, uint64_t now)
{
    uint64_t    place, start, end;
    ngx_uint_t  i, evicted;

    evicted = 0;

    for (i = 0; i < NGX_APIGW_TOKEN_PLACES; i++) {

        place = set->places[i];

        if (place == 0) {
            continue;
        }

        start = ngx_apigw_token_place_first(place);
        end = start + ngx_apigw_token_place_cells(place);

        if (ngx_apigw_token_place_tag(place) == tag) {
            ngx_apigw_token_store(&set->places[i], 0);
            continue;
        }

        if (start < first + n && end > first) {
            evicted += ngx_apigw_token_holds(set, place, now);
            ngx_apigw_token_store(&set->places[i], 0);
        }
    }

    return evicted;
}


/* The first free place, where a reader begins; else that one is freed. */

static uint64_t *
ngx_apigw_token_free_place(ngx_apigw_token_set_t *set, uint32_t tag,
    uint64_t now, ngx_uint_t *evicted)
{
    ngx_uint_t  i, n;

    n = tag % NGX_APIGW_TOKEN_PLACES;

    for (i = 0; i < NGX_APIGW_TOKEN_PLACES; i++) {

        if (set->places[n] == 0) {
            return &set->places[n];
        }

        if (++n == NGX_APIGW_TOKEN_PLACES) {
            n = 0;
        }
    }

    *evicted += ngx_apigw_token_holds(set, set->places[n], now);

    return &set->places[n];
}


static ngx_uint_t
ngx_apigw_token_holds(const ngx_apigw_token_set_t *set, uint64_t place,
    uint64_t now)
{
    uint64_t  first;

    first = ngx_apigw_token_place_first(place);

    return first < NGX_APIGW_TOKEN_CELLS
           && set->cells[first][NGX_APIGW_TOKEN_UNTIL] > now;
}


static void
ngx_apigw_token_write(ngx_apigw_token_set_t *set, uint64_t first,
    const ngx_apigw_token_id_t *id, const ngx_apigw_token_entry_t *entry)
{
    size_t      rest;
    uint64_t    word, *head;
    ngx_uint_t  i, n;

    head = set->cells[first];

    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_HASH0], id->hash.h[0]);
    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_HASH1], id->hash.h[1]);
    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_POLICY], id->policy);
    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_GENERATION], id->generation);
    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_FROM], entry->from);
    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_UNTIL], entry->until);
    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_REVISION], entry->revision);
    ngx_apigw_token_store(&head[NGX_APIGW_TOKEN_LEN], entry->len);

    head += NGX_APIGW_TOKEN_WORDS;
    n = (entry->len + sizeof(uint64_t) - 1) / sizeof(uint64_t);

    for (i = 0; i < n; i++) {
        rest = entry->len - i * sizeof(uint64_t);
        word = 0;

        ngx_memcpy(&word, &entry->data[i * sizeof(uint64_t)],
                   ngx_min(rest, sizeof(uint64_t)));

        ngx_apigw_token_store(&head[i], word);
    }
}


void
ngx_apigw_token_cache_stat(const ngx_apigw_token_cache_t *cache,
    ngx_apigw_token_stat_t *stat)
{
    stat->sets = cache->sets;
    stat->stored = ngx_apigw_token_load(&cache->stored);
    stat->evicted = ngx_apigw_token_load(&cache->evicted);
    stat->oversized = ngx_apigw_token_load(&cache->oversized);
}


/* A value is its length, two bytes in this machine's order, and itself. */

ngx_int_t
ngx_apigw_token_pack(ngx_apigw_token_entry_t *entry, const ngx_str_t *values,
    ngx_uint_t n)
{
    size_t      len;
    uint16_t    size;
    ngx_uint_t  i;

    entry->len = 0;

    for (i = 0; i < n; i++) {

        len = values[i].data ? values[i].len : 0;

        if (len > NGX_APIGW_TOKEN_DATA_MAX
            || entry->len + sizeof(uint16_t) + len > NGX_APIGW_TOKEN_DATA_MAX)
        {
            return NGX_DECLINED;
        }

        size = values[i].data ? (uint16_t) len : NGX_APIGW_TOKEN_NONE;

        ngx_memcpy(entry->data + entry->len, &size, sizeof(uint16_t));
        entry->len += sizeof(uint16_t);

        if (len) {
            ngx_memcpy(entry->data + entry->len, values[i].data, len);
            entry->len += len;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_token_unpack(u_char *data, size_t len, ngx_str_t *values,
    ngx_uint_t n)
{
    return ngx_apigw_token_values(data, len, values, n) == data + len
           ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_apigw_token_peek(u_char *data, size_t len, ngx_str_t *values,
    ngx_uint_t n)
{
    return ngx_apigw_token_values(data, len, values, n) ? NGX_OK : NGX_ERROR;
}


/* Returns where the values end, NULL if they are not there. */

static u_char *
ngx_apigw_token_values(u_char *data, size_t len, ngx_str_t *values,
    ngx_uint_t n)
{
    u_char      *p, *last;
    uint16_t     size;
    ngx_uint_t   i;

    p = data;
    last = data + len;

    for (i = 0; i < n; i++) {

        if ((size_t) (last - p) < sizeof(uint16_t)) {
            return NULL;
        }

        ngx_memcpy(&size, p, sizeof(uint16_t));
        p += sizeof(uint16_t);

        if (size == NGX_APIGW_TOKEN_NONE) {
            ngx_str_null(&values[i]);
            continue;
        }

        if (size > last - p) {
            return NULL;
        }

        values[i].len = size;
        values[i].data = p;

        p += size;
    }

    return p;
}
