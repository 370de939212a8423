/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_tree.h"


#define NGX_APIGW_KEY_TREE_DEPTH     32
#define NGX_APIGW_KEY_TREE_MAGIC     0xbeefc0de
#define NGX_APIGW_KEY_TREE_VERSION   1
#define NGX_APIGW_KEY_TREE_NONE      UINT64_MAX

#define NGX_APIGW_KEY_PAGE_BRANCH    0x01
#define NGX_APIGW_KEY_PAGE_LEAF      0x02
#define NGX_APIGW_KEY_PAGE_OVERFLOW  0x04
#define NGX_APIGW_KEY_PAGE_KINDS     0x6f    /* with what is not for us */

#define NGX_APIGW_KEY_NODE_BIG       0x01
#define NGX_APIGW_KEY_NODE_TREE      0x02
#define NGX_APIGW_KEY_NODE_MANY      0x04


typedef struct {
    uint64_t             number;
    uint16_t             pad;
    uint16_t             flags;
    uint16_t             lower;     /* behind the offsets of the nodes */
    uint16_t             upper;     /* the first node */
    uint16_t             nodes[];
} ngx_apigw_key_page_t;


typedef struct {
    uint16_t             low;       /* of the length or the page's number */
    uint16_t             high;
    uint16_t             flags;     /* or still higher */
    uint16_t             len;       /* of the key */
    u_char               key[];
} ngx_apigw_key_node_t;


typedef struct {
    uint32_t             pad;       /* of the first: the size of a page */
    uint16_t             flags;
    uint16_t             depth;
    uint64_t             pages[3];
    uint64_t             entries;
    uint64_t             root;
} ngx_apigw_key_db_t;


typedef struct {
    uint64_t             page[2];   /* its head */
    uint32_t             magic;
    uint32_t             version;
    uint64_t             address;
    uint64_t             map_size;
    ngx_apigw_key_db_t   dbs[2];    /* of free pages, of databases */
    uint64_t             last_page;
    uint64_t             txnid;
} ngx_apigw_key_meta_t;


/*
 * A page, and one of its nodes.  What is checked is read once: on a read-only
 * file system a writer elsewhere may use the page again meanwhile.
 */

typedef struct {
    const ngx_apigw_key_page_t  *page;
    ngx_uint_t           leaf;
    size_t               lower;
    size_t               n;         /* nodes */
    const ngx_apigw_key_node_t  *node;
    size_t               len;       /* of its key */
} ngx_apigw_key_view_t;


#define ngx_apigw_key_tree_load(p)  __atomic_load_n(p, __ATOMIC_RELAXED)


static uint64_t ngx_apigw_key_tree_txnid(const ngx_apigw_key_tree_t *tree);
static int ngx_apigw_key_tree_leaf(const ngx_apigw_key_tree_t *tree,
    uint64_t number, const u_char *key, size_t len,
    ngx_apigw_key_view_t *view);
static ngx_inline int ngx_apigw_key_tree_search(
    const ngx_apigw_key_tree_t *tree, ngx_apigw_key_view_t *view,
    const u_char *key, size_t len, uint64_t head);
static ngx_inline int ngx_apigw_key_tree_page(const ngx_apigw_key_tree_t *tree,
    uint64_t number, ngx_apigw_key_view_t *view);
static ngx_inline int ngx_apigw_key_tree_node(const ngx_apigw_key_tree_t *tree,
    ngx_apigw_key_view_t *view, ngx_uint_t i);
static ngx_inline uint64_t ngx_apigw_key_tree_head(const u_char *key);
static int ngx_apigw_key_tree_compare(const u_char *one, size_t one_len,
    const u_char *two, size_t two_len);
static int ngx_apigw_key_tree_value(const ngx_apigw_key_tree_t *tree,
    const ngx_apigw_key_view_t *view, ngx_str_t *value);


