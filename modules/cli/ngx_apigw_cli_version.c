/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_usage.h"
#include "ngx_apigw_cli_version.h"


#define NGX_APIGW_CLI_VERSION_DAYS  30      /* of a report, by default */


typedef struct {
    ngx_str_t            store;
    ngx_str_t            api;
    ngx_str_t            version;
    ngx_str_t            from;
    ngx_str_t            to;
    ngx_str_t            by;
    ngx_uint_t           deprecated;
    ngx_uint_t           csv;
    ngx_uint_t           json;
} ngx_apigw_cli_version_conf_t;


static int ngx_apigw_cli_version_report(ngx_apigw_cli_t *cli);
static void ngx_apigw_cli_version_nothing(ngx_apigw_cli_version_conf_t *conf,
    uint32_t from, uint32_t to);
static int ngx_apigw_cli_version_days(ngx_apigw_cli_t *cli, uint32_t *from,
    uint32_t *to);
static int ngx_apigw_cli_version_read(ngx_apigw_cli_t *cli, uint32_t from,
    uint32_t to, ngx_apigw_cli_version_report_t *report);
static int ngx_apigw_cli_version_add(void *data,
    const ngx_apigw_tally_info_t *info, uint64_t calls, uint32_t last);
static int ngx_apigw_cli_version_add_known(void *data, const ngx_str_t *api,
    const ngx_str_t *label, const ngx_apigw_tally_version_t *version);
static ngx_apigw_cli_version_line_t *ngx_apigw_cli_version_line(
    ngx_apigw_cli_version_report_t *report, const ngx_str_t *api,
    const ngx_str_t *version, const ngx_str_t *caller);
static void ngx_apigw_cli_version_name(ngx_str_t *name, u_char **p,
    const ngx_str_t *from);
static ngx_uint_t ngx_apigw_cli_version_wanted(const ngx_str_t *wanted,
    const ngx_str_t *name);
static void ngx_apigw_cli_version_unused(
    ngx_apigw_cli_version_report_t *report);
static void ngx_apigw_cli_version_know(ngx_apigw_cli_version_report_t *report);
static void ngx_apigw_cli_version_merge(
    ngx_apigw_cli_version_report_t *report);
static int ngx_apigw_cli_version_compare(const void *one, const void *two);
static int ngx_apigw_cli_version_compare_group(
    const ngx_apigw_cli_version_line_t *x,
    const ngx_apigw_cli_version_line_t *y);
static int ngx_apigw_cli_version_compare_calls(const void *one,
    const void *two);
static int ngx_apigw_cli_version_compare_text(const ngx_str_t *a,
    const ngx_str_t *b);
static void ngx_apigw_cli_version_free(
    ngx_apigw_cli_version_report_t *report);


#define ngx_apigw_cli_version_offset(name)                                    \
    offsetof(ngx_apigw_cli_version_conf_t, name)


static const ngx_apigw_cli_option_t  ngx_apigw_cli_version_report_options[] = {
    { "store", "DIR", "the directory of the store, that of\n"
                      "api_version_zone; default: $APIGW_STORE",
      ngx_apigw_cli_set_string, ngx_apigw_cli_version_offset(store) },
    { "api", "NAME", "only this API",
      ngx_apigw_cli_set_string, ngx_apigw_cli_version_offset(api) },
    { "version", "LABEL", "only this version",
      ngx_apigw_cli_set_string, ngx_apigw_cli_version_offset(version) },
    { "deprecated", NULL, "only versions that are deprecated or have a\n"
                          "sunset, past or to come",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_version_offset(deprecated) },
    { "from", "DATE", "the first day, 2026-01-31; default: 29 days before\n"
                      "the last",
      ngx_apigw_cli_set_string, ngx_apigw_cli_version_offset(from) },
    { "to", "DATE", "the last day; default: today",
      ngx_apigw_cli_set_string, ngx_apigw_cli_version_offset(to) },
    { "by", "WHAT", "a line for each caller, day or source",
      ngx_apigw_cli_set_string, ngx_apigw_cli_version_offset(by) },
    { "csv", NULL, "comma-separated values",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_version_offset(csv) },
    { "json", NULL, "one JSON object a line",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_version_offset(json) },
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_verb_t  ngx_apigw_cli_version_verbs[] = {

    { "report", "", 0, 0, "tells who calls which version, how often, last when",
      "Days are those of UTC.  Callers are told of versions that will end.\n"
      "A name that is not there is no error: a note says so.\n"
      "What came in the last flush interval may be missing.",
      ngx_apigw_cli_version_report_options, ngx_apigw_cli_version_report },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL }
};


