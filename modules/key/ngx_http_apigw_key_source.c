/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/crypto.h>

#include "ngx_apigw_key_pairs.h"
#include "ngx_http_apigw_request.h"
#include "ngx_http_apigw_key_source.h"


typedef struct {
    ngx_list_part_t             *part;
    ngx_list_part_t             *previous;
    ngx_uint_t                   i;
} ngx_http_apigw_key_cursor_t;


typedef struct {
    ngx_http_request_t          *request;
    ngx_str_t                   *prefix;
    ngx_str_t                   *key;
    ngx_int_t                    rc;
} ngx_http_apigw_key_search_t;


static ngx_uint_t ngx_http_apigw_key_search(ngx_http_apigw_key_search_t *s,
    ngx_http_apigw_key_source_t *source);
static ngx_uint_t ngx_http_apigw_key_search_headers(
    ngx_http_apigw_key_search_t *s, ngx_http_apigw_key_source_t *source);
static ngx_uint_t ngx_http_apigw_key_search_pairs(
    ngx_http_apigw_key_search_t *s, ngx_http_apigw_key_source_t *source,
    ngx_str_t *pairs, u_char separator);
static ngx_uint_t ngx_http_apigw_key_search_variable(
    ngx_http_apigw_key_search_t *s, ngx_http_apigw_key_source_t *source);
static void ngx_http_apigw_key_take(ngx_http_apigw_key_search_t *s,
    u_char *data, size_t len);
