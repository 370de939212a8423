/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_hash.h"
#include "ngx_apigw_key_store.h"


#define NGX_APIGW_KEY_DB_KEYS       NGX_APIGW_KEY_STORE_KEYS
#define NGX_APIGW_KEY_DB_IDS        1
#define NGX_APIGW_KEY_DB_CONSUMERS  2

#define NGX_APIGW_KEY_DB_USED       0

#define NGX_APIGW_KEY_SEAL          8

#define NGX_APIGW_KEY_INDEX_MAX                                               \
    (NGX_APIGW_KEY_CONSUMER_MAX + 1 + NGX_APIGW_KEY_ID_MAX)


typedef struct {
    MDB_val              key;
    u_char               data[NGX_APIGW_KEY_INDEX_MAX];
} ngx_apigw_key_index_t;


/* A mark among the uses: no id begins with a zero byte. */

#define NGX_APIGW_KEY_MARK_FORGET   86400

typedef struct {
    u_char               zero;
    u_char               name[sizeof(ngx_apigw_hash_key_t)];
} ngx_apigw_key_mark_name_t;

typedef struct {
    uint64_t             number;
    uint64_t             time;
} ngx_apigw_key_mark_t;


static void ngx_apigw_key_store_seal(u_char *seal, const u_char *digest,
    const u_char *data, size_t len);
static int ngx_apigw_key_store_digest(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, u_char *digest);
static int ngx_apigw_key_store_set(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_record_t *rec);
static int ngx_apigw_key_store_remove(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, const u_char *digest);
static int ngx_apigw_key_store_search(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_index_t *index);
static int ngx_apigw_key_store_index(ngx_apigw_key_index_t *index,
    const ngx_str_t *consumer, const ngx_str_t *id);
static int ngx_apigw_key_store_id(MDB_val *key, const ngx_str_t *id);
static void ngx_apigw_key_store_mark(ngx_apigw_key_mark_name_t *mark,
    MDB_val *key, const ngx_apigw_hash_key_t *name);
static int ngx_apigw_key_store_old_marks(ngx_apigw_store_t *store,
    MDB_txn *txn, uint64_t now);
static int ngx_apigw_key_store_walk(ngx_apigw_store_t *store, MDB_txn *txn,
    MDB_cursor *cursor, const ngx_str_t *consumer, const ngx_str_t *after,
    ngx_apigw_key_each_pt each, void *data);


const ngx_apigw_store_kind_t  ngx_apigw_key_store_kind = {
    "apigw-keys 2",
    { "keys", "ids", "consumers", NULL },
    16 * 1024 * 1024
};


const ngx_apigw_store_kind_t  ngx_apigw_key_used_kind = {
    "apigw-keys-used 1",
    { "used", NULL },
    16 * 1024 * 1024
};


int
ngx_apigw_key_store_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_found_t *found)
{
    int        rc;
    MDB_val    key, val;
    ngx_str_t  value;

    key.mv_size = NGX_APIGW_KEY_DIGEST;
    key.mv_data = (void *) digest;

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS), &key,
                 &val);
    if (rc != 0) {
        return rc;
    }

    value.len = val.mv_size;
    value.data = val.mv_data;

    ngx_apigw_key_store_unseal(digest, &value, found);

    return 0;
}


void
ngx_apigw_key_store_unseal(const u_char *digest, const ngx_str_t *value,
    ngx_apigw_key_found_t *found)
{
    size_t  len;
    u_char  seal[NGX_APIGW_KEY_SEAL];

    found->digest = digest;
    found->encoded.len = 0;
    found->encoded.data = value->data;

    if (value->len <= NGX_APIGW_KEY_SEAL
        || value->len > NGX_APIGW_KEY_RECORD_MAX + NGX_APIGW_KEY_SEAL)
    {
        return;
    }

    len = value->len - NGX_APIGW_KEY_SEAL;

    ngx_apigw_key_store_seal(seal, digest, value->data, len);

    if (ngx_memcmp(seal, value->data + len, NGX_APIGW_KEY_SEAL) == 0) {
        found->encoded.len = len;
    }
}


static void
ngx_apigw_key_store_seal(u_char *seal, const u_char *digest,
    const u_char *data, size_t len)
{
    ngx_apigw_hash_t      hash;
    ngx_apigw_hash_key_t  key;

    ngx_memcpy(&key, digest, sizeof(ngx_apigw_hash_key_t));

    ngx_apigw_hash_half(&hash, &key, data, len);

    ngx_memcpy(seal, hash.h, NGX_APIGW_KEY_SEAL);
}


