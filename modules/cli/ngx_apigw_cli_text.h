/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_TEXT_H_INCLUDED_
#define _NGX_APIGW_CLI_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The values of the command line and how they are printed.  Uses nothing of
 * nginx but its types.
 */


#define NGX_APIGW_CLI_TIME_TEXT  sizeof("2026-01-02T03:04:05Z")


/* Text that grows; the process ends with a message if there is no memory. */

typedef struct {
    u_char              *data;
    size_t               len;
    size_t               size;
} ngx_apigw_cli_buf_t;


#pragma GCC visibility push(hidden)


void *ngx_apigw_cli_alloc(size_t size);
void *ngx_apigw_cli_realloc(void *p, size_t size);


/*
 * _time() takes "2026-12-31", "2026-12-31T23:59:59Z", the same with "+02:00"
 * or without a zone (UTC), "@1798761599", and "7d", which is from now on.
 * _duration() takes "1d12h" and the like, of w, d, h, m and s.  _number()
 * takes 0 to 10^15.  NGX_ERROR if the text is not of the form.
 */

ngx_int_t ngx_apigw_cli_time(const ngx_str_t *text, time_t now, time_t *t);
ngx_int_t ngx_apigw_cli_duration(const ngx_str_t *text, time_t *t);
ngx_int_t ngx_apigw_cli_number(const ngx_str_t *text, int64_t *n);


/* Writes the time in UTC with the final zero byte; returns buf. */

char *ngx_apigw_cli_time_text(time_t t, char *buf);


/* Whether a string is UTF-8 without control characters. */

ngx_uint_t ngx_apigw_cli_printable(const ngx_str_t *text);


void ngx_apigw_cli_buf_add(ngx_apigw_cli_buf_t *b, const void *data,
    size_t len);
void ngx_apigw_cli_buf_puts(ngx_apigw_cli_buf_t *b, const char *s);
void ngx_apigw_cli_buf_number(ngx_apigw_cli_buf_t *b, int64_t n);
void ngx_apigw_cli_buf_hex(ngx_apigw_cli_buf_t *b, const u_char *data,
    size_t len);
void ngx_apigw_cli_buf_free(ngx_apigw_cli_buf_t *b);


/*
 * A JSON string; bytes that are not UTF-8 become U+FFFD.  A member is
 * preceded by a comma unless it is the first one behind a "{" or "[".
 */

void ngx_apigw_cli_json_string(ngx_apigw_cli_buf_t *b, const u_char *data,
    size_t len);
void ngx_apigw_cli_json_comma(ngx_apigw_cli_buf_t *b);
void ngx_apigw_cli_json_name(ngx_apigw_cli_buf_t *b, const char *name);
void ngx_apigw_cli_json_text(ngx_apigw_cli_buf_t *b, const char *name,
    const ngx_str_t *value);
void ngx_apigw_cli_json_number(ngx_apigw_cli_buf_t *b, const char *name,
    int64_t value);
void ngx_apigw_cli_json_time(ngx_apigw_cli_buf_t *b, const char *name,
    time_t value);


#pragma GCC visibility pop


#define ngx_apigw_cli_buf_literal(b, s)                                       \
    ngx_apigw_cli_buf_add(b, s, sizeof(s) - 1)


#endif /* _NGX_APIGW_CLI_TEXT_H_INCLUDED_ */
