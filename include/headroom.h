/* libheadroom: be asked for memory before it is taken.
 *
 * A program with caches opens a watch and is told when memory runs short, early enough to give something
 * back, instead of being paused or killed later. Where the telling comes from is found by itself, in this
 * order:
 *
 *   1. $MEMORY_PRESSURE_WATCH (and $MEMORY_PRESSURE_WRITE), as systemd's protocol has it: a PSI file, a FIFO
 * or an AF_UNIX stream socket; /dev/null means "do not watch";
 *   2. headroomd's socket, HEADROOM_SOCKET;
 *   3. the memory.pressure file of the own cgroup;
 *   4. /proc/pressure/memory.
 *
 * If a source vanishes, or a better one of that list comes up later, the watch moves by itself; its
 * descriptor stays the same.
 *
 * Functions return 0 or a positive number, or a negative errno; outputs are untouched on failure. The library
 * prints nothing, raises no signal (not even SIGPIPE), needs nothing but the C library, and keeps no state
 * but in its watches.
 *
 * Threads: different watches are independent of each other. Of one watch, headroom_watch_get_level and
 * headroom_watch_get_source may be called from any thread at any time until it is freed; everything else by
 * one thread at a time. While the helper thread runs, it is that thread that reads.
 *
 * fork: a watch belongs to the process that made it. In a child, functions that would read from it return
 * -ECHILD; headroom_watch_free only lets go of the child's copy, and should be called there; descriptors are
 * closed on exec. A child that wants to be told opens a watch of its own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEADROOM_SOCKET "/run/headroom/pressure.sock"

/* How short memory is. What to do is the program's choice; the usual one:
 *   low       give back what costs nothing to have again: malloc_trim, idle workers, the cold end of a cache
 *   medium    drop caches
 *   critical  save state, keep only what the present request needs; whoever can be started again may exit */
enum headroom_level {
    HEADROOM_CALM = 0,
    HEADROOM_LOW = 1,
    HEADROOM_MEDIUM = 2,
    HEADROOM_CRITICAL = 3,
};

/* On a socket or a FIFO each event is one byte, and these say how short memory is. Any other byte says that
 * it is short and not how much, as does an event of a PSI file: both count as HEADROOM_MEDIUM, since such a
 * source has no second, louder word. There is no byte for calm: programs that do not know these take every
 * byte for pressure. Calm is where nothing was told for the hold time (struct headroom_options), so a source
 * that still means it says it again. */
enum headroom_byte {
    HEADROOM_BYTE_LOW = 'l',
    HEADROOM_BYTE_MEDIUM = 'm',
    HEADROOM_BYTE_CRITICAL = 'c',
};

enum headroom_source {
    HEADROOM_SOURCE_NONE = 0, /* nothing at this moment; it is looked for again, at least once a minute */
    HEADROOM_SOURCE_OFF = 1,  /* /dev/null: the watch never tells anything */
    HEADROOM_SOURCE_SOCKET = 2,
    HEADROOM_SOURCE_FIFO = 3,
    HEADROOM_SOURCE_PSI = 4,
};

struct headroom_watch;

/* All zero but `size` means the defaults. Members are only ever added at the end; a library that is older
 * than the program refuses what it does not know (-E2BIG) unless it is zero. */
struct headroom_options {
    size_t size; /* sizeof(struct headroom_options) */
    /* Watch this absolute path, whatever the environment says; NULL: find one. */
    const char *path;
    /* What is written to `path` once it is open; NULL: nothing, but to a PSI file "some 200000 2000000". At
     * most 4096 bytes. Only with `path`. */
    const void *payload;
    size_t payload_length;
    /* How long a level holds after it was last told; 0: 10 s. At most a day. */
    uint64_t hold_usec;
    /* Stack of the helper thread; 0: what the system gives. */
    size_t thread_stack_bytes;
    /* Where headroom_watch_new puts a sentence about what is wrong, if it fails; NULL: nowhere. */
    char *error;
    size_t error_size;
};

