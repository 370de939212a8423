/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "ngx_apigw_store.h"
#include "ngx_apigw_store_file.h"
#include "ngx_apigw_store_view.h"


/*
 * What lives here: the LMDB environments that this process has open.  A list
 * of the process and not of a cycle, because LMDB forbids to open a file
 * twice in a process and the configurations of two cycles may name the same
 * directory; it is used by one thread.
 *
 * A process that is killed leaves a reader's slot, freed by
 * ngx_apigw_store_check_readers(), and LMDB's writer mutex, which is robust:
 * the next writer recovers it.  Readers take no lock; after a reader finds
 * the map too small (another process has grown it) it maps the new size.
 *
 * A data file is never seen half made: a new one gets its name when it is
 * complete, and before there is a lock file.  So what is empty, too short, or
 * missing beside a lock file was a store once.
 *
 * LMDB keeps the number of the last transaction in the lock file, and which
 * state of the data file counts depends on it.  If another data file comes to
 * stand beside it, that state is any: one before a key was revoked.  So whoever
 * finds that the two do not belong together opens the store anew, and gives
 * the data file a lock file of its own; processes open it one after another.
 * A writer looks at the names of its files before it commits.  It holds a
 * flock on the data file meanwhile: how long a disk takes to commit nobody
 * knows, and the lock file of one that does must not be made anew.  It is
 * taken before LMDB's mutex, for which nobody can wait for a limited time:
 * a writer may be stopped.
 */


#ifndef NGX_APIGW_STORE_MAX
#define NGX_APIGW_STORE_MAX      ((size_t) 1 << 40)
#endif

#define NGX_APIGW_STORE_MAP      ((size_t) 64 * 1024 * 1024)

/* in milliseconds: for others that open it, for one that commits or writes */

#define NGX_APIGW_STORE_WAIT     500
#define NGX_APIGW_STORE_COMMIT   50
#define NGX_APIGW_STORE_HURRY    500

#define NGX_APIGW_STORE_TRIES    5
#define NGX_APIGW_STORE_SETTLE   1000


static ngx_apigw_store_t *ngx_apigw_store_find(const char *directory,
    struct stat *sb);
static int ngx_apigw_store_open_env(ngx_apigw_store_t *store);
static int ngx_apigw_store_reopen(ngx_apigw_store_t *store);
static int ngx_apigw_store_open_lock(ngx_apigw_store_t *store, int *fd);
static int ngx_apigw_store_open_pair(ngx_apigw_store_t *store);
static int ngx_apigw_store_in_place(ngx_apigw_store_t *store);
static int ngx_apigw_store_belongs(ngx_apigw_store_t *store);
static int ngx_apigw_store_open_files(ngx_apigw_store_t *store,
    unsigned flags);
static int ngx_apigw_store_map(ngx_apigw_store_t *store, size_t size);
static int ngx_apigw_store_begin(ngx_apigw_store_t *store, unsigned flags,
    MDB_txn **txn);
static int ngx_apigw_store_start(ngx_apigw_store_t *store);
static int ngx_apigw_store_settle(ngx_apigw_store_t *store);
static int ngx_apigw_store_handles(ngx_apigw_store_t *store);
static int ngx_apigw_store_run(ngx_apigw_store_t *store,
    ngx_apigw_store_write_pt write, void *data);
static int ngx_apigw_store_announce(ngx_apigw_store_t *store);
static ngx_uint_t ngx_apigw_store_announced(ngx_apigw_store_t *store);
static int ngx_apigw_store_open_dbs(ngx_apigw_store_t *store, MDB_txn *txn,
    unsigned flags);
static int ngx_apigw_store_check_format(ngx_apigw_store_t *store,
    MDB_txn *txn, unsigned flags);
static int ngx_apigw_store_grow(ngx_apigw_store_t *store);


static ngx_apigw_store_t  *ngx_apigw_stores;
static ngx_uint_t          ngx_apigw_store_busy;  /* waited for in vain */


