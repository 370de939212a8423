/*
 * Copyright (C) the apigw authors
 */


/*
 * Sets of keys: what is a key, what is passed over, what refuses the set, in
 * JWK, keyval and PEM.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_base64.c"
#include "ngx_apigw_jwa.c"
#include "ngx_apigw_jwk.c"
#include "ngx_apigw_jwks.c"
#include "jwt_sign.h"


#define JSON     NGX_APIGW_JWKS_JSON
#define KEYVAL   NGX_APIGW_JWKS_KEYVAL
#define PEM      NGX_APIGW_JWKS_PEM

#define SECRETS  NGX_APIGW_JWKS_SECRETS
#define STRICT   NGX_APIGW_JWKS_STRICT

#define S32      "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU"
#define OCT      "{\"kty\":\"oct\",\"k\":\"" S32 "\"}"


static ngx_uint_t  number;
static test_key_t  rsa, p256, ed25519, ed448;
static char       *error_text;


static void
ok(ngx_uint_t right, const char *fmt, ...)
{
    va_list  args;

    printf("%sok %lu - ", right ? "" : "not ", (u_long) ++number);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
}


static ngx_apigw_jwks_t *
parse_n(const char *text, size_t len, ngx_apigw_jwks_format_e format,
    ngx_uint_t flags)
{
    char               error[NGX_APIGW_JWKS_ERROR];
    u_char            *copy;
    ngx_apigw_jwks_t  *jwks;

    copy = malloc(len ? len : 1);
    ngx_memcpy(copy, text, len);

    jwks = ngx_apigw_jwks_parse(copy, len, format, flags, error);
    error_text = test_print("%s", error);

    free(copy);

    if (ERR_peek_error()) {
        printf("# something is left in OpenSSL's queue\n");
        error_text = "?";
    }

    return jwks;
}


/* No set, with an error that contains the text. */

static void
refused_as(const char *text, ngx_apigw_jwks_format_e format, ngx_uint_t flags,
    const char *want, const char *name)
{
    ngx_apigw_jwks_t  *jwks;

    jwks = parse_n(text, strlen(text), format, flags);

    ok(jwks == NULL && strstr(error_text, want), "%s: %s", name, error_text);
    ngx_apigw_jwks_free(jwks);
}


/* One key that is bad; alone it refuses the set, beside another it is not. */

static void
bad(const char *jwk, const char *want, const char *name)
{
    char              *both;
    ngx_apigw_jwks_t  *jwks;

    refused_as(test_print("{\"keys\":[%s]}", jwk), JSON, SECRETS, want, name);

    both = test_print("{\"keys\":[" OCT ",%s]}", jwk);

    jwks = parse_n(both, strlen(both), JSON, SECRETS);
    ok(jwks && jwks->nkeys == 1 && jwks->bad == 1 && jwks->skipped == 0
       && strstr(jwks->warning, want)
       && strncmp(jwks->warning, "key 2", 5) == 0, "beside another it is not");
    ngx_apigw_jwks_free(jwks);

    refused_as(both, JSON, SECRETS|STRICT, want, "strictly");
}


static void
skipped(const char *jwk, const char *name)
{
    char              *both;
    ngx_apigw_jwks_t  *jwks;

    refused_as(test_print("{\"keys\":[%s]}", jwk), JSON, SECRETS|STRICT,
               "no key that verifies", name);

    both = test_print("{\"keys\":[%s," OCT "]}", jwk);

    jwks = parse_n(both, strlen(both), JSON, SECRETS|STRICT);
    ok(jwks && jwks->nkeys == 1 && jwks->bad == 0 && jwks->skipped == 1,
       "beside another it is passed over");
    ngx_apigw_jwks_free(jwks);
}


static void
good(const char *jwk, ngx_apigw_jwa_t alg, const char *name)
{
    char              *text;
    ngx_apigw_jwks_t  *jwks;

    text = test_print("{\"keys\":[%s]}", jwk);
    jwks = parse_n(text, strlen(text), JSON, SECRETS|STRICT);

    ok(jwks && jwks->nkeys == 1 && jwks->keys[0].alg == alg
       && jwks->alg == alg && jwks->bad == 0 && jwks->skipped == 0, "%s %s",
       name, jwks ? "" : error_text);
    ngx_apigw_jwks_free(jwks);
}


