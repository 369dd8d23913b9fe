/* The socket that programs are told through: whatever they write, read or leave unread, and however they go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/units.h"
#include "headroom.h"
#include "server/pressure.h"

#define PLACES 8

static struct pressure pressure;
static struct pressure_client clients[PLACES];
static struct loop loop;
static char path[108], dir[64];
static bool taken[PLACES];
static int forced; /* the place that the next one gets; -2: a free one, -1: none */
static unsigned left_count;
static uid_t last_uid;
static pid_t last_pid;

static int on_admit(void *user, uid_t uid, pid_t pid)
{
    int place = forced;

    assert_ptr_equal(user, &pressure);
    last_uid = uid;
    last_pid = pid;
    forced = -2;
    for (int i = 0; place == -2 && i < PLACES; i++)
        if (!taken[i])
            place = i;
    if (place < 0)
        return -1;
    taken[place] = true;
    return place;
}

static void on_left(void *user, unsigned place)
{
    assert_ptr_equal(user, &pressure);
    assert_true(taken[place]);
    taken[place] = false;
    left_count++;
}

static int start(void)
{
    return pressure_init(&pressure, &loop, path, clients, PLACES, on_admit, on_left, &pressure);
}

static int setup(void **state)
{
    (void)state;
    memset(taken, 0, sizeof(taken));
    forced = -2;
    left_count = 0;
    (void)strcpy(dir, "/tmp/headroom-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/socket", dir);
    return loop_init(&loop) < 0 ? -1 : start();
}

static int teardown(void **state)
{
    (void)state;
    pressure_deinit(&pressure, path);
    loop_deinit(&loop);
    return rmdir(dir); /* nothing is left behind */
}

static void turn(unsigned times)
{
    while (times-- > 0)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

static int join(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)strcpy(address.sun_path, path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    turn(1);
    return fd;
}

/* The bytes that have come, "" for none, "end" at the end. */
static const char *hear(int fd)
{
    static char text[64];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return "end";
    if (n < 0)
        assert_int_equal(errno, EAGAIN);
    text[n < 0 ? 0 : n] = 0;
    return text;
}

static void test_where_the_library_looks(void **state)
{
    (void)state;
    assert_string_equal("/" PRESSURE_PATH, HEADROOM_SOCKET);
}

static void test_levels(void **state)
{
    int fd = join();

    (void)state;
    assert_int_equal(last_uid, getuid());
    assert_int_equal(last_pid, getpid());
    assert_string_equal(hear(fd), "");
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_LOW), 0);
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_MEDIUM), 0);
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_CRITICAL), 0);
    assert_string_equal(hear(fd), "lmc");
    assert_int_equal(pressure_tell(&pressure, 1, LEVEL_LOW), -ENOTCONN);
    assert_int_equal(pressure_tell(&pressure, PLACES, LEVEL_LOW), -ENOTCONN);
    (void)close(fd);
}

/* Exactly what sd-event writes, nothing, and anything. */
static void test_any_payload(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } payloads[] = {
        {"some 200000 2000000", 20}, {"", 0}, {"\0\xff\n{\"method\":1}", 15}, {"l", 1}, {"\0", 1},
    };
    int fds[ARRAY_SIZE(payloads)];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
        fds[i] = join();
        if (payloads[i].length > 0)
            assert_int_equal(send(fds[i], payloads[i].bytes, payloads[i].length, MSG_NOSIGNAL),
                             payloads[i].length);
    }
    turn(3);
    for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
        assert_int_equal(pressure_tell(&pressure, (unsigned)i, LEVEL_MEDIUM), 0);
        assert_string_equal(hear(fds[i]), "m");
        (void)close(fds[i]);
    }
    turn(1);
    assert_int_equal(left_count, ARRAY_SIZE(payloads));
}

/* One that will write no more, and still wants to be told. */
static void test_half_closed(void **state)
{
    int fd = join();
    uint64_t wakeups;

    (void)state;
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    turn(2);
    wakeups = loop.wakeups;
    assert_int_equal(loop_turn(&loop, 30000), 0); /* and does not wake us all the time */
    assert_int_equal(loop.wakeups, wakeups + 1);
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_LOW), 0);
    assert_string_equal(hear(fd), "l");
    (void)close(fd);
    turn(1);
    assert_false(taken[0]);
}

