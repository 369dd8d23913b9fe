#include "snapshot/group.h"

#include <string.h>

#include "base/units.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/psi.h"
#include "model/kubernetes.h"
#include "snapshot/claims.h"
#include "snapshot/handles.h"
#include "snapshot/nodes.h"

#define DEPTH_MAX 12
#define BIRTH_PIDS_MAX 32
#define SWAP_LEVELS_MAX DEPTH_MAX
#define SWAP_AGE_USEC (16 * USEC_PER_SEC)

struct birth_walk {
    int root_fd;
    uint64_t birth_usec; /* UINT64_MAX: no process seen yet */
};

/* Start of the oldest process in this cgroup or below it (a pod's processes are all in its containers'
 * cgroups). kernfs keeps no creation time of a directory, and a directory may be used again. */
static enum cgroup_walk read_birth(void *user, int cgroup_fd)
{
    struct birth_walk *b = user;
    pid_t pids[BIRTH_PIDS_MAX];
    bool more;
    int n = cgroup_read_procs(cgroup_fd, pids, BIRTH_PIDS_MAX, &more);

    for (int i = 0; i < n; i++) {
        struct process_stat st;

        if (process_read_stat(b->root_fd, pids[i], &st) == 0)
            b->birth_usec = u64_min(b->birth_usec, st.start_usec);
    }
    return CGROUP_WALK_ON;
}

void group_begin_life(const struct snapshot_reader *r, struct group_handle *h, int dir_fd, uint64_t now_usec)
{
    struct birth_walk b = {r->root_fd, UINT64_MAX};
    bool reused = h->birth_usec != 0;
    uint64_t used = 0;

    (void)cgroup_walk(dir_fd, DEPTH_MAX, read_birth, &b);
    h->was_empty = b.birth_usec == UINT64_MAX; /* not seen: asked again at the next look */
    handle_reborn(h, u64_min(b.birth_usec, now_usec));
    if (reused && cgroup_read_cpu_usec(dir_fd, &used) < 0)
        used = 0;
    h->cpu_base_usec = used;
}

/* How long it stood still: what waits for pages that are read from swap counts as a stall on memory only
 * where the kernel takes them for part of the working set, and as one on I/O always. */
static void read_stalls(struct group_handle *h, int dir_fd, uint64_t now_usec)
{
    struct psi memory, io = {0};

    if (!handle_wants_stalls(h, now_usec) || psi_read_at(dir_fd, "memory.pressure", &memory) < 0)
        return;
    (void)!psi_read_at(dir_fd, "io.pressure", &io);
    handle_note_stalls(h, now_usec, memory.full.total_usec, io.full.total_usec);
}

int group_read_stat(int dir_fd, struct memory_stat *ret)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, "memory.stat");

    return fd < 0 ? fd : memory_stat_pread(fd, ret);
}

/* To open cpu.stat costs more than all else that ages, and nobody's life hangs on it. */
static bool is_turn(const struct snapshot_reader *r, const struct group_handle *h)
{
    return h->measured_usec == 0 || ((unsigned)(h - r->handles) + r->cpu_turn) % r->cpu_parts == 0;
}

/* Who owns its directory, of a group whose owner may be another one by what root says. */
static uint32_t directory_owner(const struct group_handle *h, const struct group *g)
{
    return h->claims.has_owner && g->owner_uid == h->claims.owner_uid ? 0 : g->owner_uid;
}

/* How much it can still swap by one limit: its own, or that of what it is in, so many levels up. False: no
 * limit there, or none that can be told. */
static bool read_swap_limit(int dir_fd, unsigned up, uint64_t *ret)
{
    char name[SWAP_LEVELS_MAX * 3 + 24] = "";
    uint64_t max, current;

    for (unsigned i = 0; i < up; i++)
        memcpy(name + 3 * i, "../", 4);
    memcpy(name + 3 * up, "memory.swap.max", sizeof("memory.swap.max"));
    if (file_read_u64_at(dir_fd, name, &max) < 0 || max == UINT64_MAX)
        return false;
    memcpy(name + 3 * up, "memory.swap.current", sizeof("memory.swap.current"));
    if (file_read_u64_at(dir_fd, name, &current) < 0)
        return false;
    *ret = u64_sub_floor(max, current);
    return true;
}

