/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_JWT_ISSUER_H_INCLUDED_
#define _NGX_HTTP_APIGW_JWT_ISSUER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_jwk.h"
#include "ngx_http_apigw_jwt_zone.h"


/*
 * auth_jwt_issuer name { ... }: an OpenID provider, or anybody who publishes
 * a key set over HTTPS.  The helper fetches, the zone keeps the text, every
 * worker parses it once a generation.
 */


typedef struct ngx_http_apigw_jwt_issuer_s  ngx_http_apigw_jwt_issuer_t;


struct ngx_http_apigw_jwt_issuer_s {
    ngx_str_t                    name;
    ngx_str_t                    url;          /* what "iss" has to be */
    ngx_str_t                    jwks;         /* empty: by discovery */
    ngx_array_t                 *audience;     /* ngx_str_t, NULL: not said */
    ngx_apigw_jwa_t              algorithms;   /* 0: not said */
    ngx_str_t                    type;         /* "at+jwt"; empty: not said */
    ngx_array_t                 *consumer;     /* ngx_str_t, path of claims */
    ngx_array_t                 *plan;         /* the same */
    time_t                       max_age;      /* of "iat"; 0: not said */
    time_t                       leeway;       /* NGX_CONF_UNSET: not said */

    time_t                       refresh;
    time_t                       cooldown;
    time_t                       stale;
    time_t                       timeout;
    ngx_str_t                    ca;           /* file; empty: the system's */
    ngx_str_t                    proxy;

    ngx_str_t                    zone_name;    /* empty: the only zone */
    ngx_http_apigw_jwt_zone_t   *zone;
    u_char                       id[NGX_APIGW_JWT_ISSUER_ID];
    ngx_http_apigw_jwt_issuer_t  *twin;        /* fetches for this one too */
    u_char                      *file;         /* where it was defined */
    ngx_uint_t                   line;

    /* private to a process */

    ngx_http_apigw_jwt_keyset_t  *keyset;
    ngx_apigw_jwks_t            *keys;
    uint64_t                     generation;   /* of keys */
    time_t                       loaded;       /* when the store was asked */
    ngx_apigw_fetch_t           *fetch;        /* under way, in the helper */
};


#pragma GCC visibility push(hidden)


/* The setter of the block auth_jwt_issuer (main conf offset, BLOCK|TAKE1). */

char *ngx_http_apigw_jwt_issuer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* For merge: the issuer of that name, NULL if there is none. */

ngx_http_apigw_jwt_issuer_t *ngx_http_apigw_jwt_issuer_get(
    ngx_http_apigw_jwt_zones_t *zones, const ngx_str_t *name);


/*
 * The one of the issuers of a location (ngx_http_apigw_jwt_issuer_t *) whose
 * url is exactly this "iss"; NULL if there is none.
 */

ngx_http_apigw_jwt_issuer_t *ngx_http_apigw_jwt_issuer_find(
    const ngx_array_t *issuers, const ngx_str_t *iss);


/*
 * The generation of the keys with which tokens of this issuer are verified
 * now: 0 if there are none, or if they are older than "stale" allows.  A few
 * loads; for the id of a cached token, in which those of all the issuers of a
 * location are mixed.
 */

uint64_t ngx_http_apigw_jwt_issuer_generation(
    ngx_http_apigw_jwt_issuer_t *issuer);


/*
 * The current keys, which stay valid until the next call in this process;
 * NULL if there are none, which is logged once a minute.
 */

ngx_apigw_jwks_t *ngx_http_apigw_jwt_issuer_keys(
    ngx_http_apigw_jwt_issuer_t *issuer, ngx_log_t *log);


/*
 * To be called for a token whose key is not among the keys, or if there are
 * no keys: asks for a fetch and returns for Retry-After in how many seconds
 * it might be done, at least 1.
 */

time_t ngx_http_apigw_jwt_issuer_unknown(ngx_http_apigw_jwt_issuer_t *issuer);


/* For zone.c: binds the issuers to their zones; the work of the helper. */

ngx_int_t ngx_http_apigw_jwt_issuers_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_zones_t *zones);
ngx_int_t ngx_http_apigw_jwt_issuers_step(ngx_http_apigw_jwt_zone_t *zone,
    ngx_log_t *log);
void ngx_http_apigw_jwt_issuers_cleanup(ngx_http_apigw_jwt_zone_t *zone);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_APIGW_JWT_ISSUER_H_INCLUDED_ */
