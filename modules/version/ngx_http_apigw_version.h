/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_HTTP_APIGW_VERSION_H_INCLUDED_
#define _NGX_HTTP_APIGW_VERSION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_apigw_request.h"
#include "ngx_apigw_label.h"


#define NGX_HTTP_APIGW_VERSION_API_CONF  0x00200000     /* inside api {} */

#define NGX_HTTP_APIGW_VERSION_SOURCES   8
#define NGX_HTTP_APIGW_VERSION_VARS      6
#define NGX_HTTP_APIGW_VERSION_FIELDS    4


/*
 * The places of a request, and what $api_version_source can say.  Stores have
 * these numbers: new ones come last, and into ngx_apigw_sources.
 */

typedef enum {
    NGX_HTTP_APIGW_VERSION_NONE = 0,
    NGX_HTTP_APIGW_VERSION_PATH,
    NGX_HTTP_APIGW_VERSION_PACKAGE,
    NGX_HTTP_APIGW_VERSION_HEADER,
    NGX_HTTP_APIGW_VERSION_ACCEPT,
    NGX_HTTP_APIGW_VERSION_QUERY,
    NGX_HTTP_APIGW_VERSION_HOST,
    NGX_HTTP_APIGW_VERSION_VARIABLE,
    NGX_HTTP_APIGW_VERSION_DEFAULT,
    NGX_HTTP_APIGW_VERSION_NEAREST,
    NGX_HTTP_APIGW_VERSION_CANARY
} ngx_http_apigw_version_source_e;


typedef enum {
    NGX_HTTP_APIGW_VERSION_STRICT = 0,  /* default for none, 404 if unknown */
    NGX_HTTP_APIGW_VERSION_TO_DEFAULT,
    NGX_HTTP_APIGW_VERSION_TO_NEAREST,
    NGX_HTTP_APIGW_VERSION_REJECT
} ngx_http_apigw_version_fallback_e;


typedef struct ngx_http_apigw_version_s      ngx_http_apigw_version_t;
typedef struct ngx_http_apigw_version_api_s  ngx_http_apigw_version_api_t;
typedef struct ngx_http_apigw_version_zone_s  ngx_http_apigw_version_zone_t;


typedef struct ngx_http_apigw_version_ctx_s  ngx_http_apigw_version_ctx_t;
typedef struct ngx_http_apigw_version_source_s
    ngx_http_apigw_version_source_t;


/* What one source says. */

typedef struct {
    ngx_http_apigw_version_t        *version;   /* NULL: unknown */
    ngx_str_t                        text;      /* as written */
    unsigned                         found:1;
    unsigned                         clash:1;   /* with itself */
} ngx_http_apigw_version_find_t;


/* Fills find, zeroed but for its text; NGX_ERROR is for no memory only. */

typedef ngx_int_t (*ngx_http_apigw_version_find_pt)(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);


struct ngx_http_apigw_version_source_s {
    ngx_http_apigw_version_source_e  type;
    ngx_http_apigw_version_find_pt   find;
    ngx_uint_t                       position;  /* path */
    ngx_str_t                        name;      /* header: as written */
    ngx_str_t                        lowcase;   /* header */
    ngx_uint_t                       hash;      /* header */
    ngx_int_t                        index;     /* variable */
    ngx_str_t                        vary;      /* if this one decided */

    /* where it stands, until it was warned of */

    u_char                          *file;
    ngx_uint_t                       line;
};


typedef struct {
    ngx_http_apigw_version_t        *version;   /* NULL: all that retire */
    time_t                           from;
    ngx_uint_t                       share;
    ngx_uint_t                       minutes;   /* of an hour; 60: always */
    ngx_int_t                        by;        /* variable or NGX_ERROR */
    ngx_int_t                        exempt;    /* the same */
    ngx_str_t                        label;
    ngx_str_t                        vary;
} ngx_http_apigw_version_brownout_t;


