#include "fixture.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/units.h"
#include "kernel/process.h"

static int parse_stat(const char *buf, size_t length, void *ret)
{
    return process_stat_parse(buf, length, ret);
}

static int parse_memory(const char *buf, size_t length, void *ret)
{
    return process_memory_parse(buf, length, ret);
}

/* Fields 4 to 25. */
#define FIELDS                                                                                               \
    "1 5976 5944 0 -1 4194304 10542 0 0 0 14 40 0 0 20 -5 3 0 192 45105152 10795 18446744073709551615\n"

static void test_stat(void **state _unused_)
{
    uint64_t tick = USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
    static const char line[] = "155 (tail) S " FIELDS;
    struct process_stat s;

    assert_int_equal(process_stat_parse(line, strlen(line), &s), 0);
    assert_int_equal(s.pid, 155);
    assert_string_equal(s.comm, "tail");
    assert_int_equal(s.state, 'S');
    assert_int_equal(s.ppid, 1);
    assert_int_equal(s.session, 5944);
    assert_int_equal(s.cpu_usec, 54 * tick);
    assert_int_equal(s.start_usec, 192 * tick);
    assert_int_equal(s.threads, 3);
    assert_false(s.kernel_thread);
}

#define LONGEST "0123456789012345678901234567890123456789012345678901234567890123"

static void test_stat_table(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        const char *comm;
    } table[] = {
        {"7 (a b) R " FIELDS, 0, "a b"},
        {"7 () R " FIELDS, 0, ""},
        {"7 (a) R) R " FIELDS, 0, "a) R"},
        {"7 (x) S 1 1 1 (y) R " FIELDS, 0, "x) S 1 1 1 (y"}, /* a name that forges fields */
        {"7 (a\nb) R " FIELDS, 0, "a\nb"},
        {"7 ((sd-pam)) S " FIELDS, 0, "(sd-pam)"},
        {"7 (kworker/u16:0+events_unbound_and_a_long_name) I " FIELDS, 0,
         "kworker/u16:0+events_unbound_and_a_long_name"},
        {"7 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19", 0,
         "a"}, /* the last wanted field is the last */
        {"7 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n", 0, "a"},
        {"7 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n", -EBADMSG, NULL},
        {"7 (" LONGEST ") R " FIELDS, -EBADMSG, NULL},
        {"7 a R " FIELDS, -EBADMSG, NULL},
        {"7 (a R " FIELDS, -EBADMSG, NULL},
        {"7 )a( R " FIELDS, -EBADMSG, NULL},
        {"(a) R " FIELDS, -EBADMSG, NULL},
        {"-7 (a) R " FIELDS, -EBADMSG, NULL},
        {"2147483648 (a) R " FIELDS, -EBADMSG, NULL},
        {"18446744073709551623 (a) R " FIELDS, -EBADMSG, NULL}, /* 2^64 + 7 */
        {"7 (a) RS " FIELDS, -EBADMSG, NULL},
        {"7 (a)", -EBADMSG, NULL},
        {"7 (a) R -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n", -EBADMSG, NULL},
        {"7 (a) R 1 2 3 4 5 6 7 8 9 10 99999999999999999999 12 13 14 15 16 17 18 19\n", -EBADMSG, NULL},
        {"7 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 4294967297 18 19\n", -EBADMSG, NULL},
        {"", -EBADMSG, NULL},
        {"7", -EBADMSG, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct process_stat s;
        int r = process_stat_parse(table[i].in, strlen(table[i].in), &s);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        if (r == 0) {
            assert_string_equal(s.comm, table[i].comm);
            assert_int_equal(s.pid, 7);
            assert_int_equal(s.ppid, 1);
        }
    }
}

static void test_stat_largest(void **state _unused_)
{
    static const char line[] =
        "2147483647 (a) R 0 0 0 0 -1 18446744073709551615 0 0 0 0 18446744073709551615 "
        "18446744073709551615 0 0 20 0 1 0 18446744073709551615 0\n";
    struct process_stat s;

    assert_int_equal(process_stat_parse(line, strlen(line), &s), 0);
    assert_int_equal(s.pid, INT_MAX);
    assert_true(s.cpu_usec == UINT64_MAX); /* capped, not wrapped */
    assert_true(s.start_usec == UINT64_MAX);
    assert_true(s.kernel_thread);
}

static void test_memory(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        struct process_memory memory;
    } table[] = {
        {"Name:\tcat\nVmRSS:\t 9 kB\nRssAnon:\t     112 kB\nRssFile:\t 7 kB\nRssShmem:\t 2 kB\nVmSwap:\t 3 "
         "kB\n",
         0,
         {112 * KIB, 2 * KIB, 3 * KIB}},
        {"Name:\tkthreadd\nState:\tS (sleeping)\n", 0, {0}},
        {"Name:\tRssAnon:\nRssAnon: 5 kB", 0, {5 * KIB, 0, 0}},
        {"RssAnon: 5 kB\nRssAnon: 6 kB\n", 0, {5 * KIB, 0, 0}},
        {"RssAnonHuge: 5 kB\nVmSwapped: 6\n", 0, {0}},
        {"", 0, {0}},
        {"VmSwap: 18014398509481983 kB\n", 0, {0, 0, UINT64_MAX - 1023}},
        {"VmSwap: 18014398509481984 kB\n", -EBADMSG, {0}},
        {"VmSwap: -1 kB\n", -EBADMSG, {0}},
        {"VmSwap: 5\n", -EBADMSG, {0}},
        {"VmSwap: 5 kB\r\n", -EBADMSG, {0}},
        {"VmSwap:\n", -EBADMSG, {0}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct process_memory m;
        int r = process_memory_parse(table[i].in, strlen(table[i].in), &m);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        if (r == 0)
            assert_memory_equal(&m, &table[i].memory, sizeof(m));
    }
}

