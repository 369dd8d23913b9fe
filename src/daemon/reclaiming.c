#include <errno.h>
#include <string.h>

#include "base/units.h"
#include "daemon/daemon.h"
#include "policy/limit.h"
#include "policy/reclaim.h"
#include "policy/room.h"
#include "system/clock.h"

/* Memory pushed out to swap by the worker, one request at a time: ahead of the limit, so that those who
 * allocate need not do it themselves, and as the rung of the ladder before anybody is paused. */

#define REQUEST_BYTES (64 * MIB)
#define REQUEST_USEC (500 * USEC_PER_MSEC)
/* Of many requests in a row for the same reason one a second is recorded. */
#define QUIET_USEC USEC_PER_SEC
#define LOOK_LEAST_USEC (50 * USEC_PER_MSEC)
#define TREND_LEAST_BYTES MIB
/* Nobody waits for his pages to speak of. */
#define QUIET_PERMYRIAD 500

static bool is_possible(const struct daemon *d)
{
    return d->reader.isolate && !d->dry_run && d->knobs_open && !d->reclaiming && d->worker.pid != 0 &&
           !pausing_held(d, clock_now_usec());
}

static unsigned domain_length(const struct daemon *d, unsigned workload_index)
{
    const struct snapshot *s = &d->snapshot;

    return s->isolate && workload_index < s->workload_count
               ? (unsigned)strlen(s->workloads[workload_index].path)
               : 0;
}

static bool ask(struct daemon *d, const struct reclaim_target *t, uint64_t limit_usec)
{
    struct worker_request q = {.op = WORKER_RECLAIM,
                               .value = t->bytes,
                               .swappiness = RECLAIM_SWAPPINESS_UNSET,
                               .limit_usec = limit_usec};

    if (t->class_index == RECLAIM_WHOLE) {
        q.cgroup_id = d->snapshot.workloads[t->index].id;
        memcpy(q.path, d->snapshot.workloads[t->index].path, sizeof(q.path));
    } else {
        q.cgroup_id = d->snapshot.groups[t->index].id;
        q.domain_length = domain_length(d, d->snapshot.groups[t->index].workload_index);
        memcpy(q.path, d->snapshot.groups[t->index].path, sizeof(q.path));
    }
    if (companion_send(&d->worker, &q, sizeof(q)) < 0)
        return false;
    d->reclaiming = true;
    d->reclaim_target = *t;
    d->reclaim_since_usec = clock_now_usec();
    return true;
}

static void note_group(struct decision *e, const struct group *g, const struct reclaim_target *t)
{
    struct victim *v = &e->victims[e->victim_count++];

    *v = (struct victim){.id = g->id, .class_index = g->class_index, .expected_bytes = t->expected_bytes};
    memcpy(v->path, g->path, sizeof(v->path));
    memcpy(v->comm, g->comm, sizeof(v->comm));
}

static void note_workload(struct daemon *d, struct decision *e, const struct reclaim_target *t)
{
    struct victim *v = &e->victims[e->victim_count++];
    const struct workload *w = &d->snapshot.workloads[t->index];

    *v = (struct victim){.id = w->id,
                         .class_index = config_class_of(&d->config, w->path),
                         .expected_bytes = t->expected_bytes};
    memcpy(v->path, w->path, sizeof(v->path));
}

static void begin_record(struct daemon *d, const struct trigger *t, const struct reclaim_target *target)
{
    struct decision *e = &d->reclaim_decision;
    uint64_t now = clock_now_usec();

    if (now < d->reclaim_quiet_usec)
        return;
    d->reclaim_quiet_usec = now + QUIET_USEC;
    *e = (struct decision){
        .trigger = *t,
        .room = d->room,
        .time_usec = now,
        .wall_usec = clock_wall_usec(),
        .reason = DECISION_RECLAIM,
        .method = METHOD_ORDER,
        .candidates = 1,
        .expected_bytes = target->expected_bytes,
    };
    if (target->class_index == RECLAIM_WHOLE)
        note_workload(d, e, target);
    else
        note_group(e, &d->snapshot.groups[target->index], target);
    for (unsigned i = 0; target->class_index != RECLAIM_WHOLE && i < d->snapshot.group_count; i++)
        d->candidates[i] =
            (struct candidate){.id = d->snapshot.groups[i].id,
                               .pid = d->snapshot.groups[i].pid,
                               .group_index = i,
                               .class_index = d->snapshot.groups[i].class_index,
                               .request_bytes = GROUP_REQUEST_NONE,
                               .verdict = i == target->index ? VERDICT_CHOSEN : VERDICT_NOT_NEEDED};
    (void)record_ring_add(&d->ring, e, target->class_index == RECLAIM_WHOLE ? NULL : d->candidates,
                          &d->snapshot);
    d->reclaim_recorded = true;
}

