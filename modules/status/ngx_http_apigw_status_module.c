/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_accept.h"
#include "ngx_http_apigw_request.h"
#include "ngx_http_apigw_status.h"


/*
 * Shows what the other modules count: walks the zones of the cycle, of which
 * it knows no more than their headers, and asks each for its numbers.  There
 * is no handler of a phase and no filter; only the directive costs anything.
 */


#define NGX_HTTP_APIGW_STATUS_PREFIX  "ngx_http_apigw_"


typedef struct {
    time_t                           loaded;
} ngx_http_apigw_status_main_conf_t;


typedef struct {
    ngx_uint_t                       format;
} ngx_http_apigw_status_loc_conf_t;


typedef ngx_int_t (*ngx_http_apigw_status_write_pt)(
    ngx_http_apigw_status_out_t *out, ngx_http_apigw_status_t *status);


typedef struct {
    ngx_str_t                        name;     /* in the configuration */
    ngx_str_t                        type;
    ngx_str_t                        media;    /* the type in Accept */
    ngx_str_t                        range;    /* and all of its kind */
    ngx_http_apigw_status_write_pt   write;
} ngx_http_apigw_status_kind_t;


static ngx_int_t ngx_http_apigw_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_status_not_allowed(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_status_choose(ngx_http_request_t *r,
    ngx_uint_t *format);
static ngx_int_t ngx_http_apigw_status_find(ngx_str_t *name,
    ngx_uint_t *format);
static ngx_uint_t ngx_http_apigw_status_negotiate(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_status_quality(ngx_http_request_t *r,
    ngx_str_t *type);
static ngx_int_t ngx_http_apigw_status_collect(ngx_http_request_t *r,
    ngx_uint_t format, ngx_http_apigw_status_t *status);
static ngx_int_t ngx_http_apigw_status_find_zones(
    ngx_http_apigw_status_t *status);
static ngx_apigw_zone_t *ngx_http_apigw_status_zone(ngx_cycle_t *cycle,
    ngx_shm_zone_t *shm_zone);
static void ngx_http_apigw_status_group(ngx_http_apigw_status_t *status);
static ngx_int_t ngx_http_apigw_status_take(void *data,
    ngx_apigw_zone_t *zone, const ngx_apigw_metric_t *metric, uint64_t value);
static ngx_int_t ngx_http_apigw_status_send(ngx_http_request_t *r,
    ngx_uint_t format, ngx_http_apigw_status_out_t *out);

static void *ngx_http_apigw_status_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_apigw_status_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_apigw_status_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* by ngx_http_apigw_status_format_e, in the order of preference */

static ngx_http_apigw_status_kind_t  ngx_http_apigw_status_kinds[] = {

    { ngx_string("json"),
      ngx_string("application/json"),
      ngx_string("application/json"),
      ngx_string("application/*"),
      ngx_http_apigw_status_json },

    { ngx_string("prometheus"),
      ngx_string("text/plain; version=0.0.4; charset=utf-8"),
      ngx_string("text/plain"),
      ngx_string("text/*"),
      ngx_http_apigw_status_prometheus },

    { ngx_string("html"),
      ngx_string("text/html; charset=utf-8"),
      ngx_string("text/html"),
      ngx_string("text/*"),
      ngx_http_apigw_status_html }
};


static ngx_str_t  ngx_http_apigw_status_any = ngx_string("*/*");


static ngx_command_t  ngx_http_apigw_status_commands[] = {

    { ngx_string("api_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_apigw_status_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_apigw_status_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_apigw_status_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_apigw_status_create_loc_conf, /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_apigw_status_module = {
    NGX_MODULE_V1,
    &ngx_http_apigw_status_module_ctx,     /* module context */
    ngx_http_apigw_status_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_apigw_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_uint_t                          format;
    ngx_http_apigw_status_t             status;
    ngx_http_apigw_status_out_t         out;
    ngx_http_apigw_status_main_conf_t  *mcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_apigw_status_not_allowed(r);
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_apigw_status_choose(r, &format) != NGX_OK) {
        return NGX_HTTP_BAD_REQUEST;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_status_module);

    status.loaded = mcf->loaded;

    if (ngx_http_apigw_status_collect(r, format, &status) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&out, sizeof(ngx_http_apigw_status_out_t));

    out.pool = r->pool;
    out.next = &out.chain;

    if (ngx_http_apigw_status_kinds[format].write(&out, &status) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_apigw_status_send(r, format, &out);
}


static ngx_int_t
ngx_http_apigw_status_not_allowed(ngx_http_request_t *r)
{
    ngx_str_t  methods = ngx_string("GET, HEAD");

    if (ngx_http_apigw_add_header(r, "Allow", &methods) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NOT_ALLOWED;
}


/* The configuration decides, or the client: by the query or else by Accept. */

static ngx_int_t
ngx_http_apigw_status_choose(ngx_http_request_t *r, ngx_uint_t *format)
{
    ngx_str_t                          value;
    ngx_http_apigw_status_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_status_module);

    if (lcf->format != NGX_CONF_UNSET_UINT) {
        *format = lcf->format;
        return NGX_OK;
    }

    if (ngx_http_arg(r, (u_char *) "format", 6, &value) == NGX_OK) {
        return ngx_http_apigw_status_find(&value, format);
    }

    *format = ngx_http_apigw_status_negotiate(r);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_status_find(ngx_str_t *name, ngx_uint_t *format)
{
    ngx_str_t   *known;
    ngx_uint_t   i;

    for (i = 0; i < NGX_HTTP_APIGW_STATUS_FORMATS; i++) {
        known = &ngx_http_apigw_status_kinds[i].name;

        if (known->len == name->len
            && ngx_memcmp(known->data, name->data, name->len) == 0)
        {
            *format = i;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * The format that the client likes best, ours first among equals, and the
 * first of all if it likes none (RFC 9110, 12.4.1).
 */

static ngx_uint_t
ngx_http_apigw_status_negotiate(ngx_http_request_t *r)
{
    ngx_int_t                      quality, best;
    ngx_uint_t                     i, format;
    ngx_http_apigw_status_kind_t  *kind;

    best = 0;
    format = NGX_HTTP_APIGW_STATUS_JSON;

    for (i = 0; i < NGX_HTTP_APIGW_STATUS_FORMATS; i++) {
        kind = &ngx_http_apigw_status_kinds[i];

        quality = ngx_http_apigw_status_quality(r, &kind->media);

        if (quality < 0) {
            quality = ngx_http_apigw_status_quality(r, &kind->range);
        }

        if (quality < 0) {
            quality = ngx_http_apigw_status_quality(r,
                                                &ngx_http_apigw_status_any);
        }

        if (quality > best) {
            best = quality;
            format = i;
        }
    }

    return format;
}


/* That of a type in all Accept fields, 0 to 1000; -1: it is not there. */

static ngx_int_t
ngx_http_apigw_status_quality(ngx_http_request_t *r, ngx_str_t *type)
{
    ngx_uint_t           i;
    const u_char        *p, *last;
    ngx_int_t            quality;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h;
    ngx_apigw_accept_t   accept;

    quality = -1;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return quality;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len != sizeof("Accept") - 1
            || ngx_memcmp(h[i].lowcase_key, "accept", 6) != 0)
        {
            continue;
        }

        p = h[i].value.data;
        last = p + h[i].value.len;

        while (ngx_apigw_accept_next(&p, last, type, &accept) == NGX_OK) {

            /* "text/html.v2" is a type of its own */

            if (!accept.dotted) {
                quality = ngx_max(quality, (ngx_int_t) accept.quality);
            }
        }
    }
}


static ngx_int_t
ngx_http_apigw_status_collect(ngx_http_request_t *r, ngx_uint_t format,
    ngx_http_apigw_status_t *status)
{
    ngx_uint_t                     i;
    ngx_http_apigw_status_zone_t  *zone;

    if (ngx_array_init(&status->zones, r->pool, 8,
                       sizeof(ngx_http_apigw_status_zone_t))
        != NGX_OK
        || ngx_array_init(&status->samples, r->pool, 64,
                          sizeof(ngx_http_apigw_status_sample_t))
           != NGX_OK
        || ngx_http_apigw_status_find_zones(status) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_apigw_status_group(status);

    zone = status->zones.elts;

    for (i = 0; i < status->zones.nelts; i++) {

        zone[i].name = zone[i].zone->name;

        if (ngx_http_apigw_status_escape(r->pool, format, &zone[i].name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        zone[i].first = status->samples.nelts;
        status->current = &zone[i];

        if (zone[i].zone->collect(zone[i].zone, ngx_http_apigw_status_take,
                                  status)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        zone[i].n = status->samples.nelts - zone[i].first;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_status_find_zones(ngx_http_apigw_status_t *status)
{
    ngx_uint_t                     i;
    ngx_cycle_t                   *cycle;
    ngx_shm_zone_t                *shm_zone;
    ngx_list_part_t               *part;
    ngx_apigw_zone_t              *found;
    ngx_http_apigw_status_zone_t  *zone;

    cycle = (ngx_cycle_t *) ngx_cycle;

    part = &cycle->shared_memory.part;
    shm_zone = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NGX_OK;
            }

            part = part->next;
            shm_zone = part->elts;
            i = 0;
        }

        found = ngx_http_apigw_status_zone(cycle, &shm_zone[i]);

        if (found == NULL) {
            continue;
        }

        zone = ngx_array_push(&status->zones);
        if (zone == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(zone, sizeof(ngx_http_apigw_status_zone_t));
        zone->zone = found;
    }
}


/*
 * What others keep in the data of their zones may be no pointer at all, so it
 * is looked at only if the zone is that of a module of the suite.
 */

static ngx_apigw_zone_t *
ngx_http_apigw_status_zone(ngx_cycle_t *cycle, ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t     i;
    ngx_module_t  *module;

    for (i = 0; cycle->modules[i]; i++) {
        module = cycle->modules[i];

        if (module == shm_zone->tag) {

            return (ngx_strncmp(module->name, NGX_HTTP_APIGW_STATUS_PREFIX,
                                sizeof(NGX_HTTP_APIGW_STATUS_PREFIX) - 1)
                    == 0)
                   ? ngx_apigw_zone_get(shm_zone) : NULL;
        }
    }

    return NULL;
}


/* Moves each zone behind the last one of its module. */

static void
ngx_http_apigw_status_group(ngx_http_apigw_status_t *status)
{
    ngx_str_t                     *module, *other;
    ngx_uint_t                     i, k, n;
    ngx_http_apigw_status_zone_t  *zone, moved;

    zone = status->zones.elts;
    n = status->zones.nelts;

    for (i = 1; i < n; i++) {

        module = &zone[i].zone->module;

        for (k = i; k > 0; k--) {
            other = &zone[k - 1].zone->module;

            if (other->len == module->len
                && ngx_memcmp(other->data, module->data, module->len) == 0)
            {
                break;
            }
        }

        if (k == 0 || k == i) {
            continue;
        }

        moved = zone[i];
        ngx_memmove(&zone[k + 1], &zone[k],
                    (i - k) * sizeof(ngx_http_apigw_status_zone_t));
        zone[k] = moved;
    }
}


static ngx_int_t
ngx_http_apigw_status_take(void *data, ngx_apigw_zone_t *zone,
    const ngx_apigw_metric_t *metric, uint64_t value)
{
    ngx_http_apigw_status_t *status = data;

    ngx_http_apigw_status_sample_t  *sample;

    sample = ngx_array_push(&status->samples);
    if (sample == NULL) {
        return NGX_ERROR;
    }

    sample->zone = status->current;
    sample->metric = metric;
    sample->value = value;
    sample->next = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_status_send(ngx_http_request_t *r, ngx_uint_t format,
    ngx_http_apigw_status_out_t *out)
{
    ngx_int_t  rc;
    ngx_str_t  no_store = ngx_string("no-store");

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = out->size
                                      + (out->buf->last - out->buf->pos);
    r->headers_out.content_type = ngx_http_apigw_status_kinds[format].type;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_http_apigw_add_header(r, "Cache-Control", &no_store) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out->buf->last_buf = (r == r->main) ? 1 : 0;
    out->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, out->chain);
}


static void *
ngx_http_apigw_status_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_status_main_conf_t  *mcf;

    mcf = ngx_palloc(cf->pool, sizeof(ngx_http_apigw_status_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    mcf->loaded = ngx_time();

    return mcf;
}


static void *
ngx_http_apigw_status_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_apigw_status_loc_conf_t  *lcf;

    lcf = ngx_palloc(cf->pool, sizeof(ngx_http_apigw_status_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    /* belongs to the handler, and is inherited as little as that */

    lcf->format = NGX_CONF_UNSET_UINT;

    return lcf;
}


static char *
ngx_http_apigw_status_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_status_loc_conf_t  *lcf = conf;

    ngx_str_t                 *value, s;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_apigw_status_handler) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (ngx_strncmp(value[1].data, "format=", 7) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }

        s.data = value[1].data + 7;
        s.len = value[1].len - 7;

        if (ngx_http_apigw_status_find(&s, &lcf->format) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid format \"%V\"", &s);
            return NGX_CONF_ERROR;
        }
    }

    clcf->handler = ngx_http_apigw_status_handler;

    return NGX_CONF_OK;
}
