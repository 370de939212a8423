/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <sys/file.h>

#include "ngx_apigw_directory.h"
#include "ngx_apigw_helper.h"
#include "ngx_apigw_store.h"
#include "ngx_apigw_zone.h"


/*
 * Who works: the process that holds the flock on "helper.lock" in the store's
 * directory.  The kernel releases it when the process dies, whatever killed
 * it.  The lock is taken for one series of steps and given back, so that the
 * helpers of two masters (a binary upgrade) take turns.
 *
 * What survives a crash is the guard in the module's zone: the pid at work
 * and the number of crashes in a row.  nginx starts a dead cache manager
 * again at once and without end; the next helper finds the pid of a dead
 * process there and waits, 1s, 2s, 4s ... up to a minute.
 */


#define NGX_APIGW_HELPER_LOCK     "/helper.lock"
#define NGX_APIGW_HELPER_RETRY    200
#define NGX_APIGW_HELPER_SLICE    500
#define NGX_APIGW_HELPER_LAST     2000
#define NGX_APIGW_HELPER_END      2500
#define NGX_APIGW_HELPER_BACKOFF  60000
#define NGX_APIGW_HELPER_PRIORITY 10


typedef struct {
    ngx_event_t              event;
    ngx_connection_t         dummy;
    ngx_apigw_helpers_pt     helpers;
} ngx_apigw_helper_timer_t;


static ngx_msec_t ngx_apigw_helper_manager(void *data);
static ngx_msec_t ngx_apigw_helper_turn(ngx_apigw_helper_t *helper,
    ngx_log_t *log, ngx_uint_t last);
static ngx_msec_t ngx_apigw_helper_work(ngx_apigw_helper_t *helper,
    ngx_log_t *log, ngx_uint_t last);
static void ngx_apigw_helper_step_back(ngx_log_t *log);
static ngx_msec_t ngx_apigw_helper_start(ngx_apigw_helper_t *helper,
    ngx_log_t *log);
static ngx_int_t ngx_apigw_helper_take_lock(ngx_apigw_helper_t *helper,
    ngx_log_t *log);
static void ngx_apigw_helper_drop_lock(ngx_apigw_helper_t *helper,
    ngx_log_t *log);
static void ngx_apigw_helper_timer(ngx_event_t *ev);
static void ngx_apigw_helper_last(ngx_apigw_helper_t *helper, ngx_log_t *log);
static ngx_uint_t ngx_apigw_helper_running(ngx_apigw_helper_t *helper);
static void ngx_apigw_helper_give_up(ngx_apigw_helper_t *helper,
    ngx_log_t *log);


ngx_int_t
ngx_apigw_helper_add(ngx_conf_t *cf, ngx_apigw_helper_t *helper)
{
    ngx_path_t  *path;

    helper->due = 0;
    helper->lock = NGX_INVALID_FILE;
    helper->pid = NGX_INVALID_PID;
    helper->child = NGX_INVALID_PID;

    if (helper->directory.len == 0) {
        return NGX_OK;
    }

    if (ngx_conf_full_name(cf->cycle, &helper->directory, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    while (helper->directory.len > 1
           && helper->directory.data[helper->directory.len - 1] == '/')
    {
        helper->directory.data[--helper->directory.len] = '\0';
    }

    if (ngx_apigw_directory_check(cf, &helper->directory) != NGX_OK) {
        return NGX_ERROR;
    }

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NGX_ERROR;
    }

    path->name = helper->directory;
    path->manager = ngx_apigw_helper_manager;
    path->data = helper;
    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    return ngx_add_path(cf, &path);
}


ngx_int_t
ngx_apigw_helper_keep(ngx_apigw_helper_t *helper,
    const ngx_apigw_helper_t *previous, const char *directive,
    ngx_str_t *name, ngx_log_t *log)
{
    const ngx_str_t  *store, *before;

    store = &helper->directory;
    before = &previous->directory;

    if (store->len != before->len
        || (store->len
            && ngx_memcmp(store->data, before->data, store->len) != 0))
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "%s \"%V\" uses the store \"%V\" while previously it "
                      "used \"%V\"; give the zone another name as well",
                      directive, name, store, before);
        return NGX_ERROR;
    }

    helper->guard = previous->guard;

    return NGX_OK;
}


/*
 * nginx has made its directories by now, so a path without one may be added:
 * it is nothing but the callback.
 */

