/*
 * Copyright (C) the apigw authors
 */


/*
 * Sets of keys for libFuzzer, in every format: what is taken is complete and
 * of an allowed size.  The first byte chooses format and flags, and whether
 * the text is the input or made of it.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I ... \
 *           t/fuzz/jwt_keys.c -lcrypto -ljansson
 *
 * with the include paths of t/unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_base64.c"
#include "ngx_apigw_jwa.c"
#include "ngx_apigw_jwk.c"
#include "ngx_apigw_jwks.c"
#include "jwt_json.h"


#define must(condition)  if (!(condition)) __builtin_trap()

/* numbers of good keys and of none */

#define N2048                                                                 \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4q" \
    "PCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ4" \
    "7soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBE" \
    "Ma2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWN" \
    "moudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"


static const char *const  words[] = {
    "keys", "kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y",
    "k", "d", "RSA", "EC", "OKP", "oct", "sig", "enc", "verify", "P-256",
    "P-384", "secp256k1", "Ed25519", "Ed448", "ES256", "RS256", "HS256",
    "EdDSA", "AQAB", "Aw", N2048,
    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NULL
};


/* A key with the members of its type, which are then varied. */

#define RSA  "\"kty\":\"RSA\",\"n\":\"" N2048 "\",\"e\":\"AQAB\""
#define EC   "\"kty\":\"EC\",\"crv\":\"P-256\","                            \
             "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","        \
             "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define OKP  "\"kty\":\"OKP\",\"crv\":\"Ed25519\","                         \
             "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define OCT  "\"kty\":\"oct\","                                              \
             "\"k\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""

static const char *const  good[] = { RSA, EC, OKP, OCT };


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(ngx_apigw_jwks_t *jwks, ngx_uint_t flags)
{
    ngx_uint_t        i, n;
    ngx_apigw_jwa_t   alg;
    ngx_apigw_jwk_t  *key;

    alg = 0;

    must(jwks->nkeys > 0 && jwks->anonymous <= jwks->nkeys);

    for (i = 0; i < jwks->nkeys; i++) {
        key = &jwks->keys[i];
        alg |= key->alg;

        must(key->alg != 0);
        must((key->kid.data == NULL) == (i < jwks->anonymous));

        if (key->type == NGX_APIGW_JWK_OCT) {
            must(flags & NGX_APIGW_JWKS_SECRETS);
            must(key->pkey == NULL && key->secret_len >= 32);
            must((key->alg & ~NGX_APIGW_JWA_HS) == 0);

        } else {
            must(key->pkey != NULL && key->secret == NULL);
            must((key->alg & NGX_APIGW_JWA_HS) == 0);
        }

        if (key->type == NGX_APIGW_JWK_RSA) {
            must(key->bits >= 2048 && key->bits <= 8192);
            must(key->bits == (ngx_uint_t) EVP_PKEY_get_bits(key->pkey));
        }

        if (key->kid.data) {
            key = ngx_apigw_jwks_find(jwks, &jwks->keys[i].kid, &n);
            must(key != NULL && n > 0 && key <= &jwks->keys[i]
                 && &jwks->keys[i] < key + n);
        }
    }

    must(alg == jwks->alg);

    if (flags & NGX_APIGW_JWKS_STRICT) {
        must(jwks->bad == 0);
    }
}


/* Keys that are whole, with members more, and some that are not. */

static char *
make_set(const uint8_t *data, size_t size, size_t *len)
{
    unsigned     i, n;
    fuzz_json_t  f;

    f.data = data;
    f.size = size;
    f.words = words;
    f.room = 65536;
    f.len = 0;
    f.out = malloc(f.room);
    must(f.out != NULL);

    n = fuzz_byte(&f) % 8;
    fuzz_put(&f, "{\"keys\":[");

    for (i = 0; i < n; i++) {
        fuzz_put(&f, i ? ",{" : "{");
        fuzz_put(&f, "%s", good[fuzz_byte(&f) % 4]);

        while (fuzz_byte(&f) % 3 && f.size) {
            fuzz_put(&f, ",");
            fuzz_word(&f);
            fuzz_put(&f, ":");
            fuzz_value(&f, 1);
        }

        fuzz_put(&f, "}");
    }

    fuzz_put(&f, "]}");
    *len = f.len;

    return f.out;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char               error[NGX_APIGW_JWKS_ERROR];
    size_t             len;
    u_char            *copy;
    ngx_uint_t         flags;
    ngx_apigw_jwks_t  *jwks;

    if (size == 0) {
        return 0;
    }

    flags = data[0] >> 2 & 3;

    switch (data[0] >> 4 & 3) {

    case 0:
        copy = (u_char *) make_set(data + 1, size - 1, &len);
        break;

    case 1:
        copy = (u_char *) fuzz_object(data + 1, size - 1, words, &len);
        break;

    default:
        copy = malloc(size);
        must(copy != NULL);
        len = size - 1;
        memcpy(copy, data + 1, len);
    }

    jwks = ngx_apigw_jwks_parse(copy, len, data[0] & 3, flags, error);

    must(ERR_peek_error() == 0);
    must((jwks == NULL) == (error[0] != '\0'));
    must(memchr(error, '\0', sizeof(error)) != NULL);

    if (jwks) {
        check(jwks, flags);
    }

    ngx_apigw_jwks_free(jwks);
    free(copy);

    return 0;
}
