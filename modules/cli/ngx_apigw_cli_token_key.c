/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "ngx_apigw_base64.h"
#include "ngx_apigw_jwk.h"
#include "ngx_apigw_jws.h"
#include "ngx_apigw_cli_text.h"
#include "ngx_apigw_cli_token_key.h"


#define NGX_APIGW_CLI_TOKEN_NUMBER  1024    /* bytes: RSA of 8192 bits */


/* What an algorithm needs. */

typedef struct {
    ngx_apigw_jwa_t          alg;
    const char              *type;        /* of OpenSSL; NULL for a secret */
    const char              *group;       /* of EC */
    const char              *crv;         /* of JOSE */
    size_t                   size;        /* coordinates, secret */
    const char              *md;
    jwt_alg_t                libjwt;      /* JWT_ALG_NONE: it cannot */
} ngx_apigw_cli_token_alg_t;


/* A member of a private JWK, and what OpenSSL calls it. */

typedef struct {
    const char              *name;
    const char              *param;
} ngx_apigw_cli_token_member_t;


static const ngx_apigw_cli_token_alg_t *ngx_apigw_cli_token_alg(
    ngx_apigw_jwa_t alg);
static ngx_int_t ngx_apigw_cli_token_thumbprint(
    ngx_apigw_cli_token_key_t *key);
static json_t *ngx_apigw_cli_token_base64(const u_char *data, size_t len);
static ngx_int_t ngx_apigw_cli_token_number(json_t *jwk, const char *name,
    EVP_PKEY *pkey, const char *param, size_t size);
static ngx_int_t ngx_apigw_cli_token_raw(json_t *jwk, EVP_PKEY *pkey,
    ngx_uint_t secret);

static const char *ngx_apigw_cli_token_read_jwk(
    ngx_apigw_cli_token_key_t *key, json_t *jwk, ngx_apigw_jwa_t alg);
static ngx_apigw_jwa_t ngx_apigw_cli_token_usual(json_t *jwk);
static ssize_t ngx_apigw_cli_token_decode(json_t *jwk, const char *name,
    u_char *buf, size_t size);
static EVP_PKEY *ngx_apigw_cli_token_read_rsa(json_t *jwk);
static EVP_PKEY *ngx_apigw_cli_token_read_ec(json_t *jwk,
    const ngx_apigw_cli_token_alg_t *a);
static EVP_PKEY *ngx_apigw_cli_token_read_okp(json_t *jwk,
    const ngx_apigw_cli_token_alg_t *a);
static EVP_PKEY *ngx_apigw_cli_token_build(const char *type,
    OSSL_PARAM_BLD *bld);
static const char *ngx_apigw_cli_token_read_pem(
    ngx_apigw_cli_token_key_t *key, const u_char *data, size_t len,
    ngx_apigw_jwa_t alg);
static int ngx_apigw_cli_token_no_password(char *buf, int size, int rwflag,
    void *data);

static char *ngx_apigw_cli_token_libjwt(const ngx_apigw_cli_token_key_t *key,
    const ngx_apigw_cli_token_alg_t *a, json_t *header, json_t *claims);
static char *ngx_apigw_cli_token_openssl(
    const ngx_apigw_cli_token_key_t *key, const ngx_apigw_cli_token_alg_t *a,
    json_t *header, json_t *claims);
static ngx_int_t ngx_apigw_cli_token_sign_raw(
    const ngx_apigw_cli_token_key_t *key, const ngx_apigw_cli_token_alg_t *a,
    const ngx_apigw_cli_buf_t *input, u_char *signature, size_t *len);
static ngx_int_t ngx_apigw_cli_token_ecdsa(const u_char *der, size_t size,
    u_char *signature, size_t *len);
static ngx_uint_t ngx_apigw_cli_token_verified(
    const ngx_apigw_cli_token_key_t *key, const char *token);


