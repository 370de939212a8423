/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_usage.h"
#include "ngx_apigw_cli_version.h"


/* The forms of a report: a table for people, CSV, a JSON object a line. */


#define NGX_APIGW_CLI_VERSION_COLUMNS  13
#define NGX_APIGW_CLI_VERSION_CELL     NGX_APIGW_TALLY_NAME


typedef enum {
    NGX_APIGW_CLI_VERSION_TEXT = 0,
    NGX_APIGW_CLI_VERSION_NUMBER,
    NGX_APIGW_CLI_VERSION_TIME
} ngx_apigw_cli_version_type_e;


typedef void (*ngx_apigw_cli_version_cell_pt)(ngx_str_t *cell,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line);


typedef struct {
    const char                     *name;
    ngx_uint_t                      by;      /* bits of those that have it */
    ngx_apigw_cli_version_type_e    type;
    size_t                          offset;
    ngx_apigw_cli_version_cell_pt   cell;    /* or a function */
    ngx_uint_t                      wide;    /* not in the table */
} ngx_apigw_cli_version_column_t;


static void ngx_apigw_cli_version_day(ngx_str_t *cell,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line);
static void ngx_apigw_cli_version_source(ngx_str_t *cell,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line);
static void ngx_apigw_cli_version_status(ngx_str_t *cell,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line);
static void ngx_apigw_cli_version_cell(ngx_str_t *cell,
    const ngx_apigw_cli_version_column_t *column,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line);
static void ngx_apigw_cli_version_head(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_version_report_t *report,
    ngx_apigw_cli_version_form_e form, const int *widths);
static void ngx_apigw_cli_version_row(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line,
    ngx_apigw_cli_version_form_e form, const int *widths);
static void ngx_apigw_cli_version_widths(
    const ngx_apigw_cli_version_report_t *report, int *widths);
static ngx_uint_t ngx_apigw_cli_version_shown(
    const ngx_apigw_cli_version_column_t *column,
    const ngx_apigw_cli_version_report_t *report,
    ngx_apigw_cli_version_form_e form);
static void ngx_apigw_cli_version_pad(ngx_apigw_cli_buf_t *b,
    const ngx_str_t *cell, int width, ngx_uint_t right);
static void ngx_apigw_cli_version_trim(ngx_apigw_cli_buf_t *b);
static void ngx_apigw_cli_version_csv(ngx_apigw_cli_buf_t *b,
    const ngx_str_t *cell);
static void ngx_apigw_cli_version_json(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_version_column_t *column, const ngx_str_t *cell);


#define ngx_apigw_cli_version_all      0x0f
#define ngx_apigw_cli_version_version  (1 << NGX_APIGW_CLI_VERSION_BY_VERSION)
#define ngx_apigw_cli_version_caller   (1 << NGX_APIGW_CLI_VERSION_BY_CALLER)
#define ngx_apigw_cli_version_by_day   (1 << NGX_APIGW_CLI_VERSION_BY_DAY)
#define ngx_apigw_cli_version_by_src   (1 << NGX_APIGW_CLI_VERSION_BY_SOURCE)

#define ngx_apigw_cli_version_field(name)                                     \
    offsetof(ngx_apigw_cli_version_line_t, name)


