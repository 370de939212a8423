/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_DIRECTORY_H_INCLUDED_
#define _NGX_APIGW_DIRECTORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#pragma GCC visibility push(hidden)


/*
 * Whether the directory that a directive names, absolute and NUL-terminated,
 * may become or be a store of the workers.  nginx makes it then, or gives it
 * to their user; the files in it are given here, if the directory is root's.
 * Logs and returns NGX_ERROR if it may not.
 */

ngx_int_t ngx_apigw_directory_check(ngx_conf_t *cf, ngx_str_t *directory);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_DIRECTORY_H_INCLUDED_ */
