/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_FETCH_H_INCLUDED_
#define _NGX_APIGW_FETCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Fetches a key set over HTTPS, by its address or by OpenID discovery, without
 * ever waiting: the caller comes back until it is done.  For the helper
 * process only.
 *
 * The certificate is verified, against the system's authorities or a file;
 * nothing but https is spoken; a redirect is followed within the same scheme,
 * host and port only; time and size are bounded; nothing is read from the
 * environment.  A discovery document is believed only if its "issuer" is
 * exactly the one that was asked for.
 *
 * Uses nothing of nginx but its types; memory is malloc()'s.
 */


#define NGX_APIGW_FETCH_SIZE_MAX   (1024 * 1024)
#define NGX_APIGW_FETCH_ERROR      512
#define NGX_APIGW_FETCH_URL_MAX    2048


typedef struct ngx_apigw_fetcher_s  ngx_apigw_fetcher_t;
typedef struct ngx_apigw_fetch_s    ngx_apigw_fetch_t;


/* All NUL-terminated; empty or NULL for "none". */

typedef struct {
    const char              *issuer;    /* of tokens and of the document */
    const char              *jwks;      /* NULL: by discovery */
    const char              *ca;
    const char              *proxy;
    ngx_msec_t               timeout;   /* of the whole */
} ngx_apigw_fetch_conf_t;


typedef struct {
    u_char                  *data;      /* the key set, not looked at */
    size_t                   len;
    ngx_int_t                max_age;   /* seconds of Cache-Control, -1 */
    char                     error[NGX_APIGW_FETCH_ERROR];
} ngx_apigw_fetch_result_t;


#pragma GCC visibility push(hidden)


/* One for each process; NULL without memory. */

ngx_apigw_fetcher_t *ngx_apigw_fetcher_create(void);
void ngx_apigw_fetcher_free(ngx_apigw_fetcher_t *fetcher);


/* Begins; NULL without memory. */

ngx_apigw_fetch_t *ngx_apigw_fetch_start(ngx_apigw_fetcher_t *fetcher,
    const ngx_apigw_fetch_conf_t *conf);


/*
 * Moves all fetches on, waiting for the network up to that many milliseconds.
 */

void ngx_apigw_fetch_poll(ngx_apigw_fetcher_t *fetcher, ngx_msec_t wait);


/*
 * NGX_AGAIN while it is under way; then NGX_OK or NGX_ERROR with the result,
 * which is valid until ngx_apigw_fetch_free(); that may be called at any time.
 */

ngx_int_t ngx_apigw_fetch_done(ngx_apigw_fetch_t *fetch,
    ngx_apigw_fetch_result_t **result);
void ngx_apigw_fetch_free(ngx_apigw_fetch_t *fetch);


/*
 * Whether it is a URL that may be fetched: https, a host, no user, no
 * fragment, no blanks or control characters.
 */

ngx_uint_t ngx_apigw_fetch_url(const u_char *url, size_t len);


/*
 * What a discovery document says of the address of the key set, in url of
 * NGX_APIGW_FETCH_URL_MAX bytes.  NGX_ERROR with a text if the document is not
 * one, or of another issuer.
 */

ngx_int_t ngx_apigw_fetch_discover(const u_char *data, size_t len,
    const char *issuer, char *url, char *error);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_FETCH_H_INCLUDED_ */
