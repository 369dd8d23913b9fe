#include "policy/victim.h"

#include <stdbool.h>
#include <string.h>

#include "base/macros.h"

static const struct class_config *class_of(const struct config *c, const struct group *g)
{
    return &c->classes[g->class_index];
}

static bool may_be_killed(const struct config *c, const struct group *g)
{
    const struct class_config *class = class_of(c, g);

    return class->priority < CONFIG_PRIORITY_PROTECTED && (class->actions & ACTION_BIT(ACTION_KILL)) != 0 &&
           g->populated && !g->dying;
}

static uint64_t freed_bytes(const struct group *g, bool count_shmem)
{
    uint64_t freed = u64_add_cap(g->anon, g->kernel);

    return count_shmem ? u64_add_cap(freed, g->shmem) : freed;
}

/* True where a goes before b. A total order: ids of cgroups are unique, and pids are within a moment. */
static bool goes_before(const struct config *c, const struct group *a, const struct group *b)
{
    const struct class_config *ca = class_of(c, a), *cb = class_of(c, b);

    if (ca->priority != cb->priority)
        return ca->priority < cb->priority;
    if (ca->retriable != cb->retriable)
        return ca->retriable;
    if (a->birth_usec != b->birth_usec)
        return a->birth_usec > b->birth_usec;
    if (a->id != b->id)
        return a->id > b->id;
    return a->pid > b->pid;
}

/* The first allowed group in order that comes after `previous` (NULL: the first of all). Repeated for the few
 * victims of one decision this is cheaper than sorting thousands, and needs no storage. */
static const struct group *next_in_order(const struct config *c, const struct snapshot *s,
                                         const struct group *previous, bool count_shmem)
{
    const struct group *best = NULL;

    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];

        if (!may_be_killed(c, g) || freed_bytes(g, count_shmem) < VICTIM_USEFUL_BYTES)
            continue;
        if (previous && (g == previous || !goes_before(c, previous, g)))
            continue;
        if (!best || goes_before(c, g, best))
            best = g;
    }
    return best;
}

static void take(struct decision *d, const struct snapshot *s, const struct group *g, bool count_shmem)
{
    struct victim *v = &d->victims[d->victim_count++];

    *v = (struct victim){
        .id = g->id,
        .pid = g->pid,
        .class_index = g->class_index,
        .expected_bytes = freed_bytes(g, count_shmem),
        .age_usec = u64_sub_floor(s->now_usec, g->birth_usec),
    };
    memcpy(v->path, g->path, sizeof(v->path));
    memcpy(v->comm, g->comm, sizeof(v->comm));
    d->expected_bytes = u64_add_cap(d->expected_bytes, v->expected_bytes);
}

/* Gives back what the cover does not need. Victims stand in order, so that the last ones cost most. */
static void prune(struct decision *d, uint64_t cover_bytes)
{
    for (unsigned i = d->victim_count; i-- > 0;) {
        if (d->expected_bytes - d->victims[i].expected_bytes < cover_bytes)
            continue;
        d->expected_bytes -= d->victims[i].expected_bytes;
        memmove(&d->victims[i], &d->victims[i + 1], (d->victim_count - i - 1) * sizeof(d->victims[0]));
        d->victim_count--;
    }
}

static void choose(const struct config *c, const struct snapshot *s, struct decision *d, bool count_shmem)
{
    uint64_t cover = u64_add_cap(d->room.need, d->room.margin);
    const struct group *g = NULL;

    d->victim_count = 0;
    d->expected_bytes = 0;
    while (d->victim_count < DECISION_VICTIMS_MAX && d->expected_bytes < cover) {
        g = next_in_order(c, s, g, count_shmem);
        if (!g)
            break;
        take(d, s, g, count_shmem);
    }
    if (d->expected_bytes >= cover)
        prune(d, cover);
}

void victim_choose(const struct config *c, const struct snapshot *s, struct decision *d)
{
    bool dying = false;

    d->reason = DECISION_NOTHING_NEEDED;
    d->groups = s->group_count;
    d->candidates = d->passed_over = d->victim_count = 0;
    d->expected_bytes = 0;
    for (unsigned i = 0; i < s->group_count; i++) {
        const struct group *g = &s->groups[i];

        dying = dying || (g->dying && !g->stuck);
        if (!may_be_killed(c, g))
            continue;
        if (freed_bytes(g, true) < VICTIM_USEFUL_BYTES)
            d->passed_over++;
        else
            d->candidates++;
    }
    if (d->room.need == 0) /* the margin alone is no reason to end anybody */
        return;
    if (dying) {
        d->reason = DECISION_WAITING;
        return;
    }
    choose(c, s, d, false);
    if (d->expected_bytes < d->room.need)
        choose(c, s, d, true);
    d->reason = d->victim_count > 0 ? DECISION_KILL : DECISION_NO_CANDIDATE;
}
