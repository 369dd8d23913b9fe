#include "policy.h"

#include "policy/room.h"

#define NONE UINT64_MAX

/* One look at a node of 10 GiB, 2 GiB reserved: limit 8 GiB, margin 128 MiB. */
static const struct look_row {
    const char *what;
    uint64_t used[2];       /* of the workloads; NONE: it is not there */
    uint64_t unreclaimable; /* of the node */
    uint64_t available;
    uint64_t limit, counted;
    int64_t room;
    uint64_t need;
    bool by_available;
} isolate_rows[] = {
    {"half used", {4 * GIB, 0}, 5 * GIB, 5 * GIB, NODE_LIMIT, 4 * GIB, 4 * GIB, 0, false},
    {"two share", {4 * GIB, 2 * GIB}, 7 * GIB, 3 * GIB, NODE_LIMIT, 6 * GIB, 2 * GIB, 0, false},
    {"one is gone", {4 * GIB, NONE}, 5 * GIB, 5 * GIB, NODE_LIMIT, 4 * GIB, 4 * GIB, 0, false},
    {"both are gone", {NONE, NONE}, GIB, 9 * GIB, NODE_LIMIT, 0, 8 * GIB, 0, false},
    /* What is unreclaimable outside counts above SystemReserve only: shmem that a protected service was
     * charged for, kernel memory of nobody, a growing system. */
    {"outside within the reserve", {4 * GIB, 0}, 6 * GIB, 4 * GIB, NODE_LIMIT, 4 * GIB, 4 * GIB, 0, false},
    {"outside a page over it",
     {4 * GIB, 0},
     6 * GIB + 4096,
     4 * GIB,
     NODE_LIMIT,
     4 * GIB + 4096,
     4 * GIB - 4096,
     0,
     false},
    {"outside 1 GiB over it", {4 * GIB, 0}, 7 * GIB, 3 * GIB, NODE_LIMIT, 5 * GIB, 3 * GIB, 0, false},
    {"system alone takes all", {0, 0}, 10 * GIB, 10 * GIB, NODE_LIMIT, 8 * GIB, 0, NODE_MARGIN, false},
    /* The node's figure is read before the workloads': it may be behind. */
    {"more inside than on the node", {4 * GIB, 0}, 3 * GIB, 5 * GIB, NODE_LIMIT, 4 * GIB, 4 * GIB, 0, false},
    /* need = margin − room */
    {"the margin is left",
     {8 * GIB - 128 * MIB, 0},
     8 * GIB,
     9 * GIB,
     NODE_LIMIT,
     8 * GIB - 128 * MIB,
     128 * MIB,
     0,
     false},
    {"a page of it is gone",
     {8 * GIB - 128 * MIB + 4096, 0},
     8 * GIB,
     9 * GIB,
     NODE_LIMIT,
     8 * GIB - 128 * MIB + 4096,
     128 * MIB - 4096,
     4096,
     false},
    {"at the limit", {8 * GIB, 0}, 8 * GIB, 9 * GIB, NODE_LIMIT, 8 * GIB, 0, NODE_MARGIN, false},
    {"above it",
     {8 * GIB + 512 * MIB, 0},
     9 * GIB,
     GIB,
     NODE_LIMIT,
     8 * GIB + 512 * MIB,
     -(int64_t)(512 * MIB),
     640 * MIB,
     false},
    /* MemAvailable bounds it, too. */
    {"little is available", {GIB, 0}, GIB, 50 * MIB, NODE_LIMIT, GIB, 50 * MIB, 78 * MIB, true},
    {"nothing is available", {GIB, 0}, GIB, 0, NODE_LIMIT, GIB, 0, NODE_MARGIN, true},
    {"as much as the limit leaves", {4 * GIB, 0}, 5 * GIB, 4 * GIB, NODE_LIMIT, 4 * GIB, 4 * GIB, 0, false},
};

static void check_row(const struct look_row *row, const struct room *r)
{
    if (r->limit != row->limit || r->used != row->counted || r->room != row->room || r->need != row->need ||
        r->by_available != row->by_available)
        fail_msg("%s: limit %ju used %ju room %jd need %ju by_available %d", row->what, (uintmax_t)r->limit,
                 (uintmax_t)r->used, (intmax_t)r->room, (uintmax_t)r->need, r->by_available);
}

