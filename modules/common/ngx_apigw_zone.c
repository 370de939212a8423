/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_zone.h"


#define NGX_APIGW_LOG_INTERVAL  60


void
ngx_apigw_zone_init(ngx_apigw_zone_t *zone, const char *module,
    ngx_str_t *name, ngx_apigw_collect_pt collect)
{
    zone->magic = NGX_APIGW_ZONE_MAGIC;
    zone->abi = NGX_APIGW_ZONE_ABI;
    zone->reserved = 0;
    zone->module.data = (u_char *) module;
    zone->module.len = ngx_strlen(module);
    zone->name = *name;
    zone->collect = collect;
}


ngx_int_t
ngx_apigw_zone_log_ctx(ngx_shm_zone_t *shm_zone, const char *directive)
{
    size_t            len;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    len = sizeof(" in  \"\"") + ngx_strlen(directive)
          + shm_zone->shm.name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(shpool->log_ctx, " in %s \"%V\"%Z", directive,
                &shm_zone->shm.name);

    return NGX_OK;
}


ngx_apigw_zone_t *
ngx_apigw_zone_get(ngx_shm_zone_t *shm_zone)
{
    ngx_apigw_zone_t  *zone;

    zone = shm_zone->data;

    if (zone == NULL
        || zone->magic != NGX_APIGW_ZONE_MAGIC
        || zone->abi != NGX_APIGW_ZONE_ABI)
    {
        return NULL;
    }

    return zone;
}


ngx_int_t
ngx_apigw_zone_emit(ngx_apigw_zone_t *zone, const ngx_apigw_metric_t *metric,
    void *base, ngx_apigw_emit_pt emit, void *data)
{
    ngx_int_t      rc;
    ngx_atomic_t  *value;

    for ( /* void */ ; metric->name; metric++) {
        value = (ngx_atomic_t *) ((u_char *) base + metric->offset);

        rc = emit(data, zone, metric, *value);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_apigw_zone_parse(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *name,
    ssize_t *size)
{
    u_char     *p;
    ngx_str_t   s;

    p = (u_char *) ngx_strlchr(value->data, value->data + value->len, ':');

    if (p == NULL || p == value->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\", it must be \"name:size\"",
                           value);
        return NGX_ERROR;
    }

    name->data = value->data;
    name->len = p - value->data;

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    *size = ngx_parse_size(&s);

    if (*size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_ERROR;
    }

    if (*size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, the least is %uzk",
                           value, 8 * ngx_pagesize / 1024);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_shm_zone_t *
ngx_apigw_zone_use(ngx_conf_t *cf, ngx_array_t *uses, ngx_str_t *name,
    void *tag)
{
    ngx_apigw_zone_use_t  *use;

    if (uses->elts == NULL
        && ngx_array_init(uses, cf->pool, 8, sizeof(ngx_apigw_zone_use_t))
           != NGX_OK)
    {
        return NULL;
    }

    use = ngx_array_push(uses);
    if (use == NULL) {
        return NULL;
    }

    use->shm_zone = ngx_shared_memory_add(cf, name, 0, tag);
    use->file = cf->conf_file->file.name.data;
    use->line = cf->conf_file->line;

    return use->shm_zone;
}


/* Without it nginx says "zero size shared memory zone", and not where. */

ngx_int_t
ngx_apigw_zone_check_uses(ngx_conf_t *cf, ngx_array_t *uses,
    const char *declared_by)
{
    ngx_uint_t             i;
    ngx_apigw_zone_use_t  *use;

    use = uses->elts;

    for (i = 0; i < uses->nelts; i++) {

        if (use[i].shm_zone->data == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown %s \"%V\" in %s:%ui", declared_by,
                          &use[i].shm_zone->shm.name, use[i].file,
                          use[i].line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_apigw_log_due(ngx_atomic_t *last)
{
    ngx_atomic_uint_t  now, then;

    now = (ngx_atomic_uint_t) (ngx_current_msec / 1000) + 1;
    then = *last;

    if (then != 0 && now - then < NGX_APIGW_LOG_INTERVAL) {
        return 0;
    }

    return ngx_atomic_cmp_set(last, then, now);
}
