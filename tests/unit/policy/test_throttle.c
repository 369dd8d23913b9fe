/* Groups at their own memory.high, look by look. */
#include "policy.h"

#include "policy/throttle.h"

#define LOOK (2 * USEC_PER_SEC)
#define DEADLINE (10 * USEC_PER_SEC)
#define HIGH (100 * MIB)
#define BOUND (200 * MIB)

static struct throttle_state state;
static struct throttle_look next;

static int setup(void **unused _unused_)
{
    memset(&state, 0, sizeof(state));
    next = (struct throttle_look){.id = 7,
                                  .now_usec = 100 * USEC_PER_SEC,
                                  .before_usec = 100 * USEC_PER_SEC - LOOK,
                                  .high_bytes = HIGH,
                                  .planned_bytes = HIGH,
                                  .bound_bytes = BOUND};
    return 0;
}

/* So much is used, and for so much of the time since the last look the group stood still. */
static uint64_t step(uint64_t current, unsigned stall_permyriad, bool *ret_raised)
{
    uint64_t value;

    next.current_bytes = current;
    next.high_events += stall_permyriad > 0;
    next.full_usec += LOOK * stall_permyriad / PERMYRIAD;
    value = throttle_step(&state, &next, DEADLINE, ret_raised);
    next.before_usec = next.now_usec;
    next.now_usec += LOOK;
    next.high_bytes = value; /* as it stands with the next look */
    return value;
}

static unsigned used_places(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < THROTTLE_MAX; i++)
        n += state.groups[i].id != 0;
    return n;
}

/* Whenever between two looks it begins, it ends within the deadline and a look. */
static void test_raised_in_time(void **unused _unused_)
{
    uint64_t value = HIGH, began = next.now_usec + 1; /* just after this look at the earliest */
    bool raised = false;

    assert_true(step(50 * MIB, 0, &raised) == HIGH);
    assert_int_equal(used_places(), 0);
    while (!raised)
        value = step(HIGH, 9700, &raised);
    assert_true(next.before_usec <= began + DEADLINE + LOOK);
    assert_true(next.before_usec + LOOK >= began + DEADLINE); /* nor much before */
    assert_true(value == HIGH + (BOUND - HIGH) / 2);
    began = next.before_usec;
    do
        value = step(value, 9700, &raised);
    while (!raised);
    assert_true(next.before_usec <= began + DEADLINE + 2 * LOOK);
    assert_true(value == UINT64_MAX);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(step(BOUND, 0, &raised) == UINT64_MAX);
        assert_false(raised);
    }
    /* Well below again. */
    assert_true(step(95 * MIB, 0, &raised) == UINT64_MAX);
    assert_true(step(80 * MIB, 0, &raised) == HIGH);
    assert_int_equal(used_places(), 0);
}

static void test_not_throttled(void **unused _unused_)
{
    bool raised;

    for (unsigned i = 0; i < 20; i++) { /* full of page cache that goes when it has to */
        assert_true(step(HIGH, 500, &raised) == HIGH);
        assert_false(raised);
    }
    for (unsigned i = 0; i < 20;
         i++) { /* it stands still for something else: the kernel tells of no excess */
        next.full_usec += LOOK;
        assert_true(step(HIGH, 0, &raised) == HIGH);
        assert_false(raised);
    }
    for (unsigned i = 0; i < 40; i++) { /* not all the time */
        assert_true(step(i % 4 == 3 ? 50 * MIB : HIGH, i % 4 == 3 ? 0 : 9700, &raised) == HIGH);
        assert_false(raised);
    }
}

static void test_without_psi(void **unused _unused_)
{
    unsigned looks = 0;
    bool raised = false;

    while (!raised && looks++ < 20) {
        next.full_usec = UINT64_MAX;
        next.high_events++;
        (void)step(HIGH, 0, &raised);
    }
    assert_true(raised);
}

static void test_unlimited_bound(void **unused _unused_)
{
    bool raised = false;
    uint64_t value = 0;

    next.bound_bytes = HIGH; /* nothing is between */
    while (!raised)
        value = step(HIGH, 9700, &raised);
    assert_true(value == UINT64_MAX);
}

static void test_places(void **unused _unused_)
{
    bool raised;

    for (unsigned i = 0; i < 2 * THROTTLE_MAX; i++) {
        next.id = i + 1;
        assert_true(step(HIGH, 9700, &raised) == HIGH);
    }
    assert_int_equal(used_places(), THROTTLE_MAX);
    throttle_forget_before(&state, next.now_usec);
    assert_int_equal(used_places(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_raised_in_time, setup),
        cmocka_unit_test_setup(test_not_throttled, setup),
        cmocka_unit_test_setup(test_without_psi, setup),
        cmocka_unit_test_setup(test_unlimited_bound, setup),
        cmocka_unit_test_setup(test_places, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
