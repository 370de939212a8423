/*
 * Copyright (C) the apigw authors
 */


/*
 * The formats of imports: where a line ends, how CSV is split, and that a line
 * becomes the digest and the record it should.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key.c"
#include "ngx_apigw_key_list.c"
#include "ngx_apigw_key_record.c"
#include "../common/ngx_apigw_rate.c"
#include "ngx_apigw_cli_text.c"
#include "ngx_apigw_cli_record.c"
#include "ngx_apigw_cli_import.c"


static void test_line(void);
static void test_split(void);
static void test_json(void);
static void test_csv(void);
static void test_cut(void);
static void is(const char *name, ngx_uint_t good);
static ngx_str_t str(const char *text);
static ngx_int_t json(const char *line);
static ngx_int_t csv(const char *line);
static ngx_uint_t digest_is(const char *key);


static ngx_uint_t                  tests, failed;
static ngx_apigw_key_hasher_t      hasher;
static ngx_apigw_cli_import_t      im;
static ngx_apigw_cli_import_key_t  key;
static ngx_apigw_key_record_t      rec;
static char                        reason[NGX_APIGW_CLI_REASON];


int
main(void)
{
    if (ngx_apigw_key_hasher_init(&hasher) != NGX_OK) {
        printf("Bail out! no digest\n");
        return 1;
    }

    im.hasher = &hasher;
    im.prefix = str("ak_");
    im.now = 1000000000;

    test_line();
    test_split();
    test_json();
    test_csv();
    test_cut();

    ngx_apigw_key_hasher_free(&hasher);

    printf("1..%u\n", (unsigned) tests);

    return failed != 0;
}


static void
test_line(void)
{
    ngx_str_t   text;
    ngx_uint_t  i;

    static const struct {
        const char  *name;
        const char  *text;
        ngx_uint_t   csv;
        size_t       len;
    } cases[] = {
        { "NDJSON", "a\nb\n", 0, 2 },
        { "NDJSON does not know quotes", "\"a\n\"\n", 0, 3 },
        { "an empty line", "\nb", 0, 1 },
        { "no end", "abc", 0, 0 },
        { "nothing", "", 0, 0 },
        { "CSV", "a,b\nc\n", 1, 4 },
        { "a newline in quotes", "a,\"b\nc\"\nd\n", 1, 8 },
        { "a newline in quotes first", "\"b\nc\"\nd\n", 1, 6 },
        { "two quotes in quotes", "\"b\"\"\nc\"\nd\n", 1, 8 },
        { "quotes that end a field", "\"b\"\"\"\nc\"\nd\n", 1, 6 },
        { "a quote within a field", "a\"b\nc\"\n", 1, 4 },
        { "a quote without an end", "\"a\nb\n", 1, 0 },
        { "no end of CSV", "a,b", 1, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = str(cases[i].text);

        is(cases[i].name,
           ngx_apigw_cli_import_line(text.data, text.data + text.len,
                                     cases[i].csv)
           == cases[i].len);
    }
}


static void
test_split(void)
{
    char        got[256], *p;
    u_char      line[256];
    ngx_int_t   n, k;
    ngx_str_t   fields[NGX_APIGW_CLI_CSV_FIELDS];
    ngx_uint_t  i;

    static const struct {
        const char  *text;
        const char  *fields;   /* with | between, NULL: an error */
    } cases[] = {
        { "", "" },
        { "\n", "" },
        { "a", "a" },
        { "a,b\r\n", "a|b" },
        { ",,\n", "||" },
        { "\"a\",b", "a|b" },
        { "\"a,b\",\"c\"\"d\"", "a,b|c\"d" },
        { "\"\"", "" },
        { "\"\",\"\"\"\"", "|\"" },
        { "\"a\nb\",c", "a\nb|c" },
        { " a , b ", " a | b " },
        { "'a,b',c", "'a|b'|c" },
        { "a,'b,c'", "a|b,c" },
        { "a,'b''c'", "a|b'c" },

        { "a\"b", NULL },
        { "\"a", NULL },
        { "\"a\"b", NULL },
        { "\"a\" ,b", NULL },
        { "a,'b", NULL },
        { "a,'b'c", NULL }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ngx_memcpy(line, cases[i].text, strlen(cases[i].text) + 1);

        n = ngx_apigw_cli_import_csv_split(line, strlen(cases[i].text), fields,
                                           2);
        if (n == NGX_ERROR) {
            is(cases[i].text, cases[i].fields == NULL);
            continue;
        }

        p = got;

        for (k = 0; k < n; k++) {
            p += sprintf(p, "%s%.*s", k ? "|" : "", (int) fields[k].len,
                         (char *) fields[k].data);
        }

        is(cases[i].text, cases[i].fields
                          && strcmp(got, cases[i].fields) == 0);
    }

    memset(line, ',', NGX_APIGW_CLI_CSV_FIELDS);

    is("as many fields as there may be",
       ngx_apigw_cli_import_csv_split(line, NGX_APIGW_CLI_CSV_FIELDS - 1,
                                      fields, 0)
       == NGX_APIGW_CLI_CSV_FIELDS);
    is("one field too many",
       ngx_apigw_cli_import_csv_split(line, NGX_APIGW_CLI_CSV_FIELDS, fields,
                                      0)
       == NGX_ERROR);
}


