/*
 * Copyright (C) the apigw authors
 */


/*
 * The store: empty and filled, growth of the map in another process, writers
 * and readers that are killed, other kinds of store, files of root, files that
 * are replaced under those who have them open.
 */


/* a largest size that can be reached */

#define NGX_APIGW_STORE_MAX  ((size_t) 16 * 1024 * 1024)

#include "../../modules/common/ngx_apigw_store.c"
#include "../../modules/common/ngx_apigw_store_file.c"
#include "../../modules/common/ngx_apigw_store_view.c"
#include "../../modules/common/ngx_apigw_tree.c"

#include <sys/resource.h>
#include <sys/wait.h>
#include <dirent.h>
#include <signal.h>


#define VALUE  3000

/* which needs a terabyte for itself */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED  1
#elif defined(__has_feature)
#define SANITIZED  __has_feature(address_sanitizer)
#else
#define SANITIZED  0
#endif


static const ngx_apigw_store_kind_t  kind = {
    "test 1", { "one", "two", NULL }, 1024 * 1024
};

static const ngx_apigw_store_kind_t  other_kind = {
    "test 2", { "one", "two", NULL }, 1024 * 1024
};

static char      directory[] = "/tmp/apigw-store-XXXXXX";
static unsigned  count;


static void
check(int good, const char *what)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", ++count, what);
    fflush(stdout);
}


/* Writes keys from range[0] up to range[1]. */

static int
put(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int        rc;
    u_char     value[VALUE];
    uint32_t   i, *range;
    MDB_val    k, v;

    range = data;
    memset(value, 'x', sizeof(value));

    for (i = range[0]; i < range[1]; i++) {
        k.mv_data = &i;
        k.mv_size = sizeof(i);
        v.mv_data = value;
        v.mv_size = sizeof(value);

        rc = mdb_put(txn, ngx_apigw_store_db(store, 1), &k, &v, 0);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


static int
put_and_fail(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int  rc;

    rc = put(store, txn, data);

    return rc ? rc : ECANCELED;
}


/* What another process finds that wants to know whether somebody writes. */

static int
put_and_look(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    int   fd, rc;
    char  name[sizeof(directory) + 20];

    snprintf(name, sizeof(name), "%s/data.mdb", directory);

    fd = open(name, O_RDONLY);
    rc = (flock(fd, LOCK_EX|LOCK_NB) == -1) ? errno : 0;
    (void) close(fd);

    return (rc == EWOULDBLOCK) ? put(store, txn, data) : EINVAL;
}


static int
put_and_die(ngx_apigw_store_t *store, MDB_txn *txn, void *data)
{
    (void) put(store, txn, data);
    (void) kill(getpid(), SIGKILL);

    return 0;
}


/* How many keys a reader sees, or a negative error. */

static long
seen(ngx_apigw_store_t *store)
{
    int        rc;
    MDB_txn   *txn;
    MDB_stat   st;

    rc = ngx_apigw_store_read(store, &txn);

    if (rc != 0) {
        return rc < 0 ? rc : -rc;
    }

    rc = mdb_stat(txn, ngx_apigw_store_db(store, 1), &st);

    ngx_apigw_store_read_end(store);

    return rc ? -1 : (long) st.ms_entries;
}


/* Runs fn in a child of its own; returns its exit status or -signal. */

static int
in_child(int (*fn)(void))
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        _exit(fn());
    }

    if (waitpid(pid, &status, 0) != pid) {
        return -1000;
    }

    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}


static int
child_grows(void)
{
    uint32_t            range[2] = { 10, 1000 };
    ngx_apigw_store_t  *store;

    return ngx_apigw_store_open(&store, directory, &kind)
           || ngx_apigw_store_write(store, put, range);
}


static int
child_dies_writing(void)
{
    uint32_t            range[2] = { 1000, 1010 };
    ngx_apigw_store_t  *store;

    return ngx_apigw_store_open(&store, directory, &kind)
           || ngx_apigw_store_write(store, put_and_die, range);
}


