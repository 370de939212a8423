/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_JWT_H_INCLUDED_
#define _NGX_HTTP_APIGW_JWT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <jansson.h>

#include "ngx_apigw_claims.h"
#include "ngx_apigw_jwk.h"
#include "ngx_apigw_jws.h"
#include "ngx_http_apigw_jwt_issuer.h"
#include "ngx_http_apigw_jwt_zone.h"
#include "ngx_http_apigw_request.h"


#define NGX_HTTP_APIGW_JWT_SOURCES  16      /* of keys, in a location */
#define NGX_HTTP_APIGW_JWT_NONE     ((ngx_uint_t) -1)


/*
 * A file that is looked at once a second, or the answer of a subrequest:
 * keys, or a list of what is revoked.  All but what names it is private to a
 * process.
 */

typedef struct {
    ngx_str_t                    name;       /* a path, or a URI */
    ngx_apigw_jwks_format_e      format;
    unsigned                     list:1;     /* of revocations, not keys */
    unsigned                     request:1;  /* not a file */

    ngx_apigw_jwks_t            *set;
    json_t                      *revoked;
    uint64_t                     generation; /* changes with the content */
    ngx_atomic_t                *taken;      /* shared: the generation that was
                                                taken last; of fixed names */

    unsigned                     failed:1;   /* at the last look */
    ngx_msec_t                   checked;
    ngx_uint_t                   used;       /* when, for what is evicted */
    time_t                       looked;
    struct timespec              mtime;
    off_t                        size;
    ino_t                        inode;
} ngx_http_apigw_jwt_keys_t;


/* auth_jwt_key_file, auth_jwt_key_request */

typedef struct {
    ngx_http_complex_value_t     value;
    ngx_apigw_jwks_format_e      format;
    unsigned                     request:1;
    ngx_http_apigw_jwt_keys_t   *keys;       /* of a file without variables */

    /* private to a process: when it was logged */

    ngx_atomic_t                 unread;     /* that a file cannot be read */
    ngx_atomic_t                 unnamed;    /* that a name is none */
} ngx_http_apigw_jwt_source_t;


/*
 * What a token is verified by: equal policies are one, so that a token that
 * was verified in one location is known in all that ask for the same.
 */

typedef struct {
    uint64_t                     id;
    ngx_array_t                 *sources;    /* ngx_http_apigw_jwt_source_t */
    ngx_array_t                 *issuers;    /* ngx_http_apigw_jwt_issuer_t * */
    ngx_array_t                 *audience;   /* ngx_str_t */
    ngx_apigw_jwa_t              algorithms;
    time_t                       leeway;
    ngx_flag_t                   validate_exp;
    ngx_array_t                 *revoked_sub;  /* .._keys_t * */
    ngx_array_t                 *revoked_kid;

    /* slots, by number of the issuer, the last one for keys without issuer */

    ngx_uint_t                  *consumer;
    ngx_uint_t                  *plan;
} ngx_http_apigw_jwt_policy_t;


/*
 * A value of tokens that the configuration uses.  The values of a token are
 * taken from it once, when it is verified, and are kept with the verdict.
 * The first ones are those by which a token may be revoked.
 */

typedef enum {
    NGX_HTTP_APIGW_JWT_TEXT = 0,  /* as a variable has it */
    NGX_HTTP_APIGW_JWT_RAW,       /* the same, whatever is in it */
    NGX_HTTP_APIGW_JWT_JSON,      /* to be compared later */
    NGX_HTTP_APIGW_JWT_RULE,      /* whether a constant rule is met */
    NGX_HTTP_APIGW_JWT_SCOPES,    /* whether it has the scopes */
    NGX_HTTP_APIGW_JWT_OWNER      /* the issuer, its number in the policy */
} ngx_http_apigw_jwt_slot_e;


#define NGX_HTTP_APIGW_JWT_VALUE_OWNER  NGX_HTTP_APIGW_JWT_VALUES


