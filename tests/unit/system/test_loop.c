#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/macros.h"
#include "base/units.h"
#include "system/clock.h"
#include "system/loop.h"

static struct loop loop;
static char order[64];

static int setup(void **state)
{
    (void)state;
    memset(order, 0, sizeof(order));
    return loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    loop_deinit(&loop);
    return 0;
}

static void note(void *user)
{
    (void)strcat(order, user);
}

static void note_and_stop(void *user)
{
    note(user);
    loop_stop(&loop);
}

static void test_timers_in_order(void **state _unused_)
{
    uint64_t now = clock_now_usec();

    /* By when they are due, whichever was added first. */
    loop_timer_arm(loop_add_timer(&loop, note_and_stop, (char *)"c"), now + 60 * USEC_PER_MSEC);
    loop_timer_arm(loop_add_timer(&loop, note, (char *)"a"), now + 20 * USEC_PER_MSEC);
    loop_timer_arm(loop_add_timer(&loop, note, (char *)"b"), now + 40 * USEC_PER_MSEC);
    assert_int_equal(loop_run(&loop), 0);
    assert_string_equal(order, "abc");
    assert_true(clock_now_usec() >= now + 55 * USEC_PER_MSEC);
    assert_int_equal(loop.wakeups, 3);
}

/* Two deadlines a moment apart are one wake-up. */
static void test_slack(void **state _unused_)
{
    uint64_t now = clock_now_usec();

    loop_timer_arm(loop_add_timer(&loop, note, (char *)"a"), now + 20 * USEC_PER_MSEC);
    loop_timer_arm(loop_add_timer(&loop, note, (char *)"b"), now + 22 * USEC_PER_MSEC);
    loop_timer_arm(loop_add_timer(&loop, note, (char *)"late"), now + USEC_PER_SEC);
    assert_int_equal(loop_turn(&loop, UINT64_MAX), 0);
    assert_string_equal(order, "ab");
    assert_int_equal(loop.wakeups, 1);
}

static void test_past_and_disarmed(void **state _unused_)
{
    struct loop_timer *past = loop_add_timer(&loop, note, (char *)"p"),
                      *off = loop_add_timer(&loop, note, (char *)"o");

    loop_timer_arm(past, 1);
    loop_timer_arm(off, 1);
    loop_timer_arm(off, 0);
    assert_int_equal(loop_turn(&loop, UINT64_MAX), 0);
    assert_int_equal(loop_turn(&loop, 0), 0); /* of one shot */
    assert_string_equal(order, "p");
}

static void again(void *user)
{
    struct loop_timer **t = user;

    (void)strcat(order, "x");
    if (strlen(order) < 5)
        loop_timer_arm(*t, clock_now_usec() + USEC_PER_MSEC);
    else
        loop_stop(&loop);
}

static void test_arms_itself_again(void **state _unused_)
{
    struct loop_timer *t = NULL;

    t = loop_add_timer(&loop, again, &t);
    loop_timer_arm(t, 1);
    assert_int_equal(loop_run(&loop), 0);
    assert_string_equal(order, "xxxxx");
}

static void test_no_more_timers(void **state _unused_)
{
    for (unsigned i = 0; i < LOOP_TIMERS_MAX; i++)
        assert_non_null(loop_add_timer(&loop, note, NULL));
    assert_null(loop_add_timer(&loop, note, NULL));
}

/* A turn with nothing to do ends when it was told to, and never before. */
static void test_bounded_wait(void **state _unused_)
{
    uint64_t begin = clock_now_usec();

    assert_int_equal(loop_turn(&loop, 30 * USEC_PER_MSEC), 0);
    assert_in_range(clock_now_usec() - begin, 30 * USEC_PER_MSEC, 5 * USEC_PER_SEC);
    begin = clock_now_usec();
    assert_int_equal(loop_turn(&loop, 0), 0);
    assert_in_range(clock_now_usec() - begin, 0, 5 * USEC_PER_SEC);
}

struct seen {
    int calls;
    int fd;
    uint32_t events;
    int removes; /* -1: nobody */
    int adds;
};

static void on_io(void *user, int fd, uint32_t events)
{
    struct seen *s = user;

    s->calls++;
    s->fd = fd;
    s->events = events;
    if (s->removes >= 0)
        loop_remove(&loop, s->removes);
    s->removes = -1;
    if (s->adds >= 0)
        assert_int_equal(loop_add(&loop, s->adds, EPOLLIN, on_io, s), 0);
    s->adds = -1;
}

#define SEEN                                                                                                 \
    {                                                                                                        \
        .removes = -1, .adds = -1                                                                            \
    }

static void test_events(void **state _unused_)
{
    struct seen s = SEEN;
    int p[2];

    assert_int_equal(pipe(p), 0);
    assert_int_equal(loop_add(&loop, p[0], EPOLLIN, on_io, &s), 0);
    assert_int_equal(loop_turn(&loop, 0), 0);
    assert_int_equal(s.calls, 0);
    assert_int_equal(write(p[1], "x", 1), 1);
    assert_int_equal(loop_turn(&loop, UINT64_MAX), 0);
    assert_true(s.calls == 1 && s.fd == p[0] && s.events == EPOLLIN);
    assert_int_equal(loop_change(&loop, p[0], 0), 0); /* not listened to */
    assert_int_equal(loop_turn(&loop, 0), 0);
    assert_int_equal(s.calls, 1);
    assert_int_equal(loop_change(&loop, p[0], EPOLLIN), 0);
    assert_int_equal(loop_turn(&loop, 0), 0);
    assert_int_equal(s.calls, 2);
    loop_remove(&loop, p[0]);
    assert_int_equal(loop_turn(&loop, 0), 0);
    assert_int_equal(s.calls, 2);
    assert_int_equal(loop_change(&loop, p[0], EPOLLIN), -ENOENT);
    loop_remove(&loop, p[0]);
    loop_remove(&loop, -1);
    assert_int_equal(loop_change(&loop, -1, EPOLLIN), -ENOENT);
    assert_int_equal(loop_add(&loop, -1, EPOLLIN, on_io, &s), -EBADF);
    (void)close(p[0]);
    (void)close(p[1]);
}

