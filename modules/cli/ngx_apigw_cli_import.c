/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>

#include "ngx_apigw_cli_import.h"


typedef struct {
    ngx_apigw_cli_import_t      *im;
    ngx_apigw_cli_import_key_t  *key;
    ngx_apigw_cli_record_t       record;
    u_char                       new_id[NGX_APIGW_CLI_ID_LEN];
    ngx_uint_t                   digests;
} ngx_apigw_cli_import_ctx_t;


typedef const char *(*ngx_apigw_cli_member_pt)(
    ngx_apigw_cli_import_ctx_t *ctx, const char *name, json_t *value);


typedef struct {
    const char                  *name;
    const char                  *field;  /* on the command line */
    ngx_apigw_cli_member_pt      set;
    uint32_t                     given;
} ngx_apigw_cli_member_t;


static void ngx_apigw_cli_import_start(ngx_apigw_cli_import_ctx_t *ctx,
    ngx_apigw_cli_import_t *im, ngx_apigw_cli_import_key_t *key);
static const char *ngx_apigw_cli_import_finish(
    ngx_apigw_cli_import_ctx_t *ctx);
static const char *ngx_apigw_cli_import_member(
    ngx_apigw_cli_import_ctx_t *ctx, const char *name, json_t *value);
static ngx_uint_t ngx_apigw_cli_import_harmless(const char *name);
static void ngx_apigw_cli_import_string(ngx_str_t *text, json_t *value);

static const char *ngx_apigw_cli_member_key(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);
static const char *ngx_apigw_cli_member_sha256(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);
static const char *ngx_apigw_cli_member_text(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);
static const char *ngx_apigw_cli_member_flag(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);
static const char *ngx_apigw_cli_member_list(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);
static const char *ngx_apigw_cli_member_labels(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);
static const char *ngx_apigw_cli_member_burst(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);
static const char *ngx_apigw_cli_member_quotas(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value);

static const char *ngx_apigw_cli_import_clear(ngx_apigw_cli_import_ctx_t *ctx,
    const ngx_str_t *text);
static const char *ngx_apigw_cli_import_digest(ngx_apigw_cli_import_ctx_t *ctx,
    const ngx_str_t *text);

static ngx_uint_t ngx_apigw_cli_csv_is(const ngx_str_t *text,
    const char *name);
static const char *ngx_apigw_cli_csv_record(ngx_apigw_cli_import_ctx_t *ctx,
    ngx_str_t *fields);
static const char *ngx_apigw_cli_csv_plan(ngx_apigw_cli_import_ctx_t *ctx,
    const ngx_str_t *text);
static ngx_uint_t ngx_apigw_cli_csv_map(const ngx_apigw_cli_import_t *im,
    ngx_str_t *id);


