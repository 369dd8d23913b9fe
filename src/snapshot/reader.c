#include "snapshot/reader.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/meminfo.h"
#include "kernel/memory_stat.h"
#include "kernel/psi.h"
#include "kernel/swap.h"

#define PAGE_BYTES UINT64_C(4096)
#define BOUNDS_AGE_USEC (2 * USEC_PER_SEC)

void workload_handle_close(struct workload_handle *w)
{
    int *fds[] = {&w->dir_fd, &w->stat_fd, &w->current_fd, &w->pressure_fd};

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close_fdp(fds[i]);
    w->id = 0;
}

void group_handle_close(struct group_handle *g)
{
    close_fdp(&g->stat_fd);
    g->id = 0;
}

bool workload_handle_open(struct snapshot_reader *r, struct workload_handle *w)
{
    uint64_t id = 0;

    workload_handle_close(w);
    if (r->hierarchy->fd < 0)
        return false;
    w->dir_fd = cgroup_open(r->hierarchy, w->path);
    if (w->dir_fd < 0)
        return false;
    w->stat_fd = file_open_read(w->dir_fd, "memory.stat");
    w->current_fd = file_open_read(w->dir_fd, "memory.current");
    w->pressure_fd = file_open_read(w->dir_fd, "memory.pressure");
    if (w->stat_fd < 0 || w->current_fd < 0 || cgroup_read_id(w->dir_fd, &id) < 0) {
        workload_handle_close(w);
        return false;
    }
    w->id = id;
    w->bounds_due_usec = 0;
    return true;
}

int snapshot_reader_init(struct snapshot_reader *r, int root_fd, struct hierarchy *h, const struct config *c,
                         struct group_handle *handles, unsigned handle_max)
{
    memset(r, 0, sizeof(*r));
    r->root_fd = root_fd;
    r->hierarchy = h;
    r->config = c;
    r->handles = handles;
    r->handle_max = handle_max;
    r->pressure_fd = -1;
    for (unsigned i = 0; i < handle_max; i++)
        handles[i] = (struct group_handle){.stat_fd = -1};
    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        r->workloads[i] =
            (struct workload_handle){.dir_fd = -1, .stat_fd = -1, .current_fd = -1, .pressure_fd = -1};
    if (cgroup_read_own_path(root_fd, r->own_path) < 0)
        r->own_path[0] = 0;
    r->meminfo_fd = meminfo_open(root_fd);
    if (r->meminfo_fd < 0)
        return r->meminfo_fd;
    r->pressure_fd = file_open_read(root_fd, "proc/pressure/memory");
    return 0;
}

void snapshot_reader_deinit(struct snapshot_reader *r)
{
    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        workload_handle_close(&r->workloads[i]);
    for (unsigned i = 0; i < r->handle_max; i++)
        group_handle_close(&r->handles[i]);
    close_fdp(&r->meminfo_fd);
    close_fdp(&r->pressure_fd);
}

static bool is_populated(const struct workload_handle *w)
{
    struct cgroup_events events;

    return w->dir_fd >= 0 && cgroup_read_events(w->dir_fd, &events) == 0 && events.populated;
}

static void find_auto(struct snapshot_reader *r)
{
    static const char *const names[] = {"kubepods.slice", "kubepods", "workload.slice", "user.slice",
                                        "machine.slice"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct workload_handle *w = &r->workloads[r->workload_count];

        if (text_copy(text_from(names[i]), w->path, sizeof(w->path)) < 0)
            continue;
        if (workload_handle_open(r, w) && is_populated(w))
            r->workload_count++;
        else
            workload_handle_close(w);
    }
}

unsigned snapshot_reader_find_workloads(struct snapshot_reader *r)
{
    unsigned there = 0;

    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        workload_handle_close(&r->workloads[i]);
    r->workload_count = 0;
    if (r->config->workload_auto) {
        find_auto(r);
        return r->workload_count;
    }
    for (unsigned i = 0; i < r->config->workload_count; i++) {
        struct workload_handle *w = &r->workloads[r->workload_count++];

        memcpy(w->path, r->config->workload[i], sizeof(w->path));
        there += workload_handle_open(r, w);
    }
    return there;
}

static void read_node_psi(struct snapshot_reader *r, struct node *n)
{
    struct psi psi;

    if (r->pressure_fd < 0 || psi_pread(r->pressure_fd, &psi) < 0)
        return;
    n->psi_some_usec = psi.some.total_usec;
    n->psi_full_usec = psi.full.total_usec;
}

