/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_tree.h"


#define NGX_APIGW_TREE_DEPTH          32
#define NGX_APIGW_TREE_MAGIC          0xbeefc0de
#define NGX_APIGW_TREE_VERSION        1
#define NGX_APIGW_TREE_NONE           UINT64_MAX

#define NGX_APIGW_TREE_PAGE_BRANCH    0x01
#define NGX_APIGW_TREE_PAGE_LEAF      0x02
#define NGX_APIGW_TREE_PAGE_OVERFLOW  0x04
#define NGX_APIGW_TREE_PAGE_KINDS     0x6f    /* with what is not for us */

#define NGX_APIGW_TREE_NODE_BIG       0x01
#define NGX_APIGW_TREE_NODE_TREE      0x02
#define NGX_APIGW_TREE_NODE_MANY      0x04


typedef struct {
    uint64_t             number;
    uint16_t             pad;
    uint16_t             flags;
    uint16_t             lower;     /* behind the offsets of the nodes */
    uint16_t             upper;     /* the first node */
    uint16_t             nodes[];
} ngx_apigw_tree_page_t;


typedef struct {
    uint16_t             low;       /* of the length or the page's number */
    uint16_t             high;
    uint16_t             flags;     /* or still higher */
    uint16_t             len;       /* of the key */
    u_char               key[];
} ngx_apigw_tree_node_t;


typedef struct {
    uint32_t             pad;       /* of the first: the size of a page */
    uint16_t             flags;
    uint16_t             depth;
    uint64_t             pages[3];
    uint64_t             entries;
    uint64_t             root;
} ngx_apigw_tree_db_t;


typedef struct {
    uint64_t             page[2];   /* its head */
    uint32_t             magic;
    uint32_t             version;
    uint64_t             address;
    uint64_t             map_size;
    ngx_apigw_tree_db_t  dbs[2];    /* of free pages, of databases */
    uint64_t             last_page;
    uint64_t             txnid;
} ngx_apigw_tree_meta_t;


/*
 * A page, and one of its nodes.  What is checked is read once: a writer may
 * use the page again meanwhile.
 */

typedef struct {
    const ngx_apigw_tree_page_t  *page;
    ngx_uint_t                    leaf;
    size_t                        lower;
    size_t                        n;         /* nodes */
    ngx_uint_t                    i;         /* of the node */
    const ngx_apigw_tree_node_t  *node;
    size_t                        len;       /* of its key */
} ngx_apigw_tree_view_t;


/* What stands beside the way to a leaf, and the keys that it is between. */

typedef struct {
    uint64_t                      before;    /* a page; 0: nothing */
    uint64_t                      behind;
    ngx_str_t                     from;
    ngx_str_t                     to;
} ngx_apigw_tree_side_t;


#define ngx_apigw_tree_load(p)  __atomic_load_n(p, __ATOMIC_RELAXED)


static int ngx_apigw_tree_top(const ngx_apigw_tree_t *tree, uint64_t txnid,
    uint64_t *top);
static int ngx_apigw_tree_sound(const ngx_apigw_tree_t *tree,
    uint64_t number);
static int ngx_apigw_tree_whole(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_view_t *branch);
static int ngx_apigw_tree_beside(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, ngx_apigw_tree_side_t *side);
static int ngx_apigw_tree_between(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, const u_char *key, size_t len,
    const ngx_apigw_tree_side_t *side, ngx_apigw_tree_item_t *near);
static int ngx_apigw_tree_walk(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, const u_char *key, size_t len,
    ngx_uint_t *before);
static int ngx_apigw_tree_edge(const ngx_apigw_tree_t *tree, uint64_t number,
    ngx_uint_t last, ngx_apigw_tree_item_t *item);
static int ngx_apigw_tree_item(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, ngx_uint_t i, ngx_apigw_tree_item_t *item);
static int ngx_apigw_tree_leaf(const ngx_apigw_tree_t *tree, uint64_t number,
    const u_char *key, size_t len, ngx_apigw_tree_view_t *view);
