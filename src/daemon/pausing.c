#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "policy/ladder.h"
#include "system/clock.h"
#include "system/log.h"

/* Pauses and resumes, from the plan (policy/pause) to what is done and recorded (action/pause), and what an
 * operator asks for. A pause is asked for and takes effect a little later: pauser_check sees to it at every
 * look. */

#define QUIET_USEC (5 * USEC_PER_SEC)
/* How long a stall may last after the last pause for it before there is a need to kill. */
#define THRASH_PATIENCE_USEC (10 * USEC_PER_SEC)
/* A paused group that no walk has come across for this long after its PauseLimit is let run unseen. */
#define UNSEEN_USEC (5 * USEC_PER_SEC)

bool pausing_possible(const struct daemon *d)
{
    for (unsigned i = 0; i < d->config.class_count; i++)
        if (d->config.classes[i].actions & ACTION_BIT(ACTION_PAUSE))
            return true;
    return pauser_count(&d->pauser) > 0;
}

bool pausing_held(const struct daemon *d, uint64_t now_usec)
{
    return now_usec < d->hold_until_usec;
}

/* What only the daemon knows of the groups, for the policy. */
void pausing_mark(struct daemon *d)
{
    struct snapshot *s = &d->snapshot;

    for (unsigned i = 0; i < s->group_count; i++) {
        struct group *g = &s->groups[i];
        const struct pause_entry *e = pauser_find(&d->pauser, g->id, g->pid);

        g->paused = e != NULL;
        g->held = e && e->why == PAUSE_WHY_OPERATOR;
        g->pause_since_usec = e ? e->since_usec : 0;
        g->rate = e ? e->rate : g->rate;
        g->failed_pause = pauser_yields(&d->pauser, g->id, g->pid, s->now_usec);
    }
    for (unsigned i = 0; i < s->ended_count; i++)
        for (unsigned k = 0; k < ARRAY_SIZE(d->killed_ids); k++)
            if (d->killed_ids[k] == s->ended[i].id)
                s->ended[i].killed = true;
    expect_note_ended(d->pause_state.peaks, s);
}

void pausing_note_killed(struct daemon *d, const struct decision *e)
{
    for (unsigned i = 0; i < e->victim_count; i++) {
        struct pause_entry *p = pauser_find(&d->pauser, e->victims[i].id, e->victims[i].pid);

        d->killed_ids[d->killed_next++ % ARRAY_SIZE(d->killed_ids)] = e->victims[i].id;
        if (p) /* it dies frozen as well, but a cgroup that is used again must not be born so */
            (void)!pauser_resume(&d->pauser, p);
    }
}

/* Before SIGTERM: who is to end by himself has to run. */
void pausing_thaw_victims(struct daemon *d, const struct decision *e)
{
    for (unsigned i = 0; i < e->victim_count; i++) {
        struct pause_entry *p = pauser_find(&d->pauser, e->victims[i].id, e->victims[i].pid);

        if (p && d->config.classes[e->victims[i].class_index].term_grace_usec > 0)
            (void)!pauser_resume(&d->pauser, p);
    }
}

/* ---- what has become of the paused ---- */

static const struct group *group_of(const struct daemon *d, const struct pause_entry *e)
{
    for (unsigned i = 0; i < d->snapshot.group_count; i++)
        if (d->snapshot.groups[i].id == e->id && d->snapshot.groups[i].pid == e->pid)
            return &d->snapshot.groups[i];
    return NULL;
}

/* Not frozen in time: still growing, it has failed; else it sleeps in the kernel, which is as good. */
static void judge_late(struct daemon *d, struct pause_entry *e)
{
    const struct group *g = group_of(d, e);

    if (g && g->anon + g->shmem + g->kernel > e->held_bytes + e->held_bytes / 8 + 4 * MIB) {
        log_line(LOG_PRIO_WARNING, "event=pause-failed group=%s text=\"not frozen in time, and growing\"",
                 e->path);
        (void)!pauser_give_up(&d->pauser, e, clock_now_usec());
    }
}

