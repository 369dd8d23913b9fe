#include <stdarg.h>
#include <string.h>

#include "base/units.h"
#include "daemon/daemon.h"
#include "policy/claims.h"
#include "policy/limit.h"

/* Who would be next, were memory to run short now: asked of the policy itself, with the groups of the last
 * walk and a copy of what it remembers, when somebody wants to know. Nothing is read, and nothing changes. */

static struct status_next *add(struct status *s, const char *action, const struct group *g)
{
    struct status_next *n = &s->next[s->next_count < STATUS_NEXT_MAX ? s->next_count++ : STATUS_NEXT_MAX - 1];

    *n = (struct status_next){.action = action, .expected_bytes = UINT64_MAX};
    if (g) {
        n->path = g->path;
        n->pid = g->pid;
        n->comm = g->comm;
        n->class_name = s->config->classes[g->class_index].name;
    }
    return n;
}

static void _printf_(2, 3) say(struct status_next *n, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(n->why, sizeof(n->why), format, ap);
    va_end(ap);
}

static void add_notify(struct daemon *d, struct status *s)
{
    const struct daemon_notifying *n = &d->notifying;
    _uninitialized_ unsigned places[NOTIFY_WAKE_MAX];
    enum level level = d->room.level > LEVEL_CALM ? d->room.level : LEVEL_LOW;
    struct status_next *next = add(s, "notify", NULL);

    next->programs = notify_choose(&d->config, &d->notifying.state, level, s->now_usec, true, places,
                                   (unsigned)u64_min(d->config.notify_wake, NOTIFY_WAKE_MAX));
    if (!n->served)
        say(next, "%s", d->dry_run ? "a dry run asks nobody" : "the socket could not be opened");
    else if (n->state.count == 0)
        say(next, "no program has connected to /" PRESSURE_PATH);
    else if (next->programs == 0)
        say(next, "all of %u were asked lately, or may not be", n->state.count);
    else
        say(next, "of %u; half of them gave most back before, the others were asked longest ago",
            n->state.count);
}

static void add_reclaim(struct daemon *d, struct status *s)
{
    const struct workload *most = NULL;
    struct status_next *n;

    for (unsigned i = 0; d->reader.isolate && i < d->snapshot.workload_count; i++) {
        const struct workload *w = &d->snapshot.workloads[i];

        if (w->id != 0 && w->swap_room > 0 && (!most || w->anon + w->shmem > most->anon + most->shmem))
            most = w;
    }
    n = add(s, "reclaim", NULL);
    if (!d->reader.isolate) {
        say(n, "only workloads are reclaimed from, in isolate");
    } else if (d->room.swap_left == 0) {
        say(n, "there is no swap to push anything out to");
    } else if (!most) {
        say(n, "no workload may use swap");
    } else {
        n->path = most->path;
        say(n, "the largest workload; swap takes what is cold, ahead of memory.high");
    }
}

static void add_pause(struct daemon *d, struct status *s)
{
    const struct pause_scratch scratch = {
        .rows = d->pause_rows, .candidates = d->candidates, .resume_only = !d->knobs_open && !d->dry_run};
    struct pause_heads heads;
    const struct group *g;
    struct status_next *n;

    if (!pausing_possible(d)) {
        say(add(s, "pause", NULL), "no class has pause in its Actions=");
        return;
    }
    pause_find_heads(&d->config, &d->snapshot, &d->room, &d->pause_state, &scratch, &heads);
    g = heads.pause < 0 ? NULL : &d->snapshot.groups[heads.pause];
    n = add(s, "pause", g);
    if (!g)
        say(n, "nobody may be paused, or nobody else would run");
    else
        say(n, "the newest of priority %u%s", d->candidates[heads.pause].priority,
            heads.why == PAUSE_WHY_THRASH ? "; only if the work stalls: nobody is expected to grow" : "");
    if (heads.resume >= 0)
        say(add(s, "resume", &d->snapshot.groups[heads.resume]),
            "the oldest of the highest priority among the paused");
}

