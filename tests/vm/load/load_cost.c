#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

/*
 * What a guard's own cost is held against: a crowd of groups that do nothing, and a bare loop that makes the
 * wakes and reads of a guard and does nothing with them.
 */
enum { CROWD_MAX = 16384, CROWD_PATH = 512 };

static pid_t crowd[CROWD_MAX];

static void crowd_path(char *ret, const char *workload, uint64_t number)
{
    snprintf(ret, CROWD_PATH, "%s/crowd-%llu", workload, (unsigned long long)number);
}

/* The child sleeps in the kernel with next to no memory of its own. */
static pid_t crowd_start(const char *workload, uint64_t number)
{
    char path[CROWD_PATH];
    int fd;
    pid_t pid;

    crowd_path(path, workload, number);
    fd = group_create(path) < 0 ? -1 : group_open(path);
    if (fd < 0)
        fail("crowd: cannot make group %s", path);
    pid = group_fork(fd, NULL);
    if (pid == 0) {
        signal(SIGTERM, SIG_DFL);
        for (;;)
            pause();
    }
    if (pid < 0)
        fail("crowd: cannot start a child: %s", strerror(-pid));
    close(fd);
    return pid;
}

static void crowd_end(const char *workload, uint64_t count)
{
    char path[CROWD_PATH];

    for (uint64_t i = 0; i < count; i++)
        kill(crowd[i], SIGKILL);
    for (uint64_t i = 0; i < count; i++)
        waitpid(crowd[i], NULL, 0);
    for (uint64_t i = 0; i < count; i++) {
        crowd_path(path, workload, i);
        for (int try = 0; rmdir(path) < 0 && errno == EBUSY && try < 500; try++)
            usleep(10000);
    }
}

int command_crowd(int argc, char **argv)
{
    const char *workload = NULL, *status = NULL;
    uint64_t groups = 1024;
    const struct option_spec specs[] = {
        {"workload", OPTION_TEXT, &workload, true},
        {"groups", OPTION_COUNT, &groups, false},
        {"status-file", OPTION_TEXT, &status, false},
    };

    options_parse("crowd", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    if (groups == 0 || groups > CROWD_MAX)
        fail("crowd: --groups must be from 1 to %d", CROWD_MAX);
    stop_on_signals();
    for (uint64_t i = 0; i < groups && !stop_requested(); i++)
        crowd[i] = crowd_start(workload, i);
    if (status) {
        FILE *file = fopen(status, "we");

        if (!file)
            fail_errno("crowd: cannot write %s", status);
        fprintf(file, "%llu\n", (unsigned long long)groups);
        fclose(file);
    }
    hold(0);
    crowd_end(workload, groups);
    return 0;
}

/* ---- the bare loop ---- */

static const char *const node_files[] = {"/proc/meminfo", "/proc/pressure/memory"};
static const char *const held_files[] = {"memory.stat", "memory.current", "memory.pressure"};
static const char *const opened_files[] = {"memory.high", "memory.max", "memory.swap.max"};
static const char *const group_files[] = {"cgroup.events", "cpu.stat"};

enum { NODE_FILES = 2, HELD_FILES = 3 };

struct bare {
    int fds[NODE_FILES + HELD_FILES];
    int group_fd;
};

static char text[8192];

static void read_held(int fd)
{
    ssize_t n = pread(fd, text, sizeof(text), 0);

    (void)n;
}

static void read_at(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    read_held(fd);
    close(fd);
}

static void bare_look(const struct bare *bare)
{
    for (size_t i = 0; i < NODE_FILES + HELD_FILES; i++)
        read_held(bare->fds[i]);
    for (size_t i = 0; i < sizeof(opened_files) / sizeof(opened_files[0]); i++)
        read_at(bare->group_fd, opened_files[i]);
}

int command_bare_loop(int argc, char **argv)
{
    const char *group = NULL, *child = NULL;
    struct text_list knobs = {0};
    uint64_t interval_usec = USEC_PER_SEC, every = 0, wakes = 0, ticks;
    const struct option_spec specs[] = {
        {"group", OPTION_TEXT, &group, true},  {"interval", OPTION_DURATION, &interval_usec, false},
        {"child", OPTION_TEXT, &child, false}, {"child-every", OPTION_COUNT, &every, false},
        {"knob", OPTION_LIST, &knobs, false},
    };
    struct bare bare;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    struct itimerspec timer;

    options_parse("bare-loop", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    stop_on_signals();
    timer.it_value.tv_sec = timer.it_interval.tv_sec = (time_t)(interval_usec / USEC_PER_SEC);
    timer.it_value.tv_nsec = timer.it_interval.tv_nsec = (long)(interval_usec % USEC_PER_SEC * NSEC_PER_USEC);
    bare.group_fd = group_open(group);
    if (bare.group_fd < 0)
        fail("bare-loop: cannot open group %s", group);
    for (size_t i = 0; i < NODE_FILES; i++)
        bare.fds[i] = open(node_files[i], O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < HELD_FILES; i++)
        bare.fds[NODE_FILES + i] = openat(bare.group_fd, held_files[i], O_RDONLY | O_CLOEXEC);
    int child_fd = child ? group_open(child) : -1;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event) < 0 ||
        timerfd_settime(timer_fd, 0, &timer, NULL) < 0)
        fail_errno("bare-loop: no timer");
    while (!stop_requested()) {
        if (epoll_wait(epoll_fd, &event, 1, -1) < 1)
            continue;
        if (read(timer_fd, &ticks, sizeof(ticks)) < 0)
            continue;
        bare_look(&bare);
        wakes++;
        for (size_t i = 0; i < knobs.count && wakes % 2 == 0; i++)
            read_at(AT_FDCWD, knobs.items[i]);
        if (every && wakes % every == 0) {
            read_at(child_fd, "memory.stat");
            for (size_t i = 0; i < sizeof(group_files) / sizeof(group_files[0]); i++)
                read_at(child_fd, group_files[i]);
        }
    }
    return 0;
}
