/* The brake turned into a fence, over a tree of plain files. */
#include "tree.h"

#include "action/fence.h"

#define HIGH SLICE "/memory.high"
#define MAX SLICE "/memory.max"

static void brake(struct tree *t, uint64_t value)
{
    assert_int_equal(knobs_apply(&t->knobs, "workload.slice", "memory.high", value, 1), 0);
}

static struct fence_done done;
static struct lease_table after;

/* How many workloads were fenced, or what went wrong. */
static int raise_fence(struct tree *t)
{
    int r = fence_raise(t->f->fd, t->runtime_fd, &t->hierarchy, false, &after, &done);

    return r < 0 ? r : (int)done.fenced;
}

static void test_no_journal(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(unlinkat(t.runtime_fd, "journal", 0), 0);
    assert_int_equal(raise_fence(&t), -ENOENT);
    tree_deinit(&t);
}

static void test_raise(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    brake(&t, 8192);
    assert_int_equal(raise_fence(&t), 1);
    tree_assert(&t, HIGH, "max");
    tree_assert(&t, MAX, "8192");
    /* The journal knows what is changed now: the fence, and not the brake any more. */
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 1);
    assert_non_null(lease_find(&t.table, tree_id(&t, "workload.slice"), "memory.max"));
    assert_int_equal(raise_fence(&t), 0);
    tree_deinit(&t);
}

static void test_lowered_again_by_the_next_daemon(void **state)
{
    unsigned left, failed;
    struct tree t;

    tree_init(&t, *state);
    fixture_write(t.f, MAX, "1048576\n");
    brake(&t, 8192);
    assert_int_equal(raise_fence(&t), 1);
    tree_restart(&t);
    assert_int_equal(knobs_restore_all(&t.knobs, &left, &failed), 1);
    assert_int_equal(left + failed, 0);
    tree_assert(&t, HIGH, "max");
    tree_assert(&t, MAX, "1048576");
    tree_deinit(&t);
}

/* A brake that is put on while an earlier fence still stands. */
static void test_second_fence(void **state)
{
    unsigned left, failed;
    struct tree t;

    tree_init(&t, *state);
    brake(&t, 16384);
    assert_int_equal(raise_fence(&t), 1);
    tree_restart(&t);
    brake(&t, 8192);
    assert_int_equal(raise_fence(&t), 1);
    tree_assert(&t, MAX, "8192");
    tree_assert(&t, HIGH, "max");
    tree_restart(&t);
    assert_int_equal(knobs_restore_all(&t.knobs, &left, &failed), 1);
    assert_int_equal(left + failed, 0);
    tree_assert(&t, MAX, "max"); /* what was there before the first one */
    tree_deinit(&t);
}

static void test_tighter_max_is_left(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    fixture_write(t.f, MAX, "4096\n");
    brake(&t, 8192);
    assert_int_equal(raise_fence(&t), 1);
    tree_assert(&t, HIGH, "max");
    tree_assert(&t, MAX, "4096");
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 0);
    tree_deinit(&t);
}

static void test_not_ours(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    brake(&t, 8192);
    fixture_write(t.f, HIGH, "5000\n");
    assert_int_equal(raise_fence(&t), 0);
    tree_assert(&t, HIGH, "5000");
    tree_assert(&t, MAX, "max");
    tree_deinit(&t);
}

static void test_gone_or_new(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    brake(&t, 8192);
    assert_int_equal(renameat(t.f->fd, SLICE, t.f->fd, "sys/fs/cgroup/aside"), 0);
    assert_int_equal(raise_fence(&t), 0);
    tree_add(&t, "workload.slice", "8192\n");
    assert_int_equal(raise_fence(&t), 0);
    tree_assert(&t, HIGH, "8192");
    tree_deinit(&t);
}

/* Even where no fence can be raised, nothing stays throttled. */
static void test_no_fence_but_no_brake(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    brake(&t, 8192);
    fixture_write(t.f, MAX, "max\n");
    assert_int_equal(fchmodat(t.f->fd, MAX, 0444, 0), 0);
    if (faccessat(t.f->fd, MAX, W_OK, 0) ==
        0) { /* root may write it all the same: a full table does as well */
        for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++) {
            struct lease l = {.used = true, .cgroup_id = 1000 + i, .knob = "memory.low", .path = "elsewhere"};

            if (i > 0)
                assert_int_equal(journal_append_lease(&t.journal, &l), 0);
        }
    }
    assert_true(raise_fence(&t) < 0);
    tree_assert(&t, HIGH, "max");
    tree_assert(&t, MAX, "max");
    tree_deinit(&t);
}

