#include "policy/qos.h"

#include <string.h>

#include "base/units.h"

#define GUARANTEED_GAP 50 /* memory.min stays this part of the limit below it */
#define USED_MARGIN 64    /* part of the limit that a group which is over it may still grow by */
#define SCORE_PROTECTED (-999)

struct planning {
    const struct config *config;
    const struct qos_node *node;
    struct qos_cgroup *cgroups;
};

static uint64_t whole_pages(uint64_t bytes, uint64_t page_bytes)
{
    return bytes == UINT64_MAX || page_bytes == 0 ? bytes : bytes / page_bytes * page_bytes;
}

uint64_t qos_memory_high(uint64_t request_bytes, uint64_t limit_bytes, unsigned factor_permyriad,
                         uint64_t page_bytes)
{
    if (factor_permyriad == 0 || request_bytes >= limit_bytes || limit_bytes == UINT64_MAX)
        return UINT64_MAX;
    return whole_pages(request_bytes + u64_mul_div(limit_bytes - request_bytes, factor_permyriad, PERMYRIAD),
                       page_bytes);
}

uint64_t qos_guaranteed_min(uint64_t request_bytes, uint64_t limit_bytes, uint64_t page_bytes)
{
    return whole_pages(u64_min(request_bytes, limit_bytes - limit_bytes / GUARANTEED_GAP), page_bytes);
}

uint64_t qos_share(uint64_t request_bytes, uint64_t total_bytes, uint64_t of_bytes, uint64_t page_bytes)
{
    return whole_pages(u64_mul_div(u64_min(request_bytes, total_bytes), of_bytes, u64_max(total_bytes, 1)),
                       page_bytes);
}

int qos_score(unsigned priority)
{
    return priority >= CONFIG_PRIORITY_PROTECTED ? SCORE_PROTECTED : QOS_SCORE_ZERO - (int)priority;
}

/* ---- one knob ---- */

static bool has(const struct qos_cgroup *g, enum qos_knob k)
{
    return g->files & QOS_KNOB_BIT(k);
}

static uint64_t foreign(const struct qos_cgroup *g, enum qos_knob k, uint64_t if_absent)
{
    return has(g, k) ? g->foreign[k] : if_absent;
}

static bool is_kubes(const struct qos_cgroup *g)
{
    return g->kube.kind != KUBE_NONE;
}

static void leave(struct qos_cgroup *g, enum qos_knob k, enum qos_why why)
{
    g->plan[k] = (struct qos_value){.why = why};
}

/* A protection of at least so much. */
static void raise_to(struct qos_cgroup *g, enum qos_knob k, uint64_t value, enum qos_why why)
{
    if (value == 0)
        return;
    if (!has(g, k))
        leave(g, k, QOS_WHY_ABSENT);
    else if (g->foreign[k] >= value)
        leave(g, k, QOS_WHY_MORE);
    else
        g->plan[k] = (struct qos_value){value, why};
}

/* A limit of at most so much. */
static void lower_to(struct qos_cgroup *g, enum qos_knob k, uint64_t value, enum qos_why why)
{
    if (value == UINT64_MAX)
        return;
    if (!has(g, k))
        leave(g, k, QOS_WHY_ABSENT);
    else if (g->foreign[k] <= value)
        leave(g, k, QOS_WHY_TIGHTER);
    else
        g->plan[k] = (struct qos_value){value, why};
}

static void put(struct qos_cgroup *g, enum qos_knob k, uint64_t value, enum qos_why why)
{
    if (has(g, k))
        g->plan[k] = (struct qos_value){value, why};
    else
        leave(g, k, QOS_WHY_ABSENT);
}

/* ---- what a group is to have ---- */

/* Its limit for the formulas: its own, what somebody else has set, what it could have at most; whole pages.
 */
static uint64_t group_limit(const struct planning *p, const struct qos_cgroup *g)
{
    return whole_pages(
        u64_min(u64_min(g->limit_bytes, foreign(g, QOS_MEMORY_MAX, UINT64_MAX)), g->work.bound),
        p->node->page_bytes);
}