int
ngx_apigw_key_store_get_id(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, ngx_apigw_key_found_t *found)
{
    int                     rc;
    MDB_val                 key, val;
    ngx_apigw_key_record_t  rec;

    rc = ngx_apigw_key_store_id(&key, id);
    if (rc != 0) {
        return rc;
    }

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_IDS), &key,
                 &val);
    if (rc != 0) {
        return rc;
    }

    if (val.mv_size != NGX_APIGW_KEY_DIGEST) {
        return NGX_APIGW_KEY_STORE_EBROKEN;
    }

    rc = ngx_apigw_key_store_get(store, txn, val.mv_data, found);

    if (rc != 0) {
        return (rc == MDB_NOTFOUND) ? NGX_APIGW_KEY_STORE_EBROKEN : rc;
    }

    /* never another's, to be changed or removed in place of this one */

    if (ngx_apigw_key_store_record(found, &rec) == 0
        && (rec.id.len != id->len
            || ngx_memcmp(rec.id.data, id->data, id->len) != 0))
    {
        return NGX_APIGW_KEY_STORE_EBROKEN;
    }

    return 0;
}


int
ngx_apigw_key_store_record(ngx_apigw_key_found_t *found,
    ngx_apigw_key_record_t *rec)
{
    /* what has its seal was checked when it was written */

    switch (ngx_apigw_key_record_parse(rec, found->encoded.data,
                                       found->encoded.len))
    {
    case NGX_OK:
        return 0;

    case NGX_DECLINED:
        return NGX_APIGW_KEY_STORE_ELATER;

    default:
        return NGX_APIGW_KEY_STORE_EBROKEN;
    }
}


int
ngx_apigw_key_store_put(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_record_t *rec)
{
    int                    rc;
    ngx_apigw_key_found_t  found;

    rc = ngx_apigw_key_store_get_id(store, txn, &rec->id, &found);

    if (rc != MDB_NOTFOUND) {
        return (rc == 0) ? MDB_KEYEXIST : rc;
    }

    return ngx_apigw_key_store_set(store, txn, digest, rec);
}


int
ngx_apigw_key_store_replace(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_record_t *rec)
{
    int     rc;
    u_char  old[NGX_APIGW_KEY_DIGEST];

    rc = ngx_apigw_key_store_digest(store, txn, &rec->id, old);
    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_key_store_remove(store, txn, &rec->id, old);
    if (rc != 0) {
        return rc;
    }

    return ngx_apigw_key_store_set(store, txn, digest ? digest : old, rec);
}


int
ngx_apigw_key_store_delete(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id)
{
    int     rc;
    u_char  digest[NGX_APIGW_KEY_DIGEST];

    rc = ngx_apigw_key_store_digest(store, txn, id, digest);
    if (rc != 0) {
        return rc;
    }

    return ngx_apigw_key_store_remove(store, txn, id, digest);
}


/* A copy of the digest, since the pages of a writer move under it. */

static int
ngx_apigw_key_store_digest(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, u_char *digest)
{
    int                    rc;
    ngx_apigw_key_found_t  found;

    rc = ngx_apigw_key_store_get_id(store, txn, id, &found);

    if (rc == 0) {
        ngx_memcpy(digest, found.digest, NGX_APIGW_KEY_DIGEST);
    }

    return rc;
}


static int
ngx_apigw_key_store_set(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_record_t *rec)
{
    int                    rc;
    u_char                 buf[NGX_APIGW_KEY_RECORD_MAX + NGX_APIGW_KEY_SEAL];
    ssize_t                n;
    MDB_val                key, val;
    ngx_apigw_key_index_t  index;

    n = ngx_apigw_key_record_encode(rec, buf, NGX_APIGW_KEY_RECORD_MAX);
    if (n == NGX_ERROR) {
        return EINVAL;
    }

    ngx_apigw_key_store_seal(buf + n, digest, buf, n);

    key.mv_size = NGX_APIGW_KEY_DIGEST;
    key.mv_data = (void *) digest;
    val.mv_size = n + NGX_APIGW_KEY_SEAL;
    val.mv_data = buf;

    rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS), &key,
                 &val, MDB_NOOVERWRITE);
    if (rc != 0) {
        return rc;
    }

    val.mv_size = NGX_APIGW_KEY_DIGEST;
    val.mv_data = (void *) digest;

    rc = ngx_apigw_key_store_id(&key, &rec->id);
    if (rc != 0) {
        return rc;
    }

    rc = mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_IDS), &key,
                 &val, MDB_NOOVERWRITE);
    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_key_store_index(&index, &rec->consumer, &rec->id);
    if (rc != 0) {
        return rc;
    }

    return mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_CONSUMERS),
                   &index.key, &val, 0);
}


