#include "snapshot/qos.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"
#include "kernel/oom_score.h"
#include "snapshot/spared.h"

#define DEPTH_MAX 16
#define PIDS_MAX 8
#define PIDS_DEPTH                                                                                           \
    3 /* a container's processes may be in cgroups of its own (crio's "container", delegated ones) */

/* What inner cgroups need, containers, and groups that are ours. */
#define COVER_FILES                                                                                          \
    (QOS_KNOB_BIT(QOS_MEMORY_MIN) | QOS_KNOB_BIT(QOS_MEMORY_LOW) | QOS_KNOB_BIT(QOS_MEMORY_MAX))
#define CONTAINER_FILES                                                                                      \
    (COVER_FILES | QOS_KNOB_BIT(QOS_MEMORY_HIGH) | QOS_KNOB_BIT(QOS_SWAP_MAX) | QOS_KNOB_BIT(QOS_ZSWAP_MAX))
#define GROUP_FILES (QOS_KNOB_BIT(QOS_FILES) - 1)

struct walk {
    const struct snapshot_reader *reader;
    const struct snapshot *snapshot;
    struct qos_tree *tree;
    uid_t root_uid; /* who owns the hierarchy's root */
};

/* One cgroup on the way from the root to where the walk stands. */
struct frame {
    struct frame *above; /* NULL: the hierarchy's root */
    char path[GROUP_PATH_MAX];
    int dir_fd;
    unsigned depth;
    unsigned row;         /* QOS_NONE: it has none yet */
    unsigned class_index; /* its own, or of the one above that a class matches */
    bool matched;         /* by a pattern */
    bool trusted;         /* it and all above are root's: names in it are not just anybody's */
    bool outside;         /* above the workload: another workload may have been below it, too */
    bool found;           /* something in it holds processes */
    struct kube_place place;
};

static bool is_gone(int error)
{
    return error == -ENOENT || error == -ENODEV;
}

static void leave_out(struct walk *w, int error)
{
    w->tree->left_out += !is_gone(error);
}

/* ---- rows ---- */

static void read_knobs(struct qos_cgroup *g, int dir_fd, unsigned files)
{
    for (enum qos_knob k = 0; k < QOS_FILES; k++) {
        int r = files & QOS_KNOB_BIT(k) ? file_read_u64_at(dir_fd, qos_knob_name(k), &g->now[k]) : -ENOENT;

        if (r < 0) { /* it is not acted on, as one that is not there */
            g->unread |= is_gone(r) ? 0 : QOS_KNOB_BIT(k);
            continue;
        }
        g->files |= QOS_KNOB_BIT(k);
        g->foreign[k] = g->now[k];
    }
}

static unsigned row_find(const struct walk *w, uint64_t id)
{
    for (unsigned i = 0; i < w->tree->count; i++)
        if (w->tree->cgroups[i].id == id)
            return i;
    return QOS_NONE;
}

/* With a row for each cgroup that it is in. NULL: there is no place for it. */
static struct qos_cgroup *row_add(struct walk *w, struct frame *f, unsigned files)
{
    struct qos_cgroup *g = NULL;
    uint64_t id;
    unsigned parent = QOS_NONE;

    if (f->above && f->above->path[0]) {
        if (f->above->row == QOS_NONE && !row_add(w, f->above, COVER_FILES))
            return NULL;
        parent = f->above->row;
    }
    if (cgroup_read_id(f->dir_fd, &id) < 0)
        return NULL;
    if (f->outside)
        f->row = row_find(w, id);
    if (f->row != QOS_NONE)
        return &w->tree->cgroups[f->row];
    if (w->tree->count == w->tree->max) {
        w->tree->left_out++;
        return NULL;
    }
    f->row = w->tree->count++;
    g = &w->tree->cgroups[f->row];
    memset(g, 0, sizeof(*g));
    memcpy(g->path, f->path, sizeof(g->path));
    g->id = id;
    g->parent = parent;
    g->class_index = f->class_index;
    g->kube = f->place;
    g->limit_bytes = UINT64_MAX;
    for (unsigned i = 0; i < w->reader->workload_count; i++)
        g->workload = g->workload || strcmp(w->reader->workloads[i].path, f->path) == 0;
    read_knobs(g, f->dir_fd, files);
    return g;
}

/* ---- processes ---- */

struct score_walk {
    int root_fd;
    int least; /* above all: none was read */
};