static ngx_inline int ngx_apigw_tree_search(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, const u_char *key, size_t len, uint64_t head);
static ngx_inline int ngx_apigw_tree_page(const ngx_apigw_tree_t *tree,
    uint64_t number, ngx_apigw_tree_view_t *view);
static ngx_inline int ngx_apigw_tree_node(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, ngx_uint_t i);
static ngx_inline uint64_t ngx_apigw_tree_number(
    const ngx_apigw_tree_view_t *view);
static ngx_inline size_t ngx_apigw_tree_size(
    const ngx_apigw_tree_node_t *node);
static ngx_inline uint64_t ngx_apigw_tree_head(const u_char *key);
static int ngx_apigw_tree_compare(const ngx_str_t *one, const ngx_str_t *two);
static int ngx_apigw_tree_data(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_view_t *view, ngx_str_t *value);
static int ngx_apigw_tree_value(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_view_t *view, ngx_str_t *value);


const ngx_apigw_tree_root_t  ngx_apigw_tree_none = {
    NGX_APIGW_TREE_NONE, 0, 0, 0
};


int
ngx_apigw_tree_init(ngx_apigw_tree_t *tree, const void *map, size_t size)
{
    const ngx_apigw_tree_meta_t  *meta;

    if (map == NULL || size < sizeof(ngx_apigw_tree_meta_t)) {
        return MDB_CORRUPTED;
    }

    meta = map;

    tree->map = map;
    tree->page = meta->dbs[0].pad;

    if (tree->page < 512 || tree->page > 65536
        || (tree->page & (tree->page - 1)))
    {
        return MDB_CORRUPTED;
    }

    tree->pages = size >> __builtin_ctzl(tree->page);
    tree->size = tree->pages * tree->page;

    return tree->pages < 2 ? MDB_CORRUPTED : 0;
}


uint64_t
ngx_apigw_tree_txnid(const ngx_apigw_tree_t *tree)
{
    uint64_t                      one, two;
    const ngx_apigw_tree_meta_t  *meta;

    meta = (const ngx_apigw_tree_meta_t *) tree->map;
    one = __atomic_load_n(&meta->txnid, __ATOMIC_ACQUIRE);

    meta = (const ngx_apigw_tree_meta_t *) (tree->map + tree->page);
    two = __atomic_load_n(&meta->txnid, __ATOMIC_ACQUIRE);

    return ngx_max(one, two);
}


int
ngx_apigw_tree_open(const ngx_apigw_tree_t *tree, uint64_t txnid,
    const char *name, ngx_apigw_tree_root_t *root)
{
    int                     rc;
    uint64_t                top;
    ngx_str_t               value;
    ngx_apigw_tree_db_t     db;
    ngx_apigw_tree_view_t   view;

    root->others = 0;

    rc = ngx_apigw_tree_top(tree, txnid, &top);

    if (rc == 0) {
        root->others = (top != NGX_APIGW_TREE_NONE);

        rc = ngx_apigw_tree_leaf(tree, top, (const u_char *) name,
                                 strlen(name), &view);
    }

    if (rc != 0) {
        return rc;
    }

    if (!(view.node->flags & NGX_APIGW_TREE_NODE_TREE)
        || ngx_apigw_tree_value(tree, &view, &value) != 0
        || value.len != sizeof(ngx_apigw_tree_db_t))
    {
        return MDB_CORRUPTED;
    }

    ngx_memcpy(&db, value.data, sizeof(ngx_apigw_tree_db_t));

    root->root = db.root;
    root->entries = db.entries;
    root->depth = db.depth;

    return ((db.root == NGX_APIGW_TREE_NONE) != (db.entries == 0))
           ? MDB_CORRUPTED : 0;
}


/* The root of the tree of databases. */

