/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_usage_export.h"


/*
 * What was entered into a day when its file was there already: a request that
 * took longer than an hour, what could not be flushed in time, what a clock
 * that was set back has brought.  The files are read from the last one to the
 * first day that counts, each once.  The sum of a day is that of its own file
 * and of the lines of later ones that amend it, which have been seen by then.
 *
 * In memory: a file, the entries of its day, and the lines that amend any.
 *
 * Entries are only deleted with their day, so if one of a file is not in the
 * store, then that day is gone, or going.
 */


#define NGX_APIGW_CLI_LATE_MARK  "{\"amends\":\""


typedef struct {
    u_char                      *names;     /* as they stand in files */
    size_t                       len;
    uint32_t                     day;
    ngx_uint_t                   seen;      /* in the store */
    ngx_apigw_ledger_row_t       files;
    ngx_apigw_ledger_row_t       store;
} ngx_apigw_cli_late_row_t;


typedef struct {
    ngx_apigw_cli_late_row_t    *rows;
    size_t                       n;
    size_t                       size;
} ngx_apigw_cli_late_list_t;


typedef struct {
    uint32_t                     day;
    ngx_apigw_cli_late_list_t    table;     /* the day's, sorted */
    ngx_apigw_cli_late_list_t    amends;    /* of all days */
    ngx_apigw_cli_buf_t          names;
    ngx_apigw_cli_buf_t          out;
} ngx_apigw_cli_late_t;


static int ngx_apigw_cli_late_file(ngx_apigw_cli_export_t *ex,
    ngx_apigw_cli_late_t *late, ngx_apigw_store_t *store, char *expected);
static int ngx_apigw_cli_late_day(ngx_apigw_cli_late_t *late,
    ngx_apigw_store_t *store);
static ngx_int_t ngx_apigw_cli_late_read(ngx_apigw_cli_late_t *late,
    ngx_apigw_cli_buf_t *file);
static ngx_int_t ngx_apigw_cli_late_line(ngx_apigw_cli_late_t *late,
    u_char *p, u_char *last);
static ngx_int_t ngx_apigw_cli_late_numbers(ngx_apigw_ledger_row_t *row,
    u_char *p);
static ngx_apigw_cli_late_row_t *ngx_apigw_cli_late_push(
    ngx_apigw_cli_late_list_t *list);
static int ngx_apigw_cli_late_compare(const void *one, const void *two);
static void ngx_apigw_cli_late_merge(ngx_apigw_cli_late_list_t *list);
static int ngx_apigw_cli_late_entry(void *data,
    const ngx_apigw_ledger_info_t *info, const ngx_apigw_ledger_row_t *row);
static void ngx_apigw_cli_late_amend(ngx_apigw_cli_buf_t *b, uint32_t day,
    const u_char *names, size_t len, const ngx_apigw_ledger_row_t *row);
static ngx_uint_t ngx_apigw_cli_late_previous(ngx_apigw_cli_buf_t *file,
    char *digest);


int
ngx_apigw_cli_export_late(ngx_apigw_cli_export_t *ex, ngx_apigw_store_t *store,
    uint32_t days, ngx_apigw_cli_buf_t *b)
{
    int                    rc;
    char                   expected[NGX_APIGW_CLI_EXPORT_HEX];
    size_t                 i;
    uint32_t               n;
    ngx_apigw_cli_late_t   late;

    rc = NGX_APIGW_CLI_DONE;

    ngx_memzero(&late, sizeof(ngx_apigw_cli_late_t));
    ngx_memcpy(expected, ex->digest, NGX_APIGW_CLI_EXPORT_HEX);

    for (n = 0; rc == NGX_APIGW_CLI_DONE && n < days && n <= ex->day; n++) {
        late.day = ex->day - n;
        rc = ngx_apigw_cli_late_file(ex, &late, store, expected);
    }

    /* as far back as there are files; others may have been taken away */

    if (rc == NGX_DONE) {
        rc = NGX_APIGW_CLI_DONE;
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        ngx_apigw_cli_buf_add(b, late.out.data, late.out.len);
    }

    for (i = 0; i < late.amends.n; i++) {
        free(late.amends.rows[i].names);
    }

    free(late.amends.rows);
    free(late.table.rows);
    ngx_apigw_cli_buf_free(&late.names);
    ngx_apigw_cli_buf_free(&late.out);

    return rc;
}


/* The file of a day with that digest; NGX_DONE if none is before it. */

