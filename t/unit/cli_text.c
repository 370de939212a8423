/*
 * Copyright (C) the apigw authors
 */


/*
 * The values of the command line: times, durations, numbers, UTF-8 and what
 * is written as JSON.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_text.c"


#define NOW  ((time_t) 1000000000)


static void test_time(void);
static void test_time_text(void);
static void test_duration(void);
static void test_number(void);
static void test_printable(void);
static void test_json(void);
static void is(const char *name, ngx_uint_t good);
static ngx_str_t str(const char *text);


static ngx_uint_t  tests, failed;


int
main(void)
{
    test_time();
    test_time_text();
    test_duration();
    test_number();
    test_printable();
    test_json();

    printf("1..%u\n", (unsigned) tests);

    return failed != 0;
}


static void
test_time(void)
{
    time_t      t;
    ngx_str_t   text;
    ngx_uint_t  i;

    static const struct {
        const char  *text;
        time_t       time;     /* 0: is refused */
    } cases[] = {
        { "1970-01-02", 86400 },
        { "2030-12-31", 1924905600 },
        { "2030-12-31T23:59:59Z", 1924991999 },
        { "2030-12-31t23:59:59z", 1924991999 },
        { "2030-12-31 23:59:59", 1924991999 },
        { "2030-12-31T23:59", 1924991940 },
        { "2030-12-31T23:59:59+02:00", 1924984799 },
        { "2030-12-31T23:59:59-11:30", 1925033399 },
        { "2028-02-29", 1835395200 },
        { "9999-12-31T23:59:59Z", 253402300799 },
        { "@1", 1 },
        { "@253402300799", 253402300799 },
        { "1d", NOW + 86400 },
        { "1w1d1h1m1s", NOW + 694861 },

        { "", 0 },
        { "@", 0 },
        { "@0", 0 },
        { "@-1", 0 },
        { "@253402300800", 0 },
        { "1970-01-01", 0 },
        { "1969-12-31", 0 },
        { "2030", 0 },
        { "2030-12", 0 },
        { "2030-1-1", 0 },
        { "2030-13-01", 0 },
        { "2030-00-01", 0 },
        { "2030-01-00", 0 },
        { "2030-04-31", 0 },
        { "2027-02-29", 0 },
        { "2100-02-29", 0 },
        { "2030-12-31T", 0 },
        { "2030-12-31T24:00:00Z", 0 },
        { "2030-12-31T23:60:00Z", 0 },
        { "2030-12-31T23:59:60Z", 0 },
        { "2030-12-31T23:59:59Zx", 0 },
        { "2030-12-31T23:59:59+0200", 0 },
        { "2030-12-31T23:59:59+24:00", 0 },
        { "2030-12-31T23:59:59.5Z", 0 },
        { "9999-12-31T23:59:59-01:00", 0 },
        { "soon", 0 },
        { "7", 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = str(cases[i].text);

        is(cases[i].text, ngx_apigw_cli_time(&text, NOW, &t) == NGX_OK
                          ? t == cases[i].time : cases[i].time == 0);
    }

    /* what is behind the string is not looked at */

    text = str("2030-12-31T");
    text.len--;
    is("a length", ngx_apigw_cli_time(&text, NOW, &t) == NGX_OK);
}


static void
test_time_text(void)
{
    char  buf[NGX_APIGW_CLI_TIME_TEXT];

    is("a time as text",
       strcmp(ngx_apigw_cli_time_text(1924991999, buf),
              "2030-12-31T23:59:59Z") == 0);
    is("the last time as text",
       strcmp(ngx_apigw_cli_time_text(253402300799, buf),
              "9999-12-31T23:59:59Z") == 0);
    is("a time after that",
       strcmp(ngx_apigw_cli_time_text(253402300800, buf), "-") == 0);
    is("a negative time",
       strcmp(ngx_apigw_cli_time_text(-1, buf), "-") == 0);
}


