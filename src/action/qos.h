/* A plan of memory QoS (model/qos) into the tree, as leases: what is planned is written, and what was written
 * for an earlier plan and is not in this one is put back. */
#pragma once

#include "action/knobs.h"
#include "model/qos.h"

struct qos_done {
    unsigned written;  /* knobs that have got another value */
    unsigned stood;    /* that had it */
    unsigned restored; /* of an earlier plan */
    unsigned scores;   /* processes */
    unsigned failed;
    int error; /* of the first that failed, and where */
    char path[GROUP_PATH_MAX];
    enum qos_knob knob;
};

/* What others want, where the value of a knob is ours: `foreign` of the cgroups, for the plan. */
void qos_note_leases(struct lease_table *table, struct qos_cgroup *cgroups, unsigned count);

/* In an order in which no child's protection is ever more than its parent's: what rises from the root down,
 * what falls from the leaves up. */
void qos_apply(struct knobs *k, const struct qos_cgroup *cgroups, unsigned count, uint64_t now_usec,
               struct qos_done *ret);

/* Puts all back, as knobs_restore_all(); children of processes whose oom_score_adj was set, too. */
unsigned qos_restore(struct knobs *k, unsigned *ret_left, unsigned *ret_failed);