static int
child_dies_reading(void)
{
    MDB_txn            *txn;
    ngx_apigw_store_t  *store;

    if (ngx_apigw_store_open(&store, directory, &kind)
        || ngx_apigw_store_read(store, &txn))
    {
        return 1;
    }

    return kill(getpid(), SIGKILL);
}


static int
child_is_owner(void)
{
    return !(ngx_apigw_store_become_owner(directory) == 0
             && getuid() == 65534 && geteuid() == 65534
             && getgid() == 65534
             && child_grows() == 0);
}


/* Without address space for a larger map, which LMDB then has none of. */

static int
child_has_no_room(void)
{
    FILE               *file;
    MDB_txn            *txn;
    uint32_t            range[2] = { 0, 10 };
    unsigned long       pages;
    struct rlimit       limit;
    ngx_apigw_store_t  *store;

    if (ngx_apigw_store_open(&store, directory, &kind)) {
        return 1;
    }

    file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%lu", &pages) != 1) {
        return 2;
    }

    (void) fclose(file);

    limit.rlim_cur = pages * getpagesize() + 4 * 1024 * 1024;
    limit.rlim_max = limit.rlim_cur;

    if (seen(store) != 2000 || setrlimit(RLIMIT_AS, &limit) == -1) {
        return 3;
    }

    if (ngx_apigw_store_reserve(store, 100 * 1024 * 1024) != ENOMEM
        || ngx_apigw_store_read(store, &txn) != ENOMEM
        || ngx_apigw_store_write(store, put, range) != ENOMEM
        || ngx_apigw_store_reserve(store, 1) != ENOMEM
        || ngx_apigw_store_version(store) != 0)
    {
        return 4;
    }

    ngx_apigw_store_close(store);

    return 0;
}


static ngx_uint_t
has_files(const char *begin)
{
    DIR            *dir;
    ngx_uint_t      n;
    struct dirent  *entry;

    n = 0;
    dir = opendir(directory);

    while (dir && (entry = readdir(dir)) != NULL) {
        n += (strncmp(entry->d_name, begin, strlen(begin)) == 0);
    }

    if (dir) {
        (void) closedir(dir);
    }

    return n;
}


/* What was a store once must not become a new one. */

static int child_looks(void);


static void
check_damage(void)
{
    struct stat         sb;
    ngx_apigw_store_t  *store;
    char                data[sizeof(directory) + 20],
                        lock[sizeof(directory) + 20];

    snprintf(data, sizeof(data), "%s/data.mdb", directory);
    snprintf(lock, sizeof(lock), "%s/lock.mdb", directory);

    check(ngx_apigw_store_inspect(directory, &sb) == 0
          && sb.st_size > 100000, "a whole file");

    check(truncate(data, sb.st_size / 2) == 0
          && ngx_apigw_store_open(&store, directory, &kind)
             == NGX_APIGW_STORE_ESHORT, "half a file is an error");
    check(truncate(data, 100) == 0
          && ngx_apigw_store_open(&store, directory, &kind)
             == NGX_APIGW_STORE_ESHORT, "less than a page as well");
    check(truncate(data, 0) == 0
          && ngx_apigw_store_open(&store, directory, &kind)
             == NGX_APIGW_STORE_ESHORT
          && stat(data, &sb) == 0 && sb.st_size == 0,
          "and an empty one is no new store");
    check(unlink(data) == 0
          && ngx_apigw_store_open(&store, directory, &kind)
             == NGX_APIGW_STORE_ELOST
          && stat(data, &sb) == -1, "nor is none beside a lock file");

    check(unlink(lock) == 0
          && ngx_apigw_store_open(&store, directory, &kind) == 0
          && has_files("data.mdb.") == 0, "without that it is");
    check(stat(lock, &sb) == 0 && sb.st_blocks * 512 >= 1024 * 64,
          "the lock file has all its blocks");
    ngx_apigw_store_close(store);
}


/* What would wait for somebody, or be something else, is not opened. */

