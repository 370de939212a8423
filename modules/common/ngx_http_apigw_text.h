/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_TEXT_H_INCLUDED_
#define _NGX_HTTP_APIGW_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * A text of the configuration that is wanted for nearly every request and is
 * mostly one variable: that is read without a script, and, if it is a field
 * of the request's header or the client's address, without nginx's variables.
 * The value is the same in any case.
 */

typedef struct {
    ngx_http_complex_value_t   value;
    ngx_int_t                  index;     /* of the variable, or NGX_ERROR */
    ngx_str_t                  field;     /* "x_caller" of $http_x_caller */
    u_char                    *folded;    /* the same as "x-caller" */
    unsigned                   address:1; /* $binary_remote_addr */
} ngx_http_apigw_text_t;


#pragma GCC visibility push(hidden)


/* While the configuration is read. */

ngx_int_t ngx_http_apigw_text_compile(ngx_conf_t *cf, ngx_str_t *source,
    ngx_http_apigw_text_t *text);


/*
 * When all of it was read, in postconfiguration: only then is it known that
 * no directive has made a variable of its own of a name like "http_x_caller".
 */

ngx_int_t ngx_http_apigw_text_init(ngx_conf_t *cf, ngx_http_apigw_text_t *text);


/* Sets *value, empty if there is none.  NGX_ERROR without memory. */

ngx_int_t ngx_http_apigw_text(ngx_http_request_t *r,
    const ngx_http_apigw_text_t *text, ngx_str_t *value);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_APIGW_TEXT_H_INCLUDED_ */
