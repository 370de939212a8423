/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_audit.h"
#include "ngx_apigw_cli_token.h"


#define NGX_APIGW_CLI_PATIENCE        1     /* second, then who waits says so */
#define NGX_APIGW_CLI_TOKEN_COLUMNS   4


typedef struct {
    ngx_apigw_cli_t                   *cli;
    ngx_apigw_cli_token_conf_t        *conf;
    char                              *directory;
    ngx_apigw_store_t                 *store;
    ngx_apigw_cli_audit_t              audit;
    const char                        *action;
    const ngx_apigw_jwt_revocation_t  *at;     /* the one being changed */
    ngx_apigw_store_write_pt           write;
} ngx_apigw_cli_revoke_t;


typedef struct {
    ngx_apigw_cli_t                   *cli;
    ngx_apigw_cli_buf_t                buf;
    size_t                             widths[NGX_APIGW_CLI_TOKEN_COLUMNS];
    unsigned                           json:1;
    unsigned                           measure:1;
} ngx_apigw_cli_revocations_t;


static const char *ngx_apigw_cli_token_set_value(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
static const char *ngx_apigw_cli_token_by(ngx_apigw_jwt_by_e by);
static int ngx_apigw_cli_token_change(ngx_apigw_cli_t *cli,
    const char *action, ngx_apigw_store_write_pt write, const char *done);
static int ngx_apigw_cli_token_open(ngx_apigw_cli_t *cli,
    ngx_apigw_cli_revoke_t *rv, ngx_uint_t change);
static void ngx_apigw_cli_token_close(ngx_apigw_cli_revoke_t *rv);
static int ngx_apigw_cli_token_begun(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static void ngx_apigw_cli_token_waiting(int signo);
static int ngx_apigw_cli_token_put(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static int ngx_apigw_cli_token_remove(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static void ngx_apigw_cli_token_audit(ngx_apigw_cli_revoke_t *rv,
    const ngx_apigw_jwt_revocation_t *now,
    const ngx_apigw_jwt_revocation_t *old);
static int ngx_apigw_cli_token_failed(ngx_apigw_cli_revoke_t *rv, int rc);
static int ngx_apigw_cli_token_list(ngx_apigw_cli_revocations_t *ls,
    ngx_apigw_store_t *store);
static int ngx_apigw_cli_token_each(void *data,
    const ngx_apigw_jwt_revocation_t *revocation);
static void ngx_apigw_cli_token_json(ngx_apigw_cli_revocations_t *ls,
    const ngx_apigw_jwt_revocation_t *revocation);
static void ngx_apigw_cli_token_row(ngx_apigw_cli_revocations_t *ls,
    const ngx_str_t *cells);


#define ngx_apigw_cli_token_option_store                                      \
    { "store", "DIR", "the directory of the store, that of\n"                 \
                      "auth_jwt_zone; default: $APIGW_STORE",                 \
      ngx_apigw_cli_set_string, ngx_apigw_cli_token_offset(store) }

#define ngx_apigw_cli_token_options_by                                        \
    { "jti", "ID", "the token with this id; may be repeated, as may the\n"    \
                   "others",                                                  \
      ngx_apigw_cli_token_set_value, NGX_APIGW_JWT_BY_JTI },                  \
    { "sub", "SUBJECT", "all tokens of this subject",                         \
      ngx_apigw_cli_token_set_value, NGX_APIGW_JWT_BY_SUB },                  \
    { "kid", "ID", "all tokens that were signed by this key",                 \
      ngx_apigw_cli_token_set_value, NGX_APIGW_JWT_BY_KID }


const ngx_apigw_cli_option_t  ngx_apigw_cli_token_revoke_options[] = {
    ngx_apigw_cli_token_option_store,
    ngx_apigw_cli_token_options_by,
    { "until", "TIME", "when the revocation ends by itself, for instance\n"
                       "when the token does: 2030-12-31, 12h; default: never",
      ngx_apigw_cli_set_time, ngx_apigw_cli_token_offset(until) },
    ngx_apigw_cli_options_end
};


const ngx_apigw_cli_option_t  ngx_apigw_cli_token_unrevoke_options[] = {
    ngx_apigw_cli_token_option_store,
    ngx_apigw_cli_token_options_by,
    ngx_apigw_cli_options_end
};


const ngx_apigw_cli_option_t  ngx_apigw_cli_token_revocations_options[] = {
    ngx_apigw_cli_token_option_store,
    { "json", NULL, "one JSON object a line",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_token_offset(json) },
    ngx_apigw_cli_options_end
};


static const char *
ngx_apigw_cli_token_set_value(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    ngx_apigw_cli_token_conf_t  *conf;
    ngx_apigw_jwt_revocation_t  *revocation;

    conf = cli->conf;

    if (value->len == 0) {
        return "the value is empty";
    }

    if (value->len > NGX_APIGW_JWT_REVOCATION_MAX) {
        return "longer than 1024 bytes";
    }

    if (!ngx_apigw_cli_printable(value)) {
        return "not printable UTF-8";
    }

    if (conf->nrevocations == NGX_APIGW_CLI_REVOCATIONS) {
        return "too many options";
    }

    revocation = &conf->revocations[conf->nrevocations++];

    revocation->by = (ngx_apigw_jwt_by_e) option->offset;
    revocation->value = *value;
    revocation->made = cli->now;

    return NULL;
}


static const char *
ngx_apigw_cli_token_by(ngx_apigw_jwt_by_e by)
{
    switch (by) {

    case NGX_APIGW_JWT_BY_JTI:
        return "jti";

    case NGX_APIGW_JWT_BY_SUB:
        return "sub";

    default:
        return "kid";
    }
}


int
ngx_apigw_cli_token_revoke(ngx_apigw_cli_t *cli)
{
    ngx_apigw_cli_token_conf_t  *conf;

    conf = cli->conf;

    if (conf->until && conf->until <= cli->now) {
        return ngx_apigw_cli_usage(cli, "--until is in the past");
    }

    return ngx_apigw_cli_token_change(cli, "revoke",
                                      ngx_apigw_cli_token_put, "revoked");
}


int
ngx_apigw_cli_token_unrevoke(ngx_apigw_cli_t *cli)
{
    return ngx_apigw_cli_token_change(cli, "unrevoke",
                                      ngx_apigw_cli_token_remove,
                                      "no longer revoked:");
}


static int
ngx_apigw_cli_token_change(ngx_apigw_cli_t *cli, const char *action,
    ngx_apigw_store_write_pt write, const char *done)
{
    int                          rc;
    ngx_uint_t                   i;
    ngx_apigw_cli_revoke_t       rv;
    ngx_apigw_cli_token_conf_t  *conf;
    ngx_apigw_jwt_revocation_t  *revocation;

    conf = cli->conf;

    if (conf->nrevocations == 0) {
        return ngx_apigw_cli_usage(cli, "--jti, --sub or --kid is missing");
    }

    rc = ngx_apigw_cli_token_open(cli, &rv, 1);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    rv.action = action;
    rv.write = write;

    /* LMDB waits without a word and without an end */

    (void) signal(SIGALRM, ngx_apigw_cli_token_waiting);
    (void) alarm(NGX_APIGW_CLI_PATIENCE);

    rc = ngx_apigw_store_write(rv.store, ngx_apigw_cli_token_begun, &rv);

    (void) alarm(0);

    if (rc != 0) {
        ngx_apigw_cli_audit_undo(&rv.audit, rv.store);
        rc = ngx_apigw_cli_token_failed(&rv, rc);
        ngx_apigw_cli_token_close(&rv);

        return rc;
    }

    ngx_apigw_cli_audit_keep(&rv.audit);
    ngx_apigw_cli_token_close(&rv);

    for (i = 0; i < conf->nrevocations; i++) {
        revocation = &conf->revocations[i];

        ngx_apigw_cli_note("%s %s \"%.*s\"", done,
                           ngx_apigw_cli_token_by(revocation->by),
                           ngx_apigw_cli_str(&revocation->value));
    }

    return NGX_APIGW_CLI_DONE;
}


static int
ngx_apigw_cli_token_open(ngx_apigw_cli_t *cli, ngx_apigw_cli_revoke_t *rv,
    ngx_uint_t change)
{
    int  rc;

    ngx_memzero(rv, sizeof(ngx_apigw_cli_revoke_t));

    rv->cli = cli;
    rv->conf = cli->conf;
    rv->audit.fd = -1;

    rv->directory = ngx_apigw_cli_store(cli, &rv->conf->store);

    if (rv->directory == NULL) {
        return NGX_APIGW_CLI_USAGE;
    }

    rc = ngx_apigw_store_become_owner(rv->directory);

    if (rc == 0) {
        rc = ngx_apigw_store_open(&rv->store, rv->directory,
                                  &ngx_apigw_jwt_store_kind);
    }

    if (rc == 0 && change && ngx_apigw_store_read_only(rv->store)) {
        ngx_apigw_store_close(rv->store);
        rc = EROFS;
    }

    if (rc == ENOENT) {
        return ngx_apigw_cli_error("there is no directory \"%s\" (nginx makes "
                                   "it when it starts)", rv->directory);
    }

    if (rc == EACCES || rc == EPERM) {
        return ngx_apigw_cli_error("cannot open the store \"%s\": %s (%s)",
                                   rv->directory, strerror(rc),
                                   ngx_apigw_cli_denied(cli));
    }

    if (rc != 0) {
        return ngx_apigw_cli_error("cannot open the store \"%s\": %s",
                                   rv->directory,
                                   ngx_apigw_jwt_store_strerror(rc));
    }

    if (!change) {
        return NGX_APIGW_CLI_DONE;
    }

    rc = ngx_apigw_cli_audit_open(&rv->audit, cli, rv->directory);

    if (rc != 0) {
        rc = ngx_apigw_cli_error("cannot open \"%s/" NGX_APIGW_CLI_AUDIT_FILE
                                 "\": %s", rv->directory, strerror(rc));
        ngx_apigw_cli_token_close(rv);
        return rc;
    }

    return NGX_APIGW_CLI_DONE;
}


static void
ngx_apigw_cli_token_close(ngx_apigw_cli_revoke_t *rv)
{
    ngx_apigw_cli_audit_close(&rv->audit);
    ngx_apigw_store_close(rv->store);
}


static int
ngx_apigw_cli_token_begun(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_cli_revoke_t *rv = data;

    int  rc;

    (void) alarm(0);

    rv->at = NULL;

    rc = ngx_apigw_cli_audit_begin(&rv->audit, txn);

    if (rc == 0) {
        rc = rv->write(store, txn, rv);
    }

    return ngx_apigw_cli_audit_end(&rv->audit, rc);
}


static void
ngx_apigw_cli_token_waiting(int signo)
{
    static const char  text[] = "apigw: another process is changing the "
                                "store, waiting for it\n";

    (void) write(STDERR_FILENO, text, sizeof(text) - 1);
}


static int
ngx_apigw_cli_token_put(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_cli_revoke_t *rv = data;

    int                          rc;
    ngx_uint_t                   i;
    ngx_apigw_jwt_revocation_t  *now, old;

    for (i = 0; i < rv->conf->nrevocations; i++) {

        now = &rv->conf->revocations[i];
        now->until = rv->conf->until;
        rv->at = now;

        rc = ngx_apigw_jwt_store_get(store, txn, now->by, &now->value, &old);

        /* one that cannot be read is replaced */

        ngx_apigw_cli_token_audit(rv, now, rc == 0 ? &old : NULL);

        rc = ngx_apigw_jwt_store_put(store, txn, now);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


static int
ngx_apigw_cli_token_remove(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_cli_revoke_t *rv = data;

    int                          rc;
    ngx_uint_t                   i;
    ngx_apigw_jwt_revocation_t  *now, old;

    for (i = 0; i < rv->conf->nrevocations; i++) {

        now = &rv->conf->revocations[i];
        rv->at = now;

        rc = ngx_apigw_jwt_store_get(store, txn, now->by, &now->value, &old);

        if (rc == MDB_NOTFOUND) {
            return rc;
        }

        ngx_apigw_cli_token_audit(rv, NULL, rc == 0 ? &old : NULL);

        rc = ngx_apigw_jwt_store_delete(store, txn, now->by, &now->value);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


/* The lines are written by ngx_apigw_cli_audit_end(). */

static void
ngx_apigw_cli_token_audit(ngx_apigw_cli_revoke_t *rv,
    const ngx_apigw_jwt_revocation_t *now,
    const ngx_apigw_jwt_revocation_t *old)
{
    ngx_str_t             text;
    ngx_apigw_cli_buf_t  *b;

    b = &rv->audit.buf;

    ngx_apigw_cli_buf_add(b, rv->audit.head.data, rv->audit.head.len);

    text.data = (u_char *) rv->action;
    text.len = strlen(rv->action);
    ngx_apigw_cli_json_text(b, "action", &text);

    ngx_apigw_cli_json_text(b, ngx_apigw_cli_token_by(rv->at->by),
                            &rv->at->value);
    ngx_apigw_cli_json_number(b, "txn", rv->audit.txn);

    if (now && now->until) {
        ngx_apigw_cli_json_time(b, "until", now->until);
    }

    if (old) {
        ngx_apigw_cli_json_time(b, "revoked", old->made);

        if (old->until) {
            ngx_apigw_cli_json_time(b, "was_until", old->until);
        }
    }

    ngx_apigw_cli_buf_literal(b, "}\n");
}


static int
ngx_apigw_cli_token_failed(ngx_apigw_cli_revoke_t *rv, int rc)
{
    if (rv->audit.failed) {
        return ngx_apigw_cli_error("cannot write \"%s/"
                                   NGX_APIGW_CLI_AUDIT_FILE "\": %s",
                                   rv->directory, strerror(rc));
    }

    if (rv->at && rc == MDB_NOTFOUND) {
        return ngx_apigw_cli_error("%s \"%.*s\" is not revoked",
                                   ngx_apigw_cli_token_by(rv->at->by),
                                   ngx_apigw_cli_str(&rv->at->value));
    }

    return ngx_apigw_cli_error("the store \"%s\": %s", rv->directory,
                               ngx_apigw_jwt_store_strerror(rc));
}


int
ngx_apigw_cli_token_revocations(ngx_apigw_cli_t *cli)
{
    int                          rc;
    ngx_apigw_cli_revoke_t       rv;
    ngx_apigw_cli_revocations_t  ls;

    rc = ngx_apigw_cli_token_open(cli, &rv, 0);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    ngx_memzero(&ls, sizeof(ngx_apigw_cli_revocations_t));

    ls.cli = cli;
    ls.json = rv.conf->json;

    rc = ngx_apigw_cli_token_list(&ls, rv.store);

    if (rc == ECANCELED) {

        /* there was a message */

        rc = NGX_APIGW_CLI_FAILED;

    } else if (rc != 0) {
        rc = ngx_apigw_cli_token_failed(&rv, rc);

    } else if (ngx_apigw_cli_flush(&ls.buf) != NGX_OK) {
        rc = NGX_APIGW_CLI_FAILED;
    }

    ngx_apigw_cli_buf_free(&ls.buf);
    ngx_apigw_cli_token_close(&rv);

    return rc;
}


/* Twice over the same state of the store, once for the widths of columns. */

static int
ngx_apigw_cli_token_list(ngx_apigw_cli_revocations_t *ls,
    ngx_apigw_store_t *store)
{
    int       rc;
    MDB_txn  *txn;

    static const ngx_str_t  head[NGX_APIGW_CLI_TOKEN_COLUMNS] = {
        ngx_string("BY"),
        ngx_string("MADE"),
        ngx_string("UNTIL"),
        ngx_string("VALUE")
    };

    rc = ngx_apigw_store_read(store, &txn);

    if (rc != 0 && rc != NGX_APIGW_STORE_EEMPTY) {
        return rc;
    }

    if (!ls->json) {
        ls->measure = 1;
        ngx_apigw_cli_token_row(ls, head);

        if (rc == 0) {
            rc = ngx_apigw_jwt_store_each(store, txn,
                                          ngx_apigw_cli_token_each, ls);
        }

        ls->measure = 0;
        ngx_apigw_cli_token_row(ls, head);
    }

    if (rc == 0) {
        rc = ngx_apigw_jwt_store_each(store, txn, ngx_apigw_cli_token_each,
                                      ls);
    }

    if (rc == NGX_APIGW_STORE_EEMPTY) {
        return 0;
    }

    ngx_apigw_store_read_end(store);

    return rc;
}


static int
ngx_apigw_cli_token_each(void *data,
    const ngx_apigw_jwt_revocation_t *revocation)
{
    ngx_apigw_cli_revocations_t *ls = data;

    char       made[NGX_APIGW_CLI_TIME_TEXT], until[NGX_APIGW_CLI_TIME_TEXT];
    ngx_str_t  cells[NGX_APIGW_CLI_TOKEN_COLUMNS];

    if (ls->json) {
        ngx_apigw_cli_token_json(ls, revocation);

    } else {
        cells[0].data = (u_char *) ngx_apigw_cli_token_by(revocation->by);
        cells[1].data = (u_char *) ngx_apigw_cli_time_text(revocation->made,
                                                           made);
        cells[2].data = (u_char *) (revocation->until
                           ? ngx_apigw_cli_time_text(revocation->until, until)
                           : "-");

        cells[0].len = 3;
        cells[1].len = ngx_strlen(cells[1].data);
        cells[2].len = ngx_strlen(cells[2].data);
        cells[3] = revocation->value;

        ngx_apigw_cli_token_row(ls, cells);
    }

    if (ls->buf.len > 65536 && ngx_apigw_cli_flush(&ls->buf) != NGX_OK) {
        return ECANCELED;
    }

    return 0;
}


static void
ngx_apigw_cli_token_json(ngx_apigw_cli_revocations_t *ls,
    const ngx_apigw_jwt_revocation_t *revocation)
{
    ngx_apigw_cli_buf_t  *b;

    b = &ls->buf;

    ngx_apigw_cli_buf_literal(b, "{");
    ngx_apigw_cli_json_text(b, ngx_apigw_cli_token_by(revocation->by),
                            &revocation->value);
    ngx_apigw_cli_json_time(b, "made", revocation->made);

    if (revocation->until) {
        ngx_apigw_cli_json_time(b, "until", revocation->until);
    }

    ngx_apigw_cli_buf_literal(b, "}\n");
}


static void
ngx_apigw_cli_token_row(ngx_apigw_cli_revocations_t *ls,
    const ngx_str_t *cells)
{
    size_t      n;
    ngx_uint_t  i;

    for (i = 0; i < NGX_APIGW_CLI_TOKEN_COLUMNS; i++) {

        if (ls->measure) {
            ls->widths[i] = ngx_max(ls->widths[i], cells[i].len);
            continue;
        }

        ngx_apigw_cli_buf_add(&ls->buf, cells[i].data, cells[i].len);

        if (i == NGX_APIGW_CLI_TOKEN_COLUMNS - 1) {
            ngx_apigw_cli_buf_literal(&ls->buf, "\n");
            return;
        }

        for (n = cells[i].len; n < ls->widths[i] + 2; n++) {
            ngx_apigw_cli_buf_literal(&ls->buf, " ");
        }
    }
}
