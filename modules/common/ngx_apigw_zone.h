/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_ZONE_H_INCLUDED_
#define _NGX_APIGW_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * How the modules of the suite are seen without being called: the
 * process-local context of each of their zones, shm_zone->data, starts with
 * an ngx_apigw_zone_t.  Whoever walks cycle->shared_memory recognizes it by
 * magic and abi and asks it for its numbers.
 *
 * The layout is an interface between .so files that may have been built
 * apart: a change of this header changes NGX_APIGW_ZONE_ABI.
 */


#define NGX_APIGW_ZONE_MAGIC  0x656e6f7a77676970ULL
#define NGX_APIGW_ZONE_ABI    1


typedef struct ngx_apigw_zone_s  ngx_apigw_zone_t;


typedef enum {
    NGX_APIGW_COUNTER = 0,
    NGX_APIGW_GAUGE
} ngx_apigw_metric_type_e;


typedef struct {
    const char              *name;      /* "rejected", without any prefix */
    const char              *help;
    ngx_apigw_metric_type_e  type;
    size_t                   offset;    /* of an ngx_atomic_t in the base */
} ngx_apigw_metric_t;


#define ngx_apigw_metric_end  { NULL, NULL, NGX_APIGW_COUNTER, 0 }


/*
 * Takes one number of a zone; another value than NGX_OK ends the collection
 * and is returned by it.
 */

typedef ngx_int_t (*ngx_apigw_emit_pt)(void *data, ngx_apigw_zone_t *zone,
    const ngx_apigw_metric_t *metric, uint64_t value);


/*
 * Calls emit() once for every number of the zone.  Takes no lock and does
 * work that does not grow with the number of callers.
 */

typedef ngx_int_t (*ngx_apigw_collect_pt)(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);


struct ngx_apigw_zone_s {
    uint64_t                 magic;
    uint32_t                 abi;
    uint32_t                 reserved;
    ngx_str_t                module;    /* "throttle" */
    ngx_str_t                name;
    ngx_apigw_collect_pt     collect;
};


#pragma GCC visibility push(hidden)


/* Fills the header of a zone's context; module is a literal. */

void ngx_apigw_zone_init(ngx_apigw_zone_t *zone, const char *module,
    ngx_str_t *name, ngx_apigw_collect_pt collect);


/*
 * Makes nginx's own "no memory" of the slab pool of a new zone name it, as
 * in: no memory in auth_api_key_zone "x".  NGX_ERROR without memory.
 */

ngx_int_t ngx_apigw_zone_log_ctx(ngx_shm_zone_t *shm_zone,
    const char *directive);


/*
 * Returns the header of a zone of the suite, NULL for any other zone.
 */

ngx_apigw_zone_t *ngx_apigw_zone_get(ngx_shm_zone_t *shm_zone);


/*
 * Emits the numbers of a table of metrics that ends in ngx_apigw_metric_end;
 * the offsets are relative to base, in shared memory.
 */

ngx_int_t ngx_apigw_zone_emit(ngx_apigw_zone_t *zone,
    const ngx_apigw_metric_t *metric, void *base, ngx_apigw_emit_pt emit,
    void *data);


/*
 * Parses the rest of "zone=name:size" behind the "zone=".  Sizes below eight
 * pages are refused.  Writes its own error message and returns NGX_ERROR.
 */

ngx_int_t ngx_apigw_zone_parse(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *name, ssize_t *size);


/*
 * A directive that names a zone which another one declares, before it or
 * after it: ngx_apigw_zone_use() returns the zone, NULL if there is no memory
 * or the name is taken by something else (logged); tag is the module.  When
 * all was read, ngx_apigw_zone_check_uses() refuses what "declared_by" did
 * not declare, with file and line.
 *
 * The array, zeroed at first, has a ngx_apigw_zone_use_t for each.
 */

typedef struct {
    ngx_shm_zone_t          *shm_zone;
    u_char                  *file;
    ngx_uint_t               line;
} ngx_apigw_zone_use_t;

ngx_shm_zone_t *ngx_apigw_zone_use(ngx_conf_t *cf, ngx_array_t *uses,
    ngx_str_t *name, void *tag);
ngx_int_t ngx_apigw_zone_check_uses(ngx_conf_t *cf, ngx_array_t *uses,
    const char *declared_by);


/*
 * Whether a message that may come at every request is due: at most one a
 * minute for each *last, which lies in shared memory or in static zeroes of
 * it.  The caller that gets 1 writes the line.
 */

ngx_uint_t ngx_apigw_log_due(ngx_atomic_t *last);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_ZONE_H_INCLUDED_ */
