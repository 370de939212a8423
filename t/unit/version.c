/*
 * Copyright (C) the apigw authors
 */


/*
 * Versions: dates, labels, the places that name one, Accept as in RFC 9110,
 * and that the shares of canaries are right and only grow.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <math.h>

#include "ngx_apigw_date.c"
#include "ngx_apigw_label.c"
#include "ngx_apigw_accept.c"


#define CALLERS  100000


static void test_date_parse(void);
static void test_date_format(void);
static void test_label(void);
static void test_number(void);
static void test_named(void);
static void test_path(void);
static void test_plain(void);
static void test_query(void);
static void test_host(void);
static void test_dotted(void);
static void test_accept(void);
static void test_accept_first(void);
static void test_accept_malformed(void);
static void test_share_parse(void);
static void test_share(void);
static void is(const char *name, ngx_uint_t good);
static ngx_str_t str(const char *text);
static ngx_uint_t same(ngx_str_t *value, const char *text);


static ngx_uint_t  tests, failed;


int
main(void)
{
    test_date_parse();
    test_date_format();
    test_label();
    test_number();
    test_named();
    test_path();
    test_plain();
    test_query();
    test_host();
    test_dotted();
    test_accept();
    test_accept_first();
    test_accept_malformed();
    test_share_parse();
    test_share();

    printf("1..%u\n", (unsigned) tests);

    return failed != 0;
}


static void
test_date_parse(void)
{
    time_t       date;
    ngx_uint_t   i;
    ngx_int_t    rc;

    static struct {
        const char  *text;
        time_t       date;      /* -1: refused */
    } dates[] = {
        { "1970-01-01", 0 },
        { "2026-06-01", 1780272000 },
        { "2026-06-01T00:00:00Z", 1780272000 },
        { "2026-06-01T12:00:01Z", 1780315201 },
        { "2024-02-29", 1709164800 },
        { "2000-02-29", 951782400 },
        { "9999-12-31T23:59:59Z", 253402300799 },
        { "2026-02-29", -1 },
        { "2026-02-30", -1 },
        { "2100-02-29", -1 },
        { "2026-04-31", -1 },
        { "2026-13-01", -1 },
        { "2026-00-01", -1 },
        { "2026-01-00", -1 },
        { "1969-12-31", -1 },
        { "2026-6-1", -1 },
        { "2026/06/01", -1 },
        { "2026-06-01T24:00:00Z", -1 },
        { "2026-06-01T00:60:00Z", -1 },
        { "2026-06-01T00:00:60Z", -1 },
        { "2026-06-01T00:00:00", -1 },
        { "2026-06-01T00:00:00+00:00", 1780272000 },
        { "2026-06-01T02:00:00+02:00", 1780272000 },
        { "2026-05-31T18:30:00-05:30", 1780272000 },
        { "2024-02-29T23:59:59-00:01", 1709251259 },
        { "1970-01-01T01:00:00+01:00", 0 },
        { "1970-01-01T00:00:00+01:00", -1 },
        { "9999-12-31T23:59:59-00:01", -1 },
        { "2026-06-01T00:00:00+01", -1 },
        { "2026-06-01T00:00:00+0100", -1 },
        { "2026-06-01T00:00:00+24:00", -1 },
        { "2026-06-01T00:00:00+01:60", -1 },
        { "2026-06-01T00:00:00 01:00", -1 },
        { "2026-06-01T00:00:00Z01:00", -1 },
        { "2026-06-01T00:00:00z", -1 },
        { "2016-12-31T23:59:60Z", -1 },
        { "2026-06-01 00:00:00Z", -1 },
        { "2026-06-01T", -1 },
        { "2026-06-0a", -1 },
        { "+026-06-01", -1 },
        { "tomorrow", -1 },
        { "", -1 }
    };

    for (i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        rc = ngx_apigw_date_parse((u_char *) dates[i].text,
                                  strlen(dates[i].text), &date);

        is(dates[i].text, dates[i].date < 0 ? rc == NGX_ERROR
                          : rc == NGX_OK && date == dates[i].date);
    }
}


