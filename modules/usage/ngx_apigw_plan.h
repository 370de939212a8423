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


#define NGX_APIGW_PLAN_NAME       32
#define NGX_APIGW_PLAN_FAMILY     36
#define NGX_APIGW_PLAN_QUOTAS     NGX_APIGW_WINDOW_KINDS

#define NGX_APIGW_PLAN_UNLIMITED  NGX_APIGW_COUNTER_MAX
#define NGX_APIGW_PLAN_OPEN       (NGX_APIGW_COUNTER_MAX / 2)

#define NGX_APIGW_PLAN_ANY        ((uint64_t) -1)    /* overage without end */

#define NGX_APIGW_PLAN_ENFORCE    0
#define NGX_APIGW_PLAN_SOFT       1
#define NGX_APIGW_PLAN_SHADOW     2

#define NGX_APIGW_PLAN_SLACK      16      /* around the names of policies */
#define NGX_APIGW_PLAN_SUFFIX     (sizeof(";r=") - 1)

/* uses of a family's salt beside those of the kinds of windows */

#define NGX_APIGW_PLAN_RATE       NGX_APIGW_WINDOW_KINDS
#define NGX_APIGW_PLAN_ENTRY      (NGX_APIGW_WINDOW_KINDS + 1)


typedef struct {
    ngx_str_t                    name;      /* "day" */
    ngx_apigw_window_t           window;
    uint64_t                     limit;
    uint64_t                     ceiling;   /* with the overage; _OPEN */
    uint64_t                     percent;   /* of overage */
    uint64_t                     salt;      /* of family and kind */
    ngx_uint_t                   mode;
    ngx_uint_t                   index;     /* among all quotas, from 1 */
    unsigned                     own:1;     /* limit of the consumer */
} ngx_apigw_quota_t;


typedef struct ngx_apigw_plan_s  ngx_apigw_plan_t;

struct ngx_apigw_plan_s {
    ngx_str_t                    name;
    ngx_str_t                    family;
    u_char                      *file;      /* where that is set */
    ngx_uint_t                   line;

    ngx_str_t                    rate;      /* as written; empty: none */
    unsigned                     own:1;     /* rate of the consumer */
    ngx_apigw_limit_t            limit;
    uint64_t                     salt;      /* of the family's rate */
    uint64_t                     entry;     /* of the name, in the ledger */
    ngx_uint_t                   index;     /* among all, from 1 */

    /*
     * "day", "api:rate", in quotes, by kind of window and _RATE; ;r= follows,
     * and some bytes that may be read are before
     */

    ngx_str_t                    policies[NGX_APIGW_PLAN_RATE + 1];

    ngx_uint_t                   nquotas;
    ngx_apigw_quota_t            quotas[NGX_APIGW_PLAN_QUOTAS];

    ngx_apigw_plan_t            *apis;      /* what one API has on top */
    ngx_apigw_plan_t            *next;
};


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


/* What a plan has for an API beside its own limits, or NULL. */

ngx_apigw_plan_t *ngx_apigw_plan_api(const ngx_apigw_plan_t *plan,
    const ngx_str_t *api);


/* Sets the limit and what follows from it. */

void ngx_apigw_plan_limit(ngx_apigw_quota_t *quota, uint64_t limit);


/* Sets what follows from the family and the name. */

void ngx_apigw_plan_salts(ngx_apigw_plan_t *plan);


/*
 * Replaces the limits of quotas by those of "1000/day,50000/month", and adds
 * quotas that the plan lacks.  What is of another form is left out: NGX_ERROR,
 * and *bad is the first such part of the text.
 */

ngx_int_t ngx_apigw_plan_override(ngx_apigw_plan_t *plan,
    const ngx_str_t *text, ngx_str_t *bad);


/*
 * Writes a consumer's name; one that does not fit into room - 1 bytes is
 * shortened, gets a digest of the whole and takes exactly room bytes, which
 * no other name does.  Returns the length.  The digest has 128 bits, in less
 * than NGX_APIGW_PLAN_ROOM bytes 64; room is at least 33.
 */

#define NGX_APIGW_PLAN_ROOM       36

size_t ngx_apigw_plan_shorten(u_char *p, size_t room,
    const ngx_str_t *consumer);


/* Fills in the name of a counter. */

void ngx_apigw_plan_counter(const ngx_apigw_plan_t *plan,
    const ngx_apigw_quota_t *quota, const ngx_apigw_window_span_t *span,
    const ngx_str_t *consumer, ngx_uint_t shadow,
    ngx_apigw_counter_info_t *info);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_PLAN_H_INCLUDED_ */
