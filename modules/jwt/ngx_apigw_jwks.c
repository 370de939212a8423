/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "ngx_apigw_jwk.h"


typedef struct {
    ngx_apigw_jwks_t        *jwks;
    ngx_uint_t               flags;
    ngx_uint_t               allocated;   /* keys */
    ngx_uint_t               number;      /* of the key in its source, from 1 */
    char                    *error;
} ngx_apigw_jwks_parser_t;


static ngx_int_t ngx_apigw_jwks_parse_json(ngx_apigw_jwks_parser_t *ps,
    const u_char *data, size_t len, ngx_apigw_jwks_format_e format);
static ngx_int_t ngx_apigw_jwks_parse_keys(ngx_apigw_jwks_parser_t *ps,
    json_t *keys);
static ngx_int_t ngx_apigw_jwks_parse_keyval(ngx_apigw_jwks_parser_t *ps,
    json_t *root);
static ngx_int_t ngx_apigw_jwks_parse_pem(ngx_apigw_jwks_parser_t *ps,
    const u_char *data, size_t len);
static ngx_int_t ngx_apigw_jwks_add(ngx_apigw_jwks_parser_t *ps, ngx_int_t rc,
    ngx_apigw_jwk_t *key, const ngx_str_t *kid, const char *why);
static void ngx_apigw_jwks_bad(ngx_apigw_jwks_parser_t *ps,
    const ngx_str_t *kid, const char *why);
static ngx_int_t ngx_apigw_jwks_keep(ngx_apigw_jwks_parser_t *ps,
    ngx_apigw_jwk_t *key, const ngx_str_t *kid);
static ngx_int_t ngx_apigw_jwks_done(ngx_apigw_jwks_parser_t *ps);
static int ngx_libc_cdecl ngx_apigw_jwks_cmp(const void *one,
    const void *two);
static ngx_int_t ngx_apigw_jwks_cmp_kid(const ngx_str_t *a,
    const ngx_str_t *b);
