/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_PLAN_H_INCLUDED_
#define _NGX_APIGW_PLAN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_bucket.h"
#include "ngx_apigw_counter.h"
#include "ngx_apigw_window.h"


/*
 * Plans as the configuration has them; read-only when requests are served.
 *
 * A counter belongs to (consumer, family, window).  The family is the plan's
 * name unless it has been given one, so plans may be renamed and limits
 * changed without a counter being lost.
 *
 * Uses nothing of nginx but its types and macros.
 */


#define NGX_APIGW_PLAN_FAMILY     32
#define NGX_APIGW_PLAN_QUOTAS     NGX_APIGW_WINDOW_KINDS
#define NGX_APIGW_PLAN_UNLIMITED  NGX_APIGW_COUNTER_MAX


typedef struct {
    ngx_str_t                    name;      /* "day" */
    ngx_apigw_window_t           window;
    uint64_t                     limit;
    uint64_t                     salt;      /* of family and kind */
} ngx_apigw_quota_t;


typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    family;

    ngx_str_t                    rate;      /* as written; empty: none */
    ngx_apigw_limit_t            limit;
    uint64_t                     salt;      /* of the family */

    ngx_uint_t                   nquotas;
    ngx_apigw_quota_t            quotas[NGX_APIGW_PLAN_QUOTAS];
} ngx_apigw_plan_t;


/* All plans, found by name. */

typedef struct {
    ngx_uint_t                   mask;
    ngx_apigw_plan_t           **slots;     /* mask + 1, NULL: free */
} ngx_apigw_plans_t;


#pragma GCC visibility push(hidden)


/* A number for a family and a use of it, the same in every process. */

uint64_t ngx_apigw_plan_salt(const ngx_str_t *family, ngx_uint_t use);

/* How many slots there must be for n plans; a power of two. */

ngx_uint_t ngx_apigw_plans_slots(ngx_uint_t n);
void ngx_apigw_plans_add(ngx_apigw_plans_t *plans, ngx_apigw_plan_t *plan);
ngx_apigw_plan_t *ngx_apigw_plans_find(const ngx_apigw_plans_t *plans,
    const ngx_str_t *name);


/*
 * Fills in the name of a counter.  A consumer's name that is too long for it
 * is shortened and gets a digest of the whole.
 */

void ngx_apigw_plan_counter(const ngx_apigw_plan_t *plan,
    const ngx_apigw_quota_t *quota, const ngx_apigw_window_span_t *span,
    const ngx_str_t *consumer, ngx_apigw_counter_info_t *info);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_PLAN_H_INCLUDED_ */
