/*
 * Copyright (C) the apigw authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <curl/curl.h>
#include <jansson.h>

#include "ngx_apigw_fetch.h"


#define NGX_APIGW_FETCH_REDIRECTS  3
#define NGX_APIGW_FETCH_CONNECT    5000
#define NGX_APIGW_FETCH_WELL_KNOWN "/.well-known/openid-configuration"


/*
 * A fetch is one transfer at a time: the discovery document if there is need
 * of it, then the key set, each perhaps after redirects.
 */

typedef enum {
    NGX_APIGW_FETCH_DISCOVERY = 0,
    NGX_APIGW_FETCH_KEYS
} ngx_apigw_fetch_stage_e;


struct ngx_apigw_fetcher_s {
    CURLM                     *multi;
};


struct ngx_apigw_fetch_s {
    ngx_apigw_fetcher_t       *fetcher;
    ngx_apigw_fetch_conf_t     conf;
    ngx_apigw_fetch_stage_e    stage;
    CURL                      *easy;        /* NULL: nothing under way */
    struct curl_slist         *headers;
    ngx_int_t                  rc;
    ngx_uint_t                 redirects;
    uint64_t                   deadline;    /* milliseconds */

    u_char                    *body;
    size_t                     len;
    size_t                     size;
    ngx_uint_t                 overflow;
    ngx_int_t                  max_age;

    ngx_apigw_fetch_result_t   result;
    char                       url[NGX_APIGW_FETCH_URL_MAX];
    char                       error[CURL_ERROR_SIZE];
};


static void ngx_apigw_fetch_messages(ngx_apigw_fetcher_t *fetcher);
static void ngx_apigw_fetch_transfer(ngx_apigw_fetch_t *fetch);
static ngx_int_t ngx_apigw_fetch_options(ngx_apigw_fetch_t *fetch,
    long timeout);
static void ngx_apigw_fetch_finished(ngx_apigw_fetch_t *fetch, CURLcode code);
static void ngx_apigw_fetch_redirect(ngx_apigw_fetch_t *fetch);
static ngx_uint_t ngx_apigw_fetch_same_origin(const char *a, const char *b);
static ngx_uint_t ngx_apigw_fetch_same_part(CURLU *a, CURLU *b, CURLUPart part);
static void ngx_apigw_fetch_stop(ngx_apigw_fetch_t *fetch);
static void ngx_apigw_fetch_failed(ngx_apigw_fetch_t *fetch, const char *fmt,
    ...) __attribute__((format(printf, 2, 3)));
static void ngx_apigw_fetch_visible(char *text);
static size_t ngx_apigw_fetch_write(char *data, size_t size, size_t n,
    void *arg);
static size_t ngx_apigw_fetch_header(char *data, size_t size, size_t n,
    void *arg);
static ngx_int_t ngx_apigw_fetch_max_age(const char *data, size_t len);
static uint64_t ngx_apigw_fetch_now(void);


ngx_apigw_fetcher_t *
ngx_apigw_fetcher_create(void)
{
    ngx_apigw_fetcher_t  *fetcher;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return NULL;
    }

    fetcher = calloc(1, sizeof(ngx_apigw_fetcher_t));

    if (fetcher) {
        fetcher->multi = curl_multi_init();
    }

    if (fetcher == NULL || fetcher->multi == NULL) {
        free(fetcher);
        return NULL;
    }

    return fetcher;
}


void
ngx_apigw_fetcher_free(ngx_apigw_fetcher_t *fetcher)
{
    /* no global cleanup: a thread may still be looking up a name */

    curl_multi_cleanup(fetcher->multi);
    free(fetcher);
}


