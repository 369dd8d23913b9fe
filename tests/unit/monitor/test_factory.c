/* Which monitors there are, and the timer among them. */
#include "monitors.h"

enum {
    E = 1 << MONITOR_EVENT,
    P = 1 << MONITOR_PRESSURE,
    T = 1 << MONITOR_THRESHOLD,
};

/* Restates Ray's TestCreateWithResourceIsolationDisabledReturnsOnlyThresholdMonitor and
 * TestCreateWithResourceIsolationEnabledReturnsThresholdMonitors (event and threshold there; pressure is
 * merged in Ray and never wired), and its Noop where the poll is off. */
static void test_kinds(void **state _unused_)
{
    static const struct {
        bool isolate, dry_run, event, pressure, threshold;
        unsigned kinds;
    } rows[] = {
        {true, false, true, true, true, E | P | T},
        {false, false, true, true, true, P | T},
        /* nothing sets memory.high, so that no event can come */
        {true, true, true, true, true, P | T},
        {false, true, true, true, true, P | T},
        /* each can be switched off */
        {true, false, false, true, true, P | T},
        {true, false, true, false, true, E | T},
        {true, false, true, true, false, E | P},
        {false, false, true, false, true, T},
        {false, false, true, true, false, P},
        {true, false, false, false, false, 0},
        {false, false, true, false, false, 0},
    };
    static struct config c;

    config_init_defaults(&c);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        c.monitor.event = rows[i].event;
        c.monitor.pressure = rows[i].pressure;
        c.monitor.threshold = rows[i].threshold;
        assert_int_equal(monitor_factory_kinds(&c, rows[i].isolate, rows[i].dry_run), rows[i].kinds);
    }
}

static void test_names(void **state _unused_)
{
    assert_string_equal(monitor_kind_name(MONITOR_EVENT), "event");
    assert_string_equal(monitor_kind_name(MONITOR_PRESSURE), "pressure");
    assert_string_equal(monitor_kind_name(MONITOR_THRESHOLD), "threshold");
    assert_string_equal(monitor_kind_name(MONITOR_KIND_COUNT), "?");
    assert_string_equal(monitor_state_name(MONITOR_OFF), "off");
    assert_string_equal(monitor_state_name(MONITOR_RUNNING), "running");
    assert_string_equal(monitor_state_name(MONITOR_DEGRADED), "degraded");
    assert_string_equal(monitor_state_name(MONITOR_FAILED), "failed");
    assert_string_equal(monitor_state_name((enum monitor_state)99), "?");
}

/* What was not chosen is off, takes nothing, and stays so through refreshes and the end. */
static void test_what_is_off(void **state)
{
    struct monitors *m = *state;

    monitors_target(m, "workload.slice");
    monitors_events(m, "workload.slice", 0, 0, 0, 0);
    monitors_start(m, 0);
    monitors_refresh(m);
    monitors_events(m, "workload.slice", 0, 1, 0, 0);
    threshold_monitor_set_due(&m->set.monitors[MONITOR_THRESHOLD], 1);
    event_monitor_hold(&m->set.monitors[MONITOR_EVENT], 1);
    assert_int_equal(monitors_turn(m), 0);
    for (unsigned k = 0; k < MONITOR_KIND_COUNT; k++) {
        assert_int_equal(m->set.monitors[k].state, MONITOR_OFF);
        assert_int_equal(m->set.monitors[k].kind, k);
    }
    assert_int_equal(m->said_count, 0);
}

static void test_timer(void **state)
{
    struct monitors *m = *state;
    struct monitor *t = &m->set.monitors[MONITOR_THRESHOLD];
    uint64_t start;

    monitors_start(m, T);
    assert_int_equal(t->state, MONITOR_RUNNING);
    assert_int_equal(monitors_turn(m), 0); /* nobody has said when */

    start = clock_now_usec();
    threshold_monitor_set_due(t, start + 30 * USEC_PER_MSEC);
    while (m->fires == 0)
        assert_int_equal(loop_turn(&m->loop, USEC_PER_SEC), 0);
    assert_true(clock_now_usec() + 5 * USEC_PER_MSEC >=
                start + 30 * USEC_PER_MSEC); /* within the loop's slack */
    assert_int_equal(m->last.kind, TRIGGER_THRESHOLD);
    assert_string_equal(m->last.detail, "timer");
    assert_int_equal(monitors_turn(m), 0); /* one shot */
    assert_int_equal(t->fires, 1);

    threshold_monitor_set_due(t, clock_now_usec() - 1); /* long due */
    assert_int_equal(monitors_turn(m), 1);
    threshold_monitor_set_due(t, clock_now_usec() + 10 * USEC_PER_MSEC);
    threshold_monitor_set_due(t, 0);
    assert_int_equal(monitors_turn(m), 0);
}

static void again(struct monitors *m)
{
    threshold_monitor_set_due(&m->set.monitors[MONITOR_THRESHOLD], clock_now_usec() + USEC_PER_MSEC);
}

/* Set again by the look that it caused, as the daemon does. */
static void test_timer_goes_on(void **state)
{
    struct monitors *m = *state;

    m->on_fire = again;
    monitors_start(m, T);
    again(m);
    for (unsigned i = 0; i < 1000 && m->fires < 5; i++)
        assert_int_equal(loop_turn(&m->loop, 10 * USEC_PER_MSEC), 0);
    assert_int_equal(m->fires, 5);
}

