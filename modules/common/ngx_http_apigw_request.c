/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_request.h"


#define NGX_HTTP_APIGW_PROBLEM_TYPE  "application/problem+json"

#define NGX_HTTP_APIGW_REMAINING  1
#define NGX_HTTP_APIGW_RESET      2


static ngx_uint_t ngx_http_apigw_problem_shown(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr);
static ngx_uint_t ngx_http_apigw_problem_told(ngx_http_request_t *r);
static ngx_int_t ngx_http_apigw_problem_body_create(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr);
static ngx_uint_t ngx_http_apigw_limit_tighter(ngx_http_request_t *r,
    uint64_t remaining, time_t reset);
static ngx_table_elt_t *ngx_http_apigw_find_field(ngx_http_request_t *r,
    ngx_str_t *name);


static ngx_str_t  ngx_http_apigw_about_blank = ngx_string("about:blank");


static ngx_str_t  ngx_http_apigw_limit_names[] = {
    ngx_string("X-RateLimit-Limit"),
    ngx_string("X-RateLimit-Remaining"),
    ngx_string("X-RateLimit-Reset")
};


/* An internal redirect has cleared the contexts, see realip. */

void *
ngx_http_apigw_find_ctx(ngx_http_request_t *r, ngx_module_t *module)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_apigw_anchor_t  *anchor;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_apigw_anchor) {
            continue;
        }

        anchor = cln->data;

        if (anchor->module == module) {
            r->ctx[module->ctx_index] = anchor + 1;
            return anchor + 1;
        }
    }

    return NULL;
}


/*
 * Not in line: where the size is known compilers clear that much word by word,
 * which takes longer than memset().
 */

void *
ngx_http_apigw_create_ctx(ngx_http_request_t *r, ngx_module_t *module,
    size_t size)
{
    void  *ctx;

    ctx = ngx_http_apigw_alloc_ctx(r, module, size);

    if (ctx) {
        ngx_memzero(ctx, size);
    }

    return ctx;
}


void
ngx_http_apigw_anchor(void *data)
{
    /* only marks where the context is */
}


ngx_int_t
ngx_http_apigw_refuse(ngx_http_request_t *r, ngx_http_apigw_problem_t *pr)
{
    pr->uri_changes = r->uri_changes;
    pr->active = 0;
    pr->sent = 0;
    pr->body.len = 0;

    return pr->status;
}


/*
 * Whether this is nginx's built-in page for the refused request itself: a
 * page of error_page comes after a change of the URI.
 */

static ngx_uint_t
ngx_http_apigw_problem_shown(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr)
{
    return r == r->main && r->uri_changes == pr->uri_changes;
}


/*
 * Whether another module has made its document already.  With "satisfy any" a
 * request is refused by several, and that there is no credential of one kind
 * matters less than what is wrong with the one that there is.
 */

static ngx_uint_t
ngx_http_apigw_problem_told(ngx_http_request_t *r)
{
    size_t  len;

    len = sizeof(NGX_HTTP_APIGW_PROBLEM_TYPE) - 1;

    return r->headers_out.content_type.len == len
           && ngx_memcmp(r->headers_out.content_type.data,
                         NGX_HTTP_APIGW_PROBLEM_TYPE, len)
              == 0;
}


