/* The swap budget of a class (SwapWriteLimit=): what its groups together may write to swap devices a second,
 * whoever makes them. The only thing that holds the kernel's own reclaim back is memory.swap.max, so that is
 * moved:
 *
 *   memory.swap.max = memory.swap.current + its part of the class's tokens − what will come back
 *
 * and 0 while more was written than allowed. (io.max would hold the writes back where they are waited for by
 * whoever reclaims, with all locks that he holds.) What counts is what was written, not what is charged: a
 * page that is read back frees its place, since at a limit the kernel keeps no place for what is in memory
 * (mem_cgroup_swap_full), and another one takes it without any limit's help. So a group that swaps in and out
 * writes as fast as the device lets it from one look to the next: that is why the looks are close while
 * anything is written, why what comes back is expected to go on, and why what was too much is owed (up to
 * ten minutes' worth). Over any time t
 *
 *   written ≤ limit × (t + PACE_DEPTH_USEC) + what the device writes from one look to the next
 *
 * What was written is told, in this order, by pswpout of memory.stat (6.13 and newer), by io.stat's wbytes of
 * the swap devices (where the io controller is on, and each has a device of its own), or from what is
 * charged, with what has come back (workingset_refault_anon): there, what is freed by an exit hides as much
 * of what is written. The statistics lag (pswpout by up to 2 s), memory.swap.current does not: what it grew
 * by is counted at once. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "policy/bucket.h"

#define PACE_DEPTH_USEC (2 * USEC_PER_SEC)
#define PACE_DEBT_USEC (600 * USEC_PER_SEC) /* more is not owed: nobody is to stand still for hours */
#define PACE_TOLD_USEC (4 * USEC_PER_SEC)   /* by then the statistics tell of what was charged */
#define PACE_LACK_USEC (2 * USEC_PER_SEC)
#define PACE_BACK_USEC (10 * USEC_PER_SEC)
#define PACE_WANTS_USEC USEC_PER_SEC
#define PACE_MINUTE 60

/* A group at a look; totals count since it was made. */
struct pace_reading {
    uint64_t now_usec;
    uint64_t charged_bytes;  /* memory.swap.current */
    uint64_t written_bytes;  /* UINT64_MAX: nothing tells */
    uint64_t returned_bytes; /* of what was written; used where nothing tells */
    uint64_t kept_bytes;     /* of what is charged, in memory all the same (zswap) */
    bool zswap;              /* what is charged may be kept */
    bool born;               /* it was not there at the look before */
};

struct pace_group {
    uint64_t seen_usec; /* 0: not yet */
    uint64_t charged_bytes, written_bytes, returned_bytes, kept_bytes;
    uint64_t ahead_bytes;  /* counted as it was charged, and not told yet */
    uint64_t lack_bytes;   /* what nothing tells of: by so much less is charged than was */
    uint64_t back_per_sec; /* what came back and let as much be written: the most, slowly forgotten */
    uint64_t wrote_usec;   /* last */
};

struct pace_class {
    struct bucket bucket;
    uint64_t written_bytes;             /* since it is known */
    uint64_t minute_bytes[PACE_MINUTE]; /* a second each */
    uint64_t second;                    /* of the last of them */
    unsigned groups, wanting;           /* that share the tokens; those that wrote a moment ago */
};

/* What it has written since the last look. */
uint64_t pace_note_group(struct pace_group *g, const struct pace_reading *in);
bool pace_wants(const struct pace_group *g, uint64_t now_usec);
/* What all its groups have written since. UINT64_MAX: without limit, it is only counted. */
void pace_note_class(struct pace_class *c, uint64_t limit_per_sec, uint64_t now_usec, uint64_t wrote_bytes);
/* Nothing is owed, and nothing more can be put by. */
bool pace_is_full(const struct pace_class *c, uint64_t limit_per_sec);
/* How long until it may write again; 0: now. */
uint64_t pace_closed_usec(const struct pace_class *c, uint64_t limit_per_sec);
/* The memory.swap.max of one of its groups until the next look. */
uint64_t pace_swap_max(const struct pace_class *c, const struct pace_group *g, uint64_t next_usec);
/* What was written in the last minute. */
uint64_t pace_minute(const struct pace_class *c, uint64_t now_usec);
