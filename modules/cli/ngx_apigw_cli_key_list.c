/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_key.h"


#define NGX_APIGW_CLI_LIST_BATCH    10000
#define NGX_APIGW_CLI_LIST_COLUMNS  7


typedef struct ngx_apigw_cli_list_s  ngx_apigw_cli_list_t;

typedef void (*ngx_apigw_cli_list_pt)(ngx_apigw_cli_list_t *ls,
    ngx_apigw_key_found_t *found, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_used_t *used);


struct ngx_apigw_cli_list_s {
    ngx_apigw_cli_key_t     *key;
    ngx_apigw_cli_list_pt    write;
    MDB_txn                 *used_txn;
    ngx_uint_t               n;
    ngx_uint_t               unread;
    int                      why;
    u_char                   after_id[NGX_APIGW_KEY_ID_MAX];
    ngx_str_t                after;
    size_t                   widths[NGX_APIGW_CLI_LIST_COLUMNS];
    ngx_str_t                cells[NGX_APIGW_CLI_LIST_COLUMNS];
    ngx_apigw_cli_buf_t      buf;
    unsigned                 filtered:1;
    unsigned                 measure:1;
};


static int ngx_apigw_cli_list_walk(ngx_apigw_cli_list_t *ls);
static int ngx_apigw_cli_list_some(ngx_apigw_cli_list_t *ls, MDB_txn *txn,
    ngx_str_t *consumer);
static int ngx_apigw_cli_list_each(void *data, ngx_apigw_key_found_t *found);
static ngx_uint_t ngx_apigw_cli_list_match(ngx_apigw_cli_list_t *ls,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t *used);
static ngx_uint_t ngx_apigw_cli_list_label(ngx_apigw_key_record_t *rec,
    const ngx_str_t *label);
static ngx_uint_t ngx_apigw_cli_list_is_status(const ngx_str_t *text);
static ngx_uint_t ngx_apigw_cli_key_is(const ngx_str_t *text,
    const char *name);
static void ngx_apigw_cli_list_json(ngx_apigw_cli_list_t *ls,
    ngx_apigw_key_found_t *found, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_used_t *used);
static void ngx_apigw_cli_list_export(ngx_apigw_cli_list_t *ls,
    ngx_apigw_key_found_t *found, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_used_t *used);
static void ngx_apigw_cli_list_csv(ngx_apigw_cli_list_t *ls,
    ngx_apigw_key_found_t *found, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_used_t *used);
static void ngx_apigw_cli_list_csv_field(ngx_apigw_cli_buf_t *b,
    const ngx_str_t *text);
static void ngx_apigw_cli_list_head(ngx_apigw_cli_list_t *ls);
static void ngx_apigw_cli_list_row(ngx_apigw_cli_list_t *ls,
    ngx_apigw_key_found_t *found, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_used_t *used);
static void ngx_apigw_cli_list_cell_time(ngx_str_t *cell, time_t t, char *buf);
static size_t ngx_apigw_cli_list_width(const ngx_str_t *cell);
static void ngx_apigw_cli_list_print(ngx_apigw_cli_list_t *ls);


int
ngx_apigw_cli_key_list(ngx_apigw_cli_t *cli)
{
    int                        rc;
    ngx_apigw_cli_key_t        key;
    ngx_apigw_cli_list_t      *ls;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = cli->conf;

    if (conf->status.len && !ngx_apigw_cli_list_is_status(&conf->status)) {
        return ngx_apigw_cli_usage(cli, "\"--status %.*s\": not active, "
                                   "early, expired, disabled or decoy",
                                   ngx_apigw_cli_str(&conf->status));
    }

    rc = ngx_apigw_cli_key_open(cli, &key, 0);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    ls = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_list_t));
    ngx_memzero(ls, sizeof(ngx_apigw_cli_list_t));

    ls->key = &key;
    ls->filtered = 1;
    ls->write = conf->json ? ngx_apigw_cli_list_json : ngx_apigw_cli_list_row;

    rc = ngx_apigw_cli_key_open_used(&key);

    if (rc == NGX_APIGW_CLI_DONE && !conf->json) {

        /* a walk for the widths of the columns */

        ngx_apigw_cli_list_head(ls);
        ls->measure = 1;

        rc = ngx_apigw_cli_list_walk(ls);

        ls->measure = 0;
        ngx_apigw_cli_list_head(ls);
        ngx_apigw_cli_list_print(ls);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_list_walk(ls);
    }

    ngx_apigw_cli_buf_free(&ls->buf);
    free(ls);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


