/* Whose memory is pushed out, and what is learned from what it brought. */
#include "pauses.h"

#include "policy/reclaim.h"

#define RUNS 200000

static struct pauses *reclaiming(struct reclaim_state *state)
{
    struct pauses *t = pauses_new();

    reclaim_state_init(state);
    t->s.isolate = true;
    t->s.workload_count = 2;
    t->s.workloads[0] = (struct workload){.id = 1, .anon = 100 * MIB, .swap_room = UINT64_MAX};
    t->s.workloads[1] = (struct workload){.id = 2, .anon = 900 * MIB, .swap_room = UINT64_MAX};
    t->s.groups_usec = t->s.now_usec;
    t->r.swap_left = GIB;
    return t;
}

/* "whole 1 64M", "2 100M" (by id), or "none". */
static const char *chosen(struct pauses *t, const struct reclaim_state *state, uint64_t bytes)
{
    static char text[64];
    struct reclaim_target target;

    if (!reclaim_choose(&t->c, &t->s, &t->r, state, bytes, false, &target))
        return "none";
    (void)snprintf(text, sizeof(text), "%s%u %uM", target.class_index == RECLAIM_WHOLE ? "whole " : "",
                   target.class_index == RECLAIM_WHOLE ? target.index : (unsigned)t->groups[target.index].id,
                   (unsigned)(target.bytes / MIB));
    return text;
}

static void test_one_priority_is_one_whole(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);

    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M"); /* nobody is there */
    pauses_add(t, CLASS_BATCH, 10, 300 * MIB);
    pauses_add(t, CLASS_WORK, 20, 600 * MIB);
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
    t->s.workloads[1].swap_room = 50 * MIB; /* its own limit of swap */
    assert_string_equal(chosen(t, &st, 200 * MIB), "whole 0 100M");
    t->r.swap_left = 30 * MIB;
    assert_string_equal(chosen(t, &st, 200 * MIB), "whole 0 30M");
    t->r.swap_left = 0;
    assert_string_equal(chosen(t, &st, 200 * MIB), "none");
}

static void test_lowest_priority_first(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);

    pauses_add(t, CLASS_OTHER, 10, 600 * MIB);
    pauses_add(t, CLASS_BATCH, 20, 100 * MIB);
    pauses_add(t, CLASS_WORK, 30, 200 * MIB);
    assert_string_equal(chosen(t, &st, 64 * MIB), "3 64M"); /* of one priority whoever holds most */
    assert_string_equal(chosen(t, &st, GIB), "3 200M");
    pauses_paused(&t->groups[1], t, 5);
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M"); /* but the paused one first */
    t->groups[1].anon = t->groups[2].anon = 0;
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    t->r.level = LEVEL_LOW; /* does not reclaim */
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
    t->r.level = LEVEL_MEDIUM;
    t->s.groups_usec -= RECLAIM_FRESH_USEC + 1; /* who holds what is not known any more */
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
}

static void test_only_of_the_paused(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);
    struct reclaim_target target;

    pauses_add(t, CLASS_BATCH, 10, 600 * MIB);
    pauses_add(t, CLASS_WORK, 20, 100 * MIB);
    assert_false(reclaim_choose(&t->c, &t->s, &t->r, &st, 64 * MIB, true, &target));
    pauses_paused(&t->groups[1], t, 5);
    t->r.level = LEVEL_CALM; /* that he waits is reason enough */
    assert_true(reclaim_choose(&t->c, &t->s, &t->r, &st, 200 * MIB, true, &target));
    assert_int_equal(target.index, 1);
    assert_int_equal(target.bytes, 100 * MIB);
    t->s.groups_usec -= RECLAIM_FRESH_USEC + 1;
    assert_false(reclaim_choose(&t->c, &t->s, &t->r, &st, 64 * MIB, true, &target));
}

/* Where what goes comes back, nobody has cold pages: the newest gives, at any level, and also where the
 * groups were read a while ago. */
