/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_usage.h"


/* more than the policies of a rate and five quotas, with an API's name */

#define NGX_HTTP_APIGW_USAGE_TEXT                                             \
    ((1 + NGX_APIGW_PLAN_QUOTAS)                                              \
     * (NGX_APIGW_PLAN_FAMILY + sizeof("\"lifetime\":;q=;w=, ")               \
        + 2 * NGX_INT64_LEN))


/* The block api_plan: what it may contain, as ngx_apigw_plan.h has it. */


/* the largest integer of a structured field, RFC 8941, section 3.3.1 */

#define NGX_HTTP_APIGW_USAGE_LIMIT_MAX  999999999999999LL


static char *ngx_http_apigw_usage_plan_name(ngx_conf_t *cf, ngx_str_t *name,
    const char *of);
static ngx_apigw_plan_t *ngx_http_apigw_usage_plan_find(
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_str_t *name);
static char *ngx_http_apigw_usage_plan_inherit(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_plan_t *plan,
    ngx_str_t *value);
static void ngx_http_apigw_usage_plan_complete(ngx_apigw_plan_t *plan,
    ngx_apigw_plan_t *from);
static char *ngx_http_apigw_usage_plan_apis(ngx_conf_t *cf,
    ngx_apigw_plan_t *plan);
static char *ngx_http_apigw_usage_quota_per(ngx_conf_t *cf,
    ngx_apigw_quota_t *quota, ngx_str_t *value);
static char *ngx_http_apigw_usage_quota_parameter(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_quota_t *quota,
    ngx_str_t *value, ngx_uint_t *given);
static const char *ngx_http_apigw_usage_quota_form(ngx_uint_t kind,
    ngx_uint_t n);
static ngx_int_t ngx_http_apigw_usage_anchor(ngx_uint_t kind, ngx_str_t *s);
static ngx_apigw_window_tz_t *ngx_http_apigw_usage_tz(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_str_t *name);
static char *ngx_http_apigw_usage_named_plans(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf);
static char *ngx_http_apigw_usage_plan_family_used(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_plan_t *plan);
static ngx_int_t ngx_http_apigw_usage_number_plan(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_plan_t *plan,
    const ngx_str_t *api);
static ngx_int_t ngx_http_apigw_usage_texts(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_http_apigw_usage_zone_t *ctx);
static ngx_int_t ngx_http_apigw_usage_number(u_char *p, size_t len,
    uint64_t *n);


static ngx_str_t  ngx_http_apigw_usage_quota_parameters[] = {
    ngx_string("tz="),
    ngx_string("anchor="),
    ngx_string("overage="),
    ngx_string("mode="),
    ngx_null_string
};


static const char  *ngx_http_apigw_usage_weekdays[] = {
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
    "sunday"
};


