/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/random.h>

#include "ngx_apigw_rate.h"
#include "ngx_apigw_cli_record.h"


#define NGX_APIGW_CLI_NO_RATE                                                 \
    "not a rate such as 100r/s, 30r/m, 0.5r/h or 1000r/d, nor \"unlimited\""


typedef const char *(*ngx_apigw_cli_field_pt)(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);


typedef struct {
    const char              *name;
    ngx_apigw_cli_field_pt   set;
    size_t                   offset;
} ngx_apigw_cli_field_t;


static void ngx_apigw_cli_record_lists(ngx_apigw_cli_record_t *r);
static void ngx_apigw_cli_record_list(ngx_str_t *list, u_char *buf);

static const char *ngx_apigw_cli_field_text(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);
static const char *ngx_apigw_cli_field_time(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);
static const char *ngx_apigw_cli_field_scope(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);
static const char *ngx_apigw_cli_field_label(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);
static const char *ngx_apigw_cli_field_allow(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);
static const char *ngx_apigw_cli_field_rate(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);
static const char *ngx_apigw_cli_field_burst(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);
static const char *ngx_apigw_cli_field_quota(ngx_apigw_cli_record_t *r,
    const ngx_str_t *value, time_t now, size_t offset);

static ngx_uint_t ngx_apigw_cli_is_field(const ngx_str_t *value,
    const char *name);
static ngx_apigw_key_period_e ngx_apigw_cli_period(const u_char *p,
    size_t len);

static ngx_uint_t ngx_apigw_cli_differ(const ngx_str_t *one,
    const ngx_str_t *two);
static void ngx_apigw_cli_json_limits(ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_record_t *old);
static void ngx_apigw_cli_json_scopes(ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec);
static void ngx_apigw_cli_json_labels(ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec);
static void ngx_apigw_cli_json_allow(ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec);
static void ngx_apigw_cli_json_quotas(ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec);


static const ngx_apigw_cli_field_t  ngx_apigw_cli_fields[] = {

    { "id",
      ngx_apigw_cli_field_text,
      offsetof(ngx_apigw_key_record_t, id) },

    { "consumer",
      ngx_apigw_cli_field_text,
      offsetof(ngx_apigw_key_record_t, consumer) },

    { "plan",
      ngx_apigw_cli_field_text,
      offsetof(ngx_apigw_key_record_t, plan) },

    { "name",
      ngx_apigw_cli_field_text,
      offsetof(ngx_apigw_key_record_t, name) },

    { "description",
      ngx_apigw_cli_field_text,
      offsetof(ngx_apigw_key_record_t, description) },

    { "successor",
      ngx_apigw_cli_field_text,
      offsetof(ngx_apigw_key_record_t, successor) },

    { "created",
      ngx_apigw_cli_field_time,
      offsetof(ngx_apigw_key_record_t, created) },

    { "updated",
      ngx_apigw_cli_field_time,
      offsetof(ngx_apigw_key_record_t, updated) },

    { "not-before",
      ngx_apigw_cli_field_time,
      offsetof(ngx_apigw_key_record_t, not_before) },

    { "expires",
      ngx_apigw_cli_field_time,
      offsetof(ngx_apigw_key_record_t, expires) },

    { "scope", ngx_apigw_cli_field_scope, 0 },
    { "label", ngx_apigw_cli_field_label, 0 },
    { "allow", ngx_apigw_cli_field_allow, 0 },
    { "rate", ngx_apigw_cli_field_rate, 0 },
    { "burst", ngx_apigw_cli_field_burst, 0 },
    { "quota", ngx_apigw_cli_field_quota, 0 },

    { NULL, NULL, 0 }
};


void
ngx_apigw_cli_record_init(ngx_apigw_cli_record_t *r)
{
    ngx_apigw_key_record_init(&r->rec);
    ngx_apigw_cli_record_lists(r);
}


