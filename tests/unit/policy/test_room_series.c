/* Looks one after the other: growth, swapping that is felt, levels. */
#include "policy.h"

#include "policy/room.h"

struct series {
    struct config c;
    struct snapshot s;
    struct room_state st;
    struct room r;
};

static int setup(void **state)
{
    static struct series one;

    memset(&one, 0, sizeof(one));
    node_config(&one.c);
    node_snapshot(&one.s, true, 2);
    node_use(&one.s, 0, GIB);
    *state = &one;
    return 0;
}

/* The next look, `after_usec` later. */
static void look(struct series *t, uint64_t after_usec)
{
    t->s.now_usec += after_usec;
    room_evaluate(&t->c, &t->s, &t->st, &t->r);
}

static void look_using(struct series *t, uint64_t after_usec, uint64_t used)
{
    node_use(&t->s, 0, used);
    look(t, after_usec);
}

/* The first look: the limit alone is what is short, and there is so much swap. */
static void begin(struct series *t, uint64_t used, uint64_t swap)
{
    t->s.node.swap_effective = swap;
    node_use(&t->s, 0, used);
    t->s.node.available = NODE_TOTAL;
    look(t, 0);
}

static void test_growth_rises_at_once_and_falls_slowly(void **state)
{
    struct series *t = *state;

    look_using(t, 0, GIB);
    assert_int_equal(t->r.growth, 0); /* what was there before is no growth */
    look_using(t, USEC_PER_SEC, 2 * GIB);
    assert_int_equal(t->r.growth, GIB);
    assert_int_equal(t->r.time_left_usec, 6 * USEC_PER_SEC);
    look_using(t, USEC_PER_SEC / 2, 3 * GIB);
    assert_int_equal(t->r.growth, 2 * GIB); /* up at once */
    look(t, USEC_PER_SEC);
    assert_int_equal(t->r.growth, GIB); /* half of it in half of its time */
    look(t, USEC_PER_SEC);
    assert_int_equal(t->r.growth, GIB / 2);
    look(t, 2 * USEC_PER_SEC);
    assert_int_equal(t->r.growth, 0);
    assert_int_equal(t->r.time_left_usec, UINT64_MAX);
    assert_true(t->st.growth_peak > GIB); /* what is plausible is remembered longer */
}

static void test_growth_falls_to_the_rate_not_below(void **state)
{
    struct series *t = *state;

    look_using(t, 0, GIB);
    look_using(t, USEC_PER_SEC, 3 * GIB);
    look_using(t, 4 * USEC_PER_SEC, 4 * GIB);
    assert_int_equal(t->r.growth, GIB / 4);
}

static void test_shrinking_is_no_growth(void **state)
{
    struct series *t = *state;

    look_using(t, 0, 4 * GIB);
    look_using(t, USEC_PER_SEC, GIB);
    assert_int_equal(t->r.growth, 0);
    look_using(t, USEC_PER_SEC, GIB + MIB);
    assert_int_equal(t->r.growth, MIB); /* from the lower place on */
}

/* The kernel accounts in batches: looks closer than 20 ms wait for one that is far enough from the last
 * counted. */
static void test_close_looks_are_put_together(void **state)
{
    struct series *t = *state;

    look_using(t, 0, GIB);
    look_using(t, 10000, GIB + 10 * MIB);
    assert_int_equal(t->r.growth, 0);
    look_using(t, 9999, GIB + 20 * MIB);
    assert_int_equal(t->r.growth, 0);
    look_using(t, 1, GIB + 20 * MIB);
    assert_int_equal(t->r.growth, 1000 * MIB); /* 20 MiB in 20 ms */
}

static void test_clock_that_stands_or_goes_back(void **state)
{
    struct series *t = *state;

    look_using(t, 0, GIB);
    for (unsigned i = 0; i < 5; i++) {
        look_using(t, 0, 2 * GIB);
        assert_int_equal(t->r.growth, 0);
    }
    t->s.now_usec -= 500 * USEC_PER_SEC;
    look_using(t, 0, 3 * GIB);
    assert_int_equal(t->r.growth, 0);
    assert_false(t->r.felt);
    assert_int_equal(t->r.level, LEVEL_CALM);
}

/* The margin covers 50 ms of growth, up to a 16th of the limit. */
static void test_margin_follows_growth(void **state)
{
    static const struct {
        uint64_t growth, margin;
    } rows[] = {
        {GIB, NODE_MARGIN},          {4 * GIB, 4 * GIB / 20},       {8 * GIB, 8 * GIB / 20},
        {20 * GIB, NODE_LIMIT / 16}, {UINT64_MAX, NODE_LIMIT / 16},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct series *t;

        (void)setup(state);
        t = *state;
        t->st = (struct room_state){
            .primed = true,
            .last_usec = t->s.now_usec,
            .last_used = GIB,
            .growth = rows[i].growth,
        };
        look(t, 0);
        assert_int_equal(t->r.margin, rows[i].margin);
    }
}

