/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_reap.h"
#include "ngx_apigw_usage_store.h"


/*
 * Who writes: the helper, an exiting worker, the exiting master, the command
 * line, several of them at once.  A counter is read from the table inside the
 * write transaction, so a later transaction never writes an older number.
 */


static int ngx_apigw_usage_flush_write(ngx_apigw_store_t *store, MDB_txn *txn,
    void *data);
static int ngx_apigw_usage_put(ngx_apigw_usage_flush_t *flush, MDB_txn *txn,
    MDB_dbi dbi, const ngx_apigw_counter_info_t *info, uint64_t own);
static void ngx_apigw_usage_merge(ngx_apigw_usage_flush_t *flush,
    ngx_apigw_usage_record_t *record, uint64_t own);
static void ngx_apigw_usage_empty(const ngx_apigw_counter_info_t *info,
    ngx_apigw_usage_record_t *record);
static void ngx_apigw_usage_sum(const ngx_apigw_usage_record_t *record,
    uint64_t instance, ngx_apigw_counter_load_t *load);
static int ngx_apigw_usage_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_counter_info_t *info, ngx_apigw_usage_record_t *record,
    MDB_val *key);
static int ngx_apigw_usage_read(ngx_apigw_store_t *store, MDB_txn *txn,
    MDB_val *key, ngx_apigw_usage_record_t *record);
static int ngx_apigw_usage_look(ngx_apigw_store_t *store,
    const ngx_apigw_counter_info_t *info, ngx_apigw_usage_record_t *record,
    uint64_t *version);
static int ngx_apigw_usage_refresh_slots(ngx_apigw_usage_flush_t *flush,
    ngx_apigw_usage_refresh_pt refresh, void *data);
static ngx_apigw_reap_e ngx_apigw_usage_expired(const MDB_val *key,
    uint64_t time);


const ngx_apigw_store_kind_t  ngx_apigw_usage_kind = {
    "apigw-usage 1", { "counters", "ledger", "audit", "damaged", NULL },
    0
};


size_t
ngx_apigw_usage_key(u_char *key, const ngx_apigw_counter_info_t *info,
    ngx_uint_t start)
{
    u_char      *p;
    uint64_t     end;
    ngx_uint_t   i;

    p = key;
    end = info->end;

    for (i = 0; i < 8; i++) {
        *p++ = (u_char) (end >> (56 - 8 * i));
    }

    *p++ = info->kind;
    *p++ = (u_char) (info->flags | (start ? NGX_APIGW_USAGE_START : 0));
    *p++ = info->family;

    if (start) {
        for (i = 0; i < 4; i++) {
            *p++ = (u_char) (info->start >> (24 - 8 * i));
        }
    }

    p = ngx_cpymem(p, info->name, (size_t) info->family + info->consumer);

    return p - key;
}


int
ngx_apigw_usage_decode(ngx_apigw_usage_record_t *record, const MDB_val *value)
{
    size_t  size;

    if (value->mv_size < sizeof(ngx_apigw_usage_head_t)) {
        return NGX_APIGW_STORE_EFORMAT;
    }

    ngx_memcpy(&record->head, value->mv_data, sizeof(ngx_apigw_usage_head_t));

    if (record->head.version != NGX_APIGW_USAGE_VERSION
        || record->head.parts > NGX_APIGW_USAGE_PARTS)
    {
        return NGX_APIGW_STORE_EFORMAT;
    }

    size = record->head.parts * sizeof(ngx_apigw_usage_part_t);

    if (value->mv_size != sizeof(ngx_apigw_usage_head_t) + size) {
        return NGX_APIGW_STORE_EFORMAT;
    }

    ngx_memcpy(record->parts,
               (u_char *) value->mv_data + sizeof(ngx_apigw_usage_head_t),
               size);

    return 0;
}


/*
 * What the store has of a counter; an empty record if nothing.  The key is
 * that of the record, or the one to write it under; its memory is the
 * caller's, NGX_APIGW_USAGE_KEY_MAX bytes.  Without a transaction of LMDB the
 * store is being looked at.
 */

