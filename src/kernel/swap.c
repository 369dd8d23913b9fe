/* zram promises more than it can hold: its disksize is usually half of memory or more, and every page that
 * goes there takes its compressed size from the very memory that is short. */
#include "kernel/swap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"

#define RATIO_EMPTY 2 /* of zram, while there is too little in it to tell */
#define RATIO_MAX 4
#define WASTE_SHARE 8
#define ZRAM_FULL_PART 16 /* less of it is free: what comes goes to a disk */
/* The pool keeps pages that are partly used: of less than this its ratio says nothing (seen: 0.2 when nearly
 * all had been freed). */
#define RATIO_LEAST_BYTES (16 * MIB)

/* "zramN", and nothing else. */
static bool is_zram_name(struct text name)
{
    uint64_t number;

    return name.length > 4 && memcmp(name.at, "zram", 4) == 0 &&
           text_parse_u64((struct text){name.at + 4, name.length - 4}, &number) == 0;
}

static struct text base_name(struct text path)
{
    const char *slash = path.length > 0 ? memrchr(path.at, '/', path.length) : NULL;
    size_t skip = slash ? (size_t)(slash + 1 - path.at) : 0;

    return (struct text){path.at + skip, path.length - skip};
}

static int parse_kib(struct text t, uint64_t *ret_bytes)
{
    uint64_t kib;

    if (text_parse_u64(t, &kib) < 0 || __builtin_mul_overflow(kib, KIB, ret_bytes))
        return -EBADMSG;
    return 0;
}

/* "/dev/zram0 partition 524284 0 -2". Blanks in names are octal escapes, so that words are fields. */
static int scan_swaps_line(void *user, struct text line)
{
    struct swap_areas *areas = user;
    struct text name, type, word;
    uint64_t size, used;

    if (!text_next_word(&line, &name) || text_equal(name, "Filename"))
        return 0;
    if (!text_next_word(&line, &type) || !text_next_word(&line, &word) || parse_kib(word, &size) < 0 ||
        !text_next_word(&line, &word) || parse_kib(word, &used) < 0)
        return -EBADMSG;

    if (text_equal(type, "partition") &&
        is_zram_name(base_name(name))) { /* a file may be called zram0, too */
        areas->zram_size = u64_add_cap(areas->zram_size, size);
        areas->zram_used = u64_add_cap(areas->zram_used, used);
    } else {
        areas->disk_size = u64_add_cap(areas->disk_size, size);
        areas->disk_used = u64_add_cap(areas->disk_used, used);
    }
    return 0;
}

int swap_parse_swaps(const char *buf, size_t length, struct swap_areas *ret)
{
    struct text rest = {buf, length}, line;
    struct swap_areas areas = {0};
    int r;

    while (text_next_line(&rest, &line)) {
        r = scan_swaps_line(&areas, line);
        if (r < 0)
            return r;
    }
    *ret = areas;
    return 0;
}

int swap_parse_mm_stat(const char *buf, size_t length, struct swap_areas *areas)
{
    struct text rest = {buf, length}, line, word;
    uint64_t values[3]; /* orig_data_size compr_data_size mem_used_total, in bytes (4.1) */

    if (!text_next_line(&rest, &line))
        return -EBADMSG;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        if (!text_next_word(&line, &word) || text_parse_u64(word, &values[i]) < 0)
            return -EBADMSG;

    areas->zram_stored = u64_add_cap(areas->zram_stored, values[0]);
    areas->zram_compressed = u64_add_cap(areas->zram_compressed, values[1]);
    areas->zram_pool = u64_add_cap(areas->zram_pool, values[2]);
    return 0;
}

struct block_walk {
    struct swap_areas *areas;
    int block_fd;
};

static int read_block_entry(void *user, const char *name, unsigned char type _unused_,
                            uint64_t inode _unused_)
{
    const struct block_walk *walk = user;
    char path[64], buf[256];
    ssize_t n;

    if (!is_zram_name(text_from(name)))
        return 0;
    n = snprintf(path, sizeof(path), "%s/mm_stat", name);
    if ((size_t)n >= sizeof(path))
        return 0;
    n = file_read_at(walk->block_fd, path, buf, sizeof(buf));
    if (n == -ENOENT || n == -ENODEV || n == -ENODATA)
        return 0; /* removed just now (hot_remove), or a kernel before 4.1 */
    return n < 0 ? (int)n : swap_parse_mm_stat(buf, (size_t)n, walk->areas);
}

/* All zram devices, also one that carries a file system: its pool is memory that nobody else can have, all
 * the same. */
static int read_zram(int root_fd, struct swap_areas *areas)
{
    _cleanup_close_ int fd = file_open_dir(root_fd, "sys/block");
    struct block_walk walk = {areas, fd};

    if (fd == -ENOENT)
        return 0;
    return fd < 0 ? fd : file_each_entry(fd, read_block_entry, &walk);
}

