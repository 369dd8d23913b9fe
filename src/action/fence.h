/* The fence: what takes the brake's place when nobody is there to act on it. memory.high without a living
 * daemon throttles for ever and never calls the kernel's killer (measured: PSI full 97 %, 5 of 12 tasks);
 * memory.max at the same limit lets the work go on and keeps a kernel OOM kill inside the workload. What is
 * paused is let run before it: a pause without a living daemon would last for ever, too. */
#pragma once

#include <stdbool.h>

#include "action/journal.h"
#include "base/macros.h"
#include "kernel/cgroup.h"

struct fence_done {
    unsigned thawed; /* pauses that were let run */
    unsigned fenced; /* workloads */
};

/* First every pause in the journal that is still ours is let run, the oldest first: whoever would have done
 * it is not there. Then, for every memory.high in it that is still ours: memory.max = limit (leased, unless
 * it is tighter already), then memory.high back to what it was.
 *
 * `signals`: processes that were stopped may be let run by pid. *ret_table is what the journal says
 * afterwards (the caller's, since it is large). Returns 0, also where there was nothing to do, or the last
 * negative errno; *ret_done counts what was done in both cases, and where that is anything, a daemon that
 * wakes up again has to read the journal anew. */
int fence_raise(int root_fd, int runtime_fd, const struct hierarchy *h, bool signals,
                struct lease_table *ret_table, struct fence_done *ret_done) _nodiscard_;
