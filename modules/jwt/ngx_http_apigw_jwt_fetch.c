/*
 * Copyright (C) the apigw authors
 */


/*
 * auth_jwt_key_request: keys by subrequests, one after the other.  The filters
 * take what a subrequest answers and let nothing of it through.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt.h"


#define NGX_HTTP_APIGW_JWT_BODY  16384


static ngx_int_t ngx_http_apigw_jwt_fetch_start(ngx_http_request_t *r,
    ngx_http_apigw_jwt_fetch_t *fetch);
static ngx_int_t ngx_http_apigw_jwt_fetch_headers(ngx_http_request_t *sr);
static ngx_uint_t ngx_http_apigw_jwt_fetch_hides(ngx_table_elt_t *h);
static ngx_int_t ngx_http_apigw_jwt_fetch_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static ngx_int_t ngx_http_apigw_jwt_fetch_take(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_source_t *source,
    ngx_msec_t cache);
static ngx_int_t ngx_http_apigw_jwt_fetch_append(ngx_http_request_t *r,
    ngx_http_apigw_jwt_fetch_t *fetch, u_char *data, size_t len);
static void ngx_http_apigw_jwt_fetch_cleanup(void *data);


static const char  *ngx_http_apigw_jwt_fetch_hidden[] = {
    "Accept-Encoding", "If-Match", "If-Modified-Since", "If-None-Match",
    "If-Range", "If-Unmodified-Since", "Range", NULL
};


/*
 * The keys of the nth source.  NGX_OK, NGX_DECLINED if they cannot be used,
 * NGX_AGAIN if they are not there: with "wait" a subrequest is under way
 * then.  NGX_ABORT if the token is malformed.  Keys that are kept in ctx->fetch
 * have a reference.
 */