static const ngx_apigw_cli_member_t  ngx_apigw_cli_members[] = {
    { "key", NULL, ngx_apigw_cli_member_key, 0 },
    { "sha256", NULL, ngx_apigw_cli_member_sha256, 0 },

    { "id", "id", ngx_apigw_cli_member_text, 0 },
    { "consumer", "consumer", ngx_apigw_cli_member_text, 0 },
    { "plan", "plan", ngx_apigw_cli_member_text,
      NGX_APIGW_CLI_GIVEN_PLAN },
    { "name", "name", ngx_apigw_cli_member_text,
      NGX_APIGW_CLI_GIVEN_NAME },
    { "description", "description", ngx_apigw_cli_member_text,
      NGX_APIGW_CLI_GIVEN_DESCRIPTION },
    { "successor", "successor", ngx_apigw_cli_member_text,
      NGX_APIGW_CLI_GIVEN_SUCCESSOR },
    { "created", "created", ngx_apigw_cli_member_text, 0 },
    { "updated", "updated", ngx_apigw_cli_member_text, 0 },
    { "not_before", "not-before", ngx_apigw_cli_member_text,
      NGX_APIGW_CLI_GIVEN_NOT_BEFORE },
    { "expires", "expires", ngx_apigw_cli_member_text,
      NGX_APIGW_CLI_GIVEN_EXPIRES },
    { "rate", "rate", ngx_apigw_cli_member_text,
      NGX_APIGW_CLI_GIVEN_RATE },

    { "enabled", "enabled", ngx_apigw_cli_member_flag,
      NGX_APIGW_CLI_GIVEN_ENABLED },
    { "decoy", "decoy", ngx_apigw_cli_member_flag,
      NGX_APIGW_CLI_GIVEN_DECOY },

    { "scopes", "scope", ngx_apigw_cli_member_list,
      NGX_APIGW_CLI_GIVEN_SCOPES },
    { "allow", "allow", ngx_apigw_cli_member_list,
      NGX_APIGW_CLI_GIVEN_ALLOW },
    { "labels", NULL, ngx_apigw_cli_member_labels,
      NGX_APIGW_CLI_GIVEN_LABELS },

    { "burst", NULL, ngx_apigw_cli_member_burst,
      NGX_APIGW_CLI_GIVEN_BURST },
    { "quotas", NULL, ngx_apigw_cli_member_quotas,
      NGX_APIGW_CLI_GIVEN_QUOTAS },

    /* what "list --json" tells besides */

    { "status", NULL, NULL, 0 },
    { "first_used", NULL, NULL, 0 },
    { "last_used", NULL, NULL, 0 },
    { "uses", NULL, NULL, 0 },

    { NULL, NULL, NULL, 0 }
};


static const char *const  ngx_apigw_cli_csv_names[] = {
    "name", "key", "sha256", "description", "enabled", "usageplanids", "id",
    "consumer"
};


static const uint32_t  ngx_apigw_cli_csv_given[] = {
    NGX_APIGW_CLI_GIVEN_NAME, 0, 0, NGX_APIGW_CLI_GIVEN_DESCRIPTION,
    NGX_APIGW_CLI_GIVEN_ENABLED, NGX_APIGW_CLI_GIVEN_PLAN, 0, 0
};


/*
 * As RFC 4180 has it, a quote begins a quoted field only where a field
 * begins.
 */

size_t
ngx_apigw_cli_import_line(const u_char *p, const u_char *last, ngx_uint_t csv)
{
    u_char         prev;
    ngx_uint_t     quoted;
    const u_char  *start;

    if (!csv) {
        start = p;
        p = (p == last) ? NULL : memchr(p, '\n', last - p);

        return p ? (size_t) (p - start) + 1 : 0;
    }

    prev = ',';
    quoted = 0;

    for (start = p; p != last; p++) {

        if (*p == '"' && (quoted || prev == ',')) {

            /* two quotes within a field end it and begin it again */

            quoted = !quoted;
            prev = quoted ? '"' : ',';
            continue;
        }

        if (*p == '\n' && !quoted) {
            return p - start + 1;
        }

        prev = *p;
    }

    return 0;
}


