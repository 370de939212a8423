/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_jwa.h"


typedef struct {
    const char              *name;
    size_t                   len;
    ngx_apigw_jwa_t          alg;
} ngx_apigw_jwa_name_t;


#define ngx_apigw_jwa_entry(name, alg)  { name, sizeof(name) - 1, alg }


static const ngx_apigw_jwa_name_t  ngx_apigw_jwa_names[] = {
    ngx_apigw_jwa_entry("HS256", NGX_APIGW_JWA_HS256),
    ngx_apigw_jwa_entry("HS384", NGX_APIGW_JWA_HS384),
    ngx_apigw_jwa_entry("HS512", NGX_APIGW_JWA_HS512),
    ngx_apigw_jwa_entry("RS256", NGX_APIGW_JWA_RS256),
    ngx_apigw_jwa_entry("RS384", NGX_APIGW_JWA_RS384),
    ngx_apigw_jwa_entry("RS512", NGX_APIGW_JWA_RS512),
    ngx_apigw_jwa_entry("PS256", NGX_APIGW_JWA_PS256),
    ngx_apigw_jwa_entry("PS384", NGX_APIGW_JWA_PS384),
    ngx_apigw_jwa_entry("PS512", NGX_APIGW_JWA_PS512),
    ngx_apigw_jwa_entry("ES256", NGX_APIGW_JWA_ES256),
    ngx_apigw_jwa_entry("ES384", NGX_APIGW_JWA_ES384),
    ngx_apigw_jwa_entry("ES512", NGX_APIGW_JWA_ES512),
    ngx_apigw_jwa_entry("ES256K", NGX_APIGW_JWA_ES256K),
    ngx_apigw_jwa_entry("Ed25519", NGX_APIGW_JWA_ED25519),
    ngx_apigw_jwa_entry("Ed448", NGX_APIGW_JWA_ED448),
    ngx_apigw_jwa_entry("EdDSA", NGX_APIGW_JWA_EDDSA),
    { NULL, 0, 0 }
};


ngx_apigw_jwa_t
ngx_apigw_jwa_parse(const u_char *name, size_t len)
{
    const ngx_apigw_jwa_name_t  *n;

    for (n = ngx_apigw_jwa_names; n->name; n++) {
        if (n->len == len && ngx_memcmp(n->name, name, len) == 0) {
            return n->alg;
        }
    }

    return 0;
}


const char *
ngx_apigw_jwa_name(ngx_apigw_jwa_t alg)
{
    const ngx_apigw_jwa_name_t  *n;

    for (n = ngx_apigw_jwa_names; n->name; n++) {
        if (n->alg == alg) {
            return n->name;
        }
    }

    return NULL;
}
