/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_LEDGER_H_INCLUDED_
#define _NGX_APIGW_LEDGER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_counter.h"
#include "ngx_apigw_instance.h"
#include "ngx_apigw_store.h"


/*
 * The ledger: what was used on a day (UTC), by consumer, key, plan, API and
 * version.  An entry is a row of numbers, each a pair {tag, own} that obeys
 * the rules of ngx_apigw_counter.h by itself; the first one is also what an
 * entry is found by.
 *
 * Whoever dies while he evicts an entry leaves one that lacks some numbers.
 * The flush writes those that are there; who needs the entry again takes it
 * up and reads the missing ones from the store.
 *
 * Nobody needs the sum of all instances here, so there are no "others".  Sums
 * wrap around, so what a row takes away is added like what it adds.
 *
 * Database "ledger": key
 *
 *     day (4 bytes, big-endian), lengths of the five names (1 byte each),
 *     names
 *
 * value a head and a list of parts, as in ngx_apigw_usage_store.h.
 *
 * Uses nothing of nginx but its types and inline functions.
 */


#define NGX_APIGW_LEDGER_WAYS      8

#define NGX_APIGW_LEDGER_REQUESTS  0       /* admitted */
#define NGX_APIGW_LEDGER_1XX       1       /* ... by class of status */
#define NGX_APIGW_LEDGER_2XX       2
#define NGX_APIGW_LEDGER_3XX       3
#define NGX_APIGW_LEDGER_4XX       4
#define NGX_APIGW_LEDGER_5XX       5
#define NGX_APIGW_LEDGER_RATE      6       /* refused by it */
#define NGX_APIGW_LEDGER_QUOTA     7
#define NGX_APIGW_LEDGER_INCLUDED  8       /* units */
#define NGX_APIGW_LEDGER_OVERAGE   9
#define NGX_APIGW_LEDGER_IN        10      /* bytes */
#define NGX_APIGW_LEDGER_OUT       11
#define NGX_APIGW_LEDGER_TIME      12      /* milliseconds */
#define NGX_APIGW_LEDGER_FIELDS    13

#define NGX_APIGW_LEDGER_CONSUMER  0       /* names */
#define NGX_APIGW_LEDGER_KEY       1
#define NGX_APIGW_LEDGER_PLAN      2
#define NGX_APIGW_LEDGER_API       3
#define NGX_APIGW_LEDGER_VER       4
#define NGX_APIGW_LEDGER_NAMES     5

/*
 * A name that is as long as its room is shortened and has a digest, so
 * different names stay different.  That depends on nothing but the name, so
 * one name is the same in all entries.
 */

#define NGX_APIGW_LEDGER_WHO       71      /* the consumer */
#define NGX_APIGW_LEDGER_PART      33      /* any other */

#define NGX_APIGW_LEDGER_NAME      (NGX_APIGW_LEDGER_WHO                      \
                                    + (NGX_APIGW_LEDGER_NAMES - 1)            \
                                      * NGX_APIGW_LEDGER_PART)

#define ngx_apigw_ledger_room(n)                                              \
    ((n) == NGX_APIGW_LEDGER_CONSUMER ? NGX_APIGW_LEDGER_WHO                  \
                                      : NGX_APIGW_LEDGER_PART)

#define NGX_APIGW_LEDGER_MAX       (4 + NGX_APIGW_LEDGER_NAMES               \
                                    + NGX_APIGW_LEDGER_NAME)


typedef struct {
    uint64_t                     tag;
    uint32_t                     day;      /* since 1970-01-01 */
    uint32_t                     check;    /* of all but itself */
    u_char                       lens[NGX_APIGW_LEDGER_NAMES];
    u_char                       names[NGX_APIGW_LEDGER_NAME];
} ngx_apigw_ledger_info_t;


/* All but the first number of an entry. */

typedef struct {
    ngx_apigw_pair_t             pairs[NGX_APIGW_LEDGER_FIELDS - 1];
    ngx_apigw_ledger_info_t      info;
} ngx_apigw_ledger_entry_t;


typedef struct {
    volatile ngx_apigw_pair_t   *pairs;
    ngx_apigw_ledger_entry_t    *entries;
    ngx_atomic_t                *evictions;
    uint32_t                     sets;
} ngx_apigw_ledger_table_t;


typedef struct {
    uint64_t                     n[NGX_APIGW_LEDGER_FIELDS];  /* signed */
} ngx_apigw_ledger_row_t;


#define NGX_APIGW_LEDGER_PARTS     64
#define NGX_APIGW_LEDGER_BATCH     1024
#define NGX_APIGW_LEDGER_SCAN      16384
#define NGX_APIGW_LEDGER_VERSION   1


typedef struct {
    uint64_t                     id;
    ngx_apigw_ledger_row_t       row;
} ngx_apigw_ledger_part_t;


typedef struct {
    uint32_t                     version;
    uint32_t                     parts;
} ngx_apigw_ledger_head_t;


typedef struct {
    ngx_apigw_ledger_head_t      head;
    ngx_apigw_ledger_part_t      part[NGX_APIGW_LEDGER_PARTS];
} ngx_apigw_ledger_record_t;


