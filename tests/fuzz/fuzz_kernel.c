/* Every parser of src/kernel (and those of src/base that read what people write) on any input. The first byte
 * selects the parser, the rest is its input. Beside memory errors, which the sanitizers find, three laws are
 * held: an answer is success or one of the errors that the header names; a failure leaves the result as it
 * was; and what was there before plays no part in a success.
 *
 * With clang: -fsanitize=fuzzer,address,undefined -std=gnu17 -D_GNU_SOURCE -Isrc, this file and all of
 * src/base and src/kernel; without it: replay_main.c (meson builds that). */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/cgroup.h"
#include "kernel/meminfo.h"
#include "kernel/memory_events.h"
#include "kernel/memory_stat.h"
#include "kernel/numa.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"
#include "kernel/psi.h"
#include "kernel/swap.h"

#define RET_MAX 1024

typedef int (*parse_fn)(const char *buf, size_t length, void *ret);

static int parse_meminfo(const char *buf, size_t length, void *ret)
{
    return meminfo_parse(buf, length, ret);
}

static int parse_stat(const char *buf, size_t length, void *ret)
{
    return memory_stat_parse(buf, length, ret);
}

static int parse_events(const char *buf, size_t length, void *ret)
{
    return memory_events_parse(buf, length, ret);
}

static int parse_psi(const char *buf, size_t length, void *ret)
{
    return psi_parse(buf, length, ret);
}

static int parse_mountinfo(const char *buf, size_t length, void *ret)
{
    int r = hierarchy_parse_mountinfo(buf, length, ret);

    if (r == 0) {
        const struct hierarchy *h = ret;

        FUZZ_REQUIRE(memchr(h->mount, '\0', sizeof(h->mount)));
    }
    return r;
}

static int parse_proc_cgroup(const char *buf, size_t length, void *ret)
{
    char *path = ret;
    int r = cgroup_parse_proc_cgroup(buf, length, path);

    if (r == 0) {
        FUZZ_REQUIRE(memchr(path, '\0', CGROUP_PATH_MAX));
        FUZZ_REQUIRE(path[0] != '/');
    }
    return r;
}

static int parse_cgroup_events(const char *buf, size_t length, void *ret)
{
    return cgroup_events_parse(buf, length, ret);
}

static int parse_process_stat(const char *buf, size_t length, void *ret)
{
    int r = process_stat_parse(buf, length, ret);

    if (r == 0) {
        const struct process_stat *s = ret;

        FUZZ_REQUIRE(s->pid >= 0 && s->ppid >= 0 && memchr(s->comm, '\0', sizeof(s->comm)));
    }
    return r;
}

static int parse_process_memory(const char *buf, size_t length, void *ret)
{
    return process_memory_parse(buf, length, ret);
}

static int parse_swaps(const char *buf, size_t length, void *ret)
{
    int r = swap_parse_swaps(buf, length, ret);

    if (r == 0) {
        const struct swap_areas *a = ret;

        FUZZ_REQUIRE(swap_effective_bytes(a, 0) <=
                     a->disk_size); /* zram frees nothing where there is nothing to swap out */
    }
    return r;
}

static int parse_mm_stat(const char *buf, size_t length, void *ret)
{
    return swap_parse_mm_stat(buf, length, ret);
}

static int parse_adj(const char *buf, size_t length, void *ret)
{
    int r = oom_score_parse_adj(buf, length, ret);

    FUZZ_REQUIRE(r < 0 || (*(int *)ret >= -1000 && *(int *)ret <= 1000));
    return r;
}

static int parse_bytes(const char *buf, size_t length, void *ret)
{
    return units_parse_bytes((struct text){buf, length}, ret);
}

static int parse_usec(const char *buf, size_t length, void *ret)
{
    return units_parse_usec((struct text){buf, length}, ret);
}

static int parse_permyriad(const char *buf, size_t length, void *ret)
{
    int r = units_parse_permyriad((struct text){buf, length}, ret);

    FUZZ_REQUIRE(r < 0 || *(uint64_t *)ret <= PERMYRIAD);
    return r;
}

