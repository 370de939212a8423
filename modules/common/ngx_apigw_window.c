/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_window.h"


#define NGX_APIGW_WINDOW_HOUR_SECONDS  3600
#define NGX_APIGW_WINDOW_DAY_SECONDS   86400

/* no local time is further from UTC */

#define NGX_APIGW_WINDOW_OFFSET_MAX    (26 * 3600)


static ngx_uint_t ngx_apigw_window_shift(const ngx_apigw_window_tz_t *tz,
    int64_t t);
static void ngx_apigw_window_hour(const ngx_apigw_window_tz_t *tz, int64_t now,
    ngx_apigw_window_span_t *span);
static int64_t ngx_apigw_window_midnight(const ngx_apigw_window_tz_t *tz,
    int64_t days);
static int64_t ngx_apigw_window_edge(const ngx_apigw_window_t *window,
    int64_t days, ngx_uint_t next);
static int64_t ngx_apigw_window_month_edge(ngx_uint_t anchor, int64_t days,
    ngx_uint_t next);
static ngx_uint_t ngx_apigw_window_month_days(int64_t year, ngx_uint_t month);
static ngx_inline int64_t ngx_apigw_window_floor(int64_t n, int64_t d);


static const char  *ngx_apigw_window_names[] = {
    "hour", "day", "week", "month", "lifetime"
};


void
ngx_apigw_window_at(const ngx_apigw_window_t *window, int64_t now,
    ngx_apigw_window_span_t *span)
{
    int64_t                       days, today, edge;
    const ngx_apigw_window_tz_t  *tz;

    tz = window->tz;

    if (window->kind == NGX_APIGW_WINDOW_LIFETIME) {
        span->start = 0;
        span->end = NGX_APIGW_WINDOW_NEVER;
        return;
    }

    if (window->kind == NGX_APIGW_WINDOW_HOUR) {
        ngx_apigw_window_hour(tz, now, span);
        return;
    }

    today = now;

    if (tz) {
        today += tz->shifts[ngx_apigw_window_shift(tz, now)].offset;
    }

    days = ngx_apigw_window_floor(today, NGX_APIGW_WINDOW_DAY_SECONDS);

    edge = ngx_apigw_window_edge(window, days, 1);
    span->end = ngx_apigw_window_midnight(tz, edge);

    if (now >= span->end) {

        /* the clocks went back over midnight: the next day has begun before */

        span->start = span->end;
        edge = ngx_apigw_window_edge(window, edge, 1);
        span->end = ngx_apigw_window_midnight(tz, edge);

        return;
    }

    edge = ngx_apigw_window_edge(window, days, 0);
    span->start = ngx_apigw_window_midnight(tz, edge);
}


/* The index of the shift that holds at t. */

static ngx_uint_t
ngx_apigw_window_shift(const ngx_apigw_window_tz_t *tz, int64_t t)
{
    ngx_uint_t  low, high, middle;

    low = 0;
    high = tz->n;

    while (high - low > 1) {
        middle = (low + high) / 2;

        if (tz->shifts[middle].at <= t) {
            low = middle;

        } else {
            high = middle;
        }
    }

    return low;
}


static void
ngx_apigw_window_hour(const ngx_apigw_window_tz_t *tz, int64_t now,
    ngx_apigw_window_span_t *span)
{
    int64_t                          offset;
    ngx_uint_t                       n;
    const ngx_apigw_window_shift_t  *shift;

    offset = 0;
    shift = NULL;
    n = 0;

    if (tz) {
        n = ngx_apigw_window_shift(tz, now);
        shift = &tz->shifts[n];
        offset = shift->offset;
    }

    span->start = ngx_apigw_window_floor(now + offset,
                                         NGX_APIGW_WINDOW_HOUR_SECONDS)
                  * NGX_APIGW_WINDOW_HOUR_SECONDS - offset;
    span->end = span->start + NGX_APIGW_WINDOW_HOUR_SECONDS;

    if (shift == NULL) {
        return;
    }

    if (span->start < shift->at) {
        span->start = shift->at;
    }

    if (n + 1 < tz->n && span->end > shift[1].at) {
        span->end = shift[1].at;
    }
}


/* The first instant at which the local date is that of days or later. */

