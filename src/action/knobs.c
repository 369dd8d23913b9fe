#include "action/knobs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "action/score.h"
#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/kill.h"
#include "kernel/process.h"
#include "system/clock.h"

/* Protections are raised by us, limits lowered: only lowering a limit makes the writer reclaim. */
static bool is_limit(const char *knob)
{
    return strcmp(knob, "memory.high") == 0 || strcmp(knob, "memory.max") == 0;
}

static int open_and_read(const struct knobs *k, const char *path, const char *knob, uint64_t *ret_id,
                         uint64_t *ret_value, int *ret_fd)
{
    _cleanup_close_ int fd = cgroup_open(k->hierarchy, path);
    int r;

    if (fd < 0)
        return fd;
    r = cgroup_read_id(fd, ret_id);
    if (r < 0)
        return r;
    r = file_read_u64_at(fd, knob, ret_value);
    if (r < 0)
        return r;
    *ret_fd = fd_steal(&fd);
    return 0;
}

int knobs_read(struct knobs *k, const char *path, const char *knob, struct knob_state *ret)
{
    struct knob_state s = {0};
    const struct lease *l;
    _cleanup_close_ int fd = -1;
    int r = open_and_read(k, path, knob, &s.id, &s.value, &fd);

    if (r < 0)
        return r;
    l = lease_find(k->table, s.id, knob);
    s.ours = l && lease_is_ours(l, s.value);
    s.foreign = s.ours ? l->was : s.value;
    *ret = s;
    return 0;
}

/* True where somebody has overwritten us so often that we stand back for a while. */
static bool is_fight(struct knobs *k, uint64_t now_usec)
{
    if (now_usec - k->fight_since_usec > KNOBS_FIGHT_PAUSE_USEC) {
        k->fight_since_usec = now_usec;
        k->fight_count = 0;
    }
    return !k->insist && k->fight_count >= KNOBS_FIGHT_MAX;
}

static uint64_t pending_usec(const struct knobs *k)
{
    return k->pending_usec != 0 ? k->pending_usec : KNOBS_PENDING_USEC;
}

/* 1: handed over, 0: it stands, or negative errno. */
static int write_value(struct knobs *k, int fd, const struct lease *l, uint64_t from, uint64_t value)
{
    bool lowers = is_limit(l->knob) && value < from;
    int r = k->write && !lease_is_pause(l) ? k->write(k->user, l, value, lowers) : 0;

    if (r != 0)
        return r == KNOBS_WRITTEN ? 0 : r;
    r = file_write_u64_at(fd, l->knob, value);
    return r < 0 ? r : 0;
}

/* Remembers what is about to be written, in the journal first. On failure the table is as before. */
static int lease_take(struct knobs *k, struct lease *l, const struct lease *next)
{
    struct lease before = *l;
    int r;

    *l = *next;
    l->sequence = before.sequence;
    r = journal_append_lease(k->journal, l);
    if (r < 0) {
        *l = before;
        return r;
    }
    if (journal_is_long(k->journal))
        (void)journal_rewrite(k->journal, k->table); /* the long one stays good */
    return 0;
}

/* The write did not happen: what stands is what stood before, and the journal has to know it, or the value
 * before the last one would not be ours any more. */
static void lease_untake(struct knobs *k, struct lease *l, const struct lease *before)
{
    int r;

    if (before->used) {
        r = journal_append_lease(k->journal, before);
        *l = *before;
    } else {
        r = journal_append_release(k->journal, l);
        l->used = false;
    }
    if (r < 0)
        k->last_error = r; /* the next line will not get in either, and then nothing is written */
}

/* The lease that `value` needs, its line in the journal, then the write itself. */
static int change(struct knobs *k, struct lease *l, const struct lease *next, int fd, uint64_t from,
                  uint64_t now_usec)
{
    struct lease before = *l;
    int r = lease_take(k, l, next);

    if (r < 0)
        return r;
    r = write_value(k, fd, l, from, l->ours);
    if (r < 0)
        lease_untake(k, l, &before);
    else if (r == 1)
        l->pending_until_usec = now_usec + pending_usec(k);
    return r;
}

