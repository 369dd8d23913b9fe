/* The cgroups of a plan: found by id, whatever the ids are; and names there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "model/qos.h"

#define CGROUPS 300

static struct qos_cgroup cgroups[CGROUPS];

static void check(unsigned count)
{
    qos_index(cgroups, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(qos_find(cgroups, count, cgroups[i].id), i);
    assert_int_equal(qos_find(cgroups, count, UINT64_MAX - 1), QOS_NONE);
}

static void test_find(void **state _unused_)
{
    check(0);
    for (unsigned i = 0; i < CGROUPS; i++)
        cgroups[i].id = i + 1;
    check(1);
    check(CGROUPS);
    for (unsigned i = 0; i < CGROUPS; i++)
        cgroups[i].id = UINT64_C(7) * CGROUPS * (i + 1); /* all in one place */
    check(CGROUPS);
    check(CGROUPS - 1);
    for (unsigned i = 0; i < CGROUPS; i++)
        cgroups[i].id = UINT64_MAX - 2 - (uint64_t)i * i * 12345;
    check(CGROUPS);
    assert_int_equal(qos_find(cgroups, CGROUPS, 7), QOS_NONE);
}

static void test_names(void **state _unused_)
{
    for (enum qos_knob k = 0; k < QOS_KNOBS; k++)
        assert_int_equal(qos_knob_of(qos_knob_name(k)), k);
    assert_int_equal(qos_knob_of("memory.hig"), QOS_KNOBS);
    assert_int_equal(qos_knob_of("cgroup.freeze"), QOS_KNOBS);
    for (enum qos_why a = 0; a < QOS_WHY_COUNT; a++)
        for (enum qos_why b = 0; b < a; b++)
            assert_string_not_equal(qos_why_name(a), qos_why_name(b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
