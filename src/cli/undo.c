#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "action/journal.h"
#include "action/knobs.h"
#include "action/qos.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/knobs.h"
#include "kernel/file.h"

#define LOCK_WAIT_USEC (3 * USEC_PER_SEC)
#define LOCK_TRY_USEC 50000

/* What a stop of headroomd does, without headroomd: lets run what it has paused, the oldest first, and puts
 * back every knob in the journal that is still ours. */

struct undone {
    unsigned restored, left, failed;
    int error;
};

/* A guardian that looks for a successor, or raises its fence, holds the lock for a moment, and a daemon on
 * its way out, too: that is waited for. */
bool knobs_lock(int lock_fd)
{
    for (uint64_t waited = 0; flock(lock_fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_TRY_USEC) {
        if (waited >= LOCK_WAIT_USEC)
            return false;
        (void)usleep(LOCK_TRY_USEC);
    }
    return true;
}

static bool is_daemons(int lock_fd)
{
    char text[32] = "";

    return pread(lock_fd, text, sizeof(text) - 1, 0) > 0 &&
           strncmp(text, QOS_LOCK_DAEMON, strlen(QOS_LOCK_DAEMON)) == 0;
}

bool knobs_lock_qos(int lock_fd, const char *who)
{
    if (flock(lock_fd, LOCK_EX | LOCK_NB) < 0 && is_daemons(lock_fd)) {
        (void)fprintf(
            stderr,
            "%s: headroomd runs and keeps the plan itself: change QoS= and the rest in its configuration "
            "(headroom reload), or stop it, which puts everything back\n",
            who);
        return false;
    }
    if (!knobs_lock(lock_fd)) {
        (void)fprintf(stderr, "%s: another headroom qos is at work: try it again\n", who);
        return false;
    }
    (void)ftruncate(lock_fd, 0); /* it may name a keeper that is gone */
    return true;
}

/* One of the two journals. False: it cannot be read. */
static bool undo_journal(struct cli_knobs *u, const char *name, struct undone *done)
{
    static struct lease_table table;
    struct knobs knobs;
    struct journal journal;
    unsigned left, failed;
    int r;

    if (!file_exists_at(u->runtime_fd, name))
        return true;
    table = (struct lease_table){.more = strcmp(name, JOURNAL_QOS_NAME) == 0 ? knobs_more_leases : NULL,
                                 .more_count = KNOBS_MORE_LEASES};
    r = journal_open_named(&journal, name, u->root_fd, u->runtime_fd, &table);
    if (r < 0) /* a full file system does not keep anybody from reading it */
        r = journal_open_existing(&journal, name, u->root_fd, u->runtime_fd, &table);
    if (r < 0) {
        (void)fprintf(stderr, "headroom undo: %s in run/headroom cannot be read: %s\n", name, strerror(-r));
        return false;
    }
    knobs = knobs_of(u, &journal, &table);
    done->restored += qos_restore(&knobs, &left, &failed);
    done->left += left;
    done->failed += failed;
    if (failed)
        done->error = knobs.last_error;
    journal_close(&journal);
    return true;
}

int knobs_undo(struct cli_knobs *u, bool all, bool json)
{
    struct undone done = {0};
    bool good = undo_journal(u, JOURNAL_QOS_NAME, &done);

    if (all)
        good = undo_journal(u, JOURNAL_NAME, &done) && good;
    if (!good)
        return CLI_FAILURE;
    if (done.failed && u->hierarchy.fd < 0)
        (void)fprintf(stderr, "headroom undo: there is no cgroup v2 hierarchy here\n");
    if (json)
        (void)printf("{\"restored\": %u, \"left\": %u, \"failed\": %u}\n", done.restored, done.left,
                     done.failed);
    else
        (void)printf("%u knobs and pauses put back, %u left alone (no longer ours), %u failed%s%s\n",
                     done.restored, done.left, done.failed, done.failed ? ": " : "",
                     done.failed ? strerror(-done.error) : "");
    return done.failed ? CLI_FAILURE : CLI_OK;
}

int cli_undo(const struct cli_options *o, int argc, char **argv)
{
    _cleanup_close_ int lock_fd = -1, qos_lock_fd = -1;
    struct cli_knobs u;
    int code;

    (void)argv;
    if (argc > 1) {
        (void)fprintf(stderr, "headroom undo takes no arguments\n");
        return CLI_USAGE;
    }
    if (!knobs_open(&u, o, "headroom undo", false))
        return CLI_FAILURE;
    if (u.runtime_fd < 0 ||
        (!file_exists_at(u.runtime_fd, JOURNAL_NAME) && !file_exists_at(u.runtime_fd, JOURNAL_QOS_NAME))) {
        (void)printf(o->json ? "{\"restored\": 0, \"left\": 0, \"failed\": 0}\n"
                             : "nothing to undo: there is no journal in run/headroom\n");
        knobs_close(&u);
        return CLI_OK;
    }
    lock_fd = openat(u.runtime_fd, "lock", O_RDWR | O_CLOEXEC);
    qos_lock_fd = openat(u.runtime_fd, QOS_LOCK, O_RDWR | O_CLOEXEC);
    if (lock_fd >= 0 && !knobs_lock(lock_fd)) {
        (void)fprintf(stderr,
                      "headroom undo: headroomd runs and would set its knobs again: stop it, that puts "
                      "everything back (headroom qos undo: what headroom qos apply has set)\n");
        code = CLI_FAILURE;
    } else if (qos_lock_fd >= 0 && !knobs_lock_qos(qos_lock_fd, "headroom undo")) {
        code = CLI_FAILURE;
    } else {
        code = knobs_undo(&u, true, o->json);
    }
    knobs_close(&u);
    return code;
}
