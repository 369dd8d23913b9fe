/* The hierarchy's root is a cgroup of the host: its own limit bounds what there is, and /proc/meminfo is of
 * the whole host. Restates Ray's TestTakeSystemMemoryUsageSnapshotUsesCgroupWhenLowerThanSystem (total and
 * used must come from the same view) and the complaint in its #59796 (killed at "29.10/30.59 GB" of the host
 * while it held 9). */
#include "tree.h"

#include "policy/room.h"

static int setup(void **state)
{
    struct tree *t;

    if (tree_setup(state) < 0)
        return -1;
    t = *state;
    tree_write(t, "", "cgroup.type", "domain\n");
    tree_write(t, "", "memory.max", "max\n");
    tree_stat(t, "", &(struct tree_stat){.anon = 100 * MIB, .file = 300 * MIB, .kernel = 20 * MIB});
    return 0;
}

static void test_tight_limit(void **state)
{
    struct tree *t = *state;
    struct room_state st = {0};
    struct room r;

    tree_write_u64(t, "", "memory.max", GIB);
    tree_open(t, false);
    assert_false(t->hierarchy.real_root);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.mem_total, TREE_TOTAL);
    assert_int_equal(t->s.node.total, GIB);
    assert_int_equal(t->s.node.unreclaimable, 120 * MIB); /* not the 4 GiB of the host */
    assert_int_equal(t->s.node.available, GIB - 120 * MIB);
    room_evaluate(&t->config, &t->s, &st, &r);
    assert_int_equal(r.need, 0);
}

static void test_host_is_the_tighter_one(void **state)
{
    struct tree *t = *state;

    tree_open(t, false);
    for (unsigned i = 0; i < 2; i++) {
        tree_write_u64(t, "", "memory.max", i ? UINT64_MAX : 64 * GIB);
        assert_int_equal(tree_look(t, 0), 0);
        assert_int_equal(t->s.node.total, TREE_TOTAL);
        assert_int_equal(t->s.node.unreclaimable, 4 * GIB);
        assert_int_equal(t->s.node.available, 6 * GIB);
    }
}

/* Little is left on the host: that bounds it, too. */
static void test_host_is_short(void **state)
{
    struct tree *t = *state;

    tree_meminfo(t, &(struct tree_meminfo){.total = TREE_TOTAL, .free = 10 * MIB, .available = 10 * MIB});
    tree_write_u64(t, "", "memory.max", GIB);
    tree_open(t, false);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.available, 10 * MIB);
}

static void test_own_swap_limit(void **state)
{
    struct tree *t = *state;

    tree_meminfo(
        t, &(struct tree_meminfo){
               .total = TREE_TOTAL, .free = GIB, .available = GIB, .swap_total = GIB, .swap_free = GIB});
    fixture_write(t->f, "proc/swaps", "Filename Type Size Used Priority\n/dev/vdb partition 1048576 0 -2\n");
    tree_open(t, false);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.swap_effective, GIB);
    tree_write_u64(t, "", "memory.swap.max", 0);
    tree_write_u64(t, "", "memory.swap.current", 0);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.swap_effective, 0);
}

/* What cannot be read is not acted on: neither "no limit" nor "nothing used". */
static void test_unreadable(void **state)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"memory.max", "much\n"},       {"memory.max", ""},          {"memory.max", "99999999999999999999\n"},
        {"memory.stat", "anon x\n"},    {"memory.stat", "anon 1\n"}, {"memory.stat", ""},
        {"memory.swap.max", "12 13\n"},
    };
    struct tree *t = *state;

    tree_open(t, false);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        tree_write_u64(t, "", "memory.max", GIB);
        tree_write_u64(t, "", "memory.swap.max", UINT64_MAX);
        tree_stat(t, "", &(struct tree_stat){.anon = MIB});
        assert_int_equal(tree_look(t, 1), 0);
        tree_write(t, "", rows[i].name, rows[i].text);
        assert_true(tree_look(t, 2) < 0);
        assert_int_equal(t->s.now_usec, 1);
    }
}

/* No limit file at all: the controller is not ours to see. */
static void test_no_limit_file(void **state)
{
    struct tree *t = *state;

    tree_remove(t, "memory.max");
    tree_open(t, false);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.total, TREE_TOTAL);
}

/* The real root has no limit, whatever a file there says. */
static void test_real_root(void **state)
{
    struct tree *t = *state;

    tree_remove(t, "cgroup.type");
    tree_write_u64(t, "", "memory.max", GIB);
    tree_open(t, false);
    assert_true(t->hierarchy.real_root);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.total, TREE_TOTAL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tight_limit),   TEST(test_host_is_the_tighter_one),
        TEST(test_host_is_short), TEST(test_own_swap_limit),
        TEST(test_unreadable),    TEST(test_no_limit_file),
        TEST(test_real_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
