#include "policy/room.h"

#include <stdbool.h>

#include "base/macros.h"
#include "base/units.h"
#include "policy/limit.h"

/* Growth falls with this time constant once it is no longer seen: a program that allocates in steps keeps its
 * rate between two steps. */
#define GROWTH_FALL_USEC (2 * USEC_PER_SEC)
#define GROWTH_PEAK_FALL_USEC (60 * USEC_PER_SEC)
/* Looks closer than this say more about batching in the kernel (64 pages per CPU) than about growth. */
#define GROWTH_WINDOW_USEC (20 * USEC_PER_MSEC)
/* What happens between the look and the effect of a kill: the margin covers that much growth. */
#define REACTION_USEC (50 * USEC_PER_MSEC)

/* Swapping is felt when all of the domain stands still for a fifth of the time for 2 s, and what comes back
 * from swap meanwhile is not next to nothing beside what is new; it is over when that was not so, or it stood
 * still for under a twentieth, for 5 s, or at all where there is memory left: those who stalled have gone,
 * and who comes next is not held back for them. A domain that grows faster than the disk writes stands still
 * as well, at the brake: it is only slowed down, and to pause or kill somebody for that would slow it down
 * more. */
#define FELT_PERMYRIAD 2000
#define UNFELT_PERMYRIAD 500
#define FELT_AFTER_USEC (2 * USEC_PER_SEC)
#define UNFELT_AFTER_USEC (5 * USEC_PER_SEC)
#define FELT_WINDOW_USEC (500 * USEC_PER_MSEC)

/* A quarter as much as is new: to grow while others wait for their pages is slow. */
#define BACK_SHARE 4

/* Half of what goes to swap may come back before pushing out ahead of need is no gain: each page that does
 * has cost a write, a read and a wait. Told from at least so much, and of the last that would fill the limit:
 * where many end at once what is left comes back, and nothing goes. */
#define RETURNS_SHARE 2
#define RETURNS_LEAST_BYTES (16 * MIB)
/* An eighth of the last eighth of the limit is enough to say that what goes is not cold. */
#define WANTED_SHARE 8
#define WANTED_PART 8

/* A domain at its limit is strained when somebody in it waits for memory most of the time, or all of it does
 * so for a fifth, or waits for what is read back from swap. */
#define STRAINED_SOME_PERMYRIAD 5000
#define STRAINED_FULL_PERMYRIAD 2000
#define STRAINED_USED_PERMYRIAD 8000

#define LEVEL_LOW_PERMYRIAD 8000
#define LEVEL_MEDIUM_PERMYRIAD 9000
#define LEVEL_HYSTERESIS_PERMYRIAD 300
#define LEVEL_HOLD_USEC USEC_PER_SEC
/* A domain that is full within this long is at that level, however much is left now. */
#define LEVEL_LOW_LEFT_USEC (5 * USEC_PER_SEC)
#define LEVEL_MEDIUM_LEFT_USEC (3 * USEC_PER_SEC)

/* The trend is told from this long, so that one burst of a millisecond is none. */
#define TREND_WINDOW_USEC (500 * USEC_PER_MSEC)

#define LOOK_CALM_USEC USEC_PER_SEC
#define AHEAD_ZRAM_PART 3
#define LOOK_MIN_ISOLATE_USEC (20 * USEC_PER_MSEC)
#define LOOK_MIN_HOST_USEC (10 * USEC_PER_MSEC)
#define LOOK_FELT_USEC (100 * USEC_PER_MSEC)
#define LOOK_FELT_LEFT_USEC (2 * USEC_PER_SEC)

