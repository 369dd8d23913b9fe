/* The groups of `headroom run`: made, given their attributes and a process, and removed. A group that was
 * made for a user stays root's, with user.headroom.owner for whose it is: he cannot change afterwards what it
 * says of itself, nor make others below it, and what it says is believed as far as any other group of his
 * (policy/claims). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "kernel/cgroup.h"
#include "model/run.h"

struct run_order {
    char path[CGROUP_PATH_MAX]; /* of the group, which is not there yet */
    pid_t pid;                  /* who goes into it */
    uint64_t start_usec;        /* his start time: the pid is not another one's by now */
    uid_t owner_uid;
    struct run_attributes attributes;
};

/* -ENOENT: what it would be in is not there; -EOPNOTSUPP: the memory controller is not enabled there; -ESRCH:
 * the process has gone. On failure nothing is left. mkdir and the move wait for the kernel (RCU: up to some
 * tens of milliseconds), so this is not for the loop. */
int run_make(int root_fd, const struct hierarchy *h, const struct run_order *o, uint64_t *ret_id) _nodiscard_;

/* What a group says of itself, with the mark of action/history. An owner of 0 is not written: it is so
 * without. */
int run_write_attributes(int cgroup_fd, const struct run_attributes *a, uid_t owner_uid) _nodiscard_;

/* Whose the group is where it was made by run_make; -ENOENT: it was not. */
int run_read_owner(int cgroup_fd, uid_t *ret_uid) _nodiscard_;

/* -EBUSY, -ENOTEMPTY: somebody is in it, or has made others below it. -ENOENT: it is gone, not of this id, or
 * was not made by run_make. */
int run_remove(const struct hierarchy *h, const char *path, uint64_t id);
