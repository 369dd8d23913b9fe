/* Events that are not listened to for a while, that were too many for the queue, and a monitor that dies. */
#include "monitors.h"

#include <sys/inotify.h>
#include <sys/resource.h>

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
    monitors_refresh(m);
    return 0;
}

static struct monitor *event_of(struct monitors *m)
{
    return &m->set.monitors[MONITOR_EVENT];
}

/* An event that comes while we act (in Ray remembered, but never acted on) is seen when listening begins
 * again. */
static void test_event_while_held(void **state)
{
    struct monitors *m = *state;

    event_monitor_hold(event_of(m), clock_now_usec() + USEC_PER_SEC);
    monitors_events(m, WORK, 0, 1, 0, 0);
    monitors_events(m, WORK, 0, 2, 0, 0);
    assert_int_equal(monitors_turn(m), 0);
    event_monitor_hold(event_of(m), 0);
    assert_int_equal(monitors_turn(m), 1);
    assert_string_equal(m->last.detail, "high");
    assert_int_equal(monitors_turn(m), 0);
}

/* Held, and nothing came: nothing is made up. */
static void test_quiet_while_held(void **state)
{
    struct monitors *m = *state;

    event_monitor_hold(event_of(m), clock_now_usec() + USEC_PER_SEC);
    assert_int_equal(monitors_turn(m), 0);
    event_monitor_hold(event_of(m), 0);
    assert_int_equal(monitors_turn(m), 0);
}

/* At the end of a hold, without a turn of the loop. */
static void test_poll(void **state)
{
    struct monitors *m = *state;

    event_monitor_poll(event_of(m)); /* nothing has come */
    assert_int_equal(event_of(m)->fires, 0);
    event_monitor_hold(event_of(m), clock_now_usec() + USEC_PER_SEC);
    monitors_events(m, WORK, 0, 1, 0, 0);
    event_monitor_poll(event_of(m)); /* not while it is held */
    assert_int_equal(event_of(m)->fires, 0);
    event_monitor_hold(event_of(m), 0);
    event_monitor_poll(event_of(m));
    assert_int_equal(event_of(m)->fires, 1);
    event_monitor_poll(event_of(m)); /* once */
    assert_int_equal(event_of(m)->fires, 1);
}

static void hold(struct monitors *m)
{
    event_monitor_hold(event_of(m), clock_now_usec() + USEC_PER_SEC);
}

/* As the daemon does it: from inside of the event that asked for nothing. The loop is not woken meanwhile. */
static void test_held_from_inside(void **state)
{
    struct monitors *m = *state;
    uint64_t wakeups;

    m->on_fire = hold;
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
    assert_true(event_of(m)->event.held);
    for (unsigned i = 2; i < 100; i++)
        monitors_events(m, WORK, 0, i, 0, 0);
    wakeups = m->loop.wakeups;
    assert_int_equal(loop_turn(&m->loop, 0), 0);
    assert_int_equal(event_of(m)->fires, 1);
    assert_true(m->loop.wakeups <= wakeups + 1);
    event_monitor_hold(event_of(m), 0);
    assert_int_equal(monitors_turn(m), 1);
}

/* Whoever held may not come back for it: a refresh after its end listens again. */
static void test_hold_that_is_over(void **state)
{
    struct monitors *m = *state;

    event_monitor_hold(event_of(m), clock_now_usec() + USEC_PER_SEC);
    monitors_events(m, WORK, 0, 1, 0, 0);
    monitors_refresh(m);
    assert_int_equal(monitors_turn(m), 0);
    event_monitor_hold(event_of(m), clock_now_usec());
    monitors_refresh(m);
    assert_false(event_of(m)->event.held);
    assert_int_equal(monitors_turn(m), 1);
}

/* A target that came while events are held is watched, and heard afterwards. */
static void test_target_comes_while_held(void **state)
{
    struct monitors *m = *state;

    event_monitor_hold(event_of(m), clock_now_usec() + USEC_PER_SEC);
    monitors_target(m, "second.slice");
    monitors_events(m, "second.slice", 0, 9, 0, 0);
    monitors_refresh(m);
    monitors_events(m, "second.slice", 0, 10, 0, 0);
    assert_int_equal(monitors_turn(m), 0);
    event_monitor_hold(event_of(m), 0);
    assert_int_equal(monitors_turn(m), 1);
}

