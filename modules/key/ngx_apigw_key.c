/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <endian.h>
#include <openssl/sha.h>

#include "ngx_apigw_key.h"


#define NGX_APIGW_KEY_WORDS  (NGX_APIGW_KEY_RANDOM / 4)


static u_char *ngx_apigw_key_sum(u_char *p, const u_char *body);
static ngx_int_t ngx_apigw_key_check_form(const u_char *p);


static const u_char  ngx_apigw_key_digits[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";


/*
 * CRC-32 of Ethernet and zip, four bytes at a time; nginx's is not there
 * outside of nginx.  What a byte gives is the sum of what its bits give.
 */

#define ngx_apigw_key_crc_of(i, b0, b1, b2, b3, b4, b5, b6, b7)               \
    (((i) & 0x01 ? b0 : 0) ^ ((i) & 0x02 ? b1 : 0)                            \
     ^ ((i) & 0x04 ? b2 : 0) ^ ((i) & 0x08 ? b3 : 0)                          \
     ^ ((i) & 0x10 ? b4 : 0) ^ ((i) & 0x20 ? b5 : 0)                          \
     ^ ((i) & 0x40 ? b6 : 0) ^ ((i) & 0x80 ? b7 : 0))

/* of a byte that so many others follow */

#define ngx_apigw_key_crc_0(i)                                                \
    ngx_apigw_key_crc_of(i, 0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832,   \
                         0x1db71064, 0x3b6e20c8, 0x76dc4190, 0xedb88320)

#define ngx_apigw_key_crc_1(i)                                                \
    ngx_apigw_key_crc_of(i, 0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08,   \
                         0x4ac21251, 0x958424a2, 0xf0794f05, 0x3b83984b)

#define ngx_apigw_key_crc_2(i)                                                \
    ngx_apigw_key_crc_of(i, 0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8,   \
                         0x1c26a370, 0x384d46e0, 0x709a8dc0, 0xe1351b80)

#define ngx_apigw_key_crc_3(i)                                                \
    ngx_apigw_key_crc_of(i, 0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef,   \
                         0x5019579f, 0xa032af3e, 0x9b14583d, 0xed59b63b)

#define ngx_apigw_key_crc_4(crc, i)                                           \
    crc(i), crc((i) + 1), crc((i) + 2), crc((i) + 3)

#define ngx_apigw_key_crc_16(crc, i)                                          \
    ngx_apigw_key_crc_4(crc, i), ngx_apigw_key_crc_4(crc, (i) + 4),           \
    ngx_apigw_key_crc_4(crc, (i) + 8), ngx_apigw_key_crc_4(crc, (i) + 12)

#define ngx_apigw_key_crc_64(crc, i)                                          \
    ngx_apigw_key_crc_16(crc, i), ngx_apigw_key_crc_16(crc, (i) + 16),        \
    ngx_apigw_key_crc_16(crc, (i) + 32), ngx_apigw_key_crc_16(crc, (i) + 48)

#define ngx_apigw_key_crc_256(crc)                                            \
    { ngx_apigw_key_crc_64(crc, 0), ngx_apigw_key_crc_64(crc, 64),            \
      ngx_apigw_key_crc_64(crc, 128), ngx_apigw_key_crc_64(crc, 192) }


static const uint32_t  ngx_apigw_key_crc[4][256] = {
    ngx_apigw_key_crc_256(ngx_apigw_key_crc_0),
    ngx_apigw_key_crc_256(ngx_apigw_key_crc_1),
    ngx_apigw_key_crc_256(ngx_apigw_key_crc_2),
    ngx_apigw_key_crc_256(ngx_apigw_key_crc_3)
};


ngx_int_t
ngx_apigw_key_check_prefix(const u_char *prefix, size_t len)
{
    u_char  ch;
    size_t  i;

    if (len < 2 || len > NGX_APIGW_KEY_PREFIX_MAX) {
        return NGX_DECLINED;
    }

    for (i = 0; i < len; i++) {
        ch = prefix[i];

        if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z')
            || (ch >= 'a' && ch <= 'z') || ch == '-' || ch == '_')
        {
            continue;
        }

        return NGX_DECLINED;
    }

    ch = prefix[len - 1];

    return (ch == '-' || ch == '_') ? NGX_OK : NGX_DECLINED;
}


u_char *
ngx_apigw_key_make(u_char *p, const u_char *prefix, size_t prefix_len,
    const u_char *random)
{
    u_char      *body;
    uint64_t     n;
    uint32_t     word[NGX_APIGW_KEY_WORDS];
    ngx_uint_t   i, k;

    for (i = 0; i < NGX_APIGW_KEY_WORDS; i++) {
        word[i] = (uint32_t) random[4 * i] << 24
                  | (uint32_t) random[4 * i + 1] << 16
                  | (uint32_t) random[4 * i + 2] << 8
                  | random[4 * i + 3];
    }

    ngx_memcpy(p, prefix, prefix_len);
    body = p + prefix_len;

    /* the bits as one number, divided by 62 for each digit from the last */

    for (k = NGX_APIGW_KEY_BODY; k > 0; k--) {
        n = 0;

        for (i = 0; i < NGX_APIGW_KEY_WORDS; i++) {
            n = n << 32 | word[i];
            word[i] = (uint32_t) (n / 62);
            n %= 62;
        }

        body[k - 1] = ngx_apigw_key_digits[n];
    }

    OPENSSL_cleanse(word, sizeof(word));

    return ngx_apigw_key_sum(body + NGX_APIGW_KEY_BODY, body);
}


