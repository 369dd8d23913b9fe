/* Reading the configuration anew while the daemon runs.
 *
 * The loop must not allocate and must not wait, and reading files does both (a drop-in may lie on a file
 * system that hangs, a user's name may be asked of a directory service). So the loop asks the guardian, and
 * the guardian, which must not wait either, lets a child of its own read: it has a time limit, and takes with
 * it whatever it has allocated. The configuration that it found comes back in a mapping that is shared since
 * the start and locked like everything else, with one message that says that it is there; the loop takes it
 * over between two looks.
 *
 *   loop ── RELOAD, sequence ──▶ guardian ── fork ──▶ child: files → shared block
 *   loop ◀── RELOADED, outcome ── guardian ◀── exit ──┘
 *
 * A file that is not good changes nothing. The old configuration stays in force until the new one has been
 * checked as a whole, so that at no moment there is none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "config/config.h"
#include "server/control.h"

#define RELOAD_TEXT_MAX CONTROL_TEXT_MAX

struct daemon;

enum reload_outcome {
    RELOAD_READ,     /* the block says what came of it */
    RELOAD_FAILED,   /* no child could be started, or it crashed */
    RELOAD_TOO_SLOW, /* it was killed when its time was over */
};

/* Shared by the three processes; written by the child alone, read by the loop after the child has ended. */
struct reload_block {
    struct config config;
    struct config_messages messages;
    unsigned files;    /* that were read */
    int result;        /* of config_load_origins */
    uint64_t sequence; /* of the request that this answers; written last */
    bool pods_only;    /* the loop's: only what config.pod_file says is asked for */
};

/* Which files: what the child needs to know. */
struct reload_source {
    const char *config_path; /* NULL: the default one */
    bool real_root;          /* false: a recorded tree, whose configuration is only what is named */
    struct reload_block *block;
};

/* ---- the guardian's side ---- */

struct reload_child {
    pid_t pid; /* 0: there is none */
    int fd;    /* a pidfd, readable when it has ended; -1 where there is none */
    uint64_t due_usec;
    uint64_t sequence;
};

/* Starts it, in the place of one that is still at it. False: it cannot be started. `guardian_fd` is closed in
 * it.
 */
bool reload_child_start(struct reload_child *c, const struct reload_source *source, uint64_t sequence,
                        int guardian_fd);
/* Call when its fd is readable, and at due_usec. True: it has ended, as *ret says. */
bool reload_child_check(struct reload_child *c, enum reload_outcome *ret);

/* ---- the loop's side ---- */

struct reload {
    struct reload_block *block;
    struct reload_source source;
    uint64_t sequence; /* of the last request; each has its own */
    bool pending;      /* it is not answered yet */
    bool pods_again;   /* PodFile= has changed meanwhile */
    bool again;        /* asked for meanwhile: what was changed after the files were read would be missed */
    struct loop_timer *timer;
    uint64_t good;
    uint64_t refused;
    uint64_t at_usec;
    bool was_good;
    char text[RELOAD_TEXT_MAX];
};

/* At start: the block, and the configuration itself. Says what is wrong with it; negative errno: it is not
 * good. */
int reload_init(struct daemon *d) _nodiscard_;
int reload_load_first(struct daemon *d) _nodiscard_;
/* Asks for it; what comes of it is logged, and shown in the status. False: nobody can be asked now, and text
 * says why. */
bool reload_request(struct daemon *d, char *ret_text, size_t size);
/* PodFile= has changed, and nothing else is to be read; what comes of it is logged (pods.c). False: nobody
 * can be asked now. */
bool reload_request_pods(struct daemon *d);
/* The guardian has answered, or is gone. */
void reload_on_answer(struct daemon *d, uint64_t sequence, enum reload_outcome outcome);
void reload_on_guardian_gone(struct daemon *d);
/* The handler of commands: Reload here, all others in pausing.c. */
int reload_command(void *user, const struct control_command *c, char *ret_text, size_t size);
void reload_fill_status(const struct daemon *d, struct status *s);
/* apply.c: takes over d->reload.block->config, which is the old one afterwards. -EOPNOTSUPP: it is not
 * possible here, text says why, and all is as it was. */
struct buffer;
int reload_apply(struct daemon *d, struct buffer *details, char *ret_text, size_t size) _nodiscard_;
