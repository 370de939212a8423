/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_JWS_H_INCLUDED_
#define _NGX_APIGW_JWS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "ngx_apigw_jwa.h"
#include "ngx_apigw_jwk.h"


/*
 * Signed tokens in compact form (RFC 7515): header.payload.signature.
 *
 * The order is parse (nothing is believed, nothing of the payload is looked
 * at), then choose the keys by what the header says, then verify, and only
 * then read the claims:
 *
 *     rc = ngx_apigw_jws_parse(&jws, token.data, token.len);
 *     if (rc == NGX_APIGW_JWS_OK) {
 *         rc = ngx_apigw_jws_verify(verifier, &jws, sets, n, allowed);
 *     }
 *     ...
 *     ngx_apigw_jws_clear(&jws);
 *
 * To choose among several issuers the payload may be parsed in between, for
 * "iss" and nothing else: ngx_apigw_claims.h.
 *
 * Uses nothing of nginx but its types; memory is malloc()'s.
 */


#define NGX_APIGW_JWS_TOKEN_MAX      65536
#define NGX_APIGW_JWS_HEADER_MAX     8192     /* as text */
#define NGX_APIGW_JWS_SIGNATURE_MAX  1024     /* bytes: RSA of 8192 bits */
#define NGX_APIGW_JWS_TRIES          8        /* keys a token may cost */


/* What all the functions here return. */

typedef enum {
    NGX_APIGW_JWS_OK = 0,

    NGX_APIGW_JWS_BAD,        /* malformed, or with "crit", "b64", "zip", or a
                                 "cty" of a nested token */
    NGX_APIGW_JWS_NOALG,      /* "alg" is unknown ("none"), not allowed, or the
                                 key that "kid" names is for others */
    NGX_APIGW_JWS_NOKEY,      /* no key has that "kid", or none that "alg" may
                                 use is there: time to fetch the set again */
    NGX_APIGW_JWS_BADSIG,     /* the signature is wrong */
    NGX_APIGW_JWS_ERROR       /* no memory, or OpenSSL fails: ours */
} ngx_apigw_jws_rc_e;


typedef struct {
    ngx_apigw_jwa_t          alg;            /* bits of "alg", never 0 */
    ngx_str_t                alg_name;
    ngx_str_t                kid;            /* data is NULL without "kid" */
    ngx_str_t                typ;            /* the same */

    json_t                  *header;         /* an object */

    ngx_str_t                signed_part;    /* of the token: up to the
                                                second dot */
    ngx_str_t                payload;        /* decoded; not checked at all */
    ngx_str_t                signature;      /* decoded */

    ngx_str_t                header_text;    /* of the token: up to the
                                                first dot */

    const char              *why;            /* of the last failure: a text for
                                                the log, never the token's */
    ngx_apigw_jwk_t         *key;            /* that verified it */

    u_char                  *memory;
} ngx_apigw_jws_t;


/* The contexts that one process uses again and again. */

typedef struct ngx_apigw_jws_verifier_s  ngx_apigw_jws_verifier_t;


#pragma GCC visibility push(hidden)


/*
 * One for each process, made after fork(): it fetches the digests.  NULL if
 * there is no memory or OpenSSL has no SHA-256.
 */

ngx_apigw_jws_verifier_t *ngx_apigw_jws_verifier_create(void);
void ngx_apigw_jws_verifier_free(ngx_apigw_jws_verifier_t *v);


/*
 * Splits and decodes a token.  OK, BAD, NOALG or ERROR; jws is filled in as
 * far as it goes and has to be cleared in any case.  The token is not copied:
 * it must stay until verify() is done.
 *
 * _parse_by() does the same faster: tokens by one key have the same header,
 * so the verifier remembers those of the last tokens that it has verified,
 * and gives them away again.  They must not be changed.
 */

ngx_apigw_jws_rc_e ngx_apigw_jws_parse(ngx_apigw_jws_t *jws,
    const u_char *token, size_t len);
ngx_apigw_jws_rc_e ngx_apigw_jws_parse_by(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws, const u_char *token, size_t len);


/*
 * Verifies with the keys of one set or several that fit kid and alg; allowed
 * is the set of algorithms of the configuration.  A key without kid fits every
 * kid, and a token without kid is tried with all keys of its alg, together at
 * most NGX_APIGW_JWS_TRIES.  A kid that no key has is NOKEY, whatever was tried
 * without; for a token without kid BADSIG may come of keys that were rotated as
 * well.
 */

ngx_apigw_jws_rc_e ngx_apigw_jws_verify(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws, ngx_apigw_jwks_t *const *sets, ngx_uint_t n,
    ngx_apigw_jwa_t allowed);


/*
 * Whether "typ" is that type, in any case of letters and with or without
 * "application/" (RFC 7515, 4.1.9): "at+jwt", "JWT".
 */

ngx_uint_t ngx_apigw_jws_typ(const ngx_apigw_jws_t *jws,
    const ngx_str_t *type);


void ngx_apigw_jws_clear(ngx_apigw_jws_t *jws);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_JWS_H_INCLUDED_ */
