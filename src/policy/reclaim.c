#include "policy/reclaim.h"

#include "base/macros.h"
#include "base/units.h"
#include "policy/claims.h"
#include "policy/pause.h"

/* Before anything is known: half comes back, at the speed of a slow disk. */
#define FIRST_YIELD_PERMYRIAD 5000
#define FIRST_BYTES_PER_SEC (64 * MIB)
/* Who is the newest is known for longer than who holds what: groups of a calm domain are read every 5 s. */
#define ORDER_FRESH_USEC (6 * USEC_PER_SEC)
/* Who holds less than this part of what is asked for is passed over: a request takes its time, however small.
 */
#define NEWEST_LEAST_PART 2
#define FRUITLESS_SHARE 10
#define FRUITLESS_PAUSE_USEC USEC_PER_SEC
#define FRUITLESS_SHIFT_MAX 5
/* Rates over less than this are those of the clock. */
#define USEC_LEAST 100

void reclaim_state_init(struct reclaim_state *state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(state->of); i++)
        state->of[i] = (struct reclaim_estimate){.bytes_per_sec = FIRST_BYTES_PER_SEC,
                                                 .yield_permyriad = FIRST_YIELD_PERMYRIAD};
}

void reclaim_note_outcome(struct reclaim_state *state, unsigned class_index, uint64_t now_usec,
                          uint64_t asked_bytes, uint64_t freed_bytes, uint64_t usec)
{
    struct reclaim_estimate *e = &state->of[u64_min(class_index, RECLAIM_WHOLE)];
    uint64_t yield, rate;

    if (asked_bytes == 0)
        return;
    yield = u64_min(u64_mul_div(freed_bytes, PERMYRIAD, asked_bytes), PERMYRIAD);
    rate = u64_mul_div(freed_bytes, USEC_PER_SEC, u64_max(usec, USEC_LEAST));
    e->yield_permyriad = (unsigned)u64_towards(e->yield_permyriad, yield, 4);
    e->bytes_per_sec = u64_max(u64_towards(e->bytes_per_sec, rate, 4), MIB);
    if (freed_bytes >= asked_bytes / FRUITLESS_SHARE) {
        e->fruitless = 0;
        return;
    }
    e->not_before_usec = now_usec + (FRUITLESS_PAUSE_USEC << u64_min(e->fruitless, FRUITLESS_SHIFT_MAX));
    e->fruitless++;
}

void reclaim_note_spent(struct reclaim_state *state, uint64_t cgroup_id, uint64_t now_usec)
{
    state->spent_next = (state->spent_next + 1) % ARRAY_SIZE(state->spent);
    state->spent[state->spent_next] =
        (struct reclaim_spent){.id = cgroup_id, .until_usec = now_usec + FRUITLESS_PAUSE_USEC};
}

struct chooser {
    const struct config *config;
    const struct snapshot *snapshot;
    const struct room *room;
    const struct reclaim_state *state;
    uint64_t bytes;
    bool paused_only;
    bool by_age;
    bool one_owner; /* of all groups (policy/claims) */
    struct reclaim_target *target;
};

static bool is_passed_over(const struct chooser *ch, unsigned class_index)
{
    return ch->snapshot->now_usec < ch->state->of[class_index].not_before_usec;
}

static bool aim(const struct chooser *ch, unsigned class_index, unsigned index, uint64_t holds)
{
    const struct reclaim_estimate *e = &ch->state->of[class_index];
    uint64_t bytes = u64_min(ch->bytes, holds);

    *ch->target = (struct reclaim_target){
        .class_index = class_index,
        .index = index,
        .bytes = bytes,
        .expected_bytes = u64_mul_div(bytes, e->yield_permyriad, PERMYRIAD),
        .expected_usec = u64_mul_div(bytes, USEC_PER_SEC, e->bytes_per_sec),
    };
    return true;
}

