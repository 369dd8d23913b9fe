#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "action/pause.h"
#include "action/unit.h"
#include "base/units.h"
#include "daemon/daemon.h"
#include "daemon/guardian.h"
#include "kernel/file.h"
#include "policy/limit.h"
#include "system/clock.h"
#include "system/log.h"

/* The knobs of isolation: memory.high of each workload is the brake, memory.low of the protected keeps the
 * kernel's reclaim off them. All are leases (action/knobs), looked at again every 2 s, because a
 * daemon-reload of systemd's or an operator may have set them anew. */

#define REFRESH_USEC (2 * USEC_PER_SEC)
/* For so long a brake that has to come down stays at what is there, while the rest is pushed out ahead of it
 * (lowered_gently): two refreshes, and several requests to the worker. What has not come down by then does
 * not, as fast as the domain grows, and a limit that is not kept is none. */
#define GENTLE_USEC (4 * USEC_PER_SEC)
/* Meanwhile it follows what is there step by step; and no brake follows a limit that rises more often than
 * that: each step is a write, and of a unit's a call of systemctl. */
#define GENTLE_LOOK_USEC (200 * USEC_PER_MSEC)
#define STEP_DOWN_USEC (30 * USEC_PER_SEC)
/* With several workloads each one's memory.high follows what the others use; smaller moves are not worth a
 * write. */
#define HIGH_MOVE_SHARE 64

#define FENCE_USEC (3 * USEC_PER_SEC) /* the guardian's writes wait for the kernel */
#define PENDING_MAX 32 /* of isolation: a knob of each workload, and of each that is protected */

static const char *const high_knob = "memory.high", *const low_knob = "memory.low";

static bool is_odd(uint64_t sequence)
{
    return (sequence & 1) != 0;
}

static uint64_t fence_sequence(const struct daemon *d)
{
    return __atomic_load_n(&d->guardian_page->fence_sequence, __ATOMIC_SEQ_CST);
}

static int write_knob(void *user, const struct lease *l, uint64_t value, bool lowers)
{
    struct daemon *d = user;
    struct worker_request q = {
        .op = WORKER_WRITE, .cgroup_id = l->cgroup_id, .value = value, .fence_sequence = d->fence_sequence};
    int r;

    if (fence_sequence(d) != d->fence_sequence)
        return -ECANCELED; /* the guardian is at it, or was: after the next look */
    if (d->real_root && unit_manages(d->root_fd, l->path, l->knob) && guardian_set_property(d, l, value))
        return 1;
    if (!lowers)
        return 0;
    memcpy(q.path, l->path, sizeof(q.path));
    memcpy(q.knob, l->knob, sizeof(q.knob));
    r = companion_send(&d->worker, &q, sizeof(q));
    return r < 0 ? r : 1;
}

/* What isolation sets, and pauses that the configuration still allows, in any mode; anything else in the
 * journal (a fence) is put back. */
static bool is_wanted(void *user, const struct lease *l)
{
    const struct daemon *d = user;

    if (lease_is_pause(l))
        return pauser_wants(&d->config, l);
    if (!d->reader.isolate)
        return false;
    if (strcmp(l->knob, high_knob) == 0)
        for (unsigned i = 0; i < d->reader.workload_count; i++)
            if (strcmp(l->path, d->reader.workloads[i].path) == 0)
                return true;
    if (strcmp(l->knob, low_knob) == 0)
        for (unsigned i = 0; i < d->config.protect_count; i++)
            if (strcmp(l->path, d->config.protect[i]) == 0)
                return true;
    return false;
}

/* No new line gets into the journal (a full file system), so nothing can be taken on; but what an earlier
 * daemon has left is not to stay so, least of all what it has paused. */
static void restore_unwritten(struct daemon *d)
{
    unsigned restored, left, failed;

    if (journal_open_existing(&d->journal, JOURNAL_NAME, d->root_fd, d->runtime_fd, &d->leases) < 0)
        return;
    restored = knobs_restore_all(&d->knobs, &left, &failed);
    journal_close(&d->journal);
    if (restored + failed > 0)
        log_line(LOG_PRIO_NOTICE, "event=journal adopted=0 restored=%u failed=%u", restored, failed);
}