static void
check_files(void)
{
    unsigned            i, j;
    ngx_apigw_store_t  *store;
    char                name[2][sizeof(directory) + 20],
                        saved[sizeof(directory) + 20];

    snprintf(name[0], sizeof(name[0]), "%s/data.mdb", directory);
    snprintf(name[1], sizeof(name[1]), "%s/lock.mdb", directory);
    snprintf(saved, sizeof(saved), "%s/saved", directory);

    check(ngx_apigw_store_open(&store, directory, &kind) == 0,
          "a store of files");

    (void) alarm(10);

    for (i = 0; i < 2; i++) {
        for (j = 0; j < 3; j++) {

            check(rename(name[i], saved) == 0
                  && (j == 0 ? mkfifo(name[i], 0600)
                      : j == 1 ? symlink("/dev/zero", name[i])
                               : mkdir(name[i], 0700)) == 0
                  && ngx_apigw_store_check(store) != 0,
                  "a fifo, a device, a directory: noticed");

            check(in_child(child_looks) == 255
                  && remove(name[i]) == 0 && rename(saved, name[i]) == 0
                  && ngx_apigw_store_check(store) == 0,
                  "and not opened");
        }
    }

    (void) alarm(0);

    ngx_apigw_store_close(store);
}


/* Root in a directory of somebody else, who may have laid a trap. */

static void
check_root(void)
{
    int                 fd;
    struct stat         sb;
    ngx_apigw_store_t  *store;
    char                saved[sizeof(directory)], name[sizeof(directory) + 20],
                        victim[sizeof(directory) + 20];

    if (geteuid() != 0) {
        check(1, "# SKIP not root");
        return;
    }

    memcpy(saved, directory, sizeof(directory));
    memcpy(directory, "/tmp/apigw-store-XXXXXX", sizeof(directory));

    if (mkdtemp(directory) == NULL || chown(directory, 65534, 0) == -1) {
        check(0, "a directory of nobody");
        return;
    }

    snprintf(name, sizeof(name), "%s/data.mdb", directory);
    snprintf(victim, sizeof(victim), "%s.victim", directory);

    check(ngx_apigw_store_open(&store, directory, &kind) == 0
          && stat(name, &sb) == 0 && sb.st_uid == 65534 && sb.st_gid == 65534,
          "root opens a store as the owner of the directory");
    ngx_apigw_store_close(store);

    check(geteuid() == 0 && getegid() == 0, "and is root again");
    check(in_child(child_is_owner) == 0, "or becomes the owner for good");

    fd = open(victim, O_CREAT|O_RDWR, 0644);
    (void) close(fd);

    (void) unlink(name);
    snprintf(name, sizeof(name), "%s/lock.mdb", directory);
    (void) unlink(name);

    check(symlink(victim, name) == 0
          && ngx_apigw_store_open(&store, directory, &kind) == ELOOP
          && stat(victim, &sb) == 0 && sb.st_uid == 0 && sb.st_size == 0,
          "a link to a file of root leads nowhere");

    (void) unlink(victim);
    (void) unlink(name);
    snprintf(name, sizeof(name), "%s/data.mdb", directory);
    (void) unlink(name);
    (void) rmdir(directory);

    memcpy(directory, saved, sizeof(directory));
}


/* What another process sees, that opens the store now. */

static uint32_t  new_range[2];


static int
child_looks(void)
{
    long                n;
    ngx_apigw_store_t  *store;

    if (ngx_apigw_store_open(&store, directory, &kind)) {
        return 255;
    }

    n = seen(store);

    return n < 0 ? 254 : n;
}


static int
child_writes(void)
{
    ngx_apigw_store_t  *store;

    return ngx_apigw_store_open(&store, directory, &kind)
           || ngx_apigw_store_write(store, put, new_range);
}


static int
add(ngx_apigw_store_t *store, uint32_t first, uint32_t last)
{
    uint32_t  range[2];

    range[0] = first;
    range[1] = last;

    return ngx_apigw_store_write(store, put, range);
}


/* "how" as open() takes it: into the file that is there, or another one. */