int
ngx_apigw_store_open(ngx_apigw_store_t **sp, const char *directory,
    const ngx_apigw_store_kind_t *kind)
{
    int                 rc;
    struct stat         sb;
    ngx_apigw_store_t  *store;

    if (stat(directory, &sb) == -1) {
        return errno;
    }

    if (!S_ISDIR(sb.st_mode)) {
        return ENOTDIR;
    }

    store = ngx_apigw_store_find(directory, &sb);

    if (store) {
        if (strcmp(store->kind->format, kind->format) != 0) {
            return NGX_APIGW_STORE_EFORMAT;
        }

        store->kind = kind;
        store->refs++;
        *sp = store;
        return 0;
    }

    store = calloc(1, sizeof(ngx_apigw_store_t) + strlen(directory) + 1);
    if (store == NULL) {
        return ENOMEM;
    }

    store->kind = kind;
    store->directory = (char *) (store + 1);
    store->device = sb.st_dev;
    store->inode = sb.st_ino;
    store->pid = getpid();

    strcpy(store->directory, directory);

    rc = ngx_apigw_store_open_env(store);

    if (rc != 0) {
        mdb_env_close(store->env);
        free(store);
        return rc;
    }

    store->refs = 1;
    store->next = ngx_apigw_stores;
    ngx_apigw_stores = store;

    *sp = store;

    return 0;
}


/*
 * An environment opened before a fork must not be used after it; what the
 * parent had open is passed over, and what was replaced since.
 */

static ngx_apigw_store_t *
ngx_apigw_store_find(const char *directory, struct stat *sb)
{
    ngx_apigw_store_t        *store;
    ngx_apigw_store_files_t   files;

    for (store = ngx_apigw_stores; store; store = store->next) {

        if (store->device != sb->st_dev
            || store->inode != sb->st_ino
            || store->pid != getpid())
        {
            continue;
        }

        ngx_apigw_store_names(directory, &files);

        if (ngx_memcmp(&store->files, &files, sizeof(ngx_apigw_store_files_t))
            == 0)
        {
            return store;
        }
    }

    return NULL;
}


static int
ngx_apigw_store_open_env(ngx_apigw_store_t *store)
{
    int                         fd, rc;
    MDB_txn                    *txn;
    ngx_uint_t                  i;
    ngx_apigw_store_identity_t  saved;

    rc = ngx_apigw_store_enter_owner(store->directory, &saved);

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_store_open_lock(store, &fd);

    if (rc == 0) {

        for (i = 0; i < NGX_APIGW_STORE_TRIES; i++) {
            rc = ngx_apigw_store_open_pair(store);

            if (rc != ESTALE) {
                break;
            }
        }

        (void) close(fd);
    }

    ngx_apigw_store_leave_owner(&saved);

    if (rc != 0) {
        return rc;
    }

    (void) ngx_apigw_store_check_readers(store);

    rc = ngx_apigw_store_begin(store, MDB_RDONLY, &txn);

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_store_check_format(store, txn, 0);

    mdb_txn_abort(txn);

    return rc == NGX_APIGW_STORE_EEMPTY ? 0 : rc;
}


/* The files are others: nothing that was read or known before holds. */

static int
ngx_apigw_store_reopen(ngx_apigw_store_t *store)
{
    if (store->txn) {
        mdb_txn_abort(store->txn);
        store->txn = NULL;
    }

    store->ready = 0;
    store->lost = ngx_apigw_store_open_env(store);

    return store->lost;
}


/*
 * Others who open the store wait, not for ever: one of them may be stopped.
 * Who has waited in vain does not do so again, as long as that goes on.
 */

