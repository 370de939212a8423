/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_claims.h"


#define NGX_APIGW_CLAIMS_DATE_MAX  9007199254740992    /* 2^53 */
#define NGX_APIGW_CLAIMS_NUMBER    40                  /* as text */


/* A text that grows. */

typedef struct {
    u_char                  *data;
    size_t                   len;
    size_t                   size;
} ngx_apigw_claims_buf_t;


typedef struct {
    const char              *name;
    ngx_apigw_claims_op_e    op;
    ngx_uint_t               negated;
} ngx_apigw_claims_name_t;


static ngx_apigw_claims_rc_e ngx_apigw_claims_date(const json_t *claims,
    const char *name, double *date);
static ngx_uint_t ngx_apigw_claims_listed(const json_t *value,
    const ngx_str_t *list, ngx_uint_t n);
static ngx_uint_t ngx_apigw_claims_strings(const json_t *array);
static ngx_uint_t ngx_apigw_claims_has_scope(const json_t *value,
    const ngx_str_t *scope);
static const char *ngx_apigw_claims_step(ngx_apigw_claims_path_t *path,
    u_char *data, size_t len, ngx_int_t index);
static const char *ngx_apigw_claims_quoted(u_char **pos, u_char *last,
    ngx_str_t *name);
static const char *ngx_apigw_claims_bracket(ngx_apigw_claims_path_t *path,
    u_char **pos, u_char *last);
static u_char *ngx_apigw_claims_find(u_char *p, u_char *last,
    const ngx_str_t *what);
static ngx_int_t ngx_apigw_claims_put(ngx_apigw_claims_buf_t *b,
    const json_t *value);
static ngx_int_t ngx_apigw_claims_put_text(ngx_apigw_claims_buf_t *b,
    const void *data, size_t len);
static size_t ngx_apigw_claims_real(char *buf, double n);
static ngx_int_t ngx_apigw_claims_order(ngx_apigw_claims_op_e op,
    const json_t *value, const json_t *expected);
static ngx_uint_t ngx_apigw_claims_in(const json_t *value,
    const json_t *array);
static ngx_int_t ngx_apigw_claims_compare(ngx_apigw_claims_op_e op,
    const json_t *value, const json_t *expected);


static const ngx_apigw_claims_name_t  ngx_apigw_claims_names[] = {
    { "eq", NGX_APIGW_CLAIMS_EQ, 0 },
    { "ne", NGX_APIGW_CLAIMS_EQ, 1 },
    { "gt", NGX_APIGW_CLAIMS_GT, 0 },
    { "ge", NGX_APIGW_CLAIMS_GE, 0 },
    { "lt", NGX_APIGW_CLAIMS_LT, 0 },
    { "le", NGX_APIGW_CLAIMS_LE, 0 },
    { "in", NGX_APIGW_CLAIMS_IN, 0 },
    { "nin", NGX_APIGW_CLAIMS_IN, 1 },
    { "any", NGX_APIGW_CLAIMS_ANY, 0 },
    { "intersect", NGX_APIGW_CLAIMS_ANY, 0 },
    { "nintersect", NGX_APIGW_CLAIMS_ANY, 1 },
    { "match", NGX_APIGW_CLAIMS_MATCH, 0 },
    { NULL, 0, 0 }
};


json_t *
ngx_apigw_claims_parse(const u_char *data, size_t len, const char **why)
{
    json_t        *claims;
    json_error_t   err;

    if (len > NGX_APIGW_CLAIMS_SIZE_MAX) {
        *why = "the claims are too long";
        return NULL;
    }

    claims = json_loadb((const char *) data, len, JSON_REJECT_DUPLICATES,
                        &err);

    if (json_is_object(claims)) {
        return claims;
    }

    json_decref(claims);
    *why = "the claims are no JSON object";

    return NULL;
}


