/* Killing over a tree of plain files: cgroup.kill is a file that takes a "1", and what is in cgroup.events is
 * written by the test. Processes that are signalled are children that the test forked itself. */
#include "tree.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "action/kill.h"
#include "base/units.h"
#include "kernel/kill.h"
#include "kernel/process.h"
#include "system/clock.h"

#define TASK "sys/fs/cgroup/workload.slice/task-"

struct scene {
    struct config config;
    struct tree tree;
    struct loop loop;
    struct killer killer;
    struct decision decision;
    unsigned progress;
};

static void on_progress(void *user)
{
    struct scene *s = user;

    s->progress++;
}

static struct scene *scene_new(const struct fixture *f, bool signals)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    tree_init(&s->tree, f);
    assert_int_equal(loop_init(&s->loop), 0);
    config_init_defaults(&s->config);
    s->killer = (struct killer){
        .hierarchy = &s->tree.hierarchy,
        .root_fd = f->fd,
        .loop = &s->loop,
        .progress = on_progress,
        .user = s,
        .signals = signals,
    };
    return s;
}

static void scene_free(struct scene *s)
{
    killer_deinit(&s->killer);
    loop_deinit(&s->loop);
    tree_deinit(&s->tree);
    free(s);
}

static struct victim *add_group(struct scene *s, unsigned n)
{
    struct victim *v = &s->decision.victims[s->decision.victim_count++];

    (void)snprintf(v->path, sizeof(v->path), "workload.slice/task-%u", n);
    tree_add(&s->tree, v->path, "max\n");
    v->id = tree_id(&s->tree, v->path);
    return v;
}

static unsigned begin(struct scene *s)
{
    return killer_begin(&s->killer, &s->config, &s->decision, 100 * USEC_PER_SEC);
}

static bool poll_at(struct scene *s, uint64_t sec)
{
    return killer_poll(&s->killer, &s->decision, sec * USEC_PER_SEC);
}

static pid_t fork_sleeper(void)
{
    pid_t child = fork();

    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    assert_true(child > 0);
    return child;
}

