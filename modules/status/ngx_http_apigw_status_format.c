/*
 * Copyright (C) the apigw authors
 */


/*
 * The three formats.  Names of modules and metrics and their help are
 * literals of the suite, with nothing in them that would have to be escaped;
 * names of zones are the operator's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw.h"
#include "ngx_http_apigw_request.h"
#include "ngx_http_apigw_status.h"


#define NGX_HTTP_APIGW_STATUS_BUF   16384
#define NGX_HTTP_APIGW_STATUS_TEXT  256     /* what is fixed in a piece */


/* Samples of one name, which Prometheus wants to follow each other. */

typedef struct {
    ngx_http_apigw_status_sample_t  *first;
    ngx_http_apigw_status_sample_t  *last;
} ngx_http_apigw_status_family_t;


static u_char *ngx_http_apigw_status_room(ngx_http_apigw_status_out_t *out,
    size_t size);
static u_char *ngx_http_apigw_status_escape_label(u_char *dst,
    ngx_str_t *text);
static ngx_int_t ngx_http_apigw_status_json_zone(
    ngx_http_apigw_status_out_t *out, ngx_http_apigw_status_t *status,
    ngx_uint_t n);
static ngx_int_t ngx_http_apigw_status_families(ngx_pool_t *pool,
    ngx_http_apigw_status_t *status, ngx_array_t *families);
static ngx_uint_t ngx_http_apigw_status_related(
    ngx_http_apigw_status_sample_t *sample,
    ngx_http_apigw_status_sample_t *other);
static ngx_int_t ngx_http_apigw_status_prometheus_family(
    ngx_http_apigw_status_out_t *out, ngx_http_apigw_status_sample_t *sample);
static ngx_int_t ngx_http_apigw_status_html_zone(
    ngx_http_apigw_status_out_t *out, ngx_http_apigw_status_t *status,
    ngx_http_apigw_status_zone_t *zone);
static ngx_uint_t ngx_http_apigw_status_same_module(
    ngx_http_apigw_status_zone_t *zone, ngx_http_apigw_status_zone_t *other);


/* Room for so many bytes; the caller moves out->buf->last behind its own. */

static u_char *
ngx_http_apigw_status_room(ngx_http_apigw_status_out_t *out, size_t size)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = out->buf;

    if (b && (size_t) (b->end - b->last) >= size) {
        return b->last;
    }

    if (b) {
        out->size += b->last - b->pos;
    }

    b = ngx_create_temp_buf(out->pool, ngx_max(size,
                                               NGX_HTTP_APIGW_STATUS_BUF));
    cl = ngx_alloc_chain_link(out->pool);

    if (b == NULL || cl == NULL) {
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    *out->next = cl;
    out->next = &cl->next;
    out->buf = b;

    return b->last;
}


