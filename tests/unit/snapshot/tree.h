/* A /proc and a cgroup hierarchy in a temporary directory, built file by file, and a reader on it. On plain
 * directories a cgroup's id is the inode number, and what is removed can still be read through a held
 * descriptor. */
#pragma once

#include "../kernel/fixture.h"

#include "base/units.h"
#include "kernel/cgroup.h"
#include "model/config.h"
#include "model/snapshot.h"
#include "snapshot/reader.h"

#define CGROUP_ROOT "sys/fs/cgroup"
#define TREE_GROUPS_MAX 16
#define TREE_TOTAL (10 * GIB)

struct tree {
    struct fixture *f;
    struct hierarchy hierarchy;
    struct config config;
    struct group_handle handles[TREE_GROUPS_MAX];
    struct group_watch watches[4 * TREE_GROUPS_MAX];
    struct group groups[TREE_GROUPS_MAX];
    struct snapshot_reader reader;
    struct snapshot s;
    bool reader_open;
};

/* The numbers of memory.stat that matter, in bytes; `rest` is taken over as it stands. */
struct tree_stat {
    uint64_t anon, file, shmem, kernel, slab_reclaimable, sock;
    const char *rest;
};

static inline void tree_write(const struct tree *t, const char *path, const char *name, const char *text)
{
    char full[PATH_MAX];

    (void)snprintf(full, sizeof(full), CGROUP_ROOT "/%s%s%s", path, *path ? "/" : "", name);
    fixture_write(t->f, full, text);
}

static inline void tree_write_u64(const struct tree *t, const char *path, const char *name, uint64_t value)
{
    char text[32];

    if (value == UINT64_MAX)
        (void)snprintf(text, sizeof(text), "max\n");
    else
        (void)snprintf(text, sizeof(text), "%ju\n", (uintmax_t)value);
    tree_write(t, path, name, text);
}

static inline void tree_stat(const struct tree *t, const char *path, const struct tree_stat *m)
{
    char text[1024];

    (void)snprintf(text, sizeof(text),
                   "anon %ju\nfile %ju\nkernel %ju\nsock %ju\nshmem %ju\nslab_reclaimable %ju\n%s",
                   (uintmax_t)m->anon, (uintmax_t)m->file, (uintmax_t)m->kernel, (uintmax_t)m->sock,
                   (uintmax_t)m->shmem, (uintmax_t)m->slab_reclaimable, m->rest ? m->rest : "");
    tree_write(t, path, "memory.stat", text);
    tree_write_u64(t, path, "memory.current", m->anon + m->file + m->kernel + m->sock);
}

static inline void tree_populate(const struct tree *t, const char *path, bool populated)
{
    tree_write(t, path, "cgroup.events", populated ? "populated 1\nfrozen 0\n" : "populated 0\nfrozen 0\n");
}

