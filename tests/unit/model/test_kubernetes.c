/* Kubernetes' cgroups by their paths: both drivers' layouts, nested ones, and names that only look like them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/units.h"
#include "model/kubernetes.h"

#define UID "0c8c8dc3-1a2b-4c3d-8e9f-112233445566"
#define UID_SLICE "0c8c8dc3_1a2b_4c3d_8e9f_112233445566"
#define STATIC "8b3a1f0e5d6c7b8a9f0e1d2c3b4a5968" /* the hash of a static pod's file */
#define ID "3fbd8f0e7a1c5b9d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5"
#define G QOS_GUARANTEED
#define B QOS_BURSTABLE
#define E QOS_BESTEFFORT

static const struct {
    const char *path;
    enum kube_kind kind;
    enum qos tier;
    const char *pod;
    const char *container;
} places[] = {
    /* the systemd driver */
    {"kubepods.slice", KUBE_ROOT, QOS_UNSET, "", ""},
    {"kubepods.slice/kubepods-burstable.slice", KUBE_TIER, B, "", ""},
    {"kubepods.slice/kubepods-besteffort.slice", KUBE_TIER, E, "", ""},
    {"kubepods.slice/kubepods-pod" UID_SLICE ".slice", KUBE_POD, G, UID, ""},
    {"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE ".slice", KUBE_POD, B, UID,
     ""},
    {"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_SLICE ".slice", KUBE_POD, E, UID,
     ""},
    {"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" STATIC ".slice", KUBE_POD, B, STATIC,
     ""},
    {"kubepods.slice/kubepods-pod" UID_SLICE ".slice/cri-containerd-" ID ".scope", KUBE_CONTAINER, G, UID,
     ID},
    {"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE ".slice/cri-containerd-" ID
     ".scope",
     KUBE_CONTAINER, B, UID, ID},
    {"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE ".slice/crio-" ID ".scope",
     KUBE_CONTAINER, B, UID, ID},
    {"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_SLICE ".slice/docker-" ID
     ".scope",
     KUBE_CONTAINER, E, UID, ID},
    /* below and beside containers */
    {"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE ".slice/crio-" ID
     ".scope/container",
     KUBE_BELOW, B, UID, ID},
    {"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE ".slice/crio-conmon-" ID
     ".scope",
     KUBE_BELOW, B, UID, ""},
    {"kubepods.slice/kubepods-pod" UID_SLICE ".slice/init.scope", KUBE_BELOW, G, UID, ""},
    /* a kubelet in a pod of another: the outer one's container */
    {"kubepods/burstable/pod" UID "/" ID "/kubepods/pod" UID "/" ID, KUBE_BELOW, B, UID, ID},
    /* the cgroupfs driver */
    {"kubepods", KUBE_ROOT, QOS_UNSET, "", ""},
    {"kubepods/burstable", KUBE_TIER, B, "", ""},
    {"kubepods/besteffort", KUBE_TIER, E, "", ""},
    {"kubepods/pod" UID, KUBE_POD, G, UID, ""},
    {"kubepods/burstable/pod" UID, KUBE_POD, B, UID, ""},
    {"kubepods/besteffort/pod" STATIC, KUBE_POD, E, STATIC, ""},
    {"kubepods/pod" UID "/" ID, KUBE_CONTAINER, G, UID, ID},
    {"kubepods/burstable/pod" UID "/" ID, KUBE_CONTAINER, B, UID, ID},
    {"kubepods/besteffort/pod" UID "/crio-" ID, KUBE_CONTAINER, E, UID, ID},
    {"kubepods/besteffort/pod" UID "/kata_" ID, KUBE_CONTAINER, E, UID, ID},
    {"kubepods/burstable/pod" UID "/" ID "/inner/deep", KUBE_BELOW, B, UID, ID},
    /* nested: kind, a cgroup root of the kubelet's, k3s */
    {"kubelet.slice/kubelet-kubepods.slice", KUBE_ROOT, QOS_UNSET, "", ""},
    {"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice", KUBE_TIER, B, "", ""},
    {"system.slice/docker-" ID
     ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
     "kubelet-kubepods-besteffort-pod" UID_SLICE ".slice/cri-containerd-" ID ".scope",
     KUBE_CONTAINER, E, UID, ID},
    {"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_SLICE ".slice", KUBE_POD, G, UID, ""},
    {"docker/" ID "/kubelet/kubepods/burstable/pod" UID "/" ID, KUBE_CONTAINER, B, UID, ID},
    {"system.slice/k3s.service/kubepods/besteffort/pod" UID "/" ID, KUBE_CONTAINER, E, UID, ID},
    {"system.slice/containerd.service/kubepods-burstable-pod" UID_SLICE ".slice:cri-containerd:" ID,
     KUBE_CONTAINER, B, UID, ID},
    {"system.slice/k3s.service/kubepods-pod" UID_SLICE ".slice:cri-containerd:" ID, KUBE_CONTAINER, G, UID,
     ID},
    {"k3s.service/kubepods-besteffort-pod" UID_SLICE ".slice:cri-containerd:" ID "/x", KUBE_BELOW, E, UID,
     ID},
};

static void test_places(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct kube_place p;

        if (!kube_place_parse(places[i].path, &p))
            fail_msg("not told: %s", places[i].path);
        if (p.kind != places[i].kind || p.tier != places[i].tier || strcmp(p.pod, places[i].pod) != 0 ||
            strcmp(p.container, places[i].container) != 0)
            fail_msg("%s: kind %d, tier %d, pod %s, container %s", places[i].path, p.kind, p.tier, p.pod,
                     p.container);
    }
}

