/* What is remembered between two walks: one descriptor a group, no more groups than fit, and none of it for
 * those that have gone. */
#include "tree.h"

#include <dirent.h>

#include "snapshot/handles.h"

#define WORK "workload.slice"
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

static void add_leaves(struct tree *t, const char *name, unsigned count)
{
    char path[64];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), WORK "/%s%02u", name, i);
        tree_leaf(t, path, "101\n", MIB);
    }
}

static void remove_leaves(struct tree *t, const char *name, unsigned count)
{
    char path[64];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), WORK "/%s%02u", name, i);
        tree_remove(t, path);
    }
}

static unsigned count_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

static unsigned count_handles(const struct tree *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < TREE_GROUPS_MAX; i++)
        n += t->handles[i].id != 0;
    return n;
}

static void walk(struct tree *t)
{
    assert_int_equal(tree_look(t, NOW), 0);
    assert_int_equal(snapshot_read_groups(&t->reader, &t->s), 0);
}

/* MaxGroups: the rest is counted, and the table is not written beyond. */
static void test_more_groups_than_fit(void **state)
{
    struct tree *t = *state;

    add_leaves(t, "g", TREE_GROUPS_MAX + 5);
    tree_open(t, true);
    for (unsigned i = 0; i < 3; i++) {
        walk(t);
        assert_int_equal(t->s.group_count, TREE_GROUPS_MAX);
        assert_int_equal(t->s.groups_left_out, 5);
    }
    t->s.group_max = 4;
    walk(t);
    assert_int_equal(t->s.group_count, 4);
    assert_int_equal(t->s.groups_left_out, TREE_GROUPS_MAX + 1);
    t->s.group_max = 0;
    walk(t);
    assert_int_equal(t->s.group_count, 0);
}

/* What is beyond is named by the cgroup that it is in, and forgotten when there is room again. */
static void test_the_rest_by_its_parent(void **state)
{
    struct tree *t = *state;

    tree_slice(t, WORK "/more");
    add_leaves(t, "g", TREE_GROUPS_MAX);
    add_leaves(t, "more/h", 3);
    tree_open(t, true);
    walk(t);
    assert_int_equal(t->s.group_count, TREE_GROUPS_MAX);
    assert_int_equal(t->s.groups_left_out, 3);
    assert_true(t->s.rest_count == 1 || t->s.rest_count == 2); /* directories have no order */
    for (unsigned i = 0, sum = 0; i < t->s.rest_count; i++) {
        const struct group_rest *rest = &t->s.rests[i];

        assert_true(strcmp(rest->path, WORK) == 0 || strcmp(rest->path, WORK "/more") == 0);
        assert_true(rest->id != 0 && rest->count > 0);
        sum += rest->count;
        if (i + 1 == t->s.rest_count)
            assert_int_equal(sum, 3);
    }
    assert_int_equal(tree_look(t, NOW + 1), 0); /* stays over a look at the node */
    assert_true(t->s.rest_count > 0 && t->s.rests[0].count > 0);
    remove_leaves(t, "g", 5);
    walk(t);
    assert_int_equal(t->s.rest_count, 0);
    assert_int_equal(t->s.groups_left_out, 0);
}

/* Hours lie between two walks, and the groups of the first are gone. Those of the second must all be seen,
 * and not only as many as there were handles left. */
static void test_all_are_new(void **state)
{
    struct tree *t = *state;

    add_leaves(t, "old", TREE_GROUPS_MAX);
    tree_open(t, true);
    walk(t);
    assert_int_equal(t->s.group_count, TREE_GROUPS_MAX);
    add_leaves(t, "new", TREE_GROUPS_MAX); /* before the others go: no inode number comes back */
    remove_leaves(t, "old", TREE_GROUPS_MAX);
    walk(t);
    assert_int_equal(t->s.group_count, TREE_GROUPS_MAX);
    assert_int_equal(t->s.groups_left_out, 0);
    for (unsigned i = 0; i < t->s.group_count; i++)
        assert_non_null(strstr(t->groups[i].path, "/new"));
}

