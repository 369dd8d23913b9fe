/* Leases over a tree of plain files: who owns a value, and what is put back. */
#include "tree.h"

#include "base/units.h"

#define HIGH SLICE "/memory.high"
#define LOW SLICE "/memory.low"

/* Stands for the worker: keeps the value until the test lets it through. */
struct slow_writer {
    int answer; /* what the function returns where it lowers */
    unsigned calls;
    uint64_t value;
    bool any; /* also where it does not lower */
};

static int slow_write(void *user, const struct lease *l, uint64_t value, bool lowers)
{
    struct slow_writer *w = user;

    (void)l;
    if (!lowers && !w->any)
        return 0;
    w->calls++;
    w->value = value;
    return w->answer;
}

static int apply(struct tree *t, const char *knob, uint64_t value, uint64_t now_sec)
{
    return knobs_apply(&t->knobs, "workload.slice", knob, value, now_sec * USEC_PER_SEC);
}

static void restore(struct tree *t, unsigned restored, unsigned left, unsigned failed)
{
    unsigned l, f, r = knobs_restore_all(&t->knobs, &l, &f);

    assert_int_equal(r, restored);
    assert_int_equal(l, left);
    assert_int_equal(f, failed);
    assert_int_equal(tree_leases(t), failed);
}

static bool wanted_all(void *user _unused_, const struct lease *l _unused_)
{
    return true;
}

static bool wanted_none(void *user _unused_, const struct lease *l _unused_)
{
    return false;
}

static void adopt(struct tree *t, knobs_wanted_fn wanted, unsigned adopted, unsigned restored)
{
    unsigned a, r;

    knobs_adopt(&t->knobs, wanted, NULL, &a, &r);
    assert_int_equal(a, adopted);
    assert_int_equal(r, restored);
}

static void test_apply_and_restore(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    assert_int_equal(apply(&t, "memory.low", 4096, 1), 0);
    tree_assert(&t, HIGH, "8192");
    tree_assert(&t, LOW, "4096");
    assert_int_equal(apply(&t, "memory.high", 4096, 2), 0);
    tree_assert(&t, HIGH, "4096");
    assert_int_equal(tree_leases(&t), 2);
    restore(&t, 2, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_assert(&t, LOW, "0");
    assert_int_equal(t.knobs.drifts, 0);
    restore(&t, 0, 0, 0);
    tree_deinit(&t);
}

/* A value of one digit is a write of length 1, and not something that was handed over. */
static void test_short_value_stands_at_once(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.low", 7, 1), 0);
    assert_true(t.table.leases[0].pending_until_usec == 0);
    tree_deinit(&t);
}

static void test_nothing_to_do(void **state)
{
    struct tree t;
    char before[512], after[512];

    tree_init(&t, *state);
    (void)fixture_read(t.runtime_fd, "journal", before, sizeof(before));
    assert_int_equal(apply(&t, "memory.high", UINT64_MAX, 1), 0); /* it stands already, and is not ours */
    assert_int_equal(tree_leases(&t), 0);
    assert_int_equal(knobs_apply(&t.knobs, "gone.slice", "memory.high", 1, 1), -ENOENT);
    assert_int_equal(knobs_apply(&t.knobs, "workload.slice", "memory.none", 1, 1), -ENOENT);
    assert_int_equal(knobs_apply(&t.knobs, "../x", "memory.high", 1, 1), -EINVAL);
    assert_int_equal(t.knobs.failures, 3);
    (void)fixture_read(t.runtime_fd, "journal", after, sizeof(after));
    assert_string_equal(before, after);
    tree_deinit(&t);
}

static void test_dry_run_writes_nothing(void **state)
{
    struct tree t;
    char before[512], after[512];

    tree_init(&t, *state);
    (void)fixture_read(t.runtime_fd, "journal", before, sizeof(before));
    t.knobs.dry_run = true;
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    tree_assert(&t, HIGH, "max");
    assert_int_equal(tree_leases(&t), 0);
    (void)fixture_read(t.runtime_fd, "journal", after, sizeof(after));
    assert_string_equal(before, after);
    tree_deinit(&t);
}

/* The journal is written before the knob: where it cannot be, the knob is left. */
static void test_no_journal_no_change(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    journal_close(&t.journal);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), -EBADF);
    tree_assert(&t, HIGH, "max");
    assert_int_equal(tree_leases(&t), 0);
    assert_int_equal(t.knobs.failures, 1);
    assert_int_equal(t.knobs.last_error, -EBADF);
    tree_deinit(&t);
}