ngx_int_t
ngx_http_apigw_jwt_fetch_keys(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_source_t *source,
    ngx_uint_t n, ngx_msec_t cache, ngx_uint_t wait)
{
    ngx_int_t                    rc;
    ngx_str_t                    uri;
    ngx_pool_cleanup_t          *cln;
    ngx_http_apigw_jwt_keys_t   *keys;
    ngx_http_apigw_jwt_fetch_t  *fetch;

    fetch = ctx->fetch;

    if (fetch == NULL) {
        cln = ngx_pool_cleanup_add(r->pool,
                                   sizeof(ngx_http_apigw_jwt_fetch_t));
        if (cln == NULL) {
            return NGX_ERROR;
        }

        fetch = cln->data;
        ngx_memzero(fetch, sizeof(ngx_http_apigw_jwt_fetch_t));

        cln->handler = ngx_http_apigw_jwt_fetch_cleanup;
        ctx->fetch = fetch;
    }

    if (fetch->sets[n]) {
        return NGX_OK;
    }

    if (fetch->subrequest) {

        if (fetch->waiting) {
            return NGX_AGAIN;
        }

        fetch->subrequest = NULL;

        return ngx_http_apigw_jwt_fetch_take(r, ctx, source, cache);
    }

    rc = ngx_http_apigw_jwt_resolve(r, ctx, &source->value, &uri);
    if (rc != NGX_OK) {
        return rc;
    }

    if (source->value.lengths == NULL && cache) {

        keys = ngx_http_apigw_jwt_keys_held(r, &uri, source);
        if (keys == NULL) {
            return NGX_ERROR;
        }

        if (keys->set && ngx_current_msec - keys->checked < cache) {
            fetch->sets[n] = ngx_apigw_jwks_ref(keys->set);
            fetch->generations[n] = keys->generation;
            return NGX_OK;
        }
    }

    /* nobody is asked for the keys of what can be no token */

    if (ngx_http_apigw_jwt_parse(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->header == NULL) {
        return NGX_ABORT;
    }

    if (!wait) {
        return NGX_AGAIN;
    }

    fetch->n = n;
    fetch->uri = uri;

    return ngx_http_apigw_jwt_fetch_start(r, fetch);
}


static ngx_int_t
ngx_http_apigw_jwt_fetch_start(ngx_http_request_t *r,
    ngx_http_apigw_jwt_fetch_t *fetch)
{
    ngx_str_t                    uri, args;
    ngx_uint_t                   flags;
    ngx_http_request_t          *sr;
    ngx_http_post_subrequest_t  *ps;

    uri = fetch->uri;
    ngx_str_null(&args);
    flags = NGX_HTTP_LOG_UNSAFE;

    if (ngx_http_parse_unsafe_uri(r, &uri, &args, &flags) != NGX_OK) {
        return NGX_DECLINED;
    }

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = ngx_http_apigw_jwt_fetch_done;
    ps->data = fetch;

    fetch->len = 0;
    fetch->large = 0;
    fetch->cut = 0;
    fetch->status = 0;

    if (ngx_http_subrequest(r, &uri, &args, &sr, ps,
                            NGX_HTTP_SUBREQUEST_WAITED)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* see auth_request */

    sr->request_body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (sr->request_body == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_apigw_jwt_fetch_headers(sr) != NGX_OK) {
        return NGX_ERROR;
    }

    fetch->subrequest = sr;
    fetch->waiting = 1;

    return NGX_AGAIN;
}


/*
 * A client that accepts compressed answers or a part of one speaks of its own
 * request, not of the keys.
 */

static ngx_int_t
ngx_http_apigw_jwt_fetch_headers(ngx_http_request_t *sr)
{
    ngx_uint_t        i;
    ngx_list_t        headers;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *to;

    if (ngx_list_init(&headers, sr->pool, 20, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &sr->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (ngx_http_apigw_jwt_fetch_hides(&h[i])) {
                continue;
            }

            to = ngx_list_push(&headers);
            if (to == NULL) {
                return NGX_ERROR;
            }

            *to = h[i];
        }
    }

    /* a list knows its last part by address */

    sr->headers_in.headers = headers;

    if (headers.last == &headers.part) {
        sr->headers_in.headers.last = &sr->headers_in.headers.part;
    }

    sr->headers_in.range = NULL;
    sr->headers_in.if_range = NULL;
    sr->headers_in.if_match = NULL;
    sr->headers_in.if_none_match = NULL;
    sr->headers_in.if_modified_since = NULL;
    sr->headers_in.if_unmodified_since = NULL;
#if (NGX_HTTP_GZIP)
    sr->headers_in.accept_encoding = NULL;
#endif

    return NGX_OK;
}


static ngx_uint_t
ngx_http_apigw_jwt_fetch_hides(ngx_table_elt_t *h)
{
    const char  **name;

    for (name = ngx_http_apigw_jwt_fetch_hidden; *name; name++) {

        if (h->key.len == ngx_strlen(*name)
            && ngx_strncasecmp(h->key.data, (u_char *) *name, h->key.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_apigw_jwt_fetch_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_apigw_jwt_fetch_t *fetch = data;

    /* this is called again after the page of an error */

    fetch->waiting = 0;
    fetch->status = r->headers_out.status;
    fetch->encoded = (r->headers_out.content_encoding != NULL);

    /* an answer that was cut short may end well for all that */

    fetch->cut = (rc == NGX_ERROR
                  || (r->headers_out.content_length_n != -1 && !fetch->large
                      && r->headers_out.content_length_n
                         != (off_t) fetch->len));

    if (rc != NGX_ERROR) {
        return rc;
    }

    /* which would end the request without an answer */

    return r->connection->error ? NGX_ERROR : NGX_OK;
}


/* Parses what has come, unless it is what is held already. */

static ngx_int_t
ngx_http_apigw_jwt_fetch_take(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_source_t *source,
    ngx_msec_t cache)
{
    const char                      *text;
    ngx_http_apigw_jwt_keys_t       *keys;
    ngx_http_apigw_jwt_fetch_t      *fetch;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    fetch = ctx->fetch;
    text = NULL;

    if (fetch->status != NGX_HTTP_OK) {
        text = "another status than 200";

    } else if (fetch->cut) {
        text = "the keys are cut short";

    } else if (fetch->encoded) {
        text = "the keys are encoded";

    } else if (fetch->large) {
        text = "the keys are larger than 10 megabytes";
    }

    if (text) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "the JWT key request \"%V\" failed: %s",
                      &fetch->uri, text);
        return NGX_DECLINED;
    }

    keys = ngx_http_apigw_jwt_keys_held(r, &fetch->uri, source);
    if (keys == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_apigw_jwt_keys_parse(keys, fetch->body, fetch->len,
                                      NGX_LOG_ERR, r->connection->log)
        != NGX_OK)
    {
        /* unlike a file, a request has no old keys: it is asked each time */

        if (keys->set == NULL && source->value.lengths) {

            /* clients may make up URIs, which must not push out good ones */

            jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);
            ngx_http_apigw_jwt_keys_drop(jmcf, keys);
        }

        return NGX_DECLINED;
    }

    keys->checked = ngx_current_msec;

    fetch->sets[fetch->n] = ngx_apigw_jwks_ref(keys->set);
    fetch->generations[fetch->n] = keys->generation;

    return NGX_OK;
}


/* Whether a subrequest is one for keys, or belongs to one. */

ngx_uint_t
ngx_http_apigw_jwt_fetch_owns(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx)
{
    if (ctx->fetch == NULL || ctx->fetch->subrequest == NULL) {
        return 0;
    }

    for ( /* void */ ; r; r = r->parent) {
        if (r == ctx->fetch->subrequest) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_apigw_jwt_fetch_body(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_chain_t *in)
{
    ngx_buf_t                   *b;
    ngx_http_apigw_jwt_fetch_t  *fetch;

    fetch = ctx->fetch;

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;

        if (r == fetch->subrequest && ngx_buf_in_memory(b)
            && ngx_http_apigw_jwt_fetch_append(r, fetch, b->pos,
                                               b->last - b->pos)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        b->pos = b->last;
        b->file_pos = b->file_last;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_fetch_append(ngx_http_request_t *r,
    ngx_http_apigw_jwt_fetch_t *fetch, u_char *data, size_t len)
{
    size_t   size;
    u_char  *body;

    if (len > NGX_APIGW_JWKS_SIZE_MAX - fetch->len) {
        fetch->large = 1;
        fetch->len = NGX_APIGW_JWKS_SIZE_MAX;
        return NGX_OK;
    }

    if (len > fetch->size - fetch->len) {

        size = ngx_max(fetch->size * 2, NGX_HTTP_APIGW_JWT_BODY);
        size = ngx_max(size, fetch->len + len);

        body = ngx_palloc(r->pool, size);
        if (body == NULL) {
            return NGX_ERROR;
        }

        if (fetch->body) {
            ngx_memcpy(body, fetch->body, fetch->len);
            (void) ngx_pfree(r->pool, fetch->body);
        }

        fetch->body = body;
        fetch->size = size;
    }

    if (len) {
        ngx_memcpy(fetch->body + fetch->len, data, len);
        fetch->len += len;
    }

    return NGX_OK;
}


/* What another policy had asked for is of no use to the next one. */

void
ngx_http_apigw_jwt_fetch_forget(ngx_http_apigw_jwt_fetch_t *fetch)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_APIGW_JWT_SOURCES; i++) {
        ngx_apigw_jwks_free(fetch->sets[i]);
        fetch->sets[i] = NULL;
    }

    fetch->subrequest = NULL;
}


static void
ngx_http_apigw_jwt_fetch_cleanup(void *data)
{
    ngx_http_apigw_jwt_fetch_forget(data);
}