static void assert_killed(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool no_pidfds(void)
{
    int fd = kill_pidfd_open(getpid());

    if (fd >= 0)
        (void)close(fd);
    return fd < 0;
}

static void test_groups(void **state)
{
    struct scene *s = scene_new(*state, false);
    uint64_t id;
    bool stuck;

    id = add_group(s, 1)->id;
    (void)add_group(s, 2);
    assert_false(killer_is_busy(&s->killer));
    assert_int_equal(begin(s), 2);
    assert_true(killer_is_busy(&s->killer));
    tree_assert(&s->tree, TASK "1/cgroup.kill", "1");
    tree_assert(&s->tree, TASK "2/cgroup.kill", "1");
    assert_true(killer_is_dying(&s->killer, id, 0, &stuck));
    assert_false(stuck);
    assert_false(killer_is_dying(&s->killer, id + 1000, 0, &stuck));
    assert_true(poll_at(s, 100));
    fixture_write(s->tree.f, TASK "1/cgroup.events", "populated 0\nfrozen 0\n");
    assert_true(poll_at(s, 101));
    assert_int_equal(s->decision.gone, 1);
    assert_false(killer_is_dying(&s->killer, id, 0, &stuck));
    fixture_write(s->tree.f, TASK "2/cgroup.events", "populated 0\nfrozen 0\n");
    assert_false(poll_at(s, 101));
    assert_int_equal(s->decision.gone, 2);
    assert_int_equal(s->decision.stuck, 0);
    assert_false(killer_is_busy(&s->killer));
    scene_free(s);
}

static void test_gone_before(void **state)
{
    struct scene *s = scene_new(*state, false);
    struct victim *v;

    v = add_group(s, 1);
    v->id++; /* a new one of that name: it is not whom we meant */
    v = add_group(s, 2);
    (void)snprintf(v->path, sizeof(v->path), "workload.slice/never");
    assert_int_equal(begin(s), 0);
    assert_int_equal(s->decision.gone, 2);
    assert_int_equal(s->decision.failed, 0);
    assert_false(killer_is_busy(&s->killer));
    tree_assert(&s->tree, TASK "1/cgroup.kill", "");
    scene_free(s);
}

static void test_cannot(void **state)
{
    struct scene *s = scene_new(*state, false);

    (void)add_group(s, 1);
    assert_int_equal(unlinkat(s->tree.f->fd, TASK "1/cgroup.kill", 0), 0);
    fixture_mkdir(s->tree.f, TASK "1/cgroup.kill"); /* what no write can get into, not even root's */
    assert_int_equal(begin(s), 0);
    assert_int_equal(s->decision.failed, 1);
    assert_false(killer_is_busy(&s->killer));
    scene_free(s);
}

static void test_stuck(void **state)
{
    struct scene *s = scene_new(*state, false);
    uint64_t id = add_group(s, 1)->id;
    bool stuck;

    assert_int_equal(begin(s), 1);
    assert_true(poll_at(s, 101));
    assert_false(poll_at(s, 102)); /* the deadline */
    assert_int_equal(s->decision.stuck, 1);
    assert_int_equal(s->decision.gone, 0);
    assert_false(killer_is_busy(&s->killer));
    assert_true(killer_is_dying(&s->killer, id, 0, &stuck));
    assert_true(stuck);
    assert_false(killer_is_dying(&s->killer, id, 7, &stuck));
    scene_free(s);
}

/* The table of stuck ones is a ring: the oldest is forgotten, nothing else is touched. */
static void test_many_stuck(void **state)
{
    struct scene *s = scene_new(*state, false);
    uint64_t ids[KILLER_STUCK_MAX + 3];
    bool stuck;

    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
        memset(&s->decision, 0, sizeof(s->decision));
        ids[i] = add_group(s, i)->id;
        assert_int_equal(begin(s), 1);
        assert_false(poll_at(s, 103));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
        assert_int_equal(killer_is_dying(&s->killer, ids[i], 0, &stuck), i >= 3);
    assert_false(killer_is_dying(&s->killer, 0, 0, &stuck));
    scene_free(s);
}

/* A cgroup that is removed while it is awaited has given back what it will. */
static void test_removed(void **state)
{
    struct scene *s = scene_new(*state, false);

    (void)add_group(s, 1);
    assert_int_equal(begin(s), 1);
    fixture_write(s->tree.f, TASK "1/cgroup.events", "");
    assert_false(poll_at(s, 101));
    assert_int_equal(s->decision.gone, 1);
    scene_free(s);
}

static void test_without_events(void **state)
{
    struct scene *s = scene_new(*state, false);

    (void)add_group(s, 1);
    assert_int_equal(unlinkat(s->tree.f->fd, TASK "1/cgroup.events", 0), 0);
    assert_int_equal(begin(s), 1);
    assert_false(poll_at(s, 100));
    assert_int_equal(s->decision.gone, 1);
    scene_free(s);
}

/* The most victims that a decision has. */
static void test_all_victims(void **state)
{
    struct scene *s = scene_new(*state, false);

    for (unsigned i = 0; i < DECISION_VICTIMS_MAX; i++)
        (void)add_group(s, i);
    assert_int_equal(begin(s), DECISION_VICTIMS_MAX);
    assert_false(poll_at(s, 200));
    assert_int_equal(s->decision.stuck, DECISION_VICTIMS_MAX);
    scene_free(s);
}

static struct victim *add_process(struct scene *s, pid_t pid, uint64_t start)
{
    struct victim *v = &s->decision.victims[s->decision.victim_count++];

    v->pid = pid;
    v->id = start;
    return v;
}

/* The real /proc for one child of this test, in the fixture's. */
static uint64_t show_process(struct scene *s, pid_t pid)
{
    char path[64], real[64], text[1024];
    struct process_stat st;

    (void)snprintf(real, sizeof(real), "/proc/%d/stat", (int)pid);
    (void)fixture_read(AT_FDCWD, real, text, sizeof(text));
    (void)snprintf(path, sizeof(path), "proc/%d/stat", (int)pid);
    fixture_write(s->tree.f, path, text);
    assert_int_equal(process_read_stat(s->tree.f->fd, pid, &st), 0);
    return st.start_usec;
}

static void test_process(void **state)
{
    struct scene *s = scene_new(*state, true);
    pid_t child = fork_sleeper();
    uint64_t start = show_process(s, child);
    bool stuck;

    (void)add_process(s, child, start);
    if (no_pidfds()) {
        (void)kill(child, SIGKILL);
        assert_killed(child);
        scene_free(s);
        skip();
    }
    assert_int_equal(begin(s), 1);
    assert_true(killer_is_dying(&s->killer, start, child, &stuck));
    assert_int_equal(loop_turn(&s->loop, 10 * USEC_PER_SEC), 0);
    assert_true(s->progress > 0); /* the pidfd has woken us */
    assert_false(poll_at(s, 100));
    assert_int_equal(s->decision.gone, 1);
    assert_killed(child);
    scene_free(s);
}

/* The pid belongs to somebody else by now. */
static void test_process_of_another_start(void **state)
{
    struct scene *s = scene_new(*state, true);
    pid_t child = fork_sleeper();

    (void)add_process(s, child, show_process(s, child) + 1);
    assert_int_equal(begin(s), 0);
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    assert_int_equal(s->decision.gone + s->decision.failed, 1);
    (void)kill(child, SIGKILL);
    assert_killed(child);
    scene_free(s);
}

/* In a tree that is not this machine no pid is signalled: it would be another process's here. */
static void test_no_process_in_a_tree(void **state)
{
    struct scene *s = scene_new(*state, false);
    pid_t child = fork_sleeper();

    (void)add_process(s, child, show_process(s, child));
    assert_int_equal(begin(s), 0);
    assert_int_equal(s->decision.failed, 1);
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    (void)kill(child, SIGKILL);
    assert_killed(child);
    scene_free(s);
}

/* A stuck process is remembered with its start, since its pid comes again. */
static void test_stuck_process(void **state)
{
    struct scene *s = scene_new(*state, false);
    bool stuck;

    s->killer.ops[0] = (struct kill_op){
        .used = true, .id = 55, .pid = 7, .cgroup_fd = -1, .watch_fd = -1, .deadline_usec = USEC_PER_SEC};
    assert_false(poll_at(s, 2));
    assert_true(killer_is_dying(&s->killer, 55, 7, &stuck) && stuck);
    assert_false(killer_is_dying(&s->killer, 56, 7, &stuck));
    scene_free(s);
}

static void list(struct scene *s, const char *path, pid_t pid)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%d\n", (int)pid);
    fixture_write(s->tree.f, path, text);
}