/* A value that was handed over and does not stand yet: the next one waits for it, so that never more than two
 * values in the file can be ours. One that takes too long is asked for once more. */
static int wait_or_repeat(struct knobs *k, struct lease *l, int fd, uint64_t current, uint64_t now_usec)
{
    int r;

    if (now_usec < l->pending_until_usec)
        return 0;
    r = write_value(k, fd, l, current, l->ours);
    if (r >= 0)
        l->pending_until_usec = r == 1 ? now_usec + pending_usec(k) : 0;
    return r;
}

static int apply_new(struct knobs *k, const char *path, const char *knob, const struct lease *next, int fd,
                     uint64_t now_usec)
{
    struct lease *l, whole = *next;
    int r = text_copy(text_from(path), whole.path, sizeof(whole.path));

    if (r == 0)
        r = text_copy(text_from(knob), whole.knob, sizeof(whole.knob));
    if (r < 0)
        return r;
    l = lease_add(k->table);
    if (!l)
        return -ENOSPC;
    l->used = false; /* until the journal has it */
    return change(k, l, &whole, fd, next->was, now_usec);
}

static int apply_again(struct knobs *k, struct lease *l, uint64_t value, int fd, uint64_t current,
                       const uint64_t *seen, uint64_t now_usec)
{
    struct lease next = *l;

    if (l->drift == LEASE_YIELDED)
        return 0;
    if (l->restoring) { /* what is on its way would undo it */
        l->restoring = false;
        l->pending_until_usec = 1;
    } else if (current == l->ours) {
        l->pending_until_usec = 0;
    } else if (l->is_told && current == l->told && l->told != l->ours) {
        l->pending_until_usec = 0; /* systemd has set what it was told before: that is not on its way */
    }
    if (current == l->ours && value == l->ours && l->pending_until_usec == 0)
        return 0;
    if (l->pending_until_usec != 0 && (lease_is_ours(l, current) || current == l->was))
        return wait_or_repeat(k, l, fd, current, now_usec);
    if (!lease_is_ours(l, current)) {
        if ((seen && current != *seen) || is_fight(k, now_usec))
            return 0;
        k->drifts++;
        k->fight_count++;
        next.was = current;
    }
    next.ours_before = lease_is_ours(l, current) ? current : l->ours;
    next.ours = value;
    next.pending_until_usec = 0;
    return change(k, l, &next, fd, current, now_usec);
}

/* What the kernel makes of a size: whole pages, which on some machines have 64 KiB. A value that it would
 * round would never read back as ours. */
static uint64_t whole_pages(const char *knob, uint64_t value)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    bool size = strncmp(knob, "memory.", 7) == 0 && strcmp(knob, "memory.oom.group") != 0 &&
                strcmp(knob, "memory.zswap.writeback") != 0;

    return !size || value == UINT64_MAX || page == 0 ? value : value / page * page;
}

int knobs_apply(struct knobs *k, const char *path, const char *knob, uint64_t value, uint64_t now_usec)
{
    return knobs_apply_seen(k, path, knob, value, NULL, now_usec);
}

int knobs_apply_seen(struct knobs *k, const char *path, const char *knob, uint64_t value,
                     const uint64_t *seen, uint64_t now_usec)
{
    _cleanup_close_ int fd = -1;
    uint64_t id, current;
    struct lease *l;
    int r = open_and_read(k, path, knob, &id, &current, &fd);

    if (r == 0 && k->dry_run)
        return 0;
    value = whole_pages(knob, value);
    l = r == 0 ? lease_find(k->table, id, knob) : NULL;
    if (l) {
        r = apply_again(k, l, value, fd, current, seen, now_usec);
    } else if (r == 0 && current != value && (!seen || current == *seen)) {
        const struct lease next = {
            .used = true, .cgroup_id = id, .was = current, .ours = value, .ours_before = value};

        r = apply_new(k, path, knob, &next, fd, now_usec);
    }
    if (r >= 0)
        return 0;
    k->failures++;
    k->last_error = r;
    return r;
}

