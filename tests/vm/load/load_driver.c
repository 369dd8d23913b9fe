#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "load.h"

/*
 * The driver stands for a batch system: it starts tasks in groups of their own and runs again, at once, what
 * was killed. It must keep its schedule while the node has no memory, or the storm would calm itself:
 * everything it holds is taken and locked before the first task, a child is born directly in its group
 * (clone3), so that what the child needs is charged to the group, and deaths are read from pidfds.
 */
enum {
    MAX_TASKS = 1024,
    MAX_PARALLEL = 256,
    MAX_AGES = 4096,
    MAX_RMDIR = 512,
    PATH_BYTES = 256,
    MAX_LIST = 256
};
enum {
    KILL_WAIT_USEC = 10000000,
    FAILED_PAUSE_USEC = 100000,
    RMDIR_RETRY_USEC = 50000,
    SAMPLE_USEC = 100000
};

struct driver_task {
    uint32_t attempts;
    bool running;
    bool finished;
    bool retry;
    uint64_t retry_at_usec;
};

struct slot {
    pid_t pid; /* 0: the slot is free */
    int pidfd;
    size_t task;
    uint64_t start_usec;
    uint64_t frozen_usec; /* not worked in, and so not lost when it is killed; sampled */
    uint64_t sampled_usec;
    char path[PATH_BYTES];
};

static struct {
    /* what was asked for */
    const char *workload, *output_path, *sizes, *durations, *profile, *events_path;
    uint64_t tasks, bytes, seconds_usec, grow_usec, parallel, stagger_usec, limit_usec, touch_all_usec;
    uint64_t xattr_skip_every;
    bool shared, compressible;
    struct text_list xattrs, knobs;
    /* state */
    struct driver_task task[MAX_TASKS];
    uint64_t task_bytes[MAX_TASKS];
    uint64_t task_usec[MAX_TASKS];
    struct slot slot[MAX_PARALLEL];
    char rmdir_pending[MAX_RMDIR][PATH_BYTES];
    size_t rmdir_count, running, finished, started_fresh;
    uint64_t start_usec, next_fresh_usec, end_usec;
    bool cutting;
    int events_fd;
    char self[PATH_BYTES];
    /* results */
    uint64_t killed, failed, cut, attempts;
    uint64_t useful_usec, work_usec, lost_usec, cut_usec, peak_running;
    uint64_t age_usec[MAX_AGES];
    struct output output;
} driver;

static void driver_event(const char *what, const struct slot *slot)
{
    if (driver.events_fd < 0)
        return;
    uint64_t now = now_usec();

    dprintf(driver.events_fd, "%llu.%03llu %s task-%zu-%u %llu.%03llu\n",
            (unsigned long long)((now - driver.start_usec) / USEC_PER_SEC),
            (unsigned long long)((now - driver.start_usec) / 1000 % 1000), what, slot->task + 1,
            driver.task[slot->task].attempts, (unsigned long long)((now - slot->start_usec) / USEC_PER_SEC),
            (unsigned long long)((now - slot->start_usec) / 1000 % 1000));
}

/* "%n" becomes the number of the task, from 1, so that an attribute can name the lineage of the attempts;
 * "%b" the bytes that it will take. */
static void expand_value(const char *value, size_t task, char *ret, size_t size)
{
    size_t used = 0;

    for (const char *p = value; *p && used + 24 < size; p++) {
        if (p[0] == '%' && (p[1] == 'n' || p[1] == 'b')) {
            uint64_t number = p[1] == 'n' ? task + 1 : driver.task_bytes[task];

            used += (size_t)snprintf(ret + used, size - used, "%llu", (unsigned long long)number);
            p++;
        } else {
            ret[used++] = *p;
        }
    }
    ret[used] = '\0';
}

/* A task that does not say how much it will take has no attribute with its bytes. */
static bool is_left_out(const char *value, size_t task)
{
    return driver.xattr_skip_every && (task + 1) % driver.xattr_skip_every == 0 && strstr(value, "%b");
}

