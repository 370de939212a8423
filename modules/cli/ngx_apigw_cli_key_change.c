/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/random.h>

#include "ngx_apigw_cli_key.h"


#define NGX_APIGW_CLI_KEY_TEXT                                                \
    (NGX_APIGW_KEY_PREFIX_MAX + NGX_APIGW_KEY_BODY + NGX_APIGW_KEY_SUM + 1)


typedef struct ngx_apigw_cli_change_s  ngx_apigw_cli_change_t;

/* Changes a record; NULL, or why it must not be changed. */

typedef const char *(*ngx_apigw_cli_change_pt)(ngx_apigw_cli_change_t *ch,
    ngx_apigw_cli_record_t *r);


struct ngx_apigw_cli_change_s {
    ngx_apigw_cli_key_t       *key;
    const char                *action;
    ngx_apigw_cli_change_pt    edit;
    const char                *wrong;
    ngx_str_t                 *id;       /* the one at work */
    ngx_str_t                 *ids;
    ngx_uint_t                 n;
    ngx_uint_t                 done;
    ngx_apigw_cli_record_t     old;
    ngx_apigw_cli_record_t     record;

    /* create, rotate */

    u_char                     digest[NGX_APIGW_KEY_DIGEST];
    u_char                     text[NGX_APIGW_CLI_KEY_TEXT];
    size_t                     len;
    u_char                     new_id[NGX_APIGW_CLI_ID_LEN];
    ngx_apigw_cli_record_t     fresh;
    time_t                     overlap;
};


