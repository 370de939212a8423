/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_USAGE_H_INCLUDED_
#define _NGX_HTTP_APIGW_USAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_backed.h"
#include "ngx_apigw_bucket.h"
#include "ngx_apigw_counter.h"
#include "ngx_apigw_ledger.h"
#include "ngx_apigw_plan.h"
#include "ngx_apigw_tz.h"
#include "ngx_apigw_usage_store.h"
#include "ngx_http_apigw_request.h"
#include "ngx_http_apigw_text.h"


/* A context of directives of our own, inside "api_plan". */

#define NGX_HTTP_APIGW_PLAN_CONF      0x100000000
#define NGX_HTTP_APIGW_PLAN_API_CONF  0x200000000


#define NGX_HTTP_APIGW_USAGE_ADMIT    0
#define NGX_HTTP_APIGW_USAGE_REFUSE   1


/* In shared memory. */

typedef struct {
    ngx_apigw_backed_shared_t    backed;
    ngx_apigw_hash_key_t         key;
    ngx_apigw_usage_clock_t      clock;

    ngx_atomic_t                 admitted;
    ngx_atomic_t                 refused_rate;
    ngx_atomic_t                 refused_quota;
    ngx_atomic_t                 refused_plan;
    ngx_atomic_t                 refused_consumer;
    ngx_atomic_t                 refused_store;
    ngx_atomic_t                 uncounted;

    ngx_atomic_t                 shadow_passed;
    ngx_atomic_t                 shadow_rate;
    ngx_atomic_t                 shadow_quota;
    ngx_atomic_t                 shadow_plan;

    ngx_atomic_t                 loaded;
    ngx_atomic_t                 evicted;
    ngx_atomic_t                 flushed;
    ngx_atomic_t                 ledger_late;
    ngx_atomic_t                 ledger_lost;
    ngx_atomic_t                 entries;
    ngx_atomic_t                 counters;
    ngx_atomic_t                 used;
    ngx_atomic_t                 dirty;

    ngx_atomic_t                 log_plan;
    ngx_atomic_t                 log_consumer;
    ngx_atomic_t                 log_value;

    void                        *buckets;
    size_t                       buckets_size;
    void                        *table;
    uint32_t                     sets;
    void                        *ledger;
    uint32_t                     ledger_sets;
} ngx_http_apigw_usage_shctx_t;


/*
 * The window that a quota was last in, what its counters have of it, and how
 * long it lasts from a second on, as responses tell it, at the end of text.
 */

#define NGX_HTTP_APIGW_USAGE_SPAN  16

typedef struct {
    ngx_apigw_window_span_t      span;
    uint64_t                     salt;
    time_t                       told;
    int64_t                      told_end;
    size_t                       len;
    u_char                       text[NGX_HTTP_APIGW_USAGE_SPAN];
} ngx_http_apigw_usage_span_t;


/* The policies of a plan, and what they were written from. */

typedef struct {
    u_char                      *data;
    size_t                       len;
    uint64_t                     total[NGX_APIGW_PLAN_QUOTAS];
    ngx_apigw_window_span_t      span[NGX_APIGW_PLAN_QUOTAS];
} ngx_http_apigw_usage_text_t;


/* Of a process: shm_zone->data. */

typedef struct {
    ngx_apigw_backed_t           backed;

    ngx_http_apigw_usage_shctx_t  *sh;
    ngx_apigw_buckets_t         *buckets;
    ngx_apigw_counter_table_t    table;
    ngx_apigw_ledger_table_t     ledger;

    time_t                       retention;
    ngx_uint_t                   on_full;

    /* the windows that quotas were last in, by their index */

    ngx_http_apigw_usage_span_t *spans;
    ngx_http_apigw_usage_text_t *texts;     /* by a plan's index */

    ngx_apigw_usage_flush_t      flush;
    ngx_apigw_ledger_flush_t     lflush;
    ngx_uint_t                   phase;
    ngx_uint_t                   last;
    time_t                       tidied;

    /* what waits for room, see ngx_http_apigw_usage_late.c */

    ngx_rbtree_t                 late;
    ngx_rbtree_node_t            sentinel;
    ngx_queue_t                  queue;
    ngx_uint_t                   nlate;
    ngx_event_t                  event;

    /* whether anybody writes to the store while a worker exits */

    ngx_event_t                  watch;
    ngx_atomic_uint_t            runs;
} ngx_http_apigw_usage_zone_t;


