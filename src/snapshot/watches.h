/* What of the hierarchy is watched, so that a walk need not look whether it is still the same (groups.c). A
 * table by the ids of cgroups, of groups and of what they are in. What cannot be watched is no error: then
 * each walk looks at everything.
 *
 * No event is ever expected to be missing, and still each watch is looked at within WATCH_AGE_USEC as if it
 * had told of something: a sixteenth of them at a time, so that no walk is long. Where walks are further
 * apart than a second, at most a quarter in one. */
#pragma once

#include "snapshot/reader.h"

#define WATCH_AGE_USEC (5 * USEC_PER_SEC)

enum {
    WATCH_EVENTS = 1,   /* populated, frozen */
    WATCH_CHILDREN = 2, /* cgroups in it come and go */
};

/* What this walk knows of a cgroup. */
enum watch_state {
    WATCH_UNKNOWN,
    WATCH_VISITED,
    WATCH_KEPT, /* it is there, and all below it is as before */
    WATCH_GONE,
};

void watches_init(struct snapshot_reader *r, struct group_watch *watches, unsigned max);
void watches_deinit(struct snapshot_reader *r);
/* A walk over all begins. */
void watches_begin(struct snapshot_reader *r);
/* A walk over what is told begins: it is marked. False: it is to be one over all. */
bool watches_take_news(struct snapshot_reader *r, uint64_t now_usec);
/* Before the hierarchy is walked: marks the way to all that is marked. False: there is nothing. */
bool watches_spread(struct snapshot_reader *r);
/* The walk over the hierarchy has ended. What is neither visited nor kept nor in something that is kept has
 * gone; that is known after the first, and not watched any more after the second. */
void watches_settle(struct snapshot_reader *r);
void watches_end(struct snapshot_reader *r);

struct group_watch *watches_find(struct snapshot_reader *r, uint64_t id); /* NULL: none */
/* Before what is watched is read; returns the place, i + 1, or 0. *ret_new: what was read before is to be
 * read again. */
unsigned watches_note(struct snapshot_reader *r, uint64_t id, int cgroup_fd, unsigned kinds, unsigned parent,
                      bool *ret_new);
/* Something went while it was looked at: the next walk visits it. */
void watches_look_again(struct snapshot_reader *r, unsigned place);