typedef struct {
    ngx_uint_t                   slot;
    uint64_t                     tag;
    ngx_apigw_ledger_row_t       row;      /* with NGX_APIGW_COUNTER_DIRTY */
} ngx_apigw_ledger_note_t;


typedef struct {
    ngx_apigw_store_t           *store;
    const char                  *directory;
    uint64_t                     instance;
    ngx_apigw_ledger_table_t    *table;

    ngx_uint_t                   cursor;
    uint64_t                     committed;
    ngx_uint_t                   written;
    ngx_uint_t                   damaged;  /* the caller clears it */
    ngx_uint_t                   n;
    ngx_uint_t                   next;
    ngx_apigw_ledger_note_t     *notes;    /* NGX_APIGW_LEDGER_BATCH */
    ngx_apigw_instance_dead_t   *dead;
} ngx_apigw_ledger_flush_t;


#pragma GCC visibility push(hidden)


extern const char  *ngx_apigw_ledger_fields[NGX_APIGW_LEDGER_FIELDS];


size_t ngx_apigw_ledger_size(uint32_t sets);
uint32_t ngx_apigw_ledger_sets(size_t size);
void ngx_apigw_ledger_map(ngx_apigw_ledger_table_t *table, void *memory,
    uint32_t sets);


/* The slot of an entry, or NGX_APIGW_COUNTER_NONE. */

ngx_uint_t ngx_apigw_ledger_find(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id);


/*
 * Adds a row and sets to 0 what was added.  NGX_AGAIN if the rest could not
 * be, since the entry was evicted meanwhile.
 */

ngx_int_t ngx_apigw_ledger_add(ngx_apigw_ledger_table_t *table,
    ngx_uint_t slot, uint64_t tag, ngx_apigw_ledger_row_t *row);


/*
 * Whether a number has to be written.  One with the tag of another entry does
 * not: it is left from one whose description is gone, so nobody can write it.
 */

ngx_uint_t ngx_apigw_ledger_unwritten(ngx_apigw_ledger_table_t *table,
    ngx_uint_t slot);


/* As those of a quota counter; _insert() also mends an entry that is there. */

void ngx_apigw_ledger_load_begin(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id, ngx_apigw_counter_load_t *load);
ngx_int_t ngx_apigw_ledger_insert(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_load_t *load,
    const ngx_apigw_ledger_row_t *own, ngx_apigw_ledger_info_t *info,
    ngx_uint_t *slot, ngx_uint_t *evicted);


/* ngx_apigw_ledger_store.c */

size_t ngx_apigw_ledger_key(u_char *key, const ngx_apigw_ledger_info_t *info);
ngx_int_t ngx_apigw_ledger_key_decode(ngx_apigw_ledger_info_t *info,
    const MDB_val *key);
int ngx_apigw_ledger_decode(ngx_apigw_ledger_record_t *record,
    const MDB_val *value);

/* The sum of all parts. */

void ngx_apigw_ledger_sum(const ngx_apigw_ledger_record_t *record,
    ngx_apigw_ledger_row_t *row);

int ngx_apigw_ledger_load(ngx_apigw_store_t *store, uint64_t instance,
    const ngx_apigw_ledger_info_t *info, ngx_apigw_ledger_row_t *own);
int ngx_apigw_ledger_flush(ngx_apigw_ledger_flush_t *flush);

/* Deletes some of the days before; as ngx_apigw_usage_reap(). */

int ngx_apigw_ledger_reap(ngx_apigw_ledger_flush_t *flush, uint32_t day);

/*
 * The first day of which nothing was deleted by _reap(), nor of those that
 * follow; 0 if nothing ever was.  Returns 0 or an error of the store.
 */

int ngx_apigw_ledger_kept(MDB_txn *txn, uint32_t *day);

/* That of a key in the ledger, as the store sorts it, also of a damaged one. */

uint32_t ngx_apigw_ledger_day(const MDB_val *key);


#pragma GCC visibility pop


/* A sum over what names the entry. */

static ngx_inline uint32_t
ngx_apigw_ledger_check(const ngx_apigw_ledger_info_t *info)
{
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key;

    key.k[0] = info->tag;
    key.k[1] = info->day;

    ngx_apigw_hash(&hash, &key, info->lens,
                   NGX_APIGW_LEDGER_NAMES + NGX_APIGW_LEDGER_NAME);

    return (uint32_t) hash.h[0];
}


/*
 * A number as the store has it.  In memory it lacks a bit, which is the sign's:
 * units included or beyond a limit can be less than 0, see
 * ngx_apigw_counter_beyond().
 */

static ngx_inline uint64_t
ngx_apigw_ledger_number(uint64_t value)
{
    uint64_t  sign;

    sign = NGX_APIGW_COUNTER_DIRTY >> 1;

    return ((value & NGX_APIGW_COUNTER_VALUE) ^ sign) - sign;
}


/* The pair of a field of an entry. */

static ngx_inline volatile ngx_apigw_pair_t *
ngx_apigw_ledger_pair(ngx_apigw_ledger_table_t *table, ngx_uint_t slot,
    ngx_uint_t field)
{
    return field == 0 ? &table->pairs[slot]
                      : &table->entries[slot].pairs[field - 1];
}


#endif /* _NGX_APIGW_LEDGER_H_INCLUDED_ */
