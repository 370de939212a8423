/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_KEY_H_INCLUDED_
#define _NGX_APIGW_CLI_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_store.h"
#include "ngx_apigw_cli.h"
#include "ngx_apigw_cli_audit.h"
#include "ngx_apigw_cli_import.h"
#include "ngx_apigw_cli_record.h"


/* What "apigw key" consists of. */


#define NGX_APIGW_CLI_EDITS  256
#define NGX_APIGW_CLI_PLANS  64


typedef enum {
    NGX_APIGW_CLI_EDIT_SET = 0,
    NGX_APIGW_CLI_EDIT_REMOVE,
    NGX_APIGW_CLI_EDIT_CLEAR
} ngx_apigw_cli_edit_e;


typedef struct {
    ngx_apigw_cli_edit_e     what;
    const char              *field;
    ngx_str_t                value;
} ngx_apigw_cli_edit_t;


/* The options of all verbs; zeroed. */

typedef struct {
    ngx_str_t                store;
    ngx_str_t                prefix;
    ngx_str_t                id;
    ngx_uint_t               json;

    /* create, update, rotate */

    ngx_apigw_cli_edit_t     edits[NGX_APIGW_CLI_EDITS];
    ngx_uint_t               nedits;
    ngx_apigw_cli_record_t   scratch;   /* the edits are tried on it */
    ngx_uint_t               scratched;
    ngx_uint_t               disabled;
    ngx_uint_t               decoy;
    ngx_uint_t               no_decoy;
    ngx_str_t                overlap;

    /* list, export */

    ngx_str_t                consumer;
    ngx_str_t                plan;
    ngx_str_t                scope;
    ngx_str_t                label;
    ngx_str_t                status;
    time_t                   expires_before;
    time_t                   unused;

    /* import, export, purge */

    ngx_str_t                format;
    ngx_apigw_cli_plan_t     plans[NGX_APIGW_CLI_PLANS];
    ngx_uint_t               nplans;
    ngx_uint_t               skip_bad;
    ngx_uint_t               replace;
    ngx_uint_t               dry_run;
    int64_t                  batch;
    time_t                   expired_for;
} ngx_apigw_cli_key_conf_t;


typedef struct {
    ngx_apigw_cli_t           *cli;
    ngx_apigw_cli_key_conf_t  *conf;
    char                      *directory;
    ngx_apigw_store_t         *store;
    ngx_apigw_store_t         *used;    /* NULL: nothing was ever used */
    ngx_apigw_cli_audit_t      audit;
    ngx_apigw_key_hasher_t     hasher;
    ngx_str_t                  prefix;
} ngx_apigw_cli_key_t;


#pragma GCC visibility push(hidden)


/*
 * Opens the store; for a change its log as well.  A status for the command to
 * end with, after a message, or NGX_APIGW_CLI_DONE.
 */

int ngx_apigw_cli_key_open(ngx_apigw_cli_t *cli, ngx_apigw_cli_key_t *key,
    ngx_uint_t change);
void ngx_apigw_cli_key_close(ngx_apigw_cli_key_t *key);

/* Whether keys were used; the store of that is opened if it is there. */

int ngx_apigw_cli_key_open_used(ngx_apigw_cli_key_t *key);


/*
 * Runs a change of the store with its audit lines.  Messages of failure are
 * for the caller, or for _failed().
 */

int ngx_apigw_cli_key_write(ngx_apigw_cli_key_t *key,
    ngx_apigw_store_write_pt write, void *data);


/*
 * Whether a text that is to be an id looks like a key.  What is said lands in
 * mails and logs, where no key may be.
 */

ngx_uint_t ngx_apigw_cli_key_secret(ngx_apigw_cli_key_t *key,
    const ngx_str_t *id);


/* A message for a code of the store, with the exit status. */

int ngx_apigw_cli_key_failed(ngx_apigw_cli_key_t *key, const ngx_str_t *id,
    int rc);


/* Makes one change of the command line; NULL or what is wrong with it. */

const char *ngx_apigw_cli_key_apply(ngx_apigw_cli_t *cli,
    ngx_apigw_cli_edit_t *edit, ngx_apigw_cli_record_t *r);


/* The verbs. */

int ngx_apigw_cli_key_create(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_update(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_enable(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_disable(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_rotate(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_revoke(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_purge(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_show(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_find(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_list(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_export(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_key_import(ngx_apigw_cli_t *cli);


/* The members of a key for "--json"; used may be NULL. */

void ngx_apigw_cli_key_json(ngx_apigw_cli_key_t *key, ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_used_t *used,
    const u_char *digest);


/*
 * Removes a key, in a transaction, and writes the line of the audit log.  A
 * record that cannot be read must be removable all the same.
 */

int ngx_apigw_cli_key_delete(ngx_apigw_cli_key_t *key,
    ngx_apigw_store_t *store, MDB_txn *txn, const char *action, ngx_str_t *id);


/* Another key may get the id one day: it was never used then. */

void ngx_apigw_cli_key_forget(ngx_apigw_cli_key_t *key, ngx_str_t *ids,
    ngx_uint_t n);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_KEY_H_INCLUDED_ */
