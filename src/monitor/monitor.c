#include "monitor/monitor.h"

#include <stdarg.h>
#include <string.h>

#include "system/clock.h"

const char *monitor_kind_name(enum monitor_kind k)
{
    static const char *const names[] = {"event", "pressure", "threshold"};

    return (size_t)k < ARRAY_SIZE(names) ? names[k] : "?";
}

const char *monitor_state_name(enum monitor_state s)
{
    static const char *const names[] = {"off", "running", "degraded", "failed"};

    return (size_t)s < ARRAY_SIZE(names) ? names[s] : "?";
}

void monitor_fire(struct monitor *m, enum trigger_kind kind, const char *detail)
{
    struct trigger t = {.kind = kind, .at_usec = clock_now_usec(), .detail = detail};

    m->fires++;
    m->fire(m->user, &t);
}

/* A change is reported once; the same state with the same words is no news. */
void monitor_set_state(struct monitor *m, enum monitor_state state, const char *format, ...)
{
    enum monitor_state before = m->state;
    char message[MONITOR_MESSAGE_MAX];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(message, sizeof(message), format, ap);
    va_end(ap);
    if (state == MONITOR_FAILED) /* each attempt counts, also where it is no news */
        m->failures++;
    if (m->state == state && strcmp(m->message, message) == 0)
        return;
    m->state = state;
    memcpy(m->message, message, sizeof(m->message));
    if (m->report && !(before == MONITOR_OFF && state == MONITOR_RUNNING))
        m->report(m->user, m->kind, m->message[0] ? m->message : "works");
}

unsigned monitor_factory_kinds(const struct config *c, bool isolate, bool dry_run)
{
    unsigned kinds = 0;

    if (isolate && !dry_run && c->monitor.event)
        kinds |= 1U << MONITOR_EVENT;
    if (c->monitor.pressure)
        kinds |= 1U << MONITOR_PRESSURE;
    if (c->monitor.threshold)
        kinds |= 1U << MONITOR_THRESHOLD;
    return kinds;
}

static void start(struct monitor *m, uint64_t now_usec)
{
    int r = 0;

    m->retry_due_usec = now_usec + MONITOR_RETRY_USEC;
    if (m->kind == MONITOR_EVENT)
        r = event_monitor_start(m);
    else if (m->kind == MONITOR_THRESHOLD)
        r = threshold_monitor_start(m);
    if (r < 0)
        monitor_set_state(m, MONITOR_FAILED, "the %s monitor cannot be set up: %s; tried again every 10 s",
                          monitor_kind_name(m->kind), strerror(-r));
    else
        monitor_set_state(m, MONITOR_RUNNING, "%s", "");
}

static struct psi_trigger_config trigger_of(const struct config *c)
{
    return (struct psi_trigger_config){
        .full = c->monitor.pressure_full,
        .stall_usec = c->monitor.pressure_stall_usec,
        .window_usec = c->monitor.pressure_window_usec,
    };
}

void monitor_set_init(struct monitor_set *set, struct loop *l, const struct config *c, unsigned kinds,
                      monitor_fire_fn fire, monitor_report_fn report, void *user)
{
    uint64_t now = clock_now_usec();

    memset(set, 0, sizeof(*set));
    for (unsigned k = 0; k < MONITOR_KIND_COUNT; k++) {
        struct monitor *m = &set->monitors[k];

        m->kind = (enum monitor_kind)k;
        m->loop = l;
        m->fire = fire;
        m->report = report;
        m->user = user;
        if (k == MONITOR_EVENT) {
            m->event.inotify_fd = -1;
            for (unsigned i = 0; i < MONITOR_TARGETS_MAX; i++)
                m->event.watches[i] = (struct event_watch){.wd = -1, .events_fd = -1};
        } else if (k == MONITOR_PRESSURE) {
            m->pressure.config = trigger_of(c);
            for (unsigned i = 0; i <= MONITOR_TARGETS_MAX; i++)
                m->pressure.watches[i].fd = -1;
        }
        if (kinds & 1U << k)
            start(m, now);
    }
}

void monitor_set_refresh(struct monitor_set *set, const struct monitor_target *targets, unsigned count,
                         int host_dir_fd, uint64_t now_usec)
{
    for (unsigned k = 0; k < MONITOR_KIND_COUNT; k++) {
        struct monitor *m = &set->monitors[k];

        if (m->state == MONITOR_OFF)
            continue;
        if (m->state == MONITOR_FAILED && now_usec >= m->retry_due_usec)
            start(m, now_usec);
        if (m->state == MONITOR_FAILED)
            continue;
        if (k == MONITOR_EVENT)
            event_monitor_refresh(m, targets, count);
        else if (k == MONITOR_PRESSURE)
            pressure_monitor_refresh(m, targets, count, host_dir_fd);
    }
}

static void switch_off(struct monitor *m)
{
    if (m->kind == MONITOR_EVENT)
        event_monitor_stop(m);
    else if (m->kind == MONITOR_PRESSURE)
        pressure_monitor_stop(m);
    m->state = MONITOR_OFF;
    m->message[0] = '\0';
    if (m->kind == MONITOR_THRESHOLD)
        threshold_monitor_set_due(m, 0);
}

void monitor_set_configure(struct monitor_set *set, const struct config *c, unsigned kinds)
{
    const struct psi_trigger_config trigger = trigger_of(c);

    for (unsigned k = 0; k < MONITOR_KIND_COUNT; k++) {
        struct monitor *m = &set->monitors[k];
        bool on = (kinds & 1U << k) != 0;

        if (k == MONITOR_PRESSURE &&
            (trigger.full != m->pressure.config.full || trigger.stall_usec != m->pressure.config.stall_usec ||
             trigger.window_usec != m->pressure.config.window_usec)) {
            pressure_monitor_stop(m);
            m->pressure.config = trigger;
        }
        if (!on && m->state != MONITOR_OFF)
            switch_off(m);
        else if (on && m->state == MONITOR_OFF)
            start(m, clock_now_usec());
    }
}

void monitor_set_deinit(struct monitor_set *set)
{
    event_monitor_stop(&set->monitors[MONITOR_EVENT]);
    pressure_monitor_stop(&set->monitors[MONITOR_PRESSURE]);
}
