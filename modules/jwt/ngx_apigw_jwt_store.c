/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>

#include "ngx_apigw_hash.h"
#include "ngx_apigw_jwt_store.h"
#include "ngx_apigw_tree.h"


/*
 * "revoked": the byte of what it is revoked by and the value, or 0x80 added to
 * the byte and the SHA-256 of a value that is longer than LMDB's keys may be;
 * its record is a head, the value, and a seal.
 *
 * "keysets": the id of the issuer; its record is a head, the key set as it
 * was fetched, and a seal.
 *
 * The seal, 8 bytes, is a hash of what is before it and of what it belongs
 * to, and tells of damage.  A bit of the head says that there is one: records
 * of older versions have none, and are valid still.
 *
 * The heads are in the order of bytes of this machine, as everything in LMDB.
 */


#define NGX_APIGW_JWT_DB_REVOKED   0
#define NGX_APIGW_JWT_DB_KEYSETS   1

#define NGX_APIGW_JWT_KEY_MAX      256   /* bytes of a value in a key */
#define NGX_APIGW_JWT_DIGEST       32
#define NGX_APIGW_JWT_SEAL         8
#define NGX_APIGW_JWT_SEALED       ((uint64_t) 1 << 63)
#define NGX_APIGW_JWT_REAP_BATCH   256


typedef struct {
    MDB_val                      val;
    u_char                       data[1 + NGX_APIGW_JWT_KEY_MAX];
} ngx_apigw_jwt_key_t;


typedef struct {
    uint64_t                     made;      /* and whether it is sealed */
    uint64_t                     until;
} ngx_apigw_jwt_head_t;


typedef struct {
    const u_char                *id;
    const ngx_apigw_jwt_saved_t *saved;
} ngx_apigw_jwt_save_t;


typedef struct {
    ngx_apigw_jwt_key_t          keys[NGX_APIGW_JWT_REAP_BATCH];
    ngx_uint_t                   n;
    ngx_uint_t                   max;
    uint64_t                     now;
} ngx_apigw_jwt_reap_t;


static int ngx_apigw_jwt_store_key(ngx_apigw_jwt_key_t *key,
    ngx_apigw_jwt_by_e by, const ngx_str_t *value);
static void ngx_apigw_jwt_store_seal(u_char *seal, const u_char *owner,
    size_t len, const u_char *data, size_t size);
static int ngx_apigw_jwt_store_unseal(const u_char *owner, size_t len,
    const u_char *data, size_t size, ngx_apigw_jwt_head_t *head,
    ngx_str_t *text);
static int ngx_apigw_jwt_store_sound(const ngx_apigw_tree_item_t *item);
static int ngx_apigw_jwt_store_decode(const MDB_val *key, const MDB_val *val,
    ngx_apigw_jwt_revocation_t *revocation);
static int ngx_apigw_jwt_store_write_set(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);
static int ngx_apigw_jwt_store_over(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_reap_t *reap);
static int ngx_apigw_jwt_store_remove(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);


const ngx_apigw_store_kind_t  ngx_apigw_jwt_store_kind = {
    "apigw-tokens 1",
    { "revoked", "keysets", NULL },
    0
};


int
ngx_apigw_jwt_store_get(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_by_e by, const ngx_str_t *value,
    ngx_apigw_jwt_revocation_t *revocation)
{
    int                  rc;
    MDB_val              val;
    ngx_apigw_jwt_key_t  key;

    rc = ngx_apigw_jwt_store_key(&key, by, value);

    if (rc != 0) {
        return rc == EINVAL ? MDB_NOTFOUND : rc;
    }

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                 &key.val, &val);

    if (rc != 0) {
        return rc;
    }

    return ngx_apigw_jwt_store_decode(&key.val, &val, revocation);
}


int
ngx_apigw_jwt_store_put(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_jwt_revocation_t *revocation)
{
    int                   rc;
    size_t                size;
    u_char                data[sizeof(ngx_apigw_jwt_head_t)
                               + NGX_APIGW_JWT_REVOCATION_MAX
                               + NGX_APIGW_JWT_SEAL];
    MDB_val               val;
    ngx_apigw_jwt_key_t   key;
    ngx_apigw_jwt_head_t  head;

    rc = ngx_apigw_jwt_store_key(&key, revocation->by, &revocation->value);

    if (rc != 0) {
        return rc;
    }

    head.made = revocation->made | NGX_APIGW_JWT_SEALED;
    head.until = revocation->until;

    ngx_memcpy(data, &head, sizeof(head));
    ngx_memcpy(data + sizeof(head), revocation->value.data,
               revocation->value.len);

    size = sizeof(head) + revocation->value.len;

    ngx_apigw_jwt_store_seal(data + size, key.data, 1, data, size);

    val.mv_data = data;
    val.mv_size = size + NGX_APIGW_JWT_SEAL;

    return mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                   &key.val, &val, 0);
}


