/* What a cgroup is charged for, by kind, from memory.stat. All in bytes, hierarchical.
 * The counters may be stale by up to 64 pages × CPUs, or 2 s (rstat flush); memory.current is exact. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct memory_stat {
    uint64_t anon;
    uint64_t file; /* page cache, shmem included */
    uint64_t
        kernel; /* 5.18: stacks, page tables, percpu, vmalloc, slab; else the sum of those that are there */
    uint64_t sock;
    uint64_t shmem;
    uint64_t file_dirty;
    uint64_t file_writeback; /* pages on their way to swap, too */
    uint64_t swapcached;     /* in memory, and still with a place in swap */
    uint64_t inactive_anon;
    uint64_t active_anon;
    uint64_t inactive_file;
    uint64_t active_file;
    uint64_t unevictable;
    uint64_t slab_reclaimable;
    uint64_t workingset_refault_anon; /* pages */
    uint64_t workingset_refault_file; /* pages */
    uint64_t pgscan;                  /* pages that reclaim has looked at */
    uint64_t pgsteal;                 /* and taken */
    uint64_t zswap;                   /* what zswap's pages take */
    uint64_t zswapped;                /* and took before */
};

/* What it swaps, read apart from the above: some kernels lack the last keys, and a read that waits for them
 * goes through all of the file. */
struct memory_stat_swap {
    uint64_t zswapped;
    uint64_t workingset_refault_anon; /* pages */
    bool has_out;                     /* the kernel tells of the next one (6.13) */
    uint64_t out;      /* pages written to swap devices, zram among them; not what zswap keeps */
    uint64_t zswap_in; /* pages that came back from zswap */
};

/* -EBADMSG: `anon`, `file` or `shmem` missing, or a wanted value that is no number. Other keys that are
 * absent read as 0. Of a key that comes twice the first one counts. */
int memory_stat_parse(const char *buf, size_t length, struct memory_stat *ret) _nodiscard_;
int memory_stat_pread(int fd, struct memory_stat *ret) _nodiscard_;
int memory_stat_read_at(int dir_fd, struct memory_stat *ret) _nodiscard_;
/* Keys that are absent read as 0; -EBADMSG: a value that is no number. */
int memory_stat_swap_parse(const char *buf, size_t length, struct memory_stat_swap *ret) _nodiscard_;
int memory_stat_swap_read_at(int dir_fd, struct memory_stat_swap *ret) _nodiscard_;
/* Anonymous and shared memory, kernel memory and sockets: what reclaim to file cannot give back. */
uint64_t memory_stat_used(const struct memory_stat *m);
/* Of what has a place in swap (memory.swap.current), what is not in `anon` or `shmem` as well: a page that
 * was read back keeps its place for as long as it is clean, and counts in both. A page on its way out is on
 * the LRU lists and in the swap cache, but in `anon` no more. */
uint64_t memory_stat_only_swap(const struct memory_stat *m, uint64_t swap_current);
/* Anonymous memory that is being written to a swap device: it is charged until that has ended and reclaim
 * comes by again. Pages of files that are written back are none of it. */
uint64_t memory_stat_leaving(const struct memory_stat *m);
