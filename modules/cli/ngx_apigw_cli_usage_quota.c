/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>


#include "ngx_apigw_cli_usage.h"


/*
 * The quotas of a consumer, shown and changed.  A change and its line in the
 * audit are one transaction; nginx sees it as it would see what another
 * instance has counted.
 */


#define NGX_APIGW_CLI_USAGE_GRANT  0
#define NGX_APIGW_CLI_USAGE_RESET  1

#define NGX_APIGW_CLI_USAGE_MOST   1000000000000LL
#define NGX_APIGW_CLI_USAGE_LIST   16           /* counters in a message */


typedef struct {
    int64_t                      end;
    ngx_uint_t                   kind;
    ngx_uint_t                   flags;
    ngx_str_t                    family;
    ngx_str_t                    consumer;
} ngx_apigw_cli_usage_counter_t;


typedef struct {
    ngx_apigw_cli_t             *cli;
    ngx_uint_t                   action;
    int64_t                      amount;
    time_t                       since;
    ngx_uint_t                   known;     /* the consumer */
    ngx_uint_t                   same;      /* as many match */

    /* those that match, or all if none does */

    ngx_uint_t                   n;
    ngx_apigw_cli_buf_t          list;

    /* the one that was changed; before and after: what was granted or used */

    int64_t                      start;
    int64_t                      end;
    int64_t                      before;
    int64_t                      after;
    ngx_uint_t                   kind;
    size_t                       len;
    u_char                       family[NGX_APIGW_COUNTER_NAME];
} ngx_apigw_cli_usage_change_t;


/*
 * Called for each counter of a consumer whose window has not ended, without a
 * record if it is damaged.
 */

typedef int (*ngx_apigw_cli_usage_counter_pt)(void *data, MDB_cursor *cursor,
    const MDB_val *key, const ngx_apigw_cli_usage_counter_t *counter,
    ngx_apigw_usage_record_t *record);


typedef struct {
    ngx_apigw_cli_buf_t          b;
    ngx_uint_t                   json;
    ngx_uint_t                   n;
    ngx_uint_t                   known;
    ngx_uint_t                   damaged;
    time_t                       now;
} ngx_apigw_cli_usage_show_t;


static int ngx_apigw_cli_usage_counters(ngx_apigw_store_t *store, MDB_txn *txn,
    time_t now, const ngx_str_t *consumer,
    ngx_apigw_cli_usage_counter_pt handler, void *data);
static ngx_int_t ngx_apigw_cli_usage_counter(
    ngx_apigw_cli_usage_counter_t *counter, const MDB_val *key);
static ngx_uint_t ngx_apigw_cli_usage_is(
    const ngx_apigw_cli_usage_counter_t *counter, const ngx_str_t *consumer);
static int ngx_apigw_cli_usage_known(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *consumer, ngx_uint_t *known);
static int ngx_apigw_cli_usage_none(ngx_apigw_cli_t *cli, ngx_uint_t known);
static int64_t ngx_apigw_cli_usage_sum(const ngx_apigw_usage_record_t *record);
static int ngx_apigw_cli_usage_show_one(void *data, MDB_cursor *cursor,
    const MDB_val *key, const ngx_apigw_cli_usage_counter_t *counter,
    ngx_apigw_usage_record_t *record);
static void ngx_apigw_cli_usage_show_json(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record, int64_t used, int64_t left);
static void ngx_apigw_cli_usage_show_row(ngx_apigw_cli_usage_show_t *show,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record, int64_t used, int64_t left);
static int ngx_apigw_cli_usage_change(ngx_apigw_cli_t *cli, ngx_uint_t action,
    int64_t amount);
static int ngx_apigw_cli_usage_changed(ngx_apigw_cli_usage_change_t *change);
static int ngx_apigw_cli_usage_unchanged(ngx_apigw_cli_usage_change_t *change,
    int rc);
