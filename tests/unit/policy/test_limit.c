#include "policy.h"

#include "policy/limit.h"

static void test_system_reserve(void **state _unused_)
{
    static const struct {
        struct amount amount;
        uint64_t total, reserve;
    } rows[] = {
        /* auto: a tenth, from 512 MiB to 10 GiB … */
        {{AMOUNT_AUTO, 0}, 16 * GIB, 1717986918},
        {{AMOUNT_UNSET, 0}, 16 * GIB, 1717986918},
        {{AMOUNT_AUTO, 0}, 4 * GIB, 512 * MIB},
        {{AMOUNT_AUTO, 0}, 5 * GIB, 512 * MIB},
        {{AMOUNT_AUTO, 0}, 6 * GIB, 644245094},
        {{AMOUNT_AUTO, 0}, 100 * GIB, 10 * GIB},
        {{AMOUNT_AUTO, 0}, 101 * GIB, 10 * GIB},
        {{AMOUNT_AUTO, 0}, UINT64_MAX, 10 * GIB},
        /* … and at most a quarter */
        {{AMOUNT_AUTO, 0}, 2 * GIB, 512 * MIB},
        {{AMOUNT_AUTO, 0}, GIB, 256 * MIB},
        {{AMOUNT_AUTO, 0}, 3, 0},
        {{AMOUNT_AUTO, 0}, 0, 0},
        /* what is said is what holds, as far as there is memory */
        {{AMOUNT_BYTES, GIB}, 16 * GIB, GIB},
        {{AMOUNT_BYTES, 0}, 16 * GIB, 0},
        {{AMOUNT_BYTES, 32 * GIB}, 16 * GIB, 16 * GIB},
        {{AMOUNT_BYTES, UINT64_MAX}, UINT64_MAX, UINT64_MAX},
        {{AMOUNT_PERMYRIAD, 2500}, 16 * GIB, 4 * GIB},
        {{AMOUNT_PERMYRIAD, PERMYRIAD}, 16 * GIB, 16 * GIB},
    };
    static struct config c;

    config_init_defaults(&c);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        c.system_reserve = rows[i].amount;
        assert_int_equal(limit_system_reserve(&c, rows[i].total), rows[i].reserve);
    }
}

static void test_host_auto(void **state _unused_)
{
    static const struct {
        uint64_t total, limit;
    } rows[] = {
        {GIB, GIB - 128 * MIB},
        {16 * GIB, 16 * GIB - 858993459},
        {80 * GIB, 76 * GIB},
        {128 * GIB, 124 * GIB},
        {128 * MIB, 0},
        {0, 0},
        {UINT64_MAX, UINT64_MAX - 4 * GIB},
    };
    static struct config c;

    config_init_defaults(&c);
    c.min_free = (struct amount){AMOUNT_BYTES, GIB}; /* of HostLimit=ray only */
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(limit_host(&c, rows[i].total), rows[i].limit);
}

/* Restates Ray's TestGetMemoryThresholdTakeGreaterOfTheTwoValues: of a total of 100, the greater of the share
 * and of what is left when MinFree is kept. Ray's cases vary the share, too; ours is 95 %, so that those of
 * another share have their other half here (nothing free, more free than the share leaves, all free, not
 * set). */
static void test_host_ray(void **state _unused_)
{
    static const struct {
        struct amount min_free;
        uint64_t total, limit;
    } rows[] = {
        {{AMOUNT_BYTES, 0}, 100, 100},
        {{AMOUNT_BYTES, 3}, 100, 97},
        {{AMOUNT_BYTES, 5}, 100, 95},
        {{AMOUNT_BYTES, 10}, 100, 95},
        {{AMOUNT_BYTES, 60}, 100, 95},
        {{AMOUNT_BYTES, 100}, 100, 95},
        {{AMOUNT_BYTES, 101}, 100, 95},
        {{AMOUNT_BYTES, UINT64_MAX}, 100, 95},
        {{AMOUNT_UNSET, 7}, 100, 95},
        {{AMOUNT_PERMYRIAD, 200}, 100, 98},
        {{AMOUNT_PERMYRIAD, 9000}, 100, 95},
        {{AMOUNT_UNSET, 0}, 0, 0},
        {{AMOUNT_BYTES, 0}, 0, 0},
        {{AMOUNT_BYTES, GIB}, 64 * GIB, 63 * GIB},
        {{AMOUNT_BYTES, 0}, UINT64_MAX, UINT64_MAX},
        {{AMOUNT_UNSET, 0}, UINT64_MAX, UINT64_MAX / 100 * 95 + 14},
    };
    static struct config c;

    config_init_defaults(&c);
    c.host_limit = HOST_LIMIT_RAY;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        c.min_free = rows[i].min_free;
        assert_int_equal(limit_host(&c, rows[i].total), rows[i].limit);
    }
}

