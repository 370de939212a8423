/*
 * Copyright (C) the apigw authors
 */


/* The attacks on JWT as far as they concern header and signature. */


#include <ngx_config.h>
#include <ngx_core.h>

#include "jwt_verify.h"


static ngx_apigw_jws_rc_e
verify(const char *token, const char *jwks, ngx_apigw_jwa_t allowed)
{
    ngx_apigw_jwks_t    *set;
    ngx_apigw_jws_rc_e   rc;

    set = keys(jwks);
    rc = verify_set(token, strlen(token), set, allowed);
    ngx_apigw_jwks_free(set);

    return rc;
}


static void
test_names(void)
{
    ngx_uint_t        i;
    const char       *name;
    ngx_apigw_jwa_t   all, alg;

    all = 0;

    for (i = 0; i < NGX_APIGW_JWA_NUMBER; i++) {
        name = ngx_apigw_jwa_name((ngx_apigw_jwa_t) 1 << i);
        alg = name ? ngx_apigw_jwa_parse((u_char *) name, strlen(name)) : 0;

        if (alg == (ngx_apigw_jwa_t) 1 << i) {
            all |= alg;
        }
    }

    ok(all == NGX_APIGW_JWA_ALL, "names of all algorithms");
    ok(ngx_apigw_jwa_parse((u_char *) "EdDSA", 5) == NGX_APIGW_JWA_EDDSA
       && strcmp(ngx_apigw_jwa_name(NGX_APIGW_JWA_EDDSA), "EdDSA") == 0,
       "EdDSA is two");
    ok(ngx_apigw_jwa_name(3) == NULL && ngx_apigw_jwa_name(0) == NULL,
       "no name of others");
}


/* What the header asks for; all signed with the right secret. */

