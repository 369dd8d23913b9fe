/* What one full cycle takes: the node and every group read from a tree of files, a victim chosen and a plan
 * of pauses made, and the decision kept. The tree is in memory (/dev/shm), so that this is our own time and
 * that of the system calls, without what a kernel needs to make the numbers up. One line a shape:
 *
 *     cycle groups=1000 shape=class first_us=… median_us=… p99_us=… per_group_ns=… churn_us=… worst_us=…
 *         aged_us=… cold_us=… target_us=10000
 *
 * By the clock that the reader is given the cycles are 100 ms apart, as they are when something has to be
 * chosen or paused: so each of them has its share of what ages, and of what is looked at though nothing was
 * told. `first` is the cycle after the start: nothing is known. `churn` and `worst` are the median and the
 * longest of 200 such cycles, before each of which one group in 200 has gone and as many have come. `aged` is
 * the median of cycles 10 s apart; `cold` of the same, where the kernel has lost events in between (too many
 * at once), so that nothing is known but births and descriptors. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/sort.h"
#include "base/units.h"
#include "kernel/file.h"
#include "policy/pause.h"
#include "policy/room.h"
#include "policy/victim.h"
#include "record/ring.h"
#include "snapshot/reader.h"

#define GROUPS_MAX 10000
#define DESCRIPTORS 20000 /* a little more than one a group; two where there are as many */
#define RUNS_MAX 200
#define TARGET_USEC_PER_GROUP 10
#define STEP_USEC (100 * USEC_PER_MSEC)
#define STEP_COLD_USEC (10 * USEC_PER_SEC)
#define COLD_RUNS 20
#define CHURN_PART 200
#define EVENTS_LOST 20000

enum shape {
    SHAPE_CLASS, /* a class matches every group: workload.slice/task-N */
    SHAPE_PODS,  /* the same three levels down: kubepods.slice/pod-N.slice/container.scope, with swap */
    SHAPE_OTHER, /* no class matches: the deepest cgroup that holds processes */
    SHAPE_COUNT,
};

static const char *const shape_names[SHAPE_COUNT] = {"class", "pods", "other"};

/* As 6.12 prints it. */
static const char stat_text[] =
    "anon 104857600\nfile 8192000\nkernel 2097152\nkernel_stack 16384\npagetables 327680\nsec_pagetables 0\n"
    "percpu 1440\nsock 0\nvmalloc 0\nshmem 4096\nzswap 0\nzswapped 0\nfile_mapped 4096000\nfile_dirty 0\n"
    "file_writeback 0\nswapcached 0\nanon_thp 0\nfile_thp 0\nshmem_thp 0\ninactive_anon 104857600\n"
    "active_anon 4096\ninactive_file 4096000\nactive_file 4096000\nunevictable 0\nslab_reclaimable 524288\n"
    "slab_unreclaimable 1048576\nslab 1572864\nworkingset_refault_anon 0\nworkingset_refault_file 0\n"
    "workingset_activate_anon 0\nworkingset_activate_file 0\nworkingset_restore_anon 0\n"
    "workingset_restore_file 0\nworkingset_nodereclaim 0\npgscan 0\npgsteal 0\npgscan_kswapd 0\n"
    "pgscan_direct 0\npgscan_khugepaged 0\npgsteal_kswapd 0\npgsteal_direct 0\npgsteal_khugepaged 0\n"
    "pgfault 1234567\npgmajfault 12\npgrefill 0\npgactivate 1234\npgdeactivate 0\npglazyfree 0\n"
    "pglazyfreed 0\nswpin_zero 0\nswpout_zero 0\nzswpin 0\nzswpout 0\nzswpwb 0\nthp_fault_alloc 0\n"
    "thp_collapse_alloc 0\nthp_swpout 0\nthp_swpout_fallback 0\n";
static const char cpu_text[] = "usage_usec 12345678\nuser_usec 10000000\nsystem_usec 2345678\nnice_usec "
                               "0\ncore_sched.force_idle_usec 0\n"
                               "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n";
static const char psi_text[] = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                               "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

