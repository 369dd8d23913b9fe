#include "action/kill.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include "action/history.h"
#include "action/worker.h"
#include "base/text.h"
#include "kernel/file.h"
#include "kernel/kill.h"
#include "kernel/process.h"

static void op_end(struct killer *k, struct kill_op *op)
{
    loop_remove(k->loop, op->watch_fd);
    if (op->watch_fd >= 0)
        (void)close(op->watch_fd);
    if (op->cgroup_fd >= 0)
        (void)close(op->cgroup_fd);
    op->used = false;
}

static void on_progress(void *user, int fd, uint32_t events)
{
    struct killer *k = user;

    /* A changed kernfs file reports EPOLLPRI together with EPOLLERR until it is read again through this
     * descriptor, which killer_poll does. */
    (void)fd;
    (void)events;
    k->progress(k->user);
}

static void release_memory(struct killer *k, int cgroup_fd, pid_t pid)
{
    struct worker_request q = {.op = WORKER_MRELEASE};
    bool more;
    int n;

    if (!k->signals || !k->worker)
        return;
    if (pid > 0) {
        q.pids[0] = pid;
        q.pid_count = 1;
    } else {
        n = cgroup_read_procs(cgroup_fd, q.pids, WORKER_PIDS_MAX, &more);
        q.pid_count = n > 0 ? (unsigned)n : 0;
    }
    if (q.pid_count > 0)
        (void)companion_send(k->worker, &q, sizeof(q)); /* the victim frees its memory itself, only later */
}

/* Every process of the cgroup and below, where there is no cgroup.kill. */
static int kill_by_pid(int cgroup_fd);

static int kill_child(void *user, const char *name, unsigned char type, uint64_t inode)
{
    int parent_fd = *(const int *)user;
    _cleanup_close_ int fd = -1;

    (void)inode;
    if (type != DT_DIR)
        return 0;
    fd = file_open_dir(parent_fd, name);
    if (fd >= 0)
        (void)kill_by_pid(fd);
    return 0;
}

static int kill_by_pid(int cgroup_fd)
{
    int n = kill_cgroup_procs(cgroup_fd);

    (void)file_each_entry(cgroup_fd, kill_child, &cgroup_fd);
    return n;
}

/* Adds to a counter that is kept as an attribute, as systemd-oomd does: its unit then says Result=oom-kill.
 */
static void count_up(int cgroup_fd, const char *name, uint64_t by)
{
    char value[32];
    uint64_t before = 0;

    if (cgroup_read_xattr(cgroup_fd, name, value, sizeof(value)) >= 0 &&
        text_parse_u64(text_from(value), &before) < 0)
        before = 0;
    (void)snprintf(value, sizeof(value), "%" PRIu64, u64_add_cap(before, by));
    (void)cgroup_write_xattr(cgroup_fd, name, value);
}

static int count_proc(void *user, pid_t pid)
{
    (void)pid;
    (*(uint64_t *)user)++;
    return 0;
}

/* SIGKILL to all of an open cgroup. */
static int kill_now(struct killer *k, struct kill_op *op)
{
    uint64_t processes = 0;
    int r;

    op->term_until_usec = 0;
    if (op->pid > 0) {
        r = kill_pidfd_signal(op->watch_fd, SIGKILL);
        if (r == 0)
            release_memory(k, -1, op->pid);
        return r;
    }
    count_up(op->cgroup_fd, "user.oomd_ooms", 1);
    (void)cgroup_each_proc(op->cgroup_fd, count_proc, &processes);
    r = kill_cgroup(op->cgroup_fd);
    op->cgroup_kill = r == 0;
    if (r < 0 && k->signals)
        r = kill_by_pid(op->cgroup_fd);
    if (r < 0)
        return r;
    release_memory(k, op->cgroup_fd, 0);
    count_up(op->cgroup_fd, "user.oomd_kill", processes);
    return 0;
}

static int term_proc(void *user, pid_t pid)
{
    _cleanup_close_ int pidfd = pid == getpid() ? -1 : kill_pidfd_open(pid);

    (void)user;
    if (pidfd >= 0)
        (void)kill_pidfd_signal(pidfd, SIGTERM);
    return 0;
}

static int open_cgroup(struct killer *k, const struct victim *v, struct kill_op *op)
{
    uint64_t id;
    int r;

    op->cgroup_fd = cgroup_open(k->hierarchy, v->path);
    if (op->cgroup_fd < 0)
        return op->cgroup_fd;
    r = cgroup_read_id(op->cgroup_fd, &id);
    if (r < 0)
        return r;
    if (id != v->id)
        return -ENOENT;
    op->watch_fd = file_open_read(op->cgroup_fd, "cgroup.events");
    return 0;
}

static int open_process(struct killer *k, const struct victim *v, struct kill_op *op)
{
    struct process_stat st;
    int r;

    if (!k->signals)
        return -EPERM;
    op->watch_fd = kill_pidfd_open(v->pid);
    if (op->watch_fd < 0)
        return op->watch_fd;
    /* The pidfd holds whoever has the pid now: the start time (the id of a process group) says whether it is
     * him. */
    r = process_read_stat(k->root_fd, v->pid, &st);
    if (r < 0)
        return r;
    return st.start_usec == v->id ? 0 : -ESRCH;
}

