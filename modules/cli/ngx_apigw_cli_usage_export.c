/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <dirent.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/random.h>

#include "ngx_apigw_cli_usage_export.h"
#include "ngx_apigw_store_file.h"


/*
 * A file for each day that is over, usage-2026-01-31.ndjson.  Its first line
 * is
 *
 *     {"day":"2026-01-31","previous":"2026-01-30","sha256":"...","store":"..."}
 *
 * with the digest of the file before, both null in the first file, and which
 * store it is of; then lines that amend days before, a line for each entry,
 * one that is damaged without numbers.  The file "chain" has the last day and
 * the digest of its file, so that the last one cannot be altered or lost
 * unseen either; "none" before there is a day.  Days without requests have
 * files, too.
 *
 * A file is whole and on disk under a temporary name before "chain" tells of
 * it, and gets its name then: what is there under the name of a day has its
 * place in the chain, whenever a process is killed.
 *
 * Who exports has the directory locked, who verifies locks it shared.
 */


#define NGX_APIGW_CLI_EXPORT_LATE   3600
#define NGX_APIGW_CLI_EXPORT_DAYS   7        /* that may be amended */
#define NGX_APIGW_CLI_EXPORT_MOST   366
#define NGX_APIGW_CLI_EXPORT_WAIT   100      /* times 10 ms, then it says so */
#define NGX_APIGW_CLI_EXPORT_TEMP   ".tmp"
#define NGX_APIGW_CLI_EXPORT_STORE  "id"     /* in the store's meta */


static int ngx_apigw_cli_export_late_days(ngx_apigw_cli_t *cli,
    uint32_t *late);
static int ngx_apigw_cli_export_begin(ngx_apigw_cli_export_t *ex,
    ngx_apigw_store_t *store, uint32_t today, uint32_t *day);
static int ngx_apigw_cli_export_check_last(ngx_apigw_cli_export_t *ex);
static int ngx_apigw_cli_export_check_store(ngx_apigw_cli_export_t *ex,
    ngx_apigw_store_t *store);
static int ngx_apigw_cli_export_store(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static int ngx_apigw_cli_export_first(void *data,
    const ngx_apigw_ledger_info_t *info, const ngx_apigw_ledger_row_t *row);
static int ngx_apigw_cli_export_row(void *data,
    const ngx_apigw_ledger_info_t *info, const ngx_apigw_ledger_row_t *row);
static int ngx_apigw_cli_export_day(ngx_apigw_cli_export_t *ex,
    ngx_apigw_store_t *store, uint32_t day, ngx_apigw_cli_buf_t *late);
static int ngx_apigw_cli_export_gone(const ngx_apigw_cli_export_t *ex,
    uint32_t first, uint32_t last);
static int ngx_apigw_cli_export_none(const ngx_apigw_cli_export_t *ex);
static int ngx_apigw_cli_export_put(ngx_apigw_cli_export_t *ex, uint32_t day,
    const char *name, ngx_apigw_cli_buf_t *b);
static int ngx_apigw_cli_export_denied(const ngx_apigw_cli_export_t *ex,
    const char *name, int rc);
static int ngx_apigw_cli_export_write(const char *dir, const char *name,
    const void *data, size_t len);
static int ngx_apigw_cli_export_rename(const ngx_apigw_cli_export_t *ex,
    const char *name);


int
ngx_apigw_cli_usage_export(ngx_apigw_cli_t *cli)
{
    int                      rc;
    uint32_t                 today, day = 0, late = 0;
    ngx_apigw_store_t       *store;
    ngx_apigw_cli_buf_t      b;
    ngx_apigw_cli_export_t   ex;

    rc = ngx_apigw_cli_export_late_days(cli, &late);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_export_dir(cli, &ex);
    }

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

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    rc = ngx_apigw_cli_export_begin(&ex, store, today, &day);

    if (rc == NGX_APIGW_CLI_DONE && day < today) {
        rc = ngx_apigw_cli_export_check_store(&ex, store);

        if (rc == NGX_APIGW_CLI_DONE && ex.found) {
            rc = ngx_apigw_cli_export_late(&ex, store, late, &b);
        }

    } else if (rc == NGX_APIGW_CLI_DONE && !ex.found && !ex.none) {
        rc = ngx_apigw_cli_export_none(&ex);
    }

    for ( /* void */ ; rc == NGX_APIGW_CLI_DONE && day < today; day++) {
        rc = ngx_apigw_cli_export_day(&ex, store, day, &b);
    }

    ngx_apigw_cli_buf_free(&b);
    ngx_apigw_store_close(store);

    if (ex.fd != -1) {
        (void) close(ex.fd);
    }

    return rc == NGX_APIGW_CLI_DONE ? ngx_apigw_cli_usage_damaged(ex.damaged)
                                    : rc;
}