int isolate_open(struct daemon *d)
{
    unsigned adopted, restored;
    int r;

    d->knobs = (struct knobs){
        .hierarchy = &d->hierarchy,
        .journal = &d->journal,
        .table = &d->leases,
        .write = write_knob,
        .user = d,
        .root_fd = d->root_fd,
        .signals = d->real_root,
        .dry_run = d->dry_run,
    };
    if (d->dry_run)
        return 0;
    r = journal_open(&d->journal, d->root_fd, d->runtime_fd, &d->leases);
    if (r < 0) {
        restore_unwritten(d);
        return r;
    }
    d->knobs_open = true;
    /* Where there is no hierarchy, processes may have been stopped by pid. */
    knobs_adopt(&d->knobs, is_wanted, d, &adopted, &restored);
    if (adopted + restored > 0)
        log_line(LOG_PRIO_NOTICE, "event=journal adopted=%u restored=%u", adopted, restored);
    return 0;
}

void isolate_note_foreign(struct daemon *d)
{
    d->snapshot.protected_cache = keeping_protected_cache(d);
    for (unsigned i = 0; i < d->snapshot.workload_count; i++) {
        struct workload *w = &d->snapshot.workloads[i];
        const struct lease *l = w->id ? lease_find(&d->leases, w->id, high_knob) : NULL;

        if (l &&
            (w->high == l->ours || w->high == l->ours_before || d->snapshot.now_usec < l->pending_until_usec))
            w->foreign_high = u64_min(l->was, d->reader.workloads[i].ancestors_high);
    }
    if (d->limit_step_from > 0) {
        uint64_t elapsed = u64_sub_floor(d->snapshot.now_usec, d->limit_step_usec);

        if (elapsed >= STEP_DOWN_USEC)
            d->limit_step_from = 0;
        else
            d->snapshot.limit_step =
                u64_mul_div(d->limit_step_from, STEP_DOWN_USEC - elapsed, STEP_DOWN_USEC) / 4096 * 4096;
    }
}

void isolate_note_above_limit(struct daemon *d)
{
    d->limit_step_usec = clock_now_usec();
    if (snapshot_read_node(&d->reader, d->limit_step_usec, &d->snapshot) < 0)
        return;
    isolate_note_foreign(d);
    room_evaluate(&d->config, &d->snapshot, &d->room_state, &d->room);
    if (d->reader.isolate && d->room.used > d->room.limit) {
        d->limit_step_from = d->room.used - d->room.limit + d->room.margin;
        report_warning(
            d, "the workload uses %ju bytes at start, over its limit of %ju: the limit steps down over 30 s",
            (uintmax_t)d->room.used, (uintmax_t)d->room.limit);
    }
}

/* Where `value` was just read in the file, and is ours and wanted, there is nothing to be done. */
static bool stands(struct daemon *d, uint64_t id, const char *knob, uint64_t value, uint64_t wanted)
{
    const struct lease *l = value == wanted ? lease_find(&d->leases, id, knob) : NULL;

    return l && l->ours == wanted && l->pending_until_usec == 0;
}

/* A limit that shrinks below what is there (zram's pool grows): written at once, the write would have to
 * reclaim all of the difference in the worker, which then pushes nothing out ahead of the brake, and who is
 * over it is put to sleep. So the brake stays at what is there while that is pushed out, for a while. */
static uint64_t lowered_gently(struct daemon *d, unsigned i, uint64_t wanted)
{
    const struct workload *w = &d->snapshot.workloads[i];
    uint64_t now = d->snapshot.now_usec, there = u64_min(w->firm / 4096 * 4096, w->high);
    const struct lease *l = lease_find(&d->leases, w->id, high_knob);

    /* What was handed over to be written is still on its way. */
    if (there > wanted && d->high_since_usec[i] != 0 && now < d->high_since_usec[i] + GENTLE_USEC && l &&
        now < l->pending_until_usec)
        return d->high_wanted[i];
    if (w->high != d->high_wanted[i] || there <= wanted || d->worker.pid == 0 ||
        u64_min(w->swap_room, d->room.swap_left) < there - wanted) {
        d->high_since_usec[i] = 0;
        return wanted;
    }
    if (d->high_since_usec[i] == 0)
        d->high_since_usec[i] = now;
    if (now - d->high_since_usec[i] >= GENTLE_USEC)
        return wanted;
    d->knobs_due_usec = u64_min(d->knobs_due_usec, now + GENTLE_LOOK_USEC);
    return there;
}

