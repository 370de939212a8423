/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_word.h"
#include "ngx_http_apigw_throttle.h"


static ngx_int_t ngx_http_apigw_throttle_cost(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);
static char *ngx_http_apigw_throttle_add_use(ngx_conf_t *cf,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_use_t *use);
static void ngx_http_apigw_throttle_use_warn(ngx_conf_t *cf,
    ngx_http_apigw_throttle_use_t *use, uint64_t burst);
static ngx_http_apigw_throttle_rate_t *ngx_http_apigw_throttle_rate(
    ngx_http_apigw_throttle_use_t *use, ngx_str_t *text);


#define ngx_http_apigw_throttle_use_offset(field)                             \
    offsetof(ngx_http_apigw_throttle_use_t, field)


static const ngx_apigw_word_t  ngx_http_apigw_throttle_words[] = {

    { ngx_string("zone="), ngx_apigw_word_text,
      ngx_http_apigw_throttle_use_offset(name), 1, 0, 1 },

    { ngx_string("burst="), ngx_apigw_word_number,
      ngx_http_apigw_throttle_use_offset(burst),
      1, NGX_HTTP_APIGW_THROTTLE_BURST_MAX, 0 },

    { ngx_string("cost="), ngx_http_apigw_throttle_cost,
      ngx_http_apigw_throttle_use_offset(cost),
      1, NGX_HTTP_APIGW_THROTTLE_BURST_MAX, 0 },

    { ngx_string("delay="), ngx_apigw_word_number,
      ngx_http_apigw_throttle_use_offset(delay),
      0, NGX_HTTP_APIGW_THROTTLE_BURST_MAX, 0 },

    { ngx_string("nodelay"), ngx_apigw_word_constant,
      ngx_http_apigw_throttle_use_offset(delay), NGX_ERROR, 0, 0 },

    { ngx_string("dry_run"), ngx_apigw_word_constant,
      ngx_http_apigw_throttle_use_offset(dry_run), 1, 0, 0 },

    { ngx_string("before_auth"), ngx_apigw_word_constant,
      ngx_http_apigw_throttle_use_offset(early), 1, 0, 0 },

    ngx_apigw_word_end
};


char *
ngx_http_apigw_throttle(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_throttle_loc_conf_t *tlcf = conf;

    ngx_str_t                            *value;
    ngx_http_apigw_throttle_use_t        *use, **slot;
    ngx_http_apigw_throttle_main_conf_t  *tmcf;

    value = cf->args->elts;

    if (tlcf->off) {
        return "is duplicate";
    }

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {

        if (tlcf->early || tlcf->late) {
            return "is duplicate";
        }

        tlcf->off = 1;

        return NGX_CONF_OK;
    }

    use = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_throttle_use_t));
    if (use == NULL) {
        return NGX_CONF_ERROR;
    }

    use->cost = 1;
    use->delay = NGX_ERROR;

    if (ngx_apigw_words(cf, 1, ngx_http_apigw_throttle_words, use) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    use->file = cf->conf_file->file.name;
    use->line = cf->conf_file->line;

    tmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_apigw_throttle_module);

    use->shm_zone = ngx_apigw_zone_use(cf, &tmcf->zones, &use->name,
                                       &ngx_http_apigw_throttle_module);
    if (use->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    slot = ngx_array_push(&tmcf->uses);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = use;

    if (use->early) {
        tmcf->early = 1;

    } else {
        tmcf->late = 1;
    }

    return ngx_http_apigw_throttle_add_use(cf, tlcf, use);
}


