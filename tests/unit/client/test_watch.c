/* The life of a watch: levels, a server that goes and comes, floods, forks, options. */
#include "client.h"

#include <signal.h>

#include "client/files.h"

#define SOCKET "/run/headroom/pressure.sock"

static struct stage s;

static int setup(void **state unused_)
{
    stage_init(&s);
    (void)stage_write(&s, "/run/headroom/x", "");
    return 0;
}

static int teardown(void **state unused_)
{
    stage_deinit(&s);
    return 0;
}

static struct headroom_watch *find(uint64_t hold_usec)
{
    struct headroom_options o = {.size = sizeof(o), .hold_usec = hold_usec};
    struct headroom_watch *w = NULL;

    assert_int_equal(watch_new_at(&o, s.root, &w), 0);
    return w;
}

static void test_levels(void **state unused_)
{
    static const struct {
        const char *told;
        enum headroom_level level;
    } cases[] = {
        {"l", HEADROOM_LOW},           {"c", HEADROOM_CRITICAL},  {"m", HEADROOM_MEDIUM},
        {"\n", HEADROOM_MEDIUM},       {"l", HEADROOM_LOW},       {"lml", HEADROOM_MEDIUM},
        {"clllll", HEADROOM_CRITICAL}, {"\x7f", HEADROOM_MEDIUM}, {"l", HEADROOM_LOW},
    };
    int listener = listen_at(stage_path(&s, SOCKET)), server;
    struct headroom_watch *w = find(0);

    server = accept_one(listener, SECOND);
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_CALM);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tell(server, cases[i].told);
        assert_int_equal(wait_level(w, 5 * SECOND), cases[i].level);
        assert_int_equal(headroom_watch_get_level(w), cases[i].level);
    }
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

static void test_falls_back_to_calm(void **state unused_)
{
    int listener = listen_at(stage_path(&s, SOCKET)), server;
    struct headroom_watch *w = find(300000);
    uint64_t told;

    server = accept_one(listener, SECOND);
    told = watch_now_usec();
    tell(server, "c");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CRITICAL);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CALM);
    assert_true(watch_now_usec() - told >= 300000);
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_CALM);
    assert_int_equal(wait_level(w, 500), -1); /* and nothing more */
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

/* Nobody has to read for the level to fall. */
static void test_level_without_reading(void **state unused_)
{
    int listener = listen_at(stage_path(&s, SOCKET)), server;
    struct headroom_watch *w = find(100000);

    server = accept_one(listener, SECOND);
    tell(server, "m");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_MEDIUM);
    (void)usleep(150000);
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_CALM);
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

static void test_server_comes_later(void **state unused_)
{
    struct headroom_watch *w = find(0);
    int listener, server;

    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_NONE);
    assert_string_equal(headroom_watch_get_path(w), "");
    listener = listen_at(stage_path(&s, SOCKET));
    assert_true(wait_source(w, HEADROOM_SOURCE_SOCKET, 10 * SECOND));
    server = accept_one(listener, SECOND);
    tell(server, "l");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_LOW);
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

/* It goes, is refused, and comes again: the same descriptor tells on. */
static void test_server_restarts(void **state unused_)
{
    const char *path = stage_path(&s, SOCKET);
    int listener = listen_at(path), server, fd;
    struct headroom_watch *w = find(0);

    fd = headroom_watch_get_fd(w);
    server = accept_one(listener, SECOND);
    tell(server, "c");
    (void)close(server); /* what was told before the end counts */
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CRITICAL);
    (void)close(listener);
    assert_true(wait_source(w, HEADROOM_SOURCE_NONE, 5 * SECOND));
    (void)usleep(300000);
    listener = listen_at(path);
    assert_true(wait_source(w, HEADROOM_SOURCE_SOCKET, 10 * SECOND));
    server = accept_one(listener, SECOND);
    tell(server, "l");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_LOW);
    assert_int_equal(headroom_watch_get_fd(w), fd);
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

/* How often the watch asks to be read in so long. */
static unsigned count_wakeups(struct headroom_watch *w, unsigned msec)
{
    uint64_t until = watch_now_usec() + (uint64_t)msec * 1000;
    unsigned n = 0;

    while (watch_now_usec() < until) {
        if (!wait_readable(headroom_watch_get_fd(w), (int)((until - watch_now_usec()) / 1000) + 1))
            break;
        assert_true(headroom_watch_read(w, NULL) >= 0);
        n++;
    }
    return n;
}

static void test_absent_server_costs_little(void **state unused_)
{
    struct headroom_watch *w = find(0);

    assert_in_range(count_wakeups(w, 2000), 1, 8); /* 100, 200, 400, 800 ms: each by half to one */
    assert_true(w->retry_delay_usec >= 400000);
    (void)headroom_watch_free(w);
}

