#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "daemon/daemon.h"
#include "kernel/file.h"

/* Why the domain cannot be isolated, or NULL. The words are what `status` and `check` show. */
static const char *why_not_isolate(struct daemon *d)
{
    const struct hierarchy *h = &d->hierarchy;

    if (h->fd < 0)
        return "there is no cgroup v2 hierarchy (mount cgroup2 on /sys/fs/cgroup, or boot with "
               "systemd.unified_cgroup_hierarchy=1)";
    if (!h->memory)
        return "the cgroup v2 hierarchy has no memory controller (it is in use by cgroup v1, or disabled "
               "with "
               "cgroup_disable=memory)";
    if (h->read_only && !d->dry_run)
        return "the cgroup hierarchy is mounted read-only";
    if (d->real_root && !d->dry_run && faccessat(h->fd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
        return "no privilege to write the cgroup hierarchy (run as root)";
    if (!h->real_root && d->config.mode == MODE_AUTO)
        return "the hierarchy's root is a cgroup of the host (a container); set Mode=isolate to use the part "
               "that is ours";
    return NULL;
}

static int choose_host(struct daemon *d, const char *why)
{
    d->reader.isolate = false;
    d->reader.processes = d->hierarchy.fd < 0 || !d->hierarchy.memory;
    (void)snprintf(d->mode_reason, sizeof(d->mode_reason), "%s", why);
    return 0;
}

int mode_choose(struct daemon *d)
{
    const char *why = why_not_isolate(d);
    unsigned there;

    if (d->config.mode == MODE_HOST)
        return choose_host(d, "Mode=host");
    if (why) {
        (void)choose_host(d, why);
        return d->config.mode == MODE_ISOLATE ? -EOPNOTSUPP : 0;
    }
    there = snapshot_reader_find_workloads(&d->reader);
    if (d->reader.workload_count == 0) {
        (void)choose_host(d,
                          "no workload is populated yet (looked for kubepods.slice, kubepods, "
                          "workload.slice, user.slice, machine.slice); it is guarded as soon as one is, or "
                          "set Workload= in [Node]");
        return d->config.mode == MODE_ISOLATE ? -EOPNOTSUPP : 0;
    }
    d->reader.isolate = true;
    (void)snprintf(d->mode_reason, sizeof(d->mode_reason),
                   "cgroup v2 with the memory controller, %u workload%s", d->reader.workload_count,
                   d->reader.workload_count == 1 ? "" : "s");
    if (there < d->reader.workload_count)
        report_warning(d, "%u of the workloads in Workload= %s not there; guarded as soon as %s",
                       d->reader.workload_count - there, d->reader.workload_count - there == 1 ? "is" : "are",
                       d->reader.workload_count - there == 1 ? "it is" : "they are");
    return 0;
}

bool mode_is_outdated(struct daemon *d)
{
    return d->config.workload_auto && d->config.mode != MODE_HOST && !why_not_isolate(d) &&
           snapshot_reader_has_new_workload(&d->reader);
}
