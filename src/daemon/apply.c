/* Another configuration, between two looks: what points to the old one, is numbered by it or was set because
 * of it follows. What was learned of a class stays with its name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/units.h"
#include "config/show.h"
#include "daemon/daemon.h"
#include "daemon/reload.h"
#include "policy/limit.h"
#include "system/clock.h"
#include "system/log.h"

#define SWAP_BYTES 4096

/* The old one is kept where the new one was, to go back to and to compare with. */
static void swap(struct config *a, struct config *b)
{
    unsigned char part[SWAP_BYTES];
    unsigned char *x = (unsigned char *)a, *y = (unsigned char *)b;

    for (size_t done = 0, n; done < sizeof(*a); done += n) {
        n = sizeof(*a) - done < sizeof(part) ? sizeof(*a) - done : sizeof(part);
        memcpy(part, x + done, n);
        memcpy(x + done, y + done, n);
        memcpy(y + done, part, n);
    }
}

static bool same_workloads(const struct config *a, const struct config *b)
{
    return a->mode == b->mode && a->workload_auto == b->workload_auto &&
           a->workload_count == b->workload_count &&
           memcmp(a->workload, b->workload, sizeof(a->workload)) == 0;
}

/* The mode anew, with the handles of the workloads; on failure they are as they were. */
static int choose_mode(struct daemon *d, char *ret_text, size_t size)
{
    struct snapshot_reader *r = &d->reader;
    struct workload_handle before[SNAPSHOT_WORKLOADS_MAX];
    unsigned count = r->workload_count;
    char reason[sizeof(d->mode_reason)];
    bool isolate = r->isolate, processes = r->processes;
    int e;

    memcpy(reason, d->mode_reason, sizeof(reason));
    memcpy(before, r->workloads, sizeof(before));
    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        workload_handle_init(&r->workloads[i]);
    r->workload_count = 0;
    e = mode_choose(d);
    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        workload_handle_close(e < 0 ? &r->workloads[i] : &before[i]);
    if (e < 0) {
        (void)snprintf(ret_text, size,
                       "the old configuration stays in force: Mode=isolate is not possible here: %.300s",
                       d->mode_reason);
        memcpy(d->mode_reason, reason, sizeof(reason));
        memcpy(r->workloads, before, sizeof(before));
        r->workload_count = count;
        r->isolate = isolate;
        r->processes = processes;
    }
    return e;
}

/* ---- what is numbered by class ---- */

static void make_map(const struct config *before, const struct config *now,
                     uint16_t map[static CONFIG_CLASSES_MAX])
{
    for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++) {
        map[i] = RECORD_CLASS_GONE;
        for (unsigned k = 0; i < before->class_count && k < now->class_count; k++)
            if (strcmp(before->classes[i].name, now->classes[k].name) == 0)
                map[i] = (uint16_t)k;
    }
}

static void map_victims(const struct config *c, const uint16_t map[static CONFIG_CLASSES_MAX],
                        struct decision *e)
{
    for (unsigned i = 0; i < e->victim_count; i++) {
        unsigned k = map[e->victims[i].class_index];

        e->victims[i].class_index = k == RECORD_CLASS_GONE ? c->class_count - 1 : k;
    }
}

static void map_learned(struct daemon *d, const uint16_t map[static CONFIG_CLASSES_MAX])
{
    struct expect_peak peaks[CONFIG_CLASSES_MAX] = {0};
    uint64_t shmem[CONFIG_CLASSES_MAX] = {0};
    struct reclaim_state reclaim;
    unsigned *target = &d->reclaim_target.class_index;

    reclaim_state_init(&reclaim);
    reclaim.of[RECLAIM_WHOLE] = d->reclaim_state.of[RECLAIM_WHOLE];
    for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++)
        if (map[i] != RECORD_CLASS_GONE) {
            peaks[map[i]] = d->pause_state.peaks[i];
            shmem[map[i]] = d->victim_state.shmem_permyriad[i];
            reclaim.of[map[i]] = d->reclaim_state.of[i];
        }
    d->reclaim_state = reclaim;
    if (*target < CONFIG_CLASSES_MAX)
        *target = map[*target] == RECORD_CLASS_GONE ? RECLAIM_WHOLE : map[*target];
    memcpy(d->pause_state.peaks, peaks, sizeof(peaks));
    memcpy(d->victim_state.shmem_permyriad, shmem, sizeof(shmem));
}

static void map_classes(struct daemon *d, const uint16_t map[static CONFIG_CLASSES_MAX])
{
    unsigned other = d->config.class_count - 1;

    map_learned(d, map);
    notifying_map_classes(d, map);
    map_victims(&d->config, map, &d->decision);
    map_victims(&d->config, map, &d->pause_decision);
    map_victims(&d->config, map, &d->reclaim_decision);
    record_ring_map_classes(&d->ring, map);
    for (unsigned i = 0; i < d->snapshot.group_count; i++) { /* until the next walk */
        unsigned k = map[d->snapshot.groups[i].class_index];

        d->snapshot.groups[i].class_index = k == RECORD_CLASS_GONE ? other : k;
    }
    snapshot_reader_reconfigure(&d->reader, &d->snapshot);
}

