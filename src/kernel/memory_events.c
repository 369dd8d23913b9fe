/* Counters only: whether a rise means anything is for the monitors, which know what they saw before. */
#include "kernel/memory_events.h"

#include <errno.h>

#include "base/text.h"
#include "kernel/file.h"

#define KEY(key, member) TEXT_KEY(key, struct memory_events, member)

static const struct text_key keys[] = {
    KEY("low", low), KEY("high", high),         KEY("max", max),
    KEY("oom", oom), KEY("oom_kill", oom_kill), KEY("oom_group_kill", oom_group_kill),
};

enum { /* `high`, `max` and `oom` in the table above, as bits of what was seen */
       SEEN_NEEDED = 1 << 1 | 1 << 2 | 1 << 3,
};

int memory_events_parse(const char *buf, size_t length, struct memory_events *ret)
{
    struct memory_events events = {0};
    uint64_t seen = 0;
    int r;

    r = text_parse_keyed((struct text){buf, length}, keys, ARRAY_SIZE(keys), &events, &seen);
    if (r < 0)
        return r;
    if ((seen & SEEN_NEEDED) != SEEN_NEEDED)
        return -EBADMSG;

    *ret = events;
    return 0;
}

int memory_events_pread(int fd, struct memory_events *ret)
{
    char buf[FILE_BUFFER_SIZE];
    ssize_t n = file_pread_record(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : memory_events_parse(buf, (size_t)n, ret);
}

int memory_events_read_at(int dir_fd, const char *name, struct memory_events *ret)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, name);

    return fd < 0 ? fd : memory_events_pread(fd, ret);
}
