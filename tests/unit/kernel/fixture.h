/* What the tests of this layer share: a tree in a temporary directory, the recorded trees, and the hostile
 * inputs that every parser is given. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"

/* The kernels whose trees are recorded under tests/fixtures: 512 MiB, two busy groups, one of them frozen,
 * zram. */
#define RECORDED_TREES                                                                                       \
    {                                                                                                        \
        "linux-6.1", "linux-6.12", "linux-7.2"                                                               \
    }

struct fixture {
    char path[PATH_MAX / 4];
    int fd;
};

static inline int fixture_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/headroom-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(f->path))
        return -1;
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = f;
    return f->fd < 0 ? -1 : 0;
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void fixture_remove(const char *path)
{
    (void)nftw(path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    close_fdp(&f->fd);
    fixture_remove(f->path);
    free(f);
    return 0;
}

static inline void fixture_mkdir(const struct fixture *f, const char *path)
{
    char copy[PATH_MAX];

    (void)snprintf(copy, sizeof(copy), "%s", path);
    for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdirat(f->fd, copy, 0755);
        *slash = '/';
    }
    if (mkdirat(f->fd, copy, 0755) < 0)
        assert_int_equal(errno, EEXIST);
}

/* Writes a file whole, with the directories above it. */
static inline void fixture_write_bytes(const struct fixture *f, const char *path, const void *data,
                                       size_t length)
{
    char parent[PATH_MAX];
    char *slash;
    int fd;

    (void)snprintf(parent, sizeof(parent), "%s", path);
    slash = strrchr(parent, '/');
    if (slash) {
        *slash = '\0';
        fixture_mkdir(f, parent);
    }
    fd = openat(f->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    for (size_t done = 0; done < length;) {
        ssize_t n = write(fd, (const char *)data + done, length - done);

        assert_true(n > 0);
        done += (size_t)n;
    }
    (void)close(fd);
}

static inline void fixture_write(const struct fixture *f, const char *path, const char *text)
{
    fixture_write_bytes(f, path, text, strlen(text));
}

/* What is in a file, as a string in storage of the caller; returns the length. */
static inline size_t fixture_read(int dir_fd, const char *path, char *buf, size_t size)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t n, length = 0;

    assert_true(fd >= 0);
    while ((n = read(fd, buf + length, size - 1 - (size_t)length)) > 0)
        length += n;
    assert_int_equal(n, 0);
    (void)close(fd);
    buf[length] = '\0';
    return (size_t)length;
}

/* A directory of the recorded trees. */
static inline int recorded_open(const char *tree, const char *path)
{
    const char *base = getenv("HEADROOM_FIXTURES");
    char full[PATH_MAX];
    int fd;

    if (!base)
        fail_msg("HEADROOM_FIXTURES must name tests/fixtures (meson sets it)");
    (void)snprintf(full, sizeof(full), "%s/%s/%s", base, tree, path);
    fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", full, strerror(errno));
    return fd;
}

/* A parser with the type of its result rubbed off. */
typedef int (*hostile_parse_fn)(const char *buf, size_t length, void *ret);

#define HOSTILE_RET_MAX 1024

/* One input, in a block of exactly its size, so that a sanitizer sees a read behind it. Whatever it is, the
 * answer is success or -EBADMSG (or what `other` allows), and a failure leaves the result as it was. */
static inline int hostile_one(hostile_parse_fn parse, const char *at, size_t length, int other)
{
    char ret[HOSTILE_RET_MAX], before[HOSTILE_RET_MAX];
    char *copy = malloc(length ? length : 1);
    int r;

    assert_non_null(copy);
    memcpy(copy, at, length);
    memset(ret, 0xaa, sizeof(ret));
    memset(before, 0xaa, sizeof(before));
    r = parse(copy, length, ret);
    free(copy);
    if (r < 0) {
        if (r != other)
            assert_int_equal(r, -EBADMSG);
        assert_memory_equal(ret, before, sizeof(ret));
    }
    return r;
}

/* A good input cut at every byte, and with every byte replaced, doubled and left out. */
static inline void hostile_all(hostile_parse_fn parse, const char *good, int other)
{
    static const char replacements[] = {'\0', '\n', '\r', ' ', '-', '9', ':', '=', '\xff'};
    size_t length = strlen(good);
    char *copy = malloc(length + 1);

    assert_non_null(copy);
    assert_int_equal(hostile_one(parse, good, length, other), 0);
    for (size_t cut = 0; cut < length; cut++) {
        (void)hostile_one(parse, good, cut, other);
        for (size_t i = 0; i < sizeof(replacements); i++) {
            memcpy(copy, good, length);
            copy[cut] = replacements[i];
            (void)hostile_one(parse, copy, length, other);
        }
        memcpy(copy, good, cut + 1);
        memcpy(copy + cut + 1, good + cut, length - cut);
        (void)hostile_one(parse, copy, length + 1, other);
        memcpy(copy + cut, good + cut + 1, length - cut - 1);
        (void)hostile_one(parse, copy, length - 1, other);
    }
    free(copy);
}
