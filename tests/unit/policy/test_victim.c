#include "victims.h"

/* Restates Ray's TestEmptyWorkerPoolSelectsNullWorker and TestPolicySelectsNoWorkersOnEmptyWorkerPool. */
static void test_nobody_there(void **state)
{
    struct victims *t = *state;

    victims_choose(t, GIB, 0);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
    assert_int_equal(t->d.victim_count, 0);
    assert_int_equal(t->d.expected_bytes, 0);
}

/* Never at a need of nothing, even though the margin alone could be covered. */
static void test_nothing_needed(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 1, GIB);
    victims_choose(t, 0, GIB);
    assert_int_equal(t->d.reason, DECISION_NOTHING_NEEDED);
    assert_int_equal(t->d.victim_count, 0);
    assert_int_equal(t->d.candidates, 1);
}

/* Restates Ray's TestPolicyPrioritizesRetriableOverNonRetriable: 300 needed, and 100 as a buffer. */
static void test_retriable_first(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_WORK, 20, 500 * MIB);
    victims_add(t, CLASS_BATCH, 10, 500 * MIB);
    victims_choose(t, 200 * MIB, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "2");
    assert_int_equal(t->d.expected_bytes, 500 * MIB);
}

/* Restates Ray's TestPolicyPrioritizesNewerWorkersWithinSameRetriability: 1,100 of four of 400. */
static void test_newer_first_within_retriability(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 1, 400 * MIB);
    victims_add(t, CLASS_WORK, 2, 400 * MIB);
    victims_add(t, CLASS_BATCH, 3, 400 * MIB);
    victims_add(t, CLASS_WORK, 4, 400 * MIB);
    victims_choose(t, 1000 * MIB, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "3 1 4");
}

/* Restates Ray's TestPolicyFreesEnoughWorkersToGetUnderThreshold: the newest three make 600, the oldest is
 * spared. */
static void test_frees_enough_and_spares_the_oldest(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 1, 100 * MIB);
    victims_add(t, CLASS_BATCH, 2, 200 * MIB);
    victims_add(t, CLASS_BATCH, 3, 150 * MIB);
    victims_add(t, CLASS_BATCH, 4, 250 * MIB);
    victims_choose(t, 500 * MIB, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "4 3 2");
    assert_int_equal(t->d.expected_bytes, 600 * MIB);
}

/* Restates Ray's TestPreferRetriableOverNonRetriableAndOrderByTimestampDescending: one after the other, the
 * retriable 6, 4, 2, then 5, 3, 1. (Ray's ascending and group-by-owner orders are not ours.) */
static void test_one_after_the_other(void **state)
{
    static const char *const order[] = {"6", "4", "2", "5", "3", "1"};
    struct victims *t = *state;

    for (unsigned i = 1; i <= 6; i++)
        victims_add(t, i % 2 ? CLASS_WORK : CLASS_BATCH, i, 100 * MIB);
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        victims_choose(t, MIB, 0);
        assert_string_equal(victims_ids(&t->d), order[i]);
        t->groups[t->d.victims[0].id - 1].populated = false;
    }
    victims_choose(t, MIB, 0);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
}

/* Restates Ray's TestPolicySelectsNoWorkersWhenKillingInProgress and
 * TestPolicySelectsNewWorkersAfterPreviousSelectedIsKilled. */
static void test_waits_while_one_is_dying(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 1, GIB);
    victims_add(t, CLASS_BATCH, 2, GIB)->dying = true;
    victims_choose(t, GIB, 0);
    assert_int_equal(t->d.reason, DECISION_WAITING);
    assert_int_equal(t->d.victim_count, 0);
    assert_int_equal(t->d.candidates, 1);

    t->groups[1].populated = t->groups[1].dying = false;
    victims_choose(t, GIB, 0);
    assert_int_equal(t->d.reason, DECISION_KILL);
    assert_string_equal(victims_ids(&t->d), "1");
}

/* Nobody waits for ever for one that does not die. */
static void test_stuck_one_is_passed(void **state)
{
    struct victims *t = *state;
    struct group *g;

    victims_add(t, CLASS_BATCH, 1, GIB);
    g = victims_add(t, CLASS_BATCH, 2, GIB);
    g->dying = g->stuck = true;
    victims_choose(t, GIB, 0);
    assert_int_equal(t->d.reason, DECISION_KILL);
    assert_string_equal(victims_ids(&t->d), "1");
}

