/* The plan of memory QoS: the KEP's worked values, each row of its table of classes, what is left alone, who
 * asks for too much, and what holds of any tree. */
#include "policy.h"

#include "policy/qos.h"

#define PAGE UINT64_C(4096)
#define CGROUPS_MAX 64
#define NONE UINT64_MAX

static struct config config;
static struct qos_node node;
static struct qos_cgroup cgroups[CGROUPS_MAX];
static struct qos_excess excess;
static unsigned count;

/* 10 GiB, of which 8 are to be had; nothing is configured. */
static int setup(void **state _unused_)
{
    node_config(&config);
    node = (struct qos_node){NODE_TOTAL, NODE_LIMIT, 4 * GIB, 0, PAGE};
    memset(cgroups, 0, sizeof(cgroups));
    count = 0;
    return 0;
}

static struct qos_cgroup *add(struct qos_cgroup *parent, const char *path)
{
    struct qos_cgroup *g = &cgroups[count++];

    assert_true(count <= CGROUPS_MAX);
    *g = (struct qos_cgroup){.id = count, .limit_bytes = NONE, .request_known = true};
    (void)snprintf(g->path, sizeof(g->path), "%s", path);
    g->parent = parent ? (unsigned)(parent - cgroups) : QOS_NONE;
    g->files = QOS_KNOB_BIT(QOS_KNOBS) - 1;
    for (unsigned k = 0; k < QOS_KNOBS; k++) {
        bool limit = k == QOS_MEMORY_HIGH || k == QOS_MEMORY_MAX || k == QOS_SWAP_MAX || k == QOS_ZSWAP_MAX;

        g->now[k] = g->foreign[k] = limit ? NONE : 0;
    }
    (void)kube_place_parse(path, &g->kube);
    return g;
}

static struct qos_cgroup *add_group(struct qos_cgroup *parent, const char *path, enum qos tier,
                                    uint64_t request, uint64_t limit)
{
    struct qos_cgroup *g = add(parent, path);

    g->tier = tier;
    g->request_bytes = request;
    g->limit_bytes = limit;
    return g;
}

/* A container: its limit is what its runtime has set. */
static struct qos_cgroup *add_container(struct qos_cgroup *pod, const char *path, enum qos tier,
                                        uint64_t request, uint64_t limit)
{
    struct qos_cgroup *g = add_group(pod, path, tier, request, limit);

    assert_int_equal(g->kube.kind, KUBE_CONTAINER);
    g->now[QOS_MEMORY_MAX] = g->foreign[QOS_MEMORY_MAX] = limit;
    return g;
}

static void plan(void)
{
    assert_int_equal(qos_plan(&config, &node, cgroups, count, &excess), QOS_GOOD);
}

#define assert_set(g, k, expected, reason)                                                                   \
    do {                                                                                                     \
        assert_true(qos_is_set((g), (k)));                                                                   \
        assert_int_equal((g)->plan[k].value, (expected));                                                    \
        assert_int_equal((g)->plan[k].why, (reason));                                                        \
    } while (0)

#define assert_left(g, k, reason)                                                                            \
    do {                                                                                                     \
        assert_false(qos_is_set((g), (k)));                                                                  \
        assert_int_equal((g)->plan[k].why, (reason));                                                        \
    } while (0)

/* ---- formulas ---- */

