/* What holds for every input, and over a day. */
#include <time.h>

#include "pauses.h"

#include "policy/claims.h"

#ifdef __SANITIZE_ADDRESS__
#define RUNS 50000
#else
#define RUNS 1000000
#endif

static struct group_claims random_claims(uint64_t *seed)
{
    struct group_claims claims = {0};

    if (random_below(seed, 2) == 0)
        return claims;
    claims.has_priority = random_below(seed, 3) == 0;
    claims.priority = (unsigned)random_below(seed, 11) * 100;
    claims.has_retriable = random_below(seed, 3) == 0;
    claims.retriable = random_below(seed, 2);
    claims.has_request = random_below(seed, 2);
    claims.request_bytes = random_below(seed, 12) * 100 * MIB;
    claims.no_pause = random_below(seed, 5) == 0;
    return claims;
}

static void random_group(struct pauses *t, bool wide, uint64_t *seed)
{
    struct group *g = pauses_add(t, (unsigned)random_below(seed, CLASS_COUNT), random_below(seed, 10), 0);

    g->anon = wide ? random_extreme(seed) : random_below(seed, 8) * 100 * MIB;
    g->swap = random_below(seed, 4) == 0 ? random_below(seed, GIB) : 0;
    if (random_below(seed, 2) == 0)
        g->rate = wide ? random_extreme(seed) : random_below(seed, 8) * 50 * MIB;
    g->cpu_permyriad =
        random_below(seed, 10) == 0 ? GROUP_CPU_UNKNOWN : random_below(seed, 3) * PERMYRIAD / 20;
    g->owner_uid = 1000 * (uint32_t)random_below(seed, 8) / 7;
    g->claims = random_claims(seed);
    g->failed_pause = random_below(seed, 10) == 0;
    g->dying = random_below(seed, 20) == 0;
    g->frozen = random_below(seed, 10) == 0;
    g->populated = random_below(seed, 20) != 0;
    if (!g->populated || random_below(seed, 3) != 0)
        return;
    g->paused = true;
    g->frozen = random_below(seed, 5) != 0; /* it takes a while */
    g->held = random_below(seed, 6) == 0;
    g->pause_since_usec = t->s.now_usec - random_below(seed, 400) * USEC_PER_SEC;
}

static void random_state(struct pauses *t, uint64_t *seed)
{
    uint64_t now = t->s.now_usec;

    pause_state_init(&t->state);
    if (random_below(seed, 3) == 0)
        t->state.bound_bytes = random_below(seed, 4 * GIB);
    t->state.bound_usec = now - random_below(seed, 80) * USEC_PER_SEC;
    t->state.thrash_usec = random_below(seed, 2) * (now - random_below(seed, 3 * USEC_PER_SEC));
    t->state.idle_since_usec = random_below(seed, 2) * (now - random_below(seed, 6) * USEC_PER_SEC);
    t->state.steady_since_usec = random_below(seed, 2) * (now - random_below(seed, 6) * USEC_PER_SEC);
    t->state.granted_id = random_below(seed, 4);
    t->state.granted_until_usec = now - 5 * USEC_PER_SEC + random_below(seed, 10) * USEC_PER_SEC;
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        if (random_below(seed, 3) == 0)
            t->state.peaks[i] =
                (struct expect_peak){random_below(seed, 8) * 100 * MIB, random_below(seed, GIB), 1};
}

static uint64_t bound_before; /* the plan */

