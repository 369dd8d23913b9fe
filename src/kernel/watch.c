#include "kernel/watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define PATH_SIZE 64

int watch_open(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* By descriptor: a path could already lead to a new cgroup of the same name. */
static int add(int watch_fd, int cgroup_fd, const char *file, uint32_t events)
{
    char path[PATH_SIZE];
    int watch;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d%s", cgroup_fd, file);
    watch = inotify_add_watch(watch_fd, path, events);
    return watch < 0 ? -errno : watch;
}

int watch_add_children(int watch_fd, int cgroup_fd)
{
    return add(watch_fd, cgroup_fd, "", IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR);
}

int watch_add_events(int watch_fd, int cgroup_fd)
{
    return add(watch_fd, cgroup_fd, "/cgroup.events", IN_MODIFY);
}

void watch_remove(int watch_fd, int watch)
{
    (void)inotify_rm_watch(watch_fd, watch);
}

bool watch_drain(int watch_fd)
{
    _Alignas(struct inotify_event) _uninitialized_ char buf[4096];
    bool news = false;

    for (;;) {
        ssize_t n = read(watch_fd, buf, sizeof(buf));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return news || (n < 0 && errno != EAGAIN);
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(buf + at);

            news = news || e->mask != IN_IGNORED; /* which tells of a watch that was removed */
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    }
}