/* MaxGroups, or a file that cannot be read, may hide it from the plan. */
static void let_go_unseen(struct daemon *d, struct pause_entry *e, uint64_t now)
{
    uint64_t limit = d->config.classes[e->class_index].pause_limit_usec;

    if (e->why == PAUSE_WHY_OPERATOR || now < u64_add_cap(e->since_usec, limit + UNSEEN_USEC) ||
        group_of(d, e))
        return;
    log_line(LOG_PRIO_WARNING, "event=resume-unseen group=%s", e->path);
    (void)!pauser_resume(&d->pauser, e);
}

void pausing_check(struct daemon *d)
{
    uint64_t now = clock_now_usec();
    _uninitialized_ bool unconfirmed[PAUSES_MAX];

    if (pauser_count(&d->pauser) == 0)
        return;
    for (unsigned i = 0; i < PAUSES_MAX; i++)
        unconfirmed[i] = d->pauser.entries[i].used && d->pauser.entries[i].confirmed_usec == 0;
    (void)pauser_check(&d->pauser, now);
    for (unsigned i = 0; i < PAUSES_MAX; i++) {
        struct pause_entry *e = &d->pauser.entries[i];

        if (e->used)
            let_go_unseen(d, e, now);
        if (!unconfirmed[i] || !e->used)
            continue;
        if (e->confirmed_usec != 0)
            pause_note_confirmed(&d->pause_state, u64_sub_floor(e->confirmed_usec, e->since_usec));
        else if (now >= e->since_usec + PAUSE_CONFIRM_USEC)
            judge_late(d, e);
    }
}

/* ---- doing what is planned ---- */

static void begin_record(struct daemon *d, const struct trigger *t, enum decision_reason reason)
{
    d->pause_decision = (struct decision){
        .trigger = *t,
        .room = d->room,
        .time_usec = clock_now_usec(),
        .wall_usec = clock_wall_usec(),
        .reason = reason,
        .method = METHOD_ORDER,
        .groups = d->snapshot.group_count,
        .dry_run = d->dry_run,
    };
}

static void note_target(struct daemon *d, const struct group *g, enum pause_why why)
{
    struct decision *e = &d->pause_decision;
    struct victim *v;

    if (e->victim_count >= DECISION_VICTIMS_MAX)
        return;
    v = &e->victims[e->victim_count++];
    *v = (struct victim){
        .id = g->id,
        .pid = g->pid,
        .class_index = g->class_index,
        .task = g->claims.task,
        .age_usec = u64_sub_floor(d->snapshot.now_usec, g->birth_usec),
        .progress_usec = u64_sub_floor(u64_sub_floor(d->snapshot.now_usec, g->birth_usec), g->paused_usec),
        .why = why,
    };
    memcpy(v->path, g->path, sizeof(v->path));
    memcpy(v->comm, g->comm, sizeof(v->comm));
}

static void end_record(struct daemon *d)
{
    struct decision *e = &d->pause_decision;

    if (e->victim_count == 0)
        return;
    e->candidates = e->victim_count;
    e->ended = true;
    e->used_after = d->room.used;
    e->need_after = d->room.need;
    e->outcome_usec = e->signal_usec = clock_now_usec() - e->trigger.at_usec;
    (void)record_ring_add(&d->ring, e, d->candidates, &d->snapshot);
    record_ring_set_outcome(&d->ring, e);
    report_decision(d, e);
}

static void note_rate(struct daemon *d, const struct group *g)
{
    struct pause_entry *e = pauser_find(&d->pauser, g->id, g->pid);

    if (e)
        e->rate = g->rate;
}

static bool pause_one(struct daemon *d, struct group *g, enum pause_why why)
{
    int r = pauser_pause(&d->pauser, g, why, clock_now_usec());

    if (r < 0) {
        if (r != -ENOENT && r != -ENODEV && r != -ESRCH) {
            g->failed_pause = true;
            pauser_yield(&d->pauser, g->id, g->pid, clock_now_usec());
            log_line(LOG_PRIO_INFO, "event=pause-refused group=%s error=%s", g->path, strerror(-r));
        }
        return false;
    }
    note_rate(d, g);
    g->paused = true;
    return true;
}