static int
ngx_apigw_usage_get(ngx_apigw_store_t *store, MDB_txn *txn,
    const ngx_apigw_counter_info_t *info, ngx_apigw_usage_record_t *record,
    MDB_val *key)
{
    int  rc, first;

    key->mv_size = ngx_apigw_usage_key(key->mv_data, info, 0);

    first = ngx_apigw_usage_read(store, txn, key, record);

    if (first == MDB_NOTFOUND) {
        ngx_apigw_usage_empty(info, record);
        return 0;
    }

    if (first == 0 && record->head.start == info->start) {
        return 0;
    }

    if (first != 0 && first != NGX_APIGW_USAGE_EDAMAGED) {
        return first;
    }

    /* another window that ends then has the name, or nobody knows which */

    key->mv_size = ngx_apigw_usage_key(key->mv_data, info, 1);

    rc = ngx_apigw_usage_read(store, txn, key, record);

    if (rc != MDB_NOTFOUND) {
        return rc;
    }

    if (first == NGX_APIGW_USAGE_EDAMAGED) {
        key->mv_size = ngx_apigw_usage_key(key->mv_data, info, 0);
        return first;
    }

    ngx_apigw_usage_empty(info, record);

    return 0;
}


static int
ngx_apigw_usage_read(ngx_apigw_store_t *store, MDB_txn *txn, MDB_val *key,
    ngx_apigw_usage_record_t *record)
{
    int        rc;
    MDB_val    value;
    ngx_str_t  found;

    if (txn) {
        rc = mdb_get(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_COUNTERS),
                     key, &value);

    } else {
        rc = ngx_apigw_store_get(store, NGX_APIGW_USAGE_COUNTERS,
                                 key->mv_data, key->mv_size, &found);

        value.mv_data = found.data;
        value.mv_size = found.len;
    }

    if (rc == 0 && ngx_apigw_usage_decode(record, &value) != 0) {
        return NGX_APIGW_USAGE_EDAMAGED;
    }

    return rc;
}


static void
ngx_apigw_usage_empty(const ngx_apigw_counter_info_t *info,
    ngx_apigw_usage_record_t *record)
{
    ngx_memzero(&record->head, sizeof(ngx_apigw_usage_head_t));

    record->head.version = NGX_APIGW_USAGE_VERSION;
    record->head.start = info->start;
}


int
ngx_apigw_usage_set_aside(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_uint_t n, MDB_val *key)
{
    int                    rc;
    u_char                 name[NGX_APIGW_USAGE_ASIDE], *p;
    size_t                 len;
    MDB_val                aside, value;
    uint64_t               id;
    ngx_uint_t             i;
    ngx_apigw_hash_t       hash;
    ngx_apigw_hash_key_t   zero = {{ 0, 0 }};

    rc = mdb_get(txn, ngx_apigw_store_db(store, n), key, &value);

    if (rc != 0) {
        return rc;
    }

    len = ngx_strlen(ngx_apigw_usage_kind.dbs[n]);
    id = mdb_txn_id(txn);

    p = ngx_cpymem(name, ngx_apigw_usage_kind.dbs[n], len);
    *p++ = ':';

    for (i = 0; i < 8; i++) {
        *p++ = (u_char) (id >> (56 - 8 * i));
    }

    if (key->mv_size <= (size_t) (name + sizeof(name) - p)) {
        p = ngx_cpymem(p, key->mv_data, key->mv_size);

    } else {

        /* longer than any of ours */

        ngx_apigw_hash(&hash, &zero, key->mv_data, key->mv_size);

        p = ngx_cpymem(p, &hash, sizeof(hash));
        p = ngx_cpymem(p, key->mv_data, name + sizeof(name) - p);
    }

    aside.mv_data = name;
    aside.mv_size = p - name;

    return mdb_put(txn, ngx_apigw_store_db(store, NGX_APIGW_USAGE_DAMAGED),
                   &aside, &value, 0);
}


static void
ngx_apigw_usage_sum(const ngx_apigw_usage_record_t *record, uint64_t instance,
    ngx_apigw_counter_load_t *load)
{
    ngx_uint_t  i;

    load->own = 0;
    load->others = record->head.adjust;
    load->grant = record->head.grant;

    for (i = 0; i < record->head.parts; i++) {

        if (record->parts[i].id == instance) {
            load->own = record->parts[i].value;

        } else {
            load->others += (int64_t) record->parts[i].value;
        }
    }
}


