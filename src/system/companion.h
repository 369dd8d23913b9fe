/* Processes forked from the daemon at start, before it locks its memory: a later fork would copy the locked
 * pages just when memory is short. Each holds one end of a SOCK_SEQPACKET pair, so that a message is whole or
 * not there; when the other end closes, the companion reads end-of-file, and ends when it has done what that
 * means to it. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

struct companion {
    pid_t pid; /* 0: not running */
    int pidfd; /* readable when it has ended; -1 where the kernel has none */
    int fd;    /* our end, non-blocking */
};

/* Runs in the child; its return value is the exit status. `fd` is the child's end, blocking. */
typedef int (*companion_main_fn)(int fd, void *user);

/* Descriptors 3 and up other than the pair and `keep_fd` (−1: none) are closed in the child; SIGTERM, SIGINT,
 * SIGHUP and SIGPIPE are ignored there, so that only end-of-file ends it. */
int companion_start(struct companion *c, const char *name, int keep_fd, companion_main_fn main_fn,
                    void *user) _nodiscard_;
/* What a child becomes first: its name, signals and descriptors as said above. For a companion that forks one
 * of its own. */
void companion_become(const char *name, int fd, int keep_fd);
/* Closes our end and reaps. It does not wait for ever: after wait_usec the child is left to init. */
void companion_stop(struct companion *c, uint64_t wait_usec);

/* -EAGAIN: the companion is behind; -EPIPE or -ECONNREFUSED: it is gone. */
int companion_send(const struct companion *c, const void *message, size_t size);
/* One message; its size, 0 for end-of-file, -EAGAIN for none. */
ssize_t companion_receive(const struct companion *c, void *ret, size_t size) _nodiscard_;

/* Locks the memory of the calling process: the program's code in full, `stack_bytes` of stack, and of
 * everything else, present and future, what is touched, as soon as it is (a companion shares with the loop
 * what neither writes to). */
int memory_lock(size_t stack_bytes);
/* All of it, at once. */
int memory_lock_data(void *at, size_t bytes);
