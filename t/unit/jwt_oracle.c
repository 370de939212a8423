/*
 * Copyright (C) the apigw authors
 */


/*
 * Tokens that were changed in every way are accepted here and by python3-jwt,
 * with the same claims, or by none of both.  APIGW_LONG=1 tries more of them,
 * APIGW_SEED=n others.  And what it issues is accepted.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_base64.c"
#include "ngx_apigw_claims.c"
#include "ngx_apigw_jwa.c"
#include "ngx_apigw_jwk.c"
#include "ngx_apigw_jwks.c"
#include "ngx_apigw_jws.c"
#include "jwt_sign.h"


#define PYTHON  "/usr/bin/python3"
#define KEYS    6


typedef struct {
    const char  *alg;
    const char  *kid;
    ngx_uint_t   key;       /* of keys[]; KEYS: the secret */
} signer_t;


static const char *const  kinds[KEYS] = {
    "2048", "P-256", "P-384", "P-521", "secp256k1", "Ed25519"
};


static const signer_t  signers[] = {
    { "HS256", "oct", KEYS }, { "HS384", "oct", KEYS },
    { "HS512", "oct", KEYS }, { "RS256", "2048", 0 }, { "RS384", "2048", 0 },
    { "RS512", "2048", 0 }, { "PS256", "2048", 0 }, { "PS384", "2048", 0 },
    { "PS512", "2048", 0 }, { "ES256", "P-256", 1 }, { "ES384", "P-384", 2 },
    { "ES512", "P-521", 3 }, { "ES256K", "secp256k1", 4 },
    { "EdDSA", "Ed25519", 5 }
};

#define SIGNERS  (sizeof(signers) / sizeof(signer_t))


/* %s is the alg, the next one the kid. */

static const char *const  headers[] = {
    "{\"alg\":\"%s\",\"kid\":\"%s\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
    " {\"alg\" : \"%s\",\n\t\"kid\":\"%s\" } ",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"crit\":[\"exp\"]}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"kid\":\"oct\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"b64\":true}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"cty\":\"JWT\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"x\":[1,2.5,null,true,{}]}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"x\":\"\\u00e4\\ud83d\\ude00\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"x\":\"\\ud83d\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"x\":\"\\u0000\"}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"x\":1e999}",
    "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":7}",
    "[\"%s\",\"%s\"]",
    "{\"alg\":\"%s\",\"kid\":[\"%s\"]}",
    "{\"alg\":[\"%s\"],\"kid\":\"%s\"}"
};


static const char *const  payloads[] = {
    "{\"sub\":\"joe\"}",
    "{\"sub\":\"joe\",\"exp\":9000000000}",
    "{\"sub\":\"joe\",\"exp\":9000000000.5,\"nbf\":1000000000}",
    "{\"sub\":\"joe\",\"exp\":1000000000}",
    "{\"sub\":\"joe\",\"nbf\":9000000000}",
    "{\"sub\":\"joe\",\"exp\":\"9000000000\"}",
    "{\"sub\":\"joe\",\"exp\":-9000000000}",
    "{\"sub\":\"joe\",\"exp\":null}",
    "{\"sub\":\"joe\",\"iat\":true}",
    "{\"sub\":\"joe\",\"exp\":9007199254740993}",
    "{\"n\":[0,-0,1.5,1e10,-1.25e-7,9223372036854775807],\"o\":{\"p\":{}}}",
    "{\"n\":9223372036854775808}",
    "{\"n\":1e400}",
    "{\"n\":NaN}",
    "{\"n\":-Infinity}",
    "{\"n\":01}",
    "{\"s\":\"\\u00e4\\ud83d\\ude00\\n\\/\",\"\":\"\"}",
    "{\"s\":\"\\udc00\"}",
    "{\"s\":\"\\u0000\"}",
    "{\"a\":1,\"a\":1}",
    "{\"o\":{\"a\":1,\"a\":1}}",
    "[]",
    "null",
    "",
    "{\"a\":1,}",
    "{\"a\":1}x",
    "\xef\xbb\xbf{}",
    "{\"s\":\"\xc3\xa4\xff\"}",
    "{\"s\":\"\xed\xa0\x80\"}",
    "{\"s\":\"\xc0\x80\"}",
    "{\"s\":\"\t\"}"
};


#define HEADERS   (sizeof(headers) / sizeof(char *))
#define PAYLOADS  (sizeof(payloads) / sizeof(char *))


static uint64_t                   seed = 88172645463325252ULL;
static u_char                     secret[64];
static test_key_t                 pairs[KEYS];
static ngx_apigw_jwks_t          *set;
static ngx_apigw_jws_verifier_t  *verifier;
static time_t                     now;


static uint64_t
random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed * 0x2545f4914f6cdd1dULL;
}


static size_t
below(size_t n)
{
    return random64() % n;
}


