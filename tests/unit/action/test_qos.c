/* A plan into a tree of plain files, and back: what is written, in which order, whose the values are, and the
 * oom_score_adj of processes. */
#include "plan.h"

#include "action/qos_write.h"

static void test_apply_and_restore(void **state)
{
    struct plan *p = *state;

    set(&p->cgroups[0], QOS_MEMORY_LOW, GIB);
    set(&p->cgroups[1], QOS_MEMORY_LOW, GIB);
    set(&p->cgroups[1], QOS_MEMORY_HIGH, 2 * GIB);
    set(&p->cgroups[1], QOS_SWAP_MAX, 0);
    set(&p->cgroups[1], QOS_OOM_GROUP, 1); /* no size: not rounded to pages */
    set(&p->cgroups[1], QOS_CPU_WEIGHT, 50);
    apply(p, 6, 0, 0);
    tree_assert(&p->tree, SLICE "/memory.low", "1073741824");
    tree_assert(&p->tree, SLICE "/a/memory.high", "2147483648");
    tree_assert(&p->tree, SLICE "/a/memory.oom.group", "1");
    tree_assert(&p->tree, SLICE "/a/cpu.weight", "50");
    assert_int_equal(p->cgroups[1].foreign[QOS_MEMORY_HIGH], UINT64_MAX);
    apply(p, 0, 6, 0);
    assert_int_equal(p->cgroups[1].now[QOS_MEMORY_HIGH], 2 * GIB);
    assert_int_equal(p->cgroups[1].foreign[QOS_MEMORY_HIGH], UINT64_MAX); /* ours is ours */
    restore(p, 6, 0);
    tree_assert(&p->tree, SLICE "/memory.low", "0");
    tree_assert(&p->tree, SLICE "/a/memory.high", "max");
    tree_assert(&p->tree, SLICE "/a/memory.oom.group", "0");
    tree_assert(&p->tree, SLICE "/a/cpu.weight", "100");
}

static void test_what_is_not_planned_any_more(void **state)
{
    struct plan *p = *state;

    set(&p->cgroups[1], QOS_MEMORY_LOW, GIB);
    set(&p->cgroups[1], QOS_MEMORY_HIGH, 2 * GIB);
    apply(p, 2, 0, 0);
    p->cgroups[1].plan[QOS_MEMORY_HIGH].why = QOS_WHY_TIGHTER;
    apply(p, 0, 1, 1);
    tree_assert(&p->tree, SLICE "/a/memory.high", "max");
    p->count = 0; /* there is no such group any more, but its cgroup is there */
    qos_apply(&p->tree.knobs, p->cgroups, 0, false, USEC_PER_SEC, &p->done); /* or it could not be read */
    assert_int_equal(p->done.restored, 0);
    tree_assert(&p->tree, SLICE "/a/memory.low", "1073741824");
    apply(p, 0, 0, 1);
    tree_assert(&p->tree, SLICE "/a/memory.low", "0");
    restore(p, 0, 0);
}

static void test_others_value_is_theirs(void **state)
{
    struct plan *p = *state;

    set(&p->cgroups[1], QOS_MEMORY_HIGH, 2 * GIB);
    apply(p, 1, 0, 0);
    fixture_write(p->tree.f, SLICE "/a/memory.high", "1073741824\n");
    look(p);
    assert_int_equal(p->cgroups[1].foreign[QOS_MEMORY_HIGH], GIB); /* so that the plan leaves it */
    restore(p, 0, 1);
    tree_assert(&p->tree, SLICE "/a/memory.high", "1073741824");
}

