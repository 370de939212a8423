/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_date.h"
#include "ngx_http_apigw_version.h"


static ngx_http_apigw_version_api_t *ngx_http_apigw_version_api_get(
    ngx_conf_t *cf, ngx_http_apigw_version_main_conf_t *amcf,
    ngx_str_t *name);
static char *ngx_http_apigw_version_finish(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_successors(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_shares(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_numbers(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_brownouts(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_fields(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_vary(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_uint_t n, ngx_str_t *vary);
static ngx_http_apigw_version_t *ngx_http_apigw_version_get(
    ngx_http_apigw_version_api_t *api, ngx_str_t *label);
static char *ngx_http_apigw_version_parameter(ngx_conf_t *cf,
    ngx_http_apigw_version_t *version, ngx_str_t *value);
static char *ngx_http_apigw_version_upstream(ngx_conf_t *cf,
    ngx_http_apigw_version_t *version, ngx_str_t *value);
static char *ngx_http_apigw_version_source(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_str_t *value);
static char *ngx_http_apigw_version_source_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_version_header_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);
static ngx_int_t ngx_http_apigw_version_brownout_word(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout, ngx_str_t *word,
    ngx_uint_t *from);
static ngx_uint_t ngx_http_apigw_version_is(ngx_str_t *value,
    const char *name, ngx_str_t *rest);
static ngx_int_t ngx_http_apigw_version_date(ngx_conf_t *cf,
    ngx_str_t *value, time_t *date);
static ngx_int_t ngx_http_apigw_version_variable(ngx_conf_t *cf,
    ngx_str_t *value, ngx_int_t *index);
static ngx_int_t ngx_http_apigw_version_path_prefix(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *path);


char *
ngx_http_apigw_version_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    char                          *rv;
    ngx_str_t                     *value;
    ngx_conf_t                     pcf;
    ngx_http_apigw_version_api_t  *api;

    value = cf->args->elts;

    api = ngx_http_apigw_version_api_get(cf, amcf, &value[1]);
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    if (api->defined) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate api \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    api->defined = 1;
    api->file = cf->conf_file->file.name.data;
    api->line = cf->conf_file->line;

    amcf->api = api;

    pcf = *cf;
    cf->cmd_type = NGX_HTTP_APIGW_VERSION_API_CONF;

    rv = ngx_conf_parse(cf, NULL);

    *cf = pcf;

    amcf->api = NULL;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_apigw_version_finish(cf, api);
}


static ngx_http_apigw_version_api_t *
ngx_http_apigw_version_api_get(ngx_conf_t *cf,
    ngx_http_apigw_version_main_conf_t *amcf, ngx_str_t *name)
{
    ngx_uint_t                      i;
    ngx_http_apigw_version_api_t   *api, **papi;

    if (!ngx_apigw_label_valid(name->data, name->len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid api name \"%V\"",
                           name);
        return NULL;
    }

    papi = amcf->apis.elts;

    for (i = 0; i < amcf->apis.nelts; i++) {

        if (papi[i]->name.len == name->len
            && ngx_strncmp(papi[i]->name.data, name->data, name->len) == 0)
        {
            return papi[i];
        }
    }

    api = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_version_api_t));
    if (api == NULL) {
        return NULL;
    }

    if (ngx_array_init(&api->versions, cf->pool, 4,
                       sizeof(ngx_http_apigw_version_t *))
        != NGX_OK
        || ngx_array_init(&api->sources, cf->pool, 4,
                          sizeof(ngx_http_apigw_version_source_t))
           != NGX_OK
        || ngx_array_init(&api->brownouts, cf->pool, 1,
                          sizeof(ngx_http_apigw_version_brownout_t *))
           != NGX_OK)
    {
        return NULL;
    }

    papi = ngx_array_push(&amcf->apis);
    if (papi == NULL) {
        return NULL;
    }

    *papi = api;

    api->name = *name;
    api->strip = NGX_CONF_UNSET;

    return api;
}


static char *
ngx_http_apigw_version_finish(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                        i;
    ngx_http_apigw_version_t        **version;
    ngx_http_apigw_version_source_t  *source;

    if (api->versions.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no versions are inside api \"%V\"", &api->name);
        return NGX_CONF_ERROR;
    }

    if (api->sources.nelts == 0) {
        source = ngx_array_push(&api->sources);
        if (source == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(source, sizeof(ngx_http_apigw_version_source_t));

        source->type = NGX_HTTP_APIGW_VERSION_PATH;
        source->position = 1;
    }

    if (!api->has_field) {
        ngx_str_set(&api->field, "X-API-Version");
    }

    ngx_conf_init_value(api->strip, 1);

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        api->shapes |= version[i]->number.shape;

        if (version[i]->scheme != version[0]->scheme) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "upstreams with and without a scheme in api "
                               "\"%V\"", &api->name);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_apigw_version_successors(cf, api) != NGX_OK
        || ngx_http_apigw_version_shares(cf, api) != NGX_OK
        || ngx_http_apigw_version_numbers(cf, api) != NGX_OK
        || ngx_http_apigw_version_brownouts(cf, api) != NGX_OK
        || ngx_http_apigw_version_fields(cf, api) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_version_successors(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                  i, n;
    ngx_http_apigw_version_t   *next, **version;

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (version[i]->next.len == 0) {
            continue;
        }

        next = ngx_http_apigw_version_get(api, &version[i]->next);

        if (next == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown successor \"%V\" of version \"%V\" "
                               "in api \"%V\"", &version[i]->next,
                               &version[i]->label, &api->name);
            return NGX_ERROR;
        }

        version[i]->successor = next;
    }

    for (i = 0; i < api->versions.nelts; i++) {

        next = version[i]->successor;

        for (n = 0; next && n < api->versions.nelts; n++) {

            if (next == version[i]) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "version \"%V\" in api \"%V\" is a "
                                   "successor of itself",
                                   &version[i]->label, &api->name);
                return NGX_ERROR;
            }

            next = next->successor;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_shares(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    u_char                      name[2 * NGX_APIGW_LABEL_LEN + 1], *p;
    ngx_str_t                   text;
    ngx_uint_t                  i, taken;
    ngx_apigw_hash_t            hash;
    ngx_apigw_hash_key_t        key;
    ngx_http_apigw_version_t  **version;

    taken = 0;
    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        /* the same callers on every machine: the salt is no secret */

        key.k[0] = 0;
        key.k[1] = 0;

        p = ngx_cpymem(name, api->name.data, api->name.len);
        *p++ = '/';
        p = ngx_cpymem(p, version[i]->label.data, version[i]->label.len);

        ngx_apigw_hash(&hash, &key, name, p - name);

        version[i]->salt.k[0] = hash.h[0];
        version[i]->salt.k[1] = hash.h[1];

        if (!version[i]->canary) {
            continue;
        }

        if (api->current == NULL
            || api->fallback == NGX_HTTP_APIGW_VERSION_REJECT)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "canary \"%V\" in api \"%V\" needs a default "
                               "version that requests fall back to",
                               &version[i]->label, &api->name);
            return NGX_ERROR;
        }

        if (taken + version[i]->share > NGX_APIGW_SHARE_ALL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "canary shares in api \"%V\" exceed 100%%",
                               &api->name);
            return NGX_ERROR;
        }

        if (version[i]->share) {
            version[i]->limit = ((uint64_t) version[i]->share << 32)
                                / (NGX_APIGW_SHARE_ALL - taken);
        }

        taken += version[i]->share;
        api->has_canary = 1;

        if (version[i]->optin && api->optin.lowcase.len == 0) {

            if (api->field.len == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "\"canary_optin=on\" needs "
                                   "\"version_header\" in api \"%V\"",
                                   &api->name);
                return NGX_ERROR;
            }

            text = api->field;

            api->optin.type = NGX_HTTP_APIGW_VERSION_HEADER;
            api->optin.name = text;

            if (ngx_http_apigw_version_header_name(cf, &api->optin)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_numbers(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                  i;
    ngx_http_apigw_version_t  **version;

    if (api->fallback == NGX_HTTP_APIGW_VERSION_TO_DEFAULT
        && api->current == NULL)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"fallback default\" needs a default version in "
                           "api \"%V\"", &api->name);
        return NGX_ERROR;
    }

    if (api->fallback != NGX_HTTP_APIGW_VERSION_TO_NEAREST) {
        return NGX_OK;
    }

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (version[i]->number.shape == NGX_APIGW_SHAPE_NONE
            || (version[i]->number.shape == NGX_APIGW_SHAPE_DATE)
               != (version[0]->number.shape == NGX_APIGW_SHAPE_DATE))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"fallback nearest\" needs versions that are "
                               "all numbers or all dates, api \"%V\" has "
                               "\"%V\"", &api->name, &version[i]->label);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_brownouts(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                           i, n, used;
    ngx_http_apigw_version_t           **version;
    ngx_http_apigw_version_brownout_t  **brownout;

    brownout = api->brownouts.elts;
    version = api->versions.elts;

    for (i = 0; i < api->brownouts.nelts; i++) {

        if (brownout[i]->label.len) {
            brownout[i]->version =
                       ngx_http_apigw_version_get(api, &brownout[i]->label);

            if (brownout[i]->version == NULL) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "unknown version \"%V\" in \"brownout\" "
                                   "of api \"%V\"", &brownout[i]->label,
                                   &api->name);
                return NGX_ERROR;
            }
        }

        used = 0;

        for (n = 0; n < api->versions.nelts; n++) {

            if (brownout[i]->version
                ? brownout[i]->version != version[n]
                : version[n]->sunset == 0)
            {
                continue;
            }

            if (version[n]->brownout) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate \"brownout\" of version \"%V\" "
                                   "in api \"%V\"", &version[n]->label,
                                   &api->name);
                return NGX_ERROR;
            }

            if (brownout[i]->from >= version[n]->sunset) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "\"brownout\" of version \"%V\" in api "
                                   "\"%V\" needs a later sunset",
                                   &version[n]->label, &api->name);
                return NGX_ERROR;
            }

            version[n]->brownout = brownout[i];
            used = 1;
        }

        if (!used) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"brownout\" in api \"%V\" needs a version "
                               "with a sunset", &api->name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* The values of response headers that never change. */

