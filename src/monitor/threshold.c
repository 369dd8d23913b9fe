#include <errno.h>

#include "monitor/monitor.h"

/* The timer. When the next look is due is decided by whoever looked last, from what is left and how fast it
 * goes. */

static void on_timer(void *user)
{
    monitor_fire(user, TRIGGER_THRESHOLD, "timer");
}

int threshold_monitor_start(struct monitor *m)
{
    if (!m->threshold.timer)
        m->threshold.timer = loop_add_timer(m->loop, on_timer, m);
    return m->threshold.timer ? 0 : -ENOSPC;
}

void threshold_monitor_set_due(struct monitor *m, uint64_t due_usec)
{
    if (m->threshold.timer)
        loop_timer_arm(m->threshold.timer, m->state == MONITOR_OFF ? 0 : due_usec);
}