static char *
ngx_http_apigw_throttle_add_use(ngx_conf_t *cf,
    ngx_http_apigw_throttle_loc_conf_t *tlcf,
    ngx_http_apigw_throttle_use_t *use)
{
    ngx_uint_t                        i, n;
    ngx_http_apigw_throttle_list_t   *lists[2], **list;

    lists[0] = tlcf->early;
    lists[1] = tlcf->late;

    for (i = 0; i < 2; i++) {
        for (n = 0; lists[i] && n < lists[i]->n; n++) {
            if (lists[i]->uses[n]->shm_zone == use->shm_zone) {
                return "is duplicate";
            }
        }
    }

    list = use->early ? &tlcf->early : &tlcf->late;

    if (*list == NULL) {
        *list = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_throttle_list_t));
        if (*list == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    n = (*list)->n;

    if (n == NGX_HTTP_APIGW_THROTTLE_USES) {
        return "is used more than 16 times at this level";
    }

    for ( /* void */ ; !use->dry_run && n; n--) {

        if (!(*list)->uses[n - 1]->dry_run) {
            break;
        }

        (*list)->uses[n] = (*list)->uses[n - 1];
    }

    (*list)->uses[n] = use;
    (*list)->n++;

    return NGX_CONF_OK;
}


/* A number, or a text with variables. */

static ngx_int_t
ngx_http_apigw_throttle_cost(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_http_apigw_throttle_use_t *use = base;

    ngx_http_compile_complex_value_t  ccv;

    if (ngx_http_script_variables_count(value) == 0) {
        return ngx_apigw_word_number(cf, word, value, base);
    }

    use->cost_value = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (use->cost_value == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = use->cost_value;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_apigw_throttle_use_init(ngx_conf_t *cf,
    ngx_http_apigw_throttle_use_t *use)
{
    u_char                          *p;
    uint64_t                         burst;
    ngx_http_apigw_throttle_zone_t  *zone;

    zone = use->shm_zone->data;

    if (ngx_http_apigw_text_init(cf, &zone->key) != NGX_OK) {
        return NGX_ERROR;
    }

    if (zone->variable
        && ngx_http_apigw_text_init(cf, zone->variable) != NGX_OK)
    {
        return NGX_ERROR;
    }

    burst = use->burst ? use->burst : zone->burst;

    if (ngx_apigw_rate_unlimited(&zone->rate)) {
        use->unlimited = 1;

    } else if (ngx_apigw_limit_init(&use->limit, &zone->rate, burst)
               != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "burst of %uL takes more than ten years to fill at the "
                      "rate of api_throttle_zone \"%V\" in %V:%ui",
                      burst, &use->name, &use->file, use->line);
        return NGX_ERROR;
    }

    /* with a variable rate and no burst, each rate has a burst of its own */

    if (zone->variable == NULL) {
        burst = use->limit.burst;
    }

    zone->deepest = ngx_max(zone->deepest, burst);

    if (burst && use->cost > burst) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "cost of %uL is larger than the burst of %uL of "
                      "api_throttle_zone \"%V\" in %V:%ui, every request "
                      "would be refused",
                      use->cost, burst, &use->name, &use->file, use->line);
        return NGX_ERROR;
    }

    ngx_http_apigw_throttle_use_warn(cf, use, burst);

    if (zone->variable) {
        use->rates = ngx_pcalloc(cf->pool, NGX_HTTP_APIGW_THROTTLE_RATES
                                      * sizeof(ngx_http_apigw_throttle_rate_t));
        if (use->rates == NULL) {
            return NGX_ERROR;
        }
    }

    use->burst = use->burst ? use->burst : zone->burst;

    p = ngx_pnalloc(cf->pool, 2 * use->name.len + sizeof("\"\";r=") - 1
                              + NGX_HTTP_APIGW_THROTTLE_POLICY_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    use->prefix.data = p;
    p = ngx_sprintf(p, "\"%V\";r=", &use->name);
    use->prefix.len = p - use->prefix.data;

    use->policy.data = p;

    if (zone->variable == NULL) {
        p = ngx_http_apigw_throttle_policy(p, &use->name, &use->limit);
    }

    use->policy.len = p - use->policy.data;

    return NGX_OK;
}


/* Of what has no effect, or not the one that it seems to have. */

