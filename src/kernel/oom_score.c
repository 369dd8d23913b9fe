#include "kernel/oom_score.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "base/text.h"
#include "kernel/file.h"

#define ADJ_MAX 1000 /* OOM_SCORE_ADJ_MAX of linux/oom.h; the least is its negative */

static void adj_path(char *ret, size_t size, pid_t pid)
{
    (void)snprintf(ret, size, "proc/%d/oom_score_adj", (int)pid);
}

int oom_score_parse_adj(const char *buf, size_t length, int *ret_adj)
{
    struct text rest = {buf, length}, line;
    bool negative;
    uint64_t value;

    if (!text_next_line(&rest, &line) || rest.length > 0)
        return -EBADMSG;
    negative = line.length > 0 && line.at[0] == '-';
    if (negative)
        line = (struct text){line.at + 1, line.length - 1};
    if (text_parse_u64(line, &value) < 0 || value > ADJ_MAX)
        return -EBADMSG;

    *ret_adj = negative ? -(int)value : (int)value;
    return 0;
}

int oom_score_read_adj(int root_fd, pid_t pid, int *ret_adj)
{
    char path[64], buf[32];
    ssize_t n;

    adj_path(path, sizeof(path), pid);
    n = file_read_at(root_fd, path, buf, sizeof(buf));
    return n < 0 ? (int)n : oom_score_parse_adj(buf, (size_t)n, ret_adj);
}

int oom_score_write_adj(int root_fd, pid_t pid, int adj)
{
    char path[64], value[16];
    int r;

    if (adj < -ADJ_MAX || adj > ADJ_MAX)
        return -EINVAL;

    adj_path(path, sizeof(path), pid);
    (void)snprintf(value, sizeof(value), "%d", adj);
    r = file_write_at(root_fd, path, value);
    return r < 0 ? r : 0;
}
