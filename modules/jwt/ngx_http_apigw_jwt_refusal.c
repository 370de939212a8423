/*
 * Copyright (C) the apigw authors
 */


/* What a request is told that is refused, and how a token is to be had. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt.h"


typedef struct {
    ngx_uint_t                   status;
    ngx_str_t                    detail;
    ngx_str_t                    description;  /* for the challenge */
} ngx_http_apigw_jwt_reason_t;


typedef struct {
    ngx_uint_t                   status;
    ngx_str_t                    title;
} ngx_http_apigw_jwt_title_t;


static void ngx_http_apigw_jwt_log(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_str_t *name);
static void ngx_http_apigw_jwt_title(ngx_http_apigw_problem_t *pr);
static ngx_int_t ngx_http_apigw_jwt_challenge(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_scope_t *scope);
static u_char *ngx_http_apigw_jwt_quote(u_char *p, ngx_str_t *text);
static ngx_int_t ngx_http_apigw_jwt_explain(ngx_http_request_t *r,
    ngx_http_apigw_jwt_scope_t *scope, ngx_str_t *members);

static ngx_int_t ngx_http_apigw_jwt_metadata_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_jwt_metadata_add(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, json_t *document, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_jwt_metadata_list(json_t *document,
    const char *name, ngx_str_t *text);
static ngx_uint_t ngx_http_apigw_jwt_is_uri(ngx_str_t *text);


static ngx_str_t  ngx_http_apigw_jwt_invalid =
    ngx_string("The token is not valid.");
static ngx_str_t  ngx_http_apigw_jwt_unavailable =
    ngx_string("Tokens cannot be checked at the moment.");


/*
 * Only who has a token that was signed as it should be learns what is wrong
 * with it.
 */

static ngx_http_apigw_jwt_reason_t
    ngx_http_apigw_jwt_reasons[NGX_HTTP_APIGW_JWT_VERDICTS] =
{
    { 0, ngx_null_string, ngx_null_string },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The request carries no token."), ngx_null_string },

    { NGX_HTTP_UNAUTHORIZED, ngx_null_string, ngx_null_string },
    { NGX_HTTP_UNAUTHORIZED, ngx_null_string, ngx_null_string },
    { NGX_HTTP_UNAUTHORIZED, ngx_null_string, ngx_null_string },
    { NGX_HTTP_UNAUTHORIZED, ngx_null_string, ngx_null_string },
    { NGX_HTTP_UNAUTHORIZED, ngx_null_string, ngx_null_string },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The token has expired."),
      ngx_string("The token expired") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The token is not valid yet."),
      ngx_string("The token is not valid yet") },

    { NGX_HTTP_UNAUTHORIZED, ngx_null_string, ngx_null_string },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The token is for somebody else."),
      ngx_string("The token is for another audience") },

    { NGX_HTTP_FORBIDDEN,
      ngx_string("The token lacks a scope needed here."),
      ngx_null_string },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("The token does not say what is required here."),
      ngx_null_string },

    { NGX_HTTP_UNAUTHORIZED, ngx_null_string, ngx_null_string },
    { NGX_HTTP_INTERNAL_SERVER_ERROR, ngx_null_string, ngx_null_string }
};


static ngx_http_apigw_jwt_title_t  ngx_http_apigw_jwt_titles[] = {
    { NGX_HTTP_BAD_REQUEST, ngx_string("Bad Request") },
    { NGX_HTTP_UNAUTHORIZED, ngx_string("Unauthorized") },
    { 402, ngx_string("Payment Required") },
    { NGX_HTTP_FORBIDDEN, ngx_string("Forbidden") },
    { NGX_HTTP_NOT_FOUND, ngx_string("Not Found") },
    { NGX_HTTP_NOT_ALLOWED, ngx_string("Method Not Allowed") },
    { NGX_HTTP_TOO_MANY_REQUESTS, ngx_string("Too Many Requests") },
    { NGX_HTTP_INTERNAL_SERVER_ERROR, ngx_string("Internal Server Error") },
    { NGX_HTTP_SERVICE_UNAVAILABLE, ngx_string("Service Unavailable") },
    { 0, ngx_null_string }
};


/* With a status of 0 it is that of the outcome. */