static void
test_date_format(void)
{
    time_t       date, read;
    u_char       buf[64], *p;
    char         text[64];
    struct tm    tm;
    ngx_uint_t   bad;

    bad = 0;

    /* a step of about 9 days that hits every time of day, up to 9999 */

    for (date = 0; date < 253402300800; date += 777781) {
        gmtime_r(&date, &tm);

        p = ngx_apigw_date_http(buf, date);
        *p = '\0';
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);

        bad += strcmp(text, (char *) buf) != 0
               || p - buf != NGX_APIGW_DATE_HTTP_LEN;

        p = ngx_apigw_date_iso(buf, date);
        *p = '\0';
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);

        bad += strcmp(text, (char *) buf) != 0
               || ngx_apigw_date_parse(buf, p - buf, &read) != NGX_OK
               || read != date;
    }

    is("dates are written as by strftime(), and read again", bad == 0);
}


static void
test_label(void)
{
    char  text[80];

    memset(text, 'a', sizeof(text));

    is("label v1", ngx_apigw_label_valid((u_char *) "v1", 2));
    is("label 1.2-rc_3", ngx_apigw_label_valid((u_char *) "1.2-rc_3", 8));
    is("no empty label", !ngx_apigw_label_valid((u_char *) "", 0));
    is("no label ..", !ngx_apigw_label_valid((u_char *) "..", 2));
    is("no label with a slash", !ngx_apigw_label_valid((u_char *) "a/b", 3));
    is("no label with a quote", !ngx_apigw_label_valid((u_char *) "a\"b", 3));
    is("no label with a bracket", !ngx_apigw_label_valid((u_char *) "a[", 2));
    is("64 bytes", ngx_apigw_label_valid((u_char *) text, 64));
    is("not 65", !ngx_apigw_label_valid((u_char *) text, 65));
}


static void
test_number(void)
{
    ngx_uint_t          i;
    ngx_apigw_number_t  a, b;

    static struct {
        const char  *text;
        ngx_uint_t   shape;
    } shapes[] = {
        { "1", NGX_APIGW_SHAPE_NUMBER },
        { "1.2.3.4", NGX_APIGW_SHAPE_NUMBER },
        { "v1", NGX_APIGW_SHAPE_V },
        { "V10.2", NGX_APIGW_SHAPE_V },
        { "v99999999999999999999", NGX_APIGW_SHAPE_V },
        { "2026-06-01", NGX_APIGW_SHAPE_DATE },
        { "1.2.3.4.5", NGX_APIGW_SHAPE_NONE },
        { "v", NGX_APIGW_SHAPE_NONE },
        { "v1.", NGX_APIGW_SHAPE_NONE },
        { "v.1", NGX_APIGW_SHAPE_NONE },
        { "v1a", NGX_APIGW_SHAPE_NONE },
        { "vv1", NGX_APIGW_SHAPE_NONE },
        { "items", NGX_APIGW_SHAPE_NONE },
        { "2026-06-0x", NGX_APIGW_SHAPE_NONE },
        { "2026-06", NGX_APIGW_SHAPE_NONE },
        { "-1", NGX_APIGW_SHAPE_NONE },
        { "", NGX_APIGW_SHAPE_NONE }
    };

    /* each above the one before */

    static const char *order[] = {
        "v0", "v0.9", "v1", "v1.0.1", "v1.2", "v1.10", "v2", "v10"
    };

    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        is(shapes[i].text,
           ngx_apigw_label_number((u_char *) shapes[i].text,
                                  strlen(shapes[i].text), &a)
           == shapes[i].shape);
    }

    for (i = 1; i < sizeof(order) / sizeof(order[0]); i++) {
        ngx_apigw_label_number((u_char *) order[i - 1], strlen(order[i - 1]),
                               &a);
        ngx_apigw_label_number((u_char *) order[i], strlen(order[i]), &b);

        is(order[i], ngx_apigw_number_cmp(&a, &b) == -1
                     && ngx_apigw_number_cmp(&b, &a) == 1
                     && ngx_apigw_number_cmp(&a, &a) == 0);
    }

    ngx_apigw_label_number((u_char *) "2025-12-31", 10, &a);
    ngx_apigw_label_number((u_char *) "2026-01-01", 10, &b);
    is("dates in order", ngx_apigw_number_cmp(&a, &b) == -1);
}


