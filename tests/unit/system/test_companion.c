#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/units.h"
#include "system/clock.h"
#include "system/companion.h"
#include "system/log.h"

#define BIG 100000

static char buffer[BIG + 1];

static int echo(int fd, void *user)
{
    ssize_t n;

    (void)user;
    while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        (void)send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
    return 0;
}

static int at_once(int fd, void *user)
{
    (void)fd;
    (void)user;
    return 7;
}

static int deaf(int fd, void *user)
{
    (void)fd;
    (void)user;
    for (;;)
        (void)pause();
    return 0;
}

static ssize_t wait_for(const struct companion *c, size_t size)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, 10000), 1);
    return companion_receive(c, buffer, size);
}

static void start(struct companion *c, companion_main_fn fn)
{
    assert_int_equal(companion_start(c, "test-companion", -1, fn, NULL), 0);
}

static void test_messages(void **state)
{
    struct companion c;
    pid_t pid;

    (void)state;
    start(&c, echo);
    pid = c.pid;
    assert_int_equal(companion_receive(&c, buffer, sizeof(buffer)), -EAGAIN);
    assert_int_equal(companion_send(&c, "one", 3), 0);
    assert_int_equal(companion_send(&c, "two!", 4), 0);
    assert_int_equal(wait_for(&c, sizeof(buffer)), 3); /* each message whole, none glued to the next */
    assert_int_equal(wait_for(&c, sizeof(buffer)), 4);
    assert_memory_equal(buffer, "two!", 4);
    memset(buffer, 'b', BIG);
    assert_int_equal(companion_send(&c, buffer, BIG), 0);
    memset(buffer, 0, BIG);
    assert_int_equal(wait_for(&c, sizeof(buffer)), BIG);
    assert_int_equal(buffer[BIG - 1], 'b');
    companion_stop(&c, 10 * USEC_PER_SEC);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_true(c.pid == 0 && c.fd == -1 && c.pidfd == -1);
    companion_stop(&c, 0); /* twice does no harm */
}

static void test_too_big(void **state)
{
    static char huge[8 << 20];
    struct companion c;

    (void)state;
    start(&c, echo);
    assert_int_equal(companion_send(&c, huge, sizeof(huge)), -EMSGSIZE);
    assert_int_equal(companion_send(&c, "x", 1), 0);
    assert_int_equal(wait_for(&c, sizeof(buffer)), 1);
    companion_stop(&c, 10 * USEC_PER_SEC);
}

static void test_ended(void **state)
{
    struct companion c;

    (void)state;
    start(&c, at_once);
    assert_int_equal(wait_for(&c, sizeof(buffer)), 0); /* end-of-file */
    assert_true(companion_send(&c, "x", 1) == -EPIPE || companion_send(&c, "x", 1) == -ECONNRESET);
    companion_stop(&c, 10 * USEC_PER_SEC);
    assert_int_equal(companion_send(&c, "x", 1), -EPIPE);
    assert_int_equal(companion_receive(&c, buffer, 1), 0);
}