static bool resume_one(struct daemon *d, struct group *g)
{
    struct pause_entry *e = pauser_find(&d->pauser, g->id, g->pid);

    if (!e || pauser_resume(&d->pauser, e) < 0)
        return false;
    g->paused = g->held = false;
    return true;
}

static void kill_overdue(struct daemon *d, const struct trigger *t, struct group *g)
{
    begin_record(d, t, DECISION_KILL);
    note_target(d, g, RESUME_WHY_LIMIT);
    if (pausing_held(d, clock_now_usec()) || d->room.need == 0 ||
        victim_is_limited(&d->config, &d->victim_state, &d->room, d->snapshot.now_usec) ||
        !cycle_kill(d, &d->pause_decision))
        (void)resume_one(d, g); /* whatever comes of it: no longer than PauseLimit */
}

static void do_steps(struct daemon *d, const struct trigger *t, enum pause_act act,
                     enum decision_reason reason)
{
    begin_record(d, t, reason);
    for (unsigned i = 0; i < d->pause_plan.count; i++) {
        const struct pause_step *step = &d->pause_plan.steps[i];
        struct group *g = &d->snapshot.groups[step->group_index];

        if (step->act != act || (act == PAUSE_ACT_PAUSE && pausing_held(d, clock_now_usec())))
            continue;
        if (d->dry_run || (act == PAUSE_ACT_PAUSE ? pause_one(d, g, step->why) : resume_one(d, g)))
            note_target(d, g, step->why);
        else
            d->candidates[step->group_index].verdict = VERDICT_NOT_NEEDED;
    }
    end_record(d);
}

/* How much of the running groups' growth ends with those that were just paused. */
static uint64_t stopped_growth_permyriad(const struct daemon *d)
{
    uint64_t all = 0, stopped = 0;

    for (unsigned i = 0; i < d->snapshot.group_count; i++) {
        const struct group *g = &d->snapshot.groups[i];

        if (!g->frozen)
            all = u64_add_cap(all, g->rate);
        if (!g->frozen && g->paused)
            stopped = u64_add_cap(stopped, g->rate);
    }
    return all == 0 ? 0 : u64_mul_div(stopped, PERMYRIAD, all);
}

void pausing_step(struct daemon *d, const struct trigger *t)
{
    struct pause_plan *plan = &d->pause_plan;
    struct pause_scratch scratch = {.rows = d->pause_rows, .candidates = d->candidates};

    plan->count = 0;
    d->pause_made = false;
    if (!pausing_possible(d))
        return;
    scratch.resume_only = pausing_held(d, clock_now_usec()) || (!d->knobs_open && !d->dry_run);
    scratch.asked_bytes = notifying_asked_bytes(d);
    pause_make_plan(&d->config, &d->snapshot, &d->room, &d->pause_state, &scratch, plan);
    if (plan->put_off)
        notifying_note_wait(d);
    if (plan->count == 0)
        return;
    if (d->dry_run) {
        if (d->snapshot.now_usec < d->pause_quiet_usec)
            return;
        d->pause_quiet_usec = d->snapshot.now_usec + QUIET_USEC;
    }
    do_steps(d, t, PAUSE_ACT_RESUME, DECISION_RESUME);
    do_steps(d, t, PAUSE_ACT_PAUSE, DECISION_PAUSE);
    d->pause_made = d->pause_decision.victim_count > 0 && !d->dry_run;
    if (d->pause_made)
        room_forget_growth(&d->room_state, stopped_growth_permyriad(d));
    for (unsigned i = 0; i < plan->count && !d->dry_run; i++)
        if (plan->steps[i].act == PAUSE_ACT_KILL)
            kill_overdue(d, t, &d->snapshot.groups[plan->steps[i].group_index]);
}

