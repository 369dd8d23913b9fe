/* What is remembered from one decision to the next: what shared memory gives back, tasks that were killed
 * often, kills that brought nothing, and how many there were. */
#include "victims.h"

static void test_shmem_is_learned(void **state)
{
    struct victims *t = *state;
    uint64_t *fraction = &t->state.shmem_permyriad[CLASS_BATCH];
    struct group *g = victims_add(t, CLASS_BATCH, 10, 20 * MIB);

    g->shmem = 400 * MIB;
    victims_choose(t, GIB);
    assert_true(t->d.expected_bytes == 20 * MIB);
    victims_end(t, 420 * MIB, 0); /* it was shared anonymous memory: all of it came back */
    assert_true(*fraction == PERMYRIAD / 2);
    victims_choose(t, GIB);
    assert_true(t->d.expected_bytes == 220 * MIB);
    victims_end(t, 420 * MIB, 0);
    assert_true(*fraction == PERMYRIAD * 3 / 4);
    victims_choose(t, GIB);
    victims_end(t, 20 * MIB, 0); /* now it was files on tmpfs */
    assert_true(*fraction == PERMYRIAD * 3 / 8);
    victims_choose(t, GIB);
    victims_end(t, UINT64_MAX, 0); /* never more than all */
    assert_true(*fraction == (PERMYRIAD * 3 / 8 + PERMYRIAD) / 2);
    assert_true(t->state.shmem_permyriad[CLASS_WORK] == 0);
}

/* Where it cannot be told, nothing is learned. */
static void test_shmem_is_not_learned(void **state)
{
    struct victims *t = *state;
    uint64_t *fraction = &t->state.shmem_permyriad[CLASS_BATCH];
    struct group *g = victims_add(t, CLASS_BATCH, 10, 400 * MIB);

    *fraction = 5000;
    g->shmem = 50 * MIB; /* too little of it all */
    victims_choose(t, GIB);
    victims_end(t, 0, 0);
    assert_true(*fraction == 5000);
    g->anon = 20 * MIB;
    victims_choose(t, GIB);
    t->d.stuck = 1; /* it is not dead */
    t->d.need_after = 0;
    victim_note_outcome(&t->d, &t->state, 0);
    assert_true(*fraction == 5000);
    victims_add(t, CLASS_BATCH, 10, 20 * MIB)->shmem = 50 * MIB;
    victims_choose(t, GIB);
    assert_int_equal(t->d.victim_count, 2); /* whose was it? */
    victims_end(t, 0, 0);
    assert_true(*fraction == 5000);
}

/* A filler of tmpfs files beside an innocent group: two kills, then no more for a while. */
static void test_fruitless(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 10, 40 * MIB);
    for (unsigned i = 0; i < VICTIM_FRUITLESS_MAX; i++) {
        victims_choose(t, 100 * MIB);
        assert_int_equal(t->d.reason, DECISION_KILL);
        victims_end(t, MIB, 100 * MIB);
    }
    victims_choose(t, 100 * MIB);
    assert_int_equal(t->d.reason, DECISION_FRUITLESS);
    assert_int_equal(t->d.victim_count, 0);
    t->s.now_usec = t->state.fruitless_until_usec - 1;
    victims_choose(t, 100 * MIB);
    assert_int_equal(t->d.reason, DECISION_FRUITLESS);
    t->s.now_usec++;
    victims_choose(t, 100 * MIB); /* one more is tried; it brings nothing, either */
    assert_int_equal(t->d.reason, DECISION_KILL);
    victims_end(t, MIB, 100 * MIB);
    victims_choose(t, 100 * MIB);
    assert_int_equal(t->d.reason, DECISION_FRUITLESS);
    victim_note_need(&t->state, 1);
    victims_choose(t, 100 * MIB);
    assert_int_equal(t->d.reason, DECISION_FRUITLESS);
    victim_note_need(&t->state, 0); /* the need went by itself */
    victims_choose(t, 100 * MIB);
    assert_int_equal(t->d.reason, DECISION_KILL);
}

