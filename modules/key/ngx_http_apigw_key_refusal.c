/*
 * Copyright (C) the apigw authors
 */


/* What a request is told that is refused. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_key.h"
#include "ngx_http_apigw_key_source.h"


#define NGX_HTTP_APIGW_KEY_RETRY  1


typedef struct {
    ngx_uint_t                   status;
    ngx_str_t                    detail;
} ngx_http_apigw_key_reason_t;


/*
 * By verdict.  A decoy gets the answer of an unknown key: whoever tries it
 * must not learn that it was noticed.
 */

static ngx_http_apigw_key_reason_t  ngx_http_apigw_key_reasons[] = {

    { 0, ngx_null_string },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("An API key is required.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is malformed.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The request carries two different API keys.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is unknown.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is unknown.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is disabled.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key is not valid yet.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The API key has expired.") },

    { NGX_HTTP_FORBIDDEN,
      ngx_string("The API key may not be used from this address.") },

    { NGX_HTTP_FORBIDDEN,
      ngx_null_string },

    { NGX_HTTP_SERVICE_UNAVAILABLE,
      ngx_string("API keys cannot be checked at the moment.") }
};


static ngx_str_t  ngx_http_apigw_key_unauthorized =
    ngx_string("Unauthorized");
static ngx_str_t  ngx_http_apigw_key_forbidden = ngx_string("Forbidden");
static ngx_str_t  ngx_http_apigw_key_unavailable =
    ngx_string("Service Unavailable");


ngx_int_t
ngx_http_apigw_key_refuse(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_require_t *require)
{
    ngx_http_apigw_problem_t      *pr;
    ngx_http_apigw_key_reason_t   *reason;
    ngx_http_apigw_key_verdict_e   verdict;

    verdict = ctx->verdict;
    reason = &ngx_http_apigw_key_reasons[verdict];
    pr = &ctx->problem;

    ngx_http_apigw_key_count(r, ctx, verdict);

    ngx_memzero(pr, sizeof(ngx_http_apigw_problem_t));

    pr->status = reason->status;
    pr->detail = reason->detail;
    pr->yields = (verdict == NGX_HTTP_APIGW_KEY_MISSING);

    /* nor must the operator's text give a decoy away */

    if (verdict == NGX_HTTP_APIGW_KEY_DECOY) {
        verdict = NGX_HTTP_APIGW_KEY_UNKNOWN;
    }

    if (lcf->messages && lcf->messages[verdict]
        && ngx_http_complex_value(r, lcf->messages[verdict], &pr->detail)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    switch (pr->status) {

    case NGX_HTTP_UNAUTHORIZED:
        pr->title = ngx_http_apigw_key_unauthorized;
        pr->authenticate =
                     lcf->challenge[verdict != NGX_HTTP_APIGW_KEY_MISSING];
        break;

    case NGX_HTTP_FORBIDDEN:
        pr->title = ngx_http_apigw_key_forbidden;
        break;

    default: /* NGX_HTTP_SERVICE_UNAVAILABLE */
        pr->title = ngx_http_apigw_key_unavailable;
        pr->retry_after = NGX_HTTP_APIGW_KEY_RETRY;
        break;
    }

    if (require
        && ngx_http_apigw_key_explain(r, lcf, pr, require, &ctx->entry->record)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_apigw_refuse(r, pr);
}


ngx_int_t
ngx_http_apigw_key_make_challenges(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *conf)
{
    size_t                        len;
    u_char                       *p;
    ngx_uint_t                    i, bearer, other;
    ngx_http_apigw_key_source_t  *source;

    bearer = 0;
    other = 0;

    source = conf->sources->elts;

    for (i = 0; i < conf->sources->nelts; i++) {
        if (source[i].type == NGX_HTTP_APIGW_KEY_BEARER) {
            bearer = 1;

        } else {
            other = 1;
        }
    }

    len = sizeof("Bearer realm=\"\", error=\"invalid_token\", "
                 "ApiKey realm=\"\"") - 1
          + 2 * conf->realm.len;

    for (i = 0; i < 2; i++) {

        p = ngx_pnalloc(cf->pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        conf->challenge[i].data = p;

        if (bearer) {
            p = ngx_sprintf(p, "Bearer realm=\"%V\"%s%s", &conf->realm,
                            i ? ", error=\"invalid_token\"" : "",
                            other ? ", " : "");
        }

        if (other) {
            p = ngx_sprintf(p, "ApiKey realm=\"%V\"", &conf->realm);
        }

        conf->challenge[i].len = p - conf->challenge[i].data;
    }

    return NGX_OK;
}


/* The texts of one level; a level that has any replaces those above it. */

char *
ngx_http_apigw_key_message(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    ngx_str_t                         *value, *name;
    ngx_uint_t                         i;
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    value = cf->args->elts;

    if (lcf->messages == NGX_CONF_UNSET_PTR) {
        lcf->messages = ngx_pcalloc(cf->pool, NGX_HTTP_APIGW_KEY_VERDICTS
                                          * sizeof(ngx_http_complex_value_t *));
        if (lcf->messages == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1; i < NGX_HTTP_APIGW_KEY_VERDICTS; i++) {

        name = &ngx_http_apigw_key_verdicts[i];

        if (i == NGX_HTTP_APIGW_KEY_DECOY
            || name->len != value[1].len
            || ngx_strcmp(name->data, value[1].data) != 0)
        {
            continue;
        }

        if (lcf->messages[i]) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate message \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }

        cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (cv == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[2];
        ccv.complex_value = cv;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        lcf->messages[i] = cv;

        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid reason \"%V\"", &value[1]);

    return NGX_CONF_ERROR;
}


char *
ngx_http_apigw_key_realm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    size_t      i;
    ngx_str_t  *value;

    if (lcf->realm.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* it goes between quotes in a header, and is the same for all requests */

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] < 0x20 || value[1].data[i] == 0x7f
            || value[1].data[i] == '"' || value[1].data[i] == '\\'
            || value[1].data[i] == '$')
        {
            break;
        }
    }

    if (value[1].len == 0 || i < value[1].len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid realm \"%V\", it is a text without "
                           "quotes, backslashes and variables", &value[1]);
        return NGX_CONF_ERROR;
    }

    lcf->realm = value[1];

    return NGX_CONF_OK;
}
