#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "record/line.h"

static struct config config;
static char line[8192];

static const char *format(const struct decision *d, size_t size)
{
    struct buffer b;

    memset(line, 0x55, sizeof(line));
    buffer_init(&b, line, size);
    record_format_line(&b, &config, d);
    assert_int_equal(b.length, strlen(line));
    assert_int_equal(line[size], 0x55); /* nothing behind the end */
    return line;
}

static struct decision decision_of_a_kill(void)
{
    struct decision d = {
        .id = 7,
        .reason = DECISION_KILL,
        .trigger = {.kind = TRIGGER_EVENT, .detail = "high"},
        .room = {.limit = 1000,
                 .used = 990,
                 .room = -5,
                 .need = 25,
                 .growth = 11,
                 .time_left_usec = 0,
                 .level = LEVEL_CRITICAL},
        .groups = 3,
        .candidates = 2,
        .method = METHOD_EXACT,
        .victim_count = 1,
        .ended = true,
        .gone = 1,
        .used_after = 500,
        .need_after = 3,
        .freed_bytes = 490,
        .select_usec = 100,
        .signal_usec = 200,
        .outcome_usec = 300,
    };

    (void)strcpy(d.victims[0].path, "workload.slice/task-2");
    d.victims[0].age_usec = 1234567;
    d.victims[0].progress_usec = 99;
    d.victims[0].expected_bytes = 490;
    return d;
}

static void test_kill(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    assert_string_equal(
        format(&d, 4096),
        "decision=7 action=kill trigger=event detail=high level=critical limit=1000 used=990 room=-5 "
        "need=25 growth=11 time_left_us=0 groups=3 candidates=2 method=exact "
        "victim=workload.slice/task-2 class=other age_us=1234567 progress_us=99 expected_bytes=490 gone=1 "
        "stuck=0 failed=0 used_after=500 need_after=3 freed=490 select_us=100 signal_us=200 outcome_us=300");
}

/* Short on some NUMA nodes alone. */
static void test_nodes(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    d.room.nodes = 0xd;
    assert_non_null(strstr(format(&d, 4096), " level=critical nodes=0,2-3 limit=1000 used=990 "));
}

static void test_notify(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    d.reason = DECISION_NOTIFY;
    d.method = METHOD_ORDER;
    d.asked = 5;
    d.victims[0].programs = 4;
    d.victims[0].held_bytes = 800;
    d.victims[0].gave_bytes = 390;
    d.freed_bytes = 390;
    assert_string_equal(
        format(&d, 4096),
        "decision=7 action=notify trigger=event detail=high level=critical limit=1000 used=990 room=-5 "
        "need=25 growth=11 time_left_us=0 groups=3 candidates=2 method=order asked=5 "
        "group=workload.slice/task-2 class=other programs=4 held=800 expected_bytes=490 gave=390 stuck=0 "
        "failed=0 used_after=500 need_after=3 freed=390 waited_us=0 select_us=100 signal_us=200 "
        "outcome_us=300");
}

static void test_dry_run(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    d.dry_run = true;
    d.room.time_left_usec = UINT64_MAX;
    assert_string_equal(
        format(&d, 4096),
        "decision=7 action=kill dry_run=yes trigger=event detail=high level=critical limit=1000 "
        "used=990 room=-5 need=25 growth=11 time_left_us=max groups=3 candidates=2 method=exact "
        "victim=workload.slice/task-2 class=other age_us=1234567 progress_us=99 expected_bytes=490");
}

static void test_nobody(void **state _unused_)
{
    struct decision d = {.id = 1, .reason = DECISION_NO_CANDIDATE, .ended = true};

    assert_string_equal(
        format(&d, 4096),
        "decision=1 action=no-candidate trigger=none detail=none level=calm limit=0 used=0 room=0 "
        "need=0 growth=0 time_left_us=0 groups=0 candidates=0 method=none");
}

static void test_process(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    d.victims[0].pid = 4711;
    (void)strcpy(d.victims[0].comm, "a b");
    assert_non_null(strstr(format(&d, 4096), " victim=4711 comm=\"a b\" class=other "));
}

