/* A provider of events for the tests: a directory that stands in for /, a listener, and what it takes to wait
 * for a watch without a fixed sleep. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/watch.h"

#define unused_ __attribute__((unused))
#define PSI_LINE "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
#define SECOND 1000

struct stage {
    char root[32];
};

static inline char *stage_path(const struct stage *s, const char *path)
{
    static char buf[4][512];
    static unsigned next;
    char *full = buf[next++ % 4];

    (void)snprintf(full, sizeof(buf[0]), "%s%s", s->root, path);
    return full;
}

static inline void stage_init(struct stage *s)
{
    (void)snprintf(s->root, sizeof(s->root), "/tmp/headroom-test-XXXXXX");
    assert_non_null(mkdtemp(s->root));
    (void)unsetenv("MEMORY_PRESSURE_WATCH");
    (void)unsetenv("MEMORY_PRESSURE_WRITE");
}

static inline void stage_deinit(struct stage *s)
{
    char command[64];

    (void)snprintf(command, sizeof(command), "rm -rf '%s'", s->root);
    assert_int_equal(system(command), 0);
}

/* With the directories above it. */
static inline const char *stage_write(struct stage *s, const char *path, const char *text)
{
    char *full = stage_path(s, path);
    int fd;

    for (char *slash = strchr(full + strlen(s->root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    return full;
}

/* As long as the address takes, the path may be. */
static inline int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static inline bool wait_readable(int fd, int msec)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, msec) == 1;
}

static inline int accept_one(int listener, int msec)
{
    assert_true(wait_readable(listener, msec));
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static inline void tell(int fd, const char *bytes)
{
    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
}

/* Reads whenever the watch asks for it, until it has something to say; that level, or -1 after msec. */
static inline int wait_level(struct headroom_watch *w, int msec)
{
    uint64_t until = watch_now_usec() + (uint64_t)msec * 1000;
    enum headroom_level level;
    int r = 0;

    while (r == 0 && watch_now_usec() < until) {
        if (!wait_readable(headroom_watch_get_fd(w), (int)((until - watch_now_usec()) / 1000) + 1))
            break;
        r = headroom_watch_read(w, &level);
        assert_true(r >= 0);
    }
    return r > 0 ? (int)level : -1;
}

/* Reads whenever the watch asks for it, until its source is of that kind. */
static inline bool wait_source(struct headroom_watch *w, enum headroom_source kind, int msec)
{
    uint64_t until = watch_now_usec() + (uint64_t)msec * 1000;

    while (headroom_watch_get_source(w) != kind && watch_now_usec() < until)
        if (wait_readable(headroom_watch_get_fd(w), 20))
            assert_true(headroom_watch_read(w, NULL) >= 0);
    return headroom_watch_get_source(w) == kind;
}

static inline unsigned count_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}