ngx_int_t
ngx_apigw_helper_init_module(ngx_cycle_t *cycle, ngx_apigw_helpers_pt helpers)
{
    ngx_uint_t            i;
    ngx_path_t           *path, **pp;
    ngx_array_t          *list;
    ngx_apigw_helper_t  **helper;

    list = helpers(cycle);

    if (list == NULL) {
        return NGX_OK;
    }

    helper = list->elts;

    for (i = 0; i < list->nelts; i++) {

        if (helper[i]->directory.len) {
            continue;
        }

        path = ngx_pcalloc(cycle->pool, sizeof(ngx_path_t));
        pp = ngx_array_push(&cycle->paths);

        if (path == NULL || pp == NULL) {
            return NGX_ERROR;
        }

        *pp = path;

        path->name = helper[i]->name;
        path->manager = ngx_apigw_helper_manager;
        path->data = helper[i];
    }

    return NGX_OK;
}


/* Called by nginx's cache manager process; returns when to be called again. */

static ngx_msec_t
ngx_apigw_helper_manager(void *data)
{
    return ngx_apigw_helper_turn(data, ngx_cycle->log, 0);
}


static ngx_msec_t
ngx_apigw_helper_turn(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last)
{
    ngx_msec_t      wait;
    ngx_msec_int_t  left;

    if (helper->pid != ngx_pid) {

        /* the first turn in this process, after fork */

        helper->pid = ngx_pid;
        helper->lock = NGX_INVALID_FILE;
        helper->due = ngx_current_msec;

        ngx_apigw_helper_step_back(log);

        wait = last ? 0 : ngx_apigw_helper_start(helper, log);

        if (wait) {
            helper->due += wait;
            return wait;
        }
    }

    left = (ngx_msec_int_t) (helper->due - ngx_current_msec);

    if (left > 0 && !last) {
        return ngx_min((ngx_msec_t) left, helper->interval);
    }

    wait = ngx_apigw_helper_work(helper, log, last);

    ngx_time_update();
    helper->due = ngx_current_msec + wait;

    return wait;
}


/*
 * What is to be written can wait for a processor, a request cannot: workers
 * that want one get it first.  A share is left however busy they are.
 */

static void
ngx_apigw_helper_step_back(ngx_log_t *log)
{
    int               now, priority;
    ngx_core_conf_t  *ccf;

    if (ngx_process != NGX_PROCESS_HELPER) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    /* that of the workers is the master's, unless it is configured */

    priority = ccf->priority ? (int) ccf->priority
                             : getpriority(PRIO_PROCESS, ngx_parent);

    priority = ngx_min(priority + NGX_APIGW_HELPER_PRIORITY, 19);
    now = getpriority(PRIO_PROCESS, 0);

    /* nobody may take what he has given away */

    if (now < priority && setpriority(PRIO_PROCESS, 0, priority) == -1) {
        ngx_log_error(NGX_LOG_WARN, log, ngx_errno,
                      "setpriority(%d) failed", priority);
    }
}


/* Returns how long to wait because of an earlier process, 0 for not at all. */

static ngx_msec_t
ngx_apigw_helper_start(ngx_apigw_helper_t *helper, ngx_log_t *log)
{
    ngx_uint_t                 n;
    ngx_msec_t                 wait;
    ngx_atomic_uint_t          worker;
    ngx_apigw_helper_guard_t  *guard;

    guard = helper->guard;

    if (guard == NULL) {
        return 0;
    }

    worker = guard->worker;

    if (worker == 0
        || (ngx_pid_t) worker == ngx_pid
        || kill((ngx_pid_t) worker, 0) == 0
        || ngx_errno != ESRCH)
    {
        return 0;
    }

    if (!ngx_atomic_cmp_set(&guard->worker, worker, 0)) {
        return 0;
    }

    n = ngx_atomic_fetch_add(&guard->crashes, 1);
    wait = n < 6 ? (ngx_msec_t) 1000 << n : NGX_APIGW_HELPER_BACKOFF;

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "apigw %V: process %P died while it wrote to \"%V\", "
                  "next attempt in %M ms",
                  &helper->name, (ngx_pid_t) worker, &helper->directory, wait);

    return wait;
}