char *
ngx_http_apigw_usage_plan(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    char               *rv;
    ngx_str_t          *value, inherit;
    ngx_conf_t          save;
    ngx_apigw_plan_t   *plan, **pp;

    value = cf->args->elts;

    rv = ngx_http_apigw_usage_plan_name(cf, &value[1], "a plan");

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_http_apigw_usage_plan_find(mcf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate plan \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    plan = ngx_pcalloc(cf->pool, sizeof(ngx_apigw_plan_t));
    pp = ngx_array_push(&mcf->list);

    if (plan == NULL || pp == NULL) {
        return NGX_CONF_ERROR;
    }

    *pp = plan;

    plan->name = value[1];

    /* the arguments do not outlive the block */

    ngx_str_null(&inherit);

    if (cf->args->nelts == 3) {
        inherit = value[2];
    }

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

    if (inherit.len) {
        rv = ngx_http_apigw_usage_plan_inherit(cf, mcf, plan, &inherit);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    ngx_apigw_plan_salts(plan);

    return ngx_http_apigw_usage_plan_apis(cf, plan);
}


static ngx_apigw_plan_t *
ngx_http_apigw_usage_plan_find(ngx_http_apigw_usage_main_conf_t *mcf,
    ngx_str_t *name)
{
    ngx_uint_t          i;
    ngx_apigw_plan_t  **pp;

    pp = mcf->list.elts;

    for (i = 0; i < mcf->list.nelts; i++) {
        if (pp[i]->name.len == name->len
            && ngx_strncmp(pp[i]->name.data, name->data, name->len) == 0)
        {
            return pp[i];
        }
    }

    return NULL;
}


/* Takes what the plan does not say itself from another one. */

static char *
ngx_http_apigw_usage_plan_inherit(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_plan_t *plan,
    ngx_str_t *value)
{
    ngx_str_t          name;
    ngx_apigw_plan_t  *from, *api, *copy;

    if (ngx_strncmp(value->data, "inherit=", 8) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    name.data = value->data + 8;
    name.len = value->len - 8;

    from = ngx_http_apigw_usage_plan_find(mcf, &name);

    if (from == NULL || from == plan) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown plan \"%V\" to inherit from, it must "
                           "stand before", &name);
        return NGX_CONF_ERROR;
    }

    ngx_http_apigw_usage_plan_complete(plan, from);

    for (api = from->apis; api; api = api->next) {

        copy = ngx_apigw_plan_api(plan, &api->name);

        if (copy) {
            ngx_http_apigw_usage_plan_complete(copy, api);
            continue;
        }

        copy = ngx_palloc(cf->pool, sizeof(ngx_apigw_plan_t));
        if (copy == NULL) {
            return NGX_CONF_ERROR;
        }

        *copy = *api;
        copy->next = plan->apis;
        plan->apis = copy;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_apigw_usage_plan_complete(ngx_apigw_plan_t *plan,
    ngx_apigw_plan_t *from)
{
    ngx_uint_t  i, k;

    if (plan->rate.len == 0) {
        plan->rate = from->rate;
        plan->limit = from->limit;
    }

    for (i = 0; i < from->nquotas; i++) {

        for (k = 0; k < plan->nquotas; k++) {
            if (plan->quotas[k].window.kind == from->quotas[i].window.kind) {
                break;
            }
        }

        if (k == plan->nquotas) {
            plan->quotas[plan->nquotas++] = from->quotas[i];
        }
    }
}


/* Names the families of what a plan has for APIs: "plan/api". */

static char *
ngx_http_apigw_usage_plan_apis(ngx_conf_t *cf, ngx_apigw_plan_t *plan)
{
    size_t             len;
    u_char            *p;
    ngx_apigw_plan_t  *api;

    for (api = plan->apis; api; api = api->next) {
        len = plan->family.len + 1 + api->name.len;

        if (len > NGX_APIGW_PLAN_FAMILY) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "names \"%V\" and \"%V\" have more than %d "
                               "bytes together", &plan->family, &api->name,
                               NGX_APIGW_PLAN_FAMILY - 1);
            return NGX_CONF_ERROR;
        }

        p = ngx_pnalloc(cf->pool, len);
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        api->family.data = p;
        api->family.len = ngx_sprintf(p, "%V/%V", &plan->family, &api->name)
                          - p;

        ngx_apigw_plan_salts(api);
    }

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_usage_plan_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    char              *rv;
    ngx_str_t         *value;
    ngx_conf_t         save;
    ngx_apigw_plan_t  *api;

    value = cf->args->elts;

    rv = ngx_http_apigw_usage_plan_name(cf, &value[1], "an api");

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_apigw_plan_api(mcf->plan, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate api \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    api = ngx_pcalloc(cf->pool, sizeof(ngx_apigw_plan_t));
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    api->name = value[1];
    api->next = mcf->plan->apis;
    mcf->plan->apis = api;

    save = *cf;
    cf->cmd_type = NGX_HTTP_APIGW_PLAN_API_CONF;
    mcf->api = api;

    rv = ngx_conf_parse(cf, NULL);

    mcf->api = NULL;
    *cf = save;

    return rv;
}


/* Names are parts of records and of reports, so they are plain words. */

static char *
ngx_http_apigw_usage_plan_name(ngx_conf_t *cf, ngx_str_t *name,
    const char *of)
{
    size_t  i;
    u_char  c;

    if (name->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty name of %s", of);
        return NGX_CONF_ERROR;
    }

    if (name->len > NGX_APIGW_PLAN_NAME) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "name of %s \"%V\" is longer than %d bytes", of,
                           name, NGX_APIGW_PLAN_NAME);
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
                           "invalid name of %s \"%V\"", of, name);
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

    plan = mcf->api ? mcf->api : mcf->plan;
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

    char               *rv;
    uint64_t            limit;
    ngx_str_t          *value;
    ngx_uint_t          i, given;
    ngx_apigw_plan_t   *plan;
    ngx_apigw_quota_t   quota;

    plan = mcf->api ? mcf->api : mcf->plan;
    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "unlimited") == 0) {
        limit = NGX_APIGW_PLAN_UNLIMITED;

    } else if (ngx_http_apigw_usage_number(value[1].data, value[1].len,
                                           &limit)
               != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid quota \"%V\", the largest is %L", &value[1],
                           NGX_HTTP_APIGW_USAGE_LIMIT_MAX);
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&quota, sizeof(ngx_apigw_quota_t));

    quota.window.kind = NGX_APIGW_WINDOW_KINDS;

    given = 0;

    /* "per" first: "anchor" depends on it */

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_strncmp(value[i].data, "per=", 4) == 0) {
            rv = ngx_http_apigw_usage_quota_per(cf, &quota, &value[i]);

            if (rv != NGX_CONF_OK) {
                return rv;
            }
        }
    }

    if (quota.window.kind == NGX_APIGW_WINDOW_KINDS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have \"per\" parameter", &cmd->name);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_strncmp(value[i].data, "per=", 4) != 0) {
            rv = ngx_http_apigw_usage_quota_parameter(cf, mcf, &quota,
                                                      &value[i], &given);
            if (rv != NGX_CONF_OK) {
                return rv;
            }
        }
    }

    if (limit == NGX_APIGW_PLAN_UNLIMITED
        && (quota.percent || quota.mode != NGX_APIGW_PLAN_ENFORCE))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "an unlimited quota takes neither \"overage\" nor "
                           "\"mode\"");
        return NGX_CONF_ERROR;
    }

    if (quota.percent && quota.mode != NGX_APIGW_PLAN_ENFORCE) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"overage\" of \"%V\" has no effect, with "
                           "\"mode=%s\" nothing is refused", &cmd->name,
                           quota.mode == NGX_APIGW_PLAN_SOFT ? "soft"
                                                             : "shadow");
    }

    for (i = 0; i < plan->nquotas; i++) {
        if (plan->quotas[i].window.kind == quota.window.kind) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate quota per %V in plan \"%V\"",
                               &quota.name, &plan->name);
            return NGX_CONF_ERROR;
        }
    }

    ngx_apigw_plan_limit(&quota, limit);

    plan->quotas[plan->nquotas++] = quota;

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_usage_quota_per(ngx_conf_t *cf, ngx_apigw_quota_t *quota,
    ngx_str_t *value)
{
    ngx_int_t  kind;
    ngx_str_t  s;

    if (quota->name.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    s.data = value->data + 4;
    s.len = value->len - 4;

    kind = ngx_apigw_window_kind(&s);

    if (kind == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid period \"%V\", it must be hour, day, "
                           "week, month or lifetime", &s);
        return NGX_CONF_ERROR;
    }

    quota->name.data = (u_char *) ngx_apigw_window_name(kind);
    quota->name.len = ngx_strlen(quota->name.data);
    quota->window.kind = kind;
    quota->window.anchor = (kind == NGX_APIGW_WINDOW_MONTH);

    return NGX_CONF_OK;
}


