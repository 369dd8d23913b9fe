#include "system/loop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/units.h"
#include "system/clock.h"

#define EVENTS_PER_TURN 32
/* Timers that are due this soon run with the one that woke us: two deadlines a moment apart are one wake-up.
 */
#define TIMER_SLACK_USEC (5 * USEC_PER_MSEC)
#define WAIT_LONG_USEC (100 * USEC_PER_MSEC)

int loop_init(struct loop *l)
{
    memset(l, 0, sizeof(*l));
    for (unsigned i = 0; i < LOOP_SOURCES_MAX; i++)
        l->sources[i].fd = -1;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return l->epoll_fd < 0 ? -errno : 0;
}

void loop_deinit(struct loop *l)
{
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    l->epoll_fd = -1;
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

/* In whole milliseconds. Short waits are rather too short (what is due within the slack runs), long ones
 * rather too long: a look a second is not to become 61 a minute. The wait is on CLOCK_MONOTONIC, so that
 * after a suspend a timer may be late by what was left to wait before it; a timerfd of CLOCK_BOOTTIME would
 * not be, and would cost two more system calls a wake-up. */
static int wait_msec(const struct loop *l, uint64_t max_wait_usec)
{
    uint64_t first = UINT64_MAX, wait = max_wait_usec;

    if (wait == 0)
        return 0;
    for (unsigned i = 0; i < LOOP_TIMERS_MAX; i++)
        if (l->timers[i].used && l->timers[i].due_usec != 0)
            first = u64_min(first, l->timers[i].due_usec);
    if (first != UINT64_MAX)
        wait = u64_min(wait, u64_sub_floor(first, clock_now_usec()));
    if (wait == UINT64_MAX)
        return -1;
    if (wait >= WAIT_LONG_USEC)
        wait += USEC_PER_MSEC - 1;
    return (int)u64_min(wait / USEC_PER_MSEC, INT_MAX);
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

int loop_turn(struct loop *l, uint64_t max_wait_usec)
{
    _uninitialized_ struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, wait_msec(l, max_wait_usec));

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    l->wakeups++;
    for (int i = 0; i < n && !l->stop; i++) {
        uint64_t key = events[i].data.u64;
        struct loop_source *s;

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