static void
test_set(void)
{
    char              *text;
    ngx_uint_t         i, n, max, flags;
    ngx_apigw_jwks_t  *jwks;

    refused_as("", JSON, 0, "invalid JSON", "empty");
    refused_as("{", JSON, 0, "invalid JSON", "half");
    refused_as("[]", JSON, 0, "not a JSON object", "array");
    refused_as("{}", JSON, 0, "no array \"keys\"", "no keys");
    refused_as("{\"keys\":{}}", JSON, 0, "no array \"keys\"", "object");
    refused_as("{\"keys\":null}", JSON, 0, "no array \"keys\"", "null");
    refused_as("{\"keys\":[]}", JSON, 0, "no key that verifies", "none");
    refused_as("{\"keys\":[" OCT "]}x", JSON, SECRETS, "invalid JSON", "more");
    refused_as("{\"keys\":[" OCT "],\"keys\":[" OCT "]}", JSON, SECRETS,
               "occurs twice", "duplicate \"keys\"");
    refused_as("{\"keys\":[{\"kty\":\"oct\",\"kty\":\"oct\",\"k\":\"" S32
               "\"}]}", JSON, SECRETS, "occurs twice", "duplicate \"kty\"");
    refused_as("{\n\n\"keys\":[" OCT ",\n \"" S32 S32 "]}", JSON, SECRETS,
               "line 4", "a line of the error");
    ok(strstr(error_text, "VVVV") == NULL, "and nothing of the text");

    bad("7", "not an object", "number");
    bad("\"x\"", "not an object", "string");
    bad("null", "not an object", "null");
    bad("{}", "\"kty\" is missing", "empty object");
    bad("{\"kty\":7}", "\"kty\" is missing", "kty is a number");

    skipped("{\"kty\":\"PQ\"}", "unknown kty");
    skipped("{\"kty\":\"rsa\"}", "kty in other letters");

    /* a single key */

    jwks = parse_n(OCT, strlen(OCT), JSON, SECRETS);
    ok(jwks && jwks->nkeys == 1 && jwks->anonymous == 1, "a single JWK");

    ok(ngx_apigw_jwks_ref(jwks) == jwks && jwks->references == 2,
       "a reference");
    ngx_apigw_jwks_free(jwks);
    ok(jwks->references == 1 && jwks->nkeys == 1, "and it is dropped");
    ngx_apigw_jwks_free(jwks);
    ngx_apigw_jwks_free(NULL);

    /* the limits */

    text = test_keep(malloc(NGX_APIGW_JWKS_SIZE_MAX + 2));
    ngx_memset(text, ' ', NGX_APIGW_JWKS_SIZE_MAX + 1);
    ngx_memcpy(text, OCT, strlen(OCT));

    jwks = parse_n(text, NGX_APIGW_JWKS_SIZE_MAX, JSON, SECRETS);
    ok(jwks != NULL, "10 MB");
    ngx_apigw_jwks_free(jwks);

    jwks = parse_n(text, NGX_APIGW_JWKS_SIZE_MAX + 1, JSON, SECRETS);
    ok(jwks == NULL && strstr(error_text, "larger"), "more: %s", error_text);

    text = test_keep(malloc((NGX_APIGW_JWKS_KEYS_MAX + 1) * 80));

    for (n = 0; n < 2; n++) {
        max = n ? NGX_APIGW_JWKS_KEYS_MAX : NGX_APIGW_JWKS_KEYS_FEW;
        flags = n ? SECRETS|STRICT : SECRETS;

        (void) strcpy(text, "{\"keys\":[" OCT);

        for (i = 1; i < max; i++) {
            (void) strcpy(text + 8 + i * (strlen(OCT) + 1), "," OCT);
        }

        i = strlen(text);
        (void) strcpy(text + i, "]}");
        jwks = parse_n(text, i + 2, JSON, flags);
        ok(jwks && jwks->nkeys == max, "%lu keys", (u_long) max);
        ngx_apigw_jwks_free(jwks);

        (void) strcpy(text + i, ",{\"kty\":\"PQ\"}]}");
        jwks = parse_n(text, strlen(text), JSON, flags);
        ok(jwks == NULL
           && strstr(error_text, test_print("more than %lu keys",
                                            (u_long) max)),
           "one more: %s", error_text);
        ngx_apigw_jwks_free(jwks);
    }
}


