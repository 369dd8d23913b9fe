#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"

/* Page cache and shared memory: a reader, a writer of dirty pages, a tmpfs that fills, shared memory that
 * grows. */
struct file_load {
    const char *path, *output_path;
    uint64_t bytes, duration_usec, rate, hold_usec, from_bytes, anon_bytes;
    bool loop, sync;
    uint64_t done_bytes, passes;
    unsigned char *anon; /* of a reader: read with the file, in step */
};

static unsigned char buffer[MIB] __attribute__((aligned(4096)));

static bool file_load_over(const struct file_load *load, uint64_t start_usec)
{
    return stop_requested() || (load->duration_usec && now_usec() >= start_usec + load->duration_usec);
}

static void file_load_report(const struct file_load *load, uint64_t start_usec)
{
    struct output output;
    uint64_t elapsed_usec = now_usec() - start_usec;

    output_init(&output, 1024);
    output_add(
        &output, "{\"bytes\": %llu, \"passes\": %llu, \"seconds\": %llu.%03llu, \"bytes_per_sec\": %llu}\n",
        (unsigned long long)load->done_bytes, (unsigned long long)load->passes,
        (unsigned long long)(elapsed_usec / USEC_PER_SEC), (unsigned long long)(elapsed_usec / 1000 % 1000),
        (unsigned long long)((unsigned __int128)load->done_bytes * USEC_PER_SEC /
                             (elapsed_usec ? elapsed_usec : 1)));
    output_write(&output, load->output_path);
}

/* As large a part of the anonymous memory as `done` is of the file: a page that was swapped out comes back.
 */
static void touch_anon(const struct file_load *load, uint64_t from, uint64_t to)
{
    uint64_t page = (uint64_t)((unsigned __int128)load->anon_bytes * from / load->bytes) / PAGE_BYTES;

    for (; page * PAGE_BYTES < (uint64_t)((unsigned __int128)load->anon_bytes * to / load->bytes); page++)
        (void)*(volatile unsigned char *)&load->anon[page * PAGE_BYTES];
}

static void read_pass(struct file_load *load, int fd, uint64_t start_usec)
{
    struct pace pace;

    pace_init(&pace, load->rate);
    for (uint64_t at = 0; at < load->bytes && !file_load_over(load, start_usec);) {
        ssize_t length =
            pace_wait(&pace, at) ? pread(fd, buffer, sizeof(buffer), (off_t)(load->from_bytes + at)) : 0;

        if (length < 0 && errno != EINTR)
            fail_errno("reader: cannot read %s", load->path);
        if (length == 0)
            break;
        if (length > 0) {
            touch_anon(load, at, at + (uint64_t)length);
            at += (uint64_t)length;
            load->done_bytes += (uint64_t)length;
        }
    }
    load->passes++;
}

