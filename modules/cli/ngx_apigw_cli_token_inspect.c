/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_claims.h"
#include "ngx_apigw_cli_token.h"
#include "ngx_apigw_jws.h"


typedef struct {
    ngx_apigw_jws_t          jws;
    json_t                  *claims;
    const char              *signature;   /* "right", "wrong", "unchecked" */
    const char              *why;         /* it is not valid, or NULL */
    time_t                   now;
} ngx_apigw_cli_token_inspect_t;


static int ngx_apigw_cli_token_verify(ngx_apigw_cli_token_conf_t *conf,
    ngx_apigw_cli_token_inspect_t *in);
static void ngx_apigw_cli_token_times(ngx_apigw_cli_token_inspect_t *in);
static int ngx_apigw_cli_token_show_json(ngx_apigw_cli_token_inspect_t *in);
static int ngx_apigw_cli_token_show(ngx_apigw_cli_token_inspect_t *in);
static void ngx_apigw_cli_token_show_time(ngx_apigw_cli_buf_t *b,
    ngx_apigw_cli_token_inspect_t *in, const char *label, const char *name);
static void ngx_apigw_cli_token_label(ngx_apigw_cli_buf_t *b,
    const char *label);
static void ngx_apigw_cli_token_dump(ngx_apigw_cli_buf_t *b, json_t *value,
    size_t flags);


const ngx_apigw_cli_option_t  ngx_apigw_cli_token_inspect_options[] = {
    { "jwks", "FILE", "verifies the signature with these keys: JWK Set, JWK\n"
                      "or PEM",
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(jwks) },
    { "json", NULL, "one JSON object",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_token_offset(json) },
    ngx_apigw_cli_options_end
};


int
ngx_apigw_cli_token_inspect(ngx_apigw_cli_t *cli)
{
    int                             rc;
    u_char                         *token;
    size_t                          len;
    ngx_str_t                       input = ngx_string("-");
    const char                     *why;
    ngx_apigw_jws_rc_e              parsed;
    ngx_apigw_cli_token_conf_t     *conf;
    ngx_apigw_cli_token_inspect_t   in;

    conf = cli->conf;

    ngx_memzero(&in, sizeof(ngx_apigw_cli_token_inspect_t));
    in.now = cli->now;

    token = ngx_apigw_cli_token_file(&input, NGX_APIGW_JWS_TOKEN_MAX + 16,
                                     &len);

    if (token == NULL) {
        return NGX_APIGW_CLI_FAILED;
    }

    while (len && (token[len - 1] == '\n' || token[len - 1] == '\r')) {
        len--;
    }

    parsed = ngx_apigw_jws_parse(&in.jws, token, len);

    if (parsed == NGX_APIGW_JWS_OK) {
        in.claims = ngx_apigw_claims_parse(in.jws.payload.data,
                                           in.jws.payload.len, &why);
    } else {
        why = in.jws.why;
    }

    if (in.claims == NULL) {
        rc = ngx_apigw_cli_error("no token that nginx would accept: %s", why);

    } else {
        rc = ngx_apigw_cli_token_verify(conf, &in);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        ngx_apigw_cli_token_times(&in);

        rc = conf->json ? ngx_apigw_cli_token_show_json(&in)
                        : ngx_apigw_cli_token_show(&in);

        if (rc == NGX_APIGW_CLI_DONE && in.why) {
            rc = NGX_APIGW_CLI_FAILED;
        }
    }

    json_decref(in.claims);
    ngx_apigw_jws_clear(&in.jws);
    free(token);

    return rc;
}


static int
ngx_apigw_cli_token_verify(ngx_apigw_cli_token_conf_t *conf,
    ngx_apigw_cli_token_inspect_t *in)
{
    char                       error[NGX_APIGW_JWKS_ERROR];
    u_char                    *data;
    size_t                     len;
    ngx_apigw_jwks_t          *jwks;
    ngx_apigw_jws_rc_e         rc;
    ngx_apigw_jws_verifier_t  *v;

    in->signature = "unchecked";

    if (conf->jwks.data == NULL) {
        return NGX_APIGW_CLI_DONE;
    }

    data = ngx_apigw_cli_token_file(&conf->jwks, NGX_APIGW_JWKS_SIZE_MAX,
                                    &len);

    if (data == NULL) {
        return NGX_APIGW_CLI_FAILED;
    }

    jwks = ngx_apigw_jwks_parse(data, len, NGX_APIGW_JWKS_ANY,
                                NGX_APIGW_JWKS_SECRETS, error);
    ngx_memzero(data, len);
    free(data);

    if (jwks == NULL) {
        return ngx_apigw_cli_error("the keys in \"%s\" cannot be used: %s",
                                   (char *) conf->jwks.data, error);
    }

    v = ngx_apigw_jws_verifier_create();

    rc = v ? ngx_apigw_jws_verify(v, &in->jws, &jwks, 1, NGX_APIGW_JWA_ALL)
           : NGX_APIGW_JWS_ERROR;

    /* the key goes with the set */

    in->jws.key = NULL;

    ngx_apigw_jws_verifier_free(v);
    ngx_apigw_jwks_free(jwks);

    if (rc == NGX_APIGW_JWS_ERROR) {
        return ngx_apigw_cli_error("OpenSSL cannot verify signatures");
    }

    if (rc == NGX_APIGW_JWS_OK) {
        in->signature = "right";

    } else {
        in->signature = (rc == NGX_APIGW_JWS_BADSIG) ? "wrong" : "unchecked";
        in->why = in->jws.why;
    }

    return NGX_APIGW_CLI_DONE;
}


