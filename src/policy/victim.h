/* Who is killed: the least progress lost. Pure.
 *
 * Tiers: priority ascending; retriable before not; over its request (or without one) before within it; those
 * that asked to be spared, or whose task was killed often, last. In the lowest tier the set that covers the
 * need with the least total progress (policy/cover); where all of a tier is not enough, all of it, and the
 * next one. A group that the cover does not need is given back.
 *
 * The culprit goes first, however old: a group of the lowest priority that is over its request (without one:
 * over its fair share, (limit − all requests) / groups without request, and larger than any other of its
 * class), and the cause of more than half of the growth of the last 5 s. It is killed to stop its growth,
 * even if it frees nothing.
 *
 * What a group frees: anon + kernel memory + shmem × a fraction learned per class from outcomes, which starts
 * at 0: shared anonymous memory dies with its group, files on tmpfs do not. Page cache never counts.
 *
 * What owners say who are not root is heard in a second round, among those that were chosen without it and
 * those that offer to go earlier: an offer can take the place of a victim, and never makes one of somebody
 * who offered nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"
#include "policy/cover.h"
#include "policy/victim_state.h"

/* Storage of the caller for as many groups as a snapshot may hold. */
struct victim_scratch {
    struct candidate *candidates;
    struct cover_item *items;
};

/* Fills reason, method, counts, victims and expected_bytes of *d for the need in d->room, and
 * scratch->candidates with one row a group, in the order of the snapshot. While a group that was killed is
 * still dying (and not known to be stuck), nobody else is chosen. */
void victim_choose(const struct config *c, const struct snapshot *s, struct victim_state *state,
                   struct victim_scratch *scratch, struct decision *d);
/* What those would free together who could be killed next for the same need: all who may be, but the victims,
 * of no higher priority than those. 0 where the need is one of some NUMA nodes. */
uint64_t victim_next_bytes(const struct config *c, const struct snapshot *s, const struct victim_state *state,
                           const struct decision *d);
