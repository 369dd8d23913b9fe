#include <string.h>
#include <sys/epoll.h>

#include "base/units.h"
#include "daemon/daemon.h"
#include "policy/swap.h"
#include "policy/victim.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/notify.h"

/* One look, whatever woke us: read, judge, act, record. Nothing here remembers that an event came: what is
 * needed is seen in the state of the node, so an event that falls into an action under way is not lost, it is
 * looked at when that action has ended. */

#define KILL_POLL_USEC (10 * USEC_PER_MSEC)
#define SETTLE_USEC (300 * USEC_PER_MSEC)
/* Where memory.high holds the others and the limit is not reached yet, there is time to be right. */
#define SETTLE_BRAKED_USEC (1500 * USEC_PER_MSEC)
#define LOOK_FAILED_USEC USEC_PER_SEC
#define LOOK_FAILED_SAY_USEC (30 * USEC_PER_SEC)
#define EVENT_HOLD_USEC (240 * USEC_PER_MSEC)
#define QUIET_USEC (5 * USEC_PER_SEC)
#define WATCH_USEC (2 * USEC_PER_SEC)
#define NEW_WORKLOADS_USEC (10 * USEC_PER_SEC)
#define PRESSED_USEC (2 * USEC_PER_SEC)
#define PRESSED_LOOK_USEC (250 * USEC_PER_MSEC)
/* Walking the groups again is not free: not with every look where the last time brought nobody. */
#define NO_CANDIDATE_PAUSE_USEC (200 * USEC_PER_MSEC)
#define DRY_RUN_PAUSE_USEC USEC_PER_SEC
/* How often the groups are read while nothing has to be chosen, for their growth. */
#define SAMPLE_CALM_USEC (5 * USEC_PER_SEC)
/* By how much memory.high is raised while a victim that was asked to end does so: what an exit handler may
 * touch. */
#define TERM_ALLOWANCE_BYTES (64 * MIB)

static int read_and_judge(struct daemon *d)
{
    int r;

    isolate_note_fence(d);
    r = snapshot_read_node(&d->reader, clock_now_usec(), &d->snapshot);
    d->looks++;
    if (r < 0) {
        d->looks_failed++;
        return r;
    }
    isolate_note_foreign(d);
    swap_bound_workloads(&d->swap_bounds, &d->snapshot);
    room_evaluate(&d->config, &d->snapshot, &d->room_state, &d->room);
    nodes_judge(d);
    d->has_look = true;
    return 0;
}

static void say_look_failed(struct daemon *d, int error)
{
    uint64_t now = clock_now_usec();

    if (now < d->look_failed_said_usec + LOOK_FAILED_SAY_USEC && d->look_failed_said_usec != 0)
        return;
    d->look_failed_said_usec = now;
    log_line(LOG_PRIO_ERROR,
             "event=look-failed error=%s action=none hint=\"nothing is acted on without it; tried again\"",
             strerror(-error));
}

/* A walk costs at most a fiftieth of the time while somebody may have to be paused or waits to go on. */
#define WALK_SHARE 50
#define WALK_LEAST_USEC (100 * USEC_PER_MSEC)
/* A tenth where the kernel has told that a group came, ended or froze: a newcomer that must wait grows until
 * it is seen, and what it holds then is in the way of those who run. */
#define WALK_CHANGED_SHARE 10
#define WALK_CHANGED_USEC (10 * USEC_PER_MSEC)
/* And while nobody waits for that, of who is bound to which NUMA node. */
#define NEWS_LEAST_USEC (250 * USEC_PER_MSEC)

static bool walks_often(const struct daemon *d)
{
    return pauser_count(&d->pauser) > 0 || (d->room.level >= LEVEL_MEDIUM && pausing_possible(d)) ||
           numa_is_filling(&d->snapshot, &d->numa_state);
}

