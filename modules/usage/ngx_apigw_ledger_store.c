/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_ledger.h"
#include "ngx_apigw_reap.h"
#include "ngx_apigw_usage_store.h"


/* The ledger's way to the store and back; see ngx_apigw_usage_store.c. */


#define NGX_APIGW_LEDGER_KEPT  "kept"    /* in the store's meta: a day */


static int ngx_apigw_ledger_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_ledger_info_t *info, ngx_apigw_ledger_record_t *record);
static int ngx_apigw_ledger_look(ngx_apigw_store_t *store,
    const ngx_apigw_ledger_info_t *info, ngx_apigw_ledger_record_t *record);
static int ngx_apigw_ledger_flush_write(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static ngx_int_t ngx_apigw_ledger_copy(ngx_apigw_ledger_table_t *table,
    ngx_uint_t slot, ngx_apigw_ledger_info_t *info,
    ngx_apigw_ledger_note_t *note, ngx_uint_t *missing);
static int ngx_apigw_ledger_put(ngx_apigw_ledger_flush_t *flush, MDB_txn *txn,
    MDB_dbi dbi, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_note_t *note, ngx_uint_t missing);
static int ngx_apigw_ledger_merge(ngx_apigw_ledger_flush_t *flush,
    ngx_apigw_ledger_record_t *record, const ngx_apigw_ledger_note_t *note,
    ngx_uint_t missing);
static void ngx_apigw_ledger_flushed(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_ledger_note_t *note);
static ngx_apigw_reap_e ngx_apigw_ledger_expired(const MDB_val *key,
    uint64_t day);
static int ngx_apigw_ledger_gone(MDB_txn *txn, const MDB_val *key);


size_t
ngx_apigw_ledger_key(u_char *key, const ngx_apigw_ledger_info_t *info)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    p = key;
    len = 0;

    for (i = 0; i < 4; i++) {
        *p++ = (u_char) (info->day >> (24 - 8 * i));
    }

    for (i = 0; i < NGX_APIGW_LEDGER_NAMES; i++) {
        *p++ = info->lens[i];
        len += info->lens[i];
    }

    p = ngx_cpymem(p, info->names, len);

    return p - key;
}


ngx_int_t
ngx_apigw_ledger_key_decode(ngx_apigw_ledger_info_t *info, const MDB_val *key)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    if (key->mv_size < 4 + NGX_APIGW_LEDGER_NAMES) {
        return NGX_ERROR;
    }

    p = key->mv_data;
    len = 0;

    ngx_memzero(info, sizeof(ngx_apigw_ledger_info_t));

    info->day = (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
                | (uint32_t) p[2] << 8 | p[3];
    p += 4;

    for (i = 0; i < NGX_APIGW_LEDGER_NAMES; i++) {
        info->lens[i] = *p++;
        len += info->lens[i];
    }

    if (len > NGX_APIGW_LEDGER_NAME
        || key->mv_size != 4 + NGX_APIGW_LEDGER_NAMES + len)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(info->names, p, len);

    return NGX_OK;
}


int
ngx_apigw_ledger_decode(ngx_apigw_ledger_record_t *record,
    const MDB_val *value)
{
    size_t  size;

    if (value->mv_size < sizeof(ngx_apigw_ledger_head_t)) {
        return NGX_APIGW_STORE_EFORMAT;
    }

    ngx_memcpy(&record->head, value->mv_data, sizeof(ngx_apigw_ledger_head_t));

    if (record->head.version != NGX_APIGW_LEDGER_VERSION
        || record->head.parts > NGX_APIGW_LEDGER_PARTS)
    {
        return NGX_APIGW_STORE_EFORMAT;
    }

    size = record->head.parts * sizeof(ngx_apigw_ledger_part_t);

    if (value->mv_size != sizeof(ngx_apigw_ledger_head_t) + size) {
        return NGX_APIGW_STORE_EFORMAT;
    }

    ngx_memcpy(record->part,
               (u_char *) value->mv_data + sizeof(ngx_apigw_ledger_head_t),
               size);

    return 0;
}


void
ngx_apigw_ledger_sum(const ngx_apigw_ledger_record_t *record,
    ngx_apigw_ledger_row_t *row)
{
    ngx_uint_t  i, n;

    ngx_memzero(row, sizeof(ngx_apigw_ledger_row_t));

    for (n = 0; n < record->head.parts; n++) {
        for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++) {
            row->n[i] += record->part[n].row.n[i];
        }
    }
}


/* Without a transaction of LMDB the store is being looked at. */

