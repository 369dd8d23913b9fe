#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "action/journal.h"
#include "action/knobs.h"
#include "action/unit.h"
#include "base/units.h"
#include "cli/cli.h"
#include "kernel/file.h"

#define LOCK_WAIT_USEC (3 * USEC_PER_SEC)
#define LOCK_TRY_USEC 50000

/* What a stop of headroomd does, without headroomd: lets run what it has paused, the oldest first, and puts
 * back every knob in the journal that is still ours. */

struct undo {
    int root_fd;
    bool real_root;
    struct hierarchy hierarchy;
};

/* Raising never blocks; a value that has to be lowered may be waited for here. */
static int write_knob(void *user, const struct lease *l, uint64_t value, bool lowers)
{
    struct undo *u = user;

    (void)lowers;
    if (!u->real_root || !unit_manages(u->root_fd, l->path, l->knob))
        return 0;
    return unit_set(&u->hierarchy, l->path, l->knob, value) == 0 ? 1 : 0;
}

/* A guardian that looks for a successor, or raises its fence, holds the lock for a moment, and a daemon on
 * its way out, too: that is waited for. */
static bool lock(int lock_fd)
{
    for (uint64_t waited = 0; flock(lock_fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_TRY_USEC) {
        if (waited >= LOCK_WAIT_USEC)
            return false;
        (void)usleep(LOCK_TRY_USEC);
    }
    return true;
}

static int run(struct undo *u, int runtime_fd, bool json)
{
    static struct lease_table table;
    struct knobs knobs = {
        .hierarchy = &u->hierarchy,
        .table = &table,
        .write = write_knob,
        .user = u,
        .root_fd = u->root_fd,
        .signals = u->real_root,
    };
    unsigned restored, left, failed;
    struct journal journal;
    int r = journal_open(&journal, u->root_fd, runtime_fd, &table);

    if (r < 0) /* a full file system does not keep anybody from reading it */
        r = journal_open_existing(&journal, u->root_fd, runtime_fd, &table);
    if (r < 0) {
        (void)fprintf(stderr, "headroom undo: the journal in run/headroom cannot be read: %s\n",
                      strerror(-r));
        return CLI_FAILURE;
    }
    knobs.journal = &journal;
    restored = knobs_restore_all(&knobs, &left, &failed);
    journal_close(&journal);
    if (failed && u->hierarchy.fd < 0)
        (void)fprintf(stderr, "headroom undo: there is no cgroup v2 hierarchy here\n");
    if (json)
        (void)printf("{\"restored\": %u, \"left\": %u, \"failed\": %u}\n", restored, left, failed);
    else
        (void)printf("%u knobs and pauses put back, %u left alone (no longer ours), %u failed%s%s\n",
                     restored, left, failed, failed ? ": " : "", failed ? strerror(-knobs.last_error) : "");
    return failed ? CLI_FAILURE : CLI_OK;
}

int cli_undo(const struct cli_options *o, int argc, char **argv)
{
    _cleanup_close_ int runtime_fd = -1, lock_fd = -1, root_fd = -1;
    struct undo u = {.real_root = file_is_root(o->sysroot)};
    int code;

    (void)argv;
    if (argc > 1) {
        (void)fprintf(stderr, "headroom undo takes no arguments\n");
        return CLI_USAGE;
    }
    root_fd = open(o->sysroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) {
        (void)fprintf(stderr, "headroom undo: %s: %s\n", o->sysroot, strerror(errno));
        return CLI_FAILURE;
    }
    u.root_fd = root_fd;
    runtime_fd = file_open_dir(root_fd, "run/headroom");
    if (runtime_fd < 0 && runtime_fd != -ENOENT) {
        (void)fprintf(stderr, "headroom undo: run/headroom: %s\n", strerror(-runtime_fd));
        return CLI_FAILURE;
    }
    if (runtime_fd < 0 || !file_exists_at(runtime_fd, "journal")) {
        (void)printf(o->json ? "{\"restored\": 0, \"left\": 0, \"failed\": 0}\n"
                             : "nothing to undo: there is no journal in run/headroom\n");
        return CLI_OK;
    }
    lock_fd = openat(runtime_fd, "lock", O_RDWR | O_CLOEXEC);
    if (lock_fd >= 0 && !lock(lock_fd)) {
        (void)fprintf(stderr,
                      "headroom undo: headroomd runs and would set its knobs again: stop it, that puts "
                      "everything back\n");
        return CLI_FAILURE;
    }
    /* Without it, there may be processes that were stopped by pid. */
    if (hierarchy_open(root_fd, &u.hierarchy) < 0)
        u.hierarchy.fd = -1;
    code = run(&u, runtime_fd, o->json);
    hierarchy_close(&u.hierarchy);
    return code;
}