int
ngx_apigw_usage_load(ngx_apigw_store_t *store, uint64_t instance,
    const ngx_apigw_counter_info_t *info, ngx_apigw_counter_load_t *load)
{
    int                       rc;
    ngx_uint_t                i;
    ngx_apigw_usage_record_t  record;

    load->version = 0;
    load->own = 0;
    load->others = 0;
    load->grant = 0;

    rc = EAGAIN;

    for (i = 0; i < NGX_APIGW_STORE_LOOKS && rc == EAGAIN; i++) {
        rc = ngx_apigw_usage_look(store, info, &record, &load->version);
    }

    switch (rc) {

    case 0:
        ngx_apigw_usage_sum(&record, instance, load);
        return 0;

    case NGX_APIGW_STORE_EEMPTY:
        load->version = 0;
        return 0;

    case EAGAIN:
        return NGX_APIGW_STORE_EMOVED;

    default:
        return rc;
    }
}


static int
ngx_apigw_usage_look(ngx_apigw_store_t *store,
    const ngx_apigw_counter_info_t *info, ngx_apigw_usage_record_t *record,
    uint64_t *version)
{
    int      rc;
    u_char   name[NGX_APIGW_USAGE_KEY_MAX];
    MDB_val  key;

    rc = ngx_apigw_store_look(store, version);

    if (rc != 0) {
        return rc;
    }

    key.mv_data = name;

    rc = ngx_apigw_usage_get(store, NULL, info, record, &key);

    if (rc == 0) {
        rc = ngx_apigw_store_whole(store);
    }

    return (ngx_apigw_store_look_end(store) == 0) ? rc : EAGAIN;
}


int
ngx_apigw_usage_flush(ngx_apigw_usage_flush_t *flush)
{
    int         rc;
    ngx_uint_t  i, n, last;

    if (flush->cursor == 0) {
        flush->used = 0;
        flush->dirty = 0;
    }

    n = (ngx_uint_t) flush->table->sets * NGX_APIGW_COUNTER_WAYS;
    last = ngx_min(flush->cursor + NGX_APIGW_USAGE_SCAN, n);

    /* no transaction for a clean table */

    for (i = flush->cursor; i < last; i++) {

        if (flush->table->pairs[i].value & NGX_APIGW_COUNTER_DIRTY) {
            break;
        }

        flush->used += (flush->table->pairs[i].tag != 0);
    }

    flush->cursor = i;

    if (i < last) {
        rc = ngx_apigw_store_write(flush->store, ngx_apigw_usage_flush_write,
                                   flush);

        if (rc != 0) {
            flush->cursor = 0;
            return rc;
        }

        for (i = 0; i < flush->n; i++) {
            ngx_apigw_counter_flushed(flush->table, flush->notes[i].slot,
                                      &flush->notes[i].pair);
        }

        flush->used += flush->n;
        flush->dirty += flush->n;
        flush->written += flush->n;
        flush->cursor = flush->next;

        /* nobody else has written since "others" were read */

        if (flush->n && flush->committed == flush->seen + 1) {
            flush->seen = flush->committed;
        }
    }

    if (flush->cursor < n) {
        return EAGAIN;
    }

    flush->cursor = 0;

    return 0;
}


/* May be called again for a transaction that did not fit into the map. */

static int
ngx_apigw_usage_flush_write(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    ngx_apigw_usage_flush_t  *flush = data;

    int                        rc;
    MDB_dbi                    dbi;
    ngx_uint_t                 i, n, last;
    ngx_apigw_usage_note_t    *note;
    ngx_apigw_counter_info_t   info;

    dbi = ngx_apigw_store_db(store, NGX_APIGW_USAGE_COUNTERS);

    n = (ngx_uint_t) flush->table->sets * NGX_APIGW_COUNTER_WAYS;
    last = ngx_min(flush->cursor + NGX_APIGW_USAGE_SCAN, n);

    flush->n = 0;

    for (i = flush->cursor;
         i < last && flush->n < NGX_APIGW_USAGE_BATCH;
         i++)
    {
        note = &flush->notes[flush->n];

        if (ngx_apigw_counter_dirty(flush->table, i, &note->pair, &info)
            != NGX_OK)
        {
            continue;
        }

        rc = ngx_apigw_usage_put(flush, txn, dbi, &info,
                                 note->pair.value & NGX_APIGW_COUNTER_VALUE);

        if (rc == NGX_APIGW_USAGE_EPARTS || rc == NGX_APIGW_USAGE_EPAGE) {
            flush->damaged++;
            continue;
        }

        if (rc != 0) {
            return rc;
        }

        note->slot = i;
        flush->n++;
    }

    flush->next = i;
    flush->committed = mdb_txn_id(txn);

    return 0;
}


