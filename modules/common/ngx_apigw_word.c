/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_word.h"
#include "ngx_apigw_zone.h"


#define ngx_apigw_word_member(type, base, word)                               \
    ((type *) ((u_char *) (base) + (word)->offset))


/* a time as text, and one that nobody waits for: ten years */

#define NGX_APIGW_WORD_TIME  (NGX_INT_T_LEN + 2)
#define NGX_APIGW_WORD_EVER  315360000000LL


static ngx_int_t ngx_apigw_word_duration(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, ngx_uint_t is_sec);
static void ngx_apigw_word_range(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, ngx_int_t n, ngx_int_t unit);
static u_char *ngx_apigw_word_time(u_char *p, ngx_int_t n, ngx_int_t unit);
static const ngx_apigw_word_t *ngx_apigw_word_find(
    const ngx_apigw_word_t *words, ngx_str_t *arg, ngx_str_t *value);
static ngx_uint_t ngx_apigw_word_seen(const ngx_apigw_word_t *words,
    uint64_t seen, const ngx_apigw_word_t *word);


ngx_int_t
ngx_apigw_words(ngx_conf_t *cf, ngx_uint_t first,
    const ngx_apigw_word_t *words, void *base)
{
    uint64_t                 seen;
    ngx_int_t                rc;
    ngx_str_t               *arg, value, name;
    ngx_uint_t               i;
    const ngx_apigw_word_t  *word;

    arg = cf->args->elts;
    seen = 0;

    for (i = first; i < cf->args->nelts; i++) {

        word = ngx_apigw_word_find(words, &arg[i], &value);

        if (word && ngx_apigw_word_seen(words, seen, word)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", &arg[i]);
            return NGX_ERROR;
        }

        rc = word ? word->set(cf, word, &value, base) : NGX_DECLINED;

        if (rc == NGX_DECLINED) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &arg[i]);
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        seen |= (uint64_t) 1 << (word - words);
    }

    for (word = words; word->name.len; word++) {

        if (word->needed && !ngx_apigw_word_seen(words, seen, word)) {
            name.data = word->name.data;
            name.len = word->name.len - 1;

            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" must have \"%V\" parameter", &arg[0],
                               &name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static const ngx_apigw_word_t *
ngx_apigw_word_find(const ngx_apigw_word_t *words, ngx_str_t *arg,
    ngx_str_t *value)
{
    size_t                   len;
    const ngx_apigw_word_t  *word;

    for (word = words; word->name.len; word++) {

        len = word->name.len;

        if (arg->len >= len
            && ngx_memcmp(arg->data, word->name.data, len) == 0
            && (word->name.data[len - 1] == '=' || arg->len == len))
        {
            value->data = arg->data + len;
            value->len = arg->len - len;

            return word;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_apigw_word_seen(const ngx_apigw_word_t *words, uint64_t seen,
    const ngx_apigw_word_t *word)
{
    ngx_uint_t  i;

    for (i = 0; words[i].name.len; i++) {
        if ((seen >> i & 1) && words[i].offset == word->offset) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_apigw_word_zone(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_apigw_word_zone_t  *zone;

    zone = ngx_apigw_word_member(ngx_apigw_word_zone_t, base, word);

    return ngx_apigw_zone_parse(cf, value, &zone->name, &zone->size);
}


ngx_int_t
ngx_apigw_word_text(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    if (value->len < (size_t) word->least) {
        return NGX_DECLINED;
    }

    *ngx_apigw_word_member(ngx_str_t, base, word) = *value;

    return NGX_OK;
}


ngx_int_t
ngx_apigw_word_number(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_int_t  n;
    ngx_str_t  name;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n < word->least || n > word->most) {
        name.data = word->name.data;
        name.len = word->name.len - 1;

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid %V value \"%V%V\"", &name, &word->name,
                           value);
        return NGX_ERROR;
    }

    *ngx_apigw_word_member(ngx_int_t, base, word) = n;

    return NGX_OK;
}


ngx_int_t
ngx_apigw_word_msec(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_int_t  n;

    n = ngx_apigw_word_duration(cf, word, value, 0);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *ngx_apigw_word_member(ngx_msec_t, base, word) = (ngx_msec_t) n;

    return NGX_OK;
}


ngx_int_t
ngx_apigw_word_sec(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    ngx_int_t  n;

    n = ngx_apigw_word_duration(cf, word, value, 1);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    *ngx_apigw_word_member(time_t, base, word) = (time_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_word_duration(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, ngx_uint_t is_sec)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, is_sec);

    if (n == NGX_ERROR || n < word->least || n > word->most) {
        ngx_apigw_word_range(cf, word, value, n, is_sec ? 1000 : 1);
        return NGX_ERROR;
    }

    return n;
}


/* Says that it is not a time, or not one in the range, of so many msec. */

static void
ngx_apigw_word_range(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, ngx_int_t n, ngx_int_t unit)
{
    ngx_str_t  least, most;
    u_char     buf[2 * NGX_APIGW_WORD_TIME];

    least.data = buf;
    least.len = ngx_apigw_word_time(buf, word->least, unit) - buf;

    most.data = buf + NGX_APIGW_WORD_TIME;
    most.len = ngx_apigw_word_time(most.data, word->most, unit) - most.data;

    if (n <= word->most && word->most > NGX_APIGW_WORD_EVER / unit) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V%V\", it must be a time of "
                           "at least %V", &word->name, value, &least);
        return;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V%V\", it must be a time from %V "
                       "to %V", &word->name, value, &least, &most);
}


static u_char *
ngx_apigw_word_time(u_char *p, ngx_int_t n, ngx_int_t unit)
{
    if (unit == 1 && n % 1000) {
        return ngx_sprintf(p, "%ims", n);
    }

    n = unit == 1 ? n / 1000 : n;

    return n % 86400 ? ngx_sprintf(p, "%is", n)
                     : ngx_sprintf(p, "%id", n / 86400);
}


ngx_int_t
ngx_apigw_word_constant(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base)
{
    *ngx_apigw_word_member(ngx_int_t, base, word) = word->least;

    return NGX_OK;
}