typedef struct {
    ngx_http_apigw_jwt_slot_e    type;
    ngx_uint_t                   header;     /* of the JOSE header */
    ngx_apigw_claims_path_t      path;
    void                        *data;       /* the rule, the scopes */
} ngx_http_apigw_jwt_slot_t;


/* Of a directive that is looked at when all is read. */

typedef struct {
    u_char                      *file;
    ngx_uint_t                   number;
} ngx_http_apigw_jwt_line_t;


/* auth_jwt_require, auth_require */

typedef struct {
    ngx_array_t                  values;     /* ngx_http_complex_value_t */
    ngx_uint_t                   status;
} ngx_http_apigw_jwt_require_t;


/* auth_jwt_require_claim, auth_jwt_require_header */

typedef struct {
    ngx_uint_t                   header;
    ngx_str_t                    name;
    ngx_http_apigw_jwt_line_t    line;
    ngx_apigw_claims_test_t      test;
    json_t                      *expected;   /* if it is constant */
    ngx_http_complex_value_t    *value;      /* else */
    ngx_uint_t                   json;       /* the value is */
#if (NGX_PCRE)
    ngx_regex_t                 *regex;      /* of "match" */
#endif
    ngx_uint_t                   slot;       /* set by merge */
} ngx_http_apigw_jwt_rule_t;


/* auth_jwt_scope */

typedef struct {
    ngx_array_t                  scopes;     /* ngx_str_t */
    ngx_str_t                    text;       /* with spaces between them */
    ngx_uint_t                   any;
    ngx_uint_t                   slot;
} ngx_http_apigw_jwt_scope_t;


/* auth_jwt_allow_nested */

typedef struct {
    ngx_str_t                    delimiter;
    ngx_str_t                    quote;
} ngx_http_apigw_jwt_nested_t;


/* A variable of auth_jwt_claim_set or auth_jwt_header_set, or one that is. */

typedef struct {
    unsigned                     header:1;
    unsigned                     foretold:1; /* $jwt_claim_NAME, .._header_.. */
    ngx_array_t                  names;      /* ngx_str_t */
    ngx_http_apigw_jwt_line_t    line;
    ngx_uint_t                  *slots;      /* by lcf->nested */
} ngx_http_apigw_jwt_set_t;


typedef struct {
    ngx_http_apigw_jwt_zones_t   zones;      /* and issuers */
    ngx_array_t                  slots;      /* ngx_http_apigw_jwt_slot_t */
    ngx_array_t                  policies;   /* .._policy_t * */
    ngx_array_t                  files;      /* .._keys_t *, fixed names */
    ngx_array_t                  sets;       /* .._set_t * */
    ngx_array_t                  nesteds;    /* .._nested_t, from number 1 on */

    uint64_t                     cycle;      /* random, in each policy's id */
    unsigned                     consumer:1; /* the variables are used */
    unsigned                     plan:1;
    unsigned                     cached:1;   /* auth_jwt_cache is */

    /* private to a process */

    ngx_array_t                 *held;       /* .._keys_t, by variables */
    ngx_uint_t                   uses;
    ngx_apigw_jws_verifier_t    *verifier;
    ngx_event_t                  timer;
    ngx_connection_t             dumb;       /* of the timer */
} ngx_http_apigw_jwt_main_conf_t;


