#include "action/pause.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "action/history.h"
#include "base/text.h"
#include "kernel/file.h"
#include "kernel/freezer.h"
#include "kernel/kill.h"
#include "kernel/process.h"
#include "system/clock.h"

#define FUSE_DEVICE "/dev/fuse"
/* How much is looked at before a group is taken for one that serves no file system: the main loop waits for
 * it, a few milliseconds at the most. */
#define FUSE_PIDS_MAX 64
#define FUSE_FDS_MAX 4096
#define FUSE_DEPTH_MAX 4

/* ---- the entries ---- */

bool pauser_holds(const struct pauser *p, const char *cgroup_path)
{
    for (unsigned i = 0; p->count > 0 && i < PAUSES_MAX; i++)
        if (p->entries[i].used && p->entries[i].pid == 0 &&
            cgroup_path_is_below(cgroup_path, p->entries[i].path))
            return true;
    return false;
}

struct pause_entry *pauser_find(struct pauser *p, uint64_t id, pid_t pid)
{
    for (unsigned i = 0; i < PAUSES_MAX && p->count > 0; i++)
        if (p->entries[i].used && p->entries[i].id == id && p->entries[i].pid == pid)
            return &p->entries[i];
    return NULL;
}

unsigned pauser_count(const struct pauser *p)
{
    return p->count;
}

static void entry_end(struct pauser *p, struct pause_entry *e)
{
    p->count -= e->used;
    e->used = false;
}

static struct pause_entry *find_free(struct pauser *p)
{
    for (unsigned i = 0; i < PAUSES_MAX; i++)
        if (!p->entries[i].used)
            return &p->entries[i];
    return NULL;
}

static struct lease *lease_of(const struct pauser *p, const struct pause_entry *e)
{
    char knob[JOURNAL_KNOB_MAX];

    lease_pause_knob(knob, e->pid);
    return lease_find(p->knobs->table, e->id, knob);
}

/* Nothing is written but that the lease is over. */
static void forget(struct pauser *p, struct pause_entry *e)
{
    struct lease *l = lease_of(p, e);

    if (l)
        knobs_forget(p->knobs, l);
    entry_end(p, e);
}

bool pauser_yields(const struct pauser *p, uint64_t id, pid_t pid, uint64_t now_usec)
{
    for (unsigned i = 0; i < PAUSE_YIELDS_MAX; i++)
        if (id != 0 && p->yields[i].id == id && p->yields[i].pid == pid && now_usec < p->yields[i].until_usec)
            return true;
    return false;
}

void pauser_yield(struct pauser *p, uint64_t id, pid_t pid, uint64_t now_usec)
{
    struct pause_yield y = {.id = id, .pid = pid, .until_usec = now_usec + PAUSE_YIELD_USEC};

    for (unsigned i = 0; i < PAUSE_YIELDS_MAX; i++)
        if (p->yields[i].id == y.id && p->yields[i].pid == y.pid) {
            p->yields[i] = y;
            return;
        }
    p->yields[p->yield_next++ % PAUSE_YIELDS_MAX] = y;
}

/* ---- who must not be paused ---- */

struct fuse_search {
    int root_fd;
    int dir_fd;
    unsigned *pids_left;
    unsigned *fds_left;
};

/* 1: found. By its name alone: a look at the file itself could wait for the very file system that it serves.
 */
static int see_descriptor(void *user, const char *name, unsigned char type _unused_, uint64_t inode _unused_)
{
    const struct fuse_search *s = user;
    const size_t length = strlen(FUSE_DEVICE);
    char target[256];
    ssize_t n;

    if (*s->fds_left == 0)
        return -E2BIG;
    (*s->fds_left)--;
    n = readlinkat(s->dir_fd, name, target, sizeof(target));
    return n >= (ssize_t)length && memcmp(target + n - length, FUSE_DEVICE, length) == 0;
}

static int see_process(void *user, pid_t pid)
{
    struct fuse_search s = *(const struct fuse_search *)user;
    _cleanup_close_ int fd = -1;
    char path[32];

    if (*s.pids_left == 0)
        return -E2BIG;
    (*s.pids_left)--;
    (void)snprintf(path, sizeof(path), "proc/%d/fd", (int)pid);
    fd = file_open_dir(s.root_fd, path);
    if (fd < 0)
        return 0;
    s.dir_fd = fd;
    return file_each_entry(fd, see_descriptor, &s) == 1;
}

static enum cgroup_walk see_cgroup(void *user, int cgroup_fd)
{
    const struct fuse_search *s = user;

