/* Shortage on some NUMA nodes: when there is a need, and who may be taken for it. */
#include "victims.h"

#include "policy/numa.h"

/* Two nodes of 32 GiB: the limit of one is 31 GiB, the margin 128 MiB. */
#define EACH (32 * GIB)
#define LIMIT (EACH - GIB)

static struct numa_state numa;
static struct room domain;

static void use(struct victims *t, unsigned node, uint64_t used)
{
    t->s.numa[node] = (struct numa_node){.total = EACH, .available = EACH - used, .unreclaimable = used};
}

static struct victims *begin(void)
{
    struct victims *t = victims_new();

    memset(&numa, 0, sizeof(numa));
    memset(&domain, 0, sizeof(domain));
    t->s.numa_nodes = 3;
    use(t, 0, GIB);
    use(t, 1, GIB);
    return t;
}

/* A group that is bound to these nodes, has all of its memory there, and grows so. */
static struct group *bind(struct victims *t, uint64_t nodes, uint64_t anon, uint64_t growth)
{
    struct group *g = victims_add(t, CLASS_WORK, 100, anon);

    g->mems = nodes;
    g->growth_bytes = growth;
    g->on_nodes = (struct group_memory){.anon = nodes == 1 ? anon : 0};
    return g;
}

static uint64_t need_of(const struct victims *t, uint64_t nodes)
{
    struct room r;

    numa_room(&t->s, &numa, &domain, nodes, &r);
    assert_true(r.nodes == nodes);
    return r.need;
}