/* A cgroup as the kernel shows one: populated where `procs` has a pid or `below` says so. */
static inline void tree_cgroup(const struct tree *t, const char *path, const char *procs, bool below,
                               uint64_t anon)
{
    tree_populate(t, path, *procs || below);
    tree_write(t, path, "cgroup.procs", procs);
    tree_write(t, path, "cgroup.type", "domain\n");
    tree_stat(t, path, &(struct tree_stat){.anon = anon});
    tree_write(t, path, "memory.high", "max\n");
    tree_write(t, path, "memory.max", "max\n");
    tree_write(t, path, "memory.swap.max", "max\n");
    tree_write(t, path, "memory.swap.current", "0\n");
    tree_write(
        t, path, "memory.pressure",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
}

/* A slice: nothing in it itself, something below. */
static inline void tree_slice(const struct tree *t, const char *path)
{
    tree_cgroup(t, path, "", true, 0);
}

static inline void tree_leaf(const struct tree *t, const char *path, const char *procs, uint64_t anon)
{
    tree_cgroup(t, path, procs, false, anon);
}

static inline void tree_remove(const struct tree *t, const char *path)
{
    char full[PATH_MAX];

    (void)snprintf(full, sizeof(full), "%s/" CGROUP_ROOT "/%s", t->f->path, path);
    fixture_remove(full);
}

/* Bytes in, kB out, as /proc/meminfo has them. */
struct tree_meminfo {
    uint64_t total, free, available, file, kreclaimable, swap_total, swap_free, hugetlb, anon;
};

static inline void tree_meminfo(const struct tree *t, const struct tree_meminfo *m)
{
    char text[1024];

    (void)snprintf(
        text, sizeof(text),
        "MemTotal: %ju kB\nMemFree: %ju kB\nMemAvailable: %ju kB\nCached: %ju kB\nActive(file): %ju kB\n"
        "Inactive(file): %ju kB\nSwapTotal: %ju kB\nSwapFree: %ju kB\nKReclaimable: %ju kB\n"
        "Hugetlb: %ju kB\nAnonPages: %ju kB\n",
        (uintmax_t)(m->total / KIB), (uintmax_t)(m->free / KIB), (uintmax_t)(m->available / KIB),
        (uintmax_t)(m->file / KIB), (uintmax_t)(m->file / 2 / KIB),
        (uintmax_t)((m->file - m->file / 2) / KIB), (uintmax_t)(m->swap_total / KIB),
        (uintmax_t)(m->swap_free / KIB), (uintmax_t)(m->kreclaimable / KIB), (uintmax_t)(m->hugetlb / KIB),
        (uintmax_t)(m->anon / KIB));
    fixture_write(t->f, "proc/meminfo", text);
}

/* A process that started this many seconds after boot. */
struct tree_process {
    int pid, ppid;
    const char *comm;
    char state;
    uint64_t start_sec, rss_anon, rss_shmem, swap;
    int oom_score_adj;
    bool kernel_thread;
};

static inline void tree_process(const struct tree *t, const struct tree_process *p)
{
    char path[64], text[512];

    (void)snprintf(path, sizeof(path), "proc/%d/stat", p->pid);
    (void)snprintf(text, sizeof(text), "%d (%s) %c %d %d %d 0 -1 %u 0 0 0 0 5 5 0 0 20 0 1 0 %ju 0 0\n",
                   p->pid, p->comm ? p->comm : "task", p->state ? p->state : 'S', p->ppid, p->pid, p->pid,
                   p->kernel_thread ? 0x00200040U : 0x00400000U,
                   (uintmax_t)(p->start_sec * (uint64_t)sysconf(_SC_CLK_TCK)));
    fixture_write(t->f, path, text);
    (void)snprintf(path, sizeof(path), "proc/%d/status", p->pid);
    (void)snprintf(text, sizeof(text), "Name:\tx\nRssAnon:\t%ju kB\nRssShmem:\t%ju kB\nVmSwap:\t%ju kB\n",
                   (uintmax_t)(p->rss_anon / KIB), (uintmax_t)(p->rss_shmem / KIB),
                   (uintmax_t)(p->swap / KIB));
    fixture_write(t->f, path, text);
    (void)snprintf(path, sizeof(path), "proc/%d/oom_score_adj", p->pid);
    (void)snprintf(text, sizeof(text), "%d\n", p->oom_score_adj);
    fixture_write(t->f, path, text);
}

/* The tree of every test: 10 GiB, of which 4 are used, and a root with the memory controller. */
static inline int tree_setup(void **state)
{
    static struct tree one;
    struct tree *t = &one;
    void *f;

    if (fixture_setup(&f) < 0)
        return -1;
    memset(t, 0, sizeof(*t));
    t->f = f;
    t->hierarchy.fd = -1;
    config_init_defaults(&t->config);
    tree_meminfo(t, &(struct tree_meminfo){
                        .total = TREE_TOTAL, .free = 4 * GIB, .available = 6 * GIB, .file = 2 * GIB});
    fixture_write(t->f, "proc/self/cgroup", "0::/system.slice/headroomd.service\n");
    tree_write(t, "", "cgroup.controllers", "cpu memory pids\n");
    tree_write(t, "", "cgroup.procs", "");
    *state = t;
    return 0;
}

static inline void tree_close(struct tree *t)
{
    if (t->reader_open)
        snapshot_reader_deinit(&t->reader);
    hierarchy_close(&t->hierarchy);
    t->reader_open = false;
}

static inline int tree_teardown(void **state)
{
    struct tree *t = *state;
    void *f = t->f;

    tree_close(t);
    return fixture_teardown(&f);
}

/* A reader on what stands there now; isolate with the workloads of the configuration. */
static inline void tree_open(struct tree *t, bool isolate)
{
    tree_close(t);
    if (hierarchy_open(t->f->fd, &t->hierarchy) < 0)
        t->hierarchy.fd = -1;
    assert_int_equal(snapshot_reader_init(&t->reader, t->f->fd, &t->hierarchy, &t->config, t->handles,
                                          ARRAY_SIZE(t->handles)),
                     0);
    snapshot_reader_watch(&t->reader, t->watches, ARRAY_SIZE(t->watches));
    t->reader_open = true;
    t->reader.isolate = isolate;
    if (isolate)
        (void)snapshot_reader_find_workloads(&t->reader);
    t->s.groups = t->groups;
    t->s.group_max = ARRAY_SIZE(t->groups);
}

static inline void tree_workload(struct tree *t, const char *path)
{
    t->config.workload_auto = false;
    memcpy(t->config.workload[t->config.workload_count++], path, strlen(path) + 1);
}

static inline void tree_protect(struct tree *t, const char *path)
{
    memcpy(t->config.protect[t->config.protect_count++], path, strlen(path) + 1);
}

/* A class of this pattern, in front of `other`. */
static inline struct class_config *tree_class(struct tree *t, const char *name, const char *pattern)
{
    struct config *c = &t->config;
    struct class_config *class = &c->classes[c->class_count - 1];

    c->classes[c->class_count++] = *class;
    class_config_init(class, name);
    memcpy(class->match[class->match_count++], pattern, strlen(pattern) + 1);
    return class;
}

static inline int tree_look(struct tree *t, uint64_t now_usec)
{
    return snapshot_read_node(&t->reader, now_usec, &t->s);
}

static inline int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Reads node and groups and holds the groups' paths, sorted and joined by blanks, against what is expected.
 */
static inline void tree_expect_groups(struct tree *t, uint64_t now_usec, const char *expected)
{
    const char *paths[TREE_GROUPS_MAX];
    char text[4096] = "";
    size_t n = 0;

    assert_int_equal(tree_look(t, now_usec), 0);
    assert_int_equal(snapshot_read_groups(&t->reader, &t->s), 0);
    for (unsigned i = 0; i < t->s.group_count; i++)
        paths[i] = t->s.groups[i].path;
    qsort(paths, t->s.group_count, sizeof(paths[0]), compare_paths);
    for (unsigned i = 0; i < t->s.group_count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "", paths[i]);
    assert_string_equal(text, expected);
}

static inline const struct group *tree_group(const struct tree *t, const char *path)
{
    unsigned i = 0;

    while (i < t->s.group_count && strcmp(t->s.groups[i].path, path) != 0)
        i++;
    if (i == t->s.group_count)
        fail_msg("%s is no group", path);
    return &t->groups[i];
}
