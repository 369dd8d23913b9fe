/* The one way in which this layer touches /proc, /sys and the cgroup tree. Every call is relative to a
 * directory descriptor, so that a recorded tree of another machine is as good a root as "/" (after
 * util-linux' lib/path.c). Files are opened once and read with pread where they are read often: 3 to 10 times
 * cheaper than open+read+close, and a removed cgroup answers ENODEV instead of a look-up in the wrong place.
 * No call here allocates. EINTR is retried; every other error is returned as negative errno. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "base/text.h"

/* Largest file read whole in one piece: memory.stat is 1.5 to 2 KiB today, meminfo 1.5 KiB. */
#define FILE_BUFFER_SIZE 8192

int file_open_dir(int dir_fd, const char *path) _nodiscard_; /* O_RDONLY|O_DIRECTORY|O_CLOEXEC */
int file_open_read(int dir_fd, const char *path) _nodiscard_;

/* Reads from offset 0 to the end into buf, adds a NUL. Returns the length; -EFBIG when it does not fit whole
 * (a cut kernel file is never parsed), -ENODATA when it is empty. */
ssize_t file_pread(int fd, char *buf, size_t size) _nodiscard_;
/* The same in one call, for files that the kernel writes in one piece (all of cgroup v2's but cgroup.procs
 * and cgroup.threads, which are lists): seq_file gives such a record whole to whoever has the room, so what
 * comes back is all there is. */
ssize_t file_pread_record(int fd, char *buf, size_t size) _nodiscard_;
/* Opens, reads as above, closes. */
ssize_t file_read_at(int dir_fd, const char *path, char *buf, size_t size) _nodiscard_;
ssize_t file_read_record_at(int dir_fd, const char *path, char *buf, size_t size) _nodiscard_;

/* One write of the whole text, as cgroup files want it. -EIO for a short write. The call blocks as long as
 * the kernel works (lowering a limit reclaims in the writer's context): only the companions may use it for
 * memory.high, memory.max and memory.reclaim. EINTR is returned, so that it can be interrupted. */
int file_write_at(int dir_fd, const char *path, const char *value) _nodiscard_;
int file_write_u64_at(int dir_fd, const char *path, uint64_t value); /* UINT64_MAX writes "max" */

/* A file of one number (or "max" → UINT64_MAX). -EBADMSG: anything else, or over 64 bits. */
int file_read_u64_at(int dir_fd, const char *path, uint64_t *ret) _nodiscard_;
int file_pread_u64(int fd, uint64_t *ret) _nodiscard_;

bool file_exists_at(int dir_fd, const char *path);

/* One element name of a directory, read by raw getdents64: opendir would allocate 32 KiB. `inode` is the
 * cgroup id on a cgroup2 mount of a 64-bit kernel. Return 0 to go on, anything else ends the walk and is
 * passed up. */
typedef int (*file_entry_fn)(void *user, const char *name, unsigned char type, uint64_t inode);
int file_each_entry(int dir_fd, file_entry_fn fn, void *user); /* rewinds first */

/* Every line of a file that may be longer than any buffer (mountinfo, cgroup.procs), from offset 0, without
 * its newline. A line longer than FILE_BUFFER_SIZE − 1 is passed over. Return 0 to go on, as above. An empty
 * file is no error. */
typedef int (*file_line_fn)(void *user, struct text line);
int file_each_line(int fd, file_line_fn fn, void *user) _nodiscard_;

/* Whether the path leads to the root of this machine, however it is written ("/", "//", "/.", a link). */
bool file_is_root(const char *path);
