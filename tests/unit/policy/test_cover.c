#include "policy.h"

#include "policy/cover.h"

#ifdef __SANITIZE_ADDRESS__
#define RUNS 20000
#else
#define RUNS 120000
#endif
#define SMALL_MAX 14
#define LARGE_MAX 1500

typedef unsigned __int128 wide;

static struct cover_item items[LARGE_MAX], other[LARGE_MAX];

static wide taken_bytes(const struct cover_item *set, unsigned n)
{
    wide sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += set[i].taken ? set[i].bytes : 0;
    return sum;
}

static wide taken_cost(const struct cover_item *set, unsigned n)
{
    wide sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += set[i].taken ? set[i].cost : 0;
    return sum;
}

/* No taken item can be left out. */
static void assert_minimal(const struct cover_item *set, unsigned n, uint64_t need)
{
    wide bytes = taken_bytes(set, n);

    for (unsigned i = 0; i < n; i++)
        if (set[i].taken)
            assert_true(bytes - set[i].bytes < need);
}

/* The least cost of all subsets that are enough; all ones: there is none. */
static wide brute_force(const struct cover_item *set, unsigned n, uint64_t need)
{
    static wide bytes[1 << SMALL_MAX], cost[1 << SMALL_MAX];
    wide best = ~(wide)0;

    for (unsigned mask = 1; mask < 1U << n; mask++) {
        unsigned low = (unsigned)__builtin_ctz(mask), rest = mask & (mask - 1);

        bytes[mask] = bytes[rest] + set[low].bytes;
        cost[mask] = cost[rest] + set[low].cost;
        if (bytes[mask] >= need && cost[mask] < best)
            best = cost[mask];
    }
    return best;
}

/* By cost per byte until it is enough: what anybody would do first. */
static wide greedy_cost(const struct cover_item *set, unsigned n, uint64_t need)
{
    bool used[LARGE_MAX] = {false};
    wide freed = 0, cost = 0;

    while (freed < need) {
        unsigned best = n;

        for (unsigned i = 0; i < n; i++)
            if (!used[i] && set[i].bytes > 0 &&
                (best == n || (wide)set[i].cost * set[best].bytes < (wide)set[best].cost * set[i].bytes))
                best = i;
        used[best] = true;
        freed += set[best].bytes;
        cost += set[best].cost;
    }
    return cost;
}

enum shape {
    SHAPE_PLAIN, /* 1 to 300 MiB, up to an hour */
    SHAPE_SMALL, /* numbers below eight: many ties */
    SHAPE_EQUAL_COST,
    SHAPE_PROPORTIONAL, /* a subset sum */
    SHAPE_SHIFTED,      /* cost = bytes and a constant */
    SHAPE_EXTREME,
    SHAPE_COUNT,
};

static void fill(struct cover_item *set, unsigned n, enum shape shape, uint64_t *seed)
{
    for (unsigned i = 0; i < n; i++) {
        struct cover_item *item = &set[i];
        uint64_t mib = 1 + random_below(seed, 300);

        *item = (struct cover_item){.tie = i / 2, .minor = i % 2, .index = i, .taken = true, .now = true};
        item->bytes = shape == SHAPE_SMALL     ? random_below(seed, 8)
                      : shape == SHAPE_EXTREME ? random_extreme(seed)
                                               : mib * MIB + random_below(seed, 256) * 4096;
        item->cost = shape == SHAPE_SMALL          ? random_below(seed, 8)
                     : shape == SHAPE_EXTREME      ? random_extreme(seed)
                     : shape == SHAPE_EQUAL_COST   ? 77 * USEC_PER_SEC
                     : shape == SHAPE_PROPORTIONAL ? item->bytes / 64
                     : shape == SHAPE_SHIFTED      ? item->bytes / 64 + 50 * MIB
                                                   : 1 + random_below(seed, 3600 * USEC_PER_SEC);
        if (random_below(seed, 20) == 0)
            item->bytes = 0;
        if (random_below(seed, 20) == 0)
            item->cost = 0;
    }
}

/* A share of what there is; at times all of it, more than it, or nothing. */
static uint64_t random_need(const struct cover_item *set, unsigned n, uint64_t *seed)
{
    wide all = 0;

    for (unsigned i = 0; i < n; i++)
        all += set[i].bytes;
    switch (random_below(seed, 12)) {
    case 0:
        return 0;
    case 1:
        return all > UINT64_MAX ? UINT64_MAX : (uint64_t)all;
    case 2:
        return all >= UINT64_MAX ? UINT64_MAX : (uint64_t)all + 1 + random_below(seed, GIB);
    case 3:
        return 1;
    default:
        all = all * random_below(seed, 10001) / 10000;
        return all > UINT64_MAX ? UINT64_MAX : (uint64_t)all;
    }
}

