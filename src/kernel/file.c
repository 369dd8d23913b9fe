/* Reading and writing by system calls alone: stdio, opendir and getline take heap, which headroomd must not
 * ask for at the moment when there is none. */
#include "kernel/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Longest file of one number: "18446744073709551615\n", with some grace. */
#define NUMBER_SIZE 32

/* Names are at most 255 bytes, so that an entry takes under 280: one block holds 14 or more. */
#define ENTRIES_SIZE 4096

struct kernel_dirent { /* linux_dirent64 of getdents64(2): glibc hides it behind opendir */
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

static int open_retry(int dir_fd, const char *path, int flags)
{
    int fd;

    do {
        fd = openat(dir_fd, path, flags | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static ssize_t pread_retry(int fd, char *buf, size_t size, off_t offset)
{
    ssize_t n;

    do {
        n = pread(fd, buf, size, offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int file_open_dir(int dir_fd, const char *path)
{
    return open_retry(dir_fd, path, O_RDONLY | O_DIRECTORY);
}

int file_open_read(int dir_fd, const char *path)
{
    return open_retry(dir_fd, path, O_RDONLY);
}

ssize_t file_pread(int fd, char *buf, size_t size)
{
    size_t length = 0;

    if (size == 0)
        return -EINVAL;

    /* A seq_file answers at most a page or one record per call, so a short read is not yet the end; only 0
     * is. */
    for (;;) {
        char probe;
        bool full = length == size - 1;
        ssize_t n =
            pread_retry(fd, full ? &probe : buf + length, full ? 1 : size - 1 - length, (off_t)length);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        if (full)
            return -EFBIG;
        length += (size_t)n;
    }
    buf[length] = '\0';
    return length > 0 ? (ssize_t)length : -ENODATA;
}

ssize_t file_pread_record(int fd, char *buf, size_t size)
{
    ssize_t n;

    if (size < 2)
        return -EINVAL;
    n = pread_retry(fd, buf, size, 0);
    if (n < 0)
        return n;
    if ((size_t)n == size)
        return -EFBIG;
    buf[n] = '\0';
    return n > 0 ? n : -ENODATA;
}

ssize_t file_read_at(int dir_fd, const char *path, char *buf, size_t size)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, path);

    return fd < 0 ? fd : file_pread(fd, buf, size);
}

ssize_t file_read_record_at(int dir_fd, const char *path, char *buf, size_t size)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, path);

    return fd < 0 ? fd : file_pread_record(fd, buf, size);
}

int file_write_at(int dir_fd, const char *path, const char *value)
{
    size_t length = strlen(value);
    /* Kernel files do not care for O_TRUNC; a recorded tree needs it, or the tail of the old value would
     * stay. */
    _cleanup_close_ int fd = open_retry(dir_fd, path, O_WRONLY | O_TRUNC);
    ssize_t n;

    if (fd < 0)
        return fd;
    if (length > INT_MAX)
        return -EFBIG;

    n = write(fd, value, length);
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EIO;
}

int file_write_u64_at(int dir_fd, const char *path, uint64_t value)
{
    char buf[NUMBER_SIZE];

    if (value == UINT64_MAX)
        return file_write_at(dir_fd, path, "max");
    (void)snprintf(buf, sizeof(buf), "%" PRIu64, value);
    return file_write_at(dir_fd, path, buf);
}

static int parse_number_file(const char *buf, size_t length, uint64_t *ret)
{
    struct text rest = {buf, length}, line;

    if (!text_next_line(&rest, &line) || rest.length > 0 || text_parse_u64_or_max(line, ret) < 0)
        return -EBADMSG;
    return 0;
}

int file_read_u64_at(int dir_fd, const char *path, uint64_t *ret)
{
    _cleanup_close_ int fd = file_open_read(dir_fd, path);

    return fd < 0 ? fd : file_pread_u64(fd, ret);
}

int file_pread_u64(int fd, uint64_t *ret)
{
    char buf[NUMBER_SIZE];
    ssize_t n = file_pread_record(fd, buf, sizeof(buf));

    if (n == -EFBIG)
        return -EBADMSG; /* longer than any number */
    return n < 0 ? (int)n : parse_number_file(buf, (size_t)n, ret);
}

bool file_exists_at(int dir_fd, const char *path)
{
    return faccessat(dir_fd, path, F_OK, 0) == 0;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int file_each_entry(int dir_fd, file_entry_fn fn, void *user)
{
    _Alignas(struct kernel_dirent) _uninitialized_ char buf[ENTRIES_SIZE];

    if (lseek(dir_fd, 0, SEEK_SET) < 0)
        return -errno;

    for (;;) {
        long n = syscall(SYS_getdents64, dir_fd, buf, sizeof(buf));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        for (long at = 0; at < n;) {
            const struct kernel_dirent *entry = (const void *)(buf + at);
            int r;

            at += entry->length;
            if (is_dot(entry->name))
                continue;
            r = fn(user, entry->name, entry->type, entry->inode);
            if (r != 0)
                return r;
        }
    }
}

/* Hands out the whole lines of *held bytes of buf and moves the rest to the front. A rest that fills the
 * buffer is the begin of a line that is too long: it is dropped, and *drop makes its end go the same way. */
static int flush_lines(char *buf, size_t *held, bool *drop, file_line_fn fn, void *user)
{
    struct text rest = {buf, *held}, line;

    while (memchr(rest.at, '\n', rest.length)) {
        int r = 0;

        (void)text_next_line(&rest, &line);
        if (!*drop)
            r = fn(user, line);
        *drop = false;
        if (r != 0)
            return r;
    }
    if (rest.length == FILE_BUFFER_SIZE || *drop) {
        *drop = true;
        rest.length = 0;
    }
    memmove(buf, rest.at, rest.length);
    *held = rest.length;
    return 0;
}

int file_each_line(int fd, file_line_fn fn, void *user)
{
    _uninitialized_ char buf[FILE_BUFFER_SIZE];
    size_t held = 0;
    off_t offset = 0;
    bool drop = false;

    for (;;) {
        ssize_t n = pread_retry(fd, buf + held, sizeof(buf) - held, offset);
        int r;

        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        offset += n;
        held += (size_t)n;
        r = flush_lines(buf, &held, &drop, fn, user);
        if (r != 0)
            return r;
    }
    return held > 0 ? fn(user, (struct text){buf, held}) : 0;
}

bool file_is_root(const char *path)
{
    struct stat root, st;

    return stat("/", &root) == 0 && stat(path, &st) == 0 && root.st_dev == st.st_dev &&
           root.st_ino == st.st_ino;
}
