/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_token.h"


static const ngx_apigw_cli_verb_t  ngx_apigw_cli_token_verbs[] = {

    { "revoke", "", 0, 0,
      "refuses tokens by their jti, sub or kid",
      "At least one of --jti, --sub and --kid. All workers refuse such\n"
      "tokens at once, those too that they have accepted before.\n",
      ngx_apigw_cli_token_revoke_options,
      ngx_apigw_cli_token_revoke },

    { "unrevoke", "", 0, 0,
      "takes revocations back",
      "Several are taken back together or not at all.\n",
      ngx_apigw_cli_token_unrevoke_options,
      ngx_apigw_cli_token_unrevoke },

    { "revocations", "", 0, 0,
      "lists what is revoked",
      NULL,
      ngx_apigw_cli_token_revocations_options,
      ngx_apigw_cli_token_revocations },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL }
};


const ngx_apigw_cli_group_t  ngx_apigw_cli_token_group = {
    "token",
    "tokens (JWT)",
    ngx_apigw_cli_token_verbs,
    sizeof(ngx_apigw_cli_token_conf_t)
};
