#include "pauses.h"

#define ROOMY ((int64_t)(64 * GIB))

static void test_who_goes_first(void **state _unused_)
{
    struct pauses *t = pauses_new();
    static const struct {
        int64_t free_bytes;
        const char *words;
    } rows[] = {
        {500 * (int64_t)MIB, ""},
        {500 * (int64_t)MIB - 1, "-3 growth"},
        {400 * (int64_t)MIB, "-3 growth"},
        {400 * (int64_t)MIB - 1, "-3 growth, -2 growth"},
        {300 * (int64_t)MIB - 1, "-3 growth, -2 growth, -5 growth"},
        {200 * (int64_t)MIB - 1, "-3 growth, -2 growth, -5 growth, -1 growth"},
        /* the last one goes on */
        {-(int64_t)GIB, "-3 growth, -2 growth, -5 growth, -1 growth"},
    };

    pauses_want(t, CLASS_OTHER, 5, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 20, 100 * MIB);
    pauses_want(t, CLASS_WORK, 10, 100 * MIB);
    pauses_want(t, CLASS_OTHER, 500, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 100, 100 * MIB);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        pauses_room(t, rows[i].free_bytes);
        assert_string_equal(pauses_words(t), rows[i].words);
        assert_int_equal(t->plan.spare_bytes, rows[i].free_bytes - 500 * (int64_t)MIB);
        assert_int_equal(t->plan.running, 5);
        assert_int_equal(t->plan.paused, 0);
    }
    assert_int_equal(t->candidates[2].verdict, VERDICT_CHOSEN);
    assert_int_equal(t->candidates[3].verdict, VERDICT_NOT_NEEDED);
}

/* Of the same birth, the one that the kernel made later; a newborn one that does not fit is named so; who is
 * not expected to grow is left alone. */
static void test_newborn(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_want(t, CLASS_BATCH, 0, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 0, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 0, 0);
    pauses_want(t, CLASS_BATCH, 1, 100 * MIB);
    pauses_room(t, 299 * MIB);
    assert_string_equal(pauses_words(t), "-2 birth");
    pauses_room(t, 0);
    assert_string_equal(pauses_words(t), "-2 birth, -1 birth, -4 growth");
}

static void test_levels(void **state _unused_)
{
    struct pauses *t = pauses_new();
    static const struct {
        enum level level;
        const char *words;
    } rows[] = {
        {LEVEL_CALM, ""},
        {LEVEL_LOW, ""},
        {LEVEL_MEDIUM, "-2 growth, -3 growth"},
        {LEVEL_CRITICAL, "-2 growth, -3 growth, -4 growth"},
    };

    pauses_want(t, CLASS_PROTECTED, 1, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 10, 100 * MIB);
    pauses_want(t, CLASS_OTHER, 10, 100 * MIB);
    pauses_want(t, CLASS_SERVICE, 10, 100 * MIB);
    pauses_room(t, -(int64_t)GIB);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        t->r.level = rows[i].level;
        assert_string_equal(pauses_words(t), rows[i].words);
    }
    t->r.level = LEVEL_MEDIUM;
    t->c.levels[LEVEL_MEDIUM].priority_max = 499;
    assert_string_equal(pauses_words(t), "-2 growth");
    t->c.levels[LEVEL_MEDIUM].actions &= ~ACTION_BIT(ACTION_PAUSE);
    assert_string_equal(pauses_words(t), "");
    t->r.level = LEVEL_LOW;
    t->c.levels[LEVEL_LOW] = (struct level_config){ACTION_BIT(ACTION_PAUSE), 100};
    assert_string_equal(pauses_words(t), "-2 growth");
}

static void test_level_allows(void **state _unused_)
{
    struct pauses *t = pauses_new();

    assert_true(level_allows(&t->c, LEVEL_MEDIUM, ACTION_PAUSE, 500));
    assert_false(level_allows(&t->c, LEVEL_MEDIUM, ACTION_PAUSE, 501));
    assert_false(level_allows(&t->c, LEVEL_MEDIUM, ACTION_KILL, 0));
    assert_true(level_allows(&t->c, LEVEL_CRITICAL, ACTION_KILL, 999));
    assert_false(level_allows(&t->c, LEVEL_CALM, ACTION_NOTIFY, 0));
    t->c.levels[LEVEL_CRITICAL].priority_max = UINT32_MAX;
    assert_false(level_allows(&t->c, LEVEL_CRITICAL, ACTION_PAUSE, 1000));
}

static void test_last_one_runs(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_want(t, CLASS_BATCH, 1, GIB);
    pauses_room(t, -(int64_t)GIB);
    assert_string_equal(pauses_words(t), "");
    /* a frozen one of others does not run */
    pauses_want(t, CLASS_OTHER, 1, GIB)->frozen = true;
    assert_string_equal(pauses_words(t), "");
    /* but one that may not be paused does */
    pauses_want(t, CLASS_SPARED, 1, GIB);
    assert_string_equal(pauses_words(t), "-1 growth");
}

static void test_min_running(void **state _unused_)
{
    struct pauses *t = pauses_new();

    for (unsigned i = 0; i < 4; i++)
        pauses_want(t, CLASS_PAIR, 10 - i, GIB);
    pauses_want(t, CLASS_OTHER, 100, GIB);
    pauses_room(t, -(int64_t)GIB);
    assert_string_equal(pauses_words(t), "-4 growth, -3 growth, -5 growth");
}

