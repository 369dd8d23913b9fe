/* What the node has read from block devices, and how much of it was memory that had been swapped out, from
 * /proc/vmstat. Bytes since boot. zram is not among them: nothing waits for a device there. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct vmstat {
    uint64_t read;     /* pgpgin (KiB): all reads, those of swap included */
    uint64_t swap_in;  /* pswpin (pages), with what is read ahead */
    uint64_t zswap_in; /* zswpin, zswpout (pages): what zswap took and gave; 0 without it */
    uint64_t zswap_out;
    uint64_t swap_out; /* pswpout (pages): what went to devices, zram among them; not what zswap keeps */
};

/* -EBADMSG: a key missing, or a value that is no number. */
int vmstat_parse(const char *buf, size_t length, struct vmstat *ret) _nodiscard_;
int vmstat_pread(int fd, struct vmstat *ret) _nodiscard_;
int vmstat_open(int root_fd) _nodiscard_;
