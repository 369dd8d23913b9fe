#include "policy.h"

#include "policy/claims.h"

#define NOW (10000 * USEC_PER_SEC)
#define BIRTH (NOW - 100 * USEC_PER_SEC)
#define ROOT 0
#define FOREIGN 1000

/* One group, of a class of priority 500 that is not retriable, 100 s old, holding 300 MiB. */
struct scene {
    struct config c;
    struct snapshot s;
    struct group groups[3];
    struct standing st;
};

static struct scene *scene_new(uint32_t owner)
{
    static struct scene one;

    memset(&one, 0, sizeof(one));
    node_config(&one.c);
    one.s.node.total = NODE_TOTAL;
    one.s.now_usec = NOW;
    one.s.groups = one.groups;
    one.s.group_count = 2;
    for (unsigned i = 0; i < 3; i++)
        one.groups[i] = (struct group){
            .id = i + 1,
            .populated = true,
            .owner_uid = owner,
            .birth_usec = BIRTH,
            .anon = 200 * MIB,
            .kernel = 40 * MIB,
            .shmem = 60 * MIB,
        };
    return &one;
}

static const struct standing *resolve(struct scene *t, bool one_owner)
{
    claims_resolve(&t->c, &t->s, &t->groups[0], one_owner, &t->st);
    return &t->st;
}

enum field {
    FIELD_PRIORITY,
    FIELD_RETRIABLE,
    FIELD_OMIT,
    FIELD_LAST,
    FIELD_OVER_REQUEST,
    FIELD_REQUEST,
    FIELD_PROGRESS,
};

static uint64_t field_of(const struct standing *st, enum field f)
{
    switch (f) {
    case FIELD_PRIORITY:
        return st->priority;
    case FIELD_RETRIABLE:
        return st->retriable;
    case FIELD_OMIT:
        return st->omit;
    case FIELD_LAST:
        return st->last;
    case FIELD_OVER_REQUEST:
        return st->over_request;
    case FIELD_REQUEST:
        return st->request_bytes;
    case FIELD_PROGRESS:
        return st->progress_usec;
    }
    return 0;
}

#define SEC USEC_PER_SEC
#define NONE GROUP_REQUEST_NONE

/* What is said, what it is without that, and what it is where it is believed and where only an earlier end
 * is.
 */
