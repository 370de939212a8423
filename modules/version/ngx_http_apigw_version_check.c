/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_date.h"
#include "ngx_http_apigw_version.h"


static ngx_int_t ngx_http_apigw_version_successors(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_shares(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static void ngx_http_apigw_version_salt(ngx_http_apigw_version_api_t *api,
    ngx_str_t *label, ngx_apigw_hash_key_t *salt);
static ngx_int_t ngx_http_apigw_version_numbers(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_brownouts(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_field_texts(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_http_apigw_version_t *version);
static ngx_int_t ngx_http_apigw_version_places(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_int_t ngx_http_apigw_version_fields(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static void ngx_http_apigw_version_add_field(
    ngx_http_apigw_version_t *version, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_version_vary(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_uint_t n, ngx_str_t *vary);
static ngx_int_t ngx_http_apigw_version_vary_variable(ngx_conf_t *cf,
    ngx_int_t index, ngx_str_t *name);
static ngx_int_t ngx_http_apigw_version_vary_brownout(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout);
static ngx_int_t ngx_http_apigw_version_vary_add(ngx_conf_t *cf,
    ngx_str_t *vary, ngx_str_t *name);
static ngx_int_t ngx_http_apigw_version_upstreams(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static ngx_http_apigw_version_t *ngx_http_apigw_version_get(
    ngx_http_apigw_version_api_t *api, ngx_str_t *label);


/* What can be checked, and prepared, when an api {} has been read. */

char *
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
        api->rewrites |= version[i]->has_uri;

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

        if (next->sunset
            && version[i]->sunset
            && next->sunset < version[i]->sunset)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "successor \"%V\" of version \"%V\" in api "
                               "\"%V\" ends before it", &next->label,
                               &version[i]->label, &api->name);
            return NGX_ERROR;
        }

        if (next->sunset
            && next->sunset <= ngx_time()
            && !(version[i]->sunset && version[i]->sunset <= ngx_time()))
        {
            /* a date alone must not keep nginx from starting */

            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "successor \"%V\" of version \"%V\" in api "
                               "\"%V\" is past its sunset", &next->label,
                               &version[i]->label, &api->name);
        }
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
    ngx_str_t                   text;
    ngx_uint_t                  i, taken;
    ngx_http_apigw_version_t  **version;

    taken = 0;
    version = api->versions.elts;

    ngx_str_set(&text, "");
    ngx_http_apigw_version_salt(api, &text, &api->salt);

    for (i = 0; i < api->versions.nelts; i++) {

        ngx_http_apigw_version_salt(api, &version[i]->label,
                                    &version[i]->salt);

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


/* The same callers on every machine: the salt is no secret. */

static void
ngx_http_apigw_version_salt(ngx_http_apigw_version_api_t *api,
    ngx_str_t *label, ngx_apigw_hash_key_t *salt)
{
    u_char                name[2 * NGX_APIGW_LABEL_LEN + 1], *p;
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key;

    key.k[0] = 0;
    key.k[1] = 0;

    p = ngx_cpymem(name, api->name.data, api->name.len);
    *p++ = '/';
    p = ngx_cpymem(p, label->data, label->len);

    ngx_apigw_hash(&hash, &key, name, p - name);

    salt->k[0] = hash.h[0];
    salt->k[1] = hash.h[1];
}


static ngx_int_t
ngx_http_apigw_version_numbers(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                  i, n;
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

        for (n = 0; n < i; n++) {

            if (ngx_apigw_number_cmp(&version[n]->number, &version[i]->number)
                == 0)
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "\"fallback nearest\" cannot tell \"%V\" "
                                   "from \"%V\" in api \"%V\"",
                                   &version[i]->label, &version[n]->label,
                                   &api->name);
                return NGX_ERROR;
            }
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

        if (ngx_http_apigw_version_vary_brownout(cf, brownout[i]) != NGX_OK) {
            return NGX_ERROR;
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
    ngx_uint_t                  i;
    ngx_http_apigw_version_t  **version;

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (ngx_http_apigw_version_field_texts(cf, api, version[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_apigw_version_places(cf, api);
}


/* What answers of a version say, but for the URI of its successor. */

static ngx_int_t
ngx_http_apigw_version_field_texts(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_http_apigw_version_t *version)
{
    u_char     *p;
    ngx_str_t   date, value;

    static ngx_str_t  deprecation = ngx_string("Deprecation");
    static ngx_str_t  sunset = ngx_string("Sunset");
    static ngx_str_t  link = ngx_string("Link");

    p = ngx_pnalloc(cf->pool, sizeof("@") + NGX_TIME_T_LEN
                              + NGX_APIGW_DATE_HTTP_LEN
                              + 2 * version->link.len
                              + sizeof("<>; rel=\"deprecation\", "
                                       "<>; rel=\"sunset\", <"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (api->field.len) {
        ngx_http_apigw_version_add_field(version, &api->field,
                                         &version->label);
    }

    if (version->deprecated) {
        date.data = p;
        p = ngx_sprintf(p, "@%T", version->deprecated);
        date.len = p - date.data;

        ngx_http_apigw_version_add_field(version, &deprecation, &date);
    }

    if (version->sunset) {
        version->sunset_field.data = p;
        p = ngx_apigw_date_http(p, version->sunset);
        version->sunset_field.len = NGX_APIGW_DATE_HTTP_LEN;

        ngx_http_apigw_version_add_field(version, &sunset,
                                         &version->sunset_field);
    }

    version->nown = version->nfields;

    version->acts = version->brownout ? version->brownout->from
                                      : version->sunset;

    value.data = p;

    if (version->link.len && version->deprecated) {
        p = ngx_sprintf(p, "<%V>; rel=\"deprecation\"", &version->link);
    }

    if (version->link.len && version->sunset) {
        p = ngx_sprintf(p, "%s<%V>; rel=\"sunset\"",
                        version->deprecated ? ", " : "", &version->link);
    }

    value.len = p - value.data;

    version->link_head.data = value.data;
    p = ngx_sprintf(p, "%s<", value.len ? ", " : "");
    version->link_head.len = p - version->link_head.data;

    if (version->successor || value.len) {
        ngx_http_apigw_version_add_field(version, &link, &value);
    }

    return NGX_OK;
}


/* What the sources together can do, and their Vary. */

static ngx_int_t
ngx_http_apigw_version_places(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                        i, n;
    ngx_http_apigw_version_source_t  *source;

    source = api->sources.elts;

    for (i = 0; i < api->sources.nelts; i++) {

        source[i].find = ngx_http_apigw_version_finder(source[i].type);

        switch (source[i].type) {

        case NGX_HTTP_APIGW_VERSION_PATH:
            api->by_path = !api->linked;
            api->linked = 1;
            api->rewrites |= (api->strip != 0);
            break;

        case NGX_HTTP_APIGW_VERSION_PACKAGE:
        case NGX_HTTP_APIGW_VERSION_QUERY:
        case NGX_HTTP_APIGW_VERSION_HOST:
            api->by_path = 0;
            api->linked = 1;
            break;

        default:
            break;
        }

        api->longest = ngx_max(api->longest, source[i].name.len);

        /* what could have disagreed has been looked at as well */

        n = api->first ? i + 1 : api->sources.nelts;

        if (ngx_http_apigw_version_vary(cf, api, n, &source[i].vary)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_apigw_version_vary(cf, api, i + 1, &api->vary);
}


static void
ngx_http_apigw_version_add_field(ngx_http_apigw_version_t *version,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = &version->fields[version->nfields++];

    version->letters |= ngx_http_apigw_version_letter(name);

    h->hash = 1;
    ngx_http_apigw_header_single(h);
    h->key = *name;
    h->value = *value;
}


/*
 * The headers of the first n sources or, n being beyond them, of all of them
 * and what chooses canaries: none of the sources has decided.
 */

static ngx_int_t
ngx_http_apigw_version_vary(ngx_conf_t *cf, ngx_http_apigw_version_api_t *api,
    ngx_uint_t n, ngx_str_t *vary)
{
    ngx_str_t                         name;
    ngx_uint_t                        i;
    ngx_http_apigw_version_t        **version;
    ngx_http_apigw_version_source_t  *source;

    source = api->sources.elts;

    for (i = 0; i < n && i < api->sources.nelts; i++) {

        switch (source[i].type) {

        case NGX_HTTP_APIGW_VERSION_HEADER:
            name = source[i].name;
            break;

        case NGX_HTTP_APIGW_VERSION_ACCEPT:
            ngx_str_set(&name, "Accept");
            break;

        case NGX_HTTP_APIGW_VERSION_VARIABLE:

            if (ngx_http_apigw_version_vary_variable(cf, source[i].index,
                                                     &name)
                == NGX_ERROR)
            {
                return NGX_ERROR;
            }

            break;

        default:
            continue;
        }

        if (ngx_http_apigw_version_vary_add(cf, vary, &name) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (n <= api->sources.nelts) {
        return NGX_OK;
    }

    if (api->optin.lowcase.len
        && ngx_http_apigw_version_vary_add(cf, vary, &api->optin.name)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    version = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (version[i]->share == 0) {
            continue;
        }

        if (version[i]->by == NGX_ERROR
            || ngx_http_apigw_version_vary_variable(cf, version[i]->by, &name)
               == NGX_DECLINED)
        {
            /* RFC 9110, 12.5.5: outside of the message, such as the address */

            ngx_str_set(vary, "*");
            return NGX_OK;
        }

        if (ngx_http_apigw_version_vary_add(cf, vary, &name) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The header that a variable is made of, empty if it is a part of the URI;
 * NGX_DECLINED, and empty, if that is not known.
 */

static ngx_int_t
ngx_http_apigw_version_vary_variable(ngx_conf_t *cf, ngx_int_t index,
    ngx_str_t *name)
{
    u_char                      ch, *p;
    ngx_str_t                  *variable;
    ngx_uint_t                  i;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    static ngx_str_t  uri[] = {
        ngx_string("args"), ngx_string("query_string"),
        ngx_string("request_uri"), ngx_string("uri"),
        ngx_string("document_uri"), ngx_string("host"),
        ngx_string("http_host"), ngx_string("scheme"),
        ngx_null_string
    };

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    v = cmcf->variables.elts;
    variable = &v[index].name;

    ngx_str_set(name, "");

    for (i = 0; uri[i].len; i++) {
        if (variable->len == uri[i].len
            && ngx_strncmp(variable->data, uri[i].data, uri[i].len) == 0)
        {
            return NGX_OK;
        }
    }

    if (variable->len > 4 && ngx_strncmp(variable->data, "arg_", 4) == 0) {
        return NGX_OK;
    }

    if (variable->len > 7 && ngx_strncmp(variable->data, "cookie_", 7) == 0) {
        ngx_str_set(name, "Cookie");
        return NGX_OK;
    }

    if (variable->len <= 5 || ngx_strncmp(variable->data, "http_", 5) != 0) {
        return NGX_DECLINED;
    }

    /* "http_x_caller" is "X-Caller" */

    p = ngx_pnalloc(cf->pool, variable->len - 5);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name->data = p;
    name->len = variable->len - 5;

    for (i = 5; i < variable->len; i++) {
        ch = variable->data[i];

        if (variable->data[i - 1] == '_') {
            ch = ngx_toupper(ch);
        }

        *p++ = (ch == '_') ? '-' : ch;
    }

    return NGX_OK;
}


/* The headers that tell who is in a rehearsal. */

static ngx_int_t
ngx_http_apigw_version_vary_brownout(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout)
{
    ngx_int_t   index[2];
    ngx_str_t   name;
    ngx_uint_t  i;

    index[0] = brownout->exempt;
    index[1] = brownout->by;

    for (i = 0; i < 2; i++) {

        if (index[i] == NGX_ERROR) {
            continue;
        }

        if (ngx_http_apigw_version_vary_variable(cf, index[i], &name)
            == NGX_ERROR
            || ngx_http_apigw_version_vary_add(cf, &brownout->vary, &name)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_vary_add(ngx_conf_t *cf, ngx_str_t *vary,
    ngx_str_t *name)
{
    u_char  *p, *last, *next;

    if (vary->len == 0) {
        *vary = *name;
        return NGX_OK;
    }

    last = vary->data + vary->len;

    for (p = vary->data; p < last; p = next + 2) {

        next = ngx_strlchr(p, last, ',');

        if (next == NULL) {
            next = last;
        }

        if ((size_t) (next - p) == name->len
            && ngx_strncasecmp(p, name->data, name->len) == 0)
        {
            return NGX_OK;
        }
    }

    if (name->len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(cf->pool, vary->len + sizeof(", ") - 1 + name->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(p, "%V, %V", vary, name);

    vary->data = p;
    vary->len = last - p;

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


/* What can be checked only when the whole configuration has been read. */

ngx_int_t
ngx_http_apigw_version_check(ngx_conf_t *cf,
    ngx_http_apigw_version_main_conf_t *amcf)
{
    ngx_uint_t                           i, n;
    ngx_http_apigw_version_api_t       **api;
    ngx_http_apigw_version_publish_t   **publish;
    ngx_http_apigw_version_location_t   *location;

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

    location = amcf->locations.elts;

    for (i = 0; i < amcf->locations.nelts; i++) {

        if (location[i].clcf->alias && location[i].publish->api->rewrites) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"alias\" cannot be used in location \"%V\" since "
                          "api \"%V\" in %s:%ui changes the URI, use "
                          "\"root\"", &location[i].clcf->name,
                          &location[i].publish->api->name,
                          location[i].publish->file,
                          location[i].publish->line);
            return NGX_ERROR;
        }
    }

    api = amcf->apis.elts;

    for (i = 0; i < amcf->apis.nelts; i++) {

        if (!api[i]->published) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "api \"%V\" is not published in %s:%ui",
                          &api[i]->name, api[i]->file, api[i]->line);
        }

        if (ngx_http_apigw_version_upstreams(cf, api[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < amcf->publish.nelts; i++) {

        if (ngx_http_apigw_version_nested(cf, publish[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_upstreams(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                       n, k;
    ngx_http_apigw_version_t       **version;
    ngx_http_upstream_srv_conf_t   **uscf;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscf = umcf->upstreams.elts;

    version = api->versions.elts;

    for (n = 0; n < api->versions.nelts; n++) {

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

    return NGX_OK;
}
