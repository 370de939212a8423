/*
 * Copyright (C) the apigw authors
 */


/* The cache of verified tokens: what is kept, for whom, and for how long. */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>

#include "ngx_apigw_token_cache.c"


#define NOW   1700000000000ULL
#define SIZE  (64 * 1024)


static ngx_apigw_token_cache_t *cache_create(size_t size);
static void token_id(ngx_apigw_token_cache_t *cache, ngx_apigw_token_id_t *id,
    const char *token, uint64_t policy, uint64_t generation);
static void entry_fill(ngx_apigw_token_entry_t *entry, size_t len,
    uint64_t seed);
static ngx_uint_t entry_is(ngx_apigw_token_entry_t *entry, size_t len,
    uint64_t seed);
static void test_create(void);
static void test_hash(void);
static void nh(uint32_t *sum, const uint64_t *key, const u_char *data,
    size_t len);
static void test_identity(void);
static void test_times(void);
static void test_sizes(void);
static void test_replace(void);
static void test_ring(void);
static void test_full(void);
static void test_refusals(void);
static void test_killed(void);
static void test_garbage(void);
static void test_pack(void);


static ngx_uint_t               tests;
static ngx_apigw_token_entry_t  entry, got;


static void
ok(ngx_uint_t good, const char *name)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", (unsigned) ++tests, name);
}


int
main(void)
{
    test_create();
    test_hash();
    test_identity();
    test_times();
    test_sizes();
    test_replace();
    test_ring();
    test_full();
    test_refusals();
    test_killed();
    test_garbage();
    test_pack();

    printf("1..%u\n", (unsigned) tests);

    return 0;
}


static ngx_apigw_token_cache_t *
cache_create(size_t size)
{
    void                     *block;
    ngx_apigw_token_cache_t  *cache;

    block = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                 -1, 0);

    if (block == MAP_FAILED) {
        printf("Bail out! mmap() failed\n");
        exit(1);
    }

    cache = ngx_apigw_token_cache_create(block, size);

    if (cache == NULL) {
        printf("Bail out! no cache\n");
        exit(1);
    }

    return cache;
}


static void
token_id(ngx_apigw_token_cache_t *cache, ngx_apigw_token_id_t *id,
    const char *token, uint64_t policy, uint64_t generation)
{
    ngx_str_t  s;

    s.data = (u_char *) token;
    s.len = strlen(token);

    id->policy = policy;
    id->generation = generation;

    ngx_apigw_token_cache_hash(cache, id, &s);
}


static void
entry_fill(ngx_apigw_token_entry_t *entry, size_t len, uint64_t seed)
{
    size_t  i;

    entry->from = 0;
    entry->until = NOW + 1000;
    entry->revision = seed;
    entry->verdict = 0;
    entry->len = len;

    for (i = 0; i < len && i < NGX_APIGW_TOKEN_DATA_MAX; i++) {
        entry->data[i] = (u_char) (seed * 31 + i * 7);
    }
}


static ngx_uint_t
entry_is(ngx_apigw_token_entry_t *entry, size_t len, uint64_t seed)
{
    size_t  i;

    if (entry->len != len || entry->revision != seed || entry->verdict != 0) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (entry->data[i] != (u_char) (seed * 31 + i * 7)) {
            return 0;
        }
    }

    return 1;
}


static void
test_create(void)
{
    static u_char             small[NGX_APIGW_TOKEN_CACHE_MIN]
                              __attribute__((aligned(64)));
    ngx_apigw_token_stat_t    stat;
    ngx_apigw_token_cache_t  *cache;

    ok(ngx_apigw_token_cache_create(small, sizeof(small) - 1) == NULL,
       "a block that is too small is refused");

    cache = ngx_apigw_token_cache_create(small, sizeof(small));

    ok(cache != NULL && cache->sets == 1
       && (u_char *) &cache->set[cache->sets] <= small + sizeof(small),
       "the smallest block holds a set");

    cache = cache_create(1024 * 1024);
    ngx_apigw_token_cache_stat(cache, &stat);

    ok(stat.sets >= 122 && stat.stored == 0
       && (u_char *) &cache->set[cache->sets]
          <= (u_char *) cache + 1024 * 1024
       && (u_char *) &cache->refusal[cache->refusals]
          <= (u_char *) cache->set,
       "a megabyte is used, and nothing beyond");
}


