#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"

/*
 * A service with a working set: it answers requests at a fixed rate, each of which uses some objects of a few
 * pages, all of the hot part; one request in `--cold-every` goes anywhere instead, for one. How long each
 * took is counted against the schedule that was intended, so that one that waits for the device makes those
 * behind it late, too; and written a second at a time: those of the last second are sorted in place, which
 * needs no memory.
 *
 * With --file, the part --file-share (percent) of its memory is that file's, mapped and only read: each 16
 * MiB have their part of it, so that hot and cold do. With --turn-at the hot part is another one from then
 * on. With --grow-at it takes --grow-by of fresh memory as fast as it can, gives it back, and does so again
 * --grow-times every --grow-every; it says how long each took.
 */
enum {
    OBJECT_PAGES = 4,
    HOT_OBJECTS = 8,
    SECONDS_MAX = 4096,
    REQUESTS_MAX = 8192,
    GROWN_MAX = 64,
    CHUNK_BYTES = 16 * 1024 * 1024
};

struct second {
    uint32_t requests;
    uint32_t p50_usec;
    uint32_t p99_usec;
    uint32_t worst_usec;
};

struct service {
    unsigned char *area;
    uint64_t objects;
    uint64_t hot_objects;
    uint64_t hot_from; /* the first hot object */
    uint64_t cold_every;
    uint64_t chunk_anon_bytes; /* of each chunk, what comes before the part of the file */
    uint64_t random;
    uint32_t *spans_usec;
    uint32_t spans;
    struct second *seconds;
    uint32_t second_count;
};

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Nearest rank, of sorted ones. */
static uint32_t rank_of(const uint32_t *sorted, uint32_t count, uint32_t per_mille)
{
    uint32_t rank = (count * per_mille + 999) / 1000;

    return count == 0 ? 0 : sorted[rank > 0 ? rank - 1 : 0];
}

static void close_second(struct service *v)
{
    struct second *s;

    if (v->second_count == SECONDS_MAX)
        return;
    s = &v->seconds[v->second_count++];
    qsort(v->spans_usec, v->spans, sizeof(uint32_t), compare_u32);
    s->requests = v->spans;
    s->p50_usec = rank_of(v->spans_usec, v->spans, 500);
    s->p99_usec = rank_of(v->spans_usec, v->spans, 990);
    s->worst_usec = rank_of(v->spans_usec, v->spans, 1000);
    v->spans = 0;
}

static void use(struct service *v, uint64_t object)
{
    for (unsigned i = 0; i < OBJECT_PAGES; i++) {
        uint64_t at = (object * OBJECT_PAGES + i) * PAGE_BYTES;
        volatile uint64_t *word = (volatile uint64_t *)(v->area + at + 64);

        if (at % CHUNK_BYTES < v->chunk_anon_bytes)
            *word += 1;
        else
            (void)*word;
    }
}

static void answer(struct service *v, uint64_t due_usec)
{
    uint64_t span;

    if (v->cold_every > 0 && (random_next(&v->random) >> 16) % v->cold_every == 0)
        use(v, (random_next(&v->random) >> 16) % v->objects);
    else
        for (unsigned i = 0; i < HOT_OBJECTS; i++)
            use(v, (v->hot_from + (random_next(&v->random) >> 16) % v->hot_objects) % v->objects);
    (void)burn_cpu(2000);
    span = now_usec() - due_usec;
    if (v->spans < REQUESTS_MAX)
        v->spans_usec[v->spans++] = span > UINT32_MAX ? UINT32_MAX : (uint32_t)span;
}

static uint64_t grow(uint64_t bytes)
{
    uint64_t start_usec = now_usec();
    void *area = memory_map(bytes, false, 0);

    memory_fill(area, 0, bytes);
    start_usec = now_usec() - start_usec;
    if (munmap(area, bytes) < 0)
        fail_errno("service: cannot give back what it grew by");
    return start_usec;
}

static void report(const struct service *v, const uint64_t *grown_usec, uint64_t grown, struct output *output,
                   const char *path)
{
    output_add(output, "{\"seconds\": %u, \"grown_usec\": [", v->second_count);
    for (uint64_t i = 0; i < grown; i++)
        output_add(output, "%s%llu", i > 0 ? ", " : "", (unsigned long long)grown_usec[i]);
    output_add(output, "]}\n");
    for (uint32_t i = 0; i < v->second_count; i++)
        output_add(output, "%u %u %u %u %u\n", i, v->seconds[i].requests, v->seconds[i].p50_usec,
                   v->seconds[i].p99_usec, v->seconds[i].worst_usec);
    output_write(output, path);
}

static void map_file(struct service *v, const char *path, uint64_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        fail_errno("service: cannot open %s", path);
    if ((uint64_t)lseek(fd, 0, SEEK_END) < bytes)
        fail("service: %s has less than --bytes", path);
    for (uint64_t at = v->chunk_anon_bytes; at < bytes; at += CHUNK_BYTES) {
        uint64_t end = at - v->chunk_anon_bytes + CHUNK_BYTES;
        uint64_t length = (end < bytes ? end : bytes) - at;

        if (mmap(v->area + at, length, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)at) == MAP_FAILED)
            fail_errno("service: cannot map %s", path);
    }
    close(fd);
}