static void test_not_kubernetes(void **state _unused_)
{
    static const char *const paths[] = {
        "",
        "/",
        "workload.slice/task-1",
        "kubepod.slice",
        "kubepods.slices",
        "my-kubepods",
        "mykubepods.slice",
        "kubepods.scope",
        "system.slice/kubelet.service",
        /* in the kubelet's tree, but nothing that it makes */
        "kubepods.slice/burstable",
        "kubepods.slice/kubepods-guaranteed.slice",
        "kubepods.slice/kubepods-pod.slice",
        "kubepods.slice/kubepods-burstable-pod" UID_SLICE ".slice", /* not in its tier */
        "kubepods.slice/kubepods-burstable.slice/kubepods-besteffort-pod" UID_SLICE ".slice",
        "kubepods.slice/kubepods-burstable.slice/kubepods-pod" UID_SLICE ".slice",
        "kubepods.slice/kubepods-burstable.slice/kubepods-burstable.slice",
        "kubepods.slice/kubelet-kubepods-burstable.slice",
        "kubepods.slice/kubepods-pod0123456789012345678901234567890123456789.slice", /* no uid is so long */
        "kubepods.slice/kubepods-poda.b.slice",
        "kubepods/kubepods-burstable.slice",
        "kubepods/burstable.slice",
        "kubepods/burstable/besteffort",
        "kubepods/pod",
        "kubepods/guaranteed/pod" UID,
        "x/kubepods-pod" UID_SLICE ".slice:cri-containerd:notanid",
        "x/kubepods-pod" UID_SLICE ".slice:",
        "x/pods-pod" UID_SLICE ".slice:cri-containerd:" ID,
        "x/.slice:cri:" ID,
    };

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct kube_place p;

        if (kube_place_parse(paths[i], &p) || p.kind != KUBE_NONE)
            fail_msg("%s is taken for kind %d", paths[i], p.kind);
    }
}

/* Whatever is cut off or altered, nothing is read or written beyond its end (the sanitizers' build looks). */
static void test_mutations(void **state _unused_)
{
    uint64_t seed = 7;

    for (unsigned n = 0; n < 200000; n++) {
        const char *path = places[n % ARRAY_SIZE(places)].path;
        char copy[512];
        size_t length = strlen(path);
        struct kube_place p;

        memcpy(copy, path, length + 1);
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
        if (seed >> 62 == 0)
            copy[(seed >> 20) % length] = '\0';
        else
            copy[(seed >> 20) % length] = "/-._:ax0"[seed >> 40 & 7];
        (void)kube_place_parse(copy, &p);
        assert_true(strlen(p.pod) < sizeof(p.pod) && strlen(p.container) < sizeof(p.container));
        assert_true(p.kind != KUBE_NONE || p.tier == QOS_UNSET);
    }
}

/* What the kubelet writes: pkg/kubelet/qos/policy.go. */
static int adj_of(uint64_t request, uint64_t capacity)
{
    int64_t adj = 1000 - (int64_t)((unsigned __int128)request * 1000 / capacity);

    return (int)(adj < 3 ? 3 : adj > 999 ? 999 : adj);
}

static void test_request_is_read_back(void **state _unused_)
{
    static const uint64_t capacities[] = {GIB, 16 * GIB, 256 * GIB, UINT64_C(16777216) * 1000 + 7};

    for (size_t c = 0; c < ARRAY_SIZE(capacities); c++)
        for (unsigned i = 0; i <= 1000; i++) {
            uint64_t capacity = capacities[c], request = capacity / 1000 * i, found = UINT64_MAX;

            assert_true(kube_request_from_adj(QOS_BURSTABLE, adj_of(request, capacity), capacity, UINT64_MAX,
                                              &found));
            /* Never more than was requested, and less by at most a thousandth; at the ends the score is cut.
             */
            if (found > request || request - found > capacity / 1000 * (i <= 2 || i > 996 ? 3 : 1) + 1)
                fail_msg("%ju of %ju: %ju", (uintmax_t)request, (uintmax_t)capacity, (uintmax_t)found);
        }
}

static void test_request_of_tiers(void **state _unused_)
{
    static const struct {
        enum qos tier;
        int adj;
        uint64_t limit;
        bool known;
        uint64_t request;
    } table[] = {
        {G, -997, 500 * MIB, true, 500 * MIB},
        {G, -998, 500 * MIB, true, 500 * MIB},
        {G, -997, UINT64_MAX, false, 0}, /* a sandbox has no limit */
        {G, 0, 500 * MIB, false, 0},
        {B, 500, UINT64_MAX, true, 500 * MIB},
        {B, 500, 100 * MIB, true, 100 * MIB}, /* never above the limit */
        {B, 999, UINT64_MAX, true, 0},
        {B, 3, UINT64_MAX, true, 997 * MIB},
        {B, 2, UINT64_MAX, false, 0},
        {B, 1000, UINT64_MAX, false, 0},
        {B, -997, UINT64_MAX, false, 0}, /* node-critical */
        {B, -998, UINT64_MAX, false, 0}, /* its sandbox */
        {E, 1000, UINT64_MAX, true, 0},
        {E, -998, UINT64_MAX, false, 0},
        {QOS_UNSET, 500, UINT64_MAX, false, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        uint64_t request = 77;
        bool known = kube_request_from_adj(table[i].tier, table[i].adj, 1000 * MIB, table[i].limit, &request);

        if (known != table[i].known || request != (known ? table[i].request : 77))
            fail_msg("row %zu: %d, %ju", i, known, (uintmax_t)request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),           cmocka_unit_test(test_not_kubernetes),
        cmocka_unit_test(test_mutations),        cmocka_unit_test(test_request_is_read_back),
        cmocka_unit_test(test_request_of_tiers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
