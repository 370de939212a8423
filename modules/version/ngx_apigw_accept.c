/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_accept.h"


static const u_char *ngx_apigw_accept_type(const u_char *p,
    const u_char *last, const ngx_str_t *type, ngx_apigw_accept_t *accept);
static ngx_int_t ngx_apigw_accept_parameter(const u_char **p,
    const u_char *last, ngx_apigw_accept_t *accept);
static const u_char *ngx_apigw_accept_token(const u_char *p,
    const u_char *last);
static const u_char *ngx_apigw_accept_quoted(const u_char *p,
    const u_char *last);
static const u_char *ngx_apigw_accept_space(const u_char *p,
    const u_char *last);
static const u_char *ngx_apigw_accept_skip(const u_char *p,
    const u_char *last);
static ngx_int_t ngx_apigw_accept_quality(const u_char *p, size_t len);
static ngx_uint_t ngx_apigw_accept_equal(const u_char *a, const u_char *b,
    size_t len);


/*
 * tchar of RFC 9110, 5.6.2, and "/", which makes a media range one token; a
 * byte each, since every request looks here
 */

static const u_char  ngx_apigw_accept_tchar[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1,     /*  !"#$%&'()*+,-./ */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,     /* 0123456789:;<=>? */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,     /* @ABCDEFGHIJKLMNO */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1,     /* PQRSTUVWXYZ[\]^_ */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,     /* `abcdefghijklmno */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0      /* pqrstuvwxyz{|}~ */
};

#define ngx_apigw_accept_is_token(c)  ngx_apigw_accept_tchar[c]


ngx_int_t
ngx_apigw_accept_next(const u_char **pos, const u_char *last,
    const ngx_str_t *type, ngx_apigw_accept_t *accept)
{
    ngx_int_t      rc;
    const u_char  *p, *end;

    p = *pos;

    for ( ;; ) {

        p = ngx_apigw_accept_space(p, last);

        if (p == last) {
            *pos = p;
            return NGX_DONE;
        }

        ngx_memzero(accept, sizeof(ngx_apigw_accept_t));
        accept->quality = 1000;

        end = ngx_apigw_accept_type(p, last, type, accept);

        if (end) {
            p = end;

            do {
                rc = ngx_apigw_accept_parameter(&p, last, accept);
            } while (rc == NGX_OK);

            if (rc == NGX_DONE && (p == last || *p == ',')) {
                *pos = p;

                if (p != last) {
                    (*pos)++;
                }

                return NGX_OK;
            }
        }

        p = ngx_apigw_accept_skip(p, last);
    }
}


const u_char *
ngx_apigw_accept_first(const u_char *p, const u_char *last,
    const ngx_str_t *type, ngx_str_t *version)
{
    if ((size_t) (last - p) < type->len + 2
        || ngx_memcmp(p, type->data, type->len) != 0
        || p[type->len] != '.')
    {
        return NULL;
    }

    p += type->len + 1;
    version->data = (u_char *) p;

    while (p != last && *p != '+' && ngx_apigw_accept_is_token(*p)) {
        p++;
    }

    version->len = p - version->data;

    p = ngx_apigw_accept_token(p, last);

    if (p == last) {
        return p;
    }

    return *p == ',' ? p + 1 : NULL;
}


/*
 * Compares a media range with type and finds the version between the two;
 * returns the end of the range, NULL if it is another type.
 */

static const u_char *
ngx_apigw_accept_type(const u_char *p, const u_char *last,
    const ngx_str_t *type, ngx_apigw_accept_t *accept)
{
    const u_char  *end;

    if ((size_t) (last - p) < type->len
        || !ngx_apigw_accept_equal(p, type->data, type->len))
    {
        return NULL;
    }

    p += type->len;
    end = ngx_apigw_accept_token(p, last);

    if (p == end || *p == '+') {
        return end;
    }

    if (*p++ != '.') {
        return NULL;
    }

    accept->version.data = (u_char *) p;

    while (p != end && *p != '+') {
        p++;
    }

    accept->version.len = p - accept->version.data;
    accept->dotted = 1;

    return accept->version.len ? end : NULL;
}


