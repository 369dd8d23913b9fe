/* The fence: what takes the brake's place when nobody is there to act on it. memory.high without a living
 * daemon throttles for ever and never calls the kernel's killer (measured: PSI full 97 %, 5 of 12 tasks);
 * memory.max at the same limit lets the work go on and keeps a kernel OOM kill inside the workload. */
#pragma once

#include "action/journal.h"
#include "base/macros.h"
#include "kernel/cgroup.h"

/* For every memory.high in the journal that is still ours: memory.max = limit (leased, unless it is tighter
 * already), then memory.high back to what it was. Returns how many workloads were fenced, or negative errno.
 */
int fence_raise(int root_fd, int runtime_fd, const struct hierarchy *h) _nodiscard_;
