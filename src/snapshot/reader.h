/* From kernel files to a snapshot. Cheap things at every look (meminfo, and of each workload memory.stat,
 * memory.current and PSI, all over held descriptors), dear ones only when something has to be chosen (the
 * groups).
 *
 * A file that cannot be read makes the look fail rather than read as zero: an unreadable value is never acted
 * on. A workload that has vanished is not an error: its id is 0 until it is back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "kernel/cgroup.h"
#include "model/config.h"
#include "model/snapshot.h"

/* What is read of a workload at each look. Of these few the files are held: to open one costs as much as to
 * read it. */
enum workload_file {
    WORKLOAD_STAT,
    WORKLOAD_CURRENT,
    WORKLOAD_PRESSURE,
    WORKLOAD_IO_PRESSURE, /* not there: no PSI */
    WORKLOAD_HIGH,
    WORKLOAD_MAX,
    WORKLOAD_SWAP_MAX,
    WORKLOAD_SWAP_CURRENT, /* these two are not there: swap accounting is off */
    WORKLOAD_FILE_COUNT,
};

struct workload_handle {
    char path[GROUP_PATH_MAX];
    uint64_t id; /* 0: not there */
    int dir_fd;
    int fds[WORKLOAD_FILE_COUNT]; /* -1: not there when it was opened */
    uint64_t ancestors_max;       /* least memory.max above it */
    uint64_t ancestors_high;      /* least memory.high above it */
    uint64_t bounds_due_usec;     /* when the two are read again */
};

/* How much a group held at a moment: growth is told from a few of them, a second apart. */
struct group_sample {
    uint64_t at_usec;
    uint64_t bytes;
};

#define GROUP_SAMPLES 6
#define GROUP_SAMPLE_USEC UINT64_C(1000000)

/* What is remembered of a group between two readings. */
struct group_handle {
    uint64_t id; /* 0: free; of a process its start time */
    pid_t pid;
    int dir_fd;     /* -1: a process, or there are too few descriptors: opened at each walk */
    unsigned first; /* of the handles whose id belongs into this place of the table; 0: none, else i + 1 */
    unsigned next;  /* of the same place; of a free one: the next free one */
    uint64_t path_hash; /* of the path under which it was found */
    uint64_t birth_usec;
    uint64_t cpu_base_usec; /* what an earlier life of the cgroup had used */
    unsigned class_index;
    unsigned workload_index;
    unsigned watch;                             /* its place among those, i + 1; 0: none */
    unsigned group;                             /* in the snapshot, as of the last walk, i + 1 */
    struct group_sample samples[GROUP_SAMPLES]; /* a ring */
    unsigned sample_next;
    bool stall_known;
    uint16_t stall_permyriad; /* between the last two readings */
    uint16_t io_stall_permyriad;
    uint32_t stall_msec;       /* when the next two were read; 0: never. Differences of these wrap */
    uint32_t memory_full_usec; /* totals */
    uint32_t io_full_usec;
    bool was_empty; /* its next process begins a new life */
    bool is_open;   /* somebody lists its directory: it is not to be dropped */
    bool seen;
    bool frozen;            /* when it was last seen */
    uint64_t peak_bytes;    /* the most that was seen in this life, swap included */
    uint64_t paused_usec;   /* frozen in this life */
    uint64_t frozen_usec;   /* when it was last seen frozen; 0: never in this life */
    uint64_t seen_usec;     /* by the last walk */
    uint64_t cpu_usec;      /* since its birth, when it was last read */
    uint64_t measured_usec; /* when that was; 0: before it was let go on */
    uint64_t cpu_permyriad; /* of what lay between it and the time before; GROUP_CPU_UNKNOWN */
    uint64_t age_due_usec;  /* when cpu_usec and claims are read again */
    uint32_t swap_due_sec;  /* when limits of swap are looked for again */
    uint32_t swap_limits;   /* where a memory.swap.max was found: bit n, n levels above it */
    struct group_claims claims;
    uint32_t owner_uid; /* whose the claims are */
    uint64_t mems;      /* NUMA nodes that it is bound to; as old as these */
};

/* What has its place a group: itself, a slice of its own, and room for those that come in the walk in which
 * as many others are found to be gone. */
#define SNAPSHOT_WATCHES_OF(groups) (2 * (groups) + (groups) / 8)

/* A cgroup that is watched, group or not (watches.c). */
struct group_watch {
    uint64_t id; /* 0: free */
    int events;  /* two watches; -1: it has none */
    int children;
    unsigned first; /* as of a handle */
    unsigned next;
    unsigned parent;    /* of what it is in, i + 1; 0: nothing that is watched */
    unsigned live : 24; /* groups that are in it itself, and were read in this walk */
    unsigned state : 2; /* enum watch_state */
    unsigned stale : 1; /* its cgroup.events may have become another */
    unsigned look : 1;  /* it is to be visited: something in it came or went */
    unsigned check : 1; /* as many are in it as before, or it is to be visited */
    unsigned below : 1; /* one of the above is so of something below it */
    unsigned found : 1; /* something in it or below holds processes */
};