static int
ngx_apigw_tree_top(const ngx_apigw_tree_t *tree, uint64_t txnid, uint64_t *top)
{
    const ngx_apigw_tree_meta_t  *meta;

    /* a writer uses them by turns */

    meta = (const ngx_apigw_tree_meta_t *) (tree->map
                                            + (txnid & 1) * tree->page);

    if (meta->magic != NGX_APIGW_TREE_MAGIC
        || meta->version != NGX_APIGW_TREE_VERSION)
    {
        return MDB_CORRUPTED;
    }

    *top = __atomic_load_n(&meta->dbs[1].root, __ATOMIC_ACQUIRE);

    return (__atomic_load_n(&meta->txnid, __ATOMIC_ACQUIRE) == txnid)
           ? 0 : EAGAIN;
}


int
ngx_apigw_tree_probe(const ngx_apigw_tree_t *tree,
    const ngx_apigw_store_kind_t *kind)
{
    int                     rc;
    uint64_t                txnid, top;
    ngx_str_t               value;
    ngx_uint_t              i;
    ngx_apigw_tree_root_t   root;

    txnid = ngx_apigw_tree_txnid(tree);

    rc = ngx_apigw_tree_top(tree, txnid, &top);

    if (rc == 0) {
        rc = ngx_apigw_tree_sound(tree, top);
    }

    if (rc == 0) {
        rc = ngx_apigw_tree_open(tree, txnid, NGX_APIGW_STORE_META, &root);

        if (rc == MDB_NOTFOUND && root.others) {
            rc = NGX_APIGW_STORE_EFORMAT;
        }
    }

    if (rc == 0) {
        rc = ngx_apigw_tree_sound(tree, root.root);
    }

    if (rc == 0) {
        rc = ngx_apigw_tree_get(tree, &root,
                                (const u_char *) NGX_APIGW_STORE_FORMAT,
                                sizeof(NGX_APIGW_STORE_FORMAT) - 1, &value);
    }

    for (i = 0; kind->dbs[i] && (rc == 0 || rc == MDB_NOTFOUND); i++) {
        rc = ngx_apigw_tree_open(tree, txnid, kind->dbs[i], &root);
    }

    /* nothing keeps the pages: while others write they may be anything */

    return ((rc == MDB_CORRUPTED || rc == NGX_APIGW_STORE_EFORMAT)
            && ngx_apigw_tree_txnid(tree) == txnid)
           ? rc : 0;
}


/* The root, which is all of a small tree, is in order. */

static int
ngx_apigw_tree_sound(const ngx_apigw_tree_t *tree, uint64_t number)
{
    int                    rc;
    ngx_uint_t             before;
    ngx_apigw_tree_view_t  view;

    if (number == NGX_APIGW_TREE_NONE) {
        return 0;
    }

    rc = ngx_apigw_tree_page(tree, number, &view);

    return (rc == 0 && view.leaf)
           ? ngx_apigw_tree_walk(tree, &view, NULL, 0, &before) : rc;
}


int
ngx_apigw_tree_get(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_root_t *root, const u_char *key, size_t len,
    ngx_str_t *value)
{
    int                    rc;
    ngx_apigw_tree_view_t  view;

    rc = ngx_apigw_tree_leaf(tree, root->root, key, len, &view);

    return (rc == 0) ? ngx_apigw_tree_data(tree, &view, value) : rc;
}


