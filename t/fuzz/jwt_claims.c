/*
 * Copyright (C) the apigw authors
 */


/*
 * Claims, paths and comparisons for libFuzzer.  The input is a path, a value
 * to compare to, and claims, each in a line; or in place of them bytes that
 * claims are made of.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I ... \
 *           t/fuzz/jwt_claims.c -ljansson
 *
 * with the include paths of t/unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_claims.c"
#include "jwt_json.h"


#define must(condition)  if (!(condition)) __builtin_trap()


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static const char *const  words[] = {
    "exp", "nbf", "iat", "aud", "scope", "scp", "a", "b", "c", "", "a b",
    "x.y", "a\\\"", "\\u00e4\\ud83d\\ude00", "\\n", NULL
};


/* A line of the exact size. */

static ngx_str_t
line(const uint8_t **data, size_t *size)
{
    size_t          len;
    ngx_str_t       text;
    const uint8_t  *end;

    end = *size ? memchr(*data, '\n', *size) : NULL;
    len = end ? (size_t) (end - *data) : *size;

    text.len = len;
    text.data = malloc(len ? len : 1);
    must(text.data != NULL);

    if (len) {
        memcpy(text.data, *data, len);
    }

    *data += end ? len + 1 : len;
    *size -= end ? len + 1 : len;

    return text;
}


static ngx_int_t
match(void *data, const u_char *text, size_t len)
{
    return len ? NGX_OK : NGX_DECLINED;
}


static void
times(json_t *claims)
{
    ngx_uint_t                  i;
    ngx_apigw_claims_times_t    t;
    ngx_apigw_claims_window_t   w;

    for (i = 0; i < 8; i++) {
        memset(&t, 0, sizeof(t));
        t.need_exp = i & 1;
        t.ignore_exp = i >> 1 & 1;
        t.max_age = (i & 4) ? 3600 : 0;
        t.leeway = 60;

        if (ngx_apigw_claims_window(claims, &t, &w) != NGX_APIGW_CLAIMS_OK) {
            continue;
        }

        must(w.until == NGX_APIGW_CLAIMS_NEVER || w.until >= 60);
        must(w.from == NGX_APIGW_CLAIMS_ALWAYS || w.from >= -60);
        must((i & 4) == 0 || w.until != NGX_APIGW_CLAIMS_NEVER);

        (void) ngx_apigw_claims_now(&w, 1700000000);
    }
}


static void
compare(json_t *value, ngx_str_t *expected)
{
    json_t                   *json;
    ngx_int_t                 yes, no;
    ngx_uint_t                op;
    ngx_apigw_claims_test_t   test;

    json = ngx_apigw_claims_expected_json(expected->data, expected->len);

    if (json == NULL) {
        json = ngx_apigw_claims_expected_string(expected->data,
                                                expected->len);
    }

    for (op = NGX_APIGW_CLAIMS_EQ; op <= NGX_APIGW_CLAIMS_MATCH; op++) {
        test.op = op;
        test.negated = 0;
        yes = ngx_apigw_claims_test(&test, value, json, match, NULL);
        test.negated = 1;
        no = ngx_apigw_claims_test(&test, value, json, match, NULL);

        must(yes != NGX_OK || no != NGX_OK);
        must(value != NULL || (yes != NGX_OK && no != NGX_OK));
    }

    json_decref(json);
}


/* Every claim. */

static void
texts(json_t *claims)
{
    json_t                   *value;
    const char               *name;
    ngx_apigw_claims_text_t   t;

    json_object_foreach(claims, name, value) {
        if (ngx_apigw_claims_text(value, &t) == NGX_OK) {
            must(t.text.data != NULL);
            free(t.memory);
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t                   *claims, *value;
    ngx_str_t                 path_text, expected, text, delimiter, quote;
    const char               *why;
    ngx_apigw_claims_path_t   path;
    ngx_apigw_claims_text_t   t;

    path_text = line(&data, &size);
    expected = line(&data, &size);

    if (size && data[0] != '{') {
        text.data = (u_char *) fuzz_object(data, size, words, &text.len);

    } else {
        text.len = size;
        text.data = malloc(size ? size : 1);
        must(text.data != NULL);

        if (size) {
            memcpy(text.data, data, size);
        }
    }

    claims = ngx_apigw_claims_parse(text.data, text.len, &why);

    ngx_str_set(&delimiter, ".");
    ngx_str_set(&quote, "\"");

    if (ngx_apigw_claims_path_split(&path, &path_text, &delimiter, &quote)
        == NULL)
    {
        must(path.n > 0 && path.n <= NGX_APIGW_CLAIMS_STEPS_MAX);
        (void) ngx_apigw_claims_get(claims, &path);
    }

    /* the last: it changes the text */

    if (ngx_apigw_claims_path_jq(&path, &path_text) != NULL) {
        path.n = 0;
    }

    if (claims) {
        value = ngx_apigw_claims_get(claims, &path);

        if (ngx_apigw_claims_text(value, &t) == NGX_OK) {
            must(t.text.data != NULL);
            free(t.memory);
        }

        compare(value, &expected);
        times(claims);
        texts(claims);

        (void) ngx_apigw_claims_audience(claims, "aud", &expected, 1);
        (void) ngx_apigw_claims_scope(claims, &expected, 1, 0);
        json_decref(claims);
    }

    free(path_text.data);
    free(expected.data);
    free(text.data);

    return 0;
}