/* A start of the same load that is not seen as growth: the bound that counts has changed, and with it what
 * counts. */
static void test_change_of_bound_is_no_growth(void **state)
{
    struct series *t = *state;

    t->s.node.unreclaimable = 5 * GIB; /* 4 GiB outside, half of it over the reserve */
    look(t, 0);
    assert_int_equal(t->r.used, 3 * GIB);
    t->s.workloads[0].foreign_high = GIB + 512 * MIB;
    t->s.workloads[1].foreign_high = 0;
    look(t, USEC_PER_SEC);
    assert_int_equal(t->r.used, GIB);
    t->s.workloads[0].foreign_high = t->s.workloads[1].foreign_high = UINT64_MAX;
    look(t, USEC_PER_SEC);
    assert_int_equal(t->r.used, 3 * GIB);
    assert_int_equal(t->r.growth, 0);
}

static void stall(struct series *t, unsigned workload, uint64_t permyriad, unsigned looks)
{
    for (unsigned i = 0; i < looks; i++) {
        t->s.workloads[workload].psi_full_usec += 500 * USEC_PER_MSEC * permyriad / PERMYRIAD;
        t->s.workloads[workload].refault_bytes += MIB;
        look(t, 500 * USEC_PER_MSEC);
    }
}

static void test_swapping_is_felt_after_two_seconds(void **state)
{
    struct series *t = *state;

    begin(t, NODE_LIMIT, 4 * GIB);
    assert_int_equal(t->r.swap, 4 * GIB);
    assert_int_equal(t->r.need, 0); /* a load that swaps harmlessly is left alone */
    stall(t, 0, 2000, 3);
    assert_false(t->r.felt);
    stall(t, 0, 2000, 1);
    assert_true(t->r.felt);
    assert_int_equal(t->r.swap, 0);
    assert_int_equal(t->r.need, NODE_MARGIN);
    assert_int_equal(t->r.level, LEVEL_CRITICAL);

    stall(t, 0, 600, 60); /* less, but not over: it stays */
    assert_true(t->r.felt);
    stall(t, 0, 400, 9);
    assert_true(t->r.felt);
    stall(t, 0, 400, 1); /* 5 s below a twentieth */
    assert_false(t->r.felt);
    assert_int_equal(t->r.need, 0);
}

/* Those who stalled have ended, and others begin: nothing is held against them. */
static void test_a_stall_is_over_at_once_where_memory_is_left(void **state)
{
    struct series *t = *state;

    begin(t, NODE_LIMIT, 4 * GIB);
    stall(t, 0, 2000, 4);
    assert_true(t->r.felt);
    node_use(&t->s, 0, NODE_LIMIT / 2);
    stall(t, 0, 600, 1); /* still one */
    assert_true(t->r.felt);
    stall(t, 0, 400, 1);
    assert_false(t->r.felt);
    assert_int_equal(t->r.swap, 4 * GIB);
}

static void test_a_stall_with_memory_left_is_no_need(void **state)
{
    struct series *t = *state;

    begin(t, NODE_LIMIT, 4 * GIB);
    stall(t, 0, 2000, 4);
    t->s.workloads[0].refault_bytes += GIB;
    stall(t, 0, 2000, 1);
    assert_int_equal(t->r.need, GIB + MIB);
    node_use(&t->s, 0, NODE_LIMIT / 2); /* most of them have gone: what still comes back has its place */
    t->s.workloads[0].refault_bytes += GIB;
    stall(t, 0, 2000, 1);
    assert_true(t->r.felt);
    assert_int_equal(t->r.need, 0);
}

/* It stands still at the brake since it grows faster than the disk writes: swap goes on counting as room. */
static void test_growth_into_swap_is_not_felt(void **state)
{
    struct series *t = *state;

    begin(t, NODE_LIMIT, 8 * GIB);
    for (unsigned i = 0; i < 20; i++) {
        t->s.workloads[0].swap += 50 * MIB;
        stall(t, 0, 5000, 1); /* a MiB comes back, too */
        assert_false(t->r.felt);
        assert_int_equal(t->r.need, 0);
    }
    stall(t, 0, 5000, 20); /* now all that moves is what comes back */
    assert_true(t->r.felt);
    assert_int_equal(t->r.thrash, MIB);
}

