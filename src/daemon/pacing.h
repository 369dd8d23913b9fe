/* The keeper's pacing of swap writes (policy/pace): which groups there are, what is read of them, and when
 * their memory.swap.max is moved. Every move is one of the plan's leases, so that whoever puts leases back
 * puts these back.
 *
 * With the plan, every two seconds, all groups of it are counted. Between two plans those of classes with a
 * limit are looked at: a held directory and two or three files a group; and where nothing was swapped on the
 * node since the last time and all that can be put by is, not even that. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "action/knobs.h"
#include "base/macros.h"
#include "kernel/swap.h"
#include "kernel/vmstat.h"
#include "model/qos.h"
#include "policy/pace.h"

#define PACING_ROWS_MAX 8192
#define PACING_HELD_MAX 512 /* directories; of more groups than that they are opened each time */

struct pacing_row {
    uint64_t id;
    char path[GROUP_PATH_MAX];
    unsigned class_index;
    int dir_fd;           /* -1: not held */
    bool fresh;           /* it was not there at the last plan */
    bool forgotten;       /* as of the cgroup (model/qos) */
    bool set;             /* the plan has its memory.swap.max paced */
    uint64_t bound_bytes; /* without the pace */
    uint64_t value_bytes; /* as it was last set */
    struct pace_group group;
};

struct pacing_class {
    char name[CONFIG_NAME_MAX];
    uint64_t wrote_bytes; /* in this step */
    struct pace_class pace;
};

struct pacing {
    int root_fd;
    int vmstat_fd;
    const struct hierarchy *hierarchy;
    const struct config *config;
    struct knobs *knobs;
    bool on;   /* what is swapped goes to a device that wears out */
    bool seen; /* there was a plan before */
    bool zswap;
    bool no_swap_out; /* memory.stat does not tell, on this kernel */
    struct swap_disks disks;
    uint64_t newest_id;         /* of the groups of earlier plans: ids are given out in their order */
    struct vmstat_swap node;    /* at the last step */
    uint64_t planned_out_bytes; /* and at the last plan */
    uint64_t next_usec;         /* from one step to the next, as expected */
    uint64_t due_usec;
    unsigned held;
    struct pacing_row rows[PACING_ROWS_MAX];
    unsigned row_count;
    struct pacing_class classes[CONFIG_CLASSES_MAX];
    unsigned class_count;
};

void pacing_init(struct pacing *p, int root_fd, const struct hierarchy *h, const struct config *c,
                 struct knobs *k);
/* The configuration that it points to is another one: classes are known again by their names. */
void pacing_reconfigure(struct pacing *p);

/* With each plan: before the leases are noted, and when it is made. */
void pacing_note_groups(struct pacing *p, bool has_swap, struct qos_cgroup *cgroups, unsigned count);
void pacing_plan(struct pacing *p, struct qos_cgroup *cgroups, unsigned count, uint64_t now_usec);
/* All was put back. */
void pacing_forget(struct pacing *p);

/* When the next step is due; UINT64_MAX: with the plan. */
uint64_t pacing_due_usec(const struct pacing *p);
void pacing_step(struct pacing *p, uint64_t now_usec);
/* Whether the cgroup's memory.swap.max is moved; and whether this lease is the one that is. */
bool pacing_has(const struct pacing *p, uint64_t cgroup_id);
bool pacing_moves(const struct pacing *p, const struct lease *l);
/* Systemd need not be told that this is the lease's value: it is another one in a moment, or it is what was
 * there before, and systemd never knew of ours. */
bool pacing_is_untold(const struct pacing *p, const struct lease *l, uint64_t value);