static void leave_no_pause(struct group *g)
{
    g->claims.no_pause = true;
}

static void leave_failed(struct group *g)
{
    g->failed_pause = true;
}

static void leave_class(struct group *g)
{
    g->class_index = CLASS_SPARED;
}

static void leave_frozen(struct group *g)
{
    g->frozen = true;
}

static void leave_dying(struct group *g)
{
    g->dying = true;
}

static void leave_empty(struct group *g)
{
    g->populated = false;
}

static void leave_protected(struct group *g)
{
    g->claims.has_priority = true;
    g->claims.priority = CONFIG_PRIORITY_PROTECTED;
}

static void test_left_alone(void **state _unused_)
{
    static void (*const leave[])(struct group *) = {
        leave_no_pause, leave_failed, leave_class, leave_frozen, leave_dying, leave_empty, leave_protected};

    for (size_t i = 0; i < ARRAY_SIZE(leave); i++) {
        struct pauses *t = pauses_new();

        pauses_want(t, CLASS_BATCH, 50, GIB);
        leave[i](pauses_want(t, CLASS_BATCH, 10, GIB));
        pauses_want(t, CLASS_BATCH, 20, GIB);
        pauses_want(t, CLASS_SERVICE, 20, GIB);
        pauses_room(t, -(int64_t)GIB);
        assert_string_equal(pauses_words(t), "-3 growth, -1 growth");
        pauses_room(t, ROOMY); /* nor is one that somebody else froze, or that dies, let go on */
        assert_string_equal(pauses_words(t), "");
    }
}

/* One that was killed while it was paused is not let go on in the place of one that lives. */
static void test_dying_paused(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_paused(pauses_want(t, CLASS_BATCH, 50, GIB), t, 400)->dying = true;
    pauses_paused(pauses_want(t, CLASS_BATCH, 10, GIB), t, 1);
    pauses_room(t, -(int64_t)GIB);
    assert_string_equal(pauses_words(t), "+2 idle");
}

/* ---- what is expected ---- */

/* Of the group with this id, where all others are left out of the sum. */
static uint64_t expected(struct pauses *t, unsigned id)
{
    pauses_room(t, ROOMY);
    pauses_plan(t);
    for (unsigned i = 0; i < t->s.group_count; i++)
        if (t->rows[i].id == id)
            return t->rows[i].expected_bytes;
    fail();
    return 0;
}

static void test_expected_by_request(void **state _unused_)
{
    struct pauses *t = pauses_new();
    struct group *g = pauses_add(t, CLASS_BATCH, 10, 300 * MIB);

    g->claims.has_request = true;
    g->claims.request_bytes = GIB;
    g->swap = 100 * MIB;
    g->rate = 200 * MIB;
    pauses_add(t, CLASS_WORK, 10, 100 * MIB)->rate =
        300 * MIB; /* so that it is not the cause of most growth */
    assert_int_equal(expected(t, 1), 624 * MIB);
    t->state.peaks[CLASS_BATCH] = (struct expect_peak){.bytes = 5 * GIB, .seen = 1};
    assert_int_equal(expected(t, 1), 624 * MIB);
    g->claims.request_bytes = 300 * MIB; /* beyond it: by its rate */
    assert_int_equal(expected(t, 1), 400 * MIB);
    g->claims.has_request = false;
    t->c.classes[CLASS_BATCH].request = (struct amount){AMOUNT_BYTES, GIB};
    assert_int_equal(expected(t, 1), 624 * MIB);
}

static void test_expected_by_learned_peak(void **state _unused_)
{
    struct pauses *t = pauses_new();
    struct group *g = pauses_add(t, CLASS_BATCH, 10, 300 * MIB);

    t->state.peaks[CLASS_BATCH] = (struct expect_peak){.bytes = GIB, .deviation = 200 * MIB, .seen = 1};
    g->growth_bytes = 20 * MIB;
    assert_int_equal(expected(t, 1), 824 * MIB);
    g->growth_bytes = 18 * MIB; /* in 5 s: it has come to what it comes to */
    assert_int_equal(expected(t, 1), 0);
    g->growth_bytes = 300 * MIB;
    g->rate = 600 * MIB;
    assert_int_equal(expected(t, 1), 824 * MIB);
    g->anon = GIB + 110 * MIB; /* beyond the peak and half a deviation, and within two */
    assert_int_equal(expected(t, 1), 390 * MIB);
    t->state.peaks[CLASS_BATCH].deviation = 0;
    g->anon = GIB;
    assert_int_equal(expected(t, 1), 64 * MIB); /* it has just come there */
    g->anon = GIB + 64 * MIB;
    assert_int_equal(expected(t, 1), 1200 * MIB);
    t->state.peaks[CLASS_BATCH].deviation = 200 * MIB;
    g->anon = 2 * GIB;
    assert_int_equal(expected(t, 1), 1200 * MIB);
    g->rate = 0;
    assert_int_equal(expected(t, 1), 0);
    /* the largest of the class says nothing any more */
    pauses_add(t, CLASS_BATCH, 4, 100 * MIB);
    assert_int_equal(expected(t, 2), 1024 * MIB);
}

/* Over its request, or far larger than all others, and the cause of most of the growth: neither is it paused
 * nor is anybody paused for it. */
