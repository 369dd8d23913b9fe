#include "policy/throttle.h"

#include <stddef.h>

#include "base/macros.h"
#include "base/units.h"

#define NEAR_PART 50  /* as close to the limit as this part of it is at it */
#define BELOW_PART 10 /* as far below the planned one as this part of it, the raised one is not needed */

static struct throttle_group *find(struct throttle_state *s, uint64_t id)
{
    for (unsigned i = 0; i < THROTTLE_MAX; i++)
        if (s->groups[i].id == id)
            return &s->groups[i];
    return NULL;
}

bool throttle_is_near(uint64_t current_bytes, uint64_t high_bytes)
{
    return high_bytes != UINT64_MAX && u64_add_cap(current_bytes, high_bytes / NEAR_PART) >= high_bytes;
}

/* Throttled all the time since the look before: the kernel says that it is over, and it stands still. */
static bool is_throttled(const struct throttle_group *g, const struct throttle_look *l)
{
    uint64_t elapsed = u64_sub_floor(l->now_usec, g->seen_usec);

    if (l->high_events <= g->high_events || elapsed == 0)
        return false;
    return l->full_usec == UINT64_MAX || g->full_usec == UINT64_MAX ||
           u64_mul_div(u64_sub_floor(l->full_usec, g->full_usec), PERMYRIAD, elapsed) >=
               THROTTLE_STALL_PERMYRIAD;
}

static uint64_t raised(const struct throttle_group *g, const struct throttle_look *l)
{
    if (g->raised_bytes != 0 || l->bound_bytes <= l->planned_bytes)
        return UINT64_MAX;
    return l->planned_bytes + (l->bound_bytes - l->planned_bytes) / 2;
}

static uint64_t wanted(const struct throttle_group *g, const struct throttle_look *l)
{
    return u64_max(g->raised_bytes, l->planned_bytes);
}

/* Who is not at it, and whose limit was not raised, needs no place. */
static void release(struct throttle_group *g, const struct throttle_look *l)
{
    if (g->raised_bytes != 0 && l->current_bytes < l->planned_bytes - l->planned_bytes / BELOW_PART)
        g->raised_bytes = 0;
    g->since_usec = 0;
    if (g->raised_bytes == 0)
        g->id = 0;
}

uint64_t throttle_step(struct throttle_state *s, const struct throttle_look *l, uint64_t deadline_usec,
                       bool *ret_raised)
{
    struct throttle_group *g = find(s, l->id);
    bool near = throttle_is_near(l->current_bytes, l->high_bytes);
    bool throttled = g && g->since_usec != 0 && near && is_throttled(g, l);

    *ret_raised = false;
    if (!g && !near)
        return l->planned_bytes;
    if (!g) {
        g = find(s, 0);
        if (!g)
            return l->planned_bytes;
        *g = (struct throttle_group){.id = l->id};
    }
    if (throttled && l->now_usec >= g->since_usec + deadline_usec) {
        g->raised_bytes = raised(g, l);
        g->since_usec = 0;
        *ret_raised = true;
    } else if (near && !throttled) {
        /* It may be so since just after the look before. */
        g->since_usec = g->since_usec == 0 && l->before_usec != 0 ? l->before_usec : l->now_usec;
    } else if (!near) {
        release(g, l);
    }
    g->seen_usec = l->now_usec;
    g->high_events = l->high_events;
    g->full_usec = l->full_usec;
    return g->id != 0 ? wanted(g, l) : l->planned_bytes;
}

void throttle_forget_before(struct throttle_state *s, uint64_t usec)
{
    for (unsigned i = 0; i < THROTTLE_MAX; i++)
        if (s->groups[i].seen_usec < usec)
            s->groups[i].id = 0;
}
