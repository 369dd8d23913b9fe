#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

void output_init(struct output *output, size_t size)
{
    output->text = memory_map(size, false, 0);
    /* Written to, so that no page fault is left for the moment of the result. */
    memset(output->text, 1, size);
    output->size = size;
    output->used = 0;
}

void output_add(struct output *output, const char *format, ...)
{
    va_list arguments;
    size_t room = output->size - output->used;

    va_start(arguments, format);
    int length = vsnprintf(output->text + output->used, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room)
        fail("a result is longer than %zu bytes", output->size);
    output->used += (size_t)length;
}

void output_write(const struct output *output, const char *path)
{
    int fd = STDOUT_FILENO;

    if (path && strcmp(path, "-") != 0)
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        fail_errno("cannot open %s", path);
    for (size_t done = 0; done < output->used;) {
        ssize_t length = write(fd, output->text + done, output->used - done);

        if (length <= 0)
            fail_errno("cannot write %s", path ? path : "standard output");
        done += (size_t)length;
    }
    if (fd != STDOUT_FILENO)
        close(fd);
}