ngx_int_t
ngx_http_apigw_jwt_refuse(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t status, ngx_http_apigw_jwt_scope_t *scope, ngx_str_t *name)
{
    ngx_http_apigw_problem_t     *pr;
    ngx_http_apigw_jwt_reason_t  *reason;

    ngx_http_apigw_jwt_log(r, ctx, name);

    if (!ctx->counted) {
        ctx->counted = 1;
        ngx_http_apigw_jwt_zone_count(lcf->zone, ctx->outcome);
    }

    reason = &ngx_http_apigw_jwt_reasons[ctx->outcome];
    pr = &ctx->problem;

    ngx_memzero(pr, sizeof(ngx_http_apigw_problem_t));

    pr->status = status ? status : reason->status;
    pr->detail = reason->detail;
    pr->retry_after = ctx->retry_after;
    pr->yields = (ctx->outcome == NGX_HTTP_APIGW_JWT_MISSING);

    if (ctx->outcome == NGX_HTTP_APIGW_JWT_UNAVAILABLE) {

        pr->detail = ngx_http_apigw_jwt_unavailable;

        if (pr->retry_after) {
            pr->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        }

    } else if (pr->detail.len == 0) {
        pr->detail = ngx_http_apigw_jwt_invalid;
    }

    ngx_http_apigw_jwt_title(pr);

    if (scope && ngx_http_apigw_jwt_explain(r, scope, &pr->members) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if ((pr->status == NGX_HTTP_UNAUTHORIZED || scope)
        && lcf->challenge != NGX_HTTP_APIGW_JWT_SILENT
        && ngx_http_apigw_jwt_challenge(r, lcf, ctx, scope) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_apigw_refuse(r, pr);
}


/* Nothing of the token is in the line, only what the configuration names. */

static void
ngx_http_apigw_jwt_log(ngx_http_request_t *r, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_str_t *name)
{
    ngx_str_t  *verdict;

    verdict = &ngx_http_apigw_jwt_verdicts[ctx->outcome];

    if (name) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "JWT was refused: %V (%s \"%V\")",
                      verdict, ctx->why, name);

    } else if (ctx->why) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "JWT was refused: %V (%s)", verdict, ctx->why);

    } else {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "JWT was refused: %V", verdict);
    }
}


ngx_int_t
ngx_http_apigw_jwt_refuse_general(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_uint_t status)
{
    ngx_http_apigw_problem_t  *pr;

    pr = &ctx->problem;

    ngx_memzero(pr, sizeof(ngx_http_apigw_problem_t));

    pr->status = status;
    ngx_str_set(&pr->detail, "The request does not fulfil what is required "
                             "here.");

    ngx_http_apigw_jwt_title(pr);

    return ngx_http_apigw_refuse(r, pr);
}


static void
ngx_http_apigw_jwt_title(ngx_http_apigw_problem_t *pr)
{
    ngx_http_apigw_jwt_title_t  *title;

    ngx_str_set(&pr->title, "Refused");

    for (title = ngx_http_apigw_jwt_titles; title->status; title++) {
        if (title->status == pr->status) {
            pr->title = title->title;
            return;
        }
    }
}


/* RFC 6750, section 3; RFC 9728, section 5.1. */

