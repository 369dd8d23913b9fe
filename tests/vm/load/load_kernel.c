#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

/*
 * Kernel memory that no process maps: buffers of pipes and sockets that nobody reads. It is charged to the
 * group as kernel or socket memory, with anon and shmem at 0, which is why whoever counts only those never
 * sees it.
 */
enum { PIPE_BYTES = 1 << 20, SOCKET_BYTES = 4 << 20, WRITE_BYTES = 64 * 1024 };

static unsigned char filling[WRITE_BYTES];

static void raise_file_limit(void)
{
    static const rlim_t wanted[] = {1048576, 524288, 65536};

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct rlimit limit = {.rlim_cur = wanted[i], .rlim_max = wanted[i]};

        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            return;
    }
}

/* Write until the buffer is full or `most` bytes are in; returns what went in. */
static uint64_t fill_fd(int fd, uint64_t most, const struct pace *pace, uint64_t before_bytes)
{
    uint64_t done = 0;

    while (done < most) {
        size_t piece = most - done < WRITE_BYTES ? (size_t)(most - done) : WRITE_BYTES;

        if (!pace_wait(pace, before_bytes + done + piece))
            break;
        ssize_t length = write(fd, filling, piece);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            break;
        done += (uint64_t)length;
    }
    return done;
}

static int open_pipe(void)
{
    int ends[2];

    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        return -1;
    /* Root may exceed pipe-max-size and pipe-user-pages-soft; who may not gets the default of 64 KiB, or one
     * page. */
    (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
    return ends[1];
}

static int open_socket(void)
{
    int ends[2], size = SOCKET_BYTES / 2; /* the kernel doubles it */

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return ends[0];
}

static int run_buffers(const char *command, int argc, char **argv, int (*open_buffer)(void))
{
    uint64_t bytes = 0, rate = RATE_MAX, hold_usec = 0, done = 0, buffers = 0;
    const struct option_spec specs[] = {
        {"bytes", OPTION_BYTES, &bytes, true},
        {"rate", OPTION_RATE, &rate, false},
        {"hold", OPTION_DURATION, &hold_usec, false},
    };
    struct pace pace;

    options_parse(command, argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    stop_on_signals();
    memset(filling, 0x5a, sizeof(filling));
    raise_file_limit();
    pace_init(&pace, rate);
    while (done < bytes && !stop_requested()) {
        int fd = open_buffer();

        if (fd < 0)
            fail_errno("%s: no more of them after %llu with %llu bytes", command, (unsigned long long)buffers,
                       (unsigned long long)done);
        uint64_t length = fill_fd(fd, bytes - done, &pace, done);
        if (length == 0 && !stop_requested())
            fail_errno("%s: a fresh buffer takes nothing", command);
        done += length;
        buffers++;
    }
    printf("{\"buffers\": %llu, \"bytes\": %llu}\n", (unsigned long long)buffers, (unsigned long long)done);
    fflush(stdout);
    hold(hold_usec);
    return 0;
}

int command_pipes(int argc, char **argv)
{
    return run_buffers("pipes", argc, argv, open_pipe);
}

int command_sockets(int argc, char **argv)
{
    return run_buffers("sockets", argc, argv, open_socket);
}
