#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/pattern.h"
#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"
#include "kernel/process.h"
#include "snapshot/claims.h"
#include "snapshot/handles.h"
#include "snapshot/reader.h"

/* The groups of the domain. The hierarchy is walked anew each time (a directory read gives names and ids in one go);
 * what costs more, the descriptor of memory.stat and the birth, is remembered by cgroup id. */

#define DEPTH_MAX 12
#define BIRTH_PIDS_MAX 32
#define PROCESS_LEAST_BYTES UINT64_C(1048576)
#define DT_DIRECTORY 4

struct walk {
    struct snapshot_reader *reader;
    struct snapshot *snapshot;
    uint64_t real_offset_usec;
    unsigned workload_index;
    unsigned depth;
    int dir_fd;
    const char *path;
    bool found_below; /* something in this subtree holds processes */
    unsigned class_index; /* of the processes that are being added */
};

static uint64_t real_offset_usec(uint64_t boot_usec)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return u64_sub_floor((uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000, boot_usec);
}

/* Start of the oldest process. kernfs keeps no creation time of a directory, and a directory may be used again. */
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

static struct group_handle *cgroup_handle(struct walk *w, int dir_fd, const char *path, uint64_t id)
{
    bool fresh;
    struct group_handle *h = handle_get(w->reader, id, 0, &fresh);

    if (!h || !fresh)
        return h;
    h->stat_fd = file_open_read(dir_fd, "memory.stat");
    if (h->stat_fd < 0 || text_copy(text_from(path), h->path, sizeof(h->path)) < 0) {
        group_handle_close(h);
        return NULL;
    }
    h->class_index = config_class_of(w->reader->config, path);
    h->workload_index = w->workload_index;
    return h;
}

/* A life begins with the first process: age and CPU time count from there. */
static void begin_life(struct walk *w, struct group_handle *h, int dir_fd)
{
    uint64_t birth = read_birth(w->reader, dir_fd, w->snapshot->now_usec), used = 0;
    bool reused = h->birth_usec != 0;

    handle_reborn(h, birth);
    if (reused && cgroup_read_cpu_usec(dir_fd, &used) < 0)
        used = 0;
    h->cpu_base_usec = used;
    h->was_empty = false;
}

static void fill_group(struct walk *w, struct group_handle *h, int dir_fd, const struct memory_stat *m)
{
    struct snapshot *s = w->snapshot;
    struct group *g = &s->groups[s->group_count++];
    uint64_t cpu = 0, swap = 0;

    *g = (struct group){
        .id = h->id,
        .class_index = h->class_index,
        .workload_index = h->workload_index,
        .birth_usec = h->birth_usec,
        .anon = m->anon,
        .shmem = m->shmem,
        .kernel = u64_sub_floor(m->kernel, m->slab_reclaimable) + m->sock,
        .populated = true,
    };
    memcpy(g->path, h->path, sizeof(g->path));
    if (cgroup_read_cpu_usec(dir_fd, &cpu) == 0)
        g->cpu_usec = u64_sub_floor(cpu, h->cpu_base_usec);
    if (s->node.swap_total > 0 && file_read_u64_at(dir_fd, "memory.swap.current", &swap) == 0)
        g->swap = swap;
    (void)cgroup_read_owner(dir_fd, &g->owner_uid);
    claims_read(dir_fd, w->real_offset_usec, &g->claims);
    g->growth_bytes = handle_note_bytes(h, s->now_usec, g->anon + g->kernel + g->shmem);
}

static void add_group(struct walk *w, int dir_fd, const char *path, bool populated)
{
    struct snapshot *s = w->snapshot;
    struct group_handle *h;
    struct memory_stat m;
    uint64_t id;

    if (cgroup_read_id(dir_fd, &id) < 0)
        return;
    h = s->group_count < s->group_max ? cgroup_handle(w, dir_fd, path, id) : NULL;
    if (!h) {
        s->groups_left_out++;
        return;
    }
    h->seen = true;
    if (!populated) {
        h->was_empty = true;
        return;
    }
    if (h->was_empty)
        begin_life(w, h, dir_fd);
    if (memory_stat_pread(h->stat_fd, &m) < 0)
        return; /* it went while we walked */
    fill_group(w, h, dir_fd, &m);
}