static int
ngx_apigw_cli_export_late_days(ngx_apigw_cli_t *cli, uint32_t *late)
{
    int64_t                      n;
    ngx_apigw_cli_usage_conf_t  *conf;

    conf = cli->conf;
    n = NGX_APIGW_CLI_EXPORT_DAYS;

    if (conf->late.data
        && (ngx_apigw_cli_number(&conf->late, &n) != NGX_OK
            || n > NGX_APIGW_CLI_EXPORT_MOST))
    {
        return ngx_apigw_cli_usage(cli, "--late is a number of days, 0 to %d, "
                                   "not \"%s\"", NGX_APIGW_CLI_EXPORT_MOST,
                                   conf->late.data);
    }

    *late = (uint32_t) n;

    return NGX_APIGW_CLI_DONE;
}


int
ngx_apigw_cli_export_dir(ngx_apigw_cli_t *cli, ngx_apigw_cli_export_t *ex)
{
    struct stat                  sb;
    ngx_apigw_cli_usage_conf_t  *conf;

    conf = cli->conf;

    ngx_memzero(ex, sizeof(ngx_apigw_cli_export_t));

    ex->fd = -1;

    if (conf->dir.data == NULL) {
        (void) ngx_apigw_cli_usage(cli, "--dir DIR is missing");
        return NGX_APIGW_CLI_USAGE;
    }

    ex->cli = cli;
    ex->dir = ngx_apigw_cli_path(&cli->output, (char *) conf->dir.data);

    if (stat(ex->dir, &sb) == -1 || !S_ISDIR(sb.st_mode)) {
        return ngx_apigw_cli_error("there is no directory \"%s\"", ex->dir);
    }

    return NGX_APIGW_CLI_DONE;
}


/* The first day to write, with nobody else at it, if all is in order. */

static int
ngx_apigw_cli_export_begin(ngx_apigw_cli_export_t *ex,
    ngx_apigw_store_t *store, uint32_t today, uint32_t *day)
{
    int                            rc;
    dev_t                          device;
    ino_t                          inode;
    char                           path[NGX_MAX_PATH];
    struct stat                    sb;
    ngx_apigw_cli_usage_walk_t     walk;
    ngx_apigw_cli_export_files_t   files;

    /* asked before a day is over that could not be written */

    if (access(ex->dir, W_OK|X_OK) == -1) {
        return ngx_apigw_cli_export_denied(ex, NGX_APIGW_CLI_EXPORT_CHAIN,
                                           errno);
    }

    /* whose lock is that of who opens the store */

    ngx_apigw_store_file(store, &device, &inode);

    if (ngx_apigw_store_name(path, ex->dir, NGX_APIGW_STORE_DATA) == 0
        && stat(path, &sb) == 0 && sb.st_dev == device && sb.st_ino == inode)
    {
        return ngx_apigw_cli_error("\"%s\" is the directory of the store, "
                                   "files need one of their own", ex->dir);
    }

    rc = ngx_apigw_cli_export_lock(ex, LOCK_EX);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_export_read_chain(ex);
    }

    if (rc == NGX_APIGW_CLI_DONE && ex->found) {
        rc = ngx_apigw_cli_export_check_last(ex);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_export_files(ex, &files);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_export_check_files(ex, &files);
    }

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    *day = today;

    if (ex->found) {
        *day = ex->day + 1;
        return NGX_APIGW_CLI_DONE;
    }

    ngx_memzero(&walk, sizeof(ngx_apigw_cli_usage_walk_t));

    walk.to = today - 1;

    rc = ngx_apigw_cli_usage_walk(store, &walk, ngx_apigw_cli_export_first,
                                  day);

    if (rc != 0 && rc != ECANCELED) {
        return ngx_apigw_cli_usage_failed(rc);
    }

    return NGX_APIGW_CLI_DONE;
}


