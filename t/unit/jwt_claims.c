/*
 * Copyright (C) the apigw authors
 */


/* Claims: times, audience, scopes, values by path, and comparisons. */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_claims.c"


#define NEVER   NGX_APIGW_CLAIMS_NEVER
#define ALWAYS  NGX_APIGW_CLAIMS_ALWAYS


static ngx_uint_t  number;


static void
ok(ngx_uint_t right, const char *fmt, ...)
{
    char     name[256], *p;
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);

    for (p = name; *p; p++) {
        if (*p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }

    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
}


/* A copy of the exact size, so that a byte too far is noticed. */

static json_t *
parse_n(const char *text, size_t len)
{
    u_char      *copy;
    json_t      *claims;
    const char  *why;

    why = NULL;

    copy = malloc(len ? len : 1);
    ngx_memcpy(copy, text, len);

    claims = ngx_apigw_claims_parse(copy, len, &why);

    if ((claims == NULL) != (why != NULL)) {
        printf("# the reason does not tell\n");
        abort();
    }

    free(copy);

    return claims;
}


static json_t *
parse(const char *text)
{
    json_t  *claims;

    claims = parse_n(text, strlen(text));

    if (claims == NULL) {
        printf("# no claims: %s\n", text);
        abort();
    }

    return claims;
}


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static void
test_parse(void)
{
    char        *text;
    json_t      *claims;
    ngx_uint_t   i;

    static const char *const  wrong[] = {
        "", "7", "[]", "\"x\"", "null", "{", "{}{}", "{\"a\":1,\"a\":1}",
        "{\"a\":{\"b\":1,\"b\":1}}", "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\ud800\"}", "{\"a\":\"\xff\"}", "\xef\xbb\xbf{}",
        "{\"exp\":1e400}", "{\"exp\":99999999999999999999}", "{\"a\":01}",
        "{'a':1}", "{a:1}", "{\"a\":1,}", "{\"a\":NaN}"
    };

    for (i = 0; i < sizeof(wrong) / sizeof(char *); i++) {
        claims = parse_n(wrong[i], strlen(wrong[i]));
        ok(claims == NULL, "no claims: %s", wrong[i]);
        json_decref(claims);
    }

    text = malloc(NGX_APIGW_CLAIMS_SIZE_MAX + 1);
    ngx_memset(text, ' ', NGX_APIGW_CLAIMS_SIZE_MAX + 1);
    text[0] = '{';
    text[1] = '}';

    claims = parse_n(text, NGX_APIGW_CLAIMS_SIZE_MAX);
    ok(claims != NULL, "65536 bytes");
    json_decref(claims);

    claims = parse_n(text, NGX_APIGW_CLAIMS_SIZE_MAX + 1);
    ok(claims == NULL, "one more");
    json_decref(claims);

    /* deep, and never closed */

    ngx_memcpy(text, "{\"a\":", 5);
    ngx_memset(text + 5, '[', NGX_APIGW_CLAIMS_SIZE_MAX - 5);
    claims = parse_n(text, NGX_APIGW_CLAIMS_SIZE_MAX);
    ok(claims == NULL, "65531 arrays");
    json_decref(claims);

    free(text);
}


