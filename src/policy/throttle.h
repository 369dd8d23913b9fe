/* A group at its own memory.high with nothing to reclaim sleeps in the kernel at each allocation, and the
 * kernel's killer is never called: without somebody who looks it hangs for good. So nobody is throttled for
 * more than ThrottleDeadline: what did not get below by reclaim, or end, until then has its own limit raised
 * (never the domain's, which others share): once half the way to the most that it may have, then to that,
 * where memory.max and the domain's brake are what holds it. It comes back when the group is well below.
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_MAX 256 /* groups at their limits at a time; who comes later waits for a place */
/* So much of the time the group must stand still (PSI full) to be throttled, not only slowed down. */
#define THROTTLE_STALL_PERMYRIAD 2000

/* One group at a look. */
struct throttle_look {
    uint64_t id;
    uint64_t now_usec;
    uint64_t before_usec;   /* when it was looked at before; 0: never */
    uint64_t current_bytes; /* memory.current */
    uint64_t high_bytes;    /* memory.high as it stands */
    uint64_t planned_bytes; /* as the plan has it */
    uint64_t bound_bytes;   /* the most that the group may have */
    uint64_t high_events;   /* memory.events.local; needed where throttle_is_near() */
    uint64_t full_usec;     /* PSI full, total; UINT64_MAX: there is none, and the events must do */
};

struct throttle_group {
    uint64_t id; /* 0: free */
    uint64_t seen_usec;
    uint64_t since_usec; /* at its limit at the latest since then */
    uint64_t high_events;
    uint64_t full_usec;
    uint64_t raised_bytes; /* 0: not raised; UINT64_MAX: it has none */
};

struct throttle_state {
    struct throttle_group groups[THROTTLE_MAX];
};

/* Whether it may be at its limit: the last two of a look are read only then. */
bool throttle_is_near(uint64_t current_bytes, uint64_t high_bytes);
/* One look at one group. Returns what its memory.high is to be: planned_bytes, or more; UINT64_MAX: none.
 * *ret_raised: this look has raised it. */
uint64_t throttle_step(struct throttle_state *s, const struct throttle_look *l, uint64_t deadline_usec,
                       bool *ret_raised);
/* What has not been looked at since is forgotten: it has ended. */
void throttle_forget_before(struct throttle_state *s, uint64_t usec);