static void test_no_place_for_a_lease(void **state)
{
    struct plan *p = *state;

    set(&p->cgroups[0], QOS_MEMORY_HIGH, GIB);
    set(&p->cgroups[1], QOS_MEMORY_HIGH, 2 * GIB);
    p->tree.table.more_count = 0;
    for (struct lease *l; (l = lease_add(&p->tree.table));) {
        l->cgroup_id = p->cgroups[0].id;
        memcpy(l->knob, "memory.high", sizeof("memory.high"));
    }
    look(p);
    qos_apply(&p->tree.knobs, p->cgroups, p->count, true, 0, &p->done);
    assert_int_equal(p->done.failed, 1);
    assert_int_equal(p->done.error, -ENOSPC);
    assert_string_equal(p->done.path, "workload.slice/a");
    assert_int_equal(p->done.knob, QOS_MEMORY_HIGH);
    tree_assert(&p->tree, SLICE "/a/memory.high", "max"); /* what could not be put back is not set */
}

/* ---- oom_score_adj ---- */

static void process(struct plan *p, int pid, int ppid, unsigned start_sec, const char *adj)
{
    char path[64], text[256];

    (void)snprintf(path, sizeof(path), "proc/%d/stat", pid);
    (void)snprintf(text, sizeof(text), "%d (task) S %d 1 1 0 -1 4194304 0 0 0 0 5 5 0 0 20 0 1 0 %ju 0 0\n",
                   pid, ppid, (uintmax_t)start_sec * (uintmax_t)sysconf(_SC_CLK_TCK));
    fixture_write(p->tree.f, path, text);
    (void)snprintf(path, sizeof(path), "proc/%d/oom_score_adj", pid);
    fixture_write(p->tree.f, path, adj);
}

static void test_scores(void **state)
{
    struct plan *p = *state;

    process(p, 101, 1, 10, "0\n");
    process(p, 102, 101, 20, "200\n");
    process(p, 103, 1, 30, "700\n");  /* has it already, and not from us */
    process(p, 105, 1, 30, "-500\n"); /* somebody's word, which is kept */
    fixture_write(p->tree.f, SLICE "/a/cgroup.procs", "101\n103\n104\n105\n");
    fixture_write(p->tree.f, SLICE "/a/below/cgroup.procs", "102\n");
    set(&p->cgroups[1], QOS_SCORE, QOS_SCORE_ZERO + 700);
    apply(p, 0, 0, 0);
    assert_int_equal(p->done.scores, 2);
    tree_assert(&p->tree, "proc/101/oom_score_adj", "700");
    tree_assert(&p->tree, "proc/102/oom_score_adj", "700");
    apply(p, 0, 0, 0);
    assert_int_equal(p->done.scores, 0);

    tree_assert(&p->tree, "proc/105/oom_score_adj", "-500");

    /* Born since, two generations; and one that is not of the family. */
    process(p, 110, 102, 40, "700\n");
    process(p, 111, 110, 41, "700\n");
    process(p, 112, 110, 42, "3\n");
    fixture_write(p->tree.f, SLICE "/a/below/cgroup.procs", "111\n110\n102\n112\n");
    restore(p, 5, 0);
    tree_assert(&p->tree, "proc/101/oom_score_adj", "0");
    tree_assert(&p->tree, "proc/102/oom_score_adj", "200");
    tree_assert(&p->tree, "proc/103/oom_score_adj", "700");
    tree_assert(&p->tree, "proc/105/oom_score_adj", "-500");
    tree_assert(&p->tree, "proc/110/oom_score_adj", "200");
    tree_assert(&p->tree, "proc/111/oom_score_adj", "200");
    tree_assert(&p->tree, "proc/112/oom_score_adj", "3");
}

/* A parent that has gone between two looks, and its child, which init has got; a child of one that had the
 * value by itself. */
static void test_scores_of_orphans(void **state)
{
    struct plan *p = *state;

    process(p, 1, 0, 1, "0\n");
    process(p, 101, 1, 10, "0\n");
    process(p, 103, 1, 30, "700\n");
    fixture_write(p->tree.f, SLICE "/a/cgroup.procs", "101\n103\n");
    set(&p->cgroups[1], QOS_SCORE, QOS_SCORE_ZERO + 700);
    apply(p, 0, 0, 0);
    assert_int_equal(p->done.scores, 1);
    assert_int_equal(renameat(p->tree.f->fd, "proc/101", p->tree.f->fd, "proc/gone"), 0);
    process(p, 110, 1, 40, "700\n");
    process(p, 111, 110, 41, "700\n");
    process(p, 113, 103, 42, "700\n");
    fixture_write(p->tree.f, SLICE "/a/cgroup.procs", "111\n103\n110\n113\n");
    apply(p, 0, 0, 0);
    assert_int_equal(p->done.scores, 2); /* 110 and 113; 111 when its parent is known */
    restore(p, 4, 0);
    tree_assert(&p->tree, "proc/110/oom_score_adj", "0");
    tree_assert(&p->tree, "proc/111/oom_score_adj", "0");
    tree_assert(&p->tree, "proc/103/oom_score_adj", "700");
    tree_assert(&p->tree, "proc/113/oom_score_adj", "700");
}

