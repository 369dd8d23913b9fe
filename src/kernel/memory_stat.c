/* One pass over memory.stat. It has 45 keys on 6.1 and 70 on 7.2, of which 25 are wanted; for such a read the
 * scanning by sscanf costs twice what the kernel needs to write it. */
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
    KEY("pswpout", stat.swap_out),
    KEY("zswpin", stat.zswap_in),
};

enum { /* places in the table above, as bits of what was seen */
       SEEN_KERNEL = 1 << 2,
       SEEN_NEEDED = 1 << 0 | 1 << 1 | 1 << 8, /* anon, file, shmem */
       SEEN_SWAP_OUT = 1 << 25,
};

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
    s.stat.has_swap_out = seen & SEEN_SWAP_OUT;
    *ret = s.stat;
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
