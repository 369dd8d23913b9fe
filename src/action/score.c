#include "action/score.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kernel/file.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"

#define STAT_BYTES 2048 /* /proc/PID/stat has some 350 */

/* A process's directory in /proc, with what it says: whatever becomes of its pid meanwhile, the descriptor is
 * of this process (ESRCH once it is gone). */
struct scored {
    int fd;
    struct process_stat stat;
    uint64_t value;
};

static void close_scored(struct scored *p)
{
    close_fdp(&p->fd);
}

static int read_scored(int fd, pid_t pid, struct scored *ret)
{
    _uninitialized_ char buf[STAT_BYTES];
    struct scored p = {.fd = fd};
    ssize_t n = file_read_at(fd, "stat", buf, sizeof(buf));
    int adj, r = n < 0 ? (int)n : process_stat_parse(buf, (size_t)n, &p.stat);

    if (r < 0)
        return r;
    n = file_read_at(fd, JOURNAL_SCORE, buf, sizeof(buf));
    r = n < 0 ? (int)n : oom_score_parse_adj(buf, (size_t)n, &adj);
    if (r < 0)
        return r;
    if (p.stat.pid != pid)
        return -ESRCH;
    p.value = (uint64_t)(adj + JOURNAL_SCORE_ZERO);
    *ret = p;
    return 0;
}

/* 0: it is gone; 1: ret->fd is the caller's. */
static int open_scored(const struct knobs *k, pid_t pid, struct scored *ret)
{
    _cleanup_close_ int fd = -1;
    char path[32];
    int r;

    (void)snprintf(path, sizeof(path), "proc/%d", (int)pid);
    fd = file_open_dir(k->root_fd, path);
    r = fd < 0 ? fd : read_scored(fd, pid, ret);
    if (r < 0)
        return r == -ENOENT || r == -ESRCH ? 0 : r;
    (void)fd_steal(&fd);
    return 1;
}

/* 0: it is gone. */
static int write_scored(const struct scored *p, uint64_t value)
{
    char text[16];
    int r;

    (void)snprintf(text, sizeof(text), "%d", (int)value - JOURNAL_SCORE_ZERO);
    r = file_write_at(p->fd, JOURNAL_SCORE, text);
    return r == -ENOENT || r == -ESRCH ? 0 : r < 0 ? r : 1;
}

int score_restore(struct knobs *k, struct lease *l)
{
    _cleanup_(close_scored) struct scored p = {.fd = -1};
    int r = open_scored(k, lease_score_pid(l), &p);
    bool ours = r > 0 && p.stat.start_usec == l->cgroup_id && lease_is_ours(l, p.value);

    if (ours && p.value != l->was)
        r = write_scored(&p, l->was);
    if (r < 0)
        return r;
    knobs_forget(k, l);
    return ours && r > 0;
}

static int take_score(struct knobs *k, struct lease *next, const char *path)
{
    struct lease *l;
    int r = text_copy(text_from(path), next->path, sizeof(next->path));

    return r < 0 ? r : knobs_take(k, next, &l);
}

static const struct lease *lease_of_parent(struct knobs *k, pid_t parent, uint64_t value)
{
    char knob[JOURNAL_KNOB_MAX];

    lease_score_knob(knob, parent);
    for (unsigned i = 0; i < lease_table_size(k->table); i++) {
        const struct lease *l = lease_at(k->table, i);

        if (l->used && l->drift != LEASE_YIELDED && l->ours == value && strcmp(l->knob, knob) == 0)
            return l;
    }
    return NULL;
}

/* Whoever had it in the same cgroup: the oldest, which is likeliest to have had children. */
static const struct lease *lease_of_family(struct knobs *k, const char *path, uint64_t value, uint64_t before)
{
    const struct lease *oldest = NULL;

    for (unsigned i = 0; i < lease_table_size(k->table); i++) {
        const struct lease *l = lease_at(k->table, i);

        if (l->used && l->sequence <= before && l->drift != LEASE_YIELDED && l->ours == value &&
            lease_score_pid(l) > 0 && strcmp(l->path, path) == 0 &&
            (!oldest || l->sequence < oldest->sequence))
            oldest = l;
    }
    return oldest;
}