static int
ngx_apigw_ledger_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_ledger_info_t *info, ngx_apigw_ledger_record_t *record)
{
    int        rc;
    u_char     name[NGX_APIGW_LEDGER_MAX];
    MDB_val    key, value;
    ngx_str_t  found;

    key.mv_data = name;
    key.mv_size = ngx_apigw_ledger_key(name, info);

    if (txn) {
        rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_LEDGER),
                     &key, &value);

    } else {
        rc = ngx_apigw_store_get(store, NGX_APIGW_USAGE_LEDGER, name,
                                 key.mv_size, &found);

        value.mv_data = found.data;
        value.mv_size = found.len;
    }

    if (rc == MDB_NOTFOUND) {
        record->head.version = NGX_APIGW_LEDGER_VERSION;
        record->head.parts = 0;
        return 0;
    }

    if (rc == 0 && ngx_apigw_ledger_decode(record, &value) != 0) {
        return NGX_APIGW_USAGE_EDAMAGED;
    }

    return rc;
}


int
ngx_apigw_ledger_load(ngx_apigw_store_t *store, uint64_t instance,
    const ngx_apigw_ledger_info_t *info, ngx_apigw_ledger_row_t *own)
{
    int                         rc;
    ngx_uint_t                  i;
    ngx_apigw_ledger_record_t   record;

    ngx_memzero(own, sizeof(ngx_apigw_ledger_row_t));

    rc = EAGAIN;

    for (i = 0; i < NGX_APIGW_STORE_LOOKS && rc == EAGAIN; i++) {
        rc = ngx_apigw_ledger_look(store, info, &record);
    }

    if (rc != 0) {
        return rc == EAGAIN ? NGX_APIGW_STORE_EMOVED
                            : rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
    }

    for (i = 0; i < record.head.parts; i++) {
        if (record.part[i].id == instance) {
            *own = record.part[i].row;
            break;
        }
    }

    return 0;
}


static int
ngx_apigw_ledger_look(ngx_apigw_store_t *store,
    const ngx_apigw_ledger_info_t *info, ngx_apigw_ledger_record_t *record)
{
    int       rc;
    uint64_t  version;

    rc = ngx_apigw_store_look(store, &version);

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_ledger_get(store, NULL, info, record);

    if (rc == 0) {
        rc = ngx_apigw_store_whole(store);
    }

    return (ngx_apigw_store_look_end(store) == 0) ? rc : EAGAIN;
}