static uint64_t walk_due_usec(const struct daemon *d)
{
    uint64_t every = d->room.level == LEVEL_CALM ? SAMPLE_CALM_USEC : GROUP_SAMPLE_USEC;
    uint64_t least = d->groups_changed ? WALK_CHANGED_USEC : WALK_LEAST_USEC;
    unsigned share = d->groups_changed ? WALK_CHANGED_SHARE : WALK_SHARE;

    if (d->walk_now)
        return d->snapshot.groups_usec;
    if (d->snapshot.numa_nodes != 0 && !walks_often(d))
        least = NEWS_LEAST_USEC;
    if (walks_often(d) || d->groups_changed)
        every = u64_min(u64_max(d->walk_usec * share, least), GROUP_SAMPLE_USEC);
    return d->snapshot.groups_usec + every;
}

/* With more than one NUMA node it matters soon who is bound to which. */
static bool wants_news(const struct daemon *d)
{
    return walks_often(d) || d->snapshot.numa_nodes != 0;
}

/* Whoever waits for room need not wait for the next walk as well. Told once; schedule() asks again. */
void cycle_on_groups_changed(void *user, int fd, uint32_t events)
{
    struct daemon *d = user;

    (void)fd;
    (void)events;
    d->groups_changed = true;
    if (d->has_look && wants_news(d))
        threshold_monitor_set_due(&d->monitors.monitors[MONITOR_THRESHOLD],
                                  u64_max(walk_due_usec(d), clock_now_usec()));
}

/* What only the daemon knows of a group. */
static void mark_groups(struct daemon *d)
{
    for (unsigned i = 0; i < d->snapshot.group_count; i++) {
        struct group *g = &d->snapshot.groups[i];

        g->dying = killer_is_dying(&d->killer, g->id, g->pid, &g->stuck);
        g->lineage_kills = victim_lineage_kills(&d->victim_state, g->claims.task);
    }
    pausing_mark(d);
}

/* The victims are empty, or given up: what did it bring? */
static void finish(struct daemon *d)
{
    struct decision *e = &d->decision;
    struct trigger t = {.kind = TRIGGER_OUTCOME, .at_usec = clock_now_usec(), .detail = "ended"};
    uint64_t next = 0;

    d->deciding = false;
    if (e->gone > 0 && e->stuck == 0 && e->room.nodes == 0) /* of nodes it is another growth */
        room_forget_growth(&d->room_state, e->growth_permyriad);
    loop_timer_arm(d->kill_timer, 0);
    e->ended = true;
    e->outcome_usec = clock_now_usec() - e->trigger.at_usec;
    d->ring.stuck += e->stuck;
    if (read_and_judge(d) == 0) {
        const struct room now = nodes_room(d, e);

        e->used_after = now.used;
        e->need_after = now.need;
        e->freed_bytes = u64_sub_floor(e->room.used, e->used_after);
    }
    /* What was freed may be hidden by what others grew by meanwhile. */
    if (e->room.nodes == 0 && e->need_after >= e->room.need && cycle_read_groups(d) == 0)
        next = victim_next_bytes(&d->config, &d->snapshot, &d->victim_state, e);
    victim_note_outcome(e, &d->victim_state, next);
    record_ring_set_outcome(&d->ring, e);
    report_decision(d, e);
    hooks_tell_kill(d, HOOK_POST_KILL, e);
    isolate_allow(d, 0);
    cycle_look(d, &t);
}

/* An empty cgroup has given back its private memory, but shared memory goes with the last reference to it,
 * some time later (seen on 7.2: 20 ms after the last process of a group with 700 MiB of it, and over 300 ms
 * where a busy machine kept the kernel's worker waiting), and MemAvailable follows counters that are gathered
 * per CPU. Until that is so, or has had its time, nobody else is looked for. */