static void test_several(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    tree_add(&t, "user.slice", "12288\n");
    brake(&t, 8192);
    assert_int_equal(knobs_apply(&t.knobs, "user.slice", "memory.high", 4096, 1), 0);
    assert_int_equal(knobs_apply(&t.knobs, "user.slice", "memory.low", 4096, 1), 0);
    assert_int_equal(raise_fence(&t), 2);
    tree_assert(&t, MAX, "8192");
    tree_assert(&t, "sys/fs/cgroup/user.slice/memory.max", "4096");
    tree_assert(&t, "sys/fs/cgroup/user.slice/memory.high", "12288");
    tree_assert(&t, "sys/fs/cgroup/user.slice/memory.low", "4096"); /* no brake: it stays */
    tree_deinit(&t);
}

/* ---- pauses ---- */

#define FREEZE "sys/fs/cgroup/task-%u/cgroup.freeze"

static void pause_some(struct tree *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char path[32];

        (void)snprintf(path, sizeof(path), "task-%u", i);
        tree_add(t, path, "max\n");
        tree_pause(t, path);
    }
}

static void assert_freeze(const struct tree *t, unsigned i, const char *value)
{
    char path[64];

    (void)snprintf(path, sizeof(path), FREEZE, i);
    tree_assert(t, path, value);
}

/* Also where there is no brake to put away. */
static void test_thaws(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    pause_some(&t, 256);
    assert_int_equal(raise_fence(&t), 0);
    assert_int_equal(done.thawed, 256);
    for (unsigned i = 0; i < 256; i++)
        assert_freeze(&t, i, "0");
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 0);
    assert_int_equal(raise_fence(&t), 0);
    assert_int_equal(done.thawed, 0);
    tree_deinit(&t);
}

static void test_thaws_and_fences(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    pause_some(&t, 2);
    brake(&t, 8192);
    assert_int_equal(raise_fence(&t), 1);
    assert_int_equal(done.thawed, 2);
    tree_assert(&t, HIGH, "max");
    tree_assert(&t, MAX, "8192");
    /* What the guardian tells systemd of is in the table that it was given. */
    assert_non_null(lease_find(&after, tree_id(&t, "workload.slice"), "memory.max"));
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 1);
    tree_deinit(&t);
}

/* Only what we have frozen, only where it is the same one; and the others all the same. */
static void test_thaws_what_is_ours(void **state)
{
    struct tree t;
    char path[64];

    tree_init(&t, *state);
    pause_some(&t, 4);
    fixture_write(t.f, "sys/fs/cgroup/task-0/cgroup.freeze", "0\n"); /* somebody was faster */
    assert_int_equal(renameat(t.f->fd, "sys/fs/cgroup/task-1", t.f->fd, "sys/fs/cgroup/aside"), 0);
    tree_add(&t, "task-1", "max\n"); /* a new one, that somebody else has frozen */
    (void)snprintf(path, sizeof(path), FREEZE, 1);
    fixture_write(t.f, path, "1\n");
    fixture_write(t.f, "sys/fs/cgroup/task-2/cgroup.freeze", "garbage\n");
    assert_int_equal(raise_fence(&t), -EBADMSG);
    assert_int_equal(done.thawed, 1);
    assert_freeze(&t, 1, "1");
    assert_freeze(&t, 3, "0");
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 1); /* what failed is kept */
    tree_deinit(&t);
}

/* A journal that takes no more lines does not keep anybody frozen. */
static void test_thaws_with_a_full_journal(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    pause_some(&t, 3);
    fixture_write(t.f, "sys/fs/cgroup/task-1/cgroup.freeze", "0\n");
    assert_int_equal(ftruncate(t.journal.fd, 524288 - 16), 0);
    assert_int_equal(raise_fence(&t), 0);
    assert_int_equal(done.thawed, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_freeze(&t, i, "0");
    tree_deinit(&t);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_no_journal),
        TEST(test_raise),
        TEST(test_lowered_again_by_the_next_daemon),
        TEST(test_second_fence),
        TEST(test_tighter_max_is_left),
        TEST(test_not_ours),
        TEST(test_gone_or_new),
        TEST(test_no_fence_but_no_brake),
        TEST(test_several),
        TEST(test_thaws),
        TEST(test_thaws_and_fences),
        TEST(test_thaws_what_is_ours),
        TEST(test_thaws_with_a_full_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
