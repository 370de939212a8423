/*
 * Copyright (C) the apigw authors
 */


/*
 * Keys in queries and cookies, and the text of keys, for libFuzzer: what is
 * found lies within its input, and nothing of it is left when it is removed.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I ... \
 *           t/fuzz/key_pairs.c -lcrypto
 *
 * with the include paths of t/unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key.c"
#include "ngx_apigw_key_pairs.c"


#define must(condition)  if (!(condition)) __builtin_trap()


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t      pos;
    u_char      separator, *copy, *rest;
    ngx_str_t   pairs, left, value, name = ngx_string("k");
    ngx_uint_t  found;

    if (size == 0) {
        return 0;
    }

    separator = (data[0] & 1) ? ';' : '&';

    /* copies of the exact size, so that a byte too far is noticed */

    copy = malloc(size);
    rest = malloc(size);
    must(copy != NULL && rest != NULL);

    pairs.data = copy;
    pairs.len = size - 1;
    memcpy(copy, data + 1, pairs.len);

    pos = 0;
    found = 0;

    while (ngx_apigw_key_pairs_next(&pairs, separator, &name, &pos, &value)) {

        found = 1;

        must(value.data >= pairs.data
             && value.data + value.len <= pairs.data + pairs.len);
        must(memchr(value.data, separator, value.len) == NULL);

        (void) ngx_apigw_key_check(value.data, value.len, (u_char *) "ak_", 3);
    }

    left.data = rest;
    left.len = ngx_apigw_key_pairs_without(rest, &pairs, separator, &name);

    must(left.len <= pairs.len);
    must(found || left.len + 1 >= pairs.len || separator == ';');

    pos = 0;
    must(!ngx_apigw_key_pairs_next(&left, separator, &name, &pos, &value));

    (void) ngx_apigw_key_check(copy, pairs.len, (u_char *) "ak_", 3);
    (void) ngx_apigw_key_check_prefix(copy, pairs.len);

    free(copy);
    free(rest);

    return 0;
}
