/* The undo journal: every knob that is changed is written down first, with the value that it had, so that a
 * stop, a restart, `headroom undo` and the guardian can put the node back as it was found, whoever of them
 * comes to do it.
 *
 * A text file in the runtime directory (a tmpfs: gone with the boot that its values belong to), one line a
 * change, appended by one write each before the knob is touched:
 *
 *     headroom-journal 1 BOOT_ID
 *     lease id=ID knob=memory.high was=max ours=870318080 path=workload.slice
 *     release id=ID knob=memory.high path=workload.slice
 *
 *     lease id=ID knob=cgroup.freeze was=0 ours=1 path=workload.slice/task-1
 *     lease id=START_USEC knob=SIGSTOP:PID was=0 ours=1 path=workload.slice
 *
 *     lease id=START_USEC knob=oom_score_adj:PID was=1000 ours=1700 path=workload.slice/task-1
 *     lease id=ID knob=memory.high was=max ours=870318080 drift=yielded path=workload.slice/task-1
 *
 * A pause is a lease like any other; that of a single process names its pid in the knob, and its start time
 * stands for the id, as with its oom_score_adj. Leases keep the order in which they were first taken, over a
 * rewrite, too, so that what was paused first can be let run first.
 *
 * The last lease line of an (id, knob) counts; its `ours` and the one before it are both ours, since a crash
 * may fall between the line and the write. A last line without newline was never acted on. The file is
 * written anew, by rename, when it has grown. A full file system refuses the line, and then the knob is not
 * changed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

#define JOURNAL_LEASES_MAX (64 + 256) /* knobs, and pauses (PAUSES_MAX) */
#define JOURNAL_NAME "journal"
#define JOURNAL_QOS_NAME                                                                                     \
    "journal-qos" /* of `headroom qos apply`: thousands of leases, which a daemon has no place for */
#define JOURNAL_KNOB_MAX 24
#define JOURNAL_PATH_MAX 256
#define JOURNAL_FREEZE "cgroup.freeze"
#define JOURNAL_SIGSTOP "SIGSTOP"
#define JOURNAL_SCORE "oom_score_adj"
#define JOURNAL_SCORE_ZERO 1000 /* there are no signs in a journal: 0 stands for -1000 */

/* What became of a value of ours that somebody else has overwritten, where that is not to go on for ever. */
enum lease_drift {
    LEASE_KEPT,
    LEASE_REAPPLIED, /* set again, once */
    LEASE_YIELDED,   /* his; ours is only remembered so that it is not set again */
};

struct lease {
    bool used;
    uint64_t sequence; /* in memory only: in which order they were taken; never 0 in one that was added */
    uint64_t cgroup_id;
    char path[JOURNAL_PATH_MAX];
    char knob[JOURNAL_KNOB_MAX];
    uint64_t was;         /* what it goes back to; UINT64_MAX: "max" */
    uint64_t ours;        /* what we wrote last */
    uint64_t ours_before; /* what we wrote before that; equals ours where there was nothing */
    enum lease_drift drift;
    /* In memory only: */
    uint64_t pending_until_usec; /* `ours` was handed over, and is asked for again then; 0: it has stood */
    uint64_t drift_usec;         /* when it was set again; 0: not known */
    uint64_t told_usec;          /* systemd was told of what stood already */
    bool is_told;                /* systemd has this value of ours, and may write it at any time: */
    uint64_t told;
    bool restoring; /* `was` was handed over */
};

struct lease_table {
    struct lease leases[JOURNAL_LEASES_MAX];
    struct lease *more; /* storage of the caller for those beyond; NULL: there are none */
    unsigned more_count;
    unsigned top; /* of both so many have ever been in use: no other has to be looked at */
    uint64_t last_sequence;
};

struct journal {
    const char *name;
    size_t size_max; /* of what can be read back */
    int dir_fd;      /* the runtime directory; the caller's */
    int fd;
    uint64_t size;
    uint64_t fresh_size; /* when it was last written anew */
    char boot_id[40];
};

/* Opens, or begins, the journal and reads what it says into *ret_table (leases of an earlier boot are
 * dropped). Of the table only `more` must be set. */
int journal_open(struct journal *j, int root_fd, int runtime_fd, struct lease_table *ret_table) _nodiscard_;
/* The same for one of another name, a literal. */
int journal_open_named(struct journal *j, const char *name, int root_fd, int runtime_fd,
                       struct lease_table *ret_table) _nodiscard_;
/* Goes on in the file that is there: for the guardian, since the daemon may hold it open and wake up again,
 * and where a full file system has no room for a new one, which keeps nobody from putting back what it says.
 */
int journal_open_existing(struct journal *j, const char *name, int root_fd, int runtime_fd,
                          struct lease_table *ret_table) _nodiscard_;
void journal_close(struct journal *j);

/* Only reads. -ENOENT: there is none, so nothing to undo. */
int journal_load(int root_fd, int runtime_fd, struct lease_table *ret_table) _nodiscard_;
int journal_load_named(const char *name, int root_fd, int runtime_fd,
                       struct lease_table *ret_table) _nodiscard_;
/* The lines of a journal of this boot. Bad lines are passed over and counted in *ret_bad. */
void journal_parse(const char *buf, size_t length, const char *boot_id, struct lease_table *ret_table,
                   unsigned *ret_bad);

int journal_append_lease(struct journal *j, const struct lease *l) _nodiscard_;
int journal_append_release(struct journal *j, const struct lease *l) _nodiscard_;
/* Writes the file anew with only the leases in use. */
int journal_rewrite(struct journal *j, struct lease_table *table);
/* Grown so much since it was last written anew that this is worth doing again. */
bool journal_is_long(const struct journal *j);

/* All that may be in use are lease_at() of less than lease_table_size(). */
unsigned lease_table_size(const struct lease_table *t);
struct lease *lease_at(struct lease_table *t, unsigned i);
struct lease *lease_find(struct lease_table *t, uint64_t cgroup_id, const char *knob);
struct lease *lease_add(struct lease_table *t); /* NULL: full */
/* The next one in use in the order in which they were taken; NULL for `after` gives the oldest. `after` may
 * have been released meanwhile. NULL: no more. */
struct lease *lease_next(struct lease_table *t, const struct lease *after);

bool lease_is_ours(const struct lease *l, uint64_t value); /* no value is, of one that was yielded */
/* A lease that is a pause: was 0, ours 1. */
bool lease_is_pause(const struct lease *l);
/* The process that the knob of a pause by SIGSTOP names; 0: it is another knob. */
pid_t lease_pid(const struct lease *l);
/* The process whose oom_score_adj it is; 0: it is another knob. */
pid_t lease_score_pid(const struct lease *l);
void lease_score_knob(char ret[static JOURNAL_KNOB_MAX], pid_t pid);
/* The knob of a pause: of a process by SIGSTOP, or (pid 0) of a cgroup. */
void lease_pause_knob(char ret[static JOURNAL_KNOB_MAX], pid_t pid);