static char *
make_keys(void)
{
    char        *text;
    ngx_uint_t   i;

    for (i = 0; i < sizeof(secret); i++) {
        secret[i] = (u_char) random64();
    }

    text = test_print("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"oct\","
                      "\"k\":\"%s\"}", test_base64(secret, sizeof(secret)));

    for (i = 0; i < KEYS; i++) {
        pairs[i] = test_keygen(kinds[i]);
        text = test_print("%s,%s", text,
                          test_jwk(&pairs[i],
                                   test_print(",\"kid\":\"%s\"", kinds[i])));
    }

    return test_print("%s]}", text);
}


/* Mostly right; what is said and who signs may differ. */

static char *
make_token(void)
{
    char            *header, *token;
    const char      *payload;
    const signer_t  *says, *signs;

    signs = &signers[below(SIGNERS)];
    says = below(8) ? signs : &signers[below(SIGNERS)];

    header = test_print(headers[below(3) ? 0 : below(HEADERS)], says->alg,
                        below(16) ? says->kid : "none");
    payload = payloads[below(2) ? below(3) : below(PAYLOADS)];

    if (below(12) == 0) {
        size_t  n;

        n = below(strlen(header));
        header[n] = (char) (header[n] ^ (1 << below(7)));
    }

    if (signs->key == KEYS) {
        token = test_token_hmac(secret, sizeof(secret), signs->alg, header,
                                payload);
    } else {
        token = test_token(&pairs[signs->key], signs->alg, header, payload);
    }

    return token;
}


/* Changes a token or leaves it; there is room for a byte more. */

static size_t
change(u_char *token, size_t len, const char *other)
{
    size_t   at, n;
    u_char  *dot;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        ".=+/ \n%";

    at = below(len);

    switch (below(20)) {

    case 0:
        token[at] = digits[below(sizeof(digits) - 1)];
        return len;

    case 1:
        token[at] ^= (u_char) (1 << below(8));
        return len;

    case 2:
        ngx_memmove(token + at, token + at + 1, len - at - 1);
        return len - 1;

    case 3:
        ngx_memmove(token + at + 1, token + at, len - at);
        token[at] = digits[below(sizeof(digits) - 1)];
        return len + 1;

    case 4:
        return at;

    case 5:
        /* the last digit, where bits may be none */
        token[len - 1] = digits[below(64)];
        return len;

    case 6:
        dot = memchr(token, '.', len);

        if (dot && dot > token) {
            dot[-1] = digits[below(64)];
        }

        return len;

    case 7:
        /* the end of another one */
        n = ngx_min(strlen(other), len);
        at = below(n);
        ngx_memcpy(token + len - at, other + strlen(other) - at, at);
        return len;

    default:
        return len;
    }
}


static json_t *
claims_of(const u_char *token, size_t len)
{
    u_char                      *copy;
    json_t                      *claims;
    const char                  *why;
    ngx_apigw_jws_t              jws;
    ngx_apigw_jws_rc_e           rc;
    ngx_apigw_claims_times_t     times;
    ngx_apigw_claims_window_t    window;

    claims = NULL;
    ngx_memzero(&times, sizeof(ngx_apigw_claims_times_t));

    copy = malloc(len ? len : 1);
    ngx_memcpy(copy, token, len);

    rc = ngx_apigw_jws_parse(&jws, copy, len);

    /* a token without kid would be tried with every key */

    if (rc == NGX_APIGW_JWS_OK && jws.kid.data == NULL) {
        rc = NGX_APIGW_JWS_NOKEY;
    }

    if (rc == NGX_APIGW_JWS_OK) {
        rc = ngx_apigw_jws_verify(verifier, &jws, &set, 1,
                                  NGX_APIGW_JWA_ALL);
    }

    if (rc == NGX_APIGW_JWS_OK) {
        claims = ngx_apigw_claims_parse(jws.payload.data, jws.payload.len,
                                        &why);
    }

    if (claims
        && (ngx_apigw_claims_window(claims, &times, &window)
            != NGX_APIGW_CLAIMS_OK
            || ngx_apigw_claims_now(&window, now) != NGX_APIGW_CLAIMS_OK))
    {
        json_decref(claims);
        claims = NULL;
    }

    ngx_apigw_jws_clear(&jws);
    free(copy);

    return claims;
}


static void
write_tokens(FILE *out, const char *keys, ngx_uint_t n)
{
    char        *token, *other;
    size_t       len, i;
    u_char      *buf;

    fprintf(out, "%s\n", keys);
    other = make_token();

    while (n--) {
        token = make_token();
        len = strlen(token);

        buf = malloc(len + 1);
        ngx_memcpy(buf, token, len);
        len = change(buf, len, other);

        for (i = 0; i < len; i++) {
            fprintf(out, "%02x", buf[i]);
        }

        fprintf(out, "\n");

        free(buf);
        other = token;
    }
}


/* How many of the lines differ; what both accept is counted. */

