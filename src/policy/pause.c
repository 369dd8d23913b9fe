#include "policy/pause.h"

#include "base/macros.h"
#include "base/units.h"
#include "policy/limit.h"
#include "policy/planner.h"

#define IDLE_USEC (3 * USEC_PER_SEC)
#define IDLE_CPU_PERMYRIAD 500
#define QUIET_STALL_PERMYRIAD 500
#define STEADY_USEC (3 * USEC_PER_SEC)
#define STEADY_LEFT_USEC (30 * USEC_PER_SEC)
/* The bound of a thrash is raised by a twentieth each time this has gone by without one, and forgotten after
 * BOUND_STEPS. Each time that more was too much again the steps are twice as long. To find that out costs as
 * much as it did before: with four times that a step, and a fifth more after five of them, it is a twentieth
 * of the time. */
#define BOUND_STALLS 4
#define BOUND_STEP_USEC (10 * USEC_PER_SEC)
#define BOUND_STEP_MOST_USEC (160 * USEC_PER_SEC)
#define BOUND_STEPS 6
/* A stall that pauses for breath is one. */
#define STALL_GAP_USEC (3 * USEC_PER_SEC)
/* Later than this it is another load. */
#define BOUND_AGAIN_USEC (600 * USEC_PER_SEC)
/* So long those that fit are waited for to have their pages back. */
#define SETTLE_USEC (30 * USEC_PER_SEC)
#define PAUSE_FAST_USEC (30 * USEC_PER_MSEC)
/* Smaller ones go past the first in the queue for so long; then what comes free is kept for it. */
#define PATIENCE_USEC (60 * USEC_PER_SEC)
/* Numbers that waver around what fits are not followed each time. */
#define DWELL_USEC (500 * USEC_PER_MSEC)
/* To pause who is expected to grow by less than this brings nothing. */
#define GROWTH_LEAST_BYTES EXPECT_LEAST_BYTES
/* One that goes on because somebody waits for it is not paused again at once, short of a need. */
#define GRANT_USEC (10 * USEC_PER_SEC)

void pause_state_init(struct pause_state *state)
{
    *state = (struct pause_state){.fast_usec = PAUSE_FAST_USEC, .bound_step_usec = BOUND_STEP_USEC};
}

void pause_note_confirmed(struct pause_state *state, uint64_t usec)
{
    state->fast_usec = (3 * state->fast_usec + u64_min(usec, PAUSE_THRASH_USEC)) / 4;
}

bool level_allows(const struct config *c, enum level level, enum action action, unsigned priority)
{
    const struct level_config *l = &c->levels[level];

    return (l->actions & ACTION_BIT(action)) != 0 && priority <= l->priority_max &&
           priority < CONFIG_PRIORITY_PROTECTED;
}

/* ---- pausing ---- */

static enum pause_why why_pause(const struct planner *p, const struct pause_row *row)
{
    return u64_sub_floor(p->snapshot->now_usec, row->birth_usec) < USEC_PER_SEC ? PAUSE_WHY_BIRTH
                                                                                : PAUSE_WHY_GROWTH;
}

/* Growth that has nowhere to go. At level critical there is a need that a pause by itself does not cover:
 * but for what more comes meanwhile it is still the gentlest. */
static void plan_growth(struct planner *p)
{
    for (unsigned i = 0; i < p->count && p->spare < 0; i++)
        if (planner_may_pause(p, &p->rows[i]) && p->rows[i].expected_bytes >= GROWTH_LEAST_BYTES)
            planner_add(p, &p->rows[i], PAUSE_ACT_PAUSE, why_pause(p, &p->rows[i]));
}

/* What is paused holds so much that the only one that runs does not fit: somebody who fits when it stands
 * still goes on in its place, comes to his end, and gives back what he holds. */
static void plan_exchange(struct planner *p)
{
    struct pause_row *only = NULL;

    for (unsigned i = 0; i < p->count && p->spare < 0 && p->running == 1; i++)
        if (p->rows[i].running)
            only = &p->rows[i];
    if (!only || !only->pausable || only->newborn || only->stays)
        return;
    for (unsigned i = p->count; i-- > 0;) {
        struct pause_row *row = &p->rows[i];

        if (!row->paused || row->stays || row->priority < only->priority ||
            (row->class_index != only->class_index &&
             p->config->classes[only->class_index].min_running > 0) ||
            u64_add_cap(planner_paused_since(p, row), DWELL_USEC) > p->snapshot->now_usec ||
            p->spare + signed_of(only->expected_bytes) < signed_of(row->expected_bytes))
            continue;
        planner_add(p, row, PAUSE_ACT_RESUME, RESUME_WHY_FITS);
        planner_add(p, only, PAUSE_ACT_PAUSE, PAUSE_WHY_TURN);
        return;
    }
}