int
ngx_apigw_cli_export_lock(ngx_apigw_cli_export_t *ex, int how)
{
    ngx_uint_t  i;

    ex->fd = open(ex->dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (ex->fd == -1) {
        return ngx_apigw_cli_error("cannot read \"%s\": %s", ex->dir,
                                   strerror(errno));
    }

    for (i = 0; flock(ex->fd, how|LOCK_NB) == -1; i++) {

        if (errno != EWOULDBLOCK && errno != EINTR) {

            /* a file system without such locks */

            break;
        }

        if (i == NGX_APIGW_CLI_EXPORT_WAIT) {
            ngx_apigw_cli_note("another process works in \"%s\", waiting for "
                               "it", ex->dir);
        }

        (void) usleep(10000);
    }

    return NGX_APIGW_CLI_DONE;
}


int
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
                                   ex->dir, ngx_apigw_cli_export_strerror(rc));
    }

    if (b.len == sizeof(NGX_APIGW_CLI_EXPORT_NONE) - 1
        && memcmp(b.data, NGX_APIGW_CLI_EXPORT_NONE, b.len) == 0)
    {
        ngx_apigw_cli_buf_free(&b);
        ex->none = 1;
        return NGX_APIGW_CLI_DONE;
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


int
ngx_apigw_cli_export_files(const ngx_apigw_cli_export_t *ex,
    ngx_apigw_cli_export_files_t *files)
{
    DIR            *d;
    size_t          len;
    uint32_t        day;
    ngx_str_t       text;
    struct dirent  *entry;

    ngx_memzero(files, sizeof(ngx_apigw_cli_export_files_t));

    d = opendir(ex->dir);

    if (d == NULL) {
        return ngx_apigw_cli_error("cannot read \"%s\": %s", ex->dir,
                                   strerror(errno));
    }

    while ((entry = readdir(d)) != NULL) {
        len = strlen(entry->d_name);

        if (len < sizeof("usage-.ndjson") - 1
            || strncmp(entry->d_name, "usage-", 6) != 0
            || strcmp(entry->d_name + len - 7, ".ndjson") != 0)
        {
            continue;
        }

        text.data = (u_char *) entry->d_name + 6;
        text.len = len - 6 - 7;

        if (ngx_apigw_cli_usage_date(&text, &day) != NGX_OK) {
            snprintf(files->stray, sizeof(files->stray), "%s", entry->d_name);
            continue;
        }

        files->first = files->n ? ngx_min(files->first, day) : day;
        files->last = files->n ? ngx_max(files->last, day) : day;
        files->n++;
    }

    (void) closedir(d);

    return NGX_APIGW_CLI_DONE;
}


/* Files that the chain does not know are nobody's to overwrite. */

int
ngx_apigw_cli_export_check_files(const ngx_apigw_cli_export_t *ex,
    const ngx_apigw_cli_export_files_t *files)
{
    char  name[NGX_APIGW_CLI_EXPORT_LINE];

    if (files->n && ex->none) {
        return ngx_apigw_cli_error("\"%s/%s\" is not in the chain, which has "
                                   "no day yet: put \""
                                   NGX_APIGW_CLI_EXPORT_CHAIN "\" back from a "
                                   "copy, or move the file away", ex->dir,
                                   ngx_apigw_cli_export_name(name,
                                                             files->last));
    }

    if (files->n && !ex->found) {
        return ngx_apigw_cli_error("\"%s/" NGX_APIGW_CLI_EXPORT_CHAIN "\" is "
                                   "missing, and there are files of days: put "
                                   "it back from a copy; to write all days "
                                   "that the store has, export to an empty "
                                   "directory", ex->dir);
    }

    if (files->n && files->last > ex->day) {
        return ngx_apigw_cli_error("\"%s/%s\" is not in the chain, which ends "
                                   "before: put \"" NGX_APIGW_CLI_EXPORT_CHAIN
                                   "\" back from a copy, or move the file "
                                   "away", ex->dir,
                                   ngx_apigw_cli_export_name(name,
                                                             files->last));
    }

    if (files->stray[0]) {
        return ngx_apigw_cli_error("\"%s/%s\" is not in the chain and not of "
                                   "a day: move it away", ex->dir,
                                   files->stray);
    }

    return NGX_APIGW_CLI_DONE;
}


/* A chain that goes on from a lost or altered file could never be verified. */

static int
ngx_apigw_cli_export_check_last(ngx_apigw_cli_export_t *ex)
{
    int                   rc;
    char                  name[NGX_APIGW_CLI_EXPORT_LINE];
    char                  digest[NGX_APIGW_CLI_EXPORT_HEX];
    u_char               *p;
    size_t                len;
    const char           *what;
    ngx_apigw_cli_buf_t   b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    what = NULL;
    rc = ngx_apigw_cli_export_load_last(ex, &b, 1);

    if (rc == ENOENT) {
        what = "is missing";

    } else if (rc != 0) {
        what = ngx_apigw_cli_export_strerror(rc);

    } else if (ngx_apigw_cli_export_digest(digest, b.data, b.len) != 0
               || memcmp(digest, ex->digest, NGX_APIGW_CLI_EXPORT_HEX - 1)
                  != 0)
    {
        what = "was altered";

    } else {
        p = b.len ? memchr(b.data, '\n', b.len) : NULL;
        len = p ? (size_t) (p - b.data) : 0;

        /* files of earlier versions do not tell the store */

        p = len ? memmem(b.data, len, ",\"store\"", 8) : NULL;

        if (p && ngx_apigw_cli_export_head_id(&b, p - b.data, ex->id)
                 != NGX_OK)
        {
            what = "was altered";
        }
    }

    ngx_apigw_cli_buf_free(&b);

    if (what == NULL) {
        return NGX_APIGW_CLI_DONE;
    }

    return ngx_apigw_cli_export_broken(ex,
                                       ngx_apigw_cli_export_name(name,
                                                                 ex->day),
                                       what);
}


int
ngx_apigw_cli_export_broken(const ngx_apigw_cli_export_t *ex, const char *name,
    const char *what)
{
    return ngx_apigw_cli_error("\"%s/%s\" %s: nothing is exported until it "
                               "is put back from a copy; to write all days "
                               "that the store has, export to an empty "
                               "directory", ex->dir, name, what);
}


int
ngx_apigw_cli_export_load_last(ngx_apigw_cli_export_t *ex,
    ngx_apigw_cli_buf_t *b, ngx_uint_t finish)
{
    int   rc;
    char  name[NGX_APIGW_CLI_EXPORT_LINE], temp[NGX_APIGW_CLI_EXPORT_LINE];
    char  digest[NGX_APIGW_CLI_EXPORT_HEX];

    (void) ngx_apigw_cli_export_name(name, ex->day);

    rc = ngx_apigw_cli_export_load(ex->dir, name, b);

    if (rc != ENOENT) {
        return rc;
    }

    snprintf(temp, sizeof(temp), "%.40s" NGX_APIGW_CLI_EXPORT_TEMP, name);

    if (ngx_apigw_cli_export_load(ex->dir, temp, b) != 0
        || ngx_apigw_cli_export_digest(digest, b->data, b->len) != 0
        || memcmp(digest, ex->digest, NGX_APIGW_CLI_EXPORT_HEX - 1) != 0)
    {
        b->len = 0;
        return ENOENT;
    }

    return finish ? ngx_apigw_cli_export_rename(ex, name) : 0;
}


/* Which store this is; a store gets its number with its first file. */

static int
ngx_apigw_cli_export_check_store(ngx_apigw_cli_export_t *ex,
    ngx_apigw_store_t *store)
{
    int       rc;
    char      id[NGX_APIGW_CLI_EXPORT_ID];
    MDB_txn  *txn;

    id[0] = '\0';

    rc = ngx_apigw_store_read(store, &txn);

    if (rc == 0) {
        rc = ngx_apigw_cli_export_store(NULL, txn, id);
        ngx_apigw_store_read_end(store);
    }

    if (rc == NGX_APIGW_STORE_EEMPTY) {
        rc = MDB_NOTFOUND;
    }

    if (rc == MDB_NOTFOUND && ex->id[0] == '\0') {
        rc = ngx_apigw_store_write(store, ngx_apigw_cli_export_store, id);

        if (rc == EROFS) {
            return NGX_APIGW_CLI_DONE;
        }
    }

    if (rc != 0 && rc != MDB_NOTFOUND) {
        return ngx_apigw_cli_usage_failed(rc);
    }

    if (ex->id[0] && strcmp(ex->id, id) != 0) {
        return ngx_apigw_cli_error("the files in \"%s\" are of another store: "
                                   "export each store to a directory of its "
                                   "own", ex->dir);
    }

    ngx_memcpy(ex->id, id, NGX_APIGW_CLI_EXPORT_ID);

    return NGX_APIGW_CLI_DONE;
}


/* Reads the number, or makes it in a transaction of a writer. */

static int
ngx_apigw_cli_export_store(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    char *id = data;

    int       rc;
    size_t    i;
    u_char    random[NGX_APIGW_CLI_EXPORT_ID / 2];
    MDB_dbi   dbi;
    MDB_val   key, value;

    key.mv_data = (void *) NGX_APIGW_CLI_EXPORT_STORE;
    key.mv_size = sizeof(NGX_APIGW_CLI_EXPORT_STORE) - 1;

    rc = mdb_dbi_open(txn, NGX_APIGW_STORE_META, 0, &dbi);

    if (rc == 0) {
        rc = mdb_get(txn, dbi, &key, &value);
    }

    if (rc == 0) {
        if (value.mv_size != NGX_APIGW_CLI_EXPORT_ID - 1) {
            return MDB_CORRUPTED;
        }

        ngx_memcpy(id, value.mv_data, value.mv_size);
        id[value.mv_size] = '\0';

        return 0;
    }

    if (rc != MDB_NOTFOUND || store == NULL) {
        return rc;
    }

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        return errno;
    }

    for (i = 0; i < sizeof(random); i++) {
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    }

    value.mv_data = id;
    value.mv_size = NGX_APIGW_CLI_EXPORT_ID - 1;

    return mdb_put(txn, dbi, &key, &value, 0);
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

    ngx_apigw_cli_export_names(b, info);

    if (row) {
        ngx_apigw_cli_export_numbers(b, row);

    } else {
        ngx_apigw_cli_json_number(b, "damaged", 1);
    }

    ngx_apigw_cli_buf_puts(b, "}\n");

    return 0;
}


