/* Who is killed: the newest groups of the lowest-priority class that together free what is needed. Pure.
 *
 * Order: priority ascending, retriable before not retriable, newest first (birth, then cgroup id). From that
 * order groups are taken until they cover need + margin, then every one that is not needed for the cover is
 * given back, oldest first: no group dies that adds nothing. The margin on top keeps one kill from being
 * followed by the next one a moment later. What a group frees is anon + kernel memory; its shmem counts only
 * where nothing else is left to take, since files on tmpfs outlive their writer. */
#pragma once

#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"

/* Groups that free less than this are passed over: ending them costs somebody something and brings nothing.
 */
#define VICTIM_USEFUL_BYTES UINT64_C(262144)

/* Fills reason, counts, victims and expected_bytes of *d for a need > 0 that is in d->room. While a group
 * that was killed is still dying (and not known to be stuck), nobody else is chosen. */
void victim_choose(const struct config *c, const struct snapshot *s, struct decision *d);