static bool is_settling(struct daemon *d, uint64_t now)
{
    const struct decision *e = &d->decision;
    uint64_t shmem = 0;
    bool braked, shared;
    struct room r;

    for (unsigned i = 0; i < e->victim_count; i++)
        shmem = u64_add_cap(shmem, e->victims[i].shmem_bytes);
    if (d->settle_since_usec == 0)
        d->settle_since_usec = now;
    if (now >= d->settle_since_usec + SETTLE_BRAKED_USEC || read_and_judge(d) < 0)
        return false;
    r = nodes_room(d, e);
    if (r.need == 0)
        return false;
    braked = d->snapshot.isolate && r.nodes == 0 && r.room > 0;
    shared = shmem > e->expected_bytes && u64_sub_floor(e->room.used, r.used) < shmem / 2;
    return (shared && braked) || (now < d->settle_since_usec + SETTLE_USEC && (shared || r.by_available));
}

static void check_victims(struct daemon *d)
{
    uint64_t now = clock_now_usec();

    if (!d->deciding)
        return;
    if (killer_poll(&d->killer, &d->decision, now) || is_settling(d, now)) {
        loop_timer_arm(d->kill_timer, now + KILL_POLL_USEC);
        return;
    }
    d->settle_since_usec = 0;
    finish(d);
}

void cycle_on_kill_progress(void *user)
{
    check_victims(user);
}

void cycle_on_kill_timer(void *user)
{
    check_victims(user);
}

/* Sends the signals. False where there was nobody left to signal. */
static bool act(struct daemon *d, struct decision *e)
{
    uint64_t now = clock_now_usec();

    if (killer_wants_term(&d->config, e)) {
        pausing_thaw_victims(d, e);
        isolate_allow(d, TERM_ALLOWANCE_BYTES);
    }
    hooks_tell_kill(d, HOOK_PRE_KILL, e); /* told, not asked: nothing is waited for */
    if (killer_begin(&d->killer, &d->config, e, now) == 0) {
        isolate_allow(d, 0); /* nobody is left who would need it */
        hooks_tell_kill(d, HOOK_POST_KILL, e);
        return false;
    }
    e->signal_usec = clock_now_usec() - e->trigger.at_usec;
    e->next_bytes = victim_next_bytes(&d->config, &d->snapshot, &d->victim_state, e);
    pausing_note_killed(d, e);
    d->ring.kills += e->victim_count - e->gone - e->failed;
    d->deciding = true;
    loop_timer_arm(d->kill_timer, now + KILL_POLL_USEC);
    return true;
}

/* A decision that acts is always recorded; one that says the same again (dry-run, nobody to take) every few
 * seconds. */
static bool record(struct daemon *d, struct decision *e, bool acts)
{
    if (!acts && e->time_usec < d->quiet_until_usec)
        return false;
    if (!acts)
        d->quiet_until_usec = e->time_usec + QUIET_USEC;
    (void)record_ring_add(&d->ring, e, d->scratch.candidates, &d->snapshot);
    return true;
}

int cycle_read_groups(struct daemon *d)
{
    uint64_t begin = clock_now_usec();
    int r;

    d->reader.wants_stalls = d->room.strained && pausing_possible(d);
    d->reader.wants_cpu = pauser_count(&d->pauser) > 0; /* does somebody wait for them? */
    r = snapshot_read_groups(&d->reader, &d->snapshot);
    swap_note_groups(&d->snapshot, r == 0, &d->swap_bounds);
    d->walk_now = false; /* one that fails is tried again at its time */
    if (r < 0) {
        say_look_failed(d, r);
        return r;
    }
    d->walk_usec = clock_now_usec() - begin;
    d->groups_changed = false;
    numa_note_groups(&d->snapshot, &d->numa_state);
    if (d->snapshot.rest_count > 0 && !d->beyond_said) {
        d->beyond_said = true;
        report_warning(
            d,
            "%u groups are beyond MaxGroups=%u (the first in %s): what they are in is reclaimed from and "
            "limited as one, and none of them killed; raise MaxGroups= in [Node]",
            d->snapshot.groups_left_out, d->group_max, d->snapshot.rests[0].path);
    }
    mark_groups(d);
    return 0;
}

bool cycle_kill(struct daemon *d, const struct decision *e)
{
    if (d->deciding)
        return false;
    d->decision = *e;
    (void)record(d, &d->decision, true);
    if (act(d, &d->decision))
        return true;
    d->decision.ended = true;
    record_ring_set_outcome(&d->ring, &d->decision);
    report_decision(d, &d->decision);
    return false;
}