typedef struct {
    ngx_http_complex_value_t    *realm;      /* NULL: off */
    ngx_http_apigw_jwt_line_t    line;       /* of auth_jwt */
    ngx_int_t                    token;      /* index of a variable */
    ngx_uint_t                   place;      /* what kind of variable it is */
    ngx_str_t                    place_name;
    ngx_array_t                 *issuers;    /* ngx_str_t, names */
    ngx_array_t                 *sources;    /* ngx_http_apigw_jwt_source_t */
    ngx_http_apigw_jwt_line_t    sources_line;
    ngx_str_t                    needs;      /* the first directive of a level
                                                that wants auth_jwt */
    ngx_http_apigw_jwt_line_t    needs_line;
    ngx_array_t                 *audience;
    ngx_apigw_jwa_t              algorithms;
    time_t                       leeway;
    ngx_flag_t                   validate_exp;
    ngx_msec_t                   key_cache;
    ngx_uint_t                   type;
    ngx_uint_t                   phase;

    ngx_http_apigw_jwt_policy_t  *policy;    /* NULL: off, or no keys */

    ngx_str_t                    cache_name;
    ngx_http_apigw_jwt_line_t    cache_line;
    ngx_flag_t                   cache;
    time_t                       cache_max;  /* 0: as long as the token */
    ngx_http_apigw_jwt_zone_t   *zone;       /* of cache, counters and
                                                revocations, or NULL */

    ngx_array_t                 *requires;   /* ngx_http_apigw_jwt_require_t */
    ngx_array_t                 *generals;   /* the same, of auth_require */
    ngx_array_t                 *rules;      /* ngx_http_apigw_jwt_rule_t * */
    ngx_array_t                 *scopes;     /* ngx_http_apigw_jwt_scope_t * */
    ngx_array_t                 *revoked_sub;  /* .._keys_t * */
    ngx_array_t                 *revoked_kid;

    ngx_uint_t                   nested;     /* number, 0: none */
    ngx_uint_t                   challenge;
    ngx_http_complex_value_t    *www_authenticate;
    ngx_http_complex_value_t    *resource_metadata;
    ngx_str_t                    metadata;   /* the document, with its length */
} ngx_http_apigw_jwt_loc_conf_t;


#define NGX_HTTP_APIGW_JWT_ELSEWHERE   0    /* auth_jwt token= */
#define NGX_HTTP_APIGW_JWT_HEADER      1
#define NGX_HTTP_APIGW_JWT_COOKIE      2
#define NGX_HTTP_APIGW_JWT_ARGUMENT    3

#define NGX_HTTP_APIGW_JWT_SIGNED      0    /* auth_jwt_type */

#define NGX_HTTP_APIGW_JWT_ACCESS      0    /* auth_jwt_phase */
#define NGX_HTTP_APIGW_JWT_PREACCESS   1

#define NGX_HTTP_APIGW_JWT_CHALLENGE   0    /* auth_jwt_www_authenticate */
#define NGX_HTTP_APIGW_JWT_SILENT      1
#define NGX_HTTP_APIGW_JWT_OWN         2


/* The answers of key requests, while a request waits for them. */

typedef struct {
    ngx_apigw_jwks_t            *sets[NGX_HTTP_APIGW_JWT_SOURCES];
    uint64_t                     generations[NGX_HTTP_APIGW_JWT_SOURCES];
    ngx_http_request_t          *subrequest;
    ngx_uint_t                   n;          /* of the source that it is for */
    ngx_str_t                    uri;
    u_char                      *body;
    size_t                       len;
    size_t                       size;
    ngx_uint_t                   status;
    unsigned                     waiting:1;
    unsigned                     cut:1;
    unsigned                     encoded:1;
    unsigned                     large:1;
} ngx_http_apigw_jwt_fetch_t;


typedef struct {
    ngx_http_apigw_problem_t     problem;

    ngx_http_apigw_jwt_policy_t  *policy;    /* of the verdict */
    ngx_int_t                    source;     /* of the token, as lcf->token */
    ngx_str_t                    token;
    ngx_http_apigw_jwt_verdict_e  verdict;   /* on the token */
    ngx_http_apigw_jwt_verdict_e  outcome;   /* on the request */
    const char                  *why;        /* for the log, or NULL */
    ngx_str_t                   *values;     /* of a valid token only, of
                                                the slots */
    json_t                      *claims;     /* parsed for unforeseen names */
    json_t                      *header;
    ngx_http_apigw_jwt_fetch_t  *fetch;
    time_t                       retry_after;

    unsigned                     decided:1;
    unsigned                     conflict:1;
    unsigned                     parsed:1;
    unsigned                     cleanup:1;    /* of what was parsed */
    unsigned                     resolving:1;  /* the place of the keys */
    unsigned                     told:1;       /* by the token meanwhile */
    unsigned                     counted:1;
} ngx_http_apigw_jwt_ctx_t;