/* Limit and use of the domain: of the two bounds in isolate the one that leaves less. */
/* True where it is the one that others have set for the workloads. */
static bool domain_balance(const struct config *c, const struct snapshot *s, uint64_t *ret_limit,
                           uint64_t *ret_used)
{
    uint64_t inside = 0, outside, shared, share, own;

    if (!s->isolate) {
        *ret_limit = limit_host(c, s->node.total);
        *ret_used = s->node.unreclaimable;
        return false;
    }
    for (unsigned i = 0; i < s->workload_count; i++)
        if (s->workloads[i].id != 0)
            inside = u64_add_cap(inside, s->workloads[i].used);
    outside = u64_sub_floor(s->node.unreclaimable, inside);
    inside = u64_add_cap(inside, s->protected_cache);
    shared = u64_add_cap(inside, u64_sub_floor(outside, limit_system_reserve(c, s->node.total)));
    share = limit_node_share(c, s);
    own = limit_own(s);
    /* own − inside < share − shared, without going below zero. */
    if (own < share && u64_add_cap(own, shared - inside) < share) {
        *ret_limit = own;
        *ret_used = inside;
        return true;
    }
    *ret_limit = share;
    *ret_used = shared;
    return false;
}

static uint64_t domain_swap(const struct snapshot *s)
{
    uint64_t own = 0;
    bool bounded = s->isolate && s->workload_count > 0;

    if (!bounded)
        return s->node.swap_effective;
    for (unsigned i = 0; i < s->workload_count; i++)
        if (s->workloads[i].id != 0)
            own = u64_add_cap(own, s->workloads[i].swap_room);
    return u64_min(s->node.swap_effective, own);
}

static struct room_psi psi_of(const struct snapshot *s, unsigned i)
{
    const struct workload *w = &s->workloads[i];

    if (!s->isolate)
        return (struct room_psi){1, s->node.psi_some_usec, s->node.psi_full_usec, s->node.io_full_usec};
    return (struct room_psi){w->id, w->psi_some_usec, w->psi_full_usec, w->io_full_usec};
}

/* How long the domain stood still since the window began: of several workloads the one that did so longest.
 * Each is compared with its own total: the greatest total may be that of one that stalled long ago. A new
 * cgroup, also one of an old name, begins with this window; so does I/O, which is read only while something
 * is in swap. */
static struct room_psi domain_stall(struct room_state *st, const struct snapshot *s)
{
    unsigned count = s->isolate ? s->workload_count : 1;
    struct room_psi most = {0};

    for (unsigned i = 0; i < count; i++) {
        const struct room_psi now = psi_of(s, i), *then = &st->psi[i];

        if (now.id != 0 && now.id == then->id) {
            most.some_usec = u64_max(most.some_usec, u64_sub_floor(now.some_usec, then->some_usec));
            most.full_usec = u64_max(most.full_usec, u64_sub_floor(now.full_usec, then->full_usec));
            if (then->io_full_usec != 0)
                most.io_full_usec =
                    u64_max(most.io_full_usec, u64_sub_floor(now.io_full_usec, then->io_full_usec));
        }
        st->psi[i] = now;
    }
    return most;
}

/* How much of what was read since the window began came back from swap: for so much of it one waits for
 * memory. */
static unsigned paging_share(struct room_state *st, const struct node *n, uint64_t *ret_waited)
{
    uint64_t read = u64_sub_floor(n->read_bytes, st->read_bytes);
    uint64_t swap_in = u64_sub_floor(n->swap_in_bytes, st->swap_in_bytes);
    uint64_t in_swap = u64_sub_floor(n->swap_total, n->swap_free);
    bool known = st->read_bytes != 0 && n->read_bytes != 0;

    st->read_bytes = n->read_bytes;
    st->swap_in_bytes = n->swap_in_bytes;
    *ret_waited =
        known ? u64_mul_div(swap_in, u64_sub_floor(in_swap, n->zram_used), u64_max(in_swap, 1)) : UINT64_MAX;
    return known && read > 0 ? (unsigned)u64_mul_div(u64_min(swap_in, read), PERMYRIAD, read) : 0;
}

/* What came back from swap since the window began. What went there is what is there now and was not, and what
 * has made place by coming back; what was freed there (an exit) hides some of it. */