int knobs_take(struct knobs *k, const struct lease *next, struct lease **ret)
{
    struct lease *l = lease_find(k->table, next->cgroup_id, next->knob);
    bool fresh = !l;
    int r;

    if (fresh)
        l = lease_add(k->table);
    if (!l)
        return -ENOSPC;
    if (fresh)
        l->used = false; /* until the journal has it */
    r = lease_take(k, l, next);
    if (r < 0)
        return r;
    *ret = l;
    return 0;
}

static int release(struct knobs *k, struct lease *l, int result)
{
    int r = k->journal ? journal_append_release(k->journal, l) : 0;

    /* Without the line (a full file system) the lease is found again later, and its value is not ours then.
     */
    if (r < 0)
        k->last_error = r;
    l->used = false;
    return result;
}

void knobs_note_drift(struct knobs *k, struct lease *l, enum lease_drift drift)
{
    int r;

    l->drift = drift;
    r = journal_append_lease(k->journal, l);
    if (r < 0)
        k->last_error = r; /* a successor may set it once more */
}

void knobs_forget(struct knobs *k, struct lease *l)
{
    (void)release(k, l, 0);
}

/* The process that a lease names: 1, with *ret_stopped and a pidfd; 0: it is gone, or its pid is another's.
 */
static int open_process(const struct knobs *k, const struct lease *l, bool *ret_stopped, int *ret_fd)
{
    _cleanup_close_ int fd = -1;
    struct process_stat st;
    int r;

    if (!k->signals)
        return -EPERM;
    fd = kill_pidfd_open(lease_pid(l));
    if (fd == -ESRCH)
        return 0;
    if (fd < 0)
        return fd;
    r = process_read_stat(k->root_fd, lease_pid(l), &st);
    if (r == -ENOENT || r == -ESRCH)
        return 0;
    if (r < 0)
        return r;
    if (st.start_usec != l->cgroup_id || st.state == 'Z' || st.state == 'X')
        return 0;
    *ret_stopped = st.state == 'T' || st.state == 't';
    *ret_fd = fd_steal(&fd);
    return 1;
}

/* One that sleeps in the kernel may still have our SIGSTOP before it, which SIGCONT takes away; to one that
 * somebody else let run it means nothing. */
static int continue_process(struct knobs *k, struct lease *l)
{
    _cleanup_close_ int fd = -1;
    bool stopped = false;
    int r = open_process(k, l, &stopped, &fd);

    if (r < 0)
        return r;
    if (r == 0)
        return release(k, l, 0);
    r = kill_pidfd_signal(fd, SIGCONT);
    if (r < 0 && r != -ESRCH)
        return r;
    return release(k, l, r == 0 && stopped);
}

bool knobs_outlives(const struct knobs *k, const struct lease *l)
{
    uint64_t value;

    return k->left && l->drift != LEASE_YIELDED && k->left(k->user, l, &value) == 0 &&
           lease_is_ours(l, value);
}

int knobs_move(struct knobs *k, struct lease *l, uint64_t cgroup_id, uint64_t now_usec)
{
    struct lease before = *l;
    int r;

    l->cgroup_id = cgroup_id;
    l->pending_until_usec = now_usec + pending_usec(k); /* the new one may only just be made */
    if (!k->journal)
        return 0;
    r = journal_append_lease(k->journal, l);
    if (r < 0)
        *l = before;
    else
        r = journal_append_release(k->journal, &before); /* else it is found gone by a successor */
    return r;
}

/* `was` in the place of ours: 1, 0 where it was gone meanwhile, KNOBS_UNDER_WAY, or negative errno. */
static int put_back(struct knobs *k, struct lease *l, int fd, uint64_t current)
{
    uint64_t now = k->confirms ? clock_now_usec() : 0;
    int r;

    if (k->confirms && l->restoring && now < l->pending_until_usec)
        return KNOBS_UNDER_WAY;
    r = write_value(k, fd, l, current, l->was);
    if (r == -ENOENT || r == -ENODEV)
        return release(k, l, 0);
    if (r < 0)
        return r;
    if (r > 0 && !k->confirms && fd >= 0 && is_limit(l->knob) && l->was > current)
        (void)!file_write_u64_at(fd, l->knob, l->was); /* else it is nobody's until systemd comes to it */
    if (r == 0 || !k->confirms)
        return release(k, l, 1);
    l->restoring = true;
    l->pending_until_usec = now + pending_usec(k);
    return KNOBS_UNDER_WAY;
}