static void test_newest_where_all_is_wanted_back(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);

    pauses_add(t, CLASS_BATCH, 30, 300 * MIB);
    pauses_add(t, CLASS_WORK, 10, 100 * MIB);
    pauses_add(t, CLASS_BATCH, 20, 400 * MIB);
    t->r.wanted_back = true;
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
    t->r.level = LEVEL_CALM;
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
    t->s.groups_usec -= 5 * USEC_PER_SEC; /* they are read that often while all is calm */
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
    reclaim_note_outcome(&st, CLASS_WORK, t->s.now_usec, 64 * MIB, 0, 1000); /* of another one, it may be */
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
    t->groups[1].anon = 31 * MIB; /* has not much left */
    assert_string_equal(chosen(t, &st, 64 * MIB), "3 64M");
    t->r.in_zram = true; /* takes memory itself */
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
    t->r.in_zram = false;
    reclaim_note_spent(&st, 3, t->s.now_usec); /* next to nothing came of it */
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    t->s.now_usec += USEC_PER_SEC;
    t->s.groups_usec += USEC_PER_SEC;
    assert_string_equal(chosen(t, &st, 64 * MIB), "3 64M");
    pauses_paused(&t->groups[0], t, 5); /* nobody touches his */
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    t->groups[0].paused = t->groups[0].frozen = false;
    t->groups[2].swap_limited = true; /* and may not swap */
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    pauses_add(t, CLASS_SERVICE, 1, 600 * MIB); /* lowest priority first */
    pauses_add(t, CLASS_PROTECTED, 1, 600 * MIB);
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    t->r.level = LEVEL_CALM;
    t->groups[0].anon = 31 * MIB; /* nobody of it has much: not whoever has it of a higher one */
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
    t->groups[0].anon = 600 * MIB;
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    for (uint64_t id = 100; id < 108; id++) /* as many as are remembered: the next one may be one, too */
        reclaim_note_spent(&st, id, t->s.now_usec);
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
    t->s.now_usec += USEC_PER_SEC;
    t->s.groups_usec += USEC_PER_SEC;
    t->s.workloads[0].swap_room = 0; /* may not swap, whatever its groups may */
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
    t->s.workloads[0].swap_room = UINT64_MAX;
    t->s.groups_usec -= 5 * USEC_PER_SEC;
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
}

/* So also among those of one priority where others must not give. */
static void test_newest_of_one_priority(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);

    pauses_add(t, CLASS_BATCH, 30, 300 * MIB);
    pauses_add(t, CLASS_WORK, 10, 100 * MIB);
    pauses_add(t, CLASS_OTHER, 1, 600 * MIB);
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M"); /* whoever holds most */
    t->r.wanted_back = true;
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
}

static void test_who_may_not(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);

    pauses_add(t, CLASS_PROTECTED, 10, 600 * MIB);
    pauses_add(t, CLASS_BATCH, 20, 100 * MIB)->pid = 77; /* one process of many: not by itself */
    pauses_add(t, CLASS_BATCH, 20, 100 * MIB)->dying = true;
    pauses_add(t, CLASS_SERVICE, 20, 100 * MIB); /* out of the level's reach */
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
    pauses_add(t, CLASS_OTHER, 20, 10 * MIB);
    assert_string_equal(chosen(t, &st, 64 * MIB), "5 10M");
    t->c.classes[CLASS_OTHER].actions &= ~ACTION_BIT(ACTION_RECLAIM);
    assert_string_equal(chosen(t, &st, 64 * MIB), "whole 1 64M");
}

static void test_fruitless_is_passed_over(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);

    pauses_add(t, CLASS_OTHER, 10, 600 * MIB);
    pauses_add(t, CLASS_BATCH, 20, 100 * MIB);
    reclaim_note_outcome(&st, CLASS_BATCH, t->s.now_usec, 64 * MIB, 6 * MIB, 1000);
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    t->s.now_usec += USEC_PER_SEC;
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
    for (unsigned i = 0; i < 20; i++)
        reclaim_note_outcome(&st, CLASS_BATCH, t->s.now_usec, 64 * MIB, 0, 1000);
    t->s.now_usec += 32 * USEC_PER_SEC - 1;
    t->s.groups_usec = t->s.now_usec;
    assert_string_equal(chosen(t, &st, 64 * MIB), "1 64M");
    t->s.now_usec++;
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
    reclaim_note_outcome(&st, CLASS_BATCH, t->s.now_usec, 64 * MIB, 32 * MIB, 1000);
    reclaim_note_outcome(&st, CLASS_BATCH, t->s.now_usec, 64 * MIB, 0, 1000); /* begins anew */
    t->s.now_usec += USEC_PER_SEC;
    assert_string_equal(chosen(t, &st, 64 * MIB), "2 64M");
}

