/* One clock for everything: CLOCK_BOOTTIME in microseconds, the one in which the kernel gives start times of
 * processes, so that an age is a plain difference. */
#pragma once

#include <stdint.h>

uint64_t clock_now_usec(void);
uint64_t clock_monotonic_usec(void); /* what systemd wants to be told (MONOTONIC_USEC=) */
uint64_t clock_wall_usec(void);      /* CLOCK_REALTIME, for people only */
