#include "policy/pause.h"

#include <string.h>

#include "base/macros.h"
#include "base/sort.h"
#include "base/units.h"
#include "policy/claims.h"
#include "policy/limit.h"

#define IDLE_USEC (3 * USEC_PER_SEC)
#define IDLE_CPU_PERMYRIAD 500
#define QUIET_STALL_PERMYRIAD 500
#define STEADY_USEC (3 * USEC_PER_SEC)
#define STEADY_LEFT_USEC (30 * USEC_PER_SEC)
/* The bound of a thrash is raised by a twentieth each time this has gone by without one, and then forgotten.
 */
#define BOUND_STEP_USEC (10 * USEC_PER_SEC)
/* So long those that fit are waited for to have their pages back. */
#define SETTLE_USEC (30 * USEC_PER_SEC)
#define BOUND_FORGET_USEC (60 * USEC_PER_SEC)
#define PAUSE_FAST_USEC (30 * USEC_PER_MSEC)
/* Smaller ones go past the first in the queue for so long; then what comes free is kept for it. */
#define PATIENCE_USEC (60 * USEC_PER_SEC)
#define NEWBORN_USEC EXPECT_NEWBORN_USEC
/* Numbers that waver around what fits are not followed each time. */
#define DWELL_USEC (500 * USEC_PER_MSEC)
/* To pause who is expected to grow by less than this brings nothing. */
#define GROWTH_LEAST_BYTES EXPECT_LEAST_BYTES
/* One that goes on because somebody waits for it is not paused again at once, short of a need. */
#define GRANT_USEC (10 * USEC_PER_SEC)

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
    uint64_t running_bytes; /* held by the running ones */
    uint64_t cpu_permyriad; /* of one CPU, used by them lately */
    unsigned running;
    unsigned running_of[CONFIG_CLASSES_MAX];
};

void pause_state_init(struct pause_state *state)
{
    *state = (struct pause_state){.fast_usec = PAUSE_FAST_USEC};
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

static bool is_granted(const struct planner *p, const struct group *g)
{
    return g->id == p->state->granted_id && p->snapshot->now_usec < p->state->granted_until_usec &&
           p->room->level < LEVEL_CRITICAL;
}

static void fill_rows(struct planner *p)
{
    const struct snapshot *s = p->snapshot;
    bool one_owner = claims_one_owner(s);
    struct expect_size size[CONFIG_CLASSES_MAX];
    enum level level = p->room->level;

    for (unsigned i = 0; i < p->config->class_count; i++)
        expect_class(s, i, &p->state->peaks[i], &size[i]);
    for (unsigned i = 0; i < s->group_count; i++)
        p->queue |= s->groups[i].paused && !s->groups[i].held && !s->groups[i].dying;
    if (p->queue && level < LEVEL_MEDIUM)
        level = LEVEL_MEDIUM;
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];
        const struct class_config *class = &p->config->classes[g->class_index];
        struct pause_row *row = &p->rows[i];
        struct standing st;

        claims_resolve(p->config, s, g, one_owner, &st);
        *row = (struct pause_row){
            .held_bytes = expect_held_bytes(g),
            .expected_bytes = expect_growth_bytes(g, &st, &size[g->class_index]),
            .birth_usec = g->birth_usec,
            .id = g->id,
            .index = i,
            .priority = st.priority,
            .class_index = g->class_index,
            .paused = g->paused && !g->dying,
            .running = g->populated && !g->paused && !g->frozen && !g->dying,
            .retriable = st.retriable && !st.omit,
            .stays = g->held,
        };
        if (row->running && expect_runaway(p->config, s, p->room->limit, g, &st)) {
            row->expected_bytes = 0;
            row->stays = true;
        }
        row->pausable = row->running && !p->resume_only && !is_granted(p, g) && !g->failed_pause &&
                        !g->claims.no_pause && (class->actions & ACTION_BIT(ACTION_PAUSE)) != 0 &&
                        level_allows(p->config, level, ACTION_PAUSE, st.priority);
        row->newborn = u64_sub_floor(s->now_usec, g->birth_usec) < NEWBORN_USEC;
        row->pausable &= row->newborn || level_allows(p->config, p->room->level, ACTION_PAUSE, st.priority);
        p->candidates[i] = (struct candidate){
            .id = g->id,
            .pid = g->pid,
            .group_index = i,
            .class_index = g->class_index,
            .priority = st.priority,
            .retriable = st.retriable,
            .over_request = st.over_request,
            .request_bytes = st.request_bytes,
            .last = st.last,
            .progress_usec = st.progress_usec,
            .growth_bytes = g->growth_bytes,
            .verdict = (class->actions & ACTION_BIT(ACTION_PAUSE)) == 0 || g->claims.no_pause
                           ? VERDICT_ACTIONS
                           : VERDICT_NOT_NEEDED,
        };
    }
    p->count = s->group_count;
}

