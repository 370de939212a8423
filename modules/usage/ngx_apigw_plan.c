/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/sha.h>

#include "ngx_apigw_plan.h"


/* bytes of SHA-256, after a "~" and in hexadecimal */

#define NGX_APIGW_PLAN_DIGEST  16
#define NGX_APIGW_PLAN_SMALL   8


static ngx_int_t ngx_apigw_plan_override_one(ngx_apigw_plan_t *plan,
    const ngx_str_t *item);
static ngx_uint_t ngx_apigw_plan_slot(const ngx_apigw_plans_t *plans,
    const ngx_str_t *name);


uint64_t
ngx_apigw_plan_salt(const ngx_str_t *family, ngx_uint_t use)
{
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key;

    key.k[0] = use;
    key.k[1] = 0;

    ngx_apigw_hash(&hash, &key, family->data, family->len);

    return hash.h[0];
}


void
ngx_apigw_plan_limit(ngx_apigw_quota_t *quota, uint64_t limit)
{
    quota->limit = limit;

    if (limit == NGX_APIGW_PLAN_UNLIMITED) {
        quota->ceiling = limit;

    } else if (quota->mode != NGX_APIGW_PLAN_ENFORCE
               || quota->percent == NGX_APIGW_PLAN_ANY)
    {
        quota->ceiling = NGX_APIGW_PLAN_OPEN;

    } else {
        quota->ceiling = limit + limit / 100 * quota->percent
                         + limit % 100 * quota->percent / 100;
    }
}


void
ngx_apigw_plan_salts(ngx_apigw_plan_t *plan)
{
    ngx_uint_t  i;

    plan->salt = ngx_apigw_plan_salt(&plan->family, NGX_APIGW_PLAN_RATE);
    plan->entry = ngx_apigw_plan_salt(&plan->name, NGX_APIGW_PLAN_ENTRY);

    for (i = 0; i < plan->nquotas; i++) {
        plan->quotas[i].salt = ngx_apigw_plan_salt(&plan->family,
                                              plan->quotas[i].window.kind);
    }
}


ngx_apigw_plan_t *
ngx_apigw_plan_api(const ngx_apigw_plan_t *plan, const ngx_str_t *api)
{
    ngx_apigw_plan_t  *p;

    for (p = plan->apis; p; p = p->next) {

        if (p->name.len == api->len
            && ngx_memcmp(p->name.data, api->data, api->len) == 0)
        {
            return p;
        }
    }

    return NULL;
}


ngx_int_t
ngx_apigw_plan_override(ngx_apigw_plan_t *plan, const ngx_str_t *text,
    ngx_str_t *bad)
{
    u_char     *p, *last;
    ngx_str_t   item;

    ngx_str_null(bad);

    if (text->len == 0) {
        return NGX_OK;
    }

    last = text->data + text->len;

    for (p = text->data; /* void */ ; p++) {
        item.data = p;

        while (p != last && *p != ',') {
            p++;
        }

        item.len = p - item.data;

        if (ngx_apigw_plan_override_one(plan, &item) != NGX_OK
            && bad->data == NULL)
        {
            *bad = item;
        }

        if (p == last) {
            break;
        }
    }

    return bad->data ? NGX_ERROR : NGX_OK;
}


/* "1000/day" */