ngx_apigw_claims_rc_e
ngx_apigw_claims_window(const json_t *claims,
    const ngx_apigw_claims_times_t *times, ngx_apigw_claims_window_t *window)
{
    double                 exp, nbf, iat;
    int64_t                limit;
    ngx_apigw_claims_rc_e  exp_rc, nbf_rc, iat_rc;

    window->from = NGX_APIGW_CLAIMS_ALWAYS;
    window->until = NGX_APIGW_CLAIMS_NEVER;

    exp_rc = ngx_apigw_claims_date(claims, "exp", &exp);
    nbf_rc = ngx_apigw_claims_date(claims, "nbf", &nbf);
    iat_rc = ngx_apigw_claims_date(claims, "iat", &iat);

    if (exp_rc == NGX_APIGW_CLAIMS_BAD
        || nbf_rc == NGX_APIGW_CLAIMS_BAD
        || iat_rc == NGX_APIGW_CLAIMS_BAD)
    {
        return NGX_APIGW_CLAIMS_BAD;
    }

    if (exp_rc == NGX_APIGW_CLAIMS_MISSING) {

        if (times->need_exp) {
            return NGX_APIGW_CLAIMS_MISSING;
        }

    } else if (!times->ignore_exp) {
        window->until = (int64_t) exp + times->leeway;
    }

    if (nbf_rc == NGX_APIGW_CLAIMS_OK) {
        window->from = (int64_t) nbf - times->leeway;

        if (nbf > (double) (int64_t) nbf) {
            window->from++;
        }
    }

    if (times->max_age == 0) {
        return NGX_APIGW_CLAIMS_OK;
    }

    if (iat_rc == NGX_APIGW_CLAIMS_MISSING) {
        return NGX_APIGW_CLAIMS_MISSING;
    }

    limit = (int64_t) iat - times->leeway;
    window->from = ngx_max(window->from, limit);

    limit = (int64_t) iat + times->max_age + times->leeway;
    window->until = ngx_min(window->until, limit);

    return NGX_APIGW_CLAIMS_OK;
}


static ngx_apigw_claims_rc_e
ngx_apigw_claims_date(const json_t *claims, const char *name, double *date)
{
    json_t  *value;

    *date = 0;

    value = json_object_get(claims, name);

    if (value == NULL) {
        return NGX_APIGW_CLAIMS_MISSING;
    }

    if (!json_is_number(value)) {
        return NGX_APIGW_CLAIMS_BAD;
    }

    *date = json_number_value(value);

    if (!(*date >= 0 && *date <= (double) NGX_APIGW_CLAIMS_DATE_MAX)
        || json_integer_value(value) > NGX_APIGW_CLAIMS_DATE_MAX)
    {
        return NGX_APIGW_CLAIMS_BAD;
    }

    return NGX_APIGW_CLAIMS_OK;
}


ngx_apigw_claims_rc_e
ngx_apigw_claims_now(const ngx_apigw_claims_window_t *window, time_t now)
{
    if (now >= window->until) {
        return NGX_APIGW_CLAIMS_EXPIRED;
    }

    if (now < window->from) {
        return NGX_APIGW_CLAIMS_EARLY;
    }

    return NGX_APIGW_CLAIMS_OK;
}


ngx_int_t
ngx_apigw_claims_string(const json_t *claims, const char *name,
    ngx_str_t *text)
{
    json_t  *value;

    value = json_object_get(claims, name);

    if (value == NULL) {
        return NGX_DECLINED;
    }

    if (!json_is_string(value)) {
        return NGX_ERROR;
    }

    text->data = (u_char *) json_string_value(value);
    text->len = json_string_length(value);

    return NGX_OK;
}


