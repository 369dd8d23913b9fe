/* Values at the ends of 64 bits: no sum wraps, and what comes out still means what it says. A sanitizer build
 * sees what the laws do not. */
#include "policy.h"

#include "policy/limit.h"
#include "policy/room.h"

static void random_node(uint64_t *seed, struct config *c, struct snapshot *s)
{
    struct node *n = &s->node;

    node_config(c);
    c->system_reserve.value = random_extreme(seed);
    c->host_limit = random_below(seed, 2) ? HOST_LIMIT_RAY : HOST_LIMIT_AUTO;
    c->min_free = (struct amount){random_below(seed, 2) ? AMOUNT_BYTES : AMOUNT_UNSET, random_extreme(seed)};
    s->isolate = random_below(seed, 2);
    s->now_usec += random_below(seed, 8) ? random_below(seed, 5 * USEC_PER_SEC) : random_extreme(seed);
    n->total = random_extreme(seed);
    n->available = random_extreme(seed);
    n->unreclaimable = random_extreme(seed);
    n->swap_effective = random_extreme(seed);
    n->psi_full_usec = random_extreme(seed);
    s->limit_step = random_below(seed, 4) ? 0 : random_extreme(seed);
    s->workload_count = (unsigned)random_below(seed, SNAPSHOT_WORKLOADS_MAX + 1);
    for (unsigned i = 0; i < s->workload_count; i++) {
        struct workload *w = &s->workloads[i];

        w->id = random_below(seed, 3);
        w->used = random_extreme(seed);
        w->foreign_high = random_extreme(seed);
        w->max = random_extreme(seed);
        w->swap_room = random_extreme(seed);
        w->psi_full_usec = random_extreme(seed);
    }
}

static void check_laws(const struct snapshot *s, const struct room *r)
{
    __int128 shortage = (__int128)r->margin - r->room;

    assert_true(r->limit <= s->node.total);
    assert_true(r->margin >= 4 * MIB);
    assert_true(r->margin <=
                (r->limit / 16 > limit_margin(r->limit) ? r->limit / 16 : limit_margin(r->limit)));
    /* need = max(0, margin − room, thrash), as far as 64 bits say it */
    if (shortage <= (__int128)r->thrash)
        assert_int_equal(r->need, r->thrash);
    else
        assert_true((__int128)r->need == shortage || r->need == UINT64_MAX);
    assert_true(r->thrash == 0 || r->felt);
    assert_true(r->felt ? r->swap == 0 : r->swap <= s->node.swap_effective);
    /* Swap that is felt is no room, but it lasts. */
    if (r->room <= 0 && !r->felt)
        assert_int_equal(r->time_left_usec, 0);
    else if (r->room > 0 && r->growth == 0)
        assert_int_equal(r->time_left_usec, UINT64_MAX);
    assert_true(r->level == LEVEL_CRITICAL || (r->need == 0 && r->level < LEVEL_CRITICAL));
    if (r->by_available)
        assert_true(s->node.available < r->limit);
}

static void test_extremes(void **state _unused_)
{
    static struct config c;
    uint64_t seed = 64;
    struct room_state st = {0};
    struct snapshot s;
    struct room r;

    node_snapshot(&s, true, 1);
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t due;

        if (i % 16 == 0)
            memset(&st, 0, sizeof(st));
        random_node(&seed, &c, &s);
        room_evaluate(&c, &s, &st, &r);
        check_laws(&s, &r);
        due = room_next_look_usec(&s, &st, &r);
        assert_true(due >= (s.isolate ? 20000 : 10000) && due <= USEC_PER_SEC);
        if (r.need > 0)
            assert_int_equal(due, !s.isolate                                       ? 10000
                                  : r.felt && r.time_left_usec >= 2 * USEC_PER_SEC ? 100000
                                                                                   : 20000);
    }
}

/* As far below zero as it goes: room is INT64_MIN + 1, and the need is more than a signed number holds. */
static void test_need_beyond_signed(void **state _unused_)
{
    static struct config c;
    struct room_state st = {0};
    struct snapshot s;
    struct room r;

    node_config(&c);
    node_snapshot(&s, true, 1);
    node_use(&s, 0, UINT64_MAX);
    room_evaluate(&c, &s, &st, &r);
    assert_int_equal(r.room, -INT64_MAX);
    assert_int_equal(r.need, (uint64_t)INT64_MAX + NODE_MARGIN);
}

static void test_room_beyond_signed(void **state _unused_)
{
    static struct config c;
    struct room_state st = {0};
    struct snapshot s;
    struct room r;

    node_config(&c);
    node_snapshot(&s, true, 1);
    s.node.total = s.node.available = s.node.swap_effective = UINT64_MAX;
    room_evaluate(&c, &s, &st, &r);
    assert_int_equal(r.room, INT64_MAX);
    assert_int_equal(r.need, 0);
    assert_int_equal(r.level, LEVEL_CALM);
}

/* A limit of nothing: everything is over it, and the margin is its least. */
static void test_no_limit_left(void **state _unused_)
{
    static struct config c;
    struct room_state st = {0};
    struct snapshot s;
    struct room r;

    node_config(&c);
    c.system_reserve.value = UINT64_MAX;
    node_snapshot(&s, true, 1);
    room_evaluate(&c, &s, &st, &r);
    assert_int_equal(r.limit, 0);
    assert_int_equal(r.need, 4 * MIB);
    assert_int_equal(r.level, LEVEL_CRITICAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_need_beyond_signed),
        cmocka_unit_test(test_room_beyond_signed),
        cmocka_unit_test(test_no_limit_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