static char *
ngx_http_apigw_usage_quota_parameter(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_quota_t *quota,
    ngx_str_t *value, ngx_uint_t *given)
{
    ngx_int_t   n;
    ngx_str_t   s;
    ngx_uint_t  i;

    for (i = 0; ngx_http_apigw_usage_quota_parameters[i].len; i++) {
        s = ngx_http_apigw_usage_quota_parameters[i];

        if (value->len > s.len && ngx_strncmp(value->data, s.data, s.len) == 0)
        {
            break;
        }
    }

    if (ngx_http_apigw_usage_quota_parameters[i].len == 0) {
        goto invalid;
    }

    if (*given & ((ngx_uint_t) 1 << i)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    *given |= (ngx_uint_t) 1 << i;

    s.data = value->data + s.len;
    s.len = value->data + value->len - s.data;

    switch (i) {

    case 0: /* tz= */

        if (quota->window.kind == NGX_APIGW_WINDOW_LIFETIME) {
            goto invalid;
        }

        quota->window.tz = ngx_http_apigw_usage_tz(cf, mcf, &s);

        return quota->window.tz ? NGX_CONF_OK : NGX_CONF_ERROR;

    case 1: /* anchor= */
        n = ngx_http_apigw_usage_anchor(quota->window.kind, &s);

        if (n == NGX_ERROR) {
            goto invalid;
        }

        quota->window.anchor = n;

        return NGX_CONF_OK;

    case 2: /* overage= */

        if (ngx_strcmp(s.data, "unlimited") == 0) {
            quota->percent = NGX_APIGW_PLAN_ANY;
            return NGX_CONF_OK;
        }

        if (s.len < 2 || s.data[s.len - 1] != '%') {
            goto invalid;
        }

        n = ngx_atoi(s.data, s.len - 1);

        if (n < 1 || n > 1000) {
            goto invalid;
        }

        quota->percent = n;

        return NGX_CONF_OK;

    default: /* mode= */

        if (ngx_strcmp(s.data, "enforce") == 0) {
            quota->mode = NGX_APIGW_PLAN_ENFORCE;

        } else if (ngx_strcmp(s.data, "soft") == 0) {
            quota->mode = NGX_APIGW_PLAN_SOFT;

        } else if (ngx_strcmp(s.data, "shadow") == 0) {
            quota->mode = NGX_APIGW_PLAN_SHADOW;

        } else {
            goto invalid;
        }

        return NGX_CONF_OK;
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"%s",
                       value,
                       ngx_http_apigw_usage_quota_form(quota->window.kind, i));
    return NGX_CONF_ERROR;
}


/* What the parameter must be. */

static const char *
ngx_http_apigw_usage_quota_form(ngx_uint_t kind, ngx_uint_t n)
{
    switch (n) {

    case 0: /* tz= */
        return ", a lifetime has no time zone";

    case 1: /* anchor= */
        return kind == NGX_APIGW_WINDOW_MONTH
                   ? ", that of a month must be 1 to 31"
               : kind == NGX_APIGW_WINDOW_WEEK
                   ? ", that of a week must be monday to sunday"
               : ", only months and weeks have one";

    case 2: /* overage= */
        return ", it must be 1% to 1000% or unlimited";

    case 3: /* mode= */
        return ", it must be enforce, soft or shadow";

    default:
        return "";
    }
}


/* A day of the month, or a weekday. */

static ngx_int_t
ngx_http_apigw_usage_anchor(ngx_uint_t kind, ngx_str_t *s)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    if (kind == NGX_APIGW_WINDOW_MONTH) {
        n = ngx_atoi(s->data, s->len);

        return n >= 1 && n <= 31 ? n : NGX_ERROR;
    }

    if (kind == NGX_APIGW_WINDOW_WEEK) {

        for (i = 0; i < 7; i++) {
            if (ngx_strcmp(ngx_http_apigw_usage_weekdays[i], s->data) == 0) {
                return i;
            }
        }
    }

    return NGX_ERROR;
}


