/* The control socket with real clients in the same process: the loop is turned by hand between their steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "server/control.h"

#define STATUS "{\"method\":\"io.headroom.Status\"}"

static struct control control;
static struct loop loop;
static char path[108], dir[64];
static struct config config;
static struct snapshot snapshot;
static struct room room;
static char reply[CONTROL_REPLY_MAX];
static bool largest; /* a status as large as one can be */
static struct status_pause pauses[256];
static unsigned pause_count;
static char worst_byte = 'w'; /* of which names are made */

static char names[5][GROUP_PATH_MAX]; /* as long as they can be */

static void fill_largest(struct status *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        memset(names[i], worst_byte, GROUP_PATH_MAX - 1);
    names[4][15] = '\0'; /* a command */
    s->config_path = names[0];
    s->mode_reason = names[1];
    s->has_look = true;
    s->warning_count = STATUS_WARNINGS_MAX;
    for (unsigned i = 0; i < STATUS_WARNINGS_MAX; i++)
        memset(s->warnings[i], '\x01', STATUS_WARNING_MAX - 1); /* six bytes each in JSON */
    snapshot.workload_count = SNAPSHOT_WORKLOADS_MAX;
    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        memset(snapshot.workloads[i].path, worst_byte, GROUP_PATH_MAX - 1);
    s->monitor_count = STATUS_MONITORS_MAX;
    for (unsigned i = 0; i < STATUS_MONITORS_MAX; i++)
        s->monitors[i] = (struct status_monitor){.name = "event", .state = "armed", .message = names[2]};
    for (unsigned i = 0; i < pause_count; i++)
        pauses[i] = (struct status_pause){
            .path = names[0],
            .pid = 2147483647,
            .comm = names[4],
            .class_name = "thirty-one-bytes-of-a-class-nam",
            .why = "pause-limit",
            .waits_for = "12345.6M of room, or somebody's end",
            .since_usec = 1,
            .until_usec = UINT64_MAX / 2,
            .held_bytes = UINT64_MAX / 2,
        };
    s->pauses = pauses;
    s->pause_count = pause_count;
    s->now_usec = UINT64_MAX / 4;
}

static void fill_status(void *user, struct status *ret)
{
    assert_ptr_equal(user, &control);
    *ret = (struct status){
        .version = "1",
        .config_path = "",
        .mode = "host",
        .mode_reason = "because",
        .config = &config,
        .snapshot = &snapshot,
        .room = &room,
    };
    if (largest)
        fill_largest(ret);
}

static int setup(void **state)
{
    (void)state;
    config_init_defaults(&config);
    largest = false;
    pause_count = 0;
    worst_byte = 'w';
    (void)strcpy(dir, "/tmp/headroom-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/socket", dir);
    memset(&control, 0, sizeof(control));
    if (loop_init(&loop) < 0)
        return -1;
    return control_init(&control, &loop, path, false, fill_status, &control);
}

