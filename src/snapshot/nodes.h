/* The NUMA nodes of the machine, where it has more than one with memory: what is had on each, and which of
 * them a cgroup is bound to. Where there is one alone nothing is opened or read. */
#pragma once

#include "snapshot/reader.h"

/* At the start, and when the configuration is read anew: nodes may come (memory that is plugged in). More
 * than NODELIST_MAX, or one that cannot be read, is as if there were one alone. */
void nodes_open(struct snapshot_reader *r);
void nodes_close(struct snapshot_reader *r);
/* At each look. Returns the nodes that were read; 0: none. What cannot be read is not acted on, and does not
 * keep the machine as a whole from being looked at. */
uint64_t nodes_read(struct snapshot_reader *r, const struct node *n,
                    struct numa_node ret[static NODELIST_MAX]);
/* The nodes that a cgroup of this path may have memory on, where those are not all of them; else 0. */
uint64_t nodes_bound(const struct snapshot_reader *r, int cgroup_fd, const char *path);
