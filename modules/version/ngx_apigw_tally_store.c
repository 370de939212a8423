/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_reap.h"
#include "ngx_apigw_tally.h"


/*
 * Who writes: the helper, an exiting worker, the exiting master, several of
 * them at once.  An entry is read from the table inside the write transaction,
 * so a later transaction never writes an older number.
 */


static int ngx_apigw_tally_flush_write(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static int ngx_apigw_tally_put(ngx_apigw_tally_flush_t *flush, MDB_txn *txn,
    MDB_dbi dbi, const ngx_apigw_tally_info_t *info,
    const ngx_apigw_tally_note_t *note);
static int ngx_apigw_tally_merge(ngx_apigw_tally_flush_t *flush,
    ngx_apigw_tally_record_t *record, const ngx_apigw_tally_note_t *note);
static ngx_apigw_reap_e ngx_apigw_tally_expired(const MDB_val *key,
    uint64_t day);
static uint32_t ngx_apigw_tally_key_day(const u_char *p);
static int ngx_apigw_tally_cursor(ngx_apigw_store_t *store, ngx_uint_t db,
    MDB_cursor **cursor);


const ngx_apigw_store_kind_t  ngx_apigw_tally_kind = {
    "apigw-versions 1", { "calls", "versions", NULL }, 0
};


size_t
ngx_apigw_tally_key(u_char *key, const ngx_apigw_tally_info_t *info)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    p = key;

    for (i = 0; i < 4; i++) {
        *p++ = (u_char) (info->day >> (24 - 8 * i));
    }

    *p++ = info->source;
    *p++ = info->api;
    *p++ = info->version;
    *p++ = info->caller;

    len = (size_t) info->api + info->version + info->caller;
    p = ngx_cpymem(p, info->names, len);

    return p - key;
}


ngx_int_t
ngx_apigw_tally_key_decode(ngx_apigw_tally_info_t *info, const MDB_val *key)
{
    u_char  *p;
    size_t   len;

    if (key->mv_size < 8) {
        return NGX_ERROR;
    }

    p = key->mv_data;

    ngx_memzero(info, sizeof(ngx_apigw_tally_info_t));

    info->day = ngx_apigw_tally_key_day(p);
    info->source = p[4];
    info->api = p[5];
    info->version = p[6];
    info->caller = p[7];

    len = (size_t) info->api + info->version + info->caller;

    if (len > NGX_APIGW_TALLY_NAME || key->mv_size != 8 + len) {
        return NGX_ERROR;
    }

    ngx_memcpy(info->names, p + 8, len);

    return NGX_OK;
}


