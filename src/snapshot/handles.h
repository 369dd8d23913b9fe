/* The memory of the snapshot: what is known of a group from one reading to the next. */
#pragma once

#include "snapshot/reader.h"

void handles_init(struct snapshot_reader *r);                                        /* all free */
struct group_handle *handle_find(struct snapshot_reader *r, uint64_t id, pid_t pid); /* NULL: not known */
/* A new handle with both set: a free one, else one that this walk has not come across (hours may lie between
 * two walks, and then most are of groups that are long gone). NULL: no more room. */
struct group_handle *handle_take(struct snapshot_reader *r, uint64_t id, pid_t pid);
void handle_drop(struct snapshot_reader *r, struct group_handle *h); /* it is free again */
void handles_unsee(struct snapshot_reader *r);
/* Those that this walk has not come across have ended: noted in the snapshot, and forgotten. */
void handles_drop_unseen(struct snapshot_reader *r, struct snapshot *s);
/* Its last process has gone, though the cgroup may stay. */
void handle_note_end(const struct group_handle *h, struct snapshot *s);

/* Notes what was read of the group, and fills in what is told from one walk to the next: growth_bytes, rate,
 * paused_usec, cpu_usec and cpu_permyriad. */
void handle_observe(struct group_handle *h, uint64_t now_usec, struct group *g);
/* Its CPU time was read; before handle_observe. */
void handle_note_cpu(struct group_handle *h, uint64_t now_usec, uint64_t cpu_usec);
/* Whether what changes slowly is to be read now (then this is not so again for a while). */
bool handle_is_aged(struct group_handle *h, uint64_t now_usec, bool frozen, uint32_t owner_uid);
/* By how much it has grown in the last GROUP_GROWTH_USEC (or since its birth, where that is less; 0 where
 * nothing is known of an old group). */
uint64_t handle_note_bytes(struct group_handle *h, uint64_t now_usec, uint64_t bytes);
/* How long it has stood still for memory, and for block devices, since ever (PSI `full`): to be told from two
 * readings at least GROUP_STALL_USEC apart. */
bool handle_wants_stalls(const struct group_handle *h, uint64_t now_usec);
void handle_note_stalls(struct group_handle *h, uint64_t now_usec, uint64_t memory_full_usec,
                        uint64_t io_full_usec);
/* A new life: nothing of the old one counts. */
void handle_reborn(struct group_handle *h, uint64_t birth_usec);
