#include "system/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "base/units.h"
#include "system/clock.h"

#define EVENTS_PER_TURN 32
#define TIMER_KEY UINT64_MAX
/* Timers that are due this soon run with the one that woke us: two deadlines a moment apart are one wake-up.
 */
#define TIMER_SLACK_USEC (5 * USEC_PER_MSEC)

int loop_init(struct loop *l)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = TIMER_KEY};
    int r;

    memset(l, 0, sizeof(*l));
    for (unsigned i = 0; i < LOOP_SOURCES_MAX; i++)
        l->sources[i].fd = -1;
    l->timer_fd = -1;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return -errno;
    l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->timer_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->timer_fd, &event) < 0) {
        r = -errno;
        loop_deinit(l);
        return r;
    }
    return 0;
}

void loop_deinit(struct loop *l)
{
    if (l->timer_fd >= 0)
        (void)close(l->timer_fd);
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    l->timer_fd = l->epoll_fd = -1;
}

static struct loop_source *source_find(struct loop *l, int fd)
{
    for (unsigned i = 0; i < LOOP_SOURCES_MAX; i++)
        if (l->sources[i].fd == fd)
            return &l->sources[i];
    return NULL;
}

/* The generation tells an event of a removed source from one of its successor in the same slot. */
static uint64_t source_key(const struct loop *l, const struct loop_source *s)
{
    return (uint64_t)s->generation << 32 | (uint64_t)(s - l->sources);
}

int loop_add(struct loop *l, int fd, uint32_t events, loop_io_fn fn, void *user)
{
    struct loop_source *s = source_find(l, -1);
    struct epoll_event event = {.events = events};

    if (!s)
        return -ENOSPC;
    event.data.u64 = source_key(l, s);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    s->fd = fd;
    s->fn = fn;
    s->user = user;
    return 0;
}

int loop_change(struct loop *l, int fd, uint32_t events)
{
    struct loop_source *s = source_find(l, fd);
    struct epoll_event event = {.events = events};

    if (!s || fd < 0)
        return -ENOENT;
    event.data.u64 = source_key(l, s);
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

void loop_remove(struct loop *l, int fd)
{
    struct loop_source *s;

    if (fd < 0)
        return;
    s = source_find(l, fd);
    if (!s)
        return;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    s->fd = -1;
    s->generation++;
}

struct loop_timer *loop_add_timer(struct loop *l, loop_timer_fn fn, void *user)
{
    for (unsigned i = 0; i < LOOP_TIMERS_MAX; i++) {
        struct loop_timer *t = &l->timers[i];

        if (t->used)
            continue;
        *t = (struct loop_timer){.used = true, .fn = fn, .user = user};
        return t;
    }
    return NULL;
}

void loop_timer_arm(struct loop_timer *t, uint64_t due_usec)
{
    t->due_usec = due_usec;
}

static int timers_arm(struct loop *l, uint64_t limit_usec)
{
    uint64_t first = limit_usec;
    struct itimerspec its = {0};

    for (unsigned i = 0; i < LOOP_TIMERS_MAX; i++)
        if (l->timers[i].used && l->timers[i].due_usec != 0)
            first = u64_min(first, l->timers[i].due_usec);
    if (first == UINT64_MAX)
        first = 0;
    if (first == l->armed_usec)
        return 0;
    its.it_value.tv_sec = (time_t)(first / USEC_PER_SEC);
    its.it_value.tv_nsec = (long)(first % USEC_PER_SEC) * 1000;
    if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) < 0)
        return -errno;
    l->armed_usec = first;
    return 0;
}

static void timers_run(struct loop *l)
{
    uint64_t now = clock_now_usec() + TIMER_SLACK_USEC;

    for (unsigned i = 0; i < LOOP_TIMERS_MAX && !l->stop; i++) {
        struct loop_timer *t = &l->timers[i];

        if (!t->used || t->due_usec == 0 || t->due_usec > now)
            continue;
        t->due_usec = 0;
        t->fn(t->user);
    }
}

static void timer_drain(struct loop *l)
{
    uint64_t expirations;

    (void)!read(l->timer_fd, &expirations, sizeof(expirations)); /* all of them are one number */
    l->armed_usec = 0;
}

int loop_turn(struct loop *l, uint64_t max_wait_usec)
{
    struct epoll_event events[EVENTS_PER_TURN];
    uint64_t limit = max_wait_usec == UINT64_MAX ? UINT64_MAX : clock_now_usec() + max_wait_usec;
    int n, r;

    r = timers_arm(l, limit);
    if (r < 0)
        return r;
    n = epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, max_wait_usec == 0 ? 0 : -1);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    l->wakeups++;
    for (int i = 0; i < n && !l->stop; i++) {
        uint64_t key = events[i].data.u64;
        struct loop_source *s;

        if (key == TIMER_KEY) {
            timer_drain(l);
            continue;
        }
        s = &l->sources[key & UINT32_MAX];
        if (s->fd >= 0 && s->generation == key >> 32)
            s->fn(s->user, s->fd, events[i].events);
    }
    timers_run(l);
    return 0;
}

int loop_run(struct loop *l)
{
    while (!l->stop) {
        int r = loop_turn(l, UINT64_MAX);

        if (r < 0)
            return r;
    }
    return 0;
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}