static void test_margin(void **state _unused_)
{
    assert_int_equal(limit_margin(0), 4 * MIB);
    assert_int_equal(limit_margin(256 * MIB), 4 * MIB);
    assert_int_equal(limit_margin(512 * MIB), 8 * MIB);
    assert_int_equal(limit_margin(8 * GIB), 128 * MIB);
    assert_int_equal(limit_margin(UINT64_MAX), 128 * MIB);
}

#define NONE UINT64_MAX

/* Of one workload and of two on the node of 10 GiB with 2 GiB reserved. The fourth is
 * TestGetMemoryThresholdWithResourceIsolationUsesUpperBoundConstraintToComputeThreshold of Ray's: what
 * memory.high says is the limit, and no share of the host's memory. */
static const struct isolate_row {
    unsigned count;
    struct {
        uint64_t id, high, max;
    } workloads[2];
    uint64_t step, limit;
} isolate_rows[] = {
    {0, {{0}}, 0, NODE_LIMIT},
    {1, {{1, NONE, NONE}}, 0, NODE_LIMIT},
    {1, {{1, 9 * GIB, NONE}}, 0, NODE_LIMIT},
    {1, {{1, 3 * GIB, NONE}}, 0, 3 * GIB},
    {1, {{1, 5000, NONE}}, 0, 4096},
    /* memory.max less what is needed to act before the kernel does */
    {1, {{1, NONE, 9 * GIB}}, 0, NODE_LIMIT},
    {1, {{1, NONE, 8 * GIB}}, 0, 8 * GIB - 128 * MIB},
    {1, {{1, NONE, GIB}}, 0, GIB - 16 * MIB},
    {1, {{1, NONE, 64 * MIB}}, 0, 60 * MIB},
    {1, {{1, 2 * GIB, 4 * GIB}}, 0, 2 * GIB},
    {1, {{1, 4 * GIB, 2 * GIB}}, 0, 2 * GIB - 32 * MIB},
    {1, {{1, 0, NONE}}, 0, 0},
    {1, {{1, NONE, MIB}}, 0, 0},
    /* a workload that is not there allows nothing and forbids nothing */
    {1, {{0, 3 * GIB, NONE}}, 0, NODE_LIMIT},
    {2, {{0, GIB, NONE}, {2, NONE, NONE}}, 0, NODE_LIMIT},
    {2, {{0, GIB, NONE}, {2, 2 * GIB, NONE}}, 0, 2 * GIB},
    /* of two, each its own, and together at most what both may have */
    {2, {{1, 2 * GIB, NONE}, {2, 3 * GIB, NONE}}, 0, 5 * GIB},
    {2, {{1, 2 * GIB, NONE}, {2, NONE, NONE}}, 0, NODE_LIMIT},
    {2, {{1, 7 * GIB, NONE}, {2, 7 * GIB, NONE}}, 0, NODE_LIMIT},
    {2, {{1, 0, NONE}, {2, 2 * GIB, NONE}}, 0, 2 * GIB},
    {2, {{1, NONE - 1, NONE}, {2, NONE - 1, NONE}}, 0, NODE_LIMIT},
    /* stepping down after a start above the limit: never over what there is, nor over what others have set */
    {1, {{1, NONE, NONE}}, GIB, 9 * GIB},
    {1, {{1, NONE, NONE}}, 5 * GIB, NODE_TOTAL},
    {1, {{1, NONE, NONE}}, NONE, NODE_TOTAL},
    {1, {{1, 3 * GIB, NONE}}, 2 * GIB, 3 * GIB},
};

static void test_isolate(void **state _unused_)
{
    static struct config c;
    struct snapshot s;

    node_config(&c);
    for (size_t i = 0; i < ARRAY_SIZE(isolate_rows); i++) {
        const struct isolate_row *row = &isolate_rows[i];

        node_snapshot(&s, true, row->count);
        s.limit_step = row->step;
        for (unsigned j = 0; j < row->count; j++) {
            s.workloads[j].id = row->workloads[j].id;
            s.workloads[j].foreign_high = row->workloads[j].high;
            s.workloads[j].max = row->workloads[j].max;
        }
        if (limit_isolate(&c, &s) != row->limit)
            fail_msg("row %zu: %ju, not %ju", i, (uintmax_t)limit_isolate(&c, &s), (uintmax_t)row->limit);
    }
}