/* A pid that is another's by now, one that is gone, and one whose score somebody has changed. */
static void test_scores_of_others(void **state)
{
    struct plan *p = *state;
    unsigned drifts;

    process(p, 101, 1, 10, "0\n");
    process(p, 102, 1, 20, "0\n");
    process(p, 103, 1, 30, "0\n");
    fixture_write(p->tree.f, SLICE "/a/cgroup.procs", "101\n102\n103\n");
    set(&p->cgroups[1], QOS_SCORE, QOS_SCORE_ZERO + 700);
    apply(p, 0, 0, 0);
    assert_int_equal(p->done.scores, 3);
    process(p, 101, 1, 99, "700\n");
    process(p, 103, 1, 30, "5\n");
    fixture_write(p->tree.f, SLICE "/a/cgroup.procs", "102\n103\n");
    drifts = (unsigned)p->tree.knobs.drifts;
    look(p);
    qos_apply(&p->tree.knobs, p->cgroups, p->count, true, 0, &p->done);
    assert_int_equal(p->done.failed, 0);
    tree_assert(&p->tree, "proc/101/oom_score_adj", "700");
    assert_true(p->tree.knobs.drifts >= drifts);
    restore(p, 2, 0);
    tree_assert(&p->tree, "proc/102/oom_score_adj", "0");
}

static void test_scores_not_planned_any_more(void **state)
{
    struct plan *p = *state;

    process(p, 101, 1, 10, "0\n");
    fixture_write(p->tree.f, SLICE "/a/cgroup.procs", "101\n");
    set(&p->cgroups[1], QOS_SCORE, QOS_SCORE_ZERO + 700);
    apply(p, 0, 0, 0);
    set(&p->cgroups[1], QOS_SCORE, QOS_SCORE_ZERO + 600);
    apply(p, 0, 0, 0);
    assert_int_equal(p->done.scores, 1);
    tree_assert(&p->tree, "proc/101/oom_score_adj", "600");
    p->cgroups[1].plan[QOS_SCORE].why = QOS_WHY_NOTHING;
    apply(p, 0, 0, 1);
    tree_assert(&p->tree, "proc/101/oom_score_adj", "0");
    restore(p, 0, 0);
}

/* ---- what others set while we keep it ---- */

static void test_drift_is_met_once(void **state)
{
    struct plan *p = *state;

    keep(p, 2 * GIB, true);
    tree_assert(&p->tree, SLICE "/a/memory.high", "2147483648");
    assert_int_equal(told.count, 0);
    look(p);
    others(p, "max\n"); /* readable again, behind the look */
    set(&p->cgroups[1], QOS_MEMORY_HIGH, 2 * GIB);
    qos_apply(&p->tree.knobs, p->cgroups, p->count, true, now_sec * USEC_PER_SEC, &p->done);
    keep(p, 2 * GIB, true);
    assert_told(LEASE_REAPPLIED, UINT64_MAX, 2 * GIB);
    tree_assert(&p->tree, SLICE "/a/memory.high", "2147483648");
    keep(p, GIB, true); /* another plan: no drift, and not another chance for it */
    assert_int_equal(told.count, 0);
    tree_assert(&p->tree, SLICE "/a/memory.high", "1073741824");
    reread(p);
    others(p, "4294967296\n");
    keep(p, GIB, true);
    assert_told(LEASE_YIELDED, 4 * GIB, GIB);
    assert_int_equal(p->cgroups[1].plan[QOS_MEMORY_HIGH].why, QOS_WHY_YIELDED);
    tree_assert(&p->tree, SLICE "/a/memory.high", "4294967296");
    for (unsigned i = 0; i < 3; i++) {
        if (i == 1)
            reread(p);
        others(p, i == 2 ? "1073741824\n" : "max\n"); /* even what we had: it is his now */
        keep(p, 2 * GIB, true);
        assert_int_equal(told.count, 0);
        tree_assert(&p->tree, SLICE "/a/memory.high", i == 2 ? "1073741824" : "max");
    }
    restore(p, 0, 1);
    tree_assert(&p->tree, SLICE "/a/memory.high", "1073741824");
}