static const ngx_apigw_cli_token_alg_t  ngx_apigw_cli_token_algs[] = {
    { NGX_APIGW_JWA_HS256, NULL, NULL, NULL, 32, "SHA256", JWT_ALG_HS256 },
    { NGX_APIGW_JWA_HS384, NULL, NULL, NULL, 48, "SHA384", JWT_ALG_HS384 },
    { NGX_APIGW_JWA_HS512, NULL, NULL, NULL, 64, "SHA512", JWT_ALG_HS512 },
    { NGX_APIGW_JWA_RS256, "RSA", NULL, NULL, 0, "SHA256", JWT_ALG_RS256 },
    { NGX_APIGW_JWA_RS384, "RSA", NULL, NULL, 0, "SHA384", JWT_ALG_RS384 },
    { NGX_APIGW_JWA_RS512, "RSA", NULL, NULL, 0, "SHA512", JWT_ALG_RS512 },
    { NGX_APIGW_JWA_PS256, "RSA", NULL, NULL, 0, "SHA256", JWT_ALG_NONE },
    { NGX_APIGW_JWA_PS384, "RSA", NULL, NULL, 0, "SHA384", JWT_ALG_NONE },
    { NGX_APIGW_JWA_PS512, "RSA", NULL, NULL, 0, "SHA512", JWT_ALG_NONE },
    { NGX_APIGW_JWA_ES256, "EC", "prime256v1", "P-256", 32, "SHA256",
      JWT_ALG_ES256 },
    { NGX_APIGW_JWA_ES384, "EC", "secp384r1", "P-384", 48, "SHA384",
      JWT_ALG_ES384 },
    { NGX_APIGW_JWA_ES512, "EC", "secp521r1", "P-521", 66, "SHA512",
      JWT_ALG_ES512 },
    { NGX_APIGW_JWA_ES256K, "EC", "secp256k1", "secp256k1", 32, "SHA256",
      JWT_ALG_NONE },
    { NGX_APIGW_JWA_ED25519, "ED25519", NULL, "Ed25519", 32, NULL,
      JWT_ALG_NONE },
    { NGX_APIGW_JWA_ED448, "ED448", NULL, "Ed448", 57, NULL, JWT_ALG_NONE },
    { 0, NULL, NULL, NULL, 0, NULL, JWT_ALG_NONE }
};


static const ngx_apigw_cli_token_member_t  ngx_apigw_cli_token_rsa[] = {
    { "n", OSSL_PKEY_PARAM_RSA_N },
    { "e", OSSL_PKEY_PARAM_RSA_E },
    { "d", OSSL_PKEY_PARAM_RSA_D },
    { "p", OSSL_PKEY_PARAM_RSA_FACTOR1 },
    { "q", OSSL_PKEY_PARAM_RSA_FACTOR2 },
    { "dp", OSSL_PKEY_PARAM_RSA_EXPONENT1 },
    { "dq", OSSL_PKEY_PARAM_RSA_EXPONENT2 },
    { "qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1 },
    { NULL, NULL }
};


/* "EdDSA" is Ed25519 unless a key says otherwise. */

static const ngx_apigw_cli_token_alg_t *
ngx_apigw_cli_token_alg(ngx_apigw_jwa_t alg)
{
    const ngx_apigw_cli_token_alg_t  *a;

    for (a = ngx_apigw_cli_token_algs; a->alg; a++) {
        if (a->alg & alg) {
            return a;
        }
    }

    return NULL;
}


ngx_int_t
ngx_apigw_cli_token_key_make(ngx_apigw_cli_token_key_t *key,
    ngx_apigw_jwa_t alg, ngx_uint_t bits)
{
    const ngx_apigw_cli_token_alg_t  *a;

    ngx_memzero(key, sizeof(ngx_apigw_cli_token_key_t));

    a = ngx_apigw_cli_token_alg(alg);

    if (a == NULL) {
        return NGX_ERROR;
    }

    key->alg = alg;
    key->bit = a->alg;

    if (a->type == NULL) {
        key->secret = ngx_apigw_cli_alloc(a->size);
        key->secret_len = a->size;

        if (RAND_bytes(key->secret, (int) a->size) != 1) {
            return NGX_ERROR;
        }

    } else if (strcmp(a->type, "RSA") == 0) {
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) bits);

    } else if (a->group) {
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", a->group);

    } else {
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, a->type);
    }

    if (key->secret == NULL && key->pkey == NULL) {
        return NGX_ERROR;
    }

    return ngx_apigw_cli_token_thumbprint(key);
}


/* RFC 7638: the needed members in the order of the alphabet, hashed. */

