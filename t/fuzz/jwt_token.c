/*
 * Copyright (C) the apigw authors
 */


/*
 * Tokens for libFuzzer: base64url has one text for everything, and a token is
 * accepted only if it is signed, whatever its header says.  The first byte
 * chooses: a token as it is, or a header and a payload to be signed, as they
 * are or made of the input.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I ... \
 *           t/fuzz/jwt_token.c -lcrypto -ljansson
 *
 * with the include paths of t/unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/hmac.h>

#include "ngx_apigw_base64.c"
#include "ngx_apigw_jwa.c"
#include "ngx_apigw_jwk.c"
#include "ngx_apigw_jwks.c"
#include "ngx_apigw_jws.c"
#include "jwt_json.h"


#define must(condition)  if (!(condition)) __builtin_trap()

#define SECRET    "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU"
#define KEYS                                                                  \
    "{\"keys\":["                                                             \
    "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"" SECRET "\"},"                   \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\","                     \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"                 \
    "{\"kty\":\"EC\",\"crv\":\"P-256\","                                      \
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                  \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"


static const char *const  words[] = {
    "alg", "alg", "alg", "kid", "typ", "cty", "crit", "b64", "zip", "enc",
    "jwk", "jku", "x5u", "x5c", "HS256", "HS256", "HS256", "HS384", "RS256",
    "ES256", "EdDSA", "none", "a", "b", "JWT", "application/jwt", "", NULL
};


static ngx_apigw_jwks_t          *keys;
static ngx_apigw_jws_verifier_t  *verifier;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
base64(const uint8_t *data, size_t size)
{
    u_char   *plain, *text, *end;
    size_t    room;
    ssize_t   n;

    room = ngx_apigw_base64_decoded(size);
    plain = malloc(room ? room : 1);
    text = malloc(size ? size : 1);
    must(plain != NULL && text != NULL);

    n = ngx_apigw_base64_decode(plain, data, size);

    if (n != NGX_ERROR) {
        must((size_t) n == room);
        must(ngx_apigw_base64_encoded((size_t) n) == size);

        end = ngx_apigw_base64_encode(text, plain, n);
        must((size_t) (end - text) == size && memcmp(text, data, size) == 0);
    }

    free(plain);
    free(text);
}


static ngx_apigw_jws_rc_e
verify(const u_char *token, size_t len)
{
    ngx_apigw_jws_t      jws;
    ngx_apigw_jws_rc_e   rc;

    rc = ngx_apigw_jws_parse_by(verifier, &jws, token, len);
    must(rc != NGX_APIGW_JWS_ERROR);

    if (rc == NGX_APIGW_JWS_OK) {
        must(jws.alg != 0 && json_is_object(jws.header));
        must(jws.signed_part.len < len);
        must(json_object_get(jws.header, "crit") == NULL);

        rc = ngx_apigw_jws_verify(verifier, &jws, &keys, 1,
                                  NGX_APIGW_JWA_ALL);
        must(rc != NGX_APIGW_JWS_ERROR && rc != NGX_APIGW_JWS_BAD);
    }

    must(ERR_peek_error() == 0);
    must(rc == NGX_APIGW_JWS_OK || jws.why != NULL);

    ngx_apigw_jws_clear(&jws);

    return rc;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char          secret[32], mac[EVP_MAX_MD_SIZE];
    u_char         *token, *p;
    size_t          header, left;
    char           *made, error[NGX_APIGW_JWKS_ERROR];
    unsigned int    len;
    const uint8_t  *payload;

    if (keys == NULL) {
        verifier = ngx_apigw_jws_verifier_create();
        keys = ngx_apigw_jwks_parse((u_char *) KEYS, strlen(KEYS),
                                    NGX_APIGW_JWKS_JSON,
                                    NGX_APIGW_JWKS_SECRETS, error);
        must(verifier != NULL && keys != NULL);
    }

    if (size < 2) {
        return 0;
    }

    if (data[0] & 1) {
        token = malloc(size - 1);
        must(token != NULL);
        memcpy(token, data + 1, size - 1);

        base64(token, size - 1);

        /* nobody guesses a signature */

        must(verify(token, size - 1) != NGX_APIGW_JWS_OK);
        free(token);

        return 0;
    }

    /* a header up to the first newline, and a payload */

    made = NULL;

    if (data[0] & 2) {
        made = fuzz_object(data + 1, size - 1, words, &size);
        data = (uint8_t *) made;

    } else {
        data++;
        size--;
    }

    p = memchr(data, '\n', size);
    header = p ? (size_t) (p - data) : size;

    /* "{}" is a payload for it */

    if (header == size) {
        payload = (uint8_t *) "{}";
        left = 2;

    } else {
        payload = data + header;
        left = size - header;
    }

    token = malloc(ngx_apigw_base64_encoded(header)
                   + ngx_apigw_base64_encoded(left) + 50);
    must(token != NULL);

    p = ngx_apigw_base64_encode(token, data, header);
    *p++ = '.';
    p = ngx_apigw_base64_encode(p, payload, left);

    memset(secret, 0x55, sizeof(secret));
    must(HMAC(EVP_sha256(), secret, 32, token, p - token, mac, &len) != NULL);

    *p++ = '.';
    p = ngx_apigw_base64_encode(p, mac, len);

    if (verify(token, p - token) == NGX_APIGW_JWS_OK) {

        /* and not with one bit of it turned */

        token[p - token - 5] = (token[p - token - 5] == 'A') ? 'B' : 'A';
        must(verify(token, p - token) == NGX_APIGW_JWS_BADSIG);
    }

    free(token);
    free(made);

    return 0;
}