static void
test_members(void)
{
    good("{\"kty\":\"oct\",\"use\":\"sig\",\"k\":\"" S32 "\"}",
         NGX_APIGW_JWA_HS256, "use sig");
    skipped("{\"kty\":\"oct\",\"use\":\"enc\",\"k\":\"" S32 "\"}", "use enc");
    skipped("{\"kty\":\"oct\",\"use\":\"\",\"k\":\"" S32 "\"}", "no use");
    bad("{\"kty\":\"oct\",\"use\":1,\"k\":\"" S32 "\"}", "\"use\" is not",
        "use is a number");

    good("{\"kty\":\"oct\",\"key_ops\":[\"sign\",\"verify\"],\"k\":\"" S32
         "\"}", NGX_APIGW_JWA_HS256, "key_ops verify");
    skipped("{\"kty\":\"oct\",\"key_ops\":[\"encrypt\"],\"k\":\"" S32 "\"}",
            "key_ops encrypt");
    skipped("{\"kty\":\"oct\",\"key_ops\":[],\"k\":\"" S32 "\"}",
            "no key_ops");
    bad("{\"kty\":\"oct\",\"key_ops\":\"verify\",\"k\":\"" S32 "\"}",
        "\"key_ops\" is not", "key_ops is a string");

    skipped("{\"kty\":\"oct\",\"alg\":\"A128KW\",\"k\":\"" S32 "\"}",
            "alg of encryption");
    skipped("{\"kty\":\"oct\",\"alg\":\"none\",\"k\":\"" S32 "\"}",
            "alg none");
    bad("{\"kty\":\"oct\",\"alg\":1,\"k\":\"" S32 "\"}", "\"alg\" is not",
        "alg is a number");
    bad("{\"kty\":\"oct\",\"alg\":\"RS256\",\"k\":\"" S32 "\"}",
        "shorter than the hash", "alg of another type");

    bad("{\"kty\":\"oct\",\"kid\":1,\"k\":\"" S32 "\"}", "\"kid\" is not",
        "kid is a number");
    bad("{\"kty\":\"oct\",\"kid\":\"\",\"k\":\"" S32 "\"}",
        "\"kid\" is empty", "kid is empty");
    bad(test_print("{\"kty\":\"oct\",\"kid\":\"%01025d\",\"k\":\"" S32 "\"}",
                   0), "\"kid\" is empty or too long", "kid of 1025 bytes");
    bad("{\"kty\":\"oct\",\"kid\":\"a\\nb\",\"k\":\"VVV\"}", ", \"a?b\": ",
        "a newline in kid");
}


static void
test_secrets(void)
{
    ngx_uint_t         i;
    ngx_apigw_jwks_t  *jwks;
    ngx_apigw_jwa_t    want;

    static u_char  zeroes[9000];

    static const struct {
        size_t           bytes;
        ngx_apigw_jwa_t  alg;
    } sizes[] = {
        { 0, 0 }, { 1, 0 }, { 31, 0 }, { 32, 1 }, { 47, 1 }, { 48, 3 },
        { 63, 3 }, { 64, 7 }, { 8192, 7 }, { 8193, 0 }
    };

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char  *jwk, *name;

        want = sizes[i].alg;
        name = test_print("a secret of %lu bytes", (u_long) sizes[i].bytes);
        jwk = test_print("{\"kty\":\"oct\",\"k\":\"%s\"}",
                         test_base64(zeroes, sizes[i].bytes));

        if (want) {
            good(jwk, want, name);

        } else {
            bad(jwk, sizes[i].bytes > 8192 ? "too long" : "less than 256 bits",
                name);
        }
    }

    bad("{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"" S32 "\"}",
        "shorter than the hash", "32 bytes for HS512");
    bad("{\"kty\":\"oct\"}", "\"k\" is missing", "no k");
    bad("{\"kty\":\"oct\",\"k\":7}", "\"k\" is missing", "k is a number");
    bad("{\"kty\":\"oct\",\"k\":\"" S32 "=\"}", "no base64url", "padding");
    bad("{\"kty\":\"oct\",\"k\":\"+" S32 "\"}", "no base64url", "base64");

    /* last digits with bits of no byte */

    bad("{\"kty\":\"oct\",\"k\":\"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV"
        "\"}", "no base64url", "trailing bits");

    refused_as("{\"keys\":[" OCT "]}", JSON, 0, "a secret among public keys",
               "a secret where none may be");

    jwks = parse_n("{\"kid\":{\"kty\":\"oct\",\"k\":\"" S32 "\"}}",
                   strlen(OCT) + 8, KEYVAL, 0);
    ok(jwks == NULL && strstr(error_text, "a secret among"),
       "in keyval as well");
}