static void fill(struct service *v, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += PAGE_BYTES)
        if (at % CHUNK_BYTES < v->chunk_anon_bytes)
            memory_fill(v->area, at, at + PAGE_BYTES);
        else
            (void)*(volatile unsigned char *)(v->area + at);
}

static void service_init(struct service *v, uint64_t bytes, uint64_t hot_bytes, bool compressible,
                         const char *file, uint64_t file_percent)
{
    v->objects = bytes / (OBJECT_PAGES * PAGE_BYTES);
    v->hot_objects = hot_bytes / (OBJECT_PAGES * PAGE_BYTES);
    if (v->hot_objects == 0 || v->hot_objects > v->objects)
        fail("service: --hot must be at most --bytes, and not 0");
    memory_content_init(compressible ? CONTENT_COMPRESSIBLE : CONTENT_RANDOM);
    v->area = memory_map(bytes, false, 0);
    v->chunk_anon_bytes = CHUNK_BYTES;
    if (file && file_percent > 0) {
        v->chunk_anon_bytes = (uint64_t)CHUNK_BYTES / 100 * (100 - file_percent) / PAGE_BYTES * PAGE_BYTES;
        map_file(v, file, bytes);
    }
    fill(v, bytes);
    v->spans_usec = memory_map(REQUESTS_MAX * sizeof(uint32_t), false, MAP_POPULATE);
    v->seconds = memory_map(SECONDS_MAX * sizeof(struct second), false, MAP_POPULATE);
    v->random = UINT64_C(0x9e3779b97f4a7c15);
    /* What is measured must not wait for itself. */
    if (mlock(v->spans_usec, REQUESTS_MAX * sizeof(uint32_t)) < 0 ||
        mlock(v->seconds, SECONDS_MAX * sizeof(struct second)) < 0)
        fail_errno("service: cannot lock its record");
}

int command_service(int argc, char **argv)
{
    uint64_t bytes = 0, hot_bytes = 0, rate = 500, duration_usec = 0, turn_usec = 0, grow_usec = 0,
             grow_bytes = 0, grow_times = 1, grow_every_usec = 6 * USEC_PER_SEC;
    uint64_t cold_every = 100, grown_usec[GROWN_MAX], grown = 0;
    uint64_t file_percent = 50;
    const char *path = NULL, *ready = NULL, *file = NULL;
    bool compressible = false;
    const struct option_spec specs[] = {
        {"bytes", OPTION_BYTES, &bytes, true},
        {"hot", OPTION_BYTES, &hot_bytes, true},
        {"rate", OPTION_COUNT, &rate, false},
        {"cold-every", OPTION_COUNT, &cold_every, false},
        {"seconds", OPTION_DURATION, &duration_usec, false},
        {"turn-at", OPTION_DURATION, &turn_usec, false},
        {"grow-at", OPTION_DURATION, &grow_usec, false},
        {"grow-by", OPTION_BYTES, &grow_bytes, false},
        {"grow-times", OPTION_COUNT, &grow_times, false},
        {"grow-every", OPTION_DURATION, &grow_every_usec, false},
        {"compressible", OPTION_FLAG, &compressible, false},
        {"file", OPTION_TEXT, &file, false},
        {"file-share", OPTION_COUNT, &file_percent, false},
        {"ready", OPTION_TEXT, &ready, false},
        {"output", OPTION_TEXT, &path, true},
    };
    struct service v = {.cold_every = 0};
    struct output output;
    uint64_t start_usec, second_usec, due_usec;

    options_parse("service", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    if (rate == 0 || rate > REQUESTS_MAX)
        fail("service: --rate must be from 1 to %d", REQUESTS_MAX);
    if (grow_times > GROWN_MAX)
        fail("service: --grow-times must be at most %d", GROWN_MAX);
    if (file_percent > 100)
        fail("service: --file-share must be a percentage");
    stop_on_signals();
    v.cold_every = cold_every;
    service_init(&v, bytes, hot_bytes, compressible, file, file_percent);
    output_init(&output, SECONDS_MAX * 48);
    if (ready)
        close(open(ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    start_usec = due_usec = now_usec();
    second_usec = start_usec + USEC_PER_SEC;
    for (; !duration_usec || due_usec < start_usec + duration_usec; due_usec += USEC_PER_SEC / rate) {
        if (!sleep_until_usec(due_usec))
            break;
        if (due_usec >= second_usec) {
            close_second(&v);
            second_usec += USEC_PER_SEC;
        }
        if (turn_usec && due_usec >= start_usec + turn_usec) {
            v.hot_from = v.objects - v.hot_objects;
            turn_usec = 0;
        }
        if (grow_usec && due_usec >= start_usec + grow_usec) {
            grown_usec[grown++] = grow(grow_bytes);
            grow_usec = grown < grow_times ? grow_usec + grow_every_usec : 0;
            due_usec = now_usec();
        }
        answer(&v, due_usec);
    }
    report(&v, grown_usec, grown, &output, path);
    return 0;
}