static int ngx_apigw_cli_usage_change_write(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static int ngx_apigw_cli_usage_change_count(void *data, MDB_cursor *cursor,
    const MDB_val *key, const ngx_apigw_cli_usage_counter_t *counter,
    ngx_apigw_usage_record_t *record);
static ngx_uint_t ngx_apigw_cli_usage_change_wanted(
    const ngx_apigw_cli_usage_change_t *change,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record);
static void ngx_apigw_cli_usage_change_list(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record);
static int ngx_apigw_cli_usage_change_one(void *data, MDB_cursor *cursor,
    const MDB_val *key, const ngx_apigw_cli_usage_counter_t *counter,
    ngx_apigw_usage_record_t *record);
static int ngx_apigw_cli_usage_note(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_cli_usage_change_t *change);
static void ngx_apigw_cli_usage_note_line(ngx_apigw_cli_buf_t *b,
    ngx_apigw_cli_usage_change_t *change);
static void ngx_apigw_cli_usage_json(ngx_apigw_cli_buf_t *b, const char *name,
    const char *value);
static void ngx_apigw_cli_usage_json_counter(ngx_apigw_cli_buf_t *b,
    const ngx_str_t *family, ngx_uint_t kind, int64_t start, int64_t end);


/* The store's code, or what the handler returned. */

static int
ngx_apigw_cli_usage_counters(ngx_apigw_store_t *store, MDB_txn *txn,
    time_t now, const ngx_str_t *consumer,
    ngx_apigw_cli_usage_counter_pt handler, void *data)
{
    int                             rc;
    u_char                          first[8];
    MDB_val                         key, value;
    MDB_cursor                     *cursor;
    ngx_uint_t                      i;
    MDB_cursor_op                   op;
    ngx_apigw_usage_record_t        record;
    ngx_apigw_cli_usage_counter_t   counter;

    rc = mdb_cursor_open(txn, ngx_apigw_store_db(store,
                                                 NGX_APIGW_USAGE_COUNTERS),
                         &cursor);
    if (rc != 0) {
        return rc;
    }

    /* windows that have not ended are at the end */

    for (i = 0; i < 8; i++) {
        first[i] = (u_char) ((uint64_t) (now + 1) >> (56 - 8 * i));
    }

    key.mv_data = first;
    key.mv_size = 8;

    for (op = MDB_SET_RANGE; rc == 0; op = MDB_NEXT) {
        rc = mdb_cursor_get(cursor, &key, &value, op);

        if (rc != 0) {
            break;
        }

        if (ngx_apigw_cli_usage_counter(&counter, &key) != NGX_OK
            || !ngx_apigw_cli_usage_is(&counter, consumer))
        {
            continue;
        }

        rc = handler(data, cursor, &key, &counter,
                     ngx_apigw_usage_decode(&record, &value) == 0 ? &record
                                                                  : NULL);
    }

    mdb_cursor_close(cursor);

    return rc == MDB_NOTFOUND ? 0 : rc;
}


static ngx_int_t
ngx_apigw_cli_usage_counter(ngx_apigw_cli_usage_counter_t *counter,
    const MDB_val *key)
{
    u_char      *p;
    size_t       len, head;
    ngx_uint_t   i;

    if (key->mv_size < 8 + 3) {
        return NGX_ERROR;
    }

    p = key->mv_data;

    for (i = 0, counter->end = 0; i < 8; i++) {
        counter->end = counter->end << 8 | *p++;
    }

    counter->kind = *p++;
    counter->flags = *p++;
    len = *p++;

    head = counter->flags & NGX_APIGW_USAGE_START ? 8 + 3 + 4 : 8 + 3;

    if (key->mv_size < head + len
        || len > NGX_APIGW_PLAN_FAMILY
        || counter->kind >= NGX_APIGW_WINDOW_KINDS)
    {
        return NGX_ERROR;
    }

    p = (u_char *) key->mv_data + head;

    counter->family.data = p;
    counter->family.len = len;
    counter->consumer.data = p + len;
    counter->consumer.len = key->mv_size - head - len;

    return NGX_OK;
}


static ngx_uint_t
ngx_apigw_cli_usage_is(const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_str_t *consumer)
{
    size_t  len;
    u_char  name[NGX_APIGW_COUNTER_NAME];

    len = ngx_apigw_plan_shorten(name,
                                 NGX_APIGW_COUNTER_NAME - counter->family.len,
                                 consumer);

    return len == counter->consumer.len
           && ngx_memcmp(name, counter->consumer.data, len) == 0;
}


/* Whether anything of the consumer was counted, at any time. */

static int
ngx_apigw_cli_usage_known(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *consumer, ngx_uint_t *known)
{
    int                             rc;
    u_char                          name[NGX_APIGW_LEDGER_WHO];
    size_t                          len;
    MDB_val                         key, value;
    MDB_cursor                     *cursor;
    ngx_uint_t                      i;
    ngx_apigw_ledger_info_t         info;
    ngx_apigw_cli_usage_counter_t   counter;

    static const ngx_uint_t  dbs[] = {
        NGX_APIGW_USAGE_COUNTERS, NGX_APIGW_USAGE_LEDGER
    };

    *known = 0;

    len = ngx_apigw_plan_shorten(name, NGX_APIGW_LEDGER_WHO, consumer);

    for (i = 0; i < 2 && !*known; i++) {
        rc = mdb_cursor_open(txn, ngx_apigw_store_db(store, dbs[i]), &cursor);

        if (rc != 0) {
            return rc;
        }

        while (!*known
               && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        {
            if (dbs[i] == NGX_APIGW_USAGE_COUNTERS) {
                *known = ngx_apigw_cli_usage_counter(&counter, &key) == NGX_OK
                         && ngx_apigw_cli_usage_is(&counter, consumer);
                continue;
            }

            if (ngx_apigw_ledger_key_decode(&info, &key) != NGX_OK) {
                continue;
            }

            *known = len == info.lens[NGX_APIGW_LEDGER_CONSUMER]
                     && ngx_memcmp(name, info.names, len) == 0;
        }

        mdb_cursor_close(cursor);

        if (rc != 0 && rc != MDB_NOTFOUND) {
            return rc;
        }
    }

    return 0;
}


static int
ngx_apigw_cli_usage_none(ngx_apigw_cli_t *cli, ngx_uint_t known)
{
    if (!known) {
        return ngx_apigw_cli_error("consumer \"%.*s\" is unknown: nothing of "
                                   "it was ever counted",
                                   ngx_apigw_cli_str(&cli->args[0]));
    }

    return ngx_apigw_cli_error("consumer \"%.*s\" has no counter in a window "
                               "of this moment",
                               ngx_apigw_cli_str(&cli->args[0]));
}


static int64_t
ngx_apigw_cli_usage_sum(const ngx_apigw_usage_record_t *record)
{
    int64_t     sum;
    ngx_uint_t  i;

    sum = record->head.adjust;

    for (i = 0; i < record->head.parts; i++) {
        sum += (int64_t) record->parts[i].value;
    }

    return ngx_max(sum, 0);
}


int
ngx_apigw_cli_usage_show(ngx_apigw_cli_t *cli)
{
    int                          rc;
    MDB_txn                     *txn;
    ngx_apigw_store_t           *store;
    ngx_apigw_cli_usage_show_t   show;
    ngx_apigw_cli_usage_conf_t  *conf;

    conf = cli->conf;

    store = ngx_apigw_cli_usage_open(cli, &rc);

    if (store == NULL) {
        return rc;
    }

    ngx_memzero(&show, sizeof(ngx_apigw_cli_usage_show_t));

    show.json = conf->json;
    show.now = cli->now;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc == 0) {
        rc = ngx_apigw_cli_usage_counters(store, txn, cli->now, &cli->args[0],
                                          ngx_apigw_cli_usage_show_one, &show);

        if (rc == 0 && show.n == 0) {
            rc = ngx_apigw_cli_usage_known(store, txn, &cli->args[0],
                                           &show.known);
        }

        ngx_apigw_store_read_end(store);
    }

    ngx_apigw_store_close(store);

    if (rc != 0 && rc != NGX_APIGW_STORE_EEMPTY) {
        return ngx_apigw_cli_usage_failed(rc);
    }

    if (show.n == 0 && show.damaged == 0) {
        return ngx_apigw_cli_usage_none(cli, show.known);
    }

    if (ngx_apigw_cli_flush(&show.b) != NGX_OK) {
        return NGX_APIGW_CLI_FAILED;
    }

    ngx_apigw_cli_buf_free(&show.b);

    return ngx_apigw_cli_usage_damaged(show.damaged);
}


static int
ngx_apigw_cli_usage_show_one(void *data, MDB_cursor *cursor,
    const MDB_val *key, const ngx_apigw_cli_usage_counter_t *counter,
    ngx_apigw_usage_record_t *record)
{
    ngx_apigw_cli_usage_show_t *show = data;

    int64_t     used, left;
    ngx_uint_t  limited;

    if (record == NULL) {
        show->damaged++;
        return 0;
    }

    used = ngx_apigw_cli_usage_sum(record);
    limited = record->head.limit != 0
              && record->head.limit != NGX_APIGW_PLAN_UNLIMITED;
    left = -1;

    if (limited) {
        left = (int64_t) record->head.limit + record->head.grant - used;
        left = ngx_max(left, 0);
    }

    if (show->json) {
        ngx_apigw_cli_usage_show_json(&show->b, counter, record, used, left);

    } else {
        ngx_apigw_cli_usage_show_row(show, counter, record, used, left);
    }

    show->n++;

    return 0;
}


/* What is left is -1 without a limit. */

static void
ngx_apigw_cli_usage_show_json(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record, int64_t used, int64_t left)
{
    ngx_apigw_cli_buf_puts(b, "{");

    ngx_apigw_cli_usage_json_counter(b, &counter->family, counter->kind,
                                     record->head.start, counter->end);
    ngx_apigw_cli_json_number(b, "used", used);

    if (left != -1) {
        ngx_apigw_cli_json_number(b, "limit", (int64_t) record->head.limit);
    }

    ngx_apigw_cli_json_number(b, "granted", record->head.grant);

    if (left != -1) {
        ngx_apigw_cli_json_number(b, "remaining", left);
    }

    ngx_apigw_cli_json_number(b, "shadow",
                              (counter->flags & NGX_APIGW_COUNTER_SHADOW)
                              != 0);
    ngx_apigw_cli_buf_puts(b, "}\n");
}


static void
ngx_apigw_cli_usage_show_row(ngx_apigw_cli_usage_show_t *show,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record, int64_t used, int64_t left)
{
    char         line[256];
    char         start[NGX_APIGW_CLI_TIME_TEXT], end[NGX_APIGW_CLI_TIME_TEXT];
    ngx_uint_t   shadow;
    const char  *per;

    if (show->n == 0) {
        snprintf(line, sizeof(line),
                 "%-25s%-10s%14s%14s%14s%12s  %-20s  %s\n",
                 "FAMILY", "PER", "USED", "LIMIT", "REMAINING", "GRANTED",
                 "SINCE", "UNTIL");
        ngx_apigw_cli_buf_puts(&show->b, line);
    }

    shadow = counter->flags & NGX_APIGW_COUNTER_SHADOW;
    per = ngx_apigw_window_name(counter->kind);

    snprintf(line, sizeof(line), "%s%-*.*s %-10s%14lld", shadow ? "~" : "",
             shadow ? 23 : 24, ngx_apigw_cli_str(&counter->family), per,
             (long long) used);

    ngx_apigw_cli_buf_puts(&show->b, line);

    if (left == -1) {
        snprintf(line, sizeof(line), "%14s%14s", "-", "-");

    } else {
        snprintf(line, sizeof(line), "%14lld%14lld",
                 (long long) record->head.limit + record->head.grant,
                 (long long) left);
    }

    ngx_apigw_cli_buf_puts(&show->b, line);

    snprintf(line, sizeof(line), "%12lld  %-20s  %s\n",
             (long long) record->head.grant,
             counter->kind == NGX_APIGW_WINDOW_LIFETIME
             ? "-" : ngx_apigw_cli_time_text(record->head.start, start),
             counter->kind == NGX_APIGW_WINDOW_LIFETIME
             ? "-" : ngx_apigw_cli_time_text(counter->end, end));

    ngx_apigw_cli_buf_puts(&show->b, line);
}


int
ngx_apigw_cli_usage_grant(ngx_apigw_cli_t *cli)
{
    int64_t     amount;
    ngx_str_t   text;

    text = cli->args[1];

    if (text.len < 2 || text.data[0] != '+') {
        return ngx_apigw_cli_usage(cli, "\"%.*s\" is not \"+N\"",
                                   ngx_apigw_cli_str(&text));
    }

    text.data++;
    text.len--;

    if (ngx_apigw_cli_number(&text, &amount) != NGX_OK
        || amount == 0 || amount > NGX_APIGW_CLI_USAGE_MOST)
    {
        return ngx_apigw_cli_usage(cli, "\"+%.*s\" is not a number of units",
                                   ngx_apigw_cli_str(&text));
    }

    return ngx_apigw_cli_usage_change(cli, NGX_APIGW_CLI_USAGE_GRANT, amount);
}


int
ngx_apigw_cli_usage_reset(ngx_apigw_cli_t *cli)
{
    return ngx_apigw_cli_usage_change(cli, NGX_APIGW_CLI_USAGE_RESET, 0);
}


static int
ngx_apigw_cli_usage_change(ngx_apigw_cli_t *cli, ngx_uint_t action,
    int64_t amount)
{
    int                            rc;
    ngx_apigw_store_t             *store;
    ngx_apigw_cli_usage_conf_t    *conf;
    ngx_apigw_cli_usage_change_t   change;

    conf = cli->conf;

    if (conf->per.data && ngx_apigw_window_kind(&conf->per) == NGX_ERROR) {
        return ngx_apigw_cli_usage(cli, "--per is hour, day, week, month or "
                                   "lifetime, not \"%s\"", conf->per.data);
    }

    ngx_memzero(&change, sizeof(ngx_apigw_cli_usage_change_t));

    change.since = -1;

    if (conf->since.data
        && ngx_apigw_cli_time(&conf->since, cli->now, &change.since) != NGX_OK)
    {
        return ngx_apigw_cli_usage(cli, "\"%s\" is not a time",
                                   conf->since.data);
    }

    store = ngx_apigw_cli_usage_open(cli, &rc);

    if (store == NULL) {
        return rc;
    }

    change.cli = cli;
    change.action = action;
    change.amount = amount;
    change.known = 1;

    rc = ngx_apigw_store_write(store, ngx_apigw_cli_usage_change_write,
                               &change);

    ngx_apigw_store_close(store);

    rc = rc == 0 ? ngx_apigw_cli_usage_changed(&change)
                 : ngx_apigw_cli_usage_unchanged(&change, rc);

    ngx_apigw_cli_buf_free(&change.list);

    return rc;
}


static int
ngx_apigw_cli_usage_unchanged(ngx_apigw_cli_usage_change_t *change, int rc)
{
    const char       *more;
    ngx_apigw_cli_t  *cli;

    cli = change->cli;
    more = change->n > NGX_APIGW_CLI_USAGE_LIST ? ", ..." : "";

    switch (rc) {

    case ENOENT:
        if (change->n == 0) {
            return ngx_apigw_cli_usage_none(cli, change->known);
        }

        return ngx_apigw_cli_error("consumer \"%.*s\" has no such counter; "
                                   "it has: %.*s%s",
                                   ngx_apigw_cli_str(&cli->args[0]),
                                   (int) change->list.len,
                                   (char *) change->list.data, more);

    case EEXIST:
        return ngx_apigw_cli_usage(cli, "consumer \"%.*s\" has %u such "
                                   "counters, name one with --per, --family "
                                   "and --since: %.*s%s",
                                   ngx_apigw_cli_str(&cli->args[0]),
                                   (unsigned) change->same,
                                   (int) change->list.len,
                                   (char *) change->list.data, more);

    case NGX_APIGW_USAGE_EDAMAGED:
        return ngx_apigw_cli_error("the record of this counter is damaged");

    default:
        return ngx_apigw_cli_usage_failed(rc);
    }
}


/* What was done, and to which counter, which need not have been named. */

static int
ngx_apigw_cli_usage_changed(ngx_apigw_cli_usage_change_t *change)
{
    int                  rc;
    char                 line[128];
    ngx_apigw_cli_buf_t  b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    if (change->action == NGX_APIGW_CLI_USAGE_GRANT) {
        snprintf(line, sizeof(line), "granted %lld units to ",
                 (long long) change->amount);

    } else {
        snprintf(line, sizeof(line), "reset %lld units of ",
                 (long long) change->amount);
    }

    ngx_apigw_cli_buf_puts(&b, line);
    ngx_apigw_cli_buf_add(&b, change->cli->args[0].data,
                          change->cli->args[0].len);
    ngx_apigw_cli_buf_puts(&b, ", family ");
    ngx_apigw_cli_buf_add(&b, change->family, change->len);
    ngx_apigw_cli_buf_puts(&b, ", per ");
    ngx_apigw_cli_buf_puts(&b, ngx_apigw_window_name(change->kind));
    ngx_apigw_cli_buf_puts(&b, "\n");

    rc = ngx_apigw_cli_flush(&b) == NGX_OK ? NGX_APIGW_CLI_DONE
                                           : NGX_APIGW_CLI_FAILED;
    ngx_apigw_cli_buf_free(&b);

    return rc;
}


/* Nothing is written unless exactly one counter is meant. */

static int
ngx_apigw_cli_usage_change_write(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    int                            rc;
    ngx_apigw_cli_t               *cli;
    ngx_apigw_cli_usage_change_t  *change = data;

    cli = change->cli;
    change->same = 0;
    change->n = 0;
    change->list.len = 0;

    rc = ngx_apigw_cli_usage_counters(store, txn, cli->now, &cli->args[0],
                                      ngx_apigw_cli_usage_change_count,
                                      change);

    if (rc == 0 && change->same != 1) {
        rc = EEXIST;
    }

    if (rc == EEXIST && change->same == 0) {
        rc = ngx_apigw_cli_usage_known(store, txn, &cli->args[0],
                                       &change->known);
        rc = rc == 0 ? ENOENT : rc;
    }

    if (rc == 0) {
        rc = ngx_apigw_cli_usage_counters(store, txn, cli->now, &cli->args[0],
                                          ngx_apigw_cli_usage_change_one,
                                          change);
    }

    return rc == 0 ? ngx_apigw_cli_usage_note(store, txn, change) : rc;
}


static int
ngx_apigw_cli_usage_change_count(void *data, MDB_cursor *cursor,
    const MDB_val *key, const ngx_apigw_cli_usage_counter_t *counter,
    ngx_apigw_usage_record_t *record)
{
    ngx_apigw_cli_usage_change_t *change = data;

    if (counter->flags & NGX_APIGW_COUNTER_SHADOW) {
        return 0;
    }

    if (ngx_apigw_cli_usage_change_wanted(change, counter, record)) {

        if (change->same++ == 0) {
            change->n = 0;
            change->list.len = 0;
        }

    } else if (change->same) {
        return 0;
    }

    if (change->n++ < NGX_APIGW_CLI_USAGE_LIST) {
        ngx_apigw_cli_usage_change_list(&change->list, counter, record);
    }

    return 0;
}


static ngx_uint_t
ngx_apigw_cli_usage_change_wanted(const ngx_apigw_cli_usage_change_t *change,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record)
{
    ngx_apigw_cli_usage_conf_t  *conf;

    conf = change->cli->conf;

    if (counter->flags & NGX_APIGW_COUNTER_SHADOW) {
        return 0;
    }

    if (conf->per.data
        && ngx_apigw_window_kind(&conf->per) != (ngx_int_t) counter->kind)
    {
        return 0;
    }

    if (conf->family.data
        && (conf->family.len != counter->family.len
            || ngx_memcmp(conf->family.data, counter->family.data,
                          counter->family.len)
               != 0))
    {
        return 0;
    }

    /* nobody knows when the window of a damaged record began */

    return change->since == -1
           || (record && record->head.start == change->since);
}


/* "pro per day from 2026-01-31T00:00:00Z" for a message */

static void
ngx_apigw_cli_usage_change_list(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_counter_t *counter,
    const ngx_apigw_usage_record_t *record)
{
    char  start[NGX_APIGW_CLI_TIME_TEXT];

    ngx_apigw_cli_buf_puts(b, b->len ? ", " : "");
    ngx_apigw_cli_buf_add(b, counter->family.data, counter->family.len);
    ngx_apigw_cli_buf_puts(b, " per ");
    ngx_apigw_cli_buf_puts(b, ngx_apigw_window_name(counter->kind));

    if (counter->kind != NGX_APIGW_WINDOW_LIFETIME && record) {
        ngx_apigw_cli_buf_puts(b, " from ");
        ngx_apigw_cli_buf_puts(b, ngx_apigw_cli_time_text(record->head.start,
                                                          start));
    }
}


static int
ngx_apigw_cli_usage_change_one(void *data, MDB_cursor *cursor,
    const MDB_val *key, const ngx_apigw_cli_usage_counter_t *counter,
    ngx_apigw_usage_record_t *record)
{
    ngx_apigw_cli_usage_change_t *change = data;

    MDB_val  k, value;

    if (!ngx_apigw_cli_usage_change_wanted(change, counter, record)) {
        return 0;
    }

    if (record == NULL) {
        return NGX_APIGW_USAGE_EDAMAGED;
    }

    change->kind = counter->kind;
    change->start = record->head.start;
    change->end = counter->end;
    change->len = ngx_min(counter->family.len, NGX_APIGW_COUNTER_NAME);
    ngx_memcpy(change->family, counter->family.data, change->len);

    if (change->action == NGX_APIGW_CLI_USAGE_GRANT) {
        change->before = record->head.grant;
        record->head.grant += change->amount;
        change->after = record->head.grant;

    } else {
        change->before = ngx_apigw_cli_usage_sum(record);
        change->amount = change->before;
        record->head.adjust -= change->amount;
        change->after = ngx_apigw_cli_usage_sum(record);
    }

    k = *key;

    value.mv_data = record;
    value.mv_size = sizeof(ngx_apigw_usage_head_t)
                    + record->head.parts * sizeof(ngx_apigw_usage_part_t);

    return mdb_cursor_put(cursor, &k, &value, MDB_CURRENT);
}


/* A line of the audit: when, who, what, of which counter. */

static int
ngx_apigw_cli_usage_note(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_cli_usage_change_t *change)
{
    int                   rc;
    u_char                name[16];
    MDB_val               key, value;
    ngx_uint_t            i;
    struct timespec       ts;
    ngx_apigw_cli_buf_t   b;

    /* in the order of the transactions, also within a second */

    if (clock_gettime(CLOCK_REALTIME, &ts) == -1) {
        return errno;
    }

    for (i = 0; i < 8; i++) {
        name[i] = (u_char) ((uint64_t) ts.tv_sec >> (56 - 8 * i));
        name[8 + i] = (u_char) ((uint64_t) ts.tv_nsec >> (56 - 8 * i));
    }

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_usage_note_line(&b, change);

    key.mv_data = name;
    key.mv_size = sizeof(name);
    value.mv_data = b.data;
    value.mv_size = b.len;

    rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_AUDIT), &key,
                 &value, MDB_NOOVERWRITE);

    ngx_apigw_cli_buf_free(&b);

    return rc;
}


