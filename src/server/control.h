/* The control socket: Varlink's framing (one JSON object a message, ended by NUL), so that `varlinkctl` is a
 * client too. Who may ask is decided by SO_PEERCRED: root and the group `headroom` (or everybody, with
 * StatusAccess=all) may read; only root may change anything.
 *
 * Clients cost a fixed amount: CONTROL_CLIENTS_MAX of them, one request of at most CONTROL_REQUEST_MAX and
 * one reply buffer each. One that sends too much or vanishes is let go of; nothing waits for one that does
 * not read. When the table is full a new client takes the place of the one that has been silent longest, of
 * those who may not read the status first, so that nobody can keep others out by sitting there. JSON is built
 * by jansson in an arena that is emptied after each request: no heap.
 *
 * This layer changes nothing itself: it checks who asks and what the request is made of, and hands a command
 * to the daemon. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/macros.h"
#include "model/run.h"
#include "model/snapshot.h"
#include "model/status.h"
#include "server/stream.h"
#include "system/loop.h"

#define CONTROL_CLIENTS_MAX 8
#define CONTROL_REQUEST_MAX 4096
#define CONTROL_REQUEST_PARTS_MAX 64 /* braces, brackets, commas and colons in it */
#define CONTROL_REPLY_MAX 65536
#define CONTROL_ARENA_SIZE 262144
#define CONTROL_PATH "run/headroom/headroom.sock"
#define CONTROL_INTERFACE "io.headroom"

#define CONTROL_TEXT_MAX 512

typedef void (*control_status_fn)(void *user, struct status *ret);

enum control_verb {
    CONTROL_PAUSE,
    CONTROL_RESUME,
    CONTROL_HOLD, /* no action by itself for usec; 0 ends it */
    CONTROL_RELOAD,
    CONTROL_RUN,     /* the asking process goes into a new group; also of users, as the configuration says */
    CONTROL_RUN_END, /* that group is removed */
    CONTROL_OFFLOAD, /* `bytes` of a group's memory are pushed out */
};

/* Tickets of a kind are in order; these bits tell the kinds apart (neither: Reload). */
#define CONTROL_TICKET_RUN (UINT64_C(1) << 63)
#define CONTROL_TICKET_OFFLOAD (UINT64_C(1) << 62)
#define CONTROL_TICKET_KIND (CONTROL_TICKET_RUN | CONTROL_TICKET_OFFLOAD)

/* Who asks, as the kernel says it. */
struct control_peer {
    int fd;
    pid_t pid; /* 0: of another pid namespace */
    uid_t uid;
    gid_t gid;
    uint64_t since_usec; /* when his connection was taken */
};

/* What an operator, or somebody who starts work, wants done. */
struct control_command {
    enum control_verb verb;
    char group[GROUP_PATH_MAX]; /* relative to the hierarchy's root, or "PATH#PID"; not checked beyond length
                                 */
    uint64_t usec;
    uint64_t bytes;              /* CONTROL_OFFLOAD */
    uint64_t id;                 /* CONTROL_RUN_END: of the group */
    char class[CONFIG_NAME_MAX]; /* CONTROL_RUN */
    struct run_attributes run;
    const struct control_peer *peer; /* NULL: not known */
};

/* Where a run goes: into a group that was made, or into a scope of systemd's that is still to be made. */
struct control_place {
    char group[GROUP_PATH_MAX]; /* "": nowhere */
    uint64_t id;                /* 0: a scope, whose unit the last part of the path is */
    bool of_user;               /* of the user's own systemd */
};

/* Does it. ret_text: one sentence for people, always set. 0 or negative errno: -ENOENT: there is no such
 * group, -EPERM: its class or an attribute does not allow it, -EBUSY: not now, -EOPNOTSUPP: not possible
 * here, -EINVAL: the configuration is not good, -EINPROGRESS: control_answer says how it ended, of
 * control.ticket, which it has set. It may end a decision (control_notify): no JSON is under way while it
 * runs. */
typedef int (*control_command_fn)(void *user, const struct control_command *c, char *ret_text, size_t size);

struct control_client {
    int fd; /* -1: free */
    struct control_peer peer;
    bool may_read;
    bool may_change;
    uint64_t waits_for; /* the ticket whose answer it waits for; 0: none */
    char request[CONTROL_REQUEST_MAX];
    size_t request_length;
    char reply[CONTROL_REPLY_MAX];
    size_t reply_length;
    size_t reply_sent;
    struct stream stream; /* what is still to be sent */
    uint64_t last_use;    /* of control.uses; the least one has been silent longest */
};

struct control {
    struct loop *loop;
    int fd;
    gid_t group; /* (gid_t)-1: there is none */
    bool access_all;
    control_status_fn status;
    control_command_fn command; /* NULL: nothing can be changed here */
    status_group_fn group_row;  /* NULL: there are none to be shown */
    void *user;
    const struct record_ring *ring; /* what Explain and Events show; NULL: nothing */
    const struct config *config;
    struct stream opened;            /* by the request that was handled last */
    bool nothing_yet;                /* it has no first message now */
    uint64_t ticket;                 /* of the command that was handled last and is under way; 0: none is */
    const struct control_peer *peer; /* whose request is handled */
    struct control_place place;      /* what the command that was handled last has brought */
    struct arena arena;
    struct control_client clients[CONTROL_CLIENTS_MAX];
    uint64_t uses;
    uint64_t refused; /* turned away, or let go of for another one */
};

/* Listens on `path` (relative to dir_fd; an old socket of that name is replaced). */
int control_init(struct control *c, struct loop *l, const char *path, bool access_all,
                 control_status_fn status, void *user) _nodiscard_;
/* Makes a status for nobody, before memory is locked: what jansson calls is resolved with its first use, by
 * the dynamic linker, which need not stay in memory for it. */
void control_rehearse(struct control *c);
void control_deinit(struct control *c, const char *path);

/* A decision has ended: those who follow are told. */
void control_notify(struct control *c);

/* What was under way is done: those are told who wait for this ticket, or for an earlier one. `details`:
 * lines for people. */
void control_answer(struct control *c, uint64_t ticket, int result, const char *text, const char *details);

/* The run of this ticket (CONTROL_TICKET_RUN and a number) is under way no more. */
void control_answer_run(struct control *c, uint64_t ticket, int result, const char *text,
                        const struct control_place *place);

/* Whether he is a member of one of these groups of users. */
bool control_peer_is_in(const struct control_peer *peer, const uint32_t *gids, unsigned count);

/* One whole request to one whole reply (without the NUL); what a client's message goes through. -ENOBUFS: the
 * reply did not fit. Public for tests. */
int control_handle(struct control *c, const char *request, size_t length, bool may_read, bool may_change,
                   char *ret, size_t size, size_t *ret_length) _nodiscard_;
