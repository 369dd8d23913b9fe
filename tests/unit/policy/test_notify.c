/* Who gets a place, who is asked and when, and what is learned of it. */
#include "policy.h"

#include <stdlib.h>

#include "policy/notify.h"

#define PLACES 1024
#define T0 (100 * USEC_PER_SEC)

static struct config c;
static struct notify_client clients[PLACES];
static struct notify_user users[PLACES];
static struct notify_state s;
static unsigned chosen[NOTIFY_WAKE_MAX];

static void begin(unsigned max)
{
    config_init_defaults(&c);
    memset(clients, 0, sizeof(clients));
    notify_state_init(&s, clients, users, max);
}

static int admit(uint32_t uid)
{
    bool evicted;
    int place = notify_admit(&s, uid, 1, &evicted);

    if (place >= 0)
        clients[place].inside = true;
    return place;
}

static unsigned count_of(uint32_t uid)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s.max; i++)
        n += clients[i].used && clients[i].uid == uid;
    return n;
}

/* Asks those who are chosen, as the daemon does; how many. */
static unsigned ask(enum level level, uint64_t now, unsigned wake)
{
    unsigned n = notify_choose(&c, &s, level, now, false, chosen, wake);

    for (unsigned i = 0; i < n; i++)
        notify_note_told(&clients[chosen[i]], level, now);
    return n;
}

/* ---- places ---- */

static void test_places(void **state _unused_)
{
    begin(3);
    assert_int_equal(admit(1), 0);
    assert_int_equal(admit(1), 1);
    assert_int_equal(admit(1), 2);
    assert_int_equal(admit(1), -1); /* nobody has more than he */
    notify_leave(&s, 1);
    notify_leave(&s, 1); /* nobody is there any more */
    assert_int_equal(s.count, 2);
    assert_int_equal(admit(1), 1);
    notify_leave(&s, 0);
    notify_leave(&s, 1);
    notify_leave(&s, 2);
    notify_leave(&s, 7);
    assert_int_equal(s.count, 0);
    assert_int_equal(s.user_count, 0);
}

/* Who holds most makes room, with the one that has given least; not where both would take turns. */
static void test_a_flood_makes_room(void **state _unused_)
{
    begin(8);
    for (unsigned i = 0; i < 8; i++)
        assert_true(admit(1000) >= 0);
    for (unsigned i = 0; i < 8; i++)
        clients[i].gave_bytes = i == 5 ? 0 : MIB;
    assert_int_equal(admit(1000), -1);
    assert_int_equal(admit(2000), 5);
    assert_true(admit(2000) >= 0);
    assert_true(admit(2000) >= 0);
    assert_true(admit(2000) >= 0);
    assert_int_equal(count_of(1000), 4);
    assert_int_equal(admit(2000), -1); /* as many each */
    assert_int_equal(admit(1000), -1);
    assert_true(admit(3000) >= 0);
    assert_int_equal(count_of(1000) + count_of(2000), 7);
}

/* Whatever comes and goes: all places are counted, and once full nobody has been turned away who holds less
 * than another one by more than a place. */
static void test_places_are_shared(void **state _unused_)
{
    uint64_t seed = 7;

    begin(64);
    for (unsigned run = 0; run < 200000; run++) {
        uint32_t uid = (uint32_t)random_below(&seed, 6);
        unsigned all = 0, most = 0;

        if (random_below(&seed, 3) == 0) {
            notify_leave(&s, (unsigned)random_below(&seed, 64));
            continue;
        }
        if (uid > 0 && random_below(&seed, 8)) /* one floods */
            uid = 0;
        for (uint32_t u = 0; u < 6; u++)
            most = (unsigned)u64_max(most, count_of(u));
        if (admit(uid) < 0) {
            assert_int_equal(s.count, 64);
            assert_true(count_of(uid) + 2 > most);
        }
        for (uint32_t u = 0; u < 6; u++)
            all += count_of(u);
        assert_int_equal(all, s.count);
    }
}

/* ---- who is asked ---- */

