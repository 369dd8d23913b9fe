#include "policy.h"

#include "policy/ladder.h"
#include "policy/limit.h"

#define RUNS 1000000

static void test_choose(void **state _unused_)
{
    /* notify, reclaim, pause, kill: possible, covers, usec */
    static const struct {
        struct ladder_rung rungs[ACTION_COUNT];
        uint64_t left;
        enum action chosen;
    } rows[] = {
        /* the gentlest that covers and is in time */
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 10}}, 1000, ACTION_NOTIFY},
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 10}}, 500, ACTION_NOTIFY},
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 10}}, 499, ACTION_RECLAIM},
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 10}}, 99, ACTION_PAUSE},
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 10}}, 29, ACTION_KILL},
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 10}}, 10, ACTION_KILL},
        {{{true, true, 0}, {true, true, 0}, {true, true, 0}, {true, true, 0}}, 0, ACTION_NOTIFY},
        {{{true, true, UINT64_MAX}, {0}, {0}, {true, true, 1}}, UINT64_MAX, ACTION_NOTIFY},
        /* that it is quick is nothing where it does not cover, or where nobody is there for it */
        {{{true, false, 1}, {true, false, 1}, {true, false, 1}, {true, true, 10}}, 1000, ACTION_KILL},
        {{{true, false, 1}, {true, true, 100}, {true, false, 1}, {true, true, 10}}, 1000, ACTION_RECLAIM},
        {{{false, true, 1}, {false, true, 1}, {true, true, 30}, {true, true, 10}}, 1000, ACTION_PAUSE},
        /* none is in time: the quickest that covers, of two alike the gentler */
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 10}}, 9, ACTION_KILL},
        {{{true, true, 500}, {true, true, 100}, {true, true, 30}, {true, true, 40}}, 9, ACTION_PAUSE},
        {{{true, true, 30}, {true, true, 100}, {true, true, 30}, {true, true, 40}}, 9, ACTION_NOTIFY},
        {{{true, false, 1}, {true, true, 100}, {0}, {true, false, 10}}, 9, ACTION_RECLAIM},
        /* none covers: the harshest that is possible */
        {{{true, false, 1}, {true, false, 1}, {true, false, 1}, {true, false, 1}}, 1000, ACTION_KILL},
        {{{true, false, 1}, {true, false, 1}, {true, false, 1}, {false, true, 1}}, 1000, ACTION_PAUSE},
        {{{true, false, 1}, {0}, {0}, {0}}, 1000, ACTION_NOTIFY},
        /* none is possible */
        {{{0}, {0}, {0}, {0}}, 1000, ACTION_COUNT},
        {{{false, true, 1}, {false, true, 1}, {false, true, 1}, {false, true, 1}}, 1000, ACTION_COUNT},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(ladder_choose(rows[i].rungs, rows[i].left), rows[i].chosen);
}

static uint64_t random_usec(uint64_t *seed)
{
    return random_below(seed, 2) == 0 ? random_below(seed, 6) : random_extreme(seed);
}

static bool is_good(const struct ladder_rung *rung, uint64_t left)
{
    return rung->possible && rung->covers && rung->usec <= left;
}

static void check(const struct ladder_rung rungs[static ACTION_COUNT], uint64_t left)
{
    enum action chosen = ladder_choose(rungs, left);
    unsigned possible = 0, covering = 0;

    for (enum action a = 0; a < ACTION_COUNT; a++) {
        possible += rungs[a].possible;
        covering += rungs[a].possible && rungs[a].covers;
    }
    assert_int_equal(chosen == ACTION_COUNT, possible == 0);
    if (chosen == ACTION_COUNT)
        return;
    assert_in_range(chosen, 0, ACTION_COUNT - 1);
    assert_true(rungs[chosen].possible);
    assert_true(rungs[chosen].covers || covering == 0);
    for (enum action a = 0; a < ACTION_COUNT; a++) {
        if (a < chosen)
            assert_false(is_good(&rungs[a], left));
        if (a > chosen && is_good(&rungs[a], left))
            assert_true(rungs[chosen].usec <= left && rungs[chosen].covers);
        if (a > chosen && covering == 0)
            assert_false(rungs[a].possible);
        if (rungs[a].possible && rungs[a].covers && rungs[chosen].usec > left)
            assert_true(rungs[chosen].usec <= rungs[a].usec);
    }
}