static void nothing(void *user)
{
    (void)user;
}

/* No timer left in the loop: failed, said once, counted each time; and it works when there is one again. */
static void test_no_timer_left(void **state)
{
    struct monitors *m = *state;
    struct monitor *t = &m->set.monitors[MONITOR_THRESHOLD];
    struct loop_timer *taken = NULL, *one;
    uint64_t now = clock_now_usec();

    while ((one = loop_add_timer(&m->loop, nothing, NULL)) != NULL)
        taken = one;
    monitors_start(m, T);
    assert_int_equal(t->state, MONITOR_FAILED);
    monitors_expect_said(m, MONITOR_THRESHOLD, "the threshold monitor cannot be set up");
    threshold_monitor_set_due(t, 1);
    assert_int_equal(monitors_turn(m), 0);
    monitor_set_refresh(&m->set, NULL, 0, -1, now + MONITOR_RETRY_USEC / 2);
    assert_int_equal(t->failures, 1); /* not yet again */
    monitor_set_refresh(&m->set, NULL, 0, -1, now + 2 * MONITOR_RETRY_USEC);
    assert_int_equal(t->failures, 2);
    assert_int_equal(m->said_count, 1);
    taken->used = false;
    monitor_set_refresh(&m->set, NULL, 0, -1, now + 4 * MONITOR_RETRY_USEC);
    assert_int_equal(t->state, MONITOR_RUNNING);
    monitors_expect_said(m, MONITOR_THRESHOLD, "works");
    threshold_monitor_set_due(t, 1);
    assert_int_equal(monitors_turn(m), 1);
}

/* All three side by side; one that fails takes no other with it. */
static void test_one_fails_the_others_work(void **state)
{
    struct monitors *m = *state;

    monitors_target(m, "workload.slice");
    monitors_events(m, "workload.slice", 0, 0, 0, 0);
    monitors_start(m, E | P | T);
    monitors_refresh(m); /* there is no memory.pressure */
    assert_int_equal(m->set.monitors[MONITOR_PRESSURE].state, MONITOR_DEGRADED);
    assert_int_equal(m->set.monitors[MONITOR_EVENT].state, MONITOR_RUNNING);
    assert_int_equal(m->set.monitors[MONITOR_THRESHOLD].state, MONITOR_RUNNING);
    monitors_events(m, "workload.slice", 0, 1, 0, 0);
    threshold_monitor_set_due(&m->set.monitors[MONITOR_THRESHOLD], 1);
    assert_int_equal(monitors_turn(m), 2);
}

/* A message longer than its place is cut, not written beyond it. */
static void test_long_messages(void **state)
{
    struct monitors *m = *state;
    struct monitor *t = &m->set.monitors[MONITOR_THRESHOLD];
    char path[2 * MONITOR_MESSAGE_MAX];

    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    monitors_start(m, T);
    monitor_set_state(t, MONITOR_DEGRADED, "%s", path);
    assert_int_equal(strlen(t->message), MONITOR_MESSAGE_MAX - 1);
    monitor_set_state(t, MONITOR_DEGRADED, "%s", path);
    assert_int_equal(m->said_count, 1);
    monitor_set_state(t, MONITOR_DEGRADED, "%s", "otherwise");
    assert_int_equal(m->said_count, 2);
    assert_int_equal(t->failures, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, monitors_setup, monitors_teardown)

/* Another configuration, often: what it asks for runs, what it does not is silent, and nothing is used up. */
static void test_other_configuration(void **state)
{
    struct monitors *m = *state;
    struct monitor *t = &m->set.monitors[MONITOR_THRESHOLD], *e = &m->set.monitors[MONITOR_EVENT];

    monitors_target(m, "workload.slice");
    monitors_events(m, "workload.slice", 0, 0, 0, 0);
    monitors_start(m, E | T);
    for (unsigned i = 0; i < 3 * LOOP_TIMERS_MAX; i++) {
        monitor_set_configure(&m->set, &m->config, 0);
        threshold_monitor_set_due(t, clock_now_usec());
        monitors_refresh(m);
        monitors_events(m, "workload.slice", 0, 3 * i + 1, 0, 0);
        assert_int_equal(monitors_turn(m), 0);
        assert_int_equal(e->state, MONITOR_OFF);
        assert_int_equal(t->state, MONITOR_OFF);

        monitor_set_configure(&m->set, &m->config, E | T);
        monitors_refresh(m);
        assert_int_equal(monitors_turn(m), 0); /* what came while it was off was before its time */
        monitors_events(m, "workload.slice", 0, 3 * i + 2, 0, 0);
        assert_int_equal(monitors_turn(m), 1);
        assert_int_equal(m->last.kind, TRIGGER_EVENT);
        threshold_monitor_set_due(t, clock_now_usec());
        assert_int_equal(monitors_turn(m), 1);
        assert_int_equal(m->last.kind, TRIGGER_THRESHOLD);

        monitor_set_configure(&m->set, &m->config, E | T); /* the same once more is no interruption */
        monitors_events(m, "workload.slice", 0, 3 * i + 3, 0, 0);
        assert_int_equal(monitors_turn(m), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_names),
        TEST(test_what_is_off),
        TEST(test_timer),
        TEST(test_timer_goes_on),
        TEST(test_no_timer_left),
        TEST(test_one_fails_the_others_work),
        TEST(test_long_messages),
        TEST(test_other_configuration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
