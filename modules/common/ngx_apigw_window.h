/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_WINDOW_H_INCLUDED_
#define _NGX_APIGW_WINDOW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Calendar windows: the hour, day, week or month in which an instant lies, in
 * UTC or in a time zone.  The windows of a kind follow each other without a
 * gap and without an overlap, so the start of one names it.
 *
 * A day begins at the first instant of the date in its zone, which is not
 * always 00:00 and of which there is only one when the clocks go back over
 * midnight.  An hour is 60 minutes, cut only where the clocks change by less
 * than one.
 *
 * Uses nothing of nginx but its types.
 */


#define NGX_APIGW_WINDOW_HOUR      0
#define NGX_APIGW_WINDOW_DAY       1
#define NGX_APIGW_WINDOW_WEEK      2
#define NGX_APIGW_WINDOW_MONTH     3
#define NGX_APIGW_WINDOW_LIFETIME  4
#define NGX_APIGW_WINDOW_KINDS     5

#define NGX_APIGW_WINDOW_NEVER     0xffffffffLL  /* end of the lifetime */


/* From "at" on local time is UTC + offset seconds. */

typedef struct {
    int64_t                      at;
    int64_t                      offset;
} ngx_apigw_window_shift_t;


/* A time zone; the first shift is at INT64_MIN. */

typedef struct {
    ngx_uint_t                   n;
    ngx_apigw_window_shift_t    *shifts;
} ngx_apigw_window_tz_t;


typedef struct {
    ngx_uint_t                   kind;
    ngx_uint_t                   anchor;  /* week: 0 is Monday, month: 1-31 */
    const ngx_apigw_window_tz_t  *tz;     /* NULL: UTC */
} ngx_apigw_window_t;


typedef struct {
    int64_t                      start;   /* first second of the window */
    int64_t                      end;     /* first second after it */
} ngx_apigw_window_span_t;


#pragma GCC visibility push(hidden)


/* The window in which now lies; now is 0 .. NGX_APIGW_WINDOW_NEVER. */

void ngx_apigw_window_at(const ngx_apigw_window_t *window, int64_t now,
    ngx_apigw_window_span_t *span);


/* "day" for NGX_APIGW_WINDOW_DAY, and back; NGX_ERROR for an unknown name. */

const char *ngx_apigw_window_name(ngx_uint_t kind);
ngx_int_t ngx_apigw_window_kind(const ngx_str_t *name);


/* Days since 1970-01-01 of a date of the Gregorian calendar, and back. */

int64_t ngx_apigw_window_days(int64_t year, ngx_uint_t month, ngx_uint_t day);
void ngx_apigw_window_date(int64_t days, int64_t *year, ngx_uint_t *month,
    ngx_uint_t *day);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_WINDOW_H_INCLUDED_ */
