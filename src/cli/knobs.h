/* What the sub-commands share that change knobs without a daemon: `undo` and `qos`. */
#pragma once

#include <stdbool.h>

#include "action/knobs.h"
#include "cli/cli.h"

#define KNOBS_MORE_LEASES 8192

extern struct lease knobs_more_leases[KNOBS_MORE_LEASES];

struct cli_knobs {
    int root_fd;
    int runtime_fd; /* run/headroom; -1: it is not there */
    bool real_root;
    struct hierarchy hierarchy; /* its fd is -1 where there is none */
};

/* False: said on stderr, behind `who`. With `create`, run/headroom is made where it is missing. */
bool knobs_open(struct cli_knobs *u, const struct cli_options *o, const char *who, bool create);
void knobs_close(struct cli_knobs *u);
struct knobs knobs_of(struct cli_knobs *u, struct journal *journal, struct lease_table *table);
/* Waits a moment for who has it. */
bool knobs_lock(int lock_fd);
/* The lock of the plan (QOS_LOCK). False: it is another one's, and said on stderr, behind `who`. */
bool knobs_lock_qos(int lock_fd, const char *who);
/* Puts back what `headroom qos apply` has set or, with `all`, everything, and says so. The exit code. */
int knobs_undo(struct cli_knobs *u, bool all, bool json);
