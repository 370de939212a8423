/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_PAIRS_H_INCLUDED_
#define _NGX_APIGW_KEY_PAIRS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The name=value pairs of a query ("&") or of a Cookie header (";"), as far
 * as a credential has to be found in them and taken out.  The name in a query
 * may be escaped; a cookie of that name may begin at a comma as well.
 *
 * Uses nothing of nginx but its types.
 */


#pragma GCC visibility push(hidden)


/*
 * Finds the next pair of that name from *pos on, which is zero at first.
 * Returns 0 if there is none.
 */

ngx_uint_t ngx_apigw_key_pairs_next(const ngx_str_t *pairs, u_char separator,
    const ngx_str_t *name, size_t *pos, ngx_str_t *value);


/*
 * Copies the pairs of other names, each as it is, to dst, which has room for
 * all of them; returns the length.
 */

size_t ngx_apigw_key_pairs_without(u_char *dst, const ngx_str_t *pairs,
    u_char separator, const ngx_str_t *name);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_PAIRS_H_INCLUDED_ */
