/*
 * Copyright (C) the apigw authors
 */


/*
 * Calendar windows and time zones: against the C library's own calendar and
 * zones as an independent oracle, at random instants and around every change
 * of the clocks, and damaged zone files.
 */


#include "../../modules/common/ngx_apigw_window.c"
#include "../../modules/usage/ngx_apigw_tz.c"

#include <stdio.h>
#include <time.h>


static unsigned  count;
static uint64_t  state = 88172645463325252ULL;


static void
check(int good, const char *what)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", ++count, what);
    fflush(stdout);
}


static uint64_t
rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return state;
}


static int
load(ngx_apigw_window_tz_t *tz, const char *name)
{
    FILE    *f;
    size_t   len;
    char     path[256];
    u_char   data[NGX_APIGW_TZ_FILE];

    snprintf(path, sizeof(path), NGX_APIGW_TZ_DIRECTORY "/%s", name);

    f = fopen(path, "rb");
    if (f == NULL) {
        return -1;
    }

    len = fread(data, 1, sizeof(data), f);
    fclose(f);

    return ngx_apigw_tz_parse(tz, data, len) == NGX_OK ? 0 : -2;
}


static int64_t
offset_at(ngx_apigw_window_tz_t *tz, int64_t t)
{
    return tz->shifts[ngx_apigw_window_shift(tz, t)].offset;
}


static struct tm
local(int64_t t)
{
    time_t     tt;
    struct tm  tm;

    tt = t;
    localtime_r(&tt, &tm);

    return tm;
}


/* A number that grows with the local date; the day of a window's start. */

static int64_t
date_of(struct tm *tm)
{
    return (tm->tm_year + 1900) * 10000 + (tm->tm_mon + 1) * 100 + tm->tm_mday;
}


/* The date on which the window of a date begins, by mktime()'s calendar. */

static int64_t
first_date(const ngx_apigw_window_t *w, struct tm *now)
{
    int        last, anchor;
    time_t     t;
    struct tm  tm, first, got;

    memset(&tm, 0, sizeof(tm));
    tm.tm_year = now->tm_year;
    tm.tm_mon = now->tm_mon;
    tm.tm_mday = now->tm_mday;
    tm.tm_hour = 12;

    if (w->kind == NGX_APIGW_WINDOW_WEEK) {
        tm.tm_mday -= (now->tm_wday + 6 - (int) w->anchor + 7) % 7;

    } else if (w->kind == NGX_APIGW_WINDOW_MONTH) {

        for ( ;; ) {
            first = tm;
            first.tm_mon++;
            first.tm_mday = 0;
            t = timegm(&first);
            gmtime_r(&t, &got);
            last = got.tm_mday;

            anchor = (int) w->anchor < last ? (int) w->anchor : last;

            if (tm.tm_mon != now->tm_mon || tm.tm_mday >= anchor) {
                tm.tm_mday = anchor;
                break;
            }

            tm.tm_mon--;
            tm.tm_mday = 1;
        }
    }

    t = timegm(&tm);
    gmtime_r(&t, &got);

    return date_of(&got);
}


/*
 * What must hold: start <= t < end; neighbours touch; the date just before
 * the start is of an earlier window, the date at the start is that of the
 * window's first day or, if midnight does not exist, the first instant of it.
 */

static int
right(const ngx_apigw_window_t *w, int64_t t, const char *zone)
{
    int64_t                  now_first, at_first;
    struct tm                now, at, before;
    ngx_apigw_window_span_t  span, other;

    ngx_apigw_window_at(w, t, &span);

    if (t < span.start || t >= span.end) {
        printf("# %s kind %d at %ld: not in %ld .. %ld\n", zone, (int) w->kind,
               (long) t, (long) span.start, (long) span.end);
        return 0;
    }

    if (w->kind == NGX_APIGW_WINDOW_LIFETIME) {
        return span.start == 0 && span.end == NGX_APIGW_WINDOW_NEVER;
    }

    ngx_apigw_window_at(w, span.end, &other);

    if (other.start != span.end) {
        printf("# %s kind %d at %ld: next of %ld starts at %ld\n", zone,
               (int) w->kind, (long) t, (long) span.end, (long) other.start);
        return 0;
    }

    ngx_apigw_window_at(w, span.end - 1, &other);

    if (other.start != span.start || other.end != span.end) {
        printf("# %s kind %d at %ld: last second is of %ld .. %ld\n", zone,
               (int) w->kind, (long) t, (long) other.start, (long) other.end);
        return 0;
    }

    if (span.start > 86400 * 40) {
        ngx_apigw_window_at(w, span.start - 1, &other);

        if (other.end != span.start) {
            printf("# %s kind %d at %ld: previous ends at %ld, not %ld\n",
                   zone, (int) w->kind, (long) t, (long) other.end,
                   (long) span.start);
            return 0;
        }
    }

    at = local(span.start);

    if (w->kind == NGX_APIGW_WINDOW_HOUR) {
        before = local(span.start - 1);

        return span.end - span.start <= 3600
               && ((at.tm_min == 0 && at.tm_sec == 0)
                   || at.tm_gmtoff != before.tm_gmtoff);
    }

    now = local(t);
    before = local(span.start - 1);

    now_first = first_date(w, &now);
    at_first = first_date(w, &at);

    /*
     * Where the clocks go back over midnight the window has begun although
     * the date is once more that of the day before.
     */

    if (at_first != now_first && now_first >= at_first) {
        printf("# %s kind %d at %ld: first date %ld, of start %ld\n", zone,
               (int) w->kind, (long) t, (long) now_first, (long) at_first);
        return 0;
    }

    if (at_first == now_first && first_date(w, &before) >= now_first
        && before.tm_gmtoff <= at.tm_gmtoff)
    {
        printf("# %s kind %d at %ld: begins late at %ld\n", zone,
               (int) w->kind, (long) t, (long) span.start);
        return 0;
    }

    return 1;
}


