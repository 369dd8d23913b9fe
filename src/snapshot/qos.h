/* The cgroups whose memory QoS is to be planned, from the tree as it stands: the groups of classes with QoS=
 * in the workloads, with what they are in up to the hierarchy's root, parents before children. Of Kubernetes'
 * pods the containers are the groups; tier and pod come from their paths, their limit from memory.max and
 * their request from oom_score_adj, where their class says nothing else. */
#pragma once

#include "base/macros.h"
#include "model/qos.h"
#include "snapshot/reader.h"

struct qos_tree {
    struct qos_cgroup *cgroups; /* storage of the caller */
    unsigned max;
    unsigned count;
    unsigned left_out; /* had no place, or could not be read: they may have had one before */
    unsigned too_long; /* have a path longer than any that is handled, and never had a place */
};

/* The workloads must have been found. All but the plan is filled; `foreign` is what stands. Negative errno: a
 * workload's directory cannot be read. */
int qos_read_tree(const struct snapshot_reader *r, const struct snapshot *s, struct qos_tree *t) _nodiscard_;
