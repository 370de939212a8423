/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_TOKEN_H_INCLUDED_
#define _NGX_APIGW_CLI_TOKEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli.h"
#include "ngx_apigw_jwt_store.h"


/* What "apigw token" consists of. */


#define NGX_APIGW_CLI_REVOCATIONS  256


/* The options of all verbs; zeroed. */

typedef struct {

    /* revoke, unrevoke, revocations */

    ngx_str_t                    store;
    ngx_apigw_jwt_revocation_t   revocations[NGX_APIGW_CLI_REVOCATIONS];
    ngx_uint_t                   nrevocations;
    time_t                       until;
    ngx_uint_t                   json;
} ngx_apigw_cli_token_conf_t;


#define ngx_apigw_cli_token_offset(name)                                      \
    offsetof(ngx_apigw_cli_token_conf_t, name)


#pragma GCC visibility push(hidden)


int ngx_apigw_cli_token_revoke(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_token_unrevoke(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_token_revocations(ngx_apigw_cli_t *cli);


#pragma GCC visibility pop


extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_revoke_options[];
extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_unrevoke_options[];
extern const ngx_apigw_cli_option_t  ngx_apigw_cli_token_revocations_options[];


#endif /* _NGX_APIGW_CLI_TOKEN_H_INCLUDED_ */