/* ---- processes as units ---- */

static void add_process(struct walk *w, const struct process_stat *st, uid_t uid, const char *path)
{
    struct snapshot *s = w->snapshot;
    struct process_memory m;
    struct group_handle *h;
    struct group *g;
    bool fresh;

    if (process_read_memory(w->reader->root_fd, st->pid, &m) < 0)
        return;
    if (m.rss_anon + m.swap + m.rss_shmem < PROCESS_LEAST_BYTES)
        return;
    h = s->group_count < s->group_max ? handle_get(w->reader, st->start_usec, st->pid, &fresh) : NULL;
    if (!h) {
        s->groups_left_out++;
        return;
    }
    h->seen = true;
    h->birth_usec = st->start_usec;
    g = &s->groups[s->group_count++];
    *g = (struct group){
        .id = st->start_usec,
        .pid = st->pid,
        .class_index = w->class_index,
        .workload_index = w->workload_index,
        .owner_uid = uid,
        .birth_usec = st->start_usec,
        .cpu_usec = st->cpu_usec,
        .anon = m.rss_anon,
        .shmem = m.rss_shmem,
        .swap = m.swap,
        .populated = true,
    };
    memcpy(g->comm, st->comm, sizeof(g->comm) - 1);
    (void)text_copy(text_from(path), g->path, sizeof(g->path));
    g->growth_bytes = handle_note_bytes(h, s->now_usec, g->anon + g->shmem);
}

/* Not ours to take: the kernel's, init, ourselves, what has ended. */
static bool is_unit(const struct process_stat *st)
{
    return st->pid != 1 && st->pid != getpid() && !st->kernel_thread && st->state != 'Z' && st->state != 'X';
}

static bool matches_command(const char *patterns, const char *comm)
{
    struct text rest = text_from(patterns), word;
    char pattern[CONFIG_PATH_MAX];

    while (text_next_word(&rest, &word))
        if (text_copy(word, pattern, sizeof(pattern)) == 0 && pattern_match(pattern, comm))
            return true;
    return false;
}

static int visit_member(void *user, pid_t pid)
{
    struct walk *w = user;
    const struct class_config *class = &w->reader->config->classes[w->class_index];
    struct process_stat st;
    uid_t uid = 0;

    if (process_read_stat(w->reader->root_fd, pid, &st) < 0 || !is_unit(&st))
        return 0;
    if (class->match_command[0] && !matches_command(class->match_command, st.comm))
        return 0;
    if (process_read_uid(w->reader->root_fd, pid, &uid) < 0 || (class->match_user && uid != class->match_uid))
        return 0;
    add_process(w, &st, uid, w->path);
    return 0;
}

static int visit_members_below(void *user, const char *name, unsigned char type, uint64_t inode);

/* Every process of a cgroup whose class says Unit=process, and below it. */
static void add_members(struct walk *w, int dir_fd, const char *path)
{
    struct walk here = *w;

    here.dir_fd = dir_fd;
    here.path = path;
    here.depth++;
    (void)cgroup_each_proc(dir_fd, visit_member, &here);
    if (here.depth < DEPTH_MAX)
        (void)file_each_entry(dir_fd, visit_members_below, &here);
}

static int visit_members_below(void *user, const char *name, unsigned char type, uint64_t inode)
{
    struct walk *w = user;
    char path[GROUP_PATH_MAX];
    _cleanup_close_ int fd = -1;

    (void)inode;
    if (type != DT_DIRECTORY || cgroup_path_join(path, w->path, name) < 0)
        return 0;
    fd = file_open_dir(w->dir_fd, name);
    if (fd >= 0)
        add_members(w, fd, path);
    return 0;
}

