/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <dirent.h>
#include <openssl/evp.h>

#include "ngx_apigw_cli_usage.h"


/*
 * A file for each day that is over, usage-2026-01-31.ndjson.  Its first line
 * is
 *
 *     {"day":"2026-01-31","previous":"2026-01-30","sha256":"..."}
 *
 * with the digest of the file before, both null in the first file; then a
 * line for each entry, one that is damaged without numbers.  The file "chain"
 * has the last day and the digest of its file, so that the last one cannot be
 * altered or lost unseen either.  Days without requests have files, too.
 */


#define NGX_APIGW_CLI_EXPORT_NAME   "usage-%s.ndjson"
#define NGX_APIGW_CLI_EXPORT_CHAIN  "chain"
#define NGX_APIGW_CLI_EXPORT_HEX    (2 * 32 + 1)
#define NGX_APIGW_CLI_EXPORT_LINE   256
#define NGX_APIGW_CLI_EXPORT_LATE   3600


typedef struct {
    ngx_apigw_cli_t      *cli;
    const char           *dir;
    ngx_uint_t            damaged;
    char                  digest[NGX_APIGW_CLI_EXPORT_HEX];
    uint32_t              day;        /* the last one, if there is a chain */
    unsigned              found:1;
} ngx_apigw_cli_export_t;


static int ngx_apigw_cli_export_dir(ngx_apigw_cli_t *cli,
    ngx_apigw_cli_export_t *ex);
static int ngx_apigw_cli_export_read_chain(ngx_apigw_cli_export_t *ex);
static int ngx_apigw_cli_export_check_last(ngx_apigw_cli_export_t *ex);
static int ngx_apigw_cli_export_first(void *data,
    const ngx_apigw_ledger_info_t *info, const ngx_apigw_ledger_row_t *row);
static int ngx_apigw_cli_export_row(void *data,
    const ngx_apigw_ledger_info_t *info, const ngx_apigw_ledger_row_t *row);
static int ngx_apigw_cli_export_day(ngx_apigw_cli_export_t *ex,
    ngx_apigw_store_t *store, uint32_t day);
static int ngx_apigw_cli_export_denied(const ngx_apigw_cli_export_t *ex,
    const char *name, int rc);
static void ngx_apigw_cli_export_head(char *line,
    const ngx_apigw_cli_export_t *ex, uint32_t day);
static int ngx_apigw_cli_export_write(const char *dir, const char *name,
    const void *data, size_t len);
static int ngx_apigw_cli_export_load(const char *dir, const char *name,
    ngx_apigw_cli_buf_t *b);
static int ngx_apigw_cli_export_digest(char *hex, const void *data,
    size_t len);
static int ngx_apigw_cli_verify_days(ngx_apigw_cli_export_t *ex,
    uint32_t first);
static ngx_int_t ngx_apigw_cli_verify_first(const char *dir, uint32_t *first);


int
ngx_apigw_cli_usage_export(ngx_apigw_cli_t *cli)
{
    int                      rc;
    uint32_t                 day, today;
    ngx_apigw_store_t       *store;
    ngx_apigw_cli_export_t   ex;

    rc = ngx_apigw_cli_export_dir(cli, &ex);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    /* requests that began on a day may end a little later */

    today = (uint32_t) ((cli->now - NGX_APIGW_CLI_EXPORT_LATE)
                        / NGX_APIGW_CLI_DAY);

    store = ngx_apigw_cli_usage_open(cli, &rc);

    if (store == NULL) {
        return rc;
    }

    /* asked before a day is over that could not be written */

    if (access(ex.dir, W_OK|X_OK) == -1) {
        rc = ngx_apigw_cli_export_denied(&ex, NGX_APIGW_CLI_EXPORT_CHAIN,
                                         errno);
        ngx_apigw_store_close(store);
        return rc;
    }

    day = today;

    if (ex.found) {
        rc = ngx_apigw_cli_export_check_last(&ex);

        if (rc != NGX_APIGW_CLI_DONE) {
            ngx_apigw_store_close(store);
            return rc;
        }

        day = ex.day + 1;

    } else {
        rc = ngx_apigw_cli_usage_walk(store, 0, today - 1,
                                      ngx_apigw_cli_export_first, &day,
                                      &ex.damaged);
        ex.damaged = 0;

        if (rc != 0 && rc != ECANCELED) {
            ngx_apigw_store_close(store);
            return ngx_apigw_cli_usage_failed(rc);
        }
    }

    for (rc = NGX_APIGW_CLI_DONE;
         rc == NGX_APIGW_CLI_DONE && day < today;
         day++)
    {
        rc = ngx_apigw_cli_export_day(&ex, store, day);
    }

    ngx_apigw_store_close(store);

    return rc == NGX_APIGW_CLI_DONE ? ngx_apigw_cli_usage_damaged(ex.damaged)
                                    : rc;
}


