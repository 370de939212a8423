/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_KEY_H_INCLUDED_
#define _NGX_HTTP_APIGW_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_helper.h"
#include "ngx_apigw_key_cache.h"
#include "ngx_apigw_key_flush.h"
#include "ngx_apigw_word.h"
#include "ngx_apigw_zone.h"
#include "ngx_http_apigw_request.h"


typedef enum {
    NGX_HTTP_APIGW_KEY_OK = 0,
    NGX_HTTP_APIGW_KEY_MISSING,
    NGX_HTTP_APIGW_KEY_MALFORMED,
    NGX_HTTP_APIGW_KEY_CONFLICT,
    NGX_HTTP_APIGW_KEY_UNKNOWN,
    NGX_HTTP_APIGW_KEY_DECOY,
    NGX_HTTP_APIGW_KEY_DISABLED,
    NGX_HTTP_APIGW_KEY_EARLY,
    NGX_HTTP_APIGW_KEY_EXPIRED,
    NGX_HTTP_APIGW_KEY_ADDRESS,
    NGX_HTTP_APIGW_KEY_SCOPE,
    NGX_HTTP_APIGW_KEY_UNAVAILABLE,
    NGX_HTTP_APIGW_KEY_VERDICTS
} ngx_http_apigw_key_verdict_e;


typedef struct {
    ngx_atomic_t                 verdicts[NGX_HTTP_APIGW_KEY_VERDICTS];
    ngx_atomic_t                 uncounted;    /* uses without a slot */
    ngx_atomic_t                 read_failed;  /* when it was logged */
    ngx_atomic_t                 write_failed;
    ngx_apigw_helper_guard_t     guard;
    ngx_apigw_key_uses_t         uses;
} ngx_http_apigw_key_shared_t;


typedef struct {
    ngx_apigw_zone_t             zone;
    ngx_http_apigw_key_shared_t  *sh;
    ngx_slab_pool_t             *shpool;
    ngx_apigw_word_zone_t        declared;  /* as written */
    ngx_str_t                    prefix;
    ngx_apigw_helper_t           helper;    /* and the store's directory */

    /* private to a process */

    ngx_apigw_key_cache_t       *cache;
    time_t                       checked;   /* when the store was */
    time_t                       swept;     /* when its readers were */
    ngx_apigw_store_t           *used;      /* during a flush */
    ngx_uint_t                   pos;       /* of the flush */
    unsigned                     failed:1;
} ngx_http_apigw_key_zone_t;


typedef struct {
    ngx_array_t                  helpers;   /* ngx_apigw_helper_t * */
    ngx_array_t                  uses;      /* ngx_apigw_zone_use_t */
} ngx_http_apigw_key_main_conf_t;


typedef struct {
    ngx_array_t                 *scopes;    /* ngx_str_t */
    ngx_uint_t                   any;       /* one of them will do */
    u_char                      *file;      /* where it stands */
    ngx_uint_t                   line;
} ngx_http_apigw_key_require_t;


typedef struct {
    ngx_shm_zone_t              *shm_zone;  /* NULL: off */
    ngx_flag_t                   optional;
    ngx_flag_t                   strip;
    time_t                       announce;  /* expiry, so long before */
    ngx_array_t                 *sources;   /* ngx_http_apigw_key_source_t */
    ngx_array_t                 *requires;  /* ngx_http_apigw_key_require_t */
    ngx_http_complex_value_t   **messages;  /* by verdict, or NULL */
    ngx_str_t                    realm;
    ngx_str_t                    challenge[2];  /* no key, a wrong key */
} ngx_http_apigw_key_loc_conf_t;


typedef struct {
    ngx_http_apigw_problem_t     problem;

    ngx_http_apigw_key_zone_t   *zone;      /* of the verdict */
    ngx_http_apigw_key_zone_t   *searched;  /* whose prefix, and where, */
    ngx_array_t                 *sources;   /* the key was looked for */
    ngx_uint_t                   found;     /* a bit for each */
    ngx_str_t                    key;
    ngx_apigw_key_entry_t       *entry;     /* of a valid key only */
    ngx_http_apigw_key_verdict_e  verdict;

    unsigned                     conflict:1;
    unsigned                     stripped:1;
    unsigned                     decided:1;
    unsigned                     counted:1;
    unsigned                     address:1;   /* judged by the address */
    unsigned                     reached:1;   /* the handler */
} ngx_http_apigw_key_ctx_t;


extern ngx_module_t  ngx_http_apigw_key_module;


#pragma GCC visibility push(hidden)


/* "missing", "expired", ... */

extern ngx_str_t  ngx_http_apigw_key_verdicts[];


/*
 * Gives the verdict on the request in its present location, once for a zone
 * and its sources.  In a location without a zone an earlier verdict holds;
 * without any NGX_DECLINED is returned, NGX_ERROR without memory.
 */

ngx_int_t ngx_http_apigw_key_authenticate(ngx_http_request_t *r,
    ngx_http_apigw_key_ctx_t **ctxp);


/* The zone and its store. */

char *ngx_http_apigw_key_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Opens the store if need be.  Returns NULL if it cannot be read; this and
 * errors of the store are logged once a minute.
 */

ngx_apigw_key_cache_t *ngx_http_apigw_key_get_cache(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone);
void ngx_http_apigw_key_store_error(ngx_http_request_t *r,
    ngx_http_apigw_key_zone_t *zone, int rc);

/* counts a verdict, and with an accepted key its use */

void ngx_http_apigw_key_count(ngx_http_request_t *r,
    ngx_http_apigw_key_ctx_t *ctx, ngx_http_apigw_key_verdict_e verdict);


/* The scopes that a location requires. */

char *ngx_http_apigw_key_require(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* refuses what is required where no key is asked for; before the merge */

char *ngx_http_apigw_key_check_require(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *prev, ngx_http_apigw_key_loc_conf_t *conf);

/* the first requirement that is not met, or NULL */

ngx_http_apigw_key_require_t *ngx_http_apigw_key_lacks(
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_apigw_key_record_t *rec);

/* fills the text of the refusal; returns NGX_OK or NGX_ERROR */

ngx_int_t ngx_http_apigw_key_explain(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_problem_t *pr,
    ngx_http_apigw_key_require_t *require, ngx_apigw_key_record_t *rec);


/* What a request is told that is refused. */

char *ngx_http_apigw_key_realm(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_key_message(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_apigw_key_make_challenges(ngx_conf_t *cf,
    ngx_http_apigw_key_loc_conf_t *conf);

/* refuses for ctx->verdict; require is that of a missing scope, or NULL */

ngx_int_t ngx_http_apigw_key_refuse(ngx_http_request_t *r,
    ngx_http_apigw_key_loc_conf_t *lcf, ngx_http_apigw_key_ctx_t *ctx,
    ngx_http_apigw_key_require_t *require);


/* What is known about the caller, as variables. */

ngx_int_t ngx_http_apigw_key_add_variables(ngx_conf_t *cf);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_APIGW_KEY_H_INCLUDED_ */
