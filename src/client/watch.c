/* A watch: one epoll descriptor that stays the same while what is behind it comes and goes.
 *
 * There is a list of places (find.h), best first. The watch is at the best one that could be opened; as long
 * as that is not the first, or there is none, the better ones are tried again, at growing intervals. When a
 * source is lost, the next one that there is stands in at once. So a program that starts before headroomd is
 * told by its cgroup's pressure file until headroomd is there, and again while headroomd is being restarted.
 *
 * Everything that has to happen later shares one timerfd in the same epoll set, so the event loop of the
 * program needs to know of nothing but the descriptor; and when nothing is due, nothing wakes it up. */
#include "client/watch.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MAX_USEC (60 * USEC_PER_SEC)
/* A source that lived for so long is worth being asked for again at once when it goes. */
#define LIVED_USEC (10 * USEC_PER_SEC)
/* Who comes more often than this is listened to only as often as this: a kernel has been seen to report an
 * event of a trigger again and again (systemd issue 38417), and a peer may do so any time. */
#define QUIET_USEC (USEC_PER_SEC / 10)
/* A pressure file's triggers (source.h) are looked at by the kernel at least so often, one after the other,
 * and tell one event each per window; so much later is another event. */
#define TRIGGER_GAP_USEC (USEC_PER_SEC / 2)
#define RECHECK_USEC (USEC_PER_SEC / 4)

uint64_t watch_now_usec(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

void watch_arm_timer(struct headroom_watch *w)
{
    const uint64_t dues[] = {w->retry_due_usec, w->listen_due_usec, w->recheck_due_usec, w->calm_due_usec};
    struct itimerspec t = {0};
    uint64_t due = 0;

    for (unsigned i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
        if (dues[i] > 0 && (due == 0 || dues[i] < due))
            due = dues[i];
    if (due == w->armed_usec)
        return;
    t.it_value.tv_sec = (time_t)(due / USEC_PER_SEC);
    t.it_value.tv_nsec = (long)(due % USEC_PER_SEC) * 1000;
    (void)timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &t, NULL); /* no error is left for it to have */
    w->armed_usec = due;
}

/* Is it due? Then it is no more. */
static bool take_due(uint64_t *due, uint64_t now)
{
    if (*due == 0 || *due > now)
        return false;
    *due = 0;
    return true;
}

/* What is closed is always taken out first: a child that was forked meanwhile still holds it open, and then
 * the kernel would go on to report it. */
static void listen_stop(struct headroom_watch *w)
{
    if (w->is_listening)
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->source.wake_fd, NULL);
    w->is_listening = false;
}

static int listen_start(struct headroom_watch *w)
{
    struct epoll_event e = {.events =
                                w->source.kind == HEADROOM_SOURCE_PSI ? EPOLLPRI : EPOLLIN | EPOLLRDHUP};

    if (w->is_listening || w->source.wake_fd < 0)
        return 0;
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->source.wake_fd, &e) < 0)
        return -errno;
    w->is_listening = true;
    return 0;
}

void watch_drop_source(struct headroom_watch *w)
{
    listen_stop(w);
    source_close(&w->source);
    w->listen_due_usec = w->recheck_due_usec = 0;
    atomic_store(&w->source_kind, HEADROOM_SOURCE_NONE);
}

static int source_take(struct headroom_watch *w, struct source *s, unsigned rank)
{
    int r;

    watch_drop_source(w);
    w->source = *s;
    w->rank = rank;
    r = listen_start(w);
    if (r < 0) {
        watch_drop_source(w);
        return r;
    }
    w->opened_usec = watch_now_usec();
    w->told_usec = 0;
    atomic_store(&w->source_kind, s->kind);
    return 0;
}

int watch_find_source(struct headroom_watch *w, unsigned from, unsigned below)
{
    struct source s = SOURCE_NULL;
    char place[PATH_MAX];
    int r = -ENOENT;

    for (unsigned rank = from; rank < below; rank++) {
        if (w->named.is_named) {
            r = source_open(w->named.path, w->named.payload, w->named.payload_length, &s);
        } else {
            r = find_place(rank, w->root, place, sizeof(place));
            if (r == 0)
                r = source_open(place, NULL, 0, &s);
        }
        if (r == 0)
            return source_take(w, &s, rank);
        if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
            return r;
    }
    return r;
}

unsigned watch_count_places(const struct headroom_watch *w)
{
    return w->named.is_named ? 1 : FIND_PLACES;
}

void watch_retry_later(struct headroom_watch *w, uint64_t now)
{
    w->jitter ^= w->jitter << 13;
    w->jitter ^= w->jitter >> 17;
    w->jitter ^= w->jitter << 5;
    w->retry_due_usec = now + w->retry_delay_usec / 2 + w->jitter % (w->retry_delay_usec / 2);
    w->retry_delay_usec *= 2;
    if (w->retry_delay_usec > RETRY_MAX_USEC)
        w->retry_delay_usec = RETRY_MAX_USEC;
}

bool watch_is_at_best(const struct headroom_watch *w)
{
    return w->source.kind == HEADROOM_SOURCE_OFF || (w->source.fd >= 0 && w->rank == 0);
}