static void test_table_full(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    for (struct lease *l; (l = lease_add(&t.table));) {
        l->cgroup_id = 1;
        memcpy(l->knob, "x", sizeof("x"));
    }
    assert_int_equal(apply(&t, "memory.high", 8192, 1), -ENOSPC);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

static void test_others_value_is_left(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    fixture_write(t.f, HIGH, "12345\n");
    restore(&t, 0, 1, 0);
    tree_assert(&t, HIGH, "12345");
    tree_deinit(&t);
}

static void test_new_cgroup_of_the_name_is_left(void **state)
{
    struct tree t;
    uint64_t id;

    tree_init(&t, *state);
    id = tree_id(&t, "workload.slice");
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    assert_int_equal(renameat(t.f->fd, SLICE, t.f->fd, "sys/fs/cgroup/aside"), 0);
    tree_add(&t, "workload.slice", "8192\n");
    assert_true(tree_id(&t, "workload.slice") != id);
    restore(&t, 0, 1, 0);
    tree_assert(&t, HIGH, "8192"); /* the same number, but somebody else's */
    tree_deinit(&t);
}

static void test_vanished_cgroup_is_forgotten(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    assert_int_equal(renameat(t.f->fd, SLICE, t.f->fd, "sys/fs/cgroup/aside"), 0);
    restore(&t, 0, 1, 0);
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 0);
    tree_deinit(&t);
}

/* What cannot be read now is kept for later. */
static void test_unreadable_is_kept(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    fixture_write(t.f, HIGH, "no number\n");
    restore(&t, 0, 0, 1);
    fixture_write(t.f, HIGH, "8192\n");
    tree_restart(&t);
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

/* Somebody sets it while we run: that is what is put back, and ours is applied again. */
static void test_drift(void **state)
{
    struct knob_state s;
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    fixture_write(t.f, HIGH, "16384\n");
    assert_int_equal(knobs_read(&t.knobs, "workload.slice", "memory.high", &s), 0);
    assert_false(s.ours);
    assert_true(s.foreign == 16384 && s.value == 16384);
    assert_int_equal(apply(&t, "memory.high", 8192, 3), 0);
    tree_assert(&t, HIGH, "8192");
    assert_int_equal(t.knobs.drifts, 1);
    assert_int_equal(knobs_read(&t.knobs, "workload.slice", "memory.high", &s), 0);
    assert_true(s.ours && s.foreign == 16384 && s.value == 8192);
    tree_restart(&t); /* the journal knows, too */
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "16384");
    tree_deinit(&t);
}

static void test_fight(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 100), 0);
    for (unsigned i = 0; i < KNOBS_FIGHT_MAX; i++) {
        fixture_write(t.f, HIGH, "16384\n");
        assert_int_equal(apply(&t, "memory.high", 8192, 101 + i), 0);
        tree_assert(&t, HIGH, "8192");
    }
    fixture_write(t.f, HIGH, "16384\n");
    assert_int_equal(apply(&t, "memory.high", 8192, 110), 0);
    tree_assert(&t, HIGH, "16384"); /* we stand back */
    assert_int_equal(t.knobs.drifts, KNOBS_FIGHT_MAX);
    assert_int_equal(apply(&t, "memory.high", 8192, 160), 0);
    tree_assert(&t, HIGH, "16384");
    assert_int_equal(apply(&t, "memory.high", 8192, 170), 0);
    tree_assert(&t, HIGH, "8192"); /* and try again */
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "16384");
    tree_deinit(&t);
}

