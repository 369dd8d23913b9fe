/* The control socket with real clients: what they may ask, what they may cost, and who is let go of. */
#include "clients.h"

static void test_methods(void **state)
{
    (void)state;
    assert_string_equal(error_to(STATUS, true), "");
    assert_string_equal(error_to(STATUS, false), "io.headroom.PermissionDenied");
    assert_string_equal(error_to("{\"method\":\"org.varlink.service.GetInfo\"}", false), "");
    assert_string_equal(error_to("{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                                 "\"parameters\":{\"interface\":\"io.headroom\"}}",
                                 false),
                        "");
    assert_string_equal(error_to("{\"method\":\"io.headroom.Undo\"}", true),
                        "org.varlink.service.MethodNotFound");
    assert_string_equal(error_to("{\"method\":\"io.headroom.PauseX\"}", true),
                        "org.varlink.service.MethodNotFound");
    assert_string_equal(error_to("{\"method\":\"io.headroom.StatusX\"}", true),
                        "org.varlink.service.MethodNotFound");
}

static void test_garbage(void **state)
{
    static const char *const requests[] = {
        "",
        "x",
        "[]",
        "7",
        "\"io.headroom.Status\"",
        "{",
        "{\"method\":7}",
        "{}",
        "{\"method\":null}",
        "\xff\xfe",
        "{\"method\":\"a\",\"method\":\"io.headroom.Status\"}",
        STATUS "x",
        "{\"method\":\"io.headroom.Sta\\u0000tus\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        assert_string_equal(error_to(requests[i], true), "org.varlink.service.InvalidParameter");
    assert_string_equal(error_of("a\0b", 3, true), "org.varlink.service.InvalidParameter");
}

static void try_request(const char *request, size_t length)
{
    size_t n = 0;
    int r = control_handle(&control, request, length, true, true, reply, sizeof(reply), &n);

    assert_true(r == -ENOBUFS || (r == 0 && n > 0));
}

/* Deeper than anybody means, up to the longest request: an answer or none, but never the heap and never a
 * crash. */
static void test_deep(void **state)
{
    static char text[CONTROL_REQUEST_MAX];

    (void)state;
    memset(text, '[', sizeof(text));
    for (size_t length = 1; length < sizeof(text); length = length * 3 + 1)
        try_request(text, length);
    try_request(text, sizeof(text));
    for (size_t i = 0; i + 5 < sizeof(text); i += 5)
        memcpy(text + i, "{\"a\":", 5);
    try_request(text, sizeof(text));
    assert_string_equal(error_to(STATUS, true), ""); /* the next one is served as if nothing had been */
}

/* What fills the arena and then wants more of it: jansson 2.14 reads and writes behind its buffers where an
 * allocation fails in the middle of a string, so that no request may bring it there. */
static void test_greedy(void **state)
{
    static const char *const fillers[] = {"{},", "[],", "{\"a\":", "\"\",", "1,", "{\"a\":{}},"};
    static char text[CONTROL_REQUEST_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fillers); i++)
        for (size_t rest = 1; rest < sizeof(text) - 8; rest += 13) {
            size_t n = strlen(fillers[i]), at = 1;

            text[0] = fillers[i][n - 1] == ':' ? ' ' : '[';
            for (; at + n + rest + 2 < sizeof(text); at += n)
                memcpy(text + at, fillers[i], n);
            text[at++] = '"';
            memset(text + at, 's', rest);
            at += rest;
            text[at++] = '"';
            try_request(text, at);
        }
    assert_string_equal(error_to(STATUS, true), "");
}

/* The largest one that is let through, in each kind, leaves half of the arena to the answer. */
static void test_largest_request_leaves_room(void **state)
{
    static const char *const fillers[] = {"{},", "[],", "\"\",", "1,"};
    static char text[CONTROL_REQUEST_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
        size_t n = strlen(fillers[i]), parts = n == 3 && fillers[i][0] != '"' ? 2 : 1, at = 1;

        text[0] = '[';
        for (unsigned k = 0; k < (CONTROL_REQUEST_PARTS_MAX - 1) / parts; k++, at += n)
            memcpy(text + at, fillers[i], n);
        text[at++] = '"';
        memset(text + at, 's', sizeof(text) - at - 2);
        memcpy(text + sizeof(text) - 2, "\"]", 2);
        control.arena.peak = 0;
        try_request(text, sizeof(text));
        assert_in_range(control.arena.peak, 1000, CONTROL_ARENA_SIZE / 2);
    }
}

