/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "ngx_apigw_base64.h"
#include "ngx_apigw_jwk.h"


#define NGX_APIGW_JWK_RSA_MIN     2048
#define NGX_APIGW_JWK_RSA_MAX     8192
#define NGX_APIGW_JWK_EXP_MIN     17
#define NGX_APIGW_JWK_EXP_MAX     64
#define NGX_APIGW_JWK_COORD_MAX   66
#define NGX_APIGW_JWK_ED25519     32
#define NGX_APIGW_JWK_ED448       57
#define NGX_APIGW_JWK_SECRET_MAX  8192

/* a modulus and some leading zeroes */

#define NGX_APIGW_JWK_RSA_BYTES   (NGX_APIGW_JWK_RSA_MAX / 8 + 8)


typedef struct {
    const char              *crv;
    const char              *group;       /* as OpenSSL has it */
    size_t                   size;        /* of a coordinate */
    ngx_apigw_jwa_t          alg;
} ngx_apigw_jwk_curve_t;


static ngx_int_t ngx_apigw_jwk_parse_use(json_t *jwk, const char **why);
static ngx_int_t ngx_apigw_jwk_parse_alg(json_t *jwk, ngx_apigw_jwa_t *alg,
    const char **why);
static ngx_int_t ngx_apigw_jwk_parse_rsa(json_t *jwk, ngx_apigw_jwk_t *key,
    const char **why);
static ngx_int_t ngx_apigw_jwk_parse_ec(json_t *jwk, ngx_apigw_jwk_t *key,
    const char **why);
static ngx_int_t ngx_apigw_jwk_parse_okp(json_t *jwk, ngx_apigw_jwk_t *key,
    const char **why);
static ngx_int_t ngx_apigw_jwk_parse_oct(json_t *jwk, ngx_apigw_jwk_t *key,
    const char **why);
static ngx_uint_t ngx_apigw_jwk_is_private(json_t *jwk, const char **why);
static ssize_t ngx_apigw_jwk_member(json_t *jwk, const char *name,
    u_char *buf, size_t size);

static ngx_int_t ngx_apigw_jwk_pem_decode(const char *name,
    const u_char *data, long len, EVP_PKEY **pkey, const char **why);
static ngx_int_t ngx_apigw_jwk_from_ec(EVP_PKEY *pkey, ngx_apigw_jwk_t *key,
    const char **why);

static ngx_int_t ngx_apigw_jwk_make_rsa(const BIGNUM *n, const BIGNUM *e,
    ngx_apigw_jwk_t *key, const char **why);
static const char *ngx_apigw_jwk_check_rsa(const BIGNUM *n, const BIGNUM *e);
static ngx_uint_t ngx_apigw_jwk_is_weak(const BIGNUM *n);
static ngx_int_t ngx_apigw_jwk_make_ec(const ngx_apigw_jwk_curve_t *curve,
    const u_char *point, ngx_apigw_jwk_t *key, const char **why);
static ngx_int_t ngx_apigw_jwk_make_okp(const u_char *pub, size_t len,
    ngx_apigw_jwk_t *key, const char **why);
static ngx_uint_t ngx_apigw_jwk_small_order(const u_char *pub, size_t len);
static ngx_uint_t ngx_apigw_jwk_ones(const u_char *p, size_t n);
static EVP_PKEY *ngx_apigw_jwk_make(const char *type, OSSL_PARAM *params);


static const ngx_apigw_jwk_curve_t  ngx_apigw_jwk_curves[] = {
    { "P-256", "prime256v1", 32, NGX_APIGW_JWA_ES256 },
    { "P-384", "secp384r1", 48, NGX_APIGW_JWA_ES384 },
    { "P-521", "secp521r1", 66, NGX_APIGW_JWA_ES512 },
    { "secp256k1", "secp256k1", 32, NGX_APIGW_JWA_ES256K },
    { NULL, NULL, 0, 0 }
};


/* Members that only private keys have. */

static const char  *ngx_apigw_jwk_private[] = {
    "d", "p", "q", "dp", "dq", "qi", "oth", "k", NULL
};


