#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"
#include "snapshot/reader.h"

/* The groups of the domain. The hierarchy is walked anew each time (a directory read gives names and ids in
 * one go); what costs more, the descriptor of memory.stat and the birth, is remembered by cgroup id. */

#define DEPTH_MAX 12
#define BIRTH_PIDS_MAX 32
#define PROCESS_LEAST_BYTES UINT64_C(1048576)
#define DT_DIRECTORY 4
#define OOM_SCORE_NEVER (-1000)

struct walk {
    struct snapshot_reader *reader;
    struct snapshot *snapshot;
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

static struct group_handle *handle_find(struct snapshot_reader *r, uint64_t id)
{
    for (unsigned i = 0; i < r->handle_max; i++)
        if (r->handles[i].id == id)
            return &r->handles[i];
    return NULL;
}

/* A free handle, else one that this walk has not come across: hours may lie between two walks, and then most
 * are of groups that are long gone. One that is still there costs a second reading of its birth, no more. */
static struct group_handle *handle_vacate(struct snapshot_reader *r)
{
    struct group_handle *unseen = NULL;

    for (unsigned i = 0; i < r->handle_max; i++) {
        if (r->handles[i].id == 0)
            return &r->handles[i];
        if (!r->handles[i].seen)
            unseen = &r->handles[i];
    }
    if (unseen)
        group_handle_close(unseen);
    return unseen;
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

static struct group_handle *handle_new(struct walk *w, int dir_fd, const char *path, uint64_t id)
{
    struct group_handle *h = handle_vacate(w->reader);

    if (!h)
        return NULL;
    *h = (struct group_handle){.id = id, .was_empty = true};
    h->stat_fd = file_open_read(dir_fd, "memory.stat");
    if (h->stat_fd < 0 || text_copy(text_from(path), h->path, sizeof(h->path)) < 0) {
        group_handle_close(h);
        return NULL;
    }
    h->class_index = config_class_of(w->reader->config, path);
    h->workload_index = w->workload_index;
    return h;
}

static void add_group(struct walk *w, int dir_fd, const char *path, bool populated)
{
    struct snapshot *s = w->snapshot;
    struct group_handle *h;
    struct memory_stat m;
    struct group *g;
    uint64_t id;
    int r;

    if (cgroup_read_id(dir_fd, &id) < 0)
        return;
    h = handle_find(w->reader, id);
    if (!populated) { /* takes no handle that one with memory may need */
        if (h)
            h->seen = h->was_empty = true;
        return;
    }
    if (s->group_count >= s->group_max || (!h && !(h = handle_new(w, dir_fd, path, id)))) {
        s->groups_left_out++;
        return;
    }
    h->seen = true;
    if (h->was_empty) {
        struct birth_walk b = {w->reader, dir_fd, w->depth, UINT64_MAX};

        read_birth(&b);
        h->was_empty = b.birth_usec == UINT64_MAX; /* not seen: asked again at the next look */
        h->birth_usec = u64_min(b.birth_usec, s->now_usec);
    }
    r = memory_stat_pread(h->stat_fd, &m);
    if (r < 0) { /* it went while we walked; else what cannot be read is not acted on */
        s->groups_left_out += !is_gone(r);
        return;
    }
    g = &s->groups[s->group_count++];
    *g = (struct group){
        .id = id,
        .class_index = h->class_index,
        .workload_index = h->workload_index,
        .birth_usec = h->birth_usec,
        .anon = m.anon,
        .shmem = m.shmem,
        .kernel = u64_add_cap(u64_sub_floor(m.kernel, m.slab_reclaimable), m.sock),
        .populated = true,
    };
    memcpy(g->path, h->path, sizeof(g->path));
}

/* Not to be taken as a group of `other`: where people are logged in. */
static bool is_login(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);

