/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "ngx_apigw_base64.h"
#include "ngx_apigw_jws.h"


#define NGX_APIGW_JWS_HASHES     3
#define NGX_APIGW_JWS_KEPT       8
#define NGX_APIGW_JWS_KEPT_TEXT  512
#define NGX_APIGW_JWS_COORD_MAX  66

/* SEQUENCE, two INTEGERs, each with a zero in front */

#define NGX_APIGW_JWS_DER_MAX    (4 + 2 * (4 + 1 + NGX_APIGW_JWS_COORD_MAX))


/* A header that was right once; the strings are in it. */

typedef struct {
    u_char                   text[NGX_APIGW_JWS_KEPT_TEXT];
    size_t                   len;
    json_t                  *header;         /* NULL: free */
    ngx_apigw_jwa_t          alg;
    ngx_str_t                alg_name;
    ngx_str_t                kid;
    ngx_str_t                typ;
} ngx_apigw_jws_kept_t;


struct ngx_apigw_jws_verifier_s {
    EVP_MD                  *md[NGX_APIGW_JWS_HASHES];
    EVP_MD_CTX              *md_ctx;
    EVP_MAC                 *hmac;

    ngx_apigw_jws_kept_t     kept[NGX_APIGW_JWS_KEPT];
    ngx_uint_t               next;           /* to be replaced */
};


typedef struct {
    ngx_uint_t               hash;        /* of verifier->md */
    size_t                   size;        /* of the signature; of RSA 0 */
    ngx_uint_t               pss;
} ngx_apigw_jws_alg_t;


static ngx_uint_t ngx_apigw_jws_kept(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws);
static void ngx_apigw_jws_keep(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws);
static ngx_apigw_jws_rc_e ngx_apigw_jws_split(ngx_apigw_jws_t *jws,
    const u_char *token, size_t len, ngx_str_t *part);
static ngx_apigw_jws_rc_e ngx_apigw_jws_header(ngx_apigw_jws_t *jws,
    const u_char *data, size_t len);
static ngx_apigw_jws_rc_e ngx_apigw_jws_header_known(ngx_apigw_jws_t *jws);
static ngx_int_t ngx_apigw_jws_header_text(ngx_apigw_jws_t *jws,
    const char *name, ngx_str_t *text);
static ngx_apigw_jws_rc_e ngx_apigw_jws_bad(ngx_apigw_jws_t *jws,
    const char *why);
static ngx_uint_t ngx_apigw_jws_media_type(const ngx_str_t *value,
    const ngx_str_t *type);

static ngx_apigw_jws_rc_e ngx_apigw_jws_try_all(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws, ngx_apigw_jwk_t *keys, ngx_uint_t n,
    ngx_apigw_jwa_t alg, ngx_uint_t *tries);
static ngx_apigw_jws_rc_e ngx_apigw_jws_try(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws, ngx_apigw_jwk_t *key, ngx_apigw_jwa_t alg);
static ngx_apigw_jws_rc_e ngx_apigw_jws_hmac(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws, ngx_apigw_jwk_t *key, ngx_uint_t i);
static ngx_apigw_jws_rc_e ngx_apigw_jws_eddsa(ngx_apigw_jws_t *jws,
    ngx_apigw_jwk_t *key, ngx_uint_t i);
static ngx_apigw_jws_rc_e ngx_apigw_jws_hashed(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jws_t *jws, ngx_apigw_jwk_t *key, ngx_uint_t i);
static EVP_PKEY_CTX *ngx_apigw_jws_pkey_ctx(ngx_apigw_jws_verifier_t *v,
    ngx_apigw_jwk_t *key, ngx_uint_t i);
static size_t ngx_apigw_jws_der(u_char *der, const ngx_str_t *signature);
static u_char *ngx_apigw_jws_der_integer(u_char *p, const u_char *n,
    size_t len);


/* By number of the bit. */

static const ngx_apigw_jws_alg_t
    ngx_apigw_jws_algs[NGX_APIGW_JWA_NUMBER] =
{
    { 0, 32, 0 }, { 1, 48, 0 }, { 2, 64, 0 },           /* HS */
    { 0, 0, 0 }, { 1, 0, 0 }, { 2, 0, 0 },              /* RS */
    { 0, 0, 1 }, { 1, 0, 1 }, { 2, 0, 1 },              /* PS */
    { 0, 64, 0 }, { 1, 96, 0 }, { 2, 132, 0 },          /* ES */
    { 0, 64, 0 },                                       /* ES256K */
    { 0, 64, 0 }, { 0, 114, 0 }                         /* Ed25519, Ed448 */
};


