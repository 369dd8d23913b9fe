#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"
#include "kernel/process.h"
#include "kernel/psi.h"
#include "snapshot/claims.h"
#include "snapshot/handles.h"
#include "snapshot/processes.h"
#include "snapshot/reader.h"
#include "snapshot/spared.h"
#include "snapshot/watches.h"

/* The groups of the domain. A walk over the hierarchy costs most by what it opens. So a group that is known
 * by its id keeps its directory open; what only says of a slice that there is something in it is read where
 * nothing was found below; the birth is remembered, and for a while what changes slowly. And as long as the
 * kernel has not told that anything came, went, became empty, froze or went on (watches.c), only memory is
 * read again, of the same groups. */

#define DEPTH_MAX 12
#define BIRTH_PIDS_MAX 32
#define DT_DIRECTORY 4
/* All is looked at again after so long, whatever was told. */
#define WALK_AGE_USEC (5 * USEC_PER_SEC)

struct walk {
    struct snapshot_reader *reader;
    struct snapshot *snapshot;
    uint64_t real_offset_usec; /* CLOCK_REALTIME − CLOCK_BOOTTIME */
    unsigned workload_index;
    unsigned depth;
    int dir_fd;
    const char *path;
    bool found_below; /* something in this subtree holds processes */
};

/* What is no longer there is no error: groups come and go while we walk. */
static bool is_gone(int error)
{
    return error == -ENOENT || error == -ENODEV;
}

struct birth_walk {
    const struct snapshot_reader *reader;
    int dir_fd;
    unsigned depth;
    uint64_t birth_usec; /* UINT64_MAX: no process seen yet */
};

static int birth_visit(void *user, const char *name, unsigned char type, uint64_t inode);

/* Start of the oldest process in this cgroup or below it (a pod's processes are all in its containers'
 * cgroups). kernfs keeps no creation time of a directory, and a directory may be used again. */
static void read_birth(struct birth_walk *b)
{
    pid_t pids[BIRTH_PIDS_MAX];
    bool more;
    int n = cgroup_read_procs(b->dir_fd, pids, BIRTH_PIDS_MAX, &more);

    for (int i = 0; i < n; i++) {
        struct process_stat st;

        if (process_read_stat(b->reader->root_fd, pids[i], &st) == 0)
            b->birth_usec = u64_min(b->birth_usec, st.start_usec);
    }
    if (b->depth < DEPTH_MAX)
        (void)file_each_entry(b->dir_fd, birth_visit, b);
}

static int birth_visit(void *user, const char *name, unsigned char type, uint64_t inode _unused_)
{
    struct birth_walk *above = user, below = *above;
    _cleanup_close_ int fd = -1;

    if (type != DT_DIRECTORY)
        return 0;
    fd = file_open_dir(above->dir_fd, name);
    if (fd < 0)
        return 0;
    below.dir_fd = fd;
    below.depth++;
    read_birth(&below);
    above->birth_usec = below.birth_usec;
    return 0;
}

/* FNV-1a: two paths of the same cgroup are told apart, no more. */
static uint64_t path_hash(const char *path)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (; *path; path++)
        h = (h ^ (unsigned char)*path) * UINT64_C(1099511628211);
    return h;
}

static struct group_handle *handle_new(struct walk *w, int dir_fd, const char *path, uint64_t id)
{
    struct group_handle *h = handle_take(w->reader, id, 0);

    if (!h)
        return NULL;
    h->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3); /* where there is none left, it is opened at each walk */
    h->path_hash = path_hash(path);
    return h;
}

/* A group that was here at the last walk, so that its directory need not be opened. A file system that gives
 * other numbers in its lists than of its files (an overlay) is only slower. */
static struct group_handle *handle_known(struct walk *w, uint64_t inode, const char *path)
{
    struct group_handle *h = handle_find(w->reader, inode, 0);

    return h && h->dir_fd >= 0 && h->path_hash == path_hash(path) ? h : NULL;
}