/* While somebody waits, those that have just begun get what is left when the others have had their turn. */
static void queue_up(struct planner *p)
{
    for (unsigned i = 0; i < p->count && p->queue; i++) {
        struct pause_row *row = &p->rows[i];

        if (!row->newborn || !row->running || !row->pausable || row->stays)
            continue;
        row->queued = true;
        planner_leave(p, row);
    }
}

/* It is there, or still there. */
static void note_stall(struct pause_state *st, uint64_t now_usec)
{
    uint64_t step;

    if (now_usec > st->bound_usec + STALL_GAP_USEC)
        st->stall_since_usec = now_usec;
    step = BOUND_STALLS * u64_min(now_usec - st->stall_since_usec, BOUND_STEP_MOST_USEC);
    st->bound_step_usec = u64_max(st->bound_step_usec, u64_min(step, BOUND_STEP_MOST_USEC));
    st->bound_usec = now_usec;
}

/* Not to be reached again soon. More than one pause within a step is the same thrash. */
static void set_bound(struct planner *p, uint64_t bytes)
{
    struct pause_state *st = p->state;
    uint64_t now = p->snapshot->now_usec, since = u64_sub_floor(now, st->thrash_usec);

    if (st->thrash_usec == 0 || since >= u64_max(BOUND_AGAIN_USEC, 2 * BOUND_STEPS * st->bound_step_usec))
        st->bound_step_usec = BOUND_STEP_USEC;
    else if (since >= st->bound_step_usec)
        st->bound_step_usec = u64_min(2 * st->bound_step_usec, BOUND_STEP_MOST_USEC);
    note_stall(st, now);
    st->bound_bytes = bytes;
    st->thrash_usec = now;
}

/* Fewer would do more: as many as have their place. */
static void plan_crowd(struct planner *p)
{
    struct pause_state *st = p->state;

    st->crowded = crowd_judge(&st->crowd, p->snapshot, p->room, p->rows, p->count, planner_place_bytes(p));
    for (unsigned i = 0; i < p->count && st->crowded == CROWD_YES && p->wanted_bytes > planner_place_bytes(p);
         i++) {
        if (!planner_may_pause(p, &p->rows[i]))
            continue;
        set_bound(p, planner_place_bytes(p));
        planner_add(p, &p->rows[i], PAUSE_ACT_PAUSE, PAUSE_WHY_THRASH);
    }
}

/* A stall that PSI shows, on swapped-out memory at once where it cannot be told whether fewer would do more,
 * on anything else (page cache that is wanted back, the brake) after ThrottleDeadline: one by one, each given
 * the time to be felt. */
static void plan_thrash(struct planner *p)
{
    struct pause_state *st = p->state;
    uint64_t now = p->snapshot->now_usec;
    bool thrash = p->room->thrash > 0 && st->crowded == CROWD_UNKNOWN;

    if ((!thrash && !p->room->throttled) || p->room->stall_permyriad < PAUSE_STALL_PERMYRIAD ||
        (st->thrash_usec != 0 && now < st->thrash_usec + PAUSE_THRASH_USEC))
        return;
    if (thrash && p->wanted_bytes <= planner_place_bytes(p)) {
        if (now < st->bound_usec + SETTLE_USEC)
            st->thrash_usec = now;
        return;
    }
    for (unsigned i = 0; i < p->count; i++) {
        if (!planner_may_pause(p, &p->rows[i]))
            continue;
        set_bound(p, p->wanted_bytes);
        planner_add(p, &p->rows[i], PAUSE_ACT_PAUSE, PAUSE_WHY_THRASH);
        return;
    }
}

static bool is_stalled(const struct planner *p)
{
    return p->room->paging_permyriad >= QUIET_STALL_PERMYRIAD;
}

/* It was raised by too much, and that is felt: who is there may come to his end, and newcomers wait. */
static void lower_bound(struct pause_state *st, uint64_t now_usec)
{
    st->bound_step_usec = u64_min(2 * st->bound_step_usec, BOUND_STEP_MOST_USEC);
    st->bound_usec = st->stall_since_usec = now_usec;
}

