/* Other managers of memory on the same node: found by their processes, their sockets and the units that start
 * them at boot, each with what it does beside us and what to do about it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MANAGERS_MAX 16
#define MANAGER_TEXT_MAX 300

struct manager {
    const char *name;
    bool conflicts; /* it acts on its own terms: one of the two should go */
    char text[MANAGER_TEXT_MAX];
};

/* Fills at most MANAGERS_MAX; how many. reserve_bytes: what headroomd leaves free of total_bytes; 0: not
 * known.
 */
unsigned managers_find(int root_fd, uint64_t reserve_bytes, uint64_t total_bytes,
                       struct manager ret[static MANAGERS_MAX]);