struct ngx_http_apigw_version_s {
    ngx_str_t                        label;
    ngx_apigw_number_t               number;
    ngx_str_t                        upstream;
    ngx_str_t                        uri;       /* without "/" at the end */
    ngx_str_t                        link;
    ngx_str_t                        next;      /* label of the successor */
    ngx_http_apigw_version_t        *successor;

    time_t                           since;     /* dates; 0: none */
    time_t                           deprecated;
    time_t                           sunset;

    ngx_uint_t                       share;     /* of the canary */
    uint64_t                         limit;     /* its place ends here */
    ngx_apigw_hash_key_t             salt;
    ngx_int_t                        by;        /* variable or NGX_ERROR */
    ngx_http_apigw_version_brownout_t  *brownout;

    time_t                           acts;      /* retired or rehearsed */

    ngx_uint_t                       nfields;   /* of every answer */
    ngx_uint_t                       nown;      /* those but a Link */
    ngx_table_elt_t                  fields[NGX_HTTP_APIGW_VERSION_FIELDS];
    ngx_str_t                        sunset_field;
    ngx_str_t                        link_head; /* with "<" of a successor */
    ngx_uint_t                       letters;   /* fields begin with them */

    u_char                          *file;
    ngx_uint_t                       line;

    ngx_uint_t                       is_default;
    ngx_uint_t                       preview;
    ngx_uint_t                       optin;

    unsigned                         canary:1;
    unsigned                         has_uri:1;
    unsigned                         scheme:1;
    unsigned                         block:1;   /* upstream is a name */
    unsigned                         ends:1;    /* has a date of its end */
};


struct ngx_http_apigw_version_api_s {
    ngx_str_t                        name;
    ngx_array_t                      versions;  /* of pointers */
    ngx_array_t                      sources;
    ngx_array_t                      brownouts;
    ngx_http_apigw_version_t        *current;   /* the default */

    ngx_uint_t                       fallback;
    ngx_uint_t                       shapes;    /* of its labels */
    ngx_str_t                        base;      /* without "/" at the end */
    ngx_flag_t                       strip;
    ngx_str_t                        field;     /* "X-API-Version" or empty */
    ngx_str_t                        vary;      /* if no source decided */
    size_t                           longest;   /* name of a source */
    ngx_apigw_hash_key_t             salt;      /* of no version */
    ngx_http_apigw_version_source_t  optin;

    u_char                          *file;
    ngx_uint_t                       line;

    unsigned                         defined:1;
    unsigned                         published:1;
    unsigned                         has_base:1;
    unsigned                         has_field:1;
    unsigned                         has_fallback:1;
    unsigned                         has_canary:1;
    unsigned                         first:1;   /* on_conflict=first */
    unsigned                         linked:1;  /* a URI can carry one */
    unsigned                         by_path:1; /* the path and nothing else */
    unsigned                         rewrites:1;
};


/* One api_publish. */

typedef struct {
    ngx_http_apigw_version_api_t    *api;
    ngx_str_t                        base;      /* without "/" at the end */
    ngx_http_core_srv_conf_t        *cscf;
    u_char                          *file;
    ngx_uint_t                       line;
    ngx_uint_t                       again;     /* the same once more */
} ngx_http_apigw_version_publish_t;


typedef struct {
    ngx_array_t                      apis;      /* of pointers */
    ngx_array_t                      publish;   /* of pointers */
    ngx_array_t                      locations;
    ngx_array_t                      helpers;   /* of pointers */
    ngx_http_apigw_version_zone_t   *zone;      /* NULL: nothing is counted */
    ngx_http_apigw_version_api_t    *api;       /* the block being read */
    ngx_int_t                        index[NGX_HTTP_APIGW_VERSION_VARS];
} ngx_http_apigw_version_main_conf_t;


typedef struct {
    ngx_http_apigw_version_publish_t  *publish; /* NULL: off */
    ngx_uint_t                       catalog;   /* unsigned  catalog:1; */
} ngx_http_apigw_version_loc_conf_t;