uint64_t pausing_short_bytes(const struct daemon *d)
{
    return pausing_possible(d) ? d->pause_plan.short_bytes : 0;
}

/* Whether something gentler than a kill is what the need asks for now: what is being reclaimed, or those that
 * were just paused or are about to freeze, cover it in time. */
bool pausing_covers(struct daemon *d)
{
    struct ladder_rung rungs[ACTION_COUNT] = {0};
    const struct room *r = &d->room;
    uint64_t now = clock_now_usec();
    bool under_way = d->pause_made;

    for (unsigned i = 0; i < PAUSES_MAX && !under_way; i++) {
        const struct pause_entry *e = &d->pauser.entries[i];

        under_way = e->used && e->confirmed_usec == 0 && now < e->since_usec + 2 * d->pause_state.fast_usec;
    }
    /* A stall on swapped-out memory: as long as somebody is paused for it now and then, or fewer would do no
     * more, or it has ended (what is felt is forgotten later), the others go on, slowly at worst. */
    if (r->felt && r->time_left_usec > PAUSE_THRASH_USEC &&
        (d->pause_state.crowded == CROWD_NO || r->stall_permyriad < PAUSE_STALL_PERMYRIAD ||
         (d->pause_state.thrash_usec != 0 && now < d->pause_state.thrash_usec + THRASH_PATIENCE_USEC)))
        return true;
    rungs[ACTION_NOTIFY] = notifying_rung(d, r->need);
    rungs[ACTION_RECLAIM] = reclaiming_rung(d);
    rungs[ACTION_PAUSE] = (struct ladder_rung){
        .possible = under_way,
        .covers = ladder_pause_covers(r, stopped_growth_permyriad(d)),
        .usec = d->pause_state.fast_usec,
    };
    rungs[ACTION_KILL] = (struct ladder_rung){.possible = true, .covers = true, .usec = 0};
    return ladder_choose(rungs, r->time_left_usec) != ACTION_KILL;
}

/* ---- operators ---- */

static struct group *find_group(struct daemon *d, const char *name)
{
    for (unsigned i = 0; i < d->snapshot.group_count; i++) {
        struct group *g = &d->snapshot.groups[i];
        char full[GROUP_PATH_MAX + 16];

        if (g->pid > 0)
            (void)snprintf(full, sizeof(full), "%s#%d", g->path, (int)g->pid);
        else
            (void)snprintf(full, sizeof(full), "%s", g->path);
        if (strcmp(full, name) == 0)
            return g;
    }
    return NULL;
}

static int command_pause(struct daemon *d, struct group *g, const struct trigger *t, char *text, size_t size)
{
    if (g->claims.no_pause || d->config.classes[g->class_index].priority >= CONFIG_PRIORITY_PROTECTED) {
        (void)snprintf(text, size, "it is protected, or says user.headroom.pause=no");
        return -EPERM;
    }
    if (g->paused || g->frozen) {
        (void)snprintf(text, size, "it is %s already", g->paused ? "paused" : "frozen by somebody else");
        return -EBUSY;
    }
    begin_record(d, t, DECISION_PAUSE);
    if (!pause_one(d, g, PAUSE_WHY_OPERATOR)) {
        (void)snprintf(text, size, "it could not be paused; the log says why");
        return -EBUSY;
    }
    note_target(d, g, PAUSE_WHY_OPERATOR);
    (void)snprintf(text, size, "paused until it is resumed, or headroomd stops");
    return 0;
}

static int command_resume(struct daemon *d, struct group *g, const struct trigger *t, char *text, size_t size)
{
    begin_record(d, t, DECISION_RESUME);
    if (!resume_one(d, g)) {
        (void)snprintf(text, size, "it is not paused by headroomd");
        return -EBUSY;
    }
    pauser_yield(&d->pauser, g->id, g->pid, clock_now_usec());
    note_target(d, g, RESUME_WHY_OPERATOR);
    (void)snprintf(text, size, "resumed, and left alone for a minute");
    return 0;
}

