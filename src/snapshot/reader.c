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
#include "kernel/vmstat.h"
#include "snapshot/handles.h"
#include "snapshot/nodes.h"
#include "snapshot/watches.h"

#define PAGE_BYTES UINT64_C(4096)
#define BOUNDS_AGE_USEC (2 * USEC_PER_SEC)

static const char *const workload_files[WORKLOAD_FILE_COUNT] = {
    [WORKLOAD_STAT] = "memory.stat",         [WORKLOAD_CURRENT] = "memory.current",
    [WORKLOAD_PRESSURE] = "memory.pressure", [WORKLOAD_IO_PRESSURE] = "io.pressure",
    [WORKLOAD_HIGH] = "memory.high",         [WORKLOAD_MAX] = "memory.max",
    [WORKLOAD_SWAP_MAX] = "memory.swap.max", [WORKLOAD_SWAP_CURRENT] = "memory.swap.current",
};

void workload_handle_init(struct workload_handle *w)
{
    *w = (struct workload_handle){.dir_fd = -1};
    for (size_t i = 0; i < ARRAY_SIZE(w->fds); i++)
        w->fds[i] = -1;
}

void workload_handle_close(struct workload_handle *w)
{
    close_fdp(&w->dir_fd);
    for (size_t i = 0; i < ARRAY_SIZE(w->fds); i++)
        close_fdp(&w->fds[i]);
    w->id = 0;
}

void group_handle_close(struct group_handle *g)
{
    close_fdp(&g->dir_fd);
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
    for (size_t i = 0; i < ARRAY_SIZE(w->fds); i++)
        w->fds[i] = file_open_read(w->dir_fd, workload_files[i]);
    if (w->fds[WORKLOAD_STAT] < 0 || w->fds[WORKLOAD_CURRENT] < 0 || cgroup_read_id(w->dir_fd, &id) < 0) {
        workload_handle_close(w);
        return false;
    }
    w->id = id;
    w->bounds_due_usec = 0;
    r->watched = false;
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
    r->pressure_fd = r->io_pressure_fd = r->vmstat_fd = r->watch_fd = -1;
    handles_init(r);
    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        workload_handle_init(&r->workloads[i]);
    if (cgroup_read_own_path(root_fd, r->own_path) < 0)
        r->own_path[0] = 0;
    r->meminfo_fd = meminfo_open(root_fd);
    if (r->meminfo_fd < 0)
        return r->meminfo_fd;
    r->pressure_fd = file_open_read(root_fd, "proc/pressure/memory");
    r->io_pressure_fd = file_open_read(root_fd, "proc/pressure/io");
    r->vmstat_fd = vmstat_open(root_fd);
    nodes_open(r);
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
    close_fdp(&r->io_pressure_fd);
    close_fdp(&r->vmstat_fd);
    nodes_close(r);
    watches_deinit(r);
}

void snapshot_reader_watch(struct snapshot_reader *r, struct group_watch *watches, unsigned max)
{
    watches_init(r, watches, max);
}

static bool is_populated(const struct workload_handle *w)
{
    struct cgroup_events events;

    return w->dir_fd >= 0 && cgroup_read_events(w->dir_fd, &events) == 0 && events.populated;
}

static const char *const auto_names[] = {"kubepods.slice", "kubepods", "workload.slice", "user.slice",
                                         "machine.slice"};

