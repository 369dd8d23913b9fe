/* Offload: how much of a group's memory is pushed out while all is calm, so that what it does not use lies
 * where memory is cheap. Pure, integers only.
 *
 * The fixed law (OffloadRatio=0.0005) is TMO's (Weiner et al., ASPLOS 2022): each interval
 *
 *     memory.current × ratio × max(0, 1 − some / threshold)
 *
 * with `some` the greater of memory's and of I/O's PSI over the very interval, at most 1 % a step. Requests
 * gather until they are OFFLOAD_LEAST_BYTES, since the kernel reclaims in batches; what it takes beyond what
 * was asked is debt, which is worked off first (seen on 6.12: 77 MiB for 103 pages, of memory that nothing
 * had ever been reclaimed from). The adaptive law, which sees what comes of it, works off no more than a step
 * of it.
 *
 * The adaptive law finds how much of a group nobody misses, in minutes. It is congestion control with a
 * remembered edge, as in TCP CUBIC (RFC 9438), with the size of the group in the place of the window's
 * inverse:
 *
 *  - slow start: the ratio doubles every OFFLOAD_DOUBLE_USEC from TMO's own, up to 1 % a second, for as long
 *    as nothing is felt;
 *  - backing off: what is felt ends it at once. The size at which that was so is the edge, if what
 *    comes back is about what was taken (far more: it has turned to other memory; hardly any: it waits for
 *    something else; nor the first time, where the kernel has just taken far more than it was asked for,
 *    whatever came first). Nothing is asked until the hold is over, which doubles each time that what was
 *    taken since the last one is felt again soon: 10 s to 2 min, and to 30 s where no edge is
 *    known (lists that were never sorted give what is used, too, and
 *    are sorted by being asked). Where far more has come back in it than was beyond the edge (an eighth),
 *    there is another set, whose edge is not known;
 *  - concave: from above a known edge a sixteenth of the distance is taken a second, so that it is come to
 *    ever more slowly;
 *  - convex: at the edge it probes with a sixth of TMO's ratio a second, which is TMO's pace, doubled for
 *    each quarter of a minute in which nothing is felt, which is longer than it takes to feel: an edge that
 *    has moved down is found again in minutes, one that has not costs a few pages a probe.
 *
 * Felt is: the PSI (memory or I/O, `some`) at the threshold, over some 10 s, or at eight times that in one
 * step; or more than half of what was taken coming back, and still doing so, beyond what comes back anyway
 * (the mean of a minute: pages that are rarely used come back now and then, ever more of them, but slowly);
 * or a PSI trigger of the domain. Below the threshold what is asked for tapers off as in the fixed law, so
 * that a group whose rarely used pages cost something comes to rest under it. A quarter coming back, or a
 * kernel that has to look at eight pages to find one, halves the ratio.
 *
 * It is stable because what is taken in the time that it takes to be felt is bounded,
 * 1 % a second far from the edge and 1/16 of the distance near it; because nothing has to be given back, as
 * no limit stands: memory.reclaim leaves none, and a group that wants a page back has it; and because the
 * hold grows with each meeting, so that the share of the time in which anything is felt at an edge that does
 * not move goes to (time until felt) / (2 min). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "model/config.h"
#include "policy/bucket.h"

#define OFFLOAD_PAGE UINT64_C(4096)
#define OFFLOAD_LEAST_BYTES (64 * OFFLOAD_PAGE)
#define OFFLOAD_KEEP_BYTES (16 * MIB) /* no group is made smaller than this */
#define OFFLOAD_STEP_PERMYRIAD 100    /* 1 %: at most so much of a group a step */
#define OFFLOAD_DOUBLE_USEC (4 * USEC_PER_SEC)
#define OFFLOAD_HOLD_LEAST_USEC (10 * USEC_PER_SEC)
#define OFFLOAD_HOLD_MOST_USEC (120 * USEC_PER_SEC)

/* What is read of a group before each step. Totals count since ever; differences are what matters. */
struct offload_reading {
    uint64_t now_usec;
    uint64_t current_bytes;    /* memory.current */
    uint64_t protection_bytes; /* max(memory.min, memory.low) */
    uint64_t file_bytes;       /* page cache that can go: on the file lists */
    uint64_t anon_bytes;       /* on the anonymous lists */
    uint64_t swap_room_bytes;  /* of it, at most so much can be swapped; 0: there is no swap */
    uint64_t memory_some_usec;
    uint64_t io_some_usec;
    uint64_t refault_bytes;  /* wanted back after it had been reclaimed, of files and of swap */
    uint64_t scan_pages;     /* looked at by reclaim */
    uint64_t steal_pages;    /* and taken */
    uint64_t zswapped_bytes; /* in zswap, as they were */
    uint64_t zswap_bytes;    /* and what that takes */
    uint64_t budget_bytes;   /* of what may be swapped, so much may be asked for now; UINT64_MAX: all */
    bool file_only_possible; /* the kernel takes swappiness=0 with a request */
    bool swap_pointless;     /* what goes there takes as much memory as before (zram) */
};

