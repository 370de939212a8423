/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_ATOMIC_H_INCLUDED_
#define _NGX_APIGW_ATOMIC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * A pair of words in shared memory that is compared and swapped as one.
 * Inline assembler, since the compilers' builtins want a flag or libatomic.
 */


typedef struct {
    uint64_t             tag;
    uint64_t             value;
} ngx_apigw_pair_t
__attribute__((aligned(16)));


/*
 * Puts set in place of *expect in *pair and returns 1, or puts what is there
 * into *expect and returns 0.  A full barrier when it returns 1.
 */

static ngx_inline ngx_uint_t
ngx_apigw_pair_cas(volatile ngx_apigw_pair_t *pair, ngx_apigw_pair_t *expect,
    ngx_apigw_pair_t set)
{
#if defined(__x86_64__)

    u_char  done;

    __asm__ volatile (

    "    lock cmpxchg16b  %1;  "
    "    sete             %0;  "

    : "=q" (done), "+m" (*pair), "+a" (expect->tag), "+d" (expect->value)
    : "b" (set.tag), "c" (set.value)
    : "cc", "memory");

    return done;

#elif defined(__aarch64__)

    uint64_t  tag, value;
    uint32_t  failed;

    do {
        __asm__ volatile ("ldaxp  %0, %1, %2"
                          : "=&r" (tag), "=&r" (value)
                          : "Q" (*pair)
                          : "memory");

        if (tag != expect->tag || value != expect->value) {

            /* a load pair is single-copy atomic only if stored back */

            __asm__ volatile ("stlxp  %w0, %1, %2, %3"
                              : "=&r" (failed)
                              : "r" (tag), "r" (value), "Q" (*pair)
                              : "memory");

            if (failed) {
                continue;
            }

            expect->tag = tag;
            expect->value = value;

            return 0;
        }

        __asm__ volatile ("stlxp  %w0, %1, %2, %3"
                          : "=&r" (failed)
                          : "r" (set.tag), "r" (set.value), "Q" (*pair)
                          : "memory");

    } while (failed);

    __asm__ volatile ("dmb  ish" ::: "memory");

    return 1;

#else
#error "no 128-bit compare-and-swap for this machine"
#endif
}


/*
 * Reads both words, one after the other: they may belong to two states, which
 * the compare-and-swap that follows finds out.
 */

static ngx_inline ngx_apigw_pair_t
ngx_apigw_pair_get(volatile ngx_apigw_pair_t *pair)
{
    ngx_apigw_pair_t  got;

    got.tag = __atomic_load_n(&pair->tag, __ATOMIC_ACQUIRE);
    got.value = __atomic_load_n(&pair->value, __ATOMIC_ACQUIRE);

    return got;
}


#endif /* _NGX_APIGW_ATOMIC_H_INCLUDED_ */
