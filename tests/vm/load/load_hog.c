#include <pthread.h>
#include <sys/mman.h>

#include "load.h"

/* Memory that is taken fast (hog) or steadily (leak), in small pieces so that a rate is kept smoothly. */
enum { MAX_THREADS = 64 };
#define PIECE_BYTES (256 * UINT64_C(1024))
#define POPULATE_BYTES (16 * MIB)

struct hog {
    uint64_t from_bytes, to_bytes, rate, threads, from_wait_usec, hold_usec;
    bool shared, populate, burn;
};

struct hog_part {
    const struct hog *hog;
    unsigned char *area;
    uint64_t from_bytes, to_bytes;
    struct pace pace;
    pthread_t thread;
};

static void *hog_grow(void *argument)
{
    struct hog_part *part = argument;
    uint64_t piece_bytes = part->hog->populate ? POPULATE_BYTES : PIECE_BYTES;

    for (uint64_t at = part->from_bytes; at < part->to_bytes; at += piece_bytes) {
        uint64_t end = at + piece_bytes < part->to_bytes ? at + piece_bytes : part->to_bytes;

        if (!pace_wait(&part->pace, end - part->from_bytes))
            break;
        if (part->hog->populate)
            memory_map(end - at, part->hog->shared, MAP_POPULATE);
        else
            memory_fill(part->area, at, end);
        if (part->hog->burn)
            burn_cpu(500000);
    }
    return NULL;
}

static void hog_run(const struct hog *hog)
{
    static struct hog_part parts[MAX_THREADS];
    unsigned char *area = memory_map(hog->to_bytes, hog->shared, 0);
    uint64_t rest_bytes = hog->to_bytes > hog->from_bytes ? hog->to_bytes - hog->from_bytes : 0;

    memory_content_init(CONTENT_RANDOM);
    memory_fill(area, 0, hog->from_bytes);
    if (hog->from_wait_usec)
        hold(hog->from_wait_usec);
    for (uint64_t i = 0; i < hog->threads && !stop_requested(); i++) {
        struct hog_part *part = &parts[i];

        part->hog = hog;
        part->area = area;
        part->from_bytes = hog->from_bytes + rest_bytes * i / hog->threads / PAGE_BYTES * PAGE_BYTES;
        part->to_bytes = hog->from_bytes + rest_bytes * (i + 1) / hog->threads / PAGE_BYTES * PAGE_BYTES;
        pace_init(&part->pace, hog->rate == RATE_MAX ? RATE_MAX : hog->rate / hog->threads + 1);
        if (i + 1 < hog->threads && pthread_create(&part->thread, NULL, hog_grow, part) != 0)
            fail("hog: cannot start a thread");
    }
    if (stop_requested())
        return;
    hog_grow(&parts[hog->threads - 1]);
    for (uint64_t i = 0; i + 1 < hog->threads; i++)
        pthread_join(parts[i].thread, NULL);
}

int command_hog(int argc, char **argv)
{
    struct hog hog = {.rate = RATE_MAX, .threads = 1};
    const struct option_spec specs[] = {
        {"from", OPTION_BYTES, &hog.from_bytes, false},
        {"to", OPTION_BYTES, &hog.to_bytes, true},
        {"rate", OPTION_RATE, &hog.rate, false},
        {"threads", OPTION_COUNT, &hog.threads, false},
        {"from-wait", OPTION_DURATION, &hog.from_wait_usec, false},
        {"hold", OPTION_DURATION, &hog.hold_usec, false},
        {"shared", OPTION_FLAG, &hog.shared, false},
        {"populate", OPTION_FLAG, &hog.populate, false},
    };

    options_parse("hog", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    if (hog.threads == 0 || hog.threads > MAX_THREADS)
        fail("hog: --threads must be from 1 to %d", MAX_THREADS);
    stop_on_signals();
    hog_run(&hog);
    hold(hog.hold_usec);
    return 0;
}

int command_leak(int argc, char **argv)
{
    struct hog hog = {.rate = 20 * MIB, .threads = 1, .to_bytes = UINT64_C(64) << 30};
    const struct option_spec specs[] = {
        {"rate", OPTION_RATE, &hog.rate, true},
        {"to", OPTION_BYTES, &hog.to_bytes, false},
        {"burn", OPTION_FLAG, &hog.burn, false},
    };

    options_parse("leak", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    stop_on_signals();
    hog_run(&hog);
    hold(0);
    return 0;
}
