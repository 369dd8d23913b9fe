/* A plan for a unit of systemd's: what its drop-in has outlives its cgroup. */
#include "plan.h"

static struct {
    bool there; /* the drop-in, of memory.high of a */
    uint64_t value;
    unsigned calls;
    unsigned gone; /* cgroups */
} systemd;

static int read_left(void *user _unused_, const struct lease *l, uint64_t *ret)
{
    if (!systemd.there || strcmp(l->knob, "memory.high") != 0)
        return -ENOENT;
    *ret = systemd.value;
    return 0;
}

static int to_systemd(void *user _unused_, const struct lease *l, uint64_t value, bool lowers _unused_)
{
    if (strcmp(l->knob, "memory.high") != 0)
        return 0;
    systemd.calls++;
    systemd.there = true;
    systemd.value = value;
    return 1;
}

static void is_unit(struct plan *p)
{
    memset(&systemd, 0, sizeof(systemd));
    p->tree.knobs.write = to_systemd;
    p->tree.knobs.left = read_left;
    p->tree.knobs.confirms = true;
}

/* Its cgroup goes; and comes again under another id, with what the drop-in has. */
static void stop_unit(struct plan *p)
{
    char to[64];

    (void)snprintf(to, sizeof(to), "sys/fs/cgroup/gone-%u", systemd.gone++);
    assert_int_equal(renameat(p->tree.f->fd, SLICE "/a", p->tree.f->fd, to), 0);
    p->count = 1;
}

static void start_unit(struct plan *p, const char *value)
{
    p->count = 1;
    (void)add(p, "workload.slice/a", 0);
    others(p, value);
}

/* Its pace has moved it since, by plain writes; systemd writes what it was told at any time, and a unit that
 * is started anew begins with it. */
static void test_what_systemd_was_told_is_ours(void **state)
{
    struct plan *p = *state;
    struct lease *l;

    is_unit(p);
    for (unsigned successor = 0; successor < 2; successor++) {
        p->tree.knobs.write = to_systemd;
        systemd.there = false;
        keep(p, 2 * GIB, true);
        l = lease_find(&p->tree.table, p->cgroups[1].id, "memory.high");
        assert_non_null(l);
        qos_note_told(&p->tree.table, l, 2 * GIB);
        others(p, "2147483648\n");
        keep(p, 2 * GIB, true);
        p->tree.knobs.write = NULL; /* plainly from here */
        keep(p, GIB, true);
        tree_assert(&p->tree, SLICE "/a/memory.high", "1073741824");
        keep(p, GIB / 2, true);
        if (successor) {
            reread(p);
            qos_adopt_told(&p->tree.knobs);
        }
        for (unsigned i = 0; i < 3; i++) {
            others(p, "2147483648\n");
            keep(p, GIB / 4 * (i + 1), true);
            assert_int_equal(told.count, 0);
            assert_true(p->cgroups[1].foreign[QOS_MEMORY_HIGH] == UINT64_MAX);
        }
        tree_assert(&p->tree, SLICE "/a/memory.high", "805306368");
        stop_unit(p);
        start_unit(p, "2147483648\n");
        keep(p, GIB, true);
        assert_int_equal(told.count, 0);
        assert_true(p->cgroups[1].foreign[QOS_MEMORY_HIGH] == UINT64_MAX);
        others(p, "8589934592\n"); /* another value is somebody's, whatever systemd has */
        keep(p, GIB, true);
        assert_int_equal(told.count, 1);
        others(p, "2147483648\n");
        restore(p, 1, 0);
        tree_assert(&p->tree, SLICE "/a/memory.high", "8589934592");
        others(p, "max\n");
    }
}

/* An operator's set-property while nobody kept it: what systemd has is not certain to be ours. */
static void test_what_others_told_systemd_is_theirs(void **state)
{
    struct plan *p = *state;

    is_unit(p);
    p->tree.knobs.write = NULL;
    keep(p, 2 * GIB, true);
    systemd.there = true;
    systemd.value = GIB;
    others(p, "1073741824\n");
    reread(p);
    qos_adopt_told(&p->tree.knobs);
    keep(p, 2 * GIB, true);
    assert_told(LEASE_YIELDED, GIB, 2 * GIB); /* tighter */
    restore(p, 0, 1);
}

