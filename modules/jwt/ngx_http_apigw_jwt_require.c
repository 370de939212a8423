/*
 * Copyright (C) the apigw authors
 */


/*
 * What a location requires of a valid token: values of variables, claims,
 * members of the JOSE header, scopes.
 *
 * A rule that compares to something constant is looked at when the token is
 * verified, and its result is kept with the values of the token.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt.h"


#define NGX_HTTP_APIGW_JWT_MATCH  4096

/* the work of an expression may grow with any power of the text's length */

#define NGX_HTTP_APIGW_JWT_LIMIT  "(*LIMIT_MATCH=100000)"


static ngx_int_t ngx_http_apigw_jwt_require_status(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_str_t *value, ngx_uint_t *status);
static ngx_int_t ngx_http_apigw_jwt_rule_expected(ngx_conf_t *cf,
    ngx_http_apigw_jwt_rule_t *rule, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_jwt_rule_regex(ngx_conf_t *cf,
    ngx_http_apigw_jwt_rule_t *rule, ngx_str_t *value);
#if (NGX_PCRE)
static ngx_int_t ngx_http_apigw_jwt_rule_pattern(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *pattern);
static ngx_int_t ngx_http_apigw_jwt_limited(ngx_pool_t *pool,
    ngx_str_t *pattern);
static ngx_int_t ngx_http_apigw_jwt_rule_compile(ngx_http_request_t *r,
    ngx_http_apigw_jwt_rule_t *rule, json_t *expected);
#endif
static ngx_uint_t ngx_http_apigw_jwt_begins_variable(const u_char *p);
static ngx_int_t ngx_http_apigw_jwt_rule_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_rule_t *rule,
    ngx_uint_t nested);
