/*
 * Copyright (C) the apigw authors
 */


/* What the tests of the buckets share; defines functions, for one program. */


static ngx_uint_t  tests;
static uint64_t    seed = 88172645463325252ULL;


static uint64_t
random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed * 0x2545f4914f6cdd1dULL;
}


static void
ok(ngx_uint_t good, const char *name)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", (unsigned) ++tests, name);
    fflush(stdout);
}


static ngx_apigw_buckets_t *
table(size_t size)
{
    void                 *block;
    ngx_apigw_buckets_t  *buckets;

    block = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                 -1, 0);

    if (block == MAP_FAILED) {
        printf("Bail out! mmap() failed\n");
        exit(1);
    }

    buckets = ngx_apigw_buckets_create(block, size);

    if (buckets == NULL) {
        printf("Bail out! no table\n");
        exit(1);
    }

    return buckets;
}


static ngx_uint_t
parse(ngx_apigw_rate_t *rate, const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return ngx_apigw_rate_parse(rate, &s) == NGX_OK;
}


static void
limit_of(ngx_apigw_limit_t *limit, const char *text, uint64_t burst)
{
    ngx_apigw_rate_t  rate;

    if (!parse(&rate, text)
        || ngx_apigw_limit_init(limit, &rate, burst) != NGX_OK)
    {
        printf("Bail out! bad limit %s\n", text);
        exit(1);
    }
}


static void
charge_set(ngx_apigw_charge_t *charge, ngx_apigw_buckets_t *buckets,
    ngx_apigw_limit_t *limit, uint64_t key, uint64_t cost)
{
    charge->buckets = buckets;
    charge->limit = limit;
    charge->cost = cost;

    ngx_apigw_hash(&charge->hash, ngx_apigw_buckets_key(buckets),
                   (u_char *) &key, sizeof(key));
}


static ngx_uint_t
take(ngx_apigw_buckets_t *buckets, ngx_apigw_limit_t *limit, uint64_t key,
    uint64_t cost, uint64_t now)
{
    ngx_apigw_charge_t  charge;

    charge_set(&charge, buckets, limit, key, cost);

    return ngx_apigw_bucket_take(&charge, now);
}


/* n requests spread evenly from one moment to before another */

static uint64_t
take_many(ngx_apigw_buckets_t *buckets, ngx_apigw_limit_t *limit, uint64_t key,
    uint64_t n, uint64_t from, uint64_t to)
{
    uint64_t  i, admitted;

    admitted = 0;

    for (i = 0; i < n; i++) {
        admitted += take(buckets, limit, key, 1, from + i * (to - from) / n);
    }

    return admitted;
}
