/* The one that is to blame goes first, however old. */
#include "victims.h"

#define LEAK (200 * MIB) /* of growth */

/* Five well-behaved tasks, and one that is oldest, has used most CPU, and leaks. */
static struct group *leak(struct victims *t)
{
    struct group *g;

    for (unsigned i = 0; i < 5; i++)
        victims_add(t, CLASS_BATCH, 20 + i, 300 * MIB)->growth_bytes = 10 * MIB;
    g = victims_add(t, CLASS_BATCH, 900, 20 * GIB);
    g->cpu_usec = 5000 * USEC_PER_SEC;
    g->growth_bytes = LEAK;
    return g;
}

static void assert_culprit(struct victims *t, uint64_t id)
{
    victims_choose(t, 100 * MIB);
    assert_int_equal(t->d.victim_count, 1);
    assert_true(t->d.victims[0].id == id && t->d.victims[0].culprit);
    assert_int_equal(t->d.method, METHOD_CULPRIT);
    assert_int_equal(t->candidates[id - 1].verdict, VERDICT_CULPRIT);
}

static void assert_no_culprit(struct victims *t)
{
    victims_choose(t, 100 * MIB);
    assert_int_equal(t->d.reason, DECISION_KILL);
    assert_int_not_equal(t->d.method, METHOD_CULPRIT);
    for (unsigned i = 0; i < t->d.victim_count; i++)
        assert_false(t->d.victims[i].culprit);
}

/* A share of 10 GiB: six of them under 60. */
static void test_over_its_fair_share(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    assert_culprit(t, 6);
    g->anon = 10 * GIB + 1;
    assert_culprit(t, 6);
    g->anon = 10 * GIB;
    assert_no_culprit(t);
    g->shmem = MIB; /* held is held, whether it comes back or not */
    assert_culprit(t, 6);
    g->shmem = 0;
    g->kernel = MIB;
    assert_culprit(t, 6);
}

/* What others have asked for is not to be shared out: (60 − 48) / 3 is 4 GiB. */
static void test_share_less_requests(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    g->anon = 4 * GIB + 1;
    assert_no_culprit(t);
    for (unsigned i = 0; i < 3; i++)
        t->groups[i].claims = (struct group_claims){.has_request = true, .request_bytes = 16 * GIB};
    assert_culprit(t, 6);
    g->anon = 4 * GIB;
    assert_no_culprit(t);
}

static void test_over_its_request(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    g->anon = 200 * MIB; /* smaller than any other: what it asked for is what counts */
    g->claims = (struct group_claims){.has_request = true, .request_bytes = 200 * MIB};
    assert_no_culprit(t);
    g->claims.request_bytes--;
    assert_culprit(t, 6);
}

/* Without a request only the odd one out is to blame: among large ones of its class it is one of many. */
static void test_largest_of_its_class(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    t->groups[0].anon = g->anon - 1;
    assert_culprit(t, 6);
    t->groups[0].anon = g->anon;
    assert_no_culprit(t);
    t->groups[0].class_index = CLASS_SERVICE; /* not of its class */
    assert_culprit(t, 6);
}

static void test_more_than_half_of_the_growth(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    t->groups[0].growth_bytes = LEAK - 40 * MIB; /* 200 of 400 */
    assert_no_culprit(t);
    g->growth_bytes += 2;
    assert_culprit(t, 6);
    t->groups[0].growth_bytes = UINT64_MAX; /* sums do not wrap */
    assert_no_culprit(t);
}

static void test_noise_is_no_growth(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    for (unsigned i = 0; i < 5; i++)
        t->groups[i].growth_bytes = 0;
    g->growth_bytes = 4 * MIB;
    assert_culprit(t, 6);
    g->growth_bytes--;
    assert_no_culprit(t);
}

/* Somebody less important is there: he goes by least progress, and the grower stays. */
static void test_only_at_the_lowest_priority(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    g->class_index = CLASS_OTHER;
    assert_no_culprit(t);
    for (unsigned i = 0; i < 5; i++)
        t->groups[i].class_index = CLASS_OTHER;
    assert_culprit(t, 6);
    t->groups[0].class_index = CLASS_BATCH;
    assert_no_culprit(t);
    t->groups[0].anon = 0; /* nobody gains by him */
    assert_culprit(t, 6);
    t->groups[0].anon = 300 * MIB;
    t->groups[0].class_index = CLASS_WORK; /* the same priority, and not retriable */
    for (unsigned i = 1; i < 6; i++)
        t->groups[i].class_index = CLASS_BATCH;
    assert_culprit(t, 6);
}

static void test_not_who_may_not_be_killed(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    g->class_index = CLASS_PROTECTED;
    assert_no_culprit(t);
    g->class_index = CLASS_SPARED;
    assert_no_culprit(t);
    g->class_index = CLASS_BATCH;
    g->dying = g->stuck = true;
    assert_no_culprit(t);
}

/* It is killed to stop its growth, even if nothing comes back at once. */
static void test_one_that_frees_nothing(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    g->anon = 0;
    g->shmem = 20 * GIB;
    assert_culprit(t, 6);
    assert_true(t->d.expected_bytes == 0);
}

/* It alone: whether that was enough is seen afterwards. */
static void test_alone(void **state)
{
    struct victims *t = *state;

    (void)leak(t)->anon;
    victims_choose(t, 30 * GIB);
    assert_string_equal(victims_ids(&t->d), "6");
    assert_true(t->d.growth_permyriad == LEAK * PERMYRIAD / (LEAK + 50 * MIB));
}

/* A decoy of a lower priority, which an owner who is not root may ask for, does not let his leak off. */
static void test_decoy(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t), *decoy;

    g->owner_uid = 1000;
    decoy = victims_add(t, CLASS_BATCH, 1, MIB);
    decoy->owner_uid = 1000;
    assert_culprit(t, 6);
    decoy->claims = (struct group_claims){.has_priority = true, .priority = 0};
    assert_culprit(t, 6);
    decoy->owner_uid = 0; /* of root it is believed */
    assert_no_culprit(t);
}

/* Nor may he name a request for a neighbour's fair share to shrink, or for his own to grow. */
static void test_requests_of_others(void **state)
{
    struct victims *t = *state;
    struct group *g = leak(t);

    g->anon = 10 * GIB;
    t->groups[0].owner_uid = t->groups[1].owner_uid = 1000;
    for (unsigned i = 0; i < 2; i++)
        t->groups[i].claims = (struct group_claims){.has_request = true, .request_bytes = 20 * GIB};
    assert_no_culprit(t);
    g->anon++;
    g->owner_uid = 1000;
    g->claims = t->groups[0].claims;
    assert_culprit(t, 6);
}

#define TEST(f) cmocka_unit_test_setup(f, victims_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_over_its_fair_share),
        TEST(test_share_less_requests),
        TEST(test_over_its_request),
        TEST(test_largest_of_its_class),
        TEST(test_more_than_half_of_the_growth),
        TEST(test_noise_is_no_growth),
        TEST(test_only_at_the_lowest_priority),
        TEST(test_not_who_may_not_be_killed),
        TEST(test_one_that_frees_nothing),
        TEST(test_alone),
        TEST(test_decoy),
        TEST(test_requests_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
