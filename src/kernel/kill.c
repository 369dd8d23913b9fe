/* Between reading a pid from cgroup.procs and opening a pidfd for it, the process may end and its number go
 * to one that has nothing to do with the group. So the list is read again once the pidfds are held, and only
 * those that are still on it are signalled: a number that is listed then belongs to the process behind the
 * pidfd, or to one that came after it, in which case the pidfd is dead and the signal goes nowhere. */
#include "kernel/kill.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "kernel/cgroup.h"
#include "kernel/file.h"

#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448 /* the same on every architecture */
#endif

/* Descriptors held at once. Each batch costs one more reading of the list. */
#define BATCH_MAX 64

int kill_cgroup(int cgroup_fd)
{
    int r = file_write_at(cgroup_fd, "cgroup.kill", "1");

    return r < 0 ? r : 0;
}

int kill_pidfd_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* 5.3; always close-on-exec */

    return fd < 0 ? -errno : fd;
}

int kill_pidfd_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int kill_mrelease(int pidfd)
{
    return syscall(SYS_process_mrelease, pidfd, 0) < 0 ? -errno : 0;
}

struct batch {
    pid_t pids[BATCH_MAX];
    int fds[BATCH_MAX];
    bool listed[BATCH_MAX];
    size_t count;
    pid_t self;
};

/* What one pass has done so far. */
struct pass {
    struct batch batch;
    int cgroup_fd;
    int signalled;
    int fault; /* the first error that was not "gone already" */
};

static int mark_listed(void *user, pid_t pid)
{
    struct batch *b = user;

    for (size_t i = 0; i < b->count; i++)
        if (b->pids[i] == pid)
            b->listed[i] = true;
    return 0;
}

static void note_fault(struct pass *p, int r)
{
    if (r < 0 && r != -ESRCH && p->fault == 0)
        p->fault = r;
}

static void signal_batch(struct pass *p)
{
    struct batch *b = &p->batch;
    int r;

    r = cgroup_each_proc(p->cgroup_fd, mark_listed, b);
    note_fault(p, r);
    for (size_t i = 0; i < b->count; i++) {
        if (b->listed[i]) {
            r = kill_pidfd_signal(b->fds[i], SIGKILL);
            note_fault(p, r);
            if (r == 0)
                p->signalled++;
        }
        close_fdp(&b->fds[i]);
    }
    b->count = 0;
}

static int add_to_batch(void *user, pid_t pid)
{
    struct pass *p = user;
    struct batch *b = &p->batch;
    int fd;

    if (pid == b->self)
        return 0;
    fd = kill_pidfd_open(pid);
    if (fd < 0) {
        note_fault(p, fd);
        return fd == -ENOSYS ? fd : 0;
    }

    b->pids[b->count] = pid;
    b->fds[b->count] = fd;
    b->listed[b->count] = false;
    if (++b->count == BATCH_MAX)
        signal_batch(p);
    return 0;
}

int kill_cgroup_procs(int cgroup_fd)
{
    struct pass p = {.cgroup_fd = cgroup_fd, .batch.self = getpid()};
    int r;

    r = cgroup_each_proc(cgroup_fd, add_to_batch, &p);
    note_fault(&p, r);
    if (p.batch.count > 0)
        signal_batch(&p);

    /* Whoever was reached is worth more than who was not: the caller comes again until the list is empty, and
     * sees the error when a pass reaches nobody. */
    return p.signalled > 0 || p.fault == 0 ? p.signalled : p.fault;
}
