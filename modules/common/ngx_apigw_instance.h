/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_INSTANCE_H_INCLUDED_
#define _NGX_APIGW_INSTANCE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * An instance is one zone in memory that counts into a store: every start of
 * nginx makes one, a binary upgrade has two at once.  Each writes numbers of
 * its own under a random id.
 *
 * Whether an instance can still write is known, not guessed: every process
 * that maps the zone holds a flock on the file "instance.ID" in the store's
 * directory, inherited from the master.  The kernel releases it with the last
 * of them, whatever they died of, and not before, however long they hang.
 * What a dead instance has counted may be added up with that of others.
 *
 * All functions return 0 or an errno value.
 */


#define NGX_APIGW_INSTANCE_NAME  sizeof("/instance.0123456789abcdef")
#define NGX_APIGW_INSTANCE_DEAD  32


typedef struct {
    uint64_t             id;
    ngx_fd_t             fd;
    ngx_uint_t           refs;
} ngx_apigw_instance_t;


/* The dead that a process knows of: an id never comes back to life. */

typedef struct {
    uint64_t             ids[NGX_APIGW_INSTANCE_DEAD];
    ngx_uint_t           n;
} ngx_apigw_instance_dead_t;


#pragma GCC visibility push(hidden)


/* Makes an instance; its file is closed on exec and inherited by fork. */

int ngx_apigw_instance_create(ngx_apigw_instance_t *instance,
    const char *directory);


/* Whether no process can write for this instance any more. */

ngx_uint_t ngx_apigw_instance_dead(ngx_apigw_instance_dead_t *dead,
    const char *directory, uint64_t id);


/* Removes the files of dead instances. */

int ngx_apigw_instance_sweep(const char *directory);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_INSTANCE_H_INCLUDED_ */
