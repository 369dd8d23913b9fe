/* /proc/PID/oom_score_adj, −1000 … 1000. */
#pragma once

#include <sys/types.h>

#include "base/macros.h"

int oom_score_read_adj(int root_fd, pid_t pid, int *ret_adj) _nodiscard_;
int oom_score_write_adj(int root_fd, pid_t pid, int adj);
int oom_score_parse_adj(const char *buf, size_t length, int *ret_adj) _nodiscard_;