/* The hash, word by word and digit by digit. */

static void
test_hash(void)
{
    size_t                             len, n, i;
    u_char                            *p;
    uint32_t                           sums[64 * 8 + 2];
    ngx_uint_t                         bad, same;
    ngx_apigw_hash_t                   one, two;
    static u_char                      text[70000];
    static ngx_apigw_token_hash_key_t  key, other;

    ok(ngx_apigw_token_hash_new_key(&key) == NGX_OK
       && ngx_apigw_token_hash_new_key(&other) == NGX_OK
       && memcmp(&key, &other, sizeof(key)) != 0, "two new keys differ");

    for (i = 0; i < sizeof(text); i++) {
        text[i] = (u_char) (i * 197 + (i >> 8) * 13 + 250);
    }

    bad = 0;

    for (len = 0; len <= 65536; len += len < 2100 ? 1 : 4229) {

        if (len > 64000) {
            len = 65536;
        }

        for (n = 0; n < len; n += 1024) {
            i = n / 1024 * 8;
            nh(&sums[i], key.nh, text + n, ngx_min(len - n, 1024));
            nh(&sums[i + 4], key.nh + 2, text + n, ngx_min(len - n, 1024));
        }

        i = (len + 1023) / 1024 * 8;
        sums[i] = (uint32_t) len;
        sums[i + 1] = 0;

        ngx_apigw_hash(&one, &key.final, (u_char *) sums, (i + 2) * 4);
        ngx_apigw_token_hash(&two, &key, text, len);

        bad += memcmp(&one, &two, sizeof(one)) != 0;
    }

    ok(bad == 0, "NH twice, then SipHash, of all lengths");

    ngx_apigw_hash(&one, &key.final, text, 65537);
    ngx_apigw_token_hash(&two, &key, text, 65537);

    ok(memcmp(&one, &two, sizeof(one)) == 0, "of longer texts SipHash");

    /* each bit counts, and so do zeros at the end */

    p = text + 1;
    ngx_apigw_token_hash(&one, &key, p, 1100);
    same = 0;

    for (i = 0; i < 1100 * 8; i++) {
        p[i / 8] ^= 1 << (i % 8);
        ngx_apigw_token_hash(&two, &key, p, 1100);
        p[i / 8] ^= 1 << (i % 8);

        same += one.h[0] == two.h[0] || one.h[1] == two.h[1];
    }

    memset(text, 0, sizeof(text));

    for (len = 0; len < 2100; len++) {
        ngx_apigw_token_hash(&one, &key, text, len);
        ngx_apigw_token_hash(&two, &key, text, len + 1);

        same += one.h[0] == two.h[0] || one.h[1] == two.h[1];
    }

    ok(same == 0, "texts that differ a little");
}


/* Products and sums by digits of 32 bits; a word's first byte is its least. */

static void
nh(uint32_t *sum, const uint64_t *key, const u_char *data, size_t len)
{
    size_t    i, k;
    uint64_t  m[2], t, carry;
    uint32_t  product[4];

    memset(sum, 0, 4 * sizeof(uint32_t));

    for (i = 0; i < len; i += 16, key += 2) {

        m[0] = key[0];
        m[1] = key[1];

        for (k = 0; k < 2; k++) {
            t = 0;

            for (carry = 8; carry; carry--) {
                t = t << 8;

                if (i + k * 8 + carry - 1 < len) {
                    t += data[i + k * 8 + carry - 1];
                }
            }

            m[k] += t;
        }

        t = (m[0] & 0xffffffff) * (m[1] & 0xffffffff);
        product[0] = (uint32_t) t;
        carry = t >> 32;
        t = (m[0] >> 32) * (m[1] & 0xffffffff) + carry;
        product[2] = (uint32_t) (t >> 32);
        t = (t & 0xffffffff) + (m[0] & 0xffffffff) * (m[1] >> 32);
        product[1] = (uint32_t) t;
        t = (m[0] >> 32) * (m[1] >> 32) + product[2] + (t >> 32);
        product[2] = (uint32_t) t;
        product[3] = (uint32_t) (t >> 32);

        for (carry = 0, k = 0; k < 4; k++) {
            carry += (uint64_t) sum[k] + product[k];
            sum[k] = (uint32_t) carry;
            carry >>= 32;
        }
    }
}


