/* The node at one moment, as plain data: what the policy sees and nothing else. A recorded snapshot is
 * therefore a test, and a decision can be taken again from it. Sizes in bytes, times in microseconds of
 * CLOCK_BOOTTIME. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/nodelist.h"
#include "model/config.h"

#define GROUP_PATH_MAX 256

/* The whole machine (or the container that we are in). */
struct node {
    uint64_t mem_total; /* MemTotal */
    uint64_t hugetlb;   /* of it, in pools of huge pages */
    uint64_t
        total; /* what can be shared out: MemTotal − huge page pool − zram's pool, at most our own limit */
    uint64_t available;     /* MemAvailable */
    uint64_t unreclaimable; /* in use and not to be had back by reclaim: everything but free, file pages,
                             * reclaimable slab, the huge page pool and zram's pool */
    uint64_t kept_free;     /* what MemAvailable leaves out of free, file pages and reclaimable slab */
    uint64_t swap_total;
    uint64_t swap_free;
    uint64_t zram_used;      /* of what is in swap */
    uint64_t swap_effective; /* what can still be swapped out for good (zram bounded by what it can hold) */
    uint64_t psi_some_usec;  /* /proc/pressure/memory, totals */
    uint64_t psi_full_usec;
    /* Totals of what is read only while something is in swap; else 0. */
    uint64_t io_full_usec;  /* /proc/pressure/io; of a host only */
    uint64_t read_bytes;    /* from block devices */
    uint64_t swap_in_bytes; /* of them, from swap */
};

/* One NUMA node of it. */
struct numa_node {
    uint64_t total;
    uint64_t available;     /* as MemAvailable is made: what that leaves out is shared out by size */
    uint64_t unreclaimable; /* everything but free, file pages and reclaimable slab */
};

/* One guarded subtree of work. */
struct workload {
    char path[GROUP_PATH_MAX];
    uint64_t id;      /* of the cgroup; 0: it is not there now */
    uint64_t current; /* memory.current */
    uint64_t firm;    /* of it, what is no page cache: `used`, and what is on its way to swap or back */
    uint64_t leaving; /* of that, what is being written to a swap device */
    uint64_t
        used; /* anon + shmem + kernel − slab_reclaimable + sock: what reclaim to file cannot give back */
    uint64_t anon;
    uint64_t shmem;
    uint64_t file;
    uint64_t kernel;
    uint64_t sock;
    uint64_t high;         /* memory.high as it stands; UINT64_MAX: none */
    uint64_t foreign_high; /* the tightest memory.high that others set for it; UINT64_MAX: none */
    uint64_t max;          /* the least memory.max of it and its ancestors; UINT64_MAX: none */
    uint64_t swap;         /* in swap, and not in memory as well; 0 where the node has no swap */
    uint64_t swap_charged; /* memory.swap.current; 0 where the node has no swap */
    uint64_t swap_room; /* memory.swap.max − memory.swap.current; UINT64_MAX: no limit of its own. At most
                         * what its groups can take (policy/swap) */
    uint64_t psi_some_usec;
    uint64_t psi_full_usec;
    uint64_t io_full_usec;  /* of io.pressure; 0 while nothing is in swap */
    uint64_t refault_bytes; /* anon: swapped out and wanted back; since ever */
};

/* What a group says of itself by extended attributes of its cgroup's directory (user.headroom.*, and
 * systemd's user.oomd_avoid and user.oomd_omit). Whether it is believed is for the policy to say
 * (policy/claims). */
struct group_claims {
    bool has_priority : 1;
    bool has_retriable : 1;
    bool has_request : 1;
    bool has_started : 1;
    bool has_owner : 1; /* root owns the directory, and says whose the group is */
    bool avoid : 1;     /* last of its tier */
    bool omit : 1;      /* never */
    bool no_pause : 1;  /* is not to be paused: honoured from anyone */
    bool retriable : 1;
    uint16_t priority;
    uint32_t owner_uid;
    uint64_t request_bytes;
    uint64_t started_usec; /* CLOCK_BOOTTIME */
    uint64_t task;         /* a hash of the lineage's name; 0: none */
};

#define GROUP_REQUEST_NONE UINT64_MAX

/* What cannot be had back from a group by reclaim to files. */
struct group_memory {
    uint64_t anon;
    uint64_t shmem;
    uint64_t kernel; /* less reclaimable slab, plus sock */
};