static void
test_window(void)
{
    json_t                     *claims;
    ngx_uint_t                  i;
    ngx_apigw_claims_rc_e       rc;
    ngx_apigw_claims_times_t    times;
    ngx_apigw_claims_window_t   window;

    static const struct {
        const char              *claims;
        time_t                   leeway;
        time_t                   max_age;
        const char              *flags;
        ngx_apigw_claims_rc_e    rc;
        int64_t                  from;
        int64_t                  until;
    } cases[] = {
        { "{}", 0, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, NEVER },
        { "{}", 5, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, NEVER },
        { "{}", 0, 0, "n", NGX_APIGW_CLAIMS_MISSING, 0, 0 },
        { "{}", 0, 9, "", NGX_APIGW_CLAIMS_MISSING, 0, 0 },
        { "{\"exp\":100}", 0, 0, "n", NGX_APIGW_CLAIMS_OK, ALWAYS, 100 },
        { "{\"exp\":100}", 7, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, 107 },
        { "{\"exp\":100}", 0, 0, "i", NGX_APIGW_CLAIMS_OK, ALWAYS, NEVER },
        { "{}", 0, 0, "ni", NGX_APIGW_CLAIMS_MISSING, 0, 0 },
        { "{\"exp\":100.9}", 0, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, 100 },
        { "{\"exp\":1e2}", 0, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, 100 },
        { "{\"exp\":0}", 0, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, 0 },
        { "{\"exp\":-0}", 0, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, 0 },
        { "{\"exp\":-0.0}", 0, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, 0 },
        { "{\"exp\":9007199254740992}", 0, 0, "", NGX_APIGW_CLAIMS_OK,
          ALWAYS, 9007199254740992 },
        { "{\"nbf\":50}", 0, 0, "", NGX_APIGW_CLAIMS_OK, 50, NEVER },
        { "{\"nbf\":50}", 7, 0, "", NGX_APIGW_CLAIMS_OK, 43, NEVER },
        { "{\"nbf\":50.1}", 0, 0, "", NGX_APIGW_CLAIMS_OK, 51, NEVER },
        { "{\"nbf\":50.0}", 0, 0, "", NGX_APIGW_CLAIMS_OK, 50, NEVER },
        { "{\"exp\":100,\"nbf\":200}", 0, 0, "", NGX_APIGW_CLAIMS_OK, 200,
          100 },
        { "{\"iat\":60}", 0, 0, "", NGX_APIGW_CLAIMS_OK, ALWAYS, NEVER },
        { "{\"iat\":60}", 0, 10, "", NGX_APIGW_CLAIMS_OK, 60, 70 },
        { "{\"iat\":60.9}", 0, 10, "", NGX_APIGW_CLAIMS_OK, 60, 70 },
        { "{\"iat\":60}", 3, 10, "", NGX_APIGW_CLAIMS_OK, 57, 73 },
        { "{\"iat\":60,\"exp\":65}", 0, 10, "", NGX_APIGW_CLAIMS_OK, 60, 65 },
        { "{\"iat\":60,\"exp\":90}", 0, 10, "", NGX_APIGW_CLAIMS_OK, 60, 70 },
        { "{\"iat\":60,\"nbf\":65}", 0, 10, "", NGX_APIGW_CLAIMS_OK, 65, 70 },
        { "{\"iat\":60,\"nbf\":50}", 0, 10, "", NGX_APIGW_CLAIMS_OK, 60, 70 },
        { "{\"exp\":\"100\"}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":\"100\"}", 0, 0, "i", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":-1}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":-0.5}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":9007199254740993}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":9223372036854775807}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0,
          0 },
        { "{\"exp\":1e300}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":null}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":true}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":[100]}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"exp\":{}}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"nbf\":\"50\"}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"nbf\":-50}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"iat\":\"60\"}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 },
        { "{\"iat\":null}", 0, 0, "", NGX_APIGW_CLAIMS_BAD, 0, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        ngx_memzero(&times, sizeof(ngx_apigw_claims_times_t));
        times.leeway = cases[i].leeway;
        times.max_age = cases[i].max_age;
        times.need_exp = strchr(cases[i].flags, 'n') != NULL;
        times.ignore_exp = strchr(cases[i].flags, 'i') != NULL;

        claims = parse(cases[i].claims);
        rc = ngx_apigw_claims_window(claims, &times, &window);

        ok(rc == cases[i].rc
           && (rc != NGX_APIGW_CLAIMS_OK
               || (window.from == cases[i].from
                   && window.until == cases[i].until)),
           "%s, leeway %ld, max_age %ld, %s", cases[i].claims,
           (long) cases[i].leeway, (long) cases[i].max_age, cases[i].flags);

        json_decref(claims);
    }

    window.from = 50;
    window.until = 100;

    ok(ngx_apigw_claims_now(&window, 49) == NGX_APIGW_CLAIMS_EARLY
       && ngx_apigw_claims_now(&window, 50) == NGX_APIGW_CLAIMS_OK
       && ngx_apigw_claims_now(&window, 99) == NGX_APIGW_CLAIMS_OK
       && ngx_apigw_claims_now(&window, 100) == NGX_APIGW_CLAIMS_EXPIRED,
       "from 50 until 100");

    window.from = 200;
    ok(ngx_apigw_claims_now(&window, 50) == NGX_APIGW_CLAIMS_EARLY
       && ngx_apigw_claims_now(&window, 150) == NGX_APIGW_CLAIMS_EXPIRED
       && ngx_apigw_claims_now(&window, 250) == NGX_APIGW_CLAIMS_EXPIRED,
       "from 200 until 100");
}


