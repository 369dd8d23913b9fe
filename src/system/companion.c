#include "system/companion.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/units.h"
#include "system/log.h"

#define DESCRIPTORS_MAX 131072U /* where there is no close_range: more than MaxGroups allows */
#define PAGE_BYTES 4096

/* They must go: with a copy of the daemon's lock a companion would take itself for its successor. */
static void close_span(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0U) == 0) /* 5.9 */
        return;
    for (unsigned fd = first; fd <= last && fd < DESCRIPTORS_MAX; fd++)
        (void)close((int)fd);
}

static void close_others(int fd, int keep_fd)
{
    int low = fd, high = keep_fd;

    if (high < 0)
        high = fd;
    if (low > high) {
        int t = low;

        low = high;
        high = t;
    }
    if (low > 3)
        close_span(3, (unsigned)low - 1);
    close_span((unsigned)(low < 2 ? 2 : low) + 1, (unsigned)high - 1);
    close_span((unsigned)high + 1, ~0U);
}

void companion_become(const char *name, int fd, int keep_fd)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    sigset_t none;

    (void)prctl(PR_SET_NAME, name);
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    close_others(fd, keep_fd);
    log_after_fork();
}

int companion_start(struct companion *c, const char *name, int keep_fd, companion_main_fn main_fn, void *user)
{
    int pair[2], r;
    pid_t pid;

    *c = (struct companion){.pidfd = -1, .fd = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid = fork();
    if (pid < 0) {
        r = -errno;
        (void)close(pair[0]);
        (void)close(pair[1]);
        return r;
    }
    if (pid == 0) {
        (void)close(pair[0]);
        companion_become(name, pair[1], keep_fd);
        _exit(main_fn(pair[1], user));
    }
    (void)close(pair[1]);
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    c->pid = pid;
    c->fd = pair[0];
    c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* 5.3 */
    return 0;
}

void companion_stop(struct companion *c, uint64_t wait_usec)
{
    struct pollfd p = {.fd = c->pidfd, .events = POLLIN};

    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    if (c->pid > 0) {
        if (c->pidfd >= 0)
            (void)poll(&p, 1, (int)(wait_usec / USEC_PER_MSEC));
        (void)waitpid(c->pid, NULL, WNOHANG);
    }
    if (c->pidfd >= 0)
        (void)close(c->pidfd);
    c->pidfd = -1;
    c->pid = 0;
}

int companion_send(const struct companion *c, const void *message, size_t size)
{
    ssize_t n;

    if (c->fd < 0)
        return -EPIPE;
    do
        n = send(c->fd, message, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

ssize_t companion_receive(const struct companion *c, void *ret, size_t size)
{
    ssize_t n;

    if (c->fd < 0)
        return 0;
    do
        n = recv(c->fd, ret, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

struct lock_code {
    bool seen_program; /* the list begins with it */
    int r;
};

/* The program's own code and constants in full. Those of libraries are let go of: what the start needed of
 * them (parsing, users and groups) is not needed again, and what is comes back with its first use, and stays.
 */
static int lock_code(struct dl_phdr_info *info, size_t size, void *user)
{
    struct lock_code *l = user;

    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t begin = (info->dlpi_addr + p->p_vaddr) / PAGE_BYTES * PAGE_BYTES;
        size_t bytes = info->dlpi_addr + p->p_vaddr + p->p_memsz - begin;

        if (p->p_type != PT_LOAD || (p->p_flags & PF_W) != 0)
            continue;
        if (l->seen_program)
            (void)madvise((void *)begin, bytes, MADV_DONTNEED);
        else if (l->r == 0)
            l->r = memory_lock_data((void *)begin, bytes);
    }
    l->seen_program = true;
    return 0;
}

int memory_lock(size_t stack_bytes)
{
    volatile char *stack = __builtin_alloca(stack_bytes);
    struct lock_code l = {0};

    for (size_t i = 0; i < stack_bytes; i += PAGE_BYTES)
        stack[i] = 1;
    (void)dl_iterate_phdr(lock_code, &l);
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
        return -errno;
    return l.r;
}

int memory_lock_data(void *at, size_t bytes)
{
    return mlock(at, bytes) < 0 ? -errno : 0;
}
