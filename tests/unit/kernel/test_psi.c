#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include <linux/capability.h>

#include "base/units.h"
#include "kernel/psi.h"

static int parse(const char *buf, size_t length, void *ret)
{
    return psi_parse(buf, length, ret);
}

#define SOME "some avg10=1.23 avg60=4.56 avg300=7.89 total=1234567\n"
#define FULL "full avg10=0.01 avg60=0.10 avg300=100.00 total=18446744073709551615\n"

static void test_values(void **state _unused_)
{
    struct psi p;

    assert_int_equal(psi_parse(SOME FULL, strlen(SOME FULL), &p), 0);
    assert_int_equal(p.some.avg10_permyriad, 123);
    assert_int_equal(p.some.avg60_permyriad, 456);
    assert_int_equal(p.some.avg300_permyriad, 789);
    assert_int_equal(p.some.total_usec, 1234567);
    assert_true(p.has_full);
    assert_int_equal(p.full.avg10_permyriad, 1);
    assert_int_equal(p.full.avg60_permyriad, 10);
    assert_int_equal(p.full.avg300_permyriad, 10000);
    assert_true(p.full.total_usec == UINT64_MAX);
}

static void test_table(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        bool has_full;
        uint64_t some_total;
    } table[] = {
        {SOME, 0, false, 1234567}, /* cpu.pressure before 5.13 */
        {FULL SOME, 0, true, 1234567},
        {"some avg10=0.00 total=5", 0, false, 5}, /* no final newline */
        {"some total=5 new=x avg10=0.00 avg60=9 odd\n", 0, false, 5},
        {"some avg10=0.00 total=5 total=6 avg10=x\n", 0, false, 5},
        {SOME "some avg10=0.00 total=7\n", 0, false, 1234567},
        {SOME "some nonsense\n", 0, false, 1234567},
        {"\nsomeone avg10=9 total=9\nirq x\n" SOME "fuller total=1\n", 0, false, 1234567},
        {"some avg10=0.00 total=0\nfull avg10=0.00 total=0\n", 0, true, 0},
        {"", -EBADMSG, false, 0},
        {FULL, -EBADMSG, false, 0}, /* irq.pressure */
        {"some\n", -EBADMSG, false, 0},
        {"some avg10=0.00\n", -EBADMSG, false, 0},
        {"some total=5\n", -EBADMSG, false, 0},
        {"some avg10=0.00 total=\n", -EBADMSG, false, 0},
        {"some avg10=0.00 total=-5\n", -EBADMSG, false, 0},
        {"some avg10=0.00 total=18446744073709551616\n", -EBADMSG, false, 0},
        {"some avg10=-0.01 total=5\n", -EBADMSG, false, 0},
        {"some avg10=nan total=5\n", -EBADMSG, false, 0},
        {"some avg10=0.00 avg60=x total=5\n", -EBADMSG, false, 0},
        {"some avg10=0.00 avg300= total=5\n", -EBADMSG, false, 0},
        {"some avg10=0.00 total=5\r\n", -EBADMSG, false, 0},
        {"some avg100=0.00 totals=5\n", -EBADMSG, false, 0},
        {SOME "full avg10=0.00\n", -EBADMSG, false, 0}, /* cut: never read as "no stall at all" */
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct psi p;
        int r = psi_parse(table[i].in, strlen(table[i].in), &p);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        if (r < 0)
            continue;
        assert_int_equal(p.has_full, table[i].has_full);
        assert_true(p.some.total_usec == table[i].some_total);
    }
}

static void test_hostile(void **state _unused_)
{
    static const char binary[] = "some avg10=0.00 total=5\0\n";

    hostile_all(parse, SOME FULL, -EBADMSG);
    assert_int_equal(hostile_one(parse, binary, sizeof(binary) - 1, -EBADMSG), -EBADMSG);
}

