#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "load.h"

/*
 * A parent that waits for its children, each in a group of its own: a build that waits for its compilers, a
 * driver that waits for its workers. The parent sleeps in waitpid; if what it waits for is paused, nothing
 * but whoever paused it can make it go on.
 */
enum { MAX_CHILDREN = 64 };

struct family {
    const char *workload, *name;
    uint64_t children, bytes, request_bytes, seconds_usec, grow_usec;
};

static _Noreturn void child_exec(const struct family *family)
{
    char bytes[32], seconds[32], grow[32];

    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)family->bytes);
    snprintf(seconds, sizeof(seconds), "%lluus", (unsigned long long)family->seconds_usec);
    snprintf(grow, sizeof(grow), "%lluus", (unsigned long long)family->grow_usec);
    execl("/proc/self/exe", "load", "task", "--bytes", bytes, "--seconds", seconds, "--grow-seconds", grow,
          (char *)NULL);
    _exit(127);
}

static pid_t child_start(const struct family *family, uint64_t number)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s-%llu", family->workload, family->name, (unsigned long long)number);
    int group_fd = group_create(path) < 0 ? -1 : group_open(path);
    if (group_fd < 0)
        fail("family: cannot make group %s", path);
    if (family->request_bytes) {
        char text[32];

        snprintf(text, sizeof(text), "%llu", (unsigned long long)family->request_bytes);
        if (fsetxattr(group_fd, "user.headroom.request", text, strlen(text), 0) < 0)
            fail_errno("family: cannot set the request of %s", path);
    }
    pid_t pid = group_fork(group_fd, NULL);
    if (pid == 0)
        child_exec(family);
    if (pid < 0)
        fail("family: cannot start a child: %s", strerror(-pid));
    close(group_fd);
    return pid;
}

int command_family(int argc, char **argv)
{
    struct family family = {
        .children = 4, .bytes = 40 * MIB, .seconds_usec = 3 * USEC_PER_SEC, .grow_usec = USEC_PER_SEC};
    const struct option_spec specs[] = {
        {"workload", OPTION_TEXT, &family.workload, true},
        {"name", OPTION_TEXT, &family.name, true},
        {"children", OPTION_COUNT, &family.children, false},
        {"bytes", OPTION_BYTES, &family.bytes, false},
        {"request", OPTION_BYTES, &family.request_bytes, false},
        {"seconds", OPTION_DURATION, &family.seconds_usec, false},
        {"grow-seconds", OPTION_DURATION, &family.grow_usec, false},
    };
    pid_t pids[MAX_CHILDREN];
    uint64_t well = 0;

    options_parse("family", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    if (family.children == 0 || family.children > MAX_CHILDREN)
        fail("family: --children must be from 1 to %d", MAX_CHILDREN);
    for (uint64_t i = 0; i < family.children; i++)
        pids[i] = child_start(&family, i + 1);
    for (uint64_t i = 0; i < family.children; i++) {
        int status;

        if (waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            well++;
    }
    printf("{\"children\": %llu, \"ended_well\": %llu}\n", (unsigned long long)family.children,
           (unsigned long long)well);
    return well == family.children ? 0 : 1;
}
