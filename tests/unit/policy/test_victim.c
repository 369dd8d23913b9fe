/* Who is killed, and who is not and why. */
#include "victims.h"

static void test_nobody(void **state)
{
    struct victims *t = *state;

    victims_choose(t, MIB);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
    assert_int_equal(t->d.victim_count, 0);
    victims_add(t, CLASS_PROTECTED, 5, GIB);
    victims_add(t, CLASS_SPARED, 5, GIB);
    victims_add(t, CLASS_BATCH, 5, VICTIM_USEFUL_BYTES - 1);
    victims_add(t, CLASS_BATCH, 5, GIB)->populated = false;
    victims_add(t, CLASS_BATCH, 5, GIB)->claims.omit = true;
    victims_choose(t, MIB);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
    assert_int_equal(t->d.candidates, 0);
    assert_int_equal(t->d.passed_over, 1);
    assert_int_equal(t->d.groups, 5);
    assert_int_equal(t->candidates[0].verdict, VERDICT_PROTECTED);
    assert_int_equal(t->candidates[1].verdict, VERDICT_ACTIONS);
    assert_int_equal(t->candidates[2].verdict, VERDICT_NOTHING);
    assert_int_equal(t->candidates[3].verdict, VERDICT_DYING);
    assert_int_equal(t->candidates[4].verdict, VERDICT_PROTECTED);
}

/* Groups as they come: class, age in seconds, MiB, and what root says of them. */
struct row {
    unsigned class;
    unsigned age_sec;
    unsigned mib;
    uint64_t request_mib; /* 0: none */
    bool avoid;
};

static const struct {
    const char *what;
    struct row groups[6];
    unsigned need_mib;
    const char *victims;
    enum decision_method method;
} tables[] = {
    {"the lowest priority, though it did most",
     {{CLASS_OTHER, 1, 500, 0, 0}, {CLASS_WORK, 900, 500, 0, 0}, {CLASS_SERVICE, 1, 500, 0, 0}},
     100,
     "2",
     METHOD_EXACT},
    {"the retriable before the other",
     {{CLASS_WORK, 1, 500, 0, 0}, {CLASS_BATCH, 900, 500, 0, 0}},
     100,
     "2",
     METHOD_EXACT},
    {"over its request before within it",
     {{CLASS_BATCH, 1, 500, 600, 0}, {CLASS_BATCH, 900, 500, 400, 0}},
     100,
     "2",
     METHOD_EXACT},
    {"without a request before within it",
     {{CLASS_BATCH, 1, 500, 600, 0}, {CLASS_BATCH, 900, 500, 0, 0}},
     100,
     "2",
     METHOD_EXACT},
    {"over its request or without one: no matter",
     {{CLASS_BATCH, 2, 500, 400, 0}, {CLASS_BATCH, 1, 500, 0, 0}},
     100,
     "2",
     METHOD_EXACT},
    {"retriable counts more than the request",
     {{CLASS_WORK, 1, 500, 0, 0}, {CLASS_BATCH, 900, 500, 600, 0}},
     100,
     "2",
     METHOD_EXACT},
    {"who asked to be avoided goes last of his tier",
     {{CLASS_BATCH, 1, 500, 0, 1}, {CLASS_BATCH, 900, 500, 0, 0}, {CLASS_WORK, 1, 500, 0, 0}},
     600,
     "2 1",
     METHOD_EXACT},
    {"the least progress",
     {{CLASS_BATCH, 30, 500, 0, 0}, {CLASS_BATCH, 10, 500, 0, 0}, {CLASS_BATCH, 20, 500, 0, 0}},
     100,
     "2",
     METHOD_EXACT},
    {"two young ones rather than an old one",
     {{CLASS_BATCH, 30, 500, 0, 0}, {CLASS_BATCH, 10, 300, 0, 0}, {CLASS_BATCH, 12, 300, 0, 0}},
     400,
     "2 3",
     METHOD_EXACT},
    {"an old one that is enough rather than three young ones",
     {{CLASS_BATCH, 30, 500, 0, 0},
      {CLASS_BATCH, 11, 200, 0, 0},
      {CLASS_BATCH, 12, 200, 0, 0},
      {CLASS_BATCH, 13, 200, 0, 0}},
     450,
     "1",
     METHOD_EXACT},
    {"not the cheapest by the byte, if another is enough by itself",
     {{CLASS_BATCH, 10, 1000, 0, 0}, {CLASS_BATCH, 2, 100, 0, 0}},
     50,
     "2",
     METHOD_EXACT},
    {"a whole tier, and of the next what is still needed",
     {{CLASS_BATCH, 900, 300, 0, 0}, {CLASS_WORK, 30, 500, 0, 0}, {CLASS_WORK, 10, 300, 0, 0}},
     500,
     "1 3",
     METHOD_EXACT},
    {"the small one of the lower tier is given back: the one of the next tier is enough",
     {{CLASS_BATCH, 1, 100, 0, 0}, {CLASS_WORK, 30, 900, 0, 0}},
     500,
     "2",
     METHOD_EXACT},
    {"given back: only what is not needed",
     {{CLASS_BATCH, 1, 100, 0, 0}, {CLASS_BATCH, 2, 300, 0, 0}, {CLASS_WORK, 30, 900, 0, 0}},
     1100,
     "2 3",
     METHOD_EXACT},
    {"all there are",
     {{CLASS_BATCH, 1, 100, 0, 0}, {CLASS_WORK, 2, 100, 0, 0}, {CLASS_SERVICE, 3, 100, 0, 0}},
     5000,
     "1 2 3",
     METHOD_ALL},
    {"just enough is enough",
     {{CLASS_BATCH, 1, 100, 0, 0}, {CLASS_BATCH, 2, 100, 0, 0}, {CLASS_WORK, 1, 100, 0, 0}},
     200,
     "1 2",
     METHOD_ALL},
    {"the newest, whatever its size",
     {{CLASS_NEWEST, 10, 100, 0, 0}, {CLASS_NEWEST, 5, 900, 0, 0}, {CLASS_NEWEST, 20, 100, 0, 0}},
     50,
     "2",
     METHOD_ORDER},
    {"the newest, until it is enough",
     {{CLASS_NEWEST, 10, 100, 0, 0}, {CLASS_NEWEST, 5, 100, 0, 0}, {CLASS_NEWEST, 20, 100, 0, 0}},
     150,
     "2 1",
     METHOD_ORDER},
    {"of the newest, the ones that a larger one makes superfluous are given back",
     {{CLASS_NEWEST, 10, 900, 0, 0}, {CLASS_NEWEST, 5, 100, 0, 0}, {CLASS_NEWEST, 20, 100, 0, 0}},
     500,
     "1",
     METHOD_ORDER},
};

