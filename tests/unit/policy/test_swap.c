#include "policy/swap.h"

#include "policy.h"

#define GROUPS 6
#define NONE UINT64_MAX

struct test {
    struct snapshot s;
    struct group groups[GROUPS];
    struct swap_bounds bounds;
};

static void prepare(struct test *t, unsigned groups)
{
    memset(t, 0, sizeof(*t));
    t->s =
        (struct snapshot){.isolate = true, .workload_count = 2, .groups = t->groups, .group_count = groups};
    for (unsigned i = 0; i < 2; i++)
        t->s.workloads[i] = (struct workload){.id = 10 + i, .swap_room = NONE};
    for (unsigned i = 0; i < groups; i++)
        t->groups[i] = (struct group){.id = 100 + i, .anon = 100 * MIB};
    t->s.workloads[0].anon = groups * 100 * MIB;
}

static uint64_t look(struct test *t, unsigned i)
{
    swap_bound_workloads(&t->bounds, &t->s);
    return t->s.workloads[i].swap_room;
}

static void limit(struct test *t, unsigned i, uint64_t room)
{
    t->groups[i].swap_limited = true;
    t->groups[i].swap_room = room;
}

static void test_whole(void **state _unused_)
{
    struct test t;

    prepare(&t, 3);
    assert_int_equal(look(&t, 0), NONE); /* no walk yet */
    for (unsigned i = 0; i < 3; i++)
        limit(&t, i, i * 10 * MIB);
    swap_note_groups(&t.s, true, &t.bounds);
    assert_int_equal(look(&t, 1), NONE); /* with nobody in it */
    assert_int_equal(look(&t, 0), 30 * MIB);
    t.s.workloads[0].swap_room = 7 * MIB; /* its own limit is the tighter one */
    assert_int_equal(look(&t, 0), 7 * MIB);
}

/* Who may take what he likes, may take all there is. */
static void test_not_whole(void **state _unused_)
{
    struct test t;

    for (unsigned row = 0; row < 6; row++) {
        prepare(&t, 3);
        for (unsigned i = 0; i < 3; i++)
            limit(&t, i, 0);
        if (row == 0)
            t.groups[1].swap_limited = false;
        else if (row == 1)
            t.s.groups_left_out = 1;
        else if (row == 2)
            t.s.workloads[0].shmem = 40 * MIB; /* in no group */
        else if (row == 3)
            t.s.workloads[0].id = 0;
        else if (row == 4)
            t.s.isolate = false;
        swap_note_groups(&t.s, row != 5, &t.bounds);
        t.s.workloads[0].id = 10;
        assert_int_equal(look(&t, 0), NONE);
    }
}

/* What is known of a walk that succeeded is known while a few fail; who comes too late knows nothing. */
static void test_walks_that_fail(void **state _unused_)
{
    struct test t;

    prepare(&t, 2);
    for (unsigned i = 0; i < 2; i++)
        limit(&t, i, 10 * MIB);
    for (unsigned round = 0; round < 2; round++) {
        swap_note_groups(&t.s, true, &t.bounds);
        for (unsigned i = 0; i < SWAP_FAILED_MAX; i++) {
            swap_note_groups(&t.s, false, &t.bounds);
            t.s.workloads[0].swap_room = NONE;
            assert_int_equal(look(&t, 0), 20 * MIB);
        }
    }
    swap_note_groups(&t.s, false, &t.bounds);
    t.s.workloads[0].swap_room = NONE;
    assert_int_equal(look(&t, 0), NONE);
    swap_note_groups(&t.s, true, &t.bounds);
    t.s.isolate = false; /* its workloads are not guarded any more */
    swap_note_groups(&t.s, false, &t.bounds);
    t.s.isolate = true;
    t.s.workloads[0].swap_room = NONE;
    assert_int_equal(look(&t, 0), NONE);
}

static void test_between_walks(void **state _unused_)
{
    struct test t;

    prepare(&t, 2);
    limit(&t, 0, 20 * MIB);
    limit(&t, 1, 20 * MIB);
    t.s.workloads[0].swap_charged = 100 * MIB;
    t.s.workloads[0].anon += 10 * MIB; /* outside, and little enough to be a matter of when it was read */
    swap_note_groups(&t.s, true, &t.bounds);
    assert_int_equal(look(&t, 0), 50 * MIB);
    t.s.workloads[0].swap_charged = 130 * MIB;
    assert_int_equal(look(&t, 0), 20 * MIB);
    t.s.workloads[0].swap_charged = 500 * MIB; /* a limit was raised meanwhile */
    assert_int_equal(look(&t, 0), 0);
    t.s.workloads[0].swap_room = NONE;
    t.s.workloads[0].swap_charged = 90 * MIB; /* some has come back */
    assert_int_equal(look(&t, 0), 60 * MIB);
    t.s.workloads[0].swap_room = NONE;
    t.s.workloads[0].id = 11; /* another cgroup of that name */
    assert_int_equal(look(&t, 0), NONE);
}

static void random_test(struct test *t, uint64_t *seed)
{
    prepare(t, (unsigned)random_below(seed, GROUPS + 1));
    for (unsigned i = 0; i < 2; i++) {
        t->s.workloads[i].anon = random_extreme(seed);
        t->s.workloads[i].shmem = random_extreme(seed);
        t->s.workloads[i].swap_charged = random_extreme(seed);
        t->s.workloads[i].swap_room = random_extreme(seed);
    }
    for (unsigned i = 0; i < t->s.group_count; i++) {
        t->groups[i] = (struct group){.workload_index = (unsigned)random_below(seed, 2),
                                      .anon = random_extreme(seed),
                                      .shmem = random_extreme(seed),
                                      .swap_limited = random_below(seed, 8) != 0,
                                      .swap_room = random_extreme(seed)};
    }
}

/* Never more than before; and more room of a group, or less in swap, is never less room of its workload's. */
static void test_laws(void **state _unused_)
{
    static struct test t, more;
    uint64_t seed = 1;

    for (unsigned round = 0; round < 200000; round++) {
        uint64_t before[2], charged[2], less;
        unsigned i = round % 2;

        random_test(&t, &seed);
        more = t;
        more.s.groups = more.groups;
        for (unsigned j = 0; j < t.s.group_count; j++)
            if (random_below(&seed, 2))
                more.groups[j].swap_room = u64_add_cap(t.groups[j].swap_room, random_extreme(&seed));
        swap_note_groups(&t.s, true, &t.bounds);
        swap_note_groups(&more.s, true, &more.bounds);
        for (unsigned j = 0; j < 2; j++) {
            before[j] = t.s.workloads[j].swap_room;
            charged[j] = random_extreme(&seed);
            t.s.workloads[j].swap_charged = more.s.workloads[j].swap_charged = charged[j];
        }
        less = look(&t, i);
        assert_true(less <= before[i]);
        assert_true(less <= look(&more, i));
        more = t;
        more.s.workloads[i].swap_room = before[i];
        more.s.workloads[i].swap_charged = random_below(&seed, u64_max(charged[i], 1));
        assert_true(less <= look(&more, i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_not_whole),
        cmocka_unit_test(test_walks_that_fail),
        cmocka_unit_test(test_between_walks),
        cmocka_unit_test(test_laws),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
