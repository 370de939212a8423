/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_USAGE_H_INCLUDED_
#define _NGX_HTTP_APIGW_USAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_bucket.h"
#include "ngx_apigw_counter.h"
#include "ngx_apigw_helper.h"
#include "ngx_apigw_instance.h"
#include "ngx_apigw_plan.h"
#include "ngx_apigw_usage_store.h"
#include "ngx_apigw_zone.h"


/* A context of directives of our own, inside "api_plan". */

#define NGX_HTTP_APIGW_PLAN_CONF      0x100000000


#define NGX_HTTP_APIGW_USAGE_ADMIT    0
#define NGX_HTTP_APIGW_USAGE_REFUSE   1


/* In shared memory. */

typedef struct {
    uint64_t                     layout;
    ngx_apigw_hash_key_t         key;
    uint64_t                     instance;

    ngx_apigw_helper_guard_t     guard;

    ngx_atomic_t                 admitted;
    ngx_atomic_t                 refused_rate;
    ngx_atomic_t                 refused_quota;
    ngx_atomic_t                 refused_plan;
    ngx_atomic_t                 refused_consumer;
    ngx_atomic_t                 refused_store;
    ngx_atomic_t                 uncounted;

    ngx_atomic_t                 loaded;
    ngx_atomic_t                 evicted;
    ngx_atomic_t                 flushed;
    ngx_atomic_t                 store_errors;
    ngx_atomic_t                 counters;
    ngx_atomic_t                 used;
    ngx_atomic_t                 dirty;

    ngx_atomic_t                 log_plan;
    ngx_atomic_t                 log_consumer;
    ngx_atomic_t                 log_full;
    ngx_atomic_t                 log_store;

    void                        *buckets;
    size_t                       buckets_size;
    void                        *table;
    uint32_t                     sets;
} ngx_http_apigw_usage_shctx_t;


/* Of a process: shm_zone->data. */

typedef struct {
    ngx_apigw_zone_t             zone;

    ngx_http_apigw_usage_shctx_t  *sh;
    ngx_slab_pool_t             *shpool;
    ngx_apigw_buckets_t         *buckets;
    ngx_apigw_counter_table_t    table;

    ngx_apigw_helper_t           helper;
    time_t                       retention;
    ngx_uint_t                   on_full;

    ngx_apigw_instance_t        *instance;  /* its references are counted */

    ngx_apigw_store_t           *store;
    ngx_pid_t                    store_pid;
    ngx_apigw_usage_flush_t      flush;
    ngx_uint_t                   phase;
    ngx_uint_t                   last;
    time_t                       reaped;
    time_t                       swept;
} ngx_http_apigw_usage_zone_t;


typedef struct {
    ngx_array_t                  zones;     /* ngx_http_apigw_usage_zone_t * */
    ngx_array_t                  helpers;   /* ngx_apigw_helper_t * */
    ngx_array_t                  list;      /* ngx_apigw_plan_t * */
    ngx_apigw_plans_t            plans;
    ngx_apigw_plan_t            *plan;      /* while its block is read */
} ngx_http_apigw_usage_main_conf_t;


extern ngx_module_t  ngx_http_apigw_usage_module;


#pragma GCC visibility push(hidden)


/* ngx_http_apigw_usage_plan.c */

char *ngx_http_apigw_usage_plan(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_usage_plan_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_usage_plan_quota(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_usage_plan_family(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_usage_init_plans(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf);


/* ngx_http_apigw_usage_zone.c */

char *ngx_http_apigw_usage_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

ngx_array_t *ngx_http_apigw_usage_helpers(ngx_cycle_t *cycle);
ngx_int_t ngx_http_apigw_usage_init_process(ngx_cycle_t *cycle);
void ngx_http_apigw_usage_exit_process(ngx_cycle_t *cycle);
void ngx_http_apigw_usage_exit_master(ngx_cycle_t *cycle);


/*
 * The slot of a counter, read from the store if it is not in memory.  NGX_OK,
 * NGX_BUSY if the zone is full, NGX_ERROR if the store cannot be read (both
 * logged now and then).
 */

ngx_int_t ngx_http_apigw_usage_slot(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_plan_t *plan, const ngx_apigw_quota_t *quota,
    const ngx_apigw_window_span_t *span, const ngx_str_t *consumer,
    const ngx_apigw_counter_id_t *id, ngx_log_t *log, ngx_uint_t *slot);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_APIGW_USAGE_H_INCLUDED_ */