static void
ngx_apigw_cli_token_times(ngx_apigw_cli_token_inspect_t *in)
{
    ngx_apigw_claims_rc_e       rc;
    ngx_apigw_claims_times_t    times;
    ngx_apigw_claims_window_t   window;

    if (in->why) {
        return;
    }

    ngx_memzero(&times, sizeof(ngx_apigw_claims_times_t));

    rc = ngx_apigw_claims_window(in->claims, &times, &window);

    if (rc == NGX_APIGW_CLAIMS_OK) {
        rc = ngx_apigw_claims_now(&window, in->now);
    }

    switch (rc) {

    case NGX_APIGW_CLAIMS_OK:
        break;

    case NGX_APIGW_CLAIMS_EXPIRED:
        in->why = "it has expired";
        break;

    case NGX_APIGW_CLAIMS_EARLY:
        in->why = "it is not valid yet";
        break;

    default:
        in->why = "\"exp\", \"nbf\" or \"iat\" is no date";
    }
}


static int
ngx_apigw_cli_token_show_json(ngx_apigw_cli_token_inspect_t *in)
{
    json_t               *value;
    ngx_int_t             rc;
    ngx_apigw_cli_buf_t   b;

    value = json_pack("{s:O,s:O,s:s,s:b,s:s*}", "header", in->jws.header,
                      "claims", in->claims, "signature", in->signature,
                      "valid", in->why == NULL, "why", in->why);

    if (value == NULL) {
        return ngx_apigw_cli_error("no memory");
    }

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));
    ngx_apigw_cli_token_dump(&b, value, JSON_COMPACT);
    json_decref(value);

    rc = ngx_apigw_cli_flush(&b);
    ngx_apigw_cli_buf_free(&b);

    return rc == NGX_OK ? NGX_APIGW_CLI_DONE : NGX_APIGW_CLI_FAILED;
}


static int
ngx_apigw_cli_token_show(ngx_apigw_cli_token_inspect_t *in)
{
    ngx_int_t             rc;
    ngx_apigw_cli_buf_t   b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_token_label(&b, "signature");
    ngx_apigw_cli_buf_puts(&b, in->signature);
    ngx_apigw_cli_buf_puts(&b, "\n");

    ngx_apigw_cli_token_label(&b, "valid");
    ngx_apigw_cli_buf_puts(&b, in->why ? "no: " : "yes");
    ngx_apigw_cli_buf_puts(&b, in->why ? in->why : "");
    ngx_apigw_cli_buf_puts(&b, "\n");

    ngx_apigw_cli_token_show_time(&b, in, "issued", "iat");
    ngx_apigw_cli_token_show_time(&b, in, "begins", "nbf");
    ngx_apigw_cli_token_show_time(&b, in, "expires", "exp");

    ngx_apigw_cli_token_label(&b, "header");
    ngx_apigw_cli_token_dump(&b, in->jws.header, JSON_COMPACT);

    ngx_apigw_cli_token_label(&b, "claims");
    ngx_apigw_cli_token_dump(&b, in->claims, JSON_INDENT(2));

    rc = ngx_apigw_cli_flush(&b);
    ngx_apigw_cli_buf_free(&b);

    return rc == NGX_OK ? NGX_APIGW_CLI_DONE : NGX_APIGW_CLI_FAILED;
}


static void
ngx_apigw_cli_token_show_time(ngx_apigw_cli_buf_t *b,
    ngx_apigw_cli_token_inspect_t *in, const char *label, const char *name)
{
    char     text[NGX_APIGW_CLI_TIME_TEXT];
    double   date;
    json_t  *value;

    value = json_object_get(in->claims, name);
    date = json_number_value(value);

    /* up to the year 9999 */

    if (!json_is_number(value) || !(date >= 0 && date < 253402300800.0)) {
        return;
    }

    ngx_apigw_cli_token_label(b, label);
    ngx_apigw_cli_buf_puts(b, ngx_apigw_cli_time_text((time_t) date, text));
    ngx_apigw_cli_buf_puts(b, "\n");
}


static void
ngx_apigw_cli_token_label(ngx_apigw_cli_buf_t *b, const char *label)
{
    size_t  len;

    ngx_apigw_cli_buf_puts(b, label);

    for (len = strlen(label); len < sizeof("signature  ") - 1; len++) {
        ngx_apigw_cli_buf_puts(b, " ");
    }
}


/* In ASCII: a token may have anything in it, and this goes to a terminal. */

static void
ngx_apigw_cli_token_dump(ngx_apigw_cli_buf_t *b, json_t *value, size_t flags)
{
    char  *p, *text;

    text = json_dumps(value, flags|JSON_ENSURE_ASCII);

    for (p = text; p && *p; p++) {
        if (*p == 0x7f) {
            *p = '?';
        }
    }

    ngx_apigw_cli_buf_puts(b, text ? text : "");
    ngx_apigw_cli_buf_puts(b, "\n");
    free(text);
}
