#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The load generator: one static program, one sub-command per kind of load. It runs inside the test VM only.
 *
 * Each sub-command has its own option table, because the same word means different things to them; what they
 * share is how sizes, durations and rates are written, and how memory is filled.
 */

#define USEC_PER_SEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_SEC UINT64_C(1000000000)
#define PAGE_BYTES UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)
#define RATE_MAX UINT64_MAX

/* load_options.c: command lines. Every parse error is reported with the option's name and ends the program.
 */
enum option_kind {
    OPTION_FLAG,     /* bool: present or not */
    OPTION_COUNT,    /* uint64_t: a plain number */
    OPTION_BYTES,    /* uint64_t: 150M; K, M, G, T are powers of 1024 */
    OPTION_DURATION, /* uint64_t microseconds: 10ms, 4s, 2min; a bare number is seconds */
    OPTION_RATE,     /* uint64_t bytes per second, or RATE_MAX for "max" */
    OPTION_TEXT,     /* const char * */
    OPTION_LIST,     /* struct text_list: may be given more than once */
};

struct text_list {
    const char *items[16];
    size_t count;
};

struct option_spec {
    const char *name; /* without the dashes */
    enum option_kind kind;
    void *value;
    bool required;
};

/* Fill the values; returns the index of the first argument that is not an option (after "--" if there is
 * one). */
int options_parse(const char *command, int argc, char **argv, const struct option_spec *specs, size_t count);
bool parse_bytes(const char *text, uint64_t *ret_bytes);
bool parse_duration(const char *text, uint64_t *ret_usec);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* load_time.c: monotonic time, and a stop flag that SIGTERM and SIGINT set. */
uint64_t now_usec(void);
/* Sleep until that time; returns early, with false, when the program was asked to stop. */
bool sleep_until_usec(uint64_t when_usec);
void stop_on_signals(void);
bool stop_requested(void);
/* Stay alive with what is held, until the time is over (0: for ever) or a signal comes. */
void hold(uint64_t duration_usec);

/* A rate that is kept on average: how many bytes are due now. */
struct pace {
    uint64_t start_usec;
    uint64_t bytes_per_sec;
};
void pace_init(struct pace *pace, uint64_t bytes_per_sec);
/* Wait until at least `wanted_bytes` of the total are due; returns false when stopped. */
bool pace_wait(const struct pace *pace, uint64_t wanted_bytes);

/* load_memory.c: memory whose content neither compresses well nor repeats. */
enum memory_content { CONTENT_RANDOM, CONTENT_COMPRESSIBLE };

void memory_content_init(enum memory_content content);
/* Map anonymous memory, private or shared, without reserving it; ends the program when it cannot. */
void *memory_map(uint64_t bytes, bool shared, int extra_flags);
/* Fill whole pages of [from, to) of an area; both are rounded down to pages. */
void memory_fill(void *area, uint64_t from_bytes, uint64_t to_bytes);
/* Read and change one word in `pages` pages from a moving position of an area. */
void memory_touch(void *area, uint64_t area_bytes, uint64_t pages, uint64_t *position);
/* A few hundred thousand instructions; the result keeps the compiler from dropping them. */
uint64_t burn_cpu(uint64_t rounds);

/* load_group.c: cgroups. */
int group_create(const char *path);
int group_open(const char *path);
/* Write `text` to a file of the group; 0 or negative errno. */
int group_write(int group_fd, const char *file, const char *text);
/* fork() with the child born in the group, so that all it needs is charged there: 0 in the child, else its
 * pid or negative errno. ret_pidfd may be NULL. */
pid_t group_fork(int group_fd, int *ret_pidfd);

/* load_output.c: one line of JSON to a file or, with NULL or "-", to standard output. */
struct output {
    char *text;
    size_t size;
    size_t used;
};
/* All memory is taken here, so that writing a result needs none. */
void output_init(struct output *output, size_t size);
void output_add(struct output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));
void output_write(const struct output *output, const char *path);

/* One per sub-command; the return value is the exit code. */
int command_heartbeat(int argc, char **argv);
int command_task(int argc, char **argv);
int command_driver(int argc, char **argv);
int command_hog(int argc, char **argv);
int command_leak(int argc, char **argv);
int command_reader(int argc, char **argv);
int command_writer(int argc, char **argv);
int command_filler(int argc, char **argv);
int command_shm(int argc, char **argv);
int command_pipes(int argc, char **argv);
int command_sockets(int argc, char **argv);
int command_cgroup_run(int argc, char **argv);
int command_reaction(int argc, char **argv);
int command_family(int argc, char **argv);
int command_kill_at(int argc, char **argv);
int command_crowd(int argc, char **argv);
int command_bare_loop(int argc, char **argv);
int command_service(int argc, char **argv);