static void test_not_fruitless(void **state)
{
    static const struct {
        uint64_t freed, need_after;
    } rows[] = {
        {0, 99 * MIB},         /* the need is less, whoever it was */
        {15 * MIB, 200 * MIB}, /* it freed what it should, and others grew */
        {40 * MIB, 0},
    };
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 10, 40 * MIB);
    for (unsigned i = 0; i < 9; i++) {
        victims_choose(t, 100 * MIB);
        assert_int_equal(t->d.reason, DECISION_KILL);
        victims_end(t, rows[i % 3].freed, rows[i % 3].need_after);
        assert_int_equal(t->state.fruitless, 0);
        t->s.now_usec += 60 * USEC_PER_SEC;
    }
}

/* Two small ones take their time to end, in which others grow by more than those held. */
static void kill_beside(struct victims *t, struct group *other, uint64_t anon, uint64_t shmem)
{
    victims_choose(t, 6 * MIB);
    assert_int_equal(t->d.reason, DECISION_KILL);
    assert_string_equal(victims_ids(&t->d), "1");
    t->d.room.used = 59 * GIB;
    t->d.next_bytes = victim_next_bytes(&t->c, &t->s, &t->state, &t->d);
    other->anon += anon;
    other->shmem += shmem;
    t->d.gone = 1;
    t->d.used_after = t->d.room.used - 8 * MIB + anon + shmem;
    t->d.need_after = 26 * MIB;
    t->d.outcome_usec = 70 * USEC_PER_MSEC;
    victim_note_outcome(&t->d, &t->state, victim_next_bytes(&t->c, &t->s, &t->state, &t->d));
    t->s.now_usec += t->d.outcome_usec;
}

static void test_growth_of_who_is_next_hides(void **state)
{
    struct victims *t = *state;
    struct group *other;

    victims_add(t, CLASS_BATCH, 1, 8 * MIB);
    other = victims_add(t, CLASS_WORK, 10, 8 * MIB);
    for (unsigned i = 0; i < 3 * VICTIM_FRUITLESS_MAX; i++)
        kill_beside(t, other, 28 * MIB, 0);
    assert_int_equal(t->state.fruitless, 0);
}

/* Of a higher priority, or what its end would not free: killing others of this one has no end. */
static void test_growth_of_others_does_not_hide(void **state)
{
    struct victims *t = *state;
    struct group *service, *files;

    victims_add(t, CLASS_BATCH, 1, 8 * MIB);
    files = victims_add(t, CLASS_WORK, 10, 8 * MIB);
    service = victims_add(t, CLASS_SERVICE, 10, 8 * MIB);
    kill_beside(t, service, 28 * MIB, 0);
    assert_int_equal(t->state.fruitless, 1);
    kill_beside(t, files, 0, 28 * MIB);
    assert_int_equal(t->state.fruitless, 2);
    victims_choose(t, 6 * MIB);
    assert_int_equal(t->d.reason, DECISION_FRUITLESS);
}

/* KillLimit=10: ten at once, then one every six seconds; beyond it only where half of the margin is gone. */
static void test_kill_limit(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 10, GIB);
    for (unsigned i = 0; i < 10; i++) {
        victims_choose(t, MIB);
        assert_int_equal(t->d.reason, DECISION_KILL);
        victims_end(t, GIB, 0);
    }
    victims_choose(t, MIB);
    assert_int_equal(t->d.reason, DECISION_KILL_LIMIT);
    assert_int_equal(t->d.victim_count, 0);
    assert_true(t->d.expected_bytes == 0);
    assert_int_equal(t->candidates[0].verdict, VERDICT_NO_ROOM); /* no victim in the record, either */
    victims_choose(t, NODE_MARGIN / 2 - 1);
    assert_int_equal(t->d.reason, DECISION_KILL_LIMIT);
    victims_choose(t, NODE_MARGIN / 2);
    assert_int_equal(t->d.reason, DECISION_KILL);
    t->s.now_usec += 6 * USEC_PER_SEC;
    victims_choose(t, MIB);
    assert_int_equal(t->d.reason, DECISION_KILL);
    victims_end(t, GIB, 0);
    victims_choose(t, MIB);
    assert_int_equal(t->d.reason, DECISION_KILL_LIMIT);
    t->s.now_usec += 3600 * USEC_PER_SEC; /* it fills up to ten and no further */
    victims_choose(t, MIB);
    assert_true(t->state.tokens_permyriad == 10 * PERMYRIAD);
}