static const char  *zones[] = {
    "UTC", "Europe/Berlin", "Europe/Dublin", "Europe/London",
    "America/New_York", "America/St_Johns", "America/Sao_Paulo",
    "America/Havana", "America/Scoresbysund", "America/Santiago",
    "Africa/Cairo", "Africa/Casablanca", "Asia/Beirut", "Asia/Gaza",
    "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe",
    "Australia/Sydney", "Pacific/Apia", "Pacific/Kiritimati",
    "Pacific/Chatham", "Pacific/Auckland", "Antarctica/Troll", "Etc/GMT+12"
};


static void
test_zone(const char *name)
{
    int                       good, offsets;
    char                      text[128];
    int64_t                   t, edge;
    ngx_uint_t                i, kind, s;
    ngx_apigw_window_t        w;
    ngx_apigw_window_tz_t     tz;
    ngx_apigw_window_shift_t  shifts[NGX_APIGW_TZ_SHIFTS];

    setenv("TZ", name, 1);
    tzset();

    tz.shifts = shifts;

    if (load(&tz, name) != 0) {
        snprintf(text, sizeof(text), "%s: can be read", name);
        check(0, text);
        return;
    }

    offsets = 1;

    for (i = 0; i < 5000; i++) {
        t = 86400 + rnd() % (int64_t) 4260000000LL;

        if (local(t).tm_gmtoff != offset_at(&tz, t)) {
            printf("# %s at %ld: offset %ld, should be %ld\n", name, (long) t,
                   (long) offset_at(&tz, t), local(t).tm_gmtoff);
            offsets = 0;
            break;
        }
    }

    for (s = 1; s < tz.n; s++) {
        t = shifts[s].at;

        if (t > 86400 && t < 4260000000LL
            && (local(t).tm_gmtoff != offset_at(&tz, t)
                || local(t - 1).tm_gmtoff != offset_at(&tz, t - 1)))
        {
            offsets = 0;
        }
    }

    snprintf(text, sizeof(text), "%s: offsets are those of the C library",
             name);
    check(offsets, text);

    for (kind = 0; kind < NGX_APIGW_WINDOW_KINDS; kind++) {
        good = 1;

        w.kind = kind;
        w.tz = &tz;

        for (i = 0; i < 500 && good; i++) {
            w.anchor = kind == NGX_APIGW_WINDOW_MONTH ? 1 + rnd() % 31
                                                      : rnd() % 7;
            t = 86400 * 60 + rnd() % (int64_t) 4250000000LL;
            good = right(&w, t, name);
        }

        /* the days around each change of the clocks */

        for (s = 1; s < tz.n && good; s++) {
            edge = shifts[s].at;

            if (edge < 86400 * 60 || edge > 4250000000LL) {
                continue;
            }

            for (t = edge - 90000; t < edge + 90000 && good; t += 1799) {
                w.anchor = kind == NGX_APIGW_WINDOW_MONTH ? 1 + rnd() % 31
                                                          : rnd() % 7;
                good = right(&w, t, name);
            }

            good = good && right(&w, edge, name) && right(&w, edge - 1, name);
        }

        snprintf(text, sizeof(text), "%s: windows per %s", name,
                 ngx_apigw_window_name(kind));
        check(good, text);
    }
}


static void
test_dates(void)
{
    int         good;
    time_t      t;
    int64_t     days, year;
    struct tm   tm;
    ngx_uint_t  month, day;

    good = 1;

    for (days = -1000000; days < 1000000 && good; days++) {
        t = days * 86400;
        gmtime_r(&t, &tm);

        ngx_apigw_window_date(days, &year, &month, &day);

        good = year == tm.tm_year + 1900
               && month == (ngx_uint_t) tm.tm_mon + 1
               && day == (ngx_uint_t) tm.tm_mday
               && ngx_apigw_window_days(year, month, day) == days;
    }

    check(good, "dates of two million days");
}