/* Restates Ray's cases of cold idle workers under and over a size
 * (TestTwoIdleWorkersNotExceedingThresholdNeitherSelected,
 * TestPolicyFreesCorrectAmountWhileSkippingColdIdleUnderThreshold): what would free nothing is passed over.
 */
static void test_what_frees_nothing_is_passed_over(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 9, VICTIM_USEFUL_BYTES - 1);
    victims_add(t, CLASS_BATCH, 8, 0);
    victims_choose(t, GIB, 0);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
    assert_int_equal(t->d.passed_over, 2);
    victims_add(t, CLASS_BATCH, 2, 300 * MIB);
    victims_add(t, CLASS_BATCH, 1, VICTIM_USEFUL_BYTES);
    victims_choose(t, 300 * MIB, VICTIM_USEFUL_BYTES);
    assert_string_equal(victims_ids(&t->d), "3 4");
    assert_int_equal(t->d.candidates, 2);
    assert_int_equal(t->d.groups, 4);
}

/* The example in Ray's documentation, where 3 GiB were needed and a worker of 0.67 GB died for nothing before
 * one of 21.64 GB: the small one is given back. */
static void test_no_victim_that_adds_nothing(void **state)
{
    struct victims *t = *state;

    for (unsigned i = 1; i <= 4; i++)
        victims_add(t, CLASS_BATCH, i, 21 * GIB + 500 * MIB);
    victims_add(t, CLASS_BATCH, 5, 21 * GIB + 640 * MIB);
    victims_add(t, CLASS_BATCH, 6, 686 * MIB);
    victims_choose(t, 2 * GIB, GIB);
    assert_string_equal(victims_ids(&t->d), "5");
    assert_int_equal(t->d.expected_bytes, 21 * GIB + 640 * MIB);
}

static void test_priorities(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_SERVICE, 50, GIB);
    victims_add(t, CLASS_OTHER, 40, GIB);
    victims_add(t, CLASS_WORK, 1, GIB);
    victims_add(t, CLASS_BATCH, 2, GIB);
    victims_choose(t, GIB, 0);
    assert_string_equal(victims_ids(&t->d), "4");
    victims_choose(t, GIB, MIB);
    assert_string_equal(victims_ids(&t->d), "4 3");
    victims_choose(t, 3 * GIB, 0);
    assert_string_equal(victims_ids(&t->d), "4 3 2");
    victims_choose(t, 100 * GIB, 0); /* not enough: all that may be taken */
    assert_string_equal(victims_ids(&t->d), "4 3 2 1");
    assert_int_equal(t->d.reason, DECISION_KILL);
}

static void test_who_is_never_taken(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_PROTECTED, 9, 8 * GIB);
    victims_add(t, CLASS_SPARED, 9, 8 * GIB);
    victims_add(t, CLASS_BATCH, 9, 8 * GIB)->populated = false;
    victims_choose(t, UINT64_MAX, UINT64_MAX);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
    assert_int_equal(t->d.candidates + t->d.passed_over, 0);
    t->c.classes[CLASS_PROTECTED].priority = 1001;
    victims_choose(t, UINT64_MAX, UINT64_MAX);
    assert_int_equal(t->d.reason, DECISION_NO_CANDIDATE);
    t->c.classes[CLASS_PROTECTED].priority = 999;
    victims_choose(t, UINT64_MAX, UINT64_MAX);
    assert_string_equal(victims_ids(&t->d), "1");
}

/* Same birth (a clock tick is 10 ms): the higher id is the newer cgroup, and of two processes the higher pid.
 */
static void test_ties(void **state)
{
    struct victims *t = *state;

    for (unsigned i = 0; i < 3; i++)
        victims_add(t, CLASS_BATCH, 7, GIB);
    victims_choose(t, GIB, 0);
    assert_string_equal(victims_ids(&t->d), "3");
    for (unsigned i = 0; i < 3; i++) {
        t->groups[i].id = 5;
        t->groups[i].pid = (pid_t)(10 + (i + 1) % 3);
    }
    victims_choose(t, GIB, 0);
    assert_int_equal(t->d.victims[0].pid, 12);
}

