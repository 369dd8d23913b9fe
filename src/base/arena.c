/* A bump pointer. Pieces cannot be given back one by one on purpose: what is taken together is forgotten
 * together, and so there is nothing to leak and nothing that fragments in a process that runs for months. */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

void arena_init(struct arena *a, void *storage, size_t size)
{
    *a = (struct arena){.data = storage, .size = size};
}

void *arena_take(struct arena *a, size_t size)
{
    /* The address is what has to be aligned, not the offset: the caller's storage may begin anywhere. */
    const size_t alignment = _Alignof(max_align_t);
    size_t left = a->size - a->used;
    size_t padding = (alignment - ((uintptr_t)a->data + a->used) % alignment) % alignment;
    unsigned char *piece;

    if (!a->data || padding > left || size > left - padding)
        return NULL;

    piece = a->data + a->used + padding;
    a->used += padding + size;
    if (a->used > a->peak)
        a->peak = a->used;
    memset(piece, 0, size);
    return piece;
}

void arena_reset(struct arena *a)
{
    a->used = 0;
}