static void
test_rsa(void)
{
    char        *n, *e;
    test_key_t   weak;

    good(test_jwk(&rsa, ""), NGX_APIGW_JWA_RS|NGX_APIGW_JWA_PS, "RSA");
    good(test_jwk(&rsa, ",\"alg\":\"PS384\""), NGX_APIGW_JWA_PS384,
         "RSA for PS384");
    bad(test_jwk(&rsa, ",\"alg\":\"ES256\""), "\"alg\" does not fit",
        "RSA for ES256");
    bad(test_jwk(&rsa, ",\"alg\":\"HS256\""), "\"alg\" does not fit",
        "RSA for HS256");
    bad(test_jwk(&rsa, ",\"d\":\"AAAA\""), "a private key", "d of RSA");
    bad(test_jwk(&rsa, ",\"k\":\"AAAA\""), "a private key", "k of RSA");
    bad(test_jwk(&rsa, ",\"oth\":[]"), "a private key", "oth of RSA");

    weak = test_keygen("1024");
    bad(test_jwk(&weak, ""), "less than 2048", "1024 bits");
    weak = test_keygen("512");
    bad(test_jwk(&weak, ""), "less than 2048", "512 bits");

    n = test_number(rsa.pkey, "n", 0);

    /* zero bytes in front are zero bytes */

    good(test_print("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AAEAAQ\"}",
                    test_number(rsa.pkey, "n", 259)),
         NGX_APIGW_JWA_RS|NGX_APIGW_JWA_PS, "zeroes in front");

    e = test_print("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%%s\"}", n);

#define rsa_e(value)  test_print(e, value)

    good(rsa_e("AQAB"), NGX_APIGW_JWA_RS|NGX_APIGW_JWA_PS, "e = 65537");
    bad(rsa_e("AQ"), "exponent", "e = 1");
    bad(rsa_e("Aw"), "exponent", "e = 3");
    bad(rsa_e("AA"), "exponent", "e = 0");
    bad(rsa_e("AQAA"), "exponent", "e = 65536");
    bad(rsa_e("__8"), "exponent", "e = 65535");
    bad(rsa_e("AQAAAAAAAAAB"), "exponent", "e of 65 bits");
    good(rsa_e("gAAAAAAAAAE"), NGX_APIGW_JWA_RS|NGX_APIGW_JWA_PS,
         "e of 64 bits");
    bad(rsa_e(""), "exponent", "e is empty");
    bad(rsa_e("AQAB="), "no base64url", "padding of e");

#undef rsa_e

    bad("{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "\"n\" or \"e\" is missing",
        "no n");
    bad(test_print("{\"kty\":\"RSA\",\"n\":\"%s\"}", n),
        "\"n\" or \"e\" is missing", "no e");
    bad(test_print("{\"kty\":\"RSA\",\"n\":[1],\"e\":\"AQAB\"}"),
        "\"n\" or \"e\" is missing", "n is an array");

    n = test_print("%.*sAA", (int) strlen(n) - 2, n);
    bad(test_print("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", n),
        "even RSA modulus", "n is even");

    n = test_base64(error_text, 0);
    bad(test_print("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", n),
        "less than 2048", "n is empty");

    bad(test_print("{\"kty\":\"RSA\",\"n\":\"_%01365d8\",\"e\":\"AQAB\"}", 0),
        "more than 8192", "8208 bits");
    bad(test_print("{\"kty\":\"RSA\",\"n\":\"_%02730d\",\"e\":\"AQAB\"}", 0),
        "too long", "16384 bits");
}


