#include "daemon/offloading.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/daemon.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"
#include "kernel/psi.h"
#include "kernel/swap.h"
#include "kernel/vmstat.h"
#include "snapshot/handles.h"
#include "system/clock.h"
#include "system/log.h"

/* Offload: what is read of each group for its step, and what the worker is asked for. It rides on the looks
 * of the loop: no timer of its own, and no look more than there would be without it. The groups are those of
 * the last walk, one after the other; one request at a time, and the next one when the answer is there.
 *
 * The stalls of the kernel's work for it are the worker's, whose cgroup is ours: they do not count against
 * the group. What the group itself waits for afterwards does, and is what the law goes by. */

#define BUDGET_SHARE 1000 /* of the time, for what the loop does here */
#define BUDGET_MOST_USEC (60 * USEC_PER_MSEC)
#define TURN_MOST_USEC (3 * USEC_PER_MSEC) /* of the loop, at a time */
#define WORKER_SHARE 20
#define WORKER_LIMIT_USEC (50 * USEC_PER_MSEC)
#define SPREAD_USEC (800 * USEC_PER_MSEC)     /* of what a step asks for: until the next look, at most */
#define BY_HAND_LIMIT_USEC (8 * USEC_PER_SEC) /* the command line waits for ten */
#define BOUNDS_USEC (30 * USEC_PER_SEC)
#define NODE_USEC (10 * USEC_PER_SEC)
#define DUE_SLACK_USEC (100 * USEC_PER_MSEC) /* looks are not exactly a second apart */
#define SWAPPINESS_FILE_ONLY 0
#define TICKET_STOP UINT64_MAX /* of a request for nothing, for which the worker leaves what is spread */

int offloading_open(struct daemon *d)
{
    size_t bytes = d->group_max * sizeof(struct offload_row);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return -errno;
    (void)madvise(at, bytes, MADV_DONTFORK);
    d->offload.rows = at;
    return 0;
}

static bool is_offloaded(const struct class_config *c)
{
    return c->offload && c->unit == UNIT_CGROUP && c->priority < CONFIG_PRIORITY_PROTECTED;
}

static bool is_asked_for(const struct config *c)
{
    for (unsigned i = 0; i < c->class_count; i++)
        if (is_offloaded(&c->classes[i]))
            return true;
    return false;
}

static bool is_calm(const struct daemon *d, uint64_t now)
{
    return d->room.level == LEVEL_CALM && d->room.need == 0 && !d->deciding && !d->reclaiming &&
           pauser_count(&d->pauser) == 0 && now >= d->pressed_until_usec && !pausing_held(d, now);
}

/* ---- reading ---- */

static uint64_t read_or(int dir_fd, const char *name, uint64_t otherwise)
{
    uint64_t v;

    return file_read_u64_at(dir_fd, name, &v) < 0 ? otherwise : v;
}

static void read_bounds(struct offload_row *row, int dir_fd, uint64_t now)
{
    if (now < row->bounds_due_usec)
        return;
    row->bounds_due_usec = now + BOUNDS_USEC;
    /* Just before it writes the worker looks at the protection again. */
    row->protection_bytes = u64_max(read_or(dir_fd, "memory.min", 0), read_or(dir_fd, "memory.low", 0));
    row->swap_max_bytes = read_or(dir_fd, "memory.swap.max", UINT64_MAX);
    row->no_writeback = read_or(dir_fd, "memory.zswap.writeback", 1) == 0;
}

/* Whether what this group swaps counts against SwapWriteLimit. */
static bool is_budgeted(const struct daemon *d, const struct offload_row *row)
{
    return d->offload.disk_written && d->config.swap_write_limit != UINT64_MAX &&
           !(d->offload.zswap && row->no_writeback);
}