static void test_isolate(void **state _unused_)
{
    static struct config c;

    node_config(&c);
    for (size_t i = 0; i < ARRAY_SIZE(isolate_rows); i++) {
        const struct look_row *row = &isolate_rows[i];
        struct room_state st = {0};
        struct snapshot s;
        struct room r;

        node_snapshot(&s, true, 2);
        for (unsigned j = 0; j < 2; j++) {
            s.workloads[j].used = row->used[j] == NONE ? 3 * GIB : row->used[j];
            s.workloads[j].id = row->used[j] == NONE ? 0 : 100 + j;
        }
        s.node.unreclaimable = row->unreclaimable;
        s.node.available = row->available;
        room_evaluate(&c, &s, &st, &r);
        check_row(row, &r);
        assert_int_equal(r.margin, NODE_MARGIN);
        assert_int_equal(r.growth, 0);
        assert_int_equal(r.time_left_usec, r.room <= 0 ? 0 : UINT64_MAX);
        assert_int_equal(r.level == LEVEL_CRITICAL, r.need > 0);
    }
}

/* Page cache that memory.min keeps is in nobody's way less than anonymous memory; for the node it is page
 * cache, and so hides nothing of what others use. */
static void test_protected_cache(void **state _unused_)
{
    struct config c;

    node_config(&c);
    for (size_t i = 0; i < ARRAY_SIZE(isolate_rows); i++) {
        const struct look_row *row = &isolate_rows[i];
        struct room_state st = {0}, st_with = {0};
        struct room without, with;
        struct snapshot s;

        node_snapshot(&s, true, 1);
        s.workloads[0].id = 100;
        s.workloads[0].used = row->used[0] == NONE ? GIB : row->used[0];
        s.node.unreclaimable = row->unreclaimable;
        s.node.available = UINT64_MAX / 2;
        room_evaluate(&c, &s, &st, &without);
        s.protected_cache = 200 * MIB;
        room_evaluate(&c, &s, &st_with, &with);
        assert_true(with.used == without.used + 200 * MIB && with.limit == without.limit);
        assert_true(with.room == without.room - (int64_t)(200 * MIB));
    }
}

/* Restates Ray's cases of its threshold monitor in isolation, in our terms (user limit 700 MiB, so that the
 * reserve is what is left of 1 GiB): TestUserSliceAboveThresholdDuringResourceIsolationCallbackExecuted (anon
 * 600 + shmem 200 is over), TestUserSliceWithObjectStoreAboveThresholdDuringResourceIsolationCallbackExecuted
 * (400 + 200, and 200 of shared memory that the system was charged for: there the whole of it counts, here
 * what is above the system's own reserve), TestResourceIsolationBelowThresholdCallbackNotExecuted (200 + 100
 * + 100 is not). */
static void test_ray_isolation_cases(void **state _unused_)
{
    static const struct {
        uint64_t anon, shmem, system_shmem, system_rest;
        bool fires;
    } rows[] = {
        {600 * MIB, 200 * MIB, 0, 0, true},
        {400 * MIB, 200 * MIB, 200 * MIB, 324 * MIB, true},
        {400 * MIB, 200 * MIB, 200 * MIB, 0, false},
        {200 * MIB, 100 * MIB, 100 * MIB, 0, false},
    };
    static struct config c;

    node_config(&c);
    c.system_reserve.value = 324 * MIB;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct room_state st = {0};
        struct snapshot s;
        struct room r;

        node_snapshot(&s, true, 1);
        s.node.total = GIB;
        s.workloads[0].anon = rows[i].anon;
        s.workloads[0].shmem = rows[i].shmem;
        s.workloads[0].used = rows[i].anon + rows[i].shmem;
        s.node.unreclaimable = s.workloads[0].used + rows[i].system_shmem + rows[i].system_rest;
        s.node.available = GIB;
        room_evaluate(&c, &s, &st, &r);
        assert_int_equal(r.limit, 700 * MIB);
        assert_int_equal(r.need > 0, rows[i].fires);
    }
}

/* What others have set for the workload counts against what is charged to it alone; whichever leaves less. */
static void test_own_bound(void **state _unused_)
{
    static const struct {
        uint64_t high, used, outside, limit, counted;
    } rows[] = {
        {2 * GIB, GIB, 4 * GIB, 2 * GIB, GIB},             /* own: 1 GiB; share: 5 */
        {2 * GIB, 2 * GIB, 0, 2 * GIB, 2 * GIB},           /* own: 0 */
        {2 * GIB, 3 * GIB, 0, 2 * GIB, 3 * GIB},           /* own: −1 */
        {4 * GIB, GIB, 7 * GIB, NODE_LIMIT, 6 * GIB},      /* own: 3; share: 2 */
        {4 * GIB, GIB, 6 * GIB, NODE_LIMIT, 5 * GIB},      /* the same: the node's */
        {9 * GIB, 8 * GIB, 0, NODE_LIMIT, 8 * GIB},        /* looser than the node's */
        {NONE, 3 * GIB, 3 * GIB, NODE_LIMIT, 4 * GIB},     /* none */
        {6 * GIB, 7 * GIB, 5 * GIB, NODE_LIMIT, 10 * GIB}, /* own: −1; share: −2 */
    };
    static struct config c;

    node_config(&c);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct room_state st = {0};
        struct snapshot s;
        struct room r;

        node_snapshot(&s, true, 1);
        s.workloads[0].foreign_high = rows[i].high;
        s.workloads[0].used = rows[i].used;
        s.node.unreclaimable = rows[i].used + rows[i].outside;
        room_evaluate(&c, &s, &st, &r);
        if (r.limit != rows[i].limit || r.used != rows[i].counted)
            fail_msg("row %zu: limit %ju, used %ju", i, (uintmax_t)r.limit, (uintmax_t)r.used);
    }
}

