#include "model/qos.h"

#include "base/macros.h"

const char *qos_knob_name(enum qos_knob k)
{
    static const char *const names[QOS_KNOBS] = {
        "memory.min",       "memory.low",       "memory.high", "memory.max",    "memory.swap.max",
        "memory.zswap.max", "memory.oom.group", "cpu.weight",  "oom_score_adj",
    };

    return (size_t)k < ARRAY_SIZE(names) ? names[k] : "?";
}

const char *qos_why_name(enum qos_why w)
{
    static const char *const names[QOS_WHY_COUNT] = {
        "nothing",    "request", "request-cut", "children",      "factor",     "limit",    "limit-used",
        "swap-share", "no-swap", "swap-max",    "oom-group",     "cpu-weight", "priority", "absent",
        "more",       "tighter", "kubelet",     "kubelet-above", "workload",   "unknown",
    };

    return (size_t)w < ARRAY_SIZE(names) ? names[w] : "?";
}
