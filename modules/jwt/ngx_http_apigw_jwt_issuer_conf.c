/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/evp.h>

#include "ngx_apigw_claims.h"
#include "ngx_http_apigw_jwt_issuer.h"


/* The block auth_jwt_issuer. */


#define NGX_HTTP_APIGW_JWT_REFRESH    3600
#define NGX_HTTP_APIGW_JWT_COOLDOWN   30
#define NGX_HTTP_APIGW_JWT_STALE      86400
#define NGX_HTTP_APIGW_JWT_TIMEOUT    10
#define NGX_HTTP_APIGW_JWT_TIME_MAX   (10 * 365 * 86400)


typedef struct ngx_http_apigw_jwt_line_s  ngx_http_apigw_jwt_line_t;


typedef char *(*ngx_http_apigw_jwt_set_pt)(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);


/* A line of the block. */

struct ngx_http_apigw_jwt_line_s {
    ngx_str_t                    name;
    ngx_uint_t                   many;      /* arguments */
    ngx_http_apigw_jwt_set_pt    set;
    size_t                       offset;
    time_t                       least;     /* of a time */
};


static char *ngx_http_apigw_jwt_issuer_line(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static char *ngx_http_apigw_jwt_set_url(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_set_text(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_set_list(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_set_path(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_set_time(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_set_algorithms(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_set_ca(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_set_proxy(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer);
static char *ngx_http_apigw_jwt_duplicate(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line);
static char *ngx_http_apigw_jwt_invalid(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line, ngx_str_t *value);
static char *ngx_http_apigw_jwt_issuer_complete(ngx_conf_t *cf,
    ngx_http_apigw_jwt_issuer_t *issuer);
static ngx_int_t ngx_http_apigw_jwt_issuer_bind(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones, ngx_http_apigw_jwt_issuer_t *issuer);
static ngx_int_t ngx_http_apigw_jwt_issuer_id(
    ngx_http_apigw_jwt_issuer_t *issuer);


#define ngx_http_apigw_jwt_offset(field)                                      \
    offsetof(ngx_http_apigw_jwt_issuer_t, field)


static const ngx_http_apigw_jwt_line_t  ngx_http_apigw_jwt_lines[] = {

    { ngx_string("url"), 0, ngx_http_apigw_jwt_set_text,
      ngx_http_apigw_jwt_offset(url), 0 },

    { ngx_string("jwks"), 0, ngx_http_apigw_jwt_set_url,
      ngx_http_apigw_jwt_offset(jwks), 0 },

    { ngx_string("audience"), 1, ngx_http_apigw_jwt_set_list,
      ngx_http_apigw_jwt_offset(audience), 0 },

    { ngx_string("algorithms"), 1, ngx_http_apigw_jwt_set_algorithms,
      ngx_http_apigw_jwt_offset(algorithms), 0 },

    { ngx_string("type"), 0, ngx_http_apigw_jwt_set_text,
      ngx_http_apigw_jwt_offset(type), 0 },

    { ngx_string("consumer"), 1, ngx_http_apigw_jwt_set_path,
      ngx_http_apigw_jwt_offset(consumer), 0 },

    { ngx_string("plan"), 1, ngx_http_apigw_jwt_set_path,
      ngx_http_apigw_jwt_offset(plan), 0 },

    { ngx_string("max_age"), 0, ngx_http_apigw_jwt_set_time,
      ngx_http_apigw_jwt_offset(max_age), 1 },

    { ngx_string("leeway"), 0, ngx_http_apigw_jwt_set_time,
      ngx_http_apigw_jwt_offset(leeway), 0 },

    { ngx_string("refresh"), 0, ngx_http_apigw_jwt_set_time,
      ngx_http_apigw_jwt_offset(refresh), 1 },

    { ngx_string("cooldown"), 0, ngx_http_apigw_jwt_set_time,
      ngx_http_apigw_jwt_offset(cooldown), 1 },

    { ngx_string("stale"), 0, ngx_http_apigw_jwt_set_time,
      ngx_http_apigw_jwt_offset(stale), 0 },

    { ngx_string("timeout"), 0, ngx_http_apigw_jwt_set_time,
      ngx_http_apigw_jwt_offset(timeout), 1 },

    { ngx_string("ca"), 0, ngx_http_apigw_jwt_set_ca,
      ngx_http_apigw_jwt_offset(ca), 0 },

    { ngx_string("proxy"), 0, ngx_http_apigw_jwt_set_proxy,
      ngx_http_apigw_jwt_offset(proxy), 0 },

    { ngx_string("zone"), 0, ngx_http_apigw_jwt_set_text,
      ngx_http_apigw_jwt_offset(zone_name), 0 },

    { ngx_null_string, 0, NULL, 0, 0 }
};


char *
ngx_http_apigw_jwt_issuer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_zones_t  *zones = conf;

    char                          *rv;
    ngx_str_t                     *value;
    ngx_conf_t                     save;
    ngx_http_apigw_jwt_issuer_t   *issuer, **ip;

    value = cf->args->elts;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" of \"%V\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_jwt_issuer_get(zones, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate issuer \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    issuer = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_issuer_t));
    ip = ngx_array_push(&zones->issuers);

    if (issuer == NULL || ip == NULL) {
        return NGX_CONF_ERROR;
    }

    *ip = issuer;

    issuer->name = value[1];
    issuer->file = cf->conf_file->file.name.data;
    issuer->line = cf->conf_file->line;

    issuer->max_age = NGX_CONF_UNSET;
    issuer->leeway = NGX_CONF_UNSET;
    issuer->refresh = NGX_CONF_UNSET;
    issuer->cooldown = NGX_CONF_UNSET;
    issuer->stale = NGX_CONF_UNSET;
    issuer->timeout = NGX_CONF_UNSET;

    save = *cf;
    cf->handler = ngx_http_apigw_jwt_issuer_line;
    cf->handler_conf = (char *) issuer;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_apigw_jwt_issuer_complete(cf, issuer);
}


static char *
ngx_http_apigw_jwt_issuer_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf)
{
    ngx_http_apigw_jwt_issuer_t  *issuer = conf;

    ngx_str_t                        *value;
    const ngx_http_apigw_jwt_line_t  *line;

    value = cf->args->elts;

    if (value[0].len == 7 && ngx_strncmp(value[0].data, "include", 7) == 0
        && cf->args->nelts == 2)
    {
        return ngx_conf_include(cf, dummy, conf);
    }

    for (line = ngx_http_apigw_jwt_lines; line->name.len; line++) {

        if (line->name.len == value[0].len
            && ngx_memcmp(line->name.data, value[0].data, value[0].len) == 0)
        {
            break;
        }
    }

    if (line->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in \"auth_jwt_issuer\"",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts < 2 || (cf->args->nelts > 2 && !line->many)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"%V\" directive",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    return line->set(cf, line, issuer);
}


static char *
ngx_http_apigw_jwt_set_text(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_str_t  *value, *field;

    value = cf->args->elts;
    field = (ngx_str_t *) ((char *) issuer + line->offset);

    if (field->len) {
        return ngx_http_apigw_jwt_duplicate(cf, line);
    }

    if (value[1].len == 0) {
        return ngx_http_apigw_jwt_invalid(cf, line, &value[1]);
    }

    *field = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_jwt_set_url(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (!ngx_apigw_fetch_url(value[1].data, value[1].len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, "
                           "it must be an https URL", &value[1], &line->name);
        return NGX_CONF_ERROR;
    }

    return ngx_http_apigw_jwt_set_text(cf, line, issuer);
}


static char *
ngx_http_apigw_jwt_set_list(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_str_t    *value, *s;
    ngx_uint_t    i;
    ngx_array_t **field;

    value = cf->args->elts;
    field = (ngx_array_t **) ((char *) issuer + line->offset);

    if (*field) {
        return ngx_http_apigw_jwt_duplicate(cf, line);
    }

    *field = ngx_array_create(cf->pool, cf->args->nelts - 1,
                              sizeof(ngx_str_t));
    if (*field == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            return ngx_http_apigw_jwt_invalid(cf, line, &value[i]);
        }

        s = ngx_array_push(*field);
        *s = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_jwt_set_path(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    if (cf->args->nelts - 1 > NGX_APIGW_CLAIMS_STEPS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the path in \"%V\" directive is too long",
                           &line->name);
        return NGX_CONF_ERROR;
    }

    return ngx_http_apigw_jwt_set_list(cf, line, issuer);
}


static char *
ngx_http_apigw_jwt_set_time(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    time_t     *field;
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;
    field = (time_t *) ((char *) issuer + line->offset);

    if (*field != NGX_CONF_UNSET) {
        return ngx_http_apigw_jwt_duplicate(cf, line);
    }

    n = ngx_parse_time(&value[1], 1);

    if (n == NGX_ERROR
        || n < line->least
        || n > NGX_HTTP_APIGW_JWT_TIME_MAX)
    {
        return ngx_http_apigw_jwt_invalid(cf, line, &value[1]);
    }

    *field = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_jwt_set_algorithms(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_apigw_jwa_t   alg;

    value = cf->args->elts;

    if (issuer->algorithms) {
        return ngx_http_apigw_jwt_duplicate(cf, line);
    }

    for (i = 1; i < cf->args->nelts; i++) {

        alg = ngx_apigw_jwa_parse(value[i].data, value[i].len);

        /* what is published can be no secret */

        if (alg == 0
            || (alg & NGX_APIGW_JWA_HS)
            || (issuer->algorithms & alg) == alg)
        {
            return ngx_http_apigw_jwt_invalid(cf, line, &value[i]);
        }

        issuer->algorithms |= alg;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_jwt_set_ca(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    char             *rv;
    ngx_file_info_t   fi;

    rv = ngx_http_apigw_jwt_set_text(cf, line, issuer);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_conf_full_name(cf->cycle, &issuer->ca, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_file_info(issuer->ca.data, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_file_info_n " \"%V\" failed", &issuer->ca);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_jwt_set_proxy(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "http://", 7) != 0
        && ngx_strncmp(value[1].data, "https://", 8) != 0)
    {
        return ngx_http_apigw_jwt_invalid(cf, line, &value[1]);
    }

    return ngx_http_apigw_jwt_set_text(cf, line, issuer);
}


static char *
ngx_http_apigw_jwt_duplicate(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" directive is duplicate", &line->name);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apigw_jwt_invalid(ngx_conf_t *cf,
    const ngx_http_apigw_jwt_line_t *line, ngx_str_t *value)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive",
                       value, &line->name);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_apigw_jwt_issuer_complete(ngx_conf_t *cf,
    ngx_http_apigw_jwt_issuer_t *issuer)
{
    if (issuer->url.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "issuer \"%V\" must have \"url\" directive",
                           &issuer->name);
        return NGX_CONF_ERROR;
    }

    /* an "iss" need not be a URL, but where discovery starts has to be one */

    if (issuer->jwks.len == 0
        && (!ngx_apigw_fetch_url(issuer->url.data, issuer->url.len)
            || ngx_strlchr(issuer->url.data,
                           issuer->url.data + issuer->url.len, '?')))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"url\" directive, it must "
                           "be an https URL for discovery, or \"jwks\" be "
                           "given", &issuer->url);
        return NGX_CONF_ERROR;
    }

    if (issuer->max_age == NGX_CONF_UNSET) {
        issuer->max_age = 0;
    }

    ngx_conf_init_value(issuer->refresh, NGX_HTTP_APIGW_JWT_REFRESH);
    ngx_conf_init_value(issuer->cooldown, NGX_HTTP_APIGW_JWT_COOLDOWN);
    ngx_conf_init_value(issuer->stale, NGX_HTTP_APIGW_JWT_STALE);
    ngx_conf_init_value(issuer->timeout, NGX_HTTP_APIGW_JWT_TIMEOUT);

    if (issuer->cooldown > issuer->refresh) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cooldown\" of issuer \"%V\" is longer than its "
                           "\"refresh\"", &issuer->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apigw_jwt_issuer_id(issuer) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* Where a set comes from, and who vouches for that. */

static ngx_int_t
ngx_http_apigw_jwt_issuer_id(ngx_http_apigw_jwt_issuer_t *issuer)
{
    u_char       digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX  *ctx;
    ngx_int_t    rc;

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    /* with the zero bytes at their ends */

    if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1
        && EVP_DigestUpdate(ctx, issuer->url.data, issuer->url.len + 1) == 1
        && EVP_DigestUpdate(ctx, issuer->jwks.len ? issuer->jwks.data
                                                  : (u_char *) "",
                            issuer->jwks.len + 1) == 1
        && EVP_DigestUpdate(ctx, issuer->ca.len ? issuer->ca.data
                                                : (u_char *) "",
                            issuer->ca.len + 1) == 1
        && EVP_DigestFinal_ex(ctx, digest, NULL) == 1)
    {
        ngx_memcpy(issuer->id, digest, NGX_APIGW_JWT_ISSUER_ID);
        rc = NGX_OK;
    }

    EVP_MD_CTX_free(ctx);

    return rc;
}


ngx_int_t
ngx_http_apigw_jwt_issuers_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones)
{
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    issuer = zones->issuers.elts;

    for (i = 0; i < zones->issuers.nelts; i++) {
        if (ngx_http_apigw_jwt_issuer_bind(cf, zones, issuer[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_issuer_bind(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones, ngx_http_apigw_jwt_issuer_t *issuer)
{
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_zone_t     *zone, **zp;
    ngx_http_apigw_jwt_issuer_t  **ip;

    if (issuer->zone_name.len) {
        zone = ngx_http_apigw_jwt_zone_get(zones, &issuer->zone_name);

        if (zone == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown zone \"%V\" in issuer \"%V\" in %s:%ui",
                          &issuer->zone_name, &issuer->name, issuer->file,
                          issuer->line);
            return NGX_ERROR;
        }

    } else if (zones->zones.nelts != 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "issuer \"%V\" needs %s in %s:%ui", &issuer->name,
                      zones->zones.nelts ? "\"zone\" as there are several"
                                         : "\"auth_jwt_zone\"",
                      issuer->file, issuer->line);
        return NGX_ERROR;

    } else {
        zp = zones->zones.elts;
        zone = zp[0];
    }

    issuer->zone = zone;

    if (zone->issuers.nelts == NGX_HTTP_APIGW_JWT_ISSUERS_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "more than %d issuers in zone \"%V\" in %s:%ui",
                      NGX_HTTP_APIGW_JWT_ISSUERS_MAX, &zone->zone.name,
                      issuer->file, issuer->line);
        return NGX_ERROR;
    }

    ip = zone->issuers.elts;

    for (i = 0; i < zone->issuers.nelts; i++) {
        if (ngx_memcmp(ip[i]->id, issuer->id, NGX_APIGW_JWT_ISSUER_ID) == 0) {
            issuer->twin = ip[i];
            break;
        }
    }

    ip = ngx_array_push(&zone->issuers);
    if (ip == NULL) {
        return NGX_ERROR;
    }

    *ip = issuer;

    return NGX_OK;
}
