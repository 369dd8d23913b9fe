#include "daemon/pacing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "action/qos_write.h"
#include "action/unit.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/io_stat.h"
#include "kernel/memory_stat.h"
#include "system/clock.h"

#define PAGE_BYTES UINT64_C(4096)
/* While something is written or owed; while nothing is. What a device writes in that time is what may be too
 * much at once. No more than a tenth of the time. */
#define STEP_LEAST_USEC (20 * USEC_PER_MSEC)
#define STEP_REST_USEC (50 * USEC_PER_MSEC)
#define STEP_MOST_USEC (200 * USEC_PER_MSEC)
#define STEP_SHARE 10

void pacing_init(struct pacing *p, int root_fd, const struct hierarchy *h, const struct config *c,
                 struct knobs *k)
{
    p->root_fd = root_fd;
    p->hierarchy = h;
    p->config = c;
    p->knobs = k;
    p->next_usec = STEP_REST_USEC;
    p->due_usec = UINT64_MAX;
    p->vmstat_fd = vmstat_open(root_fd); /* without it nothing is ever quiet */
}

static uint64_t limit_of(const struct pacing *p, const struct pacing_row *row)
{
    return p->config->classes[row->class_index].swap_write_limit;
}

static bool is_limited(const struct pacing *p, const struct pacing_row *row)
{
    return p->on && limit_of(p, row) != UINT64_MAX;
}

/* ---- who ---- */

static void row_release(struct pacing *p, struct pacing_row *row)
{
    p->held -= row->dir_fd >= 0;
    close_fdp(&row->dir_fd);
}

static void row_drop(struct pacing *p, unsigned i)
{
    row_release(p, &p->rows[i]);
    p->rows[i] = p->rows[--p->row_count];
}

void pacing_forget(struct pacing *p)
{
    while (p->row_count > 0)
        row_drop(p, p->row_count - 1);
    p->seen = false;
    p->due_usec = UINT64_MAX;
}

void pacing_reconfigure(struct pacing *p)
{
    struct pacing_class before[CONFIG_CLASSES_MAX];
    unsigned count = p->class_count;

    memcpy(before, p->classes, sizeof(before));
    memset(p->classes, 0, sizeof(p->classes));
    p->class_count = p->config->class_count;
    p->due_usec = UINT64_MAX; /* the rows are the next plan's */
    for (unsigned i = 0; i < p->class_count; i++) {
        struct pacing_class *to = &p->classes[i];

        for (unsigned j = 0; j < count; j++)
            if (strcmp(before[j].name, p->config->classes[i].name) == 0)
                *to = before[j];
        memcpy(to->name, p->config->classes[i].name, sizeof(to->name));
    }
}

static void read_devices(struct pacing *p, bool has_swap)
{
    struct swap_areas areas;
    struct swap_disks disks;

    if (!has_swap)
        p->on = false;
    if (!has_swap || swap_read_disks(p->root_fd, &areas, &disks) < 0)
        return; /* as it was */
    p->on = swap_writes_to_disk(&areas);
    p->disks = disks;
    p->zswap = swap_zswap_pool_max(p->root_fd, PERMYRIAD) > 0;
}

static bool is_counted(const struct qos_cgroup *g)
{
    return g->tier != QOS_UNSET && ((g->files | g->unread) & QOS_KNOB_BIT(QOS_SWAP_MAX));
}

static void row_add(struct pacing *p, struct qos_cgroup *g)
{
    struct pacing_row *row;

    if (p->row_count == PACING_ROWS_MAX)
        return;
    row = &p->rows[p->row_count++];
    *row = (struct pacing_row){.id = g->id,
                               .dir_fd = -1,
                               .fresh = p->seen && g->id > p->newest_id,
                               .class_index = g->class_index,
                               .bound_bytes = UINT64_MAX, /* until it is planned */
                               .value_bytes = UINT64_MAX};
    memcpy(row->path, g->path, sizeof(row->path));
}