static void read_swap(struct daemon *d, struct offload_row *row, const struct group *g, int dir_fd,
                      const struct memory_stat *m, struct offload_reading *in)
{
    uint64_t used;

    row->state.swap_bytes = 0;
    if (d->snapshot.node.swap_total == 0)
        return;
    used = read_or(dir_fd, "memory.swap.current", 0);
    row->state.swap_bytes = memory_stat_only_swap(m, used);
    in->swap_room_bytes =
        row->swap_max_bytes == UINT64_MAX ? UINT64_MAX : u64_sub_floor(row->swap_max_bytes, used);
    if (g->swap_limited) /* also by what it is in */
        in->swap_room_bytes = u64_min(in->swap_room_bytes, g->swap_room);
    in->swap_room_bytes = u64_min(in->swap_room_bytes, d->snapshot.node.swap_effective);
    if (d->snapshot.isolate && g->workload_index < d->snapshot.workload_count)
        in->swap_room_bytes =
            u64_min(in->swap_room_bytes, d->snapshot.workloads[g->workload_index].swap_room);
    in->swap_pointless = d->offload.pointless;
    in->budget_bytes = is_budgeted(d, row) ? offload_bucket_may_ask(&d->offload.bucket) : UINT64_MAX;
}

static int read_group(struct daemon *d, struct offload_row *row, const struct group *g, int dir_fd,
                      struct offload_reading *in)
{
    struct memory_stat m;
    struct psi memory = {0}, io = {0};
    int r;

    *in = (struct offload_reading){.now_usec = clock_now_usec(),
                                   .file_only_possible = !d->offload.no_swappiness};
    r = file_read_u64_at(dir_fd, "memory.current", &in->current_bytes);
    if (r == 0)
        r = memory_stat_read_at(dir_fd, &m);
    if (r == 0)
        r = psi_read_at(dir_fd, "memory.pressure", &memory);
    if (r < 0)
        return r; /* without PSI nothing says when to stop */
    (void)!psi_read_at(dir_fd, "io.pressure", &io);
    read_bounds(row, dir_fd, in->now_usec);
    in->protection_bytes = row->protection_bytes;
    in->file_bytes = u64_add_cap(m.inactive_file, m.active_file);
    in->anon_bytes = u64_add_cap(m.inactive_anon, m.active_anon);
    in->memory_some_usec = memory.some.total_usec;
    in->io_some_usec = io.some.total_usec;
    in->refault_bytes =
        u64_mul_div(u64_add_cap(m.workingset_refault_anon, m.workingset_refault_file), OFFLOAD_PAGE, 1);
    in->scan_pages = m.pgscan;
    in->steal_pages = m.pgsteal;
    in->zswap_bytes = m.zswap;
    in->zswapped_bytes = m.zswapped;
    read_swap(d, row, g, dir_fd, &m, in);
    return 0;
}

/* Where what is swapped goes, and what may be written there. Everybody's writes count: they wear it out all
 * the same. */
static void read_node(struct daemon *d, uint64_t now)
{
    struct daemon_offload *o = &d->offload;
    struct swap_areas areas;
    struct vmstat v;

    if (d->snapshot.node.swap_total == 0)
        return;
    if (now >= o->node_due_usec && swap_read(d->root_fd, &areas) == 0) {
        o->node_due_usec = now + NODE_USEC;
        o->disk_swap = areas.disk_size > 0;
        o->disk_written = swap_writes_to_disk(&areas);
        o->pointless = d->snapshot.node.swap_effective == 0 && d->snapshot.node.swap_free > 0;
        o->zswap = swap_zswap_pool_max(d->root_fd, PERMYRIAD) > 0;
        o->zram_permyriad = (unsigned)PERMYRIAD;
        if (!o->disk_swap)
            o->zram_permyriad = (unsigned)u64_min(
                areas.zram_stored == 0 ? PERMYRIAD / 2
                                       : u64_mul_div(areas.zram_compressed, PERMYRIAD, areas.zram_stored),
                PERMYRIAD);
    }
    if (!o->disk_written) /* what went to zram meanwhile is not owed */
        o->bucket = (struct offload_bucket){0};
    else if (d->config.swap_write_limit != UINT64_MAX && d->reader.vmstat_fd >= 0 &&
             vmstat_pread(d->reader.vmstat_fd, &v) == 0)
        offload_bucket_fill(&o->bucket, d->config.swap_write_limit, now, v.swap_out);
}