/* Kubernetes' rules: without QoS there is no request; a limit alone is a guaranteed group's request, too; and
 * what was read back from a container's score is true to a thousandth of the node, so never above its limit.
 */
static uint64_t group_request(const struct qos_cgroup *g, uint64_t limit)
{
    switch (g->tier) {
    case QOS_GUARANTEED:
        if (g->request_bytes == 0 && g->limit_bytes != UINT64_MAX)
            return limit;
        break;
    case QOS_BURSTABLE:
        break;
    case QOS_BESTEFFORT:
    case QOS_KUBERNETES:
    case QOS_UNSET:
        return 0;
    }
    return is_kubes(g) ? u64_min(g->request_bytes, limit) : g->request_bytes;
}

static void plan_swap(const struct planning *p, const struct class_config *class, struct qos_cgroup *g,
                      uint64_t request, uint64_t limit)
{
    const struct qos_node *n = p->node;

    if (n->swap_bytes == 0)
        return;
    if (class->swap_max.kind != AMOUNT_UNSET) {
        lower_to(g, QOS_SWAP_MAX,
                 whole_pages(amount_bytes(&class->swap_max, n->swap_bytes, 0), n->page_bytes),
                 QOS_WHY_SWAP_MAX);
        return;
    }
    /* KEP-2400: burstable only, and no container whose request is its limit. */
    if (g->tier != QOS_BURSTABLE || request >= limit) {
        lower_to(g, QOS_SWAP_MAX, 0, QOS_WHY_NO_SWAP);
        if (n->zswap_bytes > 0)
            lower_to(g, QOS_ZSWAP_MAX, 0, QOS_WHY_NO_SWAP);
        return;
    }
    lower_to(g, QOS_SWAP_MAX, qos_share(request, n->total_bytes, n->swap_bytes, n->page_bytes),
             QOS_WHY_SWAP_SHARE);
    if (n->zswap_bytes > 0)
        lower_to(g, QOS_ZSWAP_MAX, qos_share(request, n->total_bytes, n->zswap_bytes, n->page_bytes),
                 QOS_WHY_SWAP_SHARE);
}

static void plan_high(const struct planning *p, const struct class_config *class, struct qos_cgroup *g,
                      uint64_t request, uint64_t limit)
{
    uint64_t high;

    if (g->tier == QOS_GUARANTEED)
        return;
    high = qos_memory_high(request, limit, class->throttle_permyriad, p->node->page_bytes);
    /* It could never get below; what is in it may have more than its own. */
    if (high <= u64_max(foreign(g, QOS_MEMORY_MIN, 0), g->plan[QOS_MEMORY_MIN].value))
        return;
    if (g->workload && high != UINT64_MAX)
        leave(g, QOS_MEMORY_HIGH, QOS_WHY_WORKLOAD);
    else
        lower_to(g, QOS_MEMORY_HIGH, high, QOS_WHY_FACTOR);
}

/* A memory.max below what cannot be reclaimed makes the kernel kill at once, so it comes down to the limit
 * step by step, and never goes up again with what is used. */
static void plan_max(struct qos_cgroup *g, uint64_t page)
{
    uint64_t limit = whole_pages(g->limit_bytes, page);
    uint64_t used = whole_pages(u64_add_cap(g->kept_bytes, u64_max(limit / USED_MARGIN, page)), page);

    if (g->held & QOS_KNOB_BIT(QOS_MEMORY_MAX))
        used = u64_min(used, g->now[QOS_MEMORY_MAX]);
    if (g->kept_bytes <= limit || used <= limit)
        lower_to(g, QOS_MEMORY_MAX, limit, QOS_WHY_LIMIT);
    else
        lower_to(g, QOS_MEMORY_MAX, used, QOS_WHY_LIMIT_USED); /* UINT64_MAX: none */
}

