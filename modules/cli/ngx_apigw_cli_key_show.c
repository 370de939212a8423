/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_key.h"


static int ngx_apigw_cli_key_read(ngx_apigw_cli_key_t *key, u_char *digest);
static int ngx_apigw_cli_key_tell(ngx_apigw_cli_key_t *key, MDB_txn *txn,
    ngx_apigw_key_found_t *found, ngx_apigw_cli_buf_t *b);
static void ngx_apigw_cli_key_lines(ngx_apigw_cli_key_t *key,
    ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t
    *used);
static void ngx_apigw_cli_key_lists(ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec);
static void ngx_apigw_cli_key_line(ngx_apigw_cli_buf_t *b, const char *name,
    const void *data, size_t len);
static void ngx_apigw_cli_key_line_time(ngx_apigw_cli_buf_t *b,
    const char *name, time_t t);


int
ngx_apigw_cli_key_show(ngx_apigw_cli_t *cli)
{
    int                     rc;
    MDB_txn                *txn;
    ngx_uint_t              i;
    ngx_apigw_cli_buf_t     b;
    ngx_apigw_cli_key_t     key;
    ngx_apigw_key_found_t   found;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    rc = ngx_apigw_cli_key_open(cli, &key, 0);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    rc = ngx_apigw_cli_key_open_used(&key);

    for (i = 0; i < cli->nargs && rc == 0; i++) {

        rc = ngx_apigw_store_read(key.store, &txn);

        if (rc == 0) {
            rc = ngx_apigw_key_store_get_id(key.store, txn, &cli->args[i],
                                            &found);
            if (rc == 0) {
                rc = ngx_apigw_cli_key_tell(&key, txn, &found, &b);
            }

            if (!ngx_apigw_store_read_holds(key.store)) {
                rc = NGX_APIGW_STORE_EMOVED;
                b.len = 0;
            }

            ngx_apigw_store_read_end(key.store);
        }

        if (rc != 0) {
            rc = ngx_apigw_cli_key_failed(&key, &cli->args[i], rc);
        }
    }

    if (ngx_apigw_cli_flush(&b) != NGX_OK) {
        rc = NGX_APIGW_CLI_FAILED;
    }

    ngx_apigw_cli_buf_free(&b);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


int
ngx_apigw_cli_key_find(ngx_apigw_cli_t *cli)
{
    int                     rc;
    u_char                  digest[NGX_APIGW_KEY_DIGEST];
    MDB_txn                *txn;
    ngx_apigw_cli_buf_t     b;
    ngx_apigw_cli_key_t     key;
    ngx_apigw_key_found_t   found;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    rc = ngx_apigw_cli_key_open(cli, &key, 0);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    rc = ngx_apigw_cli_key_open_used(&key);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_key_read(&key, digest);
    }

    if (rc == NGX_APIGW_CLI_DONE) {

        rc = ngx_apigw_store_read(key.store, &txn);

        if (rc == 0) {
            rc = ngx_apigw_key_store_get(key.store, txn, digest, &found);

            if (rc == 0) {
                rc = ngx_apigw_cli_key_tell(&key, txn, &found, &b);
            }

            if (!ngx_apigw_store_read_holds(key.store)) {
                rc = NGX_APIGW_STORE_EMOVED;
                b.len = 0;
            }

            ngx_apigw_store_read_end(key.store);
        }

        if (rc == MDB_NOTFOUND || rc == NGX_APIGW_STORE_EEMPTY) {
            rc = ngx_apigw_cli_error("this key is not in the store");

        } else if (rc != 0) {
            rc = ngx_apigw_cli_key_failed(&key, NULL, rc);
        }
    }

    if (ngx_apigw_cli_flush(&b) != NGX_OK) {
        rc = NGX_APIGW_CLI_FAILED;
    }

    ngx_apigw_cli_buf_free(&b);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


static int
ngx_apigw_cli_key_read(ngx_apigw_cli_key_t *key, u_char *digest)
{
    int      rc;
    u_char   text[NGX_APIGW_KEY_MAX + 2];
    size_t   len;
    ssize_t  n;

    rc = NGX_APIGW_CLI_FAILED;
    len = 0;

    do {
        n = read(STDIN_FILENO, text + len, sizeof(text) - len);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            (void) ngx_apigw_cli_error("cannot read standard input: %s",
                                       strerror(errno));
            goto done;
        }

        len += n;

    } while (n != 0 && len < sizeof(text) && text[len - 1] != '\n');

    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }

    if (ngx_apigw_key_check(text, len, key->prefix.data, key->prefix.len)
        != NGX_OK)
    {
        (void) ngx_apigw_cli_error("this cannot be a key");
        goto done;
    }

    if (ngx_apigw_key_hasher_init(&key->hasher) != NGX_OK
        || ngx_apigw_key_digest(&key->hasher, digest, text, len) != NGX_OK)
    {
        (void) ngx_apigw_cli_error("OpenSSL refuses to make a digest");
        goto done;
    }

    rc = NGX_APIGW_CLI_DONE;

