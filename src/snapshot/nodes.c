#include "snapshot/nodes.h"

#include <errno.h>

#include "kernel/numa.h"

void nodes_open(struct snapshot_reader *r)
{
    uint64_t nodes;

    for (unsigned n = 0; n < NODELIST_MAX; n++)
        r->numa_fds[n] = -1;
    r->numa_nodes = 0;
    if (numa_read_nodes(r->root_fd, &nodes) < 0 || (nodes & (nodes - 1)) == 0)
        return;
    r->numa_nodes = nodes;
    for (unsigned n = 0; n < NODELIST_MAX; n++) {
        if ((nodes & NODELIST_BIT(n)) == 0)
            continue;
        r->numa_fds[n] = numa_meminfo_open(r->root_fd, n);
        if (r->numa_fds[n] < 0) {
            nodes_close(r);
            return;
        }
    }
}

void nodes_close(struct snapshot_reader *r)
{
    for (unsigned n = 0; r->numa_nodes != 0 && n < NODELIST_MAX; n++)
        close_fdp(&r->numa_fds[n]);
    r->numa_nodes = 0;
}

/* The kernel keeps watermarks in each zone by its size, so what MemAvailable leaves out is shared out so. */
static void fill(const struct node *node, const struct numa_meminfo *m, uint64_t hugetlb,
                 struct numa_node *ret)
{
    uint64_t file = u64_add_cap(m->active_file, m->inactive_file);
    uint64_t reclaimable = u64_add_cap(u64_add_cap(m->free, file), m->kreclaimable);
    uint64_t kept = u64_mul_div(node->kept_free, m->total, u64_max(node->mem_total, 1));

    uint64_t total = u64_sub_floor(m->total, hugetlb);

    *ret = (struct numa_node){
        .total = total,
        .available = u64_sub_floor(reclaimable, kept),
        .unreclaimable = u64_sub_floor(total, reclaimable),
    };
}

uint64_t nodes_read(struct snapshot_reader *r, const struct node *node,
                    struct numa_node ret[static NODELIST_MAX])
{
    for (unsigned n = 0; r->numa_nodes != 0 && n < NODELIST_MAX; n++) {
        struct numa_meminfo m;
        int e;

        if ((r->numa_nodes & NODELIST_BIT(n)) == 0)
            continue;
        e = numa_meminfo_pread(r->numa_fds[n], &m);
        if (e == -ENODEV) { /* taken out: what is left is found at once */
            nodes_close(r);
            nodes_open(r);
        }
        if (e < 0)
            return 0;
        if (r->numa_pools != node->hugetlb)
            r->numa_hugetlb[n] = numa_read_hugetlb(r->root_fd, n);
        fill(node, &m, r->numa_hugetlb[n], &ret[n]);
    }
    r->numa_pools = node->hugetlb;
    return r->numa_nodes;
}

uint64_t nodes_bound(const struct snapshot_reader *r, int cgroup_fd, const char *path)
{
    unsigned levels = 1;
    uint64_t mems;

    if (r->numa_nodes == 0)
        return 0;
    for (; *path; path++)
        levels += *path == '/';
    if (numa_read_mems(cgroup_fd, levels, &mems) < 0)
        return 0;
    mems &= r->numa_nodes;
    return mems == r->numa_nodes ? 0 : mems;
}
