#include "model/decision.h"

#include "base/macros.h"

const char *trigger_name(enum trigger_kind k)
{
    static const char *const names[] = {"none", "event", "pressure", "threshold", "knobs", "outcome"};

    return (size_t)k < ARRAY_SIZE(names) ? names[k] : "?";
}

const char *decision_reason_name(enum decision_reason r)
{
    static const char *const names[] = {"nothing-needed", "kill",       "waiting", "no-candidate",
                                        "fruitless",      "kill-limit", "reclaim", "pause",
                                        "resume",         "drift",      "notify"};

    return (size_t)r < ARRAY_SIZE(names) ? names[r] : "?";
}

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {"chosen",  "culprit", "not-needed",    "higher-tier", "protected",
                                        "actions", "dying",   "frees-nothing", "too-many",    "elsewhere"};

    return (size_t)v < ARRAY_SIZE(names) ? names[v] : "?";
}

const char *decision_method_name(enum decision_method m)
{
    static const char *const names[] = {"none", "all", "exact", "quantised", "culprit", "order"};

    return (size_t)m < ARRAY_SIZE(names) ? names[m] : "?";
}

const char *pause_why_name(enum pause_why w)
{
    static const char *const names[] = {
        "none", "growth", "birth", "thrash",      "turn",     "operator",
        "fits", "idle",   "calm",  "pause-limit", "operator",
    };

    return (size_t)w < ARRAY_SIZE(names) ? names[w] : "?";
}