static ngx_msec_t
ngx_apigw_helper_work(ngx_apigw_helper_t *helper, ngx_log_t *log,
    ngx_uint_t last)
{
    ngx_int_t                  rc;
    ngx_msec_t                 start, limit;
    ngx_apigw_helper_guard_t  *guard;

    ngx_time_update();
    start = ngx_current_msec;
    limit = last ? NGX_APIGW_HELPER_LAST : NGX_APIGW_HELPER_SLICE;

    do {
        rc = ngx_apigw_helper_take_lock(helper, log);

        if (rc == NGX_OK || rc == NGX_ERROR || !last) {
            break;
        }

        /* another helper is at work, this is the last opportunity */

        ngx_msleep(10);
        ngx_time_update();

    } while (ngx_current_msec - start < limit);

    guard = helper->guard;

    if (rc != NGX_OK) {
        if (rc == NGX_ERROR && guard) {
            (void) ngx_atomic_fetch_add(&guard->errors, 1);
        }

        return rc == NGX_BUSY ? ngx_min(NGX_APIGW_HELPER_RETRY,
                                        helper->interval)
                              : helper->interval;
    }

    if (guard) {
        guard->worker = ngx_pid;
    }

    do {
        rc = helper->run(helper, log, last);

        ngx_time_update();

    } while (rc == NGX_AGAIN && ngx_current_msec - start < limit);

    if (guard) {
        guard->worker = 0;

        if (rc == NGX_ERROR) {
            (void) ngx_atomic_fetch_add(&guard->errors, 1);

        } else {
            guard->crashes = 0;
            (void) ngx_atomic_fetch_add(&guard->runs, 1);
        }
    }

    ngx_apigw_helper_drop_lock(helper, log);

    /* 1: the event loop sees signals in between */

    return rc == NGX_AGAIN ? 1 : helper->interval;
}