/* Looked at again and again, time counts once. */
static void test_kill_limit_in_small_steps(void **state)
{
    struct victims *t = *state;
    unsigned kills = 0;

    victims_add(t, CLASS_BATCH, 10, GIB);
    for (unsigned i = 0; i < 6000; i++) { /* a minute in steps of 10 ms */
        t->s.now_usec = VICTIMS_NOW + i * 10000;
        victims_choose(t, MIB);
        if (t->d.reason != DECISION_KILL)
            continue;
        kills++;
        t->d.gone = 1;
        t->d.freed_bytes = GIB;
        victim_note_outcome(&t->d, &t->state, 0);
    }
    assert_in_range(kills, 18, 20);
}

/* Killed three times, a task goes last of its tier: else its retry would always be the newest. */
static void test_lineage(void **state)
{
    struct victims *t = *state;

    victims_add(t, CLASS_BATCH, 5, 100 * MIB)->claims.task = 42;
    victims_add(t, CLASS_BATCH, 500, 100 * MIB)->claims.task = 43;
    victims_add(t, CLASS_WORK, 1, 100 * MIB);
    for (unsigned i = 0; i < 3; i++) {
        t->groups[0].lineage_kills = victim_lineage_kills(&t->state, 42);
        assert_int_equal(t->groups[0].lineage_kills, i);
        victims_choose(t, 50 * MIB);
        assert_string_equal(victims_ids(&t->d), "1");
        victims_end(t, 100 * MIB, 0);
    }
    t->groups[0].lineage_kills = victim_lineage_kills(&t->state, 42);
    victims_choose(t, 50 * MIB);
    assert_string_equal(victims_ids(&t->d), "2");
    assert_true(t->candidates[0].last);
    assert_int_equal(victim_lineage_kills(&t->state, 0), 0);
    assert_int_equal(victim_lineage_kills(&t->state, 43), 0);
}

/* Of more tasks than there are places, those that were not heard of for longest are forgotten. */
static void test_lineages_are_forgotten(void **state)
{
    struct victims *t = *state;

    t->d.victim_count = 1;
    t->d.gone = 1;
    for (unsigned i = 1; i <= VICTIM_LINEAGES_MAX + 10; i++) {
        t->d.time_usec = VICTIMS_NOW + i;
        t->d.victims[0].task = 1; /* this one again and again */
        victim_note_outcome(&t->d, &t->state, 0);
        t->d.victims[0].task = 1000 + i;
        victim_note_outcome(&t->d, &t->state, 0);
    }
    assert_int_equal(victim_lineage_kills(&t->state, 1), VICTIM_LINEAGES_MAX + 10);
    assert_int_equal(victim_lineage_kills(&t->state, 1000 + 1), 0);
    assert_int_equal(victim_lineage_kills(&t->state, 1000 + 11), 0);
    for (unsigned i = 12; i <= VICTIM_LINEAGES_MAX + 10; i++)
        assert_int_equal(victim_lineage_kills(&t->state, 1000 + i), 1);
}

static void test_no_outcome(void **state)
{
    struct victims *t = *state;
    struct victim_state before = t->state;

    victims_choose(t, MIB); /* nobody */
    victim_note_outcome(&t->d, &t->state, 0);
    assert_memory_equal(&before, &t->state, sizeof(before));
}

#define TEST(f) cmocka_unit_test_setup(f, victims_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shmem_is_learned),
        TEST(test_shmem_is_not_learned),
        TEST(test_fruitless),
        TEST(test_not_fruitless),
        TEST(test_growth_of_who_is_next_hides),
        TEST(test_growth_of_others_does_not_hide),
        TEST(test_kill_limit),
        TEST(test_kill_limit_in_small_steps),
        TEST(test_lineage),
        TEST(test_lineages_are_forgotten),
        TEST(test_no_outcome),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
