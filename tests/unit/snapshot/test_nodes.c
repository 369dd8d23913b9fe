/* NUMA nodes: which there are, what is had on each, and which groups are bound to which. */
#include "tree.h"

#define WORK "workload.slice"
#define NODES "sys/devices/system/node/"
#define NOW (1000 * USEC_PER_SEC)

static int setup(void **state)
{
    struct tree *t;

    if (tree_setup(state) < 0)
        return -1;
    t = *state;
    tree_slice(t, WORK);
    tree_workload(t, WORK);
    return 0;
}

static void write_node(const struct tree *t, unsigned node, uint64_t total, uint64_t free, uint64_t file)
{
    char path[128], text[512];

    (void)snprintf(path, sizeof(path), NODES "node%u/meminfo", node);
    (void)snprintf(text, sizeof(text),
                   "Node %u MemTotal: %ju kB\nNode %u MemFree: %ju kB\nNode %u Inactive(file): %ju kB\n",
                   node, (uintmax_t)(total / KIB), node, (uintmax_t)(free / KIB), node,
                   (uintmax_t)(file / KIB));
    fixture_write(t->f, path, text);
}

static void write_two(const struct tree *t)
{
    fixture_write(t->f, NODES "has_memory", "0-1\n");
    write_node(t, 0, 6 * GIB, GIB, GIB);
    write_node(t, 1, 4 * GIB, 3 * GIB, 0);
    tree_meminfo(
        t, &(struct tree_meminfo){.total = 10 * GIB, .free = 4 * GIB, .available = 4 * GIB, .file = GIB});
}

/* What MemAvailable leaves out, 1 GiB here, is shared out by size. */
static void test_two(void **state)
{
    struct tree *t = *state;

    write_two(t);
    tree_open(t, true);
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa_nodes == 3);
    assert_true(t->s.numa[0].total == 6 * GIB);
    assert_true(t->s.numa[0].unreclaimable == 4 * GIB);
    assert_true(t->s.numa[0].available == 2 * GIB - GIB * 6 / 10);
    assert_true(t->s.numa[1].available == 3 * GIB - GIB * 4 / 10);
    assert_true(t->s.numa[1].unreclaimable == GIB);
}

/* Pools of huge pages are nobody's to give; they are read again when the machine's change. */
static void test_huge_pages(void **state)
{
    struct tree *t = *state;
    struct tree_meminfo m = {.total = 10 * GIB, .free = 4 * GIB, .available = 4 * GIB, .file = GIB};

    write_two(t);
    m.hugetlb = 3 * GIB;
    tree_meminfo(t, &m);
    fixture_write(t->f, NODES "node0/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
    fixture_write(t->f, NODES "node0/hugepages/hugepages-1048576kB/nr_hugepages", "2\n");
    fixture_write(t->f, NODES "node0/hugepages/hugepages-xkB/nr_hugepages", "7\n");
    tree_open(t, true);
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa[0].total == 3 * GIB);
    assert_true(t->s.numa[0].unreclaimable == GIB);
    assert_true(t->s.numa[1].total == 4 * GIB);
    fixture_write(t->f, NODES "node0/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa[0].total == 3 * GIB); /* not asked for at each look */
    m.hugetlb = 2 * GIB;
    tree_meminfo(t, &m);
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa[0].total == 4 * GIB);
}

/* One alone, none, or what cannot be read: there is nothing, and the look is as good as ever. */
static void test_none(void **state)
{
    struct tree *t = *state;

    write_two(t);
    fixture_write(t->f, NODES "has_memory", "0\n");
    tree_open(t, true);
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa_nodes == 0);
    tree_close(t);

    fixture_write(t->f, NODES "has_memory", "0-2\n"); /* the third one's file is not there */
    tree_open(t, true);
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa_nodes == 0);
    tree_close(t);

    fixture_write(t->f, NODES "has_memory", "0-1\n");
    tree_open(t, true);
    fixture_write(t->f, NODES "node1/meminfo", "Node 1 MemTo");
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa_nodes == 0);
    write_node(t, 1, 4 * GIB, 3 * GIB, 0);
    assert_int_equal(tree_look(t, NOW), 0);
    assert_true(t->s.numa_nodes == 3);
}

static void test_bound(void **state)
{
    struct tree *t = *state;

    write_two(t);
    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_leaf(t, WORK "/b", "102\n", MIB);
    tree_leaf(t, WORK "/c", "103\n", MIB);
    tree_slice(t, WORK "/d");
    tree_leaf(t, WORK "/d/e", "104\n", MIB);
    tree_leaf(t, WORK "/f", "105\n", MIB);
    tree_write(t, WORK "/a", "cpuset.mems.effective", "0\n");
    tree_write(t, WORK "/b", "cpuset.mems.effective", "0-1\n");
    tree_write(t, WORK "/c", "cpuset.mems.effective", "1,7\n"); /* 7 has no memory */
    tree_write(t, WORK "/d", "cpuset.mems.effective", "1\n");
    tree_write(t, WORK "/f", "cpuset.mems.effective", "garbage\n");
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a " WORK "/b " WORK "/c " WORK "/d/e " WORK "/f");
    assert_true(tree_group(t, WORK "/a")->mems == 1);
    assert_true(tree_group(t, WORK "/b")->mems == 0);
    assert_true(tree_group(t, WORK "/c")->mems == 2);
    assert_true(tree_group(t, WORK "/d/e")->mems == 2); /* has no controller of its own */
    assert_true(tree_group(t, WORK "/f")->mems == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_huge_pages, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, tree_teardown),
        cmocka_unit_test_setup_teardown(test_bound, setup, tree_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
