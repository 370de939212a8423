/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>

#include "ngx_apigw_store_view.h"


#define NGX_APIGW_STORE_VIEW  ((size_t) 16 * 1024 * 1024)


static int ngx_apigw_store_view_file(ngx_apigw_store_view_t *view, int fd);
static int ngx_apigw_store_view_map(ngx_apigw_store_view_t *view, int fd);
static int ngx_apigw_store_view_roots(ngx_apigw_store_view_t *view,
    uint64_t version, const ngx_apigw_store_kind_t *kind);


int
ngx_apigw_store_probe(const char *directory,
    const ngx_apigw_store_kind_t *kind)
{
    int                fd, rc;
    char               name[NGX_MAX_PATH];
    void              *map;
    struct stat        sb;
    ngx_apigw_tree_t   tree;

    fd = -1;

    rc = ngx_apigw_store_name(name, directory, NGX_APIGW_STORE_DATA);

    if (rc == 0) {
        rc = ngx_apigw_store_open_file(name, &fd, &sb);
    }

    if (rc != 0) {
        return rc == ENOENT ? 0 : rc;
    }

    if (sb.st_size > 0) {

        map = mmap(NULL, sb.st_size, PROT_READ, MAP_SHARED, fd, 0);

        if (map == MAP_FAILED) {
            rc = errno;

        } else {
            rc = ngx_apigw_tree_init(&tree, map, sb.st_size);

            if (rc == 0) {
                rc = ngx_apigw_tree_probe(&tree, kind);
            }

            (void) munmap(map, sb.st_size);
        }
    }

    (void) close(fd);

    return rc;
}


/*
 * The pages of a state of which the number is known need no reader to keep
 * them, if it is the last one still afterwards: a page that was freed in a
 * transaction is used again by the second one after that at the earliest.
 */

int
ngx_apigw_store_look(ngx_apigw_store_t *store, uint64_t *version)
{
    int                      rc;
    ngx_apigw_store_view_t  *view;

    if (store->lost) {
        return store->lost;
    }

    view = &store->view;

    if (view->version) {
        rc = ngx_apigw_store_view_file(view, store->fd);

        if (rc != 0) {
            return rc;
        }

        if (view->version && ngx_apigw_tree_txnid(&view->tree) == view->version)
        {
            store->reading = 1;
            store->pinned = 0;
            *version = view->version;

            return 0;
        }
    }

    rc = ngx_apigw_store_pin(store, 0);

    if (rc != 0) {
        return rc;
    }

    store->pinned = 1;
    *version = mdb_txn_id(store->txn);

    rc = ngx_apigw_store_view_file(view, store->fd);

    if (rc == 0 && (*version == 0 || view->version != *version)) {
        rc = ngx_apigw_store_view_roots(view, *version, store->kind);
    }

    if (rc != 0) {
        ngx_apigw_store_read_end(store);
    }

    return rc;
}


int
ngx_apigw_store_look_end(ngx_apigw_store_t *store)
{
    ngx_uint_t  holds;

    if (store->pinned) {
        holds = ngx_apigw_store_read_holds(store);
        ngx_apigw_store_read_end(store);

    } else {
        store->reading = 0;

        /* the number is to be read after what was read before */

        __atomic_thread_fence(__ATOMIC_ACQUIRE);

        holds = ngx_apigw_tree_txnid(&store->view.tree)
                == store->view.version;
    }

    return holds ? 0 : EAGAIN;
}


int
ngx_apigw_store_get(ngx_apigw_store_t *store, ngx_uint_t n, const u_char *key,
    size_t len, ngx_str_t *value)
{
    int  rc;

    rc = ngx_apigw_tree_get(&store->view.tree, &store->view.roots[n], key, len,
                            value);

    if (rc == MDB_NOTFOUND && ngx_apigw_store_whole(store) != 0) {
        return NGX_APIGW_STORE_ESHORT;
    }

    return rc;
}


int
ngx_apigw_store_near(ngx_apigw_store_t *store, ngx_uint_t n, const u_char *key,
    size_t len, ngx_apigw_tree_item_t *near)
{
    return ngx_apigw_tree_near(&store->view.tree, &store->view.roots[n], key,
                               len, near);
}


