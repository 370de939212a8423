/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_STATUS_H_INCLUDED_
#define _NGX_HTTP_APIGW_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_zone.h"


typedef enum {
    NGX_HTTP_APIGW_STATUS_JSON = 0,
    NGX_HTTP_APIGW_STATUS_PROMETHEUS,
    NGX_HTTP_APIGW_STATUS_HTML,
    NGX_HTTP_APIGW_STATUS_FORMATS       /* how many there are */
} ngx_http_apigw_status_format_e;


typedef struct ngx_http_apigw_status_sample_s  ngx_http_apigw_status_sample_t;


/* A zone and what is counted in it: samples "first" to "first" + "n" - 1. */

typedef struct {
    ngx_apigw_zone_t                *zone;
    ngx_str_t                        name;     /* escaped for the format */
    ngx_uint_t                       first;
    ngx_uint_t                       n;
} ngx_http_apigw_status_zone_t;


struct ngx_http_apigw_status_sample_s {
    ngx_http_apigw_status_zone_t    *zone;
    const ngx_apigw_metric_t        *metric;
    uint64_t                         value;
    ngx_http_apigw_status_sample_t  *next;     /* of the same name */
};


/* All that is shown.  Zones of the same module follow each other. */

typedef struct {
    ngx_array_t                      zones;    /* .._status_zone_t */
    ngx_array_t                      samples;  /* .._status_sample_t */
    ngx_http_apigw_status_zone_t    *current;  /* the one that is asked */
    time_t                           loaded;   /* the configuration was */
} ngx_http_apigw_status_t;


/* What is sent: a chain of buffers, each filled in turn. */

typedef struct {
    ngx_pool_t                      *pool;
    ngx_chain_t                     *chain;
    ngx_chain_t                    **next;
    ngx_buf_t                       *buf;
    off_t                            size;     /* without the last buffer */
} ngx_http_apigw_status_out_t;


#pragma GCC visibility push(hidden)


/* Makes a name safe to be shown in a format; NGX_ERROR without memory. */

ngx_int_t ngx_http_apigw_status_escape(ngx_pool_t *pool,
    ngx_http_apigw_status_format_e format, ngx_str_t *text);


/* Each writes a whole document; NGX_OK, or NGX_ERROR without memory. */

ngx_int_t ngx_http_apigw_status_json(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status);
ngx_int_t ngx_http_apigw_status_prometheus(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status);
ngx_int_t ngx_http_apigw_status_html(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_APIGW_STATUS_H_INCLUDED_ */