static int
ngx_apigw_usage_put(ngx_apigw_usage_flush_t *flush, MDB_txn *txn, MDB_dbi dbi,
    const ngx_apigw_counter_info_t *info, uint64_t own)
{
    int                       rc;
    u_char                    name[NGX_APIGW_USAGE_KEY_MAX];
    MDB_val                   key, value;
    ngx_uint_t                other;
    ngx_apigw_usage_record_t  record;

    key.mv_data = name;

    for (other = 0; other < 2; other++) {
        key.mv_size = ngx_apigw_usage_key(name, info, other);

        rc = ngx_apigw_store_writable(flush->store, txn,
                                      NGX_APIGW_USAGE_COUNTERS, &key);
        if (rc != 0) {
            return rc == MDB_CORRUPTED ? NGX_APIGW_USAGE_EPAGE : rc;
        }
    }

    rc = ngx_apigw_usage_get(flush->store, txn, info, &record, &key);

    if (rc == NGX_APIGW_USAGE_EDAMAGED) {
        flush->damaged++;

        ngx_apigw_usage_empty(info, &record);

        rc = ngx_apigw_usage_set_aside(flush->store, txn,
                                       NGX_APIGW_USAGE_COUNTERS, &key);
    }

    if (rc != 0) {
        return rc;
    }

    record.head.limit = info->limit;

    ngx_apigw_usage_merge(flush, &record, own);

    if (record.head.parts > NGX_APIGW_USAGE_PARTS) {
        return NGX_APIGW_USAGE_EPARTS;
    }

    value.mv_data = &record;
    value.mv_size = sizeof(ngx_apigw_usage_head_t)
                    + record.head.parts * sizeof(ngx_apigw_usage_part_t);

    return mdb_put(txn, dbi, &key, &value, 0);
}


/*
 * Sets this instance's part.  Those of dead instances become one, so a record
 * has no more parts than there are instances alive, and two.
 */

static void
ngx_apigw_usage_merge(ngx_apigw_usage_flush_t *flush,
    ngx_apigw_usage_record_t *record, uint64_t own)
{
    uint64_t                 past;
    ngx_uint_t               i, n;
    ngx_apigw_usage_part_t  *part;

    n = 0;
    past = 0;

    for (i = 0; i < record->head.parts; i++) {
        part = &record->parts[i];

        if (part->id == flush->instance) {
            continue;
        }

        if (part->id == 0
            || ngx_apigw_instance_dead(&flush->dead, flush->directory,
                                       part->id))
        {
            past += part->value;
            continue;
        }

        record->parts[n++] = *part;
    }

    if (n + 2 > NGX_APIGW_USAGE_PARTS) {
        record->head.parts = NGX_APIGW_USAGE_PARTS + 1;
        return;
    }

    if (past) {
        record->parts[n].id = 0;
        record->parts[n++].value = past;
    }

    record->parts[n].id = flush->instance;
    record->parts[n++].value = own;

    record->head.parts = n;
}


int
ngx_apigw_usage_refresh(ngx_apigw_usage_flush_t *flush,
    ngx_apigw_usage_refresh_pt refresh, void *data)
{
    int  rc;

    if (flush->cursor == 0) {
        flush->committed = ngx_apigw_store_version(flush->store);

        if (flush->committed == flush->seen) {
            return 0;
        }
    }

    rc = ngx_apigw_usage_refresh_slots(flush, refresh, data);

    if (rc == 0) {
        flush->seen = flush->committed;
    }

    if (rc != EAGAIN) {
        flush->cursor = 0;
    }

    return rc;
}


