/* Cgroup knobs as leases: remembered with the value they had, written down in the journal before they are
 * changed, looked at again, and put back. A knob that somebody else set is theirs: on the way out only a
 * value that is still ours is undone, and only in the same cgroup (its id), never in a new one of the same
 * name.
 *
 * While we run, a value that is no longer ours becomes the one to put back, and ours is applied again where
 * it is the tighter one; the caller computes what is wanted from `was`. Somebody who keeps overwriting us is
 * met every KNOBS_FIGHT_PAUSE_USEC only, and reported. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "action/journal.h"
#include "base/macros.h"
#include "kernel/cgroup.h"

#define KNOBS_FIGHT_MAX 5 /* drifts within a minute before we pause */
#define KNOBS_FIGHT_PAUSE_USEC UINT64_C(60000000)
#define KNOBS_PENDING_USEC UINT64_C(5000000) /* how long a value that was handed over may take to stand */

/* How a value gets into the kernel where a plain write here is not right: lowering a limit reclaims in the
 * writer's context and is handed to the worker; a unit of systemd's is set by the guardian. 1: taken over,
 * the value will stand soon; KNOBS_WRITTEN: it stands; 0: write it plainly; negative errno: neither is
 * possible now. */
#define KNOBS_WRITTEN 2
typedef int (*knobs_write_fn)(void *user, const struct lease *l, uint64_t value, bool lowers);

/* What a value of ours leaves beside its cgroup, for the next one of that name (a drop-in of systemd's):
 * 0, or -ENOENT where there is nothing. */
typedef int (*knobs_left_fn)(void *user, const struct lease *l, uint64_t *ret);

struct knobs {
    const struct hierarchy *hierarchy;
    struct journal *journal; /* NULL: nothing is written, and leases change in memory only */
    struct lease_table *table;
    knobs_write_fn write;
    void *user;
    knobs_left_fn left; /* NULL: nothing outlives a cgroup */
    /* Told where `yields` came to something; may be NULL. */
    void (*drifted)(void *user, const struct lease *l, uint64_t found, uint64_t ours);
    int root_fd;  /* whose /proc tells who a pid is */
    bool signals; /* may let processes run again by pid: not in a recorded tree */
    bool dry_run;
    bool confirms; /* what is handed over to be put back is put back when it stands: knobs_restore() is called
                      until then */
    bool insist;   /* who overwrites us is overwritten, however often: an operator asks for it, once, or the
                      caller counts */
    bool yields;   /* an oom_score_adj that somebody else sets is his for good: else, until the next apply */
    uint64_t drifts; /* values of ours that somebody else replaced */
    uint64_t failures;
    int last_error;
    uint64_t pending_usec; /* 0: KNOBS_PENDING_USEC */
    unsigned under_way;    /* of the last knobs_restore_all(): handed over, and to be looked at again */
    uint64_t fight_since_usec;
    unsigned fight_count;
};

/* What stands in the file now and what others want there (the value before ours, where ours stands). */
struct knob_state {
    uint64_t id;
    uint64_t value;
    uint64_t foreign;
    bool ours;
};

int knobs_read(struct knobs *k, const char *path, const char *knob, struct knob_state *ret) _nodiscard_;

/* Brings the knob to `value`. 0: it stands, or is on its way; negative errno: it could not be done (the
 * journal is full, the cgroup is gone, …), and nothing was changed. */
int knobs_apply(struct knobs *k, const char *path, const char *knob, uint64_t value,
                uint64_t now_usec) _nodiscard_;
/* The same for who has looked at what stands there (NULL: he has not): what is not ours and came since then
 * is left, and not an error. */
int knobs_apply_seen(struct knobs *k, const char *path, const char *knob, uint64_t value,
                     const uint64_t *seen, uint64_t now_usec) _nodiscard_;

/* Whether it is the same cgroup, or process, still, and the value ours. */
bool knobs_stands(const struct knobs *k, const struct lease *l);

/* For the pauses (action/pause), which write for themselves: the lease and its line in the journal, before
 * anything is touched. *next: all but sequence. */
int knobs_take(struct knobs *k, const struct lease *next, struct lease **ret) _nodiscard_;
/* The lease is over, and nothing is written but that. */
void knobs_forget(struct knobs *k, struct lease *l);

/* The value is in another cgroup of the same name by now. */
int knobs_move(struct knobs *k, struct lease *l, uint64_t cgroup_id, uint64_t now_usec) _nodiscard_;
/* Whether a value of ours waits for the next cgroup of that name. */
bool knobs_outlives(const struct knobs *k, const struct lease *l);

/* Whose a value is that was overwritten is written down, too, so that a successor goes by it. */
void knobs_note_drift(struct knobs *k, struct lease *l, enum lease_drift drift);

/* Puts every lease back that is still ours, and forgets all: pauses first, the oldest first. Returns how many
 * were restored; *ret_left counts those that were left alone because the value or the cgroup is not ours any
 * more, *ret_failed those that failed. */
unsigned knobs_restore_all(struct knobs *k, unsigned *ret_left, unsigned *ret_failed);
/* The same for one lease; 1: restored, 0: left alone, KNOBS_UNDER_WAY: with `confirms`, negative errno:
 * failed (and kept in the journal). A pause is let run again: by cgroup.freeze, or by SIGCONT (-EPERM where
 * processes may not be signalled). Where the cgroup is gone, what it has left is put back (`left`). */
#define KNOBS_UNDER_WAY 2
int knobs_restore(struct knobs *k, struct lease *l) _nodiscard_;
/* At start: leases whose cgroup is gone or whose value is no longer ours are forgotten; those that `wanted`
 * does not want are put back; the others go on with the value that was found before the first start. */
typedef bool (*knobs_wanted_fn)(void *user, const struct lease *l);
void knobs_adopt(struct knobs *k, knobs_wanted_fn wanted, void *user, unsigned *ret_adopted,
                 unsigned *ret_restored);

/* What was handed over and does not stand yet is known to the table only: whoever reads the journal again
 * while it runs, to adopt, takes it along. knobs_get_pending returns how many there are. */
struct knobs_pending {
    uint64_t cgroup_id;
    uint64_t until_usec;
    char knob[JOURNAL_KNOB_MAX];
};
unsigned knobs_get_pending(const struct knobs *k, uint64_t now_usec, struct knobs_pending *ret, unsigned max);
void knobs_set_pending(struct knobs *k, const struct knobs_pending *pending, unsigned count);