static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int root = recorded_open(trees[i], "");
        struct psi host, slice, idle;

        assert_int_equal(psi_read_at(root, "proc/pressure/memory", &host), 0);
        assert_int_equal(psi_read_at(root, "sys/fs/cgroup/workload.slice/memory.pressure", &slice), 0);
        assert_int_equal(psi_read_at(root, "sys/fs/cgroup/system.slice/memory.pressure", &idle), 0);
        assert_true(host.has_full && slice.has_full);
        assert_true(slice.some.total_usec > USEC_PER_SEC);
        assert_true(slice.full.total_usec <= slice.some.total_usec);
        assert_in_range(slice.some.avg10_permyriad, 1, 10000);
        assert_int_equal(idle.some.total_usec, 0);
    }
}

static void test_files(void **state)
{
    const struct fixture *f = *state;
    struct psi p;
    int fd;

    assert_int_equal(psi_read_at(f->fd, "memory.pressure", &p), -ENOENT);
    fixture_write(f, "memory.pressure", "");
    assert_int_equal(psi_read_at(f->fd, "memory.pressure", &p), -ENODATA);
    fixture_write(f, "memory.pressure", SOME);
    fd = openat(f->fd, "memory.pressure", O_RDONLY | O_CLOEXEC);
    assert_int_equal(psi_pread(fd, &p), 0);
    assert_int_equal(psi_pread(fd, &p), 0);
    (void)close(fd);
}