/* Why not more is asked for, of the last step. */
enum offload_why {
    OFFLOAD_WHY_NEW,            /* nothing is known yet */
    OFFLOAD_WHY_RATIO,          /* it is as fast as its ratio */
    OFFLOAD_WHY_CAP,            /* 1 % a step */
    OFFLOAD_WHY_GATHERS,        /* not 64 pages yet */
    OFFLOAD_WHY_DEBT,           /* the kernel took more than was asked for */
    OFFLOAD_WHY_MEMORY,         /* waiting for memory is felt */
    OFFLOAD_WHY_IO,             /* waiting for block devices is felt */
    OFFLOAD_WHY_RETURNS,        /* what was taken comes back */
    OFFLOAD_WHY_HOLD,           /* it was felt a short while ago */
    OFFLOAD_WHY_EDGE,           /* near what it is known to need */
    OFFLOAD_WHY_GROWS,          /* it is growing */
    OFFLOAD_WHY_FLOOR,          /* the rest is protected, or cannot be reclaimed */
    OFFLOAD_WHY_BUDGET,         /* SwapWriteLimit is used up */
    OFFLOAD_WHY_INCOMPRESSIBLE, /* zswap gains nothing with it */
    OFFLOAD_WHY_LEVEL,          /* the node is not calm */
};

/* One word for data, a few for people. */
const char *offload_why_name(enum offload_why w);
const char *offload_why_text(enum offload_why w);

/* What is remembered of a group. All zero: nothing. */
struct offload_state {
    uint64_t id;        /* of the cgroup; 0: not in use */
    uint64_t step_usec; /* the last step; 0: none yet */
    uint64_t due_usec;  /* the next one */
    uint64_t memory_some_usec, io_some_usec, refault_bytes, scan_pages, steal_pages, current_bytes;
    uint64_t pending_bytes; /* gathered, and not asked for yet */
    uint64_t debt_bytes;
    uint64_t asked_bytes; /* in the last step */
    uint64_t took_bytes;  /* since the last step */
    uint32_t ratio_ppm;   /* of memory.current a second (adaptive), or an interval (fixed) */
    uint32_t memory_ppm;  /* of the time, a mean over some 10 s */
    uint32_t io_ppm;
    uint64_t taken_per_sec; /* means over some 10 s */
    uint64_t returned_per_sec;
    uint64_t background_per_sec; /* what comes back anyway: slow to rise, fast to fall */
    uint64_t edge_bytes;         /* 0: not met yet */
    uint64_t hold_until_usec;
    uint64_t hold_usec;       /* the last hold */
    uint64_t hold_took_bytes; /* took_total_bytes as it began */
    uint64_t probe_usec;      /* since when nothing has been felt at the edge; 0: it is not there */
    enum offload_why why;
    uint64_t wanted_bytes; /* by the law, in the last step */
    uint64_t asked_total_bytes, took_total_bytes, returned_total_bytes, swapped_total_bytes;
    uint64_t file_bytes, swap_bytes, zswapped_bytes, zswap_bytes; /* as of the last step, for people */
};

/* What is to be asked of the kernel now. */
struct offload_request {
    uint64_t bytes; /* 0: nothing */
    bool file_only;
};

/* How long after a step the next one of a group of this class is due. */
uint64_t offload_interval_usec(const struct class_config *c, const struct offload_state *s);

/* When the next step of a group of this class is due, by what the class asks for now. */
uint64_t offload_due_usec(const struct class_config *c, const struct offload_state *s);

/* One step of one group. The first one only notes the totals. */
struct offload_request offload_step(const struct class_config *c, const struct offload_reading *in,
                                    struct offload_state *s);
/* What came of a request: how much of it the kernel was asked for (what it was not, for want of time, is due
 * again), and what has gone from memory, compressed pages counted as they were. */
void offload_note_outcome(struct offload_state *s, uint64_t requested_bytes, uint64_t asked_bytes,
                          uint64_t took_bytes, uint64_t swapped_bytes);
/* A PSI trigger has fired, or the node is not calm any more. */
void offload_back_off(struct offload_state *s, uint64_t now_usec, enum offload_why why);

/* What may be written to swap devices: limit_per_sec on average, with what was written by anybody counted,
 * and at no time more than OFFLOAD_BUCKET_USEC put by, or the least request; nor so much that a burst like
 * the largest so far would give any minute 1.2 times the limit. What is asked for is not what is written
 * (files and zswap take their part), so the share is learned: up at once, down by an eighth. */
#define OFFLOAD_BUCKET_USEC (4 * USEC_PER_SEC)
#define OFFLOAD_SHARE_LEAST 2500 /* permyriad: a share that rises again must not cost too much */
#define OFFLOAD_SLOT_USEC (4 * USEC_PER_SEC)
#define OFFLOAD_SLOTS 16 /* a minute, and the one that has just begun */

struct offload_bucket {
    struct bucket tokens;
    uint64_t asked_bytes; /* since it was filled */
    unsigned share_permyriad;
    uint64_t slot_bytes[OFFLOAD_SLOTS]; /* written */
    uint64_t slot;                      /* the last one, since boot */
    uint64_t burst_bytes;               /* the most that a request swapped, forgotten slowly */
    uint64_t window_bytes;              /* what the minute leaves */
};

void offload_bucket_fill(struct offload_bucket *b, uint64_t limit_per_sec, uint64_t now_usec,
                         uint64_t written_bytes);
void offload_bucket_note_asked(struct offload_bucket *b, uint64_t bytes);
/* What came of one request. */
void offload_bucket_note_swapped(struct offload_bucket *b, uint64_t bytes);
/* What may be asked for now, where some of it may be written. */
uint64_t offload_bucket_may_ask(const struct offload_bucket *b);
