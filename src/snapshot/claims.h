/* user.headroom.* (and systemd's user.oomd_avoid, user.oomd_omit) of a cgroup's directory, as values. What
 * does not parse is as if it were not there: a group cannot break a decision by what it says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/snapshot.h"

/* `real_offset_usec`: CLOCK_REALTIME − CLOCK_BOOTTIME, since user.headroom.started is in seconds of the
 * epoch. The owner is part of the task's hash: everybody has task names of his own. */
void claims_read(int cgroup_fd, uint64_t real_offset_usec, uint32_t owner_uid, struct group_claims *ret);

/* One attribute; false: the name is not ours, or the value is none. For tests. */
bool claims_parse(const char *name, const char *value, uint64_t real_offset_usec,
                  struct group_claims *claims);

/* CLOCK_REALTIME − CLOCK_BOOTTIME, where the latter is `boot_usec` now. */
uint64_t claims_real_offset_usec(uint64_t boot_usec);