/* Where nothing is needed a stall is told after ThrottleDeadline. */
static void test_throttled_after_the_deadline(void **state)
{
    struct series *t = *state;

    begin(t, NODE_LIMIT / 2, 0);
    stall(t, 0, 2000, 19);
    assert_true(t->r.felt);
    assert_false(t->r.throttled);
    stall(t, 0, 2000, 1);
    assert_true(t->r.throttled);
    assert_int_equal(t->r.need, 0);
    stall(t, 0, 1999, 1);
    assert_false(t->r.throttled); /* it has ended: the next one begins anew */
    node_use(&t->s, 0, NODE_LIMIT);
    stall(t, 0, 2000, 20);
    assert_true(t->r.need > 0); /* then the need is what is acted on */
    assert_false(t->r.throttled);
}

static void test_short_stalls_are_not_felt(void **state)
{
    struct series *t = *state;

    look(t, 0);
    for (unsigned i = 0; i < 20; i++) {
        stall(t, 0, 9000, 3);
        stall(t, 0, 1999, 1);
        assert_false(t->r.felt);
    }
}

/* The greatest total is of the workload that stalled yesterday; the one that stalls now must be seen all the
 * same. */
static void test_each_workload_against_its_own_total(void **state)
{
    struct series *t = *state;

    t->s.workloads[0].psi_full_usec = 3600 * USEC_PER_SEC;
    look(t, 0);
    stall(t, 1, 5000, 4);
    assert_true(t->r.felt);
    t->s.workloads[0].id = 0; /* and the quiet one goes: no stall by that */
    t->s.workloads[0].psi_full_usec = 0;
    stall(t, 1, 0, 10);
    assert_false(t->r.felt);
}

/* A cgroup of the same name begins anew, and one that comes with a history did not stall just now. */
static void test_new_cgroup_has_no_history(void **state)
{
    struct series *t = *state;

    t->s.workloads[0].psi_full_usec = 100 * USEC_PER_SEC;
    look(t, 0);
    t->s.workloads[0].id++;
    t->s.workloads[0].psi_full_usec = 0;
    stall(t, 0, 0, 2);
    t->s.workloads[0].id++;
    t->s.workloads[0].psi_full_usec = 7200 * USEC_PER_SEC;
    stall(t, 0, 0, 1);
    assert_int_equal(t->st.felt_since_usec, 0);
    stall(t, 0, 0, 5);
    assert_false(t->r.felt);
}

static void test_host_has_one_source(void **state)
{
    struct series *t = *state;

    t->s.isolate = false;
    t->s.node.psi_full_usec = 50 * USEC_PER_SEC;
    look(t, 0);
    stall(t, 0, 9000, 10); /* of a workload: not asked */
    assert_false(t->r.felt);
    for (unsigned i = 0; i < 4; i++) {
        t->s.node.psi_full_usec += 200 * USEC_PER_MSEC;
        look(t, 500 * USEC_PER_MSEC);
    }
    assert_true(t->r.felt);
}

/* Read back from swap, the pages of a sequential reader are no working set to the kernel: the wait for them
 * is on I/O. Of what is waited for there as much counts as swap has in what was read. */
static void test_waits_for_swap_are_paging(void **state)
{
    static const struct {
        unsigned io, full, some, from_swap, paging;
        bool strained;
    } rows[] = {{4000, 0, 0, 10000, 4000, true}, {4000, 0, 0, 5000, 2000, true},
                {4000, 0, 0, 4900, 1960, false}, {9000, 0, 0, 0, 0, false},
                {0, 2000, 2000, 0, 2000, true},  {0, 1999, 4999, 0, 1999, false},
                {0, 0, 5000, 0, 0, true},        {4000, 3000, 3000, 5000, 3000, true}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct series *t = *state;
        struct workload *w = &t->s.workloads[0];

        memset(&t->st, 0, sizeof(t->st));
        t->s.node.swap_effective = 8 * GIB;
        node_use(&t->s, 0, NODE_LIMIT * 9 / 10);
        w->io_full_usec = 3600 * USEC_PER_SEC; /* of before */
        t->s.node.read_bytes = t->s.node.swap_in_bytes = 100 * GIB;
        look(t, 0);
        for (unsigned k = 0; k < 2; k++) {
            w->io_full_usec += 50 * rows[i].io;
            w->psi_full_usec += 50 * rows[i].full;
            w->psi_some_usec += 50 * rows[i].some;
            t->s.node.read_bytes += 10000;
            t->s.node.swap_in_bytes += rows[i].from_swap;
            look(t, 500 * USEC_PER_MSEC);
        }
        if (t->r.paging_permyriad != rows[i].paging || t->r.strained != rows[i].strained)
            fail_msg("case %zu: %u %d", i, t->r.paging_permyriad, t->r.strained);
        assert_int_equal(t->r.level, rows[i].strained ? LEVEL_MEDIUM : LEVEL_CALM);
        node_use(&t->s, 0, NODE_LIMIT / 2); /* there is memory to grow into */
        look(t, 500 * USEC_PER_MSEC);
        assert_false(t->r.strained);
    }
}

