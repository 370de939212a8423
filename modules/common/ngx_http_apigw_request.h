/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_REQUEST_H_INCLUDED_
#define _NGX_HTTP_APIGW_REQUEST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_compat.h"


/*
 * A refusal (RFC 9457).  A phase handler fills one in its context and returns
 * ngx_http_apigw_refuse(), that is, the status.  nginx then does what it does
 * with any status: "satisfy any" may still grant, error_page may still
 * answer.  If it comes to nginx's built-in page, the filters put the problem
 * document in its place.
 *
 * The two header fields belong to the refusal and are sent with a page of
 * error_page too, as long as the status is kept.
 */

typedef struct {
    ngx_uint_t       status;       /* 0: nothing was refused */
    ngx_str_t        type;         /* literal URI; empty: "about:blank" */
    ngx_str_t        title;        /* literal text without \ and " */
    ngx_str_t        detail;       /* any text or empty */
    ngx_str_t        members;      /* further members: "a":1,"b":"c" */

    ngx_str_t        authenticate; /* a WWW-Authenticate or empty */
    time_t           retry_after;  /* seconds, 0: none */

    ngx_str_t        body;         /* set by the filters */
    ngx_uint_t       uri_changes;
    unsigned         yields:1;     /* to what another module has to say */
    unsigned         active:1;
    unsigned         sent:1;
} ngx_http_apigw_problem_t;


/* what finds a context again: a pool cleanup, and the context behind it */

typedef struct {
    ngx_module_t            *module;
    ngx_pool_cleanup_t       cln;
} ngx_http_apigw_anchor_t;


#pragma GCC visibility push(hidden)


void *ngx_http_apigw_find_ctx(ngx_http_request_t *r, ngx_module_t *module);
void *ngx_http_apigw_create_ctx(ngx_http_request_t *r, ngx_module_t *module,
    size_t size);
void ngx_http_apigw_anchor(void *data);


/*
 * Marks the request as refused for the reason in pr, whose texts must live as
 * long as the request, and returns pr->status.
 */

ngx_int_t ngx_http_apigw_refuse(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr);


/*
 * To be called by the module's header filter for every response of the main
 * request if pr->status is not 0.  Returns NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_http_apigw_problem_header(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr);


/*
 * To be called by the module's body filter; returns the chain to pass on: the
 * problem document at the first call if it takes the place of in, else in.
 * NGX_CHAIN_ERROR without memory.
 */

ngx_chain_t *ngx_http_apigw_problem_body(ngx_http_request_t *r,
    ngx_http_apigw_problem_t *pr, ngx_chain_t *in);


/*
 * Adds X-RateLimit-Limit, -Remaining and, unless it is negative, -Reset.  A
 * response tells of one limit: if there are such fields already, by another
 * module or a back end, those with less remaining stay, or with the later
 * reset.  Returns NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_http_apigw_limit_fields(ngx_http_request_t *r, uint64_t limit,
    uint64_t remaining, time_t reset);


/* Puts "?" in the place of every byte that is not part of UTF-8. */

void ngx_http_apigw_make_utf8(u_char *start, u_char *last);


/*
 * Sets a variable to text that lives as long as the request, or to "not
 * found" if it is empty.
 */

void ngx_http_apigw_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);


/*
 * Warns, while the configuration is read, of a request header that nginx drops
 * with the settings of this server; returns whether it has.
 */

ngx_uint_t ngx_http_apigw_header_warn(ngx_conf_t *cf, ngx_str_t *name,
    const char *directive, u_char *file, ngx_uint_t line);


#pragma GCC visibility pop


/*
 * The context of a module for a client's request: one for the main request
 * and all its subrequests, which survives internal redirects.
 *
 * ngx_http_apigw_get_ctx() returns NULL if there is none.
 * ngx_http_apigw_create_ctx() returns it zeroed, ngx_http_apigw_alloc_ctx() as
 * it comes; NULL without memory.
 */

static ngx_inline void *
ngx_http_apigw_get_ctx(ngx_http_request_t *r, ngx_module_t *module)
{
    void  *ctx;

    r = r->main;

    ctx = r->ctx[module->ctx_index];

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    return ngx_http_apigw_find_ctx(r, module);
}


/*
 * What ngx_pool_cleanup_add() does, but in one allocation: this is done for
 * nearly every request.
 */

static ngx_inline void *
ngx_http_apigw_alloc_ctx(ngx_http_request_t *r, ngx_module_t *module,
    size_t size)
{
    ngx_http_apigw_anchor_t  *anchor;

    r = r->main;

    anchor = ngx_palloc(r->pool, sizeof(ngx_http_apigw_anchor_t) + size);
    if (anchor == NULL) {
        return NULL;
    }

    anchor->module = module;

    anchor->cln.handler = ngx_http_apigw_anchor;
    anchor->cln.data = anchor;
    anchor->cln.next = r->pool->cleanup;
    r->pool->cleanup = &anchor->cln;

    r->ctx[module->ctx_index] = anchor + 1;

    return anchor + 1;
}


/*
 * Adds a response header field; name is a literal, value lives as long as
 * the request.  Returns NGX_OK or NGX_ERROR.
 */

static ngx_inline ngx_int_t
ngx_http_apigw_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_http_apigw_header_single(h);
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}


#endif /* _NGX_HTTP_APIGW_REQUEST_H_INCLUDED_ */