static const ngx_apigw_cli_version_column_t
    ngx_apigw_cli_version_columns[NGX_APIGW_CLI_VERSION_COLUMNS] =
{
    { "day", ngx_apigw_cli_version_by_day,
      NGX_APIGW_CLI_VERSION_TEXT, 0, ngx_apigw_cli_version_day, 0 },

    { "api", ngx_apigw_cli_version_all,
      NGX_APIGW_CLI_VERSION_TEXT, ngx_apigw_cli_version_field(api), NULL, 0 },

    { "version", ngx_apigw_cli_version_all,
      NGX_APIGW_CLI_VERSION_TEXT, ngx_apigw_cli_version_field(version),
      NULL, 0 },

    { "source", ngx_apigw_cli_version_by_src,
      NGX_APIGW_CLI_VERSION_TEXT, 0, ngx_apigw_cli_version_source, 0 },

    { "caller", ngx_apigw_cli_version_caller,
      NGX_APIGW_CLI_VERSION_TEXT, ngx_apigw_cli_version_field(caller),
      NULL, 0 },

    { "status", ngx_apigw_cli_version_version,
      NGX_APIGW_CLI_VERSION_TEXT, 0, ngx_apigw_cli_version_status, 0 },

    { "deprecated", ngx_apigw_cli_version_version,
      NGX_APIGW_CLI_VERSION_TIME, ngx_apigw_cli_version_field(deprecated),
      NULL, 1 },

    { "sunset", ngx_apigw_cli_version_version,
      NGX_APIGW_CLI_VERSION_TIME, ngx_apigw_cli_version_field(sunset),
      NULL, 0 },

    { "successor", ngx_apigw_cli_version_version,
      NGX_APIGW_CLI_VERSION_TEXT, ngx_apigw_cli_version_field(successor),
      NULL, 1 },

    { "calls", ngx_apigw_cli_version_all,
      NGX_APIGW_CLI_VERSION_NUMBER, ngx_apigw_cli_version_field(calls),
      NULL, 0 },

    { "refused", ngx_apigw_cli_version_all,
      NGX_APIGW_CLI_VERSION_NUMBER, ngx_apigw_cli_version_field(refused),
      NULL, 0 },

    { "callers", ngx_apigw_cli_version_all & ~ngx_apigw_cli_version_caller,
      NGX_APIGW_CLI_VERSION_NUMBER, ngx_apigw_cli_version_field(callers),
      NULL, 0 },

    { "last", ngx_apigw_cli_version_all,
      NGX_APIGW_CLI_VERSION_TIME, ngx_apigw_cli_version_field(last),
      NULL, 0 }
};


void
ngx_apigw_cli_version_print(ngx_apigw_cli_buf_t *b,
    ngx_apigw_cli_version_report_t *report, ngx_apigw_cli_version_form_e form)
{
    int     widths[NGX_APIGW_CLI_VERSION_COLUMNS];
    size_t  i;

    ngx_apigw_cli_version_widths(report, widths);

    if (form != NGX_APIGW_CLI_VERSION_JSON) {
        ngx_apigw_cli_version_head(b, report, form, widths);
    }

    for (i = 0; i < report->n; i++) {
        ngx_apigw_cli_version_row(b, report, report->lines[i], form, widths);
    }
}


static void
ngx_apigw_cli_version_day(ngx_str_t *cell,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line)
{
    (void) ngx_apigw_cli_usage_day(line->day, (char *) cell->data);
    cell->len = NGX_APIGW_CLI_DAY_TEXT - 1;
}


static void
ngx_apigw_cli_version_source(ngx_str_t *cell,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line)
{
    cell->len = 0;

    if (line->source < NGX_APIGW_SOURCES) {
        *cell = ngx_apigw_sources[line->source];
    }
}


static void
ngx_apigw_cli_version_status(ngx_str_t *cell,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line)
{
    if (line->sunset && line->sunset <= report->now) {
        ngx_str_set(cell, "sunset");

    } else if (line->deprecated && line->deprecated <= report->now) {
        ngx_str_set(cell, "deprecated");

    } else {
        ngx_str_set(cell, "");
    }
}


/* The text of a cell; cell->data has NGX_APIGW_CLI_VERSION_CELL bytes. */

