#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/units.h"
#include "daemon/keeper.h"
#include "kernel/file.h"
#include "system/companion.h"
#include "system/log.h"

/* The guardian's side of the keeper: it is started, woken, listened to, and started again; nothing of that
 * waits. */

#define BACKOFF_MIN_USEC USEC_PER_SEC
#define BACKOFF_MAX_USEC (60 * USEC_PER_SEC)
#define GOOD_USEC (60 * USEC_PER_SEC) /* one that lived so long has not failed at once */

static void start(struct keeper_child *k, uint64_t now_usec)
{
    int pair[2];
    pid_t pid;

    k->backoff_usec = u64_min(u64_max(2 * k->backoff_usec, BACKOFF_MIN_USEC), BACKOFF_MAX_USEC);
    k->retry_usec = now_usec + k->backoff_usec;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    (void)signal(SIGUSR1, SIG_IGN); /* of a keeper that is not ready for it yet */
    pid = fork();
    if (pid == 0) {
        companion_become("headroomd-qos", pair[1], -1);
        _exit(keeper_main(pair[1], &k->options));
    }
    (void)close(pair[1]);
    if (pid < 0) {
        log_line(LOG_PRIO_WARNING, "event=qos-failed error=\"%s\" action=retry", strerror(errno));
        (void)close(pair[0]);
        return;
    }
    k->pid = pid;
    k->fd = pair[0];
    k->started_usec = now_usec;
}

void keeper_child_start(struct keeper_child *k, uint64_t now_usec)
{
    if (k->pid == 0 && k->fd < 0 && !k->bye && k->wanted && now_usec >= k->retry_usec)
        start(k, now_usec);
}

static void tell(const struct keeper_child *k, enum keeper_message_kind kind)
{
    struct keeper_message m = {.kind = kind};

    (void)send(k->fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void keeper_child_wake(struct keeper_child *k, uint64_t now_usec)
{
    k->wanted = true;
    if (k->pid > 0)
        tell(k, KEEPER_LOOK);
    else
        keeper_child_start(k, now_usec);
}

void keeper_child_bye(struct keeper_child *k, uint64_t now_usec)
{
    k->bye = true;
    if (k->pid == 0 && k->fd < 0 && k->wanted) /* what one that died has left */
        start(k, now_usec);
    if (k->pid == 0)
        return;
    tell(k, KEEPER_BYE);
    (void)kill(k->pid, SIGUSR1); /* our own child, not yet reaped: the pid is his */
}

void keeper_child_check(struct keeper_child *k, uint64_t now_usec)
{
    int status = 0;

    if (k->pid > 0 && waitpid(k->pid, &status, WNOHANG) == k->pid) {
        bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;

        k->pid = 0;
        if (now_usec > k->started_usec + GOOD_USEC)
            k->backoff_usec = 0;
        k->retry_usec = now_usec + k->backoff_usec;
        /* It may have been asked for again while it put everything back. */
        k->wanted = !done || k->options.block->wanted;
        if (!done && !k->bye)
            log_line(LOG_PRIO_WARNING, "event=qos-ended status=%d action=restart", status);
    }
    keeper_child_start(k, now_usec);
}

void keeper_child_abandon(struct keeper_child *k)
{
    k->bye = true;
    close_fdp(&k->fd);
}

bool keeper_child_receive(struct keeper_child *k, struct keeper_message *ret)
{
    ssize_t n = k->fd < 0 ? -1 : recv(k->fd, ret, sizeof(*ret), MSG_DONTWAIT);

    if (n == 0)
        close_fdp(&k->fd);
    return n == (ssize_t)sizeof(*ret);
}
