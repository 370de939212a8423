/*
 * Copyright (C) the apigw authors
 */


/* The directives that say how tokens are verified, and the policies. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt.h"


static ngx_int_t ngx_http_apigw_jwt_parameter(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_jwt_add_text(ngx_conf_t *cf,
    ngx_array_t *list, ngx_str_t *text);
static void ngx_http_apigw_jwt_source_volatile(ngx_conf_t *cf,
    ngx_uint_t index);
static ngx_int_t ngx_http_apigw_jwt_find_issuers(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_loc_conf_t *conf,
    ngx_array_t **issuers);
static ngx_int_t ngx_http_apigw_jwt_find_zone(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_loc_conf_t *conf,
    ngx_array_t *issuers);
static ngx_int_t ngx_http_apigw_jwt_only_zone(ngx_conf_t *cf,
    ngx_array_t *zones, ngx_http_apigw_jwt_loc_conf_t *conf);
static ngx_uint_t ngx_http_apigw_jwt_same_policy(
    ngx_http_apigw_jwt_policy_t *one, ngx_http_apigw_jwt_policy_t *two);
static ngx_uint_t ngx_http_apigw_jwt_same_sources(ngx_array_t *one,
    ngx_array_t *two);
static ngx_uint_t ngx_http_apigw_jwt_same_pointers(ngx_array_t *one,
    ngx_array_t *two);
static ngx_uint_t ngx_http_apigw_jwt_same_texts(ngx_array_t *one,
    ngx_array_t *two);


/* auth_jwt realm [token=$variable] [issuer=name ...] | off */