/* Two reloads of systemd's are no fight where some time is between them. */
static void test_drift_ages(void **state)
{
    struct plan *p = *state;

    keep(p, 2 * GIB, true);
    for (unsigned i = 0; i < 5; i++) {
        others(p, "max\n");
        keep(p, 2 * GIB, true);
        assert_told(LEASE_REAPPLIED, UINT64_MAX, 2 * GIB);
        now_sec += 601;
        if (i == 3)
            reread(p); /* a successor does not know since when */
        keep(p, 2 * GIB, true);
        if (i == 3) {
            now_sec += 601;
            keep(p, 2 * GIB, true);
        }
        assert_int_equal(told.count, 0);
    }
    others(p, "max\n");
    keep(p, 2 * GIB, true);
    now_sec += 599;
    keep(p, 2 * GIB, true);
    others(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_told(LEASE_YIELDED, UINT64_MAX, 2 * GIB);
}

static void test_drift_is_yielded_at_once(void **state)
{
    struct plan *p = *state;

    keep(p, 2 * GIB, false);
    others(p, "max\n");
    keep(p, 2 * GIB, false);
    assert_told(LEASE_YIELDED, UINT64_MAX, 2 * GIB);
    tree_assert(&p->tree, SLICE "/a/memory.high", "max");
    p->count = 1; /* its group has ended: so has the lease */
    keep(p, 2 * GIB, false);
    p->count = 2;
    keep(p, 2 * GIB, false);
    tree_assert(&p->tree, SLICE "/a/memory.high", "2147483648");
    restore(p, 1, 0);
}

static void test_drift_to_what_is_tighter(void **state)
{
    struct plan *p = *state;

    keep(p, 2 * GIB, true);
    others(p, "1048576\n");
    keep(p, 2 * GIB, true);
    assert_told(LEASE_YIELDED, MIB, 2 * GIB);
    others(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_int_equal(told.count, 0);
    tree_assert(&p->tree, SLICE "/a/memory.high", "max");
}

/* As with systemd, whose set-property resets memory.oom.group, for which it has no property. */
static int hand_over(void *user, const struct lease *l, uint64_t value _unused_, bool lowers _unused_)
{
    struct plan *p = user;

    if (strcmp(l->knob, "memory.oom.group") == 0)
        return 0;
    fixture_write(p->tree.f, SLICE "/a/memory.oom.group", "0\n");
    return 1;
}

static void test_what_our_own_writes_reset(void **state)
{
    struct plan *p = *state;

    p->tree.knobs.write = hand_over;
    p->tree.knobs.user = p;
    set(&p->cgroups[1], QOS_OOM_GROUP, 1);
    keep(p, 2 * GIB, true);
    tree_assert(&p->tree, SLICE "/a/memory.oom.group", "0"); /* not yet: it would not last */
    keep(p, 2 * GIB, true);
    tree_assert(&p->tree, SLICE "/a/memory.oom.group", "0");
    others(p, "2147483648\n"); /* it stands now */
    keep(p, 2 * GIB, true);
    tree_assert(&p->tree, SLICE "/a/memory.oom.group", "1");
    keep(p, GIB, true); /* which resets it */
    others(p, "1073741824\n");
    keep(p, GIB, true);
    assert_int_equal(told.count, 0);
    tree_assert(&p->tree, SLICE "/a/memory.oom.group", "1");
    fixture_write(p->tree.f, SLICE "/a/memory.oom.group", "0\n");
    keep(p, GIB, true);
    assert_told(LEASE_REAPPLIED, 0, 1); /* and that was somebody else */
    tree_assert(&p->tree, SLICE "/a/memory.oom.group", "1");
}

/* A limit that is lowered in little time, by whom: it stands when that has been done. */
static int write_limited(void *user, const struct lease *l, uint64_t value, bool lowers)
{
    struct plan *p = user;

    return lowers ? qos_write_limited(&p->tree.hierarchy, l, value) : 0;
}

/* Who sets it back each time before it is looked at again is met once, and told of. */
static void test_drift_of_what_was_lowered(void **state)
{
    struct plan *p = *state;

    p->tree.knobs.write = write_limited;
    p->tree.knobs.user = p;
    keep(p, GIB, true);
    others(p, "max\n");
    keep(p, GIB, true);
    assert_told(LEASE_REAPPLIED, UINT64_MAX, GIB);
    tree_assert(&p->tree, SLICE "/a/memory.high", "1073741824");
    others(p, "max\n");
    keep(p, GIB, true);
    assert_told(LEASE_YIELDED, UINT64_MAX, GIB);
    others(p, "max\n");
    keep(p, GIB, true);
    assert_int_equal(told.count, 0);
    tree_assert(&p->tree, SLICE "/a/memory.high", "max");
}

static int to_somebody(void *user _unused_, const struct lease *l _unused_, uint64_t value _unused_,
                       bool lowers _unused_)
{
    return 1;
}

/* The same where systemd has to set it, and nobody ever sees that it has. */
static void test_drift_of_what_was_handed_over(void **state)
{
    struct plan *p = *state;

    p->tree.knobs.write = to_somebody;
    keep(p, GIB, true);
    now_sec += 3600; /* however late, of the first time that is no drift */
    keep(p, GIB, true);
    assert_int_equal(told.count, 0);
    others(p, "1073741824\n");
    keep(p, GIB, true);
    others(p, "max\n");
    keep(p, GIB, true);
    assert_told(LEASE_REAPPLIED, UINT64_MAX, GIB);
    keep(p, GIB, true);
    assert_int_equal(told.count, 0); /* on its way */
    now_sec += 60;
    keep(p, GIB, true);
    assert_told(LEASE_YIELDED, UINT64_MAX, GIB);
    keep(p, GIB, true);
    assert_int_equal(told.count, 0);
    now_sec = 1;
}

/* A memory.swap.max that is moved all the time: what systemd puts in its place, who does not know of it, is
 * no drift; what anybody else does is. */
static void test_what_systemd_does_not_know_of(void **state)
{
    struct plan *p = *state;
    struct qos_cgroup *g = &p->cgroups[1];

    for (unsigned i = 0; i < 3; i++) {
        g->forgotten = true;
        set(g, QOS_SWAP_MAX, (i + 1) * MIB);
        keep(p, 2 * GIB, true);
        assert_int_equal(told.count, 0);
        tree_assert(&p->tree, SLICE "/a/memory.swap.max",
                    i == 0   ? "1048576"
                    : i == 1 ? "2097152"
                             : "3145728");
        fixture_write(p->tree.f, SLICE "/a/memory.swap.max", "max\n");
    }
    fixture_write(p->tree.f, SLICE "/a/memory.swap.max", "8192\n");
    keep(p, 2 * GIB, true);
    assert_told(LEASE_REAPPLIED, 8192, 3 * MIB);
    g->forgotten = false;
    fixture_write(p->tree.f, SLICE "/a/memory.swap.max", "max\n");
    keep(p, 2 * GIB, true);
    assert_told(LEASE_YIELDED, UINT64_MAX, 3 * MIB);
}

/* A read that fails is nobody's word: what somebody sets at that moment is told with the next look. */
static void test_what_cannot_be_read_is_as_it_was(void **state)
{
    struct plan *p = *state;

    keep(p, 2 * GIB, true);
    others(p, "no number\n");
    for (unsigned i = 0; i < 2; i++) {
        keep(p, 2 * GIB, true);
        assert_int_equal(told.count, 0);
        assert_int_equal(p->done.restored + p->done.written, 0);
        assert_true(p->cgroups[1].foreign[QOS_MEMORY_HIGH] == UINT64_MAX);
    }
    others(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_told(LEASE_REAPPLIED, UINT64_MAX, 2 * GIB);
    tree_assert(&p->tree, SLICE "/a/memory.high", "2147483648");
    others(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_told(LEASE_YIELDED, UINT64_MAX, 2 * GIB);
    others(p, "no number\n");
    keep(p, 2 * GIB, true);
    others(p, "max\n");
    keep(p, 2 * GIB, true);
    assert_int_equal(told.count, 0);
    tree_assert(&p->tree, SLICE "/a/memory.high", "max"); /* his still */
    restore(p, 0, 1);
}

/* Between the look and the write, where the plan has another value. */
static void test_what_is_set_after_the_look(void **state)
{
    struct plan *p = *state;

    keep(p, 2 * GIB, true);
    memset(&told, 0, sizeof(told));
    look(p);
    set(&p->cgroups[1], QOS_MEMORY_HIGH, GIB);
    others(p, "max\n");
    qos_settle_drifts(&p->tree.knobs, p->cgroups, p->count, true, now_sec * USEC_PER_SEC);
    qos_apply(&p->tree.knobs, p->cgroups, p->count, true, now_sec * USEC_PER_SEC, &p->done);
    assert_int_equal(told.count + p->done.failed, 0);
    tree_assert(&p->tree, SLICE "/a/memory.high", "max");
    keep(p, GIB, true);
    assert_told(LEASE_REAPPLIED, UINT64_MAX, 2 * GIB);
    tree_assert(&p->tree, SLICE "/a/memory.high", "1073741824");
    restore(p, 1, 0);
}

static void test_drift_of_scores(void **state)
{
    struct plan *p = *state;

    process(p, 101, 1, 10, "0\n");
    fixture_write(p->tree.f, SLICE "/a/cgroup.procs", "101\n");
    set(&p->cgroups[1], QOS_SCORE, QOS_SCORE_ZERO + 700);
    keep(p, UINT64_MAX, true);
    tree_assert(&p->tree, "proc/101/oom_score_adj", "700");
    process(p, 101, 1, 10, "-5\n");
    keep(p, UINT64_MAX, true);
    assert_told(LEASE_YIELDED, QOS_SCORE_ZERO - 5, QOS_SCORE_ZERO + 700);
    assert_string_equal(told.knob, "oom_score_adj:101");
    for (unsigned i = 0; i < 3; i++) {
        keep(p, UINT64_MAX, true);
        assert_int_equal(told.count, 0);
        tree_assert(&p->tree, "proc/101/oom_score_adj", "-5");
    }
    process(p, 101, 1, 99, "0\n"); /* another process of that pid */
    keep(p, UINT64_MAX, true);
    tree_assert(&p->tree, "proc/101/oom_score_adj", "700");
    restore(p, 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_apply_and_restore),
        TEST(test_what_is_not_planned_any_more),
        TEST(test_others_value_is_theirs),
        TEST(test_no_place_for_a_lease),
        TEST(test_scores),
        TEST(test_scores_of_orphans),
        TEST(test_scores_of_others),
        TEST(test_scores_not_planned_any_more),
        TEST(test_drift_is_met_once),
        TEST(test_drift_ages),
        TEST(test_drift_is_yielded_at_once),
        TEST(test_drift_to_what_is_tighter),
        TEST(test_what_cannot_be_read_is_as_it_was),
        TEST(test_what_is_set_after_the_look),
        TEST(test_drift_of_scores),
        TEST(test_drift_of_what_was_lowered),
        TEST(test_drift_of_what_was_handed_over),
        TEST(test_what_our_own_writes_reset),
        TEST(test_what_systemd_does_not_know_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
