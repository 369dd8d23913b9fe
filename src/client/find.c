#include "client/find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/base64.h"

#define WATCH "MEMORY_PRESSURE_WATCH"
#define WRITE "MEMORY_PRESSURE_WRITE"

/* Paths and the environment are somebody else's text: what is shown of them is cut, not refused. */
static int complain(int r, char *error, size_t size, const char *where, const char *value, const char *what)
{
    if (error && size > 0)
        (void)snprintf(error, size, "%s%s%.200s: %s", where, *where ? "=" : "", value, what);
    return r;
}

static int take_path(const char *path, const char *where, struct find_named *n, char *error, size_t size)
{
    n->is_named = true;
    if (strcmp(path, "/dev/null") == 0) {
        n->is_off = true;
        return 0;
    }
    if (path[0] != '/')
        return complain(-EBADMSG, error, size, where, path, "not an absolute path");
    if (strlen(path) >= sizeof(n->path))
        return complain(-ENAMETOOLONG, error, size, where, path, "the path is too long");
    memcpy(n->path, path, strlen(path) + 1);
    return 0;
}

static int named_by_options(const struct headroom_options *o, struct find_named *n, char *error, size_t size)
{
    if (o->payload_length > sizeof(n->payload))
        return complain(-E2BIG, error, size, "", o->path, "the payload is longer than 4096 bytes");
    if (o->payload_length > 0)
        memcpy(n->payload, o->payload, o->payload_length);
    n->payload_length = o->payload_length;
    return take_path(o->path, "", n, error, size);
}

static int named_by_environment(struct find_named *n, char *error, size_t size)
{
    /* A setuid program opens and writes nothing that its caller names. */
    const char *watch = secure_getenv(WATCH), *write = secure_getenv(WRITE);
    ssize_t length;
    int r;

    if (!watch)
        return 0;
    if (!*watch) { /* off, as sd-event reads it */
        n->is_named = n->is_off = true;
        return 0;
    }
    r = take_path(watch, "$" WATCH, n, error, size);
    if (r < 0 || n->is_off || !write)
        return r;
    length = base64_parse(write, n->payload, sizeof(n->payload));
    if (length < 0)
        return complain((int)length, error, size, "$" WRITE, write,
                        length == -E2BIG ? "longer than 4096 bytes" : "not base64");
    n->payload_length = (size_t)length;
    return 0;
}

int find_named(const struct headroom_options *options, struct find_named *ret, char *error, size_t error_size)
{
    *ret = (struct find_named){0};
    if ((!options->path && (options->payload || options->payload_length > 0)) ||
        (!options->payload && options->payload_length > 0))
        return complain(-EINVAL, error, error_size, "", "options",
                        "a payload needs a path, and its length a payload");
    if (options->path)
        return named_by_options(options, ret, error, error_size);
    return named_by_environment(ret, error, error_size);
}

/* A small file, whole; a longer one is cut after the last whole line that fits. */
static int read_file(const char *root, const char *path, char *ret, size_t size)
{
    char full[FIND_ROOT_MAX + 64];
    size_t length = 0;
    ssize_t n;
    int fd;

    if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
        return -ENAMETOOLONG;
    do {
        fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    while (length < size - 1) {
        n = read(fd, ret + length, size - 1 - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    (void)close(fd);
    while (length == size - 1 && length > 0 && ret[length - 1] != '\n')
        length--;
    ret[length] = '\0';
    return 0;
}

/* The line of cgroup v2 in /proc/self/cgroup: "0::/user.slice/x". Newlines in names are escaped by the
 * kernel. */
static char *own_cgroup(char *text)
{
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (strncmp(line, "0::/", 4) == 0)
            return line + 3;
    }
    return NULL;
}

/* With a cgroup namespace, a process outside of its root has a path that begins with "/..": nothing of that
 * can be seen here. */
static bool is_visible(const char *cgroup)
{
    return strncmp(cgroup, "/..", 3) != 0 || (cgroup[3] != '/' && cgroup[3] != '\0');
}

static int find_own_cgroup(const char *root, char *ret, size_t size)
{
    /* Where it is by convention: by itself, or beside the hierarchies of v1. mountinfo would also find it at
     * places that nobody mounts it at, at the price of a file of any length. */
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char text[PATH_MAX + 1024], probe[FIND_ROOT_MAX + 64];
    const char *cgroup;
    int n, r;

    r = read_file(root, "/proc/self/cgroup", text, sizeof(text));
    if (r < 0)
        return r;
    cgroup = own_cgroup(text);
    if (!cgroup || !is_visible(cgroup))
        return -ENOENT;
    for (unsigned i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        (void)snprintf(probe, sizeof(probe), "%s%s/cgroup.controllers", root, mounts[i]);
        if (access(probe, F_OK) < 0)
            continue;
        n = snprintf(ret, size, "%s%s%s/memory.pressure", root, mounts[i], cgroup[1] ? cgroup : "");
        return (size_t)n < size ? 0 : -ENAMETOOLONG;
    }
    return -ENOENT;
}

int find_place(unsigned rank, const char *root, char *ret, size_t size)
{
    int n;

    if (rank == 1)
        return find_own_cgroup(root, ret, size);
    n = snprintf(ret, size, "%s%s", root, rank == 0 ? HEADROOM_SOCKET : "/proc/pressure/memory");
    return (size_t)n < size ? 0 : -ENAMETOOLONG;
}