/* ---- asking ---- */

/* By hand (a ticket) it is as fast as it can be; else it is spread, and makes way for that, too. */
static bool ask(struct daemon *d, const struct group *g, uint64_t bytes, bool file_only, uint64_t ticket)
{
    struct daemon_offload *o = &d->offload;
    struct worker_request q = {.op = WORKER_OFFLOAD,
                               .cgroup_id = g->id,
                               .value = bytes,
                               .swappiness = file_only ? SWAPPINESS_FILE_ONLY : RECLAIM_SWAPPINESS_UNSET,
                               .limit_usec = ticket != 0 ? BY_HAND_LIMIT_USEC : WORKER_LIMIT_USEC,
                               .spread_usec = ticket != 0 ? 0 : SPREAD_USEC / u64_max(o->groups, 1),
                               .rest = WORKER_SHARE,
                               .ticket = ticket};

    memcpy(q.path, g->path, sizeof(q.path));
    if (companion_send(&d->worker, &q, sizeof(q)) < 0)
        return false;
    o->requests++;
    return true;
}

static void say_step(const struct group *g, const struct offload_reading *in, const struct offload_state *s,
                     const struct offload_reading *before)
{
    log_line(LOG_PRIO_DEBUG,
             "event=offload group=%s current=%" PRIu64 " interval_usec=%" PRIu64 " memory_usec=%" PRIu64
             " io_usec=%" PRIu64 " wanted=%" PRIu64 " asked=%" PRIu64 " pending=%" PRIu64 " debt=%" PRIu64
             " why=%s",
             g->path, in->current_bytes, u64_sub_floor(in->now_usec, before->now_usec),
             u64_sub_floor(in->memory_some_usec, before->memory_some_usec),
             u64_sub_floor(in->io_some_usec, before->io_some_usec), s->wanted_bytes, s->asked_bytes,
             s->pending_bytes, s->debt_bytes, offload_why_name(s->why));
}

/* NULL: it is no group that is offloaded, or it is not its turn. */
static struct offload_row *row_due(struct daemon *d, const struct group *g, uint64_t now, int *ret_fd)
{
    struct group_handle *h;
    struct offload_row *row;

    if (g->pid != 0 || g->dying || g->frozen || !is_offloaded(&d->config.classes[g->class_index]))
        return NULL;
    h = handle_find(&d->reader, g->id, 0);
    if (!h)
        return NULL;
    row = &d->offload.rows[h - d->reader.handles];
    if (row->state.id != g->id)
        *row = (struct offload_row){.state.id = g->id};
    if (offload_due_usec(&d->config.classes[g->class_index], &row->state) > now + DUE_SLACK_USEC)
        return NULL;
    *ret_fd = h->dir_fd;
    return row;
}

static void step_one(struct daemon *d, const struct group *g, struct offload_row *row, int dir_fd)
{
    const struct class_config *class = &d->config.classes[g->class_index];
    struct offload_state *s = &row->state;
    struct offload_reading in, before = {.now_usec = s->step_usec,
                                         .memory_some_usec = s->memory_some_usec,
                                         .io_some_usec = s->io_some_usec};
    _cleanup_close_ int opened = dir_fd >= 0 ? -1 : cgroup_open(&d->hierarchy, g->path);
    struct offload_request r;

    if (read_group(d, row, g, dir_fd >= 0 ? dir_fd : opened, &in) < 0) {
        s->due_usec = clock_now_usec() + class->offload_interval_usec; /* gone, or it cannot be told */
        return;
    }
    r = offload_step(class, &in, s);
    d->offload.steps++;
    if (before.now_usec != 0)
        say_step(g, &in, s, &before);
    if (r.bytes == 0)
        return;
    d->offload.row = (unsigned)(row - d->offload.rows);
    d->offload.request_bytes = r.bytes;
    d->offload.busy = ask(d, g, r.bytes, r.file_only, 0);
    if (!d->offload.busy)
        offload_note_outcome(s, r.bytes, 0, 0, 0); /* it is due again */
    else if (!r.file_only && d->snapshot.node.swap_total > 0 && is_budgeted(d, row))
        offload_bucket_note_asked(&d->offload.bucket, r.bytes);
}