static void test_tiers(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        struct victims *t = victims_new();

        for (size_t j = 0; j < 6 && tables[i].groups[j].mib > 0; j++) {
            const struct row *row = &tables[i].groups[j];
            struct group *g = victims_add(t, row->class, row->age_sec, row->mib * MIB);

            g->claims.has_request = row->request_mib > 0;
            g->claims.request_bytes = row->request_mib * MIB;
            g->claims.avoid = row->avoid;
        }
        victims_choose(t, tables[i].need_mib * MIB);
        if (strcmp(victims_ids(&t->d), tables[i].victims) != 0)
            print_error("table %zu: %s\n", i, tables[i].what);
        assert_string_equal(victims_ids(&t->d), tables[i].victims);
        assert_int_equal(t->d.method, tables[i].method);
        assert_int_equal(t->d.reason, DECISION_KILL);
    }
}

/* Why the others were not taken. */
static void test_verdicts(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 10, 100 * MIB);
    victims_add(t, CLASS_BATCH, 20, 100 * MIB);
    victims_add(t, CLASS_WORK, 1, 100 * MIB);
    victims_add(t, CLASS_SERVICE, 1, 100 * MIB);
    victims_choose(t, 50 * MIB);
    assert_int_equal(t->candidates[0].verdict, VERDICT_CHOSEN);
    assert_int_equal(t->candidates[1].verdict, VERDICT_NOT_NEEDED);
    assert_int_equal(t->candidates[2].verdict, VERDICT_TIER);
    assert_int_equal(t->candidates[3].verdict, VERDICT_TIER);
    assert_int_equal(t->d.candidates, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(t->candidates[i].group_index, i);
        assert_true(t->candidates[i].id == t->groups[i].id);
    }
}

static void test_what_a_victim_is(void **state)
{
    struct victims *t = *state;
    struct group *g = victims_add(t, CLASS_BATCH, 10, 100 * MIB);

    g->pid = 77;
    g->kernel = 7 * MIB;
    g->shmem = 40 * MIB;
    g->swap = GIB; /* swap is no memory that comes back */
    g->cpu_usec = 25 * USEC_PER_SEC;
    g->claims.task = 99;
    (void)strcpy(g->comm, "worker");
    victims_choose(t, 50 * MIB);
    assert_int_equal(t->d.victim_count, 1);
    assert_true(t->d.victims[0].pid == 77 && t->d.victims[0].id == 1 && t->d.victims[0].task == 99);
    assert_string_equal(t->d.victims[0].path, g->path);
    assert_string_equal(t->d.victims[0].comm, "worker");
    assert_true(t->d.victims[0].expected_bytes == 107 * MIB && t->d.expected_bytes == 107 * MIB);
    assert_true(t->d.victims[0].shmem_bytes == 40 * MIB);
    assert_true(t->d.victims[0].age_usec == 10 * USEC_PER_SEC);
    assert_true(t->d.victims[0].progress_usec == 25 * USEC_PER_SEC);
    assert_false(t->d.victims[0].culprit);
}

