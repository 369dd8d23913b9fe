/* The event monitor over plain files: inotify is the same, and a removed cgroup is played by a directory that
 * is moved away. */
#include "monitors.h"

#include <signal.h>
#include <sys/inotify.h>
#include <sys/time.h>

#define WORK "workload.slice"

static int setup(void **state)
{
    struct monitors *m;

    if (monitors_setup(state) < 0)
        return -1;
    m = *state;
    monitors_target(m, WORK);
    fixture_write(m->f, WORK "/cgroup.procs", "1\n");
    monitors_events(m, WORK, 0, 0, 0, 0);
    monitors_start(m, 1U << MONITOR_EVENT);
    return 0;
}

static struct monitor *event_of(struct monitors *m)
{
    return &m->set.monitors[MONITOR_EVENT];
}

/* Restates Ray's TestSuccessfulCreationWithValidPath and TestCallbackCalledWhenHighEventChanges. */
static void test_high_rises(void **state)
{
    struct monitors *m = *state;
    uint64_t before = clock_now_usec();

    monitors_refresh(m);
    assert_int_equal(event_of(m)->state, MONITOR_RUNNING);
    assert_int_equal(m->said_count, 0); /* that it works is no news */
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
    assert_int_equal(m->last.kind, TRIGGER_EVENT);
    assert_string_equal(m->last.detail, "high");
    assert_true(m->last.at_usec >= before && m->last.at_usec <= clock_now_usec());
    assert_int_equal(event_of(m)->fires, 1);
}

/* Restates Ray's TestNoCallbackWhenValuesUnchanged and TestNoCallbackWhenIrrelevantEventChanges; and, which
 * is Ray's weakness, counters that are not 0 at start are where we begin. */
static void test_what_does_not_fire(void **state)
{
    struct monitors *m = *state;

    monitors_events(m, WORK, 5, 100, 7, 3);
    monitors_refresh(m);
    assert_int_equal(monitors_turn(m), 0);
    monitors_events(m, WORK, 5, 100, 7, 3);
    assert_int_equal(monitors_turn(m), 0);
    monitors_events(m, WORK, 9, 100, 7, 3);
    assert_int_equal(monitors_turn(m), 0);
    fixture_write(m->f, WORK "/memory.events", "low 0\nhigh 9\nmax 0\noom 0\n"); /* a child's own breach */
    assert_int_equal(monitors_turn(m), 0);
    monitors_events(m, WORK, 9, 101, 7, 3);
    assert_int_equal(monitors_turn(m), 1);
}

/* Restates Ray's TestMultipleCallbacksOnMultipleChanges, without an Enable() between: exactly 1, 2, 3. */
static void test_each_rise_fires(void **state)
{
    struct monitors *m = *state;

    monitors_refresh(m);
    for (unsigned i = 1; i <= 3; i++) {
        monitors_events(m, WORK, 0, i, 0, 0);
        assert_int_equal(monitors_turn(m), 1);
        assert_int_equal(m->fires, i);
    }
}

static void test_which_of_them(void **state)
{
    static const struct {
        unsigned high, max, oom;
        const char *detail;
    } rows[] = {
        {1, 0, 0, "high"}, {1, 1, 0, "max"}, {1, 1, 1, "oom"},
        {2, 2, 1, "max"},  {3, 3, 2, "oom"}, {4, 3, 2, "high"},
    };
    struct monitors *m = *state;

    monitors_refresh(m);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        monitors_events(m, WORK, 0, rows[i].high, rows[i].max, rows[i].oom);
        assert_int_equal(monitors_turn(m), 1);
        assert_string_equal(m->last.detail, rows[i].detail);
    }
}

/* Counters that fall are those of another cgroup: they are where it begins, and no rise. */
static void test_counters_that_fall(void **state)
{
    struct monitors *m = *state;

    monitors_events(m, WORK, 0, 9, 9, 9);
    monitors_refresh(m);
    monitors_events(m, WORK, 0, 3, 3, 3);
    assert_int_equal(monitors_turn(m), 0);
    monitors_events(m, WORK, 0, 4, 3, 3);
    assert_int_equal(monitors_turn(m), 1);
    assert_string_equal(m->last.detail, "high");
}