static void
ngx_apigw_cli_version_cell(ngx_str_t *cell,
    const ngx_apigw_cli_version_column_t *column,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line)
{
    time_t       t;
    const void  *field;

    if (column->cell) {
        column->cell(cell, report, line);
        return;
    }

    field = (const u_char *) line + column->offset;

    switch (column->type) {

    case NGX_APIGW_CLI_VERSION_NUMBER:
        cell->len = snprintf((char *) cell->data, NGX_APIGW_CLI_VERSION_CELL,
                             "%llu", (unsigned long long)
                             *(const uint64_t *) field);
        break;

    case NGX_APIGW_CLI_VERSION_TIME:
        t = *(const time_t *) field;
        cell->len = 0;

        if (t) {
            (void) ngx_apigw_cli_time_text(t, (char *) cell->data);
            cell->len = strlen((char *) cell->data);
        }

        break;

    default: /* NGX_APIGW_CLI_VERSION_TEXT */
        *cell = *(const ngx_str_t *) field;
    }
}


static ngx_uint_t
ngx_apigw_cli_version_shown(const ngx_apigw_cli_version_column_t *column,
    const ngx_apigw_cli_version_report_t *report,
    ngx_apigw_cli_version_form_e form)
{
    return (column->by & (1 << report->by))
           && !(column->wide && form == NGX_APIGW_CLI_VERSION_TABLE);
}


static void
ngx_apigw_cli_version_widths(const ngx_apigw_cli_version_report_t *report,
    int *widths)
{
    size_t      n;
    u_char      text[NGX_APIGW_CLI_VERSION_CELL];
    ngx_str_t   cell;
    ngx_uint_t  i;

    for (i = 0; i < NGX_APIGW_CLI_VERSION_COLUMNS; i++) {

        widths[i] = strlen(ngx_apigw_cli_version_columns[i].name);

        for (n = 0; n < report->n; n++) {
            cell.data = text;

            ngx_apigw_cli_version_cell(&cell,
                                       &ngx_apigw_cli_version_columns[i],
                                       report, report->lines[n]);

            widths[i] = ngx_max(widths[i], (int) cell.len);
        }
    }
}


static void
ngx_apigw_cli_version_head(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_version_report_t *report,
    ngx_apigw_cli_version_form_e form, const int *widths)
{
    size_t                                 k;
    u_char                                 text[NGX_APIGW_CLI_VERSION_CELL];
    ngx_str_t                              cell;
    ngx_uint_t                             i, n;
    const ngx_apigw_cli_version_column_t  *column;

    for (i = 0, n = 0; i < NGX_APIGW_CLI_VERSION_COLUMNS; i++) {
        column = &ngx_apigw_cli_version_columns[i];

        if (!ngx_apigw_cli_version_shown(column, report, form)) {
            continue;
        }

        if (form == NGX_APIGW_CLI_VERSION_CSV) {
            ngx_apigw_cli_buf_puts(b, n++ ? "," : "");
            ngx_apigw_cli_buf_puts(b, column->name);
            continue;
        }

        cell.data = text;
        cell.len = strlen(column->name);

        for (k = 0; k < cell.len; k++) {
            text[k] = ngx_toupper(column->name[k]);
        }

        ngx_apigw_cli_buf_puts(b, n++ ? "  " : "");
        ngx_apigw_cli_version_pad(b, &cell, widths[i],
                              column->type == NGX_APIGW_CLI_VERSION_NUMBER);
    }

    ngx_apigw_cli_version_trim(b);
    ngx_apigw_cli_buf_puts(b, "\n");
}


