/* A plan of memory QoS (model/qos) into the tree, as leases: what is planned is written, and what was written
 * for an earlier plan and is not in this one is put back. */
#pragma once

#include "action/knobs.h"
#include "model/qos.h"

/* In run/headroom: whoever changes what the journal says holds it, and a keeper says in it that it does. */
#define QOS_LOCK "lock-qos"
#define QOS_LOCK_DAEMON "headroomd"

#define QOS_DRIFT_AGE_USEC UINT64_C(600000000)

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

/* A unit of systemd's that was started anew has another cgroup, with our values, which are in its drop-ins:
 * their leases go on there. */
void qos_follow_units(struct knobs *k, struct qos_cgroup *cgroups, unsigned count, uint64_t now_usec);

/* What others want, where the value of a knob is ours: `foreign` of the cgroups, for the plan; what is held,
 * has drifted and was yielded. Makes the index of the cgroups (qos_index), which the others need. */
void qos_note_leases(struct lease_table *table, struct qos_cgroup *cgroups, unsigned count,
                     uint64_t now_usec);

/* Of a lease of ours, systemd is told `value`: it is ours for as long as systemd has it. */
void qos_note_told(struct lease_table *table, const struct lease *l, uint64_t value);
/* The same of what an earlier keeper has told, as far as it is certain: where ours stands, and was not
 * overwritten, what systemd has is from us. */
void qos_adopt_told(struct knobs *k);

/* After the plan: a knob that somebody else has set is set again if `reapply`, where the plan still asks for
 * it and it was not within QOS_DRIFT_AGE_USEC before; else it is his, and taken out of the plan. k->drifted
 * is told of each. */
void qos_settle_drifts(struct knobs *k, struct qos_cgroup *cgroups, unsigned count, bool reapply,
                       uint64_t now_usec);

/* In an order in which no child's protection is ever more than its parent's: what rises from the root down,
 * what falls from the leaves up. What an earlier plan has set and this one does not is put back first; unless
 * `whole`, not of cgroups that are missing, since they may only not have been readable. */
void qos_apply(struct knobs *k, const struct qos_cgroup *cgroups, unsigned count, bool whole,
               uint64_t now_usec, struct qos_done *ret);

/* Puts all back, as knobs_restore_all(); children of processes whose oom_score_adj was set, too. */
unsigned qos_restore(struct knobs *k, unsigned *ret_left, unsigned *ret_failed);