static int
ngx_apigw_cli_export_dir(ngx_apigw_cli_t *cli, ngx_apigw_cli_export_t *ex)
{
    struct stat                  sb;
    ngx_apigw_cli_usage_conf_t  *conf;

    conf = cli->conf;

    ngx_memzero(ex, sizeof(ngx_apigw_cli_export_t));

    if (conf->dir.data == NULL) {
        (void) ngx_apigw_cli_usage(cli, "--dir DIR is missing");
        return NGX_APIGW_CLI_USAGE;
    }

    ex->cli = cli;
    ex->dir = ngx_apigw_cli_path(&cli->output, (char *) conf->dir.data);

    if (stat(ex->dir, &sb) == -1 || !S_ISDIR(sb.st_mode)) {
        return ngx_apigw_cli_error("there is no directory \"%s\"", ex->dir);
    }

    return ngx_apigw_cli_export_read_chain(ex);
}


static int
ngx_apigw_cli_export_read_chain(ngx_apigw_cli_export_t *ex)
{
    int                   rc;
    ngx_str_t             text;
    ngx_apigw_cli_buf_t   b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    rc = ngx_apigw_cli_export_load(ex->dir, NGX_APIGW_CLI_EXPORT_CHAIN, &b);

    if (rc == ENOENT) {
        return NGX_APIGW_CLI_DONE;
    }

    if (rc != 0) {
        return ngx_apigw_cli_error("cannot read \"%s/"
                                   NGX_APIGW_CLI_EXPORT_CHAIN "\": %s",
                                   ex->dir, strerror(rc));
    }

    text.data = b.data;
    text.len = NGX_APIGW_CLI_DAY_TEXT - 1;

    if (b.len != NGX_APIGW_CLI_DAY_TEXT + NGX_APIGW_CLI_EXPORT_HEX
        || ngx_apigw_cli_usage_date(&text, &ex->day) != NGX_OK)
    {
        ngx_apigw_cli_buf_free(&b);
        return ngx_apigw_cli_error("\"%s/" NGX_APIGW_CLI_EXPORT_CHAIN
                                   "\" is damaged", ex->dir);
    }

    ngx_memcpy(ex->digest, b.data + NGX_APIGW_CLI_DAY_TEXT,
               NGX_APIGW_CLI_EXPORT_HEX - 1);
    ex->found = 1;

    ngx_apigw_cli_buf_free(&b);

    return NGX_APIGW_CLI_DONE;
}


/* A chain that goes on from a lost or altered file could never be verified. */

static int
ngx_apigw_cli_export_check_last(ngx_apigw_cli_export_t *ex)
{
    int                   rc;
    char                  text[NGX_APIGW_CLI_DAY_TEXT];
    char                  name[NGX_APIGW_CLI_EXPORT_LINE];
    char                  digest[NGX_APIGW_CLI_EXPORT_HEX];
    const char           *what;
    ngx_apigw_cli_buf_t   b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    snprintf(name, sizeof(name), NGX_APIGW_CLI_EXPORT_NAME,
             ngx_apigw_cli_usage_day(ex->day, text));

    what = NULL;
    rc = ngx_apigw_cli_export_load(ex->dir, name, &b);

    if (rc == ENOENT) {
        what = "is missing";

    } else if (rc != 0) {
        what = strerror(rc);

    } else if (ngx_apigw_cli_export_digest(digest, b.data, b.len) != 0
               || memcmp(digest, ex->digest, NGX_APIGW_CLI_EXPORT_HEX - 1)
                  != 0)
    {
        what = "was altered";
    }

    ngx_apigw_cli_buf_free(&b);

    if (what == NULL) {
        return NGX_APIGW_CLI_DONE;
    }

    return ngx_apigw_cli_error("\"%s/%s\" %s: nothing is exported until it "
                               "is put back from a copy; to write all days "
                               "that the store has, export to an empty "
                               "directory", ex->dir, name, what);
}


/* Ends the walk at the first entry there is. */

static int
ngx_apigw_cli_export_first(void *data, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_row_t *row)
{
    uint32_t *day = data;

    *day = info->day;

    return ECANCELED;
}