static int ngx_apigw_cli_key_no_id(void);
static int ngx_apigw_cli_key_create_body(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static int ngx_apigw_cli_key_make(ngx_apigw_cli_change_t *ch);
static int ngx_apigw_cli_key_print(ngx_apigw_cli_change_t *ch);
static int ngx_apigw_cli_key_undo(ngx_apigw_cli_change_t *ch);
static int ngx_apigw_cli_key_undo_body(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static int ngx_apigw_cli_key_undo_rotate(ngx_apigw_cli_change_t *ch,
    ngx_apigw_store_t *store, MDB_txn *txn);
static const char *ngx_apigw_cli_key_enable_edit(ngx_apigw_cli_change_t *ch,
    ngx_apigw_cli_record_t *r);
static const char *ngx_apigw_cli_key_disable_edit(ngx_apigw_cli_change_t *ch,
    ngx_apigw_cli_record_t *r);
static const char *ngx_apigw_cli_key_update_edit(ngx_apigw_cli_change_t *ch,
    ngx_apigw_cli_record_t *r);
static int ngx_apigw_cli_key_change(ngx_apigw_cli_t *cli, const char *action,
    const char *past, ngx_apigw_cli_change_pt edit);
static void ngx_apigw_cli_key_changed(ngx_apigw_cli_change_t *ch,
    const char *past);
static int ngx_apigw_cli_key_change_body(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static int ngx_apigw_cli_key_change_one(ngx_apigw_cli_change_t *ch,
    ngx_apigw_store_t *store, MDB_txn *txn);
static int ngx_apigw_cli_key_load(ngx_apigw_cli_change_t *ch,
    ngx_apigw_store_t *store, MDB_txn *txn);
static int ngx_apigw_cli_key_change_failed(ngx_apigw_cli_change_t *ch, int rc);
static int ngx_apigw_cli_key_rotate_body(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static const char *ngx_apigw_cli_key_rotate_new(ngx_apigw_cli_change_t *ch,
    ngx_apigw_store_t *store, MDB_txn *txn);
static int ngx_apigw_cli_key_revoke_body(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static ngx_uint_t ngx_apigw_cli_key_again(const ngx_apigw_cli_change_t *ch,
    ngx_uint_t n);
static int ngx_apigw_cli_key_forget_body(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);


int
ngx_apigw_cli_key_create(ngx_apigw_cli_t *cli)
{
    int                         rc;
    const char                 *wrong;
    ngx_apigw_cli_key_t         key;
    ngx_apigw_cli_change_t     *ch;
    ngx_apigw_key_record_t     *rec;
    ngx_apigw_cli_key_conf_t   *conf;

    conf = cli->conf;
    rec = &conf->scratch.rec;

    if (rec->consumer.len == 0) {
        return ngx_apigw_cli_usage(cli, "\"--consumer\" is missing");
    }

    if (rec->expires && rec->expires <= ngx_max(cli->now, rec->not_before)) {
        return ngx_apigw_cli_usage(cli, "the key would expire before it "
                                   "is valid");
    }

    ch = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_change_t));
    ngx_memzero(ch, sizeof(ngx_apigw_cli_change_t));
    ch->key = &key;

    rec->enabled = !conf->disabled;
    rec->decoy = conf->decoy;
    rec->created = cli->now;

    if (rec->id.len == 0) {
        if (ngx_apigw_cli_record_new_id(ch->new_id) != NGX_OK) {
            rc = ngx_apigw_cli_error("no random bytes: %s", strerror(errno));
            goto done;
        }

        rec->id.data = ch->new_id;
        rec->id.len = NGX_APIGW_CLI_ID_LEN;
    }

    wrong = ngx_apigw_cli_record_check(rec);

    if (wrong) {
        rc = ngx_apigw_cli_usage(cli, "%s", wrong);
        goto done;
    }

    rc = ngx_apigw_cli_key_open(cli, &key, 1);

    if (rc != NGX_APIGW_CLI_DONE) {
        goto done;
    }

    if (ngx_apigw_cli_key_secret(&key, &rec->id)) {
        ngx_apigw_cli_key_close(&key);
        rc = ngx_apigw_cli_key_no_id();
        goto done;
    }

    ch->fresh.rec = *rec;
    rc = ngx_apigw_cli_key_make(ch);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_key_write(&key, ngx_apigw_cli_key_create_body, ch);

        if (rc != 0) {
            rc = ngx_apigw_cli_key_failed(&key, &rec->id, rc);

        } else {
            rc = ngx_apigw_cli_key_print(ch);
        }
    }

    ngx_apigw_cli_key_close(&key);

done:

    explicit_bzero(ch, sizeof(ngx_apigw_cli_change_t));
    free(ch);

    return rc;
}


/* Without the text: it may be a key. */

static int
ngx_apigw_cli_key_no_id(void)
{
    return ngx_apigw_cli_error("what \"--id\" gives looks like a key, which "
                               "no id may be");
}


static int
ngx_apigw_cli_key_create_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_cli_change_t *ch = data;

    int                      rc;
    ngx_apigw_cli_audit_t   *audit;
    ngx_apigw_key_record_t  *rec;

    audit = &ch->key->audit;
    rec = &ch->fresh.rec;

    rc = ngx_apigw_cli_audit_begin(audit, txn);

    if (rc == 0) {
        rc = ngx_apigw_key_store_put(store, txn, ch->digest, rec);
    }

    if (rc == 0) {
        rc = ngx_apigw_cli_audit_line(audit, "create", &rec->id, rec, NULL);
    }

    return ngx_apigw_cli_audit_end(audit, rc);
}


static int
ngx_apigw_cli_key_make(ngx_apigw_cli_change_t *ch)
{
    int                   rc;
    u_char                random[NGX_APIGW_KEY_RANDOM];
    ngx_apigw_cli_key_t  *key;

    key = ch->key;

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        return ngx_apigw_cli_error("no random bytes: %s", strerror(errno));
    }

    ch->len = ngx_apigw_key_make(ch->text, key->prefix.data, key->prefix.len,
                                 random)
              - ch->text;

    explicit_bzero(random, sizeof(random));

    rc = ngx_apigw_key_hasher_init(&key->hasher);

    if (rc == NGX_OK) {
        rc = ngx_apigw_key_digest(&key->hasher, ch->digest, ch->text, ch->len);
    }

    if (rc != NGX_OK) {
        return ngx_apigw_cli_error("OpenSSL refuses to make a digest");
    }

    ch->text[ch->len++] = '\n';

    return NGX_APIGW_CLI_DONE;
}