/* So that what a whole plan moves cannot overflow. */
static int64_t signed_of(uint64_t v)
{
    return (int64_t)u64_min(v, INT64_MAX / (4 * PAUSE_PLAN_MAX));
}

static void sum_up(struct planner *p)
{
    p->spare = p->room->room > INT64_MAX / 2   ? INT64_MAX / 2
               : p->room->room < INT64_MIN / 2 ? INT64_MIN / 2
                                               : p->room->room;
    p->spare -= signed_of(limit_margin(p->room->limit));
    /* Swap that is felt still takes what grows: of the stall plan_thrash takes care, one by one. */
    p->spare += signed_of(p->room->swap_left - p->room->swap);
    for (unsigned i = 0; i < p->count; i++) {
        const struct pause_row *row = &p->rows[i];

        p->plan->paused += row->paused;
        if (!row->running)
            continue;
        p->running++;
        p->running_of[row->class_index]++;
        p->running_bytes = u64_add_cap(p->running_bytes, row->held_bytes);
        p->cpu_permyriad = u64_add_cap(p->cpu_permyriad, p->snapshot->groups[row->index].cpu_permyriad);
        p->spare -= signed_of(row->expected_bytes);
        if (p->spare < INT64_MIN / 2)
            p->spare = INT64_MIN / 2;
    }
    p->plan->spare_bytes = p->spare;
    p->plan->running = p->running;
}

/* In the order in which they are paused: lowest priority first, then the newest. */
static bool goes_first(const void *va, const void *vb, const void *user _unused_)
{
    const struct pause_row *a = va, *b = vb;

    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->birth_usec != b->birth_usec)
        return a->birth_usec > b->birth_usec;
    return a->id != b->id ? a->id > b->id : a->index > b->index;
}

static void leave(struct planner *p, struct pause_row *row)
{
    row->running = false;
    p->running--;
    p->running_of[row->class_index]--;
    p->running_bytes = u64_sub_floor(p->running_bytes, row->held_bytes);
    p->spare += signed_of(row->expected_bytes);
}

static void enter(struct planner *p, struct pause_row *row)
{
    row->running = true;
    p->running++;
    p->running_of[row->class_index]++;
    p->running_bytes = u64_add_cap(p->running_bytes, row->held_bytes);
    p->spare -= signed_of(row->expected_bytes);
}

static void add_step(struct planner *p, struct pause_row *row, enum pause_act act, enum pause_why why)
{
    if (p->plan->count >= PAUSE_PLAN_MAX)
        return;
    p->plan->steps[p->plan->count++] = (struct pause_step){.act = act, .why = why, .group_index = row->index};
    p->candidates[row->index].verdict = VERDICT_CHOSEN;
    row->stays = true;
    if (act == PAUSE_ACT_PAUSE) {
        leave(p, row);
        return;
    }
    row->paused = false;
    if (act == PAUSE_ACT_RESUME)
        enter(p, row);
}

static bool may_pause(const struct planner *p, const struct pause_row *row)
{
    return row->running && row->pausable && !row->stays && p->running > 1 &&
           p->running_of[row->class_index] > p->config->classes[row->class_index].min_running;
}