/* The least of the first processes: anybody may raise his own oom_score_adj, only the kubelet lowers it. */
static enum cgroup_walk score_read(void *user, int cgroup_fd)
{
    struct score_walk *s = user;
    pid_t pids[PIDS_MAX];
    bool more;
    int n = cgroup_read_procs(cgroup_fd, pids, PIDS_MAX, &more);

    for (int i = 0; i < n; i++) {
        int adj;

        if (oom_score_read_adj(s->root_fd, pids[i], &adj) == 0 && adj < s->least)
            s->least = adj;
    }
    return n > 0 ? CGROUP_WALK_PAST : CGROUP_WALK_ON;
}

static bool read_score(const struct walk *w, const struct frame *f, struct qos_cgroup *g)
{
    struct score_walk s = {w->reader->root_fd, INT_MAX};

    (void)cgroup_walk(f->dir_fd, PIDS_DEPTH, score_read, &s);
    if (s.least == INT_MAX)
        return false;
    g->now[QOS_SCORE] = g->foreign[QOS_SCORE] = (uint64_t)(QOS_SCORE_ZERO + s.least);
    g->files |= QOS_KNOB_BIT(QOS_SCORE);
    return true;
}

/* ---- groups ---- */

/* What it holds beyond reclaim: page cache over a limit is no reason to put that off, and page cache that its
 * memory.min keeps is no more to be had than the rest. Where that cannot be told, all of it, and nothing. */
static void read_held(struct qos_cgroup *g, int dir_fd)
{
    struct memory_stat m;
    uint64_t current, used, listed, locked;

    if (file_read_u64_at(dir_fd, "memory.current", &current) < 0)
        return;
    g->kept_bytes = current;
    if (current <= g->limit_bytes && g->now[QOS_MEMORY_MIN] == 0)
        return;
    if (memory_stat_read_at(dir_fd, &m) < 0)
        return;
    used = memory_stat_used(&m);
    /* Page cache on none of the lists that reclaim looks at (mlock) stays as well. */
    listed = u64_add_cap(m.shmem, u64_add_cap(m.active_file, m.inactive_file));
    locked = u64_min(m.unevictable, u64_sub_floor(m.file, listed));
    if (current > g->limit_bytes)
        g->kept_bytes = u64_min(current, u64_add_cap(used, locked));
    g->protected_cache_bytes = u64_sub_floor(u64_min(current, g->now[QOS_MEMORY_MIN]), used);
}

static void add_group(struct walk *w, struct frame *f)
{
    const struct class_config *class = &w->reader->config->classes[f->class_index];
    struct qos_cgroup *g = row_add(w, f, GROUP_FILES);
    uint64_t total = w->snapshot->node.total;

    if (!g)
        return;
    g->tier = class->qos;
    g->request_known = true;
    g->request_bytes = amount_bytes(&class->request, total, 0);
    g->limit_bytes = amount_bytes(&class->limit, total, UINT64_MAX);
    read_held(g, f->dir_fd);
    (void)read_score(w, f, g);
}

static void add_container(struct walk *w, struct frame *f)
{
    const struct class_config *class = &w->reader->config->classes[f->class_index];
    struct qos_cgroup *g = row_add(w, f, CONTAINER_FILES);

    if (!g)
        return;
    g->tier = class->qos == QOS_KUBERNETES ? f->place.tier : class->qos;
    if (g->files & QOS_KNOB_BIT(QOS_MEMORY_MAX))
        g->limit_bytes = g->now[QOS_MEMORY_MAX];
    g->request_bytes = amount_bytes(&class->request, w->snapshot->node.total, 0);
    g->request_known = class->request.kind != AMOUNT_UNSET;
    read_held(g, f->dir_fd);
    if (read_score(w, f, g) && !g->request_known)
        g->request_known =
            kube_request_from_adj(f->place.tier, (int)g->now[QOS_SCORE] - QOS_SCORE_ZERO,
                                  w->snapshot->node.mem_total, g->limit_bytes, &g->request_bytes);
}

/* ---- the walk ---- */

struct descent {
    struct walk *walk;
    struct frame *frame;
};

static void visit(struct walk *w, struct frame *f);