static int
ngx_apigw_cli_key_print(ngx_apigw_cli_change_t *ch)
{
    if (ngx_apigw_cli_write(ch->text, ch->len) != NGX_OK) {
        return ngx_apigw_cli_key_undo(ch);
    }

    ngx_apigw_cli_note("created the key \"%.*s\" for \"%.*s\"; it is "
                       "shown only now",
                       ngx_apigw_cli_str(&ch->fresh.rec.id),
                       ngx_apigw_cli_str(&ch->fresh.rec.consumer));

    return NGX_APIGW_CLI_DONE;
}


/*
 * A key that nobody has got must not stay behind, nor end the one in whose
 * place it was made.
 */

static int
ngx_apigw_cli_key_undo(ngx_apigw_cli_change_t *ch)
{
    int  rc;

    rc = ngx_apigw_cli_key_write(ch->key, ngx_apigw_cli_key_undo_body, ch);

    if (rc != 0) {
        (void) ngx_apigw_cli_error("the key \"%.*s\" was not shown to "
                                   "anybody and is to be revoked",
                                   ngx_apigw_cli_str(&ch->fresh.rec.id));
    }

    if (ch->id && (rc != 0 || !ch->done)) {
        (void) ngx_apigw_cli_error("the key \"%.*s\" could not be given its "
                                   "expiry back, see whether it goes on",
                                   ngx_apigw_cli_str(ch->id));
    }

    return NGX_APIGW_CLI_FAILED;
}


static int
ngx_apigw_cli_key_undo_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_cli_change_t *ch = data;

    int  rc;

    rc = ngx_apigw_cli_audit_begin(&ch->key->audit, txn);

    if (rc == 0) {
        rc = ngx_apigw_cli_key_delete(ch->key, store, txn, "revoke",
                                      &ch->fresh.rec.id);
    }

    /* somebody else may have revoked it already */

    if (rc == MDB_NOTFOUND) {
        rc = 0;
    }

    if (rc == 0 && ch->id) {
        rc = ngx_apigw_cli_key_undo_rotate(ch, store, txn);
    }

    return ngx_apigw_cli_audit_end(&ch->key->audit, rc);
}


/* What was changed by others meanwhile is not for us to take back. */

static int
ngx_apigw_cli_key_undo_rotate(ngx_apigw_cli_change_t *ch,
    ngx_apigw_store_t *store, MDB_txn *txn)
{
    int                     rc;
    u_char                  buf[NGX_APIGW_KEY_RECORD_MAX];
    ssize_t                 n;
    ngx_apigw_key_found_t   found;

    ch->done = 0;

    rc = ngx_apigw_key_store_get_id(store, txn, ch->id, &found);

    if (rc != 0) {
        return (rc == MDB_NOTFOUND) ? 0 : rc;
    }

    /* a record has one encoding */

    n = ngx_apigw_key_record_encode(&ch->record.rec, buf, sizeof(buf));

    if (n == NGX_ERROR || (size_t) n != found.encoded.len
        || ngx_memcmp(buf, found.encoded.data, n) != 0)
    {
        return 0;
    }

    rc = ngx_apigw_key_store_replace(store, txn, NULL, &ch->old.rec);

    if (rc != 0) {
        return rc;
    }

    ch->done = 1;

    return ngx_apigw_cli_audit_line(&ch->key->audit, "unrotate", ch->id,
                                    &ch->old.rec, &ch->record.rec);
}


int
ngx_apigw_cli_key_enable(ngx_apigw_cli_t *cli)
{
    return ngx_apigw_cli_key_change(cli, "enable", "enabled",
                                    ngx_apigw_cli_key_enable_edit);
}


static const char *
ngx_apigw_cli_key_enable_edit(ngx_apigw_cli_change_t *ch,
    ngx_apigw_cli_record_t *r)
{
    r->rec.enabled = 1;

    return NULL;
}


int
ngx_apigw_cli_key_disable(ngx_apigw_cli_t *cli)
{
    return ngx_apigw_cli_key_change(cli, "disable", "disabled",
                                    ngx_apigw_cli_key_disable_edit);
}


static const char *
ngx_apigw_cli_key_disable_edit(ngx_apigw_cli_change_t *ch,
    ngx_apigw_cli_record_t *r)
{
    r->rec.enabled = 0;

    return NULL;
}


