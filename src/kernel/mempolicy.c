#include "kernel/mempolicy.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/nodelist.h"
#include "kernel/numa.h"

/* linux/mempolicy.h; MPOL_PREFERRED_MANY (5.15) falls back to other nodes, where MPOL_BIND would fail. */
#define POLICY_DEFAULT 0
#define POLICY_PREFERRED_MANY 5

int mempolicy_prefer_of(int root_fd, int cgroup_fd)
{
    unsigned long mask[sizeof(uint64_t) / sizeof(unsigned long)];
    uint64_t all, mems = 0;
    int r = numa_read_nodes(root_fd, &all);

    if (r == -ENOENT || (r == 0 && (all & (all - 1)) == 0)) /* a kernel without NUMA, or one node */
        return 0;
    if (r == 0)
        r = numa_read_mems(cgroup_fd, 0, &mems);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    mems &= all;
    if (mems == 0 || mems == all)
        return 0;
    memcpy(mask, &mems, sizeof(mask)); /* bit n is node n, on little-endian machines of 32 bits, too */
    r = (int)syscall(SYS_set_mempolicy, POLICY_PREFERRED_MANY, mask,
                     (unsigned long)NODELIST_MAX + 1); /* the kernel takes one off */
    return r < 0 ? -errno : 1;
}

void mempolicy_reset(void)
{
    (void)syscall(SYS_set_mempolicy, POLICY_DEFAULT, NULL, 0UL);
}
