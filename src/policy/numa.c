#include "policy/numa.h"

#include "base/macros.h"
#include "base/units.h"
#include "policy/limit.h"

/* As of the domain (room.c), but that nothing brakes here. */
#define GROWTH_FALL_USEC (2 * USEC_PER_SEC)
#define GROWTH_PEAK_FALL_USEC (60 * USEC_PER_SEC)
#define GROWTH_WINDOW_USEC (20 * USEC_PER_MSEC)
#define REACTION_USEC (100 * USEC_PER_MSEC)
#define MARGIN_PART_MOST 8

/* As HostLimit=auto keeps on a machine of two of them; of a small one an eighth. */
#define KEPT_LEAST_BYTES (64 * MIB)
#define KEPT_PART_MOST 8
#define KEPT_MOST_BYTES GIB
/* One core touching pages. */
#define PLAUSIBLE_BYTES (4 * GIB)
#define LOOK_CALM_USEC USEC_PER_SEC
#define LOOK_LEAST_USEC (10 * USEC_PER_MSEC)
#define LOOK_UNWANTED_USEC (100 * USEC_PER_MSEC)
/* A set may stay short where nobody may be killed. */
#define LOOK_NEED_USEC (20 * USEC_PER_MSEC)
#define FILLING_PART 2
#define WANTED_PART 8

static bool is_in(uint64_t nodes, unsigned n)
{
    return (nodes & NODELIST_BIT(n)) != 0;
}

static unsigned find_set(const struct numa_state *st, uint64_t nodes)
{
    unsigned k = 0;

    while (k < st->set_count && st->sets[k] != nodes)
        k++;
    return k;
}

void numa_note_groups(const struct snapshot *s, struct numa_state *st)
{
    st->set_count = 0;
    for (unsigned i = 0; s->numa_nodes != 0 && i < s->group_count; i++) {
        const struct group *g = &s->groups[i];
        unsigned k = find_set(st, g->mems);

        if (g->mems == 0 || !g->populated || k < st->set_count || k == NUMA_SETS_MAX)
            continue;
        st->grown[k] = 0;
        st->sets[st->set_count++] = g->mems;
    }
    for (unsigned i = 0; st->set_count > 0 && i < s->group_count; i++)
        for (unsigned k = 0; k < st->set_count; k++) {
            const struct group *g = &s->groups[i];

            if (g->mems != 0 && (g->mems & ~st->sets[k]) == 0)
                st->grown[k] = u64_add_cap(st->grown[k], g->growth_bytes);
        }
}

static uint64_t fall(uint64_t from, uint64_t to, uint64_t elapsed, uint64_t within)
{
    return to >= from ? to : from - u64_mul_div(from - to, u64_min(elapsed, within), within);
}

void numa_note_look(const struct snapshot *s, struct numa_state *st)
{
    uint64_t elapsed = u64_sub_floor(s->now_usec, st->last_usec);
    bool first = st->last_usec == 0;

    if (s->numa_nodes == 0 || (!first && elapsed < GROWTH_WINDOW_USEC))
        return;
    for (unsigned n = 0; n < NODELIST_MAX; n++) {
        uint64_t used = s->numa[n].unreclaimable, grown = u64_sub_floor(used, st->last_used[n]), rate;

        if (!is_in(s->numa_nodes, n))
            continue;
        rate = first ? 0 : u64_mul_div(grown, USEC_PER_SEC, elapsed);
        st->growth[n] = fall(st->growth[n], rate, elapsed, GROWTH_FALL_USEC);
        st->growth_peak[n] = fall(st->growth_peak[n], rate, elapsed, GROWTH_PEAK_FALL_USEC);
        st->last_used[n] = used;
    }
    st->last_usec = s->now_usec;
}

static uint64_t kept(uint64_t total)
{
    return u64_min(u64_max(total / 20, u64_min(KEPT_LEAST_BYTES, total / KEPT_PART_MOST)), KEPT_MOST_BYTES);
}

static uint64_t growth_peak(const struct numa_state *st, uint64_t nodes)
{
    uint64_t sum = 0;

    for (unsigned n = 0; n < NODELIST_MAX; n++)
        if (is_in(nodes, n))
            sum = u64_add_cap(sum, st->growth_peak[n]);
    return sum;
}

/* Those that are bound there grow by more than counters that lag. */
static bool is_wanted(const struct numa_state *st, uint64_t nodes, const struct room *r)
{
    unsigned k = find_set(st, nodes);

    return k < st->set_count && st->grown[k] >= limit_margin(r->limit) / WANTED_PART;
}

