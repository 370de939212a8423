/*
 * Copyright (C) the apigw authors
 */


/* The record of a key: one encoding, all of it checked, future fields. */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_list.c"
#include "ngx_apigw_key_record.c"


typedef struct {
    u_char                  scopes[NGX_APIGW_KEY_SCOPES_MAX];
    u_char                  labels[NGX_APIGW_KEY_LABELS_MAX];
    u_char                  allow[NGX_APIGW_KEY_ALLOW_MAX];
    u_char                  quotas[NGX_APIGW_KEY_QUOTAS_MAX];
} room_t;


static ngx_uint_t  number;


static void
ok(ngx_uint_t right, const char *name)
{
    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
}


static ngx_str_t *
text(const char *s)
{
    static ngx_str_t   strings[8];
    static ngx_uint_t  n;

    n = (n + 1) % 8;

    strings[n].data = (u_char *) s;
    strings[n].len = strlen(s);

    return &strings[n];
}


static ngx_uint_t
is(const ngx_str_t *one, const char *two)
{
    return one->len == strlen(two) && memcmp(one->data, two, one->len) == 0;
}


static void
fill(ngx_apigw_key_record_t *rec, room_t *room)
{
    ngx_apigw_key_cidr_t  cidr;

    ngx_apigw_key_record_init(rec);

    rec->id = *text("k-1");
    rec->consumer = *text("Acme & S\xc3\xb6hne");
    rec->plan = *text("pro");
    rec->name = *text("a name");
    rec->description = *text("\xe2\x82\xac");
    rec->successor = *text("k-2");
    rec->created = 1;
    rec->updated = 255;
    rec->not_before = 256;
    rec->expires = 253402300799;
    rec->rate = 100;
    rec->rate_period = NGX_APIGW_KEY_PER_MINUTE;
    rec->burst = 0;
    rec->enabled = 0;
    rec->decoy = 1;

    rec->scopes.data = room->scopes;
    rec->labels.data = room->labels;
    rec->allow.data = room->allow;
    rec->quotas.data = room->quotas;

    ngx_apigw_key_scope_add(&rec->scopes, text("orders:write"));
    ngx_apigw_key_scope_add(&rec->scopes, text("admin"));
    ngx_apigw_key_scope_add(&rec->scopes, text("orders:read"));
    ngx_apigw_key_scope_add(&rec->scopes, text("admin"));

    ngx_apigw_key_label_set(&rec->labels, text("tier"), text("gold"));
    ngx_apigw_key_label_set(&rec->labels, text("env"), text("a=b c"));
    ngx_apigw_key_label_set(&rec->labels, text("tier"), text("silver"));

    ngx_apigw_key_cidr_parse(&cidr, text("2001:db8::/32"));
    ngx_apigw_key_cidr_add(&rec->allow, &cidr);
    ngx_apigw_key_cidr_parse(&cidr, text("192.0.2.0/25"));
    ngx_apigw_key_cidr_add(&rec->allow, &cidr);
    ngx_apigw_key_cidr_add(&rec->allow, &cidr);

    ngx_apigw_key_quota_set(&rec->quotas, NGX_APIGW_KEY_PER_MONTH, 5);
    ngx_apigw_key_quota_set(&rec->quotas, NGX_APIGW_KEY_PER_DAY, 1000);
    ngx_apigw_key_quota_set(&rec->quotas, NGX_APIGW_KEY_PER_MONTH, 0);
}


