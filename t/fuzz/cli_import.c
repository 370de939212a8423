/*
 * Copyright (C) the apigw authors
 */


/*
 * Fuzz target: files of keys that "apigw key import" reads.  The first byte
 * chooses the format; the rest is the file.  What is accepted must be a record
 * that decodes, and no reason for a refusal may repeat more of a line than
 * short names of members.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I ... \
 *           t/fuzz/cli_import.c -lcrypto -ljansson
 *
 * with the include paths of t/unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_apigw_key.c"
#include "ngx_apigw_key_list.c"
#include "ngx_apigw_key_record.c"
#include "../common/ngx_apigw_rate.c"
#include "ngx_apigw_cli_text.c"
#include "ngx_apigw_cli_record.c"
#include "ngx_apigw_cli_import.c"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_apigw_key_hasher_t  hasher;


static void
check(ngx_apigw_cli_import_key_t *key)
{
    ngx_apigw_key_record_t  rec;

    if (ngx_apigw_key_record_decode(&rec, key->encoded, key->len) != NGX_OK
        || ngx_apigw_key_record_check(&rec) != NULL
        || rec.id.len == 0 || rec.consumer.len == 0 || rec.created == 0)
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                         reason[NGX_APIGW_CLI_REASON];
    u_char                      *copy, *p, *last;
    size_t                       len;
    ngx_int_t                    rc;
    ngx_uint_t                   csv, lines;
    ngx_apigw_cli_plan_t         plan;
    ngx_apigw_cli_import_t       im;
    ngx_apigw_cli_import_key_t   key;

    if (size == 0) {
        return 0;
    }

    if (hasher.ctx == NULL && ngx_apigw_key_hasher_init(&hasher) != NGX_OK) {
        abort();
    }

    ngx_memzero(&im, sizeof(ngx_apigw_cli_import_t));

    im.hasher = &hasher;
    im.prefix.data = (u_char *) "ak_";
    im.prefix.len = 3;
    im.now = 1000000000;

    plan.from.data = (u_char *) "a";
    plan.from.len = 1;
    plan.to.data = (u_char *) "b";
    plan.to.len = 1;
    im.plans = &plan;
    im.nplans = 1;

    csv = *data++ & 1;
    size--;

    /* a byte beyond a line is found if the line is a block of its own */

    p = (u_char *) data;
    last = p + size;
    lines = 0;

    while (p != last) {
        len = ngx_apigw_cli_import_line(p, last, csv);
        len = len ? len : (size_t) (last - p);

        copy = malloc(len);

        if (copy == NULL) {
            return 0;
        }

        ngx_memcpy(copy, p, len);
        p += len;
        reason[0] = '\0';

        if (!csv) {
            rc = ngx_apigw_cli_import_json(&im, copy, len, &key, reason);

        } else if (lines++ == 0) {
            rc = ngx_apigw_cli_import_csv_head(&im, copy, len, reason);
            free(copy);

            if (rc != NGX_OK) {
                return 0;
            }

            continue;

        } else {
            rc = ngx_apigw_cli_import_csv(&im, copy, len, &key, reason);
        }

        free(copy);

        if (rc == NGX_OK) {
            check(&key);

        } else if (rc == NGX_ERROR && reason[0] == '\0') {
            abort();
        }
    }

    return 0;
}
