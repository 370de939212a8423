/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <malloc.h>

#include <jansson.h>

#include "ngx_apigw_cli_key.h"


/*
 * An import reads and checks the whole file first, with no lock held; what it
 * keeps of it are digests and encoded records.  Then it writes them, in the
 * order of their digests, which is that of the pages, in one transaction or in
 * batches.
 */


#define NGX_APIGW_CLI_INPUT      (256 * 1024)
#define NGX_APIGW_CLI_BAD_SHOWN  20

/* how often a long import says how far it is: seconds, and looks at those */

#define NGX_APIGW_CLI_PROGRESS   2
#define NGX_APIGW_CLI_STEP       1024

/* what a key takes in the store beside its record, at most */

#define NGX_APIGW_CLI_KEY_PAGES  400


/* what is kept of a line */

typedef struct {
    u_char                     digest[NGX_APIGW_KEY_DIGEST];
    size_t                     offset;   /* of the record in the heap */
    uint32_t                   line;
    uint32_t                   given;
    uint16_t                   len;
    unsigned                   id:1;
    unsigned                   created:1;
    unsigned                   bad:1;
    unsigned                   told:1;
} ngx_apigw_cli_item_t;


typedef struct {
    ngx_apigw_cli_key_t       *key;
    ngx_apigw_cli_import_t     im;
    ngx_uint_t                 csv;
    const char                *name;     /* of the file */
    int                        fd;

    ngx_apigw_cli_item_t      *items;
    size_t                     nitems;
    size_t                     size;
    ngx_apigw_cli_buf_t        heap;

    size_t                     lines;
    size_t                     bad;
    size_t                     added;
    size_t                     changed;
    size_t                     same;
    time_t                     shown;    /* how far it is */

    /* the transaction at work, from one item to another */

    size_t                     first;
    size_t                     last;
    size_t                     txn_bad;
    size_t                     txn_added;
    size_t                     txn_changed;
    size_t                     txn_same;

    ngx_apigw_cli_import_key_t scratch;
    ngx_apigw_key_record_t     rec;
    ngx_apigw_cli_record_t     old;
} ngx_apigw_cli_load_t;


static int ngx_apigw_cli_load_start(ngx_apigw_cli_t *cli,
    ngx_apigw_cli_load_t *ld);
static int ngx_apigw_cli_load_read(ngx_apigw_cli_load_t *ld);
static int ngx_apigw_cli_load_lines(ngx_apigw_cli_load_t *ld, u_char **pos,
    u_char *last, ngx_uint_t end);
static int ngx_apigw_cli_load_line(ngx_apigw_cli_load_t *ld, u_char *p,
    size_t len);
static ngx_uint_t ngx_apigw_cli_load_secret(ngx_apigw_cli_load_t *ld);
static void ngx_apigw_cli_load_progress(ngx_apigw_cli_load_t *ld, size_t n);
static size_t ngx_apigw_cli_load_newlines(const u_char *p, size_t len);
static void ngx_apigw_cli_load_keep(ngx_apigw_cli_load_t *ld, size_t line);
static void ngx_apigw_cli_load_bad(ngx_apigw_cli_load_t *ld, size_t line,
    const char *reason);
static void ngx_apigw_cli_load_sort(ngx_apigw_cli_load_t *ld);
static int ngx_apigw_cli_load_compare(const void *one, const void *two);
static int ngx_apigw_cli_load_write(ngx_apigw_cli_load_t *ld);
static int ngx_apigw_cli_load_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static int ngx_apigw_cli_load_item(ngx_apigw_cli_load_t *ld,
    ngx_apigw_store_t *store, MDB_txn *txn, ngx_apigw_cli_item_t *item);
static int ngx_apigw_cli_load_new(ngx_apigw_cli_load_t *ld,
    ngx_apigw_store_t *store, MDB_txn *txn, ngx_apigw_cli_item_t *item);
static int ngx_apigw_cli_load_known(ngx_apigw_cli_load_t *ld,
    ngx_apigw_store_t *store, MDB_txn *txn, ngx_apigw_cli_item_t *item);
static void ngx_apigw_cli_load_keep_old(ngx_apigw_cli_load_t *ld,
    ngx_apigw_cli_item_t *item);
static int ngx_apigw_cli_load_refuse(ngx_apigw_cli_load_t *ld,
    ngx_apigw_cli_item_t *item, const char *reason);
