/* /proc/meminfo by key. The kernel adds keys in the middle of it in most years; nothing here depends on the
 * order. */
#include "kernel/meminfo.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kernel/file.h"

struct meminfo_scratch {
    struct meminfo info;
    uint64_t slab_reclaimable;
};

#define KEY(key, member) TEXT_KEY(key, struct meminfo_scratch, member)

/* In the order in which the kernel prints them. */
static const struct text_key keys[] = {
    KEY("MemTotal", info.total),
    KEY("MemFree", info.free),
    KEY("MemAvailable", info.available),
    KEY("Active(file)", info.active_file),
    KEY("Inactive(file)", info.inactive_file),
    KEY("SwapTotal", info.swap_total),
    KEY("SwapFree", info.swap_free),
    KEY("AnonPages", info.anon),
    KEY("Shmem", info.shmem),
    KEY("KReclaimable", info.kreclaimable),
    KEY("SReclaimable", slab_reclaimable),
};
/* Thirty lines further on. */
static const struct text_key last_keys[] = {KEY("Hugetlb", info.hugetlb)};
#define LAST_KEYS "\nHugetlb:"

enum { /* places in the table above, as bits of what was seen */
       SEEN_TOTAL = 1 << 0,
       SEEN_FREE = 1 << 1,
       SEEN_AVAILABLE = 1 << 2,
       SEEN_KRECLAIMABLE = 1 << 9,
};

static int parse_last(const char *buf, size_t length, struct meminfo_scratch *s)
{
    const char *at = memmem(buf, length, LAST_KEYS, sizeof(LAST_KEYS) - 1);
    uint64_t seen = 0;

    if (!at)
        return 0;
    at++;
    return text_parse_keyed_kib((struct text){at, length - (size_t)(at - buf)}, last_keys,
                                ARRAY_SIZE(last_keys), s, &seen);
}

int meminfo_parse(const char *buf, size_t length, struct meminfo *ret)
{
    struct meminfo_scratch s = {0};
    uint64_t seen = 0;
    int r;

    r = text_parse_keyed_kib((struct text){buf, length}, keys, ARRAY_SIZE(keys), &s, &seen);
    if (r == 0)
        r = parse_last(buf, length, &s);
    if (r < 0)
        return r;
    if (!(seen & SEEN_TOTAL) || !(seen & SEEN_FREE))
        return -EBADMSG;

    if (!(seen & SEEN_KRECLAIMABLE))
        s.info.kreclaimable = s.slab_reclaimable;
    if (!(seen & SEEN_AVAILABLE)) {
        /* Not `cached`: that holds shmem, which cannot be dropped. */
        uint64_t pages = u64_add_cap(s.info.active_file, s.info.inactive_file);

        s.info.available = u64_add_cap(u64_add_cap(s.info.free, pages), s.info.kreclaimable);
    }
    *ret = s.info;
    return 0;
}

int meminfo_pread(int fd, struct meminfo *ret)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_pread_record(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : meminfo_parse(buf, (size_t)n, ret);
}

int meminfo_open(int root_fd)
{
    return file_open_read(root_fd, "proc/meminfo");
}