static void test_pending(void **state)
{
    struct slow_writer w = {.answer = 1};
    struct tree t;

    tree_init(&t, *state);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    assert_int_equal(apply(&t, "memory.high", 8192, 100), 0);
    assert_int_equal(w.calls, 1);
    tree_assert(&t, HIGH, "max"); /* it is on its way */
    assert_int_equal(apply(&t, "memory.high", 8192, 102), 0);
    assert_int_equal(w.calls, 1);
    assert_int_equal(apply(&t, "memory.high", 8192, 106), 0); /* too long: asked for once more */
    assert_int_equal(w.calls, 2);
    assert_int_equal(t.knobs.drifts, 0);
    fixture_write(t.f, HIGH, "8192\n");
    assert_int_equal(apply(&t, "memory.high", 8192, 108), 0);
    assert_int_equal(w.calls, 2);
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

/* The limit moves while the worker is stuck in the first write: no value of ours may ever be taken for one of
 * somebody else's, or it would be what is put back in the end. */
static void test_pending_while_the_value_moves(void **state)
{
    struct slow_writer w = {.answer = 1};
    struct tree t;

    tree_init(&t, *state);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    assert_int_equal(apply(&t, "memory.high", 40960, 100), 0);
    fixture_write(t.f, HIGH, "40960\n");
    for (unsigned i = 1; i <= 8; i++) { /* the next ones wait in the worker's queue */
        assert_int_equal(apply(&t, "memory.high", 40960 - 4096 * i, 100 + 4 * i), 0);
        assert_int_equal(w.value, 40960 - 4096);
    }
    assert_int_equal(t.knobs.drifts, 0);
    fixture_write(t.f, HIGH, "36864\n");
    assert_int_equal(apply(&t, "memory.high", 8192, 140), 0);
    assert_int_equal(w.value, 8192);
    tree_restart(&t); /* and a crash knows both values that can stand there */
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

static void test_pending_and_somebody_else(void **state)
{
    struct slow_writer w = {.answer = 1};
    struct tree t;

    tree_init(&t, *state);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    assert_int_equal(apply(&t, "memory.high", 8192, 100), 0);
    fixture_write(t.f, HIGH, "16384\n");
    assert_int_equal(apply(&t, "memory.high", 8192, 102), 0);
    assert_int_equal(t.knobs.drifts, 1);
    fixture_write(t.f, HIGH, "8192\n");
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "16384");
    tree_deinit(&t);
}

/* A write that fails leaves everything as it was, however often it is tried and with whatever values. */
static void test_write_fails(void **state)
{
    struct slow_writer w = {.answer = -EPIPE};
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 40960, 100), 0);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    for (unsigned i = 1; i <= 4; i++)
        assert_int_equal(apply(&t, "memory.high", 40960 - 4096 * i, 100 + 2 * i), -EPIPE);
    assert_int_equal(t.knobs.failures, 4);
    assert_int_equal(t.knobs.drifts, 0);
    tree_assert(&t, HIGH, "40960");
    tree_restart(&t);
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

static void test_first_write_fails(void **state)
{
    struct slow_writer w = {.answer = -EPIPE};
    struct tree t;

    tree_init(&t, *state);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(apply(&t, "memory.high", 8192, 100 + 2 * i), -EPIPE);
    assert_int_equal(t.knobs.drifts, 0);
    assert_int_equal(tree_leases(&t), 0);
    w.answer = 0;
    assert_int_equal(apply(&t, "memory.high", 8192, 120), 0);
    tree_assert(&t, HIGH, "8192");
    tree_deinit(&t);
}

static void test_only_limits_that_fall_are_handed_over(void **state)
{
    struct slow_writer w = {.answer = 1};
    struct tree t;

    tree_init(&t, *state);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    assert_int_equal(apply(&t, "memory.low", 8192, 1), 0);
    assert_int_equal(apply(&t, "memory.low", 4096, 2), 0); /* a protection */
    assert_int_equal(w.calls, 0);
    fixture_write(t.f, HIGH, "4096\n");
    assert_int_equal(apply(&t, "memory.high", 8192, 3), 0);
    assert_int_equal(w.calls, 0);
    assert_int_equal(apply(&t, "memory.max", 8192, 3), 0);
    assert_int_equal(w.calls, 1);
    tree_deinit(&t);
}

