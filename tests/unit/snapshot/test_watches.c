/* As long as nobody tells of a change, a walk reads memory only. Each kind of change is told, and seen by the
 * next walk; what changes slowly is read again within GROUP_AGE_USEC. */
#include "tree.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#define WORK "workload.slice"
#define NOW (1000 * USEC_PER_SEC)
#define WALK_USEC (100 * USEC_PER_MSEC)

static uint64_t now_usec;

static int setup(void **state)
{
    struct tree *t;

    if (tree_setup(state) < 0)
        return -1;
    t = *state;
    now_usec = NOW;
    tree_slice(t, WORK);
    tree_workload(t, WORK);
    tree_slice(t, WORK "/inner.slice");
    tree_leaf(t, WORK "/inner.slice/b", "102\n", 2 * MIB);
    tree_leaf(t, WORK "/a", "101\n", MIB);
    tree_leaf(t, WORK "/empty", "", 0);
    tree_open(t, true);
    return 0;
}

/* Whether the walk looked at everything. */
static bool walk(struct tree *t, const char *expected)
{
    now_usec += WALK_USEC;
    tree_expect_groups(t, now_usec, expected);
    return t->reader.walked_usec == now_usec;
}

#define BOTH WORK "/a " WORK "/inner.slice/b"

/* The first one looks at everything, and twice where a life has not begun to be seen. */
static void begin(struct tree *t)
{
    const struct tree_process processes[] = {
        {.pid = 101, .start_sec = 5}, {.pid = 102, .start_sec = 6}, {.pid = 103, .start_sec = 7}};

    for (size_t i = 0; i < ARRAY_SIZE(processes); i++)
        tree_process(t, &processes[i]);
    assert_true(walk(t, BOTH));
    assert_true(t->reader.watched);
    assert_false(walk(t, BOTH));
}

static void test_only_memory(void **state)
{
    struct tree *t = *state;

    begin(t);
    tree_stat(t, WORK "/a", &(struct tree_stat){.anon = 7 * MIB, .shmem = MIB});
    assert_false(walk(t, BOTH));
    assert_int_equal(tree_group(t, WORK "/a")->anon, 7 * MIB);
    assert_int_equal(tree_group(t, WORK "/a")->shmem, MIB);
    assert_int_equal(tree_group(t, WORK "/a")->growth_bytes, 7 * MIB);
    assert_int_equal(tree_group(t, WORK "/a")->birth_usec, 5 * USEC_PER_SEC);
    assert_int_equal(t->s.groups_usec, now_usec);
    now_usec += 5 * USEC_PER_SEC; /* whatever was told */
    assert_true(walk(t, BOTH));
}

static void test_coming_and_going(void **state)
{
    struct tree *t = *state;

    begin(t);
    tree_leaf(t, WORK "/inner.slice/c", "103\n", MIB);
    assert_true(walk(t, BOTH " " WORK "/inner.slice/c"));
    tree_remove(t, WORK "/inner.slice/c");
    assert_true(walk(t, BOTH));
    assert_int_equal(t->s.ended_count, 1);
    assert_false(walk(t, BOTH));
    assert_int_equal(t->s.ended_count, 0);
    tree_populate(t, WORK "/a", false);
    assert_true(walk(t, WORK "/inner.slice/b"));
    assert_int_equal(t->s.ended_count, 1);
    assert_false(walk(t, WORK "/inner.slice/b"));
    tree_populate(t, WORK "/a", true); /* a cgroup is used again, and begins a new life */
    assert_true(walk(t, BOTH));
    tree_write(t, WORK "/empty", "cgroup.procs", "101\n");
    tree_populate(t, WORK "/empty", true);
    assert_true(walk(t, WORK "/a " WORK "/empty " WORK "/inner.slice/b"));
    assert_false(walk(t, WORK "/a " WORK "/empty " WORK "/inner.slice/b"));
}

/* A group of `other` that gets a child is no group any more: what is in the child is. */
static void test_a_leaf_no_more(void **state)
{
    struct tree *t = *state;

    begin(t);
    tree_write(t, WORK "/a", "cgroup.procs", "");
    tree_leaf(t, WORK "/a/below", "101\n", MIB);
    assert_true(walk(t, WORK "/a/below " WORK "/inner.slice/b"));
}

static void test_frozen(void **state)
{
    struct tree *t = *state;

    begin(t);
    tree_write(t, WORK "/a", "cgroup.events", "populated 1\nfrozen 1\n");
    assert_true(walk(t, BOTH));
    assert_true(tree_group(t, WORK "/a")->frozen);
    assert_false(walk(t, BOTH));
    assert_true(tree_group(t, WORK "/a")->frozen);
    assert_int_equal(tree_group(t, WORK "/a")->paused_usec, WALK_USEC);
}