static struct bench {
    char base[64];
    int root_fd;
    struct hierarchy hierarchy;
    struct config config;
    struct group_handle handles[GROUPS_MAX];
    struct group_watch watches[SNAPSHOT_WATCHES_OF(GROUPS_MAX)];
    struct group groups[GROUPS_MAX];
    struct candidate candidates[GROUPS_MAX];
    struct cover_item items[GROUPS_MAX];
    struct pause_row rows[GROUPS_MAX];
    struct snapshot_reader reader;
    struct snapshot snapshot;
    struct record_ring ring;
    uint64_t now_usec; /* what the reader is told */
    uint64_t samples[RUNS_MAX];
} b;

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench-cycle: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* All directories of the path are made, too. */
static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    int fd;

    (void)snprintf(full, sizeof(full), "%s/%s", b.base, path);
    for (char *p = full + strlen(b.base) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = 0;
        if (mkdir(full, 0755) < 0 && errno != EEXIST)
            fail(full);
    }
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail(full);
    (void)close(fd);
}

static void put_cgroup(const char *path, unsigned pid, bool swap)
{
    const struct {
        const char *name, *text;
    } files[] = {
        {"cgroup.events", "populated 1\nfrozen 0\n"},
        {"memory.stat", stat_text},
        {"cpu.stat", cpu_text},
        {"memory.current", "123456789\n"},
        {"memory.high", "max\n"},
        {"memory.max", "max\n"},
        {"memory.pressure", psi_text},
        {"memory.swap.max", "max\n"},
        {swap ? "memory.swap.current" : "memory.swap.peak", "4096\n"},
    };
    char full[256], text[256];

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        (void)snprintf(full, sizeof(full), "sys/fs/cgroup/%s/%s", path, files[i].name);
        put(full, files[i].text);
    }
    (void)snprintf(full, sizeof(full), "sys/fs/cgroup/%s/cgroup.procs", path);
    (void)snprintf(text, sizeof(text), "%u\n", pid);
    put(full, pid ? text : "");
    if (pid == 0)
        return;
    (void)snprintf(full, sizeof(full), "proc/%u/stat", pid);
    (void)snprintf(text, sizeof(text),
                   "%u (task) S 1 %u %u 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 %u 1000000 1000 0\n", pid, pid,
                   pid, 100 + pid);
    put(full, text);
}

static void put_node(enum shape shape)
{
    put("proc/meminfo", shape == SHAPE_PODS
                            ? "MemTotal: 67108864 kB\nMemFree: 1048576 kB\nMemAvailable: 2097152 kB\n"
                              "Active(file): 0 kB\nInactive(file): 0 kB\nSwapTotal: 1048576 kB\n"
                              "SwapFree: 524288 kB\nKReclaimable: 0 kB\n"
                            : "MemTotal: 67108864 kB\nMemFree: 1048576 kB\nMemAvailable: 2097152 kB\n"
                              "Active(file): 0 kB\nInactive(file): 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
                              "KReclaimable: 0 kB\n");
    put("proc/swaps", shape == SHAPE_PODS
                          ? "Filename\tType\tSize\tUsed\tPriority\n/dev/vdb partition 1048576 524288 -2\n"
                          : "Filename\tType\tSize\tUsed\tPriority\n");
    put("proc/pressure/memory", psi_text);
    put("proc/self/cgroup", "0::/system.slice/headroom.service\n");
    put("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
}

static const char *slice_of(enum shape shape)
{
    return shape == SHAPE_PODS ? "kubepods.slice" : "workload.slice";
}

static void put_group(enum shape shape, unsigned i)
{
    char path[128];

    if (shape == SHAPE_PODS) {
        (void)snprintf(path, sizeof(path), "%s/pod-%05u.slice", slice_of(shape), i);
        put_cgroup(path, 0, true);
        (void)snprintf(path, sizeof(path), "%s/pod-%05u.slice/container.scope", slice_of(shape), i);
    } else {
        (void)snprintf(path, sizeof(path), "%s/task-%05u", slice_of(shape), i);
    }
    put_cgroup(path, 10000 + i, shape == SHAPE_PODS);
}

static void remove_cgroup(const char *path)
{
    char full[256];
    struct dirent *e;
    DIR *d;

    (void)snprintf(full, sizeof(full), "%s/sys/fs/cgroup/%s", b.base, path);
    d = opendir(full);
    while (d && (e = readdir(d)) != NULL)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    if (!d || closedir(d) < 0 || rmdir(full) < 0)
        fail(full);
}

/* As the kernel does it: it becomes empty, and then it is removed. */
static void remove_group(enum shape shape, unsigned i)
{
    char path[128], file[256];

    if (shape == SHAPE_PODS)
        (void)snprintf(path, sizeof(path), "%s/pod-%05u.slice/container.scope", slice_of(shape), i);
    else
        (void)snprintf(path, sizeof(path), "%s/task-%05u", slice_of(shape), i);
    (void)snprintf(file, sizeof(file), "sys/fs/cgroup/%s/cgroup.events", path);
    put(file, "populated 0\nfrozen 0\n");
    remove_cgroup(path);
    if (shape != SHAPE_PODS)
        return;
    *strrchr(path, '/') = 0;
    remove_cgroup(path);
}

/* More events than the kernel keeps, of two files in turn so that they are not taken for one. */
static void lose_events(enum shape shape, unsigned first)
{
    char file[2][256];

    for (unsigned i = 0; i < 2; i++)
        (void)snprintf(file[i], sizeof(file[i]), "%s/sys/fs/cgroup/%s/%s-%05u%s/cgroup.events", b.base,
                       slice_of(shape), shape == SHAPE_PODS ? "pod" : "task", first + i,
                       shape == SHAPE_PODS ? ".slice/container.scope" : "");
    for (unsigned i = 0; i < EVENTS_LOST; i++) {
        int fd = open(file[i % 2], O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "populated 1\n", 12) != 12)
            fail(file[i % 2]);
        (void)close(fd);
    }
}