/* A life begins with the first process: age, CPU time and growth count from there. */
static void begin_life(struct walk *w, struct group_handle *h, int dir_fd)
{
    struct birth_walk b = {w->reader, dir_fd, w->depth, UINT64_MAX};
    bool reused = h->birth_usec != 0;
    uint64_t used = 0;

    read_birth(&b);
    h->was_empty = b.birth_usec == UINT64_MAX; /* not seen: asked again at the next look */
    handle_reborn(h, u64_min(b.birth_usec, w->snapshot->now_usec));
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

static int read_stat(int dir_fd, struct memory_stat *ret)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, "memory.stat");

    return fd < 0 ? fd : memory_stat_pread(fd, ret);
}

/* What is read at each walk. */
static void fill_memory(struct walk *w, struct group_handle *h, int dir_fd, const struct memory_stat *m,
                        struct group *g)
{
    const struct snapshot *s = w->snapshot;
    uint64_t cpu, swap;

    g->anon = m->anon;
    g->shmem = m->shmem;
    g->kernel = u64_add_cap(u64_sub_floor(m->kernel, m->slab_reclaimable), m->sock);
    g->swap = 0;
    if (s->node.swap_total > s->node.swap_free && file_read_u64_at(dir_fd, "memory.swap.current", &swap) == 0)
        g->swap = memory_stat_only_swap(m, swap);
    if (handle_is_aged(h, s->now_usec, g->frozen, g->owner_uid)) {
        if (cgroup_read_cpu_usec(dir_fd, &cpu) == 0)
            handle_note_cpu(h, s->now_usec, u64_sub_floor(cpu, h->cpu_base_usec));
        claims_read(dir_fd, w->real_offset_usec, g->owner_uid, &h->claims);
    }
    g->claims = h->claims;
    if (w->reader->wants_stalls)
        read_stalls(h, dir_fd, s->now_usec);
    handle_observe(h, s->now_usec, g);
}

static void fill_group(struct walk *w, struct group_handle *h, int dir_fd, const char *path,
                       const struct memory_stat *m, bool frozen, uid_t owner_uid)
{
    struct group *g = &w->snapshot->groups[w->snapshot->group_count++];

    *g = (struct group){
        .id = h->id,
        .class_index = h->class_index,
        .workload_index = h->workload_index,
        .birth_usec = h->birth_usec,
        .owner_uid = owner_uid,
        .populated = true,
        .frozen = frozen,
    };
    (void)text_copy(text_from(path), g->path, sizeof(g->path));
    fill_memory(w, h, dir_fd, m, g);
}

/* No place for it: what it is in stands for it. */
static void add_rest(struct walk *w, unsigned class_index)
{
    const struct class_config *classes = w->reader->config->classes;
    struct snapshot *s = w->snapshot;
    struct group_rest *rest = s->rests;

    s->groups_left_out++;
    while (rest < s->rests + s->rest_count && strcmp(rest->path, w->path) != 0)
        rest++;
    if (rest == s->rests + SNAPSHOT_RESTS_MAX)
        return; /* counted, at least */
    if (rest == s->rests + s->rest_count) {
        *rest = (struct group_rest){.workload_index = w->workload_index, .class_index = class_index};
        if (cgroup_read_id(w->dir_fd, &rest->id) < 0 ||
            text_copy(text_from(w->path), rest->path, sizeof(rest->path)) < 0)
            return;
        s->rest_count++;
    }
    if (classes[class_index].priority < classes[rest->class_index].priority)
        rest->class_index = class_index;
    rest->count++;
}

static void add_group(struct walk *w, int dir_fd, const char *path, unsigned class_index,
                      const struct cgroup_events *events, const struct cgroup_identity *who)
{
    struct group_handle *h = handle_find(w->reader, who->id, 0);
    struct snapshot *s = w->snapshot;
    struct memory_stat m;
    int r;

    if (!events->populated) { /* takes no handle that one with memory may need */
        if (h && !h->was_empty)
            handle_note_end(h, s);
        if (h)
            h->seen = h->was_empty = true;
        return;
    }
    r = read_stat(dir_fd, &m);
    if (r < 0) { /* one that we knew went while we walked; else what cannot be read is not acted on */
        w->reader->watched = false; /* the next walk looks again */
        s->groups_left_out += !h || !is_gone(r);
        if (h)
            h->seen = true;
        return;
    }
    if (s->group_count >= s->group_max || (!h && !(h = handle_new(w, dir_fd, path, who->id)))) {
        add_rest(w, class_index);
        return;
    }
    h->seen = true;
    h->class_index = class_index;
    h->workload_index = w->workload_index;
    if (h->was_empty)
        begin_life(w, h, dir_fd);
    fill_group(w, h, dir_fd, path, &m, events->frozen, who->owner_uid);
}

