#include "client/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/files.h"

/* systemd's: a tenth of the time, over the shortest window that needs no CAP_SYS_RESOURCE (kernel 6.4 and
 * newer; older ones want it for any trigger). The NUL belongs to it: files in /proc/pressure put theirs over
 * the last byte that is written to them (psi_write). */
#define TRIGGER_DEFAULT "some 200000 2000000"
#define TRIGGER_SIZE 64
#define FREE_WINDOW_USEC UINT64_C(2000000)
#define FREE_WINDOW_MAX_USEC UINT64_C(10000000)

/* A source that floods is read so much of at a time; the rest is for the next time. */
#define READS_MAX 16
#define READ_SIZE 4608 /* more than a payload, so that its echo is seen whole */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void source_close(struct source *s)
{
    if (s->wake_fd != s->fd)
        close_fd(&s->wake_fd);
    close_fd(&s->fd);
    *s = SOURCE_NULL;
}

bool source_error_passes(int error)
{
    switch (-error) {
    case ENOENT:
    case ENODEV: /* a cgroup that is being removed */
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EAGAIN:
        return true;
    default:
        return false;
    }
}

size_t source_soften_trigger(const unsigned char *payload, size_t length, char *ret, size_t size)
{
    char text[TRIGGER_SIZE] = "", kind[8];
    uint64_t stall, window, soft;
    int end = 0;

    if (length < sizeof(text))
        memcpy(text, payload, length);
    if (sscanf(text, "%7s %9" SCNu64 " %9" SCNu64 "%n", kind, &stall, &window, &end) != 3 ||
        strspn(text + end, "\n") != strlen(text + end) || (strcmp(kind, "some") && strcmp(kind, "full")) ||
        stall == 0 || stall > window || window > FREE_WINDOW_MAX_USEC)
        return (size_t)snprintf(ret, size, TRIGGER_DEFAULT) + 1;
    soft = (window + FREE_WINDOW_USEC - 1) / FREE_WINDOW_USEC * FREE_WINDOW_USEC;
    stall = stall * soft / window; /* below 10^9 × 10^7 */
    return (size_t)snprintf(ret, size, "%s %" PRIu64 " %" PRIu64, kind, stall, soft) + 1;
}

static int open_trigger(const char *path, const void *payload, size_t length, int *ret)
{
    char soft[TRIGGER_SIZE];
    int fd, r;

    fd = files_open(path, O_RDWR, S_IFREG);
    if (fd < 0)
        return fd;
    r = files_is_kernels(fd) ? files_write(fd, payload, length) : -ENOTTY;
    /* A write that was refused leaves the descriptor as it was: it takes another. */
    if (r == -EPERM || r == -EINVAL || r == -EACCES)
        r = files_write(fd, soft, source_soften_trigger(payload, length, soft, sizeof(soft)));
    if (r < 0) {
        close_fd(&fd);
        return r;
    }
    *ret = fd;
    return 0;
}

static int open_psi(const char *path, const unsigned char *payload, size_t length, struct source *s)
{
    const void *trigger = length > 0 ? (const void *)payload : TRIGGER_DEFAULT;
    size_t size = length > 0 ? length : sizeof(TRIGGER_DEFAULT);
    int r;

    s->kind = HEADROOM_SOURCE_PSI;
    /* In this order: ours is a moment older, so what the other one has seen, it has seen. */
    r = open_trigger(path, trigger, size, &s->fd);
    return r < 0 ? r : open_trigger(path, trigger, size, &s->wake_fd);
}

static int open_fifo(const char *path, const unsigned char *payload, size_t length, struct source *s)
{
    s->kind = HEADROOM_SOURCE_FIFO;
    /* For writing, too, so that there is always a writer, and no end of file when the other one goes. */
    s->fd = files_open(path, O_RDWR, S_IFIFO);
    if (s->fd == -EACCES && length == 0)
        s->fd = files_open(path, O_RDONLY, S_IFIFO);
    if (s->fd < 0)
        return s->fd;
    s->wake_fd = s->fd;
    s->echo = payload;
    s->echo_length = length;
    return length > 0 ? files_write(s->fd, payload, length) : 0;
}

