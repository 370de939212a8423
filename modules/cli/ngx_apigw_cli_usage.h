/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_USAGE_H_INCLUDED_
#define _NGX_APIGW_CLI_USAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_ledger.h"
#include "ngx_apigw_plan.h"
#include "ngx_apigw_usage_store.h"
#include "ngx_apigw_cli.h"


/* "apigw usage": what the usage module has counted. */


typedef struct {
    ngx_str_t            store;
    ngx_str_t            from;
    ngx_str_t            to;
    ngx_str_t            by;
    ngx_str_t            consumer;
    ngx_str_t            plan;
    ngx_str_t            api;
    ngx_str_t            family;
    ngx_str_t            per;
    ngx_str_t            since;
    ngx_str_t            dir;
    ngx_str_t            late;
    ngx_uint_t           detail;
    ngx_uint_t           csv;
    ngx_uint_t           json;
} ngx_apigw_cli_usage_conf_t;


/*
 * Called for every entry of the ledger, without a row if it is damaged; what
 * it returns but 0 ends the walk.
 */

typedef int (*ngx_apigw_cli_usage_pt)(void *data,
    const ngx_apigw_ledger_info_t *info, const ngx_apigw_ledger_row_t *row);


#define NGX_APIGW_CLI_DAY       86400
#define NGX_APIGW_CLI_DAY_TEXT  sizeof("2026-01-02")


#pragma GCC visibility push(hidden)


/* The store, or NULL after a message with *rc set. */

ngx_apigw_store_t *ngx_apigw_cli_usage_open(ngx_apigw_cli_t *cli, int *rc);

/*
 * Entries of days from .. to, both included, but for days before "kept": of
 * those retention has deleted something.  0 or a code of the store.  Counts the
 * damaged ones, also those whose names cannot be read.
 */

typedef struct {
    uint32_t      from;
    uint32_t      to;
    uint32_t      kept;      /* set by _walk() */
    ngx_uint_t    damaged;   /* added to by _walk() */
} ngx_apigw_cli_usage_walk_t;

int ngx_apigw_cli_usage_walk(ngx_apigw_store_t *store,
    ngx_apigw_cli_usage_walk_t *walk, ngx_apigw_cli_usage_pt entry,
    void *data);

/* Says so, if there are any; the status of the command. */

int ngx_apigw_cli_usage_damaged(ngx_uint_t damaged);

/* "2026-01-02" of a day, and back; NGX_ERROR if it is not a date. */

char *ngx_apigw_cli_usage_day(uint32_t day, char *text);
ngx_int_t ngx_apigw_cli_usage_date(const ngx_str_t *text, uint32_t *day);

/*
 * The day that an option gives, if it was given; and whether the first one is
 * not after the last one.  The status of the command, after a message.
 */

int ngx_apigw_cli_usage_read_day(ngx_apigw_cli_t *cli, const char *option,
    const ngx_str_t *text, uint32_t *day);
int ngx_apigw_cli_usage_order(ngx_apigw_cli_t *cli, uint32_t from,
    uint32_t to);

/* A name of an entry. */

ngx_str_t ngx_apigw_cli_usage_name(const ngx_apigw_ledger_info_t *info,
    ngx_uint_t n);

int ngx_apigw_cli_usage_failed(int rc);


int ngx_apigw_cli_usage_report(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_usage_show(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_usage_grant(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_usage_reset(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_usage_audit(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_usage_export(ngx_apigw_cli_t *cli);
int ngx_apigw_cli_usage_verify(ngx_apigw_cli_t *cli);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_USAGE_H_INCLUDED_ */