/* The workload that holds most of what its own swap limit still takes. */
static bool aim_at_workload(const struct chooser *ch)
{
    const struct snapshot *s = ch->snapshot;
    uint64_t most = 0;
    unsigned index = 0;

    if (is_passed_over(ch, RECLAIM_WHOLE))
        return false;
    for (unsigned i = 0; i < s->workload_count; i++) {
        const struct workload *w = &s->workloads[i];
        uint64_t holds = w->id == 0 ? 0 : u64_min(u64_add_cap(w->anon, w->shmem), w->swap_room);

        if (holds > most) {
            most = holds;
            index = i;
        }
    }
    return most >= RECLAIM_LEAST_BYTES && aim(ch, RECLAIM_WHOLE, index, most);
}

/* What distinguishes the groups: whether somebody is to give before others. */
struct tiers {
    unsigned lowest;
    bool several; /* priorities, or one that may not be reclaimed from, or paused ones */
    bool any;
};

/* That somebody is paused is a shortage, whatever is left at the moment. */
static bool may_reclaim(const struct chooser *ch, const struct group *g, unsigned priority)
{
    enum level level = ch->paused_only && ch->room->level < LEVEL_MEDIUM ? LEVEL_MEDIUM : ch->room->level;

    return g->pid == 0 && !g->dying && (g->paused || !ch->paused_only) &&
           (ch->config->classes[g->class_index].actions & ACTION_BIT(ACTION_RECLAIM)) != 0 &&
           level_allows(ch->config, level, ACTION_RECLAIM, priority);
}

static uint64_t resident_of(const struct group *g)
{
    return u64_add_cap(g->anon, g->shmem);
}

/* Of that, what its swap limits take, and those of what it is in. */
static uint64_t swappable_of(const struct chooser *ch, const struct group *g)
{
    const struct snapshot *s = ch->snapshot;
    uint64_t takes = g->swap_limited ? g->swap_room : UINT64_MAX;

    if (s->isolate && g->workload_index < s->workload_count && s->workloads[g->workload_index].id != 0)
        takes = u64_min(takes, s->workloads[g->workload_index].swap_room);
    return u64_min(resident_of(g), takes);
}

/* It had next to nothing to give a moment ago: it is protected, or what it has is in use. */
static bool is_spent(const struct chooser *ch, const struct group *g)
{
    for (size_t i = 0; i < ARRAY_SIZE(ch->state->spent); i++)
        if (ch->state->spent[i].id == g->id && ch->snapshot->now_usec < ch->state->spent[i].until_usec)
            return true;
    return false;
}

/* There is no room to remember another one: who is not known for it may well be. */
static bool many_are_spent(const struct chooser *ch)
{
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(ch->state->spent); i++)
        n += ch->state->spent[i].id != 0 && ch->snapshot->now_usec < ch->state->spent[i].until_usec;
    return n == ARRAY_SIZE(ch->state->spent);
}

/* What a request by age is worth: one takes its time, however small it is. */
static bool is_small(const struct chooser *ch, const struct group *g)
{
    return swappable_of(ch, g) < ch->bytes / NEWEST_LEAST_PART;
}

static bool goes_before(const struct chooser *ch, const struct group *a, unsigned priority_a,
                        const struct group *b, unsigned priority_b)
{
    if (priority_a != priority_b)
        return priority_a < priority_b;
    if (a->paused != b->paused)
        return a->paused;
    if (ch->by_age && is_small(ch, a) != is_small(ch, b))
        return is_small(ch, b);
    if ((a->paused || ch->by_age) && a->birth_usec != b->birth_usec) /* who goes on last */
        return a->birth_usec > b->birth_usec;
    if (resident_of(a) != resident_of(b))
        return resident_of(a) > resident_of(b);
    return a->id > b->id;
}

