/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_audit.h"
#include "ngx_apigw_cli_record.h"


#define NGX_APIGW_CLI_AUDIT_BUFFER  (256 * 1024)


static void ngx_apigw_cli_audit_head(ngx_apigw_cli_audit_t *audit,
    ngx_apigw_cli_t *cli);
static off_t ngx_apigw_cli_audit_whole(ngx_apigw_cli_audit_t *audit,
    off_t size);
static int ngx_apigw_cli_audit_flush(ngx_apigw_cli_audit_t *audit);
static int ngx_apigw_cli_audit_cut(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);


int
ngx_apigw_cli_audit_open(ngx_apigw_cli_audit_t *audit, ngx_apigw_cli_t *cli,
    const char *directory)
{
    int   n;
    char  name[NGX_MAX_PATH];

    ngx_memzero(audit, sizeof(ngx_apigw_cli_audit_t));

    audit->directory = directory;
    audit->fd = -1;

    ngx_apigw_cli_audit_head(audit, cli);

    n = snprintf(name, sizeof(name), "%s/" NGX_APIGW_CLI_AUDIT_FILE,
                 directory);

    if (n < 0 || n >= (int) sizeof(name)) {
        return ENAMETOOLONG;
    }

    audit->fd = open(name, O_RDWR|O_APPEND|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    return audit->fd == -1 ? errno : 0;
}


static void
ngx_apigw_cli_audit_head(ngx_apigw_cli_audit_t *audit, ngx_apigw_cli_t *cli)
{
    ngx_str_t             text;
    ngx_apigw_cli_buf_t  *b;

    b = &audit->head;

    ngx_apigw_cli_buf_literal(b, "{");
    ngx_apigw_cli_json_time(b, "time", cli->now);
    ngx_apigw_cli_json_number(b, "pid", getpid());
    ngx_apigw_cli_json_number(b, "uid", cli->uid);

    if (cli->user) {
        text.data = (u_char *) cli->user;
        text.len = strlen(cli->user);
        ngx_apigw_cli_json_text(b, "user", &text);
    }

    if (cli->sudo) {
        text.data = (u_char *) cli->sudo;
        text.len = strlen(cli->sudo);
        ngx_apigw_cli_json_text(b, "sudo_user", &text);
    }
}


void
ngx_apigw_cli_audit_close(ngx_apigw_cli_audit_t *audit)
{
    if (audit->fd != -1) {
        (void) close(audit->fd);
    }

    ngx_apigw_cli_buf_free(&audit->head);
    ngx_apigw_cli_buf_free(&audit->buf);
}


int
ngx_apigw_cli_audit_begin(ngx_apigw_cli_audit_t *audit, MDB_txn *txn)
{
    off_t        size;
    struct stat  sb;

    audit->failed = 1;
    audit->buf.len = 0;
    audit->txn = mdb_txn_id(txn);

    if (fstat(audit->fd, &sb) == -1) {
        return errno;
    }

    /* what an attempt of ours has left that did not fit in the map */

    if (audit->end && audit->end == sb.st_size) {

        if (ftruncate(audit->fd, audit->start) == -1) {
            return errno;
        }

        sb.st_size = audit->start;
    }

    /*
     * A process that was killed may have left a part of a line: the line of a
     * change that never was, since lines are whole before a change commits.
     */

    size = ngx_apigw_cli_audit_whole(audit, sb.st_size);

    if (size != sb.st_size && ftruncate(audit->fd, size) == -1) {
        return errno;
    }

    audit->start = size;
    audit->end = 0;
    audit->failed = 0;

    return 0;
}


/* The size of the log up to the end of its last whole line. */

static off_t
ngx_apigw_cli_audit_whole(ngx_apigw_cli_audit_t *audit, off_t size)
{
    char     buf[4096];
    off_t    offset;
    ssize_t  n;

    while (size) {
        offset = size - ngx_min(size, (off_t) sizeof(buf));
        n = pread(audit->fd, buf, size - offset, offset);

        if (n != (ssize_t) (size - offset)) {
            break;
        }

        while (n && buf[n - 1] != '\n') {
            n--;
        }

        size = offset + n;

        if (n) {
            break;
        }
    }

    return size;
}


int
ngx_apigw_cli_audit_end(ngx_apigw_cli_audit_t *audit, int rc)
{
    if (rc == 0) {
        rc = ngx_apigw_cli_audit_flush(audit);

        if (rc == 0 && fdatasync(audit->fd) == -1) {
            audit->failed = 1;
            rc = errno;
        }
    }

    if (rc != 0 && audit->end) {
        (void) ftruncate(audit->fd, audit->start);
        audit->end = 0;
    }

    return rc;
}


void
ngx_apigw_cli_audit_keep(ngx_apigw_cli_audit_t *audit)
{
    audit->end = 0;
}


void
ngx_apigw_cli_audit_undo(ngx_apigw_cli_audit_t *audit,
    ngx_apigw_store_t *store)
{
    if (audit->end) {
        (void) ngx_apigw_store_write(store, ngx_apigw_cli_audit_cut, audit);
    }

    if (audit->end) {

        /* the store cannot be locked any more */

        (void) ngx_apigw_cli_audit_cut(store, NULL, audit);
    }
}


/* With the writer lock held if possible; the transaction is to fail. */

static int
ngx_apigw_cli_audit_cut(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_cli_audit_t *audit = data;

    struct stat  sb;

    if (fstat(audit->fd, &sb) == 0 && sb.st_size == audit->end) {
        (void) ftruncate(audit->fd, audit->start);
    }

    audit->end = 0;

    return ECANCELED;
}


int
ngx_apigw_cli_audit_line(ngx_apigw_cli_audit_t *audit, const char *action,
    const ngx_str_t *id, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_record_t *old)
{
    ngx_str_t             text;
    ngx_apigw_cli_buf_t  *b;

    b = &audit->buf;

    ngx_apigw_cli_buf_add(b, audit->head.data, audit->head.len);

    text.data = (u_char *) action;
    text.len = strlen(action);
    ngx_apigw_cli_json_text(b, "action", &text);

    ngx_apigw_cli_json_text(b, "id", id);
    ngx_apigw_cli_json_number(b, "txn", audit->txn);

    if (rec) {
        ngx_apigw_cli_json_name(b, "set");
        ngx_apigw_cli_buf_literal(b, "{");
        ngx_apigw_cli_record_json(b, rec, old);
        ngx_apigw_cli_buf_literal(b, "}");

    } else if (old) {
        ngx_apigw_cli_json_text(b, "consumer", &old->consumer);
    }

    ngx_apigw_cli_buf_literal(b, "}\n");

    return b->len < NGX_APIGW_CLI_AUDIT_BUFFER
           ? 0 : ngx_apigw_cli_audit_flush(audit);
}


static int
ngx_apigw_cli_audit_flush(ngx_apigw_cli_audit_t *audit)
{
    u_char   *p;
    size_t    len;
    ssize_t   n;

    len = audit->buf.len;
    audit->buf.len = 0;

    if (audit->end == 0) {
        audit->end = audit->start;
    }

    for (p = audit->buf.data; len; p += n, len -= n) {

        n = write(audit->fd, p, len);

        if (n == -1) {
            if (errno == EINTR) {
                n = 0;
                continue;
            }

            audit->failed = 1;
            return errno;
        }

        audit->end += n;
    }

    return 0;
}
