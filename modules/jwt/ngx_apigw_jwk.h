/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_JWK_H_INCLUDED_
#define _NGX_APIGW_JWK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/evp.h>

#include "ngx_apigw_jwa.h"


/*
 * Sets of keys that verify signatures, from a JWK Set (RFC 7517), a JSON
 * object of key ids and PEM texts, or a PEM file.
 *
 * A set belongs to one process and is counted: who keeps a pointer beyond its
 * own step takes a reference, and a set that is replaced lives on until the
 * last request that uses it is done.  Keys never change; the contexts behind
 * them are reused, so a set is not for several threads.
 *
 * Everything is checked here, once: sizes of RSA keys and their exponents,
 * points on their curves, secrets as long as the hash, no duplicate members.
 * A key of another use ("use": "enc"), of a type or a curve unknown here is
 * passed over.  A key that must not be used (RSA of 1024 bits) is passed over
 * as well, or refuses the set if NGX_APIGW_JWKS_STRICT is given; a set without
 * any usable key is always refused.
 *
 * Uses nothing of nginx but its types; memory is malloc()'s.
 */


#define NGX_APIGW_JWKS_SIZE_MAX  (10 * 1024 * 1024)
#define NGX_APIGW_JWKS_KEYS_MAX  10000        /* of the operator, strict */
#define NGX_APIGW_JWKS_KEYS_FEW  1000         /* of others: some 0.1 s of work
                                                 for a worker */
#define NGX_APIGW_JWK_KID_MAX    1024
#define NGX_APIGW_JWKS_ERROR     160


/* Flags. */

#define NGX_APIGW_JWKS_SECRETS   0x01   /* "oct" keys may be in it:
                                           never for what is fetched */
#define NGX_APIGW_JWKS_STRICT    0x02   /* files of the operator */


typedef enum {
    NGX_APIGW_JWKS_JSON = 0,            /* JWK Set, or a single JWK */
    NGX_APIGW_JWKS_KEYVAL,              /* {"kid": "-----BEGIN ..."} */
    NGX_APIGW_JWKS_PEM,                 /* public keys and certificates */
    NGX_APIGW_JWKS_ANY                  /* JSON or PEM, by the first byte */
} ngx_apigw_jwks_format_e;


typedef enum {
    NGX_APIGW_JWK_OCT = 0,
    NGX_APIGW_JWK_RSA,
    NGX_APIGW_JWK_EC,
    NGX_APIGW_JWK_OKP
} ngx_apigw_jwk_type_e;


typedef struct ngx_apigw_jwks_s  ngx_apigw_jwks_t;


typedef struct {
    ngx_str_t                kid;         /* data is NULL if there is none */
    ngx_apigw_jwk_type_e     type;
    ngx_apigw_jwa_t          alg;         /* what the key may verify, by its
                                             type, curve, size and own "alg" */
    EVP_PKEY                *pkey;        /* NULL for "oct" */
    ngx_uint_t               bits;        /* of RSA: the modulus */

    u_char                  *secret;      /* "oct" only */
    size_t                   secret_len;

    /* made by the first use, for NGX_APIGW_JWA_... by number of its bit */

    void                    *ctx[NGX_APIGW_JWA_NUMBER];
} ngx_apigw_jwk_t;


struct ngx_apigw_jwks_s {
    ngx_apigw_jwk_t         *keys;        /* sorted, those without kid first */
    ngx_uint_t               nkeys;
    ngx_uint_t               anonymous;   /* of them without kid */
    ngx_uint_t               skipped;     /* of another use or unknown type */
    ngx_uint_t               bad;         /* that must not be used */
    ngx_apigw_jwa_t          alg;         /* of all keys together */
    ngx_uint_t               references;

    /* why the first bad key is bad, for a line in the log; "" if none is */

    char                     warning[NGX_APIGW_JWKS_ERROR];
};


#pragma GCC visibility push(hidden)


/*
 * Returns a set with one reference, or NULL with a text in error, which has
 * room for NGX_APIGW_JWKS_ERROR bytes: key 3, "2024-01": RSA of less than 2048
 * or more than 8192 bits.  No text contains anything of a key but its number
 * and kid; control characters of a kid are written as "?".
 */

ngx_apigw_jwks_t *ngx_apigw_jwks_parse(const u_char *data, size_t len,
    ngx_apigw_jwks_format_e format, ngx_uint_t flags, char *error);

ngx_apigw_jwks_t *ngx_apigw_jwks_ref(ngx_apigw_jwks_t *jwks);


/* Drops a reference; the last one wipes and frees all.  NULL is allowed. */

void ngx_apigw_jwks_free(ngx_apigw_jwks_t *jwks);


/*
 * The keys with that kid: the first one, and in *n how many follow each other.
 * NULL if there is none.  The keys without kid are keys[0 .. anonymous - 1].
 */

ngx_apigw_jwk_t *ngx_apigw_jwks_find(const ngx_apigw_jwks_t *jwks,
    const ngx_str_t *kid, ngx_uint_t *n);


/*
 * What a set is made of: one key, which is zeroed before and has no kid yet.
 * NGX_OK, NGX_DECLINED if it is for others, NGX_ABORT with a text in *why if
 * it must not be used, NGX_ERROR without memory.
 */

ngx_int_t ngx_apigw_jwk_parse(json_t *jwk, ngx_uint_t flags,
    ngx_apigw_jwk_t *key, const char **why);
ngx_int_t ngx_apigw_jwk_parse_pem(const u_char *data, size_t len,
    ngx_apigw_jwk_t *key, const char **why);
ngx_int_t ngx_apigw_jwk_from_pkey(EVP_PKEY *pkey, ngx_apigw_jwk_t *key,
    const char **why);
void ngx_apigw_jwk_clear(ngx_apigw_jwk_t *key);

/* The next public key of a PEM text: NGX_OK, NGX_DONE, NGX_ABORT. */

ngx_int_t ngx_apigw_jwk_pem_next(BIO *bio, EVP_PKEY **pkey,
    const char **why);

/* Overwrites the private members: what jansson frees keeps its content. */

void ngx_apigw_jwk_wipe(json_t *value);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_JWK_H_INCLUDED_ */
