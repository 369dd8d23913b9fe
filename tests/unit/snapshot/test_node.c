/* The node and its workloads: what is used, what bounds it, and who is there. */
#include "tree.h"

#include "policy/room.h"

#define WORK "workload.slice"

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

static void test_node_figures(void **state)
{
    struct tree *t = *state;

    tree_meminfo(t, &(struct tree_meminfo){.total = 10 * GIB,
                                           .free = GIB,
                                           .available = 3 * GIB,
                                           .file = 2 * GIB,
                                           .kreclaimable = 512 * MIB,
                                           .hugetlb = GIB});
    fixture_write(
        t->f, "proc/pressure/memory",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=11\n");
    tree_open(t, false);
    assert_int_equal(tree_look(t, 5), 0);
    assert_int_equal(t->s.now_usec, 5);
    assert_false(t->s.isolate);
    assert_int_equal(t->s.node.mem_total, 10 * GIB);
    assert_int_equal(t->s.node.total, 9 * GIB); /* the huge page pool is nobody's to share */
    assert_int_equal(t->s.node.available, 3 * GIB);
    assert_int_equal(t->s.node.unreclaimable, 5 * GIB + 512 * MIB);
    assert_int_equal(t->s.node.psi_some_usec, 77);
    assert_int_equal(t->s.node.psi_full_usec, 11);
    assert_int_equal(t->s.node.swap_effective, 0);
}

/* More free and file than there is in all: read at different moments, or a liar. */
static void test_figures_that_disagree(void **state)
{
    struct tree *t = *state;

    tree_meminfo(t, &(struct tree_meminfo){.total = 4 * GIB, .free = 3 * GIB, .file = 2 * GIB});
    tree_open(t, false);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.unreclaimable, 0);
    fixture_write(t->f, "proc/meminfo",
                  "MemTotal: 4194304 kB\nMemFree: 18014398509481983 kB\nActive(file): 18014398509481983 kB\n"
                  "Inactive(file): 18014398509481983 kB\nMemAvailable: 1 kB\n");
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.unreclaimable, 0); /* the sum of these is over 64 bits */
}

/* Swap on disk counts as it is; zram is bounded by what it can hold, and its pool is no memory to share. */
static void test_swap_areas(void **state)
{
    struct tree *t = *state;

    tree_meminfo(t, &(struct tree_meminfo){.total = 4 * GIB,
                                           .free = GIB,
                                           .available = GIB,
                                           .anon = 2 * GIB,
                                           .swap_total = 8 * GIB,
                                           .swap_free = 7 * GIB});
    fixture_write(t->f, "proc/swaps",
                  "Filename Type Size Used Priority\n/dev/vdb partition 2097152 1048576 -2\n"
                  "/dev/zram0 partition 6291456 0 100\n");
    fixture_write(t->f, "sys/block/zram0/mm_stat", "0 0 268435456 0 0 0 0 0 0\n");
    tree_open(t, false);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.node.total, 4 * GIB - 256 * MIB);
    assert_int_equal(t->s.node.swap_effective,
                     GIB + 2 * GIB + 512 * MIB); /* disk; as much as is resident; 2 x the pool */
    fixture_write(t->f, "proc/swaps", "Filename Type Size Used Priority\n/dev/vdb partition many 0 -2\n");
    assert_int_equal(tree_look(t, 0), -EBADMSG);
}

/* The kinds of memory: which of them count as used is the whole matter. Restates Ray's
 * TestMonitorDetectsMemoryAboveThresholdCallbackExecuted and …BelowThreshold… (current less file pages),
 * TestTakeCgroupv2SnapshotReturnsCorrectAnonAndShmem, and #28074, #35989: file pages never count. */
static void test_what_is_used(void **state)
{
    static const struct {
        struct tree_stat stat;
        uint64_t used;
    } rows[] = {
        {{.anon = 3 * GIB}, 3 * GIB},
        {{.file = 6 * GIB}, 0},
        {{.anon = GIB, .file = 5 * GIB}, GIB},
        {{.file = 2 * GIB, .shmem = 2 * GIB}, 2 * GIB}, /* shmem is in file, too, and cannot be dropped */
        {{.kernel = 700 * MIB}, 700 * MIB},             /* a pipe hog holds nothing else */
        {{.kernel = 700 * MIB, .slab_reclaimable = 600 * MIB}, 100 * MIB}, /* dentries */
        {{.kernel = 1, .slab_reclaimable = 600 * MIB}, 0},
        {{.sock = 64 * MIB}, 64 * MIB},
        {{.anon = 1, .file = 2, .shmem = 4, .kernel = 24, .slab_reclaimable = 8, .sock = 32}, 53},
        {{.anon = UINT64_MAX, .shmem = UINT64_MAX}, UINT64_MAX},
    };
    struct tree *t = *state;

    tree_open(t, true);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        tree_stat(t, WORK, &rows[i].stat);
        assert_int_equal(tree_look(t, i), 0);
        assert_true(t->s.workloads[0].id != 0);
        assert_int_equal(t->s.workloads[0].used, rows[i].used);
        assert_int_equal(t->s.workloads[0].file, rows[i].stat.file);
    }
}

