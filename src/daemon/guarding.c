#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guardian.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/notify.h"

/* The loop's side of the guardian: the beat, what it is asked for, and what it answers. */

#define STOP_USEC (5 * USEC_PER_SEC) /* as long as systemctl may take */

static void on_guardian(void *user, int fd, uint32_t events)
{
    struct daemon *d = user;
    union {
        struct message m;
        struct keeper_news news;
        struct run_answer run;
    } of;
    struct message m;
    ssize_t n = companion_receive(&d->guardian, &of, sizeof(of));

    (void)events;
    m = of.m;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        loop_remove(&d->loop, fd);
        companion_stop(&d->guardian, 0);
        isolate_end_fence(d);
        reload_on_guardian_gone(d);
        running_on_guardian_gone(d);
        report_warning(d, "%s", "the guardian has ended unexpectedly; started anew at the next calm look");
        return;
    }
    if (n == (ssize_t)sizeof(of.news) && of.news.kind == MESSAGE_KEEPER)
        keeping_note(d, &of.news.keeper);
    if (n == (ssize_t)sizeof(of.run) && of.run.kind == MESSAGE_RUN)
        running_note(d, of.run.ticket, of.run.result, of.run.path, of.run.id);
    if (n != (ssize_t)sizeof(m))
        return;
    if (m.kind == MESSAGE_FENCED)
        isolate_note_fence(d);
    else if (m.kind == MESSAGE_RELOADED)
        reload_on_answer(d, m.value, (enum reload_outcome)m.cgroup_id);
    else if (m.kind == MESSAGE_FAILED)
        report_warning(
            d, "systemctl set-property failed for %s (%s); written directly, and again after a daemon-reload",
            m.path, m.knob);
}

int guardian_map(struct daemon *d)
{
    void *page =
        mmap(NULL, sizeof(*d->guardian_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -errno;
    d->guardian_page = page;
    return 0;
}

int guardian_start(struct daemon *d)
{
    int r;

    d->guardian_options = (struct guardian_options){
        .sysroot = d->options.sysroot,
        .act = d->real_root && !d->dry_run,
        .daemon_pid = getpid(),
        .hook_fd = d->hooks.far_fd,
        .page = d->guardian_page,
        .hooks = hooks_configured(&d->config),
        .reload = d->reload.source,
        .keeper = {.sysroot = d->options.sysroot, .block = d->keeping.block},
        .keep = keeping_wanted(d) || keeping_left(d),
    };
    r = companion_start(&d->guardian, "headroomd-guard", d->hooks.far_fd, guardian_main,
                        &d->guardian_options);
    if (r < 0)
        return r;
    return loop_add(&d->loop, d->guardian.fd, EPOLLIN, on_guardian, d);
}

void guardian_beat(struct daemon *d, uint64_t now_usec)
{
    __atomic_store_n(&d->guardian_page->beat_usec, clock_monotonic_usec(), __ATOMIC_RELAXED);
    if (d->beat_timer)
        loop_timer_arm(d->beat_timer, now_usec + GUARDIAN_BEAT_USEC);
    if (now_usec < d->last_beat_usec + GUARDIAN_BEAT_USEC / 2)
        return;
    d->last_beat_usec = now_usec;
    /* A fork copies what is locked; it is done at a calm moment, and not to be had at another one anyway. */
    if (d->guardian.pid == 0 && d->room.level <= LEVEL_LOW && guardian_start(d) == 0)
        log_line(LOG_PRIO_NOTICE, "event=guardian-started");
}

void guardian_on_timer(void *user)
{
    struct daemon *d = user;
    uint64_t now = clock_now_usec();

    guardian_beat(d, now);
    /* What systemd's watchdog is told is that we look (cycle_look), not that a timer runs. Only where looks
     * are not due by the clock (Threshold=off) there may be none for hours. */
    if (!d->config.monitor.threshold)
        notify_watchdog(now);
}

bool guardian_set_property(struct daemon *d, const struct lease *l, uint64_t value)
{
    struct message m = {.kind = MESSAGE_PROPERTY, .cgroup_id = l->cgroup_id, .value = value};

    memcpy(m.path, l->path, sizeof(m.path));
    memcpy(m.knob, l->knob, sizeof(m.knob));
    return companion_send(&d->guardian, &m, sizeof(m)) == 0;
}

bool guardian_ask_reload(struct daemon *d, uint64_t sequence)
{
    struct message m = {.kind = MESSAGE_RELOAD, .value = sequence};

    return d->guardian.pid > 0 && companion_send(&d->guardian, &m, sizeof(m)) == 0;
}

bool guardian_wake_keeper(struct daemon *d)
{
    struct message m = {.kind = MESSAGE_KEEPER};

    return d->guardian.pid > 0 && companion_send(&d->guardian, &m, sizeof(m)) == 0;
}

bool guardian_run(struct daemon *d, uint64_t ticket, const struct run_order *o)
{
    struct run_message m = {.kind = MESSAGE_RUN, .ticket = ticket, .order = *o};

    return d->guardian.pid > 0 && companion_send(&d->guardian, &m, sizeof(m)) == 0;
}

bool guardian_end_run(struct daemon *d, const char *path, uint64_t id)
{
    struct message m = {.kind = MESSAGE_RUN_END, .cgroup_id = id};

    (void)snprintf(m.path, sizeof(m.path), "%s", path);
    return d->guardian.pid > 0 && companion_send(&d->guardian, &m, sizeof(m)) == 0;
}

void guardian_stop(struct daemon *d)
{
    struct message m = {.kind = MESSAGE_BYE};

    /* Without one there is nobody who puts the plan back. */
    if (d->guardian.pid == 0 && (!keeping_wanted(d) || guardian_start(d) < 0))
        return;
    (void)companion_send(&d->guardian, &m, sizeof(m));
    loop_remove(&d->loop, d->guardian.fd);
    /* It may still have properties to put back, and the keeper a plan. Our end stays open meanwhile, for what
     * it has to say. */
    companion_stop(&d->guardian, STOP_USEC);
}