static void test_trigger_check(void **state _unused_)
{
    static const struct {
        uint64_t stall_usec, window_usec;
        enum psi_trigger_fault fault;
    } table[] = {
        {150000, 1000000, PSI_TRIGGER_OK},
        {1, 50000, PSI_TRIGGER_OK},
        {50000, 50000, PSI_TRIGGER_OK},
        {200000, 2000000, PSI_TRIGGER_OK},
        {1000000, 2000000, PSI_TRIGGER_OK},
        {2000000, 2000000, PSI_TRIGGER_OK},
        {400000, 4000000, PSI_TRIGGER_OK},
        {600000, 6000000, PSI_TRIGGER_OK},
        {800000, 8000000, PSI_TRIGGER_OK},
        {1, 10000000, PSI_TRIGGER_OK},
        {10000000, 10000000, PSI_TRIGGER_OK},
        {300000, 3000000, PSI_TRIGGER_OK}, /* no multiple of 2 s: fine for those who may */
        {0, 2000000, PSI_TRIGGER_STALL_ZERO},
        {0, 0, PSI_TRIGGER_STALL_ZERO},
        {2000001, 2000000, PSI_TRIGGER_STALL_OVER},
        {1, 0, PSI_TRIGGER_STALL_OVER},
        {UINT64_MAX, 2000000, PSI_TRIGGER_STALL_OVER},
        {1, 49999, PSI_TRIGGER_WINDOW_SHORT},
        {1, 1, PSI_TRIGGER_WINDOW_SHORT},
        {1, 10000001, PSI_TRIGGER_WINDOW_LONG},
        {1000000, 12000000, PSI_TRIGGER_WINDOW_LONG},
        {UINT64_MAX, UINT64_MAX, PSI_TRIGGER_WINDOW_LONG},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        for (int full = 0; full < 2; full++) {
            const struct psi_trigger_config c = {full, table[i].stall_usec, table[i].window_usec};

            assert_int_equal(psi_trigger_check(&c), table[i].fault);
        }
}

static void test_trigger_round_up(void **state _unused_)
{
    static const struct {
        uint64_t stall_usec, window_usec, to_stall_usec, to_window_usec;
    } table[] = {
        {150000, 1000000, 300000, 2000000},
        {1, 50000, 40, 2000000},
        {50000, 50000, 2000000, 2000000},
        {200, 2000000, 200, 2000000}, /* a multiple stays as it is */
        {1000000, 2000001, 1999999, 4000000},
        {300000, 3000000, 400000, 4000000},
        {900000, 9000000, 1000000, 10000000},
        {10000000, 10000000, 10000000, 10000000},
        {1200000, 12000000, 1000000, 10000000},
        {1, UINT64_MAX, 1, 10000000}, /* never 0, which would always fire */
        {UINT64_MAX, UINT64_MAX, 10000000, 10000000},
        {5, 0, 2000000, 2000000},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct psi_trigger_config c = {true, table[i].stall_usec, table[i].window_usec};
        struct psi_trigger_config to = psi_trigger_round_up(&c);

        assert_true(to.full);
        assert_int_equal(to.stall_usec, table[i].to_stall_usec);
        assert_int_equal(to.window_usec, table[i].to_window_usec);
    }

    /* Whatever is valid stays valid, is a multiple of 2 s, and keeps its ratio to within a microsecond in 2
     * s. */
    for (uint64_t window = 50000; window <= 10000000; window += 12347)
        for (uint64_t stall = 1; stall <= window; stall += 98765) {
            const struct psi_trigger_config c = {false, stall, window};
            struct psi_trigger_config to = psi_trigger_round_up(&c);

            assert_int_equal(psi_trigger_check(&to), PSI_TRIGGER_OK);
            assert_true(to.window_usec % 2000000 == 0 && to.window_usec >= window);
            assert_true(to.stall_usec * window <= stall * to.window_usec);
            assert_true((to.stall_usec + 1) * window > stall * to.window_usec);
        }
}

static void test_trigger_format(void **state _unused_)
{
    const struct psi_trigger_config some = {false, 150000, 1000000}, full = {true, 1000000, 2000000};
    const struct psi_trigger_config huge = {true, UINT64_MAX, UINT64_MAX};
    char buf[64] = "before";

    assert_int_equal(psi_trigger_format(&some, buf, 19), -ENAMETOOLONG);
    assert_int_equal(psi_trigger_format(&some, buf, 0), -ENAMETOOLONG);
    assert_string_equal(buf, "before");
    assert_int_equal(psi_trigger_format(&some, buf, 20), 0);
    assert_string_equal(buf, "some 150000 1000000");
    assert_int_equal(psi_trigger_format(&full, buf, sizeof(buf)), 0);
    assert_string_equal(buf, "full 1000000 2000000");
    assert_int_equal(psi_trigger_format(&huge, buf, sizeof(buf)), 0);
    assert_string_equal(buf, "full 18446744073709551615 18446744073709551615");
}

static void test_trigger_open_errors(void **state)
{
    const struct fixture *f = *state;
    const struct psi_trigger_config good = {false, 150000, 1000000};
    const struct psi_trigger_config bad[] = {
        {false, 0, 1000000}, {false, 2, 1}, {false, 1, 49999}, {true, 1, 10000001}};
    struct psi_trigger_config armed = {true, 7, 7};
    char buf[64];

    assert_int_equal(psi_trigger_open(f->fd, "memory.pressure", &good, &armed), -ENOENT);
    assert_int_equal(psi_trigger_open(-1, "memory.pressure", &good, &armed), -EBADF);
    assert_int_equal(psi_trigger_open(f->fd, ".", &good, &armed), -EISDIR);
    fixture_write(f, "memory.pressure", "");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(psi_trigger_open(f->fd, "memory.pressure", &bad[i], &armed), -EINVAL);
    assert_int_equal(fixture_read(f->fd, "memory.pressure", buf, sizeof(buf)), 0); /* no kernel was asked */
    assert_int_equal(armed.stall_usec, 7);
}

static void test_trigger_open_writes(void **state)
{
    const struct fixture *f = *state;
    const struct psi_trigger_config c = {false, 1000000, 2000000};
    struct psi_trigger_config armed;
    char buf[64];
    int fd;

    fixture_write(f, "memory.pressure", "");
    fd = psi_trigger_open(f->fd, "memory.pressure", &c, &armed);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_memory_equal(&armed, &c, sizeof(c));
    /* With its NUL, which /proc/pressure would otherwise write over the last digit. */
    assert_int_equal(fixture_read(f->fd, "memory.pressure", buf, sizeof(buf)),
                     sizeof("some 1000000 2000000"));
    assert_memory_equal(buf, "some 1000000 2000000", sizeof("some 1000000 2000000"));
    (void)close(fd);
}

static int run_in_child(int (*fn)(const struct fixture *f), const struct fixture *f)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        _exit(fn(f));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int write_short(const struct fixture *f)
{
    const struct psi_trigger_config c = {false, 150000, 1000000};
    const struct rlimit ten = {10, 10};
    struct psi_trigger_config armed;

    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &ten) < 0)
        return 2;
    return psi_trigger_open(f->fd, "memory.pressure", &c, &armed) == -EIO ? 0 : 1;
}

