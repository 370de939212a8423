/*
 * Copyright (C) the apigw authors
 */


/* The scopes that a location requires of a key. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_key.h"


static ngx_int_t ngx_http_apigw_key_explain_bearer(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_problem_t *pr,
    ngx_http_apigw_key_require_t *require);
static size_t ngx_http_apigw_key_scopes_length(
    ngx_http_apigw_key_require_t *require);


ngx_http_apigw_key_require_t *
ngx_http_apigw_key_lacks(ngx_http_apigw_key_loc_conf_t *lcf,
    ngx_apigw_key_record_t *rec)
{
    ngx_str_t                     *scope;
    ngx_uint_t                     i, n, has;
    ngx_http_apigw_key_require_t  *require;

    if (lcf->requires == NULL) {
        return NULL;
    }

    require = lcf->requires->elts;

    for (i = 0; i < lcf->requires->nelts; i++) {

        scope = require[i].scopes->elts;
        has = 0;

        for (n = 0; n < require[i].scopes->nelts; n++) {
            has += ngx_apigw_key_scope_has(rec, &scope[n]);
        }

        if (has < (require[i].any ? 1 : n)) {
            return &require[i];
        }
    }

    return NULL;
}


/*
 * Names the scopes that are missing.  A scope has no character that would
 * need an escape in JSON or in a quoted string.
 */

ngx_int_t
ngx_http_apigw_key_explain(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_problem_t *pr,
    ngx_http_apigw_key_require_t *require, ngx_apigw_key_record_t *rec)
{
    u_char      *p;
    ngx_str_t   *scope;
    ngx_uint_t   i;

    p = ngx_pnalloc(r->pool, sizeof("\"error\":\"insufficient_scope\","
                                    "\"missing_scopes\":[]") - 1
                             + ngx_http_apigw_key_scopes_length(require));
    if (p == NULL) {
        return NGX_ERROR;
    }

    pr->members.data = p;

    p = ngx_sprintf(p, "\"error\":\"insufficient_scope\","
                       "\"missing_scopes\":[");

    scope = require->scopes->elts;

    for (i = 0; i < require->scopes->nelts; i++) {

        if (ngx_apigw_key_scope_has(rec, &scope[i])) {
            continue;
        }

        p = ngx_sprintf(p, "%s\"%V\"", (p[-1] == '[') ? "" : ",", &scope[i]);
    }

    *p++ = ']';

    pr->members.len = p - pr->members.data;

    if (pr->detail.len == 0) {

        if (require->any) {
            ngx_str_set(&pr->detail,
                        "The API key has none of the scopes needed here.");

        } else {
            ngx_str_set(&pr->detail,
                        "The API key lacks a scope needed here.");
        }
    }

    return ngx_http_apigw_key_explain_bearer(r, lcf, pr, require);
}


/* RFC 6750, section 3.1, for who sends a bearer token */

static ngx_int_t
ngx_http_apigw_key_explain_bearer(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_problem_t *pr,
    ngx_http_apigw_key_require_t *require)
{
    u_char      *p;
    ngx_str_t   *scope;
    ngx_uint_t   i;

    if (ngx_strncmp(lcf->challenge[0].data, "Bearer", 6) != 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("Bearer realm=\"\", "
                                    "error=\"insufficient_scope\", "
                                    "scope=\"\"") - 1
                             + lcf->realm.len
                             + ngx_http_apigw_key_scopes_length(require));
    if (p == NULL) {
        return NGX_ERROR;
    }

    pr->authenticate.data = p;

    p = ngx_sprintf(p, "Bearer realm=\"%V\", error=\"insufficient_scope\", "
                       "scope=\"", &lcf->realm);

    scope = require->scopes->elts;

    for (i = 0; i < require->scopes->nelts; i++) {
        p = ngx_sprintf(p, "%s%V", i ? " " : "", &scope[i]);
    }

    *p++ = '"';

    pr->authenticate.len = p - pr->authenticate.data;

    return NGX_OK;
}


/* With room for quotes and a comma. */

static size_t
ngx_http_apigw_key_scopes_length(ngx_http_apigw_key_require_t *require)
{
    size_t       len;
    ngx_str_t   *scope;
    ngx_uint_t   i;

    len = 0;
    scope = require->scopes->elts;

    for (i = 0; i < require->scopes->nelts; i++) {
        len += scope[i].len + sizeof("\"\",") - 1;
    }

    return len;
}


/* All of one level hold; a level that has any replaces those above it. */

char *
ngx_http_apigw_key_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_key_loc_conf_t  *lcf = conf;

    u_char                        *p, *last, *comma;
    ngx_str_t                     *value, *scope;
    ngx_http_apigw_key_require_t  *require;

    value = cf->args->elts;

    if (lcf->requires == NGX_CONF_UNSET_PTR) {
        lcf->requires = ngx_array_create(cf->pool, 2,
                                         sizeof(ngx_http_apigw_key_require_t));
        if (lcf->requires == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    require = ngx_array_push(lcf->requires);
    if (require == NULL) {
        return NGX_CONF_ERROR;
    }

    require->file = cf->conf_file->file.name.data;
    require->line = cf->conf_file->line;

    if (ngx_strncmp(value[1].data, "scope=", 6) == 0) {
        require->any = 0;
        p = value[1].data + 6;

    } else if (ngx_strncmp(value[1].data, "any=", 4) == 0) {
        require->any = 1;
        p = value[1].data + 4;

    } else {
        goto invalid;
    }

    require->scopes = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
    if (require->scopes == NULL) {
        return NGX_CONF_ERROR;
    }

    last = value[1].data + value[1].len;

    do {
        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        scope = ngx_array_push(require->scopes);
        if (scope == NULL) {
            return NGX_CONF_ERROR;
        }

        scope->data = p;
        scope->len = comma - p;

        if (ngx_apigw_key_scope_check(scope) != NGX_OK) {
            goto invalid;
        }

        p = comma + 1;

    } while (comma < last);

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", it has to be "
                       "\"scope=name,...\" or \"any=name,...\"", &value[1]);

    return NGX_CONF_ERROR;
}


/*
 * Where scopes are demanded, keys have to be checked; "off" below such a
 * level means what it says.
 */

char *
ngx_http_apigw_key_check_require(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *prev, ngx_http_apigw_key_loc_conf_t *conf)
{
    ngx_array_t                   *requires;
    ngx_http_apigw_key_require_t  *require;

    if (conf->requires != NGX_CONF_UNSET_PTR
        && (conf->shm_zone == NULL
            || (conf->shm_zone == NGX_CONF_UNSET_PTR
                && (prev->shm_zone == NGX_CONF_UNSET_PTR
                    || prev->shm_zone == NULL))))
    {
        requires = conf->requires;

    } else if (prev->requires != NGX_CONF_UNSET_PTR && prev->requires
               && prev->shm_zone == NGX_CONF_UNSET_PTR)
    {
        requires = prev->requires;

    } else {
        return NGX_CONF_OK;
    }

    require = requires->elts;

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"auth_api_key_require\" has no effect without "
                  "\"auth_api_key\" on the same level or above in %s:%ui",
                  require->file, require->line);

    return NGX_CONF_ERROR;
}