void pacing_note_groups(struct pacing *p, bool has_swap, struct qos_cgroup *cgroups, unsigned count)
{
    read_devices(p, has_swap);
    for (unsigned i = p->row_count; i-- > 0;) {
        struct pacing_row *row = &p->rows[i];
        unsigned at = qos_find(cgroups, count, row->id);

        if (at == QOS_NONE || !is_counted(&cgroups[at])) {
            row_drop(p, i);
            continue;
        }
        row->class_index = cgroups[at].class_index;
        cgroups[at].counted = true;
    }
    for (unsigned i = 0; i < count; i++)
        if (is_counted(&cgroups[i]) && !cgroups[i].counted)
            row_add(p, &cgroups[i]);
    for (unsigned i = 0; i < p->row_count; i++) {
        struct pacing_row *row = &p->rows[i];
        struct qos_cgroup *g = &cgroups[qos_find(cgroups, count, row->id)];

        if (!is_limited(p, row)) {
            row_release(p, row);
            continue;
        }
        g->forgotten = row->forgotten =
            g->kube.kind == KUBE_NONE && unit_manages(p->root_fd, row->path, qos_knob_name(QOS_SWAP_MAX));
        if (row->dir_fd < 0 && p->held < PACING_HELD_MAX) {
            row->dir_fd = cgroup_open(p->hierarchy, row->path);
            p->held += row->dir_fd >= 0;
        }
    }
    for (unsigned i = 0; i < count; i++)
        p->newest_id = u64_max(p->newest_id, cgroups[i].id);
    p->seen = true;
}

bool pacing_has(const struct pacing *p, uint64_t cgroup_id)
{
    for (unsigned i = 0; i < p->row_count; i++)
        if (p->rows[i].id == cgroup_id)
            return p->rows[i].set;
    return false;
}

bool pacing_moves(const struct pacing *p, const struct lease *l)
{
    return qos_knob_of(l->knob) == QOS_SWAP_MAX && pacing_has(p, l->cgroup_id);
}

bool pacing_is_untold(const struct pacing *p, const struct lease *l, uint64_t value)
{
    uint64_t told;

    if (value == l->ours)
        return pacing_moves(p, l);
    return qos_knob_of(l->knob) == QOS_SWAP_MAX && qos_read_left(p->root_fd, l, &told) < 0;
}

/* ---- what they write ---- */

static int read_written(struct pacing *p, int dir_fd, struct pace_reading *in)
{
    struct memory_stat_swap m;
    int r;

    in->written_bytes = UINT64_MAX;
    if (p->no_swap_out && p->disks.known && io_stat_read_at(dir_fd, &p->disks, &in->written_bytes) == 0)
        return 0;
    r = memory_stat_swap_read_at(dir_fd, &m);
    if (r < 0)
        return r;
    p->no_swap_out = !m.has_out;
    if (m.has_out)
        in->written_bytes = u64_mul_div(m.out, PAGE_BYTES, 1);
    in->returned_bytes = u64_mul_div(u64_sub_floor(m.workingset_refault_anon, m.zswap_in), PAGE_BYTES, 1);
    in->kept_bytes = m.zswapped;
    return 0;
}

static void count_row(struct pacing *p, struct pacing_row *row, uint64_t now_usec)
{
    struct pacing_class *c = &p->classes[row->class_index];
    _cleanup_close_ int opened = row->dir_fd >= 0 ? -1 : cgroup_open(p->hierarchy, row->path);
    int fd = row->dir_fd >= 0 ? row->dir_fd : opened;
    struct pace_reading in = {.now_usec = now_usec, .zswap = p->zswap, .born = row->fresh};

    /* What cannot be told now is told the next time. */
    if (fd < 0 || file_read_u64_at(fd, "memory.swap.current", &in.charged_bytes) < 0 ||
        read_written(p, fd, &in) < 0)
        return;
    c->wrote_bytes = u64_add_cap(c->wrote_bytes, pace_note_group(&row->group, &in));
    row->fresh = false;
}

/* True where anything was swapped since the last time, be it that zswap has kept it: that takes places in
 * swap, too. */
static bool read_node(struct pacing *p)
{
    struct vmstat_swap v;
    bool same;

    if (p->vmstat_fd < 0 || vmstat_swap_pread(p->vmstat_fd, &v) < 0)
        return true;
    same = memcmp(&v, &p->node, sizeof(v)) == 0;
    p->node = v;
    return !same;
}

/* Of all groups, or of those that are paced. */
static void count(struct pacing *p, bool all, uint64_t now_usec)
{
    for (unsigned i = 0; i < p->class_count; i++) {
        p->classes[i].wrote_bytes = 0;
        p->classes[i].pace.groups = p->classes[i].pace.wanting = 0;
    }
    for (unsigned i = 0; i < p->row_count; i++) {
        struct pacing_row *row = &p->rows[i];

        if (all || row->set || row->group.seen_usec == 0)
            count_row(p, row, now_usec);
        if (!is_limited(p, row) || row->bound_bytes == 0) /* who may not swap at all has no part in it */
            continue;
        p->classes[row->class_index].pace.groups++;
        p->classes[row->class_index].pace.wanting += pace_wants(&row->group, now_usec);
    }
    for (unsigned i = 0; i < p->class_count; i++)
        pace_note_class(&p->classes[i].pace, p->config->classes[i].swap_write_limit, now_usec,
                        p->classes[i].wrote_bytes);
}

