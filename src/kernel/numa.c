#include "kernel/numa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "kernel/file.h"

#define NODES_DIR "sys/devices/system/node"
#define LEVELS_MAX 32

struct meminfo_scratch {
    struct numa_meminfo info;
    uint64_t slab_reclaimable;
};

#define KEY(key, member) TEXT_KEY(key, struct meminfo_scratch, member)

/* In the order in which the kernel prints them. */
static const struct text_key keys[] = {
    KEY("MemTotal", info.total),
    KEY("MemFree", info.free),
    KEY("Active(file)", info.active_file),
    KEY("Inactive(file)", info.inactive_file),
    KEY("KReclaimable", info.kreclaimable),
    KEY("SReclaimable", slab_reclaimable),
};

enum { SEEN_NEEDED = 1 << 0 | 1 << 1, SEEN_KRECLAIMABLE = 1 << 4 };

/* "Node 0 MemTotal:  524288 kB": what is behind the number. */
static bool skip_node(struct text *line)
{
    struct text word;
    uint64_t node;

    return text_next_word(line, &word) && text_equal(word, "Node") && text_next_word(line, &word) &&
           text_parse_u64(word, &node) == 0;
}

int numa_meminfo_parse(const char *buf, size_t length, struct numa_meminfo *ret)
{
    struct text rest = {buf, length}, line;
    struct meminfo_scratch s = {0};
    uint64_t seen = 0;

    while (text_next_line(&rest, &line)) {
        struct text all = line;
        int r;

        if (text_trim(line).length == 0)
            continue;
        if (!skip_node(&line))
            return -EBADMSG;
        line = text_trim((struct text){line.at, (size_t)(all.at + all.length - line.at)});
        r = text_parse_keyed_kib(line, keys, ARRAY_SIZE(keys), &s, &seen);
        if (r < 0)
            return r;
    }
    if ((seen & SEEN_NEEDED) != SEEN_NEEDED)
        return -EBADMSG;
    if ((seen & SEEN_KRECLAIMABLE) == 0)
        s.info.kreclaimable = s.slab_reclaimable;
    *ret = s.info;
    return 0;
}

int numa_meminfo_pread(int fd, struct numa_meminfo *ret)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_pread_record(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : numa_meminfo_parse(buf, (size_t)n, ret);
}

int numa_meminfo_open(int root_fd, unsigned node)
{
    char path[64];

    (void)snprintf(path, sizeof(path), NODES_DIR "/node%u/meminfo", node);
    return file_open_read(root_fd, path);
}

struct pools {
    int dir_fd;
    uint64_t bytes;
};

/* "hugepages-2048kB" */
static int add_pool(void *user, const char *name, unsigned char type, uint64_t inode)
{
    static const char prefix[] = "hugepages-";
    struct pools *p = user;
    struct text size = text_from(name);
    char path[64];
    uint64_t kib, pages;

    (void)type;
    (void)inode;
    if (size.length < sizeof(prefix) + 2 || memcmp(name, prefix, sizeof(prefix) - 1) != 0)
        return 0;
    size = (struct text){name + sizeof(prefix) - 1, size.length - (sizeof(prefix) - 1) - 2};
    (void)snprintf(path, sizeof(path), "%.40s/nr_hugepages", name);
    if (text_parse_u64(size, &kib) == 0 && file_read_u64_at(p->dir_fd, path, &pages) == 0)
        p->bytes = u64_add_cap(p->bytes, u64_mul_div(pages, u64_mul_div(kib, KIB, 1), 1));
    return 0;
}

uint64_t numa_read_hugetlb(int root_fd, unsigned node)
{
    char path[64];
    _cleanup_close_ int fd = -1;
    struct pools p;

    (void)snprintf(path, sizeof(path), NODES_DIR "/node%u/hugepages", node);
    fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p = (struct pools){.dir_fd = fd};
    if (fd >= 0)
        (void)file_each_entry(fd, add_pool, &p);
    return p.bytes;
}

