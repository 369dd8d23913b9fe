#include "kernel/reclaim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/units.h"
#include "kernel/file.h"
#include "kernel/memory_stat.h"

#define RECLAIM "memory.reclaim"
/* Chunks in a row that brought less than a quarter of what was asked: there is no more to be had. That
 * nothing was reclaimed is told by pgsteal: where as much grows, or comes back, as goes, neither
 * memory.current falls nor memory.swap.current rises.
 *
 * A page that goes to a slow device is reclaimed when it has been written. Until then the kernel takes it for
 * none that it could free and queues others, many times what was asked for: what is on its way counts as
 * come, or those who want their pages back wait behind seconds of writes. */
#define FRUITLESS_MAX 3
#define FRUITLESS_PART 4

int reclaim_write(int cgroup_fd, uint64_t bytes, unsigned *swappiness)
{
    char text[64];
    int r;

    if (*swappiness != RECLAIM_SWAPPINESS_UNSET) {
        (void)snprintf(text, sizeof(text), "%" PRIu64 " swappiness=%u", bytes, *swappiness);
        r = file_write_at(cgroup_fd, RECLAIM, text);
        if (r != -EINVAL)
            return r == -ENOENT ? -EOPNOTSUPP : r;
        *swappiness = RECLAIM_SWAPPINESS_UNSET;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64, bytes);
    r = file_write_at(cgroup_fd, RECLAIM, text);
    return r == -ENOENT ? -EOPNOTSUPP : r;
}

int reclaim_try_swappiness(int cgroup_fd)
{
    return file_write_at(cgroup_fd, RECLAIM, "0 swappiness=0");
}

static void on_alarm(int signal)
{
    (void)signal; /* only interrupts the write */
}

int reclaim_write_limit(int cgroup_fd, const char *knob, uint64_t value, uint64_t limit_usec)
{
    struct sigaction sa = {.sa_handler = on_alarm}, before;
    struct itimerval limit = {.it_value = {.tv_sec = (time_t)(limit_usec / USEC_PER_SEC),
                                           .tv_usec = (suseconds_t)(limit_usec % USEC_PER_SEC)}},
                     off = {0};
    int r;

    (void)sigaction(SIGALRM, &sa, &before); /* without SA_RESTART */
    (void)setitimer(ITIMER_REAL, &limit, NULL);
    r = file_write_u64_at(cgroup_fd, knob, value);
    (void)setitimer(ITIMER_REAL, &off, NULL);
    (void)sigaction(SIGALRM, &before, NULL);
    return r == -EINTR ? 0 : r;
}

static uint64_t whole_pages(uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    return bytes / page * page;
}

/* What a file that may be missing (a controller that is not there, swap that is not built in) says. */
static uint64_t read_or_zero(int cgroup_fd, const char *name)
{
    uint64_t value;

    return file_read_u64_at(cgroup_fd, name, &value) < 0 ? 0 : value;
}

/* Where it stands. What cannot be read stands where it stood; memory.stat, which is dear on some kernels (6.1
 * adds up all cgroups for it), is read only where memory.current has not fallen by `enough`. */
struct standing {
    uint64_t current;
    uint64_t stolen;  /* pgsteal, bytes */
    uint64_t leaving; /* being written to a swap device */
};

static int look(int cgroup_fd, uint64_t enough, struct standing *s)
{
    uint64_t before = s->current;
    struct memory_stat stat;
    int r = file_read_u64_at(cgroup_fd, "memory.current", &s->current);

    if (r == 0 && u64_sub_floor(before, s->current) < enough && memory_stat_read_at(cgroup_fd, &stat) == 0) {
        s->stolen = u64_mul_div(stat.pgsteal, (uint64_t)sysconf(_SC_PAGESIZE), 1);
        s->leaving = memory_stat_leaving(&stat);
    }
    return r;
}