static void
test_identity(void)
{
    ngx_uint_t                found;
    ngx_apigw_token_id_t      id, other;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(SIZE);

    token_id(cache, &id, "a.b.c", 1, 1);
    entry_fill(&entry, 100, 5);

    ok(ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_DECLINED,
       "an unknown token");

    ok(ngx_apigw_token_cache_put(cache, &id, NOW, &entry) == NGX_OK
       && ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_OK
       && entry_is(&got, 100, 5),
       "a token is found with what was put");

    token_id(cache, &other, "a.b.d", 1, 1);
    found = ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    token_id(cache, &other, "a.b.c", 2, 1);
    found += ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    token_id(cache, &other, "a.b.c", 1, 2);
    found += ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    token_id(cache, &other, "a.b.c", 1, 0);
    found += ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    other = id;
    other.hash.h[0]++;
    found += ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    other = id;
    other.hash.h[1]++;
    found += ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    other = id;
    other.hash.h[1] ^= 1ULL << 63;
    found += ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    ok(found == 0, "not for another token, policy, generation or hash");
}


static void
test_times(void)
{
    ngx_apigw_token_id_t      id;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(SIZE);

    token_id(cache, &id, "token", 1, 1);
    entry_fill(&entry, 10, 1);
    entry.from = NOW - 5;
    entry.until = NOW + 5;

    (void) ngx_apigw_token_cache_put(cache, &id, NOW, &entry);

    ok(ngx_apigw_token_cache_get(cache, &id, NOW - 6, &got) == NGX_DECLINED
       && ngx_apigw_token_cache_get(cache, &id, NOW - 5, &got) == NGX_OK
       && got.from == NOW - 5 && got.until == NOW + 5,
       "from the first millisecond on");

    ok(ngx_apigw_token_cache_get(cache, &id, NOW + 4, &got) == NGX_OK
       && ngx_apigw_token_cache_get(cache, &id, NOW + 5, &got)
          == NGX_DECLINED,
       "until before the last one");

    token_id(cache, &id, "over", 1, 1);
    entry.until = NOW;

    ok(ngx_apigw_token_cache_put(cache, &id, NOW, &entry) == NGX_DECLINED
       && ngx_apigw_token_cache_get(cache, &id, NOW - 1, &got)
          == NGX_DECLINED,
       "what is over is not kept");

    entry.until = NOW + 5;
    entry.verdict = 1;

    ok(ngx_apigw_token_cache_put(cache, &id, NOW, &entry) == NGX_DECLINED
       && ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_DECLINED,
       "a refusal is not kept among the accepted ones");
}


static void
test_sizes(void)
{
    char                      name[32];
    size_t                    len;
    ngx_uint_t                bad;
    ngx_apigw_token_id_t      id;
    ngx_apigw_token_stat_t    stat;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(SIZE);
    bad = 0;

    for (len = 0; len <= NGX_APIGW_TOKEN_DATA_MAX; len++) {

        (void) snprintf(name, sizeof(name), "token %zu", len);
        token_id(cache, &id, name, 1, 1);
        entry_fill(&entry, len, len);

        if (ngx_apigw_token_cache_put(cache, &id, NOW, &entry) != NGX_OK
            || ngx_apigw_token_cache_get(cache, &id, NOW, &got) != NGX_OK
            || !entry_is(&got, len, len))
        {
            bad++;
        }
    }

    ok(bad == 0, "values of every size");

    token_id(cache, &id, "large", 1, 1);
    entry_fill(&entry, NGX_APIGW_TOKEN_DATA_MAX + 1, 1);

    ngx_apigw_token_cache_stat(cache, &stat);

    ok(ngx_apigw_token_cache_put(cache, &id, NOW, &entry) == NGX_DECLINED
       && ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_DECLINED
       && stat.oversized == 0
       && (ngx_apigw_token_cache_stat(cache, &stat), stat.oversized == 1),
       "larger values are refused and counted");
}