int swap_read(int root_fd, struct swap_areas *ret)
{
    _cleanup_close_ int fd = file_open_read(root_fd, "proc/swaps");
    struct swap_areas areas = {0};
    int r;

    if (fd < 0 && fd != -ENOENT) /* without CONFIG_SWAP there is no such file */
        return fd;
    if (fd >= 0) {
        r = file_each_line(fd, scan_swaps_line, &areas);
        if (r < 0)
            return r;
    }
    r = read_zram(root_fd, &areas);
    if (r < 0)
        return r;
    *ret = areas;
    return 0;
}

struct disks_scan {
    struct swap_areas *areas;
    struct swap_disks *disks;
    int class_fd; /* <root>/sys/class/block */
};

static bool read_disk(const struct disks_scan *scan, struct text name)
{
    struct swap_disks *d = scan->disks;
    char at[64], path[96], buf[sizeof(d->names[0])];
    struct text number;
    ssize_t n;

    if (d->count == SWAP_DISKS_MAX || text_copy(name, at, sizeof(at)) < 0)
        return false;
    (void)snprintf(path, sizeof(path), "%s/partition", at);
    if (file_exists_at(scan->class_fd, path))
        return false;
    (void)snprintf(path, sizeof(path), "%s/dev", at);
    n = file_read_at(scan->class_fd, path, buf, sizeof(buf));
    if (n <= 0)
        return false;
    number = text_trim((struct text){buf, (size_t)n});
    return text_copy(number, d->names[d->count++], sizeof(d->names[0])) == 0;
}

static int scan_disks_line(void *user, struct text line)
{
    const struct disks_scan *scan = user;
    struct text name, type;
    int r = scan_swaps_line(scan->areas, line);

    if (r < 0 || !text_next_word(&line, &name) || !text_next_word(&line, &type) ||
        text_equal(name, "Filename"))
        return r;
    if (text_equal(type, "partition") && is_zram_name(base_name(name)))
        return 0;
    if (!text_equal(type, "partition") || !read_disk(scan, base_name(name)))
        scan->disks->known = false;
    return 0;
}

int swap_read_disks(int root_fd, struct swap_areas *ret_areas, struct swap_disks *ret)
{
    _cleanup_close_ int fd = file_open_read(root_fd, "proc/swaps");
    _cleanup_close_ int class_fd = file_open_dir(root_fd, "sys/class/block");
    struct swap_areas areas = {0};
    struct swap_disks disks = {.known = class_fd >= 0};
    const struct disks_scan scan = {&areas, &disks, class_fd};
    int r = 0;

    if (fd < 0 && fd != -ENOENT)
        return fd;
    if (fd >= 0)
        r = file_each_line(fd, scan_disks_line, (void *)&scan);
    if (r < 0)
        return r;
    *ret_areas = areas;
    *ret = disks;
    return 0;
}

uint64_t swap_effective_bytes(const struct swap_areas *areas, uint64_t resident_bytes)
{
    uint64_t disk = u64_sub_floor(areas->disk_size, areas->disk_used);
    uint64_t zram = u64_sub_floor(areas->zram_size, areas->zram_used);
    uint64_t taken = u64_add_cap(areas->zram_compressed, areas->zram_compressed / WASTE_SHARE);
    uint64_t place = u64_add_cap(resident_bytes, u64_sub_floor(areas->zram_pool, taken));
    uint64_t whole = u64_mul_div(place, RATIO_EMPTY, 1);

    if (taken > 0 && areas->zram_stored >= RATIO_LEAST_BYTES)
        whole = u64_mul_div(place, areas->zram_stored, taken);
    whole = u64_min(whole, u64_mul_div(place, RATIO_MAX, 1));
    return u64_add_cap(disk, u64_min(zram, u64_sub_floor(whole, resident_bytes)));
}

bool swap_writes_to_disk(const struct swap_areas *areas)
{
    uint64_t zram_free = u64_sub_floor(areas->zram_size, areas->zram_used);

    return areas->disk_size > 0 &&
           (areas->zram_size == 0 || areas->disk_used > 0 || zram_free < areas->zram_size / ZRAM_FULL_PART);
}

uint64_t swap_zswap_pool_max(int root_fd, uint64_t total_bytes)
{
    char enabled[8];
    uint64_t percent;
    ssize_t n = file_read_at(root_fd, "sys/module/zswap/parameters/enabled", enabled, sizeof(enabled));

    if (n < 1 || enabled[0] != 'Y' ||
        file_read_u64_at(root_fd, "sys/module/zswap/parameters/max_pool_percent", &percent) < 0 ||
        percent > 100)
        return 0;
    return u64_mul_div(total_bytes, percent, 100);
}