/* ---- the hierarchy ---- */

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

static void visit_matched(struct walk *w, int dir_fd, const char *path, unsigned class_index, bool populated)
{
    w->found_below = w->found_below || populated;
    if (cgroup_path_is_below(w->reader->own_path, path))
        return;
    if (w->reader->config->classes[class_index].unit == UNIT_CGROUP) {
        add_group(w, dir_fd, path, populated);
        return;
    }
    w->class_index = class_index;
    add_members(w, dir_fd, path);
}

/* One cgroup: a group where a class matches it; else the deepest one that holds processes is a group of `other`. */
static int visit(struct walk *w, int dir_fd, const char *path)
{
    const struct config *c = w->reader->config;
    unsigned class_index = config_class_of(c, path);
    struct cgroup_events events;
    bool found = false;
    int r;

    if (is_protected(w->reader, path) || cgroup_read_events(dir_fd, &events) < 0)
        return 0;
    if (class_index + 1 < c->class_count) {
        visit_matched(w, dir_fd, path, class_index, events.populated);
        return 0;
    }
    if (!events.populated)
        return 0;
    w->found_below = true;
    if (w->depth < DEPTH_MAX) {
        r = visit_children(w, dir_fd, path, &found);
        if (r < 0)
            return r;
    }
    if (!found && path[0] && !is_untouchable(w->reader, path))
        add_group(w, dir_fd, path, true);
    return 0;
}

/* ---- a host without cgroups ---- */

struct process_walk {
    struct walk walk;
    pid_t spared[8]; /* our own ancestors: killing the shell that holds us ends us, too */
    unsigned spared_count;
};

static int visit_process(void *user, pid_t pid)
{
    struct process_walk *w = user;
    struct process_stat st;
    uid_t uid = 0;

    for (unsigned i = 0; i < w->spared_count; i++)
        if (w->spared[i] == pid)
            return 0;
    if (process_read_stat(w->walk.reader->root_fd, pid, &st) == 0 && is_unit(&st) &&
        process_read_uid(w->walk.reader->root_fd, pid, &uid) == 0)
        add_process(&w->walk, &st, uid, "");
    return 0;
}

static int read_processes(struct snapshot_reader *r, struct snapshot *s)
{
    struct process_walk w = {.walk = {.reader = r, .snapshot = s, .class_index = r->config->class_count - 1}};
    struct process_stat st;
    pid_t pid = getpid();

    while (w.spared_count < ARRAY_SIZE(w.spared) && pid > 1 && process_read_stat(r->root_fd, pid, &st) == 0) {
        w.spared[w.spared_count++] = pid;
        pid = st.ppid;
    }
    return process_each(r->root_fd, visit_process, &w);
}

static int read_hierarchy(struct snapshot_reader *r, struct snapshot *s)
{
    struct walk w = {.reader = r, .snapshot = s, .real_offset_usec = real_offset_usec(s->now_usec)};
    bool found;
    int e = 0;

    if (!r->isolate)
        return visit_children(&w, r->hierarchy->fd, "", &found);
    for (unsigned i = 0; i < r->workload_count && e == 0; i++) {
        if (r->workloads[i].id == 0)
            continue;
        w.workload_index = i;
        w.dir_fd = r->workloads[i].dir_fd;
        w.path = r->workloads[i].path;
        e = visit(&w, w.dir_fd, w.path);
    }
    return e;
}

int snapshot_read_groups(struct snapshot_reader *r, struct snapshot *s)
{
    int e;

    s->group_count = s->groups_left_out = 0;
    s->groups_read = true;
    handles_unsee(r);
    e = r->processes ? read_processes(r, s) : read_hierarchy(r, s);
    handles_drop_unseen(r);
    return e;
}
