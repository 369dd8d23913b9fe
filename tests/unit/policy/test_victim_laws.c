/* What holds for every choice, over random nodes. The oracle sorts, which victim_choose does not. */
#include <stdlib.h>

#include "victims.h"

#define ROUNDS 200000
#define LAW_GROUPS_MAX 40

static struct victims node;

/* Sizes around what matters: nothing, just useful, of one order, and far more than the rest. */
static uint64_t random_size(uint64_t *seed)
{
    switch (random_below(seed, 8)) {
    case 0:
        return 0;
    case 1:
        return VICTIM_USEFUL_BYTES - 1 + random_below(seed, 3);
    case 2:
        return random_below(seed, 64 * GIB);
    default:
        return MIB + random_below(seed, 400 * MIB);
    }
}

static void random_groups(uint64_t *seed)
{
    unsigned count = (unsigned)random_below(seed, random_below(seed, 4) ? 12 : LAW_GROUPS_MAX + 1);

    node.s.group_count = 0;
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct class_config *class = &node.c.classes[i];

        class->priority = (unsigned)(random_below(seed, 4) ? random_below(seed, 4) * 300 : 1000);
        class->retriable = random_below(seed, 2);
        class->actions = (unsigned)random_below(seed, 1U << ACTION_COUNT) |
                         (random_below(seed, 4) ? ACTION_BIT(ACTION_KILL) : 0);
    }
    for (unsigned i = 0; i < count; i++) {
        struct group *g = victims_add(&node, (unsigned)random_below(seed, CLASS_COUNT),
                                      random_below(seed, 20), random_size(seed));

        g->kernel = random_below(seed, 3) ? 0 : random_size(seed);
        g->shmem = random_below(seed, 3) ? 0 : random_size(seed);
        g->swap = random_size(seed);
        g->populated = random_below(seed, 10) != 0;
        g->dying = random_below(seed, 100) == 0;
        g->stuck = g->dying && random_below(seed, 2);
    }
    memset(&node.d, 0, sizeof(node.d));
    node.d.room.need = random_below(seed, 50) ? random_size(seed) : 0;
    node.d.room.margin = random_below(seed, 3) ? random_below(seed, 128 * MIB) : 0;
}

static const struct class_config *class_of(const struct group *g)
{
    return &node.c.classes[g->class_index];
}

static bool is_allowed(const struct group *g)
{
    return class_of(g)->priority < 1000 && class_of(g)->actions & ACTION_BIT(ACTION_KILL) && g->populated &&
           !g->dying;
}

static uint64_t frees(const struct group *g, bool shmem)
{
    return g->anon + g->kernel + (shmem ? g->shmem : 0);
}

static int compare(const void *a, const void *b)
{
    const struct group *x = *(const struct group *const *)a, *y = *(const struct group *const *)b;

    if (class_of(x)->priority != class_of(y)->priority)
        return class_of(x)->priority < class_of(y)->priority ? -1 : 1;
    if (class_of(x)->retriable != class_of(y)->retriable)
        return class_of(x)->retriable ? -1 : 1;
    if (x->birth_usec != y->birth_usec)
        return x->birth_usec > y->birth_usec ? -1 : 1;
    return x->id > y->id ? -1 : 1;
}

/* Who may be taken and is of use, in order. */
static unsigned list_make(const struct group **list, bool shmem)
{
    unsigned n = 0;

    for (unsigned i = 0; i < node.s.group_count; i++)
        if (is_allowed(&node.groups[i]) && frees(&node.groups[i], shmem) >= VICTIM_USEFUL_BYTES)
            list[n++] = &node.groups[i];
    qsort(list, n, sizeof(list[0]), compare);
    return n;
}

static uint64_t list_sum(const struct group **list, unsigned n, bool shmem)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n && i < DECISION_VICTIMS_MAX; i++)
        sum += frees(list[i], shmem);
    return sum;
}

/* The victims are of the list, in its order, and credited with what they free. Returns the place of the last
 * one. */
static unsigned check_are_of_list(const struct decision *d, const struct group **list, unsigned n, bool shmem)
{
    unsigned place = 0, last = 0;
    uint64_t sum = 0;

    for (unsigned i = 0; i < d->victim_count; i++) {
        while (place < n && list[place]->id != d->victims[i].id)
            place++;
        assert_true(place < n); /* else not allowed, out of order, or taken twice */
        assert_int_equal(d->victims[i].expected_bytes, frees(list[place], shmem));
        sum += d->victims[i].expected_bytes;
        last = place++;
    }
    assert_int_equal(d->expected_bytes, sum);
    return last;
}

