#include "policy/swap.h"

#include "base/units.h"

/* The groups are read a moment after their workload, and counters lag: less than this outside of the groups,
 * and than this part of what the workload holds, is nobody. */
#define OUTSIDE_LEAST_BYTES (16 * MIB)
#define OUTSIDE_PART 16

static uint64_t held(const struct workload *w)
{
    return u64_add_cap(w->anon, w->shmem);
}

void swap_note_groups(const struct snapshot *s, bool whole, struct swap_bounds *b)
{
    uint64_t inside[SNAPSHOT_WORKLOADS_MAX] = {0}, room[SNAPSHOT_WORKLOADS_MAX] = {0};
    bool limited[SNAPSHOT_WORKLOADS_MAX] = {0}, unlimited[SNAPSHOT_WORKLOADS_MAX] = {0};

    if (!whole && s->isolate && ++b->failed <= SWAP_FAILED_MAX)
        return;
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];
        unsigned w = g->workload_index;

        if (w >= SNAPSHOT_WORKLOADS_MAX)
            continue;
        limited[w] = limited[w] || g->swap_limited;
        unlimited[w] = unlimited[w] || !g->swap_limited;
        inside[w] = u64_add_cap(inside[w], u64_add_cap(g->anon, g->shmem));
        room[w] = u64_add_cap(room[w], g->swap_room);
    }
    whole = whole && s->isolate && s->groups_left_out == 0;
    *b = (struct swap_bounds){0};
    for (unsigned i = 0; whole && i < s->workload_count; i++) {
        const struct workload *w = &s->workloads[i];
        uint64_t outside = u64_sub_floor(held(w), inside[i]);

        if (w->id == 0 || !limited[i] || unlimited[i] ||
            outside > u64_max(OUTSIDE_LEAST_BYTES, held(w) / OUTSIDE_PART))
            continue;
        b->workloads[i] = (struct swap_bound){w->id, u64_add_cap(room[i], outside), w->swap_charged};
    }
}

void swap_bound_workloads(const struct swap_bounds *b, struct snapshot *s)
{
    for (unsigned i = 0; i < s->workload_count; i++) {
        const struct swap_bound *bound = &b->workloads[i];
        struct workload *w = &s->workloads[i];
        uint64_t more = u64_sub_floor(bound->charged_bytes, w->swap_charged);

        if (w->id == 0 || bound->id != w->id)
            continue;
        w->swap_room =
            u64_min(w->swap_room, u64_sub_floor(u64_add_cap(bound->room_bytes, more),
                                                u64_sub_floor(w->swap_charged, bound->charged_bytes)));
    }
}
