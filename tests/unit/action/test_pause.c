/* Pausing over a tree of plain files: cgroup.freeze keeps what is written, and what is in cgroup.events is
 * written by the test. Processes that are stopped are children that the test forked itself. */
#include "tree.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "action/pause.h"
#include "base/units.h"
#include "kernel/kill.h"
#include "kernel/process.h"

#define TASK "sys/fs/cgroup/workload.slice/task-"
#define NOW (100 * USEC_PER_SEC)

struct scene {
    struct tree tree;
    struct config config;
    struct pauser pauser;
};

static void scene_pauser(struct scene *s, bool signals)
{
    s->tree.knobs.root_fd = s->tree.f->fd;
    s->tree.knobs.signals = signals;
    s->pauser = (struct pauser){
        .hierarchy = &s->tree.hierarchy,
        .root_fd = s->tree.f->fd,
        .knobs = &s->tree.knobs,
        .signals = signals,
    };
}

static struct scene *scene_new(const struct fixture *f, bool signals)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    tree_init(&s->tree, f);
    fixture_write(f, "proc/self/cgroup", "0::/system.slice/headroom.service\n");
    config_init_defaults(&s->config);
    class_config_init(&s->config.classes[1], CONFIG_CLASS_OTHER);
    class_config_init(&s->config.classes[0], "batch");
    (void)strcpy(s->config.classes[0].match[0], "workload.slice/*");
    s->config.classes[0].match_count = 1;
    s->config.classes[0].actions |= ACTION_BIT(ACTION_PAUSE);
    s->config.class_count = 2;
    scene_pauser(s, signals);
    return s;
}

/* Another daemon comes after one that was killed. */
static void scene_restart(struct scene *s)
{
    bool signals = s->pauser.signals;

    tree_restart(&s->tree);
    scene_pauser(s, signals);
}

static void scene_free(struct scene *s)
{
    tree_deinit(&s->tree);
    free(s);
}

static struct group group_at(struct scene *s, const char *path)
{
    struct group g = {.anon = 5000, .shmem = 600, .kernel = 70, .class_index = 0};
    char file[PATH_MAX];

    (void)snprintf(g.path, sizeof(g.path), "%s", path);
    tree_add(&s->tree, path, "max\n");
    (void)snprintf(file, sizeof(file), "sys/fs/cgroup/%s/cgroup.freeze", path);
    fixture_write(s->tree.f, file, "0\n");
    (void)snprintf(file, sizeof(file), "sys/fs/cgroup/%s/memory.current", path);
    fixture_write(s->tree.f, file, "12345\n");
    g.id = tree_id(&s->tree, path);
    return g;
}

static struct group add_group(struct scene *s, unsigned n)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "workload.slice/task-%u", n);
    return group_at(s, path);
}

static int pause_it(struct scene *s, const struct group *g)
{
    return pauser_pause(&s->pauser, g, PAUSE_WHY_GROWTH, NOW);
}

static void move_aside(struct scene *s, const char *path)
{
    assert_int_equal(renameat(s->tree.f->fd, path, s->tree.f->fd, "sys/fs/cgroup/aside"), 0);
}

static void journal_text(const struct scene *s, char *buf, size_t size)
{
    (void)fixture_read(s->tree.runtime_fd, "journal", buf, size);
}

static void test_pause_and_resume(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);
    struct pause_entry *e;
    char text[1024];

    assert_int_equal(pause_it(s, &g), 0);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "1");
    e = pauser_find(&s->pauser, g.id, 0);
    assert_non_null(e);
    assert_null(pauser_find(&s->pauser, g.id, 7));
    assert_string_equal(e->path, "workload.slice/task-1");
    assert_true(e->since_usec == NOW && e->confirmed_usec == 0 && e->held_bytes == 5670);
    assert_int_equal(e->why, PAUSE_WHY_GROWTH);
    assert_int_equal(pauser_count(&s->pauser), 1);
    journal_text(s, text, sizeof(text));
    assert_non_null(strstr(text, " knob=cgroup.freeze was=0 ours=1 path=workload.slice/task-1\n"));
    assert_int_equal(pause_it(s, &g), -EALREADY);
    assert_int_equal(pauser_resume(&s->pauser, e), 1);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    assert_int_equal(pauser_count(&s->pauser), 0);
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(s->pauser.paused, 1);
    assert_int_equal(s->pauser.resumed, 1);
    assert_int_equal(s->pauser.failures, 0);
    tree_restart(&s->tree);
    assert_int_equal(tree_leases(&s->tree), 0);
    scene_free(s);
}

