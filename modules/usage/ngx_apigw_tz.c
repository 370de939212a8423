/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_tz.h"


#define NGX_APIGW_TZ_HEADER  44
#define NGX_APIGW_TZ_YEARS   2107

/* RFC 8536, section 3.2 */

#define NGX_APIGW_TZ_OFFSET_MIN  (-93599)
#define NGX_APIGW_TZ_OFFSET_MAX  93599


typedef struct {
    uint32_t             isut;
    uint32_t             isstd;
    uint32_t             leap;
    uint32_t             time;
    uint32_t             type;
    uint32_t             chars;
} ngx_apigw_tz_header_t;


/* A date and a time of day: the end of a rule, "M3.5.0/2" for instance. */

typedef struct {
    u_char               form;       /* 'M', 'J' or 'n' */
    int64_t              month;
    int64_t              week;
    int64_t              day;
    int64_t              time;
} ngx_apigw_tz_date_t;


typedef struct {
    int64_t              standard;   /* offsets, east of UTC */
    int64_t              summer;
    ngx_apigw_tz_date_t  start;
    ngx_apigw_tz_date_t  end;
    ngx_uint_t           has_summer;
} ngx_apigw_tz_rule_t;


static ngx_int_t ngx_apigw_tz_header(ngx_apigw_tz_header_t *header,
    const u_char *data, size_t len);
static uint64_t ngx_apigw_tz_block(const ngx_apigw_tz_header_t *header,
    size_t size);
static int64_t ngx_apigw_tz_number(const u_char *p, size_t size);
static ngx_int_t ngx_apigw_tz_table(ngx_apigw_window_tz_t *tz,
    const ngx_apigw_tz_header_t *header, const u_char *p);
static ngx_int_t ngx_apigw_tz_add(ngx_apigw_window_tz_t *tz, int64_t at,
    int64_t offset);
static ngx_int_t ngx_apigw_tz_rule(ngx_apigw_tz_rule_t *rule, const u_char *p,
    const u_char *last);
static const u_char *ngx_apigw_tz_skip_name(const u_char *p,
    const u_char *last);
static const u_char *ngx_apigw_tz_read_time(const u_char *p,
    const u_char *last, int64_t hours, int64_t *time);
static const u_char *ngx_apigw_tz_read_date(const u_char *p,
    const u_char *last, ngx_apigw_tz_date_t *date);
static const u_char *ngx_apigw_tz_read_number(const u_char *p,
    const u_char *last, int64_t max, int64_t *n);
static ngx_int_t ngx_apigw_tz_unroll(ngx_apigw_window_tz_t *tz,
    const ngx_apigw_tz_rule_t *rule);
static int64_t ngx_apigw_tz_moment(const ngx_apigw_tz_date_t *date,
    int64_t year);


