/* Memory QoS by class: what every knob of every cgroup is to be (DESIGN, "QoS"). Pure: no allocation, no
 * float, linear in the number of cgroups; the result depends on what others have set and never on what we
 * have, so that what was applied is planned again.
 *
 * The formulas are Kubernetes' (KEP-2570 memory QoS, KEP-2400 swap), so that a node that both take care of is
 * not pulled two ways. Where we deviate:
 *  - guaranteed: memory.min stays a fiftieth of the limit below memory.max. The KEP has min = max, and then
 * page cache in the group cannot be reclaimed: a reader of a large file is OOM-killed (kubernetes#126485;
 * measured on 6.1 and 6.12).
 *  - the root of Kubernetes' tree gets, beside the KEP's memory.min (guaranteed and burstable requests
 * together), a memory.low of what is in it: the kernel bounds a cgroup's low by its parent's low
 * (mm/memcontrol.c, effective_protection), so without one the pods' memory.low has no effect but by
 * memory_recursiveprot.
 *  - the limit is rounded down to pages before it enters a formula, as the kernel does with memory.max.
 *  - what others hold tighter, or protect better, stays: we only tighten limits and raise protections. */
#pragma once

#include <stdint.h>

#include "base/macros.h"
#include "model/qos.h"

enum qos_verdict {
    QOS_GOOD,
    QOS_EXCESS,    /* more protection is asked for than there is: *ret_excess says who */
    QOS_MALFORMED, /* a parent behind its child, or a class that there is not */
};

/* Fills plan of each cgroup. Where the verdict is not QOS_GOOD, the plan is not to be applied. */
enum qos_verdict qos_plan(const struct config *c, const struct qos_node *node, struct qos_cgroup *cgroups,
                          unsigned count, struct qos_excess *ret_excess) _nodiscard_;

/* memory.high = floor((R + f × (L − R)) / page) × page, f in permyriad (KEP-2570, since v1.27; a limit that
 * is not set is the node's allocatable memory). UINT64_MAX, which sets none: f = 0, or R >= L, where there is
 * nothing between the two. */
uint64_t qos_memory_high(uint64_t request_bytes, uint64_t limit_bytes, unsigned factor_permyriad,
                         uint64_t page_bytes);
/* memory.min of a guaranteed group: min(R, L − L/50), in whole pages. */
uint64_t qos_guaranteed_min(uint64_t request_bytes, uint64_t limit_bytes, uint64_t page_bytes);
/* A share of swap, or of zswap's pool, in the request's proportion to the node's memory (KEP-2400,
 * LimitedSwap: memory.swap.max = R / node memory × swap), in whole pages. */
uint64_t qos_share(uint64_t request_bytes, uint64_t total_bytes, uint64_t of_bytes, uint64_t page_bytes);
/* oom_score_adj of a priority: 1000 − priority, so that lower priorities go first and any work before the
 * system (0); of protected ones (1000) −999, since −1000 would leave the kernel nobody where only they are
 * left. */
int qos_score(unsigned priority);