/* What could not be looked into is no group, and nothing above it may be taken whole, since what is in it is
 * not known. */
static int leave_out(struct walk *w, int error)
{
    w->reader->watched = false;
    if (is_gone(error))
        return 0;
    w->snapshot->groups_left_out++;
    w->found_below = true;
    return 0;
}

static int visit(struct walk *w, int dir_fd, const char *path, bool known);

static int visit_child(void *user, const char *name, unsigned char type, uint64_t inode)
{
    struct walk *w = user;
    _uninitialized_ char path[GROUP_PATH_MAX];
    const struct group_handle *h;
    _cleanup_close_ int fd = -1;

    if (type != DT_DIRECTORY)
        return 0;
    if (cgroup_path_join(path, w->path, name) < 0)
        return leave_out(w, -ENAMETOOLONG);
    h = handle_known(w, inode, path);
    if (h)
        return visit(w, h->dir_fd, path, true);
    fd = file_open_dir(w->dir_fd, name);
    if (fd < 0)
        return leave_out(w, fd);
    return visit(w, fd, path, false);
}

static int visit_children(struct walk *w, int dir_fd, const char *path, bool *ret_found)
{
    struct walk below = *w;
    int r;

    below.dir_fd = dir_fd;
    below.path = path;
    below.depth = w->depth + 1;
    below.found_below = false;
    r = file_each_entry(dir_fd, visit_child, &below);
    *ret_found = below.found_below;
    return is_gone(r) ? 0 : r;
}

/* A cgroup that a class matches: a group, or (Unit=process) its processes are. */
static int visit_matched(struct walk *w, int dir_fd, const char *path, unsigned class_index)
{
    struct cgroup_identity who;
    struct cgroup_events events;
    int r = cgroup_read_identity(dir_fd, &who);

    if (r == 0) {
        (void)watches_note(w->reader, who.id, dir_fd, WATCH_EVENTS);
        r = cgroup_read_events(dir_fd, &events);
    }
    if (r < 0)
        return leave_out(w, r);
    w->found_below = w->found_below || events.populated;
    if (spared_is_inside(w->reader, path))
        return 0;
    if (w->reader->config->classes[class_index].unit == UNIT_CGROUP) {
        add_group(w, dir_fd, path, class_index, &events, &who);
        return 0;
    }
    w->reader->watched = false; /* of processes nothing is told */
    if (events.populated)
        processes_of_cgroup(w->reader, w->snapshot, class_index, w->workload_index, dir_fd, path);
    return 0;
}

/* Of `other`, with nothing in it below: a group where it holds processes itself. That is asked for: its
 * children may have gone, and others come, since it was looked into, and a whole slice would be taken for one
 * group. One that was a group before and has no children is populated by none but its own. */
static int visit_leaf(struct walk *w, int dir_fd, const char *path, const struct cgroup_identity *who,
                      bool known)
{
    unsigned other = w->reader->config->class_count - 1;
    struct cgroup_events events;
    int held = 1, r;
    bool more;
    pid_t pid;

    (void)watches_note(w->reader, who->id, dir_fd, WATCH_EVENTS | WATCH_CHILDREN);
    if (!known || !who->is_leaf)
        held = cgroup_read_procs(dir_fd, &pid, 1, &more);
    if (held == -EOPNOTSUPP) /* a threaded one: threads of processes that its parent holds */
        return 0;
    if (held < 0)
        return leave_out(w, held);
    r = cgroup_read_events(dir_fd, &events);
    if (r < 0)
        return leave_out(w, r);
    if (!events.populated)
        return 0;
    w->found_below = true;
    if (held > 0 && path[0] && !spared_is_login(path) && !spared_is_inside(w->reader, path))
        add_group(w, dir_fd, path, other, &events, who);
    return 0;
}

