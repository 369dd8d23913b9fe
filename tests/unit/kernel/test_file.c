#include "fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "kernel/file.h"

static void test_open(void **state)
{
    const struct fixture *f = *state;
    int fd;

    fixture_write(f, "d/file", "x");
    fd = file_open_dir(f->fd, "d");
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
    fd = file_open_read(f->fd, "d/file");
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);

    assert_int_equal(file_open_dir(f->fd, "d/file"), -ENOTDIR);
    assert_int_equal(file_open_dir(f->fd, "none"), -ENOENT);
    assert_int_equal(file_open_read(f->fd, "none"), -ENOENT);
    assert_int_equal(file_open_read(-1, "none"), -EBADF);
    assert_true(file_exists_at(f->fd, "d/file"));
    assert_true(file_exists_at(f->fd, "d"));
    assert_false(file_exists_at(f->fd, "none"));
}

static void test_pread_sizes(void **state)
{
    const struct fixture *f = *state;
    char buf[16];
    int fd;

    fixture_write(f, "file", "12345");
    fixture_write(f, "empty", "");
    fd = file_open_read(f->fd, "file");
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3); /* the position plays no part */

    for (size_t size = 1; size <= 5; size++) {
        buf[size] = 'Z';
        assert_int_equal(file_pread(fd, buf, size), -EFBIG);
        assert_int_equal(buf[size], 'Z');
    }
    memset(buf, 'Z', sizeof(buf));
    assert_int_equal(file_pread(fd, buf, 6), 5);
    assert_string_equal(buf, "12345");
    assert_int_equal(buf[6], 'Z');
    assert_int_equal(file_pread(fd, buf, sizeof(buf)), 5);
    assert_int_equal(file_pread(fd, buf, 0), -EINVAL);
    (void)close(fd);

    assert_int_equal(file_read_at(f->fd, "empty", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(file_read_at(f->fd, "empty", buf, 1), -ENODATA);
    assert_int_equal(file_read_at(f->fd, "none", buf, sizeof(buf)), -ENOENT);
    assert_int_equal(file_read_at(f->fd, ".", buf, sizeof(buf)), -EISDIR);
    assert_int_equal(file_pread(-1, buf, sizeof(buf)), -EBADF);
}

/* /proc/self/maps answers at most a page per call: only a loop gets all of it. */
/* In one call: what fills the buffer may be cut, and is refused. */
static void test_record(void **state)
{
    const struct fixture *f = *state;
    char buf[16];
    int fd;

    fixture_write(f, "file", "12345");
    fixture_write(f, "empty", "");
    fd = file_open_read(f->fd, "file");
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    for (size_t size = 2; size <= 5; size++)
        assert_int_equal(file_pread_record(fd, buf, size), -EFBIG);
    memset(buf, 'Z', sizeof(buf));
    assert_int_equal(file_pread_record(fd, buf, 6), 5);
    assert_string_equal(buf, "12345");
    assert_int_equal(buf[6], 'Z');
    assert_int_equal(file_pread_record(fd, buf, 1), -EINVAL);
    assert_int_equal(file_pread_record(fd, buf, 0), -EINVAL);
    (void)close(fd);
    assert_int_equal(file_pread_record(-1, buf, sizeof(buf)), -EBADF);
    assert_int_equal(file_read_record_at(f->fd, "empty", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(file_read_record_at(f->fd, "none", buf, sizeof(buf)), -ENOENT);
    assert_int_equal(file_read_record_at(f->fd, "file", buf, sizeof(buf)), 5);
}

static void test_pread_short_reads(void **state _unused_)
{
    enum { PAGES = 200, SIZE = 1 << 20 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *area = mmap(NULL, PAGES * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *buf = malloc(SIZE), *once = malloc(SIZE);
    size_t lines = 0;
    ssize_t n;
    int fd;

    assert_ptr_not_equal(area, MAP_FAILED);
    for (size_t i = 0; i < PAGES; i += 2)
        assert_int_equal(mprotect(area + i * page, page, PROT_READ), 0);

    fd = file_open_read(AT_FDCWD, "/proc/self/maps");
    assert_true(fd >= 0);
    n = file_pread(fd, buf, SIZE);
    assert_true(n > 0);
    for (const char *at = buf; (at = strchr(at, '\n')); at++)
        lines++;
    assert_true(lines >= PAGES);
    assert_true(pread(fd, once, SIZE - 1, 0) < n);

    (void)close(fd);
    free(buf);
    free(once);
    (void)munmap(area, PAGES * page);
}

/* A descriptor whose object is gone answers with an error, as one of a removed cgroup does with ENODEV. */
static void test_pread_of_what_is_gone(void **state _unused_)
{
    char path[64], buf[4096];
    pid_t child = fork();
    int fd;

    if (child == 0)
        for (;;)
            (void)pause();
    assert_true(child > 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
    fd = file_open_read(AT_FDCWD, path);
    assert_true(fd >= 0);
    assert_true(file_pread(fd, buf, sizeof(buf)) > 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(file_pread(fd, buf, sizeof(buf)), -ESRCH);
    (void)close(fd);
}

static void test_write(void **state)
{
    const struct fixture *f = *state;
    char buf[64];
    uint64_t value;

    fixture_write(f, "high", "18446744073709551615\n");
    assert_int_equal(file_write_at(f->fd, "high", "12"), 0);
    assert_int_equal(fixture_read(f->fd, "high", buf, sizeof(buf)), 2); /* nothing of the old value */
    assert_string_equal(buf, "12");
    assert_int_equal(file_write_u64_at(f->fd, "high", UINT64_MAX), 0);
    fixture_read(f->fd, "high", buf, sizeof(buf));
    assert_string_equal(buf, "max");
    assert_int_equal(file_write_u64_at(f->fd, "high", UINT64_MAX - 1), 0);
    assert_int_equal(file_read_u64_at(f->fd, "high", &value), 0);
    assert_true(value == UINT64_MAX - 1);
    assert_int_equal(file_write_u64_at(f->fd, "high", 0), 0);

    assert_int_equal(file_write_at(f->fd, "none", "1"), -ENOENT);
    assert_false(file_exists_at(f->fd, "none")); /* never created */
    assert_int_equal(file_write_at(f->fd, ".", "1"), -EISDIR);
    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(file_write_at(AT_FDCWD, "/dev/full", "1"), -ENOSPC);
}

/* In a child, because the limit on file sizes is the process's. */
static void test_short_write(void **state)
{
    const struct fixture *f = *state;
    pid_t child;
    int status;

    fixture_write(f, "high", "");
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit four = {4, 4};

        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &four) < 0)
            _exit(2);
        _exit(file_write_at(f->fd, "high", "123456") == -EIO ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal _unused_)
{
    alarms++;
}

/* Signals that interrupt system calls, from now on every `usec`; 0 stops them. */
static void interrupt_every(long usec)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval timer = {{0, usec}, {0, usec}};

    alarms = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void test_write_is_interrupted(void **state)
{
    const struct fixture *f = *state;
    static const char block[4096];
    int r, fifo;

    assert_int_equal(mkfifoat(f->fd, "fifo", 0600), 0);
    fifo = openat(f->fd, "fifo", O_RDWR | O_NONBLOCK);
    assert_true(fifo >= 0);
    while (write(fifo, block, sizeof(block)) > 0 || write(fifo, block, 1) > 0)
        ;

    interrupt_every(20000);
    r = file_write_at(f->fd, "fifo", "blocks");
    interrupt_every(0);
    assert_int_equal(r, -EINTR);
    (void)close(fifo);
}

static void test_open_goes_on_after_signals(void **state)
{
    const struct fixture *f = *state;
    pid_t child;
    int fd;

    assert_int_equal(mkfifoat(f->fd, "fifo", 0600), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)usleep(100000);
        _exit(openat(f->fd, "fifo", O_WRONLY) < 0);
    }
    interrupt_every(10000);
    fd = file_open_read(f->fd, "fifo"); /* blocks until there is a writer */
    interrupt_every(0);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_u64_files(void **state)
{
    static const struct {
        const char *content;
        int r;
        uint64_t value;
    } table[] = {
        {"0\n", 0, 0},
        {"12", 0, 12},
        {"18446744073709551615\n", 0, UINT64_MAX},
        {"max\n", 0, UINT64_MAX},
        {"max", 0, UINT64_MAX},
        {"18446744073709551616\n", -EBADMSG, 0},
        {"-1\n", -EBADMSG, 0},
        {"\n", -EBADMSG, 0},
        {"12\r\n", -EBADMSG, 0},
        {"12\n13\n", -EBADMSG, 0},
        {"12\n\n", -EBADMSG, 0},
        {" 12\n", -EBADMSG, 0},
        {"12 13\n", -EBADMSG, 0},
        {"max 100000\n", -EBADMSG, 0},
        {"maxi\n", -EBADMSG, 0},
        {"00000000000000000000000000000000000000001\n", -EBADMSG, 0},
        {"", -ENODATA, 0},
    };
    const struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        uint64_t value = 77;

        fixture_write(f, "file", table[i].content);
        assert_int_equal(file_read_u64_at(f->fd, "file", &value), table[i].r);
        assert_true(value == (table[i].r == 0 ? table[i].value : 77));
    }
    fixture_write_bytes(f, "file", "1\0\n", 3);
    assert_int_equal(file_read_u64_at(f->fd, "file", &(uint64_t){0}), -EBADMSG);
    assert_int_equal(file_read_u64_at(f->fd, "none", &(uint64_t){0}), -ENOENT);
}

struct entries {
    const struct fixture *f;
    unsigned count, wrong;
    int stop_after, stop_with;
    bool remove_others;
    bool seen[512];
};

static int on_entry(void *user, const char *name, unsigned char type, uint64_t inode)
{
    struct entries *e = user;
    char path[64];
    struct stat st;
    unsigned n;

    if (sscanf(name, "entry-%u", &n) != 1 || n >= ARRAY_SIZE(e->seen) || e->seen[n]) {
        e->wrong++;
        return 0;
    }
    e->seen[n] = true;
    e->count++;
    if (e->remove_others)
        for (unsigned i = 0; i < ARRAY_SIZE(e->seen); i++) {
            (void)snprintf(path, sizeof(path), "dir/entry-%u", i);
            (void)unlinkat(e->f->fd, path, 0);
        }
    (void)snprintf(path, sizeof(path), "dir/%s", name);
    if (fstatat(e->f->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (st.st_ino != inode || (type != DT_UNKNOWN && type != (S_ISDIR(st.st_mode) ? DT_DIR : DT_REG))))
        e->wrong++;
    return e->stop_after && e->count == (unsigned)e->stop_after ? e->stop_with : 0;
}

static int fill_directory(const struct fixture *f)
{
    char path[64];

    for (unsigned i = 0; i < 512; i++) {
        (void)snprintf(path, sizeof(path), "dir/entry-%u", i);
        if (i == 7)
            fixture_mkdir(f, path);
        else
            fixture_write(f, path, "");
    }
    return file_open_dir(f->fd, "dir");
}

static void test_entries(void **state)
{
    struct entries all = {.f = *state}, again = {.f = *state};
    struct entries stop = {.f = *state, .stop_after = 3, .stop_with = 42};
    struct entries fault = {.f = *state, .stop_after = 1, .stop_with = -EXDEV};
    int fd = fill_directory(*state);

    assert_int_equal(file_each_entry(fd, on_entry, &all), 0);
    assert_int_equal(all.count, 512);
    assert_int_equal(all.wrong, 0); /* no "." and "..", and inodes and types as stat has them */
    assert_int_equal(file_each_entry(fd, on_entry, &stop), 42);
    assert_int_equal(stop.count, 3);
    assert_int_equal(file_each_entry(fd, on_entry, &fault), -EXDEV);
    assert_int_equal(file_each_entry(fd, on_entry, &again), 0); /* rewinds */
    assert_int_equal(again.count, 512);
    (void)close(fd);
}

static void test_entries_vanish(void **state)
{
    struct entries e = {.f = *state, .remove_others = true};
    int fd = fill_directory(*state);

    assert_int_equal(file_each_entry(fd, on_entry, &e), 0);
    assert_true(e.count >= 1);
    assert_int_equal(e.wrong, 0);
    (void)close(fd);
}

static void test_directory_is_gone(void **state)
{
    const struct fixture *f = *state;
    struct entries e = {.f = f};
    int fd, r;

    fixture_mkdir(f, "dir");
    fd = file_open_dir(f->fd, "dir");
    assert_int_equal(unlinkat(f->fd, "dir", AT_REMOVEDIR), 0);
    r = file_each_entry(fd, on_entry, &e);
    assert_true(r == 0 || r == -ENOENT); /* file systems differ */
    assert_int_equal(e.count, 0);
    assert_int_equal(file_open_read(fd, "cgroup.procs"), -ENOENT);
    assert_int_equal(file_write_at(fd, "cgroup.kill", "1"), -ENOENT);
    (void)close(fd);

    fixture_write(f, "file", "");
    fd = file_open_read(f->fd, "file");
    assert_int_equal(file_each_entry(fd, on_entry, &e), -ENOTDIR);
    (void)close(fd);
}

struct lines {
    size_t count, bytes, longest;
    int stop_after;
    char last[32];
};

static int on_line(void *user, struct text line)
{
    struct lines *l = user;

    l->count++;
    l->bytes += line.length;
    if (line.length > l->longest)
        l->longest = line.length;
    if (text_copy(line, l->last, sizeof(l->last)) < 0)
        l->last[0] = '\0';
    return l->stop_after && l->count == (size_t)l->stop_after ? 5 : 0;
}

static struct lines walk_lines(const struct fixture *f, const char *data, size_t length, int stop_after)
{
    struct lines l = {.stop_after = stop_after};
    int fd;

    fixture_write_bytes(f, "lines", data, length);
    fd = file_open_read(f->fd, "lines");
    assert_int_equal(file_each_line(fd, on_line, &l), stop_after ? 5 : 0);
    (void)close(fd);
    return l;
}

static void test_lines(void **state)
{
    const struct fixture *f = *state;
    enum { SIZE = 5 * FILE_BUFFER_SIZE };
    char *data = malloc(SIZE);
    struct lines l;
    size_t length = 0;

    l = walk_lines(f, "", 0, 0);
    assert_int_equal(l.count, 0);
    l = walk_lines(f, "a\n\nlast", 7, 0);
    assert_int_equal(l.count, 3);
    assert_string_equal(l.last, "last");
    l = walk_lines(f, "a\nb\nc\n", 6, 2);
    assert_int_equal(l.count, 2);

    /* Short lines over many buffers: none is lost or torn where two buffers meet. */
    for (unsigned i = 0; i < 4000; i++)
        length += (size_t)snprintf(data + length, SIZE - length, "%07u\n", i);
    l = walk_lines(f, data, length, 0);
    assert_int_equal(l.count, 4000);
    assert_int_equal(l.longest, 7);
    assert_int_equal(l.bytes, 4000 * 7);
    assert_string_equal(l.last, "0003999");
    free(data);
}

/* Around the size of the buffer: a line fits whole, or is not handed out at all, and its neighbours are. */
static void test_long_lines(void **state)
{
    static const size_t sizes[] = {FILE_BUFFER_SIZE - 2,     FILE_BUFFER_SIZE - 1,     FILE_BUFFER_SIZE,
                                   FILE_BUFFER_SIZE + 1,     2 * FILE_BUFFER_SIZE - 1, 2 * FILE_BUFFER_SIZE,
                                   2 * FILE_BUFFER_SIZE + 1, 3 * FILE_BUFFER_SIZE + 5};
    char *data = malloc(4 * FILE_BUFFER_SIZE);

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        bool fits = sizes[i] < FILE_BUFFER_SIZE;
        struct lines l;

        for (int newline = 0; newline < 2; newline++) { /* as the last one */
            memset(data, 'x', sizes[i]);
            data[sizes[i]] = '\n';
            l = walk_lines(*state, data, sizes[i] + (size_t)newline, 0);
            assert_int_equal(l.count, fits);
        }

        (void)memcpy(data, "first\n", 6);
        memset(data + 6, 'x', sizes[i]);
        (void)memcpy(data + 6 + sizes[i], "\nlast\n", 6);
        l = walk_lines(*state, data, sizes[i] + 12, 0);
        assert_int_equal(l.count, 2 + fits);
        assert_int_equal(l.longest, fits ? sizes[i] : 5);
        assert_string_equal(l.last, "last");
    }
    free(data);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_open),
        TEST(test_pread_sizes),
        TEST(test_record),
        TEST(test_pread_short_reads),
        TEST(test_pread_of_what_is_gone),
        TEST(test_write),
        TEST(test_short_write),
        TEST(test_write_is_interrupted),
        TEST(test_open_goes_on_after_signals),
        TEST(test_u64_files),
        TEST(test_entries),
        TEST(test_entries_vanish),
        TEST(test_directory_is_gone),
        TEST(test_lines),
        TEST(test_long_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