static int
ngx_apigw_store_open_lock(ngx_apigw_store_t *store, int *fd)
{
    ngx_uint_t  i;

    *fd = open(store->directory, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (*fd == -1) {
        return errno;
    }

    for (i = 0; flock(*fd, LOCK_EX|LOCK_NB) == -1; i++) {

        if (errno != EWOULDBLOCK) {

            /* a file system without such locks */

            return 0;
        }

        if (i == NGX_APIGW_STORE_WAIT || ngx_apigw_store_busy) {
            ngx_apigw_store_busy = 1;
            (void) close(*fd);
            return EBUSY;
        }

        (void) usleep(1000);
    }

    ngx_apigw_store_busy = 0;

    return 0;
}


/* ESTALE if the files do not belong together: the lock file is then gone. */

static int
ngx_apigw_store_open_pair(ngx_apigw_store_t *store)
{
    int                       rc;
    char                      lock[NGX_MAX_PATH];
    ngx_apigw_store_t        *other;
    ngx_apigw_store_files_t   files;

    rc = ngx_apigw_store_name(lock, store->directory, NGX_APIGW_STORE_LOCK);

    if (rc != 0) {
        return rc;
    }

    ngx_apigw_store_view_close(&store->view);
    mdb_env_close(store->env);
    store->env = NULL;
    store->read_only = 0;

    ngx_apigw_store_names(store->directory, &files);

    for (other = ngx_apigw_stores; other; other = other->next) {

        /* closing one of two would take the locks of both */

        if (other != store && files.lock && other->files.lock == files.lock
            && other->files.device == files.device && other->pid == getpid())
        {
            return (unlink(lock) == -1) ? errno : ESTALE;
        }
    }

    rc = ngx_apigw_store_prepare(store->directory,
                                 store->kind->map ? store->kind->map
                                                  : NGX_APIGW_STORE_MAP);
    if (rc == 0) {
        rc = ngx_apigw_store_probe(store->directory, store->kind);
    }

    if (rc == 0) {
        rc = ngx_apigw_store_open_files(store, 0);
    }

    if (rc == EROFS) {
        store->read_only = 1;
        rc = ngx_apigw_store_open_files(store, MDB_RDONLY);
        rc = (rc == ENOENT) ? EROFS : rc;
    }

    if (rc == 0) {
        store->opened++;
        rc = ngx_apigw_store_belongs(store);
    }

    if (rc == ESTALE) {
        ngx_apigw_store_names(store->directory, &files);

        if (files.lock && files.lock == store->files.lock
            && unlink(lock) == -1)
        {
            return errno;
        }
    }

    return rc;
}


static int
ngx_apigw_store_in_place(ngx_apigw_store_t *store)
{
    ngx_apigw_store_files_t  files;

    ngx_apigw_store_names(store->directory, &files);

    if (files.data == 0) {
        return NGX_APIGW_STORE_ELOST;
    }

    return ngx_memcmp(&store->files, &files, sizeof(ngx_apigw_store_files_t))
           == 0 ? ngx_apigw_store_whole(store) : ESTALE;
}


/*
 * Whether the data file just opened is that of the lock file: a new reader
 * begins at its last transaction, but for the moment in which a writer
 * commits.
 */

static int
ngx_apigw_store_belongs(ngx_apigw_store_t *store)
{
    int          rc;
    MDB_txn     *txn;
    uint64_t     id, version;
    ngx_uint_t   i;
    struct stat  sb;

    rc = mdb_env_get_fd(store->env, &store->fd);

    if (rc != 0) {
        return rc;
    }

    ngx_apigw_store_names(store->directory, &store->files);

    if (fstat(store->fd, &sb) == -1) {
        return errno;
    }

    store->size = sb.st_size;
    store->modified = sb.st_mtim;
    store->touched = 0;

    if (sb.st_ino != store->files.data || sb.st_dev != store->files.device) {
        store->files.data = sb.st_ino;
        store->files.device = sb.st_dev;
        return ESTALE;
    }

    id = 0;
    version = 0;

    for (i = 0; i < NGX_APIGW_STORE_COMMIT; i++) {
        rc = ngx_apigw_store_begin(store, MDB_RDONLY, &txn);

        if (rc != 0) {
            return rc;
        }

        id = mdb_txn_id(txn);
        mdb_txn_abort(txn);

        version = ngx_apigw_store_version(store);

        if (id >= version) {
            return id == version ? 0 : ESTALE;
        }

        (void) usleep(1000);
    }

    return (id + 1 == version && ngx_apigw_store_announced(store)) ? 0
                                                                   : ESTALE;
}


static int
ngx_apigw_store_open_files(ngx_apigw_store_t *store, unsigned flags)
{
    int     rc;
    size_t  map;

    mdb_env_close(store->env);

    rc = mdb_env_create(&store->env);

    if (rc != 0) {
        store->env = NULL;
        return rc;
    }

    map = store->kind->map ? store->kind->map : NGX_APIGW_STORE_MAP;

    if ((rc = mdb_env_set_maxdbs(store->env, NGX_APIGW_STORE_DBS + 1)) != 0
        || (rc = mdb_env_set_maxreaders(store->env, NGX_APIGW_STORE_READERS))
           != 0
        || (rc = mdb_env_set_mapsize(store->env, map)) != 0)
    {
        return rc;
    }

    return mdb_env_open(store->env, store->directory,
                        MDB_NOTLS|MDB_NORDAHEAD|flags, 0600);
}


/* When this fails LMDB has no map any more and must not be asked anything. */

static int
ngx_apigw_store_map(ngx_apigw_store_t *store, size_t size)
{
    store->lost = mdb_env_set_mapsize(store->env, size);

    return store->lost;
}


ngx_uint_t
ngx_apigw_store_read_only(ngx_apigw_store_t *store)
{
    return store->read_only;
}


void
ngx_apigw_store_close(ngx_apigw_store_t *store)
{
    ngx_apigw_store_t  **p;

    if (--store->refs) {
        return;
    }

    for (p = &ngx_apigw_stores; *p; p = &(*p)->next) {
        if (*p == store) {
            *p = store->next;
            break;
        }
    }

    ngx_apigw_store_view_close(&store->view);

    if (store->pid == getpid()) {

        if (store->txn) {
            mdb_txn_abort(store->txn);
        }

        mdb_env_close(store->env);
    }

    free(store);
}


static int
ngx_apigw_store_begin(ngx_apigw_store_t *store, unsigned flags, MDB_txn **txn)
{
    int  rc;

    if (store->lost) {
        return store->lost;
    }

    rc = mdb_txn_begin(store->env, NULL, flags, txn);

    if (rc == MDB_MAP_RESIZED) {

        /* another process has grown the map */

        rc = ngx_apigw_store_map(store, 0);

        if (rc == 0) {
            rc = mdb_txn_begin(store->env, NULL, flags, txn);
        }
    }

    return rc;
}


/*
 * Whether the store is of this kind.  A new one has no meta database; a
 * writer gives it one.
 */

static int
ngx_apigw_store_check_format(ngx_apigw_store_t *store, MDB_txn *txn,
    unsigned flags)
{
    int          rc;
    MDB_dbi      dbi;
    MDB_val      key, value;
    const char  *format;

    format = store->kind->format;

    key.mv_data = (void *) NGX_APIGW_STORE_FORMAT;
    key.mv_size = sizeof(NGX_APIGW_STORE_FORMAT) - 1;

    rc = mdb_dbi_open(txn, NGX_APIGW_STORE_META, flags, &dbi);

    if (rc == MDB_NOTFOUND) {
        return NGX_APIGW_STORE_EEMPTY;
    }

    if (rc != 0) {
        return rc == MDB_INCOMPATIBLE ? NGX_APIGW_STORE_EFORMAT : rc;
    }

    rc = mdb_get(txn, dbi, &key, &value);

    if (rc == MDB_NOTFOUND && (flags & MDB_CREATE)) {
        value.mv_data = (void *) format;
        value.mv_size = strlen(format);

        return mdb_put(txn, dbi, &key, &value, 0);
    }

    if (rc != 0) {
        return rc == MDB_NOTFOUND ? NGX_APIGW_STORE_EFORMAT : rc;
    }

    if (value.mv_size != strlen(format)
        || memcmp(value.mv_data, format, value.mv_size) != 0)
    {
        return NGX_APIGW_STORE_EFORMAT;
    }

    return 0;
}


static int
ngx_apigw_store_open_dbs(ngx_apigw_store_t *store, MDB_txn *txn,
    unsigned flags)
{
    int         rc;
    ngx_uint_t  n;

    rc = ngx_apigw_store_check_format(store, txn, flags);

    for (n = 0; rc == 0 && store->kind->dbs[n]; n++) {
        rc = mdb_dbi_open(txn, store->kind->dbs[n], flags, &store->dbs[n]);
    }

    return rc == MDB_NOTFOUND ? NGX_APIGW_STORE_EEMPTY : rc;
}


int
ngx_apigw_store_read(ngx_apigw_store_t *store, MDB_txn **txn)
{
    int  rc;

    rc = ngx_apigw_store_pin(store, 1);

    *txn = (rc == 0) ? store->txn : NULL;

    return rc;
}


int
ngx_apigw_store_pin(ngx_apigw_store_t *store, ngx_uint_t handles)
{
    int         rc;
    ngx_uint_t  i;

    for (i = 0; i < NGX_APIGW_STORE_TRIES; i++) {

        rc = ngx_apigw_store_start(store);

        if (rc == 0
            && mdb_txn_id(store->txn) != ngx_apigw_store_version(store))
        {
            rc = ngx_apigw_store_settle(store);
        }

        if (rc == 0 && handles && !store->ready) {
            rc = ngx_apigw_store_handles(store);
        }

        if (rc == 0) {
            store->reading = 1;
            return 0;
        }

        if (rc != ESTALE) {
            return rc;
        }

        rc = ngx_apigw_store_reopen(store);

        if (rc != 0) {
            return rc;
        }
    }

    return ESTALE;
}


static int
ngx_apigw_store_start(ngx_apigw_store_t *store)
{
    int  rc;

    if (store->lost) {
        return store->lost;
    }

    if (store->txn == NULL) {
        rc = ngx_apigw_store_begin(store, MDB_RDONLY, &store->txn);

        if (rc != 0) {
            store->txn = NULL;
        }

        return rc;
    }

    rc = mdb_txn_renew(store->txn);

    if (rc == MDB_MAP_RESIZED) {
        rc = ngx_apigw_store_map(store, 0);

        if (rc == 0) {
            rc = mdb_txn_renew(store->txn);
        }
    }

    return rc;
}


/*
 * The reader is not where the file is.  It may be one behind, while a writer
 * commits or after one has; if it was more, then there were several of them,
 * and a new reader is further.
 */

static int
ngx_apigw_store_settle(ngx_apigw_store_t *store)
{
    int         rc;
    uint64_t    id, version, last;
    ngx_uint_t  i;

    last = 0;

    for (i = 0; i < NGX_APIGW_STORE_SETTLE; i++) {

        id = mdb_txn_id(store->txn);
        version = ngx_apigw_store_version(store);

        if (id == version || id + 1 == version) {
            return 0;
        }

        if (id > version || id == last) {
            mdb_txn_abort(store->txn);
            store->txn = NULL;
            return ESTALE;
        }

        last = id;

        mdb_txn_reset(store->txn);

        rc = ngx_apigw_store_start(store);

        if (rc != 0) {
            return rc;
        }
    }

    mdb_txn_reset(store->txn);

    return NGX_APIGW_STORE_EMOVED;
}


static int
ngx_apigw_store_handles(ngx_apigw_store_t *store)
{
    int  rc;

    rc = ngx_apigw_store_open_dbs(store, store->txn, 0);

    if (rc != 0) {
        mdb_txn_abort(store->txn);
        store->txn = NULL;
        return rc;
    }

    /* handles become the environment's when the transaction commits */

    rc = mdb_txn_commit(store->txn);
    store->txn = NULL;

    if (rc != 0) {
        return rc;
    }

    store->ready = 1;

    rc = ngx_apigw_store_start(store);

    return rc == 0 ? ngx_apigw_store_settle(store) : rc;
}


ngx_uint_t
ngx_apigw_store_read_holds(ngx_apigw_store_t *store)
{
    if (!store->read_only) {
        return 1;
    }

    /* the version is to be read after what was read before */

    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    return ngx_apigw_store_version(store) - mdb_txn_id(store->txn) <= 1;
}


/* LMDB never makes the file smaller: who did that took pages away. */

int
ngx_apigw_store_whole(ngx_apigw_store_t *store)
{
    struct stat  sb;

    if (store->lost) {
        return store->lost;
    }

    if (fstat(store->fd, &sb) == -1) {
        return errno;
    }

    if (sb.st_size < store->size) {
        return NGX_APIGW_STORE_ESHORT;
    }

    store->size = sb.st_size;

    return 0;
}


void
ngx_apigw_store_read_end(ngx_apigw_store_t *store)
{
    store->reading = 0;
    mdb_txn_reset(store->txn);
}


MDB_dbi
ngx_apigw_store_db(ngx_apigw_store_t *store, ngx_uint_t n)
{
    return store->dbs[n];
}


int
ngx_apigw_store_write(ngx_apigw_store_t *store, ngx_apigw_store_write_pt write,
    void *data)
{
    int         rc;
    ngx_uint_t  tries;

    if (store->reading) {
        return EBUSY;
    }

    if (store->read_only) {
        return EROFS;
    }

    tries = 0;

    for ( ;; ) {

        rc = ngx_apigw_store_run(store, write, data);

        switch (rc) {

        case EIO:
            return ngx_apigw_store_short_write(store->directory);

        case MDB_MAP_FULL:
            rc = ngx_apigw_store_grow(store);
            break;

        case ESTALE:
            if (++tries == NGX_APIGW_STORE_TRIES) {
                return ESTALE;
            }

            rc = ngx_apigw_store_reopen(store);
            break;

        default:
            return rc;
        }

        if (rc != 0) {
            return rc;
        }
    }
}


static int
ngx_apigw_store_run(ngx_apigw_store_t *store, ngx_apigw_store_write_pt write,
    void *data)
{
    int         rc;
    MDB_txn    *txn;
    ngx_uint_t  opened;

    if (store->lost) {
        return store->lost;
    }

    rc = ngx_apigw_store_announce(store);

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_store_begin(store, 0, &txn);

    if (rc != 0) {
        goto done;
    }

    /* nobody else commits now */

    rc = (mdb_txn_id(txn) == ngx_apigw_store_version(store) + 1)
         ? ngx_apigw_store_in_place(store) : ESTALE;

    opened = 0;

    if (rc == 0 && !store->ready) {
        rc = ngx_apigw_store_open_dbs(store, txn, MDB_CREATE);
        opened = 1;
    }

    if (rc == 0) {
        rc = write(store, txn, data);
    }

    if (rc == 0) {
        rc = ngx_apigw_store_in_place(store);
    }

    if (rc == 0) {
        rc = mdb_txn_commit(txn);

    } else {
        mdb_txn_abort(txn);
    }

    if (rc == 0) {
        store->ready |= opened;
    }

done:

    (void) flock(store->fd, LOCK_UN);

    return rc;
}


/*
 * Where there are no such locks, a disk has to be as fast as is usual, and
 * writers that are stopped are waited for.
 */

static int
ngx_apigw_store_announce(ngx_apigw_store_t *store)
{
    ngx_uint_t  i;

    for (i = 0; flock(store->fd, LOCK_EX|LOCK_NB) == -1; i++) {

        if (errno != EWOULDBLOCK && errno != EINTR) {
            return 0;
        }

        if (store->hurried && i == NGX_APIGW_STORE_HURRY) {
            return EBUSY;
        }

        (void) usleep(1000);
    }

    return 0;
}


void
ngx_apigw_store_hurry(ngx_apigw_store_t *store)
{
    store->hurried = 1;
}


static ngx_uint_t
ngx_apigw_store_announced(ngx_apigw_store_t *store)
{
    if (flock(store->fd, LOCK_EX|LOCK_NB) == -1) {
        return errno == EWOULDBLOCK;
    }

    (void) flock(store->fd, LOCK_UN);

    return 0;
}


static int
ngx_apigw_store_grow(ngx_apigw_store_t *store)
{
    MDB_envinfo  info;

    /* no transaction of this process may be open, not even a reset one */

    if (store->txn) {
        mdb_txn_abort(store->txn);
        store->txn = NULL;
    }

    (void) mdb_env_info(store->env, &info);

    if (info.me_mapsize >= NGX_APIGW_STORE_MAX) {
        return MDB_MAP_FULL;
    }

    return ngx_apigw_store_map(store, info.me_mapsize * 2);
}


int
ngx_apigw_store_reserve(ngx_apigw_store_t *store, size_t size)
{
    int          rc;
    size_t       used;
    MDB_stat     stat;
    MDB_envinfo  info;

    if (store->reading) {
        return EBUSY;
    }

    if (store->read_only) {
        return EROFS;
    }

    for ( ;; ) {

        if (store->lost) {
            return store->lost;
        }

        (void) mdb_env_stat(store->env, &stat);
        (void) mdb_env_info(store->env, &info);

        used = (info.me_last_pgno + 1) * stat.ms_psize;

        if (info.me_mapsize >= used && info.me_mapsize - used >= size) {
            return 0;
        }

        rc = ngx_apigw_store_grow(store);

        if (rc != 0) {
            return rc;
        }
    }
}


uint64_t
ngx_apigw_store_version(ngx_apigw_store_t *store)
{
    MDB_envinfo  info;

    if (store->lost) {
        return 0;
    }

    (void) mdb_env_info(store->env, &info);

    return info.me_last_txnid;
}


void
ngx_apigw_store_file(ngx_apigw_store_t *store, dev_t *device, ino_t *inode)
{
    *device = store->files.device;
    *inode = store->files.data;
}


ngx_uint_t
ngx_apigw_store_opened(ngx_apigw_store_t *store)
{
    return store->opened;
}


int
ngx_apigw_store_check(ngx_apigw_store_t *store)
{
    int          rc;
    uint64_t     id, version;
    struct stat  sb;

    rc = ngx_apigw_store_inspect(store->directory, &sb);

    if (rc == 0) {
        rc = ngx_apigw_store_in_place(store);
    }

    if (rc == 0) {
        rc = ngx_apigw_store_start(store);
    }

    if (rc != 0) {
        return rc;
    }

    id = mdb_txn_id(store->txn);
    version = ngx_apigw_store_version(store);

    mdb_txn_reset(store->txn);

    if (id + 1 == version
        && store->seen[0] == id && store->seen[1] == version
        && !ngx_apigw_store_announced(store))
    {
        return ESTALE;
    }

    /* written to, and not by a transaction */

    if (store->seen[1] == version
        && ngx_memcmp(&store->modified, &sb.st_mtim, sizeof(struct timespec))
           != 0)
    {
        if (store->touched && !ngx_apigw_store_announced(store)) {
            return ESTALE;
        }

        store->touched = 1;

    } else {
        store->touched = 0;
        store->modified = sb.st_mtim;
    }

    store->seen[0] = id;
    store->seen[1] = version;

    return 0;
}


int
ngx_apigw_store_check_readers(ngx_apigw_store_t *store)
{
    int  dead;

    dead = 0;

    if (store->lost) {
        return 0;
    }

    (void) mdb_reader_check(store->env, &dead);

    return dead;
}
