/*
 * Copyright (C) the apigw authors
 */


/*
 * Damaged files of a store, for libFuzzer: the input changes bytes of a small
 * store, which then is read.  Nothing outside of it is touched, and every
 * look-up comes to an end.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I ... \
 *           t/fuzz/tree.c -llmdb
 *
 * with the include paths of t/unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <lmdb.h>

#include "ngx_apigw_tree.c"


#define must(condition)  if (!(condition)) __builtin_trap()

#define KEYS  300
#define LEN   32


typedef struct {
    u_char               pages[128 * 1024];
    size_t               size;
} image_t;


static const ngx_apigw_store_kind_t  kind = {
    "fuzz 1", { "keys", NULL }, 1024 * 1024
};


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
make_key(u_char *key, ngx_uint_t i)
{
    ngx_uint_t  k;

    for (k = 0; k < LEN; k++) {
        key[k] = (u_char) ((i * 2654435761U + k * 40503U) >> (k % 3 * 8));
    }
}


static void
make_image(image_t *image)
{
    int          fd;
    char         name[] = "/tmp/apigw-fuzz-XXXXXX";
    u_char       key[LEN], value[3000];
    MDB_dbi      dbi, meta;
    MDB_env     *env;
    MDB_txn     *txn;
    MDB_val      k, v;
    ngx_uint_t   i;

    fd = mkstemp(name);
    must(fd != -1 && unlink(name) == 0);

    must(mdb_env_create(&env) == 0
         && mdb_env_set_maxdbs(env, 4) == 0
         && mdb_env_open(env, name, MDB_NOSUBDIR|MDB_NOLOCK, 0600) == 0
         && mdb_txn_begin(env, NULL, 0, &txn) == 0
         && mdb_dbi_open(txn, "meta", MDB_CREATE, &meta) == 0
         && mdb_dbi_open(txn, "keys", MDB_CREATE, &dbi) == 0);

    memset(value, 'v', sizeof(value));

    k.mv_size = 6;
    k.mv_data = "format";
    v.mv_size = 6;
    v.mv_data = "fuzz 1";
    must(mdb_put(txn, meta, &k, &v, 0) == 0);

    for (i = 0; i < KEYS; i++) {
        make_key(key, i);
        k.mv_size = LEN;
        k.mv_data = key;
        v.mv_size = (i % 60 == 0) ? sizeof(value) : 40;
        v.mv_data = value;
        must(mdb_put(txn, dbi, &k, &v, 0) == 0);
    }

    must(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    (void) close(fd);

    fd = open(name, O_RDONLY);
    must(fd != -1);
    image->size = read(fd, image->pages, sizeof(image->pages));
    must(image->size > 8192 && image->size < sizeof(image->pages));
    must(unlink(name) == 0 && close(fd) == 0);
}


static void
touch(const ngx_str_t *s)
{
    volatile u_char  byte;

    if (s->len) {
        byte = s->data[0];
        byte = s->data[s->len - 1];
        (void) byte;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                 at;
    u_char                *map, key[LEN];
    ngx_str_t              value;
    ngx_uint_t             i;
    ngx_apigw_tree_t       tree;
    ngx_apigw_tree_item_t  near[2];
    ngx_apigw_tree_root_t  root;

    static image_t  image;

    if (image.size == 0) {
        make_image(&image);
    }

    /* of the exact size, so that a byte too far is noticed */

    map = malloc(image.size);
    must(map != NULL);
    memcpy(map, image.pages, image.size);

    for (i = 0; i + 4 <= size; i += 4) {
        at = (data[i] | data[i + 1] << 8 | (data[i + 2] & 1) << 16)
             % image.size;
        map[at] = data[i + 3];
    }

    if (ngx_apigw_tree_init(&tree, map, image.size) == 0) {

        (void) ngx_apigw_tree_probe(&tree, &kind);

        for (i = 0; i < KEYS + 20; i += 7) {
            make_key(key, i);

            if (ngx_apigw_tree_open(&tree, ngx_apigw_tree_txnid(&tree),
                                        "keys", &root)
                != 0)
            {
                break;
            }

            if (ngx_apigw_tree_near(&tree, &root, key, LEN, near) == 0) {
                must(size >= 4 || i >= KEYS);
                touch(&near[0].key);
                touch(&near[0].value);
                touch(&near[1].key);
                touch(&near[1].value);
            }

            if (ngx_apigw_tree_get(&tree, &root, key, LEN, &value) != 0) {
                must(size >= 4 || i >= KEYS);
                continue;
            }

            touch(&value);
        }
    }

    free(map);

    return 0;
}