static void
test_lists(void)
{
    char                    scope[4] = "aaa";
    size_t                  pos;
    int64_t                 limit;
    room_t                  room;
    ngx_int_t               rc;
    ngx_str_t               name, value;
    ngx_apigw_key_record_t  rec;
    ngx_apigw_key_period_e  period;

    rc = NGX_OK;
    fill(&rec, &room);

    ok(is(&rec.scopes, "admin orders:read orders:write"), "scopes: sorted");
    ok(ngx_apigw_key_scope_has(&rec, text("orders:read")), "scopes: has");
    ok(!ngx_apigw_key_scope_has(&rec, text("orders")), "scopes: has not");
    ok(ngx_apigw_key_scope_add(&rec.scopes, text("a b")) == NGX_DECLINED
       && ngx_apigw_key_scope_add(&rec.scopes, text("a,b")) == NGX_DECLINED
       && ngx_apigw_key_scope_add(&rec.scopes, text("")) == NGX_DECLINED,
       "scopes: not valid");

    pos = 0;
    ok(ngx_apigw_key_label_next(&rec, &pos, &name, &value)
       && is(&name, "env") && is(&value, "a=b c")
       && ngx_apigw_key_label_next(&rec, &pos, &name, &value)
       && is(&name, "tier") && is(&value, "silver")
       && !ngx_apigw_key_label_next(&rec, &pos, &name, &value),
       "labels: sorted, the last value holds");
    ok(ngx_apigw_key_label_set(&rec.labels, text("env"), text("")) == NGX_OK
       && !ngx_apigw_key_label_get(&rec, text("env"), &value)
       && ngx_apigw_key_label_get(&rec, text("tier"), &value),
       "labels: removed");
    ok(ngx_apigw_key_label_set(&rec.labels, text("A"), text("b"))
       == NGX_DECLINED
       && ngx_apigw_key_label_set(&rec.labels, text("a"), text("b\n"))
       == NGX_DECLINED, "labels: not valid");

    pos = 0;
    ok(ngx_apigw_key_quota_next(&rec, &pos, &period, &limit)
       && period == NGX_APIGW_KEY_PER_DAY && limit == 1000
       && ngx_apigw_key_quota_next(&rec, &pos, &period, &limit)
       && period == NGX_APIGW_KEY_PER_MONTH && limit == 0
       && !ngx_apigw_key_quota_next(&rec, &pos, &period, &limit),
       "quotas: sorted, the last limit holds");
    ok(ngx_apigw_key_quota_set(&rec.quotas, NGX_APIGW_KEY_PER_DAY, -1)
       == NGX_OK && rec.quotas.len == NGX_APIGW_KEY_QUOTA, "quotas: removed");
    ok(ngx_apigw_key_quota_set(&rec.quotas, NGX_APIGW_KEY_PER_SECOND, 1)
       == NGX_DECLINED, "quotas: no such period");
    ok(ngx_apigw_key_period_parse((u_char *) "week", 4)
       == NGX_APIGW_KEY_PER_WEEK
       && strcmp(ngx_apigw_key_period_name(NGX_APIGW_KEY_PER_LIFETIME),
                 "lifetime") == 0
       && ngx_apigw_key_period_name(0) == NULL
       && ngx_apigw_key_period_name(8) == NULL
       && ngx_apigw_key_period_parse((u_char *) "weeks", 5) == 0, "periods");

    /* until there is no room, never beyond it */

    for (pos = 0; pos < 1000; pos++) {
        scope[0] = 'a' + pos % 26;
        scope[1] = 'a' + pos / 26 % 26;
        scope[2] = 'a' + pos / 676;

        rc = ngx_apigw_key_scope_add(&rec.scopes, text(scope));
        if (rc != NGX_OK) {
            break;
        }
    }

    ok(rc == NGX_ERROR && rec.scopes.len <= NGX_APIGW_KEY_SCOPES_MAX
       && rec.scopes.len > NGX_APIGW_KEY_SCOPES_MAX - 5
       && ngx_apigw_key_record_check(&rec) == NULL, "scopes: full");
}


