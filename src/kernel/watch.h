/* The kernel's word that something of a cgroup has changed, by inotify. Cgroups are made and removed by mkdir
 * and rmdir, which tell the watches of the directory above like those of any file system; cgroup.events tells
 * when `populated` or `frozen` has become another (checked on 6.18; the latter up to 10 ms late, since the
 * kernel does it at most 100 times a second, and from a work queue).
 *
 * A watch keeps the inode it is on, also of a cgroup that has gone: whoever adds one removes it. */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

int watch_open(void) _nodiscard_; /* a descriptor, of the caller's to close, or negative errno */
/* A watch, or negative errno (-ENOSPC: fs.inotify.max_user_watches). The same again gives the same one. */
int watch_add_children(int watch_fd, int cgroup_fd) _nodiscard_; /* one came or went */
int watch_add_events(int watch_fd, int cgroup_fd) _nodiscard_;   /* of its cgroup.events */
void watch_remove(int watch_fd, int watch);
/* Takes all news off the queue. True where there was any, or that cannot be told. */
bool watch_drain(int watch_fd);
