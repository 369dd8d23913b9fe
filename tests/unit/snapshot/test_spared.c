/* What is never a group, nor taken whole with one: the protected, ourselves, who is logged in, and what could
 * not be looked into. */
#include "tree.h"

#define WORK "workload.slice"
#define USER "user.slice"
#define NOW (1000 * USEC_PER_SEC)

static int setup(void **state)
{
    struct tree *t;

    if (tree_setup(state) < 0)
        return -1;
    t = *state;
    tree_slice(t, WORK);
    tree_slice(t, USER);
    tree_workload(t, WORK);
    tree_workload(t, USER);
    return 0;
}

/* The protected one is in the middle of a workload: its parents stand, too, its siblings do not. */
static void test_protected_below_a_workload(void **state)
{
    struct tree *t = *state;

    tree_protect(t, WORK "/s/keep");
    tree_cgroup(t, WORK "/s", "101\n", true, MIB);
    tree_leaf(t, WORK "/s/keep", "102\n", MIB);
    tree_leaf(t, WORK "/t", "104\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/t");
    tree_leaf(t, WORK "/s/give", "103\n", MIB);
    tree_expect_groups(t, NOW, WORK "/s/give " WORK "/t");
    tree_leaf(t, WORK "/s/keep", "", 0); /* it is just starting again */
    tree_remove(t, WORK "/s/give");
    tree_expect_groups(t, NOW, WORK "/t");
}

/* A class that takes the protected one's parent cannot have it. */
static void test_protected_below_a_class(void **state)
{
    struct tree *t = *state;

    tree_class(t, "jobs", WORK "/*");
    tree_protect(t, WORK "/s/keep");
    tree_protect(t, WORK "/whole");
    tree_slice(t, WORK "/s");
    tree_leaf(t, WORK "/s/keep", "101\n", MIB);
    tree_leaf(t, WORK "/s/give", "102\n", MIB);
    tree_leaf(t, WORK "/sx", "103\n", MIB); /* the same letters, another cgroup */
    tree_leaf(t, WORK "/whole", "104\n", MIB);
    tree_leaf(t, WORK "/wholesale", "105\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/sx " WORK "/wholesale");
}

static void test_ourselves(void **state)
{
    struct tree *t = *state;

    fixture_write(t->f, "proc/self/cgroup", "0::/" WORK "/tools/headroomd.service\n");
    tree_cgroup(t, WORK "/tools", "101\n", true, MIB);
    tree_leaf(t, WORK "/tools/headroomd.service", "102\n", MIB);
    tree_leaf(t, WORK "/tools/next", "103\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/tools/next");
    tree_close(t);
    tree_class(t, "jobs", WORK "/*");
    tree_open(t, true);
    tree_expect_groups(t, NOW, "");
}

static void test_logins(void **state)
{
    struct tree *t = *state;

    tree_slice(t, USER "/user-0.slice");
    tree_leaf(t, USER "/user-0.slice/session-1.scope", "101\n", MIB);
    tree_leaf(t, USER "/user-0.slice/session-c2.scope", "102\n", MIB);
    tree_slice(t, USER "/user-0.slice/user@0.service");
    tree_leaf(t, USER "/user-0.slice/user@0.service/init.scope", "103\n", MIB);
    tree_leaf(t, USER "/user-0.slice/user@0.service/job.service", "104\n", MIB);
    tree_leaf(t, USER "/session-", "105\n", MIB);
    tree_leaf(t, USER "/session-1.service", "106\n", MIB);
    tree_leaf(t, USER "/xsession-1.scope", "107\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW,
                       USER "/session- " USER "/session-1.service " USER
                            "/user-0.slice/user@0.service/job.service " USER "/xsession-1.scope");
}

/* A user with nothing but sessions: the slice above them is no group in their place. */
static void test_only_logins(void **state)
{
    struct tree *t = *state;

    tree_cgroup(t, USER "/user-0.slice", "100\n", true, MIB);
    tree_leaf(t, USER "/user-0.slice/session-1.scope", "101\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, "");
}

/* A path that is too long for us: it is counted, and its parent is not taken in its place. */
static void test_path_too_long(void **state)
{
    char name[200], path[512];
    struct tree *t = *state;

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)snprintf(path, sizeof(path), WORK "/%s", name);
    tree_cgroup(t, path, "101\n", true, MIB);
    (void)snprintf(path, sizeof(path), WORK "/%s/%.60s", name, name);
    tree_leaf(t, path, "102\n", MIB);
    tree_leaf(t, WORK "/a", "103\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups_left_out, 1);
}

static void test_longest_path_that_fits(void **state)
{
    char name[GROUP_PATH_MAX], path[512];
    struct tree *t = *state;
    size_t length = GROUP_PATH_MAX - 1 - strlen(WORK "/");

    memset(name, 'y', length);
    name[length] = '\0';
    (void)snprintf(path, sizeof(path), WORK "/%s", name);
    tree_leaf(t, path, "101\n", MIB);
    tree_open(t, true);
    tree_expect_groups(t, NOW, path);
    assert_int_equal(t->s.groups_left_out, 0);
}

/* Deeper than we go: what is there holds the processes that count for it. */
static void test_depth(void **state)
{
    char path[128] = WORK;
    struct tree *t = *state;

    for (unsigned i = 0; i < 14; i++) {
        (void)strcat(path, "/d");
        tree_cgroup(t, path, i >= 11 ? "101\n" : "", true, MIB);
    }
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/d/d/d/d/d/d/d/d/d/d/d/d");
}

/* cgroup.events that says nothing, or memory.stat: no group, no group above it, and counted. */
static void test_garbage(void **state)
{
    static const char *const events[] = {"", "populated\n", "populated 2\nfrozen 0\n", "frozen 0\n",
                                         "\xff\xfe"};
    static const char *const stats[] = {"", "anon\n", "anon 1\n", "anon -1\nfile 0\nshmem 0\n",
                                        "anon 99999999999999999999\nfile 0\nshmem 0\n"};
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_cgroup(t, WORK "/s", "102\n", true, MIB);
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        tree_leaf(t, WORK "/s/odd", "103\n", MIB);
        tree_write(t, WORK "/s/odd", "cgroup.events", events[i]);
        tree_open(t, true);
        tree_expect_groups(t, NOW, WORK "/a");
        assert_int_equal(t->s.groups_left_out, 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(stats); i++) {
        tree_leaf(t, WORK "/s/odd", "103\n", MIB);
        tree_write(t, WORK "/s/odd", "memory.stat", stats[i]);
        tree_open(t, true);
        tree_expect_groups(t, NOW, WORK "/a");
        assert_int_equal(t->s.groups_left_out, 1);
    }
    tree_leaf(t, WORK "/s/odd", "x\n", MIB); /* cgroup.procs */
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
}

/* A cgroup without memory.stat (the controller is not enabled for it) cannot be judged. */
static void test_no_memory_stat(void **state)
{
    struct tree *t = *state;

    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_leaf(t, WORK "/b", "102\n", MIB);
    tree_remove(t, WORK "/b/memory.stat");
    tree_open(t, true);
    tree_expect_groups(t, NOW, WORK "/a");
    assert_int_equal(t->s.groups_left_out, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_protected_below_a_workload),
        TEST(test_protected_below_a_class),
        TEST(test_ourselves),
        TEST(test_logins),
        TEST(test_only_logins),
        TEST(test_path_too_long),
        TEST(test_longest_path_that_fits),
        TEST(test_depth),
        TEST(test_garbage),
        TEST(test_no_memory_stat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
