/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_THROTTLE_H_INCLUDED_
#define _NGX_HTTP_APIGW_THROTTLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_bucket.h"
#include "ngx_apigw_zone.h"
#include "ngx_http_apigw_request.h"
#include "ngx_http_apigw_text.h"


#define NGX_HTTP_APIGW_THROTTLE_STRIPES  32
#define NGX_HTTP_APIGW_THROTTLE_RATES    64
#define NGX_HTTP_APIGW_THROTTLE_TEXT     24

#define NGX_HTTP_APIGW_THROTTLE_BURST_MAX  1000000000

#define NGX_HTTP_APIGW_THROTTLE_USES              16

#define NGX_HTTP_APIGW_THROTTLE_PASSED            1
#define NGX_HTTP_APIGW_THROTTLE_DELAYED_DRY_RUN   2
#define NGX_HTTP_APIGW_THROTTLE_REJECTED_DRY_RUN  3
#define NGX_HTTP_APIGW_THROTTLE_DELAYED           4
#define NGX_HTTP_APIGW_THROTTLE_REJECTED          5

#define NGX_HTTP_APIGW_THROTTLE_DRAFT             0
#define NGX_HTTP_APIGW_THROTTLE_LEGACY            1
#define NGX_HTTP_APIGW_THROTTLE_OFF               2


typedef struct {
    ngx_atomic_t                 passed;
    ngx_atomic_t                 delayed;
    ngx_atomic_t                 rejected;
    ngx_atomic_t                 rejected_dry_run;
    u_char                       pad[64 - 4 * sizeof(ngx_atomic_t)];
} ngx_http_apigw_throttle_counts_t;


/* in shared memory */

typedef struct {
    ngx_apigw_buckets_t         *buckets;
    size_t                       size;       /* of the table */
    ngx_atomic_t                 applied;    /* rate and burst last applied */

    ngx_atomic_t                 log_full;
    ngx_atomic_t                 log_rate;
    ngx_atomic_t                 log_cost;

    /* of each worker, so that they do not fight for a cache line */

    ngx_http_apigw_throttle_counts_t
                                 counts[NGX_HTTP_APIGW_THROTTLE_STRIPES];
} ngx_http_apigw_throttle_shared_t;


typedef struct {
    ngx_apigw_zone_t             zone;       /* must be the first */

    ngx_http_apigw_throttle_shared_t
                                *sh;
    const ngx_apigw_hash_key_t  *hash_key;   /* of sh->buckets */
    ngx_slab_pool_t             *shpool;

    ngx_http_apigw_text_t        key;
    ngx_http_apigw_text_t       *variable;   /* NULL if the rate is constant */
    ngx_apigw_rate_t             rate;       /* constant or default */
    uint64_t                     burst;      /* 0: not set */
    uint64_t                     deepest;    /* burst of all uses */
} ngx_http_apigw_throttle_zone_t;


/* a value of a variable rate, as a worker has read it before */

typedef struct {
    u_char                       text[NGX_HTTP_APIGW_THROTTLE_TEXT];
    uint32_t                     len;
    unsigned                     valid:1;
    unsigned                     unlimited:1;
    ngx_apigw_limit_t            limit;
} ngx_http_apigw_throttle_rate_t;


/* one use of a zone: an api_throttle directive */

typedef struct {
    ngx_shm_zone_t              *shm_zone;
    ngx_str_t                    name;

    ngx_apigw_limit_t            limit;      /* constant or default */
    ngx_str_t                    policy;     /* for RateLimit-Policy */
    ngx_str_t                    prefix;     /* for RateLimit */
    ngx_http_apigw_throttle_rate_t
                                *rates;      /* read, if variable */

    ngx_uint_t                   burst;      /* 0: the zone's */
    ngx_uint_t                   cost;
    ngx_http_complex_value_t    *cost_value; /* NULL if constant */
    ngx_int_t                    delay;      /* NGX_ERROR: nodelay */

    ngx_uint_t                   early;      /* before_auth */
    ngx_uint_t                   dry_run;
    unsigned                     unlimited:1;

    ngx_str_t                    file;       /* where it is written */
    ngx_uint_t                   line;
} ngx_http_apigw_throttle_use_t;


