/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_version.h"


/*
 * A request has a context when it comes to a location that publishes an API,
 * and keeps it over internal redirects.  A subrequest has one of its own, since
 * several of them may be under way, for several APIs; but where it is in the
 * API of a request above it and does not name a version in its own URI, as a
 * mirror or a check of access below the same server, it follows that one.
 */


/* what finds the context of a subrequest again: a pool cleanup */

typedef struct {
    ngx_http_request_t              *request;
    ngx_http_apigw_version_ctx_t    *ctx;
} ngx_http_apigw_version_anchor_t;


static ngx_http_apigw_version_anchor_t *ngx_http_apigw_version_anchored(
    ngx_http_request_t *r);
static ngx_http_apigw_version_ctx_t *ngx_http_apigw_version_context(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_apigw_version_itself(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
static void ngx_http_apigw_version_anchor(void *data);


ngx_http_apigw_version_ctx_t *
ngx_http_apigw_version_own_sub(ngx_http_request_t *r)
{
    ngx_http_apigw_version_ctx_t     *ctx;
    ngx_http_apigw_version_anchor_t  *anchor;

    ctx = ngx_http_get_module_ctx(r, ngx_http_apigw_version_module);

    if (ctx) {
        return ctx;
    }

    anchor = ngx_http_apigw_version_anchored(r);

    if (anchor == NULL) {
        return NULL;
    }

    /* an internal redirect has cleared it */

    ngx_http_set_ctx(r, anchor->ctx, ngx_http_apigw_version_module);

    return anchor->ctx;
}


static ngx_http_apigw_version_anchor_t *
ngx_http_apigw_version_anchored(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_apigw_version_anchor_t  *anchor;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_apigw_version_anchor) {
            continue;
        }

        anchor = cln->data;

        if (anchor->request == r) {
            return anchor;
        }
    }

    return NULL;
}


ngx_http_apigw_version_ctx_t *
ngx_http_apigw_version_inherited(ngx_http_request_t *r)
{
    ngx_http_apigw_version_ctx_t  *ctx;

    for ( /* void */ ; r; r = r->parent) {
        ctx = ngx_http_apigw_version_own(r);

        if (ctx && ctx->applied) {
            return ctx;
        }
    }

    return NULL;
}


ngx_http_apigw_version_ctx_t *
ngx_http_apigw_version_enter(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_publish_t *publish)
{
    ngx_int_t                      rc;
    ngx_http_apigw_version_ctx_t  *octx;

    /* a new one: what follows the old one keeps it */

    octx = ctx;

    ctx = ngx_http_apigw_version_context(r);
    if (ctx == NULL) {
        return NULL;
    }

    /* what is not cleared here is set by the decision */

    ngx_memzero(ctx, offsetof(ngx_http_apigw_version_ctx_t, request));

    if (octx && octx->request == r) {
        ctx->refused = octx->refused;

        if (ctx->refused.api == NULL && octx->problem && octx->applied) {

            /* a page of error_page: the call is still one of the first API */

            ngx_http_apigw_version_call(octx, &ctx->refused);
        }
    }

    if (octx || r != r->main) {
        ngx_http_apigw_version_forget(r);
    }

    ctx->request = r;
    ctx->publish = publish;
    ctx->deciding = 1;

    rc = ngx_http_apigw_version_decide(r, ctx, publish);

    ctx->deciding = 0;

    if (rc != NGX_OK) {
        return NULL;
    }

    if (r == r->main || ngx_http_apigw_version_itself(r, ctx)) {
        return ctx;
    }

    octx = ngx_http_apigw_version_inherited(r->parent);

    if (octx == NULL || octx->publish->api != publish->api) {
        return ctx;
    }

    ngx_http_apigw_version_anchored(r)->ctx = octx;
    ngx_http_set_ctx(r, octx, ngx_http_apigw_version_module);

    return octx;
}


/* Allocates a context and has it found; the one of the main request by all. */

static ngx_http_apigw_version_ctx_t *
ngx_http_apigw_version_context(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_apigw_version_ctx_t     *ctx;
    ngx_http_apigw_version_anchor_t  *anchor;

    if (r == r->main) {
        return ngx_http_apigw_alloc_ctx(r, &ngx_http_apigw_version_module,
                                        sizeof(ngx_http_apigw_version_ctx_t));
    }

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_apigw_version_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    anchor = ngx_http_apigw_version_anchored(r);

    if (anchor == NULL) {
        cln = ngx_pool_cleanup_add(r->pool,
                                   sizeof(ngx_http_apigw_version_anchor_t));
        if (cln == NULL) {
            return NULL;
        }

        cln->handler = ngx_http_apigw_version_anchor;

        anchor = cln->data;
        anchor->request = r;
    }

    anchor->ctx = ctx;
    ngx_http_set_ctx(r, ctx, ngx_http_apigw_version_module);

    return ctx;
}


/*
 * Whether a subrequest names a version itself: headers and host are those of
 * its main request, and so is a query that came from there.
 */

static ngx_uint_t
ngx_http_apigw_version_itself(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx)
{
    return ctx->segment.len
           || ctx->component.len
           || ctx->source == NGX_HTTP_APIGW_VERSION_VARIABLE
           || (ctx->in_query && r->args.data != r->main->args.data);
}


void
ngx_http_apigw_version_forget(ngx_http_request_t *r)
{
    ngx_uint_t                           i;
    ngx_http_apigw_version_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_version_module);

    for (i = 0; i < NGX_HTTP_APIGW_VERSION_VARS; i++) {
        r->variables[amcf->index[i]].valid = 0;
        r->variables[amcf->index[i]].not_found = 0;
    }
}


static void
ngx_http_apigw_version_anchor(void *data)
{
    /* only marks where the context is */
}
