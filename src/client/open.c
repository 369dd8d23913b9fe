/* How a watch begins and ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/watch.h"

#define HOLD_DEFAULT_USEC (10 * USEC_PER_SEC)
#define HOLD_MAX_USEC (24 * 3600 * USEC_PER_SEC)
/* The options as version 0.1 knew them. */
#define OPTIONS_SIZE_MIN sizeof(struct headroom_options)

static int complain(const struct headroom_options *o, int r, const char *what)
{
    if (o->error && o->error_size > 0)
        (void)snprintf(o->error, o->error_size, "%s", what);
    return r;
}

/* A program that was built with a newer header may use this library as long as it asks for nothing new. */
static int copy_options(const struct headroom_options *given, struct headroom_options *ret)
{
    struct headroom_options o = {0};
    const unsigned char *bytes = (const unsigned char *)given;

    if (given && given->size < OPTIONS_SIZE_MIN)
        return -EINVAL;
    if (given) {
        for (size_t i = sizeof(o); i < given->size; i++)
            if (bytes[i] != 0)
                return complain(given, -E2BIG, "the options are of a newer version of libheadroom");
        o = *given;
    }
    if (o.hold_usec > HOLD_MAX_USEC)
        return complain(&o, -EINVAL, "a level can be held for a day at most");
    if (o.hold_usec == 0)
        o.hold_usec = HOLD_DEFAULT_USEC;
    *ret = o;
    return 0;
}

static int open_descriptors(struct headroom_watch *w)
{
    struct epoll_event e = {.events = EPOLLIN};

    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0)
        return -errno;
    w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->timer_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->timer_fd, &e) < 0 ||
        fcntl(w->epoll_fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

/* What is named and cannot work is an error; what is not there yet, and a node without any place, is not: it
 * is looked for again. */
static int find_first(struct headroom_watch *w, const struct headroom_options *o)
{
    int r = watch_find_source(w, 0, watch_count_places(w));

    if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
        return complain(o, r, strerror(-r));
    if (r < 0 && w->named.is_named && !source_error_passes(r)) {
        if (o->error && o->error_size > 0)
            (void)snprintf(o->error, o->error_size, "%.200s: %s", w->named.path,
                           r == -ENOTTY ? "neither a pressure file of the kernel's, nor a FIFO, nor a socket"
                                        : strerror(-r));
        return r;
    }
    if (!watch_is_at_best(w))
        watch_retry_later(w, watch_now_usec());
    watch_arm_timer(w);
    return 0;
}

static void set_off(struct headroom_watch *w)
{
    w->source.kind = HEADROOM_SOURCE_OFF;
    atomic_store(&w->source_kind, HEADROOM_SOURCE_OFF);
}

int watch_new_at(const struct headroom_options *options, const char *root, struct headroom_watch **ret)
{
    struct headroom_watch *w;
    struct headroom_options o;
    int r;

    r = copy_options(options, &o);
    if (r < 0)
        return r;
    w = calloc(1, sizeof(*w));
    if (!w)
        return complain(&o, -ENOMEM, strerror(ENOMEM));
    w->epoll_fd = w->timer_fd = w->stop_fd = -1;
    w->source = SOURCE_NULL;
    w->pid = getpid();
    w->hold_usec = o.hold_usec;
    w->thread_stack_bytes = o.thread_stack_bytes;
    w->retry_delay_usec = WATCH_RETRY_FIRST_USEC;
    w->jitter = (uint32_t)(watch_now_usec() ^ (uint64_t)w->pid << 16) | 1;
    (void)snprintf(w->root, sizeof(w->root), "%s", root);

    r = find_named(&o, &w->named, o.error, o.error_size);
    if (r == 0) {
        r = open_descriptors(w);
        if (r < 0)
            (void)complain(&o, r, strerror(-r));
    }
    if (r == 0 && w->named.is_off)
        set_off(w);
    else if (r == 0)
        r = find_first(w, &o);
    if (r < 0) {
        (void)headroom_watch_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

int headroom_watch_new(const struct headroom_options *options, struct headroom_watch **ret_watch)
{
    return watch_new_at(options, "", ret_watch);
}

struct headroom_watch *headroom_watch_free(struct headroom_watch *w)
{
    if (!w)
        return NULL;
    if (w->pid == getpid()) {
        (void)headroom_watch_stop_thread(w);
        watch_drop_source(w);
    }
    /* In a forked child the epoll set is the parent's, too, so nothing is taken out of it: closing is enough.
     */
    source_close(&w->source);
    if (w->timer_fd >= 0)
        (void)close(w->timer_fd);
    if (w->epoll_fd >= 0)
        (void)close(w->epoll_fd);
    if (w->stop_fd >= 0)
        (void)close(w->stop_fd);
    free(w->reactions);
    free(w);
    return NULL;
}
