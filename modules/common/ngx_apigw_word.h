/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_WORD_H_INCLUDED_
#define _NGX_APIGW_WORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The words of a directive, "name=value" or a bare name in any order, read by
 * a table into a structure; what is wrong is refused in nginx's words.
 *
 * A word may come once.  Two words of the same member, as "delay=" and
 * "nodelay", exclude each other.  A default is what the member was before.
 */


typedef struct ngx_apigw_word_s  ngx_apigw_word_t;


/*
 * Sets a member of base; value is what stands behind the "=".  Returns NGX_OK,
 * NGX_DECLINED for a value that makes no sense, or NGX_ERROR if it has said
 * what is wrong.
 */

typedef ngx_int_t (*ngx_apigw_word_pt)(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);


struct ngx_apigw_word_s {
    ngx_str_t            name;      /* "burst=", or "dry_run" */
    ngx_apigw_word_pt    set;
    size_t               offset;    /* of the member */
    ngx_int_t            least;     /* see the functions below */
    ngx_int_t            most;
    ngx_uint_t           needed;    /* the directive must have it */
};


#define ngx_apigw_word_end  { ngx_null_string, NULL, 0, 0, 0, 0 }


/* What "zone=name:size" says. */

typedef struct {
    ngx_str_t            name;
    ssize_t              size;
} ngx_apigw_word_zone_t;


#pragma GCC visibility push(hidden)


/*
 * Reads the arguments of the directive from the first one on, which is 1 for
 * the one behind its name.  The table has at most 64 words and ends in
 * ngx_apigw_word_end.  NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_apigw_words(ngx_conf_t *cf, ngx_uint_t first,
    const ngx_apigw_word_t *words, void *base);


/* ngx_apigw_word_zone_t */

ngx_int_t ngx_apigw_word_zone(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base);

/* ngx_str_t, of at least "least" bytes */

ngx_int_t ngx_apigw_word_text(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base);

/* ngx_int_t or ngx_uint_t, from "least" to "most" */

ngx_int_t ngx_apigw_word_number(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base);

/* ngx_msec_t and time_t, from "least" to "most" milliseconds and seconds */

ngx_int_t ngx_apigw_word_msec(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base);
ngx_int_t ngx_apigw_word_sec(ngx_conf_t *cf, const ngx_apigw_word_t *word,
    ngx_str_t *value, void *base);

/* for a bare name: ngx_int_t or ngx_uint_t, becomes "least" */

ngx_int_t ngx_apigw_word_constant(ngx_conf_t *cf,
    const ngx_apigw_word_t *word, ngx_str_t *value, void *base);


#pragma GCC visibility pop


#endif /* _NGX_APIGW_WORD_H_INCLUDED_ */