static void test_runaway(void **state _unused_)
{
    struct pauses *t = pauses_new();
    struct group *g = pauses_add(t, CLASS_BATCH, 100, 3 * GIB);

    g->rate = 400 * MIB;
    for (unsigned i = 0; i < 4; i++)
        pauses_add(t, CLASS_BATCH, 10, 50 * MIB)->rate = 10 * MIB;
    assert_int_equal(expected(t, 1), 0);
    pauses_room(t, 100 * MIB);
    pauses_plan(t);
    for (unsigned i = 0; i < t->plan.count; i++)
        assert_int_not_equal(t->plan.steps[i].group_index, 0);
    g->claims.has_request = true;
    g->claims.request_bytes = 3172 * MIB;
    assert_int_equal(expected(t, 1), 100 * MIB);
    g->claims.request_bytes = 2 * GIB;
    assert_int_equal(expected(t, 1), 0);
    t->c.classes[CLASS_BATCH].actions = ACTION_BIT(ACTION_PAUSE); /* nobody would end it */
    assert_int_equal(expected(t, 1), 800 * MIB);
}

static void test_expected_by_guess(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_add(t, CLASS_BATCH, 100, GIB);
    pauses_add(t, CLASS_BATCH, 10, 200 * MIB)->rate = 50 * MIB;
    pauses_add(t, CLASS_BATCH, 10, 200 * MIB);
    pauses_add(t, CLASS_BATCH, 0, 24 * MIB);
    pauses_paused(pauses_add(t, CLASS_BATCH, 10, 100 * MIB), t, 1);
    pauses_add(t, CLASS_WORK, 10, 100 * MIB)->rate = 50 * MIB;
    assert_int_equal(expected(t, 1), 0);
    /* the largest is more than twice the next: that is how far it is a measure */
    assert_int_equal(expected(t, 2), 200 * MIB);
    assert_int_equal(expected(t, 3), 0); /* it stands still */
    assert_int_equal(expected(t, 4), 376 * MIB);
    assert_int_equal(expected(t, 5), 300 * MIB);
    assert_int_equal(expected(t, 6), 100 * MIB); /* of another class */
    /* the largest grows: at least that */
    t->groups[0].rate = 200 * MIB;
    t->groups[1].rate = 500 * MIB;
    assert_int_equal(expected(t, 1), 400 * MIB);
    assert_int_equal(expected(t, 2), 1000 * MIB);
    assert_int_equal(expected(t, 4), 376 * MIB);
    /* one that dies is no measure */
    t->groups[0].dying = true;
    assert_int_equal(expected(t, 4), 176 * MIB);
}

static struct group_end ended(uint64_t peak, uint64_t lived_usec, bool killed)
{
    return (struct group_end){
        .class_index = CLASS_WORK, .peak_bytes = peak, .lived_usec = lived_usec, .killed = killed};
}

static void test_learned(void **state _unused_)
{
    struct pauses *t = pauses_new();
    struct expect_peak *p = &t->state.peaks[CLASS_WORK];

    t->s.ended[t->s.ended_count++] = ended(GIB, 10 * USEC_PER_SEC, true);
    t->s.ended[t->s.ended_count++] = ended(GIB, USEC_PER_SEC - 1, false);
    expect_note_ended(t->state.peaks, &t->s);
    assert_int_equal(p->seen, 0);
    t->s.ended[t->s.ended_count++] = ended(800 * MIB, USEC_PER_SEC, false);
    expect_note_ended(t->state.peaks, &t->s);
    assert_int_equal(p->seen, 1);
    assert_int_equal(p->bytes, 800 * MIB);
    assert_int_equal(p->deviation, 0);
    t->s.ended_count = 0;
    t->s.ended[t->s.ended_count++] = ended(1600 * MIB, USEC_PER_SEC, false);
    expect_note_ended(t->state.peaks, &t->s);
    assert_int_equal(p->seen, 2);
    assert_int_equal(p->bytes, 900 * MIB);
    assert_int_equal(p->deviation, 100 * MIB);
    t->s.ended[0].peak_bytes = 100 * MIB;
    expect_note_ended(t->state.peaks, &t->s);
    assert_int_equal(p->bytes, 800 * MIB);
    assert_int_equal(p->deviation, 187 * MIB + MIB / 2);
    assert_int_equal(t->state.peaks[CLASS_BATCH].seen, 0);
    for (unsigned i = 0; i < 200; i++) /* what always comes out the same is known to the byte, nearly */
        expect_note_ended(t->state.peaks, &t->s);
    assert_in_range(p->bytes, 100 * MIB, 100 * MIB + 8);
    assert_in_range(p->deviation, 0, 16);
}

static void test_confirmed(void **state _unused_)
{
    struct pauses *t = pauses_new();
    uint64_t before = t->state.fast_usec;

    assert_true(before > 0);
    pause_note_confirmed(&t->state, UINT64_MAX);
    assert_int_equal(t->state.fast_usec, (3 * before + PAUSE_THRASH_USEC) / 4);
    for (unsigned i = 0; i < 100; i++)
        pause_note_confirmed(&t->state, 0);
    assert_int_equal(t->state.fast_usec, 0);
}

/* ---- who goes on ---- */

