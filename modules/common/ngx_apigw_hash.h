/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_HASH_H_INCLUDED_
#define _NGX_APIGW_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/random.h>


/*
 * SipHash-1-3 with 128 bits of output: a keyed hash, so that a client who
 * chooses what is hashed cannot choose where it lands.  Not for secrets at
 * rest.  (Aumasson and Bernstein, "SipHash: a fast short-input PRF"; the
 * 128-bit form is the one of their reference code.)
 */


typedef struct {
    uint64_t             k[2];
} ngx_apigw_hash_key_t;


typedef struct {
    uint64_t             h[2];
} ngx_apigw_hash_t;


/* Returns NGX_ERROR, with errno set, if the kernel gives no random bytes. */

static ngx_inline ngx_int_t
ngx_apigw_hash_new_key(ngx_apigw_hash_key_t *key)
{
    if (getrandom(key, sizeof(ngx_apigw_hash_key_t), 0)
        != (ssize_t) sizeof(ngx_apigw_hash_key_t))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


#define ngx_apigw_rotl(x, n)  (((x) << (n)) | ((x) >> (64 - (n))))

#define ngx_apigw_hash_round()                                                \
    v0 += v1; v1 = ngx_apigw_rotl(v1, 13); v1 ^= v0;                          \
    v0 = ngx_apigw_rotl(v0, 32);                                              \
    v2 += v3; v3 = ngx_apigw_rotl(v3, 16); v3 ^= v2;                          \
    v0 += v3; v3 = ngx_apigw_rotl(v3, 21); v3 ^= v0;                          \
    v2 += v1; v1 = ngx_apigw_rotl(v1, 17); v1 ^= v2;                          \
    v2 = ngx_apigw_rotl(v2, 32)


static ngx_inline uint64_t
ngx_apigw_hash_word(const u_char *p)
{
    uint64_t  w;

    ngx_memcpy(&w, p, sizeof(uint64_t));

    return w;
}


static ngx_inline uint32_t
ngx_apigw_hash_half_word(const u_char *p)
{
    uint32_t  w;

    ngx_memcpy(&w, p, sizeof(uint32_t));

    return w;
}


/*
 * With "full" of 0 only the first half is drawn, and the second one made of
 * it: enough to tell keys apart in memory, not to identify them for good.
 */

static ngx_inline void
ngx_apigw_hash_part(ngx_apigw_hash_t *hash, const ngx_apigw_hash_key_t *key,
    const u_char *data, size_t len, ngx_uint_t full)
{
    size_t         rest;
    uint64_t       v0, v1, v2, v3, w;
    const u_char  *last;

    v0 = key->k[0] ^ 0x736f6d6570736575ULL;
    v1 = key->k[1] ^ 0x646f72616e646f6dULL ^ 0xee;
    v2 = key->k[0] ^ 0x6c7967656e657261ULL;
    v3 = key->k[1] ^ 0x7465646279746573ULL;

    rest = len & 7;
    last = data + len - rest;

    for ( /* void */ ; data != last; data += 8) {
        w = ngx_apigw_hash_word(data);
        v3 ^= w;
        ngx_apigw_hash_round();
        v0 ^= w;
    }

    w = (uint64_t) len << 56;

    if (rest && len >= 8) {
        w |= ngx_apigw_hash_word(last + rest - 8) >> (64 - 8 * rest);

    } else if (rest >= 4) {
        w |= ngx_apigw_hash_half_word(last)
             | (uint64_t) ngx_apigw_hash_half_word(last + rest - 4)
               << (8 * (rest - 4));

    } else {
        while (rest) {
            rest--;
            w |= (uint64_t) last[rest] << (8 * rest);
        }
    }

    v3 ^= w;
    ngx_apigw_hash_round();
    v0 ^= w;

    v2 ^= 0xee;
    ngx_apigw_hash_round();
    ngx_apigw_hash_round();
    ngx_apigw_hash_round();
    hash->h[0] = v0 ^ v1 ^ v2 ^ v3;

    if (!full) {
        hash->h[1] = hash->h[0] * 0x9e3779b97f4a7c15ULL;
        return;
    }

    v1 ^= 0xdd;
    ngx_apigw_hash_round();
    ngx_apigw_hash_round();
    ngx_apigw_hash_round();
    hash->h[1] = v0 ^ v1 ^ v2 ^ v3;
}


static ngx_inline void
ngx_apigw_hash(ngx_apigw_hash_t *hash, const ngx_apigw_hash_key_t *key,
    const u_char *data, size_t len)
{
    ngx_apigw_hash_part(hash, key, data, len, 1);
}


static ngx_inline void
ngx_apigw_hash_half(ngx_apigw_hash_t *hash, const ngx_apigw_hash_key_t *key,
    const u_char *data, size_t len)
{
    ngx_apigw_hash_part(hash, key, data, len, 0);
}


#undef ngx_apigw_hash_round
#undef ngx_apigw_rotl


#endif /* _NGX_APIGW_HASH_H_INCLUDED_ */