static void group_prepare(const char *path, int group_fd, size_t task)
{
    for (size_t i = 0; i < driver.xattrs.count; i++) {
        char name[128], value[256];
        const char *equal = strchr(driver.xattrs.items[i], '=');

        if (is_left_out(equal + 1, task))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(equal - driver.xattrs.items[i]), driver.xattrs.items[i]);
        expand_value(equal + 1, task, value, sizeof(value));
        if (fsetxattr(group_fd, name, value, strlen(value), 0) < 0)
            fprintf(stderr, "load: driver: cannot set %s on %s: %s\n", name, path, strerror(errno));
    }
    for (size_t i = 0; i < driver.knobs.count; i++) {
        char name[128], value[256];
        const char *equal = strchr(driver.knobs.items[i], '=');

        snprintf(name, sizeof(name), "%.*s", (int)(equal - driver.knobs.items[i]), driver.knobs.items[i]);
        expand_value(equal + 1, task, value, sizeof(value));
        int r = group_write(group_fd, name, value);
        if (r < 0)
            fprintf(stderr, "load: driver: cannot write %s of %s: %s\n", name, path, strerror(-r));
    }
}

static _Noreturn void child_exec(size_t task)
{
    char bytes[32], seconds[32], grow[32], touch[32];
    const char *argv[20];
    size_t n = 0;

    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)driver.task_bytes[task]);
    snprintf(seconds, sizeof(seconds), "%lluus", (unsigned long long)driver.task_usec[task]);
    snprintf(grow, sizeof(grow), "%lluus", (unsigned long long)driver.grow_usec);
    snprintf(touch, sizeof(touch), "%lluus", (unsigned long long)driver.touch_all_usec);
    const char *fixed[] = {
        "load",           "task", "--bytes",   bytes,          "--seconds",           seconds,
        "--grow-seconds", grow,   "--profile", driver.profile, "--touch-all-seconds", touch};
    for (; n < sizeof(fixed) / sizeof(fixed[0]); n++)
        argv[n] = fixed[n];
    if (driver.shared)
        argv[n++] = "--shared";
    if (driver.compressible)
        argv[n++] = "--compressible";
    argv[n] = NULL;

    /* The driver's own protection from the kernel's killer is not for its tasks. */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "0", 1) < 0)
            _exit(126);
        close(fd);
    }
    execv(driver.self, (char *const *)argv);
    _exit(127);
}

static int task_start(size_t task, struct slot *slot)
{
    struct driver_task *state = &driver.task[task];

    state->attempts++;
    state->retry = false;
    snprintf(slot->path, sizeof(slot->path), "%s/task-%zu-%u", driver.workload, task + 1, state->attempts);
    int r = group_create(slot->path);
    if (r < 0)
        return r;
    int group_fd = group_open(slot->path);
    if (group_fd < 0)
        return group_fd;
    group_prepare(slot->path, group_fd, task);

    int pidfd = -1;
    pid_t pid = group_fork(group_fd, &pidfd);
    if (pid == 0)
        child_exec(task);
    close(group_fd);
    if (pid < 0)
        return pid;
    slot->pid = pid;
    slot->pidfd = pidfd;
    slot->task = task;
    slot->start_usec = now_usec();
    slot->frozen_usec = slot->sampled_usec = 0;
    state->running = true;
    driver.attempts++;
    driver.running++;
    if (driver.running > driver.peak_running)
        driver.peak_running = driver.running;
    driver_event("start", slot);
    return 0;
}

/* A group can be busy for a moment after its last process was reaped; what cannot go now is tried again. */
static void groups_remove(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < driver.rmdir_count; i++)
        if (rmdir(driver.rmdir_pending[i]) < 0 && errno != ENOENT) {
            if (kept != i)
                memcpy(driver.rmdir_pending[kept], driver.rmdir_pending[i], PATH_BYTES);
            kept++;
        }
    driver.rmdir_count = kept;
}

static void group_remove_later(const char *path)
{
    if (driver.rmdir_count == MAX_RMDIR)
        fail("driver: %d groups cannot be removed", MAX_RMDIR);
    snprintf(driver.rmdir_pending[driver.rmdir_count++], PATH_BYTES, "%s", path);
}