const ngx_apigw_cli_group_t  ngx_apigw_cli_version_group = {
    "version", "who calls which version", ngx_apigw_cli_version_verbs,
    sizeof(ngx_apigw_cli_version_conf_t)
};


static int
ngx_apigw_cli_version_report(ngx_apigw_cli_t *cli)
{
    int                             rc;
    uint32_t                        from, to;
    ngx_uint_t                      i;
    ngx_apigw_cli_buf_t             b;
    ngx_apigw_cli_version_conf_t   *conf;
    ngx_apigw_cli_version_form_e    form;
    ngx_apigw_cli_version_report_t  report;

    static const char  *by[] = { "version", "caller", "day", "source" };

    conf = cli->conf;
    from = to = 0;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));
    ngx_memzero(&report, sizeof(ngx_apigw_cli_version_report_t));

    report.now = cli->now;
    report.api = &conf->api;
    report.label = &conf->version;
    report.ending = conf->deprecated;

    if (conf->by.data) {
        for (i = 1; i < sizeof(by) / sizeof(by[0]); i++) {
            if (strcmp((char *) conf->by.data, by[i]) == 0) {
                report.by = i;
            }
        }

        if (report.by == NGX_APIGW_CLI_VERSION_BY_VERSION) {
            return ngx_apigw_cli_usage(cli, "--by is \"caller\", \"day\" or "
                                       "\"source\", not \"%s\"",
                                       conf->by.data);
        }
    }

    if (conf->csv && conf->json) {
        return ngx_apigw_cli_usage(cli, "--csv or --json, not both");
    }

    rc = ngx_apigw_cli_version_days(cli, &from, &to);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_version_read(cli, from, to, &report);
    }

    if (rc == NGX_APIGW_CLI_DONE) {
        ngx_apigw_cli_version_unused(&report);
        ngx_apigw_cli_version_merge(&report);
        ngx_apigw_cli_version_know(&report);

        form = conf->csv ? NGX_APIGW_CLI_VERSION_CSV
               : conf->json ? NGX_APIGW_CLI_VERSION_JSON
               : NGX_APIGW_CLI_VERSION_TABLE;

        ngx_apigw_cli_version_print(&b, &report, form);

        if (ngx_apigw_cli_flush(&b) != NGX_OK) {
            rc = NGX_APIGW_CLI_FAILED;

        } else if (report.n == 0) {
            ngx_apigw_cli_version_nothing(conf, from, to);
        }
    }

    ngx_apigw_cli_buf_free(&b);
    ngx_apigw_cli_version_free(&report);

    return rc;
}


/* Says why there is nothing but a header. */

static void
ngx_apigw_cli_version_nothing(ngx_apigw_cli_version_conf_t *conf,
    uint32_t from, uint32_t to)
{
    char  first[sizeof("2026-01-02")], last[sizeof("2026-01-02")];

    ngx_apigw_cli_note("nothing to report%s%s%s%s%s from %s to %s",
                       conf->deprecated ? " of deprecated versions" : "",
                       conf->api.data ? " of API " : "",
                       conf->api.data ? (char *) conf->api.data : "",
                       conf->version.data ? " of version " : "",
                       conf->version.data ? (char *) conf->version.data : "",
                       ngx_apigw_cli_usage_day(from, first),
                       ngx_apigw_cli_usage_day(to, last));
}