static void random_world(struct pauses *t, uint64_t run, uint64_t *seed)
{
    bool wide = run % 8 == 0;
    unsigned n;

    *seed = run;
    t->s.group_count = 0;
    n = (unsigned)random_below(seed, run % 50 == 0 ? 41 : 6);
    for (unsigned i = 0; i < n; i++)
        random_group(t, wide, seed);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        t->c.classes[i].min_running = (unsigned)(random_below(seed, 3) == 0 ? random_below(seed, 3) : 0);
    random_state(t, seed);
    t->r.level = (enum level)random_below(seed, LEVEL_COUNT);
    t->r.need = random_below(seed, 2) * MIB;
    t->r.felt = random_below(seed, 4) == 0;
    t->r.thrash = random_below(seed, 2);
    t->r.trend = random_below(seed, 3) * 10 * MIB;
    t->r.stall_permyriad = t->r.paging_permyriad =
        (unsigned)random_below(seed, 2) * (unsigned)random_below(seed, PERMYRIAD + 1);
    t->r.paging_share_permyriad = (unsigned)random_below(seed, PERMYRIAD + 1);
    t->r.strained = random_below(seed, 3) == 0;
    t->state.crowd.since_usec = random_below(seed, 2) * (t->s.now_usec - random_below(seed, USEC_PER_SEC));
    for (unsigned i = 0; i < n; i++) {
        t->groups[i].stall_known = random_below(seed, 4) != 0;
        t->groups[i].stall_permyriad = (uint16_t)random_below(seed, PERMYRIAD + 1);
        t->groups[i].io_stall_permyriad = (uint16_t)random_below(seed, PERMYRIAD + 1);
    }
    bound_before = t->state.bound_bytes;
    t->r.room = wide ? (int64_t)random_extreme(seed)
                     : (int64_t)random_below(seed, 4 * GIB) - (int64_t)random_below(seed, 2 * GIB);
}

static bool runs(const struct group *g)
{
    return g->populated && !g->paused && !g->frozen && !g->dying;
}

static void check_step(const struct pauses *t, const struct pause_step *step)
{
    const struct group *g = &t->groups[step->group_index];
    const struct class_config *class = &t->c.classes[g->class_index];
    struct standing st;

    assert_in_range(step->group_index, 0, t->s.group_count - 1);
    claims_resolve(&t->c, &t->s, g, claims_one_owner(&t->s), &st);
    assert_false(g->dying || g->held);
    if (step->act == PAUSE_ACT_PAUSE) {
        assert_true(runs(g));
        assert_true(st.priority < CONFIG_PRIORITY_PROTECTED);
        /* a newcomer waits behind who waits already, at any level */
        assert_true(level_allows(&t->c, t->r.level, ACTION_PAUSE, st.priority) ||
                    (g->birth_usec + USEC_PER_SEC > t->s.now_usec &&
                     (t->plan.paused > 0 || bound_before != 0) &&
                     level_allows(&t->c, LEVEL_MEDIUM, ACTION_PAUSE, st.priority)));
        assert_true((class->actions & ACTION_BIT(ACTION_PAUSE)) != 0);
        assert_false(g->claims.no_pause || g->failed_pause);
        assert_in_range(step->why, PAUSE_WHY_GROWTH, PAUSE_WHY_TURN);
        return;
    }
    assert_true(g->paused); /* by us */
    assert_in_range(step->why, RESUME_WHY_FITS, RESUME_WHY_LIMIT);
    if (step->why == RESUME_WHY_LIMIT)
        assert_true(g->pause_since_usec + class->pause_limit_usec <= t->s.now_usec);
    if (step->act == PAUSE_ACT_KILL) {
        assert_int_equal(step->why, RESUME_WHY_LIMIT);
        assert_true(t->r.need > 0);
        assert_true(st.retriable && (class->actions & ACTION_BIT(ACTION_KILL)) != 0);
    }
}

struct tally {
    unsigned running, may_run;
    unsigned of[CLASS_COUNT];
};

static struct tally count(const struct pauses *t)
{
    struct tally n = {0};

    for (unsigned i = 0; i < t->s.group_count; i++) {
        const struct group *g = &t->groups[i];

        n.running += runs(g);
        n.of[g->class_index] += runs(g);
        n.may_run += runs(g) || (g->populated && g->paused && !g->held && !g->dying);
    }
    return n;
}

static void check_plan(struct pauses *t)
{
    struct tally before = count(t), after;
    bool seen[GROUPS_MAX] = {false};

    assert_in_range(t->plan.count, 0, PAUSE_PLAN_MAX);
    assert_int_equal(t->plan.running, before.running);
    for (unsigned i = 0; i < t->plan.count; i++) {
        unsigned index = t->plan.steps[i].group_index;

        check_step(t, &t->plan.steps[i]);
        assert_false(seen[index]);
        seen[index] = true;
    }
    for (unsigned i = 0; i < t->s.group_count; i++)
        assert_int_equal(t->candidates[i].verdict == VERDICT_CHOSEN, seen[i]);
    pauses_apply(t);
    after = count(t);
    if (before.may_run > 0)
        assert_true(after.running > 0);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        if (after.of[i] < before.of[i])
            assert_true(after.of[i] >= t->c.classes[i].min_running);
}