static void
test_ec(void)
{
    char        *x, *y;
    test_key_t   other;

    good(test_jwk(&p256, ""), NGX_APIGW_JWA_ES256, "P-256");
    good(test_jwk(&p256, ",\"alg\":\"ES256\""), NGX_APIGW_JWA_ES256,
         "P-256 for ES256");
    bad(test_jwk(&p256, ",\"alg\":\"ES384\""), "\"alg\" does not fit",
        "P-256 for ES384");
    bad(test_jwk(&p256, ",\"alg\":\"ES256K\""), "\"alg\" does not fit",
        "P-256 for ES256K");
    bad(test_jwk(&p256, ",\"d\":\"AAAA\""), "a private key", "d of EC");

    x = test_number(p256.pkey, "qx", 32);
    y = test_number(p256.pkey, "qy", 32);

#define ec(crv, a, b)  test_print("{\"kty\":\"EC\",\"crv\":\"" crv "\","      \
                                  "\"x\":\"%s\",\"y\":\"%s\"}", a, b)

    bad(ec("P-256", y, x), "not a point", "x and y exchanged");
    bad(ec("P-256", x, x), "not a point", "x twice");
    bad(ec("secp256k1", x, y), "not a point", "another curve of that size");
    bad(ec("P-384", x, y), "not of the size", "another curve");
    bad(ec("P-256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "not a point",
        "0, 0");
    bad(ec("P-256", "__________________________________________8", y),
        "not a point", "x of all ones");
    bad(ec("P-256", x, ""), "not of the size", "y is empty");
    bad(ec("P-256", x, test_number(p256.pkey, "qy", 33)), "not of the size",
        "a zero in front of y");
    bad(test_print("{\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y),
        "\"crv\" is missing", "no crv");
    skipped(ec("P-224", x, y), "P-224");
    skipped(ec("p-256", x, y), "crv in other letters");

#undef ec

    other = test_keygen("secp256k1");
    good(test_jwk(&other, ""), NGX_APIGW_JWA_ES256K, "secp256k1");
}


/* The points, as computed apart from this; and some beside them. */

static void
test_okp(void)
{
    u_char       point[57];
    ngx_uint_t   i;

    static const char *const  small[] = {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",      /* 0 */
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",      /* 1 */
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",      /* and a sign */
        "7P_______________________________________38",      /* -1 */
        "7f_______________________________________38",      /* p */
        "7v_______________________________________38",      /* p + 1 */
        "7P_-_____________________________________38",      /* less */
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
        "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"
    };

    good(test_jwk(&ed25519, ""), NGX_APIGW_JWA_ED25519, "Ed25519");
    good(test_jwk(&ed25519, ",\"alg\":\"EdDSA\""), NGX_APIGW_JWA_ED25519,
         "Ed25519 for EdDSA");
    good(test_jwk(&ed25519, ",\"alg\":\"Ed25519\""), NGX_APIGW_JWA_ED25519,
         "Ed25519 for Ed25519");
    bad(test_jwk(&ed25519, ",\"alg\":\"Ed448\""), "\"alg\" does not fit",
        "Ed25519 for Ed448");
    bad(test_jwk(&ed25519, ",\"d\":\"AAAA\""), "a private key", "d of OKP");
    good(test_jwk(&ed448, ""), NGX_APIGW_JWA_ED448, "Ed448");

#define okp(crv, x)  test_print("{\"kty\":\"OKP\",\"crv\":\"" crv "\","       \
                                "\"x\":\"%s\"}", x)

    for (i = 0; i < sizeof(small) / sizeof(char *); i++) {

        if (i == 6) {
            good(okp("Ed25519", small[i]), NGX_APIGW_JWA_ED25519,
                 "a large y that is less than the prime");
            continue;
        }

        bad(okp("Ed25519", small[i]), "small order", small[i]);
    }

    bad(okp("Ed25519", "AAAA"), "not of the size", "3 bytes");
    bad(okp("Ed448", small[0]), "not of the size", "32 bytes for Ed448");
    bad("{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}", "\"x\" is missing", "no x");
    bad("{\"kty\":\"OKP\",\"x\":\"AAAA\"}", "\"crv\" is missing", "no crv");
    skipped(okp("X25519", small[0]), "X25519");
    skipped(okp("X448", small[0]), "X448");

    ngx_memzero(point, 57);
    bad(okp("Ed448", test_base64(point, 57)), "small order", "Ed448: 0");

    point[0] = 1;
    point[56] = 0x80;
    bad(okp("Ed448", test_base64(point, 57)), "small order",
        "Ed448: 1 and a sign");

    point[0] = 2;
    good(okp("Ed448", test_base64(point, 57)), NGX_APIGW_JWA_ED448,
         "Ed448: 2");

    point[56] = 0x40;
    bad(okp("Ed448", test_base64(point, 57)), "small order",
        "Ed448: a bit too high");

    ngx_memset(point, 0xff, 56);
    point[56] = 0;
    bad(okp("Ed448", test_base64(point, 57)), "small order",
        "Ed448: more than p");

    point[28] = 0xfe;
    bad(okp("Ed448", test_base64(point, 57)), "small order", "Ed448: p");

    point[0] = 0xfe;
    bad(okp("Ed448", test_base64(point, 57)), "small order", "Ed448: -1");

    point[0] = 0xfd;
    good(okp("Ed448", test_base64(point, 57)), NGX_APIGW_JWA_ED448,
         "Ed448: -2");

    point[0] = 0xfe;
    point[27] = 0xfe;
    good(okp("Ed448", test_base64(point, 57)), NGX_APIGW_JWA_ED448,
         "Ed448: less than p");

#undef okp
}