/* New limits are looked for often while it is young, when somebody who sets such sets them. */
static bool is_swap_due(struct group_handle *h, uint64_t now_usec)
{
    uint64_t age = u64_sub_floor(now_usec, h->birth_usec);

    if (now_usec / USEC_PER_SEC < h->swap_due_sec)
        return false;
    h->swap_due_sec =
        (uint32_t)((now_usec + u64_min(u64_max(age, USEC_PER_SEC), SWAP_AGE_USEC)) / USEC_PER_SEC);
    return true;
}

/* Of itself and of what it is in up to the workload, which is read at each look anyway. Where there was a
 * limit it is read each time. */
static void read_swap_room(const struct snapshot_reader *r, struct group_handle *h, int dir_fd,
                           uint64_t now_usec, struct group *g)
{
    const char *inside = g->path + strlen(r->workloads[g->workload_index].path);
    bool all = is_swap_due(h, now_usec);
    uint32_t limits = 0;

    g->swap_limited = false;
    g->swap_room = UINT64_MAX;
    for (unsigned up = 0; up < SWAP_LEVELS_MAX && *inside && (all || h->swap_limits); up++) {
        uint64_t room;

        if ((all || (h->swap_limits & UINT32_C(1) << up)) && read_swap_limit(dir_fd, up, &room)) {
            limits |= UINT32_C(1) << up;
            g->swap_limited = true;
            g->swap_room = u64_min(g->swap_room, room);
        }
        inside = strchrnul(inside + 1, '/');
    }
    h->swap_limits = limits;
}

/* What PodFile= says of its pod, where root has made the cgroup, and itself it says nothing. */
static void claim_for_pod(const struct config *c, uint32_t directory_uid, struct group *g)
{
    const struct pod_config *pod;
    struct kube_place place;

    if (c->pod_count == 0 || directory_uid != 0 || !kube_place_parse(g->path, &place))
        return;
    pod = config_pod(c, place.pod);
    if (!pod)
        return;
    if (pod->has_priority && !g->claims.has_priority) {
        g->claims.has_priority = true;
        g->claims.priority = (uint16_t)pod->priority;
    }
    if (pod->has_request && !g->claims.has_request) {
        g->claims.has_request = true;
        g->claims.request_bytes = pod->request_bytes;
    }
}

void group_read(const struct snapshot_reader *r, const struct snapshot *s, struct group_handle *h, int dir_fd,
                const struct memory_stat *m, struct group *g)
{
    uint32_t directory = directory_owner(h, g);
    uint64_t cpu, swap;

    g->anon = m->anon;
    g->shmem = m->shmem;
    g->kernel = u64_add_cap(u64_sub_floor(m->kernel, m->slab_reclaimable), m->sock);
    g->file = u64_add_cap(m->active_file, m->inactive_file);
    g->zswap = m->zswap;
    g->swap = 0;
    if (s->node.swap_total > s->node.swap_free && file_read_u64_at(dir_fd, "memory.swap.current", &swap) == 0)
        g->swap = memory_stat_only_swap(m, swap);
    if (handle_is_aged(h, s->now_usec, g->frozen, directory)) {
        if (!is_turn(r, h))
            h->age_due_usec = s->now_usec; /* at the next walk, then */
        else if (cgroup_read_cpu_usec(dir_fd, &cpu) == 0)
            handle_note_cpu(h, s->now_usec, u64_sub_floor(cpu, h->cpu_base_usec));
        claims_read(dir_fd, r->real_offset_usec, directory, &h->claims);
        h->mems = nodes_bound(r, dir_fd, g->path);
    }
    g->mems = h->mems;
    g->claims = h->claims;
    claim_for_pod(r->config, directory, g);
    g->owner_uid = h->claims.has_owner ? h->claims.owner_uid : directory;
    if (r->isolate && s->node.swap_total > 0)
        read_swap_room(r, h, dir_fd, s->now_usec, g);
    if (r->wants_stalls)
        read_stalls(h, dir_fd, s->now_usec);
    handle_observe(h, s->now_usec, g);
}