int
ngx_apigw_ledger_flush(ngx_apigw_ledger_flush_t *flush)
{
    int         rc;
    ngx_uint_t  i, n, last;

    n = (ngx_uint_t) flush->table->sets * NGX_APIGW_LEDGER_WAYS;
    last = ngx_min(flush->cursor + NGX_APIGW_LEDGER_SCAN, n);

    for (i = flush->cursor; i < last; i++) {
        if (ngx_apigw_ledger_unwritten(flush->table, i)) {
            break;
        }
    }

    flush->cursor = i;

    if (i < last) {
        rc = ngx_apigw_store_write(flush->store, ngx_apigw_ledger_flush_write,
                                   flush);

        if (rc != 0) {
            flush->cursor = 0;
            return rc;
        }

        for (i = 0; i < flush->n; i++) {
            ngx_apigw_ledger_flushed(flush->table, &flush->notes[i]);
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


static int
ngx_apigw_ledger_flush_write(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data)
{
    ngx_apigw_ledger_flush_t *flush = data;

    int                       rc;
    MDB_dbi                   dbi;
    ngx_uint_t                i, n, last, missing;
    ngx_apigw_ledger_info_t   info;

    dbi = ngx_apigw_store_db(store, NGX_APIGW_USAGE_LEDGER);

    n = (ngx_uint_t) flush->table->sets * NGX_APIGW_LEDGER_WAYS;
    last = ngx_min(flush->cursor + NGX_APIGW_LEDGER_SCAN, n);

    flush->n = 0;

    for (i = flush->cursor;
         i < last && flush->n < NGX_APIGW_LEDGER_BATCH;
         i++)
    {
        if (!ngx_apigw_ledger_unwritten(flush->table, i)
            || ngx_apigw_ledger_copy(flush->table, i, &info,
                                     &flush->notes[flush->n], &missing)
               != NGX_OK)
        {
            continue;
        }

        rc = ngx_apigw_ledger_put(flush, txn, dbi, &info,
                                  &flush->notes[flush->n], missing);

        if (rc == NGX_APIGW_USAGE_EPARTS || rc == NGX_APIGW_USAGE_EPAGE) {
            flush->damaged++;
            continue;
        }

        if (rc != 0) {
            return rc;
        }

        flush->n++;
    }

    flush->next = i;
    flush->committed = mdb_txn_id(txn);

    return 0;
}


/*
 * Numbers that have the tag in the entry's description belong to it, the
 * others are missing.  NGX_DECLINED if none of the former is dirty.
 */

static ngx_int_t
ngx_apigw_ledger_copy(ngx_apigw_ledger_table_t *table, ngx_uint_t slot,
    ngx_apigw_ledger_info_t *info, ngx_apigw_ledger_note_t *note,
    ngx_uint_t *missing)
{
    ngx_uint_t                  i, dirty;
    ngx_apigw_pair_t            pair;
    volatile ngx_apigw_pair_t  *counter;

    *info = table->entries[slot].info;

    if (info->tag == 0 || info->check != ngx_apigw_ledger_check(info)) {
        return NGX_DECLINED;
    }

    note->slot = slot;
    note->tag = info->tag;

    dirty = 0;
    *missing = 0;

    for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++) {
        counter = ngx_apigw_ledger_pair(table, slot, i);

        /* a swap for itself: both words as of one instant */

        do {
            pair = ngx_apigw_pair_get(counter);

        } while (!ngx_apigw_pair_cas(counter, &pair, pair));

        if (pair.tag != info->tag) {
            *missing |= (ngx_uint_t) 1 << i;
            note->row.n[i] = 0;
            continue;
        }

        note->row.n[i] = pair.value;
        dirty |= (pair.value & NGX_APIGW_COUNTER_DIRTY) != 0;
    }

    return dirty ? NGX_OK : NGX_DECLINED;
}


static int
ngx_apigw_ledger_put(ngx_apigw_ledger_flush_t *flush, MDB_txn *txn,
    MDB_dbi dbi, const ngx_apigw_ledger_info_t *info,
    const ngx_apigw_ledger_note_t *note, ngx_uint_t missing)
{
    int                        rc;
    u_char                     name[NGX_APIGW_LEDGER_MAX];
    MDB_val                    key, value;
    ngx_apigw_ledger_record_t  record;

    key.mv_data = name;
    key.mv_size = ngx_apigw_ledger_key(name, info);

    rc = ngx_apigw_store_writable(flush->store, txn, NGX_APIGW_USAGE_LEDGER,
                                  &key);
    if (rc != 0) {
        return rc == MDB_CORRUPTED ? NGX_APIGW_USAGE_EPAGE : rc;
    }

    rc = ngx_apigw_ledger_get(flush->store, txn, info, &record);

    if (rc == NGX_APIGW_USAGE_EDAMAGED) {
        flush->damaged++;

        record.head.version = NGX_APIGW_LEDGER_VERSION;
        record.head.parts = 0;

        rc = ngx_apigw_usage_set_aside(flush->store, txn,
                                       NGX_APIGW_USAGE_LEDGER, &key);
    }

    if (rc == 0) {
        rc = ngx_apigw_ledger_merge(flush, &record, note, missing);
    }

    if (rc != 0) {
        return rc;
    }

    value.mv_data = &record;
    value.mv_size = sizeof(ngx_apigw_ledger_head_t)
                    + record.head.parts * sizeof(ngx_apigw_ledger_part_t);

    return mdb_put(txn, dbi, &key, &value, 0);
}


/* Sets this instance's part and makes one of all that are dead. */

static int
ngx_apigw_ledger_merge(ngx_apigw_ledger_flush_t *flush,
    ngx_apigw_ledger_record_t *record, const ngx_apigw_ledger_note_t *note,
    ngx_uint_t missing)
{
    ngx_uint_t                i, k, n;
    ngx_apigw_ledger_row_t    own, past;
    ngx_apigw_ledger_part_t  *part;

    n = 0;

    ngx_memzero(&own, sizeof(ngx_apigw_ledger_row_t));
    ngx_memzero(&past, sizeof(ngx_apigw_ledger_row_t));

    for (i = 0; i < record->head.parts; i++) {
        part = &record->part[i];

        if (part->id == flush->instance) {
            own = part->row;
            continue;
        }

        if (part->id == 0
            || ngx_apigw_instance_dead(flush->dead, flush->directory,
                                       part->id))
        {
            for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
                past.n[k] += part->row.n[k];
            }

            continue;
        }

        record->part[n++] = *part;
    }

    if (n + 2 > NGX_APIGW_LEDGER_PARTS) {
        return NGX_APIGW_USAGE_EPARTS;
    }

    for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
        if (!(missing & ((ngx_uint_t) 1 << k))) {
            own.n[k] = ngx_apigw_ledger_number(note->row.n[k]);
        }
    }

    for (k = 0; k < NGX_APIGW_LEDGER_FIELDS; k++) {
        if (past.n[k]) {
            record->part[n].id = 0;
            record->part[n++].row = past;
            break;
        }
    }

    record->part[n].id = flush->instance;
    record->part[n++].row = own;

    record->head.parts = n;

    return 0;
}


