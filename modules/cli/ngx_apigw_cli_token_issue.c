/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "ngx_apigw_base64.h"
#include "ngx_apigw_claims.h"
#include "ngx_apigw_cli_token.h"
#include "ngx_apigw_cli_token_key.h"
#include "ngx_apigw_jwk.h"


#define NGX_APIGW_CLI_TOKEN_LIFE  3600
#define NGX_APIGW_CLI_TOKEN_JTI   16


static const char *ngx_apigw_cli_token_set_alg(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
static const char *ngx_apigw_cli_token_set_claim(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);

static int ngx_apigw_cli_token_keygen_check(ngx_apigw_cli_t *cli,
    ngx_apigw_jwa_t alg);
static int ngx_apigw_cli_token_write(const char *name, json_t *value,
    ngx_uint_t secret);
static int ngx_apigw_cli_token_create(const char *name, mode_t mode,
    const char *text, size_t len);
static int ngx_apigw_cli_token_add(const char *name, json_t *jwk);
static json_t *ngx_apigw_cli_token_set(const char *name);
static int ngx_apigw_cli_token_print(json_t *value);

static int ngx_apigw_cli_token_read_key(ngx_apigw_cli_token_conf_t *conf,
    ngx_apigw_cli_token_key_t *key);
static json_t *ngx_apigw_cli_token_claims(ngx_apigw_cli_t *cli);
static json_t *ngx_apigw_cli_token_claims_file(ngx_str_t *name);
static ngx_int_t ngx_apigw_cli_token_claims_default(ngx_apigw_cli_t *cli,
    json_t *claims);
static ngx_int_t ngx_apigw_cli_token_claims_check(ngx_apigw_cli_t *cli,
    json_t *claims);
static ngx_int_t ngx_apigw_cli_token_claim(json_t *claims,
    ngx_apigw_cli_token_claim_t *claim);
static ngx_int_t ngx_apigw_cli_token_repeated(json_t *claims,
    const char *name, json_t *value);


const ngx_apigw_cli_option_t  ngx_apigw_cli_token_keygen_options[] = {
    { "out", "FILE", "where the private key goes, a JWK that only its\n"
                     "owner may read; the file must not exist",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(out) },
    { "jwks", "FILE", "adds the public key to this set instead of printing\n"
                      "a set; made if it does not exist",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(jwks) },
    { "alg", "NAME", "ES256 (default), ES384, ES512, ES256K, RS256, RS384,\n"
                     "RS512, PS256, PS384, PS512, EdDSA, Ed25519, Ed448,\n"
                     "HS256, HS384 or HS512",
      ngx_apigw_cli_token_set_alg, 0 },
    { "bits", "N", "the size of an RSA key, 2048 (default) to 8192",
      ngx_apigw_cli_set_number, ngx_apigw_cli_token_offset(bits) },
    { "kid", "ID", "the id of the key; default: its thumbprint",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(kid) },
    ngx_apigw_cli_options_end
};


const ngx_apigw_cli_option_t  ngx_apigw_cli_token_issue_options[] = {
    { "key", "FILE", "the private key: a JWK or a PEM text; needed",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(key) },
    { "alg", "NAME", "the algorithm; default: the key's own, or RS256,\n"
                     "ES256 and so on by its type",
      ngx_apigw_cli_token_set_alg, 0 },
    { "kid", "ID", "the id of the key; default: its own",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(kid) },
    { "typ", "TYPE", "the type of the token, at+jwt for instance;\n"
                     "default: JWT",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(typ) },
    { "iss", "TEXT", "who issues it",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(iss) },
    { "sub", "TEXT", "whom it is about",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(sub) },
    { "aud", "TEXT", "whom it is for; may be repeated",
      ngx_apigw_cli_token_set_claim, NGX_APIGW_CLI_CLAIM_AUD },
    { "scope", "NAME", "what it is good for; may be repeated",
      ngx_apigw_cli_token_set_claim, NGX_APIGW_CLI_CLAIM_SCOPE },
    { "jti", "ID", "the id of the token; default: random",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(jti) },
    { "expires", "TIME", "when it ends, 2030-12-31 or 15m; default: 1h",
      ngx_apigw_cli_set_time, ngx_apigw_cli_token_offset(expires) },
    { "no-expires", NULL, "it never ends",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_token_offset(no_expires) },
    { "not-before", "TIME", "when it begins; default: now",
      ngx_apigw_cli_set_time, ngx_apigw_cli_token_offset(not_before) },
    { "claim", "NAME=TEXT", "any other claim, a string; may be repeated",
      ngx_apigw_cli_token_set_claim, NGX_APIGW_CLI_CLAIM_TEXT },
    { "claim-json", "NAME=JSON", "the same, a value of any kind",
      ngx_apigw_cli_token_set_claim, NGX_APIGW_CLI_CLAIM_JSON },
    { "claims", "FILE", "a JSON object of claims to begin with; \"-\" is\n"
                        "standard input",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(claims) },
    ngx_apigw_cli_options_end
};


static const char *
ngx_apigw_cli_token_set_alg(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    ngx_apigw_cli_token_conf_t  *conf;

    conf = cli->conf;

    if (conf->alg) {
        return "given twice";
    }

    conf->alg = ngx_apigw_jwa_parse(value->data, value->len);

    return conf->alg ? NULL : "no such algorithm";
}


static const char *
ngx_apigw_cli_token_set_claim(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    u_char                       *eq;
    ngx_apigw_cli_token_conf_t   *conf;
    ngx_apigw_cli_token_claim_t  *claim;

    conf = cli->conf;

    if (conf->nclaims == NGX_APIGW_CLI_TOKEN_CLAIMS) {
        return "too many claims";
    }

    claim = &conf->claim[conf->nclaims++];
    claim->kind = option->offset;
    claim->value = *value;

    if (claim->kind == NGX_APIGW_CLI_CLAIM_AUD
        || claim->kind == NGX_APIGW_CLI_CLAIM_SCOPE)
    {
        if (value->len == 0) {
            return "the value is empty";
        }

        return NULL;
    }

    eq = memchr(value->data, '=', value->len);

    if (eq == NULL || eq == value->data) {
        return "not of the form NAME=VALUE";
    }

    claim->name.data = value->data;
    claim->name.len = eq - value->data;
    claim->value.data = eq + 1;
    claim->value.len = value->len - claim->name.len - 1;

    return NULL;
}


static int
ngx_apigw_cli_token_keygen_check(ngx_apigw_cli_t *cli, ngx_apigw_jwa_t alg)
{
    ngx_apigw_cli_token_conf_t  *conf;

    conf = cli->conf;

    if (conf->out.data == NULL) {
        return ngx_apigw_cli_usage(cli, "\"--out FILE\" is missing");
    }

    if (conf->bits && !(alg & (NGX_APIGW_JWA_RS|NGX_APIGW_JWA_PS))) {
        return ngx_apigw_cli_usage(cli, "\"--bits\" is for RSA only");
    }

    if (conf->bits && (conf->bits < 2048 || conf->bits > 8192)) {
        return ngx_apigw_cli_usage(cli, "\"--bits\": not 2048 to 8192");
    }

    if (conf->jwks.data && (alg & NGX_APIGW_JWA_HS)) {
        return ngx_apigw_cli_usage(cli, "\"--jwks\": a secret is not public; "
                                   "give nginx the file of --out");
    }

    if (conf->kid.len > NGX_APIGW_JWK_KID_MAX) {
        return ngx_apigw_cli_usage(cli, "\"--kid\": too long");
    }

    return NGX_APIGW_CLI_DONE;
}


int
ngx_apigw_cli_token_keygen(ngx_apigw_cli_t *cli)
{
    int                          rc;
    json_t                      *jwk, *set;
    ngx_apigw_jwa_t              alg;
    ngx_apigw_cli_token_key_t    key;
    ngx_apigw_cli_token_conf_t  *conf;

    conf = cli->conf;
    alg = conf->alg ? conf->alg : NGX_APIGW_JWA_ES256;

    rc = ngx_apigw_cli_token_keygen_check(cli, alg);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    if (ngx_apigw_cli_token_key_make(&key, alg,
                                     conf->bits ? conf->bits : 2048)
        != NGX_OK)
    {
        ngx_apigw_cli_token_key_clear(&key);
        return ngx_apigw_cli_error("OpenSSL cannot make such a key");
    }

    if (conf->kid.data) {
        free(key.kid);
        key.kid = strdup((char *) conf->kid.data);
    }

    jwk = ngx_apigw_cli_token_key_jwk(&key, 1);

    rc = jwk ? ngx_apigw_cli_token_write((char *) conf->out.data, jwk, 1)
             : ngx_apigw_cli_error("the key cannot be written as a JWK");

    ngx_apigw_jwk_wipe(jwk);
    json_decref(jwk);

    if (rc == NGX_APIGW_CLI_DONE && key.pkey) {
        jwk = ngx_apigw_cli_token_key_jwk(&key, 0);

        if (conf->jwks.data) {
            rc = ngx_apigw_cli_token_add((char *) conf->jwks.data, jwk);

        } else {
            set = json_pack("{s:[O]}", "keys", jwk);
            rc = ngx_apigw_cli_token_print(set);
            json_decref(set);
        }

        json_decref(jwk);

        if (rc != NGX_APIGW_CLI_DONE) {

            /* nobody can know its public half */

            (void) unlink((char *) conf->out.data);
        }
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        ngx_apigw_cli_note("made the key \"%s\" for %s in \"%s\"", key.kid,
                           ngx_apigw_jwa_name(alg), (char *) conf->out.data);
    }

    ngx_apigw_cli_token_key_clear(&key);

    return rc;
}


/*
 * A secret goes to a new file; a set replaces the one of before as a whole,
 * so that nginx never reads a part of it.
 */

static int
ngx_apigw_cli_token_write(const char *name, json_t *value, ngx_uint_t secret)
{
    int          err;
    char        *text, *temp;
    mode_t       mode;
    size_t       len;
    struct stat  st;

    text = json_dumps(value, JSON_COMPACT);

    if (text == NULL) {
        return ngx_apigw_cli_error("no memory");
    }

    len = strlen(text);
    text[len] = '\n';

    temp = ngx_apigw_cli_alloc(strlen(name) + sizeof(".new"));
    (void) sprintf(temp, "%s%s", name, secret ? "" : ".new");

    mode = secret ? 0600 : (stat(name, &st) == 0) ? st.st_mode & 0777 : 0644;

    err = ngx_apigw_cli_token_create(temp, mode, text, len + 1);

    if (err == 0 && !secret && rename(temp, name) != 0) {
        err = errno;
        (void) unlink(temp);
    }

    OPENSSL_cleanse(text, len);
    free(text);

    if (err) {
        (void) ngx_apigw_cli_error("cannot write \"%s\": %s", temp,
                                   strerror(err));
    }

    free(temp);

    return err ? NGX_APIGW_CLI_FAILED : NGX_APIGW_CLI_DONE;
}


/* A new file, on disk and whole, or none; 0 or errno. */

static int
ngx_apigw_cli_token_create(const char *name, mode_t mode, const char *text,
    size_t len)
{
    int      fd, err;
    ssize_t  n;

    fd = open(name, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (fd == -1) {
        return errno;
    }

    n = write(fd, text, len);

    err = (n == -1) ? errno : (n != (ssize_t) len) ? ENOSPC : 0;

    if (err == 0 && (fchmod(fd, mode) != 0 || fsync(fd) != 0)) {
        err = errno;
    }

    if (close(fd) != 0 && err == 0) {
        err = errno;
    }

    if (err) {
        (void) unlink(name);
    }

    return err;
}


static int
ngx_apigw_cli_token_add(const char *name, json_t *jwk)
{
    int      rc;
    size_t   i;
    json_t  *set, *keys, *each, *kid;

    set = ngx_apigw_cli_token_set(name);

    if (set == NULL) {
        return NGX_APIGW_CLI_FAILED;
    }

    keys = json_object_get(set, "keys");
    kid = json_object_get(jwk, "kid");

    json_array_foreach(keys, i, each) {
        if (json_equal(json_object_get(each, "kid"), kid)) {
            json_decref(set);
            return ngx_apigw_cli_error("the set \"%s\" has a key \"%s\"",
                                       name, json_string_value(kid));
        }
    }

    rc = (json_array_append(keys, jwk) == 0)
         ? ngx_apigw_cli_token_write(name, set, 0)
         : ngx_apigw_cli_error("no memory");

    json_decref(set);

    return rc;
}


/* The set of a file, an empty one if there is no file; NULL: a message. */

static json_t *
ngx_apigw_cli_token_set(const char *name)
{
    u_char       *data;
    size_t        len;
    json_t       *set;
    ngx_str_t     file;
    json_error_t  err;

    if (access(name, F_OK) != 0 && errno == ENOENT) {
        return json_pack("{s:[]}", "keys");
    }

    file.data = (u_char *) name;
    file.len = strlen(name);

    data = ngx_apigw_cli_token_file(&file, NGX_APIGW_JWKS_SIZE_MAX, &len);

    if (data == NULL) {
        return NULL;
    }

    set = json_loadb((char *) data, len, JSON_REJECT_DUPLICATES, &err);
    free(data);

    if (!json_is_array(json_object_get(set, "keys"))) {
        json_decref(set);
        (void) ngx_apigw_cli_error("\"%s\" is no set of keys", name);
        return NULL;
    }

    return set;
}


static int
ngx_apigw_cli_token_print(json_t *value)
{
    int    rc;
    char  *text;

    text = json_dumps(value, JSON_COMPACT);

    if (text == NULL) {
        return ngx_apigw_cli_error("no memory");
    }

    rc = (ngx_apigw_cli_write(text, strlen(text)) == NGX_OK
          && ngx_apigw_cli_write("\n", 1) == NGX_OK)
         ? NGX_APIGW_CLI_DONE : NGX_APIGW_CLI_FAILED;

    free(text);

    return rc;
}


u_char *
ngx_apigw_cli_token_file(const ngx_str_t *name, size_t max, size_t *len)
{
    int          fd;
    u_char      *data;
    size_t       size;
    ssize_t      n;
    const char  *file;

    file = (char *) name->data;
    fd = STDIN_FILENO;

    if (strcmp(file, "-") != 0) {
        fd = open(file, O_RDONLY|O_CLOEXEC);
    }

    if (fd == -1) {
        (void) ngx_apigw_cli_error("cannot open \"%s\": %s", file,
                                   strerror(errno));
        return NULL;
    }

    /* not grown: what is moved leaves a copy of the secret behind */

    data = ngx_apigw_cli_alloc(max + 1);
    size = 0;

    do {
        n = read(fd, data + size, max + 1 - size);

        if (n > 0) {
            size += n;
        }
    } while ((n > 0 && size <= max) || (n == -1 && errno == EINTR));

    if (n == -1 || size > max) {
        (void) ngx_apigw_cli_error("cannot read \"%s\": %s", file,
                                   n == -1 ? strerror(errno)
                                           : "it is too large");
        OPENSSL_cleanse(data, size);
        free(data);
        data = NULL;
    }

    if (fd != STDIN_FILENO) {
        (void) close(fd);
    }

    *len = size;

    return data;
}


int
ngx_apigw_cli_token_issue(ngx_apigw_cli_t *cli)
{
    int                          rc;
    char                        *token;
    json_t                      *header, *claims;
    ngx_apigw_cli_token_key_t    key;
    ngx_apigw_cli_token_conf_t  *conf;

    conf = cli->conf;

    if (conf->key.data == NULL) {
        return ngx_apigw_cli_usage(cli, "\"--key FILE\" is missing");
    }

    if (conf->no_expires && conf->expires) {
        return ngx_apigw_cli_usage(cli, "\"--expires\" and \"--no-expires\" "
                                   "do not go together");
    }

    if (conf->kid.len > NGX_APIGW_JWK_KID_MAX) {
        return ngx_apigw_cli_usage(cli, "\"--kid\": too long");
    }

    rc = ngx_apigw_cli_token_read_key(conf, &key);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    claims = ngx_apigw_cli_token_claims(cli);

    if (claims == NULL) {
        ngx_apigw_cli_token_key_clear(&key);
        return NGX_APIGW_CLI_FAILED;
    }

    header = json_pack("{s:s}", "typ", conf->typ.data
                                       ? (char *) conf->typ.data : "JWT");

    token = header ? ngx_apigw_cli_token_key_sign(&key, header, claims)
                   : NULL;

    if (token == NULL) {
        rc = ngx_apigw_cli_error("the key cannot sign a token that nginx "
                                 "would accept, or kid or typ is no UTF-8");

    } else {
        rc = (ngx_apigw_cli_write(token, strlen(token)) == NGX_OK
              && ngx_apigw_cli_write("\n", 1) == NGX_OK)
             ? NGX_APIGW_CLI_DONE : NGX_APIGW_CLI_FAILED;
    }

    free(token);
    json_decref(header);
    json_decref(claims);
    ngx_apigw_cli_token_key_clear(&key);

    return rc;
}


static int
ngx_apigw_cli_token_read_key(ngx_apigw_cli_token_conf_t *conf,
    ngx_apigw_cli_token_key_t *key)
{
    u_char      *data;
    size_t       len;
    const char  *error;

    data = ngx_apigw_cli_token_file(&conf->key, NGX_APIGW_CLI_TOKEN_FILE,
                                    &len);

    if (data == NULL) {
        return NGX_APIGW_CLI_FAILED;
    }

    error = ngx_apigw_cli_token_key_read(key, data, len, conf->alg);

    OPENSSL_cleanse(data, len);
    free(data);

    if (error) {
        return ngx_apigw_cli_error("cannot sign with the key in \"%s\": %s",
                                   (char *) conf->key.data, error);
    }

    if (conf->kid.data) {
        free(key->kid);
        key->kid = strdup((char *) conf->kid.data);
    }

    return NGX_APIGW_CLI_DONE;
}


/* NULL after a message. */

static json_t *
ngx_apigw_cli_token_claims(ngx_apigw_cli_t *cli)
{
    json_t                      *claims;
    ngx_uint_t                   i;
    ngx_apigw_cli_token_conf_t  *conf;

    conf = cli->conf;

    claims = conf->claims.data ? ngx_apigw_cli_token_claims_file(&conf->claims)
                               : json_object();
    if (claims == NULL) {
        return NULL;
    }

    for (i = 0; i < conf->nclaims; i++) {

        if (ngx_apigw_cli_token_claim(claims, &conf->claim[i]) != NGX_OK) {
            (void) ngx_apigw_cli_error("the claim \"%.*s\" is no %s",
                                       ngx_apigw_cli_str(&conf->claim[i].name),
                                       conf->claim[i].kind
                                       == NGX_APIGW_CLI_CLAIM_JSON
                                       ? "JSON" : "UTF-8");
            json_decref(claims);
            return NULL;
        }
    }

    if (ngx_apigw_cli_token_claims_default(cli, claims) != NGX_OK) {
        (void) ngx_apigw_cli_error("a claim is no UTF-8");
        json_decref(claims);
        return NULL;
    }

    if (ngx_apigw_cli_token_claims_check(cli, claims) != NGX_OK) {
        json_decref(claims);
        return NULL;
    }

    return claims;
}


static json_t *
ngx_apigw_cli_token_claims_file(ngx_str_t *name)
{
    u_char      *data;
    size_t       len;
    json_t      *claims;
    const char  *why;

    data = ngx_apigw_cli_token_file(name, NGX_APIGW_CLAIMS_SIZE_MAX, &len);

    if (data == NULL) {
        return NULL;
    }

    claims = ngx_apigw_claims_parse(data, len, &why);
    free(data);

    if (claims == NULL) {
        (void) ngx_apigw_cli_error("\"%s\": %s", (char *) name->data, why);
    }

    return claims;
}


/* What nginx would refuse in any place; a token of the past may be wanted. */

static ngx_int_t
ngx_apigw_cli_token_claims_check(ngx_apigw_cli_t *cli, json_t *claims)
{
    json_t                     *value, *alone;
    ngx_str_t                   text;
    const char                **name;
    ngx_apigw_claims_rc_e       rc;
    ngx_apigw_claims_times_t    times;
    ngx_apigw_claims_window_t   window;

    static const char  *texts[] = { "iss", "sub", "jti", NULL };
    static const char  *dates[] = { "exp", "nbf", "iat", NULL };

    for (name = texts; *name; name++) {

        if (ngx_apigw_claims_string(claims, *name, &text) == NGX_ERROR) {
            (void) ngx_apigw_cli_error("the claim \"%s\" is no string: nginx "
                                       "would refuse the token", *name);
            return NGX_ERROR;
        }
    }

    if (ngx_apigw_claims_audience(claims, "aud", NULL, 0) == NGX_ERROR) {
        (void) ngx_apigw_cli_error("the claim \"aud\" is neither a string nor "
                                   "an array of strings: nginx would refuse "
                                   "the token for whatever audience");
        return NGX_ERROR;
    }

    ngx_memzero(&times, sizeof(ngx_apigw_claims_times_t));

    for (name = dates; *name; name++) {

        value = json_object_get(claims, *name);

        if (value == NULL) {
            continue;
        }

        alone = json_pack("{s:O}", *name, value);
        rc = ngx_apigw_claims_window(alone, &times, &window);
        json_decref(alone);

        if (rc != NGX_APIGW_CLAIMS_OK) {
            (void) ngx_apigw_cli_error("the claim \"%s\" is no number of "
                                       "seconds since 1970: nginx would refuse "
                                       "the token%s", *name,
                                       json_is_string(value)
                                       ? "; use --claim-json" : "");
            return NGX_ERROR;
        }
    }

    (void) ngx_apigw_claims_window(claims, &times, &window);

    if (window.until <= cli->now) {
        ngx_apigw_cli_note("the token has expired already");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_cli_token_claim(json_t *claims, ngx_apigw_cli_token_claim_t *claim)
{
    char         *name;
    json_t       *value;
    ngx_int_t     rc;
    json_error_t  err;

    if (claim->kind == NGX_APIGW_CLI_CLAIM_JSON) {
        value = json_loadb((char *) claim->value.data, claim->value.len,
                           JSON_DECODE_ANY|JSON_REJECT_DUPLICATES, &err);
    } else {
        value = json_stringn((char *) claim->value.data, claim->value.len);
    }

    if (value == NULL) {
        return NGX_ERROR;
    }

    if (claim->kind == NGX_APIGW_CLI_CLAIM_AUD) {
        return ngx_apigw_cli_token_repeated(claims, "aud", value);
    }

    if (claim->kind == NGX_APIGW_CLI_CLAIM_SCOPE) {
        return ngx_apigw_cli_token_repeated(claims, "scope", value);
    }

    name = ngx_apigw_cli_alloc(claim->name.len + 1);
    ngx_memcpy(name, claim->name.data, claim->name.len);
    name[claim->name.len] = '\0';

    rc = json_object_set_new(claims, name, value) == 0 ? NGX_OK : NGX_ERROR;
    free(name);

    return rc;
}


/* Two audiences are an array, two scopes a string with a space. */

static ngx_int_t
ngx_apigw_cli_token_repeated(json_t *claims, const char *name, json_t *value)
{
    json_t  *old, *both;

    old = json_object_get(claims, name);

    if (old == NULL) {
        return json_object_set_new(claims, name, value) == 0 ? NGX_OK
                                                             : NGX_ERROR;
    }

    if (json_is_array(old)) {
        return json_array_append_new(old, value) == 0 ? NGX_OK : NGX_ERROR;
    }

    if (strcmp(name, "scope") == 0 && json_is_string(old)) {
        both = json_sprintf("%s %s", json_string_value(old),
                            json_string_value(value));
        json_decref(value);

    } else {
        both = json_pack("[O,o]", old, value);
    }

    return both && json_object_set_new(claims, name, both) == 0 ? NGX_OK
                                                                 : NGX_ERROR;
}


/* What options say replaces, what is usual does not. */

static ngx_int_t
ngx_apigw_cli_token_claims_default(ngx_apigw_cli_t *cli, json_t *claims)
{
    int                          rc;
    u_char                       random[NGX_APIGW_CLI_TOKEN_JTI];
    u_char                       jti[32], *last;
    ngx_apigw_cli_token_conf_t  *conf;

    conf = cli->conf;
    rc = 0;

    if (conf->iss.data) {
        rc |= json_object_set_new(claims, "iss",
                                  json_string((char *) conf->iss.data));
    }

    if (conf->sub.data) {
        rc |= json_object_set_new(claims, "sub",
                                  json_string((char *) conf->sub.data));
    }

    if (conf->jti.data) {
        rc |= json_object_set_new(claims, "jti",
                                  json_string((char *) conf->jti.data));

    } else if (json_object_get(claims, "jti") == NULL) {

        if (RAND_bytes(random, sizeof(random)) != 1) {
            return NGX_ERROR;
        }

        last = ngx_apigw_base64_encode(jti, random, sizeof(random));
        rc |= json_object_set_new(claims, "jti",
                                  json_stringn((char *) jti, last - jti));
    }

    if (json_object_get(claims, "iat") == NULL) {
        rc |= json_object_set_new(claims, "iat", json_integer(cli->now));
    }

    if (conf->not_before) {
        rc |= json_object_set_new(claims, "nbf",
                                  json_integer(conf->not_before));
    }

    if (conf->expires) {
        rc |= json_object_set_new(claims, "exp", json_integer(conf->expires));

    } else if (conf->no_expires) {
        (void) json_object_del(claims, "exp");

    } else if (json_object_get(claims, "exp") == NULL) {
        rc |= json_object_set_new(claims, "exp",
                                  json_integer(cli->now
                                               + NGX_APIGW_CLI_TOKEN_LIFE));
    }

    return rc == 0 ? NGX_OK : NGX_ERROR;
}