/* Of a cgroup that is gone. */
static int restore_left(struct knobs *k, struct lease *l)
{
    if (!knobs_outlives(k, l))
        return release(k, l, l->restoring);
    return put_back(k, l, -1, l->ours);
}

int knobs_restore(struct knobs *k, struct lease *l)
{
    _cleanup_close_ int fd = -1;
    uint64_t id, current;
    int r;

    if (lease_pid(l) > 0)
        return continue_process(k, l);
    if (lease_score_pid(l) > 0)
        return score_restore(k, l);
    r = open_and_read(k, l->path, l->knob, &id, &current, &fd);
    if (r == -ENOENT || r == -ENODEV || (r == 0 && id != l->cgroup_id))
        return restore_left(k, l);
    if (r < 0)
        return r;
    if (!lease_is_ours(l, current))
        return release(k, l, l->restoring && current == l->was);
    return current != l->was ? put_back(k, l, fd, current) : release(k, l, 1);
}

struct restoring {
    unsigned restored, left, failed;
};

static void restore_one(struct knobs *k, struct lease *l, struct restoring *done)
{
    int r = knobs_restore(k, l);

    done->restored += r == 1;
    done->left += r == 0;
    done->failed += r < 0;
    k->under_way += r == KNOBS_UNDER_WAY;
    if (r < 0)
        k->last_error = r;
}

/* What is paused first, as long as all else that holds it back is loosened only after it: the knobs go in the
 * reverse order of the table. */
unsigned knobs_restore_all(struct knobs *k, unsigned *ret_left, unsigned *ret_failed)
{
    struct restoring done = {0};
    struct lease *l = NULL;

    k->under_way = 0;
    while ((l = lease_next(k->table, l)))
        if (lease_is_pause(l))
            restore_one(k, l, &done);
    for (unsigned i = lease_table_size(k->table); i-- > 0;)
        if (lease_at(k->table, i)->used && !lease_is_pause(lease_at(k->table, i)))
            restore_one(k, lease_at(k->table, i), &done);
    *ret_left = done.left;
    *ret_failed = done.failed;
    return done.restored;
}

bool knobs_stands(const struct knobs *k, const struct lease *l)
{
    _cleanup_close_ int fd = -1;
    uint64_t id, current;
    bool stopped = false;

    if (lease_pid(l) > 0)
        return open_process(k, l, &stopped, &fd) == 1 && stopped;
    if (lease_score_pid(l) > 0)
        return score_stands(k, l);
    return open_and_read(k, l->path, l->knob, &id, &current, &fd) == 0 && id == l->cgroup_id &&
           lease_is_ours(l, current);
}

unsigned knobs_get_pending(const struct knobs *k, uint64_t now_usec, struct knobs_pending *ret, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < lease_table_size(k->table) && n < max; i++) {
        const struct lease *l = lease_at(k->table, i);

        if (!l->used || l->pending_until_usec <= now_usec)
            continue;
        ret[n] = (struct knobs_pending){.cgroup_id = l->cgroup_id, .until_usec = l->pending_until_usec};
        memcpy(ret[n].knob, l->knob, sizeof(ret[n].knob));
        n++;
    }
    return n;
}

void knobs_set_pending(struct knobs *k, const struct knobs_pending *pending, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct lease *l = lease_find(k->table, pending[i].cgroup_id, pending[i].knob);

        if (l)
            l->pending_until_usec = pending[i].until_usec;
    }
}

void knobs_adopt(struct knobs *k, knobs_wanted_fn wanted, void *user, unsigned *ret_adopted,
                 unsigned *ret_restored)
{
    unsigned adopted = 0, restored = 0;
    struct lease *l = NULL;

    while ((l = lease_next(k->table, l))) {
        if ((l->pending_until_usec != 0 || knobs_stands(k, l)) && wanted(user, l))
            adopted++;
        else
            restored += knobs_restore(k, l) == 1;
    }
    *ret_adopted = adopted;
    *ret_restored = restored;
}
