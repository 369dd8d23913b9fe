/* The last decisions, kept for whoever asks, in storage of the caller. */
#pragma once

#include <stdint.h>

#include "model/decision.h"

#define RECORD_RING_SIZE 64

struct record_ring {
    struct decision decisions[RECORD_RING_SIZE];
    uint64_t next_id; /* the first decision is 1 */
    uint64_t kills;   /* victims signalled since start */
    uint64_t stuck;
};

void record_ring_init(struct record_ring *r);
/* The slot of a new decision, emptied but for its id. It stays valid until RECORD_RING_SIZE further ones. */
struct decision *record_ring_add(struct record_ring *r);
/* NULL: never was, or is forgotten. */
const struct decision *record_ring_get(const struct record_ring *r, uint64_t id);
const struct decision *record_ring_last(const struct record_ring *r);
