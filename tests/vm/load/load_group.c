#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

int group_create(const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

int group_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int group_write(int group_fd, const char *file, const char *text)
{
    int fd = openat(group_fd, file, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    ssize_t length = write(fd, text, strlen(text));
    int r = length < 0 ? -errno : 0;
    close(fd);
    return r;
}

pid_t group_fork(int group_fd, int *ret_pidfd)
{
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_INTO_CGROUP | (ret_pidfd ? CLONE_PIDFD : 0),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)(unsigned int)group_fd,
    };
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

    if (pid < 0)
        return -errno;
    if (pid > 0 && ret_pidfd)
        *ret_pidfd = pidfd;
    return (pid_t)pid;
}

int command_cgroup_run(int argc, char **argv)
{
    int first = options_parse("cgroup-run", argc, argv, NULL, 0);

    if (first >= argc)
        fail("cgroup-run: the group is missing; see load --help");
    const char *path = argv[first++];
    if (first < argc && strcmp(argv[first], "--") == 0)
        first++;
    if (first >= argc)
        fail("cgroup-run: the command is missing; see load --help");

    int r = group_create(path);
    if (r < 0) {
        errno = -r;
        fail_errno("cannot create group %s", path);
    }
    int fd = group_open(path);
    if (fd < 0) {
        errno = -fd;
        fail_errno("cannot open group %s", path);
    }
    /* "0" stands for the writer itself. */
    r = group_write(fd, "cgroup.procs", "0");
    if (r < 0) {
        errno = -r;
        fail_errno("cannot enter group %s", path);
    }
    close(fd);
    execvp(argv[first], argv + first);
    fail_errno("cannot run %s", argv[first]);
}