static void
test_header(void)
{
    char        *jwks;
    u_char       secret[32];
    ngx_uint_t   i;

    static const struct {
        const char          *header;
        ngx_apigw_jws_rc_e   want;
    } headers[] = {
        { "{\"alg\":\"HS256\"}", OK },
        { " { \"alg\" : \"HS256\" } ", OK },
        { "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"x\":[1,{}]}", OK },
        { "{\"alg\":\"HS256\",\"cty\":\"json\"}", OK },
        { "{\"alg\":\"HS256\",\"x5c\":[\"AAAA\"]}", OK },
        { "{\"alg\":\"HS256\",\"x5t\":\"AAAA\"}", OK },

        { "{\"alg\":\"none\"}", NOALG },
        { "{\"alg\":\"None\"}", NOALG },
        { "{\"alg\":\"NONE\"}", NOALG },
        { "{\"alg\":\"nOnE\"}", NOALG },
        { "{\"alg\":\"\"}", NOALG },
        { "{\"alg\":\"hs256\"}", NOALG },
        { "{\"alg\":\"HS256 \"}", NOALG },
        { "{\"alg\":\"HS2\"}", NOALG },
        { "{\"alg\":\"HS2566\"}", NOALG },
        { "{\"alg\":\"ES521\"}", NOALG },
        { "{\"alg\":\"HS1\"}", NOALG },
        { "{\"alg\":\"RS1\"}", NOALG },
        { "{\"alg\":\"dir\"}", NOALG },
        { "{\"alg\":\"PBES2-HS256+A128KW\",\"p2c\":2147483647}", NOALG },
        { "{\"alg\":\"RSA-OAEP\"}", NOALG },
        { "{}", BAD },
        { "{\"ALG\":\"HS256\"}", BAD },
        { "{\"alg\":256}", BAD },
        { "{\"alg\":[\"HS256\"]}", BAD },
        { "{\"alg\":{\"alg\":\"HS256\"}}", BAD },
        { "{\"alg\":null}", BAD },
        { "{\"alg\":true}", BAD },
        { "{\"alg\":\"HS256\\u0000\"}", BAD },

        { "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", BAD },
        { "{\"alg\":\"HS256\",\"x\":1,\"x\":1}", BAD },
        { "{\"alg\":\"HS256\",\"x\":{\"y\":1,\"y\":2}}", BAD },

        { "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", BAD },
        { "{\"alg\":\"HS256\",\"crit\":[]}", BAD },
        { "{\"alg\":\"HS256\",\"crit\":\"b64\"}", BAD },
        { "{\"alg\":\"HS256\",\"crit\":[\"alg\"]}", BAD },
        { "{\"alg\":\"HS256\",\"crit\":null}", BAD },
        { "{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", BAD },
        { "{\"alg\":\"HS256\",\"b64\":false}", BAD },
        { "{\"alg\":\"HS256\",\"b64\":true}", BAD },
        { "{\"alg\":\"HS256\",\"zip\":\"DEF\"}", BAD },
        { "{\"alg\":\"HS256\",\"enc\":\"A256GCM\"}", BAD },
        { "{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1/\"}", BAD },
        { "{\"alg\":\"HS256\",\"x5u\":\"http://127.0.0.1/\"}", BAD },
        { "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"VVVV\"}}", BAD },
        { "{\"alg\":\"HS256\",\"cty\":\"JWT\"}", BAD },
        { "{\"alg\":\"HS256\",\"cty\":\"application/jwt\"}", BAD },
        { "{\"alg\":\"HS256\",\"cty\":7}", BAD },
        { "{\"alg\":\"HS256\",\"typ\":7}", BAD },

        { "{\"alg\":\"HS256\",\"kid\":\"a\"}", OK },
        { "{\"alg\":\"HS256\",\"kid\":\"../../a\"}", NOKEY },
        { "{\"alg\":\"HS256\",\"kid\":\"a' OR '1'='1\"}", NOKEY },
        { "{\"alg\":\"HS256\",\"kid\":\"A\"}", NOKEY },
        { "{\"alg\":\"HS256\",\"kid\":\"a \"}", NOKEY },
        { "{\"alg\":\"HS256\",\"kid\":\"a\\u0000\"}", BAD },
        { "{\"alg\":\"HS256\",\"kid\":\"\"}", BAD },
        { "{\"alg\":\"HS256\",\"kid\":1}", BAD },
        { "{\"alg\":\"HS256\",\"kid\":null}", BAD },
        { "{\"alg\":\"HS256\",\"kid\":[\"a\"]}", BAD },

        { "[\"alg\",\"HS256\"]", BAD },
        { "\"HS256\"", BAD },
        { "{\"alg\":\"HS256\"", BAD },
        { "{\"alg\":\"HS256\"}{}", BAD },
        { "{\"alg\":\"HS256\",}", BAD },
        { "\xef\xbb\xbf{\"alg\":\"HS256\"}", BAD },
        { "{\"alg\":\"HS256\",\"x\":\"\xff\"}", BAD },
        { "{\"alg\":\"HS256\",\"x\":\"\\ud800\"}", BAD },
        { "{\"alg\":\"HS256\",\"x\":1e400}", BAD },
        { "{\"alg\":\"HS256\",\"x\":99999999999999999999}", BAD },
        { "{\"alg\":\"HS256\",\"x\":-0}", OK }
    };

    ngx_memset(secret, 0x55, sizeof(secret));
    jwks = test_print("{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"%s\"}",
                      test_base64(secret, sizeof(secret)));

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        is(verify(test_token_hmac(secret, sizeof(secret), "HS256",
                                  headers[i].header, CLAIMS), jwks, ALL),
           headers[i].want, headers[i].header);
    }

    is(verify(test_token_hmac(secret, sizeof(secret), "HS256",
                              test_print("{\"alg\":\"HS256\",\"kid\":\"%01024d"
                                         "\"}", 0), CLAIMS), jwks, ALL),
       NOKEY, "kid of 1024 bytes");
    is(verify(test_token_hmac(secret, sizeof(secret), "HS256",
                              test_print("{\"alg\":\"HS256\",\"kid\":\"%01025d"
                                         "\"}", 0), CLAIMS), jwks, ALL),
       BAD, "kid of 1025 bytes");
    is(verify(test_token_hmac(secret, sizeof(secret), "HS256",
                              test_print("{\"alg\":\"HS256\",\"x\":%s%s}",
                                         test_print("%04000d", 0),
                                         test_print("%04000d", 0)), CLAIMS),
              jwks, ALL),
       BAD, "header of more than 8192 bytes of text");
}


static char *
deep(size_t n)
{
    char  *text;

    text = test_keep(malloc(2 * n + 1));

    ngx_memset(text, '[', n);
    ngx_memset(text + n, ']', n);
    text[2 * n] = '\0';

    return text;
}


