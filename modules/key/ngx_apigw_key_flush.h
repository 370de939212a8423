/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_KEY_FLUSH_H_INCLUDED_
#define _NGX_APIGW_KEY_FLUSH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key_store.h"
#include "ngx_apigw_key_uses.h"


/*
 * The way of uses from the table in shared memory to the store: each is
 * counted once, at whatever point the process that does it dies.
 *
 * Uses nothing of nginx but its types.
 */


#pragma GCC visibility push(hidden)


/*
 * Adds a batch to what is in the store, of the kind ngx_apigw_key_used_kind.
 * Whatever it returns, _recover() has to come before the next batch if
 * uses->pending is not 0.
 */

int ngx_apigw_key_flush(ngx_apigw_store_t *store, ngx_apigw_key_uses_t *uses,
    ngx_apigw_key_use_copy_t *copies, ngx_uint_t n, time_t now);


/*
 * Ends a batch whose process has died or whose commit has failed: its number
 * tells whether it is in the store.
 */

int ngx_apigw_key_flush_recover(ngx_apigw_store_t *store,
    ngx_apigw_key_uses_t *uses);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_KEY_FLUSH_H_INCLUDED_ */
