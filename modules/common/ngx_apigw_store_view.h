/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_STORE_VIEW_H_INCLUDED_
#define _NGX_APIGW_STORE_VIEW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_store.h"
#include "ngx_apigw_store_file.h"
#include "ngx_apigw_tree.h"


/*
 * The insides of a store, for ngx_apigw_store.c and ngx_apigw_store_view.c,
 * which reads it without LMDB: in a map of its own of the data file.
 */


/* Where in the map the databases of one state begin. */

typedef struct {
    void                  *map;
    size_t                 mapped;
    off_t                  size;      /* of the file */
    uint64_t               version;   /* whose roots these are, 0: none */
    ngx_apigw_tree_t       tree;
    ngx_apigw_tree_root_t  roots[NGX_APIGW_STORE_DBS];
} ngx_apigw_store_view_t;


struct ngx_apigw_store_s {
    ngx_apigw_store_t             *next;
    const ngx_apigw_store_kind_t  *kind;
    char                          *directory;
    MDB_env                       *env;
    MDB_txn                       *txn;
    MDB_dbi                        dbs[NGX_APIGW_STORE_DBS];
    dev_t                          device;
    ino_t                          inode;
    ngx_apigw_store_files_t        files;
    ngx_apigw_store_view_t         view;
    mdb_filehandle_t               fd;          /* the data file, LMDB's */
    off_t                          size;        /* of it, so far */
    uint64_t                       seen[2];     /* at the last check */
    struct timespec                modified;    /* the data file, then */
    pid_t                          pid;
    ngx_uint_t                     refs;
    ngx_uint_t                     opened;      /* how many times */
    int                            lost;        /* why there is no map */
    unsigned                       ready:1;
    unsigned                       reading:1;
    unsigned                       pinned:1;
    unsigned                       read_only:1;
    unsigned                       touched:1;
    unsigned                       hurried:1;
};


#pragma GCC visibility push(hidden)


/*
 * Starts a read transaction, as ngx_apigw_store_read() does; without handles
 * LMDB looks at no page but the first two.
 */

int ngx_apigw_store_pin(ngx_apigw_store_t *store, ngx_uint_t handles);


/*
 * What LMDB reads when it opens the store, before it does.  Returns 0 also if
 * there is no file, or what is wrong with it.
 */

int ngx_apigw_store_probe(const char *directory,
    const ngx_apigw_store_kind_t *kind);


/* Unmaps: the file is another one. */

void ngx_apigw_store_view_close(ngx_apigw_store_view_t *view);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_STORE_VIEW_H_INCLUDED_ */