static bool is_frozen(const struct slot *slot)
{
    char path[PATH_BYTES + 20], text[128] = "";

    snprintf(path, sizeof(path), "%s/cgroup.events", slot->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);

    close(fd);
    return n > 0 && strstr(text, "frozen 1");
}

static void sample_frozen(void)
{
    uint64_t now = now_usec();

    for (size_t i = 0; i < driver.parallel; i++) {
        struct slot *slot = &driver.slot[i];

        if (!slot->pid || now < slot->sampled_usec + SAMPLE_USEC)
            continue;
        if (is_frozen(slot))
            slot->frozen_usec += now - (slot->sampled_usec ? slot->sampled_usec : slot->start_usec);
        slot->sampled_usec = now;
    }
}

static void attempt_ended(struct slot *slot, const siginfo_t *info)
{
    struct driver_task *state = &driver.task[slot->task];
    uint64_t age_usec = now_usec() - slot->start_usec;
    uint64_t worked_usec = age_usec > slot->frozen_usec ? age_usec - slot->frozen_usec : 0;

    state->running = false;
    driver.running--;
    if (info->si_code == CLD_EXITED && info->si_status == 0) {
        state->finished = true;
        driver.finished++;
        driver.useful_usec += age_usec;
        driver.work_usec += driver.task_usec[slot->task];
        driver_event("finished", slot);
    } else if (driver.cutting) {
        driver.cut++;
        driver.cut_usec += age_usec;
        driver_event("cut", slot);
    } else if (info->si_code == CLD_EXITED && info->si_status != 143) {
        driver.failed++;
        driver.lost_usec += worked_usec;
        state->retry = true;
        /* A task that cannot even begin must not be begun in a tight circle. */
        state->retry_at_usec = now_usec() + FAILED_PAUSE_USEC;
        driver_event("failed", slot);
    } else {
        if (driver.killed < MAX_AGES)
            driver.age_usec[driver.killed] = age_usec;
        driver.killed++;
        driver.lost_usec += worked_usec;
        state->retry = true;
        state->retry_at_usec = 0;
        driver_event("killed", slot);
    }
    close(slot->pidfd);
    slot->pid = 0;
    group_remove_later(slot->path);
}