static void
test_structure(void)
{
    char              *good, *input, *jwks, *signature, *big;
    size_t             len;
    u_char             secret[32];
    ngx_uint_t         i, wrong;
    ngx_apigw_jwks_t  *set;

    static const char *const  broken[] = {
        "", ".", "..", "...", "a", "a.b", ".a.b", "a..b", "a.b.", "e30.e30",
        "e30.e30.e30.e30", "e30.e30.e30.e30.e30", "e30.e30.e30.",
        ".e30.e30.e30",
        "{\"payload\":\"e30\",\"signatures\":[]}"
    };

    ngx_memset(secret, 0x55, sizeof(secret));
    jwks = test_print("{\"kty\":\"oct\",\"k\":\"%s\"}",
                      test_base64(secret, sizeof(secret)));
    set = keys(jwks);

    good = test_token_hmac(secret, sizeof(secret), "HS256",
                           "{\"alg\":\"HS256\"}", CLAIMS);
    len = strlen(good);

    for (i = 0; i < sizeof(broken) / sizeof(char *); i++) {
        is(verify(broken[i], jwks, ALL), BAD, test_print("\"%s\"", broken[i]));
    }

    is(verify(good, jwks, ALL), OK, "the good one");
    is(verify(test_print(" %s", good), jwks, ALL), BAD, "a space before");
    is(verify(test_print("%s ", good), jwks, ALL), BAD, "a space behind");
    is(verify(test_print("%s\n", good), jwks, ALL), BAD, "a newline behind");
    is(verify(test_print("%s=", good), jwks, ALL), BAD, "padding");
    is(verify(test_print("%s.", good), jwks, ALL), BAD, "a dot behind");
    is(verify(test_print(".%s", good), jwks, ALL), BAD, "a dot before");
    is(verify_set(good, len + 1, set, ALL), BAD, "a NUL behind");

    wrong = 0;

    for (i = 0; i < len; i++) {
        if (verify_set(good, i, set, ALL) == OK) {
            wrong++;
        }
    }

    ok(wrong == 0, "nothing shorter is right");

    signature = strrchr(good, '.');
    input = test_print("%.*s", (int) (signature - good), good);

    is(verify(test_print("%s.", input), jwks, ALL), BAD, "no signature");
    (void) ngx_apigw_base64_decode(secret, (u_char *) signature + 1, 43);
    is(verify(test_join(input, secret, 31), jwks, ALL), BADSIG,
       "a byte of the signature less");
    is(verify(test_join(input, secret, 32), jwks, ALL), OK, "not a byte less");
    ngx_memset(secret, 0x55, sizeof(secret));
    is(verify(test_print("%sAA", good), jwks, ALL), BAD, "a digit too many");
    is(verify(test_print("%s.%s", input,
                         test_base64("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32)),
              jwks, ALL),
       BADSIG, "a signature of zeroes");

    /* limits */

    big = test_print("{\"x\":\"%049200d\"}", 0);
    is(verify(test_token_hmac(secret, sizeof(secret), "HS256",
                              "{\"alg\":\"HS256\"}", big), jwks, ALL),
       BAD, "more than 65536 bytes");

    big = test_print("{\"x\":\"%048000d\"}", 0);
    is(verify(test_token_hmac(secret, sizeof(secret), "HS256",
                              "{\"alg\":\"HS256\"}", big), jwks, ALL),
       OK, "less");

    is(verify(test_print("%s.%s", input, test_base64(big, 1025)), jwks, ALL),
       BAD, "a signature of 1025 bytes");
    is(verify(test_print("%s.%s", input, test_base64(big, 1024)), jwks, ALL),
       BADSIG, "a signature of 1024 bytes");

    is(verify(test_token_hmac(secret, sizeof(secret), "HS256",
                              test_print("{\"alg\":\"HS256\",\"x\":%s}",
                                         deep(3000)), CLAIMS), jwks, ALL),
       BAD, "3000 arrays in the header");

    ngx_apigw_jwks_free(set);
}


/* The public key, in any form, as a secret. */

static void
test_confusion(void)
{
    BIO         *bio;
    char        *pem, *jwks, *token;
    long         len;
    u_char      *der;
    size_t       n, m;
    test_key_t   rsa, ec;
    u_char       modulus[256], point[65];

    rsa = test_keygen("2048");
    ec = test_keygen("P-256");

    jwks = test_print("{\"keys\":[%s,%s]}",
                      test_jwk(&rsa, ",\"kid\":\"a\""),
                      test_jwk(&ec, ",\"kid\":\"b\""));

    bio = BIO_new(BIO_s_mem());
    (void) PEM_write_bio_PUBKEY(bio, rsa.pkey);
    len = BIO_get_mem_data(bio, &pem);
    pem = test_print("%.*s", (int) len, pem);
    BIO_free(bio);

    token = test_token_hmac(pem, len, "HS256",
                            "{\"alg\":\"HS256\",\"kid\":\"a\"}", CLAIMS);
    is(verify(token, jwks, ALL), NOALG, "HS256 with the PEM text");

    token = test_token_hmac(pem, len, "HS256", "{\"alg\":\"HS256\"}", CLAIMS);
    is(verify(token, jwks, ALL), NOKEY, "the same without kid");
    is(verify(token, pem, ALL), NOKEY, "the same for a PEM file");

    token = test_token_hmac(pem, len, "HS256",
                            "{\"alg\":\"RS256\",\"kid\":\"a\"}", CLAIMS);
    is(verify(token, jwks, ALL), BADSIG, "the same as RS256");

    der = NULL;
    n = i2d_PUBKEY(rsa.pkey, &der);
    is(verify(test_token_hmac(der, n, "HS256",
                              "{\"alg\":\"HS256\",\"kid\":\"a\"}", CLAIMS),
              jwks, ALL),
       NOALG, "HS256 with the DER");
    OPENSSL_free(der);

    n = ngx_apigw_base64_decode(modulus,
                                (u_char *) test_number(rsa.pkey, "n", 0), 342);
    is(verify(test_token_hmac(modulus, n, "HS256",
                              "{\"alg\":\"HS256\",\"kid\":\"a\"}", CLAIMS),
              jwks, ALL),
       NOALG, "HS256 with the modulus");

    if (EVP_PKEY_get_octet_string_param(ec.pkey, "pub", point, sizeof(point),
                                        &m)
        != 1)
    {
        abort();
    }

    is(verify(test_token_hmac(point, m, "HS256",
                              "{\"alg\":\"HS256\",\"kid\":\"b\"}", CLAIMS),
              jwks, ALL),
       NOALG, "HS256 with the point");
}


/* A key that says what it is for is for nothing else. */

static void
test_own_alg(void)
{
    char        *jwks;
    test_key_t   rsa;
    ngx_uint_t   i;

    static const char *const  others[] = {
        "RS256", "RS384", "PS256", "PS384", "PS512"
    };

    rsa = test_keygen("2048");
    jwks = test_jwk(&rsa, ",\"kid\":\"a\",\"alg\":\"RS512\"");

    is(verify(test_token(&rsa, "RS512", "{\"alg\":\"RS512\"}", CLAIMS), jwks,
              ALL), OK, "a key for RS512");

    for (i = 0; i < 5; i++) {
        is(verify(test_token(&rsa, others[i],
                             test_print("{\"alg\":\"%s\",\"kid\":\"a\"}",
                                        others[i]), CLAIMS), jwks, ALL),
           NOALG, test_print("and a token of %s", others[i]));
    }

    is(verify(test_token(&rsa, "RS256", "{\"alg\":\"RS512\"}", CLAIMS), jwks,
              ALL), BADSIG, "RS256 that calls itself RS512");
    is(verify(test_token(&rsa, "PS512", "{\"alg\":\"RS512\"}", CLAIMS), jwks,
              ALL), BADSIG, "PS512 that calls itself RS512");
}


/* Signatures that are no numbers of the group, or in another form. */

static void
test_ecdsa(void)
{
    char        *jwks, *input;
    size_t       len;
    u_char       sig[200], wrong[200];
    BIGNUM      *n, *r;
    EC_GROUP    *group;
    test_key_t   ec, other;

    ec = test_keygen("P-256");
    other = test_keygen("P-384");
    jwks = test_jwk(&ec, "");

    input = test_input("{\"alg\":\"ES256\"}", CLAIMS);
    len = test_signature(&ec, "ES256", input, sig);

    is(verify(test_join(input, sig, len), jwks, ALL), OK, "ES256");

    ngx_memcpy(wrong, sig, len);
    ngx_memzero(wrong, 32);
    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "r is 0");

    ngx_memcpy(wrong, sig, len);
    ngx_memzero(wrong + 32, 32);
    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "s is 0");

    ngx_memzero(wrong, 64);
    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "both are 0");

    group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    n = BN_dup(EC_GROUP_get0_order(group));
    EC_GROUP_free(group);

    ngx_memcpy(wrong, sig, len);
    (void) BN_bn2binpad(n, wrong, 32);
    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "r is n");

    ngx_memcpy(wrong, sig, len);
    (void) BN_bn2binpad(n, wrong + 32, 32);
    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "s is n");

    /* n + r takes a 33rd byte, which a form with fixed sizes has no room for */

    r = BN_bin2bn(sig, 32, NULL);
    (void) BN_add(r, r, n);

    ngx_memzero(wrong, sizeof(wrong));
    (void) BN_bn2binpad(r, wrong, 33);
    ngx_memcpy(wrong + 34, sig + 32, 32);
    is(verify(test_join(input, wrong, 66), jwks, ALL), BADSIG,
       "n + r in 33 bytes");

    BN_free(r);
    BN_free(n);

    ngx_memset(wrong, 0xff, 64);
    is(verify(test_join(input, wrong, 64), jwks, ALL), BADSIG,
       "both are 2^256 - 1");

    len = ngx_apigw_jws_der(wrong, &(ngx_str_t) { 64, sig });
    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "DER");

    is(verify(test_join(input, sig, 63), jwks, ALL), BADSIG, "a byte less");

    ngx_memcpy(wrong + 1, sig, 64);
    wrong[0] = 0;
    is(verify(test_join(input, wrong, 65), jwks, ALL), BADSIG, "a byte more");

    /* what would be right if sizes did not matter */

    ngx_memcpy(wrong, sig, 64);
    wrong[64] = 0;
    is(verify(test_join(input, wrong, 65), jwks, ALL), BADSIG,
       "a byte more at the end");

    ngx_memzero(wrong, sizeof(wrong));
    ngx_memcpy(wrong + 1, sig, 32);
    ngx_memcpy(wrong + 34, sig + 32, 32);
    is(verify(test_join(input, wrong, 66), jwks, ALL), BADSIG,
       "a zero in front of r and of s");

    /* the curve is the key's, not the token's */

    is(verify(test_token(&other, "ES384", "{\"alg\":\"ES256\"}", CLAIMS),
              test_jwk(&other, ""), ALL),
       NOKEY, "ES256 by a key of P-384");
    is(verify(test_token(&ec, "ES256", "{\"alg\":\"ES384\"}", CLAIMS), jwks,
              ALL),
       NOKEY, "ES384 by a key of P-256");
}


