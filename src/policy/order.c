#include "policy/order.h"

#include "base/macros.h"
#include "base/sort.h"
#include "base/units.h"
#include "policy/numa.h"

/* So many bits hold any amount of memory, and leave ten for a priority. */
#define RANK_BITS 53
#define RANK_MAX ((UINT64_C(1) << RANK_BITS) - 1)

uint64_t order_growth_bytes(const struct room *room, const struct group *g)
{
    uint64_t would = g->paused ? u64_mul_div(g->rate, GROUP_GROWTH_USEC, USEC_PER_SEC) : 0;

    return numa_grown(room, g, u64_max(g->growth_bytes, would));
}

uint64_t order_rank(enum order order, const struct room *room, const struct group *g,
                    const struct standing *st)
{
    uint64_t request = st->request_bytes == GROUP_REQUEST_NONE ? 0 : st->request_bytes;
    uint64_t held = numa_held(room, g), over = u64_sub_floor(held, request);

    switch (order) {
    case ORDER_NEWEST:
        return st->age_usec;
    case ORDER_OLDEST:
        return UINT64_MAX - st->age_usec;
    case ORDER_LARGEST:
        return UINT64_MAX - held;
    case ORDER_GROWTH:
        return UINT64_MAX - order_growth_bytes(room, g);
    case ORDER_SWAP:
        return UINT64_MAX - g->swap;
    case ORDER_OVER_REQUEST:
        return UINT64_MAX - over;
    case ORDER_KUBELET: /* its priority, then the most over its request */
        return ((uint64_t)st->priority << RANK_BITS) + RANK_MAX - u64_min(over, RANK_MAX);
    case ORDER_LEAST_PROGRESS:
        break;
    }
    return st->progress_usec;
}

/* Their cost is their rank. */
static bool goes_first(const void *va, const void *vb, const void *user _unused_)
{
    const struct cover_item *a = va, *b = vb;

    if (a->cost != b->cost)
        return a->cost < b->cost;
    return a->tie != b->tie ? a->tie > b->tie : a->minor > b->minor;
}

void order_choose(struct cover_item *items, unsigned count, uint64_t need_bytes)
{
    unsigned __int128 freed = 0;

    sort_array(items, count, sizeof(*items), goes_first, NULL);
    for (unsigned i = 0; i < count && freed < need_bytes; i++) {
        items[i].taken = true;
        freed += items[i].bytes;
    }
    for (unsigned i = count; i-- > 0;)
        if (items[i].taken && freed - items[i].bytes >= need_bytes) {
            items[i].taken = false;
            freed -= items[i].bytes;
        }
}