static void test_isolate_rounds_to_pages(void **state _unused_)
{
    static struct config c;
    struct snapshot s;

    node_config(&c);
    node_snapshot(&s, true, 1);
    s.node.total = NODE_TOTAL + 4097;
    assert_int_equal(limit_isolate(&c, &s), NODE_LIMIT + 4096);
    c.system_reserve.value = UINT64_MAX;
    assert_int_equal(limit_isolate(&c, &s), 0);
}

/* Each may use what the others leave of the shared limit, and never more than others allow it. */
static void test_workload_high(void **state _unused_)
{
    static const struct {
        uint64_t used[2], high[2], expected[2];
    } rows[] = {
        {{3 * GIB, 2 * GIB}, {NONE, NONE}, {6 * GIB, 5 * GIB}},
        {{0, 0}, {NONE, NONE}, {8 * GIB, 8 * GIB}},
        {{3 * GIB, 2 * GIB}, {4 * GIB, NONE}, {4 * GIB, 5 * GIB}},
        {{3 * GIB, 2 * GIB}, {GIB, NONE}, {GIB, 5 * GIB}},
        /* both bounded: their sum is what is shared */
        {{3 * GIB, 2 * GIB}, {4 * GIB, 3 * GIB}, {4 * GIB, 3 * GIB}},
        {{0, 5 * GIB}, {4 * GIB, 3 * GIB}, {2 * GIB, 3 * GIB}},
        /* A neighbour that is over the limit leaves a 64th of it (here 128 MiB), never less. */
        {{GIB, 12 * GIB}, {NONE, NONE}, {128 * MIB, 7 * GIB}},
        {{GIB, 8 * GIB}, {NONE, NONE}, {128 * MIB, 7 * GIB}},
        {{GIB, 8 * GIB - 100 * MIB}, {NONE, NONE}, {128 * MIB, 7 * GIB}},
        {{GIB, NONE}, {64 * MIB, NONE}, {64 * MIB, 7 * GIB}},
        {{5001, 0}, {NONE, NONE}, {8 * GIB, 8 * GIB - 8192}},
    };
    static struct config c;
    struct snapshot s;

    node_config(&c);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        node_snapshot(&s, true, 2);
        for (unsigned j = 0; j < 2; j++) {
            s.workloads[j].used = rows[i].used[j];
            s.workloads[j].foreign_high = rows[i].high[j];
        }
        for (unsigned j = 0; j < 2; j++)
            assert_int_equal(limit_workload_high(&c, &s, j), rows[i].expected[j]);
    }
}

static void test_absent_neighbour_takes_nothing(void **state _unused_)
{
    static struct config c;
    struct snapshot s;

    node_config(&c);
    node_snapshot(&s, true, 2);
    s.workloads[1].id = 0;
    s.workloads[1].used = 5 * GIB; /* of a look that is over */
    assert_int_equal(limit_workload_high(&c, &s, 0), NODE_LIMIT);
}

/* Whatever the node says: headroom only tightens, writes whole pages, and squeezes nobody to nothing. */
static void test_workload_high_laws(void **state _unused_)
{
    static struct config c;
    uint64_t seed = 20250611;
    struct snapshot s;

    for (unsigned round = 0; round < 50000; round++) {
        unsigned count = 1 + (unsigned)random_below(&seed, SNAPSHOT_WORKLOADS_MAX);

        node_config(&c);
        c.system_reserve.value = random_extreme(&seed);
        node_snapshot(&s, true, count);
        s.node.total = random_extreme(&seed);
        s.limit_step = random_below(&seed, 3) ? 0 : random_extreme(&seed);
        for (unsigned i = 0; i < count; i++) {
            s.workloads[i].id = random_below(&seed, 5);
            s.workloads[i].used = random_extreme(&seed);
            s.workloads[i].foreign_high = random_extreme(&seed);
            s.workloads[i].max = random_extreme(&seed);
        }
        assert_true(limit_isolate(&c, &s) <= s.node.total);
        assert_int_equal(limit_isolate(&c, &s) % 4096, 0);
        for (unsigned i = 0; i < count; i++) {
            const struct workload *w = &s.workloads[i];
            uint64_t high = limit_workload_high(&c, &s, i);

            assert_int_equal(high % 4096, 0);
            assert_true(high <= w->foreign_high && high <= w->max);
            if (w->foreign_high >= GIB && w->max >= GIB)
                assert_true(high >= 4 * MIB);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system_reserve),
        cmocka_unit_test(test_host_auto),
        cmocka_unit_test(test_host_ray),
        cmocka_unit_test(test_margin),
        cmocka_unit_test(test_isolate),
        cmocka_unit_test(test_isolate_rounds_to_pages),
        cmocka_unit_test(test_workload_high),
        cmocka_unit_test(test_absent_neighbour_takes_nothing),
        cmocka_unit_test(test_workload_high_laws),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
