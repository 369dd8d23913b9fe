/* Whose memory is pushed out to swap: the rung of the ladder before anybody is paused. Pure.
 *
 * Only what goes to swap counts: page cache is in no need (policy/room). Lowest priority first; of one
 * priority the paused ones first, whose memory nobody touches, of them the newest, which goes on last; then
 * whoever holds most. Where all work is of one priority and nobody is paused, the workload is reclaimed from
 * as a whole: the kernel knows which pages are cold, and who holds them.
 *
 * Unless they are wanted back (policy/room): then none are cold, and taken from all alike they are missed by
 * all, over and over, most of all by those who go through their memory in turn. So the newest of the lowest
 * priority gives, as with a pause: the older ones have all of theirs, end sooner, and leave it more. (A storm
 * of 16, seconds with all alike → with the newest: 6.1, zswap 42.7 → 39.7; 6.12, disk 40.9 → 32.8, zswap 31.3
 * → 30.6; 7.2, disk 41 → 36.4, zswap 45.7 → 37.9.) Not with zram, whose pool takes what is written from the
 * same memory: 31 → 38 there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"

#define RECLAIM_WHOLE CONFIG_CLASSES_MAX /* in the place of a class: a workload as a whole */
/* Less than this from one group is not worth a request. */
#define RECLAIM_LEAST_BYTES MIB
/* Groups that were read longer ago than this say nothing of who holds what. */
#define RECLAIM_FRESH_USEC (2 * USEC_PER_SEC)

/* What reclaim brings in one class, learned from outcomes: means that move by a quarter of the difference. */
struct reclaim_estimate {
    uint64_t bytes_per_sec;
    unsigned yield_permyriad; /* of what was asked for */
    unsigned fruitless;       /* times in a row that brought next to nothing */
    uint64_t not_before_usec; /* passed over until then */
};

/* A group that had next to nothing to give. */
struct reclaim_spent {
    uint64_t id;
    uint64_t until_usec;
};

struct reclaim_state {
    struct reclaim_estimate of[CONFIG_CLASSES_MAX + 1];
    struct reclaim_spent spent[8]; /* a ring */
    unsigned spent_next;
};

struct reclaim_target {
    unsigned class_index; /* RECLAIM_WHOLE: `index` is of a workload, else of a group */
    unsigned index;
    bool in_place_of_all; /* a group, and all would have given */
    uint64_t bytes;
    uint64_t expected_bytes; /* what of it should come back */
    uint64_t expected_usec;
};

void reclaim_state_init(struct reclaim_state *state);

/* Who is to give up to `bytes`; `paused_only`: of what nobody touches. False: nobody can, or what could was
 * fruitless lately. */
bool reclaim_choose(const struct config *c, const struct snapshot *s, const struct room *r,
                    const struct reclaim_state *state, uint64_t bytes, bool paused_only,
                    struct reclaim_target *ret);

/* What it brought. One that brought less than a tenth is not tried again for a second, then two, at most 32.
 */
void reclaim_note_outcome(struct reclaim_state *state, unsigned class_index, uint64_t now_usec,
                          uint64_t asked_bytes, uint64_t freed_bytes, uint64_t usec);
/* For a second the group is not asked in the place of all: it brought less than a tenth, or is gone. */
void reclaim_note_spent(struct reclaim_state *state, uint64_t cgroup_id, uint64_t now_usec);