static void
test_audience(void)
{
    char        *text;
    size_t       len;
    json_t      *claims;
    ngx_str_t    list[2];
    ngx_uint_t   i;

    static const struct {
        const char  *claims;
        ngx_int_t    rc;
    } cases[] = {
        { "{\"aud\":\"api\"}", NGX_OK },
        { "{\"aud\":\"web\"}", NGX_OK },
        { "{\"aud\":[\"api\"]}", NGX_OK },
        { "{\"aud\":[\"x\",\"web\",\"y\"]}", NGX_OK },
        { "{\"aud\":\"ap\"}", NGX_DECLINED },
        { "{\"aud\":\"apis\"}", NGX_DECLINED },
        { "{\"aud\":\"API\"}", NGX_DECLINED },
        { "{\"aud\":\"api web\"}", NGX_DECLINED },
        { "{\"aud\":\"\"}", NGX_DECLINED },
        { "{\"aud\":[]}", NGX_DECLINED },
        { "{\"aud\":[\"x\"]}", NGX_DECLINED },
        { "{}", NGX_DECLINED },
        { "{\"aud\":[[\"api\"]]}", NGX_ERROR },
        { "{\"aud\":[\"api\",7]}", NGX_ERROR },
        { "{\"aud\":{\"api\":1}}", NGX_ERROR },
        { "{\"aud\":7}", NGX_ERROR },
        { "{\"aud\":null}", NGX_ERROR },
        { "{\"aud\":true}", NGX_ERROR }
    };

    list[0] = str("api");
    list[1] = str("web");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        claims = parse(cases[i].claims);
        ok(ngx_apigw_claims_audience(claims, "aud", list, 2) == cases[i].rc,
           "audience of %s", cases[i].claims);
        json_decref(claims);
    }

    claims = parse("{\"client_id\":\"web\",\"aud\":\"x\"}");
    ok(ngx_apigw_claims_audience(claims, "client_id", list, 2) == NGX_OK
       && ngx_apigw_claims_audience(claims, "client_id", list, 1)
          == NGX_DECLINED
       && ngx_apigw_claims_audience(claims, "client_id", list, 0)
          == NGX_DECLINED, "another claim");
    json_decref(claims);

    text = malloc(20000);
    len = sprintf(text, "{\"aud\":[\"x\"");

    for (i = 0; i < 998; i++) {
        len += sprintf(text + len, ",\"%lu\"", (u_long) i);
    }

    len += sprintf(text + len, ",\"api\"]}");
    claims = parse(text);
    ok(ngx_apigw_claims_audience(claims, "aud", list, 2) == NGX_OK,
       "the last of 1000");
    json_decref(claims);
    free(text);
}


static void
test_string(void)
{
    json_t     *claims;
    ngx_str_t   text;

    claims = parse("{\"iss\":\"https://a/\",\"sub\":7,\"jti\":\"\"}");

    ok(ngx_apigw_claims_string(claims, "iss", &text) == NGX_OK
       && text.len == 10 && ngx_memcmp(text.data, "https://a/", 10) == 0,
       "a string");
    ok(ngx_apigw_claims_string(claims, "jti", &text) == NGX_OK
       && text.len == 0, "an empty one");
    ok(ngx_apigw_claims_string(claims, "sub", &text) == NGX_ERROR, "a number");
    ok(ngx_apigw_claims_string(claims, "is", &text) == NGX_DECLINED, "none");

    json_decref(claims);
}