/* Both are ready; whoever is called first takes the other one out. */
static void test_removed_while_its_event_is_in_hand(void **state _unused_)
{
    struct seen a = SEEN, b = SEEN;
    int p[2], q[2];

    assert_int_equal(pipe(p), 0);
    assert_int_equal(pipe(q), 0);
    assert_int_equal(write(p[1], "x", 1) + write(q[1], "x", 1), 2);
    assert_int_equal(loop_add(&loop, p[0], EPOLLIN, on_io, &a), 0);
    assert_int_equal(loop_add(&loop, q[0], EPOLLIN, on_io, &b), 0);
    a.removes = q[0];
    b.removes = p[0];
    assert_int_equal(loop_turn(&loop, 0), 0);
    assert_int_equal(a.calls + b.calls, 1);
    for (int i = 0; i < 2; i++)
        (void)close(p[i]), (void)close(q[i]);
}

/* The slot is given to a successor within the turn: the old event is not the new one's. */
static void test_generation(void **state _unused_)
{
    struct seen a = SEEN, b = SEEN;
    int p[2], q[2], silent[2];

    assert_int_equal(pipe(p), 0);
    assert_int_equal(pipe(q), 0);
    assert_int_equal(pipe(silent), 0);
    assert_int_equal(write(p[1], "x", 1) + write(q[1], "x", 1), 2);
    assert_int_equal(loop_add(&loop, p[0], EPOLLIN, on_io, &a), 0);
    assert_int_equal(loop_add(&loop, q[0], EPOLLIN, on_io, &b), 0);
    a.removes = q[0];
    b.removes = p[0];
    a.adds = b.adds = silent[0];
    assert_int_equal(loop_turn(&loop, 0), 0);
    assert_int_equal(a.calls + b.calls, 1);
    assert_int_equal((a.calls ? a : b).fd, a.calls ? p[0] : q[0]);
    for (int i = 0; i < 2; i++)
        (void)close(p[i]), (void)close(q[i]), (void)close(silent[i]);
}

static void test_full_table(void **state _unused_)
{
    int fds[LOOP_SOURCES_MAX + 1][2];
    struct seen s = SEEN;

    for (unsigned i = 0; i <= LOOP_SOURCES_MAX; i++)
        assert_int_equal(pipe(fds[i]), 0);
    for (unsigned i = 0; i < LOOP_SOURCES_MAX; i++)
        assert_int_equal(loop_add(&loop, fds[i][0], EPOLLIN, on_io, &s), 0);
    assert_int_equal(loop_add(&loop, fds[LOOP_SOURCES_MAX][0], EPOLLIN, on_io, &s), -ENOSPC);
    loop_remove(&loop, fds[7][0]);
    assert_int_equal(loop_add(&loop, fds[LOOP_SOURCES_MAX][0], EPOLLIN, on_io, &s), 0);
    assert_int_equal(loop_add(&loop, fds[7][0], EPOLLIN, on_io, &s), -ENOSPC);
    /* All at once are more than one turn takes: none is lost, and the timer is not either. */
    loop_timer_arm(loop_add_timer(&loop, note, (char *)"t"), 1);
    for (unsigned i = 0; i <= LOOP_SOURCES_MAX; i++)
        assert_int_equal(write(fds[i][1], "x", 1), 1);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(loop_turn(&loop, 0), 0);
    assert_true(s.calls >= LOOP_SOURCES_MAX);
    assert_string_equal(order, "t");
    for (unsigned i = 0; i <= LOOP_SOURCES_MAX; i++)
        (void)close(fds[i][0]), (void)close(fds[i][1]);
}

static void stop_on_io(void *user, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    ++*(int *)user;
    loop_stop(&loop);
}

/* After loop_stop nothing further is called, not even what is in hand. */
static void test_stop(void **state _unused_)
{
    int p[2], q[2], calls = 0;

    assert_int_equal(pipe(p), 0);
    assert_int_equal(pipe(q), 0);
    assert_int_equal(write(p[1], "x", 1) + write(q[1], "x", 1), 2);
    assert_int_equal(loop_add(&loop, p[0], EPOLLIN, stop_on_io, &calls), 0);
    assert_int_equal(loop_add(&loop, q[0], EPOLLIN, stop_on_io, &calls), 0);
    loop_timer_arm(loop_add_timer(&loop, note, (char *)"t"), 1);
    assert_int_equal(loop_run(&loop), 0);
    assert_int_equal(calls, 1);
    assert_string_equal(order, "");
    for (int i = 0; i < 2; i++)
        (void)close(p[i]), (void)close(q[i]);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_timers_in_order),
        TEST(test_slack),
        TEST(test_past_and_disarmed),
        TEST(test_arms_itself_again),
        TEST(test_no_more_timers),
        TEST(test_bounded_wait),
        TEST(test_events),
        TEST(test_removed_while_its_event_is_in_hand),
        TEST(test_generation),
        TEST(test_full_table),
        TEST(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