ngx_uint_t
ngx_apigw_tz_valid(const ngx_str_t *name)
{
    size_t  i;
    u_char  c;

    if (name->len == 0 || name->len > NGX_APIGW_TZ_NAME
        || name->data[0] == '/')
    {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9')
              || c == '_' || c == '-' || c == '+' || c == '/'))
        {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_apigw_tz_parse(ngx_apigw_window_tz_t *tz, const u_char *data, size_t len)
{
    uint64_t               size;
    const u_char          *p, *last;
    ngx_apigw_tz_rule_t    rule;
    ngx_apigw_tz_header_t  header;

    tz->n = 0;

    /* the first block has 32-bit times, the second one is the same in 64 */

    if (ngx_apigw_tz_header(&header, data, len) != NGX_OK
        || data[4] < '2')
    {
        return NGX_ERROR;
    }

    size = NGX_APIGW_TZ_HEADER + ngx_apigw_tz_block(&header, 4);

    if (size > len) {
        return NGX_ERROR;
    }

    data += size;
    len -= size;

    if (ngx_apigw_tz_header(&header, data, len) != NGX_OK) {
        return NGX_ERROR;
    }

    size = NGX_APIGW_TZ_HEADER + ngx_apigw_tz_block(&header, 8);

    /* leap seconds: not the time that the system's clock tells */

    if (size + 2 > len || header.leap || header.type == 0) {
        return NGX_ERROR;
    }

    if (ngx_apigw_tz_table(tz, &header, data + NGX_APIGW_TZ_HEADER)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = data + size;
    last = data + len - 1;

    if (*p != '\n' || *last != '\n') {
        return NGX_ERROR;
    }

    p++;

    if (p == last) {
        return NGX_OK;
    }

    if (ngx_apigw_tz_rule(&rule, p, last) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!rule.has_summer) {
        return NGX_OK;
    }

    return ngx_apigw_tz_unroll(tz, &rule);
}


static ngx_int_t
ngx_apigw_tz_header(ngx_apigw_tz_header_t *header, const u_char *data,
    size_t len)
{
    if (len < NGX_APIGW_TZ_HEADER || ngx_memcmp(data, "TZif", 4) != 0) {
        return NGX_ERROR;
    }

    header->isut = (uint32_t) ngx_apigw_tz_number(data + 20, 4);
    header->isstd = (uint32_t) ngx_apigw_tz_number(data + 24, 4);
    header->leap = (uint32_t) ngx_apigw_tz_number(data + 28, 4);
    header->time = (uint32_t) ngx_apigw_tz_number(data + 32, 4);
    header->type = (uint32_t) ngx_apigw_tz_number(data + 36, 4);
    header->chars = (uint32_t) ngx_apigw_tz_number(data + 40, 4);

    return NGX_OK;
}


/* The size of what follows a header, with times of so many bytes. */

static uint64_t
ngx_apigw_tz_block(const ngx_apigw_tz_header_t *header, size_t size)
{
    return (uint64_t) header->time * (size + 1)
           + (uint64_t) header->type * 6
           + header->chars
           + (uint64_t) header->leap * (size + 4)
           + header->isstd
           + header->isut;
}


/* A signed big-endian number. */

static int64_t
ngx_apigw_tz_number(const u_char *p, size_t size)
{
    size_t    i;
    uint64_t  n;

    n = (p[0] & 0x80) ? (uint64_t) -1 : 0;

    for (i = 0; i < size; i++) {
        n = n << 8 | p[i];
    }

    return (int64_t) n;
}


static ngx_int_t
ngx_apigw_tz_table(ngx_apigw_window_tz_t *tz,
    const ngx_apigw_tz_header_t *header, const u_char *p)
{
    uint32_t       i, type;
    const u_char  *types, *index;

    index = p + (size_t) header->time * 8;
    types = index + header->time;

    if (ngx_apigw_tz_add(tz, INT64_MIN, ngx_apigw_tz_number(types, 4))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < header->time; i++) {
        type = index[i];

        if (type >= header->type
            || ngx_apigw_tz_add(tz, ngx_apigw_tz_number(p + 8 * (size_t) i, 8),
                                ngx_apigw_tz_number(types + 6 * type, 4))
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_tz_add(ngx_apigw_window_tz_t *tz, int64_t at, int64_t offset)
{
    ngx_apigw_window_shift_t  *shift;

    if (tz->n == NGX_APIGW_TZ_SHIFTS
        || offset < NGX_APIGW_TZ_OFFSET_MIN
        || offset > NGX_APIGW_TZ_OFFSET_MAX)
    {
        return NGX_ERROR;
    }

    if (tz->n) {
        shift = &tz->shifts[tz->n - 1];

        /* there may be one at the beginning of time */

        if (at == INT64_MIN) {
            shift->offset = offset;
            return NGX_OK;
        }

        if (at <= shift->at) {
            return NGX_ERROR;
        }

        if (offset == shift->offset) {
            return NGX_OK;
        }
    }

    shift = &tz->shifts[tz->n++];

    shift->at = at;
    shift->offset = offset;

    return NGX_OK;
}


/* POSIX' TZ: std offset [dst [offset] , start [/time] , end [/time]] */

static ngx_int_t
ngx_apigw_tz_rule(ngx_apigw_tz_rule_t *rule, const u_char *p,
    const u_char *last)
{
    p = ngx_apigw_tz_skip_name(p, last);

    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_apigw_tz_read_time(p, last, 24, &rule->standard);

    if (p == NULL) {
        return NGX_ERROR;
    }

    /* POSIX counts to the west */

    rule->standard = -rule->standard;
    rule->has_summer = (p != last);

    if (p == last) {
        return NGX_OK;
    }

    p = ngx_apigw_tz_skip_name(p, last);

    if (p == NULL) {
        return NGX_ERROR;
    }

    rule->summer = rule->standard + 3600;

    if (p != last && *p != ',') {
        p = ngx_apigw_tz_read_time(p, last, 24, &rule->summer);

        if (p == NULL) {
            return NGX_ERROR;
        }

        rule->summer = -rule->summer;
    }

    p = ngx_apigw_tz_read_date(p, last, &rule->start);

    if (p) {
        p = ngx_apigw_tz_read_date(p, last, &rule->end);
    }

    return p == last ? NGX_OK : NGX_ERROR;
}


static const u_char *
ngx_apigw_tz_skip_name(const u_char *p, const u_char *last)
{
    u_char         c;
    const u_char  *start;

    if (p != last && *p == '<') {

        while (p != last && *p != '>') {
            p++;
        }

        return p == last ? NULL : p + 1;
    }

    for (start = p; p != last; p++) {
        c = (u_char) (*p | 0x20);

        if (c < 'a' || c > 'z') {
            break;
        }
    }

    return p - start < 3 ? NULL : p;
}


/* [+-]h[:m[:s]] */

static const u_char *
ngx_apigw_tz_read_time(const u_char *p, const u_char *last, int64_t hours,
    int64_t *time)
{
    int64_t     n, sign, unit, max;

    sign = 1;
    max = hours;
    *time = 0;

    if (p != last && (*p == '-' || *p == '+')) {
        sign = (*p++ == '-') ? -1 : 1;
    }

    for (unit = 3600; unit; unit /= 60) {

        p = ngx_apigw_tz_read_number(p, last, max, &n);

        if (p == NULL) {
            return NULL;
        }

        *time += sign * n * unit;
        max = 59;

        if (unit == 1 || p == last || *p != ':') {
            break;
        }

        p++;
    }

    return p;
}


/* ,Mm.w.d or ,Jn or ,n and then [/time] */

static const u_char *
ngx_apigw_tz_read_date(const u_char *p, const u_char *last,
    ngx_apigw_tz_date_t *date)
{
    if (p == last || *p != ',') {
        return NULL;
    }

    if (++p == last) {
        return NULL;
    }

    date->time = 7200;
    date->form = 'n';

    if (*p == 'M') {
        date->form = 'M';

        p = ngx_apigw_tz_read_number(p + 1, last, 12, &date->month);

        if (p == NULL || p == last || *p != '.') {
            return NULL;
        }

        p = ngx_apigw_tz_read_number(p + 1, last, 5, &date->week);

        if (p == NULL || p == last || *p != '.') {
            return NULL;
        }

        p = ngx_apigw_tz_read_number(p + 1, last, 6, &date->day);

        if (date->month == 0 || date->week == 0) {
            return NULL;
        }

    } else {

        if (*p == 'J') {
            date->form = 'J';
            p++;
        }

        p = ngx_apigw_tz_read_number(p, last, 365, &date->day);
    }

    if (p && p != last && *p == '/') {
        p = ngx_apigw_tz_read_time(p + 1, last, 167, &date->time);
    }

    return p;
}


static const u_char *
ngx_apigw_tz_read_number(const u_char *p, const u_char *last, int64_t max,
    int64_t *n)
{
    const u_char  *start;

    *n = 0;

    for (start = p; p != last && *p >= '0' && *p <= '9'; p++) {
        *n = *n * 10 + (*p - '0');

        if (*n > max) {
            return NULL;
        }
    }

    return p == start ? NULL : p;
}


static ngx_int_t
ngx_apigw_tz_unroll(ngx_apigw_window_tz_t *tz, const ngx_apigw_tz_rule_t *rule)
{
    int64_t     year, at[2], offset[2], known;
    ngx_uint_t  i, first;

    known = tz->shifts[tz->n - 1].at;

    for (year = 1970; year < NGX_APIGW_TZ_YEARS; year++) {

        at[0] = ngx_apigw_tz_moment(&rule->start, year) - rule->standard;
        offset[0] = rule->summer;

        at[1] = ngx_apigw_tz_moment(&rule->end, year) - rule->summer;
        offset[1] = rule->standard;

        /* south of the equator summer ends first */

        first = at[1] < at[0];

        for (i = 0; i < 2; i++, first = !first) {

            if (at[first] <= known) {
                continue;
            }

            /* summer all year: it begins where the last one has ended */

            if (tz->shifts[tz->n - 1].at == at[first]) {
                tz->shifts[tz->n - 1].offset = offset[first];
                continue;
            }

            if (ngx_apigw_tz_add(tz, at[first], offset[first]) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* The local time of a date in a year, in seconds. */

static int64_t
ngx_apigw_tz_moment(const ngx_apigw_tz_date_t *date, int64_t year)
{
    int64_t     days, next, weekday;
    ngx_uint_t  month;

    if (date->form != 'M') {
        days = ngx_apigw_window_days(year, 1, 1) + date->day;

        if (date->form == 'J') {

            /* 1 to 365, 29 February is never counted */

            days--;

            if (date->day > 59
                && ngx_apigw_window_days(year, 3, 1)
                   - ngx_apigw_window_days(year, 2, 1) == 29)
            {
                days++;
            }
        }

        return days * 86400 + date->time;
    }

    month = (ngx_uint_t) date->month;

    days = ngx_apigw_window_days(year, month, 1);
    next = month == 12 ? ngx_apigw_window_days(year + 1, 1, 1)
                       : ngx_apigw_window_days(year, month + 1, 1);

    /* 1970-01-01 was a Thursday, 0 is Sunday */

    weekday = (days + 4) % 7;
    days += (date->day - weekday + 7) % 7 + (date->week - 1) * 7;

    while (days >= next) {
        days -= 7;
    }

    return days * 86400 + date->time;
}