/* Who writes and writes is read from twice at most, and is told all the same. */
static void test_a_flood(void **state)
{
    static char noise[65536];
    int fd = join(), other = join();
    uint64_t wakeups;

    (void)state;
    while (send(fd, noise, sizeof(noise), MSG_NOSIGNAL) > 0)
        ;
    turn(4);
    wakeups = loop.wakeups;
    assert_int_equal(loop_turn(&loop, 30000), 0);
    assert_int_equal(loop.wakeups, wakeups + 1);
    assert_true(clients[0].input_bytes <= 8192);
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_LOW), 0);
    assert_int_equal(pressure_tell(&pressure, 1, LEVEL_LOW), 0);
    assert_string_equal(hear(other), "l");
    assert_string_equal(hear(fd), "l");
    (void)close(fd);
    turn(1);
    assert_false(taken[0]);
    (void)close(other);
}

/* Who does not read is left out, and is told again once he does. Little is kept for him. */
static void test_who_does_not_read(void **state)
{
    int fd = join(), r = 0;
    unsigned told = 0;

    (void)state;
    while (told < 1000 && (r = pressure_tell(&pressure, 0, LEVEL_LOW)) == 0)
        told++;
    assert_int_equal(r, -EAGAIN);
    assert_in_range(told, 3, 64);
    assert_int_equal(pressure.unread, 1);
    assert_int_equal(strlen(hear(fd)), told);
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_CRITICAL), 0);
    assert_string_equal(hear(fd), "c");
    (void)close(fd);
}

static void test_gone_before_it_is_told(void **state)
{
    int fd = join();

    (void)state;
    (void)close(fd);
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_LOW), -EPIPE);
    assert_int_equal(left_count, 1);
    turn(2); /* its end is no news */
    assert_int_equal(left_count, 1);
    fd = join();
    assert_true(taken[0]);
    (void)close(fd);
}

static void test_no_place(void **state)
{
    int fd;

    (void)state;
    forced = -1;
    fd = join();
    assert_string_equal(hear(fd), "end");
    assert_int_equal(pressure.refused, 1);
    (void)close(fd);
}

/* A place of another one: he is let go of, and what he still had to say is nobody's. */
static void test_a_place_is_taken_over(void **state)
{
    int old = join(), fd;

    (void)state;
    assert_int_equal(send(old, "x", 1, MSG_NOSIGNAL), 1);
    forced = 0;
    fd = join();
    turn(2);
    assert_string_equal(hear(old), "end");
    assert_int_equal(pressure.refused, 1);
    assert_int_equal(pressure_tell(&pressure, 0, LEVEL_LOW), 0);
    assert_string_equal(hear(fd), "l");
    (void)close(old);
    turn(2);
    assert_true(taken[0]);
    (void)close(fd);
}

static void test_many_come_at_once(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fds[200];

    (void)state;
    (void)strcpy(address.sun_path, path);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(fds[i], (const struct sockaddr *)&address, sizeof(address)), 0);
    }
    turn(1);
    assert_int_equal(pressure.refused, 64 - PLACES); /* and a rest */
    for (unsigned i = 0; i < 100 && pressure.refused < ARRAY_SIZE(fds) - PLACES; i++)
        assert_int_equal(loop_turn(&loop, 1000000), 0);
    assert_int_equal(pressure.refused, ARRAY_SIZE(fds) - PLACES);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void)close(fds[i]);
    turn(1);
    assert_int_equal(left_count, PLACES);
}

static void test_the_file(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFSOCK | 0666);
    /* What a daemon that was killed has left does not stand in the way. */
    loop_deinit(&loop);
    (void)close(pressure.fd);
    (void)close(pressure.epoll_fd);
    assert_int_equal(loop_init(&loop), 0);
    assert_int_equal(start(), 0);
    (void)close(join());
    turn(1);
    assert_int_equal(left_count, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_where_the_library_looks),
        TEST(test_levels),
        TEST(test_any_payload),
        TEST(test_half_closed),
        TEST(test_a_flood),
        TEST(test_who_does_not_read),
        TEST(test_gone_before_it_is_told),
        TEST(test_no_place),
        TEST(test_a_place_is_taken_over),
        TEST(test_many_come_at_once),
        TEST(test_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