int
ngx_apigw_cli_key_export(ngx_apigw_cli_t *cli)
{
    int                        rc;
    ngx_apigw_cli_key_t        key;
    ngx_apigw_cli_list_t      *ls;
    ngx_apigw_cli_key_conf_t  *conf;
    ngx_apigw_cli_list_pt      write;

    conf = cli->conf;

    if (conf->format.len == 0
        || ngx_apigw_cli_key_is(&conf->format, "ndjson"))
    {
        write = ngx_apigw_cli_list_export;

    } else if (ngx_apigw_cli_key_is(&conf->format, "csv")) {
        write = ngx_apigw_cli_list_csv;

    } else {
        return ngx_apigw_cli_usage(cli, "\"--format %.*s\": neither ndjson "
                                   "nor csv",
                                   ngx_apigw_cli_str(&conf->format));
    }

    rc = ngx_apigw_cli_key_open(cli, &key, 0);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    ls = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_list_t));
    ngx_memzero(ls, sizeof(ngx_apigw_cli_list_t));

    ls->key = &key;
    ls->write = write;

    if (write == ngx_apigw_cli_list_csv) {
        ngx_apigw_cli_buf_puts(&ls->buf, "name,sha256,description,enabled,"
                               "usageplanIds,id,consumer\r\n");
    }

    rc = ngx_apigw_cli_list_walk(ls);

    ngx_apigw_cli_buf_free(&ls->buf);
    free(ls);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


/*
 * Transactions of a limited number of keys, since an old one keeps the pages
 * that are replaced meanwhile from being used again, and who reads our output
 * may take his time.
 */

static int
ngx_apigw_cli_list_walk(ngx_apigw_cli_list_t *ls)
{
    int                        rc;
    MDB_txn                   *txn;
    ngx_uint_t                 more;
    ngx_apigw_cli_key_t       *key;
    ngx_apigw_cli_key_conf_t  *conf;

    key = ls->key;
    conf = key->conf;

    ls->after.data = ls->after_id;
    ls->after.len = 0;
    ls->unread = 0;

    do {
        ls->n = 0;
        more = 0;

        rc = ngx_apigw_store_read(key->store, &txn);

        if (rc == 0) {
            rc = ngx_apigw_cli_list_some(ls, txn, conf->consumer.len
                                                  ? &conf->consumer : NULL);
            if (!ngx_apigw_store_read_holds(key->store)) {
                rc = NGX_APIGW_STORE_EMOVED;
                ls->buf.len = 0;
            }

            ngx_apigw_store_read_end(key->store);
        }

        if (rc == EAGAIN) {
            more = 1;
            rc = 0;
        }

        if (rc == NGX_APIGW_STORE_EEMPTY) {
            rc = 0;
        }

        if (rc == 0 && ngx_apigw_cli_flush(&ls->buf) != NGX_OK) {
            return NGX_APIGW_CLI_FAILED;
        }

    } while (more);

    if (rc != 0) {
        (void) ngx_apigw_cli_flush(&ls->buf);
        return ngx_apigw_cli_key_failed(key, NULL, rc);
    }

    if (ls->unread && !ls->measure) {
        return ngx_apigw_cli_error("%d keys are left out, they cannot be "
                                   "read: %s", (int) ls->unread,
                                   ngx_apigw_key_store_strerror(ls->why));
    }

    return NGX_APIGW_CLI_DONE;
}


static int
ngx_apigw_cli_list_some(ngx_apigw_cli_list_t *ls, MDB_txn *txn,
    ngx_str_t *consumer)
{
    int                   rc;
    ngx_apigw_cli_key_t  *key;

    key = ls->key;
    ls->used_txn = NULL;

    if (key->used) {
        rc = ngx_apigw_store_read(key->used, &ls->used_txn);

        if (rc == NGX_APIGW_STORE_EEMPTY) {
            ls->used_txn = NULL;

        } else if (rc != 0) {
            return rc;
        }
    }

    rc = ngx_apigw_key_store_each(key->store, txn, consumer,
                                  ls->after.len ? &ls->after : NULL,
                                  ngx_apigw_cli_list_each, ls);

    if (ls->used_txn) {
        ngx_apigw_store_read_end(key->used);
    }

    return rc;
}


