/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_text.h"


#define NGX_APIGW_CLI_NUMBER_MAX    ((int64_t) 999999999999999)

/* 9999-12-31T23:59:59Z, what four digits of a year can say */

#define NGX_APIGW_CLI_TIME_MAX      ((time_t) 253402300799)
#define NGX_APIGW_CLI_DURATION_MAX  ((time_t) 1000 * 366 * 86400)


static ngx_int_t ngx_apigw_cli_date(const ngx_str_t *text, time_t *t);
static ngx_int_t ngx_apigw_cli_zone(const u_char *p, const u_char *last,
    time_t *offset);
static ngx_int_t ngx_apigw_cli_digits(const u_char **p, const u_char *last,
    ngx_uint_t n, int *value);
static size_t ngx_apigw_cli_utf8(const u_char *p, const u_char *last);


void *
ngx_apigw_cli_alloc(size_t size)
{
    return ngx_apigw_cli_realloc(NULL, size);
}


void *
ngx_apigw_cli_realloc(void *p, size_t size)
{
    p = realloc(p, size);

    if (p == NULL) {
        fprintf(stderr, "apigw: out of memory\n");
        exit(1);
    }

    return p;
}


ngx_int_t
ngx_apigw_cli_time(const ngx_str_t *text, time_t now, time_t *t)
{
    int64_t    n;
    ngx_str_t  rest;

    if (text->len > 1 && text->data[0] == '@') {
        rest.data = text->data + 1;
        rest.len = text->len - 1;

        if (ngx_apigw_cli_number(&rest, &n) != NGX_OK) {
            return NGX_ERROR;
        }

        *t = (time_t) n;

    } else if (ngx_apigw_cli_duration(text, t) == NGX_OK) {
        *t += now;

    } else if (ngx_apigw_cli_date(text, t) != NGX_OK) {
        return NGX_ERROR;
    }

    /* 0 means "none" in a record */

    return (*t > 0 && *t <= NGX_APIGW_CLI_TIME_MAX) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_apigw_cli_date(const ngx_str_t *text, time_t *t)
{
    int            year, month, day, hour, min, sec;
    time_t         offset;
    struct tm      tm, check;
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    hour = 0;
    min = 0;
    sec = 0;
    offset = 0;

    if (ngx_apigw_cli_digits(&p, last, 4, &year) != NGX_OK
        || p == last || *p++ != '-'
        || ngx_apigw_cli_digits(&p, last, 2, &month) != NGX_OK
        || p == last || *p++ != '-'
        || ngx_apigw_cli_digits(&p, last, 2, &day) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (p != last) {

        if (*p != 'T' && *p != 't' && *p != ' ') {
            return NGX_ERROR;
        }

        p++;

        if (ngx_apigw_cli_digits(&p, last, 2, &hour) != NGX_OK
            || p == last || *p++ != ':'
            || ngx_apigw_cli_digits(&p, last, 2, &min) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (p != last && *p == ':') {
            p++;

            if (ngx_apigw_cli_digits(&p, last, 2, &sec) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        if (ngx_apigw_cli_zone(p, last, &offset) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (hour > 23 || min > 59 || sec > 59) {
        return NGX_ERROR;
    }

    ngx_memzero(&tm, sizeof(struct tm));

    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;

    /* timegm() puts a date such as February 30 right: it must not have to */

    check = tm;
    *t = timegm(&check);

    if (check.tm_year != tm.tm_year
        || check.tm_mon != tm.tm_mon
        || check.tm_mday != tm.tm_mday)
    {
        return NGX_ERROR;
    }

    *t += (hour * 60 + min) * 60 + sec - offset;

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_cli_zone(const u_char *p, const u_char *last, time_t *offset)
{
    int  sign, hour, min;

    if (p == last) {
        return NGX_OK;
    }

    if (*p == 'Z' || *p == 'z') {
        return p + 1 == last ? NGX_OK : NGX_ERROR;
    }

    if (*p != '+' && *p != '-') {
        return NGX_ERROR;
    }

    sign = (*p++ == '+') ? 1 : -1;

    if (ngx_apigw_cli_digits(&p, last, 2, &hour) != NGX_OK
        || p == last || *p++ != ':'
        || ngx_apigw_cli_digits(&p, last, 2, &min) != NGX_OK
        || p != last || hour > 23 || min > 59)
    {
        return NGX_ERROR;
    }

    *offset = sign * (hour * 60 + min) * 60;

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_cli_digits(const u_char **p, const u_char *last, ngx_uint_t n,
    int *value)
{
    if ((size_t) (last - *p) < n) {
        return NGX_ERROR;
    }

    *value = 0;

    while (n--) {
        if (**p < '0' || **p > '9') {
            return NGX_ERROR;
        }

        *value = *value * 10 + (*(*p)++ - '0');
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_cli_duration(const ngx_str_t *text, time_t *t)
{
    time_t         n, unit, before;
    const u_char  *p, *last, *start;

    p = text->data;
    last = p + text->len;
    before = NGX_APIGW_CLI_DURATION_MAX;
    *t = 0;

    if (p == last) {
        return NGX_ERROR;
    }

    while (p != last) {
        n = 0;

        for (start = p; p != last && *p >= '0' && *p <= '9'; p++) {
            n = n * 10 + (*p - '0');

            if (n > NGX_APIGW_CLI_DURATION_MAX) {
                return NGX_ERROR;
            }
        }

        if (p == start || p == last) {
            return NGX_ERROR;
        }

        switch (*p++) {
        case 'w':
            unit = 7 * 86400;
            break;
        case 'd':
            unit = 86400;
            break;
        case 'h':
            unit = 3600;
            break;
        case 'm':
            unit = 60;
            break;
        case 's':
            unit = 1;
            break;
        default:
            return NGX_ERROR;
        }

        /* units descend, so "1h1d" is a slip */

        if (unit >= before || n > NGX_APIGW_CLI_DURATION_MAX / unit) {
            return NGX_ERROR;
        }

        before = unit;
        *t += n * unit;

        if (*t > NGX_APIGW_CLI_DURATION_MAX) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_cli_number(const ngx_str_t *text, int64_t *n)
{
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;
    *n = 0;

    if (p == last) {
        return NGX_ERROR;
    }

    for ( /* void */ ; p != last; p++) {
        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        *n = *n * 10 + (*p - '0');

        if (*n > NGX_APIGW_CLI_NUMBER_MAX) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


char *
ngx_apigw_cli_time_text(time_t t, char *buf)
{
    struct tm  tm;

    if (t < 0 || t > NGX_APIGW_CLI_TIME_MAX || gmtime_r(&t, &tm) == NULL) {
        (void) strcpy(buf, "-");
        return buf;
    }

    (void) strftime(buf, NGX_APIGW_CLI_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm);

    return buf;
}


/*
 * Returns the length of the first character, 0 if it is none of UTF-8
 * (RFC 3629: shortest form, no surrogates, up to U+10FFFF).
 */

static size_t
ngx_apigw_cli_utf8(const u_char *p, const u_char *last)
{
    size_t  n, i;

    if (p[0] < 0x80) {
        return 1;
    }

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2;

    } else if ((p[0] & 0xf0) == 0xe0) {
        n = 3;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    if ((p[0] == 0xe0 && p[1] < 0xa0)
        || (p[0] == 0xed && p[1] > 0x9f)
        || (p[0] == 0xf0 && p[1] < 0x90)
        || (p[0] == 0xf4 && p[1] > 0x8f))
    {
        return 0;
    }

    return n;
}


ngx_uint_t
ngx_apigw_cli_printable(const ngx_str_t *text)
{
    size_t         n;
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    for ( /* void */ ; p != last; p += n) {
        n = ngx_apigw_cli_utf8(p, last);

        /* C0, DEL and, as U+0080 to U+009F, C1 */

        if (n == 0 || *p < ' ' || *p == 0x7f
            || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0))
        {
            return 0;
        }
    }

    return 1;
}


void
ngx_apigw_cli_buf_add(ngx_apigw_cli_buf_t *b, const void *data, size_t len)
{
    if (b->size - b->len < len) {
        b->size = 2 * b->size + len + 256;
        b->data = ngx_apigw_cli_realloc(b->data, b->size);
    }

    if (len) {
        ngx_memcpy(b->data + b->len, data, len);
        b->len += len;
    }
}


void
ngx_apigw_cli_buf_puts(ngx_apigw_cli_buf_t *b, const char *s)
{
    ngx_apigw_cli_buf_add(b, s, strlen(s));
}


void
ngx_apigw_cli_buf_number(ngx_apigw_cli_buf_t *b, int64_t n)
{
    char  buf[NGX_INT64_LEN + 1];

    ngx_apigw_cli_buf_add(b, buf, snprintf(buf, sizeof(buf), "%lld",
                                           (long long) n));
}


void
ngx_apigw_cli_buf_hex(ngx_apigw_cli_buf_t *b, const u_char *data, size_t len)
{
    u_char              pair[2];
    static const char   hex[] = "0123456789abcdef";

    while (len--) {
        pair[0] = hex[*data >> 4];
        pair[1] = hex[*data++ & 0xf];

        ngx_apigw_cli_buf_add(b, pair, 2);
    }
}


void
ngx_apigw_cli_buf_free(ngx_apigw_cli_buf_t *b)
{
    free(b->data);
    ngx_memzero(b, sizeof(ngx_apigw_cli_buf_t));
}


void
ngx_apigw_cli_json_string(ngx_apigw_cli_buf_t *b, const u_char *data,
    size_t len)
{
    char           buf[sizeof("\\u0000")];
    size_t         n;
    const u_char  *p, *last, *start;

    if (len == 0) {
        ngx_apigw_cli_buf_literal(b, "\"\"");
        return;
    }

    last = data + len;
    start = data;

    ngx_apigw_cli_buf_literal(b, "\"");

    for (p = data; p != last; p += n) {
        n = ngx_apigw_cli_utf8(p, last);

        if (n && *p >= ' ' && *p != '"' && *p != '\\' && *p != 0x7f) {
            continue;
        }

        ngx_apigw_cli_buf_add(b, start, p - start);

        if (n == 0) {
            ngx_apigw_cli_buf_literal(b, "\xef\xbf\xbd");
            n = 1;

        } else if (*p == '"' || *p == '\\') {
            buf[0] = '\\';
            buf[1] = *p;
            ngx_apigw_cli_buf_add(b, buf, 2);

        } else {
            (void) snprintf(buf, sizeof(buf), "\\u%04x", *p);
            ngx_apigw_cli_buf_add(b, buf, 6);
        }

        start = p + n;
    }

    ngx_apigw_cli_buf_add(b, start, p - start);
    ngx_apigw_cli_buf_literal(b, "\"");
}


void
ngx_apigw_cli_json_comma(ngx_apigw_cli_buf_t *b)
{
    if (b->len && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[') {
        ngx_apigw_cli_buf_literal(b, ",");
    }
}


void
ngx_apigw_cli_json_name(ngx_apigw_cli_buf_t *b, const char *name)
{
    ngx_apigw_cli_json_comma(b);
    ngx_apigw_cli_buf_literal(b, "\"");
    ngx_apigw_cli_buf_puts(b, name);
    ngx_apigw_cli_buf_literal(b, "\":");
}


void
ngx_apigw_cli_json_text(ngx_apigw_cli_buf_t *b, const char *name,
    const ngx_str_t *value)
{
    ngx_apigw_cli_json_name(b, name);
    ngx_apigw_cli_json_string(b, value->data, value->len);
}


void
ngx_apigw_cli_json_number(ngx_apigw_cli_buf_t *b, const char *name,
    int64_t value)
{
    ngx_apigw_cli_json_name(b, name);
    ngx_apigw_cli_buf_number(b, value);
}


void
ngx_apigw_cli_json_time(ngx_apigw_cli_buf_t *b, const char *name, time_t value)
{
    char  buf[NGX_APIGW_CLI_TIME_TEXT];

    (void) ngx_apigw_cli_time_text(value, buf);

    ngx_apigw_cli_json_name(b, name);
    ngx_apigw_cli_buf_literal(b, "\"");
    ngx_apigw_cli_buf_puts(b, buf);
    ngx_apigw_cli_buf_literal(b, "\"");
}