/* A location where an API is published, however that came there. */

typedef struct {
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_apigw_version_publish_t  *publish;
} ngx_http_apigw_version_location_t;


/* What is counted of a request. */

typedef struct {
    ngx_http_apigw_version_api_t    *api;       /* NULL: none */
    ngx_http_apigw_version_t        *version;   /* NULL: none was found */
    ngx_uint_t                       source;    /* and whether refused */
} ngx_http_apigw_version_call_t;


struct ngx_http_apigw_version_ctx_s {

    /* cleared when it is made */

    ngx_http_apigw_version_t        *version;   /* NULL: none was found */
    ngx_http_apigw_problem_t        *problem;   /* NULL: not refused */
    ngx_http_apigw_version_brownout_t  *rehearsal;  /* with a Vary */
    ngx_http_apigw_version_call_t    refused;   /* by another API before */

    ngx_str_t                        segment;   /* the version in seen */
    ngx_str_t                        component; /* that of a package there */
    ngx_str_t                        host;      /* that of the host's name */
    ngx_str_t                        asked;     /* an unknown version */

    ngx_http_apigw_version_source_e  source;

    unsigned                         deciding:1;
    unsigned                         applied:1;
    unsigned                         counted:1;
    unsigned                         in_query:1;
    unsigned                         zero:1;    /* a weight in Accept is 0 */

    /* set by every decision, from here on */

    ngx_http_request_t              *request;   /* whose decision it is */
    ngx_http_apigw_version_publish_t  *publish;
    ngx_str_t                       *vary;

    ngx_str_t                        seen;      /* r->uri as it came */
    ngx_str_t                        args;      /* r->args, the same */
    ngx_str_t                        path;      /* made if it is wanted */
};


/* A bit for the first letter of the name of a field. */

#define ngx_http_apigw_version_letter(name)                                   \
    ((ngx_uint_t) 1 << ((name)->data[0] & 0x1f))


extern ngx_module_t  ngx_http_apigw_version_module;


#pragma GCC visibility push(hidden)


/* ngx_http_apigw_version_conf.c */

