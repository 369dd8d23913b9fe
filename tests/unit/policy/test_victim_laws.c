/* What holds for every input. Half of the runs come from a small world (few priorities, sizes and owners, so
 * that ties and tiers meet), half from a wide one. */
#include "victims.h"

#include "policy/claims.h"

#ifdef __SANITIZE_ADDRESS__
#define RUNS 30000
#else
#define RUNS 1000000
#endif

static bool is_member(const struct decision *d, const struct group *g)
{
    for (unsigned i = 0; i < d->victim_count; i++)
        if (d->victims[i].id == g->id && d->victims[i].pid == g->pid)
            return true;
    return false;
}

static struct group_claims random_claims(uint64_t *seed)
{
    struct group_claims claims = {0};

    if (random_below(seed, 2) == 0)
        return claims;
    claims.has_priority = random_below(seed, 2);
    claims.priority = (uint16_t)(random_below(seed, 11) * 100);
    claims.has_retriable = random_below(seed, 3) == 0;
    claims.retriable = random_below(seed, 2);
    claims.has_request = random_below(seed, 3) == 0;
    claims.request_bytes = random_below(seed, 12) * 100 * MIB;
    claims.has_started = random_below(seed, 3) == 0;
    claims.started_usec = VICTIMS_NOW - random_below(seed, 2000) * USEC_PER_SEC;
    claims.avoid = random_below(seed, 5) == 0;
    claims.omit = random_below(seed, 9) == 0;
    claims.task = random_below(seed, 3);
    return claims;
}

static void random_group(struct victims *t, bool small, unsigned owners, uint64_t *seed)
{
    unsigned class = (unsigned)random_below(seed, CLASS_COUNT);
    uint64_t anon = small ? random_below(seed, 8) * 100 * MIB : random_below(seed, GIB);
    struct group *g;

    if (random_below(seed, 3) != 0)
        class = CLASS_BATCH;
    g = victims_add(t, class, random_below(seed, small ? 10 : 2000), anon);
    if (!small)
        g->birth_usec -= random_below(seed, USEC_PER_SEC);
    if (random_below(seed, 4) == 0)
        g->cpu_usec = random_below(seed, 4000) * USEC_PER_SEC;
    if (random_below(seed, 4) == 0)
        g->shmem = random_below(seed, GIB);
    if (random_below(seed, 4) == 0)
        g->kernel = random_below(seed, small ? VICTIM_USEFUL_BYTES : GIB);
    if (random_below(seed, 3) == 0)
        g->growth_bytes = small ? random_below(seed, 4) * 10 * MIB : random_below(seed, GIB);
    g->owner_uid = 1000 * (uint32_t)random_below(seed, owners);
    g->populated = random_below(seed, 40) != 0;
    g->dying = random_below(seed, 40) == 0;
    g->stuck = g->dying && random_below(seed, 3) != 0;
    g->claims = random_claims(seed);
    g->lineage_kills = (unsigned)random_below(seed, 5);
    if (random_below(seed, 10) == 0)
        g->pid = (pid_t)(1 + random_below(seed, 4));
}

static struct victims *random_victims(uint64_t run, uint64_t *seed, unsigned owners)
{
    struct victims *t = victims_new();
    bool small = run % 2 == 0;
    unsigned n;

    *seed = run;
    n = (unsigned)random_below(seed, run % 50 == 0 ? GROUPS_MAX + 1 : 12);
    for (unsigned i = 0; i < n; i++)
        random_group(t, small, owners, seed);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        if (random_below(seed, 4) == 0)
            t->c.classes[i].request = (struct amount){AMOUNT_BYTES, random_below(seed, 9) * 100 * MIB};
        if (random_below(seed, 4) == 0)
            t->state.shmem_permyriad[i] = random_below(seed, PERMYRIAD + 1);
    }
    return t;
}

static uint64_t random_need(uint64_t *seed)
{
    return random_below(seed, 20) == 0 ? UINT64_MAX : 1 + random_below(seed, 1 + random_below(seed, 4 * GIB));
}

static bool may_be_taken(const struct victims *t, const struct group *g, bool heard)
{
    const struct class_config *class = &t->c.classes[g->class_index];
    struct standing st;

    if (heard)
        claims_resolve(&t->c, &t->s, g, claims_one_owner(&t->s), &st);
    else
        claims_resolve_silent(&t->c, &t->s, g, claims_one_owner(&t->s), &st);
    return g->populated && !g->dying && !st.omit && st.priority < CONFIG_PRIORITY_PROTECTED &&
           (class->actions & ACTION_BIT(ACTION_KILL)) != 0;
}

static uint64_t freed_by(const struct victims *t, const struct group *g)
{
    return g->anon + g->kernel + u64_mul_div(g->shmem, t->state.shmem_permyriad[g->class_index], PERMYRIAD);
}