static const char  *ngx_apigw_jws_hashes[NGX_APIGW_JWS_HASHES] = {
    "SHA256", "SHA384", "SHA512"
};


/*
 * Members of a header that say how the token is to be read, or bring a key:
 * what they ask for is not done here, so they must not be passed over.
 */

static const char  *ngx_apigw_jws_refused[] = {
    "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", NULL
};


ngx_apigw_jws_verifier_t *
ngx_apigw_jws_verifier_create(void)
{
    ngx_uint_t                 i;
    ngx_apigw_jws_verifier_t  *v;

    v = calloc(1, sizeof(ngx_apigw_jws_verifier_t));

    if (v == NULL) {
        return NULL;
    }

    v->md_ctx = EVP_MD_CTX_new();
    v->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

    if (v->md_ctx == NULL || v->hmac == NULL) {
        goto failed;
    }

    for (i = 0; i < NGX_APIGW_JWS_HASHES; i++) {
        v->md[i] = EVP_MD_fetch(NULL, ngx_apigw_jws_hashes[i], NULL);

        if (v->md[i] == NULL) {
            goto failed;
        }
    }

    return v;

failed:

    ERR_clear_error();
    ngx_apigw_jws_verifier_free(v);

    return NULL;
}


void
ngx_apigw_jws_verifier_free(ngx_apigw_jws_verifier_t *v)
{
    ngx_uint_t  i;

    if (v == NULL) {
        return;
    }

    for (i = 0; i < NGX_APIGW_JWS_HASHES; i++) {
        EVP_MD_free(v->md[i]);
    }

    for (i = 0; i < NGX_APIGW_JWS_KEPT; i++) {
        json_decref(v->kept[i].header);
    }

    EVP_MD_CTX_free(v->md_ctx);
    EVP_MAC_free(v->hmac);
    free(v);
}


ngx_apigw_jws_rc_e
ngx_apigw_jws_parse(ngx_apigw_jws_t *jws, const u_char *token, size_t len)
{
    return ngx_apigw_jws_parse_by(NULL, jws, token, len);
}


ngx_apigw_jws_rc_e
ngx_apigw_jws_parse_by(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws,
    const u_char *token, size_t len)
{
    u_char              *p;
    ssize_t              n;
    ngx_str_t            part[3];
    ngx_apigw_jws_rc_e   rc;

    ngx_memzero(jws, sizeof(ngx_apigw_jws_t));

    rc = ngx_apigw_jws_split(jws, token, len, part);

    if (rc != NGX_APIGW_JWS_OK) {
        return rc;
    }

    jws->memory = malloc(len);

    if (jws->memory == NULL) {
        jws->why = "no memory";
        return NGX_APIGW_JWS_ERROR;
    }

    p = jws->memory;
    jws->header_text = part[0];

    if (v == NULL || !ngx_apigw_jws_kept(v, jws)) {

        n = ngx_apigw_base64_decode(p, part[0].data, part[0].len);

        if (n == NGX_ERROR) {
            return ngx_apigw_jws_bad(jws, "the header is no base64url");
        }

        rc = ngx_apigw_jws_header(jws, p, n);

        if (rc != NGX_APIGW_JWS_OK) {
            return rc;
        }
    }

    /* the header is in jws->header now */

    n = ngx_apigw_base64_decode(p, part[1].data, part[1].len);

    if (n == NGX_ERROR) {
        return ngx_apigw_jws_bad(jws, "the payload is no base64url");
    }

    jws->payload.data = p;
    jws->payload.len = n;

    p += n;

    n = ngx_apigw_base64_decode(p, part[2].data, part[2].len);

    if (n == NGX_ERROR) {
        return ngx_apigw_jws_bad(jws, "the signature is no base64url");
    }

    jws->signature.data = p;
    jws->signature.len = n;

    return NGX_APIGW_JWS_OK;
}


static ngx_uint_t
ngx_apigw_jws_kept(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws)
{
    ngx_uint_t             i;
    ngx_apigw_jws_kept_t  *kept;

    for (i = 0; i < NGX_APIGW_JWS_KEPT; i++) {
        kept = &v->kept[i];

        if (kept->header
            && kept->len == jws->header_text.len
            && ngx_memcmp(kept->text, jws->header_text.data, kept->len) == 0)
        {
            jws->header = json_incref(kept->header);
            jws->alg = kept->alg;
            jws->alg_name = kept->alg_name;
            jws->kid = kept->kid;
            jws->typ = kept->typ;

            return 1;
        }
    }

    return 0;
}


