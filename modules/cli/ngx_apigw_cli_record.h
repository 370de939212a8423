/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_RECORD_H_INCLUDED_
#define _NGX_APIGW_CLI_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_record.h"
#include "ngx_apigw_cli_text.h"


/*
 * A record of a key that is being changed, by fields as they are named on the
 * command line, and a record as JSON.  Uses nothing of nginx but its types.
 */


#define NGX_APIGW_CLI_RATE_TEXT  48
#define NGX_APIGW_CLI_ID_LEN     16

/* nginx takes it for none, and says so at each request */

#define NGX_APIGW_CLI_NO_BURST   "a burst is 1 at least"


/* The lists of rec lie in the buffers behind it, its strings anywhere. */

typedef struct {
    ngx_apigw_key_record_t   rec;
    u_char                   scopes[NGX_APIGW_KEY_SCOPES_MAX];
    u_char                   labels[NGX_APIGW_KEY_LABELS_MAX];
    u_char                   allow[NGX_APIGW_KEY_ALLOW_MAX];
    u_char                   quotas[NGX_APIGW_KEY_QUOTAS_MAX];
    u_char                   encoded[NGX_APIGW_KEY_RECORD_MAX];
} ngx_apigw_cli_record_t;


#pragma GCC visibility push(hidden)


void ngx_apigw_cli_record_init(ngx_apigw_cli_record_t *r);

/*
 * Takes a copy of an encoded record.  Returns what
 * ngx_apigw_key_record_decode() does.
 */

ngx_int_t ngx_apigw_cli_record_load(ngx_apigw_cli_record_t *r,
    const u_char *data, size_t len);


/*
 * Sets a field, adds to a list, takes away from a list, empties a field or a
 * list.  Returns NULL or what is wrong.
 */

const char *ngx_apigw_cli_record_set(ngx_apigw_cli_record_t *r,
    const char *field, const ngx_str_t *value, time_t now);
const char *ngx_apigw_cli_record_remove(ngx_apigw_cli_record_t *r,
    const char *field, const ngx_str_t *value);
const char *ngx_apigw_cli_record_clear(ngx_apigw_cli_record_t *r,
    const ngx_str_t *field);


/*
 * Returns NULL or what is wrong with a record, with what would be right.
 * Beside what ngx_apigw_key_record_check() looks at, rate and burst have to
 * be such as a plan may have.
 */

const char *ngx_apigw_cli_record_check(ngx_apigw_key_record_t *rec);


/*
 * "active", "early", "expired", "disabled" or "decoy": what the key is
 * good for at that time.
 */

const char *ngx_apigw_cli_record_status(const ngx_apigw_key_record_t *rec,
    time_t now);


/* "100r/s"; returns buf of NGX_APIGW_CLI_RATE_TEXT bytes */

char *ngx_apigw_cli_rate_text(const ngx_apigw_key_record_t *rec, char *buf);


/*
 * Writes the members of a record that are set, or those that differ from the
 * record old, into the JSON object that is open in the buffer.
 */

void ngx_apigw_cli_record_json(ngx_apigw_cli_buf_t *b,
    ngx_apigw_key_record_t *rec, ngx_apigw_key_record_t *old);


/*
 * Writes an id of random characters, NGX_APIGW_CLI_ID_LEN bytes.  NGX_ERROR
 * if the kernel gives no random bytes.
 */

ngx_int_t ngx_apigw_cli_record_new_id(u_char *p);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_CLI_RECORD_H_INCLUDED_ */