static void
test_scope(void)
{
    json_t      *claims;
    ngx_str_t    list[2];
    ngx_int_t    all, any;
    ngx_uint_t   i;

    static const struct {
        const char  *claims;
        ngx_int_t    all;
        ngx_int_t    any;
    } cases[] = {
        { "{\"scope\":\"read write\"}", NGX_OK, NGX_OK },
        { "{\"scope\":\"write  x read\"}", NGX_OK, NGX_OK },
        { "{\"scope\":\" read write \"}", NGX_OK, NGX_OK },
        { "{\"scope\":[\"write\",\"read\"]}", NGX_OK, NGX_OK },
        { "{\"scp\":[\"write\",\"read\"]}", NGX_OK, NGX_OK },
        { "{\"scp\":\"read write\"}", NGX_OK, NGX_OK },
        { "{\"scope\":\"read\"}", NGX_DECLINED, NGX_OK },
        { "{\"scope\":\"x write\"}", NGX_DECLINED, NGX_OK },
        { "{\"scp\":[\"write\"]}", NGX_DECLINED, NGX_OK },
        { "{\"scope\":\"x\",\"scp\":\"read write\"}", NGX_DECLINED,
          NGX_DECLINED },
        { "{\"scope\":\"readwrite\"}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":\"rea writ\"}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":\"reads writes\"}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":\"Read Write\"}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":\"read,write\"}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":\"read\\twrite\"}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":[\"read write\"]}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":\"\"}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":[]}", NGX_DECLINED, NGX_DECLINED },
        { "{}", NGX_DECLINED, NGX_DECLINED },
        { "{\"scope\":7}", NGX_ERROR, NGX_ERROR },
        { "{\"scope\":null,\"scp\":\"read write\"}", NGX_ERROR, NGX_ERROR },
        { "{\"scope\":[\"read\",\"write\",7]}", NGX_ERROR, NGX_ERROR },
        { "{\"scope\":{\"read\":1,\"write\":1}}", NGX_ERROR, NGX_ERROR }
    };

    list[0] = str("read");
    list[1] = str("write");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        claims = parse(cases[i].claims);

        all = ngx_apigw_claims_scope(claims, list, 2, 0);
        any = ngx_apigw_claims_scope(claims, list, 2, 1);

        ok(all == cases[i].all && any == cases[i].any, "scopes of %s",
           cases[i].claims);
        json_decref(claims);
    }
}