static void test_need(void **state _unused_)
{
    static const struct {
        uint64_t used, growth, swap;
        uint64_t need;
    } table[] = {
        {GIB, GIB, 0, 0},
        {LIMIT - 128 * MIB, GIB, 0, 0},
        {LIMIT - 100 * MIB, GIB, 0, 28 * MIB},
        {LIMIT, GIB, 0, 128 * MIB},
        {LIMIT + MIB, GIB, 0, 129 * MIB},
        {EACH, GIB, 0, 128 * MIB + GIB},
        {EACH, 16 * MIB, 0, 128 * MIB + GIB},
        {EACH, 16 * MIB - 1, 0, 0}, /* nobody who is bound there grows: others fill it and go on elsewhere */
        {EACH, 0, 0, 0},
        {LIMIT, GIB, 100 * MIB, 28 * MIB}, /* swap is room */
        {LIMIT, GIB, GIB, 0},
        {EACH, GIB, UINT64_MAX, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct victims *t = begin();

        bind(t, 1, GIB, table[i].growth);
        use(t, 0, table[i].used);
        domain.swap_left = table[i].swap;
        numa_note_groups(&t->s, &numa);
        if (need_of(t, 1) != table[i].need)
            fail_msg("case %zu: %ju", i, (uintmax_t)need_of(t, 1));
    }
}

/* What is available bounds the room, too: watermarks, memory that is on its way. */
static void test_available(void **state _unused_)
{
    struct victims *t = begin();

    bind(t, 1, GIB, GIB);
    t->s.numa[0].available = 28 * MIB;
    numa_note_groups(&t->s, &numa);
    assert_true(need_of(t, 1) == 100 * MIB);
}

static void test_sets(void **state _unused_)
{
    struct victims *t = begin();
    struct room r;

    numa_note_groups(&t->s, &numa);
    assert_false(numa_tightest(&t->s, &numa, &domain, &r)); /* nobody is bound */
    assert_true(numa_next_look_usec(&t->s, &numa, &domain) == UINT64_MAX);
    use(t, 0, EACH);
    assert_false(numa_is_filling(&t->s, &numa));

    bind(t, 2, GIB, GIB);
    bind(t, 2, GIB, GIB);
    numa_note_groups(&t->s, &numa);
    assert_int_equal(numa.set_count, 1);
    assert_true(numa_tightest(&t->s, &numa, &domain, &r));
    assert_true(r.nodes == 2 && r.need == 0);
    assert_false(numa_is_filling(&t->s, &numa));

    bind(t, 1, GIB, GIB);
    numa_note_groups(&t->s, &numa);
    assert_int_equal(numa.set_count, 2);
    assert_true(numa_tightest(&t->s, &numa, &domain, &r));
    assert_true(r.nodes == 1 && r.need == GIB + 128 * MIB && r.level == LEVEL_CRITICAL);
    assert_true(numa_is_filling(&t->s, &numa));

    /* Four nodes: who is bound to one of a pair grows in that pair, too; and more sets than have a place. */
    t = begin();
    t->s.numa_nodes = UINT64_MAX;
    bind(t, 1, GIB, GIB);
    bind(t, 3, GIB, GIB);
    numa_note_groups(&t->s, &numa);
    assert_true(numa.grown[0] == GIB && numa.grown[1] == 2 * GIB);
    for (unsigned n = 0; n < 50; n++)
        bind(t, NODELIST_BIT(n + 2), MIB, 0);
    numa_note_groups(&t->s, &numa);
    assert_int_equal(numa.set_count, NUMA_SETS_MAX);

    /* One node alone. */
    t->s.numa_nodes = 0;
    numa_note_groups(&t->s, &numa);
    numa_note_look(&t->s, &numa);
    assert_int_equal(numa.set_count, 0);
    assert_false(numa_tightest(&t->s, &numa, &domain, &r));
}

/* 200 MB/s: the looks come before the limit does, and the margin grows with it. */
static void test_growth(void **state _unused_)
{
    struct victims *t = begin();
    uint64_t used = GIB, least = UINT64_MAX;
    struct room r = {0};

    t->s.numa[0].total = 512 * MIB;
    bind(t, 1, GIB, GIB);
    numa_note_groups(&t->s, &numa);
    for (used = 100 * MIB; used < 512 * MIB && r.need == 0;) {
        uint64_t wait;

        use(t, 0, used);
        t->s.numa[0].total = 512 * MIB;
        t->s.numa[0].available = 512 * MIB - used;
        numa_note_look(&t->s, &numa);
        assert_true(numa_tightest(&t->s, &numa, &domain, &r));
        wait = numa_next_look_usec(&t->s, &numa, &domain);
        least = u64_min(least, wait);
        t->s.now_usec += wait;
        used += u64_mul_div(200 * MIB, wait, USEC_PER_SEC);
    }
    assert_true(r.need > 0);
    assert_true(r.used < 512 * MIB - 30 * MIB);
    assert_true(r.growth > 190 * MIB && r.growth < 210 * MIB);
    assert_true(r.margin >= 15 * MIB);
    assert_true(least >= 10 * USEC_PER_MSEC);
}

/* Only who holds memory there is taken, and only what he holds there counts. */
static void test_candidates(void **state _unused_)
{
    struct victims *t = begin();
    struct group *g;

    bind(t, 1, 4 * GIB, 0);                       /* 1 */
    g = victims_add(t, CLASS_BATCH, 1, 20 * GIB); /* 2: newest, lowest, largest, and on the other node */
    g->mems = 2;
    g = victims_add(t, CLASS_BATCH, 1, 20 * GIB); /* 3: bound nowhere, and has nothing there */
    g = victims_add(t, CLASS_BATCH, 2, 20 * GIB); /* 4: bound nowhere, and has a part there */
    g->on_nodes = (struct group_memory){.anon = GIB};
    memset(&t->d, 0, sizeof(t->d));
    t->d.room = (struct room){.nodes = 1, .limit = LIMIT, .need = 500 * MIB, .margin = 128 * MIB};
    victim_choose(&t->c, &t->s, &t->state, &t->scratch, &t->d);
    assert_string_equal(victims_ids(&t->d), "4");
    assert_true(t->d.expected_bytes == GIB);
    assert_int_equal(t->candidates[1].verdict, VERDICT_ELSEWHERE);
    assert_int_equal(t->candidates[2].verdict, VERDICT_ELSEWHERE);
    assert_int_equal(t->d.candidates, 2);

    memset(&t->d, 0, sizeof(t->d));
    t->d.room = (struct room){.nodes = 1, .limit = LIMIT, .need = 2 * GIB, .margin = 128 * MIB};
    victim_choose(&t->c, &t->s, &t->state, &t->scratch, &t->d);
    assert_string_equal(victims_ids(&t->d), "1"); /* which alone is enough */
}

/* Who grows on the other node is not to blame, however fast; who grows here is. */
static void test_culprit(void **state _unused_)
{
    struct victims *t = begin();
    struct group *g;

    g = bind(t, 2, 25 * GIB, 10 * GIB);
    bind(t, 1, 20 * GIB, GIB);
    bind(t, 1, 4 * GIB, 0);
    memset(&t->d, 0, sizeof(t->d));
    t->d.room = (struct room){.nodes = 1, .limit = LIMIT, .need = 500 * MIB, .margin = 128 * MIB};
    victim_choose(&t->c, &t->s, &t->state, &t->scratch, &t->d);
    assert_string_equal(victims_ids(&t->d), "2");
    assert_int_equal(t->d.method, METHOD_CULPRIT);
    assert_true(t->d.growth_permyriad == PERMYRIAD);

    /* Nobody there: nobody is taken. */
    t->s.group_count = 1;
    g->mems = 2;
    memset(&t->d, 0, sizeof(t->d));
    t->d.room = (struct room){.nodes = 1, .limit = LIMIT, .need = 500 * MIB, .margin = 128 * MIB};
    victim_choose(&t->c, &t->s, &t->state, &t->scratch, &t->d);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
}

static void test_extremes(void **state _unused_)
{
    uint64_t seed = 7;

    for (unsigned i = 0; i < 20000; i++) {
        struct victims *t = begin();
        struct room r;

        t->s.numa_nodes = random_extreme(&seed);
        for (unsigned n = 0; n < NODELIST_MAX; n++)
            t->s.numa[n] =
                (struct numa_node){random_extreme(&seed), random_extreme(&seed), random_extreme(&seed)};
        domain.swap_left = random_extreme(&seed);
        bind(t, random_extreme(&seed) & t->s.numa_nodes, GIB, random_extreme(&seed));
        numa_note_groups(&t->s, &numa);
        numa_note_look(&t->s, &numa);
        t->s.now_usec += random_below(&seed, USEC_PER_SEC);
        numa_note_look(&t->s, &numa);
        if (numa_tightest(&t->s, &numa, &domain, &r))
            assert_true(r.need == 0 || r.level == LEVEL_CRITICAL);
        (void)numa_next_look_usec(&t->s, &numa, &domain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_need),     cmocka_unit_test(test_available),  cmocka_unit_test(test_sets),
        cmocka_unit_test(test_growth),   cmocka_unit_test(test_candidates), cmocka_unit_test(test_culprit),
        cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