/* Text with variables; most often it is one variable and nothing else. */

typedef struct {
    ngx_http_apigw_text_t        text;
    unsigned                     given:1;
} ngx_http_apigw_usage_value_t;


/* Parameters of api_usage, in the order of their table. */

#define NGX_HTTP_APIGW_USAGE_V_PLAN      0
#define NGX_HTTP_APIGW_USAGE_V_CONSUMER  1
#define NGX_HTTP_APIGW_USAGE_V_KEY       2
#define NGX_HTTP_APIGW_USAGE_V_API       3
#define NGX_HTTP_APIGW_USAGE_V_VERSION   4
#define NGX_HTTP_APIGW_USAGE_V_RATE      5
#define NGX_HTTP_APIGW_USAGE_V_BURST     6
#define NGX_HTTP_APIGW_USAGE_V_QUOTA     7
#define NGX_HTTP_APIGW_USAGE_V_COST      8
#define NGX_HTTP_APIGW_USAGE_VALUES      9


typedef struct {
    ngx_shm_zone_t               *shm_zone;
    ngx_apigw_plan_t             *plan;     /* NULL: as the value tells */
    ngx_http_apigw_usage_value_t  values[NGX_HTTP_APIGW_USAGE_VALUES];
    unsigned                      names:1;  /* key, API or version is given */
    unsigned                      own:1;    /* rate, burst or quota */

    /* while the configuration is read */

    ngx_str_t                     zone;         /* its name */
    unsigned                      settled:1;    /* on=response somewhere */
    u_char                       *file;
    ngx_uint_t                    line;
} ngx_http_apigw_usage_t;


#define NGX_HTTP_APIGW_USAGE_ON_REQUEST   0
#define NGX_HTTP_APIGW_USAGE_ON_RESPONSE  1

#define NGX_HTTP_APIGW_USAGE_OFF          0
#define NGX_HTTP_APIGW_USAGE_DRAFT        1
#define NGX_HTTP_APIGW_USAGE_LEGACY       2


typedef struct {
    ngx_uint_t                    on;
    ngx_http_apigw_usage_value_t  estimate;
} ngx_http_apigw_usage_when_t;


/* Directives that do nothing without api_usage. */

#define NGX_HTTP_APIGW_USAGE_SHADOW   0
#define NGX_HTTP_APIGW_USAGE_CHARGE   1
#define NGX_HTTP_APIGW_USAGE_REFUND   2
#define NGX_HTTP_APIGW_USAGE_RIDERS   3

typedef struct {
    ngx_str_t                     directive;
    u_char                       *file;
    ngx_uint_t                    line;
    unsigned                      used:1;
} ngx_http_apigw_usage_rider_t;


typedef struct {
    ngx_http_apigw_usage_t       *usage;
    ngx_http_apigw_usage_value_t *shadow;
    ngx_http_apigw_usage_when_t  *when;
    ngx_array_t                  *refund;   /* ngx_uint_t: 404, or 5 for 5xx */
    ngx_uint_t                    headers;
    ngx_int_t                     status;
    ngx_uint_t                    self;     /* not inherited */
    u_char                       *self_file;
    ngx_uint_t                    self_line;
    ngx_http_apigw_usage_rider_t *riders[NGX_HTTP_APIGW_USAGE_RIDERS];
} ngx_http_apigw_usage_loc_conf_t;


/* A plan that a directive names, perhaps before it is there. */

typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    directive;
    ngx_apigw_plan_t           **plan;      /* where it is wanted */
    u_char                      *file;
    ngx_uint_t                   line;
} ngx_http_apigw_usage_named_t;


typedef struct {
    ngx_array_t                  zones;     /* ngx_http_apigw_usage_zone_t * */
    ngx_array_t                  helpers;   /* ngx_apigw_helper_t * */
    ngx_array_t                  uses;      /* ngx_apigw_zone_use_t */
    ngx_array_t                  list;      /* ngx_apigw_plan_t * */
    ngx_array_t                  tzs;       /* ngx_http_apigw_usage_tz_t * */
    ngx_array_t                  values;    /* ngx_http_apigw_text_t * */
    ngx_array_t                  named;     /* .._named_t, plans by name */
    ngx_array_t                  apis;      /* .._named_t, APIs by name */
    ngx_array_t                  costs;     /* .._usage_t *, of the answer */
    ngx_array_t                  riders;    /* .._rider_t * */
    ngx_apigw_plans_t            plans;
    ngx_uint_t                   nquotas;
    ngx_uint_t                   nplans;    /* with those of APIs */
    ngx_str_t                    unknown;   /* plan for those, or empty */
    u_char                      *unknown_file;
    ngx_uint_t                   unknown_line;

    /* while their blocks are read */

    ngx_apigw_plan_t            *plan;
    ngx_apigw_plan_t            *api;
} ngx_http_apigw_usage_main_conf_t;


/* A time zone that a plan uses. */

typedef struct {
    ngx_str_t                    name;
    ngx_apigw_window_tz_t        tz;
} ngx_http_apigw_usage_tz_t;


/* What became of a request; also the values of $api_usage_status. */

#define NGX_HTTP_APIGW_USAGE_PASSED             1
#define NGX_HTTP_APIGW_USAGE_PASSED_UNCOUNTED   2
#define NGX_HTTP_APIGW_USAGE_REJECTED_RATE      3
#define NGX_HTTP_APIGW_USAGE_REJECTED_QUOTA     4
#define NGX_HTTP_APIGW_USAGE_REJECTED_PLAN      5
#define NGX_HTTP_APIGW_USAGE_REJECTED_CONSUMER  6
#define NGX_HTTP_APIGW_USAGE_REJECTED_STORE     7


/* One quota of a request. */

typedef struct {
    const ngx_apigw_quota_t      *quota;
    const ngx_apigw_plan_t       *plan;     /* whose family it has */
    ngx_apigw_window_span_t       span;
    ngx_apigw_counter_id_t        id;
    ngx_uint_t                    slot;
    uint64_t                      seen;     /* as it was looked at */
    uint64_t                      value;    /* without this request */
    uint64_t                      total;    /* most that is admitted */
    uint64_t                      units;    /* charged by this request */
    unsigned                      charged:1;
    unsigned                      exceeded:1;
} ngx_http_apigw_usage_quota_t;


/* A plan applied to a request: its own limits and those for one API. */

#define NGX_HTTP_APIGW_USAGE_LIMITS  2

typedef struct {
    ngx_http_apigw_usage_zone_t  *zone;
    const ngx_apigw_plan_t       *plan;
    const ngx_apigw_plan_t       *api;
    const ngx_str_t              *consumer;
    const ngx_apigw_hash_t       *hash;     /* of the consumer */
    uint64_t                      cost;
    int64_t                       over;     /* units beyond the limit */
    unsigned                      shadow:1;

    ngx_uint_t                    result;

    ngx_uint_t                    nrates;
    ngx_apigw_charge_t            rates[NGX_HTTP_APIGW_USAGE_LIMITS];
    const ngx_apigw_plan_t       *limits[NGX_HTTP_APIGW_USAGE_LIMITS];

    ngx_uint_t                    nquotas;
    ngx_uint_t                    looked;   /* quotas whose value is known */
    ngx_http_apigw_usage_quota_t *quotas;
    ngx_http_apigw_usage_quota_t *refused;  /* with the longest wait */
} ngx_http_apigw_usage_eval_t;


