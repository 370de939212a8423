/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_key.h"
#include "ngx_http_apigw_key_source.h"


static ngx_int_t ngx_http_apigw_key_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_key_precontent_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_key_find(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_key_decide(ngx_http_request_t *r,
    ngx_http_apigw_key_ctx_t *ctx);
static ngx_http_apigw_key_verdict_e ngx_http_apigw_key_judge(
    ngx_http_request_t *r, ngx_apigw_key_record_t *rec);
static void ngx_http_apigw_key_log(ngx_http_request_t *r,
    ngx_apigw_key_record_t *rec, ngx_http_apigw_key_verdict_e verdict);
static ngx_uint_t ngx_http_apigw_key_address(ngx_http_request_t *r,
    ngx_apigw_key_record_t *rec);
static void ngx_http_apigw_key_release(void *data);
static ngx_int_t ngx_http_apigw_key_strip_once(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx);

static ngx_int_t ngx_http_apigw_key_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_key_announce(ngx_http_request_t *r,
    ngx_apigw_key_record_t *rec);
static ngx_int_t ngx_http_apigw_key_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);

static ngx_array_t *ngx_http_apigw_key_helpers(ngx_cycle_t *cycle);

static void *ngx_http_apigw_key_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_apigw_key_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_key_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_apigw_key_merge_sources(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *prev, ngx_http_apigw_key_loc_conf_t *conf);
static char *ngx_http_apigw_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_key_source(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_apigw_key_expires_header(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
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

    { ngx_string("auth_api_key_message"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE2,
      ngx_http_apigw_key_message,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_api_key_expires_header"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_key_expires_header,
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


ngx_str_t  ngx_http_apigw_key_verdicts[] = {
    ngx_string("ok"),
    ngx_string("missing"),
    ngx_string("malformed"),
    ngx_string("conflict"),
    ngx_string("unknown"),
    ngx_string("decoy"),
    ngx_string("disabled"),
    ngx_string("early"),
    ngx_string("expired"),
    ngx_string("address"),
    ngx_string("scope"),
    ngx_string("unavailable")
};


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

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_key_module);

    if (ctx == NULL) {
        ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_key_module,
                                        sizeof(ngx_http_apigw_key_ctx_t));
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

    } else if (ctx->decided && ctx->address && !ctx->reached) {

        /* a variable was asked for before realip knew the address */

        ctx->decided = 0;
    }

    ctx->reached = 1;

    /* first out with it, so that no line of the log has it */

    if (ngx_http_apigw_key_find(r, lcf, ctx) != NGX_OK
        || (lcf->strip
            && ngx_http_apigw_key_strip_once(r, lcf, ctx) != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_apigw_key_authenticate(r, &ctx);
    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->verdict == NGX_HTTP_APIGW_KEY_SCOPE) {

        /* that was in another location */

        ctx->verdict = NGX_HTTP_APIGW_KEY_OK;
    }

    /* who is nobody has no scope */

    if (ctx->verdict == NGX_HTTP_APIGW_KEY_MISSING
        && lcf->optional && lcf->requires == NULL)
    {
        ngx_http_apigw_key_count(r, ctx, ctx->verdict);
        return NGX_DECLINED;
    }

    if (ctx->verdict != NGX_HTTP_APIGW_KEY_OK) {
        return ngx_http_apigw_key_refuse(r, lcf, ctx, NULL);
    }

    require = ngx_http_apigw_key_lacks(lcf, &ctx->entry->record);

    if (require) {
        ctx->verdict = NGX_HTTP_APIGW_KEY_SCOPE;
        ngx_http_apigw_key_log(r, &ctx->entry->record, ctx->verdict);

        return ngx_http_apigw_key_refuse(r, lcf, ctx, require);
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

    if (ctx == NULL) {
        ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_key_module,
                                        sizeof(ngx_http_apigw_key_ctx_t));
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ngx_http_apigw_key_find(r, lcf, ctx) != NGX_OK
        || ngx_http_apigw_key_strip_once(r, lcf, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


ngx_int_t
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

    if (ngx_http_apigw_key_find(r, lcf, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->entry = NULL;
    ctx->counted = 0;

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

    zone = lcf->shm_zone->data;

    if (ctx->searched == zone && ctx->sources == lcf->sources) {
        return NGX_OK;
    }

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

    ctx->searched = zone;
    ctx->sources = lcf->sources;
    ctx->found = found;
    ctx->stripped = 0;

    /* the verdict was on what another location had found */

    ctx->decided = 0;
    ctx->entry = NULL;

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

        ctx->address = (entry->record.allow.len != 0);
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

    ngx_http_apigw_key_log(r, rec, verdict);

    return verdict;
}


static void
ngx_http_apigw_key_log(ngx_http_request_t *r, ngx_apigw_key_record_t *rec,
    ngx_http_apigw_key_verdict_e verdict)
{
    ngx_uint_t  level;

    level = rec->decoy ? NGX_LOG_WARN : NGX_LOG_INFO;

    ngx_log_error(level, r->connection->log, 0,
                  "API key \"%V\" of \"%V\" was refused: %V",
                  &rec->id, &rec->consumer,
                  &ngx_http_apigw_key_verdicts[verdict]);
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


static ngx_int_t
ngx_http_apigw_key_strip_once(ngx_http_request_t *r,
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

        if (ctx && ctx->entry && ctx->entry->record.expires
            && ngx_http_apigw_key_announce(r, &ctx->entry->record) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_header_filter(r);
}


/* Tells the caller in time that the key is about to expire. */

static ngx_int_t
ngx_http_apigw_key_announce(ngx_http_request_t *r, ngx_apigw_key_record_t *rec)
{
    ngx_str_t                       value;
    ngx_http_apigw_key_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_key_module);

    if (lcf->announce == 0 || rec->expires - ngx_time() > lcf->announce) {
        return NGX_OK;
    }

    value.data = ngx_pnalloc(r->pool,
                             sizeof("Mon, 28 Sep 1970 06:00:00 GMT") - 1);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_http_time(value.data, rec->expires) - value.data;

    return ngx_http_apigw_add_header(r, "X-API-Key-Expires", &value);
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
    conf->messages = NGX_CONF_UNSET_PTR;
    conf->announce = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_apigw_key_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_apigw_key_loc_conf_t *prev = parent;
    ngx_http_apigw_key_loc_conf_t *conf = child;

    if (ngx_http_apigw_key_check_require(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_conf_merge_ptr_value(conf->shm_zone, prev->shm_zone, NULL);
    ngx_conf_merge_value(conf->optional, prev->optional, 0);
    ngx_conf_merge_value(conf->strip, prev->strip, 1);
    ngx_conf_merge_ptr_value(conf->requires, prev->requires, NULL);
    ngx_conf_merge_ptr_value(conf->messages, prev->messages, NULL);
    ngx_conf_merge_sec_value(conf->announce, prev->announce, 0);
    ngx_conf_merge_str_value(conf->realm, prev->realm, "api");

    if (ngx_http_apigw_key_merge_sources(cf, prev, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->shm_zone == NULL) {
        return NGX_CONF_OK;
    }

    ngx_http_apigw_key_source_warn(cf, conf->sources);

    if (ngx_http_apigw_key_make_challenges(cf, conf) != NGX_OK) {
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


static char *
ngx_http_apigw_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    ngx_str_t                       *value, name;
    ngx_uint_t                       i;
    ngx_http_apigw_key_main_conf_t  *kmcf;

    if (lcf->shm_zone != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    kmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_key_module);

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

            lcf->shm_zone = ngx_apigw_zone_use(cf, &kmcf->uses, &name,
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


static char *
ngx_http_apigw_key_expires_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->announce != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->announce = 0;
        return NGX_CONF_OK;
    }

    lcf->announce = ngx_parse_time(&value[1], 1);

    if (lcf->announce == (time_t) NGX_ERROR || lcf->announce == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_key_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt             *h;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_apigw_key_main_conf_t  *kmcf;

    kmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_key_module);

    if (ngx_apigw_zone_check_uses(cf, &kmcf->uses, "auth_api_key_zone")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a helper for each zone: without one nothing is to be done */

    if (kmcf->helpers.nelts == 0) {
        return NGX_OK;
    }

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
    ngx_http_handler_pt             *h;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_apigw_key_main_conf_t  *kmcf;

    kmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_key_module);

    /* a helper for each zone: without one nothing is to be done */

    if (kmcf->helpers.nelts == 0) {
        return NGX_OK;
    }

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