    if (cgroup_each_proc(cgroup_fd, see_process, user) == 1)
        return CGROUP_WALK_STOP;
    return *s->pids_left == 0 ? CGROUP_WALK_PAST : CGROUP_WALK_ON;
}

static bool serves_files(const struct pauser *p, int cgroup_fd, pid_t pid)
{
    unsigned pids = FUSE_PIDS_MAX, fds = FUSE_FDS_MAX;
    struct fuse_search s = {.root_fd = p->root_fd, .pids_left = &pids, .fds_left = &fds};

    return pid > 0 ? see_process(&s, pid) == 1
                   : cgroup_walk(cgroup_fd, FUSE_DEPTH_MAX, see_cgroup, &s) == CGROUP_WALK_STOP;
}

/* Nobody chooses a group that holds us; this is so that even a wrong choice could not stop us for ever. Where
 * our own path cannot be told (another namespace, a recorded tree), we are in nothing that has a path here,
 * but the root holds everything. */
static bool holds_us(const struct pauser *p, const char *path)
{
    char own[CGROUP_PATH_MAX];

    return path[0] == 0 || (cgroup_read_own_path(p->root_fd, own) == 0 && cgroup_path_is_below(own, path));
}

/* ---- pausing ---- */

static int take(struct pauser *p, const struct group *g, struct lease **ret)
{
    struct lease next = {.used = true, .cgroup_id = g->id, .was = 0, .ours = 1, .ours_before = 1};
    int r = text_copy(text_from(g->path), next.path, sizeof(next.path));

    lease_pause_knob(next.knob, g->pid);
    return r < 0 ? r : knobs_take(p->knobs, &next, ret);
}

static int pause_cgroup(struct pauser *p, const struct group *g, enum pause_why why, uint64_t now_usec)
{
    _cleanup_close_ int fd = cgroup_open(p->hierarchy, g->path);
    struct lease *l;
    bool frozen;
    uint64_t id;
    int r;

    if (fd < 0)
        return fd;
    r = cgroup_read_id(fd, &id);
    if (r < 0)
        return r;
    if (id != g->id)
        return -ENOENT; /* a new cgroup of the same name */
    if (holds_us(p, g->path))
        return -EPERM;
    r = freezer_read(fd, &frozen);
    if (r < 0)
        return r;
    if (frozen || serves_files(p, fd, 0))
        return -EBUSY;
    r = take(p, g, &l);
    if (r < 0)
        return r;
    r = freezer_write(fd, true);
    if (r < 0)
        knobs_forget(p->knobs, l);
    else
        history_note_pause(fd, pause_why_name(why), now_usec);
    return r;
}

/* Not init, not our companions nor us. */
static bool may_stop(const struct process_stat *st)
{
    return st->pid > 1 && st->pid != getpid() && st->pid != getppid() && st->ppid != getpid() &&
           !st->kernel_thread;
}

static bool is_stopped(const struct process_stat *st)
{
    return st->state == 'T' || st->state == 't';
}

static bool has_ended(const struct process_stat *st)
{
    return st->state == 'Z' || st->state == 'X';
}

static int pause_process(struct pauser *p, const struct group *g)
{
    _cleanup_close_ int fd = -1;
    struct process_stat st;
    struct lease *l;
    int r;

    if (!p->signals)
        return -EPERM;
    fd = kill_pidfd_open(g->pid);
    if (fd < 0)
        return fd == -ESRCH ? -ENOENT : fd;
    /* The pidfd holds whoever has the pid now: the start time says whether it is him. */
    r = process_read_stat(p->root_fd, g->pid, &st);
    if (r < 0)
        return r == -ESRCH ? -ENOENT : r;
    if (st.start_usec != g->id || has_ended(&st))
        return -ENOENT;
    if (!may_stop(&st))
        return -EPERM;
    if (is_stopped(&st) || serves_files(p, -1, g->pid))
        return -EBUSY;
    r = take(p, g, &l);
    if (r < 0)
        return r;
    r = kill_pidfd_signal(fd, SIGSTOP);
    if (r < 0)
        knobs_forget(p->knobs, l);
    return r == -ESRCH ? -ENOENT : r;
}