static int ngx_apigw_cli_load_done(ngx_apigw_cli_load_t *ld, int rc);
static void ngx_apigw_cli_load_free(void *p);


int
ngx_apigw_cli_key_import(ngx_apigw_cli_t *cli)
{
    int                    rc;
    ngx_apigw_cli_key_t    key;
    ngx_apigw_cli_load_t  *ld;

    /* jansson keeps keys in its strings: what it frees is wiped */

    json_set_alloc_funcs(malloc, ngx_apigw_cli_load_free);

    ld = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_load_t));
    ngx_memzero(ld, sizeof(ngx_apigw_cli_load_t));

    ld->key = &key;

    /* the file is opened by whom called, the store by its owner */

    rc = ngx_apigw_cli_load_start(cli, ld);

    if (rc != NGX_APIGW_CLI_DONE) {
        free(ld);
        return rc;
    }

    rc = ngx_apigw_cli_key_open(cli, &key, 1);

    if (rc != NGX_APIGW_CLI_DONE) {
        free(ld);
        return rc;
    }

    ld->im.prefix = key.prefix;
    ld->im.hasher = &key.hasher;

    if (ngx_apigw_key_hasher_init(&key.hasher) != NGX_OK) {
        rc = ngx_apigw_cli_error("OpenSSL refuses to make a digest");

    } else {
        rc = ngx_apigw_cli_load_read(ld);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        ngx_apigw_cli_load_sort(ld);

        rc = (ld->bad == 0 || key.conf->skip_bad)
             ? ngx_apigw_cli_load_write(ld) : 0;

        rc = ngx_apigw_cli_load_done(ld, rc);
    }

    free(ld->items);
    ngx_apigw_cli_buf_free(&ld->heap);
    free(ld);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


static int
ngx_apigw_cli_load_start(ngx_apigw_cli_t *cli, ngx_apigw_cli_load_t *ld)
{
    size_t                     len;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = cli->conf;
    ld->name = "-";

    if (cli->nargs) {
        ld->name = (char *) cli->args[0].data;
    }

    len = strlen(ld->name);

    if (conf->format.len == 0) {
        ld->csv = (len > 4 && strcasecmp(ld->name + len - 4, ".csv") == 0);

    } else if (strcmp((char *) conf->format.data, "csv") == 0) {
        ld->csv = 1;

    } else if (strcmp((char *) conf->format.data, "ndjson") != 0) {
        return ngx_apigw_cli_usage(cli, "\"--format %.*s\": neither ndjson "
                                   "nor csv",
                                   ngx_apigw_cli_str(&conf->format));
    }

    ld->im.plan = conf->plan;
    ld->im.plans = conf->plans;
    ld->im.nplans = conf->nplans;
    ld->im.now = cli->now;
    ld->shown = time(NULL);

    if (strcmp(ld->name, "-") == 0) {
        ld->name = "standard input";
        ld->fd = STDIN_FILENO;
        return NGX_APIGW_CLI_DONE;
    }

    ld->fd = open(ld->name, O_RDONLY|O_CLOEXEC);

    if (ld->fd == -1) {
        return ngx_apigw_cli_error("cannot open \"%s\": %s", ld->name,
                                   strerror(errno));
    }

    return NGX_APIGW_CLI_DONE;
}


static int
ngx_apigw_cli_load_read(ngx_apigw_cli_load_t *ld)
{
    int      rc;
    u_char  *buf, *p, *last;
    ssize_t  n;

    rc = NGX_APIGW_CLI_DONE;
    buf = ngx_apigw_cli_alloc(NGX_APIGW_CLI_INPUT);
    last = buf;

    do {
        n = read(ld->fd, last, buf + NGX_APIGW_CLI_INPUT - last);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            rc = ngx_apigw_cli_error("cannot read \"%s\": %s", ld->name,
                                     strerror(errno));
            break;
        }

        last += n;

        p = buf;
        rc = ngx_apigw_cli_load_lines(ld, &p, last, n == 0);

        if (rc != NGX_APIGW_CLI_DONE) {
            break;
        }

        /* the rest of a line goes to the front, nothing of it stays behind */

        ngx_memmove(buf, p, last - p);
        explicit_bzero(buf + (last - p), p - buf);
        last -= p - buf;

    } while (n != 0);

    explicit_bzero(buf, NGX_APIGW_CLI_INPUT);
    free(buf);

    if (rc == NGX_APIGW_CLI_DONE && ld->csv && ld->im.ncolumns == 0) {
        rc = ngx_apigw_cli_error("%s: the file is empty", ld->name);
    }

    return rc;
}