ngx_int_t
ngx_apigw_cli_import_json(ngx_apigw_cli_import_t *im, u_char *p, size_t len,
    ngx_apigw_cli_import_key_t *key, char *reason)
{
    size_t                      i;
    json_t                     *object, *value;
    const char                 *name, *wrong;
    json_error_t                error;
    ngx_apigw_cli_import_ctx_t  ctx;

    for (i = 0; i < len; i++) {
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r' && p[i] != '\n') {
            break;
        }
    }

    if (i == len) {
        return NGX_DECLINED;
    }

    object = json_loadb((char *) p, len, JSON_REJECT_DUPLICATES, &error);

    if (object == NULL) {

        /* jansson's text may quote the line, and so the key */

        ngx_memzero(&error, sizeof(json_error_t));

        (void) snprintf(reason, NGX_APIGW_CLI_REASON,
                        "not valid JSON, or a member that is there twice");
        return NGX_ERROR;
    }

    wrong = NULL;
    ngx_apigw_cli_import_start(&ctx, im, key);

    if (!json_is_object(object)) {
        (void) snprintf(reason, NGX_APIGW_CLI_REASON, "not a JSON object");
        json_decref(object);
        return NGX_ERROR;
    }

    json_object_foreach(object, name, value) {

        wrong = ngx_apigw_cli_import_member(&ctx, name, value);

        if (wrong) {
            if (ngx_apigw_cli_import_harmless(name)) {
                (void) snprintf(reason, NGX_APIGW_CLI_REASON, "\"%s\": %s",
                                name, wrong);
            } else {
                (void) snprintf(reason, NGX_APIGW_CLI_REASON, "%s", wrong);
            }

            break;
        }
    }

    if (wrong == NULL) {
        wrong = ngx_apigw_cli_import_finish(&ctx);

        if (wrong) {
            (void) snprintf(reason, NGX_APIGW_CLI_REASON, "%s", wrong);
        }
    }

    json_decref(object);

    return wrong ? NGX_ERROR : NGX_OK;
}


static void
ngx_apigw_cli_import_start(ngx_apigw_cli_import_ctx_t *ctx,
    ngx_apigw_cli_import_t *im, ngx_apigw_cli_import_key_t *key)
{
    ctx->im = im;
    ctx->key = key;
    ctx->digests = 0;

    key->given = 0;
    key->id = 0;
    key->created = 0;

    ngx_apigw_cli_record_init(&ctx->record);
}


static const char *
ngx_apigw_cli_import_finish(ngx_apigw_cli_import_ctx_t *ctx)
{
    ssize_t                      n;
    const char                  *wrong;
    ngx_apigw_key_record_t      *rec;
    ngx_apigw_cli_import_key_t  *key;

    key = ctx->key;
    rec = &ctx->record.rec;

    if (ctx->digests != 1) {
        return ctx->digests ? "\"key\" and \"sha256\" at once"
                            : "no key: \"key\" or \"sha256\" is missing";
    }

    if (rec->consumer.len == 0) {
        return "no consumer";
    }

    if (rec->plan.len == 0) {
        rec->plan = ctx->im->plan;
    }

    if (rec->id.len) {
        key->id = 1;

    } else {
        if (ngx_apigw_cli_record_new_id(ctx->new_id) != NGX_OK) {
            return "the kernel gives no random bytes";
        }

        rec->id.data = ctx->new_id;
        rec->id.len = NGX_APIGW_CLI_ID_LEN;
    }

    if (rec->created) {
        key->created = 1;

    } else {
        rec->created = ctx->im->now;
    }

    if (rec->expires && rec->not_before && rec->expires <= rec->not_before) {
        return "it expires before it becomes valid";
    }

    wrong = ngx_apigw_cli_record_check(rec);

    if (wrong) {
        return wrong;
    }

    n = ngx_apigw_key_record_encode(rec, key->encoded, sizeof(key->encoded));

    if (n == NGX_ERROR) {
        return "too much for one record";
    }

    key->len = n;

    return NULL;
}


static const char *
ngx_apigw_cli_import_member(ngx_apigw_cli_import_ctx_t *ctx, const char *name,
    json_t *value)
{
    const ngx_apigw_cli_member_t  *member;

    for (member = ngx_apigw_cli_members; member->name; member++) {

        if (strcmp(member->name, name) != 0) {
            continue;
        }

        if (member->set == NULL || json_is_null(value)) {
            return NULL;
        }

        ctx->key->given |= member->given;

        return member->set(ctx, member->field, value);
    }

    return "unknown member";
}


/* Who mixes up names and values has a key for a name. */