struct snapshot_reader {
    int root_fd;
    struct hierarchy *hierarchy; /* its fd is -1 where there is no cgroup v2 */
    int meminfo_fd;
    int pressure_fd;
    int io_pressure_fd;
    int vmstat_fd;
    uint64_t numa_nodes; /* that are read; 0: there is one alone (nodes.c) */
    int numa_fds[NODELIST_MAX];
    uint64_t numa_pools;                 /* of the machine, when the next ones were read */
    uint64_t numa_hugetlb[NODELIST_MAX]; /* in pools */
    const struct config *config;
    bool isolate;
    bool has_swap;             /* as of the last look */
    bool wants_stalls;         /* of each group: set by the caller */
    bool wants_cpu;            /* of each group at each walk, however seldom: set by the caller */
    bool processes;            /* units are processes: host mode without a usable hierarchy */
    uint64_t real_offset_usec; /* CLOCK_REALTIME − CLOCK_BOOTTIME, as of this walk */
    char own_path[GROUP_PATH_MAX];
    struct workload_handle workloads[SNAPSHOT_WORKLOADS_MAX];
    unsigned workload_count;
    bool reconfigured;            /* since the last walk: what is no group any more has not ended */
    struct group_handle *handles; /* storage of the caller, group_max of them; also a hash table by id */
    unsigned handle_max;
    unsigned handle_free; /* the first one, + 1; 0: none */
    unsigned handle_next; /* where to look for one that this walk has not come across */
    int watch_fd;         /* -1: each walk looks at everything */
    bool watched;         /* all of what the last walk has come across */
    uint64_t walked_usec; /* when more than memory was last looked at */
    bool walked_all;      /* then everything */
    unsigned walked_groups;
    unsigned group_next; /* where to look for a group of the snapshot that has gone */
    uint64_t read_usec;  /* when groups were last read */
    unsigned cpu_parts;  /* CPU time is read of a part of the groups: one of so many */
    unsigned cpu_turn;
    struct group_watch *watches; /* as the handles, watch_max of them */
    unsigned watch_max;
    unsigned watch_free;
    unsigned watch_count;
    unsigned watch_top;   /* beyond it none was ever in use */
    unsigned watch_turn;  /* the next one that is looked at though nothing was told */
    uint64_t turned_usec; /* when that was last done */
};

int snapshot_reader_init(struct snapshot_reader *r, int root_fd, struct hierarchy *h, const struct config *c,
                         struct group_handle *handles, unsigned handle_max) _nodiscard_;
void snapshot_reader_deinit(struct snapshot_reader *r);

/* Workload=auto: those of kubepods.slice, kubepods, workload.slice, user.slice and machine.slice that are
 * populated. Otherwise what the configuration names. Opens those that exist; returns how many exist. */
unsigned snapshot_reader_find_workloads(struct snapshot_reader *r);
/* Workload=auto: whether one of those is populated now that was not when they were looked for. */
bool snapshot_reader_has_new_workload(const struct snapshot_reader *r);

/* The configuration that it points to has changed since s was read: what is remembered of the groups is
 * theirs under their new classes. Workloads are another matter (snapshot_reader_find_workloads). */
void snapshot_reader_reconfigure(struct snapshot_reader *r, const struct snapshot *s);

/* Node and workloads. The caller sets s->groups and group_max, and workloads' foreign_high where it holds a
 * lease. */
int snapshot_read_node(struct snapshot_reader *r, uint64_t now_usec, struct snapshot *s) _nodiscard_;
/* Lets the kernel say whether the groups are still the same, with storage of the caller: a place for each,
 * and for each cgroup that groups are in. */
void snapshot_reader_watch(struct snapshot_reader *r, struct group_watch *watches, unsigned max);
/* The groups of the workloads, or (host) of the whole hierarchy, or processes. Also takes the samples from
 * which the next reading tells growth: at most one a second. */
int snapshot_read_groups(struct snapshot_reader *r, struct snapshot *s) _nodiscard_;

/* In reader.c: (re)opens a workload that is missing. True where it is there. */
bool workload_handle_open(struct snapshot_reader *r, struct workload_handle *w);
void workload_handle_init(struct workload_handle *w); /* nothing is open */
void workload_handle_close(struct workload_handle *w);
void group_handle_close(struct group_handle *g); /* its descriptors */
