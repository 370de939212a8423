/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_base64.h"


/* What is no digit has a bit above the six, so that four can be or'ed. */

#define xx  0x80


static const u_char  ngx_apigw_base64_values[256] = {
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, 62, xx, xx,
    52, 53, 54, 55, 56, 57, 58, 59,  60, 61, xx, xx, xx, xx, xx, xx,
    xx,  0,  1,  2,  3,  4,  5,  6,   7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22,  23, 24, 25, xx, xx, xx, xx, 63,
    xx, 26, 27, 28, 29, 30, 31, 32,  33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48,  49, 50, 51, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx,
    xx, xx, xx, xx, xx, xx, xx, xx,  xx, xx, xx, xx, xx, xx, xx, xx
};


static const u_char  ngx_apigw_base64_digits[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


ssize_t
ngx_apigw_base64_decode(u_char *dst, const u_char *src, size_t len)
{
    u_char         a, b, c, d, *start;
    const u_char  *last;

    start = dst;

    for (last = src + (len & ~(size_t) 3); src < last; src += 4) {

        a = ngx_apigw_base64_values[src[0]];
        b = ngx_apigw_base64_values[src[1]];
        c = ngx_apigw_base64_values[src[2]];
        d = ngx_apigw_base64_values[src[3]];

        if ((a | b | c | d) & xx) {
            return NGX_ERROR;
        }

        *dst++ = (u_char) (a << 2 | b >> 4);
        *dst++ = (u_char) (b << 4 | c >> 2);
        *dst++ = (u_char) (c << 6 | d);
    }

    len &= 3;

    if (len == 0) {
        return dst - start;
    }

    if (len == 1) {
        return NGX_ERROR;
    }

    a = ngx_apigw_base64_values[src[0]];
    b = ngx_apigw_base64_values[src[1]];
    c = (len == 3) ? ngx_apigw_base64_values[src[2]] : 0;

    if ((a | b | c) & xx) {
        return NGX_ERROR;
    }

    /* bits of no byte */

    if ((len == 2) ? (b & 0x0f) : (c & 0x03)) {
        return NGX_ERROR;
    }

    *dst++ = (u_char) (a << 2 | b >> 4);

    if (len == 3) {
        *dst++ = (u_char) (b << 4 | c >> 2);
    }

    return dst - start;
}


u_char *
ngx_apigw_base64_encode(u_char *dst, const u_char *src, size_t len)
{
    uint32_t  n;

    for ( /* void */ ; len > 2; len -= 3, src += 3) {
        n = (uint32_t) src[0] << 16 | (uint32_t) src[1] << 8 | src[2];

        *dst++ = ngx_apigw_base64_digits[n >> 18];
        *dst++ = ngx_apigw_base64_digits[n >> 12 & 0x3f];
        *dst++ = ngx_apigw_base64_digits[n >> 6 & 0x3f];
        *dst++ = ngx_apigw_base64_digits[n & 0x3f];
    }

    if (len == 0) {
        return dst;
    }

    n = (uint32_t) src[0] << 16 | (uint32_t) (len == 2 ? src[1] : 0) << 8;

    *dst++ = ngx_apigw_base64_digits[n >> 18];
    *dst++ = ngx_apigw_base64_digits[n >> 12 & 0x3f];

    if (len == 2) {
        *dst++ = ngx_apigw_base64_digits[n >> 6 & 0x3f];
    }

    return dst;
}
