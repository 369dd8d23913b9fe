/* Which cgroups are groups, what is known of them, and when they were born. */
#include "tree.h"

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

/* Of `other` the deepest that hold processes; empty ones are none. */
static void test_deepest_populated(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_slice(t, WORK "/b");
    tree_leaf(t, WORK "/b/x", "102\n", MIB);
    tree_leaf(t, WORK "/b/y", "", MIB);
    tree_slice(t, WORK "/c");
    tree_slice(t, WORK "/c/d");
    tree_leaf(t, WORK "/c/d/e", "103\n", MIB);
    tree_leaf(t, WORK "/empty", "", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a " WORK "/b/x " WORK "/c/d/e");
    assert_true(t->s.groups_read);
    assert_int_equal(t->s.groups_left_out, 0);
}

#define POD "kubepods/besteffort/pod0123456789abcdef0123456789abcdef"
#define CONTAINER POD "/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What PodFile= says of a pod is its containers' word, where root has made them and they say nothing. */
static void test_pods(void **state)
{
    static const uid_t owners[] = {0, 1000, 0};
    struct tree *t = *state;
    char path[PATH_MAX];

    tree_slice(t, "kubepods");
    tree_slice(t, "kubepods/besteffort");
    tree_slice(t, POD);
    tree_leaf(t, CONTAINER, "101\n", MIB);
    tree_workload(t, "kubepods");
    t->config.pods[0] = (struct pod_config){.uid = "0123456789abcdef0123456789abcdef",
                                            .has_priority = true,
                                            .has_request = true,
                                            .priority = 7,
                                            .request_bytes = MIB};
    t->config.pod_count = 1;
    tree_open(t, true);
    (void)snprintf(path, sizeof(path), "%s/" CGROUP_ROOT "/" CONTAINER, t->f->path);
    for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
        const struct group_claims *claims = &t->groups[0].claims;

        if (chown(path, owners[i], 0) < 0)
            skip();
        tree_expect_groups(t, NOW + i * 10 * USEC_PER_SEC, CONTAINER);
        assert_int_equal(claims->has_priority, owners[i] == 0);
        assert_int_equal(claims->has_request, owners[i] == 0);
        if (owners[i] == 0)
            assert_true(claims->priority == 7 && claims->request_bytes == MIB);
    }
    t->config.pod_count = 0;
    tree_expect_groups(t, NOW + 60 * USEC_PER_SEC, CONTAINER);
    assert_false(t->groups[0].claims.has_priority || t->groups[0].claims.has_request);
}

/* Children without processes do not make their parent less of a group. */
static void test_parent_of_empty_children(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_leaf(t, WORK "/a/empty", "", 0);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
}

/* A workload with its processes in itself is its own only group. */
static void test_flat_workload(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK, "101\n102\n", 5 * MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK);
}

/* A slice that is populated, but (at this moment) neither has processes nor a child that has: its children
 * have gone and others come between two reads. It must not be taken for a group: that would be the whole
 * slice. */
static void test_slice_is_no_group(void **state)
{
    struct tree *t = *state;

    tree_slice(t, WORK "/jobs");
    tree_leaf(t, WORK "/jobs/ended", "", 0);
    tree_open(t, true);
    tree_expect_groups(t, NOW, "");
}

/* A group of a class is taken whole, whatever is below it, and its own class is that of its path. */
static void test_classes(void **state)
{
    struct tree *t = *state;

    tree_class(t, "batch", WORK "/job-*");
    tree_class(t, "inner", WORK "/job-*/*");
    tree_slice(t, WORK "/job-1");
    tree_leaf(t, WORK "/job-1/part-a", "101\n", MIB);
    tree_leaf(t, WORK "/job-1/part-b", "102\n", MIB);
    tree_leaf(t, WORK "/job-2", "103\n", MIB);
    tree_leaf(t, WORK "/job-3", "", MIB);
    tree_leaf(t, WORK "/task", "104\n", MIB);
    tree_slice(t, WORK "/misc");
    tree_leaf(t, WORK "/misc/job-4", "105\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/job-1 " WORK "/job-2 " WORK "/misc/job-4 " WORK "/task");
    assert_int_equal(tree_group(t, WORK "/job-1")->class_index, 0);
    assert_int_equal(tree_group(t, WORK "/job-2")->class_index, 0);
    assert_int_equal(tree_group(t, WORK "/task")->class_index, 2);
    assert_int_equal(tree_group(t, WORK "/misc/job-4")->class_index, 2);
}