/* A time zone, read once however many quotas use it. */

static ngx_apigw_window_tz_t *
ngx_http_apigw_usage_tz(ngx_conf_t *cf, ngx_http_apigw_usage_main_conf_t *mcf,
    ngx_str_t *name)
{
    u_char                     *data;
    ssize_t                     n;
    ngx_fd_t                    fd;
    ngx_uint_t                  i;
    ngx_http_apigw_usage_tz_t  *tz, **tzp;
    u_char                      path[sizeof(NGX_APIGW_TZ_DIRECTORY "/")
                                     + NGX_APIGW_TZ_NAME];

    tzp = mcf->tzs.elts;

    for (i = 0; i < mcf->tzs.nelts; i++) {
        if (tzp[i]->name.len == name->len
            && ngx_strncmp(tzp[i]->name.data, name->data, name->len) == 0)
        {
            return &tzp[i]->tz;
        }
    }

    if (!ngx_apigw_tz_valid(name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time zone \"%V\"", name);
        return NULL;
    }

    *ngx_sprintf(path, NGX_APIGW_TZ_DIRECTORY "/%V", name) = '\0';

    fd = ngx_open_file(path, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%s\" failed", path);
        return NULL;
    }

    tzp = ngx_array_push(&mcf->tzs);
    tz = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_usage_tz_t));
    data = ngx_palloc(cf->temp_pool, NGX_APIGW_TZ_FILE);

    if (tzp == NULL || tz == NULL || data == NULL) {
        ngx_close_file(fd);
        return NULL;
    }

    *tzp = tz;

    tz->tz.shifts = ngx_palloc(cf->pool, NGX_APIGW_TZ_SHIFTS
                                         * sizeof(ngx_apigw_window_shift_t));
    n = ngx_read_fd(fd, data, NGX_APIGW_TZ_FILE);

    ngx_close_file(fd);

    if (tz->tz.shifts == NULL) {
        return NULL;
    }

    if (n <= 0 || ngx_apigw_tz_parse(&tz->tz, data, n) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%s\" is not a usable time zone", path);
        return NULL;
    }

    tz->name = *name;

    return &tz->tz;
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

    rv = ngx_http_apigw_usage_plan_name(cf, &value[1], "a family");

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    mcf->plan->family = value[1];
    mcf->plan->file = cf->conf_file->file.name.data;
    mcf->plan->line = cf->conf_file->line;

    return NGX_CONF_OK;
}