static void test_resume_when_it_fits(void **state _unused_)
{
    struct pauses *t = pauses_new();
    static const struct {
        int64_t free_bytes;
        const char *words;
    } rows[] = {
        {ROOMY, "+3 fits, +1 fits, +2 fits"},
        {1500 * (int64_t)MIB, "+3 fits, +1 fits, +2 fits"},
        {1500 * (int64_t)MIB - 1, "+3 fits, +1 fits"},
        {1100 * (int64_t)MIB, "+3 fits, +1 fits"},
        {1100 * (int64_t)MIB - 1,
         "+3 fits, +2 fits"}, /* a smaller one goes past the first that does not fit */
        {500 * (int64_t)MIB - 1, "+3 fits"},
        {100 * (int64_t)MIB, "+3 fits"},
        {100 * (int64_t)MIB - 1, ""}, /* but not past one of a higher priority */
    };

    pauses_paused(pauses_want(t, CLASS_BATCH, 200, 1000 * MIB), t, 5);
    pauses_paused(pauses_want(t, CLASS_BATCH, 100, 400 * MIB), t, 9);
    pauses_paused(pauses_want(t, CLASS_OTHER, 1, 100 * MIB), t, 1);
    pauses_want(t, CLASS_SERVICE, 10, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        pauses_room(t, rows[i].free_bytes);
        assert_string_equal(pauses_words(t), rows[i].words);
        assert_int_equal(t->plan.paused, 3);
        assert_int_equal(t->plan.running, 1);
    }
    pauses_room(t, 1100 * (int64_t)MIB - 1);
    t->groups[0].pause_since_usec = t->s.now_usec - 60 * USEC_PER_SEC; /* nor past one that has waited long */
    assert_string_equal(pauses_words(t), "+3 fits");
    pauses_room(t, ROOMY);
    t->r.felt = true; /* then only what has its place in memory */
    assert_string_equal(pauses_words(t), "+3 fits, +1 fits, +2 fits");
    t->r.used = t->r.limit;
    assert_string_equal(pauses_words(t), "");
    t->r.used = 0;
    t->groups[0].swap = t->r.limit;
    assert_string_equal(pauses_words(t), "+3 fits"); /* and 1 has waited long */
    t->groups[0].swap = 0;
    t->r.felt = false;
    t->r.level = LEVEL_CRITICAL;
    assert_string_equal(pauses_words(t), "");
}

/* While somebody waits a newcomer waits behind him at any level, unless both fit. */
static void test_newcomers_queue(void **state _unused_)
{
    struct pauses *t = pauses_new();
    struct group *g;

    t->r.level = LEVEL_CALM;
    pauses_paused(pauses_want(t, CLASS_BATCH, 200, 1000 * MIB), t, 5);
    pauses_want(t, CLASS_BATCH, 300, 0);
    g = pauses_want(t, CLASS_BATCH, 0, 500 * MIB);
    pauses_room(t, 1000 * (int64_t)MIB); /* either of them fits: the older one has it */
    assert_string_equal(pauses_words(t), "+1 fits, -3 birth");
    pauses_room(t, 1500 * (int64_t)MIB);
    assert_string_equal(pauses_words(t), "+1 fits");
    pauses_room(t, 999 * (int64_t)MIB); /* it is small enough to go past */
    assert_string_equal(pauses_words(t), "");
    t->groups[0].pause_since_usec = t->s.now_usec - 60 * USEC_PER_SEC;
    assert_string_equal(pauses_words(t), "-3 birth");
    g->class_index = CLASS_OTHER; /* of a higher priority: first */
    pauses_room(t, 1000 * (int64_t)MIB);
    assert_string_equal(pauses_words(t), "");
    g->class_index = CLASS_BATCH;
    g->birth_usec -= 2 * USEC_PER_SEC; /* no newcomer any more */
    assert_string_equal(pauses_words(t), "");
    g->birth_usec = t->s.now_usec;
    t->groups[0].held = true; /* whom an operator has paused nobody waits behind */
    assert_string_equal(pauses_words(t), "");
}

/* Where the paused hold so much that the only one running does not fit, one that does goes on in its place.
 */
static void test_exchange(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_paused(pauses_want(t, CLASS_BATCH, 200, 300 * MIB), t, 5);
    pauses_paused(pauses_want(t, CLASS_BATCH, 100, 50 * MIB), t, 5);
    pauses_want(t, CLASS_BATCH, 50, 200 * MIB);
    pauses_room(t, 100 * (int64_t)MIB);
    assert_string_equal(pauses_words(t), "+2 fits, -3 turn");
    pauses_room(t, 49 * (int64_t)MIB); /* nobody does */
    assert_string_equal(pauses_words(t), "");
    assert_int_equal(t->plan.short_bytes, 151 * MIB);
    pauses_room(t, 200 * (int64_t)MIB); /* it does fit itself */
    assert_string_equal(pauses_words(t), "");
    assert_int_equal(t->plan.short_bytes, 0);
    pauses_room(t, 100 * (int64_t)MIB);
    pauses_want(t, CLASS_SERVICE, 50, 0); /* not the only one: it can be paused without */
    assert_string_equal(pauses_words(t), "-3 growth");
}

static void test_resume_when_nobody_runs(void **state _unused_)
{
    for (enum level level = LEVEL_CALM; level < LEVEL_COUNT; level++) {
        struct pauses *t = pauses_new();

        pauses_paused(pauses_want(t, CLASS_BATCH, 100, GIB), t, 1);
        pauses_paused(pauses_want(t, CLASS_BATCH, 200, GIB), t, 1);
        pauses_want(t, CLASS_BATCH, 300, GIB)->frozen = true;
        t->r.level = level;
        t->r.felt = true;
        pauses_room(t, -(int64_t)GIB);
        assert_string_equal(pauses_words(t), "+2 idle");
    }
}

static void wait_usec(struct pauses *t, uint64_t usec)
{
    t->s.now_usec += usec;
}

