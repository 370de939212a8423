/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_USAGE_EXPORT_H_INCLUDED_
#define _NGX_APIGW_CLI_USAGE_EXPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_usage.h"


/* The files of days, for ngx_apigw_cli_usage_export.c and _late.c. */


#define NGX_APIGW_CLI_EXPORT_NAME   "usage-%s.ndjson"
#define NGX_APIGW_CLI_EXPORT_CHAIN  "chain"
#define NGX_APIGW_CLI_EXPORT_HEX    (2 * 32 + 1)
#define NGX_APIGW_CLI_EXPORT_ID     (2 * 8 + 1)
#define NGX_APIGW_CLI_EXPORT_LINE   256


typedef struct {
    ngx_apigw_cli_t      *cli;
    const char           *dir;
    int                   fd;         /* of the directory, locked */
    ngx_uint_t            damaged;
    char                  digest[NGX_APIGW_CLI_EXPORT_HEX];
    char                  id[NGX_APIGW_CLI_EXPORT_ID];    /* "": none */
    uint32_t              day;        /* the last one, if there is a chain */
    unsigned              found:1;
} ngx_apigw_cli_export_t;


#pragma GCC visibility push(hidden)


/* What was entered late into days that have files, as lines of the next. */

int ngx_apigw_cli_export_late(ngx_apigw_cli_export_t *ex,
    ngx_apigw_store_t *store, uint32_t days, ngx_apigw_cli_buf_t *b);

/* The names of an entry behind "{", and its numbers. */

void ngx_apigw_cli_export_names(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_ledger_info_t *info);
void ngx_apigw_cli_export_numbers(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_ledger_row_t *row);

/* The name of a day's file. */

char *ngx_apigw_cli_export_name(char *name, uint32_t day);

/* Reads a file, if it is a regular one; 0 or a code of _strerror(). */

int ngx_apigw_cli_export_load(const char *dir, const char *name,
    ngx_apigw_cli_buf_t *b);
const char *ngx_apigw_cli_export_strerror(int rc);
int ngx_apigw_cli_export_digest(char *hex, const void *data, size_t len);

/* Says what is wrong with a file that the next ones need. */

int ngx_apigw_cli_export_broken(const ngx_apigw_cli_export_t *ex,
    const char *name, const char *what);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_USAGE_EXPORT_H_INCLUDED_ */