/* Integers of every length, so that both forms of DER's length occur. */

static void
test_der(void)
{
    u_char         der[NGX_APIGW_JWS_DER_MAX], sig[132];
    size_t         n, i, len, size;
    ECDSA_SIG     *parsed;
    ngx_str_t      text;
    ngx_uint_t     wrong, made;
    const u_char  *p;

    static const size_t  sizes[] = { 32, 48, 66 };

    wrong = 0;
    made = 0;

    for (n = 0; n < 3; n++) {
        size = sizes[n];

        for (i = 0; i < size * size; i++) {

            ngx_memset(sig, 0x80 >> (i & 1), sizeof(sig));
            ngx_memzero(sig, i % size);
            ngx_memzero(sig + size, i / size);

            text.data = sig;
            text.len = 2 * size;
            len = ngx_apigw_jws_der(der, &text);

            p = der;
            parsed = d2i_ECDSA_SIG(NULL, &p, (long) len);

            if (parsed == NULL || p != der + len) {
                wrong++;

            } else {
                u_char  back[132];

                (void) BN_bn2binpad(ECDSA_SIG_get0_r(parsed), back,
                                    (int) size);
                (void) BN_bn2binpad(ECDSA_SIG_get0_s(parsed), back + size,
                                    (int) size);
                wrong += ngx_memcmp(back, sig, 2 * size) != 0;
                made++;
            }

            ECDSA_SIG_free(parsed);
        }
    }

    ERR_clear_error();

    ok(wrong == 0 && made > 7000, "signatures in DER, %lu of them",
       (u_long) made);
}