int pauser_pause(struct pauser *p, const struct group *g, enum pause_why why, uint64_t now_usec)
{
    struct pause_entry *e = find_free(p);
    int r;

    if (p->knobs->dry_run)
        return -EPERM;
    if (pauser_find(p, g->id, g->pid))
        return -EALREADY;
    if (!e)
        return -ENOSPC;
    r = g->pid > 0 ? pause_process(p, g) : pause_cgroup(p, g, why, now_usec);
    if (r < 0) {
        p->failures += r != -ENOENT && r != -ENODEV && r != -EBUSY;
        return r;
    }
    *e = (struct pause_entry){
        .used = true,
        .id = g->id,
        .pid = g->pid,
        .class_index = g->class_index,
        .why = why,
        .since_usec = now_usec,
        .held_bytes = u64_add_cap(u64_add_cap(g->anon, g->shmem), g->kernel),
    };
    memcpy(e->path, g->path, sizeof(e->path));
    memcpy(e->comm, g->comm, sizeof(e->comm));
    p->count++;
    p->paused++;
    return 0;
}

/* The lease has gone (a guardian that came between its line and the write has released it): what we froze is
 * let run all the same. */
static void let_run(const struct pauser *p, const struct pause_entry *e)
{
    _cleanup_close_ int fd = e->pid > 0 ? -1 : cgroup_open(p->hierarchy, e->path);
    bool frozen;
    uint64_t id;

    if (fd >= 0 && cgroup_read_id(fd, &id) == 0 && id == e->id && freezer_read(fd, &frozen) == 0 && frozen)
        (void)!freezer_write(fd, false);
}

static void note_resumed(const struct pauser *p, const struct pause_entry *e)
{
    _cleanup_close_ int fd = e->pid > 0 ? -1 : cgroup_open(p->hierarchy, e->path);
    uint64_t id;

    if (fd >= 0 && cgroup_read_id(fd, &id) == 0 && id == e->id)
        history_note_resume(fd, clock_now_usec());
}

int pauser_resume(struct pauser *p, struct pause_entry *e)
{
    struct lease *l = lease_of(p, e);
    int r = l ? knobs_restore(p->knobs, l) : 0;

    if (!l)
        let_run(p, e);

    if (r < 0) {
        p->failures++;
        return r;
    }
    p->resumed += r == 1;
    note_resumed(p, e);
    entry_end(p, e);
    return r;
}

static struct pause_entry *entry_of(struct pauser *p, const struct lease *l)
{
    return pauser_find(p, l->cgroup_id, lease_pid(l));
}

unsigned pauser_resume_all(struct pauser *p)
{
    struct lease *l = NULL;
    unsigned failed = 0;

    while ((l = lease_next(p->knobs->table, l))) {
        struct pause_entry *e = lease_is_pause(l) ? entry_of(p, l) : NULL;

        if (e)
            failed += pauser_resume(p, e) < 0;
    }
    (void)pauser_reload(p);
    return failed;
}

int pauser_give_up(struct pauser *p, struct pause_entry *e, uint64_t now_usec)
{
    pauser_yield(p, e->id, e->pid, now_usec);
    p->failures++;
    return pauser_resume(p, e);
}

/* ---- what has become of them ---- */

enum state {
    STATE_UNKNOWN, /* it could not be read now */
    STATE_GONE,
    STATE_LOOSE, /* somebody else let it run */
    STATE_ASKED,
    STATE_FROZEN,
    STATE_EMPTY, /* its last process has gone: the cgroup may be used again */
};

static bool is_gone(int r)
{
    return r == -ENOENT || r == -ENODEV || r == -ESRCH;
}

static enum state cgroup_state(const struct pauser *p, const struct pause_entry *e)
{
    _cleanup_close_ int fd = cgroup_open(p->hierarchy, e->path);
    struct cgroup_events events;
    bool frozen = false;
    uint64_t id = 0;
    int r = fd < 0 ? fd : cgroup_read_id(fd, &id);

    if (r == 0 && id != e->id)
        return STATE_GONE;
    if (r == 0)
        r = freezer_read(fd, &frozen);
    if (r == 0 && !frozen)
        return STATE_LOOSE;
    if (r == 0)
        r = cgroup_read_events(fd, &events);
    if (r < 0)
        return is_gone(r) ? STATE_GONE : STATE_UNKNOWN;
    if (!events.populated)
        return STATE_EMPTY;
    return e->confirmed_usec != 0 || events.frozen ? STATE_FROZEN : STATE_ASKED;
}

/* SIGSTOP waits for a process that sleeps in the kernel, and for no other. */
static enum state process_state(const struct pauser *p, const struct pause_entry *e, uint64_t now_usec)
{
    struct process_stat st;
    int r = process_read_stat(p->root_fd, e->pid, &st);

