#include "cli/knobs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "action/qos.h"
#include "action/qos_write.h"
#include "kernel/file.h"

struct lease knobs_more_leases[KNOBS_MORE_LEASES];

static int write_knob(void *user, const struct lease *l, uint64_t value, bool lowers)
{
    struct cli_knobs *u = user;

    return u->real_root ? qos_write_knob(&u->hierarchy, u->root_fd, l, value, lowers) : 0;
}

static int read_left(void *user, const struct lease *l, uint64_t *ret)
{
    struct cli_knobs *u = user;

    return qos_read_left(u->root_fd, l, ret);
}

struct knobs knobs_of(struct cli_knobs *u, struct journal *journal, struct lease_table *table)
{
    return (struct knobs){
        .hierarchy = &u->hierarchy,
        .journal = journal,
        .table = table,
        .write = write_knob,
        .left = u->real_root ? read_left : NULL,
        .user = u,
        .root_fd = u->root_fd,
        .signals = u->real_root,
    };
}

bool knobs_open(struct cli_knobs *u, const struct cli_options *o, const char *who, bool create)
{
    *u = (struct cli_knobs){.real_root = file_is_root(o->sysroot), .runtime_fd = -1};
    u->hierarchy.fd = -1;
    u->root_fd = open(o->sysroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->root_fd < 0) {
        (void)fprintf(stderr, "%s: %s: %s\n", who, o->sysroot, strerror(errno));
        return false;
    }
    if (create) {
        (void)mkdirat(u->root_fd, "run", 0755); /* what is missing then is said below */
        (void)mkdirat(u->root_fd, "run/headroom", 0755);
    }
    u->runtime_fd = file_open_dir(u->root_fd, "run/headroom");
    if (u->runtime_fd < 0 && (u->runtime_fd != -ENOENT || create)) {
        (void)fprintf(stderr, "%s: run/headroom: %s\n", who, strerror(-u->runtime_fd));
        knobs_close(u);
        return false;
    }
    /* Without it, there may be processes that were stopped by pid. */
    if (hierarchy_open(u->root_fd, &u->hierarchy) < 0)
        u->hierarchy.fd = -1;
    return true;
}

void knobs_close(struct cli_knobs *u)
{
    hierarchy_close(&u->hierarchy);
    close_fdp(&u->runtime_fd);
    close_fdp(&u->root_fd);
}
