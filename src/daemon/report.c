#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "daemon/daemon.h"
#include "record/line.h"
#include "system/clock.h"
#include "system/log.h"

/* Said once, kept for `status`. */
void report_warning(struct daemon *d, const char *format, ...)
{
    char text[STATUS_WARNING_MAX];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    for (unsigned i = 0; i < d->warning_count; i++)
        if (strcmp(d->warnings[i], text) == 0)
            return;
    if (d->warning_count < STATUS_WARNINGS_MAX)
        memcpy(d->warnings[d->warning_count++], text, sizeof(text));
    log_line(LOG_PRIO_WARNING, "event=warning text=\"%s\"", text);
}

void report_decision(struct daemon *d, const struct decision *e)
{
    char storage[LOG_LINE_MAX];
    struct buffer b;

    buffer_init(&b, storage, sizeof(storage));
    record_format_line(&b, &d->config, e);
    log_line(LOG_PRIO_NOTICE, "%s", storage);
    control_notify(&d->control);
}

void report_monitor(void *user, enum monitor_kind kind, const char *message)
{
    (void)user;
    log_line(LOG_PRIO_WARNING, "event=monitor monitor=%s text=\"%s\"", monitor_kind_name(kind), message);
}

static void fill_monitors(const struct daemon *d, struct status *s)
{
    for (unsigned k = 0; k < MONITOR_KIND_COUNT; k++) {
        const struct monitor *m = &d->monitors.monitors[k];

        s->monitors[s->monitor_count++] = (struct status_monitor){
            .name = monitor_kind_name(m->kind),
            .state = monitor_state_name(m->state),
            .message = m->message,
            .fires = m->fires,
            .failures = m->failures,
        };
    }
}

void report_status(void *user, struct status *s)
{
    struct daemon *d = user;

    s->version = HEADROOM_VERSION;
    s->config_path = d->config_path;
    s->mode = d->reader.isolate ? "isolate" : "host";
    s->mode_reason = d->mode_reason;
    s->dry_run = d->dry_run;
    s->start_usec = d->start_usec;
    s->now_usec = clock_now_usec();
    s->config = &d->config;
    s->snapshot = &d->snapshot;
    s->room = &d->room;
    s->numa_room = &d->numa_room;
    s->has_look = d->has_look;
    fill_monitors(d, s);
    memcpy(s->high_wanted, d->high_wanted, sizeof(s->high_wanted));
    s->knob_drifts = d->knobs.drifts;
    s->knob_failures = d->knobs.failures;
    for (unsigned i = 0; i < lease_table_size(&d->leases); i++)
        s->leases += lease_at(&d->leases, i)->used;
    s->worker_running = d->worker.pid > 0;
    s->guardian_running = d->guardian.pid > 0;
    s->guardian_fences = d->guardian_fences;
    s->wakeups = d->loop.wakeups;
    s->looks = d->looks;
    s->looks_failed = d->looks_failed;
    s->decisions = d->ring.next_id - 1;
    s->kills = d->ring.kills;
    s->stuck = d->ring.stuck;
    s->log_dropped = log_dropped();
    s->groups_left_out = d->snapshot.groups_left_out;
    s->reclaimed_bytes = d->reclaimed_bytes;
    pausing_fill_status(d, s);
    notifying_fill_status(d, s);
    hooks_fill_status(d, s);
    keeping_fill_status(d, s);
    outlook_fill_status(d, s);
    offloading_fill_status(d, s);
    reload_fill_status(d, s);
    memcpy(s->warnings, d->warnings, sizeof(s->warnings));
    s->warning_count = d->warning_count;
}