    if (r < 0)
        return is_gone(r) ? STATE_GONE : STATE_UNKNOWN;
    if (st.start_usec != e->id || has_ended(&st))
        return STATE_GONE;
    if (is_stopped(&st))
        return STATE_FROZEN;
    if (e->confirmed_usec != 0 || (st.state != 'D' && now_usec >= e->since_usec + PAUSE_CONFIRM_USEC))
        return STATE_LOOSE;
    return STATE_ASKED;
}

unsigned pauser_check(struct pauser *p, uint64_t now_usec)
{
    unsigned forgotten = pauser_reload(p);

    for (unsigned i = 0; i < PAUSES_MAX; i++) {
        struct pause_entry *e = &p->entries[i];
        enum state state;

        if (!e->used)
            continue;
        state = e->pid > 0 ? process_state(p, e, now_usec) : cgroup_state(p, e);
        if (state == STATE_FROZEN && e->confirmed_usec == 0)
            e->confirmed_usec = now_usec;
        if (state == STATE_EMPTY && pauser_resume(p, e) >= 0)
            forgotten++;
        if (state != STATE_GONE && state != STATE_LOOSE)
            continue;
        if (state == STATE_LOOSE) {
            p->foreign_thaws++;
            pauser_yield(p, e->id, e->pid, now_usec);
        }
        forget(p, e);
        forgotten++;
    }
    return forgotten;
}

unsigned pauser_reload(struct pauser *p)
{
    unsigned forgotten = 0;

    for (unsigned i = 0; i < PAUSES_MAX; i++) {
        struct pause_entry *e = &p->entries[i];

        if (!e->used || lease_of(p, e))
            continue;
        let_run(p, e);
        entry_end(p, e);
        forgotten++;
    }
    return forgotten;
}

/* ---- what an earlier daemon has paused ---- */

/* A single process lies in a cgroup that its class names, or anywhere below it. */
static unsigned class_of(const struct config *c, const struct lease *l)
{
    char path[JOURNAL_PATH_MAX];
    unsigned other = c->class_count - 1, found = config_class_of(c, l->path);
    char *slash;

    memcpy(path, l->path, sizeof(path));
    while (lease_pid(l) > 0 && found == other && (slash = strrchr(path, '/'))) {
        *slash = 0;
        found = config_class_of(c, path);
    }
    return found;
}

bool pauser_wants(const struct config *c, const struct lease *l)
{
    return lease_is_pause(l) && c->classes[class_of(c, l)].actions & ACTION_BIT(ACTION_PAUSE);
}

static void note_held(const struct pauser *p, struct pause_entry *e)
{
    _cleanup_close_ int fd = -1;
    struct process_memory memory;
    struct process_stat st;

    if (e->pid == 0) {
        fd = cgroup_open(p->hierarchy, e->path);
        if (fd >= 0 && file_read_u64_at(fd, "memory.current", &e->held_bytes) < 0)
            e->held_bytes = 0;
        return;
    }
    if (process_read_memory(p->root_fd, e->pid, &memory) == 0)
        e->held_bytes = memory.rss_anon + memory.rss_shmem;
    if (process_read_stat(p->root_fd, e->pid, &st) == 0)
        memcpy(e->comm, st.comm, sizeof(e->comm) - 1);
}

unsigned pauser_adopt(struct pauser *p, const struct config *c, uint64_t now_usec)
{
    struct lease *l = NULL;
    unsigned adopted = 0;

    while ((l = lease_next(p->knobs->table, l))) {
        struct pause_entry *e = find_free(p);

        if (!lease_is_pause(l) || entry_of(p, l))
            continue;
        if (!e) {
            p->failures += knobs_restore(p->knobs, l) < 0;
            continue;
        }
        *e = (struct pause_entry){
            .used = true,
            .id = l->cgroup_id,
            .pid = lease_pid(l),
            .class_index = class_of(c, l),
            .why = PAUSE_WHY_GROWTH,
            .since_usec = u64_sub_floor(now_usec, PAUSES_MAX - adopted),
        };
        memcpy(e->path, l->path, sizeof(e->path));
        p->count++;
        note_held(p, e);
        adopted++;
    }
    return adopted;
}

unsigned pauser_reconfigure(struct pauser *p, const struct config *c, pauser_keep_fn keep, void *user)
{
    struct lease *l = NULL;
    unsigned resumed = 0;

    while ((l = lease_next(p->knobs->table, l))) {
        struct pause_entry *e = lease_is_pause(l) ? entry_of(p, l) : NULL;

        if (!e)
            continue;
        e->class_index = class_of(c, l);
        if (!keep(user, e))
            resumed += pauser_resume(p, e) == 1;
    }
    return resumed;
}
