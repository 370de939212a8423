/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_TREE_H_INCLUDED_
#define _NGX_APIGW_KEY_TREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_store.h"


/*
 * A reader of LMDB's trees (data version 1, that of LMDB 0.9) that believes
 * nothing it reads: LMDB itself may run into a signal, or into a loop, where a
 * page of the file is damaged, and would take the worker along.  It is faster,
 * too, for it does one thing only.
 *
 * It reads the map of an environment while a read transaction of LMDB keeps
 * the pages from being used again.  Uses nothing of nginx but its types.
 */


typedef struct {
    const u_char        *map;
    size_t               size;      /* what may be touched of it */
    size_t               page;      /* the size of one */
    uint64_t             pages;     /* how many */
} ngx_apigw_key_tree_t;


#pragma GCC visibility push(hidden)


/*
 * Whether there is something to be read in a map, of which so many bytes are
 * there.  Returns 0 or MDB_CORRUPTED.
 */

int ngx_apigw_key_tree_init(ngx_apigw_key_tree_t *tree, const void *map,
    size_t size);


/*
 * The root of the tree of a named database, in the state of a transaction.
 * Returns 0, MDB_NOTFOUND if there is no such database, EAGAIN if the state is
 * gone, or MDB_CORRUPTED.
 */

int ngx_apigw_key_tree_open(const ngx_apigw_key_tree_t *tree, uint64_t txnid,
    const char *name, uint64_t *root);


/*
 * Finds a key; what is found lies in the map.  Returns 0, MDB_NOTFOUND or
 * MDB_CORRUPTED.
 */

int ngx_apigw_key_tree_get(const ngx_apigw_key_tree_t *tree, uint64_t root,
    const u_char *key, size_t len, ngx_str_t *value);


/*
 * Whether the databases of a store can be opened, as far as they are there:
 * where LMDB goes for that, it finds what it expects.  Returns 0 or
 * MDB_CORRUPTED.
 */

int ngx_apigw_key_tree_probe(const ngx_apigw_key_tree_t *tree,
    const ngx_apigw_store_kind_t *kind);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_TREE_H_INCLUDED_ */