static int open_socket(const char *path, const unsigned char *payload, size_t length, struct source *s)
{
    s->kind = HEADROOM_SOURCE_SOCKET;
    s->fd = files_connect(path);
    if (s->fd < 0)
        return s->fd;
    s->wake_fd = s->fd;
    return length > 0 ? files_send(s->fd, payload, length) : 0;
}

int source_open(const char *path, const unsigned char *payload, size_t length, struct source *ret)
{
    struct source s = SOURCE_NULL;
    int r, kind = files_kind(path);

    if (kind < 0)
        return kind;
    switch ((mode_t)kind) {
    case 0:
        s.kind = HEADROOM_SOURCE_OFF;
        r = 0;
        break;
    case S_IFREG:
        r = open_psi(path, payload, length, &s);
        break;
    case S_IFIFO:
        r = open_fifo(path, payload, length, &s);
        break;
    case S_IFSOCK:
        r = open_socket(path, payload, length, &s);
        break;
    default:
        r = -ENOTTY;
    }
    if (r == 0 && strlen(path) >= sizeof(s.path))
        r = -ENAMETOOLONG;
    if (r < 0) {
        source_close(&s);
        return r;
    }
    memcpy(s.path, path, strlen(path) + 1);
    *ret = s;
    return 0;
}

static int level_of_byte(unsigned char c)
{
    switch (c) {
    case HEADROOM_BYTE_LOW:
        return HEADROOM_LOW;
    case HEADROOM_BYTE_CRITICAL:
        return HEADROOM_CRITICAL;
    default:
        return HEADROOM_MEDIUM;
    }
}

/* Our own payload, where nobody has taken it out of the FIFO yet. It went in whole, so it comes out whole. */
static size_t skip_echo(struct source *s, const unsigned char *data, size_t length)
{
    size_t n = s->echo_length;

    s->echo_length = 0;
    return n > 0 && length >= n && memcmp(data, s->echo, n) == 0 ? n : 0;
}

static int read_bytes(struct source *s)
{
    unsigned char data[READ_SIZE] __attribute__((uninitialized));
    int level = HEADROOM_CALM;

    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t n = read(s->fd, data, sizeof(data));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return level > HEADROOM_CALM ? level : -errno;
        if (n == 0) { /* what came before the end counts; the end is still there the next time */
            if (level > HEADROOM_CALM)
                break;
            /* A FIFO that nobody has opened for writing yet reads as ended, too. */
            return s->kind == HEADROOM_SOURCE_FIFO ? HEADROOM_CALM : -EPIPE;
        }
        for (size_t at = skip_echo(s, data, (size_t)n); at < (size_t)n; at++)
            if (level_of_byte(data[at]) > level)
                level = level_of_byte(data[at]);
        if ((size_t)n < sizeof(data))
            break;
    }
    return level;
}

int source_read(struct source *s)
{
    struct pollfd p = {.fd = s->fd, .events = s->kind == HEADROOM_SOURCE_PSI ? POLLPRI : POLLIN};
    int r;

    do {
        r = poll(&p, 1, 0);
    } while (r < 0 && errno == EINTR);
    if (r <= 0)
        return r < 0 ? -errno : HEADROOM_CALM;
    if (s->kind == HEADROOM_SOURCE_PSI) {
        if (p.revents & (POLLERR | POLLNVAL)) /* the cgroup is gone */
            return -ENODEV;
        return p.revents & POLLPRI ? HEADROOM_MEDIUM : HEADROOM_CALM;
    }
    r = p.revents & POLLIN ? read_bytes(s) : HEADROOM_CALM;
    if (r == HEADROOM_CALM && (p.revents & (POLLHUP | POLLERR | POLLNVAL)))
        return -EPIPE;
    return r;
}
