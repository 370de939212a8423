/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_token.h"


static const ngx_apigw_cli_verb_t  ngx_apigw_cli_token_verbs[] = {

    { "keygen", "", 0, 0,
      "makes a key that signs tokens",
      "The public half is printed as a JWK Set, a file for\n"
      "auth_jwt_key_file. A secret (HS256 ...) has no public half: nginx\n"
      "gets the file of --out.\n",
      ngx_apigw_cli_token_keygen_options,
      ngx_apigw_cli_token_keygen },

    { "issue", "", 0, 0,
      "signs a token and prints it",
      NULL,
      ngx_apigw_cli_token_issue_options,
      ngx_apigw_cli_token_issue },

    { "inspect", "", 0, 0,
      "reads a token from standard input and shows what it says",
      "Fails if the token is not valid: malformed, wrongly signed, expired.\n"
      "Without --jwks the signature is not checked.\n",
      ngx_apigw_cli_token_inspect_options,
      ngx_apigw_cli_token_inspect },

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