/* What only we set: of a container these are its runtime's and the kubelet's. */
static void plan_own(const struct class_config *class, struct qos_cgroup *g, uint64_t page)
{
    if (is_kubes(g)) {
        leave(g, QOS_SCORE, QOS_WHY_KUBELET);
        return;
    }
    plan_max(g, page);
    if (class->oom_group && !g->work.inner)
        raise_to(g, QOS_OOM_GROUP, 1, QOS_WHY_OOM_GROUP);
    if (!class->zswap_writeback)
        lower_to(g, QOS_ZSWAP_WRITEBACK, 0, QOS_WHY_ZSWAP_WRITEBACK);
    if (class->cpu_weight > 0)
        put(g, QOS_CPU_WEIGHT, class->cpu_weight, QOS_WHY_CPU_WEIGHT);
    g->plan[QOS_SCORE] =
        (struct qos_value){(uint64_t)(QOS_SCORE_ZERO + qos_score(class->priority)), QOS_WHY_PRIORITY};
}

/* ---- protection, from the leaves up ---- */

struct protection {
    uint64_t min, low;
    enum qos_why why;
};

static struct protection own_protection(const struct planning *p, const struct qos_cgroup *g,
                                        uint64_t request, uint64_t limit)
{
    uint64_t page = p->node->page_bytes, whole = whole_pages(request, page);
    struct protection own = {.why = QOS_WHY_REQUEST};

    if (g->tier == QOS_BURSTABLE)
        own.low = whole;
    if (g->tier == QOS_GUARANTEED)
        own.min =
            request > limit ? whole : qos_guaranteed_min(request, limit, page); /* an excess is not cut */
    if (own.min > 0 && own.min < whole)
        own.why = QOS_WHY_REQUEST_CUT;
    return own;
}

/* What is in it together; of Kubernetes' root the KEP's sum. Others may have set more in it than it could
 * have: that is not ours to answer for, and more than there is protects nobody. */
static void cover(const struct qos_cgroup *g, struct protection *ret)
{
    ret->min = g->kube.kind == KUBE_ROOT ? u64_add_cap(g->work.min, g->work.low) : g->work.min;
    ret->min = u64_min(ret->min, g->work.bound);
    ret->low = u64_min(g->work.low, g->work.bound);
    ret->why = QOS_WHY_CHILDREN;
}

static void plan_protection(struct qos_cgroup *g, enum qos_knob k, uint64_t own, uint64_t children,
                            enum qos_why own_why)
{
    bool is_own = own >= children;

    if (g->work.locked && kube_kind_is_kubelets(g->kube.kind))
        leave(g, k, QOS_WHY_KUBELET);
    else if (g->work.locked && u64_max(own, children) > 0)
        leave(g, k, QOS_WHY_KUBELET_ABOVE);
    else
        raise_to(g, k, u64_max(own, children), is_own ? own_why : QOS_WHY_CHILDREN);
    /* What somebody else has set already is his to answer for. */
    if (is_own && qos_is_set(g, k))
        g->work.asked = u64_max(g->work.asked, own);
}

static void add_to_parent(const struct planning *p, unsigned i, struct protection own,
                          struct protection in_it)
{
    struct qos_cgroup *g = &p->cgroups[i], *parent;

    if (g->parent == QOS_NONE)
        return;
    parent = &p->cgroups[g->parent];
    parent->work.inner = parent->work.inner || g->work.inner || g->tier != QOS_UNSET;
    if (g->work.locked)
        return;
    parent->work.min =
        u64_add_cap(parent->work.min, u64_max(u64_max(own.min, in_it.min), foreign(g, QOS_MEMORY_MIN, 0)));
    parent->work.low =
        u64_add_cap(parent->work.low, u64_max(u64_max(own.low, in_it.low), foreign(g, QOS_MEMORY_LOW, 0)));
    parent->work.asked = u64_add_cap(parent->work.asked, g->work.asked);
    if (g->work.asker_bytes > parent->work.asker_bytes) {
        parent->work.asker = g->work.asker;
        parent->work.asker_bytes = g->work.asker_bytes;
    }
}

static void note_asker(const struct planning *p, unsigned i, struct protection own)
{
    struct qos_cgroup *g = &p->cgroups[i];
    uint64_t bytes = 0;

    if (qos_is_set(g, QOS_MEMORY_MIN))
        bytes = own.min;
    if (qos_is_set(g, QOS_MEMORY_LOW))
        bytes = u64_max(bytes, own.low);
    if (bytes == 0 || bytes < g->work.asker_bytes)
        return;
    g->work.asker = i;
    g->work.asker_bytes = bytes;
}

