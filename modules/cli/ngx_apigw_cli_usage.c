/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_usage.h"


typedef struct {
    ngx_apigw_cli_usage_conf_t  *conf;
    ngx_uint_t                   month;
    ngx_apigw_cli_usage_walk_t   walk;
    struct ngx_apigw_cli_usage_line_s  *lines;
    size_t                       n;
    size_t                       size;
} ngx_apigw_cli_usage_report_t;


typedef struct ngx_apigw_cli_usage_line_s {
    char                         period[NGX_APIGW_CLI_DAY_TEXT];
    ngx_apigw_ledger_info_t      info;
    ngx_apigw_ledger_row_t       row;
} ngx_apigw_cli_usage_line_t;


/* A number of the table, or the sum of two. */

typedef struct {
    const char                  *title;
    ngx_uint_t                   one;
    ngx_uint_t                   two;       /* _LEDGER_FIELDS: none */
    int                          width;
} ngx_apigw_cli_usage_column_t;


static int ngx_apigw_cli_usage_days(ngx_apigw_cli_t *cli,
    ngx_apigw_cli_usage_report_t *report, uint32_t *from, uint32_t *to);
static uint32_t ngx_apigw_cli_usage_month(uint32_t day);
static int ngx_apigw_cli_usage_collect(void *data,
    const ngx_apigw_ledger_info_t *info, const ngx_apigw_ledger_row_t *row);
static ngx_uint_t ngx_apigw_cli_usage_wanted(const ngx_str_t *wanted,
    const ngx_apigw_ledger_info_t *info, ngx_uint_t n);
static void ngx_apigw_cli_usage_drop(ngx_apigw_ledger_info_t *info,
    ngx_uint_t n);
static int ngx_apigw_cli_usage_compare(const void *one, const void *two);
static void ngx_apigw_cli_usage_merge(ngx_apigw_cli_usage_report_t *report);
static int ngx_apigw_cli_usage_print(ngx_apigw_cli_usage_report_t *report);
static void ngx_apigw_cli_usage_head_csv(ngx_apigw_cli_buf_t *b);
static void ngx_apigw_cli_usage_line_csv(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_line_t *line);
static void ngx_apigw_cli_usage_line_json(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_line_t *line);
static void ngx_apigw_cli_usage_head_table(ngx_apigw_cli_buf_t *b,
    ngx_uint_t detail);
static void ngx_apigw_cli_usage_line_table(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_line_t *line, ngx_uint_t detail);
static void ngx_apigw_cli_usage_csv(ngx_apigw_cli_buf_t *b,
    const ngx_str_t *text);
static void ngx_apigw_cli_usage_cell(ngx_apigw_cli_buf_t *b,
    const char *text, size_t len, int width);


static const char  *ngx_apigw_cli_usage_names[] = {
    "consumer", "key", "plan", "api", "version"
};


static const ngx_apigw_cli_usage_column_t  ngx_apigw_cli_usage_columns[] = {
    { "REQUESTS", NGX_APIGW_LEDGER_REQUESTS, NGX_APIGW_LEDGER_FIELDS, 10 },
    { "5XX", NGX_APIGW_LEDGER_5XX, NGX_APIGW_LEDGER_FIELDS, 8 },
    { "REFUSED", NGX_APIGW_LEDGER_RATE, NGX_APIGW_LEDGER_QUOTA, 9 },
    { "INCLUDED", NGX_APIGW_LEDGER_INCLUDED, NGX_APIGW_LEDGER_FIELDS, 12 },
    { "OVERAGE", NGX_APIGW_LEDGER_OVERAGE, NGX_APIGW_LEDGER_FIELDS, 12 },
    { "BYTES", NGX_APIGW_LEDGER_OUT, NGX_APIGW_LEDGER_FIELDS, 14 },
    { NULL, 0, 0, 0 }
};


#define ngx_apigw_cli_usage_offset(name)                                      \
    offsetof(ngx_apigw_cli_usage_conf_t, name)

#define ngx_apigw_cli_usage_option_store                                      \
    { "store", "DIR", "the directory of the store, that of\n"                 \
                      "api_usage_zone; default: $APIGW_STORE",                \
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(store) }

#define ngx_apigw_cli_usage_option_json                                       \
    { "json", NULL, "one JSON object a line",                                 \
      ngx_apigw_cli_set_flag, ngx_apigw_cli_usage_offset(json) }

