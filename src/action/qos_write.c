#include "action/qos_write.h"

#include <errno.h>
#include <string.h>

#include "action/unit.h"
#include "base/units.h"
#include "kernel/file.h"
#include "kernel/reclaim.h"
#include "model/kubernetes.h"

#define NEAR_PART 64 /* of a limit: closer to it than this is at it */

bool qos_is_units(int root_fd, const struct lease *l)
{
    struct kube_place place;

    return !kube_place_parse(l->path, &place) && unit_manages(root_fd, l->path, l->knob);
}

/* The cgroup that the lease is of; not a new one of the same name. */
static int open_same(const struct hierarchy *h, const struct lease *l)
{
    _cleanup_close_ int fd = cgroup_open(h, l->path);
    uint64_t id;
    int r = fd < 0 ? fd : cgroup_read_id(fd, &id);

    if (r < 0)
        return r;
    return id == l->cgroup_id ? fd_steal(&fd) : -ENOENT;
}

static uint64_t limit_of(int fd, const char *knob, const struct lease *l, uint64_t value)
{
    uint64_t stands;

    if (strcmp(l->knob, knob) == 0)
        return value;
    return file_read_u64_at(fd, knob, &stands) < 0 ? UINT64_MAX : stands;
}

/* With `value` for the knob, would whoever writes all of the unit's limits have to reclaim? */
static bool is_at_limit(const struct hierarchy *h, const struct lease *l, uint64_t value)
{
    _cleanup_close_ int fd = open_same(h, l);
    uint64_t current, limit;

    if (fd < 0 || file_read_u64_at(fd, "memory.current", &current) < 0)
        return false;
    limit = u64_min(limit_of(fd, "memory.high", l, value), limit_of(fd, "memory.max", l, value));
    return u64_add_cap(current, limit / NEAR_PART) > limit;
}

enum qos_way qos_way_of(const struct hierarchy *h, int root_fd, const struct lease *l, uint64_t value,
                        bool lowers)
{
    bool back = value != l->ours;

    if (qos_is_units(root_fd, l) && (back || !is_at_limit(h, l, value)))
        return QOS_WAY_UNIT;
    return lowers ? QOS_WAY_LIMITED : QOS_WAY_PLAIN;
}

bool qos_is_untold(const struct hierarchy *h, int root_fd, const struct lease *l)
{
    uint64_t told;

    return qos_is_units(root_fd, l) &&
           (unit_read_drop_in(root_fd, l->path, l->knob, &told) < 0 || told != l->ours) &&
           !is_at_limit(h, l, l->ours);
}

int qos_write_limited(const struct hierarchy *h, const struct lease *l, uint64_t value)
{
    _cleanup_close_ int fd = open_same(h, l);
    int r = fd < 0 ? fd : reclaim_write_limit(fd, l->knob, value, QOS_WRITE_USEC);
    uint64_t stands;

    /* The kernel sets a limit before it reclaims for it. Taken for one that is on its way, what somebody
     * writes in its place next would be no drift. */
    if (r == 0 && file_read_u64_at(fd, l->knob, &stands) == 0 && stands == value)
        return KNOBS_WRITTEN;
    return r < 0 ? r : 1;
}

int qos_write_knob(const struct hierarchy *h, int root_fd, const struct lease *l, uint64_t value, bool lowers)
{
    _cleanup_close_ int fd = -1;

    switch (qos_way_of(h, root_fd, l, value, lowers)) {
    case QOS_WAY_PLAIN:
        return 0;
    case QOS_WAY_LIMITED:
        return qos_write_limited(h, l, value);
    case QOS_WAY_UNIT:
        break;
    }
    if (unit_set(h, l->path, l->knob, value) == 0)
        return 1;
    fd = cgroup_open(h, l->path);
    return fd == -ENOENT && unit_remove_drop_in(root_fd, l->path, l->knob) == 0 ? 1 : 0;
}

int qos_read_left(int root_fd, const struct lease *l, uint64_t *ret)
{
    return qos_is_units(root_fd, l) ? unit_read_drop_in(root_fd, l->path, l->knob, ret) : -ENOENT;
}