ngx_int_t
ngx_http_apigw_problem_header(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr)
{
    u_char     *p;
    ngx_str_t   value;

    /* a back end that answers with the same status sets no err_status */

    if (r->err_status != pr->status || r->headers_out.status != pr->status) {
        return NGX_OK;
    }

    if (pr->authenticate.len
        && ngx_http_apigw_add_header(r, "WWW-Authenticate", &pr->authenticate)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (pr->retry_after > 0) {
        p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;
        value.len = ngx_sprintf(p, "%T", pr->retry_after) - p;

        if (ngx_http_apigw_add_header(r, "Retry-After", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!ngx_http_apigw_problem_shown(r, pr)
        || (pr->yields && ngx_http_apigw_problem_told(r)))
    {
        return NGX_OK;
    }

    if (ngx_http_apigw_problem_body_create(r, pr) != NGX_OK) {
        return NGX_ERROR;
    }

    pr->active = 1;

    ngx_str_set(&r->headers_out.content_type, NGX_HTTP_APIGW_PROBLEM_TYPE);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = pr->body.len;

    return NGX_OK;
}


ngx_chain_t *
ngx_http_apigw_problem_body(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr, ngx_chain_t *in)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (!pr->active || in == NULL || r != r->main) {
        return in;
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    if (pr->sent) {
        return NULL;
    }

    pr->sent = 1;

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_CHAIN_ERROR;
    }

    b->pos = pr->body.data;
    b->last = b->pos + pr->body.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    return cl;
}


static ngx_int_t
ngx_http_apigw_problem_body_create(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr)
{
    size_t      len;
    u_char     *p, *last;
    ngx_str_t  *type;

    type = pr->type.len ? &pr->type : &ngx_http_apigw_about_blank;

    len = sizeof("{\"type\":\"\",\"title\":\"\",\"status\":,"
                 "\"detail\":\"\",}" CRLF)
          + type->len + pr->title.len + NGX_INT_T_LEN
          + pr->detail.len
          + ngx_escape_json(NULL, pr->detail.data, pr->detail.len)
          + pr->members.len;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    pr->body.data = p;

    p = ngx_sprintf(p, "{\"type\":\"%V\",\"title\":\"%V\",\"status\":%ui",
                    type, &pr->title, pr->status);

    if (pr->detail.len) {
        p = ngx_cpymem(p, ",\"detail\":\"", sizeof(",\"detail\":\"") - 1);
        last = (u_char *) ngx_escape_json(p, pr->detail.data, pr->detail.len);

        /* JSON is UTF-8, what came from a client may not be */

        ngx_http_apigw_make_utf8(p, last);

        p = last;
        *p++ = '"';
    }

    if (pr->members.len) {
        *p++ = ',';
        p = ngx_cpymem(p, pr->members.data, pr->members.len);
    }

    *p++ = '}';
    *p++ = LF;

    pr->body.len = p - pr->body.data;

    return NGX_OK;
}


ngx_int_t
ngx_http_apigw_limit_fields(ngx_http_request_t *r, uint64_t limit,
    uint64_t remaining, time_t reset)
{
    u_char           *p;
    uint64_t          numbers[3];
    ngx_str_t         value, *name;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    if (ngx_http_apigw_limit_tighter(r, remaining, reset)) {
        return NGX_OK;
    }

    numbers[0] = limit;
    numbers[NGX_HTTP_APIGW_REMAINING] = remaining;
    numbers[NGX_HTTP_APIGW_RESET] = (uint64_t) reset;

    p = ngx_pnalloc(r->pool, 3 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < 3; i++) {
        name = &ngx_http_apigw_limit_names[i];

        while ((h = ngx_http_apigw_find_field(r, name)) != NULL) {
            h->hash = 0;
        }

        if (i == NGX_HTTP_APIGW_RESET && reset < 0) {
            break;
        }

        value.data = p;
        p = ngx_sprintf(p, "%uL", numbers[i]);
        value.len = p - value.data;

        if (ngx_http_apigw_add_header(r, (char *) name->data, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Whether what the response has already is as near to its end, or nearer. */

static ngx_uint_t
ngx_http_apigw_limit_tighter(ngx_http_request_t *r, uint64_t remaining,
    time_t reset)
{
    time_t            later;
    ngx_int_t         n;
    ngx_table_elt_t  *h;

    h = ngx_http_apigw_find_field(r,
                       &ngx_http_apigw_limit_names[NGX_HTTP_APIGW_REMAINING]);
    if (h == NULL) {
        return 0;
    }

    n = ngx_atoi(h->value.data, h->value.len);

    if (n == NGX_ERROR || (uint64_t) n != remaining) {
        return n != NGX_ERROR && (uint64_t) n < remaining;
    }

    /* without a reset it is for good */

    h = ngx_http_apigw_find_field(r,
                           &ngx_http_apigw_limit_names[NGX_HTTP_APIGW_RESET]);
    if (h == NULL) {
        return 1;
    }

    later = ngx_atotm(h->value.data, h->value.len);

    return reset >= 0 && later >= reset;
}


static ngx_table_elt_t *
ngx_http_apigw_find_field(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash && h[i].key.len == name->len
                && ngx_strncasecmp(h[i].key.data, name->data, name->len) == 0)
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


void
ngx_http_apigw_make_utf8(u_char *start, u_char *last)
{
    u_char    *p;
    uint32_t   code;

    while (start < last) {
        p = start;

        if (*p < 0x80) {
            start++;
            continue;
        }

        code = ngx_utf8_decode(&start, last - p);

        if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            *p = '?';
            start = p + 1;
        }
    }
}


void
ngx_http_apigw_variable_set(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value->len == 0) {
        v->valid = 0;
        v->no_cacheable = 0;
        v->not_found = 1;
        return;
    }

    v->data = value->data;
    v->len = value->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}


ngx_uint_t
ngx_http_apigw_header_warn(ngx_conf_t *cf, ngx_str_t *name,
    const char *directive, u_char *file, ngx_uint_t line)
{
    u_char                    *last;
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    if (!cscf->ignore_invalid_headers) {
        return 0;
    }

    last = name->data + name->len;

    if (ngx_strlchr(name->data, last, '.') == NULL
        && (cscf->underscores_in_headers
            || ngx_strlchr(name->data, last, '_') == NULL))
    {
        return 0;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "header \"%V\" of \"%s\" is ignored by nginx, see "
                  "\"underscores_in_headers\" and "
                  "\"ignore_invalid_headers\", in %s:%ui",
                  name, directive, file, line);

    return 1;
}
