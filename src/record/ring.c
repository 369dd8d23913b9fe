#include "record/ring.h"

#include <stddef.h>
#include <string.h>

void record_ring_init(struct record_ring *r)
{
    memset(r, 0, sizeof(*r));
    r->next_id = 1;
}

struct decision *record_ring_add(struct record_ring *r)
{
    struct decision *d = &r->decisions[r->next_id % RECORD_RING_SIZE];

    memset(d, 0, sizeof(*d));
    d->id = r->next_id++;
    return d;
}

const struct decision *record_ring_get(const struct record_ring *r, uint64_t id)
{
    const struct decision *d = &r->decisions[id % RECORD_RING_SIZE];

    return id != 0 && d->id == id ? d : NULL;
}

const struct decision *record_ring_last(const struct record_ring *r)
{
    return record_ring_get(r, r->next_id - 1);
}