int
ngx_apigw_jwt_store_delete(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_by_e by, const ngx_str_t *value)
{
    int                  rc;
    ngx_apigw_jwt_key_t  key;

    rc = ngx_apigw_jwt_store_key(&key, by, value);

    if (rc != 0) {
        return rc == EINVAL ? MDB_NOTFOUND : rc;
    }

    return mdb_del(txn, ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                   &key.val, NULL);
}


int
ngx_apigw_jwt_store_find(ngx_apigw_store_t *store, ngx_apigw_jwt_by_e by,
    const ngx_str_t *value, ngx_apigw_jwt_revocation_t *revocation)
{
    int                    rc;
    MDB_val                val;
    ngx_str_t              found;
    ngx_apigw_jwt_key_t    key;
    ngx_apigw_tree_item_t  near[2];

    rc = ngx_apigw_jwt_store_key(&key, by, value);

    if (rc != 0) {
        return rc == EINVAL ? MDB_NOTFOUND : rc;
    }

    rc = ngx_apigw_store_get(store, NGX_APIGW_JWT_DB_REVOKED, key.data,
                             key.val.mv_size, &found);

    if (rc == 0) {
        val.mv_data = found.data;
        val.mv_size = found.len;

        return ngx_apigw_jwt_store_decode(&key.val, &val, revocation);
    }

    if (rc != MDB_NOTFOUND) {
        return rc;
    }

    rc = ngx_apigw_store_near(store, NGX_APIGW_JWT_DB_REVOKED, key.data,
                              key.val.mv_size, near);

    if (rc == 0
        && ngx_apigw_jwt_store_sound(&near[0])
        && ngx_apigw_jwt_store_sound(&near[1]))
    {
        return MDB_NOTFOUND;
    }

    return rc == 0 ? NGX_APIGW_JWT_STORE_EBROKEN : rc;
}


static int
ngx_apigw_jwt_store_sound(const ngx_apigw_tree_item_t *item)
{
    MDB_val                      key, val;
    ngx_apigw_jwt_revocation_t   revocation;

    if (item->key.data == NULL) {
        return 1;
    }

    key.mv_data = item->key.data;
    key.mv_size = item->key.len;
    val.mv_data = item->value.data;
    val.mv_size = item->value.len;

    return ngx_apigw_jwt_store_decode(&key, &val, &revocation) == 0;
}


uint64_t
ngx_apigw_jwt_store_count(ngx_apigw_store_t *store)
{
    return ngx_apigw_store_entries(store, NGX_APIGW_JWT_DB_REVOKED);
}


int
ngx_apigw_jwt_store_each(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_revocation_pt each, void *data)
{
    int                          rc;
    MDB_val                      key, val;
    MDB_cursor                  *cursor;
    ngx_apigw_jwt_revocation_t   revocation;

    rc = mdb_cursor_open(txn,
                         ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                         &cursor);
    if (rc != 0) {
        return rc;
    }

    for ( ;; ) {
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);

        if (rc != 0) {
            rc = rc == MDB_NOTFOUND ? 0 : rc;
            break;
        }

        rc = ngx_apigw_jwt_store_decode(&key, &val, &revocation);

        if (rc == 0) {
            rc = each(data, &revocation);
        }

        if (rc != 0) {
            break;
        }
    }

    mdb_cursor_close(cursor);

    return rc;
}


static int
ngx_apigw_jwt_store_key(ngx_apigw_jwt_key_t *key, ngx_apigw_jwt_by_e by,
    const ngx_str_t *value)
{
    if (value->len == 0 || value->len > NGX_APIGW_JWT_REVOCATION_MAX) {
        return EINVAL;
    }

    key->val.mv_data = key->data;
    key->data[0] = (u_char) by;

    if (value->len <= NGX_APIGW_JWT_KEY_MAX) {
        ngx_memcpy(key->data + 1, value->data, value->len);
        key->val.mv_size = 1 + value->len;

        return 0;
    }

    key->data[0] |= 0x80;
    key->val.mv_size = 1 + NGX_APIGW_JWT_DIGEST;

    if (EVP_Digest(value->data, value->len, key->data + 1, NULL, EVP_sha256(),
                   NULL)
        != 1)
    {
        return ENOMEM;
    }

    return 0;
}


/* The owner is what the record is of. */

