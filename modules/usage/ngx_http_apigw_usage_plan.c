/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/* The block api_plan: what it may contain, as ngx_apigw_plan.h has it. */


#define NGX_HTTP_APIGW_USAGE_LIMIT_MAX  1000000000000000LL


static char *ngx_http_apigw_usage_plan_name(ngx_conf_t *cf, ngx_str_t *name);
static char *ngx_http_apigw_usage_plan_family_used(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_plan_t *plan);
static ngx_int_t ngx_http_apigw_usage_number(u_char *p, size_t len,
    uint64_t *n);


char *
ngx_http_apigw_usage_plan(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    char               *rv;
    ngx_str_t          *value;
    ngx_uint_t          i;
    ngx_conf_t          save;
    ngx_apigw_plan_t   *plan, **pp;

    value = cf->args->elts;

    rv = ngx_http_apigw_usage_plan_name(cf, &value[1]);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    pp = mcf->list.elts;

    for (i = 0; i < mcf->list.nelts; i++) {
        if (pp[i]->name.len == value[1].len
            && ngx_strncmp(pp[i]->name.data, value[1].data, value[1].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate plan \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    plan = ngx_pcalloc(cf->pool, sizeof(ngx_apigw_plan_t));
    pp = ngx_array_push(&mcf->list);

    if (plan == NULL || pp == NULL) {
        return NGX_CONF_ERROR;
    }

    *pp = plan;

    plan->name = value[1];

    save = *cf;
    cf->cmd_type = NGX_HTTP_APIGW_PLAN_CONF;
    mcf->plan = plan;

    rv = ngx_conf_parse(cf, NULL);

    mcf->plan = NULL;
    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (plan->family.len == 0) {
        plan->family = plan->name;
    }

    plan->salt = ngx_apigw_plan_salt(&plan->family, NGX_APIGW_WINDOW_KINDS);

    for (i = 0; i < plan->nquotas; i++) {
        plan->quotas[i].salt = ngx_apigw_plan_salt(&plan->family,
                                              plan->quotas[i].window.kind);
    }

    return NGX_CONF_OK;
}


/* Names are parts of records and of reports, so they are plain words. */

static char *
ngx_http_apigw_usage_plan_name(ngx_conf_t *cf, ngx_str_t *name)
{
    size_t  i;
    u_char  c;

    if (name->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty name of a plan");
        return NGX_CONF_ERROR;
    }

    if (name->len > NGX_APIGW_PLAN_FAMILY) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "name of a plan \"%V\" is longer than %d bytes",
                           name, NGX_APIGW_PLAN_FAMILY);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.')
        {
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name of a plan \"%V\"", name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_usage_plan_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    uint64_t           burst;
    ngx_str_t         *value;
    ngx_uint_t         i;
    ngx_apigw_rate_t   rate;
    ngx_apigw_plan_t  *plan;

    plan = mcf->plan;
    value = cf->args->elts;

    if (plan->rate.len) {
        return "is duplicate";
    }

    if (ngx_apigw_rate_parse(&rate, &value[1]) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid rate \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    burst = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "burst=", 6) == 0) {

            if (ngx_http_apigw_usage_number(value[i].data + 6,
                                            value[i].len - 6, &burst)
                != NGX_OK)
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid burst \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (ngx_apigw_rate_unlimited(&rate)) {

        if (burst) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"burst\" needs a limited rate");
            return NGX_CONF_ERROR;
        }

        plan->limit.rate = rate;

    } else if (ngx_apigw_limit_init(&plan->limit, &rate, burst) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "burst %uL is too large for the rate \"%V\"",
                           burst, &value[1]);
        return NGX_CONF_ERROR;
    }

    plan->rate = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_usage_plan_quota(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    uint64_t            limit;
    ngx_int_t           kind;
    ngx_str_t          *value, s;
    ngx_uint_t          i;
    ngx_apigw_plan_t   *plan;
    ngx_apigw_quota_t  *quota;

    plan = mcf->plan;
    value = cf->args->elts;
    kind = NGX_ERROR;

    if (ngx_strcmp(value[1].data, "unlimited") == 0) {
        limit = NGX_APIGW_PLAN_UNLIMITED;

    } else if (ngx_http_apigw_usage_number(value[1].data, value[1].len,
                                           &limit)
               != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid quota \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "per=", 4) == 0) {

            if (kind != NGX_ERROR) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate parameter \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }

            s.data = value[i].data + 4;
            s.len = value[i].len - 4;

            kind = ngx_apigw_window_kind(&s);

            if (kind == NGX_ERROR) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid period \"%V\", it must be hour, "
                                   "day, week, month or lifetime", &s);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (kind == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"per\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < plan->nquotas; i++) {
        if (plan->quotas[i].window.kind == (ngx_uint_t) kind) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate quota per %s in plan \"%V\"",
                               ngx_apigw_window_name(kind), &plan->name);
            return NGX_CONF_ERROR;
        }
    }

    quota = &plan->quotas[plan->nquotas++];

    quota->name.data = (u_char *) ngx_apigw_window_name(kind);
    quota->name.len = ngx_strlen(quota->name.data);
    quota->limit = limit;
    quota->window.kind = kind;
    quota->window.anchor = kind == NGX_APIGW_WINDOW_MONTH;

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_usage_plan_family(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    char               *rv;
    ngx_str_t          *value;

    value = cf->args->elts;

    if (mcf->plan->family.len) {
        return "is duplicate";
    }

    rv = ngx_http_apigw_usage_plan_name(cf, &value[1]);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    mcf->plan->family = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_usage_init_plans(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf)
{
    char              *rv;
    ngx_uint_t         i, n;
    ngx_apigw_plan_t **pp;

    pp = mcf->list.elts;

    n = ngx_apigw_plans_slots(mcf->list.nelts);

    mcf->plans.mask = n - 1;
    mcf->plans.slots = ngx_pcalloc(cf->pool, n * sizeof(ngx_apigw_plan_t *));

    if (mcf->plans.slots == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < mcf->list.nelts; i++) {

        rv = ngx_http_apigw_usage_plan_family_used(cf, mcf, pp[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

        ngx_apigw_plans_add(&mcf->plans, pp[i]);
    }

    return NGX_CONF_OK;
}


/*
 * A family that is another plan's name would make both count together without
 * the other one saying so.
 */

static char *
ngx_http_apigw_usage_plan_family_used(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_plan_t *plan)
{
    ngx_uint_t         i;
    ngx_apigw_plan_t **pp, *other;

    pp = mcf->list.elts;

    for (i = 0; i < mcf->list.nelts; i++) {
        other = pp[i];

        if (other == plan
            || other->family.data != other->name.data
            || other->family.len != plan->family.len
            || ngx_memcmp(other->family.data, plan->family.data,
                          plan->family.len)
               != 0)
        {
            continue;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "family \"%V\" of plan \"%V\" is the name of another "
                      "plan, which must have \"family %V\" itself to share "
                      "its counters",
                      &plan->family, &plan->name, &plan->family);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* A whole number from 1 on. */

static ngx_int_t
ngx_http_apigw_usage_number(u_char *p, size_t len, uint64_t *n)
{
    off_t  value;

    value = ngx_atoof(p, len);

    if (value <= 0 || value > NGX_HTTP_APIGW_USAGE_LIMIT_MAX) {
        return NGX_ERROR;
    }

    *n = (uint64_t) value;

    return NGX_OK;
}