static void test_foreign_freeze(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);
    char before[1024], after[1024];

    fixture_write(s->tree.f, TASK "1/cgroup.freeze", "1\n");
    journal_text(s, before, sizeof(before));
    assert_int_equal(pause_it(s, &g), -EBUSY);
    journal_text(s, after, sizeof(after));
    assert_string_equal(before, after);
    assert_int_equal(pauser_resume_all(&s->pauser), 0);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "1");
    scene_free(s);
}

static void test_gone_before(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1), other = g;

    other.id++;
    assert_int_equal(pause_it(s, &other), -ENOENT); /* a new one of that name */
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    move_aside(s, TASK "1");
    assert_int_equal(pause_it(s, &g), -ENOENT);
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(pauser_count(&s->pauser), 0);
    assert_int_equal(s->pauser.failures, 0);
    scene_free(s);
}

/* A write that fails leaves no lease behind. */
static void test_cannot_be_written(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);
    _cleanup_close_ int fd = memfd_create("freeze", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char link[64];

    /* A sealed file that says 0: not even root can write it. */
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0\n", 2), 2);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    assert_int_equal(unlinkat(s->tree.f->fd, TASK "1/cgroup.freeze", 0), 0);
    assert_int_equal(symlinkat(link, s->tree.f->fd, TASK "1/cgroup.freeze"), 0);
    assert_int_equal(pause_it(s, &g), -EPERM);
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(pauser_count(&s->pauser), 0);
    assert_int_equal(s->pauser.failures, 1);
    tree_restart(&s->tree);
    assert_int_equal(tree_leases(&s->tree), 0);
    scene_free(s);
}

/* Without its line in the journal nothing is paused. */
static void test_no_journal(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);
    _cleanup_close_ int full = open("/dev/full", O_RDWR | O_CLOEXEC);

    journal_close(&s->tree.journal);
    assert_int_equal(pause_it(s, &g), -EBADF);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    assert_int_equal(pauser_count(&s->pauser), 0);
    assert_true(full >= 0);
    s->tree.journal.fd = full; /* no byte gets in */
    assert_true(pause_it(s, &g) < 0);
    s->tree.journal.fd = -1;
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(s->pauser.failures, 2);
    scene_free(s);
}

/* What was paused before the file system was full is let run all the same. */
static void test_resume_without_journal(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);

    assert_int_equal(pause_it(s, &g), 0);
    journal_close(&s->tree.journal);
    assert_int_equal(pauser_resume_all(&s->pauser), 0);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    scene_restart(s); /* the line is still there; the value is not ours */
    assert_int_equal(tree_leases(&s->tree), 1);
    assert_int_equal(knobs_restore(&s->tree.knobs, lease_next(&s->tree.table, NULL)), 0);
    assert_int_equal(tree_leases(&s->tree), 0);
    scene_free(s);
}

static void test_dry_run(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);

    s->tree.knobs.dry_run = true;
    assert_int_equal(pause_it(s, &g), -EPERM);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    scene_free(s);
}

static void test_not_ourselves(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group slice = group_at(s, "system.slice"), own = group_at(s, "system.slice/headroom.service");
    struct group beside = group_at(s, "system.slice/headroom.service2"), root = {0};

    assert_int_equal(pause_it(s, &slice), -EPERM);
    assert_int_equal(pause_it(s, &own), -EPERM);
    assert_int_equal(pause_it(s, &beside), 0);
    root.id = tree_id(&s->tree, "");
    fixture_write(s->tree.f, "sys/fs/cgroup/cgroup.freeze", "0\n");
    assert_int_equal(pause_it(s, &root), -EPERM);
    assert_int_equal(unlinkat(s->tree.f->fd, "proc/self/cgroup", 0), 0);
    assert_int_equal(pause_it(s, &root), -EPERM);
    tree_assert(&s->tree, "sys/fs/cgroup/cgroup.freeze", "0");
    scene_free(s);
}

static void show_link(struct scene *s, unsigned pid, unsigned fd, const char *target)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "proc/%u/fd", pid);
    fixture_mkdir(s->tree.f, path);
    (void)snprintf(path, sizeof(path), "proc/%u/fd/%u", pid, fd);
    (void)unlinkat(s->tree.f->fd, path, 0);
    assert_int_equal(symlinkat(target, s->tree.f->fd, path), 0);
}