/* A class inside of what no class takes: the rest of that slice are still groups of `other`. */
static void test_class_below_other(void **state)
{
    struct tree *t = *state;

    tree_class(t, "deep", WORK "/a/deep");
    tree_slice(t, WORK "/a");
    tree_leaf(t, WORK "/a/deep", "101\n", MIB);
    tree_leaf(t, WORK "/a/flat", "102\n", MIB);
    tree_slice(t, WORK "/b");
    tree_leaf(t, WORK "/b/deep", "103\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a/deep " WORK "/a/flat " WORK "/b/deep");
    assert_int_equal(tree_group(t, WORK "/a/deep")->class_index, 0);
    assert_int_equal(tree_group(t, WORK "/b/deep")->class_index, 1);
}

/* An empty group of a class does not make its parent a group, and a populated one does not, either. */
static void test_class_counts_as_found(void **state)
{
    struct tree *t = *state;

    tree_class(t, "batch", WORK "/s/job");
    tree_cgroup(t, WORK "/s", "101\n", true, MIB);
    tree_leaf(t, WORK "/s/job", "102\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/s/job");
    tree_leaf(t, WORK "/s/job", "", 0);
    tree_expect_groups(t, NOW, WORK "/s"); /* alone with its own processes: a group of `other` */
}

static void test_what_is_known_of_a_group(void **state)
{
    struct tree *t = *state;
    const struct group *g;
    struct stat st;

    tree_leaf(t, WORK "/a", "101\n", 0);
    tree_stat(t, WORK "/a",
              &(struct tree_stat){.anon = 7 * MIB,
                                  .file = 90 * MIB,
                                  .shmem = 5 * MIB,
                                  .kernel = 30 * MIB,
                                  .slab_reclaimable = 10 * MIB,
                                  .sock = MIB});
    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 400});
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
    g = &t->s.groups[0];
    assert_int_equal(fstatat(t->f->fd, CGROUP_ROOT "/" WORK "/a", &st, 0), 0);
    assert_int_equal(g->id, st.st_ino);
    assert_int_equal(g->pid, 0);
    assert_int_equal(g->anon, 7 * MIB);
    assert_int_equal(g->shmem, 5 * MIB);
    assert_int_equal(g->kernel, 21 * MIB);
    assert_int_equal(g->birth_usec, 400 * USEC_PER_SEC);
    assert_true(g->populated && !g->dying && !g->stuck);
    tree_stat(t, WORK "/a",
              &(struct tree_stat){.kernel = UINT64_MAX, .sock = UINT64_MAX, .slab_reclaimable = 1});
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups[0].kernel, UINT64_MAX);
}

/* The oldest process there is, also where all of them are in children: a pod that is days old must not look
 * as if it were born when we first looked. */
static void test_birth_is_of_the_oldest(void **state)
{
    struct tree *t = *state;

    tree_class(t, "pods", WORK "/pod*");
    tree_slice(t, WORK "/pod1");
    tree_leaf(t, WORK "/pod1/app", "101\n102\n", MIB);
    tree_slice(t, WORK "/pod1/side");
    tree_leaf(t, WORK "/pod1/side/inner", "103\n", MIB);
    tree_leaf(t, WORK "/task", "105\n104\n", MIB);
    for (int pid = 101; pid <= 105; pid++)
        tree_process(t, &(struct tree_process){.pid = pid, .start_sec = (uint64_t)(500 - pid)});
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/pod1 " WORK "/task");
    assert_int_equal(tree_group(t, WORK "/pod1")->birth_usec, 397 * USEC_PER_SEC);
    assert_int_equal(tree_group(t, WORK "/task")->birth_usec, 395 * USEC_PER_SEC);
}

/* Read once in a life: the oldest may end, and its group is no younger for it. A directory that was empty
 * meanwhile begins a new life. */
static void test_birth_is_remembered_for_a_life(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n102\n", MIB);
    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 10});
    tree_process(t, &(struct tree_process){.pid = 102, .start_sec = 20});
    tree_process(t, &(struct tree_process){.pid = 103, .start_sec = 900});
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
    tree_leaf(t, WORK "/a", "102\n", MIB);
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups[0].birth_usec, 10 * USEC_PER_SEC);
    tree_leaf(t, WORK "/a", "", 0);
    tree_expect_groups(t, NOW, "");
    tree_leaf(t, WORK "/a", "103\n", MIB);
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups[0].birth_usec, 900 * USEC_PER_SEC);
}

/* The same for a group of a class, which is seen while it is empty. */
static void test_class_group_that_was_empty(void **state)
{
    struct tree *t = *state;

    tree_class(t, "batch", WORK "/*");
    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 10});
    tree_process(t, &(struct tree_process){.pid = 103, .start_sec = 900});
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
    tree_leaf(t, WORK "/a", "", 0);
    tree_expect_groups(t, NOW, "");
    tree_leaf(t, WORK "/a", "103\n", MIB);
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups[0].birth_usec, 900 * USEC_PER_SEC);
}