static ngx_int_t ngx_http_apigw_key_unescape(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_uint_t ngx_http_apigw_key_bearer(ngx_str_t *value,
    ngx_str_t *prefix);

static void ngx_http_apigw_key_strip_headers(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source, ngx_str_t *prefix);
static ngx_int_t ngx_http_apigw_key_strip_cookies(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source);
static ngx_int_t ngx_http_apigw_key_strip_query(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source);
static ngx_int_t ngx_http_apigw_key_replace_args(ngx_pool_t *pool,
    ngx_str_t *text, ngx_str_t *old, ngx_str_t *args);
static ngx_int_t ngx_http_apigw_key_without(ngx_pool_t *pool,
    ngx_str_t *pairs, u_char separator, ngx_str_t *name);
static void ngx_http_apigw_key_remove_header(ngx_http_request_t *r,
    ngx_http_apigw_key_cursor_t *cursor);
static void ngx_http_apigw_key_shorten_part(ngx_http_request_t *r,
    ngx_http_apigw_key_cursor_t *cursor);
static void ngx_http_apigw_key_forget(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source);

static ngx_table_elt_t *ngx_http_apigw_key_next_header(ngx_list_t *headers,
    ngx_str_t *name, ngx_http_apigw_key_cursor_t *cursor);

static ngx_int_t ngx_http_apigw_key_source_named(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_apigw_key_source_t *source);
static ngx_int_t ngx_http_apigw_key_source_invalid(ngx_conf_t *cf,
    ngx_str_t *value);
static ngx_int_t ngx_http_apigw_key_source_variables(ngx_conf_t *cf,
    ngx_http_apigw_key_source_t *source);


static ngx_str_t  ngx_http_apigw_key_authorization =
    ngx_string("authorization");
static ngx_str_t  ngx_http_apigw_key_cookie = ngx_string("cookie");


static ngx_conf_enum_t  ngx_http_apigw_key_named[] = {
    { ngx_string("header="), NGX_HTTP_APIGW_KEY_HEADER },
    { ngx_string("query="), NGX_HTTP_APIGW_KEY_QUERY },
    { ngx_string("cookie="), NGX_HTTP_APIGW_KEY_COOKIE },
    { ngx_null_string, 0 }
};


/* a request would not be the same without them */

static ngx_str_t  ngx_http_apigw_key_reserved[] = {
    ngx_string("host"),
    ngx_string("cookie"),
    ngx_string("connection"),
    ngx_string("content-length"),
    ngx_string("transfer-encoding"),
    ngx_null_string
};


ngx_int_t
ngx_http_apigw_key_extract(ngx_http_request_t *r, ngx_array_t *sources,
    ngx_str_t *prefix, ngx_str_t *key, ngx_uint_t *found)
{
    ngx_uint_t                    i;
    ngx_http_apigw_key_search_t   s;
    ngx_http_apigw_key_source_t  *source;

    s.request = r;
    s.prefix = prefix;
    s.key = key;
    s.rc = NGX_DECLINED;

    *found = 0;

    source = sources->elts;

    for (i = 0; i < sources->nelts; i++) {
        if (ngx_http_apigw_key_search(&s, &source[i])) {
            *found |= (ngx_uint_t) 1 << i;
        }
    }

    return s.rc;
}


static ngx_uint_t
ngx_http_apigw_key_search(ngx_http_apigw_key_search_t *s,
    ngx_http_apigw_key_source_t *source)
{
    ngx_uint_t                    found;
    ngx_table_elt_t              *h;
    ngx_http_apigw_key_cursor_t   cursor;

    switch (source->type) {

    case NGX_HTTP_APIGW_KEY_QUERY:
        return ngx_http_apigw_key_search_pairs(s, source, &s->request->args,
                                               '&');

    case NGX_HTTP_APIGW_KEY_COOKIE:
        found = 0;
        cursor.part = NULL;

        while ((h = ngx_http_apigw_key_next_header(
                                       &s->request->headers_in.headers,
                                       &ngx_http_apigw_key_cookie, &cursor)))
        {
            found |= ngx_http_apigw_key_search_pairs(s, source, &h->value,
                                                     ';');
        }

        return found;

    case NGX_HTTP_APIGW_KEY_VARIABLE:
        return ngx_http_apigw_key_search_variable(s, source);

    default: /* NGX_HTTP_APIGW_KEY_HEADER, NGX_HTTP_APIGW_KEY_BEARER */
        return ngx_http_apigw_key_search_headers(s, source);
    }
}


static ngx_uint_t
ngx_http_apigw_key_search_headers(ngx_http_apigw_key_search_t *s,
    ngx_http_apigw_key_source_t *source)
{
    size_t                        skip;
    ngx_uint_t                    found;
    ngx_table_elt_t              *h;
    ngx_http_apigw_key_cursor_t   cursor;

    found = 0;
    cursor.part = NULL;

    while ((h = ngx_http_apigw_key_next_header(&s->request->headers_in.headers,
                                               &source->name, &cursor)))
    {
        skip = 0;

        if (source->type == NGX_HTTP_APIGW_KEY_BEARER) {

            skip = ngx_http_apigw_key_bearer(&h->value, s->prefix);

            if (skip == 0) {
                continue;
            }
        }

        found = 1;
        ngx_http_apigw_key_take(s, h->value.data + skip, h->value.len - skip);
    }

    return found;
}


static ngx_uint_t
ngx_http_apigw_key_search_pairs(ngx_http_apigw_key_search_t *s,
    ngx_http_apigw_key_source_t *source, ngx_str_t *pairs, u_char separator)
{
    size_t      pos;
    ngx_str_t   value;
    ngx_uint_t  found;

    pos = 0;
    found = 0;

    while (ngx_apigw_key_pairs_next(pairs, separator, &source->name, &pos,
                                    &value))
    {
        found = 1;

        if (separator == '&'
            && ngx_http_apigw_key_unescape(s->request, &value) != NGX_OK)
        {
            s->rc = NGX_ERROR;
            return 1;
        }

        ngx_http_apigw_key_take(s, value.data, value.len);
    }

    return found;
}


static ngx_uint_t
ngx_http_apigw_key_search_variable(ngx_http_apigw_key_search_t *s,
    ngx_http_apigw_key_source_t *source)
{
    ngx_http_variable_value_t  *vv;

    vv = ngx_http_get_flushed_variable(s->request, source->index);

    if (vv == NULL) {
        s->rc = NGX_ERROR;
        return 0;
    }

    if (!vv->not_found) {
        ngx_http_apigw_key_take(s, vv->data, vv->len);
    }

    /* it cannot be removed from there */

    return 0;
}


static void
ngx_http_apigw_key_take(ngx_http_apigw_key_search_t *s, u_char *data,
    size_t len)
{
    if (len == 0 || s->rc == NGX_ABORT || s->rc == NGX_ERROR) {
        return;
    }

    if (s->rc == NGX_DECLINED) {
        s->key->data = data;
        s->key->len = len;
        s->rc = NGX_OK;
        return;
    }

    if (s->key->len != len || CRYPTO_memcmp(s->key->data, data, len) != 0) {
        s->rc = NGX_ABORT;
    }
}


static ngx_int_t
ngx_http_apigw_key_unescape(ngx_http_request_t *r, ngx_str_t *value)
{
    u_char  *p, *dst, *src;

    if (value->len == 0
        || ngx_strlchr(value->data, value->data + value->len, '%') == NULL)
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, value->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    dst = p;
    src = value->data;

    ngx_unescape_uri(&dst, &src, value->len, 0);

    value->data = p;
    value->len = dst - p;

    return NGX_OK;
}


/*
 * The length of "Bearer " if a key of ours comes behind it, else 0: other
 * bearer tokens are somebody else's.  White space is what upstreams take for
 * it, of which nginx itself removes but spaces around a value.
 */

static ngx_uint_t
ngx_http_apigw_key_bearer(ngx_str_t *value, ngx_str_t *prefix)
{
    u_char  *p, *key, *last;

    p = value->data;
    last = p + value->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    if ((size_t) (last - p) < sizeof("Bearer ") - 1
        || ngx_strncasecmp(p, (u_char *) "Bearer", sizeof("Bearer") - 1) != 0)
    {
        return 0;
    }

    p += sizeof("Bearer") - 1;
    key = p;

    while (key < last && (*key == ' ' || *key == '\t')) {
        key++;
    }

    if (key == p
        || (size_t) (last - key) < prefix->len
        || ngx_memcmp(key, prefix->data, prefix->len) != 0)
    {
        return 0;
    }

    return key - value->data;
}


ngx_int_t
ngx_http_apigw_key_strip(ngx_http_request_t *r, ngx_array_t *sources,
    ngx_str_t *prefix, ngx_uint_t found)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_http_apigw_key_source_t  *source;

    source = sources->elts;

    for (i = 0; found; i++, found >>= 1) {

        if (!(found & 1)) {
            continue;
        }

        rc = NGX_OK;

        switch (source[i].type) {

        case NGX_HTTP_APIGW_KEY_HEADER:
        case NGX_HTTP_APIGW_KEY_BEARER:
            ngx_http_apigw_key_strip_headers(r, &source[i], prefix);
            break;

        case NGX_HTTP_APIGW_KEY_QUERY:
            rc = ngx_http_apigw_key_strip_query(r, &source[i]);
            break;

        case NGX_HTTP_APIGW_KEY_COOKIE:
            rc = ngx_http_apigw_key_strip_cookies(r, &source[i]);
            break;

        case NGX_HTTP_APIGW_KEY_VARIABLE:
            break;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        ngx_http_apigw_key_forget(r, &source[i]);
    }

    return NGX_OK;
}


static void
ngx_http_apigw_key_strip_headers(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source, ngx_str_t *prefix)
{
    ngx_table_elt_t              *h;
    ngx_http_apigw_key_cursor_t   cursor;

    cursor.part = NULL;

    while ((h = ngx_http_apigw_key_next_header(&r->headers_in.headers,
                                               &source->name, &cursor)))
    {
        if (source->type == NGX_HTTP_APIGW_KEY_BEARER
            && ngx_http_apigw_key_bearer(&h->value, prefix) == 0)
        {
            continue;
        }

        ngx_http_apigw_key_remove_header(r, &cursor);

        cursor.part = NULL;
    }
}


static ngx_int_t
ngx_http_apigw_key_strip_cookies(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source)
{
    ngx_table_elt_t              *h;
    ngx_http_apigw_key_cursor_t   cursor;

    cursor.part = NULL;

    while ((h = ngx_http_apigw_key_next_header(&r->headers_in.headers,
                                               &ngx_http_apigw_key_cookie,
                                               &cursor)))
    {
        if (ngx_http_apigw_key_without(r->pool, &h->value, ';', &source->name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (h->value.len == 0) {
            ngx_http_apigw_key_remove_header(r, &cursor);
            cursor.part = NULL;
        }
    }

    return NGX_OK;
}


/*
 * In the arguments as well as in the URI as it came, which is what goes to an
 * upstream as long as nobody has changed it, and in the request line, which
 * nginx quotes in error logs.
 */

static ngx_int_t
ngx_http_apigw_key_strip_query(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source)
{
    u_char     *p, *last;
    ngx_str_t   old, args;

    if (ngx_http_apigw_key_without(r->pool, &r->args, '&', &source->name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    last = r->unparsed_uri.data + r->unparsed_uri.len;

    p = ngx_strlchr(r->unparsed_uri.data, last, '?');
    if (p == NULL) {
        return NGX_OK;
    }

    old.data = p + 1;
    old.len = last - old.data;

    args = old;

    if (ngx_http_apigw_key_without(r->pool, &args, '&', &source->name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (args.data == old.data) {
        return NGX_OK;
    }

    if (ngx_http_apigw_key_replace_args(r->pool, &r->request_line, &old, &args)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_apigw_key_replace_args(r->pool, &r->unparsed_uri, &old,
                                           &args);
}


/* The first question mark of a URI or request line begins the arguments. */

static ngx_int_t
ngx_http_apigw_key_replace_args(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *old, ngx_str_t *args)
{
    u_char  *p, *rest, *last, *dst;

    if (text->len == 0) {
        return NGX_OK;
    }

    last = text->data + text->len;

    p = ngx_strlchr(text->data, last, '?');

    if (p == NULL
        || (size_t) (last - (p + 1)) < old->len
        || ngx_memcmp(p + 1, old->data, old->len) != 0)
    {
        return NGX_OK;
    }

    rest = p + 1 + old->len;

    dst = ngx_pnalloc(pool, text->len - old->len + args->len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    last = ngx_cpymem(dst, text->data, p - text->data);

    if (args->len) {
        *last++ = '?';
        last = ngx_cpymem(last, args->data, args->len);
    }

    last = ngx_cpymem(last, rest, text->data + text->len - rest);

    text->data = dst;
    text->len = last - dst;

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_key_without(ngx_pool_t *pool, ngx_str_t *pairs,
    u_char separator, ngx_str_t *name)
{
    size_t      pos;
    u_char     *p;
    ngx_str_t   value;

    pos = 0;

    if (!ngx_apigw_key_pairs_next(pairs, separator, name, &pos, &value)) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, pairs->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    pairs->len = ngx_apigw_key_pairs_without(p, pairs, separator, name);
    pairs->data = p;

    return NGX_OK;
}


/*
 * Takes a header field out of the list.  Everybody walks the list, most do
 * not look at the hash, and many keep pointers to fields: so none of the
 * others may move, and the part is divided around the field.  ngx_list_push()
 * knows a full part by nelts being equal to nalloc, which is therefore set to
 * the room of the last part; the place of the field must not be used again.
 */

static void
ngx_http_apigw_key_remove_header(ngx_http_request_t *r,
    ngx_http_apigw_key_cursor_t *cursor)
{
    ngx_list_t       *headers;
    ngx_uint_t        i, room;
    ngx_list_part_t  *part, *rest;
    ngx_table_elt_t  *h;

    headers = &r->headers_in.headers;
    part = cursor->part;
    i = cursor->i;

    h = (ngx_table_elt_t *) part->elts + i;

    h->hash = 0;
    h->value.len = 0;

    if (r->headers_in.authorization == h) {
        r->headers_in.authorization = NULL;
    }

    if (i == part->nelts - 1) {
        ngx_http_apigw_key_shorten_part(r, cursor);
        return;
    }

    room = headers->nalloc - (i + 1);

    if (i == 0) {
        part->elts = h + 1;
        part->nelts--;
        rest = part;

    } else {
        rest = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
        if (rest == NULL) {

            /* the field stays, without its value */

            return;
        }

        rest->elts = h + 1;
        rest->nelts = part->nelts - (i + 1);
        rest->next = part->next;

        part->nelts = i;
        part->next = rest;

        if (headers->last == part) {
            headers->last = rest;
        }
    }

    if (headers->last == rest) {
        headers->nalloc = room;
    }
}


/* Without its last field; only the first part may be empty. */

static void
ngx_http_apigw_key_shorten_part(ngx_http_request_t *r,
    ngx_http_apigw_key_cursor_t *cursor)
{
    void             *elts;
    ngx_list_t       *headers;
    ngx_list_part_t  *part, *last;

    headers = &r->headers_in.headers;
    part = cursor->part;

    if (part->nelts > 1) {
        part->nelts--;

        if (headers->last == part) {
            headers->nalloc = part->nelts;
        }

        return;
    }

    last = cursor->previous ? cursor->previous : part;

    if (headers->last == part) {

        if (last != part && last->nelts) {
            headers->nalloc = last->nelts;

        } else {

            /* no field is left, but ngx_list_push() needs some room */

            elts = ngx_palloc(r->pool, headers->size);
            if (elts == NULL) {

                /* the field stays, without its value */

                return;
            }

            last->elts = elts;
            headers->nalloc = 1;
        }

        headers->last = last;
    }

    if (last == part) {
        part->nelts = 0;

    } else {
        last->next = part->next;
    }
}


/* Variables that somebody asked for before are made again from the request. */

static void
ngx_http_apigw_key_forget(ngx_http_request_t *r,
    ngx_http_apigw_key_source_t *source)
{
    ngx_uint_t                  i;
    ngx_http_variable_value_t  *vv;

    for (i = 0; i < source->nvariables; i++) {
        vv = &r->variables[source->variables[i]];

        vv->valid = 0;
        vv->not_found = 0;
    }
}


/* Goes on behind the cursor; at the beginning if its part is NULL. */

static ngx_table_elt_t *
ngx_http_apigw_key_next_header(ngx_list_t *headers, ngx_str_t *name,
    ngx_http_apigw_key_cursor_t *cursor)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part, *previous;
    ngx_table_elt_t  *h;

    if (cursor->part) {
        part = cursor->part;
        previous = cursor->previous;
        i = cursor->i + 1;

    } else {
        part = &headers->part;
        previous = NULL;
        i = 0;
    }

    for ( /* void */ ; part; previous = part, part = part->next, i = 0) {

        h = part->elts;

        for ( /* void */ ; i < part->nelts; i++) {

            if (h[i].key.len == name->len
                && h[i].hash
                && ngx_memcmp(h[i].lowcase_key, name->data, name->len) == 0)
            {
                cursor->part = part;
                cursor->previous = previous;
                cursor->i = i;
                return &h[i];
            }
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_apigw_key_source_parse(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apigw_key_source_t *source)
{
    ngx_str_t   *prefix;
    ngx_uint_t   i;

    ngx_memzero(source, sizeof(ngx_http_apigw_key_source_t));

    source->file = cf->conf_file->file.name.data;
    source->line = cf->conf_file->line;

    if (value->data[0] == '$') {
        source->type = NGX_HTTP_APIGW_KEY_VARIABLE;
        source->name.data = value->data + 1;
        source->name.len = value->len - 1;
        source->index = ngx_http_get_variable_index(cf, &source->name);

        return (source->index == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    if (ngx_strcmp(value->data, "bearer") == 0) {
        source->type = NGX_HTTP_APIGW_KEY_BEARER;
        source->name = ngx_http_apigw_key_authorization;

        return ngx_http_apigw_key_source_variables(cf, source);
    }

    for (i = 0; ngx_http_apigw_key_named[i].name.len; i++) {
        prefix = &ngx_http_apigw_key_named[i].name;

        if (ngx_strncmp(value->data, prefix->data, prefix->len) == 0) {
            source->type = ngx_http_apigw_key_named[i].value;
            source->name.data = value->data + prefix->len;
            source->name.len = value->len - prefix->len;

            return ngx_http_apigw_key_source_named(cf, value, source);
        }
    }

    return ngx_http_apigw_key_source_invalid(cf, value);
}


/* Of what has a name, which for headers is to be in lower case. */

static ngx_int_t
ngx_http_apigw_key_source_named(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_apigw_key_source_t *source)
{
    u_char      ch, *low;
    size_t      i;
    ngx_str_t  *name, *reserved;

    name = &source->name;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z')
            || (ch >= 'a' && ch <= 'z') || ch == '-' || ch == '_' || ch == '.')
        {
            continue;
        }

        return ngx_http_apigw_key_source_invalid(cf, value);
    }

    if (name->len == 0) {
        return ngx_http_apigw_key_source_invalid(cf, value);
    }

    if (source->type != NGX_HTTP_APIGW_KEY_HEADER) {
        return ngx_http_apigw_key_source_variables(cf, source);
    }

    low = ngx_pnalloc(cf->pool, name->len);
    if (low == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(low, name->data, name->len);
    name->data = low;

    for (reserved = ngx_http_apigw_key_reserved; reserved->len; reserved++) {

        if (reserved->len == name->len
            && ngx_memcmp(reserved->data, low, name->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid source \"%V\", nginx needs this header "
                               "itself", value);
            return NGX_ERROR;
        }
    }

    return ngx_http_apigw_key_source_variables(cf, source);
}


static ngx_int_t
ngx_http_apigw_key_source_invalid(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid source \"%V\", it has to be "
                       "\"header=name\", \"bearer\", \"query=name\", "
                       "\"cookie=name\" or a variable", value);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_apigw_key_source_variables(ngx_conf_t *cf,
    ngx_http_apigw_key_source_t *source)
{
    u_char     *p;
    size_t      i;
    ngx_str_t   name, *whole, prefix;
    ngx_int_t   index;

    static ngx_str_t  query[] = {
        ngx_string("request_uri"),
        ngx_string("request"),
        ngx_string("args"),
        ngx_string("query_string"),
        ngx_string("is_args"),
        ngx_null_string
    };

    static ngx_str_t  cookie[] = {
        ngx_string("http_cookie"),
        ngx_null_string
    };

    static ngx_str_t  none = ngx_null_string;

    switch (source->type) {

    case NGX_HTTP_APIGW_KEY_QUERY:
        ngx_str_set(&prefix, "arg_");
        whole = query;
        break;

    case NGX_HTTP_APIGW_KEY_COOKIE:
        ngx_str_set(&prefix, "cookie_");
        whole = cookie;
        break;

    default: /* NGX_HTTP_APIGW_KEY_HEADER, NGX_HTTP_APIGW_KEY_BEARER */
        ngx_str_set(&prefix, "http_");
        whole = &none;
    }

    for ( /* void */ ; whole->len; whole++) {

        index = ngx_http_get_variable_index(cf, whole);
        if (index == NGX_ERROR) {
            return NGX_ERROR;
        }

        source->variables[source->nvariables++] = index;
    }

    name.len = prefix.len + source->name.len;
    name.data = ngx_pnalloc(cf->temp_pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(name.data, prefix.data, prefix.len);

    for (i = 0; i < source->name.len; i++) {
        *p++ = (source->name.data[i] == '-') ? '_' : source->name.data[i];
    }

    index = ngx_http_get_variable_index(cf, &name);
    if (index == NGX_ERROR) {
        return NGX_ERROR;
    }

    source->variables[source->nvariables++] = index;

    return NGX_OK;
}


void
ngx_http_apigw_key_source_warn(ngx_conf_t *cf, ngx_array_t *sources)
{
    ngx_uint_t                    i;
    ngx_http_apigw_key_source_t  *source;

    source = sources->elts;

    for (i = 0; i < sources->nelts; i++) {

        if (source[i].type == NGX_HTTP_APIGW_KEY_HEADER
            && source[i].line
            && ngx_http_apigw_header_warn(cf, &source[i].name,
                                          "auth_api_key_source",
                                          source[i].file, source[i].line))
        {
            source[i].line = 0;
        }
    }
}