static void test_not_again_too_soon(void **state _unused_)
{
    begin(4);
    (void)admit(1);
    assert_int_equal(ask(LEVEL_LOW, T0, 16), 1);
    assert_int_equal(ask(LEVEL_LOW, T0 + NOTIFY_AGAIN_USEC - 1, 16), 0);
    assert_int_equal(ask(LEVEL_MEDIUM, T0 + NOTIFY_WORSE_USEC - 1, 16), 0);
    assert_int_equal(ask(LEVEL_MEDIUM, T0 + NOTIFY_WORSE_USEC, 16), 1);
    assert_int_equal(ask(LEVEL_LOW, T0 + NOTIFY_AGAIN_USEC, 16), 0); /* better is no news */
    assert_int_equal(ask(LEVEL_CRITICAL, T0 + 2 * NOTIFY_WORSE_USEC, 16), 1);
    assert_int_equal(ask(LEVEL_CRITICAL, T0 + NOTIFY_AGAIN_USEC, 16), 0);
    assert_int_equal(ask(LEVEL_CRITICAL, T0 + 2 * NOTIFY_WORSE_USEC + NOTIFY_AGAIN_USEC, 16), 1);
}

/* A level that holds is said again before the program takes it for over (10 s). */
static void test_what_holds_is_said_in_time(void **state _unused_)
{
    uint64_t last = T0;

    begin(4);
    (void)admit(1);
    assert_int_equal(ask(LEVEL_LOW, T0, 1), 1);
    assert_true(notify_is_news(&(struct notify_client){0}, LEVEL_LOW, T0));
    for (uint64_t now = T0; now < T0 + 60 * USEC_PER_SEC; now += USEC_PER_SEC) /* a look a second */
        if (ask(LEVEL_LOW, now, 1) == 1) {
            assert_true(now - last < 10 * USEC_PER_SEC);
            last = now;
        }
    assert_true(T0 + 60 * USEC_PER_SEC - last < 10 * USEC_PER_SEC);
    assert_false(notify_is_news(&clients[0], LEVEL_LOW, last + NOTIFY_AGAIN_USEC));
    assert_true(notify_is_news(&clients[0], LEVEL_MEDIUM, last + NOTIFY_AGAIN_USEC));
    assert_true(notify_is_news(&clients[0], LEVEL_LOW, last + 10 * USEC_PER_SEC));
}

/* Each of N is asked within N / (wake / 2) rounds, whatever others gave, and nobody twice before. */
static void test_everybody_has_his_turn(void **state _unused_)
{
    static const unsigned wakes[] = {1, 2, 3, 16, 256};

    for (unsigned w = 0; w < ARRAY_SIZE(wakes); w++)
        for (unsigned count = 1; count <= PLACES; count = count * 3 + 1) {
            unsigned turn = (wakes[w] + 1) / 2, rounds = (count + turn - 1) / turn, asked = 0;

            begin(PLACES);
            for (unsigned i = 0; i < count; i++)
                clients[admit(i % 5)].gave_bytes = i % 2 ? i * MIB : 0;
            for (unsigned k = 0; k < rounds; k++)
                asked += ask(LEVEL_LOW, T0 + k, wakes[w]);
            assert_int_equal(asked, count);
            for (unsigned i = 0; i < count; i++)
                assert_true(clients[i].told_usec >= T0);
        }
}