/* Moves *pos over all lines that are there whole. */

static int
ngx_apigw_cli_load_lines(ngx_apigw_cli_load_t *ld, u_char **pos, u_char *last,
    ngx_uint_t end)
{
    int      rc;
    size_t   len;
    u_char  *p;

    for (p = *pos; p != last; *pos = p) {

        len = ngx_apigw_cli_import_line(p, last, ld->csv);

        if (len == 0) {

            len = last - p;

            if (len > NGX_APIGW_CLI_LINE_MAX) {

                /* where the next line begins is unknown behind a quote */

                return ngx_apigw_cli_error("%s: line %zu: longer than %d "
                                           "bytes%s, nothing is imported",
                                           ld->name, ld->lines + 1,
                                           NGX_APIGW_CLI_LINE_MAX,
                                           ld->csv ? " or a quote too many"
                                                   : "");
            }

            if (!end) {
                break;
            }
        }

        rc = ngx_apigw_cli_load_line(ld, p, len);

        explicit_bzero(p, len);

        if (rc != NGX_APIGW_CLI_DONE) {
            return rc;
        }

        p += len;
    }

    return NGX_APIGW_CLI_DONE;
}


static int
ngx_apigw_cli_load_line(ngx_apigw_cli_load_t *ld, u_char *p, size_t len)
{
    char       reason[NGX_APIGW_CLI_REASON];
    size_t     line;
    ngx_int_t  rc;

    line = ld->lines + 1;
    ld->lines += ngx_apigw_cli_load_newlines(p, len);

    if (line % NGX_APIGW_CLI_STEP == 0) {
        ngx_apigw_cli_load_progress(ld, 0);
    }

    /* what some editors put at the beginning of UTF-8 */

    if (line == 1 && len >= 3 && ngx_memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        len -= 3;
    }

    if (ld->csv && ld->im.ncolumns == 0) {

        if (ngx_apigw_cli_import_csv_head(&ld->im, p, len, reason) != NGX_OK) {
            return ngx_apigw_cli_error("%s: line %zu: %s", ld->name, line,
                                       reason);
        }

        return NGX_APIGW_CLI_DONE;
    }

    if (len > NGX_APIGW_CLI_LINE_MAX) {
        ngx_apigw_cli_load_bad(ld, line, "the line is too long");
        return NGX_APIGW_CLI_DONE;
    }

    rc = ld->csv ? ngx_apigw_cli_import_csv(&ld->im, p, len, &ld->scratch,
                                            reason)
                 : ngx_apigw_cli_import_json(&ld->im, p, len, &ld->scratch,
                                             reason);

    if (rc == NGX_OK && ngx_apigw_cli_load_secret(ld)) {
        ngx_apigw_cli_load_bad(ld, line, "the id looks like a key, which no "
                                         "id may be");

    } else if (rc == NGX_OK) {
        ngx_apigw_cli_load_keep(ld, line);

    } else if (rc == NGX_ERROR) {
        ngx_apigw_cli_load_bad(ld, line, reason);
    }

    return NGX_APIGW_CLI_DONE;
}


/* Whether the line just read has a key for an id. */

static ngx_uint_t
ngx_apigw_cli_load_secret(ngx_apigw_cli_load_t *ld)
{
    return ld->scratch.id
           && ngx_apigw_key_record_decode(&ld->rec, ld->scratch.encoded,
                                          ld->scratch.len)
              == NGX_OK
           && ngx_apigw_cli_key_secret(ld->key, &ld->rec.id);
}


/* Reading, or writing the item number n. */

static void
ngx_apigw_cli_load_progress(ngx_apigw_cli_load_t *ld, size_t n)
{
    time_t  now;

    now = time(NULL);

    if (now >= ld->shown && now - ld->shown < NGX_APIGW_CLI_PROGRESS) {
        return;
    }

    ld->shown = now;

    if (n) {
        ngx_apigw_cli_note("%s: %zu of %zu keys written", ld->name, n,
                           ld->nitems);

    } else {
        ngx_apigw_cli_note("%s: %zu lines read", ld->name, ld->lines);
    }
}


