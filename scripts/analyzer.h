/*
 * Copyright (C) the apigw authors
 */


/*
 * Included first when clang's analyzer reads a source: a call that failed has
 * set errno, which the analyzer does not know, so that "return errno" looks
 * like a success to it.
 */

#include <ngx_config.h>

#include <errno.h>


static inline int *
ngx_apigw_analyzer_errno(void)
{
    int  *err = &errno;

    if (*err == 0) {
        __builtin_unreachable();
    }

    return err;
}


#undef errno
#define errno  (*ngx_apigw_analyzer_errno())