static void check_same(struct pauses *t, const struct pause_state *before)
{
    static struct pause_plan plan;
    struct pause_state after = t->state;

    plan = t->plan;
    t->state = *before;
    pauses_plan(t);
    assert_int_equal(t->plan.count, plan.count);
    assert_memory_equal(t->plan.steps, plan.steps, plan.count * sizeof(plan.steps[0]));
    assert_true(t->plan.spare_bytes == plan.spare_bytes && t->plan.paused == plan.paused);
    assert_true(t->state.bound_bytes == after.bound_bytes && t->state.bound_usec == after.bound_usec);
    assert_true(t->state.bound_step_usec == after.bound_step_usec && t->state.crowded == after.crowded);
    assert_true(t->state.crowd.since_usec == after.crowd.since_usec);
    assert_true(t->state.thrash_usec == after.thrash_usec && t->state.granted_id == after.granted_id);
    assert_true(t->state.idle_since_usec == after.idle_since_usec);
    assert_true(t->state.steady_since_usec == after.steady_since_usec);
    assert_true(t->state.granted_until_usec == after.granted_until_usec);
}

static void test_every_plan(void **state _unused_)
{
    struct pauses *t = pauses_new();
    unsigned acts[3] = {0};
    uint64_t seed;

    for (uint64_t run = 0; run < RUNS; run++) {
        struct pause_state before;

        random_world(t, run, &seed);
        before = t->state;
        pauses_plan(t);
        if (run % 4 == 0)
            check_same(t, &before);
        for (unsigned i = 0; i < t->plan.count; i++)
            acts[t->plan.steps[i].act]++;
        check_plan(t);
    }
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
        assert_true(acts[i] > RUNS / 1000);
}

/* ---- a day ---- */

#define TASKS_MAX 24
#define DAY_SEC 86400

struct task {
    uint64_t peak_bytes;
    uint64_t rate;
    uint64_t left_sec; /* of running, after it has grown */
};

struct day {
    struct pauses *t;
    struct task tasks[TASKS_MAX];
    uint64_t seed;
    uint64_t next_id;
    uint64_t arrive_sec; /* one comes every so often */
    unsigned paused, went_on, killed, overdue_killed, ended;
};

static void arrive(struct day *d)
{
    static const unsigned classes[] = {CLASS_BATCH, CLASS_BATCH, CLASS_WORK,
                                       CLASS_PAIR,  CLASS_OTHER, CLASS_SERVICE};
    struct group *g;

    if (d->t->s.group_count >= TASKS_MAX || random_below(&d->seed, d->arrive_sec) != 0)
        return;
    d->tasks[d->t->s.group_count] = (struct task){
        .peak_bytes = (100 + random_below(&d->seed, 1900)) * MIB,
        .rate = (5 + random_below(&d->seed, 100)) * MIB,
        .left_sec = 1 + random_below(&d->seed, 120),
    };
    g = pauses_add(d->t, classes[random_below(&d->seed, ARRAY_SIZE(classes))], 0, 10 * MIB);
    g->id = d->next_id++;
    if (random_below(&d->seed, 3) == 0) {
        g->claims.has_request = true;
        g->claims.request_bytes = d->tasks[d->t->s.group_count - 1].peak_bytes;
    }
}

static void leave(struct day *d, unsigned i, bool killed)
{
    struct snapshot *s = &d->t->s;
    const struct group *g = &s->groups[i];

    if (s->ended_count < SNAPSHOT_ENDED_MAX)
        s->ended[s->ended_count++] = (struct group_end){
            .id = g->id,
            .class_index = g->class_index,
            .peak_bytes = g->anon,
            .lived_usec = s->now_usec - g->birth_usec - g->paused_usec,
            .killed = killed,
        };
    s->group_count--;
    memmove(&s->groups[i], &s->groups[i + 1], (s->group_count - i) * sizeof(*g));
    memmove(&d->tasks[i], &d->tasks[i + 1], (s->group_count - i) * sizeof(d->tasks[0]));
    d->ended += !killed;
}