void
ngx_apigw_cli_export_names(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_ledger_info_t *info)
{
    ngx_str_t   name;
    ngx_uint_t  i;

    static const char  *names[] = { "consumer", "key", "plan", "api",
                                    "version" };

    ngx_apigw_cli_buf_puts(b, "{");

    for (i = 0; i < NGX_APIGW_LEDGER_NAMES; i++) {
        name = ngx_apigw_cli_usage_name(info, i);
        ngx_apigw_cli_json_text(b, names[i], &name);
    }
}


void
ngx_apigw_cli_export_numbers(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_ledger_row_t *row)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++) {
        ngx_apigw_cli_json_number(b, ngx_apigw_ledger_fields[i],
                                  (int64_t) row->n[i]);
    }
}


/* What is late goes into the first file that is written. */

static int
ngx_apigw_cli_export_day(ngx_apigw_cli_export_t *ex, ngx_apigw_store_t *store,
    uint32_t day, ngx_apigw_cli_buf_t *late)
{
    int                          rc;
    char                         name[NGX_APIGW_CLI_EXPORT_LINE];
    char                         line[NGX_APIGW_CLI_EXPORT_LINE];
    ngx_apigw_cli_buf_t          b;
    ngx_apigw_cli_usage_walk_t   walk;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_export_head(line, ex, day);
    ngx_apigw_cli_buf_puts(&b, line);

    if (ex->id[0]) {
        ngx_apigw_cli_buf_puts(&b, ",\"store\":\"");
        ngx_apigw_cli_buf_puts(&b, ex->id);
        ngx_apigw_cli_buf_puts(&b, "\"");
    }

    ngx_apigw_cli_buf_puts(&b, "}\n");
    ngx_apigw_cli_buf_add(&b, late->data, late->len);

    walk.from = day;
    walk.to = day;
    walk.damaged = 0;

    rc = ngx_apigw_cli_usage_walk(store, &walk, ngx_apigw_cli_export_row, &b);

    if (rc != 0) {
        ngx_apigw_cli_buf_free(&b);
        return ngx_apigw_cli_usage_failed(rc);
    }

    if (day < walk.kept) {
        ngx_apigw_cli_buf_free(&b);
        return ngx_apigw_cli_export_gone(ex, day, walk.kept - 1);
    }

    ex->damaged += walk.damaged;

    (void) ngx_apigw_cli_export_name(name, day);

    rc = ngx_apigw_cli_export_put(ex, day, name, &b);

    ngx_apigw_cli_buf_free(&b);

    if (rc != 0) {
        return ngx_apigw_cli_export_denied(ex, name, rc);
    }

    late->len = 0;
    ex->day = day;
    ex->found = 1;

    ngx_apigw_cli_buf_puts(&b, name);
    ngx_apigw_cli_buf_puts(&b, "\n");

    rc = ngx_apigw_cli_flush(&b) == NGX_OK ? NGX_APIGW_CLI_DONE
                                           : NGX_APIGW_CLI_FAILED;
    ngx_apigw_cli_buf_free(&b);

    return rc;
}