static void test_cut_everywhere(void **state)
{
    size_t n;

    (void)state;
    for (size_t length = 0; length < strlen(STATUS); length++)
        assert_string_equal(error_of(STATUS, length, true), "org.varlink.service.InvalidParameter");
    assert_int_equal(control_handle(&control, STATUS, strlen(STATUS), true, false, reply, 20, &n), -ENOBUFS);
}

static void test_largest_status_fits(void **state)
{
    (void)state;
    largest = true;
    assert_string_equal(error_to(STATUS, true), "");
    assert_non_null(memmem(reply, sizeof(reply), "worker_running", 14));
}

/* However many are paused and whatever they are called, the status is answered, within its arena. */
static void test_largest_pauses_fit(void **state)
{
    static const char bytes[] = {'w', '"', '\x01', '\t', '\\', '\xff'};
    static char greedy[CONTROL_REQUEST_MAX];
    size_t n;

    (void)state;
    largest = true;
    (void)snprintf(greedy, sizeof(greedy), "{\"method\":\"io.headroom.Status\",\"parameters\":{\"a\":[%s%s",
                   "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}", "]}}");
    for (size_t i = 0; i < ARRAY_SIZE(bytes); i++)
        for (unsigned k = 0; k <= ARRAY_SIZE(pauses); k += 16) {
            worst_byte = bytes[i];
            pause_count = k;
            control.arena.peak = 0;
            assert_int_equal(
                control_handle(&control, greedy, strlen(greedy), true, false, reply, sizeof(reply), &n), 0);
            assert_in_range(n, 1000, sizeof(reply) - 1);
            assert_in_range(control.arena.peak, 1000, CONTROL_ARENA_SIZE * 7 / 8);
            assert_non_null(memmem(reply, n, "\"pauses_left_out\":", 18));
        }
}

/* Where the arena is too small the whole reply is refused: none that lacks a part goes out. */
static void test_arena_too_small(void **state)
{
    unsigned refused = 0, whole = 0;
    static char good[CONTROL_REPLY_MAX];
    size_t length, n;

    (void)state;
    largest = true;
    assert_int_equal(
        control_handle(&control, STATUS, strlen(STATUS), true, false, good, sizeof(good), &length), 0);
    for (size_t size = 4096; size < CONTROL_ARENA_SIZE; size += size / 16 + 8) {
        control.arena.size = size;
        if (control_handle(&control, STATUS, strlen(STATUS), true, false, reply, sizeof(reply), &n) < 0) {
            refused++;
            continue;
        }
        whole++;
        assert_int_equal(n, length);
        assert_memory_equal(reply, good, length);
    }
    assert_true(refused > 10);
    assert_true(whole > 2);
}

static void test_asked_and_answered(void **state)
{
    struct stat st;
    int fd = join();
    ssize_t n;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666); /* who may ask what is decided by the peer's identity */
    say(fd, STATUS, 10);
    turn(2);
    assert_int_equal(hear(fd), -1);
    say(fd, STATUS + 10, strlen(STATUS) + 1 - 10);
    turn(2);
    n = hear(fd);
    assert_true(n > 100 && reply[n - 1] == 0 && reply[0] == '{');
    (void)close(fd);
    turn(2);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        assert_int_equal(control.clients[i].fd, -1);
}

/* Several requests in one message: each is answered, without anything further from the client. */
static void test_pipelined(void **state)
{
    int fd = join();
    ssize_t n;
    unsigned ends = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        say(fd, STATUS, strlen(STATUS) + 1);
    say(fd, STATUS, 7);
    turn(20);
    while ((n = hear(fd)) > 0)
        for (ssize_t i = 0; i < n; i++)
            ends += reply[i] == 0;
    assert_int_equal(n, -1);
    assert_int_equal(ends, 5);
    say(fd, STATUS + 7, strlen(STATUS) + 1 - 7);
    turn(3);
    assert_true(hear(fd) > 0);
    (void)close(fd);
}

static void test_endless_request(void **state)
{
    static char text[CONTROL_REQUEST_MAX];
    int fd = join();

    (void)state;
    memset(text, 'x', sizeof(text));
    say(fd, text, sizeof(text) - 1);
    turn(2);
    assert_int_equal(hear(fd), -1);
    say(fd, text, 1);
    turn(2);
    assert_int_equal(hear(fd), 0); /* let go of */
    (void)close(fd);
}