static void
ngx_apigw_jwt_store_seal(u_char *seal, const u_char *owner, size_t len,
    const u_char *data, size_t size)
{
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key;

    ngx_memzero(&key, sizeof(ngx_apigw_hash_key_t));
    ngx_memcpy(&key, owner, ngx_min(len, sizeof(ngx_apigw_hash_key_t)));

    ngx_apigw_hash_half(&hash, &key, data, size);

    ngx_memcpy(seal, hash.h, NGX_APIGW_JWT_SEAL);
}


static int
ngx_apigw_jwt_store_unseal(const u_char *owner, size_t len,
    const u_char *data, size_t size, ngx_apigw_jwt_head_t *head,
    ngx_str_t *text)
{
    u_char  seal[NGX_APIGW_JWT_SEAL];

    if (size <= sizeof(ngx_apigw_jwt_head_t)) {
        return NGX_APIGW_JWT_STORE_EBROKEN;
    }

    ngx_memcpy(head, data, sizeof(ngx_apigw_jwt_head_t));

    if (head->made & NGX_APIGW_JWT_SEALED) {

        if (size <= sizeof(ngx_apigw_jwt_head_t) + NGX_APIGW_JWT_SEAL) {
            return NGX_APIGW_JWT_STORE_EBROKEN;
        }

        size -= NGX_APIGW_JWT_SEAL;

        ngx_apigw_jwt_store_seal(seal, owner, len, data, size);

        if (ngx_memcmp(seal, data + size, NGX_APIGW_JWT_SEAL) != 0) {
            return NGX_APIGW_JWT_STORE_EBROKEN;
        }

        head->made &= ~NGX_APIGW_JWT_SEALED;
    }

    text->data = (u_char *) data + sizeof(ngx_apigw_jwt_head_t);
    text->len = size - sizeof(ngx_apigw_jwt_head_t);

    return 0;
}


/* A record says what it is of, with or without a seal. */

static int
ngx_apigw_jwt_store_decode(const MDB_val *key, const MDB_val *val,
    ngx_apigw_jwt_revocation_t *revocation)
{
    int                   rc;
    u_char                by;
    ngx_apigw_jwt_key_t   own;
    ngx_apigw_jwt_head_t  head;

    if (key->mv_size < 1) {
        return NGX_APIGW_JWT_STORE_EBROKEN;
    }

    by = *(u_char *) key->mv_data & 0x7f;

    if (by != NGX_APIGW_JWT_BY_JTI
        && by != NGX_APIGW_JWT_BY_SUB
        && by != NGX_APIGW_JWT_BY_KID)
    {
        return NGX_APIGW_JWT_STORE_EBROKEN;
    }

    rc = ngx_apigw_jwt_store_unseal(key->mv_data, 1, val->mv_data,
                                    val->mv_size, &head, &revocation->value);

    if (rc == 0) {
        rc = ngx_apigw_jwt_store_key(&own, by, &revocation->value);
        rc = (rc == EINVAL) ? NGX_APIGW_JWT_STORE_EBROKEN : rc;
    }

    if (rc != 0) {
        return rc;
    }

    if (own.val.mv_size != key->mv_size
        || ngx_memcmp(own.data, key->mv_data, key->mv_size) != 0)
    {
        return NGX_APIGW_JWT_STORE_EBROKEN;
    }

    revocation->by = by;
    revocation->made = head.made;
    revocation->until = head.until;

    return 0;
}


int
ngx_apigw_jwt_store_reap(ngx_apigw_store_t *store, uint64_t now,
    ngx_uint_t max, ngx_uint_t *n)
{
    int                    rc;
    MDB_txn               *txn;
    ngx_apigw_jwt_reap_t  *reap;

    *n = 0;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc != 0) {
        return rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
    }

    reap = malloc(sizeof(ngx_apigw_jwt_reap_t));

    if (reap == NULL) {
        ngx_apigw_store_read_end(store);
        return ENOMEM;
    }

    reap->n = 0;
    reap->max = ngx_min(max, NGX_APIGW_JWT_REAP_BATCH);
    reap->now = now;

    rc = ngx_apigw_jwt_store_over(store, txn, reap);

    ngx_apigw_store_read_end(store);

    if (rc == 0 && reap->n) {
        rc = ngx_apigw_store_write(store, ngx_apigw_jwt_store_remove, reap);

        if (rc == 0) {
            *n = reap->n;
        }
    }

    free(reap);

    return rc;
}


