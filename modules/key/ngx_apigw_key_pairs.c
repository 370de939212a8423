/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_pairs.h"


static u_char *ngx_apigw_key_pairs_end(u_char *p, u_char *last,
    u_char separator);
static ngx_uint_t ngx_apigw_key_pairs_match(u_char *p, u_char *end,
    u_char separator, const ngx_str_t *name, ngx_str_t *value);


ngx_uint_t
ngx_apigw_key_pairs_next(const ngx_str_t *pairs, u_char separator,
    const ngx_str_t *name, size_t *pos, ngx_str_t *value)
{
    u_char  *p, *end, *last;

    if (pairs->len == 0) {
        return 0;
    }

    last = pairs->data + pairs->len;

    while (*pos < pairs->len) {

        p = pairs->data + *pos;
        end = ngx_apigw_key_pairs_end(p, last, separator);

        *pos = end - pairs->data + 1;

        if (ngx_apigw_key_pairs_match(p, end, separator, name, value)) {
            return 1;
        }
    }

    return 0;
}


size_t
ngx_apigw_key_pairs_without(u_char *dst, const ngx_str_t *pairs,
    u_char separator, const ngx_str_t *name)
{
    size_t       pos;
    u_char      *p, *end, *last, *start;
    ngx_str_t    value;
    ngx_uint_t   first;

    if (pairs->len == 0) {
        return 0;
    }

    first = 1;
    start = dst;
    last = pairs->data + pairs->len;

    for (pos = 0; pos < pairs->len; pos = end - pairs->data + 1) {

        p = pairs->data + pos;
        end = ngx_apigw_key_pairs_end(p, last, separator);

        if (ngx_apigw_key_pairs_match(p, end, separator, name, &value)) {
            continue;
        }

        if (!first) {
            *dst++ = separator;

        } else if (separator == ';') {
            while (p < end && *p == ' ') {
                p++;
            }
        }

        first = 0;
        dst = ngx_cpymem(dst, p, end - p);
    }

    return dst - start;
}


static u_char *
ngx_apigw_key_pairs_end(u_char *p, u_char *last, u_char separator)
{
    u_char  *end;

    end = memchr(p, separator, last - p);

    return end ? end : last;
}


/*
 * Of a cookie the white space around name and value is left out, and the
 * quotes around the value, as back ends do it.
 */

static ngx_uint_t
ngx_apigw_key_pairs_match(u_char *p, u_char *end, u_char separator,
    const ngx_str_t *name, ngx_str_t *value)
{
    u_char  *eq, *last;

    eq = memchr(p, '=', end - p);
    last = eq ? eq : end;

    if (separator == ';') {
        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        while (p < last && (last[-1] == ' ' || last[-1] == '\t')) {
            last--;
        }
    }

    if ((size_t) (last - p) != name->len
        || ngx_memcmp(p, name->data, name->len) != 0)
    {
        return 0;
    }

    p = eq ? eq + 1 : end;

    if (separator == ';') {
        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }

        while (p < end && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }

        if (end - p >= 2 && *p == '"' && end[-1] == '"') {
            p++;
            end--;
        }
    }

    value->data = p;
    value->len = end - p;

    return 1;
}
