#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

/*
 * The critical service beside the storm. Its delay is what a user of the node would feel, so it is counted
 * against the schedule that was intended: a beat that comes 300 ms late makes the 30 behind it late as well,
 * and all of them are counted ("coordinated omission" would hide 29 of them). The end of the work counts, not
 * the wake-up, because a page fault or an allocation is where memory pressure is felt.
 */
enum { BUFFER_BYTES = 4 << 20, PAGES_PER_BEAT = 8, FRESH_BYTES = 16 << 10, DEFAULT_MAX_BEATS = 1 << 18 };

struct heartbeat {
    uint32_t *delays_usec;
    uint64_t max_beats;
    uint64_t beats;
    uint64_t uncounted; /* beats after the record was full */
    uint64_t worst_usec;
    uint64_t worst_wake_usec; /* the part of the worst beat before its work began */
    uint64_t worst_at_usec;
    unsigned char *buffer;
    uint64_t position;
    int null_fd;
};

/*
 * A service that answers requests takes fresh pages from the kernel all the time. What malloc gives and takes
 * back stays in the process, and without this a beat would never meet the page allocator, where the pressure
 * is.
 */
static void beat_fresh_pages(void)
{
    volatile unsigned char *pages = memory_map(FRESH_BYTES, false, 0);

    for (size_t at = 0; at < FRESH_BYTES; at += PAGE_BYTES)
        pages[at] = 1;
    munmap((void *)pages, FRESH_BYTES);
}

static void beat_work(struct heartbeat *heartbeat)
{
    memory_touch(heartbeat->buffer, BUFFER_BYTES, PAGES_PER_BEAT, &heartbeat->position);
    char *small = malloc(2048 + heartbeat->position % 4096);

    if (small) {
        memset(small, 1, 64);
        /* What is freed must have been needed, or the compiler drops the pair. */
        __asm__ volatile("" : : "r"(small) : "memory");
        free(small);
    }
    beat_fresh_pages();
    syscall(SYS_getpid);
    if (write(heartbeat->null_fd, "x", 1) < 0)
        fail_errno("heartbeat: cannot write /dev/null");
}

static void beat_record(struct heartbeat *heartbeat, uint64_t due_usec, uint64_t woken_usec,
                        uint64_t start_usec)
{
    uint64_t delay_usec = now_usec() - due_usec;

    if (delay_usec > heartbeat->worst_usec) {
        heartbeat->worst_usec = delay_usec;
        heartbeat->worst_wake_usec = woken_usec - due_usec;
        heartbeat->worst_at_usec = due_usec - start_usec;
    }
    if (heartbeat->beats == heartbeat->max_beats) {
        heartbeat->uncounted++;
        return;
    }
    heartbeat->delays_usec[heartbeat->beats++] = delay_usec > UINT32_MAX ? UINT32_MAX : (uint32_t)delay_usec;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The smallest delay that at least `per_mille` of the beats do not exceed (nearest rank). */
static uint32_t percentile_usec(const struct heartbeat *heartbeat, uint64_t per_mille)
{
    if (heartbeat->beats == 0)
        return 0;
    uint64_t rank = (heartbeat->beats * per_mille + 999) / 1000;

    return heartbeat->delays_usec[rank > 0 ? rank - 1 : 0];
}

static uint64_t count_over_usec(const struct heartbeat *heartbeat, uint32_t bound_usec)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < heartbeat->beats; i++)
        count += heartbeat->delays_usec[i] > bound_usec;
    return count;
}

static void heartbeat_report(struct heartbeat *heartbeat, struct output *output, const char *path)
{
    qsort(heartbeat->delays_usec, heartbeat->beats, sizeof(uint32_t), compare_u32);
    output_add(output, "{\"beats\": %llu, \"p50_usec\": %u, \"p99_usec\": %u, \"p999_usec\": %u, ",
               (unsigned long long)heartbeat->beats, percentile_usec(heartbeat, 500),
               percentile_usec(heartbeat, 990), percentile_usec(heartbeat, 999));
    output_add(output, "\"worst_usec\": %llu, \"over_100ms\": %llu, \"over_500ms\": %llu, ",
               (unsigned long long)heartbeat->worst_usec,
               (unsigned long long)count_over_usec(heartbeat, 100 * 1000),
               (unsigned long long)count_over_usec(heartbeat, 500 * 1000));
    output_add(output, "\"worst_wake_usec\": %llu, \"worst_at_usec\": %llu, \"uncounted\": %llu}\n",
               (unsigned long long)heartbeat->worst_wake_usec, (unsigned long long)heartbeat->worst_at_usec,
               (unsigned long long)heartbeat->uncounted);
    output_write(output, path);
}

static void heartbeat_init(struct heartbeat *heartbeat, uint64_t max_beats)
{
    heartbeat->max_beats = max_beats;
    heartbeat->delays_usec = memory_map(max_beats * sizeof(uint32_t), false, MAP_POPULATE);
    heartbeat->buffer = memory_map(BUFFER_BYTES, false, 0);
    memory_content_init(CONTENT_RANDOM);
    memory_fill(heartbeat->buffer, 0, BUFFER_BYTES);
    heartbeat->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (heartbeat->null_fd < 0)
        fail_errno("heartbeat: cannot open /dev/null");
}

int command_heartbeat(int argc, char **argv)
{
    uint64_t interval_usec = 10000, duration_usec = 0;
    const char *path = NULL;
    bool locked = false;
    const struct option_spec specs[] = {
        {"interval", OPTION_DURATION, &interval_usec, false},
        {"seconds", OPTION_DURATION, &duration_usec, false},
        {"output", OPTION_TEXT, &path, true},
        {"mlock", OPTION_FLAG, &locked, false},
    };
    struct heartbeat heartbeat = {.beats = 0};
    struct output output;

    options_parse("heartbeat", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    if (interval_usec == 0)
        fail("heartbeat: --interval must not be 0");
    stop_on_signals();
    heartbeat_init(&heartbeat, duration_usec ? duration_usec / interval_usec + 1 : DEFAULT_MAX_BEATS);
    output_init(&output, 1024);
    if (locked && mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
        fail_errno("heartbeat: cannot lock memory");

    uint64_t start_usec = now_usec();
    for (uint64_t due_usec = start_usec; !duration_usec || due_usec < start_usec + duration_usec;
         due_usec += interval_usec) {
        if (!sleep_until_usec(due_usec))
            break;
        uint64_t woken_usec = now_usec();
        beat_work(&heartbeat);
        beat_record(&heartbeat, due_usec, woken_usec, start_usec);
    }
    heartbeat_report(&heartbeat, &output, path);
    return 0;
}