static int
ngx_apigw_cli_late_file(ngx_apigw_cli_export_t *ex, ngx_apigw_cli_late_t *late,
    ngx_apigw_store_t *store, char *expected)
{
    int                   rc;
    char                  name[NGX_APIGW_CLI_EXPORT_LINE];
    char                  digest[NGX_APIGW_CLI_EXPORT_HEX];
    ngx_apigw_cli_buf_t   file;

    ngx_memzero(&file, sizeof(ngx_apigw_cli_buf_t));

    (void) ngx_apigw_cli_export_name(name, late->day);

    rc = ngx_apigw_cli_export_load(ex->dir, name, &file);

    if (rc == ENOENT) {
        return NGX_DONE;
    }

    if (rc != 0) {
        rc = ngx_apigw_cli_export_broken(ex, name,
                                         ngx_apigw_cli_export_strerror(rc));

    } else if (ngx_apigw_cli_export_digest(digest, file.data, file.len) != 0
               || memcmp(digest, expected, NGX_APIGW_CLI_EXPORT_HEX - 1) != 0
               || ngx_apigw_cli_late_read(late, &file) != NGX_OK)
    {
        rc = ngx_apigw_cli_export_broken(ex, name, "was altered");

    } else {
        rc = ngx_apigw_cli_late_day(late, store);
    }

    if (rc == NGX_APIGW_CLI_DONE
        && !ngx_apigw_cli_late_previous(&file, expected))
    {
        rc = NGX_DONE;
    }

    ngx_apigw_cli_buf_free(&file);

    return rc;
}


/* Compares what files have of a day with what the store has. */

static int
ngx_apigw_cli_late_day(ngx_apigw_cli_late_t *late, ngx_apigw_store_t *store)
{
    int                          rc;
    size_t                       i, before;
    ngx_uint_t                   k, differs;
    ngx_apigw_ledger_row_t       row;
    ngx_apigw_cli_late_row_t    *r;
    ngx_apigw_cli_usage_walk_t   walk;

    for (i = 0; i < late->amends.n; i++) {
        if (late->amends.rows[i].day == late->day) {
            r = ngx_apigw_cli_late_push(&late->table);
            *r = late->amends.rows[i];
        }
    }

    ngx_apigw_cli_late_merge(&late->table);

    before = late->out.len;

    walk.from = late->day;
    walk.to = late->day;
    walk.damaged = 0;

    rc = ngx_apigw_cli_usage_walk(store, &walk, ngx_apigw_cli_late_entry,
                                  late);
    if (rc != 0) {
        return ngx_apigw_cli_usage_failed(rc);
    }

    if (late->day < walk.kept) {
        return NGX_APIGW_CLI_DONE;
    }

    for (i = 0; i < late->table.n; i++) {
        r = &late->table.rows[i];

        if (!r->seen) {

            /* the day was deleted, or a part of it so far */

            late->out.len = before;
            return NGX_APIGW_CLI_DONE;
        }

        differs = 0;

        for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
            row.n[k] = r->store.n[k] - r->files.n[k];
            differs |= (row.n[k] != 0);
        }

        if (differs) {
            ngx_apigw_cli_late_amend(&late->out, late->day, r->names, r->len,
                                     &row);
        }
    }

    return NGX_APIGW_CLI_DONE;
}


/* The lines behind the first one. */

static ngx_int_t
ngx_apigw_cli_late_read(ngx_apigw_cli_late_t *late, ngx_apigw_cli_buf_t *file)
{
    u_char      *p, *end, *last;
    ngx_uint_t   n;

    late->table.n = 0;

    p = file->data;
    last = file->data + file->len;

    for (n = 0; p < last; n++) {
        end = memchr(p, '\n', last - p);

        if (end == NULL) {
            return NGX_ERROR;
        }

        if (n > 0 && ngx_apigw_cli_late_line(late, p, end) != NGX_OK) {
            return NGX_ERROR;
        }

        p = end + 1;
    }

    return NGX_OK;
}


/*
 * Quotes within a name are escaped, so what looks like the next member is the
 * next member.
 */

static ngx_int_t
ngx_apigw_cli_late_line(ngx_apigw_cli_late_t *late, u_char *p, u_char *last)
{
    u_char                    *end, *copy;
    size_t                     len;
    uint32_t                   day;
    ngx_str_t                  text;
    ngx_apigw_cli_late_row_t  *row;

    len = sizeof(NGX_APIGW_CLI_LATE_MARK) - 1;
    day = late->day;

    if ((size_t) (last - p) > len + NGX_APIGW_CLI_DAY_TEXT + 2
        && memcmp(p, NGX_APIGW_CLI_LATE_MARK, len) == 0)
    {
        text.data = p + len;
        text.len = NGX_APIGW_CLI_DAY_TEXT - 1;

        if (ngx_apigw_cli_usage_date(&text, &day) != NGX_OK) {
            return NGX_ERROR;
        }

        p = text.data + text.len + sizeof("\",") - 1;

    } else {
        p++;
    }

    end = memmem(p, last - p, ",\"requests\":", 12);

    if (end == NULL) {
        end = memmem(p, last - p, ",\"damaged\":", 11);
    }

    if (end == NULL) {
        return NGX_ERROR;
    }

    row = ngx_apigw_cli_late_push(day == late->day ? &late->table
                                                   : &late->amends);
    row->names = p;
    row->len = end - p;
    row->day = day;

    if (day != late->day) {
        copy = ngx_apigw_cli_alloc(row->len + 1);
        ngx_memcpy(copy, p, row->len);
        row->names = copy;
    }

    return end[2] == 'd' ? NGX_OK
                         : ngx_apigw_cli_late_numbers(&row->files, end);
}


