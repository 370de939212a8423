/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_STORE_H_INCLUDED_
#define _NGX_APIGW_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <lmdb.h>


/*
 * A store: one LMDB environment in a directory of its own, with up to
 * NGX_APIGW_STORE_DBS named databases.  Uses nothing of nginx but its types,
 * so that the command-line tool and the unit tests can link it.
 *
 * All functions return 0, an errno value, one of LMDB's negative codes, or
 * one of the codes below; ngx_apigw_store_strerror() has a text for each.
 */


#define NGX_APIGW_STORE_DBS      6

/* the kind is kept in a database of its own */

#define NGX_APIGW_STORE_META     "meta"
#define NGX_APIGW_STORE_FORMAT   "format"

/* how often to look again while others write */

#define NGX_APIGW_STORE_LOOKS    20

#define NGX_APIGW_STORE_EFORMAT  (-31001)   /* not this kind of store */
#define NGX_APIGW_STORE_EEMPTY   (-31002)   /* nothing was written yet */
#define NGX_APIGW_STORE_ESHORT   (-31003)   /* the data file was cut short */
#define NGX_APIGW_STORE_ELOST    (-31004)   /* the data file is gone */
#define NGX_APIGW_STORE_EMOVED   (-31005)   /* changed while it was read */
#define NGX_APIGW_STORE_EFILE    (-31006)   /* not a regular file */


typedef struct ngx_apigw_store_s  ngx_apigw_store_t;

typedef struct ngx_apigw_tree_item_s  ngx_apigw_tree_item_t;


typedef struct {
    const char          *format;    /* "apigw-keys 1", kept in the store */
    const char          *dbs[NGX_APIGW_STORE_DBS + 1];  /* NULL-terminated */
    size_t               map;       /* first size of the map, grows by itself */
} ngx_apigw_store_kind_t;


/* Who root was before it became somebody else for a while. */

#define NGX_APIGW_STORE_GROUPS   128

typedef struct {
    unsigned             entered:1;
    gid_t                gid;
    int                  n;
    gid_t                groups[NGX_APIGW_STORE_GROUPS];
} ngx_apigw_store_identity_t;


/* The body of a write transaction; what it returns but 0 aborts it. */

typedef int (*ngx_apigw_store_write_pt)(ngx_apigw_store_t *store,
    MDB_txn *txn, void *data);


#pragma GCC visibility push(hidden)


/*
 * Opens the store in an existing directory, creating its files.  To be called
 * after fork; a second open in the same process returns the same store and
 * counts, as LMDB forbids to open an environment twice.  Root opens it as the
 * owner of the directory.  On a read-only file system it can be read only.
 *
 * A data file that is empty or shorter than it says, or that is not there
 * beside its lock file, was damaged: no new store is made in its place.
 *
 * If the data file was replaced, its lock file is made anew.  Processes that
 * have it open find that out when they read or write, and open it again, or
 * by ngx_apigw_store_check().
 */

int ngx_apigw_store_open(ngx_apigw_store_t **store, const char *directory,
    const ngx_apigw_store_kind_t *kind);
void ngx_apigw_store_close(ngx_apigw_store_t *store);


/*
 * To be called about once a second where a store stays open: 0, or why it has
 * to be closed and opened again.
 */

int ngx_apigw_store_check(ngx_apigw_store_t *store);


/* How many times it was opened: versions of another time say nothing. */

ngx_uint_t ngx_apigw_store_opened(ngx_apigw_store_t *store);


/*
 * Which data file is open.  The two numbers are of no other file as long as
 * any process has it open.
 */

void ngx_apigw_store_file(ngx_apigw_store_t *store, dev_t *device,
    ino_t *inode);


/* Whether it was opened on a read-only file system: writing gives EROFS. */

ngx_uint_t ngx_apigw_store_read_only(ngx_apigw_store_t *store);


/*
 * Looks at the data file without mapping it: to touch a page behind the end
 * of a file that was cut short kills the process.  Returns 0 and what stat()
 * says of it, or why it cannot be used; ENOENT if it is not there.
 */

int ngx_apigw_store_inspect(const char *directory, struct stat *sb);


/*
 * Starts a read transaction, takes no lock and waits for nobody; one at a
 * time in a process.  What is read stays valid until
 * ngx_apigw_store_read_end().  NGX_APIGW_STORE_EEMPTY if nobody has written
 * to the store.
 */

int ngx_apigw_store_read(ngx_apigw_store_t *store, MDB_txn **txn);
void ngx_apigw_store_read_end(ngx_apigw_store_t *store);


