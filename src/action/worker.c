#include "action/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "kernel/cgroup.h"
#include "kernel/file.h"
#include "kernel/kill.h"
#include "kernel/mempolicy.h"
#include "kernel/oom_score.h"
#include "kernel/reclaim.h"
#include "system/clock.h"

#define WORKER_STACK_BYTES 32768
/* A dying process's mmap lock is busy while it is torn down by itself: some tries, then its own exit is as
 * fast. */
#define MRELEASE_TRIES 5
#define MRELEASE_PAUSE_USEC 2000
/* A write that reclaims is interrupted this often, to see whether it is still wanted. */
#define RECLAIM_TICK_USEC (200 * USEC_PER_MSEC)
#define OFFLOAD_TICK_USEC (20 * USEC_PER_MSEC)
/* What is spread is asked for in such pieces, so that nobody who wants to run waits for more than one: as
 * much as the kernel takes at a time anyway. */
#define PIECE_BYTES (256 * KIB)
#define REST_MOST_USEC (800 * USEC_PER_MSEC) /* it has answered by the next look, a second later */

static int open_same(const struct hierarchy *h, const struct worker_request *q)
{
    _cleanup_close_ int fd = cgroup_open(h, q->path);
    uint64_t id;
    int r;

    if (fd < 0)
        return fd;
    r = cgroup_read_id(fd, &id);
    if (r < 0)
        return r;
    return id == q->cgroup_id ? fd_steal(&fd) : -ENOENT; /* a new cgroup of the same name */
}

/* A brake that was asked for before the guardian made a fence of it would stand beside the fence, and nobody
 * would know whose it is. */
static int do_write(const struct hierarchy *h, const struct worker_request *q, const uint64_t *fence_sequence)
{
    _cleanup_close_ int fd = open_same(h, q);

    if (fd < 0)
        return fd;
    if (fence_sequence && __atomic_load_n(fence_sequence, __ATOMIC_SEQ_CST) != q->fence_sequence)
        return -ECANCELED;
    return file_write_u64_at(fd, q->knob, q->value);
}

/* What may be taken there by the protection of what it is in: of that the kernel looks only at cgroups below
 * the one that is written to, and kernel/reclaim at that one itself. Not asked where nobody is to gain by it:
 * what is offloaded is what nobody misses. */
static uint64_t may_take(const struct hierarchy *h, const struct worker_request *q)
{
    char path[WORKER_PATH_MAX];
    uint64_t most = UINT64_MAX;
    const char *slash = q->path;

    while ((slash = strchr(slash + 1, '/'))) {
        size_t length = (size_t)(slash - q->path);
        _cleanup_close_ int fd = -1;
        uint64_t current, min = 0, low = 0;

        if (length <= q->domain_length || length >= sizeof(path))
            continue;
        memcpy(path, q->path, length);
        path[length] = 0;
        fd = cgroup_open(h, path);
        if (fd < 0 || file_read_u64_at(fd, "memory.current", &current) < 0)
            continue;
        (void)!file_read_u64_at(fd, "memory.min", &min);
        (void)!file_read_u64_at(fd, "memory.low", &low);
        most = u64_min(most, u64_sub_floor(current, u64_max(min, low)));
    }
    return most;
}

struct reclaiming {
    int fd; /* where the next request comes in */
    pid_t parent;
    enum worker_op op;
    uint64_t until_usec; /* 0: no limit */
    uint64_t tick_usec;
    uint64_t pause_usec; /* between two pieces; 0: none */
    uint64_t paused_usec;
    bool begun;
};

static void tick(uint64_t usec)
{
    struct timeval v = {.tv_usec = (suseconds_t)usec};

    (void)setitimer(ITIMER_REAL, &(struct itimerval){.it_value = v, .it_interval = v}, NULL);
}

/* A request that comes meanwhile ends it. The clock does not tick. */
static void pause_for(struct reclaiming *c, uint64_t usec)
{
    struct pollfd next = {.fd = c->fd, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)(usec / USEC_PER_SEC),
                            .tv_nsec = (long)(usec % USEC_PER_SEC * 1000)};
    uint64_t begin = clock_now_usec();

    (void)ppoll(&next, 1, &time, NULL);
    c->paused_usec += clock_now_usec() - begin;
}

static void pause_between(struct reclaiming *c)
{
    uint64_t before = c->paused_usec, took;

    tick(0);
    pause_for(c, c->pause_usec);
    tick(c->tick_usec);
    took = c->paused_usec - before;
    if (c->until_usec != 0)
        c->until_usec = u64_add_cap(c->until_usec, took);
}