static ngx_int_t
ngx_apigw_cli_late_numbers(ngx_apigw_ledger_row_t *row, u_char *p)
{
    char        *end;
    size_t       len;
    ngx_uint_t   k;

    for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
        len = strlen(ngx_apigw_ledger_fields[k]);

        if (strncmp((char *) p, ",\"", 2) != 0
            || strncmp((char *) p + 2, ngx_apigw_ledger_fields[k], len) != 0
            || strncmp((char *) p + 2 + len, "\":", 2) != 0)
        {
            return NGX_ERROR;
        }

        row->n[k] = (uint64_t) strtoll((char *) p + len + 4, &end, 10);
        p = (u_char *) end;
    }

    return *p == '}' ? NGX_OK : NGX_ERROR;
}


static ngx_apigw_cli_late_row_t *
ngx_apigw_cli_late_push(ngx_apigw_cli_late_list_t *list)
{
    ngx_apigw_cli_late_row_t  *row;

    if (list->n == list->size) {
        list->size = list->size ? 2 * list->size : 64;
        list->rows = ngx_apigw_cli_realloc(list->rows, list->size
                                      * sizeof(ngx_apigw_cli_late_row_t));
    }

    row = &list->rows[list->n++];

    ngx_memzero(row, sizeof(ngx_apigw_cli_late_row_t));

    return row;
}


static int
ngx_apigw_cli_late_compare(const void *one, const void *two)
{
    int                              n;
    const ngx_apigw_cli_late_row_t  *a, *b;

    a = one;
    b = two;

    n = memcmp(a->names, b->names, ngx_min(a->len, b->len));

    if (n == 0 && a->len != b->len) {
        n = a->len < b->len ? -1 : 1;
    }

    return n;
}


/* Names that are not UTF-8 may look alike in files: they are one, too. */

static void
ngx_apigw_cli_late_merge(ngx_apigw_cli_late_list_t *list)
{
    size_t                     i, n;
    ngx_uint_t                 k;
    ngx_apigw_cli_late_row_t  *rows;

    rows = list->rows;

    if (list->n == 0) {
        return;
    }

    qsort(rows, list->n, sizeof(ngx_apigw_cli_late_row_t),
          ngx_apigw_cli_late_compare);

    for (i = 1, n = 0; i < list->n; i++) {

        if (ngx_apigw_cli_late_compare(&rows[n], &rows[i]) != 0) {
            rows[++n] = rows[i];
            continue;
        }

        for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
            rows[n].files.n[k] += rows[i].files.n[k];
        }
    }

    list->n = n + 1;
}


static int
ngx_apigw_cli_late_entry(void *data, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_row_t *row)
{
    ngx_apigw_cli_late_t *late = data;

    ngx_uint_t                 k;
    ngx_apigw_cli_late_row_t  *found, key;

    late->names.len = 0;

    ngx_apigw_cli_export_names(&late->names, info);

    ngx_memzero(&key, sizeof(ngx_apigw_cli_late_row_t));

    key.names = late->names.data + 1;
    key.len = late->names.len - 1;

    found = NULL;

    if (late->table.n) {
        found = bsearch(&key, late->table.rows, late->table.n,
                        sizeof(ngx_apigw_cli_late_row_t),
                        ngx_apigw_cli_late_compare);
    }

    if (found == NULL) {
        if (row) {
            ngx_apigw_cli_late_amend(&late->out, late->day, key.names,
                                     key.len, row);
        }

        return 0;
    }

    found->seen = 1;

    if (row == NULL) {

        /* damaged: what it had is not known */

        found->store = found->files;
        return 0;
    }

    for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
        found->store.n[k] += row->n[k];
    }

    return 0;
}


static void
ngx_apigw_cli_late_amend(ngx_apigw_cli_buf_t *b, uint32_t day,
    const u_char *names, size_t len, const ngx_apigw_ledger_row_t *row)
{
    char  text[NGX_APIGW_CLI_DAY_TEXT];

    ngx_apigw_cli_buf_puts(b, NGX_APIGW_CLI_LATE_MARK);
    ngx_apigw_cli_buf_puts(b, ngx_apigw_cli_usage_day(day, text));
    ngx_apigw_cli_buf_puts(b, "\",");
    ngx_apigw_cli_buf_add(b, names, len);
    ngx_apigw_cli_export_numbers(b, row);
    ngx_apigw_cli_buf_puts(b, "}\n");
}


/* The digest of the file before, if the first line has one. */

static ngx_uint_t
ngx_apigw_cli_late_previous(ngx_apigw_cli_buf_t *file, char *digest)
{
    u_char  *p, *last;

    static const char  name[] = ",\"sha256\":\"";

    last = file->len ? memchr(file->data, '\n', file->len) : NULL;

    if (last == NULL) {
        return 0;
    }

    p = memmem(file->data, last - file->data, name, sizeof(name) - 1);

    if (p == NULL
        || (size_t) (last - p) < sizeof(name) + NGX_APIGW_CLI_EXPORT_HEX)
    {
        return 0;
    }

    ngx_memcpy(digest, p + sizeof(name) - 1, NGX_APIGW_CLI_EXPORT_HEX - 1);

    return 1;
}