#define ngx_apigw_cli_usage_options_counter                                   \
    { "per", "PERIOD", "the quota of hour, day, week, month or lifetime",     \
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(per) },            \
    { "family", "NAME", "the family of the plan, or the plan's name if it\n" \
                        "has none; \"NAME/API\" for a quota of an API",     \
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(family) },         \
    { "plan", "NAME", "the same",                                             \
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(family) },         \
    { "since", "TIME", "the window that began then",                          \
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(since) }


static const ngx_apigw_cli_option_t  ngx_apigw_cli_usage_report_options[] = {
    ngx_apigw_cli_usage_option_store,
    { "from", "DATE", "the first day, 2026-01-31; default: today,\n"
                      "by month the first day of the month",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(from) },
    { "to", "DATE", "the last day; default: today",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(to) },
    { "by", "PERIOD", "day or month; default: day.  A month is a whole\n"
                      "one, or the one so far",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(by) },
    { "consumer", "NAME", "only this consumer",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(consumer) },
    { "plan", "NAME", "only this plan",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(plan) },
    { "api", "NAME", "only this API",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(api) },
    { "detail", NULL, "apart by key and version as well",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_usage_offset(detail) },
    { "csv", NULL, "comma-separated values with all numbers",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_usage_offset(csv) },
    ngx_apigw_cli_usage_option_json,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_usage_show_options[] = {
    ngx_apigw_cli_usage_option_store,
    ngx_apigw_cli_usage_option_json,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_usage_change_options[] = {
    ngx_apigw_cli_usage_option_store,
    ngx_apigw_cli_usage_options_counter,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_usage_audit_options[] = {
    ngx_apigw_cli_usage_option_store,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_usage_export_options[] = {
    ngx_apigw_cli_usage_option_store,
    { "dir", "DIR", "where the files are; needed",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(dir) },
    { "late", "DAYS", "amend so many days that have files by what came\n"
                      "late, 0 to 366; default: 7",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(late) },
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_usage_verify_options[] = {
    { "dir", "DIR", "where the files are; needed",
      ngx_apigw_cli_set_string, ngx_apigw_cli_usage_offset(dir) },
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_verb_t  ngx_apigw_cli_usage_verbs[] = {

    { "report", "", 0, 0, "tells what was used, by day or month",
      "Units beyond a quota are counted as overage.  What was used in the\n"
      "last flush interval may be missing.",
      ngx_apigw_cli_usage_report_options, ngx_apigw_cli_usage_report },

    { "show", "CONSUMER", 1, 1, "shows a consumer's quotas of this moment",
      NULL,
      ngx_apigw_cli_usage_show_options, ngx_apigw_cli_usage_show },

    { "grant", "CONSUMER +N", 2, 2,
      "raises a limit by N units for the rest of the window",
      "nginx applies it with its next flush.",
      ngx_apigw_cli_usage_change_options, ngx_apigw_cli_usage_grant },

    { "reset", "CONSUMER", 1, 1, "sets what was used in this window to 0",
      "The ledger is not changed.",
      ngx_apigw_cli_usage_change_options, ngx_apigw_cli_usage_reset },

    { "audit", "", 0, 0, "lists grants and resets",
      NULL,
      ngx_apigw_cli_usage_audit_options, ngx_apigw_cli_usage_audit },

    { "export", "", 0, 0, "writes a file for each day that is over",
      "Each file has the SHA-256 of the one before in its first line.",
      ngx_apigw_cli_usage_export_options, ngx_apigw_cli_usage_export },

    { "verify", "", 0, 0, "checks exported files: none missing or altered",
      NULL,
      ngx_apigw_cli_usage_verify_options, ngx_apigw_cli_usage_verify },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL }
};


const ngx_apigw_cli_group_t  ngx_apigw_cli_usage_group = {
    "usage", "what was used, and quotas", ngx_apigw_cli_usage_verbs,
    sizeof(ngx_apigw_cli_usage_conf_t)
};


ngx_apigw_store_t *
ngx_apigw_cli_usage_open(ngx_apigw_cli_t *cli, int *rc)
{
    char                        *directory;
    ngx_apigw_store_t           *store;
    ngx_apigw_cli_usage_conf_t  *conf;

    conf = cli->conf;
    directory = ngx_apigw_cli_store(cli, &conf->store);

    if (directory == NULL) {
        *rc = NGX_APIGW_CLI_USAGE;
        return NULL;
    }

    *rc = ngx_apigw_store_become_owner(directory);

    if (*rc == 0) {
        *rc = ngx_apigw_store_open(&store, directory, &ngx_apigw_usage_kind);
    }

    if (*rc == 0) {
        return store;
    }

    *rc = ngx_apigw_cli_unopened(cli, directory, *rc);

    return NULL;
}


int
ngx_apigw_cli_usage_failed(int rc)
{
    return ngx_apigw_cli_error("the store cannot be used: %s",
                               ngx_apigw_store_strerror(rc));
}


int
ngx_apigw_cli_usage_walk(ngx_apigw_store_t *store,
    ngx_apigw_cli_usage_walk_t *walk, ngx_apigw_cli_usage_pt entry, void *data)
{
    int                         rc;
    u_char                      first[4];
    uint32_t                    from;
    MDB_txn                    *txn;
    MDB_val                     key, value;
    MDB_cursor                 *cursor;
    ngx_uint_t                  i;
    MDB_cursor_op               op;
    ngx_apigw_ledger_row_t      row;
    ngx_apigw_ledger_info_t     info;
    ngx_apigw_ledger_record_t   record;

    walk->kept = 0;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc != 0) {
        return rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
    }

    rc = ngx_apigw_ledger_kept(txn, &walk->kept);

    if (rc == 0) {
        rc = mdb_cursor_open(txn, ngx_apigw_store_db(store,
                                                     NGX_APIGW_USAGE_LEDGER),
                             &cursor);
    }

    if (rc != 0) {
        ngx_apigw_store_read_end(store);
        return rc;
    }

    from = ngx_max(walk->from, walk->kept);

    for (i = 0; i < 4; i++) {
        first[i] = (u_char) (from >> (24 - 8 * i));
    }

    key.mv_data = first;
    key.mv_size = 4;

    for (op = MDB_SET_RANGE; rc == 0; op = MDB_NEXT) {
        rc = mdb_cursor_get(cursor, &key, &value, op);

        if (rc != 0) {
            break;
        }

        if (ngx_apigw_ledger_day(&key) > walk->to) {
            break;
        }

        if (ngx_apigw_ledger_key_decode(&info, &key) != NGX_OK) {
            walk->damaged++;
            continue;
        }

        if (ngx_apigw_ledger_decode(&record, &value) != 0) {
            walk->damaged++;
            rc = entry(data, &info, NULL);
            continue;
        }

        ngx_apigw_ledger_sum(&record, &row);
        rc = entry(data, &info, &row);
    }

    mdb_cursor_close(cursor);
    ngx_apigw_store_read_end(store);

    return rc == MDB_NOTFOUND ? 0 : rc;
}


int
ngx_apigw_cli_usage_damaged(ngx_uint_t damaged)
{
    if (damaged == 0) {
        return NGX_APIGW_CLI_DONE;
    }

    return ngx_apigw_cli_error("%u records are damaged, what they had is "
                               "missing", (unsigned) damaged);
}


char *
ngx_apigw_cli_usage_day(uint32_t day, char *text)
{
    char  full[NGX_APIGW_CLI_TIME_TEXT];

    (void) ngx_apigw_cli_time_text((time_t) day * NGX_APIGW_CLI_DAY, full);

    ngx_memcpy(text, full, NGX_APIGW_CLI_DAY_TEXT - 1);
    text[NGX_APIGW_CLI_DAY_TEXT - 1] = '\0';

    return text;
}


ngx_int_t
ngx_apigw_cli_usage_date(const ngx_str_t *text, uint32_t *day)
{
    time_t  t;

    if (text->len != NGX_APIGW_CLI_DAY_TEXT - 1
        || ngx_apigw_cli_time(text, 0, &t) != NGX_OK
        || t < 0
        || t % NGX_APIGW_CLI_DAY)
    {
        return NGX_ERROR;
    }

    *day = (uint32_t) (t / NGX_APIGW_CLI_DAY);

    return NGX_OK;
}


ngx_str_t
ngx_apigw_cli_usage_name(const ngx_apigw_ledger_info_t *info, ngx_uint_t n)
{
    ngx_str_t   name;
    ngx_uint_t  i;

    name.data = (u_char *) info->names;

    for (i = 0; i < n; i++) {
        name.data += info->lens[i];
    }

    name.len = info->lens[n];

    return name;
}


int
ngx_apigw_cli_usage_report(ngx_apigw_cli_t *cli)
{
    int                            rc;
    char                           text[NGX_APIGW_CLI_DAY_TEXT];
    ngx_apigw_store_t             *store;
    ngx_apigw_cli_usage_conf_t    *conf;
    ngx_apigw_cli_usage_report_t   report;

    conf = cli->conf;

    ngx_memzero(&report, sizeof(ngx_apigw_cli_usage_report_t));

    report.conf = conf;

    if (conf->by.data) {
        report.month = strcmp((char *) conf->by.data, "month") == 0;

        if (!report.month && strcmp((char *) conf->by.data, "day") != 0) {
            return ngx_apigw_cli_usage(cli, "--by is \"day\" or \"month\", "
                                       "not \"%s\"", conf->by.data);
        }
    }

    rc = ngx_apigw_cli_usage_days(cli, &report, &report.walk.from,
                                  &report.walk.to);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    if (conf->csv && conf->json) {
        return ngx_apigw_cli_usage(cli, "--csv or --json, not both");
    }

    store = ngx_apigw_cli_usage_open(cli, &rc);

    if (store == NULL) {
        return rc;
    }

    rc = ngx_apigw_cli_usage_walk(store, &report.walk,
                                  ngx_apigw_cli_usage_collect, &report);

    ngx_apigw_store_close(store);

    if (rc != 0) {
        free(report.lines);
        return ngx_apigw_cli_usage_failed(rc);
    }

    if (report.walk.from < report.walk.kept) {
        free(report.lines);

        return ngx_apigw_cli_error("the days before %s were deleted "
                                   "(retention), ask from there with --from%s",
                                   ngx_apigw_cli_usage_day(report.walk.kept,
                                                           text),
                                   report.month ? ", by day" : "");
    }

    ngx_apigw_cli_usage_merge(&report);

    rc = ngx_apigw_cli_usage_print(&report);

    free(report.lines);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    return ngx_apigw_cli_usage_damaged(report.walk.damaged);
}


/* Today, or what was asked for; by month whole months, or the one so far. */

static int
ngx_apigw_cli_usage_days(ngx_apigw_cli_t *cli,
    ngx_apigw_cli_usage_report_t *report, uint32_t *from, uint32_t *to)
{
    int                          rc;
    uint32_t                     today;
    ngx_apigw_cli_usage_conf_t  *conf;

    conf = cli->conf;

    today = (uint32_t) (cli->now / NGX_APIGW_CLI_DAY);
    *from = today;
    *to = today;

    rc = ngx_apigw_cli_usage_read_day(cli, "--to", &conf->to, to);

    if (rc == NGX_APIGW_CLI_DONE) {

        if (report->month) {
            *from = ngx_apigw_cli_usage_month(*to);
        }

        rc = ngx_apigw_cli_usage_read_day(cli, "--from", &conf->from, from);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_usage_order(cli, *from, *to);
    }

    if (rc != NGX_APIGW_CLI_DONE || !report->month) {
        return rc;
    }

    if (*from != ngx_apigw_cli_usage_month(*from)) {
        return ngx_apigw_cli_usage(cli, "--by month takes whole months, and "
                                   "\"%s\" is not the first day of one",
                                   conf->from.data);
    }

    if (*to < today && *to + 1 != ngx_apigw_cli_usage_month(*to + 1)) {
        return ngx_apigw_cli_usage(cli, "--by month takes whole months, and "
                                   "\"%s\" is not the last day of one",
                                   conf->to.data);
    }

    return NGX_APIGW_CLI_DONE;
}


int
ngx_apigw_cli_usage_read_day(ngx_apigw_cli_t *cli, const char *option,
    const ngx_str_t *text, uint32_t *day)
{
    if (text->data && ngx_apigw_cli_usage_date(text, day) != NGX_OK) {
        return ngx_apigw_cli_usage(cli, "%s: \"%s\" is not a date like "
                                   "2026-01-31", option, text->data);
    }

    return NGX_APIGW_CLI_DONE;
}


int
ngx_apigw_cli_usage_order(ngx_apigw_cli_t *cli, uint32_t from, uint32_t to)
{
    char  first[NGX_APIGW_CLI_DAY_TEXT], last[NGX_APIGW_CLI_DAY_TEXT];

    if (from <= to) {
        return NGX_APIGW_CLI_DONE;
    }

    return ngx_apigw_cli_usage(cli, "--from (%s) is after --to (%s)",
                               ngx_apigw_cli_usage_day(from, first),
                               ngx_apigw_cli_usage_day(to, last));
}


/* The first day of the month. */

static uint32_t
ngx_apigw_cli_usage_month(uint32_t day)
{
    char      text[NGX_APIGW_CLI_DAY_TEXT];
    uint32_t  n;

    (void) ngx_apigw_cli_usage_day(day, text);

    n = (text[8] - '0') * 10 + (text[9] - '0');

    return day + 1 - n;
}


static int
ngx_apigw_cli_usage_collect(void *data, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_row_t *row)
{
    ngx_apigw_cli_usage_report_t *report = data;

    ngx_apigw_cli_usage_line_t  *line;

    if (row == NULL
        || !ngx_apigw_cli_usage_wanted(&report->conf->consumer, info,
                                       NGX_APIGW_LEDGER_CONSUMER)
        || !ngx_apigw_cli_usage_wanted(&report->conf->plan, info,
                                       NGX_APIGW_LEDGER_PLAN)
        || !ngx_apigw_cli_usage_wanted(&report->conf->api, info,
                                       NGX_APIGW_LEDGER_API))
    {
        return 0;
    }

    if (report->n == report->size) {
        report->size = report->size ? 2 * report->size : 64;
        report->lines = ngx_apigw_cli_realloc(report->lines,
                              report->size
                              * sizeof(ngx_apigw_cli_usage_line_t));
    }

    line = &report->lines[report->n++];

    line->info = *info;
    line->row = *row;

    (void) ngx_apigw_cli_usage_day(info->day, line->period);

    if (report->month) {
        line->period[sizeof("2026-01") - 1] = '\0';
    }

    if (!report->conf->detail) {
        ngx_apigw_cli_usage_drop(&line->info, NGX_APIGW_LEDGER_VER);
        ngx_apigw_cli_usage_drop(&line->info, NGX_APIGW_LEDGER_KEY);
    }

    return 0;
}


static ngx_uint_t
ngx_apigw_cli_usage_wanted(const ngx_str_t *wanted,
    const ngx_apigw_ledger_info_t *info, ngx_uint_t n)
{
    size_t     len;
    u_char     text[NGX_APIGW_LEDGER_WHO];
    ngx_str_t  name;

    if (wanted->data == NULL) {
        return 1;
    }

    len = ngx_apigw_plan_shorten(text, ngx_apigw_ledger_room(n), wanted);
    name = ngx_apigw_cli_usage_name(info, n);

    return name.len == len && ngx_memcmp(name.data, text, len) == 0;
}


static void
ngx_apigw_cli_usage_drop(ngx_apigw_ledger_info_t *info, ngx_uint_t n)
{
    u_char     *last;
    ngx_str_t   name;

    name = ngx_apigw_cli_usage_name(info, n);
    last = info->names + NGX_APIGW_LEDGER_NAME;

    ngx_memmove(name.data, name.data + name.len,
                last - (name.data + name.len));

    info->lens[n] = 0;
}


static int
ngx_apigw_cli_usage_compare(const void *one, const void *two)
{
    int                                n;
    size_t                             len;
    ngx_str_t                          a, b;
    ngx_uint_t                         i;
    const ngx_apigw_cli_usage_line_t  *x, *y;

    static const ngx_uint_t  order[] = {
        NGX_APIGW_LEDGER_CONSUMER, NGX_APIGW_LEDGER_PLAN,
        NGX_APIGW_LEDGER_API, NGX_APIGW_LEDGER_KEY, NGX_APIGW_LEDGER_VER
    };

    x = one;
    y = two;

    n = strcmp(x->period, y->period);

    for (i = 0; n == 0 && i < NGX_APIGW_LEDGER_NAMES; i++) {
        a = ngx_apigw_cli_usage_name(&x->info, order[i]);
        b = ngx_apigw_cli_usage_name(&y->info, order[i]);

        len = ngx_min(a.len, b.len);
        n = memcmp(a.data, b.data, len);

        if (n == 0 && a.len != b.len) {
            n = a.len < b.len ? -1 : 1;
        }
    }

    return n;
}


/* Sorts the lines and adds up those of the same names and period. */

static void
ngx_apigw_cli_usage_merge(ngx_apigw_cli_usage_report_t *report)
{
    size_t                       i, n;
    ngx_uint_t                   k;
    ngx_apigw_cli_usage_line_t  *lines;

    lines = report->lines;

    if (report->n == 0) {
        return;
    }

    qsort(lines, report->n, sizeof(ngx_apigw_cli_usage_line_t),
          ngx_apigw_cli_usage_compare);

    for (i = 1, n = 0; i < report->n; i++) {

        if (ngx_apigw_cli_usage_compare(&lines[n], &lines[i]) != 0) {
            lines[++n] = lines[i];
            continue;
        }

        for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
            lines[n].row.n[k] += lines[i].row.n[k];
        }
    }

    report->n = n + 1;
}


static int
ngx_apigw_cli_usage_print(ngx_apigw_cli_usage_report_t *report)
{
    size_t               i;
    ngx_apigw_cli_buf_t  b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    if (report->conf->csv) {
        ngx_apigw_cli_usage_head_csv(&b);

    } else if (!report->conf->json) {
        ngx_apigw_cli_usage_head_table(&b, report->conf->detail);
    }

    for (i = 0; i < report->n; i++) {

        if (report->conf->json) {
            ngx_apigw_cli_usage_line_json(&b, &report->lines[i]);

        } else if (report->conf->csv) {
            ngx_apigw_cli_usage_line_csv(&b, &report->lines[i]);

        } else {
            ngx_apigw_cli_usage_line_table(&b, &report->lines[i],
                                           report->conf->detail);
        }
    }

    if (ngx_apigw_cli_flush(&b) != NGX_OK) {
        return NGX_APIGW_CLI_FAILED;
    }

    ngx_apigw_cli_buf_free(&b);

    return NGX_APIGW_CLI_DONE;
}


static void
ngx_apigw_cli_usage_head_csv(ngx_apigw_cli_buf_t *b)
{
    ngx_uint_t  k;

    ngx_apigw_cli_buf_puts(b, "period");

    for (k = 0; k < NGX_APIGW_LEDGER_NAMES; k++) {
        ngx_apigw_cli_buf_puts(b, ",");
        ngx_apigw_cli_buf_puts(b, ngx_apigw_cli_usage_names[k]);
    }

    for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
        ngx_apigw_cli_buf_puts(b, ",");
        ngx_apigw_cli_buf_puts(b, ngx_apigw_ledger_fields[k]);
    }

    ngx_apigw_cli_buf_puts(b, "\n");
}


static void
ngx_apigw_cli_usage_line_csv(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_line_t *line)
{
    ngx_str_t   name;
    ngx_uint_t  k;

    ngx_apigw_cli_buf_puts(b, line->period);

    for (k = 0; k < NGX_APIGW_LEDGER_NAMES; k++) {
        name = ngx_apigw_cli_usage_name(&line->info, k);
        ngx_apigw_cli_buf_puts(b, ",");
        ngx_apigw_cli_usage_csv(b, &name);
    }

    for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
        ngx_apigw_cli_buf_puts(b, ",");
        ngx_apigw_cli_buf_number(b, (int64_t) line->row.n[k]);
    }

    ngx_apigw_cli_buf_puts(b, "\n");
}


static void
ngx_apigw_cli_usage_line_json(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_line_t *line)
{
    ngx_str_t   name;
    ngx_uint_t  k;

    ngx_apigw_cli_buf_puts(b, "{");

    name.data = (u_char *) line->period;
    name.len = strlen(line->period);
    ngx_apigw_cli_json_text(b, "period", &name);

    for (k = 0; k < NGX_APIGW_LEDGER_NAMES; k++) {
        name = ngx_apigw_cli_usage_name(&line->info, k);
        ngx_apigw_cli_json_text(b, ngx_apigw_cli_usage_names[k], &name);
    }

    for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
        ngx_apigw_cli_json_number(b, ngx_apigw_ledger_fields[k],
                                  (int64_t) line->row.n[k]);
    }

    ngx_apigw_cli_buf_puts(b, "}\n");
}