static void
ngx_apigw_cli_usage_note_line(ngx_apigw_cli_buf_t *b,
    ngx_apigw_cli_usage_change_t *change)
{
    ngx_str_t         text;
    ngx_uint_t        grant;
    ngx_apigw_cli_t  *cli;

    cli = change->cli;
    grant = change->action == NGX_APIGW_CLI_USAGE_GRANT;

    ngx_apigw_cli_buf_puts(b, "{");
    ngx_apigw_cli_json_time(b, "time", cli->now);
    ngx_apigw_cli_usage_json(b, "action", grant ? "grant" : "reset");
    ngx_apigw_cli_usage_json(b, "user", cli->sudo ? cli->sudo
                                        : cli->user ? cli->user : "");
    ngx_apigw_cli_json_number(b, "uid", cli->uid);
    ngx_apigw_cli_json_text(b, "consumer", &cli->args[0]);

    text.data = change->family;
    text.len = change->len;

    ngx_apigw_cli_usage_json_counter(b, &text, change->kind, change->start,
                                     change->end);

    ngx_apigw_cli_json_number(b, "units", change->amount);
    ngx_apigw_cli_json_number(b, grant ? "granted_before" : "used_before",
                              change->before);
    ngx_apigw_cli_json_number(b, grant ? "granted" : "used", change->after);
    ngx_apigw_cli_buf_puts(b, "}\n");
}


