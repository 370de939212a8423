/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_date.h"


typedef struct {
    ngx_uint_t           year;
    ngx_uint_t           month;     /* 1 .. 12 */
    ngx_uint_t           day;       /* 1 .. 31 */
    ngx_uint_t           hour;
    ngx_uint_t           min;
    ngx_uint_t           sec;
} ngx_apigw_date_t;


/* 9999-12-31T23:59:59Z: years have four digits. */

#define NGX_APIGW_DATE_MAX  253402300799


static ngx_int_t ngx_apigw_date_zone(const u_char *p, size_t len,
    time_t *zone);
static ngx_uint_t ngx_apigw_date_number(const u_char *p, size_t len,
    ngx_uint_t min, ngx_uint_t max, ngx_uint_t *n);
static ngx_uint_t ngx_apigw_date_month_days(ngx_uint_t year,
    ngx_uint_t month);
static time_t ngx_apigw_date_days(ngx_uint_t year, ngx_uint_t month,
    ngx_uint_t day);
static void ngx_apigw_date_split(time_t date, ngx_apigw_date_t *d);
static u_char *ngx_apigw_date_digits(u_char *p, ngx_uint_t n, ngx_uint_t len);


static const char  ngx_apigw_date_week[] = "SunMonTueWedThuFriSat";
static const char  ngx_apigw_date_year[] =
    "JanFebMarAprMayJunJulAugSepOctNovDec";


ngx_int_t
ngx_apigw_date_parse(const u_char *p, size_t len, time_t *date)
{
    time_t            days, zone;
    ngx_apigw_date_t  d;

    if (len < sizeof("2027-06-01") - 1
        || p[4] != '-'
        || p[7] != '-'
        || !ngx_apigw_date_number(p, 4, 1970, 9999, &d.year)
        || !ngx_apigw_date_number(p + 5, 2, 1, 12, &d.month)
        || !ngx_apigw_date_number(p + 8, 2, 1,
                                  ngx_apigw_date_month_days(d.year, d.month),
                                  &d.day))
    {
        return NGX_ERROR;
    }

    days = ngx_apigw_date_days(d.year, d.month, d.day);

    if (len == sizeof("2027-06-01") - 1) {
        *date = days * 86400;
        return NGX_OK;
    }

    if (len < NGX_APIGW_DATE_ISO_LEN
        || p[10] != 'T'
        || p[13] != ':'
        || p[16] != ':'
        || ngx_apigw_date_zone(p + 19, len - 19, &zone) != NGX_OK
        || !ngx_apigw_date_number(p + 11, 2, 0, 23, &d.hour)
        || !ngx_apigw_date_number(p + 14, 2, 0, 59, &d.min)
        || !ngx_apigw_date_number(p + 17, 2, 0, 59, &d.sec))
    {
        return NGX_ERROR;
    }

    days = days * 86400 + d.hour * 3600 + d.min * 60 + d.sec - zone;

    if (days < 0 || days > NGX_APIGW_DATE_MAX) {
        return NGX_ERROR;
    }

    *date = days;

    return NGX_OK;
}


/* "Z" or "+02:00" (RFC 3339), in seconds east of Greenwich. */