/* One cgroup: a group where a class matches it; else the deepest one that holds processes is a group of
 * `other`.
 */
static int visit(struct walk *w, int dir_fd, const char *path, bool known)
{
    const struct config *c = w->reader->config;
    unsigned class_index = config_class_of(c, path);
    struct cgroup_identity who;
    bool found = false;
    int r;

    if (spared_is_protected(w->reader, path))
        return 0;
    if (class_index + 1 < c->class_count)
        return visit_matched(w, dir_fd, path, class_index);
    r = cgroup_read_identity(dir_fd, &who);
    if (r == 0 && watches_note(w->reader, who.id, dir_fd, WATCH_CHILDREN))
        r = cgroup_read_identity(dir_fd, &who);
    if (r < 0)
        return leave_out(w, r);
    if (w->depth < DEPTH_MAX && !who.is_leaf) {
        r = visit_children(w, dir_fd, path, &found);
        if (r < 0)
            return leave_out(w, r);
    }
    if (!found)
        return visit_leaf(w, dir_fd, path, &who, known);
    w->found_below = true;
    return 0;
}

static int walk_all(struct walk *w)
{
    const struct snapshot_reader *r = w->reader;
    struct cgroup_identity root;
    bool found;
    int e = 0;

    if (!r->isolate) {
        if (cgroup_read_identity(r->hierarchy->fd, &root) == 0)
            (void)watches_note(w->reader, root.id, r->hierarchy->fd, WATCH_CHILDREN);
        return visit_children(w, r->hierarchy->fd, "", &found);
    }
    for (unsigned i = 0; i < r->workload_count && e == 0; i++) {
        if (r->workloads[i].id == 0)
            continue;
        w->workload_index = i;
        w->dir_fd = r->workloads[i].dir_fd;
        w->path = r->workloads[i].path;
        w->found_below = false;
        e = visit(w, w->dir_fd, w->path, false);
    }
    return e;
}

static int read_hierarchy(struct walk *w)
{
    struct snapshot_reader *r = w->reader;
    struct snapshot *s = w->snapshot;
    int e;

    s->group_count = s->groups_left_out = s->rest_count = 0;
    handles_unsee(r);
    watches_begin(r);
    e = r->processes ? processes_of_host(r, s) : walk_all(w);
    handles_drop_unseen(r, s);
    watches_end(r);
    r->watched = r->watched && e == 0 && !r->processes && s->groups_left_out == 0;
    r->walked_usec = s->now_usec;
    r->walked_groups = s->group_count;
    return e;
}

/* Only memory, of the groups of the last walk. False: all has to be looked at. */
static bool read_same(struct walk *w)
{
    struct snapshot_reader *r = w->reader;
    struct snapshot *s = w->snapshot;

    if (r->reconfigured || s->group_count != r->walked_groups ||
        s->now_usec >= u64_add_cap(r->walked_usec, WALK_AGE_USEC) || !watches_tell_same(r))
        return false;
    for (unsigned i = 0; i < s->group_count; i++) {
        struct group *g = &s->groups[i];
        struct group_handle *h = handle_find(r, g->id, g->pid);
        struct cgroup_identity who;
        struct memory_stat m;

        if (!h || h->dir_fd < 0 || h->was_empty || read_stat(h->dir_fd, &m) < 0)
            return false;
        if (s->now_usec >= h->age_due_usec && cgroup_read_identity(h->dir_fd, &who) == 0)
            g->owner_uid = who.owner_uid;
        fill_memory(w, h, h->dir_fd, &m, g);
    }
    return true;
}

int snapshot_read_groups(struct snapshot_reader *r, struct snapshot *s)
{
    struct walk w = {.reader = r, .snapshot = s, .real_offset_usec = claims_real_offset_usec(s->now_usec)};

    s->ended_count = 0;
    s->groups_usec = s->now_usec;
    s->groups_read = true;
    return read_same(&w) ? 0 : read_hierarchy(&w);
}
