/* Where the hierarchy is comes from mountinfo, not from a fixed path: hybrid machines mount it below
 * /sys/fs/cgroup/unified, containers see a bind mount of one branch of it. Both files that can be long here,
 * mountinfo on a container host and cgroup.procs, are read line by line. */
#include "kernel/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/text.h"
#include "kernel/file.h"

#define DEFAULT_MOUNT "/sys/fs/cgroup"

/* What the mountinfo lines seen so far have brought. */
struct mount_scan {
    struct hierarchy found;
    bool is_found;
    bool is_root; /* the whole hierarchy is mounted there, not a branch of it */
    bool hybrid;
    int fault; /* why a cgroup2 mount could not be taken */
};

/* Is `name` in a comma-separated list of mount options? */
static bool option_has(struct text list, const char *name)
{
    while (list.length > 0) {
        const char *comma = memchr(list.at, ',', list.length);
        size_t length = comma ? (size_t)(comma - list.at) : list.length;

        if (text_equal((struct text){list.at, length}, name))
            return true;
        if (!comma)
            break;
        list = (struct text){comma + 1, list.length - length - 1};
    }
    return false;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* The kernel writes blank, tab, newline and backslash of a path as \ooo. */
static int unescape(struct text t, char *ret, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < t.length; i++) {
        char c = t.at[i];

        if (c == '\\' && t.length - i > 3 && is_octal(t.at[i + 1]) && is_octal(t.at[i + 2]) &&
            is_octal(t.at[i + 3])) {
            c = (char)((t.at[i + 1] - '0') << 6 | (t.at[i + 2] - '0') << 3 | (t.at[i + 3] - '0'));
            i += 3;
        }
        if (c == '\0')
            return -EBADMSG;
        if (n + 1 >= size)
            return -ENAMETOOLONG;
        ret[n++] = c;
    }
    ret[n] = '\0';
    return 0;
}

struct mount_line {
    struct text root, point, options, type, super;
};

/* "36 35 98:0 /root /point rw,noatime shared:1 - cgroup2 cgroup2 rw": any number of words before the lone
 * dash. An empty source leaves no word behind, hence the super options are what comes last. */
static bool split_mount_line(struct text line, struct mount_line *ret)
{
    struct text word;

    for (int i = 0; i < 3; i++)
        if (!text_next_word(&line, &word))
            return false;
    if (!text_next_word(&line, &ret->root) || !text_next_word(&line, &ret->point) ||
        !text_next_word(&line, &ret->options))
        return false;
    do {
        if (!text_next_word(&line, &word))
            return false;
    } while (!text_equal(word, "-"));

    if (!text_next_word(&line, &ret->type) || !text_next_word(&line, &ret->super))
        return false;
    while (text_next_word(&line, &word))
        ret->super = word;
    return true;
}

static int scan_mount_line(void *user, struct text line)
{
    struct mount_scan *scan = user;
    struct mount_line m;
    bool is_root;
    int r;

    if (!split_mount_line(line, &m))
        return 0;
    if (text_equal(m.type, "cgroup"))
        scan->hybrid = true;
    if (!text_equal(m.type, "cgroup2"))
        return 0;

    is_root = text_equal(m.root, "/");
    if (scan->is_found && (scan->is_root || !is_root))
        return 0;

    struct hierarchy h = {
        .read_only = option_has(m.options, "ro") || option_has(m.super, "ro"),
        .recursive_prot = option_has(m.super, "memory_recursiveprot"),
        .local_events = option_has(m.super, "memory_localevents"),
    };
    r = unescape(m.point, h.mount, sizeof(h.mount));
    if (r < 0) {
        scan->fault = r;
        return 0;
    }
    scan->found = h;
    scan->is_found = true;
    scan->is_root = is_root;
    return 0;
}

