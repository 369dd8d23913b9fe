/* What `headroom run` says at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "base/buffer.h"
#include "cli/run.h"

/* As waitpid gives them. */
#define EXITED(code) ((code) << 8)

static struct run_report report(int status)
{
    return (struct run_report){.class = "batch",
                               .group = "workload.slice/run-7",
                               .status = status,
                               .wall_usec = 12300000,
                               .peak_bytes = 100 << 20};
}

static const char *text_of(const struct run_report *r)
{
    static char text[1024];
    struct buffer b;

    buffer_init(&b, text, sizeof(text));
    run_report_format(&b, r);
    assert_false(b.cut);
    return text;
}

static void test_words(void **state)
{
    struct run_report r = report(EXITED(0));

    (void)state;
    assert_string_equal(text_of(&r), "workload.slice/run-7: peak 100.0M in 12.3s; exit 0");
    r.history = (struct history){.asked = 1, .pauses = 2, .paused_usec = 4000000, .pause_why = "growth"};
    assert_string_equal(
        text_of(&r), "workload.slice/run-7: peak 100.0M in 12.3s; asked to give memory back once; paused 2 "
                     "times for 4.0s in all (what the running ones are still expected to grow by did not "
                     "fit); exit 0");
    r = report(SIGKILL);
    r.history = (struct history){.kill_decision = 17, .kill_why = "need"};
    assert_string_equal(
        text_of(&r), "workload.slice/run-7: peak 100.0M in 12.3s; killed by headroomd: memory was short, and "
                     "its end lost the least (headroom explain 17); ended by SIGKILL");
    r.history = (struct history){0}; /* by somebody else */
    assert_string_equal(text_of(&r), "workload.slice/run-7: peak 100.0M in 12.3s; ended by SIGKILL");
    r = report(EXITED(3));
    r.peak_at_least = true;
    r.processes_left = 2;
    assert_string_equal(text_of(&r),
                        "workload.slice/run-7: peak at least 100.0M in 12.3s; exit 3; 2 processes "
                        "are left in the group, which is removed when they have ended");
    r.processes_left = 0;
    r.stays = true;
    assert_non_null(strstr(text_of(&r), "; exit 3; the group could not be removed"));
    r = (struct run_report){.class = "batch", .group = "", .status = EXITED(0), .wall_usec = 1000};
    assert_string_equal(text_of(&r), "no group of headroomd's: ran 1.0ms; exit 0");
}

static void test_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(run_report_exit_code(EXITED(0)), 0);
    assert_int_equal(run_report_exit_code(EXITED(255)), 255);
    assert_int_equal(run_report_exit_code(SIGTERM), 143);
    assert_int_equal(run_report_exit_code(SIGKILL), 137);
}

static void test_json(void **state)
{
    struct run_report r = report(SIGTERM);
    json_t *o;

    (void)state;
    r.history = (struct history){
        .pauses = 2, .paused_usec = 5, .pause_why = "turn", .kill_decision = 9, .kill_why = "culprit"};
    o = run_report_to_json(&r);
    assert_string_equal(json_string_value(json_object_get(o, "group")), "workload.slice/run-7");
    assert_int_equal(json_integer_value(json_object_get(o, "exit_code")), 143);
    assert_int_equal(json_integer_value(json_object_get(o, "signal")), SIGTERM);
    assert_int_equal(json_integer_value(json_object_get(o, "pauses")), 2);
    assert_int_equal(json_integer_value(json_object_get(o, "decision")), 9);
    assert_string_equal(json_string_value(json_object_get(o, "kill_why")), "culprit");
    assert_int_equal(json_integer_value(json_object_get(o, "peak_bytes")), 100 << 20);
    json_decref(o);
    r = (struct run_report){.class = "batch", .group = "", .status = EXITED(4)};
    o = run_report_to_json(&r);
    assert_true(json_is_null(json_object_get(o, "group")) && json_is_null(json_object_get(o, "peak_bytes")));
    assert_true(json_is_null(json_object_get(o, "signal")) && json_is_null(json_object_get(o, "decision")));
    assert_true(json_is_false(json_object_get(o, "killed")));
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