char *
ngx_http_apigw_jwt(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_compile_complex_value_t   ccv;

    if (lcf->realm != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    ngx_http_apigw_jwt_line(cf, &lcf->line);

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        lcf->realm = NULL;

        return NGX_CONF_OK;
    }

    lcf->realm = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (lcf->realm == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = lcf->realm;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_apigw_jwt_parameter(cf, lcf, &value[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_parameter(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_str_t *value)
{
    ngx_str_t  name;

    if (ngx_strncmp(value->data, "token=$", 7) == 0
        && value->len > 7 && lcf->token == NGX_CONF_UNSET)
    {
        name.data = value->data + 7;
        name.len = value->len - 7;

        if (name.len > 2 && name.data[0] == '{'
            && name.data[name.len - 1] == '}')
        {
            name.data++;
            name.len -= 2;
        }

        ngx_http_apigw_jwt_place(lcf, &name);

        lcf->token = ngx_http_get_variable_index(cf, &name);

        return lcf->token == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (ngx_strncmp(value->data, "issuer=", 7) == 0 && value->len > 7) {

        if (lcf->issuers == NGX_CONF_UNSET_PTR) {
            lcf->issuers = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
            if (lcf->issuers == NULL) {
                return NGX_ERROR;
            }
        }

        name.data = value->data + 7;
        name.len = value->len - 7;

        return ngx_http_apigw_jwt_add_text(cf, lcf->issuers, &name);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", value);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_apigw_jwt_add_text(ngx_conf_t *cf, ngx_array_t *list, ngx_str_t *text)
{
    ngx_str_t   *each;
    ngx_uint_t   i;

    each = list->elts;

    for (i = 0; i < list->nelts; i++) {
        if (each[i].len == text->len
            && ngx_memcmp(each[i].data, text->data, text->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate \"%V\"", text);
            return NGX_ERROR;
        }
    }

    each = ngx_array_push(list);
    if (each == NULL) {
        return NGX_ERROR;
    }

    *each = *text;

    return NGX_OK;
}


/*
 * auth_jwt_key_file, auth_jwt_key_request: all of one level; a level that has
 * any replaces those above it.
 */

char *
ngx_http_apigw_jwt_source(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t                         *value;
    ngx_http_apigw_jwt_source_t       *source;
    ngx_http_compile_complex_value_t   ccv;

    value = cf->args->elts;

    if (lcf->sources == NGX_CONF_UNSET_PTR) {

        ngx_http_apigw_jwt_line(cf, &lcf->sources_line);

        lcf->sources = ngx_array_create(cf->pool, 2,
                                        sizeof(ngx_http_apigw_jwt_source_t));
        if (lcf->sources == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (lcf->sources->nelts == NGX_HTTP_APIGW_JWT_SOURCES) {
        return "is given too often";
    }

    source = ngx_array_push(lcf->sources);
    if (source == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(source, sizeof(ngx_http_apigw_jwt_source_t));

    source->request = (cmd->post != NULL);
    source->format = NGX_APIGW_JWKS_ANY;

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "jwks") == 0) {
            source->format = NGX_APIGW_JWKS_JSON;

        } else if (ngx_strcmp(value[2].data, "keyval") == 0) {
            source->format = NGX_APIGW_JWKS_KEYVAL;

        } else if (ngx_strcmp(value[2].data, "pem") == 0) {
            source->format = NGX_APIGW_JWKS_PEM;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    if (value[1].len == 0
        || (source->request && value[1].data[0] != '/'
            && value[1].data[0] != '$'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = &source->value;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (source->request || source->value.lengths) {
        return NGX_CONF_OK;
    }

    source->keys = ngx_http_apigw_jwt_keys_add(cf, &value[1], source->format,
                                               0);

    return source->keys ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* auth_jwt_revocation_list_sub, auth_jwt_revocation_list_kid */

char *
ngx_http_apigw_jwt_list(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t                   *value;
    ngx_array_t                **lists;
    ngx_http_apigw_jwt_keys_t   *list, **lp;

    lists = (ngx_array_t **) (p + cmd->offset);

    value = cf->args->elts;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    ngx_http_apigw_jwt_needs(cf, cmd, conf);

    list = ngx_http_apigw_jwt_keys_add(cf, &value[1], NGX_APIGW_JWKS_JSON, 1);

    if (list && *lists == NGX_CONF_UNSET_PTR) {
        *lists = ngx_array_create(cf->pool, 1, sizeof(list));
    }

    lp = (list && *lists) ? ngx_array_push(*lists) : NULL;
    if (lp == NULL) {
        return NGX_CONF_ERROR;
    }

    *lp = list;

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_jwt_type(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->type != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "encrypted") == 0
        || ngx_strcmp(value[1].data, "nested") == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "tokens of the type \"%V\" are not supported, only "
                           "\"signed\" ones are", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "signed") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid type \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    lcf->type = NGX_HTTP_APIGW_JWT_SIGNED;

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_jwt_algorithms(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_apigw_jwa_t   algorithm;

    if (lcf->algorithms) {
        return "is duplicate";
    }

    ngx_http_apigw_jwt_needs(cf, cmd, lcf);

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        algorithm = ngx_apigw_jwa_parse(value[i].data, value[i].len);

        if (algorithm == 0 || (lcf->algorithms & algorithm)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s algorithm \"%V\"",
                               algorithm ? "duplicate" : "unknown", &value[i]);
            return NGX_CONF_ERROR;
        }

        lcf->algorithms |= algorithm;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_jwt_audiences(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;

    if (lcf->audience != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    ngx_http_apigw_jwt_needs(cf, cmd, lcf);

    value = cf->args->elts;

    lcf->audience = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                     sizeof(ngx_str_t));
    if (lcf->audience == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid audience \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_apigw_jwt_add_text(cf, lcf->audience, &value[i])
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* auth_jwt_cache zone=name [max=time] | off */

char *
ngx_http_apigw_jwt_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t   *value, text;
    ngx_uint_t   i;

    if (lcf->cache != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    lcf->cache = 0;
    lcf->cache_max = 0;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0
            && value[i].len > 5 && lcf->cache_name.data == NULL)
        {
            lcf->cache_name.data = value[i].data + 5;
            lcf->cache_name.len = value[i].len - 5;
            lcf->cache = 1;

            ngx_http_apigw_jwt_line(cf, &lcf->cache_line);
            continue;
        }

        if (ngx_strncmp(value[i].data, "max=", 4) == 0
            && lcf->cache_max == 0)
        {
            text.data = value[i].data + 4;
            text.len = value[i].len - 4;

            lcf->cache_max = ngx_parse_time(&text, 1);

            if (lcf->cache_max != (time_t) NGX_ERROR && lcf->cache_max > 0) {
                continue;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (!lcf->cache) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"zone\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* auth_jwt_allow_nested [delimiter=text] [quote=text] */

char *
ngx_http_apigw_jwt_allow_nested(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_apigw_jwt_nested_t     *nested;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    if (lcf->nested != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_jwt_module);

    nested = ngx_array_push(&jmcf->nesteds);
    if (nested == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(nested, sizeof(ngx_http_apigw_jwt_nested_t));

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "delimiter=", 10) == 0
            && value[i].len > 10 && nested->delimiter.data == NULL)
        {
            nested->delimiter.data = value[i].data + 10;
            nested->delimiter.len = value[i].len - 10;
            continue;
        }

        if (ngx_strncmp(value[i].data, "quote=", 6) == 0
            && value[i].len > 6 && nested->quote.data == NULL)
        {
            nested->quote.data = value[i].data + 6;
            nested->quote.len = value[i].len - 6;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (nested->delimiter.data == NULL) {
        ngx_str_set(&nested->delimiter, ".");
    }

    if (nested->quote.data == NULL) {
        ngx_str_set(&nested->quote, "\"");
    }

    lcf->nested = jmcf->nesteds.nelts;

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_jwt_www_authenticate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t                         *value;
    ngx_http_compile_complex_value_t   ccv;

    if (lcf->challenge != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        lcf->challenge = NGX_HTTP_APIGW_JWT_CHALLENGE;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->challenge = NGX_HTTP_APIGW_JWT_SILENT;
        return NGX_CONF_OK;
    }

    lcf->challenge = NGX_HTTP_APIGW_JWT_OWN;

    lcf->www_authenticate = ngx_palloc(cf->pool,
                                       sizeof(ngx_http_complex_value_t));
    if (lcf->www_authenticate == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = lcf->www_authenticate;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_CONF_OK
                                                          : NGX_CONF_ERROR;
}


/* auth_jwt_resource_metadata url | off */

char *
ngx_http_apigw_jwt_resource(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_loc_conf_t  *lcf = conf;

    ngx_str_t                         *value;
    ngx_http_compile_complex_value_t   ccv;

    if (lcf->resource_metadata != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->resource_metadata = NULL;
        return NGX_CONF_OK;
    }

    lcf->resource_metadata = ngx_palloc(cf->pool,
                                        sizeof(ngx_http_complex_value_t));
    if (lcf->resource_metadata == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = lcf->resource_metadata;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_CONF_OK
                                                          : NGX_CONF_ERROR;
}


/*
 * When all is read: what names keys is a value of the token that is looked at,
 * not of one that was before in the same request.  So a "map" that names them
 * is used as if it was volatile.
 */

void
ngx_http_apigw_jwt_sources_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf)
{
    ngx_uint_t                     i, n, *index;
    ngx_http_apigw_jwt_source_t   *source;
    ngx_http_apigw_jwt_policy_t  **policy;

    policy = jmcf->policies.elts;

    for (i = 0; i < jmcf->policies.nelts; i++) {

        if (policy[i]->sources == NULL) {
            continue;
        }

        source = policy[i]->sources->elts;

        for (n = 0; n < policy[i]->sources->nelts; n++) {

            index = source[n].value.flushes;

            while (index && *index != (ngx_uint_t) -1) {
                ngx_http_apigw_jwt_source_volatile(cf, *index++);
            }
        }
    }
}


static void
ngx_http_apigw_jwt_source_volatile(ngx_conf_t *cf, ngx_uint_t index)
{
    ngx_str_t                  *name;
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    v = cmcf->variables.elts;
    name = &v[index].name;

    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {

        if (key[i].key.len == name->len
            && ngx_strncmp(key[i].key.data, name->data, name->len) == 0)
        {
            v = key[i].value;

            /* as those of "map" are; $request_id has to stay what it is */

            if (v->flags & NGX_HTTP_VAR_CHANGEABLE) {
                v->flags |= NGX_HTTP_VAR_NOCACHEABLE;
            }

            return;
        }
    }
}


/* Called for each level that asks for tokens and has keys. */

ngx_int_t
ngx_http_apigw_jwt_merge_policy(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *conf)
{
    ngx_uint_t                        i;
    ngx_http_apigw_jwt_policy_t       wanted, *policy, **pp;
    ngx_http_apigw_jwt_main_conf_t   *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_jwt_module);

    ngx_memzero(&wanted, sizeof(ngx_http_apigw_jwt_policy_t));

    if (conf->issuers) {
        if (ngx_http_apigw_jwt_find_issuers(cf, jmcf, conf, &wanted.issuers)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else {
        wanted.sources = conf->sources;
    }

    if (ngx_http_apigw_jwt_find_zone(cf, jmcf, conf, wanted.issuers)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    wanted.audience = conf->audience;
    wanted.algorithms = conf->algorithms ? conf->algorithms
                                         : NGX_APIGW_JWA_ALL;
    wanted.leeway = conf->leeway;
    wanted.validate_exp = conf->validate_exp;
    wanted.revoked_sub = conf->revoked_sub;
    wanted.revoked_kid = conf->revoked_kid;

    pp = jmcf->policies.elts;

    for (i = 0; i < jmcf->policies.nelts; i++) {
        if (ngx_http_apigw_jwt_same_policy(pp[i], &wanted)) {
            conf->policy = pp[i];
            return NGX_OK;
        }
    }

    policy = ngx_palloc(cf->pool, sizeof(ngx_http_apigw_jwt_policy_t));
    pp = ngx_array_push(&jmcf->policies);

    if (policy == NULL || pp == NULL) {
        return NGX_ERROR;
    }

    *policy = wanted;
    policy->id = ngx_http_apigw_jwt_mix(jmcf->cycle, i);

    *pp = policy;
    conf->policy = policy;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_find_issuers(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_loc_conf_t *conf,
    ngx_array_t **issuers)
{
    ngx_str_t                     *name;
    ngx_uint_t                     i;
    ngx_array_t                   *names;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    names = conf->issuers;

    if (names->nelts > NGX_HTTP_APIGW_JWT_ISSUERS_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"auth_jwt\" has too many issuers in %s:%ui",
                      conf->line.file, conf->line.number);
        return NGX_ERROR;
    }

    *issuers = ngx_array_create(cf->pool, names->nelts,
                                sizeof(ngx_http_apigw_jwt_issuer_t *));
    if (*issuers == NULL) {
        return NGX_ERROR;
    }

    name = names->elts;

    for (i = 0; i < names->nelts; i++) {

        issuer = ngx_array_push(*issuers);

        *issuer = ngx_http_apigw_jwt_issuer_get(&jmcf->zones, &name[i]);

        if (*issuer == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown issuer \"%V\" of \"auth_jwt\" in %s:%ui",
                          &name[i], conf->line.file, conf->line.number);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The zone for counters, revocations and the cache: the one that is named
 * (without a cache by an outer level), that of the issuers, or the only one.
 */

static ngx_int_t
ngx_http_apigw_jwt_find_zone(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_loc_conf_t *conf,
    ngx_array_t *issuers)
{
    ngx_uint_t                      i;
    ngx_http_apigw_jwt_issuer_t   **issuer;

    if (conf->cache || (issuers == NULL && conf->cache_name.len)) {

        conf->zone = ngx_http_apigw_jwt_zone_get(&jmcf->zones,
                                                 &conf->cache_name);
        if (conf->zone == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown zone \"%V\" of \"auth_jwt_cache\" in "
                          "%s:%ui", &conf->cache_name, conf->cache_line.file,
                          conf->cache_line.number);
            return NGX_ERROR;
        }

        if (conf->cache) {
            jmcf->cached = 1;
        }
    }

    if (issuers == NULL) {
        return conf->zone ? NGX_OK
                          : ngx_http_apigw_jwt_only_zone(cf,
                                                         &jmcf->zones.zones,
                                                         conf);
    }

    issuer = issuers->elts;

    for (i = 0; i < issuers->nelts; i++) {

        if (conf->zone == NULL) {
            conf->zone = issuer[i]->zone;
        }

        /* whoever revokes a token does so in one store */

        if (issuer[i]->zone != conf->zone) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "issuer \"%V\" uses another zone than the other "
                          "issuers or \"auth_jwt_cache\" of \"auth_jwt\" in "
                          "%s:%ui", &issuer[i]->name, conf->line.file,
                          conf->line.number);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The only zone, or the only one with a store, as what is revoked there has to
 * hold everywhere; NULL if there are several without.
 */

static ngx_int_t
ngx_http_apigw_jwt_only_zone(ngx_conf_t *cf, ngx_array_t *zones,
    ngx_http_apigw_jwt_loc_conf_t *conf)
{
    ngx_uint_t                   i;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_apigw_jwt_zone_t  **zone, **only;

    zone = zones->elts;
    only = &conf->zone;

    *only = (zones->nelts == 1) ? zone[0] : NULL;

    for (i = 0; i < zones->nelts; i++) {

        if (zone[i]->helper.directory.len == 0 || zone[i] == *only) {
            continue;
        }

        if (*only == NULL) {
            *only = zone[i];
            continue;
        }

        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"auth_jwt\" in %s%V%s may use the store of zone \"%V\" "
                      "or \"%V\": add \"auth_jwt_cache zone=\" to say whose "
                      "revocations hold in %s:%ui",
                      clcf->name.len ? "location \"" : "the server",
                      &clcf->name, clcf->name.len ? "\"" : "",
                      &(*only)->zone.name, &zone[i]->zone.name,
                      conf->line.file, conf->line.number);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_apigw_jwt_same_policy(ngx_http_apigw_jwt_policy_t *one,
    ngx_http_apigw_jwt_policy_t *two)
{
    return one->algorithms == two->algorithms
           && one->leeway == two->leeway
           && one->validate_exp == two->validate_exp
           && ngx_http_apigw_jwt_same_pointers(one->revoked_sub,
                                               two->revoked_sub)
           && ngx_http_apigw_jwt_same_pointers(one->revoked_kid,
                                               two->revoked_kid)
           && ngx_http_apigw_jwt_same_sources(one->sources, two->sources)
           && ngx_http_apigw_jwt_same_pointers(one->issuers, two->issuers)
           && ngx_http_apigw_jwt_same_texts(one->audience, two->audience);
}


static ngx_uint_t
ngx_http_apigw_jwt_same_sources(ngx_array_t *one, ngx_array_t *two)
{
    ngx_uint_t                    i;
    ngx_http_apigw_jwt_source_t  *a, *b;

    if (one == two) {
        return 1;
    }

    if (one == NULL || two == NULL || one->nelts != two->nelts) {
        return 0;
    }

    a = one->elts;
    b = two->elts;

    for (i = 0; i < one->nelts; i++) {
        if (a[i].keys == NULL || a[i].keys != b[i].keys) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_apigw_jwt_same_pointers(ngx_array_t *one, ngx_array_t *two)
{
    if (one == two) {
        return 1;
    }

    return one && two && one->nelts == two->nelts
           && ngx_memcmp(one->elts, two->elts,
                         one->nelts * sizeof(void *))
              == 0;
}


static ngx_uint_t
ngx_http_apigw_jwt_same_texts(ngx_array_t *one, ngx_array_t *two)
{
    ngx_str_t   *a, *b;
    ngx_uint_t   i;

    if (one == two) {
        return 1;
    }

    if (one == NULL || two == NULL || one->nelts != two->nelts) {
        return 0;
    }

    a = one->elts;
    b = two->elts;

    for (i = 0; i < one->nelts; i++) {
        if (a[i].len != b[i].len
            || ngx_memcmp(a[i].data, b[i].data, a[i].len) != 0)
        {
            return 0;
        }
    }

    return 1;
}
