/* What the tests of this layer share: a generator whose seed is the test's, a node as plain data, and groups
 * on it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/units.h"
#include "model/config.h"
#include "model/decision.h"
#include "model/snapshot.h"

/* splitmix64: every seed gives another run, and the same seed the same one everywhere. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound;
}

/* Values at the ends of their ranges, and a few in the middle. */
static inline uint64_t random_extreme(uint64_t *state)
{
    static const uint64_t values[] = {
        0,
        1,
        4095,
        4096,
        MIB,
        GIB,
        UINT64_C(1) << 40,
        INT64_MAX - UINT64_C(1),
        INT64_MAX,
        UINT64_C(1) << 63,
        UINT64_MAX - 4096,
        UINT64_MAX - 1,
        UINT64_MAX,
    };

    return random_below(state, 4) == 0 ? random_next(state) : values[random_below(state, ARRAY_SIZE(values))];
}

static inline uint64_t page_floor(uint64_t bytes)
{
    return bytes / 4096 * 4096;
}

/* A node of 10 GiB with a reserve of 2 GiB, so that the limit of its workloads is 8 GiB and the margin 128
 * MiB. */
#define NODE_TOTAL (10 * GIB)
#define NODE_RESERVE (2 * GIB)
#define NODE_LIMIT (8 * GIB)
#define NODE_MARGIN (128 * MIB)

static inline void node_config(struct config *c)
{
    config_init_defaults(c);
    c->system_reserve = (struct amount){AMOUNT_BYTES, NODE_RESERVE};
}

static inline void node_snapshot(struct snapshot *s, bool isolate, unsigned workloads)
{
    memset(s, 0, sizeof(*s));
    s->now_usec = 1000 * USEC_PER_SEC;
    s->isolate = isolate;
    s->node.mem_total = s->node.total = s->node.available = NODE_TOTAL;
    s->workload_count = workloads;
    for (unsigned i = 0; i < workloads; i++) {
        struct workload *w = &s->workloads[i];

        (void)snprintf(w->path, sizeof(w->path), "work-%u.slice", i);
        w->id = 100 + i;
        w->high = w->foreign_high = w->max = w->swap_room = UINT64_MAX;
    }
}

/* The workload uses this much, and nothing else is on the node. */
static inline void node_use(struct snapshot *s, unsigned workload, uint64_t bytes)
{
    uint64_t all = 0;

    s->workloads[workload].used = s->workloads[workload].anon = bytes;
    for (unsigned i = 0; i < s->workload_count; i++)
        all = u64_add_cap(all, s->workloads[i].used);
    s->node.unreclaimable = all;
    s->node.available = u64_sub_floor(s->node.total, all);
}
