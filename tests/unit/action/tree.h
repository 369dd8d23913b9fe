/* What the tests of this layer share: a cgroup tree and a runtime directory in a temporary directory. Nothing
 * here is a kernel's file: a write stays what it is, and an id is the inode of a directory. */
#pragma once

#include "../kernel/fixture.h"

#include "action/journal.h"
#include "action/knobs.h"
#include "kernel/cgroup.h"

#define SLICE "sys/fs/cgroup/workload.slice"

struct tree {
    const struct fixture *f;
    struct hierarchy hierarchy;
    int runtime_fd;
    struct journal journal;
    struct lease_table table;
    struct knobs knobs;
};

static inline void tree_add(struct tree *t, const char *path, const char *high)
{
    char file[PATH_MAX];
    static const char *const files[][2] = {
        {"memory.max", "max\n"}, {"memory.low", "0\n"}, {"cgroup.events", "populated 1\nfrozen 0\n"},
        {"cgroup.kill", ""},     {"cgroup.procs", ""},  {"cgroup.freeze", "0\n"},
    };

    (void)snprintf(file, sizeof(file), "sys/fs/cgroup/%s/memory.high", path);
    fixture_write(t->f, file, high);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        (void)snprintf(file, sizeof(file), "sys/fs/cgroup/%s/%s", path, files[i][0]);
        fixture_write(t->f, file, files[i][1]);
    }
}

static inline void tree_init(struct tree *t, const struct fixture *f)
{
    memset(t, 0, sizeof(*t));
    t->f = f;
    t->journal.fd = -1;
    fixture_write(f, "sys/fs/cgroup/cgroup.controllers", "memory\n");
    fixture_write(f, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
    fixture_mkdir(f, "run/headroom");
    tree_add(t, "workload.slice", "max\n");
    assert_int_equal(hierarchy_open(f->fd, &t->hierarchy), 0);
    t->runtime_fd = openat(f->fd, "run/headroom", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->runtime_fd >= 0);
    assert_int_equal(journal_open(&t->journal, f->fd, t->runtime_fd, &t->table), 0);
    t->knobs = (struct knobs){.hierarchy = &t->hierarchy, .journal = &t->journal, .table = &t->table};
}

/* Another process opens what the first one left: nothing is put back before. */
static inline void tree_restart(struct tree *t)
{
    knobs_write_fn write = t->knobs.write;
    void *user = t->knobs.user;

    journal_close(&t->journal);
    assert_int_equal(journal_open(&t->journal, t->f->fd, t->runtime_fd, &t->table), 0);
    t->knobs = (struct knobs){
        .hierarchy = &t->hierarchy, .journal = &t->journal, .table = &t->table, .write = write, .user = user};
}

static inline void tree_deinit(struct tree *t)
{
    journal_close(&t->journal);
    close_fdp(&t->runtime_fd);
    hierarchy_close(&t->hierarchy);
}

static inline uint64_t tree_id(const struct tree *t, const char *path)
{
    _cleanup_close_ int fd = cgroup_open(&t->hierarchy, path);
    uint64_t id;

    assert_true(fd >= 0);
    assert_int_equal(cgroup_read_id(fd, &id), 0);
    return id;
}

static inline void tree_assert(const struct tree *t, const char *path, const char *expected)
{
    char buf[256];

    (void)fixture_read(t->f->fd, path, buf, sizeof(buf));
    buf[strcspn(buf, "\n")] = '\0';
    assert_string_equal(buf, expected);
}

static inline unsigned tree_leases(const struct tree *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++)
        n += t->table.leases[i].used;
    return n;
}

/* A pause as an earlier daemon has left it: its line, and what was written. */
static inline void tree_pause(struct tree *t, const char *path)
{
    struct lease next = {.used = true, .cgroup_id = tree_id(t, path), .ours = 1, .ours_before = 1};
    char file[PATH_MAX];
    struct lease *l;

    lease_pause_knob(next.knob, 0);
    (void)snprintf(next.path, sizeof(next.path), "%s", path);
    assert_int_equal(knobs_take(&t->knobs, &next, &l), 0);
    (void)snprintf(file, sizeof(file), "sys/fs/cgroup/%s/cgroup.freeze", path);
    fixture_write(t->f, file, "1\n");
}
