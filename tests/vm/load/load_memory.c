#include <string.h>
#include <sys/mman.h>

#include "load.h"

/*
 * Filling memory must not cost more CPU than the page faults it causes, above all under emulation. So random
 * words are made once, into a pool, and every page is a copy from another offset of the pool plus a stamp: to
 * a compressor, which sees one page at a time, that is as bad as random, and no two pages are equal.
 */
enum { POOL_BYTES = 64 * 1024, COMPRESSIBLE_RANDOM_BYTES = 1024 };

static uint64_t pool[(POOL_BYTES + PAGE_BYTES) / sizeof(uint64_t)];
static enum memory_content pool_content;

static uint64_t random_next(uint64_t *state)
{
    /* xorshift64: Marsaglia, "Xorshift RNGs", 2003, triple 13, 7, 17. */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void memory_content_init(enum memory_content content)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    pool_content = content;
    for (size_t i = 0; i < sizeof(pool) / sizeof(pool[0]); i++)
        pool[i] = random_next(&state);
}

void *memory_map(uint64_t bytes, bool shared, int extra_flags)
{
    int flags = MAP_ANONYMOUS | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE) | extra_flags;
    void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (area == MAP_FAILED)
        fail_errno("cannot map %llu bytes", (unsigned long long)bytes);
    return area;
}

static void page_fill(unsigned char *page, uint64_t number)
{
    uint64_t offset_bytes = number * 72 % POOL_BYTES;
    const unsigned char *source = (const unsigned char *)pool + offset_bytes;

    if (pool_content == CONTENT_RANDOM) {
        memcpy(page, source, PAGE_BYTES);
    } else {
        memcpy(page, source, COMPRESSIBLE_RANDOM_BYTES);
        memset(page + COMPRESSIBLE_RANDOM_BYTES, 0x5a, PAGE_BYTES - COMPRESSIBLE_RANDOM_BYTES);
    }
    memcpy(page, &number, sizeof(number));
}

void memory_fill(void *area, uint64_t from_bytes, uint64_t to_bytes)
{
    for (uint64_t page = from_bytes / PAGE_BYTES; page < to_bytes / PAGE_BYTES; page++)
        page_fill((unsigned char *)area + page * PAGE_BYTES, page);
}

void memory_touch(void *area, uint64_t area_bytes, uint64_t pages, uint64_t *position)
{
    uint64_t area_pages = area_bytes / PAGE_BYTES;

    if (area_pages == 0)
        return;
    for (uint64_t i = 0; i < pages; i++) {
        volatile uint64_t *word =
            (volatile uint64_t *)((unsigned char *)area + (*position % area_pages) * PAGE_BYTES + 64);

        *word += 1;
        *position += 1;
    }
}

uint64_t burn_cpu(uint64_t rounds)
{
    static volatile uint64_t sink;
    uint64_t state = rounds | 1;

    for (uint64_t i = 0; i < rounds; i++)
        random_next(&state);
    sink = state;
    return sink;
}