static int
copy(const char *from, const char *to, int how)
{
    int      in, out;
    u_char   buf[65536];
    ssize_t  n;
    off_t    size;

    in = open(from, O_RDONLY);
    out = open(to, O_WRONLY|how, 0600);
    size = 0;

    while ((n = read(in, buf, sizeof(buf))) > 0) {
        if (write(out, buf, n) != n) {
            return -1;
        }

        size += n;
    }

    (void) close(in);

    return ftruncate(out, size) == -1 || close(out) == -1 ? -1 : 0;
}


/* Into the file itself: another one of the same number, or less of it. */

static void
check_in_place(const char *data, const char *saved)
{
    struct stat         sb;
    ngx_apigw_store_t  *store, *one;

    check(ngx_apigw_store_open(&store, directory, &kind) == 0
          && add(store, 60, 61) == 0 && copy(data, saved, 0) == 0
          && ngx_apigw_store_check(store) == 0
          && ngx_apigw_store_check(store) == 0, "written by transactions");
    check(usleep(20000) == 0 && copy(saved, data, 0) == 0
          && ngx_apigw_store_check(store) == 0
          && ngx_apigw_store_check(store) == ESTALE,
          "by somebody else: not at once");

    ngx_apigw_store_close(store);

    check(ngx_apigw_store_open(&one, directory, &kind) == 0
          && ngx_apigw_store_check(one) == 0
          && ngx_apigw_store_check(one) == 0
          && ngx_apigw_store_whole(one) == 0, "opened again");

    check(stat(data, &sb) == 0 && truncate(data, sb.st_size - 1) == 0
          && ngx_apigw_store_whole(one) == NGX_APIGW_STORE_ESHORT
          && ngx_apigw_store_check(one) == NGX_APIGW_STORE_ESHORT
          && add(one, 61, 62) == NGX_APIGW_STORE_ESHORT,
          "without its last byte it is neither trusted nor written to");
    check(copy(saved, data, 0) == 0 && ngx_apigw_store_whole(one) == 0
          && add(one, 61, 62) == 0, "put back");

    ngx_apigw_store_close(one);
}