/* A key whose record cannot be read has to be removable all the same. */

static int
ngx_apigw_key_store_remove(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, const u_char *digest)
{
    int                     rc;
    MDB_val                 key;
    ngx_apigw_key_found_t   found;
    ngx_apigw_key_index_t   index;
    ngx_apigw_key_record_t  rec;

    rc = ngx_apigw_key_store_get(store, txn, digest, &found);
    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_key_store_record(&found, &rec);

    if (rc == 0) {
        rc = ngx_apigw_key_store_index(&index, &rec.consumer, id);

    } else {
        rc = ngx_apigw_key_store_search(store, txn, digest, &index);
    }

    if (rc == 0) {
        rc = mdb_del(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_CONSUMERS),
                     &index.key, NULL);
    }

    if (rc != 0 && rc != MDB_NOTFOUND) {
        return rc;
    }

    rc = ngx_apigw_key_store_id(&key, id);
    if (rc != 0) {
        return rc;
    }

    rc = mdb_del(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_IDS), &key,
                 NULL);
    if (rc != 0) {
        return rc;
    }

    key.mv_size = NGX_APIGW_KEY_DIGEST;
    key.mv_data = (void *) digest;

    return mdb_del(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS), &key,
                   NULL);
}


/* Finds the consumer's entry of a key by walking over all of them. */

static int
ngx_apigw_key_store_search(ngx_apigw_store_t *store, MDB_txn *txn,
    const u_char *digest, ngx_apigw_key_index_t *index)
{
    int          rc;
    MDB_val      key, val;
    MDB_cursor  *cursor;

    rc = mdb_cursor_open(txn, ngx_apigw_store_db(store,
                                                 NGX_APIGW_KEY_DB_CONSUMERS),
                         &cursor);
    if (rc != 0) {
        return rc;
    }

    while ((rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) == 0) {

        if (val.mv_size == NGX_APIGW_KEY_DIGEST
            && ngx_memcmp(val.mv_data, digest, NGX_APIGW_KEY_DIGEST) == 0
            && key.mv_size <= NGX_APIGW_KEY_INDEX_MAX)
        {
            ngx_memcpy(index->data, key.mv_data, key.mv_size);
            index->key.mv_size = key.mv_size;
            index->key.mv_data = index->data;
            break;
        }
    }

    mdb_cursor_close(cursor);

    return rc;
}


static int
ngx_apigw_key_store_index(ngx_apigw_key_index_t *index,
    const ngx_str_t *consumer, const ngx_str_t *id)
{
    if (consumer->len == 0 || consumer->len > NGX_APIGW_KEY_CONSUMER_MAX
        || id->len > NGX_APIGW_KEY_ID_MAX)
    {
        return EINVAL;
    }

    ngx_memcpy(index->data, consumer->data, consumer->len);
    index->data[consumer->len] = '\0';

    if (id->len) {
        ngx_memcpy(index->data + consumer->len + 1, id->data, id->len);
    }

    index->key.mv_size = consumer->len + 1 + id->len;
    index->key.mv_data = index->data;

    return 0;
}


static int
ngx_apigw_key_store_id(MDB_val *key, const ngx_str_t *id)
{
    if (id->len == 0 || id->len > NGX_APIGW_KEY_ID_MAX) {
        return EINVAL;
    }

    key->mv_size = id->len;
    key->mv_data = id->data;

    return 0;
}


int
ngx_apigw_key_store_each(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *consumer, const ngx_str_t *after,
    ngx_apigw_key_each_pt each, void *data)
{
    int          rc;
    MDB_dbi      db;
    MDB_cursor  *cursor;

    db = ngx_apigw_store_db(store, consumer ? NGX_APIGW_KEY_DB_CONSUMERS
                                            : NGX_APIGW_KEY_DB_IDS);

    rc = mdb_cursor_open(txn, db, &cursor);
    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_key_store_walk(store, txn, cursor, consumer, after, each,
                                  data);
    mdb_cursor_close(cursor);

    return rc;
}


