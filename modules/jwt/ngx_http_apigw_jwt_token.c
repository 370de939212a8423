/*
 * Copyright (C) the apigw authors
 */


/*
 * The verdict on the token of a request: with which keys it may be verified,
 * what is known of it, what it says.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_jwt.h"


typedef struct {
    ngx_apigw_jwks_t            *sets[NGX_HTTP_APIGW_JWT_SOURCES];
    ngx_uint_t                   n;
    uint64_t                     generation;
} ngx_http_apigw_jwt_found_t;


/* A token while it is verified. */

typedef struct {
    ngx_apigw_jws_t              jws;
    json_t                      *claims;
    ngx_http_apigw_jwt_issuer_t  *issuer;    /* NULL: keys of the location */
    ngx_uint_t                   number;     /* of the issuer + 1 */
    ngx_apigw_claims_window_t    window;
    const char                  *why;
} ngx_http_apigw_jwt_proof_t;


static ngx_int_t ngx_http_apigw_jwt_decide(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t wait);
static ngx_uint_t ngx_http_apigw_jwt_decide_early(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx);
static ngx_int_t ngx_http_apigw_jwt_collect(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t wait, ngx_http_apigw_jwt_found_t *found);
static ngx_int_t ngx_http_apigw_jwt_recall(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_apigw_token_id_t *id);
static ngx_int_t ngx_http_apigw_jwt_learn(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_found_t *found, ngx_apigw_token_id_t *id);
static ngx_int_t ngx_http_apigw_jwt_signer(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_proof_t *proof);
static void ngx_http_apigw_jwt_remember(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_proof_t *proof, ngx_apigw_token_id_t *id,
    uint64_t revision);
static ngx_http_apigw_jwt_verdict_e ngx_http_apigw_jwt_verify(
    ngx_http_request_t *r, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_found_t *found, ngx_http_apigw_jwt_proof_t *proof);
static ngx_http_apigw_jwt_verdict_e ngx_http_apigw_jwt_choose(
    ngx_http_request_t *r, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_found_t *found, ngx_http_apigw_jwt_proof_t *proof);
static ngx_uint_t ngx_http_apigw_jwt_stranger(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_proof_t *proof);
static ngx_uint_t ngx_http_apigw_jwt_says(ngx_str_t *payload, ngx_str_t *iss);
static ngx_http_apigw_jwt_verdict_e ngx_http_apigw_jwt_judge(
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_proof_t *proof);
static ngx_http_apigw_jwt_verdict_e ngx_http_apigw_jwt_times(
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_proof_t *proof);
static ngx_uint_t ngx_http_apigw_jwt_audience(json_t *claims,
    ngx_array_t *audience);
static ngx_uint_t ngx_http_apigw_jwt_listed(
    ngx_http_apigw_jwt_policy_t *policy, ngx_str_t *values);
static ngx_uint_t ngx_http_apigw_jwt_lists_have(ngx_array_t *lists,
    ngx_str_t *name);
static ngx_uint_t ngx_http_apigw_jwt_lists_lack(ngx_array_t *lists);
static void ngx_http_apigw_jwt_parse_cleanup(void *data);


