/* What holds of the plan of any tree of cgroups. */
#include "policy.h"

#include "policy/qos.h"

#define PAGE UINT64_C(4096)
#define CGROUPS_MAX 24
#define TREES 100000
#define NONE UINT64_MAX

static struct config config;
static struct qos_node node;
static struct qos_cgroup cgroups[CGROUPS_MAX], again[CGROUPS_MAX];
static unsigned count;

static uint64_t random_bytes(uint64_t *seed, uint64_t bound)
{
    switch (random_below(seed, 8)) {
    case 0:
        return random_extreme(seed);
    case 1:
        return 0;
    default:
        return random_below(seed, bound);
    }
}

static bool is_limit(unsigned k)
{
    return k == QOS_MEMORY_HIGH || k == QOS_MEMORY_MAX || k == QOS_SWAP_MAX || k == QOS_ZSWAP_MAX;
}

static void random_kube(uint64_t *seed, struct qos_cgroup *g)
{
    static const enum kube_kind kinds[] = {KUBE_NONE, KUBE_NONE, KUBE_NONE, KUBE_NONE,     KUBE_ROOT,
                                           KUBE_TIER, KUBE_POD,  KUBE_POD,  KUBE_CONTAINER};

    g->kube.kind = kinds[random_below(seed, ARRAY_SIZE(kinds))];
    if (kube_kind_is_kubelets(g->kube.kind))
        g->tier = QOS_UNSET; /* their containers are the groups */
}

/* Others have set things, too, where `foreign` says so. */
static void random_cgroup(uint64_t *seed, unsigned i, uint64_t bound, bool foreign)
{
    struct qos_cgroup *g = &cgroups[i];

    memset(g, 0, sizeof(*g));
    g->id = i + 1;
    g->parent = i == 0 || random_below(seed, 6) == 0 ? QOS_NONE : (unsigned)random_below(seed, i);
    g->class_index = (unsigned)random_below(seed, config.class_count);
    g->tier = (enum qos)random_below(seed, 4);
    g->request_known = random_below(seed, 10) > 0;
    g->request_bytes = random_bytes(seed, bound);
    g->limit_bytes = random_below(seed, 2) ? NONE : u64_add_cap(g->request_bytes, random_bytes(seed, bound));
    g->kept_bytes = random_bytes(seed, bound);
    g->files = random_below(seed, 10) > 0 ? QOS_KNOB_BIT(QOS_KNOBS) - 1 : (unsigned)random_next(seed);
    random_kube(seed, g);
    for (unsigned k = 0; k < QOS_KNOBS; k++) {
        bool set = foreign && random_below(seed, 8) == 0;

        g->foreign[k] = set ? page_floor(random_below(seed, bound)) : is_limit(k) ? NONE : 0;
        g->now[k] = random_extreme(seed);
    }
}

static void random_tree(uint64_t seed)
{
    uint64_t s = seed, bound;
    bool foreign = random_below(&s, 2);

    node_config(&config);
    config.class_count = 3;
    config.kubelet_knobs = (enum kubelet_knobs)random_below(&s, 2);
    for (unsigned i = 0; i < config.class_count; i++) {
        struct class_config *c = &config.classes[i];

        class_config_init(c, "x");
        c->throttle_permyriad = (unsigned)random_below(&s, PERMYRIAD + 1);
        c->priority = (unsigned)random_below(&s, CONFIG_PRIORITY_PROTECTED + 1);
        c->oom_group = random_below(&s, 2);
        c->cpu_weight = (unsigned)random_below(&s, 3) * 5000;
        if (random_below(&s, 3) == 0)
            c->swap_max = (struct amount){AMOUNT_PERMYRIAD, random_below(&s, PERMYRIAD + 1)};
    }
    node.total_bytes = (random_below(&s, 512) + 1) * GIB;
    node.allocatable_bytes = random_below(&s, node.total_bytes);
    node.swap_bytes = random_below(&s, 2) * random_below(&s, node.total_bytes);
    node.zswap_bytes = random_below(&s, 2) * random_below(&s, node.total_bytes);
    node.page_bytes = PAGE;
    count = (unsigned)random_below(&s, CGROUPS_MAX) + 1;
    bound = node.allocatable_bytes / (random_below(&s, 3 * count) + 1) + 1;
    for (unsigned i = 0; i < count; i++)
        random_cgroup(&s, i, bound, foreign);
}

/* What stands once the plan is applied. */
static uint64_t effective(const struct qos_cgroup *g, enum qos_knob k)
{
    if (qos_is_set(g, k))
        return g->plan[k].value;
    return g->files & QOS_KNOB_BIT(k) ? g->foreign[k] : is_limit(k) ? NONE : 0;
}

static bool is_locked(unsigned i)
{
    for (; i != QOS_NONE; i = cgroups[i].parent)
        if (config.kubelet_knobs == KUBELET_KNOBS_LEAVE && kube_kind_is_kubelets(cgroups[i].kube.kind))
            return true;
    return false;
}

static uint64_t bound_of(unsigned i)
{
    uint64_t bound = node.allocatable_bytes;

    for (; i != QOS_NONE; i = cgroups[i].parent) {
        if (cgroups[i].files & QOS_KNOB_BIT(QOS_MEMORY_MAX))
            bound = u64_min(bound, cgroups[i].foreign[QOS_MEMORY_MAX]);
        if (cgroups[i].tier != QOS_UNSET)
            bound = u64_min(bound, cgroups[i].limit_bytes);
    }
    return bound;
}