static void reap(void)
{
    for (size_t i = 0; i < driver.parallel; i++) {
        struct slot *slot = &driver.slot[i];
        siginfo_t info = {.si_pid = 0};

        if (slot->pid && waitid(P_PIDFD, (id_t)slot->pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
            attempt_ended(slot, &info);
    }
    groups_remove();
}

/* The task to start now, or MAX_TASKS: killed ones go first, new ones wait for their turn. */
static size_t task_due(uint64_t now)
{
    for (size_t i = 0; i < driver.tasks; i++)
        if (driver.task[i].retry && driver.task[i].retry_at_usec <= now)
            return i;
    if (driver.started_fresh < driver.tasks && driver.next_fresh_usec <= now) {
        driver.next_fresh_usec = now + driver.stagger_usec;
        return driver.started_fresh++;
    }
    return MAX_TASKS;
}

static void start_due(void)
{
    for (size_t i = 0; i < driver.parallel && driver.running < driver.parallel; i++) {
        if (driver.slot[i].pid)
            continue;
        size_t task = task_due(now_usec());

        if (task == MAX_TASKS)
            return;
        int r = task_start(task, &driver.slot[i]);
        if (r < 0) {
            fprintf(stderr, "load: driver: cannot start %s: %s\n", driver.slot[i].path, strerror(-r));
            driver.failed++;
            group_remove_later(driver.slot[i].path);
            driver.task[task].retry = true;
            driver.task[task].retry_at_usec = now_usec() + FAILED_PAUSE_USEC;
        }
    }
}

static uint64_t next_wake_usec(uint64_t now)
{
    uint64_t wake_usec = driver.end_usec;

    if (driver.running < driver.parallel && !driver.cutting) {
        if (driver.started_fresh < driver.tasks && driver.next_fresh_usec < wake_usec)
            wake_usec = driver.next_fresh_usec;
        for (size_t i = 0; i < driver.tasks; i++)
            if (driver.task[i].retry && driver.task[i].retry_at_usec < wake_usec)
                wake_usec = driver.task[i].retry_at_usec;
    }
    if (driver.running > 0 && now + SAMPLE_USEC < wake_usec)
        wake_usec = now + SAMPLE_USEC;
    if (driver.rmdir_count > 0 && now + RMDIR_RETRY_USEC < wake_usec)
        wake_usec = now + RMDIR_RETRY_USEC;
    return wake_usec;
}

static void wait_for_something(void)
{
    struct pollfd fds[MAX_PARALLEL];
    nfds_t count = 0;
    uint64_t now = now_usec(), wake_usec = next_wake_usec(now);

    for (size_t i = 0; i < driver.parallel; i++)
        if (driver.slot[i].pid)
            fds[count++] = (struct pollfd){.fd = driver.slot[i].pidfd, .events = POLLIN};
    poll(fds, count, wake_usec > now ? (int)((wake_usec - now) / 1000 + 1) : 0);
    sample_frozen();
}

/* What the limit, or a signal, leaves over is killed, each in its own group only. */
static void cut_running(void)
{
    driver.cutting = true;
    driver.end_usec = now_usec() + KILL_WAIT_USEC;
    for (size_t i = 0; i < driver.parallel; i++) {
        if (!driver.slot[i].pid)
            continue;
        int fd = group_open(driver.slot[i].path);

        if (fd >= 0) {
            group_write(fd, "cgroup.kill", "1");
            close(fd);
        }
    }
    while (driver.running > 0 && now_usec() < driver.end_usec) {
        wait_for_something();
        reap();
    }
    for (int i = 0; i < 40 && driver.rmdir_count > 0; i++) {
        usleep(RMDIR_RETRY_USEC);
        groups_remove();
    }
}

static void add_seconds(const char *name, uint64_t usec)
{
    output_add(&driver.output, "\"%s\": %llu.%03llu, ", name, (unsigned long long)(usec / USEC_PER_SEC),
               (unsigned long long)(usec / 1000 % 1000));
}

static void add_number(const char *name, uint64_t value)
{
    output_add(&driver.output, "\"%s\": %llu, ", name, (unsigned long long)value);
}

static void driver_report(uint64_t elapsed_usec)
{
    output_add(&driver.output, "{");
    add_number("tasks", driver.tasks);
    add_number("finished", driver.finished);
    add_number("attempts", driver.attempts);
    add_number("killed", driver.killed);
    add_number("failed", driver.failed);
    add_number("cut", driver.cut);
    add_seconds("seconds", elapsed_usec);
    add_seconds("useful_seconds", driver.useful_usec);
    /* What the finished ones had to do, without the time for which they stood still. */
    add_seconds("work_seconds", driver.work_usec);
    add_seconds("lost_seconds", driver.lost_usec);
    add_seconds("cut_seconds", driver.cut_usec);
    add_number("parallel", driver.parallel);
    add_number("peak_running", driver.peak_running);
    add_number("bytes", driver.bytes);
    add_seconds("task_seconds", driver.seconds_usec);
    add_seconds("limit_seconds", driver.limit_usec);
    add_number("groups_left", driver.rmdir_count + driver.running);
    output_add(&driver.output, "\"ages_of_killed\": [");
    for (size_t i = 0; i < driver.killed && i < MAX_AGES; i++)
        output_add(&driver.output, "%s%llu.%03llu", i ? ", " : "",
                   (unsigned long long)(driver.age_usec[i] / USEC_PER_SEC),
                   (unsigned long long)(driver.age_usec[i] / 1000 % 1000));
    output_add(&driver.output, "]}\n");
    output_write(&driver.output, driver.output_path);
}

/* A list that is shorter than the tasks are begins again; without a list all have the same. */
static void list_parse(const char *option, const char *list, bool (*parse)(const char *, uint64_t *),
                       uint64_t all, uint64_t *values)
{
    size_t count = 0;
    char copy[4096];
    char *state = NULL;

    snprintf(copy, sizeof(copy), "%s", list ? list : "");
    for (char *word = strtok_r(copy, ",", &state); word; word = strtok_r(NULL, ",", &state))
        if (count == MAX_LIST || !parse(word, &values[count++]))
            fail("driver: --%s: '%s' is not valid, or there are more than %d", option, word, MAX_LIST);
    if (count == 0)
        values[count++] = all;
    for (size_t i = count; i < driver.tasks; i++)
        values[i] = values[i % count];
}

static void check_pairs(const char *option, const struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strchr(list->items[i], '='))
            fail("driver: --%s: '%s' is not NAME=VALUE", option, list->items[i]);
}

static void driver_parse(int argc, char **argv)
{
    const struct option_spec specs[] = {
        {"workload", OPTION_TEXT, &driver.workload, true},
        {"tasks", OPTION_COUNT, &driver.tasks, false},
        {"bytes", OPTION_BYTES, &driver.bytes, false},
        {"sizes", OPTION_TEXT, &driver.sizes, false},
        {"seconds", OPTION_DURATION, &driver.seconds_usec, false},
        {"durations", OPTION_TEXT, &driver.durations, false},
        {"grow-seconds", OPTION_DURATION, &driver.grow_usec, false},
        {"touch-all-seconds", OPTION_DURATION, &driver.touch_all_usec, false},
        {"profile", OPTION_TEXT, &driver.profile, false},
        {"parallel", OPTION_COUNT, &driver.parallel, false},
        {"stagger", OPTION_DURATION, &driver.stagger_usec, false},
        {"limit", OPTION_DURATION, &driver.limit_usec, false},
        {"output", OPTION_TEXT, &driver.output_path, false},
        {"events", OPTION_TEXT, &driver.events_path, false},
        {"shared", OPTION_FLAG, &driver.shared, false},
        {"compressible", OPTION_FLAG, &driver.compressible, false},
        {"xattr", OPTION_LIST, &driver.xattrs, false},
        {"xattr-skip-every", OPTION_COUNT, &driver.xattr_skip_every, false},
        {"knob", OPTION_LIST, &driver.knobs, false},
    };

    options_parse("driver", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    if (driver.tasks == 0 || driver.tasks > MAX_TASKS)
        fail("driver: --tasks must be from 1 to %d", MAX_TASKS);
    if (driver.parallel == 0 || driver.parallel > MAX_PARALLEL)
        fail("driver: --parallel must be from 1 to %d", MAX_PARALLEL);
    if (strlen(driver.workload) + 40 > PATH_BYTES)
        fail("driver: --workload is too long");
    check_pairs("xattr", &driver.xattrs);
    check_pairs("knob", &driver.knobs);
    list_parse("sizes", driver.sizes, parse_bytes, driver.bytes, driver.task_bytes);
    list_parse("durations", driver.durations, parse_duration, driver.seconds_usec, driver.task_usec);
}

static void driver_harden(void)
{
    ssize_t length = readlink("/proc/self/exe", driver.self, sizeof(driver.self) - 1);

    if (length <= 0)
        fail_errno("driver: cannot read /proc/self/exe");
    driver.events_fd = -1;
    if (driver.events_path)
        driver.events_fd = open(driver.events_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "-900", 4) < 0)
        fprintf(stderr, "load: driver: cannot lower oom_score_adj: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
        fail_errno("driver: cannot lock memory");
}

int command_driver(int argc, char **argv)
{
    driver.tasks = 16;
    driver.bytes = 150 * MIB;
    driver.seconds_usec = 10 * USEC_PER_SEC;
    driver.grow_usec = 3 * USEC_PER_SEC;
    driver.parallel = 8;
    driver.stagger_usec = 400000;
    driver.limit_usec = 180 * USEC_PER_SEC;
    driver.profile = "ramp";
    driver_parse(argc, argv);
    stop_on_signals();
    output_init(&driver.output, 128 * 1024);
    driver_harden();

    driver.start_usec = now_usec();
    driver.next_fresh_usec = driver.start_usec;
    driver.end_usec = driver.start_usec + driver.limit_usec;
    while (driver.finished < driver.tasks && !stop_requested() && now_usec() < driver.end_usec) {
        start_due();
        wait_for_something();
        reap();
    }
    uint64_t elapsed_usec = now_usec() - driver.start_usec;
    cut_running();
    driver_report(elapsed_usec);
    return driver.finished == driver.tasks ? 0 : 1;
}
