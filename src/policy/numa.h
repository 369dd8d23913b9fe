/* Shortage on some NUMA nodes, while there is memory on others. Pure.
 *
 * Work that is bound to nodes (cpuset.mems) finds no memory where these have none, however much is free
 * elsewhere: the kernel then kills somebody who may have memory there. Each set of nodes that groups are
 * bound to, and that is not all of the machine, is therefore a domain of its own, without a brake:
 *
 *   used      = unreclaimable memory on the nodes of the set, whoever holds it
 *   limit     = their total − clamp(5 % of it, 64 MiB (at most an eighth), 1 GiB)
 *   room      = min(limit − used, what is available there) + effective swap, felt or not
 *   need      = max(0, reaction margin − room)
 *
 *
 * but only while those that are bound there grow: work that is not bound fills a node to the watermark before
 * it goes on with the next one, so a full node alone is no shortage.
 *
 * What is needed there can only come from who holds memory there, and only what he holds there counts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/decision.h"
#include "model/snapshot.h"

#define NUMA_SETS_MAX 32

struct numa_state {
    uint64_t sets[NUMA_SETS_MAX];  /* that groups are bound to; of more the others are not looked at */
    uint64_t grown[NUMA_SETS_MAX]; /* by so much those did in GROUP_GROWTH_USEC that are bound within it */
    unsigned set_count;
    uint64_t last_usec; /* 0: not yet */
    uint64_t last_used[NODELIST_MAX];
    uint64_t growth[NODELIST_MAX];      /* bytes per second, fast to rise and slow to fall */
    uint64_t growth_peak[NODELIST_MAX]; /* the same, forgotten within a minute */
};

/* After each walk over the groups: which sets there are, and how those grow that are bound to them. */
void numa_note_groups(const struct snapshot *s, struct numa_state *st);
/* At each look: how fast each node fills. */
void numa_note_look(const struct snapshot *s, struct numa_state *st);

/* Of these nodes; `domain` says what swap is left. */
void numa_room(const struct snapshot *s, const struct numa_state *st, const struct room *domain,
               uint64_t nodes, struct room *ret);
/* Of the set that needs most, else of the one with the least room for its size. False: nobody is bound. */
bool numa_tightest(const struct snapshot *s, const struct numa_state *st, const struct room *domain,
                   struct room *ret);
/* When the next look is due: before a set could be full at the fastest plausible growth. UINT64_MAX: nobody
 * is bound. */
uint64_t numa_next_look_usec(const struct snapshot *s, const struct numa_state *st,
                             const struct room *domain);
/* A set is so full that it matters who grows there: the groups are to be read often. */
bool numa_is_filling(const struct snapshot *s, const struct numa_state *st);

/* Whether a group can hold anything there that it should be asked for. */
bool numa_concerns(const struct group *g, uint64_t nodes);
/* What of a group counts for this need: all of it, or what it holds on the nodes that are short. */
struct group_memory numa_counted(const struct room *r, const struct group *g);
uint64_t numa_held(const struct room *r, const struct group *g);
/* Whether what it grows by is there: who may have memory elsewhere as well is nobody's cause. */
bool numa_grows_there(const struct room *r, const struct group *g);
/* Of its growth the part that it holds there of its memory. */
uint64_t numa_grown(const struct room *r, const struct group *g, uint64_t grown);