static int finish_mount_scan(const struct mount_scan *scan, struct hierarchy *ret)
{
    if (!scan->is_found)
        return scan->fault < 0 ? scan->fault : -ENOENT;

    memcpy(ret->mount, scan->found.mount, sizeof(ret->mount));
    ret->read_only = scan->found.read_only;
    ret->recursive_prot = scan->found.recursive_prot;
    ret->local_events = scan->found.local_events;
    ret->hybrid = scan->hybrid;
    return 0;
}

int hierarchy_parse_mountinfo(const char *buf, size_t length, struct hierarchy *ret)
{
    struct mount_scan scan = {0};
    struct text rest = {buf, length}, line;

    while (text_next_line(&rest, &line))
        (void)scan_mount_line(&scan, line);
    return finish_mount_scan(&scan, ret);
}

static int find_mount(int root_fd, struct hierarchy *h)
{
    _cleanup_close_ int fd = file_open_read(root_fd, "proc/self/mountinfo");
    struct mount_scan scan = {0};
    int r;

    if (fd == -ENOENT) { /* a recorded tree: all that it can say is whether the usual place is there */
        (void)strcpy(h->mount, DEFAULT_MOUNT);
        return 0;
    }
    if (fd < 0)
        return fd;
    r = file_each_line(fd, scan_mount_line, &scan);
    return r < 0 ? r : finish_mount_scan(&scan, h);
}

int hierarchy_open(int root_fd, struct hierarchy *ret)
{
    struct hierarchy h = {.fd = -1};
    _cleanup_close_ int fd = -1;
    const char *relative;
    char controllers[1024];
    ssize_t n;
    int r;

    r = find_mount(root_fd, &h);
    if (r < 0)
        return r;

    relative = h.mount + strspn(h.mount, "/");
    fd = file_open_dir(root_fd, *relative ? relative : ".");
    if (fd < 0)
        return fd;

    /* Every cgroup2 directory has this file since 4.5; without it something else lies over the mount. */
    n = file_read_at(fd, "cgroup.controllers", controllers, sizeof(controllers));
    if (n < 0 && n != -ENODATA)
        return (int)n;
    h.memory = n > 0 && cgroup_list_has(controllers, (size_t)n, "memory");
    h.real_root = !file_exists_at(fd, "cgroup.type");
    h.fd = fd_steal(&fd);
    *ret = h;
    return 0;
}

void hierarchy_close(struct hierarchy *h)
{
    close_fdp(&h->fd);
}

/* Paths come from people and from /proc; one with ".." would leave the hierarchy. */
static bool path_stays_inside(const char *path)
{
    if (*path == '/')
        return false;
    while (*path) {
        size_t length = strcspn(path, "/");

        if (length == 2 && path[0] == '.' && path[1] == '.')
            return false;
        path += length;
        path += strspn(path, "/");
    }
    return true;
}

int cgroup_open(const struct hierarchy *h, const char *path)
{
    if (!path_stays_inside(path))
        return -EINVAL;
    return file_open_dir(h->fd, *path ? path : ".");
}

int cgroup_read_id(int cgroup_fd, uint64_t *ret_id)
{
    struct stat st;

    if (fstat(cgroup_fd, &st) < 0)
        return -errno;
    *ret_id = st.st_ino;
    return 0;
}

struct own_path {
    char path[CGROUP_PATH_MAX];
};

/* 1: found. "0::/path" is the line of cgroup v2; those of v1 have another number and name their controllers.
 */
static int scan_proc_cgroup_line(void *user, struct text line)
{
    struct own_path *own = user;
    int r;

    if (line.length < 4 || memcmp(line.at, "0::/", 4) != 0)
        return 0;
    line = (struct text){line.at + 4, line.length - 4};

    r = text_copy(line, own->path, sizeof(own->path));
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    return path_stays_inside(own->path) ? 1 : -EXDEV;
}

static int finish_own_path(int found, const struct own_path *own, char ret[static CGROUP_PATH_MAX])
{
    if (found < 0)
        return found;
    if (found == 0)
        return -ENOENT;
    memcpy(ret, own->path, sizeof(own->path));
    return 0;
}