int
ngx_apigw_store_writable(ngx_apigw_store_t *store, MDB_txn *txn, ngx_uint_t n,
    const MDB_val *key)
{
    int                      rc;
    uint64_t                 version;
    ngx_apigw_store_view_t  *view;

    view = &store->view;

    /* what there was before, as nobody else writes */

    version = mdb_txn_id(txn) - 1;

    rc = ngx_apigw_store_view_file(view, store->fd);

    if (rc == 0 && (version == 0 || view->version != version)) {
        rc = ngx_apigw_store_view_roots(view, version, store->kind);
    }

    if (rc != 0) {
        return rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
    }

    return ngx_apigw_tree_near(&view->tree, &view->roots[n], key->mv_data,
                               key->mv_size, NULL);
}


uint64_t
ngx_apigw_store_entries(ngx_apigw_store_t *store, ngx_uint_t n)
{
    return store->view.roots[n].entries;
}


void
ngx_apigw_store_view_close(ngx_apigw_store_view_t *view)
{
    if (view->map) {
        (void) munmap(view->map, view->mapped);
    }

    ngx_memzero(view, sizeof(ngx_apigw_store_view_t));
}


/*
 * Maps what there is of the file now.  LMDB never makes it smaller: who did
 * that took pages away, and to touch them kills the process.
 */

static int
ngx_apigw_store_view_file(ngx_apigw_store_view_t *view, int fd)
{
    int          rc;
    struct stat  sb;

    if (fstat(fd, &sb) == -1) {
        return errno;
    }

    if (sb.st_size == view->size && view->map) {
        return 0;
    }

    if (sb.st_size < view->size) {
        return NGX_APIGW_STORE_ESHORT;
    }

    view->size = sb.st_size;

    if ((size_t) sb.st_size > view->mapped || view->map == NULL) {
        rc = ngx_apigw_store_view_map(view, fd);

        if (rc != 0) {
            return rc;
        }
    }

    return ngx_apigw_tree_init(&view->tree, view->map, sb.st_size);
}


/* More than there is of the file, so that it is not done at every change. */

static int
ngx_apigw_store_view_map(ngx_apigw_store_view_t *view, int fd)
{
    int     rc;
    off_t   end;
    size_t  size;

    end = view->size;

    ngx_apigw_store_view_close(view);

    size = NGX_APIGW_STORE_VIEW;

    while (size < (size_t) end) {
        size *= 2;
    }

    view->map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (view->map == MAP_FAILED) {
        rc = errno;
        view->map = NULL;
        return rc;
    }

    /* as LMDB does: records are found anywhere */

    (void) madvise(view->map, size, MADV_RANDOM);

    view->mapped = size;
    view->size = end;

    return 0;
}


/* Finds the databases of a state that a reader keeps. */

static int
ngx_apigw_store_view_roots(ngx_apigw_store_view_t *view, uint64_t version,
    const ngx_apigw_store_kind_t *kind)
{
    int                     rc;
    ngx_str_t               value;
    ngx_uint_t              n;
    ngx_apigw_tree_root_t   meta;

    view->version = 0;

    rc = ngx_apigw_tree_open(&view->tree, version, NGX_APIGW_STORE_META,
                             &meta);
    if (rc == MDB_NOTFOUND) {
        return meta.others ? NGX_APIGW_STORE_EFORMAT : NGX_APIGW_STORE_EEMPTY;
    }

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_tree_get(&view->tree, &meta,
                            (const u_char *) NGX_APIGW_STORE_FORMAT,
                            sizeof(NGX_APIGW_STORE_FORMAT) - 1, &value);

    if (rc == MDB_NOTFOUND
        || (rc == 0
            && (value.len != strlen(kind->format)
                || ngx_memcmp(value.data, kind->format, value.len) != 0)))
    {
        return NGX_APIGW_STORE_EFORMAT;
    }

    for (n = 0; kind->dbs[n] && rc == 0; n++) {
        rc = ngx_apigw_tree_open(&view->tree, version, kind->dbs[n],
                                 &view->roots[n]);

        if (rc == MDB_NOTFOUND && n) {

            /* a later version has it, and will make it */

            view->roots[n] = ngx_apigw_tree_none;
            rc = 0;
        }
    }

    if (rc != 0) {
        return (rc == MDB_NOTFOUND) ? MDB_CORRUPTED : rc;
    }

    view->version = version;

    return 0;
}
