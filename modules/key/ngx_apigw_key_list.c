/*
 * Copyright (C) the apigw authors
 */


/* The lists in a record: scopes, labels, addresses, quotas. */


#include <ngx_config.h>
#include <ngx_core.h>

#include <arpa/inet.h>

#include "ngx_apigw_key_record.h"


#define NGX_APIGW_KEY_QUOTA  9      /* period, limit */


static ngx_uint_t ngx_apigw_key_label_name_valid(const ngx_str_t *name);
static ngx_uint_t ngx_apigw_key_cidr_valid(const ngx_apigw_key_cidr_t *cidr);
static ngx_int_t ngx_apigw_key_compare(const ngx_str_t *one,
    const ngx_str_t *two);
static ngx_int_t ngx_apigw_key_splice(ngx_str_t *list, size_t max, size_t at,
    size_t remove, size_t insert);


static const char  *ngx_apigw_key_periods[] = {
    "second", "minute", "hour", "day", "week", "month", "lifetime"
};


#define NGX_APIGW_KEY_PERIODS                                                 \
    (sizeof(ngx_apigw_key_periods) / sizeof(char *))


ngx_uint_t
ngx_apigw_key_scope_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_str_t *scope)
{
    u_char  *p, *last;

    if (*pos >= rec->scopes.len) {
        return 0;
    }

    scope->data = rec->scopes.data + *pos;
    last = rec->scopes.data + rec->scopes.len;

    for (p = scope->data; p < last && *p != ' '; p++) { /* void */ }

    scope->len = p - scope->data;
    *pos += scope->len + 1;

    return 1;
}


ngx_uint_t
ngx_apigw_key_scope_has(ngx_apigw_key_record_t *rec, const ngx_str_t *scope)
{
    size_t     pos;
    ngx_str_t  each;

    pos = 0;

    while (ngx_apigw_key_scope_next(rec, &pos, &each)) {
        if (ngx_apigw_key_compare(&each, scope) == 0) {
            return 1;
        }
    }

    return 0;
}


/* RFC 6749, section 3.3, without the comma, which separates in lists */