/* Systemd comes to it later. Until then what stands is not ours any more, and must not look like a limit of
 * somebody else's. */
static void test_what_is_loosened_stands_at_once(void **state)
{
    struct slow_writer w = {.answer = 1, .any = true};
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    restore(&t, 1, 0, 0);
    assert_int_equal(w.calls, 1);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

static void test_adopt(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    tree_restart(&t);
    adopt(&t, wanted_all, 1, 0);
    tree_assert(&t, HIGH, "8192");
    assert_int_equal(apply(&t, "memory.high", 4096, 2), 0);
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max"); /* what was there before the first of us */
    tree_deinit(&t);
}

static void test_adopt_what_is_not_wanted(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    assert_int_equal(apply(&t, "memory.low", 4096, 1), 0);
    tree_restart(&t);
    fixture_write(t.f, LOW, "123\n"); /* somebody else's by now */
    adopt(&t, wanted_none, 0, 1);
    tree_assert(&t, HIGH, "max");
    tree_assert(&t, LOW, "123");
    assert_int_equal(tree_leases(&t), 0);
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 0);
    tree_deinit(&t);
}

/* A crash between the line and the write: what stands is the value before. */
static void test_crash_before_the_write(void **state)
{
    struct slow_writer w = {.answer = 1};
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    assert_int_equal(apply(&t, "memory.high", 4096, 2), 0);
    tree_restart(&t);
    adopt(&t, wanted_all, 1, 0);
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

/* A release that cannot be written down does not make the restoring fail; the lease is found again, and its
 * value is not ours then. */
static void test_restore_without_journal(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    journal_close(&t.journal);
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_restart(&t);
    assert_int_equal(tree_leases(&t), 1);
    restore(&t, 0, 1, 0);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

/* However often a value changes, the file stays short. */
static void test_journal_stays_short(void **state)
{
    struct stat st;
    struct tree t;

    tree_init(&t, *state);
    for (unsigned i = 1; i <= 2000; i++)
        assert_int_equal(apply(&t, "memory.high", 4096 * (uint64_t)i, i), 0);
    assert_int_equal(fstatat(t.runtime_fd, "journal", &st, 0), 0);
    assert_true(st.st_size < 40000);
    tree_restart(&t);
    restore(&t, 1, 0, 0);
    tree_assert(&t, HIGH, "max");
    tree_deinit(&t);
}

/* ---- pauses ---- */

struct order {
    struct tree *t;
    unsigned calls;
};

/* Where a knob is put back, the pauses must be over; and no pause comes by here. */
static int order_write(void *user, const struct lease *l, uint64_t value _unused_, bool lowers _unused_)
{
    struct order *o = user;

    assert_false(lease_is_pause(l));
    o->calls++;
    tree_assert(o->t, "sys/fs/cgroup/task/cgroup.freeze", "0");
    return 0;
}

static void test_pauses_go_first(void **state)
{
    struct tree t;
    struct order o = {.t = &t};

    tree_init(&t, *state);
    assert_int_equal(apply(&t, "memory.low", 4096, 1), 0);
    tree_add(&t, "task", "max\n");
    tree_pause(&t, "task");
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    t.knobs.write = order_write;
    t.knobs.user = &o;
    restore(&t, 3, 0, 0);
    assert_int_equal(o.calls, 2);
    tree_deinit(&t);
}

/* The oldest of those that are not wanted runs first. */
struct wanted_log {
    uint64_t ids[4];
    unsigned count;
};

static bool wanted_logged(void *user, const struct lease *l)
{
    struct wanted_log *w = user;

    w->ids[w->count++] = l->cgroup_id;
    return false;
}

/* The journal is read again while a value is still on its way: it stays ours, and what stands when it has
 * come is no limit of somebody else's. */
static void test_pending_is_taken_along(void **state)
{
    struct slow_writer w = {.answer = 1};
    struct knobs_pending pending[2];
    struct knob_state s;
    struct tree t;

    tree_init(&t, *state);
    t.knobs.write = slow_write;
    t.knobs.user = &w;
    assert_int_equal(apply(&t, "memory.high", 8192, 1), 0);
    assert_int_equal(apply(&t, "memory.low", 4096, 1), 0); /* stands */
    assert_int_equal(knobs_get_pending(&t.knobs, 60 * USEC_PER_SEC, pending, 2), 0);
    assert_int_equal(knobs_get_pending(&t.knobs, 2 * USEC_PER_SEC, pending, 2), 1);
    tree_restart(&t);
    knobs_set_pending(&t.knobs, pending, 1);
    adopt(&t, wanted_all, 2, 0);
    fixture_write(t.f, HIGH, "8192\n"); /* it comes */
    assert_int_equal(knobs_read(&t.knobs, "workload.slice", "memory.high", &s), 0);
    assert_true(s.ours && s.foreign == UINT64_MAX);
    tree_restart(&t);
    fixture_write(t.f, HIGH, "max\n"); /* without it, one that does not stand is let go of */
    adopt(&t, wanted_all, 1, 0);
    tree_deinit(&t);
}

static void test_pauses_adopted_in_order(void **state)
{
    static const char *const paths[] = {"c", "a", "b"};
    struct wanted_log w = {0};
    struct tree t;
    unsigned a, r;

    tree_init(&t, *state);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        tree_add(&t, paths[i], "max\n");
        tree_pause(&t, paths[i]);
    }
    tree_restart(&t);
    adopt(&t, wanted_all, 3, 0);
    knobs_adopt(&t.knobs, wanted_logged, &w, &a, &r);
    assert_int_equal(a, 0);
    assert_int_equal(r, 3);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        assert_true(w.ids[i] == tree_id(&t, paths[i]));
    tree_assert(&t, "sys/fs/cgroup/b/cgroup.freeze", "0");
    tree_deinit(&t);
}

/* A crash between the line and the write; and a group that was used again. */
static void test_pauses_that_do_not_stand(void **state)
{
    struct tree t;

    tree_init(&t, *state);
    tree_add(&t, "task", "max\n");
    tree_pause(&t, "task");
    fixture_write(t.f, "sys/fs/cgroup/task/cgroup.freeze", "0\n");
    tree_restart(&t);
    adopt(&t, wanted_all, 0, 0);
    assert_int_equal(tree_leases(&t), 0);
    tree_pause(&t, "task");
    assert_int_equal(renameat(t.f->fd, "sys/fs/cgroup/task", t.f->fd, "sys/fs/cgroup/aside"), 0);
    tree_add(&t, "task", "max\n");
    fixture_write(t.f, "sys/fs/cgroup/task/cgroup.freeze", "1\n");
    tree_restart(&t);
    adopt(&t, wanted_all, 0, 0);
    tree_assert(&t, "sys/fs/cgroup/task/cgroup.freeze", "1");
    assert_int_equal(tree_leases(&t), 0);
    tree_deinit(&t);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_apply_and_restore),
        TEST(test_short_value_stands_at_once),
        TEST(test_nothing_to_do),
        TEST(test_dry_run_writes_nothing),
        TEST(test_no_journal_no_change),
        TEST(test_table_full),
        TEST(test_others_value_is_left),
        TEST(test_new_cgroup_of_the_name_is_left),
        TEST(test_vanished_cgroup_is_forgotten),
        TEST(test_unreadable_is_kept),
        TEST(test_drift),
        TEST(test_fight),
        TEST(test_pending),
        TEST(test_pending_while_the_value_moves),
        TEST(test_pending_and_somebody_else),
        TEST(test_write_fails),
        TEST(test_first_write_fails),
        TEST(test_only_limits_that_fall_are_handed_over),
        TEST(test_what_is_loosened_stands_at_once),
        TEST(test_adopt),
        TEST(test_adopt_what_is_not_wanted),
        TEST(test_crash_before_the_write),
        TEST(test_restore_without_journal),
        TEST(test_journal_stays_short),
        TEST(test_pauses_go_first),
        TEST(test_pending_is_taken_along),
        TEST(test_pauses_adopted_in_order),
        TEST(test_pauses_that_do_not_stand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
