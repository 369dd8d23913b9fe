/* The helper thread, and the two functions that any thread may call beside it. */
#include "client.h"

#include <signal.h>
#include <sys/prctl.h>

static struct stage s;
static struct headroom_watch *w;
static int listener, server;
static _Atomic unsigned called;
static _Atomic int told, error_inside, signals_blocked;
static char thread_name[16];

static int setup(void **state unused_)
{
    struct headroom_options o = {.size = sizeof(o), .hold_usec = 300000};

    stage_init(&s);
    o.path = stage_path(&s, "/s");
    listener = listen_at(o.path);
    assert_int_equal(headroom_watch_new(&o, &w), 0);
    server = accept_one(listener, SECOND);
    called = 0;
    told = -1;
    error_inside = 0;
    return 0;
}

static int teardown(void **state unused_)
{
    w = headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
    stage_deinit(&s);
    return 0;
}

static void note(void *user unused_, enum headroom_level level)
{
    sigset_t mask;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    signals_blocked = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD);
    (void)prctl(PR_GET_NAME, thread_name);
    error_inside = headroom_watch_stop_thread(w);
    told = (int)level;
    called++;
}

static bool wait_called(unsigned n)
{
    for (int i = 0; i < 500 && called < n; i++)
        (void)usleep(10000);
    return called >= n;
}

static void test_reacts(void **state unused_)
{
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_CALM, 0, note, NULL), 0);
    assert_int_equal(headroom_watch_start_thread(w), 0);
    tell(server, "c");
    assert_true(wait_called(1));
    assert_int_equal(told, HEADROOM_CRITICAL);
    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_SOCKET);
    assert_true(wait_called(2)); /* and calm again, without anybody doing anything */
    assert_int_equal(told, HEADROOM_CALM);
    assert_int_equal(error_inside, -EDEADLK);
    assert_true(signals_blocked);
    assert_string_equal(thread_name, "headroom");
    assert_int_equal(headroom_watch_stop_thread(w), 0);
    tell(server, "l");
    (void)usleep(100000);
    assert_int_equal(called, 2);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_LOW); /* we read again */
}

static void test_refusals(void **state unused_)
{
    assert_int_equal(headroom_watch_stop_thread(w), 0);
    assert_int_equal(headroom_watch_start_thread(w), 0);
    assert_int_equal(headroom_watch_start_thread(w), -EBUSY);
    assert_int_equal(headroom_watch_read(w, NULL), -EBUSY);
    assert_int_equal(headroom_watch_dispatch(w), -EBUSY);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 0, note, NULL), -EBUSY);
    assert_int_equal(headroom_watch_stop_thread(w), 0);
    assert_int_equal(headroom_watch_stop_thread(w), 0);
    assert_int_equal(headroom_watch_read(w, NULL), 0);
}

static void test_stack_size(void **state unused_)
{
    struct headroom_options o = {.size = sizeof(o), .path = "/dev/null", .thread_stack_bytes = 1};
    struct headroom_watch *small = NULL;
    unsigned before = count_descriptors();

    assert_int_equal(headroom_watch_new(&o, &small), 0);
    assert_int_equal(headroom_watch_start_thread(small), -EINVAL);
    assert_int_equal(headroom_watch_read(small, NULL), 0);
    small = headroom_watch_free(small);
    o.thread_stack_bytes = 256 * 1024;
    assert_int_equal(headroom_watch_new(&o, &small), 0);
    assert_int_equal(headroom_watch_start_thread(small), 0);
    (void)headroom_watch_free(small); /* stops it */
    assert_int_equal(count_descriptors(), before);
}

static void test_many_starts(void **state unused_)
{
    unsigned before = count_descriptors();

    for (int i = 0; i < 200; i++) {
        assert_int_equal(headroom_watch_start_thread(w), 0);
        assert_int_equal(headroom_watch_stop_thread(w), 0);
    }
    assert_int_equal(count_descriptors(), before);
}

static void *ask(void *user)
{
    _Atomic bool *stop = user;

    while (!*stop) {
        enum headroom_level level = headroom_watch_get_level(w);

        assert_true(level == HEADROOM_CALM || level == HEADROOM_LOW || level == HEADROOM_CRITICAL);
        (void)headroom_watch_get_source(w);
    }
    return NULL;
}

/* Events and a lost server while another thread asks for the level without a pause. */
static void test_asked_meanwhile(void **state unused_)
{
    _Atomic bool stop = false;
    pthread_t thread;

    assert_int_equal(headroom_watch_start_thread(w), 0);
    assert_int_equal(pthread_create(&thread, NULL, ask, &stop), 0);
    for (int i = 0; i < 50; i++) {
        tell(server, i % 2 ? "l" : "c");
        (void)usleep(5000);
        if (i % 10 == 9) {
            (void)close(server);
            server = accept_one(listener, 10 * SECOND);
        }
    }
    stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_child_of_a_program_with_the_thread(void **state unused_)
{
    pid_t child;
    int status;

    assert_int_equal(headroom_watch_start_thread(w), 0);
    child = fork();
    if (child == 0) {
        int r = headroom_watch_stop_thread(w);

        (void)headroom_watch_free(w);
        _exit(r == -ECHILD ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    tell(server, "c");
    for (int i = 0; i < 500 && headroom_watch_get_level(w) != HEADROOM_CRITICAL; i++)
        (void)usleep(10000);
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_CRITICAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reacts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stack_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_starts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asked_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_child_of_a_program_with_the_thread, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
