/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_JWA_H_INCLUDED_
#define _NGX_APIGW_JWA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Signature algorithms of JOSE, a bit each: tokens, keys and configurations
 * have sets of them, and what may verify a token is what all three allow.
 *
 * "EdDSA" (RFC 8037) leaves the curve to the key, so it is two bits; "Ed25519"
 * and "Ed448" (RFC 9864) are one.
 *
 * Uses nothing of nginx but its types.
 */


typedef ngx_uint_t  ngx_apigw_jwa_t;


#define NGX_APIGW_JWA_HS256    0x0001
#define NGX_APIGW_JWA_HS384    0x0002
#define NGX_APIGW_JWA_HS512    0x0004
#define NGX_APIGW_JWA_RS256    0x0008
#define NGX_APIGW_JWA_RS384    0x0010
#define NGX_APIGW_JWA_RS512    0x0020
#define NGX_APIGW_JWA_PS256    0x0040
#define NGX_APIGW_JWA_PS384    0x0080
#define NGX_APIGW_JWA_PS512    0x0100
#define NGX_APIGW_JWA_ES256    0x0200
#define NGX_APIGW_JWA_ES384    0x0400
#define NGX_APIGW_JWA_ES512    0x0800
#define NGX_APIGW_JWA_ES256K   0x1000
#define NGX_APIGW_JWA_ED25519  0x2000
#define NGX_APIGW_JWA_ED448    0x4000

#define NGX_APIGW_JWA_HS       0x0007
#define NGX_APIGW_JWA_RS       0x0038
#define NGX_APIGW_JWA_PS       0x01c0
#define NGX_APIGW_JWA_EDDSA    0x6000
#define NGX_APIGW_JWA_ALL      0x7fff

#define NGX_APIGW_JWA_NUMBER   15


#pragma GCC visibility push(hidden)


/* The bits of a name such as "RS256" or "EdDSA"; 0 if it is none of ours. */

ngx_apigw_jwa_t ngx_apigw_jwa_parse(const u_char *name, size_t len);


/* The name of a bit, or "EdDSA" of both of its bits; else NULL. */

const char *ngx_apigw_jwa_name(ngx_apigw_jwa_t alg);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_JWA_H_INCLUDED_ */
