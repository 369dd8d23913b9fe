/* Pressure files and the triggers on them. What a kernel takes as a trigger depends on its version and on a
 * capability of whoever opens the file, and cannot be asked for; so it is tried out, and what was taken is
 * told to the caller. */
#include "kernel/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/file.h"

#define WINDOW_MIN_USEC (50 * USEC_PER_MSEC)
#define WINDOW_MAX_USEC (10 * USEC_PER_SEC)
#define WINDOW_FREE_USEC                                                                                     \
    (2 * USEC_PER_SEC) /* multiples of it need no capability: the refresh of the averages */
#define TRIGGER_SIZE 64

enum { SEEN_AVG10 = 1, SEEN_AVG60 = 2, SEEN_AVG300 = 4, SEEN_TOTAL = 8 };

/* One "NAME=VALUE"; unknown names are passed over. */
static int parse_field(struct text word, struct psi_line *line, unsigned *seen)
{
    const char *equals = memchr(word.at, '=', word.length);
    struct text name, value;
    uint64_t *target;
    unsigned bit;

    if (!equals)
        return 0;
    name = (struct text){word.at, (size_t)(equals - word.at)};
    value = (struct text){equals + 1, word.length - name.length - 1};

    if (text_equal(name, "avg10")) {
        bit = SEEN_AVG10;
        target = &line->avg10_permyriad;
    } else if (text_equal(name, "avg60")) {
        bit = SEEN_AVG60;
        target = &line->avg60_permyriad;
    } else if (text_equal(name, "avg300")) {
        bit = SEEN_AVG300;
        target = &line->avg300_permyriad;
    } else if (text_equal(name, "total")) {
        bit = SEEN_TOTAL;
        target = &line->total_usec;
    } else {
        return 0;
    }

    if (*seen & bit)
        return 0;
    *seen |= bit;
    /* The averages have exactly two decimals, so hundredths of a percent are permyriad. */
    if (bit == SEEN_TOTAL ? text_parse_u64(value, target) < 0 : text_parse_hundredths(value, target) < 0)
        return -EBADMSG;
    return 0;
}

static int parse_line(struct text words, struct psi_line *ret)
{
    struct psi_line line = {0};
    struct text word;
    unsigned seen = 0;
    int r;

    while (text_next_word(&words, &word)) {
        r = parse_field(word, &line, &seen);
        if (r < 0)
            return r;
    }
    if (!(seen & SEEN_AVG10) || !(seen & SEEN_TOTAL))
        return -EBADMSG;
    *ret = line;
    return 0;
}

int psi_parse(const char *buf, size_t length, struct psi *ret)
{
    struct text rest = {buf, length}, line, kind;
    struct psi psi = {0};
    bool has_some = false;
    int r;

    while (text_next_line(&rest, &line)) {
        bool some, full;

        if (!text_next_word(&line, &kind))
            continue;
        some = text_equal(kind, "some") && !has_some;
        full = text_equal(kind, "full") && !psi.has_full;
        if (!some && !full)
            continue;
        r = parse_line(line, some ? &psi.some : &psi.full);
        if (r < 0)
            return r;
        has_some |= some;
        psi.has_full |= full;
    }
    if (!has_some)
        return -EBADMSG;

    *ret = psi;
    return 0;
}

int psi_pread(int fd, struct psi *ret)
{
    _uninitialized_ char buf[512];
    ssize_t n = file_pread_record(fd, buf, sizeof(buf));

    return n < 0 ? (int)n : psi_parse(buf, (size_t)n, ret);
}

int psi_read_at(int dir_fd, const char *name, struct psi *ret)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, name);

    return fd < 0 ? fd : psi_pread(fd, ret);
}

enum psi_trigger_fault psi_trigger_check(const struct psi_trigger_config *config)
{
    if (config->stall_usec == 0)
        return PSI_TRIGGER_STALL_ZERO;
    if (config->stall_usec > config->window_usec)
        return PSI_TRIGGER_STALL_OVER;
    if (config->window_usec < WINDOW_MIN_USEC)
        return PSI_TRIGGER_WINDOW_SHORT;
    if (config->window_usec > WINDOW_MAX_USEC)
        return PSI_TRIGGER_WINDOW_LONG;
    return PSI_TRIGGER_OK;
}

struct psi_trigger_config psi_trigger_round_up(const struct psi_trigger_config *config)
{
    struct psi_trigger_config r = *config;

    if (config->window_usec >= WINDOW_MAX_USEC)
        r.window_usec = WINDOW_MAX_USEC;
    else
        r.window_usec =
            u64_max(1, (config->window_usec + WINDOW_FREE_USEC - 1) / WINDOW_FREE_USEC) * WINDOW_FREE_USEC;

    r.stall_usec = u64_mul_div(config->stall_usec, r.window_usec, config->window_usec);
    r.stall_usec = u64_min(u64_max(r.stall_usec, 1), r.window_usec);
    return r;
}

int psi_trigger_format(const struct psi_trigger_config *config, char *ret, size_t size)
{
    char buf[TRIGGER_SIZE];
    int n;

    n = snprintf(buf, sizeof(buf), "%s %" PRIu64 " %" PRIu64, config->full ? "full" : "some",
                 config->stall_usec, config->window_usec);
    if ((size_t)n >= size)
        return -ENAMETOOLONG;
    memcpy(ret, buf, (size_t)n + 1);
    return 0;
}

static int open_trigger(int dir_fd, const char *name)
{
    int fd;

    do {
        fd = openat(dir_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int arm_trigger(int fd, const struct psi_trigger_config *config)
{
    char trigger[TRIGGER_SIZE];
    size_t length;
    ssize_t n;
    int r;

    r = psi_trigger_format(config, trigger, sizeof(trigger));
    if (r < 0)
        return r;
    /* With its NUL: the files in /proc/pressure put their own NUL over the last byte that is written to them,
     * which would otherwise be the last digit of the window (checked on 6.18; psi_write, since 5.2). */
    length = strlen(trigger) + 1;
    do {
        n = write(fd, trigger, length);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EIO;
}

/* Did the kernel refuse what was asked for, so that asking for less may help? EINVAL: the window; EPERM:
 * before 6.4 (which refuse the opening already; the 6.1 of Debian 12 has the newer rule). */
static bool is_refusal(int r)
{
    return r == -EINVAL || r == -EPERM || r == -EACCES;
}

int psi_trigger_open(int dir_fd, const char *name, const struct psi_trigger_config *config,
                     struct psi_trigger_config *ret_armed)
{
    _cleanup_close_ int fd = -1;
    struct psi_trigger_config armed = *config;
    int r;

    if (psi_trigger_check(config) != PSI_TRIGGER_OK)
        return -EINVAL;

    fd = open_trigger(dir_fd, name);
    if (fd < 0)
        return fd;
    r = arm_trigger(fd, &armed);
    if (is_refusal(r)) {
        /* A write that was refused leaves the descriptor as it was: it takes another. */
        armed = psi_trigger_round_up(config);
        if (armed.window_usec != config->window_usec)
            r = arm_trigger(fd, &armed);
    }
    if (r < 0)
        return r;

    *ret_armed = armed;
    return fd_steal(&fd);
}
