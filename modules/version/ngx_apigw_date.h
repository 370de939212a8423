/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_DATE_H_INCLUDED_
#define _NGX_APIGW_DATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Dates of configurations and of response headers; always UTC. */


#define NGX_APIGW_DATE_HTTP_LEN  (sizeof("Tue, 01 Jun 2027 00:00:00 GMT") - 1)
#define NGX_APIGW_DATE_ISO_LEN   (sizeof("2027-06-01T00:00:00Z") - 1)


#pragma GCC visibility push(hidden)


/*
 * Reads "2027-06-01" (midnight), "2027-06-01T12:00:00Z" or, with a zone,
 * "2027-06-01T14:00:00+02:00", the years 1970 to 9999.  Returns NGX_ERROR for
 * any other form and for dates that do not exist.
 */

ngx_int_t ngx_apigw_date_parse(const u_char *p, size_t len, time_t *date);


/* Write NGX_APIGW_DATE_..._LEN bytes and return the end. */

u_char *ngx_apigw_date_http(u_char *p, time_t date);
u_char *ngx_apigw_date_iso(u_char *p, time_t date);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_DATE_H_INCLUDED_ */
