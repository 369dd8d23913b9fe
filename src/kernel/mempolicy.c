#include "kernel/mempolicy.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/file.h"

#define NODES_ONLINE "sys/devices/system/node/online"
#define LIST_MAX 4096
#define WORD_BITS (8 * sizeof(unsigned long))
/* linux/mempolicy.h; MPOL_PREFERRED_MANY (5.15) falls back to other nodes, where MPOL_BIND would fail. */
#define POLICY_DEFAULT 0
#define POLICY_PREFERRED_MANY 5

static int parse_number(const char **at, const char *end, unsigned *ret)
{
    unsigned n = 0;
    const char *from = *at;

    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        n = n * 10 + (unsigned)(**at - '0');
        if (n >= NODE_SET_MAX)
            return -EBADMSG;
    }
    *ret = n;
    return *at == from ? -EBADMSG : 0;
}

static void add(struct node_set *s, unsigned node)
{
    unsigned long bit = 1UL << node % WORD_BITS;

    s->count += !(s->bits[node / WORD_BITS] & bit);
    s->bits[node / WORD_BITS] |= bit;
}

int node_set_parse(const char *buf, size_t length, struct node_set *ret)
{
    const char *at = buf, *end = buf + length;
    struct node_set s = {0};

    while (end > at && (end[-1] == '\n' || end[-1] == ' '))
        end--;
    while (at < end) {
        unsigned first, last;
        int r = parse_number(&at, end, &first);

        last = first;
        if (r == 0 && at < end && *at == '-') {
            at++;
            r = parse_number(&at, end, &last);
        }
        if (r < 0 || last < first || (at < end && *at != ','))
            return -EBADMSG;
        if (at < end && ++at == end)
            return -EBADMSG;
        for (unsigned node = first; node <= last; node++)
            add(&s, node);
    }
    *ret = s;
    return 0;
}

static int read_nodes(int dir_fd, const char *path, struct node_set *ret)
{
    char text[LIST_MAX];
    ssize_t n = file_read_at(dir_fd, path, text, sizeof(text));

    return n < 0 ? (int)n : node_set_parse(text, (size_t)n, ret);
}

int mempolicy_prefer_of(int root_fd, int cgroup_fd)
{
    struct node_set online, group;
    int r = read_nodes(root_fd, NODES_ONLINE, &online);

    if (r == -ENOENT || (r == 0 && online.count < 2)) /* or a kernel without NUMA */
        return 0;
    if (r == 0)
        r = read_nodes(cgroup_fd, "cpuset.mems.effective", &group);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (group.count == 0 || memcmp(group.bits, online.bits, sizeof(group.bits)) == 0)
        return 0;
    r = (int)syscall(SYS_set_mempolicy, POLICY_PREFERRED_MANY, group.bits,
                     (unsigned long)NODE_SET_MAX + 1); /* the kernel takes one off */
    return r < 0 ? -errno : 1;
}

void mempolicy_reset(void)
{
    (void)syscall(SYS_set_mempolicy, POLICY_DEFAULT, NULL, 0UL);
}
