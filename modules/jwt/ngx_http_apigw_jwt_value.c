/*
 * Copyright (C) the apigw authors
 */


/*
 * The values of a token: which of them the configuration uses, how they are
 * taken from a token, and the variables that show them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt.h"


static ngx_uint_t ngx_http_apigw_jwt_same_path(ngx_apigw_claims_path_t *one,
    ngx_apigw_claims_path_t *two);
static ngx_int_t ngx_http_apigw_jwt_foretell(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf);
static ngx_int_t ngx_http_apigw_jwt_foretell_name(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_str_t *variable, size_t skip);
static ngx_int_t ngx_http_apigw_jwt_init_sets(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf);
static const char *ngx_http_apigw_jwt_set_path(ngx_conf_t *cf,
    ngx_http_apigw_jwt_set_t *set, ngx_http_apigw_jwt_nested_t *nested,
    ngx_apigw_claims_path_t *path);
static ngx_int_t ngx_http_apigw_jwt_init_identity(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_policy_t *policy);
static ngx_int_t ngx_http_apigw_jwt_identity_slot(ngx_conf_t *cf,
    ngx_array_t *names, const char *usual, ngx_uint_t *slot);
static const char *ngx_http_apigw_jwt_identity_path(ngx_array_t *names,
    const char *usual, ngx_apigw_claims_path_t *path);

static ngx_int_t ngx_http_apigw_jwt_take(ngx_http_request_t *r,
    ngx_http_apigw_jwt_slot_t *slot, json_t *json, json_t *header,
    json_t *claims, ngx_str_t *text);
static ngx_int_t ngx_http_apigw_jwt_take_text(ngx_http_request_t *r,
    json_t *json, ngx_uint_t raw, ngx_str_t *text);
static ngx_int_t ngx_http_apigw_jwt_take_json(ngx_http_request_t *r,
    json_t *json, ngx_str_t *text);
static ngx_int_t ngx_http_apigw_jwt_copy(ngx_http_request_t *r,
    const u_char *data, size_t len, ngx_str_t *text);

static ngx_int_t ngx_http_apigw_jwt_known(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_http_apigw_jwt_ctx_t **ctxp);
static ngx_int_t ngx_http_apigw_jwt_show(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t slot);
static ngx_int_t ngx_http_apigw_jwt_show_path(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t header, ngx_apigw_claims_path_t *path);
static ngx_int_t ngx_http_apigw_jwt_set_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_jwt_claim_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_jwt_header_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_jwt_name_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t header, ngx_str_t *variable,
    size_t skip);
static ngx_int_t ngx_http_apigw_jwt_identity_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_jwt_claims_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_jwt_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_apigw_jwt_nowtime_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_apigw_jwt_vars[] = {

    { ngx_string("jwt_consumer"), NULL, ngx_http_apigw_jwt_identity_variable,
      offsetof(ngx_http_apigw_jwt_policy_t, consumer),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jwt_plan"), NULL, ngx_http_apigw_jwt_identity_variable,
      offsetof(ngx_http_apigw_jwt_policy_t, plan),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jwt_claims"), NULL, ngx_http_apigw_jwt_claims_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jwt_payload"), NULL, ngx_http_apigw_jwt_claims_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jwt_status"), NULL, ngx_http_apigw_jwt_status_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jwt_nowtime"), NULL, ngx_http_apigw_jwt_nowtime_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jwt_claim_"), NULL, ngx_http_apigw_jwt_claim_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },

    { ngx_string("jwt_header_"), NULL, ngx_http_apigw_jwt_header_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_apigw_jwt_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_apigw_jwt_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* The number of a slot; equal ones are one, but for those with data. */