static void
test_eddsa(void)
{
    char        *jwks, *input;
    size_t       len, i;
    u_char       sig[128], wrong[128];
    ngx_uint_t   carry;
    test_key_t   key;

    /* the order of the group, little-endian */

    static const u_char  order[32] = {
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
        0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10
    };

    key = test_keygen("Ed25519");
    jwks = test_jwk(&key, "");
    input = test_input("{\"alg\":\"EdDSA\"}", CLAIMS);
    len = test_signature(&key, "EdDSA", input, sig);

    is(verify(test_join(input, sig, len), jwks, ALL), OK, "EdDSA");
    is(verify(test_join(input, sig, len), jwks, NGX_APIGW_JWA_ED25519), OK,
       "EdDSA where Ed25519 is allowed");
    is(verify(test_join(input, sig, len), jwks, NGX_APIGW_JWA_ED448), NOKEY,
       "EdDSA where Ed448 is allowed");

    ngx_memcpy(wrong, sig, len);
    carry = 0;

    for (i = 0; i < 32; i++) {
        carry += wrong[32 + i] + order[i];
        wrong[32 + i] = (u_char) carry;
        carry >>= 8;
    }

    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "S + L");

    ngx_memcpy(wrong + 32, order, 32);
    is(verify(test_join(input, wrong, len), jwks, ALL), BADSIG, "S is L");

    ngx_memzero(wrong, sizeof(wrong));
    wrong[0] = 1;
    is(verify(test_join(input, wrong, 64), jwks, ALL), BADSIG,
       "the neutral element and 0");

    is(verify(test_join(input, sig, 63), jwks, ALL), BADSIG, "a byte less");
    is(verify(test_join(input, sig, 65), jwks, ALL), BADSIG, "a byte more");
}