static void test_idle(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_paused(pauses_want(t, CLASS_BATCH, 100, GIB), t, 1);
    pauses_paused(pauses_want(t, CLASS_BATCH, 50, GIB), t, 1);
    pauses_want(t, CLASS_SERVICE, 300, 0)->cpu_permyriad = PERMYRIAD / 20;
    pauses_room(t, 0);
    for (unsigned i = 0; i < 10; i++) { /* a twentieth of one processor is work */
        wait_usec(t, USEC_PER_SEC);
        assert_string_equal(pauses_words(t), "");
    }
    t->groups[2].cpu_permyriad--;
    wait_usec(t, USEC_PER_SEC);
    assert_string_equal(pauses_words(t), "");
    wait_usec(t, USEC_PER_SEC);
    t->r.stall_permyriad = t->r.paging_permyriad = 500; /* they wait for memory, not for each other */
    assert_string_equal(pauses_words(t), "");
    t->r.stall_permyriad = t->r.paging_permyriad = 499;
    t->groups[2].cpu_permyriad = GROUP_CPU_UNKNOWN; /* nor is it idle of which that is not known yet */
    assert_string_equal(pauses_words(t), "");
    t->groups[2].cpu_permyriad = PERMYRIAD / 20 - 1;
    for (unsigned i = 0; i < 3; i++) {
        wait_usec(t, USEC_PER_SEC);
        assert_string_equal(pauses_words(t), "");
    }
    wait_usec(t, USEC_PER_SEC);
    assert_string_equal(pauses_words(t), "+1 idle");
    pauses_apply(t);
    /* one at a time, and not paused again at once */
    for (unsigned i = 1; i < 10; i++) {
        t->groups[0].cpu_permyriad = PERMYRIAD;
        wait_usec(t, USEC_PER_SEC);
        assert_string_equal(pauses_words(t), "");
    }
    t->r.level = LEVEL_CRITICAL; /* short of a need */
    assert_string_equal(pauses_words(t), "-1 growth");
    t->r.level = LEVEL_MEDIUM;
    assert_string_equal(pauses_words(t), "");
    wait_usec(t, USEC_PER_SEC);
    assert_string_equal(pauses_words(t), "-1 growth");
}

static void test_calm(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_paused(pauses_want(t, CLASS_BATCH, 100, 2 * GIB), t, 1);
    pauses_paused(pauses_want(t, CLASS_BATCH, 50, 2 * GIB), t, 1);
    pauses_want(t, CLASS_SERVICE, 300, 0)->cpu_permyriad = PERMYRIAD;
    t->r.level = LEVEL_CALM;
    pauses_room(t, GIB);
    t->r.trend = (uint64_t)t->r.room / 30 + 1; /* full within 30 s */
    for (unsigned i = 0; i < 5; i++, wait_usec(t, USEC_PER_SEC))
        assert_string_equal(pauses_words(t), "");
    t->r.trend = (uint64_t)t->r.room / 31;
    for (unsigned i = 0; i < 3; i++, wait_usec(t, USEC_PER_SEC))
        assert_string_equal(pauses_words(t), "");
    assert_string_equal(pauses_words(t), "+1 calm");
    pauses_apply(t);
    for (unsigned i = 0; i < 3; i++) {
        wait_usec(t, USEC_PER_SEC);
        assert_string_equal(pauses_words(t), "");
    }
    t->r.level = LEVEL_LOW; /* begins anew */
    assert_string_equal(pauses_words(t), "");
    t->r.level = LEVEL_CALM;
    for (unsigned i = 0; i < 3; i++, wait_usec(t, USEC_PER_SEC))
        assert_string_equal(pauses_words(t), "");
    assert_string_equal(pauses_words(t), "+2 calm");
}

/* ---- PauseLimit ---- */

static void test_limit_turn(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_paused(pauses_want(t, CLASS_BATCH, 500, GIB), t, 299);
    pauses_want(t, CLASS_OTHER, 10, 0);
    pauses_want(t, CLASS_WORK, 600, 0);
    pauses_want(t, CLASS_WORK, 700, 0);
    pauses_want(t, CLASS_SERVICE, 1, 0);
    pauses_room(t, 0);
    assert_string_equal(pauses_words(t), "");
    wait_usec(t, USEC_PER_SEC);
    t->groups[1].cpu_permyriad = PERMYRIAD;
    assert_string_equal(pauses_words(t), "-3 turn, +1 pause-limit");
    pauses_room(t, GIB); /* it fits: nobody has to make place */
    assert_string_equal(pauses_words(t), "+1 pause-limit");
    t->r.felt = true;
    assert_string_equal(pauses_words(t), "+1 pause-limit");
}

/* A turn takes nothing of what MinRunning= leaves to a class, unless the class itself gets it back. */
static void test_limit_turn_min_running(void **state _unused_)
{
    struct pauses *t = pauses_new();
    struct group *g = pauses_paused(pauses_want(t, CLASS_BATCH, 500, GIB), t, 300);

    pauses_want(t, CLASS_PAIR, 10, 0);
    pauses_want(t, CLASS_PAIR, 20, 0);
    pauses_want(t, CLASS_WORK, 30, 0);
    pauses_room(t, 0);
    assert_string_equal(pauses_words(t), "-4 turn, +1 pause-limit");
    g->class_index = CLASS_PAIR;
    assert_string_equal(pauses_words(t), "-2 turn, +1 pause-limit");
}