static ngx_int_t
ngx_http_apigw_jwt_challenge(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_scope_t *scope)
{
    size_t                     len;
    u_char                    *p;
    ngx_str_t                  realm, metadata, *description;
    ngx_http_apigw_problem_t  *pr;

    pr = &ctx->problem;

    if (lcf->challenge == NGX_HTTP_APIGW_JWT_OWN) {
        return ngx_http_complex_value(r, lcf->www_authenticate,
                                      &pr->authenticate);
    }

    ngx_str_null(&realm);
    ngx_str_null(&metadata);

    if (ngx_http_complex_value(r, lcf->realm, &realm) != NGX_OK
        || (lcf->resource_metadata
            && ngx_http_complex_value(r, lcf->resource_metadata, &metadata)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    description = &ngx_http_apigw_jwt_reasons[ctx->outcome].description;

    len = sizeof("Bearer realm=\"\", error=\"insufficient_scope\", "
                 "error_description=\"\", scope=\"\", "
                 "resource_metadata=\"\"") - 1
          + 2 * realm.len + description->len + 2 * metadata.len
          + (scope ? scope->text.len : 0);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    pr->authenticate.data = p;

    p = ngx_sprintf(p, "Bearer realm=");
    p = ngx_http_apigw_jwt_quote(p, &realm);

    if (scope) {
        p = ngx_sprintf(p, ", error=\"insufficient_scope\", scope=\"%V\"",
                        &scope->text);

    } else if (ctx->outcome != NGX_HTTP_APIGW_JWT_MISSING) {
        p = ngx_sprintf(p, ", error=\"invalid_token\"");

        if (description->len) {
            p = ngx_sprintf(p, ", error_description=\"%V\"", description);
        }
    }

    if (metadata.len) {
        p = ngx_sprintf(p, ", resource_metadata=");
        p = ngx_http_apigw_jwt_quote(p, &metadata);
    }

    pr->authenticate.len = p - pr->authenticate.data;

    return NGX_OK;
}


/* As a quoted-string: RFC 9110, section 5.6.4. */

static u_char *
ngx_http_apigw_jwt_quote(u_char *p, ngx_str_t *text)
{
    size_t  i;
    u_char  c;

    *p++ = '"';

    for (i = 0; i < text->len; i++) {

        c = text->data[i];

        if (c < 0x20 || c == 0x7f) {
            c = ' ';
        }

        if (c == '"' || c == '\\') {
            *p++ = '\\';
        }

        *p++ = c;
    }

    *p++ = '"';

    return p;
}


/* A scope has no character that would need an escape in JSON. */

static ngx_int_t
ngx_http_apigw_jwt_explain(ngx_http_request_t *r,
    ngx_http_apigw_jwt_scope_t *scope, ngx_str_t *members)
{
    u_char  *p;

    static const char  fmt[] = "\"error\":\"insufficient_scope\","
                               "\"scope\":\"%V\"";

    p = ngx_pnalloc(r->pool, sizeof(fmt) + scope->text.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    members->data = p;
    members->len = ngx_sprintf(p, fmt, &scope->text) - p;

    return NGX_OK;
}


/*
 * auth_jwt_metadata: the document of a protected resource (RFC 9728), made
 * while the configuration is read.
 */

char *
ngx_http_apigw_jwt_metadata(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    char                            *text, *rv;
    json_t                          *document;
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    if (lcf->metadata.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    rv = NGX_CONF_ERROR;

    if (!ngx_http_apigw_jwt_is_uri(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid resource \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_jwt_module);

    document = json_object();

    if (document == NULL
        || json_object_set_new(document, "resource",
                               json_stringn((char *) value[1].data,
                                            value[1].len))
           != 0
        || json_object_set_new(document, "bearer_methods_supported",
                               json_pack("[s]", "header"))
           != 0)
    {
        goto done;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_apigw_jwt_metadata_add(cf, jmcf, document, &value[i])
            != NGX_OK)
        {
            goto done;
        }
    }

    text = json_dumps(document, JSON_COMPACT);
    if (text == NULL) {
        goto done;
    }

    lcf->metadata.len = ngx_strlen(text);
    lcf->metadata.data = ngx_pnalloc(cf->pool, lcf->metadata.len + 1);

    if (lcf->metadata.data) {
        ngx_memcpy(lcf->metadata.data, text, lcf->metadata.len);
        lcf->metadata.data[lcf->metadata.len++] = LF;

        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
        clcf->handler = ngx_http_apigw_jwt_metadata_handler;

        rv = NGX_CONF_OK;
    }

    free(text);

done:

    json_decref(document);

    return rv;
}


static ngx_int_t
ngx_http_apigw_jwt_metadata_add(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, json_t *document, ngx_str_t *value)
{
    ngx_str_t     text;
    const char   *name;

    name = NULL;

    if (ngx_strncmp(value->data, "server=", 7) == 0) {
        text.data = value->data + 7;
        text.len = value->len - 7;

        if (ngx_http_apigw_jwt_is_uri(&text)) {
            name = "authorization_servers";
        }

    } else if (ngx_strncmp(value->data, "scope=", 6) == 0) {
        text.data = value->data + 6;
        text.len = value->len - 6;
        name = "scopes_supported";

    } else if (ngx_strncmp(value->data, "name=", 5) == 0) {
        text.data = value->data + 5;
        text.len = value->len - 5;
        name = "resource_name";

    } else if (ngx_strncmp(value->data, "documentation=", 14) == 0) {
        text.data = value->data + 14;
        text.len = value->len - 14;

        if (ngx_http_apigw_jwt_is_uri(&text)) {
            name = "resource_documentation";
        }
    }

    if (name && text.len) {

        if (name[0] == 'r') {

            if (json_object_get(document, name) == NULL
                && json_object_set_new(document, name,
                                       json_stringn((char *) text.data,
                                                    text.len))
                   == 0)
            {
                return NGX_OK;
            }

        } else if (ngx_http_apigw_jwt_metadata_list(document, name, &text)
                   == NGX_OK)
        {
            return NGX_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", value);

    return NGX_ERROR;
}


/* Several parameters, or a list with commas. */

static ngx_int_t
ngx_http_apigw_jwt_metadata_list(json_t *document, const char *name,
    ngx_str_t *text)
{
    u_char  *p, *last, *comma;
    json_t  *list;

    list = json_object_get(document, name);

    if (list == NULL) {
        list = json_array();

        if (json_object_set_new(document, name, list) != 0) {
            return NGX_ERROR;
        }
    }

    p = text->data;
    last = p + text->len;

    do {
        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        if (comma == p
            || json_array_append_new(list, json_stringn((char *) p, comma - p))
               != 0)
        {
            return NGX_ERROR;
        }

        p = comma + 1;

    } while (comma < last);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_apigw_jwt_is_uri(ngx_str_t *text)
{
    size_t  i, skip;

    if (ngx_strncmp(text->data, "https://", 8) == 0) {
        skip = 8;

    } else if (ngx_strncmp(text->data, "http://", 7) == 0) {
        skip = 7;

    } else {
        return 0;
    }

    for (i = 0; i < text->len; i++) {
        if (text->data[i] <= 0x20 || text->data[i] >= 0x7f
            || text->data[i] == '"' || text->data[i] == '#')
        {
            return 0;
        }
    }

    return text->len > skip;
}


static ngx_int_t
ngx_http_apigw_jwt_metadata_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       type;
    ngx_http_complex_value_t        cv;
    ngx_http_apigw_jwt_loc_conf_t  *lcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_jwt_module);

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    cv.value = lcf->metadata;
    ngx_str_set(&type, "application/json");

    return ngx_http_send_response(r, NGX_HTTP_OK, &type, &cv);
}
