/* What the node has read from block devices, and how much of it was memory that had been swapped out, from
 * /proc/vmstat. Bytes since boot. zram is not among them: nothing waits for a device there. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct vmstat {
    uint64_t read;     /* pgpgin (KiB): all reads, those of swap included */
    uint64_t swap_in;  /* pswpin (pages), with what is read ahead */
    uint64_t swap_out; /* pswpout (pages): what went to devices, zram among them; not what zswap keeps */
};

/* What is swapped. Apart, since zswap's counters are among the last of the file. */
struct vmstat_swap {
    uint64_t in, out;             /* as above */
    uint64_t zswap_in, zswap_out; /* zswpin, zswpout (pages): what zswap gave and took; 0 without it */
};

/* -EBADMSG: a key missing, or a value that is no number. */
int vmstat_parse(const char *buf, size_t length, struct vmstat *ret) _nodiscard_;
int vmstat_pread(int fd, struct vmstat *ret) _nodiscard_;
int vmstat_swap_parse(const char *buf, size_t length, struct vmstat_swap *ret) _nodiscard_;
int vmstat_swap_pread(int fd, struct vmstat_swap *ret) _nodiscard_;
int vmstat_open(int root_fd) _nodiscard_;
