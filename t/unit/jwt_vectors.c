/*
 * Copyright (C) the apigw authors
 */


/*
 * Signed tokens: the examples of RFC 7515, 7520 and 8037, and every algorithm
 * with every kind of key.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "jwt_verify.h"


typedef struct {
    const char  *name;
    const char  *jwks;
    const char  *header;
    const char  *payload;
    const char  *signature;
} vector_t;


/* The examples' payloads. */

#define JOE                                                                   \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmN" \
    "vbS9pc19yb290Ijp0cnVlfQ"

#define FRODO                                                                 \
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9" \
    "vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdX" \
    "IgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0I" \
    "G9mZiB0by4"

#define BILBO                                                                 \
    "{\"kty\":\"RSA\",\"kid\":\"bilbo.baggins@hobbiton.example\","            \
    "\"use\":\"sig\",\"e\":\"AQAB\",\"n\":\""                                 \
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWT" \
    "DvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5" \
    "ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI" \
    "9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2" \
    "BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw\"}"


static const vector_t  vectors[] = {

    { "RFC 7515, A.1: HS256",
      "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"
      "-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}",
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", JOE,
      "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" },

    { "RFC 7515, A.2: RS256",
      "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
      "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw"
      "-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b3269"
      "0r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS"
      "-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aG"
      "hyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp"
      "oQ\"}",
      "eyJhbGciOiJSUzI1NiJ9", JOE,
      "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHI"
      "m4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB"
      "--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN938"
      "3LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
      "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw" },

    { "RFC 7515, A.3: ES256",
      "{\"kty\":\"EC\",\"crv\":\"P-256\","
      "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
      "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
      "eyJhbGciOiJFUzI1NiJ9", JOE,
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQx"
      "fKTUJqPP3-Kg6NU1Q" },

    { "RFC 7515, A.4: ES512",
      "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\""
      "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jS"
      "fS9tsz4qUxcWceqwQGk\",\"y\":\""
      "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZ"
      "MaZmh9ubmf63e3kyMj2\"}",
      "eyJhbGciOiJFUzUxMiJ9", "UGF5bG9hZA",
      "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2S"
      "I-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgz"
      "DO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn" },

    { "RFC 7520, 4.1: RS256", BILBO,
      "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZ"
      "SJ9", FRODO,
      "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1"
      "O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-"
      "XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFx"
      "nt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE"
      "_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg" },

    { "RFC 7520, 4.2: PS384", BILBO,
      "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZ"
      "SJ9", FRODO,
      "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPi"
      "d6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8bii"
      "ReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT"
      "3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtf"
      "a64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw" },

    { "RFC 7520, 4.3: ES512",
      "{\"kty\":\"EC\",\"kid\":\"bilbo.baggins@hobbiton.example\","
      "\"use\":\"sig\",\"crv\":\"P-521\",\"x\":\""
      "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekW"
      "F-7ytDyRXYgCF5cj0Kt\",\"y\":\""
      "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQr"
      "JmbnX9cwlGfP-HqHZR1\"}",
      "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZ"
      "SJ9", FRODO,
      "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7"
      "KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQe"
      "ns_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2" },

    { "RFC 7520, 4.4: HS256",
      "{\"kty\":\"oct\",\"kid\":\"018c0ae5-4d9b-471b-bfd6-eef314bc7037\","
      "\"use\":\"sig\",\"alg\":\"HS256\","
      "\"k\":\"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg\"}",
      "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxN"
      "GJjNzAzNyJ9", FRODO,
      "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0" },

    { "RFC 8037, A.4: Ed25519",
      "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
      "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
      "eyJhbGciOiJFZERTQSJ9", "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt"
      "9g7sVvpAr_MuM0KAg" }
};


/*
 * Each once more with the same set, since contexts are reused; then every bit
 * of the signature and of the payload is turned, a few at a time.
 */