int
ngx_apigw_tree_near(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_root_t *root, const u_char *key, size_t len,
    ngx_apigw_tree_item_t *near)
{
    int                    rc;
    uint64_t               number, head;
    ngx_uint_t             depth, before;
    ngx_apigw_tree_side_t  side;
    ngx_apigw_tree_view_t  view;

    if (near) {
        ngx_memzero(near, 2 * sizeof(ngx_apigw_tree_item_t));
    }

    ngx_memzero(&side, sizeof(ngx_apigw_tree_side_t));

    number = root->root;

    if (number == NGX_APIGW_TREE_NONE) {
        return 0;
    }

    head = (len < sizeof(uint64_t)) ? 0 : ngx_apigw_tree_head(key);

    for (depth = 0; depth < NGX_APIGW_TREE_DEPTH; depth++) {

        rc = ngx_apigw_tree_page(tree, number, &view);

        if (rc == 0 && view.leaf) {

            if (depth + 1 != root->depth
                || (depth == 0 && view.n != root->entries))
            {
                return MDB_CORRUPTED;
            }

            return near ? ngx_apigw_tree_between(tree, &view, key, len, &side,
                                                 near)
                        : ngx_apigw_tree_walk(tree, &view, NULL, 0, &before);
        }

        if (rc == 0) {
            rc = ngx_apigw_tree_search(tree, &view, key, len, head);
        }

        if (rc != 0) {
            return rc;
        }

        number = ngx_apigw_tree_number(&view);

        rc = ngx_apigw_tree_whole(tree, &view);

        if (rc == 0) {
            rc = ngx_apigw_tree_beside(tree, &view, &side);
        }

        if (rc != 0) {
            return rc;
        }
    }

    return MDB_CORRUPTED;
}


/* The nodes of a branch are all that is in it: none is left out. */

static int
ngx_apigw_tree_whole(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_view_t *branch)
{
    size_t                 used;
    ngx_uint_t             i;
    ngx_apigw_tree_view_t  view;

    view = *branch;
    used = 0;

    for (i = 0; i < view.n; i++) {

        if (ngx_apigw_tree_node(tree, &view, i) != 0) {
            return MDB_CORRUPTED;
        }

        used += sizeof(ngx_apigw_tree_node_t) + view.len + (view.len & 1);
    }

    return (used == tree->page - ngx_apigw_tree_load(&view.page->upper))
           ? 0 : MDB_CORRUPTED;
}


/* Of the branches on the way, the last ones that have something on a side. */

static int
ngx_apigw_tree_beside(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, ngx_apigw_tree_side_t *side)
{
    ngx_uint_t  i;

    i = view->i;

    if (i > 0) {
        side->from.data = (u_char *) view->node->key;
        side->from.len = view->len;

        if (ngx_apigw_tree_node(tree, view, i - 1) != 0) {
            return MDB_CORRUPTED;
        }

        side->before = ngx_apigw_tree_number(view);

        if (side->before == 0) {
            return MDB_CORRUPTED;
        }
    }

    if (i + 1 < view->n) {

        if (ngx_apigw_tree_node(tree, view, i + 1) != 0) {
            return MDB_CORRUPTED;
        }

        side->to.data = (u_char *) view->node->key;
        side->to.len = view->len;
        side->behind = ngx_apigw_tree_number(view);

        if (side->behind == 0) {
            return MDB_CORRUPTED;
        }
    }

    return 0;
}


/* A leaf has no keys but those that its branches say, and not this one. */

static int
ngx_apigw_tree_between(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, const u_char *key, size_t len,
    const ngx_apigw_tree_side_t *side, ngx_apigw_tree_item_t *near)
{
    int                    rc;
    ngx_str_t              k;
    ngx_uint_t             before;
    ngx_apigw_tree_item_t  item;

    k.data = (u_char *) key;
    k.len = len;

    rc = ngx_apigw_tree_walk(tree, view, key, len, &before);

    if (rc == 0 && side->before) {
        rc = ngx_apigw_tree_item(tree, view, 0, &item);

        if (rc == 0 && ngx_apigw_tree_compare(&item.key, &side->from) < 0) {
            rc = MDB_CORRUPTED;
        }
    }

    if (rc == 0 && side->behind) {
        rc = ngx_apigw_tree_item(tree, view, view->n - 1, &item);

        if (rc == 0 && ngx_apigw_tree_compare(&item.key, &side->to) >= 0) {
            rc = MDB_CORRUPTED;
        }
    }

    if (rc == 0 && before > 0) {
        rc = ngx_apigw_tree_item(tree, view, before - 1, &near[0]);

    } else if (rc == 0 && side->before) {
        rc = ngx_apigw_tree_edge(tree, side->before, 1, &near[0]);
    }

    if (rc == 0 && before < view->n) {
        rc = ngx_apigw_tree_item(tree, view, before, &near[1]);

    } else if (rc == 0 && side->behind) {
        rc = ngx_apigw_tree_edge(tree, side->behind, 0, &near[1]);
    }

    if (rc != 0) {
        return rc;
    }

    return ((near[0].key.data && ngx_apigw_tree_compare(&near[0].key, &k) >= 0)
            || (near[1].key.data
                && ngx_apigw_tree_compare(&near[1].key, &k) <= 0))
           ? MDB_CORRUPTED : 0;
}