/* The values themselves: whole pages, only tighter, only more, above nothing that there is not. */
static void check_values(uint64_t seed)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < QOS_KNOBS; k++) {
            const struct qos_cgroup *g = &cgroups[i];
            uint64_t v = g->plan[k].value;
            bool good = true;

            if (!qos_is_set(g, k))
                continue;
            if (k < QOS_FILES)
                good = g->files & QOS_KNOB_BIT(k);
            if (k <= QOS_ZSWAP_MAX)
                good = good && v % PAGE == 0 && (is_limit(k) ? v < g->foreign[k] : v > g->foreign[k]);
            if (k <= QOS_MEMORY_LOW)
                good = good && v <= bound_of(i) && !is_locked(i);
            if (k == QOS_MEMORY_MAX)
                good = good && v >= g->kept_bytes && v >= page_floor(g->limit_bytes);
            if (k == QOS_MEMORY_HIGH)
                good = good && v > effective(g, QOS_MEMORY_MIN) && v <= bound_of(i) && g->tier != QOS_UNSET;
            if (k == QOS_SWAP_MAX)
                good = good && v <= node.swap_bytes;
            if (k == QOS_SCORE)
                good = good && v > 0 && v <= 2000;
            if (k >= QOS_MEMORY_MAX && k != QOS_SWAP_MAX && k != QOS_ZSWAP_MAX)
                good = good && g->kube.kind == KUBE_NONE && g->tier != QOS_UNSET;
            if (!good)
                fail_msg("seed %ju: cgroup %u: %s=%ju", (uintmax_t)seed, i, qos_knob_name(k), (uintmax_t)v);
        }
}

/* Unless somebody else has set more in it than it could have. */
static void check_parents_cover(uint64_t seed)
{
    for (unsigned k = QOS_MEMORY_MIN; k <= QOS_MEMORY_LOW; k++)
        for (unsigned i = 0; i < count; i++) {
            const struct qos_cgroup *g = &cgroups[i];
            uint64_t sum = 0;

            if (is_locked(i) || !(g->files & QOS_KNOB_BIT(k)))
                continue;
            for (unsigned j = i + 1; j < count; j++)
                if (cgroups[j].parent == i && !is_locked(j))
                    sum = u64_add_cap(sum, effective(&cgroups[j], k));
            if (effective(g, k) < u64_min(sum, page_floor(bound_of(i))))
                fail_msg("seed %ju: cgroup %u: %s=%ju covers %ju", (uintmax_t)seed, i, qos_knob_name(k),
                         (uintmax_t)effective(g, k), (uintmax_t)sum);
        }
}

/* What we are asked to protect, not what others have set. */
static void check_capacity(uint64_t seed)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct qos_cgroup *g = &cgroups[i];

        if (g->parent != QOS_NONE)
            continue;
        for (unsigned k = QOS_MEMORY_MIN; k <= QOS_MEMORY_LOW; k++)
            if (effective(g, k) > u64_max(bound_of(i), g->foreign[k]))
                fail_msg("seed %ju: cgroup %u: %s", (uintmax_t)seed, i, qos_knob_name(k));
        sum = u64_add_cap(sum, g->work.asked);
    }
    if (sum > node.allocatable_bytes)
        fail_msg("seed %ju: %ju of %ju", (uintmax_t)seed, (uintmax_t)sum, (uintmax_t)node.allocatable_bytes);
}

/* Planned again once it stands: the same values, whether the leases are remembered (`forgotten` false) or
 * what is ours is taken for others'. */
static void check_idempotent(uint64_t seed, bool forgotten)
{
    struct qos_excess e;

    memcpy(again, cgroups, sizeof(again));
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < QOS_KNOBS; k++) {
            again[i].now[k] = effective(&cgroups[i], k);
            if (forgotten)
                again[i].foreign[k] = effective(&cgroups[i], k);
        }
    assert_int_equal(qos_plan(&config, &node, again, count, &e), QOS_GOOD);
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < QOS_KNOBS; k++)
            if (effective(&again[i], k) != effective(&cgroups[i], k))
                fail_msg("seed %ju: cgroup %u: %s=%ju, then %ju", (uintmax_t)seed, i, qos_knob_name(k),
                         (uintmax_t)effective(&cgroups[i], k), (uintmax_t)effective(&again[i], k));
}

static void check_excess(uint64_t seed, const struct qos_excess *e)
{
    bool good = e->asked_bytes > e->bound_bytes && e->who < count && e->who_bytes > 0 &&
                e->who_bytes <= e->asked_bytes && cgroups[e->who].tier != QOS_UNSET;
    unsigned i = e->who;

    while (good && i != e->where && i != QOS_NONE)
        i = cgroups[i].parent;
    if (!good || i != e->where)
        fail_msg("seed %ju: %u asks for %ju in %u, of %ju and %ju", (uintmax_t)seed, e->who,
                 (uintmax_t)e->who_bytes, e->where, (uintmax_t)e->asked_bytes, (uintmax_t)e->bound_bytes);
}

static void test_random_trees(void **state _unused_)
{
    unsigned good = 0;

    for (uint64_t seed = 1; seed <= TREES; seed++) {
        struct qos_excess e;
        enum qos_verdict v;

        random_tree(seed);
        v = qos_plan(&config, &node, cgroups, count, &e);
        assert_int_not_equal(v, QOS_MALFORMED);
        if (v == QOS_EXCESS) {
            check_excess(seed, &e);
            continue;
        }
        good++;
        check_values(seed);
        check_parents_cover(seed);
        check_capacity(seed);
        check_idempotent(seed, false);
        check_idempotent(seed, true);
    }
    /* Neither is rare, or half of this tests nothing. */
    print_message("%u of %u trees can be had\n", good, TREES);
    assert_in_range(good, TREES / 5, TREES / 5 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_trees)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
