#include "policy/planner.h"

#include <string.h>

#include "base/macros.h"
#include "base/sort.h"
#include "policy/claims.h"
#include "policy/limit.h"
#include "policy/room.h"

static bool is_granted(const struct planner *p, const struct group *g)
{
    return g->id == p->state->granted_id && p->snapshot->now_usec < p->state->granted_until_usec &&
           p->room->level < LEVEL_CRITICAL;
}

/* That it did not grow lately is because it was frozen. Without swap what it has is what it will have at
 * least, and the next one need not wait until that is seen; after a thrash one that is let go on too soon
 * costs more than one that waits. */
static bool has_just_gone_on(const struct planner *p, const struct group *g)
{
    return g->frozen_usec != 0 && p->snapshot->now_usec < g->frozen_usec + GROUP_GROWTH_USEC;
}

static void fill_rows(struct planner *p)
{
    const struct snapshot *s = p->snapshot;
    bool one_owner = claims_one_owner(s);
    struct expect_size size[CONFIG_CLASSES_MAX];
    enum level level = p->room->level;

    for (unsigned i = 0; i < p->config->class_count; i++)
        expect_class(s, i, &p->state->peaks[i], &size[i]);
    p->queue = p->state->bound_bytes != 0;
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
        row->certain_bytes = row->expected_bytes;
        if (p->room->strained && st.request_bytes == GROUP_REQUEST_NONE && !size[g->class_index].learned)
            row->expected_bytes = u64_max(row->expected_bytes, g->growth_bytes);
        if (p->state->bound_bytes != 0 && row->running && has_just_gone_on(p, g) &&
            st.request_bytes == GROUP_REQUEST_NONE && size[g->class_index].learned)
            row->expected_bytes =
                u64_max(row->expected_bytes, u64_sub_floor(size[g->class_index].bytes, row->held_bytes));
        if (row->running && expect_runaway(p->config, s, p->room->limit, g, &st)) {
            row->expected_bytes = 0;
            row->stays = true;
        }
        row->pausable = row->running && !p->resume_only && !is_granted(p, g) && !g->failed_pause &&
                        !g->claims.no_pause && (class->actions & ACTION_BIT(ACTION_PAUSE)) != 0 &&
                        level_allows(p->config, level, ACTION_PAUSE, st.priority);
        row->newborn = u64_sub_floor(s->now_usec, g->birth_usec) < EXPECT_NEWBORN_USEC;
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
        if (row->paused)
            p->paused_bytes = u64_add_cap(p->paused_bytes, planner_pushable_bytes(p, row));
        if (!row->running)
            continue;
        p->running++;
        p->running_of[row->class_index]++;
        p->wanted_bytes = u64_add_cap(p->wanted_bytes, comes_to(row));
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

void planner_leave(struct planner *p, struct pause_row *row)
{
    row->running = false;
    p->running--;
    p->running_of[row->class_index]--;
    p->wanted_bytes = u64_sub_floor(p->wanted_bytes, comes_to(row));
    p->spare += signed_of(row->expected_bytes);
}

void planner_enter(struct planner *p, struct pause_row *row)
{
    row->running = true;
    p->running++;
    p->running_of[row->class_index]++;
    p->wanted_bytes = u64_add_cap(p->wanted_bytes, comes_to(row));
    p->spare -= signed_of(row->expected_bytes);
}

void planner_add(struct planner *p, struct pause_row *row, enum pause_act act, enum pause_why why)
{
    if (p->plan->count >= PAUSE_PLAN_MAX)
        return;
    p->plan->steps[p->plan->count++] = (struct pause_step){.act = act, .why = why, .group_index = row->index};
    p->candidates[row->index].verdict = VERDICT_CHOSEN;
    row->stays = true;
    if (act == PAUSE_ACT_PAUSE) {
        planner_leave(p, row);
        p->paused_bytes = u64_add_cap(p->paused_bytes, planner_pushable_bytes(p, row));
        return;
    }
    row->paused = false;
    p->paused_bytes = u64_sub_floor(p->paused_bytes, planner_pushable_bytes(p, row));
    if (act == PAUSE_ACT_RESUME)
        planner_enter(p, row);
}

bool planner_may_pause(const struct planner *p, const struct pause_row *row)
{
    return row->running && row->pausable && !row->stays && p->running > 1 &&
           p->running_of[row->class_index] > p->config->classes[row->class_index].min_running;
}

uint64_t planner_resident_bytes(const struct planner *p, const struct pause_row *row)
{
    const struct group *g = &p->snapshot->groups[row->index];

    return u64_add_cap(u64_add_cap(g->anon, g->shmem), g->kernel);
}

uint64_t planner_pushable_bytes(const struct planner *p, const struct pause_row *row)
{
    const struct group *g = &p->snapshot->groups[row->index];
    uint64_t ahead = room_ahead(p->room);

    if (!p->snapshot->isolate || g->pid > 0 || p->room->swap_left < 3 * ahead ||
        (p->config->classes[g->class_index].actions & ACTION_BIT(ACTION_RECLAIM)) == 0)
        return 0;
    return u64_min(u64_add_cap(g->anon, g->shmem), p->room->swap_left);
}

uint64_t planner_paused_since(const struct planner *p, const struct pause_row *row)
{
    return p->snapshot->groups[row->index].pause_since_usec;
}

uint64_t planner_place_bytes(const struct planner *p)
{
    return u64_sub_floor(p->room->limit, limit_margin(p->room->limit));
}

void planner_begin(struct planner *p)
{
    p->running = 0;
    p->wanted_bytes = p->paused_bytes = p->cpu_permyriad = 0;
    memset(p->running_of, 0, sizeof(p->running_of));
    fill_rows(p);
    sum_up(p);
    sort_array(p->rows, p->count, sizeof(*p->rows), goes_first, NULL);
}
