/* The keeper of the QoS plan (policy/qos): a process of its own, forked by the guardian only where the
 * configuration asks for a plan. It is no part of what guards: a node has hundreds of knobs, and some of its
 * writes may block (a limit that is lowered is reclaimed to by who lowers it),
 * which neither the loop nor the dead-man switch may. So it has memory of its own that is not locked, and the
 * guard goes on whatever becomes of it.
 *
 * Every KEEPER_LOOK_USEC it reads the tree, plans and writes what differs, as leases of the journal of
 * `headroom qos apply`, whose lock it holds. What the loop knows (the configuration in force, how much the
 * work may have) is on pages that all share and that nobody touches where there is no plan. What it has to
 * tell (somebody else has set a knob) goes to the guardian, which hands it on to the loop. Knobs of systemd's
 * units are the guardian's to set: a set-property takes all memory properties of a unit along as they stand,
 * so two at a time would undo each other.
 *
 *   loop ── configuration, limit: shared pages ──▶ keeper ── drift ──▶ guardian ──▶ loop: record
 *
 * It puts everything back when it is told so, or when no plan is asked for any more. When its socket ends
 * without a word (the guardian is gone), it leaves all as it is: its successor adopts it, or `headroom undo`
 * puts it back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "action/worker.h"
#include "base/macros.h"
#include "model/config.h"
#include "record/ring.h"

#define KEEPER_LOOK_USEC (2 * UINT64_C(1000000))
#define KEEPER_BATCH_MAX 32

/* Since the start; written by the keeper, read by the loop. */
struct keeper_counts {
    uint64_t looks;
    uint64_t look_usec; /* what the last one took */
    uint64_t groups;    /* cgroups in the last plan */
    uint64_t leases;    /* knobs and processes that are ours now */
    uint64_t yielded;   /* of them, left to who keeps setting them */
    uint64_t drifts;
    uint64_t failures;
    uint64_t raised; /* a group's memory.high, after ThrottleDeadline */
};

/* What a class has swapped out to devices (daemon/pacing). */
struct keeper_swap {
    uint64_t written_bytes; /* since it is kept */
    uint64_t minute_bytes;  /* of that, in the last minute */
};

struct keeper_block {
    uint64_t sequence;              /* of what follows; odd while it is being written */
    bool wanted;                    /* there is a plan to keep */
    uint64_t allocatable_bytes;     /* what the work may have; changes without the sequence */
    uint64_t protected_cache_bytes; /* the keeper's: page cache that memory.min keeps, as of its last look */
    struct keeper_counts counts;
    struct keeper_swap swap[CONFIG_CLASSES_MAX]; /* by class, of the configuration with this sequence */
    uint64_t swap_sequence;
    struct record_knob batch[KEEPER_BATCH_MAX]; /* the loop's: what is still to be recorded */
    struct config config; /* with the workloads by their paths; the classes up to class_count */
};

enum keeper_message_kind {
    KEEPER_LOOK, /* to the keeper: something has changed */
    KEEPER_BYE,  /* put everything back, and end */
    KEEPER_DRIFT,
    KEEPER_SAYS,     /* a warning, in path */
    KEEPER_PROPERTY, /* `ours` is to be set through systemd */
};

struct keeper_message {
    enum keeper_message_kind kind;
    uint8_t done; /* of a drift: enum record_knob_done */
    bool paced;   /* of a property: the cgroup's memory.swap.max is another one in a moment */
    char path[WORKER_PATH_MAX];
    char knob[WORKER_KNOB_MAX];
    uint64_t id, found, ours;
};

bool keeper_is_asked_for(const struct config *c);
/* The loop's side of the block: a configuration, with the workloads as they are. */
void keeper_publish(struct keeper_block *b, const struct config *c, bool wanted,
                    const char (*workloads)[CONFIG_PATH_MAX], unsigned workload_count);
/* The keeper's: a whole one. False: it is being written. */
bool keeper_read(const struct keeper_block *b, struct config *ret, bool *ret_wanted, uint64_t *ret_sequence);

struct pacing;
/* What is told of the classes' swap; of another configuration than that with this sequence it would be
 * others'. */
void keeper_publish_swap(struct keeper_block *b, const struct pacing *p, uint64_t sequence,
                         uint64_t now_usec);
/* The loop's: false: of the configuration in force it is not known yet. */
bool keeper_read_swap(const struct keeper_block *b, unsigned class_index, struct keeper_swap *ret);

struct keeper_options {
    const char *sysroot;
    struct keeper_block *block;
};

/* The keeper's main; its exit status: 0 when there is nothing (more) to keep. */
int keeper_main(int fd, const struct keeper_options *o);

/* ---- in the guardian ---- */

struct keeper_child {
    struct keeper_options options;
    bool wanted;
    bool bye;
    pid_t pid; /* 0: it does not run */
    int fd;    /* read to its end, even of one that is gone; -1: it is */
    uint64_t started_usec;
    uint64_t retry_usec; /* not started again before */
    uint64_t backoff_usec;
};

void keeper_child_start(struct keeper_child *k, uint64_t now_usec);
/* Something has changed: it looks at once, or is started. */
void keeper_child_wake(struct keeper_child *k, uint64_t now_usec);
/* It puts everything back and ends, which keeper_child_check sees; where there is none just now, another one
 * does. */
void keeper_child_bye(struct keeper_child *k, uint64_t now_usec);
/* After each wait: one that has ended follows another, not at once if it keeps ending. */
void keeper_child_check(struct keeper_child *k, uint64_t now_usec);
/* It leaves everything as it is: a successor is to have it. */
void keeper_child_abandon(struct keeper_child *k);
/* True: *ret is what it says. */
bool keeper_child_receive(struct keeper_child *k, struct keeper_message *ret);