    if (strcmp(name, "init.scope") == 0)
        return true;
    return strncmp(name, "session-", 8) == 0 && n > 6 && strcmp(name + n - 6, ".scope") == 0;
}

static bool is_protected(const struct snapshot_reader *r, const char *path)
{
    for (unsigned i = 0; i < r->config->protect_count; i++)
        if (cgroup_path_is_below(path, r->config->protect[i]))
            return true;
    return false;
}

/* Ending this group would end what is protected, or us. */
static bool holds_protected(const struct snapshot_reader *r, const char *path)
{
    for (unsigned i = 0; i < r->config->protect_count; i++)
        if (cgroup_path_is_below(r->config->protect[i], path))
            return true;
    return cgroup_path_is_below(r->own_path, path);
}

/* What could not be looked into is no group, and nothing above it may be taken whole, since what is in it is
 * not known. */
static int leave_out(struct walk *w, int error)
{
    if (is_gone(error))
        return 0;
    w->snapshot->groups_left_out++;
    w->found_below = true;
    return 0;
}

static int visit(struct walk *w, int dir_fd, const char *path);

static int visit_child(void *user, const char *name, unsigned char type, uint64_t inode)
{
    struct walk *w = user;
    char path[GROUP_PATH_MAX];
    _cleanup_close_ int fd = -1;

    (void)inode;
    if (type != DT_DIRECTORY)
        return 0;
    if (cgroup_path_join(path, w->path, name) < 0)
        return leave_out(w, -ENAMETOOLONG);
    fd = file_open_dir(w->dir_fd, name);
    if (fd < 0)
        return leave_out(w, fd);
    return visit(w, fd, path);
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

/* One cgroup: a group where a class matches it; else the deepest one that holds processes is a group of
 * `other`. That it holds them itself is asked for: its children may have gone, and others come, since it was
 * seen to be populated, and a whole slice would be taken for one group. */
static int visit(struct walk *w, int dir_fd, const char *path)
{
    const struct config *c = w->reader->config;
    struct cgroup_events events;
    bool found = false, more, matched = config_class_of(c, path) + 1 < c->class_count;
    pid_t pid;
    int r, held;

    if (is_protected(w->reader, path))
        return 0;
    r = cgroup_read_events(dir_fd, &events);
    if (r < 0)
        return leave_out(w, r);
    if (matched) {
        if (!holds_protected(w->reader, path))
            add_group(w, dir_fd, path, events.populated);
        w->found_below = w->found_below || events.populated;
        return 0;
    }
    if (!events.populated)
        return 0;
    held = cgroup_read_procs(dir_fd, &pid, 1, &more);
    if (held == -EOPNOTSUPP) /* a threaded one: threads of processes that its parent holds */
        return 0;
    if (held < 0)
        return leave_out(w, held);
    w->found_below = true;
    if (w->depth < DEPTH_MAX) {
        r = visit_children(w, dir_fd, path, &found);
        if (r < 0)
            return leave_out(w, r);
    }
    if (!found && held > 0 && path[0] && !is_login(path) && !holds_protected(w->reader, path))
        add_group(w, dir_fd, path, true);
    return 0;
}

static void add_process(struct snapshot_reader *r, struct snapshot *s, pid_t pid)
{
    struct process_memory m;
    struct process_stat st;
    struct group *g;
    int adj;

    /* Not us and our companions, and not what the kernel's own killer is told to spare (sshd, udevd). */
    if (pid == 1 || pid == getpid() || process_read_stat(r->root_fd, pid, &st) < 0 || st.kernel_thread ||
        st.state == 'Z' || st.ppid == getpid() || process_read_memory(r->root_fd, pid, &m) < 0 ||
        m.rss_anon < PROCESS_LEAST_BYTES ||
        (oom_score_read_adj(r->root_fd, pid, &adj) == 0 && adj == OOM_SCORE_NEVER))
        return;
    if (s->group_count >= s->group_max) {
        s->groups_left_out++;
        return;
    }
    g = &s->groups[s->group_count++];
    *g = (struct group){
        .id = st.start_usec,
        .pid = pid,
        .class_index = r->config->class_count - 1,
        .birth_usec = st.start_usec,
        .anon = m.rss_anon,
        .shmem = m.rss_shmem,
        .swap = m.swap,
        .populated = true,
    };
    memcpy(g->comm, st.comm, sizeof(g->comm) - 1);
}

struct process_walk {
    struct snapshot_reader *reader;
    struct snapshot *snapshot;
    pid_t spared[8]; /* our own ancestors: killing the shell that holds us ends us, too */
    unsigned spared_count;
};

static int visit_process(void *user, pid_t pid)
{
    struct process_walk *w = user;

    for (unsigned i = 0; i < w->spared_count; i++)
        if (w->spared[i] == pid)
            return 0;
    add_process(w->reader, w->snapshot, pid);
    return 0;
}

static int read_processes(struct snapshot_reader *r, struct snapshot *s)
{
    struct process_walk w = {.reader = r, .snapshot = s};
    struct process_stat st;
    pid_t pid = getpid();

    while (w.spared_count < ARRAY_SIZE(w.spared) && pid > 1 && process_read_stat(r->root_fd, pid, &st) == 0) {
        w.spared[w.spared_count++] = pid;
        pid = st.ppid;
    }
    return process_each(r->root_fd, visit_process, &w);
}

static int read_tree(struct snapshot_reader *r, struct snapshot *s, unsigned workload_index, int dir_fd,
                     const char *path)
{
    struct walk w = {
        .reader = r, .snapshot = s, .workload_index = workload_index, .dir_fd = dir_fd, .path = path};

    return visit(&w, dir_fd, path);
}

int snapshot_read_groups(struct snapshot_reader *r, struct snapshot *s)
{
    int e = 0;

    s->group_count = s->groups_left_out = 0;
    s->groups_read = true;
    if (r->processes)
        return read_processes(r, s);
    for (unsigned i = 0; i < r->handle_max; i++)
        r->handles[i].seen = false;
    if (r->isolate) {
        for (unsigned i = 0; i < r->workload_count && e == 0; i++)
            if (r->workloads[i].id != 0)
                e = read_tree(r, s, i, r->workloads[i].dir_fd, r->workloads[i].path);
    } else {
        e = visit_children(&(struct walk){.reader = r, .snapshot = s}, r->hierarchy->fd, "", &(bool){false});
    }
    for (unsigned i = 0; i < r->handle_max; i++)
        if (r->handles[i].id != 0 && !r->handles[i].seen)
            group_handle_close(&r->handles[i]);
    return e;
}
