/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "ngx_apigw_store.h"


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
 */


#define NGX_APIGW_STORE_MAP      ((size_t) 64 * 1024 * 1024)
#define NGX_APIGW_STORE_MAX      ((size_t) 1 << 40)
#define NGX_APIGW_STORE_READERS  1024
#define NGX_APIGW_STORE_NO_ROOM  (256 * 1024)

#define NGX_APIGW_STORE_DATA     "/data.mdb"
#define NGX_APIGW_STORE_LOCK     "/lock.mdb"

/* of LMDB's lock file: a head and a slot of 64 bytes a reader */

#define NGX_APIGW_STORE_LOCK_SIZE  ((NGX_APIGW_STORE_READERS + 64) * 64)

/* what of a meta page of LMDB 0.9, data version 1, tells its size */

#define NGX_APIGW_STORE_META_OFFSET  16
#define NGX_APIGW_STORE_META_MAGIC   0xbeefc0de
#define NGX_APIGW_STORE_META_SLACK   64


typedef struct {
    uint32_t                       magic;
    uint32_t                       version;
    uint64_t                       address;
    uint64_t                       map_size;
    uint32_t                       page_size;
    u_char                         dbs[92];
    uint64_t                       last_page;
    uint64_t                       txnid;
} ngx_apigw_store_meta_t;


struct ngx_apigw_store_s {
    ngx_apigw_store_t             *next;
    const ngx_apigw_store_kind_t  *kind;
    MDB_env                       *env;
    MDB_txn                       *txn;
    MDB_dbi                        dbs[NGX_APIGW_STORE_DBS];
    dev_t                          device;
    ino_t                          inode;
    pid_t                          pid;
    ngx_uint_t                     refs;
    int                            lost;        /* why there is no map */
    unsigned                       ready:1;
    unsigned                       reading:1;
    unsigned                       read_only:1;
};


static ngx_apigw_store_t *ngx_apigw_store_find(struct stat *sb);
static int ngx_apigw_store_open_env(ngx_apigw_store_t *store,
    const char *directory, struct stat *sb);
static int ngx_apigw_store_prepare(const char *directory, size_t map);
static int ngx_apigw_store_whole(int fd, off_t size);
static int ngx_apigw_store_create(const char *data, size_t map);
static int ngx_apigw_store_reserve_lock(const char *lock);
static int ngx_apigw_store_name(char *name, const char *directory,
    const char *file);
static int ngx_apigw_store_open_files(ngx_apigw_store_t *store,
    const char *directory, unsigned flags);
static int ngx_apigw_store_map(ngx_apigw_store_t *store, size_t size);
static int ngx_apigw_store_begin(ngx_apigw_store_t *store, unsigned flags,
    MDB_txn **txn);
static int ngx_apigw_store_open_dbs(ngx_apigw_store_t *store, MDB_txn *txn,
    unsigned flags);
static int ngx_apigw_store_check_format(ngx_apigw_store_t *store,
    MDB_txn *txn, unsigned flags);
static int ngx_apigw_store_grow(ngx_apigw_store_t *store);
static int ngx_apigw_store_short_write(ngx_apigw_store_t *store);
static int ngx_apigw_store_owner(const char *directory, uid_t *uid,
    gid_t *gid);