/* A second of everyone's work. */
static void work(struct day *d)
{
    struct snapshot *s = &d->t->s;

    s->ended_count = 0;
    for (unsigned i = s->group_count; i-- > 0;) {
        struct group *g = &s->groups[i];
        struct task *task = &d->tasks[i];

        g->rate = g->cpu_permyriad = 0;
        if (g->paused) {
            g->paused_usec += USEC_PER_SEC;
            continue;
        }
        g->cpu_permyriad = random_below(&d->seed, 4) * PERMYRIAD / 4;
        if (g->anon < task->peak_bytes) {
            g->rate = u64_min(task->rate, task->peak_bytes - g->anon);
            g->anon += g->rate;
        } else if (--task->left_sec == 0) {
            leave(d, i, false);
        }
    }
    arrive(d);
}

static void look(struct day *d)
{
    struct room *r = &d->t->r;
    uint64_t used = 0, growth = 0;

    for (unsigned i = 0; i < d->t->s.group_count; i++) {
        used += d->t->groups[i].anon;
        growth += d->t->groups[i].rate;
    }
    r->used = used;
    r->growth = r->trend = growth;
    r->room = (int64_t)NODE_LIMIT - (int64_t)used;
    r->level = r->room < (int64_t)NODE_MARGIN       ? LEVEL_CRITICAL
               : r->room < 8 * (int64_t)NODE_MARGIN ? LEVEL_MEDIUM
               : r->room < (int64_t)(2 * GIB)       ? LEVEL_LOW
                                                    : LEVEL_CALM;
}

/* At the limit the newest goes, as a kill would do it. */
static void relieve(struct day *d)
{
    while (d->t->r.room < 0) {
        leave(d, d->t->s.group_count - 1, true);
        d->killed++;
        look(d);
    }
}

static void obey(struct day *d)
{
    struct snapshot *s = &d->t->s;

    for (unsigned i = 0; i < d->t->plan.count; i++) {
        d->paused += d->t->plan.steps[i].act == PAUSE_ACT_PAUSE;
        d->went_on += d->t->plan.steps[i].act == PAUSE_ACT_RESUME;
    }
    check_plan(d->t);
    for (unsigned i = s->group_count; i-- > 0;) {
        const struct group *g = &s->groups[i];

        if (g->dying) {
            leave(d, i, true);
            d->overdue_killed++;
        } else if (g->paused) {
            uint64_t limit = d->t->c.classes[g->class_index].pause_limit_usec;

            assert_true(s->now_usec - g->pause_since_usec <= limit + USEC_PER_SEC);
        }
    }
}

static void test_day(void **state _unused_)
{
    static struct day d;

    for (uint64_t run = 1; run <= 2; run++) {
        memset(&d, 0, sizeof(d));
        d.t = pauses_new();
        d.seed = run;
        d.next_id = 1;
        d.arrive_sec = run == 1 ? 8 : 40; /* far too many, and about as many as fit */
        for (unsigned step = 0; step < DAY_SEC; step++) {
            d.t->s.now_usec += USEC_PER_SEC;
            work(&d);
            look(&d);
            relieve(&d);
            expect_note_ended(d.t->state.peaks, &d.t->s);
            pauses_plan(d.t);
            obey(&d);
        }
        print_message("a day: %u ended, %u pauses, %u went on, %u killed at the limit, %u after PauseLimit\n",
                      d.ended, d.paused, d.went_on, d.killed, d.overdue_killed);
        assert_true(d.ended > 0 && d.paused > 0 && d.went_on > 0);
    }
}

/* ---- many ---- */

static double now_msec(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void test_storm(void **state _unused_)
{
    struct pauses *t = pauses_new();
    uint64_t seed = 3;
    double took = 0;

    for (unsigned i = 0; i < GROUPS_MAX; i++)
        random_group(t, false, &seed);
    for (unsigned n = 0; n < 200; n++) {
        double start = now_msec();

        pauses_plan(t);
        took += now_msec() - start;
        check_plan(t);
        t->s.now_usec += USEC_PER_SEC / 10;
        pauses_room(t, (int64_t)random_below(&seed, 64 * GIB) - (int64_t)(32 * GIB));
        for (unsigned i = 0; i < GROUPS_MAX; i++)
            t->groups[i].rate = random_below(&seed, 200 * MIB);
    }
    print_message("200 plans of %u groups: %.1f ms\n", GROUPS_MAX, took);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_plan),
        cmocka_unit_test(test_day),
        cmocka_unit_test(test_storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
