/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <lmdb.h>

#include "ngx_apigw_cli.h"
#include "ngx_apigw_store.h"


#define NGX_APIGW_CLI_INDENT  24


static void ngx_apigw_cli_descriptors(void);
static int ngx_apigw_cli_dispatch(ngx_apigw_cli_t *cli, int argc,
    char *const *argv);
static int ngx_apigw_cli_options(ngx_apigw_cli_t *cli, int argc,
    char *const *argv);
static int ngx_apigw_cli_option(ngx_apigw_cli_t *cli, int argc,
    char *const *argv, int *i);
static ngx_uint_t ngx_apigw_cli_is(const char *arg, const char *a,
    const char *b);
static void ngx_apigw_cli_who(ngx_apigw_cli_t *cli);

static int ngx_apigw_cli_help(void);
static int ngx_apigw_cli_help_group(const ngx_apigw_cli_group_t *group);
static int ngx_apigw_cli_help_verb(ngx_apigw_cli_t *cli);
static int ngx_apigw_cli_version(void);
static void ngx_apigw_cli_row(ngx_apigw_cli_buf_t *b, const char *name,
    const char *text);
static int ngx_apigw_cli_done(ngx_apigw_cli_buf_t *b);

static void ngx_apigw_cli_message(const char *tail, const char *fmt,
    va_list args) __attribute__((format(printf, 2, 0)));


static const ngx_apigw_cli_group_t *const  ngx_apigw_cli_groups[] = {
    &ngx_apigw_cli_key_group,
    &ngx_apigw_cli_usage_group,
    &ngx_apigw_cli_token_group,
    &ngx_apigw_cli_version_group,
    NULL
};


int
main(int argc, char *const *argv)
{
    int               rc;
    ngx_apigw_cli_t  *cli;

    ngx_apigw_cli_descriptors();

    /* a reader that goes away is an error of write(), not our death */

    (void) signal(SIGPIPE, SIG_IGN);
    (void) signal(SIGXFSZ, SIG_IGN);

    cli = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_t));
    ngx_memzero(cli, sizeof(ngx_apigw_cli_t));

    cli->now = time(NULL);
    ngx_apigw_cli_who(cli);

    rc = ngx_apigw_cli_dispatch(cli, argc, argv);

    free(cli->conf);
    free(cli->args);
    free(cli->user);
    free(cli->sudo);
    free(cli->directory);
    free(cli->output);
    free(cli);

    return rc;
}


/*
 * A descriptor that was closed by the caller would become that of the store,
 * and what is said to it would be written over the keys.  The other way
 * round, /dev/null fails as the closed one would.
 */

static void
ngx_apigw_cli_descriptors(void)
{
    int  fd;

    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {

        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) {
            continue;
        }

        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY)
            != fd)
        {
            _exit(NGX_APIGW_CLI_FAILED);
        }
    }
}


static int
ngx_apigw_cli_dispatch(ngx_apigw_cli_t *cli, int argc, char *const *argv)
{
    int                                 rc;
    const ngx_apigw_cli_verb_t         *verb;
    const ngx_apigw_cli_group_t *const *group;

    if (argc < 2) {
        return ngx_apigw_cli_usage(cli, "a command is missing");
    }

    if (ngx_apigw_cli_is(argv[1], "--version", "-V")) {
        return ngx_apigw_cli_version();
    }

    if (ngx_apigw_cli_is(argv[1], "--help", "-h")
        || (argc == 2 && strcmp(argv[1], "help") == 0))
    {
        return ngx_apigw_cli_help();
    }

    for (group = ngx_apigw_cli_groups; *group; group++) {
        if (strcmp(argv[1], (*group)->name) == 0) {
            break;
        }
    }

    if (*group == NULL) {
        return ngx_apigw_cli_usage(cli, "unknown command \"%s\"", argv[1]);
    }

    cli->group = *group;

    if (argc < 3) {
        return ngx_apigw_cli_usage(cli, "a verb is missing after \"%s\"",
                                   argv[1]);
    }

    if (ngx_apigw_cli_is(argv[2], "--help", "-h")) {
        return ngx_apigw_cli_help_group(cli->group);
    }

    for (verb = cli->group->verbs; verb->name; verb++) {
        if (strcmp(argv[2], verb->name) == 0) {
            break;
        }
    }

    if (verb->name == NULL) {
        return ngx_apigw_cli_usage(cli, "unknown verb \"%s\"", argv[2]);
    }

    cli->verb = verb;

    cli->conf = ngx_apigw_cli_alloc(cli->group->conf_size + 1);
    ngx_memzero(cli->conf, cli->group->conf_size + 1);

    cli->args = ngx_apigw_cli_alloc(argc * sizeof(ngx_str_t));

    rc = ngx_apigw_cli_options(cli, argc, argv);

    if (rc != NGX_OK) {
        return rc == NGX_DONE ? NGX_APIGW_CLI_DONE : rc;
    }

    return verb->run(cli);
}