/* A file without the entries that were deleted would be a false proof. */

static int
ngx_apigw_cli_export_gone(const ngx_apigw_cli_export_t *ex, uint32_t first,
    uint32_t last)
{
    char  from[NGX_APIGW_CLI_DAY_TEXT], to[NGX_APIGW_CLI_DAY_TEXT];

    return ngx_apigw_cli_error("the store has not all of %s to %s any more, "
                               "retention has deleted it before it was "
                               "exported to \"%s\": to write the days after "
                               "that, export to an empty directory",
                               ngx_apigw_cli_usage_day(first, from),
                               ngx_apigw_cli_usage_day(last, to), ex->dir);
}


/* A chain without a day, so that who verifies knows that none was lost. */

static int
ngx_apigw_cli_export_none(const ngx_apigw_cli_export_t *ex)
{
    int  rc;

    rc = ngx_apigw_cli_export_write(ex->dir, NGX_APIGW_CLI_EXPORT_CHAIN,
                                    NGX_APIGW_CLI_EXPORT_NONE,
                                    sizeof(NGX_APIGW_CLI_EXPORT_NONE) - 1);

    if (rc == 0) {
        rc = ngx_apigw_cli_export_rename(ex, NGX_APIGW_CLI_EXPORT_CHAIN);
    }

    return rc == 0 ? NGX_APIGW_CLI_DONE
                   : ngx_apigw_cli_export_denied(ex,
                                            NGX_APIGW_CLI_EXPORT_CHAIN, rc);
}


