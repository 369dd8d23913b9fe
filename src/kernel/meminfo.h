/* /proc/meminfo in bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct meminfo {
    uint64_t total;
    uint64_t free;
    uint64_t available; /* the kernel's estimate (3.14); absent: free + file pages + reclaimable slab */
    uint64_t active_file;
    uint64_t inactive_file;
    uint64_t anon; /* resident; without shmem */
    uint64_t shmem;
    uint64_t kreclaimable; /* 4.20; else SReclaimable */
    uint64_t swap_total;
    uint64_t swap_free;
    uint64_t hugetlb; /* pool of huge pages, of all sizes: never free for anybody else */
};

/* -EBADMSG: MemTotal or MemFree missing, a wanted value that is no number, without " kB", or over 64 bits of
 * bytes. Absent others read as 0. Of a key that comes twice the first one counts. */
int meminfo_parse(const char *buf, size_t length, struct meminfo *ret) _nodiscard_;
int meminfo_pread(int fd, struct meminfo *ret) _nodiscard_;
int meminfo_open(int root_fd) _nodiscard_; /* <root>/proc/meminfo */