static uint64_t paused_since(const struct planner *p, const struct pause_row *row)
{
    return p->snapshot->groups[row->index].pause_since_usec;
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
        if (may_pause(p, &p->rows[i]) && p->rows[i].expected_bytes >= GROWTH_LEAST_BYTES)
            add_step(p, &p->rows[i], PAUSE_ACT_PAUSE, why_pause(p, &p->rows[i]));
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
            u64_add_cap(paused_since(p, row), DWELL_USEC) > p->snapshot->now_usec ||
            p->spare + signed_of(only->expected_bytes) < signed_of(row->expected_bytes))
            continue;
        add_step(p, row, PAUSE_ACT_RESUME, RESUME_WHY_FITS);
        add_step(p, only, PAUSE_ACT_PAUSE, PAUSE_WHY_TURN);
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
        leave(p, row);
    }
}

/* What the running ones may hold so that all of it has its place in memory: who of them stalls then only
 * waits for his pages to come back, and for those of the paused to go. */
static uint64_t resident_most(const struct planner *p)
{
    return u64_sub_floor(p->room->limit, limit_margin(p->room->limit));
}

/* A stall that PSI shows, on swapped-out memory at once, on anything else (page cache that is wanted back,
 * the brake) after ThrottleDeadline: one by one, each given the time to be felt. */
static void plan_thrash(struct planner *p)
{
    struct pause_state *st = p->state;
    uint64_t now = p->snapshot->now_usec;

    if ((p->room->thrash == 0 && !p->room->throttled) || p->room->stall_permyriad < PAUSE_STALL_PERMYRIAD ||
        (st->thrash_usec != 0 && now < st->thrash_usec + PAUSE_THRASH_USEC))
        return;
    if (p->room->thrash > 0 && p->running_bytes <= resident_most(p)) {
        if (now < st->bound_usec + SETTLE_USEC)
            st->thrash_usec = now;
        return;
    }
    for (unsigned i = 0; i < p->count; i++) {
        if (!may_pause(p, &p->rows[i]))
            continue;
        st->bound_bytes = p->running_bytes;
        st->bound_usec = st->thrash_usec = now;
        add_step(p, &p->rows[i], PAUSE_ACT_PAUSE, PAUSE_WHY_THRASH);
        return;
    }
}

static void age_bound(struct planner *p)
{
    struct pause_state *st = p->state;
    uint64_t age = u64_sub_floor(p->snapshot->now_usec, st->bound_usec);

    if (st->bound_bytes == 0)
        return;
    if (p->room->stall_permyriad >= QUIET_STALL_PERMYRIAD && p->running_bytes < st->bound_bytes)
        st->bound_usec = p->snapshot->now_usec; /* not over yet */
    else if (age >= BOUND_FORGET_USEC)
        st->bound_bytes = 0;
}

/* ---- resuming ---- */

static void grant(struct planner *p, const struct pause_row *row)
{
    p->state->granted_id = row->id;
    p->state->granted_until_usec = p->snapshot->now_usec + GRANT_USEC;
}

/* With how much of the bound: it is approached again by and by. */
static bool within_bound(const struct planner *p, const struct pause_row *row)
{
    const struct pause_state *st = p->state;
    uint64_t steps = u64_sub_floor(p->snapshot->now_usec, st->bound_usec) / BOUND_STEP_USEC;
    uint64_t share = u64_min(9500 + steps * 500, 2 * PERMYRIAD);

    return st->bound_bytes == 0 ||
           u64_add_cap(p->running_bytes, row->held_bytes + row->expected_bytes) <=
               u64_max(u64_mul_div(st->bound_bytes, share, PERMYRIAD), resident_most(p));
}

static bool is_stalled(const struct planner *p)
{
    return p->room->stall_permyriad >= QUIET_STALL_PERMYRIAD;
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
            (!longest || paused_since(p, &p->rows[i]) < paused_since(p, longest)))
            longest = &p->rows[i];
    return longest;
}

