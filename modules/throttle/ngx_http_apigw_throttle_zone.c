/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_word.h"
#include "ngx_http_apigw_throttle.h"


/*
 * A zone's shared memory holds the table of buckets, counters, and the times
 * of the last log lines.  Nothing guards it: words and pairs of words are
 * changed by atomic instructions only, so a killed process leaves no lock and
 * nothing half done.  Nobody frees; the whole lives as long as nginx's master
 * keeps the zone: over reloads with an equal size, never over a restart.
 */


#define NGX_HTTP_APIGW_THROTTLE_DEFAULT  "1r/s"


/* what a directive says */

typedef struct {
    ngx_apigw_word_zone_t        zone;
    ngx_str_t                    rate;
    ngx_str_t                    fallback;
    ngx_int_t                    burst;
} ngx_http_apigw_throttle_zone_words_t;


typedef struct {
    ngx_atomic_t                 passed;
    ngx_atomic_t                 delayed;
    ngx_atomic_t                 rejected;
    ngx_atomic_t                 rejected_dry_run;
    ngx_atomic_t                 evicted;
    ngx_atomic_t                 keys;
    ngx_atomic_t                 capacity;
} ngx_http_apigw_throttle_metrics_t;


static ngx_int_t ngx_http_apigw_throttle_zone_name(ngx_conf_t *cf,
    ngx_str_t *name);
static ngx_int_t ngx_http_apigw_throttle_zone_rate(ngx_conf_t *cf,
    ngx_http_apigw_throttle_zone_t *zone, ngx_str_t *value);
static ngx_uint_t ngx_http_apigw_throttle_zone_rate_possible(
    ngx_str_t *value);
static ngx_int_t ngx_http_apigw_throttle_zone_default(ngx_conf_t *cf,
    ngx_http_apigw_throttle_zone_t *zone, ngx_str_t *value);
static ngx_int_t ngx_http_apigw_throttle_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_apigw_throttle_create_table(
    ngx_shm_zone_t *shm_zone);
static ngx_uint_t ngx_http_apigw_throttle_applied(
    ngx_http_apigw_throttle_zone_t *zone);
static ngx_int_t ngx_http_apigw_throttle_collect(ngx_apigw_zone_t *zone,
    ngx_apigw_emit_pt emit, void *data);


static const ngx_apigw_metric_t  ngx_http_apigw_throttle_metrics[] = {

    { "passed", "Requests that passed at once.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_throttle_metrics_t, passed) },

    { "delayed", "Requests that passed after a delay.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_throttle_metrics_t, delayed) },

    { "rejected", "Requests that were refused.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_throttle_metrics_t, rejected) },

    { "rejected_dry_run", "Requests that would have been refused.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_throttle_metrics_t, rejected_dry_run) },

    { "evicted", "Keys forgotten too early, as the zone was full.",
      NGX_APIGW_COUNTER,
      offsetof(ngx_http_apigw_throttle_metrics_t, evicted) },

    { "keys", "Keys in use, those whose bucket is not full.",
      NGX_APIGW_GAUGE,
      offsetof(ngx_http_apigw_throttle_metrics_t, keys) },

    { "capacity", "Keys that the zone has room for.",
      NGX_APIGW_GAUGE,
      offsetof(ngx_http_apigw_throttle_metrics_t, capacity) },

    ngx_apigw_metric_end
};


static const ngx_apigw_word_t  ngx_http_apigw_throttle_zone_words[] = {

    { ngx_string("zone="), ngx_apigw_word_zone,
      offsetof(ngx_http_apigw_throttle_zone_words_t, zone), 0, 0, 1 },

    { ngx_string("rate="), ngx_apigw_word_text,
      offsetof(ngx_http_apigw_throttle_zone_words_t, rate), 0, 0, 1 },

    { ngx_string("default="), ngx_apigw_word_text,
      offsetof(ngx_http_apigw_throttle_zone_words_t, fallback), 0, 0, 0 },

    { ngx_string("burst="), ngx_apigw_word_number,
      offsetof(ngx_http_apigw_throttle_zone_words_t, burst),
      1, NGX_HTTP_APIGW_THROTTLE_BURST_MAX, 0 },

    ngx_apigw_word_end
};


char *
ngx_http_apigw_throttle_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                             *value, *name;
    ngx_shm_zone_t                        *shm_zone;
    ngx_http_apigw_throttle_zone_t        *zone, *other;
    ngx_http_apigw_throttle_zone_words_t   words;

    value = cf->args->elts;
    name = &words.zone.name;

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_throttle_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&words, sizeof(ngx_http_apigw_throttle_zone_words_t));

    if (ngx_apigw_words(cf, 2, ngx_http_apigw_throttle_zone_words, &words)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "empty key in \"%V\"", &cmd->name);
        return NGX_CONF_ERROR;
    }

    zone->burst = words.burst;

    if (ngx_http_apigw_throttle_zone_name(cf, name) != NGX_OK
        || ngx_http_apigw_text_compile(cf, &value[1], &zone->key) != NGX_OK
        || ngx_http_apigw_throttle_zone_rate(cf, zone, &words.rate) != NGX_OK
        || ngx_http_apigw_throttle_zone_default(cf, zone, &words.fallback)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, name, words.zone.size,
                                     &ngx_http_apigw_throttle_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        other = shm_zone->data;

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%V \"%V\" is already bound to key \"%V\"",
                           &cmd->name, name, &other->key.value.value);
        return NGX_CONF_ERROR;
    }

    ngx_apigw_zone_init(&zone->zone, "throttle", &shm_zone->shm.name,
                        ngx_http_apigw_throttle_collect);

    shm_zone->init = ngx_http_apigw_throttle_init_zone;
    shm_zone->data = zone;

    return NGX_CONF_OK;
}


