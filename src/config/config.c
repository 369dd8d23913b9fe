/* The files of a configuration: which there are, how they are opened, and the outermost calls. Values are
 * read into a draft on the heap (a configuration is over 100 KiB), which the caller gets only when all files
 * are right. */
#include "config/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "config/draft.h"
#include "config/pods.h"

#define DROP_INS_MAX (CONFIG_FILES_MAX - 1)

static void draft_freep(struct draft **d)
{
    free(*d);
}

static struct draft *draft_new(const char *name, struct config_messages *messages)
{
    struct draft *d = malloc(sizeof(*d));
    struct reader reporter;

    if (d) {
        draft_init(d, name, messages);
        return d;
    }
    reader_init(&reporter, NULL, name, messages);
    reader_error_at(&reporter, 0, "There is no memory to read it.");
    return NULL;
}

static int draft_take(struct draft *d, struct config *ret, struct config_origins *ret_origins,
                      const struct config_messages *messages)
{
    draft_check(d);
    if (messages->errors > 0)
        return -EINVAL;
    draft_finish(d);
    *ret = d->config;
    if (ret_origins)
        *ret_origins = d->origins;
    return 0;
}

int config_load_stream(FILE *stream, const char *name, struct config *ret, struct config_messages *messages)
{
    _cleanup_(draft_freep) struct draft *d = draft_new(name, messages);
    int r = d ? draft_read(d, stream, name) : -ENOMEM;

    return r < 0 ? r : draft_take(d, ret, NULL, messages);
}

/* /dev/null is how one says "no file". Of other devices and of pipes the end may never come, and this is read
 * while a daemon waits for it. */
static int file_check(struct reader *reporter, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        int error = errno;

        reader_error_at(reporter, 0, "Cannot be examined: %s.", strerror(error));
        return -error;
    }
    if (S_ISDIR(st.st_mode)) {
        reader_error_at(reporter, 0, "This is a directory. Name the configuration file in it.");
        return -EISDIR;
    }
    if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))) {
        reader_error_at(reporter, 0, "This is not a regular file. Name the configuration file.");
        return -EINVAL;
    }
    return 0;
}

/* 1: read, 0: it is not there and need not be, negative errno: said in the messages. */
static int read_file(struct draft *d, const char *path, bool optional)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    FILE *stream;
    int r;

    if (fd < 0 && errno == ENOENT && optional)
        return 0;
    if (fd < 0) {
        r = -errno;
        reader_open(&d->reader, NULL, path);
        reader_error_at(&d->reader, 0, "Cannot be opened: %s. %s", strerror(-r),
                        r == -ENOENT ? "Create it, or name another file; an empty one gives the defaults."
                                     : "Check the path and its permissions.");
        return r;
    }
    reader_open(&d->reader, NULL, path);
    r = file_check(&d->reader, fd);
    stream = r < 0 ? NULL : fdopen(fd, "r");
    if (!stream) {
        if (r == 0) {
            r = -errno;
            reader_error_at(&d->reader, 0, "Cannot be read: %s.", strerror(-r));
        }
        (void)close(fd);
        return r;
    }
    r = draft_read(d, stream, path);
    (void)fclose(stream);
    return r < 0 ? r : 1;
}

/* What an editor or a package manager leaves behind (.name.conf, name.conf~, name.conf.dpkg-new) is none. */
static int is_drop_in(const struct dirent *e)
{
    size_t length = strlen(e->d_name);

    return e->d_name[0] != '.' && length > 5 && strcmp(e->d_name + length - 5, ".conf") == 0;
}

/* Not alphasort(3): what wins must not depend on a locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(struct draft *d, const char *path)
{
    char directory[PATH_MAX], file[PATH_MAX];
    struct dirent **entries = NULL;
    int n, r = 0;

    if (snprintf(directory, sizeof(directory), "%s.d", path) >= (int)sizeof(directory))
        return 0; /* nor could it be there */
    n = scandir(directory, &entries, is_drop_in, by_name);
    if (n < 0 && errno == ENOENT)
        return 0;
    reader_open(&d->reader, NULL, directory);
    if (n < 0) {
        r = -errno;
        reader_error_at(&d->reader, 0, "Cannot be read: %s. It is the directory of drop-ins (*.conf).",
                        strerror(-r));
        return r;
    }
    if (n > DROP_INS_MAX) {
        reader_error_at(&d->reader, 0, "Holds %d files, and at most %d are read. Join some.", n,
                        DROP_INS_MAX);
        r = -E2BIG;
    }
    for (int i = 0; i < n; i++) {
        if (r == 0 &&
            snprintf(file, sizeof(file), "%s/%s", directory, entries[i]->d_name) < (int)sizeof(file))
            r = read_file(d, file, false);
        r = r > 0 ? 0 : r;
        free(entries[i]);
    }
    free((void *)entries);
    return r;
}

int config_load_origins(const char *path, struct config *ret, struct config_origins *ret_origins,
                        unsigned *ret_files, struct config_messages *messages)
{
    const char *main_path = path ? path : CONFIG_PATH_DEFAULT;
    _cleanup_(draft_freep) struct draft *d = draft_new(main_path, messages);
    int r;

    if (!d)
        return -ENOMEM;
    r = read_file(d, main_path, !path);
    if (r >= 0)
        r = read_drop_ins(d, main_path);
    if (r >= 0)
        r = draft_take(d, ret, ret_origins, messages);
    if (r >= 0)
        pods_read(ret, messages);
    if (r >= 0 && ret_files)
        *ret_files = d->origins.file_count;
    return r;
}

int config_load(const char *path, struct config *ret, struct config_messages *messages)
{
    return config_load_origins(path, ret, NULL, NULL, messages);
}
