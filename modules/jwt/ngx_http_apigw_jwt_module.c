/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt.h"


static ngx_int_t ngx_http_apigw_jwt_access_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_jwt_preaccess_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_jwt_check(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf);
static ngx_int_t ngx_http_apigw_jwt_check_token(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_jwt_check_general(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf);
static ngx_int_t ngx_http_apigw_jwt_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_jwt_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);

static void *ngx_http_apigw_jwt_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_jwt_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_apigw_jwt_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_jwt_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static void ngx_http_apigw_jwt_merge_values(
    ngx_http_apigw_jwt_loc_conf_t *prev, ngx_http_apigw_jwt_loc_conf_t *conf);
static ngx_int_t ngx_http_apigw_jwt_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_jwt_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_apigw_jwt_filter_init(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_http_apigw_jwt_phases[] = {
    { ngx_string("access"), NGX_HTTP_APIGW_JWT_ACCESS },
    { ngx_string("preaccess"), NGX_HTTP_APIGW_JWT_PREACCESS },
    { ngx_null_string, 0 }
};

/* tells apart two directives with one setter */

static const char  ngx_http_apigw_jwt_other;


static ngx_command_t  ngx_http_apigw_jwt_commands[] = {

    { ngx_string("auth_jwt_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_apigw_jwt_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_issuer"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apigw_jwt_issuer,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_1MORE,
      ngx_http_apigw_jwt,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_claim_set"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_apigw_jwt_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_header_set"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_apigw_jwt_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      (void *) &ngx_http_apigw_jwt_other },

    { ngx_string("auth_jwt_key_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, key_cache),
      NULL },

    { ngx_string("auth_jwt_key_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE12,
      ngx_http_apigw_jwt_source,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_key_request"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE12,
      ngx_http_apigw_jwt_source,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      (void *) &ngx_http_apigw_jwt_other },

    { ngx_string("auth_jwt_leeway"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, leeway),
      NULL },

    { ngx_string("auth_jwt_type"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_jwt_type,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_validate_exp"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, validate_exp),
      NULL },

    { ngx_string("auth_jwt_phase"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, phase),
      &ngx_http_apigw_jwt_phases },

    { ngx_string("auth_jwt_algorithms"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_1MORE,
      ngx_http_apigw_jwt_algorithms,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_audience"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_1MORE,
      ngx_http_apigw_jwt_audiences,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_TAKE12,
      ngx_http_apigw_jwt_cache,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_require"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_1MORE,
      ngx_http_apigw_jwt_require,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, requires),
      NULL },

    { ngx_string("auth_require"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_1MORE,
      ngx_http_apigw_jwt_require,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, generals),
      (void *) &ngx_http_apigw_jwt_other },

    { ngx_string("auth_jwt_require_claim"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE3,
      ngx_http_apigw_jwt_require_rule,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_require_header"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE3,
      ngx_http_apigw_jwt_require_rule,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      (void *) &ngx_http_apigw_jwt_other },

    { ngx_string("auth_jwt_scope"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_1MORE,
      ngx_http_apigw_jwt_require_scope,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_revocation_list_sub"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_jwt_list,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, revoked_sub),
      NULL },

    { ngx_string("auth_jwt_revocation_list_kid"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_jwt_list,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_jwt_loc_conf_t, revoked_kid),
      NULL },

    { ngx_string("auth_jwt_allow_nested"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
                        |NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_apigw_jwt_allow_nested,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_www_authenticate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_jwt_www_authenticate,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_resource_metadata"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF
                        |NGX_CONF_TAKE1,
      ngx_http_apigw_jwt_resource,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("auth_jwt_metadata"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_jwt_metadata,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apigw_jwt_module_ctx = {
    ngx_http_apigw_jwt_add_variables,      /* preconfiguration */
    ngx_http_apigw_jwt_init,               /* postconfiguration */

    ngx_http_apigw_jwt_create_main_conf,   /* create main configuration */
    ngx_http_apigw_jwt_init_main_conf,     /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apigw_jwt_create_loc_conf,    /* create location configuration */
    ngx_http_apigw_jwt_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_apigw_jwt_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_jwt_module_ctx,        /* module context */
    ngx_http_apigw_jwt_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_apigw_jwt_zones_init_module,  /* init module */
    ngx_http_apigw_jwt_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_module_t  ngx_http_apigw_jwt_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apigw_jwt_filter_init,        /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


#pragma GCC visibility push(hidden)

ngx_module_t  ngx_http_apigw_jwt_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_jwt_filter_module_ctx, /* module context */
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


ngx_str_t  ngx_http_apigw_jwt_verdicts[] = {
    ngx_string("ok"),
    ngx_string("missing"),
    ngx_string("malformed"),
    ngx_string("algorithm"),
    ngx_string("issuer"),
    ngx_string("key"),
    ngx_string("signature"),
    ngx_string("expired"),
    ngx_string("early"),
    ngx_string("type"),
    ngx_string("audience"),
    ngx_string("scope"),
    ngx_string("claim"),
    ngx_string("revoked"),
    ngx_string("unavailable")
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_apigw_jwt_access_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_uint_t                      granted;
    ngx_http_apigw_jwt_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_jwt_module);

    if (r != r->main) {
        return NGX_DECLINED;
    }

    granted = 0;

    if (lcf->realm && lcf->phase == NGX_HTTP_APIGW_JWT_ACCESS) {

        rc = ngx_http_apigw_jwt_check(r, lcf);
        if (rc != NGX_OK) {
            return rc;
        }

        granted = 1;
    }

    if (lcf->generals) {

        rc = ngx_http_apigw_jwt_check_general(r, lcf);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    /* that nothing speaks against a request does not say who it is from */

    return granted ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_apigw_jwt_preaccess_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_apigw_jwt_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_jwt_module);

    if (lcf->realm == NULL || lcf->phase != NGX_HTTP_APIGW_JWT_PREACCESS
        || r != r->main)
    {
        return NGX_DECLINED;
    }

    rc = ngx_http_apigw_jwt_check(r, lcf);

    /* NGX_OK would end the phase */

    return rc == NGX_OK ? NGX_DECLINED : rc;
}


static ngx_int_t
ngx_http_apigw_jwt_check(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf)
{
    ngx_int_t                  rc;
    ngx_http_apigw_jwt_ctx_t  *ctx;

    rc = ngx_http_apigw_jwt_authenticate(r, &ctx, 1);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->outcome = ctx->verdict;

    if (ctx->verdict != NGX_HTTP_APIGW_JWT_OK) {
        return ngx_http_apigw_jwt_refuse(r, lcf, ctx, 0, NULL, NULL);
    }

    rc = ngx_http_apigw_jwt_check_token(r, lcf, ctx);

    if (rc == NGX_OK && !ctx->counted) {
        ctx->counted = 1;
        ngx_http_apigw_jwt_zone_count(lcf->zone, NGX_HTTP_APIGW_JWT_OK);
    }

    return rc;
}


static ngx_int_t
ngx_http_apigw_jwt_check_token(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_apigw_jwt_rule_t   *rule;
    ngx_http_apigw_jwt_scope_t  *scope;

    rc = ngx_http_apigw_jwt_rules(r, lcf, ctx, &rule);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ctx->outcome = NGX_HTTP_APIGW_JWT_CLAIM;
        ctx->why = rule->header ? "not met by the header"
                                : "not met by the claim";
        return ngx_http_apigw_jwt_refuse(r, lcf, ctx, 0, NULL, &rule->name);
    }

    scope = ngx_http_apigw_jwt_lacks(lcf, ctx);

    if (scope) {
        ctx->outcome = NGX_HTTP_APIGW_JWT_SCOPE;
        ctx->why = scope->any ? "it has none of" : "it has not all of";
        return ngx_http_apigw_jwt_refuse(r, lcf, ctx, 0, scope, &scope->text);
    }

    if (lcf->requires == NULL) {
        return NGX_OK;
    }

    rc = ngx_http_apigw_jwt_required(r, lcf->requires);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        ctx->outcome = NGX_HTTP_APIGW_JWT_CLAIM;
        ctx->why = "a value of \"auth_jwt_require\" is empty or 0";
        return ngx_http_apigw_jwt_refuse(r, lcf, ctx, rc, NULL, NULL);
    }

    return NGX_OK;
}


/* auth_require, with a token or without */

static ngx_int_t
ngx_http_apigw_jwt_check_general(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf)
{
    ngx_int_t                  rc;
    ngx_http_apigw_jwt_ctx_t  *ctx;

    rc = ngx_http_apigw_jwt_required(r, lcf->generals);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_jwt_module);

    if (ctx == NULL) {
        ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_jwt_module,
                                        sizeof(ngx_http_apigw_jwt_ctx_t));
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_apigw_jwt_refuse_general(r, ctx, rc);
}


static ngx_int_t
ngx_http_apigw_jwt_header_filter(ngx_http_request_t *r)
{
    ngx_http_apigw_jwt_ctx_t  *ctx;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_jwt_module);

    if (ctx && r != r->main && ngx_http_apigw_jwt_fetch_owns(r, ctx)) {

        /* the body is for us */

        r->header_sent = 1;
        r->filter_need_in_memory = 1;

        return NGX_OK;
    }

    if (ctx && ctx->problem.status && r == r->main
        && ngx_http_apigw_problem_header(r, &ctx->problem) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_apigw_jwt_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_apigw_jwt_ctx_t  *ctx;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_jwt_module);

    if (ctx && r != r->main && ngx_http_apigw_jwt_fetch_owns(r, ctx)) {
        return ngx_http_apigw_jwt_fetch_body(r, ctx, in);
    }

    if (ctx && ctx->problem.status && r == r->main) {
        in = ngx_http_apigw_problem_body(r, &ctx->problem, in);

        if (in == NGX_CHAIN_ERROR) {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_body_filter(r, in);
}


static void *
ngx_http_apigw_jwt_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_main_conf_t));
    if (jmcf == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_apigw_jwt_keys_end;
    cln->data = jmcf;

    if (ngx_http_apigw_jwt_zones_create(cf, &jmcf->zones) != NGX_OK
        || ngx_http_apigw_jwt_slots_create(cf, jmcf) != NGX_OK
        || ngx_array_init(&jmcf->policies, cf->pool, 4, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&jmcf->files, cf->pool, 4, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&jmcf->sets, cf->pool, 4, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&jmcf->nesteds, cf->pool, 1,
                          sizeof(ngx_http_apigw_jwt_nested_t))
           != NGX_OK)
    {
        return NULL;
    }

    /* verdicts of another configuration, or of another nginx, do not hold */

    if (getrandom(&jmcf->cycle, sizeof(uint64_t), 0)
        != (ssize_t) sizeof(uint64_t))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno, "getrandom() failed");
        return NULL;
    }

    return jmcf;
}


static char *
ngx_http_apigw_jwt_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_apigw_jwt_main_conf_t *jmcf = conf;

    if (ngx_http_apigw_jwt_zones_init(cf, &jmcf->zones) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_apigw_jwt_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_jwt_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->line = { NULL, 0 };
     *     conf->sources_line = { NULL, 0 };
     *     conf->needs = { 0, NULL };
     *     conf->needs_line = { NULL, 0 };
     *     conf->place = NGX_HTTP_APIGW_JWT_ELSEWHERE;
     *     conf->place_name = { 0, NULL };
     *     conf->algorithms = 0;
     *     conf->policy = NULL;
     *     conf->cache_name = { 0, NULL };
     *     conf->cache_line = { NULL, 0 };
     *     conf->zone = NULL;
     *     conf->www_authenticate = NULL;
     *     conf->metadata = { 0, NULL };
     */

    conf->realm = NGX_CONF_UNSET_PTR;
    conf->token = NGX_CONF_UNSET;
    conf->issuers = NGX_CONF_UNSET_PTR;
    conf->sources = NGX_CONF_UNSET_PTR;
    conf->audience = NGX_CONF_UNSET_PTR;
    conf->leeway = NGX_CONF_UNSET;
    conf->validate_exp = NGX_CONF_UNSET;
    conf->key_cache = NGX_CONF_UNSET_MSEC;
    conf->type = NGX_CONF_UNSET_UINT;
    conf->phase = NGX_CONF_UNSET_UINT;
    conf->cache = NGX_CONF_UNSET;
    conf->cache_max = NGX_CONF_UNSET;
    conf->requires = NGX_CONF_UNSET_PTR;
    conf->generals = NGX_CONF_UNSET_PTR;
    conf->rules = NGX_CONF_UNSET_PTR;
    conf->scopes = NGX_CONF_UNSET_PTR;
    conf->revoked_sub = NGX_CONF_UNSET_PTR;
    conf->revoked_kid = NGX_CONF_UNSET_PTR;
    conf->nested = NGX_CONF_UNSET_UINT;
    conf->challenge = NGX_CONF_UNSET_UINT;
    conf->resource_metadata = NGX_CONF_UNSET_PTR;

    return conf;
}


static char *
ngx_http_apigw_jwt_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_apigw_jwt_loc_conf_t *prev = parent;
    ngx_http_apigw_jwt_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->realm == NGX_CONF_UNSET_PTR) {

        if (prev->realm == NGX_CONF_UNSET_PTR) {
            prev->realm = NULL;
        }

        conf->realm = prev->realm;
        conf->line = prev->line;
        conf->token = prev->token;
        conf->place = prev->place;
        conf->place_name = prev->place_name;
        conf->issuers = prev->issuers;
    }

    /* on the level of a server it may be meant for its locations */

    if (conf->needs.len && conf->realm == NULL && clcf->name.len) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" has no effect without \"auth_jwt\" in location "
                      "\"%V\" in %s:%ui", &conf->needs, &clcf->name,
                      conf->needs_line.file, conf->needs_line.number);
        return NGX_CONF_ERROR;
    }

    if (conf->issuers == NGX_CONF_UNSET_PTR) {
        conf->issuers = NULL;
    }

    if (conf->issuers && conf->sources != NGX_CONF_UNSET_PTR) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"auth_jwt_key_file\" and \"auth_jwt_key_request\" have "
                      "no effect with \"auth_jwt ... issuer=\" in %s:%ui",
                      conf->sources_line.file, conf->sources_line.number);
        return NGX_CONF_ERROR;
    }

    ngx_conf_merge_uint_value(prev->nested, prev->nested, 0);
    ngx_conf_merge_uint_value(conf->nested, prev->nested, 0);

    if (ngx_http_apigw_jwt_require_init(cf, prev) != NGX_OK
        || ngx_http_apigw_jwt_require_init(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_jwt_merge_rules(cf, prev, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_http_apigw_jwt_merge_values(prev, conf);

    if (conf->realm == NULL) {
        return NGX_CONF_OK;
    }

    if (conf->issuers == NULL && conf->sources == NULL) {

        /* a server may leave it to its locations, and gives 500 itself */

        if (clcf->name.len == 0) {
            return NGX_CONF_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"auth_jwt\" has no keys in location \"%V\": use "
                      "\"auth_jwt_key_file\", \"auth_jwt_key_request\" or "
                      "\"issuer=\" in %s:%ui", &clcf->name, conf->line.file,
                      conf->line.number);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_jwt_merge_policy(cf, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_apigw_jwt_merge_values(ngx_http_apigw_jwt_loc_conf_t *prev,
    ngx_http_apigw_jwt_loc_conf_t *conf)
{
    ngx_conf_merge_ptr_value(conf->sources, prev->sources, NULL);
    ngx_conf_merge_ptr_value(conf->audience, prev->audience, NULL);
    ngx_conf_merge_sec_value(conf->leeway, prev->leeway, 0);
    ngx_conf_merge_value(conf->validate_exp, prev->validate_exp, 1);
    ngx_conf_merge_msec_value(conf->key_cache, prev->key_cache, 0);
    ngx_conf_merge_uint_value(conf->type, prev->type,
                              NGX_HTTP_APIGW_JWT_SIGNED);
    ngx_conf_merge_uint_value(conf->phase, prev->phase,
                              NGX_HTTP_APIGW_JWT_ACCESS);

    if (conf->algorithms == 0) {
        conf->algorithms = prev->algorithms;
    }

    if (conf->cache == NGX_CONF_UNSET) {
        conf->cache = (prev->cache == NGX_CONF_UNSET) ? 0 : prev->cache;
        conf->cache_max = prev->cache_max;
    }

    /* with "off" it still is the zone of revocations */

    if (conf->cache_name.data == NULL) {
        conf->cache_name = prev->cache_name;
        conf->cache_line = prev->cache_line;
    }

    ngx_conf_merge_ptr_value(conf->requires, prev->requires, NULL);
    ngx_conf_merge_ptr_value(conf->generals, prev->generals, NULL);
    ngx_conf_merge_ptr_value(conf->scopes, prev->scopes, NULL);
    ngx_conf_merge_ptr_value(conf->revoked_sub, prev->revoked_sub, NULL);
    ngx_conf_merge_ptr_value(conf->revoked_kid, prev->revoked_kid, NULL);
    ngx_conf_merge_ptr_value(conf->resource_metadata, prev->resource_metadata,
                             NULL);

    if (conf->challenge == NGX_CONF_UNSET_UINT) {
        conf->www_authenticate = prev->www_authenticate;
    }

    ngx_conf_merge_uint_value(conf->challenge, prev->challenge,
                              NGX_HTTP_APIGW_JWT_CHALLENGE);
}


static ngx_int_t
ngx_http_apigw_jwt_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt             *h;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_jwt_module);

    if (ngx_http_apigw_jwt_slots_init(cf, jmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_apigw_jwt_keys_share(cf, jmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_apigw_jwt_sources_init(cf, jmcf);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_jwt_access_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_jwt_preaccess_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_init_process(ngx_cycle_t *cycle)
{
    if (ngx_http_apigw_jwt_keys_init(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_apigw_jwt_zones_init_process(cycle);
}


static ngx_int_t
ngx_http_apigw_jwt_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apigw_jwt_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apigw_jwt_body_filter;

    return NGX_OK;
}
