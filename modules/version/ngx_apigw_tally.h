/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_TALLY_H_INCLUDED_
#define _NGX_APIGW_TALLY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_atomic.h"
#include "ngx_apigw_hash.h"
#include "ngx_apigw_instance.h"
#include "ngx_apigw_store.h"


/*
 * The tally: how many calls came on a day (UTC), by API, version, what chose
 * the version, whether it was refused, and caller.  A table in shared memory,
 * a write-back cache in front of a store.
 *
 * An entry is a pair {tag, value}: tag is a hash of its name, value
 *
 *     bit  63         dirty: the store does not have this value yet
 *     bits 46 .. 62   the second of the day of the last call
 *     bits  0 .. 45   the calls since the entry came into memory
 *
 * A pair changes by compare-and-swap only:
 *
 *     count     {tag, value}        ->  {tag, value + 1, dirty}
 *     written   {tag, value, dirty} ->  {tag, value}
 *     evict     {tag, value}        ->  {0, 0}
 *     insert    {0, 0}              ->  {tag, 1 call, dirty}
 *
 * so a call cannot land in another entry, and none is lost by an eviction.
 *
 * Nobody reads the store to count.  Every insertion has a number, its "life";
 * a record of the store knows the last life of an entry, what that life has
 * counted, and the sum of those before.  Writing a record again is harmless,
 * whoever does it and however often.
 *
 * Inserting, evicting and marking as written is done under the zone's mutex;
 * whoever is killed there leaves a free or a complete entry, as the pair is
 * written last.
 *
 * Uses nothing of nginx but its types and inline functions.
 */


#define NGX_APIGW_TALLY_WAYS     8

#define NGX_APIGW_TALLY_LABEL    64        /* of an API, of a version */
#define NGX_APIGW_TALLY_CALLER   84        /* as long as this: has a digest */
#define NGX_APIGW_TALLY_NAME     (2 * NGX_APIGW_TALLY_LABEL                   \
                                  + NGX_APIGW_TALLY_CALLER)
#define NGX_APIGW_TALLY_KEY_MAX  (8 + NGX_APIGW_TALLY_NAME)

#define NGX_APIGW_TALLY_DIRTY    0x8000000000000000ULL
#define NGX_APIGW_TALLY_SHIFT    46
#define NGX_APIGW_TALLY_CALLS    0x00003fffffffffffULL

#define NGX_APIGW_TALLY_REFUSED  0x80      /* beside the source */

#define NGX_APIGW_TALLY_DAY      86400

#define NGX_APIGW_TALLY_NONE     ((ngx_uint_t) -1)


/* What names an entry; with the pair it takes 256 bytes. */

typedef struct {
    uint64_t                     tag;
    uint64_t                     life;
    uint32_t                     day;      /* since 1970-01-01 */
    uint32_t                     check;    /* of all but itself */
    u_char                       api;      /* lengths in names */
    u_char                       version;
    u_char                       caller;
    u_char                       source;
    u_char                       names[NGX_APIGW_TALLY_NAME];
} ngx_apigw_tally_info_t;


/* A view of the table; the arrays lie in shared memory. */

typedef struct {
    volatile ngx_apigw_pair_t   *pairs;
    ngx_apigw_tally_info_t      *infos;
    ngx_atomic_t                *lives;    /* the last number of an insertion */
    uint32_t                     sets;
} ngx_apigw_tally_table_t;


/* Where an entry is looked for. */

typedef struct {
    uint64_t                     tag;
    uint32_t                     sets[2];
} ngx_apigw_tally_id_t;


/*
 * The store.  Database "calls": key
 *
 *     day (4 bytes, big-endian), source, lengths of the three names (1 byte
 *     each), names
 *
 * value a head and a list of parts, one for each instance.  The part with id
 * 0 holds the sum of instances that are dead.
 *
 * Database "versions": the versions as they were last configured; key length
 * of the API's name (1 byte), names, value ngx_apigw_tally_version_t.
 */

#define NGX_APIGW_TALLY_DB_CALLS     0
#define NGX_APIGW_TALLY_DB_VERSIONS  1

