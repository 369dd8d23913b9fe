#include "model/qos.h"

#include <string.h>

#include "base/macros.h"

void qos_index(struct qos_cgroup *cgroups, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        cgroups[i].first = cgroups[i].next = 0;
    for (unsigned i = 0; i < count; i++) {
        struct qos_cgroup *head = &cgroups[cgroups[i].id % count];

        cgroups[i].next = head->first;
        head->first = i + 1;
    }
}

unsigned qos_find(const struct qos_cgroup *cgroups, unsigned count, uint64_t id)
{
    for (unsigned i = count > 0 ? cgroups[id % count].first : 0; i != 0; i = cgroups[i - 1].next)
        if (cgroups[i - 1].id == id)
            return i - 1;
    return QOS_NONE;
}

enum qos_knob qos_knob_of(const char *name)
{
    enum qos_knob k = 0;

    while (k < QOS_KNOBS && strcmp(qos_knob_name(k), name) != 0)
        k++;
    return k;
}

const char *qos_knob_name(enum qos_knob k)
{
    static const char *const names[QOS_KNOBS] = {
        "memory.min",      "memory.low",       "memory.high",      "memory.max",
        "memory.swap.max", "memory.zswap.max", "memory.oom.group", "memory.zswap.writeback",
        "cpu.weight",      "oom_score_adj",
    };

    return (size_t)k < ARRAY_SIZE(names) ? names[k] : "?";
}

const char *qos_why_name(enum qos_why w)
{
    static const char *const names[QOS_WHY_COUNT] = {
        "nothing",       "request",    "request-cut", "children", "factor",    "limit",
        "limit-used",    "swap-share", "no-swap",     "swap-max", "oom-group", "zswap-writeback",
        "cpu-weight",    "priority",   "absent",      "more",     "tighter",   "kubelet",
        "kubelet-above", "workload",   "unknown",     "yielded",
    };

    return (size_t)w < ARRAY_SIZE(names) ? names[w] : "?";
}