static ngx_int_t
ngx_apigw_date_zone(const u_char *p, size_t len, time_t *zone)
{
    ngx_uint_t  hours, minutes;

    if (len == 1 && *p == 'Z') {
        *zone = 0;
        return NGX_OK;
    }

    if (len != sizeof("+02:00") - 1
        || (p[0] != '+' && p[0] != '-')
        || p[3] != ':'
        || !ngx_apigw_date_number(p + 1, 2, 0, 23, &hours)
        || !ngx_apigw_date_number(p + 4, 2, 0, 59, &minutes))
    {
        return NGX_ERROR;
    }

    *zone = hours * 3600 + minutes * 60;

    if (p[0] == '-') {
        *zone = - *zone;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_apigw_date_number(const u_char *p, size_t len, ngx_uint_t min,
    ngx_uint_t max, ngx_uint_t *n)
{
    size_t      i;
    ngx_uint_t  value;

    value = 0;

    for (i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }

        value = value * 10 + (p[i] - '0');
    }

    *n = value;

    return value >= min && value <= max;
}


static ngx_uint_t
ngx_apigw_date_month_days(ngx_uint_t year, ngx_uint_t month)
{
    if (month == 2) {
        return (year % 4 == 0 && (year % 100 || year % 400 == 0)) ? 29 : 28;
    }

    return (month == 4 || month == 6 || month == 9 || month == 11) ? 30 : 31;
}


/* Days since 1970-01-01; years that start in March put the leap day last. */

static time_t
ngx_apigw_date_days(ngx_uint_t year, ngx_uint_t month, ngx_uint_t day)
{
    if (month < 3) {
        year--;
        month += 12;
    }

    return (time_t) (365 * year + year / 4 - year / 100 + year / 400
                     + (153 * (month - 3) + 2) / 5 + day - 1)
           - 719468;
}


static void
ngx_apigw_date_split(time_t date, ngx_apigw_date_t *d)
{
    time_t      days;
    ngx_uint_t  n;

    days = date / 86400;
    n = date % 86400;

    d->hour = n / 3600;
    d->min = n / 60 % 60;
    d->sec = n % 60;

    d->year = 1970 + days / 366;

    while (ngx_apigw_date_days(d->year + 1, 1, 1) <= days) {
        d->year++;
    }

    for (d->month = 12; d->month > 1; d->month--) {
        if (ngx_apigw_date_days(d->year, d->month, 1) <= days) {
            break;
        }
    }

    d->day = days - ngx_apigw_date_days(d->year, d->month, 1) + 1;
}


u_char *
ngx_apigw_date_http(u_char *p, time_t date)
{
    ngx_apigw_date_t  d;

    ngx_apigw_date_split(date, &d);

    /* 1970-01-01 was a Thursday */

    p = ngx_cpymem(p, &ngx_apigw_date_week[(date / 86400 + 4) % 7 * 3], 3);
    *p++ = ',';
    *p++ = ' ';
    p = ngx_apigw_date_digits(p, d.day, 2);
    *p++ = ' ';
    p = ngx_cpymem(p, &ngx_apigw_date_year[(d.month - 1) * 3], 3);
    *p++ = ' ';
    p = ngx_apigw_date_digits(p, d.year, 4);
    *p++ = ' ';
    p = ngx_apigw_date_digits(p, d.hour, 2);
    *p++ = ':';
    p = ngx_apigw_date_digits(p, d.min, 2);
    *p++ = ':';
    p = ngx_apigw_date_digits(p, d.sec, 2);

    return ngx_cpymem(p, " GMT", 4);
}


u_char *
ngx_apigw_date_iso(u_char *p, time_t date)
{
    ngx_apigw_date_t  d;

    ngx_apigw_date_split(date, &d);

    p = ngx_apigw_date_digits(p, d.year, 4);
    *p++ = '-';
    p = ngx_apigw_date_digits(p, d.month, 2);
    *p++ = '-';
    p = ngx_apigw_date_digits(p, d.day, 2);
    *p++ = 'T';
    p = ngx_apigw_date_digits(p, d.hour, 2);
    *p++ = ':';
    p = ngx_apigw_date_digits(p, d.min, 2);
    *p++ = ':';
    p = ngx_apigw_date_digits(p, d.sec, 2);
    *p++ = 'Z';

    return p;
}


static u_char *
ngx_apigw_date_digits(u_char *p, ngx_uint_t n, ngx_uint_t len)
{
    ngx_uint_t  i;

    for (i = len; i > 0; i--) {
        p[i - 1] = '0' + n % 10;
        n /= 10;
    }

    return p + len;
}
