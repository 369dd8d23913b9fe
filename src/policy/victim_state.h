/* What is remembered from one kill to the next: what shared memory gives back, which tasks were killed often,
 * how many kills KillLimit still allows, and whether killing is of use. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"

/* Groups that free less than this are passed over: ending them costs somebody something and brings nothing.
 */
#define VICTIM_USEFUL_BYTES UINT64_C(262144)
#define VICTIM_LINEAGES_MAX 256
/* After this many kills in a row that left the need as it was, killing stops for VICTIM_FRUITLESS_USEC. */
#define VICTIM_FRUITLESS_MAX 2
#define VICTIM_FRUITLESS_USEC UINT64_C(10000000)

/* What is remembered from outcome to outcome. */
struct victim_state {
    uint64_t
        shmem_permyriad[CONFIG_CLASSES_MAX]; /* how much of its shmem a dead group of the class gave back */
    unsigned fruitless;                      /* kills in a row */
    uint64_t fruitless_until_usec;
    uint64_t tokens_permyriad; /* kills that KillLimit still allows × 10000 */
    uint64_t tokens_usec;      /* when they were last counted; 0: never */
    struct {
        uint64_t task;
        unsigned kills;
        uint64_t last_usec;
    } lineages[VICTIM_LINEAGES_MAX];
};

/* Whether KillLimit allows no kill now: it is a bucket that fills up within a minute, and beyond it half of
 * the margin must be gone. */
bool victim_is_limited(const struct config *c, struct victim_state *state, const struct room *r,
                       uint64_t now_usec);
/* The outcome of a kill: learns what shmem gives back, counts the task's kills, and notices that killing is
 * no use. next_bytes: victim_next_bytes() of now. By how much that is more than d->next_bytes hides as much
 * of what the victims freed, and is what another kill would bring; growth of anybody else is what no kill
 * ends. */
void victim_note_outcome(const struct decision *d, struct victim_state *state, uint64_t next_bytes);
/* Called with every look: a need that has gone by itself ends the stop. */
void victim_note_need(struct victim_state *state, uint64_t need_bytes);
/* How often the task was killed. */
unsigned victim_lineage_kills(const struct victim_state *state, uint64_t task);
