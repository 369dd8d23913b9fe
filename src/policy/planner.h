/* What one plan of pauses is made with: the rows, and the sums over the running ones, kept as steps are
 * added. Internal to policy/pause. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "policy/pause.h"

struct planner {
    const struct config *config;
    const struct snapshot *snapshot;
    const struct room *room;
    struct pause_state *state;
    struct pause_row *rows;
    unsigned count;
    struct candidate *candidates;
    struct pause_plan *plan;
    bool resume_only;
    bool queue; /* somebody waits for room: who comes anew waits behind him */
    int64_t spare;
    uint64_t wanted_bytes;  /* by the running ones: what they hold, and are expected to grow by */
    uint64_t paused_bytes;  /* in memory, of the paused ones, as far as it can be pushed out */
    uint64_t cpu_permyriad; /* of one CPU, used by them lately */
    unsigned running;
    unsigned running_of[CONFIG_CLASSES_MAX];
};

/* Rows, sums and order, from what the planner points to. */
void planner_begin(struct planner *p);
/* The row is one of the running ones no more; or is one. */
void planner_leave(struct planner *p, struct pause_row *row);
void planner_enter(struct planner *p, struct pause_row *row);
void planner_add(struct planner *p, struct pause_row *row, enum pause_act act, enum pause_why why);
bool planner_may_pause(const struct planner *p, const struct pause_row *row);
uint64_t planner_resident_bytes(const struct planner *p, const struct pause_row *row);
/* What of it can be pushed out once it is paused: nothing in host mode, of a process, or of a class that
 * reclaim is not for, and nothing into swap that is nearly full. */
uint64_t planner_pushable_bytes(const struct planner *p, const struct pause_row *row);
uint64_t planner_paused_since(const struct planner *p, const struct pause_row *row);
/* What the running ones may come to so that all of it has its place in memory: who of them stalls then only
 * waits for his pages to come back, and for those of the paused to go. */
uint64_t planner_place_bytes(const struct planner *p);

/* So that what a whole plan moves cannot overflow. */
static inline int64_t signed_of(uint64_t v)
{
    return (int64_t)u64_min(v, INT64_MAX / (4 * PAUSE_PLAN_MAX));
}

static inline uint64_t comes_to(const struct pause_row *row)
{
    return u64_add_cap(row->held_bytes, row->expected_bytes);
}
