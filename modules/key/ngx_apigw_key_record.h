/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_RECORD_H_INCLUDED_
#define _NGX_APIGW_KEY_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * What is known about an API key, and how that is kept in the store: a byte
 * of version, then fields of
 *
 *     number (1 byte), length (2 bytes, big-endian, not 0), value
 *
 * with strictly ascending numbers.  A field that is empty or has its default
 * is left out, integers are big-endian without leading zeroes, and lists are
 * sorted, so a record has exactly one encoding and decode() takes no other.
 *
 * Fields to come: a reader passes over a number up to 127 that it does not
 * know, and a writer keeps it; a number from 128 on restricts the use of the
 * key, so who does not know it must not accept the key.
 *
 * Uses nothing of nginx but its types.
 */


#define NGX_APIGW_KEY_RECORD_VERSION    1
#define NGX_APIGW_KEY_RECORD_MAX        4000

#define NGX_APIGW_KEY_ID_MAX            64
#define NGX_APIGW_KEY_CONSUMER_MAX      255
#define NGX_APIGW_KEY_PLAN_MAX          64
#define NGX_APIGW_KEY_NAME_MAX          255
#define NGX_APIGW_KEY_DESCRIPTION_MAX   1000
#define NGX_APIGW_KEY_SCOPES_MAX        1000
#define NGX_APIGW_KEY_LABELS_MAX        1000
#define NGX_APIGW_KEY_LABEL_NAME_MAX    32
#define NGX_APIGW_KEY_LABEL_VALUE_MAX   255
#define NGX_APIGW_KEY_ALLOW_MAX         1000
#define NGX_APIGW_KEY_CIDR_TEXT         50
#define NGX_APIGW_KEY_QUOTAS_MAX        64
#define NGX_APIGW_KEY_PLACES_MAX        6
#define NGX_APIGW_KEY_RATE_TEXT         (NGX_INT64_LEN + sizeof("0.r/s"))
#define NGX_APIGW_KEY_LIMIT_MAX         1000000000000000LL


typedef enum {
    NGX_APIGW_KEY_PER_SECOND = 1,
    NGX_APIGW_KEY_PER_MINUTE,
    NGX_APIGW_KEY_PER_HOUR,
    NGX_APIGW_KEY_PER_DAY,
    NGX_APIGW_KEY_PER_WEEK,
    NGX_APIGW_KEY_PER_MONTH,
    NGX_APIGW_KEY_PER_LIFETIME,

    /* of a rate of 1: no limit, whatever the plan says */

    NGX_APIGW_KEY_UNLIMITED = 15
} ngx_apigw_key_period_e;


/*
 * Strings point into the encoded record or wherever the writer has them.
 * Times are seconds since the epoch, 0 means none.
 */

typedef struct {
    ngx_str_t            id;           /* A-Z a-z 0-9 . _ -, not empty */
    ngx_str_t            consumer;     /* not empty */
    ngx_str_t            plan;
    ngx_str_t            name;
    ngx_str_t            description;

    ngx_str_t            scopes;       /* "orders:read orders:write", sorted */
    ngx_str_t            labels;       /* packed, _label_next() */
    ngx_str_t            allow;        /* packed, _cidr_next(); empty: all */

    time_t               created;
    time_t               updated;
    time_t               not_before;
    time_t               expires;

    uint64_t             rate;         /* requests in rate_period, 0: none */
    ngx_uint_t           rate_places;  /* how many decimal places it has */
    ngx_apigw_key_period_e  rate_period;
    int64_t              burst;        /* -1: none */
    ngx_str_t            quotas;       /* packed, _quota_next() */

    ngx_str_t            successor;    /* id of the key that replaces it */

    ngx_str_t            rest;         /* fields that are not known here */

    unsigned             enabled:1;
    unsigned             decoy:1;
} ngx_apigw_key_record_t;


typedef struct {
    ngx_uint_t           family;       /* 4 or 6 */
    ngx_uint_t           bits;
    u_char               address[16];  /* 4 bytes or 16 */
} ngx_apigw_key_cidr_t;


#pragma GCC visibility push(hidden)


/* An enabled record without any restriction, and without id and consumer. */

void ngx_apigw_key_record_init(ngx_apigw_key_record_t *rec);


/*
 * Returns NULL, or what is wrong with a record, as a text such as "invalid
 * consumer".
 */

const char *ngx_apigw_key_record_check(ngx_apigw_key_record_t *rec);


/*
 * Returns the length, at most NGX_APIGW_KEY_RECORD_MAX, or NGX_ERROR if the
 * record fails its check or is too large for the buffer.
 */

