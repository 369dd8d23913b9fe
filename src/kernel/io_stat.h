/* What a cgroup has written to block devices (io.stat): bytes, with all that is below it, since it was made.
 * What is swapped out counts for the cgroup whose page it is, whoever reclaims. Only where the io controller
 * is on. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "kernel/swap.h"

/* Of the devices that swap areas are. A device without a line was never written to. -EBADMSG: a line of one
 * of them that has no wbytes. */
int io_stat_parse(const char *buf, size_t length, const struct swap_disks *disks,
                  uint64_t *ret_written) _nodiscard_;
int io_stat_read_at(int dir_fd, const struct swap_disks *disks, uint64_t *ret_written) _nodiscard_;