static void
test_rsa(void)
{
    char        *jwks, *input;
    size_t       len;
    u_char       sig[300], wrong[300];
    test_key_t   key;

    key = test_keygen("2048");
    jwks = test_jwk(&key, "");
    input = test_input("{\"alg\":\"PS256\"}", CLAIMS);
    len = test_signature(&key, "PS256", input, sig);

    is(verify(test_join(input, sig, len), jwks, ALL), OK, "PS256");
    is(verify(test_join(input, sig, 255), jwks, ALL), BADSIG, "a byte less");

    ngx_memzero(wrong, sizeof(wrong));
    ngx_memcpy(wrong + 1, sig, len);
    is(verify(test_join(input, wrong, 257), jwks, ALL), BADSIG, "a byte more");

    ngx_memzero(wrong, sizeof(wrong));
    is(verify(test_join(input, wrong, 256), jwks, ALL), BADSIG, "zero");

    wrong[255] = 1;
    is(verify(test_join(input, wrong, 256), jwks, ALL), BADSIG, "one");

    ngx_memset(wrong, 0xff, sizeof(wrong));
    is(verify(test_join(input, wrong, 256), jwks, ALL), BADSIG,
       "more than the modulus");
}


/* Which keys a token is tried with. */

static void
test_choice(void)
{
    char                *jwks, *list, *token;
    u_char               mine[32], other[32];
    ngx_uint_t           i;
    ngx_apigw_jws_t      jws;
    ngx_apigw_jwks_t    *sets[3];
    ngx_apigw_jws_rc_e   rc;

    ngx_memset(mine, 1, 32);
    ngx_memset(other, 2, 32);

    token = test_token_hmac(mine, 32, "HS256",
                            "{\"alg\":\"HS256\",\"kid\":\"k\"}", CLAIMS);

#define oct(kid, key)  test_print("{\"kty\":\"oct\"%s,\"k\":\"%s\"}", kid,    \
                                  test_base64(key, 32))
#define KID(name)      ",\"kid\":\"" name "\""

    is(verify(token, oct(KID("k"), mine), ALL), OK, "the kid");
    is(verify(token, oct(KID("x"), mine), ALL), NOKEY, "another kid");
    is(verify(token, oct("", mine), ALL), OK, "a key without kid");
    is(verify(token, oct("", other), ALL), NOKEY,
       "another key without kid");

    jwks = test_print("{\"keys\":[%s,%s]}", oct(KID("x"), other),
                      oct("", other));
    is(verify(token, jwks, ALL), NOKEY,
       "an unknown kid is looked for, whatever was tried");

    jwks = test_print("{\"keys\":[%s,%s]}", oct(KID("k"), other),
                      oct("", other));
    is(verify(token, jwks, ALL), BADSIG, "a known one is not");

    jwks = test_print("{\"keys\":[%s,%s]}", oct(KID("k"), other),
                      oct(KID("x"), mine));
    is(verify(token, jwks, ALL), BADSIG, "no other key instead");

    jwks = test_print("{\"keys\":[%s,%s]}", oct(KID("k"), other),
                      oct(KID("k"), mine));
    is(verify(token, jwks, ALL), OK, "two keys of one kid");

    jwks = test_print("{\"keys\":[%s,%s]}", oct(KID("k"), other),
                      oct("", mine));
    is(verify(token, jwks, ALL), OK, "one with and one without");

    token = test_token_hmac(mine, 32, "HS256", "{\"alg\":\"HS256\"}", CLAIMS);

    jwks = test_print("{\"keys\":[%s,%s]}", oct(KID("a"), other),
                      oct(KID("b"), mine));
    is(verify(token, jwks, ALL), OK, "no kid in the token");

    /* bounded work */

    list = "";

    for (i = 0; i < NGX_APIGW_JWS_TRIES; i++) {
        list = test_print("%s%s,", list,
                          oct(test_print(",\"kid\":\"%lu\"", (u_long) i),
                              other));
    }

    is(verify(token, test_print("{\"keys\":[%s%s]}", list,
                                oct(KID("zz"), mine)), ALL),
       BADSIG, "the ninth key is not tried");

    /* several sets */

    token = test_token_hmac(mine, 32, "HS256",
                            "{\"alg\":\"HS256\",\"kid\":\"k\"}", CLAIMS);

    sets[0] = keys(oct(KID("a"), other));
    sets[1] = keys(oct(KID("k"), mine));
    sets[2] = keys(oct(KID("k"), other));

    (void) ngx_apigw_jws_parse(&jws, (u_char *) token, strlen(token));
    rc = ngx_apigw_jws_verify(verifier, &jws, sets, 3, ALL);
    ok(rc == OK && jws.key == &sets[1]->keys[0], "the second of three sets");

    rc = ngx_apigw_jws_verify(verifier, &jws, sets, 1, ALL);
    is(rc, NOKEY, "the first one alone");

    rc = ngx_apigw_jws_verify(verifier, &jws, sets, 0, ALL);
    is(rc, NOKEY, "none");

    ngx_apigw_jws_clear(&jws);

    for (i = 0; i < 3; i++) {
        ngx_apigw_jwks_free(sets[i]);
    }