/* A child has the value of its parent; one that has not was handed on to another when its own had gone. */
static bool is_orphan(const struct knobs *k, const struct scored *p)
{
    _cleanup_(close_scored) struct scored parent = {.fd = -1};

    return open_scored(k, p->stat.ppid, &parent) <= 0 || parent.value != p->value;
}

static int take_inherited(struct knobs *k, const char *path, const struct scored *p, uint64_t was)
{
    struct lease next = {
        .used = true, .cgroup_id = p->stat.start_usec, .was = was, .ours = p->value, .ours_before = p->value};

    lease_score_knob(next.knob, p->stat.pid);
    return take_score(k, &next, path);
}

/* A process that has the value already: who gave it to it decides what it goes back to. What was there before
 * anybody had ours in its cgroup (`before`: the leases until then) has it by itself, and keeps it; that is
 * written down, too, so that its children are known for what they are. */
static int inherit_score(struct knobs *k, const char *path, const struct scored *p, uint64_t before)
{
    const struct lease *from = lease_of_parent(k, p->stat.ppid, p->value);
    int r;

    if (!from && !is_orphan(k, p))
        return 0; /* its parent's turn is first */
    if (!from)
        from = lease_of_family(k, path, p->value, before);
    r = take_inherited(k, path, p, from ? from->was : p->value);
    return r < 0 ? r : from != NULL;
}

static struct lease *lease_of_score(struct knobs *k, const struct scored *p)
{
    char knob[JOURNAL_KNOB_MAX];

    lease_score_knob(knob, p->stat.pid);
    return lease_find(k->table, p->stat.start_usec, knob);
}

int score_inherit(struct knobs *k, const char *path, pid_t pid, uint64_t value)
{
    _cleanup_(close_scored) struct scored p = {.fd = -1};
    int r = open_scored(k, pid, &p);

    if (r <= 0)
        return r;
    return p.value != value || lease_of_score(k, &p) ? 0
                                                     : inherit_score(k, path, &p, k->table->last_sequence);
}

static void give_up(struct knobs *k, struct lease *l, uint64_t found)
{
    k->drifts++;
    if (!k->yields) {
        knobs_forget(k, l);
        return;
    }
    knobs_note_drift(k, l, LEASE_YIELDED);
    if (k->drifted)
        k->drifted(k->user, l, found, l->ours);
}

int score_apply(struct knobs *k, const char *path, pid_t pid, uint64_t value, uint64_t before)
{
    _cleanup_(close_scored) struct scored p = {.fd = -1};
    struct lease next = {.used = true, .ours = value, .ours_before = value};
    struct lease *l;
    int r = open_scored(k, pid, &p);

    if (r <= 0)
        return r;
    l = lease_of_score(k, &p);
    if (l && l->drift == LEASE_YIELDED)
        return 0;
    if (l && !lease_is_ours(l, p.value)) { /* somebody has a reason: from now on it is his */
        give_up(k, l, p.value);
        if (k->yields)
            return 0;
        l = NULL;
    }
    if (p.value == value)
        return l ? 0 : inherit_score(k, path, &p, before);
    /* It takes CAP_SYS_RESOURCE to go below 0: somebody has a reason for so much protection, unless it comes
     * from a parent that we gave it to. */
    if (!l && p.value < JOURNAL_SCORE_ZERO && p.value < value && !lease_of_parent(k, p.stat.ppid, p.value))
        return 0;
    next.cgroup_id = p.stat.start_usec;
    next.was = p.value;
    lease_score_knob(next.knob, pid);
    if (l) {
        next.ours_before = l->ours;
        next.was = l->was;
    }
    r = take_score(k, &next, path);
    return r < 0 ? r : write_scored(&p, value);
}

bool score_lives(const struct knobs *k, const struct lease *l)
{
    _cleanup_(close_scored) struct scored p = {.fd = -1};

    return open_scored(k, lease_score_pid(l), &p) > 0 && p.stat.start_usec == l->cgroup_id;
}

bool score_stands(const struct knobs *k, const struct lease *l)
{
    _cleanup_(close_scored) struct scored p = {.fd = -1};

    return open_scored(k, lease_score_pid(l), &p) > 0 && p.stat.start_usec == l->cgroup_id &&
           lease_is_ours(l, p.value);
}