static ngx_int_t
ngx_apigw_cli_token_thumbprint(ngx_apigw_cli_token_key_t *key)
{
    char          *text;
    json_t        *jwk, *hashed, *value;
    u_char         digest[EVP_MAX_MD_SIZE], *last;
    size_t         i, len;
    ngx_int_t      rc;

    static const char *const  names[] = { "crv", "e", "kty", "n", "x", "y" };

    len = 32;

    if (key->pkey == NULL) {
        len = 12;
        rc = (RAND_bytes(digest, (int) len) == 1) ? NGX_OK : NGX_ERROR;

    } else {
        jwk = ngx_apigw_cli_token_key_jwk(key, 0);
        hashed = json_object();

        for (i = 0; i < sizeof(names) / sizeof(char *); i++) {
            value = json_object_get(jwk, names[i]);

            if (value) {
                (void) json_object_set(hashed, names[i], value);
            }
        }

        text = json_dumps(hashed, JSON_COMPACT);

        rc = (text && EVP_Q_digest(NULL, "SHA256", NULL, text, strlen(text),
                                   digest, &len) == 1)
             ? NGX_OK : NGX_ERROR;

        free(text);
        json_decref(hashed);
        json_decref(jwk);
    }

    key->kid = ngx_apigw_cli_alloc(NGX_APIGW_CLI_TOKEN_KID);
    last = ngx_apigw_base64_encode((u_char *) key->kid, digest, len);
    *last = '\0';

    return rc;
}


json_t *
ngx_apigw_cli_token_key_jwk(const ngx_apigw_cli_token_key_t *key,
    ngx_uint_t secret)
{
    json_t                              *jwk;
    ngx_int_t                            rc;
    const char                          *kty;
    const ngx_apigw_cli_token_alg_t     *a;
    const ngx_apigw_cli_token_member_t  *m;

    a = ngx_apigw_cli_token_alg(key->bit);

    kty = (key->pkey == NULL) ? "oct" : a->group ? "EC" : a->crv ? "OKP"
                                                                : "RSA";
    jwk = json_pack("{s:s}", "kty", kty);
    rc = NGX_OK;

    if (key->pkey == NULL) {
        rc = json_object_set_new(jwk, "k",
                                 ngx_apigw_cli_token_base64(key->secret,
                                                           key->secret_len));

    } else if (a->group) {
        (void) json_object_set_new(jwk, "crv", json_string(a->crv));

        rc |= ngx_apigw_cli_token_number(jwk, "x", key->pkey,
                                         OSSL_PKEY_PARAM_EC_PUB_X, a->size);
        rc |= ngx_apigw_cli_token_number(jwk, "y", key->pkey,
                                         OSSL_PKEY_PARAM_EC_PUB_Y, a->size);
        if (secret) {
            rc |= ngx_apigw_cli_token_number(jwk, "d", key->pkey,
                                             OSSL_PKEY_PARAM_PRIV_KEY,
                                             a->size);
        }

    } else if (a->crv) {
        (void) json_object_set_new(jwk, "crv", json_string(a->crv));

        rc = ngx_apigw_cli_token_raw(jwk, key->pkey, secret);

    } else {
        for (m = ngx_apigw_cli_token_rsa; m->name; m++) {

            if (!secret && strcmp(m->name, "d") == 0) {
                break;
            }

            rc |= ngx_apigw_cli_token_number(jwk, m->name, key->pkey,
                                             m->param, 0);
        }
    }

    rc |= json_object_set_new(jwk, "alg",
                              json_string(ngx_apigw_jwa_name(key->alg)));
    rc |= json_object_set_new(jwk, "use", json_string("sig"));

    if (key->kid) {
        rc |= json_object_set_new(jwk, "kid", json_string(key->kid));
    }

    if (rc != 0) {
        json_decref(jwk);
        return NULL;
    }

    return jwk;
}


static json_t *
ngx_apigw_cli_token_base64(const u_char *data, size_t len)
{
    u_char   text[ngx_apigw_base64_encoded(NGX_APIGW_CLI_TOKEN_NUMBER)];
    u_char  *last;
    json_t  *value;

    last = ngx_apigw_base64_encode(text, data, len);
    value = json_stringn((char *) text, last - text);
    OPENSSL_cleanse(text, sizeof(text));

    return value;
}


/* With a size there are zeroes in front. */