static void find_auto(struct snapshot_reader *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(auto_names); i++) {
        struct workload_handle *w = &r->workloads[r->workload_count];

        if (text_copy(text_from(auto_names[i]), w->path, sizeof(w->path)) < 0)
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

static bool is_guarded(const struct snapshot_reader *r, const char *path)
{
    for (unsigned i = 0; i < r->workload_count; i++)
        if (strcmp(r->workloads[i].path, path) == 0)
            return true;
    return false;
}

bool snapshot_reader_has_new_workload(const struct snapshot_reader *r)
{
    for (size_t i = 0; r->config->workload_auto && i < ARRAY_SIZE(auto_names); i++) {
        _cleanup_close_ int fd = -1;
        struct cgroup_events events;

        if (is_guarded(r, auto_names[i]))
            continue;
        fd = file_open_dir(r->hierarchy->fd, auto_names[i]);
        if (fd >= 0 && cgroup_read_events(fd, &events) == 0 && events.populated)
            return true;
    }
    return false;
}

void snapshot_reader_reconfigure(struct snapshot_reader *r, const struct snapshot *s)
{
    for (unsigned i = 0; i < r->handle_max; i++)
        r->handles[i].class_index = r->config->class_count - 1;
    for (unsigned i = 0; i < s->group_count; i++) {
        struct group_handle *h = handle_find(r, s->groups[i].id, s->groups[i].pid);

        if (h)
            h->class_index = config_class_of(r->config, s->groups[i].path);
    }
    r->reconfigured = true;
    nodes_close(r);
    nodes_open(r); /* some may have come */
}

static void read_node_psi(struct snapshot_reader *r, struct node *n)
{
    struct psi psi;
    struct vmstat v;

    if (r->pressure_fd >= 0 && psi_pread(r->pressure_fd, &psi) == 0) {
        n->psi_some_usec = psi.some.total_usec;
        n->psi_full_usec = psi.full.total_usec;
    }
    if (n->swap_free == n->swap_total)
        return;
    if (!r->isolate && r->io_pressure_fd >= 0 && psi_pread(r->io_pressure_fd, &psi) == 0)
        n->io_full_usec = psi.full.total_usec;
    if (r->vmstat_fd >= 0 && vmstat_pread(r->vmstat_fd, &v) == 0) {
        n->read_bytes = v.read;
        n->swap_in_bytes = v.swap_in;
    }
}

/* A limit that is not there (the root has none, swap accounting is off) is none; one that cannot be read is
 * not taken for none. */
static int read_limit(int dir_fd, const char *name, uint64_t *ret)
{
    int r = file_read_u64_at(dir_fd, name, ret);

    if (r != -ENOENT)
        return r;
    *ret = UINT64_MAX;
    return 0;
}

static int read_swap_room(int dir_fd, uint64_t *ret)
{
    uint64_t max, current = 0;
    int r = read_limit(dir_fd, "memory.swap.max", &max);

    if (r == 0 && max != UINT64_MAX)
        r = file_read_u64_at(dir_fd, "memory.swap.current", &current);
    if (r < 0)
        return r;
    *ret = max == UINT64_MAX ? UINT64_MAX : u64_sub_floor(max, current);
    return 0;
}

/* Not the real root: a container. Where its own limit is the tighter one, what is used and available must be
 * seen from inside it, too: /proc/meminfo tells of the whole host. */
static int read_container(struct snapshot_reader *r, struct node *n)
{
    struct memory_stat m;
    uint64_t own, swap = UINT64_MAX;
    int e = read_limit(r->hierarchy->fd, "memory.max", &own);

    if (e == 0)
        e = read_swap_room(r->hierarchy->fd, &swap);
    if (e < 0)
        return e;
    n->swap_effective = u64_min(n->swap_effective, swap);
    if (own >= n->total)
        return 0;
    e = memory_stat_read_at(r->hierarchy->fd, &m);
    if (e < 0)
        return e;
    n->total = own;
    n->unreclaimable = memory_stat_used(&m);
    n->available = u64_min(n->available, u64_sub_floor(own, n->unreclaimable));
    return 0;
}

static int read_node(struct snapshot_reader *r, struct node *n)
{
    struct swap_areas areas = {0};
    struct meminfo m;
    uint64_t taken, file;
    int e = meminfo_pread(r->meminfo_fd, &m);

    if (e < 0)
        return e;
    r->has_swap = m.swap_total > 0;
    if (m.swap_total > 0) {
        e = swap_read(r->root_fd, &areas);
        if (e < 0)
            return e;
    }
    taken = u64_add_cap(m.hugetlb, areas.zram_pool);
    n->mem_total = m.total;
    n->hugetlb = m.hugetlb;
    n->total = u64_sub_floor(m.total, taken);
    n->available = m.available;
    file = u64_add_cap(m.active_file, m.inactive_file);
    n->unreclaimable = u64_sub_floor(n->total, u64_add_cap(u64_add_cap(m.free, file), m.kreclaimable));
    n->kept_free = u64_sub_floor(u64_add_cap(u64_add_cap(m.free, file), m.kreclaimable), m.available);
    n->swap_total = m.swap_total;
    n->swap_free = m.swap_free;
    n->zram_used = areas.zram_used;
    n->swap_effective = u64_min(swap_effective_bytes(&areas, u64_add_cap(m.anon, m.shmem)), m.swap_free);
    read_node_psi(r, n);
    return r->hierarchy->fd >= 0 && !r->hierarchy->real_root ? read_container(r, n) : 0;
}

/* The least memory.max and memory.high of all that is above the workload. */
static int read_bounds(struct snapshot_reader *r, struct workload_handle *w)
{
    uint64_t max = UINT64_MAX, high = UINT64_MAX;
    char path[GROUP_PATH_MAX];
    char *slash;

    memcpy(path, w->path, sizeof(path));
    while ((slash = strrchr(path, '/')) != NULL) {
        _cleanup_close_ int fd = -1;
        uint64_t v;
        int e;

        *slash = 0;
        fd = cgroup_open(r->hierarchy, path);
        if (fd < 0) /* ENOENT: an ancestor goes last, so the workload is gone, too */
            return fd;
        e = read_limit(fd, "memory.max", &v);
        if (e < 0)
            return e;
        max = u64_min(max, v);
        e = read_limit(fd, "memory.high", &v);
        if (e < 0)
            return e;
        high = u64_min(high, v);
    }
    w->ancestors_max = max;
    w->ancestors_high = high;
    return 0;
}

static int read_file(const struct workload_handle *h, enum workload_file f, uint64_t *ret)
{
    return h->fds[f] >= 0 ? file_pread_u64(h->fds[f], ret)
                          : file_read_u64_at(h->dir_fd, workload_files[f], ret);
}

static int read_own_limit(const struct workload_handle *h, enum workload_file f, uint64_t *ret)
{
    return h->fds[f] >= 0 ? file_pread_u64(h->fds[f], ret) : read_limit(h->dir_fd, workload_files[f], ret);
}

static int read_swap(const struct snapshot_reader *r, const struct workload_handle *h, struct workload *w)
{
    uint64_t max, current = 0;
    int e = read_own_limit(h, WORKLOAD_SWAP_MAX, &max);

    if (e == 0 && (r->has_swap || max != UINT64_MAX))
        e = read_file(h, WORKLOAD_SWAP_CURRENT, &current);
    if (e == -ENOENT && max == UINT64_MAX) /* swap accounting is off */
        e = 0;
    if (e < 0)
        return e;
    w->swap = w->swap_charged = r->has_swap ? current : 0;
    w->swap_room = max == UINT64_MAX ? UINT64_MAX : u64_sub_floor(max, current);
    return 0;
}

static int read_workload(struct snapshot_reader *r, struct workload_handle *h, uint64_t now_usec,
                         struct workload *w)
{
    struct memory_stat m;
    struct psi psi;
    int e;

    e = file_pread_u64(h->fds[WORKLOAD_CURRENT], &w->current);
    if (e == 0)
        e = memory_stat_pread(h->fds[WORKLOAD_STAT], &m);
    if (e == 0)
        e = read_own_limit(h, WORKLOAD_HIGH, &w->high);
    if (e == 0)
        e = read_own_limit(h, WORKLOAD_MAX, &w->max);
    if (e == 0)
        e = read_swap(r, h, w);
    if (e == 0 && now_usec >= h->bounds_due_usec) {
        e = read_bounds(r, h);
        if (e == 0)
            h->bounds_due_usec = now_usec + BOUNDS_AGE_USEC;
    }
    if (e < 0) /* a file that has gone since the descriptors were opened went with its cgroup */
        return e == -ENOENT ? -ENODEV : e;
    w->anon = m.anon;
    w->shmem = m.shmem;
    w->file = m.file;
    w->kernel = u64_sub_floor(m.kernel, m.slab_reclaimable);
    w->sock = m.sock;
    w->used = memory_stat_used(&m);
    w->firm = u64_sub_floor(w->current, u64_add_cap(m.active_file, m.inactive_file));
    w->leaving = memory_stat_leaving(&m);
    w->refault_bytes = u64_mul_div(m.workingset_refault_anon, PAGE_BYTES, 1);
    w->max = u64_min(w->max, h->ancestors_max);
    w->foreign_high = u64_min(w->high, h->ancestors_high);
    if (h->fds[WORKLOAD_PRESSURE] >= 0 && psi_pread(h->fds[WORKLOAD_PRESSURE], &psi) == 0) {
        w->psi_some_usec = psi.some.total_usec;
        w->psi_full_usec = psi.full.total_usec;
    }
    if (w->swap > 0 && h->fds[WORKLOAD_IO_PRESSURE] >= 0 &&
        psi_pread(h->fds[WORKLOAD_IO_PRESSURE], &psi) == 0)
        w->io_full_usec = psi.full.total_usec;
    w->swap = memory_stat_only_swap(&m, w->swap);
    return 0;
}

/* What a workload reads as that is not there. */
static void reset_workload(struct workload *w, const char path[static GROUP_PATH_MAX])
{
    *w = (struct workload){
        .high = UINT64_MAX,
        .foreign_high = UINT64_MAX,
        .max = UINT64_MAX,
        .swap_room = UINT64_MAX,
    };
    memcpy(w->path, path, sizeof(w->path));
}

static int read_workloads(struct snapshot_reader *r, uint64_t now_usec, struct workload *workloads)
{
    for (unsigned i = 0; i < r->workload_count; i++) {
        struct workload_handle *h = &r->workloads[i];
        struct workload *w = &workloads[i];
        int e;

        reset_workload(w, h->path);
        if (h->id == 0 && !workload_handle_open(r, h))
            continue;
        e = read_workload(r, h, now_usec, w);
        if (e == -ENODEV) { /* removed under us; another one of that name may come */
            workload_handle_close(h);
            reset_workload(w, h->path);
            continue;
        }
        if (e < 0)
            return e;
        w->id = h->id;
    }
    return 0;
}

/* The groups are those of the last walk: a decision is recorded after another look at the node. The last good
 * look stays where this one fails. */
int snapshot_read_node(struct snapshot_reader *r, uint64_t now_usec, struct snapshot *s)
{
    _uninitialized_ struct workload workloads[SNAPSHOT_WORKLOADS_MAX];
    struct node node = {0};
    int e = read_node(r, &node);

    if (e == 0)
        e = read_workloads(r, now_usec, workloads);
    if (e < 0)
        return e;
    s->now_usec = now_usec;
    s->isolate = r->isolate;
    s->node = node;
    s->numa_nodes = nodes_read(r, &node, s->numa);
    s->workload_count = r->workload_count;
    memcpy(s->workloads, workloads, r->workload_count * sizeof(*workloads));
    s->limit_step = s->protected_cache = 0;
    s->ended_count = 0;
    return 0;
}
