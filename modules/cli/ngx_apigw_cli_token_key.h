/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_TOKEN_KEY_H_INCLUDED_
#define _NGX_APIGW_CLI_TOKEN_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "ngx_apigw_jwa.h"


/*
 * A key that signs tokens: made, written as a JWK and read again, or read
 * from a PEM file.  Uses nothing of nginx but its types.
 */


#define NGX_APIGW_CLI_TOKEN_KID   44
#define NGX_APIGW_CLI_TOKEN_FILE  (64 * 1024)


typedef struct {
    ngx_apigw_jwa_t          alg;         /* as it is called: "EdDSA" */
    ngx_apigw_jwa_t          bit;         /* and which one that is */
    char                    *kid;         /* NULL if there is none */
    EVP_PKEY                *pkey;        /* NULL for a secret */
    u_char                  *secret;
    size_t                   secret_len;
} ngx_apigw_cli_token_key_t;


#pragma GCC visibility push(hidden)


/*
 * A new key for one algorithm; bits are those of RSA.  Its kid is the
 * thumbprint of RFC 7638, of a secret something random.  NGX_ERROR if OpenSSL
 * cannot.
 */

ngx_int_t ngx_apigw_cli_token_key_make(ngx_apigw_cli_token_key_t *key,
    ngx_apigw_jwa_t alg, ngx_uint_t bits);


/* A JWK with the private members or without, which a secret has none of. */

json_t *ngx_apigw_cli_token_key_jwk(const ngx_apigw_cli_token_key_t *key,
    ngx_uint_t secret);


/*
 * Reads a private key, as a JWK or PEM.  If it does not say its algorithm alg
 * does, and if that is 0 what is usual for such a key.  NULL, or what is
 * wrong with it.
 */

const char *ngx_apigw_cli_token_key_read(ngx_apigw_cli_token_key_t *key,
    const u_char *data, size_t len, ngx_apigw_jwa_t alg);


/*
 * A token of these claims, malloc()'d; header has what goes beside "alg" and
 * "kid".  It is verified before it is given away.  NULL or the token.
 */

char *ngx_apigw_cli_token_key_sign(const ngx_apigw_cli_token_key_t *key,
    json_t *header, json_t *claims);


void ngx_apigw_cli_token_key_clear(ngx_apigw_cli_token_key_t *key);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_TOKEN_KEY_H_INCLUDED_ */