extern ngx_module_t  ngx_http_apigw_jwt_module;


static ngx_inline uint64_t
ngx_http_apigw_jwt_mix(uint64_t sum, uint64_t n)
{
    sum = (sum ^ n) * 0x9e3779b97f4a7c15ULL;

    return sum ^ (sum >> 32);
}


static ngx_inline void
ngx_http_apigw_jwt_line(ngx_conf_t *cf, ngx_http_apigw_jwt_line_t *line)
{
    line->file = cf->conf_file->file.name.data;
    line->number = cf->conf_file->line;
}


/* What a location requires of tokens is worth nothing if none is asked for. */

static ngx_inline void
ngx_http_apigw_jwt_needs(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_apigw_jwt_loc_conf_t *lcf)
{
    if (lcf->needs.len == 0) {
        lcf->needs = cmd->name;
        ngx_http_apigw_jwt_line(cf, &lcf->needs_line);
    }
}


#pragma GCC visibility push(hidden)


/* "missing", "expired", ... */

extern ngx_str_t  ngx_http_apigw_jwt_verdicts[];


/* Keys and lists from files. */

ngx_http_apigw_jwt_keys_t *ngx_http_apigw_jwt_keys_add(ngx_conf_t *cf,
    ngx_str_t *name, ngx_apigw_jwks_format_e format, ngx_uint_t list);
ngx_http_apigw_jwt_keys_t *ngx_http_apigw_jwt_keys_held(ngx_http_request_t *r,
    ngx_str_t *name, ngx_http_apigw_jwt_source_t *source);
void ngx_http_apigw_jwt_keys_drop(ngx_http_apigw_jwt_main_conf_t *jmcf,
    ngx_http_apigw_jwt_keys_t *keys);
ngx_int_t ngx_http_apigw_jwt_keys_open(ngx_http_request_t *r, ngx_str_t *name,
    ngx_http_apigw_jwt_source_t *source, ngx_http_apigw_jwt_keys_t **kp);
ngx_int_t ngx_http_apigw_jwt_keys_parse(ngx_http_apigw_jwt_keys_t *keys,
    const u_char *data, size_t len, ngx_uint_t level, ngx_log_t *log);
ngx_int_t ngx_http_apigw_jwt_keys_share(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf);
ngx_int_t ngx_http_apigw_jwt_keys_init(ngx_cycle_t *cycle);
void ngx_http_apigw_jwt_keys_end(void *data);


/* Keys by subrequests. */

ngx_int_t ngx_http_apigw_jwt_fetch_keys(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_source_t *source,
    ngx_uint_t n, ngx_msec_t cache, ngx_uint_t wait);
ngx_uint_t ngx_http_apigw_jwt_fetch_owns(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx);
ngx_int_t ngx_http_apigw_jwt_fetch_body(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_chain_t *in);
void ngx_http_apigw_jwt_fetch_forget(ngx_http_apigw_jwt_fetch_t *fetch);


/*
 * Gives the verdict on the token of the request in its present location, once
 * for a policy and a source of the token.  In a location without auth_jwt an
 * earlier verdict holds; without any NGX_DECLINED is returned.  NGX_AGAIN if
 * keys have to be asked for: with "wait" that is under way, without the
 * verdict is not known yet.  NGX_ERROR without memory.
 */

ngx_int_t ngx_http_apigw_jwt_authenticate(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t **ctxp, ngx_uint_t wait);

/* the value of what names keys: a file, a URI */