int
ngx_apigw_cli_key_update(ngx_apigw_cli_t *cli)
{
    const char                *wrong;
    static u_char              dummy[] = "-";
    ngx_apigw_cli_key_conf_t  *conf;

    conf = cli->conf;

    if (conf->nedits == 0 && !conf->decoy && !conf->no_decoy) {
        return ngx_apigw_cli_usage(cli, "nothing to change");
    }

    if (conf->decoy && conf->no_decoy) {
        return ngx_apigw_cli_usage(cli, "\"--decoy\" and \"--no-decoy\" at "
                                   "once");
    }

    if (!conf->scratched) {
        ngx_apigw_cli_record_init(&conf->scratch);
    }

    conf->scratch.rec.id.data = dummy;
    conf->scratch.rec.id.len = 1;
    conf->scratch.rec.consumer = conf->scratch.rec.id;

    wrong = ngx_apigw_cli_record_check(&conf->scratch.rec);

    if (wrong) {
        return ngx_apigw_cli_usage(cli, "%s", wrong);
    }

    return ngx_apigw_cli_key_change(cli, "update", "changed",
                                    ngx_apigw_cli_key_update_edit);
}


static const char *
ngx_apigw_cli_key_update_edit(ngx_apigw_cli_change_t *ch,
    ngx_apigw_cli_record_t *r)
{
    const char                *wrong;
    ngx_uint_t                 i;
    ngx_apigw_cli_key_conf_t  *conf;

    conf = ch->key->conf;

    for (i = 0; i < conf->nedits; i++) {
        wrong = ngx_apigw_cli_key_apply(ch->key->cli, &conf->edits[i], r);

        if (wrong) {
            return wrong;
        }
    }

    if (conf->decoy || conf->no_decoy) {
        r->rec.decoy = conf->decoy;
    }

    if (r->rec.expires && r->rec.expires <= r->rec.not_before) {
        return "it would expire before it is valid";
    }

    return ngx_apigw_cli_record_check(&r->rec);
}


static int
ngx_apigw_cli_key_change(ngx_apigw_cli_t *cli, const char *action,
    const char *past, ngx_apigw_cli_change_pt edit)
{
    int                      rc;
    ngx_apigw_cli_key_t      key;
    ngx_apigw_cli_change_t  *ch;

    rc = ngx_apigw_cli_key_open(cli, &key, 1);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    ch = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_change_t));
    ngx_memzero(ch, sizeof(ngx_apigw_cli_change_t));

    ch->key = &key;
    ch->action = action;
    ch->edit = edit;
    ch->ids = cli->args;
    ch->n = cli->nargs;

    rc = ngx_apigw_cli_key_write(&key, ngx_apigw_cli_key_change_body, ch);

    if (rc != 0) {
        rc = ngx_apigw_cli_key_change_failed(ch, rc);

    } else {
        ngx_apigw_cli_key_changed(ch, past);
    }

    free(ch);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


static void
ngx_apigw_cli_key_changed(ngx_apigw_cli_change_t *ch, const char *past)
{
    if (ch->n == 1 && ch->done == 1) {
        ngx_apigw_cli_note("%s the key \"%.*s\"", past,
                           ngx_apigw_cli_str(ch->ids));

    } else if (ch->n == 1) {
        ngx_apigw_cli_note("the key \"%.*s\" was like that already",
                           ngx_apigw_cli_str(ch->ids));

    } else {
        ngx_apigw_cli_note("%s %d of %d keys%s", past, (int) ch->done,
                           (int) ch->n, ch->done == ch->n
                           ? "" : ", the others were like that already");
    }
}


static int
ngx_apigw_cli_key_change_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_cli_change_t *ch = data;

    int         rc;
    ngx_uint_t  i;

    ch->done = 0;
    ch->id = NULL;

    rc = ngx_apigw_cli_audit_begin(&ch->key->audit, txn);

    for (i = 0; i < ch->n && rc == 0; i++) {
        ch->id = &ch->ids[i];
        rc = ngx_apigw_cli_key_change_one(ch, store, txn);
    }

    return ngx_apigw_cli_audit_end(&ch->key->audit, rc);
}