static ngx_int_t
ngx_apigw_cli_token_number(json_t *jwk, const char *name, EVP_PKEY *pkey,
    const char *param, size_t size)
{
    u_char      buf[NGX_APIGW_CLI_TOKEN_NUMBER];
    BIGNUM     *n;
    ngx_int_t   rc;

    n = NULL;
    rc = NGX_ERROR;

    if (EVP_PKEY_get_bn_param(pkey, param, &n) == 1) {

        if (size == 0) {
            size = BN_num_bytes(n);
        }

        if (size <= sizeof(buf) && BN_bn2binpad(n, buf, (int) size) != -1) {
            rc = json_object_set_new(jwk, name,
                                     ngx_apigw_cli_token_base64(buf, size));
        }
    }

    BN_clear_free(n);
    OPENSSL_cleanse(buf, sizeof(buf));

    return rc;
}


static ngx_int_t
ngx_apigw_cli_token_raw(json_t *jwk, EVP_PKEY *pkey, ngx_uint_t secret)
{
    size_t     len;
    u_char     buf[64];
    ngx_int_t  rc;

    len = sizeof(buf);

    if (EVP_PKEY_get_raw_public_key(pkey, buf, &len) != 1) {
        return NGX_ERROR;
    }

    rc = json_object_set_new(jwk, "x", ngx_apigw_cli_token_base64(buf, len));

    if (rc != 0 || !secret) {
        return rc;
    }

    len = sizeof(buf);

    if (EVP_PKEY_get_raw_private_key(pkey, buf, &len) != 1) {
        return NGX_ERROR;
    }

    rc = json_object_set_new(jwk, "d", ngx_apigw_cli_token_base64(buf, len));
    OPENSSL_cleanse(buf, sizeof(buf));

    return rc;
}


const char *
ngx_apigw_cli_token_key_read(ngx_apigw_cli_token_key_t *key,
    const u_char *data, size_t len, ngx_apigw_jwa_t alg)
{
    size_t         i;
    json_t        *jwk;
    const char    *error;
    json_error_t   err;

    ngx_memzero(key, sizeof(ngx_apigw_cli_token_key_t));

    for (i = 0; i < len && data[i] <= ' '; i++) { /* void */ }

    if (i == len || data[i] != '{') {
        error = ngx_apigw_cli_token_read_pem(key, data, len, alg);

    } else {
        jwk = json_loadb((const char *) data, len, JSON_REJECT_DUPLICATES,
                         &err);

        error = jwk ? ngx_apigw_cli_token_read_jwk(key, jwk, alg)
                    : "invalid JSON";

        ngx_apigw_jwk_wipe(jwk);
        json_decref(jwk);
    }

    ERR_clear_error();

    if (error) {
        ngx_apigw_cli_token_key_clear(key);
    }

    return error;
}


static const char *
ngx_apigw_cli_token_read_jwk(ngx_apigw_cli_token_key_t *key, json_t *jwk,
    ngx_apigw_jwa_t alg)
{
    u_char                            secret[NGX_APIGW_CLI_TOKEN_NUMBER];
    json_t                           *value;
    ssize_t                           len;
    const char                       *kty;
    ngx_apigw_jwa_t                   own, usual;
    const ngx_apigw_cli_token_alg_t  *a;

    if (json_object_get(jwk, "keys")) {
        return "a set of keys; a single private JWK is needed";
    }

    kty = json_string_value(json_object_get(jwk, "kty"));

    if (kty == NULL) {
        return "no \"kty\"";
    }

    value = json_object_get(jwk, "kid");

    if (json_is_string(value)) {
        key->kid = strdup(json_string_value(value));
    }

    own = 0;
    value = json_object_get(jwk, "alg");

    if (value) {
        own = ngx_apigw_jwa_parse((u_char *) json_string_value(value),
                                  json_string_length(value));

        if (own == 0) {
            return "its \"alg\" does not sign tokens";
        }

        if (alg && !(own & alg)) {
            return "it is for another algorithm";
        }
    }

    usual = ngx_apigw_cli_token_usual(jwk);

    key->alg = alg ? alg : own ? own : usual;
    key->bit = key->alg;

    if (key->alg & NGX_APIGW_JWA_EDDSA) {
        key->bit &= usual;
    }

    if (key->alg == usual && (usual & NGX_APIGW_JWA_EDDSA) && !alg && !own) {
        key->alg = NGX_APIGW_JWA_EDDSA;
    }

    a = ngx_apigw_cli_token_alg(key->bit);

    if (a == NULL) {
        return "no key that signs tokens";
    }

    if (strcmp(kty, "oct") == 0 && a->type == NULL) {
        len = ngx_apigw_cli_token_decode(jwk, "k", secret, sizeof(secret));

        if (len < (ssize_t) a->size) {
            OPENSSL_cleanse(secret, sizeof(secret));
            return "no secret, or shorter than the hash";
        }

        key->secret = ngx_apigw_cli_alloc(len);
        key->secret_len = len;
        ngx_memcpy(key->secret, secret, len);
        OPENSSL_cleanse(secret, sizeof(secret));

        return NULL;
    }

    if (strcmp(kty, "RSA") == 0 && a->type && !a->crv) {
        key->pkey = ngx_apigw_cli_token_read_rsa(jwk);

    } else if (strcmp(kty, "EC") == 0 && a->group) {
        key->pkey = ngx_apigw_cli_token_read_ec(jwk, a);

    } else if (strcmp(kty, "OKP") == 0 && a->crv && !a->group) {
        key->pkey = ngx_apigw_cli_token_read_okp(jwk, a);

    } else {
        return "its \"kty\" does not fit the algorithm";
    }

    if (key->pkey == NULL) {
        return "no private key, or one that is damaged";
    }

    return NULL;
}