/* One that is matched by a class is watched, too, and a class of processes never: of those nothing is told.
 */
static void test_classes(void **state)
{
    struct tree *t = *state;
    struct class_config *class = tree_class(t, "batch", WORK "/a");

    tree_open(t, true);
    begin(t);
    tree_populate(t, WORK "/a", false);
    assert_true(walk(t, WORK "/inner.slice/b"));
    class->unit = UNIT_PROCESS;
    tree_open(t, true);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tree_look(t, NOW), 0);
        assert_int_equal(snapshot_read_groups(&t->reader, &t->s), 0);
        assert_false(t->reader.watched);
    }
}

static void test_reconfigured(void **state)
{
    struct tree *t = *state;

    begin(t);
    snapshot_reader_reconfigure(&t->reader, &t->s);
    assert_true(walk(t, BOTH));
    assert_false(walk(t, BOTH));
}

/* No place for a watch, or none to be had: every walk looks at everything. */
static void test_no_watches(void **state)
{
    struct tree *t = *state;

    tree_open(t, true);
    snapshot_reader_deinit(&t->reader);
    tree_open(t, true);
    t->reader.watch_free = 0;
    assert_true(walk(t, BOTH));
    assert_true(walk(t, BOTH));
    tree_open(t, true);
    close_fdp(&t->reader.watch_fd);
    assert_true(walk(t, BOTH));
    assert_true(walk(t, BOTH));
}

static void cpu(struct tree *t, uint64_t usec)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "usage_usec %ju\n", (uintmax_t)usec);
    tree_write(t, WORK "/a", "cpu.stat", text);
}

static void test_cpu_share(void **state)
{
    struct tree *t = *state;
    const struct group *g;

    cpu(t, USEC_PER_SEC);
    begin(t);
    g = tree_group(t, WORK "/a");
    assert_int_equal(g->cpu_usec, USEC_PER_SEC);
    assert_true(g->cpu_permyriad == GROUP_CPU_UNKNOWN);
    now_usec += GROUP_AGE_USEC - 2 * WALK_USEC; /* a second after the first walk */
    cpu(t, USEC_PER_SEC + USEC_PER_SEC / 4);
    assert_false(walk(t, BOTH));
    assert_int_equal(g->cpu_usec, USEC_PER_SEC + USEC_PER_SEC / 4);
    assert_int_equal(g->cpu_permyriad, PERMYRIAD / 4);
    cpu(t, 3 * USEC_PER_SEC);
    assert_false(walk(t, BOTH));
    assert_int_equal(g->cpu_permyriad, PERMYRIAD / 4); /* not yet again */
    tree_write(t, WORK "/a", "cgroup.events", "populated 1\nfrozen 1\n");
    assert_true(walk(t, BOTH));
    tree_write(t, WORK "/a", "cgroup.events", "populated 1\nfrozen 0\n");
    assert_true(walk(t, BOTH));
    g = tree_group(t, WORK "/a");
    assert_int_equal(g->cpu_usec,
                     3 * USEC_PER_SEC); /* read at once, and what it did before is not its share now */
    assert_true(g->cpu_permyriad == GROUP_CPU_UNKNOWN);
}

/* What a group says of itself is seen within a second; a new owner, too. */
static void test_claims_age(void **state)
{
    struct tree *t = *state;
    char path[PATH_MAX];

    begin(t);
    (void)snprintf(path, sizeof(path), "%s/" CGROUP_ROOT "/" WORK "/a", t->f->path);
    if (setxattr(path, "user.headroom.retriable", "yes", 3, 0) < 0)
        skip();
    assert_false(walk(t, BOTH));
    assert_false(tree_group(t, WORK "/a")->claims.has_retriable);
    now_usec += GROUP_AGE_USEC - 3 * WALK_USEC;
    assert_false(walk(t, BOTH));
    assert_true(tree_group(t, WORK "/a")->claims.has_retriable);
    if (chown(path, 1234, 1234) < 0)
        return;
    now_usec += GROUP_AGE_USEC;
    assert_false(walk(t, BOTH));
    assert_int_equal(tree_group(t, WORK "/a")->owner_uid, 1234);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_memory), TEST(test_coming_and_going), TEST(test_a_leaf_no_more),
        TEST(test_frozen),      TEST(test_classes),          TEST(test_reconfigured),
        TEST(test_no_watches),  TEST(test_cpu_share),        TEST(test_claims_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