ngx_int_t
ngx_http_apigw_jwt_authenticate(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t **ctxp, ngx_uint_t wait)
{
    ngx_int_t                       rc;
    ngx_str_t                       token;
    ngx_uint_t                      again;
    ngx_http_apigw_jwt_ctx_t       *ctx;
    ngx_http_apigw_jwt_loc_conf_t  *lcf;

    r = r->main;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_apigw_jwt_module);

    ctx = ngx_http_apigw_get_ctx(r, &ngx_http_apigw_jwt_module);

    *ctxp = ctx;

    if (lcf->realm == NULL) {
        return (ctx && ctx->decided) ? NGX_OK : NGX_DECLINED;
    }

    if (ctx == NULL) {
        ctx = ngx_http_apigw_create_ctx(r, &ngx_http_apigw_jwt_module,
                                        sizeof(ngx_http_apigw_jwt_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        *ctxp = ctx;

    } else if (ctx->decided && ctx->policy == lcf->policy
               && ctx->source == lcf->token)
    {
        return NGX_OK;

    } else if (ctx->resolving) {

        /* a variable that needs the verdict cannot lead to it */

        ctx->told = 1;

        return NGX_AGAIN;

    } else if (ctx->fetch && ctx->fetch->waiting) {
        return NGX_AGAIN;
    }

    again = (!ctx->decided && ctx->policy == lcf->policy
             && ctx->source == lcf->token);

    token = ctx->token;

    ctx->decided = 0;
    ctx->outcome = NGX_HTTP_APIGW_JWT_OK;
    ctx->values = NULL;
    ctx->retry_after = 0;
    ctx->why = NULL;
    ctx->policy = lcf->policy;
    ctx->source = lcf->token;

    if (ngx_http_apigw_jwt_find(r, lcf, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    /* what the token says may be where the keys came from */

    if (ctx->fetch && !(again && ngx_http_apigw_jwt_same(&token, &ctx->token)))
    {
        ngx_http_apigw_jwt_fetch_forget(ctx->fetch);
    }

    rc = ngx_http_apigw_jwt_decide(r, lcf, ctx, wait);

    if (rc == NGX_OK) {
        ctx->decided = 1;
        ctx->counted = 0;
    }

    return rc;
}


static ngx_int_t
ngx_http_apigw_jwt_decide(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t wait)
{
    ngx_int_t                    rc;
    ngx_apigw_token_id_t         id;
    ngx_http_apigw_jwt_found_t   found;

    if (ngx_http_apigw_jwt_decide_early(r, ctx)) {
        return NGX_OK;
    }

    rc = ngx_http_apigw_jwt_collect(r, lcf, ctx, wait, &found);

    switch (rc) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        ctx->verdict = NGX_HTTP_APIGW_JWT_UNAVAILABLE;
        return NGX_OK;

    case NGX_ABORT:
        /* it needs no key to be refused */

        found.n = 0;
        return ngx_http_apigw_jwt_learn(r, lcf, ctx, &found, NULL);

    default: /* NGX_AGAIN, NGX_ERROR */
        return rc;
    }

    rc = NGX_DECLINED;

    if (lcf->cache) {
        id.policy = ctx->policy->id;
        id.generation = found.generation;

        rc = ngx_http_apigw_jwt_recall(r, lcf, ctx, &id);
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_http_apigw_jwt_learn(r, lcf, ctx, &found,
                                      lcf->cache ? &id : NULL);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->verdict == NGX_HTTP_APIGW_JWT_OK
        && ngx_http_apigw_jwt_listed(ctx->policy, ctx->values))
    {
        ctx->why = "by a list";
        ctx->verdict = NGX_HTTP_APIGW_JWT_REVOKED;
    }

    if (ctx->verdict != NGX_HTTP_APIGW_JWT_OK) {
        ctx->values = NULL;
    }

    return NGX_OK;
}


/* Whether nothing has to be looked at for the verdict. */

static ngx_uint_t
ngx_http_apigw_jwt_decide_early(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx)
{
    if (ctx->conflict) {
        ctx->why = "there are two different ones";
        ctx->verdict = NGX_HTTP_APIGW_JWT_MALFORMED;
        return 1;
    }

    if (ctx->token.len == 0) {
        ctx->verdict = NGX_HTTP_APIGW_JWT_MISSING;
        return 1;
    }

    if (ctx->policy == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "\"auth_jwt\" has no keys in this place");

        ctx->verdict = NGX_HTTP_APIGW_JWT_UNAVAILABLE;
        return 1;
    }

    return 0;
}


/*
 * The keys of the location, as far as the token does not choose among them,
 * and a number that changes with any of the keys.
 */

static ngx_int_t
ngx_http_apigw_jwt_collect(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_uint_t wait, ngx_http_apigw_jwt_found_t *found)
{
    uint64_t                       generation;
    ngx_int_t                      rc;
    ngx_str_t                      name;
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_keys_t     *keys;
    ngx_http_apigw_jwt_issuer_t  **issuer;
    ngx_http_apigw_jwt_source_t   *source;
    ngx_http_apigw_jwt_policy_t   *policy;

    policy = ctx->policy;

    found->n = 0;
    found->generation = 0;

    if (ngx_http_apigw_jwt_lists_lack(policy->revoked_sub)
        || ngx_http_apigw_jwt_lists_lack(policy->revoked_kid))
    {
        return NGX_DECLINED;
    }

    if (policy->issuers) {

        issuer = policy->issuers->elts;

        for (i = 0; i < policy->issuers->nelts; i++) {
            generation = ngx_http_apigw_jwt_issuer_generation(issuer[i]);
            found->generation = ngx_http_apigw_jwt_mix(found->generation,
                                                       generation);
        }

        return NGX_OK;
    }

    source = policy->sources->elts;

    for (i = 0; i < policy->sources->nelts; i++) {

        if (source[i].request) {

            rc = ngx_http_apigw_jwt_fetch_keys(r, ctx, &source[i], i,
                                               lcf->key_cache, wait);
            if (rc != NGX_OK) {
                return rc;
            }

            found->sets[found->n++] = ctx->fetch->sets[i];
            found->generation = ngx_http_apigw_jwt_mix(found->generation,
                                                  ctx->fetch->generations[i]);
            continue;
        }

        keys = source[i].keys;

        if (keys == NULL) {

            rc = ngx_http_apigw_jwt_resolve(r, ctx, &source[i].value, &name);

            if (rc == NGX_OK) {
                rc = ngx_http_apigw_jwt_keys_open(r, &name, &source[i], &keys);
            }

            if (rc != NGX_OK) {
                return rc;
            }
        }

        if (keys->set == NULL) {
            return NGX_DECLINED;
        }

        found->sets[found->n++] = keys->set;
        found->generation = ngx_http_apigw_jwt_mix(found->generation,
                                                   keys->generation);
    }

    return NGX_OK;
}


/*
 * The place of keys may depend on what the token says of itself; values of
 * that kind are for this purpose only, so what was made of them is forgotten.
 */

ngx_int_t
ngx_http_apigw_jwt_resolve(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_complex_value_t *cv,
    ngx_str_t *value)
{
    size_t                      size;
    ngx_int_t                   rc;
    ngx_http_variable_value_t  *saved;
    ngx_http_core_main_conf_t  *cmcf;

    if (cv->lengths == NULL) {
        *value = cv->value;
        return NGX_OK;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    size = cmcf->variables.nelts * sizeof(ngx_http_variable_value_t);

    saved = ngx_palloc(r->pool, size);
    if (saved == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(saved, r->variables, size);

    ctx->told = 0;
    ctx->resolving = 1;
    rc = ngx_http_complex_value(r, cv, value);
    ctx->resolving = 0;

    /* $request_id is another one each time: keep what need not be forgotten */

    if (ctx->told) {
        ngx_memcpy(r->variables, saved, size);
    }

    return rc;
}


/* A token that was seen before: NGX_DECLINED if it has to be verified. */

static ngx_int_t
ngx_http_apigw_jwt_recall(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_apigw_token_id_t *id)
{
    u_char                          *p;
    ngx_int_t                        rc;
    ngx_uint_t                       n;
    ngx_apigw_token_entry_t          entry;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    rc = ngx_http_apigw_jwt_cache_get(lcf->zone, r->connection->log,
                                      &ctx->token, id, &entry);
    if (rc != NGX_OK) {
        return NGX_DECLINED;
    }

    ctx->verdict = entry.verdict;

    if (ctx->verdict != NGX_HTTP_APIGW_JWT_OK) {

        if (ctx->verdict == NGX_HTTP_APIGW_JWT_UNAVAILABLE) {
            ctx->retry_after = 1;
        }

        return NGX_OK;
    }

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);

    n = jmcf->slots.nelts;

    ctx->values = ngx_palloc(r->pool, n * sizeof(ngx_str_t) + entry.len);
    if (ctx->values == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) (ctx->values + n);

    ngx_memcpy(p, entry.data, entry.len);

    if (ngx_apigw_token_unpack(p, entry.len, ctx->values, n) != NGX_OK) {
        ctx->values = NULL;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_apigw_jwt_learn(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_found_t *found, ngx_apigw_token_id_t *id)
{
    uint64_t                     revision;
    ngx_int_t                    rc;
    ngx_http_apigw_jwt_proof_t   proof;

    ngx_memzero(&proof, sizeof(ngx_http_apigw_jwt_proof_t));

    revision = 0;
    rc = NGX_OK;

    ctx->verdict = ngx_http_apigw_jwt_verify(r, ctx, found, &proof);

    if (ctx->verdict == NGX_HTTP_APIGW_JWT_OK) {

        ctx->values = ngx_http_apigw_jwt_extract(r, proof.jws.header,
                                                 proof.claims, proof.number);
        if (ctx->values == NULL
            || ngx_http_apigw_jwt_signer(r, ctx, &proof) != NGX_OK)
        {
            rc = NGX_ERROR;
            goto done;
        }

        switch (ngx_http_apigw_jwt_revoked(lcf->zone, r->connection->log,
                                           ctx->values, &revision))
        {
        case NGX_OK:
            break;

        case NGX_DECLINED:
            ctx->verdict = NGX_HTTP_APIGW_JWT_REVOKED;
            break;

        default:
            ctx->verdict = NGX_HTTP_APIGW_JWT_UNAVAILABLE;
            ctx->retry_after = 1;
        }
    }

    ctx->why = proof.why;

    if (id) {
        ngx_http_apigw_jwt_remember(r, lcf, ctx, &proof, id, revision);
    }

done:

    json_decref(proof.claims);
    ngx_apigw_jws_clear(&proof.jws);

    return rc;
}


/*
 * A token need not say by which key it was signed: a revoked key has to be
 * known by its own name then.  Where a list of key ids is used it has to.
 */

static ngx_int_t
ngx_http_apigw_jwt_signer(ngx_http_request_t *r, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_proof_t *proof)
{
    ngx_str_t        *kid;
    ngx_apigw_jwk_t  *key;

    kid = &ctx->values[NGX_HTTP_APIGW_JWT_VALUE_KID];
    key = proof->jws.key;

    if (kid->data || ctx->policy->revoked_kid
        || key == NULL || key->kid.len == 0)
    {
        return NGX_OK;
    }

    kid->data = ngx_pstrdup(r->pool, &key->kid);
    if (kid->data == NULL) {
        return NGX_ERROR;
    }

    kid->len = key->kid.len;

    return NGX_OK;
}


static void
ngx_http_apigw_jwt_remember(ngx_http_request_t *r,
    ngx_http_apigw_jwt_loc_conf_t *lcf, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_proof_t *proof, ngx_apigw_token_id_t *id,
    uint64_t revision)
{
    uint64_t                         last;
    ngx_apigw_token_entry_t          entry;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);

    entry.verdict = ctx->verdict;
    entry.from = 0;
    entry.until = 0;
    entry.len = 0;
    entry.revision = revision;

    if (ctx->verdict == NGX_HTTP_APIGW_JWT_OK) {

        if (ngx_apigw_token_pack(&entry, ctx->values, jmcf->slots.nelts)
            != NGX_OK)
        {
            return;
        }

        if (proof->window.from > 0) {
            entry.from = (uint64_t) proof->window.from * 1000;
        }

        entry.until = UINT64_MAX;

        if (proof->window.until < INT64_MAX / 1000) {
            entry.until = (uint64_t) proof->window.until * 1000;
        }

        if (lcf->cache_max) {
            last = ((uint64_t) ngx_time() + lcf->cache_max) * 1000;
            entry.until = ngx_min(entry.until, last);
        }
    }

    ngx_http_apigw_jwt_cache_put(lcf->zone, id, &entry);
}


static ngx_http_apigw_jwt_verdict_e
ngx_http_apigw_jwt_verify(ngx_http_request_t *r, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_found_t *found, ngx_http_apigw_jwt_proof_t *proof)
{
    ngx_apigw_jwa_t                  algorithms;
    ngx_apigw_jws_rc_e               rc;
    ngx_http_apigw_jwt_verdict_e     verdict;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);

    if (jmcf->verifier == NULL) {
        jmcf->verifier = ngx_apigw_jws_verifier_create();

        if (jmcf->verifier == NULL) {
            return NGX_HTTP_APIGW_JWT_UNAVAILABLE;
        }
    }

    rc = ngx_apigw_jws_parse_by(jmcf->verifier, &proof->jws, ctx->token.data,
                                ctx->token.len);

    if (rc == NGX_APIGW_JWS_OK) {

        /* nothing else is looked at in what can never be good */

        if ((proof->jws.alg & ctx->policy->algorithms) == 0) {
            proof->why = "\"alg\" is not allowed";
            return NGX_HTTP_APIGW_JWT_ALGORITHM;
        }

        verdict = ngx_http_apigw_jwt_choose(r, ctx, found, proof);

        if (verdict != NGX_HTTP_APIGW_JWT_OK) {
            return verdict;
        }

        algorithms = ctx->policy->algorithms;

        if (proof->issuer && proof->issuer->algorithms) {
            algorithms &= proof->issuer->algorithms;
        }

        rc = ngx_apigw_jws_verify(jmcf->verifier, &proof->jws, found->sets,
                                  found->n, algorithms);
    }

    proof->why = proof->jws.why;

    switch (rc) {

    case NGX_APIGW_JWS_OK:
        proof->why = NULL;
        return ngx_http_apigw_jwt_judge(ctx, proof);

    case NGX_APIGW_JWS_BAD:
        return NGX_HTTP_APIGW_JWT_MALFORMED;

    case NGX_APIGW_JWS_NOALG:
        return NGX_HTTP_APIGW_JWT_ALGORITHM;

    case NGX_APIGW_JWS_NOKEY:
        if (proof->issuer) {
            ctx->retry_after =
                          ngx_http_apigw_jwt_issuer_unknown(proof->issuer);
        }

        return NGX_HTTP_APIGW_JWT_KEY;

    case NGX_APIGW_JWS_BADSIG:
        return NGX_HTTP_APIGW_JWT_SIGNATURE;

    default: /* NGX_APIGW_JWS_ERROR */
        return NGX_HTTP_APIGW_JWT_UNAVAILABLE;
    }
}


/* Among several issuers the token may say whose keys to take. */

static ngx_http_apigw_jwt_verdict_e
ngx_http_apigw_jwt_choose(ngx_http_request_t *r, ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_found_t *found, ngx_http_apigw_jwt_proof_t *proof)
{
    ngx_str_t                      iss;
    ngx_uint_t                     i;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    if (ctx->policy->issuers == NULL) {
        return NGX_HTTP_APIGW_JWT_OK;
    }

    if (ngx_http_apigw_jwt_stranger(r, ctx, proof)) {
        proof->why = "the key is unknown";
        return NGX_HTTP_APIGW_JWT_KEY;
    }

    proof->claims = ngx_apigw_claims_parse(proof->jws.payload.data,
                                           proof->jws.payload.len,
                                           &proof->why);
    if (proof->claims == NULL) {
        return NGX_HTTP_APIGW_JWT_MALFORMED;
    }

    if (ngx_apigw_claims_string(proof->claims, "iss", &iss) != NGX_OK) {
        return NGX_HTTP_APIGW_JWT_ISSUER;
    }

    proof->issuer = ngx_http_apigw_jwt_issuer_find(ctx->policy->issuers, &iss);

    if (proof->issuer == NULL) {
        return NGX_HTTP_APIGW_JWT_ISSUER;
    }

    issuer = ctx->policy->issuers->elts;

    for (i = 0; issuer[i] != proof->issuer; i++) { /* void */ }

    proof->number = i + 1;

    found->sets[0] = ngx_http_apigw_jwt_issuer_keys(proof->issuer,
                                                    r->connection->log);
    found->n = 1;

    if (found->sets[0] == NULL) {
        ctx->retry_after = ngx_http_apigw_jwt_issuer_unknown(proof->issuer);
        return NGX_HTTP_APIGW_JWT_UNAVAILABLE;
    }

    return NGX_HTTP_APIGW_JWT_OK;
}


/*
 * Whether no issuer has the key that the token names, and the token names one
 * of them.  Of a storm of such tokens no JSON is parsed: it is refused in any
 * case, and where its text could be taken otherwise, all that is decided here
 * is by what name, and whose keys are looked for.
 */

static ngx_uint_t
ngx_http_apigw_jwt_stranger(ngx_http_request_t *r,
    ngx_http_apigw_jwt_ctx_t *ctx, ngx_http_apigw_jwt_proof_t *proof)
{
    ngx_uint_t                     i, found;
    ngx_apigw_jwks_t              *keys;
    ngx_http_apigw_jwt_issuer_t  **issuer;

    if (proof->jws.kid.data == NULL) {
        return 0;
    }

    issuer = ctx->policy->issuers->elts;

    for (i = 0; i < ctx->policy->issuers->nelts; i++) {

        keys = ngx_http_apigw_jwt_issuer_keys(issuer[i], r->connection->log);

        /* keys without a name are tried with any token */

        if (keys == NULL || keys->anonymous
            || ngx_apigw_jwks_find(keys, &proof->jws.kid, &found))
        {
            return 0;
        }
    }

    for (i = 0; i < ctx->policy->issuers->nelts; i++) {

        if (issuer[i]->algorithms
            && (issuer[i]->algorithms & proof->jws.alg) == 0)
        {
            continue;
        }

        if (ngx_http_apigw_jwt_says(&proof->jws.payload, &issuer[i]->url)) {
            ctx->retry_after = ngx_http_apigw_jwt_issuer_unknown(issuer[i]);
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_apigw_jwt_says(ngx_str_t *payload, ngx_str_t *iss)
{
    u_char  *p, *last;

    static const char  name[] = "\"iss\":\"";

    p = payload->data;
    last = p + payload->len;

    while ((p = memmem(p, last - p, name, sizeof(name) - 1))) {

        p += sizeof(name) - 1;

        if ((size_t) (last - p) > iss->len
            && ngx_memcmp(p, iss->data, iss->len) == 0
            && p[iss->len] == '"')
        {
            return 1;
        }
    }

    return 0;
}


/* The signature is right: what does it say? */

static ngx_http_apigw_jwt_verdict_e
ngx_http_apigw_jwt_judge(ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_proof_t *proof)
{
    ngx_str_t                      text;
    ngx_http_apigw_jwt_issuer_t   *issuer;
    ngx_http_apigw_jwt_verdict_e   verdict;

    if (proof->claims == NULL) {
        proof->claims = ngx_apigw_claims_parse(proof->jws.payload.data,
                                               proof->jws.payload.len,
                                               &proof->why);
        if (proof->claims == NULL) {
            return NGX_HTTP_APIGW_JWT_MALFORMED;
        }
    }

    /* RFC 7519: if they are there, they are strings */

    if (ngx_apigw_claims_string(proof->claims, "iss", &text) == NGX_ERROR
        || ngx_apigw_claims_string(proof->claims, "sub", &text) == NGX_ERROR
        || ngx_apigw_claims_string(proof->claims, "jti", &text) == NGX_ERROR)
    {
        proof->why = "iss, sub or jti is not a string";
        return NGX_HTTP_APIGW_JWT_MALFORMED;
    }

    issuer = proof->issuer;

    if (issuer && issuer->type.len
        && !ngx_apigw_jws_typ(&proof->jws, &issuer->type))
    {
        return NGX_HTTP_APIGW_JWT_TYPE;
    }

    verdict = ngx_http_apigw_jwt_times(ctx, proof);

    if (verdict != NGX_HTTP_APIGW_JWT_OK) {
        return verdict;
    }

    if (!ngx_http_apigw_jwt_audience(proof->claims, ctx->policy->audience)
        || (issuer && !ngx_http_apigw_jwt_audience(proof->claims,
                                                   issuer->audience)))
    {
        return NGX_HTTP_APIGW_JWT_AUDIENCE;
    }

    return NGX_HTTP_APIGW_JWT_OK;
}


static ngx_http_apigw_jwt_verdict_e
ngx_http_apigw_jwt_times(ngx_http_apigw_jwt_ctx_t *ctx,
    ngx_http_apigw_jwt_proof_t *proof)
{
    ngx_apigw_claims_times_t      times;
    ngx_http_apigw_jwt_issuer_t  *issuer;

    issuer = proof->issuer;

    ngx_memzero(&times, sizeof(ngx_apigw_claims_times_t));

    times.leeway = ctx->policy->leeway;
    times.ignore_exp = !ctx->policy->validate_exp;

    if (issuer) {
        times.max_age = issuer->max_age;

        if (issuer->leeway != NGX_CONF_UNSET) {
            times.leeway = issuer->leeway;
        }
    }

    switch (ngx_apigw_claims_window(proof->claims, &times, &proof->window)) {

    case NGX_APIGW_CLAIMS_OK:
        break;

    case NGX_APIGW_CLAIMS_MISSING:
        proof->why = "it does not say how old it is";
        return NGX_HTTP_APIGW_JWT_EXPIRED;

    default: /* NGX_APIGW_CLAIMS_BAD */
        proof->why = "exp, nbf or iat is not a time";
        return NGX_HTTP_APIGW_JWT_MALFORMED;
    }

    switch (ngx_apigw_claims_now(&proof->window, ngx_time())) {

    case NGX_APIGW_CLAIMS_OK:
        return NGX_HTTP_APIGW_JWT_OK;

    case NGX_APIGW_CLAIMS_EARLY:
        return NGX_HTTP_APIGW_JWT_EARLY;

    default: /* NGX_APIGW_CLAIMS_EXPIRED */
        return NGX_HTTP_APIGW_JWT_EXPIRED;
    }
}


static ngx_uint_t
ngx_http_apigw_jwt_audience(json_t *claims, ngx_array_t *audience)
{
    return audience == NULL
           || ngx_apigw_claims_audience(claims, "aud", audience->elts,
                                        audience->nelts)
              == NGX_OK;
}


/* Whether a list of revocations has the token. */

static ngx_uint_t
ngx_http_apigw_jwt_listed(ngx_http_apigw_jwt_policy_t *policy,
    ngx_str_t *values)
{
    ngx_str_t  *kid;

    kid = &values[NGX_HTTP_APIGW_JWT_VALUE_KID];

    /* to have no kid would be a way around the list */

    if (policy->revoked_kid && kid->len == 0) {
        return 1;
    }

    return ngx_http_apigw_jwt_lists_have(policy->revoked_kid, kid)
           || ngx_http_apigw_jwt_lists_have(policy->revoked_sub,
                                    &values[NGX_HTTP_APIGW_JWT_VALUE_SUB]);
}


static ngx_uint_t
ngx_http_apigw_jwt_lists_have(ngx_array_t *lists, ngx_str_t *name)
{
    ngx_uint_t                   i;
    ngx_http_apigw_jwt_keys_t  **list;

    if (lists == NULL || name->data == NULL) {
        return 0;
    }

    list = lists->elts;

    for (i = 0; i < lists->nelts; i++) {
        if (json_object_getn(list[i]->revoked, (char *) name->data, name->len))
        {
            return 1;
        }
    }

    return 0;
}


/* Whether one of them cannot be used: nobody knows what is revoked. */

static ngx_uint_t
ngx_http_apigw_jwt_lists_lack(ngx_array_t *lists)
{
    ngx_uint_t                   i;
    ngx_http_apigw_jwt_keys_t  **list;

    if (lists == NULL) {
        return 0;
    }

    list = lists->elts;

    for (i = 0; i < lists->nelts; i++) {
        if (list[i]->revoked == NULL) {
            return 1;
        }
    }

    return 0;
}


/*
 * The whole token, for names that the configuration did not foretell, and to
 * find the place of the keys.
 */

ngx_int_t
ngx_http_apigw_jwt_parse(ngx_http_request_t *r, ngx_http_apigw_jwt_ctx_t *ctx)
{
    const char          *why;
    ngx_apigw_jws_t      jws;
    ngx_pool_cleanup_t  *cln;

    if (ctx->parsed) {
        return NGX_OK;
    }

    if (!ctx->cleanup) {
        cln = ngx_pool_cleanup_add(r->pool, 0);
        if (cln == NULL) {
            return NGX_ERROR;
        }

        cln->handler = ngx_http_apigw_jwt_parse_cleanup;
        cln->data = ctx;

        ctx->cleanup = 1;
    }

    ctx->parsed = 1;

    ngx_memzero(&jws, sizeof(ngx_apigw_jws_t));

    if (ngx_apigw_jws_parse(&jws, ctx->token.data, ctx->token.len)
        == NGX_APIGW_JWS_OK)
    {
        ctx->header = json_incref(jws.header);
        ctx->claims = ngx_apigw_claims_parse(jws.payload.data,
                                             jws.payload.len, &why);
    }

    ngx_apigw_jws_clear(&jws);

    return NGX_OK;
}


static void
ngx_http_apigw_jwt_parse_cleanup(void *data)
{
    ngx_http_apigw_jwt_parse_forget(data);
}


void
ngx_http_apigw_jwt_parse_forget(ngx_http_apigw_jwt_ctx_t *ctx)
{
    json_decref(ctx->header);
    json_decref(ctx->claims);

    ctx->header = NULL;
    ctx->claims = NULL;
    ctx->parsed = 0;
}
