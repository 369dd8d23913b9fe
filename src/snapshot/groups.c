#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"
#include "kernel/process.h"
#include "snapshot/reader.h"

/* The groups of the domain. The hierarchy is walked anew each time (a directory read gives names and ids in
 * one go); what costs more, the descriptor of memory.stat and the birth, is remembered by cgroup id. */

#define DEPTH_MAX 12
#define BIRTH_PIDS_MAX 32
#define PROCESS_LEAST_BYTES UINT64_C(1048576)
#define DT_DIRECTORY 4

struct walk {
    struct snapshot_reader *reader;
    struct snapshot *snapshot;
    unsigned workload_index;
    unsigned depth;
    int dir_fd;
    const char *path;
    bool found_below; /* something in this subtree holds processes */
};

static struct group_handle *handle_find(struct snapshot_reader *r, uint64_t id)
{
    struct group_handle *vacant = NULL;

    for (unsigned i = 0; i < r->handle_max; i++) {
        if (r->handles[i].id == id)
            return &r->handles[i];
        if (r->handles[i].id == 0 && !vacant)
            vacant = &r->handles[i];
    }
    return vacant;
}

/* Start of the oldest process. kernfs keeps no creation time of a directory, and a directory may be used
 * again. */
static uint64_t read_birth(const struct snapshot_reader *r, int dir_fd, uint64_t now_usec)
{
    pid_t pids[BIRTH_PIDS_MAX];
    uint64_t birth = now_usec;
    bool more;
    int n = cgroup_read_procs(dir_fd, pids, BIRTH_PIDS_MAX, &more);

    for (int i = 0; i < n; i++) {
        struct process_stat st;

        if (process_read_stat(r->root_fd, pids[i], &st) == 0)
            birth = u64_min(birth, st.start_usec);
    }
    return birth;
}

static struct group_handle *handle_get(struct walk *w, int dir_fd, const char *path, uint64_t id)
{
    struct group_handle *h = handle_find(w->reader, id);

    if (!h)
        return NULL;
    if (h->id == id)
        return h;
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

    if (cgroup_read_id(dir_fd, &id) < 0)
        return;
    h = s->group_count < s->group_max ? handle_get(w, dir_fd, path, id) : NULL;
    if (!h) {
        s->groups_left_out++;
        return;
    }
    h->seen = true;
    if (!populated) {
        h->was_empty = true;
        return;
    }
    if (h->was_empty) {
        h->birth_usec = read_birth(w->reader, dir_fd, s->now_usec);
        h->was_empty = false;
    }
    if (memory_stat_pread(h->stat_fd, &m) < 0)
        return; /* it went while we walked */
    g = &s->groups[s->group_count++];
    *g = (struct group){
        .id = id,
        .class_index = h->class_index,
        .workload_index = h->workload_index,
        .birth_usec = h->birth_usec,
        .anon = m.anon,
        .shmem = m.shmem,
        .kernel = u64_sub_floor(m.kernel, m.slab_reclaimable) + m.sock,
        .populated = true,
    };
    memcpy(g->path, h->path, sizeof(g->path));
}

/* Not to be taken as a group of `other`: what holds us, and where people are logged in. */
static bool is_untouchable(const struct snapshot_reader *r, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);

    if (cgroup_path_is_below(r->own_path, path))
        return true;
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

static int visit(struct walk *w, int dir_fd, const char *path);

static int visit_child(void *user, const char *name, unsigned char type, uint64_t inode)
{
    struct walk *w = user;
    char path[GROUP_PATH_MAX];
    _cleanup_close_ int fd = -1;

    (void)inode;
    if (type != DT_DIRECTORY)
        return 0;
    if (cgroup_path_join(path, w->path, name) < 0) {
        w->snapshot->groups_left_out++; /* its parent stays the unit */
        return 0;
    }
    fd = file_open_dir(w->dir_fd, name);
    if (fd < 0)
        return 0; /* went between the two calls */
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
    return r == -ENODEV ? 0 : r;
}

/* One cgroup: a group where a class matches it; else the deepest one that holds processes is a group of
 * `other`. */
static int visit(struct walk *w, int dir_fd, const char *path)
{
    const struct config *c = w->reader->config;
    struct cgroup_events events;
    bool found, matched = config_class_of(c, path) + 1 < c->class_count;
    int r;

    if (is_protected(w->reader, path) || cgroup_read_events(dir_fd, &events) < 0)
        return 0;
    if (matched) {
        if (!cgroup_path_is_below(w->reader->own_path, path))
            add_group(w, dir_fd, path, events.populated);
        w->found_below = w->found_below || events.populated;
        return 0;
    }
    if (!events.populated)
        return 0;
    w->found_below = true;
    if (w->depth >= DEPTH_MAX)
        found = false;
    else {
        r = visit_children(w, dir_fd, path, &found);
        if (r < 0)
            return r;
    }
    if (!found && path[0] && !is_untouchable(w->reader, path))
        add_group(w, dir_fd, path, true);
    return 0;
}

static void add_process(struct snapshot_reader *r, struct snapshot *s, pid_t pid)
{
    struct process_memory m;
    struct process_stat st;
    struct group *g;

    if (pid == 1 || pid == getpid() || process_read_stat(r->root_fd, pid, &st) < 0 || st.kernel_thread ||
        st.state == 'Z' || process_read_memory(r->root_fd, pid, &m) < 0 || m.rss_anon < PROCESS_LEAST_BYTES)
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