static ngx_uint_t
ngx_apigw_cli_import_harmless(const char *name)
{
    const char  *p;

    for (p = name; *p; p++) {
        if ((*p < 'a' || *p > 'z') && *p != '_') {
            break;
        }
    }

    return (*p == '\0' && p - name < NGX_APIGW_KEY_MIN)
           || strcmp(name, "sha256") == 0;
}


static void
ngx_apigw_cli_import_string(ngx_str_t *text, json_t *value)
{
    text->data = (u_char *) json_string_value(value);
    text->len = json_string_length(value);
}


static const char *
ngx_apigw_cli_member_key(ngx_apigw_cli_import_ctx_t *ctx, const char *field,
    json_t *value)
{
    ngx_str_t  text;

    if (!json_is_string(value)) {
        return "not a string";
    }

    ngx_apigw_cli_import_string(&text, value);

    return ngx_apigw_cli_import_clear(ctx, &text);
}


static const char *
ngx_apigw_cli_import_clear(ngx_apigw_cli_import_ctx_t *ctx,
    const ngx_str_t *text)
{
    ngx_apigw_cli_import_t  *im;

    im = ctx->im;

    if (text->len < NGX_APIGW_KEY_MIN || text->len > NGX_APIGW_KEY_MAX) {
        return "a key has 16 to 512 bytes";
    }

    if (ngx_apigw_key_check(text->data, text->len, im->prefix.data,
                            im->prefix.len)
        != NGX_OK)
    {
        if (text->len > im->prefix.len
            && ngx_memcmp(text->data, im->prefix.data, im->prefix.len) == 0)
        {
            return "the key begins as ours do, but its checksum is wrong";
        }

        return "the key has other characters than printable ASCII";
    }

    if (ngx_apigw_key_digest(im->hasher, ctx->key->digest, text->data,
                             text->len)
        != NGX_OK)
    {
        return "OpenSSL refuses to make a digest";
    }

    ctx->digests++;

    return NULL;
}


static const char *
ngx_apigw_cli_member_sha256(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value)
{
    ngx_str_t  text;

    if (!json_is_string(value)) {
        return "not a string";
    }

    ngx_apigw_cli_import_string(&text, value);

    return ngx_apigw_cli_import_digest(ctx, &text);
}


static const char *
ngx_apigw_cli_import_digest(ngx_apigw_cli_import_ctx_t *ctx,
    const ngx_str_t *text)
{
    u_char      c, ch;
    ngx_uint_t  i;

    if (text->len != 2 * NGX_APIGW_KEY_DIGEST) {
        return "not 64 hexadecimal digits";
    }

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if (ch >= '0' && ch <= '9') {
            ch = ch - '0';

        } else {
            c = ch | 0x20;

            if (c < 'a' || c > 'f') {
                return "not 64 hexadecimal digits";
            }

            ch = c - 'a' + 10;
        }

        if (i & 1) {
            ctx->key->digest[i / 2] |= ch;

        } else {
            ctx->key->digest[i / 2] = ch << 4;
        }
    }

    ctx->digests++;

    return NULL;
}


static const char *
ngx_apigw_cli_member_text(ngx_apigw_cli_import_ctx_t *ctx, const char *field,
    json_t *value)
{
    ngx_str_t  text;

    if (!json_is_string(value)) {
        return "not a string";
    }

    ngx_apigw_cli_import_string(&text, value);

    return ngx_apigw_cli_record_set(&ctx->record, field, &text, ctx->im->now);
}


static const char *
ngx_apigw_cli_member_flag(ngx_apigw_cli_import_ctx_t *ctx, const char *field,
    json_t *value)
{
    if (!json_is_boolean(value)) {
        return "neither true nor false";
    }

    if (field[0] == 'e') {
        ctx->record.rec.enabled = json_is_true(value);

    } else {
        ctx->record.rec.decoy = json_is_true(value);
    }

    return NULL;
}