static int
ngx_apigw_key_store_walk(ngx_apigw_store_t *store, MDB_txn *txn,
    MDB_cursor *cursor, const ngx_str_t *consumer, const ngx_str_t *after,
    ngx_apigw_key_each_pt each, void *data)
{
    int                     rc;
    size_t                  prefix;
    MDB_val                 key, val, start;
    ngx_str_t               id;
    ngx_apigw_key_found_t   found;
    ngx_apigw_key_index_t   index;

    ngx_str_null(&id);

    if (after) {
        id = *after;
    }

    if (consumer) {
        rc = ngx_apigw_key_store_index(&index, consumer, &id);
        if (rc != 0) {
            return rc;
        }

        start = index.key;
        prefix = consumer->len + 1;

    } else {
        start.mv_size = id.len;
        start.mv_data = id.data;
        prefix = 0;
    }

    key = start;

    rc = mdb_cursor_get(cursor, &key, &val,
                        start.mv_size ? MDB_SET_RANGE : MDB_FIRST);

    for ( /* void */ ;
         rc == 0;
         rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT))
    {
        if (prefix && (key.mv_size < prefix
                       || ngx_memcmp(key.mv_data, index.data, prefix) != 0))
        {
            return 0;
        }

        if (after && key.mv_size == start.mv_size
            && ngx_memcmp(key.mv_data, start.mv_data, start.mv_size) == 0)
        {
            continue;
        }

        if (val.mv_size != NGX_APIGW_KEY_DIGEST) {
            return NGX_APIGW_KEY_STORE_EBROKEN;
        }

        rc = ngx_apigw_key_store_get(store, txn, val.mv_data, &found);
        if (rc != 0) {
            return (rc == MDB_NOTFOUND) ? NGX_APIGW_KEY_STORE_EBROKEN : rc;
        }

        rc = each(data, &found);
        if (rc != 0) {
            return rc;
        }
    }

    return (rc == MDB_NOTFOUND) ? 0 : rc;
}


int
ngx_apigw_key_store_count(ngx_apigw_store_t *store, MDB_txn *txn, size_t *n)
{
    int       rc;
    MDB_stat  st;

    rc = mdb_stat(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_KEYS), &st);

    if (rc == 0) {
        *n = st.ms_entries;
    }

    return rc;
}


int
ngx_apigw_key_used_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, ngx_apigw_key_used_t *used)
{
    int      rc;
    MDB_val  key, val;

    rc = ngx_apigw_key_store_id(&key, id);
    if (rc != 0) {
        return rc;
    }

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_USED), &key,
                 &val);
    if (rc != 0) {
        return rc;
    }

    if (val.mv_size != sizeof(ngx_apigw_key_used_t)) {
        return NGX_APIGW_KEY_STORE_EBROKEN;
    }

    ngx_memcpy(used, val.mv_data, sizeof(ngx_apigw_key_used_t));

    return 0;
}


int
ngx_apigw_key_used_add(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id, uint64_t last, uint64_t count)
{
    int                   rc;
    MDB_val               key, val;
    ngx_apigw_key_used_t  used;

    rc = ngx_apigw_key_used_get(store, txn, id, &used);

    if (rc == MDB_NOTFOUND || rc == NGX_APIGW_KEY_STORE_EBROKEN) {
        used.first = last;
        used.last = last;
        used.count = 0;

    } else if (rc != 0) {
        return rc;
    }

    used.last = ngx_max(used.last, last);
    used.count += count;

    rc = ngx_apigw_key_store_id(&key, id);
    if (rc != 0) {
        return rc;
    }

    val.mv_size = sizeof(ngx_apigw_key_used_t);
    val.mv_data = &used;

    return mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_USED), &key,
                   &val, 0);
}


int
ngx_apigw_key_used_delete(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *id)
{
    int      rc;
    MDB_val  key;

    rc = ngx_apigw_key_store_id(&key, id);
    if (rc != 0) {
        return rc;
    }

    return mdb_del(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_USED), &key,
                   NULL);
}