static void
test_vectors(void)
{
    char                *token;
    size_t               i, n, len;
    u_char               digit;
    ngx_uint_t           wrong;
    ngx_apigw_jwks_t    *set;
    ngx_apigw_jws_rc_e   rc;

    for (i = 0; i < sizeof(vectors) / sizeof(vector_t); i++) {

        token = test_print("%s.%s.%s", vectors[i].header, vectors[i].payload,
                           vectors[i].signature);
        len = strlen(token);
        set = keys(vectors[i].jwks);

        is(verify_set(token, len, set, ALL), OK, vectors[i].name);
        is(verify_set(token, len, set, ALL), OK, "once more");

        wrong = 0;

        for (n = strlen(vectors[i].header) + 1; n < len; n += 7) {

            if (token[n] == '.') {
                continue;
            }

            digit = token[n];
            token[n] = (digit == 'A') ? 'B' : 'A';

            /* of the last digit of a part some bits are none */

            rc = verify_set(token, len, set, ALL);

            if (rc != BADSIG && rc != BAD) {
                wrong++;
            }

            token[n] = digit;
        }

        ok(wrong == 0, "no digit of it can be changed");
        is(verify_set(token, len, set, ALL), OK, "and it is right again");

        ngx_apigw_jwks_free(set);
    }
}


/* Every algorithm with every kind of key. */

static void
test_algorithms(void)
{
    size_t               i, n;
    u_char               secret[64];
    test_key_t           pairs[8];
    const char          *token, *kind, *alg;
    ngx_uint_t           wrong, good;
    ngx_apigw_jwks_t    *sets[8];
    ngx_apigw_jws_rc_e   rc, want;

    static const char *const  kinds[] = {
        "2048", "P-256", "P-384", "P-521", "secp256k1", "Ed25519", "Ed448"
    };

    static const struct {
        const char  *alg;
        const char  *kind;
    } algs[] = {
        { "RS256", "2048" }, { "RS384", "2048" }, { "RS512", "2048" },
        { "PS256", "2048" }, { "PS384", "2048" }, { "PS512", "2048" },
        { "ES256", "P-256" }, { "ES384", "P-384" }, { "ES512", "P-521" },
        { "ES256K", "secp256k1" }, { "Ed25519", "Ed25519" },
        { "Ed448", "Ed448" }, { "EdDSA", "Ed25519" }, { "EdDSA", "Ed448" },
        { "HS256", "oct" }, { "HS384", "oct" }, { "HS512", "oct" }
    };

    for (i = 0; i < 7; i++) {
        pairs[i] = test_keygen(kinds[i]);
        sets[i] = keys(test_jwk(&pairs[i], ""));
    }

    ngx_memset(secret, 0x55, sizeof(secret));
    sets[7] = keys(test_print("{\"kty\":\"oct\",\"k\":\"%s\"}",
                              test_base64(secret, sizeof(secret))));

    for (n = 0; n < sizeof(algs) / sizeof(algs[0]); n++) {

        alg = algs[n].alg;
        token = test_token_hmac(secret, sizeof(secret), alg,
                                test_print("{\"alg\":\"%s\"}", alg), CLAIMS);

        for (i = 0; i < 7; i++) {
            if (strcmp(kinds[i], algs[n].kind) == 0) {
                token = test_token(&pairs[i], alg,
                                   test_print("{\"alg\":\"%s\"}", alg),
                                   CLAIMS);
            }
        }

        wrong = 0;
        good = 0;

        for (i = 0; i < 8; i++) {
            kind = (i < 7) ? kinds[i] : "oct";
            want = NOKEY;

            if (strcmp(kind, algs[n].kind) == 0) {
                want = OK;
                good++;

            } else if (strcmp(alg, "EdDSA") == 0 && kind[0] == 'E') {
                want = BADSIG;
            }

            rc = verify_set(token, strlen(token), sets[i], ALL);

            if (rc != want) {
                printf("# %s by %s: %d, not %d\n", alg, kind, rc, want);
                wrong++;
            }

            /* only what is allowed */

            rc = verify_set(token, strlen(token), sets[i],
                            ALL & ~ngx_apigw_jwa_parse((u_char *) alg,
                                                       strlen(alg)));
            if (rc != NOALG) {
                wrong++;
            }
        }

        ok(wrong == 0 && good == 1, "%s by %s and by nothing else", alg,
           algs[n].kind);
    }

    for (i = 0; i < 8; i++) {
        ngx_apigw_jwks_free(sets[i]);
    }
}


int
main(void)
{
    verifier = ngx_apigw_jws_verifier_create();

    ok(verifier != NULL, "verifier");

    test_vectors();
    test_algorithms();

    ngx_apigw_jws_verifier_free(verifier);

    printf("1..%lu\n", (u_long) number);

    return 0;
}
