/* What the tests of a plan share: two cgroups of plain files, a look at them, and a look of a keeper. */
#pragma once

#include "tree.h"

#include "action/qos.h"
#include "base/units.h"
#include "kernel/file.h"

#define CGROUPS_MAX 4

static struct lease more[64];

struct plan {
    struct tree tree;
    struct qos_cgroup cgroups[CGROUPS_MAX];
    unsigned count;
    struct qos_done done;
};

static const char *const numbers[] = {"memory.min", "memory.low", "memory.swap.max", "memory.oom.group",
                                      "cpu.weight"};

static inline struct qos_cgroup *add(struct plan *p, const char *path, unsigned parent)
{
    struct qos_cgroup *g = &p->cgroups[p->count++];
    char file[PATH_MAX];

    tree_add(&p->tree, path, "max\n");
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        (void)snprintf(file, sizeof(file), "sys/fs/cgroup/%s/%s", path, numbers[i]);
        fixture_write(p->tree.f, file, i == 2 ? "max\n" : i == 4 ? "100\n" : "0\n");
    }
    *g = (struct qos_cgroup){.id = tree_id(&p->tree, path), .parent = parent};
    (void)snprintf(g->path, sizeof(g->path), "%s", path);
    return g;
}

static inline void set(struct qos_cgroup *g, enum qos_knob k, uint64_t value)
{
    g->plan[k] = (struct qos_value){value, QOS_WHY_REQUEST};
}

static uint64_t now_sec = 1;

/* What stands, as a look would find it. */
static inline void look(struct plan *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct qos_cgroup *g = &p->cgroups[i];
        _cleanup_close_ int fd = cgroup_open(&p->tree.hierarchy, g->path);

        g->files = g->unread = g->held = g->drifted = g->yielded = 0;
        g->settling = false;
        for (enum qos_knob k = 0; k < QOS_FILES; k++) {
            int r = file_read_u64_at(fd, qos_knob_name(k), &g->now[k]);

            if (r == 0) {
                g->foreign[k] = g->now[k];
                g->files |= QOS_KNOB_BIT(k);
            } else if (r != -ENOENT) {
                g->unread |= QOS_KNOB_BIT(k);
            }
        }
    }
    qos_follow_units(&p->tree.knobs, p->cgroups, p->count, now_sec * USEC_PER_SEC);
    qos_note_leases(&p->tree.table, p->cgroups, p->count, now_sec * USEC_PER_SEC);
}

static inline void apply(struct plan *p, unsigned written, unsigned stood, unsigned restored)
{
    look(p);
    qos_apply(&p->tree.knobs, p->cgroups, p->count, true, USEC_PER_SEC, &p->done);
    assert_int_equal(p->done.failed, 0);
    assert_int_equal(p->done.written, written);
    assert_int_equal(p->done.stood, stood);
    assert_int_equal(p->done.restored, restored);
}

static inline void restore(struct plan *p, unsigned restored, unsigned left)
{
    unsigned l, f;

    assert_int_equal(qos_restore(&p->tree.knobs, &l, &f), restored);
    assert_int_equal(l, left);
    assert_int_equal(f, 0);
}

static inline int setup(void **state)
{
    static struct plan p;
    void *f;

    if (fixture_setup(&f) < 0)
        return -1;
    memset(&p, 0, sizeof(p));
    tree_init(&p.tree, f);
    p.tree.table.more = more;
    p.tree.table.more_count = ARRAY_SIZE(more);
    p.tree.knobs.root_fd = p.tree.f->fd;
    (void)add(&p, "workload.slice", QOS_NONE);
    (void)add(&p, "workload.slice/a", 0);
    *state = &p;
    return 0;
}

static inline int teardown(void **state)
{
    struct plan *p = *state;
    void *f = (void *)(uintptr_t)p->tree.f;

    tree_deinit(&p->tree);
    return fixture_teardown(&f);
}

/* ---- what others set while we keep it ---- */

static struct {
    unsigned count;
    char knob[JOURNAL_KNOB_MAX];
    uint64_t found, ours;
    enum lease_drift drift;
} told;

static inline void on_drift(void *user _unused_, const struct lease *l, uint64_t found, uint64_t ours)
{
    told.count++;
    memcpy(told.knob, l->knob, sizeof(told.knob));
    told.found = found;
    told.ours = ours;
    told.drift = l->drift;
}

/* A look of a keeper: the plan of `high` for a, which leaves what is tighter. */
static inline void keep(struct plan *p, uint64_t high, bool reapply)
{
    struct qos_cgroup *g = &p->cgroups[1];

    p->tree.knobs.insist = p->tree.knobs.yields = true;
    p->tree.knobs.drifted = on_drift;
    memset(&told, 0, sizeof(told));
    look(p);
    set(g, QOS_MEMORY_HIGH, high);
    if (g->foreign[QOS_MEMORY_HIGH] <= high)
        g->plan[QOS_MEMORY_HIGH].why = QOS_WHY_TIGHTER;
    qos_settle_drifts(&p->tree.knobs, p->cgroups, p->count, reapply, now_sec * USEC_PER_SEC);
    qos_apply(&p->tree.knobs, p->cgroups, p->count, true, now_sec * USEC_PER_SEC, &p->done);
    assert_int_equal(p->done.failed, 0);
}

static inline void others(struct plan *p, const char *value)
{
    fixture_write(p->tree.f, SLICE "/a/memory.high", value);
}

static inline void assert_told(enum lease_drift drift, uint64_t found, uint64_t ours)
{
    assert_int_equal(told.count, 1);
    assert_int_equal(told.drift, drift);
    assert_true(told.found == found && told.ours == ours);
}

/* As a successor would find it. */
static inline void reread(struct plan *p)
{
    struct journal j;

    p->tree.table = (struct lease_table){.more = more, .more_count = ARRAY_SIZE(more)};
    journal_close(p->tree.knobs.journal);
    assert_int_equal(journal_open(&j, p->tree.f->fd, p->tree.knobs.journal->dir_fd, &p->tree.table), 0);
    *p->tree.knobs.journal = j;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
