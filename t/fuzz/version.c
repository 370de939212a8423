/*
 * Copyright (C) the apigw authors
 */


/*
 * Everything of a request that names a version, for libFuzzer: the parsers
 * stay within their input and say nothing that contradicts itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_date.c"
#include "ngx_apigw_label.c"
#include "ngx_apigw_accept.c"


#define must(condition)  if (!(condition)) __builtin_trap()


static void fuzz_accept(ngx_str_t *text);
static void fuzz_path(ngx_str_t *text);
static void fuzz_query(ngx_str_t *text);
static void fuzz_host(ngx_str_t *text);
static void fuzz_label(ngx_str_t *text);
static ngx_uint_t within(ngx_str_t *part, ngx_str_t *text);


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t  text;

    if (size == 0) {
        return 0;
    }

    /* a copy of the exact size, so that a byte too far is noticed */

    text.len = size - 1;
    text.data = malloc(text.len ? text.len : 1);
    must(text.data != NULL);

    memcpy(text.data, data + 1, text.len);

    switch (data[0] % 5) {
    case 0: fuzz_accept(&text); break;
    case 1: fuzz_path(&text); break;
    case 2: fuzz_query(&text); break;
    case 3: fuzz_host(&text); break;
    case 4: fuzz_label(&text); break;
    }

    free(text.data);

    return 0;
}


static void
fuzz_accept(ngx_str_t *text)
{
    ngx_uint_t           n;
    const u_char        *p, *last;
    ngx_apigw_accept_t   accept;

    static ngx_str_t  type = ngx_string("a/v.t");

    p = text->data;
    last = p + text->len;

    for (n = 0; ngx_apigw_accept_next(&p, last, &type, &accept) == NGX_OK; n++)
    {
        must(n <= text->len);
        must(p <= last);
        must(accept.quality <= 1000);
        must(accept.version.len == 0 || within(&accept.version, text));
    }

    must(p == last);
}


static void
fuzz_path(ngx_str_t *text)
{
    size_t      i;
    ngx_str_t   segment, next;
    ngx_uint_t  n;

    static ngx_str_t  base = ngx_string("/a");
    static ngx_str_t  none = ngx_string("");

    for (n = 1; n < 4; n++) {

        if (ngx_apigw_path_segment(text, &base, n, &segment) == NGX_OK) {
            must(memcmp(text->data, "/a/", 3) == 0);
        }

        if (ngx_apigw_path_segment(text, &none, n, &segment) != NGX_OK) {
            continue;
        }

        must(segment.len && within(&segment, text));
        must(segment.data[-1] == '/');
        must(segment.data + segment.len == text->data + text->len
             || segment.data[segment.len] == '/');

        for (i = 0; i < segment.len; i++) {
            must(segment.data[i] != '/');
        }

        next.len = 0;

        while (ngx_apigw_dotted_next(&segment, &next) == NGX_OK) {
            must(next.len && within(&next, &segment));
        }
    }
}


static void
fuzz_query(ngx_str_t *text)
{
    u_char     buf[NGX_APIGW_LABEL_LEN + 1];
    ngx_int_t  rc;
    ngx_str_t  value;

    static ngx_str_t  name = ngx_string("v");

    rc = ngx_apigw_query_value(text, &name, buf, &value);

    must(rc == NGX_OK || rc == NGX_DECLINED || rc == NGX_ABORT);
    must(rc != NGX_OK || (value.len && value.len <= sizeof(buf)));
}


static void
fuzz_host(ngx_str_t *text)
{
    ngx_str_t  value;

    static ngx_str_t  pattern = ngx_string("v*.a");

    if (ngx_apigw_host_value(text, &pattern, &value) == NGX_OK) {
        must(value.len && within(&value, text));
    }
}


static void
fuzz_label(ngx_str_t *text)
{
    u_char               buf[64];
    time_t               date, again;
    ngx_int_t            share;
    ngx_uint_t           shape;
    ngx_apigw_number_t   number;

    static ngx_str_t  label = ngx_string("v2");

    shape = ngx_apigw_label_number(text->data, text->len, &number);

    must(shape == number.shape);
    must(ngx_apigw_number_cmp(&number, &number) == 0);

    if (ngx_apigw_label_named(&label, text->data, text->len)) {
        must(shape != NGX_APIGW_SHAPE_NONE);
    }

    share = ngx_apigw_share_parse(text->data, text->len);
    must(share == NGX_ERROR || (share >= 0 && share <= NGX_APIGW_SHARE_ALL));

    if (ngx_apigw_date_parse(text->data, text->len, &date) == NGX_OK) {
        must(ngx_apigw_date_http(buf, date) == buf + NGX_APIGW_DATE_HTTP_LEN);
        must(ngx_apigw_date_iso(buf, date) == buf + NGX_APIGW_DATE_ISO_LEN);
        must(ngx_apigw_date_parse(buf, NGX_APIGW_DATE_ISO_LEN, &again)
             == NGX_OK && again == date);
        must(memcmp(buf, text->data, 10) == 0);
    }
}


static ngx_uint_t
within(ngx_str_t *part, ngx_str_t *text)
{
    return part->data >= text->data
           && part->data + part->len <= text->data + text->len;
}