static ngx_apigw_store_t  *ngx_apigw_stores;


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

    store = ngx_apigw_store_find(&sb);

    if (store) {
        if (strcmp(store->kind->format, kind->format) != 0) {
            return NGX_APIGW_STORE_EFORMAT;
        }

        store->kind = kind;
        store->refs++;
        *sp = store;
        return 0;
    }

    store = calloc(1, sizeof(ngx_apigw_store_t));
    if (store == NULL) {
        return ENOMEM;
    }

    store->kind = kind;

    rc = ngx_apigw_store_open_env(store, directory, &sb);

    if (rc != 0) {
        if (store->env) {
            mdb_env_close(store->env);
        }

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
 * parent had open is passed over.
 */

static ngx_apigw_store_t *
ngx_apigw_store_find(struct stat *sb)
{
    ngx_apigw_store_t  *store;

    for (store = ngx_apigw_stores; store; store = store->next) {

        if (store->device == sb->st_dev
            && store->inode == sb->st_ino
            && store->pid == getpid())
        {
            return store;
        }
    }

    return NULL;
}


static int
ngx_apigw_store_open_env(ngx_apigw_store_t *store, const char *directory,
    struct stat *sb)
{
    int                          rc;
    size_t                       map;
    MDB_txn                     *txn;
    ngx_apigw_store_identity_t   saved;

    store->device = sb->st_dev;
    store->inode = sb->st_ino;
    store->pid = getpid();

    rc = ngx_apigw_store_enter_owner(directory, &saved);

    if (rc != 0) {
        return rc;
    }

    map = store->kind->map ? store->kind->map : NGX_APIGW_STORE_MAP;

    rc = ngx_apigw_store_prepare(directory, map);

    if (rc == 0) {
        rc = ngx_apigw_store_open_files(store, directory, 0);
    }

    if (rc == EROFS) {
        store->read_only = 1;
        rc = ngx_apigw_store_open_files(store, directory, MDB_RDONLY);
        rc = (rc == ENOENT) ? EROFS : rc;
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


/* Whether there is a whole data file, or none yet, which is then made. */

static int
ngx_apigw_store_prepare(const char *directory, size_t map)
{
    int          rc;
    char         data[NGX_MAX_PATH], lock[NGX_MAX_PATH];
    struct stat  sb;

    rc = ngx_apigw_store_name(data, directory, NGX_APIGW_STORE_DATA);

    if (rc == 0) {
        rc = ngx_apigw_store_name(lock, directory, NGX_APIGW_STORE_LOCK);
    }

    if (rc == 0) {
        rc = ngx_apigw_store_inspect(directory, &sb);

    } else {
        return rc;
    }

    if (rc == ENOENT) {

        if (lstat(lock, &sb) == 0 && S_ISREG(sb.st_mode)) {
            return NGX_APIGW_STORE_ELOST;
        }

        rc = ngx_apigw_store_create(data, map);
    }

    return rc == 0 ? ngx_apigw_store_reserve_lock(lock) : rc;
}


int
ngx_apigw_store_inspect(const char *directory, struct stat *sb)
{
    int   fd, rc;
    char  name[NGX_MAX_PATH];

    rc = ngx_apigw_store_name(name, directory, NGX_APIGW_STORE_DATA);

    if (rc != 0) {
        return rc;
    }

    fd = open(name, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return errno;
    }

    rc = (fstat(fd, sb) == -1) ? errno : ngx_apigw_store_whole(fd,
                                                               sb->st_size);
    (void) close(fd);

    return rc;
}


/*
 * Whether the file has the pages that it says it has.  LMDB does not write
 * the last ones if they were freed in the transaction that took them, so a
 * few may be missing.
 */

static int
ngx_apigw_store_whole(int fd, off_t size)
{
    uint64_t                pages, page;
    ngx_uint_t              i;
    ngx_apigw_store_meta_t  meta, last;

    ngx_memzero(&last, sizeof(ngx_apigw_store_meta_t));

    page = 0;

    for (i = 0; i < 2; i++) {

        if (pread(fd, &meta, sizeof(ngx_apigw_store_meta_t),
                  i * page + NGX_APIGW_STORE_META_OFFSET)
            != (ssize_t) sizeof(ngx_apigw_store_meta_t))
        {
            return NGX_APIGW_STORE_ESHORT;
        }

        if (meta.magic != NGX_APIGW_STORE_META_MAGIC) {
            return MDB_INVALID;
        }

        if (i == 0) {
            page = meta.page_size;
        }

        if (meta.txnid >= last.txnid) {
            last = meta;
        }
    }

    if (page < 512 || page > 65536 || (page & (page - 1))) {
        return MDB_INVALID;
    }

    pages = last.last_page + 1;
    pages -= ngx_min(pages / 4, NGX_APIGW_STORE_META_SLACK);

    return (pages > (uint64_t) size / page) ? NGX_APIGW_STORE_ESHORT : 0;
}


/* Another process may be doing the same: the first one's file counts. */

static int
ngx_apigw_store_create(const char *data, size_t map)
{
    int       n, rc;
    char      name[NGX_MAX_PATH];
    MDB_env  *env;

    n = snprintf(name, sizeof(name), "%s.%ld", data, (long) getpid());

    if (n < 0 || n >= (int) sizeof(name)) {
        return ENAMETOOLONG;
    }

    if (unlink(name) == -1 && errno != ENOENT) {
        return errno;
    }

    rc = mdb_env_create(&env);

    if (rc != 0) {
        return rc;
    }

    rc = mdb_env_set_mapsize(env, map);

    if (rc == 0) {
        rc = mdb_env_open(env, name, MDB_NOSUBDIR|MDB_NOLOCK, 0600);
    }

    if (rc == 0) {
        rc = mdb_env_sync(env, 1);
    }

    mdb_env_close(env);

    if (rc == 0 && link(name, data) == -1 && errno != EEXIST) {

        /* without links, what another has made just now may be replaced */

        rc = (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
             && rename(name, data) == 0 ? 0 : errno;
    }

    (void) unlink(name);

    return rc;
}


/*
 * LMDB maps its lock file, and a page of it that the disk has no room for
 * kills the process that writes there.  Its size is left to LMDB.  Nothing of
 * the file is open in this process yet, so no lock is lost by closing it.
 */

static int
ngx_apigw_store_reserve_lock(const char *lock)
{
    int          fd, rc;
    struct stat  sb;

    fd = open(lock, O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return errno;
    }

    rc = 0;

    if (fstat(fd, &sb) == -1) {
        rc = errno;

    } else if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0,
                         ngx_max(sb.st_size, NGX_APIGW_STORE_LOCK_SIZE))
               == -1
               && (errno == ENOSPC || errno == EDQUOT))
    {
        rc = errno;
    }

    (void) close(fd);

    return rc;
}


static int
ngx_apigw_store_name(char *name, const char *directory, const char *file)
{
    int  n;

    n = snprintf(name, NGX_MAX_PATH, "%s%s", directory, file);

    return (n < 0 || n >= NGX_MAX_PATH) ? ENAMETOOLONG : 0;
}


static int
ngx_apigw_store_open_files(ngx_apigw_store_t *store, const char *directory,
    unsigned flags)
{
    int     rc;
    size_t  map;

    if (store->env) {
        mdb_env_close(store->env);
    }

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

    return mdb_env_open(store->env, directory,
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

    if (store->lost) {
        return store->lost;
    }

    if (store->txn == NULL) {
        rc = ngx_apigw_store_begin(store, MDB_RDONLY, &store->txn);

        if (rc != 0) {
            store->txn = NULL;
            return rc;
        }

    } else {
        rc = mdb_txn_renew(store->txn);

        if (rc == MDB_MAP_RESIZED) {
            rc = ngx_apigw_store_map(store, 0);

            if (rc == 0) {
                rc = mdb_txn_renew(store->txn);
            }
        }

        if (rc != 0) {
            return rc;
        }
    }

    if (!store->ready) {

        rc = ngx_apigw_store_open_dbs(store, store->txn, 0);

        if (rc != 0) {
            mdb_txn_abort(store->txn);
            store->txn = NULL;
            return rc;
        }

        /* handles become the environment's when the transaction commits */

        rc = mdb_txn_commit(store->txn);
        store->txn = NULL;

        if (rc == 0) {
            rc = ngx_apigw_store_begin(store, MDB_RDONLY, &store->txn);
        }

        if (rc != 0) {
            store->txn = NULL;
            return rc;
        }

        store->ready = 1;
    }

    store->reading = 1;
    *txn = store->txn;

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
    MDB_txn    *txn;
    ngx_uint_t  opened;

    if (store->reading) {
        return EBUSY;
    }

    if (store->read_only) {
        return EROFS;
    }

    for ( ;; ) {

        rc = ngx_apigw_store_begin(store, 0, &txn);

        if (rc != 0) {
            return rc;
        }

        opened = 0;

        if (!store->ready) {
            rc = ngx_apigw_store_open_dbs(store, txn, MDB_CREATE);
            opened = 1;
        }

        if (rc == 0) {
            rc = write(store, txn, data);
        }

        if (rc == 0) {
            rc = mdb_txn_commit(txn);

        } else {
            mdb_txn_abort(txn);
        }

        if (rc == 0) {
            store->ready |= opened;
            return 0;
        }

        if (rc == EIO) {
            return ngx_apigw_store_short_write(store);
        }

        if (rc != MDB_MAP_FULL) {
            return rc;
        }

        rc = ngx_apigw_store_grow(store);

        if (rc != 0) {
            return rc;
        }
    }
}


/*
 * LMDB says EIO as well if a disk took a part of what it wrote, and had no
 * room for the rest.
 */

static int
ngx_apigw_store_short_write(ngx_apigw_store_t *store)
{
    const char      *path;
    struct statvfs   fs;

    if (mdb_env_get_path(store->env, &path) == 0
        && statvfs(path, &fs) == 0
        && (uint64_t) fs.f_bavail * fs.f_frsize < NGX_APIGW_STORE_NO_ROOM)
    {
        return ENOSPC;
    }

    return EIO;
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


int
ngx_apigw_store_check_readers(ngx_apigw_store_t *store)
{
    int  dead;

    dead = 0;

    (void) mdb_reader_check(store->env, &dead);

    return dead;
}


int
ngx_apigw_store_become_owner(const char *directory)
{
    int    rc;
    uid_t  uid;
    gid_t  gid;

    rc = ngx_apigw_store_owner(directory, &uid, &gid);

    if (rc != 0 || uid == geteuid()) {
        return rc;
    }

    if (setgroups(0, NULL) == -1 || setgid(gid) == -1 || setuid(uid) == -1) {
        return errno;
    }

    return 0;
}


int
ngx_apigw_store_enter_owner(const char *directory,
    ngx_apigw_store_identity_t *saved)
{
    int    rc;
    uid_t  uid;
    gid_t  gid;

    saved->entered = 0;

    rc = ngx_apigw_store_owner(directory, &uid, &gid);

    if (rc != 0 || uid == geteuid()) {
        return rc;
    }

    saved->gid = getegid();
    saved->n = getgroups(NGX_APIGW_STORE_GROUPS, saved->groups);

    if (saved->n == -1) {
        return errno;
    }

    saved->entered = 1;

    if (setgroups(0, NULL) == -1
        || setegid(gid) == -1
        || seteuid(uid) == -1)
    {
        rc = errno;
        ngx_apigw_store_leave_owner(saved);
    }

    return rc;
}


void
ngx_apigw_store_leave_owner(const ngx_apigw_store_identity_t *saved)
{
    if (!saved->entered) {
        return;
    }

    if (seteuid(0) == -1
        || setegid(saved->gid) == -1
        || setgroups(saved->n, saved->groups) == -1)
    {
        /* neither root nor the owner: go no further */

        abort();
    }
}


/* Whom a process has to be here: itself, unless it is root. */

static int
ngx_apigw_store_owner(const char *directory, uid_t *uid, gid_t *gid)
{
    struct stat     sb;
    struct passwd  *pwd;

    *uid = geteuid();
    *gid = getegid();

    if (*uid != 0) {
        return 0;
    }

    if (stat(directory, &sb) == -1) {
        return errno;
    }

    if (sb.st_uid == 0) {
        return 0;
    }

    /* nginx gives the directory its user, not its group */

    pwd = getpwuid(sb.st_uid);

    *uid = sb.st_uid;
    *gid = pwd ? pwd->pw_gid : sb.st_gid;

    return 0;
}


const char *
ngx_apigw_store_strerror(int rc)
{
    switch (rc) {

    case NGX_APIGW_STORE_EFORMAT:
        return "this is a store of another kind or version";

    case NGX_APIGW_STORE_EEMPTY:
        return "the store is empty";

    case NGX_APIGW_STORE_ESHORT:
        return "its data file was cut short, put it back from a copy";

    case NGX_APIGW_STORE_ELOST:
        return "its data file is gone, put it back from a copy (to begin "
               "anew, remove lock.mdb too)";

    case MDB_MAP_FULL:
        return "it has reached its largest size";

    default:
        return mdb_strerror(rc);
    }
}
