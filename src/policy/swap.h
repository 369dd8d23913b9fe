/* How much swap the work can still take, where groups have limits of their own (a tier of memory QoS, the
 * kubelet, an operator): what the node has free is no room to those who may not use it, and to count it as
 * room is to see a shortage only when all of them stand at the brake.
 *
 *   room of a workload = Σ groups min over itself and what it is in (memory.swap.max − memory.swap.current)
 *                        + what it holds outside of the groups − what has gone to swap since they were read
 *
 * where every group in it is known and limited; else the groups say nothing. The groups are read in walks,
 * seconds apart, and the workload's own memory.swap.current at each look, so that no look costs more than
 * before. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/snapshot.h"

/* As of the last walk. */
struct swap_bound {
    uint64_t id; /* of the workload; 0: its groups are no bound */
    uint64_t room_bytes;
    uint64_t charged_bytes; /* of the workload, then */
};

#define SWAP_FAILED_MAX 3 /* walks, one after the other */

struct swap_bounds {
    unsigned failed; /* so many walks since then */
    struct swap_bound workloads[SNAPSHOT_WORKLOADS_MAX];
};

/* After a walk over the groups; `whole`: it succeeded. Short of memory one may fail, which is when the room
 * counts: what is known stays for a few. */
void swap_note_groups(const struct snapshot *s, bool whole, struct swap_bounds *b);
/* After a look: what the groups cannot take is no room of their workload's. Never makes it more. */
void swap_bound_workloads(const struct swap_bounds *b, struct snapshot *s);
