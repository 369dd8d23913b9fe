#include "client/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

int files_kind(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
        return 0;
    return (int)(st.st_mode & S_IFMT);
}

int files_open(const char *path, int flags, mode_t kind)
{
    struct stat st;
    int fd;

    do {
        fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != kind) {
        (void)close(fd);
        return -ENOTTY;
    }
    return fd;
}

bool files_is_kernels(int fd)
{
    struct statfs fs;
    int r;

    do {
        r = fstatfs(fd, &fs);
    } while (r < 0 && errno == EINTR);
    return r == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC ||
                      fs.f_type == CGROUP_SUPER_MAGIC);
}

static int whole(ssize_t n, size_t length)
{
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EIO;
}

int files_write(int fd, const void *data, size_t length)
{
    ssize_t n;

    do {
        n = write(fd, data, length);
    } while (n < 0 && errno == EINTR);
    return whole(n, length);
}

int files_send(int fd, const void *data, size_t length)
{
    ssize_t n;

    do {
        n = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return whole(n, length);
}

/* A path that is longer than an address takes (107 bytes) goes by a descriptor of its inode. */
static int address_of(const char *path, struct sockaddr_un *ret, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = -1;

    if (strlen(path) < sizeof(address.sun_path)) {
        memcpy(address.sun_path, path, strlen(path) + 1);
    } else {
        fd = open(path, O_PATH | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", fd);
    }
    *ret = address;
    *ret_fd = fd;
    return 0;
}

int files_connect(const char *path)
{
    struct sockaddr_un address;
    int fd, path_fd = -1, r;

    r = address_of(path, &address, &path_fd);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    r = fd < 0 ? -errno : 0;
    if (r == 0) {
        /* Non-blocking, so a backlog that is full answers EAGAIN, which is for the caller to try again. */
        do {
            r = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        } while (r == -EINTR);
    }
    if (path_fd >= 0)
        (void)close(path_fd);
    if (r < 0) {
        if (fd >= 0)
            (void)close(fd);
        return r;
    }
    return fd;
}
