/* What can wake the daemon. A monitor only says "look, because …"; it judges nothing, so that a false alarm
 * costs one look and a missed one is caught by the next monitor.
 *
 *   event      inotify on memory.events.local of each workload: high, max, oom have risen
 *   pressure   a PSI trigger on each workload, and on the host
 *   threshold  a timer, set by whoever looked last
 *
 * One that fails is reported, counted and tried again every MONITOR_RETRY_USEC; it never ends silently. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "kernel/memory_events.h"
#include "kernel/psi.h"
#include "model/config.h"
#include "model/decision.h"
#include "system/loop.h"

#define MONITOR_RETRY_USEC UINT64_C(10000000)
#define MONITOR_TARGETS_MAX CONFIG_PATHS_MAX
#define MONITOR_MESSAGE_MAX 192

enum monitor_kind {
    MONITOR_EVENT,
    MONITOR_PRESSURE,
    MONITOR_THRESHOLD,
    MONITOR_KIND_COUNT,
};

enum monitor_state {
    MONITOR_OFF, /* not chosen by the factory */
    MONITOR_RUNNING,
    MONITOR_DEGRADED, /* works, but not as asked for (a longer PSI window, sampling, some targets missing) */
    MONITOR_FAILED,
};

typedef void (*monitor_fire_fn)(void *user, const struct trigger *t);
typedef void (*monitor_report_fn)(void *user, enum monitor_kind kind, const char *message);

/* Where a monitor looks: a workload's directory, or the host's /proc/pressure. */
struct monitor_target {
    const char *path; /* for messages; outlives the monitor */
    int dir_fd;       /* the caller's; -1: not there now */
    uint64_t id;      /* a new id is a new cgroup: the watch is set up again */
};

struct event_watch {
    int wd;
    uint64_t id;
    int events_fd;
    struct memory_events last; /* the counters at start are the baseline */
};

struct pressure_watch {
    int fd; /* the armed trigger; -1: none */
    uint64_t id;
    struct psi_trigger_config armed;
    bool failed;
};

struct monitor {
    enum monitor_kind kind;
    enum monitor_state state;
    char message[MONITOR_MESSAGE_MAX]; /* why it is not simply running */
    uint64_t fires;
    uint64_t failures;
    uint64_t retry_due_usec;
    struct loop *loop;
    monitor_fire_fn fire;
    monitor_report_fn report;
    void *user;
    union {
        struct {
            int inotify_fd;
            struct event_watch watches[MONITOR_TARGETS_MAX];
            bool held; /* not listened to until held_until_usec */
            uint64_t held_until_usec;
        } event;
        struct {
            struct psi_trigger_config config;
            struct pressure_watch watches[MONITOR_TARGETS_MAX + 1]; /* the last one: the host */
        } pressure;
        struct {
            struct loop_timer *timer;
        } threshold;
    };
};

struct monitor_set {
    struct monitor monitors[MONITOR_KIND_COUNT]; /* by kind */
};

/* The factory: which monitors a configuration and a mode ask for (DESIGN, "Monitors, modes, limits").
 * isolate: event, threshold and pressure; host: threshold and pressure of the host; each unless it is
 * switched off. In dry-run nothing sets memory.high, so there is no event to wait for, and the timer and PSI
 * stand in. */
unsigned monitor_factory_kinds(const struct config *c, bool isolate, bool dry_run); /* bits 1 << kind */

/* Sets up the chosen ones. What cannot be set up is reported and tried again; the daemon runs on with the
 * others. */
void monitor_set_init(struct monitor_set *set, struct loop *l, const struct config *c, unsigned kinds,
                      monitor_fire_fn fire, monitor_report_fn report, void *user);
/* Called at every slow tick and whenever a target has come or gone: watches what is new, lets go what is
 * gone, tries again what failed. `host_dir_fd`: a directory that holds pressure/memory ("/proc"), or -1. */
void monitor_set_refresh(struct monitor_set *set, const struct monitor_target *targets, unsigned count,
                         int host_dir_fd, uint64_t now_usec);
/* Another configuration: monitors are switched on and off, and a trigger of other numbers is armed by the
 * next refresh. What stays as it was is not touched. */
void monitor_set_configure(struct monitor_set *set, const struct config *c, unsigned kinds);
void monitor_set_deinit(struct monitor_set *set);

const char *monitor_kind_name(enum monitor_kind k);
const char *monitor_state_name(enum monitor_state s);

/* Used by the monitors themselves. */
void monitor_fire(struct monitor *m, enum trigger_kind kind, const char *detail);
void monitor_set_state(struct monitor *m, enum monitor_state state, const char *format, ...) _printf_(3, 4);

int event_monitor_start(struct monitor *m) _nodiscard_;
void event_monitor_refresh(struct monitor *m, const struct monitor_target *targets, unsigned count);
void event_monitor_stop(struct monitor *m);
/* After an event that brought no decision (page cache at the limit: 60 events a second), events are not
 * listened to until then; counters that rose meanwhile are seen at its end. */
void event_monitor_hold(struct monitor *m, uint64_t until_usec);
/* What came meanwhile, now rather than with a wake-up of its own. It may fire. */
void event_monitor_poll(struct monitor *m);

void pressure_monitor_refresh(struct monitor *m, const struct monitor_target *targets, unsigned count,
                              int host_dir_fd);
void pressure_monitor_stop(struct monitor *m);

int threshold_monitor_start(struct monitor *m) _nodiscard_;
void threshold_monitor_set_due(struct monitor *m, uint64_t due_usec);
