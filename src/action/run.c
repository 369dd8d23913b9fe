#include "action/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "action/history.h"
#include "base/text.h"
#include "kernel/file.h"
#include "kernel/process.h"

#define OWNER "user.headroom.owner"

static bool is_he(int root_fd, const struct run_order *o)
{
    struct process_stat st;

    return process_read_stat(root_fd, o->pid, &st) == 0 && st.start_usec == o->start_usec &&
           st.state != 'Z' && st.state != 'X';
}

int run_write_attributes(int cgroup_fd, const struct run_attributes *a, uid_t owner_uid)
{
    char request[32], priority[16], owner[16];
    const struct {
        const char *name, *value;
    } all[] = {
        {HISTORY_MARK, "1"},
        {OWNER, owner_uid != 0 ? owner : NULL},
        {"user.headroom.request", a->has_request ? request : NULL},
        {"user.headroom.priority", a->has_priority ? priority : NULL},
        {"user.headroom.retriable", a->retriable ? "yes" : NULL},
        {"user.headroom.task", a->task[0] ? a->task : NULL},
    };

    (void)snprintf(request, sizeof(request), "%" PRIu64, a->request_bytes);
    (void)snprintf(priority, sizeof(priority), "%u", a->priority);
    (void)snprintf(owner, sizeof(owner), "%u", owner_uid);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        int r = all[i].value ? cgroup_write_xattr(cgroup_fd, all[i].name, all[i].value) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

/* Before and after: a pid that has become another one's within the microseconds between is not to be had,
 * since all others would have to be used up first. */
static int put_in(int root_fd, int cgroup_fd, const struct run_order *o)
{
    char pid[16];
    int r;

    if (!is_he(root_fd, o))
        return -ESRCH;
    (void)snprintf(pid, sizeof(pid), "%d", (int)o->pid);
    r = file_write_at(cgroup_fd, "cgroup.procs", pid);
    return r == 0 && !is_he(root_fd, o) ? -ESRCH : r;
}

int run_make(int root_fd, const struct hierarchy *h, const struct run_order *o, uint64_t *ret_id)
{
    _cleanup_close_ int fd = -1;
    uint64_t id;
    int r;

    if (mkdirat(h->fd, o->path, 0755) < 0)
        return -errno;
    fd = cgroup_open(h, o->path);
    if (fd < 0)
        return fd;
    (void)fchmod(fd, 0755); /* whatever our umask is: who started it reads what it came to */
    r = file_exists_at(fd, "memory.current") ? cgroup_read_id(fd, &id) : -EOPNOTSUPP;
    if (r == 0)
        r = run_write_attributes(fd, &o->attributes, o->owner_uid);
    if (r == 0)
        r = put_in(root_fd, fd, o);
    if (r < 0)
        (void)unlinkat(h->fd, o->path, AT_REMOVEDIR);
    else
        *ret_id = id;
    return r;
}

int run_read_owner(int cgroup_fd, uid_t *ret_uid)
{
    struct cgroup_identity who;
    uint64_t uid = 0;
    char value[32];

    if (cgroup_read_identity(cgroup_fd, &who) < 0 || who.owner_uid != 0 ||
        cgroup_read_xattr(cgroup_fd, HISTORY_MARK, value, sizeof(value)) < 0)
        return -ENOENT;
    if (cgroup_read_xattr(cgroup_fd, OWNER, value, sizeof(value)) >= 0 &&
        (text_parse_u64(text_from(value), &uid) < 0 || uid > UINT32_MAX))
        return -ENOENT;
    *ret_uid = (uid_t)uid;
    return 0;
}

int run_remove(const struct hierarchy *h, const char *path, uint64_t id)
{
    _cleanup_close_ int fd = cgroup_open(h, path);
    uint64_t is;
    uid_t uid;

    if (fd < 0 || cgroup_read_id(fd, &is) < 0 || is != id || run_read_owner(fd, &uid) < 0)
        return -ENOENT;
    return unlinkat(h->fd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}
