/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_date.h"
#include "ngx_apigw_word.h"
#include "ngx_http_apigw_version.h"


static ngx_http_apigw_version_api_t *ngx_http_apigw_version_api_get(
    ngx_conf_t *cf, ngx_http_apigw_version_main_conf_t *amcf,
    ngx_str_t *name);
static ngx_http_apigw_version_t *ngx_http_apigw_version_add(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
static char *ngx_http_apigw_version_default(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_http_apigw_version_t *version);
static ngx_int_t ngx_http_apigw_version_word_date(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_version_word_link(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_version_word_uri(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_version_word_canary(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_version_word_by(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_version_upstream(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static ngx_int_t ngx_http_apigw_version_brownout_word(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout, ngx_str_t *word,
    ngx_uint_t *from);
static ngx_int_t ngx_http_apigw_version_brownout_named(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout, ngx_str_t *word);
static ngx_int_t ngx_http_apigw_version_brownout_form(ngx_conf_t *cf,
    ngx_str_t *word);
static ngx_int_t ngx_http_apigw_version_date(ngx_conf_t *cf,
    ngx_str_t *value, time_t *date);
static ngx_int_t ngx_http_apigw_version_path_prefix(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *path);


#define ngx_http_apigw_version_offset(field)                                  \
    offsetof(ngx_http_apigw_version_t, field)


static const ngx_apigw_word_t  ngx_http_apigw_version_words[] = {

    { ngx_string("upstream="), ngx_http_apigw_version_upstream,
      ngx_http_apigw_version_offset(upstream), 0, 0, 1 },

    { ngx_string("default"), ngx_apigw_word_constant,
      ngx_http_apigw_version_offset(is_default), 1, 0, 0 },

    { ngx_string("since="), ngx_http_apigw_version_word_date,
      ngx_http_apigw_version_offset(since), 0, 0, 0 },

    { ngx_string("deprecated="), ngx_http_apigw_version_word_date,
      ngx_http_apigw_version_offset(deprecated), 0, 0, 0 },

    { ngx_string("sunset="), ngx_http_apigw_version_word_date,
      ngx_http_apigw_version_offset(sunset), 0, 0, 0 },

    { ngx_string("successor="), ngx_apigw_word_text,
      ngx_http_apigw_version_offset(next), 1, 0, 0 },

    { ngx_string("link="), ngx_http_apigw_version_word_link,
      ngx_http_apigw_version_offset(link), 0, 0, 0 },

    { ngx_string("uri="), ngx_http_apigw_version_word_uri,
      ngx_http_apigw_version_offset(uri), 0, 0, 0 },

    { ngx_string("canary="), ngx_http_apigw_version_word_canary,
      ngx_http_apigw_version_offset(share), 0, 0, 0 },

    { ngx_string("by="), ngx_http_apigw_version_word_by,
      ngx_http_apigw_version_offset(by), 0, 0, 0 },

    { ngx_string("canary_optin=on"), ngx_apigw_word_constant,
      ngx_http_apigw_version_offset(optin), 1, 0, 0 },

    { ngx_string("canary_optin=off"), ngx_apigw_word_constant,
      ngx_http_apigw_version_offset(optin), 0, 0, 0 },

    { ngx_string("status=preview"), ngx_apigw_word_constant,
      ngx_http_apigw_version_offset(preview), 1, 0, 0 },

    ngx_apigw_word_end
};


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

    /* "api_publish off" ends one */

    if (!ngx_apigw_label_valid(name->data, name->len)
        || ngx_strcmp(name->data, "off") == 0)
    {
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


char *
ngx_http_apigw_version_version(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_version_main_conf_t *amcf = conf;

    ngx_http_apigw_version_t      *version;
    ngx_http_apigw_version_api_t  *api;

    api = amcf->api;

    version = ngx_http_apigw_version_add(cf, api);
    if (version == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_apigw_words(cf, 2, ngx_http_apigw_version_words, version)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    version->ends = (version->deprecated || version->sunset);

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

    if (version->canary && version->preview) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "canary \"%V\" in api \"%V\" cannot be a preview",
                           &version->label, &api->name);
        return NGX_CONF_ERROR;
    }

    if (!version->canary && (version->by != NGX_ERROR || version->optin)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%s\" needs \"canary\" in version \"%V\"",
                           version->optin ? "canary_optin" : "by",
                           &version->label);
        return NGX_CONF_ERROR;
    }

    return version->is_default
           ? ngx_http_apigw_version_default(cf, api, version) : NGX_CONF_OK;
}


/* A new version of the label that the directive says. */

static ngx_http_apigw_version_t *
ngx_http_apigw_version_add(ngx_conf_t *cf, ngx_http_apigw_version_api_t *api)
{
    time_t                      date;
    ngx_str_t                  *label;
    ngx_uint_t                  i;
    ngx_http_apigw_version_t   *version, **pversion;

    label = (ngx_str_t *) cf->args->elts + 1;

    if (!ngx_apigw_label_valid(label->data, label->len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid version \"%V\"",
                           label);
        return NULL;
    }

    pversion = api->versions.elts;

    for (i = 0; i < api->versions.nelts; i++) {

        if (ngx_apigw_label_named(&pversion[i]->label, label->data,
                                  label->len))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate version \"%V\" in api \"%V\"",
                               label, &api->name);
            return NULL;
        }
    }

    version = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_version_t));
    if (version == NULL) {
        return NULL;
    }

    pversion = ngx_array_push(&api->versions);
    if (pversion == NULL) {
        return NULL;
    }

    *pversion = version;

    version->label = *label;
    version->by = NGX_ERROR;
    version->file = cf->conf_file->file.name.data;
    version->line = cf->conf_file->line;

    if (ngx_apigw_label_number(label->data, label->len, &version->number)
        == NGX_APIGW_SHAPE_DATE
        && ngx_apigw_date_parse(label->data, label->len, &date) != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid date \"%V\"",
                           label);
        return NULL;
    }

    return version;
}


static char *
ngx_http_apigw_version_default(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api, ngx_http_apigw_version_t *version)
{
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

    if (version->since > ngx_time()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "default version \"%V\" in api \"%V\" is before "
                           "its \"since\"", &version->label, &api->name);
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


static ngx_int_t
ngx_http_apigw_version_word_date(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    return ngx_http_apigw_version_date(cf, value,
                                (time_t *) ((u_char *) base + word->offset));
}


/* It goes between "<" and ">" of a Link field, and into JSON. */

static ngx_int_t
ngx_http_apigw_version_word_link(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_version_t *version = base;

    u_char  *p;

    if (value->len == 0) {
        return NGX_DECLINED;
    }

    for (p = value->data; p < value->data + value->len; p++) {
        if (*p <= ' ' || *p >= 0x7f || ngx_strchr("\"<>\\^`{|}", *p)) {
            return NGX_DECLINED;
        }
    }

    version->link = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_word_uri(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_version_t *version = base;

    version->has_uri = 1;

    return ngx_http_apigw_version_path_prefix(cf, value, &version->uri);
}


static ngx_int_t
ngx_http_apigw_version_word_canary(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base)
{
    ngx_http_apigw_version_t *version = base;

    ngx_int_t  share;

    share = ngx_apigw_share_parse(value->data, value->len);

    if (share == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid share \"%V%V\", it must be \"0%%\" to "
                           "\"100%%\" in steps of \"0.01%%\"", &word->name,
                           value);
        return NGX_ERROR;
    }

    version->canary = 1;
    version->share = share;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_version_word_by(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_version_t *version = base;

    return ngx_http_apigw_version_variable(cf, value, &version->by);
}


/*
 * The name of an upstream {}, or an address that nginx knows from now on as
 * if it were in a proxy_pass without variables.
 */

static ngx_int_t
ngx_http_apigw_version_upstream(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_version_t *version = base;

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
            return NGX_OK;
        }
    }

    if (ngx_http_upstream_add(cf, &u, 0) == NULL) {
        return NGX_ERROR;
    }

    if (u.uri.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "upstream \"%V\" cannot have a URI, use \"uri\" "
                           "parameter", value);
        return NGX_ERROR;
    }

    return NGX_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid upstream \"%V\"", value);
    return NGX_ERROR;
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
    ngx_uint_t                     i;
    ngx_http_apigw_version_api_t  *api;

    /* those that have a meaning to nginx, a client or this module */

    static char  *taken[] = {
        "Accept-Ranges", "Allow", "Cache-Control", "Connection",
        "Content-Encoding", "Content-Length", "Content-Range", "Content-Type",
        "Date", "Deprecation", "ETag", "Expires", "Keep-Alive",
        "Last-Modified", "Link", "Location", "Retry-After", "Server",
        "Set-Cookie", "Sunset", "Trailer", "Transfer-Encoding", "Upgrade",
        "Vary", "WWW-Authenticate", NULL
    };

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
        goto invalid;
    }

    for (i = 0; taken[i]; i++) {
        if (ngx_strcasecmp(value[1].data, (u_char *) taken[i]) == 0) {
            goto invalid;
        }
    }

    api->field = value[1];

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"",
                       &value[1]);
    return NGX_CONF_ERROR;
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

    if (brownout->minutes == 0) {
        brownout->minutes = 60;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_apigw_version_brownout_word(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout, ngx_str_t *word,
    ngx_uint_t *from)
{
    ngx_int_t  n;

    if (*from) {
        *from = 0;
        return ngx_http_apigw_version_date(cf, word, &brownout->from);
    }

    if (word->len == 4 && ngx_strncmp(word->data, "from", 4) == 0) {

        if (brownout->from) {
            goto duplicate;
        }

        *from = 1;
        return NGX_OK;
    }

    if (word->data[word->len - 1] == '%') {
        n = ngx_apigw_share_parse(word->data, word->len);

        if (n == NGX_ERROR || n == 0) {
            goto form;
        }

        if (brownout->share) {
            goto duplicate;
        }

        brownout->share = n;
        return NGX_OK;
    }

    return ngx_http_apigw_version_brownout_named(cf, brownout, word);

form:

    return ngx_http_apigw_version_brownout_form(cf, word);

duplicate:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate parameter \"%V\"",
                       word);
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_apigw_version_brownout_named(ngx_conf_t *cf,
    ngx_http_apigw_version_brownout_t *brownout, ngx_str_t *word)
{
    ngx_int_t  n;
    ngx_str_t  rest;

    if (ngx_http_apigw_version_is(word, "for=", &rest)) {

        if (rest.len <= sizeof("/hour") - 1
            || ngx_strncmp(rest.data + rest.len - 5, "/hour", 5) != 0)
        {
            return ngx_http_apigw_version_brownout_form(cf, word);
        }

        n = ngx_atoi(rest.data, rest.len - 5);

        if (n < 1 || n > 60) {
            return ngx_http_apigw_version_brownout_form(cf, word);
        }

        if (brownout->minutes) {
            goto duplicate;
        }

        brownout->minutes = n;
        return NGX_OK;
    }

    if (ngx_http_apigw_version_is(word, "by=", &rest)) {

        if (brownout->by != NGX_ERROR) {
            goto duplicate;
        }

        return ngx_http_apigw_version_variable(cf, &rest, &brownout->by);
    }

    if (ngx_http_apigw_version_is(word, "exempt=", &rest)) {

        if (brownout->exempt != NGX_ERROR) {
            goto duplicate;
        }

        return ngx_http_apigw_version_variable(cf, &rest, &brownout->exempt);
    }

    if (ngx_http_apigw_version_is(word, "version=", &rest) && rest.len) {

        if (brownout->label.len) {
            goto duplicate;
        }

        brownout->label = rest;
        return NGX_OK;
    }

    /* what is nothing else, too: a share without "%" */

    return ngx_http_apigw_version_brownout_form(cf, word);

duplicate:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate parameter \"%V\"",
                       word);
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_apigw_version_brownout_form(ngx_conf_t *cf, ngx_str_t *word)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", \"brownout\" must be "
                       "\"percent%% from date [for=minutes/hour]\"", word);
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
    ngx_str_set(&publish->base, "");
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


ngx_uint_t
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


ngx_int_t
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
