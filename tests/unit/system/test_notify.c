/* The variables are read once, so each case is a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "system/notify.h"

static int listen_on(const char *name, bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + !abstract);

    memcpy(address.sun_path, name, strlen(name));
    if (abstract)
        address.sun_path[0] = 0;
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, length), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    return fd;
}

/* In a child with these variables; the exit status is what its notify_watchdog_usec says, in units of 10 ms.
 */
static unsigned run(const char *socket_name, const char *watchdog_usec, const char *watchdog_pid)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        char own[32];

        (void)unsetenv("NOTIFY_SOCKET");
        (void)unsetenv("WATCHDOG_USEC");
        (void)unsetenv("WATCHDOG_PID");
        (void)snprintf(own, sizeof(own), "%d", (int)getpid());
        if (socket_name)
            (void)setenv("NOTIFY_SOCKET", socket_name, 1);
        if (watchdog_usec)
            (void)setenv("WATCHDOG_USEC", watchdog_usec, 1);
        if (watchdog_pid)
            (void)setenv("WATCHDOG_PID", strcmp(watchdog_pid, "own") == 0 ? own : watchdog_pid, 1);
        notify_send("TOO=early");
        notify_init();
        notify_send("READY=1");
        notify_send("STATUS=well");
        _exit((int)(notify_watchdog_usec() / 10000));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (unsigned)WEXITSTATUS(status);
}

static void assert_heard(int fd)
{
    char buf[64];
    ssize_t n = recv(fd, buf, sizeof(buf), 0);

    assert_int_equal(n, 7);
    assert_memory_equal(buf, "READY=1", 7);
    n = recv(fd, buf, sizeof(buf), 0);
    assert_int_equal(n, 11);
    assert_memory_equal(buf, "STATUS=well", 11);
    assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
}

static void test_path(void **state _unused_)
{
    char dir[] = "/tmp/headroom-test-XXXXXX", path[64];
    int fd;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/notify", dir);
    fd = listen_on(path, false);
    assert_int_equal(run(path, NULL, NULL), 0);
    assert_heard(fd);
    (void)close(fd);
    assert_int_equal(run(path, NULL, NULL), 0); /* refused: lost without a word */
    (void)unlink(path);
    assert_int_equal(run(path, NULL, NULL), 0); /* not there */
    (void)rmdir(dir);
}

static void test_abstract(void **state _unused_)
{
    char name[64];
    int fd;

    (void)snprintf(name, sizeof(name), "@headroom-test-%d", (int)getpid());
    fd = listen_on(name, true);
    assert_int_equal(run(name, NULL, NULL), 0);
    assert_heard(fd);
    (void)close(fd);
}

static void test_watchdog(void **state _unused_)
{
    const char *name = "/nowhere/notify";

    assert_int_equal(run(name, "1000000", NULL), 50); /* half of it */
    assert_int_equal(run(name, "1000000", "own"), 50);
    assert_int_equal(run(name, "1000000", "1"), 0); /* meant for another process */
    assert_int_equal(run(name, "soon", NULL), 0);
    assert_int_equal(run(NULL, "1000000", NULL), 0);
}

/* A sign of life for each look would be hundreds a second; one in a quarter of the interval is enough. */
static void test_signs_of_life(void **state _unused_)
{
    static const uint64_t looks[] = {1000000, 1000001, 1249999, 1250000, 1300000, 9000000};
    char dir[] = "/tmp/headroom-test-XXXXXX", path[64], buf[64];
    int fd, status;
    unsigned signs = 0;
    pid_t child;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/notify", dir);
    fd = listen_on(path, false);
    for (int wanted = 0; wanted < 2; wanted++) {
        child = fork();
        if (child == 0) {
            (void)setenv("NOTIFY_SOCKET", path, 1);
            (void)unsetenv("WATCHDOG_PID");
            if (wanted)
                (void)setenv("WATCHDOG_USEC", "1000000", 1);
            else
                (void)unsetenv("WATCHDOG_USEC");
            notify_init();
            for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
                notify_watchdog(looks[i]);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 10) {
        assert_memory_equal(buf, "WATCHDOG=1", 10);
        signs++;
    }
    assert_int_equal(signs, 3);
    (void)close(fd);
    (void)unlink(path);
    (void)rmdir(dir);
}

static void test_bad_names(void **state _unused_)
{
    char name[200];

    assert_int_equal(run(NULL, NULL, NULL), 0);
    assert_int_equal(run("", NULL, NULL), 0);
    assert_int_equal(run("/", NULL, NULL), 0);
    assert_int_equal(run("relative", "1000000", NULL), 0);
    memset(name, 'n', sizeof(name));
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(run(name, "1000000", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),      cmocka_unit_test(test_abstract),
        cmocka_unit_test(test_watchdog),  cmocka_unit_test(test_signs_of_life),
        cmocka_unit_test(test_bad_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