static void test_every_choice(void **state _unused_)
{
    uint64_t seed = 1;

    for (unsigned run = 0; run < RUNS; run++) {
        struct ladder_rung rungs[ACTION_COUNT];

        for (enum action a = 0; a < ACTION_COUNT; a++)
            rungs[a] = (struct ladder_rung){
                .possible = random_below(&seed, 3) != 0,
                .covers = random_below(&seed, 3) != 0,
                .usec = random_usec(&seed),
            };
        check(rungs, random_usec(&seed));
    }
}

/* A limit of 8 GiB, so that the least margin is 128 MiB. */
static void test_pause_covers(void **state _unused_)
{
    static const struct {
        uint64_t margin;
        int64_t room;
        bool felt;
        uint64_t thrash, growth_permyriad;
        bool covers;
    } rows[] = {
        /* nothing grows: the least margin is what has to be there */
        {128 * MIB, 128 * MIB, false, 0, 0, true},
        {128 * MIB, 128 * MIB - 1, false, 0, PERMYRIAD, false},
        {0, 128 * MIB, false, 0, 0, true},
        {0, 128 * MIB - 1, false, 0, 0, false},
        /* the margin for growth shrinks with the growth that stops */
        {1128 * MIB, 1128 * MIB, false, 0, 0, true},
        {1128 * MIB, 1128 * MIB - 1, false, 0, 0, false},
        {1128 * MIB, 628 * MIB, false, 0, 5000, true},
        {1128 * MIB, 628 * MIB - 1, false, 0, 5000, false},
        {1128 * MIB, 128 * MIB, false, 0, PERMYRIAD, true},
        {1128 * MIB, 128 * MIB - 1, false, 0, PERMYRIAD, false},
        {1128 * MIB, 128 * MIB, false, 0, UINT64_MAX, true},
        {1128 * MIB, 128 * MIB, false, 0, PERMYRIAD - 1, false},
        {UINT64_MAX, INT64_MAX, false, 0, 0, false},
        {UINT64_MAX, 128 * MIB, false, 0, PERMYRIAD, true},
        /* over the limit: what is too much has to go */
        {1128 * MIB, 0, false, 0, PERMYRIAD, false},
        {1128 * MIB, -1, false, 0, PERMYRIAD, false},
        {0, INT64_MIN, false, 0, PERMYRIAD, false},
        /* a stall on what was swapped out: fewer that run end it, whatever the room */
        {1128 * MIB, INT64_MIN, true, 1, 0, true},
        {1128 * MIB, 0, true, GIB, 0, true},
        {1128 * MIB, 0, true, 0, 0, false},
        {1128 * MIB, 0, false, GIB, 0, false},
    };

    assert_int_equal(limit_margin(NODE_LIMIT), NODE_MARGIN);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct room r = {
            .limit = NODE_LIMIT,
            .margin = rows[i].margin,
            .room = rows[i].room,
            .felt = rows[i].felt,
            .thrash = rows[i].thrash,
        };

        assert_int_equal(ladder_pause_covers(&r, rows[i].growth_permyriad), rows[i].covers);
    }
}

/* More growth that stops, or more room, is never worse. */
static void test_pause_covers_more(void **state _unused_)
{
    uint64_t seed = 2;

    for (unsigned run = 0; run < RUNS / 4; run++) {
        struct room r = {
            .limit = random_extreme(&seed),
            .margin = random_extreme(&seed),
            .room = (int64_t)(random_extreme(&seed) / 4),
            .felt = random_below(&seed, 4) == 0,
            .thrash = random_below(&seed, 2),
        };
        uint64_t growth = random_below(&seed, PERMYRIAD + 2);

        if (!ladder_pause_covers(&r, growth))
            continue;
        assert_true(ladder_pause_covers(&r, growth + random_below(&seed, PERMYRIAD)));
        r.room += (int64_t)random_below(&seed, GIB);
        assert_true(ladder_pause_covers(&r, growth));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_every_choice),
        cmocka_unit_test(test_pause_covers),
        cmocka_unit_test(test_pause_covers_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