static u_char *
ngx_apigw_key_sum(u_char *p, const u_char *body)
{
    uint32_t    crc, word;
    ngx_uint_t  i;

    crc = 0xffffffff;

    for (i = 0; i + 4 <= NGX_APIGW_KEY_BODY; i += 4) {
        ngx_memcpy(&word, body + i, sizeof(uint32_t));
        crc ^= le32toh(word);

        crc = ngx_apigw_key_crc[3][crc & 0xff]
              ^ ngx_apigw_key_crc[2][crc >> 8 & 0xff]
              ^ ngx_apigw_key_crc[1][crc >> 16 & 0xff]
              ^ ngx_apigw_key_crc[0][crc >> 24];
    }

    for ( /* void */ ; i < NGX_APIGW_KEY_BODY; i++) {
        crc = ngx_apigw_key_crc[0][(crc ^ body[i]) & 0xff] ^ (crc >> 8);
    }

    crc ^= 0xffffffff;

    for (i = NGX_APIGW_KEY_SUM; i > 0; i--) {
        p[i - 1] = ngx_apigw_key_digits[crc % 62];
        crc /= 62;
    }

    return p + NGX_APIGW_KEY_SUM;
}


ngx_int_t
ngx_apigw_key_check(const u_char *key, size_t len, const u_char *prefix,
    size_t prefix_len)
{
    size_t  i;

    if (len < NGX_APIGW_KEY_MIN || len > NGX_APIGW_KEY_MAX) {
        return NGX_DECLINED;
    }

    if (len >= prefix_len && ngx_memcmp(key, prefix, prefix_len) == 0) {

        if (len != prefix_len + NGX_APIGW_KEY_BODY + NGX_APIGW_KEY_SUM) {
            return NGX_DECLINED;
        }

        return ngx_apigw_key_check_form(key + prefix_len);
    }

    for (i = 0; i < len; i++) {
        if (key[i] <= ' ' || key[i] >= 0x7f) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/*
 * The checksum alone decides: what has a character outside of base62 and the
 * right checksum all the same is nobody's key.
 */

static ngx_int_t
ngx_apigw_key_check_form(const u_char *p)
{
    u_char  sum[NGX_APIGW_KEY_SUM];

    (void) ngx_apigw_key_sum(sum, p);

    return (ngx_memcmp(sum, p + NGX_APIGW_KEY_BODY, NGX_APIGW_KEY_SUM) == 0)
           ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_apigw_key_hasher_init(ngx_apigw_key_hasher_t *hasher)
{
    hasher->ctx = NULL;

    hasher->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (hasher->md == NULL) {
        return NGX_ERROR;
    }

    hasher->ctx = EVP_MD_CTX_new();

    if (hasher->ctx == NULL
        || EVP_DigestInit_ex2(hasher->ctx, hasher->md, NULL) != 1)
    {
        ngx_apigw_key_hasher_free(hasher);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_apigw_key_hasher_free(ngx_apigw_key_hasher_t *hasher)
{
    EVP_MD_CTX_free(hasher->ctx);
    EVP_MD_free(hasher->md);

    hasher->ctx = NULL;
    hasher->md = NULL;
}


#ifndef OPENSSL_NO_DEPRECATED_3_0

/*
 * EVP needs as many instructions again for itself as the digest of a key, and
 * SHA256_Update() and SHA256_Final() half as many.  The padding: FIPS 180-4,
 * section 5.1.1.
 */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

ngx_int_t
ngx_apigw_key_digest(ngx_apigw_key_hasher_t *hasher, u_char *digest,
    const u_char *key, size_t len)
{
    size_t      rest, size;
    u_char      block[2 * SHA256_CBLOCK];
    uint32_t    word;
    uint64_t    bits;
    SHA256_CTX  ctx;
    ngx_uint_t  i;

    (void) SHA256_Init(&ctx);

    bits = htobe64((uint64_t) len * 8);

    for (rest = len; rest >= SHA256_CBLOCK; rest -= SHA256_CBLOCK) {
        SHA256_Transform(&ctx, key);
        key += SHA256_CBLOCK;
    }

    size = (rest < SHA256_CBLOCK - sizeof(bits)) ? SHA256_CBLOCK
                                                 : 2 * SHA256_CBLOCK;
    ngx_memzero(block, sizeof(block));
    ngx_memcpy(block, key, rest);

    block[rest] = 0x80;

    ngx_memcpy(block + size - sizeof(bits), &bits, sizeof(bits));

    SHA256_Transform(&ctx, block);

    if (size > SHA256_CBLOCK) {
        SHA256_Transform(&ctx, block + SHA256_CBLOCK);
    }

    for (i = 0; i < NGX_APIGW_KEY_DIGEST / 4; i++) {
        word = htobe32(ctx.h[i]);
        ngx_memcpy(digest + 4 * i, &word, sizeof(word));
    }

    explicit_bzero(block, sizeof(block));
    explicit_bzero(&ctx, sizeof(SHA256_CTX));

    return NGX_OK;
}

#pragma GCC diagnostic pop

#else

ngx_int_t
ngx_apigw_key_digest(ngx_apigw_key_hasher_t *hasher, u_char *digest,
    const u_char *key, size_t len)
{
    unsigned int  n;

    /* without a digest the context's own is used again */

    if (EVP_DigestInit_ex2(hasher->ctx, NULL, NULL) != 1
        || EVP_DigestUpdate(hasher->ctx, key, len) != 1
        || EVP_DigestFinal_ex(hasher->ctx, digest, &n) != 1
        || n != NGX_APIGW_KEY_DIGEST)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}

#endif