#define NGX_APIGW_TALLY_FORMAT   1
#define NGX_APIGW_TALLY_PARTS    64        /* read at most; see _merge() */
#define NGX_APIGW_TALLY_BATCH    1024      /* entries in a transaction */
#define NGX_APIGW_TALLY_SCAN     65536     /* slots looked at in a step */
#define NGX_APIGW_TALLY_REAP     1024      /* records deleted in a step */


typedef struct {
    uint32_t                     format;
    uint32_t                     parts;
    uint32_t                     last;     /* second of the day */
    uint32_t                     reserved;
} ngx_apigw_tally_head_t;


typedef struct {
    uint64_t                     id;
    uint64_t                     life;
    uint64_t                     calls;    /* of that life */
    uint64_t                     past;     /* of those before */
} ngx_apigw_tally_part_t;


typedef struct {
    ngx_apigw_tally_head_t       head;
    ngx_apigw_tally_part_t       part[NGX_APIGW_TALLY_PARTS];
} ngx_apigw_tally_record_t;


typedef struct {
    uint32_t                     format;
    uint32_t                     successor;    /* length */
    int64_t                      since;        /* dates; 0: none */
    int64_t                      deprecated;
    int64_t                      sunset;
    u_char                       name[NGX_APIGW_TALLY_LABEL];
} ngx_apigw_tally_version_t;


typedef struct {
    ngx_uint_t                   slot;
    uint64_t                     life;
    uint64_t                     tag;
    uint64_t                     value;    /* dirty */
} ngx_apigw_tally_note_t;


/* The work of a helper between its steps; private to a process. */

typedef struct {
    ngx_apigw_store_t           *store;
    const char                  *directory;
    uint64_t                     instance;
    ngx_apigw_tally_table_t     *table;

    ngx_uint_t                   cursor;
    ngx_uint_t                   used;     /* so far in this pass */
    ngx_uint_t                   written;  /* the caller clears them */
    ngx_uint_t                   damaged;

    ngx_uint_t                   n;
    ngx_uint_t                   next;
    ngx_apigw_tally_note_t      *notes;    /* NGX_APIGW_TALLY_BATCH */
    ngx_apigw_instance_dead_t    dead;
} ngx_apigw_tally_flush_t;


/* Calls ngx_apigw_tally_written() under the zone's mutex. */

typedef void (*ngx_apigw_tally_mark_pt)(void *data,
    const ngx_apigw_tally_note_t *note);

/* Called for every record; what it returns but 0 ends the walk. */

typedef int (*ngx_apigw_tally_walk_pt)(void *data,
    const ngx_apigw_tally_info_t *info, uint64_t calls, uint32_t last);

typedef int (*ngx_apigw_tally_version_pt)(void *data, const ngx_str_t *api,
    const ngx_str_t *label, const ngx_apigw_tally_version_t *version);


#pragma GCC visibility push(hidden)


/* ngx_apigw_tally.c */

/* The size of a table with so many sets, and how many fit into a size. */

size_t ngx_apigw_tally_size(uint32_t sets);
uint32_t ngx_apigw_tally_sets(size_t size);

/* Lays a view over zeroed or used memory, aligned to 16 bytes. */

void ngx_apigw_tally_map(ngx_apigw_tally_table_t *table, void *memory,
    uint32_t sets, ngx_atomic_t *lives);


/* Names an entry; a caller that is too long is shortened. */

void ngx_apigw_tally_name(ngx_apigw_tally_info_t *info, uint32_t day,
    const ngx_str_t *api, const ngx_str_t *version, ngx_uint_t source,
    const ngx_str_t *caller);


/* Counts a call; NGX_DECLINED if the entry is not in memory. */

ngx_int_t ngx_apigw_tally_count(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id, uint32_t second);


/*
 * The same, and brings the entry into memory if need be, in place of one that
 * is clean; the caller holds the mutex.  NGX_DECLINED if there is no room.
 */

ngx_int_t ngx_apigw_tally_insert(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_id_t *id, ngx_apigw_tally_info_t *info,
    uint32_t second, ngx_uint_t *evicted);