/* The same while those who give most are due again all the time: level after level. */
static void test_givers_starve_nobody(void **state _unused_)
{
    enum { COUNT = 200, WAKE = 16, ROUNDS = COUNT / (WAKE / 2) };

    begin(PLACES);
    for (unsigned i = 0; i < COUNT; i++)
        clients[admit(1)].gave_bytes = i < 50 ? GIB : 0;
    for (unsigned k = 0; k < ROUNDS; k++) {
        assert_int_equal(ask(LEVEL_LOW, T0 + k * NOTIFY_AGAIN_USEC, WAKE), WAKE);
        for (unsigned i = 0; i < WAKE / 2; i++) /* half are those who gave most */
            assert_int_equal(clients[chosen[i]].gave_bytes, GIB);
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(clients[i].told_usec >= T0);
}

static void test_who_does_not_read_waits(void **state _unused_)
{
    begin(PLACES);
    for (unsigned i = 0; i < 1000; i++)
        notify_note_passed(&clients[admit(1)], T0, true);
    for (unsigned i = 0; i < 16; i++)
        notify_note_told(&clients[admit(2)], LEVEL_LOW, T0 + 1);
    assert_int_equal(ask(LEVEL_LOW, T0 + 1 + NOTIFY_AGAIN_USEC, 16), 16);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(clients[chosen[i]].uid, 2);
    assert_int_equal(ask(LEVEL_LOW, T0 + 2 + NOTIFY_AGAIN_USEC, 16), 16); /* then them, too */
    assert_false(clients[chosen[0]].mute);
}

static void test_the_domain_first(void **state _unused_)
{
    begin(8);
    clients[admit(1)].inside = false;
    clients[0].gave_bytes = GIB;
    (void)admit(2);
    assert_int_equal(notify_choose(&c, &s, LEVEL_LOW, T0, false, chosen, 16), 1);
    assert_int_equal(chosen[0], 1);
    assert_int_equal(notify_choose(&c, &s, LEVEL_LOW, T0, true, chosen, 1), 1);
    assert_int_equal(chosen[0], 1);
    assert_int_equal(notify_choose(&c, &s, LEVEL_LOW, T0, true, chosen, 16), 2);
}

static void test_classes_and_levels(void **state _unused_)
{
    begin(8);
    class_config_init(&c.classes[1], "other");
    class_config_init(&c.classes[0], "batch");
    c.class_count = 2;
    c.classes[0].priority = 800;
    clients[admit(1)].class_index = 0;
    assert_int_equal(notify_choose(&c, &s, LEVEL_CALM, T0, false, chosen, 16), 0);
    assert_int_equal(notify_choose(&c, &s, LEVEL_LOW, T0, false, chosen, 16), 1);
    assert_int_equal(notify_choose(&c, &s, LEVEL_MEDIUM, T0, false, chosen, 16), 0); /* at most 500 */
    assert_int_equal(notify_choose(&c, &s, LEVEL_CRITICAL, T0, false, chosen, 16), 1);
    c.classes[0].priority = CONFIG_PRIORITY_PROTECTED; /* to be asked harms nobody */
    assert_int_equal(notify_choose(&c, &s, LEVEL_LOW, T0, false, chosen, 16), 1);
    c.classes[0].actions = ACTION_BIT(ACTION_KILL);
    assert_int_equal(notify_choose(&c, &s, LEVEL_LOW, T0, false, chosen, 16), 0);
    c.classes[0].actions = ACTION_BIT(ACTION_NOTIFY);
    c.levels[LEVEL_LOW].actions = 0;
    assert_int_equal(notify_choose(&c, &s, LEVEL_LOW, T0, false, chosen, 16), 0);
}

/* ---- what it brings ---- */

static void test_estimates(void **state _unused_)
{
    begin(1);
    assert_int_equal(notify_expected_bytes(&s, 0, 400 * MIB, T0), 100 * MIB); /* before anything is known */
    for (unsigned i = 0; i < 40; i++)
        notify_note_outcome(&s, 0, T0, 400 * MIB, 300 * MIB, 20000);
    assert_in_range(notify_expected_bytes(&s, 0, 400 * MIB, T0), 299 * MIB, 300 * MIB);
    assert_in_range(s.of[0].usec, 19000, 21000);
    assert_int_equal(notify_expected_bytes(&s, 1, 400 * MIB, T0), 100 * MIB); /* of another class nothing */
    notify_note_outcome(&s, 0, T0, 0, 0, 1);                                  /* nothing was held */
    assert_int_equal(s.of[0].fruitless, 0);
}

static void test_fruitless(void **state _unused_)
{
    uint64_t pause = USEC_PER_SEC;

    begin(1);
    for (unsigned i = 0; i < 8; i++) {
        notify_note_outcome(&s, 0, T0, 400 * MIB, MIB / 2, 500000);
        assert_int_equal(notify_expected_bytes(&s, 0, 400 * MIB, T0 + pause - 1), 0);
        assert_int_equal(s.of[0].not_before_usec, T0 + pause);
        pause = u64_min(pause * 2, 32 * USEC_PER_SEC);
    }
    assert_int_equal(s.of[0].usec, 100000); /* that nothing came says nothing of how soon it would */
    notify_note_outcome(&s, 0, T0 + pause, 400 * MIB, 200 * MIB, 10000);
    assert_true(notify_expected_bytes(&s, 0, 400 * MIB, T0 + pause) > 40 * MIB);
    assert_int_equal(s.of[0].fruitless, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_a_flood_makes_room),
        cmocka_unit_test(test_places_are_shared),
        cmocka_unit_test(test_not_again_too_soon),
        cmocka_unit_test(test_what_holds_is_said_in_time),
        cmocka_unit_test(test_everybody_has_his_turn),
        cmocka_unit_test(test_givers_starve_nobody),
        cmocka_unit_test(test_who_does_not_read_waits),
        cmocka_unit_test(test_the_domain_first),
        cmocka_unit_test(test_classes_and_levels),
        cmocka_unit_test(test_estimates),
        cmocka_unit_test(test_fruitless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
