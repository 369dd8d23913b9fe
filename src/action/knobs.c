#include "action/knobs.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"

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

static bool is_ours(const struct lease *l, uint64_t value)
{
    return value == l->ours || value == l->ours_before;
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
    s.ours = l && is_ours(l, s.value);
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
    return k->fight_count >= KNOBS_FIGHT_MAX;
}

static int write_value(struct knobs *k, int fd, const struct lease *l, uint64_t from, uint64_t value)
{
    bool lowers = is_limit(l->knob) && value < from;
    int r = k->write ? k->write(k->user, l, value, lowers) : 0;

    return r != 0 ? r : file_write_u64_at(fd, l->knob, value);
}

/* Remembers what is about to be written, in the journal first. On failure the table is as before. */
static int lease_take(struct knobs *k, struct lease *l, const struct lease *next)
{
    struct lease before = *l;
    int r;

    *l = *next;
    r = journal_append_lease(k->journal, l);
    if (r < 0) {
        *l = before;
        return r;
    }
    if (journal_is_long(k->journal))
        (void)journal_rewrite(k->journal, k->table); /* the long one stays good */
    return 0;
}

int knobs_apply(struct knobs *k, const char *path, const char *knob, uint64_t value, uint64_t now_usec)
{
    struct lease *l, next = {.used = true};
    _cleanup_close_ int fd = -1;
    uint64_t id, current;
    bool fresh;
    int r = open_and_read(k, path, knob, &id, &current, &fd);

    if (r < 0)
        goto failed;
    l = lease_find(k->table, id, knob);
    fresh = !l;
    if (current == value && (fresh || l->ours == value))
        return 0;
    if (k->dry_run || (!fresh && l->ours == value && now_usec < l->pending_until_usec))
        return 0;
    if (!fresh && !is_ours(l, current)) {
        if (is_fight(k, now_usec))
            return 0;
        k->drifts++;
        k->fight_count++;
    }
    if (fresh) {
        l = lease_add(k->table);
        r = -ENOSPC;
        if (!l)
            goto failed;
        l->used = false; /* until the journal has it */
    }
    next.cgroup_id = id;
    next.ours = value;
    next.was = !fresh && is_ours(l, current) ? l->was : current;
    next.ours_before = fresh ? value : l->ours;
    r = text_copy(text_from(path), next.path, sizeof(next.path));
    if (r == 0)
        r = text_copy(text_from(knob), next.knob, sizeof(next.knob));
    if (r == 0)
        r = lease_take(k, l, &next);
    if (r == 0)
        r = write_value(k, fd, l, current, value);
    if (r == 1)
        l->pending_until_usec = now_usec + KNOBS_PENDING_USEC;
    if (r >= 0)
        return 0;
failed:
    k->failures++;
    k->last_error = r;
    return r;
}

static int release(struct knobs *k, struct lease *l, int result)
{
    int r = journal_append_release(k->journal, l);

    l->used = false;
    return r < 0 ? r : result;
}

int knobs_restore(struct knobs *k, struct lease *l)
{
    _cleanup_close_ int fd = -1;
    uint64_t id, current;
    int r = open_and_read(k, l->path, l->knob, &id, &current, &fd);

    if (r == -ENOENT || r == -ENODEV)
        return release(k, l, 0);
    if (r < 0)
        return r;
    if (id != l->cgroup_id || !is_ours(l, current))
        return release(k, l, 0);
    if (current != l->was) {
        r = write_value(k, fd, l, current, l->was);
        if (r < 0)
            return r;
    }
    return release(k, l, 1);
}

unsigned knobs_restore_all(struct knobs *k, unsigned *ret_left, unsigned *ret_failed)
{
    unsigned restored = 0, left = 0, failed = 0;

    for (unsigned i = JOURNAL_LEASES_MAX; i-- > 0;) {
        int r;

        if (!k->table->leases[i].used)
            continue;
        r = knobs_restore(k, &k->table->leases[i]);
        restored += r == 1;
        left += r == 0;
        failed += r < 0;
        if (r < 0)
            k->last_error = r;
    }
    *ret_left = left;
    *ret_failed = failed;
    return restored;
}

void knobs_adopt(struct knobs *k, knobs_wanted_fn wanted, void *user, unsigned *ret_adopted,
                 unsigned *ret_restored)
{
    unsigned adopted = 0, restored = 0;

    for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++) {
        struct lease *l = &k->table->leases[i];
        _cleanup_close_ int fd = -1;
        uint64_t id, current;

        if (!l->used)
            continue;
        if (open_and_read(k, l->path, l->knob, &id, &current, &fd) == 0 && id == l->cgroup_id &&
            is_ours(l, current) && wanted(user, l)) {
            adopted++;
            continue;
        }
        restored += knobs_restore(k, l) == 1;
    }
    *ret_adopted = adopted;
    *ret_restored = restored;
}
