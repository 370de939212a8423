/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_BACKED_H_INCLUDED_
#define _NGX_APIGW_BACKED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_helper.h"
#include "ngx_apigw_instance.h"
#include "ngx_apigw_store.h"
#include "ngx_apigw_word.h"
#include "ngx_apigw_zone.h"


/*
 * A backed zone: it counts in shared memory, as an instance, and a helper
 * writes to the store behind it what was counted.  Here is what is the same
 * for all of them: how a zone comes and goes, the store as a process has it
 * open, and what is said of it in the log.
 */


/*
 * In shared memory, the first member of the zone's header: the header is
 * found and judged by it.
 */

typedef struct {
    uint64_t                      layout;    /* of the header, 0 until made */
    uint64_t                      instance;  /* id of the zone's */
    ngx_apigw_helper_guard_t      guard;
    ngx_atomic_t                  store_errors;

    ngx_atomic_t                  log_full;  /* for ngx_apigw_log_due() */
    ngx_atomic_t                  log_store;
} ngx_apigw_backed_shared_t;


/* What all zones of a directive have in common. */

typedef struct {
    ngx_str_t                     name;      /* of the module, "usage" */
    const char                   *directive; /* "api_usage_zone", for logs */
    void                         *tag;       /* the module */
    const ngx_apigw_word_t       *words;     /* set members of the context */
    uint64_t                      layout;    /* of the header, not 0 */
    size_t                        size;      /* of the header, in bytes */
    const ngx_apigw_store_kind_t *kind;
    ngx_apigw_helper_pt           run;
    ngx_apigw_helper_left_pt      left;
    ngx_shm_zone_init_pt          init;
    ngx_apigw_collect_pt          collect;
    ngx_pool_cleanup_pt           cleanup;   /* of the context */
} ngx_apigw_backed_type_t;


/* In a process, the first member of the zone's context, shm_zone->data. */

typedef struct {
    ngx_apigw_zone_t              zone;
    ngx_apigw_helper_t            helper;
    ngx_apigw_word_zone_t         declared;  /* as written */
    const ngx_apigw_backed_type_t  *type;

    ngx_apigw_backed_shared_t    *shared;    /* the header */
    ngx_slab_pool_t              *shpool;
    ngx_apigw_instance_t         *instance;  /* counts its cycles; NULL with
                                                "nginx -t" */

    /* private to a process */

    ngx_apigw_store_t            *store;     /* if opened by store_pid */
    ngx_pid_t                     store_pid;
    time_t                        checked;   /* the store was, by time */
    time_t                        swept;
} ngx_apigw_backed_t;


#pragma GCC visibility push(hidden)


/*
 * Reads the words of the directive into the context, which is zeroed but for
 * its defaults, declares the zone, and its helper, which is added to helpers
 * (of ngx_apigw_helper_t *).  NGX_ERROR, logged but for a lack of memory, if a
 * word is wrong, there is a zone of that name, or the directory cannot be
 * used.
 */

ngx_int_t ngx_apigw_backed_add(ngx_conf_t *cf, ngx_apigw_backed_t *backed,
    const ngx_apigw_backed_type_t *type, ngx_array_t *helpers);


/*
 * The first half of shm_zone->init; "previous" is the context of the cycle
 * before, or NULL.  Sets shared and shpool.
 *
 * Returns NGX_OK if the zone was there already, with all that is in it.
 * Returns NGX_DECLINED if it is new: the header is zeroed, the caller fills
 * it, takes the rest of the slab pool, and calls ngx_apigw_backed_made().
 * Returns NGX_ERROR, logged but for a lack of memory, if the memory is of
 * another layout, or the zone had another store.
 *
 * Of a zone that was there nothing is changed: its data is live, and the
 * reload may still fail.
 */

ngx_int_t ngx_apigw_backed_init(ngx_shm_zone_t *shm_zone,
    const ngx_apigw_backed_t *previous);


/*
 * The second half for a new zone: makes its instance, and only then declares
 * the header valid.  NGX_ERROR, logged, if the store's directory cannot be
 * written to.
 */

ngx_int_t ngx_apigw_backed_made(ngx_apigw_backed_t *backed, ngx_log_t *log);


/* When a cycle ends: closes the store, and the instance with its last cycle. */

void ngx_apigw_backed_cleanup(ngx_apigw_backed_t *backed);


/* Opens the store in this process, once.  NGX_ERROR, logged and counted. */

ngx_int_t ngx_apigw_backed_open(ngx_apigw_backed_t *backed, ngx_log_t *log);


/*
 * Frees what dead processes left in the open store, at most every ten minutes
 * their files.  "now" is ngx_time().
 */

void ngx_apigw_backed_sweep(ngx_apigw_backed_t *backed, time_t now);


/*
 * Count an error of the store, and say at most once a minute that it cannot
 * be opened, read or written ("what"), for the reason of
 * ngx_apigw_store_strerror(rc), or that n of its records are damaged.
 */

void ngx_apigw_backed_error(ngx_apigw_backed_t *backed, ngx_log_t *log,
    const char *what, int rc);
void ngx_apigw_backed_damaged(ngx_apigw_backed_t *backed, ngx_log_t *log,
    ngx_uint_t n);


/* Says at most once a minute that there is no room for more "what". */

void ngx_apigw_backed_full(ngx_apigw_backed_t *backed, ngx_log_t *log,
    const char *what);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_BACKED_H_INCLUDED_ */