static void
ngx_apigw_ledger_flushed(ngx_apigw_ledger_table_t *table,
    const ngx_apigw_ledger_note_t *note)
{
    ngx_uint_t        i;
    ngx_apigw_pair_t  expect, set;

    for (i = 0; i < NGX_APIGW_LEDGER_FIELDS; i++) {

        if (!(note->row.n[i] & NGX_APIGW_COUNTER_DIRTY)) {
            continue;
        }

        expect.tag = note->tag;
        expect.value = note->row.n[i];

        set.tag = note->tag;
        set.value = note->row.n[i] & NGX_APIGW_COUNTER_VALUE;

        (void) ngx_apigw_pair_cas(ngx_apigw_ledger_pair(table, note->slot, i),
                                  &expect, set);
    }
}


int
ngx_apigw_ledger_reap(ngx_apigw_ledger_flush_t *flush, uint32_t day)
{
    int               rc;
    ngx_apigw_reap_t  reap;

    reap.db = NGX_APIGW_USAGE_LEDGER;
    reap.most = NGX_APIGW_USAGE_REAP;
    reap.time = day;
    reap.judge = ngx_apigw_ledger_expired;
    reap.aside = ngx_apigw_usage_set_aside;
    reap.tell = ngx_apigw_ledger_gone;

    rc = ngx_apigw_reap(flush->store, &reap);

    flush->damaged += reap.damaged;

    return rc;
}


static ngx_apigw_reap_e
ngx_apigw_ledger_expired(const MDB_val *key, uint64_t day)
{
    ngx_apigw_ledger_info_t  info;

    if (ngx_apigw_ledger_day(key) >= day) {
        return NGX_APIGW_REAP_KEEP;
    }

    return ngx_apigw_ledger_key_decode(&info, key) == NGX_OK
           ? NGX_APIGW_REAP_EXPIRED : NGX_APIGW_REAP_DAMAGED;
}


/*
 * Who adds up days has to know which ones are not whole any more.  The day
 * that retention has come to does not tell it: a wrong clock would.
 */

static int
ngx_apigw_ledger_gone(MDB_txn *txn, const MDB_val *key)
{
    int         rc;
    u_char      data[4];
    MDB_dbi     dbi;
    MDB_val     name, value;
    uint32_t    day, kept;
    ngx_uint_t  i;

    rc = ngx_apigw_ledger_kept(txn, &kept);

    if (rc != 0) {
        return rc;
    }

    day = ngx_apigw_ledger_day(key) + 1;

    if (day <= kept) {
        return 0;
    }

    rc = mdb_dbi_open(txn, NGX_APIGW_STORE_META, 0, &dbi);

    if (rc != 0) {
        return rc;
    }

    for (i = 0; i < 4; i++) {
        data[i] = (u_char) (day >> (24 - 8 * i));
    }

    name.mv_data = (void *) NGX_APIGW_LEDGER_KEPT;
    name.mv_size = sizeof(NGX_APIGW_LEDGER_KEPT) - 1;
    value.mv_data = data;
    value.mv_size = sizeof(data);

    return mdb_put(txn, dbi, &name, &value, 0);
}


int
ngx_apigw_ledger_kept(MDB_txn *txn, uint32_t *day)
{
    int      rc;
    MDB_dbi  dbi;
    MDB_val  name, value;

    *day = 0;

    name.mv_data = (void *) NGX_APIGW_LEDGER_KEPT;
    name.mv_size = sizeof(NGX_APIGW_LEDGER_KEPT) - 1;

    rc = mdb_dbi_open(txn, NGX_APIGW_STORE_META, 0, &dbi);

    if (rc == 0) {
        rc = mdb_get(txn, dbi, &name, &value);
    }

    if (rc != 0) {
        return rc == MDB_NOTFOUND ? 0 : rc;
    }

    if (value.mv_size != 4) {
        return MDB_CORRUPTED;
    }

    *day = ngx_apigw_ledger_day(&value);

    return 0;
}


uint32_t
ngx_apigw_ledger_day(const MDB_val *key)
{
    u_char      *p;
    uint32_t     day;
    ngx_uint_t   i;

    p = key->mv_data;
    day = 0;

    for (i = 0; i < 4; i++) {
        day = day << 8 | (i < key->mv_size ? p[i] : 0);
    }

    return day;
}
