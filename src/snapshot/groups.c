#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "snapshot/claims.h"
#include "snapshot/group.h"
#include "snapshot/handles.h"
#include "snapshot/processes.h"
#include "snapshot/reader.h"
#include "snapshot/spared.h"
#include "snapshot/watches.h"

/* The groups of the domain. A walk over the hierarchy costs most by what it opens. So a group that is known
 * by its id keeps its directory open; what only says of a slice that there is something in it is read where
 * nothing was found below; the birth is remembered, and for a while what changes slowly.
 *
 * And what the kernel has not told of (watches.c) is not looked for again: of groups that were there at the
 * last walk memory is read, and what was told of them (they became empty, froze, went on); and if anything
 * came or went, only the way there is walked. That goes as long as all could be watched; events that were
 * lost on the way make everything look as if it had told of something. */

#define DEPTH_MAX 12
/* Where walks are so far apart that everybody's CPU time is due at each, it is read of so many parts in turn.
 */
#define CPU_PARTS 4

struct walk {
    struct snapshot_reader *reader;
    struct snapshot *snapshot;
    bool keep; /* what has not changed is not visited */
    unsigned workload_index;
    unsigned depth;
    int dir_fd;
    const char *path;
    unsigned watch;   /* of this one, i + 1; 0: it has none */
    bool found_below; /* something in this subtree holds processes */
};