int command_reader(int argc, char **argv)
{
    struct file_load load = {.bytes = UINT64_C(1) << 50, .rate = RATE_MAX};
    const struct option_spec specs[] = {
        {"file", OPTION_TEXT, &load.path, true},
        {"bytes", OPTION_BYTES, &load.bytes, false},
        {"from", OPTION_BYTES, &load.from_bytes, false},
        {"rate", OPTION_RATE, &load.rate, false},
        {"anon", OPTION_BYTES, &load.anon_bytes, false}, /* held, and read in step with the file */
        {"loop", OPTION_FLAG, &load.loop, false},
        {"seconds", OPTION_DURATION, &load.duration_usec, false},
        {"output", OPTION_TEXT, &load.output_path, false},
    };

    options_parse("reader", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    stop_on_signals();
    int fd = open(load.path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_errno("reader: cannot open %s", load.path);
    if (load.anon_bytes > 0) {
        memory_content_init(CONTENT_RANDOM);
        load.anon = memory_map(load.anon_bytes, false, 0);
        memory_fill(load.anon, 0, load.anon_bytes);
    }
    uint64_t start_usec = now_usec();
    do {
        uint64_t before_bytes = load.done_bytes;

        read_pass(&load, fd, start_usec);
        if (load.done_bytes == before_bytes)
            break;
    } while (load.loop && !file_load_over(&load, start_usec));
    file_load_report(&load, start_usec);
    return 0;
}

/* Write `bytes` at the given rate from the start of the file; each MiB differs, so that zswap gains nothing.
 */
static void write_pass(struct file_load *load, int fd, uint64_t start_usec)
{
    struct pace pace;

    pace_init(&pace, load->rate);
    for (uint64_t at = 0; at < load->bytes && !file_load_over(load, start_usec);) {
        uint64_t piece_bytes = load->bytes - at < sizeof(buffer) ? load->bytes - at : sizeof(buffer);

        if (!pace_wait(&pace, at + piece_bytes))
            break;
        memcpy(buffer, &at, sizeof(at));
        ssize_t length = pwrite(fd, buffer, piece_bytes, (off_t)at);
        if (length < 0 && errno == ENOSPC)
            break;
        if (length < 0 && errno != EINTR)
            fail_errno("cannot write %s", load->path);
        if (length > 0) {
            at += (uint64_t)length;
            load->done_bytes += (uint64_t)length;
        }
    }
    load->passes++;
    if (load->sync)
        fdatasync(fd);
}

static void buffer_fill(void)
{
    memory_content_init(CONTENT_RANDOM);
    memory_fill(buffer, 0, sizeof(buffer));
}

int command_writer(int argc, char **argv)
{
    struct file_load load = {.bytes = UINT64_C(1) << 30, .rate = RATE_MAX};
    const struct option_spec specs[] = {
        {"file", OPTION_TEXT, &load.path, true},
        {"bytes", OPTION_BYTES, &load.bytes, false},
        {"rate", OPTION_RATE, &load.rate, false},
        {"sync", OPTION_FLAG, &load.sync, false},
        {"loop", OPTION_FLAG, &load.loop, false},
        {"seconds", OPTION_DURATION, &load.duration_usec, false},
        {"output", OPTION_TEXT, &load.output_path, false},
    };

    options_parse("writer", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    stop_on_signals();
    buffer_fill();
    int fd = open(load.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        fail_errno("writer: cannot open %s", load.path);
    uint64_t start_usec = now_usec();
    do
        write_pass(&load, fd, start_usec);
    while (load.loop && !file_load_over(&load, start_usec));
    file_load_report(&load, start_usec);
    return 0;
}

int command_filler(int argc, char **argv)
{
    struct file_load load = {.rate = RATE_MAX};
    const char *directory = NULL;
    char path[512];
    const struct option_spec specs[] = {
        {"dir", OPTION_TEXT, &directory, true},
        {"bytes", OPTION_BYTES, &load.bytes, true},
        {"rate", OPTION_RATE, &load.rate, false},
        {"hold", OPTION_DURATION, &load.hold_usec, false},
    };

    options_parse("filler", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    stop_on_signals();
    buffer_fill();
    snprintf(path, sizeof(path), "%s/filler-%d", directory, (int)getpid());
    load.path = path;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        fail_errno("filler: cannot create %s", path);
    uint64_t start_usec = now_usec();
    write_pass(&load, fd, start_usec);
    file_load_report(&load, start_usec);
    /* The file stays when this process is killed: tmpfs does not die with its writer. That is the point. */
    hold(load.hold_usec);
    unlink(path);
    return 0;
}

static unsigned char *shm_map(uint64_t bytes, bool use_memfd)
{
    if (!use_memfd)
        return memory_map(bytes, true, 0);
    int fd = memfd_create("load-shm", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        fail_errno("shm: cannot make a memfd of %llu bytes", (unsigned long long)bytes);
    void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (area == MAP_FAILED)
        fail_errno("shm: cannot map %llu bytes", (unsigned long long)bytes);
    return area;
}

int command_shm(int argc, char **argv)
{
    uint64_t bytes = 0, rate = RATE_MAX, hold_usec = 0;
    bool use_memfd = false;
    const struct option_spec specs[] = {
        {"bytes", OPTION_BYTES, &bytes, true},
        {"rate", OPTION_RATE, &rate, false},
        {"memfd", OPTION_FLAG, &use_memfd, false},
        {"hold", OPTION_DURATION, &hold_usec, false},
    };
    struct pace pace;

    options_parse("shm", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    stop_on_signals();
    memory_content_init(CONTENT_RANDOM);
    unsigned char *area = shm_map(bytes, use_memfd);
    pace_init(&pace, rate);
    for (uint64_t at = 0; at < bytes;) {
        uint64_t end = at + MIB / 4 < bytes ? at + MIB / 4 : bytes;

        if (!pace_wait(&pace, end))
            break;
        memory_fill(area, at, end);
        at = end;
    }
    hold(hold_usec);
    return 0;
}