static int
ngx_apigw_cli_export_row(void *data, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_row_t *row)
{
    ngx_apigw_cli_buf_t *b = data;

    ngx_str_t   name;
    ngx_uint_t  i;

    static const char  *names[] = { "consumer", "key", "plan", "api",
                                    "version" };

    ngx_apigw_cli_buf_puts(b, "{");

    for (i = 0; i < NGX_APIGW_LEDGER_NAMES; i++) {
        name = ngx_apigw_cli_usage_name(info, i);
        ngx_apigw_cli_json_text(b, names[i], &name);
    }

    for (i = 0; row && i < NGX_APIGW_LEDGER_FIELDS; i++) {
        ngx_apigw_cli_json_number(b, ngx_apigw_ledger_fields[i],
                                  (int64_t) row->n[i]);
    }

    if (row == NULL) {
        ngx_apigw_cli_json_number(b, "damaged", 1);
    }

    ngx_apigw_cli_buf_puts(b, "}\n");

    return 0;
}


static int
ngx_apigw_cli_export_day(ngx_apigw_cli_export_t *ex, ngx_apigw_store_t *store,
    uint32_t day)
{
    int                   rc;
    char                  text[NGX_APIGW_CLI_DAY_TEXT];
    char                  name[NGX_APIGW_CLI_EXPORT_LINE];
    char                  line[NGX_APIGW_CLI_EXPORT_LINE];
    ngx_apigw_cli_buf_t   b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_export_head(line, ex, day);
    ngx_apigw_cli_buf_puts(&b, line);

    rc = ngx_apigw_cli_usage_walk(store, day, day, ngx_apigw_cli_export_row,
                                  &b, &ex->damaged);

    if (rc != 0) {
        ngx_apigw_cli_buf_free(&b);
        return ngx_apigw_cli_usage_failed(rc);
    }

    snprintf(name, sizeof(name), NGX_APIGW_CLI_EXPORT_NAME,
             ngx_apigw_cli_usage_day(day, text));

    rc = ngx_apigw_cli_export_write(ex->dir, name, b.data, b.len);

    if (rc == 0) {
        rc = ngx_apigw_cli_export_digest(ex->digest, b.data, b.len);
    }

    ngx_apigw_cli_buf_free(&b);

    /* the file first: if we are killed here it is written once more */

    if (rc == 0) {
        snprintf(line, sizeof(line), "%s %s\n", text, ex->digest);
        rc = ngx_apigw_cli_export_write(ex->dir, NGX_APIGW_CLI_EXPORT_CHAIN,
                                        line, strlen(line));
    }

    if (rc != 0) {
        return ngx_apigw_cli_export_denied(ex, name, rc);
    }

    ex->day = day;
    ex->found = 1;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));
    ngx_apigw_cli_buf_puts(&b, name);
    ngx_apigw_cli_buf_puts(&b, "\n");

    rc = ngx_apigw_cli_flush(&b) == NGX_OK ? NGX_APIGW_CLI_DONE
                                           : NGX_APIGW_CLI_FAILED;
    ngx_apigw_cli_buf_free(&b);

    return rc;
}


static int
ngx_apigw_cli_export_denied(const ngx_apigw_cli_export_t *ex,
    const char *name, int rc)
{
    const char  *why;

    why = "";

    if (rc == EACCES && ex->cli->uid == 0) {
        why = " (root works as the owner of the store, who may not write "
              "there)";
    }

    return ngx_apigw_cli_error("cannot write \"%s/%s\": %s%s", ex->dir, name,
                               strerror(rc), why);
}


/* The first line of a day's file, given the chain so far. */

static void
ngx_apigw_cli_export_head(char *line, const ngx_apigw_cli_export_t *ex,
    uint32_t day)
{
    char  text[NGX_APIGW_CLI_DAY_TEXT], before[NGX_APIGW_CLI_DAY_TEXT];

    (void) ngx_apigw_cli_usage_day(day, text);

    if (!ex->found) {
        snprintf(line, NGX_APIGW_CLI_EXPORT_LINE,
                 "{\"day\":\"%s\",\"previous\":null,\"sha256\":null}\n", text);
        return;
    }

    snprintf(line, NGX_APIGW_CLI_EXPORT_LINE,
             "{\"day\":\"%s\",\"previous\":\"%s\",\"sha256\":\"%s\"}\n",
             text, ngx_apigw_cli_usage_day(ex->day, before), ex->digest);
}


/* In a temporary file, synced, then renamed; 0 or errno. */

static int
ngx_apigw_cli_export_write(const char *dir, const char *name, const void *data,
    size_t len)
{
    int      fd, rc;
    char     path[NGX_MAX_PATH], temp[NGX_MAX_PATH];
    size_t   done;
    ssize_t  n;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name)
        >= (int) sizeof(path)
        || snprintf(temp, sizeof(temp), "%s/%s.tmp", dir, name)
           >= (int) sizeof(temp))
    {
        return ENAMETOOLONG;
    }

    fd = open(temp, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0644);

    if (fd == -1) {
        return errno;
    }

    rc = 0;

    for (done = 0; done < len; done += n) {
        n = write(fd, (const char *) data + done, len - done);

        if (n == -1) {
            rc = errno;
            break;
        }
    }

    if (rc == 0 && fsync(fd) == -1) {
        rc = errno;
    }

    if (close(fd) == -1 && rc == 0) {
        rc = errno;
    }

    if (rc == 0 && rename(temp, path) == -1) {
        rc = errno;
    }

    if (rc != 0) {
        (void) unlink(temp);
    }

    return rc;
}