/* ---- what was set ---- */

bool apply_is_in_workload(const struct daemon *d, const char *path)
{
    for (unsigned i = 0; i < d->reader.workload_count; i++)
        if (cgroup_path_is_below(path, d->reader.workloads[i].path))
            return true;
    return !d->reader.isolate;
}

static bool is_protected(const struct daemon *d, const char *path)
{
    for (unsigned i = 0; i < d->config.protect_count; i++)
        if (cgroup_path_is_below(path, d->config.protect[i]))
            return true;
    return false;
}

/* Whether a group stays paused. One that an operator has paused does, whatever its class is for. */
static bool keep_pause(void *user, const struct pause_entry *e)
{
    const struct daemon *d = user;
    const struct class_config *class = &d->config.classes[e->class_index];
    bool process = e->pid > 0;

    if (class->priority >= CONFIG_PRIORITY_PROTECTED || is_protected(d, e->path))
        return false;
    if (e->why == PAUSE_WHY_OPERATOR)
        return true;
    if (!d->reader.processes && process != (class->unit == UNIT_PROCESS))
        return false;
    return (class->actions & ACTION_BIT(ACTION_PAUSE)) && apply_is_in_workload(d, e->path);
}

/* A limit that is lower than what is used comes in over 30 s, as at a start: else the first thing that a more
 * careful configuration did would be to kill. It never lets more than there was before. */
static void step_limit(struct daemon *d, uint64_t limit_before, struct buffer *details)
{
    uint64_t margin, limit;

    d->limit_step_from = d->snapshot.limit_step = 0;
    if (!d->reader.isolate || !d->has_look || limit_before == 0)
        return;
    limit = limit_isolate(&d->config, &d->snapshot);
    margin = limit_margin(limit);
    if (limit >= limit_before || d->room.used + margin <= limit)
        return;
    d->limit_step_from = u64_min(d->room.used + margin, limit_before) - limit;
    d->limit_step_usec = clock_now_usec();
    buffer_appendf(details, "%ju bytes are used, and the new limit is %ju: it steps down over 30 s\n",
                   (uintmax_t)d->room.used, (uintmax_t)limit);
}

static void apply(struct daemon *d, uint64_t limit_before, bool domain, struct buffer *details)
{
    unsigned resumed;

    if (domain) /* growth of another domain says nothing of this one */
        memset(&d->room_state, 0, sizeof(d->room_state));
    resumed = d->dry_run ? 0 : pauser_reconfigure(&d->pauser, &d->config, keep_pause, d);
    if (resumed > 0)
        buffer_appendf(details, "%u paused groups go on: their class is not paused any more\n", resumed);
    step_limit(d, domain ? 0 : limit_before, details);
    if (domain)
        isolate_note_above_limit(d);
    memset(d->high_wanted, 0, sizeof(d->high_wanted));
    memset(d->high_since_usec, 0, sizeof(d->high_since_usec));
    isolate_drop_unwanted(d);
    keeping_publish(d);
    monitor_set_configure(&d->monitors, &d->config,
                          monitor_factory_kinds(&d->config, d->reader.isolate, d->dry_run));
    d->control.access_all = d->config.status_access_all;
    d->knobs_due_usec = d->watch_due_usec = d->decide_due_usec = d->nodes_due_usec = d->quiet_until_usec = 0;
}

int reload_apply(struct daemon *d, struct buffer *details, char *ret_text, size_t size)
{
    struct trigger t = {.kind = TRIGGER_THRESHOLD, .at_usec = clock_now_usec(), .detail = "reload"};
    struct config *next = &d->reload.block->config;
    uint64_t limit_before = d->has_look ? d->room.limit : 0;
    uint16_t map[CONFIG_CLASSES_MAX];
    unsigned kept, changed;
    bool domain;
    int r;

    kept = config_keep_fixed(&d->config, next, details);
    changed = config_diff(&d->config, next, details);
    domain = !same_workloads(&d->config, next);
    make_map(&d->config, next, map);
    swap(&d->config, next);
    r = domain ? choose_mode(d, ret_text, size) : 0;
    if (r < 0) {
        swap(&d->config, next);
        buffer_init(details, details->data, details->size); /* nothing of it has happened */
        return r;
    }
    map_classes(d, map);
    apply(d, limit_before, domain, details);
    pods_follow(d);
    (void)snprintf(ret_text, size, "%u value%s changed%s", changed, changed == 1 ? "" : "s",
                   kept > 0 ? "; some need a restart" : "");
    cycle_look(d, &t);
    return 0;
}

/* At boot the daemon is there before the work is. */
void apply_new_workloads(struct daemon *d)
{
    char text[CONTROL_TEXT_MAX] = "", ignored[64];
    struct buffer details;

    buffer_init(&details, ignored, sizeof(ignored));
    if (choose_mode(d, text, sizeof(text)) < 0) {
        report_warning(d, "%s", text);
        return;
    }
    apply(d, 0, true, &details);
    log_line(LOG_PRIO_NOTICE, "event=workload mode=%s reason=\"%s\"", d->reader.isolate ? "isolate" : "host",
             d->mode_reason);
}