/* What is no longer there is no error: groups come and go while we walk. */
static bool is_gone(int error)
{
    return error == -ENOENT || error == -ENODEV;
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

/* Where it is in the snapshot that is being walked over again; NULL: nowhere yet. */
static struct group *group_of(const struct walk *w, const struct group_handle *h)
{
    struct group *g = &w->snapshot->groups[h->group - 1];

    return w->keep && h->group > 0 && h->group <= w->snapshot->group_count && g->id == h->id && g->pid == 0
               ? g
               : NULL;
}

/* Behind the others, else where one is that seems to be none any more. */
static struct group *place_for(struct walk *w)
{
    struct snapshot *s = w->snapshot;
    unsigned *next = &w->reader->group_next;

    if (s->group_count < s->group_max)
        return &s->groups[s->group_count];
    for (; w->keep && *next < s->group_count; (*next)++)
        if (!s->groups[*next].populated)
            return &s->groups[*next];
    return NULL;
}

static void fill_group(struct walk *w, struct group_handle *h, struct group *g, int dir_fd, const char *path,
                       const struct memory_stat *m, bool frozen, uid_t owner_uid)
{
    *g = (struct group){
        .id = h->id,
        .class_index = h->class_index,
        .workload_index = h->workload_index,
        .birth_usec = h->birth_usec,
        .owner_uid = owner_uid,
        .populated = true,
        .frozen = frozen,
    };
    h->group = (unsigned)(g - w->snapshot->groups) + 1;
    (void)text_copy(text_from(path), g->path, sizeof(g->path));
    group_read(w->reader, w->snapshot, h, dir_fd, m, g);
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
                      const struct cgroup_events *events, const struct cgroup_identity *who, unsigned watch)
{
    struct group_handle *h = handle_find(w->reader, who->id, 0);
    struct snapshot *s = w->snapshot;
    struct memory_stat m;
    struct group *g;
    int r;

    if (h)
        h->watch = watch;
    if (!events->populated) { /* takes no handle that one with memory may need */
        if (h && !h->was_empty)
            handle_note_end(h, s);
        if (h)
            h->seen = h->was_empty = true;
        return;
    }
    r = group_read_stat(dir_fd, &m);
    if (r < 0) { /* one that we knew went while we walked; else what cannot be read is not acted on */
        watches_look_again(w->reader, w->watch);
        s->groups_left_out += !h || !is_gone(r);
        if (h)
            h->seen = true;
        return;
    }
    g = h ? group_of(w, h) : NULL;
    if (!g)
        g = place_for(w);
    if (!g || (!h && !(h = handle_new(w, dir_fd, path, who->id)))) {
        add_rest(w, class_index);
        return;
    }
    h->seen = true;
    h->watch = watch;
    h->class_index = class_index;
    h->workload_index = w->workload_index;
    if (h->was_empty)
        group_begin_life(w->reader, h, dir_fd, s->now_usec);
    if (g == &s->groups[s->group_count])
        s->group_count++;
    fill_group(w, h, g, dir_fd, path, &m, events->frozen, who->owner_uid);
}

/* What could not be looked into is no group, and nothing above it may be taken whole, since what is in it is
 * not known. */
static int leave_out(struct walk *w, int error)
{
    if (is_gone(error)) {
        watches_look_again(w->reader, w->watch);
        return 0;
    }
    w->reader->watched = false;
    w->snapshot->groups_left_out++;
    w->found_below = true;
    return 0;
}

static int visit(struct walk *w, int dir_fd, const char *path, bool known);

/* A directory of which nothing was told is as before if it has as many in it as groups that were read in this
 * walk: an id is never used again. */
static bool is_same(const struct walk *w, const struct group_watch *x, const char *name)
{
    struct stat st;

    return x->live > 0 && fstatat(w->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == x->id &&
           st.st_nlink == x->live + 2U;
}

/* Nothing has changed in it: what is known of it and below stays. */
static bool keep(struct walk *w, const char *name, uint64_t inode)
{
    struct group_watch *x = w->keep && w->reader->watched ? watches_find(w->reader, inode) : NULL;

    if (!x || x->parent != w->watch || x->look || x->below || (x->check && !is_same(w, x, name)))
        return false;
    x->check = false;
    x->state = WATCH_KEPT;
    w->found_below = w->found_below || x->found;
    return true;
}

static int visit_inside(struct walk *w, const char *name, uint64_t inode)
{
    _uninitialized_ char path[GROUP_PATH_MAX];
    struct group_handle *h;
    _cleanup_close_ int fd = -1;
    int r;

    if (cgroup_path_join(path, w->path, name) < 0)
        return leave_out(w, -ENAMETOOLONG);
    h = handle_known(w, inode, path);
    if (h) {
        h->is_open = true;
        r = visit(w, h->dir_fd, path, true);
        h->is_open = false;
        return r;
    }
    fd = file_open_dir(w->dir_fd, name);
    if (fd < 0)
        return leave_out(w, fd);
    return visit(w, fd, path, false);
}

static int visit_child(void *user, const char *name, unsigned char type, uint64_t inode)
{
    struct walk *w = user;
    bool found = w->found_below;
    struct group_watch *x;
    int r;

    if (type != DT_DIR || keep(w, name, inode))
        return 0;
    w->found_below = false;
    r = visit_inside(w, name, inode);
    x = w->reader->watched ? watches_find(w->reader, inode) : NULL;
    if (x) {
        x->found = w->found_below;
        x->look = w->watch != 0 && w->reader->watches[w->watch - 1].look; /* it may be what was not there */
    }
    w->found_below = w->found_below || found;
    return r;
}

static int visit_children(struct walk *w, int dir_fd, const char *path, unsigned watch, bool *ret_found)
{
    struct walk below = *w;
    int r;

    below.dir_fd = dir_fd;
    below.path = path;
    below.watch = watch;
    below.depth = w->depth + 1;
    below.found_below = false;
    r = file_each_entry(dir_fd, visit_child, &below);
    *ret_found = below.found_below;
    return is_gone(r) ? 0 : r;
}

/* As a group it is not known any more, until it has been found to be one again. */
static void forget_group(struct walk *w, uint64_t id)
{
    struct group_handle *h = w->keep ? handle_find(w->reader, id, 0) : NULL;
    struct group *g = h ? group_of(w, h) : NULL;

    if (h)
        h->seen = false;
    if (g)
        g->populated = false;
}

/* A cgroup that a class matches: a group, or (Unit=process) its processes are. */
static int visit_matched(struct walk *w, int dir_fd, const char *path, unsigned class_index)
{
    struct cgroup_identity who;
    struct cgroup_events events;
    int r = cgroup_read_identity(dir_fd, &who);
    unsigned watch = 0;
    bool is_new;

    if (r == 0) {
        forget_group(w, who.id);
        watch = watches_note(w->reader, who.id, dir_fd, WATCH_EVENTS, w->watch, &is_new);
        r = cgroup_read_events(dir_fd, &events);
    }
    if (r < 0)
        return leave_out(w, r);
    w->found_below = w->found_below || events.populated;
    if (spared_is_inside(w->reader, path))
        return 0;
    if (w->reader->config->classes[class_index].unit == UNIT_CGROUP) {
        add_group(w, dir_fd, path, class_index, &events, &who, watch);
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
    unsigned watch;
    bool more;
    pid_t pid;

    watch = watches_note(w->reader, who->id, dir_fd, WATCH_EVENTS | WATCH_CHILDREN, w->watch, &more);
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
        add_group(w, dir_fd, path, other, &events, who, watch);
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
    bool found = false, is_new = false;
    unsigned watch = 0;
    int r;

    if (spared_is_protected(w->reader, path))
        return 0;
    if (class_index + 1 < c->class_count)
        return visit_matched(w, dir_fd, path, class_index);
    r = cgroup_read_identity(dir_fd, &who);
    if (r == 0)
        watch = watches_note(w->reader, who.id, dir_fd, WATCH_CHILDREN, w->watch, &is_new);
    if (is_new)
        r = cgroup_read_identity(dir_fd, &who);
    if (r < 0)
        return leave_out(w, r);
    forget_group(w, who.id);
    if (w->depth < DEPTH_MAX && !who.is_leaf) {
        r = visit_children(w, dir_fd, path, watch, &found);
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
    bool found, is_new;
    unsigned watch = 0;
    int e = 0;

    if (!r->isolate) {
        if (cgroup_read_identity(r->hierarchy->fd, &root) == 0)
            watch = watches_note(w->reader, root.id, r->hierarchy->fd, WATCH_CHILDREN, 0, &is_new);
        return visit_children(w, r->hierarchy->fd, "", watch, &found);
    }
    for (unsigned i = 0; i < r->workload_count && e == 0; i++) {
        if (r->workloads[i].id == 0)
            continue;
        w->workload_index = i;
        w->dir_fd = r->workloads[i].dir_fd;
        w->path = r->workloads[i].path;
        w->watch = 0;
        w->found_below = false;
        e = visit(w, w->dir_fd, w->path, false);
    }
    return e;
}

static void end_walk(struct walk *w, int error)
{
    struct snapshot_reader *r = w->reader;
    const struct snapshot *s = w->snapshot;

    watches_end(r);
    r->watched = r->watched && error == 0 && !r->processes && s->groups_left_out == 0;
    r->walked_usec = s->now_usec;
    r->walked_groups = s->group_count;
}

static int read_hierarchy(struct walk *w)
{
    struct snapshot_reader *r = w->reader;
    struct snapshot *s = w->snapshot;
    int e;

    w->keep = false;
    s->group_count = s->groups_left_out = s->rest_count = 0;
    handles_unsee(r);
    watches_begin(r);
    e = r->processes ? processes_of_host(r, s) : walk_all(w);
    handles_drop_unseen(r, s);
    watches_settle(r);
    end_walk(w, e);
    r->walked_all = true;
    r->turned_usec = s->now_usec;
    return e;
}

/* It holds processes and is no more than it was, as far as itself can tell. */
static bool is_still_group(struct walk *w, const struct group_handle *h, struct group *g)
{
    struct cgroup_identity who;
    struct cgroup_events events;

    if (cgroup_read_identity(h->dir_fd, &who) < 0 || cgroup_read_events(h->dir_fd, &events) < 0 ||
        !events.populated || (h->class_index + 1 >= w->reader->config->class_count && !who.is_leaf))
        return false;
    g->owner_uid = who.owner_uid;
    g->frozen = events.frozen;
    return true;
}

static bool read_known_one(struct walk *w, struct group_handle *h, struct group_watch *x, struct group *g)
{
    const struct snapshot *s = w->snapshot;
    struct cgroup_identity who;
    struct memory_stat m;

    if (h->dir_fd < 0 || h->was_empty || x->look)
        return false;
    if (x->stale && !is_still_group(w, h, g))
        return false;
    if (group_read_stat(h->dir_fd, &m) < 0)
        return false;
    if (!x->stale && s->now_usec >= h->age_due_usec && cgroup_read_identity(h->dir_fd, &who) == 0)
        g->owner_uid = who.owner_uid;
    x->stale = false;
    group_read(w->reader, s, h, h->dir_fd, &m, g);
    return true;
}

/* The groups of the last walk: memory, and what was told of. What seems to be none any more is to be visited.
 * False: all has to be looked at. */
static bool read_known(struct walk *w)
{
    struct snapshot_reader *r = w->reader;
    struct snapshot *s = w->snapshot;

    for (unsigned i = 0; i < s->group_count; i++) {
        struct group *g = &s->groups[i];
        struct group_handle *h = handle_find(r, g->id, g->pid);
        struct group_watch *x = h && h->watch != 0 ? &r->watches[h->watch - 1] : NULL;

        if (!x || x->id != g->id)
            return false;
        if (read_known_one(w, h, x, g)) {
            if (x->parent != 0)
                r->watches[x->parent - 1].live++;
        } else {
            g->populated = h->seen = false;
            x->look = true;
        }
    }
    return true;
}

/* Those that are still there, in the order in which they were. */
static void drop_gone(struct walk *w)
{
    struct snapshot_reader *r = w->reader;
    struct snapshot *s = w->snapshot;
    unsigned n = 0;

    for (unsigned i = 0; i < r->handle_max; i++) {
        struct group_handle *h = &r->handles[i];

        const struct group_watch *x = h->watch != 0 ? &r->watches[h->watch - 1] : NULL;

        if (h->id == 0)
            continue;
        if (!x || x->id != h->id || x->state == WATCH_GONE)
            h->seen = false;
        else if (x->state == WATCH_KEPT)
            h->seen = true;
    }
    for (unsigned i = 0; i < s->group_count; i++) {
        struct group_handle *h = handle_find(r, s->groups[i].id, s->groups[i].pid);

        if (!h || !h->seen || !s->groups[i].populated)
            continue;
        if (n != i)
            s->groups[n] = s->groups[i];
        h->group = ++n;
    }
    s->group_count = n;
    handles_drop_unseen(r, s);
}

/* Only what was told of, and what has not been looked at for a while. False: all has to be. */
static bool read_news(struct walk *w)
{
    struct snapshot_reader *r = w->reader;
    struct snapshot *s = w->snapshot;
    int e;

    if (r->reconfigured || s->group_count != r->walked_groups || !watches_take_news(r, s->now_usec) ||
        !read_known(w))
        return false;
    if (!watches_spread(r))
        return true;
    w->keep = true;
    r->handle_next = r->group_next = 0;
    e = walk_all(w);
    if (e < 0 || s->groups_left_out > 0 || !r->watched) /* what was kept may be lost */
        return false;
    watches_settle(r);
    drop_gone(w);
    end_walk(w, e);
    r->walked_all = false;
    return true;
}

int snapshot_read_groups(struct snapshot_reader *r, struct snapshot *s)
{
    struct walk w = {.reader = r, .snapshot = s};

    r->real_offset_usec = claims_real_offset_usec(s->now_usec);
    r->cpu_parts = !r->wants_cpu && u64_sub_floor(s->now_usec, r->read_usec) > GROUP_AGE_USEC / CPU_PARTS
                       ? CPU_PARTS
                       : 1;
    r->cpu_turn++;
    r->read_usec = s->now_usec;
    s->ended_count = 0;
    s->groups_usec = s->now_usec;
    s->groups_read = true;
    return read_news(&w) ? 0 : read_hierarchy(&w);
}
