/* Where the memory of what we do for a group comes from. Who writes memory.reclaim compresses for zswap and
 * zram, and its own NUMA policy says on which node that is kept: so it prefers the group's nodes meanwhile.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define NODE_SET_MAX 1024 /* nodes: MAX_NUMNODES of the largest kernels */

struct node_set {
    unsigned long bits[NODE_SET_MAX / (8 * sizeof(unsigned long))];
    unsigned count;
};

/* A list as the kernel writes it: "0-1,4". Empty is a set of none; -EBADMSG: it is no list. */
int node_set_parse(const char *buf, size_t length, struct node_set *ret) _nodiscard_;

/* The caller's policy prefers the nodes of the cgroup (cpuset.mems.effective). 1: it does; 0: there is
 * nothing to prefer (one node, no cpuset controller there, or all nodes are the group's). Negative errno:
 * not read, or not taken (EINVAL before 5.15, EPERM where a filter forbids it). */
int mempolicy_prefer_of(int root_fd, int cgroup_fd);
void mempolicy_reset(void);