static void
check_replaced(void)
{
    int                 fd = -1;
    long                n;
    unsigned            i, bad;
    struct stat         one, two;
    ngx_apigw_store_t  *store;
    char                data[sizeof(directory) + 20],
                        lock[sizeof(directory) + 20],
                        saved[sizeof(directory) + 20],
                        next[sizeof(directory) + 20],
                        new[sizeof(directory) + 20];

    snprintf(data, sizeof(data), "%s/data.mdb", directory);
    snprintf(lock, sizeof(lock), "%s/lock.mdb", directory);
    snprintf(saved, sizeof(saved), "%s/saved", directory);
    snprintf(next, sizeof(next), "%s/next", directory);
    snprintf(new, sizeof(new), "%s/new", directory);

    if (ngx_apigw_store_open(&store, directory, &kind)) {
        check(0, "a store to be replaced");
        return;
    }

    bad = (add(store, 0, 5) || add(store, 5, 10)
           || copy(data, saved, O_CREAT)
           || add(store, 10, 11) || copy(data, next, O_CREAT));

    check(bad == 0, "copies");

    /* after so many transactions more the number is any */

    for (i = 1; i < 5; i++) {

        bad = add(store, 20, 20 + i) || add(store, 20, 50)
              || (i > 2 && add(store, 50, 51)) || (i > 3 && add(store, 51, 52))
              || copy(saved, new, O_CREAT) || rename(new, data);

        check(bad == 0 && ngx_apigw_store_check(store) == ESTALE
              && in_child(child_looks) == 10,
              "another file in its place: who opens it sees that");

        bad = add(store, 10, 15);

        check(bad == 0 && seen(store) == 15 && in_child(child_looks) == 15
              && ngx_apigw_store_check(store) == 0,
              "and who has it open writes to that");

        new_range[0] = 15;
        new_range[1] = 16;

        bad = (i & 1) && add(store, 15, 16);
        bad = bad || copy(saved, data, 0);

        if (i & 2) {
            check(bad == 0 && in_child(child_looks) == 10
                  && seen(store) == 10, "copied over it: the same for all");

        } else {
            check(bad == 0 && in_child(child_writes) == 0
                  && in_child(child_looks) == 11
                  && seen(store) == 11, "copied over it and written to");
        }
    }

    /* of a later state, by one: for a moment it might be a writer */

    check(copy(saved, new, O_CREAT) == 0 && rename(new, data) == 0
          && add(store, 0, 1) == 0 && copy(saved, data, 0) == 0
          && (seen(store), add(store, 0, 0)) == 0
          && copy(saved, data, 0) == 0
          && in_child(child_looks) == 10 && seen(store) == 10,
          "one behind, put back");
    check(copy(next, data, 0) == 0
          && (fd = open(data, O_RDONLY)) != -1 && flock(fd, LOCK_SH) == 0
          && stat(lock, &one) == 0
          && ngx_apigw_store_check(store) == 0
          && ngx_apigw_store_check(store) == 0
          && in_child(child_looks) == 10
          && stat(lock, &two) == 0 && one.st_ino == two.st_ino,
          "one ahead: somebody takes long to commit");
    check(close(fd) == 0
          && ngx_apigw_store_check(store) == ESTALE
          && in_child(child_looks) == 11
          && stat(lock, &two) == 0 && one.st_ino != two.st_ino,
          "and was killed in between");

    ngx_apigw_store_close(store);

    check(ngx_apigw_store_open(&store, directory, &kind) == 0
          && seen(store) == 11 && stat(lock, &one) == 0
          && unlink(lock) == 0 && ngx_apigw_store_check(store) == ESTALE
          && in_child(child_looks) == 11 && add(store, 11, 12) == 0
          && in_child(child_looks) == 12 && stat(lock, &two) == 0
          && has_files("lock.mdb") == 1, "without the lock file");

    n = ngx_apigw_store_opened(store);

    check(unlink(data) == 0 && add(store, 12, 13) == NGX_APIGW_STORE_ELOST
          && ngx_apigw_store_opened(store) == (ngx_uint_t) n
          && has_files("data.mdb") == 0,
          "nothing is written to a file that is gone");

    check(copy(saved, data, O_CREAT) == 0 && seen(store) == 12
          && add(store, 12, 13) == 0 && seen(store) == 11,
          "back again: written to");

    ngx_apigw_store_close(store);

    check_in_place(data, saved);

    (void) unlink(saved);
    (void) unlink(next);
    (void) unlink(data);
    (void) unlink(lock);
}


/* A store as large as one can be. */

static void
check_full(void)
{
    long                n;
    ngx_apigw_store_t  *store;

    if (ngx_apigw_store_open(&store, directory, &kind)) {
        check(0, "a store to be filled");
        return;
    }

    n = seen(store);

    check(add(store, 5000, 15000) == MDB_MAP_FULL
          && ngx_apigw_store_reserve(store, 32 * 1024 * 1024) == MDB_MAP_FULL
          && strcmp(ngx_apigw_store_strerror(MDB_MAP_FULL),
                    "it has reached its largest size") == 0,
          "what does not fit into the largest map is an error");
    check(seen(store) == n && in_child(child_looks) == n,
          "nothing of it was written");
    check(add(store, 5000, 5010) == 0 && seen(store) == n + 10,
          "what fits is written all the same");

    ngx_apigw_store_close(store);
}


/* Many that open a new store at once: one makes it, all use it. */

static int
child_opens_new(void)
{
    uint32_t            range[2];
    ngx_apigw_store_t  *store;

    range[0] = getpid();
    range[1] = range[0] + 1;

    return ngx_apigw_store_open(&store, directory, &kind)
           || ngx_apigw_store_write(store, put, range);
}


static void
check_crowd(void)
{
    int                 status;
    pid_t               pid;
    unsigned            i, bad;
    ngx_apigw_store_t  *store;

    bad = 0;

    for (i = 0; i < 20; i++) {
        pid = fork();

        if (pid == 0) {
            _exit(child_opens_new());
        }
    }

    for (i = 0; i < 20; i++) {
        bad += (wait(&status) == -1 || status != 0);
    }

    if (ngx_apigw_store_open(&store, directory, &kind) != 0) {
        check(0, "a new store opened by many at once");
        return;
    }

    check(bad == 0 && seen(store) == 20 && has_files("data.mdb") == 1,
          "a new store opened by many at once");

    ngx_apigw_store_close(store);
}