static void
test_named(void)
{
    ngx_uint_t  i;
    ngx_str_t   label;

    static struct {
        const char  *label;
        const char  *text;
        ngx_uint_t   named;
    } names[] = {
        { "v2", "v2", 1 },
        { "v2", "V2", 1 },
        { "v2", "2", 1 },
        { "2", "v2", 1 },
        { "2", "2", 1 },
        { "v2.1", "2.1", 1 },
        { "Beta", "beta", 1 },
        { "v2", "v2 ", 0 },
        { "v2", "v22", 0 },
        { "v2", "", 0 },
        { "v2", "v", 0 },
        { "vega", "ega", 0 },
        { "v", "", 0 }
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        label = str(names[i].label);

        is(names[i].text,
           ngx_apigw_label_named(&label, (u_char *) names[i].text,
                                 strlen(names[i].text))
           == names[i].named);
    }
}


static void
test_path(void)
{
    ngx_int_t   rc;
    ngx_str_t   path, base, segment;
    ngx_uint_t  i;

    static struct {
        const char  *path;
        const char  *base;
        ngx_uint_t   n;
        const char  *segment;   /* NULL: none */
    } paths[] = {
        { "/v1/x", "", 1, "v1" },
        { "/v1", "", 1, "v1" },
        { "/v1/", "", 1, "v1" },
        { "/", "", 1, NULL },
        { "//v1", "", 1, NULL },
        { "//v1", "", 2, "v1" },
        { "/a/v1/x", "", 2, "v1" },
        { "/a/v1/x", "/a", 1, "v1" },
        { "/a/b/v1/x", "/a", 2, "v1" },
        { "/ab/v1/x", "/a", 1, NULL },
        { "/a", "/a", 1, NULL },
        { "/a/", "/a", 1, NULL },
        { "/b/v1", "/a", 1, NULL },
        { "/v1/x", "", 3, NULL },
        { "", "", 1, NULL }
    };

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        path = str(paths[i].path);
        base = str(paths[i].base);

        rc = ngx_apigw_path_segment(&path, &base, paths[i].n, &segment);

        is(paths[i].path, paths[i].segment == NULL ? rc == NGX_DECLINED
                          : rc == NGX_OK && same(&segment, paths[i].segment));
    }
}


/* Every byte at every place of paths of every length up to 40. */

static void
test_plain(void)
{
    u_char      path[40], copy[40 + 8];
    size_t      len, i;
    ngx_uint_t  ch, plain, bad;

    bad = 0;

    for (len = 0; len <= sizeof(path); len++) {
        for (i = 0; i < ngx_max(len, 1); i++) {
            for (ch = 0; ch < 256; ch++) {

                memset(path, 'x', sizeof(path));
                path[i] = (u_char) ch;

                plain = i >= len || ch == '-' || ch == '.' || ch == '/'
                        || (ch >= '0' && ch <= '9')
                        || (ch >= 'a' && ch <= 'z')
                        || (ch >= 'A' && ch <= 'Z');

                bad += ngx_apigw_path_plain(path, len) != plain;

                memset(copy, '#', sizeof(copy));
                bad += ngx_apigw_path_copy(copy, path, len) != plain;
                bad += plain && memcmp(copy, path, len) != 0;
                bad += memcmp(copy + len, "########", 8) != 0;

                /* its neighbours have no influence */

                memset(path, '\xff', sizeof(path));
                path[i] = (u_char) ch;
                bad += len > 1 && ngx_apigw_path_plain(path, len);
            }
        }
    }

    is("plain paths, all bytes at all places", bad == 0);
}