static void plan_one(const struct planning *p, unsigned i)
{
    struct qos_cgroup *g = &p->cgroups[i];
    const struct class_config *class = g->tier != QOS_UNSET ? &p->config->classes[g->class_index] : NULL;
    uint64_t limit = group_limit(p, g), request = group_request(g, limit);
    struct protection own = {0}, in_it;

    if (class && g->request_known)
        own = own_protection(p, g, request, limit);
    cover(g, &in_it);
    plan_protection(g, QOS_MEMORY_MIN, own.min, in_it.min, own.why);
    plan_protection(g, QOS_MEMORY_LOW, own.low, in_it.low, own.why);
    note_asker(p, i, own);
    add_to_parent(p, i, own, in_it);
    if (!class)
        return;
    plan_own(class, g, p->node->page_bytes);
    if (g->request_known) {
        plan_high(p, class, g, request, limit);
        plan_swap(p, class, g, request, limit);
    } else {
        leave(g, QOS_MEMORY_HIGH, QOS_WHY_UNKNOWN);
    }
}

/* What does not depend on what is in it, from the root down. */
static bool begin(const struct planning *p, unsigned i)
{
    struct qos_cgroup *g = &p->cgroups[i];
    const struct qos_cgroup *parent = g->parent == QOS_NONE ? NULL : &p->cgroups[g->parent];

    if ((parent && g->parent >= i) || (g->tier != QOS_UNSET && g->class_index >= p->config->class_count))
        return false;
    memset(g->plan, 0, sizeof(g->plan));
    memset(&g->work, 0, sizeof(g->work));
    g->work.asker = i;
    g->work.locked = (parent && parent->work.locked) ||
                     (p->config->kubelet_knobs == KUBELET_KNOBS_LEAVE && kube_kind_is_kubelets(g->kube.kind));
    g->work.bound = u64_min(parent ? parent->work.bound : p->node->allocatable_bytes,
                            foreign(g, QOS_MEMORY_MAX, UINT64_MAX));
    if (g->tier != QOS_UNSET)
        g->work.bound = u64_min(g->work.bound, g->limit_bytes);
    g->work.bound = whole_pages(g->work.bound, p->node->page_bytes);
    return true;
}

static bool is_excess(const struct planning *p, unsigned i, struct qos_excess *ret)
{
    const struct qos_cgroup *g = &p->cgroups[i];

    if (g->work.asked <= g->work.bound)
        return false;
    *ret = (struct qos_excess){g->work.asker, i, g->work.asker_bytes, g->work.asked, g->work.bound};
    return true;
}

/* The sum over the cgroups right below the hierarchy's root. */
static bool node_is_excess(const struct planning *p, unsigned count, struct qos_excess *ret)
{
    struct qos_excess e = {.who = QOS_NONE, .where = QOS_NONE};

    e.bound_bytes = whole_pages(p->node->allocatable_bytes, p->node->page_bytes);
    for (unsigned i = 0; i < count; i++) {
        const struct qos_cgroup *g = &p->cgroups[i];

        if (g->parent != QOS_NONE)
            continue;
        e.asked_bytes = u64_add_cap(e.asked_bytes, g->work.asked);
        if (g->work.asker_bytes > e.who_bytes) {
            e.who = g->work.asker;
            e.who_bytes = g->work.asker_bytes;
        }
    }
    if (e.asked_bytes <= e.bound_bytes)
        return false;
    *ret = e;
    return true;
}

enum qos_verdict qos_plan(const struct config *c, const struct qos_node *node, struct qos_cgroup *cgroups,
                          unsigned count, struct qos_excess *ret_excess)
{
    const struct planning p = {c, node, cgroups};
    bool excess = false;

    for (unsigned i = 0; i < count; i++)
        if (!begin(&p, i))
            return QOS_MALFORMED;
    for (unsigned i = count; i-- > 0;) {
        plan_one(&p, i);
        excess = excess || is_excess(&p, i, ret_excess); /* the first is the innermost */
    }
    return excess || node_is_excess(&p, count, ret_excess) ? QOS_EXCESS : QOS_GOOD;
}
