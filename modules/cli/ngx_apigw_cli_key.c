/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_cli_key.h"


static const char *ngx_apigw_cli_key_set_field(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
static const char *ngx_apigw_cli_key_set_remove(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
static const char *ngx_apigw_cli_key_set_clear(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
static const char *ngx_apigw_cli_key_set_prefix(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
static const char *ngx_apigw_cli_key_set_plan(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value);
static const char *ngx_apigw_cli_key_edit_add(ngx_apigw_cli_t *cli,
    ngx_apigw_cli_edit_e what, const char *field, ngx_str_t *value);
static int ngx_apigw_cli_key_begun(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static void ngx_apigw_cli_key_waiting(int signo);
static ngx_uint_t ngx_apigw_cli_key_is_there(const char *directory);
static void ngx_apigw_cli_key_expect_damage(void);
static void ngx_apigw_cli_key_damaged(int signo);


#define NGX_APIGW_CLI_PATIENCE  1    /* seconds, then who waits says so */


#define ngx_apigw_cli_key_offset(name)                                        \
    offsetof(ngx_apigw_cli_key_conf_t, name)

#define ngx_apigw_cli_option_store                                            \
    { "store", "DIR", "the directory of the store, that of\n"                 \
                      "auth_api_key_zone; default: $APIGW_STORE",             \
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(store) }

#define ngx_apigw_cli_option_prefix                                           \
    { "prefix", "TEXT", "what keys begin with, as in auth_api_key_zone;\n"    \
                        "default: $APIGW_KEY_PREFIX or ak_",                  \
      ngx_apigw_cli_key_set_prefix, 0 }

#define ngx_apigw_cli_option_json(text)                                       \
    { "json", NULL, text,                                                     \
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(json) }

/* fields of a record that create and update have in common */

#define ngx_apigw_cli_options_record                                          \
    { "plan", "NAME", "the plan",                                             \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "name", "TEXT", "a name for people",                                    \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "description", "TEXT", "a text for people",                             \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "scope", "NAME", "adds a scope; several with commas between, or\n"      \
                       "several options",                                     \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "label", "NAME=VALUE", "sets a label; an empty value removes it",       \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "allow", "CIDR", "adds an address or a network to those that may\n"     \
                       "use the key; none at all: every one may",             \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "not-before", "TIME", "when the key becomes valid",                     \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "expires", "TIME", "when it expires: 2030-12-31,\n"                     \
                         "2030-12-31T18:00:00Z, or 90d from now",             \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "rate", "N", "instead of the plan's rate: 100r/s, 30r/m,\n"             \
                   "0.5r/h, 1000r/d, unlimited",                              \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "burst", "N", "instead of the plan's burst",                            \
      ngx_apigw_cli_key_set_field, 0 },                                       \
    { "quota", "N/PERIOD", "instead of the plan's quota of hour, day, week,\n"\
                           "month or lifetime; none/day removes it",          \
      ngx_apigw_cli_key_set_field, 0 }


/* a change whose transaction may have to wait for that of another process */

typedef struct {
    ngx_apigw_store_write_pt   write;
    void                      *data;
} ngx_apigw_cli_key_write_t;


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_create_options[] = {
    ngx_apigw_cli_option_store,
    { "consumer", "NAME", "who the key is for, up to 255 bytes; needed",
      ngx_apigw_cli_key_set_field, 0 },
    { "id", "ID", "the id of the key, up to 64 of A-Z, a-z, 0-9, \".\", \"_\"\n"
                  "and \"-\"; default: a random one",
      ngx_apigw_cli_key_set_field, 0 },
    ngx_apigw_cli_options_record,
    { "disabled", NULL, "the key is refused until it is enabled",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(disabled) },
    { "decoy", NULL, "nobody has a reason to use the key: it is refused\n"
                     "and nginx logs a warning",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(decoy) },
    ngx_apigw_cli_option_prefix,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_update_options[] = {
    ngx_apigw_cli_option_store,
    ngx_apigw_cli_options_record,
    { "remove-scope", "NAME", "takes a scope away",
      ngx_apigw_cli_key_set_remove, 0 },
    { "remove-allow", "CIDR", "takes a network away",
      ngx_apigw_cli_key_set_remove, 0 },
    { "clear", "FIELD", "empties plan, name, description, scopes, labels,\n"
                        "allow, not-before, expires, rate, burst or quotas",
      ngx_apigw_cli_key_set_clear, 0 },
    { "decoy", NULL, "makes a decoy of the key, for instance of one that has\n"
                     "leaked: it is refused and nginx logs a warning",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(decoy) },
    { "no-decoy", NULL, "makes a key of a decoy",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(no_decoy) },
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_rotate_options[] = {
    ngx_apigw_cli_option_store,
    { "overlap", "TIME", "how long the old key goes on: 7d, 12h, 0s; needed",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(overlap) },
    { "id", "ID", "the id of the new key; default: a random one",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(id) },
    { "expires", "TIME", "when the new key expires; default: when the old\n"
                         "one would have",
      ngx_apigw_cli_key_set_field, 0 },
    ngx_apigw_cli_option_prefix,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_store_options[] = {
    ngx_apigw_cli_option_store,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_show_options[] = {
    ngx_apigw_cli_option_store,
    ngx_apigw_cli_option_json("one JSON object a key"),
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_find_options[] = {
    ngx_apigw_cli_option_store,
    ngx_apigw_cli_option_json("a JSON object"),
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_list_options[] = {
    ngx_apigw_cli_option_store,
    { "consumer", "NAME", "only keys of this consumer",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(consumer) },
    { "plan", "NAME", "only keys on this plan",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(plan) },
    { "scope", "NAME", "only keys with this scope",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(scope) },
    { "label", "NAME[=VALUE]", "only keys with this label",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(label) },
    { "status", "STATUS", "only keys that are active, early, expired,\n"
                          "disabled or decoy",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(status) },
    { "expires-before", "TIME", "only keys that expire before, for instance\n"
                                "30d",
      ngx_apigw_cli_set_time, ngx_apigw_cli_key_offset(expires_before) },
    { "unused", "DURATION", "only keys that were not used for so long",
      ngx_apigw_cli_set_duration, ngx_apigw_cli_key_offset(unused) },
    ngx_apigw_cli_option_json("one JSON object a line"),
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_import_options[] = {
    ngx_apigw_cli_option_store,
    { "format", "NAME", "ndjson or csv; default: by the file's name",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(format) },
    { "plan", "NAME", "the plan of keys that come without one",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(plan) },
    { "map-plan", "ID=PLAN", "the plan for a usage plan id of AWS",
      ngx_apigw_cli_key_set_plan, 0 },
    { "replace", NULL, "of a key that is in the store, what a line does not\n"
                       "say is emptied; default: it stays as it is",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(replace) },
    { "skip-bad", NULL, "imports the good lines although there are bad ones",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(skip_bad) },
    { "batch", "N", "commits every N keys, so that other changes need not\n"
                    "wait for the end; default: all or nothing",
      ngx_apigw_cli_set_number, ngx_apigw_cli_key_offset(batch) },
    { "dry-run", NULL, "reads and checks, changes nothing",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(dry_run) },
    ngx_apigw_cli_option_prefix,
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_export_options[] = {
    ngx_apigw_cli_option_store,
    { "format", "NAME", "ndjson (default) or csv",
      ngx_apigw_cli_set_string, ngx_apigw_cli_key_offset(format) },
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_option_t  ngx_apigw_cli_key_purge_options[] = {
    ngx_apigw_cli_option_store,
    { "expired-for", "DURATION", "only keys that expired so long ago",
      ngx_apigw_cli_set_duration, ngx_apigw_cli_key_offset(expired_for) },
    { "dry-run", NULL, "prints the ids and changes nothing",
      ngx_apigw_cli_set_flag, ngx_apigw_cli_key_offset(dry_run) },
    ngx_apigw_cli_options_end
};


static const ngx_apigw_cli_verb_t  ngx_apigw_cli_key_verbs[] = {

    { "create", "", 0, 0,
      "makes a key and prints it, this once",
      "The key alone goes to standard output, its id to standard error.\n",
      ngx_apigw_cli_key_create_options,
      ngx_apigw_cli_key_create },

    { "list", "", 0, 0,
      "lists keys",
      NULL,
      ngx_apigw_cli_key_list_options,
      ngx_apigw_cli_key_list },

    { "show", "ID ...", 1, NGX_MAX_UINT32_VALUE,
      "shows all that is known about a key",
      NULL,
      ngx_apigw_cli_key_show_options,
      ngx_apigw_cli_key_show },

    { "find", "", 0, 0,
      "reads a key from standard input and shows whose it is",
      NULL,
      ngx_apigw_cli_key_find_options,
      ngx_apigw_cli_key_find },

    { "update", "ID ...", 1, NGX_MAX_UINT32_VALUE,
      "changes plan, scopes, labels, expiry, limits, addresses",
      "Several keys are changed together or not at all.\n",
      ngx_apigw_cli_key_update_options,
      ngx_apigw_cli_key_update },

    { "disable", "ID ...", 1, NGX_MAX_UINT32_VALUE,
      "refuses a key until it is enabled again",
      NULL,
      ngx_apigw_cli_key_store_options,
      ngx_apigw_cli_key_disable },

    { "enable", "ID ...", 1, NGX_MAX_UINT32_VALUE,
      "accepts a disabled key again",
      NULL,
      ngx_apigw_cli_key_store_options,
      ngx_apigw_cli_key_enable },

    { "rotate", "ID", 1, 1,
      "makes a new key in place of one that expires",
      "The new key has another id and all else of the old one. It goes to\n"
      "standard output.\n",
      ngx_apigw_cli_key_rotate_options,
      ngx_apigw_cli_key_rotate },

    { "revoke", "ID ...", 1, NGX_MAX_UINT32_VALUE,
      "removes a key for good",
      "Several keys are removed together or not at all.\n",
      ngx_apigw_cli_key_store_options,
      ngx_apigw_cli_key_revoke },

    { "purge", "", 0, 0,
      "removes the keys that have expired",
      NULL,
      ngx_apigw_cli_key_purge_options,
      ngx_apigw_cli_key_purge },

    { "import", "[FILE]", 0, 1,
      "reads keys from a file or standard input",
      "NDJSON, a JSON object a line, with \"key\" (in clear, hashed at once)\n"
      "or \"sha256\", \"consumer\", and what \"export\" writes; or CSV as AWS\n"
      "API Gateway imports it. Of a key that is there already, what the file\n"
      "says is changed, and all else stays. Bad lines are reported by number,\n"
      "and nothing is imported then.\n",
      ngx_apigw_cli_key_import_options,
      ngx_apigw_cli_key_import },

    { "export", "", 0, 0,
      "writes all keys, as digests, to standard output",
      NULL,
      ngx_apigw_cli_key_export_options,
      ngx_apigw_cli_key_export },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL }
};


const ngx_apigw_cli_group_t  ngx_apigw_cli_key_group = {
    "key",
    "API keys",
    ngx_apigw_cli_key_verbs,
    sizeof(ngx_apigw_cli_key_conf_t)
};


static const char *
ngx_apigw_cli_key_set_field(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    return ngx_apigw_cli_key_edit_add(cli, NGX_APIGW_CLI_EDIT_SET,
                                      option->name, value);
}


static const char *
ngx_apigw_cli_key_set_remove(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    return ngx_apigw_cli_key_edit_add(cli, NGX_APIGW_CLI_EDIT_REMOVE,
                             option->name + sizeof("remove-") - 1, value);
}


static const char *
ngx_apigw_cli_key_set_clear(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    return ngx_apigw_cli_key_edit_add(cli, NGX_APIGW_CLI_EDIT_CLEAR,
                                      option->name, value);
}


static const char *
ngx_apigw_cli_key_edit_add(ngx_apigw_cli_t *cli, ngx_apigw_cli_edit_e what,
    const char *field, ngx_str_t *value)
{
    const char                *wrong;
    ngx_apigw_cli_edit_t      *edit;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = cli->conf;

    if (conf->nedits == NGX_APIGW_CLI_EDITS) {
        return "too many options";
    }

    if (!conf->scratched) {
        ngx_apigw_cli_record_init(&conf->scratch);
        conf->scratched = 1;
    }

    edit = &conf->edits[conf->nedits++];
    edit->what = what;
    edit->field = field;
    edit->value = *value;

    wrong = ngx_apigw_cli_key_apply(cli, edit, &conf->scratch);

    /* what is there to take away is known when the key is read */

    return what == NGX_APIGW_CLI_EDIT_REMOVE ? NULL : wrong;
}


const char *
ngx_apigw_cli_key_apply(ngx_apigw_cli_t *cli, ngx_apigw_cli_edit_t *edit,
    ngx_apigw_cli_record_t *r)
{
    switch (edit->what) {

    case NGX_APIGW_CLI_EDIT_REMOVE:
        return ngx_apigw_cli_record_remove(r, edit->field, &edit->value);

    case NGX_APIGW_CLI_EDIT_CLEAR:
        return ngx_apigw_cli_record_clear(r, &edit->value);

    default:
        return ngx_apigw_cli_record_set(r, edit->field, &edit->value,
                                        cli->now);
    }
}


static const char *
ngx_apigw_cli_key_set_prefix(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    ngx_apigw_cli_key_conf_t  *conf;

    conf = cli->conf;

    if (ngx_apigw_key_check_prefix(value->data, value->len) != NGX_OK) {
        return "not 2 to 16 of A-Z, a-z, 0-9, \"-\" and \"_\" with one of the "
               "latter two at the end";
    }

    conf->prefix = *value;

    return NULL;
}


static const char *
ngx_apigw_cli_key_set_plan(ngx_apigw_cli_t *cli,
    const ngx_apigw_cli_option_t *option, ngx_str_t *value)
{
    u_char                    *eq;
    ngx_apigw_cli_plan_t      *plan;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = cli->conf;

    if (conf->nplans == NGX_APIGW_CLI_PLANS) {
        return "too many of them";
    }

    eq = value->len ? memchr(value->data, '=', value->len) : NULL;

    if (eq == NULL || eq == value->data
        || eq + 1 == value->data + value->len)
    {
        return "not of the form ID=PLAN";
    }

    plan = &conf->plans[conf->nplans++];

    plan->from.data = value->data;
    plan->from.len = eq - value->data;
    plan->to.data = eq + 1;
    plan->to.len = value->len - plan->from.len - 1;

    return NULL;
}


int
ngx_apigw_cli_key_open(ngx_apigw_cli_t *cli, ngx_apigw_cli_key_t *key,
    ngx_uint_t change)
{
    int                        rc;
    const char                *prefix;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = cli->conf;

    ngx_memzero(key, sizeof(ngx_apigw_cli_key_t));

    key->cli = cli;
    key->conf = conf;
    key->audit.fd = -1;

    key->directory = ngx_apigw_cli_store(cli, &conf->store);

    if (key->directory == NULL) {
        return NGX_APIGW_CLI_USAGE;
    }

    key->prefix = conf->prefix;

    if (key->prefix.len == 0) {
        prefix = getenv("APIGW_KEY_PREFIX");

        if (prefix == NULL || *prefix == '\0') {
            prefix = NGX_APIGW_KEY_PREFIX;
        }

        key->prefix.data = (u_char *) prefix;
        key->prefix.len = strlen(prefix);

        if (ngx_apigw_key_check_prefix(key->prefix.data, key->prefix.len)
            != NGX_OK)
        {
            return ngx_apigw_cli_usage(cli, "APIGW_KEY_PREFIX \"%s\" cannot "
                                       "be the prefix of keys", prefix);
        }
    }

    rc = ngx_apigw_store_become_owner(key->directory);

    if (rc == 0 && !change && !ngx_apigw_cli_key_is_there(key->directory)) {
        return ngx_apigw_cli_error("there is no store in \"%s\"",
                                   key->directory);
    }

    if (rc == 0) {
        ngx_apigw_cli_key_expect_damage();

        rc = ngx_apigw_store_open(&key->store, key->directory,
                                  &ngx_apigw_key_store_kind);
    }

    if (rc == 0 && change && ngx_apigw_store_read_only(key->store)) {
        ngx_apigw_store_close(key->store);
        rc = EROFS;
    }

    if (rc == ENOENT) {
        return ngx_apigw_cli_error("there is no directory \"%s\" (nginx makes "
                                   "it when it starts)", key->directory);
    }

    if (rc == EACCES || rc == EPERM) {
        return ngx_apigw_cli_error("cannot open the store \"%s\": %s (%s)",
                                   key->directory, strerror(rc),
                                   ngx_apigw_cli_denied(cli));
    }

    if (rc != 0) {
        key->store = NULL;
        return ngx_apigw_cli_error("cannot open the store \"%s\": %s",
                                   key->directory,
                                   ngx_apigw_key_store_strerror(rc));
    }

    if (!change) {
        return NGX_APIGW_CLI_DONE;
    }

    rc = ngx_apigw_cli_audit_open(&key->audit, cli, key->directory);

    if (rc != 0) {
        rc = ngx_apigw_cli_error("cannot open \"%s/" NGX_APIGW_CLI_AUDIT_FILE
                                 "\": %s", key->directory, strerror(rc));
        ngx_apigw_cli_key_close(key);
        return rc;
    }

    return NGX_APIGW_CLI_DONE;
}


/* A store of which only the lock file is left is lost, and said to be. */

static ngx_uint_t
ngx_apigw_cli_key_is_there(const char *directory)
{
    char         name[NGX_MAX_PATH];
    struct stat  sb;

    if (stat(directory, &sb) == -1
        || ngx_apigw_store_inspect(directory, &sb) != ENOENT)
    {
        return 1;
    }

    (void) snprintf(name, sizeof(name), "%s/lock.mdb", directory);

    return stat(name, &sb) == 0;
}


/*
 * The store is mapped: where pages of it are missing or hold anything, LMDB
 * may run into a signal.
 */

static void
ngx_apigw_cli_key_expect_damage(void)
{
    (void) signal(SIGBUS, ngx_apigw_cli_key_damaged);
    (void) signal(SIGSEGV, ngx_apigw_cli_key_damaged);
    (void) signal(SIGABRT, ngx_apigw_cli_key_damaged);
}


static void
ngx_apigw_cli_key_damaged(int signo)
{
    static const char  text[] = "apigw: the store is damaged, restore it from "
                                "an export or a copy; nothing was changed\n";

    (void) write(STDERR_FILENO, text, sizeof(text) - 1);

    _exit(NGX_APIGW_CLI_FAILED);
}


void
ngx_apigw_cli_key_close(ngx_apigw_cli_key_t *key)
{
    if (key->store == NULL) {
        return;
    }

    ngx_apigw_cli_audit_close(&key->audit);
    ngx_apigw_key_hasher_free(&key->hasher);

    if (key->used) {
        ngx_apigw_store_close(key->used);
    }

    ngx_apigw_store_close(key->store);
}


int
ngx_apigw_cli_key_open_used(ngx_apigw_cli_key_t *key)
{
    int          rc, n;
    char         name[NGX_MAX_PATH];
    size_t       len;
    struct stat  sb;

    n = snprintf(name, sizeof(name), "%s/" NGX_APIGW_KEY_STORE_USED,
                 key->directory);
    len = strlen(name);

    if (n < 0 || n + sizeof("/data.mdb") > sizeof(name)) {
        return ngx_apigw_cli_error("the name of the store is too long");
    }

    ngx_memcpy(name + len, "/data.mdb", sizeof("/data.mdb"));

    if (stat(name, &sb) == -1 && errno == ENOENT) {
        return NGX_APIGW_CLI_DONE;
    }

    name[len] = '\0';

    rc = ngx_apigw_store_open(&key->used, name, &ngx_apigw_key_used_kind);

    if (rc != 0) {
        key->used = NULL;
        return ngx_apigw_cli_error("cannot open the store \"%s\": %s", name,
                                   ngx_apigw_key_store_strerror(rc));
    }

    return NGX_APIGW_CLI_DONE;
}


int
ngx_apigw_cli_key_write(ngx_apigw_cli_key_t *key,
    ngx_apigw_store_write_pt write, void *data)
{
    int                         rc;
    ngx_apigw_cli_key_write_t   w;

    w.write = write;
    w.data = data;

    /* LMDB waits without a word and without an end */

    (void) signal(SIGALRM, ngx_apigw_cli_key_waiting);
    (void) alarm(NGX_APIGW_CLI_PATIENCE);

    rc = ngx_apigw_store_write(key->store, ngx_apigw_cli_key_begun, &w);

    (void) alarm(0);

    if (rc == 0) {
        ngx_apigw_cli_audit_keep(&key->audit);

    } else {
        ngx_apigw_cli_audit_undo(&key->audit, key->store);
    }

    return rc;
}


static int
ngx_apigw_cli_key_begun(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_cli_key_write_t *w = data;

    (void) alarm(0);

    return w->write(store, txn, w->data);
}


static void
ngx_apigw_cli_key_waiting(int signo)
{
    static const char  text[] = "apigw: another process is changing the "
                                "store, waiting for it\n";

    (void) write(STDERR_FILENO, text, sizeof(text) - 1);
}


int
ngx_apigw_cli_key_failed(ngx_apigw_cli_key_t *key, const ngx_str_t *id, int rc)
{
    if (key->audit.failed) {
        return ngx_apigw_cli_error("cannot write \"%s/"
                                   NGX_APIGW_CLI_AUDIT_FILE "\": %s",
                                   key->directory, strerror(rc));
    }

    /* EINVAL: too long for an id */

    if (id && (rc == MDB_NOTFOUND || rc == NGX_APIGW_STORE_EEMPTY
               || rc == EINVAL)
        && ngx_apigw_cli_key_secret(key, id))
    {
        return ngx_apigw_cli_error("this is a key, not an ID; apigw key find "
                                   "tells whose it is");
    }

    if (id && (rc == MDB_NOTFOUND || rc == NGX_APIGW_STORE_EEMPTY)) {
        return ngx_apigw_cli_error("there is no key \"%.*s\"",
                                   ngx_apigw_cli_str(id));
    }

    if (id && rc == MDB_KEYEXIST) {
        return ngx_apigw_cli_error("there is a key \"%.*s\" already",
                                   ngx_apigw_cli_str(id));
    }

    if (id) {
        return ngx_apigw_cli_error("the key \"%.*s\" in the store \"%s\": %s",
                                   ngx_apigw_cli_str(id), key->directory,
                                   ngx_apigw_key_store_strerror(rc));
    }

    return ngx_apigw_cli_error("the store \"%s\": %s", key->directory,
                               ngx_apigw_key_store_strerror(rc));
}


/*
 * What is said lands in mails and logs, where no key may be, of whatever
 * prefix; nor one that was copied with a letter too many or too few.
 */

ngx_uint_t
ngx_apigw_cli_key_secret(ngx_apigw_cli_key_t *key, const ngx_str_t *id)
{
    size_t  len;

    len = sizeof(NGX_APIGW_KEY_PREFIX) - 1;

    if (id->len >= len && ngx_memcmp(id->data, NGX_APIGW_KEY_PREFIX, len) == 0)
    {
        return 1;
    }

    len = key->prefix.len;

    if (id->len >= len + NGX_APIGW_KEY_BODY - NGX_APIGW_KEY_SUM
        && ngx_memcmp(id->data, key->prefix.data, len) == 0)
    {
        return 1;
    }

    if (id->len <= NGX_APIGW_KEY_BODY + NGX_APIGW_KEY_SUM) {
        return 0;
    }

    len = id->len - NGX_APIGW_KEY_BODY - NGX_APIGW_KEY_SUM;

    return ngx_apigw_key_check_prefix(id->data, len) == NGX_OK
           && ngx_apigw_key_check(id->data, id->len, id->data, len) == NGX_OK;
}