static uint32_t
ngx_apigw_tally_key_day(const u_char *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


int
ngx_apigw_tally_decode(ngx_apigw_tally_record_t *record, const MDB_val *value)
{
    size_t  size;

    if (value->mv_size < sizeof(ngx_apigw_tally_head_t)) {
        return NGX_APIGW_STORE_EFORMAT;
    }

    ngx_memcpy(&record->head, value->mv_data, sizeof(ngx_apigw_tally_head_t));

    if (record->head.format != NGX_APIGW_TALLY_FORMAT
        || record->head.parts > NGX_APIGW_TALLY_PARTS
        || record->head.last >= NGX_APIGW_TALLY_DAY)
    {
        return NGX_APIGW_STORE_EFORMAT;
    }

    size = record->head.parts * sizeof(ngx_apigw_tally_part_t);

    if (value->mv_size != sizeof(ngx_apigw_tally_head_t) + size) {
        return NGX_APIGW_STORE_EFORMAT;
    }

    ngx_memcpy(record->part,
               (u_char *) value->mv_data + sizeof(ngx_apigw_tally_head_t),
               size);

    return 0;
}


int
ngx_apigw_tally_flush(ngx_apigw_tally_flush_t *flush,
    ngx_apigw_tally_mark_pt mark, void *data)
{
    int         rc;
    ngx_uint_t  i, n, last;

    if (flush->cursor == 0) {
        flush->used = 0;
    }

    n = (ngx_uint_t) flush->table->sets * NGX_APIGW_TALLY_WAYS;
    last = ngx_min(flush->cursor + NGX_APIGW_TALLY_SCAN, n);

    /* no transaction for a clean table */

    for (i = flush->cursor; i < last; i++) {

        if (flush->table->pairs[i].value & NGX_APIGW_TALLY_DIRTY) {
            break;
        }

        flush->used += (flush->table->pairs[i].tag != 0);
    }

    flush->cursor = i;

    if (i < last) {
        rc = ngx_apigw_store_write(flush->store, ngx_apigw_tally_flush_write,
                                   flush);

        if (rc != 0) {
            flush->cursor = 0;
            return rc;
        }

        for (i = 0; i < flush->n; i++) {
            mark(data, &flush->notes[i]);
        }

        for (i = flush->cursor; i < flush->next; i++) {
            flush->used += (flush->table->pairs[i].tag != 0);
        }

        flush->written += flush->n;
        flush->cursor = flush->next;
    }

    if (flush->cursor < n) {
        return EAGAIN;
    }

    flush->cursor = 0;

    return 0;
}


/* May be called again for a transaction that did not fit into the map. */

static int
ngx_apigw_tally_flush_write(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_tally_flush_t  *flush = data;

    int                       rc;
    MDB_dbi                   dbi;
    ngx_uint_t                i, n, last;
    ngx_apigw_tally_info_t    info;
    ngx_apigw_tally_note_t   *note;

    dbi = ngx_apigw_store_db(store, NGX_APIGW_TALLY_DB_CALLS);

    n = (ngx_uint_t) flush->table->sets * NGX_APIGW_TALLY_WAYS;
    last = ngx_min(flush->cursor + NGX_APIGW_TALLY_SCAN, n);

    flush->n = 0;

    for (i = flush->cursor;
         i < last && flush->n < NGX_APIGW_TALLY_BATCH;
         i++)
    {
        note = &flush->notes[flush->n];

        if (ngx_apigw_tally_dirty(flush->table, i, note, &info) != NGX_OK) {
            continue;
        }

        rc = ngx_apigw_tally_put(flush, txn, dbi, &info, note);

        if (rc == E2BIG) {

            /* too many instances are alive: it stays dirty */

            flush->damaged++;
            continue;
        }

        if (rc != 0) {
            return rc;
        }

        flush->n++;
    }

    flush->next = i;

    return 0;
}


static int
ngx_apigw_tally_put(ngx_apigw_tally_flush_t *flush, MDB_txn *txn, MDB_dbi dbi,
    const ngx_apigw_tally_info_t *info, const ngx_apigw_tally_note_t *note)
{
    int                        rc;
    u_char                     name[NGX_APIGW_TALLY_KEY_MAX];
    MDB_val                    key, value;
    ngx_apigw_tally_record_t   record;

    key.mv_data = name;
    key.mv_size = ngx_apigw_tally_key(name, info);

    rc = mdb_get(txn, dbi, &key, &value);

    if (rc != 0 && rc != MDB_NOTFOUND) {
        return rc;
    }

    if (rc == MDB_NOTFOUND || ngx_apigw_tally_decode(&record, &value) != 0) {

        /* one that cannot be read stops nobody: it counts as none */

        flush->damaged += (rc == 0);

        ngx_memzero(&record.head, sizeof(ngx_apigw_tally_head_t));
        record.head.format = NGX_APIGW_TALLY_FORMAT;
    }

    rc = ngx_apigw_tally_merge(flush, &record, note);

    if (rc != 0) {
        return rc;
    }

    value.mv_data = &record;
    value.mv_size = sizeof(ngx_apigw_tally_head_t)
                    + record.head.parts * sizeof(ngx_apigw_tally_part_t);

    return mdb_put(txn, dbi, &key, &value, 0);
}


/*
 * Sets this instance's part.  Those of dead instances become one, so a record
 * has no more parts than there are instances alive, and two.
 */

static int
ngx_apigw_tally_merge(ngx_apigw_tally_flush_t *flush,
    ngx_apigw_tally_record_t *record, const ngx_apigw_tally_note_t *note)
{
    uint32_t                 last;
    uint64_t                 calls;
    ngx_uint_t               i, n;
    ngx_apigw_tally_part_t   own, dead, *part;

    ngx_memzero(&own, sizeof(ngx_apigw_tally_part_t));
    ngx_memzero(&dead, sizeof(ngx_apigw_tally_part_t));

    n = 0;

    for (i = 0; i < record->head.parts; i++) {
        part = &record->part[i];

        if (part->id == flush->instance) {
            own = *part;
            continue;
        }

        if (part->id == 0
            || ngx_apigw_instance_dead(&flush->dead, flush->directory,
                                       part->id))
        {
            dead.past += part->calls + part->past;
            continue;
        }

        record->part[n++] = *part;
    }

    if (n + 2 > NGX_APIGW_TALLY_PARTS) {
        return E2BIG;
    }

    if (dead.past) {
        record->part[n++] = dead;
    }

    calls = note->value & NGX_APIGW_TALLY_CALLS;

    last = (uint32_t) ((note->value & ~NGX_APIGW_TALLY_DIRTY)
                       >> NGX_APIGW_TALLY_SHIFT);
    last = ngx_min(last, NGX_APIGW_TALLY_DAY - 1);

    if (own.life != note->life) {

        /* evicted since; it was clean then, so all of it is here */

        own.past += own.calls;
    }

    own.id = flush->instance;
    own.life = note->life;
    own.calls = calls;

    record->part[n++] = own;

    record->head.parts = n;
    record->head.last = ngx_max(record->head.last, last);

    return 0;
}


int
ngx_apigw_tally_reap(ngx_apigw_store_t *store, uint32_t day)
{
    ngx_apigw_reap_t  reap;

    reap.db = NGX_APIGW_TALLY_DB_CALLS;
    reap.most = NGX_APIGW_TALLY_REAP;
    reap.time = day;
    reap.judge = ngx_apigw_tally_expired;
    reap.aside = NULL;
    reap.tell = NULL;

    return ngx_apigw_reap(store, &reap);
}


/* What is no key of ours is in nobody's way once it is gone. */

static ngx_apigw_reap_e
ngx_apigw_tally_expired(const MDB_val *key, uint64_t day)
{
    return key->mv_size < 4 || ngx_apigw_tally_key_day(key->mv_data) < day
           ? NGX_APIGW_REAP_EXPIRED : NGX_APIGW_REAP_KEEP;
}


int
ngx_apigw_tally_put_version(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_str_t *api, const ngx_str_t *label,
    const ngx_apigw_tally_version_t *version)
{
    u_char    name[1 + 2 * NGX_APIGW_TALLY_LABEL], *p;
    MDB_val   key, value;

    if (api->len > NGX_APIGW_TALLY_LABEL
        || label->len > NGX_APIGW_TALLY_LABEL)
    {
        return EINVAL;
    }

    p = name;
    *p++ = (u_char) api->len;
    p = ngx_cpymem(p, api->data, api->len);
    p = ngx_cpymem(p, label->data, label->len);

    key.mv_data = name;
    key.mv_size = p - name;

    value.mv_data = (void *) version;
    value.mv_size = sizeof(ngx_apigw_tally_version_t);

    return mdb_put(txn, ngx_apigw_store_db(store,
                                           NGX_APIGW_TALLY_DB_VERSIONS),
                   &key, &value, 0);
}


ngx_int_t
ngx_apigw_tally_version_decode(ngx_str_t *api, ngx_str_t *label,
    ngx_apigw_tally_version_t *version, const MDB_val *key,
    const MDB_val *value)
{
    u_char  *p;

    p = key->mv_data;

    if (key->mv_size < 1
        || p[0] > key->mv_size - 1
        || p[0] > NGX_APIGW_TALLY_LABEL
        || key->mv_size - 1 - p[0] > NGX_APIGW_TALLY_LABEL
        || value->mv_size != sizeof(ngx_apigw_tally_version_t))
    {
        return NGX_ERROR;
    }

    api->data = p + 1;
    api->len = p[0];

    label->data = p + 1 + api->len;
    label->len = key->mv_size - 1 - api->len;

    ngx_memcpy(version, value->mv_data, sizeof(ngx_apigw_tally_version_t));

    if (version->format != NGX_APIGW_TALLY_FORMAT
        || version->successor > NGX_APIGW_TALLY_LABEL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* To be closed together with the read transaction, if 0 is returned. */

static int
ngx_apigw_tally_cursor(ngx_apigw_store_t *store, ngx_uint_t db,
    MDB_cursor **cursor)
{
    int       rc;
    MDB_txn  *txn;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc != 0) {
        return rc;
    }

    rc = mdb_cursor_open(txn, ngx_apigw_store_db(store, db), cursor);

    if (rc != 0) {
        ngx_apigw_store_read_end(store);
    }

    return rc;
}


int
ngx_apigw_tally_walk(ngx_apigw_store_t *store, uint32_t from, uint32_t to,
    ngx_apigw_tally_walk_pt entry, void *data)
{
    int                        rc;
    u_char                     first[4];
    MDB_val                    key, value;
    uint64_t                   calls;
    MDB_cursor                *cursor;
    ngx_uint_t                 i;
    MDB_cursor_op              op;
    ngx_apigw_tally_info_t     info;
    ngx_apigw_tally_record_t   record;

    rc = ngx_apigw_tally_cursor(store, NGX_APIGW_TALLY_DB_CALLS, &cursor);

    if (rc != 0) {
        return rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
    }

    for (i = 0; i < 4; i++) {
        first[i] = (u_char) (from >> (24 - 8 * i));
    }

    key.mv_data = first;
    key.mv_size = 4;

    for (op = MDB_SET_RANGE; /* void */ ; op = MDB_NEXT) {

        rc = mdb_cursor_get(cursor, &key, &value, op);

        if (rc != 0) {
            break;
        }

        if (ngx_apigw_tally_key_decode(&info, &key) != NGX_OK
            || ngx_apigw_tally_decode(&record, &value) != 0)
        {
            continue;
        }

        if (info.day > to) {
            break;
        }

        calls = 0;

        for (i = 0; i < record.head.parts; i++) {
            calls += record.part[i].calls + record.part[i].past;
        }

        rc = entry(data, &info, calls, record.head.last);

        if (rc != 0) {
            break;
        }
    }

    mdb_cursor_close(cursor);
    ngx_apigw_store_read_end(store);

    return rc == MDB_NOTFOUND ? 0 : rc;
}


int
ngx_apigw_tally_walk_versions(ngx_apigw_store_t *store,
    ngx_apigw_tally_version_pt version, void *data)
{
    int                         rc;
    MDB_val                     key, value;
    ngx_str_t                   api, label;
    MDB_cursor                 *cursor;
    ngx_apigw_tally_version_t   v;

    rc = ngx_apigw_tally_cursor(store, NGX_APIGW_TALLY_DB_VERSIONS, &cursor);

    if (rc != 0) {
        return rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
    }

    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {

        if (ngx_apigw_tally_version_decode(&api, &label, &v, &key, &value)
            != NGX_OK)
        {
            continue;
        }

        rc = version(data, &api, &label, &v);

        if (rc != 0) {
            break;
        }
    }

    mdb_cursor_close(cursor);
    ngx_apigw_store_read_end(store);

    return rc == MDB_NOTFOUND ? 0 : rc;
}
