/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <dirent.h>
#include <sys/file.h>
#include <sys/random.h>

#include "ngx_apigw_instance.h"


#define NGX_APIGW_INSTANCE_PREFIX  "instance."
#define NGX_APIGW_INSTANCE_DIGITS  16
#define NGX_APIGW_INSTANCE_YOUNG   60


static int ngx_apigw_instance_path(char *path, const char *directory,
    uint64_t id, const char *suffix);
static int ngx_apigw_instance_lock(const char *path);
static ngx_uint_t ngx_apigw_instance_stale(const char *path);


int
ngx_apigw_instance_create(ngx_apigw_instance_t *instance,
    const char *directory)
{
    int       rc;
    char      temp[NGX_MAX_PATH], path[NGX_MAX_PATH];
    ngx_fd_t  fd;

    do {
        if (getrandom(&instance->id, sizeof(uint64_t), 0)
            != (ssize_t) sizeof(uint64_t))
        {
            return errno;
        }

    } while (instance->id == 0);

    if (ngx_apigw_instance_path(path, directory, instance->id, "") != 0
        || ngx_apigw_instance_path(temp, directory, instance->id, ".new") != 0)
    {
        return ENAMETOOLONG;
    }

    fd = open(temp, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0644);

    if (fd == NGX_INVALID_FILE) {
        return errno;
    }

    /* locked before it has its name: nobody ever sees it unlocked */

    if (flock(fd, LOCK_EX|LOCK_NB) == -1 || rename(temp, path) == -1) {
        rc = errno;
        (void) unlink(temp);
        (void) close(fd);
        return rc;
    }

    instance->fd = fd;
    instance->refs = 1;

    return 0;
}


static int
ngx_apigw_instance_path(char *path, const char *directory, uint64_t id,
    const char *suffix)
{
    int  n;

    n = snprintf(path, NGX_MAX_PATH, "%s/" NGX_APIGW_INSTANCE_PREFIX
                 "%016llx%s", directory, (unsigned long long) id, suffix);

    return n < 0 || n >= NGX_MAX_PATH ? ENAMETOOLONG : 0;
}


ngx_uint_t
ngx_apigw_instance_dead(ngx_apigw_instance_dead_t *dead,
    const char *directory, uint64_t id)
{
    int         rc;
    char        path[NGX_MAX_PATH];
    ngx_uint_t  i, n;

    n = ngx_min(dead->n, NGX_APIGW_INSTANCE_DEAD);

    for (i = 0; i < n; i++) {
        if (dead->ids[i] == id) {
            return 1;
        }
    }

    if (ngx_apigw_instance_path(path, directory, id, "") != 0) {
        return 0;
    }

    rc = ngx_apigw_instance_lock(path);

    if (rc != 0 && rc != ENOENT) {
        return 0;
    }

    dead->ids[dead->n++ % NGX_APIGW_INSTANCE_DEAD] = id;

    return 1;
}


/* 0 if nobody holds the lock of the file, EWOULDBLOCK if somebody does. */

static int
ngx_apigw_instance_lock(const char *path)
{
    int       rc;
    ngx_fd_t  fd;

    fd = open(path, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        return errno;
    }

    rc = flock(fd, LOCK_EX|LOCK_NB) == -1 ? errno : 0;

    (void) close(fd);

    return rc;
}


int
ngx_apigw_instance_sweep(const char *directory)
{
    int             n;
    DIR            *dir;
    char            path[NGX_MAX_PATH];
    size_t          len;
    struct dirent  *entry;

    dir = opendir(directory);

    if (dir == NULL) {
        return errno;
    }

    while ((entry = readdir(dir)) != NULL) {

        len = ngx_strlen(entry->d_name);

        if (ngx_strncmp(entry->d_name, NGX_APIGW_INSTANCE_PREFIX,
                        sizeof(NGX_APIGW_INSTANCE_PREFIX) - 1)
            != 0)
        {
            continue;
        }

        n = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);

        if (n < 0 || n >= (int) sizeof(path)) {
            continue;
        }

        len -= sizeof(NGX_APIGW_INSTANCE_PREFIX) - 1;

        if (len != NGX_APIGW_INSTANCE_DIGITS
            && !ngx_apigw_instance_stale(path))
        {
            continue;
        }

        if (ngx_apigw_instance_lock(path) == 0) {
            (void) unlink(path);
        }
    }

    (void) closedir(dir);

    return 0;
}


/* A file without its name yet, left by a master that was killed. */

static ngx_uint_t
ngx_apigw_instance_stale(const char *path)
{
    struct stat  sb;

    return stat(path, &sb) == 0
           && sb.st_mtime < time(NULL) - NGX_APIGW_INSTANCE_YOUNG;
}