/* What may be asked for now. */
static uint64_t next_chunk(int cgroup_fd, uint64_t current, uint64_t left, uint64_t chunk_bytes)
{
    uint64_t kept = u64_max(read_or_zero(cgroup_fd, "memory.min"), read_or_zero(cgroup_fd, "memory.low"));

    return whole_pages(u64_min(u64_min(left, chunk_bytes), u64_sub_floor(current, kept)));
}

/* The write before: how it went is seen when the next one is due. */
struct chunk {
    uint64_t bytes; /* 0: there was none yet */
    struct standing before;
    bool interrupted;
};

/* One that was interrupted counts as far as it came, and is fruitless only where that is nowhere. */
static void note_chunk(const struct chunk *c, const struct standing *now, uint64_t *asked,
                       unsigned *fruitless)
{
    uint64_t brought = u64_sub_floor(c->before.current, now->current);
    uint64_t least = c->interrupted ? 1 : c->bytes / FRUITLESS_PART;
    bool good = brought >= least || u64_sub_floor(now->stolen, c->before.stolen) >= least ||
                u64_sub_floor(now->leaving, c->before.leaving) >= least;

    *asked += c->interrupted ? u64_min(brought, c->bytes) : c->bytes;
    *fruitless = good ? 0 : *fruitless + 1;
}

static int ask(int cgroup_fd, const struct reclaim_request *q, reclaim_go_fn go, void *user,
               const struct standing *begin, struct standing *now, struct reclaim_result *done)
{
    uint64_t chunk_bytes = q->chunk_bytes > 0 ? q->chunk_bytes : RECLAIM_CHUNK_BYTES;
    unsigned fruitless = 0, swappiness = q->swappiness;
    struct chunk c = {0};

    for (;;) {
        int r = go ? go(user) : 0;
        uint64_t came;

        if (c.bytes > 0) {
            int e = look(cgroup_fd, u64_max(c.bytes / 2, 1), now);

            r = r != 0 ? r : e;
            note_chunk(&c, now, &done->asked_bytes, &fruitless);
        }
        if (r != 0)
            return r;
        if (fruitless >= FRUITLESS_MAX)
            return -EAGAIN;
        came = u64_add_cap(u64_sub_floor(begin->current, now->current),
                           u64_sub_floor(now->leaving, begin->leaving));
        came = u64_max(done->asked_bytes, came);
        c = (struct chunk){
            .bytes = next_chunk(cgroup_fd, now->current, u64_sub_floor(q->bytes, came), chunk_bytes),
            .before = *now};
        if (c.bytes == 0)
            return 0;
        r = reclaim_write(cgroup_fd, c.bytes, &swappiness);
        if (r < 0 && r != -EAGAIN && r != -EINTR)
            return r;
        c.interrupted = r == -EINTR;
    }
}

int reclaim_run(int cgroup_fd, const struct reclaim_request *q, reclaim_go_fn go, void *user,
                struct reclaim_result *ret)
{
    struct standing begin = {0}, end;
    uint64_t swapped, zswap;
    int r;

    *ret = (struct reclaim_result){0};
    if (!file_exists_at(cgroup_fd, RECLAIM))
        return file_exists_at(cgroup_fd, "cgroup.procs") ? -EOPNOTSUPP : -ENODEV;
    r = look(cgroup_fd, UINT64_MAX, &begin);
    if (r < 0)
        return r;
    end = begin;
    swapped = read_or_zero(cgroup_fd, "memory.swap.current");
    zswap = read_or_zero(cgroup_fd, "memory.zswap.current");
    r = ask(cgroup_fd, q, go, user, &begin, &end, ret);
    (void)look(cgroup_fd, UINT64_MAX, &end);
    ret->freed_bytes = u64_sub_floor(begin.current, end.current);
    ret->stolen_bytes = u64_sub_floor(end.stolen, begin.stolen);
    ret->zswap_bytes = u64_sub_floor(read_or_zero(cgroup_fd, "memory.zswap.current"), zswap);
    ret->swapped_bytes = u64_sub_floor(read_or_zero(cgroup_fd, "memory.swap.current"), swapped);
    return r;
}