/* The brake counts what is on its way to swap, too: pages that are being written are charged until they are.
 * But to push out more makes none of them leave sooner. *ret_then: what is left when they have. */
static uint64_t left_before_the_brake(const struct daemon *d, uint64_t *ret_then)
{
    const struct snapshot *s = &d->snapshot;
    uint64_t left = u64_sub_floor(d->room.limit, d->room.used), then = left;

    for (unsigned i = 0; i < s->workload_count; i++) {
        const struct workload *w = &s->workloads[i];

        if (w->id == 0 || w->swap == 0)
            continue;
        left = u64_min(left, u64_sub_floor(w->high, w->firm));
        then = u64_min(then, u64_sub_floor(w->high, u64_sub_floor(w->firm, w->leaving)));
    }
    *ret_then = then;
    return left;
}

static bool knows_groups(const struct daemon *d)
{
    return pausing_possible(d) &&
           u64_sub_floor(d->snapshot.now_usec, d->snapshot.groups_usec) <= RECLAIM_FRESH_USEC;
}

static bool is_quiet(const struct daemon *d)
{
    return d->room.paging_permyriad < QUIET_PERMYRIAD;
}

/* Where what was pushed out comes back, or those that go on after a thrash are those that have their place in
 * memory, nothing is pushed out for what is not expected: by how much all that is does not fit; and nothing
 * while they wait for their pages, from the very device. Else UINT64_MAX: who has not shown that he wants his
 * pages back may well do without some. */
static uint64_t may_push(const struct daemon *d)
{
    int64_t spare = d->pause_plan.spare_memory_bytes;

    if ((d->pause_state.bound_bytes == 0 && !d->room.returns) || !knows_groups(d))
        return UINT64_MAX;
    return spare < 0 && is_quiet(d) ? (uint64_t)-spare : 0;
}

/* What has to be free ahead of the limit is the margin and a quarter of a second of growth; then as much
 * again is pushed out. More would take memory from those who use it, but not from those who stand still. */
static uint64_t wanted(const struct daemon *d, uint64_t *ret_ahead, bool *ret_paused_only)
{
    uint64_t ahead = room_ahead(&d->room), least = ahead / 4, left, bytes;

    (void)left_before_the_brake(d, &left);
    *ret_ahead = ahead;
    *ret_paused_only = left >= ahead;
    if (left < ahead) {
        bytes = u64_min(2 * ahead - left, may_push(d));
        /* What comes takes a place from somebody anyway: the kernel would do it a moment later, in the time
         * of those who are at the brake. */
        if (left < least)
            bytes = u64_max(bytes, 2 * least - left);
        return u64_min(bytes, REQUEST_BYTES);
    }
    if (!knows_groups(d) || d->pushed_usec == d->snapshot.groups_usec ||
        !(is_quiet(d) || (d->room.throttled && !d->room.felt)))
        return 0;
    return u64_min(d->pause_plan.in_the_way_bytes, REQUEST_BYTES);
}

void reclaiming_step(struct daemon *d, const struct trigger *t)
{
    struct reclaim_target target;
    uint64_t ahead, bytes;
    bool paused_only;

    if (!is_possible(d))
        return;
    bytes = wanted(d, &ahead, &paused_only);
    /* Swap that is nearly full is left to the kernel. */
    if (bytes == 0 || d->room.swap_left < 3 * ahead || notifying_covers(d, bytes) ||
        !reclaim_choose(&d->config, &d->snapshot, &d->room, &d->reclaim_state, bytes, paused_only, &target) ||
        !ask(d, &target, REQUEST_USEC))
        return;
    if (paused_only)
        d->pushed_usec = d->snapshot.groups_usec; /* who holds what is not known again before the next walk */
    /* What the kernel would have done at the limit anyway is no news. */
    if (d->room.need > 0 || (target.class_index != RECLAIM_WHOLE && !target.in_place_of_all))
        begin_record(d, t, &target);
}

/* While swap counts as room the domain is calm at the very brake: when that is near, the next look is due at
 * half of the time until what has to be free ahead of it is not. */