ngx_apigw_fetch_t *
ngx_apigw_fetch_start(ngx_apigw_fetcher_t *fetcher,
    const ngx_apigw_fetch_conf_t *conf)
{
    size_t              len;
    ngx_apigw_fetch_t  *fetch;

    fetch = calloc(1, sizeof(ngx_apigw_fetch_t));

    if (fetch == NULL) {
        return NULL;
    }

    fetch->fetcher = fetcher;
    fetch->conf = *conf;
    fetch->rc = NGX_AGAIN;
    fetch->deadline = ngx_apigw_fetch_now() + conf->timeout;

    if (conf->jwks) {
        fetch->stage = NGX_APIGW_FETCH_KEYS;

        (void) snprintf(fetch->url, sizeof(fetch->url), "%s", conf->jwks);

    } else {
        fetch->stage = NGX_APIGW_FETCH_DISCOVERY;

        len = strlen(conf->issuer);

        if (len && conf->issuer[len - 1] == '/') {
            len--;
        }

        (void) snprintf(fetch->url, sizeof(fetch->url),
                        "%.*s" NGX_APIGW_FETCH_WELL_KNOWN,
                        (int) ngx_min(len, NGX_APIGW_FETCH_URL_MAX),
                        conf->issuer);
    }

    ngx_apigw_fetch_transfer(fetch);

    return fetch;
}


/*
 * A thread that looks up a name inherits what signals are blocked: those of
 * nginx are for the process' first thread.
 */

void
ngx_apigw_fetch_poll(ngx_apigw_fetcher_t *fetcher, ngx_msec_t wait)
{
    int       running;
    sigset_t  all, old;

    (void) sigfillset(&all);
    (void) sigdelset(&all, SIGSEGV);
    (void) sigdelset(&all, SIGBUS);
    (void) sigdelset(&all, SIGFPE);
    (void) sigdelset(&all, SIGILL);
    (void) sigdelset(&all, SIGABRT);

    (void) sigprocmask(SIG_BLOCK, &all, &old);
    (void) curl_multi_perform(fetcher->multi, &running);
    (void) sigprocmask(SIG_SETMASK, &old, NULL);

    if (running && wait) {
        (void) curl_multi_poll(fetcher->multi, NULL, 0, (int) wait, NULL);

        (void) sigprocmask(SIG_BLOCK, &all, &old);
        (void) curl_multi_perform(fetcher->multi, &running);
        (void) sigprocmask(SIG_SETMASK, &old, NULL);
    }

    ngx_apigw_fetch_messages(fetcher);
}


static void
ngx_apigw_fetch_messages(ngx_apigw_fetcher_t *fetcher)
{
    int                 left;
    char               *data;
    CURLMsg            *msg;
    CURLcode            code;
    ngx_apigw_fetch_t  *fetch;

    for ( ;; ) {
        msg = curl_multi_info_read(fetcher->multi, &left);

        if (msg == NULL) {
            return;
        }

        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        /* the message is gone with the transfer */

        code = msg->data.result;
        data = NULL;

        (void) curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &data);

        fetch = (ngx_apigw_fetch_t *) data;

        if (fetch) {
            ngx_apigw_fetch_finished(fetch, code);
        }
    }
}


ngx_int_t
ngx_apigw_fetch_done(ngx_apigw_fetch_t *fetch,
    ngx_apigw_fetch_result_t **result)
{
    *result = &fetch->result;

    return fetch->rc;
}


void
ngx_apigw_fetch_free(ngx_apigw_fetch_t *fetch)
{
    ngx_apigw_fetch_stop(fetch);

    free(fetch->body);
    free(fetch);
}


/* Begins the transfer of fetch->url. */

static void
ngx_apigw_fetch_transfer(ngx_apigw_fetch_t *fetch)
{
    uint64_t  now;

    now = ngx_apigw_fetch_now();

    fetch->len = 0;
    fetch->overflow = 0;
    fetch->max_age = -1;
    fetch->error[0] = '\0';

    if (now >= fetch->deadline) {
        ngx_apigw_fetch_failed(fetch, "timed out");
        return;
    }

    if (!ngx_apigw_fetch_url((u_char *) fetch->url, strlen(fetch->url))) {
        ngx_apigw_fetch_failed(fetch, "not an https URL");
        return;
    }

    if (ngx_apigw_fetch_options(fetch, (long) (fetch->deadline - now))
        != NGX_OK
        || curl_multi_add_handle(fetch->fetcher->multi, fetch->easy)
           != CURLM_OK)
    {
        ngx_apigw_fetch_stop(fetch);
        ngx_apigw_fetch_failed(fetch, "out of memory");
    }
}


