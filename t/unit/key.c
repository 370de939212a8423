/*
 * Copyright (C) the apigw authors
 */


/* The text of keys, and the pairs of queries and cookies. */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/random.h>

#include "ngx_apigw_key.c"
#include "ngx_apigw_key_pairs.c"


#define MAXIMUM     "yhjskwdA6OZ1AL1YmHWZWm8LL" \
                    "G7HjnuCA2j5rOw8Xp13sRzl1"
#define PREFIX      ((u_char *) "ak_")
#define KEY         (3 + NGX_APIGW_KEY_BODY + NGX_APIGW_KEY_SUM)


static ngx_uint_t  number;


static void
ok(ngx_uint_t right, const char *name)
{
    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
}


static ngx_uint_t
valid(const char *key)
{
    return ngx_apigw_key_check((u_char *) key, strlen(key), PREFIX, 3)
           == NGX_OK;
}


static ngx_uint_t
valid_prefix(const char *prefix)
{
    return ngx_apigw_key_check_prefix((u_char *) prefix, strlen(prefix))
           == NGX_OK;
}


static void
test_make(void)
{
    u_char     *p, key[KEY + 1], random[NGX_APIGW_KEY_RANDOM];
    ngx_uint_t  i, bad;

    key[KEY] = '\0';

    ngx_memzero(random, sizeof(random));
    p = ngx_apigw_key_make(key, PREFIX, 3, random);

    ok(p == key + KEY, "length");
    ok(ngx_memcmp(key, "ak_000000000000000000000000000000000000000000"
                  "0", 46) == 0, "no bits");
    ok(valid((char *) key), "no bits: valid");

    /* 2^256 - 1 in base62, computed elsewhere; CRC-32 of it by zlib */

    memset(random, 0xff, sizeof(random));
    (void) ngx_apigw_key_make(key, PREFIX, 3, random);

    ok(strcmp((char *) key, "ak_" MAXIMUM) == 0, "all bits");

    bad = 0;

    for (i = 0; i < 2000; i++) {
        if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
            bad++;
        }

        (void) ngx_apigw_key_make(key, PREFIX, 3, random);
        bad += !valid((char *) key);

        /* one character changed, two exchanged */

        p = key + 3 + i % (KEY - 3);
        *p = (*p == 'a') ? 'b' : 'a';
        bad += valid((char *) key);
    }

    ok(bad == 0, "2000 keys are valid, and none of them with a mistake");
}


static void
test_check(void)
{
    char        text[NGX_APIGW_KEY_MAX + 2];
    ngx_uint_t  i, bad;

    ok(!valid(""), "empty");
    ok(!valid("ak_"), "prefix alone");
    ok(!valid("ak_0123456789"), "too short for the prefix");
    ok(!valid("ak_" MAXIMUM "0"), "too long for the prefix");
    ok(valid("bk_" MAXIMUM), "another prefix is somebody else's");
    ok(!valid("0123456789abcde"), "15 characters");
    ok(valid("0123456789abcdef"), "16 characters");
    ok(!valid("0123456789 abcdef"), "a blank");
    ok(!valid("0123456789\x7f""abcdef"), "a control character");
    ok(!valid("0123456789\xc3\xa4""abcdef"), "not ASCII");

    memset(text, 'x', sizeof(text));
    text[NGX_APIGW_KEY_MAX] = '\0';
    ok(valid(text), "512 characters");

    text[NGX_APIGW_KEY_MAX] = 'x';
    text[NGX_APIGW_KEY_MAX + 1] = '\0';
    ok(!valid(text), "513 characters");

    bad = 0;

    for (i = 1; i < 256; i++) {
        strcpy(text, "ak_" MAXIMUM);
        text[3 + i % 49] = (char) i;
        bad += valid(text) && strcmp(text, "ak_" MAXIMUM) != 0;
    }

    ok(bad == 0, "any wrong character");

    ok(valid_prefix("ak_") && valid_prefix("a-") && valid_prefix("My_key-"),
       "prefixes");
    ok(!valid_prefix("") && !valid_prefix("_") && !valid_prefix("ak")
       && !valid_prefix("a b_") && !valid_prefix("12345678901234567_"),
       "no prefixes");
}


/* The table of the checksum against its definition, bit by bit. */

static void
test_crc(void)
{
    uint32_t    crc;
    ngx_uint_t  i, n, k, bad;

    bad = 0;

    for (i = 0; i < 256; i++) {
        crc = (uint32_t) i;

        for (k = 0; k < 4; k++) {
            for (n = 0; n < 8; n++) {
                crc = (crc & 1) ? crc >> 1 ^ 0xedb88320 : crc >> 1;
            }

            bad += (crc != ngx_apigw_key_crc[k][i]);
        }
    }

    ok(bad == 0, "CRC-32");
}


/* Of every length, with OpenSSL's own padding. */

