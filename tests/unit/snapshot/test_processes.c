/* Host mode without cgroups: a unit is a process. */
#include "tree.h"

#define NOW (1000 * USEC_PER_SEC)

static int setup(void **state)
{
    return tree_setup(state);
}

static void walk(struct tree *t)
{
    t->reader.processes = true;
    assert_int_equal(tree_look(t, NOW), 0);
    assert_int_equal(snapshot_read_groups(&t->reader, &t->s), 0);
}

/* Of what is not a candidate, one each: whoever is found is not one of them. */
static void test_who_is_a_unit(void **state)
{
    const int own = (int)getpid(), parent = 999989;
    const struct tree_process processes[] = {
        {.pid = 1, .rss_anon = GIB},
        {.pid = 2, .rss_anon = GIB, .kernel_thread = true},
        {.pid = own, .ppid = parent, .rss_anon = GIB},
        {.pid = parent, .ppid = 999991, .rss_anon = GIB},
        {.pid = 999991, .ppid = 1, .rss_anon = GIB},   /* our grandparent */
        {.pid = 999992, .ppid = own, .rss_anon = GIB}, /* a companion of ours */
        {.pid = 999993, .ppid = 1, .rss_anon = GIB, .state = 'Z'},
        {.pid = 999994, .ppid = 1, .rss_anon = MIB - KIB},                   /* of no use */
        {.pid = 999995, .ppid = 1, .rss_anon = GIB, .oom_score_adj = -1000}, /* sshd */
        {.pid = 999996, .ppid = 1, .rss_anon = MIB},
        {.pid = 999997, .ppid = 999996, .rss_anon = 0, .rss_shmem = GIB},
        {.pid = 999998, .ppid = parent, .rss_anon = GIB, .oom_score_adj = -999},
    };
    struct tree *t = *state;

    for (size_t i = 0; i < ARRAY_SIZE(processes); i++)
        tree_process(t, &processes[i]);
    tree_open(t, false);
    walk(t);
    assert_int_equal(t->s.group_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(t->groups[i].pid, 999996, 999998);
}

static void test_what_is_known(void **state)
{
    struct tree *t = *state;
    const struct group *g = &t->groups[0];

    tree_process(t, &(struct tree_process){.pid = 999996,
                                           .ppid = 1,
                                           .comm = "a) (b",
                                           .start_sec = 77,
                                           .rss_anon = 5 * MIB,
                                           .rss_shmem = 3 * MIB,
                                           .swap = 2 * MIB});
    tree_class(t, "batch", "*"); /* patterns are of cgroups: a process is of `other` */
    tree_open(t, false);
    walk(t);
    assert_int_equal(t->s.group_count, 1);
    assert_int_equal(g->pid, 999996);
    assert_int_equal(g->id, 77 * USEC_PER_SEC); /* with the pid it tells this process from its successor */
    assert_int_equal(g->birth_usec, 77 * USEC_PER_SEC);
    assert_string_equal(g->comm, "a) (b");
    assert_string_equal(g->path, "");
    assert_int_equal(g->anon, 5 * MIB);
    assert_int_equal(g->shmem, 3 * MIB);
    assert_int_equal(g->swap, 2 * MIB);
    assert_int_equal(g->kernel, 0);
    assert_int_equal(g->class_index, 1);
    assert_true(g->populated);
}

/* A process that ends while we read it, and one whose files say nothing, are no units; the others still are.
 * Restates Ray's TestTakePerProcessMemorySnapshotFiltersBadPids and
 * TestGetPidsFromDirOnlyReturnsNumericFilenames. */
static void test_odd_entries(void **state)
{
    struct tree *t = *state;

    tree_process(t, &(struct tree_process){.pid = 999996, .ppid = 1, .rss_anon = GIB});
    tree_process(t, &(struct tree_process){.pid = 999990, .ppid = 1, .rss_anon = GIB});
    tree_process(t, &(struct tree_process){.pid = 999991, .ppid = 1, .rss_anon = GIB});
    tree_process(t, &(struct tree_process){.pid = 999992, .ppid = 1, .rss_anon = GIB});
    fixture_write(t->f, "proc/999990/status", "RssAnon:\tmuch kB\n");
    fixture_write(t->f, "proc/999991/stat", "999991 (x");
    fixture_write(t->f, "proc/999992/stat", "");
    fixture_write(t->f, "proc/999996b/stat", "999997 (x) S 1 1 1 0 -1 0 0 0 0 0 5 5 0 0 20 0 1 0 1 0\n");
    fixture_write(t->f, "proc/999996b/status", "RssAnon:\t4096 kB\n");
    fixture_mkdir(t->f, "proc/999999");
    fixture_mkdir(t->f, "proc/sys");
    tree_open(t, false);
    walk(t);
    assert_int_equal(t->s.group_count, 1);
    assert_int_equal(t->groups[0].pid, 999996);
}

static void test_long_names_are_cut(void **state)
{
    struct tree *t = *state;

    tree_process(t, &(struct tree_process){
                        .pid = 999996, .ppid = 1, .rss_anon = GIB, .comm = "kworker-of-a-very-long-name"});
    tree_open(t, false);
    walk(t);
    assert_string_equal(t->groups[0].comm, "kworker-of-a-ve");
}

static void test_more_than_fit(void **state)
{
    struct tree *t = *state;

    for (int i = 0; i < TREE_GROUPS_MAX + 3; i++)
        tree_process(t, &(struct tree_process){.pid = 999900 + i, .ppid = 1, .rss_anon = GIB});
    tree_open(t, false);
    walk(t);
    assert_int_equal(t->s.group_count, TREE_GROUPS_MAX);
    assert_int_equal(t->s.groups_left_out, 3);
}

static void test_no_proc(void **state)
{
    struct tree *t = *state;
    char path[PATH_MAX];

    tree_open(t, false);
    t->reader.processes = true;
    (void)snprintf(path, sizeof(path), "%s/proc", t->f->path);
    fixture_remove(path);
    assert_int_equal(snapshot_read_groups(&t->reader, &t->s), -ENOENT);
    assert_int_equal(t->s.group_count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_is_a_unit),      TEST(test_what_is_known), TEST(test_odd_entries),
        TEST(test_long_names_are_cut), TEST(test_more_than_fit), TEST(test_no_proc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