static void test_empty_requests(void **state)
{
    static const char zeros[300];
    unsigned ends = 0;
    int fd = join();
    ssize_t n;

    (void)state;
    say(fd, zeros, sizeof(zeros));
    for (unsigned turns = 0; turns < 400; turns++) {
        turn(1);
        while ((n = hear(fd)) > 0)
            for (ssize_t i = 0; i < n; i++)
                ends += reply[i] == 0;
    }
    assert_int_equal(ends, sizeof(zeros));
    (void)close(fd);
}

/* Asks and never reads: it keeps its own place busy, and nobody else waits. */
static void test_does_not_read(void **state)
{
    int deaf = join(), fd;
    unsigned asked = 0;

    (void)state;
    largest = true;
    while (asked < 100 && send(deaf, STATUS, strlen(STATUS) + 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
        asked++;
        turn(1);
    }
    assert_true(control.clients[0].reply_length > control.clients[0].reply_sent); /* it is stuck by now */
    largest = false;
    fd = join();
    say(fd, STATUS, strlen(STATUS) + 1);
    turn(2);
    assert_true(hear(fd) > 0);
    (void)close(fd);
    /* It wakes up: everything comes, in order. */
    for (unsigned i = 0; i < 2000; i++) {
        if (hear(deaf) < 0)
            (void)usleep(10);
        turn(1);
    }
    assert_int_equal(control.clients[0].reply_length, 0);
    (void)close(deaf);
    turn(2);
}

/* More than there is room for: the one that has been silent longest makes place. */
static void test_too_many(void **state)
{
    int fds[CONTROL_CLIENTS_MAX], last;

    (void)state;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        fds[i] = join();
    say(fds[0], STATUS, strlen(STATUS) + 1);
    turn(2);
    assert_true(hear(fds[0]) > 0);
    last = join();
    assert_int_equal(hear(fds[1]), 0);
    assert_int_equal(hear(fds[0]), -1);
    say(last, STATUS, strlen(STATUS) + 1);
    turn(2);
    assert_true(hear(last) > 0);
    assert_int_equal(control.refused, 1);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        (void)close(fds[i]);
    (void)close(last);
    turn(3);
}

/* One who may not read never takes the place of one who may, and gives up his own first. */
static void test_too_many_strangers(void **state)
{
    int fds[CONTROL_CLIENTS_MAX], last;

    (void)state;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        fds[i] = join();
        control.clients[i].may_read = i != 3;
    }
    last = join(); /* we may read where the tests run as root, and may not elsewhere */
    assert_int_equal(hear(fds[3]), 0);
    assert_int_equal(hear(fds[0]), -1);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        control.clients[i].may_read = true;
    if (geteuid() != 0) {
        int refused = join();

        assert_int_equal(hear(refused), 0);
        assert_int_equal(hear(fds[0]), -1);
        (void)close(refused);
    }
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        (void)close(fds[i]);
    (void)close(last);
    turn(3);
}

static void test_vanishes(void **state)
{
    int fd = join();

    (void)state;
    say(fd, STATUS, strlen(STATUS) + 1);
    (void)close(fd); /* before it was served */
    turn(4);
    assert_int_equal(control.clients[0].fd, -1);
    fd = join();
    say(fd, STATUS, 5);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    turn(4);
    assert_int_equal(hear(fd), 0);
    (void)close(fd);
}

static void test_who_may_read(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(ask_as_nobody(STATUS), 1);
    control.group = 65534;
    assert_int_equal(ask_as_nobody(STATUS), 0);
    control.group = (gid_t)-1;
    control.access_all = true;
    assert_int_equal(ask_as_nobody(STATUS), 0);
}

static void test_init_failures(void **state)
{
    static struct control other;
    char long_path[200];

    (void)state;
    memset(long_path, 'p', sizeof(long_path));
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(control_init(&other, &loop, long_path, false, fill_status, &other), -ENAMETOOLONG);
    control_deinit(&other, long_path);
    assert_int_equal(control_init(&other, &loop, "/nowhere/at/all", false, fill_status, &other), -ENOENT);
    control_deinit(&other, "/nowhere/at/all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_methods),
        TEST(test_garbage),
        TEST(test_deep),
        TEST(test_greedy),
        TEST(test_largest_request_leaves_room),
        TEST(test_cut_everywhere),
        TEST(test_largest_status_fits),
        TEST(test_largest_pauses_fit),
        TEST(test_arena_too_small),
        TEST(test_asked_and_answered),
        TEST(test_pipelined),
        TEST(test_endless_request),
        TEST(test_empty_requests),
        TEST(test_does_not_read),
        TEST(test_too_many),
        TEST(test_too_many_strangers),
        TEST(test_vanishes),
        TEST(test_who_may_read),
        TEST(test_init_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
