/* Which cgroups are planned: groups of classes with QoS=, what they are in, and Kubernetes' containers with
 * what their paths, memory.max and oom_score_adj tell. */
#include "tree.h"

#include "snapshot/qos.h"

#define WORK "workload.slice"
#define TIER "kubepods.slice/kubepods-burstable.slice"
#define POD TIER "/kubepods-burstable-pod0c8c8dc3_1a2b_4c3d_8e9f_112233445566.slice"
#define CONTAINER POD "/crio-3fbd8f0e7a1c5b9d2e4f60718293a4b5.scope"
#define CGROUPS_MAX 16

static struct qos_cgroup cgroups[CGROUPS_MAX];
static struct qos_tree qos = {.cgroups = cgroups, .max = CGROUPS_MAX};

static void cgroup(struct tree *t, const char *path, const char *procs)
{
    tree_cgroup(t, path, procs, true, 0);
    tree_write(t, path, "memory.min", "0\n");
    tree_write(t, path, "memory.low", "4096\n");
}

static int setup(void **state)
{
    struct tree *t;

    if (tree_setup(state) < 0)
        return -1;
    t = *state;
    qos.max = CGROUPS_MAX;
    cgroup(t, WORK, "");
    tree_workload(t, WORK);
    tree_process(t, &(struct tree_process){.pid = 101, .start_sec = 5, .oom_score_adj = 600});
    tree_process(t, &(struct tree_process){.pid = 102, .start_sec = 5, .oom_score_adj = 500});
    return 0;
}

/* The paths in the order of the rows, each with the number of its parent (-: the root), groups with a star.
 */
static void expect(struct tree *t, const char *expected)
{
    char text[4096] = "";
    size_t n = 0;

    tree_open(t, true);
    assert_int_equal(tree_look(t, 1000 * USEC_PER_SEC), 0);
    assert_int_equal(qos_read_tree(&t->reader, &t->s, &qos), 0);
    for (unsigned i = 0; i < qos.count; i++) {
        const struct qos_cgroup *g = &cgroups[i];
        char parent[16] = "-";

        if (g->parent != QOS_NONE)
            (void)snprintf(parent, sizeof(parent), "%u", g->parent);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s%s", i ? ", " : "", parent, g->path,
                              g->tier != QOS_UNSET ? "*" : "");
    }
    assert_string_equal(text, expected);
}

static void test_groups_of_classes(void **state)
{
    struct tree *t = *state;
    struct class_config *class = tree_class(t, "a", WORK "/a");

    cgroup(t, WORK "/a", "101\n");
    cgroup(t, WORK "/b", "102\n");
    expect(t, ""); /* QoS= is not set */
    class->qos = QOS_BURSTABLE;
    class->request = (struct amount){AMOUNT_PERMYRIAD, 1000};
    class->limit = (struct amount){AMOUNT_BYTES, 2 * GIB};
    expect(t, "- " WORK ", 0 " WORK "/a*");
    assert_true(cgroups[0].workload && !cgroups[1].workload);
    assert_int_equal(cgroups[1].class_index, 0);
    assert_int_equal(cgroups[1].request_bytes, GIB);
    assert_int_equal(cgroups[1].limit_bytes, 2 * GIB);
    assert_true(cgroups[1].request_known);
    assert_int_equal(cgroups[1].kept_bytes, 0);
    tree_write_u64(t, WORK "/a", "memory.current", GIB);
    expect(t, "- " WORK ", 0 " WORK "/a*");
    assert_int_equal(cgroups[1].kept_bytes, GIB);
    /* Over its limit, page cache does not count. */
    tree_write_u64(t, WORK "/a", "memory.current", 3 * GIB);
    tree_write(t, WORK "/a", "memory.stat", "anon\n");
    expect(t, "- " WORK ", 0 " WORK "/a*");
    assert_int_equal(cgroups[1].kept_bytes, 3 * GIB); /* it cannot be told */
    tree_write(t, WORK "/a", "memory.stat",
               "anon 104857600\nfile 2147483648\nkernel 8388608\nsock 4096\nshmem 1048576\n"
               "slab_reclaimable 4194304\n");
    expect(t, "- " WORK ", 0 " WORK "/a*");
    assert_int_equal(cgroups[1].kept_bytes, 104857600 + 8388608 + 4096 + 1048576 - 4194304);
    assert_int_equal(cgroups[1].protected_cache_bytes, 0);
    tree_write_u64(t, WORK "/a", "memory.min", GIB);
    expect(t, "- " WORK ", 0 " WORK "/a*");
    assert_int_equal(cgroups[1].protected_cache_bytes, GIB - cgroups[1].kept_bytes);
    tree_write_u64(t, WORK "/a", "memory.current", GIB / 2); /* there is no more than that */
    expect(t, "- " WORK ", 0 " WORK "/a*");
    assert_int_equal(cgroups[1].kept_bytes, GIB / 2);
    assert_int_equal(cgroups[1].protected_cache_bytes,
                     GIB / 2 - (104857600 + 8388608 + 4096 + 1048576 - 4194304));
    tree_write_u64(t, WORK "/a", "memory.min", 0);
    assert_int_equal(cgroups[1].now[QOS_MEMORY_LOW], 4096);
    assert_int_equal(cgroups[1].foreign[QOS_MEMORY_HIGH], UINT64_MAX);
    assert_int_equal(cgroups[1].now[QOS_SCORE], QOS_SCORE_ZERO + 600);
    assert_false(cgroups[1].files & QOS_KNOB_BIT(QOS_CPU_WEIGHT)); /* no such file */
    tree_write(t, WORK "/a", "memory.low", "a lot\n");
    expect(t, "- " WORK ", 0 " WORK "/a*");
    assert_false(cgroups[1].files & QOS_KNOB_BIT(QOS_MEMORY_LOW)); /* not acted on */
    class->unit = UNIT_PROCESS;
    expect(t, "");
}