/* What is true of a decision by itself. */
static void check(const struct victims *t, uint64_t need)
{
    const struct decision *d = &t->d;
    bool culprit = d->victim_count > 0 && d->victims[0].culprit, waiting = false;
    uint64_t freed = 0, open = 0;

    for (unsigned i = 0; i < t->s.group_count; i++) {
        const struct group *g = &t->groups[i];
        enum verdict v = t->candidates[i].verdict;

        waiting = waiting || (g->dying && !g->stuck);
        assert_true((v == VERDICT_CHOSEN || v == VERDICT_CULPRIT) == is_member(d, g));
        assert_true(v <= VERDICT_NO_ROOM);
        if (!is_member(d, g)) {
            open += may_be_taken(t, g, false) && freed_by(t, g) >= VICTIM_USEFUL_BYTES;
            continue;
        }
        assert_true(may_be_taken(t, g, true)); /* never a protected or dying one */
        assert_true(culprit || freed_by(t, g) >= VICTIM_USEFUL_BYTES);
        freed += freed_by(t, g);
    }
    assert_true(d->expected_bytes == freed);
    assert_int_equal(d->reason == DECISION_WAITING, waiting);
    if (waiting) {
        assert_int_equal(d->victim_count, 0);
        return;
    }
    assert_int_equal(d->reason, d->victim_count > 0 ? DECISION_KILL : DECISION_NO_CANDIDATE);
    if (culprit) {
        assert_int_equal(d->victim_count, 1);
        return;
    }
    /* Enough, or everything that is allowed, as far as one decision goes. */
    assert_true(freed >= need || open == 0 || d->victim_count == DECISION_VICTIMS_MAX);
    for (unsigned i = 0; i < d->victim_count; i++) /* nobody who adds nothing */
        assert_true(freed - d->victims[i].expected_bytes < need);
}

static void test_every_decision(void **state _unused_)
{
    unsigned culprits = 0, kills = 0, offers = 0;

    for (uint64_t run = 0; run < RUNS; run++) {
        uint64_t seed, need;
        struct victims *t = random_victims(run, &seed, 3);

        need = random_need(&seed);
        victims_choose(t, need);
        check(t, need);
        culprits += t->d.method == METHOD_CULPRIT;
        kills += t->d.reason == DECISION_KILL;
        for (unsigned i = 0; i < t->s.group_count; i++)
            offers += claims_unheard(&t->groups[i], claims_one_owner(&t->s));
    }
    assert_true(culprits > RUNS / 100 && kills > RUNS / 2 && offers > RUNS / 2); /* all were met */
}

/* The same again, and the same in another order. */
static void test_order_of_input_is_nothing(void **state _unused_)
{
    for (uint64_t run = 0; run < RUNS / 4; run++) {
        uint64_t seed, need;
        struct victims *t = random_victims(run, &seed, 3);
        static struct decision first;

        need = random_need(&seed);
        victims_choose(t, need);
        first = t->d;
        memset(&t->state.tokens_usec, 0, sizeof(t->state.tokens_usec));
        victims_choose(t, need);
        assert_memory_equal(&first, &t->d, sizeof(first));
        for (unsigned i = t->s.group_count; i > 1; i--) {
            unsigned j = (unsigned)random_below(&seed, i);
            struct group g = t->groups[j];

            t->groups[j] = t->groups[i - 1];
            t->groups[i - 1] = g;
        }
        victims_choose(t, need);
        assert_memory_equal(&first, &t->d, sizeof(first));
    }
}

/* Of groups that say nothing only those die that would have died had nobody said anything (but root): what
 * others say of their groups can save a neighbour, and never condemn him. */
static void test_words_condemn_nobody_else(void **state _unused_)
{
    unsigned spared = 0;

    for (uint64_t run = 0; run < RUNS / 4; run++) {
        uint64_t seed, need;
        struct victims *t = random_victims(run, &seed, 4);
        bool one_owner = claims_one_owner(&t->s), silent[GROUPS_MAX];
        static struct decision with;

        need = random_need(&seed);
        victims_choose(t, need);
        with = t->d;
        for (unsigned i = 0; i < t->s.group_count; i++) {
            silent[i] = !claims_unheard(&t->groups[i], one_owner);
            if (!claims_trusted(&t->groups[i], one_owner))
                t->groups[i].claims = (struct group_claims){0};
        }
        victims_choose(t, need);
        for (unsigned i = 0; i < t->s.group_count; i++) {
            if (silent[i] && is_member(&with, &t->groups[i]))
                assert_true(is_member(&t->d, &t->groups[i]));
            spared += is_member(&t->d, &t->groups[i]) && !is_member(&with, &t->groups[i]);
        }
    }
    assert_true(spared > RUNS / 1000);
}

/* Two owners: whatever A says of his groups, no kill moves to a group of B, be B root with attributes that
 * are believed, or another one with attributes that are not (which then say nothing here). */