static uint64_t domain_refaults(struct room_state *st, const struct snapshot *s, uint64_t read)
{
    uint64_t sum = 0, out = 0;

    for (unsigned i = 0; s->isolate && i < s->workload_count; i++) {
        const struct workload *w = &s->workloads[i];

        if (w->id != 0 && w->id == st->refault_id[i]) {
            uint64_t back = u64_sub_floor(w->refault_bytes, st->refault_bytes[i]);

            sum = u64_add_cap(sum, back);
            out = u64_add_cap(out, u64_sub_floor(u64_add_cap(w->swap, back), st->swap_bytes[i]));
        }
        st->refault_id[i] = w->id;
        st->refault_bytes[i] = w->refault_bytes;
        st->swap_bytes[i] = w->swap;
    }
    st->read_back.out_bytes = u64_add_cap(st->read_back.out_bytes, out);
    st->read_back.back_bytes = u64_add_cap(st->read_back.back_bytes, u64_min(sum, read));
    st->wanted_back.out_bytes = u64_add_cap(st->wanted_back.out_bytes, out);
    st->wanted_back.back_bytes = u64_add_cap(st->wanted_back.back_bytes, sum);
    return sum;
}

/* Whether of the last `most_bytes` that went one part in `share` came back. */
static bool returns(struct room_returns *w, uint64_t most_bytes, unsigned share)
{
    if (w->out_bytes > u64_max(most_bytes, RETURNS_LEAST_BYTES)) {
        w->out_bytes /= 2;
        w->back_bytes /= 2;
    }
    return w->back_bytes >= RETURNS_LEAST_BYTES / 2 && w->back_bytes >= w->out_bytes / share;
}

static uint64_t domain_held(const struct snapshot *s)
{
    uint64_t sum = 0;

    for (unsigned i = 0; s->isolate && i < s->workload_count; i++)
        if (s->workloads[i].id != 0)
            sum = u64_add_cap(sum, u64_add_cap(s->workloads[i].used, s->workloads[i].swap));
    return sum;
}

/* By how much the domain grew since the window began, in memory and in swap. */
static uint64_t domain_growth(struct room_state *st, const struct snapshot *s)
{
    uint64_t held = domain_held(s), grown = u64_sub_floor(held, st->held);

    st->held = held;
    return grown;
}

/* All that came to be in memory: what is new, and what came back. */
static void inflow_update(struct room_state *st, uint64_t grown, uint64_t elapsed)
{
    uint64_t rate = u64_mul_div(u64_add_cap(grown, st->refaulted), USEC_PER_SEC, elapsed);

    st->inflow = u64_max(rate, st->inflow / 2);
}

/* Whether what stalls the domain is what comes back from swap, rather than what is new. A host's refaults are
 * not told apart. */
static bool comes_back(struct room_state *st, const struct snapshot *s, uint64_t grown)
{
    st->held_growth = u64_max(grown, st->held_growth / 2);
    return !s->isolate || st->refaulted > st->held_growth / BACK_SHARE;
}

/* A window without growth halves it: fast to rise and slow to fall, too. */
static void trend_update(struct room_state *st, uint64_t now_usec, uint64_t used)
{
    uint64_t elapsed = u64_sub_floor(now_usec, st->trend_usec), rate;

    if (st->trend_usec != 0 && elapsed < TREND_WINDOW_USEC)
        return;
    rate = st->trend_usec == 0
               ? 0
               : u64_mul_div(u64_sub_floor(used, st->trend_used), USEC_PER_SEC, u64_max(elapsed, 1));
    st->trend = u64_max(rate, st->trend / 2);
    st->trend_usec = now_usec;
    st->trend_used = used;
}