static void test_limit_nobody_to_pause(void **state _unused_)
{
    static const struct {
        unsigned class;
        int64_t free_bytes;
        const char *words;
    } rows[] = {
        {CLASS_BATCH, 0, "!1 pause-limit"},   {CLASS_BATCH, GIB - 1, "!1 pause-limit"},
        {CLASS_BATCH, GIB, "+1 pause-limit"}, {CLASS_WORK, 0, "+1 pause-limit"},
        {CLASS_KEPT, 0, "+1 pause-limit"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pauses *t = pauses_new();

        pauses_paused(pauses_want(t, rows[i].class, 500, GIB), t, 300);
        pauses_want(t, CLASS_SERVICE, 10, 0);
        pauses_room(t, rows[i].free_bytes);
        assert_string_equal(pauses_words(t), "+1 pause-limit"); /* this level does not kill */
        t->r.level = LEVEL_CRITICAL;
        t->c.levels[LEVEL_CRITICAL].priority_max = t->c.levels[LEVEL_MEDIUM].priority_max;
        t->r.need = 0; /* the level outlasts it */
        assert_string_equal(pauses_words(t), "+1 pause-limit");
        t->r.need = MIB;
        assert_string_equal(pauses_words(t), rows[i].words);
        t->groups[1].frozen = true; /* nobody runs: no kill is called for */
        assert_string_equal(pauses_words(t), "+1 pause-limit");
    }
}

static void test_held_by_operator(void **state _unused_)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pauses *t = pauses_new();

        pauses_paused(pauses_want(t, CLASS_BATCH, 5000, GIB), t, 4000)->held = true;
        if (i == 1)
            pauses_want(t, CLASS_WORK, 10, 0);
        t->r.level = LEVEL_CALM;
        for (unsigned n = 0; n < 10; n++, wait_usec(t, USEC_PER_SEC)) {
            pauses_room(t, n < 5 ? 0 : ROOMY);
            assert_string_equal(pauses_words(t), "");
            assert_int_equal(t->plan.paused, 1);
        }
    }
}

/* ---- a stall on what was swapped out ---- */

static struct pauses *thrashing(void)
{
    struct pauses *t = pauses_new();

    for (unsigned i = 0; i < 4; i++)
        pauses_add(t, CLASS_BATCH, 100 - i, GIB)->swap = 2 * GIB;
    pauses_room(t, ROOMY);
    t->r.felt = true;
    t->r.thrash = 100 * MIB;
    t->r.stall_permyriad = t->r.paging_permyriad = 2000;
    t->state.crowd.unknown_usec = t->s.now_usec - CROWD_UNKNOWN_USEC; /* no group's own stalls are known */
    return t;
}

static void test_thrash(void **state _unused_)
{
    struct pauses *t = thrashing();

    t->r.stall_permyriad = t->r.paging_permyriad = 1999;
    assert_string_equal(pauses_words(t), "");
    t->r.stall_permyriad = t->r.paging_permyriad = 2000;
    t->r.thrash = 0;
    t->r.throttled = true; /* by anything else, for ThrottleDeadline */
    assert_string_equal(pauses_words(t), "-4 thrash");
    t = thrashing();
    t->r.thrash = 0;
    assert_string_equal(pauses_words(t), "");
    t->r.thrash = 1;
    assert_string_equal(pauses_words(t), "-4 thrash");
    assert_int_equal(t->state.bound_bytes, 12 * GIB);
    pauses_apply(t);
    wait_usec(t, PAUSE_THRASH_USEC - 1);
    assert_string_equal(pauses_words(t), "");
    wait_usec(t, 1);
    assert_string_equal(pauses_words(t), "-3 thrash");
    assert_int_equal(t->state.bound_bytes, 9 * GIB);
    pauses_apply(t);
    /* those that are left have their place in memory, once they have their pages back */
    for (unsigned i = 0; i < 10; i++) {
        wait_usec(t, PAUSE_THRASH_USEC);
        assert_string_equal(pauses_words(t), "");
    }
}

/* What was too much is not reached again at once: a twentieth more every 10 s, and forgotten after 60. */
static void test_thrash_bound(void **state _unused_)
{
    struct pauses *t = thrashing();
    uint64_t waited = 0;

    assert_string_equal(pauses_words(t), "-4 thrash");
    pauses_apply(t);
    t->r.felt = false;
    t->r.thrash = 0;
    wait_usec(t, USEC_PER_SEC);
    t->groups[0].cpu_permyriad = PERMYRIAD;
    t->r.stall_permyriad = t->r.paging_permyriad = 500; /* not over yet: the time does not begin */
    assert_string_equal(pauses_words(t), "");
    t->r.stall_permyriad = t->r.paging_permyriad = 0;
    while (waited < 100 && *pauses_words(t) == '\0') {
        wait_usec(t, USEC_PER_SEC);
        waited++;
    }
    assert_string_equal(pauses_words(t), "+4 fits");
    assert_int_equal(waited, 10); /* 95 % of it, and then all */
    t = thrashing();
    assert_string_equal(pauses_words(t), "-4 thrash");
    pauses_apply(t);
    t->r.felt = false;
    t->r.stall_permyriad = t->r.paging_permyriad = 0;
    t->groups[3].claims.has_request = true; /* far beyond the bound, however it is raised */
    t->groups[3].claims.request_bytes = 9 * GIB;
    t->groups[0].cpu_permyriad = PERMYRIAD;
    wait_usec(t, 60 * USEC_PER_SEC - 1);
    assert_string_equal(pauses_words(t), "");
    wait_usec(t, 1);
    assert_string_equal(pauses_words(t), "+4 fits");
    assert_int_equal(t->state.bound_bytes, 0);
}