#undef oct
#undef KID
}


/* Headers are remembered, of good tokens only; more than there is room for. */

static void
test_remembered(void)
{
    char                      *tokens[20], *bad, *big, *jwks;
    u_char                     secret[32], other[32];
    json_t                    *header;
    ngx_uint_t                 i, n, wrong, known;
    ngx_apigw_jws_t            jws, again;
    ngx_apigw_jwks_t          *set;
    ngx_apigw_jws_rc_e         rc;
    ngx_apigw_jws_verifier_t  *v;

    ngx_memset(secret, 1, 32);
    ngx_memset(other, 2, 32);

    jwks = test_print("{\"kty\":\"oct\",\"k\":\"%s\"}",
                      test_base64(secret, 32));
    set = keys(jwks);
    v = ngx_apigw_jws_verifier_create();

    /* a refused one is not remembered */

    bad = test_token_hmac(other, 32, "HS256", "{\"alg\":\"HS256\"}", CLAIMS);

    for (i = 0; i < 2; i++) {
        rc = ngx_apigw_jws_parse_by(v, &jws, (u_char *) bad, strlen(bad));
        ok(rc == OK && jws.header->refcount == 1, "parsed anew");
        rc = ngx_apigw_jws_verify(v, &jws, &set, 1, ALL);
        is(rc, BADSIG, "a wrong signature");
        ngx_apigw_jws_clear(&jws);
    }

    for (i = 0; i < 20; i++) {
        tokens[i] = test_token_hmac(secret, 32, "HS256",
                                    test_print("{\"alg\":\"HS256\","
                                               "\"typ\":\"t%02lu\","
                                               "\"kid\":\"k%02lu\"}",
                                               (u_long) i, (u_long) i),
                                    CLAIMS);
    }

    wrong = 0;

    for (n = 0; n < 60; n++) {

        /* each three times, the last two of them known */

        i = n / 3;

        rc = ngx_apigw_jws_parse_by(v, &jws, (u_char *) tokens[i],
                                    strlen(tokens[i]));
        if (rc == OK) {
            rc = ngx_apigw_jws_verify(v, &jws, &set, 1, ALL);
        }

        if (rc != OK || jws.kid.len != 3 || jws.typ.len != 3
            || atoi((char *) jws.kid.data + 1) != (int) i
            || atoi((char *) jws.typ.data + 1) != (int) i
            || jws.alg != NGX_APIGW_JWA_HS256 || jws.alg_name.len != 5
            || strcmp(json_string_value(json_object_get(jws.header,
                                                        "kid")),
                      (char *) jws.kid.data)
               != 0)
        {
            wrong++;
        }

        if (jws.header->refcount != 2) {
            wrong++;
        }

        ngx_apigw_jws_clear(&jws);
    }

    ok(wrong == 0, "20 headers, three times");

    /* one that begins with a known one */

    bad = test_token_hmac(secret, 32, "HS256",
                          "{\"alg\":\"HS256\",\"typ\":\"t19\","
                          "\"kid\":\"k19\"}x", CLAIMS);
    rc = ngx_apigw_jws_parse_by(v, &jws, (u_char *) bad, strlen(bad));
    is(rc, BAD, "more than a known one");
    ngx_apigw_jws_clear(&jws);

    known = 0;

    for (i = 0; i < 20; i++) {
        (void) ngx_apigw_jws_parse_by(v, &jws, (u_char *) tokens[i],
                                      strlen(tokens[i]));
        known += (jws.header->refcount == 2);
        ngx_apigw_jws_clear(&jws);
    }

    ok(known == NGX_APIGW_JWS_KEPT, "eight of them are known");

    /* one that is known, and another signature */

    bad = test_print("%.*sA", (int) strlen(tokens[19]) - 1, tokens[19]);
    rc = ngx_apigw_jws_parse_by(v, &jws, (u_char *) bad, strlen(bad));

    if (rc == OK) {
        ok(jws.header->refcount == 2, "known");
        rc = ngx_apigw_jws_verify(v, &jws, &set, 1, ALL);
    }

    is(rc, NOKEY, "wrong nevertheless");
    ngx_apigw_jws_clear(&jws);

    rc = ngx_apigw_jws_parse_by(v, &jws, (u_char *) tokens[19],
                                strlen(tokens[19]));
    is(ngx_apigw_jws_verify(v, &jws, &set, 1, NGX_APIGW_JWA_ES256), NOALG,
       "known and not allowed");
    ngx_apigw_jws_clear(&jws);

    /* a header outlives the verifier for who has it */

    (void) ngx_apigw_jws_parse_by(v, &jws, (u_char *) tokens[19],
                                  strlen(tokens[19]));
    (void) ngx_apigw_jws_parse_by(v, &again, (u_char *) tokens[19],
                                  strlen(tokens[19]));
    header = jws.header;
    ok(header == again.header && header->refcount == 3, "shared by two");
    ngx_apigw_jws_clear(&again);

    /* too long to be kept */

    big = test_token_hmac(secret, 32, "HS256",
                          test_print("{\"alg\":\"HS256\",\"x\":\"%04000d\"}",
                                     0), CLAIMS);

    for (i = 0; i < 2; i++) {
        rc = ngx_apigw_jws_parse_by(v, &again, (u_char *) big, strlen(big));
        ok(rc == OK && again.header->refcount == 1
           && ngx_apigw_jws_verify(v, &again, &set, 1, ALL) == OK,
           "a long header");
        ngx_apigw_jws_clear(&again);
    }

    ngx_apigw_jws_verifier_free(v);

    ok(header->refcount == 1 && jws.kid.len == 3
       && ngx_memcmp(jws.kid.data, "k19", 3) == 0, "and without the verifier");

    ngx_apigw_jws_clear(&jws);
    ngx_apigw_jwks_free(set);
}


