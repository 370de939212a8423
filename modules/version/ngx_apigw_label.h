/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_LABEL_H_INCLUDED_
#define _NGX_APIGW_LABEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_hash.h"


/*
 * Labels of versions and the places of a request that name one.
 */


#define NGX_APIGW_LABEL_LEN     64

#define NGX_APIGW_SHAPE_NONE    0x00    /* "beta" */
#define NGX_APIGW_SHAPE_NUMBER  0x01    /* "2", "2.1" */
#define NGX_APIGW_SHAPE_V       0x02    /* "v2", "v2.1" */
#define NGX_APIGW_SHAPE_DATE    0x04    /* "2026-06-01" */

#define NGX_APIGW_SHARE_ALL     10000   /* 100 %, in steps of 0.01 % */

#define NGX_APIGW_SOURCES       11


typedef struct {
    ngx_uint_t           shape;
    uint32_t             part[4];
} ngx_apigw_number_t;


#pragma GCC visibility push(hidden)


/* What $api_version_source says, by ngx_http_apigw_version_source_e. */

extern const ngx_str_t  ngx_apigw_sources[NGX_APIGW_SOURCES];


/*
 * Labels are up to NGX_APIGW_LABEL_LEN letters, digits, "-", "_" and ".",
 * starting with a letter or digit: nothing that a URI, a header or JSON would
 * have to escape.
 */

ngx_uint_t ngx_apigw_label_valid(const u_char *p, size_t len);


/*
 * Returns the shape of what may be a label and its number; a number has up to
 * four parts, "V" is as good as "v".
 */

ngx_uint_t ngx_apigw_label_number(const u_char *p, size_t len,
    ngx_apigw_number_t *number);
ngx_int_t ngx_apigw_number_cmp(const ngx_apigw_number_t *a,
    const ngx_apigw_number_t *b);


/*
 * Whether text names the label, the way of headers and parameters: letters of
 * any case, and "2" is "v2".
 */

ngx_uint_t ngx_apigw_label_named(const ngx_str_t *label, const u_char *p,
    size_t len);


/* Whether a path has only letters, digits, "-", "." and "/", or is empty. */

ngx_uint_t ngx_apigw_path_plain(const u_char *p, size_t len);

/* The same, and copies it; if it is not so, some bytes of dst are written. */

ngx_uint_t ngx_apigw_path_copy(u_char *dst, const u_char *p, size_t len);


/*
 * Reads a query parameter, decoded, into buf of NGX_APIGW_LABEL_LEN + 1 bytes;
 * a longer value is cut there and so is no label.  NGX_DECLINED if there is
 * none or it is empty, NGX_ABORT if there are several that differ.
 */

ngx_int_t ngx_apigw_query_value(const ngx_str_t *args, const ngx_str_t *name,
    u_char *buf, ngx_str_t *value);


/*
 * Whether a parameter, from p to last, has the name and is not empty; then
 * *value is where its value begins.
 */

ngx_uint_t ngx_apigw_query_named(const u_char *p, const u_char *last,
    const ngx_str_t *name, const u_char **value);


/* Matches host with a pattern that has one "*", the place of the version. */

ngx_int_t ngx_apigw_host_value(const ngx_str_t *host,
    const ngx_str_t *pattern, ngx_str_t *value);


/*
 * Finds a component of a dotted name, "v1" in "acme.orders.v1.Orders": calls
 * for the next one, starting with next->len of 0.
 */

ngx_int_t ngx_apigw_dotted_next(const ngx_str_t *name, ngx_str_t *next);


/* Reads "5%", "0.25%" in hundredths of a percent, NGX_ERROR if over 100 %. */

ngx_int_t ngx_apigw_share_parse(const u_char *p, size_t len);


/*
 * Where a caller stands in the whole, 0 .. 2^32 - 1; who is below a share
 * stays below it when the share grows.  The same on every machine.
 */

uint32_t ngx_apigw_share_place(const ngx_apigw_hash_key_t *salt,
    const u_char *p, size_t len);


#pragma GCC visibility pop


/*
 * Finds the n-th (1 is the first) segment of a path behind base, which has no
 * "/" at its end.  NGX_DECLINED if the path is not below base or ends before.
 */

static ngx_inline ngx_int_t
ngx_apigw_path_segment(const ngx_str_t *path, const ngx_str_t *base,
    ngx_uint_t n, ngx_str_t *segment)
{
    u_char  *p, *last;

    if (path->len <= base->len
        || ngx_memcmp(path->data, base->data, base->len) != 0)
    {
        return NGX_DECLINED;
    }

    p = path->data + base->len;
    last = path->data + path->len;

    /* each round starts at the "/" before a segment */

    while (p != last && *p == '/') {

        segment->data = ++p;

        while (p != last && *p != '/') {
            p++;
        }

        if (--n == 0) {
            segment->len = p - segment->data;
            return segment->len ? NGX_OK : NGX_DECLINED;
        }
    }

    return NGX_DECLINED;
}


#endif /* _NGX_APIGW_LABEL_H_INCLUDED_ */
