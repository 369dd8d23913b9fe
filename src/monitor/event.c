#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "kernel/file.h"
#include "monitor/monitor.h"
#include "system/clock.h"

/* The kernel notifies about a file of events at most 100 times a second and defers, never loses, the rest;
 * each notification only says that something rose, so the counters are read and compared. memory.events.local
 * (5.3) is watched, because the hierarchical file also counts a child's breach of its own limit. */

#define EVENTS_NAME "memory.events.local"
#define EVENTS_NAME_OLD "memory.events"

static void watch_drop(struct monitor *m, struct event_watch *w)
{
    if (w->wd >= 0 && m->event.inotify_fd >= 0)
        (void)inotify_rm_watch(m->event.inotify_fd,
                               w->wd); /* fails where the kernel dropped it with the cgroup */
    close_fdp(&w->events_fd);
    w->wd = -1;
    w->id = 0;
}

/* What of the counters that matter has risen; NULL: nothing. Values that fall (a new cgroup) are a new
 * baseline. */
static const char *rise(const struct memory_events *before, const struct memory_events *after)
{
    if (after->oom > before->oom)
        return "oom";
    if (after->max > before->max)
        return "max";
    if (after->high > before->high)
        return "high";
    return NULL;
}

static bool is_gone(int error)
{
    return error == -ENOENT || error == -ENODEV;
}

static void read_counters(struct monitor *m)
{
    const char *risen = NULL;
    int r;

    for (unsigned i = 0; i < MONITOR_TARGETS_MAX; i++) {
        struct event_watch *w = &m->event.watches[i];
        struct memory_events now;
        const char *what;

        if (w->wd < 0)
            continue;
        r = memory_events_pread(w->events_fd, &now);
        if (is_gone(r)) {
            watch_drop(m, w); /* a refresh finds its successor */
            continue;
        }
        if (r < 0) { /* short of memory, say: what rose cannot be told, so look; the old baseline stays */
            risen = risen ? risen : "unreadable";
            continue;
        }
        what = rise(&w->last, &now);
        w->last = now;
        if (what && !risen)
            risen = what;
    }
    if (risen)
        monitor_fire(m, TRIGGER_EVENT, risen);
}

static void on_inotify(void *user, int fd, uint32_t events)
{
    struct monitor *m = user;
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool overflow = false;
    ssize_t n;

    if (events & (EPOLLERR | EPOLLHUP)) {
        event_monitor_stop(m);
        m->retry_due_usec = clock_now_usec() + MONITOR_RETRY_USEC;
        monitor_set_state(m, MONITOR_FAILED,
                          "the event monitor lost its inotify descriptor; tried again in 10 s");
        return;
    }
    for (;;) {
        n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *e = (const struct inotify_event *)p;

            overflow = overflow || (e->mask & IN_Q_OVERFLOW) != 0;
            p += sizeof(*e) + e->len;
        }
    }
    read_counters(m);
    if (overflow) /* what was dropped cannot be told: look */
        monitor_fire(m, TRIGGER_EVENT, "overflow");
    if (m->event.held)
        (void)loop_change(m->loop, fd, 0);
}

int event_monitor_start(struct monitor *m)
{
    int r;

    event_monitor_stop(m);
    m->event.inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (m->event.inotify_fd < 0)
        return -errno;
    r = loop_add(m->loop, m->event.inotify_fd, EPOLLIN, on_inotify, m);
    if (r < 0)
        close_fdp(&m->event.inotify_fd);
    return r;
}

static int watch_add(struct monitor *m, struct event_watch *w, const struct monitor_target *t)
{
    const char *name = file_exists_at(t->dir_fd, EVENTS_NAME) ? EVENTS_NAME : EVENTS_NAME_OLD;
    char path[64];
    int r;

    w->events_fd = file_open_read(t->dir_fd, name);
    if (w->events_fd < 0)
        return w->events_fd;
    /* By descriptor: a path could already lead to a new cgroup of the same name. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", w->events_fd);
    w->wd = inotify_add_watch(m->event.inotify_fd, path, IN_MODIFY);
    if (w->wd < 0) {
        r = -errno;
        close_fdp(&w->events_fd);
        return r;
    }
    /* The counters at start are the baseline. A rise between the watch and this read goes into it: what it
     * means is seen in the state of the node by the next look, which the timer has at the latest in a second.
     */
    r = memory_events_pread(w->events_fd, &w->last);
    if (r < 0) {
        watch_drop(m, w);
        return r;
    }
    w->id = t->id;
    return 0;
}

void event_monitor_refresh(struct monitor *m, const struct monitor_target *targets, unsigned count)
{
    const char *missing = NULL;
    int error = 0;

    for (unsigned i = 0; i < MONITOR_TARGETS_MAX; i++) {
        struct event_watch *w = &m->event.watches[i];
        bool there = i < count && targets[i].dir_fd >= 0;
        int r;

        if (w->wd >= 0 && (!there || w->id != targets[i].id))
            watch_drop(m, w);
        if (!there || w->wd >= 0)
            continue;
        r = watch_add(m, w, &targets[i]);
        /* No news where the whole cgroup has gone; but not to be passed over where it is there without it. */
        if (r < 0 && (!is_gone(r) || file_exists_at(targets[i].dir_fd, "cgroup.procs"))) {
            missing = targets[i].path;
            error = r;
        }
    }
    if (missing)
        monitor_set_state(m, MONITOR_DEGRADED, "%s: %s cannot be watched: %s; the timer and PSI stand in",
                          missing, EVENTS_NAME, strerror(-error));
    else
        monitor_set_state(m, MONITOR_RUNNING, "%s", "");
    if (m->event.held && clock_now_usec() >= m->event.held_until_usec)
        event_monitor_hold(m, 0);
}

void event_monitor_hold(struct monitor *m, uint64_t until_usec)
{
    if (m->event.inotify_fd < 0)
        return;
    m->event.held = until_usec != 0;
    m->event.held_until_usec = until_usec;
    (void)loop_change(m->loop, m->event.inotify_fd, m->event.held ? 0 : EPOLLIN);
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

void event_monitor_poll(struct monitor *m)
{
    if (m->event.inotify_fd >= 0 && !m->event.held && is_readable(m->event.inotify_fd))
        on_inotify(m, m->event.inotify_fd, EPOLLIN);
}

void event_monitor_stop(struct monitor *m)
{
    if (m->event.inotify_fd < 0)
        return;
    for (unsigned i = 0; i < MONITOR_TARGETS_MAX; i++)
        watch_drop(m, &m->event.watches[i]);
    loop_remove(m->loop, m->event.inotify_fd);
    close_fdp(&m->event.inotify_fd);
    m->event.held = false;
}
