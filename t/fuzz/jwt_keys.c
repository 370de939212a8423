/*
 * Copyright (C) the apigw authors
 */


/*
 * Sets of keys for libFuzzer, in every format: what is taken is complete and
 * of an allowed size.  The first byte chooses format and flags.
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


#define must(condition)  if (!(condition)) __builtin_trap()


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


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char               error[NGX_APIGW_JWKS_ERROR];
    u_char            *copy;
    ngx_uint_t         flags;
    ngx_apigw_jwks_t  *jwks;

    if (size == 0) {
        return 0;
    }

    flags = data[0] >> 2 & 3;

    copy = malloc(size);
    must(copy != NULL);
    memcpy(copy, data + 1, size - 1);

    jwks = ngx_apigw_jwks_parse(copy, size - 1, data[0] & 3, flags, error);

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
