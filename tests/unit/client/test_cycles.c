/* Open, listen, close, over and over: nothing may stay behind. HEADROOM_CYCLES=1000000 is the full count;
 * what is the default takes a few seconds. */
#include "client.h"

#define CYCLES_DEFAULT 50000

static struct stage s;

static long cycles(void)
{
    const char *text = getenv("HEADROOM_CYCLES");

    return text ? strtol(text, NULL, 10) : CYCLES_DEFAULT;
}

static long resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long size, resident;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    (void)fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

/* Every 16th is told something, every 64th has the helper thread, every third is dropped by the server first.
 */
static void cycle(int listener, long i)
{
    struct headroom_watch *w = NULL;
    int server;

    assert_int_equal(watch_new_at(NULL, s.root, &w), 0);
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    if (i % 64 == 0)
        assert_int_equal(headroom_watch_start_thread(w), 0);
    else if (i % 16 == 0) {
        tell(server, "l");
        assert_int_equal(headroom_watch_read(w, NULL), 1);
        assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 0, headroom_reaction_trim, NULL), 0);
    }
    if (i % 3 == 0) {
        (void)close(server);
        server = -1;
        if (i % 64 != 0)
            assert_int_equal(headroom_watch_read(w, NULL), 0);
    }
    (void)headroom_watch_free(w);
    if (server >= 0)
        (void)close(server);
}

static void test_nothing_stays(void **state unused_)
{
    long total = cycles(), warm_up = total / 10 + 1000;
    unsigned descriptors;
    long resident;
    int listener;

    stage_init(&s);
    (void)stage_write(&s, "/run/headroom/x", "");
    listener = listen_at(stage_path(&s, HEADROOM_SOCKET));
    for (long i = 0; i < warm_up; i++)
        cycle(listener, i);
    descriptors = count_descriptors();
    resident = resident_bytes();
    for (long i = 0; i < total; i++)
        cycle(listener, i);
    assert_int_equal(count_descriptors(), descriptors);
    /* A byte a cycle would be seen. */
    print_message("%ld cycles: resident %ld before, %ld after\n", total, resident, resident_bytes());
#ifndef __SANITIZE_ADDRESS__ /* whose quarantine fills; it finds leaks by itself */
    if (total >= 10000)      /* fewer say nothing, and are for valgrind, which has memory of its own */
        assert_true(resident_bytes() <= resident + 64 * 1024);
#endif
    (void)close(listener);
    stage_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