/* What is usual for a key that does not say. */

static ngx_apigw_jwa_t
ngx_apigw_cli_token_usual(json_t *jwk)
{
    const char                       *kty, *crv;
    const ngx_apigw_cli_token_alg_t  *a;

    kty = json_string_value(json_object_get(jwk, "kty"));
    crv = json_string_value(json_object_get(jwk, "crv"));

    if (strcmp(kty, "RSA") == 0) {
        return NGX_APIGW_JWA_RS256;
    }

    if (strcmp(kty, "oct") == 0) {
        return NGX_APIGW_JWA_HS256;
    }

    for (a = ngx_apigw_cli_token_algs; a->alg && crv; a++) {
        if (a->crv && strcmp(a->crv, crv) == 0) {
            return a->alg;
        }
    }

    return 0;
}


static ssize_t
ngx_apigw_cli_token_decode(json_t *jwk, const char *name, u_char *buf,
    size_t size)
{
    size_t   len;
    json_t  *value;

    value = json_object_get(jwk, name);
    len = json_string_length(value);

    if (!json_is_string(value) || len == 0
        || ngx_apigw_base64_decoded(len) > size)
    {
        return NGX_ERROR;
    }

    return ngx_apigw_base64_decode(buf, (u_char *) json_string_value(value),
                                   len);
}


static EVP_PKEY *
ngx_apigw_cli_token_read_rsa(json_t *jwk)
{
    u_char                               buf[NGX_APIGW_CLI_TOKEN_NUMBER];
    BIGNUM                              *numbers[8];
    ssize_t                              len;
    EVP_PKEY                            *pkey;
    ngx_uint_t                           i, n;
    OSSL_PARAM_BLD                      *bld;
    const ngx_apigw_cli_token_member_t  *m;

    bld = OSSL_PARAM_BLD_new();
    pkey = NULL;
    n = 0;

    for (m = ngx_apigw_cli_token_rsa; bld && m->name; m++) {

        len = ngx_apigw_cli_token_decode(jwk, m->name, buf, sizeof(buf));

        if (len == NGX_ERROR) {
            break;
        }

        numbers[n] = BN_bin2bn(buf, (int) len, NULL);

        if (numbers[n] == NULL
            || OSSL_PARAM_BLD_push_BN(bld, m->param, numbers[n]) != 1)
        {
            BN_clear_free(numbers[n]);
            break;
        }

        n++;
    }

    if (n == 8) {
        pkey = ngx_apigw_cli_token_build("RSA", bld);
    }

    for (i = 0; i < n; i++) {
        BN_clear_free(numbers[i]);
    }

    OSSL_PARAM_BLD_free(bld);
    OPENSSL_cleanse(buf, sizeof(buf));

    return pkey;
}


