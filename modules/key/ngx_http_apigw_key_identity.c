/*
 * Copyright (C) the apigw authors
 */


/* What is known about the caller, as variables. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_key.h"


static ngx_int_t ngx_http_apigw_key_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_expires_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_rate_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_burst_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_quota_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_label_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_key_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_apigw_key_record_t *ngx_http_apigw_key_record(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, ngx_int_t *rc);
static ngx_int_t ngx_http_apigw_key_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, int64_t n, const char *suffix);


static ngx_http_variable_t  ngx_http_apigw_key_vars[] = {

    { ngx_string("api_key_id"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, id), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_consumer"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, consumer), NGX_HTTP_VAR_NOCACHEABLE,
      0 },

    { ngx_string("api_key_plan"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, plan), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_name"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, name), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_scopes"), NULL, ngx_http_apigw_key_text_variable,
      offsetof(ngx_apigw_key_record_t, scopes), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_expires"), NULL,
      ngx_http_apigw_key_expires_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_rate"), NULL, ngx_http_apigw_key_rate_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_burst"), NULL, ngx_http_apigw_key_burst_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_quota"), NULL, ngx_http_apigw_key_quota_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_status"), NULL, ngx_http_apigw_key_status_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_key_label_"), NULL, ngx_http_apigw_key_label_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_http_apigw_key_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec) {
        ngx_http_apigw_variable_set(v, (ngx_str_t *) ((u_char *) rec + data));
    }

    return rc;
}


static ngx_int_t
ngx_http_apigw_key_expires_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec && rec->expires) {
        return ngx_http_apigw_key_number(r, v, rec->expires, "");
    }

    return rc;
}


static ngx_int_t
ngx_http_apigw_key_rate_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_str_t                value;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec == NULL || rec->rate == 0) {
        return rc;
    }

    value.data = ngx_pnalloc(r->pool, NGX_APIGW_KEY_RATE_TEXT);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_apigw_key_rate_text(rec, value.data);

    ngx_http_apigw_variable_set(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_burst_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec && rec->burst >= 0) {
        return ngx_http_apigw_key_number(r, v, rec->burst, "");
    }

    return rc;
}


/* "1000/day,50000/month" */

static ngx_int_t
ngx_http_apigw_key_quota_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                   pos, len;
    u_char                  *p;
    int64_t                  limit;
    ngx_int_t                rc;
    ngx_str_t                value;
    ngx_apigw_key_record_t  *rec;
    ngx_apigw_key_period_e   period;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec == NULL || rec->quotas.len == 0) {
        return rc;
    }

    pos = 0;
    len = 0;

    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {
        len += NGX_INT64_LEN + sizeof("/lifetime,") - 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    pos = 0;

    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {

        if (p != value.data) {
            *p++ = ',';
        }

        p = ngx_sprintf(p, "%L/%s", limit, ngx_apigw_key_period_name(period));
    }

    value.len = p - value.data;

    ngx_http_apigw_variable_set(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_label_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                rc;
    ngx_str_t                name, value;
    ngx_str_t               *variable = (ngx_str_t *) data;
    ngx_apigw_key_record_t  *rec;

    rec = ngx_http_apigw_key_record(r, v, &rc);

    if (rec == NULL) {
        return rc;
    }

    name.data = variable->data + sizeof("api_key_label_") - 1;
    name.len = variable->len - (sizeof("api_key_label_") - 1);

    if (ngx_apigw_key_label_get(rec, &name, &value)) {
        ngx_http_apigw_variable_set(v, &value);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                  rc;
    ngx_http_apigw_key_ctx_t  *ctx;

    rc = ngx_http_apigw_key_authenticate(r, &ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        v->valid = 0;
        v->no_cacheable = 0;
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_apigw_variable_set(v,
                                &ngx_http_apigw_key_verdicts[ctx->verdict]);

    return NGX_OK;
}


/*
 * The record of the caller's valid key, or NULL and what a getter then
 * returns, with the variable set to "not found".
 */

static ngx_apigw_key_record_t *
ngx_http_apigw_key_record(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    ngx_int_t *rc)
{
    ngx_http_apigw_key_ctx_t  *ctx;

    v->valid = 0;
    v->no_cacheable = 0;
    v->not_found = 1;

    if (ngx_http_apigw_key_authenticate(r, &ctx) == NGX_ERROR) {
        *rc = NGX_ERROR;
        return NULL;
    }

    *rc = NGX_OK;

    return (ctx && ctx->entry) ? &ctx->entry->record : NULL;
}


static ngx_int_t
ngx_http_apigw_key_number(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    int64_t n, const char *suffix)
{
    u_char     *p;
    ngx_str_t   value;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + ngx_strlen(suffix));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%L%s", n, suffix) - p;

    ngx_http_apigw_variable_set(v, &value);

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_key_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_apigw_key_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}