/* Who is killed for what is needed by `room`; *due_usec is when it is worth the next try. */
static void choose(struct daemon *d, const struct trigger *t, const struct room *room, uint64_t now,
                   uint64_t *due_usec)
{
    struct decision *e = &d->decision;
    bool acts;

    *e = (struct decision){.trigger = *t,
                           .room = *room,
                           .time_usec = now,
                           .wall_usec = clock_wall_usec(),
                           .dry_run = d->dry_run};
    victim_choose(&d->config, &d->snapshot, &d->victim_state, &d->scratch, e);
    e->select_usec = clock_now_usec() - t->at_usec;
    acts = e->reason == DECISION_KILL && !d->dry_run;
    if (d->dry_run)
        *due_usec = now + DRY_RUN_PAUSE_USEC;
    else if (!acts && e->reason != DECISION_KILL_LIMIT) /* that one changes with every page */
        *due_usec = now + NO_CANDIDATE_PAUSE_USEC;
    /* The choice took its time: is it still needed? */
    if (acts && (read_and_judge(d) < 0 || nodes_room(d, e).need == 0))
        return;
    if (!record(d, e, acts) || (acts && act(d, e)))
        return;
    e->ended = true;
    record_ring_set_outcome(&d->ring, e);
    if (d->dry_run && e->reason == DECISION_KILL)
        hooks_tell_kill(d, HOOK_PRE_KILL, e);
    if (!acts || e->failed > 0)
        report_decision(d, e);
    if (e->failed > 0)
        *due_usec = now + NO_CANDIDATE_PAUSE_USEC;
}

/* Memory is short for those alone who are bound to some nodes. */
static void decide_nodes(struct daemon *d, const struct trigger *t)
{
    uint64_t now = clock_now_usec();

    if (now < d->nodes_due_usec || pausing_held(d, now) || cycle_read_groups(d) < 0)
        return;
    nodes_judge(d); /* by who grows now */
    if (d->numa_room.need == 0)
        return;
    nodes_read_held(d, d->numa_room.nodes);
    choose(d, t, &d->numa_room, now, &d->nodes_due_usec);
}

static void decide(struct daemon *d, const struct trigger *t)
{
    uint64_t now = clock_now_usec();
    struct room room;

    if (now < d->decide_due_usec || cycle_read_groups(d) < 0)
        return;
    pausing_step(d, t);
    if (d->deciding)
        return;
    if (!pausing_held(d, now))
        reclaiming_rest(d);
    if (pausing_held(d, now) || pausing_covers(d)) {
        if (pausing_held(d, now) || d->room.felt) /* that does not change from one moment to the next */
            d->decide_due_usec = now + u64_max(WALK_LEAST_USEC, d->walk_usec * WALK_SHARE);
        return;
    }
    room = d->room;
    room.need = u64_max(room.need, pausing_short_bytes(d));
    choose(d, t, &room, now, &d->decide_due_usec);
}

/* Those of some nodes first: the kernel would kill for them, whatever the domain has left elsewhere. */
static void decide_all(struct daemon *d, const struct trigger *t)
{
    if (d->numa_room.need > 0)
        decide_nodes(d, t);
    if (!d->deciding && d->room.need > 0)
        decide(d, t);
}

