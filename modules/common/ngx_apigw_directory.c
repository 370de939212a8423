/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_directory.h"


/*
 * nginx gives whatever has the name of a path to the worker user, with the
 * configuration that it only tests, too: a mistyped "store=/etc" must not come
 * so far, nor the store of an nginx that runs as another user.
 *
 * A store comes from root when root has put a copy back, or has used apigw
 * before nginx was ever started.  Its files are given away under names of our
 * own only, and only where nobody but root can have put them.  In a directory
 * of the workers anything may lie under such a name, also a file of root that
 * was moved there: nothing is given away in it.
 */


#define NGX_APIGW_DIRECTORY_USER  64


typedef struct {
    ngx_conf_t               *cf;
    ngx_str_t                *directory;
    ngx_uid_t                 user;
    ngx_uint_t                assumed;   /* no "user" was read yet */
    const char               *name;      /* of the user */
    const char               *inner;     /* where the files are, with "/" */
    ngx_uint_t                closed;    /* only root can write there */
} ngx_apigw_directory_t;


static ngx_int_t ngx_apigw_directory_missing(ngx_conf_t *cf,
    ngx_str_t *directory);
static ngx_int_t ngx_apigw_directory_inspect(ngx_conf_t *cf,
    ngx_str_t *directory);
static ngx_int_t ngx_apigw_directory_own(ngx_conf_t *cf,
    ngx_str_t *directory, ngx_file_info_t *fi);
static ngx_int_t ngx_apigw_directory_user(ngx_apigw_directory_t *d);
static ngx_int_t ngx_apigw_directory_files(ngx_apigw_directory_t *d, int dir);
static ngx_int_t ngx_apigw_directory_used(ngx_apigw_directory_t *d, int dir);
static ngx_int_t ngx_apigw_directory_give(ngx_apigw_directory_t *d,
    const char *file, int fd, struct stat *sb);
static void ngx_apigw_directory_state(ngx_apigw_directory_t *d,
    struct stat *sb);
static const char *ngx_apigw_directory_name(uid_t uid, char *buf);


ngx_int_t
ngx_apigw_directory_check(ngx_conf_t *cf, ngx_str_t *directory)
{
    ngx_file_info_t  fi;

    if (ngx_file_info(directory->data, &fi) == NGX_FILE_ERROR) {
        return ngx_apigw_directory_missing(cf, directory);
    }

    if (!ngx_is_dir(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the store \"%V\" is not a directory", directory);
        return NGX_ERROR;
    }

    if (ngx_apigw_directory_inspect(cf, directory) != NGX_OK) {
        return NGX_ERROR;
    }

    return geteuid() == 0 ? ngx_apigw_directory_own(cf, directory, &fi)
                          : NGX_OK;
}


/* nginx makes one level, and tells of no directive when it cannot. */

static ngx_int_t
ngx_apigw_directory_missing(ngx_conf_t *cf, ngx_str_t *directory)
{
    u_char           *p;
    ngx_err_t         err;
    ngx_str_t         parent;
    ngx_file_info_t   fi;
    u_char            name[NGX_MAX_PATH];

    err = ngx_errno;

    if (err != NGX_ENOENT || directory->len >= NGX_MAX_PATH) {
        return NGX_OK;
    }

    p = ngx_cpymem(name, directory->data, directory->len);

    while (p != name && *--p != '/') { /* void */ }

    if (p == name) {
        return NGX_OK;
    }

    *p = '\0';
    parent.data = name;
    parent.len = p - name;

    if (ngx_file_info(parent.data, &fi) == NGX_FILE_ERROR
        && ngx_errno == NGX_ENOENT)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the store \"%V\" cannot be made, there is no "
                           "directory \"%V\"", directory, &parent);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * A directory that has files has to have those of a store; one that cannot be
 * read is left to nginx.
 */