static void test_refaults_are_pages(void **state)
{
    struct tree *t = *state;

    tree_stat(t, WORK, &(struct tree_stat){.rest = "workingset_refault_anon 3\nworkingset_refault_file 4\n"});
    tree_open(t, true);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.workloads[0].refault_bytes, 3 * 4096);
    tree_stat(t, WORK, &(struct tree_stat){.rest = "workingset_refault_anon 18446744073709551615\n"});
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.workloads[0].refault_bytes, UINT64_MAX);
}

/* Shared memory that the protected slice was charged for counts against the workload only above
 * SystemReserve. */
static void test_shmem_of_the_protected(void **state)
{
    static const struct {
        uint64_t outside, used;
    } rows[] = {{GIB, 3 * GIB}, {2 * GIB, 3 * GIB}, {4 * GIB, 5 * GIB}};
    struct tree *t = *state;

    t->config.system_reserve = (struct amount){AMOUNT_BYTES, 2 * GIB};
    tree_stat(t, WORK, &(struct tree_stat){.anon = 2 * GIB, .shmem = GIB, .file = GIB});
    tree_open(t, true);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct room_state st = {0};
        struct room r;

        tree_meminfo(t, &(struct tree_meminfo){.total = TREE_TOTAL,
                                               .free = 7 * GIB - rows[i].outside,
                                               .available = 7 * GIB - rows[i].outside});
        assert_int_equal(tree_look(t, 0), 0);
        room_evaluate(&t->config, &t->s, &st, &r);
        assert_int_equal(r.used, rows[i].used);
        assert_int_equal(r.limit, 8 * GIB);
    }
}

/* memory.high and memory.max, its own and those above it. Restates Ray's
 * TestThresholdTracksRuntimeCgroupLimitChanges: what is set while we run is seen at the next look. */
static void test_bounds(void **state)
{
    struct tree *t = *state;
    const struct workload *w = &t->s.workloads[0];

    t->config.workload_count = 0;
    tree_slice(t, "a");
    tree_slice(t, "a/b");
    tree_slice(t, "a/b/work");
    tree_workload(t, "a/b/work");
    tree_open(t, true);
    assert_int_equal(tree_look(t, 0), 0);
    assert_true(w->max == UINT64_MAX && w->high == UINT64_MAX && w->foreign_high == UINT64_MAX);

    tree_write_u64(t, "a/b/work", "memory.max", 3 * GIB);
    tree_write_u64(t, "a/b/work", "memory.high", 2 * GIB);
    assert_int_equal(tree_look(t, 1), 0);
    assert_int_equal(w->max, 3 * GIB);
    assert_int_equal(w->high, 2 * GIB);
    assert_int_equal(w->foreign_high, 2 * GIB);

    tree_write_u64(t, "a", "memory.max", 2 * GIB);
    tree_write_u64(t, "a/b", "memory.high", GIB);
    assert_int_equal(tree_look(t, 2 * USEC_PER_SEC), 0); /* those above are read every 2 s */
    assert_int_equal(w->max, 2 * GIB);
    assert_int_equal(w->high, 2 * GIB);
    assert_int_equal(w->foreign_high, GIB);
}

static void test_swap_room(void **state)
{
    struct tree *t = *state;
    const struct workload *w = &t->s.workloads[0];

    tree_open(t, true);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(w->swap_room, UINT64_MAX);
    tree_write_u64(t, WORK, "memory.swap.max", 5 * MIB);
    tree_write_u64(t, WORK, "memory.swap.current", 2 * MIB);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(w->swap_room, 3 * MIB);
    assert_int_equal(t->s.workloads[0].swap, t->s.node.swap_total > 0 ? 2 * MIB : 0);
    tree_write_u64(t, WORK, "memory.swap.max", MIB); /* lowered below what is out already */
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(w->swap_room, 0);
    tree_remove(t, WORK "/memory.swap.max");        /* swap accounting is off: */
    workload_handle_close(&t->reader.workloads[0]); /* since the start, so it was not there then */
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(w->swap_room, UINT64_MAX);
}