/* It becomes a string of a header field. */

static ngx_int_t
ngx_http_apigw_throttle_zone_name(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char  *p;

    for (p = name->data; p < name->data + name->len; p++) {

        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid zone name \"%V\"", name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_zone_rate(ngx_conf_t *cf,
    ngx_http_apigw_throttle_zone_t *zone, ngx_str_t *value)
{
    ngx_apigw_limit_t  limit;

    if (ngx_http_script_variables_count(value)) {

        if (!ngx_http_apigw_throttle_zone_rate_possible(value)) {
            goto invalid;
        }

        zone->variable = ngx_palloc(cf->pool,
                                    sizeof(ngx_http_apigw_text_t));
        if (zone->variable == NULL) {
            return NGX_ERROR;
        }

        return ngx_http_apigw_text_compile(cf, value, zone->variable);
    }

    if (ngx_apigw_rate_parse(&zone->rate, value) != NGX_OK
        || ngx_apigw_rate_unlimited(&zone->rate))
    {
        goto invalid;
    }

    if (ngx_apigw_limit_init(&limit, &zone->rate, zone->burst) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "burst of %uL takes more than ten years to fill"
                           " at \"rate=%V\"", zone->burst, value);
        return NGX_ERROR;
    }

    return NGX_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid rate \"rate=%V\"", value);
    return NGX_ERROR;
}


/*
 * Whether what stands between the variables can be part of a rate, as in
 * "${arg_n}r/s".  Of the names of variables nothing is known.
 */

static ngx_uint_t
ngx_http_apigw_throttle_zone_rate_possible(ngx_str_t *value)
{
    u_char  *p, *last;

    p = value->data;
    last = p + value->len;

    while (p < last) {

        if (*p != '$') {

            if (ngx_strchr("0123456789.r/smhd", *p) == NULL) {
                return 0;
            }

            p++;
            continue;
        }

        p++;

        if (p < last && *p == '{') {
            p = (u_char *) ngx_strlchr(p, last, '}');

            if (p == NULL) {
                return 1;    /* for nginx to refuse */
            }

            p++;
            continue;
        }

        while (p < last
               && ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z')
                   || (*p >= 'A' && *p <= 'Z') || *p == '_'))
        {
            p++;
        }
    }

    return 1;
}


static ngx_int_t
ngx_http_apigw_throttle_zone_default(ngx_conf_t *cf,
    ngx_http_apigw_throttle_zone_t *zone, ngx_str_t *value)
{
    ngx_apigw_limit_t  limit;

    if (zone->variable == NULL) {

        if (value->data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"default=%V\" needs a rate with variables",
                               value);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (value->data == NULL) {
        ngx_str_set(value, NGX_HTTP_APIGW_THROTTLE_DEFAULT);
    }

    if (ngx_apigw_rate_parse(&zone->rate, value) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid rate \"default=%V\"", value);
        return NGX_ERROR;
    }

    if (!ngx_apigw_rate_unlimited(&zone->rate)
        && ngx_apigw_limit_init(&limit, &zone->rate, zone->burst) != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "burst of %uL takes more than ten years to fill"
                           " at \"default=%V\"", zone->burst, value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_throttle_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_str_t                       *key, *okey;
    ngx_http_apigw_throttle_zone_t  *zone, *ozone;

    zone = shm_zone->data;
    ozone = data;

    if (ozone) {
        key = &zone->key.value.value;
        okey = &ozone->key.value.value;

        if (key->len != okey->len
            || ngx_strncmp(key->data, okey->data, key->len) != 0)
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "api_throttle_zone \"%V\" uses the \"%V\" key "
                          "while previously it used the \"%V\" key, "
                          "give it another name or restart nginx",
                          &shm_zone->shm.name, key, okey);
            return NGX_ERROR;
        }

        zone->sh = ozone->sh;
        zone->hash_key = ozone->hash_key;
        zone->shpool = ozone->shpool;

        return NGX_OK;
    }

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;

        if (zone->sh == NULL
            || !ngx_apigw_buckets_valid(zone->sh->buckets, zone->sh->size))
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "api_throttle_zone \"%V\" has memory of another "
                          "version, restart nginx", &shm_zone->shm.name);
            return NGX_ERROR;
        }

        zone->hash_key = ngx_apigw_buckets_key(zone->sh->buckets);

        return NGX_OK;
    }

    return ngx_http_apigw_throttle_create_table(shm_zone);
}