ngx_int_t ngx_http_apigw_jwt_resolve(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_complex_value_t *cv,
    ngx_str_t *value);

/* fills ctx->header and ctx->claims, which may be NULL then */

ngx_int_t ngx_http_apigw_jwt_parse(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx);
void ngx_http_apigw_jwt_parse_forget(ngx_http_apigw_jwt_ctx_t *ctx);


/* Where tokens are: fills ctx->token and ctx->conflict; NGX_ERROR. */

ngx_int_t ngx_http_apigw_jwt_find(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx);
ngx_uint_t ngx_http_apigw_jwt_same(ngx_str_t *one, ngx_str_t *two);
void ngx_http_apigw_jwt_place(ngx_http_apigw_jwt_loc_conf_t *lcf,
    ngx_str_t *variable);


/* Values of tokens, and variables. */

ngx_int_t ngx_http_apigw_jwt_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_apigw_jwt_slots_create(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf);
ngx_int_t ngx_http_apigw_jwt_slots_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf);
ngx_uint_t ngx_http_apigw_jwt_slot_add(ngx_http_apigw_jwt_main_conf_t *jmcf,
    ngx_http_apigw_jwt_slot_e type, ngx_uint_t header,
    ngx_apigw_claims_path_t *path, void *data);
ngx_str_t *ngx_http_apigw_jwt_extract(ngx_http_request_t *r, json_t *header,
    json_t *claims, ngx_uint_t owner);
char *ngx_http_apigw_jwt_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/* What a location requires of a valid token. */

char *ngx_http_apigw_jwt_require(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_jwt_require_rule(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_jwt_require_scope(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* gives the rules and scopes of a level their slots */

ngx_int_t ngx_http_apigw_jwt_require_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *lcf);

/* adds the rules of the level above */

ngx_int_t ngx_http_apigw_jwt_merge_rules(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *prev, ngx_http_apigw_jwt_loc_conf_t *conf);

ngx_uint_t ngx_http_apigw_jwt_rule_met(ngx_http_request_t *r,
    ngx_http_apigw_jwt_rule_t *rule, json_t *json, json_t *expected);

/* NGX_OK, or the status with which to refuse; NGX_ERROR without memory */

ngx_int_t ngx_http_apigw_jwt_required(ngx_http_request_t *r,
    ngx_array_t *requires);

/* NGX_OK, NGX_DECLINED with the rule that is not met, NGX_ERROR */

ngx_int_t ngx_http_apigw_jwt_rules(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_rule_t **failed);

/* the first of the scopes that is not given, or NULL */

ngx_http_apigw_jwt_scope_t *ngx_http_apigw_jwt_lacks(
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx);


/*
 * What a request is told that is refused for ctx->outcome, and the log with
 * it: the status is that of the outcome, or of a requirement that is not met;
 * "name" is that of what it lacks, or NULL.
 */

ngx_int_t ngx_http_apigw_jwt_refuse(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t status, ngx_http_apigw_jwt_scope_t *scope, ngx_str_t *name);

/* the same for auth_require, with a token or without */

ngx_int_t ngx_http_apigw_jwt_refuse_general(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_uint_t status);

/* auth_jwt_metadata */

char *ngx_http_apigw_jwt_metadata(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* The directives that say how tokens are verified. */

char *ngx_http_apigw_jwt(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_apigw_jwt_source(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_jwt_list(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_apigw_jwt_type(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_apigw_jwt_algorithms(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_jwt_audiences(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_jwt_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_apigw_jwt_allow_nested(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_jwt_www_authenticate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_jwt_resource(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

void ngx_http_apigw_jwt_sources_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf);

/* the policy of a level that asks for tokens and has keys, and its zone */

ngx_int_t ngx_http_apigw_jwt_merge_policy(ngx_conf_t *cf,
    ngx_http_apigw_jwt_loc_conf_t *conf);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_APIGW_JWT_H_INCLUDED_ */