done:

    explicit_bzero(text, sizeof(text));

    return rc;
}


static int
ngx_apigw_cli_key_tell(ngx_apigw_cli_key_t *key, MDB_txn *txn,
    ngx_apigw_key_found_t *found, ngx_apigw_cli_buf_t *b)
{
    int                      rc;
    MDB_txn                 *used_txn;
    ngx_apigw_key_used_t     used, *up;
    ngx_apigw_key_record_t   rec;

    rc = ngx_apigw_key_store_record(found, &rec);

    if (rc != 0) {
        return rc;
    }

    up = NULL;

    if (key->used) {
        rc = ngx_apigw_store_read(key->used, &used_txn);

        if (rc == 0) {
            rc = ngx_apigw_key_used_get(key->used, used_txn, &rec.id, &used);
            up = (rc == 0) ? &used : NULL;

            ngx_apigw_store_read_end(key->used);
        }

        if (rc != 0 && rc != MDB_NOTFOUND && rc != NGX_APIGW_STORE_EEMPTY) {
            return rc;
        }
    }

    if (key->conf->json) {
        ngx_apigw_cli_key_json(key, b, &rec, up, NULL);

    } else {

        if (b->len) {
            ngx_apigw_cli_buf_literal(b, "\n");
        }

        ngx_apigw_cli_key_lines(key, b, &rec, up);
    }

    return 0;
}


void
ngx_apigw_cli_key_json(ngx_apigw_cli_key_t *key, ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t *used,
    const u_char *digest)
{
    ngx_str_t  text;

    ngx_apigw_cli_buf_literal(b, "{");

    ngx_apigw_cli_record_json(b, rec, NULL);

    if (digest) {
        ngx_apigw_cli_json_name(b, "sha256");
        ngx_apigw_cli_buf_literal(b, "\"");
        ngx_apigw_cli_buf_hex(b, digest, NGX_APIGW_KEY_DIGEST);
        ngx_apigw_cli_buf_literal(b, "\"}\n");

        return;
    }

    text.data = (u_char *) ngx_apigw_cli_record_status(rec, key->cli->now);
    text.len = strlen((char *) text.data);
    ngx_apigw_cli_json_text(b, "status", &text);

    if (used) {
        ngx_apigw_cli_json_time(b, "first_used", used->first);
        ngx_apigw_cli_json_time(b, "last_used", used->last);
        ngx_apigw_cli_json_number(b, "uses", used->count);
    }

    ngx_apigw_cli_buf_literal(b, "}\n");
}