static EVP_PKEY *
ngx_apigw_cli_token_read_ec(json_t *jwk, const ngx_apigw_cli_token_alg_t *a)
{
    u_char           point[133], buf[66];
    BIGNUM          *d;
    ssize_t          size;
    EVP_PKEY        *pkey;
    const char      *crv;
    OSSL_PARAM_BLD  *bld;

    size = a->size;
    pkey = NULL;
    point[0] = 0x04;

    crv = json_string_value(json_object_get(jwk, "crv"));

    if (crv == NULL
        || strcmp(crv, a->crv) != 0
        || ngx_apigw_cli_token_decode(jwk, "x", point + 1, size) != size
        || ngx_apigw_cli_token_decode(jwk, "y", point + 1 + size, size)
           != size
        || ngx_apigw_cli_token_decode(jwk, "d", buf, size) != size)
    {
        return NULL;
    }

    d = BN_bin2bn(buf, (int) size, NULL);
    OPENSSL_cleanse(buf, sizeof(buf));

    bld = OSSL_PARAM_BLD_new();

    if (d && bld
        && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
                                           a->group, 0)
        && OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY,
                                            point, 1 + 2 * size)
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d))
    {
        pkey = ngx_apigw_cli_token_build("EC", bld);
    }

    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(d);

    return pkey;
}


static EVP_PKEY *
ngx_apigw_cli_token_read_okp(json_t *jwk, const ngx_apigw_cli_token_alg_t *a)
{
    size_t       len;
    u_char       d[64], x[64], pub[64];
    ssize_t      size;
    EVP_PKEY    *pkey;
    const char  *crv;

    size = a->size;
    crv = json_string_value(json_object_get(jwk, "crv"));

    if (crv == NULL
        || strcmp(crv, a->crv) != 0
        || ngx_apigw_cli_token_decode(jwk, "d", d, sizeof(d)) != size)
    {
        return NULL;
    }

    pkey = EVP_PKEY_new_raw_private_key_ex(NULL, a->type, NULL, d, size);
    OPENSSL_cleanse(d, sizeof(d));

    len = sizeof(pub);

    if (pkey
        && (ngx_apigw_cli_token_decode(jwk, "x", x, sizeof(x)) != size
            || EVP_PKEY_get_raw_public_key(pkey, pub, &len) != 1
            || ngx_memcmp(x, pub, size) != 0))
    {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    return pkey;
}


/* Both halves have to belong together. */

static EVP_PKEY *
ngx_apigw_cli_token_build(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY      *pkey;
    OSSL_PARAM    *params;
    EVP_PKEY_CTX  *ctx, *check;

    pkey = NULL;
    check = NULL;

    params = OSSL_PARAM_BLD_to_param(bld);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (params && ctx
        && EVP_PKEY_fromdata_init(ctx) == 1
        && EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) == 1)
    {
        check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    }

    if (pkey && (check == NULL || EVP_PKEY_pairwise_check(check) != 1)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);

    return pkey;
}


static const char *
ngx_apigw_cli_token_read_pem(ngx_apigw_cli_token_key_t *key,
    const u_char *data, size_t len, ngx_apigw_jwa_t alg)
{
    BIO                              *bio;
    char                              group[32];
    ngx_uint_t                        fits;
    const ngx_apigw_cli_token_alg_t  *a;

    bio = BIO_new_mem_buf(len ? (const void *) data : "", (int) len);

    if (bio) {
        key->pkey = PEM_read_bio_PrivateKey(bio, NULL,
                                            ngx_apigw_cli_token_no_password,
                                            NULL);
        BIO_free(bio);
    }

    if (key->pkey == NULL) {
        return "neither a private JWK nor a PEM text of a private key without "
               "password";
    }

    group[0] = '\0';
    (void) EVP_PKEY_get_group_name(key->pkey, group, sizeof(group), NULL);

    for (a = ngx_apigw_cli_token_algs; a->alg; a++) {

        fits = a->type && EVP_PKEY_is_a(key->pkey, a->type)
               && (a->group == NULL || strcmp(a->group, group) == 0);

        if (fits && (alg == 0 || (alg & a->alg))) {
            key->bit = a->alg;
            key->alg = alg ? alg : (a->alg & NGX_APIGW_JWA_EDDSA)
                                   ? NGX_APIGW_JWA_EDDSA : a->alg;
            return NULL;
        }
    }

    return "it does not fit the algorithm";
}


static int
ngx_apigw_cli_token_no_password(char *buf, int size, int rwflag, void *data)
{
    return -1;
}