static const struct {
    const char *what;
    struct group_claims claims;
    unsigned lineage_kills;
    uint64_t class_request; /* 0: none */
    bool class_retriable;
    uint64_t cpu_sec;
    enum field field;
    uint64_t trusted, foreign;
} rows[] = {
    {"nothing", {0}, 0, 0, false, 0, FIELD_PRIORITY, 500, 500},
    {"lower priority", {.has_priority = true, .priority = 20}, 0, 0, false, 0, FIELD_PRIORITY, 20, 20},
    {"same priority", {.has_priority = true, .priority = 500}, 0, 0, false, 0, FIELD_PRIORITY, 500, 500},
    {"higher priority", {.has_priority = true, .priority = 900}, 0, 0, false, 0, FIELD_PRIORITY, 900, 500},
    {"protected", {.has_priority = true, .priority = 1000}, 0, 0, false, 0, FIELD_PRIORITY, 1000, 500},
    {"a number unsaid", {.priority = 3}, 0, 0, false, 0, FIELD_PRIORITY, 500, 500},
    {"retriable", {.has_retriable = true, .retriable = true}, 0, 0, false, 0, FIELD_RETRIABLE, 1, 1},
    {"not retriable", {.has_retriable = true}, 0, 0, true, 0, FIELD_RETRIABLE, 0, 1},
    {"retriable unsaid", {.retriable = true}, 0, 0, false, 0, FIELD_RETRIABLE, 0, 0},
    {"omit", {.omit = true}, 0, 0, false, 0, FIELD_OMIT, 1, 0},
    {"avoid", {.avoid = true}, 0, 0, false, 0, FIELD_LAST, 1, 0},
    {"killed twice", {.task = 5}, 2, 0, false, 0, FIELD_LAST, 0, 0},
    {"killed three times", {.task = 5}, 3, 0, false, 0, FIELD_LAST, 1, 0},
    {"killed, but no task", {0}, 9, 0, false, 0, FIELD_LAST, 0, 0},
    {"no request", {0}, 0, 0, false, 0, FIELD_OVER_REQUEST, 1, 1},
    {"large request", {.has_request = true, .request_bytes = GIB}, 0, 0, false, 0, FIELD_OVER_REQUEST, 0, 1},
    {"just it", {.has_request = true, .request_bytes = 300 * MIB}, 0, 0, false, 0, FIELD_OVER_REQUEST, 0, 1},
    {"small request", {.has_request = true, .request_bytes = MIB}, 0, 0, false, 0, FIELD_OVER_REQUEST, 1, 1},
    {"small, none set",
     {.has_request = true, .request_bytes = MIB},
     0,
     0,
     false,
     0,
     FIELD_REQUEST,
     MIB,
     NONE},
    {"class request", {0}, 0, GIB, false, 0, FIELD_OVER_REQUEST, 0, 0},
    {"smaller", {.has_request = true, .request_bytes = MIB}, 0, GIB, false, 0, FIELD_OVER_REQUEST, 1, 1},
    {"smaller", {.has_request = true, .request_bytes = MIB}, 0, GIB, false, 0, FIELD_REQUEST, MIB, MIB},
    {"greater", {.has_request = true, .request_bytes = GIB}, 0, MIB, false, 0, FIELD_OVER_REQUEST, 0, 1},
    {"greater", {.has_request = true, .request_bytes = GIB}, 0, MIB, false, 0, FIELD_REQUEST, GIB, MIB},
    {"age", {0}, 0, 0, false, 0, FIELD_PROGRESS, 100 * SEC, 100 * SEC},
    {"CPU time", {0}, 0, 0, false, 700, FIELD_PROGRESS, 700 * SEC, 700 * SEC},
    {"started later",
     {.has_started = true, .started_usec = NOW - 7 * SEC},
     0,
     0,
     false,
     0,
     FIELD_PROGRESS,
     7 * SEC,
     7 * SEC},
    /* How much of the CPU time belongs to the new task, nobody knows. */
    {"started later, busy",
     {.has_started = true, .started_usec = NOW - 7 * SEC},
     0,
     0,
     false,
     700,
     FIELD_PROGRESS,
     7 * SEC,
     7 * SEC},
    {"started in the future",
     {.has_started = true, .started_usec = NOW + SEC},
     0,
     0,
     false,
     0,
     FIELD_PROGRESS,
     0,
     0},
    {"started earlier",
     {.has_started = true, .started_usec = NOW - 900 * SEC},
     0,
     0,
     false,
     0,
     FIELD_PROGRESS,
     900 * SEC,
     100 * SEC},
    {"started at boot", {.has_started = true}, 0, 0, false, 0, FIELD_PROGRESS, NOW, 100 * SEC},
};

static void say(struct scene *t, size_t row)
{
    t->groups[0].claims = rows[row].claims;
    t->groups[0].lineage_kills = rows[row].lineage_kills;
    t->groups[0].cpu_usec = rows[row].cpu_sec * SEC;
    t->c.classes[0].retriable = rows[row].class_retriable;
    if (rows[row].class_request > 0)
        t->c.classes[0].request = (struct amount){AMOUNT_BYTES, rows[row].class_request};
}

static void test_table(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        static const struct {
            uint32_t owner;
            bool one_owner, believed;
        } kinds[] = {{ROOT, false, true}, {FOREIGN, true, true}, {FOREIGN, false, false}, {ROOT, true, true}};

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
            struct scene *t = scene_new(kinds[k].owner);
            uint64_t is, should = kinds[k].believed ? rows[i].trusted : rows[i].foreign;

            say(t, i);
            is = field_of(resolve(t, kinds[k].one_owner), rows[i].field);
            if (is != should)
                print_error("row %zu (%s), kind %zu: %ju and not %ju\n", i, rows[i].what, k, (uintmax_t)is,
                            (uintmax_t)should);
            assert_true(is == should);
            assert_int_equal(claims_trusted(&t->groups[0], kinds[k].one_owner), kinds[k].believed);
        }
    }
}

/* Silent: of an owner who is not believed everything is as if he had said nothing; of others nothing changes.
 */
static void test_silent(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct scene *t = scene_new(FOREIGN);
        struct standing all, silent, nothing;

        say(t, i);
        claims_resolve(&t->c, &t->s, &t->groups[0], true, &all);
        claims_resolve_silent(&t->c, &t->s, &t->groups[0], true, &silent);
        assert_memory_equal(&all, &silent, sizeof(all));
        claims_resolve_silent(&t->c, &t->s, &t->groups[0], false, &silent);
        t->groups[0].claims = (struct group_claims){0};
        claims_resolve(&t->c, &t->s, &t->groups[0], false, &nothing);
        assert_memory_equal(&nothing, &silent, sizeof(nothing));
    }
}

