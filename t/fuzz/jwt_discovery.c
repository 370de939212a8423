/*
 * Copyright (C) the apigw authors
 */


/*
 * Fuzz target: what a provider may say of itself.  Only a document of the
 * issuer that was asked for gives an address, and only one that may be
 * fetched.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_fetch.c"


#define ISSUER  "https://issuer.example/a"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char       *copy;
    char        url[NGX_APIGW_FETCH_URL_MAX], error[CURL_ERROR_SIZE];
    ngx_int_t   age;

    if (ngx_apigw_fetch_discover(data, size, ISSUER, url, error) == NGX_OK
        && (!ngx_apigw_fetch_url((u_char *) url, strlen(url))
            || memmem(data, size, "issuer.example", 14) == NULL))
    {
        /* as "\u0069ssuer.example" it may stand there, too */

        if (memchr(data, '\\', size) == NULL) {
            abort();
        }
    }

    /* a field of a header has no end of its own */

    copy = malloc(size ? size : 1);
    memcpy(copy, data, size);

    age = ngx_apigw_fetch_max_age(copy, size);

    if (age < -1 || age > 365 * 86400) {
        abort();
    }

    (void) ngx_apigw_fetch_url((u_char *) copy, size);

    free(copy);

    return 0;
}
