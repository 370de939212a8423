/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_AUDIT_H_INCLUDED_
#define _NGX_APIGW_CLI_AUDIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_store.h"
#include "ngx_apigw_cli.h"


/*
 * The file audit.log in the directory of a store: a JSON object a line, a
 * line a change.
 *
 * The lines of a transaction are written and synced before it commits, while
 * this process holds LMDB's writer lock, so their order is that of the
 * changes and no change is without its line.  If the transaction fails they
 * are cut off again.  If the process is killed between, they stay, and tell
 * of changes that never were: the next transaction of the store then has the
 * same number, of another process, and both are in every line.
 */


#define NGX_APIGW_CLI_AUDIT_FILE  "audit.log"


typedef struct {
    const char              *directory;
    int                      fd;
    off_t                    start;
    off_t                    end;       /* 0: nothing was written */
    size_t                   txn;
    unsigned                 failed:1;  /* the log and not the store */
    ngx_apigw_cli_buf_t      head;      /* how each line begins */
    ngx_apigw_cli_buf_t      buf;
} ngx_apigw_cli_audit_t;


#pragma GCC visibility push(hidden)


/* Opens the log; returns 0 or errno. */

int ngx_apigw_cli_audit_open(ngx_apigw_cli_audit_t *audit,
    ngx_apigw_cli_t *cli, const char *directory);
void ngx_apigw_cli_audit_close(ngx_apigw_cli_audit_t *audit);


/*
 * To be called first and last in the body of ngx_apigw_store_write(); rc is
 * what the body did, and _end() returns what the body is to return.
 */

int ngx_apigw_cli_audit_begin(ngx_apigw_cli_audit_t *audit, MDB_txn *txn);
int ngx_apigw_cli_audit_end(ngx_apigw_cli_audit_t *audit, int rc);


/* To be called if ngx_apigw_store_write() has succeeded or failed. */

void ngx_apigw_cli_audit_keep(ngx_apigw_cli_audit_t *audit);
void ngx_apigw_cli_audit_undo(ngx_apigw_cli_audit_t *audit,
    ngx_apigw_store_t *store);


/*
 * Adds a line on a change from old to rec, either of which may be NULL.
 * Returns 0 or errno.
 */

int ngx_apigw_cli_audit_line(ngx_apigw_cli_audit_t *audit,
    const char *action, const ngx_str_t *id, ngx_apigw_key_record_t *rec,
    ngx_apigw_key_record_t *old);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_AUDIT_H_INCLUDED_ */
