/* Processes as groups: of a cgroup whose class says Unit=process (Ray keeps all of its workers in one), or of
 * a host without a usable hierarchy. Their size is RssAnon + VmSwap of /proc/PID/status: Pss would cost a
 * walk of every page table, and pages that are shared do not come back with one process. */
#pragma once

#include "snapshot/reader.h"

void processes_of_cgroup(struct snapshot_reader *r, struct snapshot *s, unsigned class_index,
                         unsigned workload_index, int cgroup_fd, const char *path);
int processes_of_host(struct snapshot_reader *r, struct snapshot *s) _nodiscard_;
