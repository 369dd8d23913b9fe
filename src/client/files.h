/* The few system calls that a test puts something in the place of: no trigger of the kernel's can be had
 * without pressure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What is at the path: S_IFREG and so on; 0: /dev/null's device. Negative errno. */
int files_kind(const char *path);
/* Non-blocking, closed on exec, never a terminal of ours. -ENOTTY: it is not of this kind (any more). */
int files_open(const char *path, int flags, mode_t kind);
/* A file of procfs or of a cgroup hierarchy, as a pressure file is. */
bool files_is_kernels(int fd);
/* All of it in one call, or a negative errno; -EIO: a part of it. */
int files_write(int fd, const void *data, size_t length);
/* A stream socket that is connected. Never SIGPIPE. */
int files_connect(const char *path);
int files_send(int fd, const void *data, size_t length);