/*
 * Whether what was read in the transaction, before it ends, was as it seemed.
 * On a read-only file system readers have no place to announce themselves,
 * and who writes to the same files elsewhere uses their pages again: the
 * first to do that is the third transaction after that of the reader.
 */

ngx_uint_t ngx_apigw_store_read_holds(ngx_apigw_store_t *store);


/*
 * Another way to read, for who serves requests: believes nothing that is in
 * the file, so a damaged one is MDB_CORRUPTED and nobody's end, and costs
 * less.  LMDB's functions are not for it.
 *
 *     for (i = 0; i < NGX_APIGW_STORE_LOOKS; i++) {
 *         rc = ngx_apigw_store_look(store, &version);
 *
 *         if (rc == 0) {
 *             ... ngx_apigw_store_get() ...
 *             rc = what is wrong, or ngx_apigw_store_look_end(store);
 *         }
 *
 *         if (rc != EAGAIN) { break; }
 *     }
 *
 * What is found lies in the file.  Others may write to it while it is read:
 * EAGAIN of _look_end(), which has to be called in any case after a _look()
 * of 0, says that it was not as it seemed, so it is to be copied and believed
 * afterwards.  _look() returns what _read() does, and EAGAIN.
 *
 * _get() returns 0, MDB_NOTFOUND, or what is wrong.  Wherever to find nothing
 * lets somebody pass, _near() says what stands before and behind the key, in
 * two items of ngx_apigw_tree.h.
 */

int ngx_apigw_store_look(ngx_apigw_store_t *store, uint64_t *version);
int ngx_apigw_store_look_end(ngx_apigw_store_t *store);
int ngx_apigw_store_get(ngx_apigw_store_t *store, ngx_uint_t n,
    const u_char *key, size_t len, ngx_str_t *value);
int ngx_apigw_store_near(ngx_apigw_store_t *store, ngx_uint_t n,
    const u_char *key, size_t len, ngx_apigw_tree_item_t *near);
uint64_t ngx_apigw_store_entries(ngx_apigw_store_t *store, ngx_uint_t n);


/*
 * Whether LMDB can write the value of a key: where it goes for that, the pages
 * are in order.  LMDB would move more of a damaged one than there is, and take
 * the process along.  To be asked in a write transaction.  Returns 0 or what
 * is wrong.
 */

int ngx_apigw_store_writable(ngx_apigw_store_t *store, MDB_txn *txn,
    ngx_uint_t n, const MDB_val *key);


/*
 * To be asked before the transaction ends, wherever to find nothing, or less,
 * lets somebody pass: pages behind the end of a file that was cut short read
 * as zeros up to the end of the last one.  0 or NGX_APIGW_STORE_ESHORT.
 */

int ngx_apigw_store_whole(ngx_apigw_store_t *store);


/* The handle of kind->dbs[n], valid within a transaction. */

MDB_dbi ngx_apigw_store_db(ngx_apigw_store_t *store, ngx_uint_t n);


/*
 * Runs write() in a transaction, again in a larger map as often as it does
 * not fit, and commits.  Waits for other writers, after
 * ngx_apigw_store_hurry() for half a second: EBUSY then.  Without address
 * space for a larger map nothing is changed, and the store has to be opened
 * again.
 */

int ngx_apigw_store_write(ngx_apigw_store_t *store,
    ngx_apigw_store_write_pt write, void *data);
void ngx_apigw_store_hurry(ngx_apigw_store_t *store);


/*
 * Makes room for so many bytes more, for a large transaction that would
 * otherwise be run again and again in maps that are too small.
 */

int ngx_apigw_store_reserve(ngx_apigw_store_t *store, size_t size);


/*
 * The number of the last committed transaction of any process: what was read
 * in a transaction of an equal mdb_txn_id() still holds.  A writer that is
 * just committing may show here before a new reader sees it.
 */

uint64_t ngx_apigw_store_version(ngx_apigw_store_t *store);


/* Frees the slots of readers that were killed; returns how many. */

int ngx_apigw_store_check_readers(ngx_apigw_store_t *store);


/*
 * Root must not touch files in a directory of another user as root: a link
 * that lies there would lead it anywhere.
 *
 * _become_owner() takes the identity of the directory's owner for good if the
 * process is root's; _enter_owner() for a while, until _leave_owner().
 */

int ngx_apigw_store_become_owner(const char *directory);
int ngx_apigw_store_enter_owner(const char *directory,
    ngx_apigw_store_identity_t *saved);
void ngx_apigw_store_leave_owner(const ngx_apigw_store_identity_t *saved);


const char *ngx_apigw_store_strerror(int rc);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_STORE_H_INCLUDED_ */