/* Several changes before we come to look are one. */
static void test_many_changes_one_look(void **state)
{
    struct monitors *m = *state;

    monitors_refresh(m);
    for (unsigned i = 1; i <= 50; i++)
        monitors_events(m, WORK, 0, i, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
}

/* Keys are compared whole, and a value over 64 bits is not wrapped: what cannot be read is a reason to look,
 * the baseline stays, and the watch with it. */
static void test_unreadable_counters(void **state)
{
    struct monitors *m = *state;

    monitors_refresh(m);
    fixture_write(m->f, WORK "/memory.events.local", "low 0\nhigher 7\nmax 0\noom 0\n");
    assert_int_equal(monitors_turn(m), 1);
    assert_string_equal(m->last.detail, "unreadable");
    fixture_write(m->f, WORK "/memory.events.local", "low 0\nhigh 18446744073709551616\nmax 0\noom 0\n");
    assert_int_equal(monitors_turn(m), 1);
    fixture_write(m->f, WORK "/memory.events.local", "");
    assert_int_equal(monitors_turn(m), 1);
    fixture_write(m->f, WORK "/memory.events.local", "low 0\nhigh 0\nmax 0\noom 0\n");
    assert_int_equal(monitors_turn(m), 0); /* as at start */
    fixture_write(m->f, WORK "/memory.events.local", "low 0\nhigh 18446744073709551615\nmax 0\noom 0\n");
    assert_int_equal(monitors_turn(m), 1);
    assert_string_equal(m->last.detail, "high");
    assert_int_equal(event_of(m)->state, MONITOR_RUNNING);
}

/* Restates Ray's TestNonexistentCgroupPathFailsGracefully: a target that is not there is waited for. */
static void test_target_comes_later(void **state)
{
    struct monitors *m = *state;
    int fd = m->targets[0].dir_fd;

    m->targets[0].dir_fd = -1;
    monitors_refresh(m);
    assert_int_equal(event_of(m)->state, MONITOR_RUNNING);
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 0);
    m->targets[0].dir_fd = fd;
    monitors_refresh(m);
    assert_int_equal(monitors_turn(m), 0); /* 1 is where it begins */
    monitors_events(m, WORK, 0, 2, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
}

/* Restates Ray's TestMissingMemoryEventsFileFailsGracefully: said, not silent, and tried again. Where the
 * whole cgroup is gone there is nothing to say. */
static void test_no_events_file(void **state)
{
    struct monitors *m = *state;

    assert_int_equal(unlinkat(m->f->fd, WORK "/memory.events.local", 0), 0);
    monitors_refresh(m);
    assert_int_equal(event_of(m)->state, MONITOR_DEGRADED);
    monitors_expect_said(m, MONITOR_EVENT, WORK);
    monitors_expect_said(m, MONITOR_EVENT, "No such file");
    monitors_refresh(m);
    assert_int_equal(m->said_count, 1); /* once */
    monitors_events(m, WORK, 0, 0, 0, 0);
    monitors_refresh(m);
    assert_int_equal(event_of(m)->state, MONITOR_RUNNING);
    monitors_expect_said(m, MONITOR_EVENT, "works");
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
}

static void test_cgroup_is_gone(void **state)
{
    struct monitors *m = *state;

    assert_int_equal(unlinkat(m->f->fd, WORK "/memory.events.local", 0), 0);
    assert_int_equal(unlinkat(m->f->fd, WORK "/cgroup.procs", 0), 0);
    monitors_refresh(m);
    assert_int_equal(event_of(m)->state, MONITOR_RUNNING);
    assert_int_equal(m->said_count, 0);
}

/* A kernel before 5.3, or garbage in the file at the time of the set-up. */
static void test_old_name_and_garbage_at_start(void **state)
{
    struct monitors *m = *state;

    assert_int_equal(unlinkat(m->f->fd, WORK "/memory.events.local", 0), 0);
    fixture_write(m->f, WORK "/memory.events", "low 0\nhigh x\nmax 0\noom 0\n");
    monitors_refresh(m);
    assert_int_equal(event_of(m)->state, MONITOR_DEGRADED);
    fixture_write(m->f, WORK "/memory.events", "low 0\nhigh 4\nmax 0\noom 0\n");
    monitors_refresh(m);
    assert_int_equal(event_of(m)->state, MONITOR_RUNNING);
    assert_int_equal(monitors_turn(m), 0);
    fixture_write(m->f, WORK "/memory.events", "low 0\nhigh 5\nmax 0\noom 0\n");
    assert_true(monitors_turn(m) >= 1);
}

/* A new cgroup of the same name: another id, its own baseline, and the old one's file is not listened to any
 * more. */
static void test_same_name_other_cgroup(void **state)
{
    struct monitors *m = *state;

    monitors_events(m, WORK, 0, 50, 0, 0);
    monitors_refresh(m);
    assert_int_equal(renameat(m->f->fd, WORK, m->f->fd, "old"), 0);
    close_fdp(&m->targets[0].dir_fd);
    fixture_mkdir(m->f, WORK);
    monitors_events(m, WORK, 0, 3, 0, 0);
    m->targets[0].dir_fd = openat(m->f->fd, WORK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    m->targets[0].id = 2;
    monitors_refresh(m);
    assert_int_equal(monitors_turn(m), 0);
    monitors_events(m, "old", 0, 51, 0, 0);
    assert_int_equal(monitors_turn(m), 0);
    monitors_events(m, WORK, 0, 4, 0, 0); /* less than the old one ever had */
    assert_int_equal(monitors_turn(m), 1);
}

/* The look that an event brings may find that the target has gone: refreshed from inside of the event. */
static void refresh_without_target(struct monitors *m)
{
    monitor_set_refresh(&m->set, m->targets, 0, -1, clock_now_usec());
}

static void test_target_goes_in_the_look(void **state)
{
    struct monitors *m = *state;

    monitors_refresh(m);
    m->on_fire = refresh_without_target;
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
    monitors_events(m, WORK, 0, 2, 0, 0);
    assert_int_equal(monitors_turn(m), 0);
}

static void test_two_targets(void **state)
{
    struct monitors *m = *state;

    monitors_target(m, "second.slice");
    monitors_events(m, "second.slice", 0, 0, 0, 0);
    monitors_refresh(m);
    monitors_events(m, "second.slice", 0, 0, 1, 0);
    assert_int_equal(monitors_turn(m), 1);
    assert_string_equal(m->last.detail, "max");
    monitors_events(m, WORK, 0, 1, 0, 0);
    monitors_events(m, "second.slice", 0, 0, 2, 0);
    assert_int_equal(monitors_turn(m), 1); /* one look sees both */
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

/* Signals, of which Ray's pressure monitor dies: a turn that is interrupted is a turn. */
static void test_signals_do_not_stop_it(void **state)
{
    const struct itimerval often = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = on_alarm}; /* without SA_RESTART */
    struct monitors *m = *state;

    monitors_refresh(m);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (unsigned i = 1; i <= 10; i++) {
        unsigned before = m->fires;

        assert_int_equal(loop_turn(&m->loop, 5 * USEC_PER_MSEC), 0); /* interrupted, or over */
        monitors_events(m, WORK, 0, i, 0, 0);
        for (unsigned turn = 0; turn < 100 && m->fires == before; turn++)
            assert_int_equal(loop_turn(&m->loop, USEC_PER_MSEC), 0);
        assert_int_equal(m->fires, before + 1);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_int_equal(event_of(m)->state, MONITOR_RUNNING);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, monitors_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_high_rises),
        TEST(test_what_does_not_fire),
        TEST(test_each_rise_fires),
        TEST(test_which_of_them),
        TEST(test_counters_that_fall),
        TEST(test_many_changes_one_look),
        TEST(test_unreadable_counters),
        TEST(test_target_comes_later),
        TEST(test_no_events_file),
        TEST(test_cgroup_is_gone),
        TEST(test_old_name_and_garbage_at_start),
        TEST(test_same_name_other_cgroup),
        TEST(test_target_goes_in_the_look),
        TEST(test_two_targets),
        TEST(test_signals_do_not_stop_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