/* Empty groups of a class take no place of those that hold memory. */
static void test_empty_ones_take_no_place(void **state)
{
    char path[64];
    struct tree *t = *state;

    tree_class(t, "batch", WORK "/*");
    for (unsigned i = 0; i < 2 * TREE_GROUPS_MAX; i++) {
        (void)snprintf(path, sizeof(path), WORK "/e%02u", i);
        tree_leaf(t, path, "", 0);
    }
    add_leaves(t, "g", TREE_GROUPS_MAX);
    tree_open(t, true);
    walk(t);
    assert_int_equal(t->s.group_count, TREE_GROUPS_MAX);
    assert_int_equal(t->s.groups_left_out, 0);
}

static void test_descriptors_are_given_back(void **state)
{
    struct tree *t = *state;
    unsigned before, after_first;

    add_leaves(t, "a", 3);
    tree_open(t, true);
    before = count_descriptors();
    walk(t);
    after_first = count_descriptors();
    assert_int_equal(after_first, before + 3); /* one a group */
    for (unsigned i = 0; i < 20; i++)
        walk(t);
    assert_int_equal(count_descriptors(), after_first);
    remove_leaves(t, "a", 2);
    walk(t);
    assert_int_equal(count_handles(t), 1);
    assert_int_equal(count_descriptors(), before + 1);
    tree_close(t);
    assert_int_equal(count_handles(t), 0);
}

/* Looks at the workload hold their descriptors, too, and give back those of one that is not there. */
static void test_descriptors_of_workloads(void **state)
{
    struct tree *t = *state;
    unsigned before;

    tree_workload(t, "absent.slice");
    tree_open(t, true);
    before = count_descriptors();
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(tree_look(t, i), 0);
    assert_int_equal(count_descriptors(), before);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(snapshot_reader_find_workloads(&t->reader), 1);
    assert_int_equal(count_descriptors(), before);
}

/* Another directory of the same name is another group, with a birth of its own. */
static void test_same_name_other_group(void **state)
{
    struct tree *t = *state;
    uint64_t first;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 10});
    tree_process(t, &(struct tree_process){.pid = 102, .start_sec = 700});
    tree_open(t, true);
    walk(t);
    first = t->groups[0].id;
    tree_leaf(t, WORK "/b", "", 0);
    assert_int_equal(renameat(t->f->fd, CGROUP_ROOT "/" WORK "/a", t->f->fd, CGROUP_ROOT "/gone"), 0);
    tree_leaf(t, WORK "/a", "102\n", 2 * MIB);
    walk(t);
    assert_int_equal(t->s.group_count, 1);
    assert_true(t->groups[0].id != first);
    assert_int_equal(t->groups[0].birth_usec, 700 * USEC_PER_SEC);
    assert_int_equal(t->groups[0].anon, 2 * MIB);
}

/* A hundred walks over a changing tree: nothing is lost, doubled or kept. */
static void test_churn(void **state)
{
    struct tree *t = *state;
    unsigned before;

    tree_open(t, true);
    before = count_descriptors();
    for (unsigned round = 0; round < 100; round++) {
        unsigned alive = round * 7 % (TREE_GROUPS_MAX + 1);

        add_leaves(t, "c", alive);
        walk(t);
        assert_int_equal(t->s.group_count, alive);
        assert_int_equal(count_handles(t), alive);
        for (unsigned i = 0; i < t->s.group_count; i++)
            for (unsigned j = 0; j < i; j++)
                assert_true(t->groups[i].id != t->groups[j].id);
        remove_leaves(t, "c", alive);
    }
    walk(t);
    assert_int_equal(count_descriptors(), before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

/* Another configuration: a group that is one of another class goes on with what is known of it, and one that
 * is no group any more has not ended. */
static void test_other_configuration(void **state)
{
    struct tree *t = *state;
    uint64_t birth;

    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 400});
    tree_process(t, &(struct tree_process){.pid = 102, .start_sec = 400});
    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_slice(t, WORK "/b");
    tree_leaf(t, WORK "/b/c", "102\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a " WORK "/b/c");
    assert_int_equal(tree_group(t, WORK "/a")->class_index, 0);
    birth = handle_find(&t->reader, tree_group(t, WORK "/a")->id, 0)->birth_usec;
    tree_class(t, "late", WORK "/a");
    tree_class(t, "whole", WORK "/b");
    snapshot_reader_reconfigure(&t->reader, &t->s);
    tree_expect_groups(t, NOW + USEC_PER_SEC, WORK "/a " WORK "/b");
    assert_int_equal(tree_group(t, WORK "/a")->class_index, 0);
    assert_int_equal(tree_group(t, WORK "/b")->class_index, 1);
    assert_true(handle_find(&t->reader, tree_group(t, WORK "/a")->id, 0)->birth_usec == birth);
    assert_int_equal(t->s.ended_count, 0);
    assert_int_equal(count_handles(t), 2);
    tree_remove(t, WORK "/a");
    tree_expect_groups(t, NOW + 2 * USEC_PER_SEC, WORK "/b");
    assert_int_equal(t->s.ended_count, 1); /* as ever, from the next walk on */
}