static int
ngx_apigw_cli_list_each(void *data, ngx_apigw_key_found_t *found)
{
    ngx_apigw_cli_list_t *ls = data;

    int                      rc;
    ngx_apigw_key_used_t     used, *up;
    ngx_apigw_key_record_t   rec;

    rc = ngx_apigw_key_store_record(found, &rec);

    if (rc != 0) {
        ls->unread++;
        ls->why = rc;
        return 0;
    }

    ngx_memcpy(ls->after_id, rec.id.data, rec.id.len);
    ls->after.len = rec.id.len;

    up = NULL;

    if (ls->used_txn) {
        rc = ngx_apigw_key_used_get(ls->key->used, ls->used_txn, &rec.id,
                                    &used);
        if (rc == 0) {
            up = &used;

        } else if (rc != MDB_NOTFOUND) {
            return rc;
        }
    }

    if (!ls->filtered || ngx_apigw_cli_list_match(ls, &rec, up)) {
        ls->write(ls, found, &rec, up);
    }

    return ++ls->n == NGX_APIGW_CLI_LIST_BATCH ? EAGAIN : 0;
}


static ngx_uint_t
ngx_apigw_cli_list_match(ngx_apigw_cli_list_t *ls, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_used_t *used)
{
    time_t                     now, last;
    const char                *status;
    ngx_apigw_cli_key_conf_t  *conf;

    now = ls->key->cli->now;
    conf = ls->key->conf;

    if (conf->plan.len
        && (conf->plan.len != rec->plan.len
            || ngx_memcmp(conf->plan.data, rec->plan.data, rec->plan.len)
               != 0))
    {
        return 0;
    }

    if (conf->scope.len && !ngx_apigw_key_scope_has(rec, &conf->scope)) {
        return 0;
    }

    if (conf->label.len && !ngx_apigw_cli_list_label(rec, &conf->label)) {
        return 0;
    }

    if (conf->status.len) {
        status = ngx_apigw_cli_record_status(rec, now);

        if (!ngx_apigw_cli_key_is(&conf->status, status)) {
            return 0;
        }
    }

    if (conf->expires_before
        && (rec->expires == 0 || rec->expires >= conf->expires_before))
    {
        return 0;
    }

    if (conf->unused) {

        /* a key that is younger had no time to be used */

        last = used ? (time_t) used->last : rec->created;

        return last <= now - conf->unused;
    }

    return 1;
}


static ngx_uint_t
ngx_apigw_cli_list_label(ngx_apigw_key_record_t *rec, const ngx_str_t *label)
{
    u_char     *eq;
    ngx_str_t   name, value;

    eq = memchr(label->data, '=', label->len);

    name.data = label->data;
    name.len = eq ? (size_t) (eq - label->data) : label->len;

    if (!ngx_apigw_key_label_get(rec, &name, &value)) {
        return 0;
    }

    return eq == NULL
           || (value.len == label->len - name.len - 1
               && ngx_memcmp(value.data, eq + 1, value.len) == 0);
}


static ngx_uint_t
ngx_apigw_cli_list_is_status(const ngx_str_t *text)
{
    return ngx_apigw_cli_key_is(text, "active")
           || ngx_apigw_cli_key_is(text, "early")
           || ngx_apigw_cli_key_is(text, "expired")
           || ngx_apigw_cli_key_is(text, "disabled")
           || ngx_apigw_cli_key_is(text, "decoy");
}


static ngx_uint_t
ngx_apigw_cli_key_is(const ngx_str_t *text, const char *name)
{
    return text->len == strlen(name)
           && memcmp(text->data, name, text->len) == 0;
}


static void
ngx_apigw_cli_list_json(ngx_apigw_cli_list_t *ls, ngx_apigw_key_found_t *found,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t *used)
{
    ngx_apigw_cli_key_json(ls->key, &ls->buf, rec, used, NULL);
}


static void
ngx_apigw_cli_list_export(ngx_apigw_cli_list_t *ls,
    ngx_apigw_key_found_t *found, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_used_t *used)
{
    ngx_apigw_cli_key_json(ls->key, &ls->buf, rec, NULL, found->digest);
}


static void
ngx_apigw_cli_list_csv(ngx_apigw_cli_list_t *ls, ngx_apigw_key_found_t *found,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t *used)
{
    ngx_apigw_cli_buf_t  *b;

    b = &ls->buf;

    ngx_apigw_cli_list_csv_field(b, &rec->name);
    ngx_apigw_cli_buf_literal(b, ",");
    ngx_apigw_cli_buf_hex(b, found->digest, NGX_APIGW_KEY_DIGEST);
    ngx_apigw_cli_buf_literal(b, ",");
    ngx_apigw_cli_list_csv_field(b, &rec->description);
    ngx_apigw_cli_buf_puts(b, rec->enabled ? ",true," : ",false,");
    ngx_apigw_cli_list_csv_field(b, &rec->plan);
    ngx_apigw_cli_buf_literal(b, ",");
    ngx_apigw_cli_list_csv_field(b, &rec->id);
    ngx_apigw_cli_buf_literal(b, ",");
    ngx_apigw_cli_list_csv_field(b, &rec->consumer);
    ngx_apigw_cli_buf_literal(b, "\r\n");
}


