/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_CLI_H_INCLUDED_
#define _NGX_APIGW_CLI_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw.h"
#include "ngx_apigw_cli_text.h"


/*
 * apigw, the command-line tool: "apigw GROUP VERB [OPTIONS] [ARGUMENTS]".
 *
 * A group of verbs is a file of its own that defines an ngx_apigw_cli_group_t;
 * it is declared at the end of this file and stands in the table of
 * ngx_apigw_cli.c.
 */


#define NGX_APIGW_CLI_DONE     0
#define NGX_APIGW_CLI_FAILED   1
#define NGX_APIGW_CLI_USAGE    2


typedef struct ngx_apigw_cli_s         ngx_apigw_cli_t;
typedef struct ngx_apigw_cli_option_s  ngx_apigw_cli_option_t;


/*
 * Called for an option in the order of the command line; value is NULL for a
 * flag.  Returns NULL, or what is wrong with the value, or "" after a message
 * of its own.
 */

typedef const char *(*ngx_apigw_cli_set_pt)(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);


struct ngx_apigw_cli_option_s {
    const char                    *name;     /* "store" */
    const char                    *value;    /* "DIR", NULL for a flag */
    const char                    *help;     /* lines end in \n but the last */
    ngx_apigw_cli_set_pt           set;
    size_t                         offset;   /* in the verb's conf */
};


#define ngx_apigw_cli_options_end  { NULL, NULL, NULL, NULL, 0 }


typedef struct {
    const char                    *name;
    const char                    *arguments;  /* "ID ..." */
    ngx_uint_t                     min;
    ngx_uint_t                     max;        /* of the arguments */
    const char                    *summary;
    const char                    *text;       /* more help, or NULL */
    const ngx_apigw_cli_option_t  *options;
    int                          (*run)(ngx_apigw_cli_t *cli);
} ngx_apigw_cli_verb_t;


typedef struct {
    const char                    *name;
    const char                    *summary;
    const ngx_apigw_cli_verb_t    *verbs;      /* the last has no name */
    size_t                         conf_size;  /* zeroed for the options */
} ngx_apigw_cli_group_t;


struct ngx_apigw_cli_s {
    const ngx_apigw_cli_group_t   *group;
    const ngx_apigw_cli_verb_t    *verb;
    void                          *conf;
    ngx_str_t                     *args;
    ngx_uint_t                     nargs;
    time_t                         now;

    /* who started the command */

    uid_t                          uid;
    char                          *user;
    char                          *sudo;

    /* ngx_apigw_cli_path() */

    char                          *directory;
    char                          *output;
};


#pragma GCC visibility push(hidden)


/* Setters: ngx_uint_t, ngx_str_t, int64_t, time_t at option->offset. */

const char *ngx_apigw_cli_set_flag(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
const char *ngx_apigw_cli_set_string(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
const char *ngx_apigw_cli_set_number(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
const char *ngx_apigw_cli_set_time(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
const char *ngx_apigw_cli_set_duration(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);


/*
 * Writes "apigw: ..." and a newline to standard error and returns
 * NGX_APIGW_CLI_FAILED; the other one adds a hint at --help and returns
 * NGX_APIGW_CLI_USAGE.  Control characters are written as "?".
 */

int ngx_apigw_cli_error(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
int ngx_apigw_cli_usage(ngx_apigw_cli_t *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same without a failure: "apigw: ..." on standard error. */

void ngx_apigw_cli_note(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));


/*
 * Writes to standard output at once; NGX_ERROR after a message if it cannot.
 * What was collected in a buffer is written and the buffer emptied.
 */

ngx_int_t ngx_apigw_cli_write(const void *data, size_t len);
ngx_int_t ngx_apigw_cli_flush(ngx_apigw_cli_buf_t *b);


/* The directory of a store: --store or APIGW_STORE; NULL after a message. */

char *ngx_apigw_cli_store(ngx_apigw_cli_t *cli, ngx_str_t *option);


/*
 * To be asked while the process is still root's: an owner of a store may not
 * go where a relative path begins.  Returns path, or *keep, to be freed.
 */

char *ngx_apigw_cli_path(char **keep, char *path);


/* Why a store is closed to whom started the command. */

const char *ngx_apigw_cli_denied(ngx_apigw_cli_t *cli);


/* Says that a store could not be opened; the status of the command. */

int ngx_apigw_cli_unopened(ngx_apigw_cli_t *cli, const char *directory,
    int rc);


#pragma GCC visibility pop


#define ngx_apigw_cli_str(s)  (int) (s)->len, (char *) (s)->data


extern const ngx_apigw_cli_group_t  ngx_apigw_cli_key_group;
extern const ngx_apigw_cli_group_t  ngx_apigw_cli_usage_group;
extern const ngx_apigw_cli_group_t  ngx_apigw_cli_token_group;
extern const ngx_apigw_cli_group_t  ngx_apigw_cli_version_group;


#endif /* _NGX_APIGW_CLI_H_INCLUDED_ */