static int read_proc_cgroup(int root_fd, const char *file, char ret[static CGROUP_PATH_MAX])
{
    _cleanup_close_ int fd = file_open_read(root_fd, file);
    struct own_path own = {0};

    if (fd < 0)
        return fd;
    return finish_own_path(file_each_line(fd, scan_proc_cgroup_line, &own), &own, ret);
}

int cgroup_read_own_path(int root_fd, char ret[static CGROUP_PATH_MAX])
{
    return read_proc_cgroup(root_fd, "proc/self/cgroup", ret);
}

int cgroup_read_path_of(int root_fd, pid_t pid, char ret[static CGROUP_PATH_MAX])
{
    char file[32];

    (void)snprintf(file, sizeof(file), "proc/%d/cgroup", (int)pid);
    return read_proc_cgroup(root_fd, file, ret);
}

int cgroup_parse_proc_cgroup(const char *buf, size_t length, char ret[static CGROUP_PATH_MAX])
{
    struct text rest = {buf, length}, line;
    struct own_path own = {0};
    int r = 0;

    while (r == 0 && text_next_line(&rest, &line))
        r = scan_proc_cgroup_line(&own, line);
    return finish_own_path(r, &own, ret);
}

int cgroup_events_parse(const char *buf, size_t length, struct cgroup_events *ret)
{
    struct scratch {
        uint64_t populated, frozen;
    } s = {0};
    static const struct text_key keys[] = {
        TEXT_KEY("populated", struct scratch, populated),
        TEXT_KEY("frozen", struct scratch, frozen),
    };
    uint64_t seen = 0;
    int r;

    r = text_parse_keyed((struct text){buf, length}, keys, ARRAY_SIZE(keys), &s, &seen);
    if (r < 0)
        return r;
    if (seen != 3 || s.populated > 1 || s.frozen > 1)
        return -EBADMSG;

    *ret = (struct cgroup_events){.populated = s.populated == 1, .frozen = s.frozen == 1};
    return 0;
}

int cgroup_read_events(int cgroup_fd, struct cgroup_events *ret)
{
    _uninitialized_ char buf[256];
    ssize_t n = file_read_record_at(cgroup_fd, "cgroup.events", buf, sizeof(buf));

    return n < 0 ? (int)n : cgroup_events_parse(buf, (size_t)n, ret);
}

struct proc_walk {
    cgroup_proc_fn fn;
    void *user;
};

static int walk_proc_line(void *user, struct text line)
{
    const struct proc_walk *walk = user;
    uint64_t pid;

    if (text_parse_u64(line, &pid) < 0 || pid > INT_MAX)
        return -EBADMSG;
    return pid == 0 ? 0 : walk->fn(walk->user, (pid_t)pid);
}

int cgroup_each_proc(int cgroup_fd, cgroup_proc_fn fn, void *user)
{
    _cleanup_close_ int fd = file_open_read(cgroup_fd, "cgroup.procs");
    struct proc_walk walk = {fn, user};

    return fd < 0 ? fd : file_each_line(fd, walk_proc_line, &walk);
}

struct proc_list {
    pid_t *pids;
    size_t count, max;
};

/* 1: there are more than fit, the walk can end. */
static int collect_proc(void *user, pid_t pid)
{
    struct proc_list *list = user;

    if (list->count == list->max)
        return 1;
    list->pids[list->count++] = pid;
    return 0;
}

int cgroup_read_procs(int cgroup_fd, pid_t *ret_pids, size_t max, bool *ret_more)
{
    struct proc_list list = {.pids = ret_pids, .max = max < INT_MAX ? max : INT_MAX};
    int r;

    r = cgroup_each_proc(cgroup_fd, collect_proc, &list);
    if (r < 0)
        return r;
    *ret_more = r > 0;
    return (int)list.count;
}

struct cgroup_walker {
    int dir_fd;
    unsigned depth_left;
    cgroup_walk_fn fn;
    void *user;
};