static void test_pressure(void **state)
{
    struct tree *t = *state;

    tree_write(t, WORK, "memory.pressure",
               "some avg10=0.00 avg60=0.00 avg300=0.00 total=500\n"
               "full avg10=0.00 avg60=0.00 avg300=0.00 total=300\n");
    tree_open(t, true);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.workloads[0].psi_some_usec, 500);
    assert_int_equal(t->s.workloads[0].psi_full_usec, 300);
    tree_close(t);
    tree_remove(t, WORK "/memory.pressure"); /* psi=0: no reason not to look */
    tree_open(t, true);
    assert_int_equal(tree_look(t, 0), 0);
    assert_true(t->s.workloads[0].id != 0);
    assert_int_equal(t->s.workloads[0].psi_full_usec, 0);
}

/* Not there at start, then there, then gone, then one of the same name: each with its own id, and 0 between.
 */
static void test_workload_comes_and_goes(void **state)
{
    struct tree *t = *state;
    uint64_t first;

    tree_remove(t, WORK);
    tree_open(t, true);
    assert_int_equal(tree_look(t, 0), 0);
    assert_int_equal(t->s.workload_count, 1);
    assert_int_equal(t->s.workloads[0].id, 0);
    assert_string_equal(t->s.workloads[0].path, WORK);
    assert_int_equal(t->s.workloads[0].used, 0);
    assert_int_equal(t->s.workloads[0].max, UINT64_MAX);

    tree_slice(t, WORK);
    tree_stat(t, WORK, &(struct tree_stat){.anon = GIB});
    assert_int_equal(tree_look(t, 1), 0);
    first = t->s.workloads[0].id;
    assert_true(first != 0);
    assert_int_equal(t->s.workloads[0].used, GIB);
    assert_int_equal(tree_look(t, 2), 0);
    assert_int_equal(t->s.workloads[0].id, first);
}

static void test_find_workloads(void **state)
{
    struct tree *t = *state;

    t->config.workload_auto = true;
    tree_slice(t, "user.slice");
    tree_slice(t, "system.slice");
    tree_leaf(t, "machine.slice", "", 0); /* empty */
    tree_open(t, true);
    assert_int_equal(t->reader.workload_count, 2);
    assert_string_equal(t->reader.workloads[0].path, WORK);
    assert_string_equal(t->reader.workloads[1].path, "user.slice");

    t->config.workload_auto = false; /* what is named is guarded, there or not */
    tree_workload(t, "later.slice");
    assert_int_equal(snapshot_reader_find_workloads(&t->reader), 1);
    assert_int_equal(t->reader.workload_count, 2);
    assert_string_equal(t->reader.workloads[1].path, "later.slice");
    assert_int_equal(t->reader.workloads[1].id, 0);
}

/* What is recorded on three kernels reads without a complaint, and adds up. */
static void test_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;
    static struct tree t;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        int root = recorded_open(trees[i], ".");

        memset(&t, 0, sizeof(t));
        config_init_defaults(&t.config);
        assert_int_equal(hierarchy_open(root, &t.hierarchy), 0);
        assert_int_equal(snapshot_reader_init(&t.reader, root, &t.hierarchy, &t.config, t.handles, 16), 0);
        t.reader.isolate = true;
        assert_int_equal(snapshot_reader_find_workloads(&t.reader), 1);
        t.s.groups = t.groups;
        t.s.group_max = TREE_GROUPS_MAX;
        tree_expect_groups(&t, 3600 * USEC_PER_SEC, "workload.slice/task-1 workload.slice/task-2");
        assert_true(t.s.node.total > 256 * MIB && t.s.node.total <= t.s.node.mem_total);
        assert_true(t.s.workloads[0].used > 0 && t.s.workloads[0].used <= t.s.workloads[0].current);
        assert_true(t.s.workloads[0].used <= t.s.node.unreclaimable);
        assert_true(t.groups[0].anon > 0 && t.groups[0].birth_usec < 3600 * USEC_PER_SEC);
        snapshot_reader_deinit(&t.reader);
        hierarchy_close(&t.hierarchy);
        close_fdp(&root);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_node_figures),
        TEST(test_figures_that_disagree),
        TEST(test_swap_areas),
        TEST(test_what_is_used),
        TEST(test_refaults_are_pages),
        TEST(test_shmem_of_the_protected),
        TEST(test_bounds),
        TEST(test_swap_room),
        TEST(test_pressure),
        TEST(test_workload_comes_and_goes),
        TEST(test_find_workloads),
        cmocka_unit_test(test_recorded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