static int64_t
ngx_apigw_window_midnight(const ngx_apigw_window_tz_t *tz, int64_t days)
{
    int64_t     local, t;
    ngx_uint_t  n;

    local = days * NGX_APIGW_WINDOW_DAY_SECONDS;

    if (tz == NULL) {
        return local;
    }

    n = ngx_apigw_window_shift(tz, local - NGX_APIGW_WINDOW_OFFSET_MAX);

    for ( ;; ) {
        t = local - tz->shifts[n].offset;

        if (t < tz->shifts[n].at) {
            t = tz->shifts[n].at;
        }

        if (n + 1 == tz->n || t < tz->shifts[n + 1].at) {
            return t;
        }

        n++;
    }
}


/* The first day of the window of a date, or of the next window. */

static int64_t
ngx_apigw_window_edge(const ngx_apigw_window_t *window, int64_t days,
    ngx_uint_t next)
{
    int64_t  weekday;

    switch (window->kind) {

    case NGX_APIGW_WINDOW_DAY:
        return days + next;

    case NGX_APIGW_WINDOW_WEEK:

        /* 1970-01-01 was a Thursday, 0 is Monday */

        weekday = days + 3 - (int64_t) window->anchor;
        weekday -= ngx_apigw_window_floor(weekday, 7) * 7;

        return days - weekday + 7 * next;

    default: /* NGX_APIGW_WINDOW_MONTH */
        return ngx_apigw_window_month_edge(window->anchor, days, next);
    }
}


/* In a month without such a day the window begins on its last day. */

static int64_t
ngx_apigw_window_month_edge(ngx_uint_t anchor, int64_t days, ngx_uint_t next)
{
    int64_t     year, month;
    ngx_uint_t  m, day, first;

    ngx_apigw_window_date(days, &year, &m, &day);

    first = ngx_min(anchor, ngx_apigw_window_month_days(year, m));

    month = year * 12 + m - 1 + next;

    if (day < first) {
        month--;
    }

    year = ngx_apigw_window_floor(month, 12);
    m = (ngx_uint_t) (month - year * 12) + 1;

    first = ngx_min(anchor, ngx_apigw_window_month_days(year, m));

    return ngx_apigw_window_days(year, m, first);
}


static ngx_uint_t
ngx_apigw_window_month_days(int64_t year, ngx_uint_t month)
{
    if (month == 2) {
        return ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0) ? 29
                                                                       : 28;
    }

    return 30 + ((month + (month > 7)) & 1);
}


/* Years begin in March here, so that the leap day is the last one. */

int64_t
ngx_apigw_window_days(int64_t year, ngx_uint_t month, ngx_uint_t day)
{
    int64_t  era, year_of_era, day_of_year;

    if (month <= 2) {
        year--;
    }

    era = ngx_apigw_window_floor(year, 400);
    year_of_era = year - era * 400;
    day_of_year = (153 * ((int64_t) month + (month > 2 ? -3 : 9)) + 2) / 5
                  + (int64_t) day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4
           - year_of_era / 100 + day_of_year - 719468;
}


void
ngx_apigw_window_date(int64_t days, int64_t *year, ngx_uint_t *month,
    ngx_uint_t *day)
{
    int64_t     era;
    ngx_uint_t  day_of_era, year_of_era, day_of_year, m;

    days += 719468;

    era = ngx_apigw_window_floor(days, 146097);
    day_of_era = (ngx_uint_t) (days - era * 146097);
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524
                   - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4
                                - year_of_era / 100);
    m = (5 * day_of_year + 2) / 153;

    *day = day_of_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = era * 400 + (int64_t) year_of_era + (*month <= 2);
}


static ngx_inline int64_t
ngx_apigw_window_floor(int64_t n, int64_t d)
{
    return n / d - (n % d < 0);
}


const char *
ngx_apigw_window_name(ngx_uint_t kind)
{
    return ngx_apigw_window_names[kind];
}


ngx_int_t
ngx_apigw_window_kind(const ngx_str_t *name)
{
    ngx_uint_t  n;

    for (n = 0; n < NGX_APIGW_WINDOW_KINDS; n++) {

        if (ngx_strlen(ngx_apigw_window_names[n]) == name->len
            && ngx_memcmp(ngx_apigw_window_names[n], name->data, name->len)
               == 0)
        {
            return n;
        }
    }

    return NGX_ERROR;
}