ngx_int_t
ngx_apigw_jwk_parse(json_t *jwk, ngx_uint_t flags, ngx_apigw_jwk_t *key,
    const char **why)
{
    ngx_int_t        rc;
    const char      *kty;
    ngx_apigw_jwa_t  alg;

    kty = json_string_value(json_object_get(jwk, "kty"));

    if (kty == NULL) {
        *why = "\"kty\" is missing or not a string";
        return NGX_ABORT;
    }

    rc = ngx_apigw_jwk_parse_use(jwk, why);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_apigw_jwk_parse_alg(jwk, &alg, why);

    if (rc != NGX_OK) {
        return rc;
    }

    if (strcmp(kty, "RSA") == 0) {
        rc = ngx_apigw_jwk_parse_rsa(jwk, key, why);

    } else if (strcmp(kty, "EC") == 0) {
        rc = ngx_apigw_jwk_parse_ec(jwk, key, why);

    } else if (strcmp(kty, "OKP") == 0) {
        rc = ngx_apigw_jwk_parse_okp(jwk, key, why);

    } else if (strcmp(kty, "oct") == 0) {

        if (!(flags & NGX_APIGW_JWKS_SECRETS)) {
            *why = "a secret among public keys";
            return NGX_ABORT;
        }

        rc = ngx_apigw_jwk_parse_oct(jwk, key, why);

    } else {
        return NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    key->alg &= alg;

    if (key->alg == 0) {
        *why = (key->type == NGX_APIGW_JWK_OCT)
               ? "the secret is shorter than the hash of its \"alg\""
               : "\"alg\" does not fit the type or the curve";
        return NGX_ABORT;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_jwk_parse_use(json_t *jwk, const char **why)
{
    size_t       i;
    json_t      *value, *op;
    const char  *text;

    value = json_object_get(jwk, "use");

    if (value) {
        text = json_string_value(value);

        if (text == NULL) {
            *why = "\"use\" is not a string";
            return NGX_ABORT;
        }

        if (strcmp(text, "sig") != 0) {
            return NGX_DECLINED;
        }
    }

    value = json_object_get(jwk, "key_ops");

    if (value == NULL) {
        return NGX_OK;
    }

    if (!json_is_array(value)) {
        *why = "\"key_ops\" is not an array";
        return NGX_ABORT;
    }

    json_array_foreach(value, i, op) {
        text = json_string_value(op);

        if (text && strcmp(text, "verify") == 0) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_apigw_jwk_parse_alg(json_t *jwk, ngx_apigw_jwa_t *alg, const char **why)
{
    json_t  *value;

    value = json_object_get(jwk, "alg");

    if (value == NULL) {
        *alg = NGX_APIGW_JWA_ALL;
        return NGX_OK;
    }

    if (!json_is_string(value)) {
        *why = "\"alg\" is not a string";
        return NGX_ABORT;
    }

    *alg = ngx_apigw_jwa_parse((u_char *) json_string_value(value),
                               json_string_length(value));

    return *alg ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_apigw_jwk_parse_rsa(json_t *jwk, ngx_apigw_jwk_t *key, const char **why)
{
    u_char      n_buf[NGX_APIGW_JWK_RSA_BYTES], e_buf[NGX_APIGW_JWK_RSA_BYTES];
    BIGNUM     *n, *e;
    ssize_t     n_len, e_len;
    ngx_int_t   rc;

    if (ngx_apigw_jwk_is_private(jwk, why)) {
        return NGX_ABORT;
    }

    n_len = ngx_apigw_jwk_member(jwk, "n", n_buf, sizeof(n_buf));
    e_len = ngx_apigw_jwk_member(jwk, "e", e_buf, sizeof(e_buf));

    if (n_len == NGX_ERROR || e_len == NGX_ERROR) {
        *why = "\"n\" or \"e\" is missing, too long or no base64url";
        return NGX_ABORT;
    }

    n = BN_bin2bn(n_buf, (int) n_len, NULL);
    e = BN_bin2bn(e_buf, (int) e_len, NULL);

    rc = (n && e) ? ngx_apigw_jwk_make_rsa(n, e, key, why) : NGX_ERROR;

    BN_free(n);
    BN_free(e);

    return rc;
}


static ngx_int_t
ngx_apigw_jwk_parse_ec(json_t *jwk, ngx_apigw_jwk_t *key, const char **why)
{
    u_char                        point[1 + 2 * NGX_APIGW_JWK_COORD_MAX];
    ssize_t                       x, y;
    const char                   *crv;
    const ngx_apigw_jwk_curve_t  *curve;

    if (ngx_apigw_jwk_is_private(jwk, why)) {
        return NGX_ABORT;
    }

    crv = json_string_value(json_object_get(jwk, "crv"));

    if (crv == NULL) {
        *why = "\"crv\" is missing or not a string";
        return NGX_ABORT;
    }

    for (curve = ngx_apigw_jwk_curves; curve->crv; curve++) {
        if (strcmp(crv, curve->crv) == 0) {
            break;
        }
    }

    if (curve->crv == NULL) {
        return NGX_DECLINED;
    }

    point[0] = 0x04;

    x = ngx_apigw_jwk_member(jwk, "x", point + 1, curve->size);
    y = ngx_apigw_jwk_member(jwk, "y", point + 1 + curve->size, curve->size);

    if (x != (ssize_t) curve->size || y != (ssize_t) curve->size) {
        *why = "\"x\" or \"y\" is missing or not of the size of the curve";
        return NGX_ABORT;
    }

    return ngx_apigw_jwk_make_ec(curve, point, key, why);
}


static ngx_int_t
ngx_apigw_jwk_parse_okp(json_t *jwk, ngx_apigw_jwk_t *key, const char **why)
{
    u_char       pub[NGX_APIGW_JWK_ED448];
    ssize_t      len, size;
    const char  *crv;

    if (ngx_apigw_jwk_is_private(jwk, why)) {
        return NGX_ABORT;
    }

    crv = json_string_value(json_object_get(jwk, "crv"));

    if (crv == NULL) {
        *why = "\"crv\" is missing or not a string";
        return NGX_ABORT;
    }

    if (strcmp(crv, "Ed25519") == 0) {
        size = NGX_APIGW_JWK_ED25519;

    } else if (strcmp(crv, "Ed448") == 0) {
        size = NGX_APIGW_JWK_ED448;

    } else {
        return NGX_DECLINED;
    }

    len = ngx_apigw_jwk_member(jwk, "x", pub, sizeof(pub));

    if (len != size) {
        *why = "\"x\" is missing or not of the size of the curve";
        return NGX_ABORT;
    }

    return ngx_apigw_jwk_make_okp(pub, len, key, why);
}


static ngx_int_t
ngx_apigw_jwk_parse_oct(json_t *jwk, ngx_apigw_jwk_t *key, const char **why)
{
    u_char   buf[NGX_APIGW_JWK_SECRET_MAX];
    ssize_t  len;

    len = ngx_apigw_jwk_member(jwk, "k", buf, sizeof(buf));

    if (len == NGX_ERROR) {
        *why = "\"k\" is missing, too long or no base64url";
        OPENSSL_cleanse(buf, sizeof(buf));
        return NGX_ABORT;
    }

    key->type = NGX_APIGW_JWK_OCT;

    if (len >= 32) {
        key->alg |= NGX_APIGW_JWA_HS256;
    }

    if (len >= 48) {
        key->alg |= NGX_APIGW_JWA_HS384;
    }

    if (len >= 64) {
        key->alg |= NGX_APIGW_JWA_HS512;
    }

    if (key->alg == 0) {
        *why = "a secret of less than 256 bits";
        OPENSSL_cleanse(buf, sizeof(buf));
        return NGX_ABORT;
    }

    key->secret = malloc(len);

    if (key->secret) {
        ngx_memcpy(key->secret, buf, len);
        key->secret_len = len;
    }

    OPENSSL_cleanse(buf, sizeof(buf));

    return key->secret ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_apigw_jwk_is_private(json_t *jwk, const char **why)
{
    const char  **p;

    for (p = ngx_apigw_jwk_private; *p; p++) {
        if (json_object_get(jwk, *p)) {
            *why = "a private key among public keys";
            return 1;
        }
    }

    return 0;
}


/* The length, or NGX_ERROR: missing, no base64url, longer than size. */

static ssize_t
ngx_apigw_jwk_member(json_t *jwk, const char *name, u_char *buf, size_t size)
{
    size_t   len;
    json_t  *value;

    value = json_object_get(jwk, name);
    len = json_string_length(value);

    if (!json_is_string(value) || ngx_apigw_base64_decoded(len) > size) {
        return NGX_ERROR;
    }

    return ngx_apigw_base64_decode(buf, (u_char *) json_string_value(value),
                                   len);
}


/* A text of one key, as the values of "keyval" are. */

ngx_int_t
ngx_apigw_jwk_parse_pem(const u_char *data, size_t len, ngx_apigw_jwk_t *key,
    const char **why)
{
    BIO        *bio;
    EVP_PKEY   *pkey, *other;
    ngx_int_t   rc;

    bio = BIO_new_mem_buf(data, (int) len);

    if (bio == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_apigw_jwk_pem_next(bio, &pkey, why);

    if (rc == NGX_DONE) {
        *why = "no PEM text of a public key or certificate; "
               "a secret is an object with \"kty\": \"oct\"";
        rc = NGX_ABORT;
    }

    if (rc == NGX_OK) {
        rc = ngx_apigw_jwk_pem_next(bio, &other, why);

        if (rc == NGX_DONE) {
            rc = ngx_apigw_jwk_from_pkey(pkey, key, why);

        } else if (rc == NGX_OK) {
            EVP_PKEY_free(other);
            *why = "more than one key";
            rc = NGX_ABORT;
        }

        EVP_PKEY_free(pkey);
    }

    BIO_free(bio);

    return rc;
}


/* NGX_OK with a key, NGX_DONE at the end, NGX_ABORT. */

ngx_int_t
ngx_apigw_jwk_pem_next(BIO *bio, EVP_PKEY **pkey, const char **why)
{
    long           len;
    char          *name, *header;
    u_char        *data;
    ngx_int_t      rc;
    unsigned long  error;

    *pkey = NULL;

    for ( ;; ) {
        ERR_clear_error();

        if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {
            error = ERR_peek_last_error();

            if (ERR_GET_LIB(error) == ERR_LIB_PEM
                && ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
            {
                return NGX_DONE;
            }

            *why = "a broken PEM text";
            return NGX_ABORT;
        }

        rc = ngx_apigw_jwk_pem_decode(name, data, len, pkey, why);

        OPENSSL_clear_free(data, len);
        OPENSSL_free(name);
        OPENSSL_free(header);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_apigw_jwk_pem_decode(const char *name, const u_char *data, long len,
    EVP_PKEY **pkey, const char **why)
{
    X509          *cert;
    const u_char  *p;

    p = data;

    if (strstr(name, "PRIVATE KEY")) {
        *why = "a private key among public keys";
        return NGX_ABORT;
    }

    if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
        *pkey = d2i_PUBKEY(NULL, &p, len);

    } else if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0) {
        *pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, len);

    } else if (strcmp(name, PEM_STRING_X509) == 0
               || strcmp(name, PEM_STRING_X509_OLD) == 0)
    {
        cert = d2i_X509(NULL, &p, len);

        if (cert) {
            *pkey = X509_get_pubkey(cert);
            X509_free(cert);
        }

    } else {
        return NGX_DECLINED;
    }

    if (*pkey == NULL || p != data + len) {
        EVP_PKEY_free(*pkey);
        *pkey = NULL;
        *why = "not a public key or certificate that OpenSSL can read";
        return NGX_ABORT;
    }

    return NGX_OK;
}


/* Built again from its numbers, so that all keys go through the same checks. */

ngx_int_t
ngx_apigw_jwk_from_pkey(EVP_PKEY *pkey, ngx_apigw_jwk_t *key,
    const char **why)
{
    size_t      len;
    u_char      pub[NGX_APIGW_JWK_ED448];
    BIGNUM     *n, *e;
    ngx_int_t   rc;

    switch (EVP_PKEY_get_base_id(pkey)) {

    case EVP_PKEY_RSA:

        n = NULL;
        e = NULL;
        rc = NGX_ERROR;

        if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n)
            && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e))
        {
            rc = ngx_apigw_jwk_make_rsa(n, e, key, why);
        }

        BN_free(n);
        BN_free(e);

        return rc;

    case EVP_PKEY_EC:
        return ngx_apigw_jwk_from_ec(pkey, key, why);

    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:

        len = sizeof(pub);

        if (EVP_PKEY_get_raw_public_key(pkey, pub, &len) != 1) {
            return NGX_ERROR;
        }

        return ngx_apigw_jwk_make_okp(pub, len, key, why);

    default:
        return NGX_DECLINED;
    }
}


static ngx_int_t
ngx_apigw_jwk_from_ec(EVP_PKEY *pkey, ngx_apigw_jwk_t *key, const char **why)
{
    char                          group[64];
    u_char                        point[1 + 2 * NGX_APIGW_JWK_COORD_MAX];
    BIGNUM                       *x, *y;
    ngx_int_t                     rc;
    const ngx_apigw_jwk_curve_t  *curve;

    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1) {
        *why = "a curve without name";
        return NGX_ABORT;
    }

    for (curve = ngx_apigw_jwk_curves; curve->crv; curve++) {
        if (strcmp(group, curve->group) == 0) {
            break;
        }
    }

    if (curve->crv == NULL) {
        return NGX_DECLINED;
    }

    x = NULL;
    y = NULL;
    rc = NGX_ERROR;

    point[0] = 0x04;

    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x)
        && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y)
        && BN_bn2binpad(x, point + 1, (int) curve->size) != -1
        && BN_bn2binpad(y, point + 1 + curve->size, (int) curve->size) != -1)
    {
        rc = ngx_apigw_jwk_make_ec(curve, point, key, why);
    }

    BN_free(x);
    BN_free(y);

    return rc;
}


static ngx_int_t
ngx_apigw_jwk_make_rsa(const BIGNUM *n, const BIGNUM *e, ngx_apigw_jwk_t *key,
    const char **why)
{
    OSSL_PARAM      *params;
    OSSL_PARAM_BLD  *bld;

    *why = ngx_apigw_jwk_check_rsa(n, e);

    if (*why) {
        return NGX_ABORT;
    }

    key->type = NGX_APIGW_JWK_RSA;
    key->alg = NGX_APIGW_JWA_RS | NGX_APIGW_JWA_PS;
    key->bits = BN_num_bits(n);

    bld = OSSL_PARAM_BLD_new();

    if (bld == NULL) {
        return NGX_ERROR;
    }

    params = NULL;

    if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n)
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
    {
        params = OSSL_PARAM_BLD_to_param(bld);
    }

    if (params) {
        key->pkey = ngx_apigw_jwk_make("RSA", params);
    }

    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);

    return key->pkey ? NGX_OK : NGX_ERROR;
}