static void check_cover(const struct decision *d)
{
    const struct group *list[GROUPS_MAX];
    uint64_t cover = d->room.need + d->room.margin, before;
    unsigned n = list_make(list, false), last;
    bool shmem = list_sum(list, n, false) < d->room.need;

    if (shmem) /* only where the rest does not bring what is needed */
        n = list_make(list, true);
    assert_int_equal(d->reason, n > 0 ? DECISION_KILL : DECISION_NO_CANDIDATE);
    last = check_are_of_list(d, list, n, shmem);

    if (list_sum(list, n, shmem) < cover) { /* then everything allowed that fits into one decision */
        assert_int_equal(d->victim_count, n < DECISION_VICTIMS_MAX ? n : DECISION_VICTIMS_MAX);
        return;
    }
    assert_true(d->expected_bytes >= cover);
    for (unsigned i = 0; i < d->victim_count; i++) /* nobody dies that adds nothing */
        assert_true(d->expected_bytes - d->victims[i].expected_bytes < cover);
    before = list_sum(list, last, shmem); /* nobody is taken while those before him are enough */
    assert_true(before < cover);
}

static void check_counts(const struct decision *d)
{
    unsigned allowed = 0;

    for (unsigned i = 0; i < node.s.group_count; i++)
        allowed += is_allowed(&node.groups[i]);
    assert_int_equal(d->groups, node.s.group_count);
    assert_int_equal(d->candidates + d->passed_over, allowed);
}

static bool somebody_is_dying(void)
{
    for (unsigned i = 0; i < node.s.group_count; i++)
        if (node.groups[i].dying && !node.groups[i].stuck)
            return true;
    return false;
}

static void shuffle(uint64_t *seed)
{
    for (unsigned i = node.s.group_count; i > 1; i--) {
        unsigned j = (unsigned)random_below(seed, i);
        struct group g = node.groups[i - 1];

        node.groups[i - 1] = node.groups[j];
        node.groups[j] = g;
    }
}

static void test_laws(void **state _unused_)
{
    static struct decision first, again;
    uint64_t seed = UINT64_C(0xdecaf);
    unsigned kills = 0, covers = 0;
    void *unused;

    (void)victims_setup(&unused);
    node = *(struct victims *)unused;
    node.s.groups = node.groups;
    for (unsigned round = 0; round < ROUNDS; round++) {
        random_groups(&seed);
        first = again = node.d;
        victim_choose(&node.c, &node.s, &first);
        check_counts(&first);
        if (first.room.need == 0) {
            assert_int_equal(first.reason, DECISION_NOTHING_NEEDED);
            assert_int_equal(first.victim_count, 0);
        } else if (somebody_is_dying()) {
            assert_int_equal(first.reason, DECISION_WAITING);
            assert_int_equal(first.victim_count, 0);
        } else {
            check_cover(&first);
        }
        kills += first.reason == DECISION_KILL;
        covers += first.expected_bytes >= first.room.need + first.room.margin && first.victim_count > 1;
        shuffle(&seed); /* the order of a walk says nothing, and the same node is the same choice */
        victim_choose(&node.c, &node.s, &again);
        assert_memory_equal(&first, &again, sizeof(first));
    }
    assert_true(kills > ROUNDS / 4 && covers > ROUNDS / 20); /* the inputs were worth it */
}

/* At the ends of 64 bits sums are capped: whoever is chosen is still allowed, and chosen once. */
static void test_extremes(void **state _unused_)
{
    uint64_t seed = 99;

    for (unsigned round = 0; round < 20000; round++) {
        random_groups(&seed);
        for (unsigned i = 0; i < node.s.group_count; i++) {
            node.groups[i].anon = random_extreme(&seed);
            node.groups[i].kernel = random_extreme(&seed);
            node.groups[i].shmem = random_extreme(&seed);
            node.groups[i].birth_usec = random_extreme(&seed);
        }
        node.d.room.need = random_extreme(&seed);
        node.d.room.margin = random_extreme(&seed);
        victim_choose(&node.c, &node.s, &node.d);
        for (unsigned i = 0; i < node.d.victim_count; i++) {
            assert_true(is_allowed(&node.groups[node.d.victims[i].id - 1]));
            for (unsigned j = 0; j < i; j++)
                assert_true(node.d.victims[i].id != node.d.victims[j].id);
        }
        if (node.d.reason == DECISION_KILL)
            assert_true(node.d.victim_count > 0 && node.d.room.need > 0);
        else
            assert_int_equal(node.d.victim_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_laws),
        cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