ngx_int_t
ngx_apigw_cli_record_load(ngx_apigw_cli_record_t *r, const u_char *data,
    size_t len)
{
    ngx_int_t  rc;

    if (len > NGX_APIGW_KEY_RECORD_MAX) {
        return NGX_ERROR;
    }

    ngx_memcpy(r->encoded, data, len);

    rc = ngx_apigw_key_record_decode(&r->rec, r->encoded, len);

    if (rc == NGX_OK) {
        ngx_apigw_cli_record_lists(r);
    }

    return rc;
}


/* Moves the lists to where they can be changed. */

static void
ngx_apigw_cli_record_lists(ngx_apigw_cli_record_t *r)
{
    ngx_apigw_cli_record_list(&r->rec.scopes, r->scopes);
    ngx_apigw_cli_record_list(&r->rec.labels, r->labels);
    ngx_apigw_cli_record_list(&r->rec.allow, r->allow);
    ngx_apigw_cli_record_list(&r->rec.quotas, r->quotas);
}


static void
ngx_apigw_cli_record_list(ngx_str_t *list, u_char *buf)
{
    if (list->len) {
        ngx_memcpy(buf, list->data, list->len);
    }

    list->data = buf;
}


const char *
ngx_apigw_cli_record_set(ngx_apigw_cli_record_t *r, const char *field,
    const ngx_str_t *value, time_t now)
{
    const ngx_apigw_cli_field_t  *f;

    for (f = ngx_apigw_cli_fields; f->name; f++) {
        if (strcmp(f->name, field) == 0) {
            return f->set(r, value, now, f->offset);
        }
    }

    return "no such field";
}


static const char *
ngx_apigw_cli_field_text(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    if (value->len == 0) {
        return "the value is empty";
    }

    if (!ngx_apigw_cli_printable(value)) {
        return "control characters or bytes that are not UTF-8";
    }

    *(ngx_str_t *) ((char *) &r->rec + offset) = *value;

    return NULL;
}


static const char *
ngx_apigw_cli_field_time(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    if (ngx_apigw_cli_time(value, now, (time_t *) ((char *) &r->rec + offset))
        != NGX_OK)
    {
        return "not a time such as 2030-12-31, 2030-12-31T18:00:00Z or 7d";
    }

    return NULL;
}


/* "orders:read", or several with commas or blanks between */

static const char *
ngx_apigw_cli_field_scope(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    u_char     *p, *last;
    ngx_str_t   scope;

    p = value->data;
    last = p + value->len;

    do {
        scope.data = p;

        while (p != last && *p != ',' && *p != ' ') {
            p++;
        }

        scope.len = p - scope.data;

        switch (ngx_apigw_key_scope_add(&r->rec.scopes, &scope)) {

        case NGX_OK:
            break;

        case NGX_DECLINED:
            return "not a scope";

        default:
            return "too many scopes";
        }

    } while (p++ != last);

    return NULL;
}


/* "name=value"; no value removes the label */

static const char *
ngx_apigw_cli_field_label(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    u_char     *eq;
    ngx_str_t   name, text;

    eq = value->len ? memchr(value->data, '=', value->len) : NULL;

    if (eq == NULL) {
        return "not of the form NAME=VALUE";
    }

    name.data = value->data;
    name.len = eq - value->data;
    text.data = eq + 1;
    text.len = value->len - name.len - 1;

    if (!ngx_apigw_cli_printable(&text)) {
        return "control characters or bytes that are not UTF-8";
    }

    switch (ngx_apigw_key_label_set(&r->rec.labels, &name, &text)) {

    case NGX_OK:
        return NULL;

    case NGX_DECLINED:
        return "not a label: a name has up to 32 of a-z, 0-9 and \"_\", "
               "a value up to 255 bytes";

    default:
        return "too many labels";
    }
}


static const char *
ngx_apigw_cli_field_allow(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    ngx_apigw_key_cidr_t  cidr;

    if (ngx_apigw_key_cidr_parse(&cidr, value) != NGX_OK) {
        return "not an address or a network such as 192.0.2.0/24, one at a "
               "time (host bits must be zero)";
    }

    if (ngx_apigw_key_cidr_add(&r->rec.allow, &cidr) != NGX_OK) {
        return "too many networks";
    }

    return NULL;
}


