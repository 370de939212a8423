/*
 * Copyright (C) the apigw authors
 */


/*
 * Everything of a request that names a version, and the records of the store
 * of calls, for libFuzzer: the parsers stay within their input and say nothing
 * that contradicts itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_date.c"
#include "ngx_apigw_label.c"
#include "ngx_apigw_accept.c"
#include "ngx_apigw_instance.c"
#include "ngx_apigw_reap.c"
#include "ngx_apigw_store.c"
#include "ngx_apigw_store_file.c"
#include "ngx_apigw_store_view.c"
#include "ngx_apigw_tree.c"
#include "ngx_apigw_tally.c"
#include "ngx_apigw_tally_store.c"


#define must(condition)  if (!(condition)) __builtin_trap()


static void fuzz_accept(ngx_str_t *text);
static void fuzz_path(ngx_str_t *text);
static void fuzz_query(ngx_str_t *text);
static void fuzz_host(ngx_str_t *text);
static void fuzz_label(ngx_str_t *text);
static void fuzz_record(ngx_str_t *text);
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

    switch (data[0] % 6) {
    case 0: fuzz_accept(&text); break;
    case 1: fuzz_path(&text); break;
    case 2: fuzz_query(&text); break;
    case 3: fuzz_host(&text); break;
    case 4: fuzz_label(&text); break;
    case 5: fuzz_record(&text); break;
    }

    free(text.data);

    return 0;
}


static void
fuzz_accept(ngx_str_t *text)
{
    ngx_str_t            version;
    ngx_uint_t           n;
    const u_char        *p, *last, *next;
    ngx_apigw_accept_t   accept;

    static ngx_str_t  type = ngx_string("a/v.t");

    p = text->data;

    next = ngx_apigw_accept_first(p, p + text->len, &type, &version);

    if (next && version.len) {
        must(ngx_apigw_accept_next(&p, p + text->len, &type, &accept)
             == NGX_OK);
        must(accept.version.data == version.data);
        must(accept.version.len == version.len);
        must(accept.quality == 1000);
        must(p == next);
    }

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

    for (i = 0; i < text->len; i++) {
        if (!ngx_apigw_is_letter(text->data[i])
            && (text->data[i] < '-' || text->data[i] > '9'))
        {
            break;
        }
    }

    must(ngx_apigw_path_plain(text->data, text->len) == (i == text->len));

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


/* A key and a value: the first byte tells where the one ends. */

static void
fuzz_record(ngx_str_t *text)
{
    u_char                      key[NGX_APIGW_TALLY_KEY_MAX];
    MDB_val                     k, v;
    ngx_str_t                   api, label, whole;
    ngx_apigw_tally_info_t      info;
    ngx_apigw_tally_record_t    record;
    ngx_apigw_tally_version_t   version;

    if (text->len == 0) {
        return;
    }

    k.mv_data = text->data + 1;
    k.mv_size = ngx_min(text->data[0], text->len - 1);
    v.mv_data = text->data + 1 + k.mv_size;
    v.mv_size = text->len - 1 - k.mv_size;

    if (ngx_apigw_tally_key_decode(&info, &k) == NGX_OK) {
        must(ngx_apigw_tally_key(key, &info) == k.mv_size);
        must(memcmp(key, k.mv_data, k.mv_size) == 0);
    }

    if (ngx_apigw_tally_decode(&record, &v) == 0) {
        must(record.head.parts <= NGX_APIGW_TALLY_PARTS);
        must(record.head.last < NGX_APIGW_TALLY_DAY);
    }

    if (ngx_apigw_tally_version_decode(&api, &label, &version, &k, &v)
        == NGX_OK)
    {
        whole.data = k.mv_data;
        whole.len = k.mv_size;

        must(within(&api, &whole) && within(&label, &whole));
        must(api.len <= NGX_APIGW_TALLY_LABEL);
        must(label.len <= NGX_APIGW_TALLY_LABEL);
        must(version.successor <= NGX_APIGW_TALLY_LABEL);
    }
}


static ngx_uint_t
within(ngx_str_t *part, ngx_str_t *text)
{
    return part->data >= text->data
           && part->data + part->len <= text->data + text->len;
}