static int
ngx_apigw_cli_key_change_one(ngx_apigw_cli_change_t *ch,
    ngx_apigw_store_t *store, MDB_txn *txn)
{
    int                      rc;
    u_char                   buf[NGX_APIGW_KEY_RECORD_MAX];
    ssize_t                  n;
    ngx_apigw_key_record_t  *rec;

    rc = ngx_apigw_cli_key_load(ch, store, txn);

    if (rc != 0) {
        return rc;
    }

    rec = &ch->record.rec;
    ch->wrong = ch->edit(ch, &ch->record);

    if (ch->wrong) {
        return ECANCELED;
    }

    n = ngx_apigw_key_record_encode(rec, buf, sizeof(buf));

    if (n == NGX_ERROR) {
        ch->wrong = "too much for one record";
        return ECANCELED;
    }

    /* a record has one encoding */

    if (n == ngx_apigw_key_record_encode(&ch->old.rec, ch->old.encoded,
                                         sizeof(ch->old.encoded))
        && ngx_memcmp(buf, ch->old.encoded, n) == 0)
    {
        return 0;
    }

    rec->updated = ch->key->cli->now;
    rc = ngx_apigw_key_store_replace(store, txn, NULL, rec);

    if (rc != 0) {
        return rc;
    }

    ch->done++;

    return ngx_apigw_cli_audit_line(&ch->key->audit, ch->action, ch->id, rec,
                                    &ch->old.rec);
}


/* The record of the key ch->id, twice: as it is and to be changed. */

static int
ngx_apigw_cli_key_load(ngx_apigw_cli_change_t *ch, ngx_apigw_store_t *store,
    MDB_txn *txn)
{
    int                     rc;
    ngx_int_t               n;
    ngx_apigw_key_found_t   found;

    rc = ngx_apigw_key_store_get_id(store, txn, ch->id, &found);

    if (rc != 0) {
        return rc;
    }

    n = ngx_apigw_cli_record_load(&ch->old, found.encoded.data,
                                  found.encoded.len);
    if (n == NGX_OK) {
        n = ngx_apigw_cli_record_load(&ch->record, found.encoded.data,
                                      found.encoded.len);
    }

    switch (n) {

    case NGX_OK:
        return 0;

    case NGX_DECLINED:
        return NGX_APIGW_KEY_STORE_ELATER;

    default:
        return NGX_APIGW_KEY_STORE_EBROKEN;
    }
}


static int
ngx_apigw_cli_key_change_failed(ngx_apigw_cli_change_t *ch, int rc)
{
    if (ch->wrong && rc == ECANCELED) {
        return ngx_apigw_cli_error("the key \"%.*s\": %s",
                                   ngx_apigw_cli_str(ch->id), ch->wrong);
    }

    return ngx_apigw_cli_key_failed(ch->key, ch->id, rc);
}


int
ngx_apigw_cli_key_rotate(ngx_apigw_cli_t *cli)
{
    int                         rc;
    time_t                      overlap;
    ngx_apigw_cli_key_t         key;
    ngx_apigw_cli_change_t     *ch;
    ngx_apigw_cli_key_conf_t   *conf;

    conf = cli->conf;

    if (conf->overlap.len == 0) {
        return ngx_apigw_cli_usage(cli, "\"--overlap\" is missing: how long "
                                   "the old key goes on");
    }

    if (ngx_apigw_cli_duration(&conf->overlap, &overlap) != NGX_OK) {
        return ngx_apigw_cli_usage(cli, "\"--overlap %.*s\": not a duration "
                                   "such as 7d, 12h or 0s",
                                   ngx_apigw_cli_str(&conf->overlap));
    }

    ch = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_change_t));
    ngx_memzero(ch, sizeof(ngx_apigw_cli_change_t));

    ch->key = &key;
    ch->id = cli->args;
    ch->overlap = overlap;

    if (ngx_apigw_cli_record_new_id(ch->new_id) != NGX_OK) {
        rc = ngx_apigw_cli_error("no random bytes: %s", strerror(errno));
        goto done;
    }

    rc = ngx_apigw_cli_key_open(cli, &key, 1);

    if (rc != NGX_APIGW_CLI_DONE) {
        goto done;
    }

    if (conf->id.len && ngx_apigw_cli_key_secret(&key, &conf->id)) {
        ngx_apigw_cli_key_close(&key);
        rc = ngx_apigw_cli_key_no_id();
        goto done;
    }

    rc = ngx_apigw_cli_key_make(ch);

    if (rc == NGX_APIGW_CLI_DONE) {
        rc = ngx_apigw_cli_key_write(&key, ngx_apigw_cli_key_rotate_body, ch);

        if (rc != 0) {
            rc = ngx_apigw_cli_key_change_failed(ch, rc);

        } else {
            rc = ngx_apigw_cli_key_print(ch);
        }
    }

    ngx_apigw_cli_key_close(&key);