static void
test_replace(void)
{
    ngx_uint_t                i, n, places;
    ngx_apigw_token_id_t      id;
    ngx_apigw_token_stat_t    stat;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(SIZE);

    for (i = 0; i < 1000; i++) {
        token_id(cache, &id, "same", 1, i);
        entry_fill(&entry, i % 500, i);
        (void) ngx_apigw_token_cache_put(cache, &id, NOW, &entry);
    }

    places = 0;

    for (i = 0; i < cache->sets; i++) {
        for (n = 0; n < NGX_APIGW_TOKEN_PLACES; n++) {
            places += (cache->set[i].places[n] != 0);
        }
    }

    ngx_apigw_token_cache_stat(cache, &stat);

    ok(ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_OK
       && entry_is(&got, 999 % 500, 999) && places == 1
       && stat.stored == 1000 && stat.evicted == 0,
       "a token takes the place of itself");
}


/* The last tokens of a set are there, whatever their sizes. */

static void
test_ring(void)
{
    char                      name[32];
    size_t                    len[4000];
    ngx_uint_t                i, n, cells, bad, found;
    ngx_apigw_token_id_t      id[4000];
    ngx_apigw_token_stat_t    stat;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(NGX_APIGW_TOKEN_CACHE_MIN);
    bad = 0;

    for (i = 0; i < 4000; i++) {

        (void) snprintf(name, sizeof(name), "token %u", (unsigned) i);
        token_id(cache, &id[i], name, 1, 1);

        len[i] = (i * 2654435761u >> 7) % (i % 3 ? 300 : 2000);

        entry_fill(&entry, len[i], i);
        (void) ngx_apigw_token_cache_put(cache, &id[i], NOW, &entry);

        /* all that surely fit, one of the largest at the ring's end aside */

        cells = 0;

        for (n = i + 1; n-- > 0; /* void */ ) {

            cells += 1 + (len[n] + 63) / 64;

            if (cells > NGX_APIGW_TOKEN_CELLS - 33 || i - n >= 24) {
                break;
            }

            if (ngx_apigw_token_cache_get(cache, &id[n], NOW, &got) != NGX_OK
                || !entry_is(&got, len[n], n))
            {
                bad++;
            }
        }
    }

    ok(bad == 0, "the latest tokens of a set are there");

    found = 0;

    for (i = 0; i < 4000; i++) {
        found += ngx_apigw_token_cache_get(cache, &id[i], NOW, &got)
                 == NGX_OK;
    }

    ngx_apigw_token_cache_stat(cache, &stat);

    ok(found >= 8 && found <= NGX_APIGW_TOKEN_PLACES
       && stat.stored == 4000 && stat.evicted == 4000 - found,
       "every token is there or counted as evicted");
}


static void
test_full(void)
{
    char                      name[32];
    ngx_uint_t                i, found;
    ngx_apigw_token_id_t      id;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(1024 * 1024);

    for (i = 0; i < 2500; i++) {
        (void) snprintf(name, sizeof(name), "token %u", (unsigned) i);
        token_id(cache, &id, name, 1, 1);
        entry_fill(&entry, 150, i);
        (void) ngx_apigw_token_cache_put(cache, &id, NOW, &entry);
    }

    found = 0;

    for (i = 0; i < 2500; i++) {
        (void) snprintf(name, sizeof(name), "token %u", (unsigned) i);
        token_id(cache, &id, name, 1, 1);

        if (ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_OK) {
            found += entry_is(&got, 150, i);
        }
    }

    ok(found > 2300, "2500 tokens of 150 bytes fit into a megabyte");
}