static ngx_int_t
ngx_apigw_directory_inspect(ngx_conf_t *cf, ngx_str_t *directory)
{
    u_char      *name;
    ngx_dir_t    dir;
    ngx_uint_t   i, foreign, own;

    static char  *files[] = { "data.mdb", "lock.mdb", "helper.lock", NULL };

    if (ngx_open_dir(directory, &dir) == NGX_ERROR) {
        return NGX_OK;
    }

    foreign = 0;
    own = 0;

    while (ngx_read_dir(&dir) == NGX_OK) {

        name = ngx_de_name(&dir);

        if (ngx_strcmp(name, ".") == 0 || ngx_strcmp(name, "..") == 0
            || ngx_strcmp(name, "lost+found") == 0)
        {
            continue;
        }

        foreign = 1;

        /* "data.mdb.PID" was to become a store */

        for (i = 0; files[i]; i++) {
            if (ngx_strncmp(name, files[i], ngx_strlen(files[i])) == 0) {
                own = 1;
            }
        }
    }

    (void) ngx_close_dir(&dir);

    if (foreign && !own) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the directory \"%V\" has files and none of them "
                           "is a store's", directory);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_directory_own(ngx_conf_t *cf, ngx_str_t *directory,
    ngx_file_info_t *fi)
{
    int                    dir;
    char                   buf[NGX_APIGW_DIRECTORY_USER];
    ngx_int_t              rc;
    struct stat            sb;
    ngx_apigw_directory_t  d;

    ngx_memzero(&d, sizeof(ngx_apigw_directory_t));

    d.cf = cf;
    d.directory = directory;
    d.inner = "/";

    if (ngx_apigw_directory_user(&d) != NGX_OK) {
        return NGX_OK;
    }

    if (fi->st_uid != 0 && fi->st_uid != d.user) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the store \"%V\" belongs to user \"%s\", and the "
                           "workers are to run as \"%s\"%s; if no other nginx "
                           "uses it, run \"chown -hR %s %V\"",
                           directory,
                           ngx_apigw_directory_name(fi->st_uid, buf), d.name,
                           d.assumed ? " (\"user\" has to come before "
                                       "\"http\")" : "",
                           d.name, directory);
        return NGX_ERROR;
    }

    /* who may write above it may have put a link to elsewhere in its place */

    if (lstat((char *) directory->data, &sb) == 0 && S_ISLNK(sb.st_mode)
        && sb.st_uid != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the store \"%V\" is a symbolic link of user "
                           "\"%s\", and not of root", directory,
                           ngx_apigw_directory_name(sb.st_uid, buf));
        return NGX_ERROR;
    }

    dir = open((char *) directory->data, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (dir == -1) {
        return NGX_OK;
    }

    rc = NGX_OK;

    if (fstat(dir, &sb) == 0) {
        ngx_apigw_directory_state(&d, &sb);

        rc = ngx_apigw_directory_files(&d, dir);

        if (rc == NGX_OK) {
            rc = ngx_apigw_directory_used(&d, dir);
        }
    }

    (void) close(dir);

    return rc;
}


/* What "user" says, or what nginx takes if nothing does. */

static ngx_int_t
ngx_apigw_directory_user(ngx_apigw_directory_t *d)
{
    struct passwd    *pwd;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(d->cf->cycle->conf_ctx,
                                           ngx_core_module);

    if (ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT) {
        d->user = ccf->user;
        d->name = ccf->username;
        return NGX_OK;
    }

    pwd = getpwnam(NGX_USER);

    if (pwd == NULL) {

        /* nginx refuses to start, or "user" comes later */

        return NGX_DECLINED;
    }

    d->user = pwd->pw_uid;
    d->name = NGX_USER;
    d->assumed = 1;

    return NGX_OK;
}


/*
 * Of a file only a handle is taken that can do nothing else: LMDB's locks are
 * those of the process, and closing a file that was opened would drop them.
 */

