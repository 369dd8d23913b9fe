/* The worker's main, run as the companion that it is, over a tree of plain files. */
#include "tree.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "action/worker.h"

struct worker {
    struct tree tree;
    struct worker_options options;
    struct companion companion;
};

static void worker_start(struct worker *w, const struct fixture *f)
{
    tree_init(&w->tree, f);
    w->options = (struct worker_options){.sysroot = f->path};
    assert_int_equal(companion_start(&w->companion, "test-worker", -1, worker_main, &w->options), 0);
}

static void worker_end(struct worker *w)
{
    pid_t pid = w->companion.pid;

    companion_stop(&w->companion, 5000000);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* end-of-file ended it, and it was reaped */
    tree_deinit(&w->tree);
}

static struct worker_request request(const struct worker *w, const char *path, const char *knob,
                                     uint64_t value)
{
    struct worker_request q = {.op = WORKER_WRITE, .value = value};

    (void)w;
    (void)snprintf(q.path, sizeof(q.path), "%s", path);
    (void)snprintf(q.knob, sizeof(q.knob), "%s", knob);
    return q;
}

static int ask(const struct worker *w, const struct worker_request *q)
{
    struct pollfd p = {.fd = w->companion.fd, .events = POLLIN};
    struct worker_reply reply;

    assert_int_equal(companion_send(&w->companion, q, sizeof(*q)), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(companion_receive(&w->companion, &reply, sizeof(reply)), sizeof(reply));
    assert_int_equal(reply.op, q->op);
    assert_true(reply.cgroup_id == q->cgroup_id);
    assert_string_equal(reply.knob, q->knob);
    return reply.result;
}

static void test_write(void **state)
{
    struct worker_request q;
    struct worker w;

    worker_start(&w, *state);
    q = request(&w, "workload.slice", "memory.high", 8192);
    q.cgroup_id = tree_id(&w.tree, "workload.slice");
    assert_true(ask(&w, &q) >= 0);
    tree_assert(&w.tree, SLICE "/memory.high", "8192");
    q.value = UINT64_MAX;
    assert_true(ask(&w, &q) >= 0);
    tree_assert(&w.tree, SLICE "/memory.high", "max");
    worker_end(&w);
}

static void test_refuses(void **state)
{
    struct worker_request q;
    struct worker w;

    worker_start(&w, *state);
    q = request(&w, "workload.slice", "memory.high", 8192);
    q.cgroup_id = tree_id(&w.tree, "workload.slice") + 1; /* a new one of the same name */
    assert_int_equal(ask(&w, &q), -ENOENT);
    q = request(&w, "gone.slice", "memory.high", 8192);
    assert_int_equal(ask(&w, &q), -ENOENT);
    q = request(&w, "../../../run", "memory.high", 8192);
    assert_int_equal(ask(&w, &q), -EINVAL);
    tree_assert(&w.tree, SLICE "/memory.high", "max");
    worker_end(&w);
}

/* In a tree that is not this machine no process is touched. */
static void test_no_mrelease_in_a_tree(void **state)
{
    struct worker_request q = {.op = WORKER_MRELEASE, .pid_count = 1};
    struct worker w;

    worker_start(&w, *state);
    q.pids[0] = getpid();
    assert_int_equal(ask(&w, &q), 0);
    worker_end(&w);
}

/* What a daemon that was killed had asked for is not written behind the back of whoever comes after it. */
static void test_ends_with_its_parent(void **state)
{
    struct worker *w = calloc(1, sizeof(*w));
    int ready[2], status;
    pid_t daemon;
    char byte;

    assert_non_null(w);
    tree_init(&w->tree, *state);
    w->options = (struct worker_options){.sysroot = w->tree.f->path};
    assert_int_equal(pipe(ready), 0);
    daemon = fork();
    if (daemon == 0) { /* no assertions here: they would return into the test's runner */
        struct worker_request q = request(w, "workload.slice", "memory.high", 8192);

        q.cgroup_id = tree_id(&w->tree, "workload.slice");
        if (companion_start(&w->companion, "test-worker", ready[1], worker_main, &w->options) < 0)
            _exit(1);
        (void)usleep(200000); /* it is waiting for something to do */
        (void)kill(w->companion.pid, SIGSTOP);
        if (companion_send(&w->companion, &q, sizeof(q)) < 0)
            _exit(2);
        (void)!write(ready[1], &w->companion.pid, sizeof(w->companion.pid));
        _exit(0);
    }
    assert_int_equal(read(ready[0], &w->companion.pid, sizeof(pid_t)), sizeof(pid_t));
    assert_int_equal(waitpid(daemon, &status, 0), daemon);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(ready[1]);
    assert_int_equal(kill(w->companion.pid, SIGCONT),
                     0); /* the grandchild of this test; nobody else has its pid yet */
    assert_int_equal(read(ready[0], &byte, 1), 0); /* it has ended: the pipe has no writer any more */
    tree_assert(&w->tree, SLICE "/memory.high", "max");
    (void)close(ready[0]);
    tree_deinit(&w->tree);
    free(w);
}

static void test_garbage_ends_it(void **state)
{
    struct pollfd p = {.events = POLLIN};
    char byte = 0;
    struct worker w;

    worker_start(&w, *state);
    p.fd = w.companion.fd;
    assert_int_equal(companion_send(&w.companion, &byte, 1), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(companion_receive(&w.companion, &byte, 1), 0);
    worker_end(&w);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_write),
        TEST(test_refuses),
        TEST(test_no_mrelease_in_a_tree),
        TEST(test_ends_with_its_parent),
        TEST(test_garbage_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