char *
ngx_apigw_cli_token_key_sign(const ngx_apigw_cli_token_key_t *key,
    json_t *header, json_t *claims)
{
    char                             *token;
    const char                       *typ;
    const ngx_apigw_cli_token_alg_t  *a;

    a = ngx_apigw_cli_token_alg(key->bit);

    if (key->kid
        && json_object_set_new(header, "kid", json_string(key->kid)) != 0)
    {
        return NULL;
    }

    typ = json_string_value(json_object_get(header, "typ"));

    if (a->libjwt != JWT_ALG_NONE && typ && strcmp(typ, "JWT") == 0) {
        token = ngx_apigw_cli_token_libjwt(key, a, header, claims);

    } else {
        token = ngx_apigw_cli_token_openssl(key, a, header, claims);
    }

    if (token && !ngx_apigw_cli_token_verified(key, token)) {
        free(token);
        token = NULL;
    }

    ERR_clear_error();

    return token;
}


static char *
ngx_apigw_cli_token_libjwt(const ngx_apigw_cli_token_key_t *key,
    const ngx_apigw_cli_token_alg_t *a, json_t *header, json_t *claims)
{
    BIO    *bio;
    int     rc;
    char   *token, *text, *pem;
    long    len;
    jwt_t  *jwt;

    bio = NULL;
    token = NULL;

    if (jwt_new(&jwt) != 0) {
        return NULL;
    }

    text = json_dumps(header, JSON_COMPACT);
    rc = text ? jwt_add_headers_json(jwt, text) : ENOMEM;
    free(text);

    if (rc == 0) {
        text = json_dumps(claims, JSON_COMPACT);
        rc = text ? jwt_add_grants_json(jwt, text) : ENOMEM;
        free(text);
    }

    if (rc == 0 && key->pkey == NULL) {
        rc = jwt_set_alg(jwt, a->libjwt, key->secret, (int) key->secret_len);

    } else if (rc == 0) {
        bio = BIO_new(BIO_s_secmem());

        if (bio && PEM_write_bio_PrivateKey(bio, key->pkey, NULL, NULL, 0,
                                            NULL, NULL) == 1)
        {
            len = BIO_get_mem_data(bio, &pem);
            rc = jwt_set_alg(jwt, a->libjwt, (u_char *) pem, (int) len);

        } else {
            rc = ENOMEM;
        }
    }

    if (rc == 0) {
        token = jwt_encode_str(jwt);
    }

    jwt_free(jwt);
    BIO_free(bio);

    return token;
}


/* What libjwt cannot, another "typ" than "JWT" among it. */

static char *
ngx_apigw_cli_token_openssl(const ngx_apigw_cli_token_key_t *key,
    const ngx_apigw_cli_token_alg_t *a, json_t *header, json_t *claims)
{
    char                 *text[2];
    size_t                i, len;
    u_char                signature[NGX_APIGW_CLI_TOKEN_NUMBER], *p;
    ngx_apigw_cli_buf_t   b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    if (json_object_set_new(header, "alg",
                            json_string(ngx_apigw_jwa_name(key->alg))) != 0)
    {
        return NULL;
    }

    text[0] = json_dumps(header, JSON_COMPACT);
    text[1] = json_dumps(claims, JSON_COMPACT);

    for (i = 0; i < 2 && text[i]; i++) {
        len = strlen(text[i]);

        p = ngx_apigw_cli_alloc(ngx_apigw_base64_encoded(len));
        (void) ngx_apigw_base64_encode(p, (u_char *) text[i], len);

        if (i) {
            ngx_apigw_cli_buf_puts(&b, ".");
        }

        ngx_apigw_cli_buf_add(&b, p, ngx_apigw_base64_encoded(len));
        free(p);
    }

    free(text[0]);
    free(text[1]);

    if (i < 2 || ngx_apigw_cli_token_sign_raw(key, a, &b, signature, &len)
                 != NGX_OK)
    {
        ngx_apigw_cli_buf_free(&b);
        return NULL;
    }

    p = ngx_apigw_cli_alloc(ngx_apigw_base64_encoded(len));
    (void) ngx_apigw_base64_encode(p, signature, len);

    ngx_apigw_cli_buf_puts(&b, ".");
    ngx_apigw_cli_buf_add(&b, p, ngx_apigw_base64_encoded(len));
    ngx_apigw_cli_buf_add(&b, "", 1);
    free(p);

    return (char *) b.data;
}