char *ngx_http_apigw_version_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_version(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_fallback(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_base(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_strip(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_brownout(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_field(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_publish(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* Whether a parameter is "name=..." and so, with what follows. */

ngx_uint_t ngx_http_apigw_version_is(ngx_str_t *value, const char *name,
    ngx_str_t *rest);
ngx_int_t ngx_http_apigw_version_variable(ngx_conf_t *cf, ngx_str_t *value,
    ngx_int_t *index);


/* ngx_http_apigw_version_check.c */

char *ngx_http_apigw_version_finish(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);
ngx_int_t ngx_http_apigw_version_check(ngx_conf_t *cf,
    ngx_http_apigw_version_main_conf_t *amcf);


/* ngx_http_apigw_version_nested.c */

ngx_int_t ngx_http_apigw_version_nested(ngx_conf_t *cf,
    ngx_http_apigw_version_publish_t *publish);


/* ngx_http_apigw_version_select.c */

char *ngx_http_apigw_version_select(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_apigw_version_header_name(ngx_conf_t *cf,
    ngx_http_apigw_version_source_t *source);

/* Warns of headers that nginx ignores with the settings of this server. */

void ngx_http_apigw_version_warn(ngx_conf_t *cf,
    ngx_http_apigw_version_api_t *api);

ngx_int_t ngx_http_apigw_version_decide(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_publish_t *publish);

/* Whether the client does not accept a version. */

ngx_uint_t ngx_http_apigw_version_unwanted(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, ngx_http_apigw_version_t *version);

/* Sets ctx->path to the path without the version. */

ngx_int_t ngx_http_apigw_version_path(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);

/* How a source of a type is read. */

ngx_http_apigw_version_find_pt ngx_http_apigw_version_finder(
    ngx_http_apigw_version_source_e type);
ngx_int_t ngx_http_apigw_version_find_header(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_source_t *source,
    ngx_http_apigw_version_find_t *find);


/* ngx_http_apigw_version_context.c */

ngx_http_apigw_version_ctx_t *ngx_http_apigw_version_own_sub(
    ngx_http_request_t *r);

/* What was decided for a request or the nearest one above it, or NULL. */

ngx_http_apigw_version_ctx_t *ngx_http_apigw_version_inherited(
    ngx_http_request_t *r);

/* Decides, or decides anew; NULL for no memory. */

ngx_http_apigw_version_ctx_t *ngx_http_apigw_version_enter(
    ngx_http_request_t *r, ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_publish_t *publish);

/* What the variables said before does not hold any more. */

void ngx_http_apigw_version_forget(ngx_http_request_t *r);


/* ngx_http_apigw_version_choose.c */

/* The version of a request that names none or an unknown one. */

ngx_int_t ngx_http_apigw_version_fall_back(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);

/* Refuses what is past its sunset, or rehearses it. */

ngx_int_t ngx_http_apigw_version_retire(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);


/* ngx_http_apigw_version_refuse.c */

ngx_int_t ngx_http_apigw_version_missing(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
ngx_int_t ngx_http_apigw_version_unknown(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
ngx_int_t ngx_http_apigw_version_conflict(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
ngx_int_t ngx_http_apigw_version_unacceptable(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
ngx_int_t ngx_http_apigw_version_retired(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);
ngx_int_t ngx_http_apigw_version_browned(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, time_t retry_after);

/*
 * The text of $api_version_status for now.
 */

ngx_str_t *ngx_http_apigw_version_status(ngx_http_apigw_version_t *version,
    time_t now);


/* ngx_http_apigw_version_link.c */

/*
 * Writes the URI of the requested resource in the version's successor,
 * escaped, and returns its end; the other one returns a length that is enough.
 */

u_char *ngx_http_apigw_version_successor(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx, u_char *p);
size_t ngx_http_apigw_version_successor_len(ngx_http_request_t *r,
    ngx_http_apigw_version_ctx_t *ctx);

/* The port that the client asked for, ":8080", or nothing. */

void ngx_http_apigw_version_port(ngx_http_request_t *r, ngx_str_t *port);

/* Escapes a path: nothing that could end it in a header or in JSON is left. */

u_char *ngx_http_apigw_version_escape(u_char *p, const u_char *src,
    size_t len);


/* ngx_http_apigw_version_zone.c */

char *ngx_http_apigw_version_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_apigw_version_log_handler(ngx_http_request_t *r);

/* The call that the present decision of a request is. */

void ngx_http_apigw_version_call(ngx_http_apigw_version_ctx_t *ctx,
    ngx_http_apigw_version_call_t *call);

ngx_int_t ngx_http_apigw_version_init_process(ngx_cycle_t *cycle);
void ngx_http_apigw_version_exit_process(ngx_cycle_t *cycle);
void ngx_http_apigw_version_exit_master(ngx_cycle_t *cycle);


/* ngx_http_apigw_version_catalog.c */

char *ngx_http_apigw_version_catalog(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_apigw_version_catalog_merge(ngx_conf_t *cf,
    ngx_http_apigw_version_loc_conf_t *prev,
    ngx_http_apigw_version_loc_conf_t *conf);


#pragma GCC visibility pop


/*
 * The context that holds for a request: one of its own, or that of a request
 * above it that it follows; NULL if nothing has been decided.
 */

static ngx_inline ngx_http_apigw_version_ctx_t *
ngx_http_apigw_version_own(ngx_http_request_t *r)
{
    return r == r->main
           ? ngx_http_apigw_get_ctx(r, &ngx_http_apigw_version_module)
           : ngx_http_apigw_version_own_sub(r);
}


#endif /* _NGX_HTTP_APIGW_VERSION_H_INCLUDED_ */