static int
ngx_apigw_cli_version_days(ngx_apigw_cli_t *cli, uint32_t *from, uint32_t *to)
{
    int                            rc;
    ngx_apigw_cli_version_conf_t  *conf;

    conf = cli->conf;

    *to = (uint32_t) (cli->now / NGX_APIGW_TALLY_DAY);

    rc = ngx_apigw_cli_usage_read_day(cli, "--to", &conf->to, to);

    *from = *to - ngx_min(*to, NGX_APIGW_CLI_VERSION_DAYS - 1);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_usage_read_day(cli, "--from", &conf->from, from);
    }

    return rc == NGX_APIGW_CLI_DONE
           ? ngx_apigw_cli_usage_order(cli, *from, *to) : rc;
}


static int
ngx_apigw_cli_version_read(ngx_apigw_cli_t *cli, uint32_t from, uint32_t to,
    ngx_apigw_cli_version_report_t *report)
{
    int                            rc;
    char                          *directory;
    ngx_apigw_store_t             *store;
    ngx_apigw_cli_version_conf_t  *conf;

    conf = cli->conf;
    directory = ngx_apigw_cli_store(cli, &conf->store);

    if (directory == NULL) {
        return NGX_APIGW_CLI_USAGE;
    }

    rc = ngx_apigw_store_become_owner(directory);

    if (rc == 0) {
        rc = ngx_apigw_store_open(&store, directory, &ngx_apigw_tally_kind);
    }

    if (rc != 0) {
        return ngx_apigw_cli_unopened(cli, directory, rc);
    }

    /* the versions first: which of them will end */

    rc = ngx_apigw_tally_walk_versions(store, ngx_apigw_cli_version_add_known,
                                       report);

    if (rc == 0) {
        rc = ngx_apigw_tally_walk(store, from, to, ngx_apigw_cli_version_add,
                                  report);
    }

    ngx_apigw_store_close(store);

    if (rc != 0) {
        return ngx_apigw_cli_error("the store cannot be used: %s",
                                   ngx_apigw_store_strerror(rc));
    }

    return NGX_APIGW_CLI_DONE;
}


static int
ngx_apigw_cli_version_add_known(void *data, const ngx_str_t *api,
    const ngx_str_t *label, const ngx_apigw_tally_version_t *version)
{
    ngx_apigw_cli_version_report_t *report = data;

    u_char                         *p;
    size_t                          i;
    ngx_apigw_cli_version_known_t  *known;

    if (report->nknown == report->known_size) {
        report->known_size = report->known_size ? 2 * report->known_size : 16;
        report->known = ngx_apigw_cli_realloc(report->known,
                                    report->known_size
                                    * sizeof(ngx_apigw_cli_version_known_t));

        /* the names have moved with it */

        for (i = 0; i < report->nknown; i++) {
            known = &report->known[i];
            known->api.data = known->names;
            known->label.data = known->names + known->api.len;
        }
    }

    known = &report->known[report->nknown++];

    known->is = *version;

    p = known->names;
    ngx_apigw_cli_version_name(&known->api, &p, api);
    ngx_apigw_cli_version_name(&known->label, &p, label);

    return 0;
}


static int
ngx_apigw_cli_version_add(void *data, const ngx_apigw_tally_info_t *info,
    uint64_t calls, uint32_t last)
{
    ngx_apigw_cli_version_report_t *report = data;

    ngx_str_t                      api, version, caller;
    ngx_apigw_cli_version_line_t  *line;

    api.data = (u_char *) info->names;
    api.len = info->api;

    version.data = api.data + api.len;
    version.len = info->version;

    caller.data = version.data + version.len;
    caller.len = info->caller;

    line = ngx_apigw_cli_version_line(report, &api, &version, &caller);

    if (line == NULL) {
        return 0;
    }

    if (report->by == NGX_APIGW_CLI_VERSION_BY_DAY) {
        line->day = info->day;
    }

    if (report->by == NGX_APIGW_CLI_VERSION_BY_SOURCE) {
        line->source = info->source & ~NGX_APIGW_TALLY_REFUSED;
    }

    line->calls = calls;
    line->refused = (info->source & NGX_APIGW_TALLY_REFUSED) ? calls : 0;
    line->last = (time_t) info->day * NGX_APIGW_TALLY_DAY + last;

    return 0;
}


