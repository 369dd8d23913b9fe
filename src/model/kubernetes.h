/* Kubernetes' cgroups told by their paths, without its API, and a pod's request read back from what the
 * kubelet sets. Both cgroup drivers' layouts, and nested ones (kind below a kubelet.slice, k3s below its
 * service): what counts is the pattern, not the depth.
 *
 *     kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope systemd
 *     kubepods.slice/kubepods-podUID.slice/crio-ID.scope                        systemd, a guaranteed pod
 *     kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/…  below a cgroup root of its
 * own kubepods/burstable/podUID/ID                                              cgroupfs
 *     system.slice/k3s.service/kubepods-besteffort-podUID.slice:cri-containerd:ID
 *                                    a kubelet of the systemd driver with a runtime of the other
 *
 * A name is only a name: whether who made the directories is to be believed is for the caller to say. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "model/config.h"

enum kube_kind {
    KUBE_NONE,
    KUBE_ROOT,      /* kubepods */
    KUBE_TIER,      /* burstable or besteffort; guaranteed pods lie in the root */
    KUBE_POD,       /* a pod: the kubelet's, as the two above */
    KUBE_CONTAINER, /* a container, or a pod's sandbox: the runtime's */
    KUBE_BELOW,     /* in a pod, but none of these: below a container, or a helper beside one (conmon) */
};

#define KUBE_POD_MAX                                                                                         \
    CONFIG_POD_UID_MAX /* a UUID with its dashes has 36 characters, a static pod's hash 32                   \
                        */
#define KUBE_CONTAINER_MAX 72

struct kube_place {
    enum kube_kind kind;
    enum qos tier;                      /* of the pod; QOS_UNSET for the root */
    char pod[KUBE_POD_MAX];             /* its uid, with dashes, as the API has it; "" above pods */
    char container[KUBE_CONTAINER_MAX]; /* its id, without the runtime's name; "" above and beside containers
                                         */
};

/* `path` is relative to the hierarchy's root. False, with kind KUBE_NONE: nothing of Kubernetes'. */
bool kube_place_parse(const char *path, struct kube_place *ret);

/* Whose files the kubelet writes (min, low and max of the root, the tiers and the pods). */
bool kube_kind_is_kubelets(enum kube_kind kind);

/* A container's memory request from the oom_score_adj that the kubelet gave to its processes:
 *
 *     burstable   adj = min(max(3, 1000 − floor(1000 × request / capacity)), 999)
 *     besteffort  1000: there is none
 *     guaranteed  −997 (−998 of old): the request is the limit
 *
 * (pkg/kubelet/qos/policy.go, GetContainerOOMScoreAdjust). What comes back is the least request that gives
 * that score, true to within a thousandth of the node's memory; 999 stands for next to nothing, so for none;
 * at most the limit (UINT64_MAX: none is set). False: it cannot be told. A burstable pod's sandbox and a
 * node-critical pod's containers have −997 or −998, whatever they request, and what is lower or above the
 * range was set by somebody else. */
bool kube_request_from_adj(enum qos tier, int adj, uint64_t capacity_bytes, uint64_t limit_bytes,
                           uint64_t *ret_bytes) _nodiscard_;
