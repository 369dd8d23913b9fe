/* Whether fewer groups side by side would get more done. Pure.
 *
 * A domain that has swap to grow into is not full, and may do well: what went out may never be wanted again.
 * It does badly where its groups wait for memory more than they work:
 *
 *   working = Σ over the running groups: what it holds (at most what has its place in memory) × (1 − the
 *             share of the time that it stands still)
 *   fitting = Σ of what those of them hold, highest priority and oldest first, that have their place in
 *             memory with all that they hold and are certain to grow by
 *
 * Once working < CROWD_SHARE × fitting for CROWD_AFTER_USEC, those that fit would do more by themselves, and
 * the others lose nothing by waiting. As long as little is read back from a device (zswap, zram, or what goes
 * there has only begun to), for CROWD_AFTER_UNREAD_USEC: what comes back costs less, and the first wave that
 * goes is a stall of all of them, and over soon. A group stands still for memory (PSI `full` of its
 * memory.pressure), or for pages that are read back from swap (of its io.pressure, times the share that swap
 * has in all reads): the kernel counts the latter as a stall on memory only where it takes the page for one
 * of the working set. A group that neither works nor waits is in neither sum. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/decision.h"
#include "model/snapshot.h"

#define CROWD_SHARE_PERMYRIAD 8000
#define CROWD_AFTER_USEC UINT64_C(500000)
#define CROWD_AFTER_UNREAD_USEC UINT64_C(1500000)
/* So long the stalls of groups, which are read only while the domain is strained, may be unknown. */
#define CROWD_UNKNOWN_USEC UINT64_C(2000000)

struct pause_row;

enum crowd {
    CROWD_UNKNOWN, /* the stalls of too few groups are known */
    CROWD_NO,
    CROWD_YES,
};

struct crowd_state {
    uint64_t since_usec;   /* fewer would do more; 0: not so */
    uint64_t unknown_usec; /* since when it cannot be told; 0: it can, or need not */
};

/* Rows in the order in which they are paused: the first one first. `place_bytes` is what has its place in
 * memory. */
enum crowd crowd_judge(struct crowd_state *state, const struct snapshot *s, const struct room *r,
                       const struct pause_row *rows, unsigned count, uint64_t place_bytes);