/* A server that lets everybody in, and out again at once. */
static void test_server_that_hangs_up(void **state unused_)
{
    int listener = listen_at(stage_path(&s, SOCKET)), server;
    struct headroom_watch *w = find(0);
    unsigned accepted = 0, wakeups = 0;
    uint64_t until = watch_now_usec() + 2000000;

    while (watch_now_usec() < until || accepted < 2 || wakeups < 2) {
        while ((server = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
            accepted++;
            (void)close(server);
        }
        if (wait_readable(headroom_watch_get_fd(w), 10)) {
            assert_int_equal(headroom_watch_read(w, NULL), 0);
            wakeups++;
        }
    }
    assert_in_range(accepted, 2, 8);
    assert_in_range(wakeups, 2, 20);
    (void)headroom_watch_free(w);
    (void)close(listener);
}

static void test_flood_wakes_ten_times_a_second(void **state unused_)
{
    int listener = listen_at(stage_path(&s, SOCKET)), server;
    struct headroom_watch *w = find(0);
    uint64_t until;
    unsigned n = 0;

    server = accept_one(listener, SECOND);
    until = watch_now_usec() + SECOND * 1000;
    while (watch_now_usec() < until || n < 2) {
        (void)send(server, "mmmmmmmm", 8, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (!wait_readable(headroom_watch_get_fd(w), 1))
            continue;
        assert_true(headroom_watch_read(w, NULL) >= 0);
        n++;
    }
    assert_in_range(n, 2, 14);
    /* Nothing is lost by it: what comes last is heard. */
    tell(server, "c");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CRITICAL);
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

static void test_backlog_is_full(void **state unused_)
{
    const char *path = stage_path(&s, SOCKET);
    int listener = listen_at(path), server;
    struct headroom_watch *first, *second;

    assert_int_equal(listen(listener, 0), 0); /* one fits */
    first = find(0);
    second = find(0);
    assert_int_equal(headroom_watch_get_source(first), HEADROOM_SOURCE_SOCKET);
    assert_int_equal(headroom_watch_get_source(second), HEADROOM_SOURCE_NONE);
    server = accept_one(listener, SECOND);
    assert_true(wait_source(second, HEADROOM_SOURCE_SOCKET, 10 * SECOND));
    (void)headroom_watch_free(first);
    (void)headroom_watch_free(second);
    (void)close(server);
    (void)close(listener);
}

/* Those that stay open for a program that is executed. */
static unsigned count_inherited(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);

        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}

static void test_descriptors(void **state unused_)
{
    unsigned before = count_descriptors(), inherited = count_inherited();
    int listener = listen_at(stage_path(&s, SOCKET));
    struct headroom_watch *w = find(0), *fifo = NULL;
    struct headroom_options o = {.size = sizeof(o), .path = stage_path(&s, "/f")};

    assert_int_equal(mkfifo(o.path, 0600), 0);
    assert_int_equal(headroom_watch_new(&o, &fifo), 0);
    assert_int_equal(count_inherited(), inherited);
    assert_true(fcntl(headroom_watch_get_fd(w), F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(w->source.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fifo->source.fd, F_GETFL) & O_NONBLOCK);
    (void)headroom_watch_free(w);
    (void)headroom_watch_free(fifo);
    (void)close(listener);
    assert_int_equal(count_descriptors(), before);
}

/* The server goes between the connecting and the payload. */
static void test_sigpipe_never(void **state unused_)
{
    int pair[2];

    assert_ptr_equal(signal(SIGPIPE, SIG_DFL), SIG_DFL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)close(pair[0]);
    assert_int_equal(files_send(pair[1], "x", 1), -EPIPE);
    assert_true(source_error_passes(-EPIPE));
    (void)close(pair[1]);
}

/* A child may not take the parent's events, and frees its copy without harm to the parent. */
static void test_fork(void **state unused_)
{
    int listener = listen_at(stage_path(&s, SOCKET)), server, status;
    struct headroom_watch *w = find(0);
    pid_t child;

    server = accept_one(listener, SECOND);
    tell(server, "l");
    child = fork();
    if (child == 0) {
        bool good = headroom_watch_read(w, NULL) == -ECHILD && headroom_watch_dispatch(w) == -ECHILD &&
                    headroom_watch_start_thread(w) == -ECHILD;

        (void)headroom_watch_free(w);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_LOW);
    tell(server, "c");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CRITICAL);
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

/* A child that keeps the descriptors open must not make the parent spin on a source that it has closed. */
static void test_fork_that_lives(void **state unused_)
{
    int listener = listen_at(stage_path(&s, SOCKET)), server;
    struct headroom_watch *w = find(0);
    pid_t child;

    server = accept_one(listener, SECOND);
    child = fork();
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    (void)shutdown(server, SHUT_RDWR);
    (void)close(server);
    (void)shutdown(listener, SHUT_RDWR);
    (void)close(listener);
    assert_true(wait_source(w, HEADROOM_SOURCE_NONE, 5 * SECOND));
    assert_in_range(count_wakeups(w, 1000), 0, 8);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)headroom_watch_free(w);
}

static void test_options(void **state unused_)
{
    struct {
        struct headroom_options o;
        char newer[16];
    } big = {.o = {.size = sizeof(big), .path = "/dev/null"}};
    struct headroom_options o = {.size = sizeof(o) - 1};
    struct headroom_watch *w = NULL;
    char error[128] = "";

    assert_int_equal(headroom_watch_new(&o, &w), -EINVAL);
    o.size = 0;
    assert_int_equal(headroom_watch_new(&o, &w), -EINVAL);
    assert_int_equal(headroom_watch_new(&big.o, &w), 0);
    w = headroom_watch_free(w);
    big.newer[15] = 1;
    big.o.error = error;
    big.o.error_size = sizeof(error);
    assert_int_equal(headroom_watch_new(&big.o, &w), -E2BIG);
    assert_string_equal(error, "the options are of a newer version of libheadroom");
    o = (struct headroom_options){.size = sizeof(o), .path = "/dev/null", .hold_usec = UINT64_MAX};
    assert_int_equal(headroom_watch_new(&o, &w), -EINVAL);
    assert_null(w);
    assert_null(headroom_watch_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_falls_back_to_calm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level_without_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_comes_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent_server_costs_little, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_that_hangs_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood_wakes_ten_times_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backlog_is_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sigpipe_never, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_that_lives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
