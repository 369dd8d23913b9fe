/* NUMA nodes: what each has (nodeN/meminfo), which have any, and what a cgroup holds on which
 * (memory.numa_stat). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/nodelist.h"

struct numa_meminfo {
    uint64_t total;
    uint64_t free;
    uint64_t active_file;
    uint64_t inactive_file;
    uint64_t kreclaimable; /* 4.20; else SReclaimable */
};

/* -EBADMSG: MemTotal or MemFree missing, a wanted value that is no number, without " kB", or over 64 bits of
 * bytes; a line that does not begin with "Node N". */
int numa_meminfo_parse(const char *buf, size_t length, struct numa_meminfo *ret) _nodiscard_;
int numa_meminfo_pread(int fd, struct numa_meminfo *ret) _nodiscard_;
int numa_meminfo_open(int root_fd, unsigned node) _nodiscard_;

/* The node's pools of huge pages, of all sizes: never free for anybody else. 0 where there are none. */
uint64_t numa_read_hugetlb(int root_fd, unsigned node);

/* Nodes that have memory. -ENOENT: the kernel knows of no nodes. */
int numa_read_nodes(int root_fd, uint64_t *ret_nodes) _nodiscard_;
/* Those on which a cgroup's processes may have memory: its cpuset.mems.effective, or that of the nearest of
 * what it is in, at most `levels` up, that has one. -ENOENT: none has. */
int numa_read_mems(int cgroup_fd, unsigned levels, uint64_t *ret_nodes) _nodiscard_;

/* What a cgroup holds on some nodes. Its sockets are not told apart, and of its kernel memory only stacks,
 * page tables and slab are. */
struct numa_stat {
    uint64_t anon;
    uint64_t shmem;
    uint64_t kernel; /* less reclaimable slab */
};

/* -EBADMSG: `anon` or `shmem` missing, or a wanted line that is not "KEY N0=NUMBER N1=NUMBER …". */
int numa_stat_parse(const char *buf, size_t length, uint64_t nodes, struct numa_stat *ret) _nodiscard_;
int numa_stat_read_at(int cgroup_fd, uint64_t nodes, struct numa_stat *ret) _nodiscard_;
