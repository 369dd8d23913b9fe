/* How a knob of a plan is written: who would have to reclaim. */
#include "tree.h"

#include "action/qos_write.h"
#include "base/units.h"

#define SERVICE "sys/fs/cgroup/workload.slice/web.service"

static struct tree t;

static struct lease lease_of(const char *path, const char *knob, uint64_t ours)
{
    struct lease l = {.used = true, .cgroup_id = tree_id(&t, path), .was = UINT64_MAX, .ours = ours};

    (void)snprintf(l.path, sizeof(l.path), "%s", path);
    (void)snprintf(l.knob, sizeof(l.knob), "%s", knob);
    return l;
}

static void begin(void **state)
{
    tree_init(&t, *state);
    fixture_mkdir(t.f, "run/systemd/system");
    tree_add(&t, "workload.slice/web.service", "max\n");
    tree_add(&t, "workload.slice/plain", "max\n");
    fixture_write(t.f, SERVICE "/memory.current", "104857600\n");
    fixture_write(t.f, "sys/fs/cgroup/workload.slice/plain/memory.current", "104857600\n");
}

static void expect(const struct lease *l, uint64_t value, bool lowers, enum qos_way way)
{
    assert_int_equal(qos_way_of(&t.hierarchy, t.f->fd, l, value, lowers), way);
}

static void test_ways(void **state)
{
    struct lease l;

    begin(state);
    l = lease_of("workload.slice/plain", "memory.high", 200 * MIB);
    expect(&l, 200 * MIB, true, QOS_WAY_LIMITED);
    l = lease_of("workload.slice/plain", "memory.low", 200 * MIB);
    expect(&l, 200 * MIB, false, QOS_WAY_PLAIN);
    l = lease_of("workload.slice/web.service", "memory.high", 200 * MIB);
    expect(&l, 200 * MIB, true, QOS_WAY_UNIT);
    l = lease_of("workload.slice/web.service", "memory.high", 100 * MIB); /* PID 1 would reclaim */
    expect(&l, 100 * MIB, true, QOS_WAY_LIMITED);
    l = lease_of("workload.slice/web.service", "memory.low", 50 * MIB);
    expect(&l, 50 * MIB, false, QOS_WAY_UNIT);
    fixture_write(t.f, SERVICE "/memory.high", "104857600\n"); /* it would be written again with that */
    expect(&l, 50 * MIB, false, QOS_WAY_PLAIN);
    expect(&l, 0, false, QOS_WAY_UNIT); /* what is put back is put back there, too */
    fixture_write(t.f, SERVICE "/memory.high", "max\n");
    fixture_write(t.f, SERVICE "/memory.max", "105000000\n");
    expect(&l, 50 * MIB, false, QOS_WAY_PLAIN);
    l = lease_of("workload.slice/web.service", "memory.oom.group", 1); /* there is no property for it */
    expect(&l, 1, false, QOS_WAY_PLAIN);
    tree_deinit(&t);
}

static void test_untold(void **state)
{
    static const char *const drop_in = "run/systemd/system.control/web.service.d/50-MemoryHigh.conf";
    struct lease l;
    uint64_t left;

    begin(state);
    l = lease_of("workload.slice/web.service", "memory.high", 100 * MIB);
    assert_false(qos_is_untold(&t.hierarchy, t.f->fd, &l)); /* not now */
    fixture_write(t.f, SERVICE "/memory.current", "52428800\n");
    assert_true(qos_is_untold(&t.hierarchy, t.f->fd, &l));
    fixture_write(t.f, drop_in, "[Service]\nMemoryHigh=209715200\n");
    assert_true(qos_is_untold(&t.hierarchy, t.f->fd, &l));
    fixture_write(t.f, drop_in, "[Service]\nMemoryHigh=104857600\n");
    assert_false(qos_is_untold(&t.hierarchy, t.f->fd, &l));
    assert_int_equal(qos_read_left(t.f->fd, &l, &left), 0);
    assert_int_equal(left, 100 * MIB);
    l = lease_of("workload.slice/plain", "memory.high", 100 * MIB);
    assert_false(qos_is_untold(&t.hierarchy, t.f->fd, &l));
    tree_deinit(&t);
}

static void test_limited(void **state)
{
    struct lease l;

    begin(state);
    l = lease_of("workload.slice/plain", "memory.high", 100 * MIB);
    assert_int_equal(qos_write_limited(&t.hierarchy, &l, 100 * MIB), KNOBS_WRITTEN);
    tree_assert(&t, "sys/fs/cgroup/workload.slice/plain/memory.high", "104857600");
    l.cgroup_id++; /* a new one of that name is somebody else's */
    assert_int_equal(qos_write_limited(&t.hierarchy, &l, 1), -ENOENT);
    tree_assert(&t, "sys/fs/cgroup/workload.slice/plain/memory.high", "104857600");
    tree_deinit(&t);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {TEST(test_ways), TEST(test_untold), TEST(test_limited)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
