#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "model/decision.h"

/* The names are in log lines and on the socket, so that they are what others grep for. */
static void test_trigger_names(void **state _unused_)
{
    assert_string_equal(trigger_name(TRIGGER_NONE), "none");
    assert_string_equal(trigger_name(TRIGGER_EVENT), "event");
    assert_string_equal(trigger_name(TRIGGER_PRESSURE), "pressure");
    assert_string_equal(trigger_name(TRIGGER_THRESHOLD), "threshold");
    assert_string_equal(trigger_name(TRIGGER_OUTCOME), "outcome");
    assert_string_equal(trigger_name((enum trigger_kind)(TRIGGER_OUTCOME + 1)), "?");
    assert_string_equal(trigger_name((enum trigger_kind) - 1), "?");
}

static void test_level_names(void **state _unused_)
{
    assert_string_equal(level_name(LEVEL_CALM), "calm");
    assert_string_equal(level_name(LEVEL_LOW), "low");
    assert_string_equal(level_name(LEVEL_MEDIUM), "medium");
    assert_string_equal(level_name(LEVEL_CRITICAL), "critical");
    assert_string_equal(level_name((enum level)(LEVEL_CRITICAL + 1)), "?");
    assert_string_equal(level_name((enum level) - 1), "?");
}

static void test_reason_names(void **state _unused_)
{
    assert_string_equal(decision_reason_name(DECISION_NOTHING_NEEDED), "nothing-needed");
    assert_string_equal(decision_reason_name(DECISION_KILL), "kill");
    assert_string_equal(decision_reason_name(DECISION_WAITING), "waiting");
    assert_string_equal(decision_reason_name(DECISION_NO_CANDIDATE), "no-candidate");
    assert_string_equal(decision_reason_name((enum decision_reason)(DECISION_NO_CANDIDATE + 1)), "?");
    assert_string_equal(decision_reason_name((enum decision_reason) - 1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_names),
        cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_reason_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