static ngx_int_t
ngx_http_apigw_version_fields(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    u_char                           *p;
    ngx_uint_t                        i;
    ngx_http_apigw_version_t         *version, **pversion;
    ngx_http_apigw_version_source_t  *source;

    pversion = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        version = pversion[i];

        p = ngx_pnalloc(cf->pool, sizeof("@") + NGX_TIME_T_LEN
                                  + NGX_APIGW_DATE_HTTP_LEN
                                  + 2 * version->link.len
                                  + sizeof("<>; rel=\"deprecation\", "
                                           "<>; rel=\"sunset\""));
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (version->deprecated) {
            version->deprecation_field.data = p;
            p = ngx_sprintf(p, "@%T", version->deprecated);
            version->deprecation_field.len =
                                         p - version->deprecation_field.data;
        }

        if (version->sunset) {
            version->sunset_field.data = p;
            p = ngx_apigw_date_http(p, version->sunset);
            version->sunset_field.len = NGX_APIGW_DATE_HTTP_LEN;
        }

        if (version->link.len == 0) {
            continue;
        }

        version->link_field.data = p;

        if (version->deprecated) {
            p = ngx_sprintf(p, "<%V>; rel=\"deprecation\"", &version->link);
        }

        if (version->sunset) {
            p = ngx_sprintf(p, "%s<%V>; rel=\"sunset\"",
                            version->deprecated ? ", " : "", &version->link);
        }

        version->link_field.len = p - version->link_field.data;
    }

    source = api->sources.elts;

    for (i = 0; i < api->sources.nelts; i++) {

        if (ngx_http_apigw_version_vary(cf, api, i + 1, &source[i].vary)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_apigw_version_vary(cf, api, i + 1, &api->vary);
}


/* The headers that were looked at when the n-th source has decided. */

static ngx_int_t
ngx_http_apigw_version_vary(ngx_conf_t *cf, ngx_http_apigw_version_api_t *api,
    ngx_uint_t n, ngx_str_t *vary)
{
    size_t                            len;
    u_char                           *p;
    ngx_str_t                        *name[NGX_HTTP_APIGW_VERSION_SOURCES + 1];
    ngx_uint_t                        i, k, names;
    ngx_http_apigw_version_source_t  *source;

    static ngx_str_t  accept = ngx_string("Accept");

    source = api->sources.elts;
    names = 0;
    len = 0;

    for (i = 0; i < n; i++) {

        if (i == api->sources.nelts) {

            if (api->optin.lowcase.len == 0) {
                break;
            }

            name[names] = &api->optin.name;

        } else if (source[i].type == NGX_HTTP_APIGW_VERSION_HEADER) {
            name[names] = &source[i].name;

        } else if (source[i].type == NGX_HTTP_APIGW_VERSION_ACCEPT) {
            name[names] = &accept;

        } else {
            continue;
        }

        for (k = 0; k < names; k++) {
            if (name[k]->len == name[names]->len
                && ngx_strncasecmp(name[k]->data, name[names]->data,
                                   name[k]->len)
                   == 0)
            {
                break;
            }
        }

        if (k == names) {
            len += name[names]->len + sizeof(", ") - 1;
            names++;
        }
    }

    if (names == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    vary->data = p;

    for (i = 0; i < names; i++) {
        p = ngx_sprintf(p, "%s%V", i ? ", " : "", name[i]);
    }

    vary->len = p - vary->data;

    return NGX_OK;
}


static ngx_http_apigw_version_t *
ngx_http_apigw_version_get(ngx_http_apigw_version_api_t *api,
    ngx_str_t *label)
{
    ngx_uint_t                  i;
    ngx_http_apigw_version_t  **version;

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (version[i]->label.len == label->len
            && ngx_strncmp(version[i]->label.data, label->data, label->len)
               == 0)
        {
            return version[i];
        }
    }

    return NULL;
}


char *
ngx_http_apigw_version_version(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    char                           *rv;
    time_t                          date;
    ngx_str_t                      *value;
    ngx_uint_t                      i;
    ngx_http_apigw_version_t       *version, **pversion;
    ngx_http_apigw_version_api_t   *api;

    api = amcf->api;
    value = cf->args->elts;

    if (!ngx_apigw_label_valid(value[1].data, value[1].len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid version \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    pversion = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (ngx_apigw_label_named(&pversion[i]->label, value[1].data,
                                  value[1].len))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate version \"%V\" in api \"%V\"",
                               &value[1], &api->name);
            return NGX_CONF_ERROR;
        }
    }

    version = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_version_t));
    if (version == NULL) {
        return NGX_CONF_ERROR;
    }

    pversion = ngx_array_push(&api->versions);
    if (pversion == NULL) {
        return NGX_CONF_ERROR;
    }

    *pversion = version;

    version->label = value[1];
    version->by = NGX_ERROR;
    version->file = cf->conf_file->file.name.data;
    version->line = cf->conf_file->line;

    if (ngx_apigw_label_number(value[1].data, value[1].len, &version->number)
        == NGX_APIGW_SHAPE_DATE
        && ngx_apigw_date_parse(value[1].data, value[1].len, &date) != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid date \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        rv = ngx_http_apigw_version_parameter(cf, version, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (version->upstream.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"upstream\" parameter",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    if (version->sunset && version->sunset < version->deprecated) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "sunset before the deprecation in version \"%V\"",
                           &version->label);
        return NGX_CONF_ERROR;
    }

    if ((version->deprecated && version->deprecated < version->since)
        || (version->sunset && version->sunset < version->since))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"since\" after the end of version \"%V\"",
                           &version->label);
        return NGX_CONF_ERROR;
    }

    if (!version->canary && (version->by != NGX_ERROR || version->optin)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%s\" needs \"canary\" in version \"%V\"",
                           version->optin ? "canary_optin" : "by",
                           &version->label);
        return NGX_CONF_ERROR;
    }

    if (!version->is_default) {
        return NGX_CONF_OK;
    }

    if (api->current) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "two default versions, \"%V\" and \"%V\", in api "
                           "\"%V\"", &api->current->label, &version->label,
                           &api->name);
        return NGX_CONF_ERROR;
    }

    if (version->canary || version->preview) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "default version \"%V\" in api \"%V\" cannot be a "
                           "%s", &version->label, &api->name,
                           version->canary ? "canary" : "preview");
        return NGX_CONF_ERROR;
    }

    if (version->sunset && version->sunset <= ngx_time()) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "default version \"%V\" in api \"%V\" is past its "
                           "sunset", &version->label, &api->name);
    }

    api->current = version;

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_version_parameter(ngx_conf_t *cf,
    ngx_http_apigw_version_t *version, ngx_str_t *value)
{
    u_char     *p;
    ngx_int_t   share;
    ngx_str_t   rest;

    if (ngx_strcmp(value->data, "default") == 0) {
        version->is_default = 1;
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "upstream=", &rest)) {
        return ngx_http_apigw_version_upstream(cf, version, &rest);
    }

    if (ngx_http_apigw_version_is(value, "since=", &rest)) {
        return ngx_http_apigw_version_date(cf, &rest, &version->since)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_version_is(value, "deprecated=", &rest)) {
        return ngx_http_apigw_version_date(cf, &rest, &version->deprecated)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_version_is(value, "sunset=", &rest)) {
        return ngx_http_apigw_version_date(cf, &rest, &version->sunset)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_version_is(value, "successor=", &rest) && rest.len) {
        version->next = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "link=", &rest) && rest.len) {

        /* goes between "<" and ">" of a Link field, and into JSON */

        for (p = rest.data; p < rest.data + rest.len; p++) {
            if (*p <= ' ' || *p >= 0x7f || ngx_strchr("\"<>\\^`{|}", *p)) {
                goto invalid;
            }
        }

        version->link = rest;
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "uri=", &rest)) {
        version->has_uri = 1;
        return ngx_http_apigw_version_path_prefix(cf, &rest, &version->uri)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_version_is(value, "canary=", &rest)) {
        share = ngx_apigw_share_parse(rest.data, rest.len);

        if (share == NGX_ERROR) {
            goto invalid;
        }

        version->canary = 1;
        version->share = share;
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "by=", &rest)) {
        return ngx_http_apigw_version_variable(cf, &rest, &version->by)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value->data, "canary_optin=on") == 0) {
        version->optin = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "canary_optin=off") == 0) {
        version->optin = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "status=preview") == 0) {
        version->preview = 1;
        return NGX_CONF_OK;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       value);
    return NGX_CONF_ERROR;
}


