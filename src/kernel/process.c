#include "kernel/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"

#define PF_KTHREAD UINT64_C(0x00200000) /* linux/sched.h; since 2.6.27 */

/* Fields of /proc/PID/stat as proc(5) counts them; those after the command's name begin with the state, 3. */
enum {
    FIELD_STATE = 3,
    FIELD_PPID = 4,
    FIELD_SESSION = 6,
    FIELD_FLAGS = 9,
    FIELD_UTIME = 14,
    FIELD_STIME = 15,
    FIELD_THREADS = 20,
    FIELD_START = 22,
};

static uint64_t usec_from_ticks(uint64_t ticks)
{
    long per_second = sysconf(_SC_CLK_TCK);

    return u64_mul_div(ticks, USEC_PER_SEC, per_second > 0 ? (uint64_t)per_second : 100);
}

/* "PID (" at the front, and what is behind the last ')': a process names itself, with blanks and ')' if it
 * likes. */
static int split_stat(struct text t, uint64_t *ret_pid, struct text *ret_comm, struct text *ret_rest)
{
    const char *open, *close;
    uint64_t pid;

    open = t.length > 0 ? memchr(t.at, '(', t.length) : NULL;
    close = t.length > 0 ? memrchr(t.at, ')', t.length) : NULL;
    if (!open || !close || close < open)
        return -EBADMSG;
    if (text_parse_u64(text_trim((struct text){t.at, (size_t)(open - t.at)}), &pid) < 0 || pid > INT_MAX)
        return -EBADMSG;

    *ret_pid = pid;
    *ret_comm = (struct text){open + 1, (size_t)(close - open - 1)};
    *ret_rest = (struct text){close + 1, t.length - (size_t)(close + 1 - t.at)};
    return 0;
}

/* The wanted ones of the fields from `state` on; the others (some are negative) are not looked at. */
static int parse_stat_fields(struct text rest, char *ret_state, uint64_t values[static FIELD_START + 1])
{
    static const bool wanted[FIELD_START + 1] = {
        [FIELD_PPID] = true,  [FIELD_SESSION] = true, [FIELD_FLAGS] = true, [FIELD_UTIME] = true,
        [FIELD_STIME] = true, [FIELD_THREADS] = true, [FIELD_START] = true,
    };
    struct text word;

    for (int field = FIELD_STATE; field <= FIELD_START; field++) {
        if (!text_next_word(&rest, &word))
            return -EBADMSG;
        if (field == FIELD_STATE) {
            if (word.length != 1)
                return -EBADMSG;
            *ret_state = word.at[0];
        } else if (wanted[field]) {
            /* starttime may be the last word of a line of ours, cut from a longer one: its newline is no
             * digit */
            if (text_parse_u64(text_trim(word), &values[field]) < 0)
                return -EBADMSG;
        }
    }
    return 0;
}

int process_stat_parse(const char *buf, size_t length, struct process_stat *ret)
{
    uint64_t values[FIELD_START + 1] = {0}, pid;
    struct process_stat s = {0};
    struct text comm, rest;
    int r;

    r = split_stat((struct text){buf, length}, &pid, &comm, &rest);
    if (r < 0)
        return r;
    r = parse_stat_fields(rest, &s.state, values);
    if (r < 0)
        return r;
    if (values[FIELD_PPID] > INT_MAX || values[FIELD_SESSION] > INT_MAX || values[FIELD_THREADS] > INT_MAX)
        return -EBADMSG;
    if (text_copy(comm, s.comm, sizeof(s.comm)) < 0)
        return -EBADMSG;

    s.pid = (pid_t)pid;
    s.ppid = (pid_t)values[FIELD_PPID];
    s.session = (pid_t)values[FIELD_SESSION];
    s.cpu_usec = usec_from_ticks(u64_add_cap(values[FIELD_UTIME], values[FIELD_STIME]));
    s.start_usec = usec_from_ticks(values[FIELD_START]);
    s.kernel_thread = values[FIELD_FLAGS] & PF_KTHREAD;
    s.threads = (unsigned)values[FIELD_THREADS];
    *ret = s;
    return 0;
}

int process_read_stat(int root_fd, pid_t pid, struct process_stat *ret)
{
    char path[64], buf[2048]; /* 52 fields of at most 20 digits, and the name */
    ssize_t n;

    (void)snprintf(path, sizeof(path), "proc/%d/stat", (int)pid);
    n = file_read_at(root_fd, path, buf, sizeof(buf));
    return n < 0 ? (int)n : process_stat_parse(buf, (size_t)n, ret);
}

static const struct text_key memory_keys[] = {
    TEXT_KEY("RssAnon", struct process_memory, rss_anon), /* 4.5 */
    TEXT_KEY("RssShmem", struct process_memory, rss_shmem),
    TEXT_KEY("VmSwap", struct process_memory, swap),
};

struct memory_scan {
    struct process_memory memory;
    uint64_t seen;
};

static int scan_memory(void *user, struct text t)
{
    struct memory_scan *scan = user;

    return text_parse_keyed_kib(t, memory_keys, ARRAY_SIZE(memory_keys), &scan->memory, &scan->seen);
}

int process_memory_parse(const char *buf, size_t length, struct process_memory *ret)
{
    struct memory_scan scan = {0};
    int r;

    r = scan_memory(&scan, (struct text){buf, length});
    if (r < 0)
        return r;
    *ret = scan.memory;
    return 0;
}

int process_read_memory(int root_fd, pid_t pid, struct process_memory *ret)
{
    _cleanup_close_ int fd = -1;
    struct memory_scan scan = {0};
    char path[64];
    int r;

    (void)snprintf(path, sizeof(path), "proc/%d/status", (int)pid);
    fd = file_open_read(root_fd, path);
    if (fd < 0)
        return fd;
    /* By lines: a member of thousands of groups has a Groups: line that no buffer holds. */
    r = file_each_line(fd, scan_memory, &scan);
    if (r < 0)
        return r;
    *ret = scan.memory;
    return 0;
}

struct process_walk {
    process_fn fn;
    void *user;
};

static int walk_entry(void *user, const char *name, unsigned char type _unused_, uint64_t inode _unused_)
{
    const struct process_walk *walk = user;
    uint64_t pid;

    if (text_parse_u64(text_from(name), &pid) < 0 || pid > INT_MAX || name[0] == '0')
        return 0;
    return walk->fn(walk->user, (pid_t)pid);
}

int process_each(int root_fd, process_fn fn, void *user)
{
    _cleanup_close_ int fd = file_open_dir(root_fd, "proc");
    struct process_walk walk = {fn, user};

    return fd < 0 ? fd : file_each_entry(fd, walk_entry, &walk);
}

int process_read_uid(int root_fd, pid_t pid, uid_t *ret_uid)
{
    char path[32];
    struct stat st;

    (void)snprintf(path, sizeof(path), "proc/%d", (int)pid);
    if (fstatat(root_fd, path, &st, 0) < 0)
        return -errno;
    *ret_uid = st.st_uid;
    return 0;
}
