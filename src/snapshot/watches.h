/* What of the hierarchy is watched, so that a walk need not look whether it is still the same (groups.c). A
 * table by the ids of cgroups, of groups and of what they are in. What cannot be watched is no error: then
 * each walk looks at everything. */
#pragma once

#include "snapshot/reader.h"

enum {
    WATCH_EVENTS = 1,   /* populated, frozen */
    WATCH_CHILDREN = 2, /* cgroups in it come and go */
};

void watches_init(struct snapshot_reader *r, struct group_watch *watches, unsigned max);
void watches_deinit(struct snapshot_reader *r);
/* A walk over all begins, and ends: what it has not come across is not watched any more. */
void watches_begin(struct snapshot_reader *r);
void watches_end(struct snapshot_reader *r);
/* Before what is watched is read. True where that is new: what was read before is to be read again. */
bool watches_note(struct snapshot_reader *r, uint64_t id, int cgroup_fd, unsigned kinds);
/* Whether all is as the last walk over all has left it. */
bool watches_tell_same(struct snapshot_reader *r);
