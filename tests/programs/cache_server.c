/* A server with a cache, for the scenarios: `cache_server MIB [ignore]` fills it, says "ready", and stays.
 * When it is asked it forgets half of it at level low and all at a worse one, or nothing. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <headroom.h>

#define ENTRY_BYTES (1 << 20)
#define ENTRIES_MAX 4096

struct cache {
    void *entries[ENTRIES_MAX]; /* mapped, so that what is forgotten is gone at once */
    unsigned count;
    bool ignores;
};

static void on_level(void *user, enum headroom_level level)
{
    struct cache *c = user;
    unsigned keep = c->ignores ? c->count : level == HEADROOM_LOW ? c->count / 2 : 0;

    while (c->count > keep)
        (void)munmap(c->entries[--c->count], ENTRY_BYTES);
    (void)printf("%s: %u entries\n", headroom_level_get_name(level), c->count);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct cache cache;
    struct headroom_watch *watch = NULL;
    unsigned wanted = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;

    cache.ignores = argc > 2 && strcmp(argv[2], "ignore") == 0;
    if (wanted == 0 || wanted > ENTRIES_MAX) {
        (void)fprintf(stderr, "usage: cache_server MIB [ignore]\n");
        return 2;
    }
    for (; cache.count < wanted; cache.count++) {
        void *entry = mmap(NULL, ENTRY_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (entry == MAP_FAILED)
            return 1;
        cache.entries[cache.count] = entry;
    }
    if (headroom_watch_new(NULL, &watch) < 0 ||
        headroom_watch_add_reaction(watch, HEADROOM_LOW, 0, on_level, &cache) < 0 ||
        headroom_watch_start_thread(watch) < 0)
        return 1;
    (void)printf("ready at %s\n", headroom_watch_get_path(watch));
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}