/* Page cache is in no term: the same node with 0 and with 6 GiB of it in the workload. memory.high is then
 * reached, the event comes, and the look says that nothing is needed. */
static void test_page_cache_is_no_reason(void **state _unused_)
{
    static struct config c;
    struct room_state st = {0};
    struct snapshot s;
    struct room r;

    node_config(&c);
    node_snapshot(&s, true, 1);
    node_use(&s, 0, GIB);
    s.workloads[0].file = 7 * GIB;
    s.workloads[0].current = NODE_LIMIT;
    room_evaluate(&c, &s, &st, &r);
    assert_int_equal(r.need, 0);
    assert_int_equal(r.used, GIB);
    assert_int_equal(r.level, LEVEL_CALM);
}

static void test_host(void **state _unused_)
{
    static const struct {
        uint64_t unreclaimable, available;
        int64_t room;
        uint64_t need;
    } rows[] = {
        /* 10 GiB less a twentieth is 9.5; the margin is 128 MiB */
        {4 * GIB, 6 * GIB, 5 * GIB + 512 * MIB, 0},
        {9 * GIB + 384 * MIB, 640 * MIB, 128 * MIB, 0},
        {9 * GIB + 448 * MIB, 576 * MIB, 64 * MIB, 64 * MIB},
        {9 * GIB + 768 * MIB, 0, -(int64_t)(256 * MIB), 384 * MIB},
        {4 * GIB, 100 * MIB, 100 * MIB, 28 * MIB},
    };
    static struct config c;

    node_config(&c);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct room_state st = {0};
        struct snapshot s;
        struct room r;

        node_snapshot(&s, false, 1);
        s.workloads[0].used = 9 * GIB; /* not looked at */
        s.node.unreclaimable = rows[i].unreclaimable;
        s.node.available = rows[i].available;
        room_evaluate(&c, &s, &st, &r);
        assert_int_equal(r.limit, 10 * GIB - 512 * MIB);
        assert_int_equal(r.used, rows[i].unreclaimable);
        assert_int_equal(r.room, rows[i].room);
        assert_int_equal(r.need, rows[i].need);
    }
}

/* Swap that can be had is room; of the workloads together no more than each may swap. */
static void test_swap(void **state _unused_)
{
    static const struct {
        bool isolate;
        uint64_t effective, rooms[2], swap;
    } rows[] = {
        {true, 4 * GIB, {NONE, NONE}, 4 * GIB},
        {true, 4 * GIB, {0, 0}, 0},
        {true, 4 * GIB, {GIB, GIB}, 2 * GIB},
        {true, 4 * GIB, {GIB, NONE}, 4 * GIB},
        {true, 0, {NONE, NONE}, 0},
        {false, 4 * GIB, {0, 0}, 4 * GIB},
    };
    static struct config c;

    node_config(&c);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct room_state st = {0};
        struct snapshot s;
        struct room r;

        node_snapshot(&s, rows[i].isolate, 2);
        s.node.swap_effective = rows[i].effective;
        s.workloads[0].swap_room = rows[i].rooms[0];
        s.workloads[1].swap_room = rows[i].rooms[1];
        node_use(&s, 0, 7 * GIB);
        s.node.available = NODE_TOTAL;
        room_evaluate(&c, &s, &st, &r);
        assert_int_equal(r.swap, rows[i].swap);
        assert_int_equal(r.room, (int64_t)(r.limit - r.used + rows[i].swap));
        assert_false(r.felt);
    }
}

static void test_absent_workload_has_no_swap(void **state _unused_)
{
    static struct config c;
    struct room_state st = {0};
    struct snapshot s;
    struct room r;

    node_config(&c);
    node_snapshot(&s, true, 2);
    s.node.swap_effective = 4 * GIB;
    s.workloads[0].swap_room = GIB;
    s.workloads[1].id = 0;
    room_evaluate(&c, &s, &st, &r);
    assert_int_equal(r.swap, GIB);
}

