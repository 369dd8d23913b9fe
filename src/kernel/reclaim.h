/* memory.reclaim (5.19): the kernel is asked to take memory from a cgroup and to hand it to files or swap.
 * Its return code tells little: EAGAIN is a partial success, and a kernel without CONFIG_NUMA may say yes and
 * do nothing; so what stands in memory.current and memory.swap.current before and after is believed. It
 * ignores the protection of the very cgroup that it is asked for, so that is kept here. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

#define RECLAIM_SWAPPINESS_UNSET UINT_MAX
/* Asked for at once: what a stop, a limit or a protection that was raised meanwhile comes too late for. */
#define RECLAIM_CHUNK_BYTES (UINT64_C(4) << 20)

struct reclaim_result {
    uint64_t asked_bytes;
    uint64_t freed_bytes;   /* memory.current before less after; 0 where it grew */
    uint64_t swapped_bytes; /* memory.swap.current after less before */
    uint64_t stolen_bytes;  /* pgsteal of memory.stat after less before: all that was reclaimed there */
    uint64_t zswap_bytes;   /* memory.zswap.current after less before: what compressed pages still take */
};

/* One write, which blocks for as long as the kernel works. *swappiness: 0 … 200, or RECLAIM_SWAPPINESS_UNSET;
 * where the kernel does not know it (6.1) it is left out, and set to UNSET for the next time. 0;
 * -EAGAIN: not all of it; -EINTR: a signal came; -EOPNOTSUPP: there is no memory.reclaim; -ENODEV: it is
 * gone.
 */
int reclaim_write(int cgroup_fd, uint64_t bytes, unsigned *swappiness) _nodiscard_;

/* Whether the kernel takes swappiness= with a request (6.12 does, 6.1 does not): 0, or -EINVAL. A request for
 * nothing tells, and does nothing. Other negative errno: the cgroup has gone, or has no memory.reclaim. */
int reclaim_try_swappiness(int cgroup_fd);

/* A limit that is below what is used makes its writer reclaim. It is in force as soon as the write has begun;
 * what is reclaimed (and, for memory.max, killed) after that may take long, and no more than about so long
 * is waited for. 0, or negative errno. By SIGALRM: only one thread. */
int reclaim_write_limit(int cgroup_fd, const char *knob, uint64_t value, uint64_t limit_usec);

/* Asked before each chunk: 0 to go on, anything else ends it and is passed up. */
typedef int (*reclaim_go_fn)(void *user);

struct reclaim_request {
    uint64_t bytes;
    uint64_t chunk_bytes; /* asked for at once; 0: RECLAIM_CHUNK_BYTES */
    unsigned swappiness;  /* as reclaim_write takes it */
};

/* Up to q->bytes, what is on its way to a swap device included, in chunks, at no time more than
 * memory.current − max(memory.min, memory.low) as they stand just before the write. 0: all of it was asked
 * for, or all that may be; -EAGAIN: there is no more to be had; what `go` has said; or an error as above.
 * *ret is filled in any case. */
int reclaim_run(int cgroup_fd, const struct reclaim_request *q, reclaim_go_fn go, void *user,
                struct reclaim_result *ret) _nodiscard_;