done:

    explicit_bzero(ch, sizeof(ngx_apigw_cli_change_t));
    free(ch);

    return rc;
}


static int
ngx_apigw_cli_key_rotate_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_cli_change_t *ch = data;

    int                      rc;
    time_t                   end;
    ngx_apigw_cli_audit_t   *audit;
    ngx_apigw_key_record_t  *rec, *fresh;

    audit = &ch->key->audit;
    rec = &ch->record.rec;
    fresh = &ch->fresh.rec;

    rc = ngx_apigw_cli_audit_begin(audit, txn);

    if (rc == 0) {
        rc = ngx_apigw_cli_key_load(ch, store, txn);
    }

    if (rc != 0) {
        goto done;
    }

    ch->wrong = ngx_apigw_cli_key_rotate_new(ch, store, txn);

    if (ch->wrong) {
        rc = ECANCELED;
        goto done;
    }

    end = ch->key->cli->now + ch->overlap;

    rec->updated = ch->key->cli->now;
    rec->successor = fresh->id;

    if (rec->expires == 0 || rec->expires > end) {
        rec->expires = end;
    }

    rc = ngx_apigw_key_store_put(store, txn, ch->digest, fresh);

    if (rc == MDB_KEYEXIST) {
        ch->wrong = "there is a key with the new id already";
        rc = ECANCELED;
    }

    if (rc == 0) {
        rc = ngx_apigw_key_store_replace(store, txn, NULL, rec);
    }

    if (rc == 0) {
        rc = ngx_apigw_cli_audit_line(audit, "create", &fresh->id, fresh,
                                      NULL);
    }

    if (rc == 0) {
        rc = ngx_apigw_cli_audit_line(audit, "rotate", ch->id, rec,
                                      &ch->old.rec);
    }

done:

    return ngx_apigw_cli_audit_end(audit, rc);
}


/* The new record; NULL or why there cannot be one. */

static const char *
ngx_apigw_cli_key_rotate_new(ngx_apigw_cli_change_t *ch,
    ngx_apigw_store_t *store, MDB_txn *txn)
{
    time_t                      now;
    ngx_apigw_key_found_t       found;
    ngx_apigw_key_record_t     *fresh, *old;
    ngx_apigw_cli_key_conf_t   *conf;

    old = &ch->old.rec;
    fresh = &ch->fresh.rec;
    conf = ch->key->conf;
    now = ch->key->cli->now;

    if (old->decoy) {
        return "it is a decoy";
    }

    if (!old->enabled) {
        return "it is disabled";
    }

    if (old->successor.len
        && ngx_apigw_key_store_get_id(store, txn, &old->successor, &found)
           == 0)
    {
        return "it was rotated already, see its successor";
    }

    *fresh = *old;

    if (conf->id.len) {
        fresh->id = conf->id;

    } else {
        fresh->id.data = ch->new_id;
        fresh->id.len = NGX_APIGW_CLI_ID_LEN;
    }

    fresh->created = now;
    fresh->updated = 0;
    fresh->successor.len = 0;

    if (fresh->not_before <= now) {
        fresh->not_before = 0;
    }

    if (conf->nedits) {
        fresh->expires = conf->scratch.rec.expires;
    }

    if (fresh->expires && fresh->expires <= now) {
        return conf->nedits ? "the new one would have expired"
                            : "it has expired, so would the new one: give "
                              "--expires";
    }

    if (fresh->expires && fresh->expires <= fresh->not_before) {
        return "the new one would expire before it is valid";
    }

    return ngx_apigw_cli_record_check(fresh);
}