static void
test_addresses(void)
{
    room_t                  room;
    u_char                  v6[16], buf[NGX_APIGW_KEY_CIDR_TEXT];
    size_t                  pos;
    ngx_uint_t              i, bad;
    ngx_apigw_key_cidr_t    cidr;
    ngx_apigw_key_record_t  rec;

    static const char  *wrong[] = {
        "", "/", "1.2.3", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/24", "1.2.3.4/-1",
        "1.2.3.4/8x", "1.2.3.4/0008", "::1/129", "::1/0", "1.2.3.4.5", "x::1",
        "01.2.3.4", "192.0.2.1/31", "2001:db8::1/32",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999"
    };

    fill(&rec, &room);

    ok(ngx_apigw_key_address_allowed(&rec, (u_char *) "\xc0\x00\x02\x7f", 4)
       && !ngx_apigw_key_address_allowed(&rec, (u_char *) "\xc0\x00\x02\x80",
                                         4)
       && !ngx_apigw_key_address_allowed(&rec, (u_char *) "\xc0\x00\x03\x00",
                                         4), "IPv4");

    memcpy(v6, "\x20\x01\x0d\xb8\xff\xff\0\0\0\0\0\0\0\0\0\1", 16);
    ok(ngx_apigw_key_address_allowed(&rec, v6, 16), "IPv6");
    v6[3] = 0xb9;
    ok(!ngx_apigw_key_address_allowed(&rec, v6, 16), "IPv6: another");
    memcpy(v6, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01", 16);
    ok(ngx_apigw_key_address_allowed(&rec, v6, 16), "IPv4 in IPv6");
    ok(!ngx_apigw_key_address_allowed(&rec, v6, 0)
       && !ngx_apigw_key_address_allowed(&rec, v6, 5), "no address");

    rec.allow.len = 0;
    ok(ngx_apigw_key_address_allowed(&rec, v6, 16), "no list: every one");

    ngx_apigw_key_cidr_parse(&cidr, text("0.0.0.0/0"));
    ngx_apigw_key_cidr_add(&rec.allow, &cidr);
    ok(ngx_apigw_key_address_allowed(&rec, (u_char *) "\x01\x02\x03\x04", 4),
       "all of IPv4");
    ok(!ngx_apigw_key_address_allowed(&rec, (u_char *)
                                      "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16),
       "and not IPv6");

    bad = 0;

    for (i = 0; i < sizeof(wrong) / sizeof(char *); i++) {
        if (ngx_apigw_key_cidr_parse(&cidr, text(wrong[i])) != NGX_DECLINED) {
            printf("# %s\n", wrong[i]);
            bad++;
        }
    }

    ok(bad == 0, "no addresses");

    ngx_apigw_key_cidr_parse(&cidr, text("2001:DB8::/128"));
    pos = ngx_apigw_key_cidr_text(&cidr, buf);
    ok(is(&(ngx_str_t) { pos, buf }, "2001:db8::/128"), "as text");
}


static void
test_record(void)
{
    room_t                  room;
    u_char                  one[NGX_APIGW_KEY_RECORD_MAX], two[sizeof(one)];
    ssize_t                 n, m;
    ngx_uint_t              i, bad;
    ngx_apigw_key_record_t  rec, back;

    fill(&rec, &room);

    n = ngx_apigw_key_record_encode(&rec, one, sizeof(one));
    ok(n > 0, "encode");
    ok(ngx_apigw_key_record_decode(&back, one, n) == NGX_OK, "decode");

    ok(is(&back.id, "k-1") && is(&back.consumer, "Acme & S\xc3\xb6hne")
       && is(&back.plan, "pro") && is(&back.name, "a name")
       && is(&back.description, "\xe2\x82\xac") && is(&back.successor, "k-2"),
       "texts");
    ok(back.created == 1 && back.updated == 255 && back.not_before == 256
       && back.expires == 253402300799, "times");
    ok(back.rate == 100 && back.rate_period == NGX_APIGW_KEY_PER_MINUTE
       && back.burst == 0 && !back.enabled && back.decoy, "others");

    m = ngx_apigw_key_record_encode(&back, two, sizeof(two));
    ok(m == n && memcmp(one, two, n) == 0, "the same again");

    bad = 0;

    for (i = 0; i < (ngx_uint_t) n; i++) {
        bad += ngx_apigw_key_record_encode(&rec, two, i) != NGX_ERROR;
    }

    ok(bad == 0, "no room");

    /* every prefix that is accepted, and every changed byte, is canonical */

    bad = 0;

    for (i = 0; i < (ngx_uint_t) n; i++) {
        if (ngx_apigw_key_record_decode(&back, one, i) == NGX_OK) {
            m = ngx_apigw_key_record_encode(&back, two, sizeof(two));
            bad += m != (ssize_t) i || memcmp(one, two, i) != 0;
        }
    }

    for (i = 0; i < (ngx_uint_t) n * 255; i++) {
        one[i / 255] ^= 1 + i % 255;

        if (ngx_apigw_key_record_decode(&back, one, n) == NGX_OK) {
            m = ngx_apigw_key_record_encode(&back, two, sizeof(two));
            bad += m != n || memcmp(one, two, n) != 0;
        }

        one[i / 255] ^= 1 + i % 255;
    }

    ok(bad == 0, "cut or changed: refused or canonical");

    /* a later writer's field that informs, and one that restricts */

    memcpy(one + n, "\x40\0\2hi\x7f\0\1x", 9);
    ok(ngx_apigw_key_record_decode(&back, one, n + 9) == NGX_OK
       && back.rest.len == 9, "further fields are passed over");
    ok(ngx_apigw_key_record_encode(&back, two, sizeof(two)) == n + 9
       && memcmp(one, two, n + 9) == 0, "and kept");

    one[n] = 0x80;
    one[n + 5] = 0x81;
    ok(ngx_apigw_key_record_decode(&back, one, n + 9) == NGX_DECLINED,
       "further restrictions are not");

    one[0] = 2;
    ok(ngx_apigw_key_record_decode(&back, one, n) == NGX_DECLINED,
       "nor is another version");
    one[0] = 0;
    ok(ngx_apigw_key_record_decode(&back, one, n) == NGX_ERROR, "garbage");
    ok(ngx_apigw_key_record_decode(&back, one, 0) == NGX_ERROR, "nothing");

    ngx_apigw_key_record_init(&rec);
    rec.id = *text("k");
    rec.consumer = *text("c");
    ok(ngx_apigw_key_record_encode(&rec, one, sizeof(one)) == 9
       && memcmp(one, "\1\1\0\1k\2\0\1c", 9) == 0, "the least");
}


static void
test_check(void)
{
    ngx_uint_t              i, bad;
    ngx_apigw_key_record_t  rec;

    static const char  *names[] = {
        " a", "a ", "a\n", "\x7f", "\x80", "\xc3", "\xc0\xaf", "\xc2\x85",
        "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "a\tb"
    };

    ngx_apigw_key_record_init(&rec);
    rec.id = *text("k");
    ok(ngx_apigw_key_record_check(&rec) != NULL, "no consumer");

    rec.consumer = *text("c");
    ok(ngx_apigw_key_record_check(&rec) == NULL, "right");

    bad = 0;

    for (i = 0; i < sizeof(names) / sizeof(char *); i++) {
        rec.consumer = *text(names[i]);
        bad += ngx_apigw_key_record_check(&rec) == NULL;
    }

    ok(bad == 0, "consumers that nothing may have");

    rec.consumer = *text("\xf0\x9f\x94\x91 \xc2\xa0 \xed\x9f\xbf");
    ok(ngx_apigw_key_record_check(&rec) == NULL, "UTF-8");

    rec.id = *text("a/b");
    ok(ngx_apigw_key_record_check(&rec) != NULL, "id");
    rec.id = *text("");
    ok(ngx_apigw_key_record_check(&rec) != NULL, "no id");
    rec.id = *text("k");

    rec.expires = -1;
    ok(ngx_apigw_key_record_check(&rec) != NULL, "time");
    rec.expires = 253402300800;
    ok(ngx_apigw_key_record_check(&rec) != NULL, "year 10000");
    rec.expires = 0;

    rec.rate = 1;
    ok(ngx_apigw_key_record_check(&rec) != NULL, "rate without a period");
    rec.rate_period = NGX_APIGW_KEY_PER_WEEK;
    ok(ngx_apigw_key_record_check(&rec) != NULL, "rate per week");
    rec.rate_period = NGX_APIGW_KEY_PER_DAY;
    ok(ngx_apigw_key_record_check(&rec) == NULL, "rate per day");
    rec.rate_places = 7;
    ok(ngx_apigw_key_record_check(&rec) != NULL, "seven decimal places");
    rec.rate_places = 0;
    rec.rate_period = NGX_APIGW_KEY_UNLIMITED;
    ok(ngx_apigw_key_record_check(&rec) == NULL, "no limit");
    rec.rate = 2;
    ok(ngx_apigw_key_record_check(&rec) != NULL, "two times no limit");
    rec.rate_period = 0;
    rec.rate = 0;

    rec.burst = -2;
    ok(ngx_apigw_key_record_check(&rec) != NULL, "burst");
    rec.burst = -1;

    rec.scopes = *text("b a");
    ok(ngx_apigw_key_record_check(&rec) != NULL, "scopes not sorted");
    rec.scopes = *text("a a");
    ok(ngx_apigw_key_record_check(&rec) != NULL, "scopes twice");
    rec.scopes = *text("a ");
    ok(ngx_apigw_key_record_check(&rec) != NULL, "scopes end in a blank");
    rec.scopes = *text("a b");
    ok(ngx_apigw_key_record_check(&rec) == NULL, "scopes");
}


int
main(void)
{
    test_lists();
    test_addresses();
    test_record();
    test_check();

    printf("1..%lu\n", (u_long) number);

    return 0;
}
