/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_USAGE_EXPORT_H_INCLUDED_
#define _NGX_APIGW_CLI_USAGE_EXPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_usage.h"


/* The files of days, for ngx_apigw_cli_usage_export.c, _late.c, _verify.c. */


#define NGX_APIGW_CLI_EXPORT_NAME   "usage-%s.ndjson"
#define NGX_APIGW_CLI_EXPORT_CHAIN  "chain"
#define NGX_APIGW_CLI_EXPORT_NONE   "none\n"      /* chain of no day */
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
    unsigned              none:1;     /* a chain without a day */
} ngx_apigw_cli_export_t;


/* What there is under names of days; 0 files: no days. */

typedef struct {
    ngx_uint_t            n;
    uint32_t              first;
    uint32_t              last;
    char                  stray[NGX_APIGW_CLI_EXPORT_LINE];
} ngx_apigw_cli_export_files_t;


#pragma GCC visibility push(hidden)


/* The directory of --dir, not locked. */

int ngx_apigw_cli_export_dir(ngx_apigw_cli_t *cli, ngx_apigw_cli_export_t *ex);

/* LOCK_EX or LOCK_SH, until the process ends or the descriptor is closed. */

int ngx_apigw_cli_export_lock(ngx_apigw_cli_export_t *ex, int how);

int ngx_apigw_cli_export_read_chain(ngx_apigw_cli_export_t *ex);

/* What has the name of a day, and what only looks so. */

int ngx_apigw_cli_export_files(const ngx_apigw_cli_export_t *ex,
    ngx_apigw_cli_export_files_t *files);

/* Files that the chain does not know are an error. */

int ngx_apigw_cli_export_check_files(const ngx_apigw_cli_export_t *ex,
    const ngx_apigw_cli_export_files_t *files);

/*
 * The file of the chain's last day.  If who wrote it was killed before it got
 * its name, that is to be finished, or at least it can be read.
 */

int ngx_apigw_cli_export_load_last(ngx_apigw_cli_export_t *ex,
    ngx_apigw_cli_buf_t *b, ngx_uint_t finish);

/* How the first line of a day's file begins, given the chain so far. */

void ngx_apigw_cli_export_head(char *line, const ngx_apigw_cli_export_t *ex,
    uint32_t day);

/* How it ends: the store, or "" before there is one. */

ngx_int_t ngx_apigw_cli_export_head_id(const ngx_apigw_cli_buf_t *b,
    size_t len, char *id);


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