/* When the next look is due. */
static void test_next_look(void **state _unused_)
{
    static const struct {
        bool isolate;
        struct room room;
        uint64_t peak, due;
    } rows[] = {
        /* isolate: calm is below 80 %, whatever the growth was */
        {true, {.limit = 8 * GIB, .room = 4 * GIB, .level = LEVEL_CALM}, 0, USEC_PER_SEC},
        {true, {.limit = 8 * GIB, .room = 2 * GIB, .level = LEVEL_CALM}, 64 * GIB, USEC_PER_SEC},
        /* above it: what is left over the margin, at half of the limit a second */
        {true, {.limit = 8 * GIB, .room = GIB, .level = LEVEL_LOW}, 0, 250000},
        {true, {.limit = 8 * GIB, .room = GIB, .margin = 512 * MIB, .level = LEVEL_LOW}, 0, 125000},
        {true, {.limit = 8 * GIB, .room = 4 * GIB, .level = LEVEL_LOW}, 0, USEC_PER_SEC},
        {true, {.limit = 8 * GIB, .room = 40 * MIB, .level = LEVEL_MEDIUM}, 0, 20000},
        {true, {.limit = 8 * GIB, .room = 0, .level = LEVEL_MEDIUM}, 0, 20000},
        {true, {.limit = 8 * GIB, .room = GIB, .margin = 2 * GIB, .level = LEVEL_MEDIUM}, 0, 20000},
        /* or at twice the fastest that was seen */
        {true, {.limit = 8 * GIB, .room = GIB, .level = LEVEL_LOW}, 4 * GIB, 125000},
        {true, {.limit = 8 * GIB, .room = GIB, .level = LEVEL_LOW}, GIB, 250000},
        {true, {.limit = 8 * GIB, .room = GIB, .level = LEVEL_LOW}, UINT64_C(1) << 63, 20000},
        {true, {.limit = 8 * GIB, .room = GIB, .level = LEVEL_LOW}, UINT64_MAX, 20000},
        /* something is needed: as soon as it goes */
        {true, {.limit = 8 * GIB, .room = -4096, .need = 1, .level = LEVEL_CRITICAL}, 0, 20000},
        {false, {.limit = 8 * GIB, .room = -4096, .need = 1, .level = LEVEL_CRITICAL}, 0, 10000},
        /* of what swap takes meanwhile, not so soon */
        {true,
         {.limit = 8 * GIB, .room = 4096, .need = 1, .felt = true, .time_left_usec = 2 * USEC_PER_SEC},
         0,
         100000},
        {true,
         {.limit = 8 * GIB, .room = 4096, .need = 1, .felt = true, .time_left_usec = USEC_PER_SEC},
         0,
         20000},
        {false, {.limit = 8 * GIB, .need = 1, .felt = true, .time_left_usec = UINT64_MAX}, 0, 10000},
        /* host: nothing brakes, so also when calm, at 4 GiB/s */
        {false, {.limit = 8 * GIB, .room = 8 * GIB, .level = LEVEL_CALM}, 0, USEC_PER_SEC},
        {false, {.limit = 8 * GIB, .room = 2 * GIB, .level = LEVEL_CALM}, 0, 500000},
        {false, {.limit = 8 * GIB, .room = 2 * GIB, .level = LEVEL_CALM}, 8 * GIB, 125000},
        {false, {.limit = 8 * GIB, .room = 8 * MIB, .level = LEVEL_MEDIUM}, 0, 10000},
        {false, {.limit = 0, .room = 0, .level = LEVEL_MEDIUM}, 0, 10000},
        {true, {.limit = 0, .room = INT64_MAX, .level = LEVEL_MEDIUM}, 0, USEC_PER_SEC},
        {false, {.limit = UINT64_MAX, .room = INT64_MAX, .level = LEVEL_CALM}, UINT64_MAX, 499999},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct room_state st = {.growth_peak = rows[i].peak};
        const struct snapshot s = {.isolate = rows[i].isolate};
        uint64_t due = room_next_look_usec(&s, &st, &rows[i].room);

        if (due != rows[i].due)
            fail_msg("row %zu: %ju us, not %ju", i, (uintmax_t)due, (uintmax_t)rows[i].due);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_protected_cache),
        cmocka_unit_test(test_isolate),
        cmocka_unit_test(test_ray_isolation_cases),
        cmocka_unit_test(test_own_bound),
        cmocka_unit_test(test_page_cache_is_no_reason),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_absent_workload_has_no_swap),
        cmocka_unit_test(test_next_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