/* Before 5.14: every process by itself, also below, and again at each poll for who was forked meanwhile. */
static void test_without_cgroup_kill(void **state)
{
    struct scene *s = scene_new(*state, true);
    pid_t here = fork_sleeper(), below = fork_sleeper(), later = fork_sleeper();

    (void)add_group(s, 1);
    tree_add(&s->tree, "workload.slice/task-1/below", "max\n");
    assert_int_equal(unlinkat(s->tree.f->fd, TASK "1/cgroup.kill", 0), 0);
    list(s, TASK "1/cgroup.procs", here);
    list(s, TASK "1/below/cgroup.procs", below);
    if (no_pidfds()) {
        (void)kill(here, SIGKILL);
        (void)kill(below, SIGKILL);
        (void)kill(later, SIGKILL);
        scene_free(s);
        skip();
    }
    assert_int_equal(begin(s), 1);
    assert_killed(here);
    assert_killed(below);
    assert_int_equal(waitpid(later, NULL, WNOHANG), 0);
    fixture_write(s->tree.f, TASK "1/cgroup.procs", "");
    list(s, TASK "1/below/cgroup.procs", later);
    assert_true(poll_at(s, 100));
    assert_killed(later);
    scene_free(s);
}

static void test_deinit_under_way(void **state)
{
    struct scene *s = scene_new(*state, false);
    int before, after;

    before = dup(0);
    (void)close(before);
    (void)add_group(s, 1);
    assert_int_equal(begin(s), 1);
    killer_deinit(&s->killer);
    assert_false(killer_is_busy(&s->killer));
    after = dup(0);
    (void)close(after);
    assert_int_equal(before, after); /* every descriptor was given back */
    scene_free(s);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_groups),
        TEST(test_gone_before),
        TEST(test_cannot),
        TEST(test_stuck),
        TEST(test_many_stuck),
        TEST(test_removed),
        TEST(test_without_events),
        TEST(test_all_victims),
        TEST(test_process),
        TEST(test_process_of_another_start),
        TEST(test_no_process_in_a_tree),
        TEST(test_stuck_process),
        TEST(test_without_cgroup_kill),
        TEST(test_deinit_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