/* "100r/s", "unlimited", "100/minute": what a plan takes, and whole words */

static const char *
ngx_apigw_cli_field_rate(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    u_char                  *p, *slash, *point;
    u_char                   digits[NGX_INT64_LEN];
    u_char                   buf[NGX_APIGW_KEY_RATE_TEXT];
    int64_t                  n;
    ngx_str_t                number;
    ngx_apigw_rate_t         rate;
    ngx_apigw_key_record_t   rec;

    if (ngx_apigw_cli_is_field(value, "unlimited")) {
        r->rec.rate = 1;
        r->rec.rate_places = 0;
        r->rec.rate_period = NGX_APIGW_KEY_UNLIMITED;

        return NULL;
    }

    slash = value->len ? memchr(value->data, '/', value->len) : NULL;

    if (slash == NULL) {
        return NGX_APIGW_CLI_NO_RATE;
    }

    number.data = digits;
    number.len = 0;
    point = NULL;

    for (p = value->data; p < slash; p++) {

        if (*p == '.' && point == NULL && number.len) {
            point = p;

        } else if (*p == 'r' && p == slash - 1) {
            break;

        } else if (number.len < NGX_INT64_LEN) {
            digits[number.len++] = *p;
        }
    }

    rec.rate_places = point ? p - point - 1 : 0;
    rec.rate_period = ngx_apigw_cli_period(slash + 1, value->data + value->len
                                                      - slash - 1);

    if (rec.rate_period == 0 || rec.rate_period > NGX_APIGW_KEY_PER_DAY
        || (point && p == point + 1)
        || rec.rate_places > NGX_APIGW_KEY_PLACES_MAX
        || ngx_apigw_cli_number(&number, &n) != NGX_OK || n == 0)
    {
        return NGX_APIGW_CLI_NO_RATE;
    }

    rec.rate = n;

    number.data = buf;
    number.len = ngx_apigw_key_rate_text(&rec, buf);

    if (ngx_apigw_rate_parse(&rate, &number) != NGX_OK) {
        return "not a rate that can be held: too many or too few requests, or "
               "too many digits";
    }

    r->rec.rate = rec.rate;
    r->rec.rate_places = rec.rate_places;
    r->rec.rate_period = rec.rate_period;

    return NULL;
}


static const char *
ngx_apigw_cli_field_burst(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    int64_t  n;

    if (ngx_apigw_cli_number(value, &n) != NGX_OK) {
        return "not a number";
    }

    if (n == 0) {
        return NGX_APIGW_CLI_NO_BURST;
    }

    r->rec.burst = n;

    return NULL;
}


/* "1000/day" */

static const char *
ngx_apigw_cli_field_quota(ngx_apigw_cli_record_t *r, const ngx_str_t *value,
    time_t now, size_t offset)
{
    u_char                  *slash;
    int64_t                  n;
    ngx_str_t                number;
    ngx_apigw_key_period_e   period;

    slash = value->len ? memchr(value->data, '/', value->len) : NULL;

    if (slash == NULL) {
        return "not a quota such as 1000/day";
    }

    number.data = value->data;
    number.len = slash - value->data;

    period = ngx_apigw_cli_period(slash + 1,
                                  value->data + value->len - slash - 1);

    if (period == 0) {
        return "not a quota such as 1000/day";
    }

    if (number.len == 4 && ngx_strncmp(number.data, "none", 4) == 0) {
        n = -1;

    } else if (ngx_apigw_cli_number(&number, &n) != NGX_OK || n == 0) {
        return "not a quota such as 1000/day, none/day takes one away";
    }

    switch (ngx_apigw_key_quota_set(&r->rec.quotas, period, n)) {

    case NGX_OK:
        return NULL;

    case NGX_DECLINED:
        return "not a quota such as 1000/day";

    default:
        return "too many quotas";
    }
}


static ngx_apigw_key_period_e
ngx_apigw_cli_period(const u_char *p, size_t len)
{
    if (len == 1) {
        switch (*p) {
        case 's':
            return NGX_APIGW_KEY_PER_SECOND;
        case 'm':
            return NGX_APIGW_KEY_PER_MINUTE;
        case 'h':
            return NGX_APIGW_KEY_PER_HOUR;
        case 'd':
            return NGX_APIGW_KEY_PER_DAY;
        default:
            break;
        }
    }

    return ngx_apigw_key_period_parse(p, len);
}


