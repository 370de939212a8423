/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_USAGE_STORE_H_INCLUDED_
#define _NGX_APIGW_USAGE_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_store.h"
#include "ngx_apigw_counter.h"
#include "ngx_apigw_instance.h"


/*
 * The usage module's store.
 *
 * Database "counters": a key names a quota counter,
 *
 *     end of the window (8 bytes, big-endian), kind of the window, flags,
 *     length of the family (1 byte each), family, consumer
 *
 * so that what has ended comes first.  The start of the window is in the
 * value.  If that name is taken by a window of another start (an anchor or a
 * time zone was changed) the flag NGX_APIGW_USAGE_START is set and the start
 * (4 bytes, big-endian) stands before the family.
 *
 * The value is a head and a list of parts: what each instance has counted, as
 * an absolute number.  Writing a part again is harmless, whoever does it and
 * however often; that is why no crash between a commit and what follows it
 * counts anything twice.  The part with id 0 holds the sum of instances that
 * are dead.
 *
 * A value that cannot be decoded stops nobody: it counts as none, and whoever
 * writes the record keeps the old value in the database "damaged", under the
 * database's name, ":", the transaction (8 bytes, big-endian) and the key.
 *
 * Uses nothing of nginx but its types.  Functions return 0, an errno value or
 * a code of ngx_apigw_store.h.
 */


#define NGX_APIGW_USAGE_COUNTERS  0       /* databases of the store */
#define NGX_APIGW_USAGE_LEDGER    1
#define NGX_APIGW_USAGE_AUDIT     2
#define NGX_APIGW_USAGE_DAMAGED   3

#define NGX_APIGW_USAGE_START     0x80    /* a flag of keys */
#define NGX_APIGW_USAGE_KEY_MAX   (8 + 3 + 4 + NGX_APIGW_COUNTER_NAME)
#define NGX_APIGW_USAGE_PARTS     256     /* read at most; see _merge() */
#define NGX_APIGW_USAGE_BATCH     4096    /* counters in a transaction */
#define NGX_APIGW_USAGE_SCAN      65536   /* slots looked at in a step */
#define NGX_APIGW_USAGE_REAP      1024    /* records deleted in a step */
#define NGX_APIGW_USAGE_VERSION   1
#define NGX_APIGW_USAGE_ASIDE     511     /* the longest key of LMDB */

/* beside the codes of ngx_apigw_store.h, both of one record */

#define NGX_APIGW_USAGE_EDAMAGED  (-31101)
#define NGX_APIGW_USAGE_EPARTS    (-31102)  /* too many instances alive */
#define NGX_APIGW_USAGE_EPAGE     (-31103)  /* where it is to be written */


typedef struct {
    uint32_t                     version;
    uint32_t                     parts;
    int64_t                      start;     /* of the window */
    uint64_t                     limit;     /* when it was last used */
    int64_t                      grant;     /* added to the limit */
    int64_t                      adjust;    /* added to the value */
} ngx_apigw_usage_head_t;


typedef struct {
    uint64_t                     id;
    uint64_t                     value;
} ngx_apigw_usage_part_t;


typedef struct {
    ngx_apigw_usage_head_t       head;
    ngx_apigw_usage_part_t       parts[NGX_APIGW_USAGE_PARTS];
} ngx_apigw_usage_record_t;


typedef struct {
    ngx_uint_t                   slot;
    ngx_apigw_pair_t             pair;
} ngx_apigw_usage_note_t;


/*
 * What a wrong clock has deleted is gone for good, so nothing is deleted until
 * the clock has gone on beside the monotonic one for a day.
 */

#define NGX_APIGW_USAGE_STEADY    86400
#define NGX_APIGW_USAGE_STEP      60      /* seconds between two calls */

typedef struct {
    int64_t                      wall;      /* at the last call, seconds */
    uint64_t                     msec;      /* the same, monotonic */
    uint64_t                     since;     /* steady */
} ngx_apigw_usage_clock_t;


/* The work of a helper between its steps; private to a process. */

typedef struct {
    ngx_apigw_store_t           *store;
    const char                  *directory;
    uint64_t                     instance;
    ngx_apigw_counter_table_t   *table;

    ngx_uint_t                   cursor;
    uint64_t                     seen;      /* version "others" are as of */
    uint64_t                     committed; /* version of this process' own */

    ngx_uint_t                   used;      /* so far in this pass */
    ngx_uint_t                   dirty;
    ngx_uint_t                   written;
    ngx_uint_t                   damaged;   /* records; the caller clears it */

    ngx_uint_t                   n;
    ngx_uint_t                   next;
    ngx_apigw_usage_note_t      *notes;     /* NGX_APIGW_USAGE_BATCH */

    ngx_apigw_instance_dead_t    dead;
} ngx_apigw_usage_flush_t;


/*
 * Sets what others have in a slot under the zone's mutex; with the slot
 * NGX_APIGW_COUNTER_NONE it calls ngx_apigw_counter_refreshed() instead, with
 * the version in "tag".
 */

typedef void (*ngx_apigw_usage_refresh_pt)(void *data, ngx_uint_t slot,
    uint64_t tag, int64_t others, int64_t grant);


#pragma GCC visibility push(hidden)


extern const ngx_apigw_store_kind_t  ngx_apigw_usage_kind;


/* The key of a counter, with the start of the window or as usual. */

size_t ngx_apigw_usage_key(u_char *key, const ngx_apigw_counter_info_t *info,
    ngx_uint_t start);


/* Decodes a record; NGX_APIGW_STORE_EFORMAT if it is not one. */

int ngx_apigw_usage_decode(ngx_apigw_usage_record_t *record,
    const MDB_val *value);


/*
 * Reads what the store has of a counter, without a lock: own part, the sum of
 * the others, grant.  All zero if there is nothing, and with
 * NGX_APIGW_USAGE_EDAMAGED, which need stop nobody.
 */

int ngx_apigw_usage_load(ngx_apigw_store_t *store, uint64_t instance,
    const ngx_apigw_counter_info_t *info, ngx_apigw_counter_load_t *load);


/*
 * One step of a pass over the table: writes up to a batch of dirty counters
 * in one transaction and marks them.  EAGAIN until the pass is complete.
 */

int ngx_apigw_usage_flush(ngx_apigw_usage_flush_t *flush);


/*
 * One step of a pass that brings "others" up to date, to be called after the
 * flush.  Does nothing if nobody else has written.  EAGAIN as above.
 */

int ngx_apigw_usage_refresh(ngx_apigw_usage_flush_t *flush,
    ngx_apigw_usage_refresh_pt refresh, void *data);


/* Keeps a value of database n under another name, since it will be gone. */

int ngx_apigw_usage_set_aside(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_uint_t n, MDB_val *key);


/*
 * Notes what two clocks say; returns by how many seconds the first was set
 * since the last call, if it was.
 */

int64_t ngx_apigw_usage_clock(ngx_apigw_usage_clock_t *clock, int64_t wall,
    uint64_t msec);

/* Whether it was not set for a day. */

ngx_uint_t ngx_apigw_usage_clock_steady(const ngx_apigw_usage_clock_t *clock);


/*
 * Deletes some of the windows that ended before "time"; EAGAIN as above.  What
 * has no readable name is set aside.
 */

int ngx_apigw_usage_reap(ngx_apigw_usage_flush_t *flush, int64_t time);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_USAGE_STORE_H_INCLUDED_ */
