#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

/*
 * How long a memory manager takes, seen from outside and the same for every one of them: from the moment at
 * which MemAvailable falls below a bound to the end of the program that took it. MemAvailable is looked at
 * every millisecond.
 */

static uint64_t read_available_bytes(int fd)
{
    char text[512];
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    const char *at;
    unsigned long long kib;

    if (length <= 0)
        return 0;
    text[length] = 0;
    at = strstr(text, "MemAvailable:");
    return at && sscanf(at, "MemAvailable: %llu", &kib) == 1 ? kib * 1024 : 0;
}

int command_reaction(int argc, char **argv)
{
    uint64_t below_bytes = 0, crossed_usec = 0, ended_usec;
    const struct option_spec specs[] = {{"below", OPTION_BYTES, &below_bytes, true}};
    int first = options_parse("reaction", argc, argv, specs, 1), status, fd, pidfd;
    pid_t pid;

    if (first >= argc)
        fail("reaction: the command is missing; see load --help");
    fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_errno("cannot open /proc/meminfo");
    (void)mlockall(MCL_CURRENT);
    pid = fork();
    if (pid < 0)
        fail_errno("cannot fork");
    if (pid == 0) {
        execvp(argv[first], argv + first);
        fail_errno("cannot run %s", argv[first]);
    }
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    for (;;) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};

        if (poll(&p, 1, 1) > 0)
            break;
        if (crossed_usec == 0 && read_available_bytes(fd) < below_bytes)
            crossed_usec = now_usec();
    }
    ended_usec = now_usec();
    if (waitpid(pid, &status, 0) != pid)
        fail_errno("cannot wait for the command");
    printf("{\"reaction_usec\": %lld, \"status\": %d}\n",
           crossed_usec ? (long long)(ended_usec - crossed_usec) : -1LL,
           WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
}