const char *
ngx_apigw_cli_record_remove(ngx_apigw_cli_record_t *r, const char *field,
    const ngx_str_t *value)
{
    size_t                  pos;
    ngx_str_t               scope;
    ngx_uint_t              found;
    ngx_apigw_key_cidr_t    cidr, each;
    ngx_apigw_cli_record_t  old;

    /* the list is built anew without the element */

    old = *r;
    pos = 0;
    found = 0;

    if (strcmp(field, "scope") == 0) {
        old.rec.scopes.data = old.scopes;
        r->rec.scopes.len = 0;

        while (ngx_apigw_key_scope_next(&old.rec, &pos, &scope)) {
            if (!ngx_apigw_cli_differ(&scope, value)) {
                found = 1;
                continue;
            }

            (void) ngx_apigw_key_scope_add(&r->rec.scopes, &scope);
        }

        return found ? NULL : "the key has no such scope";
    }

    if (ngx_apigw_key_cidr_parse(&cidr, value) != NGX_OK) {
        return "not an address or a network such as 192.0.2.0/24";
    }

    old.rec.allow.data = old.allow;
    r->rec.allow.len = 0;

    while (ngx_apigw_key_cidr_next(&old.rec, &pos, &each)) {
        if (each.family == cidr.family
            && each.bits == cidr.bits
            && memcmp(each.address, cidr.address, cidr.family == 4 ? 4 : 16)
               == 0)
        {
            found = 1;
            continue;
        }

        (void) ngx_apigw_key_cidr_add(&r->rec.allow, &each);
    }

    return found ? NULL : "the key has no such network";
}


const char *
ngx_apigw_cli_record_clear(ngx_apigw_cli_record_t *r, const ngx_str_t *field)
{
    ngx_apigw_key_record_t  *rec;

    rec = &r->rec;

    if (ngx_apigw_cli_is_field(field, "plan")) {
        rec->plan.len = 0;

    } else if (ngx_apigw_cli_is_field(field, "name")) {
        rec->name.len = 0;

    } else if (ngx_apigw_cli_is_field(field, "description")) {
        rec->description.len = 0;

    } else if (ngx_apigw_cli_is_field(field, "scopes")) {
        rec->scopes.len = 0;

    } else if (ngx_apigw_cli_is_field(field, "labels")) {
        rec->labels.len = 0;

    } else if (ngx_apigw_cli_is_field(field, "allow")) {
        rec->allow.len = 0;

    } else if (ngx_apigw_cli_is_field(field, "not-before")) {
        rec->not_before = 0;

    } else if (ngx_apigw_cli_is_field(field, "expires")) {
        rec->expires = 0;

    } else if (ngx_apigw_cli_is_field(field, "rate")) {
        rec->rate = 0;
        rec->rate_places = 0;
        rec->rate_period = 0;

    } else if (ngx_apigw_cli_is_field(field, "burst")) {
        rec->burst = -1;

    } else if (ngx_apigw_cli_is_field(field, "quotas")) {
        rec->quotas.len = 0;

    } else {
        return "not a field that can be cleared";
    }

    return NULL;
}


static ngx_uint_t
ngx_apigw_cli_is_field(const ngx_str_t *value, const char *name)
{
    return value->len == strlen(name)
           && memcmp(value->data, name, value->len) == 0;
}