/* Born in the same microsecond: the higher id, and of processes the higher pid. */
static void test_ties(void **state)
{
    struct victims *t = *state;

    for (unsigned i = 0; i < 3; i++)
        victims_add(t, CLASS_BATCH, 10, 100 * MIB);
    victims_choose(t, 50 * MIB);
    assert_string_equal(victims_ids(&t->d), "3");
    for (unsigned i = 0; i < 3; i++) {
        t->groups[i].id = 7;
        t->groups[i].pid = (pid_t)(i == 1 ? 900 : 20 + i);
    }
    victims_choose(t, 50 * MIB);
    assert_int_equal(t->d.victims[0].pid, 900);
    for (unsigned i = 0; i < 3; i++)
        t->groups[i].class_index = CLASS_NEWEST;
    victims_choose(t, 50 * MIB);
    assert_int_equal(t->d.victims[0].pid, 900);
}

static void test_dying_is_waited_for(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 10, GIB);
    victims_add(t, CLASS_BATCH, 20, GIB)->dying = true;
    victims_choose(t, MIB);
    assert_int_equal(t->d.reason, DECISION_WAITING);
    assert_int_equal(t->d.victim_count, 0);
    t->groups[1].stuck = true; /* it will not die: go on, without it */
    victims_choose(t, 3 * GIB);
    assert_int_equal(t->d.reason, DECISION_KILL);
    assert_string_equal(victims_ids(&t->d), "1");
    assert_int_equal(t->candidates[1].verdict, VERDICT_DYING);
}

/* More than one decision takes: those that free most, and the next decision goes on. */
static void test_too_many(void **state)
{
    struct victims *t = *state;

    for (unsigned i = 0; i < GROUPS_MAX; i++)
        victims_add(t, CLASS_BATCH, 10 + i, (i % 2 == 0 ? 10 : 20) * MIB);
    victims_choose(t, 10 * GIB);
    assert_int_equal(t->d.victim_count, DECISION_VICTIMS_MAX);
    assert_true(t->d.expected_bytes == DECISION_VICTIMS_MAX * 20 * MIB);
    for (unsigned i = 0; i < GROUPS_MAX; i++)
        assert_int_equal(t->candidates[i].verdict, i % 2 == 0 ? VERDICT_NO_ROOM : VERDICT_CHOSEN);
}

/* Twenty groups of 10 to 300 MiB, and 250 MiB are needed: no set that is enough costs less progress, and
 * where the sizes allow it little more than that is freed. */
static void test_mixed_sizes(void **state _unused_)
{
    uint64_t freed = 0, needed = 0;
    unsigned over = 0, runs = 100;

    for (uint64_t run = 0; run < runs; run++) {
        struct victims *t = victims_new();
        static uint64_t bytes[1 << 20], cost[1 << 20];
        uint64_t seed = run, lost = 0, best = UINT64_MAX;

        for (unsigned i = 0; i < 20; i++) {
            struct group *g =
                victims_add(t, CLASS_BATCH, 1, 10 * MIB + random_below(&seed, 290 * 256 + 1) * 4096);

            g->birth_usec = t->s.now_usec - random_below(&seed, 600 * USEC_PER_SEC);
        }
        for (uint32_t mask = 1; mask < 1U << 20; mask++) {
            const struct group *g = &t->groups[__builtin_ctz(mask)];
            uint32_t rest = mask & (mask - 1);

            bytes[mask] = bytes[rest] + g->anon;
            cost[mask] = cost[rest] + (t->s.now_usec - g->birth_usec);
            if (bytes[mask] >= 250 * MIB && cost[mask] < best)
                best = cost[mask];
        }
        victims_choose(t, 250 * MIB);
        assert_int_equal(t->d.method, METHOD_EXACT);
        for (unsigned i = 0; i < t->d.victim_count; i++)
            lost += t->d.victims[i].progress_usec;
        assert_true(lost == best);
        freed += t->d.expected_bytes;
        needed += 250 * MIB;
        over += t->d.expected_bytes > 325 * MIB;
    }
    print_message("mixed sizes: freed/needed = %ju %%, over 130 %% in %u of %u\n",
                  (uintmax_t)(freed * 100 / needed), over, runs);
    assert_true(freed * 10 <= needed * 13);
}

#define TEST(f) cmocka_unit_test_setup(f, victims_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody),           TEST(test_tiers),       TEST(test_verdicts),
        TEST(test_what_a_victim_is), TEST(test_ties),        TEST(test_dying_is_waited_for),
        TEST(test_too_many),         TEST(test_mixed_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
