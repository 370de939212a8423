/*
 * Copyright (C) the apigw authors
 */


/*
 * Keys and lists of revocations from files.
 *
 * A file with a fixed name is read while nginx reads its configuration, which
 * fails if the file cannot be used, and again by each worker when it starts,
 * and within a second after it has changed; if the new one cannot be used, the
 * old one stays, unless another worker has given it up: what was taken last is
 * in memory that the workers share, so that one that is started in place of a
 * dead one does not use what the master has read long ago.  A file whose name
 * comes from variables is read when it is first asked for, and looked at again
 * at most once a second; if it is gone, so are its keys.
 * What cannot be read takes no place of what is held, as clients may make up
 * names, and is logged at most once a minute for each source.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "ngx_http_apigw_jwt.h"


#define NGX_HTTP_APIGW_JWT_LOOK   1000
#define NGX_HTTP_APIGW_JWT_HELD   64


static u_char *ngx_http_apigw_jwt_keys_where(ngx_log_t *log, u_char *buf,
    size_t len);
static ngx_http_apigw_jwt_keys_t *ngx_http_apigw_jwt_keys_find(
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_str_t *name,
    ngx_http_apigw_jwt_source_t *source);
static ngx_int_t ngx_http_apigw_jwt_keys_first(ngx_http_request_t *r,
    ngx_str_t *name, ngx_http_apigw_jwt_source_t *source,
    ngx_http_apigw_jwt_keys_t **kp);
static ngx_int_t ngx_http_apigw_jwt_keys_start(ngx_http_apigw_jwt_keys_t *keys,
    ngx_str_t *name, ngx_http_apigw_jwt_source_t *source, ngx_log_t *log);
static ngx_http_apigw_jwt_keys_t *ngx_http_apigw_jwt_keys_hold(
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_http_apigw_jwt_keys_t *fresh);
static ngx_uint_t ngx_http_apigw_jwt_keys_is_safe(ngx_str_t *name);
static ngx_int_t ngx_http_apigw_jwt_keys_look(ngx_http_apigw_jwt_keys_t *keys,
    ngx_http_apigw_jwt_source_t *source, ngx_uint_t level, ngx_log_t *log);
static ngx_int_t ngx_http_apigw_jwt_keys_read(ngx_http_apigw_jwt_keys_t *keys,
    ngx_http_apigw_jwt_source_t *source, ngx_uint_t level, ngx_log_t *log);
static const char *ngx_http_apigw_jwt_keys_read_all(ngx_fd_t fd,
    u_char **data, size_t *size, ngx_err_t *err, ngx_log_t *log);
static ngx_int_t ngx_http_apigw_jwt_keys_unread(
    ngx_http_apigw_jwt_keys_t *keys, ngx_http_apigw_jwt_source_t *source,
    ngx_uint_t level, ngx_log_t *log, ngx_err_t err, const char *text);
static ngx_int_t ngx_http_apigw_jwt_keys_failed(
    ngx_http_apigw_jwt_keys_t *keys, ngx_uint_t level, ngx_log_t *log,
    ngx_err_t err, const char *text);
static json_t *ngx_http_apigw_jwt_keys_list(const u_char *data, size_t len,
    char *error);
static void ngx_http_apigw_jwt_keys_clear(ngx_http_apigw_jwt_keys_t *keys);
static void ngx_http_apigw_jwt_keys_cleanup(void *data);
static void ngx_http_apigw_jwt_keys_unshare(void *data);
static void ngx_http_apigw_jwt_keys_look_all(
    ngx_http_apigw_jwt_main_conf_t *jmcf, ngx_log_t *log);
static void ngx_http_apigw_jwt_keys_timer(ngx_event_t *ev);


/* The keys of a file with a fixed name; equal ones are one. */

