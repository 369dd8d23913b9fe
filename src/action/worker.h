/* The worker: the companion that does the writes which block. Lowering memory.high or memory.max, and
 * memory.reclaim, reclaim in the writer's context for as long as the kernel likes; process_mrelease frees a
 * dying process's memory page by page. The loop sends a request and goes on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "kernel/reclaim.h"
#include "system/companion.h"

#define WORKER_PATH_MAX 256
#define WORKER_KNOB_MAX 24
#define WORKER_PIDS_MAX 16

enum worker_op {
    WORKER_WRITE,    /* value → knob of the cgroup, where it still has that id */
    WORKER_MRELEASE, /* take the memory of pids that are dying */
    WORKER_RECLAIM,  /* push `value` bytes of the cgroup out, as kernel/reclaim says */
    WORKER_OFFLOAD,  /* the same, which makes way for anything. -EINVAL: swappiness= is not known here */
};

struct worker_request {
    enum worker_op op;
    uint64_t cgroup_id;
    char path[WORKER_PATH_MAX];
    char knob[WORKER_KNOB_MAX];
    uint64_t value;
    pid_t pids[WORKER_PIDS_MAX];
    unsigned pid_count;
    unsigned domain_length; /* of WORKER_RECLAIM: how much of path is the domain, whose own protection is none
                             * within it; 0: all of the hierarchy */
    unsigned swappiness; /* of a reclaim: RECLAIM_SWAPPINESS_UNSET for the cgroup's own (0 is a value, too) */
    uint64_t limit_usec; /* of a reclaim: no more work than about this; 0: as long as it takes */
    uint64_t spread_usec;    /* of a reclaim: in small pieces over about this time; 0: at once */
    unsigned rest;           /* of a reclaim that is spread: then so many times as long as it worked */
    uint64_t ticket;         /* handed back; 0: none */
    uint64_t fence_sequence; /* of a write: not after another fence than that (-ECANCELED) */
};

struct worker_reply {
    enum worker_op op;
    uint64_t cgroup_id;
    uint64_t ticket;
    char knob[WORKER_KNOB_MAX];
    int result;    /* 0, or negative errno; of mrelease: how many were released */
    uint64_t usec; /* of work: what a reclaim was spread over is not in it */
    /* Of a reclaim, whatever its result: 0, -EAGAIN (no more to be had), -ETIMEDOUT (limit_usec), -EINTR
     * (something more urgent waits for the worker, or, where it is spread, anything), -ENOENT, -ENODEV,
     * -EOPNOTSUPP (before 5.19). */
    uint64_t freed_bytes;   /* memory.current before less after */
    uint64_t swapped_bytes; /* of these, to swap */
    uint64_t stolen_bytes;  /* reclaimed in that cgroup meanwhile, by anybody */
    uint64_t zswap_bytes;   /* what of those to swap is still there, compressed */
    uint64_t asked_bytes;   /* of the kernel, so far */
    uint64_t paused_usec;   /* of what was spread: between its pieces, and after them */
};

struct worker_options {
    const char *sysroot;
    bool signals;                   /* may touch processes (never in a recorded tree) */
    const uint64_t *fence_sequence; /* as it is now, in a page that is shared */
};

/* The companion's main; `user` is a struct worker_options. */
int worker_main(int fd, void *user);
