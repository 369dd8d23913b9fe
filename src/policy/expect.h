/* What groups are still expected to grow by. Pure.
 *
 *   expected(g) = its request, else the learned peak of its class, less what it holds; beyond that, and where
 *                 nothing is known, its rate × EXPECT_HORIZON_USEC; but who has just come to the learned peak
 *                 is thought to stop within the spread of his class
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "model/config.h"
#include "model/snapshot.h"
#include "policy/claims.h"

#define EXPECT_HORIZON_USEC UINT64_C(2000000)
#define EXPECT_NEWBORN_USEC USEC_PER_SEC
#define EXPECT_LEAST_BYTES MIB

/* What the groups of a class come to, learned from those that ended by themselves: a mean and a mean
 * deviation, both moved by an eighth of the difference (as TCP estimates its round trip, RFC 6298). */
struct expect_peak {
    uint64_t bytes;
    uint64_t deviation;
    unsigned seen; /* 0: nothing is known */
};

/* What a group of a class is thought to come to. */
struct expect_size {
    uint64_t bytes;
    uint64_t spread_bytes; /* learned: that much more is still the same size */
    bool settled;          /* not a lower bound */
    bool learned;
};

/* Once after each walk: what the groups that ended came to. */
void expect_note_ended(struct expect_peak peaks[static CONFIG_CLASSES_MAX], const struct snapshot *s);
void expect_class(const struct snapshot *s, unsigned class_index, const struct expect_peak *peak,
                  struct expect_size *ret);
uint64_t expect_held_bytes(const struct group *g); /* swap included */
uint64_t expect_growth_bytes(const struct group *g, const struct standing *st,
                             const struct expect_size *class);
/* Over its request (without one: twice as large as any other of its class, and a quarter of the limit) and
 * the cause of most of the growth: what the kill policy takes for the culprit. To pause it would keep what it
 * has taken from the others for PauseLimit, to pause others for it would be worse: it is let grow until it is
 * killed for it. */
bool expect_runaway(const struct config *c, const struct snapshot *s, uint64_t limit_bytes,
                    const struct group *g, const struct standing *st);