static void
ngx_apigw_cli_list_csv_field(ngx_apigw_cli_buf_t *b, const ngx_str_t *text)
{
    size_t      i;
    ngx_uint_t  quote;

    quote = 0;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == '"' || text->data[i] == ','
            || text->data[i] == '\'')
        {
            quote = 1;
        }
    }

    if (!quote) {
        ngx_apigw_cli_buf_add(b, text->data, text->len);
        return;
    }

    ngx_apigw_cli_buf_literal(b, "\"");

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == '"') {
            ngx_apigw_cli_buf_literal(b, "\"");
        }

        ngx_apigw_cli_buf_add(b, text->data + i, 1);
    }

    ngx_apigw_cli_buf_literal(b, "\"");
}


static void
ngx_apigw_cli_list_head(ngx_apigw_cli_list_t *ls)
{
    ngx_uint_t  i;

    static const char *const  names[] = {
        "ID", "CONSUMER", "PLAN", "STATUS", "CREATED", "EXPIRES", "LAST USED"
    };

    for (i = 0; i < NGX_APIGW_CLI_LIST_COLUMNS; i++) {
        ls->cells[i].data = (u_char *) names[i];
        ls->cells[i].len = strlen(names[i]);
        ls->widths[i] = ngx_max(ls->widths[i], ls->cells[i].len);
    }
}


static void
ngx_apigw_cli_list_row(ngx_apigw_cli_list_t *ls, ngx_apigw_key_found_t *found,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t *used)
{
    char        times[3][NGX_APIGW_CLI_TIME_TEXT];
    size_t      width;
    ngx_str_t  *cell;
    ngx_uint_t  i;

    cell = ls->cells;

    cell[0] = rec->id;
    cell[1] = rec->consumer;
    cell[2] = rec->plan;
    cell[3].data = (u_char *) ngx_apigw_cli_record_status(rec,
                                                        ls->key->cli->now);
    cell[3].len = strlen((char *) cell[3].data);

    ngx_apigw_cli_list_cell_time(&cell[4], rec->created, times[0]);
    ngx_apigw_cli_list_cell_time(&cell[5], rec->expires, times[1]);
    ngx_apigw_cli_list_cell_time(&cell[6], used ? (time_t) used->last : 0,
                                 times[2]);

    if (!ls->measure) {
        ngx_apigw_cli_list_print(ls);
        return;
    }

    for (i = 0; i < NGX_APIGW_CLI_LIST_COLUMNS; i++) {
        width = ngx_apigw_cli_list_width(&cell[i]);
        ls->widths[i] = ngx_max(ls->widths[i], width);
    }
}


static void
ngx_apigw_cli_list_cell_time(ngx_str_t *cell, time_t t, char *buf)
{
    buf[0] = '\0';

    if (t) {
        (void) ngx_apigw_cli_time_text(t, buf);
    }

    cell->data = (u_char *) buf;
    cell->len = strlen(buf);
}


/* In characters; wide ones of some languages are not looked at. */

static size_t
ngx_apigw_cli_list_width(const ngx_str_t *cell)
{
    size_t  i, n;

    for (i = 0, n = 0; i < cell->len; i++) {
        n += ((cell->data[i] & 0xc0) != 0x80);
    }

    return n;
}


/* Nothing stands in an empty cell but "-": every line has all columns. */

static void
ngx_apigw_cli_list_print(ngx_apigw_cli_list_t *ls)
{
    size_t      width;
    ngx_str_t  *cell;
    ngx_uint_t  i;

    for (i = 0; i < NGX_APIGW_CLI_LIST_COLUMNS; i++) {
        cell = &ls->cells[i];

        if (cell->len == 0) {
            cell->data = (u_char *) "-";
            cell->len = 1;
        }

        ngx_apigw_cli_buf_add(&ls->buf, cell->data, cell->len);

        if (i == NGX_APIGW_CLI_LIST_COLUMNS - 1) {
            break;
        }

        width = ngx_apigw_cli_list_width(cell);

        do {
            ngx_apigw_cli_buf_literal(&ls->buf, " ");
        } while (width++ <= ls->widths[i]);
    }

    ngx_apigw_cli_buf_literal(&ls->buf, "\n");
}
