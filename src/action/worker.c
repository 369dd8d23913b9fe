#include "action/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/cgroup.h"
#include "kernel/file.h"
#include "kernel/kill.h"
#include "kernel/oom_score.h"
#include "system/clock.h"

#define WORKER_STACK_BYTES 32768
/* A dying process's mmap lock is busy while it is torn down by itself: some tries, then its own exit is as
 * fast. */
#define MRELEASE_TRIES 5
#define MRELEASE_PAUSE_USEC 2000

static int do_write(const struct hierarchy *h, const struct worker_request *q)
{
    _cleanup_close_ int fd = cgroup_open(h, q->path);
    uint64_t id;
    int r;

    if (fd < 0)
        return fd;
    r = cgroup_read_id(fd, &id);
    if (r < 0)
        return r;
    if (id != q->cgroup_id)
        return -ENOENT; /* a new cgroup of the same name */
    return file_write_u64_at(fd, q->knob, q->value);
}

static int do_mrelease(const struct worker_request *q)
{
    int released = 0;

    for (unsigned i = 0; i < q->pid_count && i < WORKER_PIDS_MAX; i++) {
        _cleanup_close_ int pidfd = kill_pidfd_open(q->pids[i]);
        int r = pidfd;

        /* A pid that was given to somebody else meanwhile is safe: the call fails on who is not dying. */
        for (unsigned try = 0; pidfd >= 0 && try < MRELEASE_TRIES; try++) {
            r = kill_mrelease(pidfd);
            if (r != -EAGAIN)
                break;
            (void)usleep(MRELEASE_PAUSE_USEC);
        }
        released += r == 0;
    }
    return released;
}

int worker_main(int fd, void *user)
{
    const struct worker_options *options = user;
    _cleanup_close_ int root_fd = open(options->sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct hierarchy hierarchy = {.fd = -1};
    struct worker_request request;
    pid_t parent = getppid();

    if (root_fd >= 0 && hierarchy_open(root_fd, &hierarchy) < 0)
        hierarchy.fd = -1;
    if (options->signals && root_fd >= 0)
        (void)oom_score_write_adj(root_fd, getpid(), -1000);
    (void)memory_lock(WORKER_STACK_BYTES); /* without it a write may wait for its own page; nothing worse */

    for (;;) {
        struct worker_reply reply = {0};
        uint64_t begin;
        ssize_t n = recv(fd, &request, sizeof(request), 0);

        if (n < 0 && errno == EINTR)
            continue;
        /* What a daemon that was killed had still asked for is not done behind the back of its successor, or
         * of an undo. */
        if (n != (ssize_t)sizeof(request) || getppid() != parent)
            break;
        begin = clock_now_usec();
        reply.op = request.op;
        reply.cgroup_id = request.cgroup_id;
        memcpy(reply.knob, request.knob, sizeof(reply.knob));
        if (request.op == WORKER_MRELEASE)
            reply.result = options->signals ? do_mrelease(&request) : 0;
        else
            reply.result = hierarchy.fd < 0 ? -ENOENT : do_write(&hierarchy, &request);
        reply.usec = clock_now_usec() - begin;
        (void)send(fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    hierarchy_close(&hierarchy);
    return 0;
}