static void test_fuse(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);

    tree_add(&s->tree, "workload.slice/task-1/below", "max\n");
    fixture_write(s->tree.f, TASK "1/cgroup.procs", "4001\n4002\n");
    fixture_write(s->tree.f, TASK "1/below/cgroup.procs", "4003\n");
    show_link(s, 4001, 0, "/dev/null");
    show_link(s, 4001, 1, "/tmp/dev/fuse.log");
    show_link(s, 4001, 2, "fuse");
    show_link(s, 4003, 2, "/dev/null");
    assert_int_equal(pause_it(s, &g), 0);
    assert_int_equal(pauser_resume_all(&s->pauser), 0);
    show_link(s, 4002, 9, "/dev/fuse");
    assert_int_equal(pause_it(s, &g), -EBUSY);
    show_link(s, 4002, 9, "/dev/null");
    show_link(s, 4003, 3, "/dev/fuse");
    assert_int_equal(pause_it(s, &g), -EBUSY);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    assert_int_equal(tree_leases(&s->tree), 0);
    scene_free(s);
}

/* The search ends, however much there is to look at. */
static void test_fuse_is_bounded(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);
    char procs[4096] = "";
    size_t n = 0;

    for (unsigned i = 0; i < 65; i++)
        n += (size_t)snprintf(procs + n, sizeof(procs) - n, "%u\n", 5000 + i);
    fixture_write(s->tree.f, TASK "1/cgroup.procs", procs);
    show_link(s, 5064, 0, "/dev/fuse"); /* the 65th */
    assert_int_equal(pause_it(s, &g), 0);
    assert_int_equal(pauser_resume_all(&s->pauser), 0);
    show_link(s, 5063, 0, "/dev/fuse");
    assert_int_equal(pause_it(s, &g), -EBUSY);
    scene_free(s);
}

static void test_confirmed(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);
    struct pause_entry *e;

    assert_int_equal(pause_it(s, &g), 0);
    e = pauser_find(&s->pauser, g.id, 0);
    assert_int_equal(pauser_check(&s->pauser, NOW + 1), 0);
    assert_true(e->confirmed_usec == 0);
    fixture_write(s->tree.f, TASK "1/cgroup.events", "populated 1\nfrozen 1\n");
    assert_int_equal(pauser_check(&s->pauser, NOW + 2), 0);
    assert_true(e->confirmed_usec == NOW + 2);
    assert_int_equal(pauser_check(&s->pauser, NOW + 3), 0);
    assert_true(e->confirmed_usec == NOW + 2);
    scene_free(s);
}

static void test_foreign_thaw(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);

    assert_int_equal(pause_it(s, &g), 0);
    fixture_write(s->tree.f, TASK "1/cgroup.freeze", "0\n");
    assert_int_equal(pauser_check(&s->pauser, NOW + 5), 1);
    assert_int_equal(pauser_count(&s->pauser), 0);
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(s->pauser.foreign_thaws, 1);
    assert_true(pauser_yields(&s->pauser, g.id, 0, NOW + 5));
    assert_false(pauser_yields(&s->pauser, g.id, 1, NOW + 5));
    assert_false(pauser_yields(&s->pauser, g.id + 1, 0, NOW + 5));
    assert_false(pauser_yields(&s->pauser, 0, 0, NOW + 5));
    assert_false(pauser_yields(&s->pauser, g.id, 0, NOW + 5 + PAUSE_YIELD_USEC));
    scene_free(s);
}

static void test_vanished_and_new(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1), h = add_group(s, 2);

    assert_int_equal(pause_it(s, &g), 0);
    assert_int_equal(pause_it(s, &h), 0);
    move_aside(s, TASK "1");
    assert_int_equal(pauser_check(&s->pauser, NOW + 5), 1);
    assert_null(pauser_find(&s->pauser, g.id, 0));
    assert_int_equal(renameat(s->tree.f->fd, TASK "2", s->tree.f->fd, "sys/fs/cgroup/aside-2"), 0);
    (void)add_group(s, 2);
    fixture_write(s->tree.f, TASK "2/cgroup.freeze", "1\n"); /* of the new one's, by somebody else */
    assert_int_equal(pauser_check(&s->pauser, NOW + 6), 1);
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(s->pauser.foreign_thaws, 0);
    assert_false(pauser_yields(&s->pauser, h.id, 0, NOW + 6));
    tree_assert(&s->tree, TASK "2/cgroup.freeze", "1");
    scene_free(s);
}