static void test_trigger_short_write(void **state)
{
    fixture_write(*state, "memory.pressure", "");
    assert_int_equal(run_in_child(write_short, *state), 0);
}

/* POLLPRI on the very descriptor that psi_trigger_open gives, without a stall: the multiplexer of
 * pseudo-terminals can be opened by name, takes the trigger as input, and in packet mode reports a flush of
 * its other side as POLLPRI. */
static void test_trigger_is_polled_for_priority(void **state _unused_)
{
    const struct psi_trigger_config c = {false, 150000, 1000000};
    struct psi_trigger_config armed;
    int dev = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC), on = 1, slave = -1;
    struct pollfd p = {.events = POLLPRI};

    p.fd = psi_trigger_open(dev, "ptmx", &c, &armed);
    (void)close(dev);
    if (p.fd < 0)
        skip();
    if (unlockpt(p.fd) < 0 || ioctl(p.fd, TIOCPKT, &on) < 0 ||
        (slave = ioctl(p.fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
        (void)close(p.fd);
        skip();
    }
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(tcflush(slave, TCIFLUSH), 0);
    assert_int_equal(poll(&p, 1, 1000), 1);
    assert_true(p.revents & POLLPRI);
    assert_false(p.revents & POLLERR);
    (void)close(slave);
    (void)close(p.fd);
}

/* Answers of kernels, sandboxes and privileges that cannot have triggers at all. */
static bool is_unavailable(int r)
{
    return r == -ENOENT || r == -EOPNOTSUPP || r == -EPERM || r == -EACCES || r == -EROFS;
}

/* This machine's own: armed, a trigger is quiet or reports POLLPRI; a pressure file without one is POLLERR at
 * once. */
static void test_trigger_live(void **state _unused_)
{
    const struct psi_trigger_config c = {false, 1000000, 2000000};
    struct psi_trigger_config armed;
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pollfd p = {.events = POLLPRI};

    p.fd = psi_trigger_open(root, "proc/pressure/memory", &c, &armed);
    (void)close(root);
    if (is_unavailable(p.fd))
        skip();
    assert_true(p.fd >= 0);
    assert_memory_equal(&armed, &c, sizeof(c));
    assert_true(poll(&p, 1, 10) >= 0);
    assert_false(p.revents & POLLERR);
    (void)close(p.fd);
}

/* Without CAP_SYS_RESOURCE: 150 ms in 1 s becomes 300 ms in 2 s. 0: so it was; 77: cannot be tried here. */
static int open_without_capability(const struct fixture *f _unused_)
{
    const struct psi_trigger_config c = {false, 150000, 1000000}, free_for_all = {false, 300000, 2000000};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    struct psi_trigger_config armed = {0};
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

    if (syscall(SYS_capget, &header, caps) < 0)
        return 77;
    for (int i = 0; i < 2; i++)
        caps[i].effective = caps[i].permitted = caps[i].inheritable = 0;
    if (syscall(SYS_capset, &header, caps) < 0)
        return 77;

    r = psi_trigger_open(root, "proc/pressure/memory", &free_for_all, &armed);
    if (r < 0)
        return 77; /* before 6.4 nobody without the capability has triggers, however long the window */
    (void)close(r);
    r = psi_trigger_open(root, "proc/pressure/memory", &c, &armed);
    if (r < 0)
        return 1;
    return armed.stall_usec == 300000 && armed.window_usec == 2000000 ? 0 : 2;
}

static void test_trigger_fallback(void **state)
{
    int r = run_in_child(open_without_capability, *state);

    if (r == 77)
        skip();
    assert_int_equal(r, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_recorded),
        TEST(test_files),
        cmocka_unit_test(test_trigger_check),
        cmocka_unit_test(test_trigger_round_up),
        cmocka_unit_test(test_trigger_format),
        TEST(test_trigger_open_errors),
        TEST(test_trigger_open_writes),
        TEST(test_trigger_short_write),
        cmocka_unit_test(test_trigger_is_polled_for_priority),
        cmocka_unit_test(test_trigger_live),
        TEST(test_trigger_fallback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