/* `options` may be NULL. A path that is not there yet, or a socket that nobody listens on, is no error: it is
 * tried again, at first after a tenth of a second, at last once a minute.
 *   -EBADMSG  the path is not absolute, or $MEMORY_PRESSURE_WRITE is not base64
 *   -ENOTTY   it is neither a pressure file of the kernel's, nor a FIFO, nor a socket
 *   -E2BIG    the payload is too long, or the options are of a newer version
 *   -EINVAL   the options make no sense
 * and what opening it fails with. With secure execution (setuid) the environment is not read. Free the watch
 * with headroom_watch_free. */
int headroom_watch_new(const struct headroom_options *options, struct headroom_watch **ret_watch);
/* Stops the helper thread, too. NULL is fine; returns NULL. */
struct headroom_watch *headroom_watch_free(struct headroom_watch *watch);

/* Readable (POLLIN) when headroom_watch_read has something to do. It is the same for the life of the watch,
 * non-blocking and closed on exec; poll it and nothing else. Any event loop will do: it is an epoll
 * descriptor, so those that cannot ask for POLLPRI work, too. It also becomes readable when the level falls
 * back to calm, and when the watch has to look after its connection. */
int headroom_watch_get_fd(const struct headroom_watch *watch);

/* Takes what was told. 1: pressure was told (again), or the level has fallen back to calm; 0: nothing new. In
 * both cases *ret_level, which may be NULL, is the level as it is now. Never blocks. -ECHILD: another process
 * made this watch; -EBUSY: the helper thread reads. Where several events wait, the worst of them counts. */
int headroom_watch_read(struct headroom_watch *watch, enum headroom_level *ret_level);

/* As it was last told; HEADROOM_CALM once that is older than the hold time. No system call that can block. */
enum headroom_level headroom_watch_get_level(const struct headroom_watch *watch);
enum headroom_source headroom_watch_get_source(const struct headroom_watch *watch);
/* Of the source; "" while there is none. Valid until the next call that reads. */
const char *headroom_watch_get_path(const struct headroom_watch *watch);

/* "calm", "low", "medium", "critical"; NULL for anything else. */
const char *headroom_level_get_name(enum headroom_level level);

/* What a program gives back. A reaction is called with the level as it is then. It must not free the watch.
 */
typedef void (*headroom_reaction_fn)(void *user, enum headroom_level level);

/* Ready-made: returns the free memory of malloc to the system (malloc_trim). `user` is not used. */
void headroom_reaction_trim(void *user, enum headroom_level level);

#define HEADROOM_COST_LAST                                                                                   \
    UINT32_MAX /* for headroom_reaction_trim: it returns what the others have freed                          \
                */

/* `fn` is called at level `from` and worse (HEADROOM_CALM: at every one, also when it falls back to calm),
 * the cheapest first; of one cost in the order in which they were added. -EBUSY while the helper thread runs.
 */
int headroom_watch_add_reaction(struct headroom_watch *watch, enum headroom_level from, uint32_t cost,
                                headroom_reaction_fn fn, void *user);
/* Calls the reactions that are due at `level`, and says how many there were. */
int headroom_watch_react(struct headroom_watch *watch, enum headroom_level level);
/* headroom_watch_read, and, if that says 1, headroom_watch_react. Returns what the former says: the one call
 * for an event loop whose descriptor has become readable. */
int headroom_watch_dispatch(struct headroom_watch *watch);

/* For programs without an event loop: a thread of the watch's own that reads, and calls the reactions; it
 * takes no signals. -EBUSY: it runs already. A reaction then runs beside the rest of the program, which has
 * to lock what both touch. */
int headroom_watch_start_thread(struct headroom_watch *watch);
/* Waits for a reaction that is under way. No error if it does not run. -EDEADLK: called by a reaction. */
int headroom_watch_stop_thread(struct headroom_watch *watch);

#ifdef __cplusplus
}
#endif
