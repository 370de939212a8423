/*
 * Copyright (C) the apigw authors
 */


/* What may be fetched, and what of an answer is believed. */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_fetch.c"


#define ISSUER  "https://issuer.example"


static void test_url(void);
static void test_origin(void);
static void test_discovery(void);
static void test_max_age(void);


static ngx_uint_t  tests;


static void
ok(ngx_uint_t good, const char *format, const char *name)
{
    printf("%s %u - ", good ? "ok" : "not ok", (unsigned) ++tests);
    printf(format, name);
    printf("\n");
}


int
main(void)
{
    test_url();
    test_origin();
    test_discovery();
    test_max_age();

    printf("1..%u\n", (unsigned) tests);

    return 0;
}


static void
test_url(void)
{
    char         url[NGX_APIGW_FETCH_URL_MAX + 1];
    ngx_uint_t   i;

    static const char  *good[] = {
        "https://a",
        "https://issuer.example/",
        "https://issuer.example:8443/a/b?c=d&e",
        "https://127.0.0.1/keys",
        "https://[::1]:8443/keys",
        "https://xn--bcher-kva.example/%7Ea",
    };

    static const char  *bad[] = {
        "",
        "https://",
        "https:///keys",
        "http://issuer.example/",
        "HTTPS://issuer.example/",
        "file:///etc/passwd",
        "ftp://issuer.example/",
        "issuer.example",
        "//issuer.example/",
        "https://user@issuer.example/",
        "https://user:password@issuer.example/",
        "https://issuer.example/#fragment",
        "https://issuer.example/a b",
        "https://issuer.example/a\nb",
        "https://issuer.example/a\"b",
        "https://issuer.example\\@other.example/",
        "https://issuer.example:0x50/",
        "https://issuer.example:99999/",
        "https://issuer.ex\xc3\xa4mple/",
        "https://issuer.example/{a}",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(ngx_apigw_fetch_url((u_char *) good[i], strlen(good[i])),
           "a URL: %s", good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(!ngx_apigw_fetch_url((u_char *) bad[i], strlen(bad[i])),
           "none, number %s", i < 10 ? (char[]) { '0' + i, 0 }
                                     : (char[]) { '1', '0' + i - 10, 0 });
    }

    ok(!ngx_apigw_fetch_url((u_char *) "https://a\0b", 11), "%s",
       "a zero byte");

    memset(url, 'a', sizeof(url));
    memcpy(url, "https://a/", 10);

    ok(ngx_apigw_fetch_url((u_char *) url, NGX_APIGW_FETCH_URL_MAX - 1)
       && !ngx_apigw_fetch_url((u_char *) url, NGX_APIGW_FETCH_URL_MAX),
       "%s", "the longest URL");
}


static void
test_origin(void)
{
    ngx_uint_t  i;

    static const struct {
        const char  *a;
        const char  *b;
        ngx_uint_t   same;
    } pairs[] = {
        { "https://a/x", "https://a/y?z", 1 },
        { "https://a/x", "https://A:443/", 1 },
        { "https://a:8443/x", "https://a:8443/y", 1 },
        { "https://a/x", "http://a/x", 0 },
        { "https://a/x", "https://a:8443/x", 0 },
        { "https://a/x", "https://b/x", 0 },
        { "https://a/x", "https://a.b/x", 0 },
        { "https://a/x", "https://u@a/x", 0 },
        { "https://a/x", "ftp://a/x", 0 },
        { "https://a/x", "nonsense://", 0 },
    };

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        ok(ngx_apigw_fetch_same_origin(pairs[i].a, pairs[i].b)
           == pairs[i].same, "the origin of %s", pairs[i].b);
    }
}


static void
test_discovery(void)
{
    char         *deep;
    char          url[NGX_APIGW_FETCH_URL_MAX], error[CURL_ERROR_SIZE];
    size_t        len;
    ngx_uint_t    i;

    static const struct {
        const char  *text;
        const char  *url;
    } documents[] = {
        { "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://k.example/k\"}",
          "https://k.example/k" },
        { " {\"a\":[{}],\"jwks_uri\":\"https:\\/\\/k\",\"issuer\":\"https:"
          "\\/\\/issuer.example\"} ", "https://k" },
        { "", NULL },
        { "null", NULL },
        { "[]", NULL },
        { "{}", NULL },
        { "{\"issuer\":\"" ISSUER "\"}", NULL },
        { "{\"jwks_uri\":\"https://k\"}", NULL },
        { "{\"issuer\":1,\"jwks_uri\":\"https://k\"}", NULL },
        { "{\"issuer\":[\"" ISSUER "\"],\"jwks_uri\":\"https://k\"}", NULL },
        { "{\"issuer\":\"" ISSUER "/\",\"jwks_uri\":\"https://k\"}", NULL },
        { "{\"issuer\":\"https://issuer.exampl\",\"jwks_uri\":\"https://k\"}",
          NULL },
        { "{\"issuer\":\"HTTPS://issuer.example\",\"jwks_uri\":\"https://k\"}",
          NULL },
        { "{\"issuer\":\"" ISSUER "\\u0000\",\"jwks_uri\":\"https://k\"}",
          NULL },
        { "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"http://k\"}", NULL },
        { "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://u@k\"}", NULL },
        { "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"file:///k\"}", NULL },
        { "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":null}", NULL },
        { "{\"issuer\":\"" ISSUER "\",\"issuer\":\"" ISSUER "\","
          "\"jwks_uri\":\"https://k\"}", NULL },
        { "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://k\"}x", NULL },
        { "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://k\"", NULL },
    };

    for (i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {

        strcpy(url, "unchanged");
        error[0] = '\0';

        if (ngx_apigw_fetch_discover((u_char *) documents[i].text,
                                     strlen(documents[i].text), ISSUER, url,
                                     error)
            == NGX_OK)
        {
            ok(documents[i].url && strcmp(url, documents[i].url) == 0,
               "a document: %s", documents[i].text);

        } else {
            ok(documents[i].url == NULL && error[0]
               && strcmp(url, "unchanged") == 0,
               "none: %s", documents[i].text);
        }
    }

    len = 100000;
    deep = malloc(len);
    memset(deep, '[', len);

    ok(ngx_apigw_fetch_discover((u_char *) deep, len, ISSUER, url, error)
       == NGX_ERROR, "%s", "a deep document");

    free(deep);
}


static void
test_max_age(void)
{
    ngx_uint_t  i;

    static const struct {
        const char  *text;
        ngx_int_t    age;
    } fields[] = {
        { " max-age=3600", 3600 },
        { "max-age=0", 0 },
        { " public, max-age=19800, must-revalidate", 19800 },
        { " public,MAX-AGE=7", 7 },
        { " s-maxage=5", -1 },
        { " x-max-age=5", -1 },
        { " max-age=", -1 },
        { " max-age=x", -1 },
        { " max-age=-5", -1 },
        { " max-age=99999999999999999999999", 365 * 86400 },
        { " no-store", -1 },
        { "", -1 },
    };

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        ok(ngx_apigw_fetch_max_age(fields[i].text, strlen(fields[i].text))
           == fields[i].age, "Cache-Control:%s", fields[i].text);
    }
}