/* 100 MiB a look go to swap; what of it comes back is told of each look. */
static void test_what_comes_back(void **state)
{
    struct series *t = *state;
    struct workload *w = &t->s.workloads[0];

    t->s.node.swap_effective = 8 * GIB;
    w->refault_bytes = 100 * GIB; /* of before */
    look(t, 500 * USEC_PER_MSEC);
    for (unsigned i = 0; i < 40; i++) {
        w->swap += 100 * MIB;
        look(t, 500 * USEC_PER_MSEC);
        assert_false(t->r.returns || t->r.wanted_back);
    }
    for (unsigned i = 0; i < 400; i++) { /* two fifths */
        w->swap += 60 * MIB;
        w->refault_bytes += 40 * MIB;
        look(t, 500 * USEC_PER_MSEC);
        assert_false(t->r.returns);
    }
    for (unsigned i = 0; i < 400; i++) {
        w->swap += 40 * MIB;
        w->refault_bytes += 60 * MIB;
        look(t, 500 * USEC_PER_MSEC);
    }
    assert_true(t->r.returns);
    w->swap = 0; /* an exit frees it: nothing is known of what it would have wanted */
    look(t, 500 * USEC_PER_MSEC);
    assert_true(t->r.returns);
    t->r.returns = false;
    w->id++; /* a new cgroup begins with nothing of its own */
    w->refault_bytes = 0;
    look(t, 500 * USEC_PER_MSEC);
    for (unsigned i = 0; i < 400; i++) {
        w->swap += 100 * MIB;
        look(t, 500 * USEC_PER_MSEC);
    }
    assert_false(t->r.returns);
}

/* What is in zswap (nothing is read) or in zram comes back without a read; of several areas each has its
 * share. */
static void test_what_comes_back_without_a_read(void **state)
{
    static const struct {
        uint64_t read, zram_used;
        bool returns;
    } rows[] = {{60 * MIB, 0, true}, {0, 0, false}, {60 * MIB, 2 * GIB, false}, {60 * MIB, 100 * MIB, true}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct series *t;
        struct workload *w;

        (void)setup(state);
        t = *state;
        w = &t->s.workloads[0];
        t->s.node.swap_total = 4 * GIB;
        t->s.node.swap_free = 2 * GIB;
        t->s.node.zram_used = rows[i].zram_used;
        t->s.node.read_bytes = t->s.node.swap_in_bytes = MIB;
        look(t, 500 * USEC_PER_MSEC);
        for (unsigned k = 0; k < 40; k++) {
            w->swap += 40 * MIB;
            w->refault_bytes += 60 * MIB;
            t->s.node.read_bytes += 4096 + rows[i].read;
            t->s.node.swap_in_bytes += rows[i].read;
            look(t, 500 * USEC_PER_MSEC);
        }
        if (t->r.returns != rows[i].returns || !t->r.wanted_back)
            fail_msg("case %zu", i);
    }
}

/* At the limit it stands still, and 50 MiB a second more have gone to swap, and 30 have come back from there.
 */
static void test_inflow(void **state)
{
    struct series *t = *state;
    struct workload *w = &t->s.workloads[0];

    node_use(&t->s, 0, NODE_LIMIT);
    look(t, 0);
    assert_int_equal(t->r.inflow, 0);
    for (unsigned i = 0; i < 4; i++) {
        w->swap += 25 * MIB;
        w->refault_bytes += 15 * MIB;
        look(t, 500 * USEC_PER_MSEC);
        assert_int_equal(t->r.inflow, 80 * MIB);
        assert_int_equal(t->r.trend, 0);
    }
    assert_int_equal(room_ahead(&t->r), NODE_MARGIN + 20 * MIB);
    t->s.node.swap_total = GIB;
    t->s.node.swap_free = GIB / 2;
    t->s.node.zram_used = GIB / 4; /* no more of it than on a disk */
    look(t, 500 * USEC_PER_MSEC);  /* slow to fall */
    assert_int_equal(t->r.inflow, 40 * MIB);
    assert_int_equal(room_ahead(&t->r), NODE_MARGIN + 10 * MIB);
    t->s.node.zram_used++;
    look(t, 0);
    assert_int_equal(room_ahead(&t->r), (NODE_MARGIN + 10 * MIB) / 3);
    look(t, 250 * USEC_PER_MSEC); /* less than a window is none */
    assert_int_equal(t->r.inflow, 40 * MIB);
}

