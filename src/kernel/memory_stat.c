/* One pass over memory.stat. It has 45 keys on 6.1 and 70 on 7.2, of which 25 are wanted, and is
 * left behind the last of them; for such a read the scanning by sscanf costs twice what the kernel needs to
 * write it. */
#include "kernel/memory_stat.h"

#include <errno.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"

struct memory_stat_scratch {
    struct memory_stat stat;
    uint64_t kernel_stack;
    uint64_t pagetables;
    uint64_t percpu;
    uint64_t vmalloc;
    uint64_t slab;
};

#define KEY(key, member) TEXT_KEY(key, struct memory_stat_scratch, member)

/* In the order in which the kernel prints them. */
static const struct text_key keys[] = {
    KEY("anon", stat.anon),
    KEY("file", stat.file),
    KEY("kernel", stat.kernel),
    KEY("kernel_stack", kernel_stack),
    KEY("pagetables", pagetables),
    KEY("percpu", percpu),
    KEY("sock", stat.sock),
    KEY("vmalloc", vmalloc),
    KEY("shmem", stat.shmem),
    KEY("zswap", stat.zswap),
    KEY("zswapped", stat.zswapped),
    KEY("file_dirty", stat.file_dirty),
    KEY("file_writeback", stat.file_writeback),
    KEY("swapcached", stat.swapcached),
    KEY("inactive_anon", stat.inactive_anon),
    KEY("active_anon", stat.active_anon),
    KEY("inactive_file", stat.inactive_file),
    KEY("active_file", stat.active_file),
    KEY("unevictable", stat.unevictable),
    KEY("slab_reclaimable", stat.slab_reclaimable),
    KEY("slab", slab),
    KEY("workingset_refault_anon", stat.workingset_refault_anon),
    KEY("workingset_refault_file", stat.workingset_refault_file),
    KEY("pgscan", stat.pgscan),
    KEY("pgsteal", stat.pgsteal),
};

enum { /* places in the table above, as bits of what was seen */
       SEEN_KERNEL = 1 << 2,
       SEEN_NEEDED = 1 << 0 | 1 << 1 | 1 << 8, /* anon, file, shmem */
};

#define SWAP_KEY(key, member) TEXT_KEY(key, struct memory_stat_swap, member)

static const struct text_key swap_keys[] = {
    SWAP_KEY("zswapped", zswapped),
    SWAP_KEY("workingset_refault_anon", workingset_refault_anon),
    SWAP_KEY("pswpout", out),
    SWAP_KEY("zswpin", zswap_in),
};

enum { SEEN_OUT = 1 << 2 };

int memory_stat_parse(const char *buf, size_t length, struct memory_stat *ret)
{
    struct memory_stat_scratch s = {0};
    uint64_t seen = 0;
    int r;

    r = text_parse_keyed((struct text){buf, length}, keys, ARRAY_SIZE(keys), &s, &seen);
    if (r < 0)
        return r;
    if ((seen & SEEN_NEEDED) != SEEN_NEEDED)
        return -EBADMSG;

    if (!(seen & SEEN_KERNEL)) {
        const uint64_t parts[] = {s.kernel_stack, s.pagetables, s.percpu, s.vmalloc, s.slab};

        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
            s.stat.kernel = u64_add_cap(s.stat.kernel, parts[i]);
    }
    *ret = s.stat;
    return 0;
}

int memory_stat_swap_parse(const char *buf, size_t length, struct memory_stat_swap *ret)
{
    struct memory_stat_swap s = {0};
    uint64_t seen = 0;
    int r = text_parse_keyed((struct text){buf, length}, swap_keys, ARRAY_SIZE(swap_keys), &s, &seen);

    if (r < 0)
        return r;
    s.has_out = seen & SEEN_OUT;
    *ret = s;
    return 0;
}

/* On the lists of anonymous memory, but in nobody's page tables: in the swap cache alone. */
static uint64_t unmapped(const struct memory_stat *m)
{
    uint64_t listed = u64_add_cap(m->inactive_anon, m->active_anon);

    return u64_min(u64_sub_floor(listed, u64_add_cap(m->anon, m->shmem)), m->swapcached);
}

uint64_t memory_stat_used(const struct memory_stat *m)
{
    uint64_t kernel = u64_add_cap(u64_sub_floor(m->kernel, m->slab_reclaimable), m->sock);

    return u64_add_cap(u64_add_cap(m->anon, m->shmem), kernel);
}

uint64_t memory_stat_only_swap(const struct memory_stat *m, uint64_t swap_current)
{
    return u64_sub_floor(swap_current, m->swapcached - unmapped(m));
}

uint64_t memory_stat_leaving(const struct memory_stat *m)
{
    return u64_min(unmapped(m), m->file_writeback);
}

int memory_stat_pread(int fd, struct memory_stat *ret)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_pread_record(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : memory_stat_parse(buf, (size_t)n, ret);
}

int memory_stat_read_at(int dir_fd, struct memory_stat *ret)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, "memory.stat");

    return fd < 0 ? fd : memory_stat_pread(fd, ret);
}

int memory_stat_swap_read_at(int dir_fd, struct memory_stat_swap *ret)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    _cleanup_close_ int fd = file_open_read(dir_fd, "memory.stat");
    ssize_t n = fd < 0 ? fd : file_pread_record(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : memory_stat_swap_parse(buf, (size_t)n, ret);
}