static const char *
ngx_apigw_cli_member_list(ngx_apigw_cli_import_ctx_t *ctx, const char *field,
    json_t *value)
{
    size_t       i;
    json_t      *each;
    ngx_str_t    text;
    const char  *wrong;

    if (!json_is_array(value)) {
        return "not an array";
    }

    json_array_foreach(value, i, each) {

        if (!json_is_string(each)) {
            return "not an array of strings";
        }

        ngx_apigw_cli_import_string(&text, each);

        wrong = ngx_apigw_cli_record_set(&ctx->record, field, &text,
                                         ctx->im->now);
        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ngx_apigw_cli_member_labels(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value)
{
    json_t      *each;
    ngx_str_t    label, text;
    const char  *name;

    if (!json_is_object(value)) {
        return "not an object";
    }

    json_object_foreach(value, name, each) {

        if (!json_is_string(each)) {
            return "not an object of strings";
        }

        label.data = (u_char *) name;
        label.len = strlen(name);
        ngx_apigw_cli_import_string(&text, each);

        switch (ngx_apigw_key_label_set(&ctx->record.rec.labels, &label,
                                        &text))
        {
        case NGX_OK:
            break;

        case NGX_DECLINED:
            return "not a label: a name has up to 32 of a-z, 0-9 and \"_\", "
                   "a value up to 255 bytes";

        default:
            return "too many labels";
        }
    }

    return NULL;
}


static const char *
ngx_apigw_cli_member_burst(ngx_apigw_cli_import_ctx_t *ctx, const char *field,
    json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return "not a number";
    }

    if (json_integer_value(value) == 0) {
        return NGX_APIGW_CLI_NO_BURST;
    }

    ctx->record.rec.burst = json_integer_value(value);

    return NULL;
}


static const char *
ngx_apigw_cli_member_quotas(ngx_apigw_cli_import_ctx_t *ctx,
    const char *field, json_t *value)
{
    json_t                  *each;
    const char              *name;
    ngx_apigw_key_period_e   period;

    if (!json_is_object(value)) {
        return "not an object";
    }

    json_object_foreach(value, name, each) {

        period = ngx_apigw_key_period_parse((u_char *) name, strlen(name));

        if (period == 0
            || !json_is_integer(each) || json_integer_value(each) < 1
            || ngx_apigw_key_quota_set(&ctx->record.rec.quotas, period,
                                       json_integer_value(each))
               != NGX_OK)
        {
            return "not quotas such as {\"day\":1000,\"month\":20000}";
        }
    }

    return NULL;
}


ngx_int_t
ngx_apigw_cli_import_csv_split(u_char *p, size_t len, ngx_str_t *fields,
    ngx_uint_t single)
{
    u_char      *last, *w, quote;
    ngx_int_t    n;

    last = p + len;

    if (p != last && last[-1] == '\n') {
        last--;
    }

    if (p != last && last[-1] == '\r') {
        last--;
    }

    for (n = 0; n < NGX_APIGW_CLI_CSV_FIELDS; n++) {

        quote = '\0';

        if (p != last
            && (*p == '"' || (*p == '\'' && single == (ngx_uint_t) n + 1)))
        {
            quote = *p++;
        }

        fields[n].data = p;

        for (w = p; p != last; *w++ = *p++) {

            if (quote) {

                if (*p != quote) {
                    continue;
                }

                if (p + 1 == last || p[1] != quote) {
                    break;
                }

                p++;

            } else if (*p == ',') {
                break;

            } else if (*p == '"') {
                return NGX_ERROR;
            }
        }

        fields[n].len = w - fields[n].data;

        if (quote) {

            if (p == last) {
                return NGX_ERROR;
            }

            p++;
        }

        if (p == last) {
            return n + 1;
        }

        if (*p++ != ',') {
            return NGX_ERROR;
        }
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_apigw_cli_import_csv_head(ngx_apigw_cli_import_t *im, u_char *p,
    size_t len, char *reason)
{
    ngx_int_t   n, i;
    ngx_str_t   fields[NGX_APIGW_CLI_CSV_FIELDS];
    ngx_uint_t  k;

    ngx_memzero(im->columns, sizeof(im->columns));

    n = ngx_apigw_cli_import_csv_split(p, len, fields, 0);

    if (n == NGX_ERROR) {
        (void) snprintf(reason, NGX_APIGW_CLI_REASON,
                        "not a line of CSV (RFC 4180)");
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        for (k = 0; k < NGX_APIGW_CLI_CSV_COLUMNS; k++) {

            if (!ngx_apigw_cli_csv_is(&fields[i], ngx_apigw_cli_csv_names[k]))
            {
                continue;
            }

            if (im->columns[k]) {
                (void) snprintf(reason, NGX_APIGW_CLI_REASON,
                                "the column \"%s\" is there twice",
                                ngx_apigw_cli_csv_names[k]);
                return NGX_ERROR;
            }

            im->columns[k] = i + 1;
        }
    }

    if ((im->columns[NGX_APIGW_CLI_CSV_KEY] == 0
         && im->columns[NGX_APIGW_CLI_CSV_SHA256] == 0)
        || (im->columns[NGX_APIGW_CLI_CSV_NAME] == 0
            && im->columns[NGX_APIGW_CLI_CSV_CONSUMER] == 0))
    {
        (void) snprintf(reason, NGX_APIGW_CLI_REASON,
                        "the first line must name the columns, and among "
                        "them \"name\" and \"key\"");
        return NGX_ERROR;
    }

    im->ncolumns = n;

    return NGX_OK;
}


/* Whatever the case of the letters and blanks around them. */

static ngx_uint_t
ngx_apigw_cli_csv_is(const ngx_str_t *text, const char *name)
{
    u_char         ch;
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p != last && *p == ' ') {
        p++;
    }

    while (last != p && last[-1] == ' ') {
        last--;
    }

    for ( /* void */ ; p != last && *name; p++, name++) {
        ch = (*p >= 'A' && *p <= 'Z') ? (*p | 0x20) : *p;

        if (ch != (u_char) *name) {
            return 0;
        }
    }

    return p == last && *name == '\0';
}


ngx_int_t
ngx_apigw_cli_import_csv(ngx_apigw_cli_import_t *im, u_char *p, size_t len,
    ngx_apigw_cli_import_key_t *key, char *reason)
{
    ngx_int_t                    n;
    ngx_str_t                    fields[NGX_APIGW_CLI_CSV_FIELDS];
    const char                  *wrong;
    ngx_apigw_cli_import_ctx_t   ctx;

    if (len == 0 || p[0] == '\n' || (len == 2 && p[0] == '\r')) {
        return NGX_DECLINED;
    }

    n = ngx_apigw_cli_import_csv_split(p, len, fields,
                                     im->columns[NGX_APIGW_CLI_CSV_PLANS]);
    if (n == NGX_ERROR) {
        (void) snprintf(reason, NGX_APIGW_CLI_REASON,
                        "not a line of CSV (RFC 4180)");
        return NGX_ERROR;
    }

    if ((ngx_uint_t) n != im->ncolumns) {
        (void) snprintf(reason, NGX_APIGW_CLI_REASON,
                        "%d fields where the first line has %d",
                        (int) n, (int) im->ncolumns);
        return NGX_ERROR;
    }

    ngx_apigw_cli_import_start(&ctx, im, key);

    wrong = ngx_apigw_cli_csv_record(&ctx, fields);

    if (wrong == NULL) {
        wrong = ngx_apigw_cli_import_finish(&ctx);
    }

    if (wrong) {
        (void) snprintf(reason, NGX_APIGW_CLI_REASON, "%s", wrong);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static const char *
ngx_apigw_cli_csv_record(ngx_apigw_cli_import_ctx_t *ctx, ngx_str_t *fields)
{
    ngx_str_t                *text;
    const char               *wrong;
    ngx_uint_t                k, *columns;
    ngx_apigw_key_record_t   *rec;

    wrong = NULL;
    columns = ctx->im->columns;
    rec = &ctx->record.rec;

    for (k = 0; k < NGX_APIGW_CLI_CSV_COLUMNS && wrong == NULL; k++) {

        if (columns[k] == 0) {
            continue;
        }

        text = &fields[columns[k] - 1];

        if (text->len == 0) {
            continue;
        }

        ctx->key->given |= ngx_apigw_cli_csv_given[k];

        switch (k) {

        case NGX_APIGW_CLI_CSV_KEY:
            wrong = ngx_apigw_cli_import_clear(ctx, text);
            break;

        case NGX_APIGW_CLI_CSV_SHA256:
            wrong = ngx_apigw_cli_import_digest(ctx, text);
            break;

        case NGX_APIGW_CLI_CSV_ENABLED:
            rec->enabled = ngx_apigw_cli_csv_is(text, "true");

            if (!rec->enabled && !ngx_apigw_cli_csv_is(text, "false")) {
                wrong = "\"enabled\" is neither true nor false";
            }

            break;

        case NGX_APIGW_CLI_CSV_PLANS:
            wrong = ngx_apigw_cli_csv_plan(ctx, text);
            break;

        default:
            wrong = ngx_apigw_cli_record_set(&ctx->record,
                                             ngx_apigw_cli_csv_names[k], text,
                                             ctx->im->now);
        }
    }

    if (rec->consumer.len == 0) {
        rec->consumer = rec->name;
    }

    return wrong;
}


/*
 * AWS API Gateway puts a key into several usage plans, for different stages;
 * a key of ours has one plan.
 */

static const char *
ngx_apigw_cli_csv_plan(ngx_apigw_cli_import_ctx_t *ctx, const ngx_str_t *text)
{
    u_char      *p, *last;
    ngx_str_t    id, *plan;
    ngx_uint_t   unmapped;

    unmapped = 0;
    plan = &ctx->record.rec.plan;
    p = text->data;
    last = p + text->len;

    do {
        while (p != last && *p == ' ') {
            p++;
        }

        id.data = p;

        while (p != last && *p != ',') {
            p++;
        }

        id.len = p - id.data;

        while (id.len && id.data[id.len - 1] == ' ') {
            id.len--;
        }

        if (id.len == 0) {
            continue;
        }

        if (!ngx_apigw_cli_csv_map(ctx->im, &id)) {

            if (ctx->im->nplans) {
                return "a usage plan that no --map-plan names";
            }

            unmapped = 1;
        }

        if (plan->len
            && (plan->len != id.len
                || ngx_memcmp(plan->data, id.data, id.len) != 0))
        {
            return "several usage plans, a key has one here: "
                   "see --map-plan";
        }

        *plan = id;

    } while (p++ != last);

    /* a file with digests is one of ours, and its plans are */

    if (unmapped && ctx->im->columns[NGX_APIGW_CLI_CSV_KEY]) {
        ctx->im->unmapped++;
    }

    return NULL;
}


/* Whether the id of a usage plan, or what it stands for, is in the map. */

static ngx_uint_t
ngx_apigw_cli_csv_map(const ngx_apigw_cli_import_t *im, ngx_str_t *id)
{
    ngx_uint_t                   i;
    const ngx_apigw_cli_plan_t  *plan;

    for (i = 0; i < im->nplans; i++) {
        plan = &im->plans[i];

        if (plan->from.len == id->len
            && ngx_memcmp(plan->from.data, id->data, id->len) == 0)
        {
            *id = plan->to;
            return 1;
        }
    }

    for (i = 0; i < im->nplans; i++) {
        plan = &im->plans[i];

        if (plan->to.len == id->len
            && ngx_memcmp(plan->to.data, id->data, id->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
