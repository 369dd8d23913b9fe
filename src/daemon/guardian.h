/* What the loop (guarding.c) and its guardian (guardian.c) tell each other, a message a packet. */
#pragma once

#include "action/hook.h"
#include "action/run.h"
#include "action/worker.h"
#include "base/units.h"
#include "daemon/keeper.h"

#define GUARDIAN_BEAT_USEC USEC_PER_SEC

/* A page that both share. The beat is no message: each look has one, and it would be a third of what a calm
 * look costs. */
struct guardian_page {
    uint64_t beat_usec; /* when the loop beat last, by the clock that both wait by: it stands in a suspend */
    /* Rises when the guardian begins with a fence, to an odd number, and when it is done; one that had
     * nothing to do takes it back. What the loop asked its worker for before a fence is not written after it.
     */
    uint64_t fence_sequence;
    struct hook_counts hook_counts;
};

enum message_kind {
    MESSAGE_BYE,      /* the daemon stops and has put its knobs back */
    MESSAGE_PROPERTY, /* value → knob, through systemd */
    MESSAGE_RELOAD,   /* read the configuration; value: of the request */
    MESSAGE_RELOADED, /* to the loop; value: the same, cgroup_id: enum reload_outcome */
    MESSAGE_FENCED,   /* to the loop */
    MESSAGE_KEEPER,   /* the plan, or whether there is one, has changed; to the loop: what the keeper says */
    MESSAGE_FAILED,   /* to the loop: systemctl did not do it; it was written plainly */
    MESSAGE_RUN,      /* make a group for a process; to the loop: what came of it */
    MESSAGE_RUN_END,  /* remove it; cgroup_id */
};

struct message {
    enum message_kind kind;
    char path[WORKER_PATH_MAX];
    char knob[WORKER_KNOB_MAX];
    uint64_t cgroup_id;
    uint64_t value;
    bool paced; /* a property: its memory.swap.max is another one in a moment */
};

struct keeper_news {
    enum message_kind kind;
    struct keeper_message keeper;
};

struct run_message {
    enum message_kind kind;
    uint64_t ticket;
    struct run_order order;
};

struct run_answer {
    enum message_kind kind;
    int result;
    uint64_t ticket;
    uint64_t id;
    char path[WORKER_PATH_MAX];
};

/* They are told apart by their sizes. */
_Static_assert(sizeof(struct run_answer) != sizeof(struct message) &&
                   sizeof(struct run_answer) != sizeof(struct keeper_news) &&
                   sizeof(struct run_message) != sizeof(struct message),
               "two kinds of message of one size");

int guardian_main(int fd, void *user); /* struct guardian_options */