typedef struct {
    ngx_array_t                  uses;       /* ... of all locations */
    ngx_array_t                  zones;      /* ngx_apigw_zone_use_t */
    unsigned                     early:1;
    unsigned                     late:1;
} ngx_http_apigw_throttle_main_conf_t;


/* the uses of a place: those that count before those in a dry run */

typedef struct {
    ngx_http_apigw_throttle_use_t
                                *uses[NGX_HTTP_APIGW_THROTTLE_USES];
    ngx_uint_t                   n;
    ngx_uint_t                   plain;      /* one, all of it constant */
} ngx_http_apigw_throttle_list_t;


typedef struct {
    ngx_http_apigw_throttle_list_t
                                *early;
    ngx_http_apigw_throttle_list_t
                                *late;
    ngx_uint_t                   status;
    ngx_uint_t                   log_level;
    ngx_uint_t                   headers;
    unsigned                     off:1;
} ngx_http_apigw_throttle_loc_conf_t;


/* what was decided in one phase: parallel arrays */

typedef struct {
    ngx_apigw_charge_t          *charges;
    ngx_http_apigw_throttle_use_t
                               **uses;
    uint32_t                     n;
    uint32_t                     counted;    /* the first, not in a dry run */
} ngx_http_apigw_throttle_round_t;


typedef struct {
    ngx_http_apigw_problem_t    *problem;    /* NULL: nothing was refused */
    ngx_http_apigw_throttle_round_t
                                 rounds[2];
    unsigned                     nrounds:8;
    unsigned                     phases:8;   /* that are done */
    unsigned                     status:8;
    unsigned                     headers:8;
} ngx_http_apigw_throttle_ctx_t;


#pragma GCC visibility push(hidden)


/* the directives api_throttle_zone and api_throttle */

char *ngx_http_apigw_throttle_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_throttle(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/*
 * Prepares a use when the whole configuration was read: its limit and texts.
 * Logs and returns NGX_ERROR if it cannot work.
 */

ngx_int_t ngx_http_apigw_throttle_use_init(ngx_conf_t *cf,
    ngx_http_apigw_throttle_use_t *use);


/* Applies limits that a reload changed to the buckets there are. */

void ngx_http_apigw_throttle_apply(ngx_shm_zone_t *shm_zone);


/*
 * Decide about a request in a phase, and return what its handler returns.
 */

ngx_int_t ngx_http_apigw_throttle_plain(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_use_t *use, ngx_uint_t phase);
ngx_int_t ngx_http_apigw_throttle_round(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_http_apigw_throttle_ctx_t *ctx,
    ngx_uint_t phase);


/*
 * Sets *limit to what holds for the request, NULL if its rate is unlimited.
 * It lives as long as the request.  NGX_ERROR without memory.
 */

ngx_int_t ngx_http_apigw_throttle_limit(ngx_http_request_t *r,
    ngx_http_apigw_throttle_use_t *use, const ngx_apigw_limit_t **limit);


/* The text of a policy; returns the end of what was written. */

#define NGX_HTTP_APIGW_THROTTLE_POLICY_LEN                                    \
    (sizeof("\"\";q=;w=") - 1 + 2 * NGX_INT64_LEN)

u_char *ngx_http_apigw_throttle_policy(u_char *p, ngx_str_t *name,
    const ngx_apigw_limit_t *limit);


/* What is told about a decision: response header fields and variables. */

ngx_int_t ngx_http_apigw_throttle_headers(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx);
ngx_int_t ngx_http_apigw_throttle_add_variables(ngx_conf_t *cf);


#pragma GCC visibility pop


extern ngx_module_t  ngx_http_apigw_throttle_module;


static ngx_inline ngx_http_apigw_throttle_counts_t *
ngx_http_apigw_throttle_counts(ngx_http_apigw_throttle_zone_t *zone)
{
    return &zone->sh->counts[ngx_worker % NGX_HTTP_APIGW_THROTTLE_STRIPES];
}


#endif /* _NGX_HTTP_APIGW_THROTTLE_H_INCLUDED_ */