static size_t
ngx_apigw_cli_load_newlines(const u_char *p, size_t len)
{
    size_t  n;

    for (n = 0; len; len--) {
        n += (*p++ == '\n');
    }

    return n;
}


static void
ngx_apigw_cli_load_keep(ngx_apigw_cli_load_t *ld, size_t line)
{
    ngx_apigw_cli_item_t  *item;

    if (ld->nitems == ld->size) {
        ld->size = 2 * ld->size + 1024;
        ld->items = ngx_apigw_cli_realloc(ld->items,
                                ld->size * sizeof(ngx_apigw_cli_item_t));
    }

    item = &ld->items[ld->nitems++];

    ngx_memcpy(item->digest, ld->scratch.digest, NGX_APIGW_KEY_DIGEST);
    item->line = line;
    item->offset = ld->heap.len;
    item->len = ld->scratch.len;
    item->id = ld->scratch.id;
    item->created = ld->scratch.created;
    item->given = ld->key->conf->replace ? (uint32_t) -1 : ld->scratch.given;
    item->bad = 0;
    item->told = 0;

    ngx_apigw_cli_buf_add(&ld->heap, ld->scratch.encoded, ld->scratch.len);
}


static void
ngx_apigw_cli_load_bad(ngx_apigw_cli_load_t *ld, size_t line,
    const char *reason)
{
    if (ld->bad++ < NGX_APIGW_CLI_BAD_SHOWN) {
        (void) ngx_apigw_cli_error("%s: line %zu: %s", ld->name, line, reason);
    }
}


static void
ngx_apigw_cli_load_sort(ngx_apigw_cli_load_t *ld)
{
    char                   reason[NGX_APIGW_CLI_REASON];
    size_t                 i;
    ngx_apigw_cli_item_t  *item;

    if (ld->nitems == 0) {
        return;
    }

    qsort(ld->items, ld->nitems, sizeof(ngx_apigw_cli_item_t),
          ngx_apigw_cli_load_compare);

    for (i = 1; i < ld->nitems; i++) {
        item = &ld->items[i];

        if (ngx_memcmp(item[0].digest, item[-1].digest, NGX_APIGW_KEY_DIGEST)
            == 0)
        {
            (void) snprintf(reason, sizeof(reason),
                            "the same key as in line %u", item[-1].line);
            ngx_apigw_cli_load_bad(ld, item->line, reason);
            item->bad = 1;
        }
    }
}


static int
ngx_apigw_cli_load_compare(const void *one, const void *two)
{
    int                          rc;
    const ngx_apigw_cli_item_t  *a, *b;

    a = one;
    b = two;

    rc = ngx_memcmp(a->digest, b->digest, NGX_APIGW_KEY_DIGEST);

    if (rc == 0) {
        return a->line < b->line ? -1 : 1;
    }

    return rc;
}


static int
ngx_apigw_cli_load_write(ngx_apigw_cli_load_t *ld)
{
    int                        rc;
    size_t                     batch;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = ld->key->conf;

    rc = ngx_apigw_store_reserve(ld->key->store,
                                 2 * ld->heap.len
                                 + ld->nitems * NGX_APIGW_CLI_KEY_PAGES);
    if (rc != 0) {
        return rc;
    }

    batch = (conf->batch && !conf->dry_run) ? (size_t) conf->batch
                                            : ld->nitems;

    for (ld->first = 0; ld->first < ld->nitems; ld->first = ld->last) {

        ld->last = ngx_min(ld->nitems, ld->first + batch);

        rc = ngx_apigw_cli_key_write(ld->key, ngx_apigw_cli_load_body, ld);

        ld->bad += ld->txn_bad;

        if (rc != 0) {
            return rc;
        }

        ld->added += ld->txn_added;
        ld->changed += ld->txn_changed;
        ld->same += ld->txn_same;
    }

    return 0;
}


