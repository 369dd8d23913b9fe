/* systemd's readiness and watchdog protocol (sd_notify(3)): a datagram to $NOTIFY_SOCKET. By hand, as its
 * authors advise: the library would be 6 MiB of locked memory. */
#pragma once

#include <stdint.h>

/* Looks at NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Without them every call is a no-op. */
void notify_init(void);
/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…"; lost without a word where the socket is gone. */
void notify_send(const char *state);
/* Half of the watchdog's interval; 0: none is asked for. */
uint64_t notify_watchdog_usec(void);
/* A sign of life, where the watchdog wants one and the last was a quarter of its interval ago. */
void notify_watchdog(uint64_t now_usec);
