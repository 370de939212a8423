/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_ACCEPT_H_INCLUDED_
#define _NGX_APIGW_ACCEPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The elements of an Accept field (RFC 9110, 12.5.1) that name a media type
 * of the API: "application/vnd.acme.thing", with or without a suffix such as
 * "+json", plain, as "application/vnd.acme.thing.v2" or with ";version=2".
 */

typedef struct {
    ngx_str_t            version;   /* as written; empty: none named */
    ngx_uint_t           quality;   /* 0 .. 1000 */
    unsigned             dotted:1;  /* the version was in the subtype */
    unsigned             twice:1;   /* and there was a parameter too */
} ngx_apigw_accept_t;


#pragma GCC visibility push(hidden)


/*
 * Moves *p behind the next element that names type, NGX_DONE if there is none
 * before last.  Other types and malformed elements are passed over.
 */

ngx_int_t ngx_apigw_accept_next(const u_char **p, const u_char *last,
    const ngx_str_t *type, ngx_apigw_accept_t *accept);


/*
 * The same for the first element if it is type, ".", a version, and perhaps a
 * suffix, in the letters of type and without parameters: what clients send
 * that were written for a version.  Returns what is behind it, or NULL.
 */

const u_char *ngx_apigw_accept_first(const u_char *p, const u_char *last,
    const ngx_str_t *type, ngx_str_t *version);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_ACCEPT_H_INCLUDED_ */
