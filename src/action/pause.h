/* Pausing groups by cgroup.freeze (processes by SIGSTOP), and letting them run again. Each pause is a lease
 * in the journal, written before the group is touched, so that a stop, a restart, `headroom undo` and the
 * guardian let run what we paused, and only that: a group that somebody else froze is not ours, and where
 * somebody else thawed one of ours that is yielded to.
 *
 * Freezing takes effect when every task has been caught: a task that the kernel throttles at memory.high
 * sleeps up to 2 s first. Asked for here, confirmed by `frozen` of cgroup.events in pauser_check. Nothing
 * blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "action/knobs.h"
#include "base/macros.h"
#include "kernel/cgroup.h"
#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"

#define PAUSES_MAX 256
/* Not frozen after this long and still growing: it failed and is taken back. Not growing: it is as good as
 * paused. */
#define PAUSE_CONFIRM_USEC UINT64_C(2500000)
/* A group that could not be paused, or that somebody else let run, is left alone for this long. */
#define PAUSE_YIELD_USEC UINT64_C(60000000)
#define PAUSE_YIELDS_MAX 64

struct pause_entry {
    bool used;
    uint64_t id; /* of the cgroup; of a process its start time */
    pid_t pid;   /* 0: a cgroup */
    char path[GROUP_PATH_MAX];
    char comm[16];
    unsigned class_index;
    enum pause_why why;
    uint64_t since_usec;     /* asked for */
    uint64_t confirmed_usec; /* 0: not yet frozen */
    uint64_t held_bytes;     /* when it was asked for */
    uint64_t rate;           /* bytes per second, then: what it will go on with */
};

struct pause_yield {
    uint64_t id; /* 0: free */
    pid_t pid;
    uint64_t until_usec;
};

struct pauser {
    const struct hierarchy *hierarchy;
    int root_fd;
    struct knobs *knobs; /* for the leases and their journal */
    bool signals;        /* may signal processes by pid: not in a recorded tree; as in *knobs */
    struct pause_entry entries[PAUSES_MAX];
    unsigned count; /* of those in use: mostly 0, and asked for at each look */
    struct pause_yield yields[PAUSE_YIELDS_MAX];
    unsigned yield_next;
    uint64_t paused; /* since start; not those that were adopted */
    uint64_t resumed;
    uint64_t foreign_thaws;
    uint64_t failures; /* that could not be paused or resumed, and those given up */
};

/* Journal line, then the write (or SIGSTOP). 0, or negative errno and nothing was changed: -ENOENT and
 * -ENODEV: it is gone; -EBUSY: somebody else has frozen it, or it holds /dev/fuse (a paused one would hang
 * whoever looks at its file system); -ENOSPC: too many are paused, or no line could be written; -EALREADY: it
 * is paused by us; -EPERM: it holds ourselves, it is a process and we may not signal any, or this is a dry
 * run. */
int pauser_pause(struct pauser *p, const struct group *g, enum pause_why why, uint64_t now_usec) _nodiscard_;
/* Lets it run again, where it is still the same and still ours, and forgets it. 1: done, 0: it was not ours
 * any more, or is gone; negative errno: failed, and tried again by the next call. Also what the caller does
 * for a paused group that was killed, so that a cgroup that is used again is not born frozen. */
int pauser_resume(struct pauser *p, struct pause_entry *e) _nodiscard_;
/* Oldest pause first. At a stop, before the knobs are put back. Returns how many could not be resumed. */
unsigned pauser_resume_all(struct pauser *p);

/* What has become of the paused: those that are gone, or that somebody else let run, are forgotten (the
 * latter yielded to); those that froze are confirmed. Returns how many were forgotten. */
unsigned pauser_check(struct pauser *p, uint64_t now_usec);
/* One that is not frozen PAUSE_CONFIRM_USEC after it was asked for, and grows: taken back and left alone. As
 * pauser_resume. */
int pauser_give_up(struct pauser *p, struct pause_entry *e, uint64_t now_usec) _nodiscard_;

/* At start, after knobs_adopt: the leases of an earlier daemon that still stand become entries again
 * (RESUME_WHY_ADOPTED is not used for them: they are paused for PAUSE_WHY_GROWTH, since now, a microsecond
 * apart, so that the oldest stays the oldest). What finds no room is let run. Returns how many. */
unsigned pauser_adopt(struct pauser *p, const struct config *c, uint64_t now_usec);
/* After a fence, when the journal has been read again: entries whose lease is gone are forgotten. Returns how
 * many. */
unsigned pauser_reload(struct pauser *p);
/* The configuration has changed: each gets its class anew, and those that `keep` does not want are let run,
 * the oldest first. Returns how many. */
typedef bool (*pauser_keep_fn)(void *user, const struct pause_entry *e);
unsigned pauser_reconfigure(struct pauser *p, const struct config *c, pauser_keep_fn keep, void *user);
/* Whether the configuration still allows what the lease of a pause says (for knobs_adopt). */
bool pauser_wants(const struct config *c, const struct lease *l);

struct pause_entry *pauser_find(struct pauser *p, uint64_t id, pid_t pid); /* NULL: not paused by us */
/* Whether all that is in this cgroup is paused by us, since it is in one that is. */
bool pauser_holds(const struct pauser *p, const char *cgroup_path);
/* Leaves it alone for PAUSE_YIELD_USEC. */
void pauser_yield(struct pauser *p, uint64_t id, pid_t pid, uint64_t now_usec);
bool pauser_yields(const struct pauser *p, uint64_t id, pid_t pid, uint64_t now_usec);
unsigned pauser_count(const struct pauser *p);