static int
ngx_apigw_cli_load_body(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_cli_load_t *ld = data;

    int                    rc;
    size_t                 i;
    ngx_apigw_cli_item_t  *item;

    ld->txn_bad = 0;
    ld->txn_added = 0;
    ld->txn_changed = 0;
    ld->txn_same = 0;

    rc = ngx_apigw_cli_audit_begin(&ld->key->audit, txn);

    for (i = ld->first; i < ld->last && rc == 0; i++) {

        item = &ld->items[i];

        if (!item->bad) {
            rc = ngx_apigw_cli_load_item(ld, store, txn, item);
        }

        if ((i + 1) % NGX_APIGW_CLI_STEP == 0) {
            ngx_apigw_cli_load_progress(ld, i + 1);
        }
    }

    if (rc == 0
        && (ld->key->conf->dry_run
            || (ld->txn_bad && !ld->key->conf->skip_bad)))
    {
        /* all of it was tried, nothing of it is to stay */

        rc = ECANCELED;
    }

    return ngx_apigw_cli_audit_end(&ld->key->audit, rc);
}


static int
ngx_apigw_cli_load_item(ngx_apigw_cli_load_t *ld, ngx_apigw_store_t *store,
    MDB_txn *txn, ngx_apigw_cli_item_t *item)
{
    int                    rc;
    ngx_apigw_key_found_t  found;

    if (ngx_apigw_key_record_decode(&ld->rec, ld->heap.data + item->offset,
                                    item->len)
        != NGX_OK)
    {
        return NGX_APIGW_KEY_STORE_EBROKEN;
    }

    rc = ngx_apigw_key_store_get(store, txn, item->digest, &found);

    if (rc == MDB_NOTFOUND) {
        return ngx_apigw_cli_load_new(ld, store, txn, item);
    }

    if (rc != 0) {
        return rc;
    }

    switch (ngx_apigw_cli_record_load(&ld->old, found.encoded.data,
                                      found.encoded.len))
    {
    case NGX_OK:
        return ngx_apigw_cli_load_known(ld, store, txn, item);

    case NGX_DECLINED:
        return ngx_apigw_cli_load_refuse(ld, item,
                            "the key is in the store, written by a later "
                            "version of apigw");

    default:
        return ngx_apigw_cli_load_refuse(ld, item,
                                         "the key's record in the store is "
                                         "broken");
    }
}


static int
ngx_apigw_cli_load_new(ngx_apigw_cli_load_t *ld, ngx_apigw_store_t *store,
    MDB_txn *txn, ngx_apigw_cli_item_t *item)
{
    int  rc;

    rc = ngx_apigw_key_store_put(store, txn, item->digest, &ld->rec);

    if (rc == MDB_KEYEXIST) {
        return ngx_apigw_cli_load_refuse(ld, item,
                                         "the id is that of another key");
    }

    if (rc != 0) {
        return rc;
    }

    ld->txn_added++;

    return ngx_apigw_cli_audit_line(&ld->key->audit, "import", &ld->rec.id,
                                    &ld->rec, NULL);
}


static int
ngx_apigw_cli_load_known(ngx_apigw_cli_load_t *ld, ngx_apigw_store_t *store,
    MDB_txn *txn, ngx_apigw_cli_item_t *item)
{
    int                      rc;
    u_char                   buf[NGX_APIGW_KEY_RECORD_MAX];
    ssize_t                  n;
    ngx_apigw_key_record_t  *rec, *old;

    rec = &ld->rec;
    old = &ld->old.rec;

    if (item->id
        && (rec->id.len != old->id.len
            || ngx_memcmp(rec->id.data, old->id.data, rec->id.len) != 0))
    {
        return ngx_apigw_cli_load_refuse(ld, item,
                                         "the key is in the store under "
                                         "another id");
    }

    ngx_apigw_cli_load_keep_old(ld, item);

    if (rec->expires && rec->expires <= rec->not_before) {
        return ngx_apigw_cli_load_refuse(ld, item,
                                         "it would expire before it is valid");
    }

    n = ngx_apigw_key_record_encode(rec, buf, sizeof(buf));

    if (n != NGX_ERROR
        && n == ngx_apigw_key_record_encode(old, ld->scratch.encoded,
                                            sizeof(ld->scratch.encoded))
        && ngx_memcmp(buf, ld->scratch.encoded, n) == 0)
    {
        ld->txn_same++;
        return 0;
    }

    rec->updated = ld->key->cli->now;

    rc = ngx_apigw_key_store_replace(store, txn, NULL, rec);

    if (rc == EINVAL) {
        return ngx_apigw_cli_load_refuse(ld, item, "too much for one record");
    }

    if (rc != 0) {
        return rc;
    }

    ld->txn_changed++;

    return ngx_apigw_cli_audit_line(&ld->key->audit, "import", &rec->id, rec,
                                    old);
}