/* What was paused is named as `headroom resume` takes it, and says why; nobody is gone. */
static void test_pause(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    d.reason = DECISION_PAUSE;
    d.method = METHOD_ORDER;
    d.gone = 0;
    d.stuck = 1;
    d.victim_count = 2;
    d.victims[0].why = PAUSE_WHY_GROWTH;
    d.victims[1] = d.victims[0];
    d.victims[1].why = PAUSE_WHY_BIRTH;
    d.victims[1].pid = 4711;
    (void)strcpy(d.victims[1].comm, "a b");
    assert_string_equal(
        format(&d, 4096),
        "decision=7 action=pause trigger=event detail=high level=critical limit=1000 used=990 room=-5 "
        "need=25 growth=11 time_left_us=0 groups=3 candidates=2 method=order "
        "group=workload.slice/task-2 class=other why=growth age_us=1234567 progress_us=99 expected_bytes=490 "
        "group=workload.slice/task-2#4711 comm=\"a b\" class=other why=birth age_us=1234567 progress_us=99 "
        "expected_bytes=490 "
        "stuck=1 failed=0 used_after=500 need_after=3 freed=490 select_us=100 signal_us=200 outcome_us=300");
    d.dry_run = true;
    assert_non_null(strstr(format(&d, 4096), " action=pause dry_run=yes "));
    assert_null(strstr(line, " freed="));
}

static void test_resume_and_reclaim(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    d.reason = DECISION_RESUME;
    d.victims[0].why = RESUME_WHY_FITS;
    assert_non_null(strstr(format(&d, 4096), "decision=7 action=resume trigger="));
    assert_non_null(strstr(line, " group=workload.slice/task-2 class=other why=fits age_us="));
    d.reason = DECISION_RECLAIM;
    d.victims[0].why = PAUSE_WHY_NONE;
    assert_non_null(strstr(format(&d, 4096), "decision=7 action=reclaim trigger="));
    assert_non_null(strstr(line, " group=workload.slice/task-2 class=other age_us="));
    assert_null(strstr(line, "why="));
    assert_null(strstr(line, "victim="));
}

/* The longest name that there can be is not cut. */
static void test_longest_process_name(void **state _unused_)
{
    struct decision d = decision_of_a_kill();
    char expected[GROUP_PATH_MAX + 32];

    d.reason = DECISION_PAUSE;
    memset(d.victims[0].path, 'p', GROUP_PATH_MAX - 1);
    d.victims[0].path[GROUP_PATH_MAX - 1] = '\0';
    d.victims[0].pid = 2147483647;
    (void)snprintf(expected, sizeof(expected), "%s#2147483647 class=other", d.victims[0].path);
    assert_non_null(strstr(format(&d, 4096), expected));
}

/* The words by which logs are searched. */
static void test_actions(void **state _unused_)
{
    static const char *const names[] = {"none",       "kill",    "waiting", "no-candidate", "fruitless",
                                        "kill-limit", "reclaim", "pause",   "resume"};
    struct decision d = {.id = 1};
    char expected[64];

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        d.reason = (enum decision_reason)i;
        (void)snprintf(expected, sizeof(expected), "decision=1 action=%s trigger=none ", names[i]);
        assert_ptr_equal(strstr(format(&d, 4096), expected), line);
    }
}

/* Names are chosen by those who are guarded: they cannot forge a key, nor a line. */
static void test_hostile_names(void **state _unused_)
{
    struct decision d = decision_of_a_kill();

    (void)strcpy(d.victims[0].path, "w/x gone=99\n\"decision=8\x1b[2J\\");
    assert_non_null(
        strstr(format(&d, 4096), " victim=\"w/x gone=99\\n\\\"decision=8\\u001b[2J\\\\\" class="));
    assert_null(strchr(line, '\n'));
    assert_null(strchr(line, '\x1b'));
}

static void test_no_room(void **state _unused_)
{
    struct decision d = decision_of_a_kill();
    char whole[4096];

    (void)strcpy(whole, format(&d, sizeof(whole)));
    for (size_t size = 1; size <= strlen(whole); size++) {
        assert_int_equal(strlen(format(&d, size)), size - 1);
        assert_memory_equal(line, whole, size - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_notify),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_resume_and_reclaim),
        cmocka_unit_test(test_longest_process_name),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_no_room),
    };

    config_init_defaults(&config);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
