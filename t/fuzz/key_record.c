/*
 * Copyright (C) the apigw authors
 */


/*
 * Records of keys as they are in the store, for libFuzzer: what is accepted
 * has this one encoding and lists that can be walked; nothing else is.  What
 * is taken without a check, as it has its seal, can be walked all the same.
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
static void touch(ngx_apigw_key_record_t *rec);


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

    if (ngx_apigw_key_record_parse(&rec, copy, size) == NGX_OK) {
        touch(&rec);
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


static void
read_all(ngx_str_t *str)
{
    size_t  i;
    u_char  sum;

    sum = 0;

    for (i = 0; i < str->len; i++) {
        sum ^= str->data[i];
    }

    __asm__ volatile ("" : : "r" (sum));
}


/* What nginx does with a record, and no more. */

static void
touch(ngx_apigw_key_record_t *rec)
{
    size_t                  pos, n;
    u_char                  text[NGX_APIGW_KEY_CIDR_TEXT];
    int64_t                 limit;
    ngx_str_t               name, value;
    ngx_apigw_key_cidr_t    cidr;
    ngx_apigw_key_period_e  period;

    must(rec->id.len > 0 && rec->id.len <= NGX_APIGW_KEY_ID_MAX);
    must(rec->consumer.len > 0
         && rec->consumer.len <= NGX_APIGW_KEY_CONSUMER_MAX);
    must(rec->expires >= 0 && rec->not_before >= 0);

    read_all(&rec->id);
    read_all(&rec->consumer);
    read_all(&rec->plan);
    read_all(&rec->name);
    read_all(&rec->scopes);

    for (pos = 0; ngx_apigw_key_scope_next(rec, &pos, &name); /* void */ ) {
        read_all(&name);
    }

    for (pos = 0;
         ngx_apigw_key_label_next(rec, &pos, &name, &value);
         /* void */ )
    {
        read_all(&name);
        read_all(&value);
    }

    for (pos = 0; ngx_apigw_key_cidr_next(rec, &pos, &cidr); /* void */ ) {
        n = ngx_apigw_key_cidr_text(&cidr, text);
        must(n <= sizeof(text));
    }

    for (pos = 0;
         ngx_apigw_key_quota_next(rec, &pos, &period, &limit);
         /* void */ )
    {
        must(ngx_apigw_key_period_name(period) != NULL);
    }

    (void) ngx_apigw_key_address_allowed(rec, (u_char *) "\x7f\0\0\1", 4);
    (void) ngx_apigw_key_address_allowed(rec, (u_char *) "0123456789abcdef",
                                         16);
}
