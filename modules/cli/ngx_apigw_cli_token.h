/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_TOKEN_H_INCLUDED_
#define _NGX_APIGW_CLI_TOKEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli.h"
#include "ngx_apigw_jwa.h"
#include "ngx_apigw_jwt_store.h"


/* What "apigw token" consists of. */


#define NGX_APIGW_CLI_REVOCATIONS  256
#define NGX_APIGW_CLI_TOKEN_CLAIMS  256


typedef enum {
    NGX_APIGW_CLI_CLAIM_TEXT = 0,
    NGX_APIGW_CLI_CLAIM_JSON,
    NGX_APIGW_CLI_CLAIM_AUD,
    NGX_APIGW_CLI_CLAIM_SCOPE
} ngx_apigw_cli_token_claim_e;


typedef struct {
    ngx_apigw_cli_token_claim_e  kind;
    ngx_str_t                    name;
    ngx_str_t                    value;
} ngx_apigw_cli_token_claim_t;


/* The options of all verbs; zeroed. */

typedef struct {

    /* revoke, unrevoke, revocations */

    ngx_str_t                    store;
    ngx_apigw_jwt_revocation_t   revocations[NGX_APIGW_CLI_REVOCATIONS];
    ngx_uint_t                   nrevocations;
    time_t                       until;
    ngx_uint_t                   json;

    /* keygen, issue, inspect; json as well */

    ngx_str_t                    key;
    ngx_str_t                    out;
    ngx_str_t                    jwks;
    ngx_apigw_jwa_t              alg;
    int64_t                      bits;
    ngx_str_t                    kid;
    ngx_str_t                    typ;
    ngx_str_t                    iss;
    ngx_str_t                    sub;
    ngx_str_t                    jti;
    time_t                       expires;
    ngx_uint_t                   no_expires;
    time_t                       not_before;
    ngx_str_t                    claims;
    ngx_apigw_cli_token_claim_t  claim[NGX_APIGW_CLI_TOKEN_CLAIMS];
    ngx_uint_t                   nclaims;
} ngx_apigw_cli_token_conf_t;


#define ngx_apigw_cli_token_offset(name)                                      \
    offsetof(ngx_apigw_cli_token_conf_t, name)


#pragma GCC visibility push(hidden)


int ngx_apigw_cli_token_keygen(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_token_issue(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_token_inspect(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_token_revoke(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_token_unrevoke(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_token_revocations(ngx_apigw_cli_t *cli);


/*
 * What is in a file, malloc()'d, of at most max bytes; "-" is standard input.
 * NULL after a message.
 */

u_char *ngx_apigw_cli_token_file(const ngx_str_t *name, size_t max,
    size_t *len);


#pragma GCC visibility pop


extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_keygen_options[];
extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_issue_options[];
extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_inspect_options[];
extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_revoke_options[];
extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_unrevoke_options[];
extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_revocations_options[];


#endif /* _NGX_APIGW_CLI_TOKEN_H_INCLUDED_ */
