/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_backed.h"


#define NGX_APIGW_BACKED_FLUSH  1000     /* if the directive says nothing */
#define NGX_APIGW_BACKED_SWEEP  600


static ngx_int_t ngx_apigw_backed_declare(ngx_conf_t *cf,
    ngx_apigw_backed_t *backed);
static ngx_int_t ngx_apigw_backed_keep(ngx_apigw_backed_t *backed,
    const ngx_apigw_backed_t *previous, ngx_log_t *log);
static ngx_int_t ngx_apigw_backed_new_instance(ngx_apigw_backed_t *backed,
    ngx_log_t *log);


ngx_int_t
ngx_apigw_backed_add(ngx_conf_t *cf, ngx_apigw_backed_t *backed,
    const ngx_apigw_backed_type_t *type, ngx_array_t *helpers)
{
    ngx_apigw_helper_t  **hp;
    ngx_pool_cleanup_t   *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    hp = ngx_array_push(helpers);

    if (cln == NULL || hp == NULL) {
        return NGX_ERROR;
    }

    cln->handler = type->cleanup;
    cln->data = backed;

    *hp = &backed->helper;

    backed->type = type;
    backed->helper.name = type->name;
    backed->helper.interval = NGX_APIGW_BACKED_FLUSH;
    backed->helper.run = type->run;
    backed->helper.left = type->left;
    backed->helper.data = backed;

    if (ngx_apigw_words(cf, 1, type->words, backed) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_apigw_backed_declare(cf, backed);
}


static ngx_int_t
ngx_apigw_backed_declare(ngx_conf_t *cf, ngx_apigw_backed_t *backed)
{
    ngx_shm_zone_t      *shm_zone;
    ngx_apigw_backed_t  *other;

    shm_zone = ngx_shared_memory_add(cf, &backed->declared.name,
                                     backed->declared.size,
                                     backed->type->tag);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    if (shm_zone->data) {
        other = shm_zone->data;

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already bound to store \"%V\"",
                           &other->zone.name, &other->helper.directory);
        return NGX_ERROR;
    }

    if (ngx_apigw_helper_add(cf, &backed->helper) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_apigw_zone_init(&backed->zone, (char *) backed->helper.name.data,
                        &shm_zone->shm.name, backed->type->collect);

    shm_zone->init = backed->type->init;
    shm_zone->data = backed;

    return NGX_OK;
}


ngx_int_t
ngx_apigw_backed_init(ngx_shm_zone_t *shm_zone,
    const ngx_apigw_backed_t *previous)
{
    ngx_apigw_backed_t  *backed;

    backed = shm_zone->data;

    if (previous) {
        return ngx_apigw_backed_keep(backed, previous, shm_zone->shm.log);
    }

    backed->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        backed->shared = backed->shpool->data;

        if (backed->shared == NULL
            || backed->shared->layout != backed->type->layout)
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "%s \"%V\" has another layout, stop nginx and start "
                          "it again", backed->type->directive,
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }

        backed->helper.guard = &backed->shared->guard;

        return NGX_OK;
    }

    backed->shared = ngx_slab_calloc(backed->shpool, backed->type->size);
    if (backed->shared == NULL) {
        return NGX_ERROR;
    }

    backed->helper.guard = &backed->shared->guard;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_apigw_backed_keep(ngx_apigw_backed_t *backed,
    const ngx_apigw_backed_t *previous, ngx_log_t *log)
{
    if (ngx_apigw_helper_keep(&backed->helper, &previous->helper,
                              backed->type->directive, &backed->zone.name, log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    backed->shared = previous->shared;
    backed->shpool = previous->shpool;
    backed->instance = previous->instance;

    if (backed->instance) {
        backed->instance->refs++;
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_backed_made(ngx_apigw_backed_t *backed, ngx_log_t *log)
{
    if (!ngx_test_config
        && ngx_apigw_backed_new_instance(backed, log) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (backed->instance) {
        backed->shared->instance = backed->instance->id;
    }

    backed->shared->layout = backed->type->layout;

    /* that tables are full is said by those who fill them */

    backed->shpool->log_nomem = 0;
    backed->shpool->data = backed->shared;

    return NGX_OK;
}


static ngx_int_t
ngx_apigw_backed_new_instance(ngx_apigw_backed_t *backed, ngx_log_t *log)
{
    int                    rc;
    ngx_apigw_instance_t  *instance;

    /* outlives the cycle that makes it */

    instance = ngx_alloc(sizeof(ngx_apigw_instance_t), log);
    if (instance == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_apigw_instance_create(instance,
                                   (char *) backed->helper.directory.data);

    if (rc != 0) {
        ngx_free(instance);

        ngx_log_error(NGX_LOG_EMERG, log, rc,
                      "cannot create a file in the store \"%V\"",
                      &backed->helper.directory);
        return NGX_ERROR;
    }

    backed->instance = instance;

    return NGX_OK;
}


/* The processes that go on have the instance's file open as well. */

void
ngx_apigw_backed_cleanup(ngx_apigw_backed_t *backed)
{
    if (backed->store && backed->store_pid == ngx_pid) {
        ngx_apigw_store_close(backed->store);
        backed->store = NULL;
    }

    if (backed->instance && --backed->instance->refs == 0) {
        (void) close(backed->instance->fd);
        ngx_free(backed->instance);
    }
}


ngx_int_t
ngx_apigw_backed_open(ngx_apigw_backed_t *backed, ngx_log_t *log)
{
    int  rc;

    if (backed->store && backed->store_pid == ngx_pid) {

        if (backed->checked == ngx_time()) {
            return NGX_OK;
        }

        backed->checked = ngx_time();

        if (ngx_apigw_store_check(backed->store) == 0) {
            return NGX_OK;
        }

        /* its files are others now, or damaged */

        ngx_apigw_store_close(backed->store);
        backed->store = NULL;
    }

    rc = ngx_apigw_store_open(&backed->store,
                              (char *) backed->helper.directory.data,
                              backed->type->kind);

    if (rc != 0) {
        backed->store = NULL;
        ngx_apigw_backed_error(backed, log, "opened", rc);
        return NGX_ERROR;
    }

    ngx_apigw_store_hurry(backed->store);

    backed->store_pid = ngx_pid;

    return NGX_OK;
}


void
ngx_apigw_backed_sweep(ngx_apigw_backed_t *backed, time_t now)
{
    (void) ngx_apigw_store_check_readers(backed->store);

    if (now >= backed->swept && now < backed->swept + NGX_APIGW_BACKED_SWEEP) {
        return;
    }

    backed->swept = now;

    (void) ngx_apigw_instance_sweep((char *) backed->helper.directory.data);
}


void
ngx_apigw_backed_error(ngx_apigw_backed_t *backed, ngx_log_t *log,
    const char *what, int rc)
{
    (void) ngx_atomic_fetch_add(&backed->shared->store_errors, 1);

    if (ngx_apigw_log_due(&backed->shared->log_store)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "%s \"%V\": the store \"%V\" cannot be %s: %s",
                      backed->type->directive, &backed->zone.name,
                      &backed->helper.directory, what,
                      ngx_apigw_store_strerror(rc));
    }
}


/* The other records are as they should be. */

void
ngx_apigw_backed_damaged(ngx_apigw_backed_t *backed, ngx_log_t *log,
    ngx_uint_t n)
{
    if (n == 0) {
        return;
    }

    (void) ngx_atomic_fetch_add(&backed->shared->store_errors, n);

    if (ngx_apigw_log_due(&backed->shared->log_store)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "%s \"%V\": the store \"%V\" has damaged or overlong "
                      "records", backed->type->directive, &backed->zone.name,
                      &backed->helper.directory);
    }
}


void
ngx_apigw_backed_full(ngx_apigw_backed_t *backed, ngx_log_t *log,
    const char *what)
{
    if (ngx_apigw_log_due(&backed->shared->log_full)) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "%s \"%V\" has no room: its %s wait for the store",
                      backed->type->directive, &backed->zone.name, what);
    }
}