static void ngx_apigw_jwks_error(char *error, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


ngx_apigw_jwks_t *
ngx_apigw_jwks_parse(const u_char *data, size_t len,
    ngx_apigw_jwks_format_e format, ngx_uint_t flags, char *error)
{
    size_t                   i;
    ngx_int_t                rc;
    ngx_uint_t               any;
    ngx_apigw_jwks_parser_t  ps;

    error[0] = '\0';

    if (len > NGX_APIGW_JWKS_SIZE_MAX) {
        ngx_apigw_jwks_error(error, "larger than %d bytes",
                             NGX_APIGW_JWKS_SIZE_MAX);
        return NULL;
    }

    ngx_memzero(&ps, sizeof(ngx_apigw_jwks_parser_t));

    ps.flags = flags;
    ps.error = error;

    ps.jwks = calloc(1, sizeof(ngx_apigw_jwks_t));

    if (ps.jwks == NULL) {
        ngx_apigw_jwks_error(error, "no memory");
        return NULL;
    }

    ps.jwks->references = 1;

    any = (format == NGX_APIGW_JWKS_ANY);

    if (any) {
        for (i = 0; i < len && data[i] <= ' '; i++) { /* void */ }

        format = (i < len && data[i] == '{') ? NGX_APIGW_JWKS_JSON
                                             : NGX_APIGW_JWKS_PEM;
    }

    if (format == NGX_APIGW_JWKS_PEM) {
        rc = ngx_apigw_jwks_parse_pem(&ps, data, len);

        if (rc == NGX_OK && ps.number == 0) {
            ngx_apigw_jwks_error(error, "%sno public key or certificate as "
                                 "PEM", any ? "neither a JSON object nor PEM: "
                                            : "");
            rc = NGX_ABORT;
        }

    } else {
        rc = ngx_apigw_jwks_parse_json(&ps, data, len, format);
    }

    ERR_clear_error();

    if (rc == NGX_OK) {
        rc = ngx_apigw_jwks_done(&ps);
    }

    if (rc != NGX_OK) {
        if (error[0] == '\0') {
            ngx_apigw_jwks_error(error, "no memory");
        }

        ngx_apigw_jwks_free(ps.jwks);
        return NULL;
    }

    return ps.jwks;
}


static ngx_int_t
ngx_apigw_jwks_parse_json(ngx_apigw_jwks_parser_t *ps, const u_char *data,
    size_t len, ngx_apigw_jwks_format_e format)
{
    json_t        *root, *keys;
    ngx_int_t      rc;
    json_error_t   err;

    root = json_loadb((const char *) data, len, JSON_REJECT_DUPLICATES, &err);

    if (root == NULL) {

        /* not err.text, which may have a part of a secret in it */

        ngx_apigw_jwks_error(ps->error, "invalid JSON in line %d%s", err.line,
                             json_error_code(&err) == json_error_duplicate_key
                             ? ": a member occurs twice" : "");
        return NGX_ABORT;
    }

    if (!json_is_object(root)) {
        ngx_apigw_jwks_error(ps->error, "not a JSON object");
        rc = NGX_ABORT;

    } else if (format == NGX_APIGW_JWKS_KEYVAL) {
        rc = ngx_apigw_jwks_parse_keyval(ps, root);

    } else {
        keys = json_object_get(root, "keys");

        if (keys == NULL && json_object_get(root, "kty")) {
            keys = json_pack("[O]", root);

            if (keys == NULL) {
                rc = NGX_ERROR;

            } else {
                rc = ngx_apigw_jwks_parse_keys(ps, keys);
                json_decref(keys);
            }

        } else if (!json_is_array(keys)) {
            ngx_apigw_jwks_error(ps->error, "no array \"keys\"");
            rc = NGX_ABORT;

        } else {
            rc = ngx_apigw_jwks_parse_keys(ps, keys);
        }
    }

    ngx_apigw_jwk_wipe(root);
    json_decref(root);

    return rc;
}


static ngx_int_t
ngx_apigw_jwks_parse_keys(ngx_apigw_jwks_parser_t *ps, json_t *keys)
{
    size_t            i;
    json_t           *jwk, *value;
    ngx_int_t         rc;
    ngx_str_t         kid;
    const char       *why;
    ngx_apigw_jwk_t   key;

    json_array_foreach(keys, i, jwk) {

        ps->number = i + 1;

        ngx_str_null(&kid);
        ngx_memzero(&key, sizeof(ngx_apigw_jwk_t));
        why = "not an object";
        rc = NGX_ABORT;

        if (json_is_object(jwk)) {
            value = json_object_get(jwk, "kid");

            if (value && !json_is_string(value)) {
                why = "\"kid\" is not a string";

            } else {
                kid.data = (u_char *) json_string_value(value);
                kid.len = json_string_length(value);
                rc = ngx_apigw_jwk_parse(jwk, ps->flags, &key, &why);
            }
        }

        rc = ngx_apigw_jwks_add(ps, rc, &key, &kid, why);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_jwks_parse_keyval(ngx_apigw_jwks_parser_t *ps, json_t *root)
{
    json_t           *value;
    ngx_int_t         rc;
    ngx_str_t         kid;
    const char       *name, *why;
    ngx_apigw_jwk_t   key;

    why = NULL;

    json_object_foreach(root, name, value) {

        kid.data = (u_char *) name;
        kid.len = strlen(name);

        ngx_memzero(&key, sizeof(ngx_apigw_jwk_t));
        ps->number++;

        if (json_is_string(value)) {
            rc = ngx_apigw_jwk_parse_pem(
                                     (const u_char *) json_string_value(value),
                                     json_string_length(value), &key, &why);

        } else if (json_is_object(value)) {
            rc = ngx_apigw_jwk_parse(value, ps->flags, &key, &why);

        } else {
            why = "neither a PEM text nor a JWK";
            rc = NGX_ABORT;
        }

        rc = ngx_apigw_jwks_add(ps, rc, &key, &kid, why);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_jwks_parse_pem(ngx_apigw_jwks_parser_t *ps, const u_char *data,
    size_t len)
{
    BIO              *bio;
    EVP_PKEY         *pkey;
    ngx_int_t         rc;
    ngx_str_t         kid;
    const char       *why;
    ngx_apigw_jwk_t   key;

    ngx_str_null(&kid);

    bio = BIO_new_mem_buf(len ? (const void *) data : "", (int) len);

    if (bio == NULL) {
        return NGX_ERROR;
    }

    for ( ;; ) {
        why = NULL;
        rc = ngx_apigw_jwk_pem_next(bio, &pkey, &why);

        if (rc == NGX_DONE) {
            rc = NGX_OK;
            break;
        }

        ps->number++;
        ngx_memzero(&key, sizeof(ngx_apigw_jwk_t));

        if (rc == NGX_OK) {
            rc = ngx_apigw_jwk_from_pkey(pkey, &key, &why);
            EVP_PKEY_free(pkey);
        }

        rc = ngx_apigw_jwks_add(ps, rc, &key, &kid, why);

        if (rc != NGX_OK) {
            break;
        }
    }

    BIO_free(bio);

    return rc;
}


static ngx_int_t
ngx_apigw_jwks_add(ngx_apigw_jwks_parser_t *ps, ngx_int_t rc,
    ngx_apigw_jwk_t *key, const ngx_str_t *kid, const char *why)
{
    ngx_uint_t         max;
    ngx_apigw_jwks_t  *jwks;

    ERR_clear_error();

    jwks = ps->jwks;

    max = (ps->flags & NGX_APIGW_JWKS_STRICT) ? NGX_APIGW_JWKS_KEYS_MAX
                                              : NGX_APIGW_JWKS_KEYS_FEW;

    if (jwks->nkeys + jwks->skipped + jwks->bad == max) {
        ngx_apigw_jwks_error(ps->error, "more than %d keys", (int) max);
        ngx_apigw_jwk_clear(key);
        return NGX_ABORT;
    }

    if (rc == NGX_DECLINED) {
        jwks->skipped++;
        return NGX_OK;
    }

    if (rc == NGX_OK && kid->data
        && (kid->len == 0 || kid->len > NGX_APIGW_JWK_KID_MAX))
    {
        why = "\"kid\" is empty or too long";
        rc = NGX_ABORT;
    }

    if (rc == NGX_OK) {
        rc = ngx_apigw_jwks_keep(ps, key, kid);
    }

    if (rc != NGX_OK) {
        ngx_apigw_jwk_clear(key);
    }

    if (rc != NGX_ABORT) {
        return rc;
    }

    ngx_apigw_jwks_bad(ps, kid, why);

    if (ps->flags & NGX_APIGW_JWKS_STRICT) {
        return NGX_ABORT;
    }

    if (jwks->bad++ == 0) {
        ngx_memcpy(jwks->warning, ps->error, NGX_APIGW_JWKS_ERROR);
    }

    ps->error[0] = '\0';

    return NGX_OK;
}


static void
ngx_apigw_jwks_bad(ngx_apigw_jwks_parser_t *ps, const ngx_str_t *kid,
    const char *why)
{
    char    name[64];
    size_t  i, n;

    n = 0;

    if (kid->data) {
        n = ngx_min(kid->len, sizeof(name) - 1);

        for (i = 0; i < n; i++) {
            name[i] = (kid->data[i] < ' ' || kid->data[i] == 0x7f)
                      ? '?' : (char) kid->data[i];
        }
    }

    name[n] = '\0';

    ngx_apigw_jwks_error(ps->error, "key %d%s%s%s: %s", (int) ps->number,
                         n ? ", \"" : "", name, n ? "\"" : "", why);
}


/* The key becomes the set's; on failure it stays the caller's. */

static ngx_int_t
ngx_apigw_jwks_keep(ngx_apigw_jwks_parser_t *ps, ngx_apigw_jwk_t *key,
    const ngx_str_t *kid)
{
    ngx_uint_t         n;
    ngx_apigw_jwk_t   *keys;
    ngx_apigw_jwks_t  *jwks;

    jwks = ps->jwks;

    if (jwks->nkeys == ps->allocated) {

        n = ps->allocated ? ps->allocated * 2 : 4;
        keys = realloc(jwks->keys, n * sizeof(ngx_apigw_jwk_t));

        if (keys == NULL) {
            return NGX_ERROR;
        }

        jwks->keys = keys;
        ps->allocated = n;
    }

    if (kid->data) {
        key->kid.data = malloc(kid->len);

        if (key->kid.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(key->kid.data, kid->data, kid->len);
        key->kid.len = kid->len;
    }

    jwks->keys[jwks->nkeys++] = *key;

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_jwks_done(ngx_apigw_jwks_parser_t *ps)
{
    ngx_uint_t         i;
    ngx_apigw_jwks_t  *jwks;

    jwks = ps->jwks;

    if (jwks->nkeys == 0) {
        ngx_apigw_jwks_error(ps->error, "no key that verifies signatures%s%s",
                             jwks->bad ? "; " : "", jwks->warning);
        return NGX_ABORT;
    }

    qsort(jwks->keys, jwks->nkeys, sizeof(ngx_apigw_jwk_t),
          ngx_apigw_jwks_cmp);

    for (i = 0; i < jwks->nkeys; i++) {
        jwks->alg |= jwks->keys[i].alg;

        if (jwks->keys[i].kid.data == NULL) {
            jwks->anonymous++;
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_apigw_jwks_cmp(const void *one, const void *two)
{
    const ngx_apigw_jwk_t  *a, *b;

    a = one;
    b = two;

    return (int) ngx_apigw_jwks_cmp_kid(&a->kid, &b->kid);
}


/* No kid is less than every kid, since none of them is empty. */

static ngx_int_t
ngx_apigw_jwks_cmp_kid(const ngx_str_t *a, const ngx_str_t *b)
{
    if (a->len != b->len) {
        return (a->len < b->len) ? -1 : 1;
    }

    return a->len ? ngx_memcmp(a->data, b->data, a->len) : 0;
}


static void
ngx_apigw_jwks_error(char *error, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(error, NGX_APIGW_JWKS_ERROR, fmt, args);
    va_end(args);
}


ngx_apigw_jwks_t *
ngx_apigw_jwks_ref(ngx_apigw_jwks_t *jwks)
{
    jwks->references++;

    return jwks;
}


void
ngx_apigw_jwks_free(ngx_apigw_jwks_t *jwks)
{
    ngx_uint_t  i;

    if (jwks == NULL || --jwks->references) {
        return;
    }

    for (i = 0; i < jwks->nkeys; i++) {
        ngx_apigw_jwk_clear(&jwks->keys[i]);
    }

    free(jwks->keys);
    free(jwks);
}


ngx_apigw_jwk_t *
ngx_apigw_jwks_find(const ngx_apigw_jwks_t *jwks, const ngx_str_t *kid,
    ngx_uint_t *n)
{
    ngx_uint_t  low, high, middle;

    low = jwks->anonymous;
    high = jwks->nkeys;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (ngx_apigw_jwks_cmp_kid(&jwks->keys[middle].kid, kid) < 0) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    for (high = low; high < jwks->nkeys; high++) {
        if (ngx_apigw_jwks_cmp_kid(&jwks->keys[high].kid, kid) != 0) {
            break;
        }
    }

    *n = high - low;

    return *n ? &jwks->keys[low] : NULL;
}