/* One that does not read fills its pair, and its user goes on. */
static void test_behind(void **state)
{
    struct companion c;
    uint64_t begin;
    unsigned sent = 0;
    pid_t pid;
    int r;

    (void)state;
    start(&c, deaf);
    pid = c.pid;
    while ((r = companion_send(&c, buffer, 1000)) == 0 && sent < 100000)
        sent++;
    assert_int_equal(r, -EAGAIN);
    assert_true(sent > 0);
    begin = clock_now_usec();
    companion_stop(&c, 200 * USEC_PER_MSEC); /* does not end on end-of-file: left to itself */
    assert_in_range(clock_now_usec() - begin, 150 * USEC_PER_MSEC, 10 * USEC_PER_SEC);
    assert_int_equal(kill(pid, SIGKILL), 0); /* our own child, not reaped yet */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int signals_main(int fd, void *user)
{
    static const int sent[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    char name[16] = {0};
    sigset_t mask;

    (void)user;
    for (size_t i = 0; i < ARRAY_SIZE(sent); i++)
        (void)raise(sent[i]);
    (void)sigprocmask(SIG_BLOCK, NULL, &mask);
    (void)prctl(PR_GET_NAME, name);
    buffer[0] = sigismember(&mask, SIGTERM) == 0 && strcmp(name, "test-companion") == 0;
    (void)send(fd, buffer, 1, MSG_NOSIGNAL);
    return 0;
}

static void test_signals(void **state)
{
    sigset_t blocked, before;
    struct companion c;

    (void)state;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    start(&c, signals_main);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(wait_for(&c, 1), 1);
    assert_int_equal(buffer[0], 1);
    companion_stop(&c, 10 * USEC_PER_SEC);
}

/* Tells which descriptors from 3 to 99 are open, but for its own. */
static int descriptors_main(int fd, void *user)
{
    (void)user;
    for (int i = 0; i < 100; i++)
        buffer[i] = i > 2 && i != fd && i != log_fd() && fcntl(i, F_GETFD) >= 0;
    (void)send(fd, buffer, 100, MSG_NOSIGNAL);
    return 0;
}

static void assert_kept(int keep_fd, const int *fds, size_t count)
{
    struct companion c;

    assert_int_equal(companion_start(&c, "test-companion", keep_fd, descriptors_main, NULL), 0);
    assert_int_equal(wait_for(&c, 100), 100);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buffer[fds[i]], fds[i] == keep_fd);
    companion_stop(&c, 10 * USEC_PER_SEC);
}

static void test_descriptors(void **state)
{
    int fds[6];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = open("/dev/null", O_RDONLY);
    assert_kept(-1, fds, ARRAY_SIZE(fds));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        assert_kept(fds[i], fds, ARRAY_SIZE(fds));
    (void)close(fds[0]); /* a hole: the pair lies below some of them and above others */
    (void)close(fds[4]);
    assert_kept(fds[1], fds + 1, 1);
    assert_kept(fds[5], fds + 5, 1);
    assert_kept(2, fds + 1, 3);
    for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
        if (i != 4)
            (void)close(fds[i]);
}

static int log_main(int fd, void *user)
{
    (void)fd;
    (void)user;
    log_line(LOG_PRIO_INFO, "from the companion");
    (void)log_flush();
    return 0;
}

/* The companion's log works, although the descriptor that log_init opened is closed there, and it does not
 * say once more what waits in the parent's ring. */
static void test_log(void **state)
{
    int p[2], before = dup(2);
    struct companion c;
    size_t length = 0;
    ssize_t n;

    (void)state;
    assert_int_equal(pipe(p), 0);
    assert_int_equal(dup2(p[1], 2), 2);
    log_init(2);
    while (log_flush())
        log_line(LOG_PRIO_INFO, "%s", "a line of the parent's");
    log_line(LOG_PRIO_INFO, "%s", "mark=1");
    assert_int_equal(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
    while (read(p[0], buffer, 8192) > 0)
        ;
    assert_int_equal(companion_start(&c, "test-companion", -1, log_main, NULL), 0);
    assert_int_equal(wait_for(&c, 1), 0);
    companion_stop(&c, 10 * USEC_PER_SEC);
    assert_true(log_flush());
    assert_int_equal(dup2(before, 2), 2);
    while ((n = read(p[0], buffer + length, BIG - length)) > 0)
        length += (size_t)n;
    buffer[length] = '\0';
    assert_non_null(strstr(buffer, "from the companion\n"));
    assert_non_null(strstr(buffer, "mark=1\n"));
    assert_null(strstr(strstr(buffer, "mark=1\n") + 1, "mark=1\n"));
    (void)close(p[0]);
    (void)close(p[1]);
    (void)close(before);
}

static int lock_main(int fd, void *user)
{
    (void)user;
    buffer[0] = memory_lock(16384) == 0;
    (void)send(fd, buffer, 1, MSG_NOSIGNAL);
    return 0;
}

static void test_memory_lock(void **state)
{
    struct rlimit limit;
    struct companion c;

    (void)state;
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    start(&c, lock_main);
    assert_int_equal(wait_for(&c, 1), 1);
    if (geteuid() == 0 && limit.rlim_cur == RLIM_INFINITY)
        assert_int_equal(buffer[0], 1);
    companion_stop(&c, 10 * USEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages), cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_ended),    cmocka_unit_test(test_behind),
        cmocka_unit_test(test_signals),  cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_log),      cmocka_unit_test(test_memory_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
