/*
 * Copyright (C) the apigw authors
 */


/* The keyed hash equals OpenSSL's SipHash with 1 and 3 rounds. */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>
#include <openssl/core_names.h>

#include "ngx_apigw_hash.h"
#include "ngx_apigw_atomic.h"


static ngx_int_t oracle(ngx_apigw_hash_key_t *key, const u_char *data,
    size_t len, u_char out[16]);


int
main(void)
{
    size_t                i, bad;
    u_char                data[300], out[16];
    ngx_apigw_pair_t      pair, expect, set;
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key, other;

    printf("1..7\n");

    for (i = 0; i < sizeof(data); i++) {
        data[i] = (u_char) (i * 7 + 3);
    }

    if (ngx_apigw_hash_new_key(&key) != NGX_OK
        || ngx_apigw_hash_new_key(&other) != NGX_OK)
    {
        printf("Bail out! no random bytes\n");
        return 1;
    }

    printf("%s 1 - two new keys differ\n",
           memcmp(&key, &other, sizeof(key)) ? "ok" : "not ok");

    bad = 0;

    for (i = 0; i <= sizeof(data); i++) {
        ngx_apigw_hash(&hash, &key, data, i);

        if (oracle(&key, data, i, out) != NGX_OK
            || memcmp(out, &hash, 16) != 0)
        {
            bad++;
        }
    }

    printf("%s 2 - lengths 0 to 300 as OpenSSL's SipHash-1-3-128\n",
           bad ? "not ok" : "ok");

    pair.tag = 1;
    pair.value = 2;
    expect = pair;
    set.tag = 3;
    set.value = 4;

    printf("%s 3 - a pair is swapped\n",
           ngx_apigw_pair_cas(&pair, &expect, set)
           && pair.tag == 3 && pair.value == 4 ? "ok" : "not ok");

    expect.tag = 3;
    expect.value = 5;
    set.tag = 9;

    printf("%s 4 - not if the value differs\n",
           !ngx_apigw_pair_cas(&pair, &expect, set)
           && pair.tag == 3 && pair.value == 4 ? "ok" : "not ok");

    printf("%s 5 - and what is there is returned\n",
           expect.tag == 3 && expect.value == 4 ? "ok" : "not ok");

    expect.tag = 2;

    printf("%s 6 - not if the tag differs\n",
           !ngx_apigw_pair_cas(&pair, &expect, set)
           && pair.tag == 3 && pair.value == 4 ? "ok" : "not ok");

    set = ngx_apigw_pair_get(&pair);

    printf("%s 7 - a pair is read\n",
           set.tag == 3 && set.value == 4 ? "ok" : "not ok");

    return 0;
}


static ngx_int_t
oracle(ngx_apigw_hash_key_t *key, const u_char *data, size_t len,
    u_char out[16])
{
    int           ok;
    size_t        n;
    EVP_MAC      *mac;
    unsigned      c, d, size;
    OSSL_PARAM    params[4];
    EVP_MAC_CTX  *ctx;

    c = 1;
    d = 3;
    size = 16;

    params[0] = OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c);
    params[1] = OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d);
    params[2] = OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_SIZE, &size);
    params[3] = OSSL_PARAM_construct_end();

    mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    ctx = EVP_MAC_CTX_new(mac);

    ok = EVP_MAC_init(ctx, (u_char *) key, sizeof(ngx_apigw_hash_key_t),
                      params)
         && EVP_MAC_update(ctx, data, len)
         && EVP_MAC_final(ctx, out, &n, 16)
         && n == 16;

    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);

    return ok ? NGX_OK : NGX_ERROR;
}
