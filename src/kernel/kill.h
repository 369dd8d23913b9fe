/* Ending what a group runs. cgroup.kill (5.14) takes a whole subtree and cannot be outrun by fork; without it
 * every process is signalled by pidfd until none is left. process_mrelease (5.15) takes the memory of a
 * process that is already dying. None of these calls waits for the victim. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

/* SIGKILL to everything in the cgroup and below it. -EOPNOTSUPP: threaded; -ENOENT: kernel before 5.14, or
 * the cgroup is gone (kill_cgroup_procs then says -ENOENT, too). */
int kill_cgroup(int cgroup_fd) _nodiscard_;
/* One pass of pidfd + SIGKILL over cgroup.procs of this one cgroup (not below). Returns how many were
 * signalled. Our own process is passed over. */
int kill_cgroup_procs(int cgroup_fd) _nodiscard_;

int kill_pidfd_open(pid_t pid) _nodiscard_; /* -ESRCH: gone */
int kill_pidfd_signal(int pidfd, int signal);
/* -EINVAL: not dying, -EAGAIN: its mmap lock is busy, -ESRCH: memory already gone, -ENOSYS: before 5.15. */
int kill_mrelease(int pidfd) _nodiscard_;
