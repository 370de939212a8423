/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_VERSION_H_INCLUDED_
#define _NGX_APIGW_CLI_VERSION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli.h"
#include "ngx_apigw_label.h"
#include "ngx_apigw_tally.h"


/* "apigw version": who calls which version. */


#define NGX_APIGW_CLI_VERSION_BY_VERSION  0
#define NGX_APIGW_CLI_VERSION_BY_CALLER   1
#define NGX_APIGW_CLI_VERSION_BY_DAY      2
#define NGX_APIGW_CLI_VERSION_BY_SOURCE   3


/* What is counted together is a line. */

typedef struct {
    u_char                       names[NGX_APIGW_TALLY_NAME];
    ngx_str_t                    api;
    ngx_str_t                    version;
    ngx_str_t                    caller;
    uint32_t                     day;
    ngx_uint_t                   source;

    uint64_t                     calls;
    uint64_t                     refused;
    uint64_t                     callers;
    time_t                       last;     /* 0: no call */

    time_t                       deprecated;
    time_t                       sunset;
    ngx_str_t                    successor;
} ngx_apigw_cli_version_line_t;


/* A version as it was last configured. */

typedef struct {
    u_char                       names[2 * NGX_APIGW_TALLY_LABEL];
    ngx_str_t                    api;
    ngx_str_t                    label;
    ngx_apigw_tally_version_t    is;
} ngx_apigw_cli_version_known_t;


typedef struct {
    ngx_uint_t                   by;
    time_t                       now;
    ngx_str_t                   *api;      /* no data: all of them */
    ngx_str_t                   *label;
    ngx_uint_t                   ending;   /* only those that will end */

    ngx_apigw_cli_version_line_t **lines;
    size_t                       n;
    size_t                       size;

    ngx_apigw_cli_version_known_t *known;
    size_t                       nknown;
    size_t                       known_size;
} ngx_apigw_cli_version_report_t;


typedef enum {
    NGX_APIGW_CLI_VERSION_TABLE = 0,
    NGX_APIGW_CLI_VERSION_CSV,
    NGX_APIGW_CLI_VERSION_JSON
} ngx_apigw_cli_version_form_e;


#pragma GCC visibility push(hidden)


/* ngx_apigw_cli_version_print.c */

void ngx_apigw_cli_version_print(ngx_apigw_cli_buf_t *b,
    ngx_apigw_cli_version_report_t *report, ngx_apigw_cli_version_form_e form);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_VERSION_H_INCLUDED_ */