/* All that the running ones and this one hold has its place in memory, and what of it is in swap has its
 * place now. */
static bool fits_resident(const struct planner *p, const struct pause_row *row)
{
    uint64_t comes = row->held_bytes + row->expected_bytes;

    return u64_add_cap(p->running_bytes, comes) <= resident_most(p) &&
           u64_sub_floor(resident_most(p), p->room->used) >= comes;
}

/* Where swapping is felt, or was lately, what fits into memory does not make it worse. */
static bool fits(const struct planner *p, const struct pause_row *row)
{
    bool stalls = p->room->felt || (p->state->bound_bytes != 0 && is_stalled(p));

    return p->spare >= signed_of(row->expected_bytes) &&
           (stalls ? fits_resident(p, row) : within_bound(p, row)) &&
           u64_add_cap(paused_since(p, row), DWELL_USEC) <= p->snapshot->now_usec;
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

/* In their order, newcomers among them. Who does not fit lets smaller ones of his own priority past, for
 * PATIENCE_USEC. */
static void plan_fitting(struct planner *p, bool resume)
{
    unsigned least = 0; /* priority that still has its turn */

    for (unsigned i = p->count; i-- > 0;) {
        struct pause_row *row = &p->rows[i];
        bool open = row->priority >= least;

        if (row->queued) {
            row->queued = false;
            enter(p, row);
            if ((!open || p->spare < 0) && may_pause(p, row))
                add_step(p, row, PAUSE_ACT_PAUSE, PAUSE_WHY_BIRTH);
        } else if (row->paused && !row->stays) {
            if (resume && open && fits(p, row))
                add_step(p, row, PAUSE_ACT_RESUME, RESUME_WHY_FITS);
            else if (u64_add_cap(paused_since(p, row), PATIENCE_USEC) <= p->snapshot->now_usec)
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
        add_step(p, row, PAUSE_ACT_RESUME, RESUME_WHY_IDLE);
        p->state->idle_since_usec = p->state->steady_since_usec = 0;
        grant(p, row);
    } else if (row && steady) {
        add_step(p, row, PAUSE_ACT_RESUME, RESUME_WHY_CALM);
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
            add_step(p, other, PAUSE_ACT_PAUSE, PAUSE_WHY_TURN);
            add_step(p, row, PAUSE_ACT_RESUME, RESUME_WHY_LIMIT);
            grant(p, row);
        } else if (p->spare >= signed_of(row->expected_bytes) || !row->retriable || p->running == 0 ||
                   (class->actions & ACTION_BIT(ACTION_KILL)) == 0 ||
                   !level_allows(p->config, p->room->level, ACTION_KILL, row->priority)) {
            add_step(p, row, PAUSE_ACT_RESUME, RESUME_WHY_LIMIT);
            grant(p, row);
        } else {
            add_step(p, row, PAUSE_ACT_KILL, RESUME_WHY_LIMIT);
        }
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
    fill_rows(&p);
    sum_up(&p);
    sort_array(p.rows, p.count, sizeof(*p.rows), goes_first, NULL);
    age_bound(&p);
    plan_limits(&p);
    plan_growth(&p);
    plan_exchange(&p);
    plan_thrash(&p);
    quiet = ret->count == 0 || ret->steps[ret->count - 1].act != PAUSE_ACT_PAUSE;
    queue_up(&p);
    if (quiet)
        plan_resume(&p);
    plan_fitting(&p, quiet && (r->level != LEVEL_CRITICAL || r->felt));
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
        p.running = 0;
        p.running_bytes = p.cpu_permyriad = 0;
        memset(p.running_of, 0, sizeof(p.running_of));
        fill_rows(&p);
        sum_up(&p);
        sort_array(p.rows, p.count, sizeof(*p.rows), goes_first, NULL);
        for (unsigned i = 0; i < p.count && !grows; i++) {
            row = &p.rows[i];
            if (!may_pause(&p, row))
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