static void
ngx_apigw_cli_key_lines(ngx_apigw_cli_key_t *key, ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t *used)
{
    char         buf[NGX_INT64_LEN + NGX_APIGW_CLI_RATE_TEXT];
    const char  *status;

    status = ngx_apigw_cli_record_status(rec, key->cli->now);

    ngx_apigw_cli_key_line(b, "id", rec->id.data, rec->id.len);
    ngx_apigw_cli_key_line(b, "consumer", rec->consumer.data,
                           rec->consumer.len);
    ngx_apigw_cli_key_line(b, "plan", rec->plan.data, rec->plan.len);
    ngx_apigw_cli_key_line(b, "name", rec->name.data, rec->name.len);
    ngx_apigw_cli_key_line(b, "description", rec->description.data,
                           rec->description.len);
    ngx_apigw_cli_key_line(b, "status", status, strlen(status));

    ngx_apigw_cli_key_line_time(b, "created", rec->created);
    ngx_apigw_cli_key_line_time(b, "updated", rec->updated);
    ngx_apigw_cli_key_line_time(b, "not before", rec->not_before);
    ngx_apigw_cli_key_line_time(b, "expires", rec->expires);
    ngx_apigw_cli_key_line(b, "successor", rec->successor.data,
                           rec->successor.len);

    ngx_apigw_cli_key_lists(b, rec);

    if (rec->rate) {
        (void) ngx_apigw_cli_rate_text(rec, buf);
        ngx_apigw_cli_key_line(b, "rate", buf, strlen(buf));
    }

    if (rec->burst != -1) {
        ngx_apigw_cli_key_line(b, "burst", buf,
                               snprintf(buf, sizeof(buf), "%lld",
                                        (long long) rec->burst));
    }

    if (used) {
        ngx_apigw_cli_key_line_time(b, "first used", used->first);
        ngx_apigw_cli_key_line_time(b, "last used", used->last);
        ngx_apigw_cli_key_line(b, "uses", buf,
                               snprintf(buf, sizeof(buf), "%llu",
                                        (unsigned long long) used->count));
    }
}


static void
ngx_apigw_cli_key_lists(ngx_apigw_cli_buf_t *b, ngx_apigw_key_record_t *rec)
{
    size_t                  pos;
    u_char                  cidr_text[NGX_APIGW_KEY_CIDR_TEXT];
    int64_t                 limit;
    ngx_str_t               name, value;
    ngx_apigw_cli_buf_t     line;
    ngx_apigw_key_cidr_t    cidr;
    ngx_apigw_key_period_e  period;

    ngx_memzero(&line, sizeof(ngx_apigw_cli_buf_t));

    pos = 0;
    while (ngx_apigw_key_scope_next(rec, &pos, &name)) {
        ngx_apigw_cli_key_line(b, "scope", name.data, name.len);
    }

    pos = 0;
    while (ngx_apigw_key_label_next(rec, &pos, &name, &value)) {
        line.len = 0;
        ngx_apigw_cli_buf_add(&line, name.data, name.len);
        ngx_apigw_cli_buf_literal(&line, "=");
        ngx_apigw_cli_buf_add(&line, value.data, value.len);
        ngx_apigw_cli_key_line(b, "label", line.data, line.len);
    }

    pos = 0;
    while (ngx_apigw_key_cidr_next(rec, &pos, &cidr)) {
        ngx_apigw_cli_key_line(b, "allow", cidr_text,
                               ngx_apigw_key_cidr_text(&cidr, cidr_text));
    }

    pos = 0;
    while (ngx_apigw_key_quota_next(rec, &pos, &period, &limit)) {
        line.len = 0;
        ngx_apigw_cli_buf_number(&line, limit);
        ngx_apigw_cli_buf_literal(&line, "/");
        ngx_apigw_cli_buf_puts(&line, ngx_apigw_key_period_name(period));
        ngx_apigw_cli_key_line(b, "quota", line.data, line.len);
    }

    ngx_apigw_cli_buf_free(&line);
}


static void
ngx_apigw_cli_key_line(ngx_apigw_cli_buf_t *b, const char *name,
    const void *data, size_t len)
{
    char  head[32];

    if (len == 0) {
        return;
    }

    ngx_apigw_cli_buf_add(b, head, snprintf(head, sizeof(head), "%s:%*s", name,
                                            (int) (13 - strlen(name)), ""));
    ngx_apigw_cli_buf_add(b, data, len);
    ngx_apigw_cli_buf_literal(b, "\n");
}


static void
ngx_apigw_cli_key_line_time(ngx_apigw_cli_buf_t *b, const char *name, time_t t)
{
    char  buf[NGX_APIGW_CLI_TIME_TEXT];

    if (t) {
        (void) ngx_apigw_cli_time_text(t, buf);
        ngx_apigw_cli_key_line(b, name, buf, strlen(buf));
    }
}