char *
ngx_http_apigw_usage_default_plan(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_apigw_usage_main_conf_t *mcf = conf;

    mcf->unknown_file = cf->conf_file->file.name.data;
    mcf->unknown_line = cf->conf_file->line;

    return ngx_conf_set_str_slot(cf, cmd, conf);
}


char *
ngx_http_apigw_usage_init_plans(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf)
{
    char                          *rv;
    ngx_uint_t                     i, n;
    ngx_apigw_plan_t             **pp, *api;
    ngx_http_apigw_usage_zone_t  **zp;

    pp = mcf->list.elts;

    n = ngx_apigw_plans_slots(mcf->list.nelts);

    mcf->plans.mask = n - 1;
    mcf->plans.slots = ngx_pcalloc(cf->pool, n * sizeof(ngx_apigw_plan_t *));

    if (mcf->plans.slots == NULL) {
        return NGX_CONF_ERROR;
    }

    if (mcf->unknown.len
        && ngx_http_apigw_usage_plan_find(mcf, &mcf->unknown) == NULL)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown plan \"%V\" in \"api_usage_default_plan\" "
                      "in %s:%ui", &mcf->unknown, mcf->unknown_file,
                      mcf->unknown_line);
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_apigw_usage_named_plans(cf, mcf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    for (i = 0; i < mcf->list.nelts; i++) {

        rv = ngx_http_apigw_usage_plan_family_used(cf, mcf, pp[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

        ngx_apigw_plans_add(&mcf->plans, pp[i]);

        if (ngx_http_apigw_usage_number_plan(cf, mcf, pp[i], NULL)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        for (api = pp[i]->apis; api; api = api->next) {
            if (ngx_http_apigw_usage_number_plan(cf, mcf, api, &api->name)
                != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }
        }
    }

    zp = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {
        zp[i]->spans = ngx_pcalloc(cf->pool,
                         (mcf->nquotas + 1)
                         * sizeof(ngx_http_apigw_usage_span_t));
        if (zp[i]->spans == NULL
            || ngx_http_apigw_usage_texts(cf, mcf, zp[i]) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* A plan that is written out is either there or a mistake. */

static char *
ngx_http_apigw_usage_named_plans(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf)
{
    ngx_uint_t                     i;
    ngx_apigw_plan_t              *plan;
    ngx_http_apigw_usage_named_t  *named;

    named = mcf->named.elts;

    for (i = 0; i < mcf->named.nelts; i++) {

        plan = ngx_http_apigw_usage_plan_find(mcf, &named[i].name);

        if (plan == NULL && mcf->unknown.len) {
            plan = ngx_http_apigw_usage_plan_find(mcf, &mcf->unknown);
        }

        if (plan) {
            if (named[i].plan) {
                *named[i].plan = plan;
            }

            continue;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown plan \"%V\" in \"%V\" in %s:%ui",
                      &named[i].name, &named[i].directive, named[i].file,
                      named[i].line);

        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* An API that no plan knows, where some know others, is a slip of the pen. */

void
ngx_http_apigw_usage_check_apis(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf)
{
    ngx_uint_t                     i, k, any, known;
    ngx_apigw_plan_t             **pp;
    ngx_http_apigw_usage_named_t  *named;

    pp = mcf->list.elts;
    named = mcf->apis.elts;

    for (i = 0; i < mcf->apis.nelts; i++) {
        any = 0;
        known = 0;

        for (k = 0; k < mcf->list.nelts; k++) {
            any |= (pp[k]->apis != NULL);
            known |= (ngx_apigw_plan_api(pp[k], &named[i].name) != NULL);
        }

        if (any && !known) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "no plan has an \"api %V\", so \"%V\" applies "
                          "none of their limits for APIs in %s:%ui",
                          &named[i].name, &named[i].directive, named[i].file,
                          named[i].line);
        }
    }
}


/* Numbers a plan and its quotas, and names its policies. */

static ngx_int_t
ngx_http_apigw_usage_number_plan(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_apigw_plan_t *plan,
    const ngx_str_t *api)
{
    u_char      *p;
    ngx_uint_t   i;
    const char  *name;

    plan->index = ++mcf->nplans;

    for (i = 0; i < plan->nquotas; i++) {
        plan->quotas[i].index = ++mcf->nquotas;
    }

    for (i = 0; i <= NGX_APIGW_PLAN_RATE; i++) {
        name = i == NGX_APIGW_PLAN_RATE ? "rate" : ngx_apigw_window_name(i);

        p = ngx_pcalloc(cf->pool, NGX_APIGW_PLAN_SLACK
                                  + sizeof("\":\";r=") + ngx_strlen(name)
                                  + (api ? api->len : 0));
        if (p == NULL) {
            return NGX_ERROR;
        }

        p += NGX_APIGW_PLAN_SLACK;

        plan->policies[i].data = p;

        p = api ? ngx_sprintf(p, "\"%V:%s\"", api, name)
                : ngx_sprintf(p, "\"%s\"", name);

        plan->policies[i].len = p - plan->policies[i].data;

        ngx_memcpy(p, ";r=", NGX_APIGW_PLAN_SUFFIX);
    }

    return NGX_OK;
}


/* Room for the policies of every plan, to be written when they are needed. */

static ngx_int_t
ngx_http_apigw_usage_texts(ngx_conf_t *cf,
    ngx_http_apigw_usage_main_conf_t *mcf, ngx_http_apigw_usage_zone_t *ctx)
{
    u_char      *p;
    ngx_uint_t   i;

    ctx->texts = ngx_pcalloc(cf->pool, (mcf->nplans + 1)
                                       * sizeof(ngx_http_apigw_usage_text_t));
    p = ngx_palloc(cf->pool, (mcf->nplans + 1) * NGX_HTTP_APIGW_USAGE_TEXT);

    if (ctx->texts == NULL || p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i <= mcf->nplans; i++) {
        ctx->texts[i].data = p;
        p += NGX_HTTP_APIGW_USAGE_TEXT;
    }

    return NGX_OK;
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
                      "its counters in %s:%ui",
                      &plan->family, &plan->name, &plan->family, plan->file,
                      plan->line);
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