/* One unit of work that is asked, paused or killed whole. */
struct group {
    char path[GROUP_PATH_MAX]; /* of the cgroup, relative to the hierarchy's root */
    uint64_t id;               /* cgroup id, higher is newer; of a process its start time */
    pid_t pid;                 /* of a Unit=process group, else 0 */
    char comm[16];             /* of that process, for messages */
    unsigned class_index;
    unsigned workload_index;
    uint32_t owner_uid; /* who owns the cgroup's directory, or whose root says it is (of a process: whose it
                           is) */
    struct group_claims claims;
    unsigned lineage_kills; /* how often its task was killed before */
    bool populated;
    bool frozen;       /* really, whoever did it */
    bool paused;       /* by us (asked for, or so) */
    bool held;         /* paused by an operator: it goes on when he says so */
    bool failed_pause; /* could not be paused lately, or somebody else thawed it: left alone for now */
    bool dying;        /* killed by us and not yet empty, or stuck so */
    bool stuck;        /* killed, and past KillDeadline */
    bool swap_limited; /* its own memory.swap.max, or of what it is in below the workload, leaves swap_room */
    bool stall_known;  /* the next two are read only where asked for */
    uint16_t stall_permyriad; /* of the last GROUP_STALL_USEC or a little more, in which all of it waited for
                                 memory */
    uint16_t io_stall_permyriad; /* or for block devices */
    uint64_t pause_since_usec;   /* of a paused one */
    uint64_t birth_usec;         /* start of its oldest process */
    uint64_t cpu_usec; /* used since its birth, as of at most GROUP_AGE_USEC ago, or of the last four walks */
    uint64_t paused_usec; /* frozen since its birth: so long */
    uint64_t frozen_usec; /* when it was last seen so; 0: never */
    uint64_t anon;
    uint64_t shmem;
    uint64_t kernel; /* less reclaimable slab, plus sock */
    uint64_t swap;
    uint64_t mems;                /* the NUMA nodes that it is bound to; 0: it may have memory on all */
    struct group_memory on_nodes; /* of anon, shmem and kernel, what it holds on the nodes that are short;
                                     read only to decide on those */
    uint64_t swap_room;           /* only where swap_limited */
    uint64_t file;                /* page cache, without shmem: for people */
    uint64_t zswap;               /* what it has in zswap, as that holds it: for people */
    uint64_t growth_bytes; /* by how much it grew in the last GROUP_GROWTH_USEC (since its birth where that is
                              less) */
    uint64_t cpu_permyriad; /* of one CPU, between the last two times that it was read; GROUP_CPU_UNKNOWN:
                               once only, since its birth or since it was let go on */
    uint64_t rate;          /* bytes per second over the last GROUP_RATE_USEC or a little more */
};

#define GROUP_GROWTH_USEC UINT64_C(5000000)
#define GROUP_RATE_USEC UINT64_C(1000000)
#define GROUP_STALL_USEC UINT64_C(400000)
/* What changes slowly (CPU time, what a group says of itself) is read again after half of this to all of it:
 * not all groups' at the same walk. */
#define GROUP_AGE_USEC UINT64_C(1000000)
#define GROUP_CPU_UNKNOWN UINT64_MAX

#define SNAPSHOT_WORKLOADS_MAX CONFIG_PATHS_MAX
#define SNAPSHOT_ENDED_MAX 64

/* A group that came to its end between two walks. */
struct group_end {
    uint64_t id;
    unsigned class_index;
    uint64_t peak_bytes; /* the most that it was seen to hold, swap included */
    uint64_t lived_usec; /* between its birth and when it was last seen, unpaused */
    bool killed;         /* by us: says nothing of what it would have come to */
};

#define SNAPSHOT_RESTS_MAX 8

/* What is in a cgroup beyond MaxGroups, as one: it can be reclaimed from and limited, never killed. */
struct group_rest {
    char path[GROUP_PATH_MAX]; /* of the cgroup that the groups without a place are in */
    uint64_t id;
    unsigned workload_index;
    unsigned class_index; /* of the one that may be given up first */
    unsigned count;
};

struct snapshot {
    uint64_t now_usec;
    bool isolate; /* domain = the workloads under one shared limit; else the host */
    struct node node;
    struct workload workloads[SNAPSHOT_WORKLOADS_MAX];
    unsigned workload_count;
    uint64_t numa_nodes; /* that have memory; 0: one alone, or they cannot be told apart */
    struct numa_node numa[NODELIST_MAX];
    uint64_t protected_cache; /* page cache in the workloads that groups' memory.min keeps */
    uint64_t limit_step;      /* added to the limit while it steps down after a start above it */

    struct group *groups; /* only read when something has to be chosen */
    unsigned group_count;
    unsigned group_max;
    unsigned groups_left_out; /* did not fit into group_max, or could not be read */
    struct group_rest rests[SNAPSHOT_RESTS_MAX];
    unsigned rest_count;
    bool groups_read;
    uint64_t groups_usec; /* when they were read */
    struct group_end ended[SNAPSHOT_ENDED_MAX];
    unsigned ended_count;
};
