/* Where a watch could be: what the program or the environment names, else the places that are looked at in
 * turn. Nothing is opened here. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "headroom.h"

#define FIND_PAYLOAD_MAX 4096 /* PIPE_BUF: a FIFO takes that much in one piece */
#define FIND_ROOT_MAX 256

struct find_named {
    bool is_named; /* else nobody has said anything */
    bool is_off;
    char path[PATH_MAX];
    unsigned char payload[FIND_PAYLOAD_MAX];
    size_t payload_length;
};

/* The options' path, else the environment's. `error` gets a sentence where it fails: -EBADMSG, -E2BIG,
 * -ENAMETOOLONG, -EINVAL. */
int find_named(const struct headroom_options *options, struct find_named *ret, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#define FIND_PLACES 3 /* headroomd's socket, the own cgroup, the node */

/* The place of this rank, the best is 0, under `root` ("" but in tests). -ENOENT: there is none here (no
 * cgroup v2, or the own cgroup is outside of what this container sees). */
int find_place(unsigned rank, const char *root, char *ret, size_t size) __attribute__((warn_unused_result));