static void test_levels(void **state)
{
    static const struct {
        uint64_t after_usec, permyriad;
        enum level level;
    } steps[] = {
        {0, 7999, LEVEL_CALM},
        {1000, 8000, LEVEL_LOW},             /* up at once */
        {1000, 7999, LEVEL_LOW},             /* not down with every page … */
        {5 * USEC_PER_SEC, 7800, LEVEL_LOW}, /* … nor within 3 % of where it began */
        {5 * USEC_PER_SEC, 7700, LEVEL_LOW},
        {1000, 7690, LEVEL_CALM},
        {1000, 9000, LEVEL_MEDIUM},
        {1000, 7000, LEVEL_MEDIUM}, /* held for a second */
        {998000, 7000, LEVEL_MEDIUM},
        {1000, 7000, LEVEL_CALM},     /* then past both */
        {1000, 9900, LEVEL_CRITICAL}, /* something is needed */
        {1000, 8500, LEVEL_CRITICAL},
        {USEC_PER_SEC, 8500, LEVEL_LOW},
        {1000, 9100, LEVEL_MEDIUM},
        {USEC_PER_SEC, 8710, LEVEL_MEDIUM},
        {USEC_PER_SEC, 8690, LEVEL_LOW},
        {1000, 9100, LEVEL_MEDIUM},
        {2 * USEC_PER_SEC, 7800, LEVEL_LOW}, /* past the one, not past the other */
    };
    struct series *t = *state;

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        t->st.growth = t->st.growth_peak = t->st.primed = 0; /* levels alone */
        node_use(&t->s, 0, NODE_LIMIT / PERMYRIAD * steps[i].permyriad + MIB / 4);
        t->s.node.available = NODE_TOTAL;
        look(t, steps[i].after_usec);
        if (t->r.level != steps[i].level)
            fail_msg("step %zu: %s, not %s", i, level_name(t->r.level), level_name(steps[i].level));
    }
}

/* Trace in, decisions out: the same looks again are the same rooms, bit by bit. */
static void test_replay(void **state)
{
    static struct room first[500];
    struct series *t;

    for (unsigned run = 0; run < 2; run++) {
        uint64_t seed = 7;

        (void)setup(state);
        t = *state;
        for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
            memset(&t->r, 0, sizeof(t->r));
            t->s.workloads[1].psi_full_usec += random_below(&seed, 100000);
            t->s.node.swap_effective = random_below(&seed, GIB);
            look_using(t, random_below(&seed, USEC_PER_SEC), random_below(&seed, 9 * GIB));
            if (run == 0)
                first[i] = t->r;
            assert_memory_equal(&t->r, &first[i], sizeof(t->r));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_growth_rises_at_once_and_falls_slowly, setup),
        cmocka_unit_test_setup(test_growth_falls_to_the_rate_not_below, setup),
        cmocka_unit_test_setup(test_shrinking_is_no_growth, setup),
        cmocka_unit_test_setup(test_close_looks_are_put_together, setup),
        cmocka_unit_test_setup(test_clock_that_stands_or_goes_back, setup),
        cmocka_unit_test_setup(test_margin_follows_growth, setup),
        cmocka_unit_test_setup(test_change_of_bound_is_no_growth, setup),
        cmocka_unit_test_setup(test_swapping_is_felt_after_two_seconds, setup),
        cmocka_unit_test_setup(test_a_stall_is_over_at_once_where_memory_is_left, setup),
        cmocka_unit_test_setup(test_a_stall_with_memory_left_is_no_need, setup),
        cmocka_unit_test_setup(test_growth_into_swap_is_not_felt, setup),
        cmocka_unit_test_setup(test_throttled_after_the_deadline, setup),
        cmocka_unit_test_setup(test_short_stalls_are_not_felt, setup),
        cmocka_unit_test_setup(test_each_workload_against_its_own_total, setup),
        cmocka_unit_test_setup(test_new_cgroup_has_no_history, setup),
        cmocka_unit_test_setup(test_host_has_one_source, setup),
        cmocka_unit_test_setup(test_waits_for_swap_are_paging, setup),
        cmocka_unit_test_setup(test_what_comes_back, setup),
        cmocka_unit_test_setup(test_what_comes_back_without_a_read, setup),
        cmocka_unit_test_setup(test_inflow, setup),
        cmocka_unit_test_setup(test_levels, setup),
        cmocka_unit_test_setup(test_replay, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