static void
test_query(void)
{
    u_char      buf[NGX_APIGW_LABEL_LEN + 1];
    char        text[200];
    ngx_int_t   rc;
    ngx_str_t   args, name, value;
    ngx_uint_t  i, named;

    const u_char  *from;

    static struct {
        const char  *args;
        ngx_int_t    rc;
        const char  *value;
    } queries[] = {
        { "version=v1", NGX_OK, "v1" },
        { "a=b&version=v1&c", NGX_OK, "v1" },
        { "%76ersion=%761", NGX_OK, "v1" },
        { "version=a+b", NGX_OK, "a b" },
        { "version=%", NGX_OK, "%" },
        { "version=%4", NGX_OK, "%4" },
        { "version=%zz", NGX_OK, "%zz" },
        { "version=v1&version=v1", NGX_OK, "v1" },
        { "version=v1&version=%76%31", NGX_OK, "v1" },
        { "version=&version=v1", NGX_OK, "v1" },
        { "version=v1=2", NGX_OK, "v1=2" },
        { "version=v1&version=v2", NGX_ABORT, NULL },
        { "version=v1&version=v11", NGX_ABORT, NULL },
        { "version=v11&version=v1", NGX_ABORT, NULL },
        { "Version=v1", NGX_DECLINED, NULL },
        { "xversion=v1", NGX_DECLINED, NULL },
        { "versions=v1", NGX_DECLINED, NULL },
        { "versio=v1", NGX_DECLINED, NULL },
        { "version", NGX_DECLINED, NULL },
        { "version=", NGX_DECLINED, NULL },
        { "version&v1", NGX_DECLINED, NULL },
        { "&&=&", NGX_DECLINED, NULL },
        { "", NGX_DECLINED, NULL }
    };

    name = str("version");

    for (i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        args = str(queries[i].args);

        rc = ngx_apigw_query_value(&args, &name, buf, &value);

        is(queries[i].args, rc == queries[i].rc
                            && (rc != NGX_OK
                                || same(&value, queries[i].value)));

        if (strchr(queries[i].args, '&')) {
            continue;
        }

        /* one parameter: it is named, or it has no value */

        from = NULL;
        named = ngx_apigw_query_named(args.data, args.data + args.len, &name,
                                      &from);

        is("the same parameter, to be replaced",
           named == (rc == NGX_OK)
           && (!named || (from[-1] == '=' && memchr(args.data, '=', args.len)
                                             == from - 1)));
    }

    memset(text, 'v', sizeof(text));
    memcpy(text, "version=", 8);

    args.data = (u_char *) text;
    args.len = sizeof(text);

    is("a long value is no label",
       ngx_apigw_query_value(&args, &name, buf, &value) == NGX_OK
       && value.len == NGX_APIGW_LABEL_LEN + 1);
}


static void
test_host(void)
{
    ngx_int_t   rc;
    ngx_str_t   host, pattern, value;
    ngx_uint_t  i;

    static struct {
        const char  *host;
        const char  *pattern;
        const char  *value;     /* NULL: none */
    } hosts[] = {
        { "v1.api.example.com", "*.api.example.com", "v1" },
        { "v1.2.api.example.com", "*.api.example.com", "v1.2" },
        { "api-v1.example.com", "api-*.example.com", "v1" },
        { "api.example.v1", "api.example.*", "v1" },
        { ".api.example.com", "*.api.example.com", NULL },
        { "api.example.com", "*.api.example.com", NULL },
        { "v1.api.example.org", "*.api.example.com", NULL },
        { "", "*.api.example.com", NULL },
        { "api-.example.com", "api-*.example.com", NULL }
    };

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        host = str(hosts[i].host);
        pattern = str(hosts[i].pattern);

        rc = ngx_apigw_host_value(&host, &pattern, &value);

        is(hosts[i].host, hosts[i].value == NULL ? rc == NGX_DECLINED
                          : rc == NGX_OK && same(&value, hosts[i].value));
    }
}