/* A new line, NULL if it is not wanted. */

static ngx_apigw_cli_version_line_t *
ngx_apigw_cli_version_line(ngx_apigw_cli_version_report_t *report,
    const ngx_str_t *api, const ngx_str_t *version, const ngx_str_t *caller)
{
    u_char                        *p;
    ngx_apigw_cli_version_line_t  *line;

    if (!ngx_apigw_cli_version_wanted(report->api, api)
        || !ngx_apigw_cli_version_wanted(report->label, version))
    {
        return NULL;
    }

    if (report->n == report->size) {
        report->size = report->size ? 2 * report->size : 64;
        report->lines = ngx_apigw_cli_realloc(report->lines,
                                   report->size
                                   * sizeof(ngx_apigw_cli_version_line_t *));
    }

    line = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_version_line_t));
    ngx_memzero(line, sizeof(ngx_apigw_cli_version_line_t));

    p = line->names;
    ngx_apigw_cli_version_name(&line->api, &p, api);
    ngx_apigw_cli_version_name(&line->version, &p, version);
    ngx_apigw_cli_version_name(&line->caller, &p, caller);

    report->lines[report->n++] = line;

    return line;
}


static void
ngx_apigw_cli_version_name(ngx_str_t *name, u_char **p, const ngx_str_t *from)
{
    name->data = *p;
    name->len = from->len;

    *p = ngx_cpymem(*p, from->data, from->len);
}


static ngx_uint_t
ngx_apigw_cli_version_wanted(const ngx_str_t *wanted, const ngx_str_t *name)
{
    return wanted->data == NULL
           || ngx_apigw_cli_version_compare_text(wanted, name) == 0;
}


/* Versions that nobody called are the good news: they have a line, too. */

static void
ngx_apigw_cli_version_unused(ngx_apigw_cli_version_report_t *report)
{
    size_t     i;
    ngx_str_t  none;

    if (report->by != NGX_APIGW_CLI_VERSION_BY_VERSION) {
        return;
    }

    ngx_str_set(&none, "");

    for (i = 0; i < report->nknown; i++) {
        (void) ngx_apigw_cli_version_line(report, &report->known[i].api,
                                          &report->known[i].label, &none);
    }
}


/* Adds what is known of the versions; drops those that are not wanted. */

static void
ngx_apigw_cli_version_know(ngx_apigw_cli_version_report_t *report)
{
    size_t                          i, k, n;
    ngx_apigw_cli_version_line_t   *line;
    ngx_apigw_cli_version_known_t  *known;

    for (i = 0, n = 0; i < report->n; i++) {
        line = report->lines[i];

        for (k = 0; k < report->nknown; k++) {
            known = &report->known[k];

            if (ngx_apigw_cli_version_compare_text(&known->api, &line->api)
                || ngx_apigw_cli_version_compare_text(&known->label,
                                                      &line->version))
            {
                continue;
            }

            line->deprecated = (time_t) known->is.deprecated;
            line->sunset = (time_t) known->is.sunset;
            line->successor.data = known->is.name;
            line->successor.len = known->is.successor;
            break;
        }

        if (report->ending && !line->deprecated && !line->sunset) {
            free(line);
            continue;
        }

        report->lines[n++] = line;
    }

    report->n = n;
}


/* Sorts the lines and adds up those of the same names. */