ngx_uint_t
ngx_http_apigw_jwt_slot_add(ngx_http_apigw_jwt_main_conf_t *jmcf,
    ngx_http_apigw_jwt_slot_e type, ngx_uint_t header,
    ngx_apigw_claims_path_t *path, void *data)
{
    ngx_uint_t                  i;
    ngx_http_apigw_jwt_slot_t  *slot;

    slot = jmcf->slots.elts;

    for (i = 0; data == NULL && i < jmcf->slots.nelts; i++) {
        if (slot[i].type == type && slot[i].header == header
            && ngx_http_apigw_jwt_same_path(&slot[i].path, path))
        {
            return i;
        }
    }

    slot = ngx_array_push(&jmcf->slots);
    if (slot == NULL) {
        return NGX_HTTP_APIGW_JWT_NONE;
    }

    ngx_memzero(slot, sizeof(ngx_http_apigw_jwt_slot_t));

    slot->type = type;
    slot->header = header;
    slot->data = data;
    slot->path = *path;

    return jmcf->slots.nelts - 1;
}


static ngx_uint_t
ngx_http_apigw_jwt_same_path(ngx_apigw_claims_path_t *one,
    ngx_apigw_claims_path_t *two)
{
    ngx_uint_t                i;
    ngx_apigw_claims_step_t  *a, *b;

    if (one->n != two->n) {
        return 0;
    }

    for (i = 0; i < one->n; i++) {
        a = &one->steps[i];
        b = &two->steps[i];

        if (a->index != b->index
            || (a->index == -1
                && (a->name.len != b->name.len
                    || ngx_memcmp(a->name.data, b->name.data, a->name.len)
                       != 0)))
        {
            return 0;
        }
    }

    return 1;
}


/* The first slots: what ngx_http_apigw_jwt_value_e says, and the issuer. */

