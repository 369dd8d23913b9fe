/* A fixed block from which start-up (or one request) takes pieces, and which is emptied whole. It is what
 * replaces the heap in the loop process: full means an error at a known place, never a page fault under
 * pressure. */
#pragma once

#include <stddef.h>

#include "base/macros.h"

struct arena {
    unsigned char *data;
    size_t size;
    size_t used;
    size_t peak; /* the most that was ever used: what a size should have been */
};

void arena_init(struct arena *a, void *storage, size_t size);
/* Zeroed, aligned for any type; NULL when it does not fit. */
void *arena_take(struct arena *a, size_t size);
void arena_reset(struct arena *a);
