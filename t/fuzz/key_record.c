/*
 * Copyright (C) the apigw authors
 */


/*
 * Records of keys as they are in the store, for libFuzzer: what is accepted
 * has this one encoding and lists that can be walked; nothing else is.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I ... \
 *           t/fuzz/key_record.c
 *
 * with the include paths of t/unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_list.c"
#include "ngx_apigw_key_record.c"


#define must(condition)  if (!(condition)) __builtin_trap()


static void walk(ngx_apigw_key_record_t *rec);


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                 *copy, buf[NGX_APIGW_KEY_RECORD_MAX];
    ngx_apigw_key_record_t  rec;

    /* a copy of the exact size, so that a byte too far is noticed */

    copy = malloc(size ? size : 1);
    must(copy != NULL);
    memcpy(copy, data, size);

    if (ngx_apigw_key_record_decode(&rec, copy, size) == NGX_OK) {

        must(ngx_apigw_key_record_encode(&rec, buf, sizeof(buf))
             == (ssize_t) size);
        must(memcmp(buf, copy, size) == 0);

        walk(&rec);
    }

    free(copy);

    return 0;
}


static void
walk(ngx_apigw_key_record_t *rec)
{
    u_char                  text[NGX_APIGW_KEY_CIDR_TEXT];
    size_t                  pos, n;
    int64_t                 limit;
    ngx_str_t               name, value, str;
    ngx_apigw_key_cidr_t    cidr, again;
    ngx_apigw_key_period_e  period;

    pos = 0;

    while (ngx_apigw_key_scope_next(rec, &pos, &name)) {
        must(ngx_apigw_key_scope_has(rec, &name));
    }

    pos = 0;

    while (ngx_apigw_key_label_next(rec, &pos, &name, &value)) {
        must(ngx_apigw_key_label_get(rec, &name, &str)
             && str.data == value.data);
    }

    pos = 0;

    while (ngx_apigw_key_cidr_next(rec, &pos, &cidr)) {
        n = ngx_apigw_key_cidr_text(&cidr, text);
        must(n > 0 && n <= sizeof(text));

        str.len = n;
        str.data = text;

        must(ngx_apigw_key_cidr_parse(&again, &str) == NGX_OK
             && again.family == cidr.family && again.bits == cidr.bits
             && memcmp(again.address, cidr.address, 16) == 0);
    }

    pos = 0;

    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {
        must(limit >= 0 && ngx_apigw_key_period_name(period) != NULL);
    }

    (void) ngx_apigw_key_address_allowed(rec, (u_char *) "\x7f\0\0\1", 4);
}