/*
 * What is wrong, or NULL.  A check of the modulus by OpenSSL takes 4 ms.  Who
 * chooses a modulus that is not a product of two primes has only himself to
 * blame.
 */

static const char *
ngx_apigw_jwk_check_rsa(const BIGNUM *n, const BIGNUM *e)
{
    int  bits, exponent;

    bits = BN_num_bits(n);
    exponent = BN_num_bits(e);

    if (bits < NGX_APIGW_JWK_RSA_MIN || bits > NGX_APIGW_JWK_RSA_MAX) {
        return "RSA of less than 2048 or more than 8192 bits";
    }

    if (!BN_is_odd(n)) {
        return "an even RSA modulus";
    }

    if (!BN_is_odd(e)
        || exponent < NGX_APIGW_JWK_EXP_MIN
        || exponent > NGX_APIGW_JWK_EXP_MAX)
    {
        return "an RSA exponent that is even, less than 65537 or too large";
    }

    if (ngx_apigw_jwk_is_weak(n)) {
        return "an RSA key of a generator whose keys can be factored "
               "(CVE-2017-15361)";
    }

    return NULL;
}


/*
 * Keys of some smart cards have primes of one form, so that the modulus is a
 * power of 65537 modulo every small prime, and its factors can be computed.
 * That another modulus is one modulo all of these is less likely than 2^-27.
 */