static int command_hold(struct daemon *d, uint64_t usec, char *text, size_t size)
{
    d->hold_until_usec = usec == 0 ? 0 : clock_now_usec() + usec;
    log_line(LOG_PRIO_WARNING, "event=hold seconds=%ju", (uintmax_t)(usec / USEC_PER_SEC));
    isolate_refresh(d, true);
    (void)snprintf(text, size, "%s",
                   usec == 0 ? "headroomd acts again"
                             : "headroomd neither pauses nor kills, and memory.high is off, until then");
    return 0;
}

int pausing_command(void *user, const struct control_command *c, char *text, size_t size)
{
    struct trigger t = {.kind = TRIGGER_NONE, .at_usec = clock_now_usec(), .detail = "operator"};
    struct daemon *d = user;
    struct group *g;
    int r;

    if (d->dry_run || !d->knobs_open) {
        (void)snprintf(text, size, "%s",
                       d->dry_run ? "this is a dry run: nothing is changed"
                                  : "the journal cannot be written");
        return -EOPNOTSUPP;
    }
    if (c->verb == CONTROL_HOLD)
        return command_hold(d, c->usec, text, size);
    if (cycle_read_groups(d) < 0) {
        (void)snprintf(text, size, "the groups cannot be read now");
        return -EIO;
    }
    g = find_group(d, c->group);
    if (!g) {
        (void)snprintf(text, size, "there is no such group; `headroom explain` names those that were seen");
        return -ENOENT;
    }
    for (unsigned i = 0; i < d->snapshot.group_count; i++)
        d->candidates[i] = (struct candidate){.id = d->snapshot.groups[i].id,
                                              .pid = d->snapshot.groups[i].pid,
                                              .group_index = i,
                                              .class_index = d->snapshot.groups[i].class_index,
                                              .request_bytes = GROUP_REQUEST_NONE,
                                              .verdict = VERDICT_NOT_NEEDED};
    d->candidates[g - d->snapshot.groups].verdict = VERDICT_CHOSEN;
    r = c->verb == CONTROL_PAUSE ? command_pause(d, g, &t, text, size) : command_resume(d, g, &t, text, size);
    if (r == 0)
        end_record(d);
    return r;
}

/* ---- status ---- */

void pausing_fill_status(struct daemon *d, struct status *s)
{
    static struct status_pause rows[PAUSES_MAX];
    static char waits[PAUSES_MAX][64];

    s->pause_count = 0;
    for (unsigned i = 0; i < PAUSES_MAX; i++) {
        const struct pause_entry *e = &d->pauser.entries[i];
        const struct class_config *class = &d->config.classes[e->class_index];
        char *text = waits[s->pause_count];

        if (!e->used)
            continue;
        if (e->why == PAUSE_WHY_OPERATOR)
            (void)snprintf(text, sizeof(waits[0]), "an operator's resume");
        else if (d->pause_plan.spare_bytes < 0)
            (void)snprintf(text, sizeof(waits[0]), "%jdM more of room than is expected to be left",
                           (intmax_t)(-d->pause_plan.spare_bytes / (int64_t)MIB));
        else
            (void)snprintf(text, sizeof(waits[0]), "room for what it is expected to grow by");
        rows[s->pause_count++] = (struct status_pause){
            .path = e->path,
            .pid = e->pid,
            .comm = e->comm,
            .class_name = class->name,
            .why = pause_why_name(e->why),
            .waits_for = text,
            .since_usec = e->since_usec,
            .until_usec = e->why == PAUSE_WHY_OPERATOR ? UINT64_MAX : e->since_usec + class->pause_limit_usec,
            .held_bytes = e->held_bytes,
            .frozen = e->confirmed_usec != 0,
        };
    }
    s->pauses = rows;
    s->pauses_done = d->pauser.paused;
    s->resumes_done = d->pauser.resumed;
    s->hold_until_usec = pausing_held(d, s->now_usec) ? d->hold_until_usec : 0;
}