/* Who stalled for eight seconds is not asked to do so again every minute. */
static void test_long_stall(void **state _unused_)
{
    struct pauses *t = thrashing();
    uint64_t waited = 0;

    assert_string_equal(pauses_words(t), "-4 thrash");
    pauses_apply(t);
    t->r.felt = false;
    t->r.thrash = 0;
    t->groups[0].cpu_permyriad = PERMYRIAD;
    for (unsigned i = 0; i < 8; i++) {
        wait_usec(t, USEC_PER_SEC);
        t->r.stall_permyriad = t->r.paging_permyriad = i == 3 || i == 4 ? 0 : 5000; /* it pauses for breath */
        assert_string_equal(pauses_words(t), "");
    }
    t->r.stall_permyriad = t->r.paging_permyriad = 0;
    while (waited < 100 && *pauses_words(t) == '\0') {
        wait_usec(t, USEC_PER_SEC);
        waited++;
    }
    assert_string_equal(pauses_words(t), "+4 fits");
    assert_int_equal(waited, 32);
}

/* A raise of the bound that is felt is taken back, and the next one is twice as far away. */
static void test_bound_raised_by_too_much(void **state _unused_)
{
    struct pauses *t = thrashing();
    uint64_t thrash_usec;

    assert_string_equal(pauses_words(t), "-4 thrash");
    thrash_usec = t->state.thrash_usec;
    t->r.felt = false;
    t->r.thrash = 0;
    t->state.bound_bytes = 8 * GIB;
    for (unsigned i = 0; i < 4; i++)
        t->groups[i].cpu_permyriad = PERMYRIAD;
    wait_usec(t, 10 * USEC_PER_SEC - 1);
    t->r.felt = true;
    assert_string_equal(pauses_words(t), "");
    assert_int_equal(t->state.bound_usec, thrash_usec); /* not raised yet */
    t->r.felt = false;
    wait_usec(t, 1);
    assert_string_equal(pauses_words(t), "");
    assert_int_equal(t->state.bound_usec, thrash_usec);
    t->r.felt = true;
    assert_string_equal(pauses_words(t), "");
    assert_int_equal(t->state.bound_usec, t->s.now_usec);
    assert_int_equal(t->state.bound_step_usec, 20 * USEC_PER_SEC);
    assert_int_equal(t->state.bound_bytes, 8 * GIB);
    assert_int_equal(t->state.thrash_usec, thrash_usec); /* nobody was paused: a kill does not wait for it */
}

/* What the paused ones hold in memory takes the place of who would go on, until it is pushed out. */
static void test_paused_memory_is_in_the_way(void **state _unused_)
{
    struct pauses *t = pauses_new();

    for (unsigned i = 0; i < 3; i++)
        pauses_add(t, CLASS_BATCH, 100 - i, 2 * GIB)->cpu_permyriad = PERMYRIAD;
    for (unsigned i = 0; i < 3; i++)
        pauses_paused(pauses_add(t, CLASS_BATCH, 50 - i, GIB), t, 0); /* too short to go on */
    for (unsigned i = 0; i < 6; i++)
        t->groups[i].claims = (struct group_claims){.has_request = true, .request_bytes = t->groups[i].anon};
    t->s.isolate = true;
    t->r.used = 9 * GIB;
    t->r.swap_left = t->r.swap = 20 * GIB;
    pauses_room(t, 20 * GIB - GIB);
    pauses_plan(t);
    assert_int_equal(t->plan.in_the_way_bytes, GIB); /* more is used than has its place */
    for (unsigned i = 3; i < 6; i++)
        pauses_paused(&t->groups[i], t, 10);
    t->state.bound_bytes = 8 * GIB - NODE_MARGIN;
    t->state.bound_usec = t->s.now_usec;
    assert_string_equal(pauses_words(t), "");                          /* 6 and 1, beside 2 of the others */
    assert_int_equal(t->plan.in_the_way_bytes, GIB + NODE_MARGIN / 2); /* half a margin is left */
    t->groups[4].anon = t->groups[5].anon = GIB / 4;
    t->groups[4].swap = t->groups[5].swap = GIB * 3 / 4;
    assert_string_equal(pauses_words(t), "+4 fits");
    t->groups[4].anon += GIB;
    assert_string_equal(pauses_words(t), "");
    t->groups[4].pid = 77; /* what cannot be pushed out is not waited for */
    assert_string_equal(pauses_words(t), "+4 fits");
    t->groups[4].pid = 0;
    t->s.isolate = false;
    assert_string_equal(pauses_words(t), "+4 fits");
    t->s.isolate = true;
    assert_string_equal(pauses_words(t), "");
    t->state.bound_bytes = 0; /* no thrash lately: there is swap for it */
    assert_string_equal(pauses_words(t), "+4 fits, +5 fits, +6 fits");
    pauses_room(t, 21 * GIB);
    t->s.group_count = 3;
    pauses_plan(t);
    assert_int_equal(t->plan.in_the_way_bytes, 0); /* nobody is paused */
}

