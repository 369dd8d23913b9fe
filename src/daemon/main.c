#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/units.h"
#include "daemon/daemon.h"
#include "daemon/guardian.h"
#include "daemon/options.h"
#include "kernel/file.h"
#include "kernel/oom_score.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/notify.h"

/* Start, in an order that matters: read the configuration, see what is possible, take the lock, fork the
 * companions (before memory is locked: a fork copies locked pages), adopt what an earlier daemon left, then
 * lock memory and run. Stop, the other way round: knobs back first, so that nothing stays throttled. */

#define LOCK_WAIT_USEC (10 * USEC_PER_SEC)
#define SETTLE_USEC (2 * USEC_PER_SEC)

static struct daemon the_daemon;

/* One daemon a node. A guardian that raises its fence, or a predecessor that is on its way out, holds the
 * lock for a moment: that is waited for. */
static int take_lock(struct daemon *d)
{
    uint64_t until = clock_now_usec() + LOCK_WAIT_USEC;
    char text[32];
    int n;

    if ((mkdirat(d->root_fd, "run", 0755) < 0 && errno != EEXIST) ||
        (mkdirat(d->root_fd, DAEMON_RUNTIME_DIR, 0755) < 0 && errno != EEXIST))
        return -errno;
    d->runtime_fd = file_open_dir(d->root_fd, DAEMON_RUNTIME_DIR);
    if (d->runtime_fd < 0)
        return d->runtime_fd;
    d->lock_fd = openat(d->runtime_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (d->lock_fd < 0)
        return -errno;
    while (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || clock_now_usec() >= until)
            return -errno;
        (void)usleep(50000);
    }
    n = snprintf(text, sizeof(text), "%d%s\n", (int)getpid(), d->dry_run ? " " LOCK_DRY_RUN : "");
    (void)ftruncate(d->lock_fd, 0);
    (void)!pwrite(d->lock_fd, text, (size_t)n, 0);
    return 0;
}

static void on_signal(void *user, int fd, uint32_t events)
{
    struct daemon *d = user;
    struct signalfd_siginfo info;

    (void)events;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            char text[CONTROL_TEXT_MAX];

            if (!reload_request(d, text, sizeof(text)))
                log_line(LOG_PRIO_ERROR, "event=reload result=refused text=\"%s\"", text);
            continue;
        }
        if (info.ssi_signo == SIGCHLD) {
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ; /* a companion; that it is gone is seen on its socket */
            continue;
        }
        log_line(LOG_PRIO_NOTICE, "event=stop signal=%u", info.ssi_signo);
        loop_stop(&d->loop);
    }
}

