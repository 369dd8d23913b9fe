/* The socket through which programs are told that memory is short: systemd's memory pressure protocol, with
 * the level in the byte (enum headroom_byte). Who has a place, and who is told when, is not decided here.
 *
 * What a client does costs it more than us: it is read from twice at most and never waited for; of what it
 * does not read a few bytes are kept by the kernel; one that is gone, or not there in time, is let go of.
 * Thousands of descriptors share one epoll set of their own, which is one source of the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "model/config.h"
#include "system/loop.h"

#define PRESSURE_PATH "run/headroom/pressure.sock" /* below the root; where libheadroom looks */

/* A place in storage of the caller. */
struct pressure_client {
    int fd; /* -1: free */
    uint32_t generation;
    uint32_t input_bytes;
};

/* Who connects gets a place, also that of another one, who is then let go of; or -1. */
typedef int (*pressure_admit_fn)(void *user, uid_t uid, pid_t pid);
/* The place is free again. */
typedef void (*pressure_left_fn)(void *user, unsigned place);

struct pressure {
    struct loop *loop;
    int fd;
    int epoll_fd; /* what is listened at, and every client */
    struct loop_timer *rest_timer;
    struct pressure_client *clients;
    unsigned max;
    pressure_admit_fn admit;
    pressure_left_fn left;
    void *user;
    uint64_t refused; /* there was no place, or no descriptor */
    uint64_t unread;  /* times that one was not told, since it had not read what it was told before */
};

/* Listens at the path. The callbacks come from the loop. */
int pressure_init(struct pressure *p, struct loop *l, const char *path, struct pressure_client *clients,
                  unsigned max, pressure_admit_fn admit, pressure_left_fn left, void *user) _nodiscard_;
void pressure_deinit(struct pressure *p, const char *path);

/* Tells one. -EAGAIN: it does not read; another error: it is gone, and its place is free. Never blocks. */
int pressure_tell(struct pressure *p, unsigned place, enum level level);
