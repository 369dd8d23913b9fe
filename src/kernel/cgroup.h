/* The cgroup v2 hierarchy: where it is, what it can do, and one cgroup in it.
 * A cgroup is named by its path relative to the hierarchy's root, without leading slash; "" is the root. Its
 * id (inode number of the directory, 64 bits; kernfs: generation << 32 | index, handed out in increasing
 * order) tells a new cgroup of an old name apart, and tells which of two groups is the newer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

#define CGROUP_PATH_MAX 256 /* longest path handled; a longer one makes its parent the unit */

struct hierarchy {
    int fd;              /* the root directory, -1: none */
    char mount[128];     /* where it is mounted, for messages: "/sys/fs/cgroup" */
    bool memory;         /* the root's cgroup.controllers lists memory */
    bool real_root;      /* false in a container whose root is a cgroup of the host (it has cgroup.type) */
    bool read_only;      /* mounted ro */
    bool recursive_prot; /* memory_recursiveprot */
    bool local_events;   /* memory_localevents: memory.events itself is local */
    bool hybrid;         /* cgroup v1 controllers are mounted beside it */
};

/* Finds the cgroup2 mount in <root>/proc/self/mountinfo (a tree without that file: <root>/sys/fs/cgroup where
 * it has cgroup.controllers). -ENOENT: no cgroup v2 here. */
int hierarchy_open(int root_fd, struct hierarchy *ret) _nodiscard_;
void hierarchy_close(struct hierarchy *h);
/* The same, on the text of a mountinfo file: fills all but fd, memory and real_root. */
int hierarchy_parse_mountinfo(const char *buf, size_t length, struct hierarchy *ret) _nodiscard_;

/* Directory fd. -ENOENT: gone; -EINVAL: an absolute path, or one with "..": it would leave the hierarchy. */
int cgroup_open(const struct hierarchy *h, const char *path) _nodiscard_;
int cgroup_read_id(int cgroup_fd, uint64_t *ret_id) _nodiscard_;
/* Our own path in the hierarchy, from <root>/proc/self/cgroup ("0::/…"). -ENOENT: no such line; -EXDEV:
 * outside of our cgroup namespace; -ENAMETOOLONG. */
int cgroup_read_own_path(int root_fd, char ret[static CGROUP_PATH_MAX]) _nodiscard_;
int cgroup_read_path_of(int root_fd, pid_t pid, char ret[static CGROUP_PATH_MAX]) _nodiscard_;
int cgroup_parse_proc_cgroup(const char *buf, size_t length, char ret[static CGROUP_PATH_MAX]) _nodiscard_;

/* cgroup.events: both keys 0/1. */
struct cgroup_events {
    bool populated;
    bool frozen;
};
int cgroup_events_parse(const char *buf, size_t length, struct cgroup_events *ret) _nodiscard_;
int cgroup_read_events(int cgroup_fd, struct cgroup_events *ret) _nodiscard_;

/* The first `max` pids of cgroup.procs (0 entries, of foreign pid namespaces, are left out); returns how many
 * were stored. *ret_more says that there were more. */
int cgroup_read_procs(int cgroup_fd, pid_t *ret_pids, size_t max, bool *ret_more) _nodiscard_;
/* Every pid of cgroup.procs, however many, without 0 entries. Return 0 from fn to go on; anything else is
 * passed up. */
typedef int (*cgroup_proc_fn)(void *user, pid_t pid);
int cgroup_each_proc(int cgroup_fd, cgroup_proc_fn fn, void *user);

enum cgroup_walk {
    CGROUP_WALK_ON,
    CGROUP_WALK_PAST, /* not into what is below it */
    CGROUP_WALK_STOP,
};
typedef enum cgroup_walk (*cgroup_walk_fn)(void *user, int cgroup_fd);
/* Calls fn for the cgroup, and then for those in it, at most depth_max levels below. What goes meanwhile, or
 * cannot be opened, is left out. Returns CGROUP_WALK_STOP where fn said so, else CGROUP_WALK_ON. */
enum cgroup_walk cgroup_walk(int cgroup_fd, unsigned depth_max, cgroup_walk_fn fn, void *user);

bool cgroup_list_has(const char *buf, size_t length,
                     const char *word); /* cgroup.controllers, subtree_control */

/* An extended attribute of the cgroup's directory as a string. -ENODATA: not set, -ERANGE: too long. */
int cgroup_read_xattr(int cgroup_fd, const char *name, char *ret, size_t size) _nodiscard_;
/* The names of all that are set, each ended by NUL: how many bytes. -ERANGE: they do not fit. */
ssize_t cgroup_list_xattrs(int cgroup_fd, char *ret_names, size_t size) _nodiscard_;

struct cgroup_identity {
    uint64_t id;
    uid_t owner_uid; /* of its directory: who may create below it and set its attributes */
    bool is_leaf; /* no cgroup below it. False where that cannot be told (a file system that counts no links
                   * of directories), so false says nothing */
};
/* In one call what is wanted of a group at each walk. */
int cgroup_read_identity(int cgroup_fd, struct cgroup_identity *ret) _nodiscard_;
/* CPU time that was used in it and below, since it was made (cpu.stat: usage_usec; needs no controller). */
int cgroup_read_cpu_usec(int cgroup_fd, uint64_t *ret_usec) _nodiscard_;
int cgroup_write_xattr(int cgroup_fd, const char *name, const char *value);

/* "a/b" is below "a" and equals "a"; "ab" is not below "a"; everything is below "". */
bool cgroup_path_is_below(const char *path, const char *ancestor);
/* base + "/" + name. -ENAMETOOLONG where that does not fit. */
int cgroup_path_join(char ret[static CGROUP_PATH_MAX], const char *base, const char *name) _nodiscard_;