/*
 * For the flush.  _dirty() copies a dirty entry: NGX_OK, or NGX_DECLINED if
 * the slot is clean, free or just changing.  _written() marks it clean unless
 * calls came meanwhile; the caller holds the mutex.
 */

ngx_int_t ngx_apigw_tally_dirty(ngx_apigw_tally_table_t *table,
    ngx_uint_t slot, ngx_apigw_tally_note_t *note,
    ngx_apigw_tally_info_t *info);
void ngx_apigw_tally_written(ngx_apigw_tally_table_t *table,
    const ngx_apigw_tally_note_t *note);


/* ngx_apigw_tally_store.c: 0, an errno value or a code of the store */

extern const ngx_apigw_store_kind_t  ngx_apigw_tally_kind;


/* The key of a record, at most NGX_APIGW_TALLY_KEY_MAX bytes, and back. */

size_t ngx_apigw_tally_key(u_char *key, const ngx_apigw_tally_info_t *info);
ngx_int_t ngx_apigw_tally_key_decode(ngx_apigw_tally_info_t *info,
    const MDB_val *key);

int ngx_apigw_tally_decode(ngx_apigw_tally_record_t *record,
    const MDB_val *value);
ngx_int_t ngx_apigw_tally_version_decode(ngx_str_t *api, ngx_str_t *label,
    ngx_apigw_tally_version_t *version, const MDB_val *key,
    const MDB_val *value);


/*
 * One step of a pass over the table: writes up to a batch of dirty entries in
 * one transaction and marks them.  EAGAIN until the pass is complete.
 */

int ngx_apigw_tally_flush(ngx_apigw_tally_flush_t *flush,
    ngx_apigw_tally_mark_pt mark, void *data);


/* Deletes some of the days before "day"; EAGAIN if there are more. */

int ngx_apigw_tally_reap(ngx_apigw_store_t *store, uint32_t day);


/* Puts one version; all are to be written in one transaction. */

int ngx_apigw_tally_put_version(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *api, const ngx_str_t *label,
    const ngx_apigw_tally_version_t *version);


/* What there is of the days from .. to, both included, and of versions. */

int ngx_apigw_tally_walk(ngx_apigw_store_t *store, uint32_t from, uint32_t to,
    ngx_apigw_tally_walk_pt entry, void *data);
int ngx_apigw_tally_walk_versions(ngx_apigw_store_t *store,
    ngx_apigw_tally_version_pt version, void *data);


#pragma GCC visibility pop


/* A bijection of 64-bit numbers that leaves no bit where it was. */

static ngx_inline uint64_t
ngx_apigw_tally_mix(uint64_t n)
{
    n ^= n >> 32;
    n *= 0x9fb21c651e98df25ULL;
    n ^= n >> 28;
    n *= 0x9e3779b97f4a7c15ULL;
    n ^= n >> 32;

    return n;
}


/*
 * The place of an entry: salt is the digest of the version's name, caller a
 * keyed hash, so that who chooses a name cannot choose its place, or NULL.
 */

static ngx_inline void
ngx_apigw_tally_place(ngx_apigw_tally_table_t *table,
    ngx_apigw_tally_id_t *id, const ngx_apigw_hash_key_t *salt, uint32_t day,
    ngx_uint_t source, const ngx_apigw_hash_t *caller)
{
    uint64_t  tag, place, when;

    when = ngx_apigw_tally_mix((uint64_t) day << 32 | source);

    tag = salt->k[0] + when;
    place = salt->k[1] ^ when;

    if (caller) {
        tag ^= caller->h[0];
        place += caller->h[1];
    }

    tag = ngx_apigw_tally_mix(tag);
    place = ngx_apigw_tally_mix(place);

    id->tag = tag + (tag == 0);

    id->sets[0] = (uint32_t) (((place >> 32) * table->sets) >> 32);
    id->sets[1] = (uint32_t) (((place & 0xffffffff) * table->sets) >> 32);
}


#endif /* _NGX_APIGW_TALLY_H_INCLUDED_ */
