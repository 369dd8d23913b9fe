#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "monitor/monitor.h"
#include "system/clock.h"

/* PSI triggers: on each workload, and on the host in every mode. One event a window at the most, so whoever
 * is woken goes on sampling by the timer until it is calm. A trigger of a removed cgroup reports EPOLLERR for
 * ever: it is closed at once. Where the kernel takes no trigger at all, the timer samples `total` (the
 * snapshot reads it anyway). */

static void trigger_drop(struct monitor *m, struct pressure_watch *w)
{
    loop_remove(m->loop, w->fd);
    close_fdp(&w->fd);
    w->id = 0;
}

static void on_pressure(void *user, int fd, uint32_t events)
{
    struct monitor *m = user;

    if (events & EPOLLERR) {
        for (unsigned i = 0; i <= MONITOR_TARGETS_MAX; i++)
            if (m->pressure.watches[i].fd == fd)
                trigger_drop(m, &m->pressure.watches[i]);
        return;
    }
    if (events & EPOLLPRI)
        monitor_fire(m, TRIGGER_PRESSURE, m->pressure.config.full ? "full" : "some");
}

static int trigger_add(struct monitor *m, struct pressure_watch *w, int dir_fd, const char *name, uint64_t id)
{
    int fd, r;

    fd = psi_trigger_open(dir_fd, name, &m->pressure.config, &w->armed);
    w->id = id;
    w->failed = fd < 0;
    if (fd < 0)
        return fd;
    r = loop_add(m->loop, fd, EPOLLPRI, on_pressure, m);
    if (r < 0) {
        (void)close(fd);
        w->failed = true;
        return r;
    }
    w->fd = fd;
    return 0;
}

void pressure_monitor_refresh(struct monitor *m, const struct monitor_target *targets, unsigned count,
                              int host_dir_fd)
{
    uint64_t now = clock_now_usec(), window = m->pressure.config.window_usec;
    bool retry = now >= m->retry_due_usec;
    const char *missing = NULL;
    int error = 0;

    if (retry)
        m->retry_due_usec = now + MONITOR_RETRY_USEC;
    for (unsigned i = 0; i <= MONITOR_TARGETS_MAX; i++) {
        struct pressure_watch *w = &m->pressure.watches[i];
        bool host = i == MONITOR_TARGETS_MAX;
        int dir_fd = host ? host_dir_fd : i < count ? targets[i].dir_fd : -1;
        uint64_t id = host ? 1 : i < count ? targets[i].id : 0;
        int r;

        if (w->fd >= 0 && (dir_fd < 0 || w->id != id))
            trigger_drop(m, w);
        w->failed = w->failed && dir_fd >= 0 && w->id == id; /* another cgroup is tried at once */
        if (dir_fd >= 0 && w->fd < 0 && (!w->failed || retry)) {
            r = trigger_add(m, w, dir_fd, host ? "pressure/memory" : "memory.pressure", id);
            if (r < 0)
                error = r;
        }
        if (dir_fd >= 0 && w->failed)
            missing = host ? "the host" : targets[i].path;
        if (w->fd >= 0)
            window = w->armed.window_usec > window ? w->armed.window_usec : window;
    }
    if (missing && error != 0)
        monitor_set_state(m, MONITOR_DEGRADED,
                          "%s: the kernel takes no PSI trigger (%s); its totals are sampled by the timer",
                          missing, strerror(-error));
    else if (!missing && window != m->pressure.config.window_usec)
        monitor_set_state(
            m, MONITOR_DEGRADED,
            "the kernel took a window of %ju ms instead of %ju ms (shorter ones need CAP_SYS_RESOURCE)",
            (uintmax_t)window / 1000, (uintmax_t)m->pressure.config.window_usec / 1000);
    else if (!missing)
        monitor_set_state(m, MONITOR_RUNNING, "%s", "");
}

void pressure_monitor_stop(struct monitor *m)
{
    if (m->state == MONITOR_OFF)
        return;
    for (unsigned i = 0; i <= MONITOR_TARGETS_MAX; i++) {
        trigger_drop(m, &m->pressure.watches[i]);
        m->pressure.watches[i].failed = false;
    }
}
