#include "kernel/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
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

int watch_add_files(int watch_fd, const char *directory)
{
    int watch = inotify_add_watch(watch_fd, directory,
                                  IN_CREATE | IN_CLOSE_WRITE | IN_MOVE | IN_DELETE | IN_ATTRIB |
                                      IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR);

    return watch < 0 ? -errno : watch;
}

void watch_remove(int watch_fd, int watch)
{
    (void)inotify_rm_watch(watch_fd, watch);
}

static void take(const struct inotify_event *e, struct watch_news *n)
{
    if (e->mask & IN_IGNORED) /* of a watch that was removed */
        return;
    n->any = true;
    n->lost = n->lost || (e->mask & IN_Q_OVERFLOW) != 0;
    n->moved = n->moved || (e->mask & (IN_MOVE | IN_UNMOUNT)) != 0;
    if (e->wd >= 0)
        n->bits[(unsigned)e->wd % WATCH_NEWS_BITS / 64] |= UINT64_C(1) << (unsigned)e->wd % 64;
}

int watch_read_news(int watch_fd, struct watch_news *ret)
{
    _Alignas(struct inotify_event) _uninitialized_ char buf[4096];

    memset(ret, 0, sizeof(*ret));
    for (;;) {
        ssize_t n = read(watch_fd, buf, sizeof(buf));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno != EAGAIN ? -errno : 0;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(buf + at);

            take(e, ret);
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    }
}

bool watch_news_has(const struct watch_news *n, int watch)
{
    return watch >= 0 && (n->bits[(unsigned)watch % WATCH_NEWS_BITS / 64] >> (unsigned)watch % 64 & 1) != 0;
}

void watch_drain(int watch_fd)
{
    _uninitialized_ struct watch_news n;

    (void)!watch_read_news(watch_fd, &n);
}