static void
ngx_apigw_cli_usage_head_table(ngx_apigw_cli_buf_t *b, ngx_uint_t detail)
{
    const ngx_apigw_cli_usage_column_t  *column;

    ngx_apigw_cli_usage_cell(b, "PERIOD", 6, 11);
    ngx_apigw_cli_usage_cell(b, "CONSUMER", 8, 25);
    ngx_apigw_cli_usage_cell(b, "PLAN", 4, 13);
    ngx_apigw_cli_usage_cell(b, "API", 3, 13);

    if (detail) {
        ngx_apigw_cli_usage_cell(b, "KEY", 3, 25);
        ngx_apigw_cli_usage_cell(b, "VERSION", 7, 9);
    }

    for (column = ngx_apigw_cli_usage_columns; column->title; column++) {
        ngx_apigw_cli_usage_cell(b, column->title, strlen(column->title),
                                 -column->width);
    }

    ngx_apigw_cli_buf_puts(b, "\n");
}


static void
ngx_apigw_cli_usage_line_table(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_usage_line_t *line, ngx_uint_t detail)
{
    char                                 text[32];
    uint64_t                             n;
    ngx_str_t                            name;
    const ngx_apigw_cli_usage_column_t  *column;

    ngx_apigw_cli_usage_cell(b, line->period, strlen(line->period), 11);

    name = ngx_apigw_cli_usage_name(&line->info, NGX_APIGW_LEDGER_CONSUMER);
    ngx_apigw_cli_usage_cell(b, (char *) name.data, name.len, 25);

    name = ngx_apigw_cli_usage_name(&line->info, NGX_APIGW_LEDGER_PLAN);
    ngx_apigw_cli_usage_cell(b, (char *) name.data, name.len, 13);

    name = ngx_apigw_cli_usage_name(&line->info, NGX_APIGW_LEDGER_API);
    ngx_apigw_cli_usage_cell(b, (char *) name.data, name.len, 13);

    if (detail) {
        name = ngx_apigw_cli_usage_name(&line->info, NGX_APIGW_LEDGER_KEY);
        ngx_apigw_cli_usage_cell(b, (char *) name.data, name.len, 25);

        name = ngx_apigw_cli_usage_name(&line->info, NGX_APIGW_LEDGER_VER);
        ngx_apigw_cli_usage_cell(b, (char *) name.data, name.len, 9);
    }

    for (column = ngx_apigw_cli_usage_columns; column->title; column++) {

        n = line->row.n[column->one];

        if (column->two < NGX_APIGW_LEDGER_FIELDS) {
            n += line->row.n[column->two];
        }

        snprintf(text, sizeof(text), "%lld", (long long) n);
        ngx_apigw_cli_usage_cell(b, text, strlen(text), -column->width);
    }

    ngx_apigw_cli_buf_puts(b, "\n");
}