/* Where the brake belongs by the limit as it is now. A brake that nobody acts upon throttles for ever. */
static uint64_t high_of(const struct daemon *d, unsigned i)
{
    return pausing_held(d, clock_now_usec())
               ? d->snapshot.workloads[i].foreign_high
               : u64_add_cap(limit_workload_high(&d->config, &d->snapshot, i), d->allowance_bytes);
}

static void apply_high(struct daemon *d, unsigned i)
{
    const struct workload *w = &d->snapshot.workloads[i];
    uint64_t wanted = high_of(d, i), before = d->high_wanted[i];
    int r;

    if (w->id == 0)
        return;
    /* While it stands where we put it, small moves are left. */
    if (d->snapshot.workload_count > 1 && w->high == before && before != 0 &&
        (wanted > before ? wanted - before : before - wanted) < wanted / HIGH_MOVE_SHARE)
        wanted = before;
    wanted = lowered_gently(d, i, wanted);
    d->high_wanted[i] = wanted;
    if (stands(d, w->id, high_knob, w->high, wanted))
        return;
    r = knobs_apply(&d->knobs, w->path, high_knob, wanted, d->snapshot.now_usec);
    if (r < 0 && r != -ENOENT && r != -ENODEV)
        report_warning(d, "%s/%s cannot be set: %s; the timer and PSI guard it without a brake", w->path,
                       high_knob, strerror(-r));
}

void isolate_allow(struct daemon *d, uint64_t bytes)
{
    bytes = u64_min(bytes, d->snapshot.node.available / 2) / 4096 * 4096;
    if (bytes == d->allowance_bytes)
        return;
    d->allowance_bytes = bytes;
    isolate_refresh(d, true);
}

bool isolate_stands(struct daemon *d)
{
    if (!d->reader.isolate || d->dry_run || !d->knobs_open)
        return true;
    for (unsigned i = 0; i < d->snapshot.workload_count; i++) {
        struct knob_state s;

        if (d->snapshot.workloads[i].id == 0 || d->high_wanted[i] == 0)
            continue;
        if (knobs_read(&d->knobs, d->snapshot.workloads[i].path, high_knob, &s) == 0 &&
            s.value > d->high_wanted[i])
            return false;
    }
    return true;
}

static void apply_low(struct daemon *d, const char *path)
{
    uint64_t reserve = limit_system_reserve(&d->config, d->snapshot.node.total) / 4096 * 4096;
    struct knob_state s;
    int r = knobs_read(&d->knobs, path, low_knob, &s);

    if (r == 0 && s.foreign < reserve && !stands(d, s.id, low_knob, s.value, reserve))
        r = knobs_apply(&d->knobs, path, low_knob, reserve, d->snapshot.now_usec);
    if (r < 0 && r != -ENOENT && r != -ENODEV)
        report_warning(d, "%s/%s cannot be set: %s; it is not protected from reclaim", path, low_knob,
                       strerror(-r));
}

static bool is_on_its_way(struct daemon *d, const struct lease *l, uint64_t now_usec)
{
    struct knob_state s;

    return now_usec < l->pending_until_usec && knobs_read(&d->knobs, l->path, l->knob, &s) == 0 &&
           s.id == l->cgroup_id && s.value != l->ours;
}

/* A value that was handed over to be written (the worker, systemctl) may come yet, and would stay if its
 * lease were forgotten before: those are tried again. */
void isolate_drop_unwanted(struct daemon *d)
{
    uint64_t now = clock_now_usec();
    struct lease *l = NULL;

    d->knobs_unwanted = false;
    while (d->knobs_open && (l = lease_next(&d->leases, l))) {
        if (lease_is_pause(l) || is_wanted(d, l))
            continue;
        if (is_on_its_way(d, l, now) || knobs_restore(&d->knobs, l) < 0)
            d->knobs_unwanted = true;
    }
}

