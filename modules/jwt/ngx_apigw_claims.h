/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLAIMS_H_INCLUDED_
#define _NGX_APIGW_CLAIMS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>


/*
 * What a verified token says (RFC 7519): times, audience, scopes, values by
 * path, and the comparisons of auth_jwt_require_claim.
 *
 * Claims are the json_t object of ngx_apigw_claims_parse(), to be dropped by
 * json_decref().  The functions work for a JOSE header as well.
 *
 * Uses nothing of nginx but its types; memory is malloc()'s and jansson's.
 */


#define NGX_APIGW_CLAIMS_SIZE_MAX   65536
#define NGX_APIGW_CLAIMS_STEPS_MAX  16
#define NGX_APIGW_CLAIMS_EXPECTED   4096    /* bytes of what is compared to */

#define NGX_APIGW_CLAIMS_NEVER      INT64_MAX
#define NGX_APIGW_CLAIMS_ALWAYS     INT64_MIN


/* What is wrong with claims. */

typedef enum {
    NGX_APIGW_CLAIMS_OK = 0,
    NGX_APIGW_CLAIMS_BAD,          /* of a type or a size that cannot be */
    NGX_APIGW_CLAIMS_MISSING,      /* "exp" or "iat", where it is required */
    NGX_APIGW_CLAIMS_EXPIRED,      /* too late, or older than max_age */
    NGX_APIGW_CLAIMS_EARLY         /* not yet */
} ngx_apigw_claims_rc_e;


/*
 * "exp", "nbf" and "iat" are 0 to 2^53 and may have a fraction.  A token is
 * good as long as from <= now < until: whole seconds, rounded so that it is
 * never good too long, with the leeway in them.  So a window can be kept
 * beside the verdict and be looked at again at each use.
 */

typedef struct {
    int64_t                  from;       /* NGX_APIGW_CLAIMS_ALWAYS */
    int64_t                  until;      /* NGX_APIGW_CLAIMS_NEVER */
} ngx_apigw_claims_window_t;


typedef struct {
    time_t                   leeway;
    time_t                   max_age;      /* since "iat", which is required
                                              then; 0: any */
    unsigned                 need_exp:1;
    unsigned                 ignore_exp:1; /* auth_jwt_validate_exp off; its
                                              type is checked nevertheless */
} ngx_apigw_claims_times_t;


/* A way from the root to a value: members by name and elements by index. */

typedef struct {
    ngx_str_t                name;
    ngx_int_t                index;      /* -1: by name */
} ngx_apigw_claims_step_t;


typedef struct {
    ngx_apigw_claims_step_t  steps[NGX_APIGW_CLAIMS_STEPS_MAX];
    ngx_uint_t               n;
} ngx_apigw_claims_path_t;


/* A value as text; what is in memory, if anything, is the caller's to free. */

typedef struct {
    ngx_str_t                text;
    void                    *memory;
} ngx_apigw_claims_text_t;


/*
 * Operators.  Every requirement needs the claim: without it, or if the types
 * do not fit (a number less than a string, "in" of no array), the requirement
 * is not met, whether negated or not.
 *
 *     eq        equal; 1, 1.0 and "1" are not
 *     gt ge lt le   numbers, or strings byte by byte
 *     in        the value is an element of the expected array
 *     any       the value, or an element of it if it is an array, is an
 *               element of the expected array
 *     match     the value is a string that the regular expression matches
 *
 * and the names "ne", "nin", "intersect", "nintersect" for !eq, !in, any and
 * !any.
 */

typedef enum {
    NGX_APIGW_CLAIMS_EQ = 1,
    NGX_APIGW_CLAIMS_GT,
    NGX_APIGW_CLAIMS_GE,
    NGX_APIGW_CLAIMS_LT,
    NGX_APIGW_CLAIMS_LE,
    NGX_APIGW_CLAIMS_IN,
    NGX_APIGW_CLAIMS_ANY,
    NGX_APIGW_CLAIMS_MATCH
} ngx_apigw_claims_op_e;


typedef struct {
    ngx_apigw_claims_op_e    op;
    ngx_uint_t               negated;
} ngx_apigw_claims_test_t;


/* Returns NGX_OK if it matches, NGX_DECLINED if not, NGX_ERROR. */

typedef ngx_int_t (*ngx_apigw_claims_match_pt)(void *data,
    const u_char *text, size_t len);


#pragma GCC visibility push(hidden)