static void test_what_a_group_frees(void **state)
{
    struct victims *t = *state;
    struct group *g = victims_add(t, CLASS_BATCH, 9, 100 * MIB);

    g->kernel = 50 * MIB;
    g->shmem = GIB;
    g->swap = g->current = 7 * GIB;
    victims_choose(t, 150 * MIB, 0);
    assert_int_equal(t->d.expected_bytes, 150 * MIB); /* files on tmpfs outlive their writer */
    assert_int_equal(t->d.victims[0].expected_bytes, 150 * MIB);
}

/* Shared memory counts where nothing else is left, and then for all alike. */
static void test_shmem_is_the_last_hope(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 9, 0)->shmem = 2 * GIB;
    victims_add(t, CLASS_BATCH, 1, GIB)->shmem = GIB;
    victims_choose(t, GIB, 512 * MIB);
    assert_string_equal(victims_ids(&t->d), "2"); /* what is needed is there, if not with the margin */
    assert_int_equal(t->d.expected_bytes, GIB);
    victims_choose(t, GIB + 1, 0);
    assert_string_equal(victims_ids(&t->d), "1");
    assert_int_equal(t->d.expected_bytes, 2 * GIB);
    victims_choose(t, 3 * GIB, 0);
    assert_string_equal(victims_ids(&t->d), "1 2");
    assert_int_equal(t->d.expected_bytes, 4 * GIB);
}

static void test_not_more_than_fit(void **state)
{
    struct victims *t = *state;

    for (unsigned i = 0; i < 40; i++)
        victims_add(t, CLASS_BATCH, i, MIB);
    victims_choose(t, GIB, 0);
    assert_int_equal(t->d.victim_count, DECISION_VICTIMS_MAX);
    assert_int_equal(t->d.candidates, 40);
    for (unsigned i = 0; i < DECISION_VICTIMS_MAX; i++)
        assert_int_equal(t->d.victims[i].id, 40 - i);
}

static void test_what_is_told_of_a_victim(void **state)
{
    struct victims *t = *state;
    struct group *g = victims_add(t, CLASS_OTHER, 9000, GIB);

    g->pid = 4711;
    memcpy(g->comm, "cc1plus", 8);
    victims_choose(t, MIB, 0);
    assert_string_equal(t->d.victims[0].path, "work.slice/group-1");
    assert_string_equal(t->d.victims[0].comm, "cc1plus");
    assert_int_equal(t->d.victims[0].pid, 4711);
    assert_int_equal(t->d.victims[0].class_index, CLASS_OTHER);
    assert_int_equal(t->d.victims[0].age_usec, 1000 * USEC_PER_SEC);
    g->birth_usec = UINT64_MAX; /* born after the look */
    victims_choose(t, MIB, 0);
    assert_int_equal(t->d.victims[0].age_usec, 0);
}

/* A decision that is used again holds nothing of what it held. */
static void test_second_use(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 1, GIB);
    victims_choose(t, MIB, 0);
    t->groups[0].dying = true;
    victim_choose(&t->c, &t->s, &t->d);
    assert_int_equal(t->d.reason, DECISION_WAITING);
    assert_int_equal(t->d.victim_count + t->d.candidates, 0);
    assert_int_equal(t->d.expected_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nobody_there, victims_setup),
        cmocka_unit_test_setup(test_nothing_needed, victims_setup),
        cmocka_unit_test_setup(test_retriable_first, victims_setup),
        cmocka_unit_test_setup(test_newer_first_within_retriability, victims_setup),
        cmocka_unit_test_setup(test_frees_enough_and_spares_the_oldest, victims_setup),
        cmocka_unit_test_setup(test_one_after_the_other, victims_setup),
        cmocka_unit_test_setup(test_waits_while_one_is_dying, victims_setup),
        cmocka_unit_test_setup(test_stuck_one_is_passed, victims_setup),
        cmocka_unit_test_setup(test_what_frees_nothing_is_passed_over, victims_setup),
        cmocka_unit_test_setup(test_no_victim_that_adds_nothing, victims_setup),
        cmocka_unit_test_setup(test_priorities, victims_setup),
        cmocka_unit_test_setup(test_who_is_never_taken, victims_setup),
        cmocka_unit_test_setup(test_ties, victims_setup),
        cmocka_unit_test_setup(test_what_a_group_frees, victims_setup),
        cmocka_unit_test_setup(test_shmem_is_the_last_hope, victims_setup),
        cmocka_unit_test_setup(test_not_more_than_fit, victims_setup),
        cmocka_unit_test_setup(test_what_is_told_of_a_victim, victims_setup),
        cmocka_unit_test_setup(test_second_use, victims_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