static void
test_duration(void)
{
    time_t      t;
    ngx_str_t   text;
    ngx_uint_t  i;

    static const struct {
        const char  *text;
        time_t       time;     /* -1: is refused */
    } cases[] = {
        { "0s", 0 },
        { "1s", 1 },
        { "90m", 5400 },
        { "7d", 604800 },
        { "2w", 1209600 },
        { "1d12h", 129600 },
        { "365000d", 31536000000 },

        { "", -1 },
        { "s", -1 },
        { "7", -1 },
        { "7x", -1 },
        { "7d1", -1 },
        { "12h1d", -1 },
        { "1d1d", -1 },
        { "-1d", -1 },
        { "1 d", -1 },
        { "366001d", -1 },
        { "366000d366000h", -1 },
        { "99999999999999999999999d", -1 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = str(cases[i].text);

        is(cases[i].text, ngx_apigw_cli_duration(&text, &t) == NGX_OK
                          ? t == cases[i].time : cases[i].time == -1);
    }
}


static void
test_number(void)
{
    int64_t    n;
    ngx_str_t  text;

    text = str("0");
    is("number 0", ngx_apigw_cli_number(&text, &n) == NGX_OK && n == 0);

    text = str("999999999999999");
    is("the largest number", ngx_apigw_cli_number(&text, &n) == NGX_OK
                             && n == 999999999999999);

    text = str("1000000000000001");
    is("a larger one", ngx_apigw_cli_number(&text, &n) == NGX_ERROR);

    text = str("99999999999999999999999999999");
    is("a huge one", ngx_apigw_cli_number(&text, &n) == NGX_ERROR);

    text = str("");
    is("no number", ngx_apigw_cli_number(&text, &n) == NGX_ERROR);

    text = str("-1");
    is("a sign", ngx_apigw_cli_number(&text, &n) == NGX_ERROR);

    text = str("1k");
    is("a letter", ngx_apigw_cli_number(&text, &n) == NGX_ERROR);
}


static void
test_printable(void)
{
    ngx_str_t   text;
    ngx_uint_t  i;

    static const struct {
        const char  *name;
        const char  *text;
        ngx_uint_t   good;
    } cases[] = {
        { "ASCII", "abc ~", 1 },
        { "nothing", "", 1 },
        { "two bytes", "\xc3\xa9", 1 },
        { "three bytes", "\xe2\x82\xac", 1 },
        { "four bytes", "\xf0\x9f\x98\x80", 1 },
        { "U+10FFFF", "\xf4\x8f\xbf\xbf", 1 },

        { "a control character", "a\x1f", 0 },
        { "a newline", "a\n", 0 },
        { "DEL", "\x7f", 0 },
        { "C1", "\xc2\x9b", 0 },
        { "a lone byte", "\x80", 0 },
        { "cut short", "\xe2\x82", 0 },
        { "cut short by ASCII", "\xe2\x82x", 0 },
        { "too long a form of /", "\xc0\xaf", 0 },
        { "too long a form of three", "\xe0\x9f\xbf", 0 },
        { "too long a form of four", "\xf0\x8f\xbf\xbf", 0 },
        { "a surrogate", "\xed\xa0\x80", 0 },
        { "beyond U+10FFFF", "\xf4\x90\x80\x80", 0 },
        { "five bytes", "\xf8\x88\x80\x80\x80", 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = str(cases[i].text);

        is(cases[i].name, ngx_apigw_cli_printable(&text) == cases[i].good);
    }
}


static void
test_json(void)
{
    ngx_str_t            text;
    ngx_apigw_cli_buf_t  b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_buf_literal(&b, "{");
    text = str("a\"b\\c\n\x7f\xc3\xa9\xff\xe2\x82");
    ngx_apigw_cli_json_text(&b, "text", &text);
    ngx_apigw_cli_json_number(&b, "number", -5);
    ngx_apigw_cli_json_time(&b, "time", 1924991999);
    ngx_apigw_cli_json_name(&b, "hex");
    ngx_apigw_cli_buf_hex(&b, (u_char *) "\x00\xff\x1a", 3);
    ngx_apigw_cli_buf_literal(&b, "}");

    text = str("{\"text\":\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa9"
               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"number\":-5,"
               "\"time\":\"2030-12-31T23:59:59Z\",\"hex\":00ff1a}");

    is("JSON", b.len == text.len && memcmp(b.data, text.data, b.len) == 0);

    ngx_apigw_cli_buf_free(&b);
}


static void
is(const char *name, ngx_uint_t good)
{
    const char  *p;

    tests++;
    failed += !good;

    printf("%sok %u - ", good ? "" : "not ", (unsigned) tests);

    /* "#" would begin a directive of TAP */

    for (p = name; *p; p++) {
        putchar((*p < ' ' || *p == '#') ? '?' : *p);
    }

    printf("\n");
}


static ngx_str_t
str(const char *text)
{
    ngx_str_t  value;

    value.data = (u_char *) text;
    value.len = strlen(text);

    return value;
}