static void
test_dotted(void)
{
    ngx_str_t  name, next;

    name = str(".acme..v1.Orders");
    next.len = 0;

    is("dotted: first", ngx_apigw_dotted_next(&name, &next) == NGX_OK
                        && same(&next, "acme"));
    is("dotted: second", ngx_apigw_dotted_next(&name, &next) == NGX_OK
                         && same(&next, "v1"));
    is("dotted: third", ngx_apigw_dotted_next(&name, &next) == NGX_OK
                        && same(&next, "Orders"));
    is("dotted: end", ngx_apigw_dotted_next(&name, &next) == NGX_DECLINED);
}


/* The elements of type t/x as "version:quality", in order. */

static void
test_accept(void)
{
    u_char              *p;
    u_char               text[512];
    ngx_str_t            field, type;
    ngx_uint_t           i;
    const u_char        *pos;
    ngx_apigw_accept_t   accept;

    static struct {
        const char  *field;
        const char  *type;
        const char  *found;
    } fields[] = {

        /* RFC 9110, 12.5.1: all its examples, with "version" for "format" */

        { "audio/*; q=0.2, audio/basic", "audio/basic", ":1000 " },
        { "audio/*; q=0.2, audio/basic", "audio/mp3", "" },
        { "text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
          "text/plain", ":500 " },
        { "text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
          "text/html", ":1000 " },
        { "text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
          "text/x-dvi", ":800 " },
        { "text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
          "text/x-c", ":1000 " },
        { "text/*, text/plain, text/plain;version=flowed, */*",
          "text/plain", ":1000 flowed:1000 " },
        { "text/*;q=0.3, text/plain;q=0.7, text/plain;version=flowed,"
          " text/plain;version=fixed;q=0.4, */*;q=0.5",
          "text/plain", ":700 flowed:1000 fixed:400 " },

        /* vendor types */

        { "application/vnd.a.t.v2+json", "application/vnd.a.t", "v2:1000 " },
        { "application/vnd.a.t.v2.1+json", "application/vnd.a.t",
          "v2.1:1000 " },
        { "application/vnd.a.t.v2", "application/vnd.a.t", "v2:1000 " },
        { "application/vnd.a.t+json;version=2", "application/vnd.a.t",
          "2:1000 " },
        { "application/vnd.a.t+json;charset=utf-8; VERSION = 2",
          "application/vnd.a.t", "" },
        { "application/vnd.a.t+json;charset=utf-8; VERSION=\"2\" ; Q=0.25",
          "application/vnd.a.t", "2:250 " },
        { "Application/VND.a.T.V2+JSON", "application/vnd.a.t", "V2:1000 " },
        { "application/vnd.a.t.v1+json;version=2", "application/vnd.a.t",
          "v1:1000! " },
        { "application/vnd.a.tx.v1+json", "application/vnd.a.t", "" },
        { "application/vnd.a.t.+json", "application/vnd.a.t", "" },
        { "application/vnd.a.t.v1;q=0, application/vnd.a.t.v2;q=1.000",
          "application/vnd.a.t", "v1:0 v2:1000 " },
        { "a/b;x=\"a,b;application/vnd.a.t.v1\", application/vnd.a.t.v2",
          "application/vnd.a.t", "v2:1000 " },
        { "a/b;x=\"\\\",application/vnd.a.t.v1\", application/vnd.a.t.v2",
          "application/vnd.a.t", "v2:1000 " },
        { ",, ,application/vnd.a.t.v2,,", "application/vnd.a.t", "v2:1000 " },
        { "application/vnd.a.t.v2 ;; q=0.5 ;", "application/vnd.a.t",
          "v2:500 " },
        { "application/vnd.a.t.v2;q=0.", "application/vnd.a.t", "v2:0 " },
        { "", "application/vnd.a.t", "" }
    };

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        field = str(fields[i].field);
        type = str(fields[i].type);
        pos = field.data;
        p = text;

        while (ngx_apigw_accept_next(&pos, field.data + field.len, &type,
                                     &accept)
               == NGX_OK)
        {
            p += sprintf((char *) p, "%.*s:%u%s ", (int) accept.version.len,
                         accept.version.len ? (char *) accept.version.data
                                            : "",
                         (unsigned) accept.quality, accept.twice ? "!" : "");
        }

        *p = '\0';

        is(fields[i].field, strcmp((char *) text, fields[i].found) == 0);
    }
}