/* NGX_OK: one was read; NGX_DONE: there is none; NGX_ERROR: malformed. */

static ngx_int_t
ngx_apigw_accept_parameter(const u_char **pos, const u_char *last,
    ngx_apigw_accept_t *accept)
{
    size_t         len;
    ngx_int_t      quality;
    const u_char  *p, *name, *value, *end;

    p = ngx_apigw_accept_space(*pos, last);

    if (p == last || *p != ';') {
        *pos = p;
        return NGX_DONE;
    }

    name = ngx_apigw_accept_space(p + 1, last);
    p = ngx_apigw_accept_token(name, last);
    len = p - name;

    if (len == 0) {

        /* an empty parameter is allowed */

        *pos = p;
        return NGX_OK;
    }

    if (p == last || *p != '=') {
        return NGX_ERROR;
    }

    value = ++p;

    if (p != last && *p == '"') {
        p = ngx_apigw_accept_quoted(p, last);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value++;
        end = p - 1;

    } else {
        p = ngx_apigw_accept_token(p, last);
        end = p;
    }

    if (value == p) {
        return NGX_ERROR;
    }

    *pos = p;

    if (len == 1 && (*name | 0x20) == 'q') {
        quality = ngx_apigw_accept_quality(value, end - value);
        if (quality == NGX_ERROR) {
            return NGX_ERROR;
        }

        accept->quality = quality;
        return NGX_OK;
    }

    if (len == sizeof("version") - 1
        && ngx_apigw_accept_equal(name, (u_char *) "version", len))
    {
        if (accept->version.len) {
            accept->twice = 1;
            return NGX_OK;
        }

        accept->version.data = (u_char *) value;
        accept->version.len = end - value;
    }

    return NGX_OK;
}


static const u_char *
ngx_apigw_accept_token(const u_char *p, const u_char *last)
{
    while (p != last && ngx_apigw_accept_is_token(*p)) {
        p++;
    }

    return p;
}


/* Returns what follows the closing quote, NULL if there is none. */

static const u_char *
ngx_apigw_accept_quoted(const u_char *p, const u_char *last)
{
    for (p++; p != last; p++) {

        if (*p == '"') {
            return p + 1;
        }

        if (*p == '\\' && ++p == last) {
            break;
        }
    }

    return NULL;
}


static const u_char *
ngx_apigw_accept_space(const u_char *p, const u_char *last)
{
    while (p != last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p;
}


/* Skips the rest of an element; a comma in quotes does not end it. */

static const u_char *
ngx_apigw_accept_skip(const u_char *p, const u_char *last)
{
    const u_char  *comma, *quote;

    for ( ;; ) {

        comma = memchr(p, ',', last - p);

        if (comma == NULL) {
            comma = last;
        }

        quote = memchr(p, '"', comma - p);

        if (quote == NULL) {
            return comma == last ? last : comma + 1;
        }

        p = ngx_apigw_accept_quoted(quote, last);

        if (p == NULL) {
            return last;
        }
    }
}


/* A weight: 0 and 1 with up to three decimals, in thousandths. */

static ngx_int_t
ngx_apigw_accept_quality(const u_char *p, size_t len)
{
    size_t     i;
    ngx_int_t  quality;

    if (len == 0 || len > sizeof("0.123") - 1 || (p[0] != '0' && p[0] != '1')
        || (len > 1 && p[1] != '.'))
    {
        return NGX_ERROR;
    }

    quality = p[0] - '0';

    for (i = 2; i < sizeof("0.123") - 1; i++) {
        quality *= 10;

        if (i < len) {
            if (p[i] < '0' || p[i] > '9') {
                return NGX_ERROR;
            }

            quality += p[i] - '0';
        }
    }

    return quality > 1000 ? NGX_ERROR : quality;
}


static ngx_uint_t
ngx_apigw_accept_equal(const u_char *a, const u_char *b, size_t len)
{
    size_t  i;

    if (ngx_memcmp(a, b, len) == 0) {
        return 1;
    }

    for (i = 0; i < len; i++) {
        if (ngx_tolower(a[i]) != ngx_tolower(b[i])) {
            return 0;
        }
    }

    return 1;
}