const char *
ngx_apigw_cli_record_check(ngx_apigw_key_record_t *rec)
{
    u_char              buf[NGX_APIGW_KEY_RATE_TEXT];
    ngx_str_t           text;
    const char         *wrong;
    ngx_uint_t          i;
    ngx_apigw_rate_t    rate;
    ngx_apigw_limit_t   limit;

    static const char *const  right[][2] = {
        { "invalid id",
          "invalid id: it has 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and "
          "\"-\"" },
        { "invalid successor",
          "invalid successor: it has up to 64 of A-Z, a-z, 0-9, \".\", \"_\" "
          "and \"-\"" },
        { "invalid consumer",
          "invalid consumer: it has 1 to 255 bytes, no blank at either end" },
        { "invalid plan",
          "invalid plan: it has 1 to 64 bytes, no blank at either end" },
        { "invalid name", "invalid name: it has up to 255 bytes" },
        { "invalid description",
          "invalid description: it has up to 1000 bytes" },
        { NULL, NULL }
    };

    wrong = ngx_apigw_key_record_check(rec);

    for (i = 0; wrong && right[i][0]; i++) {
        if (strcmp(wrong, right[i][0]) == 0) {
            return right[i][1];
        }
    }

    if (wrong || rec->rate == 0
        || rec->rate_period == NGX_APIGW_KEY_UNLIMITED)
    {
        return wrong;
    }

    text.data = buf;
    text.len = ngx_apigw_key_rate_text(rec, buf);

    if (ngx_apigw_rate_parse(&rate, &text) != NGX_OK) {
        return "invalid rate";
    }

    if (ngx_apigw_limit_init(&limit, &rate, ngx_max(rec->burst, 0))
        != NGX_OK)
    {
        return "the burst is too large for the rate";
    }

    return NULL;
}


const char *
ngx_apigw_cli_record_status(const ngx_apigw_key_record_t *rec, time_t now)
{
    if (rec->decoy) {
        return "decoy";
    }

    if (!rec->enabled) {
        return "disabled";
    }

    if (rec->expires && rec->expires <= now) {
        return "expired";
    }

    return rec->not_before > now ? "early" : "active";
}


char *
ngx_apigw_cli_rate_text(const ngx_apigw_key_record_t *rec, char *buf)
{
    buf[ngx_apigw_key_rate_text(rec, (u_char *) buf)] = '\0';

    return buf;
}


