/* Room, need, growth, time left and level of the domain. Pure: the snapshot, the configuration and what was
 * remembered of earlier looks go in, numbers come out.
 *
 *   used  = Σ workloads (anon + shmem + kernel − slab_reclaimable + sock), and the page cache in them that is
 *           protected by memory.min, which reclaim cannot have either
 *           + max(0, unreclaimable memory outside them − SystemReserve)             (isolate)
 *         = unreclaimable memory of the node                                        (host)
 *           or, where others have set a tighter limit for the workloads: Σ workloads alone, against that one
 *
 *   room      = min(limit − used, MemAvailable) + effective swap while swapping is not felt
 *
 *   need      = max(0, reaction margin − room, anonymous refaults of the last window while felt)
 *
 *   paging    = max(PSI full of memory, PSI full of io × what was read from swap / all that was read)
 *
 *   returns   = what was read back from swap ≥ 1/2 of what went there, of as much as the limit lately; what
 * comes back from zram or zswap costs no read; wanted back: what came back at all, ≥ 1/8 of the last 1/8
 *
 *   inflow    = what is new, in memory and in swap, and what came back from swap: fast to rise, halved by
 * each window that has less
 *
 *   time left = (min(limit − used, MemAvailable) + effective swap) / growth; also what is felt lasts
 *
 * The second term of `used` is what makes shared memory that was charged elsewhere, kernel memory of nobody
 * and a growing system count. Page cache is in none of it: it is no reason to kill. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"

/* PSI of one source (a workload, or the host) when the window of "felt" began. */
struct room_psi {
    uint64_t id; /* of the cgroup; 0: it was not there */
    uint64_t some_usec;
    uint64_t full_usec;
    uint64_t io_full_usec;
};

/* What went to swap and what of it came back, lately: halved whenever it is much. */
struct room_returns {
    uint64_t out_bytes, back_bytes;
};

struct room_state {
    bool primed;
    uint64_t last_usec;
    uint64_t last_used;
    bool last_own;        /* which bound last_used was counted against */
    uint64_t growth;      /* bytes per second, fast to rise and slow to fall */
    uint64_t growth_peak; /* the fastest seen, slowly forgotten: what is plausible between two looks */
    uint64_t trend;       /* bytes per second over TREND_WINDOW_USEC */
    uint64_t trend_usec;  /* when that window began; 0: not yet */
    uint64_t trend_used;
    uint64_t refault_id[SNAPSHOT_WORKLOADS_MAX]; /* of the cgroup that refault_bytes is of */
    uint64_t refault_bytes[SNAPSHOT_WORKLOADS_MAX];
    uint64_t swap_bytes[SNAPSHOT_WORKLOADS_MAX]; /* of the same, in swap */
    uint64_t refaulted;                          /* in the last window of `felt` */
    unsigned stall_permyriad;                    /* the same for PSI full */
    unsigned some_permyriad;
    struct room_returns read_back;   /* from a device */
    struct room_returns wanted_back; /* from wherever it was */
    unsigned paging_permyriad;
    unsigned paging_share_permyriad;
    uint64_t read_bytes; /* of the node, when that window began */
    uint64_t swap_in_bytes;
    uint64_t psi_usec; /* when that window began; 0: not yet */
    struct room_psi psi[SNAPSHOT_WORKLOADS_MAX];
    uint64_t held;               /* in memory and in swap, when that window began */
    uint64_t inflow;             /* bytes per second */
    uint64_t held_growth;        /* by so much it grew in a window; halves with each that has less */
    uint64_t stalled_since_usec; /* 0: PSI `full` is under its bound */
    uint64_t felt_since_usec;    /* 0: that, or it is not for what comes back from swap */
    uint64_t unfelt_since_usec;
    bool felt;
    enum level level;
    uint64_t level_since_usec;
};

/* What comes, in bytes per second: `used` alone stands still at the limit, however much passes through. */
uint64_t room_coming(const struct room *r);

/* What is to be free ahead of the limit, so that who wants a place does not have to make it himself: the
 * margin and a quarter of a second of what comes. A third of it with zram: nobody waits for a device there,
 * and what is pushed out too soon costs the CPU twice (7.2, a storm: 32.2 → 28.9 s). */
uint64_t room_ahead(const struct room *r);

void room_evaluate(const struct config *c, const struct snapshot *s, struct room_state *state,
                   struct room *ret);

/* Groups that caused this part of the growth are gone: it does not go on. */
void room_forget_growth(struct room_state *state, uint64_t permyriad);

/* When the next look is due, in microseconds from now: once a second below 80 % of the limit in isolate,
 * where memory.high and PSI cover bursts; else before the limit could be reached at the fastest plausible
 * growth. */
uint64_t room_next_look_usec(const struct snapshot *s, const struct room_state *state, const struct room *r);
