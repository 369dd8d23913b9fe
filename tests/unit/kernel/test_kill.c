/* Only children that this test forked itself are ever signalled: the lists of pids are files that it writes.
 */
#include "fixture.h"

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel/kill.h"

/* Stands before the C library's, so that a test can do something at the moment when a pidfd is about to be
 * opened. */
static void (*before_pidfd_open)(void);

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6];
    va_list ap;

    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_start(ap, number);
    for (size_t i = 0; i < ARRAY_SIZE(a); i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_pidfd_open && before_pidfd_open)
        before_pidfd_open();
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static pid_t fork_sleeper(void)
{
    pid_t child = fork();

    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        for (;;)
            (void)pause();
    }
    assert_true(child > 0);
    return child;
}

static void assert_killed(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void assert_alive(pid_t child)
{
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
}

/* A kernel before 5.3, or a sandbox that lets pidfds not through. */
static bool no_pidfds(void)
{
    int fd = kill_pidfd_open(getpid());

    if (fd >= 0)
        (void)close(fd);
    return fd == -ENOSYS || fd == -EPERM;
}

static void test_kill_cgroup(void **state)
{
    const struct fixture *f = *state;
    char buf[8];

    assert_int_equal(kill_cgroup(f->fd), -ENOENT);
    fixture_write(f, "cgroup.kill", "");
    assert_int_equal(kill_cgroup(f->fd), 0);
    assert_int_equal(fixture_read(f->fd, "cgroup.kill", buf, sizeof(buf)), 1);
    assert_string_equal(buf, "1");
    assert_int_equal(kill_cgroup(-1), -EBADF);
}

static void test_kill_procs(void **state)
{
    const struct fixture *f = *state;
    pid_t listed = fork_sleeper(), other = fork_sleeper();
    char procs[64];

    if (no_pidfds()) {
        (void)kill(listed, SIGKILL);
        (void)kill(other, SIGKILL);
        skip();
    }
    /* Ourselves and what is gone (no kernel gives out a number that large) are passed over. */
    (void)snprintf(procs, sizeof(procs), "0\n%d\n%d\n%d\n", (int)getpid(), INT_MAX, (int)listed);
    fixture_write(f, "cgroup.procs", procs);
    assert_int_equal(kill_cgroup_procs(f->fd), 1);
    assert_killed(listed);
    (void)snprintf(procs, sizeof(procs), "%d\n", INT_MAX);
    fixture_write(f, "cgroup.procs", procs);
    assert_int_equal(kill_cgroup_procs(f->fd), 0); /* -ESRCH is no error */
    assert_alive(other);
    (void)kill(other, SIGKILL);
    assert_killed(other);
}

static void test_kill_procs_errors(void **state)
{
    const struct fixture *f = *state;

    assert_int_equal(kill_cgroup_procs(f->fd), -ENOENT);
    fixture_write(f, "cgroup.procs", "");
    assert_int_equal(kill_cgroup_procs(f->fd), 0);
    fixture_write(f, "cgroup.procs", "nonsense\n");
    assert_int_equal(kill_cgroup_procs(f->fd), -EBADMSG);
}

/* More than one batch. */
static void test_kill_many_procs(void **state)
{
    enum { COUNT = 150 };
    const struct fixture *f = *state;
    char procs[COUNT * 12];
    pid_t pids[COUNT];
    size_t n = 0;

    if (no_pidfds())
        skip();
    for (int i = 0; i < COUNT; i++) {
        pids[i] = fork_sleeper();
        n += (size_t)snprintf(procs + n, sizeof(procs) - n, "%d\n", (int)pids[i]);
    }
    fixture_write(f, "cgroup.procs", procs);
    assert_int_equal(kill_cgroup_procs(f->fd), COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_killed(pids[i]);
}

static const struct fixture *changing;

static void empty_the_list(void)
{
    fixture_write(changing, "cgroup.procs", "");
}

/* Who has left the group between the reading of the list and the opening of the pidfd (and whose number may
 * be somebody else's by now) is left alone. */
static void test_kill_procs_reads_the_list_again(void **state)
{
    const struct fixture *f = *state;
    pid_t child = fork_sleeper();
    char procs[32];
    int r;

    (void)snprintf(procs, sizeof(procs), "%d\n", (int)child);
    fixture_write(f, "cgroup.procs", procs);
    changing = f;
    before_pidfd_open = empty_the_list;
    r = kill_cgroup_procs(f->fd);
    before_pidfd_open = NULL;
    assert_alive(child);
    (void)kill(child, SIGKILL);
    assert_killed(child);
    if (no_pidfds())
        skip();
    assert_int_equal(r, 0);
}

static void test_pidfd(void **state _unused_)
{
    pid_t child = fork_sleeper();
    int fd = kill_pidfd_open(child);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd == -ENOSYS || fd == -EPERM) {
        (void)kill(child, SIGKILL);
        assert_killed(child);
        skip();
    }
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(kill_pidfd_signal(fd, 0), 0);
    assert_int_equal(kill_pidfd_signal(fd, 9999), -EINVAL);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(kill_pidfd_signal(fd, SIGKILL), 0);
    assert_int_equal(poll(&p, 1, 10000), 1); /* readable once it is a zombie */
    assert_killed(child);
    assert_int_equal(kill_pidfd_signal(fd, SIGKILL), -ESRCH);
    (void)close(fd);
    assert_int_equal(kill_pidfd_open(child), -ESRCH);
    assert_int_equal(kill_pidfd_open(-1), -EINVAL);
    assert_int_equal(kill_pidfd_signal(-1, SIGKILL), -EBADF);
}

static void test_mrelease(void **state _unused_)
{
    pid_t child = fork_sleeper();
    int fd = kill_pidfd_open(child), r, status;

    if (fd == -ENOSYS || fd == -EPERM) {
        (void)kill(child, SIGKILL);
        assert_killed(child);
        skip();
    }
    assert_true(fd >= 0);
    r = kill_mrelease(fd);
    assert_true(r == -EINVAL || r == -ENOSYS || r == -EPERM); /* it is not dying */
    assert_int_equal(kill_pidfd_signal(fd, SIGKILL), 0);
    r = kill_mrelease(fd);
    assert_true(r == 0 || r == -ESRCH || r == -EAGAIN || r == -ENOSYS || r == -EPERM || r == -EINVAL);
    assert_int_equal(waitpid(child, &status, 0), child);
    r = kill_mrelease(fd);
    assert_true(r == -ESRCH || r == -ENOSYS || r == -EPERM);
    (void)close(fd);
    assert_true(kill_mrelease(-1) < 0);
}

/* A child with memory of its own, so that there is something to take. */
static void test_mrelease_takes_memory(void **state _unused_)
{
    enum { SIZE = 32 << 20 };
    int ready[2], fd, r;
    pid_t child;
    char byte;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        char *area;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        memset(area, 1, SIZE);
        (void)!write(ready[1], "", 1);
        for (;;)
            (void)pause();
    }
    assert_true(child > 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    fd = kill_pidfd_open(child);
    if (fd >= 0) {
        assert_int_equal(kill_pidfd_signal(fd, SIGKILL), 0);
        r = kill_mrelease(fd);
        assert_true(r == 0 || r == -ESRCH || r == -EAGAIN || r == -ENOSYS || r == -EPERM || r == -EINVAL);
        (void)close(fd);
    } else {
        (void)kill(child, SIGKILL);
    }
    assert_killed(child);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_kill_cgroup),
        TEST(test_kill_procs),
        TEST(test_kill_procs_errors),
        TEST(test_kill_many_procs),
        TEST(test_kill_procs_reads_the_list_again),
        cmocka_unit_test(test_pidfd),
        cmocka_unit_test(test_mrelease),
        cmocka_unit_test(test_mrelease_takes_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