ngx_http_apigw_jwt_keys_t *
ngx_http_apigw_jwt_keys_add(ngx_conf_t *cf, ngx_str_t *name,
    ngx_apigw_jwks_format_e format, ngx_uint_t list)
{
    ngx_log_t                        log;
    ngx_uint_t                       i;
    ngx_pool_cleanup_t              *cln;
    ngx_http_apigw_jwt_keys_t       *keys, **kp;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_apigw_jwt_module);

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NULL;
    }

    kp = jmcf->files.elts;

    for (i = 0; i < jmcf->files.nelts; i++) {

        if (kp[i]->format == format
            && kp[i]->list == list
            && kp[i]->name.len == name->len
            && ngx_memcmp(kp[i]->name.data, name->data, name->len) == 0)
        {
            return kp[i];
        }
    }

    keys = ngx_pcalloc(cf->pool, sizeof(ngx_http_apigw_jwt_keys_t));
    if (keys == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_apigw_jwt_keys_cleanup;
    cln->data = keys;

    keys->name = *name;
    keys->format = format;
    keys->list = list;

    log = *cf->log;
    log.handler = ngx_http_apigw_jwt_keys_where;
    log.data = cf;

    if (ngx_http_apigw_jwt_keys_look(keys, NULL, NGX_LOG_EMERG, &log)
        != NGX_OK)
    {
        return NULL;
    }

    kp = ngx_array_push(&jmcf->files);
    if (kp == NULL) {
        return NULL;
    }

    *kp = keys;

    return keys;
}


static u_char *
ngx_http_apigw_jwt_keys_where(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_str_t   *value;
    ngx_conf_t  *cf;

    cf = log->data;
    value = cf->args->elts;

    return ngx_snprintf(buf, len, " in \"%V\" directive in %s:%ui", &value[0],
                        cf->conf_file->file.name.data, cf->conf_file->line);
}


/*
 * The keys that a process holds for a name that came from variables, or for
 * the URI of a request; new ones have no set.
 */

ngx_http_apigw_jwt_keys_t *
ngx_http_apigw_jwt_keys_held(ngx_http_request_t *r, ngx_str_t *name,
    ngx_http_apigw_jwt_source_t *source)
{
    ngx_http_apigw_jwt_keys_t       *keys, fresh;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);

    keys = ngx_http_apigw_jwt_keys_find(jmcf, name, source);
    if (keys) {
        return keys;
    }

    if (ngx_http_apigw_jwt_keys_start(&fresh, name, source, r->connection->log)
        != NGX_OK)
    {
        return NULL;
    }

    return ngx_http_apigw_jwt_keys_hold(jmcf, &fresh);
}