/* None of its processes can be seen (they end just now): unknown is asked again, and never later than now. */
static void test_birth_that_is_not_known(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups[0].birth_usec, NOW);
    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 10});
    tree_expect_groups(t, NOW + 1, WORK "/a");
    assert_int_equal(t->s.groups[0].birth_usec, 10 * USEC_PER_SEC);
    tree_leaf(t, WORK "/b", "102\n", MIB);
    tree_process(t, &(struct tree_process){.pid = 102, .start_sec = 5000});
    tree_expect_groups(t, NOW, WORK "/a " WORK "/b");
    assert_int_equal(tree_group(t, WORK "/b")->birth_usec, NOW);
}

static void test_two_workloads(void **state)
{
    struct tree *t = *state;

    tree_slice(t, "second.slice");
    tree_workload(t, "missing.slice");
    tree_workload(t, "second.slice");
    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_leaf(t, "second.slice/b", "102\n", MIB);
    tree_leaf(t, "system.slice/sshd.service", "103\n", MIB); /* outside: not walked into */
    tree_open(t, true);
    tree_expect_groups(t, NOW, "second.slice/b " WORK "/a");
    assert_int_equal(tree_group(t, WORK "/a")->workload_index, 0);
    assert_int_equal(tree_group(t, "second.slice/b")->workload_index, 2);
}

/* host: the whole hierarchy but what is protected. */
static void test_host_walks_everything(void **state)
{
    struct tree *t = *state;

    tree_slice(t, "system.slice");
    tree_leaf(t, "system.slice/sshd.service", "101\n", MIB);
    tree_leaf(t, "init.scope", "1\n", MIB);
    tree_leaf(t, WORK "/a", "102\n", MIB);
    tree_leaf(t, "other.service", "103\n", MIB);
    tree_write(t, "", "cgroup.procs", "104\n"); /* of the root itself: no group */
    tree_open(t, false);
    tree_expect_groups(t, NOW, "other.service " WORK "/a");
}

/* By the tightest of its own limit and those of what it is in below the workload; found in time, and followed
 * at each walk from then on. */
static void test_swap_limits(void **state)
{
    struct tree *t = *state;
    const char *deep = WORK "/b/c/x";

    tree_meminfo(
        t, &(struct tree_meminfo){
               .total = TREE_TOTAL, .free = GIB, .available = GIB, .swap_total = GIB, .swap_free = GIB});
    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_slice(t, WORK "/b");
    tree_slice(t, WORK "/b/c");
    tree_leaf(t, deep, "102\n", MIB);
    tree_write_u64(t, WORK, "memory.swap.max", MIB); /* the workload's own is no group's */
    tree_write_u64(t, WORK "/b", "memory.swap.max", 40 * MIB);
    tree_write_u64(t, WORK "/b", "memory.swap.current", 10 * MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a " WORK "/b/c/x");
    assert_false(tree_group(t, WORK "/a")->swap_limited);
    assert_true(tree_group(t, deep)->swap_limited);
    assert_int_equal(tree_group(t, deep)->swap_room, 30 * MIB);

    tree_write_u64(t, WORK "/b", "memory.swap.current", 15 * MIB);
    tree_expect_groups(t, NOW + 1, WORK "/a " WORK "/b/c/x");
    assert_int_equal(tree_group(t, deep)->swap_room, 25 * MIB);

    tree_write_u64(t, deep, "memory.swap.max", 4 * MIB);
    tree_write_u64(t, WORK "/a", "memory.swap.max", 0);
    tree_expect_groups(t, NOW + GROUP_AGE_USEC, WORK "/a " WORK "/b/c/x");
    assert_int_equal(tree_group(t, deep)->swap_room, 4 * MIB);
    assert_true(tree_group(t, WORK "/a")->swap_limited);
    assert_int_equal(tree_group(t, WORK "/a")->swap_room, 0);

    tree_write_u64(t, deep, "memory.swap.max", UINT64_MAX);
    tree_write_u64(t, WORK "/b", "memory.swap.max", UINT64_MAX);
    tree_expect_groups(t, NOW + GROUP_AGE_USEC + 1, WORK "/a " WORK "/b/c/x");
    assert_false(tree_group(t, deep)->swap_limited);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_deepest_populated),
        TEST(test_pods),
        TEST(test_parent_of_empty_children),
        TEST(test_flat_workload),
        TEST(test_slice_is_no_group),
        TEST(test_classes),
        TEST(test_class_below_other),
        TEST(test_class_counts_as_found),
        TEST(test_what_is_known_of_a_group),
        TEST(test_birth_is_of_the_oldest),
        TEST(test_birth_is_remembered_for_a_life),
        TEST(test_class_group_that_was_empty),
        TEST(test_birth_that_is_not_known),
        TEST(test_two_workloads),
        TEST(test_host_walks_everything),
        TEST(test_swap_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
