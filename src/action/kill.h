/* Killing groups, confirmed: the signal is sent, the group is watched until it is empty, and one that is not
 * within the deadline is recorded as stuck, so that the next decision neither takes a second victim while the
 * first one's memory is still coming back nor waits for ever. Nothing here blocks: process_mrelease goes to
 * the worker, the end is seen on cgroup.events (or a pidfd) and at the latest on killer_poll. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "kernel/cgroup.h"
#include "model/config.h"
#include "model/decision.h"
#include "system/companion.h"
#include "system/loop.h"

#define KILLER_STUCK_MAX 32

typedef void (*killer_progress_fn)(void *user); /* something may have ended: call killer_poll */

struct kill_op {
    bool used;
    uint64_t id;
    pid_t pid;
    int cgroup_fd;            /* -1: a process */
    int watch_fd;             /* cgroup.events, or the pidfd */
    bool cgroup_kill;         /* false: before 5.14, every pid by itself at each poll */
    uint64_t term_until_usec; /* asked by SIGTERM, and killed then; 0: killed */
    uint64_t deadline_usec;   /* stuck after that */
};

struct kill_stuck {
    uint64_t id; /* of a process its start time, since pids come again */
    pid_t pid;
};

struct killer {
    const struct hierarchy *hierarchy;
    int root_fd;
    struct loop *loop;
    struct companion *worker;
    killer_progress_fn progress;
    void *user;
    bool signals; /* may signal processes by pid: not in a recorded tree */
    struct kill_op ops[DECISION_VICTIMS_MAX];
    uint64_t deadline_after_usec;              /* KillDeadline */
    struct kill_stuck stuck[KILLER_STUCK_MAX]; /* victims that did not die, and are no candidates any more */
    unsigned stuck_next;
};

/* Sends the signal to every victim of *d whose cgroup is still the same: SIGKILL, or, where its class has
 * TermGrace=, SIGTERM first and SIGKILL when that time is over. Returns how many were signalled, and sets
 * d->failed; 0 where all of them had gone already. The victim's cgroup gets systemd's user.oomd_ooms and
 * user.oomd_kill counted up. */
unsigned killer_begin(struct killer *k, const struct config *c, struct decision *d, uint64_t now_usec);
/* Whether a victim of the decision is asked by SIGTERM: then it needs memory to end by itself. */
bool killer_wants_term(const struct config *c, const struct decision *d);
/* Looks after the victims. True while any is still to be waited for; on false d->gone and d->stuck are set.
 */
bool killer_poll(struct killer *k, struct decision *d, uint64_t now_usec);
bool killer_is_busy(const struct killer *k);
/* Whether this cgroup (or process) was signalled and is not known to be empty. *ret_stuck: its deadline has
 * passed. */
bool killer_is_dying(const struct killer *k, uint64_t id, pid_t pid, bool *ret_stuck);
void killer_deinit(struct killer *k);