static void make_tree(enum shape shape, unsigned count)
{

    (void)snprintf(b.base, sizeof(b.base), "/dev/shm/hr-bench-XXXXXX");
    if (!mkdtemp(b.base))
        fail(b.base);
    put_node(shape);
    put_cgroup(slice_of(shape), 0, true);
    for (unsigned i = 0; i < count; i++)
        put_group(shape, i);
}

static void remove_tree(void)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf %s", b.base);
    if (system(command) != 0)
        fail(command);
}

static void open_reader(enum shape shape)
{
    struct class_config *other;

    config_init_defaults(&b.config);
    other = &b.config.classes[b.config.class_count - 1];
    if (shape != SHAPE_OTHER) { /* a class of its own before `other` */
        b.config.classes[b.config.class_count++] = *other;
        class_config_init(other, "batch");
        (void)snprintf(other->match[0], sizeof(other->match[0]), "%s",
                       shape == SHAPE_PODS ? "kubepods.slice/*/*" : "workload.slice/*");
        other->match_count = 1;
        other->retriable = true;
    }
    other->actions = ACTION_BIT(ACTION_PAUSE) | ACTION_BIT(ACTION_KILL);
    b.root_fd = open(b.base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (hierarchy_open(b.root_fd, &b.hierarchy) < 0 ||
        snapshot_reader_init(&b.reader, b.root_fd, &b.hierarchy, &b.config, b.handles, GROUPS_MAX) < 0 ||
        snapshot_reader_find_workloads(&b.reader) == 0)
        fail("the tree cannot be read");
    b.reader.isolate = true;
    snapshot_reader_watch(&b.reader, b.watches, ARRAY_SIZE(b.watches));
    b.snapshot = (struct snapshot){.groups = b.groups, .group_max = GROUPS_MAX};
    record_ring_init(&b.ring);
}

static void close_reader(void)
{
    snapshot_reader_deinit(&b.reader);
    hierarchy_close(&b.hierarchy);
    (void)close(b.root_fd);
}

static uint64_t now_usec(clockid_t clock)
{
    struct timespec ts;

    (void)clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

static void cycle(unsigned count)
{
    struct victim_scratch scratch = {.candidates = b.candidates, .items = b.items};
    struct pause_scratch pauses = {.rows = b.rows, .candidates = b.candidates};
    static struct room_state room_state;
    static struct victim_state victim_state;
    static struct pause_state pause_state;
    static struct pause_plan plan;
    static struct decision d;

    memset(&victim_state, 0, sizeof(victim_state));
    memset(&pause_state, 0, sizeof(pause_state));
    memset(&d, 0, sizeof(d));
    if (snapshot_read_node(&b.reader, b.now_usec, &b.snapshot) < 0)
        fail("node");
    room_evaluate(&b.config, &b.snapshot, &room_state, &d.room);
    if (snapshot_read_groups(&b.reader, &b.snapshot) < 0)
        fail("groups");
    if (b.snapshot.group_count != count || b.snapshot.groups_left_out != 0) {
        (void)fprintf(stderr, "bench-cycle: %u groups were seen, %u left out\n", b.snapshot.group_count,
                      b.snapshot.groups_left_out);
        exit(1);
    }
    pause_state_init(&pause_state);
    pause_make_plan(&b.config, &b.snapshot, &d.room, &pause_state, &pauses, &plan);
    d.room.need = 900 * MIB;
    victim_choose(&b.config, &b.snapshot, &victim_state, &scratch, &d);
    (void)record_ring_add(&b.ring, &d, b.candidates, &b.snapshot);
}

static bool is_less(const void *x, const void *y, const void *user _unused_)
{
    return *(const uint64_t *)x < *(const uint64_t *)y;
}

static void sort_samples(unsigned runs)
{
    sort_array(b.samples, runs, sizeof(b.samples[0]), is_less, NULL);
}

static uint64_t timed(unsigned count, uint64_t step_usec)
{
    uint64_t begin;

    b.now_usec += step_usec;
    begin = now_usec(CLOCK_MONOTONIC);
    cycle(count);
    return now_usec(CLOCK_MONOTONIC) - begin;
}

static void take_samples(unsigned count, unsigned runs, uint64_t step_usec)
{
    for (unsigned i = 0; i < runs; i++)
        b.samples[i] = timed(count, step_usec);
    sort_samples(runs);
}

/* Returns the first group that is left. */
static unsigned take_churn(enum shape shape, unsigned count)
{
    unsigned first = 0;

    for (unsigned i = 0; i < RUNS_MAX; i++) {
        for (unsigned n = 0; n < count / CHURN_PART; n++, first++) {
            remove_group(shape, first);
            put_group(shape, first + count);
        }
        b.samples[i] = timed(count, STEP_USEC);
    }
    sort_samples(RUNS_MAX);
    return first;
}

static uint64_t run(enum shape shape, unsigned count, unsigned runs)
{
    uint64_t first, median, least, p99, churn, worst, aged;
    unsigned left;

    make_tree(shape, count);
    open_reader(shape);
    b.now_usec = now_usec(CLOCK_BOOTTIME);
    first = timed(count, 0); /* everybody's birth is read */
    take_samples(count, runs, STEP_USEC);
    least = b.samples[0];
    median = b.samples[runs / 2];
    p99 = b.samples[runs * 99 / 100];
    take_samples(count, COLD_RUNS, STEP_COLD_USEC);
    aged = b.samples[COLD_RUNS / 2];
    left = take_churn(shape, count);
    churn = b.samples[RUNS_MAX / 2];
    worst = b.samples[RUNS_MAX - 1];
    for (unsigned i = 0; i < COLD_RUNS; i++) {
        lose_events(shape, left);
        b.samples[i] = timed(count, STEP_COLD_USEC);
    }
    sort_samples(COLD_RUNS);
    close_reader();
    remove_tree();
    printf("cycle groups=%u shape=%s first_us=%ju least_us=%ju median_us=%ju p99_us=%ju per_group_ns=%ju "
           "churn_us=%ju worst_us=%ju aged_us=%ju cold_us=%ju target_us=%u\n",
           count, shape_names[shape], (uintmax_t)first, (uintmax_t)least, (uintmax_t)median, (uintmax_t)p99,
           (uintmax_t)median * 1000 / count, (uintmax_t)churn, (uintmax_t)worst, (uintmax_t)aged,
           (uintmax_t)b.samples[COLD_RUNS / 2], count * TARGET_USEC_PER_GROUP);
    return median;
}

int main(int argc, char **argv)
{
    struct rlimit files = {.rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS};
    unsigned largest = argc > 1 ? (unsigned)atoi(argv[1]) : GROUPS_MAX;

    if (setrlimit(RLIMIT_NOFILE, &files) < 0) /* one that may not raise it has to do with what there is */
        largest = 1000;
    for (unsigned shape = 0; shape < SHAPE_COUNT; shape++) {
        uint64_t thousand = run((enum shape)shape, 1000, 100), most;

        if (largest <= 1000)
            continue;
        most = run((enum shape)shape, largest, 50);
        printf("cycle shape=%s growth=%ju permille of linear\n", shape_names[shape],
               (uintmax_t)(most * 1000 * 1000 / (thousand * largest)));
    }
    return 0;
}
