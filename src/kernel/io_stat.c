#include "kernel/io_stat.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"

#define WRITTEN "wbytes="

static bool is_disk(const struct swap_disks *disks, struct text name)
{
    for (unsigned i = 0; i < disks->count; i++)
        if (text_equal(name, disks->names[i]))
            return true;
    return false;
}

/* "254:16 rbytes=8192 wbytes=4096 rios=2 wios=1 dbytes=0 dios=0"; of a device with io.cost more follows. */
int io_stat_parse(const char *buf, size_t length, const struct swap_disks *disks, uint64_t *ret_written)
{
    const size_t skip = strlen(WRITTEN);
    struct text rest = {buf, length}, line, word;
    uint64_t sum = 0, bytes;

    while (text_next_line(&rest, &line)) {
        bool found = false;

        if (!text_next_word(&line, &word) || !is_disk(disks, word))
            continue;
        while (!found && text_next_word(&line, &word))
            found = word.length > skip && memcmp(word.at, WRITTEN, skip) == 0;
        if (!found || text_parse_u64((struct text){word.at + skip, word.length - skip}, &bytes) < 0)
            return -EBADMSG;
        sum = u64_add_cap(sum, bytes);
    }
    *ret_written = sum;
    return 0;
}

int io_stat_read_at(int dir_fd, const struct swap_disks *disks, uint64_t *ret_written)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_read_record_at(dir_fd, "io.stat", buf, sizeof(buf));

    if (n == -ENODATA) /* nothing was read or written there yet */
        n = 0;
    return n < 0 ? (int)n : io_stat_parse(buf, (size_t)n, disks, ret_written);
}
