/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_TZ_H_INCLUDED_
#define _NGX_APIGW_TZ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_window.h"


/*
 * Time zones from the system's database: files in the format of RFC 8536,
 * version 2 and newer.  Read when the configuration is; the rule at the end of
 * a file is unrolled up to NGX_APIGW_WINDOW_NEVER, so nothing is computed from
 * it later, and the process' own TZ plays no part.
 *
 * Uses nothing of nginx but its types.
 */


#define NGX_APIGW_TZ_DIRECTORY  "/usr/share/zoneinfo"
#define NGX_APIGW_TZ_NAME       64
#define NGX_APIGW_TZ_SHIFTS     2048
#define NGX_APIGW_TZ_FILE       65536    /* bytes at most */


#pragma GCC visibility push(hidden)


/* Whether a name like "Europe/Berlin" cannot lead out of the directory. */

ngx_uint_t ngx_apigw_tz_valid(const ngx_str_t *name);


/*
 * Fills tz->shifts, which has room for NGX_APIGW_TZ_SHIFTS, from the text of
 * a file.  NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_apigw_tz_parse(ngx_apigw_window_tz_t *tz, const u_char *data,
    size_t len);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_TZ_H_INCLUDED_ */