static int teardown(void **state)
{
    (void)state;
    control_deinit(&control, path);
    loop_deinit(&loop);
    (void)unlink(path);
    return rmdir(dir);
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

static void say(int fd, const char *text, size_t length)
{
    assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* All that has come by now; -1: nothing yet, 0: closed. */
static ssize_t hear(int fd)
{
    ssize_t n = recv(fd, reply, sizeof(reply), MSG_DONTWAIT);

    if (n < 0)
        assert_true(errno == EAGAIN || errno == ECONNRESET);
    if (n < 0 && errno == ECONNRESET) /* closed with something of ours unread */
        return 0;
    return n;
}

static const char *error_of(const char *request, size_t length, bool may_read)
{
    static char name[128];
    json_error_t e;
    size_t n = 0;
    json_t *o;

    assert_int_equal(control_handle(&control, request, length, may_read, false, reply, sizeof(reply), &n), 0);
    json_set_alloc_funcs(malloc, free); /* the daemon's allocator lives only as long as a request */
    o = json_loadb(reply, n, 0, &e);
    assert_non_null(o);
    (void)snprintf(name, sizeof(name), "%s",
                   json_object_get(o, "error") ? json_string_value(json_object_get(o, "error")) : "");
    json_decref(o);
    control_deinit(&control, path);
    assert_int_equal(control_init(&control, &loop, path, false, fill_status, &control), 0);
    return name;
}

static const char *error_to(const char *request, bool may_read)
{
    return error_of(request, strlen(request), may_read);
}

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

#define PAUSE(group) "{\"method\":\"io.headroom.Pause\",\"parameters\":{\"group\":\"" group "\"}}"
#define HOLD(usec) "{\"method\":\"io.headroom.Hold\",\"parameters\":{\"usec\":" usec "}}"

static struct control_command commanded;
static unsigned commands;
static int command_result;

static int command(void *user, const struct control_command *c, char *ret_text, size_t size)
{
    assert_ptr_equal(user, &control);
    assert_int_equal(size, CONTROL_TEXT_MAX);
    commanded = *c;
    commands++;
    (void)snprintf(ret_text, size, "as it were");
    control_notify(&control); /* a decision has ended */
    return command_result;
}

/* By somebody who may change things; what was answered. */
static const char *reply_to(const char *request)
{
    size_t n;

    assert_int_equal(
        control_handle(&control, request, strlen(request), true, true, reply, sizeof(reply) - 1, &n), 0);
    reply[n] = '\0';
    return reply;
}

static void test_commands(void **state)
{
    (void)state;
    control.command = command;
    command_result = 0;
    commands = 0;
    assert_string_equal(reply_to(PAUSE("workload.slice/a b#17")),
                        "{\"parameters\":{\"text\":\"as it were\"}}");
    assert_int_equal(commanded.verb, CONTROL_PAUSE);
    assert_string_equal(commanded.group, "workload.slice/a b#17");
    assert_string_equal(reply_to("{\"method\":\"io.headroom.Resume\",\"parameters\":{\"group\":\"\u00e9\"}}"),
                        "{\"parameters\":{\"text\":\"as it were\"}}");
    assert_int_equal(commanded.verb, CONTROL_RESUME);
    assert_string_equal(commanded.group, "\xc3\xa9");
    assert_string_equal(reply_to(HOLD("3600000000")), "{\"parameters\":{\"text\":\"as it were\"}}");
    assert_int_equal(commanded.verb, CONTROL_HOLD);
    assert_true(commanded.usec == UINT64_C(3600000000) && commanded.group[0] == '\0');
    (void)reply_to(HOLD("0"));
    assert_true(commanded.usec == 0);
    (void)reply_to(HOLD("9223372036854775807"));
    assert_true(commanded.usec == INT64_MAX);
    assert_int_equal(commands, 5);
}

static void test_commands_that_fail(void **state)
{
    static const struct {
        int result;
        const char *error;
    } cases[] = {
        {-ENOENT, "NoSuchGroup"},     {-EPERM, "NotAllowed"}, {-EBUSY, "Busy"},
        {-EOPNOTSUPP, "NotPossible"}, {-ENOSPC, "Failed"},    {-EIO, "Failed"},
    };
    char expected[128];

    (void)state;
    control.command = command;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        command_result = cases[i].result;
        (void)snprintf(expected, sizeof(expected),
                       "{\"error\":\"io.headroom.%s\",\"parameters\":{\"text\":\"as it were\"}}",
                       cases[i].error);
        assert_string_equal(reply_to(PAUSE("a")), expected);
    }
    control.command = NULL;
    assert_non_null(strstr(reply_to(PAUSE("a")), "io.headroom.NotPossible"));
    assert_non_null(strstr(reply, "not possible here"));
    assert_non_null(strstr(reply_to(HOLD("1")), "not possible here"));
}

/* Who may read is not thereby one who may change something, and is not told whether his request was sound. */
static void test_commands_are_not_for_all(void **state)
{
    static const char *const requests[] = {
        PAUSE("a"),
        "{\"method\":\"io.headroom.Resume\",\"parameters\":{\"group\":\"a\"}}",
        HOLD("0"),
        HOLD("-1"),
        "{\"method\":\"io.headroom.Pause\"}",
    };

    (void)state;
    control.command = command;
    commands = 0;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        for (unsigned reads = 0; reads < 2; reads++) {
            assert_string_equal(error_to(requests[i], reads), "io.headroom.PermissionDenied");
            control.command = command;
        }
    assert_int_equal(commands, 0);
}

static void test_commands_that_are_wrong(void **state)
{
    static const char *const requests[] = {
        "{\"method\":\"io.headroom.Pause\"}",
        "{\"method\":\"io.headroom.Pause\",\"parameters\":[]}",
        "{\"method\":\"io.headroom.Pause\",\"parameters\":{\"group\":7}}",
        "{\"method\":\"io.headroom.Resume\",\"parameters\":{\"usec\":7}}",
        PAUSE(""),
        PAUSE("a\\u0000b"),
        PAUSE("\xff"),
        "{\"method\":\"io.headroom.Hold\"}",
        HOLD("-1"),
        HOLD("1.5"),
        HOLD("\"1h\""),
        HOLD("9223372036854775808"),
    };
    char text[GROUP_PATH_MAX + 128];
    int whole;

    (void)state;
    control.command = command;
    command_result = 0;
    commands = 0;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        assert_non_null(strstr(reply_to(requests[i]), "org.varlink.service.InvalidParameter"));
    assert_int_equal(commands, 0);
    for (int length = GROUP_PATH_MAX - 2; length < GROUP_PATH_MAX + 2; length++) {
        whole = snprintf(text, sizeof(text), PAUSE("%0*d"), length, 0);
        assert_true(whole > 0 && (size_t)whole < sizeof(text));
        assert_int_equal(strstr(reply_to(text), "InvalidParameter") == NULL, length < GROUP_PATH_MAX);
    }
    assert_int_equal(commands, 2);
    assert_int_equal(strlen(commanded.group), GROUP_PATH_MAX - 1);
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

/* A child that gives up its rights asks; its exit status says what it was told. */
static int ask_as_nobody(const char *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pid_t child;
    int status;

    assert_int_equal(chmod(dir, 0755), 0);
    child = fork();
    if (child == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ssize_t n;

        (void)strcpy(address.sun_path, path);
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(9);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            send(fd, request, strlen(request) + 1, MSG_NOSIGNAL) < 0)
            _exit(8);
        n = recv(fd, reply, sizeof(reply) - 1, 0);
        _exit(n <= 0 ? 7 : strstr(reply, "PermissionDenied") ? 1 : 0);
    }
    assert_true(child > 0);
    while (waitpid(child, &status, WNOHANG) == 0)
        assert_int_equal(loop_turn(&loop, 10000), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
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

/* Root only, however open the status is. */
static void test_who_may_change(void **state)
{
    int fd;

    (void)state;
    if (geteuid() != 0)
        skip();
    control.command = command;
    command_result = 0;
    commands = 0;
    control.group = 65534;
    control.access_all = true;
    assert_int_equal(ask_as_nobody(PAUSE("a")), 1);
    assert_int_equal(ask_as_nobody(HOLD("0")), 1);
    assert_int_equal(commands, 0);
    fd = join();
    say(fd, PAUSE("a"), sizeof(PAUSE("a")));
    turn(2);
    assert_true(hear(fd) > 0);
    assert_non_null(strstr(reply, "as it were"));
    assert_int_equal(commands, 1);
    (void)close(fd);
    turn(2);
}

static struct record_ring ring;

static int command_that_decides(void *user, const struct control_command *c, char *ret_text, size_t size)
{
    static struct decision d;

    memset(&d, 0, sizeof(d));
    d.reason = DECISION_PAUSE;
    d.trigger.detail = "operator";
    d.victims[0].why = PAUSE_WHY_OPERATOR;
    d.victim_count = 1;
    (void)record_ring_add(&ring, &d, NULL, &snapshot);
    d.ended = true;
    record_ring_set_outcome(&ring, &d);
    return command(user, c, ret_text, size);
}

/* A command ends a decision, which those who follow are told of while its own answer is still to be made. */
static void test_command_is_followed(void **state)
{
    static const char follow[] =
        "{\"method\":\"io.headroom.Events\",\"parameters\":{\"follow\":true},\"more\":true}";
    int listener = join();
    ssize_t n;

    (void)state;
    record_ring_init(&ring);
    snapshot.group_count = 0;
    control.ring = &ring;
    control.config = &config;
    control.command = command_that_decides;
    command_result = 0;
    control.clients[0].may_read = true; /* where we are not root */
    say(listener, follow, sizeof(follow));
    turn(2);
    assert_int_equal(hear(listener), -1);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(reply_to(PAUSE("a")), "{\"parameters\":{\"text\":\"as it were\"}}");
        turn(3);
        n = hear(listener);
        assert_true(n > 100 && reply[n - 1] == '\0');
        assert_non_null(strstr(reply, "\"action\":\"pause\""));
        assert_non_null(strstr(reply, "\"why\":\"operator\""));
    }
    (void)close(listener);
    turn(3);
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
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
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
        TEST(test_commands),
        TEST(test_commands_that_fail),
        TEST(test_commands_are_not_for_all),
        TEST(test_commands_that_are_wrong),
        TEST(test_asked_and_answered),
        TEST(test_pipelined),
        TEST(test_endless_request),
        TEST(test_empty_requests),
        TEST(test_does_not_read),
        TEST(test_too_many),
        TEST(test_too_many_strangers),
        TEST(test_vanishes),
        TEST(test_who_may_read),
        TEST(test_who_may_change),
        TEST(test_command_is_followed),
        TEST(test_init_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
