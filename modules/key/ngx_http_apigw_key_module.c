/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_helper.h"
#include "ngx_apigw_key_cache.h"
#include "ngx_apigw_zone.h"
#include "ngx_http_apigw_key_source.h"
#include "ngx_http_apigw_request.h"


/*
 * In the shared memory of a zone: numbers, and what the helper has to know
 * about its predecessor.  The keys themselves are in the store, which every
 * worker opens for itself at its first look-up and reads without a lock.  So
 * a reload or a restart loses at most the numbers, and kill -9 of any process
 * leaves nothing half done; the slot of a killed reader is freed by the
 * helper.
 */


#define NGX_HTTP_APIGW_KEY_INTERVAL  10000
#define NGX_HTTP_APIGW_KEY_RETRY     1


typedef enum {
    NGX_HTTP_APIGW_KEY_OK = 0,
    NGX_HTTP_APIGW_KEY_MISSING,
    NGX_HTTP_APIGW_KEY_MALFORMED,
    NGX_HTTP_APIGW_KEY_CONFLICT,
    NGX_HTTP_APIGW_KEY_UNKNOWN,
    NGX_HTTP_APIGW_KEY_DECOY,
    NGX_HTTP_APIGW_KEY_DISABLED,
    NGX_HTTP_APIGW_KEY_EARLY,
    NGX_HTTP_APIGW_KEY_EXPIRED,
    NGX_HTTP_APIGW_KEY_ADDRESS,
    NGX_HTTP_APIGW_KEY_SCOPE,
    NGX_HTTP_APIGW_KEY_UNAVAILABLE,
    NGX_HTTP_APIGW_KEY_VERDICTS
} ngx_http_apigw_key_verdict_e;


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   status;
    ngx_str_t                    detail;
} ngx_http_apigw_key_reason_t;


typedef struct {
    ngx_atomic_t                 verdicts[NGX_HTTP_APIGW_KEY_VERDICTS];
    ngx_atomic_t                 logged;    /* when, see log_due */
    ngx_apigw_helper_guard_t     guard;
} ngx_http_apigw_key_shared_t;


typedef struct {
    ngx_apigw_zone_t             zone;
    ngx_http_apigw_key_shared_t  *sh;
    ngx_slab_pool_t             *shpool;
    ngx_str_t                    store;
    ngx_str_t                    prefix;
    ngx_apigw_helper_t           helper;

    /* private to a process */

    ngx_apigw_key_cache_t       *cache;
    time_t                       checked;   /* when the store was */
    ngx_uint_t                   error;     /* 1: not usable then */
} ngx_http_apigw_key_zone_t;


typedef struct {
    ngx_array_t                  helpers;   /* ngx_apigw_helper_t * */
} ngx_http_apigw_key_main_conf_t;


typedef struct {
    ngx_array_t                 *scopes;    /* ngx_str_t */
    ngx_uint_t                   any;       /* one of them will do */
} ngx_http_apigw_key_require_t;


typedef struct {
    ngx_shm_zone_t              *shm_zone;  /* NULL: off */
    ngx_flag_t                   optional;
    ngx_flag_t                   strip;
    ngx_array_t                 *sources;   /* ngx_http_apigw_key_source_t */
    ngx_array_t                 *requires;  /* ngx_http_apigw_key_require_t */
    ngx_str_t                    realm;
    ngx_str_t                    challenge[2];  /* no key, a wrong key */
} ngx_http_apigw_key_loc_conf_t;


typedef struct {
    ngx_http_apigw_problem_t     problem;

    ngx_http_apigw_key_zone_t   *zone;      /* of the verdict */
    ngx_array_t                 *sources;   /* where the key was found */
    ngx_uint_t                   found;     /* a bit for each */
    ngx_str_t                    key;
    ngx_apigw_key_entry_t       *entry;     /* of a valid key only */
    ngx_http_apigw_key_verdict_e  verdict;

    unsigned                     extracted:1;
    unsigned                     conflict:1;
    unsigned                     stripped:1;
    unsigned                     decided:1;
    unsigned                     counted:1;
} ngx_http_apigw_key_ctx_t;


static ngx_int_t ngx_http_apigw_key_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_key_precontent_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_key_authenticate(ngx_http_request_t *r,
    ngx_http_apigw_key_ctx_t **ctxp);
static ngx_int_t ngx_http_apigw_key_find(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_key_decide(ngx_http_request_t *r,
    ngx_http_apigw_key_ctx_t *ctx);
static ngx_http_apigw_key_verdict_e ngx_http_apigw_key_judge(
    ngx_http_request_t *r, ngx_apigw_key_record_t *rec);
static ngx_uint_t ngx_http_apigw_key_address(ngx_http_request_t *r,
    ngx_apigw_key_record_t *rec);
static void ngx_http_apigw_key_release(void *data);
static ngx_apigw_key_cache_t *ngx_http_apigw_key_get_cache(
    ngx_http_request_t *r, ngx_http_apigw_key_zone_t *zone);
static void ngx_http_apigw_key_store_error(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone, int rc);
static ngx_int_t ngx_http_apigw_key_strip_request(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx);
static ngx_http_apigw_key_require_t *ngx_http_apigw_key_missing_scope(
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_apigw_key_record_t *rec);
static void ngx_http_apigw_key_count(ngx_http_request_t *r,
    ngx_http_apigw_key_ctx_t *ctx, ngx_http_apigw_key_verdict_e verdict);
static ngx_int_t ngx_http_apigw_key_refuse(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_verdict_e verdict);
static ngx_int_t ngx_http_apigw_key_refuse_scope(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_require_t *require);

static ngx_int_t ngx_http_apigw_key_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_key_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);