static void
ngx_apigw_cli_usage_json(ngx_apigw_cli_buf_t *b, const char *name,
    const char *value)
{
    ngx_str_t  text;

    text.data = (u_char *) value;
    text.len = strlen(value);

    ngx_apigw_cli_json_text(b, name, &text);
}


/* Which counter of a consumer it is; that of an API is of "family/api". */

static void
ngx_apigw_cli_usage_json_counter(ngx_apigw_cli_buf_t *b,
    const ngx_str_t *family, ngx_uint_t kind, int64_t start, int64_t end)
{
    u_char     *p;
    ngx_str_t   api;

    ngx_apigw_cli_json_text(b, "family", family);

    p = ngx_strlchr(family->data, family->data + family->len, '/');

    if (p) {
        api.data = p + 1;
        api.len = family->data + family->len - api.data;
        ngx_apigw_cli_json_text(b, "api", &api);
    }

    ngx_apigw_cli_usage_json(b, "per", ngx_apigw_window_name(kind));

    if (kind != NGX_APIGW_WINDOW_LIFETIME) {
        ngx_apigw_cli_json_time(b, "start", start);
        ngx_apigw_cli_json_time(b, "end", end);
    }
}


int
ngx_apigw_cli_usage_audit(ngx_apigw_cli_t *cli)
{
    int                   rc;
    MDB_txn              *txn;
    MDB_val               key, value;
    MDB_cursor           *cursor;
    ngx_apigw_store_t    *store;
    ngx_apigw_cli_buf_t   b;

    store = ngx_apigw_cli_usage_open(cli, &rc);

    if (store == NULL) {
        return rc;
    }

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    rc = ngx_apigw_store_read(store, &txn);

    if (rc == 0) {
        rc = mdb_cursor_open(txn, ngx_apigw_store_db(store,
                                                     NGX_APIGW_USAGE_AUDIT),
                             &cursor);

        while (rc == 0) {
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);

            if (rc == 0) {
                ngx_apigw_cli_buf_add(&b, value.mv_data, value.mv_size);
            }
        }

        mdb_cursor_close(cursor);
        ngx_apigw_store_read_end(store);
    }

    ngx_apigw_store_close(store);

    if (rc != MDB_NOTFOUND && rc != NGX_APIGW_STORE_EEMPTY) {
        return ngx_apigw_cli_usage_failed(rc);
    }

    rc = ngx_apigw_cli_flush(&b) == NGX_OK ? NGX_APIGW_CLI_DONE
                                           : NGX_APIGW_CLI_FAILED;
    ngx_apigw_cli_buf_free(&b);

    return rc;
}
