/*
 * Copyright (C) the apigw authors
 */


/* Where the token of a request is, and whether there is another one. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/crypto.h>

#include "ngx_http_apigw_jwt.h"


static ngx_uint_t ngx_http_apigw_jwt_bearer(ngx_http_request_t *r,
    ngx_str_t *token);
static ngx_uint_t ngx_http_apigw_jwt_like(ngx_str_t *token);
static ngx_uint_t ngx_http_apigw_jwt_ambiguous(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_str_t *token);
static ngx_uint_t ngx_http_apigw_jwt_other_header(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_str_t *token);
static ngx_uint_t ngx_http_apigw_jwt_other_pair(ngx_str_t *pairs,
    u_char separator, ngx_str_t *name, ngx_str_t *token);
static ngx_uint_t ngx_http_apigw_jwt_named(u_char *p, u_char *last,
    u_char separator, ngx_str_t *name);


/* "token=$cookie_NAME": a place that can be there twice */

void
ngx_http_apigw_jwt_place(ngx_http_apigw_jwt_loc_conf_t *lcf,
    ngx_str_t *variable)
{
    size_t      skip;
    ngx_uint_t  i;

    static ngx_str_t  prefix[] = {
        ngx_null_string,
        ngx_string("http_"),
        ngx_string("cookie_"),
        ngx_string("arg_")
    };

    lcf->place = NGX_HTTP_APIGW_JWT_ELSEWHERE;

    for (i = NGX_HTTP_APIGW_JWT_HEADER; i <= NGX_HTTP_APIGW_JWT_ARGUMENT; i++)
    {
        skip = prefix[i].len;

        if (variable->len > skip
            && ngx_strncasecmp(variable->data, prefix[i].data, skip) == 0)
        {
            lcf->place = i;
            lcf->place_name.data = variable->data + skip;
            lcf->place_name.len = variable->len - skip;

            return;
        }
    }
}


ngx_int_t
ngx_http_apigw_jwt_find(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx)
{
    ngx_str_t                   token, bearer;
    ngx_uint_t                  proper;
    ngx_http_variable_value_t  *vv;

    ngx_str_null(&token);
    ngx_str_null(&bearer);

    ctx->conflict = 0;

    proper = ngx_http_apigw_jwt_bearer(r, &bearer);

    if (lcf->token == NGX_CONF_UNSET) {

        if (proper) {
            token = bearer;
        }

    } else {
        ctx->resolving = 1;
        vv = ngx_http_get_flushed_variable(r, lcf->token);
        ctx->resolving = 0;

        if (vv == NULL) {
            return NGX_ERROR;
        }

        if (!vv->not_found) {
            token.data = vv->data;
            token.len = vv->len;
        }

        /* what is behind nginx may well look at the other one */

        if (token.len) {
            ctx->conflict = (ngx_http_apigw_jwt_like(&bearer)
                             && !ngx_http_apigw_jwt_same(&token, &bearer))
                            || ngx_http_apigw_jwt_ambiguous(r, lcf, &token);
        }
    }

    if (ctx->parsed && (token.len != ctx->token.len
                        || token.data != ctx->token.data))
    {
        ngx_http_apigw_jwt_parse_forget(ctx);
    }

    ctx->token = token;

    return NGX_OK;
}


ngx_uint_t
ngx_http_apigw_jwt_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && CRYPTO_memcmp(one->data, two->data, one->len) == 0;
}


/*
 * What the header may be taken to have by whoever reads it next, with any
 * white space; 1 if it is written as RFC 6750 has it.
 */

static ngx_uint_t
ngx_http_apigw_jwt_bearer(ngx_http_request_t *r, ngx_str_t *token)
{
    u_char           *p, *last;
    ngx_uint_t        proper;
    ngx_table_elt_t  *h;

    h = r->headers_in.authorization;

    if (h == NULL) {
        return 0;
    }

    p = h->value.data;
    last = p + h->value.len;

    while (p < last && *p <= ' ') {
        p++;
    }

    proper = (p == h->value.data);

    if (last - p < (ssize_t) sizeof("Bearer ") - 1) {
        return 0;
    }

    /* in any case of letters */

    if ((p[0] | 0x20) != 'b' || (p[1] | 0x20) != 'e' || (p[2] | 0x20) != 'a'
        || (p[3] | 0x20) != 'r' || (p[4] | 0x20) != 'e'
        || (p[5] | 0x20) != 'r' || p[6] > ' ')
    {
        return 0;
    }

    for (p += 6; p < last && *p <= ' '; p++) {
        if (*p != ' ') {
            proper = 0;
        }
    }

    token->data = p;
    token->len = last - p;

    return proper;
}