static void test_resume_of_what_is_not_ours(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1), h = add_group(s, 2);

    assert_int_equal(pause_it(s, &g), 0);
    assert_int_equal(pause_it(s, &h), 0);
    fixture_write(s->tree.f, TASK "1/cgroup.freeze", "0\n");
    assert_int_equal(pauser_resume(&s->pauser, pauser_find(&s->pauser, g.id, 0)), 0);
    move_aside(s, TASK "2");
    assert_int_equal(pauser_resume(&s->pauser, pauser_find(&s->pauser, h.id, 0)), 0);
    assert_int_equal(pauser_count(&s->pauser), 0);
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(s->pauser.resumed, 0);
    scene_free(s);
}

/* What fails is kept, and tried again. */
static void test_resume_fails(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);
    struct pause_entry *e;

    assert_int_equal(pause_it(s, &g), 0);
    e = pauser_find(&s->pauser, g.id, 0);
    fixture_write(s->tree.f, TASK "1/cgroup.freeze", "garbage\n");
    assert_int_equal(pauser_check(&s->pauser, NOW + 1), 0);
    assert_int_equal(pauser_resume(&s->pauser, e), -EBADMSG);
    assert_true(e->used);
    assert_int_equal(pauser_resume_all(&s->pauser), 1);
    assert_int_equal(s->pauser.failures, 2);
    fixture_write(s->tree.f, TASK "1/cgroup.freeze", "1\n");
    assert_int_equal(pauser_resume(&s->pauser, e), 1);
    assert_false(e->used);
    scene_free(s);
}

static void test_give_up(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1);

    assert_int_equal(pause_it(s, &g), 0);
    assert_int_equal(pauser_give_up(&s->pauser, pauser_find(&s->pauser, g.id, 0), NOW + 9), 1);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    assert_true(pauser_yields(&s->pauser, g.id, 0, NOW + 10));
    assert_int_equal(s->pauser.failures, 1);
    scene_free(s);
}

/* The yields are a ring; one that is there already takes no second place. */
static void test_many_yields(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g[PAUSE_YIELDS_MAX + 3];

    for (unsigned i = 0; i < ARRAY_SIZE(g); i++) {
        g[i] = add_group(s, i);
        for (unsigned again = 0; again < 2; again++) {
            assert_int_equal(pause_it(s, &g[i]), 0);
            assert_int_equal(pauser_give_up(&s->pauser, pauser_find(&s->pauser, g[i].id, 0), NOW), 1);
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(g); i++)
        assert_int_equal(pauser_yields(&s->pauser, g[i].id, 0, NOW + 1), i >= 3);
    scene_free(s);
}

/* As many as there may be, beside the knobs, in and out of the journal. */
static void test_all_pauses(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g;

    for (unsigned i = 0; i < PAUSES_MAX; i++) {
        g = add_group(s, i);
        assert_int_equal(pause_it(s, &g), 0);
    }
    g = add_group(s, PAUSES_MAX);
    assert_int_equal(pause_it(s, &g), -ENOSPC);
    assert_int_equal(knobs_apply(&s->tree.knobs, "workload.slice", "memory.high", 8192, 1), 0);
    assert_int_equal(pauser_count(&s->pauser), PAUSES_MAX);
    scene_restart(s);
    assert_int_equal(tree_leases(&s->tree), PAUSES_MAX + 1);
    assert_int_equal(pauser_adopt(&s->pauser, &s->config, NOW), PAUSES_MAX);
    assert_int_equal(pauser_count(&s->pauser), PAUSES_MAX);
    assert_int_equal(pauser_check(&s->pauser, NOW), 0);
    assert_int_equal(pauser_resume_all(&s->pauser), 0);
    for (unsigned i = 0; i < PAUSES_MAX; i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), TASK "%u/cgroup.freeze", i);
        tree_assert(&s->tree, path, "0");
    }
    assert_int_equal(tree_leases(&s->tree), 1);
    assert_int_equal(pauser_count(&s->pauser), 0);
    scene_free(s);
}

/* Paused and resumed for ever: the journal stays short and good, and the order stays right. */
static void test_journal_stays_short(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group first = add_group(s, 1), g = add_group(s, 2);
    struct stat st;
    off_t longest = 0;

    assert_int_equal(pause_it(s, &first), 0);
    for (unsigned i = 0; i < 3000; i++) {
        assert_int_equal(pause_it(s, &g), 0);
        assert_int_equal(pauser_resume(&s->pauser, pauser_find(&s->pauser, g.id, 0)), 1);
        assert_int_equal(fstatat(s->tree.runtime_fd, "journal", &st, 0), 0);
        longest = st.st_size > longest ? st.st_size : longest;
    }
    assert_true(longest < 40000);
    assert_int_equal(pause_it(s, &g), 0);
    scene_restart(s);
    assert_int_equal(tree_leases(&s->tree), 2);
    assert_true(lease_next(&s->tree.table, NULL)->cgroup_id == first.id);
    scene_free(s);
}