static void check(const struct cover_item *set, unsigned n, uint64_t need, enum cover_method method)
{
    wide all = 0;

    for (unsigned i = 0; i < n; i++)
        all += set[i].bytes;
    if (need == 0 || n == 0) {
        assert_int_equal(method, COVER_NONE);
        assert_true(taken_bytes(set, n) == 0 && taken_cost(set, n) == 0);
    } else if (all <= need) {
        assert_int_equal(method, COVER_ALL);
        for (unsigned i = 0; i < n; i++)
            assert_true(set[i].taken == (set[i].bytes > 0));
    } else {
        assert_true(method == COVER_EXACT || method == COVER_QUANTISED);
        assert_true(taken_bytes(set, n) >= need);
    }
    assert_minimal(set, n, need);
}

static void test_equals_brute_force(void **state _unused_)
{
    unsigned quantised = 0;

    for (uint64_t run = 0; run < RUNS; run++) {
        uint64_t seed = run, need;
        unsigned n = (unsigned)random_below(&seed, (run & 15) == 0 ? SMALL_MAX + 1 : 11);
        enum cover_method method;
        wide best;

        fill(items, n, (enum shape)(run % SHAPE_COUNT), &seed);
        need = random_need(items, n, &seed);
        best = brute_force(items, n, need);
        method = cover_choose(items, n, need);
        check(items, n, need, method);
        quantised += method == COVER_QUANTISED;
        if (method == COVER_EXACT)
            assert_true(taken_cost(items, n) == best);
    }
    assert_int_equal(quantised, 0); /* so few are always searched to the end */
}

/* Mixed sizes, as in a pool of workers: twenty, of 10 to 300 MiB, whatever they have done. */
static void test_twenty_are_exact(void **state _unused_)
{
    for (uint64_t run = 0; run < RUNS / 20; run++) {
        uint64_t seed = run, need = (50 + random_below(&seed, 2000)) * MIB;

        for (unsigned i = 0; i < 20; i++)
            items[i] = (struct cover_item){
                .bytes = 10 * MIB + random_below(&seed, 290 * MIB),
                .cost = 1 + random_below(&seed, 600 * USEC_PER_SEC),
                .tie = i,
            };
        assert_true(cover_choose(items, 20, need) != COVER_QUANTISED);
    }
}

/* Whether exact or not: enough, nothing superfluous, and never dearer than what a greedy choice would take.
 */
static void test_large(void **state _unused_)
{
    unsigned methods[COVER_QUANTISED + 1] = {0};

    for (uint64_t run = 0; run < RUNS / 200; run++) {
        uint64_t seed = run, need;
        unsigned n = 15 + (unsigned)random_below(&seed, run % 10 == 0 ? LARGE_MAX - 15 : 100);
        enum cover_method method;

        fill(items, n, (enum shape)(run % SHAPE_COUNT), &seed);
        need = random_need(items, n, &seed);
        method = cover_choose(items, n, need);
        check(items, n, need, method);
        if (method == COVER_EXACT || method == COVER_QUANTISED)
            assert_true(taken_cost(items, n) <= greedy_cost(items, n, need));
        methods[method]++;
    }
    assert_true(methods[COVER_EXACT] > 0 && methods[COVER_QUANTISED] > 0); /* both were met */
}

/* The greedy set costs at most twice the optimum, so the quantised one does: with one large item that is
 * enough and many small ones, the fractional bound is as bad as it gets. */
static void test_quantised_is_bounded(void **state _unused_)
{
    for (uint64_t run = 0; run < RUNS / 200; run++) {
        uint64_t seed = run, need;
        wide best = ~(wide)0, found;
        unsigned n = 60;

        /* Equal costs, so that the optimum is known: the largest first. */
        fill(items, n, SHAPE_EQUAL_COST, &seed);
        for (unsigned i = 0; i < n; i++)
            items[i].cost = 77 * USEC_PER_SEC;
        need = (1 + random_below(&seed, 4000)) * MIB;
        memcpy(other, items, sizeof(items));
        for (unsigned k = 0, done = 0; !done; k++) {
            unsigned largest = 0;
            static uint64_t sum;

            sum = k == 0 ? 0 : sum;
            for (unsigned i = 1; i < n; i++)
                if (other[i].bytes > other[largest].bytes)
                    largest = i;
            sum += other[largest].bytes;
            other[largest].bytes = 0;
            done = sum >= need || k + 1 == n;
            best = (wide)(k + 1) * 77 * USEC_PER_SEC;
        }
        if (cover_choose(items, n, need) == COVER_ALL)
            continue;
        found = taken_cost(items, n);
        assert_true(found >= best && found <= 2 * best);
    }
}

static void shuffle(struct cover_item *set, unsigned n, uint64_t *seed)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned j = (unsigned)random_below(seed, i);
        struct cover_item t = set[j];

        set[j] = set[i - 1];
        set[i - 1] = t;
    }
}

