/* One clock for everything: CLOCK_BOOTTIME in microseconds, the one in which the kernel gives start times of
 * processes, so that an age is a plain difference. */
#pragma once

#include <stdint.h>

uint64_t clock_now_usec(void);
/* What systemd wants to be told (MONOTONIC_USEC=), and what a command takes: not while the machine sleeps. */
uint64_t clock_monotonic_usec(void);
uint64_t clock_wall_usec(void); /* CLOCK_REALTIME, for people only */