static bool wants(void *user, const struct lease *l)
{
    const struct scene *s = user;

    return pauser_wants(&s->config, l);
}

/* In the order of their pauses, which is neither that of the table nor that of their names. */
static void test_order(void **state)
{
    static const unsigned order[] = {3, 1, 4, 5, 9, 2, 6};
    struct scene *s = scene_new(*state, false);
    struct group g[10];
    struct lease *l = NULL;
    uint64_t since = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(g); i++)
        g[i] = add_group(s, i);
    for (unsigned i = 7; i < 9; i++) /* their places are taken again by others */
        assert_int_equal(pause_it(s, &g[i]), 0);
    assert_int_equal(pause_it(s, &g[order[0]]), 0);
    assert_int_equal(pauser_resume(&s->pauser, pauser_find(&s->pauser, g[7].id, 0)), 1);
    assert_int_equal(pauser_resume(&s->pauser, pauser_find(&s->pauser, g[8].id, 0)), 1);
    for (unsigned i = 1; i < ARRAY_SIZE(order); i++)
        assert_int_equal(pause_it(s, &g[order[i]]), 0);
    for (unsigned round = 0; round < 3; round++) {
        l = NULL;
        for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
            l = lease_next(&s->tree.table, l);
            assert_true(l && l->cgroup_id == g[order[i]].id);
        }
        assert_null(lease_next(&s->tree.table, l));
        scene_restart(s);
    }
    assert_int_equal(pauser_adopt(&s->pauser, &s->config, NOW), ARRAY_SIZE(order));
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        const struct pause_entry *e = pauser_find(&s->pauser, g[order[i]].id, 0);

        assert_true(e->since_usec > since && e->since_usec < NOW);
        since = e->since_usec;
    }
    scene_free(s);
}

static void test_adopt(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group wanted = add_group(s, 1), thawed = add_group(s, 2), other = group_at(s, "else.slice/task");
    struct pause_entry *e;
    unsigned adopted, restored;

    other.class_index = 1;
    assert_int_equal(pause_it(s, &wanted), 0);
    assert_int_equal(pause_it(s, &thawed), 0);
    assert_int_equal(pause_it(s, &other), 0);
    fixture_write(s->tree.f, TASK "2/cgroup.freeze", "0\n");
    scene_restart(s);
    knobs_adopt(&s->tree.knobs, wants, s, &adopted, &restored);
    assert_int_equal(adopted, 1);
    assert_int_equal(restored, 1); /* its class does not name pause */
    tree_assert(&s->tree, "sys/fs/cgroup/else.slice/task/cgroup.freeze", "0");
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "1");
    assert_int_equal(pauser_adopt(&s->pauser, &s->config, NOW), 1);
    assert_int_equal(pauser_adopt(&s->pauser, &s->config, NOW), 0); /* once is enough */
    e = pauser_find(&s->pauser, wanted.id, 0);
    assert_non_null(e);
    assert_string_equal(e->path, wanted.path);
    assert_int_equal(e->class_index, 0);
    assert_int_equal(e->why, PAUSE_WHY_GROWTH);
    assert_true(e->held_bytes == 12345);
    assert_int_equal(pauser_resume_all(&s->pauser), 0);
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "0");
    scene_free(s);
}

/* Of more pauses than there are entries (a journal that was written by hand), none stays behind. */
static void test_adopt_too_many(void **state)
{
    struct scene *s = scene_new(*state, false);

    for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++) {
        struct group g = add_group(s, i);
        struct lease *l = lease_add(&s->tree.table);
        char path[64];

        assert_non_null(l);
        l->cgroup_id = g.id;
        l->ours = l->ours_before = 1;
        lease_pause_knob(l->knob, 0);
        memcpy(l->path, g.path, sizeof(l->path));
        (void)snprintf(path, sizeof(path), TASK "%u/cgroup.freeze", i);
        fixture_write(s->tree.f, path, "1\n");
    }
    assert_int_equal(pauser_adopt(&s->pauser, &s->config, NOW), PAUSES_MAX);
    tree_assert(&s->tree, TASK "255/cgroup.freeze", "1");
    tree_assert(&s->tree, TASK "256/cgroup.freeze", "0");
    tree_assert(&s->tree, TASK "319/cgroup.freeze", "0");
    assert_int_equal(tree_leases(&s->tree), PAUSES_MAX);
    scene_free(s);
}

