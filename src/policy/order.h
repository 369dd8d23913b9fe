/* The orders of a class (Order=) within a tier: each group has a rank, and the first ones go until it is
 * enough. The default, the least progress lost, takes a set instead of the first ones: policy/cover. Pure. */
#pragma once

#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"
#include "policy/claims.h"
#include "policy/cover.h"

/* Smaller goes first. Of what a group holds and grows by, what counts for the need of `room`. */
uint64_t order_rank(enum order order, const struct room *room, const struct group *g,
                    const struct standing *st);

/* Sorts the items, whose cost is their rank, and marks those that are taken: from the first on until it is
 * enough; then the last that are not needed are given back. */
void order_choose(struct cover_item *items, unsigned count, uint64_t need_bytes);

/* In GROUP_GROWTH_USEC. A paused one would have gone on growing as it did: that it stands still makes nobody
 * else the cause. */
uint64_t order_growth_bytes(const struct room *room, const struct group *g);
