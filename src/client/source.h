/* One open source of events: a socket, a FIFO or a pressure file, and how each is listened to.
 *
 * A pressure file is opened twice, with the same trigger on both descriptors. The kernel forgets an event of
 * a trigger as soon as somebody has polled it (psi_trigger_poll, 5.2 to 6.18 at least), and the one who polls
 * is the program's event loop, through the watch's epoll descriptor: all that is left for the library is that
 * "something" was readable. So `wake_fd` is there to be polled by others, and `fd` is polled by the library
 * only, and tells what was. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "headroom.h"

struct source {
    enum headroom_source kind;
    int fd;      /* read from, or polled by us; -1: none is open */
    int wake_fd; /* what belongs into the epoll set; of a socket or a FIFO the same as fd */
    char path[PATH_MAX];
    /* Of a FIFO: what we wrote to it and may get to read ourselves. */
    const unsigned char *echo;
    size_t echo_length;
};

#define SOURCE_NULL ((struct source){.fd = -1, .wake_fd = -1})

/* Opens what is at the path and writes the payload, which has to stay where it is as long as the source is
 * open; without one, a pressure file gets "some 200000 2000000", and one whose trigger the kernel refuses the
 * same over windows that need no privilege. `kind` HEADROOM_SOURCE_OFF: it is /dev/null. */
int source_open(const char *path, const unsigned char *payload, size_t length, struct source *ret)
    __attribute__((warn_unused_result));
void source_close(struct source *s);

/* Is this a state that may pass by itself, so that it is worth trying again? */
bool source_error_passes(int error);

/* What has come since the last time: HEADROOM_CALM: nothing. -EPIPE, or another negative errno: the source is
 * gone, and is to be closed. */
int source_read(struct source *s);

/* The trigger with the same share of stall over the next multiple of 2 s, which anybody may ask for; from
 * "some|full STALL WINDOW", else from the default. Bytes written to ret, with the NUL. Exposed for its test.
 */
size_t source_soften_trigger(const unsigned char *payload, size_t length, char *ret, size_t size);
