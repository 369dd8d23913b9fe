#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "action/qos.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "kernel/file.h"
#include "policy/limit.h"
#include "record/line.h"
#include "system/clock.h"
#include "system/log.h"

/* The loop's side of the keeper (keeper.h): what it is to keep, and what it tells. Nothing here waits, and
 * nothing of the shared pages is touched before there is a plan to keep. */

/* A daemon-reload sets hundreds of knobs at once: they are one event, or a few. */
#define GATHER_USEC (100 * USEC_PER_MSEC)
#define LINES_MAX 8 /* of the log, for each event */

int keeping_open(struct daemon *d)
{
    void *block =
        mmap(NULL, sizeof(*d->keeping.block), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return -errno;
    d->keeping.block = block;
    keeping_publish(d);
    return 0;
}

bool keeping_wanted(const struct daemon *d)
{
    return !d->dry_run && d->reader.isolate && keeper_is_asked_for(&d->config);
}

bool keeping_left(const struct daemon *d)
{
    char text[64];

    return !d->dry_run && d->hierarchy.fd >= 0 && file_exists_at(d->runtime_fd, JOURNAL_QOS_NAME) &&
           file_read_at(d->runtime_fd, QOS_LOCK, text, sizeof(text)) > 0 &&
           strncmp(text, QOS_LOCK_DAEMON, strlen(QOS_LOCK_DAEMON)) == 0;
}

/* Of a brake that comes down step by step, what it comes to. */
static uint64_t allocatable(struct daemon *d)
{
    uint64_t step = d->snapshot.limit_step, limit;

    d->snapshot.limit_step = 0;
    limit = limit_isolate(&d->config, &d->snapshot);
    d->snapshot.limit_step = step;
    return limit;
}

void keeping_note_limit(struct daemon *d)
{
    uint64_t *shared = &d->keeping.block->allocatable_bytes;
    bool first;

    if (!d->keeping.published || !d->has_look)
        return;
    first = *shared == 0;
    __atomic_store_n(shared, allocatable(d), __ATOMIC_RELAXED);
    if (first)
        (void)guardian_wake_keeper(d);
}

uint64_t keeping_protected_cache(const struct daemon *d)
{
    return d->keeping.published ? __atomic_load_n(&d->keeping.block->protected_cache_bytes, __ATOMIC_RELAXED)
                                : 0;
}

void keeping_publish(struct daemon *d)
{
    static char workloads[CONFIG_PATHS_MAX][CONFIG_PATH_MAX];
    bool wanted = keeping_wanted(d);

    if (!wanted && !d->keeping.published)
        return;
    for (unsigned i = 0; i < d->reader.workload_count; i++)
        memcpy(workloads[i], d->reader.workloads[i].path, sizeof(workloads[i]));
    d->keeping.published = true;
    keeping_note_limit(d);
    keeper_publish(d->keeping.block, &d->config, wanted, workloads, d->reader.workload_count);
    (void)guardian_wake_keeper(d); /* one that is started later looks for itself */
}

static void log_knobs(const struct daemon *d, uint64_t id)
{
    const struct daemon_keeping *k = &d->keeping;
    char storage[LOG_LINE_MAX];
    struct buffer b;

    for (unsigned i = 0; i < k->batch_count && i < LINES_MAX; i++) {
        buffer_init(&b, storage, sizeof(storage));
        record_format_knob(&b, &d->config, id, &k->block->batch[i]);
        log_line(LOG_PRIO_NOTICE, "%s", storage);
    }
    if (k->batch_count > LINES_MAX)
        log_line(LOG_PRIO_NOTICE, "decision=%ju action=drift more=%u", (uintmax_t)id,
                 k->batch_count - LINES_MAX);
}

static void record_batch(void *user)
{
    struct daemon *d = user;
    struct daemon_keeping *k = &d->keeping;
    uint64_t now = clock_now_usec();
    struct decision e = {
        .trigger = {.kind = TRIGGER_KNOBS, .at_usec = now, .detail = "qos"},
        .room = d->room,
        .time_usec = now,
        .wall_usec = clock_wall_usec(),
        .reason = DECISION_DRIFT,
        .groups = k->batch_count,
        .ended = true,
    };

    if (k->batch_count == 0)
        return;
    (void)record_ring_add_knobs(&d->ring, &e, k->block->batch, k->batch_count);
    record_ring_set_outcome(&d->ring, &e);
    log_knobs(d, e.id);
    k->batch_count = 0;
    control_notify(&d->control);
}

void keeping_note(struct daemon *d, const struct keeper_message *m)
{
    struct daemon_keeping *k = &d->keeping;
    struct record_knob *to;

    if (m->kind == KEEPER_SAYS) {
        report_warning(d, "%s", m->path);
        return;
    }
    if (m->kind != KEEPER_DRIFT)
        return;
    if (!k->timer)
        k->timer = loop_add_timer(&d->loop, record_batch, d);
    if (k->batch_count == KEEPER_BATCH_MAX)
        record_batch(d);
    to = &k->block->batch[k->batch_count++];
    *to = (struct record_knob){.id = m->id,
                               .found = m->found,
                               .ours = m->ours,
                               .class_index = (uint16_t)config_class_around(&d->config, m->path),
                               .done = m->done};
    (void)snprintf(to->path, sizeof(to->path), "%s", m->path);
    (void)snprintf(to->knob, sizeof(to->knob), "%s", m->knob);
    if (!k->timer)
        record_batch(d);
    else if (k->batch_count == 1)
        loop_timer_arm(k->timer, clock_now_usec() + GATHER_USEC);
}

static void fill_swap(const struct daemon *d, struct status *s)
{
    const struct keeper_block *b = d->keeping.block;

    s->swap_count = 0;
    for (unsigned i = 0; d->snapshot.node.swap_total > 0 && i < d->config.class_count; i++) {
        const struct class_config *c = &d->config.classes[i];
        struct keeper_swap swap;

        if (c->qos != QOS_UNSET && keeper_read_swap(b, i, &swap))
            s->swap[s->swap_count++] = (struct status_swap){.class_name = c->name,
                                                            .written_bytes = swap.written_bytes,
                                                            .minute_bytes = swap.minute_bytes,
                                                            .limit_bytes = c->swap_write_limit};
    }
}

void keeping_fill_status(const struct daemon *d, struct status *s)
{
    const struct keeper_counts *c;

    if (!keeping_wanted(d))
        return;
    fill_swap(d, s);
    c = &d->keeping.block->counts;
    s->qos = (struct status_qos){.kept = true,
                                 .looks = c->looks,
                                 .look_usec = c->look_usec,
                                 .groups = c->groups,
                                 .leases = c->leases,
                                 .yielded = c->yielded,
                                 .drifts = c->drifts,
                                 .failures = c->failures,
                                 .raised = c->raised};
}