/* One group after the other, as long as there is time for it and the worker has nothing to do. */
static void go_on(struct daemon *d)
{
    struct daemon_offload *o = &d->offload;
    uint64_t begin = clock_now_usec(), now = begin, until = now + TURN_MOST_USEC, spent;

    if (o->budget_usec <= 0 || now + DUE_SLACK_USEC < o->worker_due_usec || o->ticket != 0)
        return;
    for (unsigned i = 0; i < d->snapshot.group_count && !o->busy && now < until; i++) {
        const struct group *g = &d->snapshot.groups[o->next % d->snapshot.group_count];
        struct offload_row *row;
        int dir_fd;

        o->next = (o->next + 1) % d->snapshot.group_count;
        row = row_due(d, g, now, &dir_fd);
        if (!row)
            continue;
        step_one(d, g, row, dir_fd);
        now = clock_now_usec();
    }
    spent = u64_sub_floor(clock_now_usec(), begin);
    o->budget_usec -= (int64_t)spent;
    o->spent_usec += spent;
}

static void stop_asking(struct daemon *d)
{
    struct worker_request q = {.op = WORKER_OFFLOAD, .ticket = TICKET_STOP};

    if (d->offload.busy && !d->offload.stopped)
        d->offload.stopped = companion_send(&d->worker, &q, sizeof(q)) >= 0;
}

static void back_off(struct daemon *d, enum offload_why why)
{
    uint64_t now = clock_now_usec();

    stop_asking(d);
    for (unsigned i = 0; i < d->reader.handle_max; i++)
        if (d->offload.rows[i].state.id != 0)
            offload_back_off(&d->offload.rows[i].state, now, why);
}

static unsigned offloaded_count(const struct daemon *d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->snapshot.group_count; i++)
        n += d->snapshot.groups[i].pid == 0 &&
             is_offloaded(&d->config.classes[d->snapshot.groups[i].class_index]);
    return n;
}

void offloading_step(struct daemon *d)
{
    struct daemon_offload *o = &d->offload;
    uint64_t now = clock_now_usec();
    bool calm = is_calm(d, now);

    o->on = is_asked_for(&d->config) && !d->dry_run && d->worker.pid > 0 && d->hierarchy.fd >= 0 &&
            !d->reader.processes;
    if (!o->on)
        return;
    if (!calm && o->calm)
        back_off(d, OFFLOAD_WHY_LEVEL);
    o->calm = calm;
    o->budget_usec += (int64_t)(u64_sub_floor(now, o->budget_at_usec) / BUDGET_SHARE);
    if (o->budget_usec > (int64_t)BUDGET_MOST_USEC)
        o->budget_usec = (int64_t)BUDGET_MOST_USEC;
    o->budget_at_usec = now;
    if (!calm)
        return;
    read_node(d, now);
    o->groups = offloaded_count(d);
    go_on(d);
}

void offloading_note_pressure(struct daemon *d)
{
    if (d->offload.on)
        back_off(d, OFFLOAD_WHY_MEMORY);
}

static void note_by_hand(struct daemon *d, const struct worker_reply *reply, uint64_t took)
{
    char text[CONTROL_TEXT_MAX], out[UNITS_FORMAT_MAX], asked[UNITS_FORMAT_MAX], swapped[UNITS_FORMAT_MAX];
    bool none = reply->result == 0 && reply->asked_bytes == 0; /* it is protected */
    bool some = !none && (reply->result == 0 || took > 0);

    if (some)
        (void)snprintf(text, sizeof(text), "%s of %s are out, %s of them swapped%s",
                       units_format_bytes(out, took), units_format_bytes(asked, d->offload.by_hand_bytes),
                       units_format_bytes(swapped, reply->swapped_bytes),
                       reply->result == 0            ? ""
                       : reply->result == -ETIMEDOUT ? "; it takes longer than 8 s, ask again for more"
                       : reply->result == -EINTR     ? "; something more urgent came up"
                                                     : "; there is no more to be had");
    else
        (void)snprintf(text, sizeof(text), "nothing came of it: %s",
                       none ? "memory.min or memory.low protects it" : strerror(-reply->result));
    control_answer(&d->control, reply->ticket, some ? 0 : -EIO, text, NULL);
    d->offload.ticket = 0;
}