static ngx_int_t
ngx_apigw_fetch_options(ngx_apigw_fetch_t *fetch, long timeout)
{
    CURL                    *easy;
    CURLcode                 rc;
    ngx_apigw_fetch_conf_t  *conf;

    conf = &fetch->conf;

    easy = curl_easy_init();
    fetch->easy = easy;

    fetch->headers = curl_slist_append(NULL,
                            "Accept: application/jwk-set+json, "
                            "application/json");

    if (easy == NULL || fetch->headers == NULL) {
        return NGX_ERROR;
    }

    rc = curl_easy_setopt(easy, CURLOPT_URL, fetch->url);

    rc |= curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
    rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    rc |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "apigw");

    /* some send a compressed file to everybody; what is unpacked is counted */

    rc |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");

    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ngx_apigw_fetch_write);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
                           ngx_apigw_fetch_header);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);

    rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout);
    rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           ngx_min(timeout, NGX_APIGW_FETCH_CONNECT));

#if (LIBCURL_VERSION_NUM >= 0x075500)
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
#else
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTPS);
#endif

    rc |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);

    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                           (long) CURL_SSLVERSION_TLSv1_2);

    if (conf->ca && *conf->ca) {
        rc |= curl_easy_setopt(easy, CURLOPT_CAINFO, conf->ca);
        rc |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }

    /* the empty string: no proxy, whatever the environment says */

    rc |= curl_easy_setopt(easy, CURLOPT_PROXY, conf->proxy ? conf->proxy : "");
    rc |= curl_easy_setopt(easy, CURLOPT_NOPROXY, "");

#if (LIBCURL_VERSION_NUM >= 0x075700)

    /* does not wait for a thread that looks up a name */

    rc |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);

#endif

    return rc == CURLE_OK ? NGX_OK : NGX_ERROR;
}


static void
ngx_apigw_fetch_finished(ngx_apigw_fetch_t *fetch, CURLcode code)
{
    long  status;

    status = 0;

    (void) curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);

    if (fetch->overflow) {
        ngx_apigw_fetch_stop(fetch);
        ngx_apigw_fetch_failed(fetch, "more than %d bytes",
                               NGX_APIGW_FETCH_SIZE_MAX);
        return;
    }

    if (code != CURLE_OK) {
        ngx_apigw_fetch_stop(fetch);
        ngx_apigw_fetch_failed(fetch, "%s", fetch->error[0] ? fetch->error
                                                : curl_easy_strerror(code));
        return;
    }

    if (status >= 300 && status < 400) {
        ngx_apigw_fetch_redirect(fetch);
        return;
    }

    ngx_apigw_fetch_stop(fetch);

    if (status != 200) {
        ngx_apigw_fetch_failed(fetch, "status %ld", status);
        return;
    }

    if (fetch->stage == NGX_APIGW_FETCH_DISCOVERY) {

        if (ngx_apigw_fetch_discover(fetch->body, fetch->len,
                                     fetch->conf.issuer, fetch->url,
                                     fetch->error)
            != NGX_OK)
        {
            ngx_apigw_fetch_failed(fetch, "%s", fetch->error);
            return;
        }

        fetch->stage = NGX_APIGW_FETCH_KEYS;
        fetch->redirects = 0;

        ngx_apigw_fetch_transfer(fetch);

        return;
    }

    fetch->result.data = fetch->body;
    fetch->result.len = fetch->len;
    fetch->result.max_age = fetch->max_age;

    fetch->rc = NGX_OK;
}


