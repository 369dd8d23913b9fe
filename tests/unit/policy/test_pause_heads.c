/* Who would be paused and who would go on next: the first of what the plan would do, and nothing remembered.
 */
#include "pauses.h"

static struct pause_heads heads_of(struct pauses *t)
{
    struct pause_state before = t->state;
    struct pause_heads h;

    memset(t->rows, 0xee, t->s.group_count * sizeof(t->rows[0]));
    pause_find_heads(&t->c, &t->s, &t->r, &t->state, &t->scratch, &h);
    assert_memory_equal(&before, &t->state, sizeof(before));
    return h;
}

static void test_nobody(void **state _unused_)
{
    struct pauses *t = pauses_new();

    assert_int_equal(heads_of(t).pause, -1);
    assert_int_equal(heads_of(t).resume, -1);
    pauses_want(t, CLASS_BATCH, 10, 100 * MIB); /* the only one that runs */
    assert_int_equal(heads_of(t).pause, -1);
    pauses_want(t, CLASS_PROTECTED, 10, 100 * MIB);
    pauses_want(t, CLASS_PROTECTED, 10, 100 * MIB);
    assert_int_equal(heads_of(t).pause, 0);
}

/* Whatever the level is now: the same one that a plan takes first when there is no room. */
static void test_as_the_plan(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_want(t, CLASS_OTHER, 5, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 20, 100 * MIB);
    pauses_want(t, CLASS_WORK, 10, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 100, 100 * MIB);
    pauses_room(t, 0);
    for (enum level l = LEVEL_CALM; l <= LEVEL_CRITICAL; l++) {
        t->r.level = l;
        assert_int_equal(heads_of(t).pause, 2);
        assert_int_equal(heads_of(t).why, PAUSE_WHY_GROWTH);
    }
    t->r.level = LEVEL_MEDIUM;
    pauses_plan(t);
    assert_int_equal(t->plan.steps[0].group_index, 2);
}

/* Where only the next level may pause, that one is meant. */
static void test_level_that_may(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_want(t, CLASS_BATCH, 20, 100 * MIB);
    pauses_want(t, CLASS_BATCH, 10, 100 * MIB);
    t->c.levels[LEVEL_MEDIUM].actions = 0;
    t->r.level = LEVEL_CALM;
    assert_int_equal(heads_of(t).pause, 1);
    t->c.levels[LEVEL_CRITICAL].actions = 0;
    assert_int_equal(heads_of(t).pause, -1);
}

/* Who is not expected to grow is only paused for a stall. */
static void test_stall(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_want(t, CLASS_BATCH, 20, 0);
    pauses_want(t, CLASS_BATCH, 10, 0);
    assert_int_equal(heads_of(t).pause, 1);
    assert_int_equal(heads_of(t).why, PAUSE_WHY_THRASH);
    pauses_want(t, CLASS_BATCH, 50, 100 * MIB);
    assert_int_equal(heads_of(t).pause, 2);
    assert_int_equal(heads_of(t).why, PAUSE_WHY_GROWTH);
}

static void test_resume(void **state _unused_)
{
    struct pauses *t = pauses_new();

    pauses_want(t, CLASS_BATCH, 50, 0);
    pauses_paused(pauses_want(t, CLASS_BATCH, 10, 0), t, 1);
    pauses_paused(pauses_want(t, CLASS_BATCH, 20, 0), t, 2);
    assert_int_equal(heads_of(t).resume, 2); /* the oldest */
    assert_int_equal(heads_of(t).pause, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody),         cmocka_unit_test(test_as_the_plan),
        cmocka_unit_test(test_level_that_may), cmocka_unit_test(test_stall),
        cmocka_unit_test(test_resume),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