/* The file, the chain, the file's name: each on disk before the next. */

static int
ngx_apigw_cli_export_put(ngx_apigw_cli_export_t *ex, uint32_t day,
    const char *name, ngx_apigw_cli_buf_t *b)
{
    int   rc;
    char  text[NGX_APIGW_CLI_DAY_TEXT], line[NGX_APIGW_CLI_EXPORT_LINE];
    char  digest[NGX_APIGW_CLI_EXPORT_HEX];

    rc = ngx_apigw_cli_export_digest(digest, b->data, b->len);

    if (rc == 0) {
        rc = ngx_apigw_cli_export_write(ex->dir, name, b->data, b->len);
    }

    if (rc == 0) {
        snprintf(line, sizeof(line), "%s %s\n",
                 ngx_apigw_cli_usage_day(day, text), digest);

        rc = ngx_apigw_cli_export_write(ex->dir, NGX_APIGW_CLI_EXPORT_CHAIN,
                                        line, strlen(line));
    }

    if (rc == 0) {
        (void) fsync(ex->fd);
        rc = ngx_apigw_cli_export_rename(ex, NGX_APIGW_CLI_EXPORT_CHAIN);
    }

    if (rc == 0) {
        rc = ngx_apigw_cli_export_rename(ex, name);
    }

    if (rc == 0) {
        ngx_memcpy(ex->digest, digest, NGX_APIGW_CLI_EXPORT_HEX);
    }

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


void
ngx_apigw_cli_export_head(char *line, const ngx_apigw_cli_export_t *ex,
    uint32_t day)
{
    char  text[NGX_APIGW_CLI_DAY_TEXT], before[NGX_APIGW_CLI_DAY_TEXT];

    (void) ngx_apigw_cli_usage_day(day, text);

    if (!ex->found) {
        snprintf(line, NGX_APIGW_CLI_EXPORT_LINE,
                 "{\"day\":\"%s\",\"previous\":null,\"sha256\":null", text);
        return;
    }

    snprintf(line, NGX_APIGW_CLI_EXPORT_LINE,
             "{\"day\":\"%s\",\"previous\":\"%s\",\"sha256\":\"%s\"",
             text, ngx_apigw_cli_usage_day(ex->day, before), ex->digest);
}


ngx_int_t
ngx_apigw_cli_export_head_id(const ngx_apigw_cli_buf_t *b, size_t len,
    char *id)
{
    size_t         i;
    const u_char  *p;

    p = b->data + len;
    len = b->len - len;

    if (len >= 2 && memcmp(p, "}\n", 2) == 0) {
        id[0] = '\0';
        return NGX_OK;
    }

    if (len < sizeof(",\"store\":\"\"}\n") - 1 + NGX_APIGW_CLI_EXPORT_ID - 1
        || memcmp(p, ",\"store\":\"", 10) != 0
        || memcmp(p + 10 + NGX_APIGW_CLI_EXPORT_ID - 1, "\"}\n", 3) != 0)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_APIGW_CLI_EXPORT_ID - 1; i++) {
        id[i] = (char) p[10 + i];
    }

    id[i] = '\0';

    return NGX_OK;
}