static void
test_refusals(void)
{
    ngx_uint_t                i, found;
    ngx_apigw_token_id_t      id, other;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(SIZE);

    token_id(cache, &id, "bad", 1, 1);
    ngx_apigw_token_cache_refuse(cache, &id, NOW, 7);

    ok(ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_OK
       && got.verdict == 7 && got.len == 0
       && ngx_apigw_token_cache_get(cache, &id, NOW + 999, &got) == NGX_OK,
       "a refusal is kept for a second");

    ok(ngx_apigw_token_cache_get(cache, &id, NOW + 1000, &got)
       == NGX_DECLINED
       && ngx_apigw_token_cache_get(cache, &id, NOW - 1, &got)
          == NGX_DECLINED,
       "and no longer, also if the clock is set back");

    token_id(cache, &other, "bad", 1, 2);
    found = ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    token_id(cache, &other, "bad", 2, 1);
    found += ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK;

    ok(found == 0, "not for other keys or another policy");

    token_id(cache, &other, "good", 1, 1);
    entry_fill(&entry, 10, 3);
    (void) ngx_apigw_token_cache_put(cache, &other, NOW, &entry);

    for (i = 0; i < 100000; i++) {
        id.hash.h[0] = i * 0x9e3779b97f4a7c15ULL;
        id.hash.h[1] = i * 0xff51afd7ed558ccdULL;
        ngx_apigw_token_cache_refuse(cache, &id, NOW, 7);
    }

    ok(ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK
       && entry_is(&got, 10, 3),
       "refusals do not drive out what was accepted");

    ngx_apigw_token_cache_refuse(cache, &other, NOW, 7);

    ok(ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK
       && got.verdict == 0,
       "an accepted token stays accepted");

    token_id(cache, &id, "torn", 1, 1);

    (void) ngx_apigw_token_refusal(cache, &id, &other.generation);
    cache->refusal[id.hash.h[0] & (cache->refusals - 1)].tag
                                                          = other.generation;
    cache->refusal[id.hash.h[0] & (cache->refusals - 1)].value
                                                         = (uint64_t) -1;

    ok(ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_DECLINED,
       "a refusal without end is not one");
}


static void
test_killed(void)
{
    uint32_t                  tag;
    uint64_t                  sequence;
    ngx_apigw_token_id_t      id, other;
    ngx_apigw_token_set_t    *set;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(NGX_APIGW_TOKEN_CACHE_MIN);

    token_id(cache, &id, "one", 1, 1);
    entry_fill(&entry, 100, 1);
    (void) ngx_apigw_token_cache_put(cache, &id, NOW, &entry);

    set = ngx_apigw_token_set(cache, &id, &tag);
    set->sequence++;
    sequence = set->sequence;

    ok(ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_DECLINED,
       "what a killed writer has left is not read");

    token_id(cache, &other, "two", 1, 1);
    entry_fill(&entry, 200, 2);

    ok(ngx_apigw_token_cache_put(cache, &other, NOW, &entry) == NGX_OK
       && ngx_apigw_token_cache_get(cache, &other, NOW, &got) == NGX_OK
       && entry_is(&got, 200, 2) && set->sequence == sequence + 1,
       "the next writer takes the set over");

    ok(ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_DECLINED,
       "what was in it is gone");
}


/* Whatever lies in the memory, nothing beyond a set is read or written. */