ngx_int_t
ngx_apigw_claims_audience(const json_t *claims, const char *name,
    const ngx_str_t *list, ngx_uint_t n)
{
    size_t   i;
    json_t  *value, *each;

    value = json_object_get(claims, name);

    if (value == NULL) {
        return NGX_DECLINED;
    }

    if (json_is_string(value)) {
        return ngx_apigw_claims_listed(value, list, n) ? NGX_OK : NGX_DECLINED;
    }

    if (!ngx_apigw_claims_strings(value)) {
        return NGX_ERROR;
    }

    json_array_foreach(value, i, each) {
        if (ngx_apigw_claims_listed(each, list, n)) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_apigw_claims_listed(const json_t *value, const ngx_str_t *list,
    ngx_uint_t n)
{
    size_t       len;
    ngx_uint_t   i;
    const char  *text;

    text = json_string_value(value);
    len = json_string_length(value);

    for (i = 0; i < n; i++) {
        if (list[i].len == len && ngx_memcmp(list[i].data, text, len) == 0) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_apigw_claims_strings(const json_t *array)
{
    size_t   i;
    json_t  *each;

    if (!json_is_array(array)) {
        return 0;
    }

    json_array_foreach(array, i, each) {
        if (!json_is_string(each)) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_apigw_claims_scope(const json_t *claims, const ngx_str_t *list,
    ngx_uint_t n, ngx_uint_t any)
{
    json_t      *value;
    ngx_uint_t   i;

    value = json_object_get(claims, "scope");

    if (value == NULL) {
        value = json_object_get(claims, "scp");
    }

    if (value == NULL) {
        return NGX_DECLINED;
    }

    if (!json_is_string(value) && !ngx_apigw_claims_strings(value)) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (ngx_apigw_claims_has_scope(value, &list[i])) {

            if (any) {
                return NGX_OK;
            }

        } else if (!any) {
            return NGX_DECLINED;
        }
    }

    return any ? NGX_DECLINED : NGX_OK;
}


static ngx_uint_t
ngx_apigw_claims_has_scope(const json_t *value, const ngx_str_t *scope)
{
    size_t       i;
    json_t      *each;
    const char  *p, *last, *end;

    if (json_is_array(value)) {

        json_array_foreach(value, i, each) {
            if (ngx_apigw_claims_listed(each, scope, 1)) {
                return 1;
            }
        }

        return 0;
    }

    p = json_string_value(value);
    last = p + json_string_length(value);

    for ( /* void */ ; p < last; p = end + 1) {
        end = memchr(p, ' ', last - p);

        if (end == NULL) {
            end = last;
        }

        if ((size_t) (end - p) == scope->len
            && ngx_memcmp(p, scope->data, scope->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


json_t *
ngx_apigw_claims_get(const json_t *claims, const ngx_apigw_claims_path_t *path)
{
    json_t                         *value;
    ngx_uint_t                      i;
    const ngx_apigw_claims_step_t  *step;

    value = (json_t *) claims;

    for (i = 0; i < path->n && value; i++) {

        step = &path->steps[i];

        if (step->index >= 0) {
            value = json_array_get(value, step->index);

        } else {
            value = json_object_getn(value, (const char *) step->name.data,
                                     step->name.len);
        }
    }

    return value;
}


const char *
ngx_apigw_claims_path_names(ngx_apigw_claims_path_t *path,
    const ngx_str_t *names, ngx_uint_t n)
{
    ngx_uint_t   i;
    const char  *error;

    path->n = 0;

    for (i = 0; i < n; i++) {
        error = ngx_apigw_claims_step(path, names[i].data, names[i].len, -1);

        if (error) {
            return error;
        }
    }

    return NULL;
}


static const char *
ngx_apigw_claims_step(ngx_apigw_claims_path_t *path, u_char *data, size_t len,
    ngx_int_t index)
{
    ngx_apigw_claims_step_t  *step;

    if (len == 0 && index < 0) {
        return "a name is empty";
    }

    if (path->n == NGX_APIGW_CLAIMS_STEPS_MAX) {
        return "the path is too long";
    }

    step = &path->steps[path->n++];

    step->name.data = data;
    step->name.len = len;
    step->index = index;

    return NULL;
}


const char *
ngx_apigw_claims_path_jq(ngx_apigw_claims_path_t *path, ngx_str_t *text)
{
    u_char      *p, *last, *name;
    ngx_str_t    quoted;
    const char  *error;

    path->n = 0;

    p = text->data;
    last = p + text->len;

    if (p == last || *p != '.') {
        return "the path does not begin with \".\"";
    }

    if (last - p > 1 && p[1] == '[') {
        p++;
    }

    while (p < last) {

        if (*p == '[') {
            error = ngx_apigw_claims_bracket(path, &p, last);

        } else if (*p != '.') {
            return "a \".\" or \"[\" is missing";

        } else if (last - ++p && *p == '"') {
            error = ngx_apigw_claims_quoted(&p, last, &quoted);

            if (error == NULL) {
                error = ngx_apigw_claims_step(path, quoted.data, quoted.len,
                                              -1);
            }

        } else {
            name = p;

            while (p < last && *p != '.' && *p != '[' && *p != ']'
                   && *p != '"')
            {
                p++;
            }

            error = ngx_apigw_claims_step(path, name, p - name, -1);
        }

        if (error) {
            return error;
        }
    }

    return NULL;
}


/* From the quote on; escapes are resolved in place. */

static const char *
ngx_apigw_claims_quoted(u_char **pos, u_char *last, ngx_str_t *name)
{
    u_char  *p, *dst;

    p = *pos + 1;
    dst = p;
    name->data = p;

    for ( /* void */ ; p < last; p++) {

        if (*p == '"') {
            name->len = dst - name->data;
            *pos = p + 1;
            return NULL;
        }

        if (*p == '\\') {

            if (++p == last || (*p != '"' && *p != '\\')) {
                return "an escape other than \\\" and \\\\";
            }
        }

        *dst++ = *p;
    }

    return "a quote is not closed";
}


static const char *
ngx_apigw_claims_bracket(ngx_apigw_claims_path_t *path, u_char **pos,
    u_char *last)
{
    u_char      *p;
    ngx_int_t    index;
    ngx_str_t    name;
    const char  *error;

    p = *pos + 1;
    index = -1;

    ngx_str_null(&name);

    if (p < last && *p == '"') {
        error = ngx_apigw_claims_quoted(&p, last, &name);

        if (error) {
            return error;
        }

    } else {

        for (index = 0; p < last && *p >= '0' && *p <= '9'; p++) {

            if (index > NGX_APIGW_CLAIMS_SIZE_MAX) {
                return "the index is too large";
            }

            index = index * 10 + (*p - '0');
        }

        if (p == *pos + 1) {
            return "neither an index nor a quoted name in \"[]\"";
        }
    }

    if (p == last || *p != ']') {
        return "a \"]\" is missing";
    }

    *pos = p + 1;

    return ngx_apigw_claims_step(path, name.data, name.len, index);
}


const char *
ngx_apigw_claims_path_split(ngx_apigw_claims_path_t *path, ngx_str_t *text,
    const ngx_str_t *delimiter, const ngx_str_t *quote)
{
    u_char      *p, *last, *name, *end;
    const char  *error;

    path->n = 0;

    p = text->data;
    last = p + text->len;

    for ( ;; ) {
        name = p;

        if ((size_t) (last - p) >= quote->len
            && ngx_memcmp(p, quote->data, quote->len) == 0)
        {
            name = p + quote->len;
            end = ngx_apigw_claims_find(name, last, quote);

            if (end == NULL) {
                return "a quote is not closed";
            }

            p = end + quote->len;

            if (p < last
                && ngx_apigw_claims_find(p, last, delimiter) != p)
            {
                return "a quote ends within a name";
            }

        } else {
            end = ngx_apigw_claims_find(p, last, delimiter);

            if (end == NULL) {
                end = last;
            }

            p = end;
        }

        error = ngx_apigw_claims_step(path, name, end - name, -1);

        if (error) {
            return error;
        }

        if (p == last) {
            return NULL;
        }

        p += delimiter->len;
    }
}


static u_char *
ngx_apigw_claims_find(u_char *p, u_char *last, const ngx_str_t *what)
{
    for ( /* void */ ; (size_t) (last - p) >= what->len; p++) {
        if (ngx_memcmp(p, what->data, what->len) == 0) {
            return p;
        }
    }

    return NULL;
}


ngx_int_t
ngx_apigw_claims_text(const json_t *value, ngx_apigw_claims_text_t *text)
{
    size_t                   i;
    json_t                  *each;
    ngx_int_t                rc;
    ngx_apigw_claims_buf_t   b;

    text->memory = NULL;
    ngx_str_null(&text->text);

    if (value == NULL || json_is_null(value)) {
        return NGX_DECLINED;
    }

    if (json_is_string(value)) {
        text->text.data = (u_char *) json_string_value(value);
        text->text.len = json_string_length(value);
        return NGX_OK;
    }

    ngx_memzero(&b, sizeof(ngx_apigw_claims_buf_t));

    if (json_is_array(value)) {
        rc = NGX_OK;

        json_array_foreach(value, i, each) {

            if (i) {
                rc = ngx_apigw_claims_put_text(&b, ",", 1);
            }

            if (rc == NGX_OK) {
                rc = ngx_apigw_claims_put(&b, each);
            }

            if (rc != NGX_OK) {
                break;
            }
        }

    } else {
        rc = ngx_apigw_claims_put(&b, value);
    }

    if (rc != NGX_OK) {
        free(b.data);
        return NGX_ERROR;
    }

    text->memory = b.data;
    text->text.data = b.data ? b.data : (u_char *) "";
    text->text.len = b.len;

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_claims_put(ngx_apigw_claims_buf_t *b, const json_t *value)
{
    char       *dump, buf[NGX_APIGW_CLAIMS_NUMBER];
    size_t      len;
    ngx_int_t   rc;

    switch (json_typeof(value)) {

    case JSON_STRING:
        return ngx_apigw_claims_put_text(b, json_string_value(value),
                                         json_string_length(value));

    case JSON_INTEGER:
        len = snprintf(buf, sizeof(buf), "%" JSON_INTEGER_FORMAT,
                       json_integer_value(value));
        return ngx_apigw_claims_put_text(b, buf, len);

    case JSON_REAL:
        len = ngx_apigw_claims_real(buf, json_real_value(value));
        return ngx_apigw_claims_put_text(b, buf, len);

    default:
        dump = json_dumps(value, JSON_COMPACT|JSON_ENCODE_ANY);

        if (dump == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_apigw_claims_put_text(b, dump, strlen(dump));
        free(dump);

        return rc;
    }
}


static ngx_int_t
ngx_apigw_claims_put_text(ngx_apigw_claims_buf_t *b, const void *data,
    size_t len)
{
    size_t   size;
    u_char  *p;

    if (len == 0) {
        return NGX_OK;
    }

    if (b->data == NULL || len > b->size - b->len) {

        size = b->size ? b->size : 64;

        while (len > size - b->len) {
            size *= 2;
        }

        p = realloc(b->data, size);

        if (p == NULL) {
            return NGX_ERROR;
        }

        b->data = p;
        b->size = size;
    }

    ngx_memcpy(b->data + b->len, data, len);
    b->len += len;

    return NGX_OK;
}


/* The shortest text that is that number again, and not an integer. */

static size_t
ngx_apigw_claims_real(char *buf, double n)
{
    int  digits, len;

    digits = 15;

    do {
        len = snprintf(buf, NGX_APIGW_CLAIMS_NUMBER - 2, "%.*g", digits, n);
    } while (digits++ < 17 && strtod(buf, NULL) != n);

    if (strpbrk(buf, ".e") == NULL) {
        buf[len++] = '.';
        buf[len++] = '0';
    }

    return len;
}


ngx_int_t
ngx_apigw_claims_test_parse(ngx_apigw_claims_test_t *test,
    const ngx_str_t *name)
{
    size_t                          len;
    u_char                         *p;
    ngx_uint_t                      negated;
    const ngx_apigw_claims_name_t  *n;

    p = name->data;
    len = name->len;
    negated = 0;

    if (len && *p == '!') {
        p++;
        len--;
        negated = 1;
    }

    for (n = ngx_apigw_claims_names; n->name; n++) {

        if (strlen(n->name) == len && ngx_memcmp(n->name, p, len) == 0) {
            test->op = n->op;
            test->negated = n->negated ^ negated;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


json_t *
ngx_apigw_claims_expected_json(const u_char *data, size_t len)
{
    json_error_t  err;

    if (len > NGX_APIGW_CLAIMS_EXPECTED) {
        return NULL;
    }

    return json_loadb((const char *) data, len,
                      JSON_DECODE_ANY|JSON_REJECT_DUPLICATES, &err);
}


json_t *
ngx_apigw_claims_expected_string(const u_char *data, size_t len)
{
    if (len > NGX_APIGW_CLAIMS_EXPECTED) {
        return NULL;
    }

    return json_stringn((const char *) data, len);
}


ngx_int_t
ngx_apigw_claims_test(const ngx_apigw_claims_test_t *test,
    const json_t *value, const json_t *expected,
    ngx_apigw_claims_match_pt match, void *data)
{
    ngx_int_t  rc;

    if (value == NULL) {
        return NGX_DECLINED;
    }

    if (test->op == NGX_APIGW_CLAIMS_MATCH) {

        if (!json_is_string(value)) {
            return NGX_DECLINED;
        }

        rc = match(data, (const u_char *) json_string_value(value),
                   json_string_length(value));

    } else {

        if (expected == NULL) {
            return NGX_DECLINED;
        }

        rc = ngx_apigw_claims_compare(test->op, value, expected);
    }

    if (rc == NGX_ERROR) {
        return NGX_DECLINED;
    }

    return ((rc == NGX_OK) == !test->negated) ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_apigw_claims_test_fits(const ngx_apigw_claims_test_t *test,
    const json_t *expected)
{
    switch (test->op) {

    case NGX_APIGW_CLAIMS_EQ:
        return 1;

    case NGX_APIGW_CLAIMS_IN:
        return json_is_array(expected) || json_is_object(expected);

    case NGX_APIGW_CLAIMS_ANY:
        return json_is_array(expected);

    case NGX_APIGW_CLAIMS_MATCH:
        return json_is_string(expected);

    default: /* GT, GE, LT, LE */
        return json_is_number(expected) || json_is_string(expected);
    }
}


/* NGX_OK, NGX_DECLINED, or NGX_ERROR if these cannot be compared. */

static ngx_int_t
ngx_apigw_claims_compare(ngx_apigw_claims_op_e op, const json_t *value,
    const json_t *expected)
{
    size_t       i;
    json_t      *each;
    ngx_uint_t   yes;

    switch (op) {

    case NGX_APIGW_CLAIMS_EQ:
        yes = json_equal(value, expected);
        break;

    case NGX_APIGW_CLAIMS_IN:

        if (json_is_array(expected)) {
            yes = ngx_apigw_claims_in(value, expected);
            break;
        }

        if (!json_is_object(expected) || !json_is_string(value)) {
            return NGX_ERROR;
        }

        yes = json_object_getn(expected, json_string_value(value),
                               json_string_length(value))
              != NULL;
        break;

    case NGX_APIGW_CLAIMS_ANY:

        if (!json_is_array(expected)) {
            return NGX_ERROR;
        }

        if (!json_is_array(value)) {
            yes = ngx_apigw_claims_in(value, expected);
            break;
        }

        yes = 0;

        json_array_foreach(value, i, each) {
            if (ngx_apigw_claims_in(each, expected)) {
                yes = 1;
                break;
            }
        }

        break;

    default:
        return ngx_apigw_claims_order(op, value, expected);
    }

    return yes ? NGX_OK : NGX_DECLINED;
}


static ngx_uint_t
ngx_apigw_claims_in(const json_t *value, const json_t *array)
{
    size_t   i;
    json_t  *each;

    json_array_foreach(array, i, each) {
        if (json_equal(value, each)) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_apigw_claims_order(ngx_apigw_claims_op_e op, const json_t *value,
    const json_t *expected)
{
    int          order;
    double       a, b;
    size_t       n, m;
    json_int_t   x, y;

    if (json_is_integer(value) && json_is_integer(expected)) {
        x = json_integer_value(value);
        y = json_integer_value(expected);
        order = (x > y) - (x < y);

    } else if (json_is_number(value) && json_is_number(expected)) {
        a = json_number_value(value);
        b = json_number_value(expected);
        order = (a > b) - (a < b);

    } else if (json_is_string(value) && json_is_string(expected)) {
        n = json_string_length(value);
        m = json_string_length(expected);

        order = ngx_memcmp(json_string_value(value),
                           json_string_value(expected), ngx_min(n, m));

        if (order == 0) {
            order = (n > m) - (n < m);
        }

    } else {
        return NGX_ERROR;
    }

    switch (op) {

    case NGX_APIGW_CLAIMS_GT:
        return order > 0 ? NGX_OK : NGX_DECLINED;

    case NGX_APIGW_CLAIMS_GE:
        return order >= 0 ? NGX_OK : NGX_DECLINED;

    case NGX_APIGW_CLAIMS_LT:
        return order < 0 ? NGX_OK : NGX_DECLINED;

    default:
        return order <= 0 ? NGX_OK : NGX_DECLINED;
    }
}
