#include "kernel/freezer.h"

#include <errno.h>
#include <stdint.h>

#include "kernel/file.h"

#define FREEZE "cgroup.freeze"

int freezer_read(int cgroup_fd, bool *ret_frozen)
{
    uint64_t value;
    int r;

    r = file_read_u64_at(cgroup_fd, FREEZE, &value);
    if (r < 0)
        return r;
    if (value > 1)
        return -EBADMSG;

    *ret_frozen = value == 1;
    return 0;
}

int freezer_write(int cgroup_fd, bool frozen)
{
    int r = file_write_at(cgroup_fd, FREEZE, frozen ? "1" : "0");

    return r < 0 ? r : 0;
}