#define PSI(full)                                                                                            \
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=9999999\nfull avg10=0.00 avg60=0.00 avg300=0.00 "          \
    "total=" full "\n"

static const struct group *stalls_at(struct tree *t, uint64_t now_usec, const char *memory, const char *io)
{
    tree_write(t, WORK "/a", "memory.pressure", memory);
    if (io)
        tree_write(t, WORK "/a", "io.pressure", io);
    tree_expect_groups(t, now_usec, WORK "/a");
    return tree_group(t, WORK "/a");
}

/* How long a group stood still is asked for only where somebody wants to know, and told from two readings. */
static void test_stalls(void **state)
{
    struct tree *t = *state;
    const struct group *g;

    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 400});
    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_open(t, true);
    assert_false(stalls_at(t, NOW, PSI("1000000"), NULL)->stall_known);
    t->reader.wants_stalls = true;
    assert_false(stalls_at(t, NOW + USEC_PER_SEC, PSI("2000000"), NULL)->stall_known);
    g = stalls_at(t, NOW + 2 * USEC_PER_SEC, PSI("2600000"), NULL); /* no io.pressure: that is 0 */
    assert_true(g->stall_known);
    assert_int_equal(g->stall_permyriad, 6000);
    assert_int_equal(g->io_stall_permyriad, 0);
    g = stalls_at(t, NOW + 2 * USEC_PER_SEC + GROUP_STALL_USEC - 1, PSI("9000000"), PSI("0"));
    assert_int_equal(g->stall_permyriad, 6000); /* too soon for another */
    g = stalls_at(t, NOW + 3 * USEC_PER_SEC, PSI("2600000"), PSI("250000"));
    assert_int_equal(g->stall_permyriad, 0);
    assert_int_equal(g->io_stall_permyriad, 2500);
    g = stalls_at(t, NOW + 4 * USEC_PER_SEC, PSI("2600000"), PSI("99250000")); /* more than the time */
    assert_int_equal(g->stall_permyriad, 0);
    assert_int_equal(g->io_stall_permyriad, 10000);
    t->reader.wants_stalls = false;
    assert_false(stalls_at(t, NOW + 8 * USEC_PER_SEC, PSI("1"), PSI("1"))->stall_known); /* of long ago */
    t->reader.wants_stalls = true;
    assert_false(stalls_at(t, NOW + 9 * USEC_PER_SEC, PSI("1"), PSI("1"))->stall_known);
    assert_true(stalls_at(t, NOW + 10 * USEC_PER_SEC, PSI("1"), PSI("1"))->stall_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_more_groups_than_fit),
        TEST(test_the_rest_by_its_parent),
        TEST(test_all_are_new),
        TEST(test_empty_ones_take_no_place),
        TEST(test_descriptors_are_given_back),
        TEST(test_descriptors_of_workloads),
        TEST(test_same_name_other_group),
        TEST(test_churn),
        TEST(test_other_configuration),
        TEST(test_stalls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