int
ngx_apigw_key_tree_init(ngx_apigw_key_tree_t *tree, const void *map,
    size_t size)
{
    const ngx_apigw_key_meta_t  *meta;

    if (map == NULL || size < sizeof(ngx_apigw_key_meta_t)) {
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


int
ngx_apigw_key_tree_open(const ngx_apigw_key_tree_t *tree, uint64_t txnid,
    const char *name, uint64_t *root)
{
    int                          rc;
    uint64_t                     top;
    ngx_str_t                    value;
    ngx_apigw_key_db_t           db;
    ngx_apigw_key_view_t         view;
    const ngx_apigw_key_meta_t  *meta;

    /* a writer uses them by turns */

    meta = (const ngx_apigw_key_meta_t *) (tree->map
                                           + (txnid & 1) * tree->page);

    if (meta->magic != NGX_APIGW_KEY_TREE_MAGIC
        || meta->version != NGX_APIGW_KEY_TREE_VERSION)
    {
        return MDB_CORRUPTED;
    }

    top = __atomic_load_n(&meta->dbs[1].root, __ATOMIC_ACQUIRE);

    if (__atomic_load_n(&meta->txnid, __ATOMIC_ACQUIRE) != txnid) {
        return EAGAIN;
    }

    rc = ngx_apigw_key_tree_leaf(tree, top, (const u_char *) name,
                                 strlen(name), &view);
    if (rc != 0) {
        return rc;
    }

    if (!(view.node->flags & NGX_APIGW_KEY_NODE_TREE)
        || ngx_apigw_key_tree_value(tree, &view, &value) != 0
        || value.len != sizeof(ngx_apigw_key_db_t))
    {
        return MDB_CORRUPTED;
    }

    ngx_memcpy(&db, value.data, sizeof(ngx_apigw_key_db_t));

    *root = db.root;

    return 0;
}


int
ngx_apigw_key_tree_probe(const ngx_apigw_key_tree_t *tree,
    const ngx_apigw_store_kind_t *kind)
{
    int         rc;
    uint64_t    txnid, root;
    ngx_str_t   value;
    ngx_uint_t  i;

    txnid = ngx_apigw_key_tree_txnid(tree);

    rc = ngx_apigw_key_tree_open(tree, txnid, NGX_APIGW_STORE_META, &root);

    if (rc == 0) {
        rc = ngx_apigw_key_tree_get(tree, root,
                                    (const u_char *) NGX_APIGW_STORE_FORMAT,
                                    sizeof(NGX_APIGW_STORE_FORMAT) - 1,
                                    &value);
    }

    for (i = 0; kind->dbs[i] && rc != MDB_CORRUPTED; i++) {
        rc = ngx_apigw_key_tree_open(tree, txnid, kind->dbs[i], &root);
    }

    /* nothing keeps the pages: while others write they may be anything */

    return (rc == MDB_CORRUPTED && ngx_apigw_key_tree_txnid(tree) == txnid)
           ? rc : 0;
}


static uint64_t
ngx_apigw_key_tree_txnid(const ngx_apigw_key_tree_t *tree)
{
    uint64_t                     one, two;
    const ngx_apigw_key_meta_t  *meta;

    meta = (const ngx_apigw_key_meta_t *) tree->map;
    one = __atomic_load_n(&meta->txnid, __ATOMIC_ACQUIRE);

    meta = (const ngx_apigw_key_meta_t *) (tree->map + tree->page);
    two = __atomic_load_n(&meta->txnid, __ATOMIC_ACQUIRE);

    return ngx_max(one, two);
}


int
ngx_apigw_key_tree_get(const ngx_apigw_key_tree_t *tree, uint64_t root,
    const u_char *key, size_t len, ngx_str_t *value)
{
    int                   rc;
    ngx_apigw_key_view_t  view;

    rc = ngx_apigw_key_tree_leaf(tree, root, key, len, &view);

    if (rc != 0) {
        return rc;
    }

    if (view.node->flags & (NGX_APIGW_KEY_NODE_TREE|NGX_APIGW_KEY_NODE_MANY)) {
        return MDB_CORRUPTED;
    }

    return ngx_apigw_key_tree_value(tree, &view, value);
}


/* The node with the key, in its page. */

static int
ngx_apigw_key_tree_leaf(const ngx_apigw_key_tree_t *tree, uint64_t number,
    const u_char *key, size_t len, ngx_apigw_key_view_t *view)
{
    int                          rc;
    uint64_t                     head;
    ngx_uint_t                   depth;
    const ngx_apigw_key_node_t  *node;

    if (number == NGX_APIGW_KEY_TREE_NONE) {
        return MDB_NOTFOUND;
    }

    head = (len < sizeof(uint64_t)) ? 0 : ngx_apigw_key_tree_head(key);

    for (depth = 0; depth < NGX_APIGW_KEY_TREE_DEPTH; depth++) {

        rc = ngx_apigw_key_tree_page(tree, number, view);

        if (rc == 0) {
            rc = ngx_apigw_key_tree_search(tree, view, key, len, head);
        }

        if (rc != 0 || view->leaf) {
            return rc;
        }

        node = view->node;

        number = (uint64_t) node->flags << 32 | (uint64_t) node->high << 16
                 | node->low;
    }

    return MDB_CORRUPTED;
}


/* The node with the key in a leaf, that on the way to it in a branch. */

static ngx_inline int
ngx_apigw_key_tree_search(const ngx_apigw_key_tree_t *tree,
    ngx_apigw_key_view_t *view, const u_char *key, size_t len, uint64_t head)
{
    int                          rc;
    size_t                       offset, last, least;
    uint64_t                     other;
    ngx_uint_t                   low, high, i;
    const ngx_apigw_key_node_t  *node;

    /* of a branch the first key is that before all others */

    low = view->leaf ? 0 : 1;
    high = view->n;

    /* nearly always the first bytes are enough, and are in the page */

    least = (len < sizeof(uint64_t)) ? NGX_MAX_UINT32_VALUE
                                     : sizeof(uint64_t);
    last = tree->page - sizeof(ngx_apigw_key_node_t) - sizeof(uint64_t);

    while (low < high) {
        i = (low + high) / 2;
        offset = ngx_apigw_key_tree_load(&view->page->nodes[i]);

        if (offset >= view->lower && offset <= last && (offset & 1) == 0) {
            node = (const ngx_apigw_key_node_t *) ((const u_char *) view->page
                                                   + offset);

            if (ngx_apigw_key_tree_load(&node->len) >= least) {
                other = ngx_apigw_key_tree_head(node->key);

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

        if (ngx_apigw_key_tree_node(tree, view, i) != 0) {
            return MDB_CORRUPTED;
        }

        rc = ngx_apigw_key_tree_compare(key, len, view->node->key, view->len);

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
                           : ngx_apigw_key_tree_node(tree, view, low - 1);
}


static ngx_inline int
ngx_apigw_key_tree_page(const ngx_apigw_key_tree_t *tree, uint64_t number,
    ngx_apigw_key_view_t *view)
{
    ngx_uint_t                   kind;
    const ngx_apigw_key_page_t  *page;

    if (number < 2 || number >= tree->pages) {
        return MDB_CORRUPTED;
    }

    page = (const ngx_apigw_key_page_t *) (tree->map + number * tree->page);

    view->page = page;
    view->lower = ngx_apigw_key_tree_load(&page->lower);

    kind = ngx_apigw_key_tree_load(&page->flags) & NGX_APIGW_KEY_PAGE_KINDS;

    if (page->number != number
        || (kind != NGX_APIGW_KEY_PAGE_BRANCH
            && kind != NGX_APIGW_KEY_PAGE_LEAF)
        || view->lower < sizeof(ngx_apigw_key_page_t)
        || view->lower > tree->page)
    {
        return MDB_CORRUPTED;
    }

    view->leaf = (kind == NGX_APIGW_KEY_PAGE_LEAF);
    view->n = (view->lower - sizeof(ngx_apigw_key_page_t)) / 2;

    return 0;
}


static ngx_inline int
ngx_apigw_key_tree_node(const ngx_apigw_key_tree_t *tree,
    ngx_apigw_key_view_t *view, ngx_uint_t i)
{
    size_t  offset;

    offset = ngx_apigw_key_tree_load(&view->page->nodes[i]);

    if (offset < view->lower || (offset & 1)
        || offset + sizeof(ngx_apigw_key_node_t) > tree->page)
    {
        return MDB_CORRUPTED;
    }

    view->node = (const ngx_apigw_key_node_t *) ((const u_char *) view->page
                                                 + offset);

    view->len = ngx_apigw_key_tree_load(&view->node->len);

    return (offset + sizeof(ngx_apigw_key_node_t) + view->len > tree->page)
           ? MDB_CORRUPTED : 0;
}


/* As a number that sorts as the bytes do. */

static ngx_inline uint64_t
ngx_apigw_key_tree_head(const u_char *key)
{
    uint64_t  n;

    ngx_memcpy(&n, key, sizeof(uint64_t));

    return __builtin_bswap64(n);
}


static int
ngx_apigw_key_tree_compare(const u_char *one, size_t one_len,
    const u_char *two, size_t two_len)
{
    int  rc;

    rc = ngx_memcmp(one, two, ngx_min(one_len, two_len));

    if (rc != 0) {
        return rc;
    }

    return (one_len > two_len) - (one_len < two_len);
}


static int
ngx_apigw_key_tree_value(const ngx_apigw_key_tree_t *tree,
    const ngx_apigw_key_view_t *view, ngx_str_t *value)
{
    size_t                       left;
    uint64_t                     number;
    const u_char                *p;
    const ngx_apigw_key_page_t  *over;

    p = view->node->key + view->len;
    left = tree->page - (p - (const u_char *) view->page);

    value->len = (size_t) ngx_apigw_key_tree_load(&view->node->high) << 16
                 | ngx_apigw_key_tree_load(&view->node->low);
    value->data = (u_char *) p;

    if (!(view->node->flags & NGX_APIGW_KEY_NODE_BIG)) {
        return value->len > left ? MDB_CORRUPTED : 0;
    }

    if (left < sizeof(uint64_t)) {
        return MDB_CORRUPTED;
    }

    ngx_memcpy(&number, p, sizeof(uint64_t));

    if (number < 2 || number >= tree->pages) {
        return MDB_CORRUPTED;
    }

    over = (const ngx_apigw_key_page_t *) (tree->map + number * tree->page);
    p = (const u_char *) (over + 1);

    if (over->number != number
        || (over->flags & NGX_APIGW_KEY_PAGE_KINDS)
           != NGX_APIGW_KEY_PAGE_OVERFLOW
        || value->len > (size_t) (tree->map + tree->size - p))
    {
        return MDB_CORRUPTED;
    }

    value->data = (u_char *) p;

    return 0;
}