static ngx_int_t
ngx_apigw_plan_override_one(ngx_apigw_plan_t *plan, const ngx_str_t *item)
{
    u_char             *p, *last;
    uint64_t            limit;
    ngx_int_t           kind;
    ngx_str_t           name;
    ngx_uint_t          i;
    ngx_apigw_quota_t  *quota;

    p = item->data;
    last = p + item->len;

    if (p == last || *p < '1' || *p > '9') {
        return NGX_ERROR;
    }

    for (limit = 0; p != last && *p >= '0' && *p <= '9'; p++) {
        limit = limit * 10 + (*p - '0');

        if (limit > NGX_APIGW_PLAN_OPEN / 2) {
            return NGX_ERROR;
        }
    }

    if (p == last || *p++ != '/') {
        return NGX_ERROR;
    }

    name.data = p;
    name.len = last - p;

    kind = ngx_apigw_window_kind(&name);

    if (kind == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (i = 0; i < plan->nquotas; i++) {
        if (plan->quotas[i].window.kind == (ngx_uint_t) kind) {
            break;
        }
    }

    quota = &plan->quotas[i];

    if (i == plan->nquotas) {
        plan->nquotas++;

        ngx_memzero(quota, sizeof(ngx_apigw_quota_t));

        quota->name.data = (u_char *) ngx_apigw_window_name(kind);
        quota->name.len = name.len;
        quota->window.kind = kind;
        quota->window.anchor = kind == NGX_APIGW_WINDOW_MONTH;
        quota->salt = ngx_apigw_plan_salt(&plan->family, kind);
    }

    ngx_apigw_plan_limit(quota, limit);
    quota->own = 1;

    return NGX_OK;
}


ngx_uint_t
ngx_apigw_plans_slots(ngx_uint_t n)
{
    ngx_uint_t  slots;

    for (slots = 4; slots < 2 * n; slots *= 2) { /* void */ }

    return slots;
}


void
ngx_apigw_plans_add(ngx_apigw_plans_t *plans, ngx_apigw_plan_t *plan)
{
    plans->slots[ngx_apigw_plan_slot(plans, &plan->name)] = plan;
}


ngx_apigw_plan_t *
ngx_apigw_plans_find(const ngx_apigw_plans_t *plans, const ngx_str_t *name)
{
    return plans->slots[ngx_apigw_plan_slot(plans, name)];
}


/* The slot of the plan with that name, or the free one where it belongs. */

static ngx_uint_t
ngx_apigw_plan_slot(const ngx_apigw_plans_t *plans, const ngx_str_t *name)
{
    uint64_t           word;
    ngx_uint_t         i, n;
    ngx_apigw_plan_t  *plan;

    /* the end of a name is where most differ */

    word = name->len;

    if (name->len >= 8) {
        word += ngx_apigw_hash_word(name->data + name->len - 8);

    } else {
        for (i = 0; i < name->len; i++) {
            word = word << 8 | name->data[i];
        }
    }

    n = (ngx_uint_t) ((word * 0x9e3779b97f4a7c15ULL) >> 32) & plans->mask;

    for ( /* void */ ; plans->slots[n]; n = (n + 1) & plans->mask) {
        plan = plans->slots[n];

        if (plan->name.len == name->len
            && ngx_memcmp(plan->name.data, name->data, name->len) == 0)
        {
            break;
        }
    }

    return n;
}


void
ngx_apigw_plan_counter(const ngx_apigw_plan_t *plan,
    const ngx_apigw_quota_t *quota, const ngx_apigw_window_span_t *span,
    const ngx_str_t *consumer, ngx_uint_t shadow,
    ngx_apigw_counter_info_t *info)
{
    u_char  *p;
    size_t   len;

    ngx_memzero(info, sizeof(ngx_apigw_counter_info_t));

    info->start = (uint32_t) span->start;
    info->end = (uint32_t) span->end;
    info->kind = (u_char) quota->window.kind;
    info->limit = quota->limit;
    info->family = (u_char) plan->family.len;

    p = ngx_cpymem(info->name, plan->family.data, plan->family.len);

    len = ngx_apigw_plan_shorten(p, NGX_APIGW_COUNTER_NAME - plan->family.len,
                                 consumer);

    info->consumer = (u_char) len;

    if (len == NGX_APIGW_COUNTER_NAME - plan->family.len) {
        info->flags |= NGX_APIGW_COUNTER_DIGEST;
    }

    if (shadow) {
        info->flags |= NGX_APIGW_COUNTER_SHADOW;
    }
}


size_t
ngx_apigw_plan_shorten(u_char *p, size_t room, const ngx_str_t *consumer)
{
    ngx_uint_t           i, n;
    u_char               digest[SHA256_DIGEST_LENGTH];
    static const u_char  hex[] = "0123456789abcdef";

    /* a shortened name is as long as nothing else: it is marked by that */

    if (consumer->len < room) {
        ngx_memcpy(p, consumer->data, consumer->len);
        return consumer->len;
    }

    n = room < NGX_APIGW_PLAN_ROOM ? NGX_APIGW_PLAN_SMALL
                                   : NGX_APIGW_PLAN_DIGEST;

    p = ngx_cpymem(p, consumer->data, room - 1 - 2 * n);
    *p++ = '~';

    SHA256(consumer->data, consumer->len, digest);

    for (i = 0; i < n; i++) {
        *p++ = hex[digest[i] >> 4];
        *p++ = hex[digest[i] & 15];
    }

    return room;
}