static bool aim_at_group(const struct chooser *ch, struct tiers *ret)
{
    const struct snapshot *s = ch->snapshot;
    bool first = true;
    const struct group *best = NULL;
    unsigned best_priority = 0;

    *ret = (struct tiers){0};
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];
        struct standing st;

        if (g->dying)
            continue;
        claims_resolve(ch->config, s, g, ch->one_owner, &st);
        ret->several |= g->paused || (!first && st.priority != ret->lowest);
        ret->lowest = first ? st.priority : (unsigned)u64_min(ret->lowest, st.priority);
        first = false;
        if (!may_reclaim(ch, g, st.priority)) {
            ret->several = true;
            continue;
        }
        ret->any = true;
        if (is_passed_over(ch, g->class_index) || is_spent(ch, g) ||
            swappable_of(ch, g) < RECLAIM_LEAST_BYTES ||
            (best && !goes_before(ch, g, st.priority, best, best_priority)))
            continue;
        best = g;
        best_priority = st.priority;
    }
    return best && aim(ch, best->class_index, (unsigned)(best - s->groups), swappable_of(ch, best));
}

/* Who could give at all, by groups that may have been read a while ago, at any level: the kernel would
 * reclaim from all of them a moment later. */
static bool could_give(const struct chooser *ch, const struct group *g, unsigned *ret_priority)
{
    struct standing st;

    if (g->dying || g->pid != 0 || swappable_of(ch, g) < RECLAIM_LEAST_BYTES ||
        (ch->config->classes[g->class_index].actions & ACTION_BIT(ACTION_RECLAIM)) == 0)
        return false;
    claims_resolve(ch->config, ch->snapshot, g, ch->one_owner, &st);
    *ret_priority = st.priority;
    return st.priority < CONFIG_PRIORITY_PROTECTED;
}

/* The newest one of the lowest priority. Where nobody of that has much, all give: nobody of a higher one goes
 * before them. That one of its class had nothing to give says nothing of the next one. */
static bool aim_at_newest(const struct chooser *ch)
{
    const struct snapshot *s = ch->snapshot;
    unsigned lowest = CONFIG_PRIORITY_PROTECTED, priority;
    const struct group *newest = NULL;

    if (many_are_spent(ch))
        return false;
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];

        if (!could_give(ch, g, &priority) || priority > lowest)
            continue;
        if (priority < lowest)
            newest = NULL; /* of a higher one */
        lowest = priority;
        if (!is_spent(ch, g) && !is_small(ch, g) &&
            (!newest || goes_before(ch, g, priority, newest, priority)))
            newest = g;
    }
    if (!newest)
        return false;
    (void)aim(ch, newest->class_index, (unsigned)(newest - s->groups), swappable_of(ch, newest));
    ch->target->in_place_of_all = true;
    return true;
}

bool reclaim_choose(const struct config *c, const struct snapshot *s, const struct room *r,
                    const struct reclaim_state *state, uint64_t bytes, bool paused_only,
                    struct reclaim_target *ret)
{
    struct reclaim_target target;
    const struct chooser ch = {.config = c,
                               .snapshot = s,
                               .room = r,
                               .state = state,
                               .bytes = u64_min(bytes, r->swap_left),
                               .paused_only = paused_only,
                               .by_age = r->wanted_back && !r->in_zram,
                               .one_owner = claims_one_owner(s),
                               .target = &target};
    uint64_t age = s->groups_read ? u64_sub_floor(s->now_usec, s->groups_usec) : UINT64_MAX;
    bool known = age <= RECLAIM_FRESH_USEC;
    struct tiers tiers = {0};
    bool found;

    if (ch.bytes < RECLAIM_LEAST_BYTES)
        return false;
    found = known && aim_at_group(&ch, &tiers);
    /* At the limit the kernel reclaims from all alike; ahead of it, nobody gives who need not. */
    if (!paused_only && (!tiers.any || !tiers.several))
        found = (ch.by_age && age <= ORDER_FRESH_USEC && aim_at_newest(&ch)) || aim_at_workload(&ch);
    if (found)
        *ret = target;
    return found;
}
