#include "daemon/daemon.h"
#include "kernel/numa.h"

/* Shortage on NUMA nodes that groups are bound to, while the machine has memory elsewhere (policy/numa). It
 * is a need of its own, for which there is one rung, the kill. */

void nodes_judge(struct daemon *d)
{
    numa_note_look(&d->snapshot, &d->numa_state);
    if (!numa_tightest(&d->snapshot, &d->numa_state, &d->room, &d->numa_room))
        d->numa_room = (struct room){0};
}

/* How that stands now for which the decision was taken. */
struct room nodes_room(const struct daemon *d, const struct decision *e)
{
    struct room r = d->room;

    if (e->room.nodes != 0)
        numa_room(&d->snapshot, &d->numa_state, &d->room, e->room.nodes, &r);
    return r;
}

static void read_group(const struct daemon *d, struct group *g, uint64_t nodes)
{
    _cleanup_close_ int fd = -1;
    struct numa_stat n;

    g->on_nodes = (struct group_memory){0};
    if (!numa_concerns(g, nodes))
        return;
    if (g->pid == 0)
        fd = cgroup_open(&d->hierarchy, g->path);
    if (fd >= 0 && numa_stat_read_at(fd, nodes, &n) == 0)
        g->on_nodes = (struct group_memory){.anon = n.anon, .shmem = n.shmem, .kernel = n.kernel};
    else if (g->mems != 0 && (g->mems & ~nodes) == 0) /* a process: where it is bound to it is */
        g->on_nodes = (struct group_memory){.anon = g->anon, .shmem = g->shmem, .kernel = g->kernel};
}

void nodes_read_held(struct daemon *d, uint64_t nodes)
{
    for (unsigned i = 0; i < d->snapshot.group_count; i++)
        read_group(d, &d->snapshot.groups[i], nodes);
}
