/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_pairs.h"


static u_char *ngx_apigw_key_pairs_end(u_char *p, u_char *last,
    u_char separator, const ngx_str_t *name);
static ngx_uint_t ngx_apigw_key_pairs_match(u_char *p, u_char *end,
    u_char separator, const ngx_str_t *name, ngx_str_t *value);
static ngx_uint_t ngx_apigw_key_pairs_same(u_char *p, u_char *last,
    const ngx_str_t *name);
static ngx_int_t ngx_apigw_key_pairs_digit(u_char ch);
static u_char *ngx_apigw_key_pairs_skip(u_char *p, u_char *last);


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
        end = ngx_apigw_key_pairs_end(p, last, separator, name);

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
        end = ngx_apigw_key_pairs_end(p, last, separator, name);

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


/*
 * There are readers of cookies that begin a new one at a comma, too, nginx
 * before 1.23 among them.  Others take the comma for a part of the value, so
 * it counts only where a cookie of that name would begin.
 */

static u_char *
ngx_apigw_key_pairs_end(u_char *p, u_char *last, u_char separator,
    const ngx_str_t *name)
{
    u_char  *end, *next;

    end = memchr(p, separator, last - p);

    if (end == NULL) {
        end = last;
    }

    if (separator == '&') {
        return end;
    }

    while ((p = memchr(p, ',', end - p))) {

        next = ngx_apigw_key_pairs_skip(p + 1, end);

        if ((size_t) (end - next) > name->len
            && ngx_memcmp(next, name->data, name->len) == 0)
        {
            next = ngx_apigw_key_pairs_skip(next + name->len, end);

            if (next < end && *next == '=') {
                return p;
            }
        }

        p++;
    }

    return end;
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
        p = ngx_apigw_key_pairs_skip(p, last);

        while (p < last && (last[-1] == ' ' || last[-1] == '\t')) {
            last--;
        }
    }

    if ((size_t) (last - p) == name->len) {
        if (ngx_memcmp(p, name->data, name->len) != 0) {
            return 0;
        }

    } else if (separator != '&' || !ngx_apigw_key_pairs_same(p, last, name)) {
        return 0;
    }

    p = eq ? eq + 1 : end;

    if (separator == ';') {
        p = ngx_apigw_key_pairs_skip(p, end);

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


/* Whether what is escaped is that name, which has nothing to escape. */

static ngx_uint_t
ngx_apigw_key_pairs_same(u_char *p, u_char *last, const ngx_str_t *name)
{
    size_t     i;
    u_char     ch;
    ngx_int_t  high, low;

    for (i = 0; i < name->len && p < last; i++) {

        ch = *p++;

        if (ch == '%' && last - p >= 2) {
            high = ngx_apigw_key_pairs_digit(p[0]);
            low = ngx_apigw_key_pairs_digit(p[1]);

            if (high == NGX_ERROR || low == NGX_ERROR) {
                return 0;
            }

            ch = (u_char) (high << 4 | low);
            p += 2;
        }

        if (ch != name->data[i]) {
            return 0;
        }
    }

    return i == name->len && p == last;
}


static ngx_int_t
ngx_apigw_key_pairs_digit(u_char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    return (ch >= 'a' && ch <= 'f') ? ch - 'a' + 10 : NGX_ERROR;
}


static u_char *
ngx_apigw_key_pairs_skip(u_char *p, u_char *last)
{
    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p;
}