/*
 * The nodes of a leaf are in their order, and are all that is in it.  Counts
 * those before the key, if there is one.
 */

static int
ngx_apigw_tree_walk(const ngx_apigw_tree_t *tree, ngx_apigw_tree_view_t *view,
    const u_char *key, size_t len, ngx_uint_t *before)
{
    size_t      size, used;
    ngx_str_t   last, each, k;
    ngx_uint_t  i;

    k.data = (u_char *) key;
    k.len = len;

    *before = 0;
    used = 0;
    ngx_str_null(&last);

    for (i = 0; i < view->n; i++) {

        if (ngx_apigw_tree_node(tree, view, i) != 0) {
            return MDB_CORRUPTED;
        }

        each.data = (u_char *) view->node->key;
        each.len = view->len;

        if (i && ngx_apigw_tree_compare(&last, &each) >= 0) {
            return MDB_CORRUPTED;
        }

        if (key && ngx_apigw_tree_compare(&each, &k) < 0) {
            *before = i + 1;
        }

        size = (view->node->flags & NGX_APIGW_TREE_NODE_BIG)
               ? sizeof(uint64_t) : ngx_apigw_tree_size(view->node);
        size += sizeof(ngx_apigw_tree_node_t) + view->len;

        used += size + (size & 1);
        last = each;
    }

    return (used == tree->page - ngx_apigw_tree_load(&view->page->upper))
           ? 0 : MDB_CORRUPTED;
}


/* The first item of a tree, or the last one. */

static int
ngx_apigw_tree_edge(const ngx_apigw_tree_t *tree, uint64_t number,
    ngx_uint_t last, ngx_apigw_tree_item_t *item)
{
    ngx_uint_t             depth;
    ngx_apigw_tree_view_t  view;

    for (depth = 0; depth < NGX_APIGW_TREE_DEPTH; depth++) {

        if (ngx_apigw_tree_page(tree, number, &view) != 0 || view.n == 0) {
            return MDB_CORRUPTED;
        }

        if (view.leaf) {
            return ngx_apigw_tree_item(tree, &view, last ? view.n - 1 : 0,
                                       item);
        }

        if (ngx_apigw_tree_node(tree, &view, last ? view.n - 1 : 0) != 0) {
            return MDB_CORRUPTED;
        }

        number = ngx_apigw_tree_number(&view);
    }

    return MDB_CORRUPTED;
}


static int
ngx_apigw_tree_item(const ngx_apigw_tree_t *tree, ngx_apigw_tree_view_t *view,
    ngx_uint_t i, ngx_apigw_tree_item_t *item)
{
    if (i >= view->n || ngx_apigw_tree_node(tree, view, i) != 0) {
        return MDB_CORRUPTED;
    }

    item->key.data = (u_char *) view->node->key;
    item->key.len = view->len;

    return ngx_apigw_tree_data(tree, view, &item->value);
}


/* The node with the key, in its page. */