static void
ngx_apigw_fetch_redirect(ngx_apigw_fetch_t *fetch)
{
    char        *target;
    char         url[NGX_APIGW_FETCH_URL_MAX];
    ngx_uint_t   long_one;

    target = NULL;
    (void) curl_easy_getinfo(fetch->easy, CURLINFO_REDIRECT_URL, &target);

    url[0] = '\0';
    long_one = 0;

    if (target) {
        long_one = (size_t) snprintf(url, sizeof(url), "%s", target)
                   >= sizeof(url);
    }

    ngx_apigw_fetch_stop(fetch);

    if (url[0] == '\0' || long_one) {
        ngx_apigw_fetch_failed(fetch, "a redirect without a usable address");
        return;
    }

    if (!ngx_apigw_fetch_same_origin(fetch->url, url)) {
        ngx_apigw_fetch_failed(fetch, "a redirect to another host");
        return;
    }

    if (++fetch->redirects > NGX_APIGW_FETCH_REDIRECTS) {
        ngx_apigw_fetch_failed(fetch, "too many redirects");
        return;
    }

    ngx_memcpy(fetch->url, url, sizeof(url));

    ngx_apigw_fetch_transfer(fetch);
}


static ngx_uint_t
ngx_apigw_fetch_same_origin(const char *a, const char *b)
{
    CURLU       *ua, *ub;
    ngx_uint_t   same;

    ua = curl_url();
    ub = curl_url();

    same = ua && ub
           && curl_url_set(ua, CURLUPART_URL, a, 0) == CURLUE_OK
           && curl_url_set(ub, CURLUPART_URL, b, CURLU_DISALLOW_USER)
              == CURLUE_OK
           && ngx_apigw_fetch_same_part(ua, ub, CURLUPART_SCHEME)
           && ngx_apigw_fetch_same_part(ua, ub, CURLUPART_HOST)
           && ngx_apigw_fetch_same_part(ua, ub, CURLUPART_PORT);

    curl_url_cleanup(ua);
    curl_url_cleanup(ub);

    return same;
}


static ngx_uint_t
ngx_apigw_fetch_same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char        *pa, *pb;
    ngx_uint_t   same;

    pa = NULL;
    pb = NULL;

    same = curl_url_get(a, part, &pa, CURLU_DEFAULT_PORT) == CURLUE_OK
           && curl_url_get(b, part, &pb, CURLU_DEFAULT_PORT) == CURLUE_OK
           && strcasecmp(pa, pb) == 0;

    curl_free(pa);
    curl_free(pb);

    return same;
}


static void
ngx_apigw_fetch_stop(ngx_apigw_fetch_t *fetch)
{
    if (fetch->easy) {
        (void) curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
        fetch->easy = NULL;
    }

    curl_slist_free_all(fetch->headers);
    fetch->headers = NULL;
}


static void
ngx_apigw_fetch_failed(ngx_apigw_fetch_t *fetch, const char *fmt, ...)
{
    int       n;
    va_list   args;
    char     *p, *last;

    p = fetch->result.error;
    last = p + NGX_APIGW_FETCH_ERROR;

    n = snprintf(p, last - p, "%.120s: ", fetch->url);
    p += ngx_min(n, last - p - 1);

    va_start(args, fmt);
    (void) vsnprintf(p, last - p, fmt, args);
    va_end(args);

    ngx_apigw_fetch_visible(fetch->result.error);

    fetch->rc = NGX_ERROR;
}


/* It may quote what the other side has said. */

static void
ngx_apigw_fetch_visible(char *text)
{
    for ( /* void */ ; *text; text++) {
        if (*text < 0x20 || *text > 0x7e) {
            *text = '?';
        }
    }
}


/* Anything but the number of bytes that were given ends the transfer. */

static size_t
ngx_apigw_fetch_write(char *data, size_t size, size_t n, void *arg)
{
    ngx_apigw_fetch_t *fetch = arg;

    size_t   room;
    u_char  *body;

    n *= size;

    if (n > NGX_APIGW_FETCH_SIZE_MAX - fetch->len) {
        fetch->overflow = 1;
        return 0;
    }

    if (fetch->len + n > fetch->size) {

        room = ngx_max(fetch->size * 2, fetch->len + n);
        body = realloc(fetch->body, room);

        if (body == NULL) {
            return 0;
        }

        fetch->body = body;
        fetch->size = room;
    }

    if (n) {
        ngx_memcpy(fetch->body + fetch->len, data, n);
        fetch->len += n;
    }

    return n;
}