static void
ngx_http_apigw_throttle_use_warn(ngx_conf_t *cf,
    ngx_http_apigw_throttle_use_t *use, uint64_t burst)
{
    ngx_http_apigw_throttle_zone_t  *zone;

    zone = use->shm_zone->data;

    if (zone->variable == NULL
        && burst < (use->limit.rate.tokens + use->limit.rate.msec - 1)
                   / use->limit.rate.msec)
    {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "the rate of api_throttle_zone \"%V\" cannot be reached "
                      "with a burst of %uL in %V:%ui, a millisecond brings "
                      "more", &use->name, burst, &use->file, use->line);
    }

    if (burst && use->delay != NGX_ERROR && (uint64_t) use->delay >= burst) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "nothing is delayed by a delay of %i with a burst of "
                      "%uL of api_throttle_zone \"%V\" in %V:%ui, no request "
                      "that is admitted finds as many tokens missing",
                      use->delay, burst, &use->name, &use->file, use->line);
    }
}


u_char *
ngx_http_apigw_throttle_policy(u_char *p, ngx_str_t *name,
    const ngx_apigw_limit_t *limit)
{
    uint64_t  window;

    window = (limit->depth + 1000 * NGX_APIGW_MSEC_ONE - 1)
             / (1000 * NGX_APIGW_MSEC_ONE);

    return ngx_sprintf(p, "\"%V\";q=%uL;w=%uL", name, limit->burst, window);
}


ngx_int_t
ngx_http_apigw_throttle_limit(ngx_http_request_t *r,
    ngx_http_apigw_throttle_use_t *use, const ngx_apigw_limit_t **limit)
{
    ngx_str_t                        text;
    ngx_apigw_limit_t               *copy;
    ngx_http_apigw_throttle_zone_t  *zone;
    ngx_http_apigw_throttle_rate_t  *rate;

    zone = use->shm_zone->data;

    if (ngx_http_apigw_text(r, zone->variable, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    rate = text.len ? ngx_http_apigw_throttle_rate(use, &text) : NULL;

    if (rate == NULL || !rate->valid) {

        if (rate && ngx_apigw_log_due(&zone->sh->log_rate)) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "invalid rate \"%V\" for api_throttle_zone \"%V\", "
                          "the default is used", &text, &use->name);
        }

        *limit = use->unlimited ? NULL : &use->limit;

        return NGX_OK;
    }

    if (rate->unlimited) {
        *limit = NULL;
        return NGX_OK;
    }

    /* other requests may need its place */

    copy = ngx_palloc(r->pool, sizeof(ngx_apigw_limit_t));
    if (copy == NULL) {
        return NGX_ERROR;
    }

    *copy = rate->limit;
    *limit = copy;

    return NGX_OK;
}


static ngx_http_apigw_throttle_rate_t *
ngx_http_apigw_throttle_rate(ngx_http_apigw_throttle_use_t *use,
    ngx_str_t *text)
{
    ngx_uint_t                       n, i;
    ngx_apigw_rate_t                 rate;
    ngx_http_apigw_throttle_rate_t  *found;

    n = text->len;

    for (i = 0; i < ngx_min(text->len, NGX_HTTP_APIGW_THROTTLE_TEXT); i++) {
        n = n * 31 + text->data[i];
    }

    found = &use->rates[n % NGX_HTTP_APIGW_THROTTLE_RATES];

    if (found->len == text->len
        && text->len <= NGX_HTTP_APIGW_THROTTLE_TEXT
        && ngx_memcmp(found->text, text->data, text->len) == 0)
    {
        return found;
    }

    found->len = text->len;
    ngx_memcpy(found->text, text->data,
               ngx_min(text->len, NGX_HTTP_APIGW_THROTTLE_TEXT));

    found->valid = 0;
    found->unlimited = 0;

    if (ngx_apigw_rate_parse(&rate, text) != NGX_OK) {
        return found;
    }

    if (ngx_apigw_rate_unlimited(&rate)) {
        found->valid = 1;
        found->unlimited = 1;

    } else if (ngx_apigw_limit_init(&found->limit, &rate, use->burst)
               == NGX_OK)
    {
        found->valid = 1;
    }

    return found;
}
