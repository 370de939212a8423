/*
 * Copyright (C) the apigw authors
 */


/* Header fields are taken out of a list, and others added to it later. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_apigw_key_pairs.c"
#include "ngx_http_apigw_key_source.c"


#define FIELDS   64
#define ADDED    8


typedef struct {
    ngx_http_request_t   request;
    ngx_table_elt_t     *fields[FIELDS + ADDED];
    ngx_uint_t           gone[FIELDS + ADDED];
    ngx_uint_t           n;
} list_t;


static ngx_uint_t  number, allocated;
static void       *memory[1024];


static void
ok(ngx_uint_t right, const char *name)
{
    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
}


/* What of nginx is needed. */

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    if (allocated == sizeof(memory) / sizeof(memory[0])) {
        return NULL;
    }

    return memory[allocated++] = malloc(size ? size : 1);
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    while (n--) {
        *dst++ = ngx_tolower(*src++);
    }
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


ngx_uint_t
ngx_http_apigw_header_warn(ngx_conf_t *cf, ngx_str_t *name,
    const char *directive, u_char *file, ngx_uint_t line)
{
    return 0;
}


void
ngx_unescape_uri(u_char **dst, u_char **src, size_t size, ngx_uint_t type)
{
    abort();
}


ngx_http_variable_value_t *
ngx_http_get_flushed_variable(ngx_http_request_t *r, ngx_uint_t index)
{
    abort();
}


ngx_int_t
ngx_http_get_variable_index(ngx_conf_t *cf, ngx_str_t *name)
{
    abort();
}


void ngx_cdecl
ngx_conf_log_error(ngx_uint_t level, ngx_conf_t *cf, ngx_err_t err,
    const char *fmt, ...)
{
    abort();
}


/* As documented in nginx's development guide: a full part is followed. */

static ngx_table_elt_t *
push(ngx_list_t *l)
{
    ngx_list_part_t  *part;

    part = l->last;

    if (part->nelts == l->nalloc) {
        part = ngx_palloc(NULL, sizeof(ngx_list_part_t));
        part->elts = ngx_palloc(NULL, l->nalloc * l->size);
        part->nelts = 0;
        part->next = NULL;

        l->last->next = part;
        l->last = part;
    }

    return (ngx_table_elt_t *) part->elts + part->nelts++;
}


static void
add(list_t *list)
{
    u_char           *name;
    ngx_table_elt_t  *h;

    h = push(&list->request.headers_in.headers);

    name = ngx_palloc(NULL, 1);
    *name = (u_char) list->n;

    h->hash = 1;
    h->key.len = 1;
    h->key.data = name;
    h->lowcase_key = name;
    ngx_str_set(&h->value, "x");

    list->gone[list->n] = 0;
    list->fields[list->n++] = h;
}


static void
make(list_t *list, ngx_uint_t room, ngx_uint_t n)
{
    ngx_list_t  *l;

    while (allocated) {
        free(memory[--allocated]);
    }

    ngx_memzero(list, sizeof(list_t));

    l = &list->request.headers_in.headers;

    l->part.elts = ngx_palloc(NULL, room * sizeof(ngx_table_elt_t));
    l->size = sizeof(ngx_table_elt_t);
    l->nalloc = room;
    l->last = &l->part;

    while (n--) {
        add(list);
    }
}


static void
take(list_t *list, ngx_uint_t i)
{
    ngx_str_t                    name;
    ngx_http_apigw_key_source_t  source;

    name = list->fields[i]->key;

    ngx_memzero(&source, sizeof(source));
    source.type = NGX_HTTP_APIGW_KEY_HEADER;
    source.name = name;

    ngx_http_apigw_key_strip_headers(&list->request, &source, NULL);

    list->gone[i] = 1;
}


/* Walks the list as nginx does, which looks at an element of the next part. */

static ngx_uint_t
right(list_t *list)
{
    ngx_uint_t        i, n, other;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &list->request.headers_in.headers.part;
    h = part->elts;
    n = 0;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;

            if (part->nelts == 0) {
                return 0;
            }
        }

        while (n < list->n && list->gone[n]) {
            n++;
        }

        if (n == list->n || list->fields[n] != &h[i] || h[i].value.len != 1) {
            return 0;
        }

        n++;
    }

    while (n < list->n && list->gone[n]) {
        n++;
    }

    if (n != list->n || list->request.headers_in.headers.last != part) {
        return 0;
    }

    /* no two fields, of which some are gone, at one place */

    for (n = 0; n < list->n; n++) {
        for (other = 0; other < n; other++) {
            if (list->fields[n] == list->fields[other]) {
                return 0;
            }
        }

        if (list->gone[n]
            && (list->fields[n]->hash || list->fields[n]->value.len))
        {
            return 0;
        }
    }

    return 1;
}


static void
test_last(void)
{
    list_t  list;

    make(&list, 4, 3);
    take(&list, 2);
    ok(right(&list), "the last field is gone");
    add(&list);
    add(&list);
    ok(right(&list), "its place is not used again");

    make(&list, 4, 4);
    take(&list, 3);
    add(&list);
    ok(right(&list), "the last field of a full part");

    make(&list, 4, 5);
    take(&list, 4);
    add(&list);
    ok(right(&list), "the only field of a part");

    make(&list, 4, 1);
    take(&list, 0);
    ok(right(&list), "the only field is gone");
    add(&list);
    add(&list);
    ok(right(&list), "the only field of all");

    make(&list, 1, 2);
    take(&list, 0);
    take(&list, 1);
    ok(right(&list), "two parts are empty");
    add(&list);
    add(&list);
    ok(right(&list), "two parts of one field");
}


static void
test_random(void)
{
    list_t      list;
    ngx_uint_t  i, n, k, bad, wrong;

    bad = 0;
    wrong = 0;
    srandom(1);

    for (i = 0; i < 20000; i++) {

        n = 1 + random() % 24;
        make(&list, 1 + random() % 6, n);

        for (k = random() % (n + 1); k; k--) {
            take(&list, (random() & 1) ? n - k : (ngx_uint_t) random() % n);
            bad += !right(&list);
        }

        for (k = random() % (ADDED + 1); k; k--) {
            add(&list);
        }

        wrong += !right(&list);
    }

    ok(bad == 0, "any fields are gone, the others are where they were");
    ok(wrong == 0, "any fields are gone, others come");
}


int
main(void)
{
    test_last();
    test_random();

    printf("1..%lu\n", (u_long) number);

    return 0;
}
