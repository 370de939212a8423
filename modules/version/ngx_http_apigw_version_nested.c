/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_version.h"


/*
 * Locations that a version in the path leads past.
 *
 * Where the path is "/o/v1/admin/x" nginx finds "location /o/", not "location
 * /o/admin/", although the upstream is asked for "/o/admin/x" when the version
 * has been taken out.  What the inner location demands is not demanded then,
 * so it is warned of.
 */


static ngx_int_t ngx_http_apigw_version_flatten(ngx_array_t *locations,
    ngx_http_location_tree_node_t *node);
static ngx_int_t ngx_http_apigw_version_push(ngx_array_t *locations,
    ngx_http_core_loc_conf_t *clcf);
static ngx_http_core_loc_conf_t *ngx_http_apigw_version_catcher(
    ngx_http_apigw_version_publish_t *publish, ngx_array_t *locations);
static ngx_uint_t ngx_http_apigw_version_passed(
    ngx_http_apigw_version_publish_t *publish, ngx_str_t *name);
static ngx_uint_t ngx_http_apigw_version_position(
    ngx_http_apigw_version_api_t *api);
static ngx_uint_t ngx_http_apigw_version_above(ngx_str_t *name,
    ngx_str_t *base);
static ngx_uint_t ngx_http_apigw_version_below(ngx_str_t *name,
    ngx_str_t *base);


/* Warns for one api_publish; NGX_ERROR is for no memory only. */

ngx_int_t
ngx_http_apigw_version_nested(ngx_conf_t *cf,
    ngx_http_apigw_version_publish_t *publish)
{
    ngx_uint_t                  i;
    ngx_array_t                 locations;
    ngx_http_core_loc_conf_t   *clcf, *catcher, **location;

    if (publish->again || !publish->api->rewrites
        || ngx_http_apigw_version_position(publish->api) == 0)
    {
        return NGX_OK;
    }

    if (ngx_array_init(&locations, cf->temp_pool, 8,
                       sizeof(ngx_http_core_loc_conf_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    clcf = publish->cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];

    if (ngx_http_apigw_version_flatten(&locations, clcf->static_locations)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    catcher = ngx_http_apigw_version_catcher(publish, &locations);
    if (catcher == NULL) {
        return NGX_OK;
    }

    location = locations.elts;

    for (i = 0; i < locations.nelts; i++) {

        if (location[i]->internal
            || !ngx_http_apigw_version_passed(publish, &location[i]->name))
        {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "a version in the path of api \"%V\" leads past location "
                      "\"%V\" to location \"%V\": what is required there only "
                      "is not required with a version, use \"strip off\" or a "
                      "regular expression in %s:%ui",
                      &publish->api->name, &location[i]->name, &catcher->name,
                      publish->file, publish->line);
    }

    return NGX_OK;
}


/* All locations of a server but those with a regular expression. */

static ngx_int_t
ngx_http_apigw_version_flatten(ngx_array_t *locations,
    ngx_http_location_tree_node_t *node)
{
    if (node == NULL) {
        return NGX_OK;
    }

    if (ngx_http_apigw_version_push(locations, node->exact) != NGX_OK
        || ngx_http_apigw_version_push(locations, node->inclusive) != NGX_OK
        || ngx_http_apigw_version_flatten(locations, node->left) != NGX_OK
        || ngx_http_apigw_version_flatten(locations, node->tree) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apigw_version_flatten(locations, node->right);
}


static ngx_int_t
ngx_http_apigw_version_push(ngx_array_t *locations,
    ngx_http_core_loc_conf_t *clcf)
{
    ngx_http_core_loc_conf_t  **location;

    if (clcf == NULL) {
        return NGX_OK;
    }

    location = ngx_array_push(locations);
    if (location == NULL) {
        return NGX_ERROR;
    }

    *location = clcf;

    return ngx_http_apigw_version_flatten(locations, clcf->static_locations);
}


/* Where paths with a version go, if the API is published there. */

static ngx_http_core_loc_conf_t *
ngx_http_apigw_version_catcher(ngx_http_apigw_version_publish_t *publish,
    ngx_array_t *locations)
{
    ngx_uint_t                          i;
    ngx_str_t                          *name;
    ngx_http_core_loc_conf_t           *catcher, **location;
    ngx_http_apigw_version_loc_conf_t  *lcf;

    catcher = NULL;
    location = locations->elts;

    for (i = 0; i < locations->nelts; i++) {
        name = &location[i]->name;

        if (location[i]->exact_match
            || !ngx_http_apigw_version_above(name, &publish->base))
        {
            continue;
        }

        if (catcher == NULL || name->len > catcher->name.len) {
            catcher = location[i];
        }
    }

    if (catcher == NULL) {
        return NULL;
    }

    lcf = catcher->loc_conf[ngx_http_apigw_version_module.ctx_index];

    return (lcf->publish && lcf->publish->api == publish->api) ? catcher : NULL;
}


/*
 * Whether a location is not found any more when a version is put into the
 * path: it has a segment at the place of the version, or behind, and none of
 * the versions there.
 */

static ngx_uint_t
ngx_http_apigw_version_passed(ngx_http_apigw_version_publish_t *publish,
    ngx_str_t *name)
{
    u_char                     *p, *last, *end;
    ngx_uint_t                  i, position;
    ngx_http_apigw_version_t  **version;

    if (!ngx_http_apigw_version_below(name, &publish->base)) {
        return 0;
    }

    p = name->data + publish->base.len + 1;
    last = name->data + name->len;

    position = ngx_http_apigw_version_position(publish->api);

    for ( /* void */ ; position > 1; position--) {

        p = ngx_strlchr(p, last, '/');
        if (p == NULL) {
            return 0;
        }

        p++;
    }

    if (p == last) {
        return 0;
    }

    end = ngx_strlchr(p, last, '/');
    if (end == NULL) {
        end = last;
    }

    version = publish->api->versions.elts;

    for (i = 0; i < publish->api->versions.nelts; i++) {

        if (version[i]->label.len == (size_t) (end - p)
            && ngx_strncmp(version[i]->label.data, p, end - p) == 0)
        {
            return 0;
        }
    }

    return 1;
}


/* The position of the version in the path; 0 if it is never there. */

static ngx_uint_t
ngx_http_apigw_version_position(ngx_http_apigw_version_api_t *api)
{
    ngx_uint_t                        i;
    ngx_http_apigw_version_source_t  *source;

    source = api->sources.elts;

    for (i = 0; i < api->sources.nelts; i++) {
        if (source[i].type == NGX_HTTP_APIGW_VERSION_PATH) {
            return source[i].position;
        }
    }

    return 0;
}


/* whether what begins with the base and a slash begins with the name */

static ngx_uint_t
ngx_http_apigw_version_above(ngx_str_t *name, ngx_str_t *base)
{
    if (name->len == base->len + 1 && name->data[base->len] == '/') {
        return ngx_strncmp(name->data, base->data, base->len) == 0;
    }

    return name->len <= base->len
           && ngx_strncmp(name->data, base->data, name->len) == 0;
}


static ngx_uint_t
ngx_http_apigw_version_below(ngx_str_t *name, ngx_str_t *base)
{
    return name->len > base->len + 1
           && ngx_strncmp(name->data, base->data, base->len) == 0
           && name->data[base->len] == '/';
}