static void age_bound(struct planner *p)
{
    struct pause_state *st = p->state;
    uint64_t age = u64_sub_floor(p->snapshot->now_usec, st->bound_usec);

    if (st->bound_bytes == 0)
        return;
    if (is_stalled(p) && p->wanted_bytes < st->bound_bytes)
        note_stall(st, p->snapshot->now_usec); /* not over yet */
    else if (p->room->felt && age >= st->bound_step_usec && p->wanted_bytes > planner_place_bytes(p))
        lower_bound(st, p->snapshot->now_usec);
    else if (age >= BOUND_STEPS * st->bound_step_usec)
        st->bound_bytes = 0;
}

/* ---- resuming ---- */

static void grant(struct planner *p, const struct pause_row *row)
{
    p->state->granted_id = row->id;
    p->state->granted_until_usec = p->snapshot->now_usec + GRANT_USEC;
}

/* With how much of the bound: it is approached again by and by. */
static uint64_t bound_now(const struct planner *p)
{
    const struct pause_state *st = p->state;
    uint64_t steps = u64_sub_floor(p->snapshot->now_usec, st->bound_usec) / st->bound_step_usec;
    uint64_t share = u64_min(9500 + steps * 500, 2 * PERMYRIAD);

    return u64_max(u64_mul_div(st->bound_bytes, share, PERMYRIAD), planner_place_bytes(p));
}

/* What the running ones and this one come to, beside what the others who wait hold in memory. The last of
 * that is not waited for: a few pages each, which no request brings, and the margin has a place for them. */
static uint64_t wanted_with(const struct planner *p, const struct pause_row *row)
{
    uint64_t others =
        row->paused ? u64_sub_floor(p->paused_bytes, planner_pushable_bytes(p, row)) : p->paused_bytes;

    others = u64_sub_floor(others, limit_margin(p->room->limit) / 2);
    return u64_add_cap(u64_add_cap(p->wanted_bytes, comes_to(row)), others);
}

static bool within_bound(const struct planner *p, const struct pause_row *row)
{
    return p->state->bound_bytes == 0 || wanted_with(p, row) <= bound_now(p);
}

/* The next one to go on: highest priority, then oldest. */
static struct pause_row *next_paused(struct planner *p)
{
    for (unsigned i = p->count; i-- > 0;)
        if (p->rows[i].paused && !p->rows[i].stays)
            return &p->rows[i];
    return NULL;
}

/* Whom somebody waits for is not known: each in its turn. */
static struct pause_row *longest_paused(struct planner *p)
{
    struct pause_row *longest = NULL;

    for (unsigned i = p->count; i-- > 0;)
        if (p->rows[i].paused && !p->rows[i].stays &&
            (!longest || planner_paused_since(p, &p->rows[i]) < planner_paused_since(p, longest)))
            longest = &p->rows[i];
    return longest;
}

/* All that the running ones and this one hold has its place in memory, and what of it is not there yet has
 * its place now. */
static bool fits_resident(const struct planner *p, const struct pause_row *row)
{
    uint64_t comes = comes_to(row);

    return u64_add_cap(p->wanted_bytes, comes) <= planner_place_bytes(p) &&
           u64_sub_floor(planner_place_bytes(p), p->room->used) >=
               u64_sub_floor(comes, planner_resident_bytes(p, row));
}

/* Where swapping is felt, or was lately, what fits into memory does not make it worse. */
static bool has_place(const struct planner *p, const struct pause_row *row)
{
    bool stalls = p->room->felt || (p->state->bound_bytes != 0 && is_stalled(p));

    return stalls ? fits_resident(p, row) : within_bound(p, row);
}

static bool fits(const struct planner *p, const struct pause_row *row)
{
    return p->spare >= signed_of(row->expected_bytes) && has_place(p, row) &&
           u64_add_cap(planner_paused_since(p, row), DWELL_USEC) <= p->snapshot->now_usec;
}

static bool stands_still(struct planner *p)
{
    const struct snapshot *s = p->snapshot;
    struct pause_state *st = p->state;
    bool idle = !is_stalled(p) && p->cpu_permyriad < IDLE_CPU_PERMYRIAD;

    if (!idle)
        st->idle_since_usec = 0;
    else if (st->idle_since_usec == 0)
        st->idle_since_usec = s->now_usec;
    return st->idle_since_usec != 0 && s->now_usec >= st->idle_since_usec + IDLE_USEC;
}

static bool is_steady(struct planner *p)
{
    const struct room *r = p->room;
    struct pause_state *st = p->state;
    bool steady = r->level == LEVEL_CALM && !r->felt && st->bound_bytes == 0 && r->room > 0 &&
                  u64_mul_div(r->trend, STEADY_LEFT_USEC, USEC_PER_SEC) < (uint64_t)r->room;

    if (!steady)
        st->steady_since_usec = 0;
    else if (st->steady_since_usec == 0)
        st->steady_since_usec = p->snapshot->now_usec;
    return st->steady_since_usec != 0 && p->snapshot->now_usec >= st->steady_since_usec + STEADY_USEC;
}