static int
ngx_apigw_tree_leaf(const ngx_apigw_tree_t *tree, uint64_t number,
    const u_char *key, size_t len, ngx_apigw_tree_view_t *view)
{
    int         rc;
    uint64_t    head;
    ngx_uint_t  depth;

    if (number == NGX_APIGW_TREE_NONE) {
        return MDB_NOTFOUND;
    }

    head = (len < sizeof(uint64_t)) ? 0 : ngx_apigw_tree_head(key);

    for (depth = 0; depth < NGX_APIGW_TREE_DEPTH; depth++) {

        rc = ngx_apigw_tree_page(tree, number, view);

        if (rc == 0) {
            rc = ngx_apigw_tree_search(tree, view, key, len, head);
        }

        if (rc != 0 || view->leaf) {
            return rc;
        }

        number = ngx_apigw_tree_number(view);
    }

    return MDB_CORRUPTED;
}


/* The node with the key in a leaf, that on the way to it in a branch. */

static ngx_inline int
ngx_apigw_tree_search(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, const u_char *key, size_t len, uint64_t head)
{
    int                           rc;
    size_t                        offset, last, least;
    uint64_t                      other;
    ngx_str_t                     one, two;
    ngx_uint_t                    low, high, i;
    const ngx_apigw_tree_node_t  *node;

    /* of a branch the first key is that before all others */

    low = view->leaf ? 0 : 1;
    high = view->n;

    /* nearly always the first bytes are enough, and are in the page */

    least = (len < sizeof(uint64_t)) ? NGX_MAX_UINT32_VALUE
                                     : sizeof(uint64_t);
    last = tree->page - sizeof(ngx_apigw_tree_node_t) - sizeof(uint64_t);

    while (low < high) {
        i = (low + high) / 2;
        offset = ngx_apigw_tree_load(&view->page->nodes[i]);

        if (offset >= view->lower && offset <= last && (offset & 1) == 0) {
            node = (const ngx_apigw_tree_node_t *) ((const u_char *) view->page
                                                   + offset);

            if (ngx_apigw_tree_load(&node->len) >= least) {
                other = ngx_apigw_tree_head(node->key);

                if (head < other) {
                    high = i;
                    continue;
                }

                if (head > other) {
                    low = i + 1;
                    continue;
                }
            }
        }

        if (ngx_apigw_tree_node(tree, view, i) != 0) {
            return MDB_CORRUPTED;
        }

        one.data = (u_char *) key;
        one.len = len;
        two.data = (u_char *) view->node->key;
        two.len = view->len;

        rc = ngx_apigw_tree_compare(&one, &two);

        if (rc == 0 && view->leaf) {
            return 0;
        }

        if (rc < 0) {
            high = i;

        } else {
            low = i + 1;
        }
    }

    if (view->leaf) {
        return MDB_NOTFOUND;
    }

    return (low > view->n) ? MDB_CORRUPTED
                           : ngx_apigw_tree_node(tree, view, low - 1);
}


static ngx_inline int
ngx_apigw_tree_page(const ngx_apigw_tree_t *tree, uint64_t number,
    ngx_apigw_tree_view_t *view)
{
    ngx_uint_t                    kind;
    const ngx_apigw_tree_page_t  *page;

    if (number < 2 || number >= tree->pages) {
        return MDB_CORRUPTED;
    }

    page = (const ngx_apigw_tree_page_t *) (tree->map + number * tree->page);

    view->page = page;
    view->lower = ngx_apigw_tree_load(&page->lower);

    kind = ngx_apigw_tree_load(&page->flags) & NGX_APIGW_TREE_PAGE_KINDS;

    if (page->number != number
        || (kind != NGX_APIGW_TREE_PAGE_BRANCH
            && kind != NGX_APIGW_TREE_PAGE_LEAF)
        || view->lower < sizeof(ngx_apigw_tree_page_t)
        || view->lower > tree->page)
    {
        return MDB_CORRUPTED;
    }

    view->leaf = (kind == NGX_APIGW_TREE_PAGE_LEAF);
    view->n = (view->lower - sizeof(ngx_apigw_tree_page_t)) / 2;

    return 0;
}


