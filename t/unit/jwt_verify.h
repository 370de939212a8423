/*
 * Copyright (C) the apigw authors
 */


/*
 * What the tests of signed tokens share; defines functions, for one program.
 */


#include "ngx_apigw_base64.c"
#include "ngx_apigw_jwa.c"
#include "ngx_apigw_jwk.c"
#include "ngx_apigw_jwks.c"
#include "ngx_apigw_jws.c"
#include "jwt_sign.h"


#define OK      NGX_APIGW_JWS_OK
#define BAD     NGX_APIGW_JWS_BAD
#define NOALG   NGX_APIGW_JWS_NOALG
#define NOKEY   NGX_APIGW_JWS_NOKEY
#define BADSIG  NGX_APIGW_JWS_BADSIG

#define ALL     NGX_APIGW_JWA_ALL

#define CLAIMS  "{\"sub\":\"joe\"}"


static ngx_uint_t                 number;
static ngx_apigw_jws_verifier_t  *verifier;


static void
ok(ngx_uint_t right, const char *fmt, ...)
{
    char     name[256], *p;
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);

    for (p = name; *p; p++) {
        if (*p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }

    printf("%sok %lu - %s\n", right ? "" : "not ", (u_long) ++number, name);
}


static inline ngx_apigw_jwks_t *
keys(const char *text)
{
    char               error[NGX_APIGW_JWKS_ERROR];
    ngx_apigw_jwks_t  *jwks;

    jwks = ngx_apigw_jwks_parse((u_char *) text, strlen(text),
                                NGX_APIGW_JWKS_ANY, NGX_APIGW_JWKS_SECRETS,
                                error);

    if (jwks == NULL) {
        printf("# %s\n", error);
        abort();
    }

    return jwks;
}


static ngx_apigw_jws_rc_e
verify_set(const char *token, size_t len, ngx_apigw_jwks_t *jwks,
    ngx_apigw_jwa_t allowed)
{
    u_char              *copy;
    ngx_apigw_jws_t      jws;
    ngx_apigw_jws_rc_e   rc;

    /* of the exact size, so that a byte too far is noticed */

    copy = malloc(len ? len : 1);
    ngx_memcpy(copy, token, len);

    rc = ngx_apigw_jws_parse_by(verifier, &jws, copy, len);

    if (rc == NGX_APIGW_JWS_OK) {
        rc = ngx_apigw_jws_verify(verifier, &jws, &jwks, 1, allowed);
    }

    if (rc != NGX_APIGW_JWS_OK && jws.why == NULL) {
        printf("# no reason was given\n");
        rc = NGX_APIGW_JWS_ERROR;
    }

    if ((rc == NGX_APIGW_JWS_OK) != (jws.key != NULL)) {
        printf("# the key does not tell\n");
        rc = NGX_APIGW_JWS_ERROR;
    }

    if (ERR_peek_error()) {
        printf("# something is left in OpenSSL's queue\n");
        rc = NGX_APIGW_JWS_ERROR;
    }

    ngx_apigw_jws_clear(&jws);
    free(copy);

    return rc;
}


/* Shows what came instead. */

static void
is(ngx_apigw_jws_rc_e got, ngx_apigw_jws_rc_e want, const char *name)
{
    ok(got == want, "%s", name);

    if (got != want) {
        printf("# got %d, expected %d\n", got, want);
    }
}
