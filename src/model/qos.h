/* The cgroups whose memory quality of service is planned, as plain data: what the plan (policy/qos) sees and
 * what it says, in storage of the caller. Sizes in bytes; UINT64_MAX is the kernel's "max". */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/kubernetes.h"
#include "model/snapshot.h"

#define QOS_NONE UINT_MAX /* no cgroup */

enum qos_knob {
    QOS_MEMORY_MIN,
    QOS_MEMORY_LOW,
    QOS_MEMORY_HIGH,
    QOS_MEMORY_MAX,
    QOS_SWAP_MAX,
    QOS_ZSWAP_MAX,
    QOS_OOM_GROUP,
    QOS_ZSWAP_WRITEBACK, /* 6.8 */
    QOS_CPU_WEIGHT,
    QOS_FILES,             /* those above are files of the cgroup */
    QOS_SCORE = QOS_FILES, /* oom_score_adj of each of its processes, plus QOS_SCORE_ZERO */
    QOS_KNOBS,
};

#define QOS_KNOB_BIT(k) (1U << (k))
#define QOS_SCORE_ZERO 1000

/* Why a knob gets its value, or (from QOS_WHY_LEFT on) why it gets none. */
enum qos_why {
    QOS_WHY_NOTHING, /* nothing is asked for */
    QOS_WHY_REQUEST,
    QOS_WHY_REQUEST_CUT, /* less a fiftieth of the limit */
    QOS_WHY_CHILDREN,
    QOS_WHY_FACTOR,
    QOS_WHY_LIMIT,
    QOS_WHY_LIMIT_USED, /* not below what it uses now */
    QOS_WHY_SWAP_SHARE,
    QOS_WHY_NO_SWAP,
    QOS_WHY_SWAP_MAX,
    QOS_WHY_OOM_GROUP,
    QOS_WHY_ZSWAP_WRITEBACK,
    QOS_WHY_CPU_WEIGHT,
    QOS_WHY_PRIORITY,
    QOS_WHY_LEFT,
    QOS_WHY_ABSENT = QOS_WHY_LEFT, /* this kernel, or this cgroup, has no such file */
    QOS_WHY_MORE,                  /* somebody else gave it at least as much protection */
    QOS_WHY_TIGHTER,               /* somebody else holds it at least as tight */
    QOS_WHY_KUBELET,               /* the kubelet's own */
    QOS_WHY_KUBELET_ABOVE,         /* what is above is the kubelet's own, and protection would not reach it */
    QOS_WHY_WORKLOAD,              /* the workload's brake is headroomd's limit */
    QOS_WHY_UNKNOWN,               /* its request cannot be told */
    QOS_WHY_YIELDED,               /* somebody else set ours anew, and has it */
    QOS_WHY_COUNT,
};

struct qos_value {
    uint64_t value; /* where it is planned */
    enum qos_why why;
};

/* The node, and what the groups may have of it together. */
struct qos_node {
    uint64_t total_bytes;       /* node memory of Kubernetes' formulas: MemTotal */
    uint64_t allocatable_bytes; /* the limit of the domain */
    uint64_t swap_bytes;
    uint64_t zswap_bytes; /* what zswap's pool may take; 0: it is off */
    uint64_t page_bytes;
};

/* One cgroup; parents stand before their children. */
struct qos_cgroup {
    char path[GROUP_PATH_MAX];
    uint64_t id;
    unsigned parent;      /* index; QOS_NONE: the hierarchy's root */
    unsigned class_index; /* of a group */
    enum qos tier;        /* QOS_UNSET: no group, but what groups are in */
    bool workload;        /* the root of one */
    bool request_known;   /* false: a container of which it cannot be told */
    struct kube_place kube;
    uint64_t request_bytes; /* 0: none */
    uint64_t limit_bytes;   /* UINT64_MAX: none; of a container its memory.max */
    uint64_t kept_bytes;    /* memory.current; over its limit, without what is only cached; 0: not known */
    uint64_t protected_cache_bytes; /* page cache that its memory.min keeps */
    unsigned files;                 /* QOS_KNOB_BITs of what is there */
    unsigned unread;                /* that are there, and could not be read just now */
    uint64_t now[QOS_KNOBS];        /* what stands there */
    uint64_t foreign[QOS_KNOBS];    /* what others want there: the value before ours, where ours stands */
    unsigned held;                  /* QOS_KNOB_BITs: ours stands, as it was last written */
    unsigned drifted;               /* ours was overwritten */
    bool settling;                  /* something of it was handed over to systemd, and may only just stand */
    unsigned yielded;               /* left to who overwrote it */
    bool counted;                   /* what it swaps is */
    bool forgotten; /* its memory.swap.max is not known to systemd, which sets its own with each reload */
    unsigned first, next; /* qos_index: of those whose id belongs here; 0: none, else i + 1 */
    struct qos_value plan[QOS_KNOBS];
    struct {
        uint64_t min, low;    /* of what is in it, together */
        uint64_t asked;       /* protection that we are asked to give to it and in it */
        uint64_t bound;       /* what it could have at most */
        uint64_t asker_bytes; /* the most that one asks for in it, and who */
        unsigned asker;
        bool inner;  /* groups are in it */
        bool locked; /* the kubelet's protection is left alone here and below */
    } work;          /* of the plan */
};

/* A cgroup's protection is more than there is. */
struct qos_excess {
    unsigned who;   /* the one that asks for most in it */
    unsigned where; /* the cgroup that cannot have so much; QOS_NONE: the node */
    uint64_t who_bytes;
    uint64_t asked_bytes;
    uint64_t bound_bytes;
};

static inline bool qos_is_set(const struct qos_cgroup *g, enum qos_knob k)
{
    return g->plan[k].why != QOS_WHY_NOTHING && g->plan[k].why < QOS_WHY_LEFT;
}

/* So that qos_find finds by id. */
void qos_index(struct qos_cgroup *cgroups, unsigned count);
unsigned qos_find(const struct qos_cgroup *cgroups, unsigned count, uint64_t id); /* QOS_NONE: it is none */

const char *qos_knob_name(enum qos_knob k);  /* the file's: "memory.high" */
enum qos_knob qos_knob_of(const char *name); /* QOS_KNOBS: it is none */
const char *qos_why_name(enum qos_why w);    /* one word, for machines */
