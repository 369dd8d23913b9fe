/* cgroup.freeze (5.2). Freezing is asked for here and confirmed by `frozen` in cgroup.events. */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

int freezer_read(int cgroup_fd, bool *ret_frozen) _nodiscard_; /* what was asked for, not what is so */
int freezer_write(int cgroup_fd, bool frozen) _nodiscard_;