static ngx_int_t ngx_http_apigw_key_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_expires_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_rate_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_burst_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_quota_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_label_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_apigw_key_record_t *ngx_http_apigw_key_record(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, ngx_int_t *rc);
static ngx_int_t ngx_http_apigw_key_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, int64_t n, const char *suffix);
static ngx_int_t ngx_http_apigw_key_add_variables(ngx_conf_t *cf);

static ngx_int_t ngx_http_apigw_key_collect(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);
static ngx_int_t ngx_http_apigw_key_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static void ngx_http_apigw_key_cleanup_zone(void *data);
static ngx_int_t ngx_http_apigw_key_help(ngx_apigw_helper_t *helper,
    ngx_log_t *log, ngx_uint_t last);
static ngx_array_t *ngx_http_apigw_key_helpers(ngx_cycle_t *cycle);

static void *ngx_http_apigw_key_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_apigw_key_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_key_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_apigw_key_merge_sources(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *prev, ngx_http_apigw_key_loc_conf_t *conf);
static ngx_int_t ngx_http_apigw_key_make_challenges(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *conf);
static char *ngx_http_apigw_key_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_key_source(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_key_require(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_key_realm(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_apigw_key_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_key_init_process(ngx_cycle_t *cycle);
static void ngx_http_apigw_key_exit_master(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_apigw_key_filter_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_apigw_key_commands[] = {

    { ngx_string("auth_api_key_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_apigw_key_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_api_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE12,
      ngx_http_apigw_key,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_api_key_source"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_1MORE,
      ngx_http_apigw_key_source,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_api_key_strip"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_key_loc_conf_t, strip),
      NULL },

    { ngx_string("auth_api_key_require"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_key_require,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_api_key_realm"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_key_realm,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apigw_key_module_ctx = {
    ngx_http_apigw_key_add_variables,      /* preconfiguration */
    ngx_http_apigw_key_init,               /* postconfiguration */

    ngx_http_apigw_key_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apigw_key_create_loc_conf,    /* create location configuration */
    ngx_http_apigw_key_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_apigw_key_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_key_module_ctx,        /* module context */
    ngx_http_apigw_key_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_apigw_key_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    ngx_http_apigw_key_exit_master,        /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_module_t  ngx_http_apigw_key_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apigw_key_filter_init,        /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


#pragma GCC visibility push(hidden)

ngx_module_t  ngx_http_apigw_key_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_key_filter_module_ctx, /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};

#pragma GCC visibility pop


static ngx_http_variable_t  ngx_http_apigw_key_vars[] = {

    { ngx_string("api_key_id"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, id), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_consumer"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, consumer), NGX_HTTP_VAR_NOCACHEABLE,
      0 },

    { ngx_string("api_key_plan"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, plan), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_name"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, name), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_scopes"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, scopes), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_expires"), NULL,
      ngx_http_apigw_key_expires_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_rate"), NULL, ngx_http_apigw_key_rate_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_burst"), NULL, ngx_http_apigw_key_burst_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_quota"), NULL, ngx_http_apigw_key_quota_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_status"), NULL, ngx_http_apigw_key_status_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_label_"), NULL, ngx_http_apigw_key_label_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },

      ngx_http_null_variable
};


/*
 * By verdict.  A decoy gets the answer of an unknown key: whoever tries it
 * must not learn that it was noticed.
 */

static ngx_http_apigw_key_reason_t  ngx_http_apigw_key_reasons[] = {

    { ngx_string("ok"), 0, ngx_null_string },

    { ngx_string("missing"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("An API key is required.") },

    { ngx_string("malformed"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is malformed.") },

    { ngx_string("conflict"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("The request carries two different API keys.") },

    { ngx_string("unknown"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is unknown.") },

    { ngx_string("decoy"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is unknown.") },

    { ngx_string("disabled"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is disabled.") },

    { ngx_string("early"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is not valid yet.") },

    { ngx_string("expired"), NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key has expired.") },

    { ngx_string("address"), NGX_HTTP_FORBIDDEN,
      ngx_string("The API key may not be used from this address.") },

    { ngx_string("scope"), NGX_HTTP_FORBIDDEN, ngx_null_string },

    { ngx_string("unavailable"), NGX_HTTP_SERVICE_UNAVAILABLE,
      ngx_string("API keys cannot be checked at the moment.") }
};


#define ngx_http_apigw_key_metric(name, verdict, help)                        \
    { name, help, NGX_APIGW_COUNTER,                                          \
      offsetof(ngx_http_apigw_key_shared_t,                                   \
               verdicts[NGX_HTTP_APIGW_KEY_##verdict]) }


static const ngx_apigw_metric_t  ngx_http_apigw_key_metrics[] = {
    ngx_http_apigw_key_metric("accepted", OK,
                              "Requests with a valid key."),
    ngx_http_apigw_key_metric("missing", MISSING,
                              "Requests without a key."),
    ngx_http_apigw_key_metric("malformed", MALFORMED,
                              "Requests with what cannot be a key."),
    ngx_http_apigw_key_metric("conflict", CONFLICT,
                              "Requests with two different keys."),
    ngx_http_apigw_key_metric("unknown", UNKNOWN,
                              "Requests with an unknown key."),
    ngx_http_apigw_key_metric("decoy", DECOY,
                              "Requests with a decoy key."),
    ngx_http_apigw_key_metric("disabled", DISABLED,
                              "Requests with a disabled key."),
    ngx_http_apigw_key_metric("early", EARLY,
                              "Requests with a key that is not valid yet."),
    ngx_http_apigw_key_metric("expired", EXPIRED,
                              "Requests with an expired key."),
    ngx_http_apigw_key_metric("address", ADDRESS,
                              "Requests from an address not allowed."),
    ngx_http_apigw_key_metric("scope", SCOPE,
                              "Requests with a key that lacks a scope."),
    ngx_http_apigw_key_metric("unavailable", UNAVAILABLE,
                              "Requests refused as keys could not be read."),
    ngx_apigw_metric_end
};


static ngx_str_t  ngx_http_apigw_key_unauthorized =
    ngx_string("Unauthorized");
static ngx_str_t  ngx_http_apigw_key_forbidden = ngx_string("Forbidden");
static ngx_str_t  ngx_http_apigw_key_unavailable =
    ngx_string("Service Unavailable");


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_apigw_key_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_apigw_key_ctx_t       *ctx;
    ngx_http_apigw_key_require_t   *require;
    ngx_http_apigw_key_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_key_module);

    if (lcf->shm_zone == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    rc = ngx_http_apigw_key_authenticate(r, &ctx);
    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (lcf->strip
        && ngx_http_apigw_key_strip_request(r, lcf, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->verdict == NGX_HTTP_APIGW_KEY_SCOPE) {

        /* that was in another location */

        ctx->verdict = NGX_HTTP_APIGW_KEY_OK;
    }

    if (ctx->verdict == NGX_HTTP_APIGW_KEY_MISSING && lcf->optional) {
        ngx_http_apigw_key_count(r, ctx, ctx->verdict);
        return NGX_DECLINED;
    }

    if (ctx->verdict != NGX_HTTP_APIGW_KEY_OK) {
        return ngx_http_apigw_key_refuse(r, lcf, ctx, ctx->verdict);
    }

    require = ngx_http_apigw_key_missing_scope(lcf, &ctx->entry->record);

    if (require) {
        return ngx_http_apigw_key_refuse_scope(r, lcf, ctx, require);
    }

    ngx_http_apigw_key_count(r, ctx, NGX_HTTP_APIGW_KEY_OK);

    return NGX_OK;
}


/* With "satisfy any" another module may have let the request pass. */

static ngx_int_t
ngx_http_apigw_key_precontent_handler(ngx_http_request_t *r)
{
    ngx_http_apigw_key_ctx_t       *ctx;
    ngx_http_apigw_key_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_key_module);

    if (lcf->shm_zone == NULL || !lcf->strip || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_key_module);

    if (ctx && ctx->stripped && ctx->sources == lcf->sources) {
        return NGX_DECLINED;
    }

    if (ctx == NULL) {
        ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_key_module,
                                        sizeof(ngx_http_apigw_key_ctx_t));
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ngx_http_apigw_key_find(r, lcf, ctx) != NGX_OK
        || ngx_http_apigw_key_strip_request(r, lcf, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


/*
 * Gives the verdict on the request in its present location, once for a zone
 * and its sources.  In a location without a zone an earlier verdict holds;
 * without any NGX_DECLINED is returned.
 */

static ngx_int_t
ngx_http_apigw_key_authenticate(ngx_http_request_t *r,
    ngx_http_apigw_key_ctx_t **ctxp)
{
    ngx_http_apigw_key_ctx_t       *ctx;
    ngx_http_apigw_key_zone_t      *zone;
    ngx_http_apigw_key_loc_conf_t  *lcf;

    r = r->main;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_key_module);

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_key_module);

    *ctxp = ctx;

    if (lcf->shm_zone == NULL) {
        return (ctx && ctx->decided) ? NGX_OK : NGX_DECLINED;
    }

    zone = lcf->shm_zone->data;

    if (ctx == NULL) {
        ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_key_module,
                                        sizeof(ngx_http_apigw_key_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        *ctxp = ctx;

    } else if (ctx->decided && ctx->zone == zone
               && ctx->sources == lcf->sources)
    {
        return NGX_OK;
    }

    ctx->zone = zone;
    ctx->entry = NULL;
    ctx->decided = 0;
    ctx->counted = 0;

    if (ngx_http_apigw_key_find(r, lcf, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_apigw_key_decide(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->decided = 1;

    return NGX_OK;
}


/*
 * Finds the key by the sources of the location.  A key that was found and
 * removed before an internal redirect is presented again.
 */

static ngx_int_t
ngx_http_apigw_key_find(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx)
{
    ngx_str_t                   key;
    ngx_int_t                   rc;
    ngx_uint_t                  found;
    ngx_http_apigw_key_zone_t  *zone;

    if (ctx->extracted && ctx->sources == lcf->sources) {
        return NGX_OK;
    }

    zone = lcf->shm_zone->data;

    rc = ngx_http_apigw_key_extract(r, lcf->sources, &zone->prefix, &key,
                                    &found);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_DECLINED || !ctx->stripped) {
        ctx->conflict = (rc == NGX_ABORT);
        ctx->key.len = 0;

        if (rc == NGX_OK) {
            ctx->key = key;
        }
    }

    ctx->sources = lcf->sources;
    ctx->found = found;
    ctx->extracted = 1;
    ctx->stripped = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_decide(ngx_http_request_t *r, ngx_http_apigw_key_ctx_t *ctx)
{
    int                     rc;
    ngx_pool_cleanup_t     *cln;
    ngx_apigw_key_cache_t  *cache;
    ngx_apigw_key_entry_t  *entry;

    if (ctx->conflict) {
        ctx->verdict = NGX_HTTP_APIGW_KEY_CONFLICT;
        return NGX_OK;
    }

    if (ctx->key.len == 0) {
        ctx->verdict = NGX_HTTP_APIGW_KEY_MISSING;
        return NGX_OK;
    }

    cache = ngx_http_apigw_key_get_cache(r, ctx->zone);

    if (cache == NULL) {
        ctx->verdict = NGX_HTTP_APIGW_KEY_UNAVAILABLE;
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_apigw_key_cache_get(cache, &ctx->key, &ctx->zone->prefix, &entry);

    switch (rc) {

    case 0:
        cln->handler = ngx_http_apigw_key_release;
        cln->data = entry;

        ctx->verdict = ngx_http_apigw_key_judge(r, &entry->record);

        if (ctx->verdict == NGX_HTTP_APIGW_KEY_OK) {
            ctx->entry = entry;
        }

        break;

    case MDB_NOTFOUND:
        ctx->verdict = NGX_HTTP_APIGW_KEY_UNKNOWN;
        break;

    case NGX_APIGW_KEY_CACHE_EMALFORMED:
        ctx->verdict = NGX_HTTP_APIGW_KEY_MALFORMED;
        break;

    default:
        ctx->verdict = NGX_HTTP_APIGW_KEY_UNAVAILABLE;
        ngx_http_apigw_key_store_error(r, ctx->zone, rc);
    }

    return NGX_OK;
}


static ngx_http_apigw_key_verdict_e
ngx_http_apigw_key_judge(ngx_http_request_t *r, ngx_apigw_key_record_t *rec)
{
    time_t                        now;
    ngx_uint_t                    level;
    ngx_http_apigw_key_verdict_e  verdict;

    now = ngx_time();

    if (rec->decoy) {
        verdict = NGX_HTTP_APIGW_KEY_DECOY;

    } else if (!rec->enabled) {
        verdict = NGX_HTTP_APIGW_KEY_DISABLED;

    } else if (rec->not_before > now) {
        verdict = NGX_HTTP_APIGW_KEY_EARLY;

    } else if (rec->expires && rec->expires <= now) {
        verdict = NGX_HTTP_APIGW_KEY_EXPIRED;

    } else if (rec->allow.len && !ngx_http_apigw_key_address(r, rec)) {
        verdict = NGX_HTTP_APIGW_KEY_ADDRESS;

    } else {
        return NGX_HTTP_APIGW_KEY_OK;
    }

    level = rec->decoy ? NGX_LOG_WARN : NGX_LOG_INFO;

    ngx_log_error(level, r->connection->log, 0,
                  "API key \"%V\" of \"%V\" was refused: %V",
                  &rec->id, &rec->consumer,
                  &ngx_http_apigw_key_reasons[verdict].name);

    return verdict;
}


static ngx_uint_t
ngx_http_apigw_key_address(ngx_http_request_t *r, ngx_apigw_key_record_t *rec)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (r->connection->sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) r->connection->sockaddr;
        return ngx_apigw_key_address_allowed(rec, (u_char *) &sin->sin_addr,
                                             4);

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;
        return ngx_apigw_key_address_allowed(rec, sin6->sin6_addr.s6_addr, 16);
#endif

    default:
        return 0;
    }
}


static void
ngx_http_apigw_key_release(void *data)
{
    ngx_apigw_key_entry_release(data);
}


/* Opens the store if need be; looks once a second whether it is still it. */

static ngx_apigw_key_cache_t *
ngx_http_apigw_key_get_cache(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone)
{
    int     rc;
    char   *directory;
    time_t  now;

    now = ngx_time();

    if (zone->checked == now) {
        return zone->cache;
    }

    zone->checked = now;
    directory = (char *) zone->helper.directory.data;

    if (zone->cache) {
        rc = ngx_apigw_key_cache_check(zone->cache, directory);

        if (rc == 0) {
            return zone->cache;
        }

        ngx_apigw_key_cache_close(zone->cache);
        zone->cache = NULL;
    }

    rc = ngx_apigw_key_cache_open(&zone->cache, directory);

    if (rc != 0) {
        zone->cache = NULL;
        ngx_http_apigw_key_store_error(r, zone, rc);
        return NULL;
    }

    if (zone->error) {
        zone->error = 0;

        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                      "the store of keys \"%V\" is readable again",
                      &zone->store);
    }

    return zone->cache;
}


static void
ngx_http_apigw_key_store_error(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone, int rc)
{
    zone->error = 1;

    if (ngx_apigw_log_due(&zone->sh->logged)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "cannot read the store of keys \"%V\": %s",
                      &zone->store, ngx_apigw_key_store_strerror(rc));
    }

    if (zone->cache == NULL
        || rc == NGX_APIGW_KEY_STORE_EBROKEN
        || rc == NGX_APIGW_KEY_STORE_ELATER)
    {
        return;
    }

    /* begin anew in the next second */

    ngx_apigw_key_cache_close(zone->cache);
    zone->cache = NULL;
}


static ngx_int_t
ngx_http_apigw_key_strip_request(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx)
{
    ngx_http_apigw_key_zone_t  *zone;

    if (ctx->stripped) {
        return NGX_OK;
    }

    ctx->stripped = 1;

    if (ctx->found == 0) {
        return NGX_OK;
    }

    zone = lcf->shm_zone->data;

    return ngx_http_apigw_key_strip(r, ctx->sources, &zone->prefix,
                                    ctx->found);
}


static ngx_http_apigw_key_require_t *
ngx_http_apigw_key_missing_scope(ngx_http_apigw_key_loc_conf_t *lcf,
    ngx_apigw_key_record_t *rec)
{
    ngx_str_t                     *scope;
    ngx_uint_t                     i, n, has;
    ngx_http_apigw_key_require_t  *require;

    if (lcf->requires == NULL) {
        return NULL;
    }

    require = lcf->requires->elts;

    for (i = 0; i < lcf->requires->nelts; i++) {

        scope = require[i].scopes->elts;
        has = 0;

        for (n = 0; n < require[i].scopes->nelts; n++) {
            has += ngx_apigw_key_scope_has(rec, &scope[n]);
        }

        if (has < (require[i].any ? 1 : n)) {
            return &require[i];
        }
    }

    return NULL;
}


static void
ngx_http_apigw_key_count(ngx_http_request_t *r, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_verdict_e verdict)
{
    if (ctx->counted) {
        return;
    }

    ctx->counted = 1;

    (void) ngx_atomic_fetch_add(&ctx->zone->sh->verdicts[verdict], 1);
}


static ngx_int_t
ngx_http_apigw_key_refuse(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_verdict_e verdict)
{
    ngx_http_apigw_problem_t     *pr;
    ngx_http_apigw_key_reason_t  *reason;

    ngx_http_apigw_key_count(r, ctx, verdict);

    reason = &ngx_http_apigw_key_reasons[verdict];

    pr = &ctx->problem;

    ngx_memzero(pr, sizeof(ngx_http_apigw_problem_t));

    pr->status = reason->status;
    pr->detail = reason->detail;

    switch (reason->status) {

    case NGX_HTTP_UNAUTHORIZED:
        pr->title = ngx_http_apigw_key_unauthorized;
        pr->authenticate =
                     lcf->challenge[verdict != NGX_HTTP_APIGW_KEY_MISSING];
        break;

    case NGX_HTTP_FORBIDDEN:
        pr->title = ngx_http_apigw_key_forbidden;
        break;

    default: /* NGX_HTTP_SERVICE_UNAVAILABLE */
        pr->title = ngx_http_apigw_key_unavailable;
        pr->retry_after = NGX_HTTP_APIGW_KEY_RETRY;
        break;
    }

    return ngx_http_apigw_refuse(r, pr);
}


/* A scope has no character that would need an escape in JSON. */

static ngx_int_t
ngx_http_apigw_key_refuse_scope(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_require_t *require)
{
    size_t                   len;
    u_char                  *p;
    ngx_str_t               *scope;
    ngx_uint_t               i, n;
    ngx_apigw_key_record_t  *rec;

    rec = &ctx->entry->record;
    ctx->verdict = NGX_HTTP_APIGW_KEY_SCOPE;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "API key \"%V\" of \"%V\" was refused: scope",
                  &rec->id, &rec->consumer);

    (void) ngx_http_apigw_key_refuse(r, lcf, ctx, NGX_HTTP_APIGW_KEY_SCOPE);

    scope = require->scopes->elts;
    n = require->scopes->nelts;

    len = sizeof("\"error\":\"insufficient_scope\",\"missing_scopes\":[]") - 1;

    for (i = 0; i < n; i++) {
        len += scope[i].len + sizeof("\"\",") - 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->problem.members.data = p;

    p = ngx_cpymem(p, "\"error\":\"insufficient_scope\",\"missing_scopes\":[",
                   sizeof("\"error\":\"insufficient_scope\","
                          "\"missing_scopes\":[") - 1);

    for (i = 0; i < n; i++) {

        if (ngx_apigw_key_scope_has(rec, &scope[i])) {
            continue;
        }

        if (p[-1] != '[') {
            *p++ = ',';
        }

        *p++ = '"';
        p = ngx_cpymem(p, scope[i].data, scope[i].len);
        *p++ = '"';
    }

    *p++ = ']';

    ctx->problem.members.len = p - ctx->problem.members.data;

    if (require->any) {
        ngx_str_set(&ctx->problem.detail,
                    "The API key has none of the scopes that are needed.");
    } else {
        ngx_str_set(&ctx->problem.detail,
                    "The API key lacks a scope that is needed.");
    }

    return ctx->problem.status;
}


static ngx_int_t
ngx_http_apigw_key_header_filter(ngx_http_request_t *r)
{
    ngx_http_apigw_key_ctx_t  *ctx;

    if (r == r->main) {
        ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_key_module);

        if (ctx && ctx->problem.status
            && ngx_http_apigw_problem_header(r, &ctx->problem) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_apigw_key_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_apigw_key_ctx_t  *ctx;

    if (r == r->main) {
        ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_key_module);

        if (ctx && ctx->problem.status) {
            in = ngx_http_apigw_problem_body(r, &ctx->problem, in);

            if (in == NGX_CHAIN_ERROR) {
                return NGX_ERROR;
            }
        }
    }

    return ngx_http_next_body_filter(r, in);
}


static ngx_int_t
ngx_http_apigw_key_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec) {
        ngx_http_apigw_variable_set(v, (ngx_str_t *) ((u_char *) rec + data));
    }

    return rc;
}


static ngx_int_t
ngx_http_apigw_key_expires_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec && rec->expires) {
        return ngx_http_apigw_key_number(r, v, rec->expires, "");
    }

    return rc;
}


static ngx_int_t
ngx_http_apigw_key_rate_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec == NULL || rec->rate == 0) {
        return rc;
    }

    switch (rec->rate_period) {

    case NGX_APIGW_KEY_PER_SECOND:
        return ngx_http_apigw_key_number(r, v, rec->rate, "r/s");

    case NGX_APIGW_KEY_PER_MINUTE:
        return ngx_http_apigw_key_number(r, v, rec->rate, "r/m");

    default: /* NGX_APIGW_KEY_PER_HOUR */
        return ngx_http_apigw_key_number(r, v, rec->rate, "r/h");
    }
}


static ngx_int_t
ngx_http_apigw_key_burst_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec && rec->burst >= 0) {
        return ngx_http_apigw_key_number(r, v, rec->burst, "");
    }

    return rc;
}


/* "1000/day,50000/month" */

static ngx_int_t
ngx_http_apigw_key_quota_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                   pos, len;
    u_char                  *p;
    int64_t                  limit;
    ngx_int_t                rc;
    ngx_str_t                value;
    ngx_apigw_key_record_t  *rec;
    ngx_apigw_key_period_e   period;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec == NULL || rec->quotas.len == 0) {
        return rc;
    }

    pos = 0;
    len = 0;

    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {
        len += NGX_INT64_LEN + sizeof("/lifetime,") - 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    pos = 0;

    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {

        if (p != value.data) {
            *p++ = ',';
        }

        p = ngx_sprintf(p, "%L/%s", limit, ngx_apigw_key_period_name(period));
    }

    value.len = p - value.data;

    ngx_http_apigw_variable_set(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_label_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_str_t                name, value;
    ngx_str_t               *variable = (ngx_str_t *) data;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec == NULL) {
        return rc;
    }

    name.data = variable->data + sizeof("api_key_label_") - 1;
    name.len = variable->len - (sizeof("api_key_label_") - 1);

    if (ngx_apigw_key_label_get(rec, &name, &value)) {
        ngx_http_apigw_variable_set(v, &value);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                  rc;
    ngx_http_apigw_key_ctx_t  *ctx;

    rc = ngx_http_apigw_key_authenticate(r, &ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        v->valid = 0;
        v->no_cacheable = 0;
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_apigw_variable_set(v,
                            &ngx_http_apigw_key_reasons[ctx->verdict].name);

    return NGX_OK;
}


/*
 * The record of the caller's valid key, or NULL and what a getter then
 * returns, with the variable set to "not found".
 */

static ngx_apigw_key_record_t *
ngx_http_apigw_key_record(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    ngx_int_t *rc)
{
    ngx_http_apigw_key_ctx_t  *ctx;

    v->valid = 0;
    v->no_cacheable = 0;
    v->not_found = 1;

    if (ngx_http_apigw_key_authenticate(r, &ctx) == NGX_ERROR) {
        *rc = NGX_ERROR;
        return NULL;
    }

    *rc = NGX_OK;

    return (ctx && ctx->entry) ? &ctx->entry->record : NULL;
}


static ngx_int_t
ngx_http_apigw_key_number(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    int64_t n, const char *suffix)
{
    u_char     *p;
    ngx_str_t   value;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + ngx_strlen(suffix));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%L%s", n, suffix) - p;

    ngx_http_apigw_variable_set(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_apigw_key_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_collect(ngx_apigw_zone_t *zone, ngx_apigw_emit_pt emit,
    void *data)
{
    ngx_http_apigw_key_zone_t  *kz = (ngx_http_apigw_key_zone_t *) zone;

    return ngx_apigw_zone_emit(zone, ngx_http_apigw_key_metrics, kz->sh, emit,
                               data);
}


static ngx_int_t
ngx_http_apigw_key_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                      len;
    ngx_http_apigw_key_zone_t  *zone, *ozone;

    zone = shm_zone->data;
    ozone = data;

    if (ozone) {

        if (ozone->store.len != zone->store.len
            || ngx_strncmp(ozone->store.data, zone->store.data,
                           zone->store.len)
               != 0)
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "auth_api_key_zone \"%V\" uses the store \"%V\" "
                          "while previously it used \"%V\"; "
                          "give the zone another name",
                          &shm_zone->shm.name, &zone->store, &ozone->store);
            return NGX_ERROR;
        }

        zone->sh = ozone->sh;
        zone->shpool = ozone->shpool;
        zone->helper.guard = &zone->sh->guard;

        return NGX_OK;
    }

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;
        zone->helper.guard = &zone->sh->guard;

        return NGX_OK;
    }

    zone->sh = ngx_slab_calloc(zone->shpool,
                               sizeof(ngx_http_apigw_key_shared_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;
    zone->helper.guard = &zone->sh->guard;

    len = sizeof(" in auth_api_key_zone \"\"") + shm_zone->shm.name.len;

    zone->shpool->log_ctx = ngx_slab_alloc(zone->shpool, len);
    if (zone->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(zone->shpool->log_ctx, " in auth_api_key_zone \"%V\"%Z",
                &shm_zone->shm.name);

    return NGX_OK;
}


/* The end of a worker, or of a cycle with "master_process off". */

static void
ngx_http_apigw_key_cleanup_zone(void *data)
{
    ngx_http_apigw_key_zone_t  *zone = data;

    if (zone->cache) {
        ngx_apigw_key_cache_close(zone->cache);
        zone->cache = NULL;
    }
}


/* Frees the slots of killed readers, so that the store does not fill up. */

static ngx_int_t
ngx_http_apigw_key_help(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last)
{
    int                 rc;
    ngx_apigw_store_t  *store;

    if (last) {
        return NGX_OK;
    }

    rc = ngx_apigw_store_open(&store, (char *) helper->directory.data,
                              &ngx_apigw_key_store_kind);
    if (rc != 0) {

        /* the workers tell */

        return NGX_OK;
    }

    (void) ngx_apigw_store_check_readers(store);

    ngx_apigw_store_close(store);

    return NGX_OK;
}


static ngx_array_t *
ngx_http_apigw_key_helpers(ngx_cycle_t *cycle)
{
    ngx_http_apigw_key_main_conf_t  *kmcf;

    kmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_apigw_key_module);

    return kmcf ? &kmcf->helpers : NULL;
}


static void *
ngx_http_apigw_key_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_key_main_conf_t  *kmcf;

    kmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_key_main_conf_t));
    if (kmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&kmcf->helpers, cf->pool, 2,
                       sizeof(ngx_apigw_helper_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return kmcf;
}


static void *
ngx_http_apigw_key_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_key_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_key_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->realm = { 0, NULL };
     *     conf->challenge = { { 0, NULL } };
     */

    conf->shm_zone = NGX_CONF_UNSET_PTR;
    conf->optional = NGX_CONF_UNSET;
    conf->strip = NGX_CONF_UNSET;
    conf->sources = NGX_CONF_UNSET_PTR;
    conf->requires = NGX_CONF_UNSET_PTR;

    return conf;
}


static char *
ngx_http_apigw_key_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_apigw_key_loc_conf_t *prev = parent;
    ngx_http_apigw_key_loc_conf_t *conf = child;

    ngx_conf_merge_ptr_value(conf->shm_zone, prev->shm_zone, NULL);
    ngx_conf_merge_value(conf->optional, prev->optional, 0);
    ngx_conf_merge_value(conf->strip, prev->strip, 1);
    ngx_conf_merge_ptr_value(conf->requires, prev->requires, NULL);
    ngx_conf_merge_str_value(conf->realm, prev->realm, "api");

    if (ngx_http_apigw_key_merge_sources(cf, prev, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->shm_zone
        && ngx_http_apigw_key_make_challenges(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* The default is one array for all, since arrays are compared by address. */

static ngx_int_t
ngx_http_apigw_key_merge_sources(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *prev, ngx_http_apigw_key_loc_conf_t *conf)
{
    ngx_str_t                     value;
    ngx_http_apigw_key_source_t  *source;

    if (conf->sources != NGX_CONF_UNSET_PTR) {
        return NGX_OK;
    }

    if (prev->sources == NGX_CONF_UNSET_PTR) {

        prev->sources = ngx_array_create(cf->pool, 1,
                                         sizeof(ngx_http_apigw_key_source_t));
        if (prev->sources == NULL) {
            return NGX_ERROR;
        }

        source = ngx_array_push(prev->sources);

        ngx_str_set(&value, "header=X-API-Key");

        if (ngx_http_apigw_key_source_parse(cf, &value, source) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    conf->sources = prev->sources;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_make_challenges(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *conf)
{
    size_t                        len;
    u_char                       *p;
    ngx_uint_t                    i, bearer, other;
    ngx_http_apigw_key_source_t  *source;

    bearer = 0;
    other = 0;

    source = conf->sources->elts;

    for (i = 0; i < conf->sources->nelts; i++) {
        if (source[i].type == NGX_HTTP_APIGW_KEY_BEARER) {
            bearer = 1;

        } else {
            other = 1;
        }
    }

    len = sizeof("Bearer realm=\"\", error=\"invalid_token\", "
                 "ApiKey realm=\"\"") - 1
          + 2 * conf->realm.len;

    for (i = 0; i < 2; i++) {

        p = ngx_pnalloc(cf->pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        conf->challenge[i].data = p;

        if (bearer) {
            p = ngx_sprintf(p, "Bearer realm=\"%V\"%s%s", &conf->realm,
                            i ? ", error=\"invalid_token\"" : "",
                            other ? ", " : "");
        }

        if (other) {
            p = ngx_sprintf(p, "ApiKey realm=\"%V\"", &conf->realm);
        }

        conf->challenge[i].len = p - conf->challenge[i].data;
    }

    return NGX_OK;
}


static char *
ngx_http_apigw_key_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_main_conf_t  *kmcf = conf;

    ssize_t                      size;
    ngx_str_t                   *value, name, store, prefix, s;
    ngx_uint_t                   i;
    ngx_shm_zone_t              *shm_zone;
    ngx_apigw_helper_t         **helper;
    ngx_pool_cleanup_t          *cln;
    ngx_http_apigw_key_zone_t   *zone;

    value = cf->args->elts;

    size = 0;
    ngx_str_null(&name);
    ngx_str_null(&store);
    ngx_str_set(&prefix, NGX_APIGW_KEY_PREFIX);

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {

            s.data = value[i].data + 5;
            s.len = value[i].len - 5;

            if (ngx_apigw_zone_parse(cf, &s, &name, &size) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "store=", 6) == 0) {

            store.data = value[i].data + 6;
            store.len = value[i].len - 6;

            if (store.len == 0) {
                goto invalid;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "prefix=", 7) == 0) {

            prefix.data = value[i].data + 7;
            prefix.len = value[i].len - 7;

            if (ngx_apigw_key_check_prefix(prefix.data, prefix.len)
                != NGX_OK)
            {
                goto invalid;
            }

            continue;
        }

        goto invalid;
    }

    if (name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (store.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"store\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &name, size,
                                     &ngx_http_apigw_key_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate zone \"%V\"", &name);
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_key_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_apigw_zone_init(&zone->zone, "key", &name,
                        ngx_http_apigw_key_collect);

    zone->prefix = prefix;

    ngx_str_set(&zone->helper.name, "key");
    zone->helper.directory = store;
    zone->helper.interval = NGX_HTTP_APIGW_KEY_INTERVAL;
    zone->helper.run = ngx_http_apigw_key_help;
    zone->helper.data = zone;

    if (ngx_apigw_helper_add(cf, &zone->helper) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    zone->store = zone->helper.directory;

    helper = ngx_array_push(&kmcf->helpers);
    if (helper == NULL) {
        return NGX_CONF_ERROR;
    }

    *helper = &zone->helper;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_apigw_key_cleanup_zone;
    cln->data = zone;

    shm_zone->init = ngx_http_apigw_key_init_zone;
    shm_zone->data = zone;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", &value[i]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apigw_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    ngx_str_t   *value, name;
    ngx_uint_t   i;

    if (lcf->shm_zone != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    lcf->shm_zone = NULL;
    lcf->optional = 0;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0
            && value[i].len > 5
            && lcf->shm_zone == NULL)
        {
            name.data = value[i].data + 5;
            name.len = value[i].len - 5;

            lcf->shm_zone = ngx_shared_memory_add(cf, &name, 0,
                                                &ngx_http_apigw_key_module);
            if (lcf->shm_zone == NULL) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "optional") == 0 && !lcf->optional) {
            lcf->optional = 1;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (lcf->shm_zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_key_source(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    ngx_str_t                    *value;
    ngx_uint_t                    i, n;
    ngx_http_apigw_key_source_t  *source, *other;

    if (lcf->sources != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    n = cf->args->nelts - 1;

    if (n > NGX_HTTP_APIGW_KEY_SOURCES) {
        return "has too many sources";
    }

    lcf->sources = ngx_array_create(cf->pool, n,
                                    sizeof(ngx_http_apigw_key_source_t));
    if (lcf->sources == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    other = lcf->sources->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        source = ngx_array_push(lcf->sources);

        if (ngx_http_apigw_key_source_parse(cf, &value[i], source) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        for (n = 0; n < i - 1; n++) {
            if (other[n].type == source->type
                && other[n].name.len == source->name.len
                && ngx_memcmp(other[n].name.data, source->name.data,
                              source->name.len)
                   == 0)
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate source \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }
    }

    return NGX_CONF_OK;
}


/* All of one level hold; a level that has any replaces those above it. */

static char *
ngx_http_apigw_key_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    u_char                        *p, *last, *comma;
    ngx_str_t                     *value, *scope;
    ngx_http_apigw_key_require_t  *require;

    value = cf->args->elts;

    if (lcf->requires == NGX_CONF_UNSET_PTR) {
        lcf->requires = ngx_array_create(cf->pool, 2,
                                         sizeof(ngx_http_apigw_key_require_t));
        if (lcf->requires == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    require = ngx_array_push(lcf->requires);
    if (require == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strncmp(value[1].data, "scope=", 6) == 0) {
        require->any = 0;
        p = value[1].data + 6;

    } else if (ngx_strncmp(value[1].data, "any=", 4) == 0) {
        require->any = 1;
        p = value[1].data + 4;

    } else {
        goto invalid;
    }

    require->scopes = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
    if (require->scopes == NULL) {
        return NGX_CONF_ERROR;
    }

    last = value[1].data + value[1].len;

    do {
        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        scope = ngx_array_push(require->scopes);
        if (scope == NULL) {
            return NGX_CONF_ERROR;
        }

        scope->data = p;
        scope->len = comma - p;

        if (ngx_apigw_key_scope_check(scope) != NGX_OK) {
            goto invalid;
        }

        p = comma + 1;

    } while (comma < last);

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", &value[1]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apigw_key_realm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    size_t      i;
    ngx_str_t  *value;

    if (lcf->realm.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* it goes between quotes in a header */

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] < 0x20 || value[1].data[i] == 0x7f
            || value[1].data[i] == '"' || value[1].data[i] == '\\')
        {
            break;
        }
    }

    if (value[1].len == 0 || i < value[1].len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid realm \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    lcf->realm = value[1];

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_key_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_key_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_init_process(ngx_cycle_t *cycle)
{
    return ngx_apigw_helper_init_process(cycle, ngx_http_apigw_key_helpers);
}


static void
ngx_http_apigw_key_exit_master(ngx_cycle_t *cycle)
{
    ngx_apigw_helper_exit_master(cycle, ngx_http_apigw_key_helpers);
}


static ngx_int_t
ngx_http_apigw_key_filter_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_key_precontent_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apigw_key_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apigw_key_body_filter;

    return NGX_OK;
}