static int read_node(struct snapshot_reader *r, struct node *n)
{
    struct swap_areas areas = {0};
    struct meminfo m;
    uint64_t taken, own;
    int e = meminfo_pread(r->meminfo_fd, &m);

    if (e < 0)
        return e;
    if (m.swap_total > 0) {
        e = swap_read(r->root_fd, &areas);
        if (e < 0)
            return e;
    }
    taken = u64_add_cap(m.hugetlb, areas.zram_pool);
    n->mem_total = m.total;
    n->total = u64_sub_floor(m.total, taken);
    /* Not the real root: a container, whose own limit may be the tighter one. */
    if (r->hierarchy->fd >= 0 && !r->hierarchy->real_root &&
        file_read_u64_at(r->hierarchy->fd, "memory.max", &own) == 0)
        n->total = u64_min(n->total, own);
    n->available = m.available;
    n->unreclaimable =
        u64_sub_floor(m.total, m.free + m.active_file + m.inactive_file + m.kreclaimable + taken);
    n->swap_total = m.swap_total;
    n->swap_free = m.swap_free;
    n->swap_effective = u64_min(swap_effective_bytes(&areas, m.available), m.swap_free);
    read_node_psi(r, n);
    return 0;
}

/* The least memory.max and memory.high of all that is above the workload. */
static void read_bounds(struct snapshot_reader *r, struct workload_handle *w)
{
    char path[GROUP_PATH_MAX];
    char *slash;

    w->ancestors_max = w->ancestors_high = UINT64_MAX;
    memcpy(path, w->path, sizeof(path));
    while ((slash = strrchr(path, '/')) != NULL) {
        _cleanup_close_ int fd = -1;
        uint64_t v;

        *slash = 0;
        fd = cgroup_open(r->hierarchy, path);
        if (fd < 0)
            return;
        if (file_read_u64_at(fd, "memory.max", &v) == 0)
            w->ancestors_max = u64_min(w->ancestors_max, v);
        if (file_read_u64_at(fd, "memory.high", &v) == 0)
            w->ancestors_high = u64_min(w->ancestors_high, v);
    }
}

static uint64_t read_swap_room(int dir_fd)
{
    uint64_t max, current;

    /* Absent where swap accounting is off: then the cgroup has no limit of its own. */
    if (file_read_u64_at(dir_fd, "memory.swap.max", &max) < 0 || max == UINT64_MAX)
        return UINT64_MAX;
    if (file_read_u64_at(dir_fd, "memory.swap.current", &current) < 0)
        return 0;
    return u64_sub_floor(max, current);
}

static int read_workload(struct snapshot_reader *r, struct workload_handle *h, uint64_t now_usec,
                         struct workload *w)
{
    struct memory_stat m;
    struct psi psi;
    uint64_t v;
    int e;

    e = file_pread_u64(h->current_fd, &w->current);
    if (e == 0)
        e = memory_stat_pread(h->stat_fd, &m);
    if (e < 0)
        return e;
    w->anon = m.anon;
    w->shmem = m.shmem;
    w->file = m.file;
    w->kernel = u64_sub_floor(m.kernel, m.slab_reclaimable);
    w->sock = m.sock;
    w->used = w->anon + w->shmem + w->kernel + w->sock;
    w->refault_bytes = (m.workingset_refault_anon + m.workingset_refault_file) * PAGE_BYTES;
    w->high = file_read_u64_at(h->dir_fd, "memory.high", &v) == 0 ? v : UINT64_MAX;
    w->max = file_read_u64_at(h->dir_fd, "memory.max", &v) == 0 ? v : UINT64_MAX;
    if (now_usec >= h->bounds_due_usec) {
        read_bounds(r, h);
        h->bounds_due_usec = now_usec + BOUNDS_AGE_USEC;
    }
    w->max = u64_min(w->max, h->ancestors_max);
    w->foreign_high = u64_min(w->high, h->ancestors_high);
    w->swap_room = read_swap_room(h->dir_fd);
    if (h->pressure_fd >= 0 && psi_pread(h->pressure_fd, &psi) == 0) {
        w->psi_some_usec = psi.some.total_usec;
        w->psi_full_usec = psi.full.total_usec;
    }
    return 0;
}

int snapshot_read_node(struct snapshot_reader *r, uint64_t now_usec, struct snapshot *s)
{
    struct group *groups = s->groups;
    unsigned group_max = s->group_max;
    int e;

    memset(s, 0, sizeof(*s));
    s->groups = groups;
    s->group_max = group_max;
    s->now_usec = now_usec;
    s->isolate = r->isolate;
    e = read_node(r, &s->node);
    if (e < 0)
        return e;
    s->workload_count = r->workload_count;
    for (unsigned i = 0; i < r->workload_count; i++) {
        struct workload_handle *h = &r->workloads[i];
        struct workload *w = &s->workloads[i];

        memcpy(w->path, h->path, sizeof(w->path));
        w->high = w->foreign_high = w->max = w->swap_room = UINT64_MAX;
        if (h->id == 0 && !workload_handle_open(r, h))
            continue;
        e = read_workload(r, h, now_usec, w);
        if (e == -ENODEV) { /* removed under us; another one of that name may come */
            workload_handle_close(h);
            continue;
        }
        if (e < 0)
            return e;
        w->id = h->id;
        w->populated = true;
    }
    return 0;
}