static void growth_update(struct room_state *st, uint64_t now_usec, uint64_t used, bool own)
{
    uint64_t elapsed = u64_sub_floor(now_usec, st->last_usec), rate;

    /* When the other bound becomes the tighter one, use is counted otherwise: that is no growth. */
    if (!st->primed || own != st->last_own) {
        st->primed = true;
        st->last_own = own;
        st->last_usec = now_usec;
        st->last_used = used;
        st->trend_usec = 0;
        trend_update(st, now_usec, used);
        return;
    }
    trend_update(st, now_usec, used);
    if (elapsed < GROWTH_WINDOW_USEC)
        return;

    rate = u64_mul_div(u64_sub_floor(used, st->last_used), USEC_PER_SEC, elapsed);
    if (rate >= st->growth)
        st->growth = rate;
    else
        st->growth -= u64_mul_div(st->growth - rate, u64_min(elapsed, GROWTH_FALL_USEC), GROWTH_FALL_USEC);
    if (rate >= st->growth_peak)
        st->growth_peak = rate;
    else
        st->growth_peak -= u64_mul_div(st->growth_peak - rate, u64_min(elapsed, GROWTH_PEAK_FALL_USEC),
                                       GROWTH_PEAK_FALL_USEC);
    st->last_usec = now_usec;
    st->last_used = used;
}

/* A stall may outlast the shortage that it came from: with memory left there is no need. */
static bool is_short_of_memory(const struct room *r)
{
    return r->used >= u64_mul_div(r->limit, STRAINED_USED_PERMYRIAD, PERMYRIAD);
}

static void felt_update(struct room_state *st, const struct snapshot *s, bool short_of_memory)
{
    uint64_t now_usec = s->now_usec, elapsed = u64_sub_floor(now_usec, st->psi_usec), share, waited, grown;
    struct room_psi stall;
    bool back;

    if (st->psi_usec == 0) {
        (void)domain_stall(st, s);
        (void)paging_share(st, &s->node, &waited);
        (void)domain_refaults(st, s, 0);
        (void)domain_growth(st, s);
        st->psi_usec = now_usec;
        return;
    }
    if (elapsed < FELT_WINDOW_USEC)
        return;
    stall = domain_stall(st, s);
    share = u64_mul_div(stall.full_usec, PERMYRIAD, elapsed);
    st->stall_permyriad = (unsigned)u64_min(share, PERMYRIAD);
    st->some_permyriad = (unsigned)u64_min(u64_mul_div(stall.some_usec, PERMYRIAD, elapsed), PERMYRIAD);
    st->paging_share_permyriad = paging_share(st, &s->node, &waited);
    st->paging_permyriad = (unsigned)u64_min(
        u64_max(share, u64_mul_div(stall.io_full_usec, st->paging_share_permyriad, elapsed)), PERMYRIAD);
    st->refaulted = domain_refaults(st, s, waited);
    grown = domain_growth(st, s);
    inflow_update(st, grown, elapsed);
    back = comes_back(st, s, grown);
    if (share < FELT_PERMYRIAD)
        st->stalled_since_usec = 0;
    else if (st->stalled_since_usec == 0)
        st->stalled_since_usec = st->psi_usec;
    if (share < FELT_PERMYRIAD || !back)
        st->felt_since_usec = 0;
    else if (st->felt_since_usec == 0)
        st->felt_since_usec = st->psi_usec;
    if (share > UNFELT_PERMYRIAD && back)
        st->unfelt_since_usec = 0;
    else if (st->unfelt_since_usec == 0)
        st->unfelt_since_usec = st->psi_usec;

    if (st->felt_since_usec != 0 && now_usec - st->felt_since_usec >= FELT_AFTER_USEC)
        st->felt = true;
    else if (st->unfelt_since_usec != 0 &&
             (!short_of_memory || now_usec - st->unfelt_since_usec >= UNFELT_AFTER_USEC))
        st->felt = false;
    st->psi_usec = now_usec;
}

static enum level level_of(uint64_t permyriad, uint64_t need, uint64_t hysteresis)
{
    if (need > 0)
        return LEVEL_CRITICAL;
    if (permyriad + hysteresis >= LEVEL_MEDIUM_PERMYRIAD)
        return LEVEL_MEDIUM;
    if (permyriad + hysteresis >= LEVEL_LOW_PERMYRIAD)
        return LEVEL_LOW;
    return LEVEL_CALM;
}