static void test_what_is_expected(void **state _unused_)
{
    struct reclaim_state st;
    struct pauses *t = reclaiming(&st);
    struct reclaim_target target;

    assert_true(reclaim_choose(&t->c, &t->s, &t->r, &st, 64 * MIB, false, &target));
    assert_int_equal(target.expected_bytes, 32 * MIB);
    assert_int_equal(target.expected_usec, USEC_PER_SEC);
    for (unsigned i = 0; i < 100; i++)
        reclaim_note_outcome(&st, RECLAIM_WHOLE, t->s.now_usec, 64 * MIB, 64 * MIB, 100 * USEC_PER_MSEC);
    assert_true(reclaim_choose(&t->c, &t->s, &t->r, &st, 64 * MIB, false, &target));
    assert_true(target.expected_bytes > 63 * MIB && target.expected_bytes <= 64 * MIB);
    assert_true(target.expected_usec > 99 * USEC_PER_MSEC && target.expected_usec < 101 * USEC_PER_MSEC);
}

/* Whatever is said: never a protected or dying group, one process, or more than it holds, swap takes and was
 * asked for. */
static void test_laws(void **state _unused_)
{
    uint64_t seed = 4;

    for (unsigned run = 0; run < RUNS; run++) {
        struct reclaim_state st;
        struct pauses *t = reclaiming(&st);
        struct reclaim_target target;
        uint64_t bytes = random_extreme(&seed);
        unsigned n = (unsigned)random_below(&seed, 6);

        t->r.level = (enum level)random_below(&seed, LEVEL_COUNT);
        t->r.swap_left = random_extreme(&seed);
        t->r.wanted_back = random_below(&seed, 2) == 0;
        t->r.in_zram = random_below(&seed, 2) == 0;
        t->s.groups_usec -= random_below(&seed, 2) == 0 ? 4 * USEC_PER_SEC : 0;
        t->s.workloads[0].swap_room = random_extreme(&seed);
        for (unsigned i = 0; i < n; i++) {
            struct group *g =
                pauses_add(t, (unsigned)random_below(&seed, CLASS_COUNT), 5, random_extreme(&seed));

            g->pid = random_below(&seed, 4) == 0 ? 5 : 0;
            g->dying = random_below(&seed, 4) == 0;
            g->paused = random_below(&seed, 4) == 0;
        }
        for (unsigned i = 0; i < CLASS_COUNT; i++)
            reclaim_note_outcome(&st, i, random_extreme(&seed), random_extreme(&seed), random_extreme(&seed),
                                 random_extreme(&seed));
        if (!reclaim_choose(&t->c, &t->s, &t->r, &st, bytes, false, &target))
            continue;
        assert_true(target.bytes >= RECLAIM_LEAST_BYTES && target.bytes <= bytes &&
                    target.bytes <= t->r.swap_left && target.expected_bytes <= target.bytes);
        if (target.class_index == RECLAIM_WHOLE) {
            assert_true(target.index < t->s.workload_count &&
                        target.bytes <= t->s.workloads[target.index].swap_room);
            continue;
        }
        assert_true(target.index < n && target.class_index != CLASS_PROTECTED);
        assert_true(t->groups[target.index].pid == 0 && !t->groups[target.index].dying);
        assert_true(target.bytes <= u64_add_cap(t->groups[target.index].anon, t->groups[target.index].shmem));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_priority_is_one_whole),
        cmocka_unit_test(test_lowest_priority_first),
        cmocka_unit_test(test_only_of_the_paused),
        cmocka_unit_test(test_newest_where_all_is_wanted_back),
        cmocka_unit_test(test_newest_of_one_priority),
        cmocka_unit_test(test_who_may_not),
        cmocka_unit_test(test_fruitless_is_passed_over),
        cmocka_unit_test(test_what_is_expected),
        cmocka_unit_test(test_laws),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
