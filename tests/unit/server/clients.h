/* What the tests of the control socket share: a socket in a temporary directory, clients in the same process,
 * and a status as small or as large as a test wants it. The loop is turned by hand between their steps. */
#pragma once

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
static char worst_byte = 'w';         /* of which names are made */
static char names[5][GROUP_PATH_MAX]; /* as long as they can be */

static inline void fill_largest(struct status *s)
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

static inline void fill_status(void *user, struct status *ret)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
    (void)state;
    control_deinit(&control, path);
    loop_deinit(&loop);
    (void)unlink(path);
    return rmdir(dir);
}

static inline void turn(unsigned times)
{
    while (times-- > 0)
        assert_int_equal(loop_turn(&loop, 0), 0);
}

static inline int join(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)strcpy(address.sun_path, path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    turn(1);
    return fd;
}

static inline void say(int fd, const char *text, size_t length)
{
    assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* All that has come by now; -1: nothing yet, 0: closed. */
static inline ssize_t hear(int fd)
{
    ssize_t n = recv(fd, reply, sizeof(reply), MSG_DONTWAIT);

    if (n < 0)
        assert_true(errno == EAGAIN || errno == ECONNRESET);
    if (n < 0 && errno == ECONNRESET) /* closed with something of ours unread */
        return 0;
    return n;
}

static inline const char *error_of(const char *request, size_t length, bool may_read)
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

static inline const char *error_to(const char *request, bool may_read)
{
    return error_of(request, strlen(request), may_read);
}

/* A child that gives up its rights asks; its exit status says what it was told. */
static inline int ask_as_nobody(const char *request)
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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