static ngx_int_t
ngx_http_apigw_throttle_create_table(ngx_shm_zone_t *shm_zone)
{
    size_t                             size;
    u_char                            *block;
    ngx_slab_pool_t                   *shpool;
    ngx_http_apigw_throttle_zone_t    *zone;
    ngx_http_apigw_throttle_shared_t  *sh;

    zone = shm_zone->data;
    shpool = zone->shpool;

    if (ngx_apigw_zone_log_ctx(shm_zone, "api_throttle_zone") != NGX_OK) {
        return NGX_ERROR;
    }

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_apigw_throttle_shared_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    /* the rest is one run of pages, zeroed by the kernel */

    size = shpool->pfree * ngx_pagesize;

    block = ngx_slab_alloc(shpool, size);
    if (block == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    ngx_memzero(block, size);
#endif

    sh->buckets = ngx_apigw_buckets_create(block, size);

    if (sh->buckets == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                      "api_throttle_zone \"%V\" could not be created",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    sh->size = size;
    sh->applied = ngx_http_apigw_throttle_applied(zone);

    shpool->data = sh;

    zone->sh = sh;
    zone->hash_key = ngx_apigw_buckets_key(sh->buckets);

    return NGX_OK;
}


/* the limit that the buckets of a zone obey, as one word */

static ngx_uint_t
ngx_http_apigw_throttle_applied(ngx_http_apigw_throttle_zone_t *zone)
{
    ngx_apigw_limit_t  limit;

    if (zone->variable
        || ngx_apigw_limit_init(&limit, &zone->rate, zone->deepest) != NGX_OK)
    {
        return zone->deepest;
    }

    return (ngx_uint_t) limit.code << 40 | limit.burst;
}


void
ngx_http_apigw_throttle_apply(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t                         applied, before;
    ngx_apigw_limit_t                  limit;
    ngx_http_apigw_throttle_zone_t    *zone;
    ngx_http_apigw_throttle_shared_t  *sh;

    zone = shm_zone->data;
    sh = zone->sh;

    before = sh->applied;
    applied = ngx_http_apigw_throttle_applied(zone);

    if (before == applied
        || !ngx_atomic_cmp_set(&sh->applied, before, applied))
    {
        return;
    }

    if (zone->variable == NULL
        && ngx_apigw_limit_init(&limit, &zone->rate, zone->deepest) == NGX_OK)
    {
        ngx_apigw_buckets_convert(sh->buckets, &limit, 0, ngx_current_msec);

    } else if (zone->deepest) {
        ngx_apigw_buckets_convert(sh->buckets, NULL, zone->deepest,
                                  ngx_current_msec);
    }
}


static ngx_int_t
ngx_http_apigw_throttle_collect(ngx_apigw_zone_t *apigw_zone,
    ngx_apigw_emit_pt emit, void *data)
{
    ngx_uint_t                          i;
    ngx_apigw_buckets_stat_t            stat;
    ngx_http_apigw_throttle_zone_t     *zone;
    ngx_http_apigw_throttle_counts_t   *counts;
    ngx_http_apigw_throttle_metrics_t   metrics;

    zone = (ngx_http_apigw_throttle_zone_t *) apigw_zone;

    ngx_memzero(&metrics, sizeof(ngx_http_apigw_throttle_metrics_t));

    for (i = 0; i < NGX_HTTP_APIGW_THROTTLE_STRIPES; i++) {
        counts = &zone->sh->counts[i];

        metrics.passed += counts->passed;
        metrics.delayed += counts->delayed;
        metrics.rejected += counts->rejected;
        metrics.rejected_dry_run += counts->rejected_dry_run;
    }

    ngx_apigw_buckets_stat(zone->sh->buckets, ngx_current_msec, &stat);

    metrics.evicted = stat.evicted;
    metrics.keys = stat.used;
    metrics.capacity = stat.cells;

    return ngx_apigw_zone_emit(apigw_zone, ngx_http_apigw_throttle_metrics,
                               &metrics, emit, data);
}
