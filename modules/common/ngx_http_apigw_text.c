/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_text.h"


#define NGX_HTTP_APIGW_TEXT_WORD  sizeof(uint64_t)
#define NGX_HTTP_APIGW_TEXT_FOLD  0x2020202020202020ULL


static ngx_int_t ngx_http_apigw_text_variable(ngx_str_t *source,
    ngx_str_t *name);
static ngx_uint_t ngx_http_apigw_text_known(ngx_conf_t *cf, ngx_str_t *name);
static ngx_int_t ngx_http_apigw_text_indexed(ngx_http_request_t *r,
    ngx_uint_t index, ngx_str_t *value);
static ngx_uint_t ngx_http_apigw_text_address(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_uint_t ngx_http_apigw_text_field(ngx_http_request_t *r,
    const ngx_http_apigw_text_t *text, ngx_str_t *value);
static ngx_uint_t ngx_http_apigw_text_named(const u_char *name,
    const ngx_http_apigw_text_t *text);


static ngx_inline ngx_uint_t
ngx_http_apigw_text_word(const u_char *name, const u_char *folded)
{
    uint64_t  a, b;

    ngx_memcpy(&a, name, NGX_HTTP_APIGW_TEXT_WORD);
    ngx_memcpy(&b, folded, NGX_HTTP_APIGW_TEXT_WORD);

    return (a | NGX_HTTP_APIGW_TEXT_FOLD) == b;
}


ngx_int_t
ngx_http_apigw_text_compile(ngx_conf_t *cf, ngx_str_t *source,
    ngx_http_apigw_text_t *text)
{
    ngx_str_t                          name;
    ngx_http_compile_complex_value_t   ccv;

    ngx_memzero(text, sizeof(ngx_http_apigw_text_t));
    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = source;
    ccv.complex_value = &text->value;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_ERROR;
    }

    text->index = NGX_ERROR;

    if (ngx_http_apigw_text_variable(&text->value.value, &name) != NGX_OK) {
        return NGX_OK;
    }

    text->index = ngx_http_get_variable_index(cf, &name);

    return text->index == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* Captures, and texts of several parts, need the script: NGX_DECLINED. */

static ngx_int_t
ngx_http_apigw_text_variable(ngx_str_t *source, ngx_str_t *name)
{
    u_char  *p, *last;

    if (source->len < 2 || source->data[0] != '$') {
        return NGX_DECLINED;
    }

    p = source->data + 1;
    last = source->data + source->len;

    if (*p == '{' && last[-1] == '}') {
        p++;
        last--;
    }

    name->data = p;
    name->len = last - p;

    if (p == last || (*p >= '0' && *p <= '9')) {
        return NGX_DECLINED;
    }

    for ( /* void */ ; p < last; p++) {

        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
            || (*p >= '0' && *p <= '9') || *p == '_')
        {
            continue;
        }

        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_text_init(ngx_conf_t *cf, ngx_http_apigw_text_t *text)
{
    u_char                     *p;
    size_t                      i, len;
    ngx_str_t                  *name;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    if (text->index == NGX_ERROR || text->address || text->field.len) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    v = cmcf->variables.elts;
    name = &v[text->index].name;

    if (name->len == sizeof("binary_remote_addr") - 1
        && ngx_strncmp(name->data, "binary_remote_addr", name->len) == 0)
    {
        text->address = 1;
        return NGX_OK;
    }

    len = sizeof("http_") - 1;

    if (name->len <= len || ngx_strncmp(name->data, "http_", len) != 0
        || ngx_http_apigw_text_known(cf, name))
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(cf->pool, name->len - len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->field.data = name->data + len;
    text->field.len = name->len - len;
    text->folded = p;

    for (i = 0; i < text->field.len; i++) {
        p[i] = text->field.data[i];

        if (p[i] == '_') {
            p[i] = '-';
        }
    }

    return NGX_OK;
}


/* Whether a name that begins with "http_" is a variable by itself. */

static ngx_uint_t
ngx_http_apigw_text_known(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_variable_t        *pv;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {

        if (key[i].key.len == name->len
            && ngx_strncmp(key[i].key.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    pv = cmcf->prefix_variables.elts;

    for (i = 0; i < cmcf->prefix_variables.nelts; i++) {

        if (pv[i].name.len != sizeof("http_") - 1
            && pv[i].name.len <= name->len
            && ngx_strncmp(pv[i].name.data, name->data, pv[i].name.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_apigw_text(ngx_http_request_t *r, const ngx_http_apigw_text_t *text,
    ngx_str_t *value)
{
    ngx_http_variable_value_t  *vv;

    if (text->index == NGX_ERROR) {
        return ngx_http_complex_value(r,
                              (ngx_http_complex_value_t *) &text->value, value);
    }

    vv = &r->variables[text->index];

    if (!vv->valid && !vv->not_found) {

        if (text->address && ngx_http_apigw_text_address(r, value)) {
            return NGX_OK;
        }

        if (text->field.len && ngx_http_apigw_text_field(r, text, value)) {
            return NGX_OK;
        }
    }

    return ngx_http_apigw_text_indexed(r, text->index, value);
}


static ngx_int_t
ngx_http_apigw_text_indexed(ngx_http_request_t *r, ngx_uint_t index,
    ngx_str_t *value)
{
    ngx_http_variable_value_t  *vv;

    vv = ngx_http_get_flushed_variable(r, index);

    if (vv == NULL) {
        return NGX_ERROR;
    }

    value->len = vv->not_found ? 0 : vv->len;
    value->data = vv->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_apigw_text_address(ngx_http_request_t *r, ngx_str_t *value)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (r->connection->sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) r->connection->sockaddr;

        value->data = (u_char *) &sin->sin_addr;
        value->len = sizeof(in_addr_t);

        return 1;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;

        value->data = sin6->sin6_addr.s6_addr;
        value->len = sizeof(struct in6_addr);

        return 1;
#endif

    default:
        return 0;
    }
}


/* 0 if there are several fields of the name: what then holds, nginx knows. */

static ngx_uint_t
ngx_http_apigw_text_field(ngx_http_request_t *r,
    const ngx_http_apigw_text_t *text, ngx_str_t *value)
{
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *last, *found;

    found = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (last = h + part->nelts; h < last; h++) {

            if (h->key.len != text->field.len || h->hash == 0
                || !ngx_http_apigw_text_named(h->key.data, text))
            {
                continue;
            }

            if (found) {
                return 0;
            }

            found = h;
        }
    }

    if (found == NULL) {
        ngx_str_null(value);
        return 1;
    }

    *value = found->value;

    return 1;
}


/*
 * Compares as ngx_http_variable_unknown_header() does.  First by words: a bit
 * makes letters small and leaves digits and "-" as they are; what else it
 * would make one of these is no character of a name, but a control.
 */

static ngx_uint_t
ngx_http_apigw_text_named(const u_char *name,
    const ngx_http_apigw_text_t *text)
{
    size_t   i, last;
    u_char   ch;

    if (text->field.len >= NGX_HTTP_APIGW_TEXT_WORD) {
        last = text->field.len - NGX_HTTP_APIGW_TEXT_WORD;

        for (i = 0;
             i < last && ngx_http_apigw_text_word(name + i, text->folded + i);
             i += NGX_HTTP_APIGW_TEXT_WORD)
        {
            /* void */
        }

        if (i >= last
            && ngx_http_apigw_text_word(name + last, text->folded + last))
        {
            return 1;
        }
    }

    for (i = 0; i < text->field.len; i++) {
        ch = name[i];

        if (ch >= 'A' && ch <= 'Z') {
            ch |= 0x20;

        } else if (ch == '-') {
            ch = '_';
        }

        if (ch != text->field.data[i]) {
            return 0;
        }
    }

    return 1;
}