static void test_worked_values_of_the_kep(void **state _unused_)
{
    static const struct {
        uint64_t request, limit;
        unsigned factor;
        uint64_t high;
    } table[] = {
        {500 * MIB, 1000 * MIB, 9000, 950 * MIB}, /* KEP-2570 */
        {500 * MIB, 1000 * MIB, 6000, 800 * MIB},
        {1000 * MIB, 1000 * MIB, 9000, NONE}, /* R = L: max */
        {0, 1000 * MIB, 9000, 900 * MIB},     /* a limit alone */
        {0, 1000 * MIB, 10000, 1000 * MIB},
        {500 * MIB, 1000 * MIB, 0, NONE}, /* v1.37: nil writes none */
        {500 * MIB, 1000 * MIB, 1, 500 * MIB + 12 * PAGE},
        {1001 * MIB, 1000 * MIB, 9000, NONE},
        {1, PAGE + 1, 10000, PAGE},                       /* rounded down */
        {0, NONE - 1, 9000, NONE / 10 * 9 / PAGE * PAGE}, /* in 128 bits */
        {0, NONE, 9000, NONE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_int_equal(qos_memory_high(table[i].request, table[i].limit, table[i].factor, PAGE),
                         table[i].high);
    /* Pages of 64 KiB. */
    assert_int_equal(qos_memory_high(0, 1000 * MIB + 65536, 9000, 65536),
                     (1000 * MIB + 65536) / 10 * 9 / 65536 * 65536);
}

static void test_guaranteed_min(void **state _unused_)
{
    assert_int_equal(qos_guaranteed_min(1000 * MIB, 1000 * MIB, PAGE), 980 * MIB);
    assert_int_equal(qos_guaranteed_min(500 * MIB, 1000 * MIB, PAGE), 500 * MIB);
    assert_int_equal(qos_guaranteed_min(GIB, 8 * GIB, PAGE), GIB);
    assert_int_equal(qos_guaranteed_min(NONE, NONE, PAGE), page_floor(NONE - NONE / 50));
    assert_int_equal(qos_guaranteed_min(5000, 5000, PAGE), PAGE);
    assert_int_equal(qos_guaranteed_min(0, 0, PAGE), 0);
}

/* KEP-2400's example: 40 G of memory and of swap, of which 2 are the system's; 20 G requested get 19 G. */
static void test_swap_share(void **state _unused_)
{
    assert_int_equal(qos_share(20 * GIB, 40 * GIB, 38 * GIB, PAGE), 19 * GIB);
    assert_int_equal(qos_share(20 * GIB, 40 * GIB, 40 * GIB, PAGE), 20 * GIB);
    assert_int_equal(qos_share(0, 40 * GIB, 40 * GIB, PAGE), 0);
    assert_int_equal(qos_share(50 * GIB, 40 * GIB, 40 * GIB, PAGE), 40 * GIB);
    assert_int_equal(qos_share(1, 0, 5 * GIB, PAGE), 0);
    assert_int_equal(qos_share(NONE, NONE, NONE - 1, PAGE), page_floor(NONE - 1));
}

static void test_score(void **state _unused_)
{
    assert_int_equal(qos_score(0), 1000);
    assert_int_equal(qos_score(500), 500);
    assert_int_equal(qos_score(999), 1); /* still before the system */
    assert_int_equal(qos_score(1000), -999);
}

/* ---- the table of classes, KEP-2570 as of v1.37, with TieredReservation ---- */

#define POD_G "kubepods.slice/kubepods-pod0c8c8dc3_1a2b_4c3d_8e9f_112233445566.slice"
#define POD_B                                                                                                \
    "kubepods.slice/kubepods-burstable.slice/"                                                               \
    "kubepods-burstable-pod1c8c8dc3_1a2b_4c3d_8e9f_112233445566.slice"
#define POD_E                                                                                                \
    "kubepods.slice/kubepods-besteffort.slice/"                                                              \
    "kubepods-besteffort-pod2c8c8dc3_1a2b_4c3d_8e9f_112233445566.slice"

static struct kubes {
    struct qos_cgroup *root, *guaranteed, *burstable, *besteffort;
    struct qos_cgroup *pod_g, *pod_b, *pod_e;
    struct qos_cgroup *g1, *g2, *b1, *b2, *b3, *e1;
} kube;

static void add_kubernetes(void)
{
    kube.root = add(NULL, "kubepods.slice");
    kube.pod_g = add(kube.root, POD_G);
    kube.g1 = add_container(kube.pod_g, POD_G "/cri-containerd-00112233445a.scope", QOS_GUARANTEED, GIB, GIB);
    kube.g2 = add_container(kube.pod_g, POD_G "/cri-containerd-00112233445b.scope", QOS_GUARANTEED, 500 * MIB,
                            500 * MIB);
    kube.burstable = add(kube.root, "kubepods.slice/kubepods-burstable.slice");
    kube.pod_b = add(kube.burstable, POD_B);
    kube.b1 =
        add_container(kube.pod_b, POD_B "/crio-00112233445c.scope", QOS_BURSTABLE, 500 * MIB, 1000 * MIB);
    kube.b2 = add_container(kube.pod_b, POD_B "/crio-00112233445d.scope", QOS_BURSTABLE, 1000 * MIB, NONE);
    kube.b3 =
        add_container(kube.pod_b, POD_B "/crio-00112233445e.scope", QOS_BURSTABLE, 200 * MIB, 200 * MIB);
    kube.besteffort = add(kube.root, "kubepods.slice/kubepods-besteffort.slice");
    kube.pod_e = add(kube.besteffort, POD_E);
    kube.e1 = add_container(kube.pod_e, POD_E "/docker-00112233445f.scope", QOS_BESTEFFORT, 0, NONE);
    for (unsigned i = 0; i < count; i++)
        if (cgroups[i].kube.kind == KUBE_NONE)
            fail_msg("%s is not Kubernetes'", cgroups[i].path);
}

static void test_table_guaranteed(void **state _unused_)
{
    config.kubelet_knobs = KUBELET_KNOBS_SET;
    add_kubernetes();
    plan();
    /* container: no memory.high; memory.min = R less the gap (deviation); memory.max is its runtime's */
    assert_left(kube.g1, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    assert_set(kube.g1, QOS_MEMORY_MIN, page_floor(GIB - GIB / 50), QOS_WHY_REQUEST_CUT);
    assert_left(kube.g1, QOS_MEMORY_LOW, QOS_WHY_NOTHING);
    assert_left(kube.g1, QOS_MEMORY_MAX, QOS_WHY_NOTHING);
    /* pod: the sum */
    assert_set(kube.pod_g, QOS_MEMORY_MIN, page_floor(GIB - GIB / 50) + 490 * MIB, QOS_WHY_CHILDREN);
    assert_left(kube.pod_g, QOS_MEMORY_LOW, QOS_WHY_NOTHING);
    assert_left(kube.pod_g, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    /* swap: none (KEP-2400) */
    assert_set(kube.g1, QOS_SWAP_MAX, 0, QOS_WHY_NO_SWAP);
}

static void test_table_burstable(void **state _unused_)
{
    config.kubelet_knobs = KUBELET_KNOBS_SET;
    add_kubernetes();
    plan();
    /* R and L; R only: L is the allocatable; R = L is skipped */
    assert_set(kube.b1, QOS_MEMORY_HIGH, 950 * MIB, QOS_WHY_FACTOR);
    assert_set(kube.b2, QOS_MEMORY_HIGH, page_floor(1000 * MIB + (NODE_LIMIT - 1000 * MIB) / 10 * 9 + 1),
               QOS_WHY_FACTOR);
    assert_left(kube.b3, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    assert_set(kube.b1, QOS_MEMORY_LOW, 500 * MIB, QOS_WHY_REQUEST);
    assert_left(kube.b1, QOS_MEMORY_MIN, QOS_WHY_NOTHING);
    /* pod and QoS cgroup: memory.low = the sum; min left 0; never a high */
    assert_set(kube.pod_b, QOS_MEMORY_LOW, 1700 * MIB, QOS_WHY_CHILDREN);
    assert_left(kube.pod_b, QOS_MEMORY_MIN, QOS_WHY_NOTHING);
    assert_left(kube.pod_b, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    assert_set(kube.burstable, QOS_MEMORY_LOW, 1700 * MIB, QOS_WHY_CHILDREN);
    assert_left(kube.burstable, QOS_MEMORY_MIN, QOS_WHY_NOTHING);
    assert_left(kube.burstable, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    /* swap: by its share; none where R = L */
    assert_set(kube.b1, QOS_SWAP_MAX, 200 * MIB, QOS_WHY_SWAP_SHARE);
    assert_set(kube.b3, QOS_SWAP_MAX, 0, QOS_WHY_NO_SWAP);
}

/* A limit alone: R = 0. */
static void test_table_burstable_limit_only(void **state _unused_)
{
    struct qos_cgroup *pod = add(NULL, POD_B);
    struct qos_cgroup *c = add_container(pod, POD_B "/crio-00112233445c.scope", QOS_BURSTABLE, 0, 1000 * MIB);

    plan();
    assert_set(c, QOS_MEMORY_HIGH, 900 * MIB, QOS_WHY_FACTOR);
    assert_left(c, QOS_MEMORY_LOW, QOS_WHY_NOTHING);
    assert_set(c, QOS_SWAP_MAX, 0, QOS_WHY_SWAP_SHARE);
}

/* kubernetes#137685: 0 = 0 must not be taken for guaranteed. */
static void test_table_besteffort(void **state _unused_)
{
    config.kubelet_knobs = KUBELET_KNOBS_SET;
    add_kubernetes();
    plan();
    assert_set(kube.e1, QOS_MEMORY_HIGH,
               page_floor(NODE_LIMIT / 10000 * 9000 + NODE_LIMIT % 10000 * 9000 / 10000), QOS_WHY_FACTOR);
    for (unsigned k = QOS_MEMORY_MIN; k <= QOS_MEMORY_LOW; k++) {
        assert_left(kube.e1, k, QOS_WHY_NOTHING);
        assert_left(kube.pod_e, k, QOS_WHY_NOTHING);
        assert_left(kube.besteffort, k, QOS_WHY_NOTHING);
    }
    assert_left(kube.pod_e, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    assert_set(kube.e1, QOS_SWAP_MAX, 0, QOS_WHY_NO_SWAP);
}

static void test_table_root(void **state _unused_)
{
    config.kubelet_knobs = KUBELET_KNOBS_SET;
    add_kubernetes();
    plan();
    assert_set(kube.root, QOS_MEMORY_MIN, page_floor(GIB - GIB / 50) + 490 * MIB + 1700 * MIB,
               QOS_WHY_CHILDREN);
    assert_set(kube.root, QOS_MEMORY_LOW, 1700 * MIB, QOS_WHY_CHILDREN); /* deviation */
    assert_left(kube.root, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
}

/* By default nothing of the kubelet's is touched, nor what would have no effect without it; memory.high and
 * swap of the containers, which nobody owns, are. */
static void test_kubelets_are_left_alone(void **state _unused_)
{
    const struct qos_cgroup *all[] = {NULL, NULL, NULL, NULL, NULL, NULL};

    add_kubernetes();
    plan();
    memcpy(all,
           (const struct qos_cgroup *[]){kube.root, kube.pod_g, kube.burstable, kube.pod_b, kube.besteffort,
                                         kube.pod_e},
           sizeof(all));
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (unsigned k = 0; k < QOS_KNOBS; k++)
            assert_left(all[i], k, k <= QOS_MEMORY_LOW ? QOS_WHY_KUBELET : QOS_WHY_NOTHING);
    assert_left(kube.g1, QOS_MEMORY_MIN, QOS_WHY_KUBELET_ABOVE);
    assert_left(kube.b1, QOS_MEMORY_LOW, QOS_WHY_KUBELET_ABOVE);
    assert_set(kube.b1, QOS_MEMORY_HIGH, 950 * MIB, QOS_WHY_FACTOR);
    assert_set(kube.b1, QOS_SWAP_MAX, 200 * MIB, QOS_WHY_SWAP_SHARE);
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = QOS_OOM_GROUP; k < QOS_KNOBS; k++)
            assert_false(qos_is_set(&cgroups[i], k)); /* oom_score_adj is input there */
    assert_left(kube.b1, QOS_SCORE, QOS_WHY_KUBELET);
}

static void test_unknown_request(void **state _unused_)
{
    add_kubernetes();
    kube.b1->request_known = false;
    plan();
    assert_left(kube.b1, QOS_MEMORY_HIGH, QOS_WHY_UNKNOWN);
    assert_left(kube.b1, QOS_SWAP_MAX, QOS_WHY_NOTHING);
    assert_left(kube.b1, QOS_MEMORY_LOW, QOS_WHY_NOTHING);
}

/* ---- groups of classes ---- */

static struct qos_cgroup *slice_with(enum qos tier, uint64_t request, uint64_t limit)
{
    return add_group(add(NULL, "workload.slice"), "workload.slice/a", tier, request, limit);
}

static void test_burstable_group(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, GIB, 2 * GIB);
    struct class_config *class = &config.classes[0];

    class->oom_group = true;
    class->zswap_writeback = false;
    g->now[QOS_ZSWAP_WRITEBACK] = g->foreign[QOS_ZSWAP_WRITEBACK] = 1;
    class->cpu_weight = 50;
    class->priority = 300;
    plan();
    assert_set(g, QOS_MEMORY_LOW, GIB, QOS_WHY_REQUEST);
    assert_set(g, QOS_MEMORY_HIGH, page_floor(GIB + GIB / 10 * 9), QOS_WHY_FACTOR);
    assert_set(g, QOS_MEMORY_MAX, 2 * GIB, QOS_WHY_LIMIT);
    assert_set(g, QOS_SWAP_MAX, page_floor(4 * GIB / 10), QOS_WHY_SWAP_SHARE);
    assert_left(g, QOS_ZSWAP_MAX, QOS_WHY_NOTHING);
    assert_set(g, QOS_OOM_GROUP, 1, QOS_WHY_OOM_GROUP);
    assert_set(g, QOS_ZSWAP_WRITEBACK, 0, QOS_WHY_ZSWAP_WRITEBACK);
    assert_set(g, QOS_CPU_WEIGHT, 50, QOS_WHY_CPU_WEIGHT);
    assert_set(g, QOS_SCORE, QOS_SCORE_ZERO + 700, QOS_WHY_PRIORITY);
    assert_set(&cgroups[0], QOS_MEMORY_LOW, GIB, QOS_WHY_CHILDREN);
    for (unsigned k = QOS_MEMORY_HIGH; k < QOS_KNOBS; k++)
        assert_left(&cgroups[0], k, QOS_WHY_NOTHING);
}

static void test_guaranteed_group(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_GUARANTEED, 0, GIB); /* a limit alone is the request, too */

    node.zswap_bytes = GIB;
    config.classes[0].priority = CONFIG_PRIORITY_PROTECTED;
    plan();
    assert_set(g, QOS_MEMORY_MIN, page_floor(GIB - GIB / 50), QOS_WHY_REQUEST_CUT);
    assert_left(g, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    assert_set(g, QOS_MEMORY_MAX, GIB, QOS_WHY_LIMIT);
    assert_set(g, QOS_SWAP_MAX, 0, QOS_WHY_NO_SWAP);
    assert_set(g, QOS_ZSWAP_MAX, 0, QOS_WHY_NO_SWAP);
    assert_set(g, QOS_SCORE, 1, QOS_WHY_PRIORITY);
    assert_left(g, QOS_OOM_GROUP, QOS_WHY_NOTHING);
    assert_left(g, QOS_CPU_WEIGHT, QOS_WHY_NOTHING);
}

static void test_nothing_to_reserve(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_GUARANTEED, 0, NONE);

    node.swap_bytes = 0;
    plan();
    for (unsigned k = 0; k < QOS_FILES; k++)
        assert_left(g, k, QOS_WHY_NOTHING);
    for (unsigned k = 0; k < QOS_KNOBS; k++)
        assert_left(&cgroups[0], k, QOS_WHY_NOTHING);
}

static void test_swap(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, GIB, NONE);

    node.zswap_bytes = 2 * GIB;
    plan();
    assert_set(g, QOS_ZSWAP_MAX, page_floor(2 * GIB / 10), QOS_WHY_SWAP_SHARE);
    config.classes[0].swap_max = (struct amount){AMOUNT_PERMYRIAD, 5000};
    g->tier = QOS_GUARANTEED;
    plan();
    assert_set(g, QOS_SWAP_MAX, 2 * GIB, QOS_WHY_SWAP_MAX); /* "unless said otherwise" */
    assert_left(g, QOS_ZSWAP_MAX, QOS_WHY_NOTHING);
    config.classes[0].swap_max = (struct amount){AMOUNT_BYTES, 5000};
    plan();
    assert_set(g, QOS_SWAP_MAX, PAGE, QOS_WHY_SWAP_MAX);
}

static void test_factor_of_the_class(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, 500 * MIB, 1000 * MIB);

    config.classes[0].throttle_permyriad = 6000;
    plan();
    assert_set(g, QOS_MEMORY_HIGH, 800 * MIB, QOS_WHY_FACTOR);
    config.classes[0].throttle_permyriad = 0;
    plan();
    assert_left(g, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
}

/* "only if above memory.min" */
static void test_high_never_below_min(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, 500 * MIB, 1000 * MIB);

    g->foreign[QOS_MEMORY_MIN] = 950 * MIB;
    plan();
    assert_left(g, QOS_MEMORY_HIGH, QOS_WHY_NOTHING);
    g->foreign[QOS_MEMORY_MIN] = 949 * MIB;
    plan();
    assert_set(g, QOS_MEMORY_HIGH, 950 * MIB, QOS_WHY_FACTOR);
}

static void test_others_are_tighter_or_protect_more(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, 500 * MIB, 1000 * MIB);

    g->foreign[QOS_MEMORY_LOW] = 600 * MIB;
    g->foreign[QOS_MEMORY_HIGH] = 700 * MIB;
    g->foreign[QOS_MEMORY_MAX] = 1000 * MIB;
    plan();
    assert_left(g, QOS_MEMORY_LOW, QOS_WHY_MORE);
    assert_left(g, QOS_MEMORY_HIGH, QOS_WHY_TIGHTER);
    assert_left(g, QOS_MEMORY_MAX, QOS_WHY_TIGHTER);
    /* What is above covers what stands below. */
    assert_set(&cgroups[0], QOS_MEMORY_LOW, 600 * MIB, QOS_WHY_CHILDREN);
    /* A tighter memory.max is the limit of the formula. */
    g->foreign[QOS_MEMORY_HIGH] = NONE;
    g->foreign[QOS_MEMORY_MAX] = 900 * MIB;
    plan();
    assert_set(g, QOS_MEMORY_HIGH, 860 * MIB, QOS_WHY_FACTOR);
}

/* Set below what is used, it would have the kernel kill in the group. */
static void test_limit_of_one_that_uses_more(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, 500 * MIB, 1024 * MIB);

    g->kept_bytes = 1024 * MIB;
    plan();
    assert_set(g, QOS_MEMORY_MAX, 1024 * MIB, QOS_WHY_LIMIT);
    g->kept_bytes++;
    plan();
    assert_set(g, QOS_MEMORY_MAX, 1040 * MIB, QOS_WHY_LIMIT_USED);
    g->kept_bytes = 3 * GIB;
    plan();
    assert_set(g, QOS_MEMORY_MAX, 3 * GIB + 16 * MIB, QOS_WHY_LIMIT_USED);
    /* Where it stands, it does not follow what is used upwards. */
    g->held = QOS_KNOB_BIT(QOS_MEMORY_MAX);
    g->now[QOS_MEMORY_MAX] = 2 * GIB;
    plan();
    assert_set(g, QOS_MEMORY_MAX, 2 * GIB, QOS_WHY_LIMIT_USED);
    g->now[QOS_MEMORY_MAX] = GIB;
    plan();
    assert_set(g, QOS_MEMORY_MAX, GIB, QOS_WHY_LIMIT);
    g->held = 0;
    plan();
    assert_set(g, QOS_MEMORY_HIGH, page_floor((5000 + 524 * 9) * MIB / 10), QOS_WHY_FACTOR);
    g->foreign[QOS_MEMORY_MAX] = 2 * GIB;
    plan();
    assert_left(g, QOS_MEMORY_MAX, QOS_WHY_TIGHTER);
    g->foreign[QOS_MEMORY_MAX] = NONE;
    g->kept_bytes = NONE;
    plan();
    assert_left(g, QOS_MEMORY_MAX, QOS_WHY_NOTHING);
}

static void test_absent_files(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, 500 * MIB, 1000 * MIB);

    g->files = 0;
    config.classes[0].oom_group = true;
    config.classes[0].cpu_weight = 7;
    plan();
    assert_left(g, QOS_MEMORY_LOW, QOS_WHY_ABSENT);
    assert_left(g, QOS_MEMORY_HIGH, QOS_WHY_ABSENT);
    assert_left(g, QOS_MEMORY_MAX, QOS_WHY_ABSENT);
    assert_left(g, QOS_SWAP_MAX, QOS_WHY_ABSENT);
    assert_left(g, QOS_OOM_GROUP, QOS_WHY_ABSENT);
    assert_left(g, QOS_CPU_WEIGHT, QOS_WHY_ABSENT);
}

static void test_the_workloads_brake_is_not_ours(void **state _unused_)
{
    struct qos_cgroup *g = add_group(NULL, "workload.slice", QOS_BURSTABLE, GIB, 2 * GIB);

    g->workload = true;
    plan();
    assert_left(g, QOS_MEMORY_HIGH, QOS_WHY_WORKLOAD);
    assert_set(g, QOS_MEMORY_MAX, 2 * GIB, QOS_WHY_LIMIT);
}

/* Killing it whole would kill other groups. */
static void test_oom_group_of_leaves_only(void **state _unused_)
{
    struct qos_cgroup *a = add_group(NULL, "a", QOS_BURSTABLE, GIB, NONE);
    struct qos_cgroup *b = add_group(add(a, "a/x"), "a/x/b", QOS_BURSTABLE, GIB, NONE);

    config.classes[0].oom_group = true;
    plan();
    assert_left(a, QOS_OOM_GROUP, QOS_WHY_NOTHING);
    assert_set(b, QOS_OOM_GROUP, 1, QOS_WHY_OOM_GROUP);
}

/* ---- too much ---- */

static void test_excess_of_the_node(void **state _unused_)
{
    struct qos_cgroup *slice = add(NULL, "workload.slice");

    add_group(slice, "workload.slice/a", QOS_BURSTABLE, 3 * GIB, NONE);
    add_group(slice, "workload.slice/b", QOS_GUARANTEED, 4 * GIB, NONE);
    add_group(add(NULL, "other.slice"), "other.slice/c", QOS_BURSTABLE, GIB, NONE);
    plan(); /* exactly all there is */
    cgroups[4].request_bytes = GIB + PAGE;
    assert_int_equal(qos_plan(&config, &node, cgroups, count, &excess), QOS_EXCESS);
    assert_int_equal(excess.where, QOS_NONE);
    assert_int_equal(excess.who, 2);
    assert_int_equal(excess.who_bytes, 4 * GIB);
    assert_int_equal(excess.asked_bytes, 8 * GIB + PAGE);
    assert_int_equal(excess.bound_bytes, 8 * GIB);
}

static void test_excess_of_a_subtree(void **state _unused_)
{
    struct qos_cgroup *slice = add(NULL, "workload.slice");

    slice->foreign[QOS_MEMORY_MAX] = GIB;
    add_group(slice, "workload.slice/a", QOS_BURSTABLE, 600 * MIB, NONE);
    add_group(slice, "workload.slice/b", QOS_BURSTABLE, 500 * MIB, NONE);
    assert_int_equal(qos_plan(&config, &node, cgroups, count, &excess), QOS_EXCESS);
    assert_int_equal(excess.where, 0);
    assert_int_equal(excess.who, 1);
    assert_int_equal(excess.bound_bytes, GIB);
}

static void test_excess_of_one(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_GUARANTEED, 2 * GIB, GIB);

    assert_int_equal(qos_plan(&config, &node, cgroups, count, &excess), QOS_EXCESS);
    assert_int_equal(excess.who, 1);
    assert_int_equal(excess.where, 1);
    g->tier = QOS_BURSTABLE;
    assert_int_equal(qos_plan(&config, &node, cgroups, count, &excess), QOS_EXCESS);
    g->tier = QOS_BESTEFFORT; /* asks for none */
    plan();
}

