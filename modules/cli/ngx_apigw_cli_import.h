/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_IMPORT_H_INCLUDED_
#define _NGX_APIGW_CLI_IMPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key.h"
#include "ngx_apigw_key_record.h"
#include "ngx_apigw_cli_record.h"


/*
 * The formats that keys are imported from: NDJSON, a JSON object a line, and
 * the CSV files of AWS API Gateway (RFC 4180, columns in any order).  Keys in
 * clear become digests here and nothing else of them is kept.
 *
 * No reason for a refusal contains anything of the line but names of members
 * that are made of a-z and "_".
 *
 * Uses nothing of nginx but its types.
 */


#define NGX_APIGW_CLI_LINE_MAX     65536
#define NGX_APIGW_CLI_CSV_FIELDS   64
#define NGX_APIGW_CLI_REASON       128

/* what a line says of a key; "created" and "updated" show by their values */

#define NGX_APIGW_CLI_GIVEN_PLAN         0x0001
#define NGX_APIGW_CLI_GIVEN_NAME         0x0002
#define NGX_APIGW_CLI_GIVEN_DESCRIPTION  0x0004
#define NGX_APIGW_CLI_GIVEN_SUCCESSOR    0x0008
#define NGX_APIGW_CLI_GIVEN_NOT_BEFORE   0x0010
#define NGX_APIGW_CLI_GIVEN_EXPIRES      0x0020
#define NGX_APIGW_CLI_GIVEN_RATE         0x0040
#define NGX_APIGW_CLI_GIVEN_BURST        0x0080
#define NGX_APIGW_CLI_GIVEN_QUOTAS       0x0100
#define NGX_APIGW_CLI_GIVEN_ENABLED      0x0200
#define NGX_APIGW_CLI_GIVEN_DECOY        0x0400
#define NGX_APIGW_CLI_GIVEN_SCOPES       0x0800
#define NGX_APIGW_CLI_GIVEN_ALLOW        0x1000
#define NGX_APIGW_CLI_GIVEN_LABELS       0x2000


typedef enum {
    NGX_APIGW_CLI_CSV_NAME = 0,
    NGX_APIGW_CLI_CSV_KEY,
    NGX_APIGW_CLI_CSV_SHA256,
    NGX_APIGW_CLI_CSV_DESCRIPTION,
    NGX_APIGW_CLI_CSV_ENABLED,
    NGX_APIGW_CLI_CSV_PLANS,
    NGX_APIGW_CLI_CSV_ID,
    NGX_APIGW_CLI_CSV_CONSUMER,
    NGX_APIGW_CLI_CSV_COLUMNS
} ngx_apigw_cli_csv_column_e;


typedef struct {
    ngx_str_t                from;      /* as in the file */
    ngx_str_t                to;        /* a plan of ours */
} ngx_apigw_cli_plan_t;


typedef struct {
    ngx_apigw_key_hasher_t  *hasher;
    ngx_str_t                prefix;    /* of our own keys */
    ngx_str_t                plan;      /* of keys without one; may be empty */
    ngx_apigw_cli_plan_t    *plans;
    ngx_uint_t               nplans;
    time_t                   now;
    size_t                   unmapped;  /* keys on plans that no map names */

    /* set from the first line of a CSV file: column + 1, 0 if it is absent */

    ngx_uint_t               columns[NGX_APIGW_CLI_CSV_COLUMNS];
    ngx_uint_t               ncolumns;
} ngx_apigw_cli_import_t;


typedef struct {
    u_char                   digest[NGX_APIGW_KEY_DIGEST];
    u_char                   encoded[NGX_APIGW_KEY_RECORD_MAX];
    size_t                   len;
    uint32_t                 given;     /* _GIVEN_*; what a known key keeps
                                           is the rest */
    unsigned                 id:1;      /* was given and not made here */
    unsigned                 created:1;
} ngx_apigw_cli_import_key_t;


#pragma GCC visibility push(hidden)


/*
 * The length of the first line in a buffer with its newline, 0 if its end is
 * not there.  A newline between double quotes ends no line of CSV.
 */

size_t ngx_apigw_cli_import_line(const u_char *p, const u_char *last,
    ngx_uint_t csv);


/*
 * Reads a line, which is changed.  NGX_OK, NGX_DECLINED if it is blank, or
 * NGX_ERROR with the reason.  The caller wipes the line.
 */

ngx_int_t ngx_apigw_cli_import_json(ngx_apigw_cli_import_t *im, u_char *p,
    size_t len, ngx_apigw_cli_import_key_t *key, char *reason);
ngx_int_t ngx_apigw_cli_import_csv(ngx_apigw_cli_import_t *im, u_char *p,
    size_t len, ngx_apigw_cli_import_key_t *key, char *reason);


/* The first line of a CSV file; NGX_OK or NGX_ERROR. */

ngx_int_t ngx_apigw_cli_import_csv_head(ngx_apigw_cli_import_t *im, u_char *p,
    size_t len, char *reason);


/*
 * Splits a line of CSV into fields, without their quotes and in place.
 * Column "single", from 1, may be quoted by ' as well.  Returns their number
 * or NGX_ERROR.
 */

ngx_int_t ngx_apigw_cli_import_csv_split(u_char *p, size_t len,
    ngx_str_t *fields, ngx_uint_t single);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_IMPORT_H_INCLUDED_ */
