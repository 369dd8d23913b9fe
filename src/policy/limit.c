#include "policy/limit.h"

#include <stdbool.h>

#include "base/macros.h"
#include "base/units.h"

#define PAGE_BYTES UINT64_C(4096)

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

uint64_t limit_system_reserve(const struct config *c, uint64_t total_bytes)
{
    uint64_t automatic = u64_min(clamp(total_bytes / 10, 512 * MIB, 10 * GIB), total_bytes / 4);

    return u64_min(amount_bytes(&c->system_reserve, total_bytes, automatic), total_bytes);
}

uint64_t limit_host(const struct config *c, uint64_t total_bytes)
{
    uint64_t share;

    if (c->host_limit == HOST_LIMIT_AUTO)
        return u64_sub_floor(total_bytes, clamp(total_bytes / 20, 128 * MIB, 4 * GIB));

    share = u64_mul_div(total_bytes, 95, 100);
    if (c->min_free.kind == AMOUNT_UNSET)
        return share;
    return u64_max(share, u64_sub_floor(total_bytes, amount_bytes(&c->min_free, total_bytes, 0)));
}

uint64_t limit_margin(uint64_t limit_bytes)
{
    return clamp(limit_bytes / 64, 4 * MIB, 128 * MIB);
}

/* What others allow this workload: their memory.high, and memory.max with room to act before the kernel
 * kills. */
static uint64_t own_bound(const struct workload *w)
{
    uint64_t bound = w->foreign_high;

    if (w->max != UINT64_MAX)
        bound = u64_min(bound, u64_sub_floor(w->max, limit_margin(w->max)));
    return bound;
}

uint64_t limit_node_share(const struct config *c, const struct snapshot *s)
{
    uint64_t share = u64_sub_floor(s->node.total, limit_system_reserve(c, s->node.total));

    return u64_min(u64_add_cap(share, s->limit_step), s->node.total) / PAGE_BYTES * PAGE_BYTES;
}

uint64_t limit_own(const struct snapshot *s)
{
    uint64_t sum = 0;
    bool any = false;

    for (unsigned i = 0; i < s->workload_count; i++)
        if (s->workloads[i].id != 0) {
            sum = u64_add_cap(sum, own_bound(&s->workloads[i]));
            any = true;
        }
    return any ? sum : UINT64_MAX;
}

uint64_t limit_isolate(const struct config *c, const struct snapshot *s)
{
    return u64_min(limit_node_share(c, s), limit_own(s)) / PAGE_BYTES * PAGE_BYTES;
}

uint64_t limit_workload_high(const struct config *c, const struct snapshot *s, unsigned i)
{
    uint64_t limit = limit_isolate(c, s), others = 0, high;

    for (unsigned j = 0; j < s->workload_count; j++)
        if (j != i && s->workloads[j].id != 0)
            others = u64_add_cap(others, s->workloads[j].used);
    /* Never squeezed below a 64th of the limit by a neighbour that is over: the kill is the cure for that. */
    high = u64_max(u64_sub_floor(limit, others), limit_margin(limit));
    return u64_min(high, own_bound(&s->workloads[i])) / PAGE_BYTES * PAGE_BYTES;
}