/*
 * The name of an upstream {}, or an address that nginx knows from now on as
 * if it were in a proxy_pass without variables.
 */

static char *
ngx_http_apigw_version_upstream(ngx_conf_t *cf,
    ngx_http_apigw_version_t *version, ngx_str_t *value)
{
    u_char      *p;
    ngx_url_t    u;
    ngx_uint_t   i;

    static struct {
        ngx_str_t  name;
        in_port_t  port;
    } schemes[] = {
        { ngx_string("http://"), 80 },
        { ngx_string("https://"), 443 },
        { ngx_string("grpc://"), 80 },
        { ngx_string("grpcs://"), 443 },
        { ngx_null_string, 0 }
    };

    if (value->len == 0
        || ngx_strlchr(value->data, value->data + value->len, '$'))
    {
        goto invalid;
    }

    version->upstream = *value;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;
    u.no_resolve = 1;
    u.uri_part = 1;

    if (ngx_strstr(value->data, "://")) {

        for (i = 0; /* void */ ; i++) {

            if (schemes[i].name.len == 0) {
                goto invalid;
            }

            if (value->len > schemes[i].name.len
                && ngx_strncmp(value->data, schemes[i].name.data,
                               schemes[i].name.len)
                   == 0)
            {
                break;
            }
        }

        version->scheme = 1;

        u.url.data += schemes[i].name.len;
        u.url.len -= schemes[i].name.len;
        u.default_port = schemes[i].port;

    } else {

        p = ngx_strlchr(value->data, value->data + value->len, ':');

        if (p == NULL) {

            if (ngx_strlchr(value->data, value->data + value->len, '/')) {
                goto invalid;
            }

            version->block = 1;
            return NGX_CONF_OK;
        }
    }

    if (ngx_http_upstream_add(cf, &u, 0) == NULL) {
        return NGX_CONF_ERROR;
    }

    if (u.uri.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "upstream \"%V\" cannot have a URI, use \"uri\" "
                           "parameter", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid upstream \"%V\"", value);
    return NGX_CONF_ERROR;
}


