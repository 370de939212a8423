/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/file.h>

#include "ngx_apigw_cli_usage_export.h"


/* "usage verify": the files of days and their chain, without the store. */


static int ngx_apigw_cli_verify_files(ngx_apigw_cli_export_t *ex,
    const ngx_apigw_cli_export_files_t *files);
static int ngx_apigw_cli_verify_days(ngx_apigw_cli_export_t *ex,
    uint32_t first);
static int ngx_apigw_cli_verify_day(ngx_apigw_cli_export_t *ex,
    ngx_apigw_cli_export_t *chain, uint32_t day);


int
ngx_apigw_cli_usage_verify(ngx_apigw_cli_t *cli)
{
    int                            rc;
    ngx_apigw_cli_export_t         ex;
    ngx_apigw_cli_export_files_t   files;

    rc = ngx_apigw_cli_export_dir(cli, &ex);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_export_lock(&ex, LOCK_SH);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_export_read_chain(&ex);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_export_files(&ex, &files);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_verify_files(&ex, &files);
    }

    if (ex.fd != -1) {
        (void) close(ex.fd);
    }

    return rc;
}


static int
ngx_apigw_cli_verify_files(ngx_apigw_cli_export_t *ex,
    const ngx_apigw_cli_export_files_t *files)
{
    int  rc;

    if (!ex->found && !ex->none) {
        return ngx_apigw_cli_error("\"%s/" NGX_APIGW_CLI_EXPORT_CHAIN "\" is "
                                   "missing: it was lost, or nothing was ever "
                                   "exported there", ex->dir);
    }

    rc = ngx_apigw_cli_export_check_files(ex, files);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    if (ex->none) {
        ngx_apigw_cli_note("no day was exported yet");
        return NGX_APIGW_CLI_DONE;
    }

    return ngx_apigw_cli_verify_days(ex, files->n ? files->first : ex->day);
}


static int
ngx_apigw_cli_verify_days(ngx_apigw_cli_export_t *ex, uint32_t first)
{
    int                      rc;
    uint32_t                 day;
    ngx_apigw_cli_export_t   chain;

    ngx_memzero(&chain, sizeof(ngx_apigw_cli_export_t));

    for (day = first; day <= ex->day; day++) {
        rc = ngx_apigw_cli_verify_day(ex, &chain, day);

        if (rc != NGX_APIGW_CLI_DONE) {
            return rc;
        }
    }

    if (!chain.found || memcmp(chain.digest, ex->digest,
                               NGX_APIGW_CLI_EXPORT_HEX)
                        != 0)
    {
        return ngx_apigw_cli_error("the file of the last day in \"%s\" was "
                                   "altered", ex->dir);
    }

    ngx_apigw_cli_note("%u days are complete and unaltered",
                       (unsigned) (ex->day - first + 1));

    return NGX_APIGW_CLI_DONE;
}


static int
ngx_apigw_cli_verify_day(ngx_apigw_cli_export_t *ex,
    ngx_apigw_cli_export_t *chain, uint32_t day)
{
    int                   rc;
    char                  name[NGX_APIGW_CLI_EXPORT_LINE];
    char                  line[NGX_APIGW_CLI_EXPORT_LINE];
    char                  id[NGX_APIGW_CLI_EXPORT_ID];
    size_t                len;
    ngx_apigw_cli_buf_t   b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    (void) ngx_apigw_cli_export_name(name, day);

    rc = day == ex->day ? ngx_apigw_cli_export_load_last(ex, &b, 0)
                        : ngx_apigw_cli_export_load(ex->dir, name, &b);

    if (rc != 0) {
        ngx_apigw_cli_buf_free(&b);
        return ngx_apigw_cli_error("\"%s/%s\" %s", ex->dir, name,
                                   rc == ENOENT ? "is missing"
                                         : ngx_apigw_cli_export_strerror(rc));
    }

    ngx_apigw_cli_export_head(line, chain, day);
    len = strlen(line);

    if (b.len < len || memcmp(b.data, line, len) != 0
        || ngx_apigw_cli_export_head_id(&b, len, id) != NGX_OK
        || (chain->id[0] && strcmp(chain->id, id) != 0))
    {
        ngx_apigw_cli_buf_free(&b);

        return ngx_apigw_cli_error("\"%s/%s\" does not continue the file "
                                   "before, one of them was altered or "
                                   "is missing", ex->dir, name);
    }

    ngx_memcpy(chain->id, id, NGX_APIGW_CLI_EXPORT_ID);

    rc = ngx_apigw_cli_export_digest(chain->digest, b.data, b.len);

    ngx_apigw_cli_buf_free(&b);

    if (rc != 0) {
        return ngx_apigw_cli_error("SHA-256 is not available");
    }

    chain->day = day;
    chain->found = 1;

    return NGX_APIGW_CLI_DONE;
}
