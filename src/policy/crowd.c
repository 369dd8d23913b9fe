#include "policy/crowd.h"

#include "base/units.h"
#include "policy/pause.h"

/* Less CPU time than this, and no stall: idle. */
#define IDLE_PERMYRIAD 100

struct tally {
    uint64_t working_bytes;
    uint64_t active_bytes;
    uint64_t fitting_bytes; /* 0: not even the first one fits */
    uint64_t first_bytes;
    uint64_t bytes; /* of all that run, with what is still to come */
    unsigned known;
    unsigned running;
};

static unsigned stall_of(const struct group *g, const struct room *r)
{
    uint64_t paging = u64_mul_div(g->io_stall_permyriad, r->paging_share_permyriad, PERMYRIAD);

    return (unsigned)u64_min(u64_max(g->stall_permyriad, paging), PERMYRIAD);
}

static bool is_idle(const struct group *g, unsigned stall)
{
    return stall < IDLE_PERMYRIAD && g->cpu_permyriad < IDLE_PERMYRIAD; /* one not known is not idle */
}

/* Of whom nothing is known yet is taken to work: that speaks for leaving things as they are. */
static struct tally tally(const struct snapshot *s, const struct room *r, const struct pause_row *rows,
                          unsigned count, uint64_t place_bytes)
{
    struct tally t = {0};

    for (unsigned i = count; i-- > 0;) {
        const struct group *g = &s->groups[rows[i].index];
        unsigned stall = g->stall_known ? stall_of(g, r) : 0;
        uint64_t held = u64_min(rows[i].held_bytes, place_bytes);

        if (!rows[i].running)
            continue;
        t.running++;
        t.known += g->stall_known;
        t.bytes = u64_add_cap(t.bytes, rows[i].held_bytes + rows[i].certain_bytes);
        if (g->stall_known && is_idle(g, stall))
            continue;
        t.working_bytes = u64_add_cap(t.working_bytes, u64_mul_div(held, PERMYRIAD - stall, PERMYRIAD));
        t.active_bytes = u64_add_cap(t.active_bytes, held);
        if (t.bytes <= place_bytes)
            t.fitting_bytes = t.active_bytes;
        if (t.first_bytes == 0)
            t.first_bytes = held;
    }
    return t;
}

static bool is_unknown(struct crowd_state *state, uint64_t now_usec, bool unknown)
{
    if (!unknown)
        state->unknown_usec = 0;
    else if (state->unknown_usec == 0)
        state->unknown_usec = now_usec;
    return unknown && now_usec >= state->unknown_usec + CROWD_UNKNOWN_USEC;
}

enum crowd crowd_judge(struct crowd_state *state, const struct snapshot *s, const struct room *r,
                       const struct pause_row *rows, unsigned count, uint64_t place_bytes)
{
    const struct tally t = tally(s, r, rows, count, place_bytes);
    uint64_t fitting = t.fitting_bytes > 0 ? t.fitting_bytes : t.first_bytes;

    if (!r->strained || t.bytes <= place_bytes ||
        t.working_bytes >= u64_mul_div(fitting, CROWD_SHARE_PERMYRIAD, PERMYRIAD)) {
        state->since_usec = 0;
        return is_unknown(state, s->now_usec, 2 * t.known < t.running) ? CROWD_UNKNOWN : CROWD_NO;
    }
    state->unknown_usec = 0;
    if (state->since_usec == 0)
        state->since_usec = s->now_usec;
    return s->now_usec - state->since_usec >= (r->returns ? CROWD_AFTER_USEC : CROWD_AFTER_UNREAD_USEC)
               ? CROWD_YES
               : CROWD_NO;
}