static void
test_paths(void)
{
    char                     *copy;
    json_t                   *claims, *value;
    ngx_str_t                 text, names[18], delimiter, quote;
    ngx_uint_t                i;
    const char               *error;
    ngx_apigw_claims_path_t   path;

    /* the value is a string, or NULL: the path finds none; "!": it is wrong */

    static const struct {
        const char  *path;
        const char  *value;
    } jq[] = {
        { ".a", "1" }, { ".b.c", "2" }, { ".d[0]", "3" }, { ".d[1].e", "4" },
        { ".d[2][1]", "6" }, { ".\"x.y\"", "7" }, { ".b.\"p.q\"", "8" },
        { ".b[\"p.q\"]", "8" }, { ".[\"x.y\"]", "7" },
        { ".\"q\\\"q\\\\\"", "9" }, { ".cognito:groups", "10" },
        { ".a-b", "11" }, { ".d[00]", "3" },
        { ".none", NULL }, { ".b.none", NULL }, { ".d[3]", NULL },
        { ".d.e", NULL }, { ".b[0]", NULL }, { ".a.b", NULL },
        { ".[0]", NULL }, { ".a[0]", NULL }, { ".d[65537]", NULL },
        { "", "!" }, { ".", "!" }, { "a", "!" }, { ".a.", "!" },
        { "..a", "!" }, { ".a..b", "!" }, { ".d[", "!" }, { ".d[]", "!" },
        { ".d[0", "!" }, { ".d[-1]", "!" }, { ".d[x]", "!" },
        { ".d[0]x", "!" }, { ".d[99999999]", "!" }, { ".[invalid", "!" },
        { ".\"a", "!" }, { ".\"a\"b", "!" }, { ".\"\"", "!" },
        { ".\"\\n\"", "!" }, { ".\"a\\", "!" }, { ".a\"b\"", "!" },
        { ".a]", "!" }, { ".d[\"a]", "!" },
        { ".a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", NULL },
        { ".a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", "!" }
    };

    static const struct {
        const char  *path;
        const char  *delimiter;
        const char  *quote;
        const char  *value;
    } split[] = {
        { "a", ".", "\"", "1" }, { "b.c", ".", "\"", "2" },
        { "\"x.y\"", ".", "\"", "7" }, { "b.\"p.q\"", ".", "\"", "8" },
        { "\"b\".\"c\"", ".", "\"", "2" }, { "b::c", "::", "\"", "2" },
        { "b::p.q", "::", "\"", "8" }, { "x.y", "/", "'", "7" },
        { "b/c", "/", "'", "2" }, { "b:c", "::", "\"", NULL },
        { "b.none", ".", "\"", NULL }, { "d.0", ".", "\"", NULL },
        { "", ".", "\"", "!" }, { ".a", ".", "\"", "!" },
        { "a.", ".", "\"", "!" }, { "a..b", ".", "\"", "!" },
        { "\"a", ".", "\"", "!" }, { "\"a\"b", ".", "\"", "!" },
        { "\"\"", ".", "\"", "!" }, { "\"a\".", ".", "\"", "!" }
    };

    claims = parse("{\"a\":\"1\",\"b\":{\"c\":\"2\",\"p.q\":\"8\"},"
                   "\"d\":[\"3\",{\"e\":\"4\"},[\"5\",\"6\"]],"
                   "\"x.y\":\"7\",\"q\\\"q\\\\\":\"9\","
                   "\"cognito:groups\":\"10\",\"a-b\":\"11\"}");

    for (i = 0; i < sizeof(jq) / sizeof(jq[0]); i++) {

        text.len = strlen(jq[i].path);
        copy = malloc(text.len + 1);
        ngx_memcpy(copy, jq[i].path, text.len);
        text.data = (u_char *) copy;

        error = ngx_apigw_claims_path_jq(&path, &text);
        value = error ? NULL : ngx_apigw_claims_get(claims, &path);

        if (jq[i].value == NULL) {
            ok(error == NULL && value == NULL, "%s is nothing", jq[i].path);

        } else if (jq[i].value[0] == '!') {
            ok(error != NULL, "%s: %s", jq[i].path, error);

        } else {
            ok(value && json_is_string(value)
               && strcmp(json_string_value(value), jq[i].value) == 0,
               "%s is %s", jq[i].path, jq[i].value);
        }

        free(copy);
    }

    for (i = 0; i < sizeof(split) / sizeof(split[0]); i++) {

        text = str(split[i].path);
        delimiter = str(split[i].delimiter);
        quote = str(split[i].quote);

        error = ngx_apigw_claims_path_split(&path, &text, &delimiter, &quote);
        value = error ? NULL : ngx_apigw_claims_get(claims, &path);

        if (split[i].value == NULL) {
            ok(error == NULL && value == NULL, "%s is nothing", split[i].path);

        } else if (split[i].value[0] == '!') {
            ok(error != NULL, "%s: %s", split[i].path, error);

        } else {
            ok(value && json_is_string(value)
               && strcmp(json_string_value(value), split[i].value) == 0,
               "%s is %s", split[i].path, split[i].value);
        }
    }

    for (i = 0; i < 18; i++) {
        names[i] = str("b");
    }

    names[1] = str("p.q");
    error = ngx_apigw_claims_path_names(&path, names, 2);
    value = ngx_apigw_claims_get(claims, &path);
    ok(error == NULL && value && strcmp(json_string_value(value), "8") == 0,
       "names are as they are");

    ok(ngx_apigw_claims_path_names(&path, names, 16) == NULL
       && ngx_apigw_claims_path_names(&path, names, 17) != NULL,
       "16 of them and no more");

    names[1] = str("");
    ok(ngx_apigw_claims_path_names(&path, names, 2) != NULL, "an empty one");

    ok(ngx_apigw_claims_path_names(&path, names, 0) == NULL
       && ngx_apigw_claims_get(claims, &path) == claims, "none: all claims");

    json_decref(claims);
}