ssize_t ngx_apigw_key_record_encode(ngx_apigw_key_record_t *rec, u_char *buf,
    size_t size);


/*
 * Returns NGX_OK, NGX_ERROR if these bytes are no record, NGX_DECLINED if
 * they are one of a later version or with a restriction unknown here.
 *
 * _parse() is for bytes that are known to be those of a record that was
 * encoded: it looks at the lengths, and not at what the fields say.
 */

ngx_int_t ngx_apigw_key_record_decode(ngx_apigw_key_record_t *rec,
    const u_char *buf, size_t size);
ngx_int_t ngx_apigw_key_record_parse(ngx_apigw_key_record_t *rec,
    const u_char *buf, size_t size);


/*
 * Lists.  A loop begins with *pos zero:
 *
 *     pos = 0;
 *     while (ngx_apigw_key_label_next(&rec, &pos, &name, &value)) { ... }
 *
 * The functions that change a list work in the memory behind its data, which
 * has room for the field's NGX_APIGW_KEY_..._MAX bytes, and return NGX_OK,
 * NGX_DECLINED if the argument is not valid, or NGX_ERROR without room.
 */

ngx_uint_t ngx_apigw_key_scope_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_str_t *scope);
ngx_uint_t ngx_apigw_key_scope_has(ngx_apigw_key_record_t *rec,
    const ngx_str_t *scope);
ngx_int_t ngx_apigw_key_scope_add(ngx_str_t *scopes, const ngx_str_t *scope);
ngx_int_t ngx_apigw_key_scope_check(const ngx_str_t *scope);

/* names are of a-z, 0-9 and "_"; setting an empty value removes the label */

ngx_uint_t ngx_apigw_key_label_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_str_t *name, ngx_str_t *value);
ngx_uint_t ngx_apigw_key_label_get(ngx_apigw_key_record_t *rec,
    const ngx_str_t *name, ngx_str_t *value);
ngx_int_t ngx_apigw_key_label_set(ngx_str_t *labels, const ngx_str_t *name,
    const ngx_str_t *value);

/* "192.0.2.0/24", "2001:db8::/32", "192.0.2.1"; host bits must be zero */

ngx_uint_t ngx_apigw_key_cidr_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_apigw_key_cidr_t *cidr);
ngx_int_t ngx_apigw_key_cidr_parse(ngx_apigw_key_cidr_t *cidr,
    const ngx_str_t *text);
ngx_int_t ngx_apigw_key_cidr_add(ngx_str_t *allow,
    const ngx_apigw_key_cidr_t *cidr);
size_t ngx_apigw_key_cidr_text(const ngx_apigw_key_cidr_t *cidr, u_char *buf);

/* whether an address of 4 or 16 bytes is allowed; IPv4-mapped is IPv4 */

ngx_uint_t ngx_apigw_key_address_allowed(ngx_apigw_key_record_t *rec,
    const u_char *address, size_t len);

/*
 * One limit a period; a limit of -1 removes it.  Quotas are per hour or
 * longer, rates per second, minute, hour or day.
 */

ngx_uint_t ngx_apigw_key_quota_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_apigw_key_period_e *period, int64_t *limit);
ngx_int_t ngx_apigw_key_quota_set(ngx_str_t *quotas,
    ngx_apigw_key_period_e period, int64_t limit);

/* "0.5r/s" or "unlimited" of a record that has a rate; returns the length */

size_t ngx_apigw_key_rate_text(const ngx_apigw_key_record_t *rec, u_char *buf);

/* "second", ..., "lifetime"; 0 and NULL if there is no such period */

const char *ngx_apigw_key_period_name(ngx_apigw_key_period_e period);
ngx_apigw_key_period_e ngx_apigw_key_period_parse(const u_char *text,
    size_t len);


/* What ngx_apigw_key_record_check() consists of. */

ngx_uint_t ngx_apigw_key_scopes_valid(ngx_apigw_key_record_t *rec);
ngx_uint_t ngx_apigw_key_labels_valid(ngx_apigw_key_record_t *rec);
ngx_uint_t ngx_apigw_key_allow_valid(ngx_apigw_key_record_t *rec);
ngx_uint_t ngx_apigw_key_quotas_valid(ngx_apigw_key_record_t *rec);

/* UTF-8 without control characters, of at most max bytes */

ngx_uint_t ngx_apigw_key_text_valid(const ngx_str_t *text, size_t max);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_RECORD_H_INCLUDED_ */