int
ngx_apigw_cli_key_revoke(ngx_apigw_cli_t *cli)
{
    int                      rc;
    ngx_apigw_cli_key_t      key;
    ngx_apigw_cli_change_t  *ch;

    rc = ngx_apigw_cli_key_open(cli, &key, 1);

    if (rc != NGX_APIGW_CLI_DONE) {
        return rc;
    }

    ch = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_change_t));
    ngx_memzero(ch, sizeof(ngx_apigw_cli_change_t));

    ch->key = &key;
    ch->ids = cli->args;
    ch->n = cli->nargs;
    ch->action = "revoke";

    rc = ngx_apigw_cli_key_write(&key, ngx_apigw_cli_key_revoke_body, ch);

    if (rc != 0) {
        rc = ngx_apigw_cli_key_change_failed(ch, rc);

    } else {
        ngx_apigw_cli_key_forget(&key, ch->ids, ch->n);

        ngx_apigw_cli_key_changed(ch, "revoked");
    }

    free(ch);
    ngx_apigw_cli_key_close(&key);

    return rc;
}


static int
ngx_apigw_cli_key_revoke_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_cli_change_t *ch = data;

    int         rc;
    ngx_uint_t  i;

    ch->done = 0;
    ch->id = NULL;

    rc = ngx_apigw_cli_audit_begin(&ch->key->audit, txn);

    for (i = 0; i < ch->n && rc == 0; i++) {
        ch->id = &ch->ids[i];
        rc = ngx_apigw_cli_key_delete(ch->key, store, txn, ch->action, ch->id);

        if (rc == 0) {
            ch->done++;

        } else if (rc == MDB_NOTFOUND && ngx_apigw_cli_key_again(ch, i)) {
            rc = 0;
        }
    }

    return ngx_apigw_cli_audit_end(&ch->key->audit, rc);
}


/* Whether the id was given before. */

static ngx_uint_t
ngx_apigw_cli_key_again(const ngx_apigw_cli_change_t *ch, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (ch->ids[i].len == ch->ids[n].len
            && ngx_memcmp(ch->ids[i].data, ch->ids[n].data, ch->ids[n].len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


int
ngx_apigw_cli_key_delete(ngx_apigw_cli_key_t *key, ngx_apigw_store_t *store,
    MDB_txn *txn, const char *action, ngx_str_t *id)
{
    int                      rc;
    ngx_apigw_key_found_t    found;
    ngx_apigw_key_record_t   rec, *old;

    rc = ngx_apigw_key_store_get_id(store, txn, id, &found);

    if (rc != 0) {
        return rc;
    }

    old = (ngx_apigw_key_store_record(&found, &rec) == 0) ? &rec : NULL;

    /* the line first, since the record is gone afterwards */

    rc = ngx_apigw_cli_audit_line(&key->audit, action, id, NULL, old);

    if (rc != 0) {
        return rc;
    }

    return ngx_apigw_key_store_delete(store, txn, id);
}


void
ngx_apigw_cli_key_forget(ngx_apigw_cli_key_t *key, ngx_str_t *ids,
    ngx_uint_t n)
{
    ngx_apigw_cli_change_t  *ch;

    if (n == 0
        || ngx_apigw_cli_key_open_used(key) != NGX_APIGW_CLI_DONE
        || key->used == NULL)
    {
        return;
    }

    ch = ngx_apigw_cli_alloc(sizeof(ngx_apigw_cli_change_t));

    ch->ids = ids;
    ch->n = n;

    (void) ngx_apigw_store_write(key->used, ngx_apigw_cli_key_forget_body, ch);

    free(ch);

    ngx_apigw_store_close(key->used);
    key->used = NULL;
}


static int
ngx_apigw_cli_key_forget_body(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_cli_change_t *ch = data;

    int         rc;
    ngx_uint_t  i;

    for (i = 0; i < ch->n; i++) {
        rc = ngx_apigw_key_used_delete(store, txn, &ch->ids[i]);

        if (rc != 0 && rc != MDB_NOTFOUND) {
            return rc;
        }
    }

    return 0;
}