static int walk_child(void *user, const char *name, unsigned char type, uint64_t inode _unused_)
{
    const struct cgroup_walker *w = user;
    _cleanup_close_ int fd = -1;

    if (type != DT_DIR)
        return 0;
    fd = file_open_dir(w->dir_fd, name);
    if (fd < 0)
        return 0;
    return cgroup_walk(fd, w->depth_left - 1, w->fn, w->user) == CGROUP_WALK_STOP;
}

enum cgroup_walk cgroup_walk(int cgroup_fd, unsigned depth_max, cgroup_walk_fn fn, void *user)
{
    struct cgroup_walker w = {cgroup_fd, depth_max, fn, user};
    enum cgroup_walk told = fn(user, cgroup_fd);

    if (told == CGROUP_WALK_STOP)
        return CGROUP_WALK_STOP;
    if (told == CGROUP_WALK_PAST || depth_max == 0)
        return CGROUP_WALK_ON;
    return file_each_entry(cgroup_fd, walk_child, &w) == 1 ? CGROUP_WALK_STOP : CGROUP_WALK_ON;
}

bool cgroup_list_has(const char *buf, size_t length, const char *word)
{
    struct text rest = {buf, length}, line, t;

    while (text_next_line(&rest, &line))
        while (text_next_word(&line, &t))
            if (text_equal(t, word))
                return true;
    return false;
}

int cgroup_read_xattr(int cgroup_fd, const char *name, char *ret, size_t size)
{
    char probe;
    ssize_t n;

    /* A size of 0 would ask for the length only; one byte too many is no harm in a local. */
    n = size > 1 ? fgetxattr(cgroup_fd, name, ret, size - 1) : fgetxattr(cgroup_fd, name, &probe, 1);
    if (n < 0)
        return -errno;
    if ((size_t)n >= size)
        return -ERANGE;
    ret[n] = '\0';
    return 0;
}

ssize_t cgroup_list_xattrs(int cgroup_fd, char *ret_names, size_t size)
{
    ssize_t n = flistxattr(cgroup_fd, ret_names, size);

    return n < 0 ? -errno : n;
}

int cgroup_read_identity(int cgroup_fd, struct cgroup_identity *ret)
{
    struct stat st;

    if (fstat(cgroup_fd, &st) < 0)
        return -errno;
    *ret = (struct cgroup_identity){.id = st.st_ino, .owner_uid = st.st_uid, .is_leaf = st.st_nlink == 2};
    return 0;
}

int cgroup_read_cpu_usec(int cgroup_fd, uint64_t *ret_usec)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_read_record_at(cgroup_fd, "cpu.stat", buf, sizeof(buf));
    struct text rest = {buf, n > 0 ? (size_t)n : 0}, line, word;

    if (n < 0)
        return (int)n;
    while (text_next_line(&rest, &line))
        if (text_next_word(&line, &word) && text_equal(word, "usage_usec"))
            return text_next_word(&line, &word) ? text_parse_u64(word, ret_usec) : -EBADMSG;
    return -EBADMSG;
}

int cgroup_write_xattr(int cgroup_fd, const char *name, const char *value)
{
    return fsetxattr(cgroup_fd, name, value, strlen(value), 0) < 0 ? -errno : 0;
}

bool cgroup_path_is_below(const char *path, const char *ancestor)
{
    size_t length = strlen(ancestor);

    if (length == 0)
        return true;
    return strncmp(path, ancestor, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

int cgroup_path_join(char ret[static CGROUP_PATH_MAX], const char *base, const char *name)
{
    size_t base_length = strlen(base), name_length = strlen(name);
    size_t slash = base_length > 0 && name_length > 0;

    if (base_length + slash + name_length >= CGROUP_PATH_MAX)
        return -ENAMETOOLONG;

    memmove(ret, base, base_length); /* base may be ret: a path that grows */
    if (slash)
        ret[base_length] = '/';
    memcpy(ret + base_length + slash, name, name_length + 1);
    return 0;
}