static int
ngx_apigw_usage_refresh_slots(ngx_apigw_usage_flush_t *flush,
    ngx_apigw_usage_refresh_pt refresh, void *data)
{
    int                        rc;
    u_char                     name[NGX_APIGW_USAGE_KEY_MAX];
    MDB_txn                   *txn;
    MDB_val                    key;
    ngx_uint_t                 i, n, last;
    ngx_apigw_pair_t           pair;
    ngx_apigw_counter_info_t   info;
    ngx_apigw_counter_load_t   load;
    ngx_apigw_usage_record_t   record;

    rc = ngx_apigw_store_read(flush->store, &txn);

    if (rc != 0) {
        return rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
    }

    /*
     * LMDB shows a new version some time before its readers see it, as long
     * as the disk takes
     */

    if (flush->cursor == 0) {
        flush->committed = mdb_txn_id(txn);

        /* who has inserted what he read before has done so after this */

        refresh(data, NGX_APIGW_COUNTER_NONE, flush->committed, 0, 0);
    }

    key.mv_data = name;

    n = (ngx_uint_t) flush->table->sets * NGX_APIGW_COUNTER_WAYS;
    last = ngx_min(flush->cursor + NGX_APIGW_USAGE_SCAN, n);

    for (i = flush->cursor; i < last; i++) {

        if (ngx_apigw_counter_copy(flush->table, i, &pair, &info) != NGX_OK) {
            continue;
        }

        rc = ngx_apigw_usage_get(flush->store, txn, &info, &record, &key);

        if (rc == NGX_APIGW_USAGE_EDAMAGED) {
            flush->damaged++;
            rc = 0;
            continue;
        }

        if (rc != 0) {
            break;
        }

        ngx_apigw_usage_sum(&record, flush->instance, &load);

        if ((int64_t) info.others != load.others
            || (int64_t) info.grant != load.grant)
        {
            rc = ngx_apigw_store_whole(flush->store);

            if (rc != 0) {
                break;
            }

            refresh(data, i, pair.tag, load.others, load.grant);
        }
    }

    ngx_apigw_store_read_end(flush->store);

    flush->cursor = i;

    if (rc != 0) {
        return rc;
    }

    return i < n ? EAGAIN : 0;
}


int64_t
ngx_apigw_usage_clock(ngx_apigw_usage_clock_t *clock, int64_t wall,
    uint64_t msec)
{
    int64_t  step;

    step = 0;

    if (clock->wall == 0) {
        clock->since = msec;

    } else {
        step = wall - clock->wall - (int64_t) (msec - clock->msec) / 1000;

        if (step > -NGX_APIGW_USAGE_STEP && step < NGX_APIGW_USAGE_STEP) {
            step = 0;

        } else {
            clock->since = msec;
        }
    }

    clock->wall = wall;
    clock->msec = msec;

    return step;
}


ngx_uint_t
ngx_apigw_usage_clock_steady(const ngx_apigw_usage_clock_t *clock)
{
    return clock->msec - clock->since
           >= (uint64_t) NGX_APIGW_USAGE_STEADY * 1000;
}


int
ngx_apigw_usage_reap(ngx_apigw_usage_flush_t *flush, int64_t time)
{
    int               rc;
    ngx_apigw_reap_t  reap;

    reap.db = NGX_APIGW_USAGE_COUNTERS;
    reap.most = NGX_APIGW_USAGE_REAP;
    reap.time = (uint64_t) time;
    reap.judge = ngx_apigw_usage_expired;
    reap.aside = ngx_apigw_usage_set_aside;
    reap.tell = NULL;

    rc = ngx_apigw_reap(flush->store, &reap);

    flush->damaged += reap.damaged;

    return rc;
}


static ngx_apigw_reap_e
ngx_apigw_usage_expired(const MDB_val *key, uint64_t time)
{
    u_char      *p;
    uint64_t     end;
    ngx_uint_t   i;

    p = key->mv_data;
    end = 0;

    for (i = 0; i < 8; i++) {
        end = end << 8 | (i < key->mv_size ? p[i] : 0);
    }

    if (end >= time) {
        return NGX_APIGW_REAP_KEEP;
    }

    return key->mv_size < 8 + 3 || key->mv_size > NGX_APIGW_USAGE_KEY_MAX
           ? NGX_APIGW_REAP_DAMAGED : NGX_APIGW_REAP_EXPIRED;
}
