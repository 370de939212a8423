/*
 * Copyright (C) the apigw authors
 */


#ifndef _JWT_SIGN_H_INCLUDED_
#define _JWT_SIGN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "ngx_apigw_base64.h"


/*
 * Makes keys, JWKs and tokens for tests: of any header and payload, so of
 * wrong ones, too.  All of it is kept to the end of the program.
 */


typedef struct {
    EVP_PKEY    *pkey;
    const char  *crv;       /* NULL: RSA */
    size_t       size;      /* of a coordinate or of the whole */
} test_key_t;


#define TEST_KEPT  1000000

static void        *test_kept[TEST_KEPT];
static ngx_uint_t   test_nkept;


static inline void *
test_keep(void *p)
{
    if (p == NULL || test_nkept == TEST_KEPT) {
        abort();
    }

    test_kept[test_nkept++] = p;

    return p;
}


static inline char *
test_print(const char *fmt, ...)
{
    char     *text;
    va_list   args;

    va_start(args, fmt);

    if (vasprintf(&text, fmt, args) == -1) {
        abort();
    }

    va_end(args);

    return test_keep(text);
}


static inline char *
test_base64(const void *data, size_t len)
{
    u_char  *p, *text;

    text = test_keep(malloc(ngx_apigw_base64_encoded(len) + 1));
    p = ngx_apigw_base64_encode(text, data, len);
    *p = '\0';

    return (char *) text;
}


/* "2048" and so on for RSA, or the name of a curve as JOSE has it. */

static inline test_key_t
test_keygen(const char *kind)
{
    test_key_t  key;

    ngx_memzero(&key, sizeof(test_key_t));

    key.crv = kind;
    key.size = 32;

    if (strcmp(kind, "Ed25519") == 0) {
        key.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    } else if (strcmp(kind, "Ed448") == 0) {
        key.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
        key.size = 57;

    } else if (kind[0] == 'P' || kind[0] == 's') {
        key.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", (char *) kind);

        if (strcmp(kind, "P-384") == 0) {
            key.size = 48;

        } else if (strcmp(kind, "P-521") == 0) {
            key.size = 66;
        }

    } else {
        key.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) atoi(kind));
        key.crv = NULL;
        key.size = atoi(kind) / 8;
    }

    (void) test_keep(key.pkey);

    return key;
}


static inline char *
test_number(EVP_PKEY *pkey, const char *name, size_t size)
{
    u_char   buf[2048];
    BIGNUM  *n;

    n = NULL;

    if (EVP_PKEY_get_bn_param(pkey, name, &n) != 1) {
        abort();
    }

    if (size == 0) {
        size = BN_num_bytes(n);
    }

    (void) BN_bn2binpad(n, buf, (int) size);
    BN_free(n);

    return test_base64(buf, size);
}


/* more is text before the closing brace: ",\"kid\":\"a\"" */

static inline char *
test_jwk(test_key_t *key, const char *more)
{
    size_t  len;
    u_char  pub[64];

    if (key->crv == NULL) {
        return test_print("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}",
                          test_number(key->pkey, "n", 0),
                          test_number(key->pkey, "e", 0), more);
    }

    if (key->crv[0] == 'E') {
        len = sizeof(pub);

        if (EVP_PKEY_get_raw_public_key(key->pkey, pub, &len) != 1) {
            abort();
        }

        return test_print("{\"kty\":\"OKP\",\"crv\":\"%s\",\"x\":\"%s\"%s}",
                          key->crv, test_base64(pub, len), more);
    }

    return test_print("{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\","
                      "\"y\":\"%s\"%s}", key->crv,
                      test_number(key->pkey, "qx", key->size),
                      test_number(key->pkey, "qy", key->size), more);
}


/* The bytes of a signature as JOSE has them; alg such as "PS384". */

static inline size_t
test_signature(test_key_t *key, const char *alg, const char *input,
    u_char *out)
{
    size_t          len;
    u_char          der[2048];
    ECDSA_SIG      *sig;
    EVP_MD_CTX     *ctx;
    const char     *md;
    const u_char   *p;
    EVP_PKEY_CTX   *pctx;

    md = strstr(alg, "384") ? "SHA384" : strstr(alg, "512") ? "SHA512"
                                                            : "SHA256";

    if (alg[0] == 'E' && alg[1] == 'd') {
        md = NULL;
    }

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL
        || EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, key->pkey, NULL)
           != 1)
    {
        abort();
    }

    if (alg[0] == 'P'
        && (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1
            || EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST)
               != 1))
    {
        abort();
    }

    len = sizeof(der);

    if (EVP_DigestSign(ctx, der, &len, (u_char *) input, strlen(input)) != 1) {
        abort();
    }

    EVP_MD_CTX_free(ctx);

    if (key->crv == NULL || key->crv[0] == 'E') {
        ngx_memcpy(out, der, len);
        return len;
    }

    p = der;
    sig = d2i_ECDSA_SIG(NULL, &p, (long) len);

    if (sig == NULL
        || BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int) key->size) < 0
        || BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + key->size,
                        (int) key->size) < 0)
    {
        abort();
    }

    ECDSA_SIG_free(sig);

    return 2 * key->size;
}


static inline char *
test_input(const char *header, const char *payload)
{
    return test_print("%s.%s", test_base64(header, strlen(header)),
                      test_base64(payload, strlen(payload)));
}


static inline char *
test_join(const char *input, const u_char *signature, size_t len)
{
    return test_print("%s.%s", input, test_base64(signature, len));
}


static inline char *
test_token(test_key_t *key, const char *alg, const char *header,
    const char *payload)
{
    char    *input;
    size_t   len;
    u_char   signature[2048];

    input = test_input(header, payload);
    len = test_signature(key, alg, input, signature);

    return test_join(input, signature, len);
}


static inline char *
test_token_hmac(const void *secret, size_t size, const char *alg,
    const char *header, const char *payload)
{
    char          *input;
    u_char         mac[EVP_MAX_MD_SIZE];
    unsigned int   len;
    const EVP_MD  *md;

    md = strstr(alg, "384") ? EVP_sha384() : strstr(alg, "512") ? EVP_sha512()
                                                               : EVP_sha256();
    input = test_input(header, payload);

    if (HMAC(md, secret, (int) size, (u_char *) input, strlen(input), mac,
             &len)
        == NULL)
    {
        abort();
    }

    return test_join(input, mac, len);
}


#endif /* _JWT_SIGN_H_INCLUDED_ */