static bool frame_enter(struct walk *w, struct frame *above, const char *name, struct frame *ret)
{
    struct cgroup_identity who;
    int r;

    *ret = (struct frame){.above = above, .dir_fd = -1, .depth = above->depth + 1, .row = QOS_NONE};
    r = cgroup_path_join(ret->path, above->path, name);
    if (r < 0) {
        w->tree->too_long++;
        return false;
    }
    ret->dir_fd = file_open_dir(above->dir_fd, name);
    r = ret->dir_fd < 0 ? ret->dir_fd : cgroup_read_identity(ret->dir_fd, &who);
    if (r < 0) {
        leave_out(w, r);
        close_fdp(&ret->dir_fd);
        return false;
    }
    ret->trusted = above->trusted && who.owner_uid == w->root_uid;
    if (above->trusted)
        (void)kube_place_parse(ret->path, &ret->place);
    return true;
}

static int visit_child(void *user, const char *name, unsigned char type, uint64_t inode _unused_)
{
    struct descent *d = user;
    _uninitialized_ struct frame f;

    if (type == DT_DIR && frame_enter(d->walk, d->frame, name, &f)) {
        visit(d->walk, &f);
        close_fdp(&f.dir_fd);
    }
    return 0;
}

static void visit_children(struct walk *w, struct frame *f)
{
    struct descent d = {w, f};
    int r = f->depth < DEPTH_MAX ? file_each_entry(f->dir_fd, visit_child, &d) : 0;

    if (r < 0)
        leave_out(w, r);
}

/* Of `other`, as the groups that are guarded: the deepest cgroup that holds processes. */
static void visit_unmatched(struct walk *w, struct frame *f)
{
    bool more;
    pid_t pid;

    visit_children(w, f);
    if (!f->found && !spared_is_login(f->path) && !spared_is_inside(w->reader, f->path) &&
        cgroup_read_procs(f->dir_fd, &pid, 1, &more) > 0)
        add_group(w, f);
}

static void visit(struct walk *w, struct frame *f)
{
    const struct config *c = w->reader->config;
    const struct class_config *class;
    struct cgroup_events events;
    int r;

    if (spared_is_protected(w->reader, f->path))
        return;
    r = cgroup_read_events(f->dir_fd, &events);
    if (r < 0)
        leave_out(w, r);
    if (r < 0 || !events.populated) /* what is over asks for nothing */
        return;
    f->above->found = true;
    f->class_index = config_class_of(c, f->path);
    f->matched = f->class_index + 1 < c->class_count;
    if (!f->matched && f->above->matched) {
        f->class_index = f->above->class_index;
        f->matched = true;
    }
    class = &c->classes[f->class_index];
    if (f->matched && (class->qos == QOS_UNSET || class->unit != UNIT_CGROUP))
        return;
    if (f->place.kind == KUBE_BELOW)
        return;
    if (f->place.kind == KUBE_CONTAINER && class->qos != QOS_UNSET)
        add_container(w, f);
    else if (class->qos == QOS_UNSET || class->qos == QOS_KUBERNETES || kube_kind_is_kubelets(f->place.kind))
        visit_children(w, f);
    else if (!f->matched)
        visit_unmatched(w, f);
    else if (!spared_is_inside(w->reader, f->path))
        add_group(w, f);
}

/* From the hierarchy's root down to the workload, a component at a time. */
static void walk_to(struct walk *w, struct frame *f, const char *rest)
{
    const char *slash = strchr(rest, '/');
    char name[GROUP_PATH_MAX];
    struct frame next;

    if (text_copy((struct text){rest, slash ? (size_t)(slash - rest) : strlen(rest)}, name, sizeof(name)) <
            0 ||
        !frame_enter(w, f, name, &next))
        return;
    next.outside = true;
    next.class_index = w->reader->config->class_count - 1;
    if (slash)
        walk_to(w, &next, slash + 1);
    else
        visit(w, &next);
    close_fdp(&next.dir_fd);
}

int qos_read_tree(const struct snapshot_reader *r, const struct snapshot *s, struct qos_tree *t)
{
    struct frame root = {.dir_fd = r->hierarchy->fd, .row = QOS_NONE, .trusted = true, .outside = true};
    struct walk w = {.reader = r, .snapshot = s, .tree = t};
    struct cgroup_identity who;
    int e = cgroup_read_identity(r->hierarchy->fd, &who);

    t->count = t->left_out = t->too_long = 0;
    if (e < 0)
        return e;
    w.root_uid = who.owner_uid;
    for (unsigned i = 0; i < r->workload_count; i++)
        if (r->workloads[i].id != 0)
            walk_to(&w, &root, r->workloads[i].path);
    return 0;
}