ngx_int_t
ngx_http_apigw_jwt_slots_create(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf)
{
    ngx_uint_t                i, slot;
    ngx_apigw_claims_path_t   path;
    static ngx_str_t          names[] = { ngx_string("jti"),
                                          ngx_string("sub"),
                                          ngx_string("kid") };

    if (ngx_array_init(&jmcf->slots, cf->pool, 8,
                       sizeof(ngx_http_apigw_jwt_slot_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_APIGW_JWT_VALUES; i++) {

        ngx_memzero(&path, sizeof(ngx_apigw_claims_path_t));
        (void) ngx_apigw_claims_path_names(&path, &names[i], 1);

        slot = ngx_http_apigw_jwt_slot_add(jmcf, NGX_HTTP_APIGW_JWT_RAW,
                                       i == NGX_HTTP_APIGW_JWT_VALUE_KID,
                                       &path, NULL);
        if (slot == NGX_HTTP_APIGW_JWT_NONE) {
            return NGX_ERROR;
        }
    }

    ngx_memzero(&path, sizeof(ngx_apigw_claims_path_t));

    slot = ngx_http_apigw_jwt_slot_add(jmcf, NGX_HTTP_APIGW_JWT_OWNER, 0,
                                       &path, jmcf);

    return slot == NGX_HTTP_APIGW_JWT_NONE ? NGX_ERROR : NGX_OK;
}


/* When all is read: which variables are in use? */

ngx_int_t
ngx_http_apigw_jwt_slots_init(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf)
{
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_policy_t  **policy;

    if (ngx_http_apigw_jwt_foretell(cf, jmcf) != NGX_OK
        || ngx_http_apigw_jwt_init_sets(cf, jmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    policy = jmcf->policies.elts;

    for (i = 0; i < jmcf->policies.nelts; i++) {
        if (ngx_http_apigw_jwt_init_identity(cf, jmcf, policy[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (jmcf->cached && jmcf->slots.nelts > NGX_APIGW_TOKEN_VALUES_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%ui values of JWTs are used, \"auth_jwt_cache\" keeps "
                      "at most %d", jmcf->slots.nelts,
                      NGX_APIGW_TOKEN_VALUES_MAX);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Gives each $jwt_claim_NAME and $jwt_header_NAME that the configuration has
 * a slot; others, as those of SSI, are searched for in the token.
 */

static ngx_int_t
ngx_http_apigw_jwt_foretell(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf)
{
    ngx_int_t                   rc;
    ngx_str_t                   name;
    ngx_uint_t                  i, n;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    n = cmcf->variables.nelts;

    for (i = 0; i < n; i++) {

        v = cmcf->variables.elts;
        name = v[i].name;
        rc = NGX_OK;

        if (name.len > sizeof("jwt_claim_") - 1
            && ngx_strncmp(name.data, "jwt_claim_", sizeof("jwt_claim_") - 1)
               == 0)
        {
            rc = ngx_http_apigw_jwt_foretell_name(cf, jmcf, &name,
                                                  sizeof("jwt_claim_") - 1);

        } else if (name.len > sizeof("jwt_header_") - 1
                   && ngx_strncmp(name.data, "jwt_header_",
                                  sizeof("jwt_header_") - 1)
                      == 0)
        {
            rc = ngx_http_apigw_jwt_foretell_name(cf, jmcf, &name,
                                                  sizeof("jwt_header_") - 1);

        } else if (name.len == sizeof("jwt_consumer") - 1
                   && ngx_strncmp(name.data, "jwt_consumer", name.len) == 0)
        {
            jmcf->consumer = 1;

        } else if (name.len == sizeof("jwt_plan") - 1
                   && ngx_strncmp(name.data, "jwt_plan", name.len) == 0)
        {
            jmcf->plan = 1;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_foretell_name(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_str_t *variable, size_t skip)
{
    ngx_str_t                  *name;
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_variable_t        *v;
    ngx_apigw_claims_path_t     path;
    ngx_http_apigw_jwt_set_t   *set, **sp;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /* somebody may have set a variable of his own of that name */

    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {
        if (key[i].key.len == variable->len
            && ngx_strncmp(key[i].key.data, variable->data, variable->len)
               == 0)
        {
            return NGX_OK;
        }
    }

    set = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_set_t));
    sp = ngx_array_push(&jmcf->sets);

    if (set == NULL || sp == NULL
        || ngx_array_init(&set->names, cf->pool, 1, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    name = ngx_array_push(&set->names);

    name->data = variable->data + skip;
    name->len = variable->len - skip;

    ngx_memzero(&path, sizeof(ngx_apigw_claims_path_t));

    if (ngx_apigw_claims_path_names(&path, name, 1) != NULL) {
        jmcf->sets.nelts--;
        return NGX_OK;
    }

    set->header = (skip == sizeof("jwt_header_") - 1);
    set->foretold = 1;

    *sp = set;

    v = ngx_http_add_variable(cf, variable, NGX_HTTP_VAR_NOCACHEABLE);
    if (v == NULL) {
        return NGX_ERROR;
    }

    v->get_handler = ngx_http_apigw_jwt_set_variable;
    v->data = (uintptr_t) set;

    return NGX_OK;
}


/* A slot for each way in which the names of a variable may be read. */

static ngx_int_t
ngx_http_apigw_jwt_init_sets(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf)
{
    const char                   *err;
    ngx_uint_t                    i, n;
    ngx_apigw_claims_path_t       path;
    ngx_http_apigw_jwt_set_t    **set;
    ngx_http_apigw_jwt_nested_t  *nested;

    set = jmcf->sets.elts;
    nested = jmcf->nesteds.elts;

    for (i = 0; i < jmcf->sets.nelts; i++) {

        set[i]->slots = ngx_palloc(cf->pool, (jmcf->nesteds.nelts + 1)
                                             * sizeof(ngx_uint_t));
        if (set[i]->slots == NULL) {
            return NGX_ERROR;
        }

        for (n = 0; n <= jmcf->nesteds.nelts; n++) {

            err = ngx_http_apigw_jwt_set_path(cf, set[i],
                                              n ? &nested[n - 1] : NULL,
                                              &path);
            if (err) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "invalid name \"%V\" of a JWT claim in "
                              "\"auth_jwt_%s_set\": %s in %s:%ui",
                              set[i]->names.elts,
                              set[i]->header ? "header" : "claim", err,
                              set[i]->line.file, set[i]->line.number);
                return NGX_ERROR;
            }

            set[i]->slots[n] = ngx_http_apigw_jwt_slot_add(jmcf,
                                             NGX_HTTP_APIGW_JWT_TEXT,
                                             set[i]->header, &path, NULL);

            if (set[i]->slots[n] == NGX_HTTP_APIGW_JWT_NONE) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* The name of a variable may be no path, which is nobody's mistake. */

static const char *
ngx_http_apigw_jwt_set_path(ngx_conf_t *cf, ngx_http_apigw_jwt_set_t *set,
    ngx_http_apigw_jwt_nested_t *nested, ngx_apigw_claims_path_t *path)
{
    const char  *err;
    ngx_str_t   *names, name;

    names = set->names.elts;

    ngx_memzero(path, sizeof(ngx_apigw_claims_path_t));

    if (nested && set->names.nelts == 1) {

        name.len = names[0].len;
        name.data = ngx_pstrdup(cf->pool, &names[0]);
        if (name.data == NULL) {
            return "no memory";
        }

        err = ngx_apigw_claims_path_split(path, &name, &nested->delimiter,
                                          &nested->quote);

        if (err == NULL || !set->foretold) {
            return err;
        }

        ngx_memzero(path, sizeof(ngx_apigw_claims_path_t));
    }

    return ngx_apigw_claims_path_names(path, names, set->names.nelts);
}


/* Who the caller is: by the issuer's claims, or the usual ones. */

static ngx_int_t
ngx_http_apigw_jwt_init_identity(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_policy_t *policy)
{
    ngx_uint_t                     i, n;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    n = policy->issuers ? policy->issuers->nelts : 0;

    policy->consumer = ngx_palloc(cf->pool, 2 * (n + 1) * sizeof(ngx_uint_t));
    if (policy->consumer == NULL) {
        return NGX_ERROR;
    }

    policy->plan = policy->consumer + n + 1;

    issuer = n ? policy->issuers->elts : NULL;

    for (i = 0; i <= n; i++) {

        policy->consumer[i] = NGX_HTTP_APIGW_JWT_NONE;
        policy->plan[i] = NGX_HTTP_APIGW_JWT_NONE;

        if (jmcf->consumer
            && ngx_http_apigw_jwt_identity_slot(cf,
                                            i ? issuer[i - 1]->consumer : NULL,
                                            "sub", &policy->consumer[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (jmcf->plan
            && ngx_http_apigw_jwt_identity_slot(cf,
                                                i ? issuer[i - 1]->plan : NULL,
                                                "plan", &policy->plan[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_identity_slot(ngx_conf_t *cf, ngx_array_t *names,
    const char *usual, ngx_uint_t *slot)
{
    const char                      *err;
    ngx_apigw_claims_path_t          path;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_jwt_module);

    err = ngx_http_apigw_jwt_identity_path(names, usual, &path);

    if (err) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "invalid names of a JWT claim: %s", err);
        return NGX_ERROR;
    }

    *slot = ngx_http_apigw_jwt_slot_add(jmcf, NGX_HTTP_APIGW_JWT_TEXT, 0,
                                        &path, NULL);

    return *slot == NGX_HTTP_APIGW_JWT_NONE ? NGX_ERROR : NGX_OK;
}


static const char *
ngx_http_apigw_jwt_identity_path(ngx_array_t *names, const char *usual,
    ngx_apigw_claims_path_t *path)
{
    ngx_str_t  name;

    ngx_memzero(path, sizeof(ngx_apigw_claims_path_t));

    if (names) {
        return ngx_apigw_claims_path_names(path, names->elts, names->nelts);
    }

    name.data = (u_char *) usual;
    name.len = ngx_strlen(usual);

    return ngx_apigw_claims_path_names(path, &name, 1);
}


/* The values of a verified token; they live as long as the request. */

ngx_str_t *
ngx_http_apigw_jwt_extract(ngx_http_request_t *r, json_t *header,
    json_t *claims, ngx_uint_t owner)
{
    json_t                          *json;
    ngx_str_t                       *values;
    ngx_uint_t                       i;
    ngx_http_apigw_jwt_slot_t       *slot;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);

    values = ngx_pcalloc(r->pool, jmcf->slots.nelts * sizeof(ngx_str_t));
    if (values == NULL) {
        return NULL;
    }

    slot = jmcf->slots.elts;

    for (i = 0; i < jmcf->slots.nelts; i++) {

        if (slot[i].type == NGX_HTTP_APIGW_JWT_OWNER) {

            values[i].data = ngx_pnalloc(r->pool, 1);
            if (values[i].data == NULL) {
                return NULL;
            }

            values[i].data[0] = (u_char) owner;
            values[i].len = 1;

            continue;
        }

        json = ngx_apigw_claims_get(slot[i].header ? header : claims,
                                    &slot[i].path);

        if (ngx_http_apigw_jwt_take(r, &slot[i], json, header, claims,
                                    &values[i])
            == NGX_ERROR)
        {
            return NULL;
        }
    }

    return values;
}


static ngx_int_t
ngx_http_apigw_jwt_take(ngx_http_request_t *r, ngx_http_apigw_jwt_slot_t *slot,
    json_t *json, json_t *header, json_t *claims, ngx_str_t *text)
{
    ngx_uint_t                   met;
    ngx_http_apigw_jwt_scope_t  *scope;

    switch (slot->type) {

    case NGX_HTTP_APIGW_JWT_RULE:
        met = ngx_http_apigw_jwt_rule_met(r, slot->data, json, NULL);
        break;

    case NGX_HTTP_APIGW_JWT_SCOPES:
        scope = slot->data;
        met = (ngx_apigw_claims_scope(claims, scope->scopes.elts,
                                      scope->scopes.nelts, scope->any)
               == NGX_OK);
        break;

    case NGX_HTTP_APIGW_JWT_JSON:
        return ngx_http_apigw_jwt_take_json(r, json, text);

    default: /* NGX_HTTP_APIGW_JWT_TEXT, NGX_HTTP_APIGW_JWT_RAW */
        return ngx_http_apigw_jwt_take_text(r, json,
                                   slot->type == NGX_HTTP_APIGW_JWT_RAW, text);
    }

    if (met) {
        ngx_str_set(text, "1");
    }

    return NGX_OK;
}


/*
 * A text with a control character has no value: variables go into lines of
 * headers and of logs.
 */

static ngx_int_t
ngx_http_apigw_jwt_take_text(ngx_http_request_t *r, json_t *json,
    ngx_uint_t raw, ngx_str_t *text)
{
    size_t                    i;
    ngx_int_t                 rc;
    ngx_apigw_claims_text_t   got;

    if (json == NULL) {
        return NGX_OK;
    }

    ngx_memzero(&got, sizeof(ngx_apigw_claims_text_t));

    rc = ngx_apigw_claims_text(json, &got);

    if (rc == NGX_OK) {

        for (i = 0; !raw && i < got.text.len; i++) {
            if (got.text.data[i] < 0x20 || got.text.data[i] == 0x7f) {
                rc = NGX_DECLINED;
                break;
            }
        }
    }

    if (rc == NGX_OK) {
        rc = ngx_http_apigw_jwt_copy(r, got.text.data, got.text.len, text);
    }

    free(got.memory);

    return rc;
}


static ngx_int_t
ngx_http_apigw_jwt_take_json(ngx_http_request_t *r, json_t *json,
    ngx_str_t *text)
{
    char       *p;
    ngx_int_t   rc;

    if (json == NULL) {
        return NGX_OK;
    }

    p = json_dumps(json, JSON_COMPACT|JSON_ENCODE_ANY|JSON_SORT_KEYS);
    if (p == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_apigw_jwt_copy(r, (u_char *) p, ngx_strlen(p), text);

    free(p);

    return rc;
}


static ngx_int_t
ngx_http_apigw_jwt_copy(ngx_http_request_t *r, const u_char *data, size_t len,
    ngx_str_t *text)
{
    text->data = ngx_pnalloc(r->pool, len + 1);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text->data, data, len);
    text->len = len;

    return NGX_OK;
}


/*
 * Sets the variable to "not found" and *ctxp to the context if there is a
 * valid token, or if the keys of a token are looked for, else to NULL.
 */

static ngx_int_t
ngx_http_apigw_jwt_known(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    ngx_http_apigw_jwt_ctx_t **ctxp)
{
    ngx_int_t                  rc;
    ngx_http_apigw_jwt_ctx_t  *ctx;

    v->valid = 0;
    v->no_cacheable = 0;
    v->not_found = 1;

    *ctxp = NULL;

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_jwt_module);

    if (ctx && ctx->resolving) {
        ctx->told = 1;
        *ctxp = ctx;
        return NGX_OK;
    }

    rc = ngx_http_apigw_jwt_authenticate(r, &ctx, 0);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && ctx->values) {
        *ctxp = ctx;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_show(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_uint_t slot)
{
    ngx_http_apigw_jwt_slot_t       *slots;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    if (!ctx->resolving) {
        ngx_http_apigw_variable_set(v, &ctx->values[slot]);
        return NGX_OK;
    }

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);
    slots = jmcf->slots.elts;

    return ngx_http_apigw_jwt_show_path(r, v, ctx, slots[slot].header,
                                        &slots[slot].path);
}


static ngx_int_t
ngx_http_apigw_jwt_show_path(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t header, ngx_apigw_claims_path_t *path)
{
    json_t     *json;
    ngx_str_t   text;

    if (ngx_http_apigw_jwt_parse(r->main, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    json = header ? ctx->header : ctx->claims;

    if (json == NULL) {
        return NGX_OK;
    }

    ngx_str_null(&text);

    if (ngx_http_apigw_jwt_take_text(r, ngx_apigw_claims_get(json, path), 0,
                                     &text)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    ngx_http_apigw_variable_set(v, &text);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_set_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_apigw_jwt_set_t *set = (ngx_http_apigw_jwt_set_t *) data;

    ngx_int_t                       rc;
    ngx_http_apigw_jwt_ctx_t       *ctx;
    ngx_http_apigw_jwt_loc_conf_t  *lcf;

    rc = ngx_http_apigw_jwt_known(r, v, &ctx);

    if (ctx == NULL) {
        return rc;
    }

    lcf = ngx_http_get_module_loc_conf(r->main, ngx_http_apigw_jwt_module);

    return ngx_http_apigw_jwt_show(r, v, ctx, set->slots[lcf->nested]);
}


static ngx_int_t
ngx_http_apigw_jwt_claim_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    return ngx_http_apigw_jwt_name_variable(r, v, 0, (ngx_str_t *) data,
                                            sizeof("jwt_claim_") - 1);
}


static ngx_int_t
ngx_http_apigw_jwt_header_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    return ngx_http_apigw_jwt_name_variable(r, v, 1, (ngx_str_t *) data,
                                            sizeof("jwt_header_") - 1);
}


static ngx_int_t
ngx_http_apigw_jwt_name_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t header, ngx_str_t *variable,
    size_t skip)
{
    ngx_int_t                        rc;
    ngx_str_t                        name, copy;
    ngx_apigw_claims_path_t          path;
    ngx_http_apigw_jwt_ctx_t        *ctx;
    ngx_http_apigw_jwt_nested_t     *nested;
    ngx_http_apigw_jwt_loc_conf_t   *lcf;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    rc = ngx_http_apigw_jwt_known(r, v, &ctx);

    if (ctx == NULL) {
        return rc;
    }

    name.data = variable->data + skip;
    name.len = variable->len - skip;

    lcf = ngx_http_get_module_loc_conf(r->main, ngx_http_apigw_jwt_module);

    if (lcf->nested) {

        jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);
        nested = jmcf->nesteds.elts;

        copy.len = name.len;
        copy.data = ngx_pstrdup(r->pool, &name);
        if (copy.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(&path, sizeof(ngx_apigw_claims_path_t));

        if (ngx_apigw_claims_path_split(&path, &copy,
                                        &nested[lcf->nested - 1].delimiter,
                                        &nested[lcf->nested - 1].quote)
            == NULL)
        {
            return ngx_http_apigw_jwt_show_path(r, v, ctx, header, &path);
        }
    }

    ngx_memzero(&path, sizeof(ngx_apigw_claims_path_t));

    if (ngx_apigw_claims_path_names(&path, &name, 1) != NULL) {
        return NGX_OK;
    }

    return ngx_http_apigw_jwt_show_path(r, v, ctx, header, &path);
}


static ngx_int_t
ngx_http_apigw_jwt_identity_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                      rc;
    ngx_uint_t                    *slots, n, owner, plan;
    ngx_array_t                   *names;
    ngx_apigw_claims_path_t        path;
    ngx_http_apigw_jwt_ctx_t      *ctx;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    rc = ngx_http_apigw_jwt_known(r, v, &ctx);

    if (ctx == NULL || ctx->resolving) {
        return rc;
    }

    slots = *(ngx_uint_t **) ((u_char *) ctx->policy + data);

    n = ctx->policy->issuers ? ctx->policy->issuers->nelts : 0;
    owner = ctx->values[NGX_HTTP_APIGW_JWT_VALUE_OWNER].data[0];

    if (owner > n) {
        return NGX_OK;
    }

    if (slots[owner] != NGX_HTTP_APIGW_JWT_NONE) {
        return ngx_http_apigw_jwt_show(r, v, ctx, slots[owner]);
    }

    /* asked for by something that was not seen in the configuration */

    plan = (data == offsetof(ngx_http_apigw_jwt_policy_t, plan));
    names = NULL;

    if (owner) {
        issuer = ctx->policy->issuers->elts;
        names = plan ? issuer[owner - 1]->plan : issuer[owner - 1]->consumer;
    }

    if (ngx_http_apigw_jwt_identity_path(names, plan ? "plan" : "sub", &path)
        != NULL)
    {
        return NGX_OK;
    }

    return ngx_http_apigw_jwt_show_path(r, v, ctx, 0, &path);
}


/* In compact form: no line break of the token's gets into a header. */

static ngx_int_t
ngx_http_apigw_jwt_claims_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_http_apigw_jwt_ctx_t  *ctx;

    rc = ngx_http_apigw_jwt_known(r, v, &ctx);

    if (ctx == NULL) {
        return rc;
    }

    if (ngx_http_apigw_jwt_parse(r->main, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&text);

    if (ngx_http_apigw_jwt_take_json(r, ctx->claims, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_apigw_variable_set(v, &text);

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                  rc;
    ngx_http_apigw_jwt_ctx_t  *ctx;

    v->valid = 0;
    v->no_cacheable = 0;
    v->not_found = 1;

    rc = ngx_http_apigw_jwt_authenticate(r, &ctx, 0);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        ngx_http_apigw_variable_set(v,
                   &ngx_http_apigw_jwt_verdicts[ctx->outcome ? ctx->outcome
                                                             : ctx->verdict]);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_nowtime_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%T", ngx_time()) - value.data;

    ngx_http_apigw_variable_set(v, &value);

    return NGX_OK;
}


/* auth_jwt_claim_set, auth_jwt_header_set */

char *
ngx_http_apigw_jwt_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apigw_jwt_main_conf_t  *jmcf = conf;

    ngx_str_t                  *value, *name;
    ngx_uint_t                  i;
    ngx_http_variable_t        *v;
    ngx_http_apigw_jwt_set_t   *set, **sp;

    value = cf->args->elts;

    if (value[1].data[0] != '$' || value[1].len < 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid variable name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    value[1].data++;
    value[1].len--;

    set = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_set_t));
    if (set == NULL) {
        return NGX_CONF_ERROR;
    }

    set->header = (cmd->post != NULL);

    ngx_http_apigw_jwt_line(cf, &set->line);

    if (cf->args->nelts - 2 > NGX_APIGW_CLAIMS_STEPS_MAX) {
        return "has too many names";
    }

    if (ngx_array_init(&set->names, cf->pool, cf->args->nelts - 2,
                       sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid name \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        name = ngx_array_push(&set->names);
        *name = value[i];
    }

    v = ngx_http_add_variable(cf, &value[1], NGX_HTTP_VAR_NOCACHEABLE);
    if (v == NULL) {
        return NGX_CONF_ERROR;
    }

    v->get_handler = ngx_http_apigw_jwt_set_variable;
    v->data = (uintptr_t) set;

    sp = ngx_array_push(&jmcf->sets);
    if (sp == NULL) {
        return NGX_CONF_ERROR;
    }

    *sp = set;

    return NGX_CONF_OK;
}