static char *
pem_of(EVP_PKEY *pkey)
{
    BIO   *bio;
    char  *data, *text;
    long   len;

    bio = BIO_new(BIO_s_mem());
    (void) PEM_write_bio_PUBKEY(bio, pkey);
    len = BIO_get_mem_data(bio, &data);
    text = test_print("%.*s", (int) len, data);
    BIO_free(bio);

    return text;
}


static char *
pem_private(EVP_PKEY *pkey)
{
    BIO   *bio;
    char  *data, *text;
    long   len;

    bio = BIO_new(BIO_s_mem());
    (void) PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    len = BIO_get_mem_data(bio, &data);
    text = test_print("%.*s", (int) len, data);
    BIO_free(bio);

    return text;
}


static char *
certificate(EVP_PKEY *pkey)
{
    BIO   *bio;
    char  *data, *text;
    long   len;
    X509  *cert;

    cert = X509_new();
    (void) X509_set_version(cert, 2);
    (void) ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void) X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    (void) X509_gmtime_adj(X509_getm_notAfter(cert), -3600);
    (void) X509_set_pubkey(cert, pkey);
    (void) X509_sign(cert, pkey, EVP_sha256());

    bio = BIO_new(BIO_s_mem());
    (void) PEM_write_bio_X509(bio, cert);
    len = BIO_get_mem_data(bio, &data);
    text = test_print("%.*s", (int) len, data);
    BIO_free(bio);
    X509_free(cert);

    return text;
}


static void
test_pem(void)
{
    char              *text, *explicit;
    EVP_PKEY          *pkey;
    test_key_t         weak;
    EVP_PKEY_CTX      *ctx;
    ngx_apigw_jwks_t  *jwks;

    text = test_print("some text\n%s\n%s%s%s%s", pem_of(rsa.pkey),
                      pem_of(p256.pkey), pem_of(ed25519.pkey),
                      pem_of(ed448.pkey), certificate(p256.pkey));
    jwks = parse_n(text, strlen(text), PEM, STRICT);

    ok(jwks && jwks->nkeys == 5 && jwks->anonymous == 5
       && jwks->alg == (NGX_APIGW_JWA_RS|NGX_APIGW_JWA_PS|NGX_APIGW_JWA_ES256
                        |NGX_APIGW_JWA_EDDSA), "five PEM texts %s",
       error_text);
    ngx_apigw_jwks_free(jwks);

    jwks = parse_n(text, strlen(text), NGX_APIGW_JWKS_ANY, STRICT);
    ok(jwks && jwks->nkeys == 5, "found to be PEM");
    ngx_apigw_jwks_free(jwks);

    jwks = parse_n(" \n" OCT, strlen(OCT) + 2, NGX_APIGW_JWKS_ANY, SECRETS);
    ok(jwks && jwks->nkeys == 1, "found to be JSON");
    ngx_apigw_jwks_free(jwks);

    refused_as("", PEM, 0, "no public key or certificate as PEM", "empty PEM");
    refused_as("x\n", PEM, 0, "no public key or certificate as PEM", "no PEM");
    refused_as("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
               PEM, 0, "not a public key", "three bytes");
    refused_as("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n",
               PEM, 0, "broken PEM", "no base64");
    refused_as("-----BEGIN PUBLIC KEY-----\nAAAA\n", PEM, 0, "broken PEM",
               "no end");
    refused_as(pem_private(rsa.pkey), PEM, SECRETS|STRICT, "a private key",
               "private RSA");
    refused_as(pem_private(p256.pkey), PEM, 0, "a private key", "private EC");
    refused_as(test_print("%s%s", pem_of(rsa.pkey), pem_private(p256.pkey)),
               PEM, STRICT, "key 2: a private key", "a private key behind");

    weak = test_keygen("1024");
    refused_as(pem_of(weak.pkey), PEM, 0, "less than 2048", "PEM of 1024 bits");

    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-224");
    refused_as(pem_of(pkey), PEM, STRICT, "no key that verifies",
               "PEM of P-224");
    EVP_PKEY_free(pkey);

    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    refused_as(pem_of(pkey), PEM, STRICT, "no key that verifies",
               "PEM of X25519");
    EVP_PKEY_free(pkey);

    /* the parameters of a curve instead of its name */

    pkey = NULL;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    (void) EVP_PKEY_keygen_init(ctx);
    (void) EVP_PKEY_CTX_set_group_name(ctx, "P-256");
    (void) EVP_PKEY_CTX_set_ec_param_enc(ctx, OPENSSL_EC_EXPLICIT_CURVE);
    (void) EVP_PKEY_generate(ctx, &pkey);
    explicit = pem_of(pkey);
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(ctx);

    ok(strlen(explicit) > 300, "an explicit curve");
    jwks = parse_n(explicit, strlen(explicit), PEM, STRICT);
    ok(jwks == NULL || jwks->alg == NGX_APIGW_JWA_ES256,
       "is a known one or none");
    ngx_apigw_jwks_free(jwks);
}


