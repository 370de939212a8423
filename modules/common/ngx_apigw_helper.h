/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_HELPER_H_INCLUDED_
#define _NGX_APIGW_HELPER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Work that may block, for one store directory: it is done in nginx's cache
 * manager process, in the master when it exits, and from a timer with
 * "master_process off".
 *
 * Several such processes may exist at once (reloads, orphans, a binary
 * upgrade); a flock on a file in the directory lets one of them work at a
 * time.  A process that died at work delays the next one, longer each time.
 */


typedef struct ngx_apigw_helper_s  ngx_apigw_helper_t;


/*
 * One step of the work.  A step may block for a second at most.  Returns
 * NGX_OK if nothing is left to do for now, NGX_AGAIN to be called again at
 * once, NGX_ERROR (logged by the callee) to be called again after the
 * interval.  With "last" set nginx is about to exit.
 */

typedef ngx_int_t (*ngx_apigw_helper_pt)(ngx_apigw_helper_t *helper,
    ngx_log_t *log, ngx_uint_t last);


/* Logs what is not written, if there is any, when nothing more will be. */

typedef void (*ngx_apigw_helper_left_pt)(ngx_apigw_helper_t *helper,
    ngx_log_t *log);


/* What is remembered over the death of a helper; lies in the module's zone. */

typedef struct {
    ngx_atomic_t             worker;    /* pid at work, 0: none */
    ngx_atomic_t             crashes;   /* in a row */
    ngx_atomic_t             runs;      /* completed steps, for collect() */
    ngx_atomic_t             errors;    /* failed steps, for collect() */
} ngx_apigw_helper_guard_t;


struct ngx_apigw_helper_s {
    ngx_str_t                name;      /* of the module, for log lines */
    ngx_str_t                directory; /* absolute, NUL-terminated; empty:
                                           nothing is stored */
    ngx_msec_t               interval;
    ngx_apigw_helper_pt      run;
    ngx_apigw_helper_left_pt left;      /* in exit_master; may be NULL */
    void                    *data;
    ngx_apigw_helper_guard_t  *guard;   /* NULL until the zone is there */

    /* private to a process */

    ngx_msec_t               due;
    ngx_fd_t                 lock;
    ngx_pid_t                pid;
    ngx_pid_t                child;     /* of the master, for the last time */
    ngx_atomic_t             log_lock;  /* for ngx_apigw_log_due() */
};


/* Returns the helpers of a module in a cycle, elements ngx_apigw_helper_t *. */

typedef ngx_array_t *(*ngx_apigw_helpers_pt)(ngx_cycle_t *cycle);


#pragma GCC visibility push(hidden)


/*
 * Registers a helper while the configuration is read.  The caller has set
 * name, directory as written in the configuration (made absolute here),
 * interval, run and data; guard is set when the zone is initialised.  nginx
 * creates the directory, one level, owned by the worker user.  Logs and
 * returns NGX_ERROR if the directory is already used for something else.
 *
 * Without a directory nothing keeps two helpers from working at once, and
 * ngx_apigw_helper_init_module() has to be called.
 */

ngx_int_t ngx_apigw_helper_add(ngx_conf_t *cf, ngx_apigw_helper_t *helper);


/*
 * When the zone of a helper was there in the cycle before: takes the guard
 * over.  Logs and returns NGX_ERROR if the zone had another store, as what is
 * in memory belongs to that; directive and name are those of the zone.
 */

ngx_int_t ngx_apigw_helper_keep(ngx_apigw_helper_t *helper,
    const ngx_apigw_helper_t *previous, const char *directive,
    ngx_str_t *name, ngx_log_t *log);


/*
 * To be called from the module's init_module, which is needed for helpers
 * without a directory only, init_process, which acts with "master_process
 * off" only, and exit_master.
 */

ngx_int_t ngx_apigw_helper_init_module(ngx_cycle_t *cycle,
    ngx_apigw_helpers_pt helpers);
ngx_int_t ngx_apigw_helper_init_process(ngx_cycle_t *cycle,
    ngx_apigw_helpers_pt helpers);
void ngx_apigw_helper_exit_master(ngx_cycle_t *cycle,
    ngx_apigw_helpers_pt helpers);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_HELPER_H_INCLUDED_ */
