#include "system/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"

#define RING_SIZE 65536

/* One log a process: stderr is one a process, too. */
static struct {
    int given; /* to log_init */
    int fd;
    bool journal; /* stderr is a stream of journald's: say the priority */
    enum log_priority least;
    char ring[RING_SIZE];
    size_t start, length;
    uint64_t dropped, dropped_said;
} the_log = {.given = 2, .fd = 2, .least = LOG_PRIO_INFO};

static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64];
    struct stat st;

    if (!stream || fstat(fd, &st) < 0)
        return false;
    (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(own, stream) == 0;
}

void log_init(int fd)
{
    char path[32];
    int own;

    the_log.given = the_log.fd = fd;
    the_log.journal = is_journal(fd);
    /* O_NONBLOCK belongs to the open file, which the shell that started us shares. Opening it anew gives one
     * of our own; sockets cannot be opened so, but take MSG_DONTWAIT (see write_some). */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (own >= 0)
        the_log.fd = own;
}

void log_after_fork(void)
{
    the_log.start = the_log.length = 0;
    log_init(the_log.given);
}

void log_set_least(enum log_priority least)
{
    the_log.least = least;
}

static ssize_t write_some(const char *at, size_t length)
{
    struct pollfd p = {.fd = the_log.fd, .events = POLLOUT};

    /* A descriptor that could not be made non-blocking is at least asked first whether it would take
     * something. */
    if (poll(&p, 1, 0) <= 0 || (p.revents & POLLOUT) == 0)
        return 0;
    return write(the_log.fd, at, length < 512 ? length : 512);
}

bool log_flush(void)
{
    while (the_log.length > 0) {
        size_t run = the_log.length;
        ssize_t n;

        if (the_log.start + run > RING_SIZE)
            run = RING_SIZE - the_log.start;
        n = write_some(the_log.ring + the_log.start, run);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) { /* closed, full disk: nobody will ever read these */
            for (size_t i = 0; i < the_log.length; i++)
                the_log.dropped += the_log.ring[(the_log.start + i) % RING_SIZE] == '\n';
            the_log.length = 0;
            return true;
        }
        if (n <= 0)
            return false;
        the_log.start = (the_log.start + (size_t)n) % RING_SIZE;
        the_log.length -= (size_t)n;
    }
    return true;
}

static bool ring_put(const char *at, size_t length)
{
    size_t end, first;

    if (length > RING_SIZE - the_log.length)
        return false;
    end = (the_log.start + the_log.length) % RING_SIZE;
    first = length < RING_SIZE - end ? length : RING_SIZE - end;
    memcpy(the_log.ring + end, at, first);
    memcpy(the_log.ring, at + first, length - first);
    the_log.length += length;
    return true;
}

void log_line(enum log_priority priority, const char *format, ...)
{
    char storage[LOG_LINE_MAX];
    struct buffer b;
    va_list ap;

    if (priority > the_log.least)
        return;
    buffer_init(&b, storage, sizeof(storage) - 1); /* one byte for the newline */
    if (the_log.journal)
        buffer_appendf(&b, "<%d>", (int)priority);
    va_start(ap, format);
    buffer_vappendf(&b, format, ap);
    va_end(ap);
    for (size_t i = 0; i < b.length; i++)
        if (storage[i] == '\n')
            storage[i] = ' ';
    storage[b.length] = '\n';

    (void)log_flush();
    if (the_log.dropped > the_log.dropped_said) {
        char said[96];
        int n = snprintf(said, sizeof(said), "log_lines_dropped=%ju\n",
                         (uintmax_t)(the_log.dropped - the_log.dropped_said));

        if (ring_put(said, (size_t)n))
            the_log.dropped_said = the_log.dropped;
    }
    if (!ring_put(storage, b.length + 1))
        the_log.dropped++;
    (void)log_flush();
}

int log_fd(void)
{
    return the_log.fd;
}

uint64_t log_dropped(void)
{
    return the_log.dropped;
}