char *
ngx_http_apigw_version_select(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    char                          *rv;
    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_apigw_version_api_t  *api;

    api = amcf->api;

    if (api->sources.nelts) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "on_conflict=first") == 0) {
            api->first = 1;
            continue;
        }

        if (ngx_strcmp(value[i].data, "on_conflict=reject") == 0) {
            api->first = 0;
            continue;
        }

        rv = ngx_http_apigw_version_source(cf, api, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (api->sources.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must name a place of the version",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_version_source(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_str_t *value)
{
    char                             *rv;
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source, *other;

    if (api->sources.nelts == NGX_HTTP_APIGW_VERSION_SOURCES) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "too many places");
        return NGX_CONF_ERROR;
    }

    source = ngx_array_push(&api->sources);
    if (source == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(source, sizeof(ngx_http_apigw_version_source_t));

    rv = ngx_http_apigw_version_source_name(cf, source, value);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    other = api->sources.elts;

    for (i = 0; i < api->sources.nelts - 1; i++) {

        if (other[i].type == source->type
            && other[i].index == source->index
            && other[i].name.len == source->name.len
            && ngx_strncasecmp(other[i].name.data, source->name.data,
                               source->name.len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate \"%V\"",
                               value);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_version_source_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source, ngx_str_t *value)
{
    u_char     *p;
    ngx_int_t   n;
    ngx_str_t  *name;
    ngx_uint_t  stars;

    name = &source->name;

    if (ngx_strcmp(value->data, "path") == 0) {
        source->type = NGX_HTTP_APIGW_VERSION_PATH;
        source->position = 1;
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "path=", name)) {
        n = ngx_atoi(name->data, name->len);

        if (n < 1 || n > 32) {
            goto invalid;
        }

        source->type = NGX_HTTP_APIGW_VERSION_PATH;
        source->position = n;
        name->len = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "package") == 0) {
        source->type = NGX_HTTP_APIGW_VERSION_PACKAGE;
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "header=", name)) {

        if (!ngx_apigw_label_valid(name->data, name->len)
            || ngx_strlchr(name->data, name->data + name->len, '.'))
        {
            goto invalid;
        }

        source->type = NGX_HTTP_APIGW_VERSION_HEADER;

        return ngx_http_apigw_version_header_name(cf, source) == NGX_OK
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_version_is(value, "accept=", name)) {

        p = ngx_strlchr(name->data, name->data + name->len, '/');

        if (p == NULL
            || !ngx_apigw_label_valid(name->data, p - name->data)
            || !ngx_apigw_label_valid(p + 1,
                                      name->data + name->len - (p + 1)))
        {
            goto invalid;
        }

        source->type = NGX_HTTP_APIGW_VERSION_ACCEPT;

        /* the name of the field, for ngx_http_apigw_version_header() */

        ngx_str_set(&source->lowcase, "accept");
        source->hash = ngx_hash_key(source->lowcase.data, source->lowcase.len);
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "query=", name)) {

        if (!ngx_apigw_label_valid(name->data, name->len)) {
            goto invalid;
        }

        source->type = NGX_HTTP_APIGW_VERSION_QUERY;
        return NGX_CONF_OK;
    }

    if (ngx_http_apigw_version_is(value, "host=", name)) {

        stars = 0;

        for (p = name->data; p < name->data + name->len; p++) {
            *p = ngx_tolower(*p);
            stars += (*p == '*');

            if (*p != '*' && *p != '-' && *p != '.'
                && (*p < '0' || *p > '9') && (*p < 'a' || *p > 'z'))
            {
                goto invalid;
            }
        }

        if (stars != 1 || name->len < 2) {
            goto invalid;
        }

        source->type = NGX_HTTP_APIGW_VERSION_HOST;
        return NGX_CONF_OK;
    }

    if (value->len > 1 && value->data[0] == '$') {
        source->type = NGX_HTTP_APIGW_VERSION_VARIABLE;

        return ngx_http_apigw_version_variable(cf, value, &source->index)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       value);
    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_apigw_version_header_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source)
{
    source->lowcase.len = source->name.len;
    source->lowcase.data = ngx_pnalloc(cf->pool, source->name.len);
    if (source->lowcase.data == NULL) {
        return NGX_ERROR;
    }

    source->hash = ngx_hash_strlow(source->lowcase.data, source->name.data,
                                   source->name.len);

    return NGX_OK;
}