/* More events than the queue holds: what was dropped cannot be told, so there is a look even though no
 * counter rose. */
static void test_queue_overflow(void **state)
{
    struct monitors *m = *state;
    char text[32] = "";
    int fds[2], proc = open("/proc/sys/fs/inotify", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned long limit;

    assert_true(proc >= 0);
    (void)fixture_read(proc, "max_queued_events", text, sizeof(text));
    (void)close(proc);
    limit = strtoul(text, NULL, 10);
    monitors_target(m, "second.slice");
    monitors_events(m, "second.slice", 0, 0, 0, 0);
    monitors_refresh(m);
    fds[0] = openat(m->f->fd, WORK "/memory.events.local", O_WRONLY | O_CLOEXEC);
    fds[1] = openat(m->f->fd, "second.slice/memory.events.local", O_WRONLY | O_CLOEXEC);
    for (unsigned long i = 0; i < limit + 10; i++) /* in turn: two of the same in a row would be one */
        assert_int_equal(pwrite(fds[i % 2], "l", 1, 0), 1);
    close_fdp(&fds[0]);
    close_fdp(&fds[1]);
    assert_int_equal(monitors_turn(m), 1);
    assert_string_equal(m->last.detail, "overflow");
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
    assert_string_equal(m->last.detail, "high");
}

/* The descriptor fails: said, counted, tried again after a while and no sooner, and then it works on. */
static void test_it_dies_and_comes_back(void **state)
{
    struct monitors *m = *state;
    struct monitor *e = event_of(m);
    uint64_t now = clock_now_usec();

    for (unsigned i = 0; i < LOOP_SOURCES_MAX; i++) {
        struct loop_source *s = &m->loop.sources[i];

        if (s->fd == e->event.inotify_fd && s->fd >= 0) {
            s->fn(s->user, s->fd, EPOLLERR);
            break;
        }
    }
    assert_int_equal(e->state, MONITOR_FAILED);
    assert_int_equal(e->failures, 1);
    assert_int_equal(e->event.inotify_fd, -1);
    monitors_expect_said(m, MONITOR_EVENT, "lost its inotify descriptor");
    event_monitor_hold(e, now + 1); /* of one that is not there: nothing */
    assert_false(e->event.held);

    monitor_set_refresh(&m->set, m->targets, m->target_count, -1, now + MONITOR_RETRY_USEC / 2);
    assert_int_equal(e->state, MONITOR_FAILED);
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 0);

    monitor_set_refresh(&m->set, m->targets, m->target_count, -1, now + 2 * MONITOR_RETRY_USEC);
    assert_int_equal(e->state, MONITOR_RUNNING);
    monitors_expect_said(m, MONITOR_EVENT, "works");
    monitors_events(m, WORK, 0, 2, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
}

/* No descriptor to be had at start: each attempt is counted, and said once. */
static void test_no_descriptor_at_start(void **state)
{
    struct monitors *m = *state;
    struct monitor *e = event_of(m);
    struct rlimit before, none;
    uint64_t now = clock_now_usec();

    monitor_set_deinit(&m->set);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    monitors_start(m, 1U << MONITOR_EVENT);
    for (unsigned i = 1; i <= 3; i++)
        monitor_set_refresh(&m->set, m->targets, m->target_count, -1, now + i * 2 * MONITOR_RETRY_USEC);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(e->state, MONITOR_FAILED);
    assert_int_equal(e->failures, 4);
    assert_int_equal(m->said_count, 1);
    monitors_expect_said(m, MONITOR_EVENT, "Too many open files");

    monitor_set_refresh(&m->set, m->targets, m->target_count, -1, now + 9 * MONITOR_RETRY_USEC);
    assert_int_equal(e->state, MONITOR_RUNNING);
    monitors_events(m, WORK, 0, 1, 0, 0);
    assert_int_equal(monitors_turn(m), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, monitors_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_event_while_held),       TEST(test_quiet_while_held),
        TEST(test_held_from_inside),       TEST(test_poll),
        TEST(test_hold_that_is_over),      TEST(test_target_comes_while_held),
        TEST(test_queue_overflow),         TEST(test_it_dies_and_comes_back),
        TEST(test_no_descriptor_at_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