static ngx_int_t ngx_http_apigw_jwt_rule_now(ngx_http_request_t *r,
    ngx_http_apigw_jwt_rule_t *rule, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_jwt_match(void *data, const u_char *text,
    size_t len);
static void ngx_http_apigw_jwt_json_free(void *data);
static ngx_uint_t ngx_http_apigw_jwt_is_scope(ngx_str_t *value);
static ngx_int_t ngx_http_apigw_jwt_add_scopes(ngx_conf_t *cf,
    ngx_array_t *scopes, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_jwt_join_scopes(ngx_conf_t *cf,
    ngx_http_apigw_jwt_scope_t *scope);


ngx_int_t
ngx_http_apigw_jwt_required(ngx_http_request_t *r, ngx_array_t *requires)
{
    ngx_str_t                      value;
    ngx_uint_t                     i, n;
    ngx_http_complex_value_t      *cv;
    ngx_http_apigw_jwt_require_t  *require;

    require = requires->elts;

    for (i = 0; i < requires->nelts; i++) {

        cv = require[i].values.elts;

        for (n = 0; n < require[i].values.nelts; n++) {

            if (ngx_http_complex_value(r, &cv[n], &value) != NGX_OK) {
                return NGX_ERROR;
            }

            if (value.len == 0 || (value.len == 1 && value.data[0] == '0')) {
                return require[i].status;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_jwt_rules(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_rule_t **failed)
{
    ngx_int_t                    rc;
    ngx_str_t                   *value;
    ngx_uint_t                   i;
    ngx_http_apigw_jwt_rule_t  **rule;

    if (lcf->rules == NULL) {
        return NGX_OK;
    }

    rule = lcf->rules->elts;

    for (i = 0; i < lcf->rules->nelts; i++) {

        value = &ctx->values[rule[i]->slot];

        /* the result of a constant rule, or the claim */

        rc = (value->data == NULL) ? NGX_DECLINED : NGX_OK;

        if (rc == NGX_OK && rule[i]->value) {
            rc = ngx_http_apigw_jwt_rule_now(r, rule[i], value);
        }

        if (rc != NGX_OK) {
            *failed = rule[i];
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_rule_now(ngx_http_request_t *r,
    ngx_http_apigw_jwt_rule_t *rule, ngx_str_t *value)
{
    json_t                     *json, *expected;
    ngx_int_t                   rc;
    ngx_str_t                   text;
    ngx_http_apigw_jwt_rule_t   now;

    if (ngx_http_complex_value(r, rule->value, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    expected = rule->json
               ? ngx_apigw_claims_expected_json(text.data, text.len)
               : ngx_apigw_claims_expected_string(text.data, text.len);

    if (expected == NULL) {
        return NGX_DECLINED;
    }

    now = *rule;
    rc = NGX_OK;

#if (NGX_PCRE)
    if (rule->test.op == NGX_APIGW_CLAIMS_MATCH) {
        rc = ngx_http_apigw_jwt_rule_compile(r, &now, expected);
    }
#endif

    if (rc == NGX_OK) {
        json = json_loadb((char *) value->data, value->len, JSON_DECODE_ANY,
                          NULL);

        if (!ngx_http_apigw_jwt_rule_met(r, &now, json, expected)) {
            rc = NGX_DECLINED;
        }

        json_decref(json);
    }

    json_decref(expected);

    return rc;
}


#if (NGX_PCRE)

/* An expression that only this request knows; what is none meets nothing. */

static ngx_int_t
ngx_http_apigw_jwt_rule_compile(ngx_http_request_t *r,
    ngx_http_apigw_jwt_rule_t *rule, json_t *expected)
{
    u_char               errstr[NGX_MAX_CONF_ERRSTR];
    ngx_regex_compile_t  rc;

    if (!json_is_string(expected)
        || json_string_length(expected) > NGX_HTTP_APIGW_JWT_MATCH)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(&rc, sizeof(ngx_regex_compile_t));

    rc.pattern.data = (u_char *) json_string_value(expected);
    rc.pattern.len = json_string_length(expected);
    rc.pool = r->pool;
    rc.err.len = NGX_MAX_CONF_ERRSTR;
    rc.err.data = errstr;

    if (ngx_http_apigw_jwt_limited(r->pool, &rc.pattern) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_regex_compile(&rc) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "%V", &rc.err);
        return NGX_DECLINED;
    }

    rule->regex = rc.regex;

    return NGX_OK;
}

#endif


/* With expected of NULL the rule's own is taken. */

ngx_uint_t
ngx_http_apigw_jwt_rule_met(ngx_http_request_t *r,
    ngx_http_apigw_jwt_rule_t *rule, json_t *json, json_t *expected)
{
    return ngx_apigw_claims_test(&rule->test, json,
                                 expected ? expected : rule->expected,
                                 ngx_http_apigw_jwt_match, rule)
           == NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_match(void *data, const u_char *text, size_t len)
{
#if (NGX_PCRE)
    ngx_http_apigw_jwt_rule_t *rule = data;

    ngx_int_t  n;
    ngx_str_t  subject;

    if (len > NGX_HTTP_APIGW_JWT_MATCH) {
        return NGX_ERROR;
    }

    subject.data = (u_char *) text;
    subject.len = len;

    n = ngx_regex_exec(rule->regex, &subject, NULL, 0);

    if (n >= 0) {
        return NGX_OK;
    }

    if (n == NGX_REGEX_NO_MATCHED) {
        return NGX_DECLINED;
    }
#endif

    return NGX_ERROR;
}


ngx_http_apigw_jwt_scope_t *
ngx_http_apigw_jwt_lacks(ngx_http_apigw_jwt_loc_conf_t *lcf,
    ngx_http_apigw_jwt_ctx_t *ctx)
{
    ngx_uint_t                    i;
    ngx_http_apigw_jwt_scope_t  **scope;

    if (lcf->scopes == NULL) {
        return NULL;
    }

    scope = lcf->scopes->elts;

    for (i = 0; i < lcf->scopes->nelts; i++) {
        if (ctx->values[scope[i]->slot].data == NULL) {
            return scope[i];
        }
    }

    return NULL;
}


/*
 * auth_jwt_require, auth_require: all of one level hold; a level that has any
 * replaces those above it.
 */

char *
ngx_http_apigw_jwt_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_array_t                      **requires;
    ngx_http_complex_value_t          *cv;
    ngx_http_apigw_jwt_require_t      *require;
    ngx_http_compile_complex_value_t   ccv;

    requires = (ngx_array_t **) (p + cmd->offset);

    if (cmd->offset == offsetof(ngx_http_apigw_jwt_loc_conf_t, requires)) {
        ngx_http_apigw_jwt_needs(cf, cmd, conf);
    }

    if (*requires == NGX_CONF_UNSET_PTR) {
        *requires = ngx_array_create(cf->pool, 2,
                                     sizeof(ngx_http_apigw_jwt_require_t));
        if (*requires == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    require = ngx_array_push(*requires);
    if (require == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_array_init(&require->values, cf->pool, cf->args->nelts - 1,
                       sizeof(ngx_http_complex_value_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    require->status = 0;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "error=", 6) == 0) {

            if (ngx_http_apigw_jwt_require_status(cf, cmd, &value[i],
                                                  &require->status)
                != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        /* what does not depend on anything requires nothing */

        if (value[i].data[0] != '$') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "value \"%V\" does not begin with a variable",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        cv = ngx_array_push(&require->values);

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = cv;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    if (require->values.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have a value", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (require->status == 0) {
        require->status = cmd->post ? NGX_HTTP_FORBIDDEN
                                    : NGX_HTTP_UNAUTHORIZED;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_require_status(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *value, ngx_uint_t *status)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data + 6, value->len - 6);

    /* nginx's own codes are of no use to a client */

    if (*status || n < 400 || n > 599 || n == NGX_HTTP_CLOSE
        || (n >= 494 && n <= 499))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", value);
        return NGX_ERROR;
    }

    *status = n;

    return NGX_OK;
}


/* auth_jwt_require_claim, auth_jwt_require_header */

char *
ngx_http_apigw_jwt_require_rule(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t                   *value;
    ngx_http_apigw_jwt_rule_t   *rule, **rp;

    value = cf->args->elts;

    rule = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_rule_t));
    if (rule == NULL) {
        return NGX_CONF_ERROR;
    }

    rule->header = (cmd->post != NULL);
    rule->name = value[1];
    rule->slot = NGX_HTTP_APIGW_JWT_NONE;

    ngx_http_apigw_jwt_line(cf, &rule->line);
    ngx_http_apigw_jwt_needs(cf, cmd, lcf);

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_apigw_claims_test_parse(&rule->test, &value[2]) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid operator \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (rule->test.op == NGX_APIGW_CLAIMS_MATCH
        && !ngx_http_apigw_jwt_begins_variable(value[3].data))
    {
        if (ngx_http_apigw_jwt_rule_regex(cf, rule, &value[3]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

    } else if (ngx_http_apigw_jwt_rule_expected(cf, rule, &value[3])
               != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (lcf->rules == NGX_CONF_UNSET_PTR) {
        lcf->rules = ngx_array_create(cf->pool, 4,
                                      sizeof(ngx_http_apigw_jwt_rule_t *));
        if (lcf->rules == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    rp = ngx_array_push(lcf->rules);
    if (rp == NULL) {
        return NGX_CONF_ERROR;
    }

    *rp = rule;

    return NGX_CONF_OK;
}


/* "json=..." and what begins with a variable is JSON, the rest is a string. */

static ngx_int_t
ngx_http_apigw_jwt_rule_expected(ngx_conf_t *cf,
    ngx_http_apigw_jwt_rule_t *rule, ngx_str_t *value)
{
    ngx_str_t                          text;
    ngx_pool_cleanup_t                *cln;
    ngx_http_compile_complex_value_t   ccv;

    text = *value;

    if (text.len && text.data[0] == '$') {
        rule->json = 1;

    } else if (ngx_strncmp(text.data, "json=", 5) == 0) {
        rule->json = 1;
        text.data += 5;
        text.len -= 5;
    }

    if (ngx_http_script_variables_count(&text)) {

        rule->value = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (rule->value == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &text;
        ccv.complex_value = rule->value;

        return ngx_http_compile_complex_value(&ccv);
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    rule->expected = rule->json
                     ? ngx_apigw_claims_expected_json(text.data, text.len)
                     : ngx_apigw_claims_expected_string(text.data, text.len);

    if (rule->expected == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\"", value);
        return NGX_ERROR;
    }

    cln->handler = ngx_http_apigw_jwt_json_free;
    cln->data = rule->expected;

    if (!ngx_apigw_claims_test_fits(&rule->test, rule->expected)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the value \"%V\" is of no type that the operator "
                           "compares with", value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_apigw_jwt_json_free(void *data)
{
    json_decref(data);
}


static ngx_int_t
ngx_http_apigw_jwt_rule_regex(ngx_conf_t *cf, ngx_http_apigw_jwt_rule_t *rule,
    ngx_str_t *value)
{
#if (NGX_PCRE)
    u_char               errstr[NGX_MAX_CONF_ERRSTR];
    ngx_regex_compile_t  rc;

    ngx_memzero(&rc, sizeof(ngx_regex_compile_t));

    if (ngx_http_apigw_jwt_rule_pattern(cf, value, &rc.pattern) != NGX_OK
        || ngx_http_apigw_jwt_limited(cf->pool, &rc.pattern) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc.pool = cf->pool;
    rc.err.len = NGX_MAX_CONF_ERRSTR;
    rc.err.data = errstr;

    if (ngx_regex_compile(&rc) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V", &rc.err);
        return NGX_ERROR;
    }

    rule->regex = rc.regex;

    return NGX_OK;
#else
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"match\" needs an nginx with the PCRE library");
    return NGX_ERROR;
#endif
}


#if (NGX_PCRE)

/*
 * A text that was not meant as an expression matches nothing, and "!match"
 * would let everybody in.
 */

static ngx_int_t
ngx_http_apigw_jwt_rule_pattern(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *pattern)
{
    u_char     *p;
    json_t     *json;
    ngx_str_t   text;

    *pattern = *value;

    if (ngx_strncmp(value->data, "json=", 5) == 0) {

        json = ngx_apigw_claims_expected_json(value->data + 5, value->len - 5);

        if (!json_is_string(json)) {
            json_decref(json);
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "the regular expression \"%V\" is not a JSON "
                               "string", value);
            return NGX_ERROR;
        }

        text.data = (u_char *) json_string_value(json);
        text.len = json_string_length(json) + 1;

        pattern->data = ngx_pstrdup(cf->pool, &text);
        pattern->len = text.len - 1;

        json_decref(json);

        if (pattern->data == NULL) {
            return NGX_ERROR;
        }
    }

    for (p = pattern->data; *p; p++) {

        if (*p == '\\' && p[1]) {
            p++;

        } else if (ngx_http_apigw_jwt_begins_variable(p)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "the regular expression \"%V\" cannot have "
                               "variables; write \"\\$\" for a \"$\", or "
                               "name one variable that has all of it", value);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Puts a limit before the expression; the text stays terminated. */

static ngx_int_t
ngx_http_apigw_jwt_limited(ngx_pool_t *pool, ngx_str_t *pattern)
{
    u_char  *p;

    p = ngx_pnalloc(pool, sizeof(NGX_HTTP_APIGW_JWT_LIMIT) + pattern->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    pattern->len = ngx_sprintf(p, NGX_HTTP_APIGW_JWT_LIMIT "%V%Z", pattern)
                   - p - 1;
    pattern->data = p;

    return NGX_OK;
}

#endif


static ngx_uint_t
ngx_http_apigw_jwt_begins_variable(const u_char *p)
{
    return p[0] == '$'
           && (p[1] == '{' || p[1] == '_'
               || (p[1] >= '0' && p[1] <= '9')
               || ((p[1] | 0x20) >= 'a' && (p[1] | 0x20) <= 'z'));
}


/* auth_jwt_scope a b | any=a,b */

char *
ngx_http_apigw_jwt_require_scope(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_int_t                     rc;
    ngx_str_t                    *value, text;
    ngx_uint_t                    i;
    ngx_http_apigw_jwt_scope_t   *scope, **sp;

    scope = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_scope_t));
    if (scope == NULL) {
        return NGX_CONF_ERROR;
    }

    scope->slot = NGX_HTTP_APIGW_JWT_NONE;

    ngx_http_apigw_jwt_needs(cf, cmd, lcf);

    if (ngx_array_init(&scope->scopes, cf->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "any=", 4) == 0) {

        if (cf->args->nelts > 2) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        scope->any = 1;

        text.data = value[1].data + 4;
        text.len = value[1].len - 4;

        rc = ngx_http_apigw_jwt_add_scopes(cf, &scope->scopes, &text);

    } else {
        rc = NGX_OK;

        for (i = 1; i < cf->args->nelts && rc == NGX_OK; i++) {

            if (!ngx_http_apigw_jwt_is_scope(&value[i])) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid scope \"%V\", names are "
                                   "separated by spaces, or with \"any=\" "
                                   "by commas", &value[i]);
                return NGX_CONF_ERROR;
            }

            rc = ngx_http_apigw_jwt_add_scopes(cf, &scope->scopes, &value[i]);
        }
    }

    if (rc != NGX_OK
        || ngx_http_apigw_jwt_join_scopes(cf, scope) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (lcf->scopes == NGX_CONF_UNSET_PTR) {
        lcf->scopes = ngx_array_create(cf->pool, 2,
                                       sizeof(ngx_http_apigw_jwt_scope_t *));
        if (lcf->scopes == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    sp = ngx_array_push(lcf->scopes);
    if (sp == NULL) {
        return NGX_CONF_ERROR;
    }

    *sp = scope;

    return NGX_CONF_OK;
}


/* What looks like a parameter, or like a list, was hardly meant as a name. */

static ngx_uint_t
ngx_http_apigw_jwt_is_scope(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 'a' || value->data[i] > 'z') {
            break;
        }
    }

    return (i == 0 || i == value->len || value->data[i] != '=')
           && ngx_strlchr(value->data, value->data + value->len, ',') == NULL;
}


/* RFC 6749, 3.3: printable, without spaces, quotes and backslashes. */

static ngx_int_t
ngx_http_apigw_jwt_add_scopes(ngx_conf_t *cf, ngx_array_t *scopes,
    ngx_str_t *value)
{
    u_char     *p, *last;
    ngx_str_t  *scope;

    p = value->data;
    last = p + value->len;

    scope = ngx_array_push(scopes);
    if (scope == NULL) {
        return NGX_ERROR;
    }

    scope->data = p;
    scope->len = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == ',') {

            if (scope->len == 0) {
                break;
            }

            scope = ngx_array_push(scopes);
            if (scope == NULL) {
                return NGX_ERROR;
            }

            scope->data = p + 1;
            scope->len = 0;

            continue;
        }

        if (*p <= 0x20 || *p >= 0x7f || *p == '"' || *p == '\\') {
            break;
        }

        scope->len++;
    }

    if (p < last || scope->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid scope \"%V\"", value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_join_scopes(ngx_conf_t *cf,
    ngx_http_apigw_jwt_scope_t *scope)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *name;
    ngx_uint_t   i;

    len = 0;
    name = scope->scopes.elts;

    for (i = 0; i < scope->scopes.nelts; i++) {
        len += name[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    scope->text.data = p;
    scope->text.len = len - 1;

    for (i = 0; i < scope->scopes.nelts; i++) {
        p = ngx_cpymem(p, name[i].data, name[i].len);
        *p++ = ' ';
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_jwt_require_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *lcf)
{
    ngx_uint_t                        i;
    ngx_apigw_claims_path_t           path;
    ngx_http_apigw_jwt_rule_t       **rule;
    ngx_http_apigw_jwt_scope_t      **scope;
    ngx_http_apigw_jwt_main_conf_t   *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_jwt_module);

    if (lcf->rules && lcf->rules != NGX_CONF_UNSET_PTR) {

        rule = lcf->rules->elts;

        for (i = 0; i < lcf->rules->nelts; i++) {

            if (rule[i]->slot == NGX_HTTP_APIGW_JWT_NONE
                && ngx_http_apigw_jwt_rule_init(cf, jmcf, rule[i],
                              lcf->nested == NGX_CONF_UNSET_UINT ? 0
                                                                 : lcf->nested)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    if (lcf->scopes && lcf->scopes != NGX_CONF_UNSET_PTR) {

        ngx_memzero(&path, sizeof(ngx_apigw_claims_path_t));

        scope = lcf->scopes->elts;

        for (i = 0; i < lcf->scopes->nelts; i++) {

            if (scope[i]->slot != NGX_HTTP_APIGW_JWT_NONE) {
                continue;
            }

            scope[i]->slot = ngx_http_apigw_jwt_slot_add(jmcf,
                                               NGX_HTTP_APIGW_JWT_SCOPES, 0,
                                               &path, scope[i]);
            if (scope[i]->slot == NGX_HTTP_APIGW_JWT_NONE) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_jwt_merge_rules(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *prev, ngx_http_apigw_jwt_loc_conf_t *conf)
{
    ngx_uint_t    n;
    ngx_array_t  *own;

    own = conf->rules;

    if (own == NGX_CONF_UNSET_PTR) {
        conf->rules = (prev->rules == NGX_CONF_UNSET_PTR) ? NULL : prev->rules;
        return NGX_OK;
    }

    if (prev->rules == NULL || prev->rules == NGX_CONF_UNSET_PTR) {
        return NGX_OK;
    }

    /* those above come first */

    n = prev->rules->nelts;

    conf->rules = ngx_array_create(cf->pool, n + own->nelts,
                                   sizeof(ngx_http_apigw_jwt_rule_t *));
    if (conf->rules == NULL) {
        return NGX_ERROR;
    }

    conf->rules->nelts = n + own->nelts;

    ngx_memcpy(conf->rules->elts, prev->rules->elts,
               n * sizeof(ngx_http_apigw_jwt_rule_t *));
    ngx_memcpy((ngx_http_apigw_jwt_rule_t **) conf->rules->elts + n, own->elts,
               own->nelts * sizeof(ngx_http_apigw_jwt_rule_t *));

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_rule_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_rule_t *rule,
    ngx_uint_t nested)
{
    ngx_str_t                     name;
    const char                   *err;
    ngx_apigw_claims_path_t       path;
    ngx_http_apigw_jwt_nested_t  *nesteds;

    ngx_memzero(&path, sizeof(ngx_apigw_claims_path_t));

    /* escapes are resolved in place */

    name.len = rule->name.len;
    name.data = ngx_pstrdup(cf->pool, &rule->name);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    nesteds = jmcf->nesteds.elts;

    if (name.data[0] == '.') {
        err = ngx_apigw_claims_path_jq(&path, &name);

    } else if (nested) {
        err = ngx_apigw_claims_path_split(&path, &name,
                                          &nesteds[nested - 1].delimiter,
                                          &nesteds[nested - 1].quote);
    } else {
        err = ngx_apigw_claims_path_names(&path, &name, 1);
    }

    if (err) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "invalid name \"%V\" of a JWT claim in "
                      "\"auth_jwt_require_%s\": %s in %s:%ui", &rule->name,
                      rule->header ? "header" : "claim", err,
                      rule->line.file, rule->line.number);
        return NGX_ERROR;
    }

    rule->slot = ngx_http_apigw_jwt_slot_add(jmcf,
                                 rule->value ? NGX_HTTP_APIGW_JWT_JSON
                                             : NGX_HTTP_APIGW_JWT_RULE,
                                 rule->header, &path,
                                 rule->value ? NULL : rule);

    return rule->slot == NGX_HTTP_APIGW_JWT_NONE ? NGX_ERROR : NGX_OK;
}
