/* What a group says of itself, and how far it is believed. A value that makes the group go earlier is always
 * heard; one that makes it go later only where root owns the cgroup's directory, or where everybody whom it
 * could be shifted to belongs to the same owner: nobody can make his group outlive another owner's by an
 * attribute.
 *
 * To be heard is not to decide for others: even a value that makes a group go earlier changes which set is
 * the cheapest, so that a decoy could draw a neighbour in and let its owner's larger group off. policy/victim
 * therefore chooses first by what root says (claims_resolve_silent), and lets the others' values only take
 * the place of what was chosen so. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/snapshot.h"

/* After this many kills a task goes last in its tier: retried, it would always be the newest. */
#define CLAIMS_LINEAGE_KILLS 3

/* A group as the policy takes it. */
struct standing {
    unsigned priority;
    bool retriable;
    bool omit;
    bool last;
    bool over_request;      /* holds more than its request; a group without one counts as over it */
    uint64_t request_bytes; /* GROUP_REQUEST_NONE: none */
    uint64_t age_usec;      /* unpaused, since its birth or since user.headroom.started */
    uint64_t progress_usec; /* the greater of CPU time and unpaused age since its birth, or since
                               user.headroom.started */
};

/* True where every populated group of the snapshot has the same owner. */
bool claims_one_owner(const struct snapshot *s);

void claims_resolve(const struct config *c, const struct snapshot *s, const struct group *g, bool one_owner,
                    struct standing *ret);

/* What its request is held against: all of its memory. What it has in swap is not there. */
uint64_t claims_held_bytes(const struct group *g);

/* Whether all that a group says is believed. */
bool claims_trusted(const struct group *g, bool one_owner);
/* True where the group says something that only counts if it makes it go earlier. */
bool claims_unheard(const struct group *g, bool one_owner);
/* As if only root (or the only owner) had said anything. */
void claims_resolve_silent(const struct config *c, const struct snapshot *s, const struct group *g,
                           bool one_owner, struct standing *ret);