static const char *why_of(const struct victim *v)
{
    return v->culprit ? "culprit" : v->why == RESUME_WHY_LIMIT ? "pause-limit" : "need";
}

static int begin_one(struct killer *k, const struct decision *d, unsigned i, uint64_t now_usec,
                     uint64_t grace_usec)
{
    const struct victim *v = &d->victims[i];
    struct kill_op *op = &k->ops[i];
    int r;

    *op = (struct kill_op){.used = true, .id = v->id, .pid = v->pid, .cgroup_fd = -1, .watch_fd = -1};
    r = v->pid > 0 ? open_process(k, v, op) : open_cgroup(k, v, op);
    if (r == 0 && v->pid == 0)
        history_note_kill(op->cgroup_fd, d->id, why_of(v));
    if (r == 0 && grace_usec > 0 && k->signals) {
        op->term_until_usec = now_usec + grace_usec;
        if (v->pid > 0)
            r = kill_pidfd_signal(op->watch_fd, SIGTERM);
        else
            (void)cgroup_each_proc(op->cgroup_fd, term_proc, NULL);
    } else if (r == 0) {
        r = kill_now(k, op);
    }
    if (r < 0) {
        op_end(k, op);
        return r;
    }
    op->deadline_usec = now_usec + grace_usec + k->deadline_after_usec;
    if (op->watch_fd >= 0)
        (void)loop_add(k->loop, op->watch_fd, op->pid > 0 ? EPOLLIN : EPOLLPRI, on_progress, k);
    return 0;
}

bool killer_wants_term(const struct config *c, const struct decision *d)
{
    for (unsigned i = 0; i < d->victim_count; i++)
        if (c->classes[d->victims[i].class_index].term_grace_usec > 0)
            return true;
    return false;
}

unsigned killer_begin(struct killer *k, const struct config *c, struct decision *d, uint64_t now_usec)
{
    unsigned signalled = 0;

    k->deadline_after_usec = c->kill_deadline_usec;
    for (unsigned i = 0; i < d->victim_count; i++) {
        uint64_t grace = c->classes[d->victims[i].class_index].term_grace_usec;
        int r = begin_one(k, d, i, now_usec, grace);

        if (r == -ENOENT || r == -ENODEV || r == -ESRCH)
            d->gone++;
        else if (r < 0)
            d->failed++;
        else
            signalled++;
    }
    return signalled;
}

/* An empty or vanished victim has given back what it will give: its last task drops its memory before it
 * leaves the cgroup (do_exit: exit_mm comes before cgroup_exit). */
static bool op_is_empty(struct kill_op *op)
{
    struct pollfd p = {.fd = op->watch_fd, .events = POLLIN};
    struct cgroup_events events;
    char buf[256];
    ssize_t n;

    if (op->pid > 0)
        return poll(&p, 1, 0) > 0;
    if (op->watch_fd < 0)
        return cgroup_read_events(op->cgroup_fd, &events) < 0 || !events.populated;
    n = file_pread(op->watch_fd, buf, sizeof(buf));
    return n < 0 || cgroup_events_parse(buf, (size_t)n, &events) < 0 || !events.populated;
}

bool killer_poll(struct killer *k, struct decision *d, uint64_t now_usec)
{
    bool waiting = false;

    for (unsigned i = 0; i < DECISION_VICTIMS_MAX; i++) {
        struct kill_op *op = &k->ops[i];

        if (!op->used)
            continue;
        if (op_is_empty(op)) {
            d->gone++;
            op_end(k, op);
        } else if (op->term_until_usec != 0) {
            if (now_usec >= op->term_until_usec && kill_now(k, op) < 0)
                op->term_until_usec = 0; /* the deadline has the last word */
            waiting = true;
        } else if (now_usec >= op->deadline_usec) {
            d->stuck++;
            k->stuck[k->stuck_next++ % KILLER_STUCK_MAX] = (struct kill_stuck){.id = op->id, .pid = op->pid};
            op_end(k, op);
        } else {
            if (!op->cgroup_kill && op->cgroup_fd >= 0 && k->signals)
                (void)kill_by_pid(op->cgroup_fd); /* who was forked meanwhile */
            waiting = true;
        }
    }
    return waiting;
}

bool killer_is_busy(const struct killer *k)
{
    for (unsigned i = 0; i < DECISION_VICTIMS_MAX; i++)
        if (k->ops[i].used)
            return true;
    return false;
}

bool killer_is_dying(const struct killer *k, uint64_t id, pid_t pid, bool *ret_stuck)
{
    *ret_stuck = false;
    for (unsigned i = 0; i < DECISION_VICTIMS_MAX; i++)
        if (k->ops[i].used && k->ops[i].id == id && k->ops[i].pid == pid)
            return true;
    for (unsigned i = 0; i < KILLER_STUCK_MAX; i++)
        if (id != 0 && k->stuck[i].id == id && k->stuck[i].pid == pid) {
            *ret_stuck = true;
            return true;
        }
    return false;
}

void killer_deinit(struct killer *k)
{
    for (unsigned i = 0; i < DECISION_VICTIMS_MAX; i++)
        if (k->ops[i].used)
            op_end(k, &k->ops[i]);
}
