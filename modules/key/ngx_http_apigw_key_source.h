/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_KEY_SOURCE_H_INCLUDED_
#define _NGX_HTTP_APIGW_KEY_SOURCE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Where in a request the key may be. */


#define NGX_HTTP_APIGW_KEY_SOURCES    16
#define NGX_HTTP_APIGW_KEY_VARIABLES  6


typedef enum {
    NGX_HTTP_APIGW_KEY_HEADER = 0,
    NGX_HTTP_APIGW_KEY_BEARER,
    NGX_HTTP_APIGW_KEY_QUERY,
    NGX_HTTP_APIGW_KEY_COOKIE,
    NGX_HTTP_APIGW_KEY_VARIABLE
} ngx_http_apigw_key_source_e;


typedef struct {
    ngx_http_apigw_key_source_e  type;
    ngx_str_t                    name;    /* of a header in lower case */
    ngx_int_t                    index;   /* of a variable */

    /* nginx's own variables that have what is in this source */

    ngx_int_t                    variables[NGX_HTTP_APIGW_KEY_VARIABLES];
    ngx_uint_t                   nvariables;

    /* where it stands, until it was warned of */

    u_char                      *file;
    ngx_uint_t                   line;
} ngx_http_apigw_key_source_t;


#pragma GCC visibility push(hidden)


/*
 * Finds the key in a request.  Returns NGX_OK, NGX_DECLINED if there is none,
 * NGX_ABORT if there are two different ones, NGX_ERROR without memory.  A bit
 * in found tells for each source whether there was anything in it.
 */

ngx_int_t ngx_http_apigw_key_extract(ngx_http_request_t *r,
    ngx_array_t *sources, ngx_str_t *prefix, ngx_str_t *key,
    ngx_uint_t *found);


/*
 * Removes everything that was found from the request, so that nobody behind
 * this module gets it.  Returns NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_http_apigw_key_strip(ngx_http_request_t *r,
    ngx_array_t *sources, ngx_str_t *prefix, ngx_uint_t found);


/* Parses one argument of auth_api_key_source; logs what is wrong. */

ngx_int_t ngx_http_apigw_key_source_parse(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apigw_key_source_t *source);


/* Warns of headers that nginx ignores with the settings of this server. */

void ngx_http_apigw_key_source_warn(ngx_conf_t *cf, ngx_array_t *sources);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_APIGW_KEY_SOURCE_H_INCLUDED_ */