char *
ngx_http_apigw_version_fallback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    ngx_str_t  *value;

    if (amcf->api->has_fallback) {
        return "is duplicate";
    }

    amcf->api->has_fallback = 1;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "default") == 0) {
        amcf->api->fallback = NGX_HTTP_APIGW_VERSION_TO_DEFAULT;

    } else if (ngx_strcmp(value[1].data, "nearest") == 0) {
        amcf->api->fallback = NGX_HTTP_APIGW_VERSION_TO_NEAREST;

    } else if (ngx_strcmp(value[1].data, "reject") == 0) {
        amcf->api->fallback = NGX_HTTP_APIGW_VERSION_REJECT;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_version_base(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    ngx_str_t  *value;

    if (amcf->api->has_base) {
        return "is duplicate";
    }

    amcf->api->has_base = 1;

    value = cf->args->elts;

    if (ngx_http_apigw_version_path_prefix(cf, &value[1], &amcf->api->base)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_version_strip(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    ngx_command_t  flag;

    flag = *cmd;
    flag.offset = offsetof(ngx_http_apigw_version_api_t, strip);

    return ngx_conf_set_flag_slot(cf, &flag, amcf->api);
}


char *
ngx_http_apigw_version_field(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    ngx_str_t                     *value;
    ngx_http_apigw_version_api_t  *api;

    api = amcf->api;

    if (api->has_field) {
        return "is duplicate";
    }

    api->has_field = 1;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "on") == 0) {
        ngx_str_set(&api->field, "X-API-Version");
        return NGX_CONF_OK;
    }

    if (!ngx_apigw_label_valid(value[1].data, value[1].len)
        || ngx_strlchr(value[1].data, value[1].data + value[1].len, '.'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    api->field = value[1];

    return NGX_CONF_OK;
}


/* The words may come as one quoted argument or as several. */

char *
ngx_http_apigw_version_brownout(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    u_char                              *p, *last;
    ngx_str_t                           *value, word;
    ngx_uint_t                           i, from;
    ngx_http_apigw_version_brownout_t   *brownout, **pbrownout;

    brownout = ngx_pcalloc(cf->pool,
                           sizeof(ngx_http_apigw_version_brownout_t));
    if (brownout == NULL) {
        return NGX_CONF_ERROR;
    }

    pbrownout = ngx_array_push(&amcf->api->brownouts);
    if (pbrownout == NULL) {
        return NGX_CONF_ERROR;
    }

    *pbrownout = brownout;

    brownout->by = NGX_ERROR;
    brownout->exempt = NGX_ERROR;

    value = cf->args->elts;
    from = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        p = value[i].data;
        last = p + value[i].len;

        while (p < last) {

            word.data = p;

            while (p < last && *p != ' ') {
                p++;
            }

            word.len = p - word.data;

            if (word.len
                && ngx_http_apigw_version_brownout_word(cf, brownout, &word,
                                                        &from)
                   != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }

            p++;
        }
    }

    if (brownout->share == 0 || brownout->from == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have a share and \"from\" with a date",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_version_brownout_word(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout, ngx_str_t *word,
    ngx_uint_t *from)
{
    ngx_int_t  n;
    ngx_str_t  rest;

    if (*from) {
        *from = 0;
        return ngx_http_apigw_version_date(cf, word, &brownout->from);
    }

    if (word->len == 4 && ngx_strncmp(word->data, "from", 4) == 0) {
        *from = 1;
        return NGX_OK;
    }

    if (word->data[word->len - 1] == '%') {
        n = ngx_apigw_share_parse(word->data, word->len);

        if (n == NGX_ERROR || n == 0 || brownout->share) {
            goto invalid;
        }

        brownout->share = n;
        return NGX_OK;
    }

    if (ngx_http_apigw_version_is(word, "for=", &rest)
        && rest.len > sizeof("/hour") - 1
        && ngx_strncmp(rest.data + rest.len - 5, "/hour", 5) == 0)
    {
        n = ngx_atoi(rest.data, rest.len - 5);

        if (n < 1 || n > 60) {
            goto invalid;
        }

        brownout->minutes = n;
        return NGX_OK;
    }

    if (ngx_http_apigw_version_is(word, "by=", &rest)) {
        return ngx_http_apigw_version_variable(cf, &rest, &brownout->by);
    }

    if (ngx_http_apigw_version_is(word, "exempt=", &rest)) {
        return ngx_http_apigw_version_variable(cf, &rest, &brownout->exempt);
    }

    if (ngx_http_apigw_version_is(word, "version=", &rest) && rest.len) {
        brownout->label = rest;
        return NGX_OK;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       word);
    return NGX_ERROR;
}


char *
ngx_http_apigw_version_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_loc_conf_t *lcf = conf;

    ngx_str_t                            *value;
    ngx_http_core_loc_conf_t             *clcf;
    ngx_http_apigw_version_publish_t     *publish, **ppublish;
    ngx_http_apigw_version_main_conf_t   *amcf;

    if (lcf->publish != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->publish = NULL;
        return NGX_CONF_OK;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_version_module);

    publish = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_version_publish_t));
    if (publish == NULL) {
        return NGX_CONF_ERROR;
    }

    ppublish = ngx_array_push(&amcf->publish);
    if (ppublish == NULL) {
        return NGX_CONF_ERROR;
    }

    *ppublish = publish;

    publish->api = ngx_http_apigw_version_api_get(cf, amcf, &value[1]);
    if (publish->api == NULL) {
        return NGX_CONF_ERROR;
    }

    publish->api->published = 1;
    publish->cscf = ngx_http_conf_get_module_srv_conf(cf,
                                                      ngx_http_core_module);
    publish->file = cf->conf_file->file.name.data;
    publish->line = cf->conf_file->line;

    lcf->publish = publish;

    if (!(cf->cmd_type & NGX_HTTP_LOC_CONF)) {
        return NGX_CONF_OK;
    }

    /* without "base" the API is below the prefix of its location */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

#if (NGX_PCRE)
    if (clcf->regex) {
        return NGX_CONF_OK;
    }
#endif

    if (clcf->named) {
        return NGX_CONF_OK;
    }

    publish->base = clcf->name;

    if (publish->base.len
        && publish->base.data[publish->base.len - 1] == '/')
    {
        publish->base.len--;
    }

    return NGX_CONF_OK;
}


/* What can be checked only when the whole configuration has been read. */

ngx_int_t
ngx_http_apigw_version_check(ngx_conf_t *cf,
    ngx_http_apigw_version_main_conf_t *amcf)
{
    ngx_uint_t                           i, n, k;
    ngx_http_apigw_version_t           **version;
    ngx_http_apigw_version_api_t       **api;
    ngx_http_upstream_srv_conf_t       **uscf;
    ngx_http_upstream_main_conf_t       *umcf;
    ngx_http_apigw_version_publish_t   **publish;

    publish = amcf->publish.elts;

    for (i = 0; i < amcf->publish.nelts; i++) {

        if (!publish[i]->api->defined) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown api \"%V\" in %s:%ui",
                          &publish[i]->api->name, publish[i]->file,
                          publish[i]->line);
            return NGX_ERROR;
        }

        if (publish[i]->api->has_base) {
            publish[i]->base = publish[i]->api->base;
        }

        for (n = 0; n < i; n++) {

            if (publish[n]->api == publish[i]->api
                && publish[n]->cscf == publish[i]->cscf
                && publish[n]->base.len == publish[i]->base.len
                && ngx_strncmp(publish[n]->base.data, publish[i]->base.data,
                               publish[i]->base.len)
                   == 0)
            {
                publish[i]->again = 1;
            }
        }
    }

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscf = umcf->upstreams.elts;

    api = amcf->apis.elts;

    for (i = 0; i < amcf->apis.nelts; i++) {

        if (!api[i]->published) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "api \"%V\" is not published in %s:%ui",
                          &api[i]->name, api[i]->file, api[i]->line);
        }

        version = api[i]->versions.elts;

        for (n = 0; n < api[i]->versions.nelts; n++) {

            if (!version[n]->block) {
                continue;
            }

            for (k = 0; k < umcf->upstreams.nelts; k++) {

                if (uscf[k]->port == 0
                    && uscf[k]->host.len == version[n]->upstream.len
                    && ngx_strncasecmp(uscf[k]->host.data,
                                       version[n]->upstream.data,
                                       version[n]->upstream.len)
                       == 0)
                {
                    break;
                }
            }

            if (k == umcf->upstreams.nelts) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "unknown upstream \"%V\" in %s:%ui",
                              &version[n]->upstream, version[n]->file,
                              version[n]->line);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_apigw_version_is(ngx_str_t *value, const char *name, ngx_str_t *rest)
{
    size_t  len;

    len = ngx_strlen(name);

    if (value->len < len || ngx_strncmp(value->data, name, len) != 0) {
        return 0;
    }

    rest->data = value->data + len;
    rest->len = value->len - len;

    return 1;
}