static void test_order_of_input_is_nothing(void **state _unused_)
{
    for (uint64_t run = 0; run < RUNS / 20; run++) {
        uint64_t seed = run, need;
        unsigned n = 1 + (unsigned)random_below(&seed, run % 100 == 0 ? 300 : 24);
        bool taken[LARGE_MAX];
        enum cover_method method;

        fill(items, n, (enum shape)(run % SHAPE_COUNT), &seed);
        need = random_need(items, n, &seed);
        memcpy(other, items, n * sizeof(items[0]));
        shuffle(other, n, &seed);
        method = cover_choose(items, n, need);
        for (unsigned i = 0; i < n; i++)
            taken[items[i].index] = items[i].taken;
        assert_int_equal(cover_choose(other, n, need), method);
        for (unsigned i = 0; i < n; i++)
            assert_true(other[i].taken == taken[other[i].index]);
    }
}

/* More small ones than the tables of the approximation hold, and all of those together are not enough. */
static void test_more_than_the_tables_hold(void **state _unused_)
{
    for (unsigned i = 0; i < LARGE_MAX; i++)
        items[i] =
            (struct cover_item){.bytes = MIB + i % 7 * 4096, .cost = 1000 + i % 5, .tie = i, .index = i};
    assert_true(cover_choose(items, LARGE_MAX, 1400 * MIB) != COVER_NONE);
    assert_true(taken_bytes(items, LARGE_MAX) >= 1400 * MIB);
    assert_minimal(items, LARGE_MAX, 1400 * MIB);
}

#define BINS 256 /* COVER_BINS: sizes that are whole bins are not rounded */

/* Sizes in bins, and costs that go with them so nearly that the search cannot be finished. */
static void fill_bins(unsigned n, uint64_t bin_bytes, uint64_t noise, uint64_t *seed)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t bins = 2 + random_below(seed, 90);

        items[i] = (struct cover_item){
            .bytes = bins * bin_bytes, .cost = bins * 1000 + random_below(seed, noise), .tie = i, .index = i};
    }
}

/* The least cost of 256 bins or more, over all of them. */
static uint64_t least_cost_of_bins(unsigned n, uint64_t bin_bytes)
{
    uint64_t cost[BINS + 1] = {0};

    for (unsigned b = 1; b <= BINS; b++)
        cost[b] = UINT64_MAX;
    for (unsigned i = 0; i < n; i++)
        for (unsigned b = BINS; b > 0; b--) {
            unsigned bins = (unsigned)(items[i].bytes / bin_bytes);

            cost[b] = u64_min(cost[b], u64_add_cap(cost[b > bins ? b - bins : 0], items[i].cost));
        }
    return cost[BINS];
}

/* Where nothing is rounded the approximation is exact, too. */
static void test_nothing_rounded(void **state _unused_)
{
    unsigned quantised = 0;

    assert_int_equal(BINS, COVER_BINS);
    for (uint64_t run = 0; run < 600; run++) {
        uint64_t seed = run, bin_bytes = 4096 * (1 + random_below(&seed, 1000)), best;
        unsigned n = 30 + (unsigned)random_below(&seed, 200);

        fill_bins(n, bin_bytes, 1 + run % 40, &seed);
        best = least_cost_of_bins(n, bin_bytes);
        quantised += cover_choose(items, n, BINS * bin_bytes) == COVER_QUANTISED;
        assert_true(taken_cost(items, n) == best);
    }
    assert_true(quantised > 0);
}

/* A need that is a few bytes more than that: rounding must not lose them. */
static void test_odd_needs(void **state _unused_)
{
    unsigned quantised = 0;

    for (uint64_t run = 0; run < RUNS / 200; run++) {
        uint64_t seed = run, bin_bytes = 4096 * (1 + random_below(&seed, 1000));
        uint64_t need = BINS * bin_bytes + 1 + random_below(&seed, BINS - 1);

        fill_bins(200, bin_bytes, 1, &seed);
        quantised += cover_choose(items, 200, need) == COVER_QUANTISED;
        assert_true(taken_bytes(items, 200) >= need);
        assert_minimal(items, 200, need);
    }
    assert_true(quantised > 0);
}

static void test_ties(void **state _unused_)
{
    struct cover_item three[] = {
        {.bytes = 10, .cost = 5, .tie = 7, .minor = 1, .index = 0},
        {.bytes = 10, .cost = 5, .tie = 9, .minor = 0, .index = 1},
        {.bytes = 10, .cost = 5, .tie = 7, .minor = 2, .index = 2},
    };

    assert_int_equal(cover_choose(three, 3, 15), COVER_EXACT); /* the newest two */
    for (unsigned i = 0; i < 3; i++)
        assert_true(three[i].taken == (three[i].index != 0));
}

static void test_names(void **state _unused_)
{
    assert_string_equal(cover_method_name(COVER_NONE), "none");
    assert_string_equal(cover_method_name(COVER_QUANTISED), "quantised");
    assert_string_equal(cover_method_name((enum cover_method)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_brute_force),
        cmocka_unit_test(test_twenty_are_exact),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_quantised_is_bounded),
        cmocka_unit_test(test_order_of_input_is_nothing),
        cmocka_unit_test(test_more_than_the_tables_hold),
        cmocka_unit_test(test_nothing_rounded),
        cmocka_unit_test(test_odd_needs),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
