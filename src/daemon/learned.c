#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "kernel/file.h"

/* What the groups of each class come to (policy/pause) is learned slowly and forgotten at a stop, unless it
 * is written down: one line a class, in the runtime directory, which is gone with the boot.
 *
 *     peak class=batch bytes=157286400 deviation=1048576 seen=16
 *
 * A file that cannot be read or is not understood is none: it is only a help. */

#define LEARNED_FILE "learned"
#define LEARNED_TEMPORARY "learned.new"
#define LEARNED_MAX 8192

static unsigned class_named(const struct config *c, struct text name)
{
    unsigned i = 0;

    while (i < c->class_count && !text_equal(name, c->classes[i].name))
        i++;
    return i;
}

static bool field(struct text *rest, const char *key, struct text *ret)
{
    size_t length = strlen(key);

    if (!text_next_word(rest, ret) || ret->length <= length || strncmp(ret->at, key, length) != 0)
        return false;
    ret->at += length;
    ret->length -= length;
    return true;
}

static void parse_line(struct daemon *d, struct text line)
{
    struct text word, name, bytes, deviation, seen;
    struct expect_peak p = {0};
    uint64_t count;
    unsigned i;

    if (!text_next_word(&line, &word) || !text_equal(word, "peak") || !field(&line, "class=", &name) ||
        !field(&line, "bytes=", &bytes) || !field(&line, "deviation=", &deviation) ||
        !field(&line, "seen=", &seen))
        return;
    i = class_named(&d->config, name);
    if (i == d->config.class_count || text_parse_u64(bytes, &p.bytes) < 0 ||
        text_parse_u64(deviation, &p.deviation) < 0 || text_parse_u64(seen, &count) < 0)
        return;
    p.seen = count > 1000 ? 1000 : (unsigned)count;
    d->pause_state.peaks[i] = p;
}

void learned_load(struct daemon *d)
{
    char storage[LEARNED_MAX];
    _cleanup_close_ int fd =
        d->runtime_fd < 0 ? -1 : openat(d->runtime_fd, LEARNED_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct text rest, line;
    ssize_t n = fd < 0 ? -1 : file_pread(fd, storage, sizeof(storage));

    if (n <= 0)
        return;
    rest = (struct text){storage, (size_t)n};
    while (text_next_line(&rest, &line))
        parse_line(d, line);
}

void learned_save(struct daemon *d)
{
    _uninitialized_ char storage[LEARNED_MAX];
    _cleanup_close_ int fd = -1;
    struct buffer b;
    uint64_t seen = 0;

    for (unsigned i = 0; i < d->config.class_count; i++)
        seen += d->pause_state.peaks[i].seen;
    if (d->dry_run || d->runtime_fd < 0 || seen == d->learned_seen)
        return;
    buffer_init(&b, storage, sizeof(storage));
    for (unsigned i = 0; i < d->config.class_count; i++) {
        const struct expect_peak *p = &d->pause_state.peaks[i];

        if (p->seen > 0)
            buffer_appendf(&b, "peak class=%s bytes=%ju deviation=%ju seen=%u\n", d->config.classes[i].name,
                           (uintmax_t)p->bytes, (uintmax_t)p->deviation, p->seen);
    }
    if (b.length == 0)
        return;
    d->learned_seen = seen;
    fd =
        openat(d->runtime_fd, LEARNED_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && write(fd, storage, b.length) == (ssize_t)b.length)
        (void)renameat(d->runtime_fd, LEARNED_TEMPORARY, d->runtime_fd, LEARNED_FILE);
}
