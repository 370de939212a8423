/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/sha.h>

#include "ngx_apigw_plan.h"


/* "~" and 128 bits of SHA-256 in hexadecimal */

#define NGX_APIGW_PLAN_DIGEST  (1 + 32)


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
    size_t             i;
    ngx_uint_t         n;
    ngx_apigw_plan_t  *plan;

    n = 0;

    for (i = 0; i < name->len; i++) {
        n = n * 31 + name->data[i];
    }

    for (n &= plans->mask; plans->slots[n]; n = (n + 1) & plans->mask) {
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
    const ngx_str_t *consumer, ngx_apigw_counter_info_t *info)
{
    u_char              *p;
    size_t               room, len;
    ngx_uint_t           i;
    u_char               digest[SHA256_DIGEST_LENGTH];
    static const u_char  hex[] = "0123456789abcdef";

    ngx_memzero(info, sizeof(ngx_apigw_counter_info_t));

    info->start = (uint32_t) span->start;
    info->end = (uint32_t) span->end;
    info->kind = (u_char) quota->window.kind;
    info->family = (u_char) plan->family.len;

    p = ngx_cpymem(info->name, plan->family.data, plan->family.len);

    room = NGX_APIGW_COUNTER_NAME - plan->family.len;

    if (consumer->len <= room) {
        info->consumer = (u_char) consumer->len;
        ngx_memcpy(p, consumer->data, consumer->len);
        return;
    }

    len = room - NGX_APIGW_PLAN_DIGEST;

    p = ngx_cpymem(p, consumer->data, len);
    *p++ = '~';

    SHA256(consumer->data, consumer->len, digest);

    for (i = 0; i < (NGX_APIGW_PLAN_DIGEST - 1) / 2; i++) {
        *p++ = hex[digest[i] >> 4];
        *p++ = hex[digest[i] & 15];
    }

    info->flags |= NGX_APIGW_COUNTER_DIGEST;
    info->consumer = (u_char) room;
}