/* The limit has risen (zram's pool shrinks) by so much that a brake that stands where it was is in the way.
 * One that is lowered is not to follow each look: whoever is at it would be put to sleep again and again. */
static bool lags(const struct daemon *d)
{
    uint64_t margin = limit_margin(d->room.limit);

    for (unsigned i = 0; i < d->snapshot.workload_count; i++) {
        const struct workload *w = &d->snapshot.workloads[i];

        if (w->id != 0 && w->high == d->high_wanted[i] && u64_sub_floor(high_of(d, i), w->high) > margin)
            return true;
    }
    return false;
}

void isolate_refresh(struct daemon *d, bool force)
{
    uint64_t now = d->snapshot.now_usec;

    if (d->knobs_unwanted)
        isolate_drop_unwanted(d);
    if (!d->reader.isolate || d->dry_run || !d->knobs_open || fence_sequence(d) != d->fence_sequence ||
        (!force && now < d->knobs_due_usec && (now < d->knobs_least_usec || !lags(d))))
        return;
    d->knobs_least_usec = now + GENTLE_LOOK_USEC;
    d->knobs_due_usec = now + REFRESH_USEC;
    for (unsigned i = 0; i < d->snapshot.workload_count; i++)
        apply_high(d, i);
    for (unsigned i = 0; i < d->config.protect_count; i++)
        apply_low(d, d->config.protect[i]);
    keeping_note_limit(d);
}

/* The guardian has put the brake away while we stood still: what it wrote is in the journal. */
static void after_fence(struct daemon *d)
{
    struct knobs_pending pending[PENDING_MAX];
    unsigned adopted, restored, n;

    d->guardian_fences++;
    if (!d->knobs_open)
        return;
    n = knobs_get_pending(&d->knobs, d->snapshot.now_usec, pending, PENDING_MAX);
    journal_close(&d->journal);
    if (journal_open(&d->journal, d->root_fd, d->runtime_fd, &d->leases) < 0) {
        report_warning(d, "%s", "the journal cannot be read after a fence; knobs are left as they are");
        d->knobs_open = false;
        return;
    }
    knobs_set_pending(&d->knobs, pending, n);
    knobs_adopt(&d->knobs, is_wanted, d, &adopted, &restored);
    (void)pauser_reload(&d->pauser);
    log_line(LOG_PRIO_WARNING, "event=fence-lifted adopted=%u restored=%u", adopted, restored);
    d->knobs_due_usec = 0;
}

/* Before a look, which would take the fence for a limit of somebody else's, and by the guardian's word. Not
 * while it is at it: it writes the journal, and we would put another one in its place. */
void isolate_note_fence(struct daemon *d)
{
    uint64_t sequence = fence_sequence(d);

    if (sequence == d->fence_sequence || is_odd(sequence))
        return;
    d->fence_sequence = sequence;
    after_fence(d);
}

void isolate_await_fence(struct daemon *d)
{
    uint64_t until = clock_now_usec() + FENCE_USEC;

    while (is_odd(fence_sequence(d)) && clock_now_usec() < until)
        (void)usleep(10000);
    isolate_note_fence(d);
}

void isolate_end_fence(struct daemon *d)
{
    uint64_t sequence = fence_sequence(d);

    if (is_odd(sequence))
        __atomic_store_n(&d->guardian_page->fence_sequence, sequence + 1, __ATOMIC_SEQ_CST);
}

/* It is not on its way any more. */
void isolate_note_canceled(struct daemon *d, uint64_t cgroup_id, const char *knob)
{
    struct lease *l = lease_find(&d->leases, cgroup_id, knob);

    if (l && l->pending_until_usec != 0)
        l->pending_until_usec = 1;
    d->knobs_due_usec = 0;
}

void isolate_close(struct daemon *d)
{
    unsigned restored, left, failed;

    if (!d->knobs_open)
        return;
    restored = knobs_restore_all(&d->knobs, &left, &failed);
    if (restored + left + failed > 0)
        log_line(failed ? LOG_PRIO_ERROR : LOG_PRIO_NOTICE,
                 "event=knobs-restored restored=%u left=%u failed=%u", restored, left, failed);
    journal_close(&d->journal);
    d->knobs_open = false;
}
