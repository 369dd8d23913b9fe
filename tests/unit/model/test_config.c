#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/units.h"
#include "model/config.h"

static void test_names(void **state _unused_)
{
    assert_string_equal(mode_name(MODE_AUTO), "auto");
    assert_string_equal(mode_name(MODE_ISOLATE), "isolate");
    assert_string_equal(mode_name(MODE_HOST), "host");
    assert_string_equal(mode_name((enum mode)99), "unknown");
    assert_string_equal(action_name(ACTION_NOTIFY), "notify");
    assert_string_equal(action_name(ACTION_RECLAIM), "reclaim");
    assert_string_equal(action_name(ACTION_PAUSE), "pause");
    assert_string_equal(action_name(ACTION_KILL), "kill");
    assert_string_equal(action_name(ACTION_COUNT), "unknown");
}

static const struct row {
    struct amount amount;
    uint64_t total_bytes;
    uint64_t if_unset;
    uint64_t bytes;
} rows[] = {
    {{AMOUNT_UNSET, 7}, 100, 42, 42},
    {{AMOUNT_AUTO, 7}, 100, 42, 42},
    {{AMOUNT_UNSET, 0}, 100, UINT64_MAX, UINT64_MAX},
    {{AMOUNT_BYTES, 0}, 100, 42, 0},
    {{AMOUNT_BYTES, 512 * MIB}, 100, 42, 512 * MIB},
    {{AMOUNT_BYTES, UINT64_MAX}, 100, 42, UINT64_MAX},
    {{AMOUNT_PERMYRIAD, 0}, GIB, 42, 0},
    {{AMOUNT_PERMYRIAD, 1}, 9999, 42, 0},
    {{AMOUNT_PERMYRIAD, 1}, 10000, 42, 1},
    {{AMOUNT_PERMYRIAD, 500}, 16 * GIB, 42, 858993459},
    {{AMOUNT_PERMYRIAD, PERMYRIAD}, GIB, 42, GIB},
    /* total × permyriad is over 64 bits from 1.6 PiB on. */
    {{AMOUNT_PERMYRIAD, PERMYRIAD}, UINT64_MAX, 42, UINT64_MAX},
    {{AMOUNT_PERMYRIAD, 5000}, UINT64_C(1) << 60, 42, UINT64_C(1) << 59},
};

static void test_amounts(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(amount_bytes(&rows[i].amount, rows[i].total_bytes, rows[i].if_unset), rows[i].bytes);
}

static void test_defaults(void **state _unused_)
{
    static struct config c;
    const struct class_config *other = &c.classes[0];

    memset(&c, 0xa5, sizeof(c));
    config_init_defaults(&c);
    assert_int_equal(c.mode, MODE_AUTO);
    assert_false(c.observe);
    assert_true(c.workload_auto);
    assert_int_equal(c.workload_count, 0);
    assert_int_equal(c.protect_count, 2);
    assert_string_equal(c.protect[0], "system.slice");
    assert_string_equal(c.protect[1], "init.scope");
    assert_int_equal(c.system_reserve.kind, AMOUNT_AUTO);
    assert_int_equal(c.host_limit, HOST_LIMIT_AUTO);
    assert_int_equal(c.min_free.kind, AMOUNT_UNSET);
    assert_int_equal(c.max_groups, 1024);
    assert_int_equal(c.max_clients, 1024);
    assert_false(c.status_access_all);
    assert_int_equal(c.kill_deadline_usec, 2000000);
    assert_int_equal(c.kill_limit_per_minute, 10);
    assert_int_equal(c.throttle_deadline_usec, 10000000);
    assert_int_equal(c.notify_grace_usec, 500000);
    assert_int_equal(c.notify_wake, 16);
    assert_true(c.monitor.event && c.monitor.threshold && c.monitor.pressure);
    assert_false(c.monitor.pressure_full);
    assert_int_equal(c.monitor.pressure_stall_usec, 150000);
    assert_int_equal(c.monitor.pressure_window_usec, 1000000);

    assert_int_equal(c.class_count, 1);
    assert_string_equal(other->name, CONFIG_CLASS_OTHER);
    assert_int_equal(other->match_count, 0);
    assert_int_equal(other->line, 0);
    assert_int_equal(other->priority, 500);
    assert_int_equal(other->actions,
                     ACTION_BIT(ACTION_NOTIFY) | ACTION_BIT(ACTION_RECLAIM) | ACTION_BIT(ACTION_KILL));
    assert_int_equal(other->unit, UNIT_CGROUP);
    assert_int_equal(other->qos, QOS_UNSET);
    assert_int_equal(other->order, ORDER_LEAST_PROGRESS);
    assert_int_equal(other->request.kind, AMOUNT_UNSET);
    assert_int_equal(other->limit.kind, AMOUNT_UNSET);
    assert_false(other->retriable || other->offload);
    assert_int_equal(other->term_grace_usec, 0);
    assert_int_equal(other->pause_limit_usec, 30000000);
    assert_int_equal(other->min_running, 0);

    /* Nothing when calm; then Android's order: warn all, hold back the background, give up the foreground
     * last. */
    assert_int_equal(c.levels[LEVEL_CALM].actions, 0);
    assert_int_equal(c.levels[LEVEL_LOW].actions, ACTION_BIT(ACTION_NOTIFY));
    assert_int_equal(c.levels[LEVEL_LOW].priority_max, 999);
    assert_int_equal(c.levels[LEVEL_MEDIUM].actions,
                     ACTION_BIT(ACTION_NOTIFY) | ACTION_BIT(ACTION_RECLAIM) | ACTION_BIT(ACTION_PAUSE));
    assert_int_equal(c.levels[LEVEL_MEDIUM].priority_max, 500);
    assert_int_equal(c.levels[LEVEL_CRITICAL].actions, ACTION_BIT(ACTION_COUNT) - 1);
    assert_int_equal(c.levels[LEVEL_CRITICAL].priority_max, 999);
}

/* It is handed over as one block: the same configuration must be the same bytes, whatever stood there before.
 */
static void test_defaults_write_every_byte(void **state _unused_)
{
    static struct config a, b;

    memset(&a, 0x00, sizeof(a));
    memset(&b, 0xff, sizeof(b));
    config_init_defaults(&a);
    config_init_defaults(&b);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void test_class_names_are_cut(void **state _unused_)
{
    static struct class_config c;

    class_config_init(&c, "0123456789012345678901234567890123456789");
    assert_string_equal(c.name, "0123456789012345678901234567890");
}

static void test_pause_limits(void **state _unused_)
{
    assert_int_equal(class_pause_limit_default_usec(true), 300 * USEC_PER_SEC);
    assert_int_equal(class_pause_limit_default_usec(false), 30 * USEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_defaults_write_every_byte),
        cmocka_unit_test(test_class_names_are_cut),
        cmocka_unit_test(test_pause_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