ngx_int_t
ngx_apigw_key_scope_check(const ngx_str_t *scope)
{
    u_char  ch;
    size_t  i;

    if (scope->len == 0) {
        return NGX_DECLINED;
    }

    for (i = 0; i < scope->len; i++) {
        ch = scope->data[i];

        if (ch <= ' ' || ch >= 0x7f || ch == '"' || ch == '\\' || ch == ',') {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_key_scope_add(ngx_str_t *scopes, const ngx_str_t *scope)
{
    u_char                 *p;
    size_t                  pos, at;
    ngx_int_t               rc;
    ngx_str_t               each;
    ngx_apigw_key_record_t  rec;

    if (ngx_apigw_key_scope_check(scope) != NGX_OK) {
        return NGX_DECLINED;
    }

    rec.scopes = *scopes;
    pos = 0;
    at = 0;

    while (ngx_apigw_key_scope_next(&rec, &pos, &each)) {
        rc = ngx_apigw_key_compare(&each, scope);

        if (rc == 0) {
            return NGX_OK;
        }

        if (rc > 0) {
            break;
        }

        at = pos;
    }

    /* behind the last scope there is no space yet */

    at = ngx_min(at, scopes->len);
    pos = scopes->len;

    if (ngx_apigw_key_splice(scopes, NGX_APIGW_KEY_SCOPES_MAX, at, 0,
                             scope->len + (pos ? 1 : 0))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = scopes->data + at;

    if (at == pos && pos) {
        *p++ = ' ';
    }

    p = ngx_cpymem(p, scope->data, scope->len);

    if (at < pos) {
        *p = ' ';
    }

    return NGX_OK;
}


ngx_uint_t
ngx_apigw_key_scopes_valid(ngx_apigw_key_record_t *rec)
{
    size_t     pos;
    ngx_str_t  scope, previous;

    if (rec->scopes.len == 0) {
        return 1;
    }

    if (rec->scopes.len > NGX_APIGW_KEY_SCOPES_MAX
        || rec->scopes.data[rec->scopes.len - 1] == ' ')
    {
        return 0;
    }

    pos = 0;
    ngx_str_null(&previous);

    while (ngx_apigw_key_scope_next(rec, &pos, &scope)) {

        if (ngx_apigw_key_scope_check(&scope) != NGX_OK
            || ngx_apigw_key_compare(&previous, &scope) >= 0)
        {
            return 0;
        }

        previous = scope;
    }

    return 1;
}


ngx_uint_t
ngx_apigw_key_label_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_str_t *name, ngx_str_t *value)
{
    size_t   n;
    u_char  *p;

    if (*pos >= rec->labels.len) {
        return 0;
    }

    p = rec->labels.data + *pos;
    n = rec->labels.len - *pos;

    if (n < 2 || n < 2 + (size_t) p[0] || n < 2 + (size_t) p[0] + p[1 + p[0]])
    {
        return 0;
    }

    name->len = p[0];
    name->data = p + 1;

    value->len = p[1 + p[0]];
    value->data = p + 2 + p[0];

    *pos += 2 + name->len + value->len;

    return 1;
}


ngx_uint_t
ngx_apigw_key_label_get(ngx_apigw_key_record_t *rec, const ngx_str_t *name,
    ngx_str_t *value)
{
    size_t     pos;
    ngx_str_t  each;

    pos = 0;

    while (ngx_apigw_key_label_next(rec, &pos, &each, value)) {
        if (ngx_apigw_key_compare(&each, name) == 0) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_apigw_key_label_set(ngx_str_t *labels, const ngx_str_t *name,
    const ngx_str_t *value)
{
    u_char                 *p;
    size_t                  pos, at, remove, insert;
    ngx_int_t               rc;
    ngx_str_t               each, old;
    ngx_apigw_key_record_t  rec;

    if (!ngx_apigw_key_label_name_valid(name)
        || !ngx_apigw_key_text_valid(value, NGX_APIGW_KEY_LABEL_VALUE_MAX))
    {
        return NGX_DECLINED;
    }

    rec.labels = *labels;
    pos = 0;
    at = 0;
    remove = 0;

    while (ngx_apigw_key_label_next(&rec, &pos, &each, &old)) {
        rc = ngx_apigw_key_compare(&each, name);

        if (rc >= 0) {
            remove = (rc == 0) ? pos - at : 0;
            break;
        }

        at = pos;
    }

    insert = value->len ? 2 + name->len + value->len : 0;

    if (ngx_apigw_key_splice(labels, NGX_APIGW_KEY_LABELS_MAX, at, remove,
                             insert)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (insert) {
        p = labels->data + at;
        *p++ = (u_char) name->len;
        p = ngx_cpymem(p, name->data, name->len);
        *p++ = (u_char) value->len;
        ngx_memcpy(p, value->data, value->len);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_apigw_key_label_name_valid(const ngx_str_t *name)
{
    u_char  ch;
    size_t  i;

    if (name->len == 0 || name->len > NGX_APIGW_KEY_LABEL_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || ch == '_')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


ngx_uint_t
ngx_apigw_key_labels_valid(ngx_apigw_key_record_t *rec)
{
    size_t     pos;
    ngx_str_t  name, value, previous;

    if (rec->labels.len > NGX_APIGW_KEY_LABELS_MAX) {
        return 0;
    }

    pos = 0;
    ngx_str_null(&previous);

    while (ngx_apigw_key_label_next(rec, &pos, &name, &value)) {

        if (!ngx_apigw_key_label_name_valid(&name)
            || value.len == 0
            || !ngx_apigw_key_text_valid(&value, NGX_APIGW_KEY_LABEL_VALUE_MAX)
            || ngx_apigw_key_compare(&previous, &name) >= 0)
        {
            return 0;
        }

        previous = name;
    }

    return pos == rec->labels.len;
}


ngx_uint_t
ngx_apigw_key_cidr_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_apigw_key_cidr_t *cidr)
{
    size_t   n, len;
    u_char  *p;

    n = rec->allow.len - *pos;

    if (*pos >= rec->allow.len || n < 2) {
        return 0;
    }

    p = rec->allow.data + *pos;
    len = (p[0] == 4) ? 4 : 16;

    if (n < 2 + len || p[1] > len * 8) {
        return 0;
    }

    cidr->family = p[0];
    cidr->bits = p[1];

    ngx_memzero(cidr->address, sizeof(cidr->address));
    ngx_memcpy(cidr->address, p + 2, len);

    *pos += 2 + len;

    return 1;
}


static ngx_uint_t
ngx_apigw_key_cidr_valid(const ngx_apigw_key_cidr_t *cidr)
{
    ngx_uint_t  i, len;

    if (cidr->family != 4 && cidr->family != 6) {
        return 0;
    }

    len = (cidr->family == 4) ? 4 : 16;

    if (cidr->bits > len * 8) {
        return 0;
    }

    i = cidr->bits / 8;

    if (cidr->bits % 8) {
        if (cidr->address[i] & (0xff >> (cidr->bits % 8))) {
            return 0;
        }

        i++;
    }

    for ( /* void */ ; i < len; i++) {
        if (cidr->address[i]) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_apigw_key_cidr_parse(ngx_apigw_key_cidr_t *cidr, const ngx_str_t *text)
{
    char         buf[NGX_APIGW_KEY_CIDR_TEXT];
    size_t       i, len;
    ngx_uint_t   bits, max;

    len = 0;

    while (len < text->len && text->data[len] != '/') {
        len++;
    }

    if (len == 0 || len >= sizeof(buf)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(buf, text->data, len);
    buf[len] = '\0';

    ngx_memzero(cidr, sizeof(ngx_apigw_key_cidr_t));

    if (inet_pton(AF_INET, buf, cidr->address) == 1) {
        cidr->family = 4;
        max = 32;

    } else if (inet_pton(AF_INET6, buf, cidr->address) == 1) {
        cidr->family = 6;
        max = 128;

    } else {
        return NGX_DECLINED;
    }

    bits = max;

    if (len < text->len) {
        i = len + 1;
        bits = 0;

        if (i == text->len || text->len - i > 3) {
            return NGX_DECLINED;
        }

        for ( /* void */ ; i < text->len; i++) {
            if (text->data[i] < '0' || text->data[i] > '9') {
                return NGX_DECLINED;
            }

            bits = bits * 10 + (text->data[i] - '0');
        }
    }

    cidr->bits = bits;

    return ngx_apigw_key_cidr_valid(cidr) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_apigw_key_cidr_add(ngx_str_t *allow, const ngx_apigw_key_cidr_t *cidr)
{
    u_char                  buf[2 + 16];
    size_t                  pos, at;
    ngx_int_t               rc;
    ngx_str_t               entry, each;
    ngx_apigw_key_cidr_t    other;
    ngx_apigw_key_record_t  rec;

    if (!ngx_apigw_key_cidr_valid(cidr)) {
        return NGX_DECLINED;
    }

    entry.data = buf;
    entry.len = 2 + ((cidr->family == 4) ? 4 : 16);

    buf[0] = (u_char) cidr->family;
    buf[1] = (u_char) cidr->bits;
    ngx_memcpy(buf + 2, cidr->address, entry.len - 2);

    rec.allow = *allow;
    pos = 0;
    at = 0;

    while (ngx_apigw_key_cidr_next(&rec, &pos, &other)) {

        each.data = allow->data + at;
        each.len = pos - at;

        rc = ngx_apigw_key_compare(&each, &entry);

        if (rc == 0) {
            return NGX_OK;
        }

        if (rc > 0) {
            break;
        }

        at = pos;
    }

    if (ngx_apigw_key_splice(allow, NGX_APIGW_KEY_ALLOW_MAX, at, 0, entry.len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(allow->data + at, buf, entry.len);

    return NGX_OK;
}


/* Writes at most NGX_APIGW_KEY_CIDR_TEXT bytes. */

size_t
ngx_apigw_key_cidr_text(const ngx_apigw_key_cidr_t *cidr, u_char *buf)
{
    char         text[INET6_ADDRSTRLEN];
    size_t       len;
    ngx_uint_t   bits;

    if (inet_ntop((cidr->family == 4) ? AF_INET : AF_INET6, cidr->address,
                  text, sizeof(text))
        == NULL)
    {
        return 0;
    }

    len = strlen(text);
    ngx_memcpy(buf, text, len);

    bits = cidr->bits;
    buf[len++] = '/';

    if (bits >= 100) {
        buf[len++] = (u_char) ('0' + bits / 100);
    }

    if (bits >= 10) {
        buf[len++] = (u_char) ('0' + bits / 10 % 10);
    }

    buf[len++] = (u_char) ('0' + bits % 10);

    return len;
}


ngx_uint_t
ngx_apigw_key_address_allowed(ngx_apigw_key_record_t *rec,
    const u_char *address, size_t len)
{
    size_t                pos;
    ngx_uint_t            n, family;
    ngx_apigw_key_cidr_t  cidr;

    static const u_char  mapped[12] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
    };

    if (rec->allow.len == 0) {
        return 1;
    }

    if (len == 16 && ngx_memcmp(address, mapped, sizeof(mapped)) == 0) {
        address += sizeof(mapped);
        len = 4;
    }

    if (len == 4) {
        family = 4;

    } else if (len == 16) {
        family = 6;

    } else {
        return 0;
    }

    pos = 0;

    while (ngx_apigw_key_cidr_next(rec, &pos, &cidr)) {

        if (cidr.family != family) {
            continue;
        }

        n = cidr.bits / 8;

        if (ngx_memcmp(address, cidr.address, n) == 0
            && (cidr.bits % 8 == 0
                || ((address[n] ^ cidr.address[n])
                    & (0xff00 >> (cidr.bits % 8)) & 0xff)
                   == 0))
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_apigw_key_allow_valid(ngx_apigw_key_record_t *rec)
{
    size_t                 pos, start;
    ngx_str_t              entry, previous;
    ngx_apigw_key_cidr_t   cidr;

    if (rec->allow.len > NGX_APIGW_KEY_ALLOW_MAX) {
        return 0;
    }

    pos = 0;
    start = 0;
    ngx_str_null(&previous);

    while (ngx_apigw_key_cidr_next(rec, &pos, &cidr)) {

        entry.data = rec->allow.data + start;
        entry.len = pos - start;

        if (!ngx_apigw_key_cidr_valid(&cidr)
            || ngx_apigw_key_compare(&previous, &entry) >= 0)
        {
            return 0;
        }

        previous = entry;
        start = pos;
    }

    return pos == rec->allow.len;
}


ngx_uint_t
ngx_apigw_key_quota_next(ngx_apigw_key_record_t *rec, size_t *pos,
    ngx_apigw_key_period_e *period, int64_t *limit)
{
    u_char      *p;
    uint64_t     n;
    ngx_uint_t   i;

    if (*pos >= rec->quotas.len
        || rec->quotas.len - *pos < NGX_APIGW_KEY_QUOTA)
    {
        return 0;
    }

    p = rec->quotas.data + *pos;
    n = 0;

    if (p[0] < NGX_APIGW_KEY_PER_HOUR || p[0] > NGX_APIGW_KEY_PERIODS) {
        return 0;
    }

    for (i = 1; i < NGX_APIGW_KEY_QUOTA; i++) {
        n = n << 8 | p[i];
    }

    *period = p[0];
    *limit = (int64_t) n;
    *pos += NGX_APIGW_KEY_QUOTA;

    return 1;
}


ngx_int_t
ngx_apigw_key_quota_set(ngx_str_t *quotas, ngx_apigw_key_period_e period,
    int64_t limit)
{
    u_char                 *p;
    size_t                  pos, at, remove;
    int64_t                 other;
    ngx_uint_t              i;
    ngx_apigw_key_record_t  rec;
    ngx_apigw_key_period_e  each;

    if (period < NGX_APIGW_KEY_PER_HOUR || period > NGX_APIGW_KEY_PERIODS
        || limit < -1 || limit > NGX_APIGW_KEY_LIMIT_MAX)
    {
        return NGX_DECLINED;
    }

    rec.quotas = *quotas;
    pos = 0;
    at = 0;
    remove = 0;

    while (ngx_apigw_key_quota_next(&rec, &pos, &each, &other)) {

        if (each >= period) {
            remove = (each == period) ? NGX_APIGW_KEY_QUOTA : 0;
            break;
        }

        at = pos;
    }

    if (ngx_apigw_key_splice(quotas, NGX_APIGW_KEY_QUOTAS_MAX, at, remove,
                             (limit < 0) ? 0 : NGX_APIGW_KEY_QUOTA)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (limit < 0) {
        return NGX_OK;
    }

    p = quotas->data + at;
    p[0] = (u_char) period;

    for (i = NGX_APIGW_KEY_QUOTA - 1; i; i--) {
        p[i] = (u_char) limit;
        limit >>= 8;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_apigw_key_quotas_valid(ngx_apigw_key_record_t *rec)
{
    size_t                  pos;
    int64_t                 limit;
    ngx_apigw_key_period_e  period, previous;

    if (rec->quotas.len > NGX_APIGW_KEY_QUOTAS_MAX) {
        return 0;
    }

    pos = 0;
    previous = NGX_APIGW_KEY_PER_MINUTE;

    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {

        if (period <= previous || period > NGX_APIGW_KEY_PERIODS
            || limit < 0 || limit > NGX_APIGW_KEY_LIMIT_MAX)
        {
            return 0;
        }

        previous = period;
    }

    return pos == rec->quotas.len;
}


size_t
ngx_apigw_key_rate_text(const ngx_apigw_key_record_t *rec, u_char *buf)
{
    u_char      *p, digits[NGX_INT64_LEN + NGX_APIGW_KEY_PLACES_MAX];
    uint64_t     n;
    ngx_uint_t   i;

    if (rec->rate_period == NGX_APIGW_KEY_UNLIMITED) {
        return ngx_cpymem(buf, "unlimited", sizeof("unlimited") - 1) - buf;
    }

    i = 0;
    n = rec->rate;

    /* at least one digit before the point */

    do {
        digits[i++] = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n || i <= rec->rate_places);

    for (p = buf; i; *p++ = digits[i]) {
        if (i-- == rec->rate_places) {
            *p++ = '.';
        }
    }

    *p++ = 'r';
    *p++ = '/';
    *p++ = (u_char) ngx_apigw_key_period_name(rec->rate_period)[0];

    return p - buf;
}


const char *
ngx_apigw_key_period_name(ngx_apigw_key_period_e period)
{
    if (period < NGX_APIGW_KEY_PER_SECOND || period > NGX_APIGW_KEY_PERIODS) {
        return NULL;
    }

    return ngx_apigw_key_periods[period - 1];
}


ngx_apigw_key_period_e
ngx_apigw_key_period_parse(const u_char *text, size_t len)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_APIGW_KEY_PERIODS; i++) {
        if (strlen(ngx_apigw_key_periods[i]) == len
            && ngx_memcmp(ngx_apigw_key_periods[i], text, len) == 0)
        {
            return i + 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_apigw_key_compare(const ngx_str_t *one, const ngx_str_t *two)
{
    size_t     n;
    ngx_int_t  rc;

    n = ngx_min(one->len, two->len);

    if (n) {
        rc = ngx_memcmp(one->data, two->data, n);
        if (rc != 0) {
            return rc;
        }
    }

    return (one->len > two->len) - (one->len < two->len);
}


/* Makes room for "insert" bytes at "at" in place of "remove" bytes. */

static ngx_int_t
ngx_apigw_key_splice(ngx_str_t *list, size_t max, size_t at, size_t remove,
    size_t insert)
{
    if (list->len - remove + insert > max) {
        return NGX_ERROR;
    }

    ngx_memmove(list->data + at + insert, list->data + at + remove,
                list->len - at - remove);

    list->len = list->len - remove + insert;

    return NGX_OK;
}