/* ---- what they may ---- */

static uint64_t swap_max(const struct pacing *p, const struct pacing_row *row)
{
    uint64_t v = pace_swap_max(&p->classes[row->class_index].pace, &row->group, p->next_usec);

    return u64_min(v / PAGE_BYTES * PAGE_BYTES, row->bound_bytes);
}

/* What somebody else has set meanwhile is for the next plan to settle; but a set-property of ours for another
 * knob makes systemd put back what it knows of, and two seconds of that are a lot. */
static void move(struct pacing *p, struct pacing_row *row, uint64_t now_usec)
{
    const char *knob = qos_knob_name(QOS_SWAP_MAX);
    const struct lease *l;
    struct knob_state state;
    uint64_t value;

    if (!row->set)
        return;
    value = swap_max(p, row);
    if (value == row->value_bytes && !row->forgotten)
        return;
    l = lease_find(p->knobs->table, row->id, knob);
    if (!l || l->drift == LEASE_YIELDED || knobs_read(p->knobs, row->path, knob, &state) < 0 ||
        state.id != row->id || !(state.ours || (row->forgotten && state.value == l->was)))
        return;
    if (knobs_apply_seen(p->knobs, row->path, knob, value, &state.value, now_usec) == 0)
        row->value_bytes = value;
}

/* The next one is due when somebody may write again, or may have written what he may. */
static void schedule(struct pacing *p, bool rests, uint64_t now_usec)
{
    uint64_t took = u64_sub_floor(clock_now_usec(), now_usec), closed = UINT64_MAX, usec;
    bool any = false;

    for (unsigned i = 0; i < p->row_count; i++) {
        const struct pacing_row *row = &p->rows[i];

        if (!row->set)
            continue;
        any = true;
        if (row->forgotten)
            closed = 0;
        closed = u64_min(closed, pace_closed_usec(&p->classes[row->class_index].pace, limit_of(p, row)));
    }
    p->next_usec = rests ? STEP_REST_USEC : u64_max(STEP_LEAST_USEC, took * STEP_SHARE);
    p->next_usec = u64_min(p->next_usec, STEP_MOST_USEC);
    usec = closed == UINT64_MAX ? STEP_MOST_USEC : u64_min(u64_max(closed, p->next_usec), STEP_MOST_USEC);
    p->due_usec = any ? now_usec + took + usec : UINT64_MAX;
}

void pacing_plan(struct pacing *p, struct qos_cgroup *cgroups, unsigned count_all, uint64_t now_usec)
{
    bool swapped = read_node(p) || p->node.out != p->planned_out_bytes;

    p->planned_out_bytes = p->node.out;
    if (p->on)
        count(p, swapped, now_usec);
    for (unsigned i = 0; i < p->row_count; i++) {
        struct pacing_row *row = &p->rows[i];
        struct qos_cgroup *g = &cgroups[qos_find(cgroups, count_all, row->id)];

        if (!p->on) { /* what goes to zram meanwhile is not counted */
            row->group = (struct pace_group){0};
            row->fresh = false;
        }
        row->bound_bytes = g->foreign[QOS_SWAP_MAX];
        if (qos_is_set(g, QOS_SWAP_MAX))
            row->bound_bytes = u64_min(row->bound_bytes, g->plan[QOS_SWAP_MAX].value);
        row->set = is_limited(p, row) && row->bound_bytes > 0 && row->group.seen_usec != 0;
        if (!row->set)
            continue;
        row->value_bytes = swap_max(p, row);
        g->plan[QOS_SWAP_MAX] = (struct qos_value){row->value_bytes, QOS_WHY_SWAP_MAX};
    }
    schedule(p, false, now_usec);
}

static bool rests(const struct pacing *p)
{
    for (unsigned i = 0; i < p->row_count; i++)
        if (p->rows[i].set &&
            !pace_is_full(&p->classes[p->rows[i].class_index].pace, limit_of(p, &p->rows[i])))
            return false;
    return true;
}

uint64_t pacing_due_usec(const struct pacing *p)
{
    return p->due_usec;
}

void pacing_step(struct pacing *p, uint64_t now_usec)
{
    bool quiet = !read_node(p) && rests(p);

    if (!quiet) {
        count(p, false, now_usec);
        for (unsigned i = 0; i < p->row_count; i++)
            move(p, &p->rows[i], now_usec);
    }
    schedule(p, quiet, now_usec);
}
