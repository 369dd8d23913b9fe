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
    assert_string_equal(decision_reason_name(DECISION_FRUITLESS), "fruitless");
    assert_string_equal(decision_reason_name(DECISION_KILL_LIMIT), "kill-limit");
    assert_string_equal(decision_reason_name(DECISION_RECLAIM), "reclaim");
    assert_string_equal(decision_reason_name(DECISION_PAUSE), "pause");
    assert_string_equal(decision_reason_name(DECISION_RESUME), "resume");
    assert_string_equal(decision_reason_name(DECISION_DRIFT), "drift");
    assert_string_equal(decision_reason_name(DECISION_NOTIFY), "notify");
    assert_string_equal(decision_reason_name((enum decision_reason)(DECISION_NOTIFY + 1)), "?");
    assert_string_equal(decision_reason_name((enum decision_reason) - 1), "?");
}

static void test_verdict_names(void **state _unused_)
{
    assert_string_equal(verdict_name(VERDICT_CHOSEN), "chosen");
    assert_string_equal(verdict_name(VERDICT_CULPRIT), "culprit");
    assert_string_equal(verdict_name(VERDICT_NOT_NEEDED), "not-needed");
    assert_string_equal(verdict_name(VERDICT_TIER), "higher-tier");
    assert_string_equal(verdict_name(VERDICT_PROTECTED), "protected");
    assert_string_equal(verdict_name(VERDICT_ACTIONS), "actions");
    assert_string_equal(verdict_name(VERDICT_DYING), "dying");
    assert_string_equal(verdict_name(VERDICT_NOTHING), "frees-nothing");
    assert_string_equal(verdict_name(VERDICT_NO_ROOM), "too-many");
    assert_string_equal(verdict_name(VERDICT_ELSEWHERE), "elsewhere");
    assert_string_equal(verdict_name((enum verdict)(VERDICT_ELSEWHERE + 1)), "?");
}

static void test_method_names(void **state _unused_)
{
    assert_string_equal(decision_method_name(METHOD_NONE), "none");
    assert_string_equal(decision_method_name(METHOD_ALL), "all");
    assert_string_equal(decision_method_name(METHOD_EXACT), "exact");
    assert_string_equal(decision_method_name(METHOD_QUANTISED), "quantised");
    assert_string_equal(decision_method_name(METHOD_CULPRIT), "culprit");
    assert_string_equal(decision_method_name(METHOD_ORDER), "order");
    assert_string_equal(decision_method_name((enum decision_method)(METHOD_ORDER + 1)), "?");
}

static void test_pause_why_names(void **state _unused_)
{
    assert_string_equal(pause_why_name(PAUSE_WHY_NONE), "none");
    assert_string_equal(pause_why_name(PAUSE_WHY_GROWTH), "growth");
    assert_string_equal(pause_why_name(PAUSE_WHY_BIRTH), "birth");
    assert_string_equal(pause_why_name(PAUSE_WHY_THRASH), "thrash");
    assert_string_equal(pause_why_name(PAUSE_WHY_TURN), "turn");
    assert_string_equal(pause_why_name(PAUSE_WHY_OPERATOR), "operator");
    assert_string_equal(pause_why_name(RESUME_WHY_FITS), "fits");
    assert_string_equal(pause_why_name(RESUME_WHY_IDLE), "idle");
    assert_string_equal(pause_why_name(RESUME_WHY_CALM), "calm");
    assert_string_equal(pause_why_name(RESUME_WHY_LIMIT), "pause-limit");
    assert_string_equal(pause_why_name(RESUME_WHY_OPERATOR), "operator");
    assert_string_equal(pause_why_name(RESUME_WHY_OPERATOR), "operator");
    assert_string_equal(pause_why_name((enum pause_why)(RESUME_WHY_OPERATOR + 1)), "?");
    assert_string_equal(pause_why_name((enum pause_why) - 1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trigger_names), cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_reason_names),  cmocka_unit_test(test_verdict_names),
        cmocka_unit_test(test_method_names),  cmocka_unit_test(test_pause_why_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