static const struct candidate *candidate_of(const struct daemon *d, const struct victim *v)
{
    for (unsigned i = 0; i < d->snapshot.group_count; i++)
        if (d->candidates[i].id == v->id && d->candidates[i].pid == v->pid)
            return &d->candidates[i];
    return NULL;
}

static void add_victim(struct daemon *d, struct status *s, const struct decision *e, unsigned i)
{
    const struct victim *v = &e->victims[i];
    const struct candidate *k = candidate_of(d, v);
    char lost[UNITS_FORMAT_MAX];
    struct status_next *n;

    if (!k)
        return;
    n = add(s, "kill", &d->snapshot.groups[k->group_index]);
    n->expected_bytes = v->expected_bytes;
    if (v->culprit)
        say(n, "over its share, and the cause of most of the growth");
    else
        say(n, "priority %u%s%s%s; of those the least progress would be lost: %s", k->priority,
            k->retriable ? ", retriable" : "",
            k->request_bytes == GROUP_REQUEST_NONE ? ""
            : k->over_request                      ? ", over its request"
                                                   : ", within its request",
            k->last ? ", asked to be spared or was killed often" : "",
            units_format_usec(lost, v->progress_usec));
}

static void add_kill(struct daemon *d, struct status *s)
{
    struct victim_state copy = d->victim_state;
    struct decision e = {.room = d->room};

    e.room.level = LEVEL_CRITICAL;
    e.room.need = u64_max(e.room.need, limit_margin(e.room.limit));
    victim_choose(&d->config, &d->snapshot, &copy, &d->scratch, &e);
    switch (e.reason) {
    case DECISION_KILL:
        for (unsigned i = 0; i < e.victim_count && s->next_count < STATUS_NEXT_MAX; i++)
            add_victim(d, s, &e, i);
        return;
    case DECISION_WAITING:
        say(add(s, "kill", NULL), "an earlier victim is still dying");
        return;
    case DECISION_FRUITLESS:
        say(add(s, "kill", NULL), "killing has stopped for a while: the last kills left the need as it was");
        return;
    case DECISION_KILL_LIMIT:
        say(add(s, "kill", NULL), "KillLimit= is used up");
        return;
    default:
        say(add(s, "kill", NULL), "nobody may be killed, or it would free nothing");
    }
}

void outlook_fill_status(struct daemon *d, struct status *s)
{
    s->reserve_bytes = d->reader.isolate ? limit_system_reserve(&d->config, d->snapshot.node.total)
                                         : u64_sub_floor(d->snapshot.node.total, d->room.limit);
    s->next_count = 0;
    s->walk_usec = d->snapshot.groups_read ? d->snapshot.groups_usec : 0;
    if (!s->has_look || !d->snapshot.groups_read)
        return;
    add_notify(d, s);
    add_reclaim(d, s);
    add_pause(d, s);
    add_kill(d, s);
}

static const char *state_of(const struct group *g)
{
    if (g->dying)
        return g->stuck ? "stuck" : "dying";
    return g->paused ? "paused" : g->frozen ? "frozen" : "running";
}

bool outlook_group(void *user, unsigned index, struct status_group *ret)
{
    struct daemon *d = user;
    const struct group *g = &d->snapshot.groups[index];
    struct standing is;

    if (index >= d->snapshot.group_count)
        return false;
    claims_resolve(&d->config, &d->snapshot, g, claims_one_owner(&d->snapshot), &is);
    *ret = (struct status_group){
        .path = g->path,
        .pid = g->pid,
        .comm = g->comm,
        .class_name = d->config.classes[g->class_index].name,
        .state = state_of(g),
        .priority = is.priority,
        .retriable = is.retriable,
        .over_request = is.over_request,
        .last = is.last,
        .owner_uid = g->owner_uid,
        .used = claims_held_bytes(g),
        .anon = g->anon,
        .shmem = g->shmem,
        .kernel = g->kernel,
        .file = g->file,
        .swap = g->swap,
        .zswap = g->zswap,
        .progress_usec = is.progress_usec,
        .age_usec = is.age_usec,
        .request_bytes = is.request_bytes,
    };
    return true;
}