static ngx_uint_t
compare(FILE *tokens, FILE *said, ngx_uint_t *accepted, ngx_uint_t *seen)
{
    char        *line, *answer, *end;
    size_t       size[2], len, i;
    json_t      *ours, *theirs;
    u_char      *token;
    ngx_uint_t   wrong, same;

    line = NULL;
    answer = NULL;
    size[0] = 0;
    size[1] = 0;
    wrong = 0;

    if (getline(&line, &size[0], tokens) < 0) {
        return 1;
    }

    while (getline(&line, &size[0], tokens) > 0
           && getline(&answer, &size[1], said) > 0)
    {
        (*seen)++;

        len = strcspn(line, "\n") / 2;
        token = malloc(len ? len : 1);

        for (i = 0; i < len; i++) {
            char  digits[3] = { line[2 * i], line[2 * i + 1], '\0' };

            token[i] = (u_char) strtoul(digits, &end, 16);
        }

        ours = claims_of(token, len);
        theirs = strncmp(answer, "ok ", 3) == 0 ? json_loads(answer + 3, 0,
                                                            NULL)
                                                : NULL;

        same = (ours == NULL && theirs == NULL
                && strncmp(answer, "no ", 3) == 0)
               || (ours && theirs && json_equal(ours, theirs));

        if (ours && same) {
            (*accepted)++;
        }

        if (!same && wrong++ < 10) {
            printf("# %.*s\n# here %s, there %s", (int) len, token,
                   ours ? "ok" : "no", answer);
        }

        json_decref(ours);
        json_decref(theirs);
        free(token);
    }

    free(line);
    free(answer);

    return wrong;
}


/* Four tokens for each of 15 keys, each with its number. */

static ngx_uint_t
issued(void)
{
    char              *line, error[NGX_APIGW_JWKS_ERROR];
    FILE              *in;
    size_t             size;
    json_t            *claims;
    ssize_t            n;
    ngx_uint_t         good;
    ngx_apigw_jwks_t  *old;

    good = 0;
    line = NULL;
    size = 0;
    old = set;
    set = NULL;

    in = popen(PYTHON " t/lib/jwt_oracle.py issue", "r");

    if (in == NULL) {
        return 0;
    }

    if (getline(&line, &size, in) > 0) {
        set = ngx_apigw_jwks_parse((u_char *) line, strlen(line),
                                   NGX_APIGW_JWKS_JSON,
                                   NGX_APIGW_JWKS_SECRETS, error);
    }

    while (set && (n = getline(&line, &size, in)) > 0) {

        claims = claims_of((u_char *) line, n - 1);

        if (json_integer_value(json_object_get(claims, "n"))
            == (json_int_t) (good % 4))
        {
            good += claims != NULL;
        }

        json_decref(claims);
    }

    (void) pclose(in);
    free(line);
    ngx_apigw_jwks_free(set);
    set = old;

    return good;
}


int
main(int argc, char *const *argv)
{
    char        *keys, error[NGX_APIGW_JWKS_ERROR];
    char         in[] = "/tmp/apigw-oracle.XXXXXX";
    char         out[] = "/tmp/apigw-oracle.XXXXXX";
    FILE        *tokens, *said;
    ngx_uint_t   n, wrong, accepted, seen;

    if (system(PYTHON " -c 'import jwt, cryptography' 2>/dev/null") != 0) {
        printf("1..0 # SKIP python3-jwt is not here\n");
        return 0;
    }

    if (getenv("APIGW_SEED")) {
        seed ^= strtoull(getenv("APIGW_SEED"), NULL, 10)
                * 0x9e3779b97f4a7c15ULL;
    }

    n = getenv("APIGW_LONG") ? 30000 : 1000;
    now = time(NULL);

    keys = make_keys();
    verifier = ngx_apigw_jws_verifier_create();
    set = ngx_apigw_jwks_parse((u_char *) keys, strlen(keys),
                               NGX_APIGW_JWKS_JSON, NGX_APIGW_JWKS_SECRETS,
                               error);

    tokens = fdopen(mkstemp(in), "w+");
    said = fdopen(mkstemp(out), "r");

    if (set == NULL || verifier == NULL || tokens == NULL || said == NULL) {
        printf("Bail out! cannot begin\n");
        return 1;
    }

    write_tokens(tokens, keys, n);
    rewind(tokens);

    wrong = system(test_print(PYTHON " t/lib/jwt_oracle.py <%s >%s", in, out))
            != 0;
    printf("%sok 1 - python3-jwt looks at %lu tokens\n", wrong ? "not " : "",
           (u_long) n);

    accepted = 0;
    seen = 0;
    wrong = compare(tokens, said, &accepted, &seen);

    printf("%sok 2 - it says the same of all %lu\n",
           wrong || seen != n ? "not " : "", (u_long) seen);
    printf("%sok 3 - both accept %lu\n",
           accepted > n / 20 && accepted < n / 2 ? "" : "not ",
           (u_long) accepted);

    printf("%sok 4 - what python3-jwt issues is accepted\n1..4\n",
           issued() == 60 ? "" : "not ");

    (void) fclose(tokens);
    (void) fclose(said);
    (void) unlink(in);
    (void) unlink(out);

    ngx_apigw_jws_verifier_free(verifier);
    ngx_apigw_jwks_free(set);

    return 0;
}