static ngx_int_t
ngx_apigw_directory_files(ngx_apigw_directory_t *d, int dir)
{
    int          fd;
    ngx_int_t    rc;
    ngx_uint_t   i;
    struct stat  sb;

    static const char *const  files[] = {
        "data.mdb", "lock.mdb", "helper.lock", "audit.log", NULL
    };

    for (i = 0; files[i]; i++) {

        fd = openat(dir, files[i], O_PATH|O_NOFOLLOW|O_CLOEXEC);

        if (fd == -1) {
            continue;
        }

        rc = NGX_OK;

        if (fstat(fd, &sb) == -1) {
            rc = NGX_ERROR;

        } else if (sb.st_uid == d->user) {

            /* whatever it is, it is the workers' */

        } else if (!S_ISREG(sb.st_mode) || sb.st_nlink != 1) {
            ngx_conf_log_error(NGX_LOG_EMERG, d->cf, 0,
                               "\"%V%s%s\" is not a regular file of one name, "
                               "as a store's is", d->directory, d->inner,
                               files[i]);
            rc = NGX_ERROR;

        } else {
            rc = ngx_apigw_directory_give(d, files[i], fd, &sb);
        }

        (void) close(fd);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The inner store of a store of keys: given away last, as nobody may come
 * into it before its files have been looked at.
 */

static ngx_int_t
ngx_apigw_directory_used(ngx_apigw_directory_t *d, int dir)
{
    int          fd;
    ngx_int_t    rc;
    ngx_uint_t   closed;
    struct stat  sb;

    fd = openat(dir, "used", O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return NGX_OK;
    }

    rc = NGX_ERROR;

    if (fstat(fd, &sb) == 0) {

        rc = NGX_OK;
        closed = d->closed;

        if (sb.st_uid == d->user || closed) {
            d->inner = "/used/";
            ngx_apigw_directory_state(d, &sb);

            rc = ngx_apigw_directory_files(d, fd);
        }

        d->inner = "/";
        d->closed = closed;

        if (rc == NGX_OK && sb.st_uid != d->user) {
            rc = ngx_apigw_directory_give(d, "used", fd, &sb);
        }
    }

    (void) close(fd);

    return rc;
}


static ngx_int_t
ngx_apigw_directory_give(ngx_apigw_directory_t *d, const char *file, int fd,
    struct stat *sb)
{
    char  buf[NGX_APIGW_DIRECTORY_USER];

    if (!d->closed) {
        ngx_conf_log_error(NGX_LOG_EMERG, d->cf, 0,
                           "\"%V%s%s\" belongs to user \"%s\", and the "
                           "workers are to run as \"%s\"; look at what it is "
                           "and run \"chown -hR %s %V\"",
                           d->directory, d->inner, file,
                           ngx_apigw_directory_name(sb->st_uid, buf), d->name,
                           d->name, d->directory);
        return NGX_ERROR;
    }

    if (fchownat(fd, "", d->user, (gid_t) -1, AT_EMPTY_PATH) == 0) {
        return NGX_OK;
    }

    if (ngx_errno == EROFS) {

        /* such a store is only read */

        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, d->cf, ngx_errno,
                       "\"%V%s%s\" cannot be given to user \"%s\"",
                       d->directory, d->inner, file, d->name);
    return NGX_ERROR;
}


static void
ngx_apigw_directory_state(ngx_apigw_directory_t *d, struct stat *sb)
{
    d->closed = (sb->st_uid == 0
                 && !(sb->st_mode & S_IWOTH)
                 && (!(sb->st_mode & S_IWGRP) || sb->st_gid == 0));
}


static const char *
ngx_apigw_directory_name(uid_t uid, char *buf)
{
    struct passwd  *pwd;

    pwd = getpwuid(uid);

    if (pwd) {
        return pwd->pw_name;
    }

    (void) snprintf(buf, NGX_APIGW_DIRECTORY_USER, "%lu",
                    (unsigned long) uid);

    return buf;
}