static struct group_claims random_claims(uint64_t *seed)
{
    return (struct group_claims){
        .has_priority = random_below(seed, 2),
        .has_retriable = random_below(seed, 2),
        .has_request = random_below(seed, 2),
        .has_started = random_below(seed, 2),
        .avoid = random_below(seed, 2),
        .omit = random_below(seed, 2),
        .retriable = random_below(seed, 2),
        .priority = (uint16_t)random_below(seed, 1001),
        .request_bytes = random_extreme(seed),
        .started_usec = random_below(seed, 2) ? random_extreme(seed) : NOW - random_below(seed, 500 * SEC),
        .task = random_below(seed, 3),
    };
}

/* Whatever is said by whom nobody believes: in nothing does he stand later than if he had been silent. */
static void test_never_later(void **state _unused_)
{
    for (uint64_t run = 0; run < 200000; run++) {
        struct scene *t = scene_new(FOREIGN);
        struct standing said, silent;
        uint64_t seed = run;

        t->groups[0].claims = random_claims(&seed);
        t->groups[0].lineage_kills = (unsigned)random_below(&seed, 6);
        t->groups[0].cpu_usec = random_below(&seed, 300 * SEC);
        t->groups[0].paused_usec = random_below(&seed, 200 * SEC);
        t->groups[0].anon = random_extreme(&seed);
        t->c.classes[0].priority = (unsigned)random_below(&seed, 1001);
        t->c.classes[0].retriable = random_below(&seed, 2);
        if (random_below(&seed, 2))
            t->c.classes[0].request = (struct amount){AMOUNT_BYTES, random_extreme(&seed)};
        claims_resolve(&t->c, &t->s, &t->groups[0], false, &said);
        claims_resolve_silent(&t->c, &t->s, &t->groups[0], false, &silent);
        assert_true(said.priority <= silent.priority);
        assert_true(said.retriable >= silent.retriable);
        assert_true(said.over_request >= silent.over_request);
        assert_true(said.progress_usec <= silent.progress_usec && said.age_usec <= silent.age_usec);
        assert_false(said.omit || said.last);
        if (!claims_unheard(&t->groups[0], false))
            assert_memory_equal(&said, &silent, sizeof(said));
    }
}

static void test_one_owner(void **state _unused_)
{
    struct scene *t = scene_new(FOREIGN);

    t->groups[2].owner_uid = 7; /* beyond the count */
    assert_true(claims_one_owner(&t->s));
    t->s.group_count = 3;
    assert_false(claims_one_owner(&t->s));
    t->s.group_count = 1;
    assert_true(claims_one_owner(&t->s));
    t->s.group_count = 0;
    assert_false(claims_one_owner(&t->s));
}

static void test_unheard(void **state _unused_)
{
    struct scene *t = scene_new(FOREIGN);

    assert_false(claims_unheard(&t->groups[0], false));
    t->groups[0].claims = (struct group_claims){.avoid = true, .omit = true, .task = 5};
    assert_false(claims_unheard(&t->groups[0], false)); /* these never make anything earlier */
    t->groups[0].claims.has_started = true;
    assert_true(claims_unheard(&t->groups[0], false));
    assert_false(claims_unheard(&t->groups[0], true));
    t->groups[0].owner_uid = ROOT;
    assert_false(claims_unheard(&t->groups[0], false));
}

/* Time that it was paused is no progress; and neither clock may run backwards. */
static void test_paused(void **state _unused_)
{
    struct scene *t = scene_new(ROOT);

    t->groups[0].paused_usec = 60 * SEC;
    assert_true(resolve(t, false)->progress_usec == 40 * SEC);
    assert_true(t->st.age_usec == 40 * SEC);
    t->groups[0].paused_usec = 600 * SEC;
    assert_true(resolve(t, false)->progress_usec == 0);
    t->groups[0].birth_usec = NOW + 5;
    assert_true(resolve(t, false)->progress_usec == 0);
}

/* A request as a share is one of the node's memory. */
static void test_request_of_the_node(void **state _unused_)
{
    struct scene *t = scene_new(ROOT);

    t->c.classes[0].request = (struct amount){AMOUNT_PERMYRIAD, 100}; /* 1 % of 10 GiB */
    assert_true(resolve(t, false)->request_bytes == NODE_TOTAL / 100);
    assert_true(t->st.over_request);
    t->c.classes[0].request = (struct amount){AMOUNT_PERMYRIAD, 1000};
    assert_false(resolve(t, false)->over_request);
    t->groups[0].anon = UINT64_MAX; /* sums do not wrap */
    assert_true(resolve(t, false)->over_request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_never_later),
        cmocka_unit_test(test_one_owner),
        cmocka_unit_test(test_unheard),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_request_of_the_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