static void source_lost(struct headroom_watch *w, uint64_t now)
{
    if (now - w->opened_usec >= LIVED_USEC)
        w->retry_delay_usec = WATCH_RETRY_FIRST_USEC;
    watch_drop_source(w);
    /* It gets a moment to come back; what is behind it stands in now. */
    (void)watch_find_source(w, w->rank + 1, watch_count_places(w));
    watch_retry_later(w, now);
}

static void set_level(struct headroom_watch *w, enum headroom_level level, uint64_t until)
{
    atomic_store(&w->level_until, until << 2 | (uint64_t)level);
    w->calm_due_usec = level == HEADROOM_CALM ? 0 : until;
}

enum headroom_level headroom_watch_get_level(const struct headroom_watch *w)
{
    uint64_t v = atomic_load(&w->level_until);

    return v == 0 || watch_now_usec() >= v >> 2 ? HEADROOM_CALM : (enum headroom_level)(v & 3);
}

enum headroom_source headroom_watch_get_source(const struct headroom_watch *w)
{
    return (enum headroom_source)atomic_load(&w->source_kind);
}

/* Takes what makes the epoll descriptor readable out of it. True: a pressure file's own event was among it,
 * which nobody has polled away. */
static bool drain_wakeups(struct headroom_watch *w)
{
    struct epoll_event e[2];
    uint64_t expirations;
    bool seen = false;
    int n;

    n = epoll_wait(w->epoll_fd, e, 2, 0);
    for (int i = 0; i < n; i++)
        seen |= (e[i].events & EPOLLPRI) && !(e[i].events & EPOLLERR);
    if (read(w->timer_fd, &expirations, sizeof(expirations)) > 0)
        w->armed_usec = 0;
    return seen;
}

/* Something was read from the source, or may have been: who comes too often gets a rest. */
static void be_active(struct headroom_watch *w, uint64_t now)
{
    if (!w->is_listening || (w->active_usec != 0 && now - w->active_usec < QUIET_USEC)) {
        listen_stop(w);
        w->listen_due_usec = now + QUIET_USEC;
    }
    w->active_usec = now;
}

/* The level that the source tells, HEADROOM_CALM for none. `woken`: its event was seen in the epoll set;
 * `explained`: it is known why the watch is being read, so a pressure file that tells nothing has nothing to
 * tell. */
static enum headroom_level hear(struct headroom_watch *w, bool woken, bool explained, uint64_t now)
{
    bool is_psi = w->source.kind == HEADROOM_SOURCE_PSI;
    int r;

    if (w->source.fd < 0)
        return HEADROOM_CALM;
    r = source_read(&w->source);
    if (r < 0) {
        source_lost(w, now);
        return HEADROOM_CALM;
    }
    if (is_psi && woken)
        r = HEADROOM_MEDIUM;
    if (r > HEADROOM_CALM || (is_psi && !explained))
        be_active(w, now);
    if (is_psi && r == HEADROOM_CALM && !explained && w->recheck_due_usec == 0)
        w->recheck_due_usec = now + RECHECK_USEC;
    if (r == HEADROOM_CALM || (is_psi && w->told_usec != 0 && now - w->told_usec < TRIGGER_GAP_USEC))
        return HEADROOM_CALM;
    w->recheck_due_usec = 0;
    w->told_usec = now;
    return (enum headroom_level)r;
}

int watch_take(struct headroom_watch *w, enum headroom_level *ret_level)
{
    uint64_t now = watch_now_usec();
    enum headroom_level level;
    bool woken, rested, explained, fell = false;

    if (w->source.kind != HEADROOM_SOURCE_OFF) {
        woken = drain_wakeups(w);
        rested = take_due(&w->listen_due_usec, now);
        explained = take_due(&w->recheck_due_usec, now) || rested;
        level = hear(w, woken, explained, now);
        if (rested && w->listen_due_usec == 0 && listen_start(w) < 0)
            source_lost(w, now); /* no memory for it: as good as gone */
        fell = take_due(&w->calm_due_usec, now);
        if (level > HEADROOM_CALM)
            set_level(w, level, now + w->hold_usec);
        if (take_due(&w->retry_due_usec, now) && !watch_is_at_best(w)) {
            (void)watch_find_source(w, 0, w->source.fd >= 0 ? w->rank : watch_count_places(w));
            if (!watch_is_at_best(w))
                watch_retry_later(w, now);
        }
        fell |= level > HEADROOM_CALM;
        watch_arm_timer(w);
    }
    if (ret_level)
        *ret_level = headroom_watch_get_level(w);
    return fell;
}

int headroom_watch_read(struct headroom_watch *w, enum headroom_level *ret_level)
{
    if (w->pid != getpid())
        return -ECHILD;
    if (atomic_load(&w->has_thread))
        return -EBUSY;
    return watch_take(w, ret_level);
}

int headroom_watch_get_fd(const struct headroom_watch *w)
{
    return w->epoll_fd;
}

const char *headroom_watch_get_path(const struct headroom_watch *w)
{
    return w->source.kind == HEADROOM_SOURCE_OFF ? "/dev/null" : w->source.path;
}
