/* The kernel's word that something of a cgroup has changed, by inotify. Cgroups are made and removed by mkdir
 * and rmdir, which tell the watches of the directory above like those of any file system; cgroup.events tells
 * when `populated` or `frozen` has become another (checked on 6.18; the latter up to 10 ms late, since the
 * kernel does it at most 100 times a second, and from a work queue).
 *
 * A watch keeps the inode it is on, also of a cgroup that has gone: whoever adds one removes it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

int watch_open(void) _nodiscard_; /* a descriptor, of the caller's to close, or negative errno */
/* A watch, or negative errno (-ENOSPC: fs.inotify.max_user_watches). The same again gives the same one. */
int watch_add_children(int watch_fd, int cgroup_fd) _nodiscard_; /* one came or went */
int watch_add_events(int watch_fd, int cgroup_fd) _nodiscard_;   /* of its cgroup.events */
/* By a path, of a directory whose files are replaced or written. */
int watch_add_files(int watch_fd, const char *directory) _nodiscard_;
void watch_remove(int watch_fd, int watch);

#define WATCH_NEWS_BITS 8192

/* What was told, by watch: a bit for each, some of them shared, so that one that was not meant may be looked
 * at in vain. */
struct watch_news {
    uint64_t bits[WATCH_NEWS_BITS / 64];
    bool any;
    bool lost;  /* there was more than the queue holds (fs.inotify.max_queued_events) */
    bool moved; /* renamed, or unmounted: never so of cgroup v2 */
};

/* Takes all news off the queue. -EBADF and the like: it cannot be told. */
int watch_read_news(int watch_fd, struct watch_news *ret) _nodiscard_;
bool watch_news_has(const struct watch_news *n, int watch); /* false for -1 */
void watch_drain(int watch_fd);                             /* nobody wants to know */