void numa_room(const struct snapshot *s, const struct numa_state *st, const struct room *domain,
               uint64_t nodes, struct room *ret)
{
    struct room r = {.nodes = nodes, .swap = domain->swap_left, .swap_left = domain->swap_left};
    uint64_t total = 0, available = 0, left;

    for (unsigned n = 0; n < NODELIST_MAX; n++) {
        if (!is_in(nodes & s->numa_nodes, n))
            continue;
        total = u64_add_cap(total, s->numa[n].total);
        available = u64_add_cap(available, s->numa[n].available);
        r.used = u64_add_cap(r.used, s->numa[n].unreclaimable);
        r.growth = u64_add_cap(r.growth, st->growth[n]);
    }
    r.limit = total - kept(total);
    r.margin = u64_max(limit_margin(r.limit), u64_min(u64_mul_div(r.growth, REACTION_USEC, USEC_PER_SEC),
                                                      r.limit / MARGIN_PART_MOST));
    left = u64_sub_floor(r.limit, r.used);
    r.by_available = available < left;
    r.room = (int64_t)u64_min(u64_add_cap(u64_min(left, available), r.swap), INT64_MAX) -
             (int64_t)u64_min(u64_sub_floor(r.used, r.limit), INT64_MAX);
    if (total != 0 && is_wanted(st, nodes, &r))
        r.need =
            r.room < 0 ? u64_add_cap(r.margin, (uint64_t)-r.room) : u64_sub_floor(r.margin, (uint64_t)r.room);
    r.trend = r.growth;
    r.time_left_usec = r.room <= 0     ? 0
                       : r.growth == 0 ? UINT64_MAX
                                       : u64_mul_div((uint64_t)r.room, USEC_PER_SEC, r.growth);
    r.level = r.need > 0 ? LEVEL_CRITICAL : LEVEL_CALM;
    *ret = r;
}

/* By need, then by what is left of the limit. */
static bool is_tighter(const struct room *a, const struct room *b)
{
    if (a->need != b->need)
        return a->need > b->need;
    return u64_mul_div((uint64_t)(a->room > 0 ? a->room : 0), PERMYRIAD, u64_max(a->limit, 1)) <
           u64_mul_div((uint64_t)(b->room > 0 ? b->room : 0), PERMYRIAD, u64_max(b->limit, 1));
}

bool numa_tightest(const struct snapshot *s, const struct numa_state *st, const struct room *domain,
                   struct room *ret)
{
    bool found = false;

    for (unsigned i = 0; s->numa_nodes != 0 && i < st->set_count; i++) {
        struct room r;

        numa_room(s, st, domain, st->sets[i], &r);
        if (!found || is_tighter(&r, ret))
            *ret = r;
        found = true;
    }
    return found;
}

uint64_t numa_next_look_usec(const struct snapshot *s, const struct numa_state *st, const struct room *domain)
{
    uint64_t due = UINT64_MAX;

    for (unsigned i = 0; s->numa_nodes != 0 && i < st->set_count; i++) {
        uint64_t peak = growth_peak(st, st->sets[i]), left;
        struct room r;

        numa_room(s, st, domain, st->sets[i], &r);
        if (r.need > 0)
            return LOOK_NEED_USEC;
        left = r.room > 0 ? u64_sub_floor((uint64_t)r.room, r.margin) : 0;
        left = u64_mul_div(left, USEC_PER_SEC, u64_max(PLAUSIBLE_BYTES, u64_add_cap(peak, peak)));
        /* Who is bound there does not grow: what makes it a need is seen by a walk. */
        left = u64_max(left, is_wanted(st, st->sets[i], &r) ? LOOK_LEAST_USEC : LOOK_UNWANTED_USEC);
        due = u64_min(due, u64_min(left, LOOK_CALM_USEC));
    }
    return due;
}

bool numa_is_filling(const struct snapshot *s, const struct numa_state *st)
{
    for (unsigned i = 0; s->numa_nodes != 0 && i < st->set_count; i++) {
        uint64_t total = 0, available = 0;

        for (unsigned n = 0; n < NODELIST_MAX; n++)
            if (is_in(st->sets[i] & s->numa_nodes, n)) {
                total = u64_add_cap(total, s->numa[n].total);
                available = u64_add_cap(available, s->numa[n].available);
            }
        if (available < total / FILLING_PART)
            return true;
    }
    return false;
}

bool numa_concerns(const struct group *g, uint64_t nodes)
{
    return g->mems == 0 || (g->mems & nodes) != 0;
}

static uint64_t sum_of(struct group_memory m)
{
    return u64_add_cap(u64_add_cap(m.anon, m.kernel), m.shmem);
}

struct group_memory numa_counted(const struct room *r, const struct group *g)
{
    return r->nodes != 0 ? g->on_nodes : (struct group_memory){g->anon, g->shmem, g->kernel};
}

uint64_t numa_held(const struct room *r, const struct group *g)
{
    return sum_of(numa_counted(r, g));
}

uint64_t numa_grown(const struct room *r, const struct group *g, uint64_t grown)
{
    uint64_t all = sum_of((struct group_memory){g->anon, g->shmem, g->kernel});

    return r->nodes == 0 ? grown : u64_mul_div(grown, u64_min(numa_held(r, g), all), u64_max(all, 1));
}

bool numa_grows_there(const struct room *r, const struct group *g)
{
    return r->nodes == 0 || (g->mems != 0 && (g->mems & ~r->nodes) == 0);
}
