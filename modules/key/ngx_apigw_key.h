/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_H_INCLUDED_
#define _NGX_APIGW_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>


/*
 * The text of an API key:
 *
 *     ak_  43 characters  6 characters
 *     |    |              checksum: CRC-32 of the 43, in base62
 *     |    256 random bits in base62
 *     prefix, "ak_" or another
 *
 * The checksum leaves the prefix out, so it is the same under any prefix.
 *
 * Keys made elsewhere may be any printable text of 16 to 512 bytes; only what
 * begins with the prefix must have the form above.
 *
 * Uses nothing of nginx but its types.
 */


#define NGX_APIGW_KEY_PREFIX      "ak_"
#define NGX_APIGW_KEY_PREFIX_MAX  16

#define NGX_APIGW_KEY_RANDOM      32
#define NGX_APIGW_KEY_BODY        43
#define NGX_APIGW_KEY_SUM         6

#define NGX_APIGW_KEY_MIN         16
#define NGX_APIGW_KEY_MAX         512

#define NGX_APIGW_KEY_DIGEST      32


/* What is looked up once in a process, for it is slow. */

typedef struct {
    EVP_MD              *md;
    EVP_MD_CTX          *ctx;
} ngx_apigw_key_hasher_t;


#pragma GCC visibility push(hidden)


/*
 * A prefix is 2 to 16 of A-Z, a-z, 0-9, "-" and "_", and ends in one of the
 * latter two.  Returns NGX_OK or NGX_DECLINED.
 */

ngx_int_t ngx_apigw_key_check_prefix(const u_char *prefix, size_t len);


/*
 * Writes a key made of NGX_APIGW_KEY_RANDOM random bytes; takes the prefix'
 * length + NGX_APIGW_KEY_BODY + NGX_APIGW_KEY_SUM bytes at p, returns their
 * end.  The caller wipes both buffers.
 */

u_char *ngx_apigw_key_make(u_char *p, const u_char *prefix, size_t prefix_len,
    const u_char *random);


/*
 * Whether a string can be a key at all, before anything costly is done with
 * it.  Returns NGX_OK or NGX_DECLINED.
 */

ngx_int_t ngx_apigw_key_check(const u_char *key, size_t len,
    const u_char *prefix, size_t prefix_len);


/*
 * SHA-256 of the whole text of a key, under which it is stored.  All return
 * NGX_OK or NGX_ERROR, which means that OpenSSL refuses to work.
 */

ngx_int_t ngx_apigw_key_hasher_init(ngx_apigw_key_hasher_t *hasher);
void ngx_apigw_key_hasher_free(ngx_apigw_key_hasher_t *hasher);
ngx_int_t ngx_apigw_key_digest(ngx_apigw_key_hasher_t *hasher, u_char *digest,
    const u_char *key, size_t len);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_H_INCLUDED_ */