/* Limits and the dying are not to wait for what has time, and nobody for what is spread; nor does anything go
 * on when nobody is there to hear of it. */
static int may_go_on(void *user)
{
    struct reclaiming *c = user;
    enum worker_op next;
    ssize_t n;

    if (c->begun && c->pause_usec > 0)
        pause_between(c);
    c->begun = true;
    n = recv(c->fd, &next, sizeof(next), MSG_PEEK | MSG_DONTWAIT);
    if (getppid() != c->parent || n == 0)
        return -ECANCELED;
    if (n == (ssize_t)sizeof(next) && (next < c->op || c->pause_usec > 0))
        return -EINTR;
    return c->until_usec != 0 && clock_now_usec() >= c->until_usec ? -ETIMEDOUT : 0;
}

/* Whoever hears of it asks for the next one at once. */
static void rest(struct reclaiming *c, unsigned times, uint64_t worked_usec)
{
    uint64_t usec = u64_sub_floor(u64_min(worked_usec * times, REST_MOST_USEC), c->paused_usec);

    if (usec >= USEC_PER_MSEC)
        pause_for(c, usec);
}

static void on_alarm(int signal)
{
    (void)signal; /* only interrupts the write */
}

static int do_reclaim(const struct hierarchy *h, const struct worker_request *q, int root_fd, int request_fd,
                      pid_t parent, struct worker_reply *reply)
{
    struct reclaiming c = {.fd = request_fd, .parent = parent, .op = q->op};
    struct reclaim_request request = {.bytes = q->value, .swappiness = q->swappiness};
    struct sigaction sa = {.sa_handler = on_alarm}, before;
    uint64_t most = q->op == WORKER_OFFLOAD ? OFFLOAD_TICK_USEC : RECLAIM_TICK_USEC;
    _cleanup_close_ int fd = open_same(h, q);
    uint64_t begin = clock_now_usec();
    struct reclaim_result done;
    bool preferring;
    int r;

    if (fd < 0)
        return fd;
    if (q->op == WORKER_RECLAIM)
        request.bytes = u64_min(q->value, may_take(h, q));
    if (request.bytes == 0)
        return 0;
    r = q->op == WORKER_OFFLOAD && q->swappiness != RECLAIM_SWAPPINESS_UNSET ? reclaim_try_swappiness(fd) : 0;
    if (r < 0)
        return r; /* else it would go to swap, which it is not to */
    preferring = root_fd >= 0 && mempolicy_prefer_of(root_fd, fd) > 0; /* without it, it lies elsewhere */
    c.tick_usec = q->limit_usec != 0 ? u64_min(most, q->limit_usec) : most;
    if (q->limit_usec != 0)
        c.until_usec = u64_add_cap(clock_now_usec(), q->limit_usec);
    if (q->spread_usec > 0 && q->value > PIECE_BYTES) {
        request.chunk_bytes = PIECE_BYTES;
        c.pause_usec = u64_mul_div(q->spread_usec, PIECE_BYTES, q->value);
    }
    (void)sigaction(SIGALRM, &sa, &before); /* without SA_RESTART */
    tick(c.tick_usec);
    r = reclaim_run(fd, &request, may_go_on, &c, &done);
    if (preferring)
        mempolicy_reset();
    tick(0);
    (void)sigaction(SIGALRM, &before, NULL);
    if (q->spread_usec > 0 && r != -EINTR && r != -ECANCELED)
        rest(&c, q->rest, clock_now_usec() - begin - c.paused_usec);
    reply->freed_bytes = done.freed_bytes;
    reply->swapped_bytes = done.swapped_bytes;
    reply->stolen_bytes = done.stolen_bytes;
    reply->zswap_bytes = done.zswap_bytes;
    reply->asked_bytes = done.asked_bytes;
    reply->paused_usec = c.paused_usec;
    return r;
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
        reply.ticket = request.ticket;
        memcpy(reply.knob, request.knob, sizeof(reply.knob));
        if (request.op == WORKER_MRELEASE)
            reply.result = options->signals ? do_mrelease(&request) : 0;
        else if (hierarchy.fd < 0)
            reply.result = -ENOENT;
        else if (request.op == WORKER_RECLAIM || request.op == WORKER_OFFLOAD)
            reply.result =
                do_reclaim(&hierarchy, &request, options->signals ? root_fd : -1, fd, parent, &reply);
        else
            reply.result = do_write(&hierarchy, &request, options->fence_sequence);
        reply.usec = u64_sub_floor(clock_now_usec() - begin, reply.paused_usec);
        (void)send(fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    hierarchy_close(&hierarchy);
    return 0;
}