static ngx_int_t
ngx_apigw_helper_take_lock(ngx_apigw_helper_t *helper, ngx_log_t *log)
{
    int                          rc;
    u_char                      *p;
    ngx_err_t                    err;
    ngx_apigw_store_identity_t   saved;
    u_char                       name[NGX_MAX_PATH];

    if (helper->directory.len == 0) {
        return NGX_OK;
    }

    if (helper->lock == NGX_INVALID_FILE) {

        p = ngx_snprintf(name, sizeof(name) - 1, "%V" NGX_APIGW_HELPER_LOCK,
                         &helper->directory);
        *p = '\0';

        rc = ngx_apigw_store_enter_owner((char *) helper->directory.data,
                                         &saved);
        if (rc != 0) {
            if (ngx_apigw_log_due(&helper->log_lock)) {
                ngx_log_error(NGX_LOG_ERR, log, 0,
                              "apigw %V: cannot enter \"%V\": %s",
                              &helper->name, &helper->directory,
                              ngx_apigw_store_strerror(rc));
            }

            return NGX_ERROR;
        }

        helper->lock = open((char *) name,
                            O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);
        err = ngx_errno;

        ngx_apigw_store_leave_owner(&saved);

        if (helper->lock == NGX_INVALID_FILE) {
            if (ngx_apigw_log_due(&helper->log_lock)) {
                ngx_log_error(NGX_LOG_ERR, log, err,
                              "apigw %V: open() \"%s\" failed",
                              &helper->name, name);
            }

            return NGX_ERROR;
        }
    }

    while (flock(helper->lock, LOCK_EX|LOCK_NB) == -1) {
        err = ngx_errno;

        if (err == NGX_EINTR) {
            continue;
        }

        if (err == EWOULDBLOCK) {
            ngx_apigw_helper_drop_lock(helper, log);
            return NGX_BUSY;
        }

        if (ngx_apigw_log_due(&helper->log_lock)) {
            ngx_log_error(NGX_LOG_ERR, log, err, "apigw %V: flock() on \"%V"
                          NGX_APIGW_HELPER_LOCK "\" failed",
                          &helper->name, &helper->directory);
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_apigw_helper_drop_lock(ngx_apigw_helper_t *helper, ngx_log_t *log)
{
    /* closed rather than kept: the directory may be replaced meanwhile */

    if (helper->lock == NGX_INVALID_FILE) {
        return;
    }

    if (close(helper->lock) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "apigw %V: close() of the lock failed", &helper->name);
    }

    helper->lock = NGX_INVALID_FILE;
}


/*
 * With "master_process off" a configuration may be replaced in the process,
 * and its memory freed; so the timer belongs to the process and looks up the
 * helpers of the current cycle each time.
 */

ngx_int_t
ngx_apigw_helper_init_process(ngx_cycle_t *cycle, ngx_apigw_helpers_pt helpers)
{
    ngx_apigw_helper_timer_t  *timer;

    if (ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    timer = ngx_calloc(sizeof(ngx_apigw_helper_timer_t), cycle->log);
    if (timer == NULL) {
        return NGX_ERROR;
    }

    timer->helpers = helpers;
    timer->dummy.fd = (ngx_socket_t) -1;

    timer->event.handler = ngx_apigw_helper_timer;
    timer->event.data = &timer->dummy;
    timer->event.log = cycle->log;
    timer->event.cancelable = 1;

    timer->dummy.data = timer;

    ngx_add_timer(&timer->event, 1);

    return NGX_OK;
}


static void
ngx_apigw_helper_timer(ngx_event_t *ev)
{
    ngx_uint_t                  i;
    ngx_msec_t                  wait, next;
    ngx_array_t                *list;
    ngx_connection_t           *dummy;
    ngx_apigw_helper_t        **helper;
    ngx_apigw_helper_timer_t   *timer;

    dummy = ev->data;
    timer = dummy->data;

    next = 1000;

    ev->log = ngx_cycle->log;

    list = timer->helpers((ngx_cycle_t *) ngx_cycle);

    if (list) {
        helper = list->elts;

        for (i = 0; i < list->nelts; i++) {
            wait = ngx_apigw_helper_turn(helper[i], ngx_cycle->log, 0);
            next = ngx_min(next, wait);
        }
    }

    if (!ngx_exiting && !ngx_quit && !ngx_terminate) {
        ngx_add_timer(ev, ngx_max(next, 1));
    }
}


void
ngx_apigw_helper_exit_master(ngx_cycle_t *cycle, ngx_apigw_helpers_pt helpers)
{
    ngx_uint_t            i, n, left;
    ngx_array_t          *list;
    ngx_apigw_helper_t  **helper;

    if (ngx_test_config) {
        return;
    }

    list = helpers(cycle);

    if (list == NULL) {
        return;
    }

    helper = list->elts;

    for (i = 0; i < list->nelts; i++) {
        if (helper[i]->directory.len) {
            ngx_apigw_helper_last(helper[i], cycle->log);
        }
    }

    for (n = 0; n < NGX_APIGW_HELPER_END / 10; n++) {

        left = 0;

        for (i = 0; i < list->nelts; i++) {
            left += ngx_apigw_helper_running(helper[i]);
        }

        if (left == 0) {
            break;
        }

        ngx_msleep(10);
    }

    for (i = 0; i < list->nelts; i++) {
        if (ngx_apigw_helper_running(helper[i])) {
            ngx_apigw_helper_give_up(helper[i], cycle->log);
        }

        if (helper[i]->directory.len && helper[i]->left) {
            helper[i]->left(helper[i], cycle->log);
        }
    }
}


/*
 * The master may be root, what lies in the directory is the workers', and a
 * writer that is stopped, or a disk, may hold up everybody: the work is done
 * by a child that becomes the owner for good, and is waited for for some time.
 */

static void
ngx_apigw_helper_last(ngx_apigw_helper_t *helper, ngx_log_t *log)
{
    int  rc;

    helper->child = fork();

    switch (helper->child) {

    case -1:
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "apigw %V: fork() failed, the latest of \"%V\" is lost",
                      &helper->name, &helper->directory);

        helper->child = NGX_INVALID_PID;
        return;

    case 0:
        ngx_pid = ngx_getpid();

        rc = ngx_apigw_store_become_owner((char *) helper->directory.data);

        if (rc != 0) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "apigw %V: cannot enter \"%V\": %s", &helper->name,
                          &helper->directory, ngx_apigw_store_strerror(rc));
            _exit(1);
        }

        (void) ngx_apigw_helper_turn(helper, log, 1);

        _exit(0);

    default:
        return;
    }
}


/* A handler of SIGCHLD may be faster. */

static ngx_uint_t
ngx_apigw_helper_running(ngx_apigw_helper_t *helper)
{
    ngx_pid_t  pid;

    if (helper->child == NGX_INVALID_PID) {
        return 0;
    }

    pid = waitpid(helper->child, NULL, WNOHANG);

    if (pid == 0 || (pid == -1 && ngx_errno == NGX_EINTR)) {
        return 1;
    }

    helper->child = NGX_INVALID_PID;

    return 0;
}


static void
ngx_apigw_helper_give_up(ngx_apigw_helper_t *helper, ngx_log_t *log)
{
    ngx_uint_t  i;

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "apigw %V: \"%V\" cannot be written, the latest is lost: "
                  "another process has it, or the disk does not answer",
                  &helper->name, &helper->directory);

    (void) kill(helper->child, SIGKILL);

    /* one that waits for a disk does not end either */

    for (i = 0; i < 10 && ngx_apigw_helper_running(helper); i++) {
        ngx_msleep(10);
    }
}
