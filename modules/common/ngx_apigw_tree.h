/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_TREE_H_INCLUDED_
#define _NGX_APIGW_TREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_store.h"


/*
 * A reader of LMDB's trees (data version 1, that of LMDB 0.9) that believes
 * nothing it reads: LMDB itself may run into a signal, or into a loop, where a
 * page of the file is damaged, and would take the worker along.  It is faster,
 * too, for it does one thing only.
 *
 * It reads a map of the data file, of one state of it: the pages may be used
 * again meanwhile if nothing keeps them, so who has found something asks
 * afterwards whether that state still was there.  Uses nothing of nginx but
 * its types.
 */


typedef struct {
    const u_char        *map;
    size_t               size;      /* what may be touched of it */
    size_t               page;      /* the size of one */
    uint64_t             pages;     /* how many */
} ngx_apigw_tree_t;


/* A named database. */

typedef struct {
    uint64_t             root;      /* the number of a page */
    uint64_t             entries;
    ngx_uint_t           depth;
    ngx_uint_t           others;    /* there are databases, if not this one */
} ngx_apigw_tree_root_t;


/* All that is in the map; key.data is NULL if there is no such item. */

struct ngx_apigw_tree_item_s {
    ngx_str_t            key;
    ngx_str_t            value;
};


#pragma GCC visibility push(hidden)


/* One without entries. */

extern const ngx_apigw_tree_root_t  ngx_apigw_tree_none;


/*
 * Whether there is something to be read in a map, of which so many bytes are
 * there.  Returns 0 or MDB_CORRUPTED.
 */

int ngx_apigw_tree_init(ngx_apigw_tree_t *tree, const void *map, size_t size);


/* The number of the last transaction. */

uint64_t ngx_apigw_tree_txnid(const ngx_apigw_tree_t *tree);


/*
 * The root of the tree of a named database, in the state of a transaction.
 * Returns 0, MDB_NOTFOUND if there is no such database, EAGAIN if the state is
 * gone, or MDB_CORRUPTED.
 */

int ngx_apigw_tree_open(const ngx_apigw_tree_t *tree, uint64_t txnid,
    const char *name, ngx_apigw_tree_root_t *root);


/*
 * Finds a key; what is found lies in the map.  Returns 0, MDB_NOTFOUND or
 * MDB_CORRUPTED.
 */

int ngx_apigw_tree_get(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_root_t *root, const u_char *key, size_t len,
    ngx_str_t *value);


/*
 * Finds what stands before and behind a key that is not there, for those who
 * must not take a damaged key for none: the page that it would be in is in
 * order as a page, and has its place.  The two items may be damaged still.
 * Without "near" the key may be there, and the pages on the way to it are in
 * order.  Returns 0 or MDB_CORRUPTED.
 */

int ngx_apigw_tree_near(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_root_t *root, const u_char *key, size_t len,
    ngx_apigw_tree_item_t *near);


/*
 * Whether the databases of a store can be opened, as far as they are there:
 * where LMDB goes for that, it finds what it expects.  Returns 0,
 * MDB_CORRUPTED, or NGX_APIGW_STORE_EFORMAT if something else is there.
 */

int ngx_apigw_tree_probe(const ngx_apigw_tree_t *tree,
    const ngx_apigw_store_kind_t *kind);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_TREE_H_INCLUDED_ */