void offloading_note(struct daemon *d, const struct worker_reply *reply)
{
    struct daemon_offload *o = &d->offload;
    struct offload_state *s = &o->rows[o->row].state;
    /* What was freed because it ended meanwhile, nobody took. */
    uint64_t took = u64_min(u64_add_cap(reply->freed_bytes, reply->zswap_bytes),
                            u64_max(reply->stolen_bytes, reply->asked_bytes));

    if (reply->ticket == TICKET_STOP)
        return;
    o->worker_usec += reply->usec;
    o->asked_bytes += reply->asked_bytes;
    o->took_bytes += took;
    o->swapped_bytes += reply->swapped_bytes;
    if (reply->ticket != 0) {
        note_by_hand(d, reply, took);
        return;
    }
    offload_bucket_note_swapped(&o->bucket, reply->swapped_bytes);
    o->worker_due_usec = clock_now_usec() + u64_sub_floor(reply->usec * WORKER_SHARE, reply->paused_usec);
    o->busy = o->stopped = false;
    if (reply->result == -EINVAL)
        o->no_swappiness = true;
    log_line(LOG_PRIO_DEBUG,
             "event=offloaded id=%" PRIu64 " asked=%" PRIu64 " of=%" PRIu64 " took=%" PRIu64
             " swapped=%" PRIu64 " usec=%" PRIu64 " result=%d",
             reply->cgroup_id, reply->asked_bytes, o->request_bytes, took, reply->swapped_bytes, reply->usec,
             reply->result);
    if (s->id == reply->cgroup_id && reply->result == 0 && reply->asked_bytes == 0)
        s->why = OFFLOAD_WHY_FLOOR; /* it is protected by now */
    else if (s->id == reply->cgroup_id)
        offload_note_outcome(s, o->request_bytes, reply->asked_bytes, took, reply->swapped_bytes);
    if (o->on && is_calm(d, clock_now_usec())) /* it has rested: the next one, before the next look */
        go_on(d);
}

/* ---- by hand ---- */

int offloading_command(struct daemon *d, const struct control_command *c, char *text, size_t size)
{
    const struct group *g = NULL;
    uint64_t ticket;

    if (d->dry_run || d->worker.pid == 0 || d->hierarchy.fd < 0) {
        (void)snprintf(text, size, "%s",
                       d->dry_run ? "this is a dry run: nothing is changed" : "the worker does not run");
        return -EOPNOTSUPP;
    }
    if (cycle_read_groups(d) < 0) {
        (void)snprintf(text, size, "the groups cannot be read now");
        return -EIO;
    }
    for (unsigned i = 0; i < d->snapshot.group_count && !g; i++)
        if (d->snapshot.groups[i].pid == 0 && strcmp(d->snapshot.groups[i].path, c->group) == 0)
            g = &d->snapshot.groups[i];
    if (!g) {
        (void)snprintf(text, size, "there is no such group; `headroom explain` names those that were seen");
        return -ENOENT;
    }
    if (d->config.classes[g->class_index].priority >= CONFIG_PRIORITY_PROTECTED) {
        (void)snprintf(text, size, "its class is protected");
        return -EPERM;
    }
    ticket = CONTROL_TICKET_OFFLOAD | (d->offload.requests + 1);
    if (d->offload.ticket != 0 || d->reclaiming || !ask(d, g, c->bytes, false, ticket)) {
        (void)snprintf(text, size, "the worker is busy");
        return -EBUSY;
    }
    if (d->snapshot.node.swap_total > 0)
        offload_bucket_note_asked(&d->offload.bucket, c->bytes);
    d->control.ticket = d->offload.ticket = ticket;
    d->offload.by_hand_bytes = c->bytes;
    return -EINPROGRESS;
}