/* What begins with one version is read in short, and read alike. */

static void
test_accept_first(void)
{
    ngx_str_t            field, type, version;
    ngx_uint_t           i;
    const u_char        *pos, *next;
    ngx_apigw_accept_t   accept;

    static const struct {
        const char  *field;
        ngx_uint_t   found;
    } fields[] = {
        { "a/t.v1", 1 }, { "a/t.v1+json", 1 }, { "a/t.1.2+a+b", 1 },
        { "a/t.v1+", 1 }, { "a/t.v1,a/b", 1 }, { "a/t.v1,", 1 },
        { "a/t.v1+json, a/t.v2;q=0", 1 },
        { "a/t", 0 }, { "a/t.", 0 }, { "a/t+json", 0 },
        { "a/tx.v1", 0 }, { "A/t.v1", 0 }, { "a/t.v1 ", 0 }, { " a/t.v1", 0 },
        { "a/t.v1;q=0", 0 }, { "a/t.v1+json;q=0", 0 }, { "a/t.v1 ,a/b", 0 },
        { "a/t.v1\"", 0 }, { "a/t.v1+j\"", 0 }, { "", 0 }
    };

    type = str("a/t");

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        field = str(fields[i].field);
        pos = field.data;

        next = ngx_apigw_accept_first(pos, pos + field.len, &type, &version);

        is(fields[i].field, (next != NULL) == fields[i].found
           && (next == NULL
               || (ngx_apigw_accept_next(&pos, field.data + field.len, &type,
                                         &accept)
                   == NGX_OK
                   && accept.quality == 1000
                   && accept.version.len == version.len
                   && accept.version.data == version.data
                   && pos == next)));
    }
}


/* A malformed element is passed over, what follows counts. */

static void
test_accept_malformed(void)
{
    char                 text[512];
    ngx_str_t            field, type;
    ngx_uint_t           i;
    const u_char        *pos;
    ngx_apigw_accept_t   accept;

    static const char *bad[] = {
        "a/t.v1;q=1.001", "a/t.v1;q=2", "a/t.v1;q=-1", "a/t.v1;q=0.1234",
        "a/t.v1;q=.5", "a/t.v1;q=", "a/t.v1;q", "a/t.v1;q=\"\"",
        "a/t.v1;x=", "a/t.v1 x", "a/t.v1;=1", "a/t.v1;x=(", "a/t.v1\x01",
        "a/t.v1;x=\"1\"2", "a/t.v1\xff"
    };

    type = str("a/t");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sprintf(text, "%s, a/t.v2", bad[i]);
        field = str(text);
        pos = field.data;

        is(bad[i],
           ngx_apigw_accept_next(&pos, field.data + field.len, &type, &accept)
           == NGX_OK
           && same(&accept.version, "v2")
           && ngx_apigw_accept_next(&pos, field.data + field.len, &type,
                                    &accept)
              == NGX_DONE);
    }

    field = str("a/t.v1;x=\"open, a/t.v2");
    pos = field.data;

    is("an open quote takes the rest",
       ngx_apigw_accept_next(&pos, field.data + field.len, &type, &accept)
       == NGX_DONE);
}


