/* Which rung of the ladder: the gentlest that covers the need and completes within the time left. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "model/decision.h"

struct ladder_rung {
    bool possible; /* somebody may be asked, paused, killed */
    bool covers;   /* what it is expected to bring is enough */
    uint64_t usec; /* how long it is expected to take, learned */
};

/* Gentlest first: the first rung that covers and is done before time_left_usec. Where none is in time, the
 * quickest that covers; where none covers, the harshest that is possible, since it brings most. ACTION_COUNT:
 * none is possible. */
enum action ladder_choose(const struct ladder_rung rungs[static ACTION_COUNT], uint64_t time_left_usec);

/* Whether it is enough that `growth_permyriad` of the growth stops: the need was the margin for growth, or a
 * stall on swapped-out memory that fewer running groups end. */
bool ladder_pause_covers(const struct room *r, uint64_t growth_permyriad);