static int parse_node_meminfo(const char *buf, size_t length, void *ret)
{
    return numa_meminfo_parse(buf, length, ret);
}

static int parse_numa_stat(const char *buf, size_t length, void *ret)
{
    return numa_stat_parse(buf, length, 5, ret);
}

static int parse_nodes(const char *buf, size_t length, void *ret)
{
    return nodelist_parse((struct text){buf, length}, ret);
}

static int parse_list(const char *buf, size_t length, void *ret _unused_)
{
    (void)cgroup_list_has(buf, length, "memory");
    (void)text_distance((struct text){buf, length}, text_from("ThrottleDeadline"));
    return 0;
}

/* The corpus is named after these; `plain` are results without padding and without fields left alone. */
static const struct {
    char selector;
    parse_fn parse;
    size_t plain;
    int errors[4];
} parsers[] = {
    {'m', parse_meminfo, sizeof(struct meminfo), {-EBADMSG}},
    {'s', parse_stat, sizeof(struct memory_stat), {-EBADMSG}},
    {'e', parse_events, sizeof(struct memory_events), {-EBADMSG}},
    {'p', parse_psi, 0, {-EBADMSG}},
    {'i', parse_mountinfo, 0, {-ENOENT, -EBADMSG, -ENAMETOOLONG}},
    {'c', parse_proc_cgroup, 0, {-ENOENT, -EBADMSG, -ENAMETOOLONG, -EXDEV}},
    {'f', parse_cgroup_events, sizeof(struct cgroup_events), {-EBADMSG}},
    {'t', parse_process_stat, 0, {-EBADMSG}},
    {'r', parse_process_memory, sizeof(struct process_memory), {-EBADMSG}},
    {'w', parse_swaps, sizeof(struct swap_areas), {-EBADMSG}},
    {'z', parse_mm_stat, 0, {-EBADMSG}},
    {'a', parse_adj, sizeof(int), {-EBADMSG}},
    {'B', parse_bytes, sizeof(uint64_t), {-EINVAL, -ERANGE}},
    {'U', parse_usec, sizeof(uint64_t), {-EINVAL, -ERANGE}},
    {'P', parse_permyriad, sizeof(uint64_t), {-EINVAL, -ERANGE}},
    {'l', parse_list, 0, {0}},
    {'M', parse_node_meminfo, sizeof(struct numa_meminfo), {-EBADMSG}},
    {'N', parse_numa_stat, sizeof(struct numa_stat), {-EBADMSG}},
    {'n', parse_nodes, sizeof(uint64_t), {-EBADMSG, -ERANGE}},
};

static void run_one(size_t i, const char *buf, size_t length)
{
    _Alignas(max_align_t) unsigned char first[RET_MAX], second[RET_MAX], before[RET_MAX];
    bool known = false;
    int r;

    memset(first, 0, sizeof(first));
    memset(second, 0xff, sizeof(second));
    memset(before, 0xff, sizeof(before));
    r = parsers[i].parse(buf, length, second);
    FUZZ_REQUIRE(parsers[i].parse(buf, length, first) == r);

    if (r == 0) {
        FUZZ_REQUIRE(memcmp(first, second, parsers[i].plain) == 0);
        return;
    }
    for (size_t j = 0; j < ARRAY_SIZE(parsers[i].errors); j++)
        known |= r == parsers[i].errors[j];
    FUZZ_REQUIRE(known);
    FUZZ_REQUIRE(memcmp(second, before, sizeof(before)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy;

    if (size == 0)
        return 0;
    /* A block of exactly this size: kernel text is not NUL-terminated for a parser that gets a length. */
    copy = malloc(size > 1 ? size - 1 : 1);
    FUZZ_REQUIRE(copy);
    memcpy(copy, data + 1, size - 1);
    for (size_t i = 0; i < ARRAY_SIZE(parsers); i++)
        if (data[0] == (uint8_t)parsers[i].selector)
            run_one(i, copy, size - 1);
    free(copy);
    return 0;
}