static void test_no_kill_moves_to_a_neighbour(void **state _unused_)
{
    unsigned changed = 0;

    for (uint64_t run = 0; run < RUNS / 4; run++) {
        uint64_t seed, need;
        struct victims *t = random_victims(run, &seed, 2);
        bool other_is_root = run % 4 < 2;
        static struct decision before;

        for (unsigned i = 0; i < t->s.group_count; i++) {
            bool of_a = t->groups[i].owner_uid != 0;

            if (!of_a && !other_is_root) {
                t->groups[i].owner_uid = 2000;
                t->groups[i].claims = (struct group_claims){.omit = true, .avoid = true};
            }
            if (of_a)
                t->groups[i].claims = (struct group_claims){0};
        }
        if (claims_one_owner(&t->s))
            continue;
        need = random_need(&seed);
        victims_choose(t, need);
        before = t->d;
        for (unsigned i = 0; i < t->s.group_count; i++)
            if (t->groups[i].owner_uid == 1000)
                t->groups[i].claims = random_claims(&seed);
        victims_choose(t, need);
        changed += before.victim_count != t->d.victim_count;
        for (unsigned i = 0; i < t->s.group_count; i++)
            if (t->groups[i].owner_uid != 1000 && is_member(&t->d, &t->groups[i]))
                assert_true(is_member(&before, &t->groups[i]));
    }
    assert_true(changed > RUNS / 1000);
}

/* The example behind the two rounds: A says of his small old group that it has only just begun. Together with
 * B's it would be the cheapest set, and A's large one would be let off. */
static void test_decoy(void **state _unused_)
{
    struct victims *t = victims_new();

    victims_add(t, CLASS_BATCH, 100, 60 * MIB)->owner_uid = 1000;
    victims_add(t, CLASS_BATCH, 50, 100 * MIB)->owner_uid = 1000;
    victims_add(t, CLASS_BATCH, 10, 40 * MIB)->owner_uid = 2000;
    victims_choose(t, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "2");
    t->groups[0].claims = (struct group_claims){.has_started = true, .started_usec = VICTIMS_NOW};
    victims_choose(t, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "2");
    t->groups[0].owner_uid = 0; /* root may say so */
    victims_choose(t, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "1 3");
}

/* An offer that is enough by itself is taken up, though it would have been another one's turn. */
static void test_offer(void **state _unused_)
{
    struct victims *t = victims_new();

    victims_add(t, CLASS_SERVICE, 900, 300 * MIB)->owner_uid = 1000;
    victims_add(t, CLASS_BATCH, 5, 300 * MIB)->owner_uid = 2000;
    victims_add(t, CLASS_SERVICE, 5, 300 * MIB);
    t->groups[0].claims = (struct group_claims){.has_priority = true, .priority = 50};
    victims_choose(t, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "1");
    assert_int_equal(t->candidates[1].verdict, VERDICT_TIER);
    assert_int_equal(t->candidates[2].verdict, VERDICT_TIER);
    assert_int_equal(t->candidates[0].priority, 50);
    t->groups[0].claims.priority = 100; /* of the same tier now, but for being retriable */
    t->groups[0].claims.has_retriable = t->groups[0].claims.retriable = true;
    victims_choose(t, 100 * MIB);
    assert_string_equal(victims_ids(&t->d), "2"); /* the younger one */
    assert_int_equal(t->candidates[0].verdict, VERDICT_NOT_NEEDED);
}

/* A class that is protected may be given up by its owner. */
static void test_offer_of_a_protected_one(void **state _unused_)
{
    struct victims *t = victims_new();

    victims_add(t, CLASS_PROTECTED, 5, 300 * MIB)->owner_uid = 1000;
    victims_add(t, CLASS_PROTECTED, 5, 300 * MIB);
    t->groups[0].claims = (struct group_claims){.has_priority = true, .priority = 999};
    victims_choose(t, 500 * MIB);
    assert_string_equal(victims_ids(&t->d), "1");
    assert_int_equal(t->d.candidates, 1);
}

/* More small offers than one decision takes do not stand in the way of what is needed. */
static void test_many_small_offers(void **state _unused_)
{
    struct victims *t = victims_new();

    victims_add(t, CLASS_BATCH, 5, GIB)->owner_uid = 2000;
    for (unsigned i = 0; i < 2 * DECISION_VICTIMS_MAX - 1; i++) {
        struct group *g = victims_add(t, CLASS_BATCH, 500, MIB);

        g->owner_uid = 1000;
        g->claims = (struct group_claims){.has_priority = true, .priority = 0};
    }
    victims_choose(t, 900 * MIB);
    assert_string_equal(victims_ids(&t->d), "1");
    assert_int_equal(t->d.candidates, 2 * DECISION_VICTIMS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_decision),
        cmocka_unit_test(test_order_of_input_is_nothing),
        cmocka_unit_test(test_words_condemn_nobody_else),
        cmocka_unit_test(test_no_kill_moves_to_a_neighbour),
        cmocka_unit_test(test_decoy),
        cmocka_unit_test(test_offer),
        cmocka_unit_test(test_offer_of_a_protected_one),
        cmocka_unit_test(test_many_small_offers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
