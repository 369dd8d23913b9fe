/* Where the memory of what we do for a group comes from. Who writes memory.reclaim compresses for zswap and
 * zram, and its own NUMA policy says on which node that is kept: so it prefers the group's nodes meanwhile.
 */
#pragma once

/* The caller's policy prefers the nodes of the cgroup (cpuset.mems.effective). 1: it does; 0: there is
 * nothing to prefer (one node, no cpuset controller there, or all nodes are the group's). Negative errno:
 * not read, or not taken (EINVAL before 5.15, EPERM where a filter forbids it). */
int mempolicy_prefer_of(int root_fd, int cgroup_fd);
void mempolicy_reset(void);