/* A PEM text as a JSON string. */

static char *
quoted(const char *pem)
{
    char  *p, *text;

    text = test_keep(malloc(2 * strlen(pem) + 3));
    p = text;
    *p++ = '"';

    for ( /* void */ ; *pem; pem++) {

        if (*pem == '\n') {
            *p++ = '\\';
            *p++ = 'n';

        } else {
            *p++ = *pem;
        }
    }

    *p++ = '"';
    *p = '\0';

    return text;
}


static void
test_keyval(void)
{
    char              *text;
    ngx_str_t          kid = ngx_string("b");
    ngx_uint_t         n;
    ngx_apigw_jwk_t   *key;
    ngx_apigw_jwks_t  *jwks;

    text = test_print("{\"a\":%s,\"b\":%s,\"cc\":" OCT "}",
                      quoted(pem_of(rsa.pkey)),
                      quoted(certificate(p256.pkey)));

    jwks = parse_n(text, strlen(text), KEYVAL, SECRETS|STRICT);
    ok(jwks && jwks->nkeys == 3 && jwks->anonymous == 0, "keyval %s",
       error_text);

    if (jwks) {
        key = ngx_apigw_jwks_find(jwks, &kid, &n);
        ok(key && n == 1 && key->alg == NGX_APIGW_JWA_ES256,
           "the names are kids");
    }

    ngx_apigw_jwks_free(jwks);

    refused_as("{\"a\":\"secret of more than 32 bytes, I would say\"}", KEYVAL,
               SECRETS, "a secret is an object", "a secret as a string");
    refused_as("{\"a\":7}", KEYVAL, SECRETS, "key 1, \"a\": neither",
               "a number");
    refused_as("{\"a\":null}", KEYVAL, SECRETS, "neither", "null");
    refused_as("{}", KEYVAL, SECRETS, "no key that verifies", "nothing");
    refused_as("{\"\":" OCT "}", KEYVAL, SECRETS, "\"kid\" is empty",
               "an empty name");
    refused_as(test_print("{\"a\":%s}",
                          quoted(test_print("%s%s", pem_of(rsa.pkey),
                                            pem_of(rsa.pkey)))), KEYVAL, 0,
               "more than one key", "two keys in one");
    refused_as(test_print("{\"a\":%s}", quoted(pem_private(rsa.pkey))),
               KEYVAL, SECRETS, "a private key", "a private key");
    refused_as("{\"a\":" OCT ",\"a\":" OCT "}", KEYVAL, SECRETS,
               "occurs twice", "a name twice");
}