static void schedule(struct daemon *d, const struct trigger *t)
{
    uint64_t now = clock_now_usec(), wait = room_next_look_usec(&d->snapshot, &d->room_state, &d->room);
    struct monitor *event = &d->monitors.monitors[MONITOR_EVENT];

    /* A trigger fires once a window at the most: after one, look often until a while has passed without. */
    if (t->kind == TRIGGER_PRESSURE) {
        d->pressed_until_usec = now + PRESSED_USEC;
        offloading_note_pressure(d);
    }
    if (now < d->pressed_until_usec)
        wait = u64_min(wait, PRESSED_LOOK_USEC);
    if (walks_often(d) || (d->groups_changed && wants_news(d)))
        wait = u64_min(wait, u64_sub_floor(walk_due_usec(d), now) + USEC_PER_MSEC);
    if (wants_news(d) && !d->groups_changed)
        (void)loop_change(&d->loop, d->reader.watch_fd, EPOLLIN | EPOLLONESHOT);
    wait = u64_min(wait, numa_next_look_usec(&d->snapshot, &d->numa_state, &d->room));
    wait = u64_min(wait, u64_min(reclaiming_next_look_usec(d), notifying_next_look_usec(d)));
    threshold_monitor_set_due(&d->monitors.monitors[MONITOR_THRESHOLD], now + wait);
    /* An event that asks for nothing (page cache at the limit) would come again a hundred times a second. */
    if (t->kind == TRIGGER_EVENT && d->room.need == 0 && !event->event.held) {
        event_monitor_hold(event, now + EVENT_HOLD_USEC);
        loop_timer_arm(d->hold_timer, now + EVENT_HOLD_USEC);
    }
}

void cycle_on_hold_timer(void *user)
{
    struct daemon *d = user;

    event_monitor_hold(&d->monitors.monitors[MONITOR_EVENT], 0);
    event_monitor_poll(&d->monitors.monitors[MONITOR_EVENT]);
}

/* What need not be looked at with every look: who has come or gone, and whether the knobs still stand. */
static void refresh(struct daemon *d)
{
    struct monitor_target targets[MONITOR_TARGETS_MAX];
    unsigned n = 0;

    isolate_refresh(d, false);
    if (d->snapshot.now_usec < d->watch_due_usec)
        return;
    d->watch_due_usec = d->snapshot.now_usec + WATCH_USEC;
    learned_save(d);
    running_sweep(d);
    for (unsigned i = 0; d->reader.isolate && i < d->reader.workload_count; i++)
        targets[n++] = (struct monitor_target){
            .path = d->reader.workloads[i].path,
            .dir_fd = d->reader.workloads[i].dir_fd,
            .id = d->reader.workloads[i].id,
        };
    monitor_set_refresh(&d->monitors, targets, n, d->proc_fd, d->snapshot.now_usec);
}

/* Not while somebody is being killed, who may be of the domain that was. */
static void follow_workloads(struct daemon *d)
{
    uint64_t now = clock_now_usec();

    if (d->deciding || now < d->workloads_due_usec)
        return;
    if (d->workloads_due_usec > 0 && mode_is_outdated(d))
        apply_new_workloads(d);
    d->workloads_due_usec = now + NEW_WORKLOADS_USEC;
}

/* Growth is known when it matters. */
static void walk(struct daemon *d, const struct trigger *t)
{
    if (d->snapshot.now_usec < walk_due_usec(d) || cycle_read_groups(d) < 0)
        return;
    pausing_step(d, t);
    nodes_judge(d);
}

void cycle_look(struct daemon *d, const struct trigger *t)
{
    int r;

    follow_workloads(d);
    r = read_and_judge(d);
    guardian_beat(d, clock_now_usec());
    notify_watchdog(clock_now_usec());
    if (r < 0) {
        say_look_failed(d, r);
        threshold_monitor_set_due(&d->monitors.monitors[MONITOR_THRESHOLD],
                                  clock_now_usec() + LOOK_FAILED_USEC);
        return;
    }
    hooks_note_level(d, t);
    refresh(d);
    victim_note_need(&d->victim_state, u64_max(d->room.need, d->numa_room.need));
    pausing_check(d);
    notifying_step(d, t);
    reclaiming_step(d, t);
    if (!d->deciding && numa_is_filling(&d->snapshot, &d->numa_state))
        walk(d, t); /* who grows there has to be known before it is decided */
    if (d->deciding)
        check_victims(d);
    else
        decide_all(d, t);
    walk(d, t);
    offloading_step(d);
    schedule(d, t);
    (void)log_flush();
}

void cycle_on_trigger(void *user, const struct trigger *t)
{
    cycle_look(user, t);
}
