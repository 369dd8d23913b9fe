/* What a watch is made of; programs see only the pointer. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/find.h"
#include "client/source.h"
#include "headroom.h"

struct reaction {
    enum headroom_level from;
    uint32_t cost;
    headroom_reaction_fn fn;
    void *user;
};

struct headroom_watch {
    int epoll_fd; /* the program's: wake_fd of the source, and timer_fd */
    int timer_fd; /* armed for the earliest of the dues below */
    pid_t pid; /* who made it: descriptors are shared with children, and reading in two processes loses events
                */
    char root[FIND_ROOT_MAX]; /* where the places are looked for; "" but in tests */
    struct find_named named;

    struct source source;
    unsigned rank;           /* of the place that the source is at */
    bool is_listening;       /* wake_fd is in the epoll set */
    _Atomic int source_kind; /* for other threads; enum headroom_source */
    uint64_t opened_usec;    /* when */
    uint64_t active_usec;    /* when it last had something, or may have had */
    uint64_t told_usec;      /* when a pressure file last had an event that was passed on */
    uint64_t hold_usec;
    _Atomic uint64_t level_until; /* the time in usec, shifted by 2, and the level that holds till then */

    /* Absolute, CLOCK_MONOTONIC; 0: not due. */
    uint64_t retry_due_usec;   /* look for a (better) source */
    uint64_t listen_due_usec;  /* wake_fd comes back into the epoll set */
    uint64_t recheck_due_usec; /* something woke the program, and it was not seen what */
    uint64_t calm_due_usec;    /* the level falls back */
    uint64_t armed_usec;       /* what timer_fd is set to */
    uint64_t retry_delay_usec;
    uint32_t jitter; /* state of a xorshift: after a restart of the daemon not all come at once */

    struct reaction *reactions;
    unsigned reaction_count;

    size_t thread_stack_bytes;
    _Atomic bool has_thread;
    pthread_t thread;
    int stop_fd; /* eventfd; -1: no thread */
};

#define USEC_PER_SEC UINT64_C(1000000)
#define WATCH_RETRY_FIRST_USEC (USEC_PER_SEC / 10)

/* headroom_watch_new under a root of one's own. */
int watch_new_at(const struct headroom_options *options, const char *root, struct headroom_watch **ret);
/* headroom_watch_read without asking who calls. */
int watch_take(struct headroom_watch *w, enum headroom_level *ret_level);

uint64_t watch_now_usec(void);
unsigned watch_count_places(const struct headroom_watch *w);
/* Of the places from rank `from` on, below rank `below`, the first that can be opened becomes the source. The
 * error is that of the last one tried. */
int watch_find_source(struct headroom_watch *w, unsigned from, unsigned below);
void watch_drop_source(struct headroom_watch *w);
/* There is nothing better to look for. */
bool watch_is_at_best(const struct headroom_watch *w);
/* Looks again after half of the delay, and by chance up to the other half; the next delay is twice as long.
 */
void watch_retry_later(struct headroom_watch *w, uint64_t now);
void watch_arm_timer(struct headroom_watch *w);
