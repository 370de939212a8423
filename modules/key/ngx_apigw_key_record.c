/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_record.h"


#define NGX_APIGW_KEY_FLAG_DISABLED  0x01
#define NGX_APIGW_KEY_FLAG_DECOY     0x02
#define NGX_APIGW_KEY_FLAGS          0x03

#define NGX_APIGW_KEY_CRITICAL       128    /* field numbers that restrict */
#define NGX_APIGW_KEY_HEAD           3      /* number and length of a field */

#define NGX_APIGW_KEY_TIME_MAX       253402300799LL  /* year 9999 */


typedef enum {
    NGX_APIGW_KEY_TEXT = 0,
    NGX_APIGW_KEY_TIME,
    NGX_APIGW_KEY_FLAG,
    NGX_APIGW_KEY_RATE,
    NGX_APIGW_KEY_BURST
} ngx_apigw_key_type_e;


typedef struct {
    ngx_apigw_key_type_e  type;
    size_t                offset;
} ngx_apigw_key_field_t;


static ngx_int_t ngx_apigw_key_decode_field(ngx_apigw_key_record_t *rec,
    ngx_uint_t number, const u_char *p, size_t len);
static u_char *ngx_apigw_key_encode_field(ngx_apigw_key_record_t *rec,
    ngx_uint_t number, u_char *p, u_char *last);
static u_char *ngx_apigw_key_encode_value(u_char *p, u_char *last,
    ngx_uint_t number, const u_char *value, size_t len);
static ngx_int_t ngx_apigw_key_get_int(uint64_t *value, const u_char *p,
    size_t len);
static size_t ngx_apigw_key_put_int(u_char *buf, uint64_t value);
static const char *ngx_apigw_key_check_limits(ngx_apigw_key_record_t *rec);
static ngx_uint_t ngx_apigw_key_valid_id(const ngx_str_t *id);
static ngx_uint_t ngx_apigw_key_valid_utf8(const u_char **text,
    const u_char *last);
static ngx_uint_t ngx_apigw_key_valid_name(const ngx_str_t *text, size_t max);
static ngx_uint_t ngx_apigw_key_valid_rest(const ngx_str_t *rest);


/* by field number; a number is never used for anything else */