static void test_hostile(void **state _unused_)
{
    hostile_all(parse_stat, "155 (ta) il) S " FIELDS, -EBADMSG);
    hostile_all(parse_memory, "RssAnon:\t  112 kB\nRssShmem:\t 2 kB\nVmSwap:\t 3 kB\n", -EBADMSG);
}

struct seen {
    unsigned count;
    bool found;
    pid_t wanted;
    int stop_with;
};

static int on_process(void *user, pid_t pid)
{
    struct seen *s = user;

    s->count++;
    s->found |= pid == s->wanted;
    return s->stop_with;
}

static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int root = recorded_open(trees[i], "");
        struct process_memory memory;
        struct process_stat s;
        struct seen seen = {.wanted = 2};

        assert_int_equal(process_read_stat(root, 1, &s), 0);
        assert_string_equal(s.comm, "init");
        assert_false(s.kernel_thread);
        assert_int_equal(process_read_memory(root, 1, &memory), 0);
        assert_true(memory.rss_anon > 0);
        assert_int_equal(process_read_stat(root, 2, &s), 0);
        assert_string_equal(s.comm, "kthreadd");
        assert_true(s.kernel_thread);
        assert_int_equal(process_read_memory(root, 2, &memory), 0);
        assert_int_equal(memory.rss_anon + memory.rss_shmem + memory.swap, 0);
        assert_int_equal(process_each(root, on_process, &seen), 0);
        assert_int_equal(seen.count, 4);
        assert_true(seen.found);
    }
}

static void test_each(void **state)
{
    const struct fixture *f = *state;
    struct seen seen = {.wanted = 123}, stop = {.stop_with = -EXDEV};

    assert_int_equal(process_each(f->fd, on_process, &seen), -ENOENT);
    fixture_mkdir(f, "proc/123");
    fixture_mkdir(f, "proc/123b");
    fixture_mkdir(f, "proc/self");
    fixture_mkdir(f, "proc/0");
    fixture_mkdir(f, "proc/0123");
    fixture_mkdir(f, "proc/-5");
    fixture_mkdir(f, "proc/2147483648");
    fixture_mkdir(f, "proc/18446744073709551739"); /* 2^64 + 123 */
    fixture_write(f, "proc/meminfo", "");
    assert_int_equal(process_each(f->fd, on_process, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_true(seen.found);
    assert_int_equal(process_each(f->fd, on_process, &stop), -EXDEV);
}

/* A member of very many groups has a line in its status that is longer than the buffer. */
static void test_memory_behind_a_long_line(void **state)
{
    const struct fixture *f = *state;
    char *in = malloc(1 << 20);
    struct process_memory m;
    size_t n;

    n = (size_t)sprintf(in, "Name:\tx\nGroups:\t");
    for (int i = 0; i < 65536; i++)
        n += (size_t)sprintf(in + n, "%d ", i);
    n += (size_t)sprintf(in + n, "\nRssAnon:\t 8 kB\nVmSwap:\t 4 kB\nThreads:\t1\n");
    fixture_write_bytes(f, "proc/7/status", in, n);
    free(in);
    assert_int_equal(process_read_memory(f->fd, 7, &m), 0);
    assert_int_equal(m.rss_anon, 8 * KIB);
    assert_int_equal(m.swap, 4 * KIB);

    fixture_write(f, "proc/7/status", "RssAnon:\t 8\n");
    assert_int_equal(process_read_memory(f->fd, 7, &m), -EBADMSG);
    assert_int_equal(m.rss_anon, 8 * KIB);
    assert_int_equal(process_read_memory(f->fd, 8, &m), -ENOENT);
    assert_int_equal(process_read_stat(f->fd, 8, &(struct process_stat){0}), -ENOENT);
}

static uint64_t boottime_usec(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
    return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

/* A child with an awkward name, as the kernel reports it. */
static void test_live(void **state _unused_)
{
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct process_memory memory;
    struct process_stat s;
    struct seen seen = {0};
    int ready[2], r;
    pid_t child;
    char byte;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_NAME, "a) R 1 (b");
        (void)!write(ready[1], "", 1);
        for (;;)
            (void)pause();
    }
    assert_true(child > 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);

    assert_int_equal(process_read_stat(root, child, &s), 0);
    assert_string_equal(s.comm, "a) R 1 (b");
    assert_int_equal(s.pid, child);
    assert_int_equal(s.ppid, getpid());
    assert_int_equal(s.session, getsid(0));
    assert_int_equal(s.threads, 1);
    assert_false(s.kernel_thread);
    assert_true(s.cpu_usec < 10 * USEC_PER_SEC);
    if (s.start_usec > 0) /* time namespaces and sandboxes may shift it */
        assert_true(s.start_usec < boottime_usec() + 100 * USEC_PER_SEC);
    assert_int_equal(process_read_memory(root, child, &memory), 0);
    seen.wanted = child;
    assert_int_equal(process_each(root, on_process, &seen), 0);
    assert_true(seen.found);

    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    r = process_read_stat(root, child, &s);
    assert_true(r == -ENOENT || r == -ESRCH);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat),
        cmocka_unit_test(test_stat_table),
        cmocka_unit_test(test_stat_largest),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_recorded),
        TEST(test_each),
        TEST(test_memory_behind_a_long_line),
        cmocka_unit_test(test_live),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