static int
ngx_apigw_jwt_store_over(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_jwt_reap_t *reap)
{
    int                          rc;
    MDB_val                      key, val;
    MDB_cursor                  *cursor;
    ngx_apigw_jwt_key_t         *found;
    ngx_apigw_jwt_revocation_t   revocation;

    rc = mdb_cursor_open(txn,
                         ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED),
                         &cursor);
    if (rc != 0) {
        return rc;
    }

    while (reap->n < reap->max
           && (rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) == 0)
    {
        /* a damaged one says nothing of its end, and stays */

        if (ngx_apigw_jwt_store_decode(&key, &val, &revocation) != 0
            || revocation.until == 0
            || revocation.until > reap->now
            || key.mv_size > 1 + NGX_APIGW_JWT_KEY_MAX)
        {
            continue;
        }

        found = &reap->keys[reap->n++];

        ngx_memcpy(found->data, key.mv_data, key.mv_size);
        found->val.mv_data = found->data;
        found->val.mv_size = key.mv_size;
    }

    mdb_cursor_close(cursor);

    return rc == MDB_NOTFOUND ? 0 : rc;
}


static int
ngx_apigw_jwt_store_remove(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_jwt_reap_t *reap = data;

    int                          rc;
    MDB_dbi                      db;
    MDB_val                      val;
    ngx_uint_t                   i;
    ngx_apigw_jwt_revocation_t   revocation;

    db = ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_REVOKED);

    for (i = 0; i < reap->n; i++) {

        /* it may have been prolonged */

        rc = mdb_get(txn, db, &reap->keys[i].val, &val);

        if (rc == 0) {
            rc = ngx_apigw_jwt_store_decode(&reap->keys[i].val, &val,
                                            &revocation);

            if (rc != 0
                || revocation.until == 0
                || revocation.until > reap->now)
            {
                continue;
            }

            rc = mdb_del(txn, db, &reap->keys[i].val, NULL);
        }

        if (rc != 0 && rc != MDB_NOTFOUND) {
            return rc;
        }
    }

    return 0;
}


int
ngx_apigw_jwt_store_load(ngx_apigw_store_t *store,
    const u_char id[NGX_APIGW_JWT_ISSUER_ID], ngx_apigw_jwt_saved_t *saved)
{
    int                   rc;
    ngx_str_t             found;
    ngx_apigw_jwt_head_t  head;

    rc = ngx_apigw_store_get(store, NGX_APIGW_JWT_DB_KEYSETS, id,
                             NGX_APIGW_JWT_ISSUER_ID, &found);

    if (rc == 0) {
        rc = ngx_apigw_jwt_store_unseal(id, NGX_APIGW_JWT_ISSUER_ID,
                                        found.data, found.len, &head,
                                        &saved->text);
    }

    if (rc == 0) {
        saved->fetched = head.made;
        saved->expires = head.until;
    }

    return rc;
}


int
ngx_apigw_jwt_store_save(ngx_apigw_store_t *store,
    const u_char id[NGX_APIGW_JWT_ISSUER_ID],
    const ngx_apigw_jwt_saved_t *saved)
{
    ngx_apigw_jwt_save_t  save;

    save.id = id;
    save.saved = saved;

    return ngx_apigw_store_write(store, ngx_apigw_jwt_store_write_set, &save);
}


static int
ngx_apigw_jwt_store_write_set(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_jwt_save_t *save = data;

    int                           rc;
    u_char                       *p;
    size_t                        size;
    MDB_val                       key, val;
    ngx_apigw_jwt_head_t          head;
    const ngx_apigw_jwt_saved_t  *saved;

    saved = save->saved;

    head.made = saved->fetched | NGX_APIGW_JWT_SEALED;
    head.until = saved->expires;

    key.mv_data = (void *) save->id;
    key.mv_size = NGX_APIGW_JWT_ISSUER_ID;

    size = sizeof(head) + saved->text.len;

    val.mv_data = NULL;
    val.mv_size = size + NGX_APIGW_JWT_SEAL;

    rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_JWT_DB_KEYSETS),
                 &key, &val, MDB_RESERVE);

    if (rc == 0) {
        p = val.mv_data;

        ngx_memcpy(p, &head, sizeof(head));
        ngx_memcpy(p + sizeof(head), saved->text.data, saved->text.len);

        ngx_apigw_jwt_store_seal(p + size, save->id, NGX_APIGW_JWT_ISSUER_ID,
                                 p, size);
    }

    return rc;
}


const char *
ngx_apigw_jwt_store_strerror(int rc)
{
    switch (rc) {

    case MDB_CORRUPTED:
    case NGX_APIGW_JWT_STORE_EBROKEN:
        return "the store of tokens is damaged";

    case NGX_APIGW_JWT_STORE_ELOST:
        return "it is empty, but had data: put it back from a copy (to begin "
               "anew, restart nginx)";

    case MDB_NOTFOUND:
        return "no such revocation";

    case EINVAL:
        return "the value is empty or too long";

    default:
        return ngx_apigw_store_strerror(rc);
    }
}