static void
test_json(void)
{
    ngx_str_t  name, value;

    is("a key in clear",
       json("{\"key\":\"an-imported-key-0001\",\"consumer\":\"c\"}") == NGX_OK
       && digest_is("an-imported-key-0001")
       && rec.consumer.len == 1 && rec.enabled && !rec.decoy);
    is("it has got an id", !key.id && rec.id.len == NGX_APIGW_CLI_ID_LEN);
    is("it was made now", !key.created && rec.created == im.now);

    is("a digest",
       json("{\"sha256\":\"8aFFc45bC0d41d3bcd1f4bc9bf30f69ab5dc2f2ee3a6d56c6c"
            "1a1fbd9ec1e0bb\",\"consumer\":\"c\",\"id\":\"i\","
            "\"created\":\"@77\"}") == NGX_OK
       && key.digest[0] == 0x8a && key.digest[1] == 0xff
       && key.digest[31] == 0xbb && key.id && key.created
       && rec.created == 77 && rec.id.len == 1);

    name = str("env");

    is("all members",
       json("{\"key\":\"an-imported-key-0001\",\"consumer\":\"c\","
            "\"scopes\":[\"b\",\"a\"],\"labels\":{\"env\":\"x\"},"
            "\"allow\":[\"10.0.0.0/8\"],\"rate\":\"3r/m\",\"burst\":4,"
            "\"quotas\":{\"month\":5},\"enabled\":false,\"decoy\":true,"
            "\"not_before\":\"@5\",\"expires\":\"@6\"}") == NGX_OK
       && rec.scopes.len == 3 && memcmp(rec.scopes.data, "a b", 3) == 0
       && ngx_apigw_key_label_get(&rec, &name, &value) && value.len == 1
       && rec.allow.len != 0 && rec.rate == 3
       && rec.rate_period == NGX_APIGW_KEY_PER_MINUTE && rec.burst == 4
       && rec.quotas.len != 0 && !rec.enabled && rec.decoy
       && rec.not_before == 5 && rec.expires == 6);

    im.plan = str("p");
    is("the plan of those without one",
       json("{\"key\":\"an-imported-key-0001\",\"consumer\":\"c\"}") == NGX_OK
       && rec.plan.len == 1 && rec.plan.data[0] == 'p');
    is("and of those with one",
       json("{\"key\":\"an-imported-key-0001\",\"consumer\":\"c\","
            "\"plan\":\"qq\"}") == NGX_OK && rec.plan.len == 2);
    im.plan.len = 0;

    is("a blank line", json(" \t\r\n") == NGX_DECLINED);
    is("an empty line", json("") == NGX_DECLINED);

    is("a name that may be a key is not repeated",
       json("{\"an_imported_key_zz\":1}") == NGX_ERROR
       && strcmp(reason, "unknown member") == 0);
    is("a short name is",
       json("{\"frob\":1}") == NGX_ERROR
       && strcmp(reason, "\"frob\": unknown member") == 0);
}