static void
test_typ(void)
{
    ngx_uint_t       i;
    ngx_apigw_jws_t  jws;

    static const struct {
        const char  *typ;
        const char  *type;
        ngx_uint_t   same;
    } types[] = {
        { "JWT", "JWT", 1 },
        { "jwt", "JWT", 1 },
        { "at+jwt", "at+jwt", 1 },
        { "application/at+jwt", "at+jwt", 1 },
        { "AT+JWT", "application/at+jwt", 1 },
        { "Application/AT+JWT", "application/at+jwt", 1 },
        { "at+jw", "at+jwt", 0 },
        { "at+jwtx", "at+jwt", 0 },
        { "text/at+jwt", "at+jwt", 0 },
        { "application/", "at+jwt", 0 },
        { "", "at+jwt", 0 },
        { NULL, "at+jwt", 0 }
    };

    ngx_memzero(&jws, sizeof(ngx_apigw_jws_t));

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        ngx_str_t  type;

        jws.typ.data = (u_char *) types[i].typ;
        jws.typ.len = types[i].typ ? strlen(types[i].typ) : 0;
        type.data = (u_char *) types[i].type;
        type.len = strlen(types[i].type);

        ok(ngx_apigw_jws_typ(&jws, &type) == types[i].same,
           "typ \"%s\" and type \"%s\"", types[i].typ ? types[i].typ : "-",
           types[i].type);
    }
}


int
main(void)
{
    verifier = ngx_apigw_jws_verifier_create();

    ok(verifier != NULL, "verifier");

    test_names();
    test_header();
    test_structure();
    test_confusion();
    test_own_alg();
    test_ecdsa();
    test_der();
    test_eddsa();
    test_rsa();
    test_choice();
    test_remembered();
    test_typ();

    ngx_apigw_jws_verifier_free(verifier);

    printf("1..%lu\n", (u_long) number);

    return 0;
}