static const ngx_apigw_key_field_t  ngx_apigw_key_fields[] = {

    { NGX_APIGW_KEY_TEXT, 0 },                      /* 0 is no field */

#define ngx_apigw_key_field(type, name)                                       \
    { NGX_APIGW_KEY_##type, offsetof(ngx_apigw_key_record_t, name) }

    ngx_apigw_key_field(TEXT, id),                  /* 1 */
    ngx_apigw_key_field(TEXT, consumer),
    ngx_apigw_key_field(TEXT, plan),
    { NGX_APIGW_KEY_FLAG, 0 },
    ngx_apigw_key_field(TIME, created),             /* 5 */
    ngx_apigw_key_field(TIME, updated),
    ngx_apigw_key_field(TIME, not_before),
    ngx_apigw_key_field(TIME, expires),
    ngx_apigw_key_field(TEXT, scopes),
    ngx_apigw_key_field(TEXT, labels),              /* 10 */
    ngx_apigw_key_field(TEXT, allow),
    { NGX_APIGW_KEY_RATE, 0 },
    { NGX_APIGW_KEY_BURST, 0 },
    ngx_apigw_key_field(TEXT, quotas),
    ngx_apigw_key_field(TEXT, name),                /* 15 */
    ngx_apigw_key_field(TEXT, description),
    ngx_apigw_key_field(TEXT, successor)

#undef ngx_apigw_key_field

};


#define NGX_APIGW_KEY_FIELDS                                                  \
    (sizeof(ngx_apigw_key_fields) / sizeof(ngx_apigw_key_field_t))


void
ngx_apigw_key_record_init(ngx_apigw_key_record_t *rec)
{
    ngx_memzero(rec, sizeof(ngx_apigw_key_record_t));

    rec->burst = -1;
    rec->enabled = 1;
}


ngx_int_t
ngx_apigw_key_record_decode(ngx_apigw_key_record_t *rec, const u_char *buf,
    size_t size)
{
    ngx_int_t  rc;

    rc = ngx_apigw_key_record_parse(rec, buf, size);

    if (rc == NGX_OK && ngx_apigw_key_record_check(rec) != NULL) {
        return NGX_ERROR;
    }

    return rc;
}


ngx_int_t
ngx_apigw_key_record_parse(ngx_apigw_key_record_t *rec, const u_char *buf,
    size_t size)
{
    size_t         len;
    ngx_int_t      rc;
    ngx_uint_t     number, previous;
    const u_char  *p, *last;

    ngx_apigw_key_record_init(rec);

    if (size < 1 || size > NGX_APIGW_KEY_RECORD_MAX || buf[0] == 0) {
        return NGX_ERROR;
    }

    if (buf[0] != NGX_APIGW_KEY_RECORD_VERSION) {
        return NGX_DECLINED;
    }

    last = buf + size;
    previous = 0;

    for (p = buf + 1; p < last; p += len) {

        if (last - p < NGX_APIGW_KEY_HEAD) {
            return NGX_ERROR;
        }

        number = p[0];
        len = p[1] << 8 | p[2];
        p += NGX_APIGW_KEY_HEAD;

        if (number <= previous || len == 0 || len > (size_t) (last - p)) {
            return NGX_ERROR;
        }

        previous = number;

        if (number >= NGX_APIGW_KEY_CRITICAL) {
            return NGX_DECLINED;
        }

        if (number >= NGX_APIGW_KEY_FIELDS) {

            if (rec->rest.len == 0) {
                rec->rest.data = (u_char *) p - NGX_APIGW_KEY_HEAD;
            }

            rec->rest.len = p + len - rec->rest.data;
            continue;
        }

        rc = ngx_apigw_key_decode_field(rec, number, p, len);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    /* others keep an id in a buffer of that size */

    if (rec->id.len == 0 || rec->id.len > NGX_APIGW_KEY_ID_MAX
        || rec->consumer.len == 0
        || rec->consumer.len > NGX_APIGW_KEY_CONSUMER_MAX)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_key_decode_field(ngx_apigw_key_record_t *rec, ngx_uint_t number,
    const u_char *p, size_t len)
{
    void                         *field;
    uint64_t                      value;
    ngx_str_t                    *text;
    const ngx_apigw_key_field_t  *f;

    f = &ngx_apigw_key_fields[number];
    field = (u_char *) rec + f->offset;

    switch (f->type) {

    case NGX_APIGW_KEY_TEXT:
        text = field;
        text->len = len;
        text->data = (u_char *) p;
        return NGX_OK;

    case NGX_APIGW_KEY_TIME:
        if (ngx_apigw_key_get_int(&value, p, len) != NGX_OK || value == 0) {
            return NGX_ERROR;
        }

        *(time_t *) field = value;
        return NGX_OK;

    case NGX_APIGW_KEY_FLAG:
        if (len != 1 || p[0] == 0) {
            return NGX_ERROR;
        }

        if (p[0] & ~NGX_APIGW_KEY_FLAGS) {
            return NGX_DECLINED;
        }

        rec->enabled = !(p[0] & NGX_APIGW_KEY_FLAG_DISABLED);
        rec->decoy = (p[0] & NGX_APIGW_KEY_FLAG_DECOY) ? 1 : 0;
        return NGX_OK;

    case NGX_APIGW_KEY_RATE:
        rec->rate_period = p[0] & 0x0f;
        rec->rate_places = p[0] >> 4;

        if (ngx_apigw_key_get_int(&rec->rate, p + 1, len - 1) != NGX_OK
            || rec->rate == 0)
        {
            return NGX_ERROR;
        }

        return NGX_OK;

    case NGX_APIGW_KEY_BURST:
        if (ngx_apigw_key_get_int(&value, p, len) != NGX_OK) {
            return NGX_ERROR;
        }

        rec->burst = value;
        return NGX_OK;
    }

    return NGX_ERROR;
}


ssize_t
ngx_apigw_key_record_encode(ngx_apigw_key_record_t *rec, u_char *buf,
    size_t size)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    if (ngx_apigw_key_record_check(rec) != NULL) {
        return NGX_ERROR;
    }

    size = ngx_min(size, NGX_APIGW_KEY_RECORD_MAX);

    if (size < 1) {
        return NGX_ERROR;
    }

    p = buf;
    last = buf + size;

    *p++ = NGX_APIGW_KEY_RECORD_VERSION;

    for (i = 1; i < NGX_APIGW_KEY_FIELDS; i++) {
        p = ngx_apigw_key_encode_field(rec, i, p, last);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    if ((size_t) (last - p) < rec->rest.len) {
        return NGX_ERROR;
    }

    if (rec->rest.len) {
        p = ngx_cpymem(p, rec->rest.data, rec->rest.len);
    }

    return p - buf;
}


static u_char *
ngx_apigw_key_encode_field(ngx_apigw_key_record_t *rec, ngx_uint_t number,
    u_char *p, u_char *last)
{
    void                         *field;
    size_t                        len;
    u_char                        buf[1 + sizeof(uint64_t)];
    ngx_str_t                    *text;
    const ngx_apigw_key_field_t  *f;

    f = &ngx_apigw_key_fields[number];
    field = (u_char *) rec + f->offset;
    len = 0;

    switch (f->type) {

    case NGX_APIGW_KEY_TEXT:
        text = field;
        return ngx_apigw_key_encode_value(p, last, number, text->data,
                                          text->len);

    case NGX_APIGW_KEY_TIME:
        if (*(time_t *) field) {
            len = ngx_apigw_key_put_int(buf, *(time_t *) field);
        }

        break;

    case NGX_APIGW_KEY_FLAG:
        buf[0] = (rec->enabled ? 0 : NGX_APIGW_KEY_FLAG_DISABLED)
                 | (rec->decoy ? NGX_APIGW_KEY_FLAG_DECOY : 0);
        len = buf[0] ? 1 : 0;
        break;

    case NGX_APIGW_KEY_RATE:
        if (rec->rate) {
            buf[0] = rec->rate_places << 4 | rec->rate_period;
            len = 1 + ngx_apigw_key_put_int(buf + 1, rec->rate);
        }

        break;

    case NGX_APIGW_KEY_BURST:
        if (rec->burst >= 0) {
            len = ngx_apigw_key_put_int(buf, rec->burst);
        }

        break;
    }

    return ngx_apigw_key_encode_value(p, last, number, buf, len);
}


static u_char *
ngx_apigw_key_encode_value(u_char *p, u_char *last, ngx_uint_t number,
    const u_char *value, size_t len)
{
    if (len == 0) {
        return p;
    }

    if ((size_t) (last - p) < NGX_APIGW_KEY_HEAD + len) {
        return NULL;
    }

    *p++ = (u_char) number;
    *p++ = (u_char) (len >> 8);
    *p++ = (u_char) len;

    return ngx_cpymem(p, value, len);
}


static ngx_int_t
ngx_apigw_key_get_int(uint64_t *value, const u_char *p, size_t len)
{
    uint64_t  n;

    if (len == 0 || len > sizeof(uint64_t) || (len > 1 && p[0] == 0)) {
        return NGX_ERROR;
    }

    /* nothing that is kept needs the uppermost bit */

    if (len == sizeof(uint64_t) && p[0] >= 0x80) {
        return NGX_ERROR;
    }

    for (n = 0; len; len--) {
        n = n << 8 | *p++;
    }

    *value = n;

    return NGX_OK;
}


static size_t
ngx_apigw_key_put_int(u_char *buf, uint64_t value)
{
    size_t    i, len;
    uint64_t  n;

    len = 1;

    for (n = value >> 8; n; n >>= 8) {
        len++;
    }

    for (i = len; i; i--) {
        buf[i - 1] = (u_char) value;
        value >>= 8;
    }

    return len;
}


const char *
ngx_apigw_key_record_check(ngx_apigw_key_record_t *rec)
{
    if (!ngx_apigw_key_valid_id(&rec->id)) {
        return "invalid id";
    }

    if (rec->consumer.len == 0
        || !ngx_apigw_key_valid_name(&rec->consumer,
                                     NGX_APIGW_KEY_CONSUMER_MAX))
    {
        return "invalid consumer";
    }

    if (!ngx_apigw_key_valid_name(&rec->plan, NGX_APIGW_KEY_PLAN_MAX)) {
        return "invalid plan";
    }

    if (!ngx_apigw_key_text_valid(&rec->name, NGX_APIGW_KEY_NAME_MAX)) {
        return "invalid name";
    }

    if (!ngx_apigw_key_text_valid(&rec->description,
                                  NGX_APIGW_KEY_DESCRIPTION_MAX))
    {
        return "invalid description";
    }

    if (rec->successor.len && !ngx_apigw_key_valid_id(&rec->successor)) {
        return "invalid successor";
    }

    if (!ngx_apigw_key_scopes_valid(rec)) {
        return "invalid scopes";
    }

    if (!ngx_apigw_key_labels_valid(rec)) {
        return "invalid labels";
    }

    if (!ngx_apigw_key_allow_valid(rec)) {
        return "invalid list of allowed addresses";
    }

    if (!ngx_apigw_key_valid_rest(&rec->rest)) {
        return "invalid further fields";
    }

    return ngx_apigw_key_check_limits(rec);
}


static const char *
ngx_apigw_key_check_limits(ngx_apigw_key_record_t *rec)
{
    ngx_uint_t      i;
    const time_t   *time[] = { &rec->created, &rec->updated, &rec->not_before,
                               &rec->expires };

    for (i = 0; i < sizeof(time) / sizeof(time_t *); i++) {
        if (*time[i] < 0 || *time[i] > NGX_APIGW_KEY_TIME_MAX) {
            return "invalid time";
        }
    }

    if (rec->rate_period == NGX_APIGW_KEY_UNLIMITED) {
        if (rec->rate != 1 || rec->rate_places) {
            return "invalid rate";
        }

    } else if (rec->rate
               && (rec->rate > NGX_APIGW_KEY_LIMIT_MAX
                   || rec->rate_period < NGX_APIGW_KEY_PER_SECOND
                   || rec->rate_period > NGX_APIGW_KEY_PER_DAY
                   || rec->rate_places > NGX_APIGW_KEY_PLACES_MAX))
    {
        return "invalid rate";
    }

    if (rec->burst < -1 || rec->burst > NGX_APIGW_KEY_LIMIT_MAX) {
        return "invalid burst";
    }

    if (!ngx_apigw_key_quotas_valid(rec)) {
        return "invalid quotas";
    }

    return NULL;
}


static ngx_uint_t
ngx_apigw_key_valid_id(const ngx_str_t *id)
{
    u_char  ch;
    size_t  i;

    if (id->len == 0 || id->len > NGX_APIGW_KEY_ID_MAX) {
        return 0;
    }

    for (i = 0; i < id->len; i++) {
        ch = id->data[i];

        if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z')
            || (ch >= 'a' && ch <= 'z') || ch == '-' || ch == '_' || ch == '.')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


/* Goes into headers, logs and JSON: UTF-8 without control characters. */

ngx_uint_t
ngx_apigw_key_text_valid(const ngx_str_t *text, size_t max)
{
    const u_char  *p, *last;

    if (text->len == 0) {
        return 1;
    }

    if (text->len > max) {
        return 0;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p >= 0x20 && *p < 0x7f) {
            p++;
            continue;
        }

        if (*p < 0x80 || !ngx_apigw_key_valid_utf8(&p, last)) {
            return 0;
        }
    }

    return 1;
}


/* One character outside ASCII, in its shortest form, no surrogate. */

static ngx_uint_t
ngx_apigw_key_valid_utf8(const u_char **text, const u_char *last)
{
    uint32_t       ch, min;
    ngx_uint_t     n;
    const u_char  *p;

    p = *text;

    if (*p >= 0xc0 && *p < 0xe0) {
        n = 1;
        min = 0xa0;     /* below are control characters too */
        ch = *p & 0x1f;

    } else if (*p >= 0xe0 && *p < 0xf0) {
        n = 2;
        min = 0x800;
        ch = *p & 0x0f;

    } else if (*p >= 0xf0 && *p < 0xf8) {
        n = 3;
        min = 0x10000;
        ch = *p & 0x07;

    } else {
        return 0;
    }

    if ((size_t) (last - p) <= n) {
        return 0;
    }

    for (p++; n; n--, p++) {
        if ((*p & 0xc0) != 0x80) {
            return 0;
        }

        ch = ch << 6 | (*p & 0x3f);
    }

    if (ch < min || ch > 0x10ffff || (ch >= 0xd800 && ch <= 0xdfff)) {
        return 0;
    }

    *text = p;

    return 1;
}


/* A name that others compare: nothing may trim it into another one. */

static ngx_uint_t
ngx_apigw_key_valid_name(const ngx_str_t *text, size_t max)
{
    if (text->len == 0) {
        return 1;
    }

    return text->data[0] != ' ' && text->data[text->len - 1] != ' '
           && ngx_apigw_key_text_valid(text, max);
}


static ngx_uint_t
ngx_apigw_key_valid_rest(const ngx_str_t *rest)
{
    size_t         len;
    ngx_uint_t     previous;
    const u_char  *p, *last;

    if (rest->len == 0) {
        return 1;
    }

    previous = NGX_APIGW_KEY_FIELDS - 1;
    p = rest->data;
    last = p + rest->len;

    while (p < last) {

        if (last - p < NGX_APIGW_KEY_HEAD) {
            return 0;
        }

        len = p[1] << 8 | p[2];

        if (p[0] <= previous || p[0] >= NGX_APIGW_KEY_CRITICAL || len == 0
            || len > (size_t) (last - p - NGX_APIGW_KEY_HEAD))
        {
            return 0;
        }

        previous = p[0];
        p += NGX_APIGW_KEY_HEAD + len;
    }

    return 1;
}


