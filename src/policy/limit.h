/* The limit of the domain (DESIGN, "Monitors, modes, limits"): pure arithmetic. */
#pragma once

#include <stdint.h>

#include "model/config.h"
#include "model/snapshot.h"

/* SystemReserve=auto: clamp(10 % of total, 512 MiB, 10 GiB) (Ray's default), at most a quarter of total. */
uint64_t limit_system_reserve(const struct config *c, uint64_t total_bytes);

/* HostLimit=auto: total − clamp(5 % of total, 128 MiB, 4 GiB). HostLimit=ray: max(95 % of total, total −
 * MinFree). */
uint64_t limit_host(const struct config *c, uint64_t total_bytes);

/* The two bounds that make up the shared limit, since different things count against them: the node's share
 * (total − SystemReserve), against which shared memory charged elsewhere and a growing system count, too; and
 * what others allow the workloads themselves (memory.high, memory.max less the margin; UINT64_MAX: nothing
 * said), against which only what is charged to them does. */
uint64_t limit_node_share(const struct config *c, const struct snapshot *s);
uint64_t limit_own(const struct snapshot *s);

/* The shared limit of all workloads: min(total − SystemReserve, an existing memory.high, memory.max of it and
 * its ancestors less the reaction margin), rounded down to a page. With several workloads an own limit bounds
 * only the one that has it, so the shared limit is total − SystemReserve and at most the sum of what each may
 * have. */
uint64_t limit_isolate(const struct config *c, const struct snapshot *s);

/* What workload i's memory.high is to be: its own bound, and what it uses plus the room that all share. */
uint64_t limit_workload_high(const struct config *c, const struct snapshot *s, unsigned i);

/* The reaction margin that is used where growth is not known: limit / 64, from 4 to 128 MiB. */
uint64_t limit_margin(uint64_t limit_bytes);
