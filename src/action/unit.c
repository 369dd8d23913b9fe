#include "action/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"
#include "kernel/file.h"

#define UNIT_WAIT_MSEC 10000
#define RUNTIME_DROP_INS "run/systemd/system.control/%s.d" /* of `set-property --runtime` */
#define DROP_IN_PATH_MAX (CGROUP_PATH_MAX + 80)

extern char **environ;

/* By the names of their drop-ins: in another order systemd (252) compares the list that it has with the one
 * that it finds, and asks the operator for a daemon-reload. */
static const struct {
    const char *knob;
    const char *property;
    uint64_t unset;
} properties[] = {
    {"memory.high", "MemoryHigh", UINT64_MAX},        {"memory.low", "MemoryLow", 0},
    {"memory.max", "MemoryMax", UINT64_MAX},          {"memory.min", "MemoryMin", 0},
    {"memory.swap.max", "MemorySwapMax", UINT64_MAX},
};

/* systemd puts a '_' before the name of a cgroup that would look like a file of the kernel's. */
static const char *unit_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    return *name == '_' ? name + 1 : name;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* Whether the cgroup lies in slices only: what a service or a scope has below it was handed to somebody else
 * (a user's own systemd, a container's), and a unit of that name here would be another one. */
static bool is_in_slices(const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        if (slash - path < 7 || memcmp(slash - 6, ".slice", 6) != 0 || slash[-7] == '/')
            return false;
    return true;
}

bool unit_manages(int root_fd, const char *path, const char *knob)
{
    const char *name = unit_name(path);
    bool known = false;

    for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
        known = known || strcmp(properties[i].knob, knob) == 0;
    /* init.scope is PID 1's own and takes no properties that last. */
    return known && file_exists_at(root_fd, "run/systemd/system") && strcmp(name, "init.scope") != 0 &&
           is_in_slices(path) &&
           (ends_with(name, ".slice") || ends_with(name, ".scope") || ends_with(name, ".service"));
}

bool unit_is_slice(int root_fd, const char *path)
{
    return file_exists_at(root_fd, "run/systemd/system") && is_in_slices(path) &&
           ends_with(unit_name(path), ".slice");
}

static void format_property(struct buffer *b, const char *property, uint64_t value)
{
    if (value == UINT64_MAX)
        buffer_appendf(b, "%s=infinity", property);
    else
        buffer_appendf(b, "%s=%ju", property, (uintmax_t)value);
}

static const char *property_of(const char *knob)
{
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
        if (strcmp(properties[i].knob, knob) == 0)
            return properties[i].property;
    return NULL;
}

/* Relative to the root. */
static void drop_in_path(char ret[static DROP_IN_PATH_MAX], const char *unit, const char *property)
{
    (void)snprintf(ret, DROP_IN_PATH_MAX, RUNTIME_DROP_INS "/50-%s.conf", unit, property);
}

/* Others go along only where somebody has set them: what is named stays fixed in a drop-in, and would hide
 * what the operator writes into the unit's own file afterwards. What has a drop-in already is fixed anyway,
 * and may have been changed behind systemd's back (a fence), which would set it again. */
static bool goes_along(const char *unit, size_t i, uint64_t value)
{
    char path[1 + DROP_IN_PATH_MAX] = "/";

    drop_in_path(path + 1, unit, properties[i].property);
    return value != properties[i].unset || access(path, F_OK) == 0;
}

/* Where the unit does not run there is nothing to go along. */
static bool read_other(int cgroup_fd, const char *unit, size_t i, uint64_t *ret)
{
    return cgroup_fd >= 0 && file_read_u64_at(cgroup_fd, properties[i].knob, ret) == 0 &&
           goes_along(unit, i, *ret);
}

pid_t unit_set_start(const struct hierarchy *h, const char *path, const char *knob, uint64_t value,
                     const char *fleeting)
{
    char storage[ARRAY_SIZE(properties)][64], unit[CGROUP_PATH_MAX];
    char *argv[5 + ARRAY_SIZE(properties)] = {(char *)"systemctl", (char *)"set-property",
                                              (char *)"--runtime", unit};
    _cleanup_close_ int fd = cgroup_open(h, path);
    unsigned argc = 4;
    pid_t pid;
    int r;

    if (fd < 0 && fd != -ENOENT)
        return fd;
    memccpy(unit, unit_name(path), 0, sizeof(unit));
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        uint64_t v = value;
        struct buffer b;

        if (strcmp(properties[i].knob, knob) != 0 &&
            ((fleeting && strcmp(properties[i].knob, fleeting) == 0) || !read_other(fd, unit, i, &v)))
            continue;
        buffer_init(&b, storage[i], sizeof(storage[i]));
        format_property(&b, properties[i].property, v);
        argv[argc++] = storage[i];
    }
    r = posix_spawnp(&pid, "systemctl", NULL, NULL, argv, environ);
    return r != 0 ? -r : pid;
}

int unit_set(const struct hierarchy *h, const char *path, const char *knob, uint64_t value)
{
    pid_t pid = unit_set_start(h, path, knob, value, NULL);
    struct pollfd p = {.events = POLLIN};
    int status, n;

    if (pid < 0)
        return pid;
    p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    n = p.fd < 0 ? 1 : poll(&p, 1, UNIT_WAIT_MSEC);
    if (p.fd >= 0)
        (void)close(p.fd);
    if (n == 0) /* our own child, not yet reaped: the pid is still his */
        (void)kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid)
        return -errno;
    if (n == 0)
        return -ETIMEDOUT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* "MemoryHigh=293601280" or "MemoryHigh=infinity" */
static int parse_assignment(struct text line, const char *property, uint64_t *ret)
{
    size_t n = strlen(property);
    struct text value;

    if (line.length <= n || memcmp(line.at, property, n) != 0 || line.at[n] != '=')
        return -ENOENT;
    value = text_trim((struct text){line.at + n + 1, line.length - n - 1});
    if (text_equal(value, "infinity")) {
        *ret = UINT64_MAX;
        return 0;
    }
    return text_parse_u64(value, ret) < 0 ? -ENOENT : 0;
}

int unit_read_drop_in(int root_fd, const char *path, const char *knob, uint64_t *ret)
{
    const char *property = property_of(knob);
    char buf[1024], file[DROP_IN_PATH_MAX];
    struct text rest, line;
    int found = -ENOENT;
    ssize_t n;

    if (!property)
        return -ENOENT;
    drop_in_path(file, unit_name(path), property);
    n = file_read_at(root_fd, file, buf, sizeof(buf));
    if (n < 0)
        return n == -ENODATA ? -ENOENT : (int)n;
    rest = (struct text){buf, (size_t)n};
    while (text_next_line(&rest, &line))
        if (parse_assignment(line, property, ret) == 0)
            found = 0;
    return found;
}

int unit_remove_drop_in(int root_fd, const char *path, const char *knob)
{
    const char *property = property_of(knob);
    char file[DROP_IN_PATH_MAX];

    if (!property)
        return -ENOENT;
    drop_in_path(file, unit_name(path), property);
    if (unlinkat(root_fd, file, 0) < 0)
        return -errno;
    *strrchr(file, '/') = '\0';
    (void)unlinkat(root_fd, file, AT_REMOVEDIR); /* with the last one */
    return 0;
}