static void
test_csv(void)
{
    u_char                line[256];
    ngx_apigw_cli_plan_t  plans[2];

    plans[0].from = str("one");
    plans[0].to = str("pro");
    plans[1].from = str("two");
    plans[1].to = str("pro");

    strcpy((char *) line, " NAME ,Key,UsagePlanIds,other\n");

    is("a head",
       ngx_apigw_cli_import_csv_head(&im, line, strlen((char *) line), reason)
       == NGX_OK
       && im.ncolumns == 4
       && im.columns[NGX_APIGW_CLI_CSV_NAME] == 1
       && im.columns[NGX_APIGW_CLI_CSV_KEY] == 2
       && im.columns[NGX_APIGW_CLI_CSV_PLANS] == 3
       && im.columns[NGX_APIGW_CLI_CSV_ID] == 0);

    is("a line",
       csv("n,an-imported-key-0001,one,x\n") == NGX_OK
       && digest_is("an-imported-key-0001")
       && rec.name.len == 1 && rec.consumer.len == 1 && rec.plan.len == 3);

    is("two plans", csv("n,an-imported-key-0001,\"one, two\",x\n")
                    == NGX_ERROR);

    im.plans = plans;
    im.nplans = 2;

    is("two plans that are one",
       csv("n,an-imported-key-0001,' one , two ',x\n") == NGX_OK
       && rec.plan.len == 3 && memcmp(rec.plan.data, "pro", 3) == 0);

    is("an unknown plan beside",
       csv("n,an-imported-key-0001,\"one,x\",x\n") == NGX_ERROR);

    is("a blank line", csv("\r\n") == NGX_DECLINED);

    im.nplans = 0;
}


/* A line that ends anywhere is refused without a look behind its end. */

static void
test_cut(void)
{
    u_char      *p;
    size_t       len, i;
    ngx_uint_t   good;

    static const char  line[] =
        "{\"key\":\"an-imported-key-0001\",\"consumer\":\"\xc3\xa9\","
        "\"labels\":{\"a\":\"b\"},\"quotas\":{\"day\":1}}";

    len = sizeof(line) - 1;
    good = 1;

    for (i = 1; i < len; i++) {
        p = malloc(i);
        ngx_memcpy(p, line, i);

        if (ngx_apigw_cli_import_json(&im, p, i, &key, reason) != NGX_ERROR) {
            good = 0;
        }

        free(p);
    }

    is("JSON that is cut short", good);
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


/* Lines are in memory of their own, so that ASan sees a byte too far. */

static ngx_int_t
json(const char *line)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   rc;

    len = strlen(line);
    p = malloc(len + !len);
    ngx_memcpy(p, line, len);

    rc = ngx_apigw_cli_import_json(&im, p, len, &key, reason);

    free(p);

    if (rc == NGX_OK) {
        rc = ngx_apigw_key_record_decode(&rec, key.encoded, key.len);
    }

    return rc;
}


static ngx_int_t
csv(const char *line)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   rc;

    len = strlen(line);
    p = malloc(len + !len);
    ngx_memcpy(p, line, len);

    rc = ngx_apigw_cli_import_csv(&im, p, len, &key, reason);

    free(p);

    if (rc == NGX_OK) {
        rc = ngx_apigw_key_record_decode(&rec, key.encoded, key.len);
    }

    return rc;
}


static ngx_uint_t
digest_is(const char *text)
{
    u_char  digest[NGX_APIGW_KEY_DIGEST];

    return ngx_apigw_key_digest(&hasher, digest, (u_char *) text, strlen(text))
           == NGX_OK
           && memcmp(digest, key.digest, sizeof(digest)) == 0;
}