static ngx_int_t
ngx_apigw_cli_token_sign_raw(const ngx_apigw_cli_token_key_t *key,
    const ngx_apigw_cli_token_alg_t *a, const ngx_apigw_cli_buf_t *input,
    u_char *signature, size_t *len)
{
    u_char         der[160], *p;
    ngx_int_t      rc;
    EVP_MD_CTX    *ctx;
    EVP_PKEY_CTX  *pctx;

    if (key->pkey == NULL) {
        p = EVP_Q_mac(NULL, "HMAC", NULL, a->md, NULL, key->secret,
                      key->secret_len, input->data, input->len, signature,
                      NGX_APIGW_CLI_TOKEN_NUMBER, len);

        return p ? NGX_OK : NGX_ERROR;
    }

    rc = NGX_ERROR;
    ctx = EVP_MD_CTX_new();

    if (ctx == NULL
        || EVP_DigestSignInit_ex(ctx, &pctx, a->md, NULL, NULL, key->pkey,
                                 NULL)
           != 1)
    {
        goto done;
    }

    if ((a->alg & NGX_APIGW_JWA_PS)
        && (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1
            || EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST)
               != 1))
    {
        goto done;
    }

    if (a->group == NULL) {
        *len = NGX_APIGW_CLI_TOKEN_NUMBER;
        rc = (EVP_DigestSign(ctx, signature, len, input->data, input->len)
              == 1) ? NGX_OK : NGX_ERROR;
        goto done;
    }

    *len = sizeof(der);

    if (EVP_DigestSign(ctx, der, len, input->data, input->len) == 1) {
        rc = ngx_apigw_cli_token_ecdsa(der, a->size, signature, len);
    }

done:

    EVP_MD_CTX_free(ctx);

    return rc;
}


/* r and s in their full size, from DER. */

static ngx_int_t
ngx_apigw_cli_token_ecdsa(const u_char *der, size_t size, u_char *signature,
    size_t *len)
{
    int         r, s;
    ECDSA_SIG  *sig;

    sig = d2i_ECDSA_SIG(NULL, &der, (long) *len);

    if (sig == NULL) {
        return NGX_ERROR;
    }

    r = BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, (int) size);
    s = BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + size, (int) size);

    ECDSA_SIG_free(sig);

    *len = 2 * size;

    return (r != -1 && s != -1) ? NGX_OK : NGX_ERROR;
}


/* As nginx will. */

static ngx_uint_t
ngx_apigw_cli_token_verified(const ngx_apigw_cli_token_key_t *key,
    const char *token)
{
    char                      *text, error[NGX_APIGW_JWKS_ERROR];
    json_t                    *jwk;
    ngx_apigw_jws_t            jws;
    ngx_apigw_jwks_t          *jwks;
    ngx_apigw_jws_rc_e         rc;
    ngx_apigw_jws_verifier_t  *v;

    jwk = ngx_apigw_cli_token_key_jwk(key, 0);
    text = jwk ? json_dumps(jwk, JSON_COMPACT) : NULL;
    jwks = NULL;

    if (text) {
        jwks = ngx_apigw_jwks_parse((u_char *) text, strlen(text),
                                    NGX_APIGW_JWKS_JSON,
                                    NGX_APIGW_JWKS_SECRETS, error);
        OPENSSL_cleanse(text, strlen(text));
        free(text);
    }

    ngx_apigw_jwk_wipe(jwk);
    json_decref(jwk);

    if (jwks == NULL) {
        return 0;
    }

    v = ngx_apigw_jws_verifier_create();
    rc = ngx_apigw_jws_parse(&jws, (u_char *) token, strlen(token));

    if (v && rc == NGX_APIGW_JWS_OK) {
        rc = ngx_apigw_jws_verify(v, &jws, &jwks, 1, key->alg);
    }

    ngx_apigw_jws_clear(&jws);
    ngx_apigw_jwks_free(jwks);
    ngx_apigw_jws_verifier_free(v);

    return v && rc == NGX_APIGW_JWS_OK;
}


void
ngx_apigw_cli_token_key_clear(ngx_apigw_cli_token_key_t *key)
{
    if (key->secret) {
        OPENSSL_cleanse(key->secret, key->secret_len);
    }

    free(key->secret);
    free(key->kid);
    EVP_PKEY_free(key->pkey);
    ngx_memzero(key, sizeof(ngx_apigw_cli_token_key_t));
}