static void test_unit_is_restarted(void **state)
{
    struct plan *p = *state;
    uint64_t id = p->cgroups[1].id;

    is_unit(p);
    keep(p, 2 * GIB, true);
    others(p, "2147483648\n");
    keep(p, 2 * GIB, true);
    stop_unit(p);
    start_unit(p, "2147483648\n");
    assert_int_not_equal(p->cgroups[1].id, id);
    reread(p);
    keep(p, 2 * GIB, true);
    assert_int_equal(told.count, 0);
    assert_true(p->cgroups[1].foreign[QOS_MEMORY_HIGH] == UINT64_MAX);
    assert_int_equal(systemd.calls, 1);
    reread(p); /* the journal has it, too */
    keep(p, GIB, true);
    assert_int_equal(systemd.calls, 2);
    assert_true(systemd.value == GIB);
    others(p, "1073741824\n");
    keep(p, GIB, true);
    assert_int_equal(told.count, 0);
    /* Put back when systemd has done it, not before. */
    p->tree.knobs.under_way = 0;
    restore(p, 0, 0);
    assert_int_equal(p->tree.knobs.under_way, 1);
    assert_true(systemd.value == UINT64_MAX);
    assert_non_null(lease_find(&p->tree.table, p->cgroups[1].id, "memory.high"));
    restore(p, 0, 0);
    assert_int_equal(systemd.calls, 3);
    others(p, "max\n");
    restore(p, 1, 0);
    assert_int_equal(p->tree.knobs.under_way, 0);
    assert_null(lease_find(&p->tree.table, p->cgroups[1].id, "memory.high"));
}

/* Started so lately that its values do not stand yet. */
static void test_unit_is_only_just_started(void **state)
{
    struct plan *p = *state;

    is_unit(p);
    keep(p, 2 * GIB, true);
    others(p, "2147483648\n");
    keep(p, 2 * GIB, true);
    stop_unit(p);
    start_unit(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_int_equal(told.count, 0);
    assert_int_equal(systemd.calls, 1);
    others(p, "2147483648\n");
    keep(p, 2 * GIB, true);
    assert_int_equal(told.count, 0);
    /* Another value in the drop-in is somebody else's: so is the new cgroup. */
    stop_unit(p);
    systemd.value = GIB;
    start_unit(p, "1073741824\n");
    keep(p, 2 * GIB, true);
    assert_int_equal(told.count, 0);
    assert_true(p->cgroups[1].foreign[QOS_MEMORY_HIGH] == GIB);
    assert_int_equal(p->cgroups[1].plan[QOS_MEMORY_HIGH].why, QOS_WHY_TIGHTER);
    restore(p, 0, 0);
}

/* It has been stopped: what would be there at its next start is taken back. */
static void test_unit_is_stopped(void **state)
{
    struct plan *p = *state;

    is_unit(p);
    keep(p, 2 * GIB, true);
    others(p, "2147483648\n");
    keep(p, 2 * GIB, true);
    stop_unit(p);
    keep(p, 2 * GIB, true);
    assert_int_equal(systemd.calls, 2);
    assert_true(systemd.value == UINT64_MAX);
    keep(p, 2 * GIB, true);
    assert_int_equal(systemd.calls, 2);
    assert_int_equal(tree_leases(&p->tree), 0);
    systemd.there = false;
    start_unit(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_int_equal(systemd.calls, 3);
}

/* A hand-over may take its time. */
static void test_unit_is_set_late(void **state)
{
    struct plan *p = *state;

    is_unit(p);
    keep(p, 2 * GIB, true);
    for (unsigned i = 0; i < 10; i++) {
        now_sec += 3;
        keep(p, 2 * GIB, true);
        assert_int_equal(told.count, 0);
    }
    assert_true(systemd.calls > 1); /* asked for again */
    others(p, "2147483648\n");
    keep(p, 2 * GIB, true);
    others(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_told(LEASE_REAPPLIED, UINT64_MAX, 2 * GIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_systemd_was_told_is_ours),
        TEST(test_what_others_told_systemd_is_theirs),
        TEST(test_unit_is_restarted),
        TEST(test_unit_is_only_just_started),
        TEST(test_unit_is_stopped),
        TEST(test_unit_is_set_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