static void
test_share_parse(void)
{
    ngx_uint_t  i;

    static struct {
        const char  *text;
        ngx_int_t    share;
    } shares[] = {
        { "5%", 500 },
        { "0%", 0 },
        { "0.01%", 1 },
        { "12.5%", 1250 },
        { "99.99%", 9999 },
        { "100%", 10000 },
        { "100.00%", 10000 },
        { "100.01%", NGX_ERROR },
        { "101%", NGX_ERROR },
        { "99999999999999999999%", NGX_ERROR },
        { "0.001%", NGX_ERROR },
        { "5", NGX_ERROR },
        { "%", NGX_ERROR },
        { ".5%", NGX_ERROR },
        { "5.%", NGX_ERROR },
        { "-5%", NGX_ERROR },
        { "5 %", NGX_ERROR },
        { "", NGX_ERROR }
    };

    for (i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        is(shares[i].text,
           ngx_apigw_share_parse((u_char *) shares[i].text,
                                 strlen(shares[i].text))
           == shares[i].share);
    }
}


/*
 * Of many callers the share is right within five standard deviations, for
 * keys of every kind, and whoever is in a share is in every larger one (that
 * follows from a place that does not depend on it).
 */

static void
test_share(void)
{
    int                    len;
    char                   caller[64], name[64];
    double                 expected, deviation;
    uint64_t               limit;
    ngx_uint_t             i, k, n, in, other, both;
    ngx_apigw_hash_key_t   salt, second;

    static ngx_int_t   shares[] = { 1, 10, 100, 500, 2500, 5000, 9900 };
    static const char *formats[] = { "%lu", "10.0.%lu.7", "consumer-%lu" };

    salt.k[0] = 1;
    salt.k[1] = 2;
    second.k[0] = 3;
    second.k[1] = 4;

    for (k = 0; k < sizeof(formats) / sizeof(formats[0]); k++) {

        for (n = 0; n < sizeof(shares) / sizeof(shares[0]); n++) {

            limit = ((uint64_t) shares[n] << 32) / NGX_APIGW_SHARE_ALL;
            in = 0;

            for (i = 0; i < CALLERS; i++) {
                len = sprintf(caller, formats[k], (unsigned long) i);

                in += ngx_apigw_share_place(&salt, (u_char *) caller, len)
                      < limit;
            }

            expected = CALLERS * (double) shares[n] / NGX_APIGW_SHARE_ALL;
            deviation = sqrt(expected * (1 - expected / CALLERS));

            sprintf(name, "%s: %lu of %d for %ld", formats[k],
                    (unsigned long) in, CALLERS, (long) shares[n]);

            is(name, fabs(in - expected) <= 5 * deviation + 1);
        }
    }

    /* two canaries choose their callers independently */

    other = 0;
    both = 0;

    for (i = 0; i < CALLERS; i++) {
        len = sprintf(caller, "%lu", (unsigned long) i);

        k = ngx_apigw_share_place(&salt, (u_char *) caller, len) < 1U << 31;
        n = ngx_apigw_share_place(&second, (u_char *) caller, len) < 1U << 31;

        other += n;
        both += n && k;
    }

    is("half of the half", fabs(both - other / 2.0) <= 5 * sqrt(CALLERS / 8.0));

    is("the same on every machine",
       ngx_apigw_share_place(&salt, (u_char *) "alice", 5) == 0x2a0dc3ff);
}


static void
is(const char *name, ngx_uint_t good)
{
    const char  *p;

    printf("%sok %u - ", good ? "" : "not ", (unsigned) ++tests);

    for (p = name; *p; p++) {
        putchar(*p > 31 && *p < 127 && *p != '#' ? *p : '?');
    }

    putchar('\n');

    failed += !good;
}


static ngx_str_t
str(const char *text)
{
    ngx_str_t  value;

    value.data = (u_char *) text;
    value.len = strlen(text);

    return value;
}


static ngx_uint_t
same(ngx_str_t *value, const char *text)
{
    return value->len == strlen(text)
           && memcmp(value->data, text, value->len) == 0;
}
