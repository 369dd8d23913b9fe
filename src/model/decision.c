#include "model/decision.h"

#include "base/macros.h"

const char *trigger_name(enum trigger_kind k)
{
    static const char *const names[] = {"none", "event", "pressure", "threshold", "outcome"};

    return (size_t)k < ARRAY_SIZE(names) ? names[k] : "?";
}

const char *level_name(enum level l)
{
    static const char *const names[] = {"calm", "low", "medium", "critical"};

    return (size_t)l < ARRAY_SIZE(names) ? names[l] : "?";
}

const char *decision_reason_name(enum decision_reason r)
{
    static const char *const names[] = {"nothing-needed", "kill",      "waiting",
                                        "no-candidate",   "fruitless", "kill-limit"};

    return (size_t)r < ARRAY_SIZE(names) ? names[r] : "?";
}

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {"chosen",  "culprit", "not-needed",    "higher-tier", "protected",
                                        "actions", "dying",   "frees-nothing", "too-many"};

    return (size_t)v < ARRAY_SIZE(names) ? names[v] : "?";
}

const char *decision_method_name(enum decision_method m)
{
    static const char *const names[] = {"none", "all", "exact", "quantised", "culprit", "order"};

    return (size_t)m < ARRAY_SIZE(names) ? names[m] : "?";
}
