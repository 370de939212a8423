/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_TOKEN_HASH_H_INCLUDED_
#define _NGX_APIGW_TOKEN_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_hash.h"


/*
 * A keyed 128-bit hash of long texts, at less than half the price of SipHash.
 *
 * The text is cut into blocks, each is compressed to 32 bytes by NH, and
 * SipHash is taken of what they make together and the length.  NH (Black,
 * Halevi, Krawczyk, Krovetz and Rogaway, "UMAC: Fast and Secure Message
 * Authentication", CRYPTO '99, section 4) adds up products of words to which
 * words of a secret key were added; done twice, with the key shifted by a
 * pair ("Toeplitz"), two different blocks of equal length come out alike for
 * at most one key in 2^128, whoever has chosen them.  Words are of 64 bits as
 * in VMAC (Krovetz, "Message Authentication on 64-bit Architectures").
 * SipHash then hides what NH, which is no hash by itself, would tell.
 */


#define NGX_APIGW_TOKEN_HASH_WORDS   128     /* of a block */
#define NGX_APIGW_TOKEN_HASH_BLOCK   (NGX_APIGW_TOKEN_HASH_WORDS * 8)
#define NGX_APIGW_TOKEN_HASH_BLOCKS  64      /* longer texts by SipHash */


typedef struct {
    uint64_t                nh[NGX_APIGW_TOKEN_HASH_WORDS + 2];
    ngx_apigw_hash_key_t    final;
} ngx_apigw_token_hash_key_t;


/* Returns NGX_ERROR, with errno set, if the kernel gives no random bytes. */

static ngx_inline ngx_int_t
ngx_apigw_token_hash_new_key(ngx_apigw_token_hash_key_t *key)
{
    size_t   done;
    ssize_t  n;

    for (done = 0; done < sizeof(ngx_apigw_token_hash_key_t); done += n) {

        n = getrandom((u_char *) key + done,
                      sizeof(ngx_apigw_token_hash_key_t) - done, 0);

        if (n == -1) {

            if (errno != EINTR) {
                return NGX_ERROR;
            }

            n = 0;
        }
    }

    return NGX_OK;
}


/* What is missing to a pair of words is zero. */

static ngx_inline void
ngx_apigw_token_hash_block(uint64_t *out, const uint64_t *key,
    const u_char *data, size_t len)
{
    size_t             rest;
    uint64_t           m[2];
    const u_char      *last;
    unsigned __int128  a, b;

    a = 0;
    b = 0;

    rest = len & 15;
    last = data + len - rest;

    for ( /* void */ ; data != last; data += 16, key += 2) {

        m[0] = ngx_apigw_hash_word(data);
        m[1] = ngx_apigw_hash_word(data + 8);

        a += (unsigned __int128) (m[0] + key[0]) * (m[1] + key[1]);
        b += (unsigned __int128) (m[0] + key[2]) * (m[1] + key[3]);
    }

    if (rest) {
        m[0] = 0;
        m[1] = 0;

        ngx_memcpy(m, last, rest);

        a += (unsigned __int128) (m[0] + key[0]) * (m[1] + key[1]);
        b += (unsigned __int128) (m[0] + key[2]) * (m[1] + key[3]);
    }

    out[0] = (uint64_t) a;
    out[1] = (uint64_t) (a >> 64);
    out[2] = (uint64_t) b;
    out[3] = (uint64_t) (b >> 64);
}


static ngx_inline void
ngx_apigw_token_hash(ngx_apigw_hash_t *hash,
    const ngx_apigw_token_hash_key_t *key, const u_char *data, size_t len)
{
    size_t     left, n;
    uint64_t  *p, out[NGX_APIGW_TOKEN_HASH_BLOCKS * 4 + 1];

    if (len > NGX_APIGW_TOKEN_HASH_BLOCKS * NGX_APIGW_TOKEN_HASH_BLOCK) {
        ngx_apigw_hash(hash, &key->final, data, len);
        return;
    }

    p = out;

    for (left = len; left; left -= n, data += n, p += 4) {
        n = ngx_min(left, NGX_APIGW_TOKEN_HASH_BLOCK);
        ngx_apigw_token_hash_block(p, key->nh, data, n);
    }

    *p++ = len;

    ngx_apigw_hash(hash, &key->final, (u_char *) out,
                   (p - out) * sizeof(uint64_t));
}


#endif /* _NGX_APIGW_TOKEN_HASH_H_INCLUDED_ */