static int read_list(int dir_fd, const char *path, uint64_t *ret)
{
    char buf[512]; /* of 1024 nodes, each second one would be longer: none of those is handled */
    ssize_t n = file_read_record_at(dir_fd, path, buf, sizeof(buf));

    return n < 0 ? (int)n : nodelist_parse((struct text){buf, (size_t)n}, ret);
}

int numa_read_nodes(int root_fd, uint64_t *ret_nodes)
{
    return read_list(root_fd, NODES_DIR "/has_memory", ret_nodes);
}

int numa_read_mems(int cgroup_fd, unsigned levels, uint64_t *ret_nodes)
{
    static const char name[] = "cpuset.mems.effective";
    char path[LEVELS_MAX * 3 + sizeof(name)] = "";
    int r = -ENOENT;

    for (unsigned up = 0; up <= levels && up < LEVELS_MAX && r == -ENOENT; up++) {
        memcpy(path + 3 * (size_t)up, name, sizeof(name));
        r = read_list(cgroup_fd, path, ret_nodes);
        memcpy(path + 3 * (size_t)up, "../", 4);
    }
    return r;
}

/* ---- memory.numa_stat ---- */

struct stat_walk {
    uint64_t nodes;
    unsigned seen;
    struct numa_stat stat;
};

static uint64_t *place_of(struct stat_walk *w, struct text key, unsigned *ret_bit)
{
    static const char *const names[] = {"anon", "shmem", "kernel_stack", "pagetables", "slab_unreclaimable"};
    uint64_t *const places[] = {&w->stat.anon, &w->stat.shmem, &w->stat.kernel, &w->stat.kernel,
                                &w->stat.kernel};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (text_equal(key, names[i])) {
            *ret_bit = 1U << i;
            return places[i];
        }
    return NULL;
}

/* "N0=4096" */
static int parse_part(struct text word, uint64_t *ret_node, uint64_t *ret_bytes)
{
    const char *equal = memchr(word.at, '=', word.length);
    size_t length = equal ? (size_t)(equal - word.at) : 0;

    return length > 1 && word.at[0] == 'N' &&
                   text_parse_u64((struct text){word.at + 1, length - 1}, ret_node) == 0 &&
                   text_parse_u64((struct text){equal + 1, word.length - length - 1}, ret_bytes) == 0
               ? 0
               : -EBADMSG;
}

static int take_line(void *user, struct text line)
{
    struct stat_walk *w = user;
    uint64_t node, bytes, sum = 0;
    struct text word;
    unsigned bit;
    uint64_t *place;

    if (!text_next_word(&line, &word) || !(place = place_of(w, word, &bit)) || (w->seen & bit) != 0)
        return 0;
    w->seen |= bit;
    while (text_next_word(&line, &word)) {
        if (parse_part(word, &node, &bytes) < 0)
            return -EBADMSG;
        if (node < NODELIST_MAX && (w->nodes & NODELIST_BIT(node)) != 0)
            sum = u64_add_cap(sum, bytes);
    }
    *place = u64_add_cap(*place, sum);
    return 0;
}

enum { STAT_NEEDED = 1 << 0 | 1 << 1 };

int numa_stat_parse(const char *buf, size_t length, uint64_t nodes, struct numa_stat *ret)
{
    struct stat_walk w = {.nodes = nodes};
    struct text rest = {buf, length}, line;

    while (text_next_line(&rest, &line))
        if (take_line(&w, line) < 0)
            return -EBADMSG;
    if ((w.seen & STAT_NEEDED) != STAT_NEEDED)
        return -EBADMSG;
    *ret = w.stat;
    return 0;
}

/* Line by line: with many nodes it is longer than any buffer here. */
int numa_stat_read_at(int cgroup_fd, uint64_t nodes, struct numa_stat *ret)
{
    _cleanup_close_ int fd = file_open_read(cgroup_fd, "memory.numa_stat");
    struct stat_walk w = {.nodes = nodes};
    int r = fd < 0 ? fd : file_each_line(fd, take_line, &w);

    if (r < 0)
        return r;
    if ((w.seen & STAT_NEEDED) != STAT_NEEDED)
        return -EBADMSG;
    *ret = w.stat;
    return 0;
}