static void
test_digest_lengths(ngx_apigw_key_hasher_t *hasher)
{
    u_char      text[NGX_APIGW_KEY_MAX], one[NGX_APIGW_KEY_DIGEST],
                two[sizeof(one)];
    ngx_uint_t  i, bad;

    for (i = 0; i < sizeof(text); i++) {
        text[i] = (u_char) (i * 7 + (i >> 8) + 1);
    }

    bad = 0;

    for (i = 0; i <= sizeof(text); i++) {
        (void) SHA256(text, i, two);

        bad += (ngx_apigw_key_digest(hasher, one, text, i) != NGX_OK
                || ngx_memcmp(one, two, sizeof(one)) != 0);
    }

    ok(bad == 0, "digests of all lengths");
}


static void
test_digest(void)
{
    u_char                  one[NGX_APIGW_KEY_DIGEST], two[sizeof(one)];
    ngx_apigw_key_hasher_t  hasher;

    /* FIPS 180-2, "abc" */

    static const u_char  abc[] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
        0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
        0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad
    };

    ok(ngx_apigw_key_hasher_init(&hasher) == NGX_OK, "hasher");
    ok(ngx_apigw_key_digest(&hasher, one, (u_char *) "abc", 3) == NGX_OK
       && ngx_memcmp(one, abc, sizeof(abc)) == 0, "digest");
    ok(ngx_apigw_key_digest(&hasher, two, (u_char *) "abc", 3) == NGX_OK
       && ngx_memcmp(one, two, sizeof(one)) == 0, "the same again");
    ok(ngx_apigw_key_digest(&hasher, two, (u_char *) "abd", 3) == NGX_OK
       && ngx_memcmp(one, two, sizeof(one)) != 0, "another");

    test_digest_lengths(&hasher);

    ngx_apigw_key_hasher_free(&hasher);
}


/* text, separator, what is found, what is left */

static void
test_pairs(void)
{
    size_t       pos, len;
    u_char       found[256], left[256], *p;
    ngx_str_t    pairs, value, name = ngx_string("key");
    ngx_uint_t   i;

    static const char  *tests[][4] = {
        { "", "&", "", "" },
        { "key", "&", "|", "" },
        { "key=", "&", "|", "" },
        { "key=a", "&", "a|", "" },
        { "key=a=b", "&", "a=b|", "" },
        { "Key=a", "&", "", "Key=a" },
        { "xkey=a&keyx=b", "&", "", "xkey=a&keyx=b" },
        { "a=1&key=b&c=2", "&", "b|", "a=1&c=2" },
        { "key=b&a=1", "&", "b|", "a=1" },
        { "a=1&key=b", "&", "b|", "a=1" },
        { "key=a&key=b&key", "&", "a|b||", "" },
        { "a=1&&key=b&&c", "&", "b|", "a=1&&&c" },
        { " key=a", "&", "", " key=a" },
        { "a=key=b", "&", "", "a=key=b" },
        { "key=a", ";", "a|", "" },
        { " key=a ; b=2", ";", "a|", "b=2" },
        { "b=2; key = \"a b\" ; c=3", ";", "a b|", "b=2; c=3" },
        { "b=2;key=\"a", ";", "\"a|", "b=2" },
        { "key=\"\"", ";", "|", "" },
        { "a&key=b;c", ";", "", "a&key=b;c" },
        { ";;key=a;;", ";", "a|", ";;" },

        /* what an upstream decodes is that name as well */

        { "%6bey=a", "&", "a|", "" },
        { "a=1&%6B%65%79=b&key=c", "&", "b|c|", "a=1" },
        { "ke%79&%4Bey=a", "&", "|", "%4Bey=a" },
        { "%256bey=a", "&", "", "%256bey=a" },
        { "%6key=a&ke%7=b&ke%=c", "&", "", "%6key=a&ke%7=b&ke%=c" },
        { "+key=a&key%00=b", "&", "", "+key=a&key%00=b" },
        { "%6bey=a", ";", "", "%6bey=a" },

        /* a comma, where it begins a cookie of that name */

        { "a=b, key=c", ";", "c|", "a=b" },
        { "a=b,key=c; d=e", ";", "c|", "a=b; d=e" },
        { "a=b,c,\tkey =d;e=f", ";", "d|", "a=b,c;e=f" },
        { "key=a, key=b,key=c", ";", "a|b|c|", "" },
        { "key=a,b; c=d", ";", "a,b|", "c=d" },
        { "a=b, keys=c, key, xkey=d", ";", "", "a=b, keys=c, key, xkey=d" },
        { "a=1,key=b", "&", "", "a=1,key=b" },
        { ",,key=", ";", "|", "," },
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {

        pairs.data = (u_char *) tests[i][0];
        pairs.len = strlen(tests[i][0]);
        pos = 0;
        p = found;

        while (ngx_apigw_key_pairs_next(&pairs, *tests[i][1], &name, &pos,
                                        &value))
        {
            p = ngx_cpymem(p, value.data, value.len);
            *p++ = '|';
        }

        *p = '\0';

        len = ngx_apigw_key_pairs_without(left, &pairs, *tests[i][1], &name);
        left[len] = '\0';

        ok(strcmp((char *) found, tests[i][2]) == 0
           && strcmp((char *) left, tests[i][3]) == 0, tests[i][0]);
    }
}


int
main(void)
{
    test_make();
    test_check();
    test_crc();
    test_digest();
    test_pairs();

    printf("1..%lu\n", (u_long) number);

    return 0;
}