/* After a thrash only who is smaller all in all: that a newer one holds a little more already, which would be
 * out of the way if it went on, makes it no smaller. */
static bool may_pass(const struct planner *p, const struct pause_row *row, uint64_t least_waiting_bytes)
{
    return p->state->bound_bytes == 0 || comes_to(row) < least_waiting_bytes - least_waiting_bytes / 8;
}

/* In their order, newcomers among them. Who does not fit lets smaller ones of his own priority past, for
 * PATIENCE_USEC. */
static void plan_fitting(struct planner *p, bool resume)
{
    unsigned least = 0;            /* priority that still has its turn */
    uint64_t waiting = UINT64_MAX; /* what the smallest of those comes to who do not fit */

    for (unsigned i = p->count; i-- > 0;) {
        struct pause_row *row = &p->rows[i];
        bool open = row->priority >= least;

        if (row->queued) {
            bool bounded = !has_place(p, row) || !may_pass(p, row, waiting);

            row->queued = false;
            planner_enter(p, row);
            if ((!open || bounded || p->spare < 0) && planner_may_pause(p, row))
                planner_add(p, row, PAUSE_ACT_PAUSE, PAUSE_WHY_BIRTH);
        } else if (row->paused && !row->stays) {
            if (resume && open && fits(p, row) && may_pass(p, row, waiting)) {
                planner_add(p, row, PAUSE_ACT_RESUME, RESUME_WHY_FITS);
                continue;
            }
            waiting = u64_min(waiting, comes_to(row));
            if (u64_add_cap(planner_paused_since(p, row), PATIENCE_USEC) <= p->snapshot->now_usec)
                least = row->priority + 1;
            else
                least = least > row->priority ? least : row->priority;
        }
    }
}

static void plan_resume(struct planner *p)
{
    bool still = stands_still(p), steady = is_steady(p);
    struct pause_row *row = p->running > 0 && still ? longest_paused(p) : next_paused(p);

    if (row && (p->running == 0 || still)) {
        planner_add(p, row, PAUSE_ACT_RESUME, RESUME_WHY_IDLE);
        p->state->idle_since_usec = p->state->steady_since_usec = 0;
        grant(p, row);
    } else if (row && steady) {
        planner_add(p, row, PAUSE_ACT_RESUME, RESUME_WHY_CALM);
        p->state->steady_since_usec = 0;
    }
}

/* ---- PauseLimit ---- */

/* In whose place `row` goes on; one of its own class leaves that class as it was. */
static struct pause_row *newest_for(struct planner *p, const struct pause_row *row)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct pause_row *r = &p->rows[i];

        if (r->running && r->pausable && !r->stays && r != row &&
            (r->class_index == row->class_index ||
             p->running_of[r->class_index] > p->config->classes[r->class_index].min_running))
            return r;
    }
    return NULL;
}

/* Its time is up: it goes on in another's place; where nobody can be paused for it, and it does not fit, it
 * is killed if a retry is all that costs, and goes on anyhow if not. */
static void plan_limits(struct planner *p)
{
    for (unsigned i = p->count; i-- > 0 && p->plan->count + 2 <= PAUSE_PLAN_MAX;) {
        struct pause_row *row = &p->rows[i], *other;
        const struct group *g = &p->snapshot->groups[row->index];
        const struct class_config *class = &p->config->classes[row->class_index];
        uint64_t paused_for = u64_sub_floor(p->snapshot->now_usec, g->pause_since_usec);

        if (!row->paused || row->stays || paused_for < class->pause_limit_usec)
            continue;
        other = p->spare >= signed_of(row->expected_bytes) ? NULL : newest_for(p, row);
        if (other) {
            planner_add(p, other, PAUSE_ACT_PAUSE, PAUSE_WHY_TURN);
            planner_add(p, row, PAUSE_ACT_RESUME, RESUME_WHY_LIMIT);
            grant(p, row);
        } else if (p->spare >= signed_of(row->expected_bytes) || !row->retriable || p->running == 0 ||
                   (class->actions & ACTION_BIT(ACTION_KILL)) == 0 || p->room->need == 0 ||
                   !level_allows(p->config, p->room->level, ACTION_KILL, row->priority)) {
            planner_add(p, row, PAUSE_ACT_RESUME, RESUME_WHY_LIMIT);
            grant(p, row);
        } else {
            planner_add(p, row, PAUSE_ACT_KILL, RESUME_WHY_LIMIT);
        }
    }
}

