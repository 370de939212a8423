/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_BASE64_H_INCLUDED_
#define _NGX_APIGW_BASE64_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * base64url as JOSE has it (RFC 7515, section 2): no padding, no white space,
 * and the bits after the last byte zero, so that every string of bytes has
 * exactly one text.
 *
 * Uses nothing of nginx but its types.
 */


#define ngx_apigw_base64_decoded(len)  ((len) / 4 * 3 + (len) % 4 * 3 / 4)
#define ngx_apigw_base64_encoded(len)  ((len) / 3 * 4 + ((len) % 3 * 4 + 2) / 3)


#pragma GCC visibility push(hidden)


/*
 * Decodes to dst, which has room for ngx_apigw_base64_decoded(len) bytes, and
 * returns their number, or NGX_ERROR if that is not base64url.  What was
 * written to dst before the error is of no use.  dst must not overlap src.
 */

ssize_t ngx_apigw_base64_decode(u_char *dst, const u_char *src, size_t len);


/* Encodes to dst and returns where the text ends; no terminating zero. */

u_char *ngx_apigw_base64_encode(u_char *dst, const u_char *src, size_t len);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_BASE64_H_INCLUDED_ */
