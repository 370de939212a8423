/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "ngx_apigw_store.h"
#include "ngx_apigw_store_file.h"


#define NGX_APIGW_STORE_NEW      "/data.mdb.new"
#define NGX_APIGW_STORE_NO_ROOM  (256 * 1024)

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


static int ngx_apigw_store_pages(int fd, off_t size);
static int ngx_apigw_store_create(const char *directory, const char *data,
    size_t map);
static int ngx_apigw_store_reserve_lock(const char *lock);
static int ngx_apigw_store_owner(const char *directory, uid_t *uid,
    gid_t *gid);


/* Whether there is a whole data file, or none yet, which is then made. */

int
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

        rc = ngx_apigw_store_create(directory, data, map);
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

    rc = ngx_apigw_store_open_file(name, &fd, sb);

    if (rc != 0) {
        return rc;
    }

    rc = ngx_apigw_store_pages(fd, sb->st_size);

    (void) close(fd);

    return rc;
}


/* To open a fifo may take for ever, and what a device does is not known. */

int
ngx_apigw_store_open_file(const char *name, int *fd, struct stat *sb)
{
    int  rc;

    if (stat(name, sb) == -1) {
        return errno;
    }

    if (!S_ISREG(sb->st_mode)) {
        return NGX_APIGW_STORE_EFILE;
    }

    *fd = open(name, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (*fd == -1) {
        return errno;
    }

    /* it may be another one by now */

    if (fstat(*fd, sb) == -1) {
        rc = errno;

    } else {
        rc = S_ISREG(sb->st_mode) ? 0 : NGX_APIGW_STORE_EFILE;
    }

    if (rc != 0) {
        (void) close(*fd);
    }

    return rc;
}


/*
 * Whether the file has the pages that it says it has.  LMDB does not write
 * the last ones if they were freed in the transaction that took them, so a
 * few may be missing.
 */

static int
ngx_apigw_store_pages(int fd, off_t size)
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


/*
 * Of processes on one machine one is here at a time; where that cannot be,
 * the first one's file counts.
 */

static int
ngx_apigw_store_create(const char *directory, const char *data, size_t map)
{
    int       rc;
    char      name[NGX_MAX_PATH];
    MDB_env  *env;

    rc = ngx_apigw_store_name(name, directory, NGX_APIGW_STORE_NEW);

    if (rc != 0) {
        return rc;
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

    fd = open(lock, O_RDWR|O_CREAT|O_NONBLOCK|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return errno;
    }

    rc = 0;

    if (fstat(fd, &sb) == -1) {
        rc = errno;

    } else if (!S_ISREG(sb.st_mode)) {
        rc = NGX_APIGW_STORE_EFILE;

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


int
ngx_apigw_store_name(char *name, const char *directory, const char *file)
{
    int  n;

    n = snprintf(name, NGX_MAX_PATH, "%s%s", directory, file);

    return (n < 0 || n >= NGX_MAX_PATH) ? ENAMETOOLONG : 0;
}


void
ngx_apigw_store_names(const char *directory, ngx_apigw_store_files_t *files)
{
    char         name[NGX_MAX_PATH];
    struct stat  sb;

    ngx_memzero(files, sizeof(ngx_apigw_store_files_t));

    if (ngx_apigw_store_name(name, directory, NGX_APIGW_STORE_DATA) == 0
        && stat(name, &sb) == 0)
    {
        files->device = sb.st_dev;
        files->data = sb.st_ino;
    }

    if (ngx_apigw_store_name(name, directory, NGX_APIGW_STORE_LOCK) == 0
        && stat(name, &sb) == 0)
    {
        files->lock = sb.st_ino;
    }
}


/*
 * LMDB says EIO as well if a disk took a part of what it wrote, and had no
 * room for the rest.
 */

int
ngx_apigw_store_short_write(const char *directory)
{
    struct statvfs  fs;

    if (statvfs(directory, &fs) == 0
        && (uint64_t) fs.f_bavail * fs.f_frsize < NGX_APIGW_STORE_NO_ROOM)
    {
        return ENOSPC;
    }

    return EIO;
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

    case NGX_APIGW_STORE_EFILE:
        return "data.mdb or lock.mdb there is not a regular file";

    case NGX_APIGW_STORE_EMOVED:
        return "it was changed again and again while it was read";

    case EBUSY:
        return "another process has it, and is stopped or slow";

    case MDB_CORRUPTED:
        return "its data file is damaged, put it back from a copy";

    case ESTALE:
        return "its files were replaced";

    case MDB_MAP_FULL:
        return "it has reached its largest size";

    default:
        return mdb_strerror(rc);
    }
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