static int open_signals(struct daemon *d)
{
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        (void)sigaddset(&set, wanted[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (d->signal_fd < 0)
        return -errno;
    return loop_add(&d->loop, d->signal_fd, EPOLLIN, on_signal, d);
}

static void on_worker(void *user, int fd, uint32_t events)
{
    struct daemon *d = user;
    struct worker_reply reply;
    ssize_t n = companion_receive(&d->worker, &reply, sizeof(reply));

    (void)events;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        loop_remove(&d->loop, fd);
        companion_stop(&d->worker, 0);
        report_warning(
            d, "%s", "the worker has ended unexpectedly; limits are not lowered any more, restart headroomd");
        return;
    }
    if (n == (ssize_t)sizeof(reply) && reply.op == WORKER_RECLAIM)
        reclaiming_note(d, &reply);
    if (n == (ssize_t)sizeof(reply) && reply.op == WORKER_OFFLOAD)
        offloading_note(d, &reply);
    if (n == (ssize_t)sizeof(reply) && reply.op == WORKER_WRITE && reply.result == -ECANCELED)
        isolate_note_canceled(d, reply.cgroup_id, reply.knob);
    else if (n == (ssize_t)sizeof(reply) && reply.op == WORKER_WRITE && reply.result < 0 &&
             reply.result != -ENOENT)
        report_warning(d, "%s could not be written: %s", reply.knob, strerror(-reply.result));
}

static int start_companions(struct daemon *d)
{
    int r;

    r = guardian_map(d);
    if (r < 0)
        return r;
    d->worker_options = (struct worker_options){.sysroot = d->options.sysroot,
                                                .signals = d->real_root && !d->dry_run,
                                                .fence_sequence = &d->guardian_page->fence_sequence};
    r = companion_start(&d->worker, "headroomd-work", -1, worker_main, &d->worker_options);
    if (r == 0)
        r = loop_add(&d->loop, d->worker.fd, EPOLLIN, on_worker, d);
    if (r == 0)
        r = hooks_open(d);
    if (r == 0)
        r = reload_init(d);
    if (r == 0)
        r = keeping_open(d);
    if (r == 0)
        r = guardian_start(d);
    return r;
}

/* What makes us hard to starve. None of it is worth refusing to start for; each that fails is said. */
static void harden(struct daemon *d)
{
    rlim_t wanted = d->group_max + DAEMON_DESCRIPTORS + d->config.max_clients;
    struct rlimit files = {.rlim_cur = wanted, .rlim_max = wanted};
    int r;

    if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* groups for which there is none are opened at each walk */
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (!d->real_root || d->dry_run)
        return;
    (void)setpriority(PRIO_PROCESS, 0, -20);
    r = oom_score_write_adj(d->root_fd, getpid(), -1000);
    if (r < 0)
        report_warning(d, "oom_score_adj cannot be lowered: %s; the kernel may kill headroomd (run as root)",
                       strerror(-r));
}

static int prepare(struct daemon *d)
{
    int r;

    d->root_fd = open(d->options.sysroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->root_fd < 0) {
        log_line(LOG_PRIO_ERROR, "error: %s: %s", d->options.sysroot, strerror(errno));
        return DAEMON_EXIT_PREREQUISITE;
    }
    d->proc_fd = file_open_dir(d->root_fd, "proc");
    if (hierarchy_open(d->root_fd, &d->hierarchy) < 0)
        d->hierarchy.fd = -1;
    r = storage_open(d);
    if (r < 0) {
        log_line(LOG_PRIO_ERROR, "error: no memory for MaxGroups=%u: %s", d->config.max_groups, strerror(-r));
        return DAEMON_EXIT_PREREQUISITE;
    }
    r = snapshot_reader_init(&d->reader, d->root_fd, &d->hierarchy, &d->config, d->handles, d->group_max);
    if (r < 0) {
        log_line(LOG_PRIO_ERROR, "error: /proc/meminfo cannot be read: %s (is /proc mounted?)", strerror(-r));
        return DAEMON_EXIT_PREREQUISITE;
    }
    snapshot_reader_watch(&d->reader, d->watches, SNAPSHOT_WATCHES_OF(d->group_max));
    d->snapshot.groups = d->groups;
    d->snapshot.group_max = d->reader.handle_max;
    r = mode_choose(d);
    if (r < 0) {
        log_line(LOG_PRIO_ERROR, "error: Mode=isolate is not possible here: %s", d->mode_reason);
        return DAEMON_EXIT_PREREQUISITE;
    }
    return DAEMON_EXIT_OK;
}

static void warn_of_gaps(struct daemon *d)
{
    struct cgroup_events events;

    if (d->reader.pressure_fd < 0)
        report_warning(d, "%s",
                       "there is no /proc/pressure/memory (boot with psi=1): pressure is not seen, the timer "
                       "and memory.events are");
    for (unsigned i = 0; d->reader.isolate && i < d->reader.workload_count; i++)
        if (d->reader.workloads[i].id != 0 &&
            cgroup_read_events(d->reader.workloads[i].dir_fd, &events) == 0 && !events.populated)
            report_warning(d, "the workload %s is empty: nothing to guard yet", d->reader.workloads[i].path);
    if (d->reader.processes)
        report_warning(d, "%s",
                       "host mode without cgroups: single processes are killed, least progress first");
}

static int start(struct daemon *d)
{
    int r = take_lock(d);

    if (r == -EWOULDBLOCK) {
        char pid[32] = "?";

        (void)!pread(d->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[strcspn(pid, "\n")] = 0;
        log_line(LOG_PRIO_ERROR, "error: another headroomd runs (pid %s holds %s%s/lock); stop it first", pid,
                 d->real_root ? "/" : d->options.sysroot, DAEMON_RUNTIME_DIR);
        return DAEMON_EXIT_RUNNING;
    }
    if (r < 0) {
        log_line(LOG_PRIO_ERROR, "error: %s cannot be used: %s", DAEMON_RUNTIME_DIR, strerror(-r));
        return DAEMON_EXIT_PREREQUISITE;
    }
    harden(d); /* before the companions: they inherit it */
    r = loop_init(&d->loop);
    if (r == 0)
        r = open_signals(d);
    if (r == 0 && d->reader.watch_fd >= 0)
        r = loop_add(&d->loop, d->reader.watch_fd, EPOLLONESHOT, cycle_on_groups_changed, d);
    if (r == 0)
        r = start_companions(d);
    if (r < 0) {
        log_line(LOG_PRIO_ERROR, "error: start failed: %s", strerror(-r));
        return DAEMON_EXIT_FAILURE;
    }
    d->beat_timer = loop_add_timer(&d->loop, guardian_on_timer, d);
    d->kill_timer = loop_add_timer(&d->loop, cycle_on_kill_timer, d);
    d->hold_timer = loop_add_timer(&d->loop, cycle_on_hold_timer, d);
    d->killer = (struct killer){
        .hierarchy = &d->hierarchy,
        .root_fd = d->root_fd,
        .loop = &d->loop,
        .worker = &d->worker,
        .progress = cycle_on_kill_progress,
        .user = d,
        .signals = d->real_root,
    };
    record_ring_init(&d->ring);
    pause_state_init(&d->pause_state);
    reclaim_state_init(&d->reclaim_state);
    d->pauser = (struct pauser){.hierarchy = &d->hierarchy,
                                .root_fd = d->root_fd,
                                .knobs = &d->knobs,
                                .signals = d->real_root && !d->dry_run};
    d->scratch = (struct victim_scratch){.candidates = d->candidates, .items = d->items};
    r = isolate_open(d);
    if (r < 0)
        report_warning(
            d,
            "the journal in /%s cannot be written: %s; knobs are not changed, since they could not be "
            "put back",
            DAEMON_RUNTIME_DIR, strerror(-r));
    else if (d->knobs_open)
        (void)pauser_adopt(&d->pauser, &d->config, clock_now_usec());
    learned_load(d);
    return DAEMON_EXIT_OK;
}

/* Ready means guarded: the brake is on its way through the worker, and is waited for, though not for ever. */
static void settle(struct daemon *d)
{
    uint64_t until = clock_now_usec() + SETTLE_USEC;

    while (!isolate_stands(d) && clock_now_usec() < until && !d->loop.stop)
        if (loop_turn(&d->loop, SETTLE_USEC / 50) < 0)
            return;
}

static void run(struct daemon *d)
{
    struct trigger t = {.kind = TRIGGER_THRESHOLD, .at_usec = clock_now_usec(), .detail = "start"};
    int r;

    monitor_set_init(&d->monitors, &d->loop, &d->config,
                     monitor_factory_kinds(&d->config, d->reader.isolate, d->dry_run), cycle_on_trigger,
                     report_monitor, d);
    warn_of_gaps(d);
    d->start_usec = clock_now_usec();
    isolate_note_above_limit(d);
    log_line(LOG_PRIO_NOTICE, "event=start version=%s mode=%s%s reason=\"%s\" limit=%ju", HEADROOM_VERSION,
             d->reader.isolate ? "isolate" : "host", d->dry_run ? " dry_run=yes" : "", d->mode_reason,
             (uintmax_t)d->room.limit);
    guardian_beat(d, clock_now_usec());
    cycle_look(d, &t);
    settle(d);
    d->control.ring = &d->ring;
    d->control.command = reload_command;
    d->control.group_row = outlook_group;
    d->control.config = &d->config;
    r = control_init(&d->control, &d->loop, d->control_path, d->config.status_access_all, report_status, d);
    if (r < 0)
        report_warning(d, "%s: %s; `headroom status` does not work", d->control_path, strerror(-r));
    notifying_open(d);
    pods_open(d);
    control_rehearse(&d->control);
    /* Last: what only the start needed (users and groups, of libraries that are loaded for it) is not kept.
     */
    if (d->real_root && !d->dry_run) {
        r = storage_lock(d);
        if (r < 0)
            report_warning(d, "memory cannot be locked: %s; headroomd itself may stall when memory is short",
                           strerror(-r));
    }
    notify_send("READY=1");
    r = loop_run(&d->loop);
    if (r < 0)
        log_line(LOG_PRIO_ERROR, "error: the event loop failed: %s", strerror(-r));
}

static void stop(struct daemon *d)
{
    notify_send("STOPPING=1");
    isolate_await_fence(d);
    monitor_set_deinit(&d->monitors);
    notifying_close(d);
    learned_save(d);
    if (!d->dry_run)
        (void)pauser_resume_all(&d->pauser); /* before the brake is off: oldest first */
    isolate_close(d);
    guardian_stop(d);
    companion_stop(&d->worker, USEC_PER_SEC);
    killer_deinit(&d->killer);
    control_deinit(&d->control, d->control_path);
    snapshot_reader_deinit(&d->reader);
    loop_deinit(&d->loop);
    (void)log_flush();
}

int main(int argc, char **argv)
{
    struct daemon *d = &the_daemon;
    int code, r;

    d->root_fd = d->runtime_fd = d->lock_fd = d->proc_fd = d->signal_fd = -1;
    d->control.fd = -1;
    if (options_parse(argc, argv, &d->options, &code) < 0)
        return code;
    log_init(2);
    log_set_least(d->options.debug ? LOG_PRIO_DEBUG : LOG_PRIO_INFO);
    r = reload_load_first(d);
    if (d->options.check_config && r == 0)
        log_line(LOG_PRIO_NOTICE, "%s: good", d->config_path[0] ? d->config_path : "built-in defaults");
    if (r < 0 || d->options.check_config) {
        (void)log_flush();
        return r < 0 ? DAEMON_EXIT_CONFIG : DAEMON_EXIT_OK;
    }
    d->real_root = file_is_root(d->options.sysroot);
    d->dry_run = d->options.dry_run || d->config.observe;
    (void)snprintf(d->control_path, sizeof(d->control_path), "%s%s%s", d->options.sysroot,
                   d->real_root ? "" : "/", CONTROL_PATH);
    (void)snprintf(d->notifying.path, sizeof(d->notifying.path), "%s%s%s", d->options.sysroot,
                   d->real_root ? "" : "/", PRESSURE_PATH);
    notify_init();
    code = prepare(d);
    if (code == DAEMON_EXIT_OK)
        code = start(d);
    if (code == DAEMON_EXIT_OK) {
        run(d);
        stop(d);
    }
    (void)log_flush();
    return code;
}
