#include "action/fence.h"

#include <errno.h>
#include <string.h>

#include "action/knobs.h"
#include "base/text.h"
#include "kernel/file.h"
#include "kernel/reclaim.h"

#define WRITE_LIMIT_USEC UINT64_C(2000000)

static int lease_max(struct journal *j, struct lease_table *t, const struct lease *high, uint64_t was,
                     uint64_t ours)
{
    struct lease *l = lease_find(t, high->cgroup_id, "memory.max"), before;
    uint64_t sequence;
    int r;

    if (l && l->ours == ours)
        return 0;
    before = l ? *l : (struct lease){.used = false};
    if (!l)
        l = lease_add(t);
    if (!l)
        return -ENOSPC;
    sequence = l->sequence;
    *l = *high;
    l->sequence = sequence;
    l->was = before.used ? before.was : was; /* of an earlier fence that is still up */
    l->ours = ours;
    l->ours_before = before.used ? before.ours : ours;
    r = text_copy(text_from("memory.max"), l->knob, sizeof(l->knob));
    if (r == 0)
        r = journal_append_lease(j, l);
    if (r < 0)
        *l = before;
    return r;
}

static int fence_one(struct journal *j, struct lease_table *t, struct lease *high, const struct hierarchy *h)
{
    _cleanup_close_ int fd = cgroup_open(h, high->path);
    uint64_t id, now, max;
    int r;

    if (fd < 0)
        return fd;
    r = cgroup_read_id(fd, &id);
    if (r == 0)
        r = file_read_u64_at(fd, "memory.high", &now);
    if (r == 0)
        r = file_read_u64_at(fd, "memory.max", &max);
    if (r < 0)
        return r;
    if (id != high->cgroup_id || (now != high->ours && now != high->ours_before) || now == UINT64_MAX)
        return 0;
    if (max > now) {
        r = lease_max(j, t, high, max, now);
        if (r == 0)
            r = reclaim_write_limit(fd, "memory.max", now, WRITE_LIMIT_USEC);
    }
    /* Even if the fence could not be raised, the brake must not stay on. */
    if (file_write_u64_at(fd, "memory.high", high->was) >= 0 && journal_append_release(j, high) == 0)
        high->used = false;
    return r < 0 ? r : 1;
}

static int thaw_all(struct knobs *k, unsigned *ret_thawed)
{
    struct lease *l = NULL;
    int error = 0;

    while ((l = lease_next(k->table, l))) {
        int r = lease_is_pause(l) ? knobs_restore(k, l) : 0;

        *ret_thawed += r == 1;
        if (r < 0)
            error = r;
    }
    return error;
}

int fence_raise(int root_fd, int runtime_fd, const struct hierarchy *h, bool signals,
                struct lease_table *ret_table, struct fence_done *ret_done)
{
    struct journal journal;
    struct knobs knobs = {
        .hierarchy = h, .journal = &journal, .table = ret_table, .root_fd = root_fd, .signals = signals};
    int error, r;

    *ret_done = (struct fence_done){0};
    error = journal_open_existing(&journal, JOURNAL_NAME, root_fd, runtime_fd, ret_table);
    if (error < 0)
        return error;
    error = thaw_all(&knobs, &ret_done->thawed);
    for (unsigned i = 0; i < lease_table_size(ret_table); i++) {
        struct lease *l = lease_at(ret_table, i);

        if (!l->used || strcmp(l->knob, "memory.high") != 0)
            continue;
        r = fence_one(&journal, ret_table, l, h);
        if (r > 0)
            ret_done->fenced++;
        else if (r < 0 && r != -ENOENT && r != -ENODEV)
            error = r;
    }
    journal_close(&journal);
    return error;
}