static enum level level_max(enum level a, enum level b)
{
    return a > b ? a : b;
}

/* What is to come counts like what is. */
static enum level level_of_trend(const struct room *r)
{
    uint64_t left;

    if (r->trend == 0 || r->room <= 0)
        return LEVEL_CALM;
    left = u64_mul_div((uint64_t)r->room, USEC_PER_SEC, r->trend);
    return left < LEVEL_MEDIUM_LEFT_USEC ? LEVEL_MEDIUM : left < LEVEL_LOW_LEFT_USEC ? LEVEL_LOW : LEVEL_CALM;
}

/* Up at once; down only after LEVEL_HOLD_USEC and past the hysteresis, so that a level is not left and
 * entered again with every page. */
static void level_update(struct room_state *st, uint64_t now_usec, const struct room *r)
{
    uint64_t budget = u64_add_cap(r->limit, r->swap), share;
    enum level up, down, soon = level_of_trend(r);

    share = budget == 0 ? PERMYRIAD : u64_min(u64_mul_div(r->used, PERMYRIAD, budget), PERMYRIAD);
    if (r->strained)
        soon = level_max(soon, LEVEL_MEDIUM);
    up = level_max(level_of(share, r->need, 0), soon);
    down = level_max(level_of(share, r->need, LEVEL_HYSTERESIS_PERMYRIAD), soon);
    if (up >= st->level) {
        if (up > st->level)
            st->level = up;
        st->level_since_usec = now_usec;
    } else if (down < st->level && u64_sub_floor(now_usec, st->level_since_usec) >= LEVEL_HOLD_USEC) {
        st->level = down;
        st->level_since_usec = now_usec;
    }
}

/* There is swap to grow into, but no memory, and that slows it down. Whether it does so more than fewer of
 * them would be slowed down is for the policy of pausing to say. */
static bool is_strained(const struct room_state *st, const struct room *r)
{
    return r->swap_left > 0 && is_short_of_memory(r) &&
           (st->some_permyriad >= STRAINED_SOME_PERMYRIAD || st->paging_permyriad >= STRAINED_FULL_PERMYRIAD);
}

static int64_t add_room(int64_t room, uint64_t swap)
{
    int64_t sum;

    return __builtin_add_overflow(room, (int64_t)u64_min(swap, INT64_MAX), &sum) ? INT64_MAX : sum;
}

/* Swap that is felt is no room to go on growing into, but the domain is not exhausted before it is full. */
static uint64_t time_left(int64_t room, uint64_t growth)
{
    if (room <= 0)
        return 0;
    return growth == 0 ? UINT64_MAX : u64_mul_div((uint64_t)room, USEC_PER_SEC, growth);
}

uint64_t room_coming(const struct room *r)
{
    return u64_max(r->trend, r->inflow);
}

uint64_t room_ahead(const struct room *r)
{
    uint64_t ahead = u64_add_cap(limit_margin(r->limit), room_coming(r) / 4);

    return r->in_zram ? ahead / AHEAD_ZRAM_PART : ahead;
}