int
ngx_apigw_key_used_each(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_apigw_key_used_each_pt each, void *data)
{
    int                   rc;
    MDB_val               key, val;
    ngx_str_t             id;
    MDB_cursor           *cursor;
    ngx_apigw_key_used_t  used;

    rc = mdb_cursor_open(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_USED),
                         &cursor);
    if (rc != 0) {
        return rc;
    }

    while ((rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) == 0) {

        if (val.mv_size != sizeof(ngx_apigw_key_used_t)) {
            continue;
        }

        ngx_memcpy(&used, val.mv_data, sizeof(ngx_apigw_key_used_t));

        id.len = key.mv_size;
        id.data = key.mv_data;

        rc = each(data, &id, &used);
        if (rc != 0) {
            break;
        }
    }

    mdb_cursor_close(cursor);

    return (rc == MDB_NOTFOUND) ? 0 : rc;
}


int
ngx_apigw_key_used_mark(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_hash_key_t *name, uint64_t number, uint64_t now)
{
    int                        rc;
    MDB_val                    key, val;
    ngx_apigw_key_mark_t       mark;
    ngx_apigw_key_mark_name_t  buf;

    if (number == 1) {
        rc = ngx_apigw_key_store_old_marks(store, txn, now);

        if (rc != 0) {
            return rc;
        }
    }

    mark.number = number;
    mark.time = now;

    ngx_apigw_key_store_mark(&buf, &key, name);

    val.mv_size = sizeof(ngx_apigw_key_mark_t);
    val.mv_data = &mark;

    return mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_USED), &key,
                   &val, 0);
}


int
ngx_apigw_key_used_marked(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_hash_key_t *name, uint64_t *number)
{
    int                        rc;
    MDB_val                    key, val;
    ngx_apigw_key_mark_t       mark;
    ngx_apigw_key_mark_name_t  buf;

    ngx_apigw_key_store_mark(&buf, &key, name);

    rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_USED), &key,
                 &val);
    if (rc != 0) {
        return rc;
    }

    if (val.mv_size != sizeof(ngx_apigw_key_mark_t)) {
        return NGX_APIGW_KEY_STORE_EBROKEN;
    }

    ngx_memcpy(&mark, val.mv_data, sizeof(ngx_apigw_key_mark_t));

    *number = mark.number;

    return 0;
}


static void
ngx_apigw_key_store_mark(ngx_apigw_key_mark_name_t *mark, MDB_val *key,
    const ngx_apigw_hash_key_t *name)
{
    mark->zero = 0;
    ngx_memcpy(mark->name, name, sizeof(ngx_apigw_hash_key_t));

    key->mv_size = sizeof(ngx_apigw_key_mark_name_t);
    key->mv_data = mark;
}


/* Those of zones that are gone; a zone that is there writes its own anew. */

static int
ngx_apigw_key_store_old_marks(ngx_apigw_store_t *store, MDB_txn *txn,
    uint64_t now)
{
    int                    rc;
    MDB_val                key, val;
    MDB_cursor            *cursor;
    ngx_apigw_key_mark_t   mark;

    rc = mdb_cursor_open(txn, ngx_apigw_store_db(store, NGX_APIGW_KEY_DB_USED),
                         &cursor);
    if (rc != 0) {
        return rc;
    }

    /* they come first */

    while ((rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) == 0
           && key.mv_size == sizeof(ngx_apigw_key_mark_name_t)
           && *(u_char *) key.mv_data == 0
           && val.mv_size == sizeof(ngx_apigw_key_mark_t))
    {
        ngx_memcpy(&mark, val.mv_data, sizeof(ngx_apigw_key_mark_t));

        if (mark.time + NGX_APIGW_KEY_MARK_FORGET < now) {
            rc = mdb_cursor_del(cursor, 0);

            if (rc != 0) {
                break;
            }
        }
    }

    mdb_cursor_close(cursor);

    return (rc == MDB_NOTFOUND) ? 0 : rc;
}


const char *
ngx_apigw_key_store_strerror(int rc)
{
    switch (rc) {

    case NGX_APIGW_KEY_STORE_EBROKEN:
        return "a record is damaged, restore a copy, or revoke the key and "
               "import it again";

    case NGX_APIGW_KEY_STORE_ELATER:
        return "the key was written by a later version";

    case MDB_NOTFOUND:
        return "no such key";

    case MDB_KEYEXIST:
        return "there is such a key already";

    default:
        return ngx_apigw_store_strerror(rc);
    }
}
