#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
        cmocka_unit_test(test_kill),    cmocka_unit_test(test_dry_run),       cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_process), cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_no_room),
    };

    config_init_defaults(&config);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