static size_t
ngx_apigw_fetch_header(char *data, size_t size, size_t n, void *arg)
{
    ngx_apigw_fetch_t *fetch = arg;

    static const char  name[] = "cache-control:";

    n *= size;

    if (n > sizeof(name) - 1
        && strncasecmp(data, name, sizeof(name) - 1) == 0)
    {
        fetch->max_age = ngx_apigw_fetch_max_age(data + sizeof(name) - 1,
                                                 n - (sizeof(name) - 1));
    }

    return n;
}


/* "no-cache" and the like are for caches; who asks here means "refresh". */

static ngx_int_t
ngx_apigw_fetch_max_age(const char *data, size_t len)
{
    size_t     i, n;
    ngx_int_t  age;

    static const char  name[] = "max-age=";

    n = sizeof(name) - 1;

    for (i = 0; i + n < len; i++) {

        if (strncasecmp(data + i, name, n) != 0
            || (i && data[i - 1] != ' ' && data[i - 1] != ','))
        {
            continue;
        }

        age = -1;

        for (i += n; i < len && data[i] >= '0' && data[i] <= '9'; i++) {

            age = (age == -1 ? 0 : age) * 10 + (data[i] - '0');

            if (age > 365 * 86400) {
                return 365 * 86400;
            }
        }

        return age;
    }

    return -1;
}


static uint64_t
ngx_apigw_fetch_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


ngx_uint_t
ngx_apigw_fetch_url(const u_char *url, size_t len)
{
    char        *scheme, *host, *fragment;
    CURLU       *u;
    size_t       i;
    ngx_uint_t   good;
    char         text[NGX_APIGW_FETCH_URL_MAX];

    if (len >= NGX_APIGW_FETCH_URL_MAX
        || len <= sizeof("https://") - 1
        || ngx_memcmp(url, "https://", sizeof("https://") - 1) != 0
        || url[sizeof("https://") - 1] == '/')
    {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (url[i] <= 0x20 || url[i] >= 0x7f || strchr("\"<>\\^`{|}", url[i]))
        {
            return 0;
        }
    }

    ngx_memcpy(text, url, len);
    text[len] = '\0';

    u = curl_url();
    scheme = NULL;
    host = NULL;
    fragment = NULL;

    good = u != NULL
           && curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER)
              == CURLUE_OK
           && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK
           && strcmp(scheme, "https") == 0
           && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK
           && *host != '\0'
           && curl_url_get(u, CURLUPART_FRAGMENT, &fragment, 0)
              == CURLUE_NO_FRAGMENT;

    curl_free(scheme);
    curl_free(host);
    curl_free(fragment);
    curl_url_cleanup(u);

    return good;
}


ngx_int_t
ngx_apigw_fetch_discover(const u_char *data, size_t len, const char *issuer,
    char *url, char *error)
{
    json_t        *root, *member;
    ngx_int_t      rc;
    const char    *text;
    json_error_t   why;

    /* with its depth bounded by jansson */

    root = json_loadb((const char *) data, len, JSON_REJECT_DUPLICATES, &why);

    if (!json_is_object(root)) {
        (void) strcpy(error, "the discovery document is not a JSON object");
        json_decref(root);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    text = json_string_value(json_object_get(root, "issuer"));
    member = json_object_get(root, "jwks_uri");

    if (text == NULL) {
        (void) strcpy(error, "the discovery document names no issuer");

    } else if (strcmp(text, issuer) != 0) {
        (void) snprintf(error, CURL_ERROR_SIZE, "the discovery document is of "
                        "another issuer: \"%.80s\", not \"%.80s\"", text,
                        issuer);

    } else if (!json_is_string(member)
               || !ngx_apigw_fetch_url(
                                  (const u_char *) json_string_value(member),
                                  json_string_length(member)))
    {
        (void) strcpy(error, "the discovery document has no usable jwks_uri");

    } else {
        (void) strcpy(url, json_string_value(member));
        rc = NGX_OK;
    }

    json_decref(root);

    return rc;
}