static int
ngx_apigw_cli_export_load(const char *dir, const char *name,
    ngx_apigw_cli_buf_t *b)
{
    int      fd, rc;
    char     path[NGX_MAX_PATH], data[65536];
    ssize_t  n;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name)
        >= (int) sizeof(path))
    {
        return ENAMETOOLONG;
    }

    fd = open(path, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return errno;
    }

    while ((n = read(fd, data, sizeof(data))) > 0) {
        ngx_apigw_cli_buf_add(b, data, n);
    }

    rc = n == -1 ? errno : 0;

    (void) close(fd);

    return rc;
}


static int
ngx_apigw_cli_export_digest(char *hex, const void *data, size_t len)
{
    unsigned  i, n;
    u_char    digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL) != 1) {
        return EIO;
    }

    for (i = 0; i < n; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }

    return 0;
}


int
ngx_apigw_cli_usage_verify(ngx_apigw_cli_t *cli)
{
    int                      rc;
    uint32_t                 first = 0;
    ngx_apigw_cli_export_t   ex;

    rc = ngx_apigw_cli_export_dir(cli, &ex);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    if (!ex.found) {
        return ngx_apigw_cli_error("\"%s/" NGX_APIGW_CLI_EXPORT_CHAIN
                                   "\" is missing", ex.dir);
    }

    if (ngx_apigw_cli_verify_first(ex.dir, &first) != NGX_OK) {
        return ngx_apigw_cli_error("there are no files in \"%s\"", ex.dir);
    }

    return ngx_apigw_cli_verify_days(&ex, first);
}


static ngx_int_t
ngx_apigw_cli_verify_first(const char *dir, uint32_t *first)
{
    DIR            *d;
    uint32_t        day;
    ngx_str_t       text;
    ngx_uint_t      found;
    struct dirent  *entry;

    d = opendir(dir);

    if (d == NULL) {
        return NGX_ERROR;
    }

    found = 0;
    *first = 0;

    while ((entry = readdir(d)) != NULL) {

        if (strlen(entry->d_name) != sizeof("usage-2026-01-31.ndjson") - 1
            || strncmp(entry->d_name, "usage-", 6) != 0)
        {
            continue;
        }

        text.data = (u_char *) entry->d_name + 6;
        text.len = NGX_APIGW_CLI_DAY_TEXT - 1;

        if (ngx_apigw_cli_usage_date(&text, &day) == NGX_OK
            && (!found || day < *first))
        {
            *first = day;
            found = 1;
        }
    }

    (void) closedir(d);

    return found ? NGX_OK : NGX_ERROR;
}


static int
ngx_apigw_cli_verify_days(ngx_apigw_cli_export_t *ex, uint32_t first)
{
    int                      rc;
    char                     text[NGX_APIGW_CLI_DAY_TEXT];
    char                     name[NGX_APIGW_CLI_EXPORT_LINE];
    char                     line[NGX_APIGW_CLI_EXPORT_LINE];
    size_t                   len;
    uint32_t                 day;
    ngx_apigw_cli_buf_t      b;
    ngx_apigw_cli_export_t   chain;

    ngx_memzero(&chain, sizeof(ngx_apigw_cli_export_t));

    for (day = first; day <= ex->day; day++) {
        ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

        snprintf(name, sizeof(name), NGX_APIGW_CLI_EXPORT_NAME,
                 ngx_apigw_cli_usage_day(day, text));

        rc = ngx_apigw_cli_export_load(ex->dir, name, &b);

        if (rc != 0) {
            return ngx_apigw_cli_error("\"%s/%s\": %s", ex->dir, name,
                                       rc == ENOENT ? "is missing"
                                                    : strerror(rc));
        }

        ngx_apigw_cli_export_head(line, &chain, day);
        len = strlen(line);

        if (b.len < len || memcmp(b.data, line, len) != 0) {
            ngx_apigw_cli_buf_free(&b);

            return ngx_apigw_cli_error("\"%s/%s\" does not continue the file "
                                       "before, one of them was altered or "
                                       "is missing", ex->dir, name);
        }

        rc = ngx_apigw_cli_export_digest(chain.digest, b.data, b.len);

        ngx_apigw_cli_buf_free(&b);

        if (rc != 0) {
            return ngx_apigw_cli_error("SHA-256 is not available");
        }

        chain.day = day;
        chain.found = 1;
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