/* After a thrash nobody goes past for what he holds already; only who is smaller all in all. */
static void test_past_the_first(void **state _unused_)
{
    struct pauses *t = pauses_new();

    t->state.peaks[CLASS_BATCH] = (struct expect_peak){.bytes = 2 * GIB, .seen = 1};
    pauses_add(t, CLASS_BATCH, 100, 2 * GIB)->cpu_permyriad = PERMYRIAD;
    pauses_paused(pauses_add(t, CLASS_BATCH, 50, GIB / 4), t, 10);
    pauses_paused(pauses_add(t, CLASS_BATCH, 40, GIB), t, 10);
    t->s.isolate = true;
    t->r.swap_left = t->r.swap = 20 * GIB;
    t->r.used = 4 * GIB;
    pauses_room(t, 20 * GIB);
    t->state.bound_bytes = 8 * GIB - NODE_MARGIN;
    t->state.bound_usec = t->s.now_usec;
    assert_string_equal(pauses_words(t), "+2 fits, +3 fits"); /* 2 and 2 and 2 */
    t->groups[0].anon = 4 * GIB;
    assert_string_equal(pauses_words(t), "+2 fits"); /* 4 and 2, beside 1: then 2 more are too much */
    t->groups[0].anon = 5 * GIB + GIB / 2;
    assert_string_equal(pauses_words(t),
                        ""); /* the second would fit for what it holds, at the cost of the first */
    t->groups[2].claims = (struct group_claims){.has_request = true, .request_bytes = 3 * GIB / 2};
    assert_string_equal(pauses_words(t), "+3 fits");
}

/* After a thrash, who did not grow because he was frozen is not taken for one that has come to his size. */
static void test_resumed_has_not_settled(void **state _unused_)
{
    struct pauses *t = pauses_new();

    t->state.peaks[CLASS_BATCH] = (struct expect_peak){.bytes = 3 * GIB, .seen = 1};
    for (unsigned i = 0; i < 2; i++)
        pauses_add(t, CLASS_BATCH, 100 - i, GIB)->cpu_permyriad = PERMYRIAD;
    pauses_paused(pauses_add(t, CLASS_BATCH, 50, GIB), t, 10);
    t->s.isolate = true;
    t->r.swap_left = t->r.swap = 20 * GIB;
    t->r.used = 3 * GIB;
    pauses_room(t, 20 * GIB);
    t->state.bound_bytes = 6 * GIB;
    t->state.bound_usec = t->s.now_usec;
    assert_string_equal(pauses_words(t), "+3 fits"); /* 1, 1 and 3 */
    for (unsigned i = 0; i < 2; i++)
        t->groups[i].frozen_usec = t->s.now_usec - GROUP_GROWTH_USEC + 1;
    assert_string_equal(pauses_words(t), ""); /* 3, 3 and 3 */
    for (unsigned i = 0; i < 2; i++)
        t->groups[i].frozen_usec--;
    assert_string_equal(pauses_words(t), "+3 fits");
    t->groups[0].frozen_usec++;
    t->state.bound_bytes = 0;
    assert_string_equal(pauses_words(t), "+3 fits");
}

/* Only who would be paused for what is missing waits, and only where what was asked for is enough. */
static void test_put_off_for_asked(void **state _unused_)
{
    struct pauses *t = pauses_new();

    for (unsigned i = 0; i < 2; i++)
        pauses_want(t, CLASS_BATCH, 100 - i, 100 * MIB);
    pauses_room(t, 200 * MIB);
    t->scratch.asked_bytes = GIB;
    assert_string_equal(pauses_words(t), "");
    assert_false(t->plan.put_off); /* nothing is missing */
    pauses_room(t, 170 * MIB);
    t->scratch.asked_bytes = 30 * MIB - 1;
    assert_string_equal(pauses_words(t), "-2 growth");
    assert_false(t->plan.put_off); /* not enough */
    t->scratch.asked_bytes = 30 * MIB;
    assert_string_equal(pauses_words(t), "");
    assert_true(t->plan.put_off);
    t->r.need = 40 * MIB;
    assert_string_equal(pauses_words(t), "-2 growth");
    t->r.need = 0;
    t->scratch.resume_only = true;
    assert_string_equal(pauses_words(t), "");
    assert_false(t->plan.put_off); /* but for another reason */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_goes_first),
        cmocka_unit_test(test_newborn),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_level_allows),
        cmocka_unit_test(test_last_one_runs),
        cmocka_unit_test(test_min_running),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_dying_paused),
        cmocka_unit_test(test_expected_by_request),
        cmocka_unit_test(test_expected_by_learned_peak),
        cmocka_unit_test(test_runaway),
        cmocka_unit_test(test_expected_by_guess),
        cmocka_unit_test(test_learned),
        cmocka_unit_test(test_confirmed),
        cmocka_unit_test(test_resume_when_it_fits),
        cmocka_unit_test(test_newcomers_queue),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_resume_when_nobody_runs),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_calm),
        cmocka_unit_test(test_limit_turn),
        cmocka_unit_test(test_limit_turn_min_running),
        cmocka_unit_test(test_limit_nobody_to_pause),
        cmocka_unit_test(test_held_by_operator),
        cmocka_unit_test(test_thrash),
        cmocka_unit_test(test_thrash_bound),
        cmocka_unit_test(test_long_stall),
        cmocka_unit_test(test_bound_raised_by_too_much),
        cmocka_unit_test(test_paused_memory_is_in_the_way),
        cmocka_unit_test(test_past_the_first),
        cmocka_unit_test(test_resumed_has_not_settled),
        cmocka_unit_test(test_put_off_for_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