static void
test_find(void)
{
    char              *text;
    ngx_str_t          kid;
    ngx_uint_t         i, n, wrong;
    ngx_apigw_jwk_t   *key;
    ngx_apigw_jwks_t  *jwks;

    text = "{\"keys\":[" OCT "," OCT;

    for (i = 0; i < 200; i++) {
        text = test_print("%s,{\"kty\":\"oct\",\"kid\":\"%lu\",\"k\":\"" S32
                          "\"}", text, (u_long) (i * 7 % 100));
    }

    text = test_print("%s]}", text);
    jwks = parse_n(text, strlen(text), JSON, SECRETS);

    ok(jwks && jwks->nkeys == 202 && jwks->anonymous == 2, "202 keys");

    wrong = 0;

    for (i = 0; i < 200; i++) {
        kid.data = (u_char *) test_print("%lu", (u_long) i);
        kid.len = strlen((char *) kid.data);

        key = ngx_apigw_jwks_find(jwks, &kid, &n);

        if (i >= 100) {
            wrong += key != NULL || n != 0;

        } else {
            wrong += key == NULL || n != 2 || key[1].kid.len != kid.len
                     || ngx_memcmp(key[0].kid.data, kid.data, kid.len) != 0
                     || ngx_memcmp(key[1].kid.data, kid.data, kid.len) != 0;
        }
    }

    ok(wrong == 0, "two of each kid are found, and no others");

    kid.len = 0;
    kid.data = (u_char *) "";
    key = ngx_apigw_jwks_find(jwks, &kid, &n);
    ok(key == NULL && n == 0, "none of no kid");

    ngx_apigw_jwks_free(jwks);
}


/* RFC 4648, 10, without the padding. */

static void
test_base64url(void)
{
    u_char      buf[64], text[96], *end;
    ssize_t     n;
    size_t      i, j;
    ngx_uint_t  wrong;

    static const char *const  pairs[][2] = {
        { "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" },
        { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" },
        { "\xfb\xff\xbf", "-_-_" }
    };

    static const char *const  wrongs[] = {
        "Z", "Zm9vY", "Zh", "Zm9=", "Zg==", "+/+/", "Zm 8", "Zm8\n", "Zm9v!",
        "Zm9vZ\x80", "\xffm9v", "Z=9v", "Zn9"
    };

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        n = ngx_apigw_base64_decode(buf, (u_char *) pairs[i][1],
                                    strlen(pairs[i][1]));
        end = ngx_apigw_base64_encode(text, (u_char *) pairs[i][0],
                                      strlen(pairs[i][0]));

        ok(n == (ssize_t) strlen(pairs[i][0])
           && ngx_memcmp(buf, pairs[i][0], n) == 0
           && (size_t) (end - text) == strlen(pairs[i][1])
           && ngx_memcmp(text, pairs[i][1], end - text) == 0,
           "\"%s\"", pairs[i][1]);
    }

    for (i = 0; i < sizeof(wrongs) / sizeof(char *); i++) {
        ok(ngx_apigw_base64_decode(buf, (u_char *) wrongs[i],
                                   strlen(wrongs[i]))
           == NGX_ERROR, "wrong %lu", (u_long) i);
    }

    /* every byte in every place, and the sizes */

    wrong = 0;

    for (i = 0; i < 256; i++) {
        for (j = 0; j < 7; j++) {
            u_char  in[7];

            ngx_memset(in, 0xa5, 7);
            in[j] = (u_char) i;

            end = ngx_apigw_base64_encode(text, in, j + 1);
            n = ngx_apigw_base64_decode(buf, text, end - text);

            if (n != (ssize_t) j + 1 || ngx_memcmp(buf, in, n) != 0
                || (size_t) (end - text) != ngx_apigw_base64_encoded(j + 1)
                || ngx_apigw_base64_decoded((size_t) (end - text)) != j + 1)
            {
                wrong++;
            }
        }
    }

    ok(wrong == 0, "there and back");
}


int
main(void)
{
    rsa = test_keygen("2048");
    p256 = test_keygen("P-256");
    ed25519 = test_keygen("Ed25519");
    ed448 = test_keygen("Ed448");

    test_base64url();
    test_set();
    test_members();
    test_secrets();
    test_rsa();
    test_ec();
    test_okp();
    test_pem();
    test_keyval();
    test_find();

    printf("1..%lu\n", (u_long) number);

    return 0;
}