static void
ngx_apigw_cli_usage_csv(ngx_apigw_cli_buf_t *b, const ngx_str_t *text)
{
    size_t      i;
    ngx_uint_t  quote;

    quote = 0;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == '"' || text->data[i] == ','
            || text->data[i] < ' ')
        {
            quote = 1;
        }
    }

    if (!quote) {
        ngx_apigw_cli_buf_add(b, text->data, text->len);
        return;
    }

    ngx_apigw_cli_buf_puts(b, "\"");

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == '"') {
            ngx_apigw_cli_buf_puts(b, "\"");
        }

        ngx_apigw_cli_buf_add(b, &text->data[i], 1);
    }

    ngx_apigw_cli_buf_puts(b, "\"");
}


/* Text of a column, to the right if the width is negative. */

static void
ngx_apigw_cli_usage_cell(ngx_apigw_cli_buf_t *b, const char *text, size_t len,
    int width)
{
    int     pad;
    char    c;
    size_t  i;

    pad = (width < 0 ? -width : width) - (int) len;

    if (width >= 0 && pad < 1) {
        pad = 1;
    }

    if (width < 0) {
        ngx_apigw_cli_buf_puts(b, " ");

        for ( /* void */ ; pad > 0; pad--) {
            ngx_apigw_cli_buf_puts(b, " ");
        }
    }

    for (i = 0; i < len; i++) {
        c = (u_char) text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
        ngx_apigw_cli_buf_add(b, &c, 1);
    }

    for ( /* void */ ; pad > 0; pad--) {
        ngx_apigw_cli_buf_puts(b, " ");
    }
}