static void
test_garbage(void)
{
    uint32_t                  tag;
    uint64_t                  seed;
    ngx_uint_t                i, n, bad;
    ngx_apigw_token_id_t      id;
    ngx_apigw_token_set_t    *set;
    ngx_apigw_token_cache_t  *cache;

    cache = cache_create(NGX_APIGW_TOKEN_CACHE_MIN);

    token_id(cache, &id, "one", 1, 1);
    set = ngx_apigw_token_set(cache, &id, &tag);

    seed = 88172645463325252ULL;
    bad = 0;

    for (n = 0; n < 3000; n++) {

        for (i = 0; i < sizeof(ngx_apigw_token_set_t) / 8; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;

            ((uint64_t *) set)[i] = seed;
        }

        set->sequence &= ~1ULL;

        for (i = 0; i < NGX_APIGW_TOKEN_PLACES; i += 3) {
            set->places[i] = (uint64_t) tag << 32
                             | (set->places[i] & 0x007f007f);
        }

        for (i = 0; i < NGX_APIGW_TOKEN_CELLS; i += 2) {
            set->cells[i][NGX_APIGW_TOKEN_HASH0] = id.hash.h[0];
            set->cells[i][NGX_APIGW_TOKEN_HASH1] = id.hash.h[1];
            set->cells[i][NGX_APIGW_TOKEN_POLICY] = id.policy;
            set->cells[i][NGX_APIGW_TOKEN_GENERATION] = id.generation;
            set->cells[i][NGX_APIGW_TOKEN_FROM] = 0;
            set->cells[i][NGX_APIGW_TOKEN_LEN] &= i % 4 ? 0x1fff : 0x3f;
        }

        if (ngx_apigw_token_cache_get(cache, &id, NOW, &got) == NGX_OK
            && got.len > NGX_APIGW_TOKEN_DATA_MAX)
        {
            bad++;
        }

        entry_fill(&entry, n, n);

        if (ngx_apigw_token_cache_put(cache, &id, NOW, &entry) != NGX_OK
            || ngx_apigw_token_cache_get(cache, &id, NOW, &got) != NGX_OK
            || !entry_is(&got, n, n))
        {
            bad++;
        }
    }

    ok(bad == 0, "garbage in the memory does no harm");
}


static void
test_pack(void)
{
    size_t       len;
    u_char      *copy;
    ngx_str_t    values[4], back[4];
    ngx_uint_t   bad;

    ngx_memzero(values, sizeof(values));

    ngx_str_set(&values[0], "alice");
    ngx_str_set(&values[1], "");
    values[3].len = 3;
    values[3].data = (u_char *) "a\0b";

    ok(ngx_apigw_token_pack(&entry, values, 4) == NGX_OK
       && entry.len == 4 * 2 + 5 + 3
       && ngx_apigw_token_unpack(entry.data, entry.len, back, 4) == NGX_OK
       && back[0].len == 5 && memcmp(back[0].data, "alice", 5) == 0
       && back[1].len == 0 && back[1].data != NULL
       && back[2].len == 0 && back[2].data == NULL
       && back[3].len == 3 && memcmp(back[3].data, "a\0b", 3) == 0,
       "values come back, empty ones and missing ones too");

    bad = 0;

    for (len = 0; len < entry.len; len++) {
        copy = malloc(len ? len : 1);
        memcpy(copy, entry.data, len);
        bad += ngx_apigw_token_unpack(copy, len, back, 4) != NGX_ERROR;
        free(copy);
    }

    ok(bad == 0
       && ngx_apigw_token_unpack(entry.data, entry.len, back, 3) == NGX_ERROR,
       "anything else than these values is an error");

    ngx_memzero(back, sizeof(back));

    ok(ngx_apigw_token_peek(entry.data, entry.len, back, 1) == NGX_OK
       && back[0].len == 5
       && ngx_apigw_token_peek(entry.data, 6, back, 1) == NGX_ERROR
       && ngx_apigw_token_peek(entry.data, entry.len, back, 5) == NGX_ERROR,
       "the first values alone");

    values[0].len = NGX_APIGW_TOKEN_DATA_MAX - 2;
    values[0].data = calloc(1, NGX_APIGW_TOKEN_DATA_MAX);

    ok(ngx_apigw_token_pack(&entry, values, 1) == NGX_OK
       && entry.len == NGX_APIGW_TOKEN_DATA_MAX
       && ngx_apigw_token_pack(&entry, values, 2) == NGX_DECLINED
       && (values[0].len++,
           ngx_apigw_token_pack(&entry, values, 1) == NGX_DECLINED)
       && (values[0].len = (size_t) -1,
           ngx_apigw_token_pack(&entry, values, 1) == NGX_DECLINED),
       "what does not fit is refused");

    free(values[0].data);
}
