/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_STORE_FILE_H_INCLUDED_
#define _NGX_APIGW_STORE_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The two files of a store as files, without LMDB's eyes: which they are,
 * whether the data file is whole, how a new one is made, and whose they are.
 * For ngx_apigw_store.c, whose codes are returned.
 */


#define NGX_APIGW_STORE_DATA     "/data.mdb"
#define NGX_APIGW_STORE_LOCK     "/lock.mdb"

#define NGX_APIGW_STORE_READERS  1024


/* The files that a store was opened with, or that its names lead to. */

typedef struct {
    dev_t                device;
    ino_t                data;      /* 0 if there is none */
    ino_t                lock;      /* 0 if there is none */
} ngx_apigw_store_files_t;


#pragma GCC visibility push(hidden)


int ngx_apigw_store_name(char *name, const char *directory, const char *file);
void ngx_apigw_store_names(const char *directory,
    ngx_apigw_store_files_t *files);


/* Opens a file to read it, if it is a regular one; waits for nobody. */

int ngx_apigw_store_open_file(const char *name, int *fd, struct stat *sb);


/* Sees to it that there is a whole data file, new if there was no store. */

int ngx_apigw_store_prepare(const char *directory, size_t map);


/* What EIO of LMDB means: ENOSPC or EIO. */

int ngx_apigw_store_short_write(const char *directory);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_STORE_FILE_H_INCLUDED_ */
