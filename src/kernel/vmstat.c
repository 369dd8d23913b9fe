#include "kernel/vmstat.h"

#include <errno.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"

#define PAGE_BYTES UINT64_C(4096)

#define KEY(key, member) TEXT_KEY(key, struct vmstat, member)
#define SWAP_KEY(key, member) TEXT_KEY(key, struct vmstat_swap, member)

/* In the order in which the kernel prints them. */
static const struct text_key keys[] = {
    KEY("pgpgin", read),
    KEY("pswpin", swap_in),
    KEY("pswpout", swap_out),
};
static const struct text_key swap_keys[] = {
    SWAP_KEY("pswpin", in),
    SWAP_KEY("pswpout", out),
    SWAP_KEY("zswpin", zswap_in),
    SWAP_KEY("zswpout", zswap_out),
};

enum {
    SEEN_NEEDED = 1 << 0 | 1 << 1,      /* pgpgin, pswpin */
    SEEN_SWAP_NEEDED = 1 << 0 | 1 << 1, /* pswpin, pswpout */
};

static void pages_to_bytes(uint64_t *n)
{
    *n = u64_mul_div(*n, PAGE_BYTES, 1);
}

int vmstat_parse(const char *buf, size_t length, struct vmstat *ret)
{
    struct vmstat v = {0};
    uint64_t seen = 0;
    int r = text_parse_keyed((struct text){buf, length}, keys, ARRAY_SIZE(keys), &v, &seen);

    if (r < 0)
        return r;
    if ((seen & SEEN_NEEDED) != SEEN_NEEDED)
        return -EBADMSG;
    v.read = u64_mul_div(v.read, KIB, 1);
    pages_to_bytes(&v.swap_in);
    pages_to_bytes(&v.swap_out);
    *ret = v;
    return 0;
}

int vmstat_swap_parse(const char *buf, size_t length, struct vmstat_swap *ret)
{
    struct vmstat_swap v = {0};
    uint64_t seen = 0;
    int r = text_parse_keyed((struct text){buf, length}, swap_keys, ARRAY_SIZE(swap_keys), &v, &seen);

    if (r < 0)
        return r;
    if ((seen & SEEN_SWAP_NEEDED) != SEEN_SWAP_NEEDED)
        return -EBADMSG;
    pages_to_bytes(&v.in);
    pages_to_bytes(&v.out);
    pages_to_bytes(&v.zswap_in);
    pages_to_bytes(&v.zswap_out);
    *ret = v;
    return 0;
}

int vmstat_pread(int fd, struct vmstat *ret)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_pread(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : vmstat_parse(buf, (size_t)n, ret);
}

int vmstat_swap_pread(int fd, struct vmstat_swap *ret)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_pread(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : vmstat_swap_parse(buf, (size_t)n, ret);
}

int vmstat_open(int root_fd)
{
    return file_open_read(root_fd, "proc/vmstat");
}