/* ---- status ---- */

static uint64_t saved_bytes(const struct daemon *d, const struct offload_state *s)
{
    uint64_t plain = u64_sub_floor(s->swap_bytes, s->zswapped_bytes);
    uint64_t saved = u64_sub_floor(s->zswapped_bytes, s->zswap_bytes);

    if (!d->offload.disk_swap)
        plain -= u64_min(u64_mul_div(plain, d->offload.zram_permyriad, PERMYRIAD), plain);
    return u64_add_cap(saved, plain);
}

static struct status_offload row_of(const struct daemon *d, const struct group *g,
                                    const struct offload_state *s)
{
    const struct class_config *class = &d->config.classes[g->class_index];

    return (struct status_offload){
        .path = g->path,
        .class_name = class->name,
        .why = d->offload.calm ? offload_why_name(s->why) : offload_why_name(OFFLOAD_WHY_LEVEL),
        .why_text = d->offload.calm ? offload_why_text(s->why) : offload_why_text(OFFLOAD_WHY_LEVEL),
        .adaptive = class->offload_ratio_permyriad == CONFIG_OFFLOAD_ADAPTIVE,
        .resident_bytes = s->current_bytes,
        .zswapped_bytes = s->zswapped_bytes,
        .zswap_bytes = s->zswap_bytes,
        .swapped_bytes = u64_sub_floor(s->swap_bytes, s->zswapped_bytes),
        .saved_bytes = saved_bytes(d, s),
        .edge_bytes = s->edge_bytes,
        .ratio_ppm = s->ratio_ppm,
        .interval_usec = class->offload_interval_usec,
        .memory_ppm = s->memory_ppm,
        .io_ppm = s->io_ppm,
        .returned_per_sec = s->returned_per_sec,
        .asked_bytes = s->asked_total_bytes,
        .took_bytes = s->took_total_bytes,
        .returned_bytes = s->returned_total_bytes,
    };
}

/* Those that save most; the others are summed up. */
static void add_row(struct status *s, const struct status_offload *row)
{
    unsigned i = s->offload_count;

    s->offload_groups++;
    s->offload_resident_bytes = u64_add_cap(s->offload_resident_bytes, row->resident_bytes);
    s->offload_saved_bytes = u64_add_cap(s->offload_saved_bytes, row->saved_bytes);
    if (i == STATUS_OFFLOAD_MAX && s->offload[i - 1].saved_bytes >= row->saved_bytes)
        return;
    i -= i == STATUS_OFFLOAD_MAX;
    for (; i > 0 && s->offload[i - 1].saved_bytes < row->saved_bytes; i--)
        s->offload[i] = s->offload[i - 1];
    s->offload[i] = *row;
    s->offload_count += s->offload_count < STATUS_OFFLOAD_MAX;
}

void offloading_fill_status(struct daemon *d, struct status *s)
{
    s->offload_on = d->offload.on;
    s->offload_took_bytes = d->offload.took_bytes;
    s->offload_swapped_bytes = d->offload.swapped_bytes;
    s->offload_spent_usec = d->offload.spent_usec;
    s->offload_worker_usec = d->offload.worker_usec;
    for (unsigned i = 0; d->offload.on && i < d->snapshot.group_count; i++) {
        const struct group *g = &d->snapshot.groups[i];
        const struct group_handle *h = g->pid == 0 ? handle_find(&d->reader, g->id, 0) : NULL;
        const struct offload_state *state = h ? &d->offload.rows[h - d->reader.handles].state : NULL;
        struct status_offload row;

        if (!state || state->id != g->id || state->step_usec == 0 ||
            !is_offloaded(&d->config.classes[g->class_index]))
            continue;
        row = row_of(d, g, state);
        add_row(s, &row);
    }
}
