/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_throttle.h"


#define NGX_HTTP_APIGW_THROTTLE_EARLY  1
#define NGX_HTTP_APIGW_THROTTLE_LATE   2


static ngx_int_t ngx_http_apigw_throttle_early_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_throttle_late_handler(ngx_http_request_t *r);
static ngx_inline ngx_int_t ngx_http_apigw_throttle_handler(
    ngx_http_request_t *r, ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_uint_t phase);
static ngx_uint_t ngx_http_apigw_throttle_refused(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx);

static ngx_int_t ngx_http_apigw_throttle_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_throttle_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);

static void *ngx_http_apigw_throttle_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_apigw_throttle_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_throttle_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static void ngx_http_apigw_throttle_list_init(
    ngx_http_apigw_throttle_list_t *list);
static ngx_int_t ngx_http_apigw_throttle_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_throttle_filter_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_apigw_throttle_init_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_http_apigw_throttle_log_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_apigw_throttle_header_kinds[] = {
    { ngx_string("draft"), NGX_HTTP_APIGW_THROTTLE_DRAFT },
    { ngx_string("legacy"), NGX_HTTP_APIGW_THROTTLE_LEGACY },
    { ngx_string("off"), NGX_HTTP_APIGW_THROTTLE_OFF },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_http_apigw_throttle_status_bounds = {
    ngx_conf_check_num_bounds, 400, 599
};


static ngx_command_t  ngx_http_apigw_throttle_commands[] = {

    { ngx_string("api_throttle_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_apigw_throttle_zone,
      0,
      0,
      NULL },

    { ngx_string("api_throttle"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_apigw_throttle,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("api_throttle_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_throttle_loc_conf_t, status),
      &ngx_http_apigw_throttle_status_bounds },

    { ngx_string("api_throttle_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_throttle_loc_conf_t, log_level),
      &ngx_http_apigw_throttle_log_levels },

    { ngx_string("api_throttle_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_throttle_loc_conf_t, headers),
      &ngx_http_apigw_throttle_header_kinds },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apigw_throttle_module_ctx = {
    ngx_http_apigw_throttle_add_variables, /* preconfiguration */
    ngx_http_apigw_throttle_init,          /* postconfiguration */

    ngx_http_apigw_throttle_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apigw_throttle_create_loc_conf, /* create location configuration */
    ngx_http_apigw_throttle_merge_loc_conf /* merge location configuration */
};


ngx_module_t  ngx_http_apigw_throttle_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_throttle_module_ctx,   /* module context */
    ngx_http_apigw_throttle_commands,      /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_apigw_throttle_init_process,  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_module_t  ngx_http_apigw_throttle_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_apigw_throttle_filter_init,   /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


#pragma GCC visibility push(hidden)


ngx_module_t  ngx_http_apigw_throttle_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_throttle_filter_module_ctx, /* module context */
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


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_apigw_throttle_early_handler(ngx_http_request_t *r)
{
    ngx_http_apigw_throttle_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_throttle_module);

    if (tlcf->early == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    return ngx_http_apigw_throttle_handler(r, tlcf, tlcf->early,
                                           NGX_HTTP_APIGW_THROTTLE_EARLY);
}


static ngx_int_t
ngx_http_apigw_throttle_late_handler(ngx_http_request_t *r)
{
    ngx_http_apigw_throttle_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_throttle_module);

    if (tlcf->late == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    return ngx_http_apigw_throttle_handler(r, tlcf, tlcf->late,
                                           NGX_HTTP_APIGW_THROTTLE_LATE);
}


static ngx_inline ngx_int_t
ngx_http_apigw_throttle_handler(ngx_http_request_t *r,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_list_t *list, ngx_uint_t phase)
{
    ngx_http_apigw_throttle_ctx_t  *ctx;

    /* a request that has not been anywhere else */

    if (list->plain && !r->internal && r->err_status == 0
        && ngx_http_get_module_ctx(r, ngx_http_apigw_throttle_module) == NULL)
    {
        return ngx_http_apigw_throttle_plain(r, tlcf, list->uses[0], phase);
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_throttle_module);

    if ((ctx && (ctx->phases & phase))
        || ngx_http_apigw_throttle_refused(r, ctx))
    {
        return NGX_DECLINED;
    }

    return ngx_http_apigw_throttle_round(r, tlcf, list, ctx, phase);
}


/*
 * Whether this is the page of error_page for a request that was refused: what
 * is refused is charged nowhere.
 */

static ngx_uint_t
ngx_http_apigw_throttle_refused(ngx_http_request_t *r,
    ngx_http_apigw_throttle_ctx_t *ctx)
{
    if (ctx && ctx->problem) {
        return 1;
    }

    switch (r->err_status) {

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_TOO_MANY_REQUESTS:
        return 1;

    default:
        return 0;
    }
}


static ngx_int_t
ngx_http_apigw_throttle_header_filter(ngx_http_request_t *r)
{
    ngx_http_apigw_throttle_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_throttle_module);

    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx->headers != NGX_HTTP_APIGW_THROTTLE_OFF
        && ngx_http_apigw_throttle_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->problem
        && ngx_http_apigw_problem_header(r, ctx->problem) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_apigw_throttle_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_apigw_throttle_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_apigw_throttle_module);

    if (ctx && ctx->problem && ctx->problem->active) {
        in = ngx_http_apigw_problem_body(r, ctx->problem, in);

        if (in == NGX_CHAIN_ERROR) {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_body_filter(r, in);
}


static void *
ngx_http_apigw_throttle_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_throttle_main_conf_t  *tmcf;

    tmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_throttle_main_conf_t));
    if (tmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&tmcf->uses, cf->pool, 8,
                       sizeof(ngx_http_apigw_throttle_use_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return tmcf;
}


static void *
ngx_http_apigw_throttle_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_throttle_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_throttle_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->early = NULL;
     *     conf->late = NULL;
     *     conf->off = 0;
     */

    conf->status = NGX_CONF_UNSET_UINT;
    conf->log_level = NGX_CONF_UNSET_UINT;
    conf->headers = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_apigw_throttle_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_apigw_throttle_loc_conf_t *prev = parent;
    ngx_http_apigw_throttle_loc_conf_t *conf = child;

    if (conf->early == NULL && conf->late == NULL && !conf->off) {
        conf->off = prev->off;
        conf->early = prev->early;
        conf->late = prev->late;
    }

    ngx_http_apigw_throttle_list_init(conf->early);
    ngx_http_apigw_throttle_list_init(conf->late);

    ngx_conf_merge_uint_value(conf->status, prev->status,
                              NGX_HTTP_TOO_MANY_REQUESTS);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level, NGX_LOG_INFO);
    ngx_conf_merge_uint_value(conf->headers, prev->headers,
                              NGX_HTTP_APIGW_THROTTLE_DRAFT);

    return NGX_CONF_OK;
}


static void
ngx_http_apigw_throttle_list_init(ngx_http_apigw_throttle_list_t *list)
{
    ngx_http_apigw_throttle_use_t   *use;
    ngx_http_apigw_throttle_zone_t  *zone;

    if (list == NULL || list->n != 1) {
        return;
    }

    use = list->uses[0];
    zone = use->shm_zone->data;

    list->plain = zone
                  && zone->variable == NULL
                  && use->cost_value == NULL
                  && use->delay == NGX_ERROR
                  && !use->dry_run;
}


static ngx_int_t
ngx_http_apigw_throttle_init(ngx_conf_t *cf)
{
    ngx_uint_t                             i;
    ngx_http_handler_pt                   *h;
    ngx_http_core_main_conf_t             *cmcf;
    ngx_http_apigw_throttle_use_t        **uses;
    ngx_http_apigw_throttle_main_conf_t   *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_throttle_module);
    if (ngx_apigw_zone_check_uses(cf, &tmcf->zones, "api_throttle_zone")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    uses = tmcf->uses.elts;

    for (i = 0; i < tmcf->uses.nelts; i++) {
        if (ngx_http_apigw_throttle_use_init(cf, uses[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!tmcf->early) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_throttle_early_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_filter_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                  *h;
    ngx_http_core_main_conf_t            *cmcf;
    ngx_http_apigw_throttle_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_throttle_module);

    if (tmcf->uses.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_apigw_throttle_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_apigw_throttle_body_filter;

    if (!tmcf->late) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_apigw_throttle_late_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                             i;
    ngx_http_apigw_throttle_use_t        **uses;
    ngx_http_apigw_throttle_main_conf_t   *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_apigw_throttle_module);
    if (tmcf == NULL) {
        return NGX_OK;
    }

    uses = tmcf->uses.elts;

    for (i = 0; i < tmcf->uses.nelts; i++) {
        ngx_http_apigw_throttle_apply(uses[i]->shm_zone);
    }

    return NGX_OK;
}