/* What of the paused ones' memory is in the way: of what those who run will want, swapped out or not yet
 * there, after a thrash also of whoever goes on next, and of page cache where that is what they wait for. */
static uint64_t in_the_way(struct planner *p)
{
    bool comes_back = p->state->bound_bytes != 0 || p->room->returns || p->room->level >= LEVEL_MEDIUM;
    uint64_t swapped = 0, more = 0, bound = bound_now(p);
    const struct pause_row *next = next_paused(p);
    int64_t spare;

    if (p->room->throttled && !p->room->felt)
        return p->paused_bytes;
    for (unsigned i = 0; i < p->count && comes_back; i++)
        if (p->rows[i].running)
            swapped = u64_add_cap(swapped, p->snapshot->groups[p->rows[i].index].swap);
    spare = p->spare - signed_of(u64_add_cap(p->room->swap_left, swapped));
    if (next && p->state->bound_bytes != 0 && u64_add_cap(p->wanted_bytes, comes_to(next)) <= bound)
        more = u64_sub_floor(wanted_with(p, next), bound);
    return u64_min(u64_max(spare < 0 ? (uint64_t)-spare : 0, more), p->paused_bytes);
}

/* What programs were asked for should be enough: they are waited for. */
static void put_off(struct planner *p, uint64_t asked_bytes)
{
    uint64_t missing = u64_max(p->room->need, p->spare < 0 ? (uint64_t)-p->spare : 0);

    p->plan->put_off = false;
    if (missing == 0 || asked_bytes < missing)
        return;
    for (unsigned i = 0; i < p->count; i++) {
        p->plan->put_off |= planner_may_pause(p, &p->rows[i]);
        p->rows[i].pausable = false;
    }
}

void pause_make_plan(const struct config *c, const struct snapshot *s, const struct room *r,
                     struct pause_state *state, const struct pause_scratch *scratch, struct pause_plan *ret)
{
    struct planner p = {
        .config = c,
        .snapshot = s,
        .room = r,
        .state = state,
        .rows = scratch->rows,
        .candidates = scratch->candidates,
        .plan = ret,
        .resume_only = scratch->resume_only,
    };
    bool quiet; /* who goes on must not take the place of who has just been paused */

    ret->count = ret->paused = ret->running = 0;
    planner_begin(&p);
    age_bound(&p);
    plan_limits(&p);
    put_off(&p, scratch->asked_bytes);
    plan_growth(&p);
    plan_exchange(&p);
    plan_crowd(&p);
    plan_thrash(&p);
    quiet = ret->count == 0 || ret->steps[ret->count - 1].act != PAUSE_ACT_PAUSE;
    queue_up(&p);
    if (quiet)
        plan_resume(&p);
    plan_fitting(&p, quiet && (r->level != LEVEL_CRITICAL || r->felt));
    ret->spare_memory_bytes = p.spare - signed_of(r->swap_left);
    ret->in_the_way_bytes = in_the_way(&p);
    ret->short_bytes = p.spare < 0 ? (uint64_t)-p.spare : 0;
}

void pause_find_heads(const struct config *c, const struct snapshot *s, const struct room *r,
                      const struct pause_state *state, const struct pause_scratch *scratch,
                      struct pause_heads *ret)
{
    struct pause_state copy = *state;
    struct room short_of = *r;
    struct pause_plan plan = {0};
    struct planner p = {
        .config = c,
        .snapshot = s,
        .room = &short_of,
        .state = &copy,
        .rows = scratch->rows,
        .candidates = scratch->candidates,
        .plan = &plan,
        .resume_only = scratch->resume_only,
    };
    const struct pause_row *row = NULL, *stalls = NULL, *grows = NULL;

    for (enum level l = r->level > LEVEL_MEDIUM ? r->level : LEVEL_MEDIUM; l <= LEVEL_CRITICAL && !stalls;
         l++) {
        short_of.level = l;
        planner_begin(&p);
        for (unsigned i = 0; i < p.count && !grows; i++) {
            row = &p.rows[i];
            if (!planner_may_pause(&p, row))
                continue;
            if (!stalls)
                stalls = row;
            if (row->expected_bytes >= GROWTH_LEAST_BYTES)
                grows = row;
        }
    }
    row = grows ? grows : stalls;
    ret->pause = row ? (int)row->index : -1;
    ret->why = grows ? why_pause(&p, grows) : stalls ? PAUSE_WHY_THRASH : PAUSE_WHY_NONE;
    row = next_paused(&p);
    ret->resume = row ? (int)row->index : -1;
}