/* An API key, say, is something else. */

static ngx_uint_t
ngx_http_apigw_jwt_like(ngx_str_t *token)
{
    size_t      i;
    ngx_uint_t  dots;

    dots = 0;

    for (i = 0; i < token->len; i++) {
        dots += (token->data[i] == '.');
    }

    return dots >= 2;
}


/*
 * Whether the place has another token as well: nginx takes the first one in
 * any case of letters, others the last one, or one of exactly that name.
 */

static ngx_uint_t
ngx_http_apigw_jwt_ambiguous(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_str_t *token)
{
    switch (lcf->place) {

    case NGX_HTTP_APIGW_JWT_HEADER:
    case NGX_HTTP_APIGW_JWT_COOKIE:
        return ngx_http_apigw_jwt_other_header(r, lcf, token);

    case NGX_HTTP_APIGW_JWT_ARGUMENT:
        return ngx_http_apigw_jwt_other_pair(&r->args, '&', &lcf->place_name,
                                             token);

    default: /* NGX_HTTP_APIGW_JWT_ELSEWHERE */
        return 0;
    }
}


static ngx_uint_t
ngx_http_apigw_jwt_other_header(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_str_t *token)
{
    ngx_str_t         name;
    ngx_uint_t        i, cookie;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  cookies = ngx_string("cookie");

    cookie = (lcf->place == NGX_HTTP_APIGW_JWT_COOKIE);
    name = cookie ? cookies : lcf->place_name;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (!ngx_http_apigw_jwt_named(h[i].key.data,
                                          h[i].key.data + h[i].key.len, ':',
                                          &name))
            {
                continue;
            }

            if (cookie ? ngx_http_apigw_jwt_other_pair(&h[i].value, ';',
                                                       &lcf->place_name,
                                                       token)
                       : h[i].value.len
                         && !ngx_http_apigw_jwt_same(&h[i].value, token))
            {
                return 1;
            }
        }
    }

    return 0;
}


/* Some begin a new cookie at a comma as well, which no token has. */

static ngx_uint_t
ngx_http_apigw_jwt_other_pair(ngx_str_t *pairs, u_char separator,
    ngx_str_t *name, ngx_str_t *token)
{
    u_char     *p, *end, *last, *eq;
    ngx_str_t   value;

    last = pairs->data + pairs->len;

    for (p = pairs->data; p < last; p = end + 1) {

        eq = NULL;

        for (end = p; end < last && *end != separator; end++) {

            if (*end == ',' && separator == ';') {
                break;
            }

            if (*end == '=' && eq == NULL) {
                eq = end;
            }
        }

        if (eq == NULL || !ngx_http_apigw_jwt_named(p, eq, separator, name)) {
            continue;
        }

        value.data = eq + 1;
        value.len = end - value.data;

        if (separator == ';') {

            while (value.len && *value.data <= ' ') {
                value.data++;
                value.len--;
            }

            while (value.len && value.data[value.len - 1] <= ' ') {
                value.len--;
            }
        }

        if (value.len && !ngx_http_apigw_jwt_same(&value, token)) {
            return 1;
        }
    }

    return 0;
}


/*
 * In any case of letters; that of an argument may be escaped, and "-" of a
 * header is "_" in a variable.
 */

static ngx_uint_t
ngx_http_apigw_jwt_named(u_char *p, u_char *last, u_char separator,
    ngx_str_t *name)
{
    u_char      ch;
    size_t      i;
    ngx_int_t   n;

    while (separator == ';' && p < last && *p <= ' ') {
        p++;
    }

    while (separator == ';' && p < last && last[-1] <= ' ') {
        last--;
    }

    for (i = 0; i < name->len && p < last; i++) {

        ch = *p++;

        if (separator == '&' && ch == '%' && last - p >= 2) {

            n = ngx_hextoi(p, 2);

            if (n != NGX_ERROR) {
                ch = (u_char) n;
                p += 2;
            }

        } else if (separator == ':' && ch == '-') {
            ch = '_';
        }

        if (ngx_tolower(ch) != ngx_tolower(name->data[i])) {
            return 0;
        }
    }

    return i == name->len && p == last;
}