static void test_what_is_over_or_protected(void **state)
{
    struct tree *t = *state;

    tree_class(t, "a", WORK "/*")->qos = QOS_BESTEFFORT;
    cgroup(t, WORK "/a", "101\n");
    cgroup(t, WORK "/b", "102\n");
    cgroup(t, WORK "/c", "102\n");
    tree_populate(t, WORK "/a", false);
    tree_protect(t, WORK "/b");
    expect(t, "- " WORK ", 0 " WORK "/c*");
    fixture_write(t->f, "proc/self/cgroup", "0::/" WORK "/c/headroom.service\n");
    expect(t, "");
}

/* The deepest that holds processes, as for every other purpose. */
static void test_other(void **state)
{
    struct tree *t = *state;

    t->config.classes[0].qos = QOS_BESTEFFORT;
    cgroup(t, WORK "/s", "");
    cgroup(t, WORK "/s/a", "101\n");
    cgroup(t, WORK "/session-2.scope", "102\n");
    expect(t, "- " WORK ", 0 " WORK "/s, 1 " WORK "/s/a*");
}

static void test_workloads_with_a_common_parent(void **state)
{
    struct tree *t = *state;

    tree_class(t, "a", "x.slice/*/*")->qos = QOS_BESTEFFORT;
    cgroup(t, "x.slice", "");
    for (unsigned i = 0; i < 2; i++) {
        cgroup(t, i ? "x.slice/b" : "x.slice/a", "");
        cgroup(t, i ? "x.slice/b/g" : "x.slice/a/g", "101\n");
        tree_workload(t, i ? "x.slice/b" : "x.slice/a");
    }
    expect(t, "- x.slice, 0 x.slice/a, 1 x.slice/a/g*, 0 x.slice/b, 3 x.slice/b/g*");
}

static void test_no_place(void **state)
{
    struct tree *t = *state;

    tree_class(t, "a", WORK "/*")->qos = QOS_BESTEFFORT;
    cgroup(t, WORK "/a", "101\n");
    cgroup(t, WORK "/b", "102\n");
    qos.max = 2;
    tree_open(t, true);
    assert_int_equal(tree_look(t, 1000 * USEC_PER_SEC), 0);
    assert_int_equal(qos_read_tree(&t->reader, &t->s, &qos), 0);
    assert_int_equal(qos.count, 2);
    assert_int_equal(qos.left_out, 1);
}

/* ---- Kubernetes ---- */

static void kubernetes(struct tree *t)
{
    t->config.workload_count = 0;
    tree_workload(t, "kubepods.slice");
    cgroup(t, "kubepods.slice", "");
    cgroup(t, TIER, "");
    cgroup(t, POD, "");
    cgroup(t, CONTAINER, "");
    cgroup(t, CONTAINER "/container", "101\n102\n"); /* crio's, or a delegated one */
    tree_write_u64(t, CONTAINER, "memory.max", 8 * GIB);
    t->config.classes[t->config.class_count - 1].qos = QOS_KUBERNETES;
}

#define ROWS "- kubepods.slice, 0 " TIER ", 1 " POD ", 2 " CONTAINER "*"

static void test_container(void **state)
{
    struct tree *t = *state;
    const struct qos_cgroup *g = &cgroups[3];

    kubernetes(t);
    expect(t, ROWS);
    assert_int_equal(cgroups[2].kube.kind, KUBE_POD);
    assert_int_equal(g->tier, QOS_BURSTABLE);
    assert_string_equal(g->kube.pod, "0c8c8dc3-1a2b-4c3d-8e9f-112233445566");
    assert_int_equal(g->limit_bytes, 8 * GIB);
    assert_true(g->request_known);
    assert_int_equal(g->request_bytes, TREE_TOTAL / 2); /* of the least score of its processes: 500 */
    assert_false(g->files & QOS_KNOB_BIT(QOS_OOM_GROUP));
}

static void test_container_of_which_nothing_is_known(void **state)
{
    struct tree *t = *state;

    kubernetes(t);
    tree_process(t, &(struct tree_process){.pid = 102, .start_sec = 5, .oom_score_adj = -998});
    expect(t, ROWS);
    assert_false(cgroups[3].request_known);
    tree_write(t, CONTAINER "/container", "cgroup.procs", "");
    expect(t, ROWS);
    assert_false(cgroups[3].request_known);
}

/* A class may say it better, of the container or of its pod. */
static void test_class_of_a_pod(void **state)
{
    struct tree *t = *state;
    struct class_config *class;

    kubernetes(t);
    class = tree_class(t, "db", TIER "/*");
    class->qos = QOS_GUARANTEED;
    class->request = (struct amount){AMOUNT_BYTES, GIB};
    expect(t, ROWS);
    assert_int_equal(cgroups[3].class_index, 0);
    assert_int_equal(cgroups[3].tier, QOS_GUARANTEED);
    assert_int_equal(cgroups[3].request_bytes, GIB);
    class->qos = QOS_UNSET; /* without a tier it is left out, whatever `other` has */
    expect(t, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_groups_of_classes),
        TEST(test_what_is_over_or_protected),
        TEST(test_other),
        TEST(test_workloads_with_a_common_parent),
        TEST(test_no_place),
        TEST(test_container),
        TEST(test_container_of_which_nothing_is_known),
        TEST(test_class_of_a_pod),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