ngx_int_t
ngx_http_apigw_status_escape(ngx_pool_t *pool,
    ngx_http_apigw_status_format_e format, ngx_str_t *text)
{
    u_char     *p, *last;
    ngx_str_t   s;

    /* "\u001f" is the longest that becomes of a byte */

    s.len = text->len;
    s.data = ngx_pnalloc(pool, text->len * 7 + 1);
    if (s.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(s.data, text->data, text->len);
    ngx_http_apigw_make_utf8(s.data, s.data + s.len);

    p = s.data + s.len;

    switch (format) {

    case NGX_HTTP_APIGW_STATUS_PROMETHEUS:
        last = ngx_http_apigw_status_escape_label(p, &s);
        break;

    case NGX_HTTP_APIGW_STATUS_HTML:
        last = (u_char *) ngx_escape_html(p, s.data, s.len);
        break;

    default: /* NGX_HTTP_APIGW_STATUS_JSON */
        last = (u_char *) ngx_escape_json(p, s.data, s.len);
        break;
    }

    text->data = p;
    text->len = last - p;

    return NGX_OK;
}


static u_char *
ngx_http_apigw_status_escape_label(u_char *dst, ngx_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {

        switch (text->data[i]) {

        case '\\':
        case '"':
            *dst++ = '\\';
            *dst++ = text->data[i];
            break;

        case LF:
            *dst++ = '\\';
            *dst++ = 'n';
            break;

        default:
            *dst++ = text->data[i];
            break;
        }
    }

    return dst;
}


ngx_int_t
ngx_http_apigw_status_json(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_http_apigw_status_room(out, NGX_HTTP_APIGW_STATUS_TEXT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->buf->last = ngx_sprintf(p, "{\"version\":\"" NGX_APIGW_VERSION "\","
                                 "\"nginx\":\"" NGINX_VERSION "\","
                                 "\"time\":%T,\"loaded\":%T,\n\"zones\":{",
                                 ngx_time(), status->loaded);

    for (i = 0; i < status->zones.nelts; i++) {
        if (ngx_http_apigw_status_json_zone(out, status, i) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    p = ngx_http_apigw_status_room(out, NGX_HTTP_APIGW_STATUS_TEXT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->buf->last = ngx_cpymem(p, "}}\n", 3);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_status_json_zone(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status, ngx_uint_t n)
{
    u_char                          *p;
    ngx_str_t                       *module;
    ngx_uint_t                       i;
    ngx_http_apigw_status_zone_t    *zone;
    ngx_http_apigw_status_sample_t  *sample;

    zone = (ngx_http_apigw_status_zone_t *) status->zones.elts + n;
    sample = (ngx_http_apigw_status_sample_t *) status->samples.elts
             + zone->first;
    module = &zone->zone->module;

    p = ngx_http_apigw_status_room(out, NGX_HTTP_APIGW_STATUS_TEXT
                                        + module->len + zone->name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (n > 0 && ngx_http_apigw_status_same_module(zone - 1, zone)) {
        p = ngx_sprintf(p, ",\n ");

    } else {
        p = ngx_sprintf(p, "%s\n\"%V\":{\n ", n > 0 ? "}," : "", module);
    }

    out->buf->last = ngx_sprintf(p, "\"%V\":{", &zone->name);

    for (i = 0; i < zone->n; i++) {

        p = ngx_http_apigw_status_room(out, NGX_HTTP_APIGW_STATUS_TEXT
                                          + ngx_strlen(sample[i].metric->name));
        if (p == NULL) {
            return NGX_ERROR;
        }

        out->buf->last = ngx_sprintf(p, "%s\"%s\":%uL", i > 0 ? "," : "",
                                     sample[i].metric->name, sample[i].value);
    }

    p = ngx_http_apigw_status_room(out, NGX_HTTP_APIGW_STATUS_TEXT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *p++ = '}';

    if (n + 1 == status->zones.nelts) {
        *p++ = '}';
    }

    out->buf->last = p;

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_status_prometheus(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status)
{
    u_char                          *p;
    ngx_uint_t                       i;
    ngx_array_t                      families;
    ngx_http_apigw_status_family_t  *family;

    p = ngx_http_apigw_status_room(out, 4 * NGX_HTTP_APIGW_STATUS_TEXT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->buf->last = ngx_sprintf(p,
        "# HELP apigw_info What is running.\n"
        "# TYPE apigw_info gauge\n"
        "apigw_info{version=\"" NGX_APIGW_VERSION "\",nginx=\"" NGINX_VERSION
        "\"} 1\n"
        "# HELP apigw_config_load_time_seconds"
        " When nginx has read its configuration.\n"
        "# TYPE apigw_config_load_time_seconds gauge\n"
        "apigw_config_load_time_seconds %T\n", status->loaded);

    if (ngx_http_apigw_status_families(out->pool, status, &families)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    family = families.elts;

    for (i = 0; i < families.nelts; i++) {
        if (ngx_http_apigw_status_prometheus_family(out, family[i].first)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The zones of a module have the same metrics in the same order, so the
 * family of a sample is nearly always that behind the last one's.
 */

static ngx_int_t
ngx_http_apigw_status_families(ngx_pool_t *pool,
    ngx_http_apigw_status_t *status, ngx_array_t *families)
{
    ngx_uint_t                       i, k, n;
    ngx_http_apigw_status_family_t  *family;
    ngx_http_apigw_status_sample_t  *sample;

    if (ngx_array_init(families, pool, 64,
                       sizeof(ngx_http_apigw_status_family_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sample = status->samples.elts;
    k = 0;

    for (i = 0; i < status->samples.nelts; i++) {

        family = families->elts;

        for (n = families->nelts; n > 0; n--, k++) {

            if (k >= families->nelts) {
                k = 0;
            }

            if (ngx_http_apigw_status_related(family[k].first, &sample[i])) {
                break;
            }
        }

        if (n > 0) {
            family[k].last->next = &sample[i];
            family[k++].last = &sample[i];
            continue;
        }

        family = ngx_array_push(families);
        if (family == NULL) {
            return NGX_ERROR;
        }

        family->first = &sample[i];
        family->last = &sample[i];

        k = families->nelts;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_apigw_status_related(ngx_http_apigw_status_sample_t *sample,
    ngx_http_apigw_status_sample_t *other)
{
    if (sample->metric == other->metric) {
        return 1;
    }

    return ngx_strcmp(sample->metric->name, other->metric->name) == 0
           && ngx_http_apigw_status_same_module(sample->zone, other->zone);
}


static ngx_int_t
ngx_http_apigw_status_prometheus_family(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_sample_t *sample)
{
    size_t                     len;
    u_char                    *p;
    ngx_str_t                 *module;
    const char                *suffix;
    const ngx_apigw_metric_t  *metric;

    module = &sample->zone->zone->module;
    metric = sample->metric;
    suffix = (metric->type == NGX_APIGW_COUNTER) ? "_total" : "";

    len = NGX_HTTP_APIGW_STATUS_TEXT + module->len + ngx_strlen(metric->name);

    p = ngx_http_apigw_status_room(out, 2 * len + ngx_strlen(metric->help));
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->buf->last = ngx_sprintf(p, "# HELP apigw_%V_%s%s %s\n"
                                 "# TYPE apigw_%V_%s%s %s\n",
                                 module, metric->name, suffix, metric->help,
                                 module, metric->name, suffix,
                                 *suffix ? "counter" : "gauge");

    for ( /* void */ ; sample; sample = sample->next) {

        p = ngx_http_apigw_status_room(out, len + sample->zone->name.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        out->buf->last = ngx_sprintf(p, "apigw_%V_%s%s{zone=\"%V\"} %uL\n",
                                     module, metric->name, suffix,
                                     &sample->zone->name, sample->value);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_status_html(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status)
{
    u_char                        *p;
    ngx_tm_t                       tm;
    ngx_uint_t                     i;
    ngx_http_apigw_status_zone_t  *zone;

    static const char  head[] =
        "<!DOCTYPE html>\n"
        "<html lang=\"en\">\n"
        "<head>\n"
        "<meta charset=\"utf-8\">\n"
        "<title>apigw</title>\n"
        "<style>\n"
        "body { font-family: sans-serif }\n"
        "td, th { text-align: left; padding: 2px 12px 2px 0 }\n"
        "td.n { text-align: right }\n"
        "</style>\n"
        "</head>\n"
        "<body>\n"
        "<h1>apigw " NGX_APIGW_VERSION "</h1>\n";

    static const char  tail[] = "</body>\n</html>\n";

    p = ngx_http_apigw_status_room(out, sizeof(head)
                                        + NGX_HTTP_APIGW_STATUS_TEXT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(p, head, sizeof(head) - 1);

    ngx_gmtime(status->loaded, &tm);

    out->buf->last = ngx_sprintf(p, "<p>nginx " NGINX_VERSION
                                 ", configuration of"
                                 " %4d-%02d-%02dT%02d:%02d:%02dZ</p>\n",
                                 tm.ngx_tm_year, tm.ngx_tm_mon,
                                 tm.ngx_tm_mday, tm.ngx_tm_hour,
                                 tm.ngx_tm_min, tm.ngx_tm_sec);

    zone = status->zones.elts;

    for (i = 0; i < status->zones.nelts; i++) {
        if (ngx_http_apigw_status_html_zone(out, status, &zone[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    p = ngx_http_apigw_status_room(out, sizeof(tail));
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->buf->last = ngx_cpymem(p, tail, sizeof(tail) - 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_status_html_zone(ngx_http_apigw_status_out_t *out,
    ngx_http_apigw_status_t *status, ngx_http_apigw_status_zone_t *zone)
{
    u_char                          *p;
    ngx_uint_t                       i;
    const ngx_apigw_metric_t        *metric;
    ngx_http_apigw_status_sample_t  *sample;

    static const char  tail[] = "</table>\n";

    sample = (ngx_http_apigw_status_sample_t *) status->samples.elts
             + zone->first;

    p = ngx_http_apigw_status_room(out, NGX_HTTP_APIGW_STATUS_TEXT
                                        + zone->zone->module.len
                                        + zone->name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->buf->last = ngx_sprintf(p, "<h2>%V: %V</h2>\n<table>\n",
                                 &zone->zone->module, &zone->name);

    for (i = 0; i < zone->n; i++) {

        metric = sample[i].metric;

        p = ngx_http_apigw_status_room(out, NGX_HTTP_APIGW_STATUS_TEXT
                                            + ngx_strlen(metric->name)
                                            + ngx_strlen(metric->help));
        if (p == NULL) {
            return NGX_ERROR;
        }

        out->buf->last = ngx_sprintf(p, "<tr><th>%s</th>"
                                     "<td class=\"n\">%uL</td>"
                                     "<td>%s</td></tr>\n", metric->name,
                                     sample[i].value, metric->help);
    }

    p = ngx_http_apigw_status_room(out, sizeof(tail));
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->buf->last = ngx_cpymem(p, tail, sizeof(tail) - 1);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_apigw_status_same_module(ngx_http_apigw_status_zone_t *zone,
    ngx_http_apigw_status_zone_t *other)
{
    ngx_str_t  *a, *b;

    a = &zone->zone->module;
    b = &other->zone->module;

    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}