uint64_t reclaiming_next_look_usec(const struct daemon *d)
{
    uint64_t ahead = room_ahead(&d->room), then, left = left_before_the_brake(d, &then);
    uint64_t comes = room_coming(&d->room);

    if (!d->reader.isolate || d->dry_run || d->room.swap_left < 3 * ahead ||
        d->reclaiming) /* its end wakes us */
        return UINT64_MAX;
    if (left < ahead &&
        then >= left + limit_margin(d->room.limit) / 4) /* what has been written is still to be taken */
        return LOOK_LEAST_USEC;
    if (comes < TREND_LEAST_BYTES)
        return UINT64_MAX;
    left = u64_sub_floor(left, ahead);
    return u64_max(u64_mul_div(left, USEC_PER_SEC, 2 * comes), LOOK_LEAST_USEC);
}

/* By turns, since each knows best what it can spare: reclaim that brings nothing is over soon. Without swap
 * it would only take page cache, which is in no need. */
void reclaiming_rest(struct daemon *d)
{
    const struct snapshot *s = &d->snapshot;
    struct worker_request q = {.op = WORKER_RECLAIM,
                               .value = d->room.need,
                               .swappiness = RECLAIM_SWAPPINESS_UNSET,
                               .limit_usec = REQUEST_USEC};

    if (!is_possible(d) || d->room.swap_left < d->room.need)
        return;
    for (unsigned i = 0; i < s->rest_count; i++) {
        const struct group_rest *rest = &s->rests[d->rest_next++ % s->rest_count];
        const struct class_config *class = &d->config.classes[rest->class_index];

        if (rest->path[0] == 0 || (class->actions & ACTION_BIT(ACTION_RECLAIM)) == 0 ||
            !level_allows(&d->config, d->room.level, ACTION_RECLAIM, class->priority))
            continue;
        q.cgroup_id = rest->id;
        q.domain_length = domain_length(d, rest->workload_index);
        memcpy(q.path, rest->path, sizeof(q.path));
        d->reclaiming = companion_send(&d->worker, &q, sizeof(q)) == 0;
        d->reclaim_target = (struct reclaim_target){.class_index = rest->class_index, .bytes = q.value};
        d->reclaim_since_usec = clock_now_usec();
        return;
    }
}

void reclaiming_note(struct daemon *d, const struct worker_reply *reply)
{
    const struct reclaim_target *t = &d->reclaim_target;
    struct decision *e = &d->reclaim_decision;
    /* What grew meanwhile, or came back, hides what went: what was reclaimed did go. */
    uint64_t brought = u64_max(u64_max(reply->freed_bytes, reply->swapped_bytes),
                               u64_min(reply->stolen_bytes, reply->asked_bytes));

    d->reclaiming = false;
    d->reclaimed_bytes = u64_add_cap(d->reclaimed_bytes, reply->freed_bytes);
    /* Is there more to be done? */
    threshold_monitor_set_due(&d->monitors.monitors[MONITOR_THRESHOLD],
                              clock_now_usec() + (brought > 0 ? 0 : LOOK_LEAST_USEC));
    if (t->class_index != RECLAIM_WHOLE && brought < t->bytes / 10 && reply->result != -EINTR)
        reclaim_note_spent(&d->reclaim_state, reply->cgroup_id, clock_now_usec());
    /* One that had to make way says nothing where it brought nothing, nor, of its class, one that is
     * protected and could not be asked. */
    if (brought > 0 || (reply->result == 0 && reply->asked_bytes > 0) || reply->result == -EAGAIN ||
        reply->result == -ETIMEDOUT || reply->result == -EOPNOTSUPP)
        reclaim_note_outcome(&d->reclaim_state, t->class_index, clock_now_usec(), t->bytes, brought,
                             reply->usec);
    if (!d->reclaim_recorded)
        return;
    d->reclaim_recorded = false;
    e->ended = true;
    e->freed_bytes = reply->freed_bytes;
    e->used_after = d->room.used;
    e->need_after = d->room.need;
    e->outcome_usec = clock_now_usec() - e->trigger.at_usec;
    record_ring_set_outcome(&d->ring, e);
    report_decision(d, e);
}

struct ladder_rung reclaiming_rung(const struct daemon *d)
{
    const struct reclaim_target *t = &d->reclaim_target;
    uint64_t since = u64_sub_floor(clock_now_usec(), d->reclaim_since_usec);

    /* A stall is not ended by pushing out more. */
    return (struct ladder_rung){
        .possible = d->reclaiming && since <= u64_add_cap(t->expected_usec, t->expected_usec),
        .covers = t->expected_bytes >= d->room.need && d->room.thrash == 0,
        .usec = u64_sub_floor(t->expected_usec, since),
    };
}
