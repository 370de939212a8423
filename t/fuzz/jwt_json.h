/*
 * Copyright (C) the apigw authors
 */


/*
 * JSON made of the bytes of a fuzzer, so that what is behind the parser is
 * reached; names and some strings are taken from a list of words that ends
 * with NULL.  Defines a function, for one program.
 */


typedef struct {
    const uint8_t      *data;
    size_t              size;
    const char *const  *words;
    char               *out;
    size_t              len;
    size_t              room;
} fuzz_json_t;


static inline uint8_t
fuzz_byte(fuzz_json_t *f)
{
    if (f->size == 0) {
        return 0;
    }

    f->size--;

    return *f->data++;
}


static inline void
fuzz_put(fuzz_json_t *f, const char *fmt, ...)
{
    int      n;
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(f->out + f->len, f->room - f->len, fmt, args);
    va_end(args);

    if (n > 0 && (size_t) n < f->room - f->len) {
        f->len += n;
    }
}


static inline void
fuzz_word(fuzz_json_t *f)
{
    size_t   n;
    uint8_t  b;

    b = fuzz_byte(f);

    for (n = 0; f->words[n]; n++) { /* void */ }

    if (b < 224) {
        fuzz_put(f, "\"%s\"", f->words[b % n]);

    } else {
        fuzz_put(f, "\"");

        for (n = b % 8; n; n--) {
            fuzz_put(f, "%c", 'a' + fuzz_byte(f) % 26);
        }

        fuzz_put(f, "\"");
    }
}


static void
fuzz_value(fuzz_json_t *f, unsigned depth)
{
    unsigned  i, n;

    switch (fuzz_byte(f) % 10) {

    case 0:
        n = fuzz_byte(f);
        fuzz_put(f, n % 3 == 0 ? "null" : n % 3 == 1 ? "true" : "false");
        return;

    case 1:
        fuzz_put(f, "%d", (int8_t) fuzz_byte(f));
        return;

    case 2:
        fuzz_put(f, "%u%08u", fuzz_byte(f), fuzz_byte(f) * 65536u);
        return;

    case 3:
        fuzz_put(f, "%d.%ue%d", (int8_t) fuzz_byte(f), fuzz_byte(f),
                 (int8_t) fuzz_byte(f) / 4);
        return;

    case 4:
    case 5:
        n = depth ? fuzz_byte(f) % 5 : 0;
        fuzz_put(f, "[");

        for (i = 0; i < n; i++) {
            fuzz_put(f, i ? "," : "");
            fuzz_value(f, depth - 1);
        }

        fuzz_put(f, "]");
        return;

    case 6:
    case 7:
        n = depth ? fuzz_byte(f) % 6 : 0;
        fuzz_put(f, "{");

        for (i = 0; i < n; i++) {
            fuzz_put(f, i ? "," : "");
            fuzz_word(f);
            fuzz_put(f, ":");
            fuzz_value(f, depth - 1);
        }

        fuzz_put(f, "}");
        return;

    default:
        fuzz_word(f);
    }
}


/* An object; the text is malloc()'d. */

static char *
fuzz_object(const uint8_t *data, size_t size, const char *const *words,
    size_t *used)
{
    unsigned     i, n;
    fuzz_json_t  f;

    f.data = data;
    f.size = size;
    f.words = words;
    f.room = 65536;
    f.len = 0;
    f.out = malloc(f.room);

    if (f.out == NULL) {
        __builtin_trap();
    }

    n = fuzz_byte(&f) % 12;
    fuzz_put(&f, "{");

    for (i = 0; i < n; i++) {
        fuzz_put(&f, i ? "," : "");
        fuzz_word(&f);
        fuzz_put(&f, ":");
        fuzz_value(&f, 3);
    }

    fuzz_put(&f, "}");

    *used = f.len;

    return f.out;
}
