#include "policy/ladder.h"

#include "base/macros.h"
#include "base/units.h"
#include "policy/limit.h"

enum action ladder_choose(const struct ladder_rung rungs[static ACTION_COUNT], uint64_t time_left_usec)
{
    enum action best = ACTION_COUNT;

    for (enum action a = 0; a < ACTION_COUNT; a++)
        if (rungs[a].possible && rungs[a].covers && rungs[a].usec <= time_left_usec)
            return a;
    for (enum action a = 0; a < ACTION_COUNT; a++)
        if (rungs[a].possible && rungs[a].covers &&
            (best == ACTION_COUNT || rungs[a].usec < rungs[best].usec))
            best = a;
    for (enum action a = ACTION_COUNT; a-- > 0 && best == ACTION_COUNT;)
        if (rungs[a].possible)
            best = a;
    return best;
}

bool ladder_pause_covers(const struct room *r, uint64_t growth_permyriad)
{
    uint64_t least = limit_margin(r->limit), growing = u64_sub_floor(r->margin, least);

    if (r->felt && r->thrash > 0)
        return true;
    growing -= u64_mul_div(growing, u64_min(growth_permyriad, PERMYRIAD), PERMYRIAD);
    return r->room >= 0 && (uint64_t)r->room >= least + growing;
}