static ngx_inline int
ngx_apigw_tree_node(const ngx_apigw_tree_t *tree,
    ngx_apigw_tree_view_t *view, ngx_uint_t i)
{
    size_t  offset;

    offset = ngx_apigw_tree_load(&view->page->nodes[i]);

    if (offset < view->lower || (offset & 1)
        || offset + sizeof(ngx_apigw_tree_node_t) > tree->page)
    {
        return MDB_CORRUPTED;
    }

    view->node = (const ngx_apigw_tree_node_t *) ((const u_char *) view->page
                                                 + offset);

    view->len = ngx_apigw_tree_load(&view->node->len);
    view->i = i;

    return (offset + sizeof(ngx_apigw_tree_node_t) + view->len > tree->page)
           ? MDB_CORRUPTED : 0;
}


/* Of a branch's node: the page. */

static ngx_inline uint64_t
ngx_apigw_tree_number(const ngx_apigw_tree_view_t *view)
{
    const ngx_apigw_tree_node_t  *node;

    node = view->node;

    return (uint64_t) node->flags << 32 | (uint64_t) node->high << 16
           | node->low;
}


/* Of a leaf's node: how long the value is. */

static ngx_inline size_t
ngx_apigw_tree_size(const ngx_apigw_tree_node_t *node)
{
    return (size_t) ngx_apigw_tree_load(&node->high) << 16
           | ngx_apigw_tree_load(&node->low);
}


/* As a number that sorts as the bytes do. */

static ngx_inline uint64_t
ngx_apigw_tree_head(const u_char *key)
{
    uint64_t  n;

    ngx_memcpy(&n, key, sizeof(uint64_t));

    return __builtin_bswap64(n);
}


static int
ngx_apigw_tree_compare(const ngx_str_t *one, const ngx_str_t *two)
{
    int  rc;

    rc = ngx_memcmp(one->data, two->data, ngx_min(one->len, two->len));

    if (rc != 0) {
        return rc;
    }

    return (one->len > two->len) - (one->len < two->len);
}


/* What stands there is no tree and no list. */

static int
ngx_apigw_tree_data(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_view_t *view, ngx_str_t *value)
{
    if (view->node->flags & (NGX_APIGW_TREE_NODE_TREE
                             |NGX_APIGW_TREE_NODE_MANY))
    {
        return MDB_CORRUPTED;
    }

    return ngx_apigw_tree_value(tree, view, value);
}


static int
ngx_apigw_tree_value(const ngx_apigw_tree_t *tree,
    const ngx_apigw_tree_view_t *view, ngx_str_t *value)
{
    size_t                        left;
    uint64_t                      number;
    const u_char                 *p;
    const ngx_apigw_tree_page_t  *over;

    p = view->node->key + view->len;
    left = tree->page - (p - (const u_char *) view->page);

    value->len = ngx_apigw_tree_size(view->node);
    value->data = (u_char *) p;

    if (!(view->node->flags & NGX_APIGW_TREE_NODE_BIG)) {
        return value->len > left ? MDB_CORRUPTED : 0;
    }

    if (left < sizeof(uint64_t)) {
        return MDB_CORRUPTED;
    }

    ngx_memcpy(&number, p, sizeof(uint64_t));

    if (number < 2 || number >= tree->pages) {
        return MDB_CORRUPTED;
    }

    over = (const ngx_apigw_tree_page_t *) (tree->map + number * tree->page);
    p = (const u_char *) (over + 1);

    if (over->number != number
        || (over->flags & NGX_APIGW_TREE_PAGE_KINDS)
           != NGX_APIGW_TREE_PAGE_OVERFLOW
        || value->len > (size_t) (tree->map + tree->size - p))
    {
        return MDB_CORRUPTED;
    }

    value->data = (u_char *) p;

    return 0;
}
