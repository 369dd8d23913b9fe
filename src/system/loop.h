/* One epoll loop with a fixed table of sources and timers: nothing is allocated after loop_init, and no
 * library of Debian's that offers EPOLLPRI (which PSI triggers need) is small enough to be locked into
 * memory.
 *
 * Timers share the wait for events, which lasts until the earliest deadline, so a calm daemon wakes exactly
 * as often as somebody asked for. A source that is removed while its event is already in hand is not called.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

#define LOOP_SOURCES_MAX 128
#define LOOP_TIMERS_MAX 16

struct loop;

typedef void (*loop_io_fn)(void *user, int fd, uint32_t events);
typedef void (*loop_timer_fn)(void *user);

struct loop_source {
    int fd; /* -1: free */
    uint32_t generation;
    loop_io_fn fn;
    void *user;
};

struct loop_timer {
    bool used;
    uint64_t due_usec; /* 0: not armed */
    loop_timer_fn fn;
    void *user;
};

struct loop {
    int epoll_fd;
    bool stop;
    uint64_t wakeups;
    struct loop_source sources[LOOP_SOURCES_MAX];
    struct loop_timer timers[LOOP_TIMERS_MAX];
};

int loop_init(struct loop *l) _nodiscard_;
void loop_deinit(struct loop *l);

/* The descriptor stays the caller's. -ENOSPC: the table is full. */
int loop_add(struct loop *l, int fd, uint32_t events, loop_io_fn fn, void *user);
int loop_change(struct loop *l, int fd, uint32_t events); /* also re-arms EPOLLONESHOT */
void loop_remove(struct loop *l, int fd);

/* A timer of one shot that its function may arm again. NULL: the table is full. */
struct loop_timer *loop_add_timer(struct loop *l, loop_timer_fn fn, void *user);
void loop_timer_arm(struct loop_timer *t, uint64_t due_usec); /* absolute; 0 disarms */

/* Runs until loop_stop. Negative errno only where epoll itself fails. */
int loop_run(struct loop *l) _nodiscard_;
/* One turn: waits at most max_wait_usec (UINT64_MAX: as long as it takes). */
int loop_turn(struct loop *l, uint64_t max_wait_usec) _nodiscard_;
void loop_stop(struct loop *l);