static ngx_http_apigw_jwt_keys_t *
ngx_http_apigw_jwt_keys_find(ngx_http_apigw_jwt_main_conf_t *jmcf,
    ngx_str_t *name, ngx_http_apigw_jwt_source_t *source)
{
    ngx_uint_t                  i;
    ngx_http_apigw_jwt_keys_t  *keys;

    keys = jmcf->held->elts;

    for (i = 0; i < jmcf->held->nelts; i++) {

        if (keys[i].format == source->format
            && keys[i].request == source->request
            && keys[i].name.len == name->len
            && ngx_memcmp(keys[i].name.data, name->data, name->len) == 0)
        {
            keys[i].used = ++jmcf->uses;
            return &keys[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_apigw_jwt_keys_start(ngx_http_apigw_jwt_keys_t *keys, ngx_str_t *name,
    ngx_http_apigw_jwt_source_t *source, ngx_log_t *log)
{
    ngx_memzero(keys, sizeof(ngx_http_apigw_jwt_keys_t));

    keys->name.data = ngx_alloc(name->len + 1, log);
    if (keys->name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(keys->name.data, name->data, name->len);
    keys->name.data[name->len] = '\0';

    keys->name.len = name->len;
    keys->format = source->format;
    keys->request = source->request;

    return NGX_OK;
}


/* What was not used for longest makes room. */

static ngx_http_apigw_jwt_keys_t *
ngx_http_apigw_jwt_keys_hold(ngx_http_apigw_jwt_main_conf_t *jmcf,
    ngx_http_apigw_jwt_keys_t *fresh)
{
    ngx_uint_t                  i, oldest;
    ngx_http_apigw_jwt_keys_t  *keys;

    if (jmcf->held->nelts == NGX_HTTP_APIGW_JWT_HELD) {

        keys = jmcf->held->elts;
        oldest = 0;

        for (i = 1; i < jmcf->held->nelts; i++) {
            if (keys[i].used < keys[oldest].used) {
                oldest = i;
            }
        }

        ngx_http_apigw_jwt_keys_drop(jmcf, &keys[oldest]);
    }

    /* there is room for all of them from the start */

    keys = ngx_array_push(jmcf->held);

    *keys = *fresh;
    keys->used = ++jmcf->uses;

    return keys;
}


/* The last one takes the place. */

void
ngx_http_apigw_jwt_keys_drop(ngx_http_apigw_jwt_main_conf_t *jmcf,
    ngx_http_apigw_jwt_keys_t *keys)
{
    ngx_http_apigw_jwt_keys_t  *held;

    ngx_http_apigw_jwt_keys_clear(keys);
    ngx_free(keys->name.data);

    held = jmcf->held->elts;

    *keys = held[--jmcf->held->nelts];
}


/*
 * The keys of a file whose name came from variables.  NGX_DECLINED if they
 * cannot be used.
 */

ngx_int_t
ngx_http_apigw_jwt_keys_open(ngx_http_request_t *r, ngx_str_t *name,
    ngx_http_apigw_jwt_source_t *source, ngx_http_apigw_jwt_keys_t **kp)
{
    ngx_int_t                        rc;
    ngx_http_apigw_jwt_keys_t       *keys;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    if (!ngx_http_apigw_jwt_keys_is_safe(name)) {

        if (ngx_apigw_log_due(&source->unnamed)) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "the variables of \"auth_jwt_key_file\" do not make "
                          "the name of a file");
        }

        return NGX_DECLINED;
    }

    if (ngx_get_full_name(r->pool, (ngx_str_t *) &ngx_cycle->conf_prefix, name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);

    keys = ngx_http_apigw_jwt_keys_find(jmcf, name, source);

    if (keys == NULL) {
        return ngx_http_apigw_jwt_keys_first(r, name, source, kp);
    }

    if (ngx_current_msec - keys->checked >= NGX_HTTP_APIGW_JWT_LOOK) {

        keys->checked = ngx_current_msec;

        rc = ngx_http_apigw_jwt_keys_look(keys, source, NGX_LOG_ERR,
                                          r->connection->log);

        if (rc == NGX_DECLINED && keys->set == NULL) {
            ngx_http_apigw_jwt_keys_drop(jmcf, keys);
            return NGX_DECLINED;
        }
    }

    if (keys->set == NULL) {
        return NGX_DECLINED;
    }

    *kp = keys;

    return NGX_OK;
}


/* What a client sends may name a file, but not climb out of a folder. */

static ngx_uint_t
ngx_http_apigw_jwt_keys_is_safe(ngx_str_t *name)
{
    size_t  i;

    for (i = 0; i < name->len; i++) {
        if (name->data[i] == '\0'
            || (name->data[i] == '.' && i + 1 < name->len
                && name->data[i + 1] == '.'
                && (i == 0 || name->data[i - 1] == '/')
                && (i + 2 == name->len || name->data[i + 2] == '/')))
        {
            return 0;
        }
    }

    return name->len != 0;
}


/* A file that can be read is held, even if there are no keys in it. */

static ngx_int_t
ngx_http_apigw_jwt_keys_first(ngx_http_request_t *r, ngx_str_t *name,
    ngx_http_apigw_jwt_source_t *source, ngx_http_apigw_jwt_keys_t **kp)
{
    ngx_http_apigw_jwt_keys_t        fresh;
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    if (ngx_http_apigw_jwt_keys_start(&fresh, name, source, r->connection->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    fresh.checked = ngx_current_msec;

    if (ngx_http_apigw_jwt_keys_look(&fresh, source, NGX_LOG_ERR,
                                     r->connection->log)
        == NGX_DECLINED)
    {
        ngx_free(fresh.name.data);
        return NGX_DECLINED;
    }

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_apigw_jwt_module);

    *kp = ngx_http_apigw_jwt_keys_hold(jmcf, &fresh);

    return (*kp)->set ? NGX_OK : NGX_DECLINED;
}


/*
 * Reads a file if it is not the one that was read; the source is that of a
 * name by variables.  NGX_DECLINED if it cannot be read, NGX_ERROR if what is
 * in it cannot be used.
 */

static ngx_int_t
ngx_http_apigw_jwt_keys_look(ngx_http_apigw_jwt_keys_t *keys,
    ngx_http_apigw_jwt_source_t *source, ngx_uint_t level, ngx_log_t *log)
{
    struct timespec  mtime;
    ngx_file_info_t  fi;

    if (ngx_file_info(keys->name.data, &fi) == NGX_FILE_ERROR) {
        return ngx_http_apigw_jwt_keys_unread(keys, source, level, log,
                                              ngx_errno, "cannot be read");
    }

    mtime = fi.st_mtim;

    /* a file just written may be written again in the same tick of its clock */

    if (keys->looked > mtime.tv_sec + 1
        && keys->mtime.tv_sec == mtime.tv_sec
        && keys->mtime.tv_nsec == mtime.tv_nsec
        && keys->size == fi.st_size
        && keys->inode == fi.st_ino)
    {
        return NGX_OK;
    }

    keys->looked = ngx_time();
    keys->mtime = mtime;
    keys->size = fi.st_size;
    keys->inode = fi.st_ino;

    return ngx_http_apigw_jwt_keys_read(keys, source, level, log);
}


static ngx_int_t
ngx_http_apigw_jwt_keys_read(ngx_http_apigw_jwt_keys_t *keys,
    ngx_http_apigw_jwt_source_t *source, ngx_uint_t level, ngx_log_t *log)
{
    size_t       size;
    u_char      *data;
    ngx_fd_t     fd;
    ngx_int_t    rc;
    ngx_err_t    err;
    const char  *text;

    data = NULL;
    size = 0;

    /* not to wait for the other end of a pipe */

    fd = ngx_open_file(keys->name.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        err = ngx_errno;
        text = "cannot be read";

    } else {
        text = ngx_http_apigw_jwt_keys_read_all(fd, &data, &size, &err, log);

        if (ngx_close_file(fd) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                          ngx_close_file_n " \"%V\" failed", &keys->name);
        }
    }

    if (text) {
        rc = ngx_http_apigw_jwt_keys_unread(keys, source, level, log, err,
                                            text);

    } else {
        rc = ngx_http_apigw_jwt_keys_parse(keys, data, size, level, log);
    }

    if (data) {
        OPENSSL_cleanse(data, size);
        ngx_free(data);
    }

    return rc;
}


/* Returns NULL, or what is wrong; *data is to be freed if it is not NULL. */

static const char *
ngx_http_apigw_jwt_keys_read_all(ngx_fd_t fd, u_char **data, size_t *size,
    ngx_err_t *err, ngx_log_t *log)
{
    size_t           done;
    ssize_t          n;
    ngx_file_info_t  fi;

    *err = 0;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        *err = ngx_errno;
        return "cannot be read";
    }

    if (!ngx_is_file(&fi)) {
        return "is not a file";
    }

    if (ngx_file_size(&fi) > NGX_APIGW_JWKS_SIZE_MAX) {
        return "is larger than 10 megabytes";
    }

    *size = (size_t) ngx_file_size(&fi);

    *data = ngx_alloc(*size + 1, log);
    if (*data == NULL) {
        *err = NGX_ENOMEM;
        return "cannot be read";
    }

    for (done = 0; done < *size; done += n) {

        n = ngx_read_fd(fd, *data + done, *size - done);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            *err = n ? ngx_errno : 0;
            return n ? "cannot be read" : "is being written";
        }
    }

    return NULL;
}


/* Takes new content; if it cannot be used, the old set stays. */

ngx_int_t
ngx_http_apigw_jwt_keys_parse(ngx_http_apigw_jwt_keys_t *keys,
    const u_char *data, size_t len, ngx_uint_t level, ngx_log_t *log)
{
    char               error[NGX_APIGW_JWKS_ERROR];
    u_char             digest[EVP_MAX_MD_SIZE];
    json_t            *revoked;
    uint64_t           generation;
    ngx_uint_t         flags;
    ngx_apigw_jwks_t  *set;

    if (EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return ngx_http_apigw_jwt_keys_failed(keys, level, log, 0,
                                              "cannot be hashed");
    }

    ngx_memcpy(&generation, digest, sizeof(uint64_t));

    if ((keys->set || keys->revoked) && keys->generation == generation) {
        keys->failed = 0;
        return NGX_OK;
    }

    error[0] = '\0';
    set = NULL;
    revoked = NULL;

    if (keys->list) {
        revoked = ngx_http_apigw_jwt_keys_list(data, len, error);

    } else {
        flags = keys->request ? 0 : NGX_APIGW_JWKS_SECRETS
                                    |NGX_APIGW_JWKS_STRICT;

        set = ngx_apigw_jwks_parse(data, len, keys->format, flags, error);
    }

    if (set == NULL && revoked == NULL) {
        return ngx_http_apigw_jwt_keys_failed(keys, level, log, 0, error);
    }

    if (set && set->warning[0]) {
        ngx_log_error(NGX_LOG_WARN, log, 0, "JWT keys of \"%V\": %s",
                      &keys->name, set->warning);
    }

    if (level != NGX_LOG_EMERG && !keys->request
        && (keys->set || keys->revoked || keys->failed))
    {
        ngx_log_error(NGX_LOG_NOTICE, log, 0, "\"%V\" was read again",
                      &keys->name);
    }

    ngx_http_apigw_jwt_keys_clear(keys);

    keys->set = set;
    keys->revoked = revoked;
    keys->generation = generation;
    keys->failed = 0;

    return NGX_OK;
}


/* The keys of a fixed name, or of what was changed, stay in use. */

static ngx_int_t
ngx_http_apigw_jwt_keys_unread(ngx_http_apigw_jwt_keys_t *keys,
    ngx_http_apigw_jwt_source_t *source, ngx_uint_t level, ngx_log_t *log,
    ngx_err_t err, const char *text)
{
    /* it may have been its mode, which leaves no other trace */

    keys->looked = 0;

    if (source) {

        if (err == NGX_ENOENT || err == NGX_ENOTDIR) {
            ngx_http_apigw_jwt_keys_clear(keys);
        }

        if (keys->set == NULL && !ngx_apigw_log_due(&source->unread)) {
            return NGX_DECLINED;
        }
    }

    (void) ngx_http_apigw_jwt_keys_failed(keys, level, log, err, text);

    return NGX_DECLINED;
}


/* Says so once, until it works again. */

static ngx_int_t
ngx_http_apigw_jwt_keys_failed(ngx_http_apigw_jwt_keys_t *keys,
    ngx_uint_t level, ngx_log_t *log, ngx_err_t err, const char *text)
{
    if (keys->failed && level != NGX_LOG_EMERG) {
        return NGX_ERROR;
    }

    keys->failed = 1;

    ngx_log_error(level, log, err, "%s \"%V\": %s%s",
                  keys->list ? "JWT revocation list" : "JWT keys of",
                  &keys->name, text,
                  (keys->set || keys->revoked) ? ", the old ones stay" : "");

    return NGX_ERROR;
}


static json_t *
ngx_http_apigw_jwt_keys_list(const u_char *data, size_t len, char *error)
{
    json_t        *list;
    json_error_t   jerr;

    list = json_loadb((const char *) data, len, JSON_REJECT_DUPLICATES, &jerr);

    if (json_is_object(list)) {
        return list;
    }

    json_decref(list);

    ngx_memcpy(error, "is not a JSON object", sizeof("is not a JSON object"));

    return NULL;
}


static void
ngx_http_apigw_jwt_keys_clear(ngx_http_apigw_jwt_keys_t *keys)
{
    ngx_apigw_jwks_free(keys->set);
    json_decref(keys->revoked);

    keys->set = NULL;
    keys->revoked = NULL;
}


static void
ngx_http_apigw_jwt_keys_cleanup(void *data)
{
    ngx_http_apigw_jwt_keys_clear(data);
}


/* What the master has read is what was taken first. */

ngx_int_t
ngx_http_apigw_jwt_keys_share(ngx_conf_t *cf,
    ngx_http_apigw_jwt_main_conf_t *jmcf)
{
    ngx_shm_t                   *shm;
    ngx_uint_t                   i;
    ngx_atomic_t                *taken;
    ngx_pool_cleanup_t          *cln;
    ngx_http_apigw_jwt_keys_t  **kp;

    if (jmcf->files.nelts == 0) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_shm_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    shm = cln->data;

    ngx_memzero(shm, sizeof(ngx_shm_t));

    shm->size = jmcf->files.nelts * sizeof(ngx_atomic_t);
    shm->log = cf->cycle->log;
    ngx_str_set(&shm->name, "apigw_jwt_files");

    if (ngx_shm_alloc(shm) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_apigw_jwt_keys_unshare;

    taken = (ngx_atomic_t *) shm->addr;
    kp = jmcf->files.elts;

    for (i = 0; i < jmcf->files.nelts; i++) {
        kp[i]->taken = &taken[i];
        *kp[i]->taken = (ngx_atomic_uint_t) kp[i]->generation;
    }

    return NGX_OK;
}


static void
ngx_http_apigw_jwt_keys_unshare(void *data)
{
    ngx_shm_free(data);
}


ngx_int_t
ngx_http_apigw_jwt_keys_init(ngx_cycle_t *cycle)
{
    ngx_http_apigw_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_apigw_jwt_module);

    if (jmcf == NULL) {
        return NGX_OK;
    }

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    jmcf->held = ngx_array_create(cycle->pool, NGX_HTTP_APIGW_JWT_HELD,
                                  sizeof(ngx_http_apigw_jwt_keys_t));
    if (jmcf->held == NULL) {
        return NGX_ERROR;
    }

    if (jmcf->files.nelts == 0) {
        return NGX_OK;
    }

    jmcf->dumb.fd = (ngx_socket_t) -1;
    jmcf->dumb.data = jmcf;

    jmcf->timer.handler = ngx_http_apigw_jwt_keys_timer;
    jmcf->timer.log = cycle->log;
    jmcf->timer.data = &jmcf->dumb;
    jmcf->timer.cancelable = 1;

    /* what the master has read may be old, if this is not the first worker */

    ngx_http_apigw_jwt_keys_look_all(jmcf, cycle->log);

    ngx_add_timer(&jmcf->timer, NGX_HTTP_APIGW_JWT_LOOK);

    return NGX_OK;
}


/*
 * If a file cannot be used, what is held of it may be older than what the
 * other workers have, which is known by its generation only: so it may have
 * keys that are gone, or lack what is revoked, and nothing of it is used.
 */

static void
ngx_http_apigw_jwt_keys_look_all(ngx_http_apigw_jwt_main_conf_t *jmcf,
    ngx_log_t *log)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_http_apigw_jwt_keys_t   *keys, **kp;

    kp = jmcf->files.elts;

    for (i = 0; i < jmcf->files.nelts; i++) {

        keys = kp[i];

        rc = ngx_http_apigw_jwt_keys_look(keys, NULL, NGX_LOG_ERR, log);

        if (rc == NGX_OK && !keys->failed) {
            *keys->taken = (ngx_atomic_uint_t) keys->generation;
            continue;
        }

        if ((keys->set == NULL && keys->revoked == NULL)
            || *keys->taken == (ngx_atomic_uint_t) keys->generation)
        {
            continue;
        }

        ngx_http_apigw_jwt_keys_clear(keys);

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "%s \"%V\": the old ones are older than what was in use "
                      "and do not stay, requests are refused",
                      keys->list ? "JWT revocation list" : "JWT keys of",
                      &keys->name);
    }
}


static void
ngx_http_apigw_jwt_keys_timer(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    if (ngx_exiting) {
        return;
    }

    c = ev->data;

    ngx_http_apigw_jwt_keys_look_all(c->data, ev->log);

    ngx_add_timer(ev, NGX_HTTP_APIGW_JWT_LOOK);
}


/*
 * What a process holds itself, when the configuration is given up: with
 * "master_process off" that is not the end of the process.
 */

void
ngx_http_apigw_jwt_keys_end(void *data)
{
    ngx_http_apigw_jwt_main_conf_t *jmcf = data;

    ngx_uint_t                  i;
    ngx_http_apigw_jwt_keys_t  *keys;

    if (jmcf->timer.timer_set) {
        ngx_del_timer(&jmcf->timer);
    }

    if (jmcf->held) {
        keys = jmcf->held->elts;

        for (i = 0; i < jmcf->held->nelts; i++) {
            ngx_http_apigw_jwt_keys_clear(&keys[i]);
            ngx_free(keys[i].name.data);
        }

        jmcf->held->nelts = 0;
    }

    ngx_apigw_jws_verifier_free(jmcf->verifier);
    jmcf->verifier = NULL;
}