void room_evaluate(const struct config *c, const struct snapshot *s, struct room_state *st, struct room *ret)
{
    struct room r = {0};
    uint64_t left, margin, swap = domain_swap(s);
    int64_t physical;
    bool own;

    own = domain_balance(c, s, &r.limit, &r.used);
    growth_update(st, s->now_usec, r.used, own);
    felt_update(st, s, is_short_of_memory(&r));
    r.growth = st->growth;
    r.trend = st->trend;
    r.inflow = st->inflow;
    r.felt = st->felt;
    r.stall_permyriad = st->stall_permyriad;
    r.paging_permyriad = st->paging_permyriad;
    r.paging_share_permyriad = st->paging_share_permyriad;
    r.thrash = r.felt && swap > 0 && is_short_of_memory(&r) ? st->refaulted : 0;
    r.swap = r.felt ? 0 : swap;
    r.swap_left = swap;
    r.returns = returns(&st->read_back, r.limit, RETURNS_SHARE);
    r.wanted_back = returns(&st->wanted_back, r.limit / WANTED_PART, WANTED_SHARE);
    r.in_zram = s->node.zram_used > u64_sub_floor(s->node.swap_total, s->node.swap_free) / 2;
    r.strained = is_strained(st, &r);

    margin = u64_mul_div(r.growth, REACTION_USEC, USEC_PER_SEC);
    r.margin = u64_min(u64_max(margin, limit_margin(r.limit)), u64_max(r.limit / 16, limit_margin(r.limit)));

    if (r.used > r.limit) {
        r.room = -(int64_t)u64_min(r.used - r.limit, INT64_MAX);
    } else {
        left = r.limit - r.used;
        r.by_available = s->node.available < left;
        r.room = (int64_t)u64_min(u64_min(left, s->node.available), INT64_MAX);
    }
    physical = r.room;
    r.room = add_room(physical, r.swap);

    if (r.room < 0)
        r.need = u64_add_cap(r.margin, (uint64_t)-r.room);
    else
        r.need = u64_sub_floor(r.margin, (uint64_t)r.room);
    r.need = u64_max(r.need, r.thrash);
    r.throttled = r.need == 0 && st->stalled_since_usec != 0 &&
                  u64_sub_floor(s->now_usec, st->stalled_since_usec) >= c->throttle_deadline_usec;
    r.time_left_usec = time_left(add_room(physical, swap), r.growth);

    level_update(st, s->now_usec, &r);
    r.level = st->level;
    *ret = r;
}

/* A tenth of what is left at the present trend, where that is less than a second. */
static uint64_t look_calm_usec(const struct room *r)
{
    uint64_t left =
        r->trend == 0 || r->room <= 0 ? UINT64_MAX : u64_mul_div((uint64_t)r->room, USEC_PER_SEC, r->trend);

    return u64_max(u64_min(left / 10, LOOK_CALM_USEC), LOOK_CALM_USEC / 10);
}

/* What is needed is that fewer wait for their pages; what grows meanwhile still goes to swap, at the brake.
 */
static bool is_held_by_swap(const struct snapshot *s, const struct room *r)
{
    return s->isolate && r->felt && r->time_left_usec >= LOOK_FELT_LEFT_USEC;
}

uint64_t room_next_look_usec(const struct snapshot *s, const struct room_state *st, const struct room *r)
{
    uint64_t floor_usec = s->isolate ? LOOK_MIN_ISOLATE_USEC : LOOK_MIN_HOST_USEC;
    uint64_t plausible, left, due;

    if (r->need > 0)
        return is_held_by_swap(s, r) ? LOOK_FELT_USEC : floor_usec;
    if (s->isolate && r->level == LEVEL_CALM)
        return look_calm_usec(r);

    /* Twice the fastest growth of the last minute. Without history: in isolate, where memory.high brakes
     * whatever is faster, the whole limit in 2 s; on a host, where nothing brakes, 4 GiB/s (one core touching
     * pages). */
    plausible = s->isolate ? r->limit / 2 : 4 * GIB;
    plausible = u64_max(plausible, u64_add_cap(st->growth_peak, st->growth_peak));
    left = r->room <= 0 ? 0 : u64_sub_floor((uint64_t)r->room, r->margin);
    due = u64_mul_div(left, USEC_PER_SEC, u64_max(plausible, 1));
    return u64_min(u64_max(due, floor_usec), LOOK_CALM_USEC);
}

void room_forget_growth(struct room_state *state, uint64_t permyriad)
{
    state->growth -= u64_mul_div(state->growth, u64_min(permyriad, PERMYRIAD), PERMYRIAD);
    /* memory.stat lags: what it had not told yet of the dead is no growth of the living. The next look is the
     * base. */
    state->primed = false;
    state->trend -= u64_mul_div(state->trend, u64_min(permyriad, PERMYRIAD), PERMYRIAD);
}