/* Only of a token that was verified: nobody else can push others out. */

static void
ngx_apigw_jws_keep(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws)
{
    ngx_uint_t             i;
    ngx_apigw_jws_kept_t  *kept;

    if (jws->header_text.len > NGX_APIGW_JWS_KEPT_TEXT) {
        return;
    }

    for (i = 0; i < NGX_APIGW_JWS_KEPT; i++) {
        if (v->kept[i].header == jws->header) {
            return;
        }
    }

    kept = &v->kept[v->next++ % NGX_APIGW_JWS_KEPT];

    json_decref(kept->header);

    ngx_memcpy(kept->text, jws->header_text.data, jws->header_text.len);
    kept->len = jws->header_text.len;
    kept->header = json_incref(jws->header);
    kept->alg = jws->alg;
    kept->alg_name = jws->alg_name;
    kept->kid = jws->kid;
    kept->typ = jws->typ;
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_split(ngx_apigw_jws_t *jws, const u_char *token, size_t len,
    ngx_str_t *part)
{
    size_t         left;
    ngx_uint_t     i;
    const u_char  *p, *dot;

    if (len > NGX_APIGW_JWS_TOKEN_MAX) {
        return ngx_apigw_jws_bad(jws, "the token is too long");
    }

    p = token;
    left = len;

    for (i = 0; i < 2; i++) {
        dot = left ? memchr(p, '.', left) : NULL;

        if (dot == NULL) {
            return ngx_apigw_jws_bad(jws, "less than three parts");
        }

        part[i].data = (u_char *) p;
        part[i].len = dot - p;

        left -= part[i].len + 1;
        p = dot + 1;
    }

    part[2].data = (u_char *) p;
    part[2].len = left;

    if (left && memchr(p, '.', left)) {
        return ngx_apigw_jws_bad(jws, "more than three parts");
    }

    if (part[0].len == 0 || part[1].len == 0 || part[2].len == 0) {
        return ngx_apigw_jws_bad(jws, "an empty part");
    }

    if (part[0].len > NGX_APIGW_JWS_HEADER_MAX
        || ngx_apigw_base64_decoded(part[2].len) > NGX_APIGW_JWS_SIGNATURE_MAX)
    {
        return ngx_apigw_jws_bad(jws, "header or signature is too long");
    }

    jws->signed_part.data = (u_char *) token;
    jws->signed_part.len = part[0].len + 1 + part[1].len;

    return NGX_APIGW_JWS_OK;
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_header(ngx_apigw_jws_t *jws, const u_char *data, size_t len)
{
    json_t              *alg;
    ngx_str_t            cty;
    json_error_t         err;
    ngx_apigw_jws_rc_e   rc;

    static const ngx_str_t  jwt = ngx_string("JWT");

    jws->header = json_loadb((const char *) data, len, JSON_REJECT_DUPLICATES,
                             &err);

    if (!json_is_object(jws->header)) {
        return ngx_apigw_jws_bad(jws, "the header is no JSON object");
    }

    rc = ngx_apigw_jws_header_known(jws);

    if (rc != NGX_APIGW_JWS_OK) {
        return rc;
    }

    if (ngx_apigw_jws_header_text(jws, "kid", &jws->kid) != NGX_OK
        || ngx_apigw_jws_header_text(jws, "typ", &jws->typ) != NGX_OK
        || ngx_apigw_jws_header_text(jws, "cty", &cty) != NGX_OK)
    {
        return ngx_apigw_jws_bad(jws,
                                 "\"kid\", \"typ\" or \"cty\" is no string");
    }

    if (jws->kid.data
        && (jws->kid.len == 0 || jws->kid.len > NGX_APIGW_JWK_KID_MAX))
    {
        return ngx_apigw_jws_bad(jws, "\"kid\" is empty or too long");
    }

    if (cty.data && ngx_apigw_jws_media_type(&cty, &jwt)) {
        return ngx_apigw_jws_bad(jws, "a token in the token");
    }

    alg = json_object_get(jws->header, "alg");

    if (!json_is_string(alg)) {
        return ngx_apigw_jws_bad(jws, "\"alg\" is missing or no string");
    }

    jws->alg_name.data = (u_char *) json_string_value(alg);
    jws->alg_name.len = json_string_length(alg);

    jws->alg = ngx_apigw_jwa_parse(jws->alg_name.data, jws->alg_name.len);

    if (jws->alg == 0) {
        jws->why = "\"alg\" is unknown";
        return NGX_APIGW_JWS_NOALG;
    }

    return NGX_APIGW_JWS_OK;
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_header_known(ngx_apigw_jws_t *jws)
{
    const char  **p;

    for (p = ngx_apigw_jws_refused; *p; p++) {
        if (json_object_get(jws->header, *p)) {
            return ngx_apigw_jws_bad(jws, "the header has \"crit\", \"b64\", "
                                     "\"zip\", \"enc\", \"jwk\", \"jku\" or "
                                     "\"x5u\"");
        }
    }

    return NGX_APIGW_JWS_OK;
}


/* data is NULL if there is none. */

static ngx_int_t
ngx_apigw_jws_header_text(ngx_apigw_jws_t *jws, const char *name,
    ngx_str_t *text)
{
    json_t  *value;

    ngx_str_null(text);

    value = json_object_get(jws->header, name);

    if (value == NULL) {
        return NGX_OK;
    }

    if (!json_is_string(value)) {
        return NGX_ERROR;
    }

    text->data = (u_char *) json_string_value(value);
    text->len = json_string_length(value);

    return NGX_OK;
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_bad(ngx_apigw_jws_t *jws, const char *why)
{
    jws->why = why;

    return NGX_APIGW_JWS_BAD;
}


ngx_uint_t
ngx_apigw_jws_typ(const ngx_apigw_jws_t *jws, const ngx_str_t *type)
{
    return jws->typ.data && ngx_apigw_jws_media_type(&jws->typ, type);
}


static ngx_uint_t
ngx_apigw_jws_media_type(const ngx_str_t *value, const ngx_str_t *type)
{
    size_t         i, skip;
    ngx_uint_t     n;
    ngx_str_t      text[2];

    static const char  prefix[] = "application/";

    text[0] = *value;
    text[1] = *type;

    for (n = 0; n < 2; n++) {
        skip = sizeof(prefix) - 1;

        if (text[n].len < skip) {
            continue;
        }

        for (i = 0; i < skip; i++) {
            if (ngx_tolower(text[n].data[i]) != (u_char) prefix[i]) {
                break;
            }
        }

        if (i == skip) {
            text[n].data += skip;
            text[n].len -= skip;
        }
    }

    if (text[0].len != text[1].len) {
        return 0;
    }

    for (i = 0; i < text[0].len; i++) {
        if (ngx_tolower(text[0].data[i]) != ngx_tolower(text[1].data[i])) {
            return 0;
        }
    }

    return 1;
}


void
ngx_apigw_jws_clear(ngx_apigw_jws_t *jws)
{
    json_decref(jws->header);
    free(jws->memory);
    ngx_memzero(jws, sizeof(ngx_apigw_jws_t));
}


ngx_apigw_jws_rc_e
ngx_apigw_jws_verify(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws,
    ngx_apigw_jwks_t *const *sets, ngx_uint_t n, ngx_apigw_jwa_t allowed)
{
    ngx_uint_t           i, found, known, tries;
    ngx_apigw_jwk_t     *keys;
    ngx_apigw_jwa_t      alg;
    ngx_apigw_jws_rc_e   rc;

    alg = jws->alg & allowed;

    if (alg == 0) {
        jws->why = "\"alg\" is not allowed";
        return NGX_APIGW_JWS_NOALG;
    }

    known = 0;
    tries = 0;

    for (i = 0; i < n && jws->kid.data; i++) {
        keys = ngx_apigw_jwks_find(sets[i], &jws->kid, &found);

        if (found) {
            known = 1;
            rc = ngx_apigw_jws_try_all(v, jws, keys, found, alg, &tries);

            if (rc == NGX_APIGW_JWS_OK || rc == NGX_APIGW_JWS_ERROR) {
                return rc;
            }
        }
    }

    for (i = 0; i < n; i++) {
        found = jws->kid.data ? sets[i]->anonymous : sets[i]->nkeys;

        rc = ngx_apigw_jws_try_all(v, jws, sets[i]->keys, found, alg, &tries);

        if (rc == NGX_APIGW_JWS_OK || rc == NGX_APIGW_JWS_ERROR) {
            return rc;
        }
    }

    if (tries && (known || jws->kid.data == NULL)) {
        jws->why = "the signature is wrong";
        return NGX_APIGW_JWS_BADSIG;
    }

    if (known) {
        jws->why = "\"alg\" does not fit the key";
        return NGX_APIGW_JWS_NOALG;
    }

    jws->why = "the key is unknown";

    return NGX_APIGW_JWS_NOKEY;
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_try_all(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws,
    ngx_apigw_jwk_t *keys, ngx_uint_t n, ngx_apigw_jwa_t alg,
    ngx_uint_t *tries)
{
    ngx_uint_t           i;
    ngx_apigw_jwa_t      both;
    ngx_apigw_jws_rc_e   rc;

    for (i = 0; i < n && *tries < NGX_APIGW_JWS_TRIES; i++) {

        both = keys[i].alg & alg;

        if (both == 0) {
            continue;
        }

        (*tries)++;

        rc = ngx_apigw_jws_try(v, jws, &keys[i], both);

        if (rc == NGX_APIGW_JWS_OK) {
            jws->key = &keys[i];
            ngx_apigw_jws_keep(v, jws);
            return rc;
        }

        /* nothing of it must be left for who looks into the queue next */

        ERR_clear_error();

        if (rc == NGX_APIGW_JWS_ERROR) {
            jws->why = "OpenSSL failed";
            return rc;
        }
    }

    return NGX_APIGW_JWS_BADSIG;
}


/* Here alg is one bit: of two, as "EdDSA" has them, a key has one. */

static ngx_apigw_jws_rc_e
ngx_apigw_jws_try(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws,
    ngx_apigw_jwk_t *key, ngx_apigw_jwa_t alg)
{
    size_t      size;
    ngx_uint_t  i;

    for (i = 0; !(alg & 1); i++) {
        alg >>= 1;
    }

    size = ngx_apigw_jws_algs[i].size;

    if (size == 0) {
        size = (key->bits + 7) / 8;
    }

    if (jws->signature.len != size) {
        return NGX_APIGW_JWS_BADSIG;
    }

    switch (key->type) {

    case NGX_APIGW_JWK_OCT:
        return ngx_apigw_jws_hmac(v, jws, key, i);

    case NGX_APIGW_JWK_OKP:
        return ngx_apigw_jws_eddsa(jws, key, i);

    default:
        return ngx_apigw_jws_hashed(v, jws, key, i);
    }
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_hmac(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws,
    ngx_apigw_jwk_t *key, ngx_uint_t i)
{
    size_t        len;
    u_char        mac[EVP_MAX_MD_SIZE];
    OSSL_PARAM    params[2];
    EVP_MAC_CTX  *ctx;

    ctx = key->ctx[i];

    if (ctx == NULL) {
        ctx = EVP_MAC_CTX_new(v->hmac);

        if (ctx == NULL) {
            return NGX_APIGW_JWS_ERROR;
        }

        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                (char *) ngx_apigw_jws_hashes[ngx_apigw_jws_algs[i].hash], 0);
        params[1] = OSSL_PARAM_construct_end();

        if (EVP_MAC_init(ctx, key->secret, key->secret_len, params) != 1) {
            EVP_MAC_CTX_free(ctx);
            return NGX_APIGW_JWS_ERROR;
        }

        key->ctx[i] = ctx;

    } else if (EVP_MAC_init(ctx, NULL, 0, NULL) != 1) {
        return NGX_APIGW_JWS_ERROR;
    }

    if (EVP_MAC_update(ctx, jws->signed_part.data, jws->signed_part.len) != 1
        || EVP_MAC_final(ctx, mac, &len, sizeof(mac)) != 1)
    {
        return NGX_APIGW_JWS_ERROR;
    }

    if (len != jws->signature.len
        || CRYPTO_memcmp(mac, jws->signature.data, len) != 0)
    {
        return NGX_APIGW_JWS_BADSIG;
    }

    return NGX_APIGW_JWS_OK;
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_eddsa(ngx_apigw_jws_t *jws, ngx_apigw_jwk_t *key, ngx_uint_t i)
{
    if (key->ctx[i] == NULL) {
        key->ctx[i] = EVP_MD_CTX_new();

        if (key->ctx[i] == NULL) {
            return NGX_APIGW_JWS_ERROR;
        }
    }

    if (EVP_DigestVerifyInit(key->ctx[i], NULL, NULL, NULL, key->pkey) != 1) {
        return NGX_APIGW_JWS_ERROR;
    }

    if (EVP_DigestVerify(key->ctx[i], jws->signature.data, jws->signature.len,
                         jws->signed_part.data, jws->signed_part.len)
        != 1)
    {
        return NGX_APIGW_JWS_BADSIG;
    }

    return NGX_APIGW_JWS_OK;
}


static ngx_apigw_jws_rc_e
ngx_apigw_jws_hashed(ngx_apigw_jws_verifier_t *v, ngx_apigw_jws_t *jws,
    ngx_apigw_jwk_t *key, ngx_uint_t i)
{
    u_char         hash[EVP_MAX_MD_SIZE], der[NGX_APIGW_JWS_DER_MAX];
    size_t         len;
    const u_char  *signature;
    unsigned int   hash_len;

    if (key->ctx[i] == NULL) {
        key->ctx[i] = ngx_apigw_jws_pkey_ctx(v, key, i);

        if (key->ctx[i] == NULL) {
            return NGX_APIGW_JWS_ERROR;
        }
    }

    if (EVP_DigestInit_ex2(v->md_ctx, v->md[ngx_apigw_jws_algs[i].hash], NULL)
        != 1
        || EVP_DigestUpdate(v->md_ctx, jws->signed_part.data,
                            jws->signed_part.len)
           != 1
        || EVP_DigestFinal_ex(v->md_ctx, hash, &hash_len) != 1)
    {
        return NGX_APIGW_JWS_ERROR;
    }

    signature = jws->signature.data;
    len = jws->signature.len;

    if (key->type == NGX_APIGW_JWK_EC) {
        signature = der;
        len = ngx_apigw_jws_der(der, &jws->signature);
    }

    if (EVP_PKEY_verify(key->ctx[i], signature, len, hash, hash_len) != 1) {
        return NGX_APIGW_JWS_BADSIG;
    }

    return NGX_APIGW_JWS_OK;
}


static EVP_PKEY_CTX *
ngx_apigw_jws_pkey_ctx(ngx_apigw_jws_verifier_t *v, ngx_apigw_jwk_t *key,
    ngx_uint_t i)
{
    const EVP_MD               *md;
    EVP_PKEY_CTX               *ctx;
    const ngx_apigw_jws_alg_t  *alg;

    alg = &ngx_apigw_jws_algs[i];
    md = v->md[alg->hash];

    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);

    if (ctx == NULL
        || EVP_PKEY_verify_init(ctx) != 1
        || EVP_PKEY_CTX_set_signature_md(ctx, md) != 1)
    {
        goto failed;
    }

    if (key->type == NGX_APIGW_JWK_RSA
        && EVP_PKEY_CTX_set_rsa_padding(ctx, alg->pss ? RSA_PKCS1_PSS_PADDING
                                                      : RSA_PKCS1_PADDING)
           != 1)
    {
        goto failed;
    }

    if (alg->pss
        && (EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) != 1
            || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST)
               != 1))
    {
        goto failed;
    }

    return ctx;

failed:

    EVP_PKEY_CTX_free(ctx);

    return NULL;
}


/* r and s, as RFC 7518, 3.4 has them, to what OpenSSL wants. */

static size_t
ngx_apigw_jws_der(u_char *der, const ngx_str_t *signature)
{
    u_char  *p, *last;
    size_t   len, size;

    size = signature->len / 2;

    p = ngx_apigw_jws_der_integer(der + 4, signature->data, size);
    last = ngx_apigw_jws_der_integer(p, signature->data + size, size);

    len = last - (der + 4);

    if (len < 0x80) {
        ngx_memmove(der + 2, der + 4, len);
        der[0] = 0x30;
        der[1] = (u_char) len;

        return len + 2;
    }

    ngx_memmove(der + 3, der + 4, len);
    der[0] = 0x30;
    der[1] = 0x81;
    der[2] = (u_char) len;

    return len + 3;
}


static u_char *
ngx_apigw_jws_der_integer(u_char *p, const u_char *n, size_t len)
{
    while (len > 1 && *n == 0) {
        n++;
        len--;
    }

    *p++ = 0x02;
    *p++ = (u_char) (len + (*n >> 7));

    if (*n & 0x80) {
        *p++ = 0;
    }

    return ngx_cpymem(p, n, len);
}