/* Returns NGX_OK, NGX_DONE if that was all, or an exit status. */

static int
ngx_apigw_cli_options(ngx_apigw_cli_t *cli, int argc, char *const *argv)
{
    int         i, rc;
    ngx_uint_t  only;

    only = 0;

    for (i = 3; i < argc; i++) {

        /* "-" alone is an argument: standard input */

        if (only || argv[i][0] != '-' || argv[i][1] == '\0') {
            cli->args[cli->nargs].data = (u_char *) argv[i];
            cli->args[cli->nargs].len = strlen(argv[i]);
            cli->nargs++;
            continue;
        }

        if (strcmp(argv[i], "--") == 0) {
            only = 1;
            continue;
        }

        if (ngx_apigw_cli_is(argv[i], "--help", "-h")) {
            rc = ngx_apigw_cli_help_verb(cli);
            return rc == NGX_APIGW_CLI_DONE ? NGX_DONE : rc;
        }

        rc = ngx_apigw_cli_option(cli, argc, argv, &i);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (cli->nargs < cli->verb->min) {
        return ngx_apigw_cli_usage(cli, "an argument is missing: %s",
                                   cli->verb->arguments);
    }

    /* without the argument, which may be a key */

    if (cli->nargs > cli->verb->max) {
        return ngx_apigw_cli_usage(cli, "too many arguments");
    }

    return NGX_OK;
}


static int
ngx_apigw_cli_option(ngx_apigw_cli_t *cli, int argc, char *const *argv,
    int *i)
{
    size_t                         len;
    ngx_str_t                      value, *vp;
    const char                    *arg, *eq, *error;
    const ngx_apigw_cli_option_t  *option;

    arg = argv[*i];
    eq = strchr(arg, '=');
    len = eq ? (size_t) (eq - arg) : strlen(arg);

    for (option = cli->verb->options; option->name; option++) {
        if (len > 2 && arg[0] == '-' && arg[1] == '-'
            && strlen(option->name) == len - 2
            && memcmp(arg + 2, option->name, len - 2) == 0)
        {
            break;
        }
    }

    if (option->name == NULL) {
        return ngx_apigw_cli_usage(cli, "unknown option \"%.*s\"",
                                   (int) len, arg);
    }

    vp = NULL;

    if (option->value == NULL) {

        if (eq) {
            return ngx_apigw_cli_usage(cli, "\"--%s\" takes no value",
                                       option->name);
        }

    } else {

        if (eq == NULL && *i + 1 == argc) {
            return ngx_apigw_cli_usage(cli, "\"--%s\" needs a value: %s",
                                       option->name, option->value);
        }

        value.data = (u_char *) (eq ? eq + 1 : argv[++*i]);
        value.len = strlen((char *) value.data);
        vp = &value;
    }

    error = option->set(cli, option, vp);

    if (error == NULL) {
        return NGX_OK;
    }

    if (*error == '\0') {
        return NGX_APIGW_CLI_USAGE;
    }

    if (vp == NULL) {
        return ngx_apigw_cli_usage(cli, "\"--%s\": %s", option->name, error);
    }

    return ngx_apigw_cli_usage(cli, "\"--%s %.*s\": %s", option->name,
                               ngx_apigw_cli_str(vp), error);
}


static ngx_uint_t
ngx_apigw_cli_is(const char *arg, const char *a, const char *b)
{
    return strcmp(arg, a) == 0 || strcmp(arg, b) == 0;
}


/* Asked before the process takes the identity of the store's owner. */

static void
ngx_apigw_cli_who(ngx_apigw_cli_t *cli)
{
    char           *name;
    struct passwd  *pw;

    cli->uid = getuid();

    pw = getpwuid(cli->uid);

    if (pw) {
        cli->user = strdup(pw->pw_name);
    }

    /* sudo sets it; from anybody but root it is just a claim */

    name = getenv("SUDO_USER");

    if (cli->uid == 0 && name && *name) {
        cli->sudo = strdup(name);
    }
}


const char *
ngx_apigw_cli_set_flag(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    *(ngx_uint_t *) ((char *) cli->conf + option->offset) = 1;

    return NULL;
}


const char *
ngx_apigw_cli_set_string(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    ngx_str_t  *field;

    field = (ngx_str_t *) ((char *) cli->conf + option->offset);

    if (field->data) {
        return "given twice";
    }

    if (value->len == 0) {
        return "the value is empty";
    }

    *field = *value;

    return NULL;
}


const char *
ngx_apigw_cli_set_number(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    int64_t  *field;

    field = (int64_t *) ((char *) cli->conf + option->offset);

    if (*field) {
        return "given twice";
    }

    if (ngx_apigw_cli_number(value, field) != NGX_OK || *field == 0) {
        return "not a number of 1 to 999999999999999";
    }

    return NULL;
}


const char *
ngx_apigw_cli_set_time(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    time_t  *field;

    field = (time_t *) ((char *) cli->conf + option->offset);

    if (*field) {
        return "given twice";
    }

    if (ngx_apigw_cli_time(value, cli->now, field) != NGX_OK) {
        return "not a time such as 2030-12-31, 2030-12-31T18:00:00Z or 7d";
    }

    return NULL;
}


const char *
ngx_apigw_cli_set_duration(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    time_t  *field;

    field = (time_t *) ((char *) cli->conf + option->offset);

    if (*field) {
        return "given twice";
    }

    if (ngx_apigw_cli_duration(value, field) != NGX_OK || *field == 0) {
        return "not a duration such as 7d, 12h or 1d12h";
    }

    return NULL;
}


char *
ngx_apigw_cli_store(ngx_apigw_cli_t *cli, ngx_str_t *option)
{
    char  *directory;

    if (option->data) {
        return ngx_apigw_cli_path(&cli->directory, (char *) option->data);
    }

    directory = getenv("APIGW_STORE");

    if (directory && *directory) {
        return ngx_apigw_cli_path(&cli->directory, directory);
    }

    (void) ngx_apigw_cli_usage(cli, "no store: --store DIR is missing and "
                               "APIGW_STORE is not set");
    return NULL;
}


char *
ngx_apigw_cli_path(char **keep, char *path)
{
    if (geteuid() != 0 || path[0] == '/') {
        return path;
    }

    free(*keep);
    *keep = realpath(path, NULL);

    return *keep ? *keep : path;
}


const char *
ngx_apigw_cli_denied(ngx_apigw_cli_t *cli)
{
    return cli->uid == 0
           ? "root works as the owner of the directory: the files in it have "
             "to be his, and those above it open to him"
           : "it takes root or the directory's owner";
}


int
ngx_apigw_cli_unopened(ngx_apigw_cli_t *cli, const char *directory, int rc)
{
    if (rc == EACCES || rc == EPERM) {
        return ngx_apigw_cli_error("cannot open the store \"%s\": %s (%s)",
                                   directory, strerror(rc),
                                   ngx_apigw_cli_denied(cli));
    }

    return ngx_apigw_cli_error("cannot open the store \"%s\": %s", directory,
                               ngx_apigw_store_strerror(rc));
}


static int
ngx_apigw_cli_help(void)
{
    ngx_apigw_cli_buf_t                 b;
    const ngx_apigw_cli_verb_t         *verb;
    const ngx_apigw_cli_group_t *const *group;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_buf_puts(&b,
        "Usage: apigw COMMAND VERB [OPTIONS] [ARGUMENTS]\n"
        "       apigw COMMAND [VERB] --help\n"
        "       apigw --help | --version\n");

    for (group = ngx_apigw_cli_groups; *group; group++) {
        ngx_apigw_cli_buf_puts(&b, "\n");
        ngx_apigw_cli_buf_puts(&b, (*group)->summary);
        ngx_apigw_cli_buf_puts(&b, ":\n");

        for (verb = (*group)->verbs; verb->name; verb++) {
            char  name[80];

            (void) snprintf(name, sizeof(name), "  %s %s", (*group)->name,
                            verb->name);
            ngx_apigw_cli_row(&b, name, verb->summary);
        }
    }

    ngx_apigw_cli_buf_puts(&b,
        "\nExit status: 0 done, 1 failed or not found, 2 wrong usage.\n");

    return ngx_apigw_cli_done(&b);
}


static int
ngx_apigw_cli_help_group(const ngx_apigw_cli_group_t *group)
{
    char                         name[80];
    ngx_apigw_cli_buf_t          b;
    const ngx_apigw_cli_verb_t  *verb;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_buf_puts(&b, "Usage: apigw ");
    ngx_apigw_cli_buf_puts(&b, group->name);
    ngx_apigw_cli_buf_puts(&b, " VERB [OPTIONS] [ARGUMENTS]\n\n");
    ngx_apigw_cli_buf_puts(&b, group->summary);
    ngx_apigw_cli_buf_puts(&b, ":\n");

    for (verb = group->verbs; verb->name; verb++) {
        (void) snprintf(name, sizeof(name), "  %s", verb->name);
        ngx_apigw_cli_row(&b, name, verb->summary);
    }

    ngx_apigw_cli_buf_puts(&b, "\nHelp for each: apigw ");
    ngx_apigw_cli_buf_puts(&b, group->name);
    ngx_apigw_cli_buf_puts(&b, " VERB --help\n");

    return ngx_apigw_cli_done(&b);
}


static int
ngx_apigw_cli_help_verb(ngx_apigw_cli_t *cli)
{
    char                           name[80];
    ngx_apigw_cli_buf_t            b;
    const ngx_apigw_cli_verb_t    *verb;
    const ngx_apigw_cli_option_t  *option;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    verb = cli->verb;

    ngx_apigw_cli_buf_puts(&b, "Usage: apigw ");
    ngx_apigw_cli_buf_puts(&b, cli->group->name);
    ngx_apigw_cli_buf_puts(&b, " ");
    ngx_apigw_cli_buf_puts(&b, verb->name);
    ngx_apigw_cli_buf_puts(&b, " [OPTIONS]");

    if (verb->max) {
        ngx_apigw_cli_buf_puts(&b, " ");
        ngx_apigw_cli_buf_puts(&b, verb->arguments);
    }

    ngx_apigw_cli_buf_puts(&b, "\n\n");
    ngx_apigw_cli_buf_puts(&b, verb->summary);
    ngx_apigw_cli_buf_puts(&b, ".\n");

    if (verb->text) {
        ngx_apigw_cli_buf_puts(&b, verb->text);
    }

    ngx_apigw_cli_buf_puts(&b, "\nOptions:\n");

    for (option = verb->options; option->name; option++) {
        (void) snprintf(name, sizeof(name), "  --%s%s%s", option->name,
                        option->value ? " " : "",
                        option->value ? option->value : "");
        ngx_apigw_cli_row(&b, name, option->help);
    }

    ngx_apigw_cli_row(&b, "  --help", "this text");

    return ngx_apigw_cli_done(&b);
}


static void
ngx_apigw_cli_row(ngx_apigw_cli_buf_t *b, const char *name, const char *text)
{
    size_t  len;

    len = strlen(name);
    ngx_apigw_cli_buf_add(b, name, len);

    if (len > NGX_APIGW_CLI_INDENT - 2) {
        ngx_apigw_cli_buf_puts(b, "\n");
        len = 0;
    }

    for ( ;; ) {
        while (len++ < NGX_APIGW_CLI_INDENT) {
            ngx_apigw_cli_buf_puts(b, " ");
        }

        while (*text && *text != '\n') {
            ngx_apigw_cli_buf_add(b, text++, 1);
        }

        ngx_apigw_cli_buf_puts(b, "\n");

        if (*text == '\0') {
            return;
        }

        text++;
        len = 0;
    }
}


static int
ngx_apigw_cli_version(void)
{
    ngx_apigw_cli_buf_t  b;

    ngx_memzero(&b, sizeof(ngx_apigw_cli_buf_t));

    ngx_apigw_cli_buf_puts(&b, "apigw " NGX_APIGW_VERSION " (");
    ngx_apigw_cli_buf_puts(&b, mdb_version(NULL, NULL, NULL));
    ngx_apigw_cli_buf_puts(&b, ")\n");

    return ngx_apigw_cli_done(&b);
}


static int
ngx_apigw_cli_done(ngx_apigw_cli_buf_t *b)
{
    ngx_int_t  rc;

    rc = ngx_apigw_cli_flush(b);

    ngx_apigw_cli_buf_free(b);

    return rc == NGX_OK ? NGX_APIGW_CLI_DONE : NGX_APIGW_CLI_FAILED;
}


ngx_int_t
ngx_apigw_cli_write(const void *data, size_t len)
{
    ssize_t        n;
    const u_char  *p;

    for (p = data; len; p += n, len -= n) {

        n = write(STDOUT_FILENO, p, len);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n == -1) {
            (void) ngx_apigw_cli_error("cannot write to standard output: %s",
                                       strerror(errno));
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_cli_flush(ngx_apigw_cli_buf_t *b)
{
    size_t  len;

    len = b->len;
    b->len = 0;

    return ngx_apigw_cli_write(b->data, len);
}


int
ngx_apigw_cli_error(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    ngx_apigw_cli_message("", fmt, args);
    va_end(args);

    return NGX_APIGW_CLI_FAILED;
}


int
ngx_apigw_cli_usage(ngx_apigw_cli_t *cli, const char *fmt, ...)
{
    char     hint[128];
    va_list  args;

    (void) snprintf(hint, sizeof(hint), " (see apigw%s%s%s%s --help)",
                    cli->group ? " " : "", cli->group ? cli->group->name : "",
                    cli->verb ? " " : "", cli->verb ? cli->verb->name : "");

    va_start(args, fmt);
    ngx_apigw_cli_message(hint, fmt, args);
    va_end(args);

    return NGX_APIGW_CLI_USAGE;
}


void
ngx_apigw_cli_note(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    ngx_apigw_cli_message("", fmt, args);
    va_end(args);
}


/* What others wrote may be in a message: it must stay one line of text. */

static void
ngx_apigw_cli_message(const char *tail, const char *fmt, va_list args)
{
    int     n;
    char    buf[2048];
    size_t  i;

    n = vsnprintf(buf, sizeof(buf), fmt, args);

    if (n < 0) {
        buf[0] = '\0';
    }

    for (i = 0; buf[i]; i++) {
        if ((u_char) buf[i] < ' ' || buf[i] == 0x7f) {
            buf[i] = '?';
        }
    }

    fprintf(stderr, "apigw: %s%s\n", buf, tail);
}