#define ngx_apigw_cli_load_old(bit, field)                                    \
    if (!(item->given & NGX_APIGW_CLI_GIVEN_##bit)) {                         \
        rec->field = old->field;                                              \
    }


/*
 * What a line does not say of a key that is in the store, or cannot, stays as
 * it is: a key that was taken out of service does not come back with the file
 * that it once came from.
 */

static void
ngx_apigw_cli_load_keep_old(ngx_apigw_cli_load_t *ld,
    ngx_apigw_cli_item_t *item)
{
    ngx_apigw_key_record_t  *rec, *old;

    rec = &ld->rec;
    old = &ld->old.rec;

    rec->id = old->id;
    rec->rest = old->rest;

    if (!item->created) {
        rec->created = old->created;
    }

    if (rec->updated == 0) {
        rec->updated = old->updated;
    }

    if (old->plan.len) {
        ngx_apigw_cli_load_old(PLAN, plan);
    }

    ngx_apigw_cli_load_old(NAME, name);
    ngx_apigw_cli_load_old(DESCRIPTION, description);
    ngx_apigw_cli_load_old(SUCCESSOR, successor);
    ngx_apigw_cli_load_old(NOT_BEFORE, not_before);
    ngx_apigw_cli_load_old(EXPIRES, expires);
    ngx_apigw_cli_load_old(RATE, rate);
    ngx_apigw_cli_load_old(RATE, rate_places);
    ngx_apigw_cli_load_old(RATE, rate_period);
    ngx_apigw_cli_load_old(BURST, burst);
    ngx_apigw_cli_load_old(QUOTAS, quotas);
    ngx_apigw_cli_load_old(ENABLED, enabled);
    ngx_apigw_cli_load_old(DECOY, decoy);
    ngx_apigw_cli_load_old(SCOPES, scopes);
    ngx_apigw_cli_load_old(ALLOW, allow);
    ngx_apigw_cli_load_old(LABELS, labels);
}


/* Called again for the item if the transaction has to be repeated. */

static int
ngx_apigw_cli_load_refuse(ngx_apigw_cli_load_t *ld,
    ngx_apigw_cli_item_t *item, const char *reason)
{
    ld->txn_bad++;

    if (!item->told && ld->bad + ld->txn_bad <= NGX_APIGW_CLI_BAD_SHOWN) {
        item->told = 1;
        (void) ngx_apigw_cli_error("%s: line %u: %s", ld->name, item->line,
                                   reason);
    }

    return 0;
}


static int
ngx_apigw_cli_load_done(ngx_apigw_cli_load_t *ld, int rc)
{
    const char                *what;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = ld->key->conf;

    if (ld->bad > NGX_APIGW_CLI_BAD_SHOWN) {
        ngx_apigw_cli_note("%s: and %zu more bad lines", ld->name,
                           ld->bad - NGX_APIGW_CLI_BAD_SHOWN);
    }

    if (rc != 0 && rc != ECANCELED) {
        (void) ngx_apigw_cli_key_failed(ld->key, NULL, rc);
    }

    if (conf->dry_run) {
        what = "would be";
        ld->added = ld->txn_added;
        ld->changed = ld->txn_changed;
        ld->same = ld->txn_same;

    } else {
        what = "were";
    }

    ngx_apigw_cli_note("%zu keys %s added, %zu changed, %zu were the same, "
                       "%zu lines are bad", ld->added, what, ld->changed,
                       ld->same, ld->bad);

    if (ld->im.unmapped) {
        ngx_apigw_cli_note("the ids of usage plans are taken for names of "
                           "plans in %zu lines: see --map-plan",
                           ld->im.unmapped);
    }

    if (rc != 0 && conf->batch) {
        ngx_apigw_cli_note("the keys of complete batches are in the store; "
                           "importing the file again goes on");
    }

    return (ld->bad || (rc != 0 && !(rc == ECANCELED && conf->dry_run)))
           ? NGX_APIGW_CLI_FAILED : NGX_APIGW_CLI_DONE;
}


static void
ngx_apigw_cli_load_free(void *p)
{
    if (p) {
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
    }
}