static void test_malformed(void **state _unused_)
{
    struct qos_cgroup *g = slice_with(QOS_BURSTABLE, GIB, NONE);

    g->parent = 1;
    assert_int_equal(qos_plan(&config, &node, cgroups, count, &excess), QOS_MALFORMED);
    g->parent = 0;
    g->class_index = config.class_count;
    assert_int_equal(qos_plan(&config, &node, cgroups, count, &excess), QOS_MALFORMED);
    assert_int_equal(qos_plan(&config, &node, cgroups, 0, &excess), QOS_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_worked_values_of_the_kep, setup),
        cmocka_unit_test_setup(test_guaranteed_min, setup),
        cmocka_unit_test_setup(test_swap_share, setup),
        cmocka_unit_test_setup(test_score, setup),
        cmocka_unit_test_setup(test_table_guaranteed, setup),
        cmocka_unit_test_setup(test_table_burstable, setup),
        cmocka_unit_test_setup(test_table_burstable_limit_only, setup),
        cmocka_unit_test_setup(test_table_besteffort, setup),
        cmocka_unit_test_setup(test_table_root, setup),
        cmocka_unit_test_setup(test_kubelets_are_left_alone, setup),
        cmocka_unit_test_setup(test_unknown_request, setup),
        cmocka_unit_test_setup(test_burstable_group, setup),
        cmocka_unit_test_setup(test_guaranteed_group, setup),
        cmocka_unit_test_setup(test_nothing_to_reserve, setup),
        cmocka_unit_test_setup(test_swap, setup),
        cmocka_unit_test_setup(test_factor_of_the_class, setup),
        cmocka_unit_test_setup(test_high_never_below_min, setup),
        cmocka_unit_test_setup(test_others_are_tighter_or_protect_more, setup),
        cmocka_unit_test_setup(test_limit_of_one_that_uses_more, setup),
        cmocka_unit_test_setup(test_absent_files, setup),
        cmocka_unit_test_setup(test_the_workloads_brake_is_not_ours, setup),
        cmocka_unit_test_setup(test_oom_group_of_leaves_only, setup),
        cmocka_unit_test_setup(test_excess_of_the_node, setup),
        cmocka_unit_test_setup(test_excess_of_a_subtree, setup),
        cmocka_unit_test_setup(test_excess_of_one, setup),
        cmocka_unit_test_setup(test_malformed, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
