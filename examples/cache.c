/* A cache that gives back what it can do without. It has no event loop, so libheadroom's helper thread
 * listens.
 *
 *     cc cache.c -o cache $(pkg-config --cflags --libs libheadroom)
 *
 * What it does at each level:
 *   low       forgets the older half of its entries
 *   medium    forgets all of them
 *   critical  the same, and remembers nothing new until it is calm again
 * and each time, at last, returns what that has freed to the system.
 *
 * MEMORY_PRESSURE_WATCH=/tmp/fifo ./cache   tries it out: `mkfifo /tmp/fifo`, then `printf m >/tmp/fifo`. */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <headroom.h>

enum { ENTRIES = 1024, ENTRY_BYTES = 64 * 1024 };

struct cache {
    pthread_mutex_t lock; /* reactions run in the helper thread */
    void *entries[ENTRIES];
    unsigned oldest, count;
    bool closed;
};

static void cache_remember(struct cache *c, unsigned number)
{
    (void)pthread_mutex_lock(&c->lock);
    if (!c->closed) {
        unsigned at = (c->oldest + c->count) % ENTRIES;
        void *entry = c->count == ENTRIES ? c->entries[c->oldest] : malloc(ENTRY_BYTES);

        if (entry) {
            memset(entry, (int)number, ENTRY_BYTES);
            if (c->count == ENTRIES)
                c->oldest = (c->oldest + 1) % ENTRIES;
            else
                c->count++;
            c->entries[at] = entry;
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* Must not allocate: memory is what there is none of. */
static void cache_forget(struct cache *c, unsigned how_many)
{
    for (; how_many > 0 && c->count > 0; how_many--, c->count--) {
        free(c->entries[c->oldest]);
        c->entries[c->oldest] = NULL;
        c->oldest = (c->oldest + 1) % ENTRIES;
    }
}

static void on_level(void *user, enum headroom_level level)
{
    struct cache *c = user;

    (void)pthread_mutex_lock(&c->lock);
    c->closed = level == HEADROOM_CRITICAL;
    if (level == HEADROOM_LOW)
        cache_forget(c, c->count / 2);
    else if (level > HEADROOM_LOW)
        cache_forget(c, ENTRIES);
    (void)printf("%s: %u entries\n", headroom_level_get_name(level), c->count);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&c->lock);
}

int main(void)
{
    static struct cache cache = {.lock = PTHREAD_MUTEX_INITIALIZER};
    char error[256] = "";
    struct headroom_options options = {.size = sizeof(options), .error = error, .error_size = sizeof(error)};
    struct headroom_watch *watch = NULL;
    sigset_t stop;
    int signal_number;

    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &stop, NULL);

    /* A cache works without being asked, too: say it, and go on. */
    if (headroom_watch_new(&options, &watch) < 0 ||
        headroom_watch_add_reaction(watch, HEADROOM_CALM, 0, on_level, &cache) < 0 ||
        headroom_watch_add_reaction(watch, HEADROOM_LOW, HEADROOM_COST_LAST, headroom_reaction_trim, NULL) <
            0 ||
        headroom_watch_start_thread(watch) < 0)
        (void)fprintf(stderr, "cache: nobody will ask for memory: %s\n", error);

    for (unsigned i = 0; i < 4096; i++)
        cache_remember(&cache, i);
    (void)pthread_mutex_lock(&cache.lock);
    (void)printf("ready: %u entries\n", cache.count);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&cache.lock);
    (void)sigwait(&stop, &signal_number);

    watch = headroom_watch_free(watch); /* the thread has ended when this returns */
    cache_forget(&cache, ENTRIES);
    return 0;
}
