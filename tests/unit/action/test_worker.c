/* The worker's main, run as the companion that it is, over a tree of plain files. */
#include "tree.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "action/worker.h"
#include "base/units.h"

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

/* What was asked for before the guardian raised a fence is not written beside it. */
static void test_no_write_after_a_fence(void **state)
{
    uint64_t *sequence =
        mmap(NULL, sizeof(*sequence), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct worker_request q;
    struct worker w;

    assert_ptr_not_equal(sequence, MAP_FAILED);
    tree_init(&w.tree, *state);
    w.options = (struct worker_options){.sysroot = w.tree.f->path, .fence_sequence = sequence};
    assert_int_equal(companion_start(&w.companion, "test-worker", -1, worker_main, &w.options), 0);
    q = request(&w, "workload.slice", "memory.high", 8192);
    q.cgroup_id = tree_id(&w.tree, "workload.slice");
    *sequence = 1;
    assert_int_equal(ask(&w, &q), -ECANCELED);
    tree_assert(&w.tree, SLICE "/memory.high", "max");
    q.fence_sequence = 1;
    assert_true(ask(&w, &q) >= 0);
    tree_assert(&w.tree, SLICE "/memory.high", "8192");
    worker_end(&w);
    (void)munmap(sequence, sizeof(*sequence));
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

static struct worker_request reclaim_request(const struct worker *w, uint64_t bytes)
{
    struct worker_request q = request(w, "workload.slice", "", bytes);

    q.op = WORKER_RECLAIM;
    q.cgroup_id = tree_id(&w->tree, "workload.slice");
    q.swappiness = RECLAIM_SWAPPINESS_UNSET;
    return q;
}

static void test_reclaim(void **state)
{
    struct worker_request q;
    struct worker w;

    worker_start(&w, *state);
    q = reclaim_request(&w, 3 << 20);
    assert_int_equal(ask(&w, &q), -EOPNOTSUPP);
    fixture_write(w.tree.f, SLICE "/memory.reclaim", "");
    fixture_write(w.tree.f, SLICE "/memory.current", "104857600\n");
    fixture_write(w.tree.f, SLICE "/memory.low", "104333312\n");
    q.swappiness = 60;
    assert_int_equal(ask(&w, &q), -EAGAIN); /* a file gives nothing back */
    tree_assert(&w.tree, SLICE "/memory.reclaim", "524288 swappiness=60");
    q.op = WORKER_OFFLOAD;
    q.swappiness = 0;
    assert_int_equal(ask(&w, &q), -EAGAIN); /* asked first whether it is taken at all: a file takes it */
    q.cgroup_id++;
    assert_int_equal(ask(&w, &q), -ENOENT);
    q = reclaim_request(&w, 1 << 20);
    (void)snprintf(q.path, sizeof(q.path), "../../../run");
    assert_int_equal(ask(&w, &q), -EINVAL);
    worker_end(&w);
}

/* memory.low of what it is in, but not of the domain, within which that counts for nothing. */
static void test_reclaim_below_protection(void **state)
{
    struct worker_request q;
    struct worker w;

    worker_start(&w, *state);
    tree_add(&w.tree, "workload.slice/db", "max\n");
    tree_add(&w.tree, "workload.slice/db/one", "max\n");
    q = reclaim_request(&w, 3 << 20);
    (void)snprintf(q.path, sizeof(q.path), "workload.slice/db/one");
    q.cgroup_id = tree_id(&w.tree, q.path);
    q.domain_length = (unsigned)strlen("workload.slice");
    fixture_write(w.tree.f, SLICE "/memory.current", "104857600\n");
    fixture_write(w.tree.f, SLICE "/memory.low", "104857600\n");
    fixture_write(w.tree.f, SLICE "/db/memory.current", "94371840\n");
    fixture_write(w.tree.f, SLICE "/db/memory.low", "93323264\n");
    fixture_write(w.tree.f, SLICE "/db/one/memory.current", "94371840\n");
    fixture_write(w.tree.f, SLICE "/db/one/memory.reclaim", "");
    assert_int_equal(ask(&w, &q), 0);
    tree_assert(&w.tree, SLICE "/db/one/memory.reclaim", "1048576");
    fixture_write(w.tree.f, SLICE "/db/one/memory.reclaim", "");
    fixture_write(w.tree.f, SLICE "/db/memory.min", "94371840\n");
    assert_int_equal(ask(&w, &q), 0);
    tree_assert(&w.tree, SLICE "/db/one/memory.reclaim", "");
    fixture_write(w.tree.f, SLICE "/db/memory.min", "0\n");
    q.domain_length = 0;
    assert_int_equal(ask(&w, &q), 0);
    tree_assert(&w.tree, SLICE "/db/one/memory.reclaim", "");
    q.op = WORKER_OFFLOAD;
    assert_int_equal(ask(&w, &q), 0);
    tree_assert(&w.tree, SLICE "/db/one/memory.reclaim", "3145728");
    worker_end(&w);
}

static struct worker_reply next_reply(const struct worker *w)
{
    struct pollfd p = {.fd = w->companion.fd, .events = POLLIN};
    struct worker_reply reply;

    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(companion_receive(&w->companion, &reply, sizeof(reply)), sizeof(reply));
    return reply;
}

/* What is spread is no work while nothing is asked for, and makes way at once. */
static void test_reclaim_is_spread(void **state)
{
    struct worker_request q, urgent;
    struct worker_reply reply;
    struct worker w;

    worker_start(&w, *state);
    fixture_write(w.tree.f, SLICE "/memory.reclaim", "");
    fixture_write(w.tree.f, SLICE "/memory.current", "104857600\n");
    q = reclaim_request(&w, 1 << 20);
    q.op = WORKER_OFFLOAD;
    q.spread_usec = 800000;
    assert_int_equal(companion_send(&w.companion, &q, sizeof(q)), 0);
    reply = next_reply(&w);
    assert_int_equal(reply.result, -EAGAIN); /* three pieces of four: a file gives nothing back */
    assert_true(reply.asked_bytes == 3 * 256 * KIB);
    assert_in_range(reply.paused_usec, 3 * 200000, 60000000);
    assert_true(reply.usec < reply.paused_usec);
    tree_assert(&w.tree, SLICE "/memory.reclaim", "262144");
    q.value = 256 * KIB; /* one piece, and then it rests */
    q.rest = 1000000;
    assert_int_equal(companion_send(&w.companion, &q, sizeof(q)), 0);
    reply = next_reply(&w);
    assert_int_equal(reply.result, 0);
    assert_in_range(reply.paused_usec, 700000, 60000000);
    q.value = 1 << 20;
    q.spread_usec = 3600 * USEC_PER_SEC;
    urgent = request(&w, "workload.slice", "memory.high", 1 << 20);
    assert_int_equal(companion_send(&w.companion, &q, sizeof(q)), 0);
    assert_int_equal(companion_send(&w.companion, &urgent, sizeof(urgent)), 0);
    assert_int_equal(next_reply(&w).result, -EINTR);
    assert_int_equal(next_reply(&w).op, WORKER_WRITE);
    worker_end(&w);
}

/* A write that blocks, as the kernel's may: a pipe that is full. It ends at the limit, and without one when
 * nothing comes. */
static void test_reclaim_is_interrupted(void **state)
{
    _cleanup_close_ int pipe_fd = -1;
    struct worker_request q;
    struct worker_reply reply;
    struct worker w;

    worker_start(&w, *state);
    assert_int_equal(mkfifoat(w.tree.f->fd, SLICE "/memory.reclaim", 0600), 0);
    pipe_fd = openat(w.tree.f->fd, SLICE "/memory.reclaim", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(pipe_fd >= 0);
    while (write(pipe_fd, "x", 1) == 1)
        continue;
    fixture_write(w.tree.f, SLICE "/memory.current", "104857600\n");
    q = reclaim_request(&w, 50 << 20);
    q.limit_usec = 50000;
    assert_int_equal(companion_send(&w.companion, &q, sizeof(q)), 0);
    reply = next_reply(&w);
    assert_int_equal(reply.op, WORKER_RECLAIM);
    assert_int_equal(reply.result, -ETIMEDOUT);
    assert_in_range(reply.usec, 50000, 5000000);
    assert_true(reply.freed_bytes == 0);
    q.limit_usec = 0;
    assert_int_equal(companion_send(&w.companion, &q, sizeof(q)), 0);
    assert_int_equal(next_reply(&w).result, -EAGAIN);
    worker_end(&w);
}

/* Limits do not wait for it, other reclaims do. */
static void test_reclaim_makes_way(void **state)
{
    struct worker_request q, again, write;
    struct worker w;

    worker_start(&w, *state);
    fixture_write(w.tree.f, SLICE "/memory.reclaim", "");
    fixture_write(w.tree.f, SLICE "/memory.current", "104857600\n");
    again = q = reclaim_request(&w, 50 << 20);
    write = request(&w, "workload.slice", "memory.high", 8192);
    write.cgroup_id = q.cgroup_id;
    assert_int_equal(kill(w.companion.pid, SIGSTOP), 0); /* our own child */
    assert_int_equal(companion_send(&w.companion, &q, sizeof(q)), 0);
    assert_int_equal(companion_send(&w.companion, &again, sizeof(again)), 0);
    assert_int_equal(companion_send(&w.companion, &write, sizeof(write)), 0);
    assert_int_equal(kill(w.companion.pid, SIGCONT), 0);
    assert_int_equal(next_reply(&w).result, -EAGAIN); /* tried: what waits is of its kind */
    assert_int_equal(next_reply(&w).result, -EINTR);
    assert_int_equal(next_reply(&w).result, 0);
    tree_assert(&w.tree, SLICE "/memory.high", "8192");
    worker_end(&w);
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
        TEST(test_no_write_after_a_fence),
        TEST(test_no_mrelease_in_a_tree),
        TEST(test_ends_with_its_parent),
        TEST(test_reclaim),
        TEST(test_reclaim_below_protection),
        TEST(test_reclaim_is_spread),
        TEST(test_reclaim_is_interrupted),
        TEST(test_reclaim_makes_way),
        TEST(test_garbage_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