static void
ngx_apigw_cli_version_row(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_version_report_t *report,
    const ngx_apigw_cli_version_line_t *line,
    ngx_apigw_cli_version_form_e form, const int *widths)
{
    u_char                                 text[NGX_APIGW_CLI_VERSION_CELL];
    ngx_str_t                              cell;
    ngx_uint_t                             i, n;
    const ngx_apigw_cli_version_column_t  *column;

    if (form == NGX_APIGW_CLI_VERSION_JSON) {
        ngx_apigw_cli_buf_puts(b, "{");
    }

    for (i = 0, n = 0; i < NGX_APIGW_CLI_VERSION_COLUMNS; i++) {
        column = &ngx_apigw_cli_version_columns[i];

        if (!ngx_apigw_cli_version_shown(column, report, form)) {
            continue;
        }

        cell.data = text;
        ngx_apigw_cli_version_cell(&cell, column, report, line);

        switch (form) {

        case NGX_APIGW_CLI_VERSION_JSON:
            ngx_apigw_cli_version_json(b, column, &cell);
            break;

        case NGX_APIGW_CLI_VERSION_CSV:
            ngx_apigw_cli_buf_puts(b, n++ ? "," : "");
            ngx_apigw_cli_version_csv(b, &cell);
            break;

        default: /* NGX_APIGW_CLI_VERSION_TABLE */

            if (cell.len == 0) {
                ngx_str_set(&cell, "-");
            }

            ngx_apigw_cli_buf_puts(b, n++ ? "  " : "");
            ngx_apigw_cli_version_pad(b, &cell, widths[i],
                              column->type == NGX_APIGW_CLI_VERSION_NUMBER);
        }
    }

    if (form == NGX_APIGW_CLI_VERSION_TABLE) {
        ngx_apigw_cli_version_trim(b);
    }

    ngx_apigw_cli_buf_puts(b, form == NGX_APIGW_CLI_VERSION_JSON ? "}\n"
                                                                 : "\n");
}


/* What callers are called may have anything in it. */

static void
ngx_apigw_cli_version_pad(ngx_apigw_cli_buf_t *b, const ngx_str_t *cell,
    int width, ngx_uint_t right)
{
    int     pad;
    char    c;
    size_t  i;

    pad = width - (int) cell->len;

    for ( /* void */ ; right && pad > 0; pad--) {
        ngx_apigw_cli_buf_puts(b, " ");
    }

    for (i = 0; i < cell->len; i++) {
        c = (char) cell->data[i];

        if (cell->data[i] < ' ' || cell->data[i] == 0x7f) {
            c = '?';
        }

        ngx_apigw_cli_buf_add(b, &c, 1);
    }

    for ( /* void */ ; pad > 0; pad--) {
        ngx_apigw_cli_buf_puts(b, " ");
    }
}


/* No blanks at the end of a line. */

static void
ngx_apigw_cli_version_trim(ngx_apigw_cli_buf_t *b)
{
    while (b->len && b->data[b->len - 1] == ' ') {
        b->len--;
    }
}


static void
ngx_apigw_cli_version_csv(ngx_apigw_cli_buf_t *b, const ngx_str_t *cell)
{
    size_t      i;
    ngx_uint_t  quote;

    quote = 0;

    for (i = 0; i < cell->len; i++) {
        if (cell->data[i] == '"' || cell->data[i] == ','
            || cell->data[i] < ' ')
        {
            quote = 1;
        }
    }

    ngx_apigw_cli_buf_puts(b, quote ? "\"" : "");

    for (i = 0; i < cell->len; i++) {
        ngx_apigw_cli_buf_puts(b, cell->data[i] == '"' ? "\"" : "");
        ngx_apigw_cli_buf_add(b, &cell->data[i], 1);
    }

    ngx_apigw_cli_buf_puts(b, quote ? "\"" : "");
}


/* A time that there is none of is null. */

static void
ngx_apigw_cli_version_json(ngx_apigw_cli_buf_t *b,
    const ngx_apigw_cli_version_column_t *column, const ngx_str_t *cell)
{
    ngx_apigw_cli_json_name(b, column->name);

    if (column->type == NGX_APIGW_CLI_VERSION_NUMBER) {
        ngx_apigw_cli_buf_add(b, cell->data, cell->len);

    } else if (column->type == NGX_APIGW_CLI_VERSION_TIME && cell->len == 0) {
        ngx_apigw_cli_buf_puts(b, "null");

    } else {
        ngx_apigw_cli_json_string(b, cell->data, cell->len);
    }
}