int
main(void)
{
    MDB_txn            *txn;
    uint32_t            range[2];
    uint64_t            version;
    ngx_apigw_store_t  *store, *again;
    char                name[sizeof(directory) + 20];

    if (mkdtemp(directory) == NULL) {
        printf("Bail out! no temporary directory\n");
        return 1;
    }

    check(ngx_apigw_store_open(&store, "/nonexistent", &kind) == ENOENT,
          "no directory");
    check(ngx_apigw_store_open(&store, "/dev/null", &kind) == ENOTDIR,
          "not a directory");
    check(ngx_apigw_store_open(&store, directory, &kind) == 0, "opened");
    check(ngx_apigw_store_open(&again, directory, &kind) == 0
          && again == store, "opened again, the same store");
    check(ngx_apigw_store_open(&again, directory, &other_kind)
          == NGX_APIGW_STORE_EFORMAT, "not as a store of another kind");
    check(ngx_apigw_store_read(store, &txn) == NGX_APIGW_STORE_EEMPTY,
          "empty at first");

    range[0] = 0;
    range[1] = 10;

    check(ngx_apigw_store_write(store, put_and_fail, range) == ECANCELED
          && ngx_apigw_store_read(store, &txn) == NGX_APIGW_STORE_EEMPTY,
          "a failed first write leaves it empty");
    check(ngx_apigw_store_write(store, put_and_look, range) == 0
          && seen(store) == 10, "ten keys written and read");

    range[1] = 20;
    version = ngx_apigw_store_version(store);

    check(ngx_apigw_store_write(store, put_and_fail, range) == ECANCELED
          && seen(store) == 10, "a failed write changes nothing");
    check(ngx_apigw_store_version(store) == version, "nor the version");

    check(ngx_apigw_store_read(store, &txn) == 0
          && ngx_apigw_store_write(store, put, range) == EBUSY,
          "no write while reading");
    ngx_apigw_store_read_end(store);

    check(in_child(child_grows) == 0, "another process grows the map");
    check(ngx_apigw_store_version(store) > version, "which has a new version");
    check(seen(store) == 1000, "and the reader follows");

    check(in_child(child_dies_writing) == -SIGKILL && seen(store) == 1000,
          "a writer killed in a transaction leaves nothing");

    range[0] = 1000;
    range[1] = 2000;

    check(ngx_apigw_store_write(store, put, range) == 0
          && seen(store) == 2000, "nor a lock, and this map grows as well");

    check(in_child(child_dies_reading) == -SIGKILL
          && ngx_apigw_store_check_readers(store) == 1
          && ngx_apigw_store_check_readers(store) == 0,
          "the slot of a killed reader is freed");

    ngx_apigw_store_close(store);
    check(seen(store) == 2000, "closed once of two times, still open");
    ngx_apigw_store_close(store);

    check(ngx_apigw_store_open(&again, directory, &other_kind)
          == NGX_APIGW_STORE_EFORMAT, "the kind is kept in the file");

    check(SANITIZED || in_child(child_has_no_room) == 0,
          "no address space");
    check(ngx_apigw_store_open(&store, directory, &kind) == 0
          && seen(store) == 2000, "nothing is lost by that");
    ngx_apigw_store_close(store);

    check_root();
    check_damage();
    check_files();

    snprintf(name, sizeof(name), "%s/data.mdb", directory);
    (void) unlink(name);
    snprintf(name, sizeof(name), "%s/lock.mdb", directory);
    (void) unlink(name);

    check_replaced();
    check_crowd();
    check_full();

    snprintf(name, sizeof(name), "%s/data.mdb", directory);
    (void) unlink(name);
    snprintf(name, sizeof(name), "%s/lock.mdb", directory);
    (void) unlink(name);
    (void) rmdir(directory);

    printf("1..%u\n", count);

    return 0;
}
