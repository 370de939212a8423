/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_COMPAT_H_INCLUDED_
#define _NGX_APIGW_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * What differs between the supported versions of nginx; the only file that
 * may look at nginx_version.
 */


/* since 1.23.0 headers of one name form a list */

#if (nginx_version >= 1023000)

#define ngx_http_apigw_header_single(h)  (h)->next = NULL
#define ngx_http_apigw_header_next(h)    (h)->next
#define ngx_http_apigw_cookies(r)        (r)->headers_in.cookie

#else

#define ngx_http_apigw_header_single(h)
#define ngx_http_apigw_header_next(h)    NULL

#endif


#endif /* _NGX_APIGW_COMPAT_H_INCLUDED_ */