static ngx_int_t
ngx_http_apigw_version_date(ngx_conf_t *cf, ngx_str_t *value, time_t *date)
{
    if (ngx_apigw_date_parse(value->data, value->len, date) != NGX_OK
        || *date == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid date \"%V\"", value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_variable(ngx_conf_t *cf, ngx_str_t *value,
    ngx_int_t *index)
{
    ngx_str_t  name;

    if (value->len < 2 || value->data[0] != '$') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid variable name \"%V\"", value);
        return NGX_ERROR;
    }

    name.data = value->data + 1;
    name.len = value->len - 1;

    *index = ngx_http_get_variable_index(cf, &name);

    return *index == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* A plain path, as it comes in r->uri; loses the "/" at its end. */

static ngx_int_t
ngx_http_apigw_version_path_prefix(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *path)
{
    u_char      ch;
    ngx_uint_t  i;

    if (value->len == 0 || value->data[0] != '/') {
        goto invalid;
    }

    for (i = 1; i < value->len; i++) {
        ch = value->data[i];

        if (ch == '/' || ch == '.') {

            /* neither "//" nor "/." */

            if (value->data[i - 1] == '/') {
                goto invalid;
            }

            continue;
        }

        if (ch != '-' && ch != '_' && ch != '~'
            && (ch < '0' || ch > '9')
            && ((ch | 0x20) < 'a' || (ch | 0x20) > 'z'))
        {
            goto invalid;
        }
    }

    *path = *value;

    if (path->data[path->len - 1] == '/') {
        path->len--;
    }

    return NGX_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid path \"%V\"", value);

    return NGX_ERROR;
}
