/* The counters of memory.events and memory.events.local (Documentation/admin-guide/cgroup-v2.rst).
 * memory.events is hierarchical: a child's breach of its own limit raises the parent's `high` there, not in
 * memory.events.local (checked on 6.1, 6.12 and 7.2). Keys are compared whole; new ones may appear anywhere.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct memory_events {
    uint64_t low;
    uint64_t high;
    uint64_t max;
    uint64_t oom;
    uint64_t oom_kill;
    uint64_t oom_group_kill; /* 5.17; 0 where absent */
};

/* -EBADMSG: `high`, `max` or `oom` missing, or a value that is no number or over 64 bits. Of a key that comes
 * twice the first one counts. */
int memory_events_parse(const char *buf, size_t length, struct memory_events *ret) _nodiscard_;
int memory_events_pread(int fd, struct memory_events *ret) _nodiscard_;
int memory_events_read_at(int dir_fd, const char *name, struct memory_events *ret) _nodiscard_;