#define ngx_apigw_cli_json_field(name)                                        \
    if (old ? ngx_apigw_cli_differ(&rec->name, &old->name) : rec->name.len) { \
        ngx_apigw_cli_json_text(b, #name, &rec->name);                        \
    }

#define ngx_apigw_cli_json_moment(name)                                       \
    if (rec->name != (old ? old->name : 0)) {                                 \
        if (rec->name) {                                                      \
            ngx_apigw_cli_json_time(b, #name, rec->name);                     \
        } else {                                                              \
            ngx_apigw_cli_json_name(b, #name);                                \
            ngx_apigw_cli_buf_literal(b, "null");                             \
        }                                                                     \
    }

#define ngx_apigw_cli_json_list(name)                                         \
    if (old ? ngx_apigw_cli_differ(&rec->name, &old->name) : rec->name.len) { \
        ngx_apigw_cli_json_name(b, #name);                                    \
        ngx_apigw_cli_json_##name(b, rec);                                    \
    }

#define ngx_apigw_cli_json_bool(name, value)                                  \
    ngx_apigw_cli_json_name(b, name);                                         \
    ngx_apigw_cli_buf_puts(b, (value) ? "true" : "false")


void
ngx_apigw_cli_record_json(ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_record_t *old)
{
    ngx_apigw_cli_json_field(id);
    ngx_apigw_cli_json_field(consumer);
    ngx_apigw_cli_json_field(plan);
    ngx_apigw_cli_json_field(name);
    ngx_apigw_cli_json_field(description);

    if (old == NULL || rec->enabled != old->enabled) {
        ngx_apigw_cli_json_bool("enabled", rec->enabled);
    }

    if (old ? rec->decoy != old->decoy : rec->decoy) {
        ngx_apigw_cli_json_bool("decoy", rec->decoy);
    }

    ngx_apigw_cli_json_list(scopes);
    ngx_apigw_cli_json_list(labels);
    ngx_apigw_cli_json_list(allow);

    ngx_apigw_cli_json_moment(created);
    ngx_apigw_cli_json_moment(updated);
    ngx_apigw_cli_json_moment(not_before);
    ngx_apigw_cli_json_moment(expires);

    ngx_apigw_cli_json_limits(b, rec, old);

    ngx_apigw_cli_json_field(successor);
}


static void
ngx_apigw_cli_json_limits(ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_record_t *old)
{
    char       buf[NGX_APIGW_CLI_RATE_TEXT];
    ngx_str_t  text;

    if (old ? (rec->rate != old->rate || rec->rate_period != old->rate_period
               || rec->rate_places != old->rate_places)
            : rec->rate != 0)
    {
        if (rec->rate) {
            text.data = (u_char *) ngx_apigw_cli_rate_text(rec, buf);
            text.len = strlen(buf);
            ngx_apigw_cli_json_text(b, "rate", &text);

        } else {
            ngx_apigw_cli_json_name(b, "rate");
            ngx_apigw_cli_buf_literal(b, "null");
        }
    }

    /* that of 0, of older versions, is none */

    if (rec->burst != (old ? old->burst : -1) && (rec->burst || old)) {
        if (rec->burst > 0) {
            ngx_apigw_cli_json_number(b, "burst", rec->burst);

        } else {
            ngx_apigw_cli_json_name(b, "burst");
            ngx_apigw_cli_buf_literal(b, "null");
        }
    }

    ngx_apigw_cli_json_list(quotas);
}


static void
ngx_apigw_cli_json_scopes(ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec)
{
    size_t     pos;
    ngx_str_t  scope;

    pos = 0;
    ngx_apigw_cli_buf_literal(b, "[");

    while (ngx_apigw_key_scope_next(rec, &pos, &scope)) {
        ngx_apigw_cli_json_comma(b);
        ngx_apigw_cli_json_string(b, scope.data, scope.len);
    }

    ngx_apigw_cli_buf_literal(b, "]");
}


static void
ngx_apigw_cli_json_labels(ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec)
{
    size_t     pos;
    ngx_str_t  name, value;

    pos = 0;
    ngx_apigw_cli_buf_literal(b, "{");

    while (ngx_apigw_key_label_next(rec, &pos, &name, &value)) {
        ngx_apigw_cli_json_comma(b);
        ngx_apigw_cli_json_string(b, name.data, name.len);
        ngx_apigw_cli_buf_literal(b, ":");
        ngx_apigw_cli_json_string(b, value.data, value.len);
    }

    ngx_apigw_cli_buf_literal(b, "}");
}


static void
ngx_apigw_cli_json_allow(ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec)
{
    size_t                pos;
    u_char                text[NGX_APIGW_KEY_CIDR_TEXT];
    ngx_apigw_key_cidr_t  cidr;

    pos = 0;
    ngx_apigw_cli_buf_literal(b, "[");

    while (ngx_apigw_key_cidr_next(rec, &pos, &cidr)) {
        ngx_apigw_cli_json_comma(b);
        ngx_apigw_cli_json_string(b, text,
                                  ngx_apigw_key_cidr_text(&cidr, text));
    }

    ngx_apigw_cli_buf_literal(b, "]");
}


static void
ngx_apigw_cli_json_quotas(ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec)
{
    size_t                  pos;
    int64_t                 limit;
    ngx_apigw_key_period_e  period;

    pos = 0;
    ngx_apigw_cli_buf_literal(b, "{");

    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {
        ngx_apigw_cli_json_number(b, ngx_apigw_key_period_name(period), limit);
    }

    ngx_apigw_cli_buf_literal(b, "}");
}


static ngx_uint_t
ngx_apigw_cli_differ(const ngx_str_t *one, const ngx_str_t *two)
{
    return one->len != two->len
           || (one->len && memcmp(one->data, two->data, one->len) != 0);
}


/* Letters that are not taken for each other; five bits each. */

ngx_int_t
ngx_apigw_cli_record_new_id(u_char *p)
{
    u_char             random[NGX_APIGW_CLI_ID_LEN];
    ngx_uint_t         i;
    static const char  letters[] = "0123456789abcdefghjkmnpqrstvwxyz";

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_APIGW_CLI_ID_LEN; i++) {
        p[i] = letters[random[i] & 31];
    }

    return NGX_OK;
}
