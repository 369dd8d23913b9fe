/* oom_score_adj of processes as leases (action/knobs): by pid and start time, plus JOURNAL_SCORE_ZERO, since
 * a journal has no signs. A process that forks hands ours on to its child, which then has no value of its own
 * to go back to: it gets what its parent had. */
#pragma once

#include <stdbool.h>

#include "action/knobs.h"

/* 1: something was changed, or is known to be ours, 0: nothing is to be done, or it is gone. One that
 * somebody has changed since is his, and one that came with less than 0 is never raised. `path` is of its
 * cgroup; `before` the last lease of the table when nobody had `value` in it yet (lease_table.last_sequence
 * before this pass over the processes). */
int score_apply(struct knobs *k, const char *path, pid_t pid, uint64_t value, uint64_t before) _nodiscard_;
/* A lease of one that was born with `value`, which is ours. Results as above. */
int score_inherit(struct knobs *k, const char *path, pid_t pid, uint64_t value) _nodiscard_;

/* For knobs_restore() and knobs_stands(). */
int score_restore(struct knobs *k, struct lease *l) _nodiscard_;
bool score_stands(const struct knobs *k, const struct lease *l);
bool score_lives(const struct knobs *k, const struct lease *l); /* the process is there, whatever its value */