static ngx_uint_t
ngx_apigw_jwk_is_weak(const BIGNUM *n)
{
    ngx_uint_t  i, rest, power;

    static const ngx_uint_t  primes[] = {
        11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151,
        157
    };

    for (i = 0; i < sizeof(primes) / sizeof(primes[0]); i++) {

        rest = BN_mod_word(n, primes[i]);

        for (power = 65537 % primes[i];
             power != rest && power != 1;
             power = power * 65537 % primes[i])
        {
            /* void */
        }

        if (power != rest) {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_apigw_jwk_make_ec(const ngx_apigw_jwk_curve_t *curve, const u_char *point,
    ngx_apigw_jwk_t *key, const char **why)
{
    OSSL_PARAM  params[3];

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 (char *) curve->group, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  (void *) point,
                                                  1 + 2 * curve->size);
    params[2] = OSSL_PARAM_construct_end();

    key->type = NGX_APIGW_JWK_EC;
    key->alg = curve->alg;

    /* fails if the point is not on the curve */

    key->pkey = ngx_apigw_jwk_make("EC", params);

    if (key->pkey == NULL) {
        *why = "\"x\" and \"y\" are not a point of the curve";
        return NGX_ABORT;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_jwk_make_okp(const u_char *pub, size_t len, ngx_apigw_jwk_t *key,
    const char **why)
{
    OSSL_PARAM  params[2];

    if (ngx_apigw_jwk_small_order(pub, len)) {
        *why = "a point of small order or in a form that is not the usual one";
        return NGX_ABORT;
    }

    params[0] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  (void *) pub, len);
    params[1] = OSSL_PARAM_construct_end();

    key->type = NGX_APIGW_JWK_OKP;

    if (len == NGX_APIGW_JWK_ED25519) {
        key->alg = NGX_APIGW_JWA_ED25519;
        key->pkey = ngx_apigw_jwk_make("ED25519", params);

    } else {
        key->alg = NGX_APIGW_JWA_ED448;
        key->pkey = ngx_apigw_jwk_make("ED448", params);
    }

    return key->pkey ? NGX_OK : NGX_ERROR;
}


/*
 * With such a key one signature fits many messages.  A point is y, in the
 * order of little-endian, and the sign of x in its highest bit.  Those of
 * small order have a y of -1, 0, 1, and for Ed25519 two more; a y of the prime
 * or above is another way to write a smaller one.
 */

static ngx_uint_t
ngx_apigw_jwk_small_order(const u_char *pub, size_t len)
{
    size_t  i;
    u_char  y[NGX_APIGW_JWK_ED448];

    static const u_char  order8[2][NGX_APIGW_JWK_ED25519] = {
        { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0,
          0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
          0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39,
          0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
        { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f,
          0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
          0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6,
          0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a }
    };

    ngx_memcpy(y, pub, len);
    y[len - 1] &= 0x7f;

    if (len == NGX_APIGW_JWK_ED25519
        && (ngx_memcmp(y, order8[0], len) == 0
            || ngx_memcmp(y, order8[1], len) == 0))
    {
        return 1;
    }

    /* 0 and 1 */

    if (y[0] <= 1) {
        for (i = 1; i < len && y[i] == 0; i++) { /* void */ }

        if (i == len) {
            return 1;
        }
    }

    /* p - 1 and above; p is 2^255 - 19 or 2^448 - 2^224 - 1 */

    if (len == NGX_APIGW_JWK_ED25519) {
        return y[31] == 0x7f && ngx_apigw_jwk_ones(y + 1, 30) && y[0] >= 0xec;
    }

    if (y[56]) {
        return 1;
    }

    if (!ngx_apigw_jwk_ones(y + 29, 27)) {
        return 0;
    }

    return y[28] == 0xff
           || (y[28] == 0xfe && ngx_apigw_jwk_ones(y + 1, 27) && y[0] >= 0xfe);
}


static ngx_uint_t
ngx_apigw_jwk_ones(const u_char *p, size_t n)
{
    while (n) {
        if (p[--n] != 0xff) {
            return 0;
        }
    }

    return 1;
}


static EVP_PKEY *
ngx_apigw_jwk_make(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY      *pkey;
    EVP_PKEY_CTX  *ctx;

    pkey = NULL;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (ctx == NULL
        || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
    {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(ctx);

    return pkey;
}


void
ngx_apigw_jwk_clear(ngx_apigw_jwk_t *key)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_APIGW_JWA_NUMBER; i++) {

        if (key->ctx[i] == NULL) {
            continue;
        }

        switch (key->type) {

        case NGX_APIGW_JWK_OCT:
            EVP_MAC_CTX_free(key->ctx[i]);
            break;

        case NGX_APIGW_JWK_OKP:
            EVP_MD_CTX_free(key->ctx[i]);
            break;

        default:
            EVP_PKEY_CTX_free(key->ctx[i]);
        }
    }

    EVP_PKEY_free(key->pkey);

    if (key->secret) {
        OPENSSL_cleanse(key->secret, key->secret_len);
        free(key->secret);
    }

    free(key->kid.data);
    ngx_memzero(key, sizeof(ngx_apigw_jwk_t));
}


void
ngx_apigw_jwk_wipe(json_t *value)
{
    size_t        i;
    json_t       *each;
    const char   *name;
    const char  **p;

    json_array_foreach(value, i, each) {
        ngx_apigw_jwk_wipe(each);
    }

    json_object_foreach(value, name, each) {
        ngx_apigw_jwk_wipe(each);
    }

    for (p = ngx_apigw_jwk_private; *p; p++) {
        each = json_object_get(value, *p);

        if (json_is_string(each)) {
            OPENSSL_cleanse((void *) json_string_value(each),
                            json_string_length(each));
        }
    }
}