static void
test_text(void)
{
    json_t                   *claims;
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_apigw_claims_text_t   text;

    static const struct {
        const char  *claims;
        const char  *text;      /* NULL: there is none */
    } cases[] = {
        { "{\"v\":\"joe\"}", "joe" },
        { "{\"v\":\"\"}", "" },
        { "{\"v\":\"\\u00e4\\n\"}", "\xc3\xa4\n" },
        { "{\"v\":0}", "0" },
        { "{\"v\":-7}", "-7" },
        { "{\"v\":9223372036854775807}", "9223372036854775807" },
        { "{\"v\":1.5}", "1.5" },
        { "{\"v\":0.1}", "0.1" },
        { "{\"v\":2.0}", "2.0" },
        { "{\"v\":1e3}", "1000.0" },
        { "{\"v\":1e300}", "1e+300" },
        { "{\"v\":0.30000000000000004}", "0.30000000000000004" },
        { "{\"v\":-2.2250738585072014e-308}", "-2.2250738585072014e-308" },
        { "{\"v\":true}", "true" },
        { "{\"v\":false}", "false" },
        { "{\"v\":null}", NULL },
        { "{}", NULL },
        { "{\"v\":[]}", "" },
        { "{\"v\":[\"a\"]}", "a" },
        { "{\"v\":[\"\"]}", "" },
        { "{\"v\":[\"\",\"\"]}", "," },
        { "{\"v\":[\"a\",\"b\",\"c\"]}", "a,b,c" },
        { "{\"v\":[\"a\",1,2.5,true,null]}", "a,1,2.5,true,null" },
        { "{\"v\":[[\"a\",\"b\"],{\"c\":\"d\"}]}",
          "[\"a\",\"b\"],{\"c\":\"d\"}" },
        { "{\"v\":{ \"b\" : 1, \"a\" : [ 1 , 2 ] }}", "{\"b\":1,\"a\":[1,2]}" },
        { "{\"v\":{}}", "{}" },
        { "{\"v\":[\"0123456789012345678901234567890123456789\","
          "\"01234567890123456789012345678901234567890123456789\","
          "\"0123456789012345678901234567890123456789012345\"]}",
          "0123456789012345678901234567890123456789,"
          "01234567890123456789012345678901234567890123456789,"
          "0123456789012345678901234567890123456789012345" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        claims = parse(cases[i].claims);
        rc = ngx_apigw_claims_text(json_object_get(claims, "v"), &text);

        if (cases[i].text == NULL) {
            ok(rc == NGX_DECLINED && text.memory == NULL, "%s has no text",
               cases[i].claims);

        } else {
            ok(rc == NGX_OK && text.text.len == strlen(cases[i].text)
               && ngx_memcmp(text.text.data, cases[i].text, text.text.len)
                  == 0, "%s", cases[i].claims);
        }

        free(text.memory);
        json_decref(claims);
    }
}


static ngx_int_t
match(void *data, const u_char *text, size_t len)
{
    ngx_str_t  *want;

    want = data;

    if (want->len == 0) {
        return NGX_ERROR;
    }

    return (want->len == len && ngx_memcmp(want->data, text, len) == 0)
           ? NGX_OK : NGX_DECLINED;
}


static void
test_compare(void)
{
    char                     *big;
    json_t                   *claims, *expected, *value;
    ngx_int_t                 rc;
    ngx_str_t                 name, pattern;
    ngx_uint_t                i, n;
    ngx_apigw_claims_test_t   test;

    /* whether it is met, and whether its negation is; expected is JSON */

    static const struct {
        const char  *value;
        const char  *op;
        const char  *expected;
        ngx_uint_t   met;
        ngx_uint_t   negated;
    } cases[] = {
        { "\"a\"", "eq", "\"a\"", 1, 0 },
        { "\"a\"", "eq", "\"b\"", 0, 1 },
        { "\"a\"", "eq", "\"aa\"", 0, 1 },
        { "1", "eq", "1", 1, 0 },
        { "1", "eq", "1.0", 0, 1 },
        { "1", "eq", "\"1\"", 0, 1 },
        { "1.5", "eq", "1.5", 1, 0 },
        { "null", "eq", "null", 1, 0 },
        { "\"a\"", "eq", "null", 0, 1 },
        { "true", "eq", "true", 1, 0 },
        { "true", "eq", "false", 0, 1 },
        { "[1,\"a\"]", "eq", "[1,\"a\"]", 1, 0 },
        { "[1,\"a\"]", "eq", "[\"a\",1]", 0, 1 },
        { "{\"a\":1,\"b\":2}", "eq", "{\"b\":2,\"a\":1}", 1, 0 },
        { NULL, "eq", "\"a\"", 0, 0 },
        { NULL, "eq", "null", 0, 0 },
        { "\"a\"", "ne", "\"b\"", 1, 0 },
        { "\"a\"", "ne", "\"a\"", 0, 1 },
        { NULL, "ne", "\"a\"", 0, 0 },

        { "2", "gt", "1", 1, 0 }, { "1", "gt", "1", 0, 1 },
        { "1", "gt", "2", 0, 1 }, { "1.5", "gt", "1", 1, 0 },
        { "-1", "gt", "-2", 1, 0 }, { "\"b\"", "gt", "\"a\"", 1, 0 },
        { "\"ab\"", "gt", "\"a\"", 1, 0 }, { "\"a\"", "gt", "\"ab\"", 0, 1 },
        { "\"\"", "gt", "\"\"", 0, 1 },
        { "\"2\"", "gt", "1", 0, 0 }, { "2", "gt", "\"1\"", 0, 0 },
        { "[2]", "gt", "1", 0, 0 }, { "true", "gt", "false", 0, 0 },
        { NULL, "gt", "1", 0, 0 },
        { "9223372036854775807", "gt", "9223372036854775806", 1, 0 },
        { "1", "ge", "1", 1, 0 }, { "2", "ge", "1", 1, 0 },
        { "0", "ge", "1", 0, 1 }, { "\"1\"", "ge", "1", 0, 0 },
        { "1", "lt", "2", 1, 0 }, { "2", "lt", "2", 0, 1 },
        { "1", "lt", "\"2\"", 0, 0 }, { "1", "lt", "1.5", 1, 0 },
        { "2", "le", "2", 1, 0 }, { "3", "le", "2", 0, 1 },
        { NULL, "le", "2", 0, 0 },

        { "\"a\"", "in", "[\"b\",\"a\"]", 1, 0 },
        { "\"a\"", "in", "[\"b\"]", 0, 1 },
        { "\"a\"", "in", "[]", 0, 1 },
        { "\"a\"", "in", "\"a\"", 0, 0 },
        { "\"a\"", "in", "\"abc\"", 0, 0 },
        { "\"a\"", "in", "{\"a\":null,\"b\":1}", 1, 0 },
        { "\"c\"", "in", "{\"a\":\"c\"}", 0, 1 },
        { "1", "in", "{\"1\":1}", 0, 0 },
        { "[\"a\"]", "in", "{\"a\":1}", 0, 0 },
        { "[\"a\"]", "in", "[\"a\"]", 0, 1 },
        { "[\"a\"]", "in", "[[\"a\"]]", 1, 0 },
        { NULL, "in", "[\"a\"]", 0, 0 },
        { "\"a\"", "nin", "[\"b\"]", 1, 0 },
        { NULL, "nin", "[\"b\"]", 0, 0 },

        { "[\"a\",\"b\"]", "any", "[\"b\",\"c\"]", 1, 0 },
        { "[\"a\",\"b\"]", "any", "[\"c\"]", 0, 1 },
        { "[]", "any", "[\"c\"]", 0, 1 },
        { "\"a\"", "any", "[\"a\"]", 1, 0 },
        { "\"a\"", "any", "\"a\"", 0, 0 },
        { "[\"a\"]", "any", "\"a\"", 0, 0 },
        { NULL, "any", "[\"a\"]", 0, 0 },
        { "[\"a\"]", "intersect", "[\"a\"]", 1, 0 },
        { "[\"a\"]", "nintersect", "[\"b\"]", 1, 0 },
        { "[\"a\"]", "nintersect", "[\"a\"]", 0, 1 },
        { NULL, "nintersect", "[\"a\"]", 0, 0 },

        /* the pattern is compared here; an empty one fails */

        { "\"a\"", "match", "\"a\"", 1, 0 },
        { "\"b\"", "match", "\"a\"", 0, 1 },
        { "1", "match", "\"1\"", 0, 0 },
        { "[\"a\"]", "match", "\"a\"", 0, 0 },
        { "\"a\"", "match", "\"\"", 0, 0 },
        { NULL, "match", "\"a\"", 0, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        claims = json_object();
        value = cases[i].value ? json_loads(cases[i].value, JSON_DECODE_ANY,
                                            NULL)
                               : NULL;
        expected = ngx_apigw_claims_expected_json(
                       (u_char *) cases[i].expected,
                       strlen(cases[i].expected));

        pattern.data = (u_char *) json_string_value(expected);
        pattern.len = json_string_length(expected);

        for (n = 0; n < 2; n++) {
            char  op[16];

            (void) snprintf(op, sizeof(op), "%s%s", n ? "!" : "",
                            cases[i].op);
            name = str(op);

            rc = ngx_apigw_claims_test_parse(&test, &name);

            if (rc == NGX_OK) {
                rc = ngx_apigw_claims_test(&test, value, expected, match,
                                           &pattern);
            }

            ok(rc == ((n ? cases[i].negated : cases[i].met) ? NGX_OK
                                                            : NGX_DECLINED),
               "%s %s %s", cases[i].value ? cases[i].value : "nothing", op,
               cases[i].expected);
        }

        json_decref(claims);
        json_decref(value);
        json_decref(expected);
    }

    name = str("lessthan");
    ok(ngx_apigw_claims_test_parse(&test, &name) == NGX_ERROR, "lessthan");
    name = str("!!eq");
    ok(ngx_apigw_claims_test_parse(&test, &name) == NGX_ERROR, "!!eq");
    name = str("!");
    ok(ngx_apigw_claims_test_parse(&test, &name) == NGX_ERROR, "!");
    name = str("");
    ok(ngx_apigw_claims_test_parse(&test, &name) == NGX_ERROR, "nothing");
    name = str("EQ");
    ok(ngx_apigw_claims_test_parse(&test, &name) == NGX_ERROR, "EQ");

    name = str("eq");
    (void) ngx_apigw_claims_test_parse(&test, &name);
    value = json_null();
    ok(ngx_apigw_claims_test(&test, value, NULL, NULL, NULL) == NGX_DECLINED,
       "nothing to compare to");

    name = str("!eq");
    (void) ngx_apigw_claims_test_parse(&test, &name);
    ok(ngx_apigw_claims_test(&test, value, NULL, NULL, NULL) == NGX_DECLINED,
       "and negated");

    ok(ngx_apigw_claims_expected_json((u_char *) "{", 1) == NULL, "no JSON");
    ok(ngx_apigw_claims_expected_json((u_char *) "joe", 3) == NULL,
       "a word is none");
    ok(ngx_apigw_claims_expected_string((u_char *) "\xff", 1) == NULL,
       "no UTF-8");

    value = ngx_apigw_claims_expected_string((u_char *) "[1", 2);
    ok(value && strcmp(json_string_value(value), "[1") == 0,
       "a string as it is");
    json_decref(value);

    big = malloc(NGX_APIGW_CLAIMS_EXPECTED + 1);
    ngx_memset(big, '7', NGX_APIGW_CLAIMS_EXPECTED + 1);
    value = ngx_apigw_claims_expected_string((u_char *) big,
                                             NGX_APIGW_CLAIMS_EXPECTED);
    ok(value != NULL, "4096 bytes");
    json_decref(value);

    ok(ngx_apigw_claims_expected_string((u_char *) big,
                                        NGX_APIGW_CLAIMS_EXPECTED + 1)
       == NULL, "one more");

    ngx_memset(big, ' ', NGX_APIGW_CLAIMS_EXPECTED + 1);
    big[0] = '7';
    ok(ngx_apigw_claims_expected_json((u_char *) big,
                                      NGX_APIGW_CLAIMS_EXPECTED + 1)
       == NULL, "and as JSON");
    free(big);
}


int
main(void)
{
    test_parse();
    test_window();
    test_audience();
    test_string();
    test_scope();
    test_paths();
    test_text();
    test_compare();

    printf("1..%lu\n", (u_long) number);

    return 0;
}