/*
 * The object of a payload, or NULL: no JSON object, duplicate members, larger
 * than NGX_APIGW_CLAIMS_SIZE_MAX.  *why is a text for the log then.
 */

json_t *ngx_apigw_claims_parse(const u_char *data, size_t len,
    const char **why);


/*
 * The types of "exp", "nbf" and "iat", and the time in which they are good.
 * OK, BAD or MISSING.
 */

ngx_apigw_claims_rc_e ngx_apigw_claims_window(const json_t *claims,
    const ngx_apigw_claims_times_t *times, ngx_apigw_claims_window_t *window);

/* OK, EXPIRED or EARLY. */

ngx_apigw_claims_rc_e ngx_apigw_claims_now(
    const ngx_apigw_claims_window_t *window, time_t now);


/*
 * A member that must be a string: NGX_OK, NGX_DECLINED if there is none,
 * NGX_ERROR if it is something else.  The text is within claims.
 */

ngx_int_t ngx_apigw_claims_string(const json_t *claims, const char *name,
    ngx_str_t *text);


/*
 * Whether the member, a string or an array of strings, has one of the n texts
 * of the list: "aud".  NGX_OK, NGX_DECLINED, NGX_ERROR if it is of another
 * type.
 */

ngx_int_t ngx_apigw_claims_audience(const json_t *claims, const char *name,
    const ngx_str_t *list, ngx_uint_t n);


/*
 * Whether all n scopes, or any of them, were given: in "scope", a string with
 * spaces or an array of strings, or if there is no such member in "scp".
 * NGX_OK, NGX_DECLINED, NGX_ERROR if it is of another type.
 */

ngx_int_t ngx_apigw_claims_scope(const json_t *claims, const ngx_str_t *list,
    ngx_uint_t n, ngx_uint_t any);


/* The value at the end of the path, or NULL. */

json_t *ngx_apigw_claims_get(const json_t *claims,
    const ngx_apigw_claims_path_t *path);


/*
 * Paths.  Names point into the texts, which the second and the third change:
 * escapes are resolved in place.  NULL or what is wrong.
 *
 *     _names   one name after the other, as auth_jwt_claim_set has them
 *     _jq      .a.b  ."a.b"  .a[0]  .a["b"]
 *     _split   as auth_jwt_allow_nested: a.b, "a.b".c, with its delimiter
 *              and quote, which are not empty
 */

const char *ngx_apigw_claims_path_names(ngx_apigw_claims_path_t *path,
    const ngx_str_t *names, ngx_uint_t n);
const char *ngx_apigw_claims_path_jq(ngx_apigw_claims_path_t *path,
    ngx_str_t *text);
const char *ngx_apigw_claims_path_split(ngx_apigw_claims_path_t *path,
    ngx_str_t *text, const ngx_str_t *delimiter, const ngx_str_t *quote);


/*
 * A value as a variable has it: a string as it is, a number in decimal, true
 * and false by name, an array as the texts of its elements joined by commas,
 * an object, and an array or object in an array, as compact JSON.  NGX_OK,
 * NGX_DECLINED if value is NULL or null, NGX_ERROR without memory.
 */

ngx_int_t ngx_apigw_claims_text(const json_t *value,
    ngx_apigw_claims_text_t *text);


/* "eq", "!eq", "ne", ...; NGX_ERROR if there is no such operator. */

ngx_int_t ngx_apigw_claims_test_parse(ngx_apigw_claims_test_t *test,
    const ngx_str_t *name);


/*
 * What is compared to: any JSON value of at most NGX_APIGW_CLAIMS_EXPECTED
 * bytes, or a string as it is.  NULL if it is no JSON, or too large.
 */

json_t *ngx_apigw_claims_expected_json(const u_char *data, size_t len);
json_t *ngx_apigw_claims_expected_string(const u_char *data, size_t len);


/* Whether there are values that can be compared to this one. */

ngx_uint_t ngx_apigw_claims_test_fits(const ngx_apigw_claims_test_t *test,
    const json_t *expected);


/*
 * NGX_OK if the requirement is met, NGX_DECLINED if not.  For "match" expected
 * is not used, and match() is called instead.
 */

ngx_int_t ngx_apigw_claims_test(const ngx_apigw_claims_test_t *test,
    const json_t *value, const json_t *expected,
    ngx_apigw_claims_match_pt match, void *data);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLAIMS_H_INCLUDED_ */
