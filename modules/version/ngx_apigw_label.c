/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_label.h"


#define ngx_apigw_is_digit(c)  ((c) >= '0' && (c) <= '9')

#define ngx_apigw_is_letter(c)                                                \
    (((c) | 0x20) >= 'a' && ((c) | 0x20) <= 'z')


/* A word of eight such bytes. */

#define ngx_apigw_bytes(n)  ((uint64_t) (n) * 0x0101010101010101ULL)


static ngx_uint_t ngx_apigw_label_date(const u_char *p, size_t len,
    ngx_apigw_number_t *number);
static const u_char *ngx_apigw_query_byte(const u_char *p,
    const u_char *last, u_char *ch);
static ngx_int_t ngx_apigw_hex(u_char ch);


const ngx_str_t  ngx_apigw_sources[NGX_APIGW_SOURCES] = {
    ngx_null_string,
    ngx_string("path"),
    ngx_string("package"),
    ngx_string("header"),
    ngx_string("accept"),
    ngx_string("query"),
    ngx_string("host"),
    ngx_string("variable"),
    ngx_string("default"),
    ngx_string("nearest"),
    ngx_string("canary")
};


ngx_uint_t
ngx_apigw_label_valid(const u_char *p, size_t len)
{
    size_t  i;

    if (len == 0 || len > NGX_APIGW_LABEL_LEN) {
        return 0;
    }

    for (i = 0; i < len; i++) {

        if (ngx_apigw_is_letter(p[i]) || ngx_apigw_is_digit(p[i])) {
            continue;
        }

        if (i == 0 || (p[i] != '-' && p[i] != '_' && p[i] != '.')) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_apigw_label_number(const u_char *p, size_t len,
    ngx_apigw_number_t *number)
{
    uint32_t       n;
    ngx_uint_t     shape, i;
    const u_char  *last;

    ngx_memzero(number, sizeof(ngx_apigw_number_t));

    if (ngx_apigw_label_date(p, len, number)) {
        number->shape = NGX_APIGW_SHAPE_DATE;
        return NGX_APIGW_SHAPE_DATE;
    }

    last = p + len;
    shape = NGX_APIGW_SHAPE_NUMBER;

    if (p != last && (*p | 0x20) == 'v') {
        shape = NGX_APIGW_SHAPE_V;
        p++;
    }

    for (i = 0; i < 4; i++) {

        if (p == last || !ngx_apigw_is_digit(*p)) {
            return NGX_APIGW_SHAPE_NONE;
        }

        for (n = 0; p != last && ngx_apigw_is_digit(*p); p++) {
            if (n < 100000000) {
                n = n * 10 + (*p - '0');
            }
        }

        number->part[i] = n;

        if (p == last) {
            number->shape = shape;
            return shape;
        }

        if (*p++ != '.') {
            return NGX_APIGW_SHAPE_NONE;
        }
    }

    return NGX_APIGW_SHAPE_NONE;
}


static ngx_uint_t
ngx_apigw_label_date(const u_char *p, size_t len, ngx_apigw_number_t *number)
{
    size_t      i;
    ngx_uint_t  part;

    if (len != sizeof("2026-06-01") - 1 || p[4] != '-' || p[7] != '-') {
        return 0;
    }

    for (i = 0; i < len; i++) {

        if (i == 4 || i == 7) {
            continue;
        }

        if (!ngx_apigw_is_digit(p[i])) {
            ngx_memzero(number, sizeof(ngx_apigw_number_t));
            return 0;
        }

        part = (i > 4) + (i > 7);
        number->part[part] = number->part[part] * 10 + (p[i] - '0');
    }

    return 1;
}


ngx_int_t
ngx_apigw_number_cmp(const ngx_apigw_number_t *a, const ngx_apigw_number_t *b)
{
    ngx_uint_t  i;

    for (i = 0; i < 4; i++) {
        if (a->part[i] != b->part[i]) {
            return a->part[i] < b->part[i] ? -1 : 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_apigw_label_named(const ngx_str_t *label, const u_char *p, size_t len)
{
    size_t         i;
    const u_char  *name;

    name = label->data;

    if (len + 1 == label->len
        && (name[0] | 0x20) == 'v'
        && ngx_apigw_is_digit(name[1]))
    {
        name++;

    } else if (len == label->len + 1
               && (p[0] | 0x20) == 'v'
               && ngx_apigw_is_digit(p[1]))
    {
        p++;
        len--;

    } else if (len != label->len) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (ngx_tolower(name[i]) != ngx_tolower(p[i])) {
            return 0;
        }
    }

    return 1;
}


/*
 * In a byte below 0x80 the high bit of b + (0x80 - n) tells whether b is n or
 * more.
 */

static ngx_inline ngx_uint_t
ngx_apigw_word_plain(uint64_t w)
{
    uint64_t  low, letter, other;

    low = w | ngx_apigw_bytes(0x20);

    letter = (low + ngx_apigw_bytes(0x80 - 'a'))
             & ~(low + ngx_apigw_bytes(0x80 - ('z' + 1)));

    other = (w + ngx_apigw_bytes(0x80 - '-'))
            & ~(w + ngx_apigw_bytes(0x80 - ('9' + 1)));

    return ((letter | other) & ~w & ngx_apigw_bytes(0x80))
           == ngx_apigw_bytes(0x80);
}


ngx_uint_t
ngx_apigw_path_plain(const u_char *p, size_t len)
{
    u_char         rest[sizeof(uint64_t)];
    const u_char  *last;

    if (len < sizeof(uint64_t)) {
        ngx_memset(rest, '/', sizeof(rest));
        ngx_memcpy(rest, p, len);

        return ngx_apigw_word_plain(ngx_apigw_hash_word(rest));
    }

    last = p + len - sizeof(uint64_t);

    while (p < last) {

        if (!ngx_apigw_word_plain(ngx_apigw_hash_word(p))) {
            return 0;
        }

        p += sizeof(uint64_t);
    }

    /* the last eight, perhaps some of them once more */

    return ngx_apigw_word_plain(ngx_apigw_hash_word(last));
}


ngx_uint_t
ngx_apigw_path_copy(u_char *dst, const u_char *p, size_t len)
{
    size_t    i, last;
    uint64_t  w;

    if (len < sizeof(uint64_t)) {
        ngx_memcpy(dst, p, len);

        return ngx_apigw_path_plain(p, len);
    }

    last = len - sizeof(uint64_t);

    for (i = 0; i < last; i += sizeof(uint64_t)) {
        w = ngx_apigw_hash_word(p + i);

        if (!ngx_apigw_word_plain(w)) {
            return 0;
        }

        ngx_memcpy(dst + i, &w, sizeof(uint64_t));
    }

    w = ngx_apigw_hash_word(p + last);

    ngx_memcpy(dst + last, &w, sizeof(uint64_t));

    return ngx_apigw_word_plain(w);
}


ngx_int_t
ngx_apigw_query_value(const ngx_str_t *args, const ngx_str_t *name,
    u_char *buf, ngx_str_t *value)
{
    u_char         ch;
    size_t         n, len;
    ngx_int_t      rc;
    ngx_uint_t     differs;
    const u_char  *p, *last;

    rc = NGX_DECLINED;
    value->data = buf;
    value->len = 0;

    p = args->data;
    last = p + args->len;

    while (p != last) {

        /* the name, decoded as a back end would */

        for (n = 0; p != last && *p != '=' && *p != '&'; n++) {
            p = ngx_apigw_query_byte(p, last, &ch);

            if (n >= name->len || ch != name->data[n]) {
                n = name->len + 1;
            }
        }

        if (p == last) {
            break;
        }

        if (*p++ == '&') {
            continue;
        }

        /* the value: kept at the first time, compared later */

        differs = 0;

        for (len = 0; p != last && *p != '&'; /* void */ ) {
            p = ngx_apigw_query_byte(p, last, &ch);

            if (n != name->len || len > NGX_APIGW_LABEL_LEN) {
                continue;
            }

            if (rc == NGX_DECLINED) {
                buf[len] = ch;

            } else if (len >= value->len || buf[len] != ch) {
                differs = 1;
            }

            len++;
        }

        if (p != last) {
            p++;
        }

        if (n != name->len || len == 0) {
            continue;
        }

        if (rc == NGX_DECLINED) {
            value->len = len;
            rc = NGX_OK;

        } else if (differs || len != value->len) {
            return NGX_ABORT;
        }
    }

    return rc;
}


ngx_uint_t
ngx_apigw_query_named(const u_char *p, const u_char *last,
    const ngx_str_t *name, const u_char **value)
{
    u_char  ch;
    size_t  n;

    for (n = 0; p != last && *p != '='; n++) {
        p = ngx_apigw_query_byte(p, last, &ch);

        if (n == name->len || ch != name->data[n]) {
            return 0;
        }
    }

    if (n != name->len || last - p < 2) {
        return 0;
    }

    *value = p + 1;

    return 1;
}


static const u_char *
ngx_apigw_query_byte(const u_char *p, const u_char *last, u_char *ch)
{
    ngx_int_t  high, low;

    if (*p == '%' && last - p > 2) {
        high = ngx_apigw_hex(p[1]);
        low = ngx_apigw_hex(p[2]);

        if (high >= 0 && low >= 0) {
            *ch = (u_char) (high << 4 | low);
            return p + 3;
        }
    }

    *ch = (*p == '+') ? ' ' : *p;

    return p + 1;
}


static ngx_int_t
ngx_apigw_hex(u_char ch)
{
    if (ngx_apigw_is_digit(ch)) {
        return ch - '0';
    }

    ch |= 0x20;

    return (ch >= 'a' && ch <= 'f') ? ch - 'a' + 10 : -1;
}


ngx_int_t
ngx_apigw_host_value(const ngx_str_t *host, const ngx_str_t *pattern,
    ngx_str_t *value)
{
    size_t   before, after;
    u_char  *star;

    star = pattern->data;

    while (*star != '*') {
        star++;
    }

    before = star - pattern->data;
    after = pattern->len - before - 1;

    if (host->len <= before + after
        || ngx_memcmp(host->data, pattern->data, before) != 0
        || ngx_memcmp(host->data + host->len - after, star + 1, after) != 0)
    {
        return NGX_DECLINED;
    }

    value->data = host->data + before;
    value->len = host->len - before - after;

    return NGX_OK;
}


ngx_int_t
ngx_apigw_dotted_next(const ngx_str_t *name, ngx_str_t *next)
{
    u_char  *p, *last;

    last = name->data + name->len;
    p = next->len ? next->data + next->len : name->data;

    while (p != last && *p == '.') {
        p++;
    }

    next->data = p;

    while (p != last && *p != '.') {
        p++;
    }

    next->len = p - next->data;

    return next->len ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_apigw_share_parse(const u_char *p, size_t len)
{
    ngx_int_t      n;
    ngx_uint_t     digits;
    const u_char  *last;

    if (len < 2 || p[len - 1] != '%' || !ngx_apigw_is_digit(*p)) {
        return NGX_ERROR;
    }

    last = p + len - 1;

    for (n = 0; p != last && ngx_apigw_is_digit(*p); p++) {
        n = n * 10 + (*p - '0');

        if (n > 100) {
            return NGX_ERROR;
        }
    }

    digits = 0;

    if (p != last) {

        if (*p++ != '.' || p == last) {
            return NGX_ERROR;
        }

        for ( /* void */ ; p != last; p++) {
            if (!ngx_apigw_is_digit(*p) || digits == 2) {
                return NGX_ERROR;
            }

            n = n * 10 + (*p - '0');
            digits++;
        }
    }

    for ( /* void */ ; digits < 2; digits++) {
        n *= 10;
    }

    return n > NGX_APIGW_SHARE_ALL ? NGX_ERROR : n;
}


uint32_t
ngx_apigw_share_place(const ngx_apigw_hash_key_t *salt, const u_char *p,
    size_t len)
{
    ngx_apigw_hash_t  hash;

    ngx_apigw_hash(&hash, salt, p, len);

    return (uint32_t) hash.h[0];
}