typedef struct {
    ngx_http_apigw_problem_t      problem;
    ngx_http_apigw_usage_loc_conf_t *conf;
    ngx_http_apigw_usage_zone_t  *zone;
    ngx_str_t                     consumer;
    ngx_str_t                     plan;     /* as asked for */
    ngx_str_t                     names[3]; /* key, API, version */
    ngx_apigw_hash_t              hash;
    ngx_uint_t                    status;

    ngx_http_apigw_usage_eval_t   eval;
    ngx_http_apigw_usage_eval_t  *shadow;

    uint32_t                      day;      /* of the entry */
    ngx_apigw_counter_id_t        entry;
    ngx_uint_t                    slot;     /* of the entry */

    unsigned                      decided:1;
    unsigned                      outside:1; /* no room for the entry */
    unsigned                      logged:1;
} ngx_http_apigw_usage_ctx_t;


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
char *ngx_http_apigw_usage_plan_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_usage_default_plan(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_apigw_usage_check_apis(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf);
char *ngx_http_apigw_usage_init_plans(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf);


/* ngx_http_apigw_usage_zone.c */

char *ngx_http_apigw_usage_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/*
 * The slot of a counter, read from the store if it is not in memory.  NGX_OK,
 * NGX_BUSY if the zone is full, NGX_ERROR if the store cannot be read (both
 * logged now and then).
 */

ngx_int_t ngx_http_apigw_usage_slot(ngx_http_apigw_usage_zone_t *ctx,
    ngx_http_apigw_usage_quota_t *q, const ngx_str_t *consumer,
    ngx_uint_t shadow, ngx_log_t *log);

/* The same for a counter that was not found. */

ngx_int_t ngx_http_apigw_usage_counter(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, ngx_apigw_counter_info_t *info,
    ngx_log_t *log, ngx_uint_t *slot);

/* The same for an entry of the ledger; mends it if "again" is set. */

ngx_int_t ngx_http_apigw_usage_entry(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, ngx_apigw_ledger_info_t *info,
    ngx_uint_t again, ngx_log_t *log, ngx_uint_t *slot);


/* ngx_http_apigw_usage_flush.c */

ngx_array_t *ngx_http_apigw_usage_helpers(ngx_cycle_t *cycle);
ngx_int_t ngx_http_apigw_usage_init_process(ngx_cycle_t *cycle);
void ngx_http_apigw_usage_exit_process(ngx_cycle_t *cycle);
void ngx_http_apigw_usage_exit_master(ngx_cycle_t *cycle);
ngx_int_t ngx_http_apigw_usage_run(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last);
void ngx_http_apigw_usage_unwritten(ngx_apigw_helper_t *helper,
    ngx_log_t *log);


/* ngx_http_apigw_usage_late.c */

void ngx_http_apigw_usage_late_init(ngx_http_apigw_usage_zone_t *ctx);
void ngx_http_apigw_usage_late_stop(ngx_http_apigw_usage_zone_t *ctx);

/*
 * Keeps what could not be added until there is room: a row for an entry, units
 * for a counter.  A row that need not be in the ledger may be dropped.
 */

void ngx_http_apigw_usage_late_row(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_row_t *row, ngx_uint_t needed);
void ngx_http_apigw_usage_late_units(ngx_http_apigw_usage_zone_t *ctx,
    const ngx_apigw_counter_id_t *id, const ngx_apigw_counter_info_t *info,
    int64_t units);

/* Tries to add some of it; returns how much is left. */

ngx_uint_t ngx_http_apigw_usage_late_run(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log);

/* Gives up, counts what is left and says so. */

void ngx_http_apigw_usage_late_lost(ngx_http_apigw_usage_zone_t *ctx,
    ngx_log_t *log);


/* ngx_http_apigw_usage_charge.c */

/*
 * Decides about a request and charges it; eval->result tells.  The caller has
 * set eval's first members.
 */

void ngx_http_apigw_usage_evaluate(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval);

/* Looks at the quotas and takes from none. */

void ngx_http_apigw_usage_observe(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval);

/*
 * Changes what was charged to "units", in the end.  eval->over is then what
 * the request has added to the units beyond the limit; less than 0 if it made
 * room within the limit for what others were charged beyond it.
 */

void ngx_http_apigw_usage_settle(ngx_http_request_t *r,
    ngx_http_apigw_usage_eval_t *eval, uint64_t units);

/* Seconds until a quota admits the cost, -1 if that is never. */

time_t ngx_http_apigw_usage_wait(ngx_http_apigw_usage_eval_t *eval,
    ngx_http_apigw_usage_quota_t *q);

/* The quota that refused or has the least left; NULL if none is limited. */

ngx_http_apigw_usage_quota_t *ngx_http_apigw_usage_nearest(
    ngx_http_apigw_usage_eval_t *eval);


/* ngx_http_apigw_usage_report.c */

ngx_int_t ngx_http_apigw_usage_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_apigw_usage_refuse(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_uint_t status);
char *ngx_http_apigw_usage_self(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* ngx_http_apigw_usage_fields.c */

ngx_int_t ngx_http_apigw_usage_headers(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);

/* The quoted name of a plan's policy, by kind of window or _RATE. */

u_char *ngx_http_apigw_usage_policy(u_char *p, const ngx_apigw_plan_t *plan,
    ngx_uint_t kind);
uint64_t ngx_http_apigw_usage_left(ngx_http_apigw_usage_quota_t *q);
time_t ngx_http_apigw_usage_seconds(ngx_http_apigw_usage_quota_t *q);
time_t ngx_http_apigw_usage_rate_wait(ngx_apigw_charge_t *charge);


/* ngx_http_apigw_usage_caller.c */

ngx_int_t ngx_http_apigw_usage_identify(ngx_http_request_t *r,
    ngx_http_apigw_usage_loc_conf_t *lcf, ngx_http_apigw_usage_ctx_t *ctx);
ngx_uint_t ngx_http_apigw_usage_refused(ngx_http_request_t *r);

/* Sets the plan, and finds what it has for the API. */

ngx_int_t ngx_http_apigw_usage_set_plan(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx, ngx_http_apigw_usage_eval_t *eval,
    const ngx_apigw_plan_t *plan);

ngx_int_t ngx_http_apigw_usage_value(ngx_http_request_t *r,
    ngx_http_apigw_usage_value_t *value, ngx_str_t *s);

/*
 * Checks a value of api_usage and the like as far as it has no variables: a
 * plan is remembered and looked for once all are read, and set unless NULL.
 */

ngx_int_t ngx_http_apigw_usage_literal(ngx_conf_t *cf, ngx_uint_t n,
    ngx_str_t *text, ngx_apigw_plan_t **plan);

ngx_uint_t ngx_http_apigw_usage_late(ngx_str_t *text);
char *ngx_http_apigw_usage_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_apigw_usage_value_t *value);
ngx_int_t ngx_http_apigw_usage_init_values(ngx_conf_t *cf);


/* ngx_http_apigw_usage_log.c */

ngx_int_t ngx_http_apigw_usage_enter(ngx_http_request_t *r,
    ngx_http_apigw_usage_ctx_t *ctx);
ngx_int_t ngx_http_apigw_usage_log_handler(ngx_http_request_t *r);
uint64_t ngx_http_apigw_usage_units(ngx_str_t *text, uint64_t unknown);


#pragma GCC visibility pop


/* The limit of a quota without overage, with what was granted. */

static ngx_inline uint64_t
ngx_http_apigw_usage_nominal(ngx_http_apigw_usage_quota_t *q)
{
    uint64_t  extra;

    extra = q->quota->ceiling - q->quota->limit;

    return q->total > extra ? q->total - extra : 0;
}


#endif /* _NGX_HTTP_APIGW_USAGE_H_INCLUDED_ */