static int
window_is(ngx_uint_t kind, ngx_uint_t anchor, int64_t t, int64_t start,
    int64_t end)
{
    ngx_apigw_window_t       w;
    ngx_apigw_window_span_t  span;

    w.kind = kind;
    w.anchor = anchor;
    w.tz = NULL;

    ngx_apigw_window_at(&w, t, &span);

    return span.start == start && span.end == end;
}


/* Examples written by hand, the expected seconds come from date(1). */

static void
test_examples(void)
{
    int64_t  t;

    t = 1709208000;                             /* 2024-02-29 12:00 */

    check(window_is(NGX_APIGW_WINDOW_HOUR, 0, t, 1709208000, 1709211600),
          "hour");
    check(window_is(NGX_APIGW_WINDOW_DAY, 0, t, 1709164800, 1709251200),
          "leap day");
    check(window_is(NGX_APIGW_WINDOW_WEEK, 0, t, 1708905600, 1709510400),
          "week from Monday");
    check(window_is(NGX_APIGW_WINDOW_WEEK, 6, t, 1708819200, 1709424000),
          "week from Sunday");
    check(window_is(NGX_APIGW_WINDOW_MONTH, 1, t, 1706745600, 1709251200),
          "month");
    check(window_is(NGX_APIGW_WINDOW_MONTH, 31, t, 1709164800, 1711843200),
          "month from the 31st: begins on 29 February, ends on 31 March");
    check(window_is(NGX_APIGW_WINDOW_MONTH, 31, 1709164799, 1706659200,
                    1709164800),
          "month from the 31st: the one before is 31 January to 29 February");
    check(window_is(NGX_APIGW_WINDOW_LIFETIME, 0, t, 0,
                    NGX_APIGW_WINDOW_NEVER),
          "lifetime");
}


static void
test_damage(void)
{
    int                       i;
    FILE                     *f;
    size_t                    len, n;
    u_char                    data[NGX_APIGW_TZ_FILE], copy[NGX_APIGW_TZ_FILE];
    ngx_str_t                 name;
    ngx_uint_t                good;
    ngx_apigw_window_tz_t     tz;
    ngx_apigw_window_shift_t  shifts[NGX_APIGW_TZ_SHIFTS];

    static const char  *bad[] = { "", "/etc/passwd", "../x", "a.b", "a b" };

    tz.shifts = shifts;

    f = fopen(NGX_APIGW_TZ_DIRECTORY "/Europe/Berlin", "rb");
    len = f ? fread(data, 1, sizeof(data), f) : 0;

    if (f) {
        fclose(f);
    }

    check(len > 100, "a file to damage");

    good = 1;

    for (n = 0; n < len; n++) {
        memcpy(copy, data, n);
        good &= ngx_apigw_tz_parse(&tz, copy, n) == NGX_ERROR;
    }

    check(good, "every shortened file is refused");

    for (i = 0; i < 50000; i++) {
        memcpy(copy, data, len);
        copy[rnd() % len] = (u_char) rnd();
        copy[rnd() % len] = (u_char) rnd();
        (void) ngx_apigw_tz_parse(&tz, copy, len);
    }

    check(1, "damaged files do no harm");

    good = 1;

    for (n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        name.data = (u_char *) bad[n];
        name.len = strlen(bad[n]);
        good &= !ngx_apigw_tz_valid(&name);
    }

    check(good, "names that lead elsewhere are refused");
}


/* "Europe/Berlin month 31 1700000000" a line, or "UTC ..."; start and end. */

static int
answer(void)
{
    char                      zone[128], kind[16];
    long                      anchor;
    long long                 t;
    ngx_str_t                 name;
    ngx_apigw_window_t        w;
    ngx_apigw_window_tz_t     tz;
    ngx_apigw_window_span_t   span;
    ngx_apigw_window_shift_t  shifts[NGX_APIGW_TZ_SHIFTS];

    tz.shifts = shifts;

    while (scanf("%127s %15s %ld %lld", zone, kind, &anchor, &t) == 4) {
        name.data = (u_char *) kind;
        name.len = strlen(kind);

        w.kind = ngx_apigw_window_kind(&name);
        w.anchor = anchor;
        w.tz = NULL;

        if (strcmp(zone, "UTC") != 0) {
            if (load(&tz, zone) != 0) {
                return 1;
            }

            w.tz = &tz;
        }

        ngx_apigw_window_at(&w, t, &span);

        printf("%lld %lld\n", (long long) span.start, (long long) span.end);
        fflush(stdout);
    }

    return 0;
}


int
main(int argc, char **argv)
{
    size_t  i;

    if (argc == 2 && strcmp(argv[1], "--answer") == 0) {
        return answer();
    }

    test_dates();
    test_examples();

    for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        test_zone(zones[i]);
    }

    test_damage();

    printf("1..%u\n", count);

    return 0;
}
