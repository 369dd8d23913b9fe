/* What a group says of itself, and how far it is believed. A value that makes the group go earlier is always
 * honoured; one that makes it go later only where root owns the cgroup's directory, or where everybody whom
 * it could be shifted to belongs to the same owner: nobody can make his group outlive another owner's by an
 * attribute. */
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
    uint64_t progress_usec; /* the greater of CPU time and unpaused age since its birth, or since
                               user.headroom.started */
};

/* True where every populated group of the snapshot has the same owner. */
bool claims_one_owner(const struct snapshot *s);

void claims_resolve(const struct config *c, const struct snapshot *s, const struct group *g, bool one_owner,
                    struct standing *ret);