static void
ngx_apigw_cli_version_merge(ngx_apigw_cli_version_report_t *report)
{
    size_t                         i, n;
    ngx_str_t                      caller;
    ngx_apigw_cli_version_line_t  *line, *next;

    if (report->n == 0) {
        return;
    }

    qsort(report->lines, report->n, sizeof(ngx_apigw_cli_version_line_t *),
          ngx_apigw_cli_version_compare);

    line = report->lines[0];
    line->callers = (line->caller.len != 0);
    caller = line->caller;

    for (i = 1, n = 0; i < report->n; i++) {
        next = report->lines[i];

        if (ngx_apigw_cli_version_compare_group(line, next) != 0
            || (report->by == NGX_APIGW_CLI_VERSION_BY_CALLER
                && ngx_apigw_cli_version_compare_text(&line->caller,
                                                      &next->caller)
                   != 0))
        {
            line = next;
            line->callers = (line->caller.len != 0);
            caller = line->caller;
            report->lines[++n] = line;
            continue;
        }

        if (ngx_apigw_cli_version_compare_text(&caller, &next->caller) != 0) {

            /* the line goes on with the name of the latest of its callers */

            line->callers++;
            ngx_memcpy(caller.data, next->caller.data, next->caller.len);
            caller.len = next->caller.len;
        }

        line->calls += next->calls;
        line->refused += next->refused;
        line->last = ngx_max(line->last, next->last);

        free(next);
    }

    report->n = n + 1;

    if (report->by == NGX_APIGW_CLI_VERSION_BY_CALLER) {
        qsort(report->lines, report->n,
              sizeof(ngx_apigw_cli_version_line_t *),
              ngx_apigw_cli_version_compare_calls);
    }
}


static int
ngx_apigw_cli_version_compare(const void *one, const void *two)
{
    int                                  n;
    const ngx_apigw_cli_version_line_t  *x, *y;

    x = *(ngx_apigw_cli_version_line_t *const *) one;
    y = *(ngx_apigw_cli_version_line_t *const *) two;

    n = ngx_apigw_cli_version_compare_group(x, y);

    return n ? n : ngx_apigw_cli_version_compare_text(&x->caller, &y->caller);
}


static int
ngx_apigw_cli_version_compare_group(const ngx_apigw_cli_version_line_t *x,
    const ngx_apigw_cli_version_line_t *y)
{
    int  n;

    if (x->day != y->day) {
        return x->day < y->day ? -1 : 1;
    }

    n = ngx_apigw_cli_version_compare_text(&x->api, &y->api);

    if (n == 0) {
        n = ngx_apigw_cli_version_compare_text(&x->version, &y->version);
    }

    if (n == 0 && x->source != y->source) {
        n = x->source < y->source ? -1 : 1;
    }

    return n;
}


/* Whoever calls a version most comes first. */

static int
ngx_apigw_cli_version_compare_calls(const void *one, const void *two)
{
    int                                  n;
    const ngx_apigw_cli_version_line_t  *x, *y;

    x = *(ngx_apigw_cli_version_line_t *const *) one;
    y = *(ngx_apigw_cli_version_line_t *const *) two;

    n = ngx_apigw_cli_version_compare_group(x, y);

    if (n == 0 && x->calls != y->calls) {
        n = x->calls > y->calls ? -1 : 1;
    }

    return n ? n : ngx_apigw_cli_version_compare_text(&x->caller, &y->caller);
}


static int
ngx_apigw_cli_version_compare_text(const ngx_str_t *a, const ngx_str_t *b)
{
    int     n;
    size_t  len;

    len = ngx_min(a->len, b->len);

    /* not of an address that an empty text may not have */

    n = len ? memcmp(a->data, b->data, len) : 0;

    if (n == 0 && a->len != b->len) {
        n = a->len < b->len ? -1 : 1;
    }

    return n;
}


static void
ngx_apigw_cli_version_free(ngx_apigw_cli_version_report_t *report)
{
    size_t  i;

    for (i = 0; i < report->n; i++) {
        free(report->lines[i]);
    }

    free(report->lines);
    free(report->known);
}
