#include "server/pressure.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/units.h"
#include "headroom.h"
#include "system/clock.h"
#include "system/listen.h"

#define EVENTS_PER_TURN 64
/* So many connections at a time, and then a rest: who connects over and over gets no more of a CPU than a few
 * hundredths, and the others wait in the backlog. */
#define ACCEPTS_PER_TURN 64
#define REST_USEC (20 * USEC_PER_MSEC)
/* Nor more of a turn than this, where to look one up waits for the kernel. */
#define ACCEPTS_USEC (10 * USEC_PER_MSEC)
/* Without a descriptor, or memory for one, there is nothing to be done but to try later. */
#define REST_FULL_USEC USEC_PER_SEC
/* A payload is read, whatever it says. Who goes on writing is not listened to any more, and fills his own
 * buffer. */
#define READ_BYTES 4096
#define INPUT_MAX_BYTES 8192
/* Of the kernel's least (a few KiB) each byte that is not read takes some 800, which are ours. */
#define SEND_BUFFER_BYTES 1

/* In the place of a client's number. */
#define LISTENER UINT32_MAX

static uint64_t key_of(const struct pressure *p, unsigned place)
{
    return (uint64_t)p->clients[place].generation << 32 | place;
}

static void listen_for(const struct pressure *p, unsigned place, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = key_of(p, place)};

    (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, p->clients[place].fd, &e);
}

static void client_close(struct pressure *p, unsigned place)
{
    struct pressure_client *c = &p->clients[place];

    close_fdp(&c->fd); /* nobody else has it, so it is in the set no more */
    c->generation++;
}

static void client_leave(struct pressure *p, unsigned place)
{
    client_close(p, place);
    p->left(p->user, place);
}

/* ---- those who come ---- */

static void set_listening(const struct pressure *p, bool on)
{
    struct epoll_event e = {.events = on ? EPOLLIN : 0, .data.u64 = LISTENER};

    (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, p->fd, &e);
}

static void rest(struct pressure *p, uint64_t usec)
{
    set_listening(p, false);
    loop_timer_arm(p->rest_timer, clock_now_usec() + usec);
}

static void on_rest_over(void *user)
{
    const struct pressure *p = user;

    if (p->fd >= 0)
        set_listening(p, true);
}

static bool take(struct pressure *p, int fd)
{
    const int least = SEND_BUFFER_BYTES;
    struct epoll_event e = {.events = EPOLLIN};
    struct pressure_client *c;
    struct ucred cred;
    socklen_t length = sizeof(cred);
    int place;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
        return false;
    place = p->admit(p->user, cred.uid, cred.pid);
    if (place < 0)
        return false;
    c = &p->clients[place];
    if (c->fd >= 0) { /* that of another one */
        client_close(p, (unsigned)place);
        p->refused++;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
    e.data.u64 = key_of(p, (unsigned)place);
    if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
        p->left(p->user, (unsigned)place);
        return false;
    }
    c->fd = fd;
    c->input_bytes = 0;
    return true;
}

static void accept_some(struct pressure *p)
{
    uint64_t until = clock_now_usec() + ACCEPTS_USEC;

    for (unsigned i = 0; i < ACCEPTS_PER_TURN && clock_now_usec() < until; i++) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0) {
            p->refused++;
            rest(p, REST_FULL_USEC);
            return;
        }
        if (!take(p, fd)) {
            p->refused++;
            (void)close(fd);
        }
    }
    rest(p, REST_USEC);
}

/* ---- those who are there ---- */

/* Its end is told by EPOLLHUP, which needs not be asked for; one that only will not write any more is not
 * listened to any more. */
static void client_read(struct pressure *p, unsigned place)
{
    static char dropped[READ_BYTES];
    struct pressure_client *c = &p->clients[place];
    ssize_t n = recv(c->fd, dropped, sizeof(dropped), MSG_DONTWAIT);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0) {
        client_leave(p, place);
        return;
    }
    c->input_bytes += (uint32_t)n;
    if (n == 0 || c->input_bytes >= INPUT_MAX_BYTES)
        listen_for(p, place, 0);
}

static void on_events(void *user, int fd, uint32_t mask)
{
    _uninitialized_ struct epoll_event events[EVENTS_PER_TURN];
    struct pressure *p = user;
    int n = epoll_wait(fd, events, EVENTS_PER_TURN, 0);

    (void)mask;
    for (int i = 0; i < n; i++) {
        uint32_t place = (uint32_t)events[i].data.u64;

        if (place == LISTENER) {
            accept_some(p);
            continue;
        }
        /* One that has been let go of in this very turn. */
        if (p->clients[place].fd < 0 || key_of(p, place) != events[i].data.u64)
            continue;
        if (events[i].events & (EPOLLHUP | EPOLLERR))
            client_leave(p, place);
        else
            client_read(p, place);
    }
}

int pressure_tell(struct pressure *p, unsigned place, enum level level)
{
    static const unsigned char bytes[LEVEL_COUNT] = {
        [LEVEL_CALM] = HEADROOM_BYTE_LOW,
        [LEVEL_LOW] = HEADROOM_BYTE_LOW,
        [LEVEL_MEDIUM] = HEADROOM_BYTE_MEDIUM,
        [LEVEL_CRITICAL] = HEADROOM_BYTE_CRITICAL,
    };
    ssize_t n;

    if (place >= p->max || p->clients[place].fd < 0)
        return -ENOTCONN;
    do {
        n = send(p->clients[place].fd, &bytes[level], 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == 1)
        return 0;
    if (n < 0 && errno == EAGAIN) {
        p->unread++;
        return -EAGAIN;
    }
    client_leave(p, place);
    return -EPIPE;
}

/* ---- begin and end ---- */

int pressure_init(struct pressure *p, struct loop *l, const char *path, struct pressure_client *clients,
                  unsigned max, pressure_admit_fn admit, pressure_left_fn left, void *user)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = LISTENER};
    int r;

    *p = (struct pressure){.loop = l,
                           .fd = -1,
                           .epoll_fd = -1,
                           .clients = clients,
                           .max = max,
                           .admit = admit,
                           .left = left,
                           .user = user};
    for (unsigned i = 0; i < max; i++)
        clients[i] = (struct pressure_client){.fd = -1};
    p->rest_timer = loop_add_timer(l, on_rest_over, p);
    if (!p->rest_timer)
        return -ENOSPC;
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->epoll_fd < 0)
        return -errno;
    p->fd = listen_at(path, SOMAXCONN);
    r = p->fd < 0 ? p->fd : epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->fd, &e) < 0 ? -errno : 0;
    if (r == 0)
        r = loop_add(l, p->epoll_fd, EPOLLIN, on_events, p);
    if (r < 0) {
        close_fdp(&p->fd);
        close_fdp(&p->epoll_fd);
    }
    return r;
}

void pressure_deinit(struct pressure *p, const char *path)
{
    if (p->fd < 0)
        return;
    for (unsigned i = 0; i < p->max; i++)
        if (p->clients[i].fd >= 0)
            client_leave(p, i);
    loop_timer_arm(p->rest_timer, 0);
    loop_remove(p->loop, p->epoll_fd);
    close_fdp(&p->epoll_fd);
    close_fdp(&p->fd);
    (void)unlink(path);
}