static void test_wants(void **state)
{
    struct scene *s = scene_new(*state, false);
    static const struct {
        const char *knob, *path;
        bool wanted;
    } table[] = {
        {"cgroup.freeze", "workload.slice/a", true},
        {"cgroup.freeze", "workload.slice/a/b", false},
        {"cgroup.freeze", "workload.slice", false},
        {"SIGSTOP:77", "workload.slice/a", true},
        {"SIGSTOP:77", "workload.slice/a/b/c", true},
        {"SIGSTOP:77", "workload.slice", false},
        {"SIGSTOP:77", "", false},
        {"memory.high", "workload.slice/a", false},
        {"SIGSTOP:0", "workload.slice/a", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct lease l = {.used = true, .ours = 1, .ours_before = 1};

        (void)snprintf(l.knob, sizeof(l.knob), "%s", table[i].knob);
        (void)snprintf(l.path, sizeof(l.path), "%s", table[i].path);
        assert_int_equal(pauser_wants(&s->config, &l), table[i].wanted);
    }
    scene_free(s);
}

/* The guardian has let them run, and the daemon comes to again. */
static void test_reload(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group g = add_group(s, 1), h = add_group(s, 2);

    assert_int_equal(pause_it(s, &g), 0);
    assert_int_equal(pause_it(s, &h), 0);
    assert_int_equal(pauser_reload(&s->pauser), 0);
    assert_int_equal(knobs_restore(&s->tree.knobs, lease_next(&s->tree.table, NULL)), 1);
    tree_restart(&s->tree);
    assert_int_equal(pauser_reload(&s->pauser), 1);
    assert_null(pauser_find(&s->pauser, g.id, 0));
    assert_non_null(pauser_find(&s->pauser, h.id, 0));
    assert_int_equal(pauser_check(&s->pauser, NOW), 0);
    assert_false(pauser_yields(&s->pauser, g.id, 0, NOW)); /* nobody has asked for that */
    assert_int_equal(pause_it(s, &g), 0);
    scene_free(s);
}

/* ---- single processes ---- */

/* A grandchild: a child of ours looks like a companion of the daemon's. */
static pid_t fork_sleeper(void)
{
    pid_t child, grandchild = 0;
    int pair[2];

    assert_int_equal(pipe(pair), 0);
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        grandchild = fork();
        if (grandchild == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)close(pair[1]);
            for (;;)
                (void)pause();
        }
        (void)!write(pair[1], &grandchild, sizeof(grandchild));
        (void)close(pair[1]);
        (void)waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    (void)close(pair[1]);
    assert_int_equal(read(pair[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    (void)close(pair[0]);
    return grandchild;
}

static char state_of(pid_t pid)
{
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct process_stat st;

    return process_read_stat(root, pid, &st) == 0 ? st.state : '-';
}

static bool wait_state(pid_t pid, char state)
{
    for (unsigned i = 0; i < 2000 && state_of(pid) != state; i++)
        (void)usleep(1000);
    return state_of(pid) == state;
}

/* A scene in which the pids are this machine's; only those of our own children are ever given to it. */
static struct scene *process_scene(const struct fixture *f, pid_t *ret_child, struct group *ret)
{
    struct scene *s = scene_new(f, true);
    struct process_stat st;
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(root >= 0);
    s->pauser.root_fd = s->tree.knobs.root_fd = root;
    *ret_child = fork_sleeper();
    assert_true(wait_state(*ret_child, 'S'));
    assert_int_equal(process_read_stat(root, *ret_child, &st), 0);
    *ret = (struct group){.id = st.start_usec, .pid = *ret_child, .path = "workload.slice/task-1"};
    return s;
}

static void process_scene_free(struct scene *s, pid_t child)
{
    (void)kill(child, SIGKILL); /* its parent is our child and reaps it, and is reaped here */
    (void)close(s->pauser.root_fd);
    (void)wait(NULL);
    scene_free(s);
}

static bool no_pidfds(void)
{
    int fd = kill_pidfd_open(getpid());

    if (fd >= 0)
        (void)close(fd);
    return fd < 0;
}

static void test_process(void **state)
{
    struct pause_entry *e;
    struct group g;
    struct scene *s;
    char text[1024], line[128];
    pid_t child;

    if (no_pidfds())
        skip();
    s = process_scene(*state, &child, &g);
    assert_int_equal(pause_it(s, &g), 0);
    assert_true(wait_state(child, 'T'));
    e = pauser_find(&s->pauser, g.id, child);
    assert_non_null(e);
    journal_text(s, text, sizeof(text));
    (void)snprintf(line, sizeof(line),
                   "lease id=%ju knob=SIGSTOP:%d was=0 ours=1 path=workload.slice/task-1\n", (uintmax_t)g.id,
                   (int)child);
    assert_non_null(strstr(text, line));
    assert_int_equal(pauser_check(&s->pauser, NOW + 1), 0);
    assert_true(e->confirmed_usec == NOW + 1);
    assert_int_equal(pause_it(s, &g), -EALREADY);
    assert_int_equal(pauser_resume(&s->pauser, e), 1);
    assert_true(wait_state(child, 'S'));
    assert_int_equal(tree_leases(&s->tree), 0);
    process_scene_free(s, child);
}

static void test_process_refused(void **state)
{
    struct group g, other;
    struct scene *s;
    pid_t child;

    if (no_pidfds())
        skip();
    s = process_scene(*state, &child, &g);
    other = g;
    other.id++;
    assert_int_equal(pause_it(s, &other), -ENOENT); /* the pid is somebody else's by now */
    other = (struct group){.pid = getpid(), .path = "workload.slice/task-1"};
    assert_int_equal(pause_it(s, &other), -ENOENT);
    s->pauser.signals = false;
    assert_int_equal(pause_it(s, &g), -EPERM);
    s->pauser.signals = true;
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_true(wait_state(child, 'T'));
    assert_int_equal(pause_it(s, &g), -EBUSY); /* somebody else's stop */
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(state_of(child), 'T');
    process_scene_free(s, child);
}

/* Not us, and nobody that we have forked: they are the companions. */
static void test_process_of_ours(void **state)
{
    struct process_stat st;
    struct scene *s;
    struct group g;
    pid_t child, own;

    if (no_pidfds())
        skip();
    s = process_scene(*state, &child, &g);
    own = fork();
    if (own == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    assert_int_equal(process_read_stat(s->pauser.root_fd, own, &st), 0);
    g = (struct group){.id = st.start_usec, .pid = own, .path = "workload.slice/task-1"};
    assert_int_equal(pause_it(s, &g), -EPERM);
    assert_int_equal(process_read_stat(s->pauser.root_fd, getpid(), &st), 0);
    g = (struct group){.id = st.start_usec, .pid = getpid(), .path = "workload.slice/task-1"};
    assert_int_equal(pause_it(s, &g), -EPERM);
    (void)kill(own, SIGKILL);
    assert_int_equal(waitpid(own, NULL, 0), own);
    process_scene_free(s, child);
}

static void test_process_let_run_by_others(void **state)
{
    struct scene *s;
    struct group g;
    pid_t child;

    if (no_pidfds())
        skip();
    s = process_scene(*state, &child, &g);
    assert_int_equal(pause_it(s, &g), 0);
    assert_true(wait_state(child, 'T'));
    assert_int_equal(pauser_check(&s->pauser, NOW + 1), 0);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_true(wait_state(child, 'S'));
    assert_int_equal(pauser_check(&s->pauser, NOW + 2), 1);
    assert_true(pauser_yields(&s->pauser, g.id, child, NOW + 2));
    assert_int_equal(tree_leases(&s->tree), 0);
    process_scene_free(s, child);
}

/* Killed while it is stopped: forgotten, with nobody to yield to. */
static void test_process_ends(void **state)
{
    struct scene *s;
    struct group g;
    pid_t child;

    if (no_pidfds())
        skip();
    s = process_scene(*state, &child, &g);
    assert_int_equal(pause_it(s, &g), 0);
    assert_true(wait_state(child, 'T'));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_true(wait_state(child, '-'));
    assert_int_equal(pauser_check(&s->pauser, NOW + 2), 1);
    assert_int_equal(tree_leases(&s->tree), 0);
    assert_int_equal(s->pauser.foreign_thaws, 0);
    process_scene_free(s, child);
}

static void test_process_adopted_and_undone(void **state)
{
    unsigned adopted, restored, left, failed;
    struct pause_entry *e;
    struct scene *s;
    struct group g;
    pid_t child;
    int root;

    if (no_pidfds())
        skip();
    s = process_scene(*state, &child, &g);
    root = s->pauser.root_fd;
    assert_int_equal(pause_it(s, &g), 0);
    assert_true(wait_state(child, 'T'));
    scene_restart(s);
    s->pauser.root_fd = s->tree.knobs.root_fd = root;
    knobs_adopt(&s->tree.knobs, wants, s, &adopted, &restored);
    assert_int_equal(adopted, 1);
    assert_int_equal(restored, 0);
    assert_int_equal(pauser_adopt(&s->pauser, &s->config, NOW), 1);
    e = pauser_find(&s->pauser, g.id, child);
    assert_non_null(e);
    assert_true(e->comm[0] != 0);
    assert_int_equal(e->class_index, 0);
    assert_int_equal(state_of(child), 'T');
    /* In a tree that is not this machine it would be somebody else's pid: kept, and said. */
    s->tree.knobs.signals = false;
    assert_int_equal(knobs_restore_all(&s->tree.knobs, &left, &failed), 0);
    assert_int_equal(failed, 1);
    assert_int_equal(state_of(child), 'T');
    s->tree.knobs.signals = true;
    assert_int_equal(knobs_restore_all(&s->tree.knobs, &left, &failed), 1);
    assert_true(wait_state(child, 'S'));
    assert_int_equal(tree_leases(&s->tree), 0);
    process_scene_free(s, child);
}

/* Two that began in the same tick are two. */
static void test_process_of_the_same_tick(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct lease *l;

    for (pid_t pid = 11; pid < 13; pid++) {
        struct lease next = {.used = true, .cgroup_id = 77, .ours = 1, .ours_before = 1};

        lease_pause_knob(next.knob, pid);
        assert_int_equal(knobs_take(&s->tree.knobs, &next, &l), 0);
        assert_int_equal(lease_pid(l), pid);
    }
    scene_restart(s);
    assert_int_equal(tree_leases(&s->tree), 2);
    assert_int_equal(lease_pid(lease_next(&s->tree.table, NULL)), 11);
    scene_free(s);
}

static bool keep_batch(void *user, const struct pause_entry *e)
{
    const struct scene *s = user;

    return strcmp(s->config.classes[e->class_index].name, "batch") == 0;
}

/* Another configuration: each follows its class, and those that are not wanted any more go on. */
static void test_other_configuration(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct group groups[3];

    for (unsigned i = 0; i < 3; i++) {
        groups[i] = add_group(s, i + 1);
        assert_int_equal(pause_it(s, &groups[i]), 0);
    }
    s->config.classes[2] = s->config.classes[1];
    s->config.classes[1] = s->config.classes[0];
    class_config_init(&s->config.classes[0], "first");
    (void)strcpy(s->config.classes[0].match[0], "workload.slice/task-2");
    s->config.classes[0].match_count = 1;
    s->config.class_count = 3;
    assert_int_equal(pauser_reconfigure(&s->pauser, &s->config, keep_batch, s), 1);
    assert_int_equal(pauser_count(&s->pauser), 2);
    assert_int_equal(pauser_find(&s->pauser, groups[0].id, 0)->class_index, 1);
    assert_null(pauser_find(&s->pauser, groups[1].id, 0));
    tree_assert(&s->tree, TASK "1/cgroup.freeze", "1");
    tree_assert(&s->tree, TASK "2/cgroup.freeze", "0");
    tree_assert(&s->tree, TASK "3/cgroup.freeze", "1");
    assert_int_equal(tree_leases(&s->tree), 2);
    assert_int_equal(pauser_reconfigure(&s->pauser, &s->config, keep_batch, s), 0);
    scene_free(s);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_pause_and_resume),
        TEST(test_foreign_freeze),
        TEST(test_gone_before),
        TEST(test_cannot_be_written),
        TEST(test_no_journal),
        TEST(test_resume_without_journal),
        TEST(test_dry_run),
        TEST(test_not_ourselves),
        TEST(test_fuse),
        TEST(test_fuse_is_bounded),
        TEST(test_confirmed),
        TEST(test_foreign_thaw),
        TEST(test_vanished_and_new),
        TEST(test_resume_of_what_is_not_ours),
        TEST(test_resume_fails),
        TEST(test_give_up),
        TEST(test_many_yields),
        TEST(test_all_pauses),
        TEST(test_journal_stays_short),
        TEST(test_order),
        TEST(test_adopt),
        TEST(test_adopt_too_many),
        TEST(test_wants),
        TEST(test_reload),
        TEST(test_process),
        TEST(test_process_refused),
        TEST(test_process_of_ours),
        TEST(test_process_let_run_by_others),
        TEST(test_process_ends),
        TEST(test_process_adopted_and_undone),
        TEST(test_process_of_the_same_tick),
        TEST(test_other_configuration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