char *
ngx_apigw_cli_export_name(char *name, uint32_t day)
{
    char  text[NGX_APIGW_CLI_DAY_TEXT];

    snprintf(name, NGX_APIGW_CLI_EXPORT_LINE, NGX_APIGW_CLI_EXPORT_NAME,
             ngx_apigw_cli_usage_day(day, text));

    return name;
}


/* A temporary file, on disk, for _rename(); 0 or errno. */

static int
ngx_apigw_cli_export_write(const char *dir, const char *name, const void *data,
    size_t len)
{
    int      fd, rc;
    char     temp[NGX_MAX_PATH];
    size_t   done;
    ssize_t  n;

    if (snprintf(temp, sizeof(temp), "%s/%s" NGX_APIGW_CLI_EXPORT_TEMP, dir,
                 name)
        >= (int) sizeof(temp))
    {
        return ENAMETOOLONG;
    }

    if (unlink(temp) == -1 && errno != ENOENT) {
        return errno;
    }

    fd = open(temp, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644);

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

    if (rc != 0) {
        (void) unlink(temp);
    }

    return rc;
}


static int
ngx_apigw_cli_export_rename(const ngx_apigw_cli_export_t *ex, const char *name)
{
    char  path[NGX_MAX_PATH], temp[NGX_MAX_PATH];

    if (snprintf(path, sizeof(path), "%s/%s", ex->dir, name)
        >= (int) sizeof(path)
        || snprintf(temp, sizeof(temp), "%s/%s" NGX_APIGW_CLI_EXPORT_TEMP,
                    ex->dir, name)
           >= (int) sizeof(temp))
    {
        return ENAMETOOLONG;
    }

    if (rename(temp, path) == -1) {
        return errno;
    }

    (void) fsync(ex->fd);

    return 0;
}


int
ngx_apigw_cli_export_load(const char *dir, const char *name,
    ngx_apigw_cli_buf_t *b)
{
    int          fd, rc;
    char         path[NGX_MAX_PATH], data[65536];
    ssize_t      n;
    struct stat  sb;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name)
        >= (int) sizeof(path))
    {
        return ENAMETOOLONG;
    }

    rc = ngx_apigw_store_open_file(path, &fd, &sb);

    if (rc != 0) {
        return rc;
    }

    while ((n = read(fd, data, sizeof(data))) > 0) {
        ngx_apigw_cli_buf_add(b, data, n);
    }

    rc = n == -1 ? errno : 0;

    (void) close(fd);

    /* for who reads numbers at the end */

    ngx_apigw_cli_buf_add(b, "", 1);
    b->len--;

    return rc;
}


const char *
ngx_apigw_cli_export_strerror(int rc)
{
    return rc == NGX_APIGW_STORE_EFILE ? "is not a regular file"
                                       : strerror(rc);
}


int
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
