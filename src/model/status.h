/* How the daemon stands, as plain data for whoever shows it. Pointers are into the daemon and valid for one
 * call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"

#define STATUS_MONITORS_MAX 4
#define STATUS_WARNINGS_MAX 16
#define STATUS_WARNING_MAX 256

struct status_monitor {
    const char *name;
    const char *state;
    const char *message;
    uint64_t fires;
    uint64_t failures;
};

/* One paused group. */
struct status_pause {
    const char *path;
    pid_t pid; /* 0: a cgroup */
    const char *comm;
    const char *class_name;
    const char *why;       /* pause_why_name */
    const char *waits_for; /* for people */
    uint64_t since_usec;
    uint64_t until_usec; /* resumed, or killed, at the latest */
    uint64_t held_bytes;
    bool frozen; /* confirmed by the kernel */
};

#define STATUS_NEXT_MAX 8
#define STATUS_WHY_MAX 160

/* What would come next of one action, were memory to run short as the groups stood at the last walk. */
struct status_next {
    const char *action; /* notify, reclaim, pause, resume, kill */
    const char *path;   /* NULL: nobody; why says it */
    pid_t pid;          /* 0: a cgroup */
    const char *comm;
    unsigned programs;       /* so many are asked; 0: it is one group, or nobody */
    const char *class_name;  /* NULL: not of a class */
    uint64_t expected_bytes; /* what it should free; UINT64_MAX: is not estimated */
    char why[STATUS_WHY_MAX];
};

/* One group, as it stood at the last walk. */
struct status_group {
    const char *path;
    pid_t pid; /* 0: a cgroup */
    const char *comm;
    const char *class_name;
    const char *state; /* running, paused, frozen (by somebody else), dying, stuck */
    unsigned priority;
    bool retriable;
    bool over_request;
    bool last;
    uint32_t owner_uid;
    uint64_t used; /* what its end would give back, and shared memory */
    uint64_t anon, shmem, kernel;
    uint64_t file; /* page cache; in none of the above */
    uint64_t swap, zswap;
    uint64_t progress_usec;
    uint64_t age_usec;
    uint64_t request_bytes; /* UINT64_MAX: none */
};

/* The group with this index; false: there are no more. */
typedef bool (*status_group_fn)(void *user, unsigned index, struct status_group *ret);

/* What came of the times that the configuration was read anew. */
struct status_reload {
    uint64_t good;
    uint64_t refused;
    uint64_t at_usec; /* of the last one; 0: there was none */
    bool was_good;
    const char *text;
};

/* The plan of memory QoS that is kept (daemon/keeper), counted since the start but for groups, leases and
 * yielded. */
struct status_qos {
    bool kept;
    uint64_t looks, look_usec, groups, leases, yielded, drifts, failures, raised;
};

/* What a class with QoS= has written to swap devices (policy/pace). */
struct status_swap {
    const char *class_name;
    uint64_t written_bytes; /* since it is kept */
    uint64_t minute_bytes;  /* of that, in the last minute */
    uint64_t limit_bytes;   /* a second; UINT64_MAX: none */
};

/* The programs that are asked to give memory back, counted since the start but for clients. */
struct status_notify {
    bool served;
    const char *path;
    unsigned clients, max;
    uint64_t rounds, asked, unread, refused, gave_bytes;
    uint64_t round_most_usec; /* the longest that it took to tell those of one round */
};

#define STATUS_OFFLOAD_MAX 16

/* One group that is offloaded (policy/offload), as of its last step. */
struct status_offload {
    const char *path;
    const char *class_name;
    const char *why; /* it is not going faster; a word, and for people */
    const char *why_text;
    bool adaptive;
    uint64_t resident_bytes;
    uint64_t zswapped_bytes, zswap_bytes; /* in zswap, and what that takes */
    uint64_t swapped_bytes;               /* in swap, but for that */
    uint64_t saved_bytes;
    uint64_t edge_bytes; /* what it is known to need; 0: not yet */
    unsigned ratio_ppm;  /* of it, each interval; adaptive: each second */
    uint64_t interval_usec;
    unsigned memory_ppm, io_ppm; /* of the time, stalled */
    uint64_t returned_per_sec;
    uint64_t asked_bytes, took_bytes, returned_bytes; /* since it was found */
};

struct status {
    const char *version;
    const char *config_path; /* "" : built-in defaults */
    const char *mode;        /* what it came to: isolate or host */
    const char *mode_reason;
    bool dry_run;
    uint64_t start_usec;
    uint64_t now_usec;
    const struct config *config;
    const struct snapshot *snapshot;
    const struct room *room;
    const struct room *numa_room; /* of the NUMA nodes that are tightest for those who are bound there */
    uint64_t reserve_bytes;       /* of the node, that the work may not have */
    bool has_look;                /* snapshot and room are of a look that succeeded */
    struct status_monitor monitors[STATUS_MONITORS_MAX];
    unsigned monitor_count;
    uint64_t high_wanted[SNAPSHOT_WORKLOADS_MAX];
    uint64_t knob_drifts;
    uint64_t knob_failures;
    unsigned leases;
    bool worker_running;
    bool guardian_running;
    uint64_t guardian_fences;
    uint64_t wakeups;
    uint64_t looks;
    uint64_t looks_failed;
    uint64_t decisions;
    uint64_t kills;
    uint64_t stuck;
    uint64_t pauses_done; /* since start */
    uint64_t resumes_done;
    uint64_t reclaimed_bytes;
    uint64_t hold_until_usec; /* an operator has stopped all actions until then; 0: no */
    const struct status_pause *pauses;
    unsigned pause_count;
    bool hooks_configured;
    uint64_t hooks_run, hooks_failed, hooks_timed_out, hooks_dropped;
    struct status_next next[STATUS_NEXT_MAX];
    unsigned next_count;
    uint64_t walk_usec; /* when the groups were read last; 0: not yet */
    struct status_reload reload;
    struct status_qos qos;
    struct status_swap swap[CONFIG_CLASSES_MAX];
    unsigned swap_count;
    struct status_notify notify;
    bool offload_on;
    struct status_offload offload[STATUS_OFFLOAD_MAX]; /* those that save most */
    unsigned offload_count, offload_groups;
    uint64_t offload_resident_bytes, offload_saved_bytes;                                        /* of all */
    uint64_t offload_took_bytes, offload_swapped_bytes, offload_spent_usec, offload_worker_usec; /* ever */
    uint64_t log_dropped;
    uint64_t groups_left_out;
    char warnings[STATUS_WARNINGS_MAX][STATUS_WARNING_MAX]; /* what does not work, and the cure */
    unsigned warning_count;
};
