/* The orders of a class. */
#include "victims.h"

#include "policy/order.h"

/* Order=newest goes by age: one that has used much CPU in its short life is as new as it is. */
static void test_newest_is_by_age(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_NEWEST, 5, 100 * MIB)->cpu_usec = 40 * USEC_PER_SEC;
    victims_add(t, CLASS_NEWEST, 10, 100 * MIB);
    victims_choose(t, 50 * MIB);
    assert_string_equal(victims_ids(&t->d), "1");
    t->groups[0].claims = (struct group_claims){.has_started = true, .started_usec = 5};
    victims_choose(t, 50 * MIB);
    assert_string_equal(victims_ids(&t->d), "2"); /* root says that it is older than it looks */
}

/* Each order takes another of the same five, and goes on in its order. */
static void test_orders(void **state _unused_)
{
    static const struct {
        enum order order;
        const char *victims;
    } rows[] = {
        {ORDER_OLDEST, "1 2"}, {ORDER_LARGEST, "2 5"},      {ORDER_GROWTH, "3 5"},
        {ORDER_SWAP, "4 5"},   {ORDER_OVER_REQUEST, "5 4"}, {ORDER_NEWEST, "5 4"},
    };
    /* their requests: none of them is a culprit, all are over */
    static const unsigned age[] = {50, 40, 30, 20, 10}, anon[] = {100, 160, 120, 140, 150},
                          request[] = {99, 155, 110, 100, 90}, growth[] = {1, 2, 3, 1, 2},
                          swap[] = {1, 0, 2, 9, 7};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct victims *t = victims_new();

        t->c.classes[CLASS_WORK].order = rows[i].order;
        for (unsigned k = 0; k < 5; k++) {
            struct group *g = victims_add(t, CLASS_WORK, age[k], anon[k] * MIB);

            g->claims = (struct group_claims){.has_request = true, .request_bytes = request[k] * MIB};
            g->growth_bytes = growth[k] * MIB;
            g->swap = swap[k] * MIB;
        }
        victims_choose(t, 180 * MIB);
        if (strcmp(victims_ids(&t->d), rows[i].victims) != 0)
            fail_msg("order %d: %s, not %s", rows[i].order, victims_ids(&t->d), rows[i].victims);
        assert_int_equal(t->d.method, METHOD_ORDER);
    }
}

/* Who is over his request goes before who is not, whatever their priorities and however much a retry costs;
 * then the lower priority; then who is most over (its eviction manager's ranking). */
static void test_the_kubelets_order(void **state)
{
    static const struct {
        unsigned anon_mib, request_mib, priority;
    } rows[] = {
        {500, 100, 300}, /* 1: over, important */
        {900, 950, 10},  /* 2: within, of no importance */
        {200, 100, 50},  /* 3: over */
        {300, 100, 50},  /* 4: more over */
        {120, 0, 50},    /* 5: no request: all of it is over */
    };
    static const char *const order[] = {"4", "5", "3", "1", "2"};
    struct victims *t = *state;

    t->c.classes[CLASS_BATCH].order = ORDER_KUBELET;
    t->c.classes[CLASS_BATCH].priority = 400; /* an owner may say less */
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
        struct group *g = victims_add(t, CLASS_BATCH, 100, rows[k].anon_mib * MIB);

        g->claims = (struct group_claims){.has_request = rows[k].request_mib > 0,
                                          .request_bytes = rows[k].request_mib * MIB,
                                          .has_priority = true,
                                          .priority = rows[k].priority};
    }
    for (size_t k = 0; k < ARRAY_SIZE(order); k++) {
        victims_choose(t, 50 * MIB);
        assert_string_equal(victims_ids(&t->d), order[k]);
        t->groups[order[k][0] - '1'].anon = 0; /* it has gone */
    }
}

/* From the first on until it is enough; of them the last that are not needed are given back. */
static void test_what_is_not_needed_is_given_back(void **state _unused_)
{
    static const unsigned mib[] = {40, 10, 100, 30}, rank[] = {3, 1, 4, 2};
    static const struct {
        unsigned need;
        const char *taken; /* by their ranks */
    } rows[] = {{0, ""},    {10, "1"},  {11, "2"},   {35, "12"},
                {45, "13"}, {70, "23"}, {120, "24"}, {500, "1234"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct cover_item items[ARRAY_SIZE(mib)];
        char taken[ARRAY_SIZE(mib) + 1] = "";
        size_t n = 0;

        for (unsigned k = 0; k < ARRAY_SIZE(mib); k++)
            items[k] = (struct cover_item){.bytes = mib[k] * MIB, .cost = rank[k], .index = k};
        order_choose(items, ARRAY_SIZE(items), rows[i].need * MIB);
        for (unsigned k = 0; k < ARRAY_SIZE(items); k++)
            if (items[k].taken)
                taken[n++] = (char)('0' + items[k].cost);
        if (strcmp(taken, rows[i].taken) != 0)
            fail_msg("need of %u MiB: %s, not %s", rows[i].need, taken, rows[i].taken);
    }
}

#define TEST(f) cmocka_unit_test_setup(f, victims_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_newest_is_by_age),
        TEST(test_orders),
        TEST(test_the_kubelets_order),
        cmocka_unit_test(test_what_is_not_needed_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
