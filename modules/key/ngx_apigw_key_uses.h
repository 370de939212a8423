/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_USES_H_INCLUDED_
#define _NGX_APIGW_KEY_USES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_atomic.h"
#include "ngx_apigw_hash.h"
#include "ngx_apigw_key_record.h"


/*
 * How often and when which key was used since the last flush: a
 * set-associative table in shared memory.
 *
 * A slot's tag and its uses are one pair that changes by compare-and-swap, so
 * a use is counted without a lock, and never for another key.  Slots are
 * filled, and their ids read, under the zone's mutex only, which nginx's
 * master releases when its holder dies; a slot left half filled has no tag
 * and is free.  A slot whose uses are all flushed may be given to another
 * key; without such a slot a use is not counted here.  The worst-case work
 * under the mutex is one set.
 *
 * Uses are only ever added; beside them stands how many of them were flushed.
 * A flush writes its batch down here first, commits it with its number, and
 * then sets what was flushed, which may be done again.  So the successor of a
 * helper that has died at any point finds in the store whether the batch is
 * there, and each use is counted once.
 *
 * The table survives a reload, not a restart: what was not flushed is then
 * lost.
 */


#define NGX_APIGW_KEY_USES_WAYS   8
#define NGX_APIGW_KEY_USES_BATCH  256


typedef struct {
    ngx_apigw_pair_t         pair;      /* tag, last use << 32 | uses */
    uint32_t                 flushed;   /* of the uses; both wrap around */
    u_char                   len;
    u_char                   id[NGX_APIGW_KEY_ID_MAX];
} ngx_apigw_key_use_t;


/* What a slot has flushed when the batch is committed. */

typedef struct {
    uint64_t                 tag;
    uint32_t                 slot;
    uint32_t                 flushed;
} ngx_apigw_key_use_note_t;


typedef struct {
    ngx_apigw_hash_key_t     secret;
    ngx_apigw_hash_key_t     name;      /* of the table in the store */
    ngx_uint_t               sets;      /* a power of two */
    ngx_apigw_key_use_t     *slots;
    uint64_t                 batch;     /* number of the last one */
    ngx_uint_t               pending;   /* notes of it, 0: it is done */
    ngx_apigw_key_use_note_t  notes[NGX_APIGW_KEY_USES_BATCH];
} ngx_apigw_key_uses_t;


typedef struct {
    uint64_t                 tag;
    uint32_t                 last;
    uint32_t                 count;     /* uses to be added */
    uint32_t                 flushed;   /* afterwards */
    ngx_uint_t               slot;
    ngx_str_t                id;
    u_char                   data[NGX_APIGW_KEY_ID_MAX];
} ngx_apigw_key_use_copy_t;


#pragma GCC visibility push(hidden)


/* Makes an empty table of memory that is zeroed and aligned to 16 bytes. */

ngx_int_t ngx_apigw_key_uses_init(ngx_apigw_key_uses_t *uses, void *memory,
    size_t size);


/* The hash under which the uses of a key are counted. */

void ngx_apigw_key_uses_hash(ngx_apigw_key_uses_t *uses,
    ngx_apigw_hash_t *hash, ngx_str_t *id);


/*
 * Counts a use without a lock; *slot is where it was counted the last time.
 * Returns NGX_DECLINED if the key has no slot.
 */

ngx_int_t ngx_apigw_key_uses_add(ngx_apigw_key_uses_t *uses,
    ngx_apigw_hash_t *hash, ngx_uint_t *slot, time_t now);


/*
 * Gives the key a slot and counts the use; to be called with the mutex held.
 * Returns NGX_DECLINED if there is no free one.
 */

ngx_int_t ngx_apigw_key_uses_insert(ngx_apigw_key_uses_t *uses,
    ngx_apigw_hash_t *hash, ngx_str_t *id, ngx_uint_t *slot, time_t now);


/*
 * The next slot with uses from *pos on, which is zero at first: returns 0 if
 * there is none, else _copy() takes it with the mutex held.
 */

ngx_uint_t ngx_apigw_key_uses_next(ngx_apigw_key_uses_t *uses,
    ngx_uint_t *pos);
ngx_int_t ngx_apigw_key_uses_copy(ngx_apigw_key_uses_t *uses, ngx_uint_t slot,
    ngx_apigw_key_use_copy_t *copy);


/*
 * A batch, of at most NGX_APIGW_KEY_USES_BATCH copies, begins before it is
 * written to the store together with uses->batch, and ends afterwards.  While
 * uses->pending is not 0 it has not ended, and no other may begin.
 */

void ngx_apigw_key_uses_begin(ngx_apigw_key_uses_t *uses,
    ngx_apigw_key_use_copy_t *copies, ngx_uint_t n);
void ngx_apigw_key_uses_end(ngx_apigw_key_uses_t *uses, ngx_uint_t committed);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_USES_H_INCLUDED_ */
