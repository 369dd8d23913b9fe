/* Offload while all is calm (policy/offload.h says how much of whom): what the loop keeps for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "policy/offload.h"
#include "server/control.h"

struct daemon;
struct worker_reply;

/* Of one group. */
struct offload_row {
    struct offload_state state;
    uint64_t bounds_due_usec; /* when the next three are read again */
    uint64_t protection_bytes;
    uint64_t swap_max_bytes;
    bool no_writeback; /* memory.zswap.writeback is 0: what zswap does not take stays in memory */
};

struct daemon_offload {
    struct offload_row *rows; /* as the snapshot's handles; not touched before somebody is offloaded */
    bool on;                  /* some class asks for it */
    bool calm;
    unsigned next;   /* group of the snapshot that is looked at next */
    unsigned groups; /* that are offloaded, as of the last look */

    /* What it may cost: of the loop a thousandth of the time, of the worker a twentieth. */
    int64_t budget_usec;
    uint64_t budget_at_usec;
    uint64_t worker_due_usec;

    /* Of the node, looked at now and then. */
    uint64_t node_due_usec;
    bool disk_swap;
    bool disk_written; /* what is swapped may be written there, and wear it out */
    bool zswap;
    bool pointless;          /* there is swap, and what goes there takes as much memory as before */
    unsigned zram_permyriad; /* of what goes to zram, what it still takes */
    struct offload_bucket bucket;
    bool no_swappiness; /* the kernel does not take it with a request */

    /* What the worker is at: a step of this row, and what was asked for by hand, for which it leaves that. */
    bool busy;
    bool stopped; /* it has been told to leave it */
    unsigned row;
    uint64_t request_bytes;
    uint64_t ticket; /* who waits for what is done by hand; 0: nobody */
    uint64_t by_hand_bytes;

    uint64_t steps, spent_usec, requests, worker_usec, asked_bytes, took_bytes, swapped_bytes;
};

int offloading_open(struct daemon *d) _nodiscard_; /* before the companions are forked */
void offloading_step(struct daemon *d);            /* at each look */
void offloading_note_pressure(struct daemon *d);   /* a PSI trigger has fired */
void offloading_note(struct daemon *d, const struct worker_reply *reply);
int offloading_command(struct daemon *d, const struct control_command *c, char *text, size_t size);
void offloading_fill_status(struct daemon *d, struct status *s);
