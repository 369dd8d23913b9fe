/* What is read of one group, through the descriptor of its directory. */
#pragma once

#include "kernel/memory_stat.h"
#include "snapshot/reader.h"

int group_read_stat(int dir_fd, struct memory_stat *ret) _nodiscard_;
/* A life begins with the first process: age, CPU time and growth count from there. */
void group_begin_life(const struct snapshot_reader *r, struct group_handle *h, int dir_fd, uint64_t now_usec);
/* What is read at each walk; of what changes slowly, what is due. */
void group_read(const struct snapshot_reader *r, const struct snapshot *s, struct group_handle *h, int dir_fd,
                const struct memory_stat *m, struct group *g);
